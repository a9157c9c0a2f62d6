// What the bindings of the loop and of its logs share.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <string>
#include <utility>
#include <vector>

namespace rtu::runtime {

// Of a telemetry record, and of one row of a list of fields at their natural offsets.
pybind11::dtype record_dtype(int n, int m);
pybind11::dtype dtype_of(const std::vector<std::pair<std::string, pybind11::object>>& fields, size_t stride);

}  // namespace rtu::runtime
