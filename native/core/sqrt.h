// Square root of a double on every processor: one instruction if available, digit by digit where the floating-point
// unit supports single precision only (Cortex-M4F). Both are correctly rounded, so the results are the same. Internal
// linkage: kernel files include this and must not share code.
#pragma once

#include <stdint.h>
#include <string.h>

namespace rtu::core {

// The schoolbook method on the mantissa: 54 digits, the last of which rounds. A tie is impossible: the square of an odd
// number of 54 digits has more digits than x.
[[maybe_unused]] static double digitwise_square_root(double x) {
  constexpr uint64_t kOne = static_cast<uint64_t>(1) << 52;
  const double zero = 0;
  if (!(x > 0)) return x == 0 ? x : zero / zero;
  if (x - x != 0) return x;
  int halvings = 0;
  if (x < 0x1p-1022) {  // subnormal
    x *= 0x1p54;
    halvings = 27;
  }
  uint64_t bits = 0;
  memcpy(&bits, &x, sizeof bits);
  int exponent = static_cast<int>(bits >> 52) - 1023;
  uint64_t mantissa = (bits & (kOne - 1)) | kOne;
  if (exponent & 1) {
    mantissa <<= 1;
    exponent -= 1;
  }
  uint64_t root = 0, rest = 0;
  for (int digit = 0; digit < 54; ++digit) {
    // 27 pairs of mantissa bits (54 in all), then zeros.
    const uint64_t pair = digit < 27 ? (mantissa >> (52 - 2 * digit)) & 3u : 0u;
    rest = rest << 2 | pair;
    const uint64_t trial = root << 2 | 1u;
    root <<= 1;
    if (rest >= trial) {
      rest -= trial;
      root |= 1u;
    }
  }
  root = (root + 1) >> 1;
  bits = root + (static_cast<uint64_t>(exponent / 2 - halvings + 1022) << 52);
  memcpy(&x, &bits, sizeof x);
  return x;
}

[[maybe_unused]] static double square_root(double x) {
#if defined(__arm__) && !(defined(__ARM_FP) && (__ARM_FP & 8))
  return digitwise_square_root(x);
#else
  return __builtin_sqrt(x);
#endif
}

// For float: one instruction on every processor with single precision.
[[maybe_unused]] static float square_root(float x) { return __builtin_sqrtf(x); }

}  // namespace rtu::core
