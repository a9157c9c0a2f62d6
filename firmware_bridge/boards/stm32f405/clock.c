#include "firmware_bridge/boards/stm32f405/clock.h"

static bool becomes(const tl_register *at, uint32_t mask, uint32_t value) {
    for (uint32_t i = 0; i < TL_WAIT_MAX; i++)
        if ((*at & mask) == value) return true;
    return false;
}

tl_clock tl_clock_start(tl_rcc_registers *rcc, tl_flash_registers *flash) {
    const tl_clock internal = {16000000u, 16000000u, false, false}, crystal = {168000000u, 84000000u, true, false},
                   emulated = {168000000u, 84000000u, false, true};
    /* After reset the internal oscillator runs and reports ready. If it does not, these registers are not emulated:
     * QEMU, whose processor and SysTick run at 168 MHz from the start. */
    if ((rcc->cr & (TL_RCC_HSION | TL_RCC_HSIRDY)) == 0) return emulated;

    rcc->cr |= TL_RCC_HSEON;
    if (!becomes(&rcc->cr, TL_RCC_HSERDY, TL_RCC_HSERDY)) return internal;
    /* 8 MHz / M 8 * N 336 / P 2 = 168 MHz; Q 7 for USB. */
    rcc->pllcfgr = 8u | 336u << 6 | 0u << 16 | 1u << 22 | 7u << 24;
    rcc->cr |= TL_RCC_PLLON;
    if (!becomes(&rcc->cr, TL_RCC_PLLRDY, TL_RCC_PLLRDY)) return internal;
    /* Five wait states at 168 MHz and 3.3 V; caches and prefetch on. In force before the switch. */
    const uint32_t waits = 5u | 1u << 8 | 1u << 9 | 1u << 10;
    flash->acr = waits;
    if (!becomes(&flash->acr, 7u, 5u)) return internal;
    rcc->cfgr = 5u << 10 | 4u << 13; /* APB1 = core / 4, APB2 = core / 2; still on the internal oscillator */
    rcc->cfgr |= 2u;
    if (becomes(&rcc->cfgr, 3u << 2, 2u << 2)) return crystal;
    rcc->cfgr = 0; /* back: all buses at 16 MHz */
    return internal;
}
