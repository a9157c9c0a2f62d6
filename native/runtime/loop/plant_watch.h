// The plant checks of a session: counts and reports their findings, and stops it.
#pragma once

#include "native/runtime/loop/context.h"
#include "native/runtime/safety/plant_checks.h"

namespace rtu::runtime::loop {

class PlantWatch {
 public:
  explicit PlantWatch(Context& run) noexcept : run_(run) {
    if (!run.options.dry_run) checks_.start(run.options.checks, run.n, run.m);
  }

  void begin(const tl_state& first) noexcept { checks_.begin(first.x); }
  // u (m,) was sent in answer to a STATE.
  void step(const tl_state& state, const float* u) noexcept { checks_.step(state.x, u, state.u); }
  void reward(bool usable) noexcept { checks_.reward(usable); }
  // Call once in a step. Returns whether there is a finding.
  bool report() noexcept { return (checks_.any() || word_ != 0) && note(); }
  uint32_t word() const noexcept { return word_; }

 private:
  bool note() noexcept;
  void stop(const safety::CheckFinding& found) noexcept;

  Context& run_;
  safety::PlantChecks checks_;
  uint32_t word_ = 0;  // the finding reported last, as in StatusBoard.check
};

}  // namespace rtu::runtime::loop
