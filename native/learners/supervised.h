// Online regression, 1/2 |target - y|^2 at each step, with the exact gradient of the newest step: traces advance first,
// then the contraction.
#pragma once

#include "native/learners/learner.h"

namespace rtu::learners {

struct RegressorConfig {
  int32_t observation_size = 1, outputs = 1;
  NetworkConfig body;
  HeadConfig head;
  bool normalize_input = false;
  double input_bound = kDefaultObservationBound;  // deviations; 0: none
};

template <class T>
struct Regressor {
  RegressorConfig config;
  Network<T> net;
  Normalizer<T> input;
  core::Rng rng;
  uint64_t* counters;  // (kCounters)
  StepInfo* info;
};

template <class T>
constexpr Regressor<T> make_regressor(Builder& arena, const RegressorConfig& config) {
  Regressor<T> model{};
  model.config = config;
  NetworkConfig body = config.body;
  body.cell.inputs = config.observation_size;
  HeadConfig head = config.head;
  head.outputs = config.outputs;
  head.kinds = 1;
  model.net = make_network<T>(arena, body, head, "model");
  model.input = make_normalizer<T>(arena, config.observation_size, Name("input"), config.input_bound);
  model.rng.words = arena.vector<uint64_t>(Name("rng"), 2);
  model.counters = arena.vector<uint64_t>(Name("counters"), kCounters);
  model.info = arena.reserve<StepInfo>(1);
  return model;
}

template <class T>
void init(Regressor<T>& model, uint64_t seed) {
  core::seed_rng(model.rng, seed, 3);
  init_network(model.net, model.rng);
  model.counters[kPhase] = static_cast<uint64_t>(Phase::kReady);
  *model.info = StepInfo{};
}

template <class T>
void begin(const Regressor<T>& model) {
  begin(model.net);
  model.counters[kPhase] = static_cast<uint64_t>(Phase::kReady);
}

// y (outputs) from x (observation_size). Two calls of predict() without update() in between are refused: the traces
// would miss a step.
template <class T>
Status predict(const Regressor<T>& model, const T* x, T* y) {
  if (model.counters[kPhase] == static_cast<uint64_t>(Phase::kPredicted)) return Status::kOrder;
  if (!all_finite(x, model.config.observation_size)) return Status::kNonFinite;
  set_input(model.net, model.input, model.config.normalize_input, Statistics::kLearn, x);
  predict(model.net, T(1));
  memcpy(y, model.net.head[0].y, static_cast<size_t>(model.config.outputs) * sizeof(T));
  model.counters[kPhase] = static_cast<uint64_t>(Phase::kPredicted);
  return Status::kOk;
}

// target (outputs), or null if unknown: then only the traces advance. loss is 1/2 |target - y|^2.
template <class T>
Status update(const Regressor<T>& model, const T* target, T* loss) {
  if (model.counters[kPhase] != static_cast<uint64_t>(Phase::kPredicted)) return Status::kOrder;
  if (target != nullptr && !all_finite(target, model.config.outputs)) return Status::kNonFinite;
  T largest = 0, sum = 0;
  for (int32_t k = 0; k < model.config.outputs; ++k) {
    const T error = target == nullptr ? T(0) : target[k] - model.net.head[0].y[k];
    const T size = error < 0 ? -error : error;
    largest = size > largest ? size : largest;
    sum += error * error;
    model.net.head[0].cot[0][k] = error;
  }
  store_gradients(model.net, features_of(model.net), static_cast<const T*>(model.net.cell.s1),
                  static_cast<const T*>(model.net.cell.s2));
  T norm[kMaxSets];
  update(model.net, true, norm);
  if (target != nullptr) {
    // z already carries the error e: ObGD's sum |z| is that of the outputs' gradient times |e|.
    const T scale =
        model.config.head.optimizer.rule == optim::Rule::kObgd && largest > T(0) ? norm[0] / largest : norm[0];
    const T bounded = optim::step_size(model.config.head.optimizer, largest, scale);
    model.info->step_size_critic = static_cast<float>(bounded);
    if (model.config.head.optimizer.rule == optim::Rule::kAdam)
      (void)apply_update(model.net, 0, T(1), norm[0]);
    else
      model.net.pending[0] = bounded;
    ++model.counters[kSteps];
  }
  *loss = T(0.5) * sum;
  model.info->delta = static_cast<float>(largest);
  model.counters[kPhase] = static_cast<uint64_t>(Phase::kReady);
  return Status::kOk;
}

}  // namespace rtu::learners
