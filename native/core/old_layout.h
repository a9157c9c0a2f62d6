// The sections of a checkpoint in older format versions. Formats 1 to 3 kept running statistics in double, formats 1 to
// 4 also the scalars of a stream learner:
//
//   to 3:    NAME.mean, NAME.m2 f64, NAME.count f64
//   from 4:  NAME.mean, NAME.mean_low, NAME.m2, NAME.m2_low in the learner's type, NAME.count, NAME.still i32
//   to 4:    scalars (4) f64: value, running return, halvings, 0
//   from 5:  scalars (4) in the learner's type; the running return is the sum of the second and the last
//
// high + low keeps 48 digits of the 53 in a float32 learner, all of them in a float64 one. A channel without any
// deviation was at rest for all samples; any other channel is assumed to have moved from the second sample on, which
// preserves its scale. Value and halvings were floats already.
#pragma once

#include <stdint.h>
#include <string.h>

#include "native/core/arena.h"

namespace rtu::core {

constexpr uint32_t kLastWideVersion = 3, kLastDoubleVersion = 4;
constexpr double kLargestKept = 0x1p126;               // clamp for a sum of squares that exceeds float
constexpr double kFarthestKept = 0x1p46;               // of a mean: the largest reading since (normalizer.h)
constexpr double kLargestReturn = 0x1p99;              // of readings and discounts up to 1 - 2^-53
constexpr uint64_t kOldReturn = 1, kOldReturnLow = 3;  // elements of scalars (learners/learner.h)

// The section has the same form in a file of this version as now.
inline bool unchanged(const Section& section, uint32_t version) {
  return section.old == OldForm::kSame ||
         version > (section.old == OldForm::kDouble ? kLastDoubleVersion : kLastWideVersion);
}

// The row of a saved section in a file of this version; false: none.
inline bool row_of(const Section& section, uint32_t version, Section& row) {
  row = section;
  if (unchanged(section, version)) return section.saved;
  row.dtype = DType::kF64;
  return section.saved && (section.old == OldForm::kWide || section.old == OldForm::kDouble);
}

// name (kNameBytes) from a file, possibly without a terminating 0.
inline bool has_end(const char* name, const char* end, int length) {
  int n = 0;
  while (n < kNameBytes && name[n] != 0) ++n;
  return n > length && memcmp(name + n - length, end, static_cast<size_t>(length)) == 0;
}

inline bool is_still(const char* name) { return has_end(name, ".still", 6); }
inline bool is_mean(const char* name) { return has_end(name, ".mean", 5); }

inline double clamped(double x, double low, double high) { return !(x >= low) ? low : x > high ? high : x; }

// Splits each x in low_end..high_end into a pair.
template <class T>
void split(const unsigned char* in, uint64_t count, double low_end, double high_end, unsigned char* high,
           unsigned char* low) {
  for (uint64_t i = 0; i < count; ++i, in += sizeof(double)) {
    double x = 0;
    memcpy(&x, in, sizeof x);
    x = clamped(x, low_end, high_end) + 0.0;  // no -0: a sum of squares of 0 is +0
    const T first = static_cast<T>(x), second = static_cast<T>(x - static_cast<double>(first));
    memcpy(high + i * sizeof(T), &first, sizeof(T));
    memcpy(low + i * sizeof(T), &second, sizeof(T));
  }
}

// The scalars of a learner in T.
template <class T>
void narrow_scalars(const unsigned char* in, uint64_t count, unsigned char* out) {
  for (uint64_t i = 0; i < count; ++i) {
    if (i == kOldReturnLow) continue;
    const bool sum = i == kOldReturn;
    T low = T(0);
    split<T>(in + i * sizeof(double), 1, -kLargestReturn, kLargestReturn, out + i * sizeof(T),
             sum ? out + kOldReturnLow * sizeof(T) : reinterpret_cast<unsigned char*>(&low));
  }
}

inline void write_count(double samples, unsigned char* out) {
  const int32_t count = static_cast<int32_t>(clamped(samples, 0, 2147483647.0));
  memcpy(out, &count, sizeof count);
}

// Converts section s of a file that stored it in double.
inline void scatter_wide(const SectionTable& table, int s, const unsigned char* in, unsigned char* base) {
  const Section& section = table.sections[s];
  unsigned char* const out = base + section.offset;
  const bool mean = is_mean(section.name);
  const double low_end = mean ? -kFarthestKept : 0, high_end = mean ? kFarthestKept : kLargestKept;
  double samples = 0;
  if (section.old == OldForm::kDouble) {
    if (section.dtype == DType::kF32) return narrow_scalars<float>(in, section.count(), out);
    memcpy(out, in, static_cast<size_t>(section.count() * sizeof(double)));
  } else if (section.dtype == DType::kF32) {
    split<float>(in, section.count(), low_end, high_end, out, base + table.sections[s + 1].offset);
  } else if (section.dtype == DType::kF64) {
    split<double>(in, section.count(), low_end, high_end, out, base + table.sections[s + 1].offset);
  } else {
    memcpy(&samples, in, sizeof samples);
    write_count(samples, out);
  }
}

// Derives NAME.still once NAME.m2 (three sections before) and NAME.count (one before) are loaded.
inline void derive_still(const SectionTable& table, int s, unsigned char* base) {
  const Section &section = table.sections[s], &m2 = table.sections[s - 3];
  const unsigned char zeros[8] = {};
  const uint32_t size = dtype_bytes(m2.dtype);
  int32_t count = 0;
  memcpy(&count, base + table.sections[s - 1].offset, sizeof count);
  for (uint32_t i = 0; i < section.rows; ++i) {
    const bool moved = memcmp(base + m2.offset + static_cast<uint64_t>(i) * size, zeros, size) != 0;
    const int32_t still = moved && count > 1 ? 1 : count;
    memcpy(base + section.offset + i * sizeof still, &still, sizeof still);
  }
}

}  // namespace rtu::core
