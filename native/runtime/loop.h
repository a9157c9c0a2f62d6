// The control loop: receive, decode, predict, gate, send, learn, record. Act before learn. After arming nothing on its
// thread allocates, locks, or waits other than in the poll, read and write it is there for.
#ifndef RTU_RUNTIME_LOOP_H
#define RTU_RUNTIME_LOOP_H

#include <stdint.h>

#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "native/runtime/blackbox.h"
#include "native/runtime/gate.h"
#include "native/runtime/link.h"
#include "native/runtime/policy.h"
#include "native/runtime/realtime.h"
#include "native/runtime/reward.h"
#include "native/runtime/ring.h"
#include "native/runtime/rules.h"
#include "native/runtime/snapshot.h"
#include "native/runtime/telemetry.h"

namespace rtu::runtime {

enum class TickSource { kDevice, kHost, kLockstep };

// Checked at the door by whoever fills it (rtu_edge/loop/options.py).
struct LoopOptions {
  TickSource tick = TickSource::kLockstep;
  uint32_t session = 1;
  uint64_t seed = 0;
  uint32_t first_episode = 1;  // of the seeds; on the wire episodes count from 1 in each session
  bool learn = true;
  bool explore = true;
  bool dry_run = false;
  bool gate = true;
  bool handle_signals = false;
  uint64_t steps = 0;       // 0: no limit
  uint64_t episodes = 0;    // 0: no limit
  int64_t duration_ns = 0;  // 0: no limit
  bool has_target = false;
  double target_return = 0;
  int target_window = 20;
  std::vector<double> returns;  // of the episodes before this session, oldest first: they count for the target
  bool snapshots = false;       // room for a copy of everything that learns
  uint32_t ttl_ms = 0;          // 0: 3 periods, at least 20 ms
  int max_bad_actions = 5;
  int64_t retry_ns = 100 * kNsPerMs;
  int retries = 20;
  int64_t reset_timeout_ns = 60 * kNsPerS;
  // Numbers of the transitions whose update is dropped, ascending: in place of the deadline rule. The rule never drops
  // in lockstep. They outlive the loop.
  const uint64_t* drops = nullptr;
  size_t n_drops = 0;
  size_t ring_records = 65536;
  size_t ring_episodes = 16384;
  uint64_t hash_every = 100;      // records between two that hold the hash of what learns; 0: none does
  BlackBox* black_box = nullptr;  // of record_stride() bytes a record; outlives the loop
  RealtimeRequest realtime;
  ActuatorLimits limits[kMaxActuators];
  bool hold[kMaxActuators] = {};   // at a stop: the last command, in place of rest
  float safe[kMaxActuators] = {};  // where a RESET leaves the actuators
  Reward reward;
};

struct LoopResult {
  StopReason reason = StopReason::kNone;
  char message[200] = {};
  uint8_t ack_status = 0;  // TL_STATUS_* of a refused ARM
  uint64_t steps = 0;
  uint64_t episodes = 0;
  int64_t duration_ns = 0;
  double mean_return = 0;
  bool confirmed = false;  // the device acknowledged DISARM, or its STATE said ESTOP; or no ARM had left
  uint64_t sent_hash = 0;
  uint64_t received_hash = 0;
  RealtimeReport privileges;
  // Of the loop's thread from step kWarmSteps to the last one; -1: not counted (alloc_guard.h), or too few steps.
  int64_t heap_calls = -1;
  int64_t page_faults = -1;
};

constexpr uint64_t kWarmSteps = 100;

// Seed of the plant for an episode: both arguments through a mixer (splitmix64), so that neighbours are unrelated.
uint32_t episode_seed(uint64_t base, uint64_t episode) noexcept;

// Bytes of a telemetry record for n observations and m actuators.
size_t record_stride(int n, int m) noexcept;

// One session, from ARM to DISARM.
class Loop {
 public:
  // link and policy.self outlive the loop. hello: what link.hello() gave when the data sheet behind options.limits was
  // read; only the device that still says the same is armed. Throws invalid_argument where a limit cannot be kept.
  Loop(Link& link, Clock clock, const Policy& policy, const tl_hello& hello, const LoopOptions& options);
  ~Loop();  // asks for a stop and joins
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  void run() noexcept;  // to the end, on this thread
  // The same on a thread of its own. Throws invalid_argument where another loop runs on the link, which goes on.
  void start();
  bool wait(int64_t timeout_ns);  // true when it is over
  void join();

