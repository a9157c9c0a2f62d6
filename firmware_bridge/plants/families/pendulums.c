/* Pendulums on an axis; theta 0 is upright. Two have the equations of the plant "pendulum". */
#include "firmware_bridge/plants/equations.h"
#include "firmware_bridge/plants/families/family.h"

#define GRAVITY 9.81f
#define PI 3.14159265f

enum { MASS = TL_MACHINE_OWN, LENGTH, TORQUE, LOAD };
enum { THETA = 0, OMEGA, STATES };

static tl_pendulum_numbers numbers_of(const tl_machine *m, float period_s) {
    const tl_pendulum_numbers n = {GRAVITY, m->parameters[MASS], m->parameters[LENGTH], period_s, 20.0f};
    return n;
}

/* The torque of gravity when the rod is horizontal. */
static float gravity_torque(const tl_machine *m) {
    return 0.5f * m->parameters[MASS] * GRAVITY * m->parameters[LENGTH];
}

static float full_torque(const tl_machine *m) { return m->parameters[TORQUE] * gravity_torque(m); }

/* Speed in units of sqrt(3 g / (2 l)), the pendulum's own frequency. */
static float own_speed(const tl_machine *m) {
    return m->state[OMEGA] / tl_root(1.5f * GRAVITY / m->parameters[LENGTH]);
}

/* ---------------------------------------------------------------- swing-up */

static const char *const kSwingObservations[] = {"cos_theta", "sin_theta"};

static const tl_machine_parameter kSwing[] = {
    TL_COMMON_ROWS(TL_REWARD_COST, TL_REWARD_CENTRED, 0.005f, 1, 200, 400),
    {"mass_kg", "kg", 0.3f, 2.0f, TL_DRAW_LOG},
    {"length_m", "m", 0.4f, 1.5f, TL_DRAW_LOG},
    {"torque_ratio", "1", 0.6f, 1.0f, TL_DRAW_UNIFORM}, /* full command over the torque of gravity at 90 degrees */
};

static void swing_start(tl_machine *m) {
    m->state[THETA] = tl_any(m, -PI, PI);
    m->state[OMEGA] = tl_any(m, -1.0f, 1.0f);
}

static tl_machine_result swing_advance(tl_machine *m, const float *u) {
    const float speed = own_speed(m);
    const float cost = tl_square(m->state[THETA] / PI) + 0.15f * tl_square(speed) + 0.003f * tl_square(u[0]);
    tl_pendulum_advance(numbers_of(m, 0.04f), &m->state[THETA], &m->state[OMEGA], full_torque(m) * u[0]);
    const tl_machine_result result = {cost, false};
    return result;
}

static void swing_sense(const tl_machine *m, float *x, float *span) {
    const tl_sincos_result angle = tl_sincos_inline(m->state[THETA]);
    x[0] = angle.cos;
    x[1] = angle.sin;
    span[0] = 1.0f;
    span[1] = 1.0f;
}

/* Near the top a linear law, elsewhere torque along the speed until the energy is that of the top. */
static void swing_features(const tl_machine *m, float *phi) {
    const float speed = own_speed(m);
    const tl_sincos_result angle = tl_sincos_inline(m->state[THETA]);
    const float missing = 1.0f - angle.cos - 0.5f * tl_square(speed); /* energy, 2 at rest below */
    const float near = angle.cos > 0.8f && tl_abs(missing) < 0.4f ? 1.0f : 0.0f;
    phi[0] = near * 4.0f * m->state[THETA];
    phi[1] = near * 4.0f * speed;
    phi[2] = (1.0f - near) * tl_clamp(20.0f * missing, -1.0f, 1.0f) * (speed >= 0.0f ? 1.0f : -1.0f);
    phi[3] = (1.0f - near) * speed;
    phi[4] = (1.0f - near) * angle.sin;
}

const tl_machine_kind tl_kind_pendulum_swing_up = {
    TL_KIND(swing, "pendulum-swing-up", 40000u, 1, STATES, 5, kSwing, kSwingObservations, false, false),
    .title = "pendulum swung up and held with too little torque",
    .task = "cost (theta / pi)^2 + 0.15 speed^2 + 0.003 u^2, speed in units of sqrt(1.5 g / length)",
};

/* ---------------------------------------------------------------- held upright with a weak motor and a hidden load */

static const char *const kHoldObservations[] = {"theta_rad"};

static const tl_machine_parameter kHold[] = {
    TL_COMMON_ROWS(TL_REWARD_SURVIVAL, TL_REWARD_SHAPED, 0.01f, 1, 300, 600),
    {"mass_kg", "kg", 0.3f, 2.0f, TL_DRAW_LOG},
    {"length_m", "m", 0.4f, 1.5f, TL_DRAW_LOG},
    {"torque_ratio", "1", 0.4f, 0.8f, TL_DRAW_UNIFORM},
    {"load_ratio", "1", -0.1f, 0.1f, TL_DRAW_UNIFORM}, /* constant torque over that of gravity at 90 degrees */
};

