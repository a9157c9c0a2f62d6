#include "firmware_bridge/boards/stm32f405/board.h"

#include <stddef.h>

#include "firmware_bridge/boards/stm32f405/flash.h"
#include "firmware_bridge/boards/stm32f405/identity.h"
#include "firmware_bridge/boards/stm32f405/start.h"
#include "firmware_bridge/boards/stm32f405/watchdog.h"

tl_serial tl_board_serial;

static volatile uint32_t ticks_low, ticks_high; /* since start; written by the interrupt alone */
static uint32_t core_mhz;
__attribute__((section(".noinit"))) static tl_boot_memory boot_memory;

void tl_on_systick(void) {
    if (++ticks_low == 0) ticks_high++;
}

void tl_on_usart1(void) { tl_serial_interrupt(&tl_board_serial); }

static void mask(void) { __asm__ volatile("cpsid i" ::: "memory"); }
static void unmask(void) { __asm__ volatile("cpsie i" ::: "memory"); }

uint64_t tl_board_now_us(void) {
    mask();
    uint64_t ticks = (uint64_t)ticks_high << 32 | ticks_low;
    uint32_t left = TL_SYSTICK->val;
    if ((TL_SCB->icsr & TL_SCB_ICSR_PENDSTSET) != 0) { /* a tick has passed that the interrupt has not yet counted */
        ticks++;
        left = TL_SYSTICK->val;
    }
    unmask();
    const uint32_t period = core_mhz * (1000000u / TL_BOARD_TICK_HZ);
    return ticks * (1000000u / TL_BOARD_TICK_HZ) + (period - 1 - left) / core_mhz;
}

void tl_board_send(void *unused, const uint8_t *bytes, size_t n) {
    (void)unused;
    tl_serial_send(&tl_board_serial, bytes, n);
    /* Triggered by software, because QEMU before version 8 does not emulate the interrupt of an empty transmitter. */
    TL_NVIC_PEND[TL_USART1_INTERRUPT / 32] = 1u << TL_USART1_INTERRUPT % 32;
}

size_t tl_board_read(uint8_t *bytes, size_t n) { return tl_serial_read(&tl_board_serial, bytes, n); }

size_t tl_board_room(void) { return tl_serial_room(&tl_board_serial); }

/* The watchdog runs on while the processor stands still, and its oscillator may be a third too fast. */
static bool erase(uint32_t slot) {
    (void)tl_watchdog_start(TL_IWDG, 2 * TL_FLASH_ERASE_MS);
    const bool done = tl_flash_erase(slot);
    (void)tl_watchdog_start(TL_IWDG, TL_BOARD_WATCHDOG_MS);
    return done;
}

static bool program(uint32_t slot, uint32_t offset, uint32_t value) {
    tl_watchdog_feed(TL_IWDG);
    return tl_flash_program(slot, offset, value);
}

const tl_flash_driver tl_board_flash = {TL_FLASH_SLOT_BYTES, erase, program, tl_flash_read};

void tl_board_sleep(void) {
    /* With interrupts masked nothing can arrive between the check and the sleep; WFI also wakes for a masked
     * interrupt. */
    mask();
    if (tl_serial_idle(&tl_board_serial)) __asm__ volatile("dsb\n\twfi" ::: "memory");
    unmask();
}

void tl_board_feed(void) { tl_watchdog_feed(TL_IWDG); }

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

void tl_board_start(tl_board *board) {
    board->watchdog = tl_watchdog_start(TL_IWDG, TL_BOARD_WATCHDOG_MS);
    board->clock = tl_clock_start(TL_RCC, TL_FLASH);
    board->boot_id = tl_next_boot_id(&boot_memory, board->clock.emulated ? NULL : TL_UNIQUE_ID);
    core_mhz = board->clock.core_hz / 1000000u;
    start_pins();
    TL_SYSTICK->load = board->clock.core_hz / TL_BOARD_TICK_HZ - 1;
    TL_SYSTICK->val = 0;
    TL_SYSTICK->ctrl = TL_SYSTICK_ENABLE | TL_SYSTICK_INTERRUPT | TL_SYSTICK_CORE_CLOCK;
    tl_serial_start(&tl_board_serial, TL_USART1, board->clock.apb2_hz, TL_BOARD_BAUD);
    TL_NVIC_ENABLE[TL_USART1_INTERRUPT / 32] = 1u << TL_USART1_INTERRUPT % 32;
    unmask();
}
