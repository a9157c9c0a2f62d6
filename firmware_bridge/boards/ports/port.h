/* What a port of the firmware to another microcontroller supplies: line, clock, watchdog; main.c has the rest, with the
 * outputs in tl_board_driver. A port is one file, chosen when the image is built (rtu_edge/device/boards.py). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "firmware_bridge/boards/ports/ring.h"

/* Initialises line, clock and watchdog, once; interrupts are on afterwards. */
void tl_port_start(void);

/* Microseconds since start; monotonic. */
uint64_t tl_port_now_us(void);

/* Waits for an interrupt (a received byte, the next millisecond at the latest), unless a byte is already there; may
 * return at once. */
void tl_port_wait(void);

/* Feeds the watchdog, which restarts the device after half a second without; called after the bridge has run. */
void tl_port_feed(void);

/* Restarts the device; memory keeps its contents. Returns only if it fails; then the watchdog restarts it. */
void tl_port_restart(void);

/* Number of this very chip, 3 words; NULL: it has none. */
const volatile uint32_t *tl_port_chip(void);

/* The rings between the interrupts of the port and main.c. tl_port_transmit(): bytes to send are waiting. */
extern tl_ring tl_port_rx, tl_port_tx;
void tl_port_transmit(void);

/* The program; a start file calls it once, with memory ready and interrupts off. */
int main(void);
