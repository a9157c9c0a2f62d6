#include "native/runtime/loop/manual.h"

namespace rtu::runtime::loop {
namespace {

constexpr int kQueuedMax = 256;

}  // namespace

Manual::Manual(link::Link& link, Clock clock, const tl_hello& hello, const LoopOptions& options)
    : run_(link, clock, hello, options), session_(run_), watch_(run_) {
  limiter_ = limiter_of(options, run_.m);
}

ManualStatus Manual::stopped() noexcept {
  run_.link.board.reason.store(run_.stop.reason(), std::memory_order_relaxed);
  return ManualStatus::kStopped;
}

ManualStatus Manual::open() noexcept {
  if (run_.link.board.running.exchange(true, std::memory_order_acq_rel)) return ManualStatus::kBusy;
  record::StatusBoard& board = run_.link.board;
  board.reason.store(StopReason::kNone, std::memory_order_relaxed);
  board.steps.store(0, std::memory_order_relaxed);
  const link::LinkOwner owner(run_.link, link::kMomentNs);
  if (!owner) {
    board.running.store(false, std::memory_order_release);
    return ManualStatus::kBusy;
  }
  open_ = true;
  if (run_.stop.check_requests() || !session_.arm()) return stopped();
  run_.begun_ns = run_.clock.now();
  session_.begin(run_.begun_ns);
  newest_ = Arrival{};
  return ManualStatus::kOk;
}

ManualStatus Manual::reset(uint32_t seed) noexcept {
  const link::LinkOwner owner(run_.link, link::kMomentNs);
  if (!owner) return ManualStatus::kBusy;
  if (run_.stop.check_requests()) return stopped();
  session_.begin(run_.clock.now());
  session_.reset(seed, newest_.t_us);
  was_reset_ = true;
  return ManualStatus::kOk;
}

// Whether a frame is a STATE of this episode that is newer than the last one; then it is in *out.
bool Manual::take(const tl_frame& frame, Arrival* out) noexcept {
  Arrival arrival;
  if (session_.read(frame, &arrival) != LinkSession::Frame::kState) return false;
  if (session_.resetting()) {
    if (arrival.state.episode != session_.episode()) return false;
    session_.reset_done();
  } else if (newest_.any && static_cast<int32_t>(arrival.t_us - newest_.t_us) <= 0) {
    return false;
  }
  keep(arrival);
  *out = arrival;
  return true;
}

void Manual::keep(const Arrival& arrival) noexcept {
  if (!newest_.any || (arrival.state.epflags & TL_EPISODE_FIRST) != 0) watch_.begin(arrival.state);
  session_.follow(arrival.state.episode);
  newest_ = arrival;
  const bool rested = was_reset_ && safety::has_rested(limiter_, run_.options.safe, arrival.state.u);
  was_reset_ = false;
  if (limiter_started_ && !rested) return;
  limiter_.start(arrival.state.u);
  limiter_started_ = true;
}

// Reads all queued frames. False: the port is gone.
bool Manual::drain() noexcept {
  tl_frame frame;
  Arrival newer;
  int got = 1;
  for (int i = 0; i < kQueuedMax && got > 0 && !run_.stop.is_set(); ++i)
    if ((got = session_.receive(&frame, 0)) > 0) (void)take(frame, &newer);
  return got >= 0;
}

ManualStatus Manual::command(float* u, int64_t deadline_ns) noexcept {
  const link::LinkOwner owner(run_.link, link::kMomentNs);
  if (!owner) return ManualStatus::kBusy;
  if (run_.stop.check_requests()) return stopped();
  session_.begin(run_.clock.now());
  if (!run_.lockstep()) {
    if (!drain() || run_.stop.is_set()) return stopped();
    while (!newest_.any || session_.resetting() || run_.clock.now() - newest_.at_ns > run_.period_ns) {
      tl_frame frame;
      Arrival newer;
      const int got = session_.receive(&frame, earlier(deadline_ns, run_.clock.now() + kRequestsNs));
      if (got > 0) (void)take(frame, &newer);
      const int64_t now = run_.clock.now();
      session_.check_timeouts(now);
      if (got < 0 || run_.stop.check_requests()) return stopped();
      if (got == 0 && now >= deadline_ns) return ManualStatus::kTimeout;
    }
  }
  (void)limiter_.apply(u);
  watch_.step(newest_.state, u);
  if (watch_.report() && run_.stop.is_set()) return stopped();
  session_.command(newest_, u);
  ++run_.counters.steps;
  run_.link.board.steps.store(run_.counters.steps.get(), std::memory_order_relaxed);
  run_.link.board.turns.fetch_add(1, std::memory_order_relaxed);
  return ManualStatus::kOk;
}

ManualStatus Manual::receive_unarmed(int64_t deadline_ns, Arrival* out) noexcept {
  tl_frame frame;
  int got = 0;
  while ((got = run_.link.receive(&frame, deadline_ns)) > 0) {
    if (run_.link.another) {
      run_.stop.set(StopReason::kDeviceRestart, "the device has restarted or was exchanged; connect again");
      return stopped();
    }
    if (frame.type != TL_TYPE_STATE || !tl_state_unpack(&frame, &out->state)) continue;
    if (out->state.n != run_.n || out->state.m != run_.m) continue;
    out->t_us = frame.t_us;
    out->at_ns = run_.clock.now();
    run_.link.board.device_state.store(out->state.state, std::memory_order_relaxed);
    run_.link.board.show_observations(out->state.x, out->state.n);
    return ManualStatus::kOk;
  }
  if (got == 0) return ManualStatus::kTimeout;
  run_.stop.set(StopReason::kLinkLost, "the port is gone");
  return stopped();
}

ManualStatus Manual::await(Wanted wanted, int64_t deadline_ns, Arrival* out) noexcept {
  const link::LinkOwner owner(run_.link, link::kMomentNs);
  if (!owner) return ManualStatus::kBusy;
  if (!open_) return receive_unarmed(deadline_ns, out);
  session_.begin(run_.clock.now());
  if (run_.lockstep() && !answer_is_due() && newest_.any) {
    *out = newest_;
    return run_.stop.check_requests() ? stopped() : ManualStatus::kOk;
  }
  for (;;) {
    if (run_.stop.check_requests()) return stopped();
    if (run_.lockstep()) {
      if (session_.await_answer(out)) {
        keep(*out);
        return ManualStatus::kOk;
      }
    } else {
      tl_frame frame;
      const int got = session_.receive(&frame, earlier(deadline_ns, run_.clock.now() + kRequestsNs));
      bool found = got > 0 && take(frame, out);
      if (wanted == Wanted::kAnswer)
        found = found && (session_.has_taken(out->state) || (out->state.epflags & kEpisodeEnd) != 0);
      if (found) {
        if (wanted == Wanted::kNewest && (out->state.epflags & kEpisodeEnd) == 0 && drain()) *out = newest_;
        return run_.stop.is_set() ? stopped() : ManualStatus::kOk;
      }
      session_.check_timeouts(run_.clock.now());
      if (got < 0) return stopped();
    }
    if (!run_.stop.is_set() && run_.clock.now() >= deadline_ns) return ManualStatus::kTimeout;
  }
}

void Manual::close() noexcept {
  if (!open_) return;
  open_ = false;
  {
    const link::LinkOwner owner(run_.link, link::kMomentNs);
    (void)run_.stop.check_requests();
    run_.stop.set(StopReason::kRequest, "closed");
    float u[kMaxActuators];
    for (int i = 0; i < run_.m; ++i) u[i] = run_.options.hold[i] ? limiter_.last[i] : run_.options.limits[i].rest;
    const bool acts = !run_.lockstep() && !session_.resetting() && session_.command_sent();
    if (acts) (void)limiter_.apply(u);
    if (owner) session_.close(acts ? u : nullptr, newest_.t_us);
  }
  run_.link.board.reason.store(run_.stop.reason(), std::memory_order_relaxed);
  run_.link.board.running.store(false, std::memory_order_release);
}

}  // namespace rtu::runtime::loop
