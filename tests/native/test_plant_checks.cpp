// Checks of the plant in the loop: what it finds, when it warns and stops, what it refuses to arm, and homing.
//
// hazard: actuator-without-effect observation-stands-still reward-not-finite armed-outside-limits learned-while-homing
#include "loop_bench.h"

using namespace rtu::runtime;
using namespace rtu::runtime::record;
using namespace rtu::runtime::loop;
using namespace rtu::runtime::safety;

namespace {

constexpr uint32_t kWarn = 40, kStop = 80;

// A servo with the checks on, driven by a square wave.
struct Checked : Bench {
  std::function<void(tl_state*)> change;  // of the state that the host receives
  uint64_t asked = 0;

  Checked() : Bench("servo") {
    options.checks.effect = options.checks.still = options.checks.reward = true;
    options.checks.warn_steps = kWarn;
    options.checks.stop_steps = kStop;
    options.checks.command[0] = 10;
    options.checks.observations[0] = 3;
    options.observation_names = {"theta", "target"};
    options.actuator_names = {"voltage"};
    for (int i = 0; i < kMaxObservations; ++i) {
      options.start.low[i] = options.arming.low[i] = -kNoLimit;
      options.start.high[i] = options.arming.high[i] = kNoLimit;
    }
    diary.act = [this](const float*) { return asked++ / 4 % 2 == 0 ? 1.0f : -1.0f; };
    device.lie = [this](tl_frame* frame) {
      tl_state state;
      if (!change || frame->type != TL_TYPE_STATE || !tl_state_unpack(frame, &state)) return;
      change(&state);
      const tl_frame head = *frame;
      tl_state_pack(&state, frame);
      frame->seq = head.seq;
      frame->t_us = head.t_us;
    };
  }

