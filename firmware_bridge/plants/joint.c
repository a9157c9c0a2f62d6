/* A joint with limits of its own: the position servo (servo.c), with the temperature of its winding, the voltage of its
 * supply and a brake, and a data sheet whose limits the device enforces.
 *
 *     C dT/dt = R i^2 - (T - ambient) / R_th               two thermal constants of a winding, in one period by Euler
 *     bus     = BUS - R_bus |i|                            internal resistance of the supply
 *
 * The brake holds the disc while it is engaged: no command is in force, or the device is not armed. */
#include "firmware_bridge/plants/parts.h"

#define PERIOD_US 10000u
#define EPISODE_STEPS 500u
#define PERIOD_S 0.01f
#define RESISTANCE 8.4f
#define AMBIENT_C 25.0f
#define HEAT_J_K 12.0f
#define THERMAL_K_W 4.0f
#define BUS_V 24.0f
#define BUS_OHM 0.5f

enum { THETA, TARGET, OMEGA, CURRENT, TEMPERATURE, BUS, BRAKE, SIZE };

static const char kSource[] = "as servo-full; temperature, supply, brake and limits are ours";
static const char kReward[] = "as servo-full";

static const tl_plant_parameter kParameters[] = {
    {"ambient", "C", AMBIENT_C, "own choice"},
    {"heat capacity of the winding", "J/K", HEAT_J_K, "own choice"},
    {"winding to ambient", "K/W", THERMAL_K_W, "own choice"},
    {"supply without load", "V", BUS_V, "own choice"},
    {"resistance of the supply", "ohm", BUS_OHM, "own choice"},
};

/* Temperature: 2.4 A permanently give 219 C; bus: 24 V without load, 22.75 V at 2.5 A. */
static const TL_IN_FLASH tl_plant_row kRows[SIZE + 1] = {
    {"theta", "rad", -2.5f, 2.5f, TL_SAFE_NONE, 0.0f},
    {"target", "rad", -1.5f, 1.5f, TL_SAFE_NONE, 0.0f},
    {"theta_dot", "rad/s", -240.0f, 240.0f, TL_SAFE_NONE, 0.0f},
    {"current", "A", -2.5f, 2.5f, TL_SAFE_NONE, 0.0f},
    {"temperature", "C", -40.0f, 250.0f, TL_SAFE_NONE, 0.0f},
    {"bus", "V", 0.0f, 30.0f, TL_SAFE_NONE, 0.0f},
    {"brake", "1", 0.0f, 1.0f, TL_SAFE_NONE, 0.0f},
    {"voltage", "V", -10.0f, 10.0f, TL_SAFE_OFF, 0.0f},
};
static const TL_IN_FLASH uint8_t kRoles[SIZE] = {
    [THETA] = TL_ROW_POSITION,          [OMEGA] = TL_ROW_VELOCITY,  [CURRENT] = TL_ROW_CURRENT,
    [TEMPERATURE] = TL_ROW_TEMPERATURE, [BUS] = TL_ROW_BUS_VOLTAGE, [BRAKE] = TL_ROW_BRAKE,
};
#define FOREVER (1.0f / 0.0f)
static const TL_IN_FLASH tl_sheet_limit kLimits[] = {
    {THETA, {TL_LIMIT_DIRECTION, 0, 1, -2.0f, 2.0f, 0.0f}},
    {OMEGA, {TL_LIMIT_DIRECTION, 0, 1, -100.0f, 100.0f, 0.0f}},
    {OMEGA, {TL_LIMIT_FAULT, TL_LIMIT_ALL, 0, -200.0f, 200.0f, 0.0f}},
    {CURRENT, {TL_LIMIT_FAULT, TL_LIMIT_ALL, 0, -2.2f, 2.2f, 0.0f}},
    {TEMPERATURE, {TL_LIMIT_DERATE, TL_LIMIT_ALL, 0, -FOREVER, 70.0f, 0.05f}},
    {TEMPERATURE, {TL_LIMIT_FAULT, TL_LIMIT_ALL, 0, -FOREVER, 90.0f, 0.0f}},
    {BUS, {TL_LIMIT_DERATE, TL_LIMIT_ALL, 0, 21.0f, FOREVER, 0.5f}},
    {BUS, {TL_LIMIT_FAULT, TL_LIMIT_ALL, 0, 18.0f, 28.0f, 0.0f}},
};

static const tl_plant_sheet kSheet = {.name = "joint",
                                      .period_us = PERIOD_US,
                                      .observation_size = SIZE,
                                      .action_size = 1,
                                      .max_steps = EPISODE_STEPS,
                                      .rows = kRows,
                                      .roles = kRoles,
                                      .limits = kLimits,
                                      .n_limits = sizeof kLimits / sizeof kLimits[0],
                                      .simulated = true,
                                      TL_PLANT_TEXTS("position servo with limits of its own and a brake")};

static void reset(void *state, uint32_t seed) {
    tl_joint_state *s = state;
    tl_plant_servo_full.reset(&s->servo, seed);
    s->temperature_c = AMBIENT_C;
    s->released = 0u;
}

static tl_plant_result step(void *state, const float *u) {
    tl_joint_state *s = state;
    if (tl_episode_over(&s->servo.episode)) {
        return tl_episode_held(&s->servo.episode);
    }
    const float theta = s->servo.theta_rad;
    const tl_plant_result result = tl_plant_servo_full.step(&s->servo, u);
    if (s->released == 0u) {
        s->servo.theta_rad = theta;
        s->servo.omega_rad_s = 0.0f;
    }
    const float current = s->servo.current_a;
    const float lost_w = (s->temperature_c - AMBIENT_C) * (1.0f / THERMAL_K_W);
    s->temperature_c += (RESISTANCE * current * current - lost_w) * (PERIOD_S / HEAT_J_K);
    return result;
}

static void observe(const void *state, float *x) {
    const tl_joint_state *s = state;
    const float current = s->servo.current_a;
    tl_plant_servo_full.observe(&s->servo, x);
    x[TEMPERATURE] = s->temperature_c;
    x[BUS] = BUS_V - BUS_OHM * (current < 0.0f ? -current : current);
    x[BRAKE] = s->released == 0u ? 1.0f : 0.0f;
}

static void brake(void *state, bool released) { ((tl_joint_state *)state)->released = released; }

const tl_plant tl_plant_joint = {&kSheet, reset, step, observe, sizeof(tl_joint_state), NULL, brake};
