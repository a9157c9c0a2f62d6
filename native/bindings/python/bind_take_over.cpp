// Take-over by a person, for Python: the source of a loop, and the way back in a script's own loop.
#include "native/bindings/python/take_over.h"

#include <pybind11/numpy.h>
#include <string.h>

#include <cmath>
#include <string>
#include <utility>

#include "native/bindings/python/link.h"
#include "native/bindings/python/one_at_a_time.h"
#include "native/bindings/python/policy.h"
#include "native/runtime/clock.h"

namespace rtu::bindings {

using namespace runtime;
using safety::HandOver;
using safety::Hands;

namespace {

// None: hands off. Values are copied to u (m,).
Hands report_of(const py::object& report, int m, float* u) {
  if (report.is_none()) return Hands::kOff;
  const Floats values(report);
  memcpy(u, row_of(values, m, "take_over"), sizeof(float) * static_cast<size_t>(m));
  for (int k = 0; k < m; ++k)
    if (!std::isfinite(u[k])) return Hands::kSilent;
  return Hands::kOn;
}

}  // namespace

PyTakeOver::PyTakeOver(py::object function, int n, int m, uint32_t back_steps)
    : function_(std::move(function)), n_(n), m_(m), back_steps_(back_steps) {
  if (n < 1 || m < 1 || n + m > kMaxObservations) throw py::value_error("take_over: n + m: 2..55");
}

void PyTakeOver::post(const py::object& report, double seconds) {
  float u[kMaxActuators];
  const Hands hands = report_of(report, m_, u);
  seat_.post(hands, u, m_, monotonic_clock().now() + to_ns(seconds));
}

py::object PyTakeOver::observation() const {
  if (!seen_.load(std::memory_order_acquire)) return py::none();
  py::array_t<float> x(n_);
  for (int i = 0; i < n_; ++i) x.mutable_data()[i] = x_[i].load(std::memory_order_relaxed);
  return std::move(x);
}

void PyTakeOver::fail(py::object error) {
  if (!failed_.load()) error_ = std::move(error);
  failed_.store(true);
}

py::object PyTakeOver::take_error() { return std::exchange(error_, py::none()); }

loop::TakeOver PyTakeOver::native() noexcept { return {this, &PyTakeOver::ask, &failed_, back_steps_}; }

Hands PyTakeOver::ask(void* self, const float* x, int n, float* u, int m, int64_t now_ns) noexcept {
  auto* s = static_cast<PyTakeOver*>(self);
  for (int i = 0; i < n; ++i) s->x_[i].store(x[i], std::memory_order_relaxed);
  s->seen_.store(true, std::memory_order_release);
  if (s->failed_.load(std::memory_order_relaxed)) return Hands::kSilent;
  return s->function_.is_none() ? s->seat_.read(now_ns, u, m) : s->ask_function(x, u);
}

Hands PyTakeOver::ask_function(const float* x, float* u) noexcept {
  const py::gil_scoped_acquire acquire;
  try {
    return report_of(function_(py::array_t<float>(n_, x)), m_, u);
  } catch (py::error_already_set& e) {
    fail(py::object(e.value()));
  } catch (const std::exception& e) {
    fail(py::module_::import("builtins").attr("ValueError")(e.what()));
  }
  return Hands::kSilent;
}

namespace {

// One step of a script's own loop: the command (m,) after the person or the way back.
py::array_t<float> step(HandOver& hand_over, bool person, const Floats& last, const Floats& u) {
  if (last.size() != u.size()) throw py::value_error("last and u: of different lengths");
  py::array_t<float> out(u.size(), u.data());
  hand_over.step(person ? Hands::kOn : Hands::kOff, false, last.data(), out.mutable_data());
  return out;
}

}  // namespace
}  // namespace rtu::bindings

void bind_take_over(py::module_& m) {
  using namespace rtu::bindings;
  using rtu::runtime::safety::HandOver;
  py::class_<PyTakeOver>(m, "TakeOver")
      .def(py::init<py::object, int, int, uint32_t>(), py::arg("function"), py::arg("n"), py::arg("m"),
           py::arg("back_steps"))
      .def("post", one_at_a_time(&PyTakeOver::post), py::arg("report"), py::arg("seconds"))
      .def("observation", one_at_a_time(&PyTakeOver::observation))
      .def("fail", one_at_a_time(&PyTakeOver::fail), py::arg("error"))
      .def("take_error", one_at_a_time(&PyTakeOver::take_error));
  m.attr("FOREIGN") = rtu::runtime::safety::kForeign;
  py::class_<HandOver>(m, "HandOver")
      .def(py::init([](int size, uint32_t back_steps) {
             if (size < 1 || size > rtu::runtime::kMaxActuators) throw py::value_error("m: 1..55");
             return HandOver(size, back_steps);
           }),
           py::arg("m"), py::arg("back_steps"))
      .def("begin", one_at_a_time(&HandOver::begin))
      .def("step", one_at_a_time(&step), py::arg("person"), py::arg("last"), py::arg("u"))
      .def_property_readonly("foreign", one_at_a_time(&HandOver::foreign));
}
