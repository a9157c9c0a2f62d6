/* The whole receive path of a device under a hostile host: random bytes, random frames with a valid CRC, damaged frames
 * of a valid session. The invariants hold after every call. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "firmware_bridge/boards/simulated/simulated.h"

static tl_simulated device;
static tl_outbox outbox;

/* The device must send complete frames, and never report armed with a fault or safe without one. */
static void listen(void) {
  tl_decoder decoder;
  tl_frame frame;
  tl_state state;
  const uint8_t* p = outbox.bytes;
  tl_decoder_init(&decoder);
  while (tl_decoder_next(&decoder, &p, outbox.bytes + outbox.size, &frame)) {
    if (frame.type != TL_TYPE_STATE) continue;
    CHECK(tl_state_unpack(&frame, &state));
    CHECK(state.state < TL_STATE_COUNT);
    CHECK((state.state == TL_STATE_SAFE || state.state == TL_STATE_ESTOP) == (state.fault != 0));
    CHECK(isfinite(state.u[0]) && state.u[0] >= -10.0f && state.u[0] <= 10.0f);
  }
  CHECK(tl_decoder_errors(&decoder) == 0 && decoder.size == 0 && outbox.dropped == 0);
  outbox.size = 0;
}

static void invariants(void) {
  const tl_bridge* b = &device.bridge;
  const bool held = b->state == TL_STATE_ARMED || b->state == TL_STATE_RESETTING;
  CHECK(b->state < TL_STATE_COUNT);
  CHECK(held == (b->session != 0));
  CHECK(!b->live || b->state == TL_STATE_ARMED);
  CHECK(!b->lockstep || held);
  CHECK(b->session == 0 || b->session == b->last_session);
}

static void start(void) {
  const tl_simulated_options options = {.boot_id = 7, .reset_ticks = 2};
  outbox.size = outbox.dropped = 0;
  CHECK(tl_simulated_init(&device, "cartpole", &options, tl_outbox_take, &outbox, 0));
}

static void hear(const uint8_t* bytes, size_t n, uint64_t now_us) {
  uint8_t* heap = (uint8_t*)malloc(n != 0 ? n : 1); /* of the exact size, for the sanitizer */
  if (n != 0) memcpy(heap, bytes, n);
  tl_bridge_receive(&device.bridge, heap, n, now_us);
  free(heap);
  invariants();
  listen();
  tl_bridge_tick(&device.bridge, now_us);
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
  CHECK(device.bridge.state == TL_STATE_DISARMED);
}

/* A frame that probably fits the device's state. */
static void plausible(uint64_t* seed, tl_frame* frame, uint64_t now_us) {
  const tl_bridge* b = &device.bridge;
  const uint64_t r = check_random(seed);
  const uint32_t clock = b->lockstep ? (uint32_t)b->virtual_us : (uint32_t)now_us;
  const bool sound = r % 4 != 0;
  tl_cmd cmd = {.lockstep = b->lockstep,
                .session = b->session,
                .obs_t_us = clock - (sound ? 0 : (uint32_t)(r >> 8)),
                .ttl_ms = (uint16_t)(r >> 20),
                .n = sound ? 1 : (uint8_t)(r >> 50)};
  memset(frame, 0, sizeof *frame);
  for (unsigned i = 0; i < TL_VALUES_MAX; i++) {
    const uint32_t bits = (uint32_t)check_random(seed);
    memcpy(&cmd.u[i], &bits, sizeof bits);
  }
  switch (r >> 32 & 15) {
    case 0:
      tl_hello_pack(&(tl_hello){.role = (uint8_t)(r >> 40 & 1)}, frame);
      break;
    case 1:
      tl_ping_pack(&(tl_ping){r}, frame);
      break;
    case 2:
      tl_describe_pack(&(tl_describe){(uint8_t)(r >> 40 & 7), (uint8_t)(r >> 44 & 3)}, frame);
      break;
    case 3:
      tl_param_pack(&(tl_param){(uint16_t)(r >> 40 & 31), (uint8_t)(r >> 50 & 3), 0, 0}, frame);
      break;
    case 4:
      tl_empty_pack(r >> 40 & 1 ? TL_TYPE_DISARM : TL_TYPE_CLEAR_FAULT, frame);
      break;
    case 5:
      tl_empty_pack(r >> 40 & 7 ? TL_TYPE_CLEAR_FAULT : TL_TYPE_ESTOP, frame);
      break;
    case 6:
    case 7:
      tl_arm_pack(&(tl_arm){r >> 40 & 1, b->last_session + (sound ? 1 : 0)}, frame);
      break;
    case 8:
    case 9:
      tl_reset_pack(&(tl_reset){b->session, (uint16_t)(b->episode + (sound ? 1 : 0)), (uint32_t)r}, frame);
      break;
    default:
      tl_cmd_pack(&cmd, frame);
      break;
  }
  if (r >> 60 == 0) frame->type = (uint8_t)(r >> 52);
  if (r >> 60 == 1) frame->size = (uint8_t)(r >> 52) % (TL_PAYLOAD_MAX + 1);
  frame->seq = (uint16_t)(b->cmd_seq + (sound ? 1 : (r >> 44 & 0xFFFF)));
  frame->t_us = (uint32_t)now_us;
}

static void random_frames(void) {
  uint64_t seed = 12, now_us = 0;
  uint32_t visited[TL_STATE_COUNT] = {0};
  start();
  for (unsigned i = 0; i < 60000; i++) {
    uint8_t wire[4 * TL_WIRE_MAX];
    size_t n = 0;
    for (uint64_t k = check_random(&seed) % 3 + 1; k != 0; k--) {
      tl_frame frame;
      plausible(&seed, &frame, now_us);
      n += tl_frame_encode(&frame, wire + n);
    }
    if (check_random(&seed) % 8 == 0) wire[check_random(&seed) % n] ^= (uint8_t)(1u << check_random(&seed) % 8);
    const uint64_t pause = check_random(&seed) % 64;
    now_us += pause == 0 ? 1500000 : pause < 8 ? 20000 : 500;
    visited[device.bridge.state]++;
    hear(wire, n, now_us);
  }
  for (unsigned s = TL_STATE_DISARMED; s < TL_STATE_COUNT; s++) {
    printf("state %u: %u frames\n", s, visited[s]);
    CHECK(visited[s] > 100);
  }
  CHECK(device.bridge.counters[TL_COUNTER_ACCEPTED] > 500);
  CHECK(device.bridge.counters[TL_COUNTER_REPEATED] > 10);
}

int main(void) {
  random_bytes();
  random_frames();
  return check_result("receive");
}
