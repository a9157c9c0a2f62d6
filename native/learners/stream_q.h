// Action values in place of an actor and a critic: stream Q(lambda) (Watkins 1989; Elsayed et al. 2024, arXiv
// 2410.14606) and SARSA(lambda) (Rummery and Niranjan 1994). One network, one head with an output q(s, .) per action,
// one eligibility set; actions are drawn epsilon-greedily. The order within a step is that of stream_ac.h, which calls
// these functions; docs/math_action_values.md.
#pragma once

#include "native/learners/stream_ac_inputs.h"

namespace rtu::learners {

// kNone: an actor and a critic; kQrc: Q(lambda) with the correction of stream_qrc.h.
enum class ValueRule : int32_t { kNone = 0, kQ = 1, kSarsa = 2, kQrc = 3 };

struct ValueConfig {
  ValueRule rule = ValueRule::kNone;
  bool late_cut = false;  // credit is cut one step after Watkins, as in the published code
  double epsilon_start = 1.0, epsilon_end = 0.01;
  uint64_t epsilon_steps = 0;  // updates in which epsilon falls linearly
  double beta = 1.0;           // kQrc: decay of h's weights

  constexpr bool on() const { return !core::kSmall && rule != ValueRule::kNone; }
  constexpr bool corrects() const { return !core::kSmall && rule == ValueRule::kQrc; }
};

// The share of actions that are drawn uniformly, after so many updates.
inline double epsilon(const ValueConfig& config, uint64_t steps) {
  if (steps >= config.epsilon_steps) return config.epsilon_end;
  const double done = static_cast<double>(steps) / static_cast<double>(config.epsilon_steps);
  return config.epsilon_start + done * (config.epsilon_end - config.epsilon_start);
}

// The first of the largest values, as mode().
template <class T>
int32_t greedy(const PolicyConfig& policy, const T* q) {
  int32_t best = 0;
  for (int32_t i = 1; i < policy.actions; ++i)
    if (q[i] > q[best]) best = i;
  return best;
}

// Uniform with probability share, otherwise greedy.
template <class T>
void draw_epsilon_greedy(const PolicyConfig& policy, double share, const T* q, core::Rng rng, T* action) {
  int32_t drawn = greedy(policy, q);
  if (core::uniform(rng) < share) drawn = static_cast<int32_t>(core::uniform(rng) * policy.actions);
  action[0] = static_cast<T>(drawn < policy.actions ? drawn : policy.actions - 1);
}

// The action's value is smaller than the largest: a random draw of a greedy action is no deviation.
template <class T>
bool deviates(const PolicyConfig& policy, const T* q, const T* action) {
  return q[static_cast<int32_t>(action[0])] < q[greedy(policy, q)];
}

// What follows an observation: max q(s', .), or q(s', a') with the action that was drawn for it.
template <class T>
T next_value(const ValueConfig& config, const PolicyConfig& policy, const T* q, const T* action) {
  return q[config.rule == ValueRule::kSarsa ? static_cast<int32_t>(action[0]) : greedy(policy, q)];
}

template <class T>
void one_hot(const PolicyConfig& policy, const T* action, T* cotangent) {
  for (int32_t i = 0; i < policy.actions; ++i) cotangent[i] = T(0);
  cotangent[static_cast<int32_t>(action[0])] = T(1);
}

// Before an action is drawn.
inline void shift_deviations(uint64_t* counters) {
  counters[kDeviatedLast] = counters[kDeviatedBefore];
  counters[kDeviatedBefore] = counters[kDeviated];
}

// Before the update of the transition (s, a): the eligibilities' decays of this step, gamma lambda or 0. Watkins: 0 if
// a deviates from the greedy action, so that earlier actions get no credit for what follows a, while a's own gradient
// enters. Where condition() keeps the eligibilities they are zeroed, and the decays, which also set its horizon, stay.
// The RTRL traces are kept: they are derivatives of the state, not credit. An overridden action has no gradient and
// cuts under both rules.
template <class T>
void set_decays(Network<T>& net, const ValueConfig& config, const HeadConfig& given, const uint64_t* counters,
                bool ours) {
  const bool watkins =
      config.rule != ValueRule::kSarsa && counters[config.late_cut ? kDeviatedLast : kDeviatedBefore] != 0;
  const bool cut = watkins || !ours, conditioned = optim::conditions(given.optimizer.rule);
  if (cut && conditioned) clear_conditioned(net);
  const core::Setting keep = cut && !conditioned ? 0 : 1;
  HeadConfig& head = net.config.head[0];  // of this copy; no other step reads it
  head.decay_recurrent = keep * given.decay_recurrent;
  head.decay_body = keep * given.decay_body;
  head.decay_head = keep * given.decay_head;
  if (!ours) clear_cotangents(net, 0, 0);
}

// The entropy of epsilon-greedy actions, in nats.
inline Spread spread(const PolicyConfig& policy, double share) {
  const double each = share / policy.actions, greedy = 1.0 - share + each;
  double H = greedy > 0 ? -greedy * core::logarithm(greedy) : 0.0;
  if (each > 0) H -= (policy.actions - 1) * each * core::logarithm(each);
  return {0.0, H};
}

// ---- of a learner, also of an actor-critic --------------------------------------------------------------------------

template <class T>
double epsilon(const StreamAc<T>& agent) {
  return epsilon(agent.config.values, agent.counters[kSteps]);
}

// How far the policy spreads its actions for the newest observation.
template <class T>
Spread spread(const StreamAc<T>& agent) {
  const PolicyConfig& policy = agent.config.policy;
  return agent.config.values.on() ? spread(policy, epsilon(agent)) : spread(policy, agent.outputs());
}

// v(s) of the newest observation, or q(s, action).
template <class T>
T value_of(const StreamAc<T>& agent, const T* action) {
  return agent.critic().head[0].y[agent.config.values.on() ? static_cast<int32_t>(action[0]) : 0];
}

// What delta bootstraps from: v(s'), or stream_q.h.
template <class T>
T next_value(const StreamAc<T>& agent) {
  if (!agent.config.values.on()) return value_of(agent, agent.action);
  return next_value(agent.config.values, agent.config.policy, agent.outputs(), agent.action);
}

}  // namespace rtu::learners
