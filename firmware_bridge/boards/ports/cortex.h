/* What the Cortex-M ports share: interrupts, restart, and time from SysTick where the core has one. */
#pragma once

#include "firmware_bridge/boards/ports/port.h"
#include "firmware_bridge/boards/stm32f405/registers.h" /* of the core */

static inline void tl_cortex_mask(void) { __asm__ volatile("cpsid i" ::: "memory"); }
static inline void tl_cortex_unmask(void) { __asm__ volatile("cpsie i" ::: "memory"); }

static inline void tl_cortex_enable(unsigned interrupt) { TL_NVIC_ENABLE[interrupt / 32] = 1u << interrupt % 32; }
static inline void tl_cortex_pend(unsigned interrupt) { TL_NVIC_PEND[interrupt / 32] = 1u << interrupt % 32; }

/* With interrupts masked nothing can arrive between the check and the sleep; WFI also wakes for a masked interrupt. */
static inline void tl_cortex_wait(void) {
    tl_cortex_mask();
    if (tl_ring_empty(&tl_port_rx)) __asm__ volatile("dsb\n\twfi" ::: "memory");
    tl_cortex_unmask();
}

static inline void tl_cortex_restart(void) {
    __asm__ volatile("dsb" ::: "memory");
    TL_SCB->aircr = TL_AIRCR_KEY | TL_AIRCR_SYSRESETREQ;
    __asm__ volatile("dsb" ::: "memory");
}

/* In the vector table of cortex_start.c; a port defines those that it enables. */
void tl_port_tick(void);      /* SysTick */
void tl_port_interrupt(void); /* of any device */
void tl_reset(void);

/* ---- time from SysTick, which interrupts once a millisecond */

typedef struct {
    volatile uint32_t low, high; /* milliseconds; written by the interrupt alone */
    uint32_t mhz;
} tl_systick_time;

static inline void tl_systick_start(tl_systick_time *time, uint32_t hz) {
    time->mhz = hz / 1000000u;
    TL_SYSTICK->load = hz / 1000u - 1u;
    TL_SYSTICK->val = 0;
    TL_SYSTICK->ctrl = TL_SYSTICK_ENABLE | TL_SYSTICK_INTERRUPT | TL_SYSTICK_CORE_CLOCK;
}

static inline void tl_systick_passed(tl_systick_time *time) {
    if (++time->low == 0) time->high++;
}

static inline uint64_t tl_systick_now_us(const tl_systick_time *time) {
    tl_cortex_mask();
    uint64_t ms = (uint64_t)time->high << 32 | time->low;
    uint32_t left = TL_SYSTICK->val;
    if ((TL_SCB->icsr & TL_SCB_ICSR_PENDSTSET) != 0) { /* a tick that the interrupt has not yet counted */
        ms++;
        left = TL_SYSTICK->val;
    }
    tl_cortex_unmask();
    return ms * 1000u + (TL_SYSTICK->load - left) / time->mhz;
}
