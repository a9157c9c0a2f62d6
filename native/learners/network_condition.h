// Optimizers that move weights along z / p, p the root of a second moment: the eligibilities of a step, and the size
// of kIntentional's weight step. docs/math_optimizers.md.
//
// condition() is the learning pass of dense layers; a cell's own pass leaves the gradient g alone where other
// optimizers keep z. Afterwards z / p is there, which the next forward pass adds to the weights like any other z. z and
// the second moment are kept where Adam keeps its two moments.
#pragma once

#include "native/learners/network.h"

namespace rtu::learners {

constexpr double kLargestError = 1e15;     // in kAdaptiveObgd's moment: its square is a float
constexpr double kErrorMemory = 0.9998;    // decay of the running means of delta^2 and |delta|
constexpr double kLongestMemory = 0.9999;  // of sigma, also where gamma lambda is 1
constexpr double kErrorCap = 20;           // roots of the mean of delta^2 at which delta is cut
constexpr double kManyErrors = 1e6;        // 1 minus kErrorMemory to this power is 1

// The memory of sigma: the decay of the parameter group whose eligibilities reach furthest, at most kLongestMemory.
inline double longest_decay(const NetworkConfig& config, int32_t h) {
  const HeadConfig& head = config.head[h];
  double longest = head.decay_head;
  if (config.depth() > 0 && head.decay_body > longest) longest = head.decay_body;
  if (config.cell.learns() && head.decay_recurrent > longest) longest = head.decay_recurrent;
  return longest < kLongestMemory ? longest : kLongestMemory;
}

// What a head's optimizer takes the second moment of, before the decays of a parameter group are known.
template <class T>
kernels::ConditionStep<T> condition_step(const HeadConfig& head, T delta, uint64_t t) {
  const optim::OptimizerConfig& config = head.optimizer;
  kernels::ConditionStep<T> step{};
  step.b2 = static_cast<T>(config.b2);
  step.unbias2 = static_cast<T>(1.0 / (1.0 - optim::power(config.b2, t)));
  if (config.rule == optim::Rule::kAdaptiveObgd) {
    const T size = delta < 0 ? -delta : delta, bounded = size < T(kLargestError) ? size : T(kLargestError);
    step.of_trace = bounded * bounded;
    step.inside = static_cast<T>(config.eps);
    step.wants_norm = true;
    return step;
  }
  step.inside = static_cast<T>(config.eps * config.eps);
  step.of_gradient = config.preconditioner == optim::Preconditioner::kTrace ? T(0) : T(1);
  step.of_trace = config.preconditioner == optim::Preconditioner::kTrace ? T(1) : T(0);
  return step;
}

// The step for a group whose eligibilities decay by `decay`: with kLarger an eligibility counts as large as the
// gradients that would make it up if they did not correlate, |e|^2 (1 - decay^2).
template <class T>
kernels::ConditionStep<T> of_group(const HeadConfig& head, kernels::ConditionStep<T> step, double decay) {
  step.decay = static_cast<T>(decay);
  const bool larger = head.optimizer.rule == optim::Rule::kIntentional &&
                      head.optimizer.preconditioner == optim::Preconditioner::kLarger;
  if (larger) step.of_trace = static_cast<T>(1.0 - decay * decay);
  return step;
}

template <class T>
void condition_dense(const kernels::Kernels<T>& kernel, const Dense<T>& dense, int32_t s, const T* c, const T* input,
                     const kernels::ConditionStep<T>& step, kernels::ConditionSums<T>& sums) {
  const T one = 1;
  kernel.dense_condition(dense.rows, dense.stride, step, c, input, dense.z_w[s], dense.m_w[s], dense.v_w[s], sums);
  kernel.dense_condition(1, round_up(kernel, dense.rows), step, &one, c, dense.z_b[s], dense.m_b[s], dense.v_b[s],
                         sums);
}

// After update(), with the cotangents that it used: head h's eligibilities and directions z / p, once delta is known.
// Returns what apply_update() needs as its norm: sum |z / p|, or sum z^2 / p for kIntentional.
template <class T>
T condition(const Network<T>& net, int32_t h, T delta) {
  const HeadConfig& head = net.config.head[h];
  const kernels::ConditionStep<T> step = condition_step(head, delta, ++net.updates[h]);
  kernels::ConditionSums<T> sums{};
  if (net.config.cell.learns()) cells::condition(net.cell, h, of_group(head, step, head.decay_recurrent), sums);
  const kernels::ConditionStep<T> body = of_group(head, step, head.decay_body);
  const int32_t kind = net.head[h].first_kind;
  for (int l = 0; l < net.config.depth(); ++l) {
    const Layer<T>& layer = net.layer[l];
    condition_dense(*net.kernels, layer.dense, h, layer.cot[kind], layer.input, body, sums);
  }
  const Head<T>& top = net.head[h];
  if (!head.online)
    condition_dense(*net.kernels, top.dense, 0, top.cot[kind], top.input, of_group(head, step, head.decay_head), sums);
  if (head.optimizer.rule == optim::Rule::kAdaptiveObgd) return sums.norm;
  double* rule = rule_of(net, h);
  const double decay = longest_decay(net.config, h);
  rule[kOverlap] += (1.0 - decay) * (static_cast<double>(sums.gradient) - rule[kOverlap]);
  rule[kOverlapLeft] *= decay;
  return sums.trace;
}

// Of every head with such an optimizer; norm[h] as condition() returns it.
template <class T>
void condition(const Network<T>& net, T delta, T* norm) {
  for (int32_t h = 0; h < net.config.heads; ++h)
    if (optim::conditions(net.config.head[h].optimizer.rule)) norm[h] = condition(net, h, delta);
}

// kIntentional: the error as it enters the step, cut at kErrorCap deviations and, for a policy, relative to its usual
// size.
inline double intended_error(const optim::OptimizerConfig& config, double delta, double* rule) {
  const double size = delta < 0 ? -delta : delta;
  rule[kErrors] += 1;
  // A damaged file can hold any count; from kManyErrors on the power is 0.
  const double count = rule[kErrors];
  const bool is_few = count >= 0 && count < kManyErrors;
  const double seen = is_few ? 1.0 - optim::power(kErrorMemory, static_cast<uint64_t>(count)) : 1.0;
  rule[kSquaredError] = kErrorMemory * rule[kSquaredError] + (1.0 - kErrorMemory) * size * size;
  const double cap = kErrorCap * core::square_root(rule[kSquaredError] / seen);
  double error = size < cap ? size : cap;
  if (config.relative) {
    rule[kErrorSize] = kErrorMemory * rule[kErrorSize] + (1.0 - kErrorMemory) * error;
    const double usual = rule[kErrorSize] / seen;
    error /= usual > 1e-12 ? usual : 1e-12;
  }
  return delta < 0 ? -error : error;
}

// kIntentional: the step that removes the share step_size of the error, if gradients and eligibilities keep their usual
// overlap. trace: sum z^2 / p.
inline double intended_step(const optim::OptimizerConfig& config, double trace, const double* rule) {
  const double overlap = rule[kOverlapLeft] < 1.0 ? rule[kOverlap] / (1.0 - rule[kOverlapLeft]) : 0.0;
  const double reach = core::square_root(overlap * trace);
  return config.step_size / (reach > 1e-8 ? reach : 1e-8);
}

// The eligibilities that condition() keeps, to 0.
template <class T>
void clear_conditioned(const Network<T>& net) {
  for (int32_t h = 0; h < net.config.heads; ++h) {
    if (!optim::conditions(net.config.head[h].optimizer.rule)) continue;
    if (net.config.cell.learns()) cells::clear_conditioned(net.cell, h);
    for (int l = 0; l <= net.config.depth(); ++l) {
      const bool top = l == net.config.depth();
      if (top && net.config.head[h].online) continue;
      const Dense<T>& dense = top ? net.head[h].dense : net.layer[l].dense;
      cells::zero(dense.m_w[top ? 0 : h], static_cast<int64_t>(dense.rows) * dense.stride);
      cells::zero(dense.m_b[top ? 0 : h], dense.rows);
    }
  }
}

}  // namespace rtu::learners