  void request_stop() noexcept { stop_.store(true, std::memory_order_relaxed); }
  void request_estop() noexcept { link_.request_estop(); }
  void set_learning(bool learn, bool explore) noexcept;

  const LoopResult& result() const noexcept { return result_; }  // after the end
  // What the system refused, from when the loop's thread has asked for it; nullptr before.
  const RealtimeReport* privileges() const noexcept {
    return privileges_known_.load(std::memory_order_acquire) ? &result_.privileges : nullptr;
  }
  const LoopCounters& counters() const noexcept { return counters_; }
  RecordRing& records() noexcept { return records_; }
  RecordRing& episodes() noexcept { return episodes_; }
  Snapshot& snapshot() noexcept { return snapshot_; }
  void progress(Progress* out) const noexcept;  // before the start or after the end
  int n_observations() const noexcept { return n_; }
  int n_actuators() const noexcept { return m_; }

 private:
  // What one STATE brings.
  struct Arrival {
    tl_state state;
    uint32_t t_us = 0;
    int64_t at_ns = 0;
    uint32_t command_age_us = UINT32_MAX;
    bool any = false;
  };
  struct StepTimes {
    int64_t begun_ns, lateness_ns, receive_ns, predict_ns, gate_ns, send_ns, learn_ns, round_trip_ns;
  };

  // loop.cpp
  void clear_board() noexcept;
  bool open() noexcept;
  bool same_device() noexcept;
  void drive() noexcept;
  void close() noexcept;
  void stop(StopReason reason, const char* message) noexcept;
  bool requested() noexcept;
  void look_after(int64_t now_ns) noexcept;
  void begin_reset() noexcept;
  void ask_reset() noexcept;
  void look_at_link() noexcept;
  void publish(int64_t now_ns) noexcept;
  void begin_counting() noexcept;
  void end_counting() noexcept;

  // loop_turn.cpp
  void turn_lockstep() noexcept;
  void turn_device() noexcept;
  void turn_host() noexcept;
  bool usable(const tl_frame& frame, Arrival* arrival) noexcept;
  bool armed_state(const tl_state& state, int64_t now_ns) noexcept;
  void consider(const Arrival& arrival, Arrival* newest) noexcept;
  void check_commands_arrive(const tl_state& state, int64_t now_ns) noexcept;

  struct Previous {
    const float* wanted;
    bool valid;
  };
  // What a step found and did, for its record.
  struct Marks {
    uint32_t flags = 0;  // RecordFlag
    uint32_t calls = 0;  // CallFlag
    uint32_t gate = 0;   // GateFlag
  };

  // loop_step.cpp
  void step(const Arrival& arrival, int64_t round_trip_ns) noexcept;
  bool choose(const Arrival& arrival, float* u, Marks* marks) noexcept;
  void act(const Arrival& arrival, float* u, StepTimes* times, Marks* marks) noexcept;
  void learn(const Arrival& arrival, const Previous& previous, bool first, bool predicted, float* reward,
             Marks* marks) noexcept;
  void record(const Arrival& arrival, const StepTimes& times, const float* u, float reward,
              const Marks& marks) noexcept;
  void count_replaced(bool replaced, Marks* marks) noexcept;
  int64_t slack_ns(const Arrival& arrival, int64_t now_ns) const noexcept;
  bool update_fits(const Arrival& arrival, int64_t now_ns) noexcept;
  uint64_t hash(const Arrival& arrival) noexcept;
  void measure() noexcept;
  void end_episode(const Arrival& arrival) noexcept;
  void judge(double total) noexcept;
  void offer_snapshot(const Arrival& arrival, bool terminal) noexcept;
  void count_gate(uint32_t gate) noexcept;
  void rest() noexcept;
  bool start_gate(const tl_state& state) noexcept;

