#include "firmware_bridge/plants/batch.h"

#include "firmware_bridge/plants/parts.h"

static float clamp(float value, float low, float high) { return value < low ? low : value > high ? high : value; }

static void *state_of(const tl_plant_batch *batch, size_t i) {
    return (unsigned char *)batch->states + i * batch->plant->state_bytes;
}

static bool ended(const tl_plant_batch *batch, size_t i) { return (batch->terminated[i] | batch->truncated[i]) != 0u; }

/* ---------------------------------------------------------------- actions */

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

/* Mark in was_reset the plants that this call resets instead of stepping. Returns the first other plant with an invalid
 * action, or n. */
static size_t prepare(tl_plant_batch *batch) {
    for (size_t i = 0; i < batch->n; ++i) {
        const bool due = batch->autoreset == TL_AUTORESET_NEXT_STEP && ended(batch, i);
        if (!due && !acceptable(batch, i)) {
            return i;
        }
        batch->was_reset[i] = due ? 1u : 0u;
    }
    return batch->n;
}

/* The actions from first to last, in the units of the actuators: the arithmetic of rtu_edge/device/schema.py,
 * scale_to. */
static void apply(const tl_plant_batch *batch, size_t first, size_t last) {
    const tl_plant_sheet *sheet = batch->plant->sheet;
    const size_t m = sheet->action_size;
    for (size_t j = 0; j < m; ++j) {
        const TL_ROM tl_plant_row *row = &sheet->rows[sheet->observation_size + j];
        const float low = row->min, high = row->max;
        if (batch->actions == TL_ACTIONS_UNIT) {
            for (size_t i = first; i < last; ++i) {
                const float u = low + (clamp(batch->u[i * m + j], -1.0f, 1.0f) + 1.0f) * 0.5f * (high - low);
                batch->applied[i * m + j] = clamp(u, low, high);
            }
        } else if (batch->actions == TL_ACTIONS_PHYSICAL) {
            for (size_t i = first; i < last; ++i) {
                batch->applied[i * m + j] = clamp(batch->u[i * m + j], low, high);
            }
        } else {
            for (size_t i = first; i < last; ++i) {
                /* ignored for a plant that is reset */
                const size_t level = batch->was_reset[i] != 0u ? 0u : (size_t)batch->level[i];
                batch->applied[i * m + j] = clamp(batch->levels[level * m + j], low, high);
            }
        }
    }
}

/* ---------------------------------------------------------------- episodes */

static void begin(tl_plant_batch *batch, size_t i, uint32_t seed) {
    batch->plant->reset(state_of(batch, i), seed);
    tl_plant_limit(state_of(batch, i), batch->max_steps);
}

static void begin_next(tl_plant_batch *batch, size_t i) {
    const size_t m = batch->plant->sheet->action_size;
    const uint32_t seed = batch->draw(batch->generators[i]);
    begin(batch, i, seed);
    batch->was_reset[i] = 1u;
    batch->stepped[i] = 0u;
    batch->plant_seed[i] = (int64_t)seed;
    for (size_t j = 0; j < m; ++j) {
        batch->applied[i * m + j] = 0.0f;
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

/* ---------------------------------------------------------------- steps */

static bool is_cartpole(const tl_plant *plant) {
    return plant == &tl_plant_cartpole || plant == &tl_plant_cartpole_full;
}

/* After the end of its episode a plant does not move, so it may be stepped before its reset. */
static void step_plants(const tl_plant_batch *batch, size_t first, size_t last, tl_plant_result *results) {
    const size_t m = batch->plant->sheet->action_size;
    if (last - first == TL_PLANT_BLOCK && is_cartpole(batch->plant)) {
        tl_cartpole_step_block(state_of(batch, first), batch->applied + first, results);
        return;
    }
    for (size_t i = first; i < last; ++i) {
        results[i - first] = batch->plant->step(state_of(batch, i), batch->applied + i * m);
    }
}

/* The episode of plant i has ended in this call and the next one begins in it. */
static void begin_in_same_step(tl_plant_batch *batch, size_t i) {
    const size_t n_x = batch->plant->sheet->observation_size, m = batch->plant->sheet->action_size;
    for (size_t j = 0; j < m; ++j) {
        batch->final_applied[i * m + j] = batch->applied[i * m + j];
    }
    batch->plant->observe(state_of(batch, i), batch->final_x + i * n_x);
    begin_next(batch, i);
}

/* Outputs of the plants from first to last; returns how many episodes have begun. */
static int64_t finish(tl_plant_batch *batch, size_t first, size_t last, const tl_plant_result *results) {
    const size_t n_x = batch->plant->sheet->observation_size, m = batch->plant->sheet->action_size;
    const bool same_step = batch->autoreset == TL_AUTORESET_SAME_STEP;
    int64_t begun = 0;
    for (size_t i = first; i < last; ++i) {
        if (batch->was_reset[i] != 0u) {
            batch->reward[i] = 0.0f;
            batch->terminated[i] = 0u;
            batch->truncated[i] = 0u;
            begin_next(batch, i);
            begun += 1;
        } else {
            const tl_plant_result *result = &results[i - first];
            batch->reward[i] = result->reward;
            batch->terminated[i] = result->terminated ? 1u : 0u;
            batch->truncated[i] = result->truncated ? 1u : 0u;
            batch->stepped[i] = 1u;
            batch->plant_seed[i] = 0;
            if (same_step) {
                for (size_t j = 0; j < m; ++j) {
                    batch->final_applied[i * m + j] = 0.0f;
                }
                if (ended(batch, i)) {
                    begin_in_same_step(batch, i);
                    begun += 1;
                }
            }
        }
        batch->plant->observe(state_of(batch, i), batch->x + i * n_x);
    }
    return begun;
}

int64_t tl_plant_batch_step(tl_plant_batch *batch) {
    const size_t refused = prepare(batch);
    if (refused < batch->n) {
        return -1 - (int64_t)refused;
    }
    tl_plant_result results[TL_PLANT_BLOCK];
    int64_t begun = 0;
    for (size_t first = 0, last; first < batch->n; first = last) {
        last = batch->n - first < TL_PLANT_BLOCK ? batch->n : first + TL_PLANT_BLOCK;
        apply(batch, first, last);
        step_plants(batch, first, last, results);
        begun += finish(batch, first, last, results);
    }
    return begun;
}
