// StreamAC; with a configuration of action values StreamQ and StreamSARSA.
#include <algorithm>
#include <limits>

#include "native/bindings/python/calls.h"
#include "native/bindings/python/configuration.h"
#include "native/bindings/python/findings.h"
#include "native/bindings/python/model.h"
#include "native/bindings/python/schema.h"
#include "native/bindings/python/training.h"
#include "native/runtime/agent_policy.h"

namespace rtu::bindings {

namespace {

using core::Status;
using learners::Phase;

constexpr const char* kNoEpisode = "no episode is under way: call reset(observation) first";
constexpr double kLost = std::numeric_limits<double>::quiet_NaN();  // a missing reward
constexpr const char* kLearnIsDue = "predict() twice: update() comes between two predictions that explore";

class Agent : public Model {
 public:
  virtual py::object reset(const py::object& observation) = 0;
  virtual py::object step(const py::object& observation, const py::object& reward, const py::object& terminated,
                          const py::object& truncated) = 0;
  virtual py::object predict(const py::object& observation, bool explore, double periods, const py::object& reward,
                             const py::object& applied) = 0;
  virtual py::object act(const py::object& observation, bool deterministic, double periods, bool first,
                         const py::object& reward, const py::object& applied) = 0;
  virtual void update(const py::object& reward, const py::object& terminated, const py::object& truncated,
                      const py::object& applied, bool move_weights) = 0;
  virtual py::object run(const py::object& observations, const py::object& rewards, const py::object& terminated,
                         const py::object& truncated, const py::object& applied) = 0;
  virtual py::dict train(NativePlant& plant, const std::string& mode, uint64_t steps, uint64_t episodes,
                         uint64_t cut) = 0;
  virtual py::dict bind(const py::object& self, const py::object& observation, const py::object& action) = 0;
  virtual void begin() = 0;
  virtual int phase() const = 0;
  virtual py::object last_sample() const = 0;
  virtual learners::StepInfo info() const = 0;
  virtual py::dict diagnostics() const = 0;
  virtual bool healthy() const = 0;
  virtual runtime::Policy policy() = 0;
  py::dict findings() const {
    return findings_of(within_call([&] { return reported.windows; }));
  }
  FindingReport reported;
};

template <class T>
class AgentOf final : public Agent {
 public:
  AgentOf(const learners::StreamAcConfig& config, uint64_t seed) {
    const auto* kernels = kernels_for<T>();
    agent_ = build(static_cast<uint32_t>(kernels->lanes),
                   [&](core::Builder& arena) { return learners::make_stream_ac<T>(arena, config); });
    for (int i = 0; i < agent_.nets; ++i) learners::bind_kernels(agent_.net[i], kernels);
    learners::init(agent_, seed);
    agent_.windows = &reported.windows;
  }

  py::object reset(const py::object& observation) override {
    const Numbers<T> x(observation, {agent_.config.observation_size}, "observation");
    T action[learners::kMaxActions];
    {
      const Call call(*this);
      check(start(x.data(), action), "reset");
    }
    reported.report();
    return action_object(action);
  }

  py::object step(const py::object& observation, const py::object& reward, const py::object& terminated,
                  const py::object& truncated) override {
    const double r = signal_of("reward", reward);
    const bool over = flag_of("terminated", terminated), cut = flag_of("truncated", truncated);
    const Numbers<T> x(observation, {agent_.config.observation_size}, "observation");
    T action[learners::kMaxActions];
    {
      const Call call(*this);
      check_order(true);
      check(transition(x.data(), r, over, cut, nullptr, action), "step");
    }
    reported.report();
    return action_object(action);
  }

  py::object predict(const py::object& observation, bool explore, double periods, const py::object& reward,
                     const py::object& applied) override {
    const double r = reward.is_none() ? kLost : signal_of("reward", reward);
    const std::vector<T> done = applied_action(applied);
    const Numbers<T> x(observation, {agent_.config.observation_size}, "observation");
    T action[learners::kMaxActions];
    {
      const Call call(*this);
      check_order(explore);
      check(precede(x.data(), r, done.empty() ? nullptr : done.data()), "predict");
      check(learners::predict(agent_, x.data(), explore, static_cast<T>(periods), action), "predict");
    }
    return action_object(action);
  }

