#include "firmware_bridge/plants/batch.h"

static float clamp(float value, float low, float high) { return value < low ? low : value > high ? high : value; }

static bool ended(const tl_plant_batch *batch, size_t i) { return (batch->terminated[i] | batch->truncated[i]) != 0u; }

/* This call resets the plant in place of a step. */
static bool due(const tl_plant_batch *batch, size_t i) {
    return batch->autoreset == TL_AUTORESET_NEXT_STEP && ended(batch, i);
}

static bool acceptable(const tl_plant_batch *batch, size_t i) {
    if (batch->actions == TL_ACTIONS_LEVELS) {
        return batch->level[i] >= 0 && batch->level[i] < batch->n_levels;
    }
    const size_t m = batch->plant->sheet->action_size;
    const float *u = batch->u + i * m;
    for (size_t j = 0; j < m; ++j) {
        if (!(u[j] - u[j] == 0.0f)) {
            return false;
        }
    }
    return true;
}

/* The action of plant i in the units of its actuators: the arithmetic of rtu_edge/device/schema.py, scale_to. */
static void physical(const tl_plant_batch *batch, size_t i, float *out) {
    const tl_plant_sheet *sheet = batch->plant->sheet;
    const tl_plant_row *rows = sheet->rows + sheet->observation_size;
    const size_t m = sheet->action_size;
    const float *given =
        batch->actions == TL_ACTIONS_LEVELS ? batch->levels + (size_t)batch->level[i] * m : batch->u + i * m;
    for (size_t j = 0; j < m; ++j) {
        const float low = rows[j].min, high = rows[j].max;
        float u = given[j];
        if (batch->actions == TL_ACTIONS_UNIT) {
            u = low + (clamp(u, -1.0f, 1.0f) + 1.0f) * 0.5f * (high - low);
        }
        out[j] = clamp(u, low, high);
    }
}

static void *state_of(const tl_plant_batch *batch, size_t i) {
    return (unsigned char *)batch->states + i * batch->plant->state_bytes;
}

static void begin(tl_plant_batch *batch, size_t i, uint32_t seed) {
    batch->plant->reset(state_of(batch, i), seed);
    tl_plant_limit(state_of(batch, i), batch->max_steps);
}

static void begin_next(tl_plant_batch *batch, size_t i) {
    const uint32_t seed = batch->draw(batch->generators[i]);
    begin(batch, i, seed);
    batch->was_reset[i] = 1u;
    batch->stepped[i] = 0u;
    batch->plant_seed[i] = (int64_t)seed;
}

static void fill(float *out, size_t count, const float *from) {
    for (size_t j = 0; j < count; ++j) {
        out[j] = from != NULL ? from[j] : 0.0f;
    }
}

void tl_plant_batch_reset(tl_plant_batch *batch, const uint8_t *mask) {
    const size_t n_x = batch->plant->sheet->observation_size;
    for (size_t i = 0; i < batch->n; ++i) {
        if (mask == NULL || mask[i] != 0u) {
            begin(batch, i, (uint32_t)batch->plant_seed[i]);
            batch->terminated[i] = 0u;
            batch->truncated[i] = 0u;
        }
        batch->plant->observe(state_of(batch, i), batch->x + i * n_x);
    }
}

int64_t tl_plant_batch_step(tl_plant_batch *batch) {
    const tl_plant *plant = batch->plant;
    const size_t n_x = plant->sheet->observation_size, m = plant->sheet->action_size;
    int64_t begun = 0;
    for (size_t i = 0; i < batch->n; ++i) {
        if (!due(batch, i) && !acceptable(batch, i)) {
            return -1 - (int64_t)i;
        }
    }
    for (size_t i = 0; i < batch->n; ++i) {
        float *applied = batch->applied + i * m;
        if (due(batch, i)) {
            begin_next(batch, i);
            begun += 1;
            fill(applied, m, NULL);
            batch->reward[i] = 0.0f;
            batch->terminated[i] = 0u;
            batch->truncated[i] = 0u;
        } else {
            physical(batch, i, applied);
            const tl_plant_result result = plant->step(state_of(batch, i), applied);
            batch->reward[i] = result.reward;
            batch->terminated[i] = result.terminated ? 1u : 0u;
            batch->truncated[i] = result.truncated ? 1u : 0u;
            batch->was_reset[i] = 0u;
            batch->stepped[i] = 1u;
            batch->plant_seed[i] = 0;
            if (batch->autoreset == TL_AUTORESET_SAME_STEP) {
                const bool over = ended(batch, i);
                fill(batch->final_applied + i * m, m, over ? applied : NULL);
                if (over) {
                    plant->observe(state_of(batch, i), batch->final_x + i * n_x);
                    fill(applied, m, NULL);
                    begin_next(batch, i);
                    begun += 1;
                }
            }
        }
        plant->observe(state_of(batch, i), batch->x + i * n_x);
    }
    return begun;
}
