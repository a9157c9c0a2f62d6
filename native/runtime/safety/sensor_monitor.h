// Checks each observation before anything computes with it: per channel non-finite, drop-out, range, spike, stuck, each
// with a configured action. All findings are counted; replaced values are marked.
#pragma once

#include <stdint.h>

#include "native/runtime/record/counters.h"
#include "native/runtime/safety/command_limiter.h"

namespace rtu::runtime::safety {

enum SensorFlag : uint32_t {
  kSensorNonFinite = 1,  // an infinity
  kSensorDropout = 2,    // NaN: the channel is missing
  kSensorRange = 4,
  kSensorSpike = 8,   // further from the last good value than the plant can move in one step
  kSensorStuck = 16,  // the same bits for too long while the commands move
  kSensorHeld = 32,   // the last good value took its place
  kSensorClamped = 64,
  kSensorFallback = 128,  // the fallback has to drive
  kSensorStop = 256,      // the run has to end
  kSensorReward = 512,    // the reward was not finite, or out of its range: not learned from
};

enum class SensorAction : uint32_t {
  kHold,      // the last good value, for at most hold_steps; then the fallback drives
  kClamp,     // clamp to the nearest allowed value; if there is none (NaN, stuck), as kHold
  kFallback,  // the last good value, and the fallback drives
  kStop,      // the last good value, the fallback drives, and the run ends
};

constexpr uint32_t kAgreeSteps = 3;    // readings in a row within `spike` of each other are a new level
constexpr float kStuckCommand = 0.5f;  // total change of the action, in -1..1, required to classify a channel as stuck

struct SensorChannel {
  float low = -3.402823466e38f;
  float high = 3.402823466e38f;
  float spike = 0;           // largest change per step; 0 disables the check
  uint32_t stuck_steps = 0;  // 0 disables the check
  uint32_t hold_steps = 5;
  SensorAction on_dropout = SensorAction::kHold;
  SensorAction on_range = SensorAction::kClamp;
  SensorAction on_spike = SensorAction::kHold;
  SensorAction on_stuck = SensorAction::kFallback;
};

struct SensorReport {
  uint32_t flags = 0;    // flags of all channels
  uint32_t channel = 0;  // the first channel with a flag
};

struct SensorMonitor {
  int n = 0;
  SensorChannel channels[kMaxObservations];
  float reward_low = -3.402823466e38f;
  float reward_high = 3.402823466e38f;

  // Start of an episode: the plant may be anywhere.
  void begin() noexcept;

  // x (n) as it came, moved: sum over the actuators of |change of the action| since the last call, out (n) finite and
  // in range.
  SensorReport apply(const float* x, float moved, float* out, record::SupervisorCounters* counters) noexcept;

  bool reward_allowed(float reward) const noexcept { return reward >= reward_low && reward <= reward_high; }

 private:
  struct Memory {
    float good = 0;  // the last good value, if any
    float raw = 0;   // the last finite reading
    bool any_good = false, any_raw = false;
    uint32_t held = 0;   // steps in a row
    uint32_t agree = 0;  // raw readings in a row that lie within `spike` of each other
    uint32_t same = 0;   // steps in a row with the same bits
    float moved = 0;     // sum of action changes meanwhile
  };
  uint32_t fault(const SensorChannel& channel, Memory& memory, float x, float moved) noexcept;
  uint32_t replace(const SensorChannel& channel, Memory& memory, float x, uint32_t fault, float* out) noexcept;

  Memory memory_[kMaxObservations];
};

}  // namespace rtu::runtime::safety
