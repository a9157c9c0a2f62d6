/* Vector table and reset of an STM32F405 (RM0090, 12.2). */
#include "firmware_bridge/boards/stm32f405/start.h"

#include <stdint.h>

#include "firmware_bridge/boards/stm32f405/registers.h"

extern uint32_t tl_stack_top[], tl_data_in_flash[], tl_data_begin[], tl_data_end[], tl_bss_begin[], tl_bss_end[];

void tl_reset(void);
void tl_start(void);

/* Naked: a compiled function may save floating-point registers before its first statement, and that faults while the
 * unit is switched off. */
__attribute__((naked, noreturn)) void tl_reset(void) {
    __asm__ volatile(
        "movw r0, #0xed88\n" /* CPACR: full access to CP10 and CP11 */
        "movt r0, #0xe000\n"
        "ldr r1, [r0]\n"
        "orr r1, r1, #0xf00000\n"
        "str r1, [r0]\n"
        "dsb\n"
        "isb\n"
        "b tl_start\n");
}

__attribute__((noreturn)) void tl_start(void) {
    /* Volatile: keeps the compiler from replacing these loops by calls that need initialised memory. */
    const volatile uint32_t *from = tl_data_in_flash;
    for (volatile uint32_t *to = tl_data_begin; to < tl_data_end;) *to++ = *from++;
    for (volatile uint32_t *to = tl_bss_begin; to < tl_bss_end;) *to++ = 0;
    tl_board_main();
    tl_board_restart();
}

void tl_board_restart(void) {
    __asm__ volatile("dsb" ::: "memory");
    TL_SCB->aircr = TL_AIRCR_KEY | TL_AIRCR_SYSRESETREQ;
    __asm__ volatile("dsb" ::: "memory");
    for (;;) { /* the reset takes a few cycles; if it fails, the watchdog resets */
    }
}

/* A fault restarts the device: the new boot_id informs the host, and every output starts in its safe state. */
__attribute__((weak)) void tl_on_fault(void) { tl_board_restart(); }
__attribute__((weak)) void tl_on_systick(void) { tl_on_fault(); }
__attribute__((weak)) void tl_on_usart1(void) { tl_on_fault(); }

enum { TL_VECTORS = 16 + 82 };

typedef void (*tl_vector)(void);

#define FAULT tl_on_fault
#define FAULTS_10 FAULT, FAULT, FAULT, FAULT, FAULT, FAULT, FAULT, FAULT, FAULT, FAULT

__attribute__((section(".vectors"), used)) static const struct {
    uint32_t *stack;
    tl_vector vector[TL_VECTORS - 1];
} vectors = {
    tl_stack_top,
    {tl_reset,     FAULT,     FAULT,     FAULT,         FAULT, FAULT, FAULT, FAULT, FAULT, FAULT, FAULT,
     FAULT,        FAULT,     FAULT,     tl_on_systick,                                           /* 15 */
     FAULTS_10,    FAULTS_10, FAULTS_10, FAULT,         FAULT, FAULT, FAULT, FAULT, FAULT, FAULT, /* interrupts to 36 */
     tl_on_usart1,                                                                                /* 37 */
     FAULTS_10,    FAULTS_10, FAULTS_10, FAULTS_10,     FAULT, FAULT, FAULT, FAULT}};             /* 38 to 81 */
