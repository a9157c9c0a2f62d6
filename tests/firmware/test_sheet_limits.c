/* The limits of a data sheet, for any measurement and any command: an output beyond a limit drives only back in, a
 * derated one keeps its share of the range, a LIMIT fault ends the session in the same period, the brake is released
 * only while a command is in force. */
/* hazard: sheet-limit */
#include <math.h>
#include <string.h>

#include "check.h"
#include "firmware_bridge/bridge/bridge.h"

enum { N_OBS = 5, N_ACT = 3, PERIOD_US = 1000 };
enum { POSITION, SPEED, HEAT, BUS, BRAKE };

static const tl_plant_row rows[N_OBS + N_ACT] = {
    {"position", "m", -INFINITY, INFINITY, TL_SAFE_NONE, 0.0f},
    {"speed", "m/s", -INFINITY, INFINITY, TL_SAFE_NONE, 0.0f},
    {"heat", "C", -INFINITY, INFINITY, TL_SAFE_NONE, 0.0f},
    {"bus", "V", -INFINITY, INFINITY, TL_SAFE_NONE, 0.0f},
    {"brake", "1", 0.0f, 1.0f, TL_SAFE_NONE, 0.0f},
    {"hold", "N", -8.0f, 4.0f, TL_SAFE_HOLD, 0.0f},
    {"ramp", "N", -4.0f, 8.0f, TL_SAFE_RAMP, 2.0f},
    {"off", "V", -1.0f, 1.0f, TL_SAFE_OFF, 0.0f},
};
static const uint8_t roles[N_OBS] = {TL_ROW_POSITION, TL_ROW_VELOCITY, TL_ROW_TEMPERATURE, TL_ROW_BUS_VOLTAGE,
                                     TL_ROW_BRAKE};
static const tl_sheet_limit limits[] = {
    {POSITION, {TL_LIMIT_DIRECTION, 0, 1, -1.0f, 1.0f, 0.0f}},
    {POSITION, {TL_LIMIT_DIRECTION, 1, -1, -1.0f, 2.0f, 0.0f}},
    {SPEED, {TL_LIMIT_DIRECTION, 2, 1, -INFINITY, 3.0f, 0.0f}},
    {HEAT, {TL_LIMIT_DERATE, TL_LIMIT_ALL, 0, -INFINITY, 60.0f, 0.0625f}},
    {HEAT, {TL_LIMIT_FAULT, TL_LIMIT_ALL, 0, -INFINITY, 80.0f, 0.0f}},
    {BUS, {TL_LIMIT_DERATE, 2, 0, 20.0f, INFINITY, 0.25f}},
    {BUS, {TL_LIMIT_FAULT, TL_LIMIT_ALL, 0, 10.0f, 30.0f, 0.0f}},
};
static const float slew[N_ACT] = {1.0f, 0.5f, INFINITY};
static const tl_plant_sheet sheet = {.name = "probe",
                                     .period_us = PERIOD_US,
                                     .observation_size = N_OBS,
                                     .action_size = N_ACT,
                                     .rows = rows,
                                     .roles = roles,
                                     .limits = limits,
                                     .n_limits = sizeof limits / sizeof limits[0]};

typedef struct {
  float x[N_OBS];
  float u[N_ACT];
  bool live, released;
} probe;

static void probe_reset(void* state, uint32_t seed) {
  (void)state;
  (void)seed;
}

static tl_plant_result probe_step(void* state, const float* u) {
  memcpy(((probe*)state)->u, u, sizeof((probe*)state)->u);
  return (tl_plant_result){0.0f, false, false};
}

static void probe_observe(const void* state, float* x) {
  memcpy(x, ((const probe*)state)->x, sizeof((const probe*)state)->x);
}

static void probe_brake(void* state, bool released) { ((probe*)state)->released = released; }

static const tl_plant plant = {&sheet, probe_reset, probe_step, probe_observe, sizeof(probe), NULL, probe_brake};

static tl_state last;

static void hear_state(void* context, const uint8_t* bytes, size_t n) {
  tl_decoder decoder;
  tl_frame frame;
  const uint8_t* p = bytes;
  (void)context;
  tl_decoder_init(&decoder);
  while (tl_decoder_next(&decoder, &p, bytes + n, &frame)) (void)tl_state_unpack(&frame, &last);
}

