// The normaliser's pairs of floats against two passes in long double, within the bound that docs/math_normalizer.md
// derives; its outputs.
#include <math.h>

#include <vector>

#include "check.h"
#include "native/core/rng.h"
#include "native/learners/normalizer.h"
#include "native/runtime/denormals.h"

namespace {

using namespace rtu;

constexpr double kUnit = 0x1p-24;  // of float, half of the last place of 1

template <class T>
struct Held {
  std::vector<unsigned char> memory;
  learners::Normalizer<T> normalizer;

  Held(int32_t size, double bound) {
    core::Builder footprint(nullptr, nullptr, 1);
    (void)learners::make_normalizer<T>(footprint, size, core::Name("x"), bound);
    memory.resize(footprint.bytes() + core::kAlignment);
    unsigned char* const base =
        memory.data() + (core::kAlignment - reinterpret_cast<uintptr_t>(memory.data()) % core::kAlignment);
    core::Builder arena(base, nullptr, 1);
    normalizer = learners::make_normalizer<T>(arena, size, core::Name("x"), bound);
  }

  double mean() const { return static_cast<double>(normalizer.mean[0]) + static_cast<double>(normalizer.mean_low[0]); }
  double m2() const { return static_cast<double>(normalizer.m2[0]) + static_cast<double>(normalizer.m2_low[0]); }
  T hand_on(T x) {
    T out = 0;
    learners::observe(normalizer, &x, &out);
    return out;
  }
  T seen(T x) const {
    T out = 0;
    learners::normalize(normalizer, &x, &out);
    return out;
  }
};

struct Stream {
  const char* name;
  int count;
  float (*at)(core::Rng rng, int i);
};

float spread(core::Rng rng) { return static_cast<float>(2 * core::uniform(rng) - 1); }

const Stream kStreams[] = {
    {"around 0", 1000000, [](core::Rng rng, int) { return spread(rng); }},
    {"1e6 + 1, long", 10000000, [](core::Rng rng, int) { return 1e6f + spread(rng); }},
    {"a mean of 1e6 deviations", 1000000, [](core::Rng rng, int) { return 1000.0f + 0.001f * spread(rng); }},
    {"a last place that flickers", 1000000,
     [](core::Rng rng, int) { return spread(rng) > 0 ? 1.0f : 1.0f + 0x1p-23f; }},
    {"a drift", 1000000, [](core::Rng rng, int i) { return 1e-3f * static_cast<float>(i) + spread(rng); }},
    {"a decade every 1000", 30000,
     [](core::Rng rng, int i) { return powf(10.0f, static_cast<float>(i / 1000) - 17) * spread(rng); }},
    {"the ends of the range", 1000000, [](core::Rng rng, int) { return spread(rng) > 0 ? 0x1p46f : -0x1p46f; }},
    {"squares near the smallest float", 1000000, [](core::Rng rng, int) { return 1e-18f * spread(rng); }},
};

// |mean error| <= 7 u B + u^2 (N + 1) M + N f and |m2 error| <= (12 u + 2 u^2 N + 2 E/s + (E/s)^2) m2 + N f:
// B mean |deviation|, M largest |mean|, E the mean's bound, s^2 = m2 / N, f = 2^-124 for denormals flushed to zero.
void check(const Stream& stream) {
  const runtime::DenormalsFlushed flushed;
  Held<float> held(1, 0);
  uint64_t words[2];
  const core::Rng rng{words};
  core::seed_rng(rng, 3, 0);
  long double sum = 0, largest_mean = 0, deviations = 0;
  for (int i = 0; i < stream.count; ++i) {
    const float x = stream.at(rng, i);
    deviations += fabsl(static_cast<long double>(x) - (i > 0 ? sum / i : 0.0L));
    sum += static_cast<long double>(x);
    largest_mean = fmaxl(largest_mean, fabsl(sum / (i + 1)));
    (void)held.hand_on(x);
  }
  const long double n = stream.count, mean = sum / n;
  core::seed_rng(rng, 3, 0);
  long double m2 = 0;
  for (int i = 0; i < stream.count; ++i) {
    const long double off = static_cast<long double>(stream.at(rng, i)) - mean;
    m2 += off * off;
  }
  const long double u = kUnit, flush = n * 0x1p-124L;
  const long double mean_bound = 7 * u * deviations / n + u * u * (n + 1) * largest_mean + flush;
  const long double ratio = mean_bound / sqrtl(m2 / n);
  const long double m2_bound = (12 * u + 2 * u * u * n + 2 * ratio + ratio * ratio) * m2 + flush;
  const long double mean_error = fabsl(static_cast<long double>(held.mean()) - mean);
  const long double m2_error = fabsl(static_cast<long double>(held.m2()) - m2);
  printf("%-34s mean %.1Le of %.1Le allowed, m2 %.1Le of %.1Le (deviations: %.1Le)\n", stream.name, mean_error,
         mean_bound, m2_error, m2_bound, mean_error / sqrtl(m2 / n));
  CHECK(mean_error <= mean_bound);
  CHECK(m2_error <= m2_bound);
}

}  // namespace

