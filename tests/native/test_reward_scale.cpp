// The running return, the scale of rewards and delta in float against long double, over ten million steps, within the
// bounds that docs/math_single.md derives.
#include <math.h>

#include "check.h"
#include "native/core/rng.h"
#include "native/learners/stream_ac.h"

namespace {

using namespace rtu;

constexpr long double kUnit = 0x1p-24L;
constexpr int kSteps = 10000000, kChange = 9000000;  // then rewards are three times as large

// The scale of rewards as a learner computes it.
struct Ours {
  float sums[4] = {}, u = 0, low = 0;
  int32_t count = 0;

  float scaled(float gamma_form, float reward) {
    const learners::Normalizer<float> of{1, 0.0f, &sums[0], &sums[1], &sums[2], &sums[3], &count, nullptr};
    return learners::scaled_reward(gamma_form, of, u, low, reward);
  }
};

// Welford 1962.
struct Exact {
  long double u = 0, mean = 0, m2 = 0;
  void take(double gamma, float reward, int n) {
    u = static_cast<long double>(gamma) * u + static_cast<long double>(reward);
    const long double off = u - mean;
    mean += off / n;
    m2 += off * (u - mean);
  }
};

float reward_at(core::Rng rng, int step) {
  const float noise = static_cast<float>(core::next_u32(rng) >> 8u) * 0x1p-23f - 1.0f;
  return (step < kChange ? 1.0f : 3.0f) * (0.3f + noise);
}

void check_return(double gamma) {
  uint64_t words[2];
  const core::Rng rng{words};
  core::seed_rng(rng, 11, 0);
  Ours ours;
  Exact exact;
  const float form = learners::discount<float>(gamma);
  float plain = 0;
  long double worst = 0, worst_plain = 0, before = 0;
  for (int step = 0; step < kSteps; ++step) {
    const float reward = reward_at(rng, step);
    (void)ours.scaled(form, reward);
    exact.take(gamma, reward, step + 1);
    plain = static_cast<float>(gamma) * plain + reward;
    worst = fmaxl(worst, fabsl(static_cast<long double>(ours.u) - exact.u));
    worst_plain = fmaxl(worst_plain, fabsl(static_cast<long double>(plain) - exact.u));
    if (step + 1 == kChange) before = exact.m2 / step;
  }
  const long double bound = 8 * kUnit * (3 * 1.3L) / (1 - static_cast<long double>(gamma));
  const long double variance = exact.m2 / (kSteps - 1), found = static_cast<long double>(ours.sums[2]) / (kSteps - 1),
                    off = fabsl(found / variance - 1);
  printf("gamma %g: return off by %.2Lg of %.2Lg allowed (plain float: %.2Lg); variance %.6Lg, off by %.2Lg of it\n",
         gamma, worst, bound, worst_plain, variance, off);
  CHECK(worst <= bound);
  CHECK(worst_plain > bound);      // what the compensated sum is for
  CHECK(variance > 1.5 * before);  // the last million steps count
  CHECK(off <= 40 * kUnit);
}

void check_delta(double gamma) {
  uint64_t words[2];
  const core::Rng rng{words};
  core::seed_rng(rng, 13, 0);
  const float form = learners::discount<float>(gamma);
  double worst = 0;
  for (int i = 0; i < 1000000; ++i) {
    const float reward = reward_at(rng, 0), next = 100.0f * reward_at(rng, 0), value = next + reward_at(rng, 0);
    const double r = static_cast<double>(reward), v = static_cast<double>(next), w = static_cast<double>(value),
                 exact = learners::td_error(gamma, r, v, w),
                 bound = static_cast<double>(kUnit) * 3 * (fabs(r) + fabs(v - w) + (1 - gamma) * fabs(v));
    worst = fmax(worst, fabs(static_cast<double>(learners::td_error(form, reward, next, value)) - exact) / bound);
  }
  printf("gamma %g: delta %.2f of its bound\n", gamma, worst);
  CHECK_BELOW(worst, 1, "delta");
}

}  // namespace

int main() {
  check_return(0.9999);
  const double gammas[] = {0.0, 0.5, 0.99, 0.999999, 1.0};
  for (const double gamma : gammas) check_delta(gamma);

  // Rewards of any size leave finite sums; the statistics are those of +-2^46.
  Ours wild;
  for (int i = 0; i < 1000; ++i) {
    const float scaled = wild.scaled(learners::discount<float>(1.0), i % 2 == 0 ? 3.4e38f : -3.4e38f);
    CHECK(wild.u - wild.u == 0 && wild.low - wild.low == 0 && scaled - scaled == 0);
  }
  CHECK(wild.sums[2] > 1e28f && wild.sums[2] < 1e33f);
  return 0;
}
