/* Packets of Feetech's STS, SMS and SCS servos.
 *
 *     FF FF | id | length | instruction | params | check        an answer has the error in place of the instruction
 *
 * length = parameters + 2; check = ~(sum from id on) & FF; no stuffing. The codec cannot tell an answer from an
 * instruction, nor from the echo of an adapter with one wire: the caller knows what it has sent (bus.h). The check does
 * not find bytes that have changed places: match id, length and error as well. */
#pragma once

#include "firmware_bridge/bus/packet.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { TL_FEETECH_PARAMS_MAX = 253 };

/* Writes a packet to out; second is the instruction, or the error of an answer. Returns its number of bytes, or 0 with
 * out unchanged: an id that no packet may have, more than TL_FEETECH_PARAMS_MAX parameters, or more bytes than room. */
size_t tl_feetech_encode(uint8_t id, uint8_t second, const uint8_t *params, size_t n, uint8_t *out, size_t room);

/* The first packet in n bytes (packet.h); instruction and error both have the byte in their place. Its parameters stay
 * where they are: out->params points into bytes. last: no more bytes follow, so an incomplete packet is damaged too.
 * *out is undefined unless the result is TL_BUS_PACKET. */
tl_bus_found tl_feetech_next(const uint8_t *bytes, size_t n, bool last, tl_bus_packet *out, size_t *used);

#ifdef __cplusplus
}
#endif