int main() {
  for (const Stream& stream : kStreams) check(stream);

  // At rest: 0 for any input, until it moves during learning; then scaled by its share of the time, and bounded.
  for (const double bound : {0.0, 10.0}) {
    Held<float> still(1, bound);
    for (int i = 0; i < 1000; ++i) CHECK(still.hand_on(0.1f) == 0.0f);
    CHECK(still.seen(0.1f + 1e-3f) == 0.0f && still.seen(3.4e38f) == 0.0f);
    for (int k = 1; k <= 1000; ++k) {
      const float out = still.hand_on(0.1f + (k % 2 == 0 ? -1e-3f : 1e-3f));
      const float share = static_cast<float>(k) / static_cast<float>(999 + k);
      CHECK(fabsf(out) <= 2.0f * share * share);  // a hum is 1 deviation at most but for the first samples, 2 there
    }
    CHECK(still.normalizer.still[0] == 1000 && still.normalizer.count[0] == 2000);
  }

  // A motion whose square underflows is none.
  {
    const runtime::DenormalsFlushed flushed;
    Held<float> tiny(1, 10.0);
    for (int i = 0; i < 1000; ++i) CHECK(tiny.hand_on(i % 2 == 0 ? 1e-20f : -1e-20f) == 0.0f);
    CHECK(tiny.normalizer.still[0] == 1000);
  }

  // Input larger than any reading: the output is a number, bounded if there is a bound, and the sums stay finite.
  for (const double bound : {0.0, 10.0}) {
    Held<float> wild(1, bound);
    for (int i = 0; i < 1000; ++i) {
      const float out = wild.hand_on(i % 2 == 0 ? 3.4e38f : -3.4e38f);
      CHECK(out - out == 0 && fabsf(out) <= 2.0f);
    }
    CHECK(wild.m2() > 1e28 && wild.m2() < 1e32);
  }

  // One outlier, then as before: output at the bound, and the statistics move as for a sample at the bound.
  Held<float> robust(1, 10.0), plain(1, 0.0);
  uint64_t words[2];
  const core::Rng rng{words};
  core::seed_rng(rng, 5, 0);
  for (int i = 0; i < 1000; ++i) {
    const float x = spread(rng);
    CHECK(robust.hand_on(x) == plain.hand_on(x));  // nothing to bound: the same bits
  }
  const double before = robust.m2(), middle = robust.mean();
  CHECK(robust.hand_on(65535.0f) == 10.0f);
  CHECK(fabs(robust.mean() - middle) <= 1.001 * 10 * sqrt(before / 999) / 1001);
  CHECK(robust.m2() <= before * (1 + 1.001 * 100.0 / 999));
  CHECK(fabsf(robust.seen(0.5f)) > 0.5f);
  (void)plain.hand_on(65535.0f);
  CHECK(fabsf(plain.seen(0.5f)) < 0.05f);  // the purpose of the bound

  // Full: the statistics are frozen instead of wrapping around.
  robust.normalizer.count[0] = learners::kMostSamples;
  const double full = robust.m2();
  (void)robust.hand_on(0.3f);
  CHECK(robust.normalizer.count[0] == learners::kMostSamples && robust.m2() == full);
  return 0;
}
