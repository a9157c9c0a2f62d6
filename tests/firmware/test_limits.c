/* For any value that the host sends, the applied value is finite, in range and slew-limited. */
/* hazard: device-limits */
#include <math.h>
#include <string.h>

#include "check.h"
#include "firmware_bridge/bridge/bridge.h"
#include "firmware_bridge/protocol/bytes.h"

enum { N_ACT = 5 };

static const tl_plant_row rows[1 + N_ACT] = {
    {"x", "1", -1.0f, 1.0f, TL_SAFE_NONE, 0.0f},      {"hold", "m", -1.0f, 2.0f, TL_SAFE_HOLD, 0.5f},
    {"damp", "N", -10.0f, 10.0f, TL_SAFE_DAMP, 0.0f}, {"ramp", "rad", 1.0f, 3.0f, TL_SAFE_RAMP, 2.0f},
    {"off", "V", -1e-30f, 1e30f, TL_SAFE_OFF, 0.0f},  {"tiny", "A", -3e38f, 3e38f, TL_SAFE_OFF, 0.0f},
};
static const float slew[N_ACT] = {0.125f, 1.0f, 0.25f, 1e29f, 3e38f};
static const tl_plant_sheet sheet = {
    .name = "probe", .period_us = 1000, .observation_size = 1, .action_size = N_ACT, .rows = rows};

typedef struct {
  float u[N_ACT];
  float x;
  float reward;
  unsigned steps;
  bool live;
} probe;

static void probe_reset(void* state, uint32_t seed) {
  (void)seed;
  ((probe*)state)->x = 0.0f;
}

static tl_plant_result probe_step(void* state, const float* u) {
  probe* p = (probe*)state;
  memcpy(p->u, u, sizeof p->u);
  p->steps++;
  return (tl_plant_result){p->reward, false, false};
}

static void probe_observe(const void* state, float* x) { x[0] = ((const probe*)state)->x; }

static void probe_apply(void* state, const float* u, bool live) {
  probe* p = (probe*)state;
  memcpy(p->u, u, sizeof p->u);
  p->live = live;
}

/* It has arrived, and the last output of its own motion is still in a driver. */
static bool probe_reset_done(void* state) {
  ((probe*)state)->u[4] = 3.0f;
  return true;
}

static const tl_plant plant = {&sheet, probe_reset, probe_step, probe_observe, sizeof(probe), probe_apply, NULL};

static void nowhere(void* context, const uint8_t* bytes, size_t n) {
  (void)context;
  (void)bytes;
  (void)n;
}

static void hear(tl_bridge* bridge, tl_frame* frame, uint16_t seq, uint64_t now_us) {
  uint8_t wire[TL_WIRE_MAX];
  frame->seq = seq;
  frame->t_us = (uint32_t)now_us;
  tl_bridge_receive(bridge, wire, tl_frame_encode(frame, wire), now_us);
}

static void begin(tl_bridge* bridge, probe* p, uint64_t now_us) {
  tl_frame frame;
  memset(p, 0, sizeof *p);
  const tl_bridge_config config = {.plant = &plant,
                                   .plant_state = p,
                                   .reset_done = probe_reset_done,
                                   .slew = slew,
                                   .caps = TL_CAP_REWARD | TL_CAP_RESET,
                                   .send = nowhere};
  CHECK(tl_bridge_init(bridge, &config, now_us));
  tl_bridge_tick(bridge, now_us);
  tl_arm_pack(&(tl_arm){.session = 1}, &frame);
  hear(bridge, &frame, 0, now_us);
  CHECK(bridge->state == TL_STATE_ARMED);
}

