// Checks that the plant does what is commanded: an actuator without effect, an observation that stands still while the
// commands do not, a reward that is never finite. Each is warned of first, and stops the run if it lasts.
//
// Time is divided into blocks of steps, and only the smallest and largest value of each channel is kept. A block counts
// for a finding if the commands moved in it by a stated share of the range, and the channel stood still in it and since
// the first such block: a learner that commands nothing, or an axis at its end, gives no finding. No clock enters.
#pragma once

#include <stdint.h>

#include "native/runtime/policy.h"

namespace rtu::runtime::safety {

// Whether an observation has to respond to commands.
enum class Responds : uint8_t {
  kAuto,  // once it has: it moved within episodes in three blocks, and in half of those in which commands moved
  kYes,
  kNo,  // a target, a load
};

enum class Check : uint32_t { kNone = 0, kEffect = 1, kStill = 2, kReward = 3 };

constexpr uint32_t kWarnBlocks = 4;

// Validated by the caller (rtu_edge/loop/checks.py). Names as in `[checks]` of the configuration.
struct CheckOptions {
  bool effect = false;
  bool still = false;
  bool reward = false;
  uint32_t warn_steps = 250;           // at least kWarnBlocks
  uint32_t stop_steps = 500;           // at least warn_steps
  float command[kMaxActuators] = {};   // spread of a command that counts as a movement, in its unit
  float moves[kMaxObservations] = {};  // largest spread of an observation that does not move, in its unit
  Responds responds[kMaxObservations] = {};
  uint64_t observations[kMaxActuators] = {};  // a bit for each observation that the actuator moves; 0: any evidence
                                              // must come from the value that is reported as applied
};

struct CheckFinding {
  Check check = Check::kNone;
  uint32_t channel = 0;  // of the actuator or observation
  bool stops = false;    // it has lasted stop_steps
};

class PlantChecks {
 public:
  void start(const CheckOptions& options, int n, int m) noexcept;

  // The first observation of an episode, x (n,): what moved the plant here was no command.
  void begin(const float* x) noexcept;
  // A step in which u (m,) was sent in answer to x (n,); applied (m,) as the device reported with x.
  void step(const float* x, const float* u, const float* applied) noexcept {
    if (left_ == 0) return;
    for (int i = 0; i < n_; ++i) widen(x[i], &x_[i]);
    for (int k = 0; k < m_; ++k) {
      widen(u[k], &u_[k]);
      widen(applied[k], &applied_[k]);
    }
    if (--left_ == 0) end_block(x, u, applied);
  }
  // The reward of a transition was finite or not.
  void reward(bool usable) noexcept { reward_steps_ = usable ? 0 : reward_steps_ + 1; }

  // The finding that has lasted longest; kNone if there is none.
  CheckFinding finding() const noexcept;
  bool any() const noexcept { return found_ || reward_steps_ >= reward_warn_; }

 private:
  struct Spread {
    float low, high;
  };
  // A NaN changes nothing.
  static void widen(float value, Spread* spread) noexcept {
    spread->low = value < spread->low ? value : spread->low;
    spread->high = value > spread->high ? value : spread->high;
  }
  static void restart(const float* values, int count, Spread* out) noexcept;
  void end_block(const float* x, const float* u, const float* applied) noexcept;
  void count_effect(uint64_t moved) noexcept;
  void count_still(uint64_t moved) noexcept;
  bool checked(int i) const noexcept;

  CheckOptions options_;
  int n_ = 0;
  int m_ = 0;
  uint32_t block_ = 0;  // steps
  uint32_t left_ = 0;   // of the block; 0: off
  bool found_ = false;
  uint32_t reward_warn_ = UINT32_MAX;
  uint32_t reward_steps_ = 0;   // consecutive rewards that were not finite
  uint64_t moved_ = 0;          // channels that moved in this block before an episode began
  uint64_t excited_ = 0;        // actuators whose command moved in the last block
  Spread x_[kMaxObservations];  // since the channel last moved
  Spread u_[kMaxActuators];     // in this block
  Spread applied_[kMaxActuators];
  uint32_t excited_blocks_ = 0;
  uint32_t moved_blocks_[kMaxObservations] = {};
  uint32_t still_[kMaxObservations] = {};  // blocks
  uint32_t effectless_[kMaxActuators] = {};
};

}  // namespace rtu::runtime::safety
