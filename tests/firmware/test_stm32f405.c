/* The drivers of the STM32F405 on simulated registers: for what the emulator lacks or idealises. */
#include <assert.h>
#include <string.h>

#include "firmware_bridge/boards/stm32f405/clock.h"
#include "firmware_bridge/boards/stm32f405/identity.h"
#include "firmware_bridge/boards/stm32f405/serial.h"
#include "firmware_bridge/boards/stm32f405/watchdog.h"

/* Plain memory never reports readiness: every wait of these drivers must still end. */
static void test_clock(void) {
  tl_rcc_registers rcc;
  tl_flash_registers flash;
  memset((void*)&rcc, 0, sizeof rcc);
  memset((void*)&flash, 0, sizeof flash);
  assert(tl_clock_start(&rcc, &flash).emulated && rcc.cr == 0);

  rcc.cr = TL_RCC_HSION | TL_RCC_HSIRDY; /* a crystal that never starts */
  tl_clock clock = tl_clock_start(&rcc, &flash);
  assert(!clock.emulated && !clock.crystal && clock.core_hz == 16000000 && clock.apb2_hz == 16000000);
  assert(rcc.cfgr == 0);

  rcc.cr |= TL_RCC_HSERDY; /* a PLL that never locks */
  assert(tl_clock_start(&rcc, &flash).core_hz == 16000000);
  assert(rcc.cfgr == 0 && flash.acr == 0);

  rcc.cr |= TL_RCC_PLLRDY; /* a switch that never happens: back to the previous clock */
  assert(tl_clock_start(&rcc, &flash).core_hz == 16000000);
  assert((flash.acr & 7) == 5 && rcc.cfgr == 0);
  /* 8 MHz / 8 * 336 / 2 */
  const uint32_t m = rcc.pllcfgr & 63, n = rcc.pllcfgr >> 6 & 511, p = 2 * ((rcc.pllcfgr >> 16 & 3) + 1);
  assert(TL_CRYSTAL_HZ / m * n / p == 168000000);
  assert(TL_CRYSTAL_HZ / m >= 950000 && TL_CRYSTAL_HZ / m <= 2100000 && n >= 50 && n <= 432);
  assert(TL_CRYSTAL_HZ / m * n / (rcc.pllcfgr >> 24 & 15) == 48000000);
  assert((rcc.pllcfgr >> 22 & 1) == 1);
}

static void test_watchdog(void) {
  tl_iwdg_registers iwdg;
  for (uint32_t ms = 1; ms <= 32000; ms += ms < 100 ? 1 : 97) {
    memset((void*)&iwdg, 0, sizeof iwdg);
    assert(tl_watchdog_start(&iwdg, ms));
    assert(iwdg.kr == 0xAAAA && iwdg.pr <= 6 && iwdg.rlr <= 4095);
    const double found = (iwdg.rlr + 1.0) * (4 << iwdg.pr) / 32.0;
    assert(found <= ms && found >= ms * 0.98 - 0.2);
  }
  iwdg.sr = 3; /* never ready */
  assert(!tl_watchdog_start(&iwdg, 500));
  assert(iwdg.kr == 0xAAAA);
  iwdg.kr = 0;
  tl_watchdog_feed(&iwdg);
  assert(iwdg.kr == 0xAAAA);
}

static void test_identity(void) {
  static uint32_t seen[10000];
  const volatile uint32_t chip[3] = {1, 2, 3}, other[3] = {1, 2, 4};
  tl_boot_memory memory = {0xdeadbeef, 77, 5}; /* as it is after power-on */
  for (uint32_t i = 0; i < 10000; i++) {
    seen[i] = tl_next_boot_id(&memory, chip);
    assert(seen[i] != 0);
    assert(memory.count == i + 1);
  }
  for (uint32_t i = 0; i < 10000; i += 37)
    for (uint32_t k = i + 1; k < 10000; k++) assert(seen[i] != seen[k]);
  memory.check ^= 1; /* damaged: restarts at 1 */
  assert(tl_next_boot_id(&memory, chip) == seen[0]);
  memory.check ^= 1;
  assert(tl_next_boot_id(&memory, other) != seen[0]);
  memory.check ^= 1;
  assert(tl_next_boot_id(&memory, NULL) != seen[0]);
}

static tl_usart_registers usart;
static tl_serial serial;

static void receive(uint8_t byte) {
  usart.sr = TL_USART_RXNE;
  usart.dr = byte;
  /* Memory does not clear RXNE when the data is read, so that one call reads the byte until its bound: the worst
   * case. */
  tl_serial_interrupt(&serial);
  usart.sr = 0;
}

static void test_serial(void) {
  tl_serial_start(&serial, &usart, 84000000, 1000000);
  assert(usart.brr == 84);
  tl_serial_start(&serial, &usart, 16000000, 115200);
  assert(usart.brr == 139);
  assert(tl_serial_idle(&serial) && tl_serial_room(&serial) == TL_SERIAL_TX);

  uint8_t bytes[TL_SERIAL_RX + 8];
  receive(42);
  assert(!tl_serial_idle(&serial));
  assert(tl_serial_read(&serial, bytes, sizeof bytes) == TL_SERIAL_RX && bytes[0] == 42);
  assert(serial.overruns == 0 && tl_serial_idle(&serial));
  receive(43);
  receive(44); /* the ring is full: counted, and its contents are kept */
  assert(serial.overruns == TL_SERIAL_RX);
  assert(tl_serial_read(&serial, bytes, 1) == 1 && bytes[0] == 43);
  usart.sr = TL_USART_ORE; /* an overrun without data */
  tl_serial_interrupt(&serial);
  assert(serial.overruns == 2 * TL_SERIAL_RX);

  /* Transmission: one byte an interrupt while the transmitter is busy in between, and the interrupt switched off at the
   * end. */
  usart.sr = 0;
  tl_serial_start(&serial, &usart, 84000000, 1000000);
  tl_serial_send(&serial, (const uint8_t*)"abc", 3);
  tl_serial_interrupt(&serial); /* busy */
  assert(serial.tx_out == 0 && (usart.cr1 & TL_USART_CR1_TXEIE) != 0);
  usart.sr = TL_USART_TXE; /* always free, as an emulator's: all at once */
  tl_serial_interrupt(&serial);
  assert(serial.tx_out == 3 && usart.dr == 'c' && (usart.cr1 & TL_USART_CR1_TXEIE) == 0);

  /* A frame is sent completely or not at all. */
  usart.sr = 0;
  static const uint8_t large[TL_SERIAL_TX];
  tl_serial_send(&serial, large, TL_SERIAL_TX - 1);
  tl_serial_send(&serial, large, 2);
  assert(serial.dropped == 1 && tl_serial_room(&serial) == 1);
  tl_serial_send(&serial, large, 1);
  assert(serial.dropped == 1 && tl_serial_room(&serial) == 0);
}

int main(void) {
  test_clock();
  test_watchdog();
  test_identity();
  test_serial();
  return 0;
}
