// Triggers, configuration and memory of the learner monitor, and its access to a learner's sections. The monitor sees a
// learner only as one block of bytes with a table of sections. The checks are in monitor_finite.h, monitor_weights.h
// and monitor_normalizers.h, the ring of snapshots in monitor_snapshots.h, a step's order in learner_monitor.h.
#pragma once

#include "native/learners/health.h"

namespace rtu::learners {

enum MonitorTrigger : uint32_t {
  kTriggerNonFinite = 1,
  kTriggerWeights = 2,        // changed too far since the last snapshot, or collapsed
  kTriggerTdError = 4,        // far outside its distribution
  kTriggerSaturated = 8,      // the action at the same limit for too long
  kTriggerRetention = 16,     // a pole at its cap
  kTriggerFallbackRate = 32,  // the fallback drives too often
  kTriggerFailed = 64,        // a call of the learner failed
  kTriggerNormalizer = 128,   // running statistics that no data can explain
};

constexpr int32_t kMaxSnapshots = 8;

struct MonitorConfig {
  int32_t snapshots = 2;  // number of validated snapshots kept; one more slot holds the candidate
  uint32_t snapshot_steps = 1000;
  uint32_t validation_steps = 500;  // good steps until a candidate is validated
  uint64_t scan_bytes = 65536;      // scanned per step; a block up to this size is scanned completely
  double weight_change = 0;         // |w - w_snapshot| as a share of |w_snapshot|, per section; 0 disables the check
  double td_error = 0;              // |delta| as a multiple of its running mean; 0 disables the check
  uint32_t td_warmup = 1000;        // transitions before the check of td_error starts
  uint32_t saturated_steps = 0;     // 0 disables the check
  double retention = 1;             // largest r = exp(-exp(nu_log)); 1 disables the check
};

// State of the monitor between steps: fixed widths, no padding, no pointer. Checkpoints hold these bytes unchanged
// (docs/checkpoint.md).
struct MonitorMemory {
  double sum_change = 0, sum_before = 0, sum_now = 0;  // relative change: sums of squares over the section so far
  double td_scale = 0;                                 // running mean of |delta|
  double lowest_nu_log = 0;                            // a pole below it is at its cap
  uint64_t td_count = 0;
  uint64_t scan_row = 0;                  // finiteness: position of the rotation in its section, in bytes
  int32_t validated[kMaxSnapshots] = {};  // slots of the validated snapshots, oldest first
  int32_t n_validated = 0;
  int32_t candidate = -1;    // its slot
  uint32_t age = 0;          // steps since the candidate was taken, or since the last one was validated or dropped
  uint32_t rolled_back = 0;  // 1: there was a rollback since the last validation
  int32_t scan_section = 0;
  int32_t weight_section = 0;  // relative change: position of the rotation
  uint32_t weight_row = 0;
  uint32_t saturated = 0;  // steps in a row
  float saturated_at = 0;
  uint32_t zero = 0;
};
static_assert(sizeof(MonitorMemory) == 128);

struct LearnerMonitor {
  MonitorConfig config;
  const core::SectionTable* table = nullptr;
  unsigned char* state = nullptr;
  uint64_t bytes = 0;
  unsigned char* slots = nullptr;  // (snapshots + 1, bytes)
  MonitorMemory memory;
};

constexpr uint64_t monitor_bytes(const MonitorConfig& config, uint64_t bytes) {
  return (static_cast<uint64_t>(config.snapshots) + 1) * bytes;
}

// The newest validated snapshot.
inline const unsigned char* newest(const LearnerMonitor& monitor) {
  const MonitorMemory& memory = monitor.memory;
  return monitor.slots + static_cast<uint64_t>(memory.validated[memory.n_validated - 1]) * monitor.bytes;
}

// ---- sections -------------------------------------------------------------------------------------------------------

// True for a section that an optimiser updates: NAME.weight, .bias, .W1, .W2, .nu_log ... outside the sets z0 and z1.
inline bool is_weight(const core::Section& section) {
  const char* last = section.name;
  for (const char* at = section.name; *at != 0; ++at) {
    if (*at != '.') continue;
    if (last[0] == 'z' && (last[1] == '0' || last[1] == '1') && last + 2 == at) return false;
    last = at + 1;
  }
  return strcmp(last, "weight") == 0 || strcmp(last, "bias") == 0 || cells::is_parameter(last);
}

inline bool is_float(const core::Section& section) {
  return section.dtype == core::DType::kF32 || section.dtype == core::DType::kF64;
}

inline bool ends_with(const char* name, const char* ending) {
  const uint64_t n = strlen(name), m = strlen(ending);
  return n >= m && strcmp(name + n - m, ending) == 0;
}

inline double value_at(const core::Section& section, const unsigned char* base, uint64_t index) {
  if (section.dtype == core::DType::kF32) {
    float value = 0;
    memcpy(&value, base + section.offset + index * sizeof value, sizeof value);
    return static_cast<double>(value);
  }
  double value = 0;
  memcpy(&value, base + section.offset + index * sizeof value, sizeof value);
  return value;
}

inline int32_t integer_at(const core::Section& section, const unsigned char* base, uint64_t index) {
  int32_t value = 0;
  memcpy(&value, base + section.offset + index * sizeof value, sizeof value);
  return value;
}

}  // namespace rtu::learners
