// Time is an argument: the loop and its rules read an injected clock. Nanoseconds of a monotonic clock.
#pragma once

#include <stdint.h>

namespace rtu::runtime {

constexpr int64_t kNsPerUs = 1000;
constexpr int64_t kNsPerMs = 1000 * 1000;
constexpr int64_t kNsPerS = 1000 * 1000 * 1000;

constexpr int64_t earlier(int64_t a, int64_t b) noexcept { return a < b ? a : b; }

struct Clock {
  void* self = nullptr;
  int64_t (*now_ns)(void* self) noexcept = nullptr;
  void (*sleep_until)(void* self, int64_t deadline_ns) noexcept = nullptr;  // absolute: never accumulates an error

  int64_t now() const noexcept { return now_ns(self); }
  void sleep(int64_t deadline_ns) const noexcept { sleep_until(self, deadline_ns); }
};

// CLOCK_MONOTONIC.
Clock monotonic_clock() noexcept;

// A manual clock: advances only by request; sleeping jumps to the deadline.
struct VirtualClock {
  int64_t t_ns = 0;

  Clock clock() noexcept;
  void advance(int64_t ns) noexcept { t_ns += ns; }
};

}  // namespace rtu::runtime
