/* Numbers in the registers of servos: size, sign and order of bytes, and physical units.
 *
 * Nothing is clamped here: a number that a register cannot hold is refused, NaN and infinity included. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    TL_SIGN_NONE = 0xFF, /* unsigned */
    TL_SIGN_TWOS = 0xFE  /* two's complement; otherwise sign and magnitude, with this bit as the sign */
};

/* One register. Bits above the sign bit of sign and magnitude are 0 when written and ignored when read. */
typedef struct {
    const char *name;
    uint16_t address;
    uint8_t size; /* 1, 2 or 4 bytes */
    uint8_t sign; /* TL_SIGN_*, or the number of the sign bit */
    float unit;   /* SI value of one step */
    const char *unit_name;
} tl_register;

/* Whether a register can hold v. */
bool tl_register_holds(const tl_register *reg, int64_t v);

/* Writes v to out, reg->size bytes, big-endian or little-endian. False, with out unchanged: the register cannot hold
 * it. -0 of sign and magnitude is never written. */
bool tl_register_put(const tl_register *reg, int64_t v, bool big_endian, uint8_t *out);
int64_t tl_register_get(const tl_register *reg, bool big_endian, const uint8_t *in);

/* The nearest number of steps of a value in SI units, ties away from zero. False, with *steps unchanged: v is not
 * finite or out of the register's range. */
bool tl_register_steps(const tl_register *reg, float v, int64_t *steps);

#ifdef __cplusplus
}
#endif
