// What the loop drives: a table of functions over an opaque self, so that learners, fallback controllers and test
// dummies are the same thing to the loop, and the loop needs none of their headers.
//
// Order of calls, once per observation:   [begin] predict [send] update
//   begin    at the first observation of an episode, before predict
//   predict  advances the recurrent state, writes the action; nothing moves a weight here
//   update   after the action has left, for the transition that ended in the observation just predicted; right after
//            begin + predict it only takes note of that observation (there is no transition yet)
// A predict may follow a predict (learning switched off, a refused reward): the transition between them is then never
// learned from. update with move_weights = 0 is the deadline rule: eligibilities and traces advance, no weight moves. A
// terminal observation is predicted and learned from, its action is thrown away.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "native/core/arena.h"

namespace rtu::runtime {

namespace record {
struct SupervisorCounters;
}

constexpr int kMaxObservations = 55;  // n + m <= 55 on the wire
constexpr int kMaxActuators = 55;

constexpr int kPolicyStop = 1;  // of predict: the action is good, but the run has to end
constexpr int kPolicyFailed =
    2;  // of predict: the action is rest, and the run has to end: what should drive keeps failing
constexpr int kPolicyNoted = 1;   // of update: nothing was learned from this transition
constexpr int kPolicyCritic = 2;  // of update: something else was carried out, so only the critic learned from it

// Of the last update() and the predict() before it; for telemetry only.
struct StepInfo {
  float value = 0;               // v(s) of the observation last predicted
  float delta = 0;               // TD error of the last transition
  float step_size_actor = 0;     // step size in effect at the last update
  float step_size_critic = 0;    // the same for the critic
  uint32_t sensor_monitor = 0;   // what was wrong with the observation
  uint32_t sensor_channel = 0;   // in its first bad channel
  uint32_t learner_monitor = 0;  // what the learner monitor found and did
  uint32_t mode = 0;             // who drives
};

// Of the policy's distribution at one observation; for displays only.
struct Spread {
  double sigma;    // standard deviation in action units, mean over the actuators; NaN where actions are discrete
  double entropy;  // nats
};

// Every function is noexcept, bounded, and neither allocates, locks nor waits. They are called by one thread at a time.
struct Policy {
  void* self = nullptr;
  int observation_size = 0;  // raw units of the device; normalising is the policy's business
  int action_size = 0;       // width of the action vector: continuous in [-1, 1] each (a sample may lie outside), or
                             // one float that holds the index of a discrete action
  int n_levels = 0;          // 0: continuous; otherwise the number of discrete actions

  int (*begin)(void* self) noexcept = nullptr;
  // observation (observation_size,), action (action_size,). 0, kPolicyStop, kPolicyFailed, or a negative status: then
  // nothing has changed.
  int (*predict)(void* self, const float* observation, int explore, float* action) noexcept = nullptr;
  // applied (action_size,) in the policy's own action units, or null when the chosen action was carried out. Clipping
  // to the actuator's range counts as carried out. 0, kPolicyNoted, kPolicyCritic (the policy alone decides that, and
  // the record keeps its word), or a negative status.
  int (*update)(void* self, float reward, int terminated, int truncated, const float* applied_or_null,
                int move_weights) noexcept = nullptr;
  const StepInfo* (*info)(void* self) noexcept = nullptr;  // may be null
  uint64_t (*hash)(void* self) noexcept = nullptr;         // of everything that learns; may be null; asked in the slack
  // Everything that learns, as one block between calls: a copy of it is a snapshot. Null where nothing learns.
  void* state = nullptr;
  size_t state_bytes = 0;
  // What a supervisor carries from step to step, copied between two calls to go with a copy of `state`. full = 0: out
  // holds the copy before this one, and what has not changed since may be left as it is.
  size_t extra_bytes = 0;
  void (*copy_extra)(void* self, unsigned char* out, int full) noexcept = nullptr;

  bool monitors_sensors = false;                         // predict takes observations as they come, NaN included
  const record::SupervisorCounters* counters = nullptr;  // of a supervisor

  // What a supervisor asks of a learner; each may be null.
  const core::SectionTable* sections = nullptr;  // what stands where in `state`
  // False when anything that the last predict() or update() touched is not finite, or out of order. Cheap: looks at
  // what the step has left behind, not at the weights.
  bool (*healthy)(void* self) noexcept = nullptr;
  // How many times the step size is halved as against the configured one, part of the state; sets it when `set` >= 0.
  int (*halvings)(void* self, int set) noexcept = nullptr;

  // How much the policy explores: of the distribution at the last predict(). For displays, between two calls, some
  // times a second; changes nothing. May be null.
  Spread (*spread)(void* self) noexcept = nullptr;
};

// What the policy reports of the step, into a row with StepInfo's fields among its own; false where it reports nothing.
template <class Row>
bool take_info(const Policy& policy, Row* out) noexcept {
  const StepInfo* info = policy.info != nullptr ? policy.info(policy.self) : nullptr;
  if (info == nullptr) return false;
  out->value = info->value;
  out->delta = info->delta;
  out->step_size_actor = info->step_size_actor;
  out->step_size_critic = info->step_size_critic;
  out->sensor_monitor = info->sensor_monitor;
  out->sensor_channel = info->sensor_channel;
  out->learner_monitor = info->learner_monitor;
  out->mode = info->mode;
  return true;
}

}  // namespace rtu::runtime
