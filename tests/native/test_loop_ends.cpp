// How the loop ends: dead lines, failing policies, requests, targets; and the state for the next session.
//
// hazard: device-exchanged policy-fails
#include <stdexcept>

#include "loop_bench.h"

using namespace rtu::runtime;
using namespace rtu::runtime::record;
using namespace rtu::runtime::link;
using namespace rtu::runtime::loop;

namespace {

void a_dead_line_is_given_up() {
  Bench bench;
  int frames = 0;
  bench.device.up = [&] { return ++frames > 50 ? 0 : 1; };
  bench.options.retry_ns = 20 * kNsPerMs;
  const LoopResult result = bench.run();
  CHECK(result.reason == StopReason::kLinkLost || result.reason == StopReason::kDeviceSafe);
  CHECK(!result.confirmed && bench.counters.retries > 10);
  CHECK(bench.device.bridge.state == TL_STATE_SAFE);

  Bench unplugged;
  unplugged.diary.on_update = [&] { unplugged.device.gone = unplugged.diary.rewards.size() > 20; };
  CHECK(unplugged.run().reason == StopReason::kLinkLost);
}

void a_failing_policy_is_held_and_then_stopped() {
  for (int kind = 0; kind < 2; ++kind) {
    Bench bench;
    int acted = 0;
    bench.diary.act = [&](const float*) { return ++acted > 10 && kind == 0 ? NAN : 0.05f; };
    bench.diary.on_update = [&] { bench.diary.fail = kind == 1 && acted >= 10; };
    const LoopResult result = bench.run();
    CHECK(result.reason == StopReason::kPolicy && result.confirmed);
    CHECK(result.steps == 15);
    CHECK(kind == 0 ? bench.counters.non_finite == 5 : bench.counters.held == 5);
  }
}

void half_open_restart_and_estop_are_told_apart() {
  Bench half;
  half.options.tick = TickSource::kDevice;
  half.diary.on_update = [&] { half.device.deaf = half.diary.rewards.size() > 30; };
  const StopReason reason = half.run().reason;
  CHECK(reason == StopReason::kHalfOpen);
  CHECK(half.device.bridge.state == TL_STATE_SAFE);

  Bench restart;
  restart.options.tick = TickSource::kDevice;
  restart.diary.on_update = [&] {
    if (restart.diary.rewards.size() == 30) restart.device.restart(99);
  };
  CHECK(restart.run().reason == StopReason::kDeviceRestart);

  Bench stopped;
  stopped.options.tick = TickSource::kDevice;
  stopped.diary.on_update = [&] {
    if (stopped.diary.rewards.size() != 30) return;
    tl_frame frame{};
    uint8_t bytes[TL_WIRE_MAX];
    tl_empty_pack(TL_TYPE_ESTOP, &frame);
    tl_bridge_receive(&stopped.device.bridge, bytes, tl_frame_encode(&frame, bytes), stopped.device.now_us());
  };
  CHECK(stopped.run().reason == StopReason::kDeviceFault);
}

void a_stalled_host_finds_the_device_safe() {
  Bench bench;
  bench.options.tick = TickSource::kDevice;
  bench.diary.on_update = [&] {
    if (bench.diary.rewards.size() == 30) bench.device.clock.advance(5 * kNsPerS);
  };
  CHECK(bench.run().reason == StopReason::kDeviceSafe);
}

void requests_stop_it() {
  Bench stop;
  stop.options.tick = TickSource::kDevice;
  Loop* running = nullptr;
  stop.diary.on_update = [&] {
    if (stop.diary.rewards.size() == 10) running->request_stop();
  };
  Loop loop(stop.link, stop.device.clock.clock(), stop.diary.policy(), stop.hello, stop.options);
  running = &loop;
  loop.run();
  CHECK(loop.result().reason == StopReason::kRequest && loop.result().confirmed);
  CHECK(stop.device.bridge.state == TL_STATE_DISARMED);

  Bench estop;
  estop.diary.on_update = [&] {
    if (estop.diary.rewards.size() == 10) running->request_estop();
  };
  Loop emergency(estop.link, estop.device.clock.clock(), estop.diary.policy(), estop.hello, estop.options);
  running = &emergency;
  emergency.run();
  CHECK(emergency.result().reason == StopReason::kEstop && emergency.result().confirmed);
  CHECK(estop.device.bridge.state == TL_STATE_ESTOP);
}

// Nothing was armed, so there is nothing to disarm and nothing pending.
void a_stop_before_arm_arms_nothing() {
  Bench stop;
  Loop loop(stop.link, stop.device.clock.clock(), stop.diary.policy(), stop.hello, stop.options);
  loop.request_stop();
  loop.run();
  CHECK(loop.result().reason == StopReason::kRequest && loop.result().confirmed);
  CHECK(stop.device.bridge.last_session == 0 && loop.result().steps == 0);

  Bench refused;
  refused.device.bridge.last_session = 7;
  CHECK(refused.run().reason == StopReason::kArmRefused);
}

// Time passes between the data sheet and ARM, for a confirmation or in a waiting service. The device present at ARM
// counts.
void another_device_than_the_described_one_is_not_armed() {
  Bench restarted;
  restarted.device.restart(2);
  Bench exchanged;
  exchanged.device.config.plant = tl_plant_find("servo");
  exchanged.device.plant_state.resize(exchanged.device.config.plant->state_bytes + 64);
  exchanged.device.config.plant_state = exchanged.device.plant_state.data();
  exchanged.device.restart(1);
  Bench modest;  // the same, but without SIMULATED
  modest.device.config.caps = TL_CAP_REWARD | TL_CAP_RESET;
  modest.device.restart(1);
  for (Bench* bench : {&restarted, &exchanged, &modest}) {
    int arms = 0;
    bench->device.seen = [&](const tl_frame& frame) { arms += frame.type == TL_TYPE_ARM || frame.type == TL_TYPE_CMD; };
    for (int attempt = 0; attempt < 2; ++attempt) {  // repeating HELLO does not make it the described device
      const LoopResult result = bench->run();
      CHECK(result.reason == StopReason::kDeviceRestart && result.confirmed && result.steps == 0);
      CHECK(arms == 0 && bench->device.bridge.last_session == 0);
    }
    bench->device.seen = nullptr;
  }
  CHECK(restarted.link.hello(kNsPerS, &restarted.hello) == LinkStatus::kOk);
  CHECK(restarted.run().reason == StopReason::kSteps);

  Bench deaf;
  deaf.device.deaf = true;
  const LoopResult result = deaf.run();
  CHECK(result.reason == StopReason::kLinkLost && result.confirmed && deaf.device.bridge.last_session == 0);
}

// It answers HELLO, restarts on ARM, and another device receives the repeated ARM: no RESET and no command follow.
void a_device_that_appears_while_arming_gets_nothing() {
  for (int what = 0; what < 2; ++what) {
    Bench bench;
    int arms = 0, moves = 0;
    bench.device.seen = [&](const tl_frame& frame) {
      moves += frame.type == TL_TYPE_CMD || frame.type == TL_TYPE_RESET;
      bench.device.deaf = frame.type == TL_TYPE_ARM && ++arms == 1;
      if (!bench.device.deaf) return;
      if (what == 0) bench.device.config.ttl_max_ms = 100;  // with the previous device's boot_id
      bench.device.restart(what == 0 ? 1 : 2);
    };
    const LoopResult result = bench.run();
    CHECK(result.reason == StopReason::kDeviceRestart && result.steps == 0 && moves == 0);
    CHECK(result.confirmed && bench.device.bridge.state != TL_STATE_ARMED);
  }
}

void after_the_largest_session_number_comes_one() {
  Bench bench;
  CHECK(bench.link.next_session() == 1);
  bench.link.last_session = 0xFFFFFFFFu;
  CHECK(bench.link.next_session() == 1);
  CHECK(bench.link.arm(1, false, kNsPerMs) != LinkStatus::kGone && bench.link.last_session == 1);
  CHECK(bench.link.arm(0xFFFFFFFFu, false, kNsPerMs) != LinkStatus::kGone && bench.link.last_session == 1);
  CHECK(bench.link.arm(0x7FFFFFFFu, false, kNsPerMs) != LinkStatus::kGone && bench.link.next_session() == 0x80000000u);
}

void limits_that_cannot_be_kept_make_no_loop() {
  Bench bench;
  bench.options.limits[0].slew_per_tick = 0;
  bool refused = false;
  try {
    Loop loop(bench.link, bench.device.clock.clock(), bench.diary.policy(), bench.hello, bench.options);
  } catch (const std::invalid_argument& error) {
    refused = strstr(error.what(), "limits[0].slew") != nullptr;
  }
  CHECK(refused);
}

// Requested before the loop's thread starts, or by a client that still waits: it must not arm first.
void an_emergency_stop_before_arm_is_one() {
  for (int kind = 0; kind < 2; ++kind) {
    Bench bench;
    if (kind == 1) bench.link.estop_requests.fetch_add(1), bench.link.estops_open.fetch_add(1);
    Loop loop(bench.link, bench.device.clock.clock(), bench.diary.policy(), bench.hello, bench.options);
    if (kind == 0) loop.request_estop();
    loop.run();
    CHECK(loop.result().reason == StopReason::kEstop && loop.result().confirmed);
    CHECK(bench.device.bridge.state == TL_STATE_ESTOP && bench.device.bridge.last_session == 0);
  }
}

// For watchdogs of the loop: an unconfirmed stop takes seconds.
void a_stop_without_an_answer_is_a_sign_of_life() {
  for (int kind = 0; kind < 2; ++kind) {
    Bench bench;
    Loop* running = nullptr;
    uint64_t turns = 0;
    bench.diary.on_update = [&] {
      if (bench.diary.rewards.size() != 10) return;
      bench.device.down = [] { return 0; };
      turns = bench.link.board.turns.load();
      kind == 0 ? running->request_stop() : running->request_estop();
    };
    Loop loop(bench.link, bench.device.clock.clock(), bench.diary.policy(), bench.hello, bench.options);
    running = &loop;
    loop.run();
    CHECK(!loop.result().confirmed);
    CHECK(bench.link.board.turns.load() - turns >= (kind == 0 ? 10u : 100u));
  }
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
  CHECK(result.reason == StopReason::kArmRefused && result.ack_status == TL_STATUS_SESSION);
}

}  // namespace

int main() {
  a_dead_line_is_given_up();
  a_failing_policy_is_held_and_then_stopped();
  half_open_restart_and_estop_are_told_apart();
  a_stalled_host_finds_the_device_safe();
  requests_stop_it();
  a_stop_before_arm_arms_nothing();
  another_device_than_the_described_one_is_not_armed();
  a_device_that_appears_while_arming_gets_nothing();
  after_the_largest_session_number_comes_one();
  limits_that_cannot_be_kept_make_no_loop();
  an_emergency_stop_before_arm_is_one();
  a_stop_without_an_answer_is_a_sign_of_life();
  the_target_is_the_mean_of_a_window();
  sessions_follow_each_other_on_one_link();
  return 0;
}
