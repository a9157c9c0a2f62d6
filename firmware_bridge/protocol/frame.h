/* RTU-Link v1 frames.
 *
 *     wire  = COBS(raw) 00
 *     raw   = type u8 | flags u8 | seq u16 | t_us u32 | payload, 0 to 238 bytes | crc32 u32      little-endian
 *
 * The CRC covers everything before it. raw is at most 250 bytes, so one COBS block and one byte of overhead. */
#ifndef RTU_PROTOCOL_FRAME_H
#define RTU_PROTOCOL_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    RTU_HEADER_SIZE = 8,
    RTU_CRC_SIZE = 4,
    RTU_PAYLOAD_MAX = 238,
    RTU_RAW_MIN = RTU_HEADER_SIZE + RTU_CRC_SIZE,                   /* 12 */
    RTU_RAW_MAX = RTU_HEADER_SIZE + RTU_PAYLOAD_MAX + RTU_CRC_SIZE, /* 250 */
    RTU_COBS_SIZE_MAX = RTU_RAW_MAX + 1,                            /* 251: without the delimiter */
    RTU_WIRE_MAX = RTU_COBS_SIZE_MAX + 1                            /* 252: with it */
};

/* Bits of rtu_frame.flags. The others are sent as 0 and ignored. */
enum {
    RTU_FLAG_LOCKSTEP = 1 /* of ARM: this session runs in lockstep; of CMD: the same, said again */
};

typedef struct {
    uint8_t type;  /* RTU_TYPE_*, messages.h */
    uint8_t flags; /* RTU_FLAG_* */
    uint16_t seq;  /* counts the sender's frames; starts again at ARM */
    uint32_t t_us; /* the sender's clock; wraps each 71.6 min, compare by unsigned difference */
    uint8_t size;  /* of payload, 0 to RTU_PAYLOAD_MAX */
    uint8_t payload[RTU_PAYLOAD_MAX];
} rtu_frame;

/* Writes the frame with CRC, stuffing and delimiter to out.
 * Returns the number of bytes written, 14 to RTU_WIRE_MAX, or
 * 0 when frame->size > RTU_PAYLOAD_MAX; out is then untouched. */
size_t rtu_frame_encode(const rtu_frame *frame, uint8_t out[RTU_WIRE_MAX]);

typedef enum {
    RTU_DECODE_OK = 0,
    RTU_DECODE_OVERLONG, /* n > RTU_COBS_SIZE_MAX */
    RTU_DECODE_GARBLED,  /* not COBS, or shorter than header and CRC */
    RTU_DECODE_CRC       /* well-formed, but the CRC does not fit */
} rtu_decode_status;

/* Reads n bytes of stuffed frame, delimiter excluded, as they stood between two 00.
 * Returns RTU_DECODE_OK and fills *out, or another RTU_DECODE_* and leaves *out untouched. in is never changed. */
rtu_decode_status rtu_frame_decode(const uint8_t *in, size_t n, rtu_frame *out);

/* Frames out of a stream of bytes, in whatever pieces they arrive. Damage costs the frames it touches and no other:
 * the next 00 is a fresh start. Counters only grow and wrap at 2^32. Empty frames (00 00) are idle fill, not an error.
 */
typedef struct {
    uint32_t frames;                   /* good ones */
    uint32_t crc_errors;               /* RTU_DECODE_CRC */
    uint32_t garbled;                  /* RTU_DECODE_GARBLED */
    uint32_t overlong;                 /* more than RTU_COBS_SIZE_MAX bytes without a 00 */
    uint16_t size;                     /* bytes kept in buffer; RTU_COBS_SIZE_MAX + 1 while skipping to the next 00 */
    uint8_t buffer[RTU_COBS_SIZE_MAX]; /* the beginning of a frame whose end has not arrived */
} rtu_decoder;

void rtu_decoder_init(rtu_decoder *decoder);

/* Consumes bytes from *data up to the end of the first good frame, or all of them.
 * Returns true: *out is a good frame, *data stands behind its delimiter; call again, there may be more.
 * Returns false: everything up to end is consumed (*data == end), *out is untouched; what began is kept for next time.
 *
 *     const uint8_t *p = bytes;
 *     while (rtu_decoder_next(&decoder, &p, bytes + n, &frame)) use(&frame); */
bool rtu_decoder_next(rtu_decoder *decoder, const uint8_t **data, const uint8_t *end, rtu_frame *out);

/* Frames that did not make it: crc_errors + garbled + overlong. */
uint32_t rtu_decoder_errors(const rtu_decoder *decoder);

#ifdef __cplusplus
}
#endif

#endif
