/* RV32IMAC: the board `virt` of QEMU. NS16550A, CLINT, PLIC (SiFive FU540 manual, 9 and 10), the test device, which
 * resets. It has no watchdog. Machine mode alone; the base interrupt set needs no floating-point state. */
#include "firmware_bridge/boards/ports/port.h"

/* The compiler's libraries are chosen by the name rv32imac, which no longer contains these instructions. */
__asm__(".option arch, +zicsr");

typedef volatile uint32_t word;
typedef volatile uint8_t byte;

#define UART_DATA (*(byte *)0x10000000u)
#define UART_INTERRUPTS (*(byte *)0x10000001u)
#define UART_FIFO (*(byte *)0x10000002u)
#define UART_STATUS (*(byte *)0x10000005u)
#define TIME_LOW (*(word *)0x0200BFF8u)
#define TIME_HIGH (*(word *)0x0200BFFCu)
#define COMPARE_LOW (*(word *)0x02004000u)
#define COMPARE_HIGH (*(word *)0x02004004u)
#define PLIC_PRIORITY ((word *)0x0C000000u)
#define PLIC_ENABLE (*(word *)0x0C002000u)
#define PLIC_CLAIM (*(word *)0x0C200004u)
#define TEST_DEVICE (*(word *)0x00100000u)

enum {
    UART_SOURCE = 10,
    TICKS_PER_US = 10,
    PERIOD_US = 1000,
    RECEIVED = 1,
    SPACE = 32,
    ON_RECEIVED = 1,
    ON_SPACE = 2,
    TIMER_BIT = 1 << 7,
    EXTERNAL_BIT = 1 << 11,
    FIFO_BYTES = 16
};

extern uint32_t tl_data_in_flash[], tl_data_begin[], tl_data_end[], tl_bss_begin[], tl_bss_end[];
void tl_reset(void);

static uint64_t ticks(void) {
    uint32_t high, low;
    do {
        high = TIME_HIGH;
        low = TIME_LOW;
    } while (high != TIME_HIGH);
    return (uint64_t)high << 32 | low;
}

static void next_tick(void) {
    const uint64_t at = ticks() + (uint64_t)PERIOD_US * TICKS_PER_US;
    COMPARE_HIGH = UINT32_MAX; /* not reached between the two halves */
    COMPARE_LOW = (uint32_t)at;
    COMPARE_HIGH = (uint32_t)(at >> 32);
}

static void serve_uart(void) {
    uint8_t sent;
    for (uint32_t i = 0; i < TL_RING_BYTES && (UART_STATUS & RECEIVED) != 0; i++)
        (void)tl_ring_put(&tl_port_rx, UART_DATA);
    if ((UART_STATUS & SPACE) != 0)
        for (int i = 0; i < FIFO_BYTES && tl_ring_take(&tl_port_tx, &sent); i++) UART_DATA = sent;
    UART_INTERRUPTS = tl_ring_empty(&tl_port_tx) ? ON_RECEIVED : ON_RECEIVED | ON_SPACE;
}

__attribute__((interrupt, aligned(4))) static void on_trap(void) {
    uint32_t cause;
    __asm__ volatile("csrr %0, mcause" : "=r"(cause));
    if ((int32_t)cause >= 0) tl_port_restart(); /* a fault, no interrupt */
    if ((cause & 15u) == 7u) next_tick();
    for (uint32_t source = PLIC_CLAIM; source != 0; source = PLIC_CLAIM) {
        serve_uart();
        PLIC_CLAIM = source;
    }
}

__attribute__((noreturn, used)) static void start(void) {
    const volatile uint32_t *from = tl_data_in_flash;
    for (volatile uint32_t *to = tl_data_begin; to < tl_data_end;) *to++ = *from++;
    for (volatile uint32_t *to = tl_bss_begin; to < tl_bss_end;) *to++ = 0;
    (void)main();
    for (;;) {
    }
}

__attribute__((naked, noreturn, section(".vectors"))) void tl_reset(void) {
    __asm__ volatile(
        "la sp, tl_stack_top\n"
        "tail %0" ::"i"(start));
}

void tl_port_start(void) {
    UART_FIFO = 7; /* on, both empty */
    UART_INTERRUPTS = ON_RECEIVED;
    PLIC_PRIORITY[UART_SOURCE] = 1;
    PLIC_ENABLE = 1u << UART_SOURCE;
    next_tick();
    __asm__ volatile("csrw mtvec, %0" ::"r"(on_trap));
    __asm__ volatile("csrw mie, %0" ::"r"(TIMER_BIT | EXTERNAL_BIT));
    __asm__ volatile("csrsi mstatus, 8" ::: "memory");
}

uint64_t tl_port_now_us(void) { return ticks() / TICKS_PER_US; }

/* WFI also wakes for an interrupt that is masked, so nothing is missed after the check. */
void tl_port_wait(void) {
    __asm__ volatile("csrci mstatus, 8" ::: "memory");
    if (tl_ring_empty(&tl_port_rx)) __asm__ volatile("wfi" ::: "memory");
    __asm__ volatile("csrsi mstatus, 8" ::: "memory");
}

void tl_port_feed(void) {}

void tl_port_restart(void) {
    TEST_DEVICE = 0x7777u;
    for (;;) {
    }
}

const volatile uint32_t *tl_port_chip(void) { return 0; }

void tl_port_transmit(void) {
    __asm__ volatile("csrci mstatus, 8" ::: "memory");
    serve_uart();
    __asm__ volatile("csrsi mstatus, 8" ::: "memory");
}
