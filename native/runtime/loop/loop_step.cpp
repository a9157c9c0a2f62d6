// The processing from one STATE to the next.

#include <string.h>

#include <cmath>
#include <limits>

#include "native/runtime/loop/loop.h"

namespace rtu::runtime::loop {
namespace {

bool finite(const float* values, int count) noexcept {
  for (int i = 0; i < count; ++i) {
    if (!std::isfinite(values[i])) return false;
  }
  return true;
}

}  // namespace

void Loop::step(const Arrival& arrival) noexcept {
  if (start_.checked() && !begins(arrival)) return;
  StepTimes times{};
  times.begun_ns = run_.clock.now();
  times.receive_ns = times.begun_ns - arrival.at_ns;
  times.round_trip_ns = arrival.round_trip_ns != 0 ? arrival.round_trip_ns : run_.link.meter.take_round_trip();
  times.lateness_ns = tick_.lateness_ns(arrival, times.begun_ns);
  const LoopOptions& options = run_.options;
  const bool terminal = (arrival.state.epflags & kEpisodeEnd) != 0;
  Marks marks;
  const bool first = begin_step(arrival, &marks);
  const bool enough = options.steps > 0 && run_.counters.steps.get() >= options.steps;
  const bool late = options.duration_ns > 0 && times.begun_ns - run_.begun_ns >= options.duration_ns;

  float u[kMaxActuators];
  memcpy(u, limiter_.last, sizeof u);
  Previous previous;
  memcpy(previous.action, chosen_, sizeof previous.action);
  previous.valid = chosen_valid_;
  previous.foreign = hand_over_.foreign();
  Taken taken;
  if (policy_.previous != nullptr) tell_previous(arrival, first, &taken);
  ask_person(arrival, &marks);
  const bool predicted = choose(arrival, u, &marks);
  times.predict_ns = run_.clock.now() - times.begun_ns;
  if (!terminal && !enough && !late) {
    act(arrival, u, &times, &marks);
    marks.flags |= record::kRecordActed;
    watch_.step(arrival.state, u);
  }
  const int64_t acted_ns = run_.clock.now();
  const float reward = update(arrival, previous, first, predicted, &taken, &marks);
  times.update_ns = run_.clock.now() - acted_ns;
  if (!first) episode_.add_reward(reward);

  if (watch_.report()) marks.flags |= record::kRecordCheck;
  count_limited(marks.limited);
  recorder_.record_step(arrival, times, u, reward, marks);
  end_step(arrival, marks, first);
  if (enough) run_.stop.set(StopReason::kSteps, "step limit reached");
  if (late) run_.stop.set(StopReason::kSeconds, "time limit reached");
  if (bad_actions_ >= options.max_bad_actions) run_.stop.set(StopReason::kPolicy, "the policy failed repeatedly");
  if (terminal) end_episode();
}

// Returns whether this is the first observation of an episode.
bool Loop::begin_step(const Arrival& arrival, Marks* marks) noexcept {
  const tl_state& state = arrival.state;
  constexpr uint32_t kOnTheWire = record::kRecordFirst | record::kRecordTerminated | record::kRecordTruncated;
  marks->flags = static_cast<uint32_t>(state.epflags) & kOnTheWire;
  if (!is_first(arrival)) return false;
  marks->flags |= record::kRecordFirst;
  marks->calls |= record::kCallBegin;
  if (reconnected_) marks->flags |= record::kRecordReconnected;
  reconnected_ = false;
  session_.follow(state.episode);
  episode_.begin();
  chosen_valid_ = false;
  if (!start_limiter(state)) marks->calls |= record::kCallContinued;
  policy_.begin(policy_.self);
  hand_over_.begin();
  watch_.begin(state);
  return true;
}

// Records and counts the completed step.
void Loop::end_step(const Arrival& arrival, const Marks& marks, bool first) noexcept {
  const bool terminal = (arrival.state.epflags & kEpisodeEnd) != 0;
  if ((marks.flags & record::kRecordActed) != 0) {
    ++run_.counters.steps;
    episode_.add_step();
    if (run_.counters.steps.get() == kWarmSteps) recorder_.begin_counting();
    const int64_t now = run_.clock.now();
    recorder_.publish_when_due(now, arrival.state.x);
    session_.measure_link(now);
  }
  if ((marks.calls & record::kCallWeights) != 0 && !first) tick_.update_took(run_.clock.now(), recorder_.hash_ns());
  record::StatusBoard& board = run_.link.board;
  board.steps.store(run_.counters.steps.get(), std::memory_order_relaxed);
  board.episode_steps.store(episode_.steps(), std::memory_order_relaxed);
  if (terminal) {
    episode_.end();
    recorder_.record_episode(arrival);
  }
  recorder_.offer_snapshot(arrival, terminal);
}

void Loop::end_episode() noexcept {
  // A dry run sends no RESET: the next STATE begins an episode.
  episode_.await_next(!run_.options.dry_run);
  if (!run_.stop.is_set() && can_reset()) begin_reset();
}

// Chooses what the slew and acceleration limits start from in the first step of an episode. The applied values, if this
// loop has just armed the device, or has reset it and each applied value lies within the range of last command, rest
// value and the device's safe value (has_rested). Otherwise, for example after an episode that ended without a RESET,
// the last command. Returns whether it is the applied values.
bool Loop::start_limiter(const tl_state& state) noexcept {
  const bool armed = !limiter_started_;
  const bool rested = was_reset_ && safety::has_rested(limiter_, run_.options.safe, state.u);
  was_reset_ = false;
  if (!armed && !rested) return false;
  limiter_.start(state.u);
  limiter_started_ = true;
  return true;
}

// Whether a person drives, and the supervisor's part in that; replay does the same from the record's flags.
void Loop::ask_person(const Arrival& arrival, Marks* marks) noexcept {
  const TakeOver& source = run_.options.take_over;
  if (source.ask == nullptr) return;
  hands_ = source.ask(source.self, arrival.state.x, run_.n, person_, run_.m, run_.clock.now());
  if (source.failed != nullptr && source.failed->load(std::memory_order_relaxed))
    run_.stop.set(StopReason::kPolicy, "the take-over source failed");
  marks->flags |= record::hands_flags(static_cast<uint32_t>(hands_));
  float last[kMaxActuators];
  safety::unmap_action(run_.options.limits, run_.m, policy_.n_levels, limiter_.last, last);
  policy_.take_over(policy_.self, static_cast<int>(hands_), last);
}

// Predicts and maps to actuator units, into u; false when there was no prediction: then u is the last command again.
bool Loop::choose(const Arrival& arrival, float* u, Marks* marks) noexcept {
  chosen_valid_ = false;
  float action[kMaxActuators];
  const bool explore = explore_.load(std::memory_order_relaxed);
  int status = -1;
  if (!policy_.monitors_sensors && !finite(arrival.state.x, run_.n)) {
    ++run_.counters.observations_refused;
  } else if ((status = policy_.predict(policy_.self, arrival.state.x, explore, action)) < 0) {
    ++run_.counters.predict_failures;
  } else {
    if (status == kPolicyStop) run_.stop.set(StopReason::kSensor, "an observation with the sensor action \"stop\"");
    if (status == kPolicyFailed)
      run_.stop.set(StopReason::kPolicy, "the fallback controller failed repeatedly: actuators at rest");
    marks->calls |= explore ? record::kCallPredict | record::kCallExplore : record::kCallPredict;
    marks->limited |= safety::map_action(run_.options.limits, run_.m, policy_.n_levels, action, u);
    memcpy(chosen_, u, sizeof(float) * static_cast<size_t>(run_.m));
    chosen_valid_ = finite(chosen_, run_.m);
    bad_actions_ = chosen_valid_ ? 0 : bad_actions_ + 1;
    return true;
  }
  marks->flags |= record::kRecordPredictFailed;
  marks->limited |= safety::kLimiterHeld;
  ++bad_actions_;
  return false;
}

void Loop::act(const Arrival& arrival, float* u, StepTimes* times, Marks* marks) noexcept {
  const int64_t chosen_ns = run_.clock.now();
  if (run_.options.take_over.ask != nullptr) {
    if (hands_ == safety::Hands::kOn) memcpy(u, person_, sizeof(float) * static_cast<size_t>(run_.m));
    hand_over_.step(hands_, safety::fallback_drives(policy_), limiter_.last, u);
  }
  marks->limited |= limiter_.apply(u);
  // What the limiter makes of a choice is a part of the plant: it counts as carried out (math_learners.md, 4).
  if (chosen_valid_) memcpy(chosen_, u, sizeof(float) * static_cast<size_t>(run_.m));
  const int64_t limited_ns = run_.clock.now();
  times->limit_ns = limited_ns - chosen_ns;
  if (run_.options.dry_run) return;
  session_.command(arrival, u);
  companions_.command(u + run_.own_m);
  times->send_ns = run_.clock.now() - limited_ns;
}

// Evaluates the reward of the transition that ended in this STATE; false if it cannot be learned from.
bool Loop::take_reward(const Arrival& arrival, Taken* taken) noexcept {
  if (taken->done) return taken->usable;
  taken->done = true;
  const tl_state& state = arrival.state;
  const Reward& source = run_.options.reward;
  if (source.kind == RewardKind::kFrame && !(state.epflags & TL_EPISODE_REWARD)) ++run_.counters.rewards_missing;
  const float reward = source.evaluate(state.reward, state.x, run_.n, state.u, run_.m);
  if (source.failed != nullptr && source.failed->load(std::memory_order_relaxed))
    run_.stop.set(StopReason::kReward, "the reward function failed");
  taken->usable = std::isfinite(reward) && finite(state.u, run_.m);
  watch_.reward(taken->usable);
  if (taken->usable)
    taken->reward = reward;
  else
    ++run_.counters.rewards_refused;
  return taken->usable;
}

// What preceded this STATE, for a policy with inputs for it: its reward, and the values that the device reports as
// applied. Replay does the same from the record.
void Loop::tell_previous(const Arrival& arrival, bool first, Taken* taken) noexcept {
  if (first) return;
  const bool known = take_reward(arrival, taken);
  float applied[kMaxActuators];
  const bool reported = finite(arrival.state.u, run_.m);
  if (reported) safety::unmap_action(run_.options.limits, run_.m, policy_.n_levels, arrival.state.u, applied);
  policy_.previous(policy_.self, known ? taken->reward : std::numeric_limits<float>::quiet_NaN(),
                   reported ? applied : nullptr);
}

// Updates from the transition that ended in this STATE; returns its reward. `applied` is the action that the device
// reports as applied, if it differs from the policy's choice as the limiter passed it on: because of a held action, the
// device's own limits or safe behaviour, or another host.
float Loop::update(const Arrival& arrival, const Previous& previous, bool first, bool predicted, Taken* taken,
                   Marks* marks) noexcept {
  const tl_state& state = arrival.state;
  const safety::ActuatorLimits* limits = run_.options.limits;
  if (!first && !take_reward(arrival, taken)) {
    marks->flags |= record::kRecordRewardRefused;
    return 0;
  }
  const float reward = taken->reward;
  float applied[kMaxActuators];
  const bool foreign = !first && previous.foreign;
  const bool other =
      !first && (foreign || !previous.valid || safety::overridden(limits, run_.m, previous.action, state.u));
  if (foreign)
    safety::fill_foreign(applied);
  else if (other)
    safety::unmap_action(limits, run_.m, policy_.n_levels, state.u, applied);
  if (!predicted || !learn_.load(std::memory_order_relaxed)) {
    count_overridden(other, marks);
    return reward;
  }
  const int terminated = (state.epflags & TL_EPISODE_TERMINATED) != 0;
  const int truncated = (state.epflags & TL_EPISODE_TRUNCATED) != 0 && !terminated;
  const bool move_weights = first || tick_.update_fits(arrival, run_.clock.now());
  marks->calls |= record::kCallLearn | (move_weights ? record::kCallWeights : 0u) | (other ? record::kCallApplied : 0u);
  const int status =
      policy_.update(policy_.self, reward, terminated, truncated, other ? applied : nullptr, move_weights);
  if (status < 0) {
    ++run_.counters.update_failures;
    marks->flags |= record::kRecordUpdateFailed;
  }
  // The record keeps the policy's decision if it learned, and this comparison otherwise.
  count_overridden(status == kPolicyCritic || (other && (status < 0 || status == kPolicyNoted)), marks);
  if (status >= 0 && !first && status != kPolicyNoted) {
    ++run_.counters.learned;
    marks->flags |= record::kRecordLearned;
  }
  return reward;
}

void Loop::count_overridden(bool overridden, Marks* marks) noexcept {
  if (!overridden) return;
  ++run_.counters.overridden;
  marks->flags |= record::kRecordOverridden;
}

void Loop::count_limited(uint32_t limited) noexcept {
  record::LoopCounters& counters = run_.counters;
  counters.limiter_non_finite += (limited & safety::kLimiterNonFinite) != 0;
  counters.limiter_range += (limited & safety::kLimiterRange) != 0;
  counters.limiter_slew += (limited & safety::kLimiterSlew) != 0;
  counters.limiter_accel += (limited & safety::kLimiterAccel) != 0;
  counters.limiter_clipped += (limited & safety::kLimiterClipped) != 0;
  counters.limiter_held += (limited & safety::kLimiterHeld) != 0;
}

}  // namespace rtu::runtime::loop
