// TickLink's frames and messages. The first byte selects: even, a stream of bytes in pieces of any size; odd, one frame
// with a corrected CRC, so that the unpackers are reached.
//
// Properties: fragmentation has no effect; a decoded frame encodes to the same frame; an unpacked message packs to the
// same payload; a refused one leaves its struct unchanged.
#include <vector>

#include "firmware_bridge/protocol/schema.h"
#include "input.h"

namespace {

constexpr size_t kWholePayload = SIZE_MAX;

bool same(const tl_frame& a, const tl_frame& b) {
  return a.type == b.type && a.flags == b.flags && a.seq == b.seq && a.t_us == b.t_us && a.size == b.size &&
         memcmp(a.payload, b.payload, a.size) == 0;
}

// reserved, and its two bytes after: sent as 0, regardless of the received value. kept: HELLO may be longer than what
// is packed.
template <class Message>
void round_trip(const tl_frame& frame, bool (*unpack)(const tl_frame*, Message*),
                void (*pack)(const Message*, tl_frame*), size_t kept = kWholePayload, size_t reserved = 0,
                size_t reserved_bytes = 0) {
  Message message, before;
  memset(&message, 0xA5, sizeof message);
  memcpy(&before, &message, sizeof before);
  if (!unpack(&frame, &message)) {
    CHECK(memcmp(&message, &before, sizeof message) == 0);
    return;
  }
  tl_frame again;
  memset(&again, 0, sizeof again);
  pack(&message, &again);
  CHECK(again.type == frame.type);
  CHECK((again.flags & ~TL_FLAG_LOCKSTEP) == 0 && (again.flags == 0 || (frame.flags & TL_FLAG_LOCKSTEP) != 0));
  CHECK(kept == kWholePayload ? again.size == frame.size : again.size == kept && again.size <= frame.size);
  tl_frame wanted = frame;
  memset(wanted.payload + reserved, 0, reserved_bytes);
  CHECK(memcmp(again.payload, wanted.payload, again.size) == 0);
}

// Fields that the receiver does not know are lost, and so are the bytes of a known one beyond those that it knows; what
// is left stays as it is.
void round_trip_row(const tl_frame& frame) {
  constexpr size_t kFixed = 56;
  tl_row row, before, second;
  memset(&row, 0xA5, sizeof row);
  memcpy(&before, &row, sizeof before);
  if (!tl_row_unpack(&frame, &row)) {
    CHECK(memcmp(&row, &before, sizeof row) == 0);
    return;
  }
  tl_frame once, twice, wanted = frame;
  memset(&once, 0, sizeof once);
  memset(&twice, 0, sizeof twice);
  tl_row_pack(&row, &once);
  wanted.payload[3] = 0;
  CHECK(once.size >= kFixed && memcmp(once.payload, wanted.payload, kFixed) == 0);
  CHECK(tl_row_unpack(&once, &second) && second.n_limits == row.n_limits && second.role == row.role);
  tl_row_pack(&second, &twice);
  CHECK(twice.size == once.size && memcmp(twice.payload, once.payload, once.size) == 0);
}

void look_at(const tl_frame& frame) {
  uint8_t wire[TL_WIRE_MAX];
  const size_t n = tl_frame_encode(&frame, wire);
  CHECK(n >= TL_RAW_MIN + 2 && n <= TL_WIRE_MAX && memchr(wire, 0, n) == wire + n - 1);
  tl_frame again;
  CHECK(tl_frame_decode(wire, n - 1, &again) == TL_DECODE_OK && same(frame, again));

  round_trip(frame, tl_hello_unpack, tl_hello_pack, 28);
  round_trip(frame, tl_ping_unpack, tl_ping_pack);
  round_trip(frame, tl_pong_unpack, tl_pong_pack);
  round_trip(frame, tl_describe_unpack, tl_describe_pack);
  round_trip_row(frame);
  round_trip(frame, tl_cmd_unpack, tl_cmd_pack);
  round_trip(frame, tl_arm_unpack, tl_arm_pack);
  round_trip(frame, tl_ack_unpack, tl_ack_pack);
  round_trip(frame, tl_reset_unpack, tl_reset_pack, kWholePayload, 6, 2);
  round_trip(frame, tl_state_unpack, tl_state_pack);
  round_trip(frame, tl_event_unpack, tl_event_pack);
  round_trip(frame, tl_param_unpack, tl_param_pack);
  round_trip(frame, tl_log_unpack, tl_log_pack);

  tl_row row;
  if (!tl_row_unpack(&frame, &row)) return;
  char line[TL_SCHEMA_LINE_MAX];
  CHECK(tl_schema_line(&row, line) < TL_SCHEMA_LINE_MAX);
  CHECK(!tl_row_valid(&row) || row.min < row.max);
}

void stream(const uint8_t* data, size_t size, size_t piece) {
  tl_decoder whole, cut;
  tl_decoder_init(&whole);
  tl_decoder_init(&cut);
  std::vector<tl_frame> frames;
  tl_frame frame;
  for (const uint8_t* at = data; tl_decoder_next(&whole, &at, data + size, &frame);) frames.push_back(frame);
  size_t count = 0;
  for (size_t from = 0; from < size; from += piece) {
    const uint8_t *at = data + from, *end = data + (size - from < piece ? size : from + piece);
    while (tl_decoder_next(&cut, &at, end, &frame)) {
      CHECK(count < frames.size() && same(frames[count], frame));
      ++count;
    }
    CHECK(at == end);
  }
  CHECK(count == frames.size() && whole.frames == count && cut.frames == count);
  CHECK(whole.crc_errors == cut.crc_errors && whole.garbled == cut.garbled && whole.overlong == cut.overlong);
  for (const tl_frame& found : frames) look_at(found);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  if ((data[0] & 1u) == 0) {
    stream(data + 1, size - 1, data[0] / 2u + 1u);
    return 0;
  }
  Input input(data + 1, size - 1);
  tl_frame frame;
  memset(&frame, 0, sizeof frame);
  frame.type = input.u8();
  frame.flags = input.u8();
  frame.seq = input.u16();
  frame.t_us = input.u32();
  frame.size = static_cast<uint8_t>(input.take(frame.payload, TL_PAYLOAD_MAX));
  look_at(frame);
  return 0;
}
