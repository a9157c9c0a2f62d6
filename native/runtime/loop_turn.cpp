// From one wait to the next: what arrives, whether it may be stepped, and when.

#include "native/runtime/loop.h"

namespace rtu::runtime {
namespace {

constexpr int64_t kLookNs = 20 * kNsPerMs;  // requests and signals are looked at this often at least
constexpr int kQueuedMax = 256;
constexpr uint8_t kEnd = TL_EPISODE_TERMINATED | TL_EPISODE_TRUNCATED;
constexpr char kHalfOpen[] = "half-open link: STATE arrives, commands do not";

int64_t earlier(int64_t a, int64_t b) noexcept { return a < b ? a : b; }

}  // namespace

// The plant waits for us and we for it: exactly one frame is outstanding, and it is sent again until its answer comes.
void Loop::turn_lockstep() noexcept {
  tl_frame frame;
  const int64_t again_ns = sent_ns_ + options_.retry_ns;
  const int got = link_.receive(&frame, earlier(again_ns, clock_.now() + kLookNs));
  if (got < 0) {
    gone_ = true;
    return stop(StopReason::kLinkLost, "the port is gone");
  }
  if (got == 0) {
    const int64_t now = clock_.now();
    if (now < again_ns) return;
    ++counters_.timeouts;
    if (++attempts_ > options_.retries) return stop(StopReason::kLinkLost, "no answer, however often asked");
    ++counters_.retries;
    sent_ns_ = now;
    link_.transmit(reset_pending_ ? reset_ : command_, now + options_.retry_ns);
    return;
  }
  Arrival arrival;
  if (!usable(frame, &arrival)) return;
  const bool answers = reset_pending_
                           ? arrival.state.episode == wire_episode_ && (arrival.state.epflags & TL_EPISODE_FIRST) != 0
                           : command_pending_ && arrival.state.last_cmd_seq == command_.seq;
  if (!answers) {
    ++counters_.duplicates;
    return;
  }
  link_.accept_last();
  reset_pending_ = false;
  command_pending_ = false;
  attempts_ = 0;
  tick_.last_us = arrival.t_us;
  step(arrival, arrival.at_ns - sent_ns_);
}

// One step per new STATE; the newest of what has queued up counts, and after an overrun none of it does.
void Loop::turn_device() noexcept {
  tl_frame frame;
  Arrival newest;
  int got = link_.receive(&frame, earlier(tick_.watchdog_ns, clock_.now() + kLookNs));
  for (int i = 0; got > 0 && i < kQueuedMax; ++i) {
    Arrival arrival;
    if (usable(frame, &arrival)) consider(arrival, &newest);
    if (result_.reason != StopReason::kNone) return;
    got = link_.receive(&frame, 0);
  }
  if (got < 0) {
    gone_ = true;
    return stop(StopReason::kLinkLost, "the port is gone");
  }
  const int64_t now = clock_.now();
  look_after(now);
  const bool stale = drop_queued_;
  drop_queued_ = false;
  if (!newest.any) {
    if (reset_pending_) {
      tick_.quiet(now);
    } else {
      tick_.expired(now);
      counters_.missed.set(tick_.missed);
    }
    return;
  }
  const bool drop = stale && !(newest.state.epflags & (TL_EPISODE_TERMINATED | TL_EPISODE_TRUNCATED)) &&
                    !awaiting_first_ && newest.state.episode == wire_episode_;
  tick_.on_state(now, newest.t_us, drop);
  counters_.skipped.set(tick_.skipped);
  if (drop) return;
  step(newest, 0);
  if (tick_.overran(clock_.now())) {
    ++counters_.overruns;
    drop_queued_ = true;
  }
}

// Absolute deadlines: each slot works on the newest STATE that has arrived; none is a missed slot.
void Loop::turn_host() noexcept {
  tl_frame frame;
  const int got = link_.receive(&frame, earlier(deadline_.next_ns, clock_.now() + kLookNs));
  if (got < 0) {
    gone_ = true;
    return stop(StopReason::kLinkLost, "the port is gone");
  }
  Arrival arrival;
  if (got > 0 && usable(frame, &arrival)) consider(arrival, &newest_);
  const int64_t now = clock_.now();
  if (result_.reason != StopReason::kNone || now < deadline_.next_ns) return;
  look_after(now);
  if (newest_.any) {
    tick_.on_state(now, newest_.t_us, false);
    newest_.any = false;
    step(newest_, 0);
  } else if (!reset_pending_) {
    ++counters_.missed;
  }
  if (deadline_.finish(clock_.now()) > 0) ++counters_.overruns;
  counters_.skipped.set(deadline_.skipped);
}

// Looks at a frame; true when it is a STATE of an armed device (in a dry run: of any), then in *arrival.
bool Loop::usable(const tl_frame& frame, Arrival* arrival) noexcept {
  const int64_t now = clock_.now();
  if (link_.another) {
    stop(StopReason::kDeviceRestart, "the device has restarted or was exchanged: another boot_id or data sheet");
    return false;
  }
  counters_.commands_refused.set(link_.commands_refused);
  tl_ack ack;
  if (frame.type == TL_TYPE_ACK && tl_ack_unpack(&frame, &ack)) {
    if (ack.status != TL_STATUS_OK) ++counters_.nacks;
    // The device was left in an episode of this number by an earlier session.
    if (ack.type == TL_TYPE_RESET && ack.status == TL_STATUS_EPISODE && ack.seq == reset_.seq && reset_pending_) {
      ask_reset();
    }
  }
  if (frame.type != TL_TYPE_STATE || !tl_state_unpack(&frame, &arrival->state)) return false;
  if (arrival->state.n != n_ || arrival->state.m != m_) return false;
  arrival->t_us = frame.t_us;
  arrival->at_ns = now;
  arrival->any = true;
  heard_ns_ = now;
  arrival->command_age_us = link_.meter.state(arrival->state, frame.t_us, now);
  link_.board.device_state.store(arrival->state.state, std::memory_order_relaxed);
  if (!options_.dry_run) return armed_state(arrival->state, now);
  // Nobody resets the device, so it repeats the end of its episode in each STATE: the end counts once, and what was over
  // before the dry run not at all.
  const auto end = static_cast<uint8_t>(arrival->state.epflags & kEnd);
  if (end_seen_) arrival->state.epflags &= static_cast<uint8_t>(~kEnd);
  end_seen_ = end != 0;
  return true;
}

bool Loop::armed_state(const tl_state& state, int64_t now_ns) noexcept {
  check_commands_arrive(state, now_ns);
  switch (state.state) {
    case TL_STATE_ARMED:
      return result_.reason == StopReason::kNone;
    case TL_STATE_RESETTING:
      tick_.quiet(now_ns);
      return false;
    case TL_STATE_ESTOP:
      stop(StopReason::kDeviceFault, "the device is in emergency stop");
      return false;
    case TL_STATE_SAFE:
      if (state.fault & TL_FAULT_SENSOR) {
        stop(StopReason::kDeviceFault, "the device went safe: an observation was not finite");
      } else if (unacknowledged_ >= 2 && link_.commands_refused == refused_before_) {
        // Several commands have left, and it has neither taken nor refused them.
        stop(StopReason::kHalfOpen, kHalfOpen);
      } else {
        stop(StopReason::kDeviceSafe, "the device went safe: no fresh command in time");
      }
      return false;
    default:
      stop(StopReason::kDeviceRestart, "the device says it is not armed: it has restarted, or someone disarmed it");
      return false;
  }
}

// Half-open link: STATE arrives, but the device has taken none of our commands for a TTL.
void Loop::check_commands_arrive(const tl_state& state, int64_t now_ns) noexcept {
  if (options_.tick == TickSource::kLockstep || unacknowledged_ == 0) return;
  if (state.last_cmd_seq != acknowledged_seq_) {
    acknowledged_seq_ = state.last_cmd_seq;
    unacknowledged_ = state.last_cmd_seq != command_.seq ? 1 : 0;
    unacknowledged_ns_ = now_ns;
  } else if (now_ns - unacknowledged_ns_ > ttl_ns_) {
    stop(StopReason::kHalfOpen, kHalfOpen);
  }
}

// Keeps the newest STATE that may be stepped; those it supersedes are skipped periods.
void Loop::consider(const Arrival& arrival, Arrival* newest) noexcept {
  if (!tick_.is_new(arrival.t_us)) {
    ++counters_.duplicates;
    return;
  }
  if (reset_pending_) {
    if (arrival.state.episode != wire_episode_) {
      tick_.quiet(arrival.at_ns);
      return;
    }
    reset_pending_ = false;
    tick_.any = false;
  }
  if (ended_ && arrival.state.episode == wire_episode_ && !(arrival.state.epflags & TL_EPISODE_FIRST)) {
    tick_.quiet(arrival.at_ns);
    return;
  }
  if (newest->any) tick_.on_state(arrival.at_ns, newest->t_us, true);
  *newest = arrival;
}

}  // namespace rtu::runtime
