/* Shared by the kinds of machine: tables of parameters, arithmetic without libm, targets, friction. */
#pragma once

#include "firmware_bridge/plants/families/machine.h"
#include "firmware_bridge/plants/parts.h"
#include "firmware_bridge/plants/trig_inline.h"

/* The rows of TL_MACHINE_REWARD_SCALE to TL_MACHINE_LIMIT. */
#define TL_COMMON_ROWS(form_first, form_last, noise_max, delay_max, steps_min, steps_max)                          \
    {"reward_scale", "1", 0.01f, 100.0f, TL_DRAW_LOG},                                                             \
        {"reward_form", "index", (float)(form_first), (float)(form_last), TL_DRAW_INTEGER},                        \
        {"noise", "1", (noise_max) / 20.0f, (noise_max), TL_DRAW_LOG}, {"bias", "1", 0.0f, 0.0f, TL_DRAW_UNIFORM}, \
        {"delay", "periods", 0.0f, (float)(delay_max), TL_DRAW_INTEGER}, {                                         \
        "max_steps", "steps", (float)(steps_min), (float)(steps_max), TL_DRAW_INTEGER                              \
    }

#define TL_LENGTH(array) ((uint8_t)(sizeof(array) / sizeof((array)[0])))

static inline float tl_clamp(float x, float lo, float hi) { return !(x >= lo) ? lo : !(x <= hi) ? hi : x; }
static inline float tl_abs(float x) { return x < 0.0f ? -x : x; }
static inline float tl_square(float x) { return x * x; }
static inline float tl_sign(float x) { return x > 0.0f ? 1.0f : x < 0.0f ? -1.0f : 0.0f; }

/* Square root of x in [0, 1e6] by Newton's method from above: at most 2 units in the last place. */
static inline float tl_root(float x) {
    if (!(x > 1e-12f)) {
        return 0.0f;
    }
    float y = 1.0f, scale = 1.0f;
    while (x > 4.0f) {
        x *= 0.25f;
        scale *= 2.0f;
    }
    while (x < 1.0f) {
        x *= 4.0f;
        scale *= 0.5f;
    }
    y = 0.5f + 0.5f * x; /* x in [1, 4] */
    for (int i = 0; i < 4; ++i) {
        y = 0.5f * (y + x / y);
    }
    return y * scale;
}

/* A uniform random number of the machine's own generator. */
static inline float tl_any(tl_machine *m, float lo, float hi) { return tl_plant_uniform(&m->rng, lo, hi); }

/* Count down to the next target; true when a new one is due. Held for at least `least` and at most 2 `least` steps. */
static inline bool tl_target_due(tl_machine *m, uint32_t least) {
    if (m->hold > 1u) {
        m->hold -= 1u;
        return false;
    }
    m->hold = least + (((tl_plant_random(&m->rng) >> 16) * (least + 1u)) >> 16);
    return true;
}

/* A speed after dt under an acceleration and dry friction, which opposes motion and never reverses it. */
static inline float tl_rub(float speed, float acceleration, float friction, float dt) {
    if (speed == 0.0f) {
        const float excess = tl_abs(acceleration) - friction;
        return excess > 0.0f ? tl_sign(acceleration) * excess * dt : 0.0f;
    }
    const float next = speed + (acceleration - tl_sign(speed) * friction) * dt;
    return next * speed > 0.0f ? next : 0.0f;
}

/* A kind from the functions prefix_start, prefix_advance, prefix_sense and prefix_features. */
#define TL_KIND(prefix, called, period, actions, states, phis, rows, names, ends_never, in_reported)     \
    .name = called, .period_us = period, .observation_size = TL_LENGTH(names), .action_size = actions,   \
    .state_size = states, .n_parameters = TL_LENGTH(rows), .n_features = phis, .continuing = ends_never, \
    .reported = in_reported, .parameters = rows, .observations = names, .start = prefix##_start,         \
    .advance = prefix##_advance, .sense = prefix##_sense, .features = prefix##_features

/* Keep a position within its stops; inelastic. */
static inline void tl_stop(float *position, float *speed, float lo, float hi) {
    if (!(*position >= lo)) {
        *position = lo;
        *speed = *speed > 0.0f ? *speed : 0.0f;
    } else if (!(*position <= hi)) {
        *position = hi;
        *speed = *speed < 0.0f ? *speed : 0.0f;
    }
}

/* Share of the way to its input that a first-order lag covers in dt: dt / (dt + tau). */
static inline float tl_lag(float tau, float dt) { return dt / (dt + tau); }

extern const tl_machine_kind tl_kind_cartpole;
extern const tl_machine_kind tl_kind_cartpole_wide;
extern const tl_machine_kind tl_kind_pendulum_swing_up;
extern const tl_machine_kind tl_kind_pendulum_hold;
extern const tl_machine_kind tl_kind_wheel_pendulum;
extern const tl_machine_kind tl_kind_cart;
extern const tl_machine_kind tl_kind_crane;
extern const tl_machine_kind tl_kind_servo_load;
extern const tl_machine_kind tl_kind_servo_backlash;
extern const tl_machine_kind tl_kind_asymmetric;
extern const tl_machine_kind tl_kind_dead_time;
extern const tl_machine_kind tl_kind_tank;
extern const tl_machine_kind tl_kind_tanks;
extern const tl_machine_kind tl_kind_hover;
extern const tl_machine_kind tl_kind_ball_beam;
extern const tl_machine_kind tl_kind_oscillator_damp;
extern const tl_machine_kind tl_kind_oscillator_track;
extern const tl_machine_kind tl_kind_chain;
extern const tl_machine_kind tl_kind_reacher;
extern const tl_machine_kind tl_kind_arm;
