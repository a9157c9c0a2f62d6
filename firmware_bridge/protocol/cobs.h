/* Consistent Overhead Byte Stuffing (Cheshire and Baker, 1999): encodes any bytes without 00, so that 00 can end a
 * frame.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Largest encoding of n bytes: one more byte per started block of 254, at least one. */
#define TL_COBS_MAX(n) ((n) + ((n) + 253u) / 254u + ((n) == 0u ? 1u : 0u))

/* Encodes n bytes of in to out, which has room for TL_COBS_MAX(n); the delimiter 00 is not written.
 * in and out must not overlap. No errors.
 * Returns the number of bytes written, at least 1; none of them is 00. */
size_t tl_cobs_encode(const uint8_t *in, size_t n, uint8_t *out);

/* Decodes n bytes of in, without the delimiter, to out, which has room for n; in == out is allowed (decoding in place).
 * Returns the number of bytes written, at most n - 1 (0 for the encoding of nothing), or
 * TL_COBS_ERROR when in is not an encoding: n is 0, a 00 inside, or the last block is cut short.
 * After an error the first n bytes of out are unspecified, and bytes beyond them are unchanged. */
size_t tl_cobs_decode(const uint8_t *in, size_t n, uint8_t *out);

#define TL_COBS_ERROR ((size_t)-1)

enum { TL_COBS_IN_PLACE_MAX = 253 /* one block: no code is FF */ };

/* Both in place, for n <= TL_COBS_IN_PLACE_MAX bytes: they stay in buffer[1] to buffer[n]; buffer[0] becomes the first
 * code. The result is that of tl_cobs_encode(): n + 1 bytes from buffer[0] on, which is also what is returned. */
size_t tl_cobs_encode_in_place(uint8_t *buffer, size_t n);

/* n bytes of an encoding, code first: what it encodes is then in buffer[1] to buffer[n - 1]. False where
 * tl_cobs_decode() has an error, if buffer has at most TL_COBS_IN_PLACE_MAX + 1 bytes and none of them is 00, and
 * also where the encoding has a block of 254 bytes without a zero; the n bytes are then unspecified. */
bool tl_cobs_decode_in_place(uint8_t *buffer, size_t n);

#ifdef __cplusplus
}
#endif
