// NativePlant: what rtu_edge/learn/native.py gives the training loop.
#include "native/bindings/python/native_plant.h"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <memory>
#include <string>

#include "native/bindings/python/arrays.h"

namespace rtu::bindings {

namespace {

template <class Function>
Function function_at(uintptr_t address) {
  return reinterpret_cast<Function>(address);
}

// Shares of the range per period and per period squared; infinite: no limit.
void limit(NativePlant& plant, float slew, float accel) {
  if (slew == runtime::safety::kNoLimit && accel == runtime::safety::kNoLimit) return;
  if (plant.low.empty() || plant.low.size() > static_cast<size_t>(runtime::kMaxActuators))
    refuse("limits: expected low and high of at most " + std::to_string(runtime::kMaxActuators) + " actuators");
  for (size_t k = 0; k < plant.low.size(); ++k) {
    runtime::safety::ActuatorLimits& one = plant.limiter.limits[k];
    const float range = plant.high[k] - plant.low[k];
    one = {plant.low[k], plant.high[k], slew * range, plant.low[k] + 0.5f * range, accel * range};
    if (const char* problem = runtime::safety::problem_of(one)) refuse(std::string("limits: ") + problem);
  }
  plant.limiter.m = static_cast<int>(plant.low.size());
}

// functions: the addresses of reset, step, observe and limit (0: none).
std::unique_ptr<NativePlant> make_native_plant(py::object owner, const std::vector<uintptr_t>& functions,
                                               uintptr_t state, int observation_size, int action_size,
                                               std::vector<float> low, std::vector<float> high,
                                               std::vector<float> levels, float slew, float accel, bool told,
                                               uint32_t max_steps, uint32_t next_seed, uint64_t window) {
  if (functions.size() != 4 || functions[0] == 0 || functions[1] == 0 || functions[2] == 0 || state == 0)
    refuse("functions, state: expected the addresses of reset, step and observe, of limit or 0, and of the state");
  if (observation_size < 1 || action_size < 1 || window < 1)
    refuse("observation_size, action_size, window: expected 1 or more");
  const size_t m = static_cast<size_t>(action_size);
  if (low.size() != high.size() || (!low.empty() && low.size() != m) || levels.size() % m != 0)
    refuse("low, high, levels: expected one value per actuator");
  auto plant = std::make_unique<NativePlant>();
  plant->owner = std::move(owner);
  plant->reset = function_at<decltype(plant->reset)>(functions[0]);
  plant->step = function_at<decltype(plant->step)>(functions[1]);
  plant->observe = function_at<decltype(plant->observe)>(functions[2]);
  plant->limit = function_at<decltype(plant->limit)>(functions[3]);
  plant->state = reinterpret_cast<void*>(state);
  plant->low = std::move(low);
  plant->high = std::move(high);
  plant->levels = std::move(levels);
  plant->max_steps = max_steps;
  plant->next_seed = next_seed;
  plant->window = window;
  plant->told = told;
  plant->x.resize(static_cast<size_t>(observation_size));
  plant->u.resize(m);
  plant->wanted.resize(m);
  limit(*plant, slew, accel);
  return plant;
}

const char* text_of(Stopped stopped) {
  return stopped == Stopped::kDiverged ? "diverged" : stopped == Stopped::kNonFinite ? "not finite" : "";
}

template <class T>
py::array_t<T> array_of(const std::vector<T>& values) {
  return array_from(values.data(), static_cast<py::ssize_t>(values.size()));
}

}  // namespace

void NativePlant::check_fits(int observation_size, int actuators, int choices) const {
  if (x.size() != static_cast<size_t>(observation_size))
    refuse("plant: " + std::to_string(x.size()) + " observations, the agent has " + std::to_string(observation_size));
  const size_t expected = choices == 0 ? static_cast<size_t>(actuators) : u.size();
  if (u.size() != expected || levels.size() != static_cast<size_t>(choices) * u.size())
    refuse("plant: its actuators or levels do not fit the agent's actions");
}

py::dict training_result(const NativePlant& plant, const TrainingOutput& out) {
  using py::arg;
  const auto rows = static_cast<py::ssize_t>(out.windows.size()) / kWindowColumns;
  return py::dict(arg("returns") = array_of(out.returns), arg("lengths") = array_of(out.lengths),
                  arg("ended_at") = array_of(out.ended_at), arg("ends") = array_of(out.ends),
                  arg("windows") = py::array_t<double>({rows, py::ssize_t{kWindowColumns}}, out.windows.data()),
                  arg("stopped") = text_of(out.stopped), arg("steps") = plant.steps,
                  arg("reward_sum") = plant.reward_sum, arg("episode_return") = plant.episode_return,
                  arg("episode_length") = plant.episode_length, arg("next_seed") = plant.next_seed);
}

void bind_native_plant(py::module_& m) {
  py::class_<NativePlant>(m, "NativePlant")
      .def(py::init(&make_native_plant), py::kw_only(), py::arg("owner"), py::arg("functions"), py::arg("state"),
           py::arg("observation_size"), py::arg("action_size"), py::arg("low"), py::arg("high"), py::arg("levels"),
           py::arg("slew"), py::arg("accel"), py::arg("told"), py::arg("max_steps"), py::arg("next_seed"),
           py::arg("window"));
}

}  // namespace rtu::bindings
