#include "native/runtime/loop/link_session.h"

#include <string.h>

#include "native/runtime/loop/arming.h"

namespace rtu::runtime::loop {
namespace {

using link::LinkStatus;

constexpr int64_t kArmNs = kNsPerS;
constexpr int64_t kHelloSliceNs = 200 * kNsPerMs;
constexpr int64_t kHelloNs = 2 * kNsPerS;
constexpr int64_t kDisarmSliceNs = 100 * kNsPerMs;
constexpr int kDisarmSlices = 10;
constexpr int64_t kStateNs = 100 * kNsPerMs;
constexpr int64_t kEstopNs = 5 * kNsPerS;
constexpr char kSilent[] =
    "the device went safe: no fresh command within its time to live; raise ttl_ms, or ask rtu-edge doctor";
constexpr char kHalfOpen[] = "half-open link: STATE arrives, commands do not; check the line from host to device";

int64_t later(int64_t a, int64_t b) noexcept { return a > b ? a : b; }

}  // namespace

LinkSession::LinkSession(Context& run) noexcept : run_(run), session_(run.options.session) {
  const int64_t asked_ns =
      run.options.ttl_ms > 0 ? run.options.ttl_ms * kNsPerMs : later(3 * run.period_ns, 20 * kNsPerMs);
  ttl_ns_ = earlier(asked_ns, run.hello.ttl_max_ms * kNsPerMs);
  ttl_ms_ = static_cast<uint16_t>((ttl_ns_ + kNsPerMs - 1) / kNsPerMs);
}

// ---------------------------------------------------------------- ARM

// Requested right before ARM, because the device may have been restarted or exchanged since its data sheet was read.
// Limits derived from one data sheet are never applied to another.
bool LinkSession::same_device(int64_t give_up_ns) noexcept {
  tl_hello now{};
  run_.link.discard_input();
  LinkStatus status = LinkStatus::kTimeout;
  for (int64_t left_ns = give_up_ns - run_.clock.now();
       left_ns > 0 && status == LinkStatus::kTimeout && !run_.stop.check_requests();
       left_ns = give_up_ns - run_.clock.now()) {
    run_.link.board.turns.fetch_add(1, std::memory_order_relaxed);
    status = run_.link.hello(earlier(kHelloSliceNs, left_ns), &now);
  }
  if (run_.stop.check_requests()) return false;
  if (status == LinkStatus::kGone) {
    gone_ = true;
    run_.stop.set(StopReason::kLinkLost, "the port is gone");
  } else if (status == LinkStatus::kTimeout) {
    run_.stop.set(StopReason::kLinkLost, "no answer to HELLO before ARM");
  } else if (!link::same_sheet(now, run_.hello)) {
    run_.stop.set(StopReason::kDeviceRestart,
                  "another device than the one whose data sheet was read: not armed; connect again");
  } else if (now.boot_id != run_.hello.boot_id) {
    run_.stop.set(StopReason::kDeviceRestart,
                  "the device has restarted since its data sheet was read: not armed; connect again");
  }
  return !run_.stop.is_set();
}

bool LinkSession::arm() noexcept {
  if (run_.options.dry_run) {
    run_.link.discard_input();
    return true;
  }
  return identify() && ready_to_arm(run_) && send_arm();
}

bool LinkSession::identify() noexcept { return run_.options.dry_run || same_device(run_.clock.now() + kHelloNs); }

bool LinkSession::send_arm() noexcept {
  run_.link.last_error[0] = 0;
  asked_to_arm_ = true;
  const LinkStatus status = run_.link.arm(session_, run_.lockstep(), kArmNs);
  if (status == LinkStatus::kGone) {
    gone_ = true;
    run_.stop.set(StopReason::kLinkLost, "the port is gone");
  } else if (status == LinkStatus::kTimeout) {
    run_.stop.set(StopReason::kLinkLost, "no answer to ARM");
  } else if (status == LinkStatus::kAnother) {
    run_.stop.set(StopReason::kDeviceRestart,
                  "the device restarted or was exchanged while it was being armed; connect again");
  } else if (status == LinkStatus::kRefused) {
    ++run_.counters.nacks;
    ack_status_ = run_.link.last_ack_status;
    run_.stop.set(StopReason::kArmRefused, "the device refused to arm");
  }
  // Without an answer, or with another device's, the connected device may be armed.
  armed_ = status == LinkStatus::kOk || status == LinkStatus::kTimeout || status == LinkStatus::kAnother;
  return !run_.stop.is_set();
}

// ---------------------------------------------------------------- output

void LinkSession::reset(uint32_t seed, uint32_t device_us) noexcept {
  seed_ = seed;
  device_us_ = device_us;
  reset_since_ns_ = run_.clock.now();
  send_reset();
}

void LinkSession::send_reset() noexcept {
  ++episode_;
  tl_frame frame;
  const tl_reset reset{session_, episode_, seed_};
  tl_reset_pack(&reset, &frame);
  run_.link.encode(&frame, run_.lockstep() ? device_us_ : run_.link.now_us(), &reset_);
  const int64_t now = run_.clock.now();
  run_.link.transmit(reset_, now + run_.options.retry_ns);
  sent_ns_ = now;
  attempts_ = 0;
  reset_pending_ = true;
  command_pending_ = false;
  unacknowledged_ = 0;
}

void LinkSession::command(const Arrival& arrival, const float* u) noexcept {
  const bool lockstep = run_.lockstep();
  tl_cmd command;
  command.lockstep = lockstep;
  command.session = session_;
  command.obs_t_us = arrival.t_us;
  command.ttl_ms = ttl_ms_;
  command.mode = TL_MODE_VALUE;
  command.n = static_cast<uint8_t>(run_.own_m);
  memcpy(command.u, u, sizeof(float) * static_cast<size_t>(run_.own_m));
  tl_frame frame;
  tl_cmd_pack(&command, &frame);
  run_.link.encode(&frame, lockstep ? arrival.t_us : run_.link.now_us(), &command_);
  const int64_t now = run_.clock.now();
  run_.link.meter.command(command_.seq, command.obs_t_us);
  run_.link.transmit(command_, now + (lockstep ? run_.options.retry_ns : run_.period_ns / 4));
  sent_ns_ = now;
  command_pending_ = true;
  attempts_ = 0;
  if (unacknowledged_++ == 0) {
    refused_before_ = run_.link.commands_refused;
    unacknowledged_ns_ = now;
    acknowledged_seq_ = arrival.state.last_cmd_seq;
  }
}

void LinkSession::measure_link(int64_t now_ns) noexcept {
  link::Link& link = run_.link;
  link.meter.update_estimates(now_ns, link.counters());
  tl_frame frame;
  link::Encoded encoded;
  while (!run_.options.dry_run && link.meter.ask(now_ns, link.counters().frames_sent.get(), &frame)) {
    link.encode(&frame, link.now_us(), &encoded);
    if (!link.transmit(encoded, now_ns + run_.period_ns / 4)) break;
  }
}

// ---------------------------------------------------------------- input

int LinkSession::receive(tl_frame* out, int64_t deadline_ns) noexcept {
  const int got = run_.link.receive(out, deadline_ns);
  if (got < 0) {
    gone_ = true;
    run_.stop.set(StopReason::kLinkLost, "the port is gone");
  }
  return got;
}

bool LinkSession::await_answer(Arrival* out) noexcept {
  tl_frame frame;
  const int64_t again_ns = sent_ns_ + run_.options.retry_ns;
  const int got = receive(&frame, earlier(again_ns, run_.clock.now() + kRequestsNs));
  if (got < 0) return false;
  if (got == 0) {
    const int64_t now = run_.clock.now();
    if (now >= again_ns) repeat(now);
    return false;
  }
  if (read(frame, out) != Frame::kState) return false;
  const bool answers = reset_pending_ ? out->state.episode == episode_ && (out->state.epflags & TL_EPISODE_FIRST) != 0
                                      : command_pending_ && out->state.last_cmd_seq == command_.seq;
  if (!answers) {
    ++run_.counters.duplicates;
    return false;
  }
  run_.link.accept_last();
  reset_pending_ = false;
  command_pending_ = false;
  attempts_ = 0;
  out->round_trip_ns = out->at_ns - sent_ns_;
  return true;
}

void LinkSession::repeat(int64_t now_ns) noexcept {
  ++run_.counters.timeouts;
  if (++attempts_ > run_.options.retries)
    return run_.stop.set(StopReason::kLinkLost, "no reply after repeated requests");
  ++run_.counters.retries;
  sent_ns_ = now_ns;
  run_.link.transmit(reset_pending_ ? reset_ : command_, now_ns + run_.options.retry_ns);
}

void LinkSession::read_ack(const tl_frame& frame) noexcept {
  tl_ack ack;
  if (frame.type != TL_TYPE_ACK || !tl_ack_unpack(&frame, &ack)) return;
  if (ack.status != TL_STATUS_OK) ++run_.counters.nacks;
  // An earlier session left the device in an episode of this number.
  if (ack.type == TL_TYPE_RESET && ack.status == TL_STATUS_EPISODE && ack.seq == reset_.seq && reset_pending_)
    send_reset();
}

LinkSession::Frame LinkSession::read(const tl_frame& frame, Arrival* out) noexcept {
  const int64_t now = run_.clock.now();
  if (run_.link.another) {
    run_.stop.set(StopReason::kDeviceRestart,
                  "the device has restarted or was exchanged: another boot_id or data sheet");
    return Frame::kOther;
  }
  run_.counters.commands_refused.set(run_.link.commands_refused);
  read_ack(frame);
  if (frame.type != TL_TYPE_STATE || !tl_state_unpack(&frame, &out->state)) return Frame::kOther;
  if (out->state.n != run_.own_n || out->state.m != run_.own_m) return Frame::kOther;
  out->t_us = frame.t_us;
  out->at_ns = now;
  out->any = true;
  heard_ns_ = now;
  out->command_age_us = run_.link.meter.state(out->state, frame.t_us, now);
  run_.link.board.device_state.store(out->state.state, std::memory_order_relaxed);
  if (!run_.options.dry_run) {
    if (armed_state(out->state, now)) return Frame::kState;
    return out->state.state == TL_STATE_RESETTING ? Frame::kResetting : Frame::kOther;
  }
  // A dry run sends no RESET, so the device repeats the end of its episode in each STATE: the end counts once, and an
  // end from before the dry run does not count.
  const auto end = static_cast<uint8_t>(out->state.epflags & kEpisodeEnd);
  if (end_seen_) out->state.epflags &= static_cast<uint8_t>(~kEpisodeEnd);
  end_seen_ = end != 0;
  return Frame::kState;
}

bool LinkSession::armed_state(const tl_state& state, int64_t now_ns) noexcept {
  check_commands_arrive(state, now_ns);
  switch (state.state) {
    case TL_STATE_ARMED:
      return !run_.stop.is_set();
    case TL_STATE_RESETTING:
      return false;
    case TL_STATE_ESTOP:
      run_.stop.set(StopReason::kDeviceFault, "the device is in emergency stop");
      return false;
    case TL_STATE_SAFE:
      if (state.fault & (TL_FAULT_SENSOR | TL_FAULT_LIMIT)) {
        const char* const why = run_.link.last_error;
        const char* const what = state.fault & TL_FAULT_LIMIT
                                     ? "the device went safe: an observation was outside a limit of its own"
                                     : "the device went safe: an observation was not finite";
        run_.stop.set(StopReason::kDeviceFault, *why != 0 ? "the device went safe and reports" : what, why);
      } else if (unacknowledged_ >= 2 && run_.link.commands_refused == refused_before_) {
        // Several commands were sent, and the device neither accepted nor refused them.
        run_.stop.set(StopReason::kHalfOpen, kHalfOpen);
      } else {
        run_.stop.set(StopReason::kDeviceSafe, kSilent);
      }
      return false;
    default:
      run_.stop.set(StopReason::kDeviceRestart,
                    "the device reports that it is not armed: it restarted, or another host disarmed it");
      return false;
  }
}

// Half-open link: STATE arrives, but the device has accepted no command for a TTL.
void LinkSession::check_commands_arrive(const tl_state& state, int64_t now_ns) noexcept {
  if (run_.lockstep() || unacknowledged_ == 0) return;
  if (state.last_cmd_seq != acknowledged_seq_) {
    acknowledged_seq_ = state.last_cmd_seq;
    unacknowledged_ = state.last_cmd_seq != command_.seq ? 1 : 0;
    unacknowledged_ns_ = now_ns;
  } else if (now_ns - unacknowledged_ns_ > ttl_ns_) {
    run_.stop.set(StopReason::kHalfOpen, kHalfOpen);
  }
}

void LinkSession::check_timeouts(int64_t now_ns) noexcept {
  const LoopOptions& options = run_.options;
  if (now_ns - heard_ns_ > later(kNsPerS, 10 * run_.period_ns))
    return run_.stop.set(StopReason::kLinkLost, "the device is silent");
  // Normally the step detects this; here for the case that no step occurs.
  if (options.duration_ns > 0 && now_ns - run_.begun_ns > options.duration_ns + 2 * run_.period_ns)
    return run_.stop.set(StopReason::kSeconds, "time limit reached");
  if (!reset_pending_) return;
  if (now_ns - reset_since_ns_ > options.reset_timeout_ns)
    return run_.stop.set(StopReason::kResetTimeout, "timeout: the new episode did not begin");
  if (now_ns - sent_ns_ > options.retry_ns) {
    sent_ns_ = now_ns;
    ++run_.counters.retries;
    run_.link.transmit(reset_, now_ns + run_.period_ns);
  }
}

// ---------------------------------------------------------------- the end

void LinkSession::close(const float* rest, uint32_t device_us, bool waits) noexcept {
  run_.link.recording = false;
  if (!asked_to_arm_ && !run_.stop.is_estop()) {
    confirmed_ = true;
    return;
  }
  if (gone_) return;
  if (armed_ && !run_.stop.is_estop()) {
    if (rest != nullptr) {
      Arrival last;
      last.t_us = device_us;
      last.state.last_cmd_seq = acknowledged_seq_;
      command(last, rest);
    }
    disarm(waits);
    if (gone_) return;
  }
  if (run_.stop.is_estop()) confirmed_ = run_.link.estop(kEstopNs);
}

void LinkSession::disarm(bool waits) noexcept {
  for (int i = 0; i < kDisarmSlices && !confirmed_; ++i) {
    run_.link.board.turns.fetch_add(1, std::memory_order_relaxed);
    const LinkStatus status = run_.link.disarm(kDisarmSliceNs);
    gone_ = status == LinkStatus::kGone;
    if (gone_) return;
    confirmed_ = status == LinkStatus::kOk;
    const StopReason reason = run_.stop.reason();
    run_.stop.check_requests();
    if (run_.stop.reason() != reason) break;
  }
  // A device that has stopped on its own acknowledges DISARM too, and keeps its state.
  if (confirmed_ && waits) run_.link.await_state(kStateNs);
}

}  // namespace rtu::runtime::loop
