#include "native/runtime/loop.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include <chrono>
#include <limits>
#include <stdexcept>
#include <string>

#include "native/runtime/alloc_guard.h"
#include "native/runtime/denormals.h"
#include "native/runtime/signals.h"
#include "native/runtime/threads.h"

namespace rtu::runtime {
namespace {

constexpr int64_t kArmNs = kNsPerS;
constexpr int64_t kHelloSliceNs = 200 * kNsPerMs;
constexpr int kHelloSlices = 10;
constexpr int64_t kDisarmSliceNs = 100 * kNsPerMs;
constexpr int kDisarmSlices = 10;
constexpr int64_t kStateNs = 100 * kNsPerMs;
constexpr int64_t kEstopNs = 5 * kNsPerS;
constexpr int64_t kPublishNs = 50 * kNsPerMs;

int64_t earlier(int64_t a, int64_t b) noexcept { return a < b ? a : b; }
int64_t later(int64_t a, int64_t b) noexcept { return a > b ? a : b; }

int64_t page_faults() noexcept {
  rusage usage{};
  return getrusage(RUSAGE_THREAD, &usage) == 0 ? usage.ru_minflt + usage.ru_majflt : 0;
}

}  // namespace

uint32_t episode_seed(uint64_t base, uint64_t episode) noexcept {
  uint64_t z = base + 0x9E3779B97F4A7C15u * (episode + 1);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return static_cast<uint32_t>((z ^ (z >> 31)) >> 32);
}

size_t record_stride(int n, int m) noexcept {
  const size_t bytes = sizeof(RecordHead) + sizeof(float) * static_cast<size_t>(n + 2 * m);
  return (bytes + 7) / 8 * 8;
}

Loop::Loop(Link& link, Clock clock, const Policy& policy, const tl_hello& hello, const LoopOptions& options)
    : link_(link),
      clock_(clock),
      policy_(policy),
      hello_(hello),
      options_(options),
      n_(hello.n_obs),
      m_(hello.n_act),
      period_ns_(static_cast<int64_t>(hello.period_us) * kNsPerUs),
      records_(options.ring_records, record_stride(hello.n_obs, hello.n_act)),
      episodes_(options.ring_episodes, sizeof(EpisodeRecord)),
      snapshot_(options.snapshots && policy.state != nullptr ? policy.state_bytes : 0, policy.beside_bytes),
      scratch_(new uint64_t[record_stride(hello.n_obs, hello.n_act) / 8]()),
      learn_(options.learn),
      explore_(options.explore),
      estop_seen_(link.estop_requests.load(std::memory_order_relaxed)) {
  const int64_t wanted_ns = options.ttl_ms > 0 ? options.ttl_ms * kNsPerMs : later(3 * period_ns_, 20 * kNsPerMs);
  ttl_ns_ = earlier(wanted_ns, hello.ttl_max_ms * kNsPerMs);
  ttl_ms_ = static_cast<uint16_t>((ttl_ns_ + kNsPerMs - 1) / kNsPerMs);
  gate_.m = m_;
  gate_.enabled = options.gate;
  for (int i = 0; i < m_; ++i)
    if (const char* problem = problem_of(options.limits[i]))
      throw std::invalid_argument("limits[" + std::to_string(i) + "]." + problem);
  memcpy(gate_.limits, options.limits, sizeof gate_.limits);
  returns_.reset(new double[static_cast<size_t>(options.target_window)]());
  mean_return_ = std::numeric_limits<double>::quiet_NaN();
  seed_index_ = options.first_episode;
  for (const double total : options.returns) judge(total);
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
  if (link_.board.running.exchange(true, std::memory_order_acq_rel))
    throw std::invalid_argument("the link is in use by another loop, which runs");
  if (options_.handle_signals) catch_signals();
  clear_board();
  try {
    thread_ = start_thread("rtu-loop", [this] { run(); });
  } catch (...) {
    link_.board.running.store(false, std::memory_order_relaxed);
    if (options_.handle_signals) release_signals();
    throw;
  }
}

bool Loop::wait(int64_t timeout_ns) {
  std::unique_lock<std::mutex> lock(over_mutex_);
  return over_.wait_for(lock, std::chrono::nanoseconds(timeout_ns), [this] { return is_over_; });
}

void Loop::join() {
  if (!thread_.joinable()) return;
  thread_.join();
  if (options_.handle_signals) release_signals();
}

void Loop::clear_board() noexcept {
  StatusBoard& board = link_.board;
  board.steps.store(0, std::memory_order_relaxed);
  board.episodes.store(0, std::memory_order_relaxed);
  board.episode_steps.store(0, std::memory_order_relaxed);
  board.mean_return.store(mean_return_, std::memory_order_relaxed);
  board.reason.store(StopReason::kNone, std::memory_order_relaxed);
  board.running.store(true, std::memory_order_relaxed);
}

void Loop::run() noexcept {
  StatusBoard& board = link_.board;
  clear_board();
  {
    const LinkOwner owner(link_, kMomentNs);
    const DenormalsFlushed flushed;
    RealtimeRequest request = options_.realtime;
    request.realtime = request.realtime && options_.tick != TickSource::kLockstep;
    enter_realtime(request, &result_.privileges);
    privileges_known_.store(true, std::memory_order_release);
    begun_ns_ = clock_.now();
    if (!owner) {
      stop(StopReason::kLinkLost, "the link is in use by another thread");
    } else {
      if (open()) drive();
      end_counting();
      result_.duration_ns = clock_.now() - begun_ns_;
      close();
    }
    result_.steps = counters_.steps.get();
    result_.episodes = counters_.episodes.get();
    result_.mean_return = mean_return_;
    result_.sent_hash = link_.sent.hash();
    result_.received_hash = link_.received.hash();
  }
  publish(clock_.now());
  board.reason.store(result_.reason, std::memory_order_relaxed);
  board.running.store(false, std::memory_order_relaxed);
  const std::lock_guard<std::mutex> lock(over_mutex_);
  is_over_ = true;
  over_.notify_all();
}

void Loop::stop(StopReason reason, const char* message) noexcept {
  if (result_.reason != StopReason::kNone && reason != StopReason::kEstop) return;
  result_.reason = reason;
  snprintf(result_.message, sizeof result_.message, "%s", message);
}

bool Loop::requested() noexcept {
  const int signals = options_.handle_signals ? signals_caught() : 0;
  if (signals >= 2) {
    stop(StopReason::kEstop, "second signal");
  } else if (link_.estop_requests.load(std::memory_order_relaxed) != estop_seen_ ||
             link_.estops_open.load(std::memory_order_relaxed) != 0) {
    stop(StopReason::kEstop, "emergency stop asked for");
  } else if (signals == 1) {
    stop(StopReason::kSignal, "signal");
  } else if (stop_.load(std::memory_order_relaxed)) {
    stop(StopReason::kRequest, "stop asked for");
  }
  return result_.reason != StopReason::kNone;
}

// Asked right before ARM: time has passed since the data sheet was read, in which the device can have been restarted or
// exchanged. What was made for one data sheet drives no other.
bool Loop::same_device() noexcept {
  tl_hello now{};
  link_.discard_input();
  LinkStatus status = LinkStatus::kTimeout;
  for (int i = 0; i < kHelloSlices && status == LinkStatus::kTimeout && !requested(); ++i) {
    link_.board.turns.fetch_add(1, std::memory_order_relaxed);
    status = link_.hello(kHelloSliceNs, &now);
  }
  if (requested()) return false;
  if (status == LinkStatus::kGone) {
    gone_ = true;
    stop(StopReason::kLinkLost, "the port is gone");
  } else if (status == LinkStatus::kTimeout) {
    stop(StopReason::kLinkLost, "no answer to HELLO before ARM");
  } else if (!same_sheet(now, hello_)) {
    stop(StopReason::kDeviceRestart, "another device than the one whose data sheet was read: not armed; connect again");
  } else if (now.boot_id != hello_.boot_id) {
    stop(StopReason::kDeviceRestart,
         "the device has restarted since its data sheet was read: not armed; connect again");
  }
  return result_.reason == StopReason::kNone;
}

bool Loop::open() noexcept {
  if (requested()) return false;
  measure();
  if (options_.dry_run) {
    link_.discard_input();
  } else if (same_device()) {
    const bool lockstep = options_.tick == TickSource::kLockstep;
    asked_to_arm_ = true;
    const LinkStatus status = link_.arm(options_.session, lockstep, kArmNs);
    if (status == LinkStatus::kGone) {
      gone_ = true;
      stop(StopReason::kLinkLost, "the port is gone");
    } else if (status == LinkStatus::kTimeout) {
      stop(StopReason::kLinkLost, "no answer to ARM");
    } else if (status == LinkStatus::kAnother) {
      stop(StopReason::kDeviceRestart, "the device restarted or was exchanged while it was being armed; connect again");
    } else if (status == LinkStatus::kRefused) {
      ++counters_.nacks;
      result_.ack_status = link_.last_ack_status;
      stop(StopReason::kArmRefused, "the device refused to arm");
    }
    // Where no answer has come, or another device's, the one that is there may be armed.
    armed_ = status == LinkStatus::kOk || status == LinkStatus::kTimeout || status == LinkStatus::kAnother;
  }
  if (result_.reason != StopReason::kNone) return false;
  begun_ns_ = clock_.now();
  heard_ns_ = begun_ns_;
  tick_.start(begun_ns_, period_ns_);
  deadline_.start(begun_ns_, period_ns_);
  if (!options_.dry_run && (hello_.caps & TL_CAP_RESET)) begin_reset();
  return true;
}

void Loop::drive() noexcept {
  while (!requested()) {
    link_.board.turns.fetch_add(1, std::memory_order_relaxed);
    if (options_.tick == TickSource::kLockstep && !options_.dry_run) {
      turn_lockstep();
    } else if (options_.tick == TickSource::kHost) {
      turn_host();
    } else {
      turn_device();
    }
  }
}

// What is due by the host's clock: RESET again, patience with a reset, silence of the whole link.
void Loop::look_after(int64_t now_ns) noexcept {
  if (now_ns - heard_ns_ > later(kNsPerS, 10 * period_ns_)) return stop(StopReason::kLinkLost, "the device is silent");
  // Normally the step notices; this is for when none comes.
  if (options_.duration_ns > 0 && now_ns - begun_ns_ > options_.duration_ns + 2 * period_ns_) {
    return stop(StopReason::kSeconds, "the time is over");
  }
  if (!reset_pending_) return;
  if (now_ns - reset_since_ns_ > options_.reset_timeout_ns) {
    return stop(StopReason::kResetTimeout, "the new episode did not begin in time");
  }
  if (now_ns - sent_ns_ > options_.retry_ns) {
    sent_ns_ = now_ns;
    ++counters_.retries;
    link_.transmit(reset_, now_ns + period_ns_);
  }
}

void Loop::begin_reset() noexcept {
  seed_ = episode_seed(options_.seed, seed_index_++);
  ++counters_.resets;
  reset_since_ns_ = clock_.now();
  ask_reset();
}

void Loop::ask_reset() noexcept {
  ++wire_episode_;
  tl_frame frame;
  const tl_reset reset{options_.session, wire_episode_, seed_};
  tl_reset_pack(&reset, &frame);
  const bool lockstep = options_.tick == TickSource::kLockstep;
  link_.encode(&frame, lockstep ? tick_.last_us : link_.now_us(), &reset_);
  const int64_t now = clock_.now();
  link_.transmit(reset_, now + options_.retry_ns);
  sent_ns_ = now;
  attempts_ = 0;
  reset_pending_ = true;
  command_pending_ = false;
  unacknowledged_ = 0;
  awaiting_first_ = true;
  was_reset_ = true;
  ended_ = false;
}

// In the slack: the clocks, the round trip apart from the wait for the next STATE, what the device has counted.
void Loop::look_at_link() noexcept {
  const int64_t now = clock_.now();
  if (now - published_ns_ >= kPublishNs) publish(now);
  link_.meter.tend(now, link_.counters());
  tl_frame frame;
  Encoded encoded;
  while (!options_.dry_run && link_.meter.ask(now, link_.counters().frames_sent.get(), &frame)) {
    link_.encode(&frame, link_.now_us(), &encoded);
    if (!link_.transmit(encoded, now + period_ns_ / 4)) break;
  }
}

// What a thread that is to be on time must not do: counted from when it is warm.
void Loop::begin_counting() noexcept {
  if (alloc_guard_calls != nullptr) heap_calls_ = alloc_guard_calls(0);
  page_faults_ = page_faults();
}

void Loop::end_counting() noexcept {
  if (counters_.steps.get() < kWarmSteps) return;
  if (alloc_guard_calls != nullptr) result_.heap_calls = alloc_guard_calls(0) - heap_calls_;
  result_.page_faults = page_faults() - page_faults_;
}

// For those who may not look at the loop itself, which may be gone before they are.
void Loop::publish(int64_t now_ns) noexcept {
  published_ns_ = now_ns;
#define X(name) link_.board.counters.name.set(counters_.name.get());
  RTU_RUNTIME_LOOP_COUNTERS(X)
#undef X
}

// Safe action, DISARM, where an ARM has left; or ESTOP until STATE says so. A second signal, or a request from the control socket, turns the
// one into the other.
void Loop::close() noexcept {
  link_.recording = false;
  if (!asked_to_arm_ && result_.reason != StopReason::kEstop) {
    result_.confirmed = true;
    return;
  }
  if (gone_) return;
  if (armed_ && result_.reason != StopReason::kEstop) {
    if (options_.tick != TickSource::kLockstep && !awaiting_first_ && command_pending_) rest();
    for (int i = 0; i < kDisarmSlices && !result_.confirmed; ++i) {
      link_.board.turns.fetch_add(1, std::memory_order_relaxed);
      const LinkStatus status = link_.disarm(kDisarmSliceNs);
      if (status == LinkStatus::kGone) return;
      result_.confirmed = status == LinkStatus::kOk;
      const StopReason reason = result_.reason;
      requested();
      if (result_.reason != reason) break;
    }
    // A device that has stopped by itself acknowledges DISARM too, and stays what it is.
    if (result_.confirmed) link_.await_state(kStateNs);
  }
  if (result_.reason == StopReason::kEstop) {
    result_.confirmed = link_.estop(kEstopNs);
  }
}

}  // namespace rtu::runtime
