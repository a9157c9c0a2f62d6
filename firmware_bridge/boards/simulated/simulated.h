/* A whole device around a plant of plants/ (or one's own, real or simulated), less its line: what the firmware as a
 * process, the tests and Python share. Each brings its own send function and clock; tl_outbox is the send function of
 * those who want the bytes in memory. */
#pragma once

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
    uint16_t reset_ticks; /* extra periods that a reset takes, as a real plant's does; none in lockstep */
    uint32_t max_steps;   /* of an episode; 0: that of the plant */
    float slew;           /* of every actuator per period; 0: no limit */
    uint32_t period_us;   /* real time that a step takes, whatever it is for the plant; 0: the plant's own */
    float *driver;        /* TL_PLANT_ACT_MAX values: where to write what the plant is told, as it is told; or NULL */
} tl_simulated_options;

/* The plant, with the options that concern it. state is first: the plant's functions are given a pointer to all of
 * it. */
typedef struct {
    tl_plant_state state;
    const tl_plant *wrapped;
    uint32_t max_steps;
    uint16_t reset_ticks, reset_left;
    float *driver;
} tl_simulated_plant;

/* Owned by the caller; neither moved nor copied once it has begun. */
typedef struct {
    tl_bridge bridge;
    tl_plant plant;
    tl_plant_sheet sheet;
    tl_simulated_plant simulated;
    float slew[TL_PLANT_ACT_MAX];
} tl_simulated;

/* Builds the device in BOOT; then tl_bridge_receive(&device->bridge, ...) and tl_bridge_tick(&device->bridge, ...).
 * Returns false, and *device is unusable, when no plant has that name, it is larger than tl_plant_state or the MAX of
 * plant.h, or tl_bridge_init() refuses. */
bool tl_simulated_init(tl_simulated *device, const char *plant, const tl_simulated_options *options,
                       void (*send)(void *context, const uint8_t *bytes, size_t n), void *send_context,
                       uint64_t now_us);

enum { TL_OUTBOX_MAX = 16384 };

/* Bytes sent and not yet read; the reader sets size back to 0. A frame that does not fit is dropped whole and
 * counted. */
typedef struct {
    uint32_t dropped;
    size_t size;
    uint8_t bytes[TL_OUTBOX_MAX];
} tl_outbox;

/* A send function; context is the tl_outbox. */
void tl_outbox_take(void *outbox, const uint8_t *bytes, size_t n);

#ifdef __cplusplus
}
#endif
