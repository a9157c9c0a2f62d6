// What happens between a STATE and the next one.

#include <string.h>

#include <algorithm>
#include <cmath>

#include "native/runtime/loop.h"

namespace rtu::runtime {
namespace {

bool finite(const float* values, int count) noexcept {
  for (int i = 0; i < count; ++i) {
    if (!std::isfinite(values[i])) return false;
  }
  return true;
}

constexpr uint32_t kLongEpisode = 10000;  // steps
constexpr int64_t kCopyPatienceNs = 10 * kNsPerS;
constexpr uint8_t kEnd = TL_EPISODE_TERMINATED | TL_EPISODE_TRUNCATED;

}  // namespace

void Loop::step(const Arrival& arrival, int64_t round_trip_ns) noexcept {
  StepTimes times{};
  times.begun_ns = clock_.now();
  times.receive_ns = times.begun_ns - arrival.at_ns;
  times.round_trip_ns = round_trip_ns != 0 ? round_trip_ns : link_.meter.take_round_trip();
  times.lateness_ns = options_.tick == TickSource::kHost ? times.begun_ns - deadline_.next_ns
                      : round_trip_ns != 0               ? 0
                                                         : lateness_.on_state(arrival.at_ns, arrival.t_us);
  const tl_state& state = arrival.state;
  const bool first = awaiting_first_ || (state.epflags & TL_EPISODE_FIRST) != 0 || state.episode != wire_episode_;
  const bool terminal = (state.epflags & kEnd) != 0;
  Marks marks;
  marks.flags = static_cast<uint32_t>(state.epflags) & (kRecordFirst | kRecordTerminated | kRecordTruncated);
  if (first) {
    marks.flags |= kRecordFirst;
    marks.calls |= kCallBegin;
    awaiting_first_ = false;
    ended_ = false;
    wire_episode_ = state.episode;
    episode_steps_ = 0;
    return_ = 0;
    wanted_valid_ = false;
    if (!start_gate(state)) marks.calls |= kCallContinued;
    policy_.begin(policy_.self);
  }
  const int64_t elapsed_ns = times.begun_ns - begun_ns_;
  const bool enough = options_.steps > 0 && counters_.steps.get() >= options_.steps;
  const bool late = options_.duration_ns > 0 && elapsed_ns >= options_.duration_ns;

  float u[kMaxActuators];
  memcpy(u, gate_.last, sizeof u);
  float before[kMaxActuators];  // wanted in the step before this one: what learn() compares with
  memcpy(before, wanted_, sizeof before);
  const bool before_valid = wanted_valid_;
  const bool predicted = choose(arrival, u, &marks);
  times.predict_ns = clock_.now() - times.begun_ns;
  if (!terminal && !enough && !late) {
    act(arrival, u, &times, &marks);
    marks.flags |= kRecordActed;
  }
  const int64_t acted_ns = clock_.now();
  float reward = 0;
  const Previous previous{before, before_valid};
  learn(arrival, previous, first, predicted, &reward, &marks);
  times.learn_ns = clock_.now() - acted_ns;
  if (!first) return_ += static_cast<double>(reward);

  count_gate(marks.gate);
  record(arrival, times, u, reward, marks);
  if ((marks.flags & kRecordActed) != 0) {
    ++counters_.steps;
    ++episode_steps_;
    if (counters_.steps.get() == kWarmSteps) begin_counting();
    look_at_link();
  }
  if ((marks.calls & kCallUpdate) != 0 && !first) update_.took(clock_.now() - decided_ns_ - hash_ns_);
  link_.board.steps.store(counters_.steps.get(), std::memory_order_relaxed);
  link_.board.episode_steps.store(episode_steps_, std::memory_order_relaxed);
  if (terminal) end_episode(arrival);
  offer_snapshot(arrival, terminal);
  if (enough) stop(StopReason::kSteps, "the step limit is reached");
  if (late) stop(StopReason::kSeconds, "the time is over");
  if (bad_actions_ >= options_.max_bad_actions) stop(StopReason::kPolicy, "the policy keeps failing");
  if (!terminal) return;
  awaiting_first_ = true;
  if (options_.dry_run) return;  // no RESET leaves: the next STATE begins an episode
  ended_ = true;
  if (result_.reason == StopReason::kNone && (hello_.caps & TL_CAP_RESET)) begin_reset();
}

// The limits on changes start from what the actuators do only where this loop has armed or reset the device, and after a
// RESET only where that lies between the last command and what the actuators come to rest at. Whatever else a STATE says
// (a new episode, another place), they go on from the last command. Returns whether they started.
bool Loop::start_gate(const tl_state& state) noexcept {
  const bool armed = !gate_started_;
  bool rested = was_reset_;
  was_reset_ = false;
  for (int i = 0; i < m_ && rested && !armed; ++i) {
    const float ends[] = {gate_.last[i], options_.limits[i].rest, options_.safe[i]};
    rested = state.u[i] >= *std::min_element(ends, ends + 3) && state.u[i] <= *std::max_element(ends, ends + 3);
  }
  if (!armed && !rested) return false;
  gate_.start(state.u);
  gate_started_ = true;
  return true;
}

// Predicts and maps to actuator units, into u; false when there was no prediction: then u is the last command again.
bool Loop::choose(const Arrival& arrival, float* u, Marks* marks) noexcept {
  wanted_valid_ = false;
  float action[kMaxActuators];
  const bool explore = explore_.load(std::memory_order_relaxed);
  int status = -1;
  if (!policy_.gates_input && !finite(arrival.state.x, n_)) {
    ++counters_.observations_refused;
  } else if ((status = policy_.predict(policy_.self, arrival.state.x, explore, action)) < 0) {
    ++counters_.predict_failures;
  } else {
    if (status == kPolicyStop) stop(StopReason::kInput, "an observation that the configuration calls fatal");
    if (status == kPolicyFailed) stop(StopReason::kPolicy, "the fallback that has to drive keeps failing: at rest");
    marks->calls |= explore ? kCallPredict | kCallExplore : kCallPredict;
    marks->gate |= map_action(options_.limits, m_, policy_.n_levels, action, u);
    memcpy(wanted_, u, sizeof(float) * static_cast<size_t>(m_));
    wanted_valid_ = finite(wanted_, m_);
    bad_actions_ = wanted_valid_ ? 0 : bad_actions_ + 1;
    return true;
  }
  marks->flags |= kRecordPredictFailed;
  marks->gate |= kGateHeld;
  ++bad_actions_;
  return false;
}

void Loop::act(const Arrival& arrival, float* u, StepTimes* times, Marks* marks) noexcept {
  const int64_t chosen_ns = clock_.now();
  marks->gate |= gate_.apply(u);
  const int64_t gated_ns = clock_.now();
  times->gate_ns = gated_ns - chosen_ns;
  if (options_.dry_run) return;
  const bool lockstep = options_.tick == TickSource::kLockstep;
  tl_cmd command;
  command.lockstep = lockstep;
  command.session = options_.session;
  command.obs_t_us = arrival.t_us;
  command.ttl_ms = ttl_ms_;
  command.mode = TL_MODE_VALUE;
  command.n = static_cast<uint8_t>(m_);
  memcpy(command.u, u, sizeof(float) * static_cast<size_t>(m_));
  tl_frame frame;
  tl_cmd_pack(&command, &frame);
  link_.encode(&frame, lockstep ? arrival.t_us : link_.now_us(), &command_);
  const int64_t now = clock_.now();
  link_.meter.command(command_.seq, command.obs_t_us);
  link_.transmit(command_, now + (lockstep ? options_.retry_ns : period_ns_ / 4));
  times->send_ns = clock_.now() - gated_ns;
  sent_ns_ = now;
  command_pending_ = true;
  attempts_ = 0;
  if (unacknowledged_++ == 0) {
    refused_before_ = link_.commands_refused;
    unacknowledged_ns_ = now;
    acknowledged_seq_ = arrival.state.last_cmd_seq;
  }
}

// Learns from the transition that ended in this STATE. `executed` is what the device says it applied, where that is not
// what the policy chose: the gate's slew limit, a held action, the device's own limits or safe behaviour, another host.
void Loop::learn(const Arrival& arrival, const Previous& previous, bool first, bool predicted, float* reward,
                 Marks* marks) noexcept {
  const tl_state& state = arrival.state;
  if (!first) {
    if (options_.reward.kind == RewardKind::kFrame && !(state.epflags & TL_EPISODE_REWARD)) ++counters_.rewards_missing;
    *reward = options_.reward.evaluate(state.reward, state.x, n_, state.u, m_);
    if (options_.reward.failed != nullptr && options_.reward.failed->load(std::memory_order_relaxed)) {
      stop(StopReason::kReward, "the reward function failed");
    }
    if (!std::isfinite(*reward) || !finite(state.u, m_)) {
      ++counters_.rewards_refused;
      marks->flags |= kRecordRewardRefused;
      *reward = 0;
      return;
    }
  }
  float executed[kMaxActuators];
  const bool other = !first && (!previous.valid || replaced(options_.limits, m_, previous.wanted, state.u));
  if (other) unmap_action(options_.limits, m_, policy_.n_levels, state.u, executed);
  if (!predicted || !learn_.load(std::memory_order_relaxed)) return count_replaced(other, marks);
  const int terminated = (state.epflags & TL_EPISODE_TERMINATED) != 0;
  const int truncated = (state.epflags & TL_EPISODE_TRUNCATED) != 0 && !terminated;
  const bool update = first || update_fits(arrival, clock_.now());
  marks->calls |= kCallLearn | (update ? kCallUpdate : 0U) | (other ? kCallExecuted : 0U);
  const int status = policy_.learn(policy_.self, *reward, terminated, truncated, other ? executed : nullptr, update);
  if (status < 0) {
    ++counters_.learn_failures;
    marks->flags |= kRecordLearnFailed;
  }
  // Where it learned, the policy has decided that; where not, it is only told.
  count_replaced(status == kPolicyCritic || (other && (status < 0 || status == kPolicyNoted)), marks);
  if (status < 0) return;
  if (!first && status != kPolicyNoted) {
    ++counters_.learned;
    marks->flags |= kRecordLearned;
  }
}

void Loop::count_replaced(bool replaced, Marks* marks) noexcept {
  if (!replaced) return;
  ++counters_.replaced;
  marks->flags |= kRecordReplaced;
}

// Up to the start of the next slot, or to when the next STATE is due; in lockstep time is virtual.
int64_t Loop::slack_ns(const Arrival& arrival, int64_t now_ns) const noexcept {
  if (options_.tick == TickSource::kLockstep) return INT64_MAX;
  const int64_t begun_ns = options_.tick == TickSource::kHost ? deadline_.next_ns : arrival.at_ns;
  return begun_ns + period_ns_ - now_ns;
}

// The deadline rule. An update costs what passes from here to the end of the step.
bool Loop::update_fits(const Arrival& arrival, int64_t now_ns) noexcept {
  decided_ns_ = now_ns;
  bool fits = true;
  if (options_.n_drops > 0) {
    const uint64_t transition = counters_.learned.get() + counters_.learn_failures.get();
    while (next_drop_ < options_.n_drops && options_.drops[next_drop_] < transition) ++next_drop_;
    fits = next_drop_ == options_.n_drops || options_.drops[next_drop_] != transition;
  } else if (options_.tick != TickSource::kLockstep) {
    fits = update_.fits(slack_ns(arrival, now_ns));
  }
  if (!fits) {
    update_.fall();
    ++counters_.updates_dropped;
  }
  return fits;
}

// Before ARM, with nobody waiting: what hash and copy cost here, so that the first of each knows it too. The lesser of two
// each, the first of which touches the memory.
void Loop::measure() noexcept {
  if (options_.tick == TickSource::kLockstep) return;
  for (int i = 0; i < 2; ++i) {
    const int64_t begun_ns = clock_.now();
    if (options_.hash_every > 0 && policy_.hash != nullptr) {
      (void)policy_.hash(policy_.self);
      hashing_.first(clock_.now() - begun_ns);
    }
    const int64_t hashed_ns = clock_.now();
    if (snapshot_.size() > 0) {
      snapshot_.copy(policy_);
      copying_.first(clock_.now() - hashed_ns);
    }
  }
}

// Of what learns, each hash_every records, or as soon after as it makes no tick late; 0: not taken.
uint64_t Loop::hash(const Arrival& arrival) noexcept {
  hash_ns_ = 0;
  if (options_.hash_every == 0 || policy_.hash == nullptr) return 0;
  hash_due_ = hash_due_ || sequence_ % options_.hash_every == 0;
  const int64_t begun_ns = clock_.now();
  if (!hash_due_ || !hashing_.fits(slack_ns(arrival, begun_ns))) return 0;
  hash_due_ = false;
  const uint64_t hash = policy_.hash(policy_.self);
  hash_ns_ = clock_.now() - begun_ns;
  hashing_.took(hash_ns_);
  return hash;
}

void Loop::record(const Arrival& arrival, const StepTimes& times, const float* u, float reward,
                  const Marks& marks) noexcept {
  RecordHead head{};
  head.step = counters_.steps.get();
  head.state_hash = hash(arrival);
  head.sequence = sequence_++;
  head.t_ns = times.begun_ns;
  head.lateness_ns = times.lateness_ns;
  head.receive_ns = times.receive_ns;
  head.predict_ns = times.predict_ns;
  head.gate_ns = times.gate_ns;
  head.send_ns = times.send_ns;
  head.learn_ns = times.learn_ns;
  head.round_trip_ns = times.round_trip_ns;
  head.device_us = arrival.t_us;
  head.command_age_us = arrival.command_age_us;
  head.episode = seed_index_ > options_.first_episode ? seed_index_ - 1 : arrival.state.episode;
  head.episode_step = episode_steps_;
  head.flags = marks.flags;
  head.calls = marks.calls;
  head.gate = marks.gate;
  head.reward = reward;
  if (take_info(policy_, &head)) {
    link_.board.guard.store(head.guard, std::memory_order_relaxed);
    link_.board.mode.store(head.mode, std::memory_order_relaxed);
  }
  const size_t n = sizeof(float) * static_cast<size_t>(n_);
  const size_t m = sizeof(float) * static_cast<size_t>(m_);
  auto* record = reinterpret_cast<uint8_t*>(scratch_.get());
  memcpy(record, &head, sizeof head);
  memcpy(record + sizeof head, arrival.state.x, n);
  memcpy(record + sizeof head + n, u, m);
  memcpy(record + sizeof head + n + m, arrival.state.u, m);
  if (options_.black_box != nullptr) options_.black_box->write(head.sequence, record);
  uint8_t* out = records_.reserve();
  if (out == nullptr) return;
  memcpy(out, record, records_.stride());
  records_.commit();
}

void Loop::end_episode(const Arrival& arrival) noexcept {
  judge(return_);
  ++counters_.episodes;
  const uint64_t finished = counters_.episodes.get();
  link_.board.episodes.store(finished, std::memory_order_relaxed);
  link_.board.mean_return.store(mean_return_, std::memory_order_relaxed);
  uint8_t* out = episodes_.reserve();
  if (out != nullptr) {
    EpisodeRecord record{};
    record.total_steps = counters_.steps.get();
    record.t_ns = arrival.at_ns;
    record.total_return = return_;
    record.episode = seed_index_ > options_.first_episode ? seed_index_ - 1 : arrival.state.episode;
    record.steps = episode_steps_;
    record.terminated = (arrival.state.epflags & TL_EPISODE_TERMINATED) != 0;
    record.seed = seed_;
    memcpy(out, &record, sizeof record);
    episodes_.commit();
  }
  if (options_.has_target && judged_ >= static_cast<uint64_t>(options_.target_window) &&
      mean_return_ >= options_.target_return) {
    stop(StopReason::kTarget, "the mean return reached the target");
  } else if (options_.episodes > 0 && finished >= options_.episodes) {
    stop(StopReason::kEpisodes, "the episode limit is reached");
  }
}

// Into the window of the returns that the target is judged by.
void Loop::judge(double total) noexcept {
  const auto window = static_cast<uint64_t>(options_.target_window);
  returns_[judged_++ % window] = total;
  const uint64_t count = judged_ < window ? judged_ : window;
  double sum = 0;
  for (uint64_t i = 0; i < count; ++i) sum += returns_[i];
  mean_return_ = sum / static_cast<double>(count);
}

void Loop::progress(Progress* out) const noexcept {
  const auto window = static_cast<uint64_t>(options_.target_window);
  const uint64_t count = judged_ < window ? judged_ : window;
  out->steps = counters_.steps.get();
  out->episodes = counters_.episodes.get();
  out->next_episode = seed_index_;
  out->episode_steps = ended_ || awaiting_first_ ? 0 : episode_steps_;
  const int64_t lasted_ns = begun_ns_ == 0            ? 0
                            : result_.duration_ns > 0 ? result_.duration_ns
                                                      : clock_.now() - begun_ns_;
  out->seconds = static_cast<double>(lasted_ns) * 1e-9;
  out->returns = static_cast<int>(count);
  for (uint64_t i = 0; i < count; ++i) out->last_returns[i] = returns_[(judged_ - count + i) % window];
}

// In lockstep at the end of an episode, so that a session which goes on from here repeats this one to the bit; an
// episode that does not end is not waited for. In real time nothing is repeated: any step will do that has the slack.
void Loop::offer_snapshot(const Arrival& arrival, bool terminal) noexcept {
  if (!snapshot_.asked()) return;
  if (options_.tick == TickSource::kLockstep && !terminal && episode_steps_ < kLongEpisode) return;
  const int64_t begun_ns = clock_.now();
  if (copy_since_ns_ == 0) copy_since_ns_ = begun_ns;
  // Where no step has the slack, one late tick is better than no checkpoint.
  const bool patient = begun_ns - copy_since_ns_ < kCopyPatienceNs;
  if (patient && !copying_.fits(slack_ns(arrival, begun_ns))) return;
  copy_since_ns_ = 0;
  Progress& progress_then = snapshot_.copy(policy_);
  progress(&progress_then);
  if (terminal) progress_then.episode_steps = 0;
  ++counters_.snapshots;
  copying_.took(clock_.now() - begun_ns);
  snapshot_.hand_over(clock_.now() - begun_ns);
}

void Loop::count_gate(uint32_t gate) noexcept {
  counters_.gate_non_finite += (gate & kGateNonFinite) != 0;
  counters_.gate_range += (gate & kGateRange) != 0;
  counters_.gate_slew += (gate & kGateSlew) != 0;
  counters_.gate_accel += (gate & kGateAccel) != 0;
  counters_.gate_clipped += (gate & kGateClipped) != 0;
  counters_.gate_held += (gate & kGateHeld) != 0;
}

// The safe action before DISARM: each actuator's rest value, as far as the gate lets it go in one command.
void Loop::rest() noexcept {
  Arrival last;
  last.t_us = tick_.last_us;
  last.state.last_cmd_seq = acknowledged_seq_;
  float u[kMaxActuators];
  for (int i = 0; i < m_; ++i) u[i] = options_.hold[i] ? gate_.last[i] : options_.limits[i].rest;
  StepTimes times{};
  Marks marks;
  act(last, u, &times, &marks);
}

}  // namespace rtu::runtime
