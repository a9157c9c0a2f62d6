/* Numbers as little-endian bytes, by shifts: the same on every processor and at every alignment. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

static inline void tl_put_u16(uint8_t *p, uint16_t v) {
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}

static inline void tl_put_u32(uint8_t *p, uint32_t v) {
    tl_put_u16(p, (uint16_t)v);
    tl_put_u16(p + 2, (uint16_t)(v >> 16));
}

static inline void tl_put_u64(uint8_t *p, uint64_t v) {
    tl_put_u32(p, (uint32_t)v);
    tl_put_u32(p + 4, (uint32_t)(v >> 32));
}

static inline uint16_t tl_get_u16(const uint8_t *p) { return (uint16_t)(p[0] | (unsigned)p[1] << 8); }

static inline uint32_t tl_get_u32(const uint8_t *p) {
    return (uint32_t)tl_get_u16(p) | (uint32_t)tl_get_u16(p + 2) << 16;
}

static inline uint64_t tl_get_u64(const uint8_t *p) {
    return (uint64_t)tl_get_u32(p) | (uint64_t)tl_get_u32(p + 4) << 32;
}

/* The bits of a binary32 and back. A NaN keeps its payload. */
static inline uint32_t tl_f32_bits(float v) {
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    return bits;
}

static inline float tl_f32_from_bits(uint32_t bits) {
    float v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

static inline void tl_put_f32(uint8_t *p, float v) { tl_put_u32(p, tl_f32_bits(v)); }

static inline float tl_get_f32(const uint8_t *p) { return tl_f32_from_bits(tl_get_u32(p)); }

/* Tests the exponent bits, so that -ffast-math cannot optimise the check away. */
static inline bool tl_f32_finite(float v) { return (tl_f32_bits(v) & 0x7F800000u) != 0x7F800000u; }
