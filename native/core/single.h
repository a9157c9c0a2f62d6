// Elementary functions in float, for the scalars of a step: single operations in a fixed order, so that a processor
// with single precision only has the bits of every other one. Their errors: docs/math_single.md; measured over all
// magnitudes by tests/native/test_single.cpp.
#pragma once

#include <stdint.h>
#include <string.h>

#include "native/core/math.h"
#include "native/core/series.h"

namespace rtu::core {

constexpr float kLn2 = 0.693145751953125f, kLn2Low = 1.42860677e-6f;  // an integer below 2^8 times the first is exact

inline uint32_t bits_of(float x) {
  uint32_t bits = 0;
  __builtin_memcpy(&bits, &x, sizeof bits);
  return bits;
}

inline float from_bits(uint32_t bits) {
  float x = 0;
  __builtin_memcpy(&x, &bits, sizeof x);
  return x;
}

// exp(x), x <= 88; below -80 that of -80, so that neither it nor its share in a sum of 64 is subnormal.
inline float exponential(float x) {
  x = x < -80.0f ? -80.0f : x;
  const float rounder = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
  const float shifted = x * 1.44269504088896340736f + rounder, n = shifted - rounder;
  const float r = (x - n * kLn2) - n * kLn2Low, square = r * r;
  const float* const a = kExpSeries;
  const float rest = r * (a[0] + r * (a[1] + r * (a[2] + r * (a[3] + r * a[4]))));
  // The lowest bits of shifted are those of n.
  return from_bits((bits_of(shifted) + 127u) << 23u) * (1.0f + (r + square * (0.5f + rest)));
}

// sum_k a_k w^k of atanh.
inline float atanh_series(float w) {
  const float* const a = kAtanhSeries;
  return a[0] + w * (a[1] + w * (a[2] + w * a[3]));
}

// n ln2 + log(1 + f), sqrt(1/2) - 1 <= f <= sqrt(2) - 1.
inline float logarithm(float n, float f) {
  const float s = f / (2.0f + f), w = s * s;
  const float tail = s * (f - 2.0f * w * atanh_series(w));  // log(1 + f) = f - tail: f carries the leading digits
  return n * kLn2 + (f - (tail - n * kLn2Low));
}

// log(x), x > 0 and normal.
inline float logarithm(float x) {
  const uint32_t low = bits_of(0.70710678f), bits = bits_of(x) - low;
  const int32_t n = static_cast<int32_t>(bits) >> 23;  // x = 2^n m, m from sqrt(1/2)
  return logarithm(static_cast<float>(n), from_bits((bits & 0x007fffffu) + low) - 1.0f);
}

// log((k + 1/2) / 2^32), also near 0, where the float nearest to the quotient is 1.
inline float logarithm_of_share(uint32_t k) {
  if (k < 0xb504f334u) return logarithm((static_cast<float>(k) + 0.5f) * 0x1p-32f);
  return logarithm(0.0f, (static_cast<float>(~k) + 0.5f) * -0x1p-32f);
}

// cos(2 pi (k + 1/2) / 2^32).
inline float cosine_of_share(uint32_t k) {
  const uint32_t quarters = (k + 0x20000000u) >> 30u;  // rounded; the rest is exact
  const float r = (static_cast<float>(static_cast<int32_t>(k - (quarters << 30u))) + 0.5f) * 1.4629180792671596e-9f;
  const float w = r * r;
  float size = 0;
  if ((quarters & 1u) != 0) {
    const float* const a = kSineSeries;
    size = r + r * w * (a[0] + w * (a[1] + w * a[2]));
  } else {
    const float* const a = kCosineSeries;
    size = 1.0f - (0.5f * w - w * w * (a[0] + w * (a[1] + w * a[2])));
  }
  return quarters == 1 || quarters == 2 ? -size : size;
}

inline Softplus<float> softplus_and_slope(float x) {
  const float e = exponential(x < 0 ? x : -x), u = 1.0f + e;
  const float t = e / (1.0f + u), w = t * t;  // log(1 + e) = 2 atanh(e / (2 + e))
  return {(x > 0 ? x : 0.0f) + 2.0f * (t + t * w * atanh_series(w)), (x >= 0 ? 1.0f : e) / u};
}

}  // namespace rtu::core
