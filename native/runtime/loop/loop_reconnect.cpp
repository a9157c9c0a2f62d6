// From a lost session to the next one with the same device. The episode is cut at the last observation before the loss,
// as by a truncation: the transition across the gap is never learned from (docs/math_learners.md).
#include <stdio.h>
#include <string.h>

#include "native/runtime/loop/loop.h"

namespace rtu::runtime::loop {
namespace {

constexpr int64_t kLookNs = 5 * kNsPerMs;  // between two checks of a port that is gone

}  // namespace

// Waits for the device, for at most reconnect_ns from its last STATE. A session without a step does not prolong that.
bool Loop::reconnect() noexcept {
  if (!may_come_back()) return false;
  const uint64_t steps = run_.counters.steps.get();
  if (steps != steps_at_loss_) lost_ns_ = session_.heard_ns();
  steps_at_loss_ = steps;
  const StopReason reason = run_.stop.reason();
  char message[140];
  snprintf(message, sizeof message, "%.139s", run_.stop.message());
  leave_episode();
  const int64_t give_up_ns = lost_ns_ + run_.options.reconnect_ns;
  while (run_.clock.now() < give_up_ns) {
    run_.stop.withdraw();
    if (run_.stop.check_requests()) return false;
    run_.link.board.turns.fetch_add(1, std::memory_order_relaxed);
    if (rejoin(give_up_ns)) return true;
    if (run_.stop.is_set() && run_.stop.reason() != StopReason::kLinkLost) return false;
  }
  char detail[60];
  snprintf(detail, sizeof detail, "not back within %g s", static_cast<double>(run_.options.reconnect_ns) * 1e-9);
  run_.stop.withdraw();
  run_.stop.set(reason, message, detail);
  return false;
}

// Whether the session ended by a loss of the link, and the options allow another one.
bool Loop::may_come_back() noexcept {
  const LoopOptions& options = run_.options;
  const uint64_t done = run_.counters.reconnects.get();
  if (options.reconnect_ns == 0 || options.dry_run || run_.counters.steps.get() == 0) return false;
  if (options.max_reconnects > 0 && done >= options.max_reconnects) return false;
  const StopReason reason = run_.stop.reason();
  return reason == StopReason::kLinkLost || reason == StopReason::kHalfOpen || reason == StopReason::kDeviceSafe;
}

void Loop::leave_episode() noexcept {
  episode_.await_next(false);
  start_.restart();
  chosen_valid_ = limiter_started_ = was_reset_ = false;
  bad_actions_ = 0;
  run_.link.recording = false;
  run_.link.board.device_state.store(-1, std::memory_order_relaxed);
}

// One attempt; false without a stop while the port is gone.
bool Loop::rejoin(int64_t give_up_ns) noexcept {
  const Reopen& reopen = run_.options.reopen;
  if (session_.is_gone() && (reopen.is_open == nullptr || !reopen.is_open(reopen.self))) {
    run_.clock.sleep(run_.clock.now() + kLookNs);
    return false;
  }
  if (!session_.rejoin(recorder_.last_observation(), give_up_ns)) return false;
  ++run_.counters.reconnects;
  reconnected_ = true;
  begin_session();
  return true;
}

}  // namespace rtu::runtime::loop
