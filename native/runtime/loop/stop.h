// The stop request of a loop and its reason: the first reason is kept, but an emergency stop replaces any other.
#pragma once

#include <stdint.h>

#include <atomic>

#include "native/runtime/link/link.h"
#include "native/runtime/record/status.h"

namespace rtu::runtime::loop {

class Stop {
 public:
  // Emergency stops requested before construction do not count.
  Stop(link::Link& link, bool handle_signals) noexcept
      : link_(link),
        handle_signals_(handle_signals),
        estops_before_(link.estop_requests.load(std::memory_order_relaxed)) {}

  // Callable from any thread.
  void request() noexcept { requested_.store(true, std::memory_order_relaxed); }

  // For the loop's thread. detail: more of the message, or "".
  void set(record::StopReason reason, const char* message, const char* detail = "") noexcept;
  void withdraw() noexcept;        // a lost device may come back; an emergency stop stays
  bool check_requests() noexcept;  // checks signals, emergency stops and request(); true when the loop has to stop
  bool is_set() const noexcept { return reason_ != record::StopReason::kNone; }
  bool is_estop() const noexcept { return reason_ == record::StopReason::kEstop; }
  record::StopReason reason() const noexcept { return reason_; }
  const char* message() const noexcept { return message_; }

 private:
  link::Link& link_;
  bool handle_signals_;
  uint32_t estops_before_;
  std::atomic<bool> requested_{false};
  record::StopReason reason_ = record::StopReason::kNone;
  char message_[320] = {};
};

}  // namespace rtu::runtime::loop
