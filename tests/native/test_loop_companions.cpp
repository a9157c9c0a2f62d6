// Several devices in one loop: one ticks at 100 Hz, another sends at 37 Hz; the newest observation counts, with its
// age; each has its own session and TTL, and the stop of one stops all.
//
// hazard: companion-drives-on
#include <stdexcept>

#include "loop_bench.h"

using namespace rtu::runtime;
using namespace rtu::runtime::record;
using namespace rtu::runtime::link;
using namespace rtu::runtime::loop;

namespace {

// The servo at 37 Hz.
const tl_plant* slow_servo() {
  static tl_plant_sheet sheet = *tl_plant_find("servo")->sheet;
  static tl_plant plant = *tl_plant_find("servo");
  sheet.period_us = 27027;
  plant.sheet = &sheet;
  return &plant;
}

struct Pair : Bench {
  SimDevice other{"servo", 7};
  Link other_link;
  std::vector<std::vector<float>> xs;

  // The second device has the clock of the first.
  Wire wire_of_other() {
    return {this,
            [](void* self, uint8_t* out, size_t room) noexcept {
              auto* pair = static_cast<Pair*>(self);
              pair->sync();
              return pair->other.read(out, room);
            },
            [](void* self, const uint8_t* data, size_t n) noexcept {
              auto* pair = static_cast<Pair*>(self);
              pair->sync();
              return pair->other.write(data, n);
            },
            [](void* self, int64_t deadline_ns, bool for_write) noexcept {
              return static_cast<Pair*>(self)->wait(deadline_ns, for_write);
            }};
  }
  void sync() { other.clock.t_ns = device.clock.t_ns; }
  int wait(int64_t deadline_ns, bool for_write) {
    sync();
    const int found = other.wait(deadline_ns, for_write);
    device.clock.t_ns = std::max(device.clock.t_ns, other.clock.t_ns);
    return found;
  }

