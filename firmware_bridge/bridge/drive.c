#include "firmware_bridge/bridge/internal.h"
#include "firmware_bridge/protocol/bytes.h"

static const tl_plant_row *actuators(const tl_bridge *bridge) {
    const tl_plant_sheet *sheet = bridge->config.plant->sheet;
    return sheet->rows + sheet->observation_size;
}

/* v clamped to [lo, hi]; a false comparison (NaN) counts as outside. */
static float clamp(float v, float lo, float hi) {
    if (!(v >= lo)) return lo;
    if (!(v <= hi)) return hi;
    return v;
}

/* v limited to the range that an output at `from` can reach in one period. */
static float slewed(float v, float from, float slew) { return clamp(v, from - slew, from + slew); }

float tl_drive_slew(const tl_bridge_config *config, uint8_t i) {
    return config->slew != NULL ? config->slew[i] : tl_f32_from_bits(0x7F800000u);
}

/* The next output of actuator i on command. target is finite. */
static float commanded(tl_bridge *bridge, const tl_plant_row *row, float slew, uint8_t i) {
    const float target = bridge->target[i];
    const float v = slewed(clamp(target, row->min, row->max), bridge->applied[i], slew);
    if (v != target) bridge->counters[TL_COUNTER_CLAMPED]++;
    return v;
}

/* The next output of an actuator in its safe behaviour, now at from. DAMP differs from OFF in the driver:
 * plant->apply. */
static float safe(const tl_plant_row *row, float slew, float from) {
    switch (row->safe) {
        case TL_SAFE_HOLD:
            return from;
        case TL_SAFE_RAMP:
            return slewed(row->safe_value, from, slew);
        default:
            return row->safe_value;
    }
}

static void move_outputs(tl_bridge *bridge) {
    const tl_plant_row *rows = actuators(bridge);
    for (uint8_t i = 0; i < bridge->config.plant->sheet->action_size; i++) {
        const float slew = tl_drive_slew(&bridge->config, i);
        bridge->applied[i] =
            bridge->live ? commanded(bridge, &rows[i], slew, i) : safe(&rows[i], slew, bridge->applied[i]);
    }
}

/* Reads x. False when it, or the reward, is not finite. */
static bool observe(tl_bridge *bridge) {
    const tl_plant *plant = bridge->config.plant;
    bool finite = tl_f32_finite(bridge->reward);
    plant->observe(bridge->config.plant_state, bridge->x);
    for (uint8_t i = 0; i < plant->sheet->observation_size; i++) finite = finite && tl_f32_finite(bridge->x[i]);
    return finite;
}

/* The only call that applies outputs. Between two periods there is no step(), so a plant without apply receives
 * nothing. */
static tl_plant_result hand_over(tl_bridge *bridge, bool period) {
    const tl_plant *plant = bridge->config.plant;
    void *state = bridge->config.plant_state;
    if (plant->apply != NULL) plant->apply(state, bridge->applied, bridge->live);
    return period ? plant->step(state, bridge->applied) : (tl_plant_result){0.0f, false, false};
}

/* Immediate safe behaviour: OFF and DAMP go to safe_value at once. HOLD and RAMP stay until the next period. True when
 * an output changes. */
static bool cut_outputs(tl_bridge *bridge) {
    const tl_plant_row *rows = actuators(bridge);
    bool changed = false;
    for (uint8_t i = 0; i < bridge->config.plant->sheet->action_size; i++) {
        if (rows[i].safe != TL_SAFE_OFF && rows[i].safe != TL_SAFE_DAMP) continue;
        changed = changed || bridge->applied[i] != rows[i].safe_value;
        bridge->applied[i] = rows[i].safe_value;
    }
    return changed;
}

void tl_drive_release(tl_bridge *bridge, bool step) {
    bridge->live = bridge->ending = false;
    if (bridge->config.plant->apply == NULL && !step) return; /* `applied` keeps the last command */
    const bool changed = cut_outputs(bridge);
    (void)hand_over(bridge, step && changed);
}

bool tl_drive_resting(const tl_bridge *bridge) {
    const tl_plant_row *rows = actuators(bridge);
    for (uint8_t i = 0; i < bridge->config.plant->sheet->action_size; i++) {
        const float at = bridge->applied[i];
        if (safe(&rows[i], tl_drive_slew(&bridge->config, i), at) != at) return false;
    }
    return true;
}

void tl_drive_init(tl_bridge *bridge, uint32_t seed) {
    const tl_plant_row *rows = actuators(bridge);
    for (uint8_t i = 0; i < bridge->config.plant->sheet->action_size; i++) bridge->applied[i] = rows[i].safe_value;
    bridge->seed = seed;
    bridge->config.plant->reset(bridge->config.plant_state, seed); /* first: it initialises the state */
    tl_drive_rest(bridge);
    (void)tl_drive_first(bridge); /* an observation that is not finite is reported, and stops an armed host */
}

void tl_drive_reset(tl_bridge *bridge, uint32_t seed) {
    tl_drive_release(bridge, false);
    bridge->seed = seed;
    bridge->config.plant->reset(bridge->config.plant_state, seed);
}

void tl_drive_rest(tl_bridge *bridge) {
    move_outputs(bridge);
    (void)hand_over(bridge, true);
}

bool tl_drive_first(tl_bridge *bridge) {
    const tl_plant *plant = bridge->config.plant;
    /* The periods of RESETTING have moved it away from its start, which depends on the seed alone. */
    if (plant->sheet->simulated) plant->reset(bridge->config.plant_state, bridge->seed);
    (void)hand_over(bridge, false); /* clears flags left by the plant's move to its start */
    bridge->epflags = TL_EPISODE_FIRST;
    bridge->reward = 0.0f;
    return observe(bridge);
}

bool tl_drive_step(tl_bridge *bridge) {
    move_outputs(bridge);
    const tl_plant_result result = hand_over(bridge, true);
    if (tl_episode_ended(bridge)) return true;
    bridge->reward = result.reward;
    bridge->epflags =
        (uint8_t)((result.terminated ? TL_EPISODE_TERMINATED : 0) | (result.truncated ? TL_EPISODE_TRUNCATED : 0) |
                  (bridge->config.caps & TL_CAP_REWARD ? TL_EPISODE_REWARD : 0));
    if (tl_episode_ended(bridge)) {
        bridge->live = false;
        bridge->ending = true;
    }
    return observe(bridge);
}
