// The episodes of a session: the current one, its progress and seed, and the returns that are compared with the target.
#pragma once

#include <stdint.h>

#include <memory>

#include "native/runtime/loop/context.h"
#include "native/runtime/record/snapshot.h"

namespace rtu::runtime::loop {

// Seed of the plant for an episode: both arguments are mixed (splitmix64), so that adjacent seeds are unrelated.
uint32_t episode_seed(uint64_t base, uint64_t episode) noexcept;

class Episode {
 public:
  explicit Episode(Context& run);  // allocates all memory

  // The seed for the next RESET.
  uint32_t next_seed() noexcept;
  // Call on the first observation of an episode.
  void begin() noexcept;
  void add_reward(float reward) noexcept { return_ += static_cast<double>(reward); }
  void add_step() noexcept { ++steps_; }
  // Call after the last observation was stepped: counts the episode, and requests the stop at a limit or the target.
  void end() noexcept;
  // The next observation is the first of an episode; held: the device holds the last observation until it is reset.
  void await_next(bool held) noexcept {
    awaiting_first_ = true;
    held_ = held;
  }

  bool awaiting_first() const noexcept { return awaiting_first_; }
  bool held() const noexcept { return held_; }
  uint32_t steps() const noexcept { return steps_; }
  uint32_t seed() const noexcept { return seed_; }
  double total_return() const noexcept { return return_; }
  double mean_return() const noexcept { return mean_return_; }  // of the last target_window episodes; NaN: none yet
  // For records: the index among this run's seeds, or, without RESET, the number that the device assigns.
  uint32_t number(uint16_t on_the_wire) const noexcept {
    return next_ > run_.options.first_episode ? next_ - 1 : on_the_wire;
  }
  void progress(record::Progress* out) const noexcept;

 private:
  void add_return(double total) noexcept;

  Context& run_;
  uint32_t next_;  // index of the seed after this one
  uint32_t seed_ = 0;
  bool awaiting_first_ = true;
  bool held_ = false;
  uint32_t steps_ = 0;
  double return_ = 0;
  std::unique_ptr<double[]> returns_;  // of the last target_window episodes
  uint64_t counted_ = 0;               // number of returns added so far
  double mean_return_;
};

}  // namespace rtu::runtime::loop
