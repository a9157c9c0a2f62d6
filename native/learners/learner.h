// Shared by the learners: the phase of a step, its report, and the input of a network.
#pragma once

#include "native/learners/network_update.h"
#include "native/learners/normalizer.h"

namespace rtu::learners {

using core::Status;

// Report of a step, for telemetry.
struct StepInfo {
  float value = 0, delta = 0, step_size_actor = 0, step_size_critic = 0;
  float norm = 0;  // sum |z| over every eligibility: not finite if one of them, or a trace, is not
};

enum class Phase : uint64_t { kEnded = 0, kReady = 1, kPredicted = 2 };

// kDeviated: 1 if the newest action is not greedy, of the one before, of the one before that (stream_q.h).
enum Counter : int {
  kPhase = 0,
  kFirst = 1,
  kSteps = 2,
  kEpisodes = 3,
  kTracesStale = 4,
  kDeviated = 5,
  kDeviatedBefore = 6,
  kDeviatedLast = 7,
  kCounters = 8
};
// Predictors have kSquare; stream learners have kReturnLow in its place, which is 0 in double.
enum Scalar : int { kValue = 0, kReturn = 1, kHalvings = 2, kSquare = 3, kReturnLow = 3, kScalars = 4 };

template <class T>
bool all_finite(const T* x, int32_t n) {
  for (int32_t i = 0; i < n; ++i)
    if (!core::is_finite(x[i])) return false;
  return true;
}

enum class Statistics { kLearn, kKeep };

// The network's input from x: normalised, with statistics that are updated by x or kept unchanged; or x itself.
template <class T>
void set_input(const Network<T>& net, const Normalizer<T>& normalizer, bool normalized, Statistics statistics,
               const T* x) {
  if (normalized && statistics == Statistics::kLearn)
    observe(normalizer, x, input_of(net));
  else if (normalized)
    normalize(normalizer, x, input_of(net));
  else
    memcpy(input_of(net), x, static_cast<size_t>(normalizer.size) * sizeof(T));
}

}  // namespace rtu::learners
