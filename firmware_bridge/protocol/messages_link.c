/* Messages of the link: identity, clock, data sheet, events. */
#include <string.h>

#include "firmware_bridge/protocol/bytes.h"
#include "firmware_bridge/protocol/messages.h"

enum {
    HELLO_SIZE = 28,
    PING_SIZE = 8,
    PONG_SIZE = 24,
    DESCRIBE_SIZE = 1,
    ROW_SIZE = 56,
    LIMIT_SIZE = 16,
    EVENT_SIZE = 8,
    PARAM_SIZE = 8
};

static uint8_t *begin(tl_frame *frame, uint8_t type, uint8_t size) {
    frame->type = type;
    frame->flags = 0;
    frame->size = size;
    return frame->payload;
}

static bool is(const tl_frame *frame, uint8_t type, uint8_t size) { return frame->type == type && frame->size == size; }

void tl_hello_pack(const tl_hello *hello, tl_frame *frame) {
    uint8_t *p = begin(frame, TL_TYPE_HELLO, HELLO_SIZE);
    p[0] = hello->proto_ver;
    p[1] = hello->role;
    tl_put_u16(p + 2, hello->caps);
    tl_put_u32(p + 4, hello->boot_id);
    tl_put_u32(p + 8, hello->schema_hash);
    tl_put_u32(p + 12, hello->period_us);
    tl_put_u16(p + 16, hello->ttl_max_ms);
    p[18] = hello->observation_size;
    p[19] = hello->action_size;
    p[20] = hello->fw_major;
    p[21] = hello->fw_minor;
    tl_put_u16(p + 22, hello->fw_patch);
    tl_put_u32(p + 24, hello->last_session);
}

bool tl_hello_unpack(const tl_frame *frame, tl_hello *hello) {
    const uint8_t *p = frame->payload;
    if (frame->type != TL_TYPE_HELLO || frame->size < HELLO_SIZE) return false;
    hello->proto_ver = p[0];
    hello->role = p[1];
    hello->caps = tl_get_u16(p + 2);
    hello->boot_id = tl_get_u32(p + 4);
    hello->schema_hash = tl_get_u32(p + 8);
    hello->period_us = tl_get_u32(p + 12);
    hello->ttl_max_ms = tl_get_u16(p + 16);
    hello->observation_size = p[18];
    hello->action_size = p[19];
    hello->fw_major = p[20];
    hello->fw_minor = p[21];
    hello->fw_patch = tl_get_u16(p + 22);
    hello->last_session = tl_get_u32(p + 24);
    return true;
}

void tl_ping_pack(const tl_ping *ping, tl_frame *frame) {
    tl_put_u64(begin(frame, TL_TYPE_PING, PING_SIZE), ping->t0_us);
}

bool tl_ping_unpack(const tl_frame *frame, tl_ping *ping) {
    if (!is(frame, TL_TYPE_PING, PING_SIZE)) return false;
    ping->t0_us = tl_get_u64(frame->payload);
    return true;
}

void tl_pong_pack(const tl_pong *pong, tl_frame *frame) {
    uint8_t *p = begin(frame, TL_TYPE_PONG, PONG_SIZE);
    tl_put_u64(p, pong->t0_us);
    tl_put_u64(p + 8, pong->t1_us);
    tl_put_u64(p + 16, pong->t2_us);
}

bool tl_pong_unpack(const tl_frame *frame, tl_pong *pong) {
    if (!is(frame, TL_TYPE_PONG, PONG_SIZE)) return false;
    pong->t0_us = tl_get_u64(frame->payload);
    pong->t1_us = tl_get_u64(frame->payload + 8);
    pong->t2_us = tl_get_u64(frame->payload + 16);
    return true;
}

void tl_describe_pack(const tl_describe *describe, tl_frame *frame) {
    uint8_t *p = begin(frame, TL_TYPE_DESCRIBE, describe->version < 2 ? DESCRIBE_SIZE : DESCRIBE_SIZE + 1);
    p[0] = describe->index;
    if (frame->size > DESCRIBE_SIZE) p[1] = describe->version;
}

bool tl_describe_unpack(const tl_frame *frame, tl_describe *describe) {
    const bool longer = is(frame, TL_TYPE_DESCRIBE, DESCRIBE_SIZE + 1);
    if (!longer && !is(frame, TL_TYPE_DESCRIBE, DESCRIBE_SIZE)) return false;
    if (longer && frame->payload[1] < 2) return false;
    describe->index = frame->payload[0];
    describe->version = longer ? frame->payload[1] : 1;
    return true;
}

/* Text as a field of fixed size, padded with 00. */
static void put_text(uint8_t *p, const char *text, size_t max) {
    bool ended = false;
    for (size_t i = 0; i < max; i++) {
        ended = ended || text[i] == '\0';
        p[i] = ended ? 0 : (uint8_t)text[i];
    }
}

/* Length of the text in a field: plain characters, then only 00. 0 for invalid text. */
static size_t text_length(const uint8_t *p, size_t max) {
    size_t n = 0;
    while (n < max && p[n] >= 0x21 && p[n] <= 0x7E) n++;
    for (size_t i = n; i < max; i++)
        if (p[i] != 0) return 0;
    return n;
}

static uint8_t *put_limit(uint8_t *p, const tl_limit *limit) {
    p[0] = TL_FIELD_LIMIT;
    p[1] = LIMIT_SIZE;
    p[2] = limit->kind;
    p[3] = limit->actuator;
    p[4] = (uint8_t)limit->sense;
    p[5] = 0;
    tl_put_f32(p + 6, limit->low);
    tl_put_f32(p + 10, limit->high);
    tl_put_f32(p + 14, limit->slope);
    return p + 2 + LIMIT_SIZE;
}

