// The recurrent cell of a network, of any kind: the one place that chooses between the cells with poles (rtu.h) and
// those with gates (gated.h).
//
// One step has two halves. predict applies the pending weight step and computes the next state k and the output y, and
// keeps the present state h. update contracts the last cotangent with the traces into the eligibilities, advances the
// traces, and replaces h by k.
#pragma once

#include "native/cells/gated.h"
#include "native/cells/rtu.h"

namespace rtu::cells {

// Lays the cell out, or binds it to memory (Builder).
template <class T>
constexpr Cell<T> make_cell(Builder& arena, const CellConfig& config, const Name& name) {
  return config.gated() ? make_gated<T>(arena, config, name) : make_rtu<T>(arena, config, name);
}

template <class T>
void init_cell(const Cell<T>& cell, core::Rng rng) {
  return cell.config.gated() ? init_gated(cell, rng) : init_rtu(cell, rng);
}

// A vector for each part of a unit's state: real and imaginary; with gates there is one, and the second is null.
template <class T>
constexpr void make_parts(Builder& arena, const CellConfig& config, const Name& first, const Name& second, T*& one,
                          T*& two) {
  one = unit_vector<T>(arena, config, first);
  two = config.gated() ? nullptr : unit_vector<T>(arena, config, second);
}

// Zeroes the traces of dh/dw, but not h. A frozen cell has none.
template <class T>
void clear_traces(const Cell<T>& cell) {
  if (cell.config.credit == Credit::kFrozen) return;
  clear_weight_traces(cell);
  if (!cell.config.gated()) clear_pole_traces(cell);
  if (cell.G1 != nullptr) zero(cell.G1, unit_vector_size(cell));
  if (cell.G2 != nullptr) zero(cell.G2, unit_vector_size(cell));
  for (int32_t q = 0; q < kMaxUnitParameters; ++q)
    if (cell.unit_trace[q] != nullptr) zero(cell.unit_trace[q], cell.poles);
}

template <class T>
void clear_state(const Cell<T>& cell) {
  zero(cell.h1, unit_vector_size(cell));
  if (cell.h2 != nullptr) zero(cell.h2, unit_vector_size(cell));
}

// First half: applies the pending steps a, computes the next state from input x, and the output y. The parameters of
// poles and units are updated immediately, the weights in the next update() or write_weights(); no further pending step
// can arise before that. `periods` is the step's length in nominal periods.
template <class T>
void predict(const Cell<T>& cell, const T* a, T periods) {
  if (core::kSmall && cell.own_predict != nullptr) return cell.own_predict(cell, a);
  return cell.config.gated() ? predict_gated(cell, a) : predict_rtu(cell, a, periods);
}

// Second half after predict(): eligibilities and traces (kernels.h, learn_linear); then k becomes h. sets[s].norm is
// the block's sum |z|. A frozen cell has neither.
template <class T>
void update(const Cell<T>& cell, bool advance_first, kernels::SetCotangent<T>* sets) {
  if (core::kSmall && cell.own_update != nullptr) return cell.own_update(cell, sets);
  if (cell.config.credit != Credit::kFrozen)
    cell.config.gated() ? update_gated(cell, advance_first, sets) : update_rtu(cell, advance_first, sets);
  advance_state(cell);
}

// predict() and update() in TD order, for callers that do nothing in between: one pass over memory for a linear
// recurrence with one set. Bit-identical to the two calls.
template <class T>
void step(const Cell<T>& cell, const T* a, T periods, kernels::SetCotangent<T>* sets) {
  if (!is_fused(cell)) {
    predict(cell, a, periods);
    return update(cell, false, sets);
  }
  step_rtu(cell, a, periods, sets);
  advance_state(cell);
}

// The cotangent of the cell's own variables from that of its output, dy (config.outputs()) canonical. s2 and e2 are not
// used with gates.
template <class T>
void cotangent(const Cell<T>& cell, const T* s1, const T* s2, const T* dy, T* e1, T* e2) {
  if (core::kSmall && cell.own_cotangent != nullptr) return cell.own_cotangent(s1, s2, dy, e1, e2);
  if (!cell.config.gated()) return cotangent_rtu(cell, s1, s2, dy, e1, e2);
  for (int32_t i = 0; i < cell.config.units(); ++i) e1[i] = dy[i] * s1[i];
}

template <class T>
constexpr kernels::TraceForm trace_form(const Cell<T>& cell) {
  if (cell.config.gated()) return kernels::TraceForm::kReal;
  return is_linear(cell.config.kind) ? kernels::TraceForm::kComplex : kernels::TraceForm::kFour;
}

// Moves the parameters by scale times the gradient whose cotangent is e1, e2, contracted with the traces as they are.
// keep multiplies the weights first; the parameters of poles and units stay (docs/math_action_values.md). For a cell
// that learns.
template <class T>
void descend(const Cell<T>& cell, T keep, T scale, const T* e1, const T* e2) {
  for (int32_t s = 0; s < cell.config.sets; ++s) cell.unwritten[s] *= keep;
  cell.kernels->descend(cell.block, trace_form(cell), keep, scale, e1, e2);
  const T* const re[] = {cell.traces.N1, cell.traces.T1, cell.G1};
  const T* const im[] = {cell.traces.N2, cell.traces.T2, cell.G2};
  const bool gated = cell.config.gated();
  T* before = cell.y1;  // used as scratch memory between two forward passes
  for (int32_t q = 0; q < cell.unit_count; ++q) {
    if (is_phase(cell, q)) memcpy(before, cell.unit[q], static_cast<size_t>(cell.poles) * sizeof(T));
    cell.kernels->descend_units(cell.poles, cell.config.units_per_pole, scale, e1, e2,
                                gated ? cell.unit_trace[q] : re[q], gated ? nullptr : im[q], cell.unit[q]);
    if (is_phase(cell, q)) cell.kernels->hold_phase(cell.poles, before, cell.unit[q]);
  }
}

// Of the newest step, with the state before it held constant: the output's slopes dy/du1, dy/du2, u = W x; (G, P).
template <class T>
void input_slopes(const Cell<T>& cell, T* slope1, T* slope2) {
  const bool gated = cell.config.gated();
  for (int32_t k = 0; k < cell.config.units_per_pole; ++k) {
    for (int32_t p = 0; p < cell.config.poles; ++p) {
      const int32_t at = k * cell.poles + p;
      slope1[at] = gated ? cell.s1[at] * cell.gates.a1[at] : cell.s1[at] * cell.c.gam[p];
      slope2[at] = gated ? cell.s1[at] * cell.gates.a2[at] : cell.s2[at] * cell.c.gam[p];
    }
  }
}

// The cotangents dx (inputs) of the cell's input from those of its output, dy (config.outputs()) canonical, for each of
// `kinds`, with the slopes of input_slopes() and the weights of now. c1, c2 (G, P): scratch.
template <class T>
void input_cotangents(const Cell<T>& cell, int32_t kinds, const T* slope1, const T* slope2, const T* const* dy,
                      T* const* c1, T* const* c2, T* const* dx) {
  const CellConfig& config = cell.config;
  const int32_t n = config.units(), second = config.gated() ? 0 : n;
  for (int32_t kind = 0; kind < kinds; ++kind) {
    for (int32_t i = 0; i < n; ++i) {
      const int32_t at = unit_at(cell, i);
      c1[kind][at] = dy[kind][i] * slope1[at];
      c2[kind][at] = dy[kind][second + i] * slope2[at];
    }
  }
  bool unwritten = false;
  for (int32_t s = 0; s < config.sets; ++s) unwritten |= cell.unwritten[s] != T(0);
  if (unwritten) write_weights(cell);
  cell.kernels->input_backward(cell.block, kinds, c1, c2, dx);
  for (int32_t kind = 0; kind < kinds && config.lru(); ++kind)
    for (int32_t j = 0; j < config.inputs; ++j) dx[kind][j] += dy[kind][2 * n + j];
}

}  // namespace rtu::cells
