// Cells with gates, trained by exact real-time recurrent learning: minGRU (Feng et al. 2024, arXiv 2410.01201) and
// eLSTM, an LSTM without weights between units (Irie et al. 2023, arXiv 2305.19044). docs/math_cells.md, 1; letters in
// native/kernels/kernels.h. A unit's state is one number, so that each weight has one real trace.
//
// The halves of a step are those of cell.h. A step's length in nominal periods has no effect: the gates count steps.
#pragma once

#include <stdint.h>
#include <string.h>

#include "native/cells/weights.h"
#include "native/core/rng.h"

namespace rtu::cells {

template <class T>
constexpr Cell<T> make_gated(Builder& arena, const CellConfig& config, const Name& name) {
  Cell<T> cell{};
  cell.config = config;
  const uint32_t n = static_cast<uint32_t>(config.units());
  cell.poles = static_cast<int32_t>(core::padded(n, arena.lanes()));
  make_parameters(arena, cell, name);
  if (config.credit != Credit::kFrozen)
    for (int32_t q = 0; q < cell.unit_count; ++q)
      cell.unit_trace[q] = arena.vector<T>(name.dot("trace").dot(unit_name(config.kind, q)), n);
  cell.h1 = arena.vector<T>(name.dot("h"), n);
  cell.k1 = arena.vector<T>(name.dot("step.k"), n);
  cell.u1 = arena.vector<T>(name.dot("step.u1"), n);
  cell.u2 = arena.vector<T>(name.dot("step.u2"), n);
  cell.s1 = arena.vector<T>(name.dot("step.s"), n);
  cell.x = arena.vector<T>(name.dot("step.x"), static_cast<uint32_t>(config.inputs));
  cell.y = arena.vector<T>(name.dot("step.y"), n);
  cell.gates.K = arena.vector<T>(name.dot("step.K"), n);
  cell.gates.a1 = arena.vector<T>(name.dot("step.a1"), n);
  cell.gates.a2 = arena.vector<T>(name.dot("step.a2"), n);
  if (config.credit == Credit::kTbptt1) cell.carry.g = arena.reserve<T>(static_cast<uint64_t>(cell.poles));  // zeros
  cell.unwritten = arena.vector<T>(name.dot("scratch.unwritten"), kMaxSets, false);
  return cell;
}

constexpr kernels::GateForm gate_form(CellKind kind) {
  return kind == CellKind::kElstm ? kernels::GateForm::kElstm : kernels::GateForm::kMinGru;
}

// Draws parameters (math_cells.md, 1): at x = 0 a unit keeps a share r of its state, r as a pole's retention; weights
// as in init_rtu(); the eLSTM's weights of its own state small, so that K stays near f.
template <class T>
void init_gated(const Cell<T>& cell, core::Rng rng) {
  const CellConfig& config = cell.config;
  const double low = config.r_min * config.r_min, high = config.r_max * config.r_max;
  const bool elstm = config.kind == CellKind::kElstm;
  for (int32_t i = 0; i < config.units(); ++i) {
    const double nu = -0.5 * core::logarithm(core::uniform(rng) * (high - low) + low);
    const double forget = core::logarithm(-core::exponential_minus_one(-nu)) + nu;  // log((1 - r) / r)
    if (!elstm) {
      cell.unit[0][i] = static_cast<T>(forget);
      continue;
    }
    cell.unit[1][i] = static_cast<T>(-forget);
    cell.unit[2][i] = static_cast<T>(0.1 * core::truncated_normal(rng));
    cell.unit[3][i] = static_cast<T>(0.1 * core::truncated_normal(rng));
  }
  init_weights(cell, 1.0, rng);
}

template <class T>
void predict_gated(const Cell<T>& cell, const T* a) {
  apply_unit_update(cell, a);
  keep_unwritten(cell, a);
  cell.kernels->forward(cell.block, cell.unwritten, cell.x, cell.u1, cell.u2);
  cell.kernels->gate(cell.poles, gate_form(cell.config.kind), cell.config.activation, cell.unit, cell.h1, cell.u1,
                     cell.u2, cell.gates, cell.k1, cell.y, cell.s1);
}

// kTbptt1 advances the traces with K = 0: they carry nothing from step to step.
template <class T>
void update_gated(const Cell<T>& cell, bool advance_first, kernels::SetCotangent<T>* sets) {
  kernels::Gates<T> gates = cell.gates;
  if (cell.config.credit == Credit::kTbptt1) gates.K = cell.carry.g;
  kernels::GateTraces<T> traces{};
  for (int32_t q = 0; q < cell.unit_count; ++q) {
    traces.s[q] = cell.unit_trace[q];
    for (int32_t s = 0; s < cell.config.sets; ++s) traces.z[s][q] = cell.unit_z[s][q];
  }
  cell.kernels->learn_gated(cell.block, cell.unwritten, advance_first, gates, cell.x, sets);
  zero(cell.unwritten, cell.config.sets);
  cell.kernels->learn_gates(cell.poles, cell.unit_count, cell.config.sets, advance_first, gates, cell.h1, traces, sets);
}

}  // namespace rtu::cells
