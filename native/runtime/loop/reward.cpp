#include "native/runtime/loop/reward.h"

#include <cmath>

namespace rtu::runtime::loop {

float Reward::evaluate(float from_frame, const float* x, int n, const float* u, int m) const noexcept {
  if (kind == RewardKind::kFrame) return from_frame;
  if (kind == RewardKind::kFunction) return function(self, x, n, u, m);
  double sum = static_cast<double>(bias);
  for (int i = 0; i < n; ++i) {
    const double error = static_cast<double>(x[i]) - static_cast<double>(target[i]);
    sum += static_cast<double>(quadratic[i]) * error * error + static_cast<double>(cosine[i]) * std::cos(error);
  }
  for (int k = 0; k < m; ++k) {
    const double uk = static_cast<double>(u[k]);
    sum += static_cast<double>(action[k]) * uk * uk;
  }
  return static_cast<float>(sum);
}

}  // namespace rtu::runtime::loop
