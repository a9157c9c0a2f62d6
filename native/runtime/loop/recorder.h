// Output of the loop's thread: records of steps and episodes through rings and the black box, hashes and copies of the
// learner state, counters for other threads, and the privileges that the thread requested.
#pragma once

#include <stdint.h>

#include <memory>

#include "native/runtime/loop/context.h"
#include "native/runtime/loop/episode.h"
#include "native/runtime/loop/rules.h"
#include "native/runtime/loop/tick.h"
#include "native/runtime/policy.h"
#include "native/runtime/record/ring.h"
#include "native/runtime/record/snapshot.h"
#include "native/runtime/record/telemetry.h"

namespace rtu::runtime::loop {

constexpr uint64_t kWarmSteps = 100;

class Recorder {
 public:
  Recorder(Context& run, const Policy& policy, const Tick& tick, const Episode& episode);  // allocates all memory

  // Before ARM: measures the cost of a hash and a copy, so that even the first of each can be scheduled.
  void measure_costs() noexcept;
  // u (m,): the command sent or, in a dry run, computed.
  void record_step(const Arrival& arrival, const StepTimes& times, const float* u, float reward,
                   const Marks& marks) noexcept;
  void record_episode(const Arrival& arrival) noexcept;
  // Makes a requested copy of the learner state: in lockstep at the end of an episode, otherwise in a step with enough
  // slack.
  void offer_snapshot(const Arrival& arrival, bool terminal) noexcept;
  int64_t hash_ns() const noexcept { return hash_ns_; }  // duration of the last record's hash
  // (n,): the observation of the last record; zeros before the first.
  const uint8_t* last_observation() const noexcept {
    return reinterpret_cast<const uint8_t*>(scratch_.get()) + sizeof(record::RecordHead);
  }

  // Publishes counters for threads that may outlive the loop: at most every 50 ms, or now.
  void publish_when_due(int64_t now_ns, const float* x) noexcept;  // x: all observations
  void publish(int64_t now_ns) noexcept;

  // Checks, from step kWarmSteps on, for operations that break real time.
  void begin_counting() noexcept;
  void end_counting(LoopResult* out) const noexcept;

  record::RecordRing& records() noexcept { return records_; }
  record::RecordRing& episodes() noexcept { return episodes_; }
  record::Snapshot& snapshot() noexcept { return snapshot_; }

 private:
  uint64_t take_hash(const Arrival& arrival) noexcept;
  void add_reward(float reward) noexcept;

  Context& run_;
  const Policy& policy_;
  const Tick& tick_;
  const Episode& episode_;
  record::RecordRing records_;
  record::RecordRing episodes_;
  record::Snapshot snapshot_;
  std::unique_ptr<uint64_t[]> scratch_;  // the current record
  uint64_t sequence_ = 0;                // of the next record
  CostRule hashing_;
  CostRule copying_;
  bool hash_due_ = false;  // pending until a step has enough slack
  int64_t hash_ns_ = 0;
  int64_t copy_since_ns_ = 0;  // when the request for a copy was seen; 0: none pending
  int64_t published_ns_ = 0;
  double rewards_ = 0;  // sum of the block under way
  uint32_t rewarded_ = 0;
  bool whole_block_ = false;  // a block has been full
  int64_t heap_calls_ = 0;    // by step kWarmSteps
  int64_t page_faults_ = 0;
};

}  // namespace rtu::runtime::loop