static void hear(tl_bridge* bridge, tl_frame* frame, uint16_t seq, uint64_t now_us) {
  uint8_t wire[TL_WIRE_MAX];
  frame->seq = seq;
  frame->t_us = (uint32_t)now_us;
  tl_bridge_receive(bridge, wire, tl_frame_encode(frame, wire), now_us);
}

static void calm(probe* p) {
  memset(p, 0, sizeof *p);
  p->x[BUS] = 24.0f;
}

static bool begin(tl_bridge* bridge, probe* p, uint64_t now_us) {
  tl_frame frame;
  const tl_bridge_config config = {
      .plant = &plant, .plant_state = p, .slew = slew, .ttl_max_ms = 5, .caps = TL_CAP_RESET, .send = hear_state};
  CHECK(tl_bridge_init(bridge, &config, now_us));
  tl_bridge_tick(bridge, now_us);
  tl_arm_pack(&(tl_arm){.session = 1}, &frame);
  hear(bridge, &frame, 0, now_us);
  return bridge->state == TL_STATE_ARMED;
}

static void command(tl_bridge* bridge, const float* u, uint16_t seq, uint64_t now_us) {
  tl_cmd cmd = {.session = bridge->session, .obs_t_us = (uint32_t)now_us, .ttl_ms = 5, .n = N_ACT};
  tl_frame frame;
  memcpy(cmd.u, u, N_ACT * sizeof(float));
  tl_cmd_pack(&cmd, &frame);
  hear(bridge, &frame, seq, now_us);
}

/* What limit.h states, from what was measured before the period; commands only, or safe outputs too. */
static void check_outputs(const float* x, const float* u, bool live) {
  if (x[POSITION] > 1.0f) CHECK(u[0] <= 0.0f);
  if (x[POSITION] < -1.0f) CHECK(u[0] >= 0.0f);
  if (x[POSITION] > 2.0f) CHECK(u[1] >= 0.0f);
  if (x[POSITION] < -1.0f) CHECK(u[1] <= 0.0f);
  if (x[SPEED] > 3.0f) CHECK(u[2] <= 0.0f);
  for (int i = 0; i < N_ACT; i++) {
    const float* range = &rows[N_OBS + i].min;
    const float hot = live && x[HEAT] > 60.0f ? fmaxf(0.0f, 1.0f - 0.0625f * (x[HEAT] - 60.0f)) : 1.0f;
    const float low = live && i == 2 && x[BUS] < 20.0f ? fmaxf(0.0f, 1.0f - 0.25f * (20.0f - x[BUS])) : 1.0f;
    CHECK(u[i] >= range[0] * fminf(hot, low) && u[i] <= range[1] * fminf(hot, low));
  }
}

static float around(uint64_t* seed, float middle, float width) {
  return middle + width * ((float)(check_random(seed) >> 40) * 0x1p-23f - 1.0f);
}

/* Sessions of random measurements and commands, some of which end by a LIMIT fault. */
static void walk(void) {
  tl_bridge bridge;
  probe p;
  uint64_t seed = 5, now_us = 1000000;
  unsigned faults = 0, driven = 0, held = 0;
  for (int session = 0; session < 400; session++) {
    calm(&p);
    CHECK(begin(&bridge, &p, now_us));
    const bool silent = session % 4 == 0; /* commands end, and the outputs hold, ramp and switch off */
    for (uint16_t i = 1; i < 200; i++) {
      float before[N_OBS], u[N_ACT];
      const float holds = p.u[0];
      for (int k = 0; k < N_ACT; k++) u[k] = around(&seed, 0.0f, 12.0f);
      memcpy(before, bridge.measured, sizeof before);
      if (!silent || i < 20) command(&bridge, u, i, now_us);
      p.x[POSITION] = around(&seed, 0.0f, 3.0f);
      p.x[SPEED] = around(&seed, 2.0f, 3.0f);
      p.x[HEAT] = around(&seed, 60.0f, i > 150 ? 30.0f : 19.0f);
      p.x[BUS] = around(&seed, 20.0f, i > 150 ? 12.0f : 8.0f);
      now_us += PERIOD_US;
      tl_bridge_tick(&bridge, now_us);
      const bool out = !(p.x[HEAT] <= 80.0f) || !(p.x[BUS] >= 10.0f && p.x[BUS] <= 30.0f);
      check_outputs(before, p.u, !silent || i < 20);
      /* What safe is does not depend on heat or voltage. */
      if (bridge.state == TL_STATE_SAFE && silent && before[POSITION] >= -1.0f && before[POSITION] <= 1.0f)
        CHECK(p.u[0] == holds);
      CHECK(last.x[BRAKE] == (p.released ? 0.0f : 1.0f));
      CHECK(!p.released || bridge.state == TL_STATE_ARMED);
      CHECK(p.released == bridge.live);
      driven += p.released;
      held += bridge.state == TL_STATE_SAFE;
      if (silent || !out) continue;
      CHECK(bridge.state == TL_STATE_SAFE && bridge.fault == TL_FAULT_LIMIT && last.state == TL_STATE_SAFE);
      faults++;
      break;
    }
  }
  CHECK(faults > 100 && driven > 10000 && held > 5000);
}

