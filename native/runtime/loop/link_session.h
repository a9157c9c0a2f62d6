// The session on the link, from ARM to DISARM: which device is driven, what is outstanding on the wire and is sent
// again, whether commands arrive, and how the device is left.
//
// In lockstep exactly one frame is outstanding, a CMD or a RESET, and is repeated unchanged until its STATE comes. In
// real time each CMD is sent once; only RESET is repeated. In a dry run nothing is sent.
#pragma once

#include <stdint.h>

#include "native/runtime/link/link.h"
#include "native/runtime/loop/context.h"

namespace rtu::runtime::loop {

class LinkSession {
 public:
  // What a frame was.
  enum class Frame { kOther, kResetting, kState };

  explicit LinkSession(Context& run) noexcept;

  // HELLO once more, then ARM. False: not armed, and the stop has the reason.
  bool arm() noexcept;
  // ARM was acknowledged now, or a dry run begins.
  void begin(int64_t now_ns) noexcept { heard_ns_ = now_ns; }

  // A new episode on the wire. device_us: stamp of the frame in lockstep.
  void reset(uint32_t seed, uint32_t device_us) noexcept;
  // u (m,) in answer to a STATE.
  void command(const Arrival& arrival, const float* u) noexcept;

  // Link::receive(); -1 has set the stop.
  int receive(tl_frame* out, int64_t deadline_ns) noexcept;
  // Reads a frame: kState is the STATE of an armed device (in a dry run of any), and is in *out; kResetting that of a
  // device that moves to its start (of *out only at_ns is good).
  Frame read(const tl_frame& frame, Arrival* out) noexcept;
  // Lockstep: waits for the STATE that answers the frame outstanding, at most until a stop has to be looked for again.
  bool await_answer(Arrival* out) noexcept;
  // Real time: silence of the device, the end of the time, RESET again, patience with a reset.
  void check_timeouts(int64_t now_ns) noexcept;
  // In the slack: clocks, delays, and what the device has counted.
  void measure_link(int64_t now_ns) noexcept;

  // A RESET has left, and no STATE of the new episode has come.
  bool resetting() const noexcept { return reset_pending_; }
  void reset_done() noexcept { reset_pending_ = false; }
  bool command_sent() const noexcept { return command_pending_; }
  // The device has taken the last command.
  bool has_taken(const tl_state& state) const noexcept { return state.last_cmd_seq == command_.seq; }
  uint16_t episode() const noexcept { return episode_; }  // its number on the wire
  void follow(uint16_t episode) noexcept { episode_ = episode; }

  // rest (m,): the safe action before DISARM, or null. DISARM where an ARM has left; or ESTOP until STATE reports it. A
  // second signal, or a request from the control socket, turns the one into the other.
  void close(const float* rest, uint32_t device_us) noexcept;
  bool confirmed() const noexcept { return confirmed_; }
  uint8_t ack_status() const noexcept { return ack_status_; }

 private:
  bool same_device() noexcept;
  void send_reset() noexcept;
  bool armed_state(const tl_state& state, int64_t now_ns) noexcept;
  void check_commands_arrive(const tl_state& state, int64_t now_ns) noexcept;
  void read_ack(const tl_frame& frame) noexcept;
  void repeat(int64_t now_ns) noexcept;
  void disarm() noexcept;

  Context& run_;
  int64_t ttl_ns_;
  uint16_t ttl_ms_;
  bool asked_to_arm_ = false;  // ARM has left
  bool armed_ = false;         // or may be
  bool gone_ = false;          // the port
  bool confirmed_ = false;
  uint8_t ack_status_ = 0;

  uint16_t episode_ = 0;
  uint32_t seed_ = 0;
  uint32_t device_us_ = 0;  // of the last RESET
  link::Encoded command_;   // last CMD
  link::Encoded reset_;     // last RESET
  bool command_pending_ = false;
  bool reset_pending_ = false;
  int attempts_ = 0;
  int64_t sent_ns_ = 0;  // of the frame that waits for its answer
  int64_t reset_since_ns_ = 0;
  int64_t heard_ns_ = 0;  // last STATE of any kind
  uint16_t acknowledged_seq_ = 0;
  int unacknowledged_ = 0;       // commands that have left since the device last took one
  uint64_t refused_before_ = 0;  // commands it had refused by then
  int64_t unacknowledged_ns_ = 0;
  bool end_seen_ = true;  // dry run: the STATE before this one had the end of an episode
};

}  // namespace rtu::runtime::loop
