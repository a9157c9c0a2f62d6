// Policies for Python: the function table, for tools that run one step by step, and the fallback controllers.
#include <dlfcn.h>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <string.h>

#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "native/bindings/python/policy.h"
#include "native/bindings/python/schema.h"
#include "native/runtime/denormals.h"
#include "native/runtime/policy.h"
#include "native/runtime/record/counters.h"
#include "native/runtime/safety/fallbacks.h"

namespace py = pybind11;

namespace rtu::bindings {

using namespace runtime;
using namespace runtime::safety;
namespace {

std::unique_ptr<PdPolicy> make_pd(int observation_size, const Row& bias, const std::vector<Row>& p,
                                  const std::vector<Row>& d) {
  check_sizes(observation_size, bias.size());
  auto policy = std::make_unique<PdPolicy>();
  policy->observation_size = observation_size;
  policy->action_size = static_cast<int>(bias.size());
  for (size_t k = 0; k < bias.size(); ++k) policy->bias[k] = bias[k];
  fill_gains(p, bias.size(), observation_size, policy->p);
  fill_gains(d, bias.size(), observation_size, policy->d);
  return policy;
}

// The library stays open: its code may run until the process ends.
std::unique_ptr<FunctionPolicy> make_function(const std::string& path, const std::string& symbol, int observation_size,
                                              const py::object& limits) {
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) throw py::value_error(std::string("cannot open ") + dlerror());
  void* address = dlsym(library, symbol.c_str());
  if (address == nullptr) throw py::value_error(path + ": no function named " + symbol);
  check_sizes(observation_size, py::len(limits));
  auto policy = std::make_unique<FunctionPolicy>();
  memcpy(&policy->function, &address, sizeof address);
  policy->observation_size = observation_size;
  policy->action_size = static_cast<int>(py::len(limits));
  limits_of(limits, 1, policy->limits);
  return policy;
}

// A Python function as a policy: takes the interpreter lock in each step, so for simulation only.
struct PyFunctionPolicy {
  py::object function;
  py::object error = py::none();
  int observation_size = 0;
  int action_size = 0;
  ActuatorLimits limits[kMaxActuators];
  bool first = true;
  std::mutex mutex;  // of error

  void keep(py::object&& found) noexcept {
    const std::lock_guard<std::mutex> lock(mutex);
    if (error.is_none()) std::swap(error, found);
  }
  py::object take_error() noexcept {
    py::object taken = py::none();
    const std::lock_guard<std::mutex> lock(mutex);
    std::swap(error, taken);
    return taken;
  }

  Policy policy() noexcept { return controller_policy(this, predict); }

  static int predict(void* self, const float* x, int, float* action) noexcept {
    auto* c = static_cast<PyFunctionPolicy*>(self);
    const py::gil_scoped_acquire acquire;
    try {
      const Floats u(c->function(py::array_t<float>(c->observation_size, x), c->first));
      if (u.size() != c->action_size) throw py::value_error("one number per actuator expected");
      unmap_action(c->limits, c->action_size, 0, u.data(), action);
      c->first = false;
      return 0;
    } catch (py::error_already_set& e) {
      c->keep(py::object(e.value()));
    } catch (const std::exception& e) {
      c->keep(py::module_::import("builtins").attr("ValueError")(e.what()));
    }
    c->first = false;
    return -1;
  }
};

std::unique_ptr<PyFunctionPolicy> make_py_function(const py::object& function, int observation_size,
                                                   const py::object& limits) {
  check_sizes(observation_size, py::len(limits));
  auto policy = std::make_unique<PyFunctionPolicy>();
  policy->function = function;
  policy->observation_size = observation_size;
  policy->action_size = static_cast<int>(py::len(limits));
  limits_of(limits, 1, policy->limits);
  return policy;
}

// ------------------------------------------------------------------ the table, step by step

// One call of a policy. kRun, because a fallback may be a function in Python.
class Stepping {
 public:
  explicit Stepping(const Policy& policy) : occupied_(policy.occupancy, User::kRun) {
    if (const char* problem = occupied_.problem()) throw std::runtime_error(problem);
  }

