// A last layer with a rule of its own: true-online TD(lambda) and SwiftTD. One output; its weights as one row padded to
// whole lanes, and the bias. Letters: OnlineWeights in kernels.h; docs/math_online.md.
#pragma once

#include "native/kernels/kernels.h"
#include "native/kernels/transform.inl.h"

namespace {

using rtu::kernels::OnlineStep;
using rtu::kernels::OnlineSums;
using rtu::kernels::OnlineWeights;

// L: the lanes of the row, or one lane for the bias.
template <class L, bool Swift>
struct Online {
  typedef typename L::Scalar T;
  typedef typename L::F F;

  struct Sums {
    F shift, rate, overlap;
  };

  static RTU_INLINE void move(const OnlineStep<T>& step, const OnlineWeights<T>& a, int32_t i, F x, Sums& sums) {
    const F z = L::load(a.z + i), zd = L::load(a.zd + i), moved = step.delta * z - step.shift * zd;
    const F kept = step.decay * z;
    L::store(a.w + i, L::load(a.w + i) + moved);
    L::store(a.z + i, kept);
    sums.shift += moved * x;
    sums.overlap += kept * x;
    if constexpr (Swift) {
      const F before = L::load(a.alpha + i), p = L::load(a.p + i), zb = L::load(a.zb + i), h = L::load(a.h + i);
      const F low = L::min(before, L::all(step.lowest));  // 0 in lanes without a weight
      const F slope = step.meta * (step.delta - step.shift) * p / L::max(before, L::all(step.lowest));
      const F alpha = L::min(L::max(before * exp_pair<L>(slope, T(1)).hi, low), L::all(step.bound));
      L::store(a.alpha + i, alpha);
      L::store(a.h + i, L::load(a.ht + i) + step.delta * zb - step.shift * zd);
      L::store(a.ht + i, h);  // h of the step before, until trace()
      L::store(a.p + i, step.decay * p);
      L::store(a.zb + i, step.decay * zb);
      sums.rate += alpha * (x * x);
    } else {
      sums.rate += step.alpha * (x * x);
    }
  }

  static RTU_INLINE void trace(const OnlineStep<T>& step, const OnlineSums<T>& sums, const OnlineWeights<T>& a,
                               int32_t i, F x) {
    const bool over = sums.rate > step.bound;
    const T scale = over ? step.bound / sums.rate : T(1), rest = T(1) - sums.overlap;
    F alpha = L::all(step.alpha);
    if constexpr (Swift) alpha = L::load(a.alpha + i);
    const F zd = scale * alpha * x, z = L::load(a.z + i) + rest * zd;
    L::store(a.zd + i, zd);
    L::store(a.z + i, z);
    if constexpr (Swift) {
      const F before = L::load(a.ht + i), zb = L::load(a.zb + i), h = L::load(a.h + i), none = L::all(T(0));
      L::store(a.p + i, L::load(a.p + i) + before * x);
      L::store(a.zb + i, over ? none : zb + zd * (rest - zb * x));
      L::store(a.ht + i, over ? none : h - before * x * (z - zd) - h * zd * x);
      if (!over) return;
      L::store(a.h + i, none);
      const F low = L::min(alpha, L::all(step.lowest));
      L::store(a.alpha + i, L::max(alpha * exp_pair<L>(step.log_shrink * (x * x), T(1)).hi, low));
    }
  }
};

template <class T, int V, bool Swift>
void online_of(int32_t stride, const OnlineStep<T>& step, const OnlineWeights<T>& row, const OnlineWeights<T>& bias,
               const T* x, OnlineSums<T>& sums) {
  typedef Lanes<T, V> L;
  typedef Online<L, Swift> Row;
  typedef Online<Lanes<T, 1>, Swift> One;
  typename Row::Sums found = {L::all(T(0)), L::all(T(0)), L::all(T(0))};
  typename One::Sums alone = {T(0), T(0), T(0)};
  for (int32_t i = 0; i < stride; i += V) Row::move(step, row, i, L::load(x + i), found);
  One::move(step, bias, 0, T(1), alone);
  sums = {L::sum(found.shift) + alone.shift, L::sum(found.rate) + alone.rate, L::sum(found.overlap) + alone.overlap};
  for (int32_t i = 0; i < stride; i += V) Row::trace(step, sums, row, i, L::load(x + i));
  One::trace(step, sums, bias, 0, T(1));
}

template <class T, int V>
void online(int32_t stride, const OnlineStep<T>& step, const OnlineWeights<T>& row, const OnlineWeights<T>& bias,
            const T* x, OnlineSums<T>& sums) {
  if (row.alpha != nullptr)
    online_of<T, V, true>(stride, step, row, bias, x, sums);
  else
    online_of<T, V, false>(stride, step, row, bias, x, sums);
}

}  // namespace
