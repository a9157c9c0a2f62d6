#include "firmware_bridge/protocol/frame.h"

#include <string.h>

#include "firmware_bridge/protocol/bytes.h"
#include "firmware_bridge/protocol/cobs.h"
#include "firmware_bridge/protocol/crc32.h"

size_t rtu_frame_encode(const rtu_frame *frame, uint8_t out[RTU_WIRE_MAX]) {
    uint8_t raw[RTU_RAW_MAX];
    size_t n = RTU_HEADER_SIZE;
    if (frame->size > RTU_PAYLOAD_MAX) return 0;
    raw[0] = frame->type;
    raw[1] = frame->flags;
    rtu_put_u16(raw + 2, frame->seq);
    rtu_put_u32(raw + 4, frame->t_us);
    memcpy(raw + n, frame->payload, frame->size);
    n += frame->size;
    rtu_put_u32(raw + n, rtu_crc32(0, raw, n));
    n = rtu_cobs_encode(raw, n + RTU_CRC_SIZE, out);
    out[n++] = 0;
    return n;
}

rtu_decode_status rtu_frame_decode(const uint8_t *in, size_t n, rtu_frame *out) {
    uint8_t raw[RTU_COBS_SIZE_MAX];
    if (n > RTU_COBS_SIZE_MAX) return RTU_DECODE_OVERLONG;
    n = rtu_cobs_decode(in, n, raw);
    if (n == RTU_COBS_ERROR || n < RTU_RAW_MIN) return RTU_DECODE_GARBLED;
    n -= RTU_CRC_SIZE;
    if (rtu_crc32(0, raw, n) != rtu_get_u32(raw + n)) return RTU_DECODE_CRC;
    out->type = raw[0];
    out->flags = raw[1];
    out->seq = rtu_get_u16(raw + 2);
    out->t_us = rtu_get_u32(raw + 4);
    out->size = (uint8_t)(n - RTU_HEADER_SIZE);
    memcpy(out->payload, raw + RTU_HEADER_SIZE, out->size);
    return RTU_DECODE_OK;
}

enum { SKIPPING = RTU_COBS_SIZE_MAX + 1 };

void rtu_decoder_init(rtu_decoder *decoder) { memset(decoder, 0, sizeof *decoder); }

uint32_t rtu_decoder_errors(const rtu_decoder *decoder) {
    return decoder->crc_errors + decoder->garbled + decoder->overlong;
}

/* Keeps n bytes of a frame that is not complete yet; once they are too many, only the fact that they were. */
static void keep(rtu_decoder *decoder, const uint8_t *bytes, size_t n) {
    if (decoder->size == SKIPPING) return;
    if (n > (size_t)(RTU_COBS_SIZE_MAX - decoder->size)) {
        decoder->size = SKIPPING;
        return;
    }
    if (n != 0) memcpy(decoder->buffer + decoder->size, bytes, n);
    decoder->size = (uint16_t)(decoder->size + n);
}

/* A 00 has arrived: judges the bytes before it, counts them, begins afresh. */
static bool finish(rtu_decoder *decoder, const uint8_t *bytes, size_t n, rtu_frame *out) {
    const rtu_decode_status status = decoder->size == SKIPPING ? RTU_DECODE_OVERLONG : rtu_frame_decode(bytes, n, out);
    decoder->size = 0;
    switch (status) {
        case RTU_DECODE_OK:
            decoder->frames++;
            return true;
        case RTU_DECODE_OVERLONG:
            decoder->overlong++;
            return false;
        case RTU_DECODE_GARBLED:
            decoder->garbled++;
            return false;
        case RTU_DECODE_CRC:
            decoder->crc_errors++;
            return false;
    }
    return false;
}

bool rtu_decoder_next(rtu_decoder *decoder, const uint8_t **data, const uint8_t *end, rtu_frame *out) {
    while (*data != end) {
        const uint8_t *begin = *data;
        const size_t left = (size_t)(end - begin);
        const uint8_t *zero = (const uint8_t *)memchr(begin, 0, left);
        const size_t n = zero != NULL ? (size_t)(zero - begin) : left;
        const bool fresh = decoder->size == 0; /* a frame that arrived in one piece is decoded where it lies */
        *data = begin + n + (zero != NULL);
        if (!fresh || zero == NULL) keep(decoder, begin, n);
        if (zero == NULL || (fresh && n == 0)) continue;
        if (fresh ? finish(decoder, begin, n, out) : finish(decoder, decoder->buffer, decoder->size, out)) return true;
    }
    return false;
}
