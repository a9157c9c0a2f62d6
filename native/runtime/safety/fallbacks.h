// Fallback controllers, which hold or stabilise a plant while the learner may not act.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "native/runtime/policy.h"
#include "native/runtime/safety/command_limiter.h"

namespace rtu::runtime::safety {

// The policy table of a controller, which learns nothing; `first` marks the start of an episode.
template <class Controller>
Policy controller_policy(Controller* controller,
                         int (*predict)(void* self, const float* x, int explore, float* action) noexcept) noexcept {
  Policy policy;
  policy.self = controller;
  policy.observation_size = controller->observation_size;
  policy.action_size = controller->action_size;
  policy.begin = [](void* self) noexcept {
    static_cast<Controller*>(self)->first = true;
    return 0;
  };
  policy.predict = predict;
  policy.update = [](void*, float, int, int, const float*, int) noexcept { return kPolicyNoted; };
  return policy;
}

// a = bias + p x + d (x - x of the step before), each a clipped to -1..1: a PD controller where only positions are
// measured. At an episode's start the difference is 0.
struct PdPolicy {
  int observation_size = 0;
  int action_size = 0;
  float bias[kMaxActuators] = {};
  float p[kMaxActuators][kMaxObservations] = {};
  float d[kMaxActuators][kMaxObservations] = {};
  float before[kMaxObservations] = {};
  bool first = true;

  Policy policy() noexcept;
};

// A user-supplied controller in a shared library (native/bindings/c/rtu_edge_fallback.h); u in actuator units.
struct FunctionPolicy {
  int (*function)(const float* x, size_t n, int first, float* u, size_t m) = nullptr;
  int observation_size = 0;
  int action_size = 0;
  ActuatorLimits limits[kMaxActuators];
  bool first = true;

  Policy policy() noexcept;
};

}  // namespace rtu::runtime::safety
