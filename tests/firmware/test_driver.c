/* The register of an actuator's driver always holds the value that STATE reports, regardless of the host.
 *
 * hazard: driver-not-told
 *
 *     test_driver [events [seed]]        200 000 events unless given
 *
 * The plant is a register that step() writes, that apply() writes, or both. The host is random: correct, nearly
 * correct, damaged and late frames; silence, stalls, clock jumps; ends of episodes, sensor failures, slow resets. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "firmware_bridge/bridge/bridge.h"
#include "firmware_bridge/protocol/bytes.h"

enum { N_ACT = 5, PERIOD_US = 1000, BY_STEP = 1, BY_APPLY = 2, BY_BOTH = 3 };

static const tl_plant_row rows[1 + N_ACT] = {
    {"x", "1", -1.0f, 1.0f, TL_SAFE_NONE, 0.0f},    {"hold", "m", -2.0f, 2.0f, TL_SAFE_HOLD, 0.5f},
    {"damp", "N", -8.0f, 8.0f, TL_SAFE_DAMP, 0.0f}, {"ramp", "rad", -4.0f, 4.0f, TL_SAFE_RAMP, 2.0f},
    {"off", "V", -9.6f, 9.6f, TL_SAFE_OFF, 0.0f},   {"idle", "rpm", 1.0f, 9.0f, TL_SAFE_OFF, 3.0f},
};
/* Powers of two and limits in sixteenths: no sum is rounded, so no check needs a tolerance. */
static const float slews[2][N_ACT] = {{0.5f, 2.0f, 0.25f, 0.5f, 1.0f},
                                      {INFINITY, INFINITY, 0.125f, INFINITY, INFINITY}};

static struct {
  tl_bridge bridge;
  tl_plant_sheet sheet;
  tl_plant plant;
  const float* slew;
  int written_by;
  uint64_t seed, now_us;
  /* the driver */
  float reg[N_ACT];
  bool live;
  unsigned periods, applies; /* calls of step and apply */
  unsigned reset_left;
  bool homing; /* between reset() and reset_done() == true */
  /* output of the device */
  tl_decoder sent;
  uint8_t last[TL_WIRE_MAX];
  size_t last_size;
  unsigned states;
} t;

static uint64_t any(uint64_t n) { return check_random(&t.seed) % n; }

static void machine_reset(void* state, uint32_t seed) {
  (void)state;
  (void)seed;
  t.reset_left = (unsigned)any(4);
  t.homing = true;
}

static tl_plant_result machine_step(void* state, const float* u) {
  (void)state;
  t.periods++;
  if (t.written_by & BY_STEP) memcpy(t.reg, u, sizeof t.reg);
  const bool over = any(200) == 0;
  const float reward = any(500) == 0 ? NAN : 1.0f;
  return (tl_plant_result){reward, over && any(2) == 0, over && any(2) == 0};
}

static void machine_apply(void* state, const float* u, bool live) {
  (void)state;
  t.applies++;
  t.live = live;
  memcpy(t.reg, u, sizeof t.reg);
}

static void machine_observe(const void* state, float* x) {
  (void)state;
  x[0] = any(500) == 0 ? NAN : 0.25f;
}

static bool machine_reset_done(void* state) {
  (void)state;
  CHECK(t.homing && t.bridge.state == TL_STATE_RESETTING);
  t.homing = t.reset_left != 0;
  if (t.homing) t.reset_left--;
  return !t.homing;
}

/* Each STATE is compared with the register as it leaves. In lockstep an old one may be requested again. */
static void machine_send(void* context, const uint8_t* bytes, size_t n) {
  tl_frame frame;
  tl_state state;
  const uint8_t* at = bytes;
  (void)context;
  CHECK(tl_decoder_next(&t.sent, &at, bytes + n, &frame));
  if (frame.type != TL_TYPE_STATE || (n == t.last_size && memcmp(bytes, t.last, n) == 0)) return;
  CHECK(tl_state_unpack(&frame, &state) && state.m == N_ACT);
  CHECK(memcmp(state.u, t.reg, sizeof t.reg) == 0);
  memcpy(t.last, bytes, n);
  t.last_size = n;
  t.states++;
}

