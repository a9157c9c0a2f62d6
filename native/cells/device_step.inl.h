// step() of the linear RTU for a processor with one lane and few registers: all work on one pole before the next, so
// that no intermediate is stored and reloaded, and vectors addressed by constant offsets instead of one pointer each.
// The formulas are those of the kernels, called for one pole at a time, sums in the same order: the same bits.
//
// One unit per pole, one eligibility set, nominal periods; sizes and activation are compile-time constants.
#pragma once

#include "native/cells/rtu.h"
#include "native/kernels/dense.inl.h"
#include "native/kernels/rtu_linear.inl.h"
#include "native/kernels/rtu_poles.inl.h"

namespace {

// Distance, in scalars, between consecutive vectors over poles in the arena.
constexpr int32_t device_row(int32_t poles) {
  constexpr int32_t line = static_cast<int32_t>(rtu::core::kAlignment / sizeof(float));
  return (poles + line - 1) / line * line;
}

// True where make_rtu() lays the vectors out as device_step() finds them.
constexpr bool device_layout_holds(const rtu::cells::RtuConfig& config) {
  if (config.credit != rtu::cells::Credit::kRtrl) return false;
  if (config.kind != rtu::cells::CellKind::kLinear || config.units_per_pole != 1 || config.sets != 1 || config.moments)
    return false;
  rtu::core::LargestTable table;
  rtu::core::Builder footprint(nullptr, &table, 1);
  (void)rtu::cells::make_rtu<float>(footprint, config, rtu::core::Name());
  const auto at = [&table](const char* name) -> uint64_t {
    for (int i = 0; i < table.count; ++i) {
      int k = 0;
      while (name[k] != 0 && name[k] == table.sections[i].name[k]) ++k;
      if (name[k] == 0 && table.sections[i].name[k] == 0) return table.sections[i].offset;
    }
    return 1;  // no offset is odd
  };
  const char* const rows[][13] = {
      {"nu_log", "theta_log"},
      {"z0.nu_log", "z0.theta_log"},
      {"trace.N1", "trace.N2", "trace.T1", "trace.T2", "h1", "h2", "step.k1", "step.k2", "step.u1", "step.u2",
       "step.s1", "step.s2"},
      {"step.nu", "step.theta", "step.g", "step.phi", "step.gam", "step.dgam", "scratch.y1", "scratch.y2"},
  };
  const uint64_t row = static_cast<uint64_t>(device_row(config.poles)) * sizeof(float);
  for (const auto& names : rows)
    for (uint64_t k = 0; names[k] != nullptr; ++k)
      if (at(names[k]) != at(names[0]) + k * row) return false;
  return true;
}

// Same result as cells::step(); a: the pending step. set.norm is sum |z| afterwards. Values of one pole are kept in
// local variables without aliases, so that stores to the arena force no reload.
template <int32_t Poles, int32_t Inputs, Activation F>
__attribute__((flatten)) void device_step(const rtu::cells::Rtu<float>& cell, float a, SetCotangent<float>& set) {
  constexpr int32_t S = device_row(Poles);
  constexpr unsigned all = kPending | kWrite | kForward | kLearn | kAdvance;
  float x[Inputs], poles_norm = 0.0f;
  for (int32_t j = 0; j < Inputs; ++j) x[j] = cell.x[j];
  PassOfMember<float, 1, 1> of{};
  of.a[0] = a;
  of.decay[0] = set.decay;
  const float *e1 = set.e1, *e2 = set.e2;
  float *w = cell.nu_log, *z = cell.traces.z_nu[0], *v = cell.traces.N1, *k = cell.c.nu, *y = cell.y,
        *row_traces = cell.block.traces, *row_weights = cell.block.weights;
  for (int32_t p = 0; p < Poles; ++p, ++w, ++z, ++v, ++k, ++y, row_traces += 2 * Inputs, row_weights += 4 * Inputs) {
    add<float, 1>(1, a, z, w);
    add_phase<float, 1>(1, a, z + S, w + S);
    float nu, theta, g, phi, gam, dgam;
    const Coefficients<float> c = {&nu, &theta, &g, &phi, &gam, &dgam};
    coefficients_of<float, 1, false>(1, w, w + S, 1.0f, c);
    of.g = g;
    of.phi = phi;
    of.gam = gam;
    of.e1[0] = *e1++;
    of.e2[0] = *e2++;
    of.u1 = of.u2 = 0.0f;
    pass_member<float, 1, 1, all, 1>(of, row_traces, row_weights, 0, Inputs, x, x);

    float k1, k2, s1, s2;
    const float h1 = v[4 * S], h2 = v[5 * S];
    state<float, 1>(1, 1, true, F, c, &h1, &h2, &of.u1, &of.u2, &k1, &k2, y, y + Poles, &s1, &s2);
    SetCotangent<float> one = {of.e1, of.e2, set.decay, poles_norm};
    const UnitTraces<float> traces = {v, v + S, v + 2 * S, v + 3 * S, {z, nullptr}, {z + S, nullptr}};
    learn_units_sets<float, 1, 1, false, false, true>(1, 1, c, &h1, &h2, &of.u1, &of.u2, nullptr, nullptr, traces,
                                                      &one);
    poles_norm = one.norm;

    v[4 * S] = v[6 * S] = k1;
    v[5 * S] = v[7 * S] = k2;
    v[8 * S] = of.u1;
    v[9 * S] = of.u2;
    v[10 * S] = s1;
    v[11 * S] = s2;
    k[0] = nu;
    k[S] = theta;
    k[2 * S] = g;
    k[3 * S] = phi;
    k[4 * S] = gam;
    k[5 * S] = dgam;
  }
  set.norm = of.norm[0] + poles_norm;
}

}  // namespace
