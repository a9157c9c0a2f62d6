// The two halves of a step of the linear RTU for firmware with packed memory (core/arena.h): all work on one pole
// before the next, so that little of what a pole needs is stored and loaded again, and vectors are addressed by
// constant offsets instead of one pointer each. The formulas are those of the kernels, called for one pole at a time,
// sums in the same order: the same bits.
//
// One unit per pole, E eligibility sets, nominal periods; sizes and activation are compile-time constants.
#pragma once

#include "native/cells/rtu.h"
#include "native/kernels/device.inl.h"

namespace {

// Offsets, in vectors over poles, from cell.traces.N1 and from cell.c.nu.
enum DeviceVector : int32_t { kN1, kN2, kT1, kT2, kH1, kH2, kK1, kK2, kU1, kU2, kS1, kS2 };
enum DeviceCoefficient : int32_t { kNu, kTheta, kG, kPhi, kGam, kDgam };

// True where make_rtu() lays the vectors out as the halves find them.
template <int32_t Poles, int E>
constexpr bool device_halves_fit(const rtu::cells::Cell<float>& cell) {
  constexpr int32_t P = Poles;
  const float *v = cell.traces.N1, *c = cell.c.nu, *z = cell.unit_z[0][0];
  const float* const over_units[] = {cell.traces.N2, cell.traces.T1, cell.traces.T2, cell.h1, cell.h2, cell.k1,
                                     cell.k2,        cell.u1,        cell.u2,        cell.s1, cell.s2};
  for (int32_t k = 0; k < 11; ++k)
    if (over_units[k] != v + (k + 1) * P) return false;
  const float* const over_poles[] = {cell.c.theta, cell.c.g, cell.c.phi, cell.c.gam, cell.c.dgam};
  for (int32_t k = 0; k < 5; ++k)
    if (over_poles[k] != c + (k + 1) * P) return false;
  RTU_EACH_SET
  for (int32_t s = 0; s < E; ++s)
    if (cell.unit_z[s][0] != z + 2 * s * P || cell.unit_z[s][1] != z + (2 * s + 1) * P) return false;
  return cell.poles == P && cell.config.units_per_pole == 1 && cell.config.sets == E &&
         cell.config.kind == rtu::cells::CellKind::kLinear && cell.config.credit == rtu::cells::Credit::kRtrl &&
         !cell.config.moments && cell.theta_log == cell.nu_log + P;
}

template <int32_t Poles, int32_t Inputs, int E, Activation F>
struct DeviceHalves {
  typedef rtu::cells::Cell<float> Cell;
  static constexpr int32_t P = Poles, trace_step = 2 * Inputs, weight_step = (2 + 2 * E) * Inputs;

  // predict(): the poles move by the pending steps, coefficients, u = W x, the next state, the output.
  __attribute__((flatten, noinline)) static void predict(const Cell& cell, const float* a) {
    const bool pending = any_pending(E, a);
    float x[Inputs];
    for (int32_t j = 0; j < Inputs; ++j) x[j] = cell.x[j];
    PassOfMember<float, 1, E> of{};
    RTU_EACH_SET
    for (int32_t s = 0; s < E; ++s) of.a[s] = a[s];
    float *w = cell.nu_log, *v = cell.traces.N1, *k = cell.c.nu, *y = cell.y, *weights = cell.block.weights,
          *const traces = cell.block.traces;  // not read
    const float* z = cell.unit_z[0][0];
    for (int32_t p = 0; p < P; ++p, ++w, ++z, ++v, ++k, ++y, weights += weight_step) {
      RTU_EACH_SET
      for (int32_t s = 0; s < E; ++s) {
        if (a[s] == 0.0f) continue;
        w[0] += of.a[s] * z[2 * s * P];
        w[P] = held_phase<float, 1>(w[P], w[P] + of.a[s] * z[(2 * s + 1) * P]);
      }
      float nu, theta, g, phi, gam, dgam;
      const Coefficients<float> c = {&nu, &theta, &g, &phi, &gam, &dgam};
      coefficients_of<float, 1, false>(1, w, w + P, 1.0f, c);
      of.u1 = of.u2 = 0.0f;
      if (pending)
        pass_member<float, 1, E, kPending | kForward, 1>(of, traces, weights, 0, Inputs, x, nullptr);
      else
        pass_member<float, 1, E, kForward, 1>(of, traces, weights, 0, Inputs, x, nullptr);
      state<float, 1>(1, 1, true, F, c, v + kH1 * P, v + kH2 * P, &of.u1, &of.u2, v + kK1 * P, v + kK2 * P, y, y + P,
                      v + kS1 * P, v + kS2 * P);
      v[kU1 * P] = of.u1;
      v[kU2 * P] = of.u2;
      k[kNu * P] = nu;
      k[kTheta * P] = theta;
      k[kG * P] = g;
      k[kPhi * P] = phi;
      k[kGam * P] = gam;
      k[kDgam * P] = dgam;
    }
    keep_unwritten(cell, a);
  }

