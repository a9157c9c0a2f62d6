#include "native/runtime/loop/episode.h"

#include <limits>

namespace rtu::runtime::loop {

uint32_t episode_seed(uint64_t base, uint64_t episode) noexcept {
  uint64_t z = base + 0x9E3779B97F4A7C15u * (episode + 1);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return static_cast<uint32_t>((z ^ (z >> 31)) >> 32);
}

Episode::Episode(Context& run)
    : run_(run),
      next_(run.options.first_episode),
      returns_(new double[static_cast<size_t>(run.options.target_window)]()),
      mean_return_(std::numeric_limits<double>::quiet_NaN()) {
  for (const double total : run.options.returns) add_return(total);
}

uint32_t Episode::next_seed() noexcept {
  seed_ = episode_seed(run_.options.seed, next_++);
  ++run_.counters.resets;
  await_next(false);
  return seed_;
}

void Episode::begin() noexcept {
  awaiting_first_ = false;
  held_ = false;
  steps_ = 0;
  return_ = 0;
}

void Episode::end() noexcept {
  const LoopOptions& options = run_.options;
  add_return(return_);
  ++run_.counters.episodes;
  const uint64_t finished = run_.counters.episodes.get();
  run_.link.board.episodes.store(finished, std::memory_order_relaxed);
  run_.link.board.mean_return.store(mean_return_, std::memory_order_relaxed);
  if (options.has_target && counted_ >= static_cast<uint64_t>(options.target_window) &&
      mean_return_ >= options.target_return) {
    run_.stop.set(StopReason::kTarget, "mean return reached the target");
  } else if (options.episodes > 0 && finished >= options.episodes) {
    run_.stop.set(StopReason::kEpisodes, "episode limit reached");
  }
}

void Episode::add_return(double total) noexcept {
  const auto window = static_cast<uint64_t>(run_.options.target_window);
  returns_[counted_++ % window] = total;
  const uint64_t count = counted_ < window ? counted_ : window;
  double sum = 0;
  for (uint64_t i = 0; i < count; ++i) sum += returns_[i];
  mean_return_ = sum / static_cast<double>(count);
}

void Episode::progress(record::Progress* out) const noexcept {
  const auto window = static_cast<uint64_t>(run_.options.target_window);
  const uint64_t count = counted_ < window ? counted_ : window;
  out->steps = run_.counters.steps.get();
  out->episodes = run_.counters.episodes.get();
  out->next_episode = next_;
  out->episode_steps = held_ || awaiting_first_ ? 0 : steps_;
  out->seconds = static_cast<double>(run_.lasted_ns()) * 1e-9;
  out->returns = static_cast<int>(count);
  for (uint64_t i = 0; i < count; ++i) out->last_returns[i] = returns_[(counted_ - count + i) % window];
}

}  // namespace rtu::runtime::loop
