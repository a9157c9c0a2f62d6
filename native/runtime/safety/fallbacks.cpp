#include "native/runtime/safety/fallbacks.h"

#include <math.h>
#include <string.h>

namespace rtu::runtime::safety {
namespace {

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
  for (int k = 0; k < c->action_size; ++k) u[k] = NAN;  // an output that is not written is no action, not 0
  const int status =
      c->function(x, static_cast<size_t>(c->observation_size), c->first, u, static_cast<size_t>(c->action_size));
  c->first = false;
  if (status != 0) return status < 0 ? status : -1;
  unmap_action(c->limits, c->action_size, 0, u, action);
  return 0;
}

}  // namespace

Policy PdPolicy::policy() noexcept { return controller_policy(this, predict_pd); }

Policy FunctionPolicy::policy() noexcept { return controller_policy(this, predict_function); }

}  // namespace rtu::runtime::safety
