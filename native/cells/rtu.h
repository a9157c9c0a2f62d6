// The recurrent trace unit (Elelimy et al., NeurIPS 2024, arXiv 2409.01449), linear and nonlinear, trained by exact
// real-time recurrent learning. docs/math.md, 1 and 2; letters in native/kernels/kernels.h.
//
// One step has two halves. predict applies the pending weight step, computes the coefficients and the next state k, and
// keeps the present state h. update contracts the last cotangent with the traces into the eligibilities, advances the
// traces, and replaces h by k.
#pragma once

#include <stdint.h>
#include <string.h>

#include "native/cells/weights.h"
#include "native/core/rng.h"
#include "native/kernels/kernels.h"

namespace rtu::cells {

// Draws parameters (math.md, 1; math_cells.md, 2). Initial poles: retention in (r_min, r_max), phase in (0, max_phase);
// W LeCun normal, cut at two deviations; LRU: gains sqrt(1 - r^2), and B of variance 1 / d in both parts together.
template <class T>
void init_rtu(const Rtu<T>& cell, core::Rng rng) {
  const RtuConfig& config = cell.config;
  const bool lru = config.lru();
  const double low = config.r_min * config.r_min, high = config.r_max * config.r_max;
  for (int32_t p = 0; p < config.poles; ++p) {
    const double nu = -0.5 * core::logarithm(core::uniform(rng) * (high - low) + low);
    cell.nu_log[p] = static_cast<T>(core::logarithm(nu));
    cell.theta_log[p] = static_cast<T>(core::logarithm(config.max_phase * core::uniform(rng)));
    if (lru) cell.unit[2][p] = static_cast<T>(0.5 * core::logarithm(-core::exponential_minus_one(-2 * nu)));
  }
  init_weights(cell, lru ? 0.5 : 1.0, rng);
}

template <class T>
void clear_pole_traces(const Rtu<T>& cell) {
  const int64_t units = static_cast<int64_t>(cell.poles) * cell.config.units_per_pole;
  zero(cell.traces.N1, units);
  zero(cell.traces.N2, units);
  zero(cell.traces.T1, units);
  zero(cell.traces.T2, units);
}

// Linear recurrence: one complex trace per weight pair.
constexpr bool is_linear(CellKind kind) { return kind == CellKind::kLinear || kind == CellKind::kLru; }

// The next state k from h and u = W x, and the output y in canonical order.
template <class T>
void find_state(const Rtu<T>& cell) {
  const RtuConfig& config = cell.config;
  cell.kernels->state(cell.poles, config.units_per_pole, is_linear(config.kind), config.activation, cell.c, cell.h1,
                      cell.h2, cell.u1, cell.u2, cell.k1, cell.k2, cell.y1, cell.y2, cell.s1, cell.s2);
  const int32_t n = config.units();
  if (config.lru()) memcpy(cell.y + 2 * n, cell.x, static_cast<size_t>(config.inputs) * sizeof(T));
  if (cell.y == cell.y1) return;  // packed memory
  if (config.units_per_pole == 1) {
    memcpy(cell.y, cell.y1, static_cast<size_t>(n) * sizeof(T));
    memcpy(cell.y + n, cell.y2, static_cast<size_t>(n) * sizeof(T));
    return;
  }
  int32_t i = 0;
  for (int32_t p = 0; p < config.poles; ++p) {  // unit_at() in order, without its divisions
    for (int32_t k = 0; k < config.units_per_pole; ++k, ++i) {
      cell.y[i] = cell.y1[k * cell.poles + p];
      cell.y[n + i] = cell.y2[k * cell.poles + p];
    }
  }
}

// g, phi, gam of a step of `periods` nominal periods. The LRU's gain is a parameter, and does not depend on them.
template <class T>
void find_coefficients(const Rtu<T>& cell, T periods) {
  cell.kernels->coefficients(cell.poles, cell.nu_log, cell.theta_log, periods, cell.c);
  if (cell.config.lru()) cell.kernels->gains(cell.poles, cell.unit[2], cell.c.gam, cell.c.dgam);
}

template <class T>
void predict_rtu(const Rtu<T>& cell, const T* a, T periods) {
  apply_unit_update(cell, a);
  find_coefficients(cell, periods);
  keep_unwritten(cell, a);
  cell.kernels->forward(cell.block, cell.unwritten, cell.x, cell.u1, cell.u2);
  find_state(cell);
}

// The part of the second half for the poles.
template <class T>
void update_poles(const Rtu<T>& cell, bool advance_first, kernels::SetCotangent<T>* sets) {
  const bool linear = is_linear(cell.config.kind);
  cell.kernels->learn_units(cell.poles, cell.config.units_per_pole, cell.config.sets, advance_first, cell.c, cell.h1,
                            cell.h2, cell.u1, cell.u2, linear ? nullptr : cell.s1, linear ? nullptr : cell.s2,
                            cell.traces, sets);
}

// And for the LRU's gains. c: of the newest step, or kTbptt1's `carry`.
template <class T>
void update_gains(const Rtu<T>& cell, bool advance_first, const kernels::Coefficients<T>& c,
                  kernels::SetCotangent<T>* sets) {
  if (!cell.config.lru()) return;
  T* z[kMaxSets] = {cell.unit_z[0][2], cell.unit_z[1][2]};
  cell.kernels->learn_gains(cell.poles, cell.config.units_per_pole, cell.config.sets, advance_first, c, cell.u1,
                            cell.u2, cell.G1, cell.G2, z, sets);
}

// kTbptt1: W's traces advance with `carry`; those of the poles, whose kernel needs g and phi for the gradient itself,
// are zeroed between contraction and advance.
template <class T>
void update_one_step(const Rtu<T>& cell, bool advance_first, kernels::SetCotangent<T>* sets) {
  const kernels::Kernels<T>& kernel = *cell.kernels;
  const bool linear = is_linear(cell.config.kind);
  const T *s1 = linear ? nullptr : cell.s1, *s2 = linear ? nullptr : cell.s2;
  if (linear)
    kernel.learn_linear(cell.block, cell.unwritten, advance_first, cell.carry, cell.x, sets);
  else
    kernel.learn_nonlinear(cell.block, cell.unwritten, advance_first, cell.carry, cell.x, s1, s2, sets);
  zero(cell.unwritten, cell.config.sets);
  const int32_t G = cell.config.units_per_pole;
  if (advance_first) clear_pole_traces(cell);
  kernel.learn_units(cell.poles, G, cell.config.sets, advance_first, cell.c, cell.h1, cell.h2, cell.u1, cell.u2, s1, s2,
                     cell.traces, sets);
  if (!advance_first) {
    clear_pole_traces(cell);
    kernel.learn_units(cell.poles, G, 0, false, cell.c, cell.h1, cell.h2, cell.u1, cell.u2, s1, s2, cell.traces,
                       nullptr);
  }
}

template <class T>
void update_rtu(const Rtu<T>& cell, bool advance_first, kernels::SetCotangent<T>* sets) {
  const bool carries = cell.config.credit == Credit::kRtrl;
  if (!carries) {
    update_one_step(cell, advance_first, sets);
  } else {
    if (is_linear(cell.config.kind))
      cell.kernels->learn_linear(cell.block, cell.unwritten, advance_first, cell.c, cell.x, sets);
    else
      cell.kernels->learn_nonlinear(cell.block, cell.unwritten, advance_first, cell.c, cell.x, cell.s1, cell.s2, sets);
    zero(cell.unwritten, cell.config.sets);
    update_poles(cell, advance_first, sets);
  }
  update_gains(cell, advance_first, carries ? cell.c : cell.carry, sets);
}

// True where step_rtu() is one pass over memory.
template <class T>
bool is_fused(const Rtu<T>& cell) {
  return is_linear(cell.config.kind) && cell.config.sets == 1 && cell.config.credit == Credit::kRtrl;
}

// predict_rtu() and update_rtu() in TD order, for a cell that is_fused(). Bit-identical to the two calls.
template <class T>
void step_rtu(const Rtu<T>& cell, const T* a, T periods, kernels::SetCotangent<T>* sets) {
  apply_unit_update(cell, a);
  find_coefficients(cell, periods);
  cell.kernels->step_linear(cell.block, a, cell.c, cell.x, cell.u1, cell.u2, sets);
  find_state(cell);
  update_poles(cell, false, sets);
  update_gains(cell, false, cell.c, sets);
}

// The cotangent of the cell's own variables from that of its output, dy (2n) canonical: e1, e2 (G, P).
template <class T>
void cotangent_rtu(const Rtu<T>& cell, const T* s1, const T* s2, const T* dy, T* e1, T* e2) {
  const int32_t n = cell.config.units();
  const bool linear = is_linear(cell.config.kind);
  if (linear && cell.config.units_per_pole == 1) {
    for (int32_t i = 0; i < n; ++i) e1[i] = dy[i] * s1[i];
    for (int32_t i = 0; i < n; ++i) e2[i] = dy[n + i] * s2[i];
    return;
  }
  for (int32_t k = 0; k < cell.config.units_per_pole; ++k) {
    for (int32_t p = 0; p < cell.config.poles; ++p) {
      const int32_t i = p * cell.config.units_per_pole + k, at = k * cell.poles + p;
      e1[at] = linear ? dy[i] * s1[at] : dy[i];
      e2[at] = linear ? dy[n + i] * s2[at] : dy[n + i];
    }
  }
}

// Gradient of this step's loss for every parameter, through the current traces, into canonical arrays: nu_log,
// theta_log (m), W1, W2 (n, d). dy is the cotangent of the newest output. Not optimised: learners contract in the
// kernel instead.
template <class T>
void gradient(const Rtu<T>& cell, const T* dy, T* nu_log, T* theta_log, T* W1, T* W2) {
  const RtuConfig& config = cell.config;
  const int32_t n = config.units(), d = config.inputs;
  const bool linear = config.kind == CellKind::kLinear;
  for (int32_t p = 0; p < config.poles; ++p) nu_log[p] = theta_log[p] = T(0);
  for (int32_t i = 0; i < n; ++i) {
    const int32_t p = i / config.units_per_pole, at = unit_at(cell, i);
    const T e1 = linear ? dy[i] * cell.s1[at] : dy[i], e2 = linear ? dy[n + i] * cell.s2[at] : dy[n + i];
    nu_log[p] += e1 * cell.traces.N1[at] + e2 * cell.traces.N2[at];
    theta_log[p] += e1 * cell.traces.T1[at] + e2 * cell.traces.T2[at];
    for (int32_t j = 0; j < d; ++j) {
      const T A1 = trace_at(cell, 0, p, j), A2 = trace_at(cell, 1, p, j);
      const T B1 = linear ? -A2 : trace_at(cell, 2, p, j), B2 = linear ? A1 : trace_at(cell, 3, p, j);
      W1[i * d + j] = e1 * A1 + e2 * A2;
      W2[i * d + j] = e1 * B1 + e2 * B2;
    }
  }
}

// dL/dx of this step only (d).
template <class T>
void input_gradient(const Rtu<T>& cell, const T* dy, T* dx) {
  const int32_t n = cell.config.units(), d = cell.config.inputs;
  for (int32_t j = 0; j < d; ++j) dx[j] = T(0);
  for (int32_t i = 0; i < n; ++i) {
    const int32_t p = i / cell.config.units_per_pole, at = unit_at(cell, i);
    const T c1 = cell.c.gam[p] * cell.s1[at] * dy[i], c2 = cell.c.gam[p] * cell.s2[at] * dy[n + i];
    for (int32_t j = 0; j < d; ++j) dx[j] += weight_at(cell, 0, i, j) * c1 + weight_at(cell, 1, i, j) * c2;
  }
}

}  // namespace rtu::cells
