/* Board support: clocks, pins, serial port, time, sleep, watchdog. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "firmware_bridge/boards/stm32f405/clock.h"
#include "firmware_bridge/boards/stm32f405/serial.h"
#include "firmware_bridge/boards/store/store.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { TL_BOARD_BAUD = 1000000, TL_BOARD_WATCHDOG_MS = 500, TL_BOARD_TICK_HZ = 1000 };

typedef struct {
    tl_clock clock;
    uint32_t boot_id;
    bool watchdog; /* it accepted its values */
} tl_board;

extern tl_serial tl_board_serial;

/* Initialises everything, once, in the order that the hardware requires. Interrupts are enabled afterwards. */
void tl_board_start(tl_board *board);

/* Microseconds since start; monotonic. */
uint64_t tl_board_now_us(void);

/* A send function of the bridge: queues a frame, or drops all of it when the line is full. */
void tl_board_send(void *unused, const uint8_t *bytes, size_t n);

/* Reads up to n received bytes; returns the number. */
size_t tl_board_read(uint8_t *bytes, size_t n);

/* Free space of the line for bytes to send. */
size_t tl_board_room(void);

/* The slots of a checkpoint. Writing them stops the processor for up to 4 s: only while the actuators rest. */
extern const tl_flash_driver tl_board_flash;

/* Sleeps until the next interrupt (a received byte, the next millisecond), unless bytes are already there. */
void tl_board_sleep(void);

/* Feeds the watchdog; call it only from the main loop, after progress. */
void tl_board_feed(void);

#ifdef __cplusplus
}
#endif
