// The previous action and the previous reward as inputs of an actor-critic, after the observation
// (docs/math_learners.md, 4, Previous action and reward). Both are 0 at the first step of an episode.
//
//   previous  (width + 2)  the action, then the reward, then 1 once an action of this episode is in it
#pragma once

#include <string.h>

#include "native/core/math.h"
#include "native/learners/policy_head.h"

namespace rtu::learners {

constexpr uint32_t previous_size(const PolicyConfig& policy) { return static_cast<uint32_t>(policy.width()) + 2; }

template <class T>
void clear_previous(const PolicyConfig& policy, T* previous) {
  memset(previous, 0, previous_size(policy) * sizeof(T));
}

// After a prediction: the action that it handed out, and a reward that is not known yet.
template <class T>
void keep_action(const PolicyConfig& policy, const T* action, T* previous) {
  const int32_t width = policy.width();
  memcpy(previous, action, static_cast<size_t>(width) * sizeof(T));
  previous[width] = T(0);
  previous[width + 1] = T(1);
}

// Before a prediction: the reward of the transition into its observation (not finite: lost, then 0), and the action
// that was applied (null: the one handed out). Ignored before the first prediction of an episode.
template <class T>
void keep_transition(const PolicyConfig& policy, T reward, const T* applied, T* previous) {
  const int32_t width = policy.width();
  if (previous[width + 1] == T(0)) return;
  previous[width] = core::is_finite(reward) ? reward : T(0);
  if (applied == nullptr) return;
  const T low = policy.discrete ? T(0) : T(-1), high = policy.discrete ? static_cast<T>(policy.actions - 1) : T(1);
  for (int32_t k = 0; k < width; ++k) previous[k] = !(applied[k] >= low) ? low : applied[k] > high ? high : applied[k];
}

// The action as inputs (actions): as it is, or one-hot by the nearest index.
template <class T>
void action_inputs(const PolicyConfig& policy, const T* previous, T* out) {
  for (int32_t k = 0; k < policy.actions; ++k) out[k] = policy.discrete ? T(0) : previous[k];
  if (policy.discrete && previous[1 + policy.width()] != T(0)) out[static_cast<int32_t>(previous[0] + T(0.5))] = T(1);
}

}  // namespace rtu::learners
