// The loop in real time, on a virtual clock: clocks, overruns, and work that waits for slack.
#include <algorithm>

#include "loop_bench.h"

using namespace rtu::runtime;
using namespace rtu::runtime::record;
using namespace rtu::runtime::loop;

namespace {

void the_device_ticks_the_loop() {
  Bench bench;
  bench.options.tick = TickSource::kDevice;
  bench.options.steps = 0;
  bench.options.duration_ns = 20 * kNsPerS;
  const LoopResult result = bench.run();
  CHECK(result.reason == StopReason::kSeconds && result.confirmed);
  CHECK(result.steps + result.episodes * 3 + 5 >= 1000 && result.steps <= 1001);
  CHECK(bench.counters.skipped == 0 && bench.counters.missed == 0 && bench.counters.overruns == 0);
  CHECK(bench.counters.overridden <= 1 + result.episodes);
  CHECK(bench.device.bridge.counters[TL_COUNTER_REFUSED] == 0);
}

// On either clock.
void an_overrun_of_3_2_periods_skips_three_and_catches_nothing_up(TickSource tick) {
  Bench bench;
  bench.options.tick = tick;
  bench.options.steps = 60;
  bench.options.ttl_ms = 200;
  std::vector<int64_t> learned_at;
  bench.diary.on_update = [&] {
    learned_at.push_back(bench.device.clock.t_ns);
    if (learned_at.size() == 30) bench.device.clock.advance(64 * kNsPerMs);
  };
  CHECK(bench.run().reason == StopReason::kSteps);
  CHECK(bench.counters.overruns == 1 && bench.counters.skipped == 3);
  const int64_t period = 20 * kNsPerMs;
  for (size_t i = 1; i < learned_at.size(); ++i) {
    const int64_t slots = i == 30 ? 4 : 1;
    CHECK(learned_at[i] - learned_at[i - 1] == slots * period);
  }
}

// On each clock: learning takes 12 of 20 ms; at some steps the action is so late that 8 ms are left.
void an_update_that_does_not_fit_is_dropped() {
  for (const TickSource tick : {TickSource::kDevice, TickSource::kHost, TickSource::kLockstep}) {
    Bench bench;
    bench.options.tick = tick;
    bench.options.steps = 200;
    bench.options.ttl_ms = 200;
    uint64_t predicted = 0;
    std::vector<uint64_t> late;
    bench.diary.act = [&](const float*) {
      if (++predicted % 10 == 0 && predicted > 20) {
        late.push_back(predicted - 1);
        bench.device.clock.advance(12 * kNsPerMs);
      }
      return 0.0f;
    };
    uint64_t updates = 0;
    bench.diary.on_update = [&] {
      const bool dropped = bench.diary.calls.back() == 'd';
      bench.device.clock.advance(dropped ? 2 * kNsPerMs : 12 * kNsPerMs);
      ++updates;
    };
    CHECK(bench.run().reason == StopReason::kSteps);
    std::vector<uint64_t> dropped;
    for (size_t i = 0; i < bench.records.size(); ++i) {
      const RecordHead& head = bench.records[i];
      CHECK((head.calls & kCallLearn) != 0);
      if ((head.calls & kCallWeights) == 0) dropped.push_back(i);
      CHECK((head.flags & kRecordLearned) != 0 || (head.flags & kRecordFirst) != 0);
    }
    const auto drops = static_cast<uint64_t>(std::count(bench.diary.calls.begin(), bench.diary.calls.end(), 'd'));
    CHECK(drops == dropped.size() && bench.counters.dropped == drops);
    if (tick == TickSource::kLockstep) {
      CHECK(drops == 0);
      continue;
    }
    // The first observation of an episode has no update to drop.
    for (const uint64_t i : late) {
      const bool first = (bench.records[i].flags & kRecordFirst) != 0;
      CHECK(first || std::count(dropped.begin(), dropped.end(), i) == 1);
    }
    CHECK(drops > 10 && drops <= late.size() && bench.counters.skipped == 0 && bench.counters.overruns == 0);
  }
}

// Hash and copy take 3 ms each of virtual time. Learning leaves 2 ms of the 20, and 10 ms in each seventh step.
void hash_and_copy_wait_for_the_slack() {
  for (const TickSource tick : {TickSource::kDevice, TickSource::kHost, TickSource::kLockstep}) {
    Bench bench;
    bench.options.tick = tick;
    bench.options.steps = 300;
    bench.options.ttl_ms = 200;
    bench.options.hash_every = 10;
    bench.options.snapshots = true;
    int hashed = 0;
    int copied = 0;
    bench.diary.on_hash = [&] { bench.device.clock.advance(3 * kNsPerMs), ++hashed; };
    bench.diary.on_copy = [&] { bench.device.clock.advance(3 * kNsPerMs), ++copied; };
    bench.diary.on_update = [&] {
      bench.device.clock.advance(bench.diary.rewards.size() % 7 == 0 ? 10 * kNsPerMs : 18 * kNsPerMs);
    };
    Loop* running = nullptr;
    int handed = 0;
    bench.diary.act = [&](const float* x) {
      handed += running->snapshot().ready();
      running->snapshot().release();
      running->snapshot().ask();
      return std::clamp(0.5f * x[0] + 6.0f * x[1], -1.0f, 1.0f);
    };
    Loop loop(bench.link, bench.device.clock.clock(), bench.diary.policy(), bench.hello, bench.options);
    running = &loop;
    loop.run();
    CHECK(loop.result().reason == StopReason::kSteps && loop.result().steps == 300);
    const std::vector<RecordHead> records = Bench::take(loop);
    const bool lockstep = tick == TickSource::kLockstep;
    const int before = lockstep ? 0 : 2;  // to measure their cost
    int found = 0;
    for (const RecordHead& head : records) {
      found += head.state_hash != 0;
      if (lockstep) CHECK((head.state_hash != 0) == (head.sequence % 10 == 0));
    }
    CHECK(found == hashed - before && found > 15 && found <= static_cast<int>(records.size()) / 10 + 1);
    if (lockstep) continue;
    CHECK(handed > 15 && handed <= copied - before && copied - before < 100);
    CHECK(loop.counters().overruns.get() == 0 && loop.counters().skipped.get() == 0);
  }
}

void a_schedule_of_drops_is_kept_to() {
  Bench bench;
  const uint64_t drops[] = {0, 3, 4, 900};
  bench.options.drops = drops;
  bench.options.n_drops = 4;
  CHECK(bench.run().reason == StopReason::kSteps);
  uint64_t transition = 0;
  for (const RecordHead& head : bench.records) {
    if ((head.flags & kRecordLearned) == 0) continue;
    CHECK(((head.calls & kCallWeights) == 0) == std::count(drops, drops + 4, transition));
    ++transition;
  }
  CHECK(transition == 1000 && bench.counters.dropped == 4);
}

void missing_states_are_missed_and_not_stepped() {
  Bench bench;
  bench.options.tick = TickSource::kDevice;
  bench.options.steps = 100;
  bench.options.ttl_ms = 200;
  bench.diary.on_update = [&] {
    // Two STATEs are lost.
    const uint64_t now = bench.device.frames_down;
    if (bench.diary.rewards.size() == 40)
      bench.device.down = [&bench, now] { return bench.device.frames_down > now + 3 ? 1 : 0; };
  };
  CHECK(bench.run().reason == StopReason::kSteps);
  CHECK(bench.counters.skipped >= 1 && bench.counters.skipped == bench.counters.missed);
  CHECK(bench.diary.rewards.size() == 101);
}

}  // namespace

int main() {
  the_device_ticks_the_loop();
  for (const TickSource tick : {TickSource::kDevice, TickSource::kHost})
    an_overrun_of_3_2_periods_skips_three_and_catches_nothing_up(tick);
  an_update_that_does_not_fit_is_dropped();
  hash_and_copy_wait_for_the_slack();
  a_schedule_of_drops_is_kept_to();
  missing_states_are_missed_and_not_stepped();
  return 0;
}
