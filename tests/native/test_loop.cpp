// The loop against the firmware's own bridge and plant on a virtual clock: what it does when, and when things go wrong.
#include "native/runtime/loop.h"

#include <math.h>

#include <algorithm>
#include <string>

#include "sim_device.h"

using namespace rtu::runtime;

namespace {

// Writes down what the loop asks of it, and misbehaves on demand.
struct Diary {
  std::string calls;  // b begin, p predict, l learn, T terminated, U truncated, x executed given, d update dropped
  std::vector<float> rewards;
  std::vector<float> executed;
  std::vector<float> last_x;
  uint64_t hash = 1;
  std::function<float(const float*)> act = [](const float* x) {
    return std::clamp(0.5f * x[0] + 6.0f * x[1], -1.0f, 1.0f);
  };
  std::function<void()> on_learn = [] {};
  std::function<void()> on_hash;  // with it, or on_copy, there is something to hash and copy
  std::function<void()> on_copy;
  bool fail = false;
  bool keep_calls = true;

  Policy policy(int n = 2) {
    Policy p;
    p.self = this;
    p.n_observations = n;
    p.n_actions = 1;
    p.begin = [](void* self) noexcept {
      static_cast<Diary*>(self)->note('b');
      return 0;
    };
    p.predict = [](void* self, const float* x, int, float* action) noexcept {
      auto* d = static_cast<Diary*>(self);
      if (d->fail) return -1;
      d->note('p');
      d->last_x.assign(x, x + 2);
      *action = d->act(x);
      uint32_t bits;
      memcpy(&bits, x, sizeof bits);
      d->hash = (d->hash ^ bits) * 0x100000001B3u;
      return 0;
    };
    p.learn = [](void* self, float reward, int terminated, int truncated, const float* executed, int update) noexcept {
      auto* d = static_cast<Diary*>(self);
      d->note('l');
      if (terminated) d->note('T');
      if (truncated) d->note('U');
      if (executed != nullptr) d->note('x');
      if (!update) d->note('d');
      d->rewards.push_back(reward);
      d->executed.push_back(executed != nullptr ? *executed : NAN);
      d->on_learn();
      return 0;
    };
    if (on_hash) {
      p.hash = [](void* self) noexcept {
        static_cast<Diary*>(self)->on_hash();
        return uint64_t{7};
      };
    }
    if (on_copy) {
      p.state = &hash;
      p.state_bytes = sizeof hash;
      p.copy_beside = [](void* self, unsigned char*, int) noexcept { static_cast<Diary*>(self)->on_copy(); };
    }
    return p;
  }
  void note(char c) {
    if (keep_calls) calls += c;
  }
};

struct Bench {
  SimDevice device;
  Diary diary;
  Link link;
  rtu_hello hello{};
  LoopOptions options;

  explicit Bench(const char* plant = "cartpole", const float* slew = nullptr)
      : device(plant, 1, slew), link(device.wire(), device.clock.clock(), 1 << 16) {
    CHECK(link.hello(3 * kNsPerS, &hello) == LinkStatus::kOk);
    options.limits[0] = {-10, 10, 0, 0};
    options.steps = 1000;
    options.ring_records = 4096;
    options.ring_episodes = 64;
  }

  LoopResult run() {
    Loop loop(link, device.clock.clock(), diary.policy(), hello, options);
    loop.run();
    counters = counters_of(loop);
    records = take(loop);
    return loop.result();
  }

  struct Numbers {
    uint64_t steps, episodes, skipped, missed, overruns, retries, timeouts, replaced, held, non_finite, slew,
        duplicates, dropped;
  } counters{};
  std::vector<RecordHead> records;