  // Evaluation: h alone advances, and the generator where an action is drawn. first: of an episode.
  py::object act(const py::object& observation, bool deterministic, double periods, bool first,
                 const py::object& reward, const py::object& applied) override {
    const double r = reward.is_none() ? kLost : signal_of("reward", reward);
    const std::vector<T> done = applied_action(applied);
    const Numbers<T> x(observation, {agent_.config.observation_size}, "observation");
    T action[learners::kMaxActions];
    {
      const Call call(*this);
      if (!first) check_order(false);
      if (first) learners::begin(agent_);
      check(precede(x.data(), r, done.empty() ? nullptr : done.data()), "act");
      check(learners::predict(agent_, x.data(), false, static_cast<T>(periods), action), "act");
      if (!deterministic) learners::draw_instead(agent_, action);
    }
    return action_object(action);
  }

  void update(const py::object& reward, const py::object& terminated, const py::object& truncated,
              const py::object& applied, bool move_weights) override {
    const bool over = flag_of("terminated", terminated), cut = flag_of("truncated", truncated);
    const T r = static_cast<T>(reward.is_none() && !move_weights ? kLost : signal_of("reward", reward));
    const std::vector<T> action = applied_action(applied);
    {
      const Call call(*this);
      if (agent_.phase() != Phase::kPredicted)
        throw std::runtime_error("update() without predict(): a step is predict(), then update()");
      check(learners::update(agent_, r, over, cut, action.empty() ? nullptr : action.data(), move_weights), "update");
    }
    reported.report();
  }

  py::object run(const py::object& observations, const py::object& rewards, const py::object& terminated,
                 const py::object& truncated, const py::object& applied) override {
    const Numbers<T> x(observations, {kAny, agent_.config.observation_size}, "observations");
    const py::ssize_t k = x.rows(), d = agent_.config.observation_size, a = width();
    const Numbers<double> r(rewards, {k}, "rewards", static_cast<double>(FLT_MAX));
    const Flags over(terminated, k, "terminated"), cut(truncated, k, "truncated");
    const std::vector<T> done = applied_rows(applied, k);
    std::vector<T> actions(static_cast<size_t>(k * a) + 1);
    Status status = Status::kOk;
    {
      const Released released(*this);
      if (agent_.phase() == Phase::kPredicted) throw std::runtime_error(kLearnIsDue);
      for (py::ssize_t i = 0; i < k && status == Status::kOk; ++i) {
        if (agent_.phase() == Phase::kEnded) learners::begin(agent_);
        status = transition(x.data() + i * d, r.data()[i], over[i], cut[i],
                            done.empty() ? nullptr : done.data() + i * a, actions.data() + i * a);
      }
    }
    check(status, "run");
    reported.report();
    if (!agent_.config.policy.discrete) return py::array_t<T>({k, a}, actions.data());
    py::array_t<int64_t> chosen(k);
    for (py::ssize_t i = 0; i < k; ++i)
      chosen.mutable_data()[i] = static_cast<int64_t>(actions[static_cast<size_t>(i)]);
    return chosen;
  }

  py::dict train(NativePlant& plant, const std::string& mode, uint64_t steps, uint64_t episodes,
                 uint64_t cut) override {
    const learners::PolicyConfig& policy = agent_.config.policy;
    plant.check_fits(agent_.config.observation_size, policy.discrete ? 0 : policy.actions,
                     policy.discrete ? policy.actions : 0);
    TrainingOutput out;
    out.reserve(steps, episodes, plant.window);
    const Mode chosen = mode == "learn" ? Mode::kLearn : mode == "mean" ? Mode::kMean : Mode::kSample;
    Trainer<T> trainer(agent_, plant, out, chosen, cut);
    {
      const Released released(*this);
      if (agent_.phase() == Phase::kPredicted) throw std::runtime_error(kLearnIsDue);
      out.stopped = trainer.run(steps, episodes);
    }
    reported.report();
    return training_result(plant, out);
  }

  py::dict bind(const py::object& self, const py::object& observation, const py::object& action) override {
    auto bound = std::make_unique<Bound>();
    bound->observation = Buffer<T>(observation, "observation_buffer", agent_.config.observation_size, false);
    bound->action = Buffer<T>(action, "action_buffer", width(), true);
    bound->model = this;
    bound->owner = self;
    const py::capsule capsule = capsule_of(std::move(bound));
    py::dict functions;
    functions["reset_bound"] = fast_function(Bound::reset_definition, capsule);
    functions["step_bound"] = fast_function(Bound::step_definition, capsule);
    return functions;
  }

