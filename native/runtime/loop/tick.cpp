#include "native/runtime/loop/tick.h"

namespace rtu::runtime::loop {
namespace {

constexpr int kQueuedMax = 256;

}  // namespace

// The counts continue from session to session.
void Tick::begin(int64_t now_ns) noexcept {
  const uint64_t skipped = rule_.skipped, missed = rule_.missed, slots = deadline_.skipped;
  rule_.start(now_ns, run_.period_ns);
  deadline_.start(now_ns, run_.period_ns);
  rule_.skipped = skipped;
  rule_.missed = missed;
  deadline_.skipped = slots;
  newest_.any = drop_queued_ = false;
}

bool Tick::next(Arrival* out) noexcept {
  if (run_.lockstep() && !run_.options.dry_run) return next_in_lockstep(out);
  return run_.options.tick == TickSource::kHost ? next_of_host(out) : next_of_device(out);
}

void Tick::end_step() noexcept {
  if (run_.lockstep() && !run_.options.dry_run) return;
  if (run_.options.tick == TickSource::kHost) return end_slot();
  if (!rule_.overran(run_.clock.now())) return;
  ++run_.counters.overruns;
  drop_queued_ = true;
}

// Plant and host wait for each other.
bool Tick::next_in_lockstep(Arrival* out) noexcept {
  if (!session_.await_answer(out)) return false;
  rule_.last_us = out->t_us;
  return true;
}

// One step per new STATE; of queued STATEs the newest counts, and after an overrun none.
bool Tick::next_of_device(Arrival* out) noexcept {
  tl_frame frame;
  out->any = false;
  int got = session_.receive(&frame, earlier(rule_.watchdog_ns, run_.clock.now() + kRequestsNs));
  for (int i = 0; got > 0 && i < kQueuedMax; ++i) {
    read(frame, out);
    if (run_.stop.is_set()) return false;
    got = session_.receive(&frame, 0);
  }
  if (got < 0) return false;
  const int64_t now = run_.clock.now();
  session_.check_timeouts(now);
  const bool stale = drop_queued_;
  drop_queued_ = false;
  if (!out->any) {
    if (session_.resetting()) {
      rule_.quiet(now);
    } else {
      rule_.expired(now);
      run_.counters.missed.set(rule_.missed);
    }
    return false;
  }
  const bool drop = stale && !(out->state.epflags & kEpisodeEnd) && !episode_.awaiting_first() &&
                    out->state.episode == session_.episode();
  rule_.on_state(now, out->t_us, drop);
  run_.counters.skipped.set(rule_.skipped);
  return !drop;
}

// Absolute deadlines: each slot uses the newest STATE received; without one the slot is missed.
bool Tick::next_of_host(Arrival* out) noexcept {
  tl_frame frame;
  const int got = session_.receive(&frame, earlier(deadline_.next_ns, run_.clock.now() + kRequestsNs));
  if (got < 0) return false;
  if (got > 0) read(frame, &newest_);
  const int64_t now = run_.clock.now();
  if (run_.stop.is_set() || now < deadline_.next_ns) return false;
  session_.check_timeouts(now);
  if (newest_.any) {
    rule_.on_state(now, newest_.t_us, false);
    newest_.any = false;
    *out = newest_;
    return true;
  }
  if (!session_.resetting()) ++run_.counters.missed;
  end_slot();
  return false;
}

void Tick::end_slot() noexcept {
  if (deadline_.finish(run_.clock.now()) > 0) ++run_.counters.overruns;
  run_.counters.skipped.set(deadline_.skipped);
}

void Tick::read(const tl_frame& frame, Arrival* newest) noexcept {
  Arrival arrival;
  const LinkSession::Frame kind = session_.read(frame, &arrival);
  if (kind == LinkSession::Frame::kResetting) rule_.quiet(arrival.at_ns);
  if (kind == LinkSession::Frame::kState) keep(arrival, newest);
}

// Keeps the newest valid STATE; superseded ones count as skipped periods.
void Tick::keep(const Arrival& arrival, Arrival* newest) noexcept {
  if (!rule_.is_new(arrival.t_us)) {
    ++run_.counters.duplicates;
    return;
  }
  if (session_.resetting()) {
    if (arrival.state.episode != session_.episode()) return rule_.quiet(arrival.at_ns);
    session_.reset_done();
    rule_.any = false;
  }
  if (episode_.held() && arrival.state.episode == session_.episode() && !(arrival.state.epflags & TL_EPISODE_FIRST))
    return rule_.quiet(arrival.at_ns);
  if (newest->any) rule_.on_state(arrival.at_ns, newest->t_us, true);
  *newest = arrival;
}

int64_t Tick::lateness_ns(const Arrival& arrival, int64_t now_ns) noexcept {
  if (run_.options.tick == TickSource::kHost) return now_ns - deadline_.next_ns;
  return arrival.round_trip_ns != 0 ? 0 : lateness_.on_state(arrival.at_ns, arrival.t_us);
}

int64_t Tick::slack_ns(const Arrival& arrival, int64_t now_ns) const noexcept {
  if (run_.lockstep()) return INT64_MAX;
  const int64_t begun_ns = run_.options.tick == TickSource::kHost ? deadline_.next_ns : arrival.at_ns;
  return begun_ns + run_.period_ns - now_ns;
}

// The cost of an update is the time from here to the end of the step.
bool Tick::update_fits(const Arrival& arrival, int64_t now_ns) noexcept {
  const LoopOptions& options = run_.options;
  decided_ns_ = now_ns;
  bool fits = true;
  if (options.n_drops > 0) {
    const uint64_t transition = run_.counters.learned.get() + run_.counters.update_failures.get();
    while (next_drop_ < options.n_drops && options.drops[next_drop_] < transition) ++next_drop_;
    fits = next_drop_ == options.n_drops || options.drops[next_drop_] != transition;
  } else if (!run_.lockstep()) {
    fits = update_.fits(slack_ns(arrival, now_ns));
  }
  if (!fits) {
    update_.fall();
    ++run_.counters.updates_dropped;
  }
  return fits;
}

}  // namespace rtu::runtime::loop
