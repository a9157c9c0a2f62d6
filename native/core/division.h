// Division of doubles by integers, for processors whose floating-point unit has single precision only (Cortex-M4F):
// about 110 instructions, where the compiler's library takes 450. Correctly rounded, so the bits are those of every
// other processor. Internal linkage: kernel files include this and must not share code.
#pragma once

#include <stdint.h>
#include <string.h>

namespace rtu::core {

// 2^63 / b less 3 to 5, so below 2^63 / (b + 1); 2^31 <= b < 2^32. Newton's step on half of it, from a quotient of
// floats that is too small by 2^-20 at most.
[[maybe_unused]] static inline uint32_t reciprocal(uint32_t b) {
  const uint32_t half = static_cast<uint32_t>(0x1.fffffp61f / static_cast<float>(b));
  const int64_t error = static_cast<int64_t>((static_cast<uint64_t>(1) << 62) - static_cast<uint64_t>(half) * b);
  const int64_t change = static_cast<int64_t>(static_cast<int32_t>(half)) * static_cast<int32_t>(error >> 11);
  return 2u * half + static_cast<uint32_t>(change >> 50) - 3u;
}

// digit * b, the low 64 bits.
[[maybe_unused]] static inline uint64_t digit_times(uint32_t digit, uint64_t b) {
  const uint64_t low = static_cast<uint64_t>(digit) * static_cast<uint32_t>(b);
  return low + (static_cast<uint64_t>(digit * static_cast<uint32_t>(b >> 32)) << 32);
}

// The whole part of 2^54 a / b, and in `rest` what is left; 2^52 <= b < 2^53, b <= a < 2 b. Two digits of 27 bits, each
// estimated from the leading 32 bits, never too large; what an estimate misses is in the rest, which 64 bits hold.
[[maybe_unused]] static inline uint64_t divide_mantissas(uint64_t a, uint64_t b, uint64_t& rest) {
  const uint32_t inverse = reciprocal(static_cast<uint32_t>(b >> 21));
  const auto digit = [inverse](uint64_t of) {
    return static_cast<uint32_t>(static_cast<uint64_t>(static_cast<uint32_t>(of >> 22)) * inverse >> 35);
  };
  const uint32_t first = digit(a);
  rest = (a << 27) - digit_times(first, b);
  const uint32_t second = digit(rest);
  rest = (rest << 27) - digit_times(second, b);
  uint64_t quotient = (static_cast<uint64_t>(first) << 27) + second;
  while (rest >= b) {
    rest -= b;
    ++quotient;
  }
  return quotient;
}

constexpr uint64_t kHidden = static_cast<uint64_t>(1) << 52, kInfinite = static_cast<uint64_t>(0x7ff) << 52;

// Where an operand or the quotient is not a normal number: zero, infinite, NaN, subnormal.
[[maybe_unused]] __attribute__((noinline)) static uint64_t divide_special(uint64_t a, uint64_t b, uint64_t sign) {
  if (a > kInfinite || b > kInfinite || (a == b && (a == 0 || a == kInfinite))) return kInfinite | kHidden >> 1;
  if (a == kInfinite || b == 0) return sign | kInfinite;
  if (a == 0 || b == kInfinite) return sign;
  int exponent = static_cast<int>(a >> 52) - static_cast<int>(b >> 52) + 1023;
  uint64_t* const both[] = {&a, &b};
  for (int i = 0; i < 2; ++i) {
    uint64_t& m = *both[i];
    const bool subnormal = m < kHidden;
    m = subnormal ? m << 1 : (m & (kHidden - 1)) | kHidden;
    for (; m < kHidden; m <<= 1) exponent += i == 0 ? -1 : 1;
  }
  if (a < b) {
    a <<= 1;
    --exponent;
  }
  uint64_t rest = 0;
  uint64_t quotient = divide_mantissas(a, b, rest) | (rest != 0 ? 1u : 0u);  // 53 digits and two, the last sticky
  if (exponent > 2046) return sign | kInfinite;
  if (exponent < -53) return sign;
  if (exponent < 1) {
    const int shift = 1 - exponent;
    quotient = quotient >> shift | ((quotient & ((static_cast<uint64_t>(1) << shift) - 1)) != 0 ? 1u : 0u);
    exponent = 1;
  }
  const uint64_t even = (quotient >> 2) + ((quotient & 3) == 3 || (quotient & 7) == 6 ? 1u : 0u);
  return sign | ((static_cast<uint64_t>(exponent - 1) << 52) + even);
}

// a / b, rounded to nearest. A tie is impossible among normal numbers: a quotient of 54 digits times b has more digits
// than a.
[[maybe_unused]] static double divide(double dividend, double divisor) {
  uint64_t a = 0, b = 0;
  __builtin_memcpy(&a, &dividend, sizeof a);
  __builtin_memcpy(&b, &divisor, sizeof b);
  const uint64_t sign = (a ^ b) & static_cast<uint64_t>(1) << 63;
  a &= ~(static_cast<uint64_t>(1) << 63);
  b &= ~(static_cast<uint64_t>(1) << 63);
  const uint32_t of_a = static_cast<uint32_t>(a >> 52), of_b = static_cast<uint32_t>(b >> 52);
  uint64_t result = 0;
  if (of_a - 1u < 2046u && of_b - 1u < 2046u && of_a - of_b + 1021u < 2044u) {
    uint64_t upper = (a & (kHidden - 1)) | kHidden, rest = 0;
    const uint64_t lower = (b & (kHidden - 1)) | kHidden;
    uint32_t exponent = of_a - of_b + 1022u;
    if (upper < lower) {
      upper <<= 1;
      --exponent;
    }
    result = sign | ((static_cast<uint64_t>(exponent) << 52) + ((divide_mantissas(upper, lower, rest) + 2) >> 2));
  } else {
    result = divide_special(a, b, sign);
  }
  __builtin_memcpy(&dividend, &result, sizeof dividend);
  return dividend;
}

}  // namespace rtu::core