  void begin() override {
    const Call call(*this);
    learners::begin(agent_);
  }
  int phase() const override {
    return static_cast<int>(within_call([&] { return agent_.phase(); }));
  }
  py::object last_sample() const override {
    T action[learners::kMaxActions];
    within_call([&] { return std::copy_n(agent_.action, width(), action); });
    return array_from(action, width());
  }
  learners::StepInfo info() const override {
    return within_call([&] { return *agent_.info; });
  }

  py::dict diagnostics() const override {
    Newest newest;
    {
      const Call call(*this);
      newest = newest_of(agent_);
    }
    return diagnostics_of(agent_.config.policy, newest);
  }
  bool healthy() const override {
    return within_call([&] { return learners::healthy(agent_); });
  }

  runtime::Policy policy() override {
    as_policy_.agent = agent_;
    as_policy_.sections = table();
    as_policy_.memory = memory();
    as_policy_.bytes = bytes();
    runtime::Policy policy = as_policy_.policy();
    policy.occupancy = &occupancy();
    return policy;
  }

 protected:
  void apply_pending() noexcept override { learners::flush(agent_); }

 private:
  // Buffers of reset_bound() and step_bound().
  struct Bound {
    AgentOf* model = nullptr;
    py::object owner;  // keeps the model alive
    Buffer<T> observation, action;

    static PyObject* reset(PyObject* self, PyObject*) noexcept {
      const Bound& bound = bound_of<Bound>(self);
      Status status;
      {
        const Occupied occupied(&bound.model->occupancy(), User::kCall);
        if (const char* problem = occupied.problem()) return raise_runtime(problem);
        const DenormalsFlushed flushed;
        status = bound.model->start(bound.observation.data(), bound.action.data());
      }
      if (status == Status::kOk) return bound.model->reported.none_or_error();
      return bound.refused(status, "reset_bound");
    }

    static PyObject* step(PyObject* self, PyObject* const* arguments, Py_ssize_t n, PyObject* keywords) noexcept {
      const Bound& bound = bound_of<Bound>(self);
      PyObject* given[3];
      double reward = 0;
      bool terminated = false, truncated = false;
      if (!take_arguments("step_bound", {"reward", "terminated", "truncated"}, 1, arguments, n, keywords, given) ||
          !take_signal("reward", given[0], &reward) || !take_flag("terminated", given[1], &terminated) ||
          !take_flag("truncated", given[2], &truncated))
        return nullptr;
      const char* problem = nullptr;
      Status status = Status::kOk;
      {
        const Occupied occupied(&bound.model->occupancy(), User::kCall);
        problem = occupied.problem();
        if (problem == nullptr) problem = bound.model->out_of_order(true);
        const DenormalsFlushed flushed;
        if (problem == nullptr)
          status = bound.model->transition(bound.observation.data(), reward, terminated, truncated, nullptr,
                                           bound.action.data());
      }
      if (problem != nullptr) return raise_runtime(problem);
      if (status == Status::kOk) return bound.model->reported.none_or_error();
      return bound.refused(status, "step_bound");
    }

    PyObject* refused(Status status, const char* function) const noexcept {
      return raise_for(status, function, "observation", observation.data(), model->agent_.config.observation_size);
    }

    static inline PyMethodDef reset_definition = {
        "reset_bound", &Bound::reset, METH_NOARGS,
        "reset_bound()\n--\n\nStarts an episode: reads the bound observation, writes the first action."};
    static inline PyMethodDef step_definition =
        fast_method("step_bound", &Bound::step,
                    "step_bound(reward, terminated=False, truncated=False)\n--\n\n"
                    "Learns from the transition into the bound observation, writes the next action.");
  };

  py::ssize_t width() const { return agent_.config.policy.width(); }

  // Null, or the reason why predict() is not allowed now.
  const char* out_of_order(bool explore) const noexcept {
    if (agent_.phase() == Phase::kPredicted) return kLearnIsDue;
    return explore && agent_.phase() == Phase::kEnded ? kNoEpisode : nullptr;
  }
  void check_order(bool explore) const {
    if (const char* problem = out_of_order(explore)) throw std::runtime_error(problem);
  }

  // An episode's first observation: nothing to learn from yet.
  Status start(const T* x, T* action) noexcept {
    if (!learners::all_finite(x, agent_.config.observation_size)) return Status::kNonFinite;
    learners::begin(agent_);
    return transition(x, 0, false, false, nullptr, action);
  }

  // One whole step. reward has been checked.
  Status transition(const T* x, double reward, bool terminated, bool truncated, const T* applied, T* action) noexcept {
    Status status = precede(x, reward, applied);
    if (!core::failed(status)) status = learners::predict(agent_, x, true, T(1), action);
    if (core::failed(status)) return status;
    return learners::update(agent_, static_cast<T>(reward), terminated, truncated, applied);
  }

