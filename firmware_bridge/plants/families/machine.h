/* Families of simulated machines: kinds of plant whose parameters are drawn from a seed. For studies of a learner and
 * for training over a range of plants (domain randomisation); docs/families.md describes every kind.
 *
 * Arithmetic and memory: the rules of plant.h (binary32, no libm, -ffp-contract=off, no allocation, no writable
 * globals, no subnormal state or observation).
 *
 *     tl_machine machine;                                 a plain structure: copy it with =, within one process
 *     tl_machine_draw(&machine, tl_machine_find("cartpole"), 3);     machine 3 of its kind; also reset(0)
 *     tl_machine_reset(&machine, seed);                   start of an episode: depends on both seeds alone
 *     tl_machine_observe(&machine, x);                    x[kind->observation_size]
 *     tl_plant_result r = tl_machine_step(&machine, u);   u[kind->action_size], each in [-1, 1]; then observe again
 *
 * The last three have the types of tl_plant's reset, step and observe. */
#pragma once

#include "firmware_bridge/plants/plant.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    TL_MACHINE_OBS_MAX = 8,
    TL_MACHINE_ACT_MAX = 2,
    TL_MACHINE_PARAMETERS_MAX = 24,
    TL_MACHINE_STATE_MAX = 24,
    TL_MACHINE_DELAY_MAX = 2, /* periods between a command and its effect */
    TL_MACHINE_FEATURES_MAX = 12,
    TL_MACHINE_GAINS_MAX = 32
};

/* How a parameter is drawn from [min, max]; equal ends: a constant. */
enum {
    TL_DRAW_UNIFORM = 0,
    TL_DRAW_LOG = 1,     /* its logarithm is uniform; min > 0 */
    TL_DRAW_INTEGER = 2, /* uniform over the integers from min to max */
};

/* The reward of one step from its cost c >= 0 (about 1 for a bad step), times the parameter reward_scale. */
enum {
    TL_REWARD_COST = 0,     /* -c */
    TL_REWARD_BOUNDED = 1,  /* 1 / (1 + 3 c) */
    TL_REWARD_CENTRED = 2,  /* 1 / (1 + 3 c) - 1/2 */
    TL_REWARD_SURVIVAL = 3, /* 1 */
    TL_REWARD_SHAPED = 4,   /* 1/2 + 1/2 / (1 + 3 c) */
};

/* The first parameters of every kind. */
enum {
    TL_MACHINE_REWARD_SCALE = 0, /* magnitude of a step's reward; negative: the reward's sign is flipped */
    TL_MACHINE_REWARD_FORM = 1,  /* TL_REWARD_* */
    TL_MACHINE_NOISE = 2,        /* standard deviation of each sensor, as a fraction of its span */
    TL_MACHINE_BIAS = 3,         /* offset of each sensor, as a fraction of its span; drawn as 0 */
    TL_MACHINE_DELAY = 4,        /* periods between a command and its effect, 0 to TL_MACHINE_DELAY_MAX */
    TL_MACHINE_LIMIT = 5,        /* maximum number of steps of an episode; 0: a continuing task */
    TL_MACHINE_OWN = 6,          /* the kind's own parameters start here */
};

typedef struct {
    const char *name; /* snake_case, with its unit where it has one */
    const char *unit;
    float min, max;
    uint8_t draw; /* TL_DRAW_* */
} tl_machine_parameter;

typedef struct tl_machine tl_machine;

typedef struct {
    float cost;  /* >= 0 */
    bool failed; /* terminal state */
} tl_machine_result;

typedef struct tl_machine_kind {
    const char *name;
    const char *title;
    const char *task; /* cost and failure, in words */
    uint32_t period_us;
    uint8_t observation_size, action_size;
    uint8_t state_size;   /* the first entries of tl_machine's state, all finite */
    uint8_t n_parameters; /* with the common ones */
    uint8_t n_features;
    bool continuing; /* no episode ever ends */
    bool reported; /* half of the kinds: false: defaults of learners may be chosen on it; true: results are reported */
    const tl_machine_parameter *parameters;
    const char *const *observations; /* names, observation_size */

    void (*start)(tl_machine *machine);
    tl_machine_result (*advance)(tl_machine *machine, const float *u); /* one period; u in [-1, 1] */
    /* The exact observation, and the span of each sensor (0: a target, known exactly). */
    void (*sense)(const tl_machine *machine, float *x, float *span);
    /* What the reference controller multiplies with its gains: functions of the true state (reference.h). */
    void (*features)(const tl_machine *machine, float *phi);
} tl_machine_kind;

struct tl_machine {
    tl_plant_episode episode;
    const tl_machine_kind *kind;
    uint32_t machine_seed; /* of the parameters */
    uint32_t rng;          /* start, targets, disturbances, noise; seeded by reset */
    uint32_t hold;         /* steps until the next target, where a kind has targets */
    float parameters[TL_MACHINE_PARAMETERS_MAX];
    float state[TL_MACHINE_STATE_MAX];
    float observation[TL_MACHINE_OBS_MAX];
    float line[TL_MACHINE_DELAY_MAX + 1][TL_MACHINE_ACT_MAX]; /* the last commands, newest first */
};

/* Parameters from the seed alone; then reset(0). */
void tl_machine_draw(tl_machine *machine, const tl_machine_kind *kind, uint32_t machine_seed);

/* Change a parameter of a machine while it runs. False, and nothing has changed: no such index, a value that is not
 * finite, or one beyond what step() can work with: 4 times the range in which it is drawn, see machine.c. */
bool tl_machine_change(tl_machine *machine, size_t index, float value);

void tl_machine_reset(void *machine, uint32_t seed);

/* One period. u is clamped to [-1, 1]; a value that is not finite counts as 0. After the end of an episode the machine
 * does not move and earns 0. */
tl_plant_result tl_machine_step(void *machine, const float *u);

/* The observation of the last reset() or step(), with its noise; a second call gives the same. */
void tl_machine_observe(const void *machine, float *x);

const tl_machine_kind *tl_machine_find(const char *name); /* NULL when the name is unknown */
size_t tl_machine_count(void);
const tl_machine_kind *tl_machine_at(size_t index); /* NULL beyond the last */

#ifdef __cplusplus
}
#endif
