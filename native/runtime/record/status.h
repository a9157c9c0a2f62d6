// Status of a loop, readable from any thread, and the reason of its stop.
#pragma once

#include <stdint.h>

#include <atomic>

#include "native/runtime/policy.h"
#include "native/runtime/record/counters.h"

namespace rtu::runtime::record {

// clang-format off
#define RTU_RUNTIME_STOP_REASONS(X) \
  X(None, "none") X(Steps, "steps") X(Seconds, "seconds") X(Episodes, "episodes") X(Target, "target") \
  X(Request, "request") X(Signal, "signal") X(Estop, "estop") X(DeviceSafe, "device_safe") \
  X(DeviceFault, "device_fault") X(DeviceRestart, "device_restart") X(HalfOpen, "half_open") \
  X(LinkLost, "link_lost") X(ArmRefused, "arm_refused") X(ResetTimeout, "reset_timeout") X(Policy, "policy") \
  X(Reward, "reward") X(Sensor, "sensor") X(Check, "check") X(NotReady, "not_ready") X(Homing, "homing")
// clang-format on

enum class StopReason : uint32_t {
#define X(name, text) k##name,
  RTU_RUNTIME_STOP_REASONS(X)
#undef X
};

constexpr uint32_t kRewardBlock = 1000;

// Of a companion (native/runtime/loop/companions.h), while its loop runs.
struct CompanionStatus {
  std::atomic<int> device_state{-1};
  std::atomic<int64_t> newest_ns{0};  // arrival of its newest observation; 0: none of this episode yet
  std::atomic<int64_t> ttl_ns{0};
  std::atomic<uint64_t> lost{0};  // frames from it
};

constexpr int kMaxCompanionStatus = 3;

// Status for other threads. Written by the loop's thread.
struct StatusBoard {
  std::atomic<bool> running{false};
  std::atomic<StopReason> reason{StopReason::kNone};
  std::atomic<uint64_t> turns{0};  // iterations, including those without a step and of the stop: heartbeat
  std::atomic<uint64_t> steps{0};
  std::atomic<uint64_t> episodes{0};
  std::atomic<uint32_t> episode_steps{0};
  std::atomic<double> mean_return;  // of the last episodes; NaN before the first
  // Copied some times a second, NaN where there is none yet.
  std::atomic<double> mean_reward;  // per step: of the last whole block of kRewardBlock steps, before it of all
  std::atomic<double> sigma;        // Spread
  std::atomic<double> entropy;
  std::atomic<uint32_t> findings{0};  // learners::Finding bits, of the last two windows of the learner
  std::atomic<int> device_state{-1};
  std::atomic<uint32_t> mode{0};  // StepInfo, of the last step
  std::atomic<uint32_t> learner_monitor{0};
  std::atomic<uint32_t> check{0};   // of the plant checks: safety::Check in bits 0 to 7, the channel from bit 8
  std::atomic<bool> homing{false};  // the plant is being brought to its start
  LoopCounters counters;            // of the running loop, copied several times a second
  SupervisorCounters supervisor;    // the same of its supervisor; 0 without one
  // Newest observations, each in its own unit; copied several times a second.
  std::atomic<int> observation_size{0};
  std::atomic<float> observations[kMaxObservations] = {};
  std::atomic<int> n_companions{0};  // 0 while no loop runs
  CompanionStatus companions[kMaxCompanionStatus];

  StatusBoard() noexcept;
  void show_observations(const float* x, int n) noexcept;
};

const char* stop_reason_name(StopReason reason) noexcept;

}  // namespace rtu::runtime::record
