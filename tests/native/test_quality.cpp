// Link quality: the fit of the two clocks against known clocks, and the loss counters against the frames removed from
// the line.
#include "native/runtime/link/quality.h"

#include <cmath>
#include <memory>

#include "firmware_bridge/protocol/learner.h"
#include "native/runtime/loop/loop.h"
#include "native/testing/linear_policy.h"
#include "sim_device.h"

using namespace rtu::runtime;
using namespace rtu::runtime::record;
using namespace rtu::runtime::link;
using namespace rtu::runtime::safety;
using namespace rtu::runtime::loop;

namespace {

struct Random {
  uint32_t state = 12345;
  double uniform() {
    state = state * 1664525u + 1013904223u;
    return (state >> 8) / 16777216.0;
  }
  double exponential(double mean) { return -mean * std::log(1.0 - uniform()); }
};

// Two clocks and a line between them, all in ns.
struct Line {
  double drift_ppm = 0;
  double offset_us = 0;    // of the device's clock, at host time 0
  double least_us = 200;   // each way
  double jitter_us = 100;  // mean of the additional delay, each way
  double lost = 0;
  bool wide = true;  // the device's clock has 64 bits
  Random random;

  uint64_t device_us(double host_us) const {
    const double t = host_us * (1 + drift_ppm * 1e-6) + offset_us;
    const auto whole = static_cast<uint64_t>(t);
    return wide ? whole : whole & 0xFFFFFFFFu;
  }

