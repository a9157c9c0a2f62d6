// A linear policy that counts its calls, and the command limiter alone.
#include <memory>

#include "native/bindings/python/policy.h"
#include "native/bindings/python/schema.h"
#include "native/testing/linear_policy.h"

namespace rtu::testing {

using namespace bindings;
using namespace runtime;
using namespace runtime::safety;

namespace {

std::unique_ptr<LinearPolicy> make_linear(int observation_size, const Row& bias, const std::vector<Row>& gain,
                                          int n_levels) {
  check_sizes(observation_size, bias.size());
  auto policy = std::make_unique<LinearPolicy>();
  policy->observation_size = observation_size;
  policy->action_size = static_cast<int>(bias.size());
  policy->n_levels = n_levels;
  for (size_t k = 0; k < bias.size(); ++k) policy->bias[k] = bias[k];
  fill_gains(gain, bias.size(), observation_size, policy->gain);
  return policy;
}

// The command limiter with the mapping in front of it, as the loop has them.
struct PyLimiter {
  CommandLimiter limiter;
  int n_levels = 0;

  PyLimiter(const py::object& limits, double period_s, int levels) : n_levels(levels) {
    limiter.m = static_cast<int>(py::len(limits));
    check_sizes(1, py::len(limits));
    limits_of(limits, period_s, limiter.limits);
  }

  py::tuple apply(const Floats& action) {
    py::array_t<float> u(limiter.m);
    uint32_t flags = map_action(limiter.limits, limiter.m, n_levels,
                                row_of(action, n_levels > 0 ? 1 : limiter.m, "action"), u.mutable_data());
    flags |= limiter.apply(u.mutable_data());
    return py::make_tuple(u, flags);
  }
};

}  // namespace

void bind_policy(py::module_& m) {
  py::class_<LinearPolicy>(m, "LinearPolicy")
      .def(py::init(&make_linear), py::arg("observation_size"), py::arg("bias"),
           py::arg("gain") = std::vector<std::vector<float>>{}, py::arg("n_levels") = 0)
      .def("policy", &LinearPolicy::policy, py::keep_alive<0, 1>())
      .def_readonly("predictions", &LinearPolicy::predictions)
      .def_readonly("updates", &LinearPolicy::updates)
      .def_readonly("overridden", &LinearPolicy::overridden)
      .def_readonly("last_reward", &LinearPolicy::last_reward);

  py::class_<PyLimiter>(m, "CommandLimiter")
      .def(py::init<const py::object&, double, int>(), py::arg("limits"), py::arg("period_s"), py::arg("n_levels") = 0)
      .def("start", [](PyLimiter& self, const Floats& u) { self.limiter.start(row_of(u, self.limiter.m, "u")); })
      .def("apply", &PyLimiter::apply, py::arg("action"));
}

}  // namespace rtu::testing
