/* Masses: one that hovers, a ball on a beam, an oscillator to be damped or moved, a chain of three with springs. */
#include "firmware_bridge/plants/families/family.h"

#define DT 0.02f

static const char *const kHoverObservations[] = {"height_m", "target_m"};
static const char *const kBeamObservations[] = {"x_m", "target_m"};
static const char *const kDampObservations[] = {"x_m"};
static const char *const kTrackObservations[] = {"x_m", "target_m"};

/* ---------------------------------------------------------------- hovering
 *
 *     z'' = thrust - g - d z'      tau thrust' = thrust_max (u + 1) / 2 - thrust      floor at 0, ceiling at 3 m */

enum { H_THRUST = TL_MACHINE_OWN, H_LAG, H_DRAG };
enum { H_Z = 0, H_V, H_FORCE, H_TARGET, H_STATES };

static const tl_machine_parameter kHover[] = {
    TL_COMMON_ROWS(TL_REWARD_COST, TL_REWARD_CENTRED, 0.005f, 1, 0, 0),
    {"thrust_g", "g", 1.5f, 3.0f, TL_DRAW_LOG}, /* full thrust over weight */
    {"lag_s", "s", 0.02f, 0.1f, TL_DRAW_LOG},
    {"drag_1_s", "1/s", 0.1f, 1.0f, TL_DRAW_LOG},
};

static void hover_start(tl_machine *m) {
    m->state[H_Z] = tl_any(m, 0.5f, 2.5f);
    m->state[H_FORCE] = 9.81f;
    m->state[H_TARGET] = tl_any(m, 0.5f, 2.5f);
    (void)tl_target_due(m, 150u);
}

static tl_machine_result hover_advance(tl_machine *m, const float *u) {
    const float *p = m->parameters;
    float *s = m->state;
    s[H_FORCE] += tl_lag(p[H_LAG], DT) * (9.81f * p[H_THRUST] * 0.5f * (u[0] + 1.0f) - s[H_FORCE]);
    s[H_V] += (s[H_FORCE] - 9.81f - p[H_DRAG] * s[H_V]) * DT;
    s[H_Z] += s[H_V] * DT;
    tl_stop(&s[H_Z], &s[H_V], 0.0f, 3.0f);
    const tl_machine_result result = {tl_square(s[H_Z] - s[H_TARGET]), false};
    if (tl_target_due(m, 150u)) {
        s[H_TARGET] = tl_any(m, 0.5f, 2.5f);
    }
    return result;
}

static void hover_sense(const tl_machine *m, float *x, float *span) {
    x[0] = m->state[H_Z];
    x[1] = m->state[H_TARGET];
    span[0] = 1.0f;
    span[1] = 0.0f;
}

static void hover_features(const tl_machine *m, float *phi) {
    const float *s = m->state;
    phi[0] = s[H_Z] - s[H_TARGET];
    phi[1] = s[H_V];
    phi[2] = s[H_FORCE] / 9.81f - 1.0f;
    phi[3] = 2.0f / m->parameters[H_THRUST] - 1.0f; /* holds the weight */
}

const tl_machine_kind tl_kind_hover = {
    TL_KIND(hover, "hover", 20000u, 1, H_STATES, 4, kHover, kHoverObservations, true, false),
    .title = "mass that hovers by a thrust that is never negative, target height jumps",
    .task = "cost (height - target)^2",
};

/* ---------------------------------------------------------------- ball on a beam
 *
 *     tau alpha' = alpha_max u - alpha      x'' = 5/7 g sin alpha - d x'      the ends stop the ball */

enum { BB_HALF = TL_MACHINE_OWN, BB_TILT, BB_LAG, BB_DRAG };
enum { BB_X = 0, BB_V, BB_ALPHA, BB_TARGET, BB_STATES };

static const tl_machine_parameter kBeam[] = {
    TL_COMMON_ROWS(TL_REWARD_COST, TL_REWARD_CENTRED, 0.005f, 1, 200, 500),
    {"half_beam_m", "m", 0.3f, 0.8f, TL_DRAW_LOG},
    {"tilt_rad", "rad", 0.1f, 0.35f, TL_DRAW_LOG}, /* full command */
    {"lag_s", "s", 0.04f, 0.15f, TL_DRAW_LOG},
    {"drag_1_s", "1/s", 0.02f, 0.2f, TL_DRAW_LOG},
};

static void beam_start(tl_machine *m) {
    const float half = m->parameters[BB_HALF];
    m->state[BB_X] = tl_any(m, -0.6f, 0.6f) * half;
    m->state[BB_TARGET] = tl_any(m, -0.6f, 0.6f) * half;
    (void)tl_target_due(m, 150u);
}

static tl_machine_result beam_advance(tl_machine *m, const float *u) {
    const float *p = m->parameters;
    float *s = m->state;
    const float dt = 0.03f;
    s[BB_ALPHA] += tl_lag(p[BB_LAG], dt) * (p[BB_TILT] * u[0] - s[BB_ALPHA]);
    s[BB_V] += (7.007143f * tl_sincos_inline(s[BB_ALPHA]).sin - p[BB_DRAG] * s[BB_V]) * dt; /* 5/7 of 9.81 */
    s[BB_X] += s[BB_V] * dt;
    tl_stop(&s[BB_X], &s[BB_V], -p[BB_HALF], p[BB_HALF]);
    const tl_machine_result result = {tl_square((s[BB_X] - s[BB_TARGET]) / p[BB_HALF]) + 0.01f * tl_square(u[0]),
                                      false};
    if (tl_target_due(m, 150u)) {
        s[BB_TARGET] = tl_any(m, -0.6f, 0.6f) * p[BB_HALF];
    }
    return result;
}

