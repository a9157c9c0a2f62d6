#include "firmware_bridge/bridge/bridge.h"

#include <string.h>

#include "firmware_bridge/bridge/internal.h"

/* An event: one of TL_ON_*, with the frame that caused it; NULL for events of time and of the plant. */
typedef struct {
    uint8_t on;
    const tl_frame *frame;
    uint64_t now_us;
} event;

/* The result of an action. */
typedef enum {
    STAYED,    /* refused, or already done: the state is unchanged */
    DONE,      /* the new state is the cell's `next` */
    THEN_TICK, /* the same, followed by this event */
    THEN_READY,
    THEN_SENSOR,
    THEN_LIMIT
} result;

/* ---- actions: described at TL_DO_* in bridge.h; all checks precede the first change ---- */

/* Ends the session; t_us is the device's own clock again. */
static void close_session(tl_bridge *bridge) {
    tl_drive_release(bridge, false);
    bridge->session = 0;
    bridge->lockstep = false;
    bridge->commanded = false;
#if TL_SIZE_LOCKSTEP
    bridge->cached_size = 0;
#endif
}

/* Answers with the reason: an ACK at once; for a command an EVENT with the next STATE, so that a flood of commands gets
 * one answer. */
static result refuse(tl_bridge *bridge, const event *e, uint8_t status) {
    if (e->on == TL_ON_CMD) {
        bridge->counters[TL_COUNTER_REFUSED]++;
        bridge->refused_status = status;
        bridge->refused_seq = e->frame->seq;
    } else {
        tl_send_ack(bridge, e->frame, status, e->now_us);
    }
    return STAYED;
}

static result ack(tl_bridge *bridge, const event *e) {
    bridge->ack_seq = bridge->tx_seq;
    bridge->ack_t_us = (uint32_t)tl_session_clock(bridge, e->now_us);
    tl_send_ack(bridge, e->frame, TL_STATUS_OK, e->now_us);
    return DONE;
}

/* CLEAR_FAULT, or DISARM where there is nothing to do. Only DISARM has an effect with any payload: a CLEAR_FAULT of
 * another size is one of another version, and might not mean that the plant may move again. */
static result clear(tl_bridge *bridge, const event *e, uint16_t kept) {
    if (e->on == TL_ON_CLEAR_FAULT && e->frame->size != 0) return refuse(bridge, e, TL_STATUS_INVALID);
    bridge->fault = kept;
    return ack(bridge, e);
}

/* A repeated ARM or RESET. In lockstep the ACK is identical byte for byte: a retry must not change the frame
 * counter. */
static result ack_again(tl_bridge *bridge, const event *e) {
    if (!bridge->lockstep) return ack(bridge, e);
    tl_send_ack_again(bridge, e->frame);
    return DONE;
}

TL_OUT_OF_LINE static result send_row(tl_bridge *bridge, const event *e) {
    tl_describe describe;
    tl_row row;
    tl_frame frame;
    if (!tl_describe_unpack(e->frame, &describe) || !tl_bridge_row(&bridge->config, describe.index, &row))
        return refuse(bridge, e, TL_STATUS_INVALID);
    if (describe.version < 2) tl_sheet_strip(&row);
    tl_row_pack(&row, &frame);
    tl_send_frame(bridge, &frame, e->now_us);
    return DONE;
}

/* The newer of the versions that both ends have. */
TL_OUT_OF_LINE static result send_hello(tl_bridge *bridge, const event *e) {
    tl_hello asked;
    const uint8_t version = tl_hello_unpack(e->frame, &asked) ? asked.proto_ver : 1;
    tl_send_hello(bridge, version < 1 ? 1 : version < TL_PROTO_VERSION ? version : TL_PROTO_VERSION, e->now_us);
    return DONE;
}

static result send_param(tl_bridge *bridge, const event *e) {
    const uint8_t status = tl_param_answer(bridge, e->frame, e->now_us);
    return status == TL_STATUS_OK ? DONE : refuse(bridge, e, status);
}