 private:
  Occupied occupied_;
  DenormalsFlushed flushed_;
};

int begin(const Policy& policy) {
  const Stepping stepping(policy);
  return policy.begin(policy.self);
}

py::tuple predict(const Policy& policy, const Floats& observation, bool explore) {
  py::array_t<float> action(policy.action_size);
  const float* x = row_of(observation, policy.observation_size, "observation");
  float* written = action.mutable_data();
  int status = 0;
  {
    const Stepping stepping(policy);
    status = policy.predict(policy.self, x, explore, written);
  }
  return py::make_tuple(status, action);
}

void previous(const Policy& policy, float reward, const py::object& applied) {
  Floats action;
  if (!applied.is_none()) action = applied.cast<Floats>();
  const float* given = applied.is_none() ? nullptr : row_of(action, policy.action_size, "applied");
  if (policy.previous != nullptr) policy.previous(policy.self, reward, given);
}

int update(const Policy& policy, float reward, bool terminated, bool truncated, const py::object& applied,
           bool move_weights) {
  Floats action;
  if (!applied.is_none()) action = applied.cast<Floats>();
  const float* given = applied.is_none() ? nullptr : row_of(action, policy.action_size, "applied");
  const Stepping stepping(policy);
  return policy.update(policy.self, reward, terminated, truncated, given, move_weights);
}

py::dict info(const Policy& policy) {
  if (policy.info == nullptr) return {};
  StepInfo i;
  {
    const Stepping stepping(policy);
    const StepInfo* found = policy.info(policy.self);
    if (found == nullptr) return {};
    i = *found;
  }
  py::dict out = learner_info(i);
  out["sensor_monitor"] = i.sensor_monitor;
  out["sensor_channel"] = i.sensor_channel;
  out["learner_monitor"] = i.learner_monitor;
  out["mode"] = i.mode;
  return out;
}

uint64_t hash(const Policy& policy) {
  const Stepping stepping(policy);
  return policy.hash != nullptr ? policy.hash(policy.self) : 0;
}

py::bytes state(const Policy& policy) {
  py::bytes out(nullptr, static_cast<py::ssize_t>(policy.state_bytes));
  char* written = PyBytes_AS_STRING(out.ptr());
  const Stepping stepping(policy);
  if (policy.state_bytes > 0) memcpy(written, policy.state, policy.state_bytes);
  return out;
}

py::dict counters(const Policy& policy) {
  py::dict out;
  if (policy.counters == nullptr) return out;
#define X(name) out[#name] = policy.counters->name.get();
  RTU_RUNTIME_SUPERVISOR_COUNTERS(X)
#undef X
  return out;
}

}  // namespace
}  // namespace rtu::bindings

void bind_policy(py::module_& m) {
  using namespace rtu::bindings;
  py::class_<Policy>(m, "Policy")
      .def_readonly("observation_size", &Policy::observation_size)
      .def_readonly("action_size", &Policy::action_size)
      .def_readonly("n_levels", &Policy::n_levels)
      .def("begin", &begin)
      .def("predict", &predict, py::arg("observation"), py::arg("explore"))
      .def("previous", &previous, py::arg("reward"), py::arg("applied") = py::none())
      .def("update", &update, py::arg("reward"), py::arg("terminated") = false, py::arg("truncated") = false,
           py::arg("applied") = py::none(), py::arg("move_weights") = true)
      .def("info", &info)
      .def("hash", &hash)
      .def("state", &state)
      .def("counters", &counters);

  py::class_<PdPolicy>(m, "PdPolicy")
      .def(py::init(&make_pd), py::arg("observation_size"), py::arg("bias"), py::arg("p"), py::arg("d"))
      .def("policy", &PdPolicy::policy, py::keep_alive<0, 1>());

  py::class_<FunctionPolicy>(m, "FunctionPolicy")
      .def(py::init(&make_function), py::arg("path"), py::arg("symbol"), py::arg("observation_size"), py::arg("limits"))
      .def("policy", &FunctionPolicy::policy, py::keep_alive<0, 1>());

  py::class_<PyFunctionPolicy>(m, "PyFunctionPolicy")
      .def(py::init(&make_py_function), py::arg("function"), py::arg("observation_size"), py::arg("limits"))
      .def("policy", &PyFunctionPolicy::policy, py::keep_alive<0, 1>())
      .def("take_error", &PyFunctionPolicy::take_error);
}
