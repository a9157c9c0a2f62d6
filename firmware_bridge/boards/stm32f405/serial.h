/* USART1 with interrupts: bytes received wait in one ring, bytes to send in another. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "firmware_bridge/boards/stm32f405/registers.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { TL_SERIAL_RX = 1024, TL_SERIAL_TX = 2048 /* powers of two */ };

/* Owned by the caller. In each ring one side writes `in`, the other `out`; both count up and wrap. */
typedef struct {
    tl_usart_registers *usart;
    volatile uint32_t rx_in, rx_out, tx_in, tx_out;
    volatile uint32_t
        overruns;     /* bytes lost: the ring was full, or the hardware's one-byte buffer was not read in time */
    uint32_t dropped; /* frames that did not fit in the send ring */
    uint8_t rx[TL_SERIAL_RX], tx[TL_SERIAL_TX];
} tl_serial;

/* 8N1. The board sets up the peripheral's clock and pins and enables the interrupt. */
void tl_serial_start(tl_serial *serial, tl_usart_registers *usart, uint32_t clock_hz, uint32_t baud);

/* The interrupt handler. Bounded: at most one ring of bytes per call. */
void tl_serial_interrupt(tl_serial *serial);

/* Reads up to n received bytes; returns the number. */
size_t tl_serial_read(tl_serial *serial, uint8_t *bytes, size_t n);

/* Queues all n bytes, or none and counts a frame dropped. Never waits. The interrupt sends them; the caller triggers
 * it. */
void tl_serial_send(tl_serial *serial, const uint8_t *bytes, size_t n);

/* True when there is nothing to read. */
bool tl_serial_idle(const tl_serial *serial);

/* Free space for bytes to send. */
size_t tl_serial_room(const tl_serial *serial);

#ifdef __cplusplus
}
#endif
