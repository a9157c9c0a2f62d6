// What a loop checks of the plant, from Python: checks, start region, homing, arming.
#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include "native/bindings/python/loop_options.h"
#include "native/bindings/python/one_at_a_time.h"
#include "native/bindings/python/policy.h"

namespace rtu::bindings {

using namespace runtime::safety;
using namespace runtime::loop;

void fill(const py::list& values, float* out, int room) {
  if (static_cast<int>(values.size()) > room) throw py::value_error("more numbers than values");
  int i = 0;
  for (const py::handle& value : values) out[i++] = value.cast<float>();
}

namespace {

CheckOptions check_options(const py::dict& checks, int n, int m) {
  CheckOptions out;
  out.effect = checks["effect"].cast<bool>();
  out.still = checks["still"].cast<bool>();
  out.reward = checks["reward"].cast<bool>();
  out.warn_steps = checks["warn_steps"].cast<uint32_t>();
  out.stop_steps = checks["stop_steps"].cast<uint32_t>();
  fill(checks["command"], out.command, m);
  fill(checks["moves"], out.moves, n);
  const auto responds = checks["responds"].cast<std::vector<int>>();
  for (size_t i = 0; i < responds.size() && i < kMaxObservations; ++i)
    out.responds[i] = static_cast<Responds>(responds[i]);
  const auto observations = checks["observations"].cast<std::vector<uint64_t>>();
  for (size_t k = 0; k < observations.size() && k < kMaxActuators; ++k) out.observations[k] = observations[k];
  return out;
}

// The checks of a loop, on arrays: for benchmarks and tests.
class PyChecks {
 public:
  PyChecks(const py::dict& options, int n, int m) : n_(n), m_(m) {
    if (n < 1 || m < 1 || n + m > kMaxObservations) throw py::value_error("n and m: 1 or more, at most 55 together");
    checks_.start(check_options(options, n, m), n, m);
  }

  // x (k, n), u and applied (k, m), first and usable (k,): the finding after each step, as in StatusBoard.check, with
  // bit 31 for one that stops. (k,) uint32.
  py::array_t<uint32_t> run(const Floats& x, const Floats& u, const Floats& applied, const py::array_t<bool>& first,
                            const py::array_t<bool>& usable) {
    const py::ssize_t count = first.size();
    if (x.size() != count * n_ || u.size() != count * m_ || applied.size() != count * m_ || usable.size() != count)
      throw py::value_error("arrays of another size");
    py::array_t<uint32_t> found(count);
    uint32_t* const out = found.mutable_data();
    for (py::ssize_t k = 0; k < count; ++k) {
      if (first.at(k)) checks_.begin(x.data() + k * n_);
      checks_.step(x.data() + k * n_, u.data() + k * m_, applied.data() + k * m_);
      if (!first.at(k)) checks_.reward(usable.at(k));
      const CheckFinding now = checks_.any() ? checks_.finding() : CheckFinding{};
      out[k] = static_cast<uint32_t>(now.check) | now.channel << 8 | (now.stops ? 1u << 31 : 0u);
    }
    return found;
  }

 private:
  int n_, m_;
  PlantChecks checks_;
};

}  // namespace

void plant_options(const py::dict& d, LoopOptions* o) {
  o->observation_names = d["observation_names"].cast<std::vector<std::string>>();
  o->actuator_names = d["actuator_names"].cast<std::vector<std::string>>();
  // With those of companions.
  const int n = static_cast<int>(o->observation_names.size()), m = static_cast<int>(o->actuator_names.size());
  if (n + m > kMaxObservations) throw py::value_error("more than 55 observations and actuators");
  if (const py::dict checks = d["checks"]; !checks.empty()) o->checks = check_options(checks, n, m);
  if (const py::dict start = d["start"]; !start.empty()) {
    StartOptions& out = o->start;
    out.checked = true;
    fill(start["low"], out.low, n);
    fill(start["high"], out.high, n);
    out.share = start["share"].cast<float>();
    out.settle_steps = start["settle_steps"].cast<uint32_t>();
    out.timeout_steps = start["timeout_steps"].cast<uint32_t>();
    if (!start["policy"].is_none()) out.homing = start["policy"].cast<const Policy&>();
    if (out.homing.predict != nullptr && (out.homing.observation_size != n || out.homing.action_size != m))
      throw py::value_error("homing: its controller was made for another device");
  }
  if (const py::dict arming = d["arming"]; !arming.empty()) {
    o->arming.checked = true;
    o->arming.pose = arming["pose"].cast<bool>();
    fill(arming["low"], o->arming.low, n);
    fill(arming["high"], o->arming.high, n);
  }
}

}  // namespace rtu::bindings

void bind_checks(pybind11::module_& m) {
  using namespace rtu::bindings;
  py::class_<PyChecks>(m, "PlantChecks")
      .def(py::init<const py::dict&, int, int>(), py::arg("options"), py::arg("n"), py::arg("m"))
      .def("run", one_at_a_time(&PyChecks::run), py::arg("x"), py::arg("u"), py::arg("applied"), py::arg("first"),
           py::arg("usable"));
}
