/* An ATmega328P in simavr with a motor on its pins: the bench of firmware_bridge/boards/arduino/examples/MotorEncoder.
 *
 *     motor SKETCH.elf [SPEED]          prints the path of the serial line, a pty, and runs until its input ends
 *
 * PWM on pin 9 and the direction on pins 7 and 8 drive the motor of firmware_bridge/plants/servo.c, with its end
 * stops; an encoder of 100 lines turns pins 2 and 3. SPEED is chip time to real time, default 1; 0: as fast as
 * the host answers, which a busy host cannot be too slow for. The line is paced by the baud rate of the sketch. */
#define _GNU_SOURCE
#include "tools/simavr/chip.h"

#include "firmware_bridge/plants/equations.h"

enum {
  PORT_B = 0x25,
  PORT_D = 0x2B,
  TCCR1A = 0x80,
  OCR1A = 0x88,
  SUBSTEP_CYCLES = CPU_HZ / 2000,
  PARTS = 10,
  /* of a substep: more than edges in it at the greatest speed */ LINES = 100
};

static const double kSupplyV = 10.0, kTurn = 6.283185307179586;

/* What the bridge of the motor applies: both directions off is a coasting motor, taken as 0 V. */
static double voltage(const avr_t* avr) {
  const int forward = avr->data[PORT_D] >> 7 & 1, backward = avr->data[PORT_B] & 1;
  const int pwm = avr->data[TCCR1A] >> 7 & 1; /* COM1A1; else analogWrite() has used the port, for 0 and 255 */
  const double duty = pwm ? (avr->data[OCR1A] | avr->data[OCR1A + 1] << 8) / 255.0 : avr->data[PORT_B] >> 1 & 1;
  return (forward - backward) * duty * kSupplyV;
}

/* One edge at most: with both outputs changed at once no decoder knows the direction. */
static void turn_encoder(avr_t* avr, double theta) {
  static long shown = 1;
  const double quarters = theta / kTurn * LINES * 4.0;
  const long wanted = (long)quarters - (quarters < 0.0);
  if (wanted == shown) return;
  shown += wanted > shown ? 1 : -1;
  const int quarter = (int)(shown & 3), a = quarter == 1 || quarter == 2, b = quarter >= 2;
  /* Else each write of the sketch to this port would bring back the pull-ups. */
  avr_ioport_external_t pins = {.name = 'D', .mask = 3u << 2, .value = (unsigned)(a << 2 | b << 3)};
  avr_ioctl(avr, AVR_IOCTL_IOPORT_SET_EXTERNAL('D'), &pins);
  avr_raise_irq(avr_io_getirq(avr, AVR_IOCTL_IOPORT_GETIRQ('D'), 2), (uint32_t)a);
  avr_raise_irq(avr_io_getirq(avr, AVR_IOCTL_IOPORT_GETIRQ('D'), 3), (uint32_t)b);
}

int main(int argc, char** argv) {
  const tl_servo_numbers numbers = {8.4f, 0.042f,  2.089856e-5f, 5.0e-6f,     1.5e-3f, 0.0f,
                                    2.5f, 5.0e-4f, 0.026764212f, 0.26879846f, 1};
  float theta = 0.001f, omega = 0.0f, current = 0.0f;
  if (argc < 2) return 2;
  const double speed = argc > 2 ? atof(argv[2]) : 1.0;
  avr_t* avr = start_chip(argv[1]);
  const double began_s = now_s();
  for (avr_cycle_count_t next = SUBSTEP_CYCLES;; next += SUBSTEP_CYCLES) {
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    char scrap;
    const float before = theta;
    tl_servo_advance(numbers, &theta, &omega, &current, (float)voltage(avr));
    for (int part = 1; part <= PARTS; part++) {
      turn_encoder(avr, before + (theta - before) * (double)part / PARTS);
      run_chip(avr, next - (avr_cycle_count_t)(SUBSTEP_CYCLES / PARTS * (PARTS - part)));
    }
    if (poll(&input, 1, 0) == 1 && read(STDIN_FILENO, &scrap, 1) <= 0) return 0;
    if (speed == 0.0) wait_for_host();
    if (speed == 0.0) continue;
    const double ahead_s = (double)next / CPU_HZ / speed - (now_s() - began_s);
    if (ahead_s > 0.0) usleep((useconds_t)(ahead_s * 1e6));
  }
}
