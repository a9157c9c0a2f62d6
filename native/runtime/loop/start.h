// How an episode begins: the region in which the plant has to be, and the controller that brings it there (homing).
// Nothing is learned meanwhile, and the policy is not called: to the learner the first observation after it is the
// beginning of an episode.
#pragma once

#include <stdint.h>

#include "native/runtime/loop/context.h"
#include "native/runtime/policy.h"

namespace rtu::runtime::loop {

class Start {
 public:
  enum class Now { kBegin, kHome, kRefuse };

  explicit Start(const Context& run) noexcept : run_(run), options_(run.options.start) {}

  bool checked() const noexcept { return options_.checked && !run_.options.dry_run; }
  // An observation before the first of an episode. kBegin: the episode begins with it, as the plant has been in the
  // region for settle_steps in a row, or without homing now.
  Now next(const float* x) noexcept;
  // The controller's action for this observation, u (m,) in actuator units, at most `share` from rest; false when it
  // failed.
  bool command(const float* x, float* u) noexcept;
  uint32_t steps() const noexcept { return steps_; }  // of the homing under way
  bool timed_out() const noexcept { return steps_ >= options_.timeout_steps; }
  // The next observation is one before an episode.
  void restart() noexcept { steps_ = inside_ = 0; }

 private:
  const Context& run_;
  const StartOptions& options_;
  uint32_t steps_ = 0;
  uint32_t inside_ = 0;  // consecutive observations in the region
};

// The first of x (n,) that is not finite or outside low..high, or -1.
int outside(const float* x, const float* low, const float* high, int n) noexcept;
// Describes channel i of x as outside low..high, in at most size bytes.
void describe_outside(const Context& run, int i, float x, float low, float high, char* out, size_t size) noexcept;

}  // namespace rtu::runtime::loop