  // One exchange that leaves at t0_us; false when it is lost.
  bool exchange(ClockFit* fit, double t0_us, double extra_us = 0) {
    const double up = least_us + random.exponential(jitter_us);
    const double down = least_us + random.exponential(jitter_us) + extra_us;
    const double held = 30;
    if (random.uniform() < lost) return false;
    const auto t3_us = t0_us + up + held + down;
    return fit->add(static_cast<int64_t>(t0_us * 1e3), device_us(t0_us + up), device_us(t0_us + up + held),
                    static_cast<int64_t>(t3_us * 1e3)) >= 0;
  }
};

double true_offset_us(const Line& line, double host_us) { return host_us * line.drift_ppm * 1e-6 + line.offset_us; }

void finds_offset_and_drift_through_jitter_and_loss() {
  for (double drift_ppm : {0.0, 37.0, -120.0}) {
    Line line;
    line.drift_ppm = drift_ppm;
    line.offset_us = 5e9;
    line.lost = 0.2;
    ClockFit fit;
    double t_us = 1e9;
    for (int i = 0; i < 50 * 40; ++i, t_us += 20000) {
      line.exchange(&fit, t_us);
      const auto now = static_cast<int64_t>(t_us * 1e3);
      if (fit.due(now)) fit.fit(now);
    }
    // The best of 40 exchanges a second waits some 100 us / sqrt(40) = 16 us; half the difference of the two ways is
    // 10.
    const auto now = static_cast<int64_t>(t_us * 1e3);
    // Unwrapped from 32 bits, so whole turns are ambiguous.
    const double error_us =
        static_cast<double>(static_cast<int32_t>(fit.device_us(now) - static_cast<uint32_t>(line.device_us(t_us))));
    CHECK(fit.known() && fit.drift_known());
    CHECK(std::fabs(error_us) < 20);
    CHECK(std::fabs(fit.drift_ppm() - drift_ppm) < 2);  // 20 us over 32 s is 0.6
    CHECK(fit.round_trip_min_ns() >= 400000 && fit.round_trip_min_ns() < 440000);
    // There and back.
    const int64_t then = now - 40 * kNsPerMs;
    CHECK(std::llabs(fit.host_ns(fit.device_us(then), now) - then) < 2000);
  }
}

void a_quarter_of_nonsense_moves_nothing() {
  Line line;
  line.drift_ppm = 25;
  line.offset_us = 1e6;
  ClockFit fit;
  double t_us = 0;
  for (int second = 0; second < 32; ++second) {
    // In every fourth second the return path is 30 ms slower.
    for (int i = 0; i < 50; ++i, t_us += 20000) line.exchange(&fit, t_us, second % 4 == 3 ? 30000 : 0);
  }
  const auto now = static_cast<int64_t>(t_us * 1e3);
  fit.fit(now);
  CHECK(std::fabs(fit.drift_ppm() - 25) < 2);
  CHECK(std::fabs(static_cast<double>(fit.offset_ns(now)) * 1e-3 - true_offset_us(line, t_us)) < 20);
}

void follows_through_a_wrap() {
  Line line;
  line.drift_ppm = -60;
  line.offset_us = 4294967296.0 - 10e6;  // wraps after 10 s
  line.wide = false;
  ClockFit fit;
  double t_us = 0;
  for (int i = 0; i < 50 * 11; ++i, t_us += 20000) line.exchange(&fit, t_us);
  const auto now = static_cast<int64_t>(t_us * 1e3);
  fit.fit(now);
  CHECK(fit.drift_known());                    // no restart
  CHECK(std::fabs(fit.drift_ppm() + 60) < 6);  // 20 us over 11 s is 2
  const auto error = static_cast<int32_t>(fit.device_us(now) - static_cast<uint32_t>(line.device_us(t_us)));
  CHECK(std::abs(error) < 20);
}

void begins_again_after_a_jump() {
  Line line;
  line.offset_us = 9e6;
  ClockFit fit;
  double t_us = 0;
  for (int i = 0; i < 50 * 5; ++i, t_us += 20000) line.exchange(&fit, t_us);
  fit.fit(static_cast<int64_t>(t_us * 1e3));
  line.offset_us = 1000 - t_us;  // restarted: its clock shows nearly nothing
  for (int i = 0; i < 50; ++i, t_us += 20000) line.exchange(&fit, t_us);
  const auto now = static_cast<int64_t>(t_us * 1e3);
  CHECK(fit.due(now));
  fit.fit(now);
  CHECK(!fit.drift_known());  // a second is not enough
  CHECK(std::abs(static_cast<int32_t>(fit.device_us(now) - static_cast<uint32_t>(line.device_us(t_us)))) < 40);
}

void refuses_what_cannot_be() {
  ClockFit fit;
  CHECK(fit.add(2000000, 100, 110, 1000000) < 0);   // arrived before it left
  CHECK(fit.add(1000000, 100, 90, 2000000) < 0);    // left the device before it came
  CHECK(fit.add(1000000, 100, 5000, 2000000) < 0);  // was at the device longer than the round trip
  CHECK(!fit.due(3000000));
  CHECK(fit.add(1000000, 100, 110, 2000000) == 990000);
}

// ------------------------------------------------------------------ the whole meter, on a loop's line

struct Run {
  SimDevice device{"servo"};
  std::unique_ptr<Link> link;
  rtu::testing::LinearPolicy policy;
  LoopOptions options;
  tl_hello hello;

