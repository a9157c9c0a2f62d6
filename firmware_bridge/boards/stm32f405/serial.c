#include "firmware_bridge/boards/stm32f405/serial.h"

static const uint32_t kOn = TL_USART_CR1_UE | TL_USART_CR1_RE | TL_USART_CR1_TE | TL_USART_CR1_RXNEIE;

void tl_serial_start(tl_serial *serial, tl_usart_registers *usart, uint32_t clock_hz, uint32_t baud) {
    serial->usart = usart;
    serial->rx_in = serial->rx_out = serial->tx_in = serial->tx_out = 0;
    serial->overruns = 0;
    serial->dropped = 0;
    usart->cr1 = 0;
    usart->cr2 = 0;
    usart->cr3 = 0;
    usart->brr = (clock_hz + baud / 2) / baud;
    usart->cr1 = kOn;
}

/* Fills the transmitter from the ring while it has space; the interrupt sends the rest. The bound matters only for an
 * emulator, whose transmitter always has space. */
static void pump(tl_serial *serial) {
    for (uint32_t i = 0; i < TL_SERIAL_TX && serial->tx_out != serial->tx_in; i++) {
        if ((serial->usart->sr & TL_USART_TXE) == 0) break;
        serial->usart->dr = serial->tx[serial->tx_out % TL_SERIAL_TX];
        serial->tx_out++;
    }
    serial->usart->cr1 = serial->tx_out != serial->tx_in ? kOn | TL_USART_CR1_TXEIE : kOn;
}

void tl_serial_interrupt(tl_serial *serial) {
    for (uint32_t i = 0; i < TL_SERIAL_RX; i++) {
        /* Status first, data second: that sequence clears both, and a byte that arrives in between is seen by the next
         * read. */
        const uint32_t status = serial->usart->sr;
        if ((status & (TL_USART_RXNE | TL_USART_ORE)) == 0) break;
        const uint8_t byte = (uint8_t)serial->usart->dr;
        if ((status & TL_USART_ORE) != 0) serial->overruns++;
        if ((status & TL_USART_RXNE) == 0) continue;
        if (serial->rx_in - serial->rx_out == TL_SERIAL_RX) {
            serial->overruns++;
            continue;
        }
        serial->rx[serial->rx_in % TL_SERIAL_RX] = byte;
        serial->rx_in++;
    }
    pump(serial);
}

/* The ring's bytes are not volatile: without this barrier the compiler could move an access to them past the update of
 * the index that releases them to the interrupt. On one core nothing else is needed; the interrupt handler itself,
 * which this side cannot preempt, needs no barrier. */
static inline void in_order(void) { __asm__ volatile("" ::: "memory"); }

size_t tl_serial_read(tl_serial *serial, uint8_t *bytes, size_t n) {
    size_t taken = 0;
    for (; taken < n && serial->rx_out != serial->rx_in; taken++) {
        in_order();
        bytes[taken] = serial->rx[serial->rx_out % TL_SERIAL_RX];
        in_order();
        serial->rx_out++;
    }
    return taken;
}

size_t tl_serial_room(const tl_serial *serial) { return TL_SERIAL_TX - (serial->tx_in - serial->tx_out); }

bool tl_serial_idle(const tl_serial *serial) { return serial->rx_in == serial->rx_out; }

void tl_serial_send(tl_serial *serial, const uint8_t *bytes, size_t n) {
    if (n > tl_serial_room(serial)) {
        serial->dropped++;
        return;
    }
    for (size_t i = 0; i < n; i++) serial->tx[(serial->tx_in + i) % TL_SERIAL_TX] = bytes[i];
    in_order();
    serial->tx_in += (uint32_t)n;
}
