// The supervisor's reaction to findings of the learner monitor: counts, rollbacks, snapshots, freezing the learner.
#include "native/runtime/safety/supervisor.h"

namespace rtu::runtime::safety {

// The learner monitor's checks after a step, and the reaction to them.
void Supervisor::inspect(bool learned, bool terminated) noexcept {
  memory_.inspected = 1;
  if (monitored_ && memory_.triggers == 0) {
    uint32_t found = learner_.healthy != nullptr && !learner_.healthy(learner_.self)
                         ? static_cast<uint32_t>(learners::kTriggerNonFinite)
                         : learners::inspect_state(monitor_);
    if (found == 0 && learned && !terminated && learner_.info != nullptr)
      found = learners::inspect_delta(monitor_, static_cast<double>(learner_.info(learner_.self)->delta));
    trip(found);
  }
  if (memory_.triggers != 0) {
    roll_back();
  } else if (monitored_ && learns()) {
    age_snapshots();
  }
}

void Supervisor::age_snapshots() noexcept {
  switch (learners::age_snapshots(monitor_)) {
    case learners::SnapshotEvent::kNone:
      return;
    case learners::SnapshotEvent::kTaken:
      uncopied_ |= 1u << monitor_.memory.candidate;
      ++counters_.snapshots;
      info_.learner_monitor |= kMonitorSnapshot;
      return;
    case learners::SnapshotEvent::kRefused:
      ++counters_.snapshots_refused;
      info_.learner_monitor |= kMonitorSnapshotRefused;
      trip(learners::kTriggerNonFinite);
      return roll_back();
    case learners::SnapshotEvent::kValidated:
      ++counters_.snapshots_validated;
      info_.learner_monitor |= kMonitorValidated;
      memory_.rollbacks = 0;
      // A halved step size recovers step by step; otherwise a long run with occasional faults would stop learning.
      if (memory_.halvings > 0 && learner_.halvings != nullptr) learner_.halvings(learner_.self, --memory_.halvings);
      return;
  }
}

void Supervisor::check_fallback_rate(bool forced) noexcept {
  if (!monitored_ || options_.rate_window == 0) return;
  memory_.rate_forced += forced ? 1u : 0u;
  if (++memory_.rate_steps < options_.rate_window) return;
  const bool often = static_cast<float>(memory_.rate_forced) > options_.rate * static_cast<float>(memory_.rate_steps);
  memory_.rate_steps = memory_.rate_forced = 0;
  if (often && memory_.frozen == 0) trip(learners::kTriggerFallbackRate);
}

void Supervisor::trip(uint32_t triggers) noexcept {
  memory_.triggers |= triggers;
  info_.learner_monitor |= triggers;
  counters_.monitor_non_finite += (triggers & learners::kTriggerNonFinite) != 0;
  counters_.monitor_weights += (triggers & learners::kTriggerWeights) != 0;
  counters_.monitor_td_error += (triggers & learners::kTriggerTdError) != 0;
  counters_.monitor_saturated += (triggers & learners::kTriggerSaturated) != 0;
  counters_.monitor_retention += (triggers & learners::kTriggerRetention) != 0;
  counters_.monitor_fallback_rate += (triggers & learners::kTriggerFallbackRate) != 0;
  counters_.monitor_failed += (triggers & learners::kTriggerFailed) != 0;
  counters_.monitor_normalizer += (triggers & learners::kTriggerNormalizer) != 0;
}

void Supervisor::roll_back() noexcept {
  if (options_.mode != Mode::kShadow) force_fallback();
  memory_.recovered = 0;
  memory_.restart = 1;
  if (!monitored_) return;
  learners::roll_back(monitor_);
  ++counters_.rollbacks;
  info_.learner_monitor |= kMonitorRolledBack;
  if (memory_.halvings < learners::kMaxHalvings) ++memory_.halvings;
  if (++memory_.rollbacks <= options_.max_rollbacks) return;
  memory_.frozen = 1;
  counters_.monitor_frozen.set(1);
  info_.learner_monitor |= kMonitorFrozen;
}

}  // namespace rtu::runtime::safety
