/* An ATmega328P in simavr with its USART on a pty, for the benches next to this file.
 *
 * Chip time may stand until the host has answered each STATE: a busy host then changes nothing. */
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <simavr/avr_ioport.h>
#include <simavr/avr_uart.h>
#include <simavr/sim_avr.h>
#include <simavr/sim_elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

enum { CPU_HZ = 16000000, SUPPLY_MV = 5000, RAM_BEGIN = 0x100, STATE = 0x20 };

static int line_fd;
static int clear_to_send = 1;
static int state_sent; /* a STATE, since the host was last waited for */

static void on_byte(struct avr_irq_t* irq, uint32_t value, void* unused) {
  const uint8_t byte = (uint8_t)value;
  (void)irq;
  (void)unused;
  static int at, type; /* in the frame: its second byte is the type (firmware_bridge/protocol/frame.h) */
  if (at++ == 1) type = byte;
  if (byte == 0) {
    state_sent = type == STATE;
    at = 0;
  }
  if (write(line_fd, &byte, 1) != 1) return; /* no reader: a line loses what does not fit */
}

static void on_xon(struct avr_irq_t* irq, uint32_t value, void* unused) {
  (void)irq;
  (void)unused;
  (void)value;
  clear_to_send = 1;
}

static void on_xoff(struct avr_irq_t* irq, uint32_t value, void* unused) {
  (void)irq;
  (void)unused;
  (void)value;
  clear_to_send = 0;
}

/* Prints its path. -1: there is none. */
static int open_line(void) {
  struct termios t;
  const int fd = posix_openpt(O_RDWR | O_NOCTTY);
  if (fd == -1 || grantpt(fd) == -1 || unlockpt(fd) == -1) return -1;
  const int far = open(ptsname(fd), O_RDWR | O_NOCTTY); /* held open: a host may come and go */
  if (far == -1 || tcgetattr(far, &t) == -1) return -1;
  cfmakeraw(&t);
  if (tcsetattr(far, TCSANOW, &t) == -1 || fcntl(fd, F_SETFL, O_NONBLOCK) == -1) return -1;
  puts(ptsname(fd));
  fflush(stdout);
  return fd;
}

static double now_s(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The chip with a sketch and its line; exits with 2 or 3 if there is no image or no line. */
static avr_t* start_chip(const char* path) {
  elf_firmware_t firmware = {0};
  avr_t* avr = avr_make_mcu_by_name("atmega328p");
  if (avr == NULL || elf_read_firmware(path, &firmware) != 0) {
    fprintf(stderr, "%s: no image\n", path);
    exit(2);
  }
  avr_init(avr);
  avr->frequency = CPU_HZ;
  avr->vcc = avr->avcc = avr->aref = SUPPLY_MV;
  avr_load_firmware(avr, &firmware);
  srand((unsigned)(now_s() * 1e6));
  for (int i = RAM_BEGIN; i <= avr->ramend; i++) avr->data[i] = (uint8_t)rand(); /* memory after power-on */
  uint32_t flags = 0;
  avr_ioctl(avr, AVR_IOCTL_UART_SET_FLAGS('0'), &flags);
  avr_irq_register_notify(avr_io_getirq(avr, AVR_IOCTL_UART_GETIRQ('0'), UART_IRQ_OUTPUT), on_byte, NULL);
  avr_irq_register_notify(avr_io_getirq(avr, AVR_IOCTL_UART_GETIRQ('0'), UART_IRQ_OUT_XON), on_xon, NULL);
  avr_irq_register_notify(avr_io_getirq(avr, AVR_IOCTL_UART_GETIRQ('0'), UART_IRQ_OUT_XOFF), on_xoff, NULL);
  line_fd = open_line();
  if (line_fd == -1) exit(3);
  return avr;
}

/* Bytes from the host, as long as the receiver takes them; then the chip until a cycle. It ends with 4 on a crash. */
static void run_chip(avr_t* avr, avr_cycle_count_t until) {
  avr_irq_t* input = avr_io_getirq(avr, AVR_IOCTL_UART_GETIRQ('0'), UART_IRQ_INPUT);
  uint8_t byte;
  for (int i = 0; i < 32 && clear_to_send && read(line_fd, &byte, 1) == 1; i++) avr_raise_irq(input, byte);
  while (avr->cycle < until)
    if (avr_run(avr) == cpu_Crashed) exit(4);
}

/* Chip time stands until the host has answered a STATE; a host that does not answer is waited for less. */
static void wait_for_host(void) {
  static int answers;
  struct pollfd line = {.fd = line_fd, .events = POLLIN};
  if (!state_sent) return;
  state_sent = 0;
  answers = poll(&line, 1, answers ? 700 : 20) == 1;
}
