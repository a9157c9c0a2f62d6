#include "firmware_bridge/bridge/internal.h"
#include "firmware_bridge/protocol/bytes.h"

/* Serial numbers: true when a comes after b, less than half the number range ahead. */
static bool newer(uint16_t a, uint16_t b) {
    const uint16_t ahead = (uint16_t)(a - b);
    return ahead != 0 && ahead < 0x8000u;
}

/* The same for sessions; 0 is none, and 1 follows FFFFFFFF. */
static bool newer_session(uint32_t a, uint32_t b) {
    const uint32_t ahead = a - b;
    return a != 0 && ahead != 0 && ahead < 0x80000000u;
}

uint8_t tl_check_arm(const tl_bridge *bridge, const tl_frame *frame, tl_arm *arm) {
    const uint16_t needed = TL_CAP_SIMULATED | TL_CAP_LOCKSTEP;
    if (!tl_arm_unpack(frame, arm)) return TL_STATUS_INVALID;
    if (!newer_session(arm->session, bridge->last_session)) return TL_STATUS_SESSION;
    if (arm->lockstep && (bridge->config.caps & needed) != needed) return TL_STATUS_UNSUPPORTED;
    if (tl_limits_exceeded(bridge) != NULL) return TL_STATUS_LIMIT;
    return TL_STATUS_OK;
}

uint8_t tl_check_reset(const tl_bridge *bridge, const tl_frame *frame, tl_reset *reset) {
    if (!tl_reset_unpack(frame, reset)) return TL_STATUS_INVALID;
    if (reset->session != bridge->session) return TL_STATUS_SESSION;
    if ((bridge->config.caps & TL_CAP_RESET) == 0) return TL_STATUS_UNSUPPORTED;
    /* The first number of a session may jump, even backwards: a new host starts its own count. After that, a delayed
     * frame is recognised as stale. */
    if (reset->episode == bridge->episode || (bridge->episodic && !newer(reset->episode, bridge->episode)))
        return TL_STATUS_EPISODE;
    return TL_STATUS_OK;
}

static bool finite(const tl_cmd *cmd) {
    for (uint8_t i = 0; i < cmd->n; i++)
        if (!tl_f32_finite(cmd->u[i])) return false;
    return true;
}

uint8_t tl_check_cmd(const tl_bridge *bridge, const tl_frame *frame, uint64_t now_us, tl_cmd *cmd, bool *repeated,
                     uint32_t *age_us) {
    *repeated = false;
    if (!tl_cmd_unpack(frame, cmd) || cmd->n != bridge->config.plant->sheet->action_size) return TL_STATUS_INVALID;
    if (!finite(cmd)) return TL_STATUS_VALUE;
    if (cmd->session != bridge->session) return TL_STATUS_SESSION;
    if (cmd->lockstep != bridge->lockstep || cmd->mode != TL_MODE_VALUE) return TL_STATUS_MODE;
    *repeated = bridge->lockstep && bridge->commanded && frame->seq == bridge->cmd_seq;
    if (*repeated) return TL_STATUS_OK;
    if (!newer(frame->seq, bridge->cmd_seq)) return TL_STATUS_SEQ;
    if (tl_episode_ended(bridge)) return TL_STATUS_EPISODE;

    const uint64_t clock_us = tl_session_clock(bridge, now_us);
    const uint32_t ttl_us = (uint32_t)cmd->ttl_ms * 1000u;
    *age_us = (uint32_t)clock_us - cmd->obs_t_us; /* unsigned: an observation from the future is a very old one */
    if (*age_us > (ttl_us < bridge->ttl_max_us ? ttl_us : bridge->ttl_max_us)) return TL_STATUS_STALE;
    if (bridge->lockstep && *age_us != 0) return TL_STATUS_STALE;
    if (*age_us > clock_us - bridge->first_us) return TL_STATUS_EPISODE;
    return TL_STATUS_OK;
}

bool tl_is_arm_again(const tl_bridge *bridge, const tl_frame *frame) {
    tl_arm arm;
    return tl_arm_unpack(frame, &arm) && arm.session == bridge->session && arm.lockstep == bridge->lockstep &&
           frame->seq == bridge->arm_seq && frame->t_us == bridge->arm_t_us && !bridge->commanded && !bridge->episodic;
}

bool tl_is_reset_again(const tl_bridge *bridge, const tl_frame *frame) {
    tl_reset reset;
    return tl_reset_unpack(frame, &reset) && bridge->episodic && reset.session == bridge->session &&
           reset.episode == bridge->episode && frame->seq == bridge->reset_seq && frame->t_us == bridge->reset_t_us;
}
