#include "native/testing/linear_policy.h"

namespace rtu::testing {
namespace {

int begin(void*) noexcept { return 0; }

int predict(void* self, const float* observation, int, float* action) noexcept {
  auto* p = static_cast<LinearPolicy*>(self);
  ++p->predictions;
  for (int k = 0; k < p->action_size; ++k) {
    float a = p->bias[k];
    for (int i = 0; i < p->observation_size && p->n_levels == 0; ++i) a += p->gain[k][i] * observation[i];
    if (p->n_levels == 0 && a > 1.0f) a = 1.0f;
    if (p->n_levels == 0 && a < -1.0f) a = -1.0f;
    action[k] = a;
  }
  return 0;
}

int update(void* self, float reward, int, int, const float* applied, int) noexcept {
  auto* p = static_cast<LinearPolicy*>(self);
  ++p->updates;
  p->overridden += applied != nullptr;
  p->last_reward = reward;
  return applied != nullptr ? kPolicyCritic : 0;
}

const StepInfo* info(void* self) noexcept { return &static_cast<LinearPolicy*>(self)->step_info; }

uint64_t hash(void*) noexcept { return 0; }

}  // namespace

Policy LinearPolicy::policy() noexcept {
  Policy policy;
  policy.self = this;
  policy.observation_size = observation_size;
  policy.action_size = action_size;
  policy.n_levels = n_levels;
  policy.begin = begin;
  policy.predict = predict;
  policy.update = update;
  policy.info = info;
  policy.hash = hash;
  return policy;
}

}  // namespace rtu::testing
