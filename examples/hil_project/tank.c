/* A water tank with a pump and an open drain: the plant of this project, for the firmware.
 *
 *     level <- level + (FLOW u - DRAIN level) / AREA dt,  never below 0 or above HEIGHT
 *     reward = -(level - target)^2
 */
#include "firmware_bridge/plants/parts.h"

#define AREA 0.02f  /* m^2 */
#define FLOW 4e-4f  /* m^3/s per V */
#define DRAIN 4e-3f /* m^3/s per m of level */
#define HEIGHT 1.0f /* m */
#define PERIOD_S 0.02f

typedef struct {
  tl_plant_episode episode; /* every state starts with this */
  float level, target;
} tank;

static const TL_IN_FLASH tl_plant_row rows[] = {
    {"level", "m", 0.0f, HEIGHT, TL_SAFE_NONE, 0.0f},
    {"target", "m", 0.0f, HEIGHT, TL_SAFE_NONE, 0.0f},
    {"pump", "V", 0.0f, 12.0f, TL_SAFE_OFF, 0.0f}, /* safe behaviour is off: the tank drains and cannot overflow */
};

static const tl_plant_sheet sheet = {
    .name = "tank",
    .period_us = 20000u,
    .observation_size = 2,
    .action_size = 1,
    .max_steps = 500u,
    .rows = rows,
    .title = "water tank",
    .reward = "-(level - target)^2",
    .source = "ours",
    .simulated = true, /* omit it if step() moves real hardware */
};

static void reset(void* state, uint32_t seed) {
  tank* t = (tank*)state;
  tl_episode_begin(&t->episode, sheet.max_steps);
  t->level = tl_plant_uniform(&seed, 0.2f, 0.4f);
  t->target = tl_plant_uniform(&seed, 0.5f, 0.8f);
}

static tl_plant_result step(void* state, const float* u) {
  tank* t = (tank*)state;
  if (tl_episode_over(&t->episode)) return tl_episode_held(&t->episode);
  t->level += (FLOW * tl_actuate(&rows[2], u[0]) - DRAIN * t->level) / AREA * PERIOD_S;
  if (!(t->level > 1e-6f)) t->level = 0.0f;
  if (!(t->level < HEIGHT)) t->level = HEIGHT;
  const float error = t->level - t->target;
  return tl_episode_count(&t->episode, -error * error, false);
}

static void observe(const void* state, float* x) {
  const tank* t = (const tank*)state;
  x[0] = t->level;
  x[1] = t->target;
}

const tl_plant tl_plant_own = {&sheet, reset, step, observe, sizeof(tank)};
