/* What an observation measures, and the limits that the device itself enforces on it. */
#pragma once

#include <stdint.h>

/* row.role: what an observation measures. A host takes an unknown number as "not stated". */
enum {
    TL_ROW_ANY = 0, /* not stated; of an actuator always */
    TL_ROW_POSITION = 1,
    TL_ROW_VELOCITY = 2,
    TL_ROW_CURRENT = 3,
    TL_ROW_TEMPERATURE = 4,
    TL_ROW_BUS_VOLTAGE = 5,
    TL_ROW_BRAKE = 6, /* the brake output, written by the bridge: 1 engaged, 0 released */
    TL_ROW_COUNT = 7
};

/* limit.kind: what the device does while the observation is outside low to high. */
enum {
    TL_LIMIT_DIRECTION = 1, /* an output that drives further out becomes 0: only back in is let through */
    TL_LIMIT_FAULT = 2,     /* fault LIMIT: SAFE */
    TL_LIMIT_DERATE = 3     /* the range of a command shrinks: by the share slope per unit outside, down to 0 */
};

enum { TL_LIMIT_ALL = 255 }; /* limit.actuator: every actuator */

/* One limit of an observation. 0 is the output without drive of each actuator that it acts on. */
typedef struct {
    uint8_t kind;     /* TL_LIMIT_* */
    uint8_t actuator; /* index among the actuators; of DERATE also TL_LIMIT_ALL; of FAULT TL_LIMIT_ALL */
    int8_t sense;     /* DIRECTION: 1 where a positive output raises the observation, -1 where it lowers it; else 0 */
    float low, high;  /* one of them may be infinite */
    float slope;      /* DERATE: share of the range per unit outside, above 0; else 0 */
} tl_limit;