  static void cotangent(const float* s1, const float* s2, const float* dy, float* e1, float* e2) {
    device_multiply(P, dy, s1, e1);
    device_multiply(P, dy + P, s2, e2);
  }

  // update() in TD order: the weights as predict() saw them, eligibilities, traces; then h <- k.
  __attribute__((flatten, noinline)) static void update(const Cell& cell, SetCotangent<float>* sets) {
    const bool pending = any_pending(E, static_cast<const float*>(cell.unwritten));
    float x[Inputs];
    for (int32_t j = 0; j < Inputs; ++j) x[j] = cell.x[j];
    PassOfMember<float, 1, E> of{};
    SetCotangent<float> one[E];
    RTU_EACH_SET
    for (int32_t s = 0; s < E; ++s) {
      of.a[s] = cell.unwritten[s];
      of.decay[s] = sets[s].decay;
      one[s] = sets[s];
      one[s].norm = 0.0f;
      cell.unwritten[s] = 0.0f;
    }
    float *z = cell.unit_z[0][0], *v = cell.traces.N1, *c = cell.c.nu, *traces = cell.block.traces,
          *weights = cell.block.weights;
    for (int32_t p = 0; p < P; ++p, ++z, ++v, ++c, traces += trace_step, weights += weight_step) {
      float nu = c[kNu * P], theta = c[kTheta * P], g = c[kG * P], phi = c[kPhi * P], gam = c[kGam * P],
            dgam = c[kDgam * P];
      of.g = g;
      of.phi = phi;
      of.gam = gam;
      RTU_EACH_SET
      for (int32_t s = 0; s < E; ++s) {
        of.e1[s] = *one[s].e1;
        of.e2[s] = *one[s].e2;
      }
      if (pending)
        pass_member<float, 1, E, kPending | kWrite | kLearn | kAdvance, 1>(of, traces, weights, 0, Inputs, x, x);
      else
        pass_member<float, 1, E, kLearn | kAdvance, 1>(of, traces, weights, 0, Inputs, x, x);
      UnitTraces<float> of_poles = {v, v + kN2 * P, v + kT1 * P, v + kT2 * P, {}, {}};
      RTU_EACH_SET
      for (int32_t s = 0; s < E; ++s) {
        of_poles.z_nu[s] = z + 2 * s * P;
        of_poles.z_theta[s] = z + (2 * s + 1) * P;
      }
      const Coefficients<float> coefficients = {&nu, &theta, &g, &phi, &gam, &dgam};
      learn_units_sets<float, 1, E, false, false, true>(1, 1, coefficients, v + kH1 * P, v + kH2 * P, v + kU1 * P,
                                                        v + kU2 * P, nullptr, nullptr, of_poles, one);
      RTU_EACH_SET
      for (int32_t s = 0; s < E; ++s) {
        ++one[s].e1;
        ++one[s].e2;
      }
      v[kH1 * P] = v[kK1 * P];
      v[kH2 * P] = v[kK2 * P];
    }
    RTU_EACH_SET
    for (int32_t s = 0; s < E; ++s) sets[s].norm = of.norm[s] + one[s].norm;
  }
};

}  // namespace
