// A session driven call by call, for Python: rtu_edge/loop/manual.py is the face, this only converts.
#include "native/runtime/loop/manual.h"

#include <pybind11/numpy.h>

#include <memory>
#include <string>

#include "native/bindings/python/link.h"
#include "native/bindings/python/loop_options.h"
#include "native/bindings/python/one_at_a_time.h"
#include "native/bindings/python/policy.h"

namespace rtu::bindings {

using namespace runtime;
using namespace runtime::loop;
namespace {

constexpr int64_t kSliceNs = 50 * kNsPerMs;

// Holds the Link object, so that it outlives this.
class PyManual {
 public:
  PyManual(py::object link, const py::dict& options) : link_object_(std::move(link)) {
    PyLink& own = link_object_.cast<PyLink&>();
    link_ = &own;
    if (own.hello.period_us == 0) throw py::value_error("handshake() first");
    manual_ = std::make_unique<Manual>(own.link, monotonic_clock(), own.hello, session_options(options, own.hello));
  }
  ~PyManual() { close(); }

  // Each returns None, or (status, reason, message) of what kept it from being done.
  py::object open() {
    return call([this](int64_t) { return manual_->open(); }, 0);
  }
  py::object reset(uint32_t seed) {
    return call([this, seed](int64_t) { return manual_->reset(seed); }, 0);
  }
  // u (m,) float32 is limited in place.
  py::object command(py::array_t<float, py::array::c_style> u, double timeout_s) {
    float* const values = u.mutable_data();
    return call([&](int64_t deadline_ns) { return manual_->command(values, deadline_ns); }, timeout_s);
  }
  // (x, applied, reward, epflags, state, fault, age_us of the command or None) in place of None.
  py::object await(bool answer, double timeout_s) {
    Arrival arrival;
    const auto wanted = answer ? Manual::Wanted::kAnswer : Manual::Wanted::kNewest;
    py::object problem =
        call([&](int64_t deadline_ns) { return manual_->await(wanted, deadline_ns, &arrival); }, timeout_s);
    if (!problem.is_none()) return problem;
    const tl_state& s = arrival.state;
    return py::make_tuple(py::array_t<float>(s.n, s.x), py::array_t<float>(s.m, s.u), s.reward,
                          static_cast<int>(s.epflags), static_cast<int>(s.state), static_cast<int>(s.fault),
                          arrival.t_us);
  }
  void close() {
    if (manual_ == nullptr || link_->fd < 0) return;
    py::gil_scoped_release release;
    manual_->close();
  }
  bool is_open() const { return manual_->is_open(); }
  bool confirmed() const { return manual_->confirmed(); }
  uint32_t check() const { return manual_->check(); }

 private:
  // In slices, with the interpreter's lock released, so that Python sees its signals.
  template <class Call>
  py::object call(Call run, double timeout_s) {
    if (link_->fd < 0) return problem(ManualStatus::kStopped, "link_lost", "the link is closed");
    const int64_t give_up_ns = monotonic_clock().now() + to_ns(timeout_s);
    for (;;) {
      ManualStatus status;
      int64_t now = 0;
      {
        py::gil_scoped_release release;
        now = monotonic_clock().now();
        status = run(give_up_ns - now < kSliceNs ? give_up_ns : now + kSliceNs);
        now = monotonic_clock().now();
      }
      if (status == ManualStatus::kOk) return py::none();
      if (status == ManualStatus::kBusy)
        return problem(status, "busy", "the link is in use by a running loop or an emergency stop");
      if (status == ManualStatus::kStopped) {
        std::string text = manual_->stop().message();
        if (manual_->stop().reason() == StopReason::kArmRefused)
          text += std::string(" (") + status_text(manual_->ack_status()) + ")";
        return problem(status, record::stop_reason_name(manual_->stop().reason()), text);
      }
      if (PyErr_CheckSignals() != 0) throw py::error_already_set();
      if (now >= give_up_ns) return problem(status, "timeout", "no observation in time");
    }
  }
  static py::object problem(ManualStatus status, const char* reason, const std::string& text) {
    return py::make_tuple(static_cast<int>(status), reason, text);
  }

  py::object link_object_;
  PyLink* link_ = nullptr;
  std::unique_ptr<Manual> manual_;
};

}  // namespace
}  // namespace rtu::bindings

void bind_manual(py::module_& m) {
  using namespace rtu::bindings;
  py::class_<PyManual>(m, "Manual")
      .def(py::init<py::object, const py::dict&>(), py::arg("link"), py::arg("options"))
      .def("open", one_at_a_time(&PyManual::open))
      .def("reset", one_at_a_time(&PyManual::reset), py::arg("seed"))
      .def("command", one_at_a_time(&PyManual::command), py::arg("u").noconvert(), py::arg("timeout_s"))
      .def("wait", one_at_a_time(&PyManual::await), py::arg("answer"), py::arg("timeout_s"))
      .def("close", one_at_a_time(&PyManual::close))
      .def_property_readonly("is_open", one_at_a_time(&PyManual::is_open))
      .def_property_readonly("check", one_at_a_time(&PyManual::check))
      .def_property_readonly("confirmed", one_at_a_time(&PyManual::confirmed));
}
