// The policy interface of the loop: a table of functions over an opaque self, so that learners, fallback controllers
// and test dummies look the same to the loop, which includes none of their headers.
//
// Order of calls, once per observation:   [begin | previous] predict [send] update
//   begin    at the first observation of an episode, before predict
//   previous where the policy has it: the action and the reward that preceded the observation
//   predict  advances the recurrent state, writes the action; nothing moves a weight here
//   update   after the action has left, for the transition that ended in the observation just predicted; right after
//            begin + predict it only stores that observation (there is no transition yet)
// predict may follow predict (learning switched off, invalid reward): then the transition in between is never learned
// from. update with move_weights = 0 is the deadline rule: eligibilities and traces advance, no weight moves. A
// terminal observation is predicted and learned from; its action is discarded.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "native/core/arena.h"
#include "native/runtime/occupancy.h"

namespace rtu::runtime {

namespace record {
struct SupervisorCounters;
}

constexpr int kMaxObservations = 55;  // n + m <= 55 on the wire
constexpr int kMaxActuators = 55;

constexpr int kPolicyStop = 1;  // of predict: the action is good, but the run has to end
constexpr int kPolicyFailed =
    2;  // of predict: the action is rest, and the run has to end: the controller failed repeatedly
constexpr int kPolicyNoted = 1;   // of update: nothing was learned from this transition
constexpr int kPolicyCritic = 2;  // of update: another action was applied, so only the critic learned from it

// Of the last update() and the predict() before it; for telemetry only.
struct StepInfo {
  float value = 0;               // v(s) of the observation last predicted
  float delta = 0;               // TD error of the last transition
  float step_size_actor = 0;     // step size in effect at the last update
  float step_size_critic = 0;    // the same for the critic
  uint32_t sensor_monitor = 0;   // SensorFlag bits of the observation
  uint32_t sensor_channel = 0;   // the first bad channel
  uint32_t learner_monitor = 0;  // findings and actions of the learner monitor
  uint32_t mode = 0;             // cause of the fallback
};

// Of the policy's distribution at one observation; for displays only.
struct Spread {
  double sigma;    // standard deviation in action units, mean over the actuators; NaN where actions are discrete
  double entropy;  // nats
};

// Every function is noexcept, bounded, and neither allocates, locks nor blocks. One thread calls them at a time.
struct Policy {
  void* self = nullptr;
  int observation_size = 0;  // raw units of the device; the policy normalises them
  int action_size = 0;       // width of the action vector: continuous, each in [-1, 1] (samples may lie outside), or
                             // one float with the index of a discrete action
  int n_levels = 0;          // 0: continuous; otherwise the number of discrete actions

  int (*begin)(void* self) noexcept = nullptr;
  // Before predict, except the first of an episode; null unless the previous action or reward is an input. reward: of
  // the transition into the observation that follows, NaN if it was lost. applied (action_size,): in the policy's own
  // action units, or null if it is not known: then the chosen one counts.
  void (*previous)(void* self, float reward, const float* applied_or_null) noexcept = nullptr;
  // Before each predict of a loop with a take-over source; null: not supported. hands: safety::Hands. last
  // (action_size,): the last command sent, in the policy's own action units.
  void (*take_over)(void* self, int hands, const float* last) noexcept = nullptr;
  // observation (observation_size,), action (action_size,). Returns 0, kPolicyStop, kPolicyFailed, or a negative
  // status: then nothing has changed.
  int (*predict)(void* self, const float* observation, int explore, float* action) noexcept = nullptr;
  // applied (action_size,) in the policy's own action units, or null when the chosen action was carried out. An action
  // clipped to the actuator's range counts as carried out. Returns 0, kPolicyNoted, kPolicyCritic (decided by the
  // policy alone; the record stores its decision), or a negative status.
  int (*update)(void* self, float reward, int terminated, int truncated, const float* applied_or_null,
                int move_weights) noexcept = nullptr;
  const StepInfo* (*info)(void* self) noexcept = nullptr;  // may be null
  uint64_t (*hash)(void* self) noexcept = nullptr;  // hash of the learner state; may be null; called in the slack
  // The learner state between calls, as one block: a copy of it is a snapshot. Null if nothing learns.
  void* state = nullptr;
  size_t state_bytes = 0;
  // The supervisor's state, copied between two calls to accompany a copy of `state`. full = 0: out holds the previous
  // copy, and unchanged parts need not be written.
  size_t extra_bytes = 0;
  void (*copy_extra)(void* self, unsigned char* out, int full) noexcept = nullptr;

  bool monitors_sensors = false;                         // predict accepts raw observations, NaN included
  const record::SupervisorCounters* counters = nullptr;  // of a supervisor

  // Functions that a supervisor needs from a learner; each may be null.
  const core::SectionTable* sections = nullptr;  // the sections of `state`
  // False when anything that the last predict() or update() touched is not finite or out of order. Cheap: checks the
  // intermediate results of the step, not the weights.
  bool (*healthy)(void* self) noexcept = nullptr;
  // Number of times the configured step size is halved (part of the state); sets it when `set` >= 0.
  int (*halvings)(void* self, int set) noexcept = nullptr;

  // How much the policy explores: of the distribution at the last predict(). For displays, between two calls, some
  // times a second; changes nothing. May be null.
  Spread (*spread)(void* self) noexcept = nullptr;
  // learners::Finding bits that hold at present; as spread. May be null.
  uint32_t (*findings)(void* self) noexcept = nullptr;

  // Of the learner behind it, which Python's threads can reach too: entered before any function is called. Null:
  // nothing else can reach it.
  Occupancy* occupancy = nullptr;
};

// Writes the policy's report of the step into a row that contains StepInfo's fields; false if there is none.
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
