// What comes in passes here before anything computes with it: per channel non-finite, drop-out, range, spike, stuck, each
// with a policy. Everything is counted; a value that is replaced is marked.
#ifndef RTU_RUNTIME_INPUT_GATE_H
#define RTU_RUNTIME_INPUT_GATE_H

#include <stdint.h>

#include "native/runtime/gate.h"
#include "native/runtime/telemetry.h"

namespace rtu::runtime {

enum InputFlag : uint32_t {
  kInputNonFinite = 1,  // an infinity
  kInputDropout = 2,    // NaN: the channel is missing
  kInputRange = 4,
  kInputSpike = 8,   // further from the last good value than one step can be
  kInputStuck = 16,  // the same bits for too long while the commands move
  kInputHeld = 32,   // the last good value took its place
  kInputClamped = 64,
  kInputFallback = 128,  // the fallback has to drive
  kInputStop = 256,      // the run has to end
  kInputReward = 512,    // the reward was not finite, or out of its range: not learned from
};

enum class InputAction : uint32_t {
  kHold,      // the last good value, for at most hold_steps; then the fallback drives
  kClamp,     // to the nearest value allowed; where there is none (NaN, stuck) as kHold
  kFallback,  // the last good value, and the fallback drives
  kStop,      // the last good value, the fallback drives, and the run ends
};

constexpr uint32_t kAgreeSteps = 3;    // readings in a row within `spike` of each other are a new level
constexpr float kStuckCommand = 0.5F;  // how far the action has to have moved altogether, in -1..1, to call it stuck

struct InputChannel {
  float low = -3.402823466e38F;
  float high = 3.402823466e38F;
  float spike = 0;           // largest change per step; 0: not looked at
  uint32_t stuck_steps = 0;  // 0: not looked at
  uint32_t hold_steps = 5;
  InputAction on_dropout = InputAction::kHold;
  InputAction on_range = InputAction::kClamp;
  InputAction on_spike = InputAction::kHold;
  InputAction on_stuck = InputAction::kFallback;
};

struct InputVerdict {
  uint32_t flags = 0;    // of all channels
  uint32_t channel = 0;  // the first with any
};

struct InputGate {
  int n = 0;
  InputChannel channels[kMaxObservations];
  float reward_low = -3.402823466e38F;
  float reward_high = 3.402823466e38F;

  // An episode's start: the machine may have been put anywhere.
  void begin() noexcept;

  // x (n) as it came, moved: sum over the actuators of |change of the action| since the last call, out (n) finite and
  // in range.
  InputVerdict apply(const float* x, float moved, float* out, SupervisorCounters* counters) noexcept;

  bool reward_allowed(float reward) const noexcept { return reward >= reward_low && reward <= reward_high; }

 private:
  struct Memory {
    float good = 0;  // the last good value, where there is one
    float raw = 0;   // the last finite reading
    bool any_good = false, any_raw = false;
    uint32_t held = 0;   // steps in a row
    uint32_t agree = 0;  // raw readings in a row that lie within `spike` of each other
    uint32_t same = 0;   // steps in a row with the same bits
    float moved = 0;     // meanwhile
  };
  uint32_t fault(const InputChannel& channel, Memory& memory, float x, float moved) noexcept;
  uint32_t replace(const InputChannel& channel, Memory& memory, float x, uint32_t fault, float* out) noexcept;

  Memory memory_[kMaxObservations];
};

}  // namespace rtu::runtime

#endif
