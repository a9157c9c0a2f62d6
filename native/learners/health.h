// Finiteness check of a learner's step. It tests the intermediate results of each half of a step, so that a NaN or an
// infinity anywhere in the learner's state is found in the tick that first computes with it, without a pass over the
// weights.
//
//   a weight, a pending step       u = W x, pre, y of predict()
//   h                              k, y
//   a trace, an eligibility,
//   a kept cotangent               norm = sum |z| of update(): each enters its z, and NaN * 0 is NaN
//   the normalisers                checked themselves (an infinite m2 makes a finite input)
//   an Adam moment                 the weights, so the next predict(); or the learner monitor's scan
#pragma once

#include <string.h>

#include "native/learners/stream_ac.h"

namespace rtu::learners {

// Compares the largest exponent, in integers, so that the compiler can vectorise it.
inline bool finite_block(const float* x, uint64_t n) {
  uint32_t worst = 0;
  for (uint64_t i = 0; i < n; ++i) {
    uint32_t bits = 0;
    memcpy(&bits, x + i, sizeof bits);
    bits &= 0x7fffffffu;
    worst = bits > worst ? bits : worst;
  }
  return worst < 0x7f800000u;
}

inline bool finite_block(const double* x, uint64_t n) {
  uint64_t worst = 0;
  for (uint64_t i = 0; i < n; ++i) {
    const uint64_t bits = core::bits_of(x[i]) & 0x7fffffffffffffffull;
    worst = bits > worst ? bits : worst;
  }
  return worst < 0x7ff0000000000000ull;
}

template <class T>
bool healthy(const Normalizer<T>& normalizer) {
  return finite_block(normalizer.mean, 4 * static_cast<uint64_t>(normalizer.size));  // mean, mean_low, m2, m2_low
}

template <class T>
bool healthy(const Network<T>& net) {
  const cells::Cell<T>& cell = net.cell;
  if (net.config.cell.kind != CellKind::kNone) {
    const uint64_t poles = static_cast<uint64_t>(cell.poles);
    const uint64_t units = poles * static_cast<uint64_t>(cell.config.units_per_pole);
    const T* const over_units[] = {cell.h1, cell.h2, cell.k1, cell.k2, cell.u1, cell.u2};
    for (const T* vector : over_units)
      if (vector != nullptr && !finite_block(vector, units)) return false;
    for (int32_t q = 0; q < cell.unit_count; ++q)
      if (!finite_block(cell.unit[q], poles)) return false;
  }
  for (int l = 0; l < net.config.depth(); ++l)
    if (!finite_block(net.layer[l].pre, static_cast<uint64_t>(net.config.width(l)))) return false;
  for (int h = 0; h < net.config.heads; ++h)
    if (!finite_block(net.head[h].y, static_cast<uint64_t>(net.config.head[h].outputs))) return false;
  return finite_block(net.pending, static_cast<uint64_t>(net.config.heads));
}

template <class T>
bool healthy_noise(const StreamAc<T>& agent) {
  const uint64_t width = static_cast<uint64_t>(agent.config.policy.width());
  return agent.shift == nullptr || (finite_block(agent.shift, width) && finite_block(agent.shift_before, width) &&
                                    finite_block(agent.shift_next, width));
}

// Also false when the step's flags or the random generator's increment (odd) have a value that the code never writes.
template <class T>
bool healthy(const StreamAc<T>& agent) {
  const uint64_t width = static_cast<uint64_t>(agent.config.policy.width());
  const float step[] = {agent.info->value, agent.info->delta, agent.info->norm};
  for (int i = 0; i < agent.nets; ++i)
    if (!healthy(agent.net[i])) return false;
  return healthy(agent.observation) && healthy(agent.reward) && finite_block(agent.scalars, kScalars) &&
         (agent.correction == nullptr || finite_block(agent.correction, kCorrections)) &&
         finite_block(agent.action, width) && finite_block(agent.before, width) && healthy_noise(agent) &&
         finite_block(step, 3) && agent.counters[kPhase] <= static_cast<uint64_t>(Phase::kPredicted) &&
         agent.counters[kFirst] <= 1 && agent.counters[kTracesStale] <= 1 && agent.counters[kDeviated] <= 1 &&
         agent.counters[kDeviatedBefore] <= 1 && agent.counters[kDeviatedLast] <= 1 && (agent.rng.words[1] & 1u) == 1;
}

}  // namespace rtu::learners
