/* Semihosting: the debugger, here QEMU, prints and ends the program (Arm IHI, "Semihosting for AArch32 and AArch64").
 * Tests only. */
#pragma once

#include <stdint.h>

static inline void semihost(uint32_t operation, const void* argument) {
  register uint32_t r0 __asm__("r0") = operation;
  register const void* r1 __asm__("r1") = argument;
  __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
}

static inline void say(const char* text) { semihost(0x04, text); }

/* SYS_EXIT_EXTENDED: reason (application exit), code. */
static inline void leave(uint32_t code) {
  const uint32_t block[2] = {0x20026, code};
  for (;;) semihost(0x20, block);
}
