// The learner monitor's check of running statistics (normalizer.h) against the newest validated snapshot: could any
// data have led from the snapshot to these values?
#pragma once

#include "native/learners/monitor_state.h"

namespace rtu::learners {

// The statistics of one channel, in the state or in the snapshot.
struct Moments {
  double mean, m2, samples;
  int32_t count, still;
};

// Channel i of the sections parts[0..5]: mean, mean_low, m2, m2_low, count and, for channels, still.
inline Moments moments_at(const core::Section* parts, bool channels, const unsigned char* base, uint32_t i) {
  Moments out{};
  out.mean = value_at(parts[0], base, i) + value_at(parts[1], base, i);
  out.m2 = value_at(parts[2], base, i) + value_at(parts[3], base, i);
  out.count = integer_at(parts[4], base, 0);
  out.still = channels ? integer_at(parts[5], base, i) : out.count > 0 ? 1 : 0;
  out.samples = static_cast<double>(out.count) - out.still + (out.count > 0 ? 1 : 0);
  return out;
}

// k further samples move a mean of n by at most sqrt(k / n) of the resulting deviation. The sum of squares never
// decreases, and the count of samples at rest grows with every sample or not at all. This holds for any data, clipped
// samples included, so statistics that violate it are corrupt.
inline bool plausible_channel(const Moments& before, const Moments& now) {
  const bool at_rest = before.still == before.count;
  if (now.count < before.count || now.still > now.count || now.still < before.still) return false;
  if (!at_rest && now.still != before.still) return false;
  if (!(now.m2 >= before.m2 * 0.999)) return false;  // a thousandth for rounding
  // (n now / k) change^2 <= m2; doubled, and a floor for means far from 0, whose roundings add up.
  const double change = now.mean - before.mean, floor = 1e-6 * core::absolute(before.mean) + 1e-9;
  return !(change * change * before.samples * now.samples > 4 * now.m2 * (now.samples - before.samples) &&
           core::absolute(change) > floor);
}

inline bool plausible_normalizer(const LearnerMonitor& monitor, const core::Section* parts, bool channels) {
  for (uint32_t i = 0; i < parts[0].rows; ++i) {
    const Moments before = moments_at(parts, channels, newest(monitor), i);
    if (!plausible_channel(before, moments_at(parts, channels, monitor.state, i))) return false;
  }
  return true;
}

inline bool plausible_normalizers(const LearnerMonitor& monitor) {
  const core::SectionTable& table = *monitor.table;
  for (int32_t s = 0; s + 4 < table.count; ++s) {
    if (!ends_with(table.sections[s].name, ".mean")) continue;
    const bool channels = s + 5 < table.count && ends_with(table.sections[s + 5].name, ".still");
    if (!plausible_normalizer(monitor, table.sections + s, channels)) return false;
  }
  return true;
}

}  // namespace rtu::learners
