// Gradient-corrected Q(lambda), QRC(lambda) (Elelimy et al. 2025, arXiv 2507.09087). A second network h(s, .) with a
// cell of its own predicts delta, and corrects the direction in which q learns. docs/math_action_values.md.
//
//   letter  meaning                                          shape
//   q, h    the two networks, net[0] and net[1]              an output per action
//   g       grad q(s, a), by the cotangents kept in s
//   g'      grad max q(s', .)
//   y       sum of (gamma lambda)^k h, one per lambda        a scalar for each parameter group
//
//   w_q += a_q (delta z_q + (y - h) g - gamma y g')          w_h += a_h (delta z_h - h grad h - beta w_h)
#pragma once

#include "native/learners/stream_q.h"

namespace rtu::learners {

// What a learner keeps for the correction.
enum Correction : uint32_t {
  kPrediction = 0,  // h(s, a) when s was seen
  kSumRecurrent = 1,
  kSumBody = 2,
  kSumHead = 3,
  kCorrections = 4
};

// Kinds of cotangents of q: of s and a, kept; of s' and a'; of s' and the greedy action. h has the first two.
constexpr int32_t kOfLast = 0, kOfNewest = 1, kOfGreedy = 2;

// ---- one network ----------------------------------------------------------------------------------------------------

template <class T>
void descend_dense(const kernels::Kernels<T>& kernel, const Dense<T>& dense, T keep, T scale, const T* cotangent,
                   const T* input, T* scaled) {
  for (int32_t i = 0; i < dense.rows; ++i) scaled[i] = scale * cotangent[i];
  (void)kernel.dense_learn(dense.rows, dense.stride, keep, scaled, input, dense.w);
  for (int32_t i = 0; i < dense.rows; ++i) dense.b[i] = keep * dense.b[i] + scaled[i];
}

// Moves the weights of a network of one head by scale (of each parameter group) times the gradient of the cotangents of
// one kind, with the inputs that keep_inputs() kept and the traces as they are. keep multiplies the weights first.
template <class T>
void descend(const Network<T>& net, int32_t kind, double keep, const double (&scale)[3]) {
  const T shrink = static_cast<T>(keep), of_body = static_cast<T>(scale[1]);
  T scaled[kMaxActions];
  if (net.config.cell.learns() && (keep != 1.0 || scale[0] != 0.0))
    cells::descend(net.cell, shrink, static_cast<T>(scale[0]), net.e1[kind], net.e2[kind]);
  for (int l = 0; l < net.config.layers && (keep != 1.0 || scale[1] != 0.0); ++l)
    descend_dense(*net.kernels, net.layer[l].dense, shrink, of_body, net.layer[l].cot[kind], net.layer[l].input,
                  net.scratch[0]);
  if (keep != 1.0 || scale[2] != 0.0)
    descend_dense(*net.kernels, net.head[0].dense, shrink, static_cast<T>(scale[2]), net.head[0].cot[kind],
                  net.head[0].input, scaled);
}

// The cotangents of one kind become the kept ones; the inputs are kept too.
template <class T>
void keep_kind(const Network<T>& net, int32_t kind, const T* features) {
  const auto copy = [](T* const* vectors, int32_t from, int64_t n) {
    memcpy(vectors[kOfLast], vectors[from], static_cast<size_t>(n) * sizeof(T));
  };
  copy(net.head[0].cot, kind, net.config.head[0].outputs);
  for (int l = 0; l < net.config.layers; ++l) copy(net.layer[l].cot, kind, net.config.hidden[l]);
  if (net.config.cell.learns()) {
    copy(net.e1, kind, cells::unit_vector_size(net.cell));
    if (net.e2[kind] != nullptr) copy(net.e2, kind, cells::unit_vector_size(net.cell));
  }
  keep_inputs(net, features);
}

// ---- the learner ----------------------------------------------------------------------------------------------------

// h starts at 0: no correction before something was learned.
template <class T>
void init_correction(const Network<T>& h) {
  const Dense<T>& dense = h.head[0].dense;
  cells::zero(dense.w, static_cast<int64_t>(dense.rows) * dense.stride);
}

template <class T>
void clear_correction(const StreamAc<T>& agent) {
  for (uint32_t i = kSumRecurrent; agent.correction != nullptr && i < kCorrections; ++i) agent.correction[i] = 0;
}

template <class T>
double prediction_of(const StreamAc<T>& agent, const T* action) {
  return static_cast<double>(agent.net[1].head[0].y[static_cast<int32_t>(action[0])]);
}

// recompute: what recompute_last() has found for s, and the layers again for s'.
template <class T>
void recompute_correction(const StreamAc<T>& agent) {
  agent.correction[kPrediction] = prediction_of(agent, agent.before);
  for (int i = 0; i < 2; ++i) {
    one_hot(agent.config.policy, agent.before, agent.net[i].head[0].cot[kOfLast]);
    keep_inputs(agent.net[i], static_cast<const T*>(agent.features[i]));
    propagate(agent.net[i], static_cast<const T*>(agent.s1[i]), static_cast<const T*>(agent.s2[i]), kOfLast, 1);
  }
  forward_body(agent.net[0], features_of(agent.net[0]));
}

// Cotangents of s', all with the weights that saw it: of both networks for a', and of q for the greedy action. Returns
// the kind of the latter.
template <class T>
int32_t find_cotangents(const StreamAc<T>& agent, T best) {
  const PolicyConfig& policy = agent.config.policy;
  const int32_t kinds = best == agent.action[0] ? 1 : 2;
  for (int i = 0; i < 2; ++i) one_hot(policy, agent.action, agent.net[i].head[0].cot[kOfNewest]);
  if (kinds == 2) one_hot(policy, &best, agent.net[0].head[0].cot[kOfGreedy]);
  for (int i = 0; i < 2; ++i)
    propagate(agent.net[i], static_cast<const T*>(agent.net[i].cell.s1), static_cast<const T*>(agent.net[i].cell.s2),
              kOfNewest, i == 0 ? kinds : 1);
  return kinds == 2 ? kOfGreedy : kOfNewest;
}

// Takes the sums y over the transition; before[3]: what was left of them, y - h.
template <class T>
void sum_predictions(const StreamAc<T>& agent, bool ours, double (&before)[3]) {
  const HeadConfig& head = agent.net[0].config.head[0];
  const double decay[] = {head.decay_recurrent, head.decay_body, head.decay_head};
  for (uint32_t i = 0; i < 3; ++i) {
    double& sum = agent.correction[kSumRecurrent + i];
    before[i] = ours ? decay[i] * sum : 0.0;
    sum = ours ? before[i] + agent.correction[kPrediction] : 0.0;
  }
}

// What update() does to both networks but for delta z, which stays pending: the terms of g and of grad h with the
// traces of s, eligibilities and traces, the term of g' with the traces of s'. best: the greedy action in s'. moves:
// the weights move; rate: the learner monitor's reduction.
template <class T>
void update_corrected(const StreamAc<T>& agent, T best, bool first, bool ours, bool moves, bool terminated, double rate,
                      T (*norm)[kMaxSets]) {
  const Network<T>&q = agent.net[0], &h = agent.net[1];
  const int32_t kind = find_cotangents(agent, best);
  const double a_q = rate * agent.config.critic.optimizer.step_size,
               a_h = rate * agent.config.actor.optimizer.step_size;
  double sums[3] = {}, shares[3];
  if (!first) sum_predictions(agent, ours, sums);
  if (moves) {
    for (double& sum : sums) sum *= a_q;
    descend(q, kOfLast, 1.0, sums);
    for (double& share : shares) share = -a_h * agent.correction[kPrediction];
    descend(h, kOfLast, 1.0 - a_h * agent.config.values.beta, shares);
  }
  for (int i = 0; i < 2; ++i) update(agent.net[i], false, norm[i]);
  keep_inputs(q, features_of(q));
  if (moves && !terminated) {
    for (uint32_t i = 0; i < 3; ++i) shares[i] = -a_q * agent.config.gamma * agent.correction[kSumRecurrent + i];
    descend(q, kind, 1.0, shares);
  }
  if (agent.config.recompute) return;
  for (int i = 0; i < 2; ++i) keep_kind(agent.net[i], kOfNewest, features_of(agent.net[i]));
  agent.correction[kPrediction] = prediction_of(agent, agent.action);
}

}  // namespace rtu::learners
