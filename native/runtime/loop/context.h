// Data shared by the parts of one loop, and passed between them within a step.
#pragma once

#include <stdint.h>

#include "firmware_bridge/protocol/messages.h"
#include "native/runtime/clock.h"
#include "native/runtime/link/link.h"
#include "native/runtime/loop/options.h"
#include "native/runtime/loop/stop.h"
#include "native/runtime/record/counters.h"

namespace rtu::runtime::loop {

using record::StopReason;

constexpr int64_t kRequestsNs = 20 * kNsPerMs;  // maximum interval between checks of requests and signals
constexpr uint8_t kEpisodeEnd = TL_EPISODE_TERMINATED | TL_EPISODE_TRUNCATED;

// One received STATE.
struct Arrival {
  tl_state state;
  uint32_t t_us = 0;          // the device's stamp
  int64_t at_ns = 0;          // when it was decoded
  int64_t round_trip_ns = 0;  // lockstep: since the last transmission of the frame that it answers
  uint32_t command_age_us = UINT32_MAX;
  bool any = false;
};

// Durations of the parts of one step.
struct StepTimes {
  int64_t begun_ns, lateness_ns, receive_ns, predict_ns, limit_ns, send_ns, update_ns, round_trip_ns;
};

// Results of a step, for its record.
struct Marks {
  uint32_t flags = 0;    // RecordFlag
  uint32_t calls = 0;    // CallFlag
  uint32_t limited = 0;  // LimiterFlag
};

// Owned by Loop; every part has a reference to it. Written by the loop's thread.
struct Context {
  Context(link::Link& link_, Clock clock_, const tl_hello& hello_, const LoopOptions& options_)
      : link(link_),
        clock(clock_),
        hello(hello_),
        options(options_),
        own_n(hello_.observation_size),
        own_m(hello_.action_size),
        n(own_n + observations_of(options_)),
        m(own_m + actuators_of(options_)),
        period_ns(static_cast<int64_t>(hello_.period_us) * kNsPerUs),
        stop(link_, options_.handle_signals) {}
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  bool lockstep() const noexcept { return options.tick == TickSource::kLockstep; }
  static int observations_of(const LoopOptions& options) noexcept {
    int n = 0;
    for (int i = 0; i < options.n_companions; ++i)
      n += options.companions[i].hello.observation_size + (options.companions[i].age ? 1 : 0);
    return n;
  }
  static int actuators_of(const LoopOptions& options) noexcept {
    int m = 0;
    for (int i = 0; i < options.n_companions; ++i) m += options.companions[i].hello.action_size;
    return m;
  }
  // Time since ARM, until the end or now; 0 before ARM.
  int64_t lasted_ns() const noexcept {
    return begun_ns == 0 ? 0 : duration_ns > 0 ? duration_ns : clock.now() - begun_ns;
  }

  link::Link& link;
  const Clock clock;
  const tl_hello hello;  // of the data sheet that options.limits were derived from
  const LoopOptions options;
  const int own_n;  // observations of the device at `link`
  const int own_m;  // its actuators
  const int n;      // with those of the companions
  const int m;
  const int64_t period_ns;
  record::LoopCounters counters;
  Stop stop;
  int64_t begun_ns = 0;     // time of the acknowledgement of ARM
  int64_t duration_ns = 0;  // duration of the session, after its end
};

}  // namespace rtu::runtime::loop
