#include "native/runtime/simple_policies.h"

namespace rtu::runtime {
namespace {

int begin(void*) noexcept { return 0; }

int predict(void* self, const float* observation, int, float* action) noexcept {
  auto* p = static_cast<LinearPolicy*>(self);
  ++p->predictions;
  for (int k = 0; k < p->n_actions; ++k) {
    float a = p->bias[k];
    for (int i = 0; i < p->n_observations && p->n_levels == 0; ++i) a += p->gain[k][i] * observation[i];
    if (p->n_levels == 0 && a > 1.0f) a = 1.0f;
    if (p->n_levels == 0 && a < -1.0f) a = -1.0f;
    action[k] = a;
  }
  return 0;
}

int learn(void* self, float reward, int, int, const float* executed, int) noexcept {
  auto* p = static_cast<LinearPolicy*>(self);
  ++p->lessons;
  p->replaced += executed != nullptr;
  p->last_reward = reward;
  return 0;
}

const StepInfo* info(void* self) noexcept { return &static_cast<LinearPolicy*>(self)->step_info; }

uint64_t hash(void*) noexcept { return 0; }

}  // namespace

Policy LinearPolicy::policy() noexcept {
  return {this, n_observations, n_actions, n_levels, begin, predict, learn, info, hash, nullptr, 0};
}

}  // namespace rtu::runtime
