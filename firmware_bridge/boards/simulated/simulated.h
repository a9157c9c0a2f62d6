/* A complete device around a plant of plants/ (or a user's plant, real or simulated), without its line: shared by the
 * firmware process, the tests and Python. Each supplies a send function and a clock; tl_outbox is a send function that
 * keeps the bytes in memory. */
#pragma once

#include "firmware_bridge/bridge/bridge.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { TL_FW_MAJOR = 0, TL_FW_MINOR = 1, TL_FW_PATCH = 0 }; /* version of the firmware */

/* Options of a device. All zero is a valid default. */
typedef struct {
    uint32_t boot_id;
    uint32_t seed;        /* start of episode 0 */
    uint32_t silence_us;  /* 0: the default */
    uint16_t ttl_max_ms;  /* 0: the default */
    uint16_t reset_ticks; /* additional periods per reset, to mimic a real plant; none in lockstep */
    uint32_t max_steps;   /* of an episode; 0: that of the plant */
    float slew;           /* of every actuator per period; 0: no limit */
    uint32_t period_us;   /* control period in real time; 0: the plant's own */
    float *driver;        /* TL_PLANT_ACT_MAX values: receives each actuator command, then the brake; or NULL */
} tl_simulated_options;

/* The plant and its options. state is the first member: the plant's functions receive a pointer to the whole struct. */
typedef struct {
    tl_plant_state state;
    const tl_plant *wrapped;
    uint32_t max_steps;
    uint16_t reset_ticks, reset_left;
    float *driver;
} tl_simulated_plant;

/* Owned by the caller; must not be moved or copied after its initialisation. */
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

/* Bytes sent and not yet read; the reader resets size to 0. A frame that does not fit is dropped completely and
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
