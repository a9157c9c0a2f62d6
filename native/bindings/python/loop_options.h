// Shared by the bindings of the loop and of its logs.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <string>
#include <utility>
#include <vector>

#include "firmware_bridge/protocol/messages.h"
#include "native/runtime/loop/options.h"
#include "native/runtime/policy.h"

namespace rtu::bindings {

using namespace runtime;

using Fields = std::vector<std::pair<std::string, pybind11::object>>;  // name, format

// Fields of a telemetry record, and of packed rows.
pybind11::dtype record_dtype(int n, int m);
pybind11::dtype dtype_of(const Fields& fields, size_t stride);

// Options of a session from a dict of LoopConfig's fields, with hold, safe and limits in force.
loop::LoopOptions session_options(const pybind11::dict& d, const tl_hello& hello);

// `checks`, `start` and `arming` of such a dict, each a dict as rtu_edge/loop/checks.py makes it, or empty.
void plant_options(const pybind11::dict& d, loop::LoopOptions* o);

// Writes numbers, at most `room` of them.
void fill(const pybind11::list& values, float* out, int room);

// Of a TL_STATUS_*, in words.
const char* status_text(uint8_t status);

// The Fields of a struct from the list of its fields in native/runtime.
#define RTU_FIELD(name, format) {#name, pybind11::str(format)},
#define RTU_FIELD_BYTES(name, format) +sizeof(Row::name)
#define RTU_FIELDS_OF(Struct, LIST)                                                              \
  [] {                                                                                           \
    using Row = Struct;                                                                          \
    static_assert(sizeof(Row) == 0 LIST(RTU_FIELD_BYTES), "a field without a line, or padding"); \
    return Fields{LIST(RTU_FIELD)};                                                              \
  }()

}  // namespace rtu::bindings
