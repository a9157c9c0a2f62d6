#include "native/runtime/loop/replay.h"

#include <string.h>

#include <cmath>
#include <limits>

namespace rtu::runtime::loop {

Replay::Replay(const Policy& policy, int n, int m, const safety::ActuatorLimits* limits, bool limit_commands) noexcept
    : policy_(policy), n_(n), m_(m), hand_over_(m, 0) {
  limiter_.m = m;
  limiter_.enabled = limit_commands;
  memcpy(limiter_.limits, limits, sizeof limiter_.limits);
}

void Replay::step(const uint8_t* record, ReplayStep* out) noexcept {
  record::RecordHead head;
  float x[kMaxObservations], recorded[kMaxActuators], applied[kMaxActuators];
  const size_t n = sizeof(float) * static_cast<size_t>(n_);
  const size_t m = sizeof(float) * static_cast<size_t>(m_);
  memcpy(&head, record, sizeof head);
  memcpy(x, record + sizeof head, n);
  memcpy(recorded, record + sizeof head + n, m);
  memcpy(applied, record + sizeof head + n + m, m);
  *out = ReplayStep{};
  if ((head.flags & record::kRecordHoming) != 0) return follow(head, recorded, applied, out);

  if ((head.calls & record::kCallBegin) != 0) {
    if ((head.calls & record::kCallContinued) == 0) limiter_.start(applied);
    policy_.begin(policy_.self);
    hand_over_.begin();
  }
  const bool foreign = hand_over_.foreign() && (head.flags & record::kRecordFirst) == 0;
  tell_previous(head, applied);
  tell_hands(head);
  float u[kMaxActuators], action[kMaxActuators];
  memcpy(u, limiter_.last, sizeof u);
  if ((head.calls & record::kCallPredict) != 0) {
    if (policy_.predict(policy_.self, x, (head.calls & record::kCallExplore) != 0, action) < 0)
      out->differs |= kDiffersCall;
    else
      (void)safety::map_action(limiter_.limits, m_, policy_.n_levels, action, u);
  }
  if ((head.flags & record::kRecordActed) != 0) act(head, recorded, u);
  if ((head.calls & record::kCallLearn) != 0) {
    const bool with_applied =
        foreign || (head.calls & record::kCallApplied) != 0 || (as_applied && (head.flags & record::kRecordFirst) == 0);
    if (foreign)
      safety::fill_foreign(action);
    else if (with_applied)
      safety::unmap_action(limiter_.limits, m_, policy_.n_levels, applied, action);
    const int terminated = (head.flags & record::kRecordTerminated) != 0;
    const int truncated = (head.flags & record::kRecordTruncated) != 0 && !terminated;
    const bool refused = policy_.update(policy_.self, head.reward, terminated, truncated,
                                        with_applied ? action : nullptr, (head.calls & record::kCallWeights) != 0) < 0;
    if (refused != ((head.flags & record::kRecordUpdateFailed) != 0)) out->differs |= kDiffersCall;
  }
  compare(head, u, recorded, out);
}

// Between episodes: the commands of the homing controller are those of the record, and the policy is not called.
void Replay::follow(const record::RecordHead& head, const float* u, const float* applied, ReplayStep* out) noexcept {
  if ((head.calls & record::kCallLimiter) != 0) limiter_.start(applied);
  if ((head.flags & record::kRecordActed) != 0) limiter_.follow(u);
  if (head.state_hash == 0 || policy_.hash == nullptr) return;
  out->state_hash = policy_.hash(policy_.self);
  if (out->state_hash != head.state_hash) out->differs |= kDiffersHash;
}

// As the loop (ask_person).
void Replay::tell_hands(const record::RecordHead& head) noexcept {
  if (policy_.take_over == nullptr) return;
  float last[kMaxActuators];
  safety::unmap_action(limiter_.limits, m_, policy_.n_levels, limiter_.last, last);
  policy_.take_over(policy_.self, static_cast<int>(record::hands_of(head.flags)), last);
}

// As the loop. A person's command is that of the record.
void Replay::act(const record::RecordHead& head, const float* recorded, float* u) noexcept {
  const auto hands = static_cast<safety::Hands>(record::hands_of(head.flags));
  if (hands == safety::Hands::kOn) memcpy(u, recorded, sizeof(float) * static_cast<size_t>(m_));
  hand_over_.step(hands, safety::fallback_drives(policy_), limiter_.last, u);
  if (hands == safety::Hands::kOn)
    limiter_.follow(u);
  else
    (void)limiter_.apply(u);
}

// As the loop: the recorded reward, NaN where it was refused, and the values that the device reported as applied.
void Replay::tell_previous(const record::RecordHead& head, const float* applied) noexcept {
  if (policy_.previous == nullptr || (head.flags & record::kRecordFirst) != 0) return;
  bool reported = true;
  for (int i = 0; i < m_; ++i) reported = reported && std::isfinite(applied[i]);
  float action[kMaxActuators];
  if (reported) safety::unmap_action(limiter_.limits, m_, policy_.n_levels, applied, action);
  const bool refused = (head.flags & record::kRecordRewardRefused) != 0;
  policy_.previous(policy_.self, refused ? std::numeric_limits<float>::quiet_NaN() : head.reward,
                   reported ? action : nullptr);
}

void Replay::compare(const record::RecordHead& head, const float* u, const float* recorded,
                     ReplayStep* out) const noexcept {
  if (memcmp(u, recorded, sizeof(float) * static_cast<size_t>(m_)) != 0) out->differs |= kDiffersCommand;
  for (int i = 0; i < m_; ++i) {
    if (u[i] == recorded[i] || (std::isnan(u[i]) && std::isnan(recorded[i]))) continue;
    const float distance = std::fabs(u[i] - recorded[i]) / (limiter_.limits[i].high - limiter_.limits[i].low);
    if (!(distance <= out->distance))
      out->distance = std::isnan(distance) ? std::numeric_limits<float>::infinity() : distance;
  }
  if (take_info(policy_, out)) {
    const uint32_t decided_then[] = {head.sensor_monitor, head.sensor_channel, head.learner_monitor, head.mode};
    const uint32_t decided_now[] = {out->sensor_monitor, out->sensor_channel, out->learner_monitor, out->mode};
    if (memcmp(decided_then, decided_now, sizeof decided_then) != 0) out->differs |= kDiffersDecision;
    // Values that a call did not write may date from before the log began.
    const bool learned = (head.calls & record::kCallLearn) != 0 && (head.flags & record::kRecordUpdateFailed) == 0;
    const bool moved = (head.flags & record::kRecordLearned) != 0 && (head.calls & record::kCallWeights) != 0;
    const float then[] = {head.value, head.delta, head.step_size_actor, head.step_size_critic};
    const float now[] = {out->value, out->delta, out->step_size_actor, out->step_size_critic};
    const size_t compared = moved ? sizeof then : learned ? sizeof then / 2 : 0;
    if (memcmp(then, now, compared) != 0) out->differs |= kDiffersEstimate;
  }
  if (head.state_hash == 0 || policy_.hash == nullptr) return;
  out->state_hash = policy_.hash(policy_.self);
  if (out->state_hash != head.state_hash) out->differs |= kDiffersHash;
}

}  // namespace rtu::runtime::loop
