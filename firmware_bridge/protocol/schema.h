/* The observations and actuators of a device as canonical text, and its hash.
 *
 *     rtu-link schema 1 period_us 20000 observations 2 actuators 1
 *     observation cart_position m c019999a 4019999a
 *     observation pole_angle rad be567750 3e567750
 *     actuator force N c1200000 41200000 slew 7f800000 safe off 00000000
 *
 * An observation with a role or with limits has them at the end of its line, as decimal numbers and bit patterns:
 *
 *     observation theta rad c0200000 40200000 role 1 limit 1 0 1 bf99999a 3f99999a 00000000
 *
 * Each line ends with 0A; fields are separated by one space. A float is written as its binary32 pattern in eight
 * hexadecimal digits: schemas with equal bits have equal text, and neither side needs decimal formatting. The hash is
 * the CRC-32 of the whole text. HELLO carries it; when it differs, DESCRIBE shows which row. The first word is the
 * protocol's former name; it is kept because it is hashed. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "firmware_bridge/protocol/messages.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { TL_SCHEMA_LINE_MAX = 320 };

/* Writes the first line, 0A included, no 00 after it. Returns its length, < TL_SCHEMA_LINE_MAX. No errors. */
size_t tl_schema_head(uint32_t period_us, uint8_t observation_size, uint8_t action_size, char out[TL_SCHEMA_LINE_MAX]);

/* Writes the line of a row (its index is not part of it). Returns its length, < TL_SCHEMA_LINE_MAX.
 * No errors: name and unit are cut at TL_NAME_MAX and TL_UNIT_MAX, an unknown safe behaviour is written "none". */
size_t tl_schema_line(const tl_row *row, char out[TL_SCHEMA_LINE_MAX]);

/* The hash without the text: of the first line, and of what `hash` is of with this row's line after it. A device
 * computes the hash of its data sheet row by row, without memory for a line. */
uint32_t tl_schema_hash_head(uint32_t period_us, uint8_t observation_size, uint8_t action_size);
uint32_t tl_schema_hash_row(uint32_t hash, const tl_row *row);

/* CRC-32 of head and observation_size + action_size lines. */
uint32_t tl_schema_hash(uint32_t period_us, uint8_t observation_size, uint8_t action_size, const tl_row *rows);

/* True when the row may go on the wire, for the sending device and the receiving host: name and unit of
 * plain ASCII (21 to 7E), neither empty nor too long; limits not NaN and min < max, of an observation also infinite. An
 * actuator has finite limits; slew > 0 and not NaN, infinite for no limit; a safe behaviour; safe_value within the
 * limits (so finite); where the behaviour is RAMP a finite slew that moves each output in the range in binary32. A role
 * of TL_ROW_*, and limits of TL_LIMIT_* as limit.h states them, only of an observation; a brake goes from 0 to 1 and
 * has no limits. */
bool tl_row_valid(const tl_row *row);

/* "none", "hold", "damp", "ramp", "off"; NULL for any other number. */
const char *tl_safe_name(uint8_t safe);

#ifdef __cplusplus
}
#endif