static float some_float(uint64_t* seed) {
  const uint32_t r = (uint32_t)(check_random(seed) >> 32);
  const uint32_t special[] = {0x7F800000u, 0xFF800000u, 0x7FC00000u, 0x7F7FFFFFu,
                              0xFF7FFFFFu, 1u,          0x80000001u, 0x80000000u};
  switch (check_random(seed) % 4) {
    case 0:
      return tl_f32_from_bits(r); /* any pattern */
    case 1:
      return tl_f32_from_bits(special[r % 8]); /* infinities, NaN, the largest, the smallest, -0 */
    case 2:
      return (float)(int32_t)r * (4.0f / 2147483648.0f);
    default:
      return tl_f32_from_bits((r & 0x807FFFFFu) | 0x3F000000u);
  }
}

/* A random walk over bit patterns. */
static void walk(void) {
  tl_bridge bridge;
  probe p;
  uint64_t now_us = 5000000, seed = 3;
  unsigned accepted = 0, refused = 0;
  begin(&bridge, &p, now_us);
  for (unsigned i = 1; i <= 200000; i++) {
    tl_cmd cmd = {.session = bridge.session, .obs_t_us = (uint32_t)now_us, .ttl_ms = 100, .n = N_ACT};
    tl_frame frame;
    float before[N_ACT];
    bool finite = true;
    memcpy(before, bridge.applied, sizeof before);
    for (unsigned k = 0; k < N_ACT; k++) {
      /* Mostly one odd value at a time: a refused command moves nothing. */
      cmd.u[k] = check_random(&seed) % 8 == 0 ? some_float(&seed) : (float)(int)(check_random(&seed) % 9) - 4.0f;
      finite = finite && isfinite(cmd.u[k]);
    }
    tl_cmd_pack(&cmd, &frame);
    const uint32_t were = bridge.counters[TL_COUNTER_ACCEPTED];
    hear(&bridge, &frame, (uint16_t)i, now_us);
    const bool taken = bridge.counters[TL_COUNTER_ACCEPTED] != were;
    CHECK(taken == finite);
    accepted += taken;
    refused += !taken;
    now_us += 1000;
    tl_bridge_tick(&bridge, now_us);
    if (bridge.state != TL_STATE_ARMED) { /* only when nothing was accepted for a whole TTL */
      begin(&bridge, &p, now_us);
      continue;
    }
    for (unsigned k = 0; k < N_ACT; k++) {
      const tl_plant_row* row = &rows[1 + k];
      CHECK(p.u[k] == bridge.applied[k]);
      CHECK(isfinite(p.u[k]) && p.u[k] >= row->min && p.u[k] <= row->max);
      /* One rounding of before + slew: half a unit in the last place of the larger. */
      const float slack = 1.2e-7f * fmaxf(fabsf(before[k]), fabsf(p.u[k]));
      CHECK(fabs((double)p.u[k] - (double)before[k]) <= (double)slew[k] + (double)slack);
    }
  }
  CHECK(accepted > 100000 && refused > 10000);
}

