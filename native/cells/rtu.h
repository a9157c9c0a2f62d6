// The recurrent trace unit (Elelimy et al., NeurIPS 2024, arXiv 2409.01449), linear and nonlinear, trained by exact
// real-time recurrent learning. docs/math.md, 1 and 2; letters in native/kernels/kernels.h.
//
// One step has two halves. predict applies the pending weight step, computes the coefficients and the next state k, and
// keeps the present state h. update contracts the last cotangent with the traces into the eligibilities, advances the
// traces, and replaces h by k.
#pragma once

#include <stdint.h>
#include <string.h>

#include "native/cells/rtu_layout.h"
#include "native/core/rng.h"
#include "native/kernels/kernels.h"

namespace rtu::cells {

// Draws parameters (math.md, 1). Initial poles: retention in (r_min, r_max), phase in (0, max_phase); W LeCun
// normal, cut at two deviations.
template <class T>
void init_rtu(const Rtu<T>& cell, core::Rng rng) {
  const RtuConfig& config = cell.config;
  const double low = config.r_min * config.r_min, high = config.r_max * config.r_max;
  for (int32_t p = 0; p < config.poles; ++p) {
    cell.nu_log[p] = static_cast<T>(core::logarithm(-0.5 * core::logarithm(core::uniform(rng) * (high - low) + low)));
    cell.theta_log[p] = static_cast<T>(core::logarithm(config.max_phase * core::uniform(rng)));
  }
  // A normal cut at two deviations has deviation 0.8796; divided out, the variance is 1 / d.
  const double scale = 1.0 / (0.87962566103423978 * core::square_root(static_cast<double>(config.inputs)));
  for (int32_t half = 0; half < 2; ++half)
    for (int32_t i = 0; i < config.units(); ++i)
      for (int32_t j = 0; j < config.inputs; ++j)
        weight_at(cell, half, i, j) = static_cast<T>(scale * core::truncated_normal(rng));
}

template <class T>
void zero(T* data, int64_t n) {
  memset(data, 0, static_cast<size_t>(n) * sizeof(T));
}

template <class T>
void clear_pole_traces(const Rtu<T>& cell) {
  const int64_t units = static_cast<int64_t>(cell.poles) * cell.config.units_per_pole;
  zero(cell.traces.N1, units);
  zero(cell.traces.N2, units);
  zero(cell.traces.T1, units);
  zero(cell.traces.T2, units);
}

// Zeroes the traces of dh/dw, but not h. A frozen cell has none.
template <class T>
void clear_traces(const Rtu<T>& cell) {
  if (cell.config.credit == Credit::kFrozen) return;
  clear_pole_traces(cell);
  const int64_t slots = (cell.config.kind == CellKind::kNonlinear ? 4 : 2) * cell.kernels->lanes;
  for (int64_t at = 0; at < static_cast<int64_t>(cell.block.blocks) * cell.block.inputs; ++at)
    zero(cell.block.traces + at * cell.block.trace_step, slots);
}

template <class T>
void clear_eligibilities(const Rtu<T>& cell) {
  const int64_t rows = static_cast<int64_t>(cell.block.blocks) * cell.config.units_per_pole * cell.block.inputs;
  const int32_t V = cell.kernels->lanes;
  for (int64_t at = 0; at < rows; ++at)
    zero(cell.block.weights + at * cell.block.weight_step + 2 * V, 2 * V * cell.config.sets);
  for (int s = 0; s < cell.config.sets; ++s) {
    zero(cell.traces.z_nu[s], cell.poles);
    zero(cell.traces.z_theta[s], cell.poles);
  }
}

template <class T>
void clear_state(const Rtu<T>& cell) {
  const int64_t units = static_cast<int64_t>(cell.poles) * cell.config.units_per_pole;
  zero(cell.h1, units);
  zero(cell.h2, units);
}

// Moves nu_log and theta_log by the pending steps a (one per set; 0 moves nothing).
template <class T>
void apply_pole_update(const Rtu<T>& cell, const T* a) {
  for (int s = 0; s < cell.config.sets; ++s) {
    if (a[s] == T(0)) continue;
    cell.kernels->add(cell.poles, a[s], cell.traces.z_nu[s], cell.nu_log);
    cell.kernels->add_phase(cell.poles, a[s], cell.traces.z_theta[s], cell.theta_log);
  }
}

// Completes immediately what predict() left to update().
template <class T>
void write_weights(const Rtu<T>& cell) {
  cell.kernels->apply(cell.block, cell.unwritten);
  zero(cell.unwritten, kMaxSets);
}

// The pending steps without a state step.
template <class T>
void apply_pending(const Rtu<T>& cell, const T* a) {
  write_weights(cell);
  apply_pole_update(cell, a);
  cell.kernels->apply(cell.block, a);
}

// The next state k from h and u = W x, and the output y in canonical order.
template <class T>
void find_state(const Rtu<T>& cell) {
  const RtuConfig& config = cell.config;
  cell.kernels->state(cell.poles, config.units_per_pole, config.kind == CellKind::kLinear, config.activation, cell.c,
                      cell.h1, cell.h2, cell.u1, cell.u2, cell.k1, cell.k2, cell.y1, cell.y2, cell.s1, cell.s2);
  const int32_t n = config.units();
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

// Replaces h by k. Called alone it ends an evaluation step: the state advances, the traces do not.
template <class T>
void advance_state(const Rtu<T>& cell) {
  const size_t bytes = static_cast<size_t>(cell.poles) * static_cast<size_t>(cell.config.units_per_pole) * sizeof(T);
  memcpy(cell.h1, cell.k1, bytes);
  memcpy(cell.h2, cell.k2, bytes);
}

// First half: applies the pending steps a, computes the next state from input x, and the output y. Poles are updated
// immediately, W in the next update() or write_weights(); no further pending step can arise before that. `periods` is
// the step's length in nominal periods.
template <class T>
void predict(const Rtu<T>& cell, const T* a, T periods) {
  apply_pole_update(cell, a);
  cell.kernels->coefficients(cell.poles, cell.nu_log, cell.theta_log, periods, cell.c);
  for (int s = 0; s < cell.config.sets; ++s)
    if (a[s] != T(0)) cell.unwritten[s] = a[s];
  cell.kernels->forward(cell.block, cell.unwritten, cell.x, cell.u1, cell.u2);
  find_state(cell);
}

// The part of the second half for the poles, and the end of the step.
template <class T>
void update_poles(const Rtu<T>& cell, bool advance_first, kernels::SetCotangent<T>* sets) {
  const bool linear = cell.config.kind == CellKind::kLinear;
  cell.kernels->learn_units(cell.poles, cell.config.units_per_pole, cell.config.sets, advance_first, cell.c, cell.h1,
                            cell.h2, cell.u1, cell.u2, linear ? nullptr : cell.s1, linear ? nullptr : cell.s2,
                            cell.traces, sets);
  advance_state(cell);
}

// kTbptt1: W's traces advance with `carry`; those of the poles, whose kernel needs g and phi for the gradient itself,
// are zeroed between contraction and advance.
template <class T>
void update_one_step(const Rtu<T>& cell, bool advance_first, kernels::SetCotangent<T>* sets) {
  const kernels::Kernels<T>& kernel = *cell.kernels;
  const bool linear = cell.config.kind == CellKind::kLinear;
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
  advance_state(cell);
}

// Second half after predict(): eligibilities and traces (kernels.h, learn_linear); then k becomes h. sets[s].norm is
// the block's sum |z|. A frozen cell has neither.
template <class T>
void update(const Rtu<T>& cell, bool advance_first, kernels::SetCotangent<T>* sets) {
  if (cell.config.credit != Credit::kRtrl) {
    if (cell.config.credit == Credit::kFrozen) return advance_state(cell);
    return update_one_step(cell, advance_first, sets);
  }
  if (cell.config.kind == CellKind::kLinear)
    cell.kernels->learn_linear(cell.block, cell.unwritten, advance_first, cell.c, cell.x, sets);
  else
    cell.kernels->learn_nonlinear(cell.block, cell.unwritten, advance_first, cell.c, cell.x, cell.s1, cell.s2, sets);
  zero(cell.unwritten, cell.config.sets);
  update_poles(cell, advance_first, sets);
}

// predict() and update() in TD order, for callers that do nothing in between: one pass over memory for the linear RTU
// with one set. Bit-identical to the two calls.
template <class T>
void step(const Rtu<T>& cell, const T* a, T periods, kernels::SetCotangent<T>* sets) {
  if (cell.config.kind != CellKind::kLinear || cell.config.sets != 1 || cell.config.credit != Credit::kRtrl) {
    predict(cell, a, periods);
    update(cell, false, sets);
    return;
  }
  apply_pole_update(cell, a);
  cell.kernels->coefficients(cell.poles, cell.nu_log, cell.theta_log, periods, cell.c);
  cell.kernels->step_linear(cell.block, a, cell.c, cell.x, cell.u1, cell.u2, sets);
  find_state(cell);
  update_poles(cell, false, sets);
}

// The cotangent of the cell's own variables from that of its output, dy (2n) canonical: e1, e2 (G, P).
template <class T>
void cotangent(const Rtu<T>& cell, const T* s1, const T* s2, const T* dy, T* e1, T* e2) {
  const int32_t n = cell.config.units();
  const bool linear = cell.config.kind == CellKind::kLinear;
  for (int32_t k = 0; k < cell.config.units_per_pole; ++k) {
    for (int32_t p = 0; p < cell.config.poles; ++p) {
      const int32_t i = p * cell.config.units_per_pole + k, at = k * cell.poles + p;
      e1[at] = linear ? dy[i] * s1[at] : dy[i];
      e2[at] = linear ? dy[n + i] * s2[at] : dy[n + i];
    }
  }
}

// One set's Adam step over all parameters of the cell.
template <class T>
void adam(const Rtu<T>& cell, int32_t s, const kernels::AdamStep<T>& step) {
  const kernels::Kernels<T>& kernel = *cell.kernels;
  const int32_t V = kernel.lanes, rows = cell.block.blocks * cell.config.units_per_pole * cell.block.inputs;
  T* z = cell.block.weights + (2 + 2 * s) * V;
  kernel.adam(rows, 2 * V, cell.block.weight_step, 2 * V, step, cell.block.weights, z, cell.moments_w[s],
              cell.moments_w[s] + static_cast<int64_t>(rows) * 2 * V);
  T* moments = cell.moments_p[s];
  kernel.adam(1, cell.poles, 0, 0, step, cell.nu_log, cell.traces.z_nu[s], moments, moments + cell.poles);
  T* before = cell.y1;  // used as scratch memory between two forward passes
  memcpy(before, cell.theta_log, static_cast<size_t>(cell.poles) * sizeof(T));
  kernel.adam(1, cell.poles, 0, 0, step, cell.theta_log, cell.traces.z_theta[s], moments + 2 * cell.poles,
              moments + 3 * cell.poles);
  kernel.hold_phase(cell.poles, before, cell.theta_log);
}

// One set's eligibilities with a preconditioner (kernels.h, condition); adds to sums.
template <class T>
void condition(const Rtu<T>& cell, int32_t s, const kernels::ConditionStep<T>& step, kernels::ConditionSums<T>& sums) {
  const kernels::Kernels<T>& kernel = *cell.kernels;
  const int32_t V = kernel.lanes, rows = cell.block.blocks * cell.config.units_per_pole * cell.block.inputs;
  kernel.condition(rows, 2 * V, cell.block.weight_step, 2 * V, step, cell.block.weights + (2 + 2 * s) * V,
                   cell.moments_w[s], cell.moments_w[s] + static_cast<int64_t>(rows) * 2 * V, sums);
  T* moments = cell.moments_p[s];
  kernel.condition(1, cell.poles, 0, 0, step, cell.traces.z_nu[s], moments, moments + cell.poles, sums);
  kernel.condition(1, cell.poles, 0, 0, step, cell.traces.z_theta[s], moments + 2 * cell.poles,
                   moments + 3 * cell.poles, sums);
}

// The eligibilities that condition() keeps.
template <class T>
void clear_conditioned(const Rtu<T>& cell, int32_t s) {
  const int32_t rows = cell.block.blocks * cell.config.units_per_pole * cell.block.inputs;
  zero(cell.moments_w[s], static_cast<int64_t>(rows) * 2 * cell.kernels->lanes);
  zero(cell.moments_p[s], cell.poles);
  zero(cell.moments_p[s] + 2 * cell.poles, cell.poles);
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
