/* Arm MPS2 with the AN500 image, Cortex-M7, 25 MHz: UART0, SysTick, watchdog. AN500 1.1, Cortex-M System Design Kit
 * TRM. */
#include "firmware_bridge/boards/ports/cortex.h"

enum {
    CLOCK_HZ = 25000000,
    BAUD = 1000000,
    RX_INTERRUPT = 0,
    TX_INTERRUPT = 1,
    TX_FULL = 1,
    RX_FULL = 2,
    ENABLE_ALL = 15 /* both directions and their interrupts */
};

static struct {
    tl_register data, state, ctrl, interrupt, divider;
} *const uart = (void *)0x40004000u;

static struct {
    tl_register load, value, ctrl, clear, raw, masked, reserved[762], lock;
} *const watchdog = (void *)0x40008000u;

static tl_systick_time now;

void tl_port_tick(void) { tl_systick_passed(&now); }

void tl_port_interrupt(void) {
    uart->interrupt = 3; /* clears both, before the data is drained */
    for (uint32_t i = 0; i < TL_RING_BYTES && (uart->state & RX_FULL) != 0; i++)
        (void)tl_ring_put(&tl_port_rx, (uint8_t)uart->data);
    for (uint32_t i = 0; i < TL_RING_BYTES && (uart->state & TX_FULL) == 0; i++) {
        uint8_t byte;
        if (!tl_ring_take(&tl_port_tx, &byte)) break;
        uart->data = byte;
    }
}

void tl_port_start(void) {
    watchdog->lock = 0x1ACCE551u;
    watchdog->load = CLOCK_HZ / 2; /* NMI, which is a fault, after half a second; a reset after a second */
    watchdog->ctrl = 3;
    tl_systick_start(&now, CLOCK_HZ);
    uart->divider = CLOCK_HZ / BAUD;
    uart->ctrl = ENABLE_ALL;
    tl_cortex_enable(RX_INTERRUPT);
    tl_cortex_enable(TX_INTERRUPT);
    tl_cortex_unmask();
}

uint64_t tl_port_now_us(void) { return tl_systick_now_us(&now); }

void tl_port_wait(void) { tl_cortex_wait(); }

void tl_port_feed(void) { watchdog->clear = 1; }

void tl_port_restart(void) { tl_cortex_restart(); }

const volatile uint32_t *tl_port_chip(void) { return 0; }

void tl_port_transmit(void) { tl_cortex_pend(TX_INTERRUPT); }
