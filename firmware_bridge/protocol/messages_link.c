/* Messages of the link: who is there, what time is it, what do you measure, what happened. */
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

static uint8_t *begin(rtu_frame *frame, uint8_t type, uint8_t size) {
    frame->type = type;
    frame->flags = 0;
    frame->size = size;
    return frame->payload;
}

static bool is(const rtu_frame *frame, uint8_t type, uint8_t size) {
    return frame->type == type && frame->size == size;
}

void rtu_hello_pack(const rtu_hello *hello, rtu_frame *frame) {
    uint8_t *p = begin(frame, RTU_TYPE_HELLO, HELLO_SIZE);
    p[0] = hello->proto_ver;
    p[1] = hello->role;
    rtu_put_u16(p + 2, hello->caps);
    rtu_put_u32(p + 4, hello->boot_id);
    rtu_put_u32(p + 8, hello->schema_hash);
    rtu_put_u32(p + 12, hello->period_us);
    rtu_put_u16(p + 16, hello->ttl_max_ms);
    p[18] = hello->n_obs;
    p[19] = hello->n_act;
    p[20] = hello->fw_major;
    p[21] = hello->fw_minor;
    rtu_put_u16(p + 22, hello->fw_patch);
    rtu_put_u32(p + 24, hello->last_session);
}

bool rtu_hello_unpack(const rtu_frame *frame, rtu_hello *hello) {
    const uint8_t *p = frame->payload;
    if (frame->type != RTU_TYPE_HELLO || frame->size < HELLO_SIZE) return false;
    hello->proto_ver = p[0];
    hello->role = p[1];
    hello->caps = rtu_get_u16(p + 2);
    hello->boot_id = rtu_get_u32(p + 4);
    hello->schema_hash = rtu_get_u32(p + 8);
    hello->period_us = rtu_get_u32(p + 12);
    hello->ttl_max_ms = rtu_get_u16(p + 16);
    hello->n_obs = p[18];
    hello->n_act = p[19];
    hello->fw_major = p[20];
    hello->fw_minor = p[21];
    hello->fw_patch = rtu_get_u16(p + 22);
    hello->last_session = rtu_get_u32(p + 24);
    return true;
}

void rtu_ping_pack(const rtu_ping *ping, rtu_frame *frame) {
    rtu_put_u64(begin(frame, RTU_TYPE_PING, PING_SIZE), ping->t0_us);
}

bool rtu_ping_unpack(const rtu_frame *frame, rtu_ping *ping) {
    if (!is(frame, RTU_TYPE_PING, PING_SIZE)) return false;
    ping->t0_us = rtu_get_u64(frame->payload);
    return true;
}

void rtu_pong_pack(const rtu_pong *pong, rtu_frame *frame) {
    uint8_t *p = begin(frame, RTU_TYPE_PONG, PONG_SIZE);
    rtu_put_u64(p, pong->t0_us);
    rtu_put_u64(p + 8, pong->t1_us);
    rtu_put_u64(p + 16, pong->t2_us);
}

bool rtu_pong_unpack(const rtu_frame *frame, rtu_pong *pong) {
    if (!is(frame, RTU_TYPE_PONG, PONG_SIZE)) return false;
    pong->t0_us = rtu_get_u64(frame->payload);
    pong->t1_us = rtu_get_u64(frame->payload + 8);
    pong->t2_us = rtu_get_u64(frame->payload + 16);
    return true;
}

void rtu_describe_pack(const rtu_describe *describe, rtu_frame *frame) {
    *begin(frame, RTU_TYPE_DESCRIBE, DESCRIBE_SIZE) = describe->index;
}

