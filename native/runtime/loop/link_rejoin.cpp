// The way from a lost link to a new session: the device must be the one that was lost, disarmed, and where it was.
#include <stdio.h>
#include <string.h>

#include <cmath>

#include "native/runtime/loop/arming.h"
#include "native/runtime/loop/link_session.h"

namespace rtu::runtime::loop {
namespace {

using link::LinkStatus;

constexpr int64_t kDisarmSliceNs = 100 * kNsPerMs;

}  // namespace

bool LinkSession::rejoin(const uint8_t* pose, int64_t give_up_ns) noexcept {
  if (gone_) run_.link.begin_again();
  leave_session();
  if (!same_device(give_up_ns) || !settle(give_up_ns) || !same_pose(pose, give_up_ns)) return false;
  if (!ready_to_arm(run_)) return false;
  session_ = run_.link.next_session();
  confirmed_ = false;
  return send_arm();
}

// No frame of the lost session is outstanding.
void LinkSession::leave_session() noexcept {
  gone_ = armed_ = confirmed_ = false;
  command_pending_ = reset_pending_ = false;
  attempts_ = unacknowledged_ = 0;
}

// Ends the lost session on the device, which may still be armed by it.
bool LinkSession::settle(int64_t give_up_ns) noexcept {
  LinkStatus status = LinkStatus::kTimeout;
  for (int64_t left_ns = give_up_ns - run_.clock.now();
       left_ns > 0 && status == LinkStatus::kTimeout && !run_.stop.check_requests();
       left_ns = give_up_ns - run_.clock.now()) {
    run_.link.board.turns.fetch_add(1, std::memory_order_relaxed);
    status = run_.link.disarm(earlier(kDisarmSliceNs, left_ns));
  }
  gone_ = status == LinkStatus::kGone;
  confirmed_ = status == LinkStatus::kOk;
  if (!confirmed_) run_.stop.set(StopReason::kLinkLost, "no answer to DISARM after the link was lost");
  return !run_.stop.is_set();
}

// A STATE from after DISARM.
bool LinkSession::same_pose(const uint8_t* pose, int64_t give_up_ns) noexcept {
  tl_frame frame;
  tl_state state;
  for (;;) {
    const int64_t now = run_.clock.now();
    const int got = receive(&frame, earlier(give_up_ns, now + kRequestsNs));
    if (got < 0 || run_.stop.check_requests()) return false;
    if (got > 0 && frame.type == TL_TYPE_STATE && tl_state_unpack(&frame, &state) && state.n == run_.n) break;
    if (got == 0 && run_.clock.now() >= give_up_ns) {
      run_.stop.set(StopReason::kLinkLost, "no STATE after the link was lost");
      return false;
    }
  }
  run_.link.board.device_state.store(state.state, std::memory_order_relaxed);
  if (state.state == TL_STATE_ESTOP) {
    run_.stop.set(StopReason::kDeviceFault, "the device is in emergency stop");
    return false;
  }
  return is_pose(state, pose);
}

bool LinkSession::is_pose(const tl_state& state, const uint8_t* pose) noexcept {
  for (int i = 0; i < run_.n; ++i) {
    float before;
    memcpy(&before, pose + sizeof before * static_cast<size_t>(i), sizeof before);
    const float now = state.x[i];
    const bool near = run_.options.pose == nullptr || std::isinf(run_.options.pose[i]) ||
                      std::fabs(now - before) <= run_.options.pose[i];
    if (std::isfinite(now) && near) continue;
    char text[120];
    snprintf(text, sizeof text, "observation[%d] is %g after the reconnect, and was %g before; not armed", i,
             static_cast<double>(now), static_cast<double>(before));
    run_.stop.set(StopReason::kArmRefused, text);
    return false;
  }
  return true;
}

}  // namespace rtu::runtime::loop
