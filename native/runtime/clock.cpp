#include "native/runtime/clock.h"

#include <time.h>

namespace rtu::runtime {
namespace {

int64_t monotonic_now(void*) noexcept {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<int64_t>(t.tv_sec) * kNsPerS + t.tv_nsec;
}

void monotonic_sleep_until(void*, int64_t deadline_ns) noexcept {
  timespec t{};
  t.tv_sec = static_cast<time_t>(deadline_ns / kNsPerS);
  t.tv_nsec = static_cast<long>(deadline_ns % kNsPerS);
  clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, nullptr);
}

int64_t virtual_now(void* self) noexcept { return static_cast<VirtualClock*>(self)->t_ns; }

void virtual_sleep_until(void* self, int64_t deadline_ns) noexcept {
  auto* clock = static_cast<VirtualClock*>(self);
  if (deadline_ns > clock->t_ns) clock->t_ns = deadline_ns;
}

}  // namespace

Clock monotonic_clock() noexcept { return {nullptr, monotonic_now, monotonic_sleep_until}; }

Clock VirtualClock::clock() noexcept { return {this, virtual_now, virtual_sleep_until}; }

}  // namespace rtu::runtime
