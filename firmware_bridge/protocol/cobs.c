#include "firmware_bridge/protocol/cobs.h"

size_t tl_cobs_encode(const uint8_t *in, size_t n, uint8_t *out) {
    size_t code_at = 0; /* where the length of the open block goes */
    size_t size = 1;
    uint8_t code = 1; /* 1 + data bytes in the open block */
    for (size_t i = 0; i < n; i++) {
        if (in[i] != 0) {
            out[size++] = in[i];
            code++;
        }
        /* A block ends at a zero, which it represents, or at 254 bytes; after a full block the next one starts only if
         * more data follows. */
        if (in[i] == 0 || (code == 0xFF && i + 1 < n)) {
            out[code_at] = code;
            code_at = size++;
            code = 1;
        }
    }
    out[code_at] = code;
    return size;
}

size_t tl_cobs_decode(const uint8_t *in, size_t n, uint8_t *out) {
    size_t at = 0, size = 0;
    if (n == 0) return TL_COBS_ERROR;
    while (at < n) {
        const uint8_t code = in[at++];
        if (code == 0 || (size_t)(code - 1) > n - at) return TL_COBS_ERROR;
        for (uint8_t i = 1; i < code; i++) {
            const uint8_t byte = in[at++];
            if (byte == 0) return TL_COBS_ERROR;
            out[size++] = byte;
        }
        if (code != 0xFF && at < n) out[size++] = 0;
    }
    return size;
}

size_t tl_cobs_encode_in_place(uint8_t *buffer, size_t n) {
    size_t code_at = 0;
    for (size_t i = 1; i <= n; i++) {
        if (buffer[i] != 0) continue;
        buffer[code_at] = (uint8_t)(i - code_at);
        code_at = i;
    }
    buffer[code_at] = (uint8_t)(n + 1 - code_at);
    return n + 1;
}

bool tl_cobs_decode_in_place(uint8_t *buffer, size_t n) {
    size_t at = 0;
    if (n == 0) return false;
    while (at < n) {
        const uint8_t code = buffer[at];
        if (code == 0 || code == 0xFF || code > n - at) return false;
        for (size_t i = at + 1; i < at + code; i++)
            if (buffer[i] == 0) return false;
        buffer[at] = 0;
        at += code;
    }
    return true;
}
