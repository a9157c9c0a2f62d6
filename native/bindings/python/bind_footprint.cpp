// The footprint of a configuration: bytes, computed before anything is allocated, and time, by a short calibration.
#include <array>

#include "native/bindings/python/configuration.h"
#include "native/bindings/python/model.h"
#include "native/runtime/calibrate.h"

namespace rtu::bindings {

namespace {

constexpr int32_t kRows = 64;  // of the synthetic stream, which repeats

template <class T>
auto make_learner(core::Builder& arena, const learners::StreamAcConfig& config) {
  return learners::make_stream_ac<T>(arena, config);
}
template <class T>
auto make_learner(core::Builder& arena, const learners::TdConfig& config) {
  return learners::make_td<T>(arena, config);
}
template <class T>
auto make_learner(core::Builder& arena, const learners::RegressorConfig& config) {
  return learners::make_regressor<T>(arena, config);
}
template <class T>
auto make_learner(core::Builder& arena, const learners::TdBankConfig& config) {
  return learners::make_bank<T>(arena, config);
}

// A learner with its memory and a synthetic stream to run it on.
template <class T, class Config>
class Trial {
 public:
  explicit Trial(const Config& config) {
    const auto* kernels = kernels_for<T>();
    const auto lanes = static_cast<uint32_t>(kernels->lanes);
    core::Builder footprint(nullptr, nullptr, lanes);
    (void)make_learner<T>(footprint, config);
    memory_ = allocate(footprint.bytes());
    core::Builder arena(memory_.get(), nullptr, lanes);
    learner_ = make_learner<T>(arena, config);
    start(learner_, kernels);
    uint64_t words[2] = {};
    const core::Rng rng{words};
    core::seed_rng(rng, 1, 0);
    stream_.resize(static_cast<size_t>(inputs(config) * kRows));
    for (T& x : stream_) x = static_cast<T>(2 * core::uniform(rng) - 1);
    outputs_.resize(static_cast<size_t>(outputs(config)));
    targets_.assign(outputs_.size(), T(0.5));
  }

  runtime::Subject subject() {
    runtime::Subject out;
    out.self = this;
    out.predict = [](void* self) noexcept { of(self).predict(of(self).learner_); };
    out.advance = [](void* self) noexcept { of(self).advance(of(self).learner_); };
    out.step = [](void* self) noexcept { of(self).step(of(self).learner_); };
    return out;
  }

 private:
  using Learner = decltype(make_learner<T>(std::declval<core::Builder&>(), std::declval<const Config&>()));

  static Trial& of(void* self) { return *static_cast<Trial*>(self); }
  static int32_t inputs(const learners::StreamAcConfig& config) { return config.observation_size; }
  template <class Other>
  static int32_t inputs(const Other& config) {
    return config.observation_size;
  }
  static int32_t outputs(const learners::StreamAcConfig& config) { return config.policy.width(); }
  static int32_t outputs(const learners::TdConfig&) { return 1; }
  static int32_t outputs(const learners::RegressorConfig& config) { return config.outputs; }
  static int32_t outputs(const learners::TdBankConfig& config) { return config.heads; }

  static void start(learners::StreamAc<T>& agent, const kernels::Kernels<T>* kernels) {
    for (int i = 0; i < agent.nets; ++i) learners::bind_kernels(agent.net[i], kernels);
    learners::init(agent, 0);
    learners::begin(agent);
  }
  static void start(learners::TdBank<T>& bank, const kernels::Kernels<T>* kernels) {
    learners::bind_kernels(bank.net, kernels);
    const std::vector<double> halves(static_cast<size_t>(bank.config.heads), 0.5);
    learners::init(bank, 0, halves.data(), halves.data());
  }
  template <class Other>
  static void start(Other& learner, const kernels::Kernels<T>* kernels) {
    learners::bind_kernels(learner.net, kernels);
    learners::init(learner, 0);
  }

  const T* next() {
    row_ = (row_ + 1) % kRows;
    return stream_.data() + static_cast<size_t>(row_) * (stream_.size() / kRows);
  }
  T signal() const { return stream_[static_cast<size_t>(row_)]; }

  void predict(const learners::StreamAc<T>& agent) {
    (void)learners::predict(agent, next(), true, T(1), outputs_.data());
  }
  void advance(const learners::StreamAc<T>& agent) {
    (void)learners::update<T>(agent, signal(), false, false, nullptr, false);
  }
  void step(const learners::StreamAc<T>& agent) {
    predict(agent);
    (void)learners::update<T>(agent, signal(), false, false, nullptr);
  }

