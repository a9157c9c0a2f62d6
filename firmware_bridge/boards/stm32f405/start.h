/* From reset to tl_board_main(), and back. */
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

/* The program: called once, with memory and the floating-point unit ready and no interrupt enabled. Returning
 * restarts. */
void tl_board_main(void);

/* Resets the processor and its peripherals; memory keeps its contents. */
__attribute__((noreturn)) void tl_board_restart(void);

/* Exceptions. Those that the program does not define are faults, and a fault is a restart unless the program defines it
 * too. */
void tl_on_fault(void);
void tl_on_systick(void);
void tl_on_usart1(void);

#ifdef __cplusplus
}
#endif
