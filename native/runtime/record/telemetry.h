// Records of the loop: one row of fixed size per step, and one per episode.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace rtu::runtime::record {

enum RecordFlag : uint32_t {
  kRecordFirst = 1,
  kRecordTerminated = 2,
  kRecordTruncated = 4,
  kRecordActed = 8,     // a command was sent (in a dry run: computed)
  kRecordLearned = 16,  // update() was called for a transition, with or without an update
  kRecordOverridden =
      32,  // `applied` differs from the chosen action (decided by the policy if it learned): only the critic learned
  kRecordPredictFailed = 64,
  kRecordUpdateFailed = 128,
  kRecordRewardRefused = 256,  // non-finite reward: not learned from
  kRecordReconnected = 512,    // first observation of a session that was opened after the link was lost
  kRecordCheck = 1024,         // a plant check has a finding
  kRecordHoming = 2048,        // between episodes: the plant is brought to its start, and the policy is not called
  kRecordPerson = 4096,        // a person drove instead of the supervisor's choice
  kRecordSilent = 8192,        // the person's source did not report: the fallback drove
};

// The flags of safety::Hands, and back.
constexpr uint32_t hands_flags(uint32_t hands) noexcept {
  return hands == 1 ? +kRecordPerson : hands == 2 ? +kRecordSilent : 0u;
}
constexpr uint32_t hands_of(uint32_t flags) noexcept {
  return (flags & kRecordPerson) != 0 ? 1u : (flags & kRecordSilent) != 0 ? 2u : 0u;
}

// Calls of the policy in this step: with x, reward and applied, all that a replay needs.
enum CallFlag : uint32_t {
  kCallBegin = 1,
  kCallPredict = 2,
  kCallExplore = 4,  // predict's
  kCallLearn = 8,
  kCallApplied = 16,    // update was passed an applied action that differs
  kCallWeights = 32,    // update moved the weights; without it the deadline rule dropped the update
  kCallContinued = 64,  // with begin: the limits on changes continue from the last command (start_limiter)
  kCallLimiter = 128,   // homing: the limits on changes start from the applied values
};

// Followed by x[n], u[m] (sent, actuator units), applied[m] (STATE.u_applied) as f32, padded to 8 bytes.
struct RecordHead {
  uint64_t step;
  uint64_t sequence;  // number of the record in this session, from 0: missing numbers were lost
  int64_t t_ns;
  int64_t lateness_ns;
  int64_t receive_ns;  // from the frame's arrival to the start of the step
  int64_t predict_ns;
  int64_t limit_ns;
  int64_t send_ns;
  int64_t update_ns;
  int64_t round_trip_ns;  // lockstep: command to STATE; else the last PING answered since the previous record, or 0
  uint64_t state_hash;    // hash of the learner state after this step; 0: not taken
  uint32_t device_us;
  uint32_t command_age_us;  // from the observation that led to the command in force to this STATE, by the device's
                            // clock; 2^32 - 1: none, or a command of another host
  uint32_t episode;
  uint32_t episode_step;
  uint32_t flags;
  uint32_t calls;  // CallFlag
  uint32_t command_limiter;
  uint32_t sensor_monitor;
  uint32_t sensor_channel;  // the first channel that the sensor monitor flagged
  uint32_t learner_monitor;
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
  X(limit_ns, "i8") X(send_ns, "i8") X(update_ns, "i8") X(round_trip_ns, "i8") X(state_hash, "u8") X(device_us, "u4") \
  X(command_age_us, "u4") X(episode, "u4") X(episode_step, "u4") X(flags, "u4") X(calls, "u4") \
  X(command_limiter, "u4") \
  X(sensor_monitor, "u4") X(sensor_channel, "u4") X(learner_monitor, "u4") X(mode, "u4") X(reward, "f4") \
  X(value, "f4") \
  X(delta, "f4") \
  X(step_size_actor, "f4") X(step_size_critic, "f4")
// clang-format on

struct EpisodeRecord {
  uint64_t total_steps;  // step of the run at the end of the episode
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

// Bytes of a record for n observations and m actuators.
constexpr size_t record_stride(int n, int m) noexcept {
  return (sizeof(RecordHead) + sizeof(float) * static_cast<size_t>(n + 2 * m) + 7) / 8 * 8;
}

}  // namespace rtu::runtime::record
