/* The clock tree: 168 MHz from the crystal, or the 16 MHz of the internal oscillator after reset. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "firmware_bridge/boards/stm32f405/registers.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { TL_CRYSTAL_HZ = 8000000, TL_WAIT_MAX = 100000 /* maximum reads of a register while waiting for an event */ };

typedef struct {
    uint32_t core_hz; /* of the processor and SysTick */
    uint32_t apb2_hz; /* of USART1 */
    bool crystal;     /* false: the internal oscillator, 1 % */
    bool emulated;    /* no clock tree: an emulator, which has no unique id either */
} tl_clock;

/* Switches to the crystal. Every wait is bounded; after a timeout the clock is as after reset. */
tl_clock tl_clock_start(tl_rcc_registers *rcc, tl_flash_registers *flash);

#ifdef __cplusplus
}
#endif
