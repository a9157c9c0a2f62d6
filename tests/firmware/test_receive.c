/* The whole receive path of a device under a hostile host: random bytes, random frames under a right CRC, damaged frames of a
 * session that goes well. The invariants hold after every call. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "firmware_bridge/boards/simulated/simulated.h"

static rtu_simulated device;
static rtu_outbox outbox;

/* What the device says must be frames, whole ones, and never armed with a fault or safe without one. */
static void listen(void) {
  rtu_decoder decoder;
  rtu_frame frame;
  rtu_state state;
  const uint8_t* p = outbox.bytes;
  rtu_decoder_init(&decoder);
  while (rtu_decoder_next(&decoder, &p, outbox.bytes + outbox.size, &frame)) {
    if (frame.type != RTU_TYPE_STATE) continue;
    CHECK(rtu_state_unpack(&frame, &state));
    CHECK(state.state < RTU_STATE_COUNT);
    CHECK((state.state == RTU_STATE_SAFE || state.state == RTU_STATE_ESTOP) == (state.fault != 0));
    CHECK(isfinite(state.u[0]) && state.u[0] >= -10.0f && state.u[0] <= 10.0f);
  }
  CHECK(rtu_decoder_errors(&decoder) == 0 && decoder.size == 0 && outbox.dropped == 0);
  outbox.size = 0;
}

static void invariants(void) {
  const rtu_bridge* b = &device.bridge;
  const bool held = b->state == RTU_STATE_ARMED || b->state == RTU_STATE_RESETTING;
  CHECK(b->state < RTU_STATE_COUNT);
  CHECK(held == (b->session != 0));
  CHECK(!b->live || b->state == RTU_STATE_ARMED);
  CHECK(!b->lockstep || held);
  CHECK(b->session == 0 || b->session == b->last_session);
}

static void start(void) {
  const rtu_simulated_options options = {.boot_id = 7, .reset_ticks = 2};
  outbox.size = outbox.dropped = 0;
  CHECK(rtu_simulated_init(&device, "cartpole", &options, rtu_outbox_take, &outbox, 0));
}

static void hear(const uint8_t* bytes, size_t n, uint64_t now_us) {
  uint8_t* heap = (uint8_t*)malloc(n != 0 ? n : 1); /* of the exact size, for the sanitizer */
  if (n != 0) memcpy(heap, bytes, n);
  rtu_bridge_receive(&device.bridge, heap, n, now_us);
  free(heap);
  invariants();
  listen();
  rtu_bridge_tick(&device.bridge, now_us);
  invariants();
  listen();
}

static void random_bytes(void) {
  uint64_t seed = 11, now_us = 0;
  size_t total = 0;
  start();
  while (total < 1000000) {
    uint8_t bytes[256];
    const size_t n = check_random(&seed) % sizeof bytes;
    for (size_t i = 0; i < n; i++) {
      const uint64_t r = check_random(&seed);
      bytes[i] = r % 20 == 0 ? 0 : (uint8_t)(r >> 32);
    }
    now_us += check_random(&seed) % 30000;
    hear(bytes, n, now_us);
    total += n;
  }
  CHECK(device.bridge.state == RTU_STATE_DISARMED);
}

/* A frame that may well fit the state the device is in. */
static void plausible(uint64_t* seed, rtu_frame* frame, uint64_t now_us) {
  const rtu_bridge* b = &device.bridge;
  const uint64_t r = check_random(seed);
  const uint32_t clock = b->lockstep ? (uint32_t)b->virtual_us : (uint32_t)now_us;
  const bool sound = r % 4 != 0;
  rtu_cmd cmd = {.lockstep = b->lockstep,
                 .session = b->session,
                 .obs_t_us = clock - (sound ? 0 : (uint32_t)(r >> 8)),
                 .ttl_ms = (uint16_t)(r >> 20),
                 .n = sound ? 1 : (uint8_t)(r >> 50)};
  memset(frame, 0, sizeof *frame);
  for (unsigned i = 0; i < RTU_VALUES_MAX; i++) {
    const uint32_t bits = (uint32_t)check_random(seed);
    memcpy(&cmd.u[i], &bits, sizeof bits);
  }
  switch (r >> 32 & 15) {
    case 0:
      rtu_hello_pack(&(rtu_hello){.role = (uint8_t)(r >> 40 & 1)}, frame);
      break;
    case 1:
      rtu_ping_pack(&(rtu_ping){r}, frame);
      break;
    case 2:
      rtu_describe_pack(&(rtu_describe){(uint8_t)(r >> 40 & 7)}, frame);
      break;
    case 3:
      rtu_param_pack(&(rtu_param){(uint16_t)(r >> 40 & 31), (uint8_t)(r >> 50 & 3), 0, 0}, frame);
      break;
    case 4:
      rtu_empty_pack(r >> 40 & 1 ? RTU_TYPE_DISARM : RTU_TYPE_CLEAR_FAULT, frame);
      break;
    case 5:
      rtu_empty_pack(r >> 40 & 7 ? RTU_TYPE_CLEAR_FAULT : RTU_TYPE_ESTOP, frame);
      break;
    case 6:
    case 7:
      rtu_arm_pack(&(rtu_arm){r >> 40 & 1, b->last_session + (sound ? 1 : 0)}, frame);
      break;
    case 8:
    case 9:
      rtu_reset_pack(&(rtu_reset){b->session, (uint16_t)(b->episode + (sound ? 1 : 0)), (uint32_t)r}, frame);
      break;
    default:
      rtu_cmd_pack(&cmd, frame);
      break;
  }
  if (r >> 60 == 0) frame->type = (uint8_t)(r >> 52);
  if (r >> 60 == 1) frame->size = (uint8_t)(r >> 52) % (RTU_PAYLOAD_MAX + 1);
  frame->seq = (uint16_t)(b->cmd_seq + (sound ? 1 : (r >> 44 & 0xFFFF)));
  frame->t_us = (uint32_t)now_us;
}

static void random_frames(void) {
  uint64_t seed = 12, now_us = 0;
  uint32_t visited[RTU_STATE_COUNT] = {0};
  start();
  for (unsigned i = 0; i < 60000; i++) {
    uint8_t wire[4 * RTU_WIRE_MAX];
    size_t n = 0;
    for (uint64_t k = check_random(&seed) % 3 + 1; k != 0; k--) {
      rtu_frame frame;
      plausible(&seed, &frame, now_us);
      n += rtu_frame_encode(&frame, wire + n);
    }
    if (check_random(&seed) % 8 == 0) wire[check_random(&seed) % n] ^= (uint8_t)(1u << check_random(&seed) % 8);
    const uint64_t pause = check_random(&seed) % 64;
    now_us += pause == 0 ? 1500000 : pause < 8 ? 20000 : 500;
    visited[device.bridge.state]++;
    hear(wire, n, now_us);
  }
  for (unsigned s = RTU_STATE_DISARMED; s < RTU_STATE_COUNT; s++) {
    printf("state %u: %u frames\n", s, visited[s]);
    CHECK(visited[s] > 100);
  }
  CHECK(device.bridge.counters[RTU_COUNTER_ACCEPTED] > 500);
  CHECK(device.bridge.counters[RTU_COUNTER_REPEATED] > 10);
}

int main(void) {
  random_bytes();
  random_frames();
  return check_result("receive");
}
