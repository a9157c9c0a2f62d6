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

// A kind of cotangents, and what multiplies their gradient in each parameter group.
struct Share {
  int32_t kind;
  double recurrent, body, head;
};

// Weights and biases of a layer: w <- keep w + a c x^T + b d y^T; d null: without the last term, room_d is not used.
template <class T>
void descend_dense(const kernels::Kernels<T>& kernel, const Dense<T>& dense, T keep, T a, const T* c, const T* x, T b,
                   const T* d, const T* y, T* room_c, T* room_d) {
  for (int32_t i = 0; i < dense.rows; ++i) {
    room_c[i] = a * c[i];
    dense.b[i] = keep * dense.b[i] + room_c[i];
  }
  for (int32_t i = 0; i < dense.rows && d != nullptr; ++i) {
    room_d[i] = b * d[i];
    dense.b[i] += room_d[i];
  }
  kernel.dense_descend(dense.rows, dense.stride, keep, room_c, x, d == nullptr ? nullptr : room_d, y, dense.w);
}

// The cell of a network moves along the gradient of one kind of cotangents, with the traces as they are.
template <class T>
void descend_cell(const Network<T>& net, double keep, const Share& share) {
  if (!net.config.cell.learns() || (keep == 1.0 && share.recurrent == 0.0)) return;
  cells::descend(net.cell, static_cast<T>(keep), static_cast<T>(share.recurrent), net.e1[share.kind],
                 net.e2[share.kind]);
}

// Layers and head: along the gradient of the kept cotangents, with the inputs kept for them, and along that of the
// newest ones, with the present inputs (null: without). features: the cell's output.
template <class T>
void descend_layers(const Network<T>& net, double keep, const Share& last, const Share* newest, const T* features) {
  const kernels::Kernels<T>& kernel = *net.kernels;
  T room_c[kMaxActions], room_d[kMaxActions];
  const T* x = net.scratch[1];  // padded by zeros: the lanes beyond the features of a cell with gates are not 0
  if (newest != nullptr) {
    const int32_t n = net.config.features();
    memcpy(net.scratch[1], features, static_cast<size_t>(n) * sizeof(T));
    cells::zero(net.scratch[1] + n, round_up(kernel, n) - n);
  }
  for (int l = 0; l <= net.config.layers; ++l) {
    const bool top = l == net.config.layers;
    const Dense<T>& dense = top ? net.head[0].dense : net.layer[l].dense;
    T* const* cot = top ? net.head[0].cot : net.layer[l].cot;
    const double a = top ? last.head : last.body, b = newest == nullptr ? 0.0 : top ? newest->head : newest->body;
    if (keep != 1.0 || a != 0.0 || b != 0.0)
      descend_dense(kernel, dense, static_cast<T>(keep), static_cast<T>(a), cot[last.kind],
                    top ? net.head[0].input : net.layer[l].input, static_cast<T>(b),
                    b == 0.0 ? nullptr : cot[newest->kind], x, top ? room_c : net.scratch[0],
                    top ? room_d : net.scratch[2]);
    if (!top) x = net.layer[l].y;
  }
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
  const double a_q = rate * agent.config.critic.optimizer.step_size,
               a_h = rate * agent.config.actor.optimizer.step_size, gamma = agent.config.gamma;
  const double* sum = agent.correction + kSumRecurrent;
  double before[3] = {};
  const int32_t kind = find_cotangents(agent, best);
  if (!first) sum_predictions(agent, ours, before);
  const Share last{kOfLast, a_q * before[0], a_q * before[1], a_q * before[2]};
  const double to = terminated ? 0.0 : -a_q * gamma;
  const Share ahead{kind, to * sum[0], to * sum[1], to * sum[2]};
  if (moves) {
    descend_cell(q, 1.0, last);
    descend_layers(q, 1.0, last, &ahead, features_of(q));
    const double down = -a_h * agent.correction[kPrediction], keep = 1.0 - a_h * agent.config.values.beta;
    const Share of_h{kOfLast, down, down, down};
    descend_cell(h, keep, of_h);
    descend_layers(h, keep, of_h, nullptr, features_of(h));
  }
  for (int i = 0; i < 2; ++i) update(agent.net[i], false, norm[i]);
  if (moves) descend_cell(q, 1.0, ahead);
  if (agent.config.recompute) return;
  for (int i = 0; i < 2; ++i) keep_kind(agent.net[i], kOfNewest, features_of(agent.net[i]));
  agent.correction[kPrediction] = prediction_of(agent, agent.action);
}

}  // namespace rtu::learners
