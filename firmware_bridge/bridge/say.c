#include <string.h>

#include "firmware_bridge/bridge/internal.h"

/* Stamps and encodes; returns the number of bytes in wire. */
static size_t stamp(rtu_bridge *bridge, rtu_frame *frame, uint64_t now_us, uint8_t wire[RTU_WIRE_MAX]) {
    frame->seq = bridge->tx_seq++;
    frame->t_us = (uint32_t)rtu_session_clock(bridge, now_us);
    return rtu_frame_encode(frame, wire);
}

void rtu_say(rtu_bridge *bridge, rtu_frame *frame, uint64_t now_us) {
    uint8_t wire[RTU_WIRE_MAX];
    const size_t n = stamp(bridge, frame, now_us, wire);
    bridge->config.send(bridge->config.send_context, wire, n);
}

void rtu_say_hello(rtu_bridge *bridge, uint64_t now_us) {
    const rtu_bridge_config *config = &bridge->config;
    const rtu_plant_sheet *sheet = config->plant->sheet;
    rtu_frame frame;
    rtu_hello_pack(
        &(rtu_hello){
            .proto_ver = RTU_PROTO_VERSION,
            .role = RTU_ROLE_DEVICE,
            .caps = config->caps,
            .boot_id = config->boot_id,
            .schema_hash = bridge->schema_hash,
            .period_us = sheet->period_us,
            .ttl_max_ms = config->ttl_max_ms,
            .n_obs = sheet->n_obs,
            .n_act = sheet->n_act,
            .fw_major = config->fw_major,
            .fw_minor = config->fw_minor,
            .fw_patch = config->fw_patch,
            .last_session = bridge->last_session,
        },
        &frame);
    rtu_say(bridge, &frame, now_us);
}

void rtu_say_pong(rtu_bridge *bridge, const rtu_frame *ping, uint64_t now_us) {
    rtu_ping asked;
    rtu_frame frame;
    if (!rtu_ping_unpack(ping, &asked)) return;
    rtu_pong_pack(&(rtu_pong){.t0_us = asked.t0_us, .t1_us = now_us, .t2_us = now_us}, &frame);
    rtu_say(bridge, &frame, now_us);
}

void rtu_say_ack(rtu_bridge *bridge, const rtu_frame *to, uint8_t status, uint64_t now_us) {
    rtu_frame frame;
    rtu_ack_pack(&(rtu_ack){.type = to->type, .status = status, .seq = to->seq}, &frame);
    rtu_say(bridge, &frame, now_us);
}

void rtu_say_ack_again(rtu_bridge *bridge, const rtu_frame *to) {
    rtu_frame frame;
    uint8_t wire[RTU_WIRE_MAX];
    rtu_ack_pack(&(rtu_ack){.type = to->type, .status = RTU_STATUS_OK, .seq = to->seq}, &frame);
    frame.seq = bridge->ack_seq;
    frame.t_us = bridge->ack_t_us;
    bridge->config.send(bridge->config.send_context, wire, rtu_frame_encode(&frame, wire));
}

static uint16_t command_age_ms(const rtu_bridge *bridge, uint64_t now_us) {
    const uint64_t age_ms = (rtu_session_clock(bridge, now_us) - bridge->cmd_us) / 1000u;
    return bridge->commanded && age_ms < RTU_AGE_NONE ? (uint16_t)age_ms : RTU_AGE_NONE;
}

void rtu_say_state(rtu_bridge *bridge, uint64_t now_us) {
    const rtu_plant_sheet *sheet = bridge->config.plant->sheet;
    rtu_frame frame;
    uint8_t wire[RTU_WIRE_MAX];
    rtu_state state = {
        .last_cmd_seq = bridge->cmd_seq,
        .cmd_age_ms = command_age_ms(bridge, now_us),
        .fault = bridge->fault,
        .episode = bridge->episode,
        .state = bridge->state,
        .epflags = bridge->epflags,
        .n = sheet->n_obs,
        .m = sheet->n_act,
        .reward = bridge->reward,
    };
    memcpy(state.x, bridge->x, sheet->n_obs * sizeof(float));
    memcpy(state.u, bridge->applied, sheet->n_act * sizeof(float));
    rtu_state_pack(&state, &frame);
    const size_t n = stamp(bridge, &frame, now_us, wire);
    if (bridge->lockstep) {
        memcpy(bridge->cached, wire, n);
        bridge->cached_size = n;
    }
    bridge->config.send(bridge->config.send_context, wire, n);
}

void rtu_say_cached(rtu_bridge *bridge) {
    if (bridge->cached_size != 0) bridge->config.send(bridge->config.send_context, bridge->cached, bridge->cached_size);
}

static void say_event(rtu_bridge *bridge, uint8_t code, uint8_t status, uint16_t seq, uint32_t count, uint64_t now_us) {
    rtu_frame frame;
    rtu_event_pack(&(rtu_event){.code = code, .status = status, .seq = seq, .count = count}, &frame);
    rtu_say(bridge, &frame, now_us);
}

void rtu_say_events(rtu_bridge *bridge, uint64_t now_us) {
    const uint32_t damaged = rtu_decoder_errors(&bridge->rx);
    const uint32_t skipped = bridge->counters[RTU_COUNTER_SKIPPED];
    if (bridge->refused_status != RTU_STATUS_OK)
        say_event(bridge, RTU_EVENT_REFUSED, bridge->refused_status, bridge->refused_seq,
                  bridge->counters[RTU_COUNTER_REFUSED], now_us);
    if (skipped != bridge->said_skipped) say_event(bridge, RTU_EVENT_OVERRUN, RTU_STATUS_OK, 0, skipped, now_us);
    if (damaged != bridge->said_damaged) say_event(bridge, RTU_EVENT_DAMAGED, RTU_STATUS_OK, 0, damaged, now_us);
    bridge->refused_status = RTU_STATUS_OK;
    bridge->said_skipped = skipped;
    bridge->said_damaged = damaged;
}
