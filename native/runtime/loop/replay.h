// Replays a policy from the records of a loop: the same calls in the same order, compared with the recorded results.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "native/runtime/policy.h"
#include "native/runtime/record/telemetry.h"
#include "native/runtime/safety/command_limiter.h"
#include "native/runtime/safety/hand_over.h"

namespace rtu::runtime::loop {

// The differences between a step and its record, bit for bit.
enum DifferenceFlag : uint32_t {
  kDiffersCommand = 1,    // u
  kDiffersHash = 2,       // hash of the learner state
  kDiffersEstimate = 4,   // value, delta, step sizes
  kDiffersCall = 8,       // the policy refused a call that it accepted in the run, or the reverse
  kDiffersDecision = 16,  // sensor monitor, learner monitor, cause of the fallback
};

// Result of a replayed step.
struct ReplayStep {
  float value;
  float delta;
  float step_size_actor;
  float step_size_critic;
  float distance;  // largest deviation of u from the record, as a share of the actuator's range; infinite if one is NaN
  uint32_t sensor_monitor;
  uint32_t sensor_channel;
  uint32_t learner_monitor;
  uint32_t mode;
  uint32_t differs;
  uint64_t state_hash;  // 0 if the record has none
};

// clang-format off
#define RTU_RUNTIME_REPLAY_FIELDS(X) \
  X(value, "f4") X(delta, "f4") X(step_size_actor, "f4") X(step_size_critic, "f4") X(distance, "f4") \
  X(sensor_monitor, "u4") X(sensor_channel, "u4") X(learner_monitor, "u4") X(mode, "u4") X(differs, "u4") \
  X(state_hash, "u8")
// clang-format on

class Replay {
 public:
  // policy.self must outlive this. limits, limit_commands: as in the loop.
  Replay(const Policy& policy, int n, int m, const safety::ActuatorLimits* limits, bool limit_commands) noexcept;

  // Of the run's take-over source: the share of the way back falls to 0 in so many steps.
  void set_back_steps(uint32_t steps) noexcept { hand_over_ = {m_, steps}; }

  // Applies the recorded actions regardless of this policy's choice: for what-if.
  bool as_applied = false;

  // One record of record_stride(n, m) bytes, in order.
  void step(const uint8_t* record, ReplayStep* out) noexcept;

 private:
  void tell_hands(const record::RecordHead& head) noexcept;
  void act(const record::RecordHead& head, const float* recorded, float* u) noexcept;
  void tell_previous(const record::RecordHead& head, const float* applied) noexcept;
  void follow(const record::RecordHead& head, const float* u, const float* applied, ReplayStep* out) noexcept;
  void compare(const record::RecordHead& head, const float* u, const float* recorded, ReplayStep* out) const noexcept;

  Policy policy_;
  int n_;
  int m_;
  safety::CommandLimiter limiter_;
  safety::HandOver hand_over_;
};

}  // namespace rtu::runtime::loop
