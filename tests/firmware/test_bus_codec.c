/* The packets of servo buses: every published vector in both directions, stuffing, damage, garbage, numbers. */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "firmware_bridge/bus/dynamixel.h"
#include "firmware_bridge/bus/feetech.h"
#include "firmware_bridge/bus/servo.h"

/* n bytes on the heap, exactly: reading one more is an error the sanitizer reports. */
static uint8_t* exact(const uint8_t* bytes, size_t n) {
  uint8_t* copy = (uint8_t*)malloc(n != 0 ? n : 1);
  if (n != 0) memcpy(copy, bytes, n);
  return copy;
}

static size_t bytes_of(const char* hex, uint8_t* out) {
  size_t n = 0;
  for (char* end; *hex != '\0'; hex = end) out[n++] = (uint8_t)strtoul(hex, &end, 16);
  return n;
}

typedef struct {
  const char* wire;
  uint8_t id, instruction, error;
  const char* params;
} vector;

/* ROBOTIS e-Manual, protocol 2.0. */
static const vector dynamixel[] = {
    {"FF FF FD 00 01 03 00 01 19 4E", 1, TL_BUS_PING, 0, ""},
    {"FF FF FD 00 01 07 00 55 00 06 04 26 65 5D", 1, TL_BUS_STATUS, 0, "06 04 26"},
    {"FF FF FD 00 FE 03 00 01 31 42", 254, TL_BUS_PING, 0, ""},
    {"FF FF FD 00 01 07 00 02 84 00 04 00 1D 15", 1, TL_BUS_READ, 0, "84 00 04 00"},
    {"FF FF FD 00 01 08 00 55 00 A6 00 00 00 8C C0", 1, TL_BUS_STATUS, 0, "A6 00 00 00"},
    {"FF FF FD 00 01 09 00 03 74 00 00 02 00 00 CA 89", 1, TL_BUS_WRITE, 0, "74 00 00 02 00 00"},
    {"FF FF FD 00 01 04 00 55 00 A1 0C", 1, TL_BUS_STATUS, 0, ""},
    {"FF FF FD 00 01 09 00 04 68 00 C8 00 00 00 AE 8E", 1, TL_BUS_REG_WRITE, 0, "68 00 C8 00 00 00"},
    {"FF FF FD 00 01 03 00 05 02 CE", 1, TL_BUS_ACTION, 0, ""},
    {"FF FF FD 00 01 03 00 08 2F 4E", 1, TL_BUS_REBOOT, 0, ""},
    {"FF FF FD 00 FE 09 00 82 84 00 04 00 01 02 CE FA", 254, TL_BUS_SYNC_READ, 0, "84 00 04 00 01 02"},
    {"FF FF FD 00 FE 11 00 83 74 00 04 00 01 96 00 00 00 02 AA 00 00 00 82 87", 254, TL_BUS_SYNC_WRITE, 0,
     "74 00 04 00 01 96 00 00 00 02 AA 00 00 00"},
    {"FF FF FD 00 FE 0D 00 92 01 90 00 02 00 02 92 00 01 00 1A 05", 254, TL_BUS_BULK_READ, 0,
     "01 90 00 02 00 02 92 00 01 00"},
    {"FF FF FD 00 FE 10 00 93 01 20 00 02 00 A0 00 02 1F 00 01 00 50 B7 68", 254, TL_BUS_BULK_WRITE, 0,
     "01 20 00 02 00 A0 00 02 1F 00 01 00 50"},
};

