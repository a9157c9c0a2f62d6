// Conversion between the types of rtu_edge/device/schema.py and C++; the only place that does this.
//
//   Limits           -> ActuatorLimits   per second in doubles -> per period in floats
//   tl_hello, row   -> bytes            payloads as on the wire; rtu_edge/device/protocol makes Hello and Channel
//   StepInfo         -> dict             by field name
#pragma once

#include <pybind11/pybind11.h>

#include <string>

#include "firmware_bridge/protocol/messages.h"
#include "native/runtime/safety/command_limiter.h"

namespace rtu::bindings {

// s; the same double as Hello.period_s: the division rounds once.
inline double period_s(const tl_hello& hello) { return static_cast<double>(hello.period_us) / 1e6; }

// limits: a sequence of Limits in force (schema.in_force()) without unknown values. ValueError if one cannot be
// enforced.
inline void limits_of(const pybind11::sequence& limits, double period_s, runtime::safety::ActuatorLimits* out) {
  for (size_t i = 0; i < limits.size() && i < static_cast<size_t>(runtime::kMaxActuators); ++i) {
    const pybind11::object given = limits[i];
    const auto number = [&given](const char* name) { return given.attr(name).cast<double>(); };
    const double low = number("min"), high = number("max"), rest = number("rest");
    out[i] = {static_cast<float>(low), static_cast<float>(high), static_cast<float>(number("slew_per_s") * period_s),
              static_cast<float>(rest < low ? low : (rest > high ? high : rest)),
              static_cast<float>(number("accel_per_s2") * period_s * period_s)};
    if (const char* problem = runtime::safety::problem_of(out[i]))
      throw pybind11::value_error("limits[" + std::to_string(i) + "]." + problem);
  }
}

// The payload of a message, by its own pack().
template <class Message>
pybind11::bytes payload_of(const Message& message, void (*pack)(const Message*, tl_frame*)) {
  tl_frame frame;
  pack(&message, &frame);
  return {reinterpret_cast<const char*>(frame.payload), frame.size};
}

// A learner's report of its last step.
template <class Info>
pybind11::dict learner_info(const Info& info) {
  using pybind11::arg;
  return pybind11::dict(arg("value") = info.value, arg("delta") = info.delta,
                        arg("step_size_actor") = info.step_size_actor, arg("step_size_critic") = info.step_size_critic);
}

}  // namespace rtu::bindings
