#include "native/runtime/loop/plant_watch.h"

#include <stdio.h>

namespace rtu::runtime::loop {

using safety::Check;

bool PlantWatch::note() noexcept {
  const safety::CheckFinding found = checks_.finding();
  const uint32_t word = static_cast<uint32_t>(found.check) | found.channel << 8;
  if (word != word_) {
    run_.link.board.check.store(word, std::memory_order_relaxed);
    run_.counters.check_effect += found.check == Check::kEffect;
    run_.counters.check_still += found.check == Check::kStill;
    run_.counters.check_reward += found.check == Check::kReward;
    word_ = word;
  }
  if (found.stops && !run_.stop.is_set()) stop(found);
  return found.check != Check::kNone;
}

void PlantWatch::stop(const safety::CheckFinding& found) noexcept {
  const LoopOptions& options = run_.options;
  const double seconds = static_cast<double>(options.checks.stop_steps) * static_cast<double>(run_.period_ns) * 1e-9;
  const auto& names = found.check == Check::kEffect ? options.actuator_names : options.observation_names;
  const char* const name = found.channel < names.size() ? names[found.channel].c_str() : "?";
  char* const text = run_.link.failed_check;
  constexpr size_t kSize = sizeof run_.link.failed_check;
  if (found.check == Check::kEffect)
    snprintf(text, kSize, "actuator %s has no effect: commanded for %.3g s, and nothing has moved", name, seconds);
  else if (found.check == Check::kStill)
    snprintf(text, kSize, "observation %s has stood still for %.3g s while the commands moved", name, seconds);
  else
    snprintf(text, kSize, "the reward has not been finite for %.3g s", seconds);
  run_.stop.set(found.check == Check::kReward ? StopReason::kReward : StopReason::kCheck, text);
}

}  // namespace rtu::runtime::loop
