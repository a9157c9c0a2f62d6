// The learner monitor: watches a learner's state from outside, keeps snapshots of it, and rolls it back to a validated
// one. A step's checks are inspect_action() after predict(), inspect_state() and inspect_delta() after update(), then
// age_snapshots() if all passed, otherwise roll_back(). monitor_windows.h has the part that every learner runs itself,
// without a supervisor.
#pragma once

#include "native/learners/monitor_normalizers.h"
#include "native/learners/monitor_snapshots.h"

namespace rtu::learners {

constexpr double kTdDecay = 1.0 / 1000;  // of the running mean of |delta|
constexpr double kTdWinsor = 10;         // cap of |delta| in the mean: an outlier does not hide the next one

// memory: monitor_bytes(), supplied by the caller. False when the state is not finite: there is nothing to roll back
// to.
inline bool make_monitor(LearnerMonitor& monitor, const MonitorConfig& config, const core::SectionTable& table,
                         unsigned char* state, uint64_t bytes, unsigned char* memory) {
  monitor = LearnerMonitor{};
  monitor.config = config;
  monitor.table = &table;
  monitor.state = state;
  monitor.bytes = bytes;
  monitor.slots = memory;
  if (!finite_state(table, state)) return false;
  copy_state(memory, state, bytes);
  monitor.memory.n_validated = 1;
  // A learner that starts with poles beyond the cap may keep them; the check fails when one moves further.
  const double cap = config.retention < 1 ? core::logarithm(-core::logarithm(config.retention)) : -1e300;
  const double start = lowest_nu_log(monitor) - 1.0;
  monitor.memory.lowest_nu_log = start < cap ? start : cap;
  return true;
}

// Checks the state; returns MonitorTrigger bits.
inline uint32_t inspect_state(LearnerMonitor& monitor) {
  if (!scan(monitor)) return kTriggerNonFinite;
  uint32_t found = 0;
  if (monitor.config.weight_change > 0 && !untrained(monitor) && !compare_weights(monitor)) found |= kTriggerWeights;
  if (!plausible_normalizers(monitor)) found |= kTriggerNormalizer;
  if (monitor.config.retention < 1 && lowest_nu_log(monitor) < monitor.memory.lowest_nu_log) found |= kTriggerRetention;
  return found;
}

// Checks the TD error of a transition that did not terminate: at the end of an episode, delta is as large as the value
// itself.
inline uint32_t inspect_delta(LearnerMonitor& monitor, double delta) {
  MonitorMemory& memory = monitor.memory;
  const double size = core::absolute(delta);
  if (monitor.config.td_error > 0 && memory.td_count >= monitor.config.td_warmup &&
      !(size <= monitor.config.td_error * memory.td_scale))
    return kTriggerTdError;
  ++memory.td_count;
  const double n = static_cast<double>(memory.td_count);
  const double weight = 1.0 / n > kTdDecay ? 1.0 / n : kTdDecay;
  const double most = kTdWinsor * memory.td_scale;
  memory.td_scale += weight * ((memory.td_count > 100 && size > most ? most : size) - memory.td_scale);
  return 0;
}

// Checks the learner's own action (n) in -1..1: trips when every component stays at the same end for saturated_steps in
// a row.
inline uint32_t inspect_action(LearnerMonitor& monitor, const float* action, int32_t n) {
  MonitorMemory& memory = monitor.memory;
  bool at_an_end = n > 0;
  float sum = 0;
  for (int32_t k = 0; k < n; ++k) {
    at_an_end = at_an_end && (action[k] >= 0.999f || action[k] <= -0.999f);
    sum += action[k] * static_cast<float>(k + 1);
  }
  const bool same = at_an_end && (memory.saturated == 0 || sum == memory.saturated_at);
  memory.saturated = same ? memory.saturated + 1 : 0;
  memory.saturated_at = sum;
  return monitor.config.saturated_steps > 0 && memory.saturated >= monitor.config.saturated_steps
             ? static_cast<uint32_t>(kTriggerSaturated)
             : 0u;
}

}  // namespace rtu::learners