  Pair() : Bench("servo"), other_link(wire_of_other(), device.clock.clock(), 0) {
    other.config.plant = slow_servo();
    other.restart(7);
    options.companions[0].link = &other_link;
    CHECK(other_link.hello(3 * kNsPerS, &options.companions[0].hello) == LinkStatus::kOk);
    options.companions[0].age = true;
    options.n_companions = 1;
    options.tick = TickSource::kDevice;
    options.steps = 200;
    options.limits[1] = {-10, 10, kNoLimit, 0};
  }
  // x: servo, servo, age; u: one each
  LoopResult run() {
    Policy p = diary.policy(5);
    p.action_size = 2;
    static Pair* here;
    here = this;
    p.predict = [](void*, const float* x, int, float* action) noexcept {
      here->xs.emplace_back(x, x + 5);
      action[0] = 0.1f;
      action[1] = -0.1f;
      here->on_predict(here->xs.size());
      return 0;
    };
    Loop loop(link, device.clock.clock(), p, hello, options);
    running = &loop;
    loop.run();
    counters = counters_of(loop);
    records = take(loop);
    return loop.result();
  }
  std::function<void(size_t)> on_predict = [](size_t) {};
  Loop* running = nullptr;
};

void the_newest_observation_counts_with_its_age() {
  Pair pair;
  bool driven = false;
  pair.on_predict = [&](size_t step) {
    if (step == 150) driven = pair.device.bridge.target[0] > 0.9f && pair.other.bridge.target[0] < -0.9f;
  };
  const LoopResult result = pair.run();
  CHECK(result.reason == StopReason::kSteps && result.confirmed && result.steps == 200);
  CHECK(pair.device.bridge.state == TL_STATE_DISARMED && pair.other.bridge.state == TL_STATE_DISARMED);
  float oldest = 0;
  size_t changes = 0;
  for (size_t i = 1; i < pair.xs.size(); ++i) {
    const float age = pair.xs[i][4];
    CHECK(age >= 0 && age < 0.028f);
    oldest = std::max(oldest, age);
    if (age < pair.xs[i - 1][4]) ++changes;
  }
  CHECK(oldest > 0.015f);

  CHECK(changes >= 70 && changes <= 76);  // 37 Hz in two seconds
  CHECK(pair.other.bridge.counters[TL_COUNTER_ACCEPTED] >= 190);
  CHECK(driven);
}

// The table of outcomes: event at step 50, who, reasons allowed.
void a_stop_of_one_stops_all() {
  enum What { kStall, kRestart, kGone, kEstop, kDeaf, kSwapped };
  for (int who = 0; who < 2; ++who) {
    for (int what = kStall; what <= kSwapped; ++what) {
      Pair pair;
      SimDevice& failing = who == 0 ? pair.device : pair.other;
      SimDevice& well = who == 0 ? pair.other : pair.device;
      const int64_t begun_ns = pair.device.clock.t_ns;
      int64_t failed_ns = 0;
      pair.on_predict = [&](size_t step) {
        if (step != 50) return;
        failed_ns = pair.device.clock.t_ns;
        if (what == kStall) failing.down = [] { return 0; }, failing.up = [] { return 0; };
        if (what == kRestart) failing.restart(99);
        if (what == kGone) failing.gone = true;
        if (what == kDeaf) failing.deaf = true;
        if (what == kSwapped) failing.config.ttl_max_ms = 99, failing.restart(99);
        tl_frame frame{};
        uint8_t bytes[TL_WIRE_MAX];
        tl_empty_pack(TL_TYPE_ESTOP, &frame);
        if (what == kEstop) tl_bridge_receive(&failing.bridge, bytes, tl_frame_encode(&frame, bytes), failing.now_us());
      };
      const LoopResult result = pair.run();
      CHECK(failed_ns > begun_ns && result.steps < 100);
      const bool expected[] = {result.reason == StopReason::kLinkLost || result.reason == StopReason::kDeviceSafe,
                               result.reason == StopReason::kDeviceRestart,
                               result.reason == StopReason::kLinkLost,
                               result.reason == StopReason::kDeviceFault,
                               result.reason == StopReason::kHalfOpen || result.reason == StopReason::kDeviceSafe,
                               result.reason == StopReason::kDeviceRestart};
      if (!expected[what]) printf("%d %d: %s\n", who, what, result.message);
      CHECK(expected[what]);
      // The other one rests: disarmed by the host, or safe by its own rule.
      CHECK(well.bridge.state == TL_STATE_DISARMED || well.bridge.state == TL_STATE_SAFE);
      if (what == kRestart || what == kSwapped) CHECK(failing.bridge.state == TL_STATE_DISARMED);
    }
  }
}

void a_stall_shorter_than_the_ttl_is_ridden_through() {
  Pair pair;
  pair.options.companions[0].ttl_ms = 200;
  int64_t until_ns = 0;
  pair.other.down = pair.other.up = [&] { return pair.device.clock.t_ns < until_ns ? 0 : 1; };
  pair.on_predict = [&](size_t step) {
    if (step == 50) until_ns = pair.device.clock.t_ns + 100 * kNsPerMs;
  };
  CHECK(pair.run().reason == StopReason::kSteps);
  float oldest = 0;
  for (const auto& x : pair.xs) oldest = std::max(oldest, x[4]);

  CHECK(oldest > 0.09f && oldest < 0.14f);
}

void none_is_armed_unless_all_are_as_described() {
  for (int who = 0; who < 2; ++who) {
    Pair pair;
    (who == 0 ? pair.device : pair.other).restart(99);
    const LoopResult result = pair.run();
    CHECK(result.reason == StopReason::kDeviceRestart && result.steps == 0);
    CHECK(pair.device.bridge.last_session == 0 && pair.other.bridge.last_session == 0);
  }
}

void an_emergency_stop_at_any_link_stops_all() {
  for (int who = 0; who < 3; ++who) {
    Pair pair;
    pair.on_predict = [&](size_t step) {
      if (step != 50) return;
      if (who == 2) return pair.running->request_estop();
      (who == 0 ? pair.link : pair.other_link).request_estop();
    };
    const LoopResult result = pair.run();
    CHECK(result.reason == StopReason::kEstop && result.confirmed);
    CHECK(pair.device.bridge.state == TL_STATE_ESTOP && pair.other.bridge.state == TL_STATE_ESTOP);
  }
}

// The end of one's episode is the end of the episode, and all begin the next one.
void episodes_end_together() {
  Pair pair;
  pair.options.steps = 400;
  pair.other.lie = [&](tl_frame* frame) {
    tl_state state;
    if (!tl_state_unpack(frame, &state) || pair.xs.size() < 50 || pair.xs.size() > 52) return;
    state.epflags |= TL_EPISODE_TRUNCATED;
    tl_state_pack(&state, frame);
  };
  const LoopResult result = pair.run();
  CHECK(result.reason == StopReason::kSteps && result.episodes == 1);
  CHECK(pair.device.bridge.episode == 2 && pair.other.bridge.episode == 2);
}

void a_dry_run_sends_nothing_to_either() {
  Pair pair;
  pair.options.dry_run = true;
  pair.options.steps = 100;
  int sent = 0;
  pair.device.seen = pair.other.seen = [&](const tl_frame&) { ++sent; };
  CHECK(pair.run().reason == StopReason::kSteps && sent == 0);
  CHECK(pair.xs.size() >= 100 && pair.xs.back()[4] < 0.028f);
}

void what_excludes_companions() {
  for (int what = 0; what < 2; ++what) {
    Pair pair;
    if (what == 0) pair.options.tick = TickSource::kLockstep;
    if (what == 1) pair.options.reconnect_ns = 1;
    bool refused = false;
    try {
      pair.run();
    } catch (const std::invalid_argument&) {
      refused = true;
    }
    CHECK(refused);
  }
}

}  // namespace

int main() {
  the_newest_observation_counts_with_its_age();
  a_stop_of_one_stops_all();
  a_stall_shorter_than_the_ttl_is_ridden_through();
  none_is_armed_unless_all_are_as_described();
  an_emergency_stop_at_any_link_stops_all();
  episodes_end_together();
  a_dry_run_sends_nothing_to_either();
  what_excludes_companions();
  return 0;
}
