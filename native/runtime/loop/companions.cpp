#include "native/runtime/loop/companions.h"

#include <stdio.h>
#include <string.h>

namespace rtu::runtime::loop {
namespace {

constexpr int kQueuedMax = 256;

// Of a companion's session; limits on the length of the run are the loop's. first: its first observation among all.
LoopOptions options_of(const CompanionOptions& given, const LoopOptions& options, int first) {
  LoopOptions own;
  own.tick = options.tick;
  own.session = given.session;
  own.ttl_ms = given.ttl_ms;
  own.dry_run = options.dry_run;
  own.retry_ns = options.retry_ns;
  own.retries = options.retries;
  own.reset_timeout_ns = options.reset_timeout_ns;
  own.arming.checked = options.arming.checked;
  own.arming.pose = options.arming.pose;
  const auto& names = options.observation_names;
  for (int i = 0; i < given.hello.observation_size && first + i < kMaxObservations; ++i) {
    own.arming.low[i] = options.arming.low[first + i];
    own.arming.high[i] = options.arming.high[first + i];
    const auto at = static_cast<size_t>(first + i);
    if (at < names.size()) own.observation_names.push_back(names[at]);
  }
  return own;
}

}  // namespace

Companions::Companion::Companion(const CompanionOptions& given, Clock clock, const LoopOptions& options, int first)
    : run(*given.link, clock, given.hello, options_of(given, options, first)), session(run), age(given.age) {}

Companions::Companions(Context& run, Clock clock) : run_(run) {
  int first = run.own_n;
  for (int i = 0; i < run.options.n_companions; ++i) {
    all_[i] = std::make_unique<Companion>(run.options.companions[i], clock, run.options, first);
    first += all_[i]->run.n + (all_[i]->age ? 1 : 0);
  }
}

// ---------------------------------------------------------------- before and after the session

bool Companions::own() noexcept {
  for (int i = 0; i < run_.options.n_companions; ++i) {
    Companion& each = *all_[i];
    each.owner.emplace(each.run.link, link::kMomentNs);
    if (!*each.owner) each.run.stop.set(StopReason::kLinkLost, "the link is in use by another thread");
    if (!adopt(each, i)) return false;
    each.run.link.board.reason.store(StopReason::kNone, std::memory_order_relaxed);
    each.run.link.board.running.store(true, std::memory_order_relaxed);
  }
  return true;
}

void Companions::release() noexcept {
  for (int i = 0; i < run_.options.n_companions; ++i) {
    Companion& each = *all_[i];
    if (each.owner && *each.owner) {
      each.run.link.board.reason.store(run_.stop.reason(), std::memory_order_relaxed);
      each.run.link.board.running.store(false, std::memory_order_relaxed);
    }
    each.owner.reset();
  }
  run_.link.board.n_companions.store(0, std::memory_order_relaxed);
}

bool Companions::identify() noexcept {
  for (int i = 0; i < run_.options.n_companions; ++i) {
    (void)all_[i]->session.identify();
    if (!adopt(*all_[i], i)) return false;
  }
  return true;
}

bool Companions::arm() noexcept {
  for (int i = 0; i < run_.options.n_companions; ++i) {
    (void)all_[i]->session.arm();
    if (!adopt(*all_[i], i)) return false;
  }
  return true;
}

void Companions::begin(int64_t now_ns) noexcept {
  for (int i = 0; i < run_.options.n_companions; ++i) {
    all_[i]->run.begun_ns = now_ns;
    all_[i]->session.begin(now_ns);
    all_[i]->newest.any = false;
  }
}

bool Companions::have_reset() const noexcept {
  bool any = false;
  for (int i = 0; i < run_.options.n_companions; ++i) any = any || (all_[i]->run.hello.caps & TL_CAP_RESET) != 0;
  return any;
}

void Companions::reset(uint32_t seed) noexcept {
  for (int i = 0; i < run_.options.n_companions; ++i) {
    Companion& each = *all_[i];
    if ((each.run.hello.caps & TL_CAP_RESET) == 0) continue;
    each.newest.any = false;
    each.session.reset(seed + static_cast<uint32_t>(i) + 1, each.newest.t_us);
  }
}

// Rest values reach a companion that still takes commands.
void Companions::close(const float* rest, bool failed) noexcept {
  for (int i = 0; i < run_.options.n_companions; ++i) {
    Companion& each = *all_[i];
    if (!each.closed && each.run.stop.is_set() == failed) {
      each.closed = true;
      if (run_.stop.is_estop()) each.run.stop.set(StopReason::kEstop, run_.stop.message());
      each.session.close(each.newest.any ? rest : nullptr, each.newest.t_us, false);
    }
    if (rest != nullptr) rest += each.run.m;
  }
}

bool Companions::confirmed() const noexcept {
  bool all = true;
  for (int i = 0; i < run_.options.n_companions; ++i) all = all && all_[i]->session.confirmed();
  return all;
}

// ---------------------------------------------------------------- one step

bool Companions::read() noexcept {
  const int64_t now = run_.clock.now();
  for (int i = 0; i < run_.options.n_companions; ++i) {
    Companion& each = *all_[i];
    read(each);
    if (!each.run.stop.is_set()) check(each, now);
    (void)each.run.stop.check_requests();
    publish(each, i);
    if (!adopt(each, i)) return false;
  }
  return true;
}

void Companions::read(Companion& each) noexcept {
  tl_frame frame;
  Arrival arrival;
  for (int i = 0; i < kQueuedMax && each.session.receive(&frame, 0) > 0; ++i) {
    const LinkSession::Frame kind = each.session.read(frame, &arrival);
    if (each.run.stop.is_set()) return;
    if (kind == LinkSession::Frame::kState) keep(each, arrival);
  }
}

void Companions::keep(Companion& each, const Arrival& arrival) noexcept {
  if (each.session.resetting()) {
    if (arrival.state.episode != each.session.episode()) return;
    each.session.reset_done();
  }
  if (each.newest.any && static_cast<int32_t>(arrival.t_us - each.newest.t_us) <= 0) return;
  const auto end = static_cast<uint8_t>(each.newest.any ? each.newest.state.epflags & kEpisodeEnd : 0);
  each.newest = arrival;
  each.newest.state.epflags |= end;  // until a step has taken it
}

void Companions::publish(const Companion& each, int number) noexcept {
  record::StatusBoard& board = run_.link.board;
  record::CompanionStatus& shown = board.companions[number];
  shown.device_state.store(each.run.link.board.device_state.load(std::memory_order_relaxed), std::memory_order_relaxed);
  shown.newest_ns.store(each.newest.any ? each.newest.at_ns : 0, std::memory_order_relaxed);
  shown.ttl_ns.store(each.session.ttl_ns(), std::memory_order_relaxed);
  shown.lost.store(each.run.link.meter.quality.lost_in.get(), std::memory_order_relaxed);
  board.n_companions.store(run_.options.n_companions, std::memory_order_relaxed);
}

// An observation older than its TTL cannot be answered, and the device is about to go safe.
void Companions::check(Companion& each, int64_t now_ns) noexcept {
  each.session.check_timeouts(now_ns);
  const bool answers = each.newest.any && !each.session.resetting() && !run_.options.dry_run;
  if (answers && now_ns - each.newest.at_ns > each.session.ttl_ns() + each.run.period_ns)
    each.run.stop.set(StopReason::kLinkLost, "no observation within its time to live (ttl_ms)");
}

bool Companions::complete(Arrival* arrival) noexcept {
  int n = run_.own_n, m = run_.own_m;
  for (int i = 0; i < run_.options.n_companions; ++i)
    if (!all_[i]->newest.any || all_[i]->session.resetting()) return false;
  for (int i = 0; i < run_.options.n_companions; ++i) {
    Companion& each = *all_[i];
    tl_state& state = each.newest.state;
    memcpy(arrival->state.x + n, state.x, sizeof(float) * static_cast<size_t>(each.run.n));
    memcpy(arrival->state.u + m, state.u, sizeof(float) * static_cast<size_t>(each.run.m));
    n += each.run.n;
    m += each.run.m;
    const int64_t age_ns = arrival->at_ns - each.newest.at_ns;
    if (each.age) arrival->state.x[n++] = age_ns > 0 ? static_cast<float>(static_cast<double>(age_ns) * 1e-9) : 0.0f;
    if ((each.run.hello.caps & TL_CAP_RESET) != 0)
      arrival->state.epflags |= static_cast<uint8_t>(state.epflags & kEpisodeEnd);
    state.epflags = 0;
  }
  return true;
}

void Companions::command(const float* u) noexcept {
  for (int i = 0; i < run_.options.n_companions; ++i) {
    Companion& each = *all_[i];
    each.session.command(each.newest, u);
    u += each.run.m;
  }
}

bool Companions::adopt(const Companion& each, int number) noexcept {
  if (each.run.stop.is_set()) {
    char text[30];
    snprintf(text, sizeof text, "companion[%d]", number);
    run_.stop.set(each.run.stop.reason(), text, each.run.stop.message());
  }
  return !run_.stop.is_set();
}

}  // namespace rtu::runtime::loop
