// Many predictions on one recurrent body: head k predicts the sum of cumulant k, discounted by its own gamma, with its
// own lambda (general value functions, Sutton et al. 2011; docs/math_bank.md).
//
// A head keeps its weights and their eligibility, O(features). The body has one gradient for all heads, that of
// sum_k delta_k v_k, contracted with the sensitivities: exact at lambda 0 for the body.
#pragma once

#include "native/learners/cumulant.h"
#include "native/learners/learner.h"

namespace rtu::learners {

constexpr int32_t kMaxBankHeads = 4096;

struct TdBankConfig {
  int32_t observation_size = 1;
  int32_t heads = 1;
  NetworkConfig body;
  optim::OptimizerConfig optimizer;
  bool scale_cumulant = true;
  bool normalize_input = false;
  double input_bound = kDefaultObservationBound;  // deviations; 0: none
};

template <class T>
struct TdBank {
  TdBankConfig config;
  Network<T> net;
  Normalizer<T> input;
  core::Rng rng;
  double *gamma, *decay;  // (heads) gamma; gamma lambda
  double *sum, *square;   // (heads) gamma sum + cumulant, the running sum; mean of its square
  double* value;          // (heads) v of the last input, in units of the cumulant's scale
  double* delta;          // (heads) of the last step, the same
  T *features, *s1, *s2;  // the cell's output and slopes of the last input
  uint64_t* counters;     // (kCounters)
  StepInfo* info;
};

template <class T>
constexpr TdBank<T> make_bank(Builder& arena, const TdBankConfig& config) {
  TdBank<T> bank{};
  bank.config = config;
  NetworkConfig body = config.body;
  body.cell.inputs = config.observation_size;
  HeadConfig head;
  head.outputs = config.heads;
  head.optimizer = config.optimizer;
  bank.net = make_network<T>(arena, body, head, "bank");
  bank.input = make_normalizer<T>(arena, config.observation_size, Name("input"), config.input_bound);
  bank.rng.words = arena.vector<uint64_t>(Name("rng"), 2);
  const uint32_t heads = static_cast<uint32_t>(config.heads);
  bank.gamma = arena.vector<double>(Name("heads").dot("gamma"), heads);
  bank.decay = arena.vector<double>(Name("heads").dot("decay"), heads);
  bank.sum = arena.vector<double>(Name("heads").dot("sum"), heads);
  bank.square = arena.vector<double>(Name("heads").dot("square"), heads);
  bank.value = arena.vector<double>(Name("heads").dot("value"), heads);
  bank.delta = arena.vector<double>(Name("heads").dot("delta"), heads);
  const Name before("before");
  bank.features = arena.vector<T>(before.dot("features"), static_cast<uint32_t>(bank.net.config.features()));
  if (body.cell.kind != CellKind::kNone)
    cells::make_parts(arena, bank.net.config.cell, before.dot("s1"), before.dot("s2"), bank.s1, bank.s2);
  bank.counters = arena.vector<uint64_t>(Name("counters"), kCounters);
  bank.info = arena.reserve<StepInfo>(1);
  return bank;
}

// gammas, lambdas (heads), each from 0 to 1.
template <class T>
void init(TdBank<T>& bank, uint64_t seed, const double* gammas, const double* lambdas) {
  core::seed_rng(bank.rng, seed, 4);
  init_network(bank.net, bank.rng);
  for (int32_t k = 0; k < bank.config.heads; ++k) {
    bank.gamma[k] = gammas[k];
    bank.decay[k] = gammas[k] * lambdas[k];
  }
  bank.counters[kFirst] = 1;
  *bank.info = StepInfo{};
}

// Starts a new stream: zeroes state, traces and eligibilities; weights and statistics are kept.
template <class T>
void begin(const TdBank<T>& bank) {
  begin(bank.net);
  for (int32_t k = 0; k < bank.config.heads; ++k) bank.sum[k] = bank.delta[k] = 0;
  bank.counters[kFirst] = 1;
}

// ---- cumulants ------------------------------------------------------------------------------------------------------

template <class T>
double cumulant_scale(const TdBank<T>& bank, int32_t k) {
  return bank.config.scale_cumulant ? cumulant_scale(bank.square[k]) : 1.0;
}

template <class T>
void observe_cumulants(const TdBank<T>& bank, const T* cumulants) {
  if (!bank.config.scale_cumulant) return;
  const uint64_t n = bank.counters[kSteps] + 1;
  for (int32_t k = 0; k < bank.config.heads; ++k)
    observe_cumulant(bank.gamma[k], static_cast<double>(cumulants[k]), n, bank.sum[k], bank.square[k]);
}

// ---- learning -------------------------------------------------------------------------------------------------------

// One number of Adam's step; the arrays have kernels.
template <class T>
void adam_number(const kernels::AdamStep<T>& step, T z, T& w, T& m, T& v) {
  const T g = step.scale * z;
  m = step.b1 * m + (T(1) - step.b1) * g;
  v = step.b2 * v + (T(1) - step.b2) * g * g;
  w += step.rate * m / (core::square_root(v * step.unbias2) + step.eps);
}

// Head k: z <- gamma lambda z + features, then its own step by its own delta.
template <class T>
void learn_head(const TdBank<T>& bank, int32_t k, const kernels::AdamStep<T>& adam) {
  const kernels::Kernels<T>& kernel = *bank.net.kernels;
  const Dense<T>& dense = bank.net.head[0].dense;
  const optim::OptimizerConfig& config = bank.config.optimizer;
  const int64_t row = static_cast<int64_t>(k) * dense.stride;
  const T decay = static_cast<T>(bank.decay[k]), delta = static_cast<T>(bank.delta[k]), one = T(1);
  T *z = dense.z_w[0] + row, &z_b = dense.z_b[0][k];
  z_b = decay * z_b + one;
  const T norm = kernel.dense_learn(1, dense.stride, decay, &one, bank.net.head[0].input, z) + z_b;
  if (config.rule == optim::Rule::kAdam) {
    kernels::AdamStep<T> own = adam;
    own.scale = delta;
    kernel.adam(1, dense.stride, 0, 0, own, dense.w + row, z, dense.m_w[0] + row, dense.v_w[0] + row);
    adam_number(own, z_b, dense.b[k], dense.m_b[0][k], dense.v_b[0][k]);
    return;
  }
  const T a = optim::along(optim::step_size(config, delta, norm), delta);
  kernel.add(dense.stride, a, z, dense.w + row);
  dense.b[k] += a * z_b;
}

// The body's step; its gradient is that of sum_k delta_k v_k, so for ObGD the largest delta plays the error's part.
template <class T>
void move_body(const TdBank<T>& bank, T largest, T norm, const kernels::AdamStep<T>& adam) {
  const Network<T>& net = bank.net;
  const optim::OptimizerConfig& config = bank.config.optimizer;
  if (config.rule == optim::Rule::kAdam) {
    bank.info->step_size_critic = static_cast<float>(config.step_size);
    if (net.config.cell.learns()) cells::adam(net.cell, 0, adam);
    for (int l = 0; l < net.config.depth(); ++l) adam_dense(*net.kernels, net.layer[l].dense, 0, adam);
    return;
  }
  const bool bounded = config.rule == optim::Rule::kObgd && largest > T(0);
  net.pending[0] = optim::step_size(config, largest, bounded ? norm / largest : norm);
  bank.info->step_size_critic = static_cast<float>(net.pending[0]);
  if (net.config.cell.learns()) cells::apply_pending(net.cell, net.pending);
  for (int l = 0; l < net.config.depth(); ++l) flush_dense(*net.kernels, net.layer[l].dense, net.pending);
  net.pending[0] = T(0);
}

// Contracts the last input's cotangent with the sensitivities, which still belong to it, and advances them. Without
// `learn` they only advance. Returns sum |gradient|.
template <class T>
T update_bank_body(const TdBank<T>& bank, bool learn) {
  const Network<T>& net = bank.net;
  if (learn) {
    // The layers' outputs of the last input again: those of the new input have replaced them.
    if (net.config.layers > 0) forward_body(net, static_cast<const T*>(bank.features));
    for (int32_t k = 0; k < bank.config.heads; ++k) net.head[0].cot[0][k] = static_cast<T>(bank.delta[k]);
    store_gradients(net, static_cast<const T*>(bank.features), static_cast<const T*>(bank.s1),
                    static_cast<const T*>(bank.s2));
  }
  SetCotangent<T> sets[kMaxSets] = {};
  if (net.config.cell.kind != CellKind::kNone) {
    fill_sets(net, sets);
    cells::update(net.cell, false, sets);
  }
  T norm = sets[0].norm;
  for (int l = 0; learn && l < net.config.depth(); ++l)
    norm += update_dense(*net.kernels, net.layer[l].dense, 0, T(0), net.layer[l].cot[0], net.layer[l].input);
  return norm;
}

// x (observation_size), and the cumulants (heads) that arrived with it; learns from the transition into x; values
// (heads) are those of x, in the cumulants' units.
template <class T>
Status step(const TdBank<T>& bank, const T* x, const T* cumulants, T* values) {
  const int32_t heads = bank.config.heads;
  if (!all_finite(x, bank.config.observation_size) || !all_finite(cumulants, heads)) return Status::kNonFinite;
  set_input(bank.net, bank.input, bank.config.normalize_input, Statistics::kLearn, x);
  predict(bank.net, T(1));
  const bool learn = bank.counters[kFirst] == 0;
  if (learn) observe_cumulants(bank, cumulants);
  double largest = 0;
  for (int32_t k = 0; k < heads; ++k) {
    const double scale = cumulant_scale(bank, k), v = static_cast<double>(bank.net.head[0].y[k]);
    bank.delta[k] = learn ? static_cast<double>(cumulants[k]) / scale + bank.gamma[k] * v - bank.value[k] : 0.0;
    const double size = bank.delta[k] < 0 ? -bank.delta[k] : bank.delta[k];
    largest = size > largest ? size : largest;
    bank.value[k] = v;
    values[k] = static_cast<T>(v * scale);
  }
  const T norm = update_bank_body(bank, learn);
  if (learn) {
    const kernels::AdamStep<T> adam = adam_step(bank.config.optimizer, ++bank.net.updates[0], T(1), T(1));
    for (int32_t k = 0; k < heads; ++k) learn_head(bank, k, adam);
    move_body(bank, static_cast<T>(largest), norm, adam);
    ++bank.counters[kSteps];
  }
  keep_output(bank.net, bank.features, bank.s1, bank.s2);
  bank.counters[kFirst] = 0;
  bank.info->value = static_cast<float>(values[0]);
  bank.info->delta = static_cast<float>(largest);
  bank.info->norm = static_cast<float>(norm);
  return Status::kOk;
}

}  // namespace rtu::learners
