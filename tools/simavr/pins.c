/* An ATmega328P in simavr whose pins are observed and whose analogue inputs are set: the bench of every sketch.
 *
 *     pins SKETCH.elf          prints the path of the serial line, a pty, and runs until its input ends
 *
 * Chip time stands until the host has answered a STATE. A line of input is a question:
 *
 *     adc CHANNEL MILLIVOLT    sets an analogue input; prints "ok"
 *     pin PORT BIT             prints chip time in us, level and rising edges of a digital output: "pin D 4"
 *     pwm TIMER OUTPUT         prints the last compare value, and 1 while it drives the pin: "pwm 1 A" is pin 9 */
#define _GNU_SOURCE
#include <simavr/avr_adc.h>

#include "tools/simavr/chip.h"

enum { SLICE_CYCLES = CPU_HZ / 2000, PORTS = 3, BITS = 8, TIMERS = 3 };

static const int kControl[TIMERS] = {0x44, 0x80, 0xB0}; /* TCCRnA; bit 7: COMnA1, bit 5: COMnB1 */
static const int kCompare[TIMERS][2] = {{0x47, 0x48}, {0x88, 0x8A}, {0xB3, 0xB4}}; /* OCRnA, OCRnB */

static struct {
  unsigned level, edges;
} outputs[PORTS][BITS];

static void on_pin(struct avr_irq_t* irq, uint32_t value, void* place) {
  unsigned* const output = place; /* level, edges */
  (void)irq;
  value &= 1u;
  output[1] += value > output[0];
  output[0] = value;
}

static int compare(const avr_t* avr, int timer, char output) {
  const int at = kCompare[timer][output - 'A'];
  return timer == 1 ? avr->data[at] | avr->data[at + 1] << 8 : avr->data[at];
}

static void observe(avr_t* avr) {
  for (int port = 0; port < PORTS; port++)
    for (int bit = 0; bit < BITS; bit++)
      avr_irq_register_notify(avr_io_getirq(avr, AVR_IOCTL_IOPORT_GETIRQ('B' + port), bit), on_pin,
                              &outputs[port][bit]);
}

/* False when there is no more. */
static int answer(avr_t* avr) {
  char line[64], name, letter;
  int number, value;
  if (fgets(line, sizeof line, stdin) == NULL) return 0;
  if (sscanf(line, "adc %d %d", &number, &value) == 2) {
    avr_raise_irq(avr_io_getirq(avr, AVR_IOCTL_ADC_GETIRQ, ADC_IRQ_ADC0 + number), (uint32_t)value);
    puts("ok");
  } else if (sscanf(line, "pin %c %d", &name, &number) == 2) {
    printf("%llu %u %u\n", (unsigned long long)(avr->cycle / 16), outputs[name - 'B'][number].level,
           outputs[name - 'B'][number].edges);
  } else if (sscanf(line, "pwm %d %c", &number, &letter) == 2) {
    const int drives = avr->data[kControl[number]] >> (letter == 'A' ? 7 : 5) & 1;
    printf("%d %d\n", compare(avr, number, letter), drives);
  } else {
    puts("?");
  }
  fflush(stdout);
  return 1;
}

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  setvbuf(stdin, NULL, _IONBF, 0); /* poll() sees what fgets() has not taken */
  avr_t* avr = start_chip(argv[1]);
  observe(avr);
  for (avr_cycle_count_t next = SLICE_CYCLES;; next += SLICE_CYCLES) {
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    run_chip(avr, next);
    while (poll(&input, 1, 0) == 1)
      if (!answer(avr)) return 0;
    wait_for_host();
  }
}
