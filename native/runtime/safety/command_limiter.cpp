#include "native/runtime/safety/command_limiter.h"

#include <algorithm>
#include <cfloat>
#include <cmath>

#include "native/learners/policy_head.h"

namespace rtu::runtime::safety {
namespace {

// Written so that NaN becomes low.
float clamp(float value, float low, float high) noexcept {
  if (!(value >= low)) return low;
  return value > high ? high : value;
}

int nearest_level(float fraction, int n_levels) noexcept {
  const float position = clamp(fraction, 0.0f, 1.0f) * static_cast<float>(n_levels - 1);
  return static_cast<int>(position + 0.5f);
}

// The largest change towards an end at distance `room` from which the changes can still decrease by `a` each to 0:
// v + (v - a) + (v - 2a) + ... <= room, all terms positive. With n terms after the first, n a < v <= (n + 1) a.
double stoppable(double room, double a) noexcept {
  if (!(room > 0)) return 0;
  const double n = std::ceil((std::sqrt(1.0 + 8.0 * room / a) - 3.0) / 2.0);
  const double after = n > 0 ? n : 0;
  return (room + a * after * (after + 1.0) / 2.0) / (after + 1.0);
}

// u with the acceleration limited: relative to the last change, and such that it can still come to rest in the range.
float accelerated(const ActuatorLimits& l, float last, float change, float u) noexcept {
  const double a = static_cast<double>(l.accel_per_tick2);
  const double from = static_cast<double>(last);
  const double up = std::fmin(static_cast<double>(change) + a, stoppable(static_cast<double>(l.high) - from, a));
  const double down = std::fmax(static_cast<double>(change) - a, -stoppable(from - static_cast<double>(l.low), a));
  const double wanted = static_cast<double>(u) - from;
  // The end of the range has priority if the two conflict.
  const double towards = change >= 0 ? std::fmin(std::fmax(wanted, down), up) : std::fmax(std::fmin(wanted, up), down);
  return static_cast<float>(from + towards);
}

// The change that a float32 command at `end` cannot represent.
bool too_small(float change, float end) noexcept {
  return !(change >= std::nextafter(end, kNoLimit) - end && change >= FLT_MIN);
}

}  // namespace

const char* problem_of(const ActuatorLimits& l) noexcept {
  const float range = l.high - l.low, end = std::fmax(std::fabs(l.low), std::fabs(l.high));
  if (!std::isfinite(l.low) || !std::isfinite(l.high) || !(range >= FLT_MIN && range <= FLT_MAX))
    return "low and high: both must be finite, low below high, and their difference a float32";
  if (too_small(l.slew_per_tick, end))
    return "slew: must be inf, or more in a period than float32 leaves between two commands";
  if (too_small(l.accel_per_tick2, end))
    return "acceleration: must be inf, or more in a period squared than float32 leaves between two commands";
  return l.rest >= l.low && l.rest <= l.high ? nullptr : "rest: must be from low to high";
}

uint32_t map_action(const ActuatorLimits* limits, int m, int n_levels, const float* action, float* u) noexcept {
  if (n_levels > 0) {
    const ActuatorLimits& l = limits[0];
    const float span = n_levels > 1 ? static_cast<float>(n_levels - 1) : 1.0f;
    u[0] = std::isfinite(action[0]) ? clamp(l.low + action[0] / span * (l.high - l.low), l.low, l.high) : action[0];
    return 0;
  }
  uint32_t flags = 0;
  for (int i = 0; i < m; ++i) {
    const ActuatorLimits& l = limits[i];
    float a = action[i];
    if (std::isfinite(a)) {
      if (a < -1.0f || a > 1.0f) flags |= kLimiterClipped;
      a = clamp(a, -1.0f, 1.0f);
      u[i] = clamp(l.low + (a + 1.0f) * 0.5f * (l.high - l.low), l.low, l.high);
    } else {
      u[i] = a;
    }
  }
  return flags;
}

void unmap_action(const ActuatorLimits* limits, int m, int n_levels, const float* u, float* action) noexcept {
  if (n_levels > 0) {
    const float fraction = (u[0] - limits[0].low) / (limits[0].high - limits[0].low);
    action[0] = static_cast<float>(nearest_level(fraction, n_levels));
    return;
  }
  for (int i = 0; i < m; ++i) {
    const float fraction = (u[i] - limits[i].low) / (limits[i].high - limits[i].low);
    action[i] = 2.0f * fraction - 1.0f;
  }
}

bool overridden(const ActuatorLimits* limits, int m, const float* wanted, const float* applied) noexcept {
  for (int i = 0; i < m; ++i) {
    const float tolerance = 0.5f * static_cast<float>(learners::kSameAction) * (limits[i].high - limits[i].low);
    if (!(std::fabs(wanted[i] - applied[i]) < tolerance)) return true;
  }
  return false;
}

void CommandLimiter::start(const float* applied) noexcept {
  for (int i = 0; i < m; ++i) {
    const float from = std::isfinite(applied[i]) ? applied[i] : limits[i].rest;
    last[i] = clamp(from, limits[i].low, limits[i].high);
    change[i] = 0;
  }
}

uint32_t CommandLimiter::apply(float* u) noexcept {
  uint32_t flags = 0;
  for (int i = 0; i < m && enabled; ++i) {
    const ActuatorLimits& l = limits[i];
    if (!std::isfinite(u[i])) {
      u[i] = last[i];
      flags |= kLimiterNonFinite;
    }
    const float inside = clamp(u[i], l.low, l.high);
    if (inside != u[i]) flags |= kLimiterRange;
    u[i] = inside;
    if (l.slew_per_tick < kNoLimit) {
      const float slewed = clamp(u[i], last[i] - l.slew_per_tick, last[i] + l.slew_per_tick);
      if (slewed != u[i]) flags |= kLimiterSlew;
      u[i] = slewed;
    }
    if (l.accel_per_tick2 < kNoLimit) {
      const float eased = accelerated(l, last[i], change[i], u[i]);
      if (eased != u[i]) flags |= kLimiterAccel;
      u[i] = eased;
      // For rounding, and for a slew limit that was already exceeded: range before slew before acceleration.
      if (l.slew_per_tick < kNoLimit) u[i] = clamp(u[i], last[i] - l.slew_per_tick, last[i] + l.slew_per_tick);
      u[i] = clamp(u[i], l.low, l.high);
    }
  }
  follow(u);
  return flags;
}

void CommandLimiter::follow(const float* u) noexcept {
  for (int i = 0; i < m; ++i) {
    change[i] = u[i] - last[i];
    last[i] = u[i];
  }
}

bool has_rested(const CommandLimiter& limiter, const float* safe, const float* applied) noexcept {
  for (int i = 0; i < limiter.m; ++i) {
    const float ends[] = {limiter.last[i], limiter.limits[i].rest, safe[i]};
    if (!(applied[i] >= *std::min_element(ends, ends + 3) && applied[i] <= *std::max_element(ends, ends + 3)))
      return false;
  }
  return true;
}

}  // namespace rtu::runtime::safety
