/* A real plant of two observations and one actuator whose drivers do nothing: what the bridge itself costs. */
#include "firmware_bridge/plants/parts.h"

static const TL_IN_FLASH tl_plant_row rows[] = {
    {"position", "rad", -3.0f, 3.0f, TL_SAFE_NONE, 0.0f},
    {"speed", "rad/s", -50.0f, 50.0f, TL_SAFE_NONE, 0.0f},
    {"motor", "V", -12.0f, 12.0f, TL_SAFE_OFF, 0.0f},
};
static const tl_plant_sheet sheet = {
    .name = "two", .period_us = 10000u, .observation_size = 2, .action_size = 1, .rows = rows};

static volatile float motor;

static void reset(void* state, uint32_t seed) {
  (void)seed;
  tl_episode_begin((tl_plant_episode*)state, 0);
}

static void apply(void* state, const float* u, bool live) {
  (void)state;
  (void)live;
  motor = u[0];
}

static tl_plant_result step(void* state, const float* u) {
  (void)u;
  return tl_episode_count((tl_plant_episode*)state, 0.0f, false);
}

static void observe(const void* state, float* x) {
  (void)state;
  x[0] = motor;
  x[1] = 0.0f;
}

const tl_plant tl_plant_own = {&sheet, reset, step, observe, sizeof(tl_plant_episode), apply, NULL};