/* Feetech's manuals of the STS and SMS series; the second byte of an answer is its error. */
static const vector feetech[] = {
    {"FF FF 01 02 01 FB", 1, TL_BUS_PING, 1, ""},
    {"FF FF 01 02 00 FC", 1, 0, 0, ""},
    {"FF FF 01 04 02 38 02 BE", 1, TL_BUS_READ, 2, "38 02"},
    {"FF FF 01 04 00 18 05 DD", 1, 0, 0, "18 05"},
    {"FF FF 01 09 03 2A 00 08 00 00 E8 03 D5", 1, TL_BUS_WRITE, 3, "2A 00 08 00 00 E8 03"},
    {"FF FF 0A 09 04 2A 00 08 00 00 E8 03 CB", 10, TL_BUS_REG_WRITE, 4, "2A 00 08 00 00 E8 03"},
    {"FF FF FE 02 05 FA", 254, TL_BUS_ACTION, 5, ""},
    {"FF FF FE 20 83 2A 06 01 00 08 00 00 E8 03 02 00 08 00 00 E8 03 03 00 08 00 00 E8 03 04 00 08 00 00 E8 03 58", 254,
     TL_BUS_SYNC_WRITE, 0x83,
     "2A 06 01 00 08 00 00 E8 03 02 00 08 00 00 E8 03 03 00 08 00 00 E8 03 04 00 08 00 00 E8 03"},
    {"FF FF FE 06 82 38 08 01 02 36", 254, TL_BUS_SYNC_READ, 0x82, "38 08 01 02"},
    {"FF FF 01 0A 00 00 08 00 00 00 00 79 1E 55", 1, 0, 0, "00 08 00 00 00 00 79 1E"},
    {"FF FF 02 0A 00 FF 07 00 00 00 00 77 23 53", 2, 0, 0, "FF 07 00 00 00 00 77 23"},
};

static tl_bus_found next(bool is_dynamixel, const uint8_t* bytes, size_t n, bool last, tl_bus_packet* out,
                         uint8_t* params, size_t* used) {
  return is_dynamixel ? tl_dynamixel_next(bytes, n, last, out, params, TL_BUS_PARAMS_MAX, used)
                      : tl_feetech_next(bytes, n, last, out, used);
}

static size_t encode(bool is_dynamixel, const tl_bus_packet* p, uint8_t* out, size_t room) {
  if (!is_dynamixel) return tl_feetech_encode(p->id, p->instruction, p->params, p->size, out, room);
  if (p->instruction == TL_BUS_STATUS)
    return tl_dynamixel_encode_status(p->id, p->error, p->params, p->size, out, room);
  return tl_dynamixel_encode(p->id, p->instruction, p->params, p->size, out, room);
}

static void one_vector(bool is_dynamixel, const vector* v) {
  uint8_t wire[TL_BUS_WIRE_MAX], wanted[TL_BUS_PARAMS_MAX], params[TL_BUS_PARAMS_MAX], again[TL_BUS_WIRE_MAX];
  const size_t n = bytes_of(v->wire, wire), size = bytes_of(v->params, wanted);
  uint8_t* heap = exact(wire, n);
  tl_bus_packet packet;
  size_t used = 0;
  CHECK_AT(next(is_dynamixel, heap, n, false, &packet, params, &used) == TL_BUS_PACKET && used == n, v->wire);
  CHECK_AT(packet.id == v->id && packet.instruction == v->instruction && packet.error == v->error, v->wire);
  CHECK_AT(packet.size == size && memcmp(packet.params, wanted, size) == 0, v->wire);
  CHECK_AT(encode(is_dynamixel, &packet, again, n) == n && memcmp(again, wire, n) == 0, v->wire);
  memset(again, 0x5A, sizeof again);
  CHECK_AT(encode(is_dynamixel, &packet, again, n - 1) == 0 && again[0] == 0x5A, v->wire);
  for (size_t cut = 0; cut < n; cut++) { /* truncation at each byte, with and without hope of more */
    CHECK_AT(next(is_dynamixel, heap, cut, false, &packet, params, &used) == TL_BUS_MORE && used == 0, v->wire);
    CHECK_AT(next(is_dynamixel, heap, cut, true, &packet, params, &used) == (cut ? TL_BUS_DAMAGED : TL_BUS_MORE),
             v->wire);
    CHECK_AT(used == (cut ? 1 : 0), v->wire);
  }
  for (size_t bit = 0; bit < 8 * n; bit++) { /* each single bit */
    memcpy(again, wire, n);
    again[bit / 8] = (uint8_t)(again[bit / 8] ^ 1u << bit % 8);
    CHECK_AT(next(is_dynamixel, again, n, true, &packet, params, &used) != TL_BUS_PACKET, v->wire);
  }
  free(heap);
}

static const char* const garbage[] = {"11 FF 00", "FF FF", "FF FF FD", "FF FF FD 00", "FF", "FF FF FF", "00 00 00 00"};

