#include "native/runtime/link/link.h"

#include <string.h>

namespace rtu::runtime::link {
namespace {

constexpr int64_t kAskAgainNs = 100 * kNsPerMs;
constexpr int64_t kEstopAgainNs = 20 * kNsPerMs;
constexpr int64_t kWriteNs = 50 * kNsPerMs;
constexpr int kEmptyReadsMax = 8;
constexpr uint8_t kLogError = 3;
constexpr int kLateReadsMax = 16;  // bound past the deadline: more than the system buffers

}  // namespace

void HelloInput::add(const uint8_t* data, size_t n) noexcept {
  if (bytes < kKept) {
    const auto used = static_cast<size_t>(bytes);
    memcpy(first + used, data, n < kKept - used ? n : kKept - used);
  }
  bytes += n;
}

void WireRecord::restart(bool on) noexcept {
  used_ = 0;
  hash_ = on ? 0xCBF29CE484222325u : 0;
}

void WireRecord::add(const uint8_t* data, size_t n) noexcept {
  for (size_t i = 0; i < n; ++i) hash_ = (hash_ ^ data[i]) * 0x100000001B3u;
  const size_t kept = n < capacity_ - used_ ? n : capacity_ - used_;
  if (kept > 0) memcpy(capture_.get() + used_, data, kept);
  used_ += kept;
}

Link::Link(Wire wire, Clock clock, size_t capture_bytes)
    : sent(capture_bytes), received(capture_bytes), wire_(wire), clock_(clock) {
  tl_decoder_init(&decoder_);
  sent.restart(false);
  received.restart(false);
}

void Link::note(const tl_frame& frame) noexcept {
  tl_event event;
  tl_hello hello;
  tl_log log;
  if (frame.type == TL_TYPE_EVENT && tl_event_unpack(&frame, &event) && event.code == TL_EVENT_REFUSED) {
    ++commands_refused;
    last_refusal = event.status;
  } else if (frame.type == TL_TYPE_HELLO && tl_hello_unpack(&frame, &hello) && hello.role == TL_ROLE_DEVICE) {
    another = another || (known.proto_ver != 0 && (hello.boot_id != known.boot_id || !is_known(hello)));
  } else if (frame.type == TL_TYPE_LOG && tl_log_unpack(&frame, &log) && log.level <= kLogError) {
    size_t n = 0;
    for (; n < log.length && n + 1 < sizeof last_error; ++n)
      last_error[n] = log.text[n] >= ' ' && log.text[n] <= '~' ? log.text[n] : '?';
    last_error[n] = 0;
  }
}

// The status shows what STATE reported, never a conclusion from another answer.
void Link::note_state(const tl_frame& frame) noexcept {
  tl_state state;
  if (frame.type == TL_TYPE_STATE && tl_state_unpack(&frame, &state)) {
    board.device_state.store(state.state, std::memory_order_relaxed);
    board.show_observations(state.x, state.n);
  }
}

// Keeps the bytes after the second-last delimiter: the frame itself, without damaged bytes before it.
void Link::keep_raw(const uint8_t* from, bool good) noexcept {
  if (raw_complete_) raw_size_ = 0;
  raw_complete_ = good;
  const size_t n = static_cast<size_t>(at_ - from);
  const auto* cut = static_cast<const uint8_t*>(memrchr(from, 0, good ? n - 1 : n));
  const uint8_t* const begin = cut != nullptr ? cut + 1 : from;
  if (cut != nullptr) raw_size_ = 0;
  size_t keep = static_cast<size_t>(at_ - begin);
  if (keep > sizeof raw_ - raw_size_) keep = sizeof raw_ - raw_size_;
  memcpy(raw_ + raw_size_, begin, keep);
  raw_size_ += keep;
}

bool Link::next_frame(tl_frame* out) noexcept {
  if (at_ == end_) return false;
  const uint8_t* const from = at_;
  const bool good = tl_decoder_next(&decoder_, &at_, end_, out);
  if (recording || in_hello_) keep_raw(from, good);
  counters_.crc_errors.set(decoder_.crc_errors);
  counters_.framing_errors.set(static_cast<uint64_t>(decoder_.garbled) + decoder_.overlong);
  if (!good) return false;
  ++counters_.frames_received;
  meter.received(*out, clock_.now());
  note(*out);
  return true;
}

int Link::receive(tl_frame* out, int64_t deadline_ns) noexcept {
  int late_reads = 0;
  for (;;) {
    if (next_frame(out)) return 1;
    if (late_reads > kLateReadsMax) return 0;
    const ptrdiff_t n = wire_.read(wire_.self, in_, sizeof in_);
    if (n < 0) return -1;
    if (n > 0) {
      empty_reads_ = 0;
      counters_.bytes_received += static_cast<uint64_t>(n);
      if (in_hello_) hello_input.add(in_, static_cast<size_t>(n));
      at_ = in_;
      end_ = in_ + n;
      if (clock_.now() >= deadline_ns) ++late_reads;
      continue;
    }
    const int ready = wire_.wait(wire_.self, deadline_ns, false);
    if (ready < 0) return -1;
    if (ready == 0) return 0;
    // Repeatedly readable but empty: the other end has closed.
    if (++empty_reads_ > kEmptyReadsMax) return -1;
  }
}

bool Link::discard_input() noexcept {
  tl_frame frame;
  int got = 1;
  // Bounded: does not wait for a device that sends without pause.
  for (int i = 0; i < 1024 && got > 0; ++i)
    if ((got = receive(&frame, 0)) > 0) note_state(frame);
  return got >= 0;
}

void Link::begin_again() noexcept {
  static const uint8_t delimiter = 0;
  tl_frame frame;
  at_ = end_ = in_;
  for (const uint8_t* p = &delimiter; p < &delimiter + 1;) (void)tl_decoder_next(&decoder_, &p, &delimiter + 1, &frame);
  empty_reads_ = 0;
  cut_ = true;
}

void Link::encode(tl_frame* frame, uint32_t t_us, Encoded* out) noexcept {
  frame->seq = seq_++;
  frame->t_us = t_us;
  encoded_us_ = t_us;
  out->seq = frame->seq;
  out->size = tl_frame_encode(frame, out->bytes);
  if (recording) sent.add(out->bytes, out->size);
}

bool Link::transmit(const Encoded& frame, int64_t deadline_ns) noexcept {
  static const uint8_t delimiter = 0;
  if (cut_) {
    if (wire_.write(wire_.self, &delimiter, 1) != 1) {
      ++counters_.write_short;
      return false;
    }
    cut_ = false;
    ++counters_.bytes_sent;
  }
  size_t done = 0;
  while (done < frame.size) {
    const ptrdiff_t n = wire_.write(wire_.self, frame.bytes + done, frame.size - done);
    if (n < 0) break;
    done += static_cast<size_t>(n);
    counters_.bytes_sent += static_cast<uint64_t>(n);
    if (done < frame.size && n == 0 && wire_.wait(wire_.self, deadline_ns, true) <= 0) break;
  }
  if (done == frame.size) {
    ++counters_.frames_sent;
    return true;
  }
  cut_ = done > 0;
  ++counters_.write_short;
  return false;
}

void Link::accept_last() noexcept {
  if (raw_complete_ && recording) received.add(raw_, raw_size_);
}

// Repeats the request, unchanged, until a frame of answer_type arrives. For ACK: the one that acknowledges this
// request.
LinkStatus Link::ask(tl_frame* question, uint8_t answer_type, int64_t timeout_ns, tl_frame* answer) noexcept {
  Encoded encoded;
  encode(question, now_us(), &encoded);
  return ask(encoded, question->type, answer_type, timeout_ns, answer);
}

LinkStatus Link::ask(const Encoded& encoded, uint8_t type, uint8_t answer_type, int64_t timeout_ns,
                     tl_frame* answer) noexcept {
  const int64_t give_up_ns = clock_.now() + timeout_ns;
  for (;;) {
    int64_t now = clock_.now();
    if (now >= give_up_ns) return LinkStatus::kTimeout;
    transmit(encoded, earlier(now + kWriteNs, give_up_ns));
    const int64_t again_ns = earlier(now + kAskAgainNs, give_up_ns);
    for (;;) {
      const int got = receive(answer, again_ns);
      if (got < 0) return LinkStatus::kGone;
      if (got == 0) break;
      note_state(*answer);
      if (answer->type != answer_type) continue;
      tl_ack ack;
      if (answer_type != TL_TYPE_ACK) return LinkStatus::kOk;
      if (tl_ack_unpack(answer, &ack) && ack.type == type && ack.seq == encoded.seq) {
        last_ack_status = ack.status;
        return ack.status == TL_STATUS_OK ? LinkStatus::kOk : LinkStatus::kRefused;
      }
    }
  }
}

LinkStatus Link::ask_ack(tl_frame* question, int64_t timeout_ns) noexcept {
  tl_frame answer;
  return ask(question, TL_TYPE_ACK, timeout_ns, &answer);
}

LinkStatus Link::hello(int64_t timeout_ns, tl_hello* out) noexcept {
  const int64_t give_up_ns = clock_.now() + timeout_ns;
  const uint32_t damaged = tl_decoder_errors(&decoder_);
  tl_hello mine{};
  mine.proto_ver = TL_PROTO_VERSION;
  mine.role = TL_ROLE_HOST;
  tl_frame frame;
  Encoded question;
  tl_hello_pack(&mine, &frame);
  encode(&frame, now_us(), &question);
  hello_input = HelloInput{};
  in_hello_ = raw_complete_ = true;  // earlier input is not kept
  LinkStatus status = LinkStatus::kTimeout;
  bool older = false;
  // Repeats every kAskAgainNs, regardless of input: an echoing line answers every request with the request.
  for (int64_t now = clock_.now(); status == LinkStatus::kTimeout && now < give_up_ns; now = clock_.now()) {
    transmit(question, earlier(now + kWriteNs, give_up_ns));
    status = wait_hello(question, earlier(now + kAskAgainNs, give_up_ns), out);
    // What a device sends at boot is of version 1, in case the host is of version 1. Only the answer to a request
    // that was sent after it shows that the device is of version 1.
    if (status == LinkStatus::kOk && out->proto_ver < TL_PROTO_VERSION && !older) {
      older = true;
      status = LinkStatus::kTimeout;
    }
  }
  in_hello_ = false;
  hello_input.damaged = tl_decoder_errors(&decoder_) - damaged;
  if (status == LinkStatus::kTimeout || status == LinkStatus::kGone)
    counters_.boot_noise_bytes.set(counters_.bytes_received.get());
  return status;
}

// Until the device's HELLO, or the deadline.
LinkStatus Link::wait_hello(const Encoded& question, int64_t deadline_ns, tl_hello* out) noexcept {
  for (;;) {
    tl_frame answer;
    tl_hello theirs;
    const int got = receive(&answer, deadline_ns);
    if (got < 0) return LinkStatus::kGone;
    if (got == 0) return LinkStatus::kTimeout;
    const bool hello = answer.type == TL_TYPE_HELLO && tl_hello_unpack(&answer, &theirs);
    if (!hello || theirs.role != TL_ROLE_DEVICE) {
      const bool echo = raw_size_ == question.size && memcmp(raw_, question.bytes, raw_size_) == 0;
      ++(echo ? hello_input.echoes : hello_input.others);
      continue;
    }
    *out = theirs;
    if (theirs.schema_hash != known.schema_hash || theirs.boot_id != known.boot_id) hash_1_ = 0;
    known = theirs;
    another = false;
    last_session = theirs.last_session;
    return theirs.proto_ver >= 1 && theirs.proto_ver <= TL_PROTO_VERSION ? LinkStatus::kOk : LinkStatus::kVersion;
  }
}

LinkStatus Link::arm(uint32_t session, bool lockstep, int64_t timeout_ns) noexcept {
  const tl_arm arm{lockstep, session};
  tl_frame question;
  tl_frame answer;
  Encoded encoded;
  tl_arm_pack(&arm, &question);
  discard_input();
  seq_ = 0;
  recording = lockstep;
  raw_complete_ = true;
  sent.restart(lockstep);
  received.restart(lockstep);
  if (static_cast<int32_t>(session - last_session) > 0) last_session = session;  // docs/protocol_device.md
  lockstep_ = lockstep;
  meter.begin(lockstep);
  disarming_ = false;
  encode(&question, lockstep ? 0 : now_us(), &encoded);
  const int64_t give_up_ns = clock_.now() + timeout_ns;
  for (;;) {
    const int64_t now = clock_.now();
    if (another) return LinkStatus::kAnother;
    if (now >= give_up_ns) return LinkStatus::kTimeout;
    // The identical frame again: a device that has already armed on it repeats the acknowledgement.
    transmit(encoded, earlier(now + kWriteNs, give_up_ns));
    for (int got = 1; got > 0;) {
      got = receive(&answer, earlier(now + kAskAgainNs, give_up_ns));
      if (got < 0) return LinkStatus::kGone;
      if (another) return LinkStatus::kAnother;
      if (got > 0) note_state(answer);
      tl_ack ack;
      if (got == 0 || !tl_ack_unpack(&answer, &ack) || ack.type != TL_TYPE_ARM || ack.seq != encoded.seq) continue;
      last_ack_status = ack.status;
      accept_last();
      return ack.status == TL_STATUS_OK ? LinkStatus::kOk : LinkStatus::kRefused;
    }
  }
}

LinkStatus Link::disarm(int64_t timeout_ns) noexcept {
  tl_frame frame;
  if (!disarming_) {
    tl_empty_pack(TL_TYPE_DISARM, &frame);
    // In lockstep no real time is on the wire: the frame that ends a session carries the time stamp of the previous
    // frame.
    encode(&frame, lockstep_ ? encoded_us_ : now_us(), &disarm_);
    disarming_ = true;
  }
  const LinkStatus status = ask(disarm_, TL_TYPE_DISARM, TL_TYPE_ACK, timeout_ns, &frame);
  if (status != LinkStatus::kTimeout) disarming_ = false;
  if (status == LinkStatus::kOk) lockstep_ = false;
  return status;
}

void Link::await_state(int64_t timeout_ns) noexcept {
  const int64_t give_up_ns = clock_.now() + timeout_ns;
  tl_frame frame;
  while (receive(&frame, give_up_ns) > 0) {
    note_state(frame);
    if (frame.type == TL_TYPE_STATE) return;
  }
}

LinkStatus Link::clear_fault(int64_t timeout_ns) noexcept {
  tl_frame question;
  tl_empty_pack(TL_TYPE_CLEAR_FAULT, &question);
  const LinkStatus status = ask_ack(&question, timeout_ns);
  if (status == LinkStatus::kOk) failed_check[0] = 0;
  return status;
}

bool Link::estop(int64_t timeout_ns) noexcept {
  const int64_t give_up_ns = clock_.now() + timeout_ns;
  tl_frame frame;
  Encoded encoded;
  tl_empty_pack(TL_TYPE_ESTOP, &frame);
  encode(&frame, now_us(), &encoded);
  while (clock_.now() < give_up_ns) {
    const int64_t now = clock_.now();
    board.turns.fetch_add(1, std::memory_order_relaxed);
    const bool taken = transmit(encoded, now + kEstopAgainNs);
    for (int got = 1; got > 0;) {
      got = receive(&frame, earlier(now + kEstopAgainNs, give_up_ns));
      if (got < 0) {
        if (!taken) return false;
        empty_reads_ = 0;  // the port is writable: another reader, which could not be ended, took every answer
      }
      if (got <= 0) continue;
      note_state(frame);
      tl_state state;
      if (tl_state_unpack(&frame, &state) && state.state == TL_STATE_ESTOP) return true;
    }
  }
  return false;
}

}  // namespace rtu::runtime::link
