// The start time of the next step, with injected times.
#include "native/runtime/loop/rules.h"
#include "sim_device.h"

using namespace rtu::runtime;
using namespace rtu::runtime::loop;

namespace {

constexpr int64_t kPeriod = 20 * kNsPerMs;

void a_tick_of_3_2_periods_skips_three_slots() {
  DeadlineRule rule;
  rule.start(0, kPeriod);
  CHECK(rule.next_ns == kPeriod);  // slot 0 of the following
  const int64_t slot0 = rule.next_ns;
  CHECK(rule.finish(slot0 + kPeriod * 32 / 10) == 3);
  CHECK(rule.next_ns == slot0 + 4 * kPeriod);
  CHECK(rule.skipped == 3);
  // No burst: a short tick is followed by the very next slot, not by the skipped ones.
  CHECK(rule.finish(rule.next_ns + kPeriod / 10) == 0);
  CHECK(rule.next_ns == slot0 + 5 * kPeriod);
}

void a_tick_that_ends_on_a_slot_takes_it() {
  DeadlineRule rule;
  rule.start(0, kPeriod);
  const int64_t slot0 = rule.next_ns;
  CHECK(rule.finish(slot0 + kPeriod) == 0);
  CHECK(rule.next_ns == slot0 + kPeriod);
  CHECK(rule.finish(slot0 + kPeriod + kPeriod + 1) == 1);
  CHECK(rule.next_ns == slot0 + 3 * kPeriod);
}

void hours_of_random_ticks_stay_on_the_grid() {
  DeadlineRule rule;
  rule.start(7, kPeriod);
  uint32_t random = 1;
  uint64_t slots = 0;
  for (int i = 0; i < 1000000; ++i) {
    random = random * 1664525u + 1013904223u;
    const int64_t took = static_cast<int64_t>(random >> 8) % (4 * kPeriod);
    const int64_t now = rule.next_ns + took;
    const int64_t before = rule.next_ns;
    const uint64_t skipped = rule.finish(now);
    slots += 1 + skipped;
    CHECK(rule.next_ns >= now && rule.next_ns > before);
    CHECK(rule.next_ns - now < kPeriod);
    CHECK(rule.next_ns == 7 + kPeriod + static_cast<int64_t>(slots) * kPeriod);
  }
}

void the_watchdog_fires_after_one_and_a_half_periods_and_then_each_period() {
  DeviceTickRule rule;
  rule.start(0, kPeriod);
  CHECK(rule.is_new(0xFFFFFFFFu));
  CHECK(rule.on_state(1000, 0xFFFFFFFFu, false) == 0);
  CHECK(!rule.expired(1000 + kPeriod * 3 / 2 - 1));
  CHECK(rule.expired(1000 + kPeriod * 3 / 2));
  CHECK(!rule.expired(1000 + kPeriod * 3 / 2 + kPeriod - 1));
  CHECK(rule.expired(1000 + kPeriod * 3 / 2 + kPeriod));
  CHECK(rule.missed == 2);
}

void device_time_wraps() {
  DeviceTickRule rule;
  rule.start(0, kPeriod);
  rule.on_state(0, 0xFFFFFFFFu - 9999u, false);
  CHECK(rule.is_new(10000));
  CHECK(rule.on_state(kPeriod, 10000, false) == 0);
  CHECK(!rule.is_new(10000));
  CHECK(!rule.is_new(0xFFFFFFFFu - 9999u));
  // 4 periods later: three are missing.
  CHECK(rule.on_state(5 * kPeriod, 90000, false) == 3);
  CHECK(rule.skipped == 3);
}

void the_cost_of_an_update_is_a_high_quantile() {
  CostRule rule;
  CHECK(rule.fits(0) && !rule.fits(-1));
  rule.took(100 * kNsPerUs);
  CHECK(!rule.fits(100 * kNsPerUs - 1) && rule.fits(100 * kNsPerUs));
  // A single interruption of 50 ms has little weight and is forgotten.
  rule.took(50 * kNsPerMs);
  CHECK(rule.fits(108 * kNsPerUs));
  for (int i = 0; i < 1000; ++i) rule.took(80 * kNsPerUs);
  CHECK(rule.fits(87 * kNsPerUs) && !rule.fits(79 * kNsPerUs));
  // A processor at half speed is detected within a dozen updates.
  for (int i = 0; i < 12; ++i) rule.took(160 * kNsPerUs);
  CHECK(!rule.fits(155 * kNsPerUs));
  // From costs that are uniform in 0 to 1 ms, the 99 % quantile.
  uint32_t random = 1;
  uint64_t over = 0;
  for (int i = 0; i < 200000; ++i) {
    random = random * 1664525u + 1013904223u;
    const auto cost = static_cast<int64_t>(random >> 8) * kNsPerMs >> 24;
    over += i >= 100000 && rule.fits(cost);
    rule.took(cost);
  }
  CHECK(over > 700 && over < 1300);
  // Permanently too slow for its period: nearly every update is dropped, about one in a hundred is tried.
  CostRule slow;
  slow.took(30 * kNsPerMs);
  int tried = 0;
  for (int i = 0; i < 10000; ++i) {
    if (slow.fits(kPeriod)) {
      ++tried;
      slow.took(30 * kNsPerMs);
    } else {
      slow.fall();
    }
  }
  CHECK(tried > 50 && tried < 200);
}

void lateness_is_the_delay_above_the_smallest() {
  LatenessRule rule;
  const int64_t offset = 123456789;
  uint32_t device_us = 0xFFFFF000u;
  int64_t device_ns = 0;
  for (int i = 0; i < 1000; ++i) {
    const int64_t delay = i % 10 == 5 ? 700 * kNsPerUs : 50 * kNsPerUs;
    const int64_t late = rule.on_state(offset + device_ns + delay, device_us);
    CHECK(late >= 0);
    if (i > 0 && i % 10 == 5) CHECK(late > 600 * kNsPerUs && late < 660 * kNsPerUs);
    if (i > 0 && i % 10 == 4) CHECK(late < 30 * kNsPerUs);
    device_us += 20000;
    device_ns += kPeriod;
  }
}

}  // namespace

int main() {
  a_tick_of_3_2_periods_skips_three_slots();
  a_tick_that_ends_on_a_slot_takes_it();
  hours_of_random_ticks_stay_on_the_grid();
  the_watchdog_fires_after_one_and_a_half_periods_and_then_each_period();
  device_time_wraps();
  the_cost_of_an_update_is_a_high_quantile();
  lateness_is_the_delay_above_the_smallest();
  return 0;
}
