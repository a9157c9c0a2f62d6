// A device with false reports: for any STATE, consecutive commands of a session differ by no more than the slew limit,
// and the record of a step matches the policy's behaviour.
//
// hazard: state-lies
#include <algorithm>

#include "loop_bench.h"
#include "random_bits.h"

using namespace rtu::runtime;
using namespace rtu::runtime::record;
using namespace rtu::runtime::safety;
using namespace rtu::runtime::loop;

namespace {

struct Random {
  uint64_t state;
  uint32_t operator()() { return static_cast<uint32_t>(random_bits(&state) >> 32); }
};

// Output: commands, and the RESETs between them.
struct Sent {
  float u;
  bool rested;
};

std::vector<Sent> watched(Bench* bench) {
  std::vector<Sent> sent;
  bool rested = true;
  bench->device.seen = [&](const tl_frame& frame) {
    tl_cmd command;
    if (frame.type == TL_TYPE_RESET) rested = true;
    if (!tl_cmd_unpack(&frame, &command)) return;
    sent.push_back({command.u[0], rested});
    rested = false;
  };
  (void)bench->run();
  return sent;
}

constexpr float kSlew = 0.5f;

// Between two commands; after a RESET, from a value that the RESET can have left at the actuator.
bool allowed(const Sent& before, const Sent& now, float rest, float safe) {
  const float from = std::min({before.u, now.rested ? rest : before.u, now.rested ? safe : before.u});
  const float to = std::max({before.u, now.rested ? rest : before.u, now.rested ? safe : before.u});
  const float rounding = 1e-5f;  // of u +- slew in float32, ends of +-10
  return now.u >= from - kSlew - rounding && now.u <= to + kSlew + rounding;
}

void no_state_gets_a_command_past_the_limit() {
  size_t commands = 0, resets = 0, continued = 0;
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    Random random{seed};
    Bench bench;
    const uint32_t how = static_cast<uint32_t>(seed);
    bench.options.tick = how % 2 == 0 ? TickSource::kDevice : TickSource::kHost;
    bench.options.steps = 300;
    bench.options.limits[0] = {-10, 10, kSlew, how % 3 == 0 ? 2.0f : 0.0f, how % 5 == 0 ? 0.1f : kNoLimit};
    bench.diary.act = [&](const float*) { return random() % 2 == 0 ? 1.0f : -1.0f; };
    bench.device.lie = [&](tl_frame* frame) {
      tl_state state;
      if (!tl_state_unpack(frame, &state) || state.state != TL_STATE_ARMED) return;
      if (random() % 3 == 0) state.u[0] = static_cast<float>(static_cast<int>(random() % 41) - 20);
      if (random() % 50 == 0) state.u[0] = random() % 2 == 0 ? NAN : 3e38f;
      if ((how & 4) != 0) state.epflags |= TL_EPISODE_FIRST;
      if ((how & 8) != 0) state.episode = static_cast<uint16_t>(state.episode + random() % 3);
      if ((how & 16) != 0 && random() % 40 == 0) state.epflags |= TL_EPISODE_TERMINATED;
      const uint16_t seq = frame->seq;
      const uint32_t t_us = frame->t_us;
      tl_state_pack(&state, frame);
      frame->seq = seq;
      frame->t_us = t_us;
    };
    const std::vector<Sent> sent = watched(&bench);
    for (size_t i = 1; i < sent.size(); ++i) {
      CHECK(allowed(sent[i - 1], sent[i], bench.options.limits[0].rest, 0));
      resets += sent[i].rested;
    }
    commands += sent.size();
    for (const RecordHead& head : bench.records) continued += (head.calls & kCallContinued) != 0;
  }
  CHECK(commands > 10000 && resets > 100 && continued > 1000);
}

// The device's own resets are accepted if plausible: from rest, not from the last command.
void after_a_reset_it_starts_from_rest() {
  Bench bench;
  bench.options.tick = TickSource::kDevice;
  bench.options.limits[0].slew_per_tick = kSlew;
  bench.diary.act = [](const float*) { return 1.0f; };
  size_t resets = 0;
  const std::vector<Sent> sent = watched(&bench);
  for (const Sent& command : sent) {
    if (command.rested) CHECK(command.u == kSlew);
    resets += command.rested;
  }
  CHECK(resets > 5);
}

// The policy receives the applied action and decides whether it equals its choice: the record keeps this decision.
void the_record_says_what_the_policy_did() {
  struct Case {
    float off;        // N of +-10: of the action that the device reports as applied
    bool accepts;     // the policy treats it as its own
    bool told, kept;  // expected: executed given, and step recorded as replaced
  };
  const Case cases[] = {{0, false, false, false},   {4e-4f, false, false, false}, {9e-4f, false, false, false},
                        {2e-3f, false, true, true}, {2e-3f, true, true, false},   {5, true, true, false},
                        {5, false, true, true}};
  for (const Case& c : cases) {
    Bench bench;
    bench.options.steps = 3;
    bench.diary.act = [](const float*) { return 0.1f; };
    bench.diary.accepts = c.accepts;
    bench.device.lie = [&](tl_frame* frame) {
      tl_state state;
      if (!tl_state_unpack(frame, &state) || (state.epflags & TL_EPISODE_FIRST) != 0) return;
      state.u[0] += c.off;
      const uint16_t seq = frame->seq;
      const uint32_t t_us = frame->t_us;
      tl_state_pack(&state, frame);
      frame->seq = seq;
      frame->t_us = t_us;
    };
    CHECK(bench.run().reason == StopReason::kSteps && bench.records.size() == 4);
    CHECK(bench.counters.overridden == (c.kept ? 3u : 0u));
    for (size_t i = 1; i < 4; ++i) {
      CHECK(((bench.records[i].calls & kCallApplied) != 0) == c.told);
      CHECK(((bench.records[i].flags & kRecordOverridden) != 0) == c.kept);
    }
  }
}

}  // namespace

int main() {
  no_state_gets_a_command_past_the_limit();
  after_a_reset_it_starts_from_rest();
  the_record_says_what_the_policy_did();
  return 0;
}
