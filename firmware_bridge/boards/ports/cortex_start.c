/* Vector table and reset of a Cortex-M (ARMv6-M, ARMv7-M Architecture Reference Manuals, B1.5). Every device interrupt
 * has one handler, which asks the devices that its port uses. */
#include "firmware_bridge/boards/ports/cortex.h"

extern uint32_t tl_stack_top[], tl_data_in_flash[], tl_data_begin[], tl_data_end[], tl_bss_begin[], tl_bss_end[];

__attribute__((noreturn, used)) static void start(void) {
    /* Volatile: no call of memcpy or memset, whose memory is not ready. */
    const volatile uint32_t *from = tl_data_in_flash;
    for (volatile uint32_t *to = tl_data_begin; to < tl_data_end;) *to++ = *from++;
    for (volatile uint32_t *to = tl_bss_begin; to < tl_bss_end;) *to++ = 0;
    (void)main();
    for (;;) {
    }
}

/* Naked: a compiled function may save floating-point registers first, which faults while the unit is off. */
__attribute__((naked, noreturn)) void tl_reset(void) {
#if defined(__ARM_FP)
    __asm__ volatile(
        "ldr r0, =0xe000ed88\n" /* CPACR: full access to CP10 and CP11 */
        "ldr r1, [r0]\n"
        "orr r1, r1, #0xf00000\n"
        "str r1, [r0]\n"
        "dsb\n"
        "isb\n");
#endif
    __asm__ volatile("bl %c0" ::"i"(start));
}

/* A fault restarts the device: the new boot_id informs the host, and every output starts in its safe state. */
static void fault(void) {
    tl_cortex_restart();
    for (;;) {
    }
}

__attribute__((weak)) void tl_port_tick(void) { fault(); }

typedef void (*vector)(void);

#define TICK tl_port_tick
#define DEVICE tl_port_interrupt
#define DEVICES_8 DEVICE, DEVICE, DEVICE, DEVICE, DEVICE, DEVICE, DEVICE, DEVICE

__attribute__((section(".vectors"), used)) static const struct {
    uint32_t *stack;
    vector vector[15 + 64];
} vectors = {tl_stack_top, {tl_reset,  fault,     fault,     fault,     fault,     fault,     fault,    fault,
                            fault,     fault,     fault,     fault,     fault,     fault,     TICK,     DEVICES_8,
                            DEVICES_8, DEVICES_8, DEVICES_8, DEVICES_8, DEVICES_8, DEVICES_8, DEVICES_8}};
