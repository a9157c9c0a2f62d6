// The session on the link, from ARM to DISARM: identity of the device, outstanding frames and their repetition,
// delivery of commands, and the final state of the device.
//
// In lockstep exactly one frame is outstanding, a CMD or a RESET, and is repeated unchanged until its STATE arrives. In
// real time each CMD is sent once; only RESET is repeated. In a dry run nothing is sent.
#pragma once

#include <stdint.h>

#include "native/runtime/link/link.h"
#include "native/runtime/loop/context.h"

namespace rtu::runtime::loop {

class LinkSession {
 public:
  // Classification of a received frame.
  enum class Frame { kOther, kResetting, kState };

  explicit LinkSession(Context& run) noexcept;

  // Repeats HELLO, then sends ARM. False: not armed; the stop has the reason.
  bool arm() noexcept;
  // HELLO: the device is the one whose data sheet was read. False: the stop has the reason.
  bool identify() noexcept;
  // After the link was lost, on an open port: HELLO, DISARM, a STATE, ARM with a new session number. pose (n,): the
  // last observation before the loss. False: not armed; with kLinkLost another attempt may succeed (link_rejoin.cpp).
  bool rejoin(const uint8_t* pose, int64_t give_up_ns) noexcept;
  bool is_gone() const noexcept { return gone_; }          // the port
  int64_t heard_ns() const noexcept { return heard_ns_; }  // last STATE, or begin()
  // Call when ARM is acknowledged, or a dry run starts.
  void begin(int64_t now_ns) noexcept { heard_ns_ = now_ns; }

  // Requests a new episode. device_us: time stamp of the frame in lockstep.
  void reset(uint32_t seed, uint32_t device_us) noexcept;
  // Sends u (m,) in answer to a STATE.
  void command(const Arrival& arrival, const float* u) noexcept;

  // Calls Link::receive(); on -1 it has requested the stop.
  int receive(tl_frame* out, int64_t deadline_ns) noexcept;
  // Reads a frame: kState is the STATE of an armed device (in a dry run of any), and is in *out; kResetting is that of
  // a device that moves to its start position (in *out only at_ns is valid).
  Frame read(const tl_frame& frame, Arrival* out) noexcept;
  // Lockstep: waits for the STATE that answers the frame outstanding, at most until the next check for a stop.
  bool await_answer(Arrival* out) noexcept;
  // Real time: checks for silence of the device and the time limit, repeats RESET, checks the reset timeout.
  void check_timeouts(int64_t now_ns) noexcept;
  // Call in the slack: clocks, delays, and the device's counters.
  void measure_link(int64_t now_ns) noexcept;

  // A RESET was sent, and no STATE of the new episode has arrived.
  bool resetting() const noexcept { return reset_pending_; }
  void reset_done() noexcept { reset_pending_ = false; }
  bool command_sent() const noexcept { return command_pending_; }
  // The device has taken the last command.
  bool has_taken(const tl_state& state) const noexcept { return state.last_cmd_seq == command_.seq; }
  uint16_t episode() const noexcept { return episode_; }  // its number on the wire
  void follow(uint16_t episode) noexcept { episode_ = episode; }

  // rest (m,): the safe action before DISARM, or null. Sends DISARM if an ARM was sent; or ESTOP until STATE reports
  // it. A second signal, or a request from the control socket, changes DISARM to ESTOP.
  // waits: until a STATE has shown the end, for the status.
  void close(const float* rest, uint32_t device_us, bool waits = true) noexcept;
  bool confirmed() const noexcept { return confirmed_; }
  uint8_t ack_status() const noexcept { return ack_status_; }
  int64_t ttl_ns() const noexcept { return ttl_ns_; }

 private:
  bool same_device(int64_t give_up_ns) noexcept;
  bool send_arm() noexcept;
  void leave_session() noexcept;
  bool settle(int64_t give_up_ns) noexcept;
  bool same_pose(const uint8_t* pose, int64_t give_up_ns) noexcept;
  bool is_pose(const tl_state& state, const uint8_t* pose) noexcept;
  void send_reset() noexcept;
  bool armed_state(const tl_state& state, int64_t now_ns) noexcept;
  void check_commands_arrive(const tl_state& state, int64_t now_ns) noexcept;
  void read_ack(const tl_frame& frame) noexcept;
  void repeat(int64_t now_ns) noexcept;
  void disarm(bool waits) noexcept;

  Context& run_;
  uint32_t session_;  // its number
  int64_t ttl_ns_;
  uint16_t ttl_ms_;
  bool asked_to_arm_ = false;  // ARM was sent
  bool armed_ = false;         // or may have been
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
  int64_t sent_ns_ = 0;  // of the outstanding frame
  int64_t reset_since_ns_ = 0;
  int64_t heard_ns_ = 0;  // last STATE of any kind
  uint16_t acknowledged_seq_ = 0;
  int unacknowledged_ = 0;       // commands sent since the device last accepted one
  uint64_t refused_before_ = 0;  // commands it had refused by then
  int64_t unacknowledged_ns_ = 0;
  bool end_seen_ = true;  // dry run: the previous STATE had the end of an episode
};

}  // namespace rtu::runtime::loop