static void power_on(void) {
  static const int ways[] = {BY_STEP, BY_APPLY, BY_BOTH};
  t.written_by = ways[any(3)];
  t.slew = slews[any(2)];
  t.sheet = (tl_plant_sheet){.name = "probe",
                             .period_us = PERIOD_US,
                             .observation_size = 1,
                             .action_size = N_ACT,
                             .rows = rows,
                             .simulated = any(2) == 0};
  t.plant = (tl_plant){.sheet = &t.sheet,
                       .reset = machine_reset,
                       .step = machine_step,
                       .observe = machine_observe,
                       .apply = t.written_by & BY_APPLY ? machine_apply : NULL};
  const tl_bridge_config config = {
      .plant = &t.plant,
      .reset_done = any(4) != 0 ? machine_reset_done : NULL,
      .slew = t.slew,
      .silence_us = 40000,
      .ttl_max_ms = 20,
      .caps = TL_CAP_REWARD | TL_CAP_RESET | TL_CAP_SIMULATED | TL_CAP_LOCKSTEP,
      .send = machine_send,
  };
  tl_decoder_init(&t.sent);
  t.last_size = 0;
  for (unsigned i = 0; i < N_ACT; i++) t.reg[i] = NAN; /* never told */
  CHECK(tl_bridge_init(&t.bridge, &config, t.now_us));
  for (unsigned i = 0; i < N_ACT; i++) CHECK(t.reg[i] == rows[1 + i].safe_value);
}

/* A command whose values are in sixteenths, within limits and beyond; occasionally an odd one. */
static void command(tl_frame* frame) {
  static const float odd[] = {NAN, INFINITY, -INFINITY, 3e38f, -3e38f, -0.0f};
  const tl_bridge* b = &t.bridge;
  tl_cmd cmd = {.lockstep = b->lockstep, .session = b->session, .ttl_ms = (uint16_t)(1 + any(30)), .n = N_ACT};
  cmd.obs_t_us = (uint32_t)(b->lockstep ? b->virtual_us : t.now_us) - (any(8) == 0 ? (uint32_t)any(30000) : 0u);
  for (unsigned i = 0; i < N_ACT; i++) cmd.u[i] = (float)((int)any(321) - 160) / 16.0f;
  if (any(16) == 0) cmd.u[any(N_ACT)] = odd[any(sizeof odd / sizeof odd[0])];
  if (any(32) == 0) cmd.session ^= 1u;
  if (any(32) == 0) cmd.lockstep = !cmd.lockstep;
  tl_cmd_pack(&cmd, frame);
}

static void frame_of(tl_frame* frame) {
  const tl_bridge* b = &t.bridge;
  switch (any(24)) {
    case 0:
      tl_empty_pack(TL_TYPE_ESTOP, frame);
      break;
    case 1:
      tl_empty_pack(TL_TYPE_DISARM, frame);
      break;
    case 2:
    case 3:
      tl_empty_pack(TL_TYPE_CLEAR_FAULT, frame);
      break;
    case 4:
    case 5:
    case 6:
      tl_arm_pack(&(tl_arm){any(3) == 0, any(64) == 0 ? (uint32_t)check_random(&t.seed) : b->last_session + 1u}, frame);
      break;
    case 7:
    case 8:
      tl_reset_pack(&(tl_reset){b->session, (uint16_t)(b->episode + any(3)), (uint32_t)any(9)}, frame);
      break;
    case 9:
      tl_hello_pack(&(tl_hello){.role = TL_ROLE_HOST}, frame);
      break;
    default:
      command(frame);
      break;
  }
  frame->seq = (uint16_t)(b->cmd_seq + (any(8) != 0 ? 1u : (unsigned)any(65536)));
  frame->t_us = (uint32_t)t.now_us;
}

static void hear(void) {
  uint8_t wire[3 * TL_WIRE_MAX];
  size_t n = 0;
  for (uint64_t k = any(8) == 0 ? 3 : 1; k != 0; k--) {
    tl_frame frame;
    frame_of(&frame);
    n += tl_frame_encode(&frame, wire + n);
  }
  if (any(64) == 0) wire[any(n)] ^= (uint8_t)(1u << any(8));
  tl_bridge_receive(&t.bridge, wire, n, t.now_us);
  if (any(16) == 0) tl_bridge_receive(&t.bridge, wire, n, t.now_us); /* as a line with an echo repeats it */
}

/* Returns true when a period was due: in each state the plant then receives its outputs once. */
static bool pass_time(void) {
  const uint64_t due_us = tl_bridge_due(&t.bridge);
  switch (any(32)) {
    case 0:
      t.now_us += any(60000); /* a stall, longer than any TTL and occasionally than the link may be silent */
      break;
    case 1:
      t.now_us += any(PERIOD_US);
      break;
    case 2:
      t.now_us -= any(t.now_us < 3000 ? 1 : 3000); /* no device's clock does this */
      break;
    default:
      if (due_us > t.now_us) t.now_us = due_us;
      break;
  }
  const unsigned periods = t.periods;
  tl_bridge_tick(&t.bridge, t.now_us);
  const bool due = t.now_us >= due_us && !t.bridge.lockstep;
  CHECK(t.periods == periods + due);
  return due;
}

