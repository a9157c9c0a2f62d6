#include "firmware_bridge/protocol/frame.h"

#include <string.h>

#include "firmware_bridge/protocol/bytes.h"
#include "firmware_bridge/protocol/cobs.h"
#include "firmware_bridge/protocol/crc32.h"

/* A frame and its wire bytes share their memory: code, header and payload lie where the members size and payload
 * are. */
enum { HEADER_AT = 1, PAYLOAD_AT = HEADER_AT + TL_HEADER_SIZE };
typedef char same_place[offsetof(tl_frame, payload) == PAYLOAD_AT && sizeof(tl_frame) >= TL_WIRE_MAX ? 1 : -1];
typedef char one_block[(int)TL_RAW_MAX <= (int)TL_COBS_IN_PLACE_MAX && TL_PAYLOAD_MAX <= 238 ? 1 : -1];

/* Completes a frame whose payload is in place. */
static size_t complete(uint8_t *wire, uint8_t type, uint8_t flags, uint16_t seq, uint32_t t_us, uint8_t size) {
    size_t n = TL_HEADER_SIZE + (size_t)size;
    wire[HEADER_AT] = type;
    wire[HEADER_AT + 1] = flags;
    tl_put_u16(wire + HEADER_AT + 2, seq);
    tl_put_u32(wire + HEADER_AT + 4, t_us);
    tl_put_u32(wire + HEADER_AT + n, tl_crc32(0, wire + HEADER_AT, n));
    n = tl_cobs_encode_in_place(wire, n + TL_CRC_SIZE);
    wire[n++] = 0;
    return n;
}

size_t tl_frame_encode(const tl_frame *frame, uint8_t out[TL_WIRE_MAX]) {
    if (frame->size > TL_PAYLOAD_MAX) return 0;
    memcpy(out + PAYLOAD_AT, frame->payload, frame->size);
    return complete(out, frame->type, frame->flags, frame->seq, frame->t_us, frame->size);
}

size_t tl_frame_encode_in_place(tl_frame *frame) {
    if (frame->size > TL_PAYLOAD_MAX) return 0;
    return complete((uint8_t *)frame, frame->type, frame->flags, frame->seq, frame->t_us, frame->size);
}

/* The inverse, for n bytes that lie where the frame is. */
static tl_decode_status decode_in_place(tl_frame *frame, size_t n) {
    uint8_t *const raw = (uint8_t *)frame + HEADER_AT;
    if (!tl_cobs_decode_in_place((uint8_t *)frame, n) || n - 1 < TL_RAW_MIN) return TL_DECODE_GARBLED;
    n -= 1 + TL_CRC_SIZE;
    if (tl_crc32(0, raw, n) != tl_get_u32(raw + n)) return TL_DECODE_CRC;
    const uint8_t type = raw[0], flags = raw[1];
    const uint16_t seq = tl_get_u16(raw + 2);
    const uint32_t t_us = tl_get_u32(raw + 4);
    frame->type = type;
    frame->flags = flags;
    frame->seq = seq;
    frame->t_us = t_us;
    frame->size = (uint8_t)(n - TL_HEADER_SIZE);
    return TL_DECODE_OK;
}

static void copy(tl_frame *to, const tl_frame *from) { memcpy(to, from, (size_t)PAYLOAD_AT + from->size); }

tl_decode_status tl_frame_decode(const uint8_t *in, size_t n, tl_frame *out) {
    tl_frame frame;
    if (n > TL_COBS_SIZE_MAX) return TL_DECODE_OVERLONG;
    if (n == 0) return TL_DECODE_GARBLED;
    memcpy(&frame, in, n);
    const tl_decode_status status = decode_in_place(&frame, n);
    if (status == TL_DECODE_OK) copy(out, &frame);
    return status;
}

enum { SKIPPING = TL_COBS_SIZE_MAX + 1 };

void tl_decoder_init(tl_decoder *decoder) { memset(decoder, 0, sizeof *decoder); }

uint32_t tl_decoder_errors(const tl_decoder *decoder) {
    return decoder->crc_errors + decoder->garbled + decoder->overlong;
}

/* Stores n bytes of a frame; if they are too many, marks the frame as overlong. */
static void keep(tl_decoder *decoder, const uint8_t *bytes, size_t n) {
    if (decoder->size == SKIPPING) return;
    if (n > (size_t)(TL_COBS_SIZE_MAX - decoder->size)) {
        decoder->size = SKIPPING;
        return;
    }
    if (n != 0) memcpy((uint8_t *)&decoder->frame + decoder->size, bytes, n);
    decoder->size = (uint16_t)(decoder->size + n);
}

/* A 00 has arrived: checks the bytes before it, counts them, starts over. */
static bool finish(tl_decoder *decoder) {
    const tl_decode_status status =
        decoder->size == SKIPPING ? TL_DECODE_OVERLONG : decode_in_place(&decoder->frame, decoder->size);
    decoder->size = 0;
    switch (status) {
        case TL_DECODE_OK:
            decoder->frames++;
            return true;
        case TL_DECODE_OVERLONG:
            decoder->overlong++;
            return false;
        case TL_DECODE_GARBLED:
            decoder->garbled++;
            return false;
        case TL_DECODE_CRC:
            decoder->crc_errors++;
            return false;
    }
    return false;
}

const tl_frame *tl_decoder_take(tl_decoder *decoder, const uint8_t **data, const uint8_t *end) {
    while (*data != end) {
        const uint8_t *begin = *data;
        const size_t left = (size_t)(end - begin);
        const uint8_t *zero = (const uint8_t *)memchr(begin, 0, left);
        const size_t n = zero != NULL ? (size_t)(zero - begin) : left;
        *data = begin + n + (zero != NULL);
        keep(decoder, begin, n);
        if (zero != NULL && decoder->size != 0 && finish(decoder)) return &decoder->frame;
    }
    return NULL;
}

bool tl_decoder_next(tl_decoder *decoder, const uint8_t **data, const uint8_t *end, tl_frame *out) {
    const tl_frame *frame = tl_decoder_take(decoder, data, end);
    if (frame != NULL) copy(out, frame);
    return frame != NULL;
}
