/* Pendulum swing-up: the dynamics of Gymnasium's Pendulum-v1. theta 0 is upright.
 *
 *     reward  = -(theta^2 + 0.1 omega^2 + 0.001 u^2)                   from before the step, theta in [-pi, pi]
 *     omega  <- clip(omega + (3 g / (2 l) sin theta + 3 / (m l^2) u) dt, -8, 8)
 *     theta  <- theta + omega dt                                         with the new omega
 *
 * Gymnasium lets theta grow; here it is wrapped, so that precision does not degrade with the number of turns.
 */
#include "firmware_bridge/plants/equations.h"
#include "firmware_bridge/plants/parts.h"

#define GRAVITY 10.0f
#define MASS 1.0f
#define LENGTH 1.0f
#define PERIOD_US 50000u
#define EPISODE_STEPS 200u
#define PERIOD_S 0.05f
#define TORQUE_MAX 2.0f
#define OMEGA_MAX 8.0f
#define START_THETA 3.14159265f
#define START_OMEGA 1.0f
#define WEIGHT_OMEGA 0.1f
#define WEIGHT_TORQUE 0.001f

static const char kSource[] = "Gymnasium Pendulum-v1 (classic_control/pendulum.py)";
static const char kReward[] = "-(theta^2 + 0.1 theta_dot^2 + 0.001 torque^2), theta in [-pi, pi], from before the step";

static const tl_plant_parameter kParameters[] = {
    {"gravity", "m/s^2", GRAVITY, "Gymnasium Pendulum-v1"},
    {"mass", "kg", MASS, "Gymnasium Pendulum-v1"},
    {"length", "m", LENGTH, "Gymnasium Pendulum-v1"},
    {"step", "s", PERIOD_S, "Gymnasium Pendulum-v1"},
    {"speed limit", "rad/s", OMEGA_MAX, "Gymnasium Pendulum-v1"},
    {"start, angle uniform within", "rad", START_THETA, "Gymnasium Pendulum-v1"},
    {"start, speed uniform within", "rad/s", START_OMEGA, "Gymnasium Pendulum-v1"},
    {"reward weight of theta_dot^2", "1", WEIGHT_OMEGA, "Gymnasium Pendulum-v1"},
    {"reward weight of torque^2", "1", WEIGHT_TORQUE, "Gymnasium Pendulum-v1"},
};

#define ROW_COS {"cos_theta", "1", -1.0f, 1.0f, TL_SAFE_NONE, 0.0f}
#define ROW_SIN {"sin_theta", "1", -1.0f, 1.0f, TL_SAFE_NONE, 0.0f}
#define ROW_OMEGA {"theta_dot", "rad/s", -OMEGA_MAX, OMEGA_MAX, TL_SAFE_NONE, 0.0f}
#define ROW_TORQUE {"torque", "Nm", -TORQUE_MAX, TORQUE_MAX, TL_SAFE_OFF, 0.0f}

static const TL_IN_FLASH tl_plant_row kRows[] = {ROW_COS, ROW_SIN, ROW_TORQUE};
static const TL_IN_FLASH tl_plant_row kRowsFull[] = {ROW_COS, ROW_SIN, ROW_OMEGA, ROW_TORQUE};

static const tl_plant_sheet kSheet = TL_PLANT_SHEET("pendulum", kRows, "pendulum, angle only");
static const tl_plant_sheet kSheetFull = TL_PLANT_SHEET("pendulum-full", kRowsFull, "pendulum, with velocity");

static void reset(void *state, uint32_t seed) {
    tl_pendulum_state *s = state;
    uint32_t rng = seed;
    tl_episode_begin(&s->episode, kSheet.max_steps);
    s->theta_rad = tl_plant_uniform(&rng, -START_THETA, START_THETA);
    s->omega_rad_s = tl_plant_uniform(&rng, -START_OMEGA, START_OMEGA);
}

static const tl_pendulum_numbers kNumbers = {GRAVITY, MASS, LENGTH, PERIOD_S, OMEGA_MAX};

static tl_plant_result step(void *state, const float *u) {
    tl_pendulum_state *s = state;
    if (tl_episode_over(&s->episode)) {
        return tl_episode_held(&s->episode);
    }
    const float torque = tl_actuate(&kRows[2], u[0]);
    const float cost = s->theta_rad * s->theta_rad + WEIGHT_OMEGA * (s->omega_rad_s * s->omega_rad_s) +
                       WEIGHT_TORQUE * (torque * torque);
    tl_pendulum_advance(kNumbers, &s->theta_rad, &s->omega_rad_s, torque);
    return tl_episode_count(&s->episode, -cost, false);
}

/* The polynomials may exceed 1 by a rounding; a sensor of a cosine does not. */
static float within_one(float x) { return x > 1.0f ? 1.0f : x < -1.0f ? -1.0f : x; }

static void observe(const void *state, float *x) {
    const tl_pendulum_state *s = state;
    const tl_sincos_result angle = tl_sincos(s->theta_rad);
    x[0] = within_one(angle.cos);
    x[1] = within_one(angle.sin);
}

static void observe_full(const void *state, float *x) {
    observe(state, x);
    x[2] = ((const tl_pendulum_state *)state)->omega_rad_s;
}

const tl_plant tl_plant_pendulum = {&kSheet, reset, step, observe, sizeof(tl_pendulum_state), NULL, NULL};
const tl_plant tl_plant_pendulum_full = {&kSheetFull, reset, step, observe_full, sizeof(tl_pendulum_state), NULL, NULL};
