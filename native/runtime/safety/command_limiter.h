// Conversion of a policy's action to actuator units, and the command limiter before the wire, which the policy cannot
// influence.
#pragma once

#include <stdint.h>

#include <limits>

#include "native/runtime/policy.h"

namespace rtu::runtime::safety {

enum LimiterFlag : uint32_t {
  kLimiterNonFinite = 1,  // replaced by the last value sent
  kLimiterRange = 2,
  kLimiterSlew = 4,
  kLimiterHeld = 8,      // the policy failed: the last command was sent again
  kLimiterClipped = 16,  // the policy's action was outside -1..1 and was clipped (counts as carried out)
  kLimiterAccel = 32,
};

constexpr float kNoLimit = std::numeric_limits<float>::infinity();

struct ActuatorLimits {
  float low = -1;                    // the actuator value of action -1, and the smallest value sent
  float high = 1;                    // the actuator value of action 1, and the largest value sent
  float slew_per_tick = kNoLimit;    // largest change per command
  float rest = 0;                    // inside low..high
  float accel_per_tick2 = kNoLimit;  // largest change, per command, of the change per command
};

// Describes the field of limits that cannot be enforced, or null. Both ends finite, low < high, and the range no
// subnormal and no infinity; slew and acceleration each kNoLimit, or at least the spacing of floats at the larger end,
// below which a command cannot follow (so neither 0, negative, NaN nor subnormal); rest in the range. Every function
// that accepts limits checks them with this.
const char* problem_of(const ActuatorLimits& limits) noexcept;

// u (m,) in actuator units from action: continuous (m,) in [-1, 1], or (1,) the index of one of n_levels levels, spaced
// evenly from low to high, for a single actuator. Finite samples outside are clipped; NaN and infinities are passed on
// to the limiter. Returns kLimiterClipped or 0.
uint32_t map_action(const ActuatorLimits* limits, int m, int n_levels, const float* action, float* u) noexcept;

// The inverse, for the values that the device reports as applied.
void unmap_action(const ActuatorLimits* limits, int m, int n_levels, const float* u, float* action) noexcept;

// True when applied and wanted differ by learners::kSameAction or more, in the policy's units.
bool overridden(const ActuatorLimits* limits, int m, const float* wanted, const float* applied) noexcept;

// Accepts any bit pattern; outputs finite commands limited in range, slew and acceleration. If not all limits can hold,
// range has priority over slew, and slew over acceleration. This happens only when the limiter starts, or its limits
// change, during a movement: otherwise each change leaves enough distance to come to rest before the end of the range.
struct CommandLimiter {
  int m = 0;
  bool enabled = true;
  ActuatorLimits limits[kMaxActuators];
  float last[kMaxActuators] = {};    // last value sent
  float change[kMaxActuators] = {};  // and its change from the previous one

  // Current actuator values (STATE.u_applied after ARM or RESET), from which slew starts, at rest. Non-finite or
  // out-of-range values are clamped.
  void start(const float* applied) noexcept;

  // u (m,) in place. Returns LimiterFlag bits. With enabled = false it only tracks the values.
  uint32_t apply(float* u) noexcept;
  // u (m,) was sent, whatever the limits.
  void follow(const float* u) noexcept;
};

// After a RESET: each of applied (m,) lies between the last command and where the actuator comes to rest, which is its
// rest value or safe (m,), the device's own.
bool has_rested(const CommandLimiter& limiter, const float* safe, const float* applied) noexcept;

}  // namespace rtu::runtime::safety
