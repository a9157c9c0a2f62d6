// The loop against the firmware's own bridge and plant on a virtual clock: the operations and bytes of a step.
#include <math.h>

#include "loop_bench.h"

using namespace rtu::runtime;
using namespace rtu::runtime::record;
using namespace rtu::runtime::loop;

namespace {

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
  CHECK(bench.device.bridge.state == TL_STATE_DISARMED);
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
  // The received bytes differ in the device's sequence numbers: it acknowledged some RESETs twice.
  CHECK(result.sent_hash == expected.sent_hash);
}

void what_the_limiter_changed_is_carried_out_and_what_the_device_changed_is_not() {
  Bench bench;
  bench.options.limits[0].slew_per_tick = 1;
  bench.options.steps = 4;
  bench.diary.act = [](const float*) { return 1.5f; };  // clipped to 1 by the mapping: that alone is no replacement
  CHECK(bench.run().reason == StopReason::kSteps);
  CHECK(bench.counters.slew == 4 && bench.counters.overridden == 0);
  for (int i = 0; i <= 4; ++i) CHECK(isnan(bench.diary.executed[static_cast<size_t>(i)]));

  Bench broken;  // a value that is no number: the last command in its place is not the policy's choice
  broken.options.limits[0].slew_per_tick = 1;
  broken.options.steps = 3;
  broken.options.max_bad_actions = 10;
  broken.diary.act = [](const float*) { return NAN; };
  CHECK(broken.run().reason == StopReason::kSteps);
  CHECK(broken.counters.overridden == 3 && !isnan(broken.diary.executed[1]));

  Bench own;
  own.options.steps = 4;
  own.diary.act = [](const float*) { return 1.5f; };
  CHECK(own.run().reason == StopReason::kSteps);
  CHECK(own.counters.overridden == 0);

  const float slew = 2;
  Bench device("cartpole", &slew);  // the device's own limit, unknown to the host
  device.options.steps = 3;
  device.diary.act = [](const float*) { return 1.0f; };
  CHECK(device.run().reason == StopReason::kSteps);
  CHECK(device.counters.overridden == 3 && fabsf(device.diary.executed[1] - 0.2f) < 1e-5f);
}

void a_dry_run_writes_nothing() {
  Bench bench;
  bench.options.dry_run = true;
  bench.options.steps = 20;
  const uint64_t before = bench.device.frames_up;
  CHECK(bench.run().reason == StopReason::kSteps);
  CHECK(bench.device.frames_up == before);
  CHECK(bench.counters.steps == 20 && bench.counters.overridden == 20);
  CHECK(bench.device.bridge.state == TL_STATE_DISARMED);
  // The pole falls and stays down: that is one end, and the computed commands are still shown after it.
  bench.options.steps = 0;
  bench.options.duration_ns = 10 * kNsPerS;
  const LoopResult over = bench.run();
  CHECK(over.reason == StopReason::kSeconds && over.confirmed && over.episodes == 1 && over.steps > 400);
  // The same for a device whose episode ended before.
  const LoopResult fallen = bench.run();
  CHECK(fallen.reason == StopReason::kSeconds && fallen.episodes == 0 && fallen.steps > 400);
  CHECK(bench.device.frames_up == before);
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
  what_the_limiter_changed_is_carried_out_and_what_the_device_changed_is_not();
  a_dry_run_writes_nothing();
  frozen_it_only_predicts();
  return 0;
}
