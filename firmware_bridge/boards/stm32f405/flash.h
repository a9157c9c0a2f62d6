/* Flash of the STM32F405 (RM0090, 3.6): sectors 10 and 11, 128 KB each, are the slots of a checkpoint.
 *
 * The processor executes from the same flash and stops while a sector is erased, 2 s at most, and 16 us for each word:
 * for a board at rest only. */
#pragma once

#include "firmware_bridge/boards/store/store.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { TL_FLASH_SLOT_BYTES = 128 * 1024, TL_FLASH_ERASE_MS = 2000 };

bool tl_flash_erase(uint32_t slot);
bool tl_flash_program(uint32_t slot, uint32_t offset, uint32_t value);
uint32_t tl_flash_read(uint32_t slot, uint32_t offset);

#ifdef __cplusplus
}
#endif