TL_OUT_OF_LINE static result command(tl_bridge *bridge, const event *e) {
    tl_cmd cmd;
    bool repeated;
    uint32_t age_us;
    const uint8_t status = tl_check_cmd(bridge, e->frame, e->now_us, &cmd, &repeated, &age_us);
    if (status != TL_STATUS_OK) return refuse(bridge, e, status);
    bridge->life_us = e->now_us;
    if (repeated) {
        bridge->counters[TL_COUNTER_REPEATED]++;
        tl_send_cached(bridge);
        return STAYED;
    }
    const uint32_t ttl_us = (uint32_t)cmd.ttl_ms * 1000u;
    bridge->counters[TL_COUNTER_ACCEPTED]++;
    bridge->commanded = true;
    bridge->cmd_seq = e->frame->seq;
    bridge->cmd_us = tl_session_clock(bridge, e->now_us);
    bridge->expires_us = e->now_us - age_us + (ttl_us < bridge->ttl_max_us ? ttl_us : bridge->ttl_max_us);
    memcpy(bridge->target, cmd.u, cmd.n * sizeof(float));
    bridge->live = true;
    return bridge->lockstep ? THEN_TICK : DONE;
}

TL_OUT_OF_LINE static result arm(tl_bridge *bridge, const event *e) {
    tl_arm wanted;
    const uint8_t status = tl_check_arm(bridge, e->frame, &wanted);
    if (status != TL_STATUS_OK) return refuse(bridge, e, status);
    tl_send_events(bridge, e->now_us); /* earlier frames belong to the old frame counter */
    bridge->session = bridge->last_session = wanted.session;
    bridge->lockstep = wanted.lockstep;
    bridge->commanded = bridge->episodic = false;
    bridge->cmd_seq = bridge->arm_seq = e->frame->seq;
    bridge->arm_t_us = e->frame->t_us;
    bridge->life_us = e->now_us;
    bridge->virtual_us = bridge->first_us = 0;
    bridge->fault = 0;
    bridge->tx_seq = 0;
    bridge->state_owed = wanted.lockstep;
    /* Like virtual time, the count of episodes starts again: the bytes of this session do not depend on earlier
     * ones. */
    if (wanted.lockstep) bridge->episode = 0;
    /* Completes pending safe behaviour now: in lockstep no period occurs without a command. */
    if (wanted.lockstep) tl_drive_release(bridge, true);
    return ack(bridge, e);
}

static result arm_again(tl_bridge *bridge, const event *e) {
    if (!tl_is_arm_again(bridge, e->frame)) return refuse(bridge, e, TL_STATUS_BUSY);
    ack_again(bridge, e);
    tl_send_cached(bridge);
    return STAYED;
}

TL_OUT_OF_LINE static result reset(tl_bridge *bridge, const event *e) {
    tl_reset wanted;
    if (tl_is_reset_again(bridge, e->frame)) {
        bridge->life_us = e->now_us;
        ack_again(bridge, e);
        tl_send_cached(bridge);
        return STAYED;
    }
    const uint8_t status = tl_check_reset(bridge, e->frame, &wanted);
    if (status != TL_STATUS_OK) return refuse(bridge, e, status);
    bridge->life_us = e->now_us;
    bridge->episodic = true;
    bridge->episode = wanted.episode;
    bridge->epflags = 0;
    bridge->reset_seq = e->frame->seq;
    bridge->reset_t_us = e->frame->t_us;
    tl_drive_reset(bridge, wanted.seed);
    ack(bridge, e);
    return bridge->lockstep ? THEN_READY : DONE;
}

static result reset_again(tl_bridge *bridge, const event *e) {
    if (!tl_is_reset_again(bridge, e->frame)) return refuse(bridge, e, TL_STATUS_BUSY);
    bridge->life_us = e->now_us;
    return ack_again(bridge, e);
}

/* BOOT ends: the plant receives its outputs before STATE reports them. */
static result start(tl_bridge *bridge, const event *e) {
    tl_drive_rest(bridge);
    (void)tl_drive_first(bridge);
    tl_send_hello(bridge, 1, e->now_us); /* a host of any version reads it; each asks in its own */
    bridge->state_owed = true;
    return DONE;
}

/* What the period has measured. */
static result judged(const tl_bridge *bridge, bool finite) {
    return !finite ? THEN_SENSOR : tl_limits_exceeded(bridge) != NULL ? THEN_LIMIT : DONE;
}

static result first(tl_bridge *bridge, const event *e) {
    if (bridge->lockstep) { /* RESET is the only period that it takes */
        bridge->virtual_us += bridge->config.plant->sheet->period_us;
        tl_drive_rest(bridge);
    }
    bridge->first_us = tl_session_clock(bridge, e->now_us);
    bridge->life_us = e->now_us;
    bridge->state_owed = true;
    return judged(bridge, tl_drive_first(bridge));
}

static result run(tl_bridge *bridge) {
    if (bridge->lockstep) bridge->virtual_us += bridge->config.plant->sheet->period_us;
    bridge->counters[TL_COUNTER_TICKS]++;
    bridge->state_owed = true;
    return judged(bridge, tl_drive_step(bridge));
}

