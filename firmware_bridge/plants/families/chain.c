/* Three masses on a rail in a row, with springs between them: a force on the first, a target for the last.
 *
 *     x1'' = a u - k (x1 - x2) - d x1'      x2'' = k (x1 - 2 x2 + x3) - d x2'      x3'' = k (x2 - x3) - d x3' */
#include "firmware_bridge/plants/families/family.h"

enum { ACCELERATION = TL_MACHINE_OWN, STIFFNESS, DRAG, SUBSTEPS = 4 };
enum { X1 = 0, V1, X2, V2, X3, V3, TARGET, STATES };

static const char *const kObservations[] = {"x1_m", "x3_m", "target_m"};

static const tl_machine_parameter kChain[] = {
    TL_COMMON_ROWS(TL_REWARD_COST, TL_REWARD_CENTRED, 0.005f, 1, 0, 0),
    {"acceleration_m_s2", "m/s^2", 6.0f, 15.0f, TL_DRAW_LOG},
    {"stiffness_1_s2", "1/s^2", 40.0f, 200.0f, TL_DRAW_LOG},
    {"drag_1_s", "1/s", 0.8f, 2.5f, TL_DRAW_LOG},
};

static void chain_start(tl_machine *m) {
    m->state[X1] = tl_any(m, -1.0f, 1.0f);
    m->state[X2] = m->state[X1];
    m->state[X3] = m->state[X1];
    m->state[TARGET] = tl_any(m, -1.0f, 1.0f);
    (void)tl_target_due(m, 150u);
}

static tl_machine_result chain_advance(tl_machine *m, const float *u) {
    const float *p = m->parameters;
    float *s = m->state;
    const float dt = 0.03f / (float)SUBSTEPS;
    for (int i = 0; i < SUBSTEPS; ++i) {
        const float first = p[STIFFNESS] * (s[X1] - s[X2]), second = p[STIFFNESS] * (s[X2] - s[X3]);
        s[V1] += (p[ACCELERATION] * u[0] - first - p[DRAG] * s[V1]) * dt;
        s[V2] += (first - second - p[DRAG] * s[V2]) * dt;
        s[V3] += (second - p[DRAG] * s[V3]) * dt;
        s[X1] += s[V1] * dt;
        s[X2] += s[V2] * dt;
        s[X3] += s[V3] * dt;
        tl_stop(&s[X1], &s[V1], -2.0f, 2.0f);
    }
    const tl_machine_result result = {tl_square(s[X3] - s[TARGET]) + 0.02f * tl_square(u[0]), false};
    if (tl_target_due(m, 150u)) {
        s[TARGET] = tl_any(m, -1.0f, 1.0f);
    }
    return result;
}

static void chain_sense(const tl_machine *m, float *x, float *span) {
    x[0] = m->state[X1];
    x[1] = m->state[X3];
    x[2] = m->state[TARGET];
    span[0] = 1.0f;
    span[1] = 1.0f;
    span[2] = 0.0f;
}

static void chain_features(const tl_machine *m, float *phi) {
    const float *s = m->state;
    phi[0] = 2.0f * (s[X3] - s[TARGET]);
    phi[1] = s[V3];
    phi[2] = 4.0f * (s[X1] - s[X3]);
    phi[3] = s[V1];
    phi[4] = 4.0f * (s[X2] - s[X3]);
    phi[5] = s[V2];
}

const tl_machine_kind tl_kind_chain = {
    TL_KIND(chain, "chain", 30000u, 1, STATES, 6, kChain, kObservations, true, true),
    .title = "three masses with springs, pushed at one end, target of the other end jumps",
    .task = "cost (x3 - target)^2 + 0.02 u^2",
};
