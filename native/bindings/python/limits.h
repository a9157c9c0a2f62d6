// Limits of the actuators as Python gives them: per actuator (low, high, slew per s, rest, acceleration per s^2), inf
// for none.
#pragma once

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <string>
#include <tuple>
#include <vector>

#include "native/runtime/safety/command_limiter.h"

namespace rtu::bindings {

using namespace runtime;
using namespace runtime::safety;

inline void limits_of(const pybind11::object& rows, double period_s, ActuatorLimits* out) {
  const auto limits = rows.cast<std::vector<std::tuple<double, double, double, double, double>>>();
  for (size_t i = 0; i < limits.size() && i < kMaxActuators; ++i) {
    const auto& [low, high, slew_per_s, rest, accel_per_s2] = limits[i];
    out[i] = {static_cast<float>(low), static_cast<float>(high), static_cast<float>(slew_per_s * period_s),
              static_cast<float>(rest < low ? low : (rest > high ? high : rest)),
              static_cast<float>(accel_per_s2 * period_s * period_s)};
    if (const char* problem = problem_of(out[i]))
      throw pybind11::value_error("limits[" + std::to_string(i) + "]." + problem);
  }
}

}  // namespace rtu::bindings
