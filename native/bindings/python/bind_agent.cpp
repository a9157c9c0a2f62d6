// StreamAC, TDPredictor, OnlineRegressor.
#include "native/bindings/python/configuration.h"
#include "native/bindings/python/model.h"
#include "native/runtime/policy.h"

namespace rtu::bindings {

namespace {

using learners::Phase;

class Agent : public Model {
 public:
  virtual py::object predict(const py::object& observation, bool explore, double periods) = 0;
  virtual void learn(double reward, bool terminated, bool truncated, const py::object& executed, bool update) = 0;
  virtual void begin() = 0;
  virtual int phase() const = 0;
  virtual py::object last_sample() const = 0;
  virtual learners::StepInfo info() const = 0;
  virtual runtime::Policy policy() = 0;
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
  }

  void flush() override { learners::flush(agent_); }

  py::object predict(const py::object& observation, bool explore, double periods) override {
    const auto x = vector_from<T>(observation, agent_.config.observations, "observation");
    T action[learners::kMaxActions];
    const DenormalsFlushed flushed;
    check(learners::predict(agent_, x.data(), explore, static_cast<T>(periods), action), "predict");
    return action_object(action);
  }

  void learn(double reward, bool terminated, bool truncated, const py::object& executed, bool update) override {
    std::vector<T> done;
    if (!executed.is_none()) {
      if (agent_.config.policy.discrete)
        done.push_back(static_cast<T>(executed.cast<int>()));
      else
        done = vector_from<T>(executed, agent_.config.policy.width(), "executed");
    }
    const DenormalsFlushed flushed;
    check(learners::learn(agent_, reward, terminated, truncated, executed.is_none() ? nullptr : done.data(), update),
          "learn");
  }

  void begin() override { learners::begin(agent_); }
  int phase() const override { return static_cast<int>(agent_.phase()); }
  py::object last_sample() const override { return array_from(agent_.action, agent_.config.policy.width()); }
  learners::StepInfo info() const override { return *agent_.info; }

  runtime::Policy policy() override {
    runtime::Policy policy{};
    policy.self = this;
    policy.n_observations = agent_.config.observations;
    policy.n_actions = agent_.config.policy.width();
    policy.n_levels = agent_.config.policy.discrete ? agent_.config.policy.actions : 0;
    policy.begin = [](void* self) noexcept {
      learners::begin(of(self));
      return 0;
    };
    policy.predict = [](void* self, const float* observation, int explore, float* action) noexcept {
      const auto& agent = of(self);
      T x[kMaxObservations], a[learners::kMaxActions];
      for (int i = 0; i < agent.config.observations; ++i) x[i] = static_cast<T>(observation[i]);
      // A predict() after a predict(): the transition between them was not learned from, the traces have to pass it all the same.
      if (agent.phase() == Phase::predicted) (void)learners::learn<T>(agent, 0, false, false, nullptr, false);
      const core::Status status = learners::predict(agent, x, explore != 0, T(1), a);
      if (!core::failed(status))
        for (int i = 0; i < agent.config.policy.width(); ++i) action[i] = static_cast<float>(a[i]);
      return static_cast<int>(status);
    };
    policy.learn = [](void* self, float reward, int terminated, int truncated, const float* executed) noexcept {
      const auto& agent = of(self);
      T done[learners::kMaxActions];
      for (int i = 0; executed != nullptr && i < agent.config.policy.width(); ++i)
        done[i] = static_cast<T>(executed[i]);
      return static_cast<int>(learners::learn(agent, static_cast<double>(reward), terminated != 0, truncated != 0,
                                              executed == nullptr ? nullptr : done));
    };
    policy.info = [](void* self) noexcept {
      const learners::StepInfo& info = *of(self).info;
      auto& out = static_cast<AgentOf*>(self)->loop_info_;
      out = {info.value, info.delta, info.step_size_actor, info.step_size_critic};
      return static_cast<const runtime::StepInfo*>(&out);
    };
    policy.hash = [](void* self) noexcept { return static_cast<AgentOf*>(self)->hash(); };
    return policy;
  }

  static constexpr int kMaxObservations = 64;  // more than a STATE frame carries

 private:
  static const learners::StreamAc<T>& of(void* self) { return static_cast<AgentOf*>(self)->agent_; }

  py::object action_object(const T* action) const {
    if (agent_.config.policy.discrete) return py::int_(static_cast<int>(action[0]));
    return array_from(action, agent_.config.policy.width());
  }

