// Link quality: clocks, delays, lost and damaged frames in both directions, rates. Updated by the link's user, read by
// any thread.
#pragma once

#include <stdint.h>

#include <atomic>

#include "firmware_bridge/protocol/frame.h"
#include "firmware_bridge/protocol/messages.h"
#include "native/runtime/link/clock_fit.h"
#include "native/runtime/record/counters.h"

namespace rtu::runtime::link {

// Readable from any thread; NaN: not known (yet).
class Gauge {
 public:
  Gauge() noexcept;
  void set(double v) noexcept { v_.store(v, std::memory_order_relaxed); }
  double get() const noexcept { return v_.load(std::memory_order_relaxed); }

 private:
  std::atomic<double> v_;
};

// offset: device minus host, of 64-bit times from each clock's epoch. jitter: mean change from one round trip
// to the next, smoothed over 16. state_delay: from the device's stamp to arrival here, by the fit. command_age: from
// the observation that led to the command in force until the STATE that reports it, both by the device's clock.
// clang-format off
#define RTU_RUNTIME_QUALITY_GAUGES(X) \
  X(offset_us) X(drift_ppm) X(round_trip_us) X(round_trip_min_us) X(round_trip_max_us) X(jitter_us) \
  X(state_delay_us) X(command_age_us) X(command_age_max_us) \
  X(frames_in_per_s) X(frames_out_per_s) X(bytes_in_per_s) X(bytes_out_per_s)
// lost_in: gaps in the device's seq. lost_out: frames sent that the device has not counted.
#define RTU_RUNTIME_QUALITY_COUNTS(X) \
  X(pings) X(pongs) X(lost_in) X(repeated_in) X(lost_out)
// The device's counters since its boot, as PARAM reports them.
#define RTU_RUNTIME_DEVICE_COUNTS(X) \
  X(ticks, TICKS) X(skipped, SKIPPED) X(frames, FRAMES) X(crc_errors, CRC_ERRORS) X(garbled, GARBLED) \
  X(overlong, OVERLONG) X(accepted, ACCEPTED) X(repeated, REPEATED) X(refused, REFUSED) X(clamped, CLAMPED) \
  X(silences, SILENCES) X(unknown, UNKNOWN)
// clang-format on

struct LinkQuality {
#define X(name) Gauge name;
  RTU_RUNTIME_QUALITY_GAUGES(X)
#undef X
#define X(name) record::Counter name;
  RTU_RUNTIME_QUALITY_COUNTS(X)
#undef X
  Gauge device[TL_COUNTER_COUNT];  // NaN until the device has reported it
};

// One thread at a time: the one that owns the link.
class LinkMeter {
 public:
  LinkQuality quality;

  // Starts a session; in lockstep the device's clock is virtual and not compared with the host's.
  void begin(bool lockstep) noexcept;
  // Call for each valid frame, in the order of arrival.
  void received(const tl_frame& frame, int64_t at_ns) noexcept;
  // Call after sending a command; its time is that of the observation that led to it.
  void command(uint16_t seq, uint32_t obs_t_us) noexcept;
  // Call for each STATE. Returns the age, in us, of the command that it reports, or UINT32_MAX for a command of another
  // host.
  uint32_t state(const tl_state& state, uint32_t t_us, int64_t at_ns) noexcept;
  // Call when there is slack: fits the clocks, computes the rates.
  void update_estimates(int64_t now_ns, const record::LinkCounters& counters) noexcept;
  // The next request to the device: PING, PARAM for one of its counters, or none (false). frames_sent: so far, without
  // this request.
  bool ask(int64_t now_ns, uint64_t frames_sent, tl_frame* out) noexcept;
  // Round trip of the PONG received since the last call; 0: none.
  int64_t take_round_trip() noexcept;

  const ClockFit& clock() const noexcept { return fit_; }

 private:
  void pong(const tl_pong& pong, int64_t at_ns) noexcept;
  void param(const tl_param& param) noexcept;
  void count_seq(const tl_frame& frame) noexcept;
  void rates(int64_t now_ns, const record::LinkCounters& counters) noexcept;

  static constexpr int kCommands = 64;
  struct Command {
    uint16_t seq;
    uint32_t obs_t_us;
    bool used;
  };

  ClockFit fit_;
  bool lockstep_ = false;
  Command commands_[kCommands] = {};
  int next_command_ = 0;
  bool any_seq_ = false;
  uint16_t seq_ = 0;
  int64_t ping_ns_ = 0;
  uint64_t answered_us_ = 0;  // t0 of the last PONG
  int64_t round_trip_ns_ = 0;
  int64_t before_ns_ = -1;  // the previous round trip
  double jitter_ns_ = 0;

  int64_t param_ns_ = 0;
  uint16_t param_ = 0;  // the next counter to request, alternating with FRAMES
  bool ask_frames_ = true;
  uint64_t sent_at_param_ = 0;  // frames sent by then, including the request; 0: FRAMES is not requested
  bool counted_ = false;        // lost_out is valid from here on
  uint64_t sent_base_ = 0;
  uint32_t heard_base_ = 0;

  int64_t rates_ns_ = 0;
  uint64_t rate_base_[4] = {};
};

}  // namespace rtu::runtime::link
