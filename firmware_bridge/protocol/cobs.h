/* Consistent Overhead Byte Stuffing (Cheshire and Baker, 1999): encodes any bytes without 00, so that 00 can end a
 * frame.
 */
#pragma once

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

#ifdef __cplusplus
}
#endif
