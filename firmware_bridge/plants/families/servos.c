/* Position servos: a motor with a hidden load (the equations of the plant "servo"), one with backlash, and a cylinder
 * that is stronger in one direction. */
#include "firmware_bridge/plants/equations.h"
#include "firmware_bridge/plants/families/family.h"

static const char *const kObservations[] = {"position_rad", "target_rad"};
static const char *const kCylinderObservations[] = {"position_m", "target_m"};

/* ---------------------------------------------------------------- hidden load */

enum { L_INERTIA = TL_MACHINE_OWN, L_COULOMB, L_VISCOUS, L_LOAD, L_VOLTAGE };
enum { L_THETA = 0, L_OMEGA, L_CURRENT, L_TARGET, L_STATES };

static const tl_machine_parameter kLoad[] = {
    TL_COMMON_ROWS(TL_REWARD_COST, TL_REWARD_CENTRED, 0.005f, 2, 0, 0),
    {"inertia_kg_m2", "kg m^2", 2.0e-5f, 8.0e-5f, TL_DRAW_LOG},
    {"coulomb_nm", "N m", 4.0e-4f, 2.5e-3f, TL_DRAW_LOG},
    {"viscous_nm_s", "N m s/rad", 2.0e-6f, 5.0e-5f, TL_DRAW_LOG},
    {"load_nm", "N m", -4.0e-3f, 4.0e-3f, TL_DRAW_UNIFORM},
    {"voltage_v", "V", 4.0f, 10.0f, TL_DRAW_LOG}, /* full command */
};

/* Motor, and decay of the current in a substep: servo.c. */
static tl_servo_numbers servo_numbers(const float *p) {
    const tl_servo_numbers n = {8.4f,      0.042f, p[L_INERTIA], p[L_VISCOUS], p[L_COULOMB],
                                p[L_LOAD], 2.5f,   5.0e-4f,      0.026764212f, 0.26879846f,
                                20};
    return n;
}

static void load_start(tl_machine *m) {
    m->state[L_THETA] = tl_any(m, -1.5f, 1.5f);
    m->state[L_TARGET] = tl_any(m, -1.5f, 1.5f);
    (void)tl_target_due(m, 150u);
}

static tl_machine_result load_advance(tl_machine *m, const float *u) {
    float *s = m->state;
    const float voltage = m->parameters[L_VOLTAGE] * u[0];
    tl_servo_advance(servo_numbers(m->parameters), &s[L_THETA], &s[L_OMEGA], &s[L_CURRENT], voltage);
    const tl_machine_result result = {tl_square((s[L_THETA] - s[L_TARGET]) / 1.5f) + 0.01f * tl_square(u[0]), false};
    if (tl_target_due(m, 150u)) {
        s[L_TARGET] = tl_any(m, -1.5f, 1.5f);
    }
    return result;
}

static void load_sense(const tl_machine *m, float *x, float *span) {
    x[0] = m->state[L_THETA];
    x[1] = m->state[L_TARGET];
    span[0] = 1.5f;
    span[1] = 0.0f;
}

static void load_features(const tl_machine *m, float *phi) {
    const float *p = m->parameters, *s = m->state;
    const float volt_per_nm = 8.4f / 0.042f / p[L_VOLTAGE];
    phi[0] = 2.0f * (s[L_THETA] - s[L_TARGET]);
    phi[1] = 0.2f * s[L_OMEGA];
    phi[2] = p[L_LOAD] * volt_per_nm;
    phi[3] = tl_clamp(20.0f * (s[L_TARGET] - s[L_THETA]), -1.0f, 1.0f) * p[L_COULOMB] * volt_per_nm;
}

const tl_machine_kind tl_kind_servo_load = {
    TL_KIND(load, "servo-load", 10000u, 1, L_STATES, 4, kLoad, kObservations, true, true),
    .title = "motor with friction and a hidden load, moved to a target that jumps",
    .task = "cost ((position - target) / 1.5)^2 + 0.01 u^2",
};

/* ---------------------------------------------------------------- backlash
 *
 *     tau v' = v_max u - v      q' = v      position follows q with a play of +-gap/2; the sensor is behind the play */

enum { B_SPEED = TL_MACHINE_OWN, B_LAG, B_GAP };
enum { B_Q = 0, B_V, B_POSITION, B_TARGET, B_STATES };

static const tl_machine_parameter kBacklash[] = {
    TL_COMMON_ROWS(TL_REWARD_COST, TL_REWARD_CENTRED, 0.005f, 2, 0, 0),
    {"speed_rad_s", "rad/s", 1.5f, 6.0f, TL_DRAW_LOG},
    {"lag_s", "s", 0.03f, 0.2f, TL_DRAW_LOG},
    {"gap_rad", "rad", 0.03f, 0.3f, TL_DRAW_LOG},
};

static void backlash_start(tl_machine *m) {
    const float half = 0.5f * m->parameters[B_GAP];
    m->state[B_POSITION] = tl_any(m, -1.0f, 1.0f);
    m->state[B_Q] = m->state[B_POSITION] + tl_any(m, -half, half);
    m->state[B_TARGET] = tl_any(m, -1.0f, 1.0f);
    (void)tl_target_due(m, 120u);
}

