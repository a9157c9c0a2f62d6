// Measures the duration of the parts of a step on this host, with a given clock.
#pragma once

#include <stdint.h>

#include "native/runtime/clock.h"

namespace rtu::runtime {

// A learner with a synthetic stream to run on. None of the functions allocates or fails.
struct Subject {
  void* self = nullptr;
  void (*predict)(void* self) noexcept = nullptr;  // first half of a step
  void (*advance)(void* self) noexcept = nullptr;  // second half by the deadline rule: traces, and no weight moves
  void (*step)(void* self) noexcept = nullptr;     // a whole step that learns
};

// Medians, in ns; they add up to a whole step. Measured back to back with warm caches: a loop that sleeps between steps
// takes longer.
struct StepTimes {
  double predict_ns = 0, traces_ns = 0, update_ns = 0;
  int64_t rounds = 0;
};

// Runs for budget_ns, but at least for a few rounds.
StepTimes calibrate(const Subject& subject, const Clock& clock, int64_t budget_ns);

}  // namespace rtu::runtime
