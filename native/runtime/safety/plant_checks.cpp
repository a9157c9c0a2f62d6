#include "native/runtime/safety/plant_checks.h"

#include <limits>

namespace rtu::runtime::safety {
namespace {

// An applied value that moves by less than this share of the command's movement stands still.
constexpr float kAppliedShare = 0.02f;
constexpr float kNone = std::numeric_limits<float>::infinity();
constexpr uint32_t kLearnedBlocks = 3;  // in which a channel has to have moved before it is expected to

}  // namespace

void PlantChecks::start(const CheckOptions& options, int n, int m) noexcept {
  options_ = options;
  n_ = n;
  m_ = m;
  block_ = options.warn_steps / kWarnBlocks;
  if (block_ == 0) block_ = 1;
  left_ = 0;  // begin() starts the first block
  reward_warn_ = options.reward ? options.warn_steps : UINT32_MAX;
}

void PlantChecks::restart(const float* values, int count, Spread* out) noexcept {
  for (int i = 0; i < count; ++i) out[i] = {values[i], values[i]};
}

void PlantChecks::begin(const float* x) noexcept {
  if (!options_.effect && !options_.still) return;
  if (left_ == 0) {  // the first episode
    left_ = block_;
    for (int k = 0; k < m_; ++k) u_[k] = applied_[k] = {kNone, -kNone};
  } else {
    for (int i = 0; i < n_; ++i)
      if (x_[i].high - x_[i].low > options_.moves[i]) moved_ |= uint64_t{1} << i;
  }
  restart(x, n_, x_);
}

void PlantChecks::end_block(const float* x, const float* u, const float* applied) noexcept {
  left_ = block_;
  uint64_t moved = moved_;
  moved_ = excited_ = 0;
  for (int i = 0; i < n_; ++i) {
    if (x_[i].high - x_[i].low > options_.moves[i]) moved |= uint64_t{1} << i;
    if ((moved >> i & 1) != 0) restart(x + i, 1, x_ + i);
  }
  for (int k = 0; k < m_; ++k)
    if (u_[k].high - u_[k].low >= options_.command[k]) excited_ |= uint64_t{1} << k;
  found_ = false;
  if (options_.effect) count_effect(moved);
  if (options_.still) count_still(moved);
  restart(u, m_, u_);
  restart(applied, m_, applied_);
}

// Either the device reports that the actuator does not follow its command, or nothing that it moves has moved.
void PlantChecks::count_effect(uint64_t moved) noexcept {
  for (int k = 0; k < m_; ++k) {
    const bool excited = (excited_ >> k & 1) != 0;
    const bool follows = applied_[k].high - applied_[k].low > kAppliedShare * (u_[k].high - u_[k].low);
    const bool seen = options_.observations[k] == 0 || (moved & options_.observations[k]) != 0;
    if (excited && !(follows && seen))
      ++effectless_[k];
    else if (excited || (seen && options_.observations[k] != 0))
      effectless_[k] = 0;
    found_ = found_ || effectless_[k] >= kWarnBlocks;
  }
}

void PlantChecks::count_still(uint64_t moved) noexcept {
  if (excited_ != 0) ++excited_blocks_;
  for (int i = 0; i < n_; ++i) {
    if ((moved >> i & 1) != 0) {
      still_[i] = 0;
      moved_blocks_[i] += excited_ != 0;
    } else if (excited_ != 0) {
      ++still_[i];
    }
    found_ = found_ || (still_[i] >= kWarnBlocks && checked(i));
  }
}

bool PlantChecks::checked(int i) const noexcept {
  if (options_.responds[i] != Responds::kAuto) return options_.responds[i] == Responds::kYes;
  return moved_blocks_[i] >= kLearnedBlocks && 2 * moved_blocks_[i] >= excited_blocks_ - still_[i];
}

CheckFinding PlantChecks::finding() const noexcept {
  const uint32_t stop_blocks = options_.stop_steps / block_;
  CheckFinding found;
  uint32_t longest = kWarnBlocks - 1;
  if (options_.reward && reward_steps_ >= reward_warn_)
    return {Check::kReward, 0, reward_steps_ >= options_.stop_steps};
  for (int k = 0; k < m_ && options_.effect; ++k) {
    if (effectless_[k] <= longest) continue;
    longest = effectless_[k];
    found = {Check::kEffect, static_cast<uint32_t>(k), longest >= stop_blocks};
  }
  for (int i = 0; i < n_ && options_.still; ++i) {
    if (still_[i] <= longest || !checked(i)) continue;
    longest = still_[i];
    found = {Check::kStill, static_cast<uint32_t>(i), longest >= stop_blocks};
  }
  return found;
}

}  // namespace rtu::runtime::safety
