/* ATmega328P (Arduino Uno, Nano) and ATmega2560 (Arduino Mega), 16 MHz: USART0 on pins 0 and 1, 1 Mbaud 8N1; timer
 * 1. */
#include <avr/interrupt.h>
#include <avr/io.h>
#include <avr/wdt.h>

#include "firmware_bridge/boards/ports/port.h"

#ifndef USART_RX_vect /* a part with several of them */
#define USART_RX_vect USART0_RX_vect
#define USART_UDRE_vect USART0_UDRE_vect
#endif

#define CPU_HZ 16000000L
#define BAUD 1000000L
#define US_PER_COUNT 4u /* of timer 1 */

static uint64_t now_us;
static uint16_t last_count;

__attribute__((section(".noinit"))) volatile uint32_t tl_port_power_on[3];

/* Before main() and before memory is set up: a watchdog that has just restarted the chip still runs, with 15 ms. */
__attribute__((naked, used, section(".init3"))) static void stop_watchdog(void) {
    MCUSR = 0;
    wdt_disable();
}

ISR(USART_RX_vect) { (void)tl_ring_put(&tl_port_rx, UDR0); }

ISR(USART_UDRE_vect) {
    uint8_t byte;
    if (tl_ring_take(&tl_port_tx, &byte)) UDR0 = byte;
    if (tl_ring_empty(&tl_port_tx)) UCSR0B &= (uint8_t)~(1u << UDRIE0);
}

void tl_port_start(void) {
    wdt_enable(WDTO_500MS);
    TCCR1A = 0;
    TCCR1B = 1u << CS11 | 1u << CS10; /* counts freely, clock / 64 */
    UBRR0 = (uint16_t)(CPU_HZ / 8 / BAUD - 1);
    UCSR0A = 1u << U2X0;
    UCSR0C = 1u << UCSZ01 | 1u << UCSZ00;
    UCSR0B = 1u << RXCIE0 | 1u << RXEN0 | 1u << TXEN0;
    sei();
}

/* Only the main loop asks, many times in the 262 ms of the counter; the watchdog ends a loop that does not. A
 * counter that steps back, as QEMU's does where it wraps, waits until it has caught up. */
uint64_t tl_port_now_us(void) {
    const uint16_t count = TCNT1;
    const uint16_t passed = (uint16_t)(count - last_count);
    if (passed < 0x8000u) {
        now_us += (uint32_t)passed * US_PER_COUNT;
        last_count = count;
    }
    return now_us;
}

void tl_port_wait(void) {} /* at 16 MHz a pass of the main loop is as short as waking up */

void tl_port_feed(void) { wdt_reset(); }

void tl_port_restart(void) {
    wdt_enable(WDTO_15MS);
    for (;;) {
    }
}

/* The parts have no number of their own: three words of memory as power-on left them, which no start clears. */
const volatile uint32_t *tl_port_chip(void) { return tl_port_power_on; }

void tl_port_transmit(void) { UCSR0B |= 1u << UDRIE0; }