/* Values where the applied one is known. */
static void known(void) {
  tl_bridge bridge;
  probe p;
  tl_frame frame;
  const float nan = tl_f32_from_bits(0x7FC00000u);
  begin(&bridge, &p, 0);
  CHECK(bridge.applied[0] == 0.5f && p.u[0] == 0.5f && !p.live);
  tl_cmd cmd = {.session = 1, .ttl_ms = 50, .n = N_ACT, .u = {9.0f, -9.0f, 0.0f, 1e30f, -3.4e38f}};
  tl_cmd_pack(&cmd, &frame);
  hear(&bridge, &frame, 1, 0);
  CHECK(!p.live); /* with its period */
  for (unsigned tick = 1; tick <= 20; tick++) tl_bridge_tick(&bridge, 1000u * tick);
  CHECK(p.live);
  CHECK(p.u[0] == 2.0f && p.u[1] == -9.0f && p.u[2] == 1.0f && p.u[4] == -3e38f);
  CHECK(bridge.counters[TL_COUNTER_CLAMPED] > 0);
  /* One value that is not finite invalidates the whole command. */
  for (unsigned k = 0; k < N_ACT; k++) {
    cmd.obs_t_us = 20000;
    cmd.u[0] = cmd.u[1] = cmd.u[2] = cmd.u[3] = cmd.u[4] = 1.0f;
    cmd.u[k] = k % 2 ? nan : tl_f32_from_bits(0x7F800000u);
    tl_cmd_pack(&cmd, &frame);
    hear(&bridge, &frame, (uint16_t)(2 + k), 20000);
  }
  CHECK(bridge.counters[TL_COUNTER_REFUSED] == N_ACT && bridge.cmd_seq == 1 && bridge.target[0] == 9.0f);
  /* Silence: fresh up to and including 50 ms, safe with the tick after it, each actuator in its own way. */
  for (unsigned tick = 21; tick <= 50; tick++) tl_bridge_tick(&bridge, 1000u * tick);
  CHECK(bridge.state == TL_STATE_ARMED && p.live);
  tl_bridge_tick(&bridge, 51000);
  CHECK(bridge.state == TL_STATE_SAFE && bridge.fault == TL_FAULT_SILENCE && !p.live);
  CHECK(p.u[0] == 2.0f && p.u[1] == 0.0f && p.u[2] == 1.25f && p.u[3] == 0.0f);
  tl_bridge_tick(&bridge, 52000);
  CHECK(p.u[0] == 2.0f && p.u[2] == 1.5f);
  for (unsigned tick = 53; tick <= 60; tick++) tl_bridge_tick(&bridge, 1000u * tick);
  CHECK(p.u[2] == 2.0f);
}

/* Between two periods: OFF and DAMP act at once, HOLD and RAMP wait for the period; FIRST moves nothing. */
static void passages(void) {
  static const uint8_t stops[] = {TL_TYPE_ESTOP, TL_TYPE_DISARM, TL_TYPE_RESET};
  for (unsigned i = 0; i < sizeof stops; i++) {
    tl_bridge bridge;
    probe p;
    tl_frame frame;
    begin(&bridge, &p, 0);
    tl_cmd_pack(&(tl_cmd){.session = 1, .ttl_ms = 50, .n = N_ACT, .u = {1.0f, 4.0f, 1.0f, 1e29f, 5.0f}}, &frame);
    hear(&bridge, &frame, 1, 0);
    for (unsigned tick = 1; tick <= 6; tick++) tl_bridge_tick(&bridge, 1000u * tick);
    CHECK(p.live && p.u[0] == 1.0f && p.u[1] == 4.0f && p.u[2] == 1.0f && p.u[3] == 1e29f && p.u[4] == 5.0f);
    const unsigned steps = p.steps;
    tl_empty_pack(stops[i], &frame);
    if (stops[i] == TL_TYPE_RESET) tl_reset_pack(&(tl_reset){1, 1, 0}, &frame);
    hear(&bridge, &frame, 2, 6500);
    CHECK(p.steps == steps && !p.live);
    CHECK(p.u[0] == 1.0f && p.u[1] == 0.0f && p.u[2] == 1.0f && p.u[3] == 0.0f && p.u[4] == 0.0f);
    CHECK(memcmp(p.u, bridge.applied, sizeof p.u) == 0);
    tl_bridge_tick(&bridge, 7000);
    CHECK(p.steps == steps + 1 && p.u[0] == 1.0f && p.u[2] == 1.25f);
    CHECK(memcmp(p.u, bridge.applied, sizeof p.u) == 0);
    if (stops[i] == TL_TYPE_RESET) CHECK(bridge.epflags == TL_EPISODE_FIRST && bridge.state == TL_STATE_ARMED);
  }
}

