/* Shared by the files of the bridge; no other file includes it. */
#pragma once

#include "firmware_bridge/bridge/bridge.h"

/* The clock that t_us and freshness are counted on: virtual in lockstep, else the device's. */
static inline uint64_t tl_session_clock(const tl_bridge *bridge, uint64_t now_us) {
    return bridge->lockstep ? bridge->virtual_us : now_us;
}

/* The episode is over and waits for RESET; the plant stands still. */
static inline bool tl_episode_ended(const tl_bridge *bridge) {
    return (bridge->epflags & (TL_EPISODE_TERMINATED | TL_EPISODE_TRUNCATED)) != 0;
}

/* ---- send.c: what leaves the device. No errors: a frame that the line drops is the host's to ask for again. */

/* Gives the frame its seq and time, sends it. */
void tl_send_frame(tl_bridge *bridge, tl_frame *frame, uint64_t now_us);
void tl_send_hello(tl_bridge *bridge, uint64_t now_us);
void tl_send_pong(tl_bridge *bridge, const tl_frame *ping, uint64_t now_us);
void tl_send_ack(tl_bridge *bridge, const tl_frame *to, uint8_t status, uint64_t now_us);
void tl_send_ack_again(tl_bridge *bridge, const tl_frame *to); /* with the count and the time of the last OK */
/* In lockstep the frame is also kept, for tl_send_cached(). */
void tl_send_state(tl_bridge *bridge, uint64_t now_us);
/* The last STATE of this lockstep session, byte for byte; nothing when there is none. */
void tl_send_cached(tl_bridge *bridge);
/* EVENTs for what was refused, skipped or damaged since the last call, at most one of each. */
void tl_send_events(tl_bridge *bridge, uint64_t now_us);

/* ---- drive.c: outputs and observations of the plant. */

/* Largest change of actuator i per period; infinite when there is no limit. */
float tl_drive_slew(const tl_bridge_config *config, uint8_t i);
/* No command is in force any more: passes the actuators to their safe behaviour, at once where the plant has apply,
 * else with the next period. HOLD and RAMP stay where they are until then. step: the next period may be far away, so
 * that what changes now is told by a step of its own. */
void tl_drive_release(tl_bridge *bridge, bool step);
/* Each output is where its safe behaviour leaves it. */
bool tl_drive_resting(const tl_bridge *bridge);
/* At power-on: the plant is told safe_value of each actuator, stands at the start drawn from seed, x is read. */
void tl_drive_init(tl_bridge *bridge, uint32_t seed);
/* Begins the start drawn from seed; the observation stays the last one until tl_drive_first(). */
void tl_drive_reset(tl_bridge *bridge, uint32_t seed);
/* One period in which no episode runs: moves the outputs on in their safe behaviour and tells the plant. */
void tl_drive_rest(tl_bridge *bridge);
/* The plant has arrived at the start: flags FIRST, x read; the outputs stay where they are.
 * Returns false when x is not finite; it is kept as it is. */
bool tl_drive_first(tl_bridge *bridge);
/* One period: moves the outputs towards target or safe, steps the plant, reads x, reward and flags. When the episode
 * has ended already, it is tl_drive_rest(). Its end sets bridge->ending: tl_drive_release() is owed once STATE has
 * reported what was applied. Returns false when x or the reward is not finite; they are kept as they are. */
bool tl_drive_step(tl_bridge *bridge);

/* ---- sheet.c: the data sheet. tl_bridge_row() is in bridge.h. */

/* The hash of the schema; false when a row does not fit the protocol. */
bool tl_sheet_hash(const tl_bridge_config *config, uint32_t *hash);

/* ---- session.c: which frames are obeyed. Nothing here changes the bridge. */

/* TL_STATUS_OK, or why not. */
uint8_t tl_check_arm(const tl_bridge *bridge, const tl_frame *frame, tl_arm *arm);
uint8_t tl_check_reset(const tl_bridge *bridge, const tl_frame *frame, tl_reset *reset);
/* *repeated: the status is OK, and it is the last command of this lockstep session once more.
 * *age_us: since the observation that it answers, on the session's clock. */
uint8_t tl_check_cmd(const tl_bridge *bridge, const tl_frame *frame, uint64_t now_us, tl_cmd *cmd, bool *repeated,
                     uint32_t *age_us);
/* The very frame that armed, and nothing has come of it since; the very RESET that began this episode. */
bool tl_is_arm_again(const tl_bridge *bridge, const tl_frame *frame);
bool tl_is_reset_again(const tl_bridge *bridge, const tl_frame *frame);
