/* Packets of the Dynamixel protocol 2.0.
 *
 *     FF FF FD 00 | id | length, u16 | instruction | params | CRC, u16        a status: instruction 55, then error
 *
 * length counts from the instruction to the CRC, after stuffing. Stuffing: FF FF FD from the instruction to the last
 * parameter becomes FF FF FD FD; not in a status of the broadcast id (see below). The CRC (polynomial 8005, start 0,
 * not reflected) is over the stuffed bytes before it.
 */
#pragma once

#include "firmware_bridge/bus/packet.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    TL_DYNAMIXEL_ALERT = 0x80,     /* in the error of a status: Hardware Error Status has the reason */
    TL_DYNAMIXEL_ERROR_MASK = 0x7F /* why an instruction was refused; 0: it was not */
};

/* crc: 0, or the result for the bytes before these. Check value for "123456789": FEE8. */
uint16_t tl_dynamixel_crc(uint16_t crc, const uint8_t *bytes, size_t n);

/* Writes an instruction, or a status, to out. Returns its number of bytes, or 0 with out unchanged: an id that no
 * packet may have, an instruction that is a status, more than TL_BUS_PARAMS_MAX parameters, or more bytes than room. */
size_t tl_dynamixel_encode(uint8_t id, uint8_t instruction, const uint8_t *params, size_t n, uint8_t *out, size_t room);
size_t tl_dynamixel_encode_status(uint8_t id, uint8_t error, const uint8_t *params, size_t n, uint8_t *out,
                                  size_t room);

/* The first packet in n bytes (packet.h). Its parameters go to params, unstuffed; one with more than room of them, or
 * with FF FF FD unstuffed, is damaged. last: no more bytes follow, so an incomplete packet is damaged too. *out and
 * params are undefined unless the result is TL_BUS_PACKET. */
tl_bus_found tl_dynamixel_next(const uint8_t *bytes, size_t n, bool last, tl_bus_packet *out, uint8_t *params,
                               size_t room, size_t *used);

/* The answer to a fast sync read: one packet with a block of each servo, not stuffed.
 *
 *     FF FF FD 00 | FE | length | 55 | error id data CRC | error id data CRC ...
 *
 * Each CRC is over everything before it, so that the last one is the packet's. Reads block `index` of data_size bytes
 * from a whole packet, as tl_dynamixel_next() returns it; out->params points into the packet's parameters. False: there
 * is no such block. */
bool tl_dynamixel_fast_block(const tl_bus_packet *packet, size_t data_size, size_t index, tl_bus_packet *out);

/* The same from the first n bytes of an answer that broke off; bytes begin with its header. False: the block is not
 * there, or its CRC is wrong. */
bool tl_dynamixel_fast_begun(const uint8_t *bytes, size_t n, size_t data_size, size_t index, tl_bus_packet *out);

#ifdef __cplusplus
}
#endif