/* What comes before a packet costs nothing of it. */
static void behind_garbage(bool is_dynamixel, const vector* v) {
  for (size_t g = 0; g < sizeof garbage / sizeof garbage[0]; g++) {
    uint8_t wire[TL_BUS_WIRE_MAX], params[TL_BUS_PARAMS_MAX];
    tl_bus_packet packet;
    size_t n = bytes_of(garbage[g], wire), at = 0, used = 0;
    n += bytes_of(v->wire, wire + n);
    tl_bus_found found;
    while ((found = next(is_dynamixel, wire + at, n - at, true, &packet, params, &used)) == TL_BUS_DAMAGED) at += used;
    CHECK_AT(found == TL_BUS_PACKET && packet.id == v->id && at + used == n, garbage[g]);
  }
}

static void stuffing(void) {
  uint8_t out[TL_BUS_WIRE_MAX], params[TL_BUS_PARAMS_MAX];
  static const uint8_t data[] = {0xFF, 0xFF, 0xFD, 0xAA, 0xFF, 0xFD, 0xFD, 0x00};
  static const uint8_t stuffed[] = {0xFF, 0xFF, 0xFD, 0xFD, 0xAA, 0xFF, 0xFD, 0xFD, 0x00};
  tl_bus_packet packet;
  size_t used, n = tl_dynamixel_encode(1, TL_BUS_WRITE, data, sizeof data, out, sizeof out);
  CHECK(n == 10 + sizeof stuffed && memcmp(out + 8, stuffed, sizeof stuffed) == 0 && out[5] == sizeof stuffed + 3);
  CHECK(tl_dynamixel_next(out, n, false, &packet, params, sizeof params, &used) == TL_BUS_PACKET);
  CHECK(packet.size == sizeof data && memcmp(packet.params, data, sizeof data) == 0);
  /* Unstuffed, as dynamixel-sdk 4.1.0 sends it: with a valid CRC, and refused. */
  memcpy(out + 8, data, sizeof data);
  out[5] = sizeof data + 3;
  const uint16_t crc = tl_dynamixel_crc(0, out, 8 + sizeof data);
  out[8 + sizeof data] = (uint8_t)crc;
  out[9 + sizeof data] = (uint8_t)(crc >> 8);
  CHECK(tl_dynamixel_next(out, 10 + sizeof data, false, &packet, params, sizeof params, &used) == TL_BUS_DAMAGED);
  CHECK(tl_dynamixel_crc(0, (const uint8_t*)"123456789", 9) == 0xFEE8);
  CHECK(tl_dynamixel_next(out, 0, false, &packet, params, 0, &used) == TL_BUS_MORE && used == 0);
}

/* 100 000 random packets of each protocol, rich in what begins a header; in pieces of any size. */
static void random_packets(bool is_dynamixel) {
  static const uint8_t rich[] = {0xFF, 0xFF, 0xFF, 0xFD, 0xFD, 0x00, 0x55};
  uint64_t seed = 3;
  const size_t most = is_dynamixel ? 60 : TL_FEETECH_PARAMS_MAX;
  for (unsigned i = 0; i < 100000; i++) {
    uint8_t data[TL_BUS_PARAMS_MAX], wire[TL_BUS_WIRE_MAX], params[TL_BUS_PARAMS_MAX];
    const uint64_t r = check_random(&seed);
    tl_bus_packet sent = {(uint8_t)(r % 253), (uint8_t)(r >> 8), 0, 0, data}, got;
    sent.size = (uint16_t)(check_random(&seed) % (i % 16 == 0 ? most + 1 : 12));
    for (size_t k = 0; k < sent.size; k++) {
      const uint64_t b = check_random(&seed) >> 20;
      data[k] = b % 8 != 0 ? rich[b / 8 % sizeof rich] : (uint8_t)(b >> 8);
    }
    if (r & 1u << 20) sent.instruction = TL_BUS_STATUS;
    if (sent.instruction == TL_BUS_STATUS) sent.error = (uint8_t)(r >> 32);
    const size_t n = encode(is_dynamixel, &sent, wire, sizeof wire);
    CHECK(n >= sent.size + (is_dynamixel ? 10u : 6u));
    uint8_t* heap = exact(wire, n);
    size_t used = 0;
    const size_t cut = check_random(&seed) % n;
    CHECK(next(is_dynamixel, heap, cut, false, &got, params, &used) == TL_BUS_MORE && used == 0);
    CHECK(next(is_dynamixel, heap, n, false, &got, params, &used) == TL_BUS_PACKET && used == n);
    CHECK(got.id == sent.id && got.instruction == sent.instruction && got.size == sent.size);
    CHECK(memcmp(got.params, data, sent.size) == 0 && (!is_dynamixel || got.error == sent.error));
    for (size_t k = 7; is_dynamixel && k + 3 < n - 2; k++) /* no header within */
      CHECK(!(heap[k] == 0xFF && heap[k + 1] == 0xFF && heap[k + 2] == 0xFD && heap[k + 3] == 0x00));
    free(heap);
  }
}

