// Treats the learner as an untrusted component: a Policy that wraps another one.
//
//   observation -> sensor monitor -> learner.predict -+
//                             -> fallback.predict +-> arbitration -> action
//   update: applied action -> learner.update -> learner monitor -> roll back
//
// Every decision is a function of the arguments and the previous state: no clock, no thread, so that a replay makes the
// same decisions. The supervisor's state is saved in a checkpoint next to the learner's (supervisor_state.cpp);
// Policy.state is the learner's.
#pragma once

#include <stdint.h>

#include <memory>
#include <vector>

#include "native/learners/learner_monitor.h"
#include "native/runtime/policy.h"
#include "native/runtime/record/counters.h"
#include "native/runtime/safety/command_limiter.h"
#include "native/runtime/safety/hand_over.h"
#include "native/runtime/safety/sensor_monitor.h"

namespace rtu::runtime::safety {

enum class Mode : uint32_t {
  kNone = 0,  // no supervisor
  kOff,       // the fallback alone
  kShadow,    // the fallback drives, the learner learns from it
  kAb,        // learner and fallback alternate
  kLearn,
  kFrozen,    // the learner drives and does not learn
  kResidual,  // the fallback plus a bounded correction
};

enum class Driver : uint32_t { kLearner = 0, kFallback, kBoth, kPerson };

// Reason why the fallback or a person drives.
enum class Cause : uint32_t {
  kNone = 0,
  kMode,
  kInput,
  kLearner,
  kGuard,
  kDwell,
  kLocked,
  kFrozen,
  kFailed,  // the fallback too, kFallbackTries times in a row: the actuators rest, and the run ends
  kPerson,  // a person has taken over
  kSilent,  // the person's source does not report
};

// RecordHead.mode.
constexpr uint32_t mode_word(Mode mode, Driver driver, Cause cause) noexcept {
  return static_cast<uint32_t>(mode) | static_cast<uint32_t>(driver) << 4 | static_cast<uint32_t>(cause) << 8;
}

constexpr Driver driver_of(uint32_t mode) noexcept { return static_cast<Driver>(mode >> 4 & 15u); }

// RecordHead.learner_monitor: MonitorTrigger bits, and the action taken.
enum MonitorEvent : uint32_t {
  kMonitorRolledBack = 1u << 16,
  kMonitorFrozen = 1u << 17,  // from now on the fallback drives
  kMonitorSnapshot = 1u << 18,
  kMonitorSnapshotRefused = 1u << 19,
  kMonitorValidated = 1u << 20,
};

constexpr uint32_t kMaxSwitches = 64;
constexpr uint32_t kFallbackTries = 5;  // consecutive failures, during which its last output is held

// Validated by the caller (rtu_edge/loop/supervisor.py).
struct SupervisorOptions {
  Mode mode = Mode::kLearn;
  SensorMonitor sensors;
  bool monitor = true;
  learners::MonitorConfig monitor_config;
  uint32_t max_rollbacks = 3;          // before a snapshot is validated; one more trip freezes
  uint32_t rate_window = 0;            // steps; 0 disables the check
  float rate = 1;                      // largest share of forced fallback steps in a window
  float residual[kMaxActuators] = {};  // largest correction, as a share of the actuator's range
  float rest[kMaxActuators] = {};      // in -1..1: initial action for holding
  uint32_t ab_block = 1000;
  bool ab_episodes = false;      // blocks of episodes instead of steps
  uint32_t dwell_steps = 50;     // minimum time in the fallback
  uint32_t recovery_steps = 25;  // in a row, before the learner drives again
  uint32_t max_switches = 10;    // to the fallback within switch_window steps; one more keeps it there
  uint32_t switch_window = 3000;
};

// State between steps: fixed widths, no padding, no pointer, because checkpoints hold these bytes unchanged
// (docs/checkpoint.md). State of the current episode is not part of it: each episode starts without it.
struct SupervisorMemory {
  uint64_t steps = 0;
  uint64_t episodes = 0;
  uint64_t switched = 0;
  uint64_t switched_at[kMaxSwitches] = {};
  uint32_t triggers = 0;   // of the learner monitor, that call for a rollback
  uint32_t inspected = 1;  // the learner monitor has checked this step
  uint32_t restart = 0;    // the learner begins an episode before it predicts
  uint32_t fallback_on = 0;
  uint32_t frozen = 0;
  uint32_t locked = 0;
  uint32_t dwelt = 0;
  uint32_t recovered = 0;
  uint32_t rate_steps = 0;
  uint32_t rate_forced = 0;
  uint32_t rollbacks = 0;  // since a snapshot was validated
  int32_t halvings = 0;
};
static_assert(sizeof(SupervisorMemory) == 584);

constexpr uint32_t kSupervisorStateVersion = 3;  // 1, 2: snapshots in the layout of checkpoints before 4, before 5

class Supervisor {
 public:
  // learner.self and fallback.self must outlive it. A fallback without predict holds the last action, or in residual
  // mode, where holding would accumulate, goes to rest. Both drive the same actuators; the fallback's action is
  // continuous, in -1..1.
  Supervisor(const Policy& learner, const Policy& fallback, const SupervisorOptions& options);
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;

