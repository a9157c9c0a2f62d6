// A person's source for a loop, as Python holds it.
#pragma once

#include <pybind11/pybind11.h>

#include <atomic>

#include "native/runtime/loop/options.h"
#include "native/runtime/safety/seat.h"

namespace rtu::bindings {

namespace py = pybind11;

// A function that the loop's thread calls in each step, under the interpreter lock (simulated devices only); or, with
// function None, a seat that a Python thread reports to.
class PyTakeOver {
 public:
  PyTakeOver(py::object function, int n, int m, uint32_t back_steps);

  // A report: None for hands off, or (m,) values; valid for so many seconds.
  void post(const py::object& report, double seconds);
  // The newest observation (n,), or None before the first. Its channels may be of two successive steps.
  py::object observation() const;
  // The source has ended by this error.
  void fail(py::object error);
  py::object take_error();

  runtime::loop::TakeOver native() noexcept;

 private:
  static runtime::safety::Hands ask(void* self, const float* x, int n, float* u, int m, int64_t now_ns) noexcept;
  runtime::safety::Hands ask_function(const float* x, float* u) noexcept;

  py::object function_;
  py::object error_ = py::none();
  std::atomic<bool> failed_{false};
  int n_;
  int m_;
  uint32_t back_steps_;
  runtime::safety::Seat seat_;
  std::atomic<bool> seen_{false};
  std::atomic<float> x_[runtime::kMaxObservations] = {};
};

}  // namespace rtu::bindings