  // TD(lambda) does a step in one call; its halves are those of the network.
  void predict(const learners::TdPredictor<T>& td) {
    std::memcpy(learners::input_of(td.net), next(), static_cast<size_t>(td.config.observation_size) * sizeof(T));
    learners::predict(td.net, T(1));
  }
  void advance(const learners::TdPredictor<T>& td) {
    T norm[kernels::kMaxSets];
    learners::update(td.net, false, norm);
    learners::store_gradients(td.net, learners::features_of(td.net), static_cast<const T*>(td.net.cell.s1),
                              static_cast<const T*>(td.net.cell.s2));
  }
  void step(const learners::TdPredictor<T>& td) {
    (void)learners::step(td, next(), static_cast<double>(signal()), outputs_.data());
  }

  // The same for a bank, whose heads learn in the rest of the step.
  void predict(const learners::TdBank<T>& bank) {
    std::memcpy(learners::input_of(bank.net), next(), static_cast<size_t>(bank.config.observation_size) * sizeof(T));
    learners::predict(bank.net, T(1));
  }
  void advance(const learners::TdBank<T>& bank) {
    (void)learners::update_bank_body(bank, true);
    learners::keep_output(bank.net, bank.features, bank.s1, bank.s2);
  }
  void step(const learners::TdBank<T>& bank) {
    (void)learners::step(bank, next(), static_cast<const T*>(targets_.data()), outputs_.data());
  }

  void predict(const learners::Regressor<T>& model) { (void)learners::predict(model, next(), outputs_.data()); }
  void advance(const learners::Regressor<T>& model) {
    T loss = 0;
    (void)learners::update(model, static_cast<const T*>(nullptr), &loss);
  }
  void step(const learners::Regressor<T>& model) {
    predict(model);
    T loss = 0;
    (void)learners::update(model, static_cast<const T*>(targets_.data()), &loss);
  }

  Memory memory_;
  Learner learner_{};
  std::vector<T> stream_, outputs_, targets_;
  int32_t row_ = 0;
};

template <class T, class Config>
py::tuple footprint_of(const Config& config) {
  const auto lanes = static_cast<uint32_t>(kernels_for<T>()->lanes);
  core::Builder counted(nullptr, nullptr, lanes);
  (void)make_learner<T>(counted, config);
  SizedTable table(counted.sections());
  core::Builder described(nullptr, &table, lanes);
  (void)make_learner<T>(described, config);
  return py::make_tuple(described.bytes(), section_rows(table));
}

template <class T, class Config>
py::tuple times_of(const Config& config, double seconds) {
  Trial<T, Config> trial(config);
  runtime::StepTimes times;
  {
    const py::gil_scoped_release release;
    const DenormalsFlushed flushed;
    times = runtime::calibrate(trial.subject(), runtime::monotonic_clock(), static_cast<int64_t>(seconds * 1e9));
  }
  return py::make_tuple(times.predict_ns, times.traces_ns, times.update_ns);
}

template <class Do>
py::tuple with_configuration(const std::string& kind, const py::dict& config, Do run) {
  if (kind == "td_predictor") return run(td_configuration(config));
  if (kind == "td_bank") return run(bank_configuration(config));
  if (kind == "online_regressor") return run(regressor_configuration(config));
  return run(agent_configuration(config));
}

py::tuple footprint(const std::string& kind, const py::dict& config, const std::string& dtype) {
  return with_configuration(kind, config, [&](const auto& native) {
    return dtype == "float64" ? footprint_of<double>(native) : footprint_of<float>(native);
  });
}

py::tuple calibrate(const std::string& kind, const py::dict& config, const std::string& dtype, double seconds) {
  return with_configuration(kind, config, [&](const auto& native) {
    return dtype == "float64" ? times_of<double>(native, seconds) : times_of<float>(native, seconds);
  });
}

}  // namespace

void bind_footprint(py::module_& m) {
  // (bytes, sections) of a configuration, before anything is allocated.
  m.def("footprint", &footprint, py::arg("kind"), py::arg("config"), py::arg("dtype"));
  // (predict, traces, update) in ns per step.
  m.def("calibrate", &calibrate, py::arg("kind"), py::arg("config"), py::arg("dtype"), py::arg("seconds"));
}

}  // namespace rtu::bindings
