/* Carts that are driven to a target: alone, or with a load that hangs from it. */
#include "firmware_bridge/plants/families/family.h"

enum { PERIOD_STEPS = 4 }; /* substeps */

/* ---------------------------------------------------------------- cart
 *
 *     x'' = a u - d x' - friction                              the range is +-1 m, its stops are at +-2 m */

enum { C_ACCELERATION = TL_MACHINE_OWN, C_DRAG, C_FRICTION };
enum { C_X = 0, C_V, C_TARGET, C_STATES };

static const char *const kCartObservations[] = {"x_m", "target_m"};

static const tl_machine_parameter kCart[] = {
    TL_COMMON_ROWS(TL_REWARD_COST, TL_REWARD_CENTRED, 0.005f, 2, 0, 0),
    {"acceleration_m_s2", "m/s^2", 2.0f, 10.0f, TL_DRAW_LOG},
    {"drag_1_s", "1/s", 0.2f, 2.0f, TL_DRAW_LOG},
    {"friction_m_s2", "m/s^2", 0.02f, 0.3f, TL_DRAW_LOG},
};

static void cart_start(tl_machine *m) {
    m->state[C_X] = tl_any(m, -1.0f, 1.0f);
    m->state[C_TARGET] = tl_any(m, -1.0f, 1.0f);
    (void)tl_target_due(m, 150u);
}

static tl_machine_result cart_advance(tl_machine *m, const float *u) {
    const float *p = m->parameters;
    float *s = m->state;
    const float dt = 0.02f;
    s[C_V] = tl_rub(s[C_V], p[C_ACCELERATION] * u[0] - p[C_DRAG] * s[C_V], p[C_FRICTION], dt);
    s[C_X] += s[C_V] * dt;
    tl_stop(&s[C_X], &s[C_V], -2.0f, 2.0f);
    const tl_machine_result result = {tl_square(s[C_X] - s[C_TARGET]) + 0.02f * tl_square(u[0]), false};
    if (tl_target_due(m, 150u)) {
        s[C_TARGET] = tl_any(m, -1.0f, 1.0f);
    }
    return result;
}

static void cart_sense(const tl_machine *m, float *x, float *span) {
    x[0] = m->state[C_X];
    x[1] = m->state[C_TARGET];
    span[0] = 1.0f;
    span[1] = 0.0f;
}

static void cart_features(const tl_machine *m, float *phi) {
    const float *p = m->parameters, *s = m->state;
    phi[0] = 2.0f * (s[C_X] - s[C_TARGET]);
    phi[1] = s[C_V];
    phi[2] = s[C_V] * tl_abs(s[C_V]) / p[C_ACCELERATION]; /* braking distance */
    phi[3] = tl_sign(s[C_TARGET] - s[C_X]) * p[C_FRICTION] / p[C_ACCELERATION];
}

const tl_machine_kind tl_kind_cart = {
    TL_KIND(cart, "cart", 20000u, 1, C_STATES, 4, kCart, kCartObservations, true, false),
    .title = "cart driven by a force to a target that jumps",
    .task = "cost (x - target)^2 + 0.02 u^2",
};

/* ---------------------------------------------------------------- crane
 *
 *     x''     = a u - d x'                                         the load does not move the trolley
 *     theta'' = -(g sin theta + x'' cos theta) / l - e theta' */

enum { K_ACCELERATION = TL_MACHINE_OWN, K_DRAG, K_LENGTH, K_DAMPING };
enum { K_X = 0, K_V, K_THETA, K_OMEGA, K_TARGET, K_STATES };

static const char *const kCraneObservations[] = {"x_m", "theta_rad", "target_m"};

static const tl_machine_parameter kCrane[] = {
    TL_COMMON_ROWS(TL_REWARD_COST, TL_REWARD_CENTRED, 0.005f, 1, 200, 500),
    {"acceleration_m_s2", "m/s^2", 1.5f, 4.0f, TL_DRAW_LOG},
    {"drag_1_s", "1/s", 0.5f, 2.0f, TL_DRAW_LOG},
    {"length_m", "m", 0.3f, 1.2f, TL_DRAW_LOG},
    {"damping_1_s", "1/s", 0.05f, 0.3f, TL_DRAW_LOG},
};

static void crane_start(tl_machine *m) {
    m->state[K_X] = tl_any(m, -1.0f, 1.0f);
    m->state[K_THETA] = tl_any(m, -0.2f, 0.2f);
    m->state[K_TARGET] = tl_any(m, -1.0f, 1.0f);
    (void)tl_target_due(m, 150u);
}

static tl_machine_result crane_advance(tl_machine *m, const float *u) {
    const float *p = m->parameters;
    float *s = m->state;
    const float dt = 0.04f / (float)PERIOD_STEPS;
    for (int i = 0; i < PERIOD_STEPS; ++i) {
        const float before = s[K_V];
        s[K_V] += (p[K_ACCELERATION] * u[0] - p[K_DRAG] * s[K_V]) * dt;
        s[K_X] += s[K_V] * dt;
        tl_stop(&s[K_X], &s[K_V], -2.0f, 2.0f);
        /* At a stop the trolley's deceleration is bounded, as by a bumper. */
        const float x_dd = tl_clamp((s[K_V] - before) / dt, -10.0f, 10.0f);
        const tl_sincos_result angle = tl_sincos_inline(s[K_THETA]);
        s[K_OMEGA] -= ((9.81f * angle.sin + x_dd * angle.cos) / p[K_LENGTH] + p[K_DAMPING] * s[K_OMEGA]) * dt;
        s[K_OMEGA] = tl_clamp(s[K_OMEGA], -20.0f, 20.0f);
        s[K_THETA] = tl_wrap_angle(s[K_THETA] + s[K_OMEGA] * dt);
    }
    const float error = s[K_X] - s[K_TARGET];
    const tl_machine_result result = {tl_square(error) + 2.0f * tl_square(s[K_THETA]) + 0.02f * tl_square(u[0]), false};
    if (tl_target_due(m, 150u)) {
        s[K_TARGET] = tl_any(m, -1.0f, 1.0f);
    }
    return result;
}

static void crane_sense(const tl_machine *m, float *x, float *span) {
    x[0] = m->state[K_X];
    x[1] = m->state[K_THETA];
    x[2] = m->state[K_TARGET];
    span[0] = 1.0f;
    span[1] = 0.5f;
    span[2] = 0.0f;
}

static void crane_features(const tl_machine *m, float *phi) {
    const float *s = m->state;
    phi[0] = s[K_X] - s[K_TARGET];
    phi[1] = s[K_V];
    phi[2] = 3.0f * s[K_THETA];
    phi[3] = s[K_OMEGA];
}

const tl_machine_kind tl_kind_crane = {
    TL_KIND(crane, "crane", 40000u, 1, K_STATES, 4, kCrane, kCraneObservations, false, false),
    .title = "trolley moved to a target that jumps, a load hangs from it",
    .task = "cost (x - target)^2 + 2 theta^2 + 0.02 u^2",
};
