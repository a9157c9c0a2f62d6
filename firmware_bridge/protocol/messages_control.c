/* Messages that command a plant or report its state. */
#include "firmware_bridge/protocol/bytes.h"
#include "firmware_bridge/protocol/messages.h"

enum { CMD_SIZE = 12, ARM_SIZE = 4, ACK_SIZE = 4, RESET_SIZE = 12, STATE_SIZE = 16 };

static uint8_t *begin(tl_frame *frame, uint8_t type, bool lockstep, unsigned size) {
    frame->type = type;
    frame->flags = lockstep ? TL_FLAG_LOCKSTEP : 0;
    frame->size = (uint8_t)size;
    return frame->payload;
}

static bool is(const tl_frame *frame, uint8_t type, unsigned size) {
    return frame->type == type && frame->size == size;
}

static unsigned at_most(unsigned n, unsigned limit) { return n < limit ? n : limit; }

void tl_cmd_pack(const tl_cmd *cmd, tl_frame *frame) {
    const unsigned n = at_most(cmd->n, TL_VALUES_MAX);
    uint8_t *p = begin(frame, TL_TYPE_CMD, cmd->lockstep, CMD_SIZE + 4 * n);
    tl_put_u32(p, cmd->session);
    tl_put_u32(p + 4, cmd->obs_t_us);
    tl_put_u16(p + 8, cmd->ttl_ms);
    p[10] = cmd->mode;
    p[11] = (uint8_t)n;
    for (unsigned i = 0; i < n; i++) tl_put_f32(p + CMD_SIZE + 4 * i, cmd->u[i]);
}

bool tl_cmd_unpack(const tl_frame *frame, tl_cmd *cmd) {
    const uint8_t *p = frame->payload;
    if (frame->type != TL_TYPE_CMD || frame->size < CMD_SIZE) return false;
    const unsigned n = p[11];
    if (n > TL_VALUES_MAX || frame->size != CMD_SIZE + 4 * n) return false;
    cmd->lockstep = (frame->flags & TL_FLAG_LOCKSTEP) != 0;
    cmd->session = tl_get_u32(p);
    cmd->obs_t_us = tl_get_u32(p + 4);
    cmd->ttl_ms = tl_get_u16(p + 8);
    cmd->mode = p[10];
    cmd->n = (uint8_t)n;
    for (unsigned i = 0; i < n; i++) cmd->u[i] = tl_get_f32(p + CMD_SIZE + 4 * i);
    return true;
}

void tl_arm_pack(const tl_arm *arm, tl_frame *frame) {
    tl_put_u32(begin(frame, TL_TYPE_ARM, arm->lockstep, ARM_SIZE), arm->session);
}

bool tl_arm_unpack(const tl_frame *frame, tl_arm *arm) {
    if (!is(frame, TL_TYPE_ARM, ARM_SIZE)) return false;
    arm->lockstep = (frame->flags & TL_FLAG_LOCKSTEP) != 0;
    arm->session = tl_get_u32(frame->payload);
    return true;
}

void tl_ack_pack(const tl_ack *ack, tl_frame *frame) {
    uint8_t *p = begin(frame, TL_TYPE_ACK, false, ACK_SIZE);
    p[0] = ack->type;
    p[1] = ack->status;
    tl_put_u16(p + 2, ack->seq);
}

bool tl_ack_unpack(const tl_frame *frame, tl_ack *ack) {
    if (!is(frame, TL_TYPE_ACK, ACK_SIZE)) return false;
    ack->type = frame->payload[0];
    ack->status = frame->payload[1];
    ack->seq = tl_get_u16(frame->payload + 2);
    return true;
}

void tl_reset_pack(const tl_reset *reset, tl_frame *frame) {
    uint8_t *p = begin(frame, TL_TYPE_RESET, false, RESET_SIZE);
    tl_put_u32(p, reset->session);
    tl_put_u16(p + 4, reset->episode);
    tl_put_u16(p + 6, 0);
    tl_put_u32(p + 8, reset->seed);
}

bool tl_reset_unpack(const tl_frame *frame, tl_reset *reset) {
    if (!is(frame, TL_TYPE_RESET, RESET_SIZE)) return false;
    reset->session = tl_get_u32(frame->payload);
    reset->episode = tl_get_u16(frame->payload + 4);
    reset->seed = tl_get_u32(frame->payload + 8);
    return true;
}

void tl_state_pack(const tl_state *state, tl_frame *frame) {
    const unsigned n = at_most(state->n, TL_VALUES_MAX);
    const unsigned m = at_most(state->m, TL_VALUES_MAX - n);
    uint8_t *p = begin(frame, TL_TYPE_STATE, false, STATE_SIZE + 4 * (n + m));
    tl_put_u16(p, state->last_cmd_seq);
    tl_put_u16(p + 2, state->cmd_age_ms);
    tl_put_u16(p + 4, state->fault);
    tl_put_u16(p + 6, state->episode);
    p[8] = state->state;
    p[9] = state->epflags;
    p[10] = (uint8_t)n;
    p[11] = (uint8_t)m;
    tl_put_f32(p + 12, state->reward);
    p += STATE_SIZE;
    for (unsigned i = 0; i < n; i++, p += 4) tl_put_f32(p, state->x[i]);
    for (unsigned i = 0; i < m; i++, p += 4) tl_put_f32(p, state->u[i]);
}

bool tl_state_unpack(const tl_frame *frame, tl_state *state) {
    const uint8_t *p = frame->payload;
    if (frame->type != TL_TYPE_STATE || frame->size < STATE_SIZE) return false;
    const unsigned n = p[10], m = p[11];
    if (n + m > TL_VALUES_MAX || frame->size != STATE_SIZE + 4 * (n + m)) return false;
    state->last_cmd_seq = tl_get_u16(p);
    state->cmd_age_ms = tl_get_u16(p + 2);
    state->fault = tl_get_u16(p + 4);
    state->episode = tl_get_u16(p + 6);
    state->state = p[8];
    state->epflags = p[9];
    state->n = (uint8_t)n;
    state->m = (uint8_t)m;
    state->reward = tl_get_f32(p + 12);
    p += STATE_SIZE;
    for (unsigned i = 0; i < n; i++, p += 4) state->x[i] = tl_get_f32(p);
    for (unsigned i = 0; i < m; i++, p += 4) state->u[i] = tl_get_f32(p);
    return true;
}
