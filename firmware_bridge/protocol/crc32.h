/* CRC-32/ISO-HDLC, the one of zlib, PNG and Ethernet: poly 0x04C11DB7 reflected, init and final xor 0xFFFFFFFF.
 * Check value of "123456789": 0xCBF43926. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* CRC of n more bytes after those that gave crc; the first call starts with 0 (zlib's convention).
 * tl_crc32(tl_crc32(0, a, na), b, nb) is the CRC of a followed by b. data may be NULL when n is 0. No errors. */
uint32_t tl_crc32(uint32_t crc, const void *data, size_t n);

#ifdef __cplusplus
}
#endif
