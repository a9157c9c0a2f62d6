// Start of a step by the device's clock, the host's clock or in lockstep, and the remaining time of the period.
#pragma once

#include <stdint.h>

#include "native/runtime/loop/context.h"
#include "native/runtime/loop/episode.h"
#include "native/runtime/loop/link_session.h"
#include "native/runtime/loop/rules.h"

namespace rtu::runtime::loop {

class Tick {
 public:
  Tick(Context& run, LinkSession& session, const Episode& episode) noexcept
      : run_(run), session_(session), episode_(episode) {}

  void begin(int64_t now_ns) noexcept;  // of a session
  // Waits at most until the next check for a stop. True: step *out now, then call end_step().
  bool next(Arrival* out) noexcept;
  void end_step() noexcept;

  // Lateness of a step that begins now.
  int64_t lateness_ns(const Arrival& arrival, int64_t now_ns) noexcept;
  // Time to the start of the next slot or to the next expected STATE; unlimited in lockstep, where time is virtual.
  int64_t slack_ns(const Arrival& arrival, int64_t now_ns) const noexcept;
  // The deadline rule: whether a weight update that begins now fits. If not, it is counted as dropped.
  bool update_fits(const Arrival& arrival, int64_t now_ns) noexcept;
  // Call after the update, at the end of the step; other_ns were spent on other work.
  void update_took(int64_t now_ns, int64_t other_ns) noexcept { update_.took(now_ns - decided_ns_ - other_ns); }
  uint32_t device_us() const noexcept { return rule_.last_us; }  // the device's time stamp of the last STATE used

 private:
  bool next_in_lockstep(Arrival* out) noexcept;
  bool next_of_device(Arrival* out) noexcept;
  bool next_of_host(Arrival* out) noexcept;
  void read(const tl_frame& frame, Arrival* newest) noexcept;
  void keep(const Arrival& arrival, Arrival* newest) noexcept;
  void end_slot() noexcept;

  Context& run_;
  LinkSession& session_;
  const Episode& episode_;
  DeadlineRule deadline_;
  DeviceTickRule rule_;
  LatenessRule lateness_;
  CostRule update_;
  int64_t decided_ns_ = 0;    // time of the call of update_fits()
  size_t next_drop_ = 0;      // of options.drops
  bool drop_queued_ = false;  // the last step overran
  Arrival newest_;            // clock = host: waits for its slot
};

}  // namespace rtu::runtime::loop
