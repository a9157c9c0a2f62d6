/* Shared by the files of the bridge; no other file includes it. */
#pragma once

#include "firmware_bridge/bridge/bridge.h"

/* An action with a frame of its own: inlined into one function, the frames of all actions would be added up. */
#ifdef __GNUC__
#define TL_OUT_OF_LINE __attribute__((noinline))
#else
#define TL_OUT_OF_LINE
#endif

/* The clock for t_us and freshness: virtual in lockstep, else the device's. */
static inline uint64_t tl_session_clock(const tl_bridge *bridge, uint64_t now_us) {
    return bridge->lockstep ? bridge->virtual_us : now_us;
}

/* The episode has ended and the bridge waits for RESET; the plant does not move. */
static inline bool tl_episode_ended(const tl_bridge *bridge) {
    return (bridge->epflags & (TL_EPISODE_TERMINATED | TL_EPISODE_TRUNCATED)) != 0;
}

/* ---- send.c: output of the device. No errors: the host repeats its request if the line drops a frame. */

/* Sets the frame's seq and time, and sends it. */
void tl_send_frame(tl_bridge *bridge, tl_frame *frame, uint64_t now_us);
/* In the form of this version, 1 to TL_PROTO_VERSION. */
void tl_send_hello(tl_bridge *bridge, uint8_t version, uint64_t now_us);
void tl_send_pong(tl_bridge *bridge, const tl_frame *ping, uint64_t now_us);
void tl_send_ack(tl_bridge *bridge, const tl_frame *to, uint8_t status, uint64_t now_us);
void tl_send_ack_again(tl_bridge *bridge, const tl_frame *to); /* with the count and the time of the last OK */
/* In lockstep the frame is also kept, for tl_send_cached(). */
void tl_send_state(tl_bridge *bridge, uint64_t now_us);
/* The last STATE of this lockstep session, byte for byte; nothing when there is none. */
void tl_send_cached(tl_bridge *bridge);
/* EVENTs for refused commands, skipped periods, damaged frames and a limit that began to act since the last call, at
 * most one of each. */
void tl_send_events(tl_bridge *bridge, uint64_t now_us);

/* ---- drive.c: outputs and observations of the plant. */

/* Largest change of actuator i per period; infinite when there is no limit. */
float tl_drive_slew(const tl_bridge_config *config, uint8_t i);
/* Ends the command in force and switches the actuators to their safe behaviour: at once if the plant has apply, else
 * with the next period. HOLD and RAMP stay where they are until then. step: the next period may be far away, so apply
 * changes now by an additional step. */
void tl_drive_release(tl_bridge *bridge, bool step);
/* At power-on: applies safe_value to each actuator, puts the plant at the start drawn from seed, reads x. */
void tl_drive_init(tl_bridge *bridge, uint32_t seed);
/* Starts the move to the start drawn from seed; the observation remains the last one until tl_drive_first(). */
void tl_drive_reset(tl_bridge *bridge, uint32_t seed);
/* One period without an episode: advances the outputs in their safe behaviour and applies them. Where the data sheet
 * has limits it also measures. */
void tl_drive_rest(tl_bridge *bridge);
/* Call when the plant has reached the start: flags FIRST, reads x; the outputs do not change.
 * Returns false when x is not finite; x is stored nevertheless. */
bool tl_drive_first(tl_bridge *bridge);
/* One period: moves the outputs towards target or safe, steps the plant, reads x, reward and flags. When the episode
 * has ended already, it is tl_drive_rest(). Its end sets bridge->ending: tl_drive_release() must follow after STATE has
 * reported the applied values. Returns false when x or the reward is not finite; they are stored nevertheless. */
bool tl_drive_step(tl_bridge *bridge);

/* ---- limits.c: the limits of the data sheet, by what was measured last. */

/* What the limits leave of output v of actuator i. command: v is one, so derating holds too. *by becomes index + 1 of
 * the observation whose limit has changed v, and is unchanged if none has. */
float tl_limits_bound(const tl_bridge *bridge, uint8_t i, float v, bool command, uint8_t *by);
/* Name of an observation outside a TL_LIMIT_FAULT; NULL: none. */
const TL_ROM char *tl_limits_exceeded(const tl_bridge *bridge);
/* Sends a LOG that names it. */
void tl_limits_log(tl_bridge *bridge, uint64_t now_us);
/* Whether the limits fit the sheet's sizes and ranges; tl_row_valid() checks each by itself. */
bool tl_limits_valid(const tl_plant_sheet *sheet);

/* ---- param.c */

/* Answers a PARAM; otherwise returns why it cannot. */
uint8_t tl_param_answer(tl_bridge *bridge, const tl_frame *question, uint64_t now_us);

/* ---- sheet.c: the data sheet. tl_bridge_row() is in bridge.h. */

/* The hash of the schema as this version has it; false when a row does not fit the protocol. */
bool tl_sheet_hash(const tl_bridge_config *config, uint8_t version, uint32_t *hash);
/* Whether the plant has all functions and its data sheet fits the protocol's sizes. */
bool tl_sheet_valid(const tl_plant *plant);
/* Takes roles and limits from a row: what is left is a row of version 1. */
void tl_sheet_strip(tl_row *row);

/* ---- session.c: acceptance rules for frames. These functions do not change the bridge. */

/* TL_STATUS_OK, or the reason for refusal. */
uint8_t tl_check_arm(const tl_bridge *bridge, const tl_frame *frame, tl_arm *arm);
uint8_t tl_check_reset(const tl_bridge *bridge, const tl_frame *frame, tl_reset *reset);
/* *repeated: the status is OK, and it repeats the last command of this lockstep session.
 * *age_us: since the observation that it answers, on the session's clock. */
uint8_t tl_check_cmd(const tl_bridge *bridge, const tl_frame *frame, uint64_t now_us, tl_cmd *cmd, bool *repeated,
                     uint32_t *age_us);
/* Repetitions: the frame that armed, without a command since; the RESET that began this episode. */
bool tl_is_arm_again(const tl_bridge *bridge, const tl_frame *frame);
bool tl_is_reset_again(const tl_bridge *bridge, const tl_frame *frame);
