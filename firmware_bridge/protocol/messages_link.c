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
    *begin(frame, TL_TYPE_DESCRIBE, DESCRIBE_SIZE) = describe->index;
}

bool tl_describe_unpack(const tl_frame *frame, tl_describe *describe) {
    if (!is(frame, TL_TYPE_DESCRIBE, DESCRIBE_SIZE)) return false;
    describe->index = frame->payload[0];
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
}

bool tl_row_unpack(const tl_frame *frame, tl_row *row) {
    const uint8_t *p = frame->payload;
    if (!is(frame, TL_TYPE_ROW, ROW_SIZE)) return false;
    const size_t name = text_length(p + 20, TL_NAME_MAX), unit = text_length(p + 44, TL_UNIT_MAX);
    if (name == 0 || unit == 0 || p[1] > 1) return false;
    memset(row, 0, sizeof *row);
    row->index = p[0];
    row->actuator = p[1];
    row->safe = p[2];
    row->min = tl_get_f32(p + 4);
    row->max = tl_get_f32(p + 8);
    row->slew = tl_get_f32(p + 12);
    row->safe_value = tl_get_f32(p + 16);
    memcpy(row->name, p + 20, name);
    memcpy(row->unit, p + 44, unit);
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

void tl_log_pack(const tl_log *log, tl_frame *frame) {
    const uint8_t length = log->length < TL_LOG_MAX ? log->length : TL_LOG_MAX;
    uint8_t *p = begin(frame, TL_TYPE_LOG, (uint8_t)(1 + length));
    p[0] = log->level;
    memcpy(p + 1, log->text, length);
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