static void beam_sense(const tl_machine *m, float *x, float *span) {
    x[0] = m->state[BB_X];
    x[1] = m->state[BB_TARGET];
    span[0] = m->parameters[BB_HALF];
    span[1] = 0.0f;
}

static void beam_features(const tl_machine *m, float *phi) {
    const float *p = m->parameters, *s = m->state;
    phi[0] = 2.0f * (s[BB_X] - s[BB_TARGET]) / p[BB_HALF];
    phi[1] = s[BB_V] / p[BB_HALF];
    phi[2] = s[BB_ALPHA] / p[BB_TILT];
    phi[3] = s[BB_V] * tl_abs(s[BB_V]) / (7.0f * p[BB_TILT] * p[BB_HALF]); /* braking distance */
}

const tl_machine_kind tl_kind_ball_beam = {
    TL_KIND(beam, "ball-beam", 30000u, 1, BB_STATES, 4, kBeam, kBeamObservations, false, true),
    .title = "ball on a beam whose angle lags its command, target jumps",
    .task = "cost ((x - target) / half beam)^2 + 0.01 u^2",
};

/* ---------------------------------------------------------------- oscillator
 *
 *     x'' = w^2 (reach u - x) - 2 z w x' */

enum { O_FREQUENCY = TL_MACHINE_OWN, O_DAMPING, O_REACH };
enum { O_X = 0, O_V, O_TARGET, O_STATES };

static const tl_machine_parameter kDamp[] = {
    TL_COMMON_ROWS(TL_REWARD_COST, TL_REWARD_CENTRED, 0.01f, 2, 300, 600),
    {"frequency_rad_s", "rad/s", 2.0f, 8.0f, TL_DRAW_LOG},
    {"damping", "1", 0.005f, 0.03f, TL_DRAW_LOG},
    {"reach_m", "m", 0.2f, 0.6f, TL_DRAW_LOG},
};

static const tl_machine_parameter kTrack[] = {
    TL_COMMON_ROWS(TL_REWARD_COST, TL_REWARD_CENTRED, 0.01f, 2, 0, 0),
    {"frequency_rad_s", "rad/s", 2.0f, 6.0f, TL_DRAW_LOG},
    {"damping", "1", 0.01f, 0.2f, TL_DRAW_LOG},
    {"reach_m", "m", 1.2f, 2.0f, TL_DRAW_LOG},
};

static void swing_by(tl_machine *m, float u) {
    const float *p = m->parameters;
    float *s = m->state;
    const float w = p[O_FREQUENCY], dt = 0.5f * DT;
    for (int i = 0; i < 2; ++i) {
        s[O_V] += (w * w * (p[O_REACH] * u - s[O_X]) - 2.0f * p[O_DAMPING] * w * s[O_V]) * dt;
        s[O_X] += s[O_V] * dt;
    }
}

/* A blow at random times; O_TARGET is not used. */
static void damp_start(tl_machine *m) {
    m->state[O_X] = tl_any(m, -1.0f, 1.0f);
    (void)tl_target_due(m, 200u);
}

static tl_machine_result damp_advance(tl_machine *m, const float *u) {
    swing_by(m, u[0]);
    const tl_machine_result result = {tl_square(m->state[O_X]) + 0.01f * tl_square(u[0]), false};
    if (tl_target_due(m, 200u)) {
        m->state[O_V] += m->parameters[O_FREQUENCY] * tl_any(m, -1.5f, 1.5f);
    }
    return result;
}

static void damp_sense(const tl_machine *m, float *x, float *span) {
    x[0] = m->state[O_X];
    span[0] = 1.0f;
}

static void track_start(tl_machine *m) {
    m->state[O_X] = tl_any(m, -0.8f, 0.8f);
    m->state[O_TARGET] = tl_any(m, -0.8f, 0.8f);
    (void)tl_target_due(m, 150u);
}

static tl_machine_result track_advance(tl_machine *m, const float *u) {
    swing_by(m, u[0]);
    const tl_machine_result result = {tl_square((m->state[O_X] - m->state[O_TARGET]) / 0.8f), false};
    if (tl_target_due(m, 150u)) {
        m->state[O_TARGET] = tl_any(m, -0.8f, 0.8f);
    }
    return result;
}

static void track_sense(const tl_machine *m, float *x, float *span) {
    x[0] = m->state[O_X];
    x[1] = m->state[O_TARGET];
    span[0] = 1.0f;
    span[1] = 0.0f;
}

static void damp_features(const tl_machine *m, float *phi) {
    phi[0] = m->state[O_X];
    phi[1] = m->state[O_V] / m->parameters[O_FREQUENCY];
}

static void track_features(const tl_machine *m, float *phi) {
    phi[0] = m->state[O_X] - m->state[O_TARGET];
    phi[1] = m->state[O_V] / m->parameters[O_FREQUENCY];
    phi[2] = m->state[O_TARGET] / m->parameters[O_REACH]; /* holds the target */
}

const tl_machine_kind tl_kind_oscillator_damp = {
    TL_KIND(damp, "oscillator-damp", 20000u, 1, O_STATES, 2, kDamp, kDampObservations, false, false),
    .title = "oscillator that is struck at random times, to be damped",
    .task = "cost x^2 + 0.01 u^2",
};

const tl_machine_kind tl_kind_oscillator_track = {
    TL_KIND(track, "oscillator-track", 20000u, 1, O_STATES, 3, kTrack, kTrackObservations, true, true),
    .title = "lightly damped oscillator moved to a target that jumps",
    .task = "cost ((x - target) / 0.8)^2",
};
