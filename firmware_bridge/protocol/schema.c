#include "firmware_bridge/protocol/schema.h"

#include <string.h>

#include "firmware_bridge/protocol/bytes.h"
#include "firmware_bridge/protocol/crc32.h"

/* A line under construction. The longest one, a row of an observation with full name, unit, role and four limits, has
 * 263 bytes. */
typedef struct {
    char *out;
    size_t size;
} line;

static void put(line *l, const char *text, size_t max) {
    for (size_t i = 0; i < max && text[i] != '\0'; i++) l->out[l->size++] = text[i];
}

static void put_word(line *l, const char *word) { put(l, word, 32); }

static void put_hex(line *l, uint32_t bits) {
    l->out[l->size++] = ' ';
    for (unsigned shift = 32; shift != 0; shift -= 4) l->out[l->size++] = "0123456789abcdef"[bits >> (shift - 4) & 15u];
}

static void put_decimal(line *l, uint32_t v) {
    char digits[10];
    size_t n = 0;
    do {
        digits[n++] = (char)('0' + v % 10u);
        v /= 10u;
    } while (v != 0);
    while (n != 0) l->out[l->size++] = digits[--n];
}

const char *tl_safe_name(uint8_t safe) {
    switch (safe) {
        case TL_SAFE_NONE:
            return "none";
        case TL_SAFE_HOLD:
            return "hold";
        case TL_SAFE_DAMP:
            return "damp";
        case TL_SAFE_RAMP:
            return "ramp";
        case TL_SAFE_OFF:
            return "off";
        default:
            return NULL;
    }
}

size_t tl_schema_head(uint32_t period_us, uint8_t observation_size, uint8_t action_size, char out[TL_SCHEMA_LINE_MAX]) {
    line l = {out, 0};
    put_word(&l, "rtu-link schema 1 period_us ");
    put_decimal(&l, period_us);
    put_word(&l, " observations ");
    put_decimal(&l, observation_size);
    put_word(&l, " actuators ");
    put_decimal(&l, action_size);
    put_word(&l, "\n");
    return l.size;
}

static void put_limit(line *l, const tl_limit *limit) {
    put_word(l, " limit ");
    put_decimal(l, limit->kind);
    put_word(l, " ");
    put_decimal(l, limit->actuator);
    put_word(l, limit->sense < 0 ? " -" : " ");
    put_decimal(l, limit->sense != 0);
    put_hex(l, tl_f32_bits(limit->low));
    put_hex(l, tl_f32_bits(limit->high));
    put_hex(l, tl_f32_bits(limit->slope));
}

size_t tl_schema_line(const tl_row *row, char out[TL_SCHEMA_LINE_MAX]) {
    line l = {out, 0};
    const char *safe = tl_safe_name(row->safe);
    put_word(&l, row->actuator ? "actuator " : "observation ");
    put(&l, row->name, TL_NAME_MAX);
    put_word(&l, " ");
    put(&l, row->unit, TL_UNIT_MAX);
    put_hex(&l, tl_f32_bits(row->min));
    put_hex(&l, tl_f32_bits(row->max));
    if (row->actuator) {
        put_word(&l, " slew");
        put_hex(&l, tl_f32_bits(row->slew));
        put_word(&l, " safe ");
        put_word(&l, safe != NULL ? safe : "none");
        put_hex(&l, tl_f32_bits(row->safe_value));
    }
    if (row->role != TL_ROW_ANY) {
        put_word(&l, " role ");
        put_decimal(&l, row->role);
    }
    for (uint8_t i = 0; i < row->n_limits && i < TL_ROW_LIMITS_MAX; i++) put_limit(&l, &row->limits[i]);
    put_word(&l, "\n");
    return l.size;
}

uint32_t tl_schema_hash(uint32_t period_us, uint8_t observation_size, uint8_t action_size, const tl_row *rows) {
    char text[TL_SCHEMA_LINE_MAX];
    uint32_t hash = tl_crc32(0, text, tl_schema_head(period_us, observation_size, action_size, text));
    for (unsigned i = 0; i < (unsigned)observation_size + action_size; i++)
        hash = tl_crc32(hash, text, tl_schema_line(&rows[i], text));
    return hash;
}

/* Plain ASCII without a space, 1 to max characters, then 00. */
static bool plain(const char *text, size_t max) {
    size_t n = 0;
    for (; n <= max && text[n] != '\0'; n++)
        if (text[n] < 0x21 || text[n] > 0x7E) return false;
    return n >= 1 && n <= max;
}

/* A slew that is lost in rounding would never bring the output to safe_value. A slew of at least the spacing of floats
 * below the larger end moves every output in the range: a smaller one may leave the end and then stop at a value that
 * it cannot change. */
static bool arrives(const tl_row *row) {
    const float end = -row->min > row->max ? -row->min : row->max;
    return tl_f32_finite(row->slew) && row->slew >= end - tl_f32_from_bits(tl_f32_bits(end) - 1u);
}

static bool limit_valid(const tl_limit *limit) {
    if (!(limit->low < limit->high) || (!tl_f32_finite(limit->low) && !tl_f32_finite(limit->high))) return false;
    switch (limit->kind) {
        case TL_LIMIT_DIRECTION:
            return limit->actuator != TL_LIMIT_ALL && (limit->sense == 1 || limit->sense == -1) && limit->slope == 0.0f;
        case TL_LIMIT_FAULT:
            return limit->actuator == TL_LIMIT_ALL && limit->sense == 0 && limit->slope == 0.0f;
        case TL_LIMIT_DERATE:
            return limit->sense == 0 && tl_f32_finite(limit->slope) && limit->slope > 0.0f;
        default:
            return false;
    }
}

static bool observation_valid(const tl_row *row) {
    if (row->safe != TL_SAFE_NONE || row->role >= TL_ROW_COUNT || row->n_limits > TL_ROW_LIMITS_MAX) return false;
    if (row->role == TL_ROW_BRAKE) return row->min == 0.0f && row->max == 1.0f && row->n_limits == 0;
    for (uint8_t i = 0; i < row->n_limits; i++)
        if (!limit_valid(&row->limits[i])) return false;
    return true;
}

bool tl_row_valid(const tl_row *row) {
    if (!plain(row->name, TL_NAME_MAX) || !plain(row->unit, TL_UNIT_MAX)) return false;
    if (!(row->min < row->max)) return false;
    if (!row->actuator) return observation_valid(row);
    if (row->role != TL_ROW_ANY || row->n_limits != 0) return false;
    if (row->safe == TL_SAFE_NONE || tl_safe_name(row->safe) == NULL) return false;
    if (!tl_f32_finite(row->min) || !tl_f32_finite(row->max) || !(row->slew > 0.0f)) return false;
    if (row->safe == TL_SAFE_RAMP && !arrives(row)) return false;
    return row->safe_value >= row->min && row->safe_value <= row->max;
}
