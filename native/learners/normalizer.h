// Running mean and variance (Welford 1962), in double, per dimension; statistics are updated before use and never reset (math.md, 4).
#pragma once

#include <stdint.h>

#include "native/core/arena.h"
#include "native/core/math.h"

namespace rtu::learners {

struct Normalizer {
  int32_t size;
  double* mean;   // (size)
  double* m2;     // (size) sum of squared deviations
  double* count;  // (1)
};

constexpr Normalizer make_normalizer(core::Builder& arena, int32_t size, const core::Name& name) {
  Normalizer normalizer{};
  normalizer.size = size;
  normalizer.mean = arena.vector<double>(name.dot("mean"), static_cast<uint32_t>(size));
  normalizer.m2 = arena.vector<double>(name.dot("m2"), static_cast<uint32_t>(size));
  normalizer.count = arena.vector<double>(name.dot("count"), 1);
  return normalizer;
}

template <class T>
void update(const Normalizer& normalizer, const T* x) {
  const double n = ++normalizer.count[0];
  for (int32_t i = 0; i < normalizer.size; ++i) {
    const double before = static_cast<double>(x[i]) - normalizer.mean[i];
    normalizer.mean[i] += before / n;
    normalizer.m2[i] += before * (static_cast<double>(x[i]) - normalizer.mean[i]);
  }
}

// M2 / (n - 1); 1 until there are two samples.
inline double variance(const Normalizer& normalizer, int32_t i) {
  const double n = normalizer.count[0];
  return n > 1 ? normalizer.m2[i] / (n - 1) : 1.0;
}

template <class T>
void normalize(const Normalizer& normalizer, const T* x, T* out) {
  for (int32_t i = 0; i < normalizer.size; ++i)
    out[i] = static_cast<T>((static_cast<double>(x[i]) - normalizer.mean[i]) /
                            core::square_root(variance(normalizer, i) + 1e-8));
}

}  // namespace rtu::learners
