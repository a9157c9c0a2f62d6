/* boot_id: another number after each start, without a source of random numbers. */
#pragma once

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Lives in memory that a reset leaves alone; after power-on it holds anything. */
typedef struct {
    uint32_t mark, count, check;
} tl_boot_memory;

/* Counts this start (from 1 where the memory is not ours yet) and mixes the count with the chip's 96 bits (null: none).
 * Never 0. For one chip, two starts with counts less than 2^32 apart differ. */
uint32_t tl_next_boot_id(tl_boot_memory *memory, const volatile uint32_t *unique_id);

#ifdef __cplusplus
}
#endif
