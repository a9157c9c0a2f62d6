// The inputs of a stream learner after the observation, the previous action and reward, and the scale of rewards
// (docs/math_learners.md, 4, Previous action and reward).
#pragma once

#include "native/learners/learner.h"
#include "native/learners/previous.h"

namespace rtu::learners {

template <class T>
struct StreamAc;

template <class T>
double scaled_reward(double gamma, const Normalizer<T>& statistics, double& u, double reward) {
  u = gamma * u + reward;
  return reward / static_cast<double>(running_deviation(statistics, static_cast<T>(u)));
}

template <class T>
double scaled_reward(const StreamAc<T>& agent, double reward) {
  if (!agent.config.scale_reward) return reward;
  return scaled_reward(agent.config.gamma, agent.reward, agent.scalars[kReturn], reward);
}

// For a learner with previous inputs, before predict(): see keep_transition(). applied (width) may be null.
template <class T>
Status set_previous(const StreamAc<T>& agent, double reward, const T* applied) {
  if (applied != nullptr && !all_finite(applied, agent.config.policy.width())) return Status::kNonFinite;
  if (agent.previous != nullptr) keep_transition(agent.config.policy, reward, applied, agent.previous);
  return Status::kOk;
}

// For a learner with previous inputs, where the action handed out is not that of predict().
template <class T>
void replace_action(const StreamAc<T>& agent, const T* action) {
  if (agent.previous != nullptr) keep_action(agent.config.policy, action, agent.previous);
}

// The reward as an input: the number that update() will enter into delta, from copies of the statistics, which only
// update() moves; without learning, the reward over the present deviation.
template <class T>
T reward_input(const StreamAc<T>& agent, T reward, bool explore) {
  if (!agent.config.scale_reward || reward == T(0)) return reward;
  T scaled = reward / present_deviation(agent.reward);
  if (explore) {
    T sums[] = {*agent.reward.mean, *agent.reward.mean_low, *agent.reward.m2, *agent.reward.m2_low};
    int32_t count = *agent.reward.count;
    double u = agent.scalars[kReturn];
    const Normalizer<T> copy = {1, agent.reward.bound, &sums[0], &sums[1], &sums[2], &sums[3], &count, nullptr};
    scaled = static_cast<T>(scaled_reward(agent.config.gamma, copy, u, static_cast<double>(reward)));
  }
  return agent.observation.bound > T(0) ? clamp(scaled, agent.observation.bound) : scaled;
}

// The inputs after the observation's.
template <class T>
void add_previous(const StreamAc<T>& agent, bool explore) {
  const PolicyConfig& policy = agent.config.policy;
  T* out = input_of(agent.net[0]) + agent.config.observation_size;
  if (agent.config.previous_action) {
    action_inputs(policy, agent.previous, out);
    out += policy.actions;
  }
  if (agent.config.previous_reward) *out = reward_input(agent, agent.previous[policy.width()], explore);
}

}  // namespace rtu::learners
