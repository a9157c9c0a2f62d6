// The recurrent block of the linear RTU: the forward pass, which also applies the pending update, and the learning pass
// over traces and eligibilities. The nonlinear RTU uses the same forward() and apply(). Letters: kernels.h.
#pragma once

#include "native/kernels/kernels.h"
#include "native/kernels/vec.h"

namespace {

using rtu::kernels::Block;
using rtu::kernels::Coefficients;
using rtu::kernels::SetCotangent;

// ---- one pass over the block ----------------------------------------------------------------------------------------
//
// Operations of a pass on each (pole, input), in this order; every kernel of the linear RTU selects some of them.
//   kPending  W <- W + sum_s a[s] z[s], kept in memory with kWrite; without it only this pass sees it
//   kDirect   W <- W + contraction of the cotangent, already times its step, with the traces (SGD, no eligibilities)
//   kForward  u <- u + W x
//   kLearn    z[s] <- decay[s] z[s] + contraction; sums |z|
//   kAdvance  A <- rot(A) + gam px; before the contractions where kFirst is set, after them otherwise
constexpr unsigned kPending = 1, kDirect = 2, kForward = 4, kLearn = 8, kAdvance = 16, kFirst = 32, kWrite = 64;

template <class T, int V, int E>
struct PassOfMember {
  static constexpr int room = E > 0 ? E : 1;
  Vec<T, V> g, phi, gam;
  Vec<T, V> e1[room], e2[room], norm[room];
  Vec<T, V> u1, u2;
  T a[room], decay[room];
};

// One member of one block: t and w walk its traces and weights, w by `step` scalars an input where E does not say it. x
// is the newest input, px the input that the traces have yet to absorb. Sums: number of partial sums of u, used in
// turn.
template <class T, int V, int E, unsigned Do, int Sums>
RTU_INLINE void pass_member(PassOfMember<T, V, E>& of, T* t, T* w, int32_t step, int32_t d, const T* x, const T* px) {
  typedef Lanes<T, V> L;
  typedef Vec<T, V> F;
  constexpr bool traces = (Do & (kDirect | kLearn | kAdvance)) != 0;
  if constexpr (E > 0 || (Do & kDirect) != 0) step = (2 + 2 * E) * V;
  PassOfMember<T, V, E> m = of;
  F other1 = L::all(T(0)), other2 = other1;
#pragma GCC unroll 4
  for (int32_t j = 0; j < d; ++j, t += 2 * V, w += step) {
    F re, im, w1, w2;
    if constexpr (traces) {
      re = L::load(t);
      im = L::load(t + V);
      if constexpr ((Do & kAdvance) != 0) {
        const F next_re = (m.g * re + m.gam * px[j]) - L::apart(m.phi * im);
        const F next_im = m.g * im + m.phi * re;
        L::store(t, next_re);
        L::store(t + V, next_im);
        if constexpr ((Do & kFirst) != 0) {
          re = next_re;
          im = next_im;
        }
      }
    }
    if constexpr ((Do & (kPending | kDirect | kForward)) != 0) {
      w1 = L::load(w);
      w2 = L::load(w + V);
    }
    F z1[PassOfMember<T, V, E>::room], z2[PassOfMember<T, V, E>::room];
    if constexpr ((Do & (kPending | kLearn)) != 0) {
      RTU_EACH_SET
      for (int s = 0; s < E; ++s) {
        z1[s] = L::load(w + (2 + 2 * s) * V);
        z2[s] = L::load(w + (3 + 2 * s) * V);
      }
    }
    if constexpr ((Do & kPending) != 0) {
      RTU_EACH_SET
      for (int s = 0; s < E; ++s) {
        w1 += L::apart(m.a[s] * z1[s]);
        w2 += L::apart(m.a[s] * z2[s]);
      }
    }
    if constexpr ((Do & kDirect) != 0) {
      w1 += m.e1[0] * re + m.e2[0] * im;
      w2 += m.e2[0] * re - m.e1[0] * im;
    }
    if constexpr ((Do & kWrite) != 0) {
      L::store(w, w1);
      L::store(w + V, w2);
    }
    if constexpr ((Do & kForward) != 0) {
      m.u1 += w1 * x[j];
      m.u2 += w2 * x[j];
      if constexpr (Sums == 2) {
        const F now1 = m.u1, now2 = m.u2;
        m.u1 = other1;
        m.u2 = other2;
        other1 = now1;
        other2 = now2;
      }
    }
    if constexpr ((Do & kLearn) != 0) {
      RTU_EACH_SET
      for (int s = 0; s < E; ++s) {
        z1[s] = m.decay[s] * z1[s] + (m.e1[s] * re + m.e2[s] * im);
        z2[s] = m.decay[s] * z2[s] + (m.e2[s] * re - m.e1[s] * im);
        L::store(w + (2 + 2 * s) * V, z1[s]);
        L::store(w + (3 + 2 * s) * V, z2[s]);
        m.norm[s] += L::abs(z1[s]) + L::abs(z2[s]);
      }
    }
  }
  RTU_EACH_SET
  for (int s = 0; s < PassOfMember<T, V, E>::room; ++s) of.norm[s] = m.norm[s];
  of.u1 = Sums == 2 ? m.u1 + other1 : m.u1;
  of.u2 = Sums == 2 ? m.u2 + other2 : m.u2;
}

// The whole block. c (with kAdvance) are the coefficients of the step whose input is px.
template <class T, int V, int E, unsigned Do, int Sums>
void pass_blocks(const Block<T>& block, const T* a, const T* x, T* u1, T* u2, const Coefficients<T>* c, const T* px,
                 SetCotangent<T>* sets) {
  typedef Lanes<T, V> L;
  constexpr bool contracts = (Do & (kDirect | kLearn)) != 0;
  const int32_t poles = block.blocks * V, d = block.inputs, units_per_pole = block.units_per_pole;
  PassOfMember<T, V, E> of{};
  RTU_EACH_SET
  for (int s = 0; s < E; ++s) {
    if constexpr ((Do & kPending) != 0) of.a[s] = a[s];
    if constexpr ((Do & kLearn) != 0) of.decay[s] = sets[s].decay;
  }
  for (int32_t b = 0; b < block.blocks; ++b) {
    if constexpr ((Do & kAdvance) != 0) {
      of.g = L::load(c->g + b * V);
      of.phi = L::load(c->phi + b * V);
      of.gam = L::load(c->gam + b * V);
    }
    T* t = block.traces + static_cast<int64_t>(b) * d * 2 * V;
    for (int32_t k = 0; k < units_per_pole; ++k) {
      T* w = block.weights + static_cast<int64_t>(b * units_per_pole + k) * d * block.weight_step;
      const int32_t at = k * poles + b * V;
      if constexpr (contracts) {
        RTU_EACH_SET
        for (int s = 0; s < PassOfMember<T, V, E>::room; ++s) {
          of.e1[s] = L::load(sets[s].e1 + at);
          of.e2[s] = L::load(sets[s].e2 + at);
        }
      }
      of.u1 = of.u2 = L::all(T(0));
      // The members of a pole share its traces: one member advances them, the first or the last.
      const bool advances = (Do & kFirst) != 0 ? k == 0 : k == units_per_pole - 1;
      if (advances || (Do & kAdvance) == 0)
        pass_member<T, V, E, Do, Sums>(of, t, w, block.weight_step, d, x, px);
      else
        pass_member<T, V, E, Do & ~(kAdvance | kFirst), Sums>(of, t, w, block.weight_step, d, x, px);
      if constexpr ((Do & kForward) != 0) {
        L::store(u1 + at, of.u1);
        L::store(u2 + at, of.u2);
      }
    }
  }
  if constexpr ((Do & kLearn) != 0) RTU_EACH_SET
  for (int s = 0; s < E; ++s) sets[s].norm = L::sum(of.norm[s]);
}

template <class T, int V, int E, unsigned Do>
void pass(const Block<T>& block, const T* a, const T* x, T* u1, T* u2, const Coefficients<T>* c, const T* px,
          SetCotangent<T>* sets) {
  // Units that share a pole, without eligibilities: so little work per input that a single sum would be latency-bound.
  constexpr int sums = E == 0 && V > 1 ? 2 : 1;
  if (sums == 2 && block.units_per_pole > 1 && block.sets == 0)
    pass_blocks<T, V, E, Do, sums>(block, a, x, u1, u2, c, px, sets);
  else
    pass_blocks<T, V, E, Do, 1>(block, a, x, u1, u2, c, px, sets);
}

template <class T>
RTU_INLINE bool any_pending(int32_t n_sets, const T* a) {
  for (int32_t s = 0; s < n_sets; ++s)
    if (a[s] != T(0)) return true;
  return false;
}

template <class T, int V>
void forward(const Block<T>& block, const T* a, const T* x, T* u1, T* u2) {
  if (!any_pending(block.sets, a))
    pass<T, V, 0, kForward>(block, a, x, u1, u2, nullptr, nullptr, nullptr);
  else if (block.sets == 1)
    pass<T, V, 1, kForward | kPending>(block, a, x, u1, u2, nullptr, nullptr, nullptr);
  else
    pass<T, V, 2, kForward | kPending>(block, a, x, u1, u2, nullptr, nullptr, nullptr);
}

template <class T, int V>
void apply(const Block<T>& block, const T* a) {
  if (!any_pending(block.sets, a)) return;
  if (block.sets == 1)
    pass<T, V, 1, kPending | kWrite>(block, a, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr);
  else
    pass<T, V, 2, kPending | kWrite>(block, a, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr);
}

template <class T, int V, int E, unsigned Do>
void learn_linear_sets(const Block<T>& block, const T* a, bool advance_first, const Coefficients<T>& c, const T* x,
                       SetCotangent<T>* sets) {
  if (advance_first)
    pass<T, V, E, Do | kLearn | kAdvance | kFirst>(block, a, nullptr, nullptr, nullptr, &c, x, sets);
  else
    pass<T, V, E, Do | kLearn | kAdvance>(block, a, nullptr, nullptr, nullptr, &c, x, sets);
}

template <class T, int V>
void learn_linear(const Block<T>& block, const T* a, bool advance_first, const Coefficients<T>& c, const T* x,
                  SetCotangent<T>* sets) {
  constexpr unsigned write = kPending | kWrite;
  const bool pending = any_pending(block.sets, a);
  if (block.sets == 0)
    pass<T, V, 0, kAdvance>(block, nullptr, nullptr, nullptr, nullptr, &c, x, sets);
  else if (block.sets == 1)
    pending ? learn_linear_sets<T, V, 1, write>(block, a, advance_first, c, x, sets)
            : learn_linear_sets<T, V, 1, 0>(block, a, advance_first, c, x, sets);
  else
    pending ? learn_linear_sets<T, V, 2, write>(block, a, advance_first, c, x, sets)
            : learn_linear_sets<T, V, 2, 0>(block, a, advance_first, c, x, sets);
}

// forward() and learn_linear() in TD order in one pass: bit-identical, one stream of 6 loads and 6 stores.
template <class T, int V>
void step_linear(const Block<T>& block, const T* a, const Coefficients<T>& c, const T* x, T* u1, T* u2,
                 SetCotangent<T>* sets) {
  pass<T, V, 1, kPending | kWrite | kForward | kLearn | kAdvance>(block, a, x, u1, u2, &c, x, sets);
}

// Supervised SGD without eligibilities, one step behind: the traces advance by px, the weights move by the scaled
// cotangent of that step, then u = W x. 4 loads and 4 stores, 20 operations. x null: no forward pass.
template <class T, int V>
void step_sgd(const Block<T>& block, const Coefficients<T>& c, const T* px, const SetCotangent<T>& scaled, const T* x,
              T* u1, T* u2) {
  SetCotangent<T> set = scaled;
  if (x != nullptr)
    pass<T, V, 0, kDirect | kWrite | kForward | kAdvance | kFirst>(block, nullptr, x, u1, u2, &c, px, &set);
  else
    pass<T, V, 0, kDirect | kWrite | kAdvance | kFirst>(block, nullptr, x, u1, u2, &c, px, &set);
}

}  // namespace