static void refused_by_encoders(void) {
  uint8_t out[TL_BUS_WIRE_MAX], zeros[TL_BUS_PARAMS_MAX + 1] = {0};
  out[0] = 0x5A;
  CHECK(tl_dynamixel_encode(253, TL_BUS_PING, NULL, 0, out, sizeof out) == 0);
  CHECK(tl_dynamixel_encode(255, TL_BUS_PING, NULL, 0, out, sizeof out) == 0);
  CHECK(tl_dynamixel_encode(1, TL_BUS_STATUS, NULL, 0, out, sizeof out) == 0);
  CHECK(tl_dynamixel_encode(1, TL_BUS_WRITE, zeros, sizeof zeros, out, sizeof out) == 0);
  CHECK(tl_feetech_encode(253, TL_BUS_PING, NULL, 0, out, sizeof out) == 0);
  CHECK(tl_feetech_encode(1, TL_BUS_WRITE, zeros, TL_FEETECH_PARAMS_MAX + 1, out, sizeof out) == 0);
  CHECK(out[0] == 0x5A);
  memset(zeros, 0xFF, sizeof zeros);
  for (size_t i = 2; i < sizeof zeros; i += 3) zeros[i] = 0xFD; /* the longest after stuffing */
  CHECK(tl_dynamixel_encode(1, TL_BUS_WRITE, zeros, TL_BUS_PARAMS_MAX, out, sizeof out) == 692);
}

/* A fast answer: whole, and broken off after each byte. */
static void fast_answers(void) {
  uint8_t params[3 * 8], wire[TL_BUS_WIRE_MAX], room[TL_BUS_PARAMS_MAX];
  uint8_t head[TL_BUS_WIRE_MAX] = {0xFF, 0xFF, 0xFD, 0x00, 0xFE, 3 * 8 + 1, 0, 0x55};
  size_t n = 8;
  for (uint8_t i = 0; i < 3; i++) {
    const uint8_t block[6] = {(uint8_t)(i * 0x80), (uint8_t)(i + 1), 0xFF, 0xFF, 0xFD, i};
    memcpy(head + n, block, sizeof block);
    n += sizeof block;
    const uint16_t crc = tl_dynamixel_crc(0, head, n);
    head[n++] = (uint8_t)crc;
    head[n++] = (uint8_t)(crc >> 8);
  }
  memcpy(params, head + 9, n - 11);
  CHECK(tl_dynamixel_encode_status(254, 0, params, n - 11, wire, sizeof wire) == n && memcmp(wire, head, n) == 0);
  tl_bus_packet packet, block;
  size_t used;
  CHECK(tl_dynamixel_next(wire, n, false, &packet, room, sizeof room, &used) == TL_BUS_PACKET && used == n);
  for (size_t i = 0; i < 3; i++) {
    CHECK(tl_dynamixel_fast_block(&packet, 4, i, &block) && block.id == i + 1 && block.error == (i * 0x80 & 0xFF));
    CHECK(block.size == 4 && block.params[2] == 0xFD && block.params[3] == i);
    for (size_t cut = 0; cut <= n; cut++) {
      uint8_t* heap = exact(wire, cut);
      CHECK(tl_dynamixel_fast_begun(heap, cut, 4, i, &block) == (cut >= 8 * (i + 2)));
      free(heap);
    }
  }
  CHECK(!tl_dynamixel_fast_block(&packet, 4, 3, &block) && !tl_dynamixel_fast_begun(wire, n, 4, 3, &block));
  wire[12] ^= 1;
  CHECK(!tl_dynamixel_fast_begun(wire, n, 4, 0, &block) && !tl_dynamixel_fast_begun(wire, n, 4, 2, &block));
}