bool rtu_describe_unpack(const rtu_frame *frame, rtu_describe *describe) {
    if (!is(frame, RTU_TYPE_DESCRIBE, DESCRIBE_SIZE)) return false;
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

/* Length of the text in a field: plain characters, then only 00. 0 when it is not like that. */
static size_t text_length(const uint8_t *p, size_t max) {
    size_t n = 0;
    while (n < max && p[n] >= 0x21 && p[n] <= 0x7E) n++;
    for (size_t i = n; i < max; i++)
        if (p[i] != 0) return 0;
    return n;
}

void rtu_row_pack(const rtu_row *row, rtu_frame *frame) {
    uint8_t *p = begin(frame, RTU_TYPE_ROW, ROW_SIZE);
    p[0] = row->index;
    p[1] = row->actuator;
    p[2] = row->safe;
    p[3] = 0;
    rtu_put_f32(p + 4, row->min);
    rtu_put_f32(p + 8, row->max);
    rtu_put_f32(p + 12, row->slew);
    rtu_put_f32(p + 16, row->safe_value);
    put_text(p + 20, row->name, RTU_NAME_MAX);
    put_text(p + 44, row->unit, RTU_UNIT_MAX);
}

bool rtu_row_unpack(const rtu_frame *frame, rtu_row *row) {
    const uint8_t *p = frame->payload;
    if (!is(frame, RTU_TYPE_ROW, ROW_SIZE)) return false;
    const size_t name = text_length(p + 20, RTU_NAME_MAX), unit = text_length(p + 44, RTU_UNIT_MAX);
    if (name == 0 || unit == 0 || p[1] > 1) return false;
    memset(row, 0, sizeof *row);
    row->index = p[0];
    row->actuator = p[1];
    row->safe = p[2];
    row->min = rtu_get_f32(p + 4);
    row->max = rtu_get_f32(p + 8);
    row->slew = rtu_get_f32(p + 12);
    row->safe_value = rtu_get_f32(p + 16);
    memcpy(row->name, p + 20, name);
    memcpy(row->unit, p + 44, unit);
    return true;
}

void rtu_event_pack(const rtu_event *event, rtu_frame *frame) {
    uint8_t *p = begin(frame, RTU_TYPE_EVENT, EVENT_SIZE);
    p[0] = event->code;
    p[1] = event->status;
    rtu_put_u16(p + 2, event->seq);
    rtu_put_u32(p + 4, event->count);
}

bool rtu_event_unpack(const rtu_frame *frame, rtu_event *event) {
    const uint8_t *p = frame->payload;
    if (!is(frame, RTU_TYPE_EVENT, EVENT_SIZE)) return false;
    event->code = p[0];
    event->status = p[1];
    event->seq = rtu_get_u16(p + 2);
    event->count = rtu_get_u32(p + 4);
    return true;
}

void rtu_param_pack(const rtu_param *param, rtu_frame *frame) {
    uint8_t *p = begin(frame, RTU_TYPE_PARAM, PARAM_SIZE);
    rtu_put_u16(p, param->index);
    p[2] = param->op;
    p[3] = param->kind;
    rtu_put_u32(p + 4, param->bits);
}

bool rtu_param_unpack(const rtu_frame *frame, rtu_param *param) {
    const uint8_t *p = frame->payload;
    if (!is(frame, RTU_TYPE_PARAM, PARAM_SIZE)) return false;
    param->index = rtu_get_u16(p);
    param->op = p[2];
    param->kind = p[3];
    param->bits = rtu_get_u32(p + 4);
    return true;
}

void rtu_log_pack(const rtu_log *log, rtu_frame *frame) {
    const uint8_t length = log->length < RTU_LOG_MAX ? log->length : RTU_LOG_MAX;
    uint8_t *p = begin(frame, RTU_TYPE_LOG, (uint8_t)(1 + length));
    p[0] = log->level;
    memcpy(p + 1, log->text, length);
}

bool rtu_log_unpack(const rtu_frame *frame, rtu_log *log) {
    if (frame->type != RTU_TYPE_LOG || frame->size < 1) return false;
    log->level = frame->payload[0];
    log->length = (uint8_t)(frame->size - 1);
    memcpy(log->text, frame->payload + 1, log->length);
    return true;
}

void rtu_empty_pack(uint8_t type, rtu_frame *frame) { begin(frame, type, 0); }

bool rtu_empty_unpack(const rtu_frame *frame, uint8_t type) { return is(frame, type, 0); }
