/* Instructions and cycles of an AVR's program between two addresses, in simavr; a line for each time.
 *
 *     cc tools/simavr/count.c -o count $(pkg-config --cflags --libs simavr) -lelf
 *     count program.elf atmega2560 0x0aba 0x0abc
 *
 * Ends when the program sleeps with interrupts off. */
#include <sim_avr.h>
#include <sim_elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char** argv) {
  elf_firmware_t firmware;
  memset(&firmware, 0, sizeof firmware);
  if (argc != 5 || elf_read_firmware(argv[1], &firmware) != 0) {
    fprintf(stderr, "count: PROGRAM.elf CHIP BEGIN END\n");
    return 1;
  }
  avr_t* avr = avr_make_mcu_by_name(argv[2]);
  if (avr == NULL) return 1;
  avr_init(avr);
  avr->log = LOG_ERROR;
  avr_load_firmware(avr, &firmware);
  const avr_flashaddr_t begin = (avr_flashaddr_t)strtoul(argv[3], NULL, 0);
  const avr_flashaddr_t end = (avr_flashaddr_t)strtoul(argv[4], NULL, 0);
  unsigned long long executed = 0, began = 0, cycles = 0;
  for (int state = cpu_Running; state != cpu_Done && state != cpu_Crashed; ++executed) {
    if (avr->pc == begin) {
      began = executed;
      cycles = avr->cycle;
    } else if (avr->pc == end) {
      printf("%llu %llu\n", executed - began, (unsigned long long)avr->cycle - cycles);
    }
    state = avr_run(avr);
  }
  return avr->state == cpu_Crashed;
}
