// The scale of a cumulant: the root mean square of its running discounted sum (docs/math_bank.md).
#pragma once

#include <stdint.h>

#include "native/core/math.h"
#include "native/core/sqrt.h"

namespace rtu::learners {

constexpr double kLargestSum = 1e100;  // its square is finite

// The n-th cumulant enters the sum and the mean of the sum's square, each 0 before the first.
inline void observe_cumulant(double gamma, double cumulant, uint64_t n, double& sum, double& square) {
  sum = gamma * sum + cumulant;
  const double low = sum > -kLargestSum ? sum : -kLargestSum, bounded = low < kLargestSum ? low : kLargestSum;
  square += (bounded * bounded - square) / static_cast<double>(n);
}

// 1 while every cumulant was 0.
inline double cumulant_scale(double square) { return square > 0 ? core::square_root(square) : 1.0; }

}  // namespace rtu::learners
