// Watches a learner's state from outside: a ring of snapshots, what is out of the ordinary in it, and the way back. It knows the
// state as one block with a table of sections, and no learner.
//
// A snapshot is a copy of the whole block. It is a candidate until it has been good for `survive_steps`; only one that has survived
// is rolled back to. A second return before another has survived goes one further back: the newest may have been ill already.
#pragma once

#include "native/learners/health.h"

namespace rtu::learners {

enum GuardTrigger : uint32_t {
  kGuardNonFinite = 1,
  kGuardWeights = 2,        // changed too far since the last snapshot, or collapsed
  kGuardTdError = 4,        // far out of its distribution
  kGuardSaturated = 8,      // the action at the same end for too long
  kGuardRetention = 16,     // a pole at its cap
  kGuardFallbackRate = 32,  // the fallback drives too often
  kGuardFailed = 64,        // a call of the learner failed
  kGuardNormalizer = 128,   // statistics that no data can have made of the snapshot's
};

constexpr int32_t kMaxSnapshots = 8;

struct GuardConfig {
  int32_t snapshots = 2;  // that have survived, kept; one more slot is the candidate's
  uint32_t snapshot_steps = 1000;
  uint32_t survive_steps = 500;
  uint64_t scan_bytes = 65536;   // looked through per step; a block that is no larger is looked through whole
  double weight_change = 0;      // |w - w_snapshot| as a share of |w_snapshot|, per section; 0: not looked at
  double td_error = 0;           // |delta| as a multiple of its running mean; 0: not looked at
  uint32_t td_warmup = 1000;     // transitions before that
  uint32_t saturated_steps = 0;  // 0: not looked at
  double retention = 1;          // largest r = exp(-exp(nu_log)); 1: not looked at
};

// What the guard carries from step to step: fixed widths, no padding, no pointer, for it goes into checkpoints as it stands
// (docs/checkpoint.md).
struct GuardMemory {
  double moved = 0, was = 0, is = 0;  // relative change: sums of squares over the section so far
  double td_scale = 0;                // running mean of |delta|
  double lowest_nu_log = 0;           // below it a pole is at its cap
  uint64_t td_count = 0;
  uint64_t scan_row = 0;             // finiteness: where the rotation stands, in bytes
  int32_t good[kMaxSnapshots] = {};  // slots of those that survived, oldest first
  int32_t n_good = 0;
  int32_t candidate = -1;  // its slot
  uint32_t age = 0;        // of the candidate, or since the last one was settled
  uint32_t returned = 0;   // since anything survived
  int32_t scan_section = 0;
  int32_t weight_section = 0;  // relative change: where the rotation stands
  uint32_t weight_row = 0;
  uint32_t saturated = 0;  // steps in a row
  float saturated_at = 0;
  uint32_t zero = 0;
};
static_assert(sizeof(GuardMemory) == 128);

struct Guard {
  GuardConfig config;
  const core::SectionTable* table = nullptr;
  unsigned char* state = nullptr;
  uint64_t bytes = 0;
  unsigned char* slots = nullptr;  // (snapshots + 1, bytes)
  GuardMemory kept;
};

constexpr uint64_t guard_bytes(const GuardConfig& config, uint64_t bytes) {
  return (static_cast<uint64_t>(config.snapshots) + 1) * bytes;
}

// True for what an optimiser moves: NAME.weight, .bias, .W1, .W2, .nu_log, .theta_log outside the sets z0 and z1.
inline bool is_weight(const core::Section& section) {
  const char* last = section.name;
  for (const char* at = section.name; *at != 0; ++at) {
    if (*at != '.') continue;
    if (last[0] == 'z' && (last[1] == '0' || last[1] == '1') && last + 2 == at) return false;
    last = at + 1;
  }
  const char* const names[] = {"weight", "bias", "W1", "W2", "nu_log", "theta_log"};
  for (const char* name : names)
    if (strcmp(last, name) == 0) return true;
  return false;
}

inline bool ends_with(const char* name, const char* ending) {
  const uint64_t n = strlen(name), m = strlen(ending);
  return n >= m && strcmp(name + n - m, ending) == 0;
}

inline bool is_nu_log(const core::Section& section) { return is_weight(section) && ends_with(section.name, ".nu_log"); }

inline double value_at(const core::Section& section, const unsigned char* base, uint64_t index) {
  if (section.dtype == core::DType::f32) {
    float value = 0;
    memcpy(&value, base + section.offset + index * sizeof value, sizeof value);
    return static_cast<double>(value);
  }
  double value = 0;
  memcpy(&value, base + section.offset + index * sizeof value, sizeof value);
  return value;
}

// ---- finiteness -----------------------------------------------------------------------------------------------------------

inline bool is_float(const core::Section& section) {
  return section.dtype == core::DType::f32 || section.dtype == core::DType::f64;
}

// Where the section after this one begins. Sections of one room interleave; what lies between them is theirs as well, and padding is 0.
inline uint64_t section_end(const core::SectionTable& table, int32_t s) {
  const core::Section& section = table.sections[s];
  return section.offset + (section.index(section.rows - 1, section.cols - 1) + 1) * core::dtype_bytes(section.dtype);
}

inline bool finite_bytes(const core::Section& section, const unsigned char* base, uint64_t from, uint64_t to) {
  if (section.dtype == core::DType::f32)
    return finite_block(reinterpret_cast<const float*>(base + from), (to - from) / sizeof(float));
  return finite_block(reinterpret_cast<const double*>(base + from), (to - from) / sizeof(double));
}

// One section's share of the block, without what the section before has covered already.
inline uint64_t section_begin(const core::SectionTable& table, int32_t s) {
  const uint64_t offset = table.sections[s].offset;
  if (s == 0 || !is_float(table.sections[s - 1])) return offset;
  const uint64_t before = section_end(table, s - 1);
  return before > offset ? before : offset;
}

// Everything.
inline bool finite_state(const core::SectionTable& table, const unsigned char* base) {
  for (int32_t s = 0; s < table.count; ++s) {
    if (!is_float(table.sections[s])) continue;
    const uint64_t from = section_begin(table, s), to = section_end(table, s);
    if (from < to && !finite_bytes(table.sections[s], base, from, to)) return false;
  }
  return true;
}

// The next scan_bytes of the block, round and round.
inline bool scan(Guard& guard) {
  const core::SectionTable& table = *guard.table;
  uint64_t left = guard.config.scan_bytes;
  for (int32_t visited = 0; visited <= table.count && left > 0; ++visited) {
    const core::Section& section = table.sections[guard.kept.scan_section];
    const uint64_t begin = section_begin(table, guard.kept.scan_section),
                   end = section_end(table, guard.kept.scan_section);
    const uint64_t from = begin + guard.kept.scan_row;
    if (is_float(section) && from < end) {
      const uint64_t take = (end - from < left ? end - from : left) / 8 * 8;
      const uint64_t to = end - from <= left ? end : from + take;
      if (!finite_bytes(section, guard.state, from, to)) return false;
      left -= to - from;
      guard.kept.scan_row += to - from;
      if (to < end) return true;
    }
    guard.kept.scan_row = 0;
    guard.kept.scan_section = guard.kept.scan_section + 1 < table.count ? guard.kept.scan_section + 1 : 0;
  }
  return true;
}

// ---- weights ----------------------------------------------------------------------------------------------------------------

inline const unsigned char* newest(const Guard& guard) {
  return guard.slots + static_cast<uint64_t>(guard.kept.good[guard.kept.n_good - 1]) * guard.bytes;
}

constexpr double kWeightFloor = 0.05;  // per weight: a section that starts at 0 (biases) has no scale of its own
constexpr double kCollapsed = 0.01;    // of the snapshot's norm

// A section whose sums are complete: changed out of all proportion, or gone.
inline bool out_of_proportion(const Guard& guard, const core::Section& section) {
  const double moved = core::square_root(guard.kept.moved), was = core::square_root(guard.kept.was);
  const double floor = kWeightFloor * core::square_root(static_cast<double>(section.count()));
  if (!(moved <= guard.config.weight_change * (was + floor))) return true;
  return guard.kept.is < kCollapsed * kCollapsed * guard.kept.was;
}

constexpr uint64_t kYoung = 1000;  // updates

// The snapshot is of a learner that has hardly begun: it has no proportions to keep yet.
inline bool young(const Guard& guard) {
  for (int32_t s = 0; s < guard.table->count; ++s) {
    const core::Section& section = guard.table->sections[s];
    if (strcmp(section.name, "counters") != 0) continue;
    uint64_t steps = 0;
    memcpy(&steps, newest(guard) + section.offset + section.index(kSteps, 0) * sizeof steps, sizeof steps);
    return steps < kYoung;
  }
  return false;
}

inline void restart_weights(Guard& guard) {
  guard.kept.weight_row = 0;
  guard.kept.moved = guard.kept.was = guard.kept.is = 0;
}

// The next weights in turn against the newest snapshot that survived. False: out of proportion.
inline bool compare_weights(Guard& guard) {
  const core::SectionTable& table = *guard.table;
  uint64_t left = guard.config.scan_bytes / 8;
  for (int32_t visited = 0; visited <= table.count && left > 0; ++visited) {
    const core::Section& section = table.sections[guard.kept.weight_section];
    if (is_weight(section)) {
      for (; guard.kept.weight_row < section.rows && left > 0; ++guard.kept.weight_row) {
        for (uint32_t j = 0; j < section.cols; ++j) {
          const uint64_t index = section.index(guard.kept.weight_row, j);
          const double now = value_at(section, guard.state, index), then = value_at(section, newest(guard), index);
          guard.kept.moved += (now - then) * (now - then);
          guard.kept.was += then * then;
          guard.kept.is += now * now;
        }
        left = left > section.cols ? left - section.cols : 0;
      }
      if (guard.kept.weight_row < section.rows) return true;
      const bool bad = out_of_proportion(guard, section);
      restart_weights(guard);
      if (bad) return false;
    }
    guard.kept.weight_section = guard.kept.weight_section + 1 < table.count ? guard.kept.weight_section + 1 : 0;
  }
  return true;
}

inline int32_t integer_at(const core::Section& section, const unsigned char* base, uint64_t index) {
  int32_t value = 0;
  memcpy(&value, base + section.offset + index * sizeof value, sizeof value);
  return value;
}

// Running statistics against the snapshot's: parts are mean, mean_low, m2, m2_low, count and, for channels, still (normalizer.h).
// What of them belongs to one channel, in the state or in the snapshot.
struct Moments {
  double mean, m2, samples;
  int32_t count, still;
};

inline Moments moments_at(const core::Section* parts, bool channels, const unsigned char* base, uint32_t i) {
  Moments out{};
  out.mean = value_at(parts[0], base, i) + value_at(parts[1], base, i);
  out.m2 = value_at(parts[2], base, i) + value_at(parts[3], base, i);
  out.count = integer_at(parts[4], base, 0);
  out.still = channels ? integer_at(parts[5], base, i) : out.count > 0 ? 1 : 0;
  out.samples = static_cast<double>(out.count) - out.still + (out.count > 0 ? 1 : 0);
  return out;
}

// k further samples move a mean of n by at most sqrt(k / n) of the deviation that they leave behind, and the sum of squares only
// grows; the count of samples at rest grows with all samples or not at all: whatever the data, so what breaks this was written by
// something else. Samples that the bound held back are data like any other.
inline bool plausible_channel(const Moments& before, const Moments& now) {
  const bool at_rest = before.still == before.count;
  if (now.count < before.count || now.still > now.count || now.still < before.still) return false;
  if (!at_rest && now.still != before.still) return false;
  if (!(now.m2 >= before.m2 * 0.999)) return false;  // a thousandth for rounding
  // (n now / k) moved^2 <= m2; doubled, and a floor for means far from 0, whose roundings add up.
  const double moved = now.mean - before.mean, floor = 1e-6 * core::absolute(before.mean) + 1e-9;
  return !(moved * moved * before.samples * now.samples > 4 * now.m2 * (now.samples - before.samples) &&
           core::absolute(moved) > floor);
}

inline bool plausible_normalizer(const Guard& guard, const core::Section* parts, bool channels) {
  for (uint32_t i = 0; i < parts[0].rows; ++i) {
    const Moments before = moments_at(parts, channels, newest(guard), i);
    if (!plausible_channel(before, moments_at(parts, channels, guard.state, i))) return false;
  }
  return true;
}

inline bool plausible_normalizers(const Guard& guard) {
  const core::SectionTable& table = *guard.table;
  for (int32_t s = 0; s + 4 < table.count; ++s)
    if (ends_with(table.sections[s].name, ".mean") &&
        !plausible_normalizer(guard, table.sections + s,
                              s + 5 < table.count && ends_with(table.sections[s + 5].name, ".still")))
      return false;
  return true;
}

inline double lowest_nu_log(const Guard& guard) {
  double lowest = 1e300;
  for (int32_t s = 0; s < guard.table->count; ++s) {
    const core::Section& section = guard.table->sections[s];
    if (!is_nu_log(section)) continue;
    for (uint32_t i = 0; i < section.rows; ++i) {
      const double value = value_at(section, guard.state, section.index(i, 0));
      if (value < lowest) lowest = value;
    }
  }
  return lowest;
}

// ---- snapshots --------------------------------------------------------------------------------------------------------------

inline void copy_state(unsigned char* to, const unsigned char* from, uint64_t bytes) {
  memcpy(to, from, static_cast<size_t>(bytes));
}

// memory: guard_bytes(), of the caller. False when the state is not finite: there is nothing to go back to.
inline bool make_guard(Guard& guard, const GuardConfig& config, const core::SectionTable& table, unsigned char* state,
                       uint64_t bytes, unsigned char* memory) {
  guard = Guard{};
  guard.config = config;
  guard.table = &table;
  guard.state = state;
  guard.bytes = bytes;
  guard.slots = memory;
  if (!finite_state(table, state)) return false;
  copy_state(memory, state, bytes);
  guard.kept.n_good = 1;
  // A learner that starts with poles beyond the cap may keep them; what counts is that none goes further.
  const double cap = config.retention < 1 ? core::logarithm(-core::logarithm(config.retention)) : -1e300;
  const double start = lowest_nu_log(guard) - 1.0;
  guard.kept.lowest_nu_log = start < cap ? start : cap;
  return true;
}

inline int32_t free_slot(const Guard& guard) {
  for (int32_t slot = 0; slot <= guard.config.snapshots; ++slot) {
    bool used = false;
    for (int32_t i = 0; i < guard.kept.n_good; ++i) used = used || guard.kept.good[i] == slot;
    if (!used) return slot;
  }
  return guard.kept.good[0];
}

enum class SnapshotEvent { none, taken, refused, survived };

// Once per step of a learner found good: takes snapshots and lets them survive when they are due.
inline SnapshotEvent age_snapshots(Guard& guard) {
  ++guard.kept.age;
  if (guard.kept.candidate >= 0) {
    if (guard.kept.age < guard.config.survive_steps) return SnapshotEvent::none;
    if (guard.kept.n_good == guard.config.snapshots) {
      for (int32_t i = 1; i < guard.kept.n_good; ++i) guard.kept.good[i - 1] = guard.kept.good[i];
      --guard.kept.n_good;
    }
    guard.kept.good[guard.kept.n_good++] = guard.kept.candidate;
    guard.kept.candidate = -1;
    guard.kept.returned = 0;
    restart_weights(guard);
    return SnapshotEvent::survived;
  }
  if (guard.kept.age < guard.config.snapshot_steps) return SnapshotEvent::none;
  guard.kept.age = 0;
  if (!finite_state(*guard.table, guard.state)) return SnapshotEvent::refused;
  guard.kept.candidate = free_slot(guard);
  copy_state(guard.slots + static_cast<uint64_t>(guard.kept.candidate) * guard.bytes, guard.state, guard.bytes);
  return SnapshotEvent::taken;
}

// The state becomes, to the bit, the newest snapshot that survived.
inline void roll_back(Guard& guard) {
  if (guard.kept.returned != 0 && guard.kept.n_good > 1) --guard.kept.n_good;
  copy_state(guard.state, newest(guard), guard.bytes);
  guard.kept.candidate = -1;
  guard.kept.age = 0;
  guard.kept.returned = 1;
  guard.kept.saturated = 0;
  guard.kept.scan_section = guard.kept.weight_section = 0;
  guard.kept.scan_row = 0;
  restart_weights(guard);
}

// ---- the signals of a step --------------------------------------------------------------------------------------------------

// The state itself: GuardTrigger bits.
inline uint32_t inspect_state(Guard& guard) {
  if (!scan(guard)) return kGuardNonFinite;
  uint32_t found = 0;
  if (guard.config.weight_change > 0 && !young(guard) && !compare_weights(guard)) found |= kGuardWeights;
  if (!plausible_normalizers(guard)) found |= kGuardNormalizer;
  if (guard.config.retention < 1 && lowest_nu_log(guard) < guard.kept.lowest_nu_log) found |= kGuardRetention;
  return found;
}

constexpr double kTdDecay = 1.0 / 1000;  // of the running mean of |delta|
constexpr double kTdWinsor = 10;  // a larger |delta| counts as so many means: one outlier does not make the next pass

// The TD error of a transition that did not terminate: where an episode ends, delta is as large as the value itself.
inline uint32_t inspect_delta(Guard& guard, double delta) {
  const double size = core::absolute(delta);
  if (guard.config.td_error > 0 && guard.kept.td_count >= guard.config.td_warmup &&
      !(size <= guard.config.td_error * guard.kept.td_scale))
    return kGuardTdError;
  ++guard.kept.td_count;
  const double n = static_cast<double>(guard.kept.td_count);
  const double weight = 1.0 / n > kTdDecay ? 1.0 / n : kTdDecay;
  const double most = kTdWinsor * guard.kept.td_scale;
  guard.kept.td_scale += weight * ((guard.kept.td_count > 100 && size > most ? most : size) - guard.kept.td_scale);
  return 0;
}

// action (n) in -1..1, the learner's own: all of it at the ends, and at the same ones, for so many steps.
inline uint32_t inspect_action(Guard& guard, const float* action, int32_t n) {
  bool at_the_end = n > 0;
  float sum = 0;
  for (int32_t k = 0; k < n; ++k) {
    at_the_end = at_the_end && (action[k] >= 0.999F || action[k] <= -0.999F);
    sum += action[k] * static_cast<float>(k + 1);
  }
  const bool same = at_the_end && (guard.kept.saturated == 0 || sum == guard.kept.saturated_at);
  guard.kept.saturated = same ? guard.kept.saturated + 1 : 0;
  guard.kept.saturated_at = sum;
  return guard.config.saturated_steps > 0 && guard.kept.saturated >= guard.config.saturated_steps
             ? static_cast<uint32_t>(kGuardSaturated)
             : 0U;
}

}  // namespace rtu::learners
