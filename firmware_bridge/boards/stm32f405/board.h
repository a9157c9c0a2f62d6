/* What a program on this board stands on: clocks, pins, port, time, sleep, watchdog. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "firmware_bridge/boards/stm32f405/clock.h"
#include "firmware_bridge/boards/stm32f405/serial.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { TL_BOARD_BAUD = 1000000, TL_BOARD_WATCHDOG_MS = 500, TL_BOARD_TICK_HZ = 1000 };

typedef struct {
    tl_clock clock;
    uint32_t boot_id;
    bool watchdog; /* it took its values */
} tl_board;

extern tl_serial tl_board_serial;

/* Everything, once, in the order that the hardware wants. Interrupts are on afterwards. */
void tl_board_start(tl_board *board);

/* Microseconds since start; grows always. */
uint64_t tl_board_now_us(void);

/* A send function of the bridge: queues a frame, or drops it whole when the line is full. */
void tl_board_send(void *unused, const uint8_t *bytes, size_t n);

/* Sleeps until the next interrupt (a received byte, the next millisecond), unless bytes are already there. */
void tl_board_sleep(void);

/* To be called by a program that has made progress, and by no other code. */
void tl_board_feed(void);

#ifdef __cplusplus
}
#endif
