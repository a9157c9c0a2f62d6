// The recurrent trace unit (Elelimy et al., NeurIPS 2024, arXiv 2409.01449), linear and nonlinear, trained by exact real-time recurrent
// learning. docs/math.md, 1 and 2; letters in native/kernels/kernels.h.
//
// One step is two halves. predict: the pending weight step is applied on the way, the coefficients are made, the next state k is found
// beside the present one h. learn: eligibilities take the last cotangent through the traces, the traces advance, k becomes h.
#pragma once

#include <stdint.h>
#include <string.h>

#include "native/core/arena.h"
#include "native/core/rng.h"
#include "native/kernels/kernels.h"

namespace rtu::cells {

using core::Builder;
using core::Name;
using core::Section;
using kernels::Activation;
using kernels::kMaxSets;

enum class CellKind : int32_t { none = 0, linear = 1, nonlinear = 2 };

struct RtuConfig {
  CellKind kind = CellKind::linear;
  Activation activation = Activation::relu;
  int32_t inputs = 1;
  int32_t poles = 1;     // m; units n = m G
  int32_t members = 1;   // G, units that share a pole; 1 for the nonlinear RTU
  int32_t sets = 0;      // eligibility sets
  bool moments = false;  // room for Adam
  double r_min = 0.0, r_max = 1.0, max_phase = 6.28;