  static Numbers counters_of(const Loop& loop) {
    const LoopCounters& c = loop.counters();
    return {c.steps.get(),     c.episodes.get(),   c.skipped.get(),        c.missed.get(),    c.overruns.get(),
            c.retries.get(),   c.timeouts.get(),   c.replaced.get(),       c.gate_held.get(), c.gate_non_finite.get(),
            c.gate_slew.get(), c.duplicates.get(), c.updates_dropped.get()};
  }
  static std::vector<RecordHead> take(Loop& loop) {
    RecordRing& ring = loop.records();
    std::vector<uint8_t> raw(ring.available() * ring.stride());
    const size_t count = ring.available();
    ring.take(raw.data(), count);
    std::vector<RecordHead> heads(count);
    for (size_t i = 0; i < count; ++i) memcpy(&heads[i], raw.data() + i * ring.stride(), sizeof heads[i]);
    return heads;
  }
};

void acts_before_it_learns_and_learns_the_last_transition() {
  Bench bench;
  bench.options.steps = 3;
  const LoopResult result = bench.run();
  CHECK(result.reason == StopReason::kSteps && result.confirmed && result.steps == 3);
  CHECK(bench.diary.calls == "bplplplpl");
  CHECK(bench.records.size() == 4);
  CHECK(bench.records[0].flags == (kRecordFirst | kRecordActed));
  CHECK(bench.records[3].flags == kRecordLearned);
  CHECK(bench.records[3].reward == 1 && bench.records[3].episode_step == 3);
  CHECK(bench.device.bridge.state == RTU_STATE_DISARMED);
}

void an_episode_ends_with_a_prediction_that_is_not_acted_on() {
  Bench bench;
  bench.diary.act = [](const float*) { return 1.0f; };
  bench.options.episodes = 2;
  bench.options.steps = 0;
  const LoopResult result = bench.run();
  CHECK(result.reason == StopReason::kEpisodes && result.episodes == 2);
  const std::string& calls = bench.diary.calls;
  CHECK(calls.substr(0, 3) == "bpl");
  const size_t end = calls.find("lT");
  CHECK(end != std::string::npos && calls.substr(end, 5) == "lTbpl");
  CHECK(calls.substr(calls.size() - 3) == "plT");
  CHECK(calls.find('x') == std::string::npos);
}

void equal_runs_put_equal_bytes_on_the_wire() {
  uint64_t sent[3], received[3], state[3];
  for (int i = 0; i < 3; ++i) {
    Bench bench;
    bench.options.seed = i == 2 ? 8 : 7;
    const LoopResult result = bench.run();
    CHECK(result.reason == StopReason::kSteps && result.steps == 1000);
    CHECK(bench.link.sent.captured_bytes() > 20000);
    sent[i] = result.sent_hash;
    received[i] = result.received_hash;
    state[i] = bench.diary.hash;
  }
  CHECK(sent[0] == sent[1] && received[0] == received[1] && state[0] == state[1]);
  CHECK(sent[0] != sent[2] && received[0] != received[2] && state[0] != state[2]);
}

void lost_and_repeated_frames_cost_time_and_nothing_else() {
  Bench clean;
  const LoopResult expected = clean.run();
  Bench lossy;
  uint32_t random = 1;
  const auto line = [&random] {
    random = random * 1664525u + 1013904223u;
    const uint32_t dice = (random >> 16) % 100;
    return dice < 10 ? 0 : dice < 15 ? 2 : 1;
  };
  lossy.device.up = line;
  lossy.device.down = line;
  const LoopResult result = lossy.run();
  CHECK(result.reason == StopReason::kSteps && result.steps == 1000);
  CHECK(lossy.counters.retries > 50 && lossy.counters.timeouts == lossy.counters.retries);
  CHECK(lossy.diary.calls == clean.diary.calls && lossy.diary.hash == clean.diary.hash);
  // What was received differs in the device's own sequence numbers: it acknowledged some RESETs twice.
  CHECK(result.sent_hash == expected.sent_hash);
}

void a_dead_line_is_given_up() {
  Bench bench;
  int frames = 0;
  bench.device.up = [&] { return ++frames > 50 ? 0 : 1; };
  bench.options.retry_ns = 20 * kNsPerMs;
  const LoopResult result = bench.run();
  CHECK(result.reason == StopReason::kLinkLost || result.reason == StopReason::kDeviceSafe);
  CHECK(!result.confirmed && bench.counters.retries > 10);
  CHECK(bench.device.bridge.state == RTU_STATE_SAFE);

  Bench unplugged;
  unplugged.diary.on_learn = [&] { unplugged.device.gone = unplugged.diary.rewards.size() > 20; };
  CHECK(unplugged.run().reason == StopReason::kLinkLost);
}

void the_device_ticks_the_loop() {
  Bench bench;
  bench.options.tick = TickSource::kDevice;
  bench.options.steps = 0;
  bench.options.duration_ns = 20 * kNsPerS;
  const LoopResult result = bench.run();
  CHECK(result.reason == StopReason::kSeconds && result.confirmed);
  CHECK(result.steps + result.episodes * 3 + 5 >= 1000 && result.steps <= 1001);
  CHECK(bench.counters.skipped == 0 && bench.counters.missed == 0 && bench.counters.overruns == 0);
  CHECK(bench.counters.replaced <= 1 + result.episodes);
  CHECK(bench.device.bridge.counters[RTU_COUNTER_REFUSED] == 0);
}

void an_overrun_of_3_2_periods_skips_three_and_catches_nothing_up() {
  Bench bench;
  bench.options.tick = TickSource::kDevice;
  bench.options.steps = 60;
  bench.options.ttl_ms = 200;
  std::vector<int64_t> learned_at;
  bench.diary.on_learn = [&] {
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

void the_host_ticks_the_loop() {
  Bench bench;
  bench.options.tick = TickSource::kHost;
  bench.options.steps = 60;
  bench.options.ttl_ms = 200;
  std::vector<int64_t> learned_at;
  bench.diary.on_learn = [&] {
    learned_at.push_back(bench.device.clock.t_ns);
    if (learned_at.size() == 30) bench.device.clock.advance(64 * kNsPerMs);
  };
  CHECK(bench.run().reason == StopReason::kSteps);
  CHECK(bench.counters.overruns == 1 && bench.counters.skipped == 3);
  for (size_t i = 1; i < learned_at.size(); ++i) {
    CHECK(learned_at[i] - learned_at[i - 1] == (i == 30 ? 4 : 1) * 20 * kNsPerMs);
  }
}

// On each clock: learning takes 12 of 20 ms; at some steps the action comes so late that 8 ms are left.
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
    uint64_t lessons = 0;
    bench.diary.on_learn = [&] {
      const bool dropped = bench.diary.calls.back() == 'd';
      bench.device.clock.advance(dropped ? 2 * kNsPerMs : 12 * kNsPerMs);
      ++lessons;
    };
    CHECK(bench.run().reason == StopReason::kSteps);
    std::vector<uint64_t> dropped;
    for (size_t i = 0; i < bench.records.size(); ++i) {
      const RecordHead& head = bench.records[i];
      CHECK((head.calls & kCallLearn) != 0);
      if ((head.calls & kCallUpdate) == 0) dropped.push_back(i);
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
    bench.diary.on_learn = [&] {
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
    const int before = lockstep ? 0 : 2;  // to know what they cost
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
    CHECK(((head.calls & kCallUpdate) == 0) == std::count(drops, drops + 4, transition));
    ++transition;
  }
  CHECK(transition == 1000 && bench.counters.dropped == 4);
}

void missing_states_are_missed_and_not_stepped() {
  Bench bench;
  bench.options.tick = TickSource::kDevice;
  bench.options.steps = 100;
  bench.options.ttl_ms = 200;
  bench.diary.on_learn = [&] {
    // Two STATEs are lost.
    const uint64_t now = bench.device.frames_down;
    if (bench.diary.rewards.size() == 40)
      bench.device.down = [&bench, now] { return bench.device.frames_down > now + 3 ? 1 : 0; };
  };
  CHECK(bench.run().reason == StopReason::kSteps);
  CHECK(bench.counters.skipped >= 1 && bench.counters.skipped == bench.counters.missed);
  CHECK(bench.diary.rewards.size() == 101);
}

void what_slew_changed_is_reported_as_executed() {
  Bench bench;
  bench.options.limits[0].slew_per_tick = 1;
  bench.options.steps = 4;
  bench.diary.act = [](const float*) { return 1.5f; };  // clipped to 1 by the mapping: that alone is no replacement
  CHECK(bench.run().reason == StopReason::kSteps);
  CHECK(bench.counters.slew == 4 && bench.counters.replaced == 4);
  CHECK(isnan(bench.diary.executed[0]));
  for (int i = 1; i <= 4; ++i)
    CHECK(fabsf(bench.diary.executed[static_cast<size_t>(i)] - 0.1f * static_cast<float>(i)) < 1e-5f);

  Bench own;
  own.options.steps = 4;
  own.diary.act = [](const float*) { return 1.5f; };
  CHECK(own.run().reason == StopReason::kSteps);
  CHECK(own.counters.replaced == 0);

  const float slew = 2;
  Bench device("cartpole", &slew);  // the device's own limit, unknown to the host
  device.options.steps = 3;
  device.diary.act = [](const float*) { return 1.0f; };
  CHECK(device.run().reason == StopReason::kSteps);
  CHECK(device.counters.replaced == 3 && fabsf(device.diary.executed[1] - 0.2f) < 1e-5f);
}

void a_failing_policy_is_held_and_then_stopped() {
  for (int kind = 0; kind < 2; ++kind) {
    Bench bench;
    int acted = 0;
    bench.diary.act = [&](const float*) { return ++acted > 10 && kind == 0 ? NAN : 0.05f; };
    bench.diary.on_learn = [&] { bench.diary.fail = kind == 1 && acted >= 10; };
    const LoopResult result = bench.run();
    CHECK(result.reason == StopReason::kPolicy && result.confirmed);
    CHECK(result.steps == 15);
    CHECK(kind == 0 ? bench.counters.non_finite == 5 : bench.counters.held == 5);
  }
}

void half_open_restart_and_estop_are_told_apart() {
  Bench half;
  half.options.tick = TickSource::kDevice;
  half.diary.on_learn = [&] { half.device.deaf = half.diary.rewards.size() > 30; };
  const StopReason reason = half.run().reason;
  CHECK(reason == StopReason::kHalfOpen);
  CHECK(half.device.bridge.state == RTU_STATE_SAFE);

  Bench restart;
  restart.options.tick = TickSource::kDevice;
  restart.diary.on_learn = [&] {
    if (restart.diary.rewards.size() == 30) restart.device.restart(99);
  };
  CHECK(restart.run().reason == StopReason::kDeviceRestart);

  Bench stopped;
  stopped.options.tick = TickSource::kDevice;
  stopped.diary.on_learn = [&] {
    if (stopped.diary.rewards.size() != 30) return;
    rtu_frame frame{};
    uint8_t bytes[RTU_WIRE_MAX];
    rtu_empty_pack(RTU_TYPE_ESTOP, &frame);
    rtu_bridge_receive(&stopped.device.bridge, bytes, rtu_frame_encode(&frame, bytes), stopped.device.now_us());
  };
  CHECK(stopped.run().reason == StopReason::kDeviceFault);
}

void a_stalled_host_finds_the_device_safe() {
  Bench bench;
  bench.options.tick = TickSource::kDevice;
  bench.diary.on_learn = [&] {
    if (bench.diary.rewards.size() == 30) bench.device.clock.advance(5 * kNsPerS);
  };
  CHECK(bench.run().reason == StopReason::kDeviceSafe);
}

void requests_stop_it() {
  Bench stop;
  stop.options.tick = TickSource::kDevice;
  Loop* running = nullptr;
  stop.diary.on_learn = [&] {
    if (stop.diary.rewards.size() == 10) running->request_stop();
  };
  Loop loop(stop.link, stop.device.clock.clock(), stop.diary.policy(), stop.hello, stop.options);
  running = &loop;
  loop.run();
  CHECK(loop.result().reason == StopReason::kRequest && loop.result().confirmed);
  CHECK(stop.device.bridge.state == RTU_STATE_DISARMED);

  Bench estop;
  estop.diary.on_learn = [&] {
    if (estop.diary.rewards.size() == 10) running->request_estop();
  };
  Loop emergency(estop.link, estop.device.clock.clock(), estop.diary.policy(), estop.hello, estop.options);
  running = &emergency;
  emergency.run();
  CHECK(emergency.result().reason == StopReason::kEstop && emergency.result().confirmed);
  CHECK(estop.device.bridge.state == RTU_STATE_ESTOP);
}

void a_dry_run_writes_nothing() {
  Bench bench;
  bench.options.dry_run = true;
  bench.options.steps = 20;
  const uint64_t before = bench.device.frames_up;
  CHECK(bench.run().reason == StopReason::kSteps);
  CHECK(bench.device.frames_up == before);
  CHECK(bench.counters.steps == 20 && bench.counters.replaced == 20);
  CHECK(bench.device.bridge.state == RTU_STATE_DISARMED);
  // The pole falls, and nobody will pick it up.
  bench.options.steps = 0;
  bench.options.duration_ns = 10 * kNsPerS;
  const LoopResult over = bench.run();
  CHECK(over.reason == StopReason::kEpisodes && over.confirmed && over.episodes == 1);
  CHECK(bench.device.frames_up == before);
}

void the_target_is_the_mean_of_a_window() {
  Bench bench;
  bench.options.steps = 0;
  bench.options.has_target = true;
  bench.options.target_window = 3;
  bench.options.target_return = 5;
  const LoopResult result = bench.run();
  CHECK(result.reason == StopReason::kTarget && result.episodes == 3 && result.mean_return >= 5);
}

void sessions_follow_each_other_on_one_link() {
  Bench bench;
  for (uint32_t session = 1; session <= 4; ++session) {
    bench.options.session = bench.link.last_session + 1;
    bench.options.tick = session % 2 ? TickSource::kLockstep : TickSource::kDevice;
    bench.options.steps = 5;  // within the first episode: its number is taken when the next session begins
    const LoopResult result = bench.run();
    CHECK(result.reason == StopReason::kSteps && result.confirmed);
  }
  bench.options.session = 2;
  const LoopResult result = bench.run();
  CHECK(result.reason == StopReason::kArmRefused && result.ack_status == RTU_STATUS_SESSION);
}

void frozen_it_only_predicts() {
  Bench bench;
  bench.options.learn = false;
  bench.options.explore = false;
  bench.options.steps = 5;
  CHECK(bench.run().reason == StopReason::kSteps);
  CHECK(bench.diary.calls == "bpppppp");
}

}  // namespace

int main() {
  acts_before_it_learns_and_learns_the_last_transition();
  an_episode_ends_with_a_prediction_that_is_not_acted_on();
  equal_runs_put_equal_bytes_on_the_wire();
  lost_and_repeated_frames_cost_time_and_nothing_else();
  a_dead_line_is_given_up();
  the_device_ticks_the_loop();
  an_overrun_of_3_2_periods_skips_three_and_catches_nothing_up();
  the_host_ticks_the_loop();
  an_update_that_does_not_fit_is_dropped();
  hash_and_copy_wait_for_the_slack();
  a_schedule_of_drops_is_kept_to();
  missing_states_are_missed_and_not_stepped();
  what_slew_changed_is_reported_as_executed();
  a_failing_policy_is_held_and_then_stopped();
  half_open_restart_and_estop_are_told_apart();
  a_stalled_host_finds_the_device_safe();
  requests_stop_it();
  a_dry_run_writes_nothing();
  the_target_is_the_mean_of_a_window();
  sessions_follow_each_other_on_one_link();
  frozen_it_only_predicts();
  return 0;
}