  // Before predict(): what preceded the observation x. Nothing changes where predict() refuses x.
  Status precede(const T* x, double reward, const T* applied) noexcept {
    if (agent_.previous == nullptr) return Status::kOk;
    if (!learners::all_finite(x, agent_.config.observation_size)) return Status::kNonFinite;
    return learners::set_previous(agent_, static_cast<T>(reward), applied);
  }

  // (width) an applied action, or empty.
  std::vector<T> applied_action(const py::object& applied) const {
    if (applied.is_none()) return {};
    if (agent_.config.policy.discrete) return {static_cast<T>(applied.cast<int>())};
    const Numbers<T> given(applied, {width()}, "applied");
    return std::vector<T>(given.data(), given.data() + given.size());
  }

  // (k, width) applied actions, or empty.
  std::vector<T> applied_rows(const py::object& applied, py::ssize_t k) const {
    if (applied.is_none()) return {};
    const bool discrete = agent_.config.policy.discrete;
    const Numbers<T> given =
        discrete ? Numbers<T>(applied, {k}, "applied") : Numbers<T>(applied, {k, width()}, "applied");
    const std::string range = "an integer from 0 to " + std::to_string(agent_.config.policy.actions - 1);
    for (py::ssize_t i = 0; discrete && i < k; ++i) {
      const T value = given.data()[i];
      if (!(value >= T(0) && value < static_cast<T>(agent_.config.policy.actions) && std::floor(value) == value))
        given.refuse_element(i, "applied", range.c_str());
    }
    return std::vector<T>(given.data(), given.data() + given.size());
  }

  py::object action_object(const T* action) const {
    if (agent_.config.policy.discrete) return py::int_(static_cast<int>(action[0]));
    return array_from(action, width());
  }

  learners::StreamAc<T> agent_;
  runtime::AgentPolicy<T> as_policy_;
};

std::unique_ptr<Agent> make_agent(const py::dict& config, const std::string& dtype, uint64_t seed) {
  if (dtype == "float64") return std::make_unique<AgentOf<double>>(agent_configuration(config), seed);
  return std::make_unique<AgentOf<float>>(agent_configuration(config), seed);
}

}  // namespace

void bind_agent(py::module_& m) {
  py::class_<Agent, Model>(m, "StreamAC")
      .def(py::init(&make_agent), py::arg("config"), py::arg("dtype"), py::arg("seed"))
      .def("reset", &Agent::reset, py::arg("observation"))
      .def("step", &Agent::step, py::arg("observation"), py::arg("reward"), py::arg("terminated"), py::arg("truncated"))
      .def("predict", &Agent::predict, py::arg("observation"), py::arg("explore"), py::arg("periods"),
           py::arg("reward"), py::arg("applied"))
      .def("act", &Agent::act, py::arg("observation"), py::arg("deterministic"), py::arg("periods"), py::arg("first"),
           py::arg("reward"), py::arg("applied"))
      .def("update", &Agent::update, py::arg("reward"), py::arg("terminated"), py::arg("truncated"), py::arg("applied"),
           py::arg("move_weights"))
      .def("run", &Agent::run, py::arg("observations"), py::arg("rewards"), py::arg("terminated"), py::arg("truncated"),
           py::arg("applied"))
      .def("train", &Agent::train, py::arg("plant"), py::arg("mode"), py::arg("steps"), py::arg("episodes"),
           py::arg("cut"))
      .def(
          "bind",
          [](const py::object& self, const py::object& observation, const py::object& action) {
            return self.cast<Agent&>().bind(self, observation, action);
          },
          py::arg("observation_buffer"), py::arg("action_buffer"))
      .def("begin", &Agent::begin)
      .def("policy", &Agent::policy, py::keep_alive<0, 1>())
      .def_property_readonly("phase", &Agent::phase)
      .def_property_readonly("diagnostics", &Agent::diagnostics)
      .def_property_readonly("findings", &Agent::findings)
      .def("report_findings", [](Agent& self) { self.reported.report(); })
      .def("on_finding", [](Agent& self, const py::object& call) { self.reported.call = call; })
      .def_property_readonly("healthy", &Agent::healthy)
      .def_property_readonly("last_sample", &Agent::last_sample)
      .def_property_readonly("info", [](const Agent& self) { return learner_info(self.info()); });
}

}  // namespace rtu::bindings
