// The supervisor for Python: converts arguments and results; the public API is rtu_edge/loop/supervisor.py.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "native/bindings/python/policy.h"
#include "native/runtime/safety/supervisor.h"

namespace py = pybind11;

namespace rtu::bindings {

using namespace runtime;
using namespace runtime::safety;
namespace {

Mode mode_named(const std::string& name) {
  static const std::vector<std::string> kNames = {"none", "off", "shadow", "ab", "learn", "frozen", "residual"};
  for (size_t i = 1; i < kNames.size(); ++i)
    if (kNames[i] == name) return static_cast<Mode>(i);
  throw py::value_error("mode: '" + name + "', allowed: 'off', 'shadow', 'ab', 'learn', 'frozen', 'residual'");
}

SensorAction action_named(const std::string& name) {
  static const std::vector<std::string> kNames = {"hold", "clamp", "fallback", "stop"};
  for (size_t i = 0; i < kNames.size(); ++i)
    if (kNames[i] == name) return static_cast<SensorAction>(i);
  throw py::value_error("sensor: '" + name + "', allowed: 'hold', 'clamp', 'fallback', 'stop'");
}

template <class T>
T take(const py::dict& d, const char* key) {
  return d[key].cast<T>();
}

SensorChannel channel_of(const py::dict& d) {
  SensorChannel c;
  c.low = take<float>(d, "low");
  c.high = take<float>(d, "high");
  c.spike = take<float>(d, "spike");
  c.stuck_steps = take<uint32_t>(d, "stuck_steps");
  c.hold_steps = take<uint32_t>(d, "hold_steps");
  c.on_dropout = action_named(take<std::string>(d, "on_dropout"));
  c.on_range = action_named(take<std::string>(d, "on_range"));
  c.on_spike = action_named(take<std::string>(d, "on_spike"));
  c.on_stuck = action_named(take<std::string>(d, "on_stuck"));
  return c;
}

void monitor_of(const py::dict& d, SupervisorOptions* o) {
  learners::MonitorConfig& g = o->monitor_config;
  o->monitor = take<bool>(d, "enabled");
  g.snapshots = take<int32_t>(d, "snapshots");
  g.snapshot_steps = take<uint32_t>(d, "snapshot_steps");
  g.validation_steps = take<uint32_t>(d, "validation_steps");
  g.scan_bytes = take<uint64_t>(d, "scan_bytes");
  g.weight_change = take<double>(d, "weight_change");
  g.td_error = take<double>(d, "td_error");
  g.td_warmup = take<uint32_t>(d, "td_warmup");
  g.saturated_steps = take<uint32_t>(d, "saturated_steps");
  g.retention = take<double>(d, "retention");
  o->max_rollbacks = take<uint32_t>(d, "max_rollbacks");
  o->rate_window = take<uint32_t>(d, "rate_window");
  o->rate = take<float>(d, "rate");
  if (g.snapshots < 1 || g.snapshots > learners::kMaxSnapshots)
    throw py::value_error("learner_monitor.snapshots: 1..8");
}

SupervisorOptions options_of(const py::dict& d) {
  SupervisorOptions o;
  o.mode = mode_named(take<std::string>(d, "mode"));
  const auto channels = take<std::vector<py::dict>>(d, "channels");
  if (channels.size() > kMaxObservations) throw py::value_error("channels: at most 55");
  for (size_t i = 0; i < channels.size(); ++i) o.sensors.channels[i] = channel_of(channels[i]);
  o.sensors.reward_low = take<float>(d, "reward_low");
  o.sensors.reward_high = take<float>(d, "reward_high");
  monitor_of(take<py::dict>(d, "learner_monitor"), &o);
  const auto residual = take<std::vector<float>>(d, "residual"), rest = take<std::vector<float>>(d, "rest");
  for (size_t k = 0; k < residual.size() && k < kMaxActuators; ++k) o.residual[k] = residual[k];
  for (size_t k = 0; k < rest.size() && k < kMaxActuators; ++k) o.rest[k] = rest[k];
  o.ab_block = take<uint32_t>(d, "ab_block");
  o.ab_episodes = take<bool>(d, "ab_episodes");
  o.dwell_steps = take<uint32_t>(d, "dwell_steps");
  o.recovery_steps = take<uint32_t>(d, "recovery_steps");
  o.max_switches = take<uint32_t>(d, "max_switches");
  o.switch_window = take<uint32_t>(d, "switch_window");
  if (o.ab_block < 1) throw py::value_error("ab_block: at least 1");
  if (o.max_switches < 1 || o.max_switches > kMaxSwitches) throw py::value_error("max_switches: 1..64");
  return o;
}

// fallback: a Policy, or None to hold the last action.
std::unique_ptr<Supervisor> make_supervisor(const Policy& learner, const py::object& fallback,
                                            const py::dict& options) {
  const SupervisorOptions o = options_of(options);
  if (learner.observation_size > kMaxObservations || learner.action_size > kMaxActuators)
    throw py::value_error(std::string("learner: at most 55 observations and 55 actions") + kFrameHolds);
  if (o.mode == Mode::kResidual && learner.n_levels > 0)
    throw py::value_error("mode: 'residual' needs a learner with continuous actions");
  Policy other;
  if (!fallback.is_none()) {
    other = fallback.cast<const Policy&>();
    if (other.observation_size != learner.observation_size || other.action_size != learner.action_size)
      throw py::value_error("fallback: number of observations or actions differs from the learner's");
  }
  return std::make_unique<Supervisor>(learner, other, o);
}

// Throws while a loop or a run() has the learner, and with it the supervisor.
class Entered {
 public:
  explicit Entered(Supervisor& supervisor) : occupied_(supervisor.policy().occupancy, User::kCall) {
    if (const char* problem = occupied_.problem()) throw std::runtime_error(problem);
  }

