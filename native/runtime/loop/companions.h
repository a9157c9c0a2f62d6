// Further devices of a loop: one policy over up to four links. The loop's own device ticks. Of each companion the
// newest observation is appended to its STATE, and each companion gets its part of the command, in answer to that
// observation. The stop of one is the stop of all.
#pragma once

#include <stdint.h>

#include <memory>
#include <optional>

#include "native/runtime/loop/context.h"
#include "native/runtime/loop/link_session.h"

namespace rtu::runtime::loop {

class Companions {
 public:
  Companions(Context& run, Clock clock);  // allocates all memory

  bool empty() const noexcept { return run_.options.n_companions == 0; }

  // Before ARM: takes the links for this thread. False: another thread uses one; the stop has the reason.
  bool own() noexcept;
  void release() noexcept;
  bool identify() noexcept;  // all, before the first ARM
  bool arm() noexcept;
  void begin(int64_t now_ns) noexcept;  // of a session
  void reset(uint32_t seed) noexcept;   // those that have RESET
  bool have_reset() const noexcept;     // any of them has

  // Reads what has arrived, without waiting. False: one of them stops the run.
  bool read() noexcept;
  // Appends observations, applied values and ends of episodes to the STATE of the loop's own device. False: one has no
  // observation of this episode yet.
  bool complete(Arrival* arrival) noexcept;
  void command(const float* u) noexcept;  // from their first actuator on

  // As LinkSession::close(); failed: only those that stopped the run, or only the others. rest may be null.
  void close(const float* rest, bool failed) noexcept;
  bool confirmed() const noexcept;

 private:
  struct Companion {
    Companion(const CompanionOptions& given, Clock clock, const LoopOptions& options, int first);

    Context run;
    LinkSession session;
    Arrival newest;
    const bool age;
    bool closed = false;
    std::optional<link::LinkOwner> owner;
  };

  void read(Companion& each) noexcept;
  void keep(Companion& each, const Arrival& arrival) noexcept;
  void check(Companion& each, int64_t now_ns) noexcept;
  bool adopt(const Companion& each, int number) noexcept;
  void publish(const Companion& each, int number) noexcept;

  Context& run_;
  std::unique_ptr<Companion> all_[kMaxCompanions];
};

}  // namespace rtu::runtime::loop
