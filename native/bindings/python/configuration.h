// Native configurations from the plain dictionaries that rtu_edge.learn has checked.
#pragma once

#include <pybind11/pybind11.h>

#include <vector>

#include "native/learners/stream_ac.h"
#include "native/learners/supervised.h"
#include "native/learners/td_bank.h"
#include "native/learners/td_lambda.h"

namespace rtu::bindings {

cells::RtuConfig cell_configuration(const pybind11::dict& d);
learners::StreamAcConfig agent_configuration(const pybind11::dict& d);  // of StreamAC, StreamQ or StreamSARSA
learners::TdConfig td_configuration(const pybind11::dict& d);
learners::RegressorConfig regressor_configuration(const pybind11::dict& d);
learners::TdBankConfig bank_configuration(const pybind11::dict& d);
// Numbers of each head of a bank: "gammas", "trace_decay".
std::vector<double> head_numbers(const pybind11::dict& d, const char* key);

}  // namespace rtu::bindings
