/* Slow processes: a first-order lag with dead time, one tank, two coupled tanks. */
#include "firmware_bridge/plants/families/family.h"

#define DT 0.05f

static const char *const kOutputObservations[] = {"output", "target"};
static const char *const kTankObservations[] = {"level_m", "target_m"};
static const char *const kTanksObservations[] = {"level_1_m", "level_2_m", "target_2_m"};

/* ---------------------------------------------------------------- dead time
 *
 *     tau y' = k u(t - L) + offset - y */

enum { D_GAIN = TL_MACHINE_OWN, D_LAG, D_DEAD, D_OFFSET };
enum { D_Y = 0, D_TARGET, D_NEXT, D_LINE, D_LINE_MAX = 16, D_STATES = D_LINE + D_LINE_MAX };

static const tl_machine_parameter kDead[] = {
    TL_COMMON_ROWS(TL_REWARD_COST, TL_REWARD_CENTRED, 0.01f, 0, 0, 0),
    {"gain", "1", 1.0f, 3.0f, TL_DRAW_LOG},
    {"lag_s", "s", 0.3f, 1.5f, TL_DRAW_LOG},
    {"dead_periods", "periods", 2.0f, 10.0f, TL_DRAW_INTEGER},
    {"offset", "1", -0.4f, 0.4f, TL_DRAW_UNIFORM},
};

/* Within the line, also after tl_machine_change(). */
static int dead_periods(const tl_machine *m) { return (int)tl_clamp(m->parameters[D_DEAD], 1.0f, (float)D_LINE_MAX); }

static void dead_start(tl_machine *m) {
    m->state[D_Y] = tl_any(m, -0.6f, 0.6f);
    m->state[D_TARGET] = tl_any(m, -0.6f, 0.6f);
    (void)tl_target_due(m, 100u);
}

static tl_machine_result dead_advance(tl_machine *m, const float *u) {
    const float *p = m->parameters;
    float *s = m->state;
    const int at = (int)s[D_NEXT] < dead_periods(m) ? (int)s[D_NEXT] : 0;
    const float effective = s[D_LINE + at];
    s[D_LINE + at] = u[0];
    s[D_NEXT] = at + 1 < dead_periods(m) ? (float)(at + 1) : 0.0f;
    s[D_Y] += tl_lag(p[D_LAG], DT) * (p[D_GAIN] * effective + p[D_OFFSET] - s[D_Y]);
    const tl_machine_result result = {tl_square((s[D_Y] - s[D_TARGET]) / 0.5f), false};
    if (tl_target_due(m, 100u)) {
        s[D_TARGET] = tl_any(m, -0.6f, 0.6f);
    }
    return result;
}

static void dead_sense(const tl_machine *m, float *x, float *span) {
    x[0] = m->state[D_Y];
    x[1] = m->state[D_TARGET];
    span[0] = 0.6f;
    span[1] = 0.0f;
}

/* The output after the dead time follows from the commands under way. */
static void dead_features(const tl_machine *m, float *phi) {
    const float *p = m->parameters, *s = m->state;
    const float share = tl_lag(p[D_LAG], DT);
    float y = s[D_Y];
    for (int i = 0, at = (int)s[D_NEXT]; i < dead_periods(m); ++i) {
        y += share * (p[D_GAIN] * s[D_LINE + at] + p[D_OFFSET] - y);
        at = at + 1 < dead_periods(m) ? at + 1 : 0;
    }
    phi[0] = 2.0f * (y - s[D_TARGET]);
    phi[1] = s[D_TARGET] / p[D_GAIN];
    phi[2] = p[D_OFFSET] / p[D_GAIN];
}

const tl_machine_kind tl_kind_dead_time = {
    TL_KIND(dead, "dead-time", 50000u, 1, D_STATES, 3, kDead, kOutputObservations, true, true),
    .title = "first-order process with dead time and a hidden offset, target jumps",
    .task = "cost ((output - target) / 0.5)^2",
};

/* ---------------------------------------------------------------- one tank
 *
 *     h' = fill ((u + 1) / 2 - sqrt(h / full))         full: the level that a full command holds */

enum { T_FILL = TL_MACHINE_OWN, T_FULL, T_LAG };
enum { T_H = 0, T_SENSOR, T_TARGET, T_STATES };

static const tl_machine_parameter kTank[] = {
    TL_COMMON_ROWS(TL_REWARD_COST, TL_REWARD_CENTRED, 0.01f, 2, 0, 0),
    {"fill_m_s", "m/s", 0.15f, 0.6f, TL_DRAW_LOG},
    {"full_m", "m", 1.2f, 2.5f, TL_DRAW_UNIFORM},
    {"sensor_lag_s", "s", 0.05f, 0.4f, TL_DRAW_LOG},
};

static void tank_start(tl_machine *m) {
    m->state[T_H] = tl_any(m, 0.2f, 0.9f);
    m->state[T_SENSOR] = m->state[T_H];
    m->state[T_TARGET] = tl_any(m, 0.2f, 0.9f);
    (void)tl_target_due(m, 150u);
}

