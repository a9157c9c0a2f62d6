// The recurrent cell in memory: its arrays, their layout, and the index of an element. Letters:
// native/kernels/kernels.h.
#pragma once

#include <stdint.h>
#include <string.h>

#include "native/core/arena.h"
#include "native/core/rng.h"
#include "native/core/small.h"
#include "native/kernels/kernels.h"

namespace rtu::cells {

using core::Builder;
using core::Name;
using core::Section;
using kernels::Activation;
using kernels::kMaxSets;

enum class CellKind : int32_t { kNone = 0, kLinear = 1, kNonlinear = 2, kMinGru = 3, kLru = 4, kElstm = 5 };

// How the recurrent parameters learn (docs/math_learners.md, 4, Credit): by exact real-time recurrent learning; by the
// gradient of one step through the cell, with the state before it held constant; not at all.
enum class Credit : int32_t { kRtrl = 0, kTbptt1 = 1, kFrozen = 2 };

constexpr int32_t kMaxUnitParameters = 4;

struct CellConfig {
  CellKind kind = CellKind::kLinear;
  Credit credit = Credit::kRtrl;
  Activation activation = Activation::kRelu;
  int32_t inputs = 1;
  int32_t poles = 1;           // m; units n = m G
  int32_t units_per_pole = 1;  // G, units that share a pole; 1 for the nonlinear RTU and cells with gates
  int32_t sets = 0;            // eligibility sets
  bool moments = false;        // reserve Adam's moments
  double r_min = 0.0, r_max = 1.0, max_phase = 6.28;