  Policy policy() noexcept;
  const record::SupervisorCounters& counters() const noexcept { return counters_; }
  // The snapshot that a rollback restores; null without a learner monitor.
  const unsigned char* snapshot() const noexcept { return monitored_ ? learners::newest(monitor_) : nullptr; }
  bool frozen() const noexcept { return memory_.frozen != 0; }
  // A copy of the state between steps, and its form in a checkpoint, which is the same on every instruction set. Call
  // copy() between two steps, on the thread that makes them: out (copy_bytes()); full = false: out holds the previous
  // copy, and only new monitor snapshots are copied.
  size_t copy_bytes() const noexcept;
  void copy(unsigned char* out, bool full) noexcept;
  std::vector<unsigned char> encode(const unsigned char* copied) const;
  // Checks whether restore() would accept it: the error, or null. Nothing changes.
  const char* check(const unsigned char* data, size_t n) const noexcept;
  // Call before the first step, with the learner of the same checkpoint. Returns the error (then nothing has changed),
  // or null.
  const char* restore(const unsigned char* data, size_t n) noexcept;
  bool locked() const noexcept { return memory_.locked != 0; }

 private:
  // Data of one step that update() needs in the next.
  struct Chosen {
    bool any = false;
    bool explored = false;  // the learner has sampled, so update() is due
    Driver driver = Driver::kFallback;
    float fallback[kMaxActuators];  // its output, in the learner's action units, without a correction
    float action[kMaxActuators];
  };

  int begin() noexcept;
  void previous(float reward, const float* applied) noexcept;
  void take_over(Hands hands, const float* last) noexcept;
  int predict(const float* observation, bool explore, float* action) noexcept;
  int update(float reward, bool terminated, bool truncated, const float* applied, bool move_weights) noexcept;
  const StepInfo* info() noexcept;

  const char* check_monitor(const learners::MonitorMemory& memory, uint32_t snapshots, uint32_t version,
                            const unsigned char* data, size_t n) const noexcept;
  void restore_monitor(const learners::MonitorMemory& memory, uint32_t snapshots, uint32_t version,
                       const unsigned char* data) noexcept;
  void begin_learner() noexcept;
  void ask_learner(bool explore) noexcept;
  void ask_fallback() noexcept;
  Cause decide(uint32_t input) noexcept;
  Cause decide_health(uint32_t input) noexcept;
  void force_fallback() noexcept;
  void return_through_fallback() noexcept;
  float movement() const noexcept;
  Cause give_up(Cause cause) noexcept;
  void compose(Cause cause) noexcept;
  const float* applied_for_learner(const Chosen& was, const float* applied, float* out) const noexcept;
  void inspect(bool learned, bool terminated) noexcept;
  void check_fallback_rate(bool forced) noexcept;
  void trip(uint32_t triggers) noexcept;
  void roll_back() noexcept;
  void age_snapshots() noexcept;
  float to_learner(float action, int levels) const noexcept;
  bool learns() const noexcept { return options_.mode != Mode::kFrozen && options_.mode != Mode::kOff; }
  bool runs() const noexcept { return options_.mode != Mode::kOff && memory_.frozen == 0; }

  Policy learner_;
  Policy fallback_;
  SupervisorOptions options_;
  SensorMonitor sensors_;
  learners::LearnerMonitor monitor_;
  std::unique_ptr<unsigned char[]> snapshots_;
  bool monitored_ = false;

  // this step
  float x_[kMaxObservations];
  float learner_action_[kMaxActuators];
  bool usable_ = false;  // the learner's action
  Hands hands_ = Hands::kOff;
  Chosen now_;
  Chosen before_;
  float moved_ = 0;

  SupervisorMemory memory_;
  uint32_t fallback_failed_ = 0;  // consecutive failures; 0 in a run resumed from a checkpoint
  uint32_t uncopied_ = 0;         // snapshot slots filled since the last copy()

  StepInfo info_;
  record::SupervisorCounters counters_;
};

}  // namespace rtu::runtime::safety
