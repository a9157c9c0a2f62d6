// Runs a policy again from the records of a loop: the same calls in the same order, and a comparison with what was
// recorded.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "native/runtime/policy.h"
#include "native/runtime/record/telemetry.h"
#include "native/runtime/safety/command_limiter.h"

namespace rtu::runtime::loop {

// What of a step differs from the record, to the bit.
enum DifferenceFlag : uint32_t {
  kDiffersCommand = 1,    // u
  kDiffersHash = 2,       // of what learns
  kDiffersEstimate = 4,   // value, delta, step sizes
  kDiffersCall = 8,       // the policy refused a call that it took then, or the reverse
  kDiffersDecision = 16,  // sensor monitor, learner monitor, who drives
};

// What a replayed step came to.
struct ReplayStep {
  float value;
  float delta;
  float step_size_actor;
  float step_size_critic;
  float distance;  // of u from the recorded one, the largest, in ranges of the actuator; infinite where one is NaN
  uint32_t sensor_monitor;
  uint32_t sensor_channel;
  uint32_t learner_monitor;
  uint32_t mode;
  uint32_t differs;
  uint64_t state_hash;  // 0 where the record has none
};

// clang-format off
#define RTU_RUNTIME_REPLAY_FIELDS(X) \
  X(value, "f4") X(delta, "f4") X(step_size_actor, "f4") X(step_size_critic, "f4") X(distance, "f4") \
  X(sensor_monitor, "u4") X(sensor_channel, "u4") X(learner_monitor, "u4") X(mode, "u4") X(differs, "u4") \
  X(state_hash, "u8")
// clang-format on

class Replay {
 public:
  // policy.self outlives this. limits, limit_commands: as the loop had them.
  Replay(const Policy& policy, int n, int m, const safety::ActuatorLimits* limits, bool limit_commands) noexcept;

  // The actions of the record are what was done, whatever this policy would have done: for what-if.
  bool as_applied = false;

  // One record of record_stride(n, m) bytes, in order.
  void step(const uint8_t* record, ReplayStep* out) noexcept;

 private:
  void compare(const record::RecordHead& head, const float* u, const float* recorded, ReplayStep* out) const noexcept;

  Policy policy_;
  int n_;
  int m_;
  safety::CommandLimiter limiter_;
};

}  // namespace rtu::runtime::loop
