/* Many plants of one kind, stepped by one call: the vector environments of Gymnasium (rtu_edge/envs/vector.py). For a
 * host; no firmware links it.
 *
 * Each plant is stepped by its own step(), so a batch is bit-identical to single plants. The caller owns
 * every array; n is their first dimension. These functions do not allocate. */
#pragma once

#include "firmware_bridge/plants/plant.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Handling of a plant whose episode has ended. */
enum {
    TL_AUTORESET_NEXT_STEP = 0, /* the next call resets it and ignores its action */
    TL_AUTORESET_SAME_STEP = 1, /* reset in the same call; the last observation is in final_x */
    TL_AUTORESET_DISABLED = 2,  /* no motion until tl_plant_batch_reset() */
};

/* Form of an action. */
enum {
    TL_ACTIONS_PHYSICAL = 0, /* in the units of the actuators; clamped to their range */
    TL_ACTIONS_UNIT = 1,     /* -1 is the lower and 1 the upper end of the range; clamped to it */
    TL_ACTIONS_LEVELS = 2,   /* the number of a row of levels */
};

typedef struct {
    const tl_plant *plant;
    size_t n;
    uint32_t max_steps; /* of every episode; 0: never truncated */
    uint8_t autoreset;  /* TL_AUTORESET_* */
    uint8_t actions;    /* TL_ACTIONS_* */

    void *states;                  /* n of plant->state_bytes each, aligned as tl_plant_state */
    uint32_t (*draw)(void *state); /* 32 random bits: the seed of an episode that begins by itself */
    void **generators;             /* [n], what draw takes */

    /* in */
    const float *u;       /* [n][action_size]; not read with TL_ACTIONS_LEVELS */
    const int64_t *level; /* [n], each below n_levels; read with TL_ACTIONS_LEVELS alone */
    const float *levels;  /* [n_levels][action_size] */
    int64_t n_levels;

    /* out */
    float *x;            /* [n][observation_size] */
    float *reward;       /* [n] */
    uint8_t *terminated; /* [n], 0 or 1 */
    uint8_t *truncated;  /* [n] */
    float *applied;      /* [n][action_size], applied actuator values; 0 where was_reset */
    uint8_t *stepped;    /* [n], 1: applied is of this call and no reset followed */
    uint8_t *was_reset;  /* [n], 1: this call has begun an episode; plant_seed[i] is its seed */
    int64_t *plant_seed; /* [n]; 0 where no episode began */
    float *final_x;      /* [n][observation_size], with TL_AUTORESET_SAME_STEP: where was_reset, the last observation */
    float *final_applied; /* [n][action_size]; 0 where no episode ended */
} tl_plant_batch;

/* Begin the episodes of all plants, or of those whose mask is not 0, from plant_seed[i] (its lowest 32 bits). x, and
 * for these plants terminated and truncated, are written. */
void tl_plant_batch_reset(tl_plant_batch *batch, const uint8_t *mask);

/* One period of every plant.
 *
 * Returns how many episodes this call has begun; or -1 - i where the action of plant i is not finite or no level, and
 * then nothing has moved and no output was written. An action that the call ignores is not checked. */
int64_t tl_plant_batch_step(tl_plant_batch *batch);

#ifdef __cplusplus
}
#endif
