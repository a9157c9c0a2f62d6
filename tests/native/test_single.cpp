// Elementary functions in float, and a policy's numbers computed with them, against double: each within the bound that
// docs/math_single.md derives, in units of u = 2^-24.
#include <math.h>

#include "check.h"
#include "native/core/single.h"
#include "native/learners/policy_head.h"

namespace {

using namespace rtu;

constexpr double kUnit = 0x1p-24;

// The largest error so far, relative to `size`.
struct Worst {
  double error = 0;
  void see(float ours, double exact, double size) {
    const double off = fabs(static_cast<double>(ours) - exact), e = off == 0 ? 0.0 : off / (kUnit * size);
    if (!(e <= error)) error = e;
  }
  void see(float ours, double exact) { see(ours, exact, fabs(exact)); }
};

void check_functions() {
  Worst e, l, sp, sg, ls, c;
  for (uint32_t bits = 1; bits < 0xff800000u; bits += 4099) {  // both signs, every exponent
    const float x = core::from_bits(bits);
    const double exact = static_cast<double>(x);
    if (!(x - x == 0)) continue;
    if (x <= 88 && x >= -80) e.see(core::exponential(x), exp(exact));
    if (x >= 0x1p-126f) l.see(core::logarithm(x), log(exact));
    if (x < -80 || fabsf(x) < 1e-30f) continue;
    const core::Softplus<float> found = core::softplus_and_slope(x);
    sp.see(found.value, (exact > 0 ? exact : 0.0) + log1p(exp(-fabs(exact))));
    sg.see(found.slope, 1 / (1 + exp(-exact)));
  }
  for (uint64_t i = 0; i < 400000; ++i) {  // shares in steps over all of them, and the first and last ones
    const uint32_t ks[] = {static_cast<uint32_t>(i * 10739), static_cast<uint32_t>(i % 1000),
                           ~static_cast<uint32_t>(i % 1000)};
    for (const uint32_t k : ks) {
      const double share = (k + 0.5) * 0x1p-32, rest = (~k + 0.5) * 0x1p-32;
      ls.see(core::logarithm_of_share(k), share < 0.5 ? log(share) : log1p(-rest));
      c.see(core::cosine_of_share(k), cos(2 * M_PI * share), 1.0);
    }
  }
  printf("in u: exp %.1f log %.1f softplus %.1f its slope %.1f log of a share %.1f cos %.1f\n", e.error, l.error,
         sp.error, sg.error, ls.error, c.error);
  CHECK_BELOW(e.error, 3, "exp");
  CHECK_BELOW(l.error, 4, "log");
  CHECK_BELOW(sp.error, 9, "softplus");
  CHECK_BELOW(sg.error, 5, "slope of softplus");
  CHECK_BELOW(ls.error, 10, "log of a share");
  CHECK_BELOW(c.error, 5, "cos of a share");
  CHECK(core::exponential(-1000.0f) == core::exponential(-80.0f) && core::exponential(0.0f) == 1.0f);
  CHECK(isnan(core::exponential(NAN)) && isnan(core::softplus_and_slope(NAN).value));
}

// The same draws as in double: 12 u of the radius, which is below 6.8.
void check_normal() {
  uint64_t one[2], two[2];
  const core::Rng a{one}, b{two};
  core::seed_rng(a, 7, 0);
  core::seed_rng(b, 7, 0);
  Worst n;
  for (int i = 0; i < 200000; ++i) n.see(core::normal<float>(a), core::normal<double>(b), 6.8);
  printf("in 6.8 u: normal %.1f\n", n.error);
  CHECK_BELOW(n.error, 12, "normal");
  CHECK(one[0] == two[0]);
}

// Not inlined: GCC 12 at -O2 takes two neighbouring doubles, each to float and back, without the rounding
// (findings/gcc_lost_rounding.sh).
__attribute__((noinline)) float between(core::Rng rng, double low, double high) {
  return static_cast<float>(low + (high - low) * core::uniform(rng));
}

void check_continuous(bool correlated) {
  learners::PolicyConfig config;
  config.sigma_floor = correlated ? 0.1 : 0.0;
  config.correlation = correlated ? 0.6 : 0.0;
  uint64_t words[2];
  const core::Rng rng{words};
  core::seed_rng(rng, correlated ? 3 : 4, 0);
  Worst of_mu, of_s, of_entropy;
  for (int i = 0; i < 100000; ++i) {
    const float y[] = {between(rng, -2, 2), between(rng, -10, 10)};
    const float shift = between(rng, -1, 1), *noise = correlated ? &shift : nullptr;
    float action = 0, log_pi[2], entropy[2];
    learners::sample(config, y, rng, &action, noise);
    learners::policy_cotangents<float>(config, y, &action, noise, nullptr, log_pi, entropy);
    const double wide[] = {static_cast<double>(y[0]), static_cast<double>(y[1])}, drawn = static_cast<double>(action),
                 wide_shift = static_cast<double>(shift);
    double exact[2], exact_entropy[2];
    learners::policy_cotangents<double>(config, wide, &drawn, correlated ? &wide_shift : nullptr, nullptr, exact,
                                        exact_entropy);
    const double sigma = learners::sigma_of(config, wide[1]), own = sigma * (correlated ? 0.8 : 1.0),
                 mean = wide[0] + (correlated ? wide_shift : 0.0), z = fabs(drawn - mean) / own,
                 off = correlated ? fabs(mean) / own : 0.0, scale = exact_entropy[1];
    // z is off by 14 u of itself and, where the mean is rounded, by u |mean| / own.
    of_mu.see(log_pi[0], exact[0], (27 * z + off) / own);
    of_s.see(log_pi[1], exact[1], scale * (2 * z * (14 * z + off) + 18 * fabs(z * z - 1) + 2 * z * z + 2));
    of_entropy.see(entropy[1], exact_entropy[1], 16 * scale);
  }
  printf("of their bounds: d log pi / d mu %.2f, d s %.2f, dH / d s %.2f\n", of_mu.error, of_s.error, of_entropy.error);
  CHECK_BELOW(of_mu.error, 1, "d log pi / d mu");
  CHECK_BELOW(of_s.error, 1, "d log pi / d s");
  CHECK_BELOW(of_entropy.error, 1, "dH / d s");
}

void check_discrete(int32_t actions) {
  learners::PolicyConfig config;
  config.discrete = true;
  config.actions = actions;
  uint64_t words[2];
  const core::Rng rng{words};
  core::seed_rng(rng, 5, 0);
  Worst of_pi, of_entropy;
  for (int i = 0; i < 4000; ++i) {
    const double spread = pow(10, static_cast<double>(between(rng, -3, 3)));
    float y[learners::kMaxActions] = {}, action = 0, log_pi[learners::kMaxActions], entropy[learners::kMaxActions];
    double wide[learners::kMaxActions], exact[learners::kMaxActions], exact_entropy[learners::kMaxActions];
    for (int32_t k = 0; k < actions; ++k) y[k] = between(rng, -spread, spread);
    for (int32_t k = 0; k < actions; ++k) wide[k] = static_cast<double>(y[k]);
    learners::sample(config, y, rng, &action);
    const double drawn = static_cast<double>(action);
    learners::policy_cotangents<float>(config, y, &action, nullptr, nullptr, log_pi, entropy);
    learners::policy_cotangents<double>(config, wide, &drawn, nullptr, nullptr, exact, exact_entropy);
    for (int32_t k = 0; k < actions; ++k) {
      CHECK(log_pi[k] - log_pi[k] == 0 && entropy[k] - entropy[k] == 0);
      of_pi.see(log_pi[k], exact[k], actions + 10);
      of_entropy.see(entropy[k], exact_entropy[k], (2 * actions + 20) * (1 + log(actions)));
    }
  }
  printf("%d actions, of their bounds: d log pi %.2f, dH %.2f\n", actions, of_pi.error, of_entropy.error);
  CHECK_BELOW(of_pi.error, 1, "d log pi of logits");
  CHECK_BELOW(of_entropy.error, 1, "dH of logits");
}

}  // namespace

int main() {
  check_functions();
  check_normal();
  check_continuous(false);
  check_continuous(true);
  const int32_t sizes[] = {2, 7, 64};
  for (const int32_t actions : sizes) check_discrete(actions);
  return 0;
}
