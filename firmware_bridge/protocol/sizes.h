/* Sizes that a build may choose with -D. They change the memory of a device, never a byte on the wire: a device
 * refuses a data sheet that does not fit (tl_bridge_init), and a frame that is longer than its own longest one
 * counts as overlong. docs/boards.md has the memory of each choice. */
#pragma once

/* An ATmega328P has 2 KB of memory, an ATmega2560 (more than 128 KB of flash) 8 KB; every other device takes the
 * limits of the protocol. */
#if defined(__AVR__) && defined(__AVR_HAVE_EIJMP_EICALL__)
#define TL_SIZES(small, medium, large) medium
#elif defined(__AVR__)
#define TL_SIZES(small, medium, large) small
#else
#define TL_SIZES(small, medium, large) large
#endif

#ifndef TL_SIZE_VALUES /* observations and actuators together, at most 55 */
#define TL_SIZE_VALUES TL_SIZES(6, 16, 55)
#endif
#ifndef TL_SIZE_PAYLOAD /* bytes of the longest payload, at most 238 */
#define TL_SIZE_PAYLOAD TL_SIZES(80, 136, 238)
#endif
#ifndef TL_SIZE_ROW_LIMITS /* limits of one observation, 1 to 4 */
#define TL_SIZE_ROW_LIMITS TL_SIZES(1, 4, 4)
#endif
#ifndef TL_SIZE_LOCKSTEP /* 1: virtual time for simulated plants; it keeps the last frame for repetition */
#define TL_SIZE_LOCKSTEP TL_SIZES(0, 1, 1)
#endif
#ifndef TL_SIZE_STATE /* words of state of a plant in C of a user's own */
#define TL_SIZE_STATE TL_SIZES(8, 32, 32)
#endif
