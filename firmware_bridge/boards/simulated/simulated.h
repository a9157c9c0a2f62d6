/* A whole device around a machine of plants/ (or one's own, real or simulated), less its line: what the firmware as a process, the tests and Python share.
 * Each brings its own send function and clock; rtu_outbox is the send function of those who want the bytes in memory. */
#ifndef RTU_BOARD_SIMULATED_H
#define RTU_BOARD_SIMULATED_H

#include "firmware_bridge/bridge/bridge.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What may differ from one device to the next. All zero is a sensible one. */
typedef struct {
    uint32_t boot_id;
    uint32_t seed;        /* start of episode 0 */
    uint32_t silence_us;  /* 0: the default */
    uint16_t ttl_max_ms;  /* 0: the default */
    uint16_t reset_ticks; /* extra periods that a reset takes, as a real machine's does; none in lockstep */
    uint32_t max_steps;   /* of an episode; 0: as the plant says */
    float slew;           /* of every actuator per period; 0: no limit */
    uint32_t period_us;   /* real time that a step takes, whatever it is for the machine; 0: the machine's own */
    float *driver; /* RTU_PLANT_ACT_MAX values: where to write what the machine is told, as it is told; or NULL */
} rtu_simulated_options;

/* The machine, with the options that concern it. state is first: the machine's functions are given a pointer to all of it. */
typedef struct {
    rtu_plant_state state;
    const rtu_plant *machine;
    uint32_t max_steps;
    uint16_t reset_ticks, reset_left;
    float *driver;
} rtu_simulated_body;

/* Owned by the caller; neither moved nor copied once it has begun. */
typedef struct {
    rtu_bridge bridge;
    rtu_plant plant;
    rtu_plant_sheet sheet;
    rtu_simulated_body body;
    float slew[RTU_PLANT_ACT_MAX];
} rtu_simulated;

/* Builds the device in BOOT; then rtu_bridge_receive(&device->bridge, ...) and rtu_bridge_tick(&device->bridge, ...).
 * Returns false, and *device is unusable, when no machine has that name, it is larger than rtu_plant_state or the MAX of plant.h,
 * or rtu_bridge_init() refuses. */
bool rtu_simulated_init(rtu_simulated *device, const char *plant, const rtu_simulated_options *options,
                        void (*send)(void *context, const uint8_t *bytes, size_t n), void *send_context,
                        uint64_t now_us);

enum { RTU_OUTBOX_MAX = 16384 };

/* Bytes sent and not yet read; the reader sets size back to 0. A frame that does not fit is dropped whole and counted. */
typedef struct {
    uint32_t dropped;
    size_t size;
    uint8_t bytes[RTU_OUTBOX_MAX];
} rtu_outbox;

/* A send function; context is the rtu_outbox. */
void rtu_outbox_take(void *outbox, const uint8_t *bytes, size_t n);

#ifdef __cplusplus
}
#endif

#endif
