// exp, expm1, sin and cos over lanes, and the coefficients of the RTU.
//
// In float the coefficients must be the double results rounded once: a slow pole at r = 0.9999 multiplies the rounding of g and phi
// by its memory of 10 000 steps. So the functions return a pair (hi, lo) with hi + lo good to about 2^-27, made from floats alone:
// only leading terms need the care. In double hi alone is good to 2 units in the last place, and lo is kept all the same.
#pragma once

#include "native/kernels/kernels.h"
#include "native/kernels/vec.h"

namespace {

template <class T, int V>
struct Pair {
  Vec<T, V> hi, lo;
};

template <class T, int V>
RTU_INLINE Pair<T, V> fast_two_sum(Vec<T, V> a, Vec<T, V> b) {  // |a| >= |b|, or a = 0
  const Vec<T, V> s = a + b;
  return {s, b - (s - a)};
}

// a b = hi + lo exactly: by one fused operation, or by Dekker's product (1971) with the halves masked out; the same bits.
template <class T, int V>
RTU_INLINE Pair<T, V> two_product(Vec<T, V> a, Vec<T, V> b) {
  typedef Lanes<T, V> L;
  const auto mask = ~((static_cast<typename IntOf<T>::type>(1) << ((IntOf<T>::mantissa + 1) / 2)) - 1);
  const Vec<T, V> p = L::rounded(a * b);
  if constexpr (L::has_fma) return {p, L::fma(a, b, -p)};
  const Vec<T, V> ah = L::from_bits(L::bits(a) & mask), al = a - ah;
  const Vec<T, V> bh = L::from_bits(L::bits(b) & mask), bl = b - bh;
  return {p, ((ah * bh - p) + ah * bl + al * bh) + al * bl};
}

template <class T, int V>
RTU_INLINE Vec<T, V> power_of_two(IVec<T, V> n) {  // 2^n for a normal result; of n the lowest bits count
  typedef typename IntOf<T>::unsigned_type U;
  if constexpr (V == 1)
    return Lanes<T, V>::from_bits(
        static_cast<IVec<T, V>>((static_cast<U>(n) + static_cast<U>(IntOf<T>::bias)) << IntOf<T>::mantissa));
  else
    return Lanes<T, V>::from_bits((n + IntOf<T>::bias) << IntOf<T>::mantissa);
}

template <class T>
constexpr T ln2_hi() {
  return sizeof(T) == 4 ? T(0.693359375) : T(6.93147180369123816490e-01);
}
template <class T>
constexpr T ln2_lo() {
  return sizeof(T) == 4 ? T(-2.12194440054690583e-4) : T(1.90821492927058770002e-10);
}

// exp(r) - 1 as a pair for r = rh + rl, |r| <= 0.35, by the series; float stops at r^8 / 8! (rest 2e-10), double at r^13 / 13!.
template <class T, int V>
RTU_INLINE Pair<T, V> expm1_reduced(Vec<T, V> rh, Vec<T, V> rl) {
  typedef Lanes<T, V> L;
  typedef Vec<T, V> F;
  F q;
  if constexpr (sizeof(T) == 4) {
    q = L::all(T(1.0 / 40320));
    q = q * rh + T(1.0 / 5040);
    q = q * rh + T(1.0 / 720);
    q = q * rh + T(1.0 / 120);
  } else {
    q = L::all(T(1.0 / 6227020800.0));
    q = q * rh + T(1.0 / 479001600.0);
    q = q * rh + T(1.0 / 39916800.0);
    q = q * rh + T(1.0 / 3628800.0);
    q = q * rh + T(1.0 / 362880.0);
    q = q * rh + T(1.0 / 40320.0);
    q = q * rh + T(1.0 / 5040.0);
    q = q * rh + T(1.0 / 720.0);
    q = q * rh + T(1.0 / 120.0);
  }
  q = q * rh + T(1.0 / 24);
  q = q * rh + T(1.0 / 6);
  q = q * rh + T(0.5);
  const Pair<T, V> square = two_product<T, V>(rh, rh);
  return fast_two_sum<T, V>(rh, rl + rl * rh + (square.hi * q + square.lo * T(0.5)));
}

template <class T, int V>
struct Reduced {
  Vec<T, V> hi, lo;
  IVec<T, V> n;
};

template <class T, int V>
RTU_INLINE Reduced<T, V> reduce_ln2(Vec<T, V> x) {
  typedef Lanes<T, V> L;
  typedef Vec<T, V> F;
  const F limit = L::all(sizeof(T) == 4 ? T(87) : T(708));
  bool outside = true;
  if constexpr (V == 1) outside = !(L::abs(x) <= limit);  // one lane: one comparison where nothing is to be done
  if (outside) x = L::min(L::max(x, -limit), limit);
  const F shifted = L::rounded(x * T(1.44269504088896340736) + IntOf<T>::rounder);
  const F turns = shifted - IntOf<T>::rounder;
  const F head = x - L::rounded(turns * ln2_hi<T>());  // exact: ln2_hi has few bits
  const F low = L::rounded(turns * ln2_lo<T>());
  const F hi = head - low;
  const F lo = (head - hi) - low;
  // In float the rounding of turns * ln2_lo is 2^-24 of 2e-4 a turn: below 1e-9 for |x| <= 87.
  // The lowest bits of a number that the rounder was added to are those of its integer: all that a power of two takes.
  return {hi, lo, L::bits(shifted)};
}

// exp(x) as a pair, |x| clamped to 87 (708 in double): beyond that nothing that a unit may hold is left.
template <class T, int V>
RTU_INLINE Pair<T, V> exp_pair(Vec<T, V> x) {
  typedef Lanes<T, V> L;
  const Reduced<T, V> r = reduce_ln2<T, V>(x);
  const Pair<T, V> e = expm1_reduced<T, V>(r.hi, r.lo);
  const Pair<T, V> one = fast_two_sum<T, V>(L::all(T(1)), e.hi);
  const Vec<T, V> scale = power_of_two<T, V>(r.n);
  return {scale * one.hi, scale * (one.lo + e.lo)};
}

// exp(x) - 1, relative error of a few 2^-24 also near 0.
template <class T, int V>
RTU_INLINE Vec<T, V> expm1(Vec<T, V> x) {
  const Reduced<T, V> r = reduce_ln2<T, V>(x);
  const Pair<T, V> e = expm1_reduced<T, V>(r.hi, r.lo);
  const Vec<T, V> scale = power_of_two<T, V>(r.n);
  return (scale - T(1)) + scale * e.hi + scale * e.lo;
}

template <class T, int V>
RTU_INLINE Vec<T, V> tanh(Vec<T, V> x) {
  typedef Lanes<T, V> L;
  const Vec<T, V> e = expm1<T, V>(L::min(L::abs(x) + L::abs(x), L::all(T(40))));
  const Vec<T, V> t = e / (e + T(2));
  return x < T(0) ? -t : t;
}

template <class T, int V>
struct SinCos {
  Pair<T, V> sine, cosine;
};

// sin and cos of x = hi + lo, 0 <= x < 2000.
template <class T, int V>
RTU_INLINE SinCos<T, V> sin_cos(Pair<T, V> x) {
  typedef Lanes<T, V> L;
  typedef Vec<T, V> F;
  typedef IVec<T, V> I;
  const F shifted = L::rounded(x.hi * T(0.63661977236758134308) + IntOf<T>::rounder);
  const F turns = shifted - IntOf<T>::rounder;
  // pi / 2 in three parts; turns times the first is exact
  constexpr bool single = sizeof(T) == 4;
  const T p1 = single ? T(1.5703125) : T(1.57079632673412561417e+00);
  const T p2 = single ? T(4.837512969970703125e-4) : T(6.07710050630396597660e-11);
  const T p3 = single ? T(7.54978995489188216e-8) : T(2.02226624879595063154e-21);
  const F a = x.hi - L::rounded(turns * p1);
  const F b = L::rounded(turns * p2);
  const F s = a - b;
  const F bb = a - s;  // two-sum of a and -b: the order of their sizes is not known
  const F lost = (a - (s + bb)) + (bb - b);
  const F tail = (lost - turns * p3) + x.lo;
  const Pair<T, V> r = {s + tail, tail - ((s + tail) - s)};
  const Pair<T, V> w = two_product<T, V>(r.hi, r.hi);
  F sq, cq;
  if constexpr (single) {
    sq = L::all(T(1.0 / 362880));
    cq = L::all(T(-1.0 / 3628800));
    cq = cq * w.hi + T(1.0 / 40320);
  } else {
    sq = L::all(T(1.0 / 355687428096000.0));
    sq = sq * w.hi - T(1.0 / 1307674368000.0);
    sq = sq * w.hi + T(1.0 / 6227020800.0);
    sq = sq * w.hi - T(1.0 / 39916800.0);
    sq = sq * w.hi + T(1.0 / 362880.0);
    cq = L::all(T(1.0 / 20922789888000.0));
    cq = cq * w.hi - T(1.0 / 87178291200.0);
    cq = cq * w.hi + T(1.0 / 479001600.0);
    cq = cq * w.hi - T(1.0 / 3628800.0);
    cq = cq * w.hi + T(1.0 / 40320.0);
  }
  sq = sq * w.hi - T(1.0 / 5040);
  sq = sq * w.hi + T(1.0 / 120);
  sq = sq * w.hi - T(1.0 / 6);
  cq = cq * w.hi - T(1.0 / 720);
  cq = cq * w.hi + T(1.0 / 24);
  const Pair<T, V> sine = fast_two_sum<T, V>(r.hi, r.lo + r.hi * w.hi * sq);
  const F half = w.hi * T(0.5);  // exact
  const Pair<T, V> head = fast_two_sum<T, V>(L::all(T(1)), -half);
  const Pair<T, V> cosine = fast_two_sum<T, V>(head.hi, head.lo + (w.hi * w.hi * cq - (w.lo * T(0.5) + r.hi * r.lo)));
  const I q = L::bits(shifted);  // its two lowest bits are those of the quadrant
  const I swap = (q & 1) != 0, sine_negative = (q & 2) != 0, cosine_negative = ((q + 1) & 2) != 0;
  const F s_hi = swap ? cosine.hi : sine.hi, s_lo = swap ? cosine.lo : sine.lo;
  const F c_hi = swap ? sine.hi : cosine.hi, c_lo = swap ? sine.lo : cosine.lo;
  return {{sine_negative ? -s_hi : s_hi, sine_negative ? -s_lo : s_lo},
          {cosine_negative ? -c_hi : c_hi, cosine_negative ? -c_lo : c_lo}};
}

// exp(-nu) as a pair, and 1 - exp(-2 nu) without cancellation, for nu = hi + lo >= 0.
template <class T, int V>
struct Decay {
  Pair<T, V> r;
  Vec<T, V> left;
};

template <class T, int V>
RTU_INLINE Decay<T, V> decay_of(Pair<T, V> nu) {
  typedef Lanes<T, V> L;
  const Reduced<T, V> y = reduce_ln2<T, V>(-nu.hi);
  const Pair<T, V> e = expm1_reduced<T, V>(y.hi, y.lo - nu.lo);  // nu.lo is far below |y|
  const Pair<T, V> one = fast_two_sum<T, V>(L::all(T(1)), e.hi);
  const Vec<T, V> scale = power_of_two<T, V>(y.n);
  const Pair<T, V> r = {scale * one.hi, scale * (one.lo + e.lo)};
  const Vec<T, V> less = (scale - T(1)) + scale * e.hi + scale * e.lo;  // r - 1: scale is 1 where that is small
  return {r, -less * (T(2) + less)};
}

template <class T, int V>
void coefficients_of(int32_t poles, const T* nu_log, const T* theta_log, T k,
                     const rtu::kernels::Coefficients<T>& out) {
  typedef Lanes<T, V> L;
  typedef Vec<T, V> F;
  for (int32_t i = 0; i < poles; i += V) {
    const Pair<T, V> nu1 = exp_pair<T, V>(L::load(nu_log + i));
    const Pair<T, V> theta1 = exp_pair<T, V>(L::load(theta_log + i));
    const Pair<T, V> nu = {nu1.hi * k, nu1.lo * k};  // k = 1 changes no bit
    const Pair<T, V> theta = {theta1.hi * k, theta1.lo * k};
    const Decay<T, V> decay = decay_of<T, V>(nu);
    const Pair<T, V> r = decay.r;
    const SinCos<T, V> turn = sin_cos<T, V>(theta);
    const Pair<T, V> c = two_product<T, V>(r.hi, turn.cosine.hi);
    const Pair<T, V> s = two_product<T, V>(r.hi, turn.sine.hi);
    const F g = c.hi + (c.lo + (r.hi * turn.cosine.lo + r.lo * turn.cosine.hi));
    const F phi = s.hi + (s.lo + (r.hi * turn.sine.lo + r.lo * turn.sine.hi));
    const F root = L::sqrt(decay.left);
    L::store(out.nu + i, nu.hi);
    L::store(out.theta + i, theta.hi);
    L::store(out.g + i, g);
    L::store(out.phi + i, phi);
    L::store(out.gam + i, root + T(1e-8));
    L::store(out.dgam + i, nu.hi * (T(1) - decay.left) / root);
  }
}

}  // namespace
