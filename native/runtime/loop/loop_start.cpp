// Before an episode: the start region and homing.

#include <string.h>

#include "native/runtime/loop/loop.h"

namespace rtu::runtime::loop {

// Whether a step of the policy may take place with this STATE. False where an episode may not begin with it: then it
// was answered here, or the run stops.
bool Loop::begins(const Arrival& arrival) noexcept {
  if (!is_first(arrival)) return true;
  const Start::Now now = start_.next(arrival.state.x);
  if (now == Start::Now::kBegin) {
    start_.restart();
    run_.link.board.homing.store(false, std::memory_order_relaxed);
    return true;
  }
  if (now == Start::Now::kHome) {
    home(arrival);
  } else {
    stop_outside(StopReason::kNotReady, "the episode does not begin: outside the start region", arrival);
  }
  return false;
}

void Loop::stop_outside(StopReason reason, const char* what, const Arrival& arrival) noexcept {
  const StartOptions& start = run_.options.start;
  const int i = outside(arrival.state.x, start.low, start.high, run_.n);
  char where[96] = "";
  if (i >= 0) describe_outside(run_, i, arrival.state.x[i], start.low[i], start.high[i], where, sizeof where);
  run_.stop.set(reason, what, where);
}

// One step towards the start region.
void Loop::home(const Arrival& arrival) noexcept {
  StepTimes times{};
  times.begun_ns = run_.clock.now();
  times.receive_ns = times.begun_ns - arrival.at_ns;
  times.round_trip_ns = arrival.round_trip_ns;
  const LoopOptions& options = run_.options;
  const bool terminal = (arrival.state.epflags & kEpisodeEnd) != 0;
  Marks marks;
  marks.flags = record::kRecordHoming;
  session_.follow(arrival.state.episode);
  episode_.await_next(false);
  chosen_valid_ = false;
  if (start_.steps() == 0) ++run_.counters.homings;
  if ((was_reset_ || !limiter_started_) && start_limiter(arrival.state)) marks.calls |= record::kCallLimiter;
  float u[kMaxActuators];
  memcpy(u, limiter_.last, sizeof u);
  if (options.duration_ns > 0 && times.begun_ns - run_.begun_ns >= options.duration_ns) {
    run_.stop.set(StopReason::kSeconds, "time limit reached");
  } else if (start_.timed_out()) {
    stop_outside(StopReason::kHoming, "homing did not reach the start region in time", arrival);
  } else if (!terminal && !start_.command(arrival.state.x, u)) {
    run_.stop.set(StopReason::kHoming, "the homing controller failed");
  } else if (!terminal) {
    act(arrival, u, &times, &marks);
    marks.flags |= record::kRecordActed;
    ++run_.counters.homing_steps;
  }
  count_limited(marks.limited);
  recorder_.record_step(arrival, times, u, 0, marks);
  run_.link.board.homing.store(true, std::memory_order_relaxed);
  const int64_t now = run_.clock.now();
  recorder_.publish_when_due(now, arrival.state.x);
  session_.measure_link(now);
  // The device has ended the episode, and takes no command before it begins another.
  if (terminal && !run_.stop.is_set() && can_reset()) begin_reset();
}

}  // namespace rtu::runtime::loop
