/* Poles on carts: the equations of the plant "cartpole" with other numbers; one family varies the pole alone, the other
 * everything, with friction. */
#include "firmware_bridge/plants/equations.h"
#include "firmware_bridge/plants/families/family.h"

enum {
    MASS_POLE = TL_MACHINE_OWN,
    HALF_LENGTH,
    MASS_CART,
    FORCE,     /* full command, as acceleration of cart and pole */
    CART_DRAG, /* viscous */
    POLE_DRAG, /* viscous */
    TRACK,     /* half its length */
    TILT,      /* beyond it the pole counts as fallen */
};
enum { X = 0, V, THETA, OMEGA, STATES };

static const char *const kObservations[] = {"x_m", "theta_rad"};

static const tl_machine_parameter kPole[] = {
    TL_COMMON_ROWS(TL_REWARD_SURVIVAL, TL_REWARD_SURVIVAL, 0.004f, 1, 500, 500),
    {"mass_pole_kg", "kg", 0.05f, 0.5f, TL_DRAW_LOG},
    {"half_length_m", "m", 0.25f, 1.0f, TL_DRAW_LOG},
    {"mass_cart_kg", "kg", 1.0f, 1.0f, TL_DRAW_UNIFORM},
    {"force_m_s2", "m/s^2", 9.0f, 9.0f, TL_DRAW_UNIFORM},
    {"cart_drag_1_s", "1/s", 0.0f, 0.0f, TL_DRAW_UNIFORM},
    {"pole_drag_1_s", "1/s", 0.0f, 0.0f, TL_DRAW_UNIFORM},
    {"track_m", "m", 2.4f, 2.4f, TL_DRAW_UNIFORM},
    {"tilt_rad", "rad", 0.20943951f, 0.20943951f, TL_DRAW_UNIFORM},
};

static const tl_machine_parameter kWide[] = {
    TL_COMMON_ROWS(TL_REWARD_SURVIVAL, TL_REWARD_SHAPED, 0.01f, 2, 200, 1000),
    {"mass_pole_kg", "kg", 0.02f, 1.0f, TL_DRAW_LOG},
    {"half_length_m", "m", 0.4f, 1.5f, TL_DRAW_LOG},
    {"mass_cart_kg", "kg", 0.3f, 3.0f, TL_DRAW_LOG},
    {"force_m_s2", "m/s^2", 6.0f, 15.0f, TL_DRAW_LOG},
    {"cart_drag_1_s", "1/s", 0.0f, 1.0f, TL_DRAW_UNIFORM},
    {"pole_drag_1_s", "1/s", 0.0f, 0.5f, TL_DRAW_UNIFORM},
    {"track_m", "m", 1.5f, 4.0f, TL_DRAW_UNIFORM},
    {"tilt_rad", "rad", 0.2f, 0.4f, TL_DRAW_UNIFORM},
};

static float total_mass(const tl_machine *m) { return m->parameters[MASS_CART] + m->parameters[MASS_POLE]; }

static void cartpole_start(tl_machine *m) {
    for (int i = 0; i < STATES; ++i) {
        m->state[i] = tl_any(m, -0.05f, 0.05f);
    }
}

static tl_machine_result cartpole_advance(tl_machine *m, const float *u) {
    const float *p = m->parameters;
    float *s = m->state;
    const tl_cartpole_numbers numbers = {9.8f, p[MASS_CART], p[MASS_POLE], p[HALF_LENGTH], 0.02f};
    const float force = (p[FORCE] * u[0] - p[CART_DRAG] * s[V]) * total_mass(m);
    tl_cartpole_advance(numbers, &s[X], &s[V], &s[THETA], &s[OMEGA], force);
    s[OMEGA] -= p[POLE_DRAG] * 0.02f * s[OMEGA];
    const bool failed = tl_abs(s[X]) > p[TRACK] || tl_abs(s[THETA]) > p[TILT];
    const tl_machine_result result = {tl_square(s[X] / p[TRACK]) + tl_square(s[THETA] / p[TILT]), failed};
    return result;
}

static void cartpole_sense(const tl_machine *m, float *x, float *span) {
    x[0] = m->state[X];
    x[1] = m->state[THETA];
    span[0] = m->parameters[TRACK];
    span[1] = m->parameters[TILT];
}

static void cartpole_features(const tl_machine *m, float *phi) {
    const float *p = m->parameters, *s = m->state;
    phi[0] = s[X] / p[TRACK];
    phi[1] = s[V];
    phi[2] = s[THETA] * 10.0f;
    phi[3] = s[OMEGA] * 2.0f;
}

#define TASK "cost (x / track)^2 + (theta / tilt)^2; ends when the cart leaves the track or the pole falls"

const tl_machine_kind tl_kind_cartpole = {
    TL_KIND(cartpole, "cartpole", 20000u, 1, STATES, 4, kPole, kObservations, false, false),
    .title = "pole balanced on a cart, mass and length of the pole drawn",
    .task = TASK,
};

const tl_machine_kind tl_kind_cartpole_wide = {
    TL_KIND(cartpole, "cartpole-wide", 20000u, 1, STATES, 4, kWide, kObservations, false, true),
    .title = "pole balanced on a cart, everything drawn",
    .task = TASK,
};