static result wait(tl_bridge *bridge) {
    bridge->counters[TL_COUNTER_TICKS]++;
    bridge->state_owed = true;
    tl_drive_rest(bridge);
    if (tl_limits_exceeded(bridge) != NULL) return THEN_LIMIT;
    return bridge->config.reset_done == NULL || bridge->config.reset_done(bridge->config.plant_state) ? THEN_READY
                                                                                                      : DONE;
}

static result go_safe(tl_bridge *bridge, const event *e) {
    if (e->on == TL_ON_EXPIRED) bridge->counters[TL_COUNTER_SILENCES]++;
    if (e->on == TL_ON_LIMIT) tl_limits_log(bridge, e->now_us);
    bridge->fault |= e->on == TL_ON_EXPIRED ? TL_FAULT_SILENCE
                     : e->on == TL_ON_LIMIT ? TL_FAULT_LIMIT
                                            : TL_FAULT_SENSOR;
    close_session(bridge);
    return DONE;
}

static result act(tl_bridge *bridge, const tl_bridge_rule *rule, const event *e) {
    switch (rule->action) {
        case TL_DO_SEND_HELLO:
            return send_hello(bridge, e);
        case TL_DO_SEND_PONG:
            tl_send_pong(bridge, e->frame, e->now_us);
            return DONE;
        case TL_DO_SEND_ROW:
            return send_row(bridge, e);
        case TL_DO_SEND_PARAM:
            return send_param(bridge, e);
        case TL_DO_COMMAND:
            return command(bridge, e);
        case TL_DO_ARM:
            return arm(bridge, e);
        case TL_DO_ARM_AGAIN:
            return arm_again(bridge, e);
        case TL_DO_DISARM:
            close_session(bridge);
            return ack(bridge, e);
        case TL_DO_ACK:
            return clear(bridge, e, bridge->fault);
        case TL_DO_CLEAR:
            return clear(bridge, e, 0);
        case TL_DO_RESET:
            return reset(bridge, e);
        case TL_DO_RESET_AGAIN:
            return reset_again(bridge, e);
        case TL_DO_REFUSE:
            return refuse(bridge, e, rule->status);
        case TL_DO_ESTOP:
            close_session(bridge);
            bridge->fault |= TL_FAULT_ESTOP;
            bridge->state_owed = true;
            return DONE;
        case TL_DO_REPEAT:
            bridge->state_owed = true;
            return DONE;
        case TL_DO_START:
            return start(bridge, e);
        case TL_DO_REST: /* the session is closed, so no command is in force */
        case TL_DO_RUN:
            return run(bridge);
        case TL_DO_WAIT:
            return wait(bridge);
        case TL_DO_FIRST:
            return first(bridge, e);
        case TL_DO_SAFE:
            return go_safe(bridge, e);
        default:
            return DONE;
    }
}

/* Processes an event and its consequences (at most three steps: a command, its tick, a sensor failure), then sends the
 * pending STATE. */
static void handle(tl_bridge *bridge, event e) {
    for (bool more = true; more;) {
        const tl_bridge_rule rule = tl_bridge_cell(bridge->state, e.on);
        const result done = act(bridge, &rule, &e);
        if (done != STAYED) bridge->state = rule.next;
        more = done > DONE;
        e.on = done == THEN_TICK    ? TL_ON_TICK
               : done == THEN_READY ? TL_ON_READY
               : done == THEN_LIMIT ? TL_ON_LIMIT
                                    : TL_ON_SENSOR;
        e.frame = NULL;
    }
    if (bridge->state_owed) tl_send_state(bridge, e.now_us);
    bridge->state_owed = false;
    /* In lockstep the next period may be far away: a plant that is commanded only through step() is stepped now. */
    if (bridge->ending) tl_drive_release(bridge, bridge->lockstep);
    if (bridge->lockstep) tl_send_events(bridge, e.now_us);
}

/* Goes safe after a timeout: the command in force has expired or, when there can be none (before the first command,
 * between episodes, while resetting, in virtual time), no frame of the session has arrived for silence_us. */
static void watch(tl_bridge *bridge, uint64_t now_us) {
    const bool timed = bridge->live && !bridge->lockstep;
    if (bridge->session == 0) return;
    if (timed ? now_us > bridge->expires_us : now_us - bridge->life_us > bridge->config.silence_us)
        handle(bridge, (event){TL_ON_EXPIRED, NULL, now_us});
}

