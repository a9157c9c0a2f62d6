/* Registry, parameters, and what all kinds share: delay, noise, reward, end of the episode. */
#include "firmware_bridge/plants/families/machine.h"

#include <string.h>

#include "firmware_bridge/plants/families/family.h"

/* The chosen half, then the reported one. */
static const tl_machine_kind *const kKinds[] = {
    &tl_kind_cartpole,        &tl_kind_pendulum_swing_up, &tl_kind_cart,          &tl_kind_crane,
    &tl_kind_servo_backlash,  &tl_kind_asymmetric,        &tl_kind_hover,         &tl_kind_tank,
    &tl_kind_oscillator_damp, &tl_kind_reacher,           &tl_kind_cartpole_wide, &tl_kind_pendulum_hold,
    &tl_kind_wheel_pendulum,  &tl_kind_servo_load,        &tl_kind_dead_time,     &tl_kind_ball_beam,
    &tl_kind_tanks,           &tl_kind_oscillator_track,  &tl_kind_chain,         &tl_kind_arm,
};

size_t tl_machine_count(void) { return sizeof kKinds / sizeof kKinds[0]; }

const tl_machine_kind *tl_machine_at(size_t index) { return index < tl_machine_count() ? kKinds[index] : NULL; }

const tl_machine_kind *tl_machine_find(const char *name) {
    for (size_t i = 0; i < tl_machine_count(); ++i) {
        if (strcmp(kKinds[i]->name, name) == 0) {
            return kKinds[i];
        }
    }
    return NULL;
}

/* ---------------------------------------------------------------- parameters */

/* The binary logarithm of x in [1e-6, 1e6]: exponent by halving, then the series of artanh; within 1e-6. */
static float log2_of(float x) {
    float whole = 0.0f;
    while (x > 1.41421356f) {
        x *= 0.5f;
        whole += 1.0f;
    }
    while (x < 0.70710678f) {
        x *= 2.0f;
        whole -= 1.0f;
    }
    const float t = (x - 1.0f) / (x + 1.0f), t2 = t * t;
    const float series = 1.0f + t2 * (1.0f / 3.0f + t2 * (1.0f / 5.0f + t2 * (1.0f / 7.0f + t2 / 9.0f)));
    return whole + 2.88539008f * t * series; /* 2 / ln 2 */
}

/* 2^x for x in [0, 40]: doubling, then the series of exp. */
static float exp2_of(float x) {
    float scale = 1.0f;
    while (x >= 1.0f) {
        x -= 1.0f;
        scale *= 2.0f;
    }
    const float y = x * 0.69314718f;
    const float series =
        1.0f + y * (1.0f + y / 2.0f * (1.0f + y / 3.0f * (1.0f + y / 4.0f * (1.0f + y / 5.0f * (1.0f + y / 6.0f)))));
    return scale * series;
}

static float drawn(const tl_machine_parameter *row, uint32_t *rng) {
    const float unit = (float)(tl_plant_random(rng) >> 8) * 0x1p-24f;
    if (row->draw == TL_DRAW_INTEGER) {
        const float steps = (float)(int32_t)(unit * (row->max - row->min + 1.0f));
        return tl_clamp(row->min + steps, row->min, row->max);
    }
    if (row->draw == TL_DRAW_LOG) {
        return tl_clamp(row->min * exp2_of(unit * log2_of(row->max / row->min)), row->min, row->max);
    }
    return tl_clamp(row->min + (row->max - row->min) * unit, row->min, row->max);
}

/* One sequence per pair of name and seed: kinds with equal tables have different machines. */
static uint32_t seed_of(const char *name, uint32_t seed) {
    uint32_t hash = 0x811C9DC5u; /* FNV-1a */
    for (; *name != '\0'; ++name) {
        hash = (hash ^ (uint8_t)*name) * 0x01000193u;
    }
    hash ^= seed * 0x85EBCA6Bu;
    return tl_plant_random(&hash);
}

void tl_machine_draw(tl_machine *machine, const tl_machine_kind *kind, uint32_t machine_seed) {
    memset(machine, 0, sizeof *machine);
    machine->kind = kind;
    machine->machine_seed = machine_seed;
    uint32_t rng = seed_of(kind->name, machine_seed);
    for (size_t i = 0; i < kind->n_parameters; ++i) {
        machine->parameters[i] = drawn(&kind->parameters[i], &rng);
    }
    tl_machine_reset(machine, 0u);
}

/* The widest range: around the one in which a parameter is drawn, by its ends' magnitude times 4. Where positive
 * numbers are drawn no negative one is accepted, except for the reward's scale; below, a quarter of the smallest. */
