/* What the packets of both servo buses have in common, for the codecs (dynamixel.h, feetech.h) and their callers.
 *
 * A decoder has no state: the caller keeps the bytes that have arrived in a buffer and asks for the first packet in it.
 * *used is the number of bytes that are done with; the caller removes them, appends what arrives and asks again:
 *
 *     size_t used;
 *     while ((found = tl_dynamixel_next(buffer, n, last, &packet, params, sizeof params, &used)) != TL_BUS_MORE) {
 *         if (found == TL_BUS_PACKET) use(&packet);
 *         n -= used;
 *         memmove(buffer, buffer + used, n);
 *     }
 *     n -= used; memmove(buffer, buffer + used, n); */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    TL_BUS_ID_MAX = 252,
    TL_BUS_BROADCAST = 254,
    TL_BUS_PARAMS_MAX = 512, /* of a packet of either protocol, before stuffing; longer ones count as damage */
    TL_BUS_WIRE_MAX = 704    /* bytes of the longest packet on the wire */
};

/* Instructions of both protocols; those above TL_BUS_SYNC_WRITE are Dynamixel's alone. */
enum {
    TL_BUS_PING = 0x01,
    TL_BUS_READ = 0x02,
    TL_BUS_WRITE = 0x03,
    TL_BUS_REG_WRITE = 0x04,
    TL_BUS_ACTION = 0x05,
    TL_BUS_FACTORY_RESET = 0x06,
    TL_BUS_REBOOT = 0x08,
    TL_BUS_CLEAR = 0x10,
    TL_BUS_STATUS = 0x55, /* Dynamixel; a Feetech servo's answer has no instruction */
    TL_BUS_SYNC_READ = 0x82,
    TL_BUS_SYNC_WRITE = 0x83,
    TL_BUS_FAST_SYNC_READ = 0x8A,
    TL_BUS_BULK_READ = 0x92,
    TL_BUS_BULK_WRITE = 0x93
};

typedef struct {
    uint8_t id;
    uint8_t instruction; /* TL_BUS_*; of Feetech the byte in this place, which is the error in an answer */
    uint8_t error;       /* of an answer; 0 for Dynamixel's instructions */
    uint16_t size;       /* of the parameters */
    const uint8_t *params;
} tl_bus_packet;

typedef enum {
    TL_BUS_PACKET = 0, /* *out is a packet; *used ends behind it */
    TL_BUS_MORE,       /* no packet yet; *used bytes before its possible beginning are garbage */
    TL_BUS_DAMAGED     /* a header without a valid packet; *used ends behind its first byte */
} tl_bus_found;

/* Whether a packet may have this id: 0 to 252, or the broadcast. */
bool tl_bus_id_valid(uint8_t id);

#ifdef __cplusplus
}
#endif
