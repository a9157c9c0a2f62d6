// Timing hooks for benchmarks/: k steps without Python in between, nanoseconds on return.
#include <chrono>
#include <functional>

#include "native/bindings/python/configuration.h"
#include "native/bindings/python/model.h"
#include "native/runtime/denormals.h"
#include "native/testing/cell_stepper.h"
#include "native/testing/kernel_timing.h"
#include "native/testing/peers.h"

namespace rtu::testing {

using namespace rtu::bindings;

namespace {

using Clock = std::chrono::steady_clock;

int64_t ns_since(Clock::time_point start) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - start).count();
}

const kernels::Kernels<float>* kernels_named(const std::string& isa) {
  const char* error = "";
  const auto* found = runtime::choose_kernels(isa.c_str(), error);
  if (found == nullptr) refuse("isa " + isa + " " + error);
  return found;
}

// The timed workloads, by name; each owns its memory.
class Bench {
 public:
  Bench(const std::string& work, int inputs, int units, int units_per_pole, const std::string& isa) {
    if (inputs < 1 || units_per_pole < 1 || units < units_per_pole || units % units_per_pole != 0)
      refuse("inputs and units are at least 1, units a multiple of units_per_pole");
    if (work == "naive" || work == "naive_halved") {
      run_ = [naive = NaiveRtu(inputs, units, work == "naive_halved")](int64_t steps) mutable { naive.run(steps); };
      return;
    }
    const auto* kernels = kernels_named(isa);
    const std::string sweep = "sweep_";
    const bool sweeps = work.compare(0, sweep.size(), sweep) == 0;
    const std::string what = sweeps ? work.substr(sweep.size()) : work;
    StepConfig config;
    config.kernels = kernels;
    config.cell.inputs = inputs;
    config.cell.units_per_pole = units_per_pole;
    config.cell.poles = units / units_per_pole;
    describe(what, config);
    if (config.cell.kind == cells::CellKind::kNonlinear && units_per_pole != 1)
      refuse("units share a pole in the linear RTU alone");
    auto stepper = std::make_shared<Stepper>(config);
    bytes_ = stepper->block_bytes();
    if (what == "predict" && !sweeps) {
      timed_ = [stepper](int64_t steps) { return predicting(*stepper, steps); };
      return;
    }
    if (!sweeps) {
      run_ = [stepper](int64_t steps) { stepper->run(steps); };
      return;
    }
    const Sweep pass = sweep_of(kernels->lanes);
    const size_t n = (bytes_ / sizeof(float) + 15) / 16 * 16;
    const std::shared_ptr<unsigned char> memory(allocate(n * sizeof(float)));
    run_ = [pass, n, memory](int64_t steps) {
      for (int64_t t = 0; t < steps; ++t) pass(reinterpret_cast<float*>(memory.get()), n);
    };
  }

  int64_t run(int64_t steps) {
    const runtime::DenormalsFlushed flushed;
    if (timed_) return timed_(steps);
    const auto start = Clock::now();
    run_(steps);
    return ns_since(start);
  }

  uint64_t bytes() const { return bytes_; }

 private:
  // The time of predict() between two updates, with caches as update() leaves them.
  static int64_t predicting(Stepper& stepper, int64_t steps) {
    int64_t ns = 0;
    for (int64_t t = 0; t < steps; ++t) {
      const auto start = Clock::now();
      stepper.predict();
      ns += ns_since(start);
      stepper.update();
    }
    return ns;
  }

  static void describe(const std::string& what, StepConfig& config) {
    using cells::CellKind;
    static const struct {
      const char* name;
      Work work;
      CellKind kind;
      kernels::Activation activation;
    } kinds[] = {
        {"sgd", Work::kSgd, CellKind::kLinear, kernels::Activation::kRelu},
        {"obgd", Work::kObgd, CellKind::kLinear, kernels::Activation::kRelu},
        {"split", Work::kSplit, CellKind::kLinear, kernels::Activation::kRelu},
        {"predict", Work::kSplit, CellKind::kLinear, kernels::Activation::kRelu},
        {"evaluate", Work::kEvaluate, CellKind::kLinear, kernels::Activation::kRelu},
        {"nonlinear", Work::kSplit, CellKind::kNonlinear, kernels::Activation::kRelu},
        // f inside the recurrence, and f the identity: the linear RTU's equations through four traces.
        {"four_traces", Work::kSplit, CellKind::kNonlinear, kernels::Activation::kIdentity},
    };
    for (const auto& kind : kinds) {
      if (what != kind.name) continue;
      config.work = kind.work;
      config.cell.kind = kind.kind;
      config.cell.activation = kind.activation;
      return;
    }
    refuse("work " + what + " is unknown");
  }