  learners::StreamAc<T> agent_;
  runtime::StepInfo loop_info_{};
};

class Predictor : public Model {
 public:
  virtual double step(const py::object& x, double cumulant) = 0;
  virtual void begin() = 0;
  virtual learners::StepInfo info() const = 0;
};

template <class T>
class PredictorOf final : public Predictor {
 public:
  PredictorOf(const learners::TdConfig& config, uint64_t seed) {
    const auto* kernels = kernels_for<T>();
    td_ = build(static_cast<uint32_t>(kernels->lanes),
                [&](core::Builder& arena) { return learners::make_td<T>(arena, config); });
    learners::bind_kernels(td_.net, kernels);
    learners::init(td_, seed);
  }
  void flush() override { learners::flush(td_.net); }
  double step(const py::object& x, double cumulant) override {
    const auto input = vector_from<T>(x, td_.config.inputs, "x");
    T value = 0;
    const DenormalsFlushed flushed;
    check(learners::step(td_, input.data(), cumulant, &value), "cumulant");
    return static_cast<double>(value);
  }
  void begin() override { learners::begin(td_); }
  learners::StepInfo info() const override { return *td_.info; }

 private:
  learners::TdPredictor<T> td_;
};

class RegressorModel : public Model {
 public:
  virtual py::object predict(const py::object& x) = 0;
  virtual double learn(const py::object& target) = 0;
  virtual void begin() = 0;
  virtual learners::StepInfo info() const = 0;
};

template <class T>
class RegressorOf final : public RegressorModel {
 public:
  RegressorOf(const learners::RegressorConfig& config, uint64_t seed) {
    const auto* kernels = kernels_for<T>();
    model_ = build(static_cast<uint32_t>(kernels->lanes),
                   [&](core::Builder& arena) { return learners::make_regressor<T>(arena, config); });
    learners::bind_kernels(model_.net, kernels);
    learners::init(model_, seed);
  }
  void flush() override { learners::flush(model_.net); }
  py::object predict(const py::object& x) override {
    const auto input = vector_from<T>(x, model_.config.inputs, "x");
    std::vector<T> y(static_cast<size_t>(model_.config.outputs));
    const DenormalsFlushed flushed;
    check(learners::predict(model_, input.data(), y.data()), "predict");
    return array_from(y.data(), model_.config.outputs);
  }
  double learn(const py::object& target) override {
    std::vector<T> values;
    if (!target.is_none()) values = vector_from<T>(target, model_.config.outputs, "target");
    T loss = 0;
    const DenormalsFlushed flushed;
    check(learners::learn(model_, target.is_none() ? nullptr : values.data(), &loss), "learn");
    return static_cast<double>(loss);
  }
  void begin() override { learners::begin(model_); }
  learners::StepInfo info() const override { return *model_.info; }

 private:
  learners::Regressor<T> model_;
};

template <class Base, template <class> class Of, class Config>
std::unique_ptr<Base> make_model(const Config& config, const std::string& dtype, uint64_t seed) {
  if (dtype == "float64") return std::make_unique<Of<double>>(config, seed);
  return std::make_unique<Of<float>>(config, seed);
}

}  // namespace

void bind_agent(py::module_& m) {
  py::class_<learners::StepInfo>(m, "StepInfo")
      .def_readonly("value", &learners::StepInfo::value)
      .def_readonly("delta", &learners::StepInfo::delta)
      .def_readonly("step_size_actor", &learners::StepInfo::step_size_actor)
      .def_readonly("step_size_critic", &learners::StepInfo::step_size_critic);
  py::class_<Agent, Model>(m, "StreamAC")
      .def(py::init([](const py::dict& config, const std::string& dtype, uint64_t seed) {
             return make_model<Agent, AgentOf>(stream_ac_configuration(config), dtype, seed);
           }),
           py::arg("config"), py::arg("dtype"), py::arg("seed"))
      .def("predict", &Agent::predict, py::arg("observation"), py::arg("explore"), py::arg("periods"))
      .def("learn", &Agent::learn, py::arg("reward"), py::arg("terminated"), py::arg("truncated"), py::arg("executed"),
           py::arg("update"))
      .def("begin", &Agent::begin)
      .def("policy", &Agent::policy, py::keep_alive<0, 1>())
      .def_property_readonly("phase", &Agent::phase)
      .def_property_readonly("last_sample", &Agent::last_sample)
      .def_property_readonly("info", &Agent::info);
  py::class_<Predictor, Model>(m, "TDPredictor")
      .def(py::init([](const py::dict& config, const std::string& dtype, uint64_t seed) {
             return make_model<Predictor, PredictorOf>(td_configuration(config), dtype, seed);
           }),
           py::arg("config"), py::arg("dtype"), py::arg("seed"))
      .def("step", &Predictor::step, py::arg("x"), py::arg("cumulant"))
      .def("begin", &Predictor::begin)
      .def_property_readonly("info", &Predictor::info);
  py::class_<RegressorModel, Model>(m, "OnlineRegressor")
      .def(py::init([](const py::dict& config, const std::string& dtype, uint64_t seed) {
             return make_model<RegressorModel, RegressorOf>(regressor_configuration(config), dtype, seed);
           }),
           py::arg("config"), py::arg("dtype"), py::arg("seed"))
      .def("predict", &RegressorModel::predict, py::arg("x"))
      .def("learn", &RegressorModel::learn, py::arg("target"))
      .def("begin", &RegressorModel::begin)
      .def_property_readonly("info", &RegressorModel::info);
}

}  // namespace rtu::bindings