static bool usable(const tl_machine_parameter *row, size_t index, float value) {
    const float reach = 4.0f * (tl_abs(row->max) > tl_abs(row->min) ? tl_abs(row->max) : tl_abs(row->min));
    switch (index) {
        case TL_MACHINE_REWARD_SCALE:
            return value >= -reach && value <= reach;
        case TL_MACHINE_BIAS:
            return value >= -1.0f && value <= 1.0f;
        case TL_MACHINE_NOISE:
            return value >= 0.0f && value <= 1.0f;
        case TL_MACHINE_REWARD_FORM:
        case TL_MACHINE_DELAY:
            return value >= 0.0f && value <= (index == TL_MACHINE_DELAY ? (float)TL_MACHINE_DELAY_MAX : 4.0f) &&
                   value == (float)(int32_t)value;
        case TL_MACHINE_LIMIT:
            return value >= 0.0f && value <= 16777216.0f && value == (float)(int32_t)value;
        default:
            return value >= (row->min > 0.0f ? 0.25f * row->min : row->min < 0.0f ? -reach : 0.0f) && value <= reach;
    }
}

bool tl_machine_change(tl_machine *machine, size_t index, float value) {
    if (index >= machine->kind->n_parameters || !(value - value == 0.0f) ||
        !usable(&machine->kind->parameters[index], index, value)) {
        return false;
    }
    machine->parameters[index] = value;
    if (index == TL_MACHINE_LIMIT) {
        machine->episode.max_steps = (uint32_t)value;
    }
    return true;
}

/* ---------------------------------------------------------------- one period */

/* About normal: the sum of four uniform numbers of 8 bits, mean 0, variance 1; within 3.5. */
static float normal(uint32_t *rng) {
    const uint32_t bits = tl_plant_random(rng);
    const uint32_t sum = (bits & 0xFFu) + ((bits >> 8) & 0xFFu) + ((bits >> 16) & 0xFFu) + (bits >> 24);
    return ((float)sum - 510.0f) * 0.00676585f; /* 1 / sqrt(4 (2^16 - 1) / 12) */
}

static float not_tiny(float x) { return tl_abs(x) < 1e-12f ? 0.0f : x; }

static void latch(tl_machine *m) {
    float x[TL_MACHINE_OBS_MAX], span[TL_MACHINE_OBS_MAX];
    m->kind->sense(m, x, span);
    for (size_t i = 0; i < m->kind->observation_size; ++i) {
        if (span[i] > 0.0f) {
            const float error = m->parameters[TL_MACHINE_BIAS] + m->parameters[TL_MACHINE_NOISE] * normal(&m->rng);
            x[i] += span[i] * error;
        }
        m->observation[i] = not_tiny(x[i]);
    }
}

static void keep_normal(tl_machine *m) {
    for (size_t i = 0; i < m->kind->state_size; ++i) {
        m->state[i] = not_tiny(m->state[i]);
    }
}

void tl_machine_reset(void *machine, uint32_t seed) {
    tl_machine *m = machine;
    tl_episode_begin(&m->episode, (uint32_t)m->parameters[TL_MACHINE_LIMIT]);
    m->rng = seed_of(m->kind->name, seed ^ (m->machine_seed * 0x9E3779B9u)) + 1u;
    m->hold = 0u;
    memset(m->state, 0, sizeof m->state);
    memset(m->line, 0, sizeof m->line);
    m->kind->start(m);
    keep_normal(m);
    latch(m);
}

static float reward_of(const tl_machine *m, float cost) {
    const float near = 1.0f / (1.0f + 3.0f * cost);
    float reward = 1.0f;
    switch ((int)m->parameters[TL_MACHINE_REWARD_FORM]) {
        case TL_REWARD_COST:
            reward = -cost;
            break;
        case TL_REWARD_BOUNDED:
            reward = near;
            break;
        case TL_REWARD_CENTRED:
            reward = near - 0.5f;
            break;
        case TL_REWARD_SHAPED:
            reward = 0.5f + 0.5f * near;
            break;
        default:
            break;
    }
    return not_tiny(reward) * m->parameters[TL_MACHINE_REWARD_SCALE];
}

/* The command that takes effect in this period: the one of `delay` periods ago. */
static const float *delayed(tl_machine *m, const float *u) {
    for (size_t j = 0; j < m->kind->action_size; ++j) {
        for (size_t i = TL_MACHINE_DELAY_MAX; i > 0u; --i) {
            m->line[i][j] = m->line[i - 1u][j];
        }
        m->line[0][j] = u[j] - u[j] == 0.0f ? not_tiny(tl_clamp(u[j], -1.0f, 1.0f)) : 0.0f;
    }
    return m->line[(size_t)m->parameters[TL_MACHINE_DELAY]];
}

tl_plant_result tl_machine_step(void *machine, const float *u) {
    tl_machine *m = machine;
    if (tl_episode_over(&m->episode)) {
        return tl_episode_held(&m->episode);
    }
    const tl_machine_result result = m->kind->advance(m, delayed(m, u));
    keep_normal(m);
    latch(m);
    return tl_episode_count(&m->episode, reward_of(m, result.cost), result.failed);
}

void tl_machine_observe(const void *machine, float *x) {
    const tl_machine *m = machine;
    memcpy(x, m->observation, m->kind->observation_size * sizeof(float));
}