  Run() {
    link.reset(new Link(device.wire(), device.clock.clock(), 0));
    CHECK(link->hello(kNsPerS, &hello) == LinkStatus::kOk);
    policy.observation_size = hello.observation_size;
    policy.action_size = hello.action_size;
    options.tick = TickSource::kDevice;
    options.limits[0] = {-1, 1};
  }
  const LinkQuality& run(uint64_t steps) {
    options.steps = steps;
    options.session = link->last_session + 1;
    Loop loop(*link, device.clock.clock(), policy.policy(), hello, options);
    loop.run();
    CHECK(loop.result().reason == StopReason::kSteps);
    return link->meter.quality;
  }
};

void a_clean_line_loses_nothing() {
  Run run;
  const LinkQuality& q = run.run(1500);
  CHECK(q.pings.get() > 300 && q.pongs.get() >= q.pings.get() - 1);
  CHECK(q.lost_in.get() == 0 && q.lost_out.get() == 0 && q.repeated_in.get() == 0);
  CHECK(q.device[TL_COUNTER_CRC_ERRORS].get() == 0 && q.device[TL_COUNTER_ACCEPTED].get() > 1000);
  // One clock for both ends, and no time on the line.
  CHECK(std::fabs(q.drift_ppm.get()) < 0.1 && std::fabs(q.offset_us.get()) <= 1 && q.round_trip_us.get() <= 1);
  CHECK(q.state_delay_us.get() <= 1);
  // A command answers a STATE at once and is reported by the next one, a period later.
  CHECK(q.command_age_us.get() == run.hello.period_us);
  CHECK(q.frames_in_per_s.get() > 0 && q.bytes_out_per_s.get() > 0);
}

void the_least_round_trip_is_never_above_the_last() {
  LinkMeter meter;
  const LinkCounters counters;
  uint64_t t_us = 1000000;
  const auto answer = [&](uint64_t round_trip_us) {
    const tl_pong pong{t_us, static_cast<uint32_t>(t_us), static_cast<uint32_t>(t_us)};
    tl_frame frame{};
    tl_pong_pack(&pong, &frame);
    frame.seq = static_cast<uint16_t>(t_us / 20000);
    meter.received(frame, static_cast<int64_t>(t_us + round_trip_us) * kNsPerUs);
    t_us += 20000;
  };
  for (int i = 0; i < 200; ++i) {
    answer(500);
    meter.update_estimates(static_cast<int64_t>(t_us) * kNsPerUs, counters);
  }
  CHECK(meter.quality.round_trip_min_us.get() == 500);
  answer(300);  // the next fit is still to come
  CHECK(meter.quality.round_trip_us.get() == 300 && meter.quality.round_trip_min_us.get() == 300);
}

void counts_what_the_line_loses() {
  Run run;
  uint64_t down = 0;
  uint64_t up = 0;
  uint64_t lost_down = 0;
  uint64_t lost_up = 0;
  uint64_t twice = 0;
  bool clean = false;
  run.device.down = [&] {
    ++down;
    if (clean || down < 300) return 1;
    if (down % 50 == 0) return ++lost_down, 0;
    if (down % 71 == 0) return ++twice, 2;
    return 1;
  };
  run.device.up = [&] {
    if (clean || ++up < 300 || up % 40 != 0) return 1;
    return ++lost_up, 0;
  };
  const LinkQuality& q = run.run(2000);
  clean = true;
  run.run(200);  // its first requests cover the last frames
  CHECK(lost_down > 20 && lost_up > 20 && twice > 10);
  CHECK(q.lost_in.get() == lost_down);
  CHECK(q.repeated_in.get() == twice);
  CHECK(q.lost_out.get() == lost_up);
}

// Its frames are interleaved with the bridge's and numbered separately.
void a_learner_on_the_board_is_no_loss() {
  Run run;
  uint64_t down = 0;
  uint16_t seq = 0;
  run.device.down = [&] {
    if (++down % 10 != 0) return 1;
    tl_frame frame{};
    frame.type = TL_TYPE_LEARNER;
    frame.size = TL_LEARNER_HEAD;
    frame.seq = seq++;
    uint8_t bytes[TL_WIRE_MAX];
    const size_t n = tl_frame_encode(&frame, bytes);
    run.device.to_host.insert(run.device.to_host.end(), bytes, bytes + n);
    return 1;
  };
  const LinkQuality& q = run.run(500);
  CHECK(seq > 50);
  CHECK(q.lost_in.get() == 0 && q.repeated_in.get() == 0);
}

void lockstep_asks_nothing() {
  Run run;
  run.options.tick = TickSource::kLockstep;
  const LinkQuality& q = run.run(500);
  CHECK(q.pings.get() == 0 && std::isnan(q.offset_us.get()) && std::isnan(q.state_delay_us.get()));
  CHECK(q.command_age_us.get() == run.hello.period_us && q.lost_in.get() == 0);
}

}  // namespace

int main() {
  finds_offset_and_drift_through_jitter_and_loss();
  a_quarter_of_nonsense_moves_nothing();
  follows_through_a_wrap();
  begins_again_after_a_jump();
  refuses_what_cannot_be();
  a_clean_line_loses_nothing();
  the_least_round_trip_is_never_above_the_last();
  counts_what_the_line_loses();
  a_learner_on_the_board_is_no_loss();
  lockstep_asks_nothing();
  return 0;
}
