/* A ring of bytes between an interrupt and the main loop, on one core: each side writes one index. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "firmware_bridge/protocol/sizes.h"

/* An AVR reads one byte in one instruction, and no more. One place is always empty. */
#ifdef __AVR__
typedef uint8_t tl_ring_index;
enum { TL_RING_BYTES = TL_SIZES(128, 256, 0) };
#else
typedef uint32_t tl_ring_index;
enum { TL_RING_BYTES = 2048 };
#endif

typedef struct {
    volatile tl_ring_index in, out;
    uint8_t bytes[TL_RING_BYTES];
} tl_ring;

static inline tl_ring_index tl_ring_next(tl_ring_index i) { return (tl_ring_index)((i + 1u) % TL_RING_BYTES); }

/* The compiler moves no access to a byte past the index that hands it over. */
static inline void tl_ring_in_order(void) { __asm__ volatile("" ::: "memory"); }

/* False when it is full; the byte is then lost. */
static inline bool tl_ring_put(tl_ring *ring, uint8_t byte) {
    const tl_ring_index in = ring->in, next = tl_ring_next(in);
    if (next == ring->out) return false;
    ring->bytes[in] = byte;
    tl_ring_in_order();
    ring->in = next;
    return true;
}

/* False when it is empty. */
static inline bool tl_ring_take(tl_ring *ring, uint8_t *byte) {
    const tl_ring_index out = ring->out;
    if (out == ring->in) return false;
    *byte = ring->bytes[out];
    tl_ring_in_order();
    ring->out = tl_ring_next(out);
    return true;
}

static inline bool tl_ring_empty(const tl_ring *ring) { return ring->in == ring->out; }

/* Places for bytes to put. */
static inline size_t tl_ring_room(const tl_ring *ring) {
    return (size_t)((unsigned)ring->out + TL_RING_BYTES - 1u - ring->in) % TL_RING_BYTES;
}
