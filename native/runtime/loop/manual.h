// One session on the link, controlled by calls instead of a loop's thread: ARM, RESET, one command or
// one observation at a time, DISARM. It uses the link's session and the command limiter of the loop.
//
// Between two calls the link is free, so the thread of the control socket can stop the device while the caller is busy;
// the next call then ends with that stop. In real time a command is valid for its TTL only.
#pragma once

#include <stdint.h>

#include "native/runtime/loop/context.h"
#include "native/runtime/loop/link_session.h"
#include "native/runtime/loop/plant_watch.h"

namespace rtu::runtime::loop {

enum class ManualStatus : int {
  kOk = 0,
  kTimeout = -1,  // nothing by the deadline
  kStopped = -2,  // the session is over: stop() has the reason
  kBusy = -3,     // another thread uses the link
};

class Manual {
 public:
  // Result of await(): in real time kNewest is the newest STATE after the previous one, kAnswer the one that has
  // accepted the last command, or the end of the episode. In lockstep both are the answer to the outstanding frame.
  enum class Wanted { kNewest, kAnswer };

  Manual(link::Link& link, Clock clock, const tl_hello& hello, const LoopOptions& options);

  // Sends ARM, preceded only by HELLO.
  ManualStatus open() noexcept;
  bool is_open() const noexcept { return open_; }

  // Begins an episode; await() then waits for its first STATE.
  ManualStatus reset(uint32_t seed) noexcept;
  // Limits u (m,) in place and sends it, in answer to the newest STATE. kTimeout: in real time, where the newest one is
  // more than a period old and none has come by the deadline; nothing was sent.
  ManualStatus command(float* u, int64_t deadline_ns) noexcept;
  // On success *out is the STATE. Before open(): the next STATE of a device that streams, whatever state it is in.
  ManualStatus await(Wanted wanted, int64_t deadline_ns, Arrival* out) noexcept;

  // The rest values and DISARM, or ESTOP; idempotent.
  void close() noexcept;

  const Stop& stop() const noexcept { return run_.stop; }
  uint8_t ack_status() const noexcept { return session_.ack_status(); }
  bool confirmed() const noexcept { return session_.confirmed(); }
  bool lockstep() const noexcept { return run_.lockstep(); }
  bool answer_is_due() const noexcept { return session_.resetting() || (run_.lockstep() && session_.command_sent()); }
  const Arrival& newest() const noexcept { return newest_; }
  // The finding of the plant checks under way, as in StatusBoard.check; 0: none.
  uint32_t check() const noexcept { return watch_.word(); }

 private:
  ManualStatus receive_unarmed(int64_t deadline_ns, Arrival* out) noexcept;
  bool take(const tl_frame& frame, Arrival* out) noexcept;
  bool drain() noexcept;
  void keep(const Arrival& arrival) noexcept;
  ManualStatus stopped() noexcept;

  Context run_;
  LinkSession session_;
  safety::CommandLimiter limiter_;
  bool open_ = false;
  bool limiter_started_ = false;
  bool was_reset_ = false;
  Arrival newest_;
  PlantWatch watch_;
};

}  // namespace rtu::runtime::loop
