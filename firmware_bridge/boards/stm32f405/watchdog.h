/* The independent watchdog: once started, only a reset stops it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "firmware_bridge/boards/stm32f405/registers.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Starts it with about `ms` (1 to 32000) between feedings; its oscillator is accurate to a third only. False when the
 * hardware did not accept the values within a bounded wait; it then runs with its previous values, of which the
 * shortest is half a second. */
bool tl_watchdog_start(tl_iwdg_registers *iwdg, uint32_t ms);

void tl_watchdog_feed(tl_iwdg_registers *iwdg);

#ifdef __cplusplus
}
#endif
