// A policy that learns nothing and counts its calls: for fault-injection suites, benchmarks and tests of the loop.
#pragma once

#include <stdint.h>

#include "native/runtime/policy.h"

namespace rtu::testing {

using namespace runtime;

// a = bias + gain x, each a clipped to -1..1: with gain 0 a constant, with gains on positions and velocities a PD
// controller. Discrete (n_levels > 0): bias[0] is the index of the level.
struct LinearPolicy {
  int observation_size = 0;
  int action_size = 0;
  int n_levels = 0;
  float bias[kMaxActuators] = {};
  float gain[kMaxActuators][kMaxObservations] = {};
  uint64_t predictions = 0;
  uint64_t updates = 0;     // calls of update
  uint64_t overridden = 0;  // of them with an applied action
  float last_reward = 0;
  StepInfo step_info = {};

  Policy policy() noexcept;
};

}  // namespace rtu::testing
