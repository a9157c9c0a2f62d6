// Cells with gates, minGRU and eLSTM: the state's step, and the learning pass over one real trace per weight. Also the
// free input gain of the LRU, whose weights use the passes of the linear RTU. Letters: kernels.h.
#pragma once

#include "native/kernels/rtu_linear.inl.h"
#include "native/kernels/rtu_poles.inl.h"
#include "native/kernels/transform.inl.h"

namespace {

using rtu::kernels::GateForm;
using rtu::kernels::Gates;
using rtu::kernels::GateTraces;

// ---- state ----------------------------------------------------------------------------------------------------------

template <class L>
struct Gate {
  typename L::F open, shut;  // sigmoid(v), 1 - sigmoid(v): each to its own relative accuracy
};

template <class L>
RTU_INLINE Gate<L> sigmoid(typename L::F v) {
  typedef typename L::Scalar T;
  typedef typename L::F F;
  const F e = exp_pair<L>(-L::abs(v), T(1)).hi;
  const F large = T(1) / (T(1) + e), small = e * large;
  return {v < T(0) ? small : large, v < T(0) ? large : small};
}

template <class T, int V>
void gate(int32_t units, GateForm form, Activation f, const T* const* parameters, const T* h, const T* u1, const T* u2,
          const Gates<T>& gates, T* k, T* y, T* s) {
  typedef Lanes<T, V> L;
  typedef Vec<T, V> F;
  const T *b1 = parameters[0], *b2 = parameters[1], *w1 = parameters[2], *w2 = parameters[3];
  for (int32_t i = 0; i < units; i += V) {
    const F before = L::load(h + i);
    F v1 = L::load(u1 + i) + L::load(b1 + i), v2 = L::load(u2 + i) + L::load(b2 + i), K, a1, a2, next;
    if (form == GateForm::kMinGru) {
      const Gate<L> u = sigmoid<L>(v1), low = sigmoid<L>(v2);
      const F c = v2 < T(0) ? low.open : v2 + T(0.5);
      const F slope = v2 < T(0) ? low.open * low.shut : L::all(T(1));
      K = u.shut;
      a1 = (c - before) * (u.open * u.shut);
      a2 = u.open * slope;
      next = u.shut * before + u.open * c;
    } else {
      const F weight1 = L::load(w1 + i), weight2 = L::load(w2 + i);
      v1 += weight1 * before;
      v2 += weight2 * before;
      const F z = tanh<L>(v1);
      const Gate<L> keep = sigmoid<L>(v2);
      a1 = keep.shut * (T(1) - z * z);
      a2 = (before - z) * (keep.open * keep.shut);
      K = keep.open + a1 * weight1 + a2 * weight2;
      next = keep.open * before + keep.shut * z;
    }
    F out, slope;
    activate<T, V>(f, next, out, slope);
    L::store(gates.K + i, K);
    L::store(gates.a1 + i, a1);
    L::store(gates.a2 + i, a2);
    L::store(k + i, next);
    L::store(y + i, out);
    L::store(s + i, slope);
  }
}

// ---- learn, weights -------------------------------------------------------------------------------------------------

template <class T, int V, int E, bool AdvanceFirst, bool Pending>
void learn_gated_sets(const Block<T>& block, const T* a, const Gates<T>& gates, const T* x, SetCotangent<T>* sets) {
  typedef Lanes<T, V> L;
  typedef Vec<T, V> F;
  constexpr int room = E > 0 ? E : 1;
  const int32_t d = block.inputs;
  F norm[room] = {}, e[room];
  T decay[room], pending[room];
  for (int s = 0; s < E; ++s) {
    decay[s] = sets[s].decay;
    pending[s] = Pending ? a[s] : T(0);
  }
  for (int32_t b = 0; b < block.blocks; ++b) {
    const F K = L::load(gates.K + b * V), a1 = L::load(gates.a1 + b * V), a2 = L::load(gates.a2 + b * V);
    for (int s = 0; s < E; ++s) e[s] = L::load(sets[s].e1 + b * V);
    T* t = block.traces + static_cast<int64_t>(b) * d * 2 * V;
    T* w = block.weights + static_cast<int64_t>(b) * d * (2 + 2 * E) * V;
#pragma GCC unroll 4
    for (int32_t j = 0; j < d; ++j, t += 2 * V, w += (2 + 2 * E) * V) {
      F S1 = L::load(t), S2 = L::load(t + V);
      const F next1 = K * S1 + L::apart(a1 * x[j]), next2 = K * S2 + L::apart(a2 * x[j]);
      L::store(t, next1);
      L::store(t + V, next2);
      if constexpr (AdvanceFirst) {
        S1 = next1;
        S2 = next2;
      }
      F w1, w2;
      if constexpr (Pending) {
        w1 = L::load(w);
        w2 = L::load(w + V);
      }
      for (int s = 0; s < E; ++s) {
        T* z = w + (2 + 2 * s) * V;
        F z1 = L::load(z), z2 = L::load(z + V);
        if constexpr (Pending) {
          w1 += L::apart(pending[s] * z1);
          w2 += L::apart(pending[s] * z2);
        }
        z1 = decay[s] * z1 + e[s] * S1;
        z2 = decay[s] * z2 + e[s] * S2;
        L::store(z, z1);
        L::store(z + V, z2);
        norm[s] += L::abs(z1) + L::abs(z2);
      }
      if constexpr (Pending) {
        L::store(w, w1);
        L::store(w + V, w2);
      }
    }
  }
  for (int s = 0; s < E; ++s) sets[s].norm = L::sum(norm[s]);
}

template <class T, int V, int E>
void learn_gated_ordered(const Block<T>& block, const T* a, bool advance_first, const Gates<T>& gates, const T* x,
                         SetCotangent<T>* sets) {
  const bool pending = any_pending(E, a);
  const auto learn = advance_first
                         ? pending ? learn_gated_sets<T, V, E, true, true> : learn_gated_sets<T, V, E, true, false>
                     : pending ? learn_gated_sets<T, V, E, false, true>
                               : learn_gated_sets<T, V, E, false, false>;
  learn(block, a, gates, x, sets);
}

template <class T, int V>
void learn_gated(const Block<T>& block, const T* a, bool advance_first, const Gates<T>& gates, const T* x,
                 SetCotangent<T>* sets) {
  const auto learn = block.sets == 0   ? learn_gated_ordered<T, V, 0>
                     : block.sets == 1 ? learn_gated_ordered<T, V, 1>
                                       : learn_gated_ordered<T, V, 2>;
  learn(block, a, advance_first, gates, x, sets);
}

// ---- learn, parameters of a unit ------------------------------------------------------------------------------------

template <class T, int V>
void learn_gates(int32_t units, int32_t count, int32_t n_sets, bool advance_first, const Gates<T>& gates, const T* h,
                 const GateTraces<T>& traces, SetCotangent<T>* sets) {
  typedef Lanes<T, V> L;
  typedef Vec<T, V> F;
  F norm[rtu::kernels::kMaxSets] = {};
  for (int32_t i = 0; i < units; i += V) {
    const F K = L::load(gates.K + i), before = L::load(h + i);
    const F drive[] = {L::load(gates.a1 + i), L::load(gates.a2 + i)};
    for (int32_t q = 0; q < count; ++q) {
      const F S = L::load(traces.s[q] + i);
      const F next = K * S + (q < 2 ? drive[q] : drive[q - 2] * before);
      L::store(traces.s[q] + i, next);
      for (int32_t s = 0; s < n_sets; ++s) {
        T* at = traces.z[s][q] + i;
        const F z = sets[s].decay * L::load(at) + L::load(sets[s].e1 + i) * (advance_first ? next : S);
        L::store(at, z);
        norm[s] += L::abs(z);
      }
    }
  }
  for (int32_t s = 0; s < n_sets; ++s) sets[s].norm += L::sum(norm[s]);
}

// ---- LRU ------------------------------------------------------------------------------------------------------------

template <class T, int V>
void gains(int32_t poles, const T* gamma_log, T* gam, T* dgam) {
  typedef Lanes<T, V> L;
  for (int32_t p = 0; p < poles; p += V) {
    L::store(gam + p, exp_pair<L>(L::load(gamma_log + p), T(1)).hi);
    L::store(dgam + p, L::all(T(0)));
  }
}

template <class T, int V>
void learn_gains(int32_t poles, int32_t units_per_pole, int32_t n_sets, bool advance_first, const Coefficients<T>& c,
                 const T* u1, const T* u2, T* G1, T* G2, T* const* z, SetCotangent<T>* sets) {
  typedef Lanes<T, V> L;
  typedef Vec<T, V> F;
  F norm[rtu::kernels::kMaxSets] = {};
  for (int32_t p = 0; p < poles; p += V) {
    const F g = L::load(c.g + p), phi = L::load(c.phi + p), gam = L::load(c.gam + p);
    F grad[rtu::kernels::kMaxSets] = {};
    for (int32_t k = 0; k < units_per_pole; ++k) {
      const int32_t i = k * poles + p;
      const F re = L::load(G1 + i), im = L::load(G2 + i);
      const F next_re = g * re - phi * im + gam * L::load(u1 + i), next_im = g * im + phi * re + gam * L::load(u2 + i);
      L::store(G1 + i, next_re);
      L::store(G2 + i, next_im);
      for (int32_t s = 0; s < n_sets; ++s) {
        const F e1 = L::load(sets[s].e1 + i), e2 = L::load(sets[s].e2 + i);
        grad[s] += advance_first ? e1 * next_re + e2 * next_im : e1 * re + e2 * im;
      }
    }
    for (int32_t s = 0; s < n_sets; ++s) {
      const F next = sets[s].decay * L::load(z[s] + p) + grad[s];
      L::store(z[s] + p, next);
      norm[s] += L::abs(next);
    }
  }
  for (int32_t s = 0; s < n_sets; ++s) sets[s].norm += L::sum(norm[s]);
}

}  // namespace
