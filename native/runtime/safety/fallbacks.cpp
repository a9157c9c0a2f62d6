#include "native/runtime/safety/fallbacks.h"

#include <math.h>
#include <string.h>

namespace rtu::runtime::safety {
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

int predict_pd(void* self, const float* x, int, float* action) noexcept {
  auto* c = static_cast<PdPolicy*>(self);
  for (int k = 0; k < c->action_size; ++k) {
    float a = c->bias[k];
    for (int i = 0; i < c->observation_size; ++i)
      a += c->p[k][i] * x[i] + (c->first ? 0.0f : c->d[k][i] * (x[i] - c->before[i]));
    action[k] = a > 1.0f ? 1.0f : a < -1.0f ? -1.0f : a;
  }
  memcpy(c->before, x, sizeof(float) * static_cast<size_t>(c->observation_size));
  c->first = false;
  return 0;
}

int predict_function(void* self, const float* x, int, float* action) noexcept {
  auto* c = static_cast<FunctionPolicy*>(self);
  float u[kMaxActuators];
  for (int k = 0; k < c->action_size; ++k) u[k] = NAN;  // one that is not filled is no action, and not 0
  const int status =
      c->function(x, static_cast<size_t>(c->observation_size), c->first, u, static_cast<size_t>(c->action_size));
  c->first = false;
  if (status != 0) return status < 0 ? status : -1;
  unmap_action(c->limits, c->action_size, 0, u, action);
  return 0;
}

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

Policy PdPolicy::policy() noexcept { return controller_policy(this, predict_pd); }

Policy FunctionPolicy::policy() noexcept { return controller_policy(this, predict_function); }

}  // namespace rtu::runtime::safety
