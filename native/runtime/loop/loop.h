// The control loop: receive, decode, predict, limit, send, update, record. Act before learn. After arming, its thread
// neither allocates, locks, nor blocks except in poll, read and write.
//
//   Tick          when a step starts, and how much of the period is left
//   LinkSession   the link, from ARM to DISARM
//   Companions    further devices
//   Episode       the current episode, its seed and return
//   Recorder      data for other threads
//   Start         the start region and homing, before an episode
//   Loop          the policy and the command limiter, the order within a step, the thread
#pragma once

#include <stdint.h>

#include <condition_variable>
#include <mutex>
#include <thread>

#include "native/runtime/loop/companions.h"
#include "native/runtime/loop/context.h"
#include "native/runtime/loop/episode.h"
#include "native/runtime/loop/link_session.h"
#include "native/runtime/loop/options.h"
#include "native/runtime/loop/plant_watch.h"
#include "native/runtime/loop/recorder.h"
#include "native/runtime/loop/start.h"
#include "native/runtime/loop/tick.h"
#include "native/runtime/policy.h"
#include "native/runtime/safety/command_limiter.h"
#include "native/runtime/safety/hand_over.h"

namespace rtu::runtime::loop {

// One session, from ARM to DISARM.
class Loop {
 public:
  // link and policy.self must outlive the loop. hello: the result of link.hello() when the data sheet behind
  // options.limits was read; only a device that still reports the same is armed. Throws invalid_argument if a limit
  // cannot be enforced, or if companions are combined with an option that excludes them.
  Loop(link::Link& link, Clock clock, const Policy& policy, const tl_hello& hello, const LoopOptions& options);
  ~Loop();  // requests a stop and joins
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  void run() noexcept;  // runs to the end on this thread
  // The same on a separate thread, to which the learner belongs until the end. Throws invalid_argument if another loop
  // runs on the link, runtime_error if the learner is in use; nothing has changed then.
  void start();
  bool wait(int64_t timeout_ns);  // true when it is over
  void join();

  void request_stop() noexcept { run_.stop.request(); }
  void request_estop() noexcept { run_.link.request_estop(); }
  void set_learning(bool learn, bool explore) noexcept;

  const LoopResult& result() const noexcept { return result_; }  // after the end
  // The refused privileges, once the loop's thread has requested them; nullptr before.
  const RealtimeReport* privileges() const noexcept {
    return privileges_known_.load(std::memory_order_acquire) ? &result_.privileges : nullptr;
  }
  const record::LoopCounters& counters() const noexcept { return run_.counters; }
  record::RecordRing& records() noexcept { return recorder_.records(); }
  record::RecordRing& episodes() noexcept { return recorder_.episodes(); }
  record::Snapshot& snapshot() noexcept { return recorder_.snapshot(); }
  void progress(record::Progress* out) const noexcept { episode_.progress(out); }  // before the start or after the end

 private:
  // The policy's choice in the previous step, in actuator units.
  struct Previous {
    float action[kMaxActuators];
    bool valid;
    bool foreign;  // a person had a part in the command
  };
  // The reward of the transition that ended in this STATE, evaluated once.
  struct Taken {
    float reward = 0;
    bool done = false;
    bool usable = false;  // it can be learned from
  };

  // loop.cpp: from the start to the end
  void clear_board() noexcept;
  bool open() noexcept;
  void begin_session() noexcept;
  void drive() noexcept;
  void close() noexcept;
  void leave_learner() noexcept;
  void finish(int64_t now_ns) noexcept;
  void begin_reset() noexcept;
  bool can_reset() const noexcept {
    return !run_.options.dry_run && ((run_.hello.caps & TL_CAP_RESET) != 0 || companions_.have_reset());
  }

  // loop_reconnect.cpp: from a lost session to the next one
  bool reconnect() noexcept;
  bool may_come_back() noexcept;
  void leave_episode() noexcept;
  bool rejoin(int64_t give_up_ns) noexcept;

  // loop_step.cpp: one step
  void step(const Arrival& arrival) noexcept;
  bool begin_step(const Arrival& arrival, Marks* marks) noexcept;
  void end_step(const Arrival& arrival, const Marks& marks, bool first) noexcept;
  void end_episode() noexcept;
  void ask_person(const Arrival& arrival, Marks* marks) noexcept;
  bool choose(const Arrival& arrival, float* u, Marks* marks) noexcept;
  void act(const Arrival& arrival, float* u, StepTimes* times, Marks* marks) noexcept;
  float update(const Arrival& arrival, const Previous& previous, bool first, bool predicted, Taken* taken,
               Marks* marks) noexcept;
  bool take_reward(const Arrival& arrival, Taken* taken) noexcept;
  void tell_previous(const Arrival& arrival, bool first, Taken* taken) noexcept;
  void count_overridden(bool overridden, Marks* marks) noexcept;
  void count_limited(uint32_t limited) noexcept;
  bool start_limiter(const tl_state& state) noexcept;
  bool is_first(const Arrival& arrival) const noexcept {
    const tl_state& state = arrival.state;
    return episode_.awaiting_first() || (state.epflags & TL_EPISODE_FIRST) != 0 || state.episode != session_.episode();
  }

  // loop_start.cpp: before an episode
  bool begins(const Arrival& arrival) noexcept;
  void home(const Arrival& arrival) noexcept;
  void stop_outside(StopReason reason, const char* what, const Arrival& arrival) noexcept;

  Context run_;
  Policy policy_;
  LinkSession session_;
  Companions companions_;
  Episode episode_;
  Tick tick_;
  Recorder recorder_;
  Start start_;
  PlantWatch watch_;

  safety::CommandLimiter limiter_;
  safety::HandOver hand_over_;
  safety::Hands hands_ = safety::Hands::kOff;
  float person_[kMaxActuators];  // with Hands::kOn: the person's command
  bool limiter_started_ = false;
  bool was_reset_ = false;    // by a RESET of this loop, without a step since
  bool reconnected_ = false;  // without a step since
  uint64_t steps_at_loss_ = 0;
  int64_t lost_ns_ = 0;          // the last STATE before the link was lost
  float chosen_[kMaxActuators];  // the policy's choice, in actuator units, as the limiter passed it on
  bool chosen_valid_ = false;
  int bad_actions_ = 0;
  std::atomic<bool> learn_;
  std::atomic<bool> explore_;

  bool owns_learner_ = false;  // until the end of the thread

  LoopResult result_;
  std::atomic<bool> privileges_known_{false};
  std::thread thread_;
  std::mutex joining_;
  std::mutex over_mutex_;
  std::condition_variable over_;
  bool is_over_ = false;
};

}  // namespace rtu::runtime::loop
