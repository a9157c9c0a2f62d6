// Counters: written by one thread, read by any. The lists are what Python sees of them.
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
  X(resets) X(gate_non_finite) X(gate_range) X(gate_slew) X(gate_accel) X(gate_clipped) X(gate_held) X(replaced) \
  X(predict_failures) X(learn_failures) X(observations_refused) X(rewards_refused) X(rewards_missing) \
  X(commands_refused) X(nacks) X(snapshots)
// clang-format on

struct LoopCounters {
#define X(name) Counter name;
  RTU_RUNTIME_LOOP_COUNTERS(X)
#undef X
};

// clang-format off
#define RTU_RUNTIME_SUPERVISOR_COUNTERS(X) \
  X(learner_steps) X(fallback_steps) X(fallback_forced) X(switches) X(switches_locked) X(learner_failures) \
  X(fallback_failures) X(input_non_finite) X(input_dropouts) X(input_range) X(input_spikes) X(input_stuck) \
  X(input_held) X(input_clamped) X(input_fallbacks) X(input_stops) X(input_rewards) X(guard_non_finite) \
  X(guard_weights) X(guard_td_error) X(guard_saturated) X(guard_retention) X(guard_fallback_rate) X(guard_failed) \
  X(guard_normalizer) \
  X(snapshots) X(snapshots_refused) X(snapshots_survived) X(rollbacks) X(guard_frozen)
// clang-format on

struct SupervisorCounters {
#define X(name) Counter name;
  RTU_RUNTIME_SUPERVISOR_COUNTERS(X)
#undef X
};

}  // namespace rtu::runtime::record
