#include "native/runtime/safety/sensor_monitor.h"

#include <string.h>

#include <cmath>

namespace rtu::runtime::safety {
namespace {

float clamp(float value, float low, float high) noexcept { return !(value >= low) ? low : value > high ? high : value; }

bool same_bits(float a, float b) noexcept { return memcmp(&a, &b, sizeof a) == 0; }

SensorAction action_for(const SensorChannel& channel, uint32_t fault) noexcept {
  if ((fault & (kSensorNonFinite | kSensorDropout)) != 0) return channel.on_dropout;
  if ((fault & kSensorSpike) != 0) return channel.on_spike;
  if ((fault & kSensorRange) != 0) return channel.on_range;
  return channel.on_stuck;
}

}  // namespace

void SensorMonitor::begin() noexcept {
  for (int i = 0; i < n; ++i) memory_[i] = Memory{};
}

// The first fault found in x, or 0.
uint32_t SensorMonitor::fault(const SensorChannel& channel, Memory& memory, float x, float moved) noexcept {
  if (std::isnan(x)) return kSensorDropout;
  if (std::isinf(x)) return kSensorNonFinite;
  const bool same = memory.any_raw && same_bits(x, memory.raw);
  memory.same = same ? memory.same + 1 : 0;
  memory.moved = same ? memory.moved + moved : 0;
  const bool close = memory.any_raw && std::fabs(x - memory.raw) <= channel.spike;
  memory.agree = close ? memory.agree + 1 : 0;
  memory.raw = x;
  memory.any_raw = true;
  // A spike disappears again; a value that persists is a new level. Checked before the range: an impossible reading is
  // no measurement.
  if (channel.spike > 0 && memory.any_good && std::fabs(x - memory.good) > channel.spike && memory.agree < kAgreeSteps)
    return kSensorSpike;
  if (!(x >= channel.low && x <= channel.high)) return kSensorRange;
  if (channel.stuck_steps > 0 && memory.same >= channel.stuck_steps && memory.moved >= kStuckCommand)
    return kSensorStuck;
  return 0;
}

// The replacement of x. Returns further flags.
uint32_t SensorMonitor::replace(const SensorChannel& channel, Memory& memory, float x, uint32_t fault,
                                float* out) noexcept {
  const SensorAction action = action_for(channel, fault);
  if (action == SensorAction::kClamp && (fault & (kSensorRange | kSensorSpike)) != 0) {
    float value = clamp(x, channel.low, channel.high);
    if ((fault & kSensorSpike) != 0) value = clamp(value, memory.good - channel.spike, memory.good + channel.spike);
    *out = memory.good = value;
    memory.any_good = true;
    memory.held = 0;
    return kSensorClamped;
  }
  // No valid reading yet: the middle of the range is no measurement, so the fallback has to drive.
  const bool blind = !memory.any_good;
  *out = blind ? clamp(0, channel.low, channel.high) : memory.good;
  ++memory.held;
  uint32_t flags = kSensorHeld;
  if (blind || action == SensorAction::kFallback || action == SensorAction::kStop || memory.held > channel.hold_steps)
    flags |= kSensorFallback;
  if (action == SensorAction::kStop) flags |= kSensorStop;
  return flags;
}

SensorReport SensorMonitor::apply(const float* x, float moved, float* out,
                                  record::SupervisorCounters* counters) noexcept {
  SensorReport verdict;
  for (int i = 0; i < n; ++i) {
    Memory& memory = memory_[i];
    uint32_t flags = fault(channels[i], memory, x[i], moved);
    if (flags == 0) {
      out[i] = memory.good = x[i];
      memory.any_good = true;
      memory.held = 0;
      continue;
    }
    flags |= replace(channels[i], memory, x[i], flags, out + i);
    if (verdict.flags == 0) verdict.channel = static_cast<uint32_t>(i);
    verdict.flags |= flags;
  }
  counters->sensor_non_finite += (verdict.flags & kSensorNonFinite) != 0;
  counters->sensor_dropouts += (verdict.flags & kSensorDropout) != 0;
  counters->sensor_range += (verdict.flags & kSensorRange) != 0;
  counters->sensor_spikes += (verdict.flags & kSensorSpike) != 0;
  counters->sensor_stuck += (verdict.flags & kSensorStuck) != 0;
  counters->sensor_held += (verdict.flags & kSensorHeld) != 0;
  counters->sensor_clamped += (verdict.flags & kSensorClamped) != 0;
  counters->sensor_fallbacks += (verdict.flags & kSensorFallback) != 0;
  counters->sensor_stops += (verdict.flags & kSensorStop) != 0;
  return verdict;
}

}  // namespace rtu::runtime::safety
