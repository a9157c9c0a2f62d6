// Elementary functions in double without a mathematical library, for the few scalars of a step that are not in a
// kernel. Errors against the C library are below 2 units in the last place over the ranges tested
// (tests/native/test_math.cpp).
#pragma once

#include <stdint.h>
#include <string.h>

#include "native/core/sqrt.h"

namespace rtu::core {

inline uint64_t bits_of(double x) {
  uint64_t bits = 0;
  __builtin_memcpy(&bits, &x, sizeof bits);
  return bits;
}

inline double from_bits(uint64_t bits) {
  double x = 0;
  __builtin_memcpy(&x, &bits, sizeof x);
  return x;
}

template <class T>
constexpr bool is_finite(T x) {
  return x - x == T(0);
}

inline double absolute(double x) { return x < 0 ? -x : x; }

// x as n ln2 + r with |r| <= ln2 / 2, for |x| < 2^20.
inline double reduce_ln2(double x, int& n) {
  const double shift = 6755399441055744.0;  // 1.5 * 2^52: adding it rounds to an integer
  const double turns = (x * 1.4426950408889634074 + shift) - shift;
  n = static_cast<int>(turns);
  return (x - turns * 6.93147180369123816490e-01) - turns * 1.90821492927058770002e-10;
}

// exp(r) - 1 for |r| <= ln2 / 2, by its series up to r^13 / 13! (the rest is below 1e-17).
inline double expm1_reduced(double r) {
  double sum = 1.0 / 6227020800.0;
  const double inverse_factorial[] = {1.0 / 479001600.0,
                                      1.0 / 39916800.0,
                                      1.0 / 3628800.0,
                                      1.0 / 362880.0,
                                      1.0 / 40320.0,
                                      1.0 / 5040.0,
                                      1.0 / 720.0,
                                      1.0 / 120.0,
                                      1.0 / 24.0,
                                      1.0 / 6.0,
                                      0.5};
  for (double term : inverse_factorial) sum = sum * r + term;
  return r + r * r * sum;
}

inline double power_of_two(int n) { return from_bits(static_cast<uint64_t>(n + 1023) << 52u); }  // -1022 <= n <= 1023

inline double exponential(double x) {
  if (!(x > -708.0)) return x != x ? x : 0.0;
  if (x > 709.0) return from_bits(0x7ff0000000000000ull);
  int n = 0;
  const double r = reduce_ln2(x, n);
  const double e = 1.0 + expm1_reduced(r);
  return n > 1022 ? e * power_of_two(n - 1) * 2.0 : e * power_of_two(n);
}

// exp(x) - 1 without cancellation near 0.
inline double exponential_minus_one(double x) {
  if (x > 40.0) return exponential(x);
  if (!(x > -40.0)) return x != x ? x : -1.0;
  int n = 0;
  const double r = reduce_ln2(x, n);
  const double e = expm1_reduced(r);
  if (n == 0) return e;
  const double scale = power_of_two(n);
  return scale * e + (scale - 1.0);
}

// log(x), x > 0 and normal: x = 2^n m with m in (sqrt(1/2), sqrt(2)), log m = 2 atanh((m - 1) / (m + 1)).
inline double logarithm(double x) {
  uint64_t bits = bits_of(x);
  int n = static_cast<int>((bits >> 52u) & 0x7ffu) - 1023;
  double m = from_bits((bits & 0x000fffffffffffffull) | 0x3ff0000000000000ull);
  if (m > 1.41421356237309504880) {
    m *= 0.5;
    ++n;
  }
  const double f = m - 1.0, s = f / (2.0 + f), w = s * s;
  // Constants, not divisions: one costs a Cortex-M4 some 450 instructions.
  const double inverse_odd[] = {1.0 / 21, 1.0 / 19, 1.0 / 17, 1.0 / 15, 1.0 / 13,
                                1.0 / 11, 1.0 / 9,  1.0 / 7,  1.0 / 5,  1.0 / 3};
  double sum = 1.0 / 23.0;
  for (double term : inverse_odd) sum = sum * w + term;
  const double tail = s * (f - 2.0 * w * sum);  // log m = f - s (f - 2 w sum): f carries the leading digits
  return n * 6.93147180369123816490e-01 + (f - (tail - n * 1.90821492927058770002e-10));
}

// x as n pi / 2 + r with |r| <= pi / 4, |x| < 1e5; returns r, and n modulo 4.
inline double reduce_quadrant(double x, int& quadrant) {
  const double shift = 6755399441055744.0;
  const double turns = (x * 0.63661977236758134308 + shift) - shift;
  const double r = x - turns * 1.57079632673412561417e+00;
  quadrant = static_cast<int>(turns) & 3;
  return (r - turns * 6.07710050630396597660e-11) - turns * 2.02226624879595063154e-21;
}

// sin and cos, |r| <= pi / 4.
inline double sine_reduced(double r) {
  const double w = r * r;
  double sine = 1.0 / 355687428096000.0;    // 1/17!
  sine = sine * w - 1.0 / 1307674368000.0;  // 1/15!
  sine = sine * w + 1.0 / 6227020800.0;
  sine = sine * w - 1.0 / 39916800.0;
  sine = sine * w + 1.0 / 362880.0;
  sine = sine * w - 1.0 / 5040.0;
  sine = sine * w + 1.0 / 120.0;
  sine = sine * w - 1.0 / 6.0;
  return r + r * w * sine;
}
inline double cosine_reduced(double r) {
  const double w = r * r;
  double cosine = 1.0 / 20922789888000.0;  // 1/16!
  cosine = cosine * w - 1.0 / 87178291200.0;
  cosine = cosine * w + 1.0 / 479001600.0;
  cosine = cosine * w - 1.0 / 3628800.0;
  cosine = cosine * w + 1.0 / 40320.0;
  cosine = cosine * w - 1.0 / 720.0;
  cosine = cosine * w + 1.0 / 24.0;
  const double half = 0.5 * w, head = 1.0 - half;
  return head + (((1.0 - head) - half) + w * w * cosine);
}

// cos(x), |x| < 1e5: of the two series, the one that its quadrant asks for.
inline double cosine(double x) {
  int quadrant = 0;
  const double r = reduce_quadrant(x, quadrant);
  const double size = (quadrant & 1) != 0 ? sine_reduced(r) : cosine_reduced(r);
  return quadrant == 1 || quadrant == 2 ? -size : size;
}

inline double hyperbolic_tangent(double x) {
  const double e = exponential_minus_one(2.0 * absolute(x) > 80.0 ? 80.0 : 2.0 * absolute(x));
  const double t = e / (e + 2.0);
  return x < 0 ? -t : t;
}

// log(1 + exp(x)), and its derivative 1 / (1 + exp(-x)).
template <class T>
struct Softplus {
  T value, slope;
};

inline Softplus<double> softplus_and_slope(double x) {
  const double e = exponential(-absolute(x));
  const double u = 1.0 + e;  // log1p(e) by Kahan's quotient: exact to rounding although u is rounded
  const double tail = u == 1.0 ? e : logarithm(u) * e / (u - 1.0);
  return {(x > 0 ? x : 0.0) + tail, (x >= 0 ? 1.0 : e) / u};
}

inline double softplus(double x) { return softplus_and_slope(x).value; }

}  // namespace rtu::core
