/* TickLink v1 frames.
 *
 *     wire  = COBS(raw) 00
 *     raw   = type u8 | flags u8 | seq u16 | t_us u32 | payload, 0 to 238 bytes | crc32 u32      little-endian
 *
 * The CRC covers everything before it. raw is at most 250 bytes, so one COBS block and one byte of overhead. A
 * device may choose a shorter longest payload (sizes.h); the numbers in comments are those of the protocol. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "firmware_bridge/protocol/sizes.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    TL_HEADER_SIZE = 8,
    TL_CRC_SIZE = 4,
    TL_PAYLOAD_MAX = TL_SIZE_PAYLOAD,
    TL_RAW_MIN = TL_HEADER_SIZE + TL_CRC_SIZE,                  /* 12 */
    TL_RAW_MAX = TL_HEADER_SIZE + TL_PAYLOAD_MAX + TL_CRC_SIZE, /* 250 */
    TL_COBS_SIZE_MAX = TL_RAW_MAX + 1,                          /* 251: without the delimiter */
    TL_WIRE_MAX = TL_COBS_SIZE_MAX + 1                          /* 252: with it */
};

/* Bits of tl_frame.flags. The others are sent as 0 and ignored. */
enum {
    TL_FLAG_LOCKSTEP = 1 /* in ARM: this session runs in lockstep; repeated in each CMD */
};

typedef struct {
    uint8_t type;  /* TL_TYPE_*, messages.h */
    uint8_t flags; /* TL_FLAG_* */
    uint16_t seq;  /* counts the sender's frames; starts again at ARM */
    uint32_t t_us; /* the sender's clock; wraps each 71.6 min, compare by unsigned difference */
    uint8_t size;  /* of payload, 0 to TL_PAYLOAD_MAX */
    uint8_t payload[TL_PAYLOAD_MAX];
    uint8_t tail[TL_CRC_SIZE + 1]; /* room for CRC and delimiter, for tl_frame_encode_in_place() */
} tl_frame;

/* Writes the frame with CRC, stuffing and delimiter to out.
 * Returns the number of bytes written, 14 to TL_WIRE_MAX, or
 * 0 when frame->size > TL_PAYLOAD_MAX; out is then unchanged. */
size_t tl_frame_encode(const tl_frame *frame, uint8_t out[TL_WIRE_MAX]);

/* The same where the frame stands: afterwards its first bytes, from (const uint8_t *)frame on, are those of the
 * wire, and its members have no meaning. Returns the number of bytes, or 0 and leaves it unchanged. The payload does
 * not move. */
size_t tl_frame_encode_in_place(tl_frame *frame);

typedef enum {
    TL_DECODE_OK = 0,
    TL_DECODE_OVERLONG, /* n > TL_COBS_SIZE_MAX */
    TL_DECODE_GARBLED,  /* not COBS, or shorter than header and CRC */
    TL_DECODE_CRC       /* well-formed, but the CRC does not match */
} tl_decode_status;

/* Reads n bytes of stuffed frame, delimiter excluded, as received between two 00. Returns TL_DECODE_OK and fills *out,
 * or another TL_DECODE_* and leaves *out unchanged. in is never changed. */
tl_decode_status tl_frame_decode(const uint8_t *in, size_t n, tl_frame *out);

/* Extracts frames from a byte stream with any fragmentation. Damage affects only the frames it hits: the decoder
 * resynchronises at the next 00. Counters only grow and wrap at 2^32. Empty frames (00 00) are idle fill, not an error.
 */
typedef struct {
    uint32_t frames;     /* good ones */
    uint32_t crc_errors; /* TL_DECODE_CRC */
    uint32_t garbled;    /* TL_DECODE_GARBLED */
    uint32_t overlong;   /* more than TL_COBS_SIZE_MAX bytes without a 00 */
    uint16_t size;       /* bytes kept in frame; TL_COBS_SIZE_MAX + 1 while skipping to the next 00 */
    tl_frame frame;      /* the bytes of a frame whose end has not arrived; then the frame */
} tl_decoder;

void tl_decoder_init(tl_decoder *decoder);

/* Consumes bytes from *data up to the end of the first valid frame, or all of them.
 * Returns true: *out is a valid frame, *data points behind its delimiter; call again, there may be more.
 * Returns false: everything up to end is consumed (*data == end), *out is unchanged; a partial frame is kept for the
 * next call.
 *
 *     const uint8_t *p = bytes;
 *     while (tl_decoder_next(&decoder, &p, bytes + n, &frame)) use(&frame); */
bool tl_decoder_next(tl_decoder *decoder, const uint8_t **data, const uint8_t *end, tl_frame *out);

/* The same without a copy: the frame where it was decoded, valid until the next call; NULL for false. */
const tl_frame *tl_decoder_take(tl_decoder *decoder, const uint8_t **data, const uint8_t *end);

/* Number of invalid frames: crc_errors + garbled + overlong. */
uint32_t tl_decoder_errors(const tl_decoder *decoder);

#ifdef __cplusplus
}
#endif
