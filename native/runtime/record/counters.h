// Counters: written by one thread, read by any. Python exposes the lists below.
#pragma once

#include <stdint.h>

#include <atomic>

namespace rtu::runtime::record {

// Written by one thread, read by any.
class Counter {
 public:
  void operator+=(uint64_t n) noexcept { v_.store(v_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed); }
  void operator++() noexcept { *this += 1; }
  void set(uint64_t n) noexcept { v_.store(n, std::memory_order_relaxed); }
  uint64_t get() const noexcept { return v_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> v_{0};
};

// clang-format off
#define RTU_RUNTIME_LINK_COUNTERS(X) \
  X(bytes_sent) X(bytes_received) X(frames_sent) X(frames_received) X(crc_errors) X(framing_errors) \
  X(boot_noise_bytes) X(write_short) X(unexpected_frames)
// clang-format on

struct LinkCounters {
#define X(name) Counter name;
  RTU_RUNTIME_LINK_COUNTERS(X)
#undef X
};

// clang-format off
#define RTU_RUNTIME_LOOP_COUNTERS(X) \
  X(steps) X(episodes) X(learned) X(updates_dropped) X(skipped) X(missed) X(overruns) X(retries) X(timeouts) \
  X(duplicates) \
  X(resets) X(limiter_non_finite) X(limiter_range) X(limiter_slew) X(limiter_accel) X(limiter_clipped) \
  X(limiter_held) X(overridden) \
  X(predict_failures) X(update_failures) X(observations_refused) X(rewards_refused) X(rewards_missing) \
  X(commands_refused) X(nacks) X(snapshots) X(reconnects) X(check_effect) X(check_still) X(check_reward) X(homings) \
  X(homing_steps)
// clang-format on

struct LoopCounters {
#define X(name) Counter name;
  RTU_RUNTIME_LOOP_COUNTERS(X)
#undef X
};

// clang-format off
#define RTU_RUNTIME_SUPERVISOR_COUNTERS(X) \
  X(learner_steps) X(fallback_steps) X(fallback_forced) X(person_steps) \
  X(switches) X(switches_locked) X(learner_failures) \
  X(fallback_failures) X(sensor_non_finite) X(sensor_dropouts) X(sensor_range) X(sensor_spikes) X(sensor_stuck) \
  X(sensor_held) X(sensor_clamped) X(sensor_fallbacks) X(sensor_stops) X(sensor_rewards) X(monitor_non_finite) \
  X(monitor_weights) X(monitor_td_error) X(monitor_saturated) X(monitor_retention) X(monitor_fallback_rate) \
  X(monitor_failed) \
  X(monitor_normalizer) \
  X(snapshots) X(snapshots_refused) X(snapshots_validated) X(rollbacks) X(monitor_frozen)
// clang-format on

struct SupervisorCounters {
#define X(name) Counter name;
  RTU_RUNTIME_SUPERVISOR_COUNTERS(X)
#undef X
};

}  // namespace rtu::runtime::record
