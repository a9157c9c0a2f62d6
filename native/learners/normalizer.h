// Running mean and variance per channel (Welford 1962) in pairs of T, and the bounded, scaled channel computed from
// them (docs/math_normalizer.md).
//
//   m         (size) samples of a channel's statistics: count - still + 1, the last sample at rest and all since
//   mean, m2  (size) each the sum of two T, high + low: compensated sums, and the same bits on every processor with T
//   still     (size) samples until the channel first moved; count while it has not
//   bound     deviations: limit of the output and of a sample's contribution to the statistics; 0: no bound
#pragma once

#include <stdint.h>

#include "native/core/arena.h"
#include "native/core/math.h"

namespace rtu::learners {

constexpr double kVarianceEps = 1e-8;
constexpr double kLargestReading = 0x1p46;       // the square of twice that, summed 2^31 times, is a float
constexpr int32_t kMostSamples = 0x7fffffff;     // from then on the statistics are frozen: 24 days at 1 kHz
constexpr double kNoBound = 0x1p100;             // larger than any normalised reading
constexpr double kDefaultObservationBound = 10;  // see the study in docs/math_normalizer.md

template <class T>
struct Normalizer {
  int32_t size;
  T bound;
  T *mean, *mean_low, *m2, *m2_low;  // (size)
  int32_t* count;                    // (1)
  int32_t* still;                    // (size), or null: plain statistics of all samples
};

// Four planes of T, then the counts, in one reservation unless memory is packed: the learner monitor and readers of old
// checkpoints rely on this order (monitor_normalizers.h, core/old_layout.h).
template <class T>
constexpr Normalizer<T> make_normalizer(core::Builder& arena, int32_t size, const core::Name& name, double bound,
                                        bool channels = true) {
  Normalizer<T> out{};
  out.size = size;
  out.bound = static_cast<T>(bound);
  const uint32_t n = static_cast<uint32_t>(size), bytes = n * sizeof(T);
  const uint64_t counts = channels ? n + 1 : 1;
  unsigned char* room = nullptr;
  if (arena.packed()) {
    out.mean = arena.reserve<T>(4 * static_cast<uint64_t>(n));
  } else {
    room = arena.reserve<unsigned char>(4 * static_cast<uint64_t>(bytes) + counts * sizeof(int32_t));
    if (room != nullptr) out.mean = reinterpret_cast<T*>(room);
  }
  T** const planes[] = {&out.mean, &out.mean_low, &out.m2, &out.m2_low};
  const char* const names[] = {"mean", "mean_low", "m2", "m2_low"};
  core::Section section;
  section.dtype = core::DTypeOf<T>::value;
  section.rows = n;
  section.cols = 1;
  for (uint32_t k = 0; k < 4; ++k) {
    section.old = k % 2 == 0 ? core::OldForm::kWide : core::OldForm::kAbsent;
    arena.describe(name.dot(names[k]), section, static_cast<uint64_t>(k) * bytes);
    if (out.mean != nullptr) *planes[k] = out.mean + k * n;
  }
  uint64_t after = 4 * static_cast<uint64_t>(bytes);  // of the counts
  if (arena.packed()) {
    out.count = arena.reserve<int32_t>(counts);
    after = 0;
  } else if (room != nullptr) {
    out.count = reinterpret_cast<int32_t*>(room + after);
  }
  section.dtype = core::DType::kI32;
  section.rows = 1;
  section.old = core::OldForm::kWide;
  arena.describe(name.dot("count"), section, after);
  if (!channels) return out;
  section.rows = n;
  section.old = core::OldForm::kStill;
  arena.describe(name.dot("still"), section, after + sizeof(int32_t));
  if (out.count != nullptr) out.still = out.count + 1;
  return out;
}

// ---- arithmetic in pairs --------------------------------------------------------------------------------------------

// high + low += x (Kahan 1965): low keeps the rounding error for the next addition.
template <class T>
void add(T& high, T& low, T x) {
  const T term = x + low, sum = high + term;
  low = term - (sum - high);
  high = sum;
}

// x - (high + low) to a rounding or two: x - high is exact when the two are close (Sterbenz 1974), and otherwise low is
// small.
template <class T>
T deviation(T x, T high, T low) {
  return (x - high) - low;
}

// x finite, or NaN: then -limit.
template <class T>
T clamp(T x, T limit) {
  const T low = x > -limit ? x : -limit;
  return low < limit ? low : limit;
}

// A sample's deviation enters the statistics of `own` samples, itself included; returns the change of the mean.
template <class T>
T take_in(const Normalizer<T>& of, int32_t i, T before, T own) {
  const T share = before / own;
  add(of.mean[i], of.mean_low[i], share);
  add(of.m2[i], of.m2_low[i], before * (before - share));
  return share;
}

// ---- channels -------------------------------------------------------------------------------------------------------

// count - still; wraps around if memory was overwritten with an invalid count.
inline int32_t steps_moved(int32_t count, int32_t still) {
  return static_cast<int32_t>(static_cast<uint32_t>(count) - static_cast<uint32_t>(still));
}

// share^2 / standard deviation, for a channel that has moved in `moved` of the `all` steps after the first; 0 if it
// never moved. The square makes a channel that starts to move late fade in more slowly than it is learned.
template <class T>
T scale_of(T m2, T moved, T all) {
  const T share = moved / all;
  return share * share / core::square_root(m2 / (moved > T(1) ? moved : T(1)) + T(kVarianceEps));
}

// out = deviation * scale, within +-`bound`. The statistics do not change.
template <class T>
void normalize(const Normalizer<T>& of, const T* x, T* out) {
  const int32_t count = of.count[0];
  const T bound = of.bound > T(0) ? of.bound : T(kNoBound), all = static_cast<T>(count > 1 ? count - 1 : 1);
  for (int32_t i = 0; i < of.size; ++i) {
    const T off = deviation(clamp(x[i], T(kLargestReading)), of.mean[i], of.mean_low[i]);
    out[i] = clamp(off * scale_of(of.m2[i], static_cast<T>(steps_moved(count, of.still[i])), all), bound);
  }
}

// A step of all channels, without branches and with arrays that do not overlap, so that compilers vectorise it. count
// includes this sample.
template <class T>
void observe_channels(int32_t size, int32_t count, T bound, const T* __restrict x, T* __restrict mean,
                      T* __restrict mean_low, T* __restrict m2, T* __restrict m2_low, int32_t* __restrict stills,
                      T* __restrict out) {
  const T all = static_cast<T>(count > 1 ? count - 1 : 1);
  const T least = count > 1 ? T(0) : T(kNoBound);  // threshold of off^2 for a motion: the first sample never is one
  for (int32_t i = 0; i < size; ++i) {
    const T off = deviation(clamp(x[i], T(kLargestReading)), mean[i], mean_low[i]), was = m2[i];
    const int32_t still = (was > T(0) ? was : off * off - least) > T(0) ? stills[i] : count;
    const T moved = static_cast<T>(steps_moved(count, still));
    const T most = bound * core::square_root(was / (moved > T(1) ? moved - T(1) : T(1)));
    const T before = clamp(off, was > T(0) ? most : T(kNoBound)), share = before / (moved + T(1));
    stills[i] = still;
    add(mean[i], mean_low[i], share);
    add(m2[i], m2_low[i], before * (before - share));
    out[i] = clamp((off - share) * scale_of(m2[i], moved, all), bound);
  }
}

// The same after updating the statistics with the sample. A channel's statistics start when it first moves, with its
// last sample at rest; from the third sample on, deviations are clipped to `bound`.
template <class T>
void observe(const Normalizer<T>& of, const T* x, T* out) {
  if (of.count[0] >= kMostSamples) return normalize(of, x, out);
  ++of.count[0];
  observe_channels(of.size, of.count[0], of.bound > T(0) ? of.bound : T(kNoBound), x, of.mean, of.mean_low, of.m2,
                   of.m2_low, of.still, out);
}

// ---- one signal, plain ----------------------------------------------------------------------------------------------

// sqrt(M2 / (n - 1) + 1e-8), M2 / (n - 1) taken as 1 until there are two samples.
template <class T>
T present_deviation(const Normalizer<T>& of) {
  const int32_t n = of.count[0];
  return core::square_root((n > 1 ? of.m2[0] / static_cast<T>(n - 1) : T(1)) + T(kVarianceEps));
}

// The same with this sample in it.
template <class T>
T running_deviation(const Normalizer<T>& of, T x) {
  if (of.count[0] < kMostSamples) {
    ++of.count[0];
    (void)take_in(of, 0, deviation(clamp(x, T(kLargestReading)), of.mean[0], of.mean_low[0]),
                  static_cast<T>(of.count[0]));
  }
  return present_deviation(of);
}

}  // namespace rtu::learners
