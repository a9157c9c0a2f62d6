// The learner monitor's scan for values that are not finite: the whole state at once, or a part of it per step.
#pragma once

#include "native/learners/monitor_state.h"

namespace rtu::learners {

// The end of a section's values in the block. Sections that were reserved together interleave: the values between them
// are floats too, and padding is 0.
inline uint64_t section_end(const core::SectionTable& table, int32_t s) {
  const core::Section& section = table.sections[s];
  return section.offset + (section.index(section.rows - 1, section.cols - 1) + 1) * core::dtype_bytes(section.dtype);
}

// The start of a section's part of the block, without what the previous section has covered.
inline uint64_t section_begin(const core::SectionTable& table, int32_t s) {
  const uint64_t offset = table.sections[s].offset;
  if (s == 0 || !is_float(table.sections[s - 1])) return offset;
  const uint64_t before = section_end(table, s - 1);
  return before > offset ? before : offset;
}

inline bool finite_bytes(const core::Section& section, const unsigned char* base, uint64_t from, uint64_t to) {
  if (section.dtype == core::DType::kF32)
    return finite_block(reinterpret_cast<const float*>(base + from), (to - from) / sizeof(float));
  return finite_block(reinterpret_cast<const double*>(base + from), (to - from) / sizeof(double));
}

// Scans the whole state.
inline bool finite_state(const core::SectionTable& table, const unsigned char* base) {
  for (int32_t s = 0; s < table.count; ++s) {
    if (!is_float(table.sections[s])) continue;
    const uint64_t from = section_begin(table, s), to = section_end(table, s);
    if (from < to && !finite_bytes(table.sections[s], base, from, to)) return false;
  }
  return true;
}

// Scans the next scan_bytes of the block, in rotation.
inline bool scan(LearnerMonitor& monitor) {
  const core::SectionTable& table = *monitor.table;
  MonitorMemory& memory = monitor.memory;
  uint64_t left = monitor.config.scan_bytes;
  for (int32_t visited = 0; visited <= table.count && left > 0; ++visited) {
    const core::Section& section = table.sections[memory.scan_section];
    const uint64_t begin = section_begin(table, memory.scan_section), end = section_end(table, memory.scan_section);
    const uint64_t from = begin + memory.scan_row;
    if (is_float(section) && from < end) {
      const uint64_t take = (end - from < left ? end - from : left) / 8 * 8;
      const uint64_t to = end - from <= left ? end : from + take;
      if (!finite_bytes(section, monitor.state, from, to)) return false;
      left -= to - from;
      memory.scan_row += to - from;
      if (to < end) return true;
    }
    memory.scan_row = 0;
    memory.scan_section = memory.scan_section + 1 < table.count ? memory.scan_section + 1 : 0;
  }
  return true;
}

}  // namespace rtu::learners
