#include "firmware_bridge/boards/stm32f405/board.h"

#include <stddef.h>

#include "firmware_bridge/boards/stm32f405/identity.h"
#include "firmware_bridge/boards/stm32f405/start.h"
#include "firmware_bridge/boards/stm32f405/watchdog.h"

rtu_serial rtu_board_serial;

static volatile uint32_t ticks_low, ticks_high; /* since start; written by the interrupt alone */
static uint32_t core_mhz;
__attribute__((section(".noinit"))) static rtu_boot_memory boot_memory;

void rtu_on_systick(void) {
    if (++ticks_low == 0) ticks_high++;
}

void rtu_on_usart1(void) { rtu_serial_interrupt(&rtu_board_serial); }

static void mask(void) { __asm__ volatile("cpsid i" ::: "memory"); }
static void unmask(void) { __asm__ volatile("cpsie i" ::: "memory"); }

uint64_t rtu_board_now_us(void) {
    mask();
    uint64_t ticks = (uint64_t)ticks_high << 32 | ticks_low;
    uint32_t left = RTU_SYSTICK->val;
    if ((RTU_SCB->icsr & RTU_SCB_ICSR_PENDSTSET) != 0) { /* a tick is over that the interrupt could not count yet */
        ticks++;
        left = RTU_SYSTICK->val;
    }
    unmask();
    const uint32_t period = core_mhz * (1000000u / RTU_BOARD_TICK_HZ);
    return ticks * (1000000u / RTU_BOARD_TICK_HZ) + (period - 1 - left) / core_mhz;
}

void rtu_board_send(void *unused, const uint8_t *bytes, size_t n) {
    (void)unused;
    rtu_serial_send(&rtu_board_serial, bytes, n);
    /* By hand, because an empty transmitter interrupts only where it is emulated well: QEMU before version 8 does not. */
    RTU_NVIC_PEND[RTU_USART1_INTERRUPT / 32] = 1u << RTU_USART1_INTERRUPT % 32;
}

void rtu_board_sleep(void) {
    /* With interrupts masked nothing can arrive between the look and the sleep; WFI wakes for a masked interrupt too. */
    mask();
    if (rtu_serial_idle(&rtu_board_serial)) __asm__ volatile("dsb\n\twfi" ::: "memory");
    unmask();
}

void rtu_board_feed(void) { rtu_watchdog_feed(RTU_IWDG); }

static void start_pins(void) {
    RTU_RCC->ahb1enr |= 1u;      /* GPIOA */
    RTU_RCC->apb2enr |= 1u << 4; /* USART1 */
    (void)RTU_RCC->apb2enr;      /* a peripheral may be used two clocks later */
    /* PA9 and PA10: alternate function 7, high speed, the receiver pulled up. */
    RTU_GPIOA->afr[1] = (RTU_GPIOA->afr[1] & ~0xff0u) | 0x770u;
    RTU_GPIOA->ospeedr |= 2u << 18;
    RTU_GPIOA->pupdr = (RTU_GPIOA->pupdr & ~(15u << 18)) | 1u << 20;
    RTU_GPIOA->moder = (RTU_GPIOA->moder & ~(15u << 18)) | 2u << 18 | 2u << 20;
}

void rtu_board_start(rtu_board *board) {
    board->watchdog = rtu_watchdog_start(RTU_IWDG, RTU_BOARD_WATCHDOG_MS);
    board->clock = rtu_clock_start(RTU_RCC, RTU_FLASH);
    board->boot_id = rtu_next_boot_id(&boot_memory, board->clock.emulated ? NULL : RTU_UNIQUE_ID);
    core_mhz = board->clock.core_hz / 1000000u;
    start_pins();
    RTU_SYSTICK->load = board->clock.core_hz / RTU_BOARD_TICK_HZ - 1;
    RTU_SYSTICK->val = 0;
    RTU_SYSTICK->ctrl = RTU_SYSTICK_ENABLE | RTU_SYSTICK_INTERRUPT | RTU_SYSTICK_CORE_CLOCK;
    rtu_serial_start(&rtu_board_serial, RTU_USART1, board->clock.apb2_hz, RTU_BOARD_BAUD);
    RTU_NVIC_ENABLE[RTU_USART1_INTERRUPT / 32] = 1u << RTU_USART1_INTERRUPT % 32;
    unmask();
}
