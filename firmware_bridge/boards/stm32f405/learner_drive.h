// The learner drives the plant behind the bridge, in real time: docs/firmware_learner.md. What it asks for are frames
// that the bridge is given (tl_bridge_give), so that session, age, range, slew, limits of the data sheet, expiry and
// stops are those of a host's commands. It learns from what the plant was given.
#pragma once

#include "firmware_bridge/boards/simulated/simulated.h"
#include "firmware_bridge/boards/stm32f405/board.h"
#include "firmware_bridge/boards/stm32f405/learner_model.h"
#include "firmware_bridge/protocol/bytes.h"

namespace tl_device {

constexpr uint64_t kResetAgainUs = TL_SILENCE_US_DEFAULT / 4;

struct Drive {
    uint32_t session;   // the host's, in which it drives; 0: it does not
    uint64_t until_us;  // the host's next DRIVE, at the latest
    uint64_t reset_us;  // of the last RESET asked for
    uint16_t ttl_ms, seq;
    bool begun;    // an episode of its own
    float target;  // of the last command
};

// The plant's step, which notes the output: after an episode's end the bridge has replaced it by the safe one.
struct Outputs {
    tl_plant_result (*step)(void *state, const float *u);
    float given;
};

// A host's DRIVE begins it, or shows that the host is there. False: not obeyed.
inline bool ask_drive(Drive &drive, const tl_bridge &bridge, const uint8_t *ask, uint64_t now_us) {
    const tl_plant_sheet &sheet = *bridge.config.plant->sheet;
    const uint32_t session = tl_get_u32(ask), silence_ms = tl_get_u16(ask + 4), ttl_ms = tl_get_u16(ask + 6);
    if (session == 0 || session != bridge.session || bridge.lockstep) return false;
    if (silence_ms == 0 || silence_ms > TL_LEARNER_SILENCE_MAX_MS) return false;
    if (sheet.observation_size != kObservations || sheet.action_size != kActions) return false;
    if (drive.session != session) {
        drive = Drive{};
        drive.session = session;
        drive.seq = bridge.cmd_seq;
    }
    drive.until_us = now_us + silence_ms * 1000u;
    drive.ttl_ms = static_cast<uint16_t>(ttl_ms != 0 ? ttl_ms : 2 * (sheet.period_us + 999) / 1000);
    return true;
}

// False when it has to end: the session has, the host is silent, or commands itself.
inline bool may_drive(const Drive &drive, const tl_bridge &bridge, uint64_t now_us) {
    return bridge.session == drive.session && now_us <= drive.until_us && bridge.cmd_seq == drive.seq;
}

// The next episode; again while the plant moves to its start, because the bridge hears nothing else meanwhile.
inline void ask_reset(Drive &drive, tl_bridge &bridge, uint32_t seed, uint64_t now_us) {
    tl_frame frame = {};
    frame.type = TL_TYPE_RESET;
    frame.size = 12;
    tl_put_u32(frame.payload, drive.session);
    tl_put_u16(frame.payload + 4, static_cast<uint16_t>(bridge.episode + (bridge.state == TL_STATE_RESETTING ? 0 : 1)));
    tl_put_u32(frame.payload + 8, seed);
    drive.begun = true;
    drive.reset_us = now_us;
    tl_bridge_give(&bridge, &frame, now_us);
}

// The action for the STATE of time state_us. False: it was refused, so it came too late.
inline bool command(Drive &drive, tl_bridge &bridge, float action, uint64_t state_us, uint64_t now_us) {
    const tl_plant_sheet &sheet = *bridge.config.plant->sheet;
    drive.target = output_of(sheet.rows[kObservations], action);
    tl_frame frame = {};
    frame.type = TL_TYPE_CMD;
    frame.seq = ++drive.seq;
    frame.size = 16;
    tl_put_u32(frame.payload, drive.session);
    tl_put_u32(frame.payload + 4, static_cast<uint32_t>(state_us));
    tl_put_u16(frame.payload + 8, drive.ttl_ms);
    frame.payload[11] = kActions;
    tl_put_f32(frame.payload + 12, drive.target);
    tl_bridge_give(&bridge, &frame, now_us);
    return bridge.cmd_seq == drive.seq;
}

// What the plant was given, as an action in [-1, 1]; null where it was the learner's.
inline const float *limited(const Drive &drive, const tl_bridge &bridge, float given, float *action) {
    const tl_plant_row &row = bridge.config.plant->sheet->rows[kObservations];
    if (given == drive.target) return nullptr;
    *action = 2.0f * ((given - row.min) / (row.max - row.min)) - 1.0f;
    return action;
}

// A period of the bridge has passed at state_us: the learner observes it, learns, acts. False: it no longer drives.
// settle: what the learner monitor does after a step; true when an episode has to begin.
template <class Record, class Settle>
bool drive_period(Drive &drive, tl_bridge &bridge, Learner &learner, const Agent &agent, float given, uint64_t state_us,
                  Record record, Settle settle) {
    if (!may_drive(drive, bridge, state_us)) return false;
    if (bridge.state == TL_STATE_RESETTING) {
        if (state_us - drive.reset_us >= kResetAgainUs) ask_reset(drive, bridge, bridge.seed, state_us);
        return true;
    }
    const bool first = (bridge.epflags & TL_EPISODE_FIRST) != 0;
    if (drive.begun && first) {
        learner.sum = 0;
        learners::begin(agent);
        experience(learner, agent, bridge.x, 0.0f, TL_LEARNER_FIRST, nullptr, record);
    } else if (drive.begun) {
        float action;
        const tl_plant_result result = {bridge.reward, (bridge.epflags & TL_EPISODE_TERMINATED) != 0,
                                        (bridge.epflags & TL_EPISODE_TRUNCATED) != 0};
        experience(learner, agent, bridge.x, result.reward, flags_of(result), limited(drive, bridge, given, &action),
                   record);
        drive.begun = !count_step(learner, result);
    }
    if (settle() || !drive.begun) {
        ask_reset(drive, bridge, episode_seed(learner), tl_board_now_us());
        return bridge.state == TL_STATE_RESETTING;
    }
    return command(drive, bridge, learner.action, state_us, tl_board_now_us());
}

}  // namespace tl_device
