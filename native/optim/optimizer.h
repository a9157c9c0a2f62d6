// Weight updates: w <- w + step delta z for an eligibility trace z of one set.
#pragma once

#include <stdint.h>

#include "native/core/math.h"

namespace rtu::optim {

enum class Rule : int32_t {
  kObgd = 0,  // overshooting-bounded gradient descent, Elsayed et al. 2024 (arXiv 2410.14606), algorithm 3
  kSgd = 1,
  kAdam = 2,  // Kingma and Ba 2015
};

struct OptimizerConfig {
  Rule rule = Rule::kObgd;
  double step_size = 1.0;
  double kappa = 2.0;                       // ObGD
  double b1 = 0.9, b2 = 0.999, eps = 1e-8;  // Adam
};

// The step size that multiplies delta z: for ObGD bounded so that the update cannot overshoot; norm is sum |z| over all
// parameters of this optimiser.
template <class T>
T step_size(const OptimizerConfig& config, T delta, T norm) {
  const T alpha = static_cast<T>(config.step_size);
  if (config.rule != Rule::kObgd) return alpha;
  const T size = delta < 0 ? -delta : delta;
  const T bound = static_cast<T>(config.kappa) * (size > T(1) ? size : T(1)) * norm;
  return alpha * bound > T(1) ? T(1) / bound : alpha;
}

// b^t by squaring.
inline double power(double b, uint64_t t) {
  double result = 1.0;
  for (; t != 0; t >>= 1u, b *= b)
    if ((t & 1u) != 0) result *= b;
  return result;
}

}  // namespace rtu::optim
