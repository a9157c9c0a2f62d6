// Policies that learn nothing: for tests of the loop, and to hold or steady a machine while the learner may not.
#ifndef RTU_RUNTIME_SIMPLE_POLICIES_H
#define RTU_RUNTIME_SIMPLE_POLICIES_H

#include <stdint.h>

#include "native/runtime/gate.h"
#include "native/runtime/policy.h"

namespace rtu::runtime {

// a = bias + gain x, each a clipped to -1..1: with gain 0 a constant, with gains on positions and velocities a PD
// controller. Discrete (n_levels > 0): bias[0] is the index of the level.
struct LinearPolicy {
  int n_observations = 0;
  int n_actions = 0;
  int n_levels = 0;
  float bias[kMaxActuators] = {};
  float gain[kMaxActuators][kMaxObservations] = {};
  uint64_t predictions = 0;
  uint64_t lessons = 0;   // calls of learn
  uint64_t replaced = 0;  // of them with an executed action
  float last_reward = 0;
  StepInfo step_info = {};

  Policy policy() noexcept;
};

}  // namespace rtu::runtime

#endif
