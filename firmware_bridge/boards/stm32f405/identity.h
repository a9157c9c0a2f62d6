/* boot_id: a different number after each start, without a random number generator. */
#pragma once

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* In memory that a reset does not clear; undefined after power-on. */
typedef struct {
    uint32_t mark, count, check;
} tl_boot_memory;

/* Counts this start (from 1 if the memory is uninitialised) and mixes the count with the chip's 96-bit id (null: none).
 * Never 0. For one chip, two starts with counts less than 2^32 apart differ. */
uint32_t tl_next_boot_id(tl_boot_memory *memory, const volatile uint32_t *unique_id);

#ifdef __cplusplus
}
#endif
