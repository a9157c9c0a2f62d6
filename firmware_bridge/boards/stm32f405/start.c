/* Vector table and reset of an STM32F405 (RM0090, 12.2). */
#include "firmware_bridge/boards/stm32f405/start.h"

#include <stdint.h>

#include "firmware_bridge/boards/stm32f405/registers.h"

extern uint32_t rtu_stack_top[], rtu_data_in_flash[], rtu_data_begin[], rtu_data_end[], rtu_bss_begin[], rtu_bss_end[];

void rtu_reset(void);
void rtu_start(void);

/* Naked: a compiled function may save floating-point registers before its first statement, and that faults while the unit is
 * switched off. */
__attribute__((naked, noreturn)) void rtu_reset(void) {
    __asm__ volatile(
        "movw r0, #0xed88\n" /* CPACR: full access to CP10 and CP11 */
        "movt r0, #0xe000\n"
        "ldr r1, [r0]\n"
        "orr r1, r1, #0xf00000\n"
        "str r1, [r0]\n"
        "dsb\n"
        "isb\n"
        "b rtu_start\n");
}

__attribute__((noreturn)) void rtu_start(void) {
    /* Volatile: these loops stay loops, and call nothing that needs memory to be ready. */
    const volatile uint32_t *from = rtu_data_in_flash;
    for (volatile uint32_t *to = rtu_data_begin; to < rtu_data_end;) *to++ = *from++;
    for (volatile uint32_t *to = rtu_bss_begin; to < rtu_bss_end;) *to++ = 0;
    rtu_board_main();
    rtu_board_restart();
}

void rtu_board_restart(void) {
    __asm__ volatile("dsb" ::: "memory");
    RTU_SCB->aircr = RTU_AIRCR_KEY | RTU_AIRCR_SYSRESETREQ;
    __asm__ volatile("dsb" ::: "memory");
    for (;;) { /* the reset takes a few cycles to come; if it never does, the watchdog has the last word */
    }
}

/* A fault is a restart: the new boot_id tells the host, and every output wakes in its safe state. */
__attribute__((weak)) void rtu_on_fault(void) { rtu_board_restart(); }
__attribute__((weak)) void rtu_on_systick(void) { rtu_on_fault(); }
__attribute__((weak)) void rtu_on_usart1(void) { rtu_on_fault(); }

enum { RTU_VECTORS = 16 + 82 };

typedef void (*rtu_vector)(void);

#define FAULT rtu_on_fault
#define FAULTS_10 FAULT, FAULT, FAULT, FAULT, FAULT, FAULT, FAULT, FAULT, FAULT, FAULT

__attribute__((section(".vectors"), used)) static const struct {
    uint32_t *stack;
    rtu_vector vector[RTU_VECTORS - 1];
} vectors = {
    rtu_stack_top, {rtu_reset,     FAULT,     FAULT,     FAULT,     FAULT, FAULT, FAULT,          FAULT,
                    FAULT,         FAULT,     FAULT,     FAULT,     FAULT, FAULT, rtu_on_systick, /* 15 */
                    FAULTS_10,     FAULTS_10, FAULTS_10, FAULT,     FAULT, FAULT, FAULT,          FAULT,
                    FAULT,         FAULT, /* interrupts 0 to 36 */
                    rtu_on_usart1,        /* 37 */
                    FAULTS_10,     FAULTS_10, FAULTS_10, FAULTS_10, FAULT, FAULT, FAULT,          FAULT}, /* 38 to 81 */
};
