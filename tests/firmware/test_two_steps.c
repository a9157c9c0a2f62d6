/* The state machine, two steps deep and exhaustively: from each state every event, and after it every event. A joint
 * behind the bridge, whose sheet has limits and a brake; frames are valid, so a rule that goes somewhere has to go. */
#include <math.h>
#include <string.h>

#include "check.h"
#include "firmware_bridge/boards/simulated/simulated.h"
#include "firmware_bridge/protocol/bytes.h"

enum { SILENT_US = 1200000, RESET_TICKS = 20, TEMPERATURE = 4 };

typedef struct {
  tl_simulated device;
  tl_outbox sent;
  uint64_t now_us;
  uint32_t session;
  uint16_t seq, episode;
  float driver[TL_PLANT_ACT_MAX];
} bench;

static void deliver(bench* t, tl_frame* frame) {
  uint8_t wire[TL_WIRE_MAX];
  frame->seq = ++t->seq;
  frame->t_us = (uint32_t)t->now_us;
  t->sent.size = 0;
  tl_bridge_receive(&t->device.bridge, wire, tl_frame_encode(frame, wire), t->now_us);
}

static void tick(bench* t) {
  const uint64_t due_us = tl_bridge_due(&t->device.bridge);
  if (due_us > t->now_us) t->now_us = due_us;
  tl_bridge_tick(&t->device.bridge, t->now_us);
  t->sent.size = 0;
}

/* Replaces what an observation measures, for one tick; after the next one it is measured again. */
static void tick_with(bench* t, uint16_t index, float value) {
  tl_frame frame;
  tl_param_pack(&(tl_param){(uint16_t)(TL_PARAM_OBSERVATION + index), TL_PARAM_WRITE, TL_PARAM_F32, tl_f32_bits(value)},
                &frame);
  deliver(t, &frame);
  tick(t);
  tl_param_pack(&(tl_param){(uint16_t)(TL_PARAM_OBSERVATION + index), TL_PARAM_WRITE, TL_PARAM_U32, 0}, &frame);
  deliver(t, &frame);
  tick(t);
}

static void send(bench* t, uint8_t on) {
  const tl_bridge* bridge = &t->device.bridge;
  tl_frame frame = {0};
  switch (on) {
    case TL_ON_HELLO:
      tl_hello_pack(&(tl_hello){.proto_ver = 2, .role = TL_ROLE_HOST}, &frame);
      break;
    case TL_ON_PING:
      tl_ping_pack(&(tl_ping){7}, &frame);
      break;
    case TL_ON_DESCRIBE:
      tl_describe_pack(&(tl_describe){1, 2}, &frame);
      break;
    case TL_ON_PARAM:
      tl_param_pack(&(tl_param){TL_COUNTER_TICKS, TL_PARAM_READ, TL_PARAM_U32, 0}, &frame);
      break;
    case TL_ON_CMD:
      tl_cmd_pack(
          &(tl_cmd){.session = bridge->session, .obs_t_us = (uint32_t)t->now_us, .ttl_ms = 100, .n = 1, .u = {1.0f}},
          &frame);
      break;
    case TL_ON_ARM:
      tl_arm_pack(&(tl_arm){.session = ++t->session}, &frame);
      break;
    case TL_ON_RESET:
      tl_reset_pack(&(tl_reset){bridge->session, ++t->episode, 3}, &frame);
      break;
    case TL_ON_OTHER:
      tl_empty_pack(0x50, &frame);
      break;
    default:
      tl_empty_pack(on == TL_ON_DISARM        ? TL_TYPE_DISARM
                    : on == TL_ON_CLEAR_FAULT ? TL_TYPE_CLEAR_FAULT
                                              : TL_TYPE_ESTOP,
                    &frame);
      break;
  }
  deliver(t, &frame);
}

