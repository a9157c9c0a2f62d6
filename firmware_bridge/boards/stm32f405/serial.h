/* USART1 with interrupts: bytes received wait in one ring, bytes to send in another. */
#ifndef RTU_STM32F405_SERIAL_H
#define RTU_STM32F405_SERIAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "firmware_bridge/boards/stm32f405/registers.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { RTU_SERIAL_RX = 1024, RTU_SERIAL_TX = 2048 /* powers of two */ };

/* Owned by the caller. Of each ring one side writes `in`, the other `out`; both count up and wrap. */
typedef struct {
    rtu_usart_registers *usart;
    volatile uint32_t rx_in, rx_out, tx_in, tx_out;
    volatile uint32_t overruns; /* bytes lost: the ring was full, or the hardware's one byte was not fetched in time */
    uint32_t dropped;           /* frames that did not fit the ring to send */
    uint8_t rx[RTU_SERIAL_RX], tx[RTU_SERIAL_TX];
} rtu_serial;

/* 8N1. The peripheral's clock and pins are the board's business, and so is enabling the interrupt. */
void rtu_serial_start(rtu_serial *serial, rtu_usart_registers *usart, uint32_t clock_hz, uint32_t baud);

/* The interrupt. Bounded: at most one ring of bytes a call. */
void rtu_serial_interrupt(rtu_serial *serial);

/* Takes up to n received bytes; returns how many. */
size_t rtu_serial_read(rtu_serial *serial, uint8_t *bytes, size_t n);

/* Queues all n bytes, or none and counts a frame dropped. Never waits. They leave by the interrupt, which the caller sets off. */
void rtu_serial_send(rtu_serial *serial, const uint8_t *bytes, size_t n);

/* True when there is nothing to read. */
bool rtu_serial_idle(const rtu_serial *serial);

/* Room for bytes to send. */
size_t rtu_serial_room(const rtu_serial *serial);

#ifdef __cplusplus
}
#endif

#endif