static const tl_register* reg(const char* family, int which) { return &tl_servo_family_find(family)->registers[which]; }

static void numbers(void) {
  uint8_t out[4] = {0x5A, 0x5A, 0x5A, 0x5A};
  const tl_register* position = reg("feetech", TL_REG_POSITION);
  CHECK(tl_register_put(position, -100, false, out) && out[0] == 0x64 && out[1] == 0x80);
  CHECK(tl_register_get(position, false, out) == -100);
  CHECK(tl_register_put(position, -100, true, out) && out[0] == 0x80 && out[1] == 0x64);
  CHECK(tl_register_put(position, 0, false, out) && out[1] == 0);
  const tl_register* homing = reg("feetech", TL_REG_HOMING);
  CHECK(tl_register_put(homing, -2047, false, out) && out[0] == 0xFF && out[1] == 0x0F);
  CHECK(!tl_register_put(homing, -2048, false, out) && !tl_register_put(homing, 2048, false, out) && out[1] == 0x0F);
  const tl_register* load = reg("feetech", TL_REG_LOAD);
  CHECK(tl_register_put(load, -1000, false, out) && out[0] == 0xE8 && out[1] == 0x07);
  CHECK(tl_register_get(load, false, out) == -1000);
  const tl_register* goal = reg("dynamixel", TL_REG_GOAL_POSITION);
  CHECK(tl_register_put(goal, -1, false, out) && out[0] == 0xFF && out[3] == 0xFF);
  CHECK(tl_register_get(goal, false, out) == -1 && !tl_register_put(goal, 2147483648LL, false, out));
  CHECK(tl_register_put(goal, -2147483648LL, false, out) && tl_register_get(goal, false, out) == -2147483648LL);
  int64_t steps = 77;
  const float inf = 1e30f * 1e30f;
  CHECK(!tl_register_steps(position, inf, &steps) && !tl_register_steps(position, -inf, &steps));
  CHECK(!tl_register_steps(position, inf - inf, &steps) && !tl_register_steps(position, 51.0f, &steps) && steps == 77);
  CHECK(tl_register_steps(position, -1.5707963f, &steps) && steps == -1024);
  CHECK(tl_register_steps(position, 3.1415927f, &steps) && steps == 2048);
}

/* Each register that can hold a number gives it back; all of 16 bits, the edges of 32. */
static void every_register(void) {
  const tl_servo_family* family;
  for (size_t f = 0; (family = tl_servo_family_at(f)) != NULL; f++) {
    for (size_t r = 0; r < TL_REG_COUNT; r++) {
      const tl_register* one = &family->registers[r];
      uint8_t out[4];
      if (one->size == 0) continue;
      CHECK_AT(one->address + one->size <= family->control_bytes && one->unit > 0.0f, one->name);
      for (int64_t v = -70000; v <= 70000; v++) {
        const bool held = tl_register_put(one, v, family->big_endian, out);
        CHECK_AT(held == tl_register_holds(one, v), one->name);
        CHECK_AT(!held || tl_register_get(one, family->big_endian, out) == v, one->name);
      }
    }
  }
  CHECK(tl_servo_family_find("xl-320") == NULL);
}

int main(void) {
  for (size_t i = 0; i < sizeof dynamixel / sizeof dynamixel[0]; i++) {
    one_vector(true, &dynamixel[i]);
    behind_garbage(true, &dynamixel[i]);
  }
  for (size_t i = 0; i < sizeof feetech / sizeof feetech[0]; i++) {
    one_vector(false, &feetech[i]);
    behind_garbage(false, &feetech[i]);
  }
  stuffing();
  random_packets(true);
  random_packets(false);
  refused_by_encoders();
  fast_answers();
  numbers();
  every_register();
  return check_result("bus codec");
}
