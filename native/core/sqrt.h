// Square root of a double on every processor: one instruction if available, in two digits where the floating-point unit
// supports single precision only (Cortex-M4F). Both are correctly rounded, so the results are the same. Internal
// linkage: kernel files include this and must not share code.
#pragma once

#include <stdint.h>
#include <string.h>

#include "native/core/division.h"

namespace rtu::core {

// In two digits of 27 bits: the first from a root of floats and its remainder, the second from the first's reciprocal.
// Both may be off by a little: the remainder, which 64 bits hold, tells. A tie is impossible: the square of an odd
// number of 54 digits has more digits than x.
[[maybe_unused]] static double digitwise_square_root(double x) {
  const double zero = 0;
  if (!(x > 0)) return x == 0 ? x : zero / zero;
  if (x - x != 0) return x;
  int halvings = 0;
  if (x < 0x1p-1022) {  // subnormal
    x *= 0x1p54;
    halvings = 27;
  }
  uint64_t bits = 0;
  __builtin_memcpy(&bits, &x, sizeof bits);
  int exponent = static_cast<int>(bits >> 52) - 1023;
  uint64_t mantissa = (bits & (kHidden - 1)) | kHidden;
  if (exponent & 1) {
    mantissa <<= 1;
    exponent -= 1;
  }
  uint32_t first =
      static_cast<uint32_t>(0x1p11f * __builtin_sqrtf(static_cast<float>(static_cast<uint32_t>(mantissa >> 22))));
  const auto left = [mantissa](uint32_t root) {
    return static_cast<int32_t>(static_cast<int64_t>(mantissa - static_cast<uint64_t>(root) * root) >> 4);
  };
  first +=
      static_cast<uint32_t>(static_cast<int32_t>(static_cast<float>(left(first)) * 8.0f / static_cast<float>(first)));
  first -= first >> 27;  // below 2^27, which a mantissa just below 2^54 is rounded up to
  const int32_t rest = static_cast<int32_t>(mantissa - static_cast<uint64_t>(first) * first);  // of 54 digits, squared
  const int32_t second =
      static_cast<int32_t>(static_cast<int64_t>(rest) * static_cast<int64_t>(reciprocal(first << 5)) >> 32);
  uint64_t root = (static_cast<uint64_t>(first) << 27) + static_cast<uint64_t>(static_cast<int64_t>(second));
  int64_t over = static_cast<int64_t>((mantissa << 54) - root * root);
  while (over < 0) over += static_cast<int64_t>(2 * root-- - 1);
  while (over > static_cast<int64_t>(2 * root)) over -= static_cast<int64_t>(2 * root++ + 1);
  root = (root + 1) >> 1;
  bits = root + (static_cast<uint64_t>(exponent / 2 - halvings + 1022) << 52);
  __builtin_memcpy(&x, &bits, sizeof x);
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