/* Allowed effects of the event on the register. before, periods: values before it; idle: no command was in force;
 * ticked: a period has passed. In lockstep no period occurs without a command. */
static void check_driver(const float* before, unsigned periods, bool idle, bool ticked) {
  const tl_bridge* b = &t.bridge;
  const unsigned passed = t.periods - periods;
  const bool at_once = t.plant.apply != NULL;
  CHECK(memcmp(b->applied, t.reg, sizeof t.reg) == 0);
  CHECK(!at_once || t.live == b->live ||
        b->live); /* a new command is applied with its period, the end of one at once */
  for (unsigned i = 0; i < N_ACT; i++) {
    const tl_plant_row* row = &rows[1 + i];
    const bool cut = row->safe == TL_SAFE_OFF || row->safe == TL_SAFE_DAMP;
    const float moved = fabsf(t.reg[i] - before[i]), limit = t.slew[i] * (float)passed;
    CHECK(t.reg[i] >= row->min && t.reg[i] <= row->max);
    if (cut && !b->live && (at_once || b->lockstep || (idle && ticked))) CHECK(t.reg[i] == row->safe_value);
    if (passed == 0) CHECK(moved == 0.0f || (cut && t.reg[i] == row->safe_value));
    if (passed != 0) CHECK(moved <= limit || (cut && fabsf(t.reg[i] - row->safe_value) <= limit));
    if (idle && !b->live && row->safe == TL_SAFE_HOLD) CHECK(moved == 0.0f);
    if (idle && !b->live && row->safe == TL_SAFE_RAMP && ticked)
      CHECK(t.reg[i] == row->safe_value || moved == t.slew[i]);
  }
}

/* The last call on the device leaves its drivers safe: OFF and DAMP at once, RAMP after some periods, HOLD
 * unchanged. */
static void check_leaving(void) {
  const tl_bridge* b = &t.bridge;
  const float held = t.reg[0];
  tl_bridge_leave(&t.bridge);
  CHECK(b->session == 0 && !b->live && b->state != TL_STATE_ARMED && b->state != TL_STATE_RESETTING);
  for (unsigned i = 0; i < N_ACT; i++)
    if (rows[1 + i].safe == TL_SAFE_OFF || rows[1 + i].safe == TL_SAFE_DAMP) CHECK(t.reg[i] == rows[1 + i].safe_value);
  for (unsigned left = 100; !tl_bridge_at_rest(b) && left != 0; left--) {
    if (tl_bridge_due(b) > t.now_us) t.now_us = tl_bridge_due(b);
    tl_bridge_tick(&t.bridge, t.now_us);
  }
  CHECK(tl_bridge_at_rest(b) && t.reg[0] == held && memcmp(b->applied, t.reg, sizeof t.reg) == 0);
  for (unsigned i = 1; i < N_ACT; i++) CHECK(t.reg[i] == rows[1 + i].safe_value);
  CHECK(t.plant.apply == NULL || !t.live);
}

int main(int argc, char** argv) {
  const unsigned long events = argc > 1 ? strtoul(argv[1], NULL, 0) : 200000;
  unsigned long visited[TL_STATE_COUNT] = {0}, lockstep = 0, ended = 0;
  t.seed = argc > 2 ? strtoull(argv[2], NULL, 0) | 1u : 20251129u;
  for (unsigned long i = 0; i < events; i++) {
    if (i % 2000 == 0 && i != 0) check_leaving();
    if (i % 2000 == 0) power_on();
    float before[N_ACT];
    memcpy(before, t.reg, sizeof before);
    const unsigned periods = t.periods;
    const uint32_t accepted = t.bridge.counters[TL_COUNTER_ACCEPTED];
    const bool idle = !t.bridge.live;
    bool ticked = false;
    if (any(2) == 0)
      hear();
    else
      ticked = pass_time();
    check_driver(before, periods, idle && t.bridge.counters[TL_COUNTER_ACCEPTED] == accepted, ticked);
    visited[t.bridge.state]++;
    lockstep += t.bridge.lockstep;
    ended += (t.bridge.epflags & (TL_EPISODE_TERMINATED | TL_EPISODE_TRUNCATED)) != 0;
    if (check_failures != 0 && check_failures > 10) break;
  }
  printf("%lu events, %u STATEs, in lockstep %lu, episode over %lu\n", events, t.states, lockstep, ended);
  for (unsigned s = TL_STATE_DISARMED; s < TL_STATE_COUNT; s++) CHECK(visited[s] > events / 500);
  CHECK(lockstep > events / 100 && ended > events / 100 && t.states > events / 10);
  return check_result("driver");
}
