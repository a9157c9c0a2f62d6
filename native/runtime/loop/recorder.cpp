#include "native/runtime/loop/recorder.h"

#include <string.h>
#include <sys/resource.h>

#include "native/runtime/alloc_guard.h"

namespace rtu::runtime::loop {
namespace {

constexpr int64_t kPublishNs = 50 * kNsPerMs;
constexpr uint32_t kLongEpisode = 10000;  // steps
constexpr int64_t kCopyPatienceNs = 10 * kNsPerS;

int64_t page_faults() noexcept {
  rusage usage{};
  return getrusage(RUSAGE_THREAD, &usage) == 0 ? usage.ru_minflt + usage.ru_majflt : 0;
}

}  // namespace

Recorder::Recorder(Context& run, const Policy& policy, const Tick& tick, const Episode& episode)
    : run_(run),
      policy_(policy),
      tick_(tick),
      episode_(episode),
      records_(run.options.ring_records, record::record_stride(run.n, run.m)),
      episodes_(run.options.ring_episodes, sizeof(record::EpisodeRecord)),
      snapshot_(run.options.snapshots && policy.state != nullptr ? policy.state_bytes : 0, policy.extra_bytes),
      scratch_(new uint64_t[record::record_stride(run.n, run.m) / 8]()) {}

// The shorter of two measurements each; the first one touches the memory.
void Recorder::measure_costs() noexcept {
  if (run_.lockstep()) return;
  for (int i = 0; i < 2; ++i) {
    const int64_t begun_ns = run_.clock.now();
    if (run_.options.hash_every > 0 && policy_.hash != nullptr) {
      (void)policy_.hash(policy_.self);
      hashing_.first(run_.clock.now() - begun_ns);
    }
    const int64_t hashed_ns = run_.clock.now();
    if (snapshot_.size() > 0) {
      snapshot_.copy(policy_);
      copying_.first(run_.clock.now() - hashed_ns);
    }
  }
}

// Hash of the learner state, every hash_every records, or as soon after that as the slack allows; 0: not taken.
uint64_t Recorder::take_hash(const Arrival& arrival) noexcept {
  hash_ns_ = 0;
  if (run_.options.hash_every == 0 || policy_.hash == nullptr) return 0;
  hash_due_ = hash_due_ || sequence_ % run_.options.hash_every == 0;
  const int64_t begun_ns = run_.clock.now();
  if (!hash_due_ || !hashing_.fits(tick_.slack_ns(arrival, begun_ns))) return 0;
  hash_due_ = false;
  const uint64_t hash = policy_.hash(policy_.self);
  hash_ns_ = run_.clock.now() - begun_ns;
  hashing_.took(hash_ns_);
  return hash;
}

void Recorder::add_reward(float reward) noexcept {
  rewards_ += static_cast<double>(reward);
  if (++rewarded_ < record::kRewardBlock) return;
  run_.link.board.mean_reward.store(rewards_ / rewarded_, std::memory_order_relaxed);
  whole_block_ = true;
  rewards_ = 0;
  rewarded_ = 0;
}

void Recorder::record_step(const Arrival& arrival, const StepTimes& times, const float* u, float reward,
                           const Marks& marks) noexcept {
  record::RecordHead head{};
  head.step = run_.counters.steps.get();
  head.state_hash = take_hash(arrival);
  head.sequence = sequence_++;
  head.t_ns = times.begun_ns;
  head.lateness_ns = times.lateness_ns;
  head.receive_ns = times.receive_ns;
  head.predict_ns = times.predict_ns;
  head.limit_ns = times.limit_ns;
  head.send_ns = times.send_ns;
  head.update_ns = times.update_ns;
  head.round_trip_ns = times.round_trip_ns;
  head.device_us = arrival.t_us;
  head.command_age_us = arrival.command_age_us;
  head.episode = episode_.number(arrival.state.episode);
  head.episode_step = episode_.steps();
  head.flags = marks.flags;
  head.calls = marks.calls;
  head.command_limiter = marks.limited;
  head.reward = reward;
  constexpr uint32_t kNoReward = record::kRecordFirst | record::kRecordRewardRefused | record::kRecordHoming;
  if ((marks.flags & kNoReward) == 0) add_reward(reward);
  record::StatusBoard& board = run_.link.board;
  if ((marks.flags & record::kRecordHoming) == 0 && take_info(policy_, &head)) {
    board.learner_monitor.store(head.learner_monitor, std::memory_order_relaxed);
    board.mode.store(head.mode, std::memory_order_relaxed);
  }
  const size_t n = sizeof(float) * static_cast<size_t>(run_.n);
  const size_t m = sizeof(float) * static_cast<size_t>(run_.m);
  auto* row = reinterpret_cast<uint8_t*>(scratch_.get());
  memcpy(row, &head, sizeof head);
  memcpy(row + sizeof head, arrival.state.x, n);
  memcpy(row + sizeof head + n, u, m);
  memcpy(row + sizeof head + n + m, arrival.state.u, m);
  if (run_.options.black_box != nullptr) run_.options.black_box->write(head.sequence, row);
  uint8_t* out = records_.reserve();
  if (out == nullptr) return;
  memcpy(out, row, records_.stride());
  records_.commit();
}

void Recorder::record_episode(const Arrival& arrival) noexcept {
  uint8_t* out = episodes_.reserve();
  if (out == nullptr) return;
  record::EpisodeRecord row{};
  row.total_steps = run_.counters.steps.get();
  row.t_ns = arrival.at_ns;
  row.total_return = episode_.total_return();
  row.episode = episode_.number(arrival.state.episode);
  row.steps = episode_.steps();
  row.terminated = (arrival.state.epflags & TL_EPISODE_TERMINATED) != 0;
  row.seed = episode_.seed();
  memcpy(out, &row, sizeof row);
  episodes_.commit();
}

// In lockstep at the end of an episode, so that a session resumed from here repeats this one bit for bit; an episode
// that does not end is not waited for. Real time is not repeatable: any step with enough slack will do.
void Recorder::offer_snapshot(const Arrival& arrival, bool terminal) noexcept {
  if (!snapshot_.asked()) return;
  if (run_.lockstep() && !terminal && episode_.steps() < kLongEpisode) return;
  const int64_t begun_ns = run_.clock.now();
  if (copy_since_ns_ == 0) copy_since_ns_ = begun_ns;
  // If no step has enough slack, one late tick is better than no checkpoint.
  const bool patient = begun_ns - copy_since_ns_ < kCopyPatienceNs;
  if (patient && !copying_.fits(tick_.slack_ns(arrival, begun_ns))) return;
  copy_since_ns_ = 0;
  record::Progress& progress = snapshot_.copy(policy_);
  episode_.progress(&progress);
  if (terminal) progress.episode_steps = 0;
  ++run_.counters.snapshots;
  copying_.took(run_.clock.now() - begun_ns);
  snapshot_.hand_over(run_.clock.now() - begun_ns);
}

void Recorder::publish_when_due(int64_t now_ns, const float* x) noexcept {
  if (now_ns - published_ns_ < kPublishNs) return;
  publish(now_ns);
  run_.link.board.show_observations(x, run_.n);
}

void Recorder::publish(int64_t now_ns) noexcept {
  published_ns_ = now_ns;
  record::LoopCounters& published = run_.link.board.counters;
#define X(name) published.name.set(run_.counters.name.get());
  RTU_RUNTIME_LOOP_COUNTERS(X)
#undef X
  record::StatusBoard& board = run_.link.board;
#define X(name) board.supervisor.name.set(policy_.counters != nullptr ? policy_.counters->name.get() : 0);
  RTU_RUNTIME_SUPERVISOR_COUNTERS(X)
#undef X
  if (!whole_block_ && rewarded_ > 0) board.mean_reward.store(rewards_ / rewarded_, std::memory_order_relaxed);
  if (policy_.findings != nullptr) board.findings.store(policy_.findings(policy_.self), std::memory_order_relaxed);
  if (policy_.spread == nullptr || run_.counters.steps.get() == 0) return;
  const Spread spread = policy_.spread(policy_.self);
  board.sigma.store(spread.sigma, std::memory_order_relaxed);
  board.entropy.store(spread.entropy, std::memory_order_relaxed);
}

void Recorder::begin_counting() noexcept {
  if (alloc_guard_calls != nullptr) heap_calls_ = alloc_guard_calls(0);
  page_faults_ = page_faults();
}

void Recorder::end_counting(LoopResult* out) const noexcept {
  if (run_.counters.steps.get() < kWarmSteps) return;
  if (alloc_guard_calls != nullptr) out->heap_calls = alloc_guard_calls(0) - heap_calls_;
  out->page_faults = page_faults() - page_faults_;
}

}  // namespace rtu::runtime::loop
