/* The registers that this board uses, as structures at addresses: RM0090 (STM32F405), PM0214 (Cortex-M4).
 * Tests hand the drivers a structure of their own in place of the address. */
#ifndef RTU_STM32F405_REGISTERS_H
#define RTU_STM32F405_REGISTERS_H

#include <stdint.h>

typedef volatile uint32_t rtu_register;

/* ---- core (PM0214, 4) ---- */
typedef struct {
    rtu_register cpuid, icsr, vtor, aircr, scr, ccr;
} rtu_scb_registers;
#define RTU_SCB ((rtu_scb_registers *)0xE000ED00u)
#define RTU_AIRCR_KEY 0x05FA0000u
#define RTU_AIRCR_SYSRESETREQ 4u

typedef struct {
    rtu_register ctrl, load, val, calib;
} rtu_systick_registers;
#define RTU_SYSTICK ((rtu_systick_registers *)0xE000E010u)
#define RTU_SYSTICK_ENABLE 1u
#define RTU_SYSTICK_INTERRUPT 2u
#define RTU_SYSTICK_CORE_CLOCK 4u

#define RTU_NVIC_ENABLE ((rtu_register *)0xE000E100u) /* 32 interrupts a word */

#endif
