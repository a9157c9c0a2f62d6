#include "firmware_bridge/protocol/schema.h"

#include "firmware_bridge/protocol/bytes.h"
#include "firmware_bridge/protocol/crc32.h"
#include "firmware_bridge/protocol/flash.h"

/* A line under construction: into memory, or into a hash alone. The longest one, a row of an observation with full
 * name, unit, role and four limits, has 263 bytes. */
typedef struct {
    char *out; /* NULL: hashed */
    size_t size;
    uint32_t hash;
} line;

static void put_char(line *l, char c) {
    if (l->out != NULL)
        l->out[l->size] = c;
    else
        l->hash = tl_crc32(l->hash, &c, 1);
    l->size++;
}

static void put(line *l, const char *text, size_t max) {
    for (size_t i = 0; i < max && text[i] != '\0'; i++) put_char(l, text[i]);
}

static void put_word(line *l, const TL_ROM char *word) {
    while (*word != '\0') put_char(l, *word++);
}

/* A word that stays in flash. */
#define PUT_WORD(l, text)                            \
    do {                                             \
        static const TL_IN_FLASH char word[] = text; \
        put_word(l, word);                           \
    } while (false)

static void put_hex(line *l, uint32_t bits) {
    put_char(l, ' ');
    for (unsigned shift = 32; shift != 0; shift -= 4) {
        const unsigned digit = (unsigned)(bits >> (shift - 4)) & 15u;
        put_char(l, (char)(digit < 10 ? '0' + digit : 'a' + digit - 10));
    }
}

static void put_decimal(line *l, uint32_t v) {
    char digits[10];
    size_t n = 0;
    do {
        digits[n++] = (char)('0' + v % 10u);
        v /= 10u;
    } while (v != 0);
    while (n != 0) put_char(l, digits[--n]);
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

static void put_safe(line *l, uint8_t safe) {
    static const TL_IN_FLASH char names[][5] = {"none", "hold", "damp", "ramp", "off"};
    put_word(l, names[safe <= TL_SAFE_OFF ? safe : TL_SAFE_NONE]);
}

static void put_head(line *l, uint32_t period_us, uint8_t observation_size, uint8_t action_size) {
    PUT_WORD(l, "rtu-link schema 1 period_us ");
    put_decimal(l, period_us);
    PUT_WORD(l, " observations ");
    put_decimal(l, observation_size);
    PUT_WORD(l, " actuators ");
    put_decimal(l, action_size);
    put_char(l, '\n');
}

static void put_limit(line *l, const tl_limit *limit) {
    PUT_WORD(l, " limit ");
    put_decimal(l, limit->kind);
    put_char(l, ' ');
    put_decimal(l, limit->actuator);
    put_char(l, ' ');
    if (limit->sense < 0) put_char(l, '-');
    put_decimal(l, limit->sense != 0);
    put_hex(l, tl_f32_bits(limit->low));
    put_hex(l, tl_f32_bits(limit->high));
    put_hex(l, tl_f32_bits(limit->slope));
}

static void put_row(line *l, const tl_row *row) {
    if (row->actuator)
        PUT_WORD(l, "actuator ");
    else
        PUT_WORD(l, "observation ");
    put(l, row->name, TL_NAME_MAX);
    put_char(l, ' ');
    put(l, row->unit, TL_UNIT_MAX);
    put_hex(l, tl_f32_bits(row->min));
    put_hex(l, tl_f32_bits(row->max));
    if (row->actuator) {
        PUT_WORD(l, " slew");
        put_hex(l, tl_f32_bits(row->slew));
        PUT_WORD(l, " safe ");
        put_safe(l, row->safe);
        put_hex(l, tl_f32_bits(row->safe_value));
    }
    if (row->role != TL_ROW_ANY) {
        PUT_WORD(l, " role ");
        put_decimal(l, row->role);
    }
    for (uint8_t i = 0; i < row->n_limits && i < TL_ROW_LIMITS_MAX; i++) put_limit(l, &row->limits[i]);
    put_char(l, '\n');
}

size_t tl_schema_head(uint32_t period_us, uint8_t observation_size, uint8_t action_size, char out[TL_SCHEMA_LINE_MAX]) {
    line l = {out, 0, 0};
    put_head(&l, period_us, observation_size, action_size);
    return l.size;
}

size_t tl_schema_line(const tl_row *row, char out[TL_SCHEMA_LINE_MAX]) {
    line l = {out, 0, 0};
    put_row(&l, row);
    return l.size;
}

uint32_t tl_schema_hash_head(uint32_t period_us, uint8_t observation_size, uint8_t action_size) {
    line l = {NULL, 0, 0};
    put_head(&l, period_us, observation_size, action_size);
    return l.hash;
}

uint32_t tl_schema_hash_row(uint32_t hash, const tl_row *row) {
    line l = {NULL, 0, hash};
    put_row(&l, row);
    return l.hash;
}

uint32_t tl_schema_hash(uint32_t period_us, uint8_t observation_size, uint8_t action_size, const tl_row *rows) {
    uint32_t hash = tl_schema_hash_head(period_us, observation_size, action_size);
    for (unsigned i = 0; i < (unsigned)observation_size + action_size; i++) hash = tl_schema_hash_row(hash, &rows[i]);
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
    if (row->safe == TL_SAFE_NONE || row->safe > TL_SAFE_OFF) return false;
    if (!tl_f32_finite(row->min) || !tl_f32_finite(row->max) || !(row->slew > 0.0f)) return false;
    if (row->safe == TL_SAFE_RAMP && !arrives(row)) return false;
    return row->safe_value >= row->min && row->safe_value <= row->max;
}
