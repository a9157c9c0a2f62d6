#include "firmware_bridge/protocol/frame.h"

#include <string.h>

#include "firmware_bridge/protocol/bytes.h"
#include "firmware_bridge/protocol/cobs.h"
#include "firmware_bridge/protocol/crc32.h"

size_t tl_frame_encode(const tl_frame *frame, uint8_t out[TL_WIRE_MAX]) {
    uint8_t raw[TL_RAW_MAX];
    size_t n = TL_HEADER_SIZE;
    if (frame->size > TL_PAYLOAD_MAX) return 0;
    raw[0] = frame->type;
    raw[1] = frame->flags;
    tl_put_u16(raw + 2, frame->seq);
    tl_put_u32(raw + 4, frame->t_us);
    memcpy(raw + n, frame->payload, frame->size);
    n += frame->size;
    tl_put_u32(raw + n, tl_crc32(0, raw, n));
    n = tl_cobs_encode(raw, n + TL_CRC_SIZE, out);
    out[n++] = 0;
    return n;
}

tl_decode_status tl_frame_decode(const uint8_t *in, size_t n, tl_frame *out) {
    uint8_t raw[TL_COBS_SIZE_MAX];
    if (n > TL_COBS_SIZE_MAX) return TL_DECODE_OVERLONG;
    n = tl_cobs_decode(in, n, raw);
    if (n == TL_COBS_ERROR || n < TL_RAW_MIN) return TL_DECODE_GARBLED;
    n -= TL_CRC_SIZE;
    if (tl_crc32(0, raw, n) != tl_get_u32(raw + n)) return TL_DECODE_CRC;
    out->type = raw[0];
    out->flags = raw[1];
    out->seq = tl_get_u16(raw + 2);
    out->t_us = tl_get_u32(raw + 4);
    out->size = (uint8_t)(n - TL_HEADER_SIZE);
    memcpy(out->payload, raw + TL_HEADER_SIZE, out->size);
    return TL_DECODE_OK;
}

enum { SKIPPING = TL_COBS_SIZE_MAX + 1 };

void tl_decoder_init(tl_decoder *decoder) { memset(decoder, 0, sizeof *decoder); }

uint32_t tl_decoder_errors(const tl_decoder *decoder) {
    return decoder->crc_errors + decoder->garbled + decoder->overlong;
}

/* Stores n bytes of an incomplete frame; if they are too many, marks the frame as overlong. */
static void keep(tl_decoder *decoder, const uint8_t *bytes, size_t n) {
    if (decoder->size == SKIPPING) return;
    if (n > (size_t)(TL_COBS_SIZE_MAX - decoder->size)) {
        decoder->size = SKIPPING;
        return;
    }
    if (n != 0) memcpy(decoder->buffer + decoder->size, bytes, n);
    decoder->size = (uint16_t)(decoder->size + n);
}

/* A 00 has arrived: checks the bytes before it, counts them, starts over. */
static bool finish(tl_decoder *decoder, const uint8_t *bytes, size_t n, tl_frame *out) {
    const tl_decode_status status = decoder->size == SKIPPING ? TL_DECODE_OVERLONG : tl_frame_decode(bytes, n, out);
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

bool tl_decoder_next(tl_decoder *decoder, const uint8_t **data, const uint8_t *end, tl_frame *out) {
    while (*data != end) {
        const uint8_t *begin = *data;
        const size_t left = (size_t)(end - begin);
        const uint8_t *zero = (const uint8_t *)memchr(begin, 0, left);
        const size_t n = zero != NULL ? (size_t)(zero - begin) : left;
        const bool fresh = decoder->size == 0; /* a frame that arrived in one piece is decoded in place */
        *data = begin + n + (zero != NULL);
        if (!fresh || zero == NULL) keep(decoder, begin, n);
        if (zero == NULL || (fresh && n == 0)) continue;
        if (fresh ? finish(decoder, begin, n, out) : finish(decoder, decoder->buffer, decoder->size, out)) return true;
    }
    return false;
}