 private:
  Occupied occupied_;
};

py::bytes bytes_of(const std::vector<unsigned char>& data) {
  return py::bytes(reinterpret_cast<const char*>(data.data()), data.size());
}

}  // namespace
}  // namespace rtu::bindings

void bind_supervisor(py::module_& m) {
  using namespace rtu::bindings;
  py::class_<Supervisor>(m, "Supervisor")
      .def(py::init(&make_supervisor), py::arg("learner"), py::arg("fallback"), py::arg("options"),
           py::keep_alive<1, 2>(), py::keep_alive<1, 3>())
      .def("policy", &Supervisor::policy, py::keep_alive<0, 1>())
      .def_property_readonly("frozen", &Supervisor::frozen)
      .def_property_readonly("locked", &Supervisor::locked)
      .def("state",
           [](Supervisor& self) {
             std::vector<unsigned char> copied(self.copy_bytes());
             {
               const Entered entered(self);
               self.copy(copied.data(), true);
             }
             return bytes_of(self.encode(copied.data()));
           })
      .def("encode",
           [](const Supervisor& self, const py::bytes& copied) {
             if (static_cast<size_t>(PyBytes_GET_SIZE(copied.ptr())) != self.copy_bytes())
               throw py::value_error("copied: expected " + std::to_string(self.copy_bytes()) + " bytes");
             return bytes_of(self.encode(reinterpret_cast<const unsigned char*>(PyBytes_AS_STRING(copied.ptr()))));
           })
      .def("check",
           [](const Supervisor& self, const py::bytes& state) {
             const char* problem = self.check(reinterpret_cast<const unsigned char*>(PyBytes_AS_STRING(state.ptr())),
                                              static_cast<size_t>(PyBytes_GET_SIZE(state.ptr())));
             return std::string(problem == nullptr ? "" : problem);
           })
      .def("restore",
           [](Supervisor& self, const py::bytes& state) {
             const auto* bytes = reinterpret_cast<const unsigned char*>(PyBytes_AS_STRING(state.ptr()));
             const auto n = static_cast<size_t>(PyBytes_GET_SIZE(state.ptr()));
             const char* problem = nullptr;
             {
               const Entered entered(self);
               problem = self.restore(bytes, n);
             }
             if (problem != nullptr) throw py::value_error(problem);
           })
      .def("snapshot", [](Supervisor& self) {
        std::vector<unsigned char> copied;
        {
          const Entered entered(self);
          const unsigned char* found = self.snapshot();
          if (found != nullptr) copied.assign(found, found + self.policy().state_bytes);
        }
        return bytes_of(copied);
      });
}
