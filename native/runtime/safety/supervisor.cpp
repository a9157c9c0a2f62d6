#include "native/runtime/safety/supervisor.h"

#include <string.h>

#include <cmath>
#include <limits>

namespace rtu::runtime::safety {
namespace {

bool finite(const float* values, int count) noexcept {
  for (int i = 0; i < count; ++i)
    if (!std::isfinite(values[i])) return false;
  return true;
}

float clip(float value) noexcept { return !(value >= -1.0f) ? -1.0f : value > 1.0f ? 1.0f : value; }

}  // namespace

Supervisor::Supervisor(const Policy& learner, const Policy& fallback, const SupervisorOptions& options)
    : learner_(learner), fallback_(fallback), options_(options), sensors_(options.sensors) {
  sensors_.n = learner.observation_size;
  if (learner_.halvings != nullptr) memory_.halvings = learner_.halvings(learner_.self, -1);
  if (!options.monitor || learner.sections == nullptr || options.mode == Mode::kOff) return;
  snapshots_.reset(new unsigned char[learners::monitor_bytes(options.monitor_config, learner.state_bytes)]());
  monitored_ =
      learners::make_monitor(monitor_, options.monitor_config, *learner.sections,
                             static_cast<unsigned char*>(learner.state), learner.state_bytes, snapshots_.get());
}

Policy Supervisor::policy() noexcept {
  Policy policy = learner_;
  policy.self = this;
  policy.begin = [](void* self) noexcept { return static_cast<Supervisor*>(self)->begin(); };
  if (learner_.previous != nullptr) {
    policy.previous = [](void* self, float reward, const float* applied) noexcept {
      static_cast<Supervisor*>(self)->previous(reward, applied);
    };
  }
  policy.take_over = [](void* self, int hands, const float* last) noexcept {
    static_cast<Supervisor*>(self)->take_over(static_cast<Hands>(hands), last);
  };
  policy.predict = [](void* self, const float* observation, int explore, float* action) noexcept {
    return static_cast<Supervisor*>(self)->predict(observation, explore != 0, action);
  };
  policy.update = [](void* self, float reward, int terminated, int truncated, const float* applied,
                     int move_weights) noexcept {
    return static_cast<Supervisor*>(self)->update(reward, terminated != 0, truncated != 0, applied, move_weights != 0);
  };
  policy.info = [](void* self) noexcept { return static_cast<Supervisor*>(self)->info(); };
  policy.hash = [](void* self) noexcept {
    const Policy& learner = static_cast<Supervisor*>(self)->learner_;
    return learner.hash != nullptr ? learner.hash(learner.self) : 0;
  };
  policy.spread = nullptr;
  if (learner_.spread != nullptr && options_.mode != Mode::kOff) {
    policy.spread = [](void* self) noexcept {
      const Policy& learner = static_cast<Supervisor*>(self)->learner_;
      return learner.spread(learner.self);
    };
  }
  policy.findings = nullptr;
  if (learner_.findings != nullptr && options_.mode != Mode::kOff) {
    policy.findings = [](void* self) noexcept {
      const Policy& learner = static_cast<Supervisor*>(self)->learner_;
      return learner.findings(learner.self);
    };
  }
  policy.extra_bytes = copy_bytes();
  policy.copy_extra = [](void* self, unsigned char* out, int full) noexcept {
    static_cast<Supervisor*>(self)->copy(out, full != 0);
  };
  policy.monitors_sensors = true;
  policy.counters = &counters_;
  policy.healthy = nullptr;
  policy.halvings = nullptr;
  return policy;
}

int Supervisor::begin() noexcept {
  if (memory_.inspected == 0) inspect(false, false);
  ++memory_.episodes;
  sensors_.begin();
  now_ = Chosen{};
  moved_ = 0;
  if (runs()) begin_learner();
  if (fallback_.begin != nullptr) fallback_.begin(fallback_.self);
  return 0;
}

void Supervisor::begin_learner() noexcept {
  if (memory_.restart != 0 && learner_.halvings != nullptr) learner_.halvings(learner_.self, memory_.halvings);
  memory_.restart = 0;
  learner_.begin(learner_.self);
}

// now_ is still the choice of the step before.
void Supervisor::previous(float reward, const float* applied) noexcept {
  if (!runs()) return;
  float buffer[kMaxActuators];
  const bool known = sensors_.reward_allowed(reward);
  learner_.previous(learner_.self, known ? reward : std::numeric_limits<float>::quiet_NaN(),
                    applied_for_learner(now_, applied, buffer));
}

// What a person has sent is the last action, for a fallback that holds it and for the sensor monitor.
void Supervisor::take_over(Hands hands, const float* last) noexcept {
  hands_ = hands;
  if (!now_.any || now_.driver != Driver::kPerson) return;
  memcpy(now_.action, last, sizeof(float) * static_cast<size_t>(learner_.action_size));
  moved_ = movement();
}

int Supervisor::predict(const float* observation, bool explore, float* action) noexcept {
  if (memory_.inspected == 0) inspect(false, false);
  ++memory_.steps;
  before_ = now_;
  now_ = Chosen{};
  memory_.triggers = 0;
  usable_ = false;
  info_.learner_monitor = 0;
  const SensorReport report = sensors_.apply(observation, moved_, x_, &counters_);
  info_.sensor_monitor = report.flags;
  info_.sensor_channel = report.channel;
  if (runs()) ask_learner(explore && learns());
  ask_fallback();
  const Cause cause = give_up(decide(report.flags));
  compose(cause);
  info_.mode = mode_word(options_.mode, now_.driver, cause);
  memcpy(action, now_.action, sizeof(float) * static_cast<size_t>(learner_.action_size));
  memory_.inspected = runs() ? 0 : 1;
  if (cause == Cause::kFailed) return kPolicyFailed;
  return (report.flags & kSensorStop) != 0 ? kPolicyStop : 0;
}

void Supervisor::ask_learner(bool explore) noexcept {
  // After a rollback the eligibility traces are reset, with the state that an episode begins with.
  if (memory_.restart != 0) begin_learner();
  const int status = learner_.predict(learner_.self, x_, explore ? 1 : 0, learner_action_);
  if (status < 0) {
    ++counters_.learner_failures;
    return trip(learners::kTriggerFailed);
  }
  now_.explored = explore;
  usable_ = finite(learner_action_, learner_.action_size);
  if (!usable_ || (learner_.healthy != nullptr && !learner_.healthy(learner_.self))) {
    usable_ = false;
    return trip(learners::kTriggerNonFinite);
  }
  if (learner_.n_levels == 0 && monitored_)
    trip(learners::inspect_action(monitor_, learner_action_, learner_.action_size));
}

// The fallback's action in the learner's units: a level index may be fractional.
float Supervisor::to_learner(float action, int levels) const noexcept {
  if (levels == learner_.n_levels) return levels == 0 ? clip(action) : action;
  const float fraction = levels == 0  ? (clip(action) + 1.0f) * 0.5f
                         : levels > 1 ? action / static_cast<float>(levels - 1)
                                      : 0.0f;
  return learner_.n_levels == 0 ? clip(2.0f * fraction - 1.0f)
                                : fraction * static_cast<float>(learner_.n_levels > 1 ? learner_.n_levels - 1 : 1);
}

void Supervisor::ask_fallback() noexcept {
  float action[kMaxActuators];
  const int m = learner_.action_size;
  // The controller's last output, or without a controller the last action; with a residual correction this would
  // accumulate.
  const bool holds = fallback_.predict == nullptr && options_.mode != Mode::kResidual;
  if (fallback_.predict != nullptr) {
    if (fallback_.predict(fallback_.self, x_, 0, action) >= 0 && finite(action, m)) {
      for (int k = 0; k < m; ++k) now_.fallback[k] = to_learner(action[k], fallback_.n_levels);
      fallback_failed_ = 0;
      return;
    }
    ++counters_.fallback_failures;
    if (fallback_failed_ < kFallbackTries) ++fallback_failed_;
  }
  const bool rests = !before_.any || fallback_failed_ == kFallbackTries;
  const float* last = holds ? before_.action : before_.fallback;
  for (int k = 0; k < m; ++k) now_.fallback[k] = rests ? to_learner(options_.rest[k], 0) : last[k];
}

// The fallback has to drive, alone or with a correction, and has used up its retries.
Cause Supervisor::give_up(Cause cause) noexcept {
  const bool needed = cause != Cause::kNone || options_.mode == Mode::kResidual;
  return needed && cause != Cause::kPerson && fallback_failed_ == kFallbackTries ? Cause::kFailed : cause;
}

// kNone: the learner drives, or both; otherwise the reason why the fallback or a person drives.
Cause Supervisor::decide(uint32_t input) noexcept {
  const Hands hands = hands_;
  hands_ = Hands::kOff;
  if (hands != Hands::kOff) {
    return_through_fallback();
    return hands == Hands::kOn ? Cause::kPerson : Cause::kSilent;
  }
  if (options_.mode == Mode::kOff || options_.mode == Mode::kShadow) return Cause::kMode;
  const Cause cause = decide_health(input);
  const uint64_t count = options_.ab_episodes ? memory_.episodes - (memory_.episodes > 0) : memory_.steps - 1;
  const bool turn = options_.mode != Mode::kAb || count / options_.ab_block % 2 == 0;
  if (turn) check_fallback_rate(cause != Cause::kNone);
  return cause == Cause::kNone && !turn ? Cause::kMode : cause;
}

// Switches to the fallback at the first bad step; back after a dwell and a number of consecutive good steps.
Cause Supervisor::decide_health(uint32_t input) noexcept {
  if (memory_.frozen != 0) return Cause::kFrozen;
  Cause cause = Cause::kNone;
  if ((input & kSensorFallback) != 0) {
    cause = Cause::kInput;
  } else if (memory_.triggers != 0) {
    cause = Cause::kGuard;
  } else if (!usable_) {
    cause = Cause::kLearner;
  }
  if (cause != Cause::kNone) {
    force_fallback();
    memory_.recovered = 0;
  } else {
    ++memory_.recovered;
  }
  if (memory_.locked != 0) return Cause::kLocked;
  if (memory_.fallback_on == 0 || cause != Cause::kNone) return cause;
  if (++memory_.dwelt < options_.dwell_steps || memory_.recovered < options_.recovery_steps) return Cause::kDwell;
  memory_.fallback_on = 0;
  return Cause::kNone;
}

// A person hands back as a fault ends: through the fallback, for its dwell. It is no switch.
void Supervisor::return_through_fallback() noexcept {
  memory_.fallback_on = 1;
  memory_.dwelt = 0;
  memory_.recovered = 0;
}

void Supervisor::force_fallback() noexcept {
  if (memory_.fallback_on != 0) return;
  memory_.fallback_on = 1;
  memory_.dwelt = 0;
  memory_.recovered = 0;
  ++counters_.switches;
  const uint64_t oldest =
      memory_.switched >= options_.max_switches ? memory_.switched_at[memory_.switched % options_.max_switches] : 0;
  if (memory_.switched >= options_.max_switches && memory_.steps - oldest < options_.switch_window) {
    memory_.locked = 1;
    counters_.switches_locked.set(1);
  }
  memory_.switched_at[memory_.switched++ % options_.max_switches] = memory_.steps;
}

void Supervisor::compose(Cause cause) noexcept {
  const int m = learner_.action_size;
  const bool fallback = cause != Cause::kNone && cause != Cause::kPerson;
  now_.any = true;
  now_.driver = fallback                           ? Driver::kFallback
                : cause == Cause::kPerson          ? Driver::kPerson
                : options_.mode == Mode::kResidual ? Driver::kBoth
                                                   : Driver::kLearner;
  for (int k = 0; k < m; ++k) {
    now_.action[k] = now_.driver == Driver::kLearner ? learner_action_[k]
                     : now_.driver == Driver::kBoth
                         ? clip(now_.fallback[k] + 2.0f * options_.residual[k] * clip(learner_action_[k]))
                         : now_.fallback[k];
  }
  moved_ = movement();
  if (now_.driver == Driver::kPerson)
    ++counters_.person_steps;
  else if (fallback)
    ++counters_.fallback_steps;
  else
    ++counters_.learner_steps;
  if (fallback && cause != Cause::kMode) ++counters_.fallback_forced;
}

// How far the last action is from the one before it, all actuators together.
float Supervisor::movement() const noexcept {
  const float scale = learner_.n_levels > 1 ? 2.0f / static_cast<float>(learner_.n_levels - 1) : 1.0f;
  float moved = 0;
  for (int k = 0; k < learner_.action_size && before_.any; ++k)
    moved += scale * std::fabs(now_.action[k] - before_.action[k]);
  return moved;
}

int Supervisor::update(float reward, bool terminated, bool truncated, const float* applied,
                       bool move_weights) noexcept {
  if (!runs()) return kPolicyNoted;
  int status = kPolicyNoted;
  bool learned = false;
  if (memory_.triggers == 0 && now_.explored) {
    if (before_.any && !sensors_.reward_allowed(reward)) {
      ++counters_.sensor_rewards;
      info_.sensor_monitor |= kSensorReward;
    } else {
      float buffer[kMaxActuators];
      status = learner_.update(learner_.self, reward, terminated, truncated,
                               applied_for_learner(before_, applied, buffer), move_weights);
      learned = before_.any && status >= 0 && status != kPolicyNoted && move_weights;
      if (status < 0) {
        ++counters_.learner_failures;
        trip(learners::kTriggerFailed);
      }
    }
  }
  inspect(learned, terminated);
  return status;
}

// The applied action in the learner's units; null: its own choice. While the fallback drives, only the critic
// learns.
const float* Supervisor::applied_for_learner(const Chosen& was, const float* applied, float* out) const noexcept {
  if (!was.any || was.driver == Driver::kLearner) return applied;
  if (was.driver == Driver::kBoth && applied == nullptr) return nullptr;
  const float* actuated = applied != nullptr ? applied : was.action;
  for (int k = 0; k < learner_.action_size; ++k) {
    const float share = 2.0f * options_.residual[k];
    out[k] = options_.mode != Mode::kResidual ? actuated[k]
             : share > 0                      ? (actuated[k] - was.fallback[k]) / share
                                              : 0.0f;
  }
  return out;
}

const StepInfo* Supervisor::info() noexcept {
  const StepInfo* learner = runs() && learner_.info != nullptr ? learner_.info(learner_.self) : nullptr;
  if (learner != nullptr) {
    info_.value = learner->value;
    info_.delta = learner->delta;
    info_.step_size_actor = learner->step_size_actor;
    info_.step_size_critic = learner->step_size_critic;
  }
  return &info_;
}

}  // namespace rtu::runtime::safety
