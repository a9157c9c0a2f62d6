// What all cells share: the pending step of the weights, the end of a step, eligibilities, optimizers.
#pragma once

#include <stdint.h>
#include <string.h>

#include "native/cells/rtu_layout.h"

namespace rtu::cells {

// unit[1] of a cell with poles is theta_log, which no step carries above kMaxThetaLog.
template <class T>
bool is_phase(const Cell<T>& cell, int32_t q) {
  return q == 1 && !cell.config.gated();
}

// Moves the parameters of poles or units by the pending steps a (one per set; 0 moves nothing).
template <class T>
void apply_unit_update(const Cell<T>& cell, const T* a) {
  for (int s = 0; s < cell.config.sets; ++s) {
    if (a[s] == T(0)) continue;
    for (int32_t q = 0; q < cell.unit_count; ++q) {
      const auto add = is_phase(cell, q) ? cell.kernels->add_phase : cell.kernels->add;
      add(cell.poles, a[s], cell.unit_z[s][q], cell.unit[q]);
    }
  }
}

// Completes immediately what predict() left to update().
template <class T>
void write_weights(const Cell<T>& cell) {
  cell.kernels->apply(cell.block, cell.unwritten);
  zero(cell.unwritten, kMaxSets);
}

// The pending steps without a state step.
template <class T>
void apply_pending(const Cell<T>& cell, const T* a) {
  write_weights(cell);
  apply_unit_update(cell, a);
  cell.kernels->apply(cell.block, a);
}

// Keeps the pending steps a for update(), after predict() has used them.
template <class T>
void keep_unwritten(const Cell<T>& cell, const T* a) {
  for (int s = 0; s < cell.config.sets; ++s)
    if (a[s] != T(0)) cell.unwritten[s] = a[s];
}

template <class T>
void clear_weight_traces(const Cell<T>& cell) {
  for (int64_t at = 0; at < static_cast<int64_t>(cell.block.blocks) * cell.block.inputs; ++at)
    zero(cell.block.traces + at * cell.block.trace_step, cell.block.trace_step);
}

template <class T>
void clear_eligibilities(const Cell<T>& cell) {
  const int64_t rows = static_cast<int64_t>(cell.block.blocks) * cell.config.units_per_pole * cell.block.inputs;
  const int32_t V = cell.kernels->lanes;
  for (int64_t at = 0; at < rows; ++at)
    zero(cell.block.weights + at * cell.block.weight_step + 2 * V, 2 * V * cell.config.sets);
  for (int s = 0; s < cell.config.sets; ++s)
    for (int32_t q = 0; q < cell.unit_count; ++q) zero(cell.unit_z[s][q], cell.poles);
}

// Length of a vector over units in memory.
template <class T>
int64_t unit_vector_size(const Cell<T>& cell) {
  return static_cast<int64_t>(cell.poles) * cell.config.units_per_pole;
}

// Replaces h by k. Called alone it ends an evaluation step: the state advances, the traces do not.
template <class T>
void advance_state(const Cell<T>& cell) {
  const size_t bytes = static_cast<size_t>(unit_vector_size(cell)) * sizeof(T);
  memcpy(cell.h1, cell.k1, bytes);
  if (cell.h2 != nullptr) memcpy(cell.h2, cell.k2, bytes);
}

// One set's Adam step over all parameters of the cell.
template <class T>
void adam(const Cell<T>& cell, int32_t s, const kernels::AdamStep<T>& step) {
  const kernels::Kernels<T>& kernel = *cell.kernels;
  const int32_t V = kernel.lanes, rows = cell.block.blocks * cell.config.units_per_pole * cell.block.inputs;
  T* z = cell.block.weights + (2 + 2 * s) * V;
  kernel.adam(rows, 2 * V, cell.block.weight_step, 2 * V, step, cell.block.weights, z, cell.moments_w[s],
              cell.moments_w[s] + static_cast<int64_t>(rows) * 2 * V);
  T* before = cell.y1;  // used as scratch memory between two forward passes
  for (int32_t q = 0; q < cell.unit_count; ++q) {
    T* moments = cell.moments_p[s] + 2 * q * cell.poles;
    if (is_phase(cell, q)) memcpy(before, cell.unit[q], static_cast<size_t>(cell.poles) * sizeof(T));
    kernel.adam(1, cell.poles, 0, 0, step, cell.unit[q], cell.unit_z[s][q], moments, moments + cell.poles);
    if (is_phase(cell, q)) kernel.hold_phase(cell.poles, before, cell.unit[q]);
  }
}

// One set's eligibilities with a preconditioner (kernels.h, condition); adds to sums.
template <class T>
void condition(const Cell<T>& cell, int32_t s, const kernels::ConditionStep<T>& step, kernels::ConditionSums<T>& sums) {
  const kernels::Kernels<T>& kernel = *cell.kernels;
  const int32_t V = kernel.lanes, rows = cell.block.blocks * cell.config.units_per_pole * cell.block.inputs;
  kernel.condition(rows, 2 * V, cell.block.weight_step, 2 * V, step, cell.block.weights + (2 + 2 * s) * V,
                   cell.moments_w[s], cell.moments_w[s] + static_cast<int64_t>(rows) * 2 * V, sums);
  for (int32_t q = 0; q < cell.unit_count; ++q) {
    T* moments = cell.moments_p[s] + 2 * q * cell.poles;
    kernel.condition(1, cell.poles, 0, 0, step, cell.unit_z[s][q], moments, moments + cell.poles, sums);
  }
}

// The eligibilities that condition() keeps.
template <class T>
void clear_conditioned(const Cell<T>& cell, int32_t s) {
  const int32_t rows = cell.block.blocks * cell.config.units_per_pole * cell.block.inputs;
  zero(cell.moments_w[s], static_cast<int64_t>(rows) * 2 * cell.kernels->lanes);
  for (int32_t q = 0; q < cell.unit_count; ++q) zero(cell.moments_p[s] + 2 * q * cell.poles, cell.poles);
}

}  // namespace rtu::cells
