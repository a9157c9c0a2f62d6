/* Arbitrary bytes: a million random ones, all short inputs, buffers of exact size so that a sanitizer detects each
 * access beyond them. */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "firmware_bridge/protocol/cobs.h"
#include "firmware_bridge/protocol/frame.h"
#include "firmware_bridge/protocol/messages.h"

/* All operations of host and device on a frame of any type. */
static void unpack_all(const tl_frame* frame) {
  tl_hello hello;
  tl_ping ping;
  tl_pong pong;
  tl_describe describe;
  tl_row row;
  tl_cmd cmd;
  tl_arm arm;
  tl_ack ack;
  tl_reset reset;
  tl_state state;
  tl_event event;
  tl_param param;
  tl_log log;
  int taken = tl_hello_unpack(frame, &hello) + tl_ping_unpack(frame, &ping) + tl_pong_unpack(frame, &pong) +
              tl_describe_unpack(frame, &describe) + tl_row_unpack(frame, &row) + tl_cmd_unpack(frame, &cmd) +
              tl_arm_unpack(frame, &arm) + tl_ack_unpack(frame, &ack) + tl_reset_unpack(frame, &reset) +
              tl_state_unpack(frame, &state) + tl_event_unpack(frame, &event) + tl_param_unpack(frame, &param) +
              tl_log_unpack(frame, &log);
  CHECK(taken <= 1);
}

/* n bytes on the heap, exactly: reading or writing one more is an error the sanitizer reports. */
static uint8_t* exact(const uint8_t* bytes, size_t n) {
  uint8_t* copy = (uint8_t*)malloc(n != 0 ? n : 1);
  if (n != 0) memcpy(copy, bytes, n);
  return copy;
}

static void random_bytes(void) {
  uint64_t seed = 1;
  tl_decoder decoder;
  tl_frame frame;
  tl_decoder_init(&decoder);
  size_t total = 0;
  while (total < 1000000) {
    uint8_t bytes[600];
    const size_t n = check_random(&seed) % sizeof bytes;
    const int zeros = (int)(check_random(&seed) % 3); /* none but by chance, some, many: frames of every length */
    for (size_t i = 0; i < n; i++) {
      const uint64_t r = check_random(&seed);
      bytes[i] = zeros != 0 && r % (zeros == 1 ? 100 : 10) == 0 ? 0 : (uint8_t)(r >> 32);
    }
    uint8_t* heap = exact(bytes, n);
    const uint8_t* p = heap;
    while (tl_decoder_next(&decoder, &p, heap + n, &frame)) unpack_all(&frame);
    CHECK(p == heap + n);
    free(heap);
    total += n;
  }
  CHECK(tl_decoder_errors(&decoder) > 1000);
  CHECK(decoder.frames <= 2); /* a 32-bit CRC lets one of 4e9 through */
}

/* Random payloads with a valid CRC: tests the messages, not the framing. */
static void random_payloads(void) {
  uint64_t seed = 2;
  const uint8_t types[] = {1, 2, 3, 4, 5, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x20, 0x21, 0x30, 0x31, 0x7F, 0x99};
  tl_decoder decoder;
  tl_decoder_init(&decoder);
  for (unsigned i = 0; i < 20000; i++) {
    tl_frame frame, back;
    uint8_t wire[TL_WIRE_MAX];
    memset(&frame, 0, sizeof frame);
    frame.type = types[check_random(&seed) % sizeof types];
    frame.size = (uint8_t)(check_random(&seed) % (TL_PAYLOAD_MAX + 1));
    for (unsigned k = 0; k < frame.size; k++) frame.payload[k] = (uint8_t)(check_random(&seed) >> 40);
    if (frame.size > 11 && i % 2 == 0) frame.payload[11] = (uint8_t)((frame.size - 12) / 4);
    const size_t n = tl_frame_encode(&frame, wire);
    uint8_t* heap = exact(wire, n);
    const uint8_t* p = heap;
    CHECK(tl_decoder_next(&decoder, &p, heap + n, &back));
    CHECK(p == heap + n && back.type == frame.type && back.size == frame.size);
    CHECK(memcmp(back.payload, frame.payload, frame.size) == 0);
    unpack_all(&back);
    free(heap);
  }
  CHECK(tl_decoder_errors(&decoder) == 0);
}

