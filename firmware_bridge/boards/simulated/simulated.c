#include "firmware_bridge/boards/simulated/simulated.h"

#include <string.h>

enum { FW_MAJOR = 0, FW_MINOR = 1, FW_PATCH = 0 };

static void reset(void *state, uint32_t seed) {
    tl_simulated_body *body = (tl_simulated_body *)state;
    body->machine->reset(&body->state, seed);
    if (body->max_steps != 0) tl_plant_limit(&body->state, body->max_steps);
    body->reset_left = body->reset_ticks;
}

static bool reset_done(void *state) {
    tl_simulated_body *body = (tl_simulated_body *)state;
    if (body->reset_left == 0) return true;
    body->reset_left--;
    return false;
}

/* The machine's own step and apply, where what they are told is to be seen. */
static void tell(const tl_simulated_body *body, const float *u) {
    for (uint8_t i = 0; i < body->machine->sheet->n_act; i++) body->driver[i] = u[i];
}

static tl_plant_result step(void *state, const float *u) {
    tl_simulated_body *body = (tl_simulated_body *)state;
    tell(body, u);
    return body->machine->step(&body->state, u);
}

static void apply(void *state, const float *u, bool live) {
    tl_simulated_body *body = (tl_simulated_body *)state;
    tell(body, u);
    body->machine->apply(&body->state, u, live);
}

bool tl_simulated_init(tl_simulated *device, const char *plant, const tl_simulated_options *options,
                       void (*send)(void *context, const uint8_t *bytes, size_t n), void *send_context,
                       uint64_t now_us) {
    const tl_plant *machine = tl_plant_find(plant);
    if (machine == NULL || machine->reset == NULL || machine->step == NULL) return false;
    if (machine->state_bytes > sizeof device->body.state) return false;
    if (machine->sheet->n_obs > TL_PLANT_OBS_MAX || machine->sheet->n_act > TL_PLANT_ACT_MAX) return false;
    device->plant = *machine;
    device->plant.reset = reset;
    device->body.driver = options->driver;
    if (options->driver != NULL) {
        device->plant.step = step;
        if (machine->apply != NULL) device->plant.apply = apply;
    }
    device->sheet = *machine->sheet;
    if (options->period_us != 0) device->sheet.period_us = options->period_us;
    device->plant.sheet = &device->sheet;
    device->body.machine = machine;
    device->body.max_steps = options->max_steps;
    device->body.reset_ticks = options->reset_ticks;
    for (size_t i = 0; i < TL_PLANT_ACT_MAX; i++) device->slew[i] = options->slew;
    const tl_bridge_config config = {
        .plant = &device->plant,
        .plant_state = &device->body,
        .reset_done = reset_done,
        .slew = options->slew != 0.0f ? device->slew : NULL,
        .boot_id = options->boot_id,
        .seed = options->seed,
        .silence_us = options->silence_us,
        .ttl_max_ms = options->ttl_max_ms,
        .caps = TL_CAP_SIMULATED | TL_CAP_LOCKSTEP | TL_CAP_REWARD | TL_CAP_RESET,
        .fw_major = FW_MAJOR,
        .fw_minor = FW_MINOR,
        .fw_patch = FW_PATCH,
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
