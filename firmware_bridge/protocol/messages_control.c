/* Messages that let a machine move, or say how it moved. */
#include "firmware_bridge/protocol/bytes.h"
#include "firmware_bridge/protocol/messages.h"

enum { CMD_SIZE = 12, ARM_SIZE = 4, ACK_SIZE = 4, RESET_SIZE = 12, STATE_SIZE = 16 };

static uint8_t *begin(rtu_frame *frame, uint8_t type, bool lockstep, unsigned size) {
    frame->type = type;
    frame->flags = lockstep ? RTU_FLAG_LOCKSTEP : 0;
    frame->size = (uint8_t)size;
    return frame->payload;
}

static bool is(const rtu_frame *frame, uint8_t type, unsigned size) {
    return frame->type == type && frame->size == size;
}

static unsigned at_most(unsigned n, unsigned limit) { return n < limit ? n : limit; }

void rtu_cmd_pack(const rtu_cmd *cmd, rtu_frame *frame) {
    const unsigned n = at_most(cmd->n, RTU_VALUES_MAX);
    uint8_t *p = begin(frame, RTU_TYPE_CMD, cmd->lockstep, CMD_SIZE + 4 * n);
    rtu_put_u32(p, cmd->session);
    rtu_put_u32(p + 4, cmd->obs_t_us);
    rtu_put_u16(p + 8, cmd->ttl_ms);
    p[10] = cmd->mode;
    p[11] = (uint8_t)n;
    for (unsigned i = 0; i < n; i++) rtu_put_f32(p + CMD_SIZE + 4 * i, cmd->u[i]);
}

bool rtu_cmd_unpack(const rtu_frame *frame, rtu_cmd *cmd) {
    const uint8_t *p = frame->payload;
    if (frame->type != RTU_TYPE_CMD || frame->size < CMD_SIZE) return false;
    const unsigned n = p[11];
    if (n > RTU_VALUES_MAX || frame->size != CMD_SIZE + 4 * n) return false;
    cmd->lockstep = (frame->flags & RTU_FLAG_LOCKSTEP) != 0;
    cmd->session = rtu_get_u32(p);
    cmd->obs_t_us = rtu_get_u32(p + 4);
    cmd->ttl_ms = rtu_get_u16(p + 8);
    cmd->mode = p[10];
    cmd->n = (uint8_t)n;
    for (unsigned i = 0; i < n; i++) cmd->u[i] = rtu_get_f32(p + CMD_SIZE + 4 * i);
    return true;
}

void rtu_arm_pack(const rtu_arm *arm, rtu_frame *frame) {
    rtu_put_u32(begin(frame, RTU_TYPE_ARM, arm->lockstep, ARM_SIZE), arm->session);
}

bool rtu_arm_unpack(const rtu_frame *frame, rtu_arm *arm) {
    if (!is(frame, RTU_TYPE_ARM, ARM_SIZE)) return false;
    arm->lockstep = (frame->flags & RTU_FLAG_LOCKSTEP) != 0;
    arm->session = rtu_get_u32(frame->payload);
    return true;
}

void rtu_ack_pack(const rtu_ack *ack, rtu_frame *frame) {
    uint8_t *p = begin(frame, RTU_TYPE_ACK, false, ACK_SIZE);
    p[0] = ack->type;
    p[1] = ack->status;
    rtu_put_u16(p + 2, ack->seq);
}

bool rtu_ack_unpack(const rtu_frame *frame, rtu_ack *ack) {
    if (!is(frame, RTU_TYPE_ACK, ACK_SIZE)) return false;
    ack->type = frame->payload[0];
    ack->status = frame->payload[1];
    ack->seq = rtu_get_u16(frame->payload + 2);
    return true;
}

void rtu_reset_pack(const rtu_reset *reset, rtu_frame *frame) {
    uint8_t *p = begin(frame, RTU_TYPE_RESET, false, RESET_SIZE);
    rtu_put_u32(p, reset->session);
    rtu_put_u16(p + 4, reset->episode);
    rtu_put_u16(p + 6, 0);
    rtu_put_u32(p + 8, reset->seed);
}

bool rtu_reset_unpack(const rtu_frame *frame, rtu_reset *reset) {
    if (!is(frame, RTU_TYPE_RESET, RESET_SIZE)) return false;
    reset->session = rtu_get_u32(frame->payload);
    reset->episode = rtu_get_u16(frame->payload + 4);
    reset->seed = rtu_get_u32(frame->payload + 8);
    return true;
}

void rtu_state_pack(const rtu_state *state, rtu_frame *frame) {
    const unsigned n = at_most(state->n, RTU_VALUES_MAX);
    const unsigned m = at_most(state->m, RTU_VALUES_MAX - n);
    uint8_t *p = begin(frame, RTU_TYPE_STATE, false, STATE_SIZE + 4 * (n + m));
    rtu_put_u16(p, state->last_cmd_seq);
    rtu_put_u16(p + 2, state->cmd_age_ms);
    rtu_put_u16(p + 4, state->fault);
    rtu_put_u16(p + 6, state->episode);
    p[8] = state->state;
    p[9] = state->epflags;
    p[10] = (uint8_t)n;
    p[11] = (uint8_t)m;
    rtu_put_f32(p + 12, state->reward);
    p += STATE_SIZE;
    for (unsigned i = 0; i < n; i++, p += 4) rtu_put_f32(p, state->x[i]);
    for (unsigned i = 0; i < m; i++, p += 4) rtu_put_f32(p, state->u[i]);
}

bool rtu_state_unpack(const rtu_frame *frame, rtu_state *state) {
    const uint8_t *p = frame->payload;
    if (frame->type != RTU_TYPE_STATE || frame->size < STATE_SIZE) return false;
    const unsigned n = p[10], m = p[11];
    if (n + m > RTU_VALUES_MAX || frame->size != STATE_SIZE + 4 * (n + m)) return false;
    state->last_cmd_seq = rtu_get_u16(p);
    state->cmd_age_ms = rtu_get_u16(p + 2);
    state->fault = rtu_get_u16(p + 4);
    state->episode = rtu_get_u16(p + 6);
    state->state = p[8];
    state->epflags = p[9];
    state->n = (uint8_t)n;
    state->m = (uint8_t)m;
    state->reward = rtu_get_f32(p + 12);
    p += STATE_SIZE;
    for (unsigned i = 0; i < n; i++, p += 4) state->x[i] = rtu_get_f32(p);
    for (unsigned i = 0; i < m; i++, p += 4) state->u[i] = rtu_get_f32(p);
    return true;
}
