// What the learner monitor's windows show, in Python: diagnostics, findings, and the call for a new finding.
#pragma once

#include <pybind11/pybind11.h>

#include <cmath>

#include "native/learners/stream_ac.h"

namespace rtu::bindings {

namespace py = pybind11;

// Of the newest step, and of the last window.
struct Newest {
  learners::Spread spread;
  learners::StepInfo info;
  double clipped = 0;  // share of actuators whose sample was clipped
  learners::LearnerWindows windows;
};

template <class T>
Newest newest_of(const learners::StreamAc<T>& agent) {
  const learners::PolicyConfig& policy = agent.config.policy;
  int clipped = 0;
  for (int k = 0; k < policy.width(); ++k) clipped += std::fabs(agent.action[k]) > T(1) ? 1 : 0;
  return {learners::spread(agent), *agent.info, static_cast<double>(clipped) / policy.width(), *agent.windows};
}

py::dict diagnostics_of(const learners::PolicyConfig& policy, const Newest& newest);

// findings, seen (bits), first (update of each, in the order of bits).
py::dict findings_of(const learners::LearnerWindows& windows);

// Calls a Python function once for each finding that is new.
struct FindingReport {
  learners::LearnerWindows windows;
  py::object call = py::none();  // of the bits of the new findings

  // Outside of a call of the learner, with the interpreter lock. Throws what the function raises.
  void report() {
    if (windows.unreported != 0) report_now();
  }
  // None, or null with Python's error set.
  PyObject* none_or_error() noexcept;
  // The same with a number.
  PyObject* number_or_error(double number) noexcept {
    PyObject* const none = none_or_error();
    if (none == nullptr) return nullptr;
    Py_DECREF(none);
    return PyFloat_FromDouble(number);
  }

 private:
  void report_now();
};

}  // namespace rtu::bindings
