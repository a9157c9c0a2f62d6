/* The firmware of a port: the bridge in front of a plant, TL_FIRMWARE_PLANT, the name of a `const tl_plant`. */
#include <string.h>

#include "firmware_bridge/boards/ports/port.h"
#include "firmware_bridge/boards/simulated/simulated.h"
#include "firmware_bridge/boards/stm32f405/identity.h"
#include "firmware_bridge/plants/parts.h"

#ifndef TL_FIRMWARE_PLANT
#define TL_FIRMWARE_PLANT tl_plant_own
extern const tl_plant tl_plant_own;
#endif

enum { OUTPUTS = (int)TL_VALUES_MAX < (int)TL_PLANT_ACT_MAX ? (int)TL_VALUES_MAX : (int)TL_PLANT_ACT_MAX };

tl_ring tl_port_rx, tl_port_tx;
float tl_board_driver[OUTPUTS]; /* the last actuator command, then the brake: for debuggers and tests */

__attribute__((section(".noinit"))) static tl_boot_memory boot_memory;
static tl_bridge bridge;
static tl_plant plant;
static tl_plant_state state;

static void write_driver(const float *u) {
    for (uint8_t i = 0; i < plant.sheet->action_size; i++) tl_board_driver[i] = u[i];
}

static tl_plant_result step(void *own, const float *u) {
    write_driver(u);
    return TL_FIRMWARE_PLANT.step(own, u);
}

static void apply(void *own, const float *u, bool live) {
    write_driver(u);
    TL_FIRMWARE_PLANT.apply(own, u, live);
}

static void brake(void *own, bool released) {
    if (plant.sheet->action_size < OUTPUTS) tl_board_driver[plant.sheet->action_size] = released ? 0.0f : 1.0f;
    TL_FIRMWARE_PLANT.brake(own, released);
}

/* The bridge's send function: queues a frame, or drops all of it. */
static void send(void *unused, const uint8_t *bytes, size_t n) {
    (void)unused;
    if (n > tl_ring_room(&tl_port_tx)) return;
    for (size_t i = 0; i < n; i++) (void)tl_ring_put(&tl_port_tx, bytes[i]);
    tl_port_transmit();
}

static bool start(void) {
    plant = TL_FIRMWARE_PLANT;
    plant.step = step;
    if (plant.apply != NULL) plant.apply = apply;
    if (plant.brake != NULL) plant.brake = brake;
    if (plant.state_bytes > sizeof state || plant.sheet->action_size > OUTPUTS) return false;
    const tl_bridge_config config = {
        .plant = &plant,
        .plant_state = &state,
        .boot_id = tl_next_boot_id(&boot_memory, tl_port_chip()),
        .caps = TL_CAP_SIMULATED | TL_CAP_LOCKSTEP | TL_CAP_REWARD | TL_CAP_RESET,
        .fw_major = TL_FW_MAJOR,
        .fw_minor = TL_FW_MINOR,
        .fw_patch = TL_FW_PATCH,
        .send = send,
    };
    return tl_bridge_init(&bridge, &config, tl_port_now_us());
}

static void receive(void) {
    uint8_t bytes[32];
    size_t n = 0;
    while (n < sizeof bytes && tl_ring_take(&tl_port_rx, &bytes[n])) n++;
    if (n != 0) tl_bridge_receive(&bridge, bytes, n, tl_port_now_us());
}

int main(void) {
    tl_port_start();
    /* Otherwise it restarts: a data sheet that does not fit cannot be served. */
    for (const bool fits = start(); fits;) {
        receive();
        tl_bridge_tick(&bridge, tl_port_now_us());
        tl_port_feed(); /* the only call */
        if (tl_bridge_due(&bridge) > tl_port_now_us()) tl_port_wait();
    }
    tl_port_restart();
    for (;;) {
    }
}
