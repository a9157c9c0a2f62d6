/* A checkpoint in flash: two slots, written in turn. After a power cut at any moment the old checkpoint or the new one
 * is found, never a mixture: the slot that is written is not the newest one, and its last word is what makes it valid.
 *
 * A slot, in words of 32 bits, little-endian:
 *
 *     0 mark "TLS1"   1 kind   2 sequence   3 bytes of the data   4 CRC-32 of the data   5 CRC-32 of words 0 to 4
 *     6 the data
 *
 * The data are written first and read back, then words 0 to 5. Of two valid slots the one with the later sequence
 * counts, which wraps. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { TL_STORE_SLOTS = 2, TL_STORE_HEAD_BYTES = 24 };

/* What a board supplies. Offsets and bytes are multiples of 4. */
typedef struct {
    uint32_t slot_bytes;
    bool (*erase)(uint32_t slot);                                    /* every word of it reads 0xffffffff afterwards */
    bool (*program)(uint32_t slot, uint32_t offset, uint32_t value); /* a word that is erased */
    uint32_t (*read)(uint32_t slot, uint32_t offset);
} tl_flash_driver;

/* A part of the data, in the caller's memory. */
typedef struct {
    void *data;
    uint32_t bytes;
} tl_store_part;

/* Writes a checkpoint of n parts. False: it does not fit, or the flash did not take it; an older one is then still
 * valid. kind: what the data are; a checkpoint of another kind is not found, and is overwritten. */
bool tl_store_save(const tl_flash_driver *flash, uint32_t kind, const tl_store_part *parts, uint32_t n);

/* Reads the newest checkpoint into the parts. False, and they are unchanged, when there is none of this kind and
 * size. */
bool tl_store_load(const tl_flash_driver *flash, uint32_t kind, const tl_store_part *parts, uint32_t n);

/* The sequence of the newest checkpoint of this kind and size, counted from 1; 0: none. */
uint32_t tl_store_sequence(const tl_flash_driver *flash, uint32_t kind, uint32_t bytes);

#ifdef __cplusplus
}
#endif
