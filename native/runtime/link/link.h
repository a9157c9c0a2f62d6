// The host's end of TickLink: sends and receives frames through a Wire, and performs request-answer exchanges. Used by
// one thread at a time; LinkOwner passes a link between threads.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <string>

#include "firmware_bridge/protocol/frame.h"
#include "firmware_bridge/protocol/messages.h"
#include "native/runtime/clock.h"
#include "native/runtime/link/quality.h"
#include "native/runtime/link/wire.h"
#include "native/runtime/record/status.h"

namespace rtu::runtime::link {

enum class LinkStatus : int {
  kOk = 0,
  kTimeout = -1,  // no answer in time
  kGone = -2,     // the port is closed or unplugged
  kRefused = -3,  // the device refused: Link::last_ack_status
  kVersion = -4,  // another protocol version
  kSchema = -5,   // the rows do not hash to HELLO's schema_hash
  kBusy = -6,     // another thread owns the link
  kRow = -7,      // a ROW whose name or unit is not valid text: Link::bad_row
  kAnother = -8,  // the device has restarted, or is another one: Link::another
};

// Whether two HELLOs describe the same device: all but boot_id, the firmware's version and the sessions used.
bool same_sheet(const tl_hello& a, const tl_hello& b) noexcept;

// A frame ready for the wire, kept so that it can be sent again unchanged.
struct Encoded {
  uint8_t bytes[TL_WIRE_MAX];
  size_t size = 0;
  uint16_t seq = 0;
};

// Input received during the HELLO exchange: diagnoses why no device answered.
struct HelloInput {
  static constexpr size_t kKept = 256;

  uint64_t bytes = 0;
  uint64_t damaged = 0;  // frames that failed their CRC or their framing
  uint64_t echoes = 0;   // the host's own request, echoed by the line
  uint64_t others = 0;   // good frames that are neither the answer nor an echo
  uint8_t first[kKept];  // the first bytes

  void add(const uint8_t* data, size_t n) noexcept;
};

// A running FNV-1a hash of bytes, and, for tests, the first of these bytes. 0 and no bytes while it is off.
class WireRecord {
 public:
  explicit WireRecord(size_t capture) : capture_(capture > 0 ? new uint8_t[capture] : nullptr), capacity_(capture) {}

  void restart(bool on) noexcept;
  void add(const uint8_t* data, size_t n) noexcept;
  uint64_t hash() const noexcept { return hash_; }
  const uint8_t* captured() const noexcept { return capture_.get(); }
  size_t captured_bytes() const noexcept { return used_; }

 private:
  std::unique_ptr<uint8_t[]> capture_;
  size_t capacity_;
  size_t used_ = 0;
  uint64_t hash_ = 0;
};

class Link {
 public:
  // capture_bytes: bytes kept per direction; all memory is allocated here.
  Link(Wire wire, Clock clock, size_t capture_bytes);

  // The next good frame: 1, or 0 at the deadline (a deadline in the past polls), or -1 when the port is gone. EVENT,
  // LOG and HELLO are recorded and returned as well.
  int receive(tl_frame* out, int64_t deadline_ns) noexcept;

  // Discards unread input, but publishes its last STATE. False: the port is gone.
  bool discard_input() noexcept;

  // The port was opened again: drops unread input and the partial frames in both directions.
  void begin_again() noexcept;

  // Gives the frame the next sequence number and the time stamp.
  void encode(tl_frame* frame, uint32_t t_us, Encoded* out) noexcept;

  // Writes the whole frame, or as much as the other end accepts before the deadline: then it returns false, counts the
  // loss, and starts the next frame with a delimiter so that only this one is lost.
  bool transmit(const Encoded& frame, int64_t deadline_ns) noexcept;

  // Exchanges: repeat the request every retry_ns until the answer or the timeout.
  LinkStatus hello(int64_t timeout_ns, tl_hello* out) noexcept;  // other input meanwhile: hello_input
  LinkStatus describe(const tl_hello& hello, int64_t timeout_ns,
                      tl_row* rows) noexcept;  // observation_size + action_size rows
  // kAnother at once if the device of hello() was restarted or exchanged: ARM is never repeated to another device.
  LinkStatus arm(uint32_t session, bool lockstep, int64_t timeout_ns) noexcept;
  LinkStatus disarm(int64_t timeout_ns) noexcept;  // after a timeout: sends the same frame again
  LinkStatus clear_fault(int64_t timeout_ns) noexcept;
  void await_state(int64_t timeout_ns) noexcept;  // until the next STATE is published
  // Until STATE reports ESTOP; true only then.
  bool estop(int64_t timeout_ns) noexcept;

  Clock clock() const noexcept { return clock_; }
  // Session numbers are serial numbers of 32 bits without 0: 1 comes after the largest.
  uint32_t next_session() const noexcept { return last_session == UINT32_MAX ? 1 : last_session + 1; }
  uint32_t now_us() const noexcept { return static_cast<uint32_t>(clock_.now() / kNsPerUs); }
  const record::LinkCounters& counters() const noexcept { return counters_; }