/* Outside a LIMIT fault the device does not arm, and it arms again once it is back inside. */
static void arming(void) {
  tl_bridge bridge;
  probe p;
  calm(&p);
  p.x[HEAT] = 81.0f;
  CHECK(!begin(&bridge, &p, 1000));
  p.x[HEAT] = 79.0f;
  tl_bridge_tick(&bridge, tl_bridge_due(&bridge));
  tl_frame frame;
  tl_arm_pack(&(tl_arm){.session = 1}, &frame);
  hear(&bridge, &frame, 0, 3000);
  CHECK(bridge.state == TL_STATE_ARMED && !p.released);
}

/* A limit that does not fit the sheet. */
static void invalid(void) {
  static const tl_sheet_limit wrong[] = {
      {N_OBS, {TL_LIMIT_FAULT, TL_LIMIT_ALL, 0, 0.0f, 1.0f, 0.0f}},
      {0, {TL_LIMIT_FAULT, 0, 0, 0.0f, 1.0f, 0.0f}},
      {0, {TL_LIMIT_FAULT, TL_LIMIT_ALL, 0, 1.0f, 1.0f, 0.0f}},
      {0, {TL_LIMIT_FAULT, TL_LIMIT_ALL, 0, -INFINITY, INFINITY, 0.0f}},
      {0, {TL_LIMIT_FAULT, TL_LIMIT_ALL, 0, NAN, 1.0f, 0.0f}},
      {0, {TL_LIMIT_DIRECTION, N_ACT, 1, 0.0f, 1.0f, 0.0f}},
      {0, {TL_LIMIT_DIRECTION, TL_LIMIT_ALL, 1, 0.0f, 1.0f, 0.0f}},
      {0, {TL_LIMIT_DIRECTION, 0, 0, 0.0f, 1.0f, 0.0f}},
      {0, {TL_LIMIT_DERATE, 0, 0, 0.0f, 1.0f, 0.0f}},
      {0, {TL_LIMIT_DERATE, 0, 0, 0.0f, 1.0f, INFINITY}},
      {0, {0, 0, 0, 0.0f, 1.0f, 0.0f}},
      {BRAKE, {TL_LIMIT_FAULT, TL_LIMIT_ALL, 0, 0.0f, 1.0f, 0.0f}},
  };
  probe p;
  tl_bridge bridge;
  calm(&p);
  for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
    tl_plant_sheet own = sheet;
    own.limits = &wrong[i];
    own.n_limits = 1;
    tl_plant with = plant;
    with.sheet = &own;
    const tl_bridge_config config = {.plant = &with, .plant_state = &p, .slew = slew, .send = hear_state};
    const char name[2] = {(char)('a' + i), 0};
    CHECK_AT(!tl_bridge_init(&bridge, &config, 0), name);
  }
}

/* More limits of one observation than a ROW carries. */
static void too_many(void) {
  tl_sheet_limit many[TL_ROW_LIMITS_MAX + 1];
  tl_plant_sheet own = sheet;
  tl_plant with = plant;
  probe p;
  tl_bridge bridge;
  calm(&p);
  for (int i = 0; i <= TL_ROW_LIMITS_MAX; i++) many[i] = limits[4];
  own.limits = many;
  with.sheet = &own;
  const tl_bridge_config config = {.plant = &with, .plant_state = &p, .slew = slew, .send = hear_state};
  own.n_limits = TL_ROW_LIMITS_MAX;
  CHECK(tl_bridge_init(&bridge, &config, 0));
  own.n_limits++;
  CHECK(!tl_bridge_init(&bridge, &config, 0));
}

int main(void) {
  walk();
  arming();
  invalid();
  too_many();
  return check_result("test_sheet_limits");
}
