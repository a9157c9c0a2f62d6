#include "firmware_bridge/bridge/internal.h"
#include "firmware_bridge/protocol/bytes.h"

static const TL_ROM tl_plant_row *actuators(const tl_bridge *bridge) {
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
static float commanded(tl_bridge *bridge, const TL_ROM tl_plant_row *row, float slew, uint8_t i) {
    const float target = bridge->target[i];
    const float asked = slewed(clamp(target, row->min, row->max), bridge->applied[i], slew);
    const float v = tl_limits_bound(bridge, i, asked, true, &bridge->limited_by);
    if (v != target) bridge->counters[TL_COUNTER_CLAMPED]++;
    return v;
}

/* Whether actuator i holds nothing, and where it is then, within its row. */
static bool limp(const tl_bridge *bridge, uint8_t i, float *v) {
    const tl_bridge_config *config = &bridge->config;
    const tl_plant_row *row = &actuators(bridge)[i];
    float at = 0.0f;
    if (config->limp == NULL || !config->limp(config->plant_state, i, &at) || !tl_f32_finite(at)) return false;
    *v = clamp(at, row->min, row->max);
    return true;
}

/* The next output of an actuator in its safe behaviour, now at from. DAMP differs from OFF in the driver:
 * plant->apply. */
static float safe(const tl_bridge *bridge, uint8_t i, uint8_t *by) {
    const TL_ROM tl_plant_row *row = &actuators(bridge)[i];
    float v = row->safe_value;
    if (limp(bridge, i, &v)) return v;
    if (row->safe == TL_SAFE_HOLD) v = bridge->applied[i];
    if (row->safe == TL_SAFE_RAMP) v = slewed(v, bridge->applied[i], tl_drive_slew(&bridge->config, i));
    return tl_limits_bound(bridge, i, v, false, by);
}

static void move_outputs(tl_bridge *bridge) {
    const TL_ROM tl_plant_row *rows = actuators(bridge);
    bridge->limited_by = 0;
    for (uint8_t i = 0; i < bridge->config.plant->sheet->action_size; i++) {
        const float slew = tl_drive_slew(&bridge->config, i);
        bridge->applied[i] = bridge->live ? commanded(bridge, &rows[i], slew, i) : safe(bridge, i, &bridge->limited_by);
    }
    if (bridge->limited_by != 0) bridge->limited++;
}

/* Reads what the limits are compared with. */
static void measure(tl_bridge *bridge) {
    bridge->config.plant->observe(bridge->config.plant_state, bridge->measured);
    for (uint8_t i = 0; bridge->n_forced != 0 && i < bridge->config.plant->sheet->observation_size; i++)
        if (bridge->is_forced[i]) bridge->measured[i] = bridge->forced[i];
}

/* Reads x. False when it, or the reward, is not finite. */
static bool observe(tl_bridge *bridge) {
    bool finite = tl_f32_finite(bridge->reward);
    measure(bridge);
    for (uint8_t i = 0; i < bridge->config.plant->sheet->observation_size; i++) {
        bridge->x[i] = bridge->measured[i];
        finite = finite && tl_f32_finite(bridge->x[i]);
    }
    return finite;
}

static void turn_brake(tl_bridge *bridge, bool released) {
    const tl_plant *plant = bridge->config.plant;
    bridge->released = released;
    if (plant->brake != NULL) plant->brake(bridge->config.plant_state, released);
}

/* The only call that applies outputs. Between two periods there is no step(), so a plant without apply receives
 * nothing. */
static tl_plant_result hand_over(tl_bridge *bridge, bool period) {
    const tl_plant *plant = bridge->config.plant;
    void *state = bridge->config.plant_state;
    /* A command is in force only while armed. The brake holds before torque goes, and until it is there. */
    if (!bridge->live) turn_brake(bridge, false);
    if (plant->apply != NULL) plant->apply(state, bridge->applied, bridge->live);
    if (bridge->live) turn_brake(bridge, true);
    return period ? plant->step(state, bridge->applied) : (tl_plant_result){0.0f, false, false};
}

/* Immediate safe behaviour: OFF and DAMP go to safe_value at once. HOLD and RAMP stay until the next period. True when
 * an output changes. */
static bool cut_outputs(tl_bridge *bridge) {
    const TL_ROM tl_plant_row *rows = actuators(bridge);
    bool changed = false;
    for (uint8_t i = 0; i < bridge->config.plant->sheet->action_size; i++) {
        if (rows[i].safe != TL_SAFE_OFF && rows[i].safe != TL_SAFE_DAMP) continue;
        const float v = safe(bridge, i, &bridge->limited_by);
        changed = changed || bridge->applied[i] != v;
        bridge->applied[i] = v;
    }
    return changed;
}

void tl_drive_release(tl_bridge *bridge, bool step) {
    bridge->live = bridge->ending = false;
    if (bridge->config.plant->apply == NULL && !step) { /* `applied` keeps the last command */
        turn_brake(bridge, false);
        return;
    }
    const bool changed = cut_outputs(bridge);
    (void)hand_over(bridge, step && changed);
}

bool tl_bridge_at_rest(const tl_bridge *bridge) {
    uint8_t by = 0;
    if (bridge->live) return false;
    for (uint8_t i = 0; i < bridge->config.plant->sheet->action_size; i++) {
        float at;
        if (!limp(bridge, i, &at) && safe(bridge, i, &by) != bridge->applied[i]) return false;
    }
    return true;
}

void tl_drive_init(tl_bridge *bridge, uint32_t seed) {
    const TL_ROM tl_plant_row *rows = actuators(bridge);
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
    if (bridge->config.plant->sheet->n_limits != 0) measure(bridge);
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
    if (tl_episode_ended(bridge)) {
        if (bridge->config.plant->sheet->n_limits != 0) measure(bridge);
        return true;
    }
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
