/* An emulated servo bus as the port of a tl_bus, in virtual time: time passes only while the bus is used or waits, and
 * at the beginning of each period. Exact, and as fast as the host computes. */
#pragma once

#include "firmware_bridge/boards/servos/emulated.h"
#include "firmware_bridge/bus/bus.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    tl_emulated emulated;
    uint64_t now_ns;
    uint64_t period_ns; /* when the last period began */
    float gravity;
    uint8_t mode;
} tl_virtual_bus;

/* gravity: of each servo; mode: number of TL_REG_MODE. Results as tl_emulated_init(). */
bool tl_virtual_init(tl_virtual_bus *bus, const char *family, uint32_t count, uint32_t baud, float gravity,
                     uint8_t mode);

/* Refers to bus, which must outlive it. */
tl_bus_wire tl_virtual_wire(tl_virtual_bus *bus);

/* Puts the servos back to where they began. self: the tl_virtual_bus. */
void tl_virtual_restart(void *self);

/* Lets time pass until a period after the last call; not at all where the bus has taken longer than that. self: the
 * tl_virtual_bus. */
void tl_virtual_begin_period(void *self, uint32_t period_us);

#ifdef __cplusplus
}
#endif
