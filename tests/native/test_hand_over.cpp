// Take-over by a person: the way back without a jump, and the seat that two threads share.
// hazard: person-silent
#include <math.h>

#include <atomic>
#include <thread>

#include "native/runtime/safety/hand_over.h"
#include "native/runtime/safety/seat.h"
#include "tests/native/check.h"

using namespace rtu::runtime;
using namespace rtu::runtime::safety;

namespace {

constexpr float kNotFinite = NAN;

// From the person's 4 to a fallback at 1: the difference of 3 falls in equal parts, so no command is further from the
// one before than 3 / 10.
void test_the_way_back() {
  HandOver hand_over(1, 10);
  float last = 0, u = 1;
  hand_over.step(Hands::kOff, false, &last, &u);
  CHECK(u == 1 && !hand_over.foreign());
  last = u, u = 4;
  hand_over.step(Hands::kOn, true, &last, &u);
  CHECK(u == 4 && hand_over.foreign());
  for (int k = 1; k <= 12; ++k) {
    last = u, u = 1;
    hand_over.step(Hands::kOff, true, &last, &u);
    CHECK(fabsf(u - (k < 10 ? 4.0f - 0.3f * static_cast<float>(k) : 1.0f)) < 1e-6f);
    CHECK(fabsf(u - last) <= 0.3f + 1e-6f);
    CHECK(hand_over.foreign() == (k < 10));
  }
  // After its dwell the fallback hands back to the learner, the same way; then nothing is left of it.
  for (int k = 1; k <= 12; ++k) {
    last = u, u = -1;
    hand_over.step(Hands::kOff, false, &last, &u);
    CHECK(fabsf(u - last) <= 0.2f + 1e-6f && hand_over.foreign() == (k < 10));
  }
  CHECK(u == -1);
  last = u, u = 1;
  hand_over.step(Hands::kOff, true, &last, &u);  // a fault, later: at once
  CHECK(u == 1 && !hand_over.foreign());
  last = u, u = -1;
  hand_over.step(Hands::kOff, false, &last, &u);  // and back as ever
  CHECK(u == -1 && !hand_over.foreign());
}

// Silence is a way back to the fallback; a learner that fails during the way back does not keep a share of it.
void test_silence_and_a_fault() {
  HandOver hand_over(1, 10);
  float last = 0, u = 5;
  hand_over.step(Hands::kOn, false, &last, &u);
  last = u, u = 0;
  hand_over.step(Hands::kSilent, true, &last, &u);
  CHECK(fabsf(u - 4.5f) < 1e-6f && hand_over.foreign());
  last = u, u = 1;
  hand_over.step(Hands::kOff, false, &last, &u);
  CHECK(fabsf(u - last) <= 0.35f + 1e-6f);
  last = u, u = 0;
  hand_over.step(Hands::kOff, true, &last, &u);
  CHECK(u == 0 && !hand_over.foreign());
}

void test_an_episode_and_no_way_back() {
  HandOver hand_over(1, 10), at_once(1, 0);
  float last = 0, u = 5;
  hand_over.step(Hands::kOn, false, &last, &u);
  hand_over.begin();
  CHECK(!hand_over.foreign());
  last = 0, u = 2;
  hand_over.step(Hands::kOff, false, &last, &u);
  CHECK(u == 2 && !hand_over.foreign());
  at_once.step(Hands::kOn, false, &last, &u);
  last = 5, u = 1;
  at_once.step(Hands::kOff, false, &last, &u);
  CHECK(u == 1 && !at_once.foreign());
}

void test_a_seat() {
  Seat seat;
  float u[2] = {9, 9};
  const float given[2] = {1, 2}, bad[2] = {1, kNotFinite};
  CHECK(seat.read(0, u, 2) == Hands::kSilent);  // nothing was posted
  seat.post(Hands::kOn, given, 2, 100);
  CHECK(seat.read(99, u, 2) == Hands::kOn && u[0] == 1 && u[1] == 2);
  CHECK(seat.read(100, u, 2) == Hands::kSilent);  // its time is over
  seat.post(Hands::kOff, nullptr, 2, 300);
  CHECK(seat.read(299, u, 2) == Hands::kOff);
  seat.post(Hands::kOn, bad, 2, 400);
  u[0] = 7;
  CHECK(seat.read(301, u, 2) == Hands::kSilent && u[0] == 7);
}

// A report is read whole: both values are of the same one.
void test_two_threads() {
  Seat seat;
  std::atomic<bool> over{false};
  std::thread writer([&] {
    for (int k = 0; k < 200000; ++k) {
      const float u[2] = {static_cast<float>(k), static_cast<float>(-k)};
      seat.post(Hands::kOn, u, 2, 1000);
    }
    over.store(true);
  });
  int read = 0;
  float newest = -1;
  while (!over.load()) {
    float u[2] = {0, 0};
    if (seat.read(0, u, 2) != Hands::kOn) continue;
    CHECK(u[0] == -u[1] && u[0] >= newest);
    newest = u[0];
    ++read;
  }
  writer.join();
  float u[2];
  CHECK(seat.read(0, u, 2) == Hands::kOn && u[0] == 199999.0f);
  CHECK(read >= 0);
}

}  // namespace

int main() {
  test_the_way_back();
  test_silence_and_a_fault();
  test_an_episode_and_no_way_back();
  test_a_seat();
  test_two_threads();
  return 0;
}