  std::function<void(int64_t)> run_;
  std::function<int64_t(int64_t)> timed_;  // when only a part of it is timed
  uint64_t bytes_ = 0;
};

// Stream AC(lambda) on synthetic observations and rewards, in one endless episode.
class BenchAgent {
 public:
  BenchAgent(const py::dict& config, const std::string& isa) : kernels_(kernels_named(isa)) {
    const learners::StreamAcConfig shape = agent_configuration(config);
    core::Builder footprint(nullptr, nullptr, static_cast<uint32_t>(kernels_->lanes));
    (void)learners::make_stream_ac<float>(footprint, shape);
    agent_bytes_ = footprint.bytes();
    memory_ = allocate(agent_bytes_);
    core::Builder arena(memory_.get(), nullptr, static_cast<uint32_t>(kernels_->lanes));
    agent_ = learners::make_stream_ac<float>(arena, shape);
    bind(kernels_);
    learners::init(agent_, 1);
    learners::begin(agent_);
    uint64_t words[2];
    const core::Rng rng{words};
    core::seed_rng(rng, 2, 0);
    for (int i = 0; i < kObservations * shape.observation_size; ++i)
      observations_.push_back(static_cast<float>(2 * core::uniform(rng) - 1));
  }

  int64_t run(int64_t steps) { return timed(steps, true); }
  int64_t predict(int64_t steps) { return timed(steps, false); }

  // Passes over as much memory as the agent's, each number read, changed and written.
  int64_t sweep(int64_t passes) {
    const Sweep pass = sweep_of(kernels_->lanes);
    const size_t n = agent_bytes_ / sizeof(float) / 16 * 16;
    const Memory other = allocate(agent_bytes_);
    pass(reinterpret_cast<float*>(other.get()), n);
    const auto start = Clock::now();
    for (int64_t t = 0; t < passes; ++t) pass(reinterpret_cast<float*>(other.get()), n);
    return ns_since(start);
  }

  // ns a step in each part of the kernels.
  py::dict parts(int64_t steps) {
    const Timing timing(kernels_);
    bind(timing.table());
    timed(steps / 4 + 1, true);
    Timing::reset();
    timed(steps, true);
    bind(kernels_);
    py::dict out;
    for (int part = 0; part < kParts; ++part) out[kPartNames[part]] = timing.spent(part) / static_cast<double>(steps);
    return out;
  }

 private:
  static constexpr int kObservations = 16;

  void bind(const kernels::Kernels<float>* kernels) {
    for (int i = 0; i < agent_.nets; ++i) learners::bind_kernels(agent_.net[i], kernels);
  }

  // ns of whole steps, or of predict() alone.
  int64_t timed(int64_t steps, bool all) {
    const runtime::DenormalsFlushed flushed;
    int64_t predicting = 0;
    const auto start = Clock::now();
    for (int64_t t = 0; t < steps; ++t) {
      const float* x = observations_.data() + (t % kObservations) * agent_.config.observation_size;
      float action[learners::kMaxActions];
      const auto before = all ? start : Clock::now();
      check(learners::predict(agent_, x, true, 1.0f, action), "predict");
      if (!all) predicting += ns_since(before);
      check(learners::update<float>(agent_, x[0], false, false, nullptr), "update");
    }
    return all ? ns_since(start) : predicting;
  }

  const kernels::Kernels<float>* kernels_;
  size_t agent_bytes_ = 0;
  Memory memory_;
  learners::StreamAc<float> agent_{};
  std::vector<float> observations_;
};

}  // namespace

void bind_bench(py::module_& m) {
#if defined(__clang__)
  m.attr("compiler") = "clang " __clang_version__;
#else
  m.attr("compiler") = "gcc " __VERSION__;
#endif
  py::class_<Bench>(m, "Bench")
      .def(py::init<const std::string&, int, int, int, const std::string&>(), py::arg("work"), py::arg("inputs"),
           py::arg("units"), py::arg("units_per_pole"), py::arg("isa"))
      .def("run", &Bench::run, py::arg("steps"), py::call_guard<py::gil_scoped_release>())
      .def_property_readonly("bytes", &Bench::bytes);
  py::class_<BenchAgent>(m, "BenchAgent")
      .def(py::init<const py::dict&, const std::string&>(), py::arg("config"), py::arg("isa"))
      .def("run", &BenchAgent::run, py::arg("steps"))
      .def("predict", &BenchAgent::predict, py::arg("steps"))
      .def("sweep", &BenchAgent::sweep, py::arg("passes"))
      .def("parts", &BenchAgent::parts, py::arg("steps"));
}

}  // namespace rtu::testing