/* A NaN from a sensor or as reward stops an armed session. */
static void sensor(void) {
  for (unsigned which = 0; which < 2; which++) {
    tl_bridge bridge;
    probe p;
    begin(&bridge, &p, 0);
    if (which == 0) p.x = tl_f32_from_bits(0x7FC00000u);
    if (which == 1) p.reward = tl_f32_from_bits(0xFF800000u);
    tl_bridge_tick(&bridge, 1000);
    CHECK(bridge.state == TL_STATE_SAFE && bridge.fault == TL_FAULT_SENSOR && bridge.session == 0);
  }
}

/* An invalid data sheet is refused at initialisation. */
static void sheets(void) {
  tl_bridge bridge;
  probe p = {.steps = 0};
  tl_plant_row bad[1 + N_ACT];
  tl_plant_sheet bad_sheet = sheet;
  tl_plant bad_plant = plant;
  tl_bridge_config config = {.plant = &bad_plant, .plant_state = &p, .slew = slew, .send = nowhere};
  bad_plant.sheet = &bad_sheet;
  bad_sheet.rows = bad;
  memcpy(bad, rows, sizeof bad);
  CHECK(tl_bridge_init(&bridge, &config, 0));
  bad[3].min = 5.0f;
  CHECK(!tl_bridge_init(&bridge, &config, 0));
  bad[3].min = tl_f32_from_bits(0x7FC00000u);
  CHECK(!tl_bridge_init(&bridge, &config, 0));
  memcpy(bad, rows, sizeof bad);
  bad[2].name = "a_name_of_twenty_five_char";
  CHECK(!tl_bridge_init(&bridge, &config, 0));
  memcpy(bad, rows, sizeof bad);
  config.slew = NULL; /* a ramp needs one */
  CHECK(!tl_bridge_init(&bridge, &config, 0));
  const float wrong[] = {0.0f, -0.0f, -1.0f, NAN, -INFINITY, INFINITY, 1e-44f, 5e-8f};
  for (unsigned i = 0; i < sizeof wrong / sizeof *wrong; i++) { /* of the ramp; the last three only there */
    float changed[N_ACT];
    memcpy(changed, slew, sizeof changed);
    config.slew = changed;
    changed[2] = wrong[i];
    CHECK(!tl_bridge_init(&bridge, &config, 0));
    changed[2] = slew[2];
    changed[3] = wrong[i];
    CHECK(tl_bridge_init(&bridge, &config, 0) == (i >= 5));
  }
  config.slew = slew;
  const float bad_safe[] = {NAN, INFINITY, -INFINITY, 10.5f, -10.5f};
  for (unsigned i = 0; i < sizeof bad_safe / sizeof *bad_safe; i++) {
    bad[2].safe_value = bad_safe[i];
    CHECK(!tl_bridge_init(&bridge, &config, 0));
  }
  memcpy(bad, rows, sizeof bad);
  for (unsigned i = 0; i < 4; i++) { /* an actuator's limits are finite; an observation may have none */
    bad[2].max = i == 0 ? INFINITY : rows[2].max;
    bad[2].min = i == 1 ? -INFINITY : rows[2].min;
    bad[0].max = i == 2 ? INFINITY : i == 3 ? NAN : rows[0].max;
    bad[0].min = i == 2 ? -INFINITY : rows[0].min;
    CHECK(tl_bridge_init(&bridge, &config, 0) == (i == 2));
  }
  memcpy(bad, rows, sizeof bad);
  bad_plant.step = NULL;
  CHECK(!tl_bridge_init(&bridge, &config, 0));
  bad_plant = plant;
  bad_plant.sheet = &bad_sheet;
  bad_sheet.period_us = 0;
  CHECK(!tl_bridge_init(&bridge, &config, 0));
  bad_sheet = sheet;
  bad_sheet.observation_size = 51;
  CHECK(!tl_bridge_init(&bridge, &config, 0));
  bad_sheet = sheet;
  config.send = NULL;
  CHECK(!tl_bridge_init(&bridge, &config, 0));
}

int main(void) {
  walk();
  known();
  passages();
  sensor();
  sheets();
  return check_result("limits");
}
