// The learning pass of the nonlinear RTU: four traces, with the activation's slope inside the recurrence. Letters:
// kernels.h.
#pragma once

#include "native/kernels/rtu_linear.inl.h"

namespace {

template <class T, int V, int E>
struct NonlinearMember {
  static constexpr int room = E > 0 ? E : 1;
  Vec<T, V> g1, phi1, gam1, g2, phi2, gam2;  // coefficients times the slope of their half
  Vec<T, V> e1[room], e2[room], norm[room];
  T a[room], decay[room];
};

// One block. Shut: all slopes in the block are 0, which zeroes its traces regardless of their values, so they are not
// computed and, in supervised order, not read.
template <class T, int V, int E, bool AdvanceFirst, bool Pending, bool Shut>
RTU_INLINE void learn_nonlinear_member(NonlinearMember<T, V, E>& of, T* t, int32_t trace_step, T* w,
                                       int32_t weight_step, int32_t d, const T* x) {
  typedef Lanes<T, V> L;
  typedef Vec<T, V> F;
  NonlinearMember<T, V, E> m = of;
  for (int32_t j = 0; j < d; ++j, t += trace_step, w += weight_step) {
    const F zero = L::all(T(0));
    F A1 = zero, A2 = zero, B1 = zero, B2 = zero, nA1 = zero, nA2 = zero, nB1 = zero, nB2 = zero;
    if constexpr (!(Shut && AdvanceFirst)) {
      A1 = L::load(t);
      A2 = L::load(t + V);
      B1 = L::load(t + 2 * V);
      B2 = L::load(t + 3 * V);
    }
    if constexpr (!Shut) {
      nA1 = m.g1 * A1 - m.phi1 * A2 + m.gam1 * x[j];
      nA2 = m.g2 * A2 + m.phi2 * A1;
      nB1 = m.g1 * B1 - m.phi1 * B2;
      nB2 = m.g2 * B2 + m.phi2 * B1 + m.gam2 * x[j];
    }
    L::store(t, nA1);
    L::store(t + V, nA2);
    L::store(t + 2 * V, nB1);
    L::store(t + 3 * V, nB2);
    if constexpr (AdvanceFirst) {
      A1 = nA1;
      A2 = nA2;
      B1 = nB1;
      B2 = nB2;
    }
    F w1 = zero, w2 = zero;
    if constexpr (Pending) {
      w1 = L::load(w);
      w2 = L::load(w + V);
    }
    for (int s = 0; s < E; ++s) {
      T* z = w + (2 + 2 * s) * V;
      const F before1 = L::load(z), before2 = L::load(z + V);
      if constexpr (Pending) {
        w1 += m.a[s] * before1;
        w2 += m.a[s] * before2;
      }
      F z1 = m.decay[s] * before1, z2 = m.decay[s] * before2;
      if constexpr (!(Shut && AdvanceFirst)) {
        z1 += m.e1[s] * A1 + m.e2[s] * A2;
        z2 += m.e1[s] * B1 + m.e2[s] * B2;
      }
      L::store(z, z1);
      L::store(z + V, z2);
      m.norm[s] += L::abs(z1) + L::abs(z2);
    }
    if constexpr (Pending) {
      L::store(w, w1);
      L::store(w + V, w2);
    }
  }
  for (int s = 0; s < E; ++s) of.norm[s] = m.norm[s];
}

template <class T, int V, int E, bool AdvanceFirst, bool Pending>
void learn_nonlinear_sets(const Block<T>& block, const T* a, const Coefficients<T>& c, const T* x, const T* s1,
                          const T* s2, SetCotangent<T>* sets) {
  typedef Lanes<T, V> L;
  typedef Vec<T, V> F;
  NonlinearMember<T, V, E> of{};
  for (int s = 0; s < E; ++s) {
    if constexpr (Pending) of.a[s] = a[s];
    of.decay[s] = sets[s].decay;
  }
  for (int32_t b = 0; b < block.blocks; ++b) {
    const int32_t at = b * V;
    const F slope1 = L::load(s1 + at), slope2 = L::load(s2 + at);
    const F g = L::load(c.g + at), phi = L::load(c.phi + at), gam = L::load(c.gam + at);
    of.g1 = g * slope1;
    of.phi1 = phi * slope1;
    of.gam1 = gam * slope1;
    of.g2 = g * slope2;
    of.phi2 = phi * slope2;
    of.gam2 = gam * slope2;
    for (int s = 0; s < E; ++s) {
      of.e1[s] = L::load(sets[s].e1 + at);
      of.e2[s] = L::load(sets[s].e2 + at);
    }
    T* t = block.traces + static_cast<int64_t>(b) * block.inputs * block.trace_step;
    T* w = block.weights + static_cast<int64_t>(b) * block.inputs * block.weight_step;
    bool shut = false;  // with more lanes a whole block is rarely shut
    if constexpr (V == 1) shut = slope1 == T(0) && slope2 == T(0);
    if (shut)
      learn_nonlinear_member<T, V, E, AdvanceFirst, Pending, true>(of, t, block.trace_step, w, block.weight_step,
                                                                   block.inputs, x);
    else
      learn_nonlinear_member<T, V, E, AdvanceFirst, Pending, false>(of, t, block.trace_step, w, block.weight_step,
                                                                    block.inputs, x);
  }
  for (int s = 0; s < E; ++s) sets[s].norm = L::sum(of.norm[s]);
}

template <class T, int V, int E>
void learn_nonlinear_ordered(const Block<T>& block, const T* a, bool advance_first, const Coefficients<T>& c,
                             const T* x, const T* s1, const T* s2, SetCotangent<T>* sets) {
  const bool pending = any_pending(E, a);
  const auto learn =
      advance_first ? pending ? learn_nonlinear_sets<T, V, E, true, true> : learn_nonlinear_sets<T, V, E, true, false>
      : pending ? learn_nonlinear_sets<T, V, E, false, true>
                    : learn_nonlinear_sets<T, V, E, false, false>;
  learn(block, a, c, x, s1, s2, sets);
}

template <class T, int V>
void learn_nonlinear(const Block<T>& block, const T* a, bool advance_first, const Coefficients<T>& c, const T* x,
                     const T* s1, const T* s2, SetCotangent<T>* sets) {
  const auto learn = block.sets == 0   ? learn_nonlinear_ordered<T, V, 0>
                     : block.sets == 1 ? learn_nonlinear_ordered<T, V, 1>
                                       : learn_nonlinear_ordered<T, V, 2>;
  learn(block, a, advance_first, c, x, s1, s2, sets);
}

}  // namespace
