// The loop on its thread while other threads drain, query, freeze and stop it. Also run under ThreadSanitizer.
#include <pthread.h>
#include <signal.h>

#include <system_error>
#include <thread>

#include "native/runtime/loop/loop.h"
#include "native/runtime/signals.h"
#include "native/testing/linear_policy.h"
#include "sim_device.h"

using namespace rtu::runtime;
using namespace rtu::runtime::record;
using namespace rtu::runtime::link;
using namespace rtu::runtime::safety;
using namespace rtu::runtime::loop;

namespace {

bool interrupt_blocked() {
  sigset_t now;
  pthread_sigmask(SIG_SETMASK, nullptr, &now);
  return sigismember(&now, SIGINT) == 1;
}

// If the system cannot create a thread, nothing changes, signals included. A stack beyond every address space is
// refused at once; one of 2^46 bytes would be mapped page by page in an emulator.
void a_thread_that_cannot_be_started(Link& link, const Policy& policy, const tl_hello& hello, LoopOptions options) {
  struct sigaction before;
  struct sigaction after;
  sigaction(SIGINT, nullptr, &before);
  pthread_attr_t attributes;
  CHECK(pthread_getattr_default_np(&attributes) == 0);
  pthread_attr_t huge = attributes;
  CHECK(pthread_attr_setstacksize(&huge, static_cast<size_t>(1) << 62) == 0);
  CHECK(pthread_setattr_default_np(&huge) == 0);
  options.handle_signals = true;
  bool refused = false;
  {
    Loop loop(link, link.clock(), policy, hello, options);
    try {
      loop.start();
    } catch (const std::system_error&) {
      refused = true;
    }
  }
  CHECK(pthread_setattr_default_np(&attributes) == 0);
  CHECK(refused && !interrupt_blocked() && !link.board.running.load());
  sigaction(SIGINT, nullptr, &after);
  CHECK(after.sa_handler == before.sa_handler);
}

// Steps of several threads on one learner, whose count is no atomic.
void calls_follow_one_another() {
  Occupancy occupancy;
  int steps = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int k = 0; k < 5000; ++k) {
        const Occupied occupied(&occupancy, k % 64 == 0 ? User::kRun : User::kCall);
        if (occupied.problem() == nullptr) {
          ++steps;
        } else {
          --k;  // refused: another thread may be counting
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(steps == 4 * 5000 && occupancy.user() == User::kNone);
}

// Stopped from outside, and destroyed while it runs.
void a_loop_without_an_end(SimDevice& device, Link& link, const Policy& policy, const tl_hello& hello,
                           LoopOptions options) {
  options.session = 2;
  options.steps = 0;
  Loop endless(link, device.clock.clock(), policy, hello, options);
  endless.start();
  CHECK(!endless.wait(20 * kNsPerMs));
  endless.request_stop();
  CHECK(endless.wait(5 * kNsPerS));
  endless.join();
  CHECK(endless.result().reason == StopReason::kRequest);
  options.session = 3;
  {
    Loop dropped(link, device.clock.clock(), policy, hello, options);
    dropped.start();
  }
  CHECK(!link.busy.load());
}

}  // namespace

int main() {
  calls_follow_one_another();
  SimDevice device("cartpole");
  Link link(device.wire(), device.clock.clock(), 0);
  tl_hello hello;
  CHECK(link.hello(3 * kNsPerS, &hello) == LinkStatus::kOk);
  rtu::testing::LinearPolicy linear;
  linear.observation_size = 2;
  linear.action_size = 1;
  linear.gain[0][0] = 0.5f;
  linear.gain[0][1] = 6;
  LoopOptions options;
  options.limits[0] = {-10, 10};
  options.steps = 50000;
  options.ring_records = 1024;
  Occupancy occupancy;
  Policy owned = linear.policy();
  owned.occupancy = &occupancy;
  Loop loop(link, device.clock.clock(), owned, hello, options);
  std::vector<uint8_t> raw(loop.records().capacity() * loop.records().stride());
  loop.start();
  uint64_t taken = 0;
  uint64_t episodes = 0;
  bool learn = true;
  bool over = false;
  while (!over) {
    const User keeps_out = occupancy.enter(User::kCall);
    if (keeps_out == User::kNone) occupancy.leave();
    over = loop.wait(kNsPerMs);
    CHECK(keeps_out == User::kLoop || over || loop.wait(30 * kNsPerS));
    size_t count = loop.records().available();
    loop.records().take(raw.data(), count);
    taken += count;
    count = loop.episodes().available();
    loop.episodes().take(raw.data(), count < 16 ? count : 16);
    episodes += count < 16 ? count : 16;
    learn = !learn;
    loop.set_learning(learn, true);
    CHECK(link.board.steps.load() <= 50000);
    CHECK(loop.counters().steps.get() <= 50000);
  }
  loop.join();
  CHECK(occupancy.user() == User::kNone);
  CHECK(loop.result().reason == StopReason::kSteps && loop.result().confirmed);
  CHECK(taken + loop.records().dropped() == 50001 + loop.counters().episodes.get());
  CHECK(episodes <= loop.counters().episodes.get());
  a_loop_without_an_end(device, link, linear.policy(), hello, options);
  options.session = 4;
  a_thread_that_cannot_be_started(link, linear.policy(), hello, options);
  return 0;
}