static tl_machine_result tank_advance(tl_machine *m, const float *u) {
    const float *p = m->parameters;
    float *s = m->state;
    s[T_H] += p[T_FILL] * (0.5f * (u[0] + 1.0f) - tl_root(s[T_H] / p[T_FULL])) * DT;
    s[T_H] = tl_clamp(s[T_H], 0.0f, 1.2f); /* overflows above */
    s[T_SENSOR] += tl_lag(p[T_LAG], DT) * (s[T_H] - s[T_SENSOR]);
    const tl_machine_result result = {tl_square((s[T_H] - s[T_TARGET]) / 0.3f), false};
    if (tl_target_due(m, 150u)) {
        s[T_TARGET] = tl_any(m, 0.2f, 0.9f);
    }
    return result;
}

static void tank_sense(const tl_machine *m, float *x, float *span) {
    x[0] = m->state[T_SENSOR];
    x[1] = m->state[T_TARGET];
    span[0] = 0.4f;
    span[1] = 0.0f;
}

static void tank_features(const tl_machine *m, float *phi) {
    const float *p = m->parameters, *s = m->state;
    phi[0] = 4.0f * (s[T_H] - s[T_TARGET]);
    phi[1] = 2.0f * tl_root(s[T_TARGET] / p[T_FULL]) - 1.0f; /* holds the target */
}

const tl_machine_kind tl_kind_tank = {
    TL_KIND(tank, "tank", 50000u, 1, T_STATES, 2, kTank, kTankObservations, true, false),
    .title = "level of a tank with a free outlet, target jumps",
    .task = "cost ((level - target) / 0.3)^2",
};

/* ---------------------------------------------------------------- two tanks
 *
 *     h1' = fill (u + 1) / 2 - c sign(h1 - h2) sqrt(|h1 - h2|)
 *     h2' = c sign(h1 - h2) sqrt(|h1 - h2|) - d sqrt(h2) */

enum { TT_FILL = TL_MACHINE_OWN, TT_BETWEEN, TT_OUTLET };
enum { TT_H1 = 0, TT_H2, TT_TARGET, TT_STATES };

static const tl_machine_parameter kTanks[] = {
    TL_COMMON_ROWS(TL_REWARD_COST, TL_REWARD_CENTRED, 0.01f, 2, 0, 0),
    {"fill_m_s", "m/s", 0.5f, 1.0f, TL_DRAW_LOG},
    {"between_ratio", "1", 1.0f, 1.6f, TL_DRAW_UNIFORM}, /* c over fill, for a difference of 1 m */
    {"outlet_ratio", "1", 0.5f, 0.8f, TL_DRAW_UNIFORM},  /* d over fill, at 1 m */
};

static void tanks_start(tl_machine *m) {
    m->state[TT_H1] = tl_any(m, 0.2f, 0.8f);
    m->state[TT_H2] = tl_any(m, 0.2f, 0.8f);
    m->state[TT_TARGET] = tl_any(m, 0.2f, 0.8f);
    (void)tl_target_due(m, 200u);
}

static tl_machine_result tanks_advance(tl_machine *m, const float *u) {
    const float *p = m->parameters;
    float *s = m->state;
    for (int i = 0; i < 2; ++i) {
        const float difference = s[TT_H1] - s[TT_H2];
        const float between = tl_sign(difference) * p[TT_BETWEEN] * tl_root(tl_abs(difference));
        s[TT_H1] += p[TT_FILL] * (0.5f * (u[0] + 1.0f) - between) * 0.5f * DT;
        s[TT_H2] += p[TT_FILL] * (between - p[TT_OUTLET] * tl_root(s[TT_H2])) * 0.5f * DT;
        s[TT_H1] = tl_clamp(s[TT_H1], 0.0f, 2.0f);
        s[TT_H2] = tl_clamp(s[TT_H2], 0.0f, 1.5f);
    }
    const tl_machine_result result = {tl_square((s[TT_H2] - s[TT_TARGET]) / 0.3f), false};
    if (tl_target_due(m, 200u)) {
        s[TT_TARGET] = tl_any(m, 0.2f, 0.8f);
    }
    return result;
}

static void tanks_sense(const tl_machine *m, float *x, float *span) {
    x[0] = m->state[TT_H1];
    x[1] = m->state[TT_H2];
    x[2] = m->state[TT_TARGET];
    span[0] = 0.4f;
    span[1] = 0.4f;
    span[2] = 0.0f;
}

static void tanks_features(const tl_machine *m, float *phi) {
    const float *p = m->parameters, *s = m->state;
    const float flow = p[TT_OUTLET] * tl_root(s[TT_TARGET]); /* over fill, at the target */
    phi[0] = 4.0f * (s[TT_H2] - s[TT_TARGET]);
    phi[1] = 2.0f * (s[TT_H1] - s[TT_TARGET] - tl_square(flow / p[TT_BETWEEN]));
    phi[2] = 2.0f * flow - 1.0f;
}

const tl_machine_kind tl_kind_tanks = {
    TL_KIND(tanks, "tanks", 50000u, 1, TT_STATES, 3, kTanks, kTanksObservations, true, true),
    .title = "level of the second of two coupled tanks, target jumps",
    .task = "cost ((level_2 - target_2) / 0.3)^2",
};
