// The learner monitor's ring of snapshots, and the rollback to one of them.
//
// A snapshot is a copy of the whole block. It is a candidate until the learner has passed all checks for
// `validation_steps` steps; rollback uses validated snapshots only. A second rollback before another snapshot is
// validated uses the next older one, since the newest may have been bad already.
#pragma once

#include "native/learners/monitor_finite.h"
#include "native/learners/monitor_weights.h"

namespace rtu::learners {

enum class SnapshotEvent { kNone, kTaken, kRefused, kValidated };

inline void copy_state(unsigned char* to, const unsigned char* from, uint64_t bytes) {
  memcpy(to, from, static_cast<size_t>(bytes));
}

inline int32_t free_slot(const LearnerMonitor& monitor) {
  for (int32_t slot = 0; slot <= monitor.config.snapshots; ++slot) {
    bool used = false;
    for (int32_t i = 0; i < monitor.memory.n_validated; ++i) used = used || monitor.memory.validated[i] == slot;
    if (!used) return slot;
  }
  return monitor.memory.validated[0];
}

// The candidate becomes the newest validated snapshot; where all slots are taken, the oldest one is dropped.
inline void validate_candidate(LearnerMonitor& monitor) {
  MonitorMemory& memory = monitor.memory;
  if (memory.n_validated == monitor.config.snapshots) {
    for (int32_t i = 1; i < memory.n_validated; ++i) memory.validated[i - 1] = memory.validated[i];
    --memory.n_validated;
  }
  memory.validated[memory.n_validated++] = memory.candidate;
  memory.candidate = -1;
  memory.rolled_back = 0;
  restart_weights(memory);
}

// Call once per good step of the learner: takes a snapshot or validates the candidate when due.
inline SnapshotEvent age_snapshots(LearnerMonitor& monitor) {
  MonitorMemory& memory = monitor.memory;
  ++memory.age;
  if (memory.candidate >= 0) {
    if (memory.age < monitor.config.validation_steps) return SnapshotEvent::kNone;
    validate_candidate(monitor);
    return SnapshotEvent::kValidated;
  }
  if (memory.age < monitor.config.snapshot_steps) return SnapshotEvent::kNone;
  memory.age = 0;
  if (!finite_state(*monitor.table, monitor.state)) return SnapshotEvent::kRefused;
  memory.candidate = free_slot(monitor);
  copy_state(monitor.slots + static_cast<uint64_t>(memory.candidate) * monitor.bytes, monitor.state, monitor.bytes);
  return SnapshotEvent::kTaken;
}

// Restores the newest validated snapshot, bit for bit.
inline void roll_back(LearnerMonitor& monitor) {
  MonitorMemory& memory = monitor.memory;
  if (memory.rolled_back != 0 && memory.n_validated > 1) --memory.n_validated;
  copy_state(monitor.state, newest(monitor), monitor.bytes);
  memory.candidate = -1;
  memory.age = 0;
  memory.rolled_back = 1;
  memory.saturated = 0;
  memory.scan_section = memory.weight_section = 0;
  memory.scan_row = 0;
  restart_weights(memory);
}

}  // namespace rtu::learners