static tl_limit get_limit(const uint8_t *p) {
    const int8_t sense = p[2] == 1 ? 1 : p[2] == 0xFF ? -1 : 0;
    return (tl_limit){p[0], p[1], sense, tl_get_f32(p + 4), tl_get_f32(p + 8), tl_get_f32(p + 12)};
}

void tl_row_pack(const tl_row *row, tl_frame *frame) {
    uint8_t *p = begin(frame, TL_TYPE_ROW, ROW_SIZE);
    p[0] = row->index;
    p[1] = row->actuator;
    p[2] = row->safe;
    p[3] = 0;
    tl_put_f32(p + 4, row->min);
    tl_put_f32(p + 8, row->max);
    tl_put_f32(p + 12, row->slew);
    tl_put_f32(p + 16, row->safe_value);
    put_text(p + 20, row->name, TL_NAME_MAX);
    put_text(p + 44, row->unit, TL_UNIT_MAX);
    p += ROW_SIZE;
    if (row->role != TL_ROW_ANY) {
        *p++ = TL_FIELD_ROLE;
        *p++ = 1;
        *p++ = row->role;
    }
    for (uint8_t i = 0; i < row->n_limits && i < TL_ROW_LIMITS_MAX; i++) p = put_limit(p, &row->limits[i]);
    frame->size = (uint8_t)(p - frame->payload);
}

/* The fields from p to end; false when one is cut short, or there are too many limits. */
static bool get_fields(const uint8_t *p, const uint8_t *end, tl_row *row) {
    while (p != end) {
        if (end - p < 2 || p[0] == 0 || p[1] > end - p - 2) return false;
        if (p[0] == TL_FIELD_ROLE) {
            if (p[1] < 1) return false;
            row->role = p[2];
        } else if (p[0] == TL_FIELD_LIMIT) {
            if (p[1] < LIMIT_SIZE || row->n_limits == TL_ROW_LIMITS_MAX) return false;
            row->limits[row->n_limits++] = get_limit(p + 2);
        }
        p += 2 + p[1];
    }
    return true;
}

bool tl_row_unpack(const tl_frame *frame, tl_row *row) {
    const uint8_t *p = frame->payload;
    tl_row found = {0};
    if (frame->type != TL_TYPE_ROW || frame->size < ROW_SIZE) return false;
    const size_t name = text_length(p + 20, TL_NAME_MAX), unit = text_length(p + 44, TL_UNIT_MAX);
    if (name == 0 || unit == 0 || p[1] > 1) return false;
    found.index = p[0];
    found.actuator = p[1];
    found.safe = p[2];
    found.min = tl_get_f32(p + 4);
    found.max = tl_get_f32(p + 8);
    found.slew = tl_get_f32(p + 12);
    found.safe_value = tl_get_f32(p + 16);
    memcpy(found.name, p + 20, name);
    memcpy(found.unit, p + 44, unit);
    if (!get_fields(p + ROW_SIZE, p + frame->size, &found)) return false;
    *row = found;
    return true;
}

void tl_event_pack(const tl_event *event, tl_frame *frame) {
    uint8_t *p = begin(frame, TL_TYPE_EVENT, EVENT_SIZE);
    p[0] = event->code;
    p[1] = event->status;
    tl_put_u16(p + 2, event->seq);
    tl_put_u32(p + 4, event->count);
}

bool tl_event_unpack(const tl_frame *frame, tl_event *event) {
    const uint8_t *p = frame->payload;
    if (!is(frame, TL_TYPE_EVENT, EVENT_SIZE)) return false;
    event->code = p[0];
    event->status = p[1];
    event->seq = tl_get_u16(p + 2);
    event->count = tl_get_u32(p + 4);
    return true;
}

void tl_param_pack(const tl_param *param, tl_frame *frame) {
    uint8_t *p = begin(frame, TL_TYPE_PARAM, PARAM_SIZE);
    tl_put_u16(p, param->index);
    p[2] = param->op;
    p[3] = param->kind;
    tl_put_u32(p + 4, param->bits);
}

bool tl_param_unpack(const tl_frame *frame, tl_param *param) {
    const uint8_t *p = frame->payload;
    if (!is(frame, TL_TYPE_PARAM, PARAM_SIZE)) return false;
    param->index = tl_get_u16(p);
    param->op = p[2];
    param->kind = p[3];
    param->bits = tl_get_u32(p + 4);
    return true;
}

char *tl_log_begin(uint8_t level, tl_frame *frame) {
    uint8_t *p = begin(frame, TL_TYPE_LOG, 1);
    p[0] = level;
    return (char *)p + 1;
}

void tl_log_end(const char *end, tl_frame *frame) { frame->size = (uint8_t)((const uint8_t *)end - frame->payload); }

void tl_log_pack(const tl_log *log, tl_frame *frame) {
    const uint8_t length = log->length < TL_LOG_MAX ? log->length : TL_LOG_MAX;
    char *text = tl_log_begin(log->level, frame);
    memcpy(text, log->text, length);
    tl_log_end(text + length, frame);
}

bool tl_log_unpack(const tl_frame *frame, tl_log *log) {
    if (frame->type != TL_TYPE_LOG || frame->size < 1) return false;
    log->level = frame->payload[0];
    log->length = (uint8_t)(frame->size - 1);
    memcpy(log->text, frame->payload + 1, log->length);
    return true;
}

void tl_empty_pack(uint8_t type, tl_frame *frame) { begin(frame, type, 0); }

bool tl_empty_unpack(const tl_frame *frame, uint8_t type) { return is(frame, type, 0); }