static void happen(bench* t, uint8_t on) {
  switch (on) {
    case TL_ON_TICK:
      tick(t);
      break;
    case TL_ON_EXPIRED:
      t->now_us += SILENT_US;
      tl_bridge_receive(&t->device.bridge, NULL, 0, t->now_us);
      break;
    case TL_ON_SENSOR:
      tick_with(t, 0, NAN);
      break;
    case TL_ON_LIMIT:
      tick_with(t, TEMPERATURE, 95.0f);
      break;
    case TL_ON_READY:
      for (int i = 0; i <= RESET_TICKS && t->device.bridge.state == TL_STATE_RESETTING; i++) tick(t);
      break; /* in no other state a plant is asked whether it has arrived */
    default:
      send(t, on);
      break;
  }
}

/* The table's answer, with the tick that carries an event of the plant. */
static uint8_t expected(uint8_t state, uint8_t on) {
  const bool by_tick = on == TL_ON_SENSOR || on == TL_ON_LIMIT;
  if (by_tick && state == TL_STATE_BOOT) return tl_bridge_cell(state, TL_ON_TICK).next;
  /* While resetting nothing is observed but for the limits, and the arrival is the first to ask for NaN. */
  if (on == TL_ON_SENSOR && state == TL_STATE_RESETTING) return state;
  const tl_bridge_rule rule = tl_bridge_cell(state, on);
  return rule.next;
}

static void invariants(const bench* t) {
  const tl_bridge* bridge = &t->device.bridge;
  const bool open = bridge->state == TL_STATE_ARMED || bridge->state == TL_STATE_RESETTING;
  CHECK(bridge->state < TL_STATE_COUNT);
  CHECK((bridge->session != 0) == open);
  CHECK(!bridge->live || bridge->state == TL_STATE_ARMED);
  CHECK(t->driver[0] == bridge->applied[0]);   /* the driver has what STATE reports */
  CHECK(bridge->live || t->driver[1] == 1.0f); /* the brake is engaged */
  CHECK(((bridge->fault & TL_FAULT_ESTOP) != 0) == (bridge->state == TL_STATE_ESTOP));
  CHECK(!open || bridge->fault == 0);
}

static void begin(bench* t, uint8_t state) {
  memset(t, 0, sizeof *t);
  CHECK(tl_simulated_init(&t->device, "joint",
                          &(tl_simulated_options){.boot_id = 1, .reset_ticks = RESET_TICKS, .driver = t->driver},
                          tl_outbox_take, &t->sent, 0));
  if (state == TL_STATE_BOOT) return;
  happen(t, TL_ON_TICK);
  if (state == TL_STATE_DISARMED) return;
  happen(t, state == TL_STATE_ESTOP ? TL_ON_ESTOP : TL_ON_ARM);
  if (state == TL_STATE_SAFE) happen(t, TL_ON_EXPIRED);
  if (state == TL_STATE_RESETTING) happen(t, TL_ON_RESET);
}

int main(void) {
  static bench t;
  for (uint8_t state = 0; state < TL_STATE_COUNT; state++)
    for (uint8_t first = 0; first < TL_ON_COUNT; first++)
      for (uint8_t second = 0; second < TL_ON_COUNT; second++) {
        begin(&t, state);
        CHECK(t.device.bridge.state == state);
        invariants(&t);
        for (int step = 0; step < 2; step++) {
          const uint8_t on = step == 0 ? first : second, before = t.device.bridge.state;
          happen(&t, on);
          if (t.device.bridge.state != expected(before, on))
            fprintf(stderr, "from %u events %u, %u: step %d from %u to %u, expected %u\n", state, first, second, step,
                    before, t.device.bridge.state, expected(before, on));
          CHECK(t.device.bridge.state == expected(before, on));
          invariants(&t);
        }
        tick(&t);
        CHECK(t.device.bridge.live || t.device.bridge.applied[0] == 0.0f); /* off, at the latest in the next period */
      }
  return check_result("two steps");
}