  uint64_t count(uint32_t flag) const {
    uint64_t found = 0;
    for (const RecordHead& head : records) found += (head.flags & flag) != 0;
    return found;
  }
};

void a_healthy_plant_has_no_finding() {
  Checked bench;
  bench.options.steps = 3000;
  CHECK(bench.run().reason == StopReason::kSteps);
  CHECK(bench.count(kRecordCheck) == 0);
}

void an_actuator_without_effect_is_found() {
  for (const bool reported : {false, true}) {
    Checked bench;
    bench.change = [reported](tl_state* state) {
      if (reported)
        state->u[0] = 0.5f;  // the device reports that it does not follow
      else
        state->x[0] = 0.25f;
    };
    const LoopResult result = bench.run();
    CHECK(result.reason == StopReason::kCheck && result.confirmed);
    CHECK(strstr(result.message, "actuator voltage has no effect") != nullptr);
    CHECK(result.steps == kStop);
    CHECK(bench.count(kRecordCheck) == kStop - kWarn + 1);
    CHECK(bench.link.failed_check[0] != 0);
  }
}

void an_observation_that_stands_still_is_found() {
  Checked bench;
  bench.options.checks.effect = false;
  uint64_t seen = 0;
  bench.change = [&](tl_state* state) {
    if (++seen > 100) state->x[0] = 0.25f;
  };
  const LoopResult result = bench.run();
  CHECK(result.reason == StopReason::kCheck);
  CHECK(strstr(result.message, "observation theta has stood still") != nullptr);
  CHECK(result.steps >= 100 + kStop - kWarn && result.steps <= 110 + kStop);
  // The target never moves within an episode, so that it is not expected to, unless that is configured.
  CHECK(bench.count(kRecordCheck) > 0);
  Checked told;
  told.options.checks.responds[1] = Responds::kYes;
  CHECK(strstr(told.run().message, "observation target") != nullptr);
}

void commands_that_do_not_move_find_nothing() {
  Checked bench;
  bench.diary.act = [&](const float*) { return bench.asked++ % 2 == 0 ? 1.0f : 0.8f; };
  bench.change = [](tl_state* state) { state->x[0] = 0.25f; };
  CHECK(bench.run().reason == StopReason::kSteps);
  CHECK(bench.count(kRecordCheck) == 0);
}

void a_check_that_is_off_finds_nothing() {
  Checked bench;
  bench.options.checks.effect = bench.options.checks.still = bench.options.checks.reward = false;
  bench.change = [](tl_state* state) {
    state->x[0] = 0.25f;
    state->reward = NAN;
  };
  CHECK(bench.run().reason == StopReason::kSteps);
}

void a_reward_that_is_never_finite_stops() {
  Checked bench;
  uint64_t seen = 0;
  bench.change = [&](tl_state* state) {
    if (++seen % 30 != 0 || seen > 300) state->reward = NAN;  // one in thirty is finite, then none
  };
  const LoopResult result = bench.run();
  CHECK(result.reason == StopReason::kReward && result.confirmed);
  CHECK(strstr(result.message, "the reward has not been finite") != nullptr);
  CHECK(result.steps >= 300 && result.steps <= 302 + kStop);
}

void arming_is_refused_with_a_reason() {
  struct Case {
    const char* said;
    bool pose;
    float theta;
  };
  for (const Case& each : {Case{"theta is not finite", false, NAN}, Case{"(limits)", true, 3.0f},
                           Case{"(start region)", true, 0.5f}, Case{"", false, 3.0f}, Case{"", true, 0.1f}}) {
    Checked bench;
    bench.options.tick = TickSource::kDevice;
    bench.options.steps = 20;
    bench.options.arming.checked = true;
    bench.options.arming.pose = each.pose;
    bench.options.arming.high[0] = 2;
    bench.options.start.checked = each.pose;
    bench.options.start.high[0] = 0.2f;
    bench.change = [&](tl_state* state) {
      if (state->state != TL_STATE_ARMED) state->x[0] = each.theta;
      if (state->state == TL_STATE_ARMED) state->x[0] = 0.1f * static_cast<float>(state->last_cmd_seq % 2);
    };
    const LoopResult result = bench.run();
    if (*each.said == 0) {
      CHECK(result.reason == StopReason::kSteps);
      continue;
    }
    CHECK(result.reason == StopReason::kNotReady && result.steps == 0);
    CHECK(strstr(result.message, each.said) != nullptr && strstr(result.message, "`rtu-edge monitor`") != nullptr);
    CHECK(bench.device.bridge.session == 0 && bench.device.bridge.counters[TL_COUNTER_ACCEPTED] == 0);
  }
}

void a_failed_check_refuses_until_it_is_cleared() {
  Checked bench;
  bench.options.arming.checked = true;
  bench.change = [](tl_state* state) { state->x[0] = 0.25f; };
  CHECK(bench.run().reason == StopReason::kCheck);
  bench.change = nullptr;
  bench.options.session = bench.link.next_session();
  const LoopResult refused = bench.run();
  CHECK(refused.reason == StopReason::kNotReady && strstr(refused.message, "actuator voltage") != nullptr);
  CHECK(bench.link.clear_fault(kNsPerS) == link::LinkStatus::kOk);
  CHECK(bench.run().reason == StopReason::kSteps);
}

// A controller that brings theta to 0.
Policy homing(const float* gain) {
  Policy policy;
  policy.self = const_cast<float*>(gain);
  policy.observation_size = 2;
  policy.action_size = 1;
  policy.predict = [](void* self, const float* x, int, float* action) noexcept {
    *action = -*static_cast<const float*>(self) * x[0];
    return 0;
  };
  return policy;
}

void homing_brings_the_plant_to_its_start() {
  for (const TickSource tick : {TickSource::kLockstep, TickSource::kDevice}) {
    const float gain = 0.5f;
    Checked bench;
    bench.options.tick = tick;
    bench.options.steps = 2500;
    bench.options.start.checked = true;
    bench.options.start.low[0] = -0.2f;
    bench.options.start.high[0] = 0.2f;
    bench.options.start.homing = homing(&gain);
    bench.options.start.share = 0.1f;
    bench.options.start.settle_steps = 5;
    bench.options.start.timeout_steps = 500;
    Loop loop(bench.link, bench.device.clock.clock(), bench.diary.policy(), bench.hello, bench.options);
    loop.run();
    CHECK(loop.result().reason == StopReason::kSteps && loop.result().steps == 2500);
    CHECK(loop.counters().homings.get() >= 2 && loop.counters().homing_steps.get() > 10);
    CHECK(loop.counters().learned.get() <= 2500);
    bool homed = false;
    for (const RecordHead& head : Bench::take(loop)) {
      const bool homes = (head.flags & kRecordHoming) != 0;
      if (homes) CHECK((head.calls & ~uint32_t{kCallLimiter}) == 0 && (head.flags & kRecordLearned) == 0);
      if (homed && !homes) CHECK((head.flags & kRecordFirst) != 0 && (head.calls & kCallBegin) != 0);
      homed = homes;
    }
    // The policy begins each episode after it, and never in it.
    CHECK(bench.diary.calls.rfind("bp", 0) == 0);
  }
}

void homing_that_does_not_arrive_stops() {
  const float gain = -0.5f;
  Checked bench;
  bench.options.start.checked = true;
  bench.options.start.low[0] = -0.001f;
  bench.options.start.high[0] = 0.001f;
  bench.options.start.homing = homing(&gain);
  bench.options.start.settle_steps = 1000;
  bench.options.start.timeout_steps = 60;
  const LoopResult result = bench.run();
  CHECK(result.reason == StopReason::kHoming && result.confirmed && result.steps == 0);
  CHECK(bench.diary.calls.empty() && bench.device.bridge.counters[TL_COUNTER_ACCEPTED] == 60);

  Checked without;
  without.options.start.checked = true;
  without.options.start.low[0] = 50;
  const LoopResult refused = without.run();
  CHECK(refused.reason == StopReason::kNotReady && strstr(refused.message, "theta = ") != nullptr);
  CHECK(without.device.bridge.counters[TL_COUNTER_ACCEPTED] == 0);
}

}  // namespace

int main() {
  a_healthy_plant_has_no_finding();
  an_actuator_without_effect_is_found();
  an_observation_that_stands_still_is_found();
  commands_that_do_not_move_find_nothing();
  a_check_that_is_off_finds_nothing();
  a_reward_that_is_never_finite_stops();
  arming_is_refused_with_a_reason();
  a_failed_check_refuses_until_it_is_cleared();
  homing_brings_the_plant_to_its_start();
  homing_that_does_not_arrive_stops();
  return 0;
}
