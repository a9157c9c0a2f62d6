// What the loop tells the outside: fixed-size records through a ring, counters, and a status that any thread may read.
#ifndef RTU_RUNTIME_TELEMETRY_H
#define RTU_RUNTIME_TELEMETRY_H

#include <stdint.h>

#include <atomic>

namespace rtu::runtime {

enum RecordFlag : uint32_t {
  kRecordFirst = 1,
  kRecordTerminated = 2,
  kRecordTruncated = 4,
  kRecordActed = 8,     // a command left (or would have, in a dry run)
  kRecordLearned = 16,  // learn() was called for a transition, with or without an update
  kRecordReplaced =
      32,  // `executed` is not what was chosen, by the policy's own word where it learned: only the critic did
  kRecordPredictFailed = 64,
  kRecordLearnFailed = 128,
  kRecordRewardRefused = 256,  // non-finite reward: not learned from
};

// What the policy was asked for in this step: with x, reward and executed all that a replay needs.
enum CallFlag : uint32_t {
  kCallBegin = 1,
  kCallPredict = 2,
  kCallExplore = 4,  // predict's
  kCallLearn = 8,
  kCallExecuted = 16,   // learn was told that something else was carried out
  kCallUpdate = 32,     // learn moved the weights; without it the deadline rule dropped the update
  kCallContinued = 64,  // with begin: the limits on changes go on from the last command (loop_step.cpp, start_gate)
};

// Followed by x[n], u[m] (sent, actuator units), executed[m] (STATE.u_applied) as f32, padded to 8 bytes.
struct RecordHead {
  uint64_t step;
  uint64_t sequence;  // of this session's records, from 0: a number left out was lost on the way
  int64_t t_ns;
  int64_t lateness_ns;
  int64_t receive_ns;  // from the frame's arrival to the step's begin
  int64_t predict_ns;
  int64_t gate_ns;
  int64_t send_ns;
  int64_t learn_ns;
  int64_t round_trip_ns;  // lockstep: command to STATE; otherwise the last PING answered since the record before, or 0
  uint64_t state_hash;    // of everything that learns, after this step; 0: not taken
  uint32_t device_us;
  uint32_t command_age_us;  // from the observation that the command in force answers to this STATE, by the device's
                            // clock; 2^32 - 1: none, or not of ours
  uint32_t episode;
  uint32_t episode_step;
  uint32_t flags;
  uint32_t calls;  // CallFlag
  uint32_t gate;
  uint32_t input_gate;
  uint32_t input_channel;  // the first that the input gate found fault with
  uint32_t guard;
  uint32_t mode;
  float reward;
  float value;
  float delta;
  float step_size_actor;
  float step_size_critic;
};

// clang-format off
#define RTU_RUNTIME_RECORD_FIELDS(X) \
  X(step, "u8") X(sequence, "u8") X(t_ns, "i8") X(lateness_ns, "i8") X(receive_ns, "i8") X(predict_ns, "i8") \
  X(gate_ns, "i8") X(send_ns, "i8") X(learn_ns, "i8") X(round_trip_ns, "i8") X(state_hash, "u8") X(device_us, "u4") \
  X(command_age_us, "u4") X(episode, "u4") X(episode_step, "u4") X(flags, "u4") X(calls, "u4") X(gate, "u4") \
  X(input_gate, "u4") X(input_channel, "u4") X(guard, "u4") X(mode, "u4") X(reward, "f4") X(value, "f4") X(delta, "f4") \
  X(step_size_actor, "f4") X(step_size_critic, "f4")
// clang-format on

struct EpisodeRecord {
  uint64_t total_steps;  // of the run, at the end of the episode
  int64_t t_ns;
  double total_return;
  uint32_t episode;
  uint32_t steps;
  uint32_t terminated;
  uint32_t seed;
};

// clang-format off
#define RTU_RUNTIME_EPISODE_FIELDS(X) \
  X(total_steps, "u8") X(t_ns, "i8") X(total_return, "f8") X(episode, "u4") X(steps, "u4") \
  X(terminated, "u4") X(seed, "u4")
// clang-format on

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
  X(steps) X(episodes) X(learned) X(updates_dropped) X(skipped) X(missed) X(overruns) X(retries) X(timeouts) X(duplicates) \
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
  X(guard_weights) X(guard_td_error) X(guard_saturated) X(guard_retention) X(guard_fallback_rate) X(guard_failed) X(guard_normalizer) \
  X(snapshots) X(snapshots_refused) X(snapshots_survived) X(rollbacks) X(guard_frozen)
// clang-format on

struct SupervisorCounters {
#define X(name) Counter name;
  RTU_RUNTIME_SUPERVISOR_COUNTERS(X)
#undef X
};

// clang-format off
#define RTU_RUNTIME_STOP_REASONS(X) \
  X(None, "none") X(Steps, "steps") X(Seconds, "seconds") X(Episodes, "episodes") X(Target, "target") \
  X(Request, "request") X(Signal, "signal") X(Estop, "estop") X(DeviceSafe, "device_safe") \
  X(DeviceFault, "device_fault") X(DeviceRestart, "device_restart") X(HalfOpen, "half_open") \
  X(LinkLost, "link_lost") X(ArmRefused, "arm_refused") X(ResetTimeout, "reset_timeout") X(Policy, "policy") \
  X(Reward, "reward") X(Input, "input")
// clang-format on

enum class StopReason : uint32_t {
#define X(name, text) k##name,
  RTU_RUNTIME_STOP_REASONS(X)
#undef X
};

// What the outside may ask at any time. Written by the loop's thread.
struct StatusBoard {
  std::atomic<bool> running{false};
  std::atomic<StopReason> reason{StopReason::kNone};
  std::atomic<uint64_t> turns{0};  // of the loop, also those without a step, and of its stop: its only sign of life
  std::atomic<uint64_t> steps{0};
  std::atomic<uint64_t> episodes{0};
  std::atomic<uint32_t> episode_steps{0};
  std::atomic<double> mean_return;  // of the last episodes; NaN before the first
  std::atomic<int> device_state{-1};
  std::atomic<uint32_t> mode{0};  // StepInfo, of the last step
  std::atomic<uint32_t> guard{0};
  LoopCounters counters;  // the running loop's, copied some times a second

  StatusBoard() noexcept;
};

const char* stop_reason_name(StopReason reason) noexcept;

}  // namespace rtu::runtime

#endif
