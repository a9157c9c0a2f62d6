// Options of a loop, and its result.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <atomic>
#include <stdexcept>
#include <string>
#include <vector>

#include "firmware_bridge/protocol/messages.h"
#include "native/runtime/clock.h"
#include "native/runtime/link/link.h"
#include "native/runtime/loop/reward.h"
#include "native/runtime/policy.h"
#include "native/runtime/realtime.h"
#include "native/runtime/record/black_box.h"
#include "native/runtime/record/status.h"
#include "native/runtime/safety/command_limiter.h"
#include "native/runtime/safety/hand_over.h"
#include "native/runtime/safety/plant_checks.h"

namespace rtu::runtime::loop {

// `[start.NAME]` and `[homing]` of the configuration; per observation, in its unit.
struct StartOptions {
  bool checked = false;         // an observation has a region
  float low[kMaxObservations];  // -inf and inf where it has none
  float high[kMaxObservations];
  Policy homing;              // the controller that brings the plant to its region; predict null: none
  float share = 1;            // largest command of it, from rest, as a share of the actuator's range
  uint32_t settle_steps = 1;  // in a row in the region, before an episode begins
  uint32_t timeout_steps = 0;
};

// What is checked before ARM, in real time. In lockstep nothing moves before the first RESET.
struct ArmingOptions {
  bool checked = false;
  bool pose = false;            // limits and start region too: the device does not move the plant to its start itself
  float low[kMaxObservations];  // limits; -inf and inf where there are none
  float high[kMaxObservations];
};

// What a person does in place of the policy; asked once per step, in the loop's thread.
struct TakeOver {
  void* self = nullptr;
  // x (n,); u (m,) in actuator units, written with Hands::kOn only. Null: no source.
  safety::Hands (*ask)(void* self, const float* x, int n, float* u, int m, int64_t now_ns) noexcept = nullptr;
  const std::atomic<bool>* failed = nullptr;  // the source has ended by an error, which ends the run
  uint32_t back_steps = 0;                    // of HandOver
};

enum class TickSource { kDevice, kHost, kLockstep };

// Whether a port that was gone has been opened again, under the descriptor that the link already uses. The loop's
// thread asks while it waits between two sessions; the first question of a wait is also the request to open it.
struct Reopen {
  void* self = nullptr;
  bool (*is_open)(void* self) noexcept = nullptr;  // null: a port that is gone stays gone
};

constexpr int kMaxCompanions = record::kMaxCompanionStatus;

// A further device of the loop (companions.h), with its own session and TTL.
struct CompanionOptions {
  link::Link* link = nullptr;  // must outlive the loop
  tl_hello hello{};            // as of Loop
  uint32_t session = 1;
  uint32_t ttl_ms = 0;  // 0: 3 of its periods, at least 20 ms
  bool age = false;     // the age of its observation, s, follows as an observation
};

// Validated by the caller (the Python class LoopConfig).
struct LoopOptions {
  TickSource tick = TickSource::kLockstep;
  uint32_t session = 1;
  uint64_t seed = 0;
  uint32_t first_episode = 1;  // index of the first seed; on the wire episodes count from 1 in each session
  bool learn = true;
  bool explore = true;
  bool dry_run = false;
  bool limit_commands = true;  // false: the command limiter only tracks the commands
  bool handle_signals = false;
  uint64_t steps = 0;       // 0: no limit
  uint64_t episodes = 0;    // 0: no limit
  int64_t duration_ns = 0;  // 0: no limit
  bool has_target = false;
  double target_return = 0;
  int target_window = 20;
  std::vector<double> returns;  // returns of episodes before this session, oldest first: they count towards the target
  bool snapshots = false;       // reserve memory for a copy of the learner state
  uint32_t ttl_ms = 0;          // 0: 3 periods, at least 20 ms
  int max_bad_actions = 5;
  int64_t retry_ns = 100 * kNsPerMs;
  int retries = 20;
  int64_t reset_timeout_ns = 60 * kNsPerS;
  // Numbers of the transitions whose update is dropped, ascending: replaces the deadline rule, which never drops in
  // lockstep. Must outlive the loop.
  const uint64_t* drops = nullptr;
  size_t n_drops = 0;
  size_t ring_records = 65536;
  size_t ring_episodes = 16384;
  uint64_t hash_every = 100;              // records from one state hash to the next; 0: no hashes
  record::BlackBox* black_box = nullptr;  // record_stride() bytes per record; must outlive the loop
  // Reconnect: the longest time from the last STATE of a lost device to the ARM of a new session; 0: a lost device ends
  // the run.
  int64_t reconnect_ns = 0;
  uint64_t max_reconnects = 0;  // 0: no limit
  // Of each observation, the largest change from the last step before the loss; infinite: any finite value. Must
  // outlive the loop.
  const float* pose = nullptr;
  Reopen reopen;
  RealtimeRequest realtime;
  safety::ActuatorLimits limits[kMaxActuators];
  bool hold[kMaxActuators] = {};   // at a stop: hold the last command instead of going to rest
  float safe[kMaxActuators] = {};  // actuator values after a RESET
  Reward reward;
  // With companions only tick = kDevice, and no reconnect; limits, hold, safe and reward cover the actuators and
  // observations of all devices, the loop's own first.
  CompanionOptions companions[kMaxCompanions];
  int n_companions = 0;
  safety::CheckOptions checks;
  StartOptions start;
  TakeOver take_over;
  ArmingOptions arming;
  std::vector<std::string> observation_names;  // for messages; may be empty
  std::vector<std::string> actuator_names;
};

// A command limiter with the limits of m actuators. Throws std::invalid_argument, which names the limit that cannot be
// enforced.
inline safety::CommandLimiter limiter_of(const LoopOptions& options, int m) {
  safety::CommandLimiter limiter;
  limiter.m = m;
  limiter.enabled = options.limit_commands;
  for (int i = 0; i < m; ++i)
    if (const char* problem = safety::problem_of(options.limits[i]))
      throw std::invalid_argument("limits[" + std::to_string(i) + "]." + problem);
  memcpy(limiter.limits, options.limits, sizeof limiter.limits);
  return limiter;
}

struct LoopResult {
  record::StopReason reason = record::StopReason::kNone;
  char message[320] = {};
  uint8_t ack_status = 0;  // TL_STATUS_* of a refused ARM
  uint64_t steps = 0;
  uint64_t episodes = 0;
  int64_t duration_ns = 0;
  double mean_return = 0;
  bool confirmed = false;      // the device acknowledged DISARM, or its STATE reported ESTOP; or no ARM was sent
  uint64_t sent_hash = 0;      // in lockstep; otherwise 0
  uint64_t received_hash = 0;  // in lockstep; otherwise 0
  RealtimeReport privileges;
  // Allocator calls of the loop's thread from step kWarmSteps on; -1: not counted (alloc_guard.h), or too few steps.
  int64_t heap_calls = -1;
  int64_t page_faults = -1;
};

}  // namespace rtu::runtime::loop