static tl_machine_result backlash_advance(tl_machine *m, const float *u) {
    const float *p = m->parameters;
    float *s = m->state;
    const float dt = 0.02f, half = 0.5f * p[B_GAP];
    s[B_V] += tl_lag(p[B_LAG], dt) * (p[B_SPEED] * u[0] - s[B_V]);
    s[B_Q] += s[B_V] * dt;
    tl_stop(&s[B_Q], &s[B_V], -2.0f, 2.0f);
    s[B_POSITION] = tl_clamp(s[B_POSITION], s[B_Q] - half, s[B_Q] + half);
    const tl_machine_result result = {tl_square(s[B_POSITION] - s[B_TARGET]) + 0.01f * tl_square(u[0]), false};
    if (tl_target_due(m, 120u)) {
        s[B_TARGET] = tl_any(m, -1.0f, 1.0f);
    }
    return result;
}

static void backlash_sense(const tl_machine *m, float *x, float *span) {
    x[0] = m->state[B_POSITION];
    x[1] = m->state[B_TARGET];
    span[0] = 1.0f;
    span[1] = 0.0f;
}

static void backlash_features(const tl_machine *m, float *phi) {
    const float *p = m->parameters, *s = m->state;
    const float error = s[B_POSITION] - s[B_TARGET];
    phi[0] = 4.0f * error;
    phi[1] = s[B_V] / p[B_SPEED];
    phi[2] = 4.0f * (s[B_Q] - s[B_POSITION]);
    phi[3] = tl_clamp(-10.0f * error, -1.0f, 1.0f) * p[B_GAP] / p[B_SPEED] * 10.0f;
}

const tl_machine_kind tl_kind_servo_backlash = {
    TL_KIND(backlash, "servo-backlash", 20000u, 1, B_STATES, 4, kBacklash, kObservations, true, false),
    .title = "velocity-controlled drive with backlash, moved to a target that jumps",
    .task = "cost (position - target)^2 + 0.01 u^2",
};

/* ---------------------------------------------------------------- a cylinder, stronger in one direction
 *
 *     tau v' = speed(u) - v      x' = v      speed: 0 within the dead band, then linear, weaker in one direction */

enum { A_SPEED = TL_MACHINE_OWN, A_LAG, A_RATIO, A_DEAD, A_STRONG };
enum { A_X = 0, A_V, A_TARGET, A_STATES };

static const tl_machine_parameter kAsymmetric[] = {
    TL_COMMON_ROWS(TL_REWARD_COST, TL_REWARD_CENTRED, 0.005f, 2, 0, 0),
    {"speed_m_s", "m/s", 2.0f, 6.0f, TL_DRAW_LOG}, /* full command in the strong direction */
    {"lag_s", "s", 0.03f, 0.2f, TL_DRAW_LOG},
    {"weak_ratio", "1", 0.2f, 0.6f, TL_DRAW_UNIFORM},
    {"dead_band", "1", 0.02f, 0.1f, TL_DRAW_LOG},
    {"strong_up", "0 or 1", 0.0f, 1.0f, TL_DRAW_INTEGER},
};

static float cylinder_speed(const float *p, float u) {
    const float effective = tl_abs(u) - p[A_DEAD];
    if (!(effective > 0.0f)) {
        return 0.0f;
    }
    const bool strong = (u > 0.0f) == (p[A_STRONG] != 0.0f);
    return tl_sign(u) * effective * p[A_SPEED] * (strong ? 1.0f : p[A_RATIO]);
}

static void asymmetric_start(tl_machine *m) {
    m->state[A_X] = tl_any(m, -1.0f, 1.0f);
    m->state[A_TARGET] = tl_any(m, -1.0f, 1.0f);
    (void)tl_target_due(m, 120u);
}

static tl_machine_result asymmetric_advance(tl_machine *m, const float *u) {
    float *s = m->state;
    const float dt = 0.02f;
    s[A_V] += tl_lag(m->parameters[A_LAG], dt) * (cylinder_speed(m->parameters, u[0]) - s[A_V]);
    s[A_X] += s[A_V] * dt;
    tl_stop(&s[A_X], &s[A_V], -1.5f, 1.5f);
    const tl_machine_result result = {tl_square(s[A_X] - s[A_TARGET]) + 0.01f * tl_square(u[0]), false};
    if (tl_target_due(m, 120u)) {
        s[A_TARGET] = tl_any(m, -1.0f, 1.0f);
    }
    return result;
}

static void asymmetric_sense(const tl_machine *m, float *x, float *span) {
    x[0] = m->state[A_X];
    x[1] = m->state[A_TARGET];
    span[0] = 1.0f;
    span[1] = 0.0f;
}

static void asymmetric_features(const tl_machine *m, float *phi) {
    const float *p = m->parameters, *s = m->state;
    const float error = s[A_X] - s[A_TARGET];
    const bool strong = (error < 0.0f) == (p[A_STRONG] != 0.0f);
    phi[0] = 4.0f * error * (strong ? 1.0f : 0.0f);
    phi[1] = 4.0f * error * (strong ? 0.0f : 1.0f);
    phi[2] = s[A_V] / p[A_SPEED];
    phi[3] = tl_clamp(-20.0f * error, -1.0f, 1.0f) * p[A_DEAD];
}

const tl_machine_kind tl_kind_asymmetric = {
    TL_KIND(asymmetric, "asymmetric", 20000u, 1, A_STATES, 4, kAsymmetric, kCylinderObservations, true, false),
    .title = "cylinder that is stronger in one direction, moved to a target that jumps",
    .task = "cost (position - target)^2 + 0.01 u^2",
};