  LinkMeter meter;  // receives each good frame; a loop adds the rest

  // Of a lockstep session, from ARM to its end: hashes of the frames sent (without repeats) and accepted. In real time
  // both are off, and no frame is copied. arm() restarts both.
  WireRecord sent;
  WireRecord received;
  bool recording = false;
  HelloInput hello_input;       // of the last hello()
  void accept_last() noexcept;  // marks the frame that receive() returned last as accepted

  uint8_t last_ack_status = TL_STATUS_OK;
  uint32_t last_session = 0;      // the newest used or reported; 0: none
  int bad_row = 0;                // of the last describe()
  tl_hello known{};               // the last hello() answered; proto_ver 0: none yet
  bool another = false;           // a HELLO with another boot_id or data sheet has arrived since
  uint64_t commands_refused = 0;  // EVENT refused, as far as they arrived
  uint8_t last_refusal = 0;       // TL_STATUS_* of the last one
  char failed_check[121] = {};    // why a plant check ended a session; refuses ARM until clear_fault()
  char last_error[121] = {};      // text of the last LOG of level error, printable ASCII; "" none since ARM

  // Shared with the thread of the control socket.
  std::atomic<bool> busy{false};
  std::atomic<uint32_t> estop_requests{0};
  std::atomic<uint32_t> estops_open{0};  // see open_estop()
  std::atomic<uint32_t> arm_token{0};    // 0: no owner waits for the command to arm
  std::atomic<uint32_t> arm_requests{0};
  record::StatusBoard board;
  // The answer to the command channels, one line: the owner writes it before a loop runs; "": none.
  std::mutex channels_guard;
  std::string channels;

  void request_estop() noexcept { estop_requests.fetch_add(1, std::memory_order_relaxed); }
  // An emergency stop whose requester waits for the device's confirmation: nothing arms until close_estop().
  void open_estop() noexcept {
    estops_open.fetch_add(1, std::memory_order_relaxed);
    request_estop();
  }
  void close_estop() noexcept { estops_open.fetch_sub(1, std::memory_order_relaxed); }

 private:
  bool lockstep_ = false;    // the session is, until DISARM is acknowledged
  uint32_t encoded_us_ = 0;  // time stamp of the newest frame
  bool disarming_ = false;   // disarm_ waits for its answer
  Encoded disarm_;
  LinkStatus ask(const Encoded& encoded, uint8_t type, uint8_t answer_type, int64_t timeout_ns,
                 tl_frame* answer) noexcept;
  LinkStatus ask(tl_frame* question, uint8_t answer_type, int64_t timeout_ns, tl_frame* answer) noexcept;
  LinkStatus ask_ack(tl_frame* question, int64_t timeout_ns) noexcept;
  LinkStatus wait_hello(const Encoded& question, int64_t deadline_ns, tl_hello* out) noexcept;
  bool next_frame(tl_frame* out) noexcept;
  void keep_raw(const uint8_t* from, bool good) noexcept;
  void note(const tl_frame& frame) noexcept;
  void note_state(const tl_frame& frame) noexcept;
  bool is_known(tl_hello hello) const noexcept;

  Wire wire_;
  Clock clock_;
  record::LinkCounters counters_;
  tl_decoder decoder_;
  uint8_t in_[4096];
  const uint8_t* at_ = in_;
  const uint8_t* end_ = in_;
  uint8_t raw_[TL_WIRE_MAX];  // while recording or in hello(): bytes of the current frame, then of the last one
  size_t raw_size_ = 0;
  bool raw_complete_ = false;
  uint16_t seq_ = 0;
  bool cut_ = false;  // the last frame was sent in part
  int empty_reads_ = 0;
  bool in_hello_ = false;
  uint32_t hash_1_ = 0;  // of the rows of describe(), as version 1 has it; 0: not known
};

constexpr int64_t kMomentNs = 100 * kNsPerMs;

// Scope guard of a thread's use of a link.
class LinkOwner {
 public:
  explicit LinkOwner(Link& link) noexcept : link_(link), owns_(!link.busy.exchange(true, std::memory_order_acquire)) {}
  // Waits for a thread that uses the link only briefly, such as the control socket's.
  LinkOwner(Link& link, int64_t wait_ns) noexcept : LinkOwner(link) {
    const Clock clock = link.clock();
    const int64_t give_up_ns = clock.now() + wait_ns;
    for (int64_t now = 0; !owns_ && (now = clock.now()) < give_up_ns;) {
      clock.sleep(now + kNsPerMs);
      owns_ = !link.busy.exchange(true, std::memory_order_acquire);
    }
  }
  ~LinkOwner() {
    if (owns_) link_.busy.store(false, std::memory_order_release);
  }
  LinkOwner(const LinkOwner&) = delete;
  LinkOwner& operator=(const LinkOwner&) = delete;
  explicit operator bool() const noexcept { return owns_; }

 private:
  Link& link_;
  bool owns_;
};

}  // namespace rtu::runtime::link
