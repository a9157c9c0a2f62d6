// TD(lambda) prediction of one discounted sum on a stream without episodes (Sutton 1988; ObGD and one forward pass as
// in stream_ac.h).
#pragma once

#include "native/learners/cumulant.h"
#include "native/learners/learner.h"
#include "native/learners/online_head.h"

namespace rtu::learners {

struct TdConfig {
  int32_t observation_size = 1;
  NetworkConfig body;
  HeadConfig head;
  OnlineConfig online;  // its rule; kTd: that of head.optimizer
  double gamma = 0.95;
  bool scale_cumulant = false;
  bool normalize_input = false;
  double input_bound = kDefaultObservationBound;  // deviations; 0: none
};

template <class T>
struct TdPredictor {
  TdConfig config;
  Network<T> net;
  OnlineHead<T> online;
  Normalizer<T> input;
  core::Rng rng;
  uint64_t* counters;  // (kCounters)
  double* scalars;     // (kScalars)
  StepInfo* info;
};

template <class T>
constexpr TdPredictor<T> make_td(Builder& arena, const TdConfig& config) {
  TdPredictor<T> td{};
  td.config = config;
  NetworkConfig body = config.body;
  body.cell.inputs = config.observation_size;
  HeadConfig head = config.head;
  head.outputs = 1;
  head.kinds = 1;
  head.online = config.online.rule != HeadRule::kTd;
  td.net = make_network<T>(arena, body, head, "value");
  td.online = make_online<T>(arena, config.online, td.net, Name("value").dot("online"));
  td.input = make_normalizer<T>(arena, config.observation_size, Name("input"), config.input_bound);
  td.rng.words = arena.vector<uint64_t>(Name("rng"), 2);
  td.counters = arena.vector<uint64_t>(Name("counters"), kCounters);
  td.scalars = arena.vector<double>(Name("scalars"), kScalars);
  td.info = arena.reserve<StepInfo>(1);
  return td;
}

template <class T>
void init(TdPredictor<T>& td, uint64_t seed) {
  core::seed_rng(td.rng, seed, 2);
  init_network(td.net, td.rng);
  init(td.online);
  td.counters[kFirst] = 1;
  *td.info = StepInfo{};
}

// Starts a new stream: zeroes state, traces and eligibilities; weights are kept.
template <class T>
void begin(const TdPredictor<T>& td) {
  begin(td.net);
  begin(td.online);
  td.counters[kFirst] = 1;
  td.scalars[kReturn] = 0;
}

// The cumulant in units of its scale, this one included.
template <class T>
double scaled_cumulant(const TdPredictor<T>& td, double cumulant) {
  if (!td.config.scale_cumulant) return cumulant;
  double* scalars = td.scalars;
  observe_cumulant(td.config.gamma, cumulant, td.counters[kSteps] + 1, scalars[kReturn], scalars[kSquare]);
  return cumulant / cumulant_scale(scalars[kSquare]);
}

// x (observation_size), and the cumulant that arrived with it; learns from the transition into x; value is v(x).
template <class T>
Status step(const TdPredictor<T>& td, const T* x, double cumulant, T* value) {
  if (!all_finite(x, td.config.observation_size) || !core::is_finite(cumulant)) return Status::kNonFinite;
  set_input(td.net, td.input, td.config.normalize_input, Statistics::kLearn, x);
  T norm[kMaxSets];
  step(td.net, T(1), norm);
  const double v = static_cast<double>(td.net.head[0].y[0]);
  const bool first = td.counters[kFirst] != 0;
  double delta = 0;
  if (!first) {
    delta = scaled_cumulant(td, cumulant) + td.config.gamma * v - td.scalars[kValue];
    condition(td.net, static_cast<T>(delta), norm);
  }
  td.net.head[0].cot[0][0] = T(1);
  store_gradients(td.net, features_of(td.net), static_cast<const T*>(td.net.cell.s1),
                  static_cast<const T*>(td.net.cell.s2));
  if (!first) {
    td.info->step_size_critic = static_cast<float>(apply_update(td.net, 0, static_cast<T>(delta), norm[0]));
    ++td.counters[kSteps];
  }
  if (td.config.online.rule != HeadRule::kTd)
    learn_online(td.online, td.net, td.config.head.decay_head, static_cast<T>(delta),
                 static_cast<const T*>(td.net.head[0].input));
  td.counters[kFirst] = 0;
  td.scalars[kValue] = v;
  const double scale = td.config.scale_cumulant ? cumulant_scale(td.scalars[kSquare]) : 1.0;
  td.info->value = static_cast<float>(v * scale);
  td.info->delta = static_cast<float>(delta);
  *value = static_cast<T>(v * scale);
  return Status::kOk;
}

}  // namespace rtu::learners
