#include "native/runtime/loop/arming.h"

#include <stdio.h>

#include <cmath>

#include "native/runtime/loop/start.h"

namespace rtu::runtime::loop {
namespace {

constexpr char kLook[] = "; `rtu-edge monitor` shows it";

void refuse(Context& run, const char* why) noexcept { run.stop.set(StopReason::kNotReady, "not armed", why); }

// The next STATE; false when the run has to stop.
bool next_state(Context& run, tl_state* state) noexcept {
  const int64_t wait_ns = 3 * run.period_ns > kNsPerS ? 3 * run.period_ns : kNsPerS;
  const int64_t deadline_ns = run.clock.now() + wait_ns;
  tl_frame frame;
  while (!run.stop.check_requests()) {
    const int64_t now = run.clock.now();
    if (now >= deadline_ns) {
      refuse(run, "the device sends no observation");
      return false;
    }
    run.link.board.turns.fetch_add(1, std::memory_order_relaxed);
    const int64_t slice_ns = now + kRequestsNs;
    const int got = run.link.receive(&frame, slice_ns < deadline_ns ? slice_ns : deadline_ns);
    if (got < 0) {
      run.stop.set(StopReason::kLinkLost, "the port is gone");
      return false;
    }
    if (got == 0 || frame.type != TL_TYPE_STATE || !tl_state_unpack(&frame, state)) continue;
    if (state->n == run.own_n && state->m == run.own_m) return true;
  }
  return false;
}

// Checks the observation against a range; false: refused.
bool inside(Context& run, const tl_state& state, const float* low, const float* high, const char* what) noexcept {
  const int i = outside(state.x, low, high, run.own_n);
  if (i < 0) return true;
  char where[96], why[200];
  describe_outside(run, i, state.x[i], low[i], high[i], where, sizeof where);
  snprintf(why, sizeof why, "%s (%s)%s", where, what, kLook);
  refuse(run, why);
  return false;
}

// The observation that is not finite, or -1.
int not_finite(const Context& run, const tl_state& state) noexcept {
  for (int i = 0; i < run.own_n; ++i)
    if (!std::isfinite(state.x[i])) return i;
  return -1;
}

// What a device reports is the reason for its observation, and may arrive after it.
void refuse_not_finite(Context& run, const tl_state& state) noexcept {
  const int bad = not_finite(run, state);
  tl_state later;
  if (*run.link.last_error == 0 && !next_state(run, &later)) return;
  if (*run.link.last_error != 0) {
    run.stop.set(StopReason::kDeviceFault, "not armed: the device reports", run.link.last_error);
    return;
  }
  char why[300];
  const auto at = static_cast<size_t>(bad);
  const auto& names = run.options.observation_names;
  snprintf(why, sizeof why, "%s is not finite%s", at < names.size() ? names[at].c_str() : "an observation", kLook);
  refuse(run, why);
}

}  // namespace

bool ready_to_arm(Context& run) noexcept {
  const LoopOptions& options = run.options;
  char why[300];
  if (options.arming.checked && run.link.failed_check[0] != 0) {
    snprintf(why, sizeof why, "a check failed in the session before: %s%s; Robot.clear() or a new process arms again",
             run.link.failed_check, kLook);
    refuse(run, why);
    return false;
  }
  if (!options.arming.checked || run.lockstep()) return true;
  tl_state state;
  if (!next_state(run, &state)) return false;
  if (not_finite(run, state) >= 0) {
    refuse_not_finite(run, state);
    return false;
  }
  if (!options.arming.pose) return true;
  if (!inside(run, state, options.arming.low, options.arming.high, "limits")) return false;
  const bool homes = options.start.homing.predict != nullptr;
  return !options.start.checked || homes || inside(run, state, options.start.low, options.start.high, "start region");
}

}  // namespace rtu::runtime::loop
