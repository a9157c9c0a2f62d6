// The learner monitor's windows: means of a learner's own signals over windows of 1 000 updates, and what they show.
// Every loop has them, with or without a supervisor. They are not part of the learner's state: they change no weight,
// no checkpoint holds them, and a rollback leaves them as they are.
//
//   saturated           share of clipped actions above kClippedMost, mean of two windows
//   exploration lost    sigma below kSigmaLeast; discrete: entropy below kEntropyLeast of log(choices)
//   exploration large   sigma above kSigmaMost
//   TD error            mean |delta| above kErrorGrowth times its running mean over the windows before, and above twice
//                       that of the first windows: where rewards are rare, |delta| is small between them, and a sure
//                       prediction that fails is off by twice a reward
//   not finite          delta, sigma or entropy is NaN or infinite: at once
//
// The three in between hold when two windows in a row show them. docs/learner_monitor.md has the measured rates of
// false alarms.
#pragma once

#include "native/learners/policy_head.h"

namespace rtu::learners {

// Finding bits.
constexpr uint32_t kFindingSaturated = 1, kFindingExplorationLost = 2, kFindingExplorationLarge = 4,
                   kFindingTdError = 8, kFindingNonFinite = 16;
constexpr int kFindings = 5;

constexpr uint32_t kWindowSteps = 1000;
constexpr uint32_t kSpreadSteps = 64;  // between two samples of sigma and entropy
constexpr double kClippedMost = 0.9;
constexpr double kSigmaLeast = 0.01, kSigmaMost = 5;  // in units of an action, whose range is -1 to 1
constexpr double kEntropyLeast = 0.01;                // of the entropy of equally likely choices
constexpr double kErrorGrowth = 5;
constexpr uint32_t kErrorWarmup = 5;  // windows before TD errors are compared
constexpr double kErrorHistory = 16;  // windows of their running mean

// Sums over the running window, or means over a complete one.
struct WindowMeans {
  double clipped = 0, error = 0, sigma = 0, entropy = 0;
};

struct LearnerWindows {
  WindowMeans sums, last;  // of the running window, of the last complete one
  uint32_t steps = 0;      // in the running window
  uint32_t errors = 0, spreads = 0;
  uint32_t windows = 0;       // complete ones
  double history = 0;         // running mean of |delta|
  double at_first = 0;        // its value after kErrorWarmup windows
  double clipped_before = 0;  // of the window before the last
  double growth = 0;          // |delta| of the last window as a multiple of what was usual before it
  uint32_t shown = 0;         // Finding bits of the last complete window alone, without kFindingSaturated
  uint32_t now = 0;           // Finding bits that hold
  uint32_t seen = 0;          // that held at some time
  uint32_t unreported = 0;
  uint64_t first[kFindings] = {};  // update in which each was found first
};

inline void find(LearnerWindows& w, uint32_t found, uint64_t step) {
  const uint32_t fresh = found & ~w.seen;
  for (int i = 0; i < kFindings; ++i)
    if ((fresh >> i & 1u) != 0) w.first[i] = step;
  w.now |= found;
  w.seen |= found;
  w.unreported |= fresh;
}

inline uint32_t shown_by(const LearnerWindows& w, const PolicyConfig& policy) {
  uint32_t found = 0;
  if (policy.discrete)
    found |= w.last.entropy < kEntropyLeast * core::logarithm(static_cast<double>(policy.actions))
                 ? kFindingExplorationLost
                 : 0u;
  else
    found |= w.last.sigma < kSigmaLeast  ? kFindingExplorationLost
             : w.last.sigma > kSigmaMost ? kFindingExplorationLarge
                                         : 0u;
  return found | (w.growth > kErrorGrowth ? kFindingTdError : 0u);
}

inline void close_window(LearnerWindows& w, const PolicyConfig& policy, uint64_t step) {
  const double n = w.spreads, errors = w.errors;
  w.last.clipped = w.sums.clipped / (static_cast<double>(w.steps) * policy.width());
  w.last.sigma = w.sums.sigma / n;
  w.last.entropy = w.sums.entropy / n;
  w.growth = 0;
  if (w.errors > 0) {
    w.last.error = w.sums.error / errors;
    if (w.windows == kErrorWarmup) w.at_first = w.history;
    const double least = 2 * w.at_first / kErrorGrowth, usual = w.history > least ? w.history : least;
    w.growth = w.windows >= kErrorWarmup && usual > 0 ? w.last.error / usual : 0;
    const double most = w.windows + 1.0, weight = most < kErrorHistory ? most : kErrorHistory;
    // The first window of a growth is not in the history that the second one is compared with.
    if (!(w.growth > kErrorGrowth) || (w.shown & kFindingTdError) != 0)
      w.history += (w.last.error - w.history) / weight;
  }
  const uint32_t shown = shown_by(w, policy);
  const bool saturated = w.windows > 0 && w.last.clipped + w.clipped_before > 2 * kClippedMost;
  w.clipped_before = w.last.clipped;
  w.now = 0;
  find(w, (shown & w.shown) | (saturated ? kFindingSaturated : 0u), step);
  w.shown = shown;
  w.sums = WindowMeans{};
  w.steps = w.errors = w.spreads = 0;
  ++w.windows;
}

// One update of a learner: the unclipped sample (width) that followed, spread() of its policy, and delta, where known.
// norm: sum of |z|, not finite if an eligibility or a trace is not. step: number of updates that moved weights.
template <class T, class SpreadNow>
void watch(LearnerWindows& w, const PolicyConfig& policy, const T* sample, SpreadNow spread, bool known, double delta,
           float norm, uint64_t step) {
  if (!policy.discrete) {
    int32_t clipped = 0;
    for (int32_t k = 0; k < policy.actions; ++k) clipped += sample[k] > T(1) || sample[k] < T(-1) ? 1 : 0;
    w.sums.clipped += clipped;
  }
  if (known) {
    w.sums.error += core::absolute(delta);
    ++w.errors;
    if (!core::is_finite(delta) || !core::is_finite(norm)) find(w, kFindingNonFinite, step);
  }
  if (w.steps % kSpreadSteps == 0) {
    const Spread now = spread();
    w.sums.sigma += now.sigma;
    w.sums.entropy += now.entropy;
    ++w.spreads;
    if (!core::is_finite(now.sigma) || !core::is_finite(now.entropy)) find(w, kFindingNonFinite, step);
  }
  if (++w.steps == kWindowSteps) close_window(w, policy, step);
}

}  // namespace rtu::learners
