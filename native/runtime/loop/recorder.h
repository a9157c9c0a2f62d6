// What leaves the loop's thread: a record of each step and episode through rings and the black box, hashes and copies
// of what learns, counters for other threads, and what the thread asked of the system.
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
  Recorder(Context& run, const Policy& policy, const Tick& tick, const Episode& episode);  // takes all its memory

  // Before ARM: what a hash and a copy cost here, so that the first of each knows it too.
  void measure_costs() noexcept;
  // u (m,): what was sent, or would have been.
  void record_step(const Arrival& arrival, const StepTimes& times, const float* u, float reward,
                   const Marks& marks) noexcept;
  void record_episode(const Arrival& arrival) noexcept;
  // Copies what learns where it was asked for, at the end of an episode in lockstep, or as soon as a step has the
  // slack.
  void offer_snapshot(const Arrival& arrival, bool terminal) noexcept;
  int64_t hash_ns() const noexcept { return hash_ns_; }  // what the hash of the last record took

  // Counters for threads that may outlive the loop: at most each 50 ms, or now.
  void publish_when_due(int64_t now_ns) noexcept;
  void publish(int64_t now_ns) noexcept;

  // What a thread that is to be on time must not do, from step kWarmSteps on.
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
  std::unique_ptr<uint64_t[]> scratch_;  // a record under way
  uint64_t sequence_ = 0;                // of the next record
  CostRule hashing_;
  CostRule copying_;
  bool hash_due_ = false;  // waits for a step with the slack for it
  int64_t hash_ns_ = 0;
  int64_t copy_since_ns_ = 0;  // a copy was asked for, seen then; 0: none waits
  int64_t published_ns_ = 0;
  double rewards_ = 0;  // sum of the block under way
  uint32_t rewarded_ = 0;
  bool whole_block_ = false;  // a block has been full
  int64_t heap_calls_ = 0;    // by step kWarmSteps
  int64_t page_faults_ = 0;
};

}  // namespace rtu::runtime::loop
