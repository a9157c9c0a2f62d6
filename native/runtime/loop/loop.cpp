#include "native/runtime/loop/loop.h"

#include <string.h>

#include <chrono>
#include <limits>
#include <stdexcept>

#include "native/runtime/denormals.h"
#include "native/runtime/signals.h"
#include "native/runtime/threads.h"

namespace rtu::runtime::loop {

Loop::Loop(link::Link& link, Clock clock, const Policy& policy, const tl_hello& hello, const LoopOptions& options)
    : run_(link, clock, hello, options),
      policy_(policy),
      session_(run_),
      companions_(run_, clock),
      episode_(run_),
      tick_(run_, session_, episode_),
      recorder_(run_, policy_, tick_, episode_),
      start_(run_),
      watch_(run_),
      hand_over_(run_.m, options.take_over.back_steps),
      learn_(options.learn),
      explore_(options.explore) {
  if (!companions_.empty() && (options.tick != TickSource::kDevice || options.reconnect_ns > 0))
    throw std::invalid_argument("companions: only by the device's clock, and without reconnect");
  limiter_ = limiter_of(options, run_.m);
  if (options.take_over.ask != nullptr && policy.take_over == nullptr)
    throw std::invalid_argument("take_over: needs a supervisor: its fallback drives where the source is silent");
}

Loop::~Loop() {
  request_stop();
  join();
}

void Loop::set_learning(bool learn, bool explore) noexcept {
  explore_.store(explore, std::memory_order_relaxed);
  learn_.store(learn, std::memory_order_relaxed);
}

void Loop::start() {
  if (run_.link.board.running.exchange(true, std::memory_order_acq_rel))
    throw std::invalid_argument("the link is in use by another running loop");
  const User user = policy_.occupancy != nullptr ? policy_.occupancy->enter(User::kLoop) : User::kNone;
  if (user != User::kNone) {
    run_.link.board.running.store(false, std::memory_order_relaxed);
    throw std::runtime_error(Occupied::problem_of(user));
  }
  owns_learner_ = policy_.occupancy != nullptr;
  if (run_.options.handle_signals) catch_signals();
  clear_board();
  try {
    thread_ = start_thread("rtu-loop", [this] { run(); });
  } catch (...) {
    run_.link.board.running.store(false, std::memory_order_relaxed);
    leave_learner();
    if (run_.options.handle_signals) release_signals();
    throw;
  }
}

bool Loop::wait(int64_t timeout_ns) {
  std::unique_lock<std::mutex> lock(over_mutex_);
  return over_.wait_for(lock, std::chrono::nanoseconds(timeout_ns), [this] { return is_over_; });
}

void Loop::join() {
  const std::lock_guard<std::mutex> lock(joining_);
  if (!thread_.joinable()) return;
  thread_.join();
  if (run_.options.handle_signals) release_signals();
}

void Loop::clear_board() noexcept {
  record::StatusBoard& board = run_.link.board;
  board.steps.store(0, std::memory_order_relaxed);
  board.episodes.store(0, std::memory_order_relaxed);
  board.episode_steps.store(0, std::memory_order_relaxed);
  board.mean_return.store(episode_.mean_return(), std::memory_order_relaxed);
  for (std::atomic<double>* gauge : {&board.mean_reward, &board.sigma, &board.entropy})
    gauge->store(std::numeric_limits<double>::quiet_NaN(), std::memory_order_relaxed);
  board.findings.store(0, std::memory_order_relaxed);
  board.reason.store(StopReason::kNone, std::memory_order_relaxed);
  board.check.store(0, std::memory_order_relaxed);
  board.homing.store(false, std::memory_order_relaxed);
  board.running.store(true, std::memory_order_relaxed);
}

void Loop::run() noexcept {
  clear_board();
  {
    const link::LinkOwner owner(run_.link, link::kMomentNs);
    const DenormalsFlushed flushed;
    RealtimeRequest request = run_.options.realtime;
    request.realtime = request.realtime && !run_.lockstep();
    enter_realtime(request, &result_.privileges);
    privileges_known_.store(true, std::memory_order_release);
    run_.begun_ns = run_.clock.now();
    if (!owner) {
      run_.stop.set(StopReason::kLinkLost, "the link is in use by another thread");
    } else if (companions_.own()) {
      if (open()) drive();
      while (reconnect()) drive();
      recorder_.end_counting(&result_);
      run_.duration_ns = run_.clock.now() - run_.begun_ns;
      close();
    }
    finish(run_.clock.now());
    companions_.release();
  }
  record::StatusBoard& board = run_.link.board;
  board.reason.store(result_.reason, std::memory_order_relaxed);
  leave_learner();
  board.running.store(false, std::memory_order_relaxed);
  const std::lock_guard<std::mutex> lock(over_mutex_);
  is_over_ = true;
  over_.notify_all();
}

void Loop::leave_learner() noexcept {
  if (owns_learner_) policy_.occupancy->leave();
  owns_learner_ = false;
}

void Loop::finish(int64_t now_ns) noexcept {
  result_.reason = run_.stop.reason();
  memcpy(result_.message, run_.stop.message(), sizeof result_.message);
  result_.ack_status = session_.ack_status();
  result_.steps = run_.counters.steps.get();
  result_.episodes = run_.counters.episodes.get();
  result_.duration_ns = run_.duration_ns;
  result_.mean_return = episode_.mean_return();
  result_.confirmed = session_.confirmed() && companions_.confirmed();
  result_.sent_hash = run_.link.sent.hash();
  result_.received_hash = run_.link.received.hash();
  recorder_.publish(now_ns);
}

bool Loop::open() noexcept {
  if (run_.stop.check_requests()) return false;
  recorder_.measure_costs();
  if (!companions_.identify() || !session_.arm() || !companions_.arm()) return false;
  run_.begun_ns = run_.clock.now();
  begin_session();
  return true;
}

void Loop::begin_session() noexcept {
  const int64_t now = run_.clock.now();
  session_.begin(now);
  tick_.begin(now);
  companions_.begin(now);
  if (can_reset()) begin_reset();
}

void Loop::drive() noexcept {
  Arrival arrival;
  while (!run_.stop.check_requests()) {
    run_.link.board.turns.fetch_add(1, std::memory_order_relaxed);
    const bool due = tick_.next(&arrival);
    if (!companions_.empty() && !companions_.read()) return;
    if (!due || !companions_.complete(&arrival)) continue;
    step(arrival);
    tick_.end_step();
  }
}

void Loop::begin_reset() noexcept {
  was_reset_ = true;
  const uint32_t seed = episode_.next_seed();
  if ((run_.hello.caps & TL_CAP_RESET) != 0) session_.reset(seed, tick_.device_us());
  companions_.reset(seed);
}

// The safe action before DISARM: each actuator's rest value, as far as the limiter allows in one command.
void Loop::close() noexcept {
  float u[kMaxActuators];
  for (int i = 0; i < run_.m; ++i) u[i] = run_.options.hold[i] ? limiter_.last[i] : run_.options.limits[i].rest;
  const bool driven = !episode_.awaiting_first() || start_.steps() > 0;
  const bool acts = !run_.lockstep() && driven && session_.command_sent();
  if (acts) (void)limiter_.apply(u);
  const float* const theirs = acts ? u + run_.own_m : nullptr;
  companions_.close(theirs, false);  // first those that answer
  session_.close(acts ? u : nullptr, tick_.device_us());
  companions_.close(theirs, true);
}

}  // namespace rtu::runtime::loop
