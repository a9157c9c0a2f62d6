// exp, expm1, sin and cos over lanes, and the coefficients of the RTU.
//
// In float the coefficients must be the double results rounded once: a slow pole at r = 0.9999 multiplies the rounding
// of g and phi by its memory of 10 000 steps. So the functions return a pair (hi, lo) of floats with hi + lo accurate
// to about 2^-27; only leading terms need extended precision. In double, hi alone is accurate to 2 units in the last
// place; lo is computed nevertheless.
//
// L: Lanes, or Twin for two vectors at once, or Twin of Twins. A fused operation is used only where its product is
// exact, so that a processor without it gives the same bits.
#pragma once

#include "native/core/series.h"
#include "native/kernels/kernels.h"
#include "native/kernels/vec.h"

namespace {

template <class L>
struct Pair {
  typename L::F hi, lo;
};

template <class L>
RTU_INLINE Pair<L> fast_two_sum(typename L::F a, typename L::F b) {  // |a| >= |b|, or a = 0
  const typename L::F s = a + b;
  return {s, b - (s - a)};
}

// a b = hi + lo exactly: by one fused operation, or by Dekker's product (1971) with masked halves; bit-identical.
template <class L>
RTU_INLINE Pair<L> two_product(typename L::F a, typename L::F b) {
  typedef typename L::Scalar T;
  typedef typename L::F F;
  const F p = L::rounded(a * b);
  if constexpr (L::has_fma) {
    return {p, L::fma(a, b, -p)};
  } else {
    const auto mask = ~((static_cast<typename IntOf<T>::type>(1) << ((IntOf<T>::mantissa + 1) / 2)) - 1);
    const F ah = L::from_bits(L::bits(a) & mask), al = a - ah;
    const F bh = L::from_bits(L::bits(b) & mask), bl = b - bh;
    return {p, ((ah * bh - p) + ah * bl + al * bh) + al * bl};
  }
}

// x - n c, where n c is exactly representable.
template <class L>
RTU_INLINE typename L::F minus_exact(typename L::F x, typename L::F n, typename L::Scalar c) {
  if constexpr (L::has_fma)
    return L::fma(n, L::all(-c), x);
  else
    return x - L::rounded(n * c);
}

template <class L>
RTU_INLINE typename L::F power_of_two(typename L::I n) {  // 2^n for a normal result; uses the lowest bits of n
  typedef typename L::Scalar T;
  if constexpr (L::width == 1) {
    typedef typename IntOf<T>::unsigned_type U;
    return L::from_bits(
        static_cast<typename L::I>((static_cast<U>(n) + static_cast<U>(IntOf<T>::bias)) << IntOf<T>::mantissa));
  } else {
    return L::from_bits((n + IntOf<T>::bias) << IntOf<T>::mantissa);
  }
}

// exp(x) for x = n ln2 + r: 2^n (1 + e), e = exp(r) - 1. main + rest is e, where main has its leading digits and rest
// is below 0.07; one + left is 1 + e, with `one` the rounded sum.
template <class L>
struct Exponential {
  typename L::F scale, main, rest, one, left;
};

// x + low, |x| <= 87 (708 in double), |low| far below; without HasLow, low is 0 and not read.
template <class L, bool HasLow>
RTU_INLINE Exponential<L> exponential(typename L::F x, typename L::F low) {
  typedef typename L::Scalar T;
  typedef typename L::F F;
  constexpr bool single = sizeof(T) == 4;
  // ln2 in two parts: n times the first is exact
  constexpr T ln2_hi = single ? T(0.693145751953125) : T(6.93147180369123816490e-01);
  constexpr T ln2_lo = single ? T(1.42860677e-6) : T(1.90821492927058770002e-10);
  const F shifted = L::rounded(L::uncopied(x * T(1.44269504088896340736)) + IntOf<T>::rounder);
  const F n = shifted - IntOf<T>::rounder;
  const F r = minus_exact<L>(x, n, ln2_hi);  // exact
  F rl = L::rounded(n * -ln2_lo);
  if constexpr (HasLow) rl = low + rl;
  const F square = r * r, half = square * T(0.5), cube = square * r;
  F q;  // (exp(r) - 1 - r - r^2/2) / r^3
  if constexpr (single) {
    constexpr const float* a = rtu::core::kExpSeries;
    q = (L::uncopied(r * a[1]) + a[0]) + square * ((L::uncopied(r * a[3]) + a[2]) + square * a[4]);
  } else {
    q = L::all(T(1.0 / 6227020800.0));
    q = q * r + T(1.0 / 479001600.0);
    q = q * r + T(1.0 / 39916800.0);
    q = q * r + T(1.0 / 3628800.0);
    q = q * r + T(1.0 / 362880.0);
    q = q * r + T(1.0 / 40320.0);
    q = q * r + T(1.0 / 5040.0);
    q = q * r + T(1.0 / 720.0);
    q = q * r + T(1.0 / 120.0);
    q = q * r + T(1.0 / 24);
    q = q * r + T(1.0 / 6);
  }
  const Pair<L> head = fast_two_sum<L>(L::all(T(1)), r);
  const F most = half + cube * q;
  const F rest = most + rl * (head.hi + most);  // exp(r + rl) = exp(r) (1 + rl): rl^2 is below 2^-25 of it
  const Pair<L> sum = fast_two_sum<L>(head.hi, head.lo + rest);
  // After the rounding constant is added, the lowest bits of the sum are those of the integer, as power_of_two() needs.
  return {power_of_two<L>(L::bits(shifted)), r, rest, sum.hi, sum.lo};
}

// x clamped to the domain of exponential(); beyond it the result is 0 or out of range for any unit.
template <class T>
constexpr T kExpLimit = sizeof(T) == 4 ? T(87) : T(708);
template <class L>
RTU_INLINE typename L::F held(typename L::F x) {
  typedef typename L::Scalar T;
  const typename L::F limit = L::all(kExpLimit<T>);
  bool outside = true;
  if constexpr (L::width == 1) outside = !(L::abs(x) <= limit);  // one lane: skip with one comparison
  if (outside) x = L::min(L::max(x, -limit), limit);
  return x;
}

// exp(x) k as a pair; k = 1 changes no bit.
template <class L>
RTU_INLINE Pair<L> exp_pair(typename L::F x, typename L::Scalar k) {
  const Exponential<L> e = exponential<L, false>(held<L>(x), x);
  const typename L::F scale = e.scale * k;
  return {scale * e.one, scale * e.left};
}

// exp(x) - 1, relative error of a few 2^-24 also near 0.
template <class L>
RTU_INLINE typename L::F expm1_of(const Exponential<L>& e) {
  return (e.scale - typename L::Scalar(1)) + e.scale * (e.main + e.rest);
}

template <class L>
RTU_INLINE typename L::F tanh(typename L::F x) {
  typedef typename L::Scalar T;
  typedef typename L::F F;
  const F twice = L::min(L::abs(x) + L::abs(x), L::all(T(40)));
  const F e = expm1_of<L>(exponential<L, false>(twice, twice));
  const F t = e / (e + T(2));
  return x < T(0) ? -t : t;
}

template <class L>
struct SinCos {
  Pair<L> sine, cosine;
  typename L::I sine_sign, cosine_sign;  // combined with the result's bits by exclusive or
};

// sin and cos of x = hi + lo, 0 <= x < 2000.
template <class L>
RTU_INLINE SinCos<L> sin_cos(const Pair<L>& x) {
  typedef typename L::Scalar T;
  typedef typename L::F F;
  typedef typename L::I I;
  constexpr bool single = sizeof(T) == 4;
  // pi / 2 in two parts: n times the first is exact
  constexpr T p1 = single ? T(1.57080078125) : T(1.57079632673412561417e+00);
  constexpr T p2 = single ? T(-4.4544551033807687e-6) : T(6.07710050650619224932e-11);
  const F shifted = L::rounded(L::uncopied(x.hi * T(0.63661977236758134308)) + IntOf<T>::rounder);
  const F n = shifted - IntOf<T>::rounder;
  const F a = minus_exact<L>(x.hi, n, p1);
  const Pair<L> r = fast_two_sum<L>(a, x.lo - L::rounded(n * p2));
  const Pair<L> w = two_product<L>(r.hi, r.hi);
  const F w2 = w.hi * w.hi;
  F s, c;  // (sin(r) / r - 1) / w, (cos(r) - 1 + w/2) / w^2
  if constexpr (single) {
    constexpr const float *a = rtu::core::kSineSeries, *b = rtu::core::kCosineSeries;
    s = (w.hi * a[1] + a[0]) + w2 * a[2];
    c = (b[0] + w.hi * b[1]) + w2 * b[2];
  } else {
    s = L::all(T(1.0 / 355687428096000.0));
    s = s * w.hi - T(1.0 / 1307674368000.0);
    s = s * w.hi + T(1.0 / 6227020800.0);
    s = s * w.hi - T(1.0 / 39916800.0);
    s = s * w.hi + T(1.0 / 362880.0);
    s = s * w.hi - T(1.0 / 5040);
    s = s * w.hi + T(1.0 / 120);
    s = s * w.hi - T(1.0 / 6);
    c = L::all(T(1.0 / 20922789888000.0));
    c = c * w.hi - T(1.0 / 87178291200.0);
    c = c * w.hi + T(1.0 / 479001600.0);
    c = c * w.hi - T(1.0 / 3628800.0);
    c = c * w.hi + T(1.0 / 40320.0);
    c = c * w.hi - T(1.0 / 720);
    c = c * w.hi + T(1.0 / 24);
  }
  const Pair<L> sine = fast_two_sum<L>(r.hi, r.lo + (r.hi * w.hi) * s);
  const F half = w.hi * T(0.5);  // exact
  const Pair<L> head = fast_two_sum<L>(L::all(T(1)), -half);
  const Pair<L> cosine = {head.hi, head.lo + (w2 * c - (w.lo * T(0.5) + r.hi * r.lo))};
  const I q = L::bits(shifted);  // its two lowest bits are those of the quadrant
  const I swap = (q & 1) != 0;
  constexpr int to_sign = sizeof(T) * 8 - 2;
  SinCos<L> out;
  out.sine = {L::select(swap, cosine.hi, sine.hi), L::select(swap, cosine.lo, sine.lo)};
  out.cosine = {L::select(swap, sine.hi, cosine.hi), L::select(swap, sine.lo, cosine.lo)};
  out.sine_sign = (q & 2) << to_sign;
  out.cosine_sign = ((q + 1) & 2) << to_sign;
  return out;
}

// r times a sine or cosine, rounded once.
template <class L>
RTU_INLINE typename L::F turned(const Pair<L>& r, const Pair<L>& x, typename L::I sign) {
  const Pair<L> p = two_product<L>(r.hi, x.hi);
  const typename L::F product = p.hi + (p.lo + (r.hi * x.lo + r.lo * x.hi));
  return L::from_bits(L::bits(product) ^ sign);
}

template <class L, class T>
RTU_INLINE void coefficients_at(const T* nu_log, const T* theta_log, T k, const rtu::kernels::Coefficients<T>& out,
                                int32_t i) {
  typedef typename L::F F;
  const Pair<L> nu = exp_pair<L>(L::load(nu_log + i), k);
  const Pair<L> theta = exp_pair<L>(L::load(theta_log + i), k);
  const Exponential<L> e = exponential<L, true>(L::max(-nu.hi, L::all(-kExpLimit<T>)), -nu.lo);  // nu > 0
  const Pair<L> r = {e.scale * e.one, e.scale * e.left};
  const F less = expm1_of<L>(e);         // r - 1 without cancellation
  const F rest = -less * (T(2) + less);  // 1 - r^2
  const SinCos<L> turn = sin_cos<L>(theta);
  const F root = L::sqrt(rest);
  L::store(out.nu + i, nu.hi);
  L::store(out.theta + i, theta.hi);
  L::store(out.g + i, turned<L>(r, turn.cosine, turn.cosine_sign));
  L::store(out.phi + i, turned<L>(r, turn.sine, turn.sine_sign));
  L::store(out.gam + i, root + T(1e-8));
  L::store(out.dgam + i, nu.hi * (T(1) - rest) / root);
}

// Four vectors at a time where Wide is set, then two, the rest one by one.
template <class T, int V, bool Wide>
void coefficients_of(int32_t poles, const T* nu_log, const T* theta_log, T k,
                     const rtu::kernels::Coefficients<T>& out) {
  typedef Lanes<T, V> L;
  int32_t i = 0;
  if constexpr (Wide) {
    for (; i + 4 * V <= poles; i += 4 * V) coefficients_at<Twin<Twin<L>>>(nu_log, theta_log, k, out, i);
    for (; i + 2 * V <= poles; i += 2 * V) coefficients_at<Twin<L>>(nu_log, theta_log, k, out, i);
  }
  for (; i < poles; i += V) coefficients_at<L>(nu_log, theta_log, k, out, i);
}

}  // namespace
