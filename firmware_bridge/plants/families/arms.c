/* Two-joint arms: one lies flat, with a target for its tip; one hangs, with a target for each joint.
 *
 *     M(q) q'' + C(q, q') + D q' + G(q) = torque       links as thin rods of equal length l, masses m1, m2 + load
 *
 * (Spong, Hutchinson, Vidyasagar, "Robot Modeling and Control", section 7.3.) Everything is divided by m1 l^2; the
 * angle of joint 1 is measured from hanging. */
#include "firmware_bridge/plants/families/family.h"

enum { LINK = TL_MACHINE_OWN, MASS_2, LOAD, TORQUE_1, TORQUE_2, DRAG, SUBSTEPS = 3 };
enum { Q1 = 0, Q2, W1, W2, T1, T2, STATES };

#define PERIOD_S 0.03f
#define STOP 2.5f

static const char *const kReacherObservations[] = {"q1_rad", "q2_rad", "tip_error_x", "tip_error_y"};
static const char *const kArmObservations[] = {"q1_rad", "q2_rad", "target_1_rad", "target_2_rad"};

/* Masses over that of link 1; torques: of the hanging arm over gravity's at 90 degrees, of the flat one over the
 * inertia of the stretched arm, as acceleration. */
static const tl_machine_parameter kReacher[] = {
    TL_COMMON_ROWS(TL_REWARD_COST, TL_REWARD_CENTRED, 0.005f, 1, 200, 500),
    {"link_m", "m", 0.2f, 0.6f, TL_DRAW_LOG},
    {"mass_2", "1", 0.4f, 1.0f, TL_DRAW_UNIFORM},
    {"load", "1", 0.05f, 0.4f, TL_DRAW_UNIFORM},
    {"torque_1_rad_s2", "rad/s^2", 8.0f, 20.0f, TL_DRAW_LOG},
    {"torque_2_rad_s2", "rad/s^2", 8.0f, 20.0f, TL_DRAW_LOG},
    {"drag_1_s", "1/s", 1.0f, 4.0f, TL_DRAW_LOG},
};

static const tl_machine_parameter kArm[] = {
    TL_COMMON_ROWS(TL_REWARD_COST, TL_REWARD_CENTRED, 0.005f, 1, 200, 500),
    {"link_m", "m", 0.3f, 0.8f, TL_DRAW_LOG},
    {"mass_2", "1", 0.4f, 1.0f, TL_DRAW_UNIFORM},
    {"load", "1", 0.05f, 0.4f, TL_DRAW_UNIFORM},
    {"torque_1", "1", 1.5f, 2.5f, TL_DRAW_LOG},
    {"torque_2", "1", 1.5f, 2.5f, TL_DRAW_LOG},
    {"drag_1_s", "1/s", 1.0f, 4.0f, TL_DRAW_LOG},
};

typedef struct {
    float far, near, cross; /* inertias of joint 1 with link 2 folded in, of joint 2, and their coupling */
    float weight_1, weight_2;
} arm_numbers;

static arm_numbers numbers_of(const float *p) {
    const float tip = p[MASS_2] / 3.0f + p[LOAD]; /* link 2 about its joint */
    const arm_numbers n = {1.0f / 3.0f + p[MASS_2] + p[LOAD] + tip, tip, 0.5f * p[MASS_2] + p[LOAD],
                           0.5f + p[MASS_2] + p[LOAD], 0.5f * p[MASS_2] + p[LOAD]};
    return n;
}

/* One substep under two torques; gravity is g / l, or 0 for the flat arm. */
static void turn(const arm_numbers *n, float *s, float torque_1, float torque_2, float drag, float gravity, float dt) {
    const tl_sincos_result elbow = tl_sincos_inline(s[Q2]);
    const float cross = n->cross * elbow.cos, turning = n->cross * elbow.sin;
    const float m11 = n->far + 2.0f * cross, m12 = n->near + cross, m22 = n->near;
    const bool flat = gravity == 0.0f;
    const float pull = flat ? 0.0f : gravity * n->weight_2 * tl_sincos_inline(s[Q1] + s[Q2]).sin;
    const float weight = flat ? 0.0f : gravity * n->weight_1 * tl_sincos_inline(s[Q1]).sin;
    const float b1 = torque_1 + turning * s[W2] * (2.0f * s[W1] + s[W2]) - drag * n->far * s[W1] - weight - pull;
    const float b2 = torque_2 - turning * s[W1] * s[W1] - drag * n->near * s[W2] - pull;
    const float determinant = m11 * m22 - m12 * m12;
    s[W1] = tl_clamp(s[W1] + (m22 * b1 - m12 * b2) / determinant * dt, -30.0f, 30.0f);
    s[W2] = tl_clamp(s[W2] + (m11 * b2 - m12 * b1) / determinant * dt, -30.0f, 30.0f);
    s[Q1] += s[W1] * dt;
    s[Q2] += s[W2] * dt;
    tl_stop(&s[Q1], &s[W1], -STOP, STOP);
    tl_stop(&s[Q2], &s[W2], -STOP, STOP);
}

/* ---------------------------------------------------------------- reacher */

static void reacher_target(tl_machine *m) {
    m->state[T1] = tl_any(m, -1.2f, 1.2f);
    m->state[T2] = tl_any(m, 0.4f, 1.8f);
}

static void reacher_start(tl_machine *m) {
    m->state[Q1] = tl_any(m, -1.2f, 1.2f);
    m->state[Q2] = tl_any(m, 0.4f, 1.8f);
    reacher_target(m);
    (void)tl_target_due(m, 120u);
}

