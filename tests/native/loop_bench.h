// A loop over a simulated device, with a policy that logs its calls.
#pragma once

#include <math.h>

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "native/runtime/loop/loop.h"
#include "sim_device.h"

namespace rtu::runtime {

using namespace record;
using namespace link;
using namespace safety;
using namespace loop;

// Logs the loop's calls, and fails on request.
struct Diary {
  std::string calls;  // b begin, p predict, l learn, T terminated, U truncated, x executed given, d update dropped
  std::vector<float> rewards;
  std::vector<float> executed;
  std::vector<float> last_x;
  uint64_t hash = 1;
  std::function<float(const float*)> act = [](const float* x) {
    return std::clamp(0.5f * x[0] + 6.0f * x[1], -1.0f, 1.0f);
  };
  std::function<void()> on_update = [] {};
  std::function<void()> on_hash;  // set it, or on_copy, to provide state to hash and copy
  std::function<void()> on_copy;
  bool fail = false;
  bool accepts = false;  // treats any applied action as its own
  bool keep_calls = true;

  Policy policy(int n = 2) {
    Policy p;
    p.self = this;
    p.observation_size = n;
    p.action_size = 1;
    p.begin = [](void* self) noexcept {
      static_cast<Diary*>(self)->note('b');
      return 0;
    };
    p.predict = [](void* self, const float* x, int, float* action) noexcept {
      auto* d = static_cast<Diary*>(self);
      if (d->fail) return -1;
      d->note('p');
      d->last_x.assign(x, x + 2);
      *action = d->act(x);
      uint32_t bits;
      memcpy(&bits, x, sizeof bits);
      d->hash = (d->hash ^ bits) * 0x100000001B3u;
      return 0;
    };
    p.update = [](void* self, float reward, int terminated, int truncated, const float* applied,
                  int move_weights) noexcept {
      auto* d = static_cast<Diary*>(self);
      d->note('l');
      if (terminated) d->note('T');
      if (truncated) d->note('U');
      if (applied != nullptr) d->note('x');
      if (!move_weights) d->note('d');
      d->rewards.push_back(reward);
      d->executed.push_back(applied != nullptr ? *applied : NAN);
      d->on_update();
      return applied != nullptr && !d->accepts ? kPolicyCritic : 0;
    };
    if (on_hash) {
      p.hash = [](void* self) noexcept {
        static_cast<Diary*>(self)->on_hash();
        return uint64_t{7};
      };
    }
    if (on_copy) {
      p.state = &hash;
      p.state_bytes = sizeof hash;
      p.copy_extra = [](void* self, unsigned char*, int) noexcept { static_cast<Diary*>(self)->on_copy(); };
    }
    return p;
  }
  void note(char c) {
    if (keep_calls) calls += c;
  }
};

struct Bench {
  SimDevice device;
  Diary diary;
  Link link;
  tl_hello hello{};
  LoopOptions options;

  explicit Bench(const char* plant = "cartpole", const float* slew = nullptr)
      : device(plant, 1, slew), link(device.wire(), device.clock.clock(), 1 << 16) {
    CHECK(link.hello(3 * kNsPerS, &hello) == LinkStatus::kOk);
    options.limits[0] = {-10, 10, kNoLimit, 0};
    options.steps = 1000;
    options.ring_records = 4096;
    options.ring_episodes = 64;
  }

  LoopResult run() {
    Loop loop(link, device.clock.clock(), diary.policy(), hello, options);
    loop.run();
    counters = counters_of(loop);
    records = take(loop);
    return loop.result();
  }

  struct Numbers {
    uint64_t steps, episodes, skipped, missed, overruns, retries, timeouts, overridden, held, non_finite, slew,
        duplicates, dropped;
  } counters{};
  std::vector<RecordHead> records;

  static Numbers counters_of(const Loop& loop) {
    const LoopCounters& c = loop.counters();
    return {c.steps.get(),          c.episodes.get(),
            c.skipped.get(),        c.missed.get(),
            c.overruns.get(),       c.retries.get(),
            c.timeouts.get(),       c.overridden.get(),
            c.limiter_held.get(),   c.limiter_non_finite.get(),
            c.limiter_slew.get(),   c.duplicates.get(),
            c.updates_dropped.get()};
  }
  static std::vector<RecordHead> take(Loop& loop) {
    RecordRing& ring = loop.records();
    std::vector<uint8_t> raw(ring.available() * ring.stride());
    const size_t count = ring.available();
    ring.take(raw.data(), count);
    std::vector<RecordHead> heads(count);
    for (size_t i = 0; i < count; ++i) memcpy(&heads[i], raw.data() + i * ring.stride(), sizeof heads[i]);
    return heads;
  }
};

}  // namespace rtu::runtime
