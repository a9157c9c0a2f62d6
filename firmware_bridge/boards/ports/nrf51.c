/* nRF51822 (micro:bit v1), Cortex-M0, 16 MHz: UART to the interface chip's USB, 115 200 baud 8N1; TIMER0; watchdog.
 * nRF51 Series Reference Manual 3.0. */
#include "firmware_bridge/boards/ports/cortex.h"

#define AT(address) (*(tl_register *)(address))

/* CLOCK (13) */
#define HFCLK_START AT(0x40000000u)
#define HFCLK_STARTED AT(0x40000100u)

/* UART (29) */
#define UART_START_RX AT(0x40002000u)
#define UART_START_TX AT(0x40002008u)
#define UART_RX_READY AT(0x40002108u)
#define UART_TX_READY AT(0x4000211Cu)
#define UART_INT_SET AT(0x40002304u)
#define UART_ENABLE AT(0x40002500u)
#define UART_PIN_TX AT(0x4000250Cu)
#define UART_PIN_RX AT(0x40002514u)
#define UART_RXD AT(0x40002518u)
#define UART_TXD AT(0x4000251Cu)
#define UART_BAUD AT(0x40002524u)

/* TIMER0 (18): 32 bits, counting microseconds */
#define TIMER_START AT(0x40008000u)
#define TIMER_CAPTURE_0 AT(0x40008040u)
#define TIMER_CAPTURE_2 AT(0x40008048u)
#define TIMER_COMPARE_1 AT(0x40008144u)
#define TIMER_INT_SET AT(0x40008304u)
#define TIMER_BITS AT(0x40008508u)
#define TIMER_PRESCALER AT(0x40008510u)
#define TIMER_CC_0 AT(0x40008540u)
#define TIMER_CC_1 AT(0x40008544u)
#define TIMER_CC_2 AT(0x40008548u)

/* WDT (20) */
#define WDT_START AT(0x40010000u)
#define WDT_TICKS AT(0x40010504u)
#define WDT_RELOADS AT(0x40010508u)
#define WDT_RELOAD_0 AT(0x40010600u)

#define FICR_DEVICE ((const volatile uint32_t *)0x10000060u)

enum {
    UART_INTERRUPT = 2,
    TIMER_INTERRUPT = 8,
    PIN_TX = 24, /* P0.24 and P0.25 lead to the interface chip */
    PIN_RX = 25,
    PERIOD_US = 1000,
    WAIT_MAX = 100000
};

static volatile bool sending; /* a byte is in the transmitter */
static uint32_t now_low, now_high;

/* Interrupts are masked, or it is one. */
static void pump(void) {
    uint8_t byte = 0;
    if (sending) return;
    sending = tl_ring_take(&tl_port_tx, &byte);
    if (sending) UART_TXD = byte;
}

void tl_port_interrupt(void) {
    while (UART_RX_READY != 0) { /* the receiver holds six bytes, and reports each */
        UART_RX_READY = 0;
        (void)tl_ring_put(&tl_port_rx, (uint8_t)UART_RXD);
    }
    if (UART_TX_READY != 0) {
        UART_TX_READY = 0;
        sending = false;
        pump();
    }
    TIMER_COMPARE_1 = 0; /* it has woken the processor, and need do no more */
}

void tl_port_start(void) {
    WDT_TICKS = 32768u / 2u; /* half a second; the watchdog starts the slow oscillator by itself */
    WDT_RELOADS = 1;
    WDT_START = 1;
    HFCLK_START = 1; /* the crystal: the internal oscillator is too inaccurate for a line */
    for (uint32_t i = 0; i < WAIT_MAX && HFCLK_STARTED == 0; i++) tl_port_feed();
    TIMER_BITS = 3;      /* 32 */
    TIMER_PRESCALER = 4; /* 16 MHz / 2^4 */
    TIMER_CC_1 = PERIOD_US;
    TIMER_INT_SET = 1u << 17;
    TIMER_START = 1;
    UART_PIN_TX = PIN_TX;
    UART_PIN_RX = PIN_RX;
    UART_BAUD = 0x01D7E000u; /* 115 200 */
    UART_ENABLE = 4;
    UART_INT_SET = 1u << 2 | 1u << 7;
    UART_START_RX = 1;
    UART_START_TX = 1;
    tl_cortex_enable(UART_INTERRUPT);
    tl_cortex_enable(TIMER_INTERRUPT);
    tl_cortex_unmask();
}

/* Only the main loop asks, at least every millisecond, so that it sees each wrap of 71 minutes. */
uint64_t tl_port_now_us(void) {
    TIMER_CAPTURE_0 = 1;
    const uint32_t low = TIMER_CC_0;
    if (low < now_low) now_high++;
    now_low = low;
    return (uint64_t)now_high << 32 | low;
}

/* The next interrupt of the timer, a period from now. A time that has passed while it was being set, as may happen
 * in an emulator on a busy host, would come again after 71 minutes only. */
static void next_tick(void) {
    do {
        TIMER_CAPTURE_2 = 1;
        const uint32_t begin = TIMER_CC_2;
        TIMER_CC_1 = begin + PERIOD_US;
        TIMER_CAPTURE_2 = 1;
        if (TIMER_CC_2 - begin < PERIOD_US) return;
    } while (TIMER_COMPARE_1 == 0);
}

void tl_port_wait(void) {
    tl_cortex_mask();
    next_tick();
    if (tl_ring_empty(&tl_port_rx)) __asm__ volatile("dsb\n\twfi" ::: "memory");
    tl_cortex_unmask();
}

void tl_port_feed(void) { WDT_RELOAD_0 = 0x6E524635u; }

void tl_port_restart(void) { tl_cortex_restart(); }

const volatile uint32_t *tl_port_chip(void) { return FICR_DEVICE; } /* two words, and one that is the same in all */

void tl_port_transmit(void) {
    tl_cortex_mask();
    pump();
    tl_cortex_unmask();
}
