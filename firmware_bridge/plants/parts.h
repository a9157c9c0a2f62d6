/* Shared by the plants: episode state, actuator clamp, random numbers of the start. */
#pragma once

#include "firmware_bridge/plants/plant.h"

static inline void tl_episode_begin(tl_plant_episode *episode, uint32_t max_steps) {
    episode->step = 0u;
    episode->max_steps = max_steps;
    episode->terminated = 0u;
    episode->truncated = 0u;
}

static inline bool tl_episode_over(const tl_plant_episode *episode) {
    return (episode->terminated | episode->truncated) != 0u;
}

/* The result of step() after the end of an episode: no motion, no reward. */
static inline tl_plant_result tl_episode_held(const tl_plant_episode *episode) {
    tl_plant_result result = {0.0f, episode->terminated != 0u, episode->truncated != 0u};
    return result;
}

/* Counts one step. Termination and the step limit are independent facts; both may hold. */
static inline tl_plant_result tl_episode_count(tl_plant_episode *episode, float reward, bool terminated) {
    tl_plant_result result;
    episode->step += 1u;
    episode->terminated = terminated ? 1u : 0u;
    episode->truncated = episode->max_steps != 0u && episode->step >= episode->max_steps ? 1u : 0u;
    result.reward = reward;
    result.terminated = episode->terminated != 0u;
    result.truncated = episode->truncated != 0u;
    return result;
}

#if !defined(__AVR__) || !defined(__cplusplus) /* flash.h */
/* The value that the actuator applies. Below 1e-12 it is 0, so that no product of it is subnormal. */
static inline float tl_actuate(const TL_ROM tl_plant_row *row, float u) {
    if (!(u - u == 0.0f)) { /* NaN or infinite */
        return row->safe_value;
    }
    if (!(u >= row->min)) {
        return row->min;
    }
    if (!(u <= row->max)) {
        return row->max;
    }
    return (u < 0.0f ? -u : u) < 1e-12f ? 0.0f : u; /* one comparison: no branch that depends on the sign */
}
#endif

/* A counter through the 32-bit finaliser of MurmurHash3 (A. Appleby, public domain): one sequence per seed, adjacent
 * seeds unrelated. */
static inline uint32_t tl_plant_random(uint32_t *rng) {
    uint32_t z = (*rng += 0x9E3779B9u);
    z = (z ^ (z >> 16)) * 0x85EBCA6Bu;
    z = (z ^ (z >> 13)) * 0xC2B2AE35u;
    return z ^ (z >> 16);
}

/* Uniform in [lo, hi): 24 random bits. */
static inline float tl_plant_uniform(uint32_t *rng, float lo, float hi) {
    const float unit = (float)(tl_plant_random(rng) >> 8) * 0x1p-24f;
    return lo + (hi - lo) * unit;
}

/* Texts for people, which no protocol carries: an AVR would copy them from flash to memory. */
#ifdef __AVR__
#define TL_PLANT_TEXTS(says)
#else
#define TL_PLANT_TEXTS(says)                                                        \
    .title = says, .reward = kReward, .source = kSource, .parameters = kParameters, \
    .n_parameters = sizeof kParameters / sizeof kParameters[0],
#endif

/* A data sheet from the definitions in each plant's file; the rows are its observations and, last, one actuator. */
#define TL_PLANT_SHEET(called, its_rows, says)                          \
    {.name = called,                                                    \
     .period_us = PERIOD_US,                                            \
     .observation_size = sizeof(its_rows) / sizeof((its_rows)[0]) - 1u, \
     .action_size = 1,                                                  \
     .max_steps = EPISODE_STEPS,                                        \
     .rows = its_rows,                                                  \
     .simulated = true,                                                 \
     TL_PLANT_TEXTS(says)}

extern const tl_plant tl_plant_cartpole, tl_plant_cartpole_full;
extern const tl_plant tl_plant_pendulum, tl_plant_pendulum_full;
extern const tl_plant tl_plant_servo, tl_plant_servo_full, tl_plant_joint;

/* step() of so many neighbours at once, to the bit: the same arithmetic in a loop that becomes vectors. u[i] is of the
 * one actuator of plant i. No firmware reaches it (batch.c). */
enum { TL_PLANT_BLOCK = 16 };
void tl_cartpole_step_block(void *states, const float *u, tl_plant_result *results);
