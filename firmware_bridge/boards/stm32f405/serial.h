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

/* Owned by the caller. Of each ring one side writes `in`, the other `out`; both count up and wrap. */
typedef struct {
    tl_usart_registers *usart;
    volatile uint32_t rx_in, rx_out, tx_in, tx_out;
    volatile uint32_t overruns; /* bytes lost: the ring was full, or the hardware's one byte was not fetched in time */
    uint32_t dropped;           /* frames that did not fit the ring to send */
    uint8_t rx[TL_SERIAL_RX], tx[TL_SERIAL_TX];
} tl_serial;

/* 8N1. The peripheral's clock and pins are the board's business, and so is enabling the interrupt. */
void tl_serial_start(tl_serial *serial, tl_usart_registers *usart, uint32_t clock_hz, uint32_t baud);

/* The interrupt. Bounded: at most one ring of bytes a call. */
void tl_serial_interrupt(tl_serial *serial);

/* Takes up to n received bytes; returns how many. */
size_t tl_serial_read(tl_serial *serial, uint8_t *bytes, size_t n);

/* Queues all n bytes, or none and counts a frame dropped. Never waits. They leave by the interrupt, which the caller
 * sets off. */
void tl_serial_send(tl_serial *serial, const uint8_t *bytes, size_t n);

/* True when there is nothing to read. */
bool tl_serial_idle(const tl_serial *serial);

/* Room for bytes to send. */
size_t tl_serial_room(const tl_serial *serial);

#ifdef __cplusplus
}
#endif
