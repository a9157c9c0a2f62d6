// Weight updates: w <- w + step delta z for an eligibility trace z of one set, or z / p where the rule has a
// preconditioner p (conditions() below). docs/math_optimizers.md.
#pragma once

#include <stdint.h>

#include "native/core/math.h"
#include "native/core/small.h"

namespace rtu::optim {

enum class Rule : int32_t {
  kObgd = 0,  // overshooting-bounded gradient descent, Elsayed et al. 2024 (arXiv 2410.14606), algorithm 3
  kSgd = 1,
  kAdam = 2,          // Kingma and Ba 2015
  kAdaptiveObgd = 3,  // the same, algorithm 4: ObGD on z over the root of the second moment of delta z
  kIntentional = 4,   // Sharifnassab et al. 2026 (arXiv 2604.19033): each update removes a set share of the error
};

// What the second moment of kIntentional is taken of.
enum class Preconditioner : int32_t {
  kGradient = 0,  // the gradient, as published
  kTrace = 1,     // the eligibility
  kLarger = 2,    // the larger of the gradient and of the eligibility at the scale of a gradient
};

struct OptimizerConfig {
  Rule rule = Rule::kObgd;
  core::Setting step_size = 1.0;
  core::Setting kappa = 2.0;                // ObGD
  double b1 = 0.9, b2 = 0.999, eps = 1e-8;  // Adam, second moments
  Preconditioner preconditioner = Preconditioner::kLarger;
  bool relative = false;  // kIntentional: divide delta by the running mean of |delta|; for a policy
};

// The rule moves weights along z / p. Such a set keeps in its z only this step's gradient, then the direction z / p;
// the eligibility itself is kept with the second moment (network_condition.h).
constexpr bool conditions(Rule rule) {
  return !core::kSmall && (rule == Rule::kAdaptiveObgd || rule == Rule::kIntentional);
}

constexpr bool has_moments(Rule rule) { return !core::kSmall && (rule == Rule::kAdam || conditions(rule)); }

// The step size that multiplies delta z: for ObGD bounded so that the update cannot overshoot; norm is sum |z| over all
// parameters of this optimiser.
template <class T>
T step_size(const OptimizerConfig& config, T delta, T norm) {
  const T alpha = static_cast<T>(config.step_size);
  if (config.rule != Rule::kObgd && config.rule != Rule::kAdaptiveObgd) return alpha;
  const T size = delta < 0 ? -delta : delta;
  const T bound = static_cast<T>(config.kappa) * (size > T(1) ? size : T(1)) * norm;
  return alpha * bound > T(1) ? T(1) / bound : alpha;
}

// The factor of z, or z / p, in a weight step. A step size of 0 moves nothing, however large delta is.
template <class T>
T along(T alpha, T delta) {
  return alpha == T(0) ? T(0) : alpha * delta;
}

// b^t by squaring.
inline double power(double b, uint64_t t) {
  double result = 1.0;
  for (; t != 0; t >>= 1u, b *= b)
    if ((t & 1u) != 0) result *= b;
  return result;
}

}  // namespace rtu::optim
