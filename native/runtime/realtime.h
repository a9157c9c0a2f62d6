// Real-time privileges that the loop's thread requests from the system. Best effort: refusals are reported, and the
// loop continues.
#pragma once

#include <stddef.h>

namespace rtu::runtime {

struct RealtimeRequest {
  bool realtime = false;  // SCHED_FIFO with reset-on-fork, memory locked, stack prefaulted; never in lockstep
  int priority = 50;
  int cpu = -1;  // pin to this core; -1: any
};

// One line per privilege that was refused; no allocation.
struct RealtimeReport {
  static constexpr int kLinesMax = 4;
  char lines[kLinesMax][160];
  int count = 0;
};

// For the calling thread.
void enter_realtime(const RealtimeRequest& request, RealtimeReport* report) noexcept;

}  // namespace rtu::runtime
