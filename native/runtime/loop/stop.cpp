#include "native/runtime/loop/stop.h"

#include <stdio.h>

#include "native/runtime/signals.h"

namespace rtu::runtime::loop {

using record::StopReason;

void Stop::set(StopReason reason, const char* message, const char* detail) noexcept {
  if (reason_ != StopReason::kNone && reason != StopReason::kEstop) return;
  reason_ = reason;
  snprintf(message_, sizeof message_, "%s%s%s", message, *detail != 0 ? ": " : "", detail);
}

void Stop::withdraw() noexcept {
  if (reason_ != StopReason::kEstop) reason_ = StopReason::kNone;
}

bool Stop::check_requests() noexcept {
  const int signals = handle_signals_ ? signals_caught() : 0;
  if (signals >= 2) {
    set(StopReason::kEstop, "second signal");
  } else if (link_.estop_requests.load(std::memory_order_relaxed) != estops_before_ ||
             link_.estops_open.load(std::memory_order_relaxed) != 0) {
    set(StopReason::kEstop, "emergency stop requested");
  } else if (signals == 1) {
    set(StopReason::kSignal, "signal");
  } else if (requested_.load(std::memory_order_relaxed)) {
    set(StopReason::kRequest, "stop requested");
  }
  return is_set();
}

}  // namespace rtu::runtime::loop
