#include <string.h>

#include "firmware_bridge/bridge/internal.h"

/* Stamps and encodes where the frame stands; returns the number of bytes. */
static size_t finish(tl_bridge *bridge, tl_frame *frame, uint64_t now_us) {
    frame->seq = bridge->tx_seq++;
    frame->t_us = (uint32_t)tl_session_clock(bridge, now_us);
    return tl_frame_encode_in_place(frame);
}

static void send(tl_bridge *bridge, const tl_frame *encoded, size_t n) {
    bridge->config.send(bridge->config.send_context, (const uint8_t *)encoded, n);
}

void tl_send_frame(tl_bridge *bridge, tl_frame *frame, uint64_t now_us) {
    const size_t n = finish(bridge, frame, now_us);
    send(bridge, frame, n);
}

void tl_send_hello(tl_bridge *bridge, uint8_t version, uint64_t now_us) {
    const tl_bridge_config *config = &bridge->config;
    const tl_plant_sheet *sheet = config->plant->sheet;
    tl_frame frame;
    tl_hello_pack(
        &(tl_hello){
            .proto_ver = version,
            .role = TL_ROLE_DEVICE,
            .caps = config->caps,
            .boot_id = config->boot_id,
            .schema_hash = version < 2 ? bridge->schema_hash_1 : bridge->schema_hash,
            .period_us = sheet->period_us,
            .ttl_max_ms = config->ttl_max_ms,
            .observation_size = sheet->observation_size,
            .action_size = sheet->action_size,
            .fw_major = config->fw_major,
            .fw_minor = config->fw_minor,
            .fw_patch = config->fw_patch,
            .last_session = bridge->last_session,
        },
        &frame);
    tl_send_frame(bridge, &frame, now_us);
}

void tl_send_pong(tl_bridge *bridge, const tl_frame *ping, uint64_t now_us) {
    tl_ping asked;
    tl_frame frame;
    if (!tl_ping_unpack(ping, &asked)) return;
    tl_pong_pack(&(tl_pong){.t0_us = asked.t0_us, .t1_us = now_us, .t2_us = now_us}, &frame);
    tl_send_frame(bridge, &frame, now_us);
}

void tl_send_ack(tl_bridge *bridge, const tl_frame *to, uint8_t status, uint64_t now_us) {
    tl_frame frame;
    tl_ack_pack(&(tl_ack){.type = to->type, .status = status, .seq = to->seq}, &frame);
    tl_send_frame(bridge, &frame, now_us);
}

void tl_send_ack_again(tl_bridge *bridge, const tl_frame *to) {
    tl_frame frame;
    tl_ack_pack(&(tl_ack){.type = to->type, .status = TL_STATUS_OK, .seq = to->seq}, &frame);
    frame.seq = bridge->ack_seq;
    frame.t_us = bridge->ack_t_us;
    send(bridge, &frame, tl_frame_encode_in_place(&frame));
}

static uint16_t command_age_ms(const tl_bridge *bridge, uint64_t now_us) {
    const uint64_t age_ms = (tl_session_clock(bridge, now_us) - bridge->cmd_us) / 1000u;
    return bridge->commanded && age_ms < TL_AGE_NONE ? (uint16_t)age_ms : TL_AGE_NONE;
}

void tl_send_state(tl_bridge *bridge, uint64_t now_us) {
    const tl_plant_sheet *sheet = bridge->config.plant->sheet;
    tl_frame frame;
    tl_state state = {
        .last_cmd_seq = bridge->cmd_seq,
        .cmd_age_ms = command_age_ms(bridge, now_us),
        .fault = bridge->fault,
        .episode = bridge->episode,
        .state = bridge->state,
        .epflags = bridge->epflags,
        .n = sheet->observation_size,
        .m = sheet->action_size,
        .reward = bridge->reward,
    };
    memcpy(state.x, bridge->x, sheet->observation_size * sizeof(float));
    memcpy(state.u, bridge->applied, sheet->action_size * sizeof(float));
    /* Never that of the last observation of an episode: the brake's own state. */
    for (uint8_t i = 0; sheet->roles != NULL && i < sheet->observation_size; i++)
        if (sheet->roles[i] == TL_ROW_BRAKE) state.x[i] = bridge->released ? 0.0f : 1.0f;
    tl_state_pack(&state, &frame);
    const size_t n = finish(bridge, &frame, now_us);
#if TL_SIZE_LOCKSTEP
    if (bridge->lockstep) {
        memcpy(bridge->cached, &frame, n);
        bridge->cached_size = n;
    }
#endif
    send(bridge, &frame, n);
}

void tl_send_cached(tl_bridge *bridge) {
#if TL_SIZE_LOCKSTEP
    if (bridge->cached_size != 0) bridge->config.send(bridge->config.send_context, bridge->cached, bridge->cached_size);
#else
    (void)bridge;
#endif
}

static void send_event(tl_bridge *bridge, uint8_t code, uint8_t status, uint16_t seq, uint32_t count, uint64_t now_us) {
    tl_frame frame;
    tl_event_pack(&(tl_event){.code = code, .status = status, .seq = seq, .count = count}, &frame);
    tl_send_frame(bridge, &frame, now_us);
}

void tl_send_events(tl_bridge *bridge, uint64_t now_us) {
    const uint32_t damaged = tl_decoder_errors(&bridge->rx);
    const uint32_t skipped = bridge->counters[TL_COUNTER_SKIPPED];
    if (bridge->refused_status != TL_STATUS_OK)
        send_event(bridge, TL_EVENT_REFUSED, bridge->refused_status, bridge->refused_seq,
                   bridge->counters[TL_COUNTER_REFUSED], now_us);
    if (skipped != bridge->reported_skipped) send_event(bridge, TL_EVENT_OVERRUN, TL_STATUS_OK, 0, skipped, now_us);
    if (damaged != bridge->reported_damaged) send_event(bridge, TL_EVENT_DAMAGED, TL_STATUS_OK, 0, damaged, now_us);
    if (bridge->limited_by != 0 && bridge->limited_by != bridge->reported_limited)
        send_event(bridge, TL_EVENT_LIMITED, TL_STATUS_OK, (uint16_t)(bridge->limited_by - 1), bridge->limited, now_us);
    bridge->reported_limited = bridge->limited_by;
    bridge->refused_status = TL_STATUS_OK;
    bridge->reported_skipped = skipped;
    bridge->reported_damaged = damaged;
}

void tl_bridge_log(tl_bridge *bridge, uint8_t level, const char *text, size_t n, uint64_t now_us) {
    const size_t length = n < TL_LOG_MAX ? n : TL_LOG_MAX;
    tl_frame frame;
    char *to = tl_log_begin(level, &frame);
    memcpy(to, text, length);
    tl_log_end(to + length, &frame);
    tl_send_frame(bridge, &frame, now_us);
}
