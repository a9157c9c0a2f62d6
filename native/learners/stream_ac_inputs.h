// The inputs of a stream learner after the observation, the previous action and reward (docs/math_learners.md, 4,
// Previous action and reward), and the scalars of a step: running return, scale of rewards, delta. In double they are
// computed as they are written; in float so that no gamma near 1 is rounded and no sum stalls (docs/math_single.md).
#pragma once

#include "native/learners/learner.h"
#include "native/learners/previous.h"

namespace rtu::learners {

template <class T>
struct StreamAc;

// gamma as the two functions below take it: in double as it is, in float 1 - gamma.
template <class T>
constexpr T discount(double gamma) {
  return static_cast<T>(sizeof(T) == sizeof(float) ? 1.0 - gamma : gamma);
}

// u <- gamma u + r. In float u + low, a compensated sum of r - (1 - gamma) u, with r within +-kLargestReading.
inline void add_reward(double gamma, double& u, double&, double r) { u = gamma * u + r; }
inline void add_reward(float less, float& u, float& low, float r) {
  add(u, low, clamp(r, static_cast<float>(kLargestReading)) - less * u);
}

// r + gamma next - value. In float next - value comes first, which is exact where both are close.
inline double td_error(double gamma, double r, double next, double value) { return r + gamma * next - value; }
inline float td_error(float less, float r, float next, float value) { return r + ((next - value) - less * next); }

template <class T>
T scaled_reward(T gamma, const Normalizer<T>& statistics, T& u, T& low, T reward) {
  add_reward(gamma, u, low, reward);
  return reward / running_deviation(statistics, u);
}

template <class T>
T scaled_reward(const StreamAc<T>& agent, T reward) {
  if (!agent.config.scale_reward) return reward;
  return scaled_reward(discount<T>(agent.config.gamma), agent.reward, agent.scalars[kReturn], agent.scalars[kReturnLow],
                       reward);
}

// For a learner with previous inputs, before predict(): see keep_transition(). applied (width) may be null.
template <class T>
Status set_previous(const StreamAc<T>& agent, typename StreamAc<T>::Real reward, const T* applied) {
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
    T u = agent.scalars[kReturn], low = agent.scalars[kReturnLow];
    const Normalizer<T> copy = {1, agent.reward.bound, &sums[0], &sums[1], &sums[2], &sums[3], &count, nullptr};
    scaled = scaled_reward(discount<T>(agent.config.gamma), copy, u, low, reward);
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