  constexpr int32_t units() const { return poles * units_per_pole; }
  constexpr bool learns() const { return kind != CellKind::kNone && credit != Credit::kFrozen; }
  constexpr bool gated() const {  // gated.h
    return !core::kSmall && (kind == CellKind::kMinGru || kind == CellKind::kElstm);
  }
  constexpr bool lru() const { return !core::kSmall && kind == CellKind::kLru; }
  // Width of the output y: one number per unit with gates, the two parts of a complex unit otherwise; the LRU's input
  // follows them, for its direct term D x.
  constexpr int32_t outputs() const { return gated() ? units() : 2 * units() + (lru() ? inputs : 0); }
};

// One recurrent cell of any kind.
template <class T>
struct Cell {
  CellConfig config;
  const kernels::Kernels<T>* kernels;
  int32_t poles;       // padded to whole lanes; with gates: units
  int32_t unit_count;  // parameters per pole or unit: nu_log, theta_log (LRU: gamma_log); biases (eLSTM: peepholes)
  T* unit[kMaxUnitParameters];  // each (P)
  T* unit_z[kMaxSets][kMaxUnitParameters];
  T *nu_log, *theta_log;  // unit[0], unit[1] of a cell with poles
  kernels::Block<T> block;
  T* moments_w[kMaxSets];  // Adam, per set: make_weight_moments
  T* moments_p[kMaxSets];  // (2 unit_count, P): m, v of unit[0], m, v of unit[1] ...
  kernels::Coefficients<T> c;
  kernels::Coefficients<T> carry;  // kTbptt1: c with g = phi = 0, so that W's traces carry nothing from step to step
  T* unwritten;                    // (kMaxSets) pending steps that predict() used and update() will write to W
  T* x;                            // (d) the newest input
  T *h1, *h2, *k1, *k2, *u1, *u2, *s1, *s2, *y1, *y2;  // (G, P)
  T* y;                                                // (config.outputs()) the output in canonical order
  kernels::UnitTraces<T> traces;
  T *G1, *G2;               // (G, P) LRU: dh/dgamma_log
  kernels::Gates<T> gates;  // gates: of the newest step
  // Firmware: both halves of a step for this cell's sizes (device_halves.inl.h); null: the kernels.
  void (*own_predict)(const Cell& cell, const T* a);
  void (*own_update)(const Cell& cell, kernels::SetCotangent<T>* sets);
  void (*own_cotangent)(const T* s1, const T* s2, const T* dy, T* e1, T* e2);
  T* unit_trace[kMaxUnitParameters];  // gates: (P) dh/dunit[q]
};

// The names of the cells with poles.
template <class T>
using Rtu = Cell<T>;
using RtuConfig = CellConfig;

template <class T>
void zero(T* data, int64_t n) {
  memset(data, 0, static_cast<size_t>(n) * sizeof(T));
}

// Names of the two weight matrices.
constexpr const char* weight_name(CellKind kind, uint32_t half) {
  const char* const names[][2] = {{"W1", "W2"}, {"Wu", "Wh"}, {"Br", "Bi"}, {"Z", "F"}};
  return names[kind == CellKind::kMinGru ? 1 : kind == CellKind::kLru ? 2 : kind == CellKind::kElstm ? 3 : 0][half];
}

// Parameters per pole or unit: how many, and the name of each.
constexpr int32_t unit_parameters(CellKind kind) {
  return kind == CellKind::kElstm ? 4 : kind == CellKind::kLru ? 3 : 2;
}
constexpr const char* unit_name(CellKind kind, int32_t q) {
  const char* const names[][kMaxUnitParameters] = {
      {"nu_log", "theta_log", "gamma_log", ""}, {"bu", "bh", "", ""}, {"bz", "bf", "wz", "wf"}};
  return names[kind == CellKind::kMinGru ? 1 : kind == CellKind::kElstm ? 2 : 0][q];
}

// True for the last part of a section's name where it is one of these.
inline bool is_parameter(const char* name) {
  constexpr CellKind kinds[] = {CellKind::kLinear, CellKind::kMinGru, CellKind::kLru, CellKind::kElstm};
  for (const CellKind kind : kinds) {
    for (uint32_t half = 0; half < 2; ++half)
      if (strcmp(name, weight_name(kind, half)) == 0) return true;
    for (int32_t q = 0; q < unit_parameters(kind); ++q)
      if (strcmp(name, unit_name(kind, q)) == 0) return true;
  }
  return false;
}

// A vector over units, member-major in memory, unit i = p G + k in canonical order.
template <class T>
constexpr T* unit_vector(Builder& arena, const CellConfig& config, const Name& name, bool saved = true) {
  const uint32_t poles = core::padded(static_cast<uint32_t>(config.poles), arena.lanes());
  T* data = arena.reserve<T>(static_cast<uint64_t>(poles) * static_cast<uint64_t>(config.units_per_pole));
  Section section;
  section.dtype = core::DTypeOf<T>::value;
  section.saved = saved;
  section.rows = static_cast<uint32_t>(config.units());
  section.cols = 1;
  section.group = static_cast<uint32_t>(config.units_per_pole);
  section.group_stride = poles;
  arena.describe(name, section, 0);
  return data;
}

// The recurrent block (kernels.h).
template <class T>
constexpr kernels::Block<T> make_block(Builder& arena, const RtuConfig& config, const Name& name) {
  const uint32_t V = arena.lanes();
  const uint32_t d = static_cast<uint32_t>(config.inputs),
                 units_per_pole = static_cast<uint32_t>(config.units_per_pole);
  const uint32_t blocks = core::padded(static_cast<uint32_t>(config.poles), V) / V;
  const uint32_t trace_slots = config.credit == Credit::kFrozen ? 0 : config.kind == CellKind::kNonlinear ? 4 : 2;
  const uint32_t weight_slots = 2 + 2 * static_cast<uint32_t>(config.sets);
  kernels::Block<T> block{};
  block.blocks = static_cast<int32_t>(blocks);
  block.inputs = config.inputs;
  block.units_per_pole = config.units_per_pole;
  block.sets = config.sets;
  block.trace_step = static_cast<int32_t>(trace_slots * V);
  block.weight_step = static_cast<int32_t>(weight_slots * V);

  Section section;
  section.dtype = core::DTypeOf<T>::value;
  section.matrix = true;
  section.cols = d;
  section.lanes = V;
  const char* const trace_names[][4] = {{"A1", "A2", "", ""}, {"A1", "A2", "B1", "B2"}, {"S1", "S2", "", ""}};
  block.traces = arena.reserve<T>(static_cast<uint64_t>(blocks) * d * static_cast<uint32_t>(block.trace_step));
  section.rows = static_cast<uint32_t>(config.poles);
  section.column_stride = static_cast<uint32_t>(block.trace_step);
  section.block_stride = d * section.column_stride;
  const uint32_t names = config.gated() ? 2 : trace_slots / 4;
  for (uint32_t slot = 0; slot < trace_slots; ++slot)
    arena.describe(name.dot("trace").dot(trace_names[names][slot]), section,
                   static_cast<uint64_t>(slot) * V * sizeof(T));

  block.weights =
      arena.reserve<T>(static_cast<uint64_t>(blocks) * units_per_pole * d * static_cast<uint32_t>(block.weight_step));
  const Name owners[] = {name, name.dot("z0"), name.dot("z1")};
  section.rows = static_cast<uint32_t>(config.units());
  section.group = units_per_pole;
  section.column_stride = static_cast<uint32_t>(block.weight_step);
  section.group_stride = d * section.column_stride;
  section.block_stride = units_per_pole * section.group_stride;
  for (uint32_t slot = 0; slot < weight_slots; ++slot)
    arena.describe(owners[slot / 2].dot(weight_name(config.kind, slot % 2)), section,
                   static_cast<uint64_t>(slot) * V * sizeof(T));
  return block;
}

// Adam's first and second moments of W1 and W2 for one set: all m, in the layout of the weights' slots [W1 V][W2 V],
// then all v.
template <class T>
constexpr T* make_weight_moments(Builder& arena, const RtuConfig& config, const Name& set) {
  const uint32_t V = arena.lanes(), d = static_cast<uint32_t>(config.inputs),
                 units_per_pole = static_cast<uint32_t>(config.units_per_pole);
  const uint64_t half =
      static_cast<uint64_t>(core::padded(static_cast<uint32_t>(config.poles), V)) * units_per_pole * d * 2;
  T* data = arena.reserve<T>(2 * half);
  Section section;
  section.dtype = core::DTypeOf<T>::value;
  section.matrix = true;
  section.rows = static_cast<uint32_t>(config.units());
  section.cols = d;
  section.lanes = V;
  section.group = units_per_pole;
  section.column_stride = 2 * V;
  section.group_stride = d * section.column_stride;
  section.block_stride = units_per_pole * section.group_stride;
  for (uint32_t i = 0; i < 4; ++i)
    arena.describe(set.dot(i < 2 ? "m" : "v").dot(weight_name(config.kind, i % 2)), section,
                   ((i / 2) * half + (i % 2) * V) * sizeof(T));
  return data;
}

// Weights, parameters per pole or unit, and per set their eligibilities and Adam's moments.
template <class T>
constexpr void make_parameters(Builder& arena, Cell<T>& cell, const Name& name) {
  const CellConfig& config = cell.config;
  const uint32_t m = static_cast<uint32_t>(config.poles), poles = static_cast<uint32_t>(cell.poles);
  cell.unit_count = unit_parameters(config.kind);
  for (int32_t q = 0; q < cell.unit_count; ++q) cell.unit[q] = arena.vector<T>(name.dot(unit_name(config.kind, q)), m);
  cell.block = make_block<T>(arena, config, name);
  for (int s = 0; s < config.sets; ++s) {
    const Name set = name.dot(s == 0 ? "z0" : "z1");
    for (int32_t q = 0; q < cell.unit_count; ++q)
      cell.unit_z[s][q] = arena.vector<T>(set.dot(unit_name(config.kind, q)), m);
    if (!config.moments) continue;
    cell.moments_w[s] = make_weight_moments<T>(arena, config, set);
    cell.moments_p[s] = arena.reserve<T>(2 * static_cast<uint64_t>(cell.unit_count) * poles);
    Section section;
    section.dtype = core::DTypeOf<T>::value;
    section.rows = m;
    section.cols = 1;
    for (int32_t i = 0; i < 2 * cell.unit_count; ++i)
      arena.describe(set.dot(i % 2 == 0 ? "m" : "v").dot(unit_name(config.kind, i / 2)), section,
                     static_cast<uint64_t>(i) * poles * sizeof(T));
  }
}

// Lays a cell with poles out, or binds it to memory (Builder).
template <class T>
constexpr Rtu<T> make_rtu(Builder& arena, const RtuConfig& config, const Name& name) {
  Rtu<T> cell{};
  cell.config = config;
  const uint32_t lanes = arena.lanes(), m = static_cast<uint32_t>(config.poles);
  cell.poles = static_cast<int32_t>(core::padded(m, lanes));
  make_parameters(arena, cell, name);
  cell.nu_log = cell.unit[0];
  cell.theta_log = cell.unit[1];
  for (int s = 0; s < config.sets; ++s) {
    cell.traces.z_nu[s] = cell.unit_z[s][0];
    cell.traces.z_theta[s] = cell.unit_z[s][1];
  }
  if (config.credit != Credit::kFrozen) {
    cell.traces.N1 = unit_vector<T>(arena, config, name.dot("trace.N1"));
    cell.traces.N2 = unit_vector<T>(arena, config, name.dot("trace.N2"));
    cell.traces.T1 = unit_vector<T>(arena, config, name.dot("trace.T1"));
    cell.traces.T2 = unit_vector<T>(arena, config, name.dot("trace.T2"));
    if (config.lru()) {
      cell.G1 = unit_vector<T>(arena, config, name.dot("trace.G1"));
      cell.G2 = unit_vector<T>(arena, config, name.dot("trace.G2"));
    }
  }
  cell.h1 = unit_vector<T>(arena, config, name.dot("h1"));
  cell.h2 = unit_vector<T>(arena, config, name.dot("h2"));
  // State of the current step, so that a checkpoint can be taken between its halves.
  cell.k1 = unit_vector<T>(arena, config, name.dot("step.k1"));
  cell.k2 = unit_vector<T>(arena, config, name.dot("step.k2"));
  cell.u1 = unit_vector<T>(arena, config, name.dot("step.u1"));
  cell.u2 = unit_vector<T>(arena, config, name.dot("step.u2"));
  cell.s1 = unit_vector<T>(arena, config, name.dot("step.s1"));
  cell.s2 = unit_vector<T>(arena, config, name.dot("step.s2"));
  cell.x = arena.vector<T>(name.dot("step.x"), static_cast<uint32_t>(config.inputs));
  cell.y = arena.vector<T>(name.dot("step.y"), static_cast<uint32_t>(config.outputs()));
  cell.c.nu = arena.vector<T>(name.dot("step.nu"), m);
  cell.c.theta = arena.vector<T>(name.dot("step.theta"), m);
  cell.c.g = arena.vector<T>(name.dot("step.g"), m);
  cell.c.phi = arena.vector<T>(name.dot("step.phi"), m);
  cell.c.gam = arena.vector<T>(name.dot("step.gam"), m);
  cell.c.dgam = arena.vector<T>(name.dot("step.dgam"), m);
  if (arena.packed() && config.units_per_pole == 1 && !config.moments) {
    cell.y1 = cell.y;  // its two halves, in canonical order at once
    cell.y2 = cell.y == nullptr ? nullptr : cell.y + m;
  } else {
    cell.y1 = unit_vector<T>(arena, config, name.dot("scratch.y1"), false);
    cell.y2 = unit_vector<T>(arena, config, name.dot("scratch.y2"), false);
  }
  if (config.credit == Credit::kTbptt1) {
    cell.carry = cell.c;
    cell.carry.g = cell.carry.phi = arena.reserve<T>(static_cast<uint64_t>(cell.poles));
  }
  cell.unwritten =
      arena.vector<T>(name.dot("scratch.unwritten"), kMaxSets, false);  // 0 in a checkpoint: apply_pending()
  return cell;
}

// Element (i, j) of W1 or W2: `half` 0 or 1; of an eligibility set's: half 2, 3 (first set), 4, 5.
template <class T>
inline T& weight_at(const Rtu<T>& cell, int32_t half, int32_t i, int32_t j) {
  const int32_t V = cell.kernels->lanes, p = i / cell.config.units_per_pole, k = i % cell.config.units_per_pole;
  const int64_t row = static_cast<int64_t>(p / V) * cell.config.units_per_pole + k;
  return cell.block.weights[(row * cell.block.inputs + j) * cell.block.weight_step + half * V + p % V];
}

// LeCun normal, cut at two deviations and scaled to `variance` / d.
template <class T>
void init_weights(const Cell<T>& cell, double variance, core::Rng rng) {
  // A normal cut at two deviations has deviation 0.8796; divided out.
  const double scale =
      core::square_root(variance) / (0.87962566103423978 * core::square_root(static_cast<double>(cell.config.inputs)));
  for (int32_t half = 0; half < 2; ++half)
    for (int32_t i = 0; i < cell.config.units(); ++i)
      for (int32_t j = 0; j < cell.config.inputs; ++j)
        weight_at(cell, half, i, j) = static_cast<T>(scale * core::truncated_normal(rng));
}

// Element (i, j) of a trace: slot 0 to 3 in the order A1, A2, B1, B2.
template <class T>
inline T& trace_at(const Rtu<T>& cell, int32_t slot, int32_t pole, int32_t j) {
  const int32_t V = cell.kernels->lanes;
  return cell.block
      .traces[(static_cast<int64_t>(pole / V) * cell.block.inputs + j) * cell.block.trace_step + slot * V + pole % V];
}

// Index in a vector over units of unit i in canonical order.
template <class T>
inline int32_t unit_at(const Rtu<T>& cell, int32_t i) {
  return i % cell.config.units_per_pole * cell.poles + i / cell.config.units_per_pole;
}

}  // namespace rtu::cells
