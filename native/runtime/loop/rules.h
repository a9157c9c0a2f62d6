// Start time of the next step, without input or output: arithmetic on times that are passed in. Overruns skip whole
// periods and are counted; missed periods are never made up in a burst.
#pragma once

#include <stdint.h>

#include "native/runtime/clock.h"

namespace rtu::runtime::loop {

// clock = host: slots at start + k * period.
struct DeadlineRule {
  int64_t period_ns = 0;
  int64_t next_ns = 0;  // start of the next slot to run
  uint64_t skipped = 0;

  void start(int64_t now_ns, int64_t period) noexcept {
    period_ns = period;
    next_ns = now_ns + period;
    skipped = 0;
  }

  // Call after the slot at next_ns. A tick that took 3.2 periods: next start at slot 4, three skipped. Returns the
  // number of slots skipped now.
  uint64_t finish(int64_t now_ns) noexcept {
    next_ns += period_ns;
    if (now_ns <= next_ns) return 0;
    const int64_t behind = (now_ns - next_ns + period_ns - 1) / period_ns;
    next_ns += behind * period_ns;
    skipped += static_cast<uint64_t>(behind);
    return static_cast<uint64_t>(behind);
  }
};

// clock = device: one step per new STATE; a watchdog fires 1.5 periods after the last one and then each period.
struct DeviceTickRule {
  int64_t period_ns = 0;
  int64_t watchdog_ns = 0;  // fires when the time reaches this
  int64_t begun_ns = 0;     // start of the current step
  uint32_t last_us = 0;     // the device's stamp of the last STATE, stepped or skipped
  bool any = false;
  uint64_t skipped =
      0;  // device periods that passed without a step: STATE lost, superseded, or arrived while overrunning
  uint64_t missed = 0;  // watchdog

  void start(int64_t now_ns, int64_t period) noexcept {
    *this = DeviceTickRule{};
    period_ns = period;
    watchdog_ns = now_ns + period + period / 2;
  }

  // 32-bit microseconds wrap: compare by difference. A repeated or older STATE is not new.
  bool is_new(uint32_t t_us) const noexcept { return !any || static_cast<int32_t>(t_us - last_us) > 0; }

  // Call before a new STATE is stepped (or, skip = true, dropped). Returns the periods skipped before it.
  uint64_t on_state(int64_t now_ns, uint32_t t_us, bool skip) noexcept {
    uint64_t gap = 0;
    if (any) {
      const int64_t elapsed_ns = static_cast<int64_t>(t_us - last_us) * kNsPerUs;
      const int64_t periods = (elapsed_ns + period_ns / 2) / period_ns;
      gap = periods > 1 ? static_cast<uint64_t>(periods - 1) : 0;
    }
    any = true;
    last_us = t_us;
    watchdog_ns = now_ns + period_ns + period_ns / 2;
    skipped += gap + (skip ? 1 : 0);
    if (!skip) begun_ns = now_ns;
    return gap;
  }

  // Suspends the watchdog, for example while the plant is being reset.
  void quiet(int64_t now_ns) noexcept { watchdog_ns = now_ns + period_ns + period_ns / 2; }

  // True when the step that began at begun_ns took a whole period or more: queued STATEs are stale.
  bool overran(int64_t now_ns) const noexcept { return now_ns - begun_ns >= period_ns; }

  // Returns true (and counts) when a STATE is overdue.
  bool expired(int64_t now_ns) noexcept {
    if (now_ns < watchdog_ns) return false;
    const int64_t periods = 1 + (now_ns - watchdog_ns) / period_ns;
    missed += static_cast<uint64_t>(periods);
    watchdog_ns += periods * period_ns;
    return true;
  }
};

// Decides whether work such as a weight update still fits into the period. Its cost is the 99 % quantile of the
// measured durations, tracked in small steps: a single interruption of milliseconds moves it by a sixteenth; it follows
// a slower processor within a dozen steps. It also decays while updates are dropped, so that about one in a hundred is
// retried.
struct CostRule {
  static constexpr double kGain = 1.0 / 16;
  static constexpr double kQuantile = 0.99;
  static constexpr double kLeastNs = 1000;  // the smallest step, so that a cost of 0 can rise

  double cost_ns = 0;
  bool any = false;

  // slack_ns: from now to the start of the next period.
  bool fits(int64_t slack_ns) const noexcept { return static_cast<double>(slack_ns) >= cost_ns; }

  // For measurements before the run: keeps the minimum.
  void first(int64_t ns) noexcept {
    const auto cost = static_cast<double>(ns);
    if (!any || cost < cost_ns) cost_ns = cost;
    any = true;
  }

  void took(int64_t ns) noexcept {
    const auto cost = static_cast<double>(ns);
    if (!any) {
      cost_ns = cost;
    } else if (cost > cost_ns) {
      cost_ns += kQuantile * (kGain * cost_ns + kLeastNs);
    } else {
      fall();
    }
    any = true;
  }

  // Call for a dropped update too. Not for postponed work: waiting costs nothing, and a trial could be late.
  void fall() noexcept { cost_ns -= (1 - kQuantile) * kGain * cost_ns; }
};

// Lateness of a STATE: its one-way delay above the smallest one seen, which is the offset of the two clocks.
// The minimum leaks upwards by 200 ppm so that it follows the drift between two crystals.
struct LatenessRule {
  int64_t offset_ns = 0;
  int64_t device_ns = 0;  // unwrapped
  int64_t at_ns = 0;
  uint32_t last_us = 0;
  bool any = false;

  int64_t on_state(int64_t now_ns, uint32_t t_us) noexcept {
    device_ns += any ? static_cast<int64_t>(static_cast<int32_t>(t_us - last_us)) * kNsPerUs : 0;
    last_us = t_us;
    const int64_t offset = now_ns - device_ns;
    const int64_t leaked = offset_ns + (now_ns - at_ns) / 5000;
    if (!any || offset < leaked) {
      offset_ns = offset;
    } else {
      offset_ns = leaked;
    }
    any = true;
    at_ns = now_ns;
    return offset - offset_ns;
  }
};

}  // namespace rtu::runtime::loop
