/* The clock tree: 168 MHz from the crystal, or the 16 MHz that the chip wakes with. */
#ifndef RTU_STM32F405_CLOCK_H
#define RTU_STM32F405_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "firmware_bridge/boards/stm32f405/registers.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { RTU_CRYSTAL_HZ = 8000000, RTU_WAIT_MAX = 100000 /* readings of a register before its event is given up */ };

typedef struct {
    uint32_t core_hz; /* of the processor and SysTick */
    uint32_t apb2_hz; /* of USART1 */
    bool crystal;     /* false: the internal oscillator, 1 % */
    bool emulated;    /* there is no clock tree here: an emulator, which has no unique id either */
} rtu_clock;

/* Switches to the crystal. Every wait is bounded; what does not come within it leaves the clock as it was after reset. */
rtu_clock rtu_clock_start(rtu_rcc_registers *rcc, rtu_flash_registers *flash);

#ifdef __cplusplus
}
#endif

#endif
