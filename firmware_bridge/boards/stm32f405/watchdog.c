#include "firmware_bridge/boards/stm32f405/watchdog.h"

enum { KEY_FEED = 0xAAAA, KEY_UNLOCK = 0x5555, KEY_START = 0xCCCC, BUSY = 3, WAIT_MAX = 100000 };

bool tl_watchdog_start(tl_iwdg_registers *iwdg, uint32_t ms) {
    /* 32 kHz / 4 * 2^pr: the finest prescaler whose 12 bits suffice. */
    uint32_t pr = 0;
    while (pr < 6 && ms * 8u >> pr > 4096u) pr++;
    uint32_t ticks = ms * 8u >> pr;
    if (ticks < 1) ticks = 1;
    if (ticks > 4096) ticks = 4096;
    iwdg->kr = KEY_START; /* first: the registers are written through the clock that this starts */
    iwdg->kr = KEY_UNLOCK;
    iwdg->pr = pr;
    iwdg->rlr = ticks - 1;
    bool taken = false;
    for (uint32_t i = 0; i < WAIT_MAX && !taken; i++) taken = (iwdg->sr & BUSY) == 0;
    iwdg->kr = KEY_FEED;
    return taken;
}

void tl_watchdog_feed(tl_iwdg_registers *iwdg) { iwdg->kr = KEY_FEED; }
