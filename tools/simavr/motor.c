/* An ATmega328P in simavr with a motor on its pins: the bench of firmware_bridge/boards/arduino/examples/MotorEncoder.
 *
 *     motor SKETCH.elf [SPEED]          prints the path of the serial line, a pty, and runs until its input ends
 *
 * PWM on pin 9 and the direction on pins 7 and 8 drive the motor of firmware_bridge/plants/servo.c, with its end
 * stops; an encoder of 100 lines turns pins 2 and 3. SPEED is chip time to real time, default 1; 0: as fast as
 * the host answers, which a busy host cannot be too slow for. The line is paced by the baud rate of the sketch. */
#define _GNU_SOURCE
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

#include "firmware_bridge/plants/equations.h"

enum {
  PORT_B = 0x25,
  PORT_D = 0x2B,
  TCCR1A = 0x80,
  OCR1A = 0x88,
  CPU_HZ = 16000000,
  SUBSTEP_CYCLES = CPU_HZ / 2000,
  RAM_BEGIN = 0x100,
  LINES = 100,
  STATE = 0x20
};

static const double kSupplyV = 10.0, kTurn = 6.283185307179586;
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

/* What the bridge of the motor applies: both directions off is a coasting motor, taken as 0 V. */
static double voltage(const avr_t* avr) {
  const int forward = avr->data[PORT_D] >> 7 & 1, backward = avr->data[PORT_B] & 1;
  const int pwm = avr->data[TCCR1A] >> 7 & 1; /* COM1A1; else analogWrite() has used the port, for 0 and 255 */
  const double duty = pwm ? (avr->data[OCR1A] | avr->data[OCR1A + 1] << 8) / 255.0 : avr->data[PORT_B] >> 1 & 1;
  return (forward - backward) * duty * kSupplyV;
}

static void turn_encoder(avr_t* avr, float theta) {
  static int a = -1, b = -1;
  double turns = theta / kTurn * LINES;
  turns -= (long)turns - (turns < 0.0);
  const int quarter = (int)(turns * 4.0) & 3, now_a = quarter == 1 || quarter == 2, now_b = quarter >= 2;
  if (now_a != a) avr_raise_irq(avr_io_getirq(avr, AVR_IOCTL_IOPORT_GETIRQ('D'), 2), (uint32_t)now_a);
  if (now_b != b) avr_raise_irq(avr_io_getirq(avr, AVR_IOCTL_IOPORT_GETIRQ('D'), 3), (uint32_t)now_b);
  a = now_a;
  b = now_b;
}

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

static void set_up(avr_t* avr, const char* path) {
  elf_firmware_t firmware = {0};
  if (elf_read_firmware(path, &firmware) != 0) {
    fprintf(stderr, "motor: %s: no image\n", path);
    exit(2);
  }
  avr->frequency = CPU_HZ;
  avr_load_firmware(avr, &firmware);
  srand((unsigned)(now_s() * 1e6));
  for (int i = RAM_BEGIN; i <= avr->ramend; i++) avr->data[i] = (uint8_t)rand(); /* memory after power-on */
  uint32_t flags = 0;
  avr_ioctl(avr, AVR_IOCTL_UART_SET_FLAGS('0'), &flags);
  avr_irq_register_notify(avr_io_getirq(avr, AVR_IOCTL_UART_GETIRQ('0'), UART_IRQ_OUTPUT), on_byte, NULL);
  avr_irq_register_notify(avr_io_getirq(avr, AVR_IOCTL_UART_GETIRQ('0'), UART_IRQ_OUT_XON), on_xon, NULL);
  avr_irq_register_notify(avr_io_getirq(avr, AVR_IOCTL_UART_GETIRQ('0'), UART_IRQ_OUT_XOFF), on_xoff, NULL);
}

/* Bytes from the host, as long as the receiver takes them. */
static void feed(avr_t* avr) {
  avr_irq_t* input = avr_io_getirq(avr, AVR_IOCTL_UART_GETIRQ('0'), UART_IRQ_INPUT);
  uint8_t byte;
  for (int i = 0; i < 32 && clear_to_send && read(line_fd, &byte, 1) == 1; i++) avr_raise_irq(input, byte);
}

/* Chip time stands until the host has answered a STATE; a host that does not answer is waited for less. */
static void wait_for_host(void) {
  static int answers;
  struct pollfd line = {.fd = line_fd, .events = POLLIN};
  if (!state_sent) return;
  state_sent = 0;
  answers = poll(&line, 1, answers ? 700 : 20) == 1;
}

int main(int argc, char** argv) {
  const tl_servo_numbers numbers = {8.4f, 0.042f,  2.089856e-5f, 5.0e-6f,     1.5e-3f, 0.0f,
                                    2.5f, 5.0e-4f, 0.026764212f, 0.26879846f, 1};
  float theta = 0.001f, omega = 0.0f, current = 0.0f;
  avr_t* avr = avr_make_mcu_by_name("atmega328p");
  if (argc < 2 || avr == NULL) return 2;
  const double speed = argc > 2 ? atof(argv[2]) : 1.0;
  avr_init(avr);
  set_up(avr, argv[1]);
  line_fd = open_line();
  if (line_fd == -1) return 3;
  const double began_s = now_s();
  for (avr_cycle_count_t next = SUBSTEP_CYCLES;; next += SUBSTEP_CYCLES) {
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    char scrap;
    feed(avr);
    while (avr->cycle < next)
      if (avr_run(avr) == cpu_Crashed) return 4;
    tl_servo_advance(numbers, &theta, &omega, &current, (float)voltage(avr));
    turn_encoder(avr, theta);
    if (poll(&input, 1, 0) == 1 && read(STDIN_FILENO, &scrap, 1) <= 0) return 0;
    if (speed == 0.0) wait_for_host();
    if (speed == 0.0) continue;
    const double ahead_s = (double)next / CPU_HZ / speed - (now_s() - began_s);
    if (ahead_s > 0.0) usleep((useconds_t)(ahead_s * 1e6));
  }
}
