// For any bit pattern from a policy, the limiter's output is finite, in range, and within the slew and acceleration
// limits. hazard: command-out-of-limits
#include <math.h>

#include "native/runtime/loop/reward.h"
#include "native/runtime/safety/command_limiter.h"
#include "random_bits.h"
#include "sim_device.h"

using namespace rtu::runtime;
using namespace rtu::runtime::safety;
using namespace rtu::runtime::loop;

namespace {

uint64_t state = 1;

uint32_t random_word() { return static_cast<uint32_t>(random_bits(&state) >> 32); }

float any_float() {
  static const uint32_t kSpecial[] = {0x7F800000u, 0xFF800000u, 0x7FC00000u, 0xFFC00000u, 0x7F800001u, 0x7F7FFFFFu,
                                      0xFF7FFFFFu, 0x00000001u, 0x80000001u, 0x80000000u, 0x7E967699u, 0x3F800000u};
  const uint32_t bits = random_word() % 4 == 0 ? kSpecial[random_word() % 12] : random_word();
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

void any_action_comes_out_safe() {
  for (int round = 0; round < 10000; ++round) {
    CommandLimiter gate;
    gate.m = 1 + static_cast<int>(random_word() % 6);
    float start[kMaxActuators];
    for (int i = 0; i < gate.m; ++i) {
      const float low = static_cast<float>(static_cast<int>(random_word() % 2000) - 1000) * 0.1f;
      const float high = low + 0.01f + static_cast<float>(random_word() % 1000) * 0.1f;
      gate.limits[i] = {low, high, random_word() % 2 ? static_cast<float>(1 + random_word() % 100) * 0.05f : kNoLimit,
                        low, random_word() % 2 ? 1e-4f * static_cast<float>(1 + random_word() % 20000) : kNoLimit};
      CHECK(problem_of(gate.limits[i]) == nullptr);
      start[i] = any_float();
    }
    gate.start(start);
    for (int step = 0; step < 100; ++step) {
      float last[kMaxActuators];
      float change[kMaxActuators];
      memcpy(last, gate.last, sizeof last);
      memcpy(change, gate.change, sizeof change);
      float action[kMaxActuators];
      float u[kMaxActuators];
      for (int i = 0; i < gate.m; ++i) action[i] = any_float();
      map_action(gate.limits, gate.m, 0, action, u);
      const uint32_t flags = gate.apply(u);
      for (int i = 0; i < gate.m; ++i) {
        const ActuatorLimits& l = gate.limits[i];
        CHECK(isfinite(u[i]));
        CHECK(u[i] >= l.low && u[i] <= l.high);
        CHECK(u[i] >= last[i] - l.slew_per_tick && u[i] <= last[i] + l.slew_per_tick);
        // The rounding of two differences of floats that lie in the range.
        const float rounding = 1e-6f * fmaxf(fabsf(l.low), fabsf(l.high));
        CHECK(fabsf((u[i] - last[i]) - change[i]) <= l.accel_per_tick2 + rounding);
        if (!isfinite(action[i])) CHECK((flags & kLimiterNonFinite) != 0);
      }
    }
  }
}

void raw_values_are_gated_too() {
  CommandLimiter gate;
  gate.m = 1;
  gate.limits[0] = {-10, 10, 2, 0};
  const float zero = 0;
  gate.start(&zero);
  float u = 1e38f;
  CHECK(gate.apply(&u) == (kLimiterRange | kLimiterSlew) && u == 2);
  u = NAN;
  CHECK(gate.apply(&u) == kLimiterNonFinite && u == 2);
  u = 3;
  CHECK(gate.apply(&u) == 0 && u == 3);
}

// From rest to the end of the range: accelerates by the limit each step, then decelerates, and stops at the end.
void acceleration_lets_it_stop_at_the_end_of_the_range() {
  CommandLimiter gate;
  gate.m = 1;
  gate.limits[0] = {0, 16, kNoLimit, 0, 1};
  const float zero = 0;
  gate.start(&zero);
  const float expected[] = {1, 3, 6, 10, 13, 15, 16, 16};
  for (float at : expected) {
    float u = 1e9f;
    CHECK((gate.apply(&u) & kLimiterRange) != 0 && fabsf(u - at) < 1e-4f);
  }
  // Reversed at full speed it cannot stop at once, but does not leave the range.
  gate.start(&zero);
  float u = 0;
  for (int i = 0; i < 4; ++i) {
    u = 16;
    (void)gate.apply(&u);
  }
  u = 0;
  CHECK(gate.apply(&u) == kLimiterAccel && fabsf(u - 13) < 1e-4f);
}

// Any number is either an enforceable limit or refused. Only inf means no limit.
void what_is_no_limit_is_refused() {
  const float inf = kNoLimit, tiny = 1e-44f, spacing = nextafterf(10, 11) - 10;
  CHECK(problem_of({-10, 10}) == nullptr && problem_of({-10, 10, spacing, 0, spacing}) == nullptr);
  const ActuatorLimits bad[] = {
      {-10, 10, 0},
      {-10, 10, -1},
      {-10, 10, NAN},
      {-10, 10, tiny},
      {-10, 10, spacing / 2},
      {-10, 10, -inf},
      {-10, 10, 1, NAN},
      {-10, 10, 1, 11},
      {-10, 10, 1, 0, 0},
      {-10, 10, 1, 0, NAN},
      {-10, 10, 1, 0, -1},
      {-10, 10, 1, 0, tiny},
      {10, -10},
      {10, 10, 1, 10},
      {NAN, 10},
      {-10, NAN},
      {-inf, 10},
      {-10, inf},
      {-3e38f, 3e38f},
      {0, 1e-44f},
  };
  for (const ActuatorLimits& limits : bad) CHECK(problem_of(limits) != nullptr);
  // Accepted limits are effective: no change is lost to rounding, at either end.
  for (int round = 0; round < 100000; ++round) {
    const ActuatorLimits l{any_float(), any_float(), any_float(), 0, any_float()};
    if (problem_of(l) != nullptr) continue;
    CHECK(l.low < l.high && l.slew_per_tick > 0 && l.accel_per_tick2 > 0 && isfinite(l.high - l.low));
    CHECK(l.high - l.slew_per_tick < l.high && l.low + l.slew_per_tick > l.low);
  }
}

void mapping_there_and_back() {
  const ActuatorLimits limits[2] = {{-10, 10}, {0, 5}};
  const float action[2] = {0.5f, -1.5f};
  float u[2];
  CHECK(map_action(limits, 2, 0, action, u) == kLimiterClipped);
  CHECK(u[0] == 5 && u[1] == 0);
  float back[2];
  unmap_action(limits, 2, 0, u, back);
  CHECK(fabsf(back[0] - 0.5f) < 1e-6f && back[1] == -1);
  CHECK(!overridden(limits, 2, u, u));
  const float nudged[2] = {5.0009f, 0};
  CHECK(!overridden(limits, 2, u, nudged));
  const float moved[2] = {5.0011f, 0};
  CHECK(overridden(limits, 2, u, moved));
  const float broken[2] = {NAN, 0};
  CHECK(overridden(limits, 2, u, broken));
}

void levels_are_spaced_evenly() {
  const ActuatorLimits limits[1] = {{-10, 10}};
  const float expected2[] = {-10, 10};
  const float expected5[] = {-10, -5, 0, 5, 10};
  for (int n : {2, 5}) {
    for (int k = 0; k < n; ++k) {
      const float index = static_cast<float>(k);
      float u = 99;
      CHECK(map_action(limits, 1, n, &index, &u) == 0);
      CHECK(fabsf(u - (n == 2 ? expected2[k] : expected5[k])) < 1e-5f);
      float back = -1;
      unmap_action(limits, 1, n, &u, &back);
      CHECK(back == index);
    }
  }
}

void reward_forms() {
  Reward r;
  CHECK(r.evaluate(1.5f, nullptr, 0, nullptr, 0) == 1.5f);
  r.kind = RewardKind::kForm;
  r.bias = 1;
  r.quadratic[0] = -2;
  r.cosine[1] = 3;
  r.action[0] = -0.5f;
  const float x[2] = {2, 0.5f};
  const float u[1] = {4};
  const double expected = 1 - 2 * 4.0 + 3 * cos(0.5) - 0.5 * 16;
  CHECK(fabs(static_cast<double>(r.evaluate(99, x, 2, u, 1)) - expected) < 1e-6);
  r.target[0] = 5;
  r.target[1] = -0.25f;
  const double aimed = 1 - 2 * 9.0 + 3 * cos(0.75) - 0.5 * 16;
  CHECK(fabs(static_cast<double>(r.evaluate(99, x, 2, u, 1)) - aimed) < 1e-6);
}

}  // namespace

int main() {
  any_action_comes_out_safe();
  raw_values_are_gated_too();
  acceleration_lets_it_stop_at_the_end_of_the_range();
  what_is_no_limit_is_refused();
  mapping_there_and_back();
  levels_are_spaced_evenly();
  reward_forms();
  return 0;
}