/* Which column of the table a frame belongs to. */
static uint8_t column(tl_bridge *bridge, const tl_frame *frame) {
    tl_hello hello;
    tl_ping ping;
    switch (frame->type) {
        case TL_TYPE_HELLO: /* the device's own frame, echoed by the line or by another device, is not a request */
            if (tl_hello_unpack(frame, &hello) && hello.role == TL_ROLE_HOST) return TL_ON_HELLO;
            break;
        case TL_TYPE_PING:
            if (tl_ping_unpack(frame, &ping)) return TL_ON_PING;
            break;
        case TL_TYPE_DESCRIBE:
            return TL_ON_DESCRIBE;
        case TL_TYPE_PARAM:
            return TL_ON_PARAM;
        case TL_TYPE_CMD:
            return TL_ON_CMD;
        case TL_TYPE_ARM:
            return TL_ON_ARM;
        case TL_TYPE_CLEAR_FAULT:
            return TL_ON_CLEAR_FAULT;
        case TL_TYPE_RESET:
            return TL_ON_RESET;
        case TL_TYPE_DISARM:
            return TL_ON_DISARM; /* ignores any payload, so that stopping never fails on a detail */
        case TL_TYPE_ESTOP:
            return TL_ON_ESTOP;
        default:
            break;
    }
    bridge->counters[TL_COUNTER_UNKNOWN]++;
    return TL_ON_OTHER;
}

void tl_bridge_receive(tl_bridge *bridge, const uint8_t *bytes, size_t n, uint64_t now_us) {
    const uint8_t *p = bytes;
    watch(bridge, now_us);
    if (n == 0) return;
    for (const tl_frame *frame; (frame = tl_decoder_take(&bridge->rx, &p, bytes + n)) != NULL;)
        handle(bridge, (event){column(bridge, frame), frame, now_us});
    /* In lockstep nothing else would be sent: a host that learns of the damage repeats at once instead of waiting. */
    if (bridge->lockstep) tl_send_events(bridge, now_us);
}

void tl_bridge_give(tl_bridge *bridge, const tl_frame *frame, uint64_t now_us) {
    watch(bridge, now_us);
    handle(bridge, (event){frame->type == TL_TYPE_RESET ? TL_ON_RESET : TL_ON_CMD, frame, now_us});
}

void tl_bridge_tick(tl_bridge *bridge, uint64_t now_us) {
    const uint32_t period_us = bridge->config.plant->sheet->period_us;
    watch(bridge, now_us);
    if (now_us < bridge->due_us) return;
    const uint64_t skipped = (now_us - bridge->due_us) / period_us;
    bridge->due_us += (skipped + 1) * period_us;
    if (bridge->lockstep) return; /* virtual time does not advance between commands */
    bridge->counters[TL_COUNTER_SKIPPED] += (uint32_t)skipped;
    handle(bridge, (event){TL_ON_TICK, NULL, now_us});
    tl_send_events(bridge, now_us);
}

uint64_t tl_bridge_due(const tl_bridge *bridge) { return bridge->due_us; }

void tl_bridge_leave(tl_bridge *bridge) {
    close_session(bridge);
    if (bridge->state == TL_STATE_ARMED || bridge->state == TL_STATE_RESETTING) bridge->state = TL_STATE_DISARMED;
    tl_drive_release(bridge, true);
}

bool tl_bridge_init(tl_bridge *bridge, const tl_bridge_config *config, uint64_t now_us) {
    const tl_plant_sheet *sheet = config->plant->sheet;
    memset(bridge, 0, sizeof *bridge);
    bridge->config = *config;
    if (bridge->config.silence_us == 0) bridge->config.silence_us = TL_SILENCE_US_DEFAULT;
    if (bridge->config.ttl_max_ms == 0) bridge->config.ttl_max_ms = TL_TTL_MAX_MS_DEFAULT;
    if (!sheet->simulated) bridge->config.caps &= (uint16_t)~(TL_CAP_SIMULATED | TL_CAP_LOCKSTEP);
    if (!TL_SIZE_LOCKSTEP) bridge->config.caps &= (uint16_t)~TL_CAP_LOCKSTEP;
    if (config->send == NULL || !tl_sheet_valid(config->plant)) return false;
    if (!tl_sheet_hash(config, TL_PROTO_VERSION, &bridge->schema_hash) ||
        !tl_sheet_hash(config, 1, &bridge->schema_hash_1))
        return false;
    bridge->ttl_max_us = (uint32_t)bridge->config.ttl_max_ms * 1000u;
    bridge->due_us = now_us;
    bridge->state = TL_STATE_BOOT;
    tl_decoder_init(&bridge->rx);
    tl_drive_init(bridge, config->seed);
    return true;
}