  constexpr int32_t units() const { return poles * members; }
};

template <class T>
struct Rtu {
  RtuConfig config;
  const kernels::Kernels<T>* kernels;
  int32_t poles;          // padded to whole lanes
  T *nu_log, *theta_log;  // (P)
  kernels::Block<T> block;
  T* moments_w[kMaxSets];  // Adam, per set: make_weight_moments
  T* moments_p[kMaxSets];  // (4, P): m, v of nu_log, m, v of theta_log
  kernels::Coefficients<T> c;
  T* unwritten;  // (kMaxSets) pending steps that predict() used and learn() is to write to W
  T* x;          // (d) the newest input
  T *h1, *h2, *k1, *k2, *u1, *u2, *s1, *s2, *y1, *y2;  // (G, P)
  T* y;                                                // (2n) the output in canonical order
  kernels::UnitTraces<T> traces;
};

// A vector over units, member-major in memory, unit i = p G + k for the reader.
template <class T>
constexpr T* unit_vector(Builder& arena, const RtuConfig& config, const Name& name, bool saved = true) {
  const uint32_t poles = core::padded(static_cast<uint32_t>(config.poles), arena.lanes());
  T* data = arena.room<T>(static_cast<uint64_t>(poles) * static_cast<uint64_t>(config.members));
  Section section;
  section.dtype = core::DTypeOf<T>::value;
  section.saved = saved;
  section.rows = static_cast<uint32_t>(config.units());
  section.cols = 1;
  section.group = static_cast<uint32_t>(config.members);
  section.group_stride = poles;
  arena.describe(name, section, 0);
  return data;
}

// The recurrent block (kernels.h).
template <class T>
constexpr kernels::Block<T> make_block(Builder& arena, const RtuConfig& config, const Name& name) {
  const uint32_t V = arena.lanes();
  const uint32_t d = static_cast<uint32_t>(config.inputs), members = static_cast<uint32_t>(config.members);
  const uint32_t blocks = core::padded(static_cast<uint32_t>(config.poles), V) / V;
  const uint32_t trace_slots = config.kind == CellKind::nonlinear ? 4 : 2;
  const uint32_t weight_slots = 2 + 2 * static_cast<uint32_t>(config.sets);
  const bool one_stream = members == 1;
  const uint32_t step = (trace_slots + weight_slots) * V;
  kernels::Block<T> block{};
  block.blocks = static_cast<int32_t>(blocks);
  block.inputs = config.inputs;
  block.members = config.members;
  block.sets = config.sets;
  block.trace_step = static_cast<int32_t>(one_stream ? step : trace_slots * V);
  block.weight_step = static_cast<int32_t>(one_stream ? step : weight_slots * V);

  Section section;
  section.dtype = core::DTypeOf<T>::value;
  section.matrix = true;
  section.cols = d;
  section.lanes = V;
  const char* const trace_names[2][4] = {{"A1", "A2", "", ""}, {"A1", "A2", "B1", "B2"}};
  block.traces = arena.room<T>(static_cast<uint64_t>(blocks) * d * static_cast<uint32_t>(block.trace_step));
  section.rows = static_cast<uint32_t>(config.poles);
  section.column_stride = static_cast<uint32_t>(block.trace_step);
  section.block_stride = d * section.column_stride;
  for (uint32_t slot = 0; slot < trace_slots; ++slot)
    arena.describe(name.dot("trace").dot(trace_names[trace_slots / 4][slot]), section,
                   static_cast<uint64_t>(slot) * V * sizeof(T));

  uint32_t skip = trace_slots * V;
  block.weights = block.traces == nullptr ? nullptr : block.traces + skip;
  if (!one_stream) {
    skip = 0;
    block.weights =
        arena.room<T>(static_cast<uint64_t>(blocks) * members * d * static_cast<uint32_t>(block.weight_step));
  }
  const char* const weight_names[] = {"W1", "W2", "z0.W1", "z0.W2", "z1.W1", "z1.W2"};
  section.rows = static_cast<uint32_t>(config.units());
  section.group = members;
  section.column_stride = static_cast<uint32_t>(block.weight_step);
  section.group_stride = d * section.column_stride;
  section.block_stride = members * section.group_stride;
  for (uint32_t slot = 0; slot < weight_slots; ++slot)
    arena.describe(name.dot(weight_names[slot]), section, static_cast<uint64_t>(skip + slot * V) * sizeof(T));
  return block;
}

// Adam's first and second moments of W1 and W2 for one set: all m, laid like the weights' slots [W1 V][W2 V], then all v.
template <class T>
constexpr T* make_weight_moments(Builder& arena, const RtuConfig& config, const Name& set) {
  const uint32_t V = arena.lanes(), d = static_cast<uint32_t>(config.inputs),
                 members = static_cast<uint32_t>(config.members);
  const uint64_t half = static_cast<uint64_t>(core::padded(static_cast<uint32_t>(config.poles), V)) * members * d * 2;
  T* data = arena.room<T>(2 * half);
  Section section;
  section.dtype = core::DTypeOf<T>::value;
  section.matrix = true;
  section.rows = static_cast<uint32_t>(config.units());
  section.cols = d;
  section.lanes = V;
  section.group = members;
  section.column_stride = 2 * V;
  section.group_stride = d * section.column_stride;
  section.block_stride = members * section.group_stride;
  const char* const names[] = {"m.W1", "m.W2", "v.W1", "v.W2"};
  for (uint32_t i = 0; i < 4; ++i)
    arena.describe(set.dot(names[i]), section, ((i / 2) * half + (i % 2) * V) * sizeof(T));
  return data;
}

// Lays the cell out, or binds it to memory (Builder).
template <class T>
constexpr Rtu<T> make_rtu(Builder& arena, const RtuConfig& config, const Name& name) {
  Rtu<T> cell{};
  cell.config = config;
  const uint32_t lanes = arena.lanes(), m = static_cast<uint32_t>(config.poles);
  cell.poles = static_cast<int32_t>(core::padded(m, lanes));
  cell.nu_log = arena.vector<T>(name.dot("nu_log"), m);
  cell.theta_log = arena.vector<T>(name.dot("theta_log"), m);
  cell.block = make_block<T>(arena, config, name);
  for (int s = 0; s < config.sets; ++s) {
    const Name set = name.dot(s == 0 ? "z0" : "z1");
    cell.traces.z_nu[s] = arena.vector<T>(set.dot("nu_log"), m);
    cell.traces.z_theta[s] = arena.vector<T>(set.dot("theta_log"), m);
    if (!config.moments) continue;
    cell.moments_w[s] = make_weight_moments<T>(arena, config, set);
    cell.moments_p[s] = arena.room<T>(4 * static_cast<uint64_t>(cell.poles));
    const char* const names[] = {"m.nu_log", "v.nu_log", "m.theta_log", "v.theta_log"};
    Section section;
    section.dtype = core::DTypeOf<T>::value;
    section.rows = m;
    section.cols = 1;
    for (uint32_t i = 0; i < 4; ++i)
      arena.describe(set.dot(names[i]), section,
                     static_cast<uint64_t>(i) * static_cast<uint32_t>(cell.poles) * sizeof(T));
  }
  cell.traces.N1 = unit_vector<T>(arena, config, name.dot("trace.N1"));
  cell.traces.N2 = unit_vector<T>(arena, config, name.dot("trace.N2"));
  cell.traces.T1 = unit_vector<T>(arena, config, name.dot("trace.T1"));
  cell.traces.T2 = unit_vector<T>(arena, config, name.dot("trace.T2"));
  cell.h1 = unit_vector<T>(arena, config, name.dot("h1"));
  cell.h2 = unit_vector<T>(arena, config, name.dot("h2"));
  // The step under way, kept so that a checkpoint may fall between its halves.
  cell.k1 = unit_vector<T>(arena, config, name.dot("step.k1"));
  cell.k2 = unit_vector<T>(arena, config, name.dot("step.k2"));
  cell.u1 = unit_vector<T>(arena, config, name.dot("step.u1"));
  cell.u2 = unit_vector<T>(arena, config, name.dot("step.u2"));
  cell.s1 = unit_vector<T>(arena, config, name.dot("step.s1"));
  cell.s2 = unit_vector<T>(arena, config, name.dot("step.s2"));
  cell.x = arena.vector<T>(name.dot("step.x"), static_cast<uint32_t>(config.inputs));
  cell.y = arena.vector<T>(name.dot("step.y"), 2 * static_cast<uint32_t>(config.units()));
  cell.c.nu = arena.vector<T>(name.dot("step.nu"), m);
  cell.c.theta = arena.vector<T>(name.dot("step.theta"), m);
  cell.c.g = arena.vector<T>(name.dot("step.g"), m);
  cell.c.phi = arena.vector<T>(name.dot("step.phi"), m);
  cell.c.gam = arena.vector<T>(name.dot("step.gam"), m);
  cell.c.dgam = arena.vector<T>(name.dot("step.dgam"), m);
  cell.y1 = unit_vector<T>(arena, config, name.dot("scratch.y1"), false);
  cell.y2 = unit_vector<T>(arena, config, name.dot("scratch.y2"), false);
  cell.unwritten =
      arena.vector<T>(name.dot("scratch.unwritten"), kMaxSets, false);  // 0 in a checkpoint: apply_pending()
  return cell;
}

// Element (i, j) of W1 or W2: `half` 0 or 1; of an eligibility set's: half 2, 3 (first set), 4, 5.
template <class T>
inline T& weight_at(const Rtu<T>& cell, int32_t half, int32_t i, int32_t j) {
  const int32_t V = cell.kernels->lanes, p = i / cell.config.members, k = i % cell.config.members;
  const int64_t row = static_cast<int64_t>(p / V) * cell.config.members + k;
  return cell.block.weights[(row * cell.block.inputs + j) * cell.block.weight_step + half * V + p % V];
}

// Element (i, j) of a trace: slot 0 to 3 in the order A1, A2, B1, B2.
template <class T>
inline T& trace_at(const Rtu<T>& cell, int32_t slot, int32_t pole, int32_t j) {
  const int32_t V = cell.kernels->lanes;
  return cell.block
      .traces[(static_cast<int64_t>(pole / V) * cell.block.inputs + j) * cell.block.trace_step + slot * V + pole % V];
}

// Where unit i of the canonical order stands in a vector over units.
template <class T>
inline int32_t unit_at(const Rtu<T>& cell, int32_t i) {
  return i % cell.config.members * cell.poles + i / cell.config.members;
}

// Draws parameters (math.md, 1). Poles at the start: retention in (r_min, r_max), phase in (0, max_phase); W LeCun normal, cut at two deviations.
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

// Zeroes the traces of dh/dw, but not h.
template <class T>
void clear_traces(const Rtu<T>& cell) {
  const int64_t units = static_cast<int64_t>(cell.poles) * cell.config.members;
  zero(cell.traces.N1, units);
  zero(cell.traces.N2, units);
  zero(cell.traces.T1, units);
  zero(cell.traces.T2, units);
  const int64_t slots = (cell.config.kind == CellKind::nonlinear ? 4 : 2) * cell.kernels->lanes;
  for (int64_t at = 0; at < static_cast<int64_t>(cell.block.blocks) * cell.block.inputs; ++at)
    zero(cell.block.traces + at * cell.block.trace_step, slots);
}

template <class T>
void clear_eligibilities(const Rtu<T>& cell) {
  const int64_t rows = static_cast<int64_t>(cell.block.blocks) * cell.config.members * cell.block.inputs;
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
  const int64_t units = static_cast<int64_t>(cell.poles) * cell.config.members;
  zero(cell.h1, units);
  zero(cell.h2, units);
}

// Moves nu_log and theta_log by the pending steps a (one per set; 0 moves nothing).
template <class T>
void move_poles(const Rtu<T>& cell, const T* a) {
  for (int s = 0; s < cell.config.sets; ++s) {
    if (a[s] == T(0)) continue;
    cell.kernels->add(cell.poles, a[s], cell.traces.z_nu[s], cell.nu_log);
    cell.kernels->add(cell.poles, a[s], cell.traces.z_theta[s], cell.theta_log);
  }
}

// What predict() has left to learn(), at once.
template <class T>
void write_weights(const Rtu<T>& cell) {
  cell.kernels->apply(cell.block, cell.unwritten);
  zero(cell.unwritten, kMaxSets);
}

// The pending steps without a state step.
template <class T>
void apply_pending(const Rtu<T>& cell, const T* a) {
  write_weights(cell);
  move_poles(cell, a);
  cell.kernels->apply(cell.block, a);
}

// The next state k from h and u = W x, and the output y in canonical order.
template <class T>
void find_state(const Rtu<T>& cell) {
  const RtuConfig& config = cell.config;
  cell.kernels->state(cell.poles, config.members, config.kind == CellKind::linear, config.activation, cell.c, cell.h1,
                      cell.h2, cell.u1, cell.u2, cell.k1, cell.k2, cell.y1, cell.y2, cell.s1, cell.s2);
  const int32_t n = config.units();
  if (config.members == 1) {
    memcpy(cell.y, cell.y1, static_cast<size_t>(n) * sizeof(T));
    memcpy(cell.y + n, cell.y2, static_cast<size_t>(n) * sizeof(T));
    return;
  }
  int32_t i = 0;
  for (int32_t p = 0; p < config.poles; ++p) {  // unit_at() in order, without its divisions
    for (int32_t k = 0; k < config.members; ++k, ++i) {
      cell.y[i] = cell.y1[k * cell.poles + p];
      cell.y[n + i] = cell.y2[k * cell.poles + p];
    }
  }
}

// k becomes h. By itself it ends an evaluation step: the state moves on, the traces do not.
template <class T>
void advance_state(const Rtu<T>& cell) {
  const size_t bytes = static_cast<size_t>(cell.poles) * static_cast<size_t>(cell.config.members) * sizeof(T);
  memcpy(cell.h1, cell.k1, bytes);
  memcpy(cell.h2, cell.k2, bytes);
}

// First half: takes the pending steps a, finds the next state from input x, and the output y. Poles move at once, W when learn() or
// write_weights() comes by; no pending step can come before that. `periods` is the step's length in nominal periods.
template <class T>
void predict(const Rtu<T>& cell, const T* a, T periods) {
  move_poles(cell, a);
  cell.kernels->coefficients(cell.poles, cell.nu_log, cell.theta_log, periods, cell.c);
  for (int s = 0; s < cell.config.sets; ++s)
    if (a[s] != T(0)) cell.unwritten[s] = a[s];
  cell.kernels->forward(cell.block, cell.unwritten, cell.x, cell.u1, cell.u2);
  find_state(cell);
}

// The poles' part of the second half, and the end of the step.
template <class T>
void learn_poles(const Rtu<T>& cell, bool advance_first, kernels::SetCotangent<T>* sets) {
  const bool linear = cell.config.kind == CellKind::linear;
  cell.kernels->learn_units(cell.poles, cell.config.members, cell.config.sets, advance_first, cell.c, cell.h1, cell.h2,
                            cell.u1, cell.u2, linear ? nullptr : cell.s1, linear ? nullptr : cell.s2, cell.traces,
                            sets);
  advance_state(cell);
}

// Second half after predict(): eligibilities and traces (kernels.h, learn_linear); then k becomes h. sets[s].norm is
// the block's sum |z|.
template <class T>
void learn(const Rtu<T>& cell, bool advance_first, kernels::SetCotangent<T>* sets) {
  if (cell.config.kind == CellKind::linear)
    cell.kernels->learn_linear(cell.block, cell.unwritten, advance_first, cell.c, cell.x, sets);
  else
    cell.kernels->learn_nonlinear(cell.block, cell.unwritten, advance_first, cell.c, cell.x, cell.s1, cell.s2, sets);
  zero(cell.unwritten, cell.config.sets);
  learn_poles(cell, advance_first, sets);
}

// predict() and learn() in TD order, where nothing has to happen between them: in one pass over memory for the linear
// RTU with one set. The same bits.
template <class T>
void step(const Rtu<T>& cell, const T* a, T periods, kernels::SetCotangent<T>* sets) {
  if (cell.config.kind != CellKind::linear || cell.config.sets != 1) {
    predict(cell, a, periods);
    learn(cell, false, sets);
    return;
  }
  move_poles(cell, a);
  cell.kernels->coefficients(cell.poles, cell.nu_log, cell.theta_log, periods, cell.c);
  cell.kernels->step_linear(cell.block, a, cell.c, cell.x, cell.u1, cell.u2, sets);
  find_state(cell);
  learn_poles(cell, false, sets);
}

// The cotangent of the cell's own variables from that of its output, dy (2n) canonical: e1, e2 (G, P).
template <class T>
void cotangent(const Rtu<T>& cell, const T* s1, const T* s2, const T* dy, T* e1, T* e2) {
  const int32_t n = cell.config.units();
  const bool linear = cell.config.kind == CellKind::linear;
  for (int32_t k = 0; k < cell.config.members; ++k) {
    for (int32_t p = 0; p < cell.config.poles; ++p) {
      const int32_t i = p * cell.config.members + k, at = k * cell.poles + p;
      e1[at] = linear ? dy[i] * s1[at] : dy[i];
      e2[at] = linear ? dy[n + i] * s2[at] : dy[n + i];
    }
  }
}

// One set's Adam step over all parameters of the cell.
template <class T>
void adam(const Rtu<T>& cell, int32_t s, const kernels::AdamStep<T>& step) {
  const kernels::Kernels<T>& kernel = *cell.kernels;
  const int32_t V = kernel.lanes, rows = cell.block.blocks * cell.config.members * cell.block.inputs;
  T* z = cell.block.weights + (2 + 2 * s) * V;
  kernel.adam(rows, 2 * V, cell.block.weight_step, 2 * V, step, cell.block.weights, z, cell.moments_w[s],
              cell.moments_w[s] + static_cast<int64_t>(rows) * 2 * V);
  T* moments = cell.moments_p[s];
  kernel.adam(1, cell.poles, 0, 0, step, cell.nu_log, cell.traces.z_nu[s], moments, moments + cell.poles);
  kernel.adam(1, cell.poles, 0, 0, step, cell.theta_log, cell.traces.z_theta[s], moments + 2 * cell.poles,
              moments + 3 * cell.poles);
}

// Gradient of this step's loss for every parameter, through the traces as they stand, into canonical arrays: nu_log, theta_log (m), W1, W2 (n, d).
// dy is the cotangent of the newest output. Slow and plain; the learners contract in the kernel instead.
template <class T>
void gradient(const Rtu<T>& cell, const T* dy, T* nu_log, T* theta_log, T* W1, T* W2) {
  const RtuConfig& config = cell.config;
  const int32_t n = config.units(), d = config.inputs;
  const bool linear = config.kind == CellKind::linear;
  for (int32_t p = 0; p < config.poles; ++p) nu_log[p] = theta_log[p] = T(0);
  for (int32_t i = 0; i < n; ++i) {
    const int32_t p = i / config.members, at = unit_at(cell, i);
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
    const int32_t p = i / cell.config.members, at = unit_at(cell, i);
    const T c1 = cell.c.gam[p] * cell.s1[at] * dy[i], c2 = cell.c.gam[p] * cell.s2[at] * dy[n + i];
    for (int32_t j = 0; j < d; ++j) dx[j] += weight_at(cell, 0, i, j) * c1 + weight_at(cell, 1, i, j) * c2;
  }
}

}  // namespace rtu::cells