  Link& link_;
  Clock clock_;
  Policy policy_;
  tl_hello hello_;
  LoopOptions options_;
  int n_;
  int m_;
  int64_t period_ns_;
  int64_t ttl_ns_;
  uint16_t ttl_ms_;

  // rules
  DeadlineRule deadline_;
  DeviceTickRule tick_;
  CostRule update_;
  CostRule hashing_;
  CostRule copying_;
  LatenessRule lateness_;
  OutputGate gate_;
  bool gate_started_ = false;
  bool was_reset_ = false;     // by a RESET of ours, and no step has come since
  bool drop_queued_ = false;   // the last step overran
  size_t next_drop_ = 0;       // of options_.drops
  int64_t decided_ns_ = 0;     // whether to update
  int64_t hash_ns_ = 0;        // what the hash of this step took
  int64_t copy_since_ns_ = 0;  // a copy was asked for, seen then; 0: none waits
  bool hash_due_ = false;      // waits for a step with the slack for it
  int64_t heard_ns_ = 0;       // last STATE of any kind
  Arrival newest_;             // clock = host: waits for its slot

  // the wire
  Encoded command_;  // last CMD
  Encoded reset_;    // last RESET
  bool command_pending_ = false;
  bool reset_pending_ = false;  // no STATE of the new episode yet
  int attempts_ = 0;
  int64_t sent_ns_ = 0;  // of the frame that waits for its answer
  int64_t reset_since_ns_ = 0;
  uint16_t acknowledged_seq_ = 0;
  int unacknowledged_ = 0;       // commands that have left since the device last took one
  uint64_t refused_before_ = 0;  // commands it had refused by then
  int64_t unacknowledged_ns_ = 0;
  bool asked_to_arm_ = false;  // ARM has left
  bool armed_ = false;
  bool gone_ = false;

  // the episode
  uint16_t wire_episode_ = 0;
  uint32_t seed_index_ = 0;
  uint32_t seed_ = 0;
  bool awaiting_first_ = true;
  std::atomic<bool> privileges_known_{false};
  bool end_seen_ = true;  // dry run: the STATE before this one had the end of an episode
  bool ended_ = false;    // the device holds the last observation of an episode that has been dealt with
  uint32_t episode_steps_ = 0;
  double return_ = 0;
  std::unique_ptr<double[]> returns_;  // of the last target_window episodes
  uint64_t judged_ = 0;                // how many have gone through it
  double mean_return_ = 0;
  float wanted_[kMaxActuators];  // what the policy chose, in actuator units, after its own clipping
  bool wanted_valid_ = false;
  int bad_actions_ = 0;

  // reporting
  LoopCounters counters_;
  int64_t published_ns_ = 0;
  RecordRing records_;
  RecordRing episodes_;
  Snapshot snapshot_;
  std::unique_ptr<uint64_t[]> scratch_;  // a record under way
  uint64_t sequence_ = 0;                // of the next record
  LoopResult result_;
  int64_t begun_ns_ = 0;
  int64_t heap_calls_ = 0;  // by step kWarmSteps
  int64_t page_faults_ = 0;

  // threads
  std::atomic<bool> stop_{false};
  std::atomic<bool> learn_;
  std::atomic<bool> explore_;
  uint32_t estop_seen_;  // requests from before this loop was made
  std::thread thread_;
  std::mutex over_mutex_;
  std::condition_variable over_;
  bool is_over_ = false;
};

}  // namespace rtu::runtime

#endif