static void hold_start(tl_machine *m) {
    m->state[THETA] = tl_any(m, -0.1f, 0.1f);
    m->state[OMEGA] = tl_any(m, -0.1f, 0.1f);
}

static tl_machine_result hold_advance(tl_machine *m, const float *u) {
    const float torque = full_torque(m) * u[0] + m->parameters[LOAD] * gravity_torque(m);
    tl_pendulum_advance(numbers_of(m, 0.02f), &m->state[THETA], &m->state[OMEGA], torque);
    const float tilt = tl_abs(m->state[THETA]);
    const tl_machine_result result = {tl_square(tilt / 0.3f), tilt > 0.8f};
    return result;
}

static void hold_sense(const tl_machine *m, float *x, float *span) {
    x[0] = m->state[THETA];
    span[0] = 0.3f;
}

static void hold_features(const tl_machine *m, float *phi) {
    phi[0] = 4.0f * m->state[THETA];
    phi[1] = 4.0f * own_speed(m);
}

const tl_machine_kind tl_kind_pendulum_hold = {
    TL_KIND(hold, "pendulum-hold", 20000u, 1, STATES, 2, kHold, kHoldObservations, false, true),
    .title = "pendulum held upright by a weak motor against a hidden load",
    .task = "cost (theta / 0.3)^2; ends beyond 0.8 rad",
};

/* ---------------------------------------------------------------- reaction wheel
 *
 *     theta'' = a sin theta - b (u - w)          b torque of the motor, falling with the wheel's speed w in [-1, 1]
 *     w'      = (u - w) / T */

enum { W_GRAVITY = TL_MACHINE_OWN, W_TORQUE, W_SPIN };
enum { W_THETA = 0, W_OMEGA, W_WHEEL, W_ANGLE, W_STATES };

static const char *const kWheelObservations[] = {"theta_rad", "cos_wheel", "sin_wheel"};

static const tl_machine_parameter kWheel[] = {
    TL_COMMON_ROWS(TL_REWARD_SURVIVAL, TL_REWARD_SHAPED, 0.005f, 1, 300, 600),
    {"gravity_1_s2", "1/s^2", 8.0f, 30.0f, TL_DRAW_LOG},
    {"torque_ratio", "1", 0.25f, 0.5f, TL_DRAW_UNIFORM}, /* full command over the torque of gravity at 90 degrees */
    {"spin_up_s", "s", 1.0f, 3.0f, TL_DRAW_LOG},
};

static void wheel_start(tl_machine *m) {
    m->state[W_THETA] = tl_any(m, -0.03f, 0.03f);
    m->state[W_OMEGA] = tl_any(m, -0.03f, 0.03f);
    m->state[W_ANGLE] = tl_any(m, -PI, PI);
}

static tl_machine_result wheel_advance(tl_machine *m, const float *u) {
    const float *p = m->parameters;
    float *s = m->state;
    const float dt = 0.02f;
    const float torque = u[0] - s[W_WHEEL];
    const float gravity = tl_sincos_inline(s[W_THETA]).sin;
    s[W_OMEGA] += p[W_GRAVITY] * (gravity - p[W_TORQUE] * torque) * dt;
    s[W_THETA] += s[W_OMEGA] * dt;
    s[W_WHEEL] += torque / p[W_SPIN] * dt;
    s[W_ANGLE] = tl_wrap_angle(s[W_ANGLE] + 30.0f * s[W_WHEEL] * dt); /* full speed: 30 rad/s */
    const tl_machine_result result = {tl_square(s[W_THETA] / 0.1f) + 0.2f * tl_square(s[W_WHEEL]),
                                      tl_abs(s[W_THETA]) > 0.3f};
    return result;
}

static void wheel_sense(const tl_machine *m, float *x, float *span) {
    const tl_sincos_result wheel = tl_sincos_inline(m->state[W_ANGLE]);
    x[0] = m->state[W_THETA];
    x[1] = wheel.cos;
    x[2] = wheel.sin;
    span[0] = 0.1f;
    span[1] = 1.0f;
    span[2] = 1.0f;
}

static void wheel_features(const tl_machine *m, float *phi) {
    phi[0] = 10.0f * m->state[W_THETA];
    phi[1] = 10.0f * m->state[W_OMEGA] / tl_root(m->parameters[W_GRAVITY]);
    phi[2] = m->state[W_WHEEL];
}

const tl_machine_kind tl_kind_wheel_pendulum = {
    TL_KIND(wheel, "wheel-pendulum", 20000u, 1, W_STATES, 3, kWheel, kWheelObservations, false, true),
    .title = "pendulum balanced upright by a reaction wheel",
    .task = "cost (theta / 0.1)^2 + 0.2 wheel^2, wheel over its full speed; ends beyond 0.3 rad",
};
