#include "firmware_bridge/boards/simulated/simulated.h"

#include <string.h>

static void reset(void *state, uint32_t seed) {
    tl_simulated_plant *simulated = (tl_simulated_plant *)state;
    simulated->wrapped->reset(&simulated->state, seed);
    if (simulated->max_steps != 0) tl_plant_limit(&simulated->state, simulated->max_steps);
    simulated->reset_left = simulated->reset_ticks;
}

static bool reset_done(void *state) {
    tl_simulated_plant *simulated = (tl_simulated_plant *)state;
    if (simulated->reset_left == 0) return true;
    simulated->reset_left--;
    return false;
}

/* Wrappers of the plant's step and apply that record the actuator commands. */
static void write_driver(const tl_simulated_plant *simulated, const float *u) {
    for (uint8_t i = 0; i < simulated->wrapped->sheet->action_size; i++) simulated->driver[i] = u[i];
}

static tl_plant_result step(void *state, const float *u) {
    tl_simulated_plant *simulated = (tl_simulated_plant *)state;
    write_driver(simulated, u);
    return simulated->wrapped->step(&simulated->state, u);
}

static void apply(void *state, const float *u, bool live) {
    tl_simulated_plant *simulated = (tl_simulated_plant *)state;
    write_driver(simulated, u);
    simulated->wrapped->apply(&simulated->state, u, live);
}

/* The register of the brake comes after those of the actuators: 1 engaged, 0 released. */
static void brake(void *state, bool released) {
    tl_simulated_plant *simulated = (tl_simulated_plant *)state;
    const uint8_t at = simulated->wrapped->sheet->action_size;
    if (simulated->driver != NULL && at < TL_PLANT_ACT_MAX) simulated->driver[at] = released ? 0.0f : 1.0f;
    simulated->wrapped->brake(&simulated->state, released);
}

bool tl_simulated_init(tl_simulated *device, const char *plant, const tl_simulated_options *options,
                       void (*send)(void *context, const uint8_t *bytes, size_t n), void *send_context,
                       uint64_t now_us) {
    const tl_plant *wrapped = tl_plant_find(plant);
    if (wrapped == NULL || wrapped->reset == NULL || wrapped->step == NULL) return false;
    if (wrapped->state_bytes > sizeof device->simulated.state) return false;
    if (wrapped->sheet->observation_size > TL_PLANT_OBS_MAX || wrapped->sheet->action_size > TL_PLANT_ACT_MAX)
        return false;
    device->plant = *wrapped;
    device->plant.reset = reset;
    device->simulated.driver = options->driver;
    if (options->driver != NULL) {
        device->plant.step = step;
        if (wrapped->apply != NULL) device->plant.apply = apply;
    }
    if (wrapped->brake != NULL) device->plant.brake = brake;
    device->sheet = *wrapped->sheet;
    if (options->period_us != 0) device->sheet.period_us = options->period_us;
    device->plant.sheet = &device->sheet;
    device->simulated.wrapped = wrapped;
    device->simulated.max_steps = options->max_steps;
    device->simulated.reset_ticks = options->reset_ticks;
    for (size_t i = 0; i < TL_PLANT_ACT_MAX; i++) device->slew[i] = options->slew;
    const tl_bridge_config config = {
        .plant = &device->plant,
        .plant_state = &device->simulated,
        .reset_done = reset_done,
        .slew = options->slew != 0.0f ? device->slew : NULL,
        .boot_id = options->boot_id,
        .seed = options->seed,
        .silence_us = options->silence_us,
        .ttl_max_ms = options->ttl_max_ms,
        .caps = TL_CAP_SIMULATED | TL_CAP_LOCKSTEP | TL_CAP_REWARD | TL_CAP_RESET,
        .fw_major = TL_FW_MAJOR,
        .fw_minor = TL_FW_MINOR,
        .fw_patch = TL_FW_PATCH,
        .send = send,
        .send_context = send_context,
    };
    return tl_bridge_init(&device->bridge, &config, now_us);
}

void tl_outbox_take(void *outbox, const uint8_t *bytes, size_t n) {
    tl_outbox *out = (tl_outbox *)outbox;
    if (n > sizeof out->bytes - out->size) {
        out->dropped++;
        return;
    }
    memcpy(out->bytes + out->size, bytes, n);
    out->size += n;
}
