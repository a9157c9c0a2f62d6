// Shared by the bindings of policies: checked rows of numbers from Python.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <string>
#include <vector>

#include "native/runtime/policy.h"

namespace rtu::bindings {

namespace py = pybind11;
using runtime::kMaxActuators;
using runtime::kMaxObservations;

using Row = std::vector<float>;
using Floats = py::array_t<float, py::array::c_style | py::array::forcecast>;

// Why a policy over the link is limited to kMaxObservations (docs/protocol.md).
constexpr const char* kFrameHolds =
    ": a STATE frame has a payload of 238 bytes, 16 of them before the values, and a value takes 4";

inline void check_sizes(int observation_size, size_t action_size) {
  if (observation_size < 1 || observation_size > kMaxObservations || action_size < 1 || action_size > kMaxActuators)
    throw py::value_error(std::string("observation_size and len(bias): 1..55 each") + kFrameHolds);
}

inline void fill_gains(const std::vector<Row>& rows, size_t action_size, int observation_size,
                       float (*out)[kMaxObservations]) {
  if (rows.empty()) return;
  if (rows.size() != action_size) throw py::value_error("gain: one row per action");
  for (size_t k = 0; k < rows.size(); ++k) {
    if (rows[k].size() != static_cast<size_t>(observation_size))
      throw py::value_error("gain: one column per observation");
    for (size_t i = 0; i < rows[k].size(); ++i) out[k][i] = rows[k][i];
  }
}

inline const float* row_of(const Floats& values, int n, const char* name) {
  if (values.size() != n) throw py::value_error(std::string(name) + ": expected " + std::to_string(n) + " numbers");
  return values.data();
}

}  // namespace rtu::bindings
