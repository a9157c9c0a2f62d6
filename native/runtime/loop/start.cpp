#include "native/runtime/loop/start.h"

#include <stdio.h>

#include <algorithm>
#include <cmath>

namespace rtu::runtime::loop {

int outside(const float* x, const float* low, const float* high, int n) noexcept {
  for (int i = 0; i < n; ++i)
    if (!(std::isfinite(x[i]) && x[i] >= low[i] && x[i] <= high[i])) return i;
  return -1;
}

void describe_outside(const Context& run, int i, float x, float low, float high, char* out, size_t size) noexcept {
  const auto& names = run.options.observation_names;
  const auto at = static_cast<size_t>(i);
  snprintf(out, size, "%s = %.6g, allowed %.6g to %.6g", at < names.size() ? names[at].c_str() : "an observation",
           static_cast<double>(x), static_cast<double>(low), static_cast<double>(high));
}

Start::Now Start::next(const float* x) noexcept {
  const bool in = outside(x, options_.low, options_.high, run_.n) < 0;
  if (options_.homing.predict == nullptr) return in ? Now::kBegin : Now::kRefuse;
  inside_ = in ? inside_ + 1 : 0;
  // A plant that starts in the region needs no homing.
  if (in && (steps_ == 0 || inside_ >= options_.settle_steps)) return Now::kBegin;
  return Now::kHome;
}

bool Start::command(const float* x, float* u) noexcept {
  const Policy& homing = options_.homing;
  if (steps_++ == 0 && homing.begin != nullptr) homing.begin(homing.self);
  float action[kMaxActuators];
  for (int i = 0; i < run_.n; ++i)
    if (!std::isfinite(x[i])) return false;
  if (homing.predict(homing.self, x, 0, action) < 0) return false;
  (void)safety::map_action(run_.options.limits, run_.m, homing.n_levels, action, u);
  for (int k = 0; k < run_.m; ++k) {
    if (!std::isfinite(u[k])) return false;
    const safety::ActuatorLimits& own = run_.options.limits[k];
    const float most = options_.share * (own.high - own.low);
    u[k] = std::clamp(u[k], std::max(own.low, own.rest - most), std::min(own.high, own.rest + most));
  }
  return true;
}

}  // namespace rtu::runtime::loop
