// Reconnect: a lost device that comes back in time continues in a new session, if boot, data sheet and pose are the
// same; nothing is learned from the gap. Otherwise the run ends as without reconnect.
//
// hazard: reconnect-unchecked reconnect-learns
#include "loop_bench.h"

using namespace rtu::runtime;
using namespace rtu::runtime::record;
using namespace rtu::runtime::link;
using namespace rtu::runtime::loop;

namespace {

constexpr int kBefore = 30;  // updates before the loss

// A bench whose port is gone from one step on, for a time; what: the change meanwhile.
struct Unplugged : Bench {
  int64_t back_ns = 0;
  int64_t away_ns;
  int drops = 0;
  int drops_wanted;
  std::function<void()> meanwhile = [] {};

  explicit Unplugged(double away_s, TickSource tick = TickSource::kDevice, int wanted = 1,
                     const char* plant = "cartpole")
      : Bench(plant), away_ns(static_cast<int64_t>(away_s * 1e9)), drops_wanted(wanted) {
    options.tick = tick;
    options.steps = static_cast<uint64_t>(kBefore * (wanted + 2));
    options.reconnect_ns = 2 * kNsPerS;
    options.reopen = {this, [](void* self) noexcept { return static_cast<Unplugged*>(self)->is_open(); }};
    diary.on_update = [this] {
      if (drops < drops_wanted && static_cast<int>(diary.rewards.size()) >= kBefore * (drops + 1)) unplug();
    };
  }
  void unplug() {
    ++drops;
    device.gone = true;
    device.to_host.clear();
    back_ns = device.clock.t_ns + away_ns;
    diary.note('-');
  }
  bool is_open() {
    if (device.clock.t_ns < back_ns) return false;
    if (device.gone) meanwhile();
    device.gone = false;
    return true;
  }
};

size_t count_of(const std::string& calls, char c) {
  return static_cast<size_t>(std::count(calls.begin(), calls.end(), c));
}

void a_lost_device_continues_in_a_new_session() {
  for (const TickSource tick : {TickSource::kDevice, TickSource::kHost, TickSource::kLockstep}) {
    Unplugged bench(0.2, tick);
    uint32_t sessions = 0, disarms = 0;
    bench.device.seen = [&](const tl_frame& frame) {
      sessions += frame.type == TL_TYPE_ARM;
      disarms += frame.type == TL_TYPE_DISARM && sessions == 1;
    };
    const LoopResult result = bench.run();
    CHECK(result.reason == StopReason::kSteps && result.confirmed);
    CHECK(sessions == 2 && disarms == 1 && bench.device.bridge.last_session == 2);
    CHECK(bench.link.board.counters.reconnects.get() == 1 && result.steps == bench.options.steps);
    // The episode is cut: after the loss comes begin, and its first update has no transition.
    const size_t cut = bench.diary.calls.find('-');
    CHECK(bench.diary.calls.compare(cut, 4, "-bpl") == 0);
    int marked = 0;
    for (size_t i = 0; i < bench.records.size(); ++i) {
      if ((bench.records[i].flags & kRecordReconnected) == 0) continue;
      ++marked;
      CHECK((bench.records[i].flags & kRecordFirst) != 0 && (bench.records[i].calls & kCallBegin) != 0);
      CHECK((bench.records[i].flags & kRecordLearned) == 0 && (bench.records[i].calls & kCallContinued) == 0);
      CHECK(bench.records[i].sequence == bench.records[i - 1].sequence + 1);
      CHECK(bench.records[i].t_ns - bench.records[i - 1].t_ns >= bench.away_ns);
    }
    CHECK(marked == 1 && bench.counters.skipped == 0 && bench.counters.missed == 0);
  }
}

// Without RESET the plant continues where it is; for the learner an episode begins.
void a_continuing_plant_starts_an_episode() {
  Unplugged bench(0.2, TickSource::kDevice, 1, "servo");
  bench.device.config.caps &= static_cast<uint16_t>(~TL_CAP_RESET);
  bench.link.discard_input();
  bench.device.restart(1);
  CHECK(bench.link.hello(kNsPerS, &bench.hello) == LinkStatus::kOk);
  CHECK(bench.run().reason == StopReason::kSteps);
  const size_t cut = bench.diary.calls.find('-');
  CHECK(bench.diary.calls.compare(cut, 4, "-bpl") == 0);
}

void off_by_default() {
  Unplugged bench(0.2);
  bench.options.reconnect_ns = 0;
  CHECK(bench.run().reason == StopReason::kLinkLost && bench.device.bridge.last_session == 1);
  Unplugged dry(0.2);
  dry.options.dry_run = true;
  CHECK(dry.run().reason == StopReason::kLinkLost && dry.device.bridge.last_session == 0);
}

void too_late_is_a_lost_link() {
  Unplugged bench(3.0);
  const LoopResult result = bench.run();
  CHECK(result.reason == StopReason::kLinkLost && !result.confirmed && bench.device.bridge.last_session == 1);
  CHECK(strcmp(result.message, "the port is gone: not back within 2 s") == 0);
  CHECK(bench.device.clock.t_ns < bench.back_ns);
}

// The time counts from the last step: a device that arms and never drives does not prolong it.
void a_session_without_a_step_does_not_prolong_the_wait() {
  Unplugged bench(0.1);
  int episodes = 0;
  bench.device.seen = [&](const tl_frame& frame) {
    if (frame.type != TL_TYPE_RESET || bench.drops == 0) return;
    ++episodes;
    bench.device.gone = true;
    bench.back_ns = bench.device.clock.t_ns + bench.away_ns;
  };
  const LoopResult result = bench.run();
  CHECK(result.reason == StopReason::kLinkLost && episodes > 5 && episodes < 30);
  CHECK(bench.link.board.counters.reconnects.get() == static_cast<uint64_t>(episodes));
  CHECK(result.steps >= kBefore && result.steps <= kBefore + 1);
}

void another_boot_or_data_sheet_is_not_armed() {
  for (int what = 0; what < 2; ++what) {
    Unplugged bench(0.2);
    bench.meanwhile = [&] {
      if (what == 1) bench.device.config.ttl_max_ms = 100;
      bench.device.restart(what == 0 ? 2 : 1);
    };
    int arms = 0;
    bench.device.seen = [&](const tl_frame& frame) { arms += frame.type == TL_TYPE_ARM || frame.type == TL_TYPE_CMD; };
    bench.diary.on_update = [&, drop = bench.diary.on_update] {
      drop();
      if (bench.drops == 1) arms = 0;
    };
    const LoopResult result = bench.run();
    CHECK(result.reason == StopReason::kDeviceRestart && arms == 0 && bench.device.bridge.state == TL_STATE_DISARMED);
  }
}

void another_pose_is_not_armed() {
  for (int what = 0; what < 3; ++what) {
    float pose[] = {INFINITY, INFINITY};
    Unplugged bench(0.5);
    bench.options.pose = pose;
    if (what == 0) pose[1] = 1e-3f;  // the pole has fallen further meanwhile
    if (what == 1) pose[1] = 1e3f;
    if (what == 2)
      bench.meanwhile = [&] {
        bench.device.lie = [&](tl_frame* frame) {
          tl_state state;
          if (!tl_state_unpack(frame, &state)) return;
          state.x[0] = NAN;
          tl_state_pack(&state, frame);
        };
      };
    const LoopResult result = bench.run();
    CHECK(result.reason == (what == 1 ? StopReason::kSteps : StopReason::kArmRefused) && result.confirmed);
    CHECK(bench.device.bridge.last_session == (what == 1 ? 2u : 1u));
    if (what == 0) CHECK(strncmp(result.message, "observation[1] is ", 18) == 0);
  }
}

void an_emergency_stop_in_the_gap_is_one() {
  for (int what = 0; what < 3; ++what) {
    Unplugged bench(0.5);
    Loop* running = nullptr;
    bench.meanwhile = [&] {
      tl_frame frame{};
      uint8_t bytes[TL_WIRE_MAX];
      tl_empty_pack(TL_TYPE_ESTOP, &frame);
      if (what == 0)
        tl_bridge_receive(&bench.device.bridge, bytes, tl_frame_encode(&frame, bytes), bench.device.now_us());
      if (what == 1) running->request_estop();
      if (what == 2) running->request_stop();
    };
    Loop loop(bench.link, bench.device.clock.clock(), bench.diary.policy(), bench.hello, bench.options);
    running = &loop;
    loop.run();
    const StopReason expected[] = {StopReason::kDeviceFault, StopReason::kEstop, StopReason::kRequest};
    CHECK(loop.result().reason == expected[what] && bench.device.bridge.last_session == 1);
    CHECK(bench.device.bridge.state == (what < 2 ? TL_STATE_ESTOP : TL_STATE_SAFE));
  }
}

// The device may still be armed by the lost session: it is disarmed first, and a late command of that session is
// refused.
void nothing_is_accepted_between() {
  Unplugged bench(0.02);
  bench.options.ttl_ms = 200;
  uint8_t old[TL_WIRE_MAX];
  size_t old_bytes = 0;
  uint32_t accepted = 0;
  bool armed = false;
  bench.meanwhile = [&] {
    armed = bench.device.bridge.state == TL_STATE_ARMED;
    accepted = bench.device.bridge.counters[TL_COUNTER_ACCEPTED];
  };
  bench.device.seen = [&](const tl_frame& frame) {
    if (frame.type == TL_TYPE_CMD && bench.drops == 0) old_bytes = tl_frame_encode(&frame, old);
    if (frame.type != TL_TYPE_ARM || bench.drops == 0) return;
    tl_bridge_receive(&bench.device.bridge, old, old_bytes, bench.device.now_us());
    CHECK(bench.device.bridge.counters[TL_COUNTER_ACCEPTED] == accepted);
  };
  CHECK(bench.run().reason == StopReason::kSteps && armed);
}

// A line that only stalls: the port stays open, and the device goes safe.
void a_stalled_line_continues() {
  for (int what = 0; what < 2; ++what) {
    Bench bench;
    int64_t until_ns = 0;
    bench.options.tick = TickSource::kDevice;
    bench.options.steps = 100;
    bench.options.reconnect_ns = 3 * kNsPerS;
    bench.device.up = bench.device.down = [&] { return bench.device.clock.t_ns < until_ns ? 0 : 1; };
    if (what == 1) bench.device.down = [] { return 1; };
    bench.diary.on_update = [&] {
      if (bench.diary.rewards.size() == kBefore) until_ns = bench.device.clock.t_ns + kNsPerS / 2;
    };
    CHECK(bench.run().reason == StopReason::kSteps && bench.device.bridge.last_session == 2);
  }
}

void many_losses_and_a_limit() {
  Unplugged bench(0.2, TickSource::kDevice, 100);
  bench.options.ring_records = 16384;
  const LoopResult result = bench.run();
  CHECK(result.reason == StopReason::kSteps && bench.link.board.counters.reconnects.get() == 100);
  CHECK(bench.device.bridge.last_session == 101 && count_of(bench.diary.calls, '-') == 100);

  Unplugged limited(0.2, TickSource::kDevice, 5);
  limited.options.max_reconnects = 3;
  CHECK(limited.run().reason == StopReason::kLinkLost && limited.device.bridge.last_session == 4);
}

}  // namespace

int main() {
  a_lost_device_continues_in_a_new_session();
  a_continuing_plant_starts_an_episode();
  off_by_default();
  too_late_is_a_lost_link();
  a_session_without_a_step_does_not_prolong_the_wait();
  another_boot_or_data_sheet_is_not_armed();
  another_pose_is_not_armed();
  an_emergency_stop_in_the_gap_is_one();
  nothing_is_accepted_between();
  a_stalled_line_continues();
  many_losses_and_a_limit();
  return 0;
}