static void frames_of_every_size(void) {
  tl_frame frame, back;
  uint8_t wire[TL_WIRE_MAX];
  memset(&frame, 0, sizeof frame);
  frame.type = TL_TYPE_LOG;
  for (unsigned size = 0; size <= TL_PAYLOAD_MAX; size++) {
    for (unsigned fill = 0; fill < 2; fill++) {
      memset(frame.payload, fill == 0 ? 0 : 0xAA, sizeof frame.payload);
      frame.size = (uint8_t)size;
      const size_t n = tl_frame_encode(&frame, wire);
      CHECK(n == size + 14 && memchr(wire, 0, n) == wire + n - 1);
      CHECK(tl_frame_decode(wire, n - 1, &back) == TL_DECODE_OK && back.size == size);
      /* One byte at a time gives the same. */
      tl_decoder decoder;
      tl_decoder_init(&decoder);
      bool found = false;
      for (size_t i = 0; i < n; i++) {
        const uint8_t* p = wire + i;
        found = tl_decoder_next(&decoder, &p, p + 1, &back);
        CHECK(found == (i == n - 1));
      }
      CHECK(back.size == size && memcmp(back.payload, frame.payload, size) == 0);
    }
  }
  frame.size = TL_PAYLOAD_MAX + 1;
  memset(wire, 0x55, sizeof wire);
  CHECK(tl_frame_encode(&frame, wire) == 0 && wire[0] == 0x55);
}

/* A refused frame leaves *out unchanged. */
static void refused_leaves_out_untouched(void) {
  tl_frame frame, before;
  uint8_t wire[TL_WIRE_MAX];
  tl_empty_pack(TL_TYPE_ESTOP, &frame);
  frame.seq = 1;
  frame.t_us = 0;
  const size_t n = tl_frame_encode(&frame, wire);
  memset(&frame, 0x5A, sizeof frame);
  before = frame;
  for (size_t i = 0; i + 1 < n; i++) {
    wire[i] ^= 0x10;
    CHECK(tl_frame_decode(wire, n - 1, &frame) != TL_DECODE_OK);
    CHECK(memcmp(&frame, &before, sizeof frame) == 0);
    wire[i] ^= 0x10;
  }
  CHECK(tl_frame_decode(wire, TL_COBS_SIZE_MAX + 1, &frame) == TL_DECODE_OVERLONG);
  CHECK(tl_frame_decode(wire, 0, &frame) == TL_DECODE_GARBLED);
}

/* All inputs of up to three bytes from an alphabet of the edges: no crash, decoding in place agrees, and what decodes
 * re-encodes. */
static void cobs_exhaustive(void) {
  const uint8_t edge[] = {0, 1, 2, 3, 4, 0xFE, 0xFF};
  for (unsigned code = 0; code < 7 * 7 * 7 * 7; code++) {
    const uint8_t in[4] = {edge[code % 7], edge[code / 7 % 7], edge[code / 49 % 7], edge[code / 343]};
    for (size_t n = 0; n <= 4; n++) {
      uint8_t out[4], place[4], again[8];
      memcpy(place, in, sizeof place);
      const size_t size = tl_cobs_decode(in, n, out);
      CHECK(tl_cobs_decode(place, n, place) == size);
      if (size == TL_COBS_ERROR) continue;
      CHECK(size < n && memcmp(out, place, size) == 0);
      CHECK(tl_cobs_encode(out, size, again) == n && memcmp(again, in, n) == 0);
    }
  }
}

int main(void) {
  random_bytes();
  random_payloads();
  frames_of_every_size();
  refused_leaves_out_untouched();
  cobs_exhaustive();
  return check_result("decoder");
}
