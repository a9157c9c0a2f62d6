// Work per unit and pole: the state's step, and the traces and gradients of the poles. Letters:
// kernels.h.
#pragma once

#include "native/kernels/kernels.h"
#include "native/kernels/transform.inl.h"

namespace {

using rtu::kernels::Activation;
using rtu::kernels::Coefficients;
using rtu::kernels::SetCotangent;
using rtu::kernels::UnitTraces;

// ---- state ----------------------------------------------------------------------------------------------------------

template <class T, int V>
RTU_INLINE void activate(Activation f, Vec<T, V> z, Vec<T, V>& y, Vec<T, V>& slope) {
  typedef Lanes<T, V> L;
  typedef Vec<T, V> F;
  const F zero = L::all(T(0)), one = L::all(T(1));
  if (f == Activation::kRelu) {
    y = z > zero ? z : zero;
    slope = z > zero ? one : zero;
  } else if (f == Activation::kTanh) {
    y = tanh<L>(z);
    slope = one - L::uncopied(y * y);
  } else {
    y = z;
    slope = one;
  }
}

template <class T, int V>
void state(int32_t poles, int32_t units_per_pole, bool linear, Activation f, const Coefficients<T>& c, const T* h1,
           const T* h2, const T* u1, const T* u2, T* k1, T* k2, T* y1, T* y2, T* s1, T* s2) {
  typedef Lanes<T, V> L;
  typedef Vec<T, V> F;
  for (int32_t k = 0; k < units_per_pole; ++k) {
    for (int32_t p = 0; p < poles; p += V) {
      const int32_t i = k * poles + p;
      const F g = L::load(c.g + p), phi = L::load(c.phi + p), gam = L::load(c.gam + p);
      const F a1 = L::load(h1 + i), a2 = L::load(h2 + i);
      const F z1 = g * a1 - phi * a2 + gam * L::load(u1 + i);
      const F z2 = g * a2 + phi * a1 + gam * L::load(u2 + i);
      F f1, f2, slope1, slope2;
      activate<T, V>(f, z1, f1, slope1);
      activate<T, V>(f, z2, f2, slope2);
      L::store(k1 + i, linear ? z1 : f1);
      L::store(k2 + i, linear ? z2 : f2);
      L::store(y1 + i, f1);
      L::store(y2 + i, f2);
      L::store(s1 + i, slope1);
      L::store(s2 + i, slope2);
    }
  }
}

// ---- phases ---------------------------------------------------------------------------------------------------------

template <class T, int V>
RTU_INLINE Vec<T, V> held_phase(Vec<T, V> before, Vec<T, V> after) {
  typedef Lanes<T, V> L;
  const Vec<T, V> most = L::max(before, L::all(T(rtu::kernels::kMaxThetaLog)));
  return L::min(most, after);
}

template <class T, int V>
void add_phase(int32_t poles, T a, const T* z, T* theta_log) {
  typedef Lanes<T, V> L;
  for (int32_t p = 0; p < poles; p += V) {
    const Vec<T, V> before = L::load(theta_log + p);
    L::store(theta_log + p, held_phase<T, V>(before, before + a * L::load(z + p)));
  }
}

template <class T, int V>
void hold_phase(int32_t poles, const T* before, T* theta_log) {
  typedef Lanes<T, V> L;
  for (int32_t p = 0; p < poles; p += V)
    L::store(theta_log + p, held_phase<T, V>(L::load(before + p), L::load(theta_log + p)));
}

// ---- learn, poles ---------------------------------------------------------------------------------------------------

// nu_log and theta_log: their gradient is summed over the units of the pole. Alone: there is one.
template <class T, int V, int E, bool AdvanceFirst, bool Slopes, bool Alone>
void learn_units_sets(int32_t poles, int32_t units_per_pole, const Coefficients<T>& c, const T* h1, const T* h2,
                      const T* u1, const T* u2, const T* s1, const T* s2, const UnitTraces<T>& traces,
                      SetCotangent<T>* sets) {
  typedef Lanes<T, V> L;
  typedef Vec<T, V> F;
  constexpr int sets_or_one = E > 0 ? E : 1;
  F norm[sets_or_one] = {};
  for (int32_t p = 0; p < poles; p += V) {
    const F g = L::load(c.g + p), phi = L::load(c.phi + p), nu = L::load(c.nu + p), theta = L::load(c.theta + p),
            dgam = L::load(c.dgam + p);
    F grad_nu[sets_or_one] = {}, grad_theta[sets_or_one] = {};
    for (int32_t k = 0; k < (Alone ? 1 : units_per_pole); ++k) {
      const int32_t i = k * poles + p;
      F N1 = L::load(traces.N1 + i), N2 = L::load(traces.N2 + i), T1 = L::load(traces.T1 + i),
        T2 = L::load(traces.T2 + i);
      const F a1 = L::load(h1 + i), a2 = L::load(h2 + i);
      const F turned1 = g * a1 - phi * a2, turned2 = g * a2 + phi * a1;
      // dg h1 - dphi h2 = -nu (g h1 - phi h2), and for theta (-phi h1 - g h2) theta
      F nN1 = g * N1 - phi * N2 + (dgam * L::load(u1 + i) - nu * turned1);
      F nN2 = g * N2 + phi * N1 + (dgam * L::load(u2 + i) - nu * turned2);
      F nT1 = g * T1 - phi * T2 - theta * turned2;
      F nT2 = g * T2 + phi * T1 + theta * turned1;
      if constexpr (Slopes) {
        const F slope1 = L::load(s1 + i), slope2 = L::load(s2 + i);
        nN1 *= slope1;
        nN2 *= slope2;
        nT1 *= slope1;
        nT2 *= slope2;
      }
      L::store(traces.N1 + i, nN1);
      L::store(traces.N2 + i, nN2);
      L::store(traces.T1 + i, nT1);
      L::store(traces.T2 + i, nT2);
      if constexpr (AdvanceFirst) {
        N1 = nN1;
        N2 = nN2;
        T1 = nT1;
        T2 = nT2;
      }
      RTU_EACH_SET
      for (int s = 0; s < E; ++s) {
        const F e1 = L::load(sets[s].e1 + i), e2 = L::load(sets[s].e2 + i);
        grad_nu[s] += e1 * N1 + e2 * N2;
        grad_theta[s] += e1 * T1 + e2 * T2;
      }
    }
    RTU_EACH_SET
    for (int s = 0; s < E; ++s) {
      const F z_nu = sets[s].decay * L::load(traces.z_nu[s] + p) + grad_nu[s];
      const F z_theta = sets[s].decay * L::load(traces.z_theta[s] + p) + grad_theta[s];
      L::store(traces.z_nu[s] + p, z_nu);
      L::store(traces.z_theta[s] + p, z_theta);
      norm[s] += L::abs(z_nu) + L::abs(z_theta);
    }
  }
  RTU_EACH_SET
  for (int s = 0; s < E; ++s) sets[s].norm += L::sum(norm[s]);
}

template <class T, int V, int E, bool AdvanceFirst>
void learn_units_ordered(int32_t poles, int32_t units_per_pole, const Coefficients<T>& c, const T* h1, const T* h2,
                         const T* u1, const T* u2, const T* s1, const T* s2, const UnitTraces<T>& traces,
                         SetCotangent<T>* sets) {
  if (s1 != nullptr)
    learn_units_sets<T, V, E, AdvanceFirst, true, true>(poles, units_per_pole, c, h1, h2, u1, u2, s1, s2, traces, sets);
  else if (units_per_pole == 1)
    learn_units_sets<T, V, E, AdvanceFirst, false, true>(poles, units_per_pole, c, h1, h2, u1, u2, s1, s2, traces,
                                                         sets);
  else
    learn_units_sets<T, V, E, AdvanceFirst, false, false>(poles, units_per_pole, c, h1, h2, u1, u2, s1, s2, traces,
                                                          sets);
}

template <class T, int V>
void learn_units(int32_t poles, int32_t units_per_pole, int32_t n_sets, bool advance_first, const Coefficients<T>& c,
                 const T* h1, const T* h2, const T* u1, const T* u2, const T* s1, const T* s2,
                 const UnitTraces<T>& traces, SetCotangent<T>* sets) {
  const auto learn = n_sets == 0 ? learn_units_ordered<T, V, 0, false>
                     : n_sets == 1
                         ? advance_first ? learn_units_ordered<T, V, 1, true> : learn_units_ordered<T, V, 1, false>
                     : advance_first ? learn_units_ordered<T, V, 2, true>
                                     : learn_units_ordered<T, V, 2, false>;
  learn(poles, units_per_pole, c, h1, h2, u1, u2, s1, s2, traces, sets);
}

}  // namespace
