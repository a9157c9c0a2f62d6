/* One transaction, for the operations of bus.h. */
#pragma once

#include "firmware_bridge/bus/bus.h"

#ifdef __cplusplus
extern "C" {
#endif

/* How answers look. */
typedef enum {
    TL_ANSWER_NONE,  /* none is awaited */
    TL_ANSWER_EACH,  /* one packet of each servo */
    TL_ANSWER_FAST,  /* one packet with a block of each */
    TL_ANSWER_DETECT /* nothing but an echo, which is unknown */
} tl_answer_kind;

/* Sends the n bytes of bus->out and collects the answers of servos, whose size is set; n = 0 is TL_BUS_INVALID.
 * settle: the bus settles after a time-out. */
tl_bus_status tl_bus_exchange(tl_bus *bus, size_t n, tl_answer_kind kind, tl_bus_servo *const *servos, size_t count,
                              bool settle);

/* Writes an instruction to bus->out; returns its bytes, or 0. */
size_t tl_bus_question(tl_bus *bus, uint8_t id, uint8_t instruction, const uint8_t *params, size_t n);

#ifdef __cplusplus
}
#endif
