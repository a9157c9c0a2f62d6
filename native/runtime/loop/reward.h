// The reward of a transition, without the interpreter.
#pragma once

#include <atomic>

#include "native/runtime/safety/command_limiter.h"

namespace rtu::runtime::loop {

enum class RewardKind { kFrame, kForm, kFunction };

// Form: r = bias + sum quadratic_i (x_i - target_i)^2 + sum cosine_i cos(x_i - target_i) + sum action_k u_k^2, with
// x (n,) the observation that ends the transition in raw units, u (m,) the command applied during it in actuator units.
struct Reward {
  RewardKind kind = RewardKind::kFrame;
  float bias = 0;
  float target[kMaxObservations] = {};
  float quadratic[kMaxObservations] = {};
  float cosine[kMaxObservations] = {};
  float action[kMaxActuators] = {};
  void* self = nullptr;
  float (*function)(void* self, const float* x, int n, const float* u, int m) noexcept = nullptr;
  const std::atomic<bool>* failed = nullptr;  // the function failed: the loop stops

  float evaluate(float from_frame, const float* x, int n, const float* u, int m) const noexcept;
};

}  // namespace rtu::runtime::loop
