// The learner monitor's checks of the weights against the newest validated snapshot: relative change, collapse,
// retention of the poles.
#pragma once

#include "native/learners/monitor_state.h"

namespace rtu::learners {

constexpr double kWeightFloor = 0.05;       // per weight: a section initialised to 0 (biases) has no scale
constexpr double kCollapsed = 0.01;         // of the snapshot's norm
constexpr uint64_t kUntrainedSteps = 1000;  // updates

// Evaluates the complete sums of a section: true when it changed too far or collapsed.
inline bool out_of_proportion(const LearnerMonitor& monitor, const core::Section& section) {
  const MonitorMemory& memory = monitor.memory;
  const double change = core::square_root(memory.sum_change), before = core::square_root(memory.sum_before);
  const double floor = kWeightFloor * core::square_root(static_cast<double>(section.count()));
  if (!(change <= monitor.config.weight_change * (before + floor))) return true;
  return memory.sum_now < kCollapsed * kCollapsed * memory.sum_before;
}

// The snapshot comes from a learner with few updates, whose weights have no representative scale yet.
inline bool untrained(const LearnerMonitor& monitor) {
  for (int32_t s = 0; s < monitor.table->count; ++s) {
    const core::Section& section = monitor.table->sections[s];
    if (strcmp(section.name, "counters") != 0) continue;
    uint64_t steps = 0;
    memcpy(&steps, newest(monitor) + section.offset + section.index(kSteps, 0) * sizeof steps, sizeof steps);
    return steps < kUntrainedSteps;
  }
  return false;
}

inline void restart_weights(MonitorMemory& memory) {
  memory.weight_row = 0;
  memory.sum_change = memory.sum_before = memory.sum_now = 0;
}

// Adds row weight_row of a section to the sums.
inline void add_weight_row(LearnerMonitor& monitor, const core::Section& section) {
  MonitorMemory& memory = monitor.memory;
  const unsigned char* const snapshot = newest(monitor);
  // Copies: value_at() may alias the sums, which then would go through memory for each weight.
  double change = memory.sum_change, sum_before = memory.sum_before, sum_now = memory.sum_now;
  for (uint32_t j = 0; j < section.cols; ++j) {
    const uint64_t index = section.index(memory.weight_row, j);
    const double now = value_at(section, monitor.state, index), before = value_at(section, snapshot, index);
    change += (now - before) * (now - before);
    sum_before += before * before;
    sum_now += now * now;
  }
  memory.sum_change = change;
  memory.sum_before = sum_before;
  memory.sum_now = sum_now;
}

// Compares the next weights in rotation with the newest validated snapshot. False: changed too far, or collapsed.
inline bool compare_weights(LearnerMonitor& monitor) {
  const core::SectionTable& table = *monitor.table;
  MonitorMemory& memory = monitor.memory;
  uint64_t left = monitor.config.scan_bytes / 8;
  for (int32_t visited = 0; visited <= table.count && left > 0; ++visited) {
    const core::Section& section = table.sections[memory.weight_section];
    if (is_weight(section)) {
      for (; memory.weight_row < section.rows && left > 0; ++memory.weight_row) {
        add_weight_row(monitor, section);
        left = left > section.cols ? left - section.cols : 0;
      }
      if (memory.weight_row < section.rows) return true;
      const bool bad = out_of_proportion(monitor, section);
      restart_weights(memory);
      if (bad) return false;
    }
    memory.weight_section = memory.weight_section + 1 < table.count ? memory.weight_section + 1 : 0;
  }
  return true;
}

inline double lowest_nu_log(const LearnerMonitor& monitor) {
  double lowest = 1e300;
  for (int32_t s = 0; s < monitor.table->count; ++s) {
    const core::Section& section = monitor.table->sections[s];
    if (!is_weight(section) || !ends_with(section.name, ".nu_log")) continue;
    for (uint32_t i = 0; i < section.rows; ++i) {
      const double value = value_at(section, monitor.state, section.index(i, 0));
      if (value < lowest) lowest = value;
    }
  }
  return lowest;
}

}  // namespace rtu::learners