/* Tip minus target, in lengths of a link. */
static void tip_error(const float *s, float *error) {
    const tl_sincos_result a = tl_sincos_inline(s[Q1]), b = tl_sincos_inline(s[Q1] + s[Q2]);
    const tl_sincos_result c = tl_sincos_inline(s[T1]), d = tl_sincos_inline(s[T1] + s[T2]);
    error[0] = a.cos + b.cos - c.cos - d.cos;
    error[1] = a.sin + b.sin - c.sin - d.sin;
}

static tl_machine_result reacher_advance(tl_machine *m, const float *u) {
    const float *p = m->parameters;
    const arm_numbers n = numbers_of(p);
    const float full_1 = p[TORQUE_1] * (n.far + 2.0f * n.cross), full_2 = p[TORQUE_2] * n.near;
    float error[2];
    for (int i = 0; i < SUBSTEPS; ++i) {
        turn(&n, m->state, full_1 * u[0], full_2 * u[1], p[DRAG], 0.0f, PERIOD_S / (float)SUBSTEPS);
    }
    tip_error(m->state, error);
    const float effort = tl_square(u[0]) + tl_square(u[1]);
    const tl_machine_result result = {tl_square(error[0]) + tl_square(error[1]) + 0.01f * effort, false};
    if (tl_target_due(m, 120u)) {
        reacher_target(m);
    }
    return result;
}

static void reacher_sense(const tl_machine *m, float *x, float *span) {
    const float link = m->parameters[LINK];
    tip_error(m->state, x + 2);
    x[0] = m->state[Q1];
    x[1] = m->state[Q2];
    x[2] *= link;
    x[3] *= link;
    span[0] = 1.0f;
    span[1] = 1.0f;
    span[2] = link;
    span[3] = link;
}

static void reacher_features(const tl_machine *m, float *phi) {
    const float *s = m->state;
    phi[0] = 2.0f * (s[Q1] - s[T1]);
    phi[1] = 2.0f * (s[Q2] - s[T2]);
    phi[2] = 0.5f * s[W1];
    phi[3] = 0.5f * s[W2];
}

const tl_machine_kind tl_kind_reacher = {
    TL_KIND(reacher, "reacher", 30000u, 2, STATES, 4, kReacher, kReacherObservations, false, false),
    .title = "two-joint arm that lies flat, target of the tip jumps",
    .task = "cost |tip - target|^2 / link^2 + 0.01 |u|^2",
};

/* ---------------------------------------------------------------- hanging arm */

static void arm_target(tl_machine *m) {
    m->state[T1] = tl_any(m, -1.2f, 1.2f);
    m->state[T2] = tl_any(m, -1.2f, 1.2f);
}

static void arm_start(tl_machine *m) {
    m->state[Q1] = tl_any(m, -1.2f, 1.2f);
    m->state[Q2] = tl_any(m, -1.2f, 1.2f);
    arm_target(m);
    (void)tl_target_due(m, 120u);
}

static tl_machine_result arm_advance(tl_machine *m, const float *u) {
    const float *p = m->parameters;
    const arm_numbers n = numbers_of(p);
    const float gravity = 9.81f / p[LINK];
    const float full_1 = p[TORQUE_1] * gravity * (n.weight_1 + n.weight_2), full_2 = p[TORQUE_2] * gravity * n.weight_2;
    float *s = m->state;
    for (int i = 0; i < SUBSTEPS; ++i) {
        turn(&n, s, full_1 * u[0], full_2 * u[1], p[DRAG], gravity, PERIOD_S / (float)SUBSTEPS);
    }
    const float effort = tl_square(u[0]) + tl_square(u[1]);
    const tl_machine_result result = {tl_square(s[Q1] - s[T1]) + tl_square(s[Q2] - s[T2]) + 0.01f * effort, false};
    if (tl_target_due(m, 120u)) {
        arm_target(m);
    }
    return result;
}

static void arm_sense(const tl_machine *m, float *x, float *span) {
    const float *s = m->state;
    x[0] = s[Q1];
    x[1] = s[Q2];
    x[2] = s[T1];
    x[3] = s[T2];
    span[0] = 1.0f;
    span[1] = 1.0f;
    span[2] = 0.0f;
    span[3] = 0.0f;
}

static void arm_features(const tl_machine *m, float *phi) {
    const float *p = m->parameters, *s = m->state;
    const arm_numbers n = numbers_of(p);
    const float pull = n.weight_2 * tl_sincos_inline(s[T1] + s[T2]).sin;
    phi[0] = 2.0f * (s[Q1] - s[T1]);
    phi[1] = 2.0f * (s[Q2] - s[T2]);
    phi[2] = 0.5f * s[W1];
    phi[3] = 0.5f * s[W2];
    /* hold the target against gravity */
    phi[4] = (n.weight_1 * tl_sincos_inline(s[T1]).sin + pull) / (p[TORQUE_1] * (n.weight_1 + n.weight_2));
    phi[5] = pull / (p[TORQUE_2] * n.weight_2);
}

const tl_machine_kind tl_kind_arm = {
    TL_KIND(arm, "arm", 30000u, 2, STATES, 6, kArm, kArmObservations, false, true),
    .title = "two-joint arm under gravity, target of each joint jumps",
    .task = "cost (q1 - target_1)^2 + (q2 - target_2)^2 + 0.01 |u|^2",
};
