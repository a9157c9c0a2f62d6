/* STM32F205 (Netduino 2), Cortex-M3: USART1 on PA9 and PA10, 1 Mbaud 8N1, from the internal 16 MHz; SysTick;
 * independent watchdog. RM0033. USART and watchdog are those of the STM32F405, and so are their drivers. */
#include "firmware_bridge/boards/ports/cortex.h"
#include "firmware_bridge/boards/stm32f405/watchdog.h"

enum { BAUD = 1000000, INTERNAL_HZ = 16000000, EMULATED_HZ = 120000000, WATCHDOG_MS = 500 };

#define CHIP ((const volatile uint32_t *)0x1FFF7A10u) /* 33.1 */

static const uint32_t kOn = TL_USART_CR1_UE | TL_USART_CR1_RE | TL_USART_CR1_TE | TL_USART_CR1_RXNEIE;
static tl_systick_time now;
static bool emulated; /* no clock tree; QEMU runs SysTick at 120 MHz */

void tl_port_tick(void) { tl_systick_passed(&now); }

void tl_port_interrupt(void) {
    uint8_t byte;
    /* Status first, data second: that sequence clears both. */
    for (uint32_t i = 0; i < TL_RING_BYTES && (TL_USART1->sr & (TL_USART_RXNE | TL_USART_ORE)) != 0; i++)
        (void)tl_ring_put(&tl_port_rx, (uint8_t)TL_USART1->dr);
    /* The bound matters only for an emulator, whose transmitter always has space. */
    for (uint32_t i = 0; i < TL_RING_BYTES && (TL_USART1->sr & TL_USART_TXE) != 0; i++) {
        if (!tl_ring_take(&tl_port_tx, &byte)) break;
        TL_USART1->dr = byte;
    }
    TL_USART1->cr1 = tl_ring_empty(&tl_port_tx) ? kOn : kOn | TL_USART_CR1_TXEIE;
}

static void start_pins(void) {
    TL_RCC->ahb1enr |= 1u;      /* GPIOA */
    TL_RCC->apb2enr |= 1u << 4; /* USART1 */
    (void)TL_RCC->apb2enr;      /* a peripheral may be used two clocks later */
    /* PA9 and PA10: alternate function 7, high speed, the receiver pulled up. */
    TL_GPIOA->afr[1] = (TL_GPIOA->afr[1] & ~0xff0u) | 0x770u;
    TL_GPIOA->ospeedr |= 2u << 18;
    TL_GPIOA->pupdr = (TL_GPIOA->pupdr & ~(15u << 18)) | 1u << 20;
    TL_GPIOA->moder = (TL_GPIOA->moder & ~(15u << 18)) | 2u << 18 | 2u << 20;
}

void tl_port_start(void) {
    (void)tl_watchdog_start(TL_IWDG, WATCHDOG_MS);
    emulated = (TL_RCC->cr & (TL_RCC_HSION | TL_RCC_HSIRDY)) == 0;
    start_pins();
    tl_systick_start(&now, emulated ? EMULATED_HZ : INTERNAL_HZ);
    TL_USART1->brr = INTERNAL_HZ / BAUD;
    TL_USART1->cr1 = kOn;
    tl_cortex_enable(TL_USART1_INTERRUPT);
    tl_cortex_unmask();
}

uint64_t tl_port_now_us(void) { return tl_systick_now_us(&now); }

void tl_port_wait(void) { tl_cortex_wait(); }

void tl_port_feed(void) { tl_watchdog_feed(TL_IWDG); }

void tl_port_restart(void) { tl_cortex_restart(); }

const volatile uint32_t *tl_port_chip(void) { return emulated ? 0 : CHIP; }

/* Triggered by software, because QEMU before version 8 does not emulate the interrupt of an empty transmitter. */
void tl_port_transmit(void) { tl_cortex_pend(TL_USART1_INTERRUPT); }
