/* Shared by the files of the bridge; nobody else includes it. */
#ifndef RTU_BRIDGE_INTERNAL_H
#define RTU_BRIDGE_INTERNAL_H

#include "firmware_bridge/bridge/bridge.h"

/* The clock that t_us and freshness are counted on: virtual in lockstep, else the device's. */
static inline uint64_t rtu_session_clock(const rtu_bridge *bridge, uint64_t now_us) {
    return bridge->lockstep ? bridge->virtual_us : now_us;
}

/* The episode is over and waits for RESET; the machine stands still. */
static inline bool rtu_episode_ended(const rtu_bridge *bridge) {
    return (bridge->epflags & (RTU_EPISODE_TERMINATED | RTU_EPISODE_TRUNCATED)) != 0;
}

/* ---- say.c: what leaves the device. No errors: a frame that the line drops is the host's to ask for again. */

/* Gives the frame its seq and time, sends it. */
void rtu_say(rtu_bridge *bridge, rtu_frame *frame, uint64_t now_us);
void rtu_say_hello(rtu_bridge *bridge, uint64_t now_us);
void rtu_say_pong(rtu_bridge *bridge, const rtu_frame *ping, uint64_t now_us);
void rtu_say_ack(rtu_bridge *bridge, const rtu_frame *to, uint8_t status, uint64_t now_us);
void rtu_say_ack_again(rtu_bridge *bridge, const rtu_frame *to); /* with the count and the time of the last OK */
/* In lockstep the frame is also kept, for rtu_say_cached(). */
void rtu_say_state(rtu_bridge *bridge, uint64_t now_us);
/* The last STATE of this lockstep session, byte for byte; nothing when there is none. */
void rtu_say_cached(rtu_bridge *bridge);
/* EVENTs for what was refused, skipped or damaged since the last call, at most one of each. */
void rtu_say_events(rtu_bridge *bridge, uint64_t now_us);

/* ---- machine.c: what the machine is told and asked. */

/* Largest change of actuator i per period; infinite when there is no limit. */
float rtu_machine_slew(const rtu_bridge_config *config, uint8_t i);
/* No command is in force any more: passes the actuators to their safe behaviour, at once where the machine has apply, else with the
 * next period. HOLD and RAMP stay where they are until then. step: the next period may be far away, so that what changes now is
 * told by a step of its own. */
void rtu_machine_release(rtu_bridge *bridge, bool step);
/* Each output is where its safe behaviour leaves it. */
bool rtu_machine_resting(const rtu_bridge *bridge);
/* At power-on: the machine is told safe_value of each actuator, stands at the start drawn from seed, x is read. */
void rtu_machine_init(rtu_bridge *bridge, uint32_t seed);
/* Begins the start drawn from seed; the observation stays the last one until rtu_machine_first(). */
void rtu_machine_reset(rtu_bridge *bridge, uint32_t seed);
/* One period in which no episode runs: moves the outputs on in their safe behaviour and tells the machine. */
void rtu_machine_rest(rtu_bridge *bridge);
/* The machine has arrived at the start: flags FIRST, x read; the outputs stay where they are.
 * Returns false when x is not finite; it is kept as it is. */
bool rtu_machine_first(rtu_bridge *bridge);
/* One period: moves the outputs towards target or safe, steps the machine, reads x, reward and flags. When the episode has ended
 * already, it is rtu_machine_rest(). Its end sets bridge->ending: rtu_machine_release() is owed once STATE has said what was
 * applied.
 * Returns false when x or the reward is not finite; they are kept as they are. */
bool rtu_machine_step(rtu_bridge *bridge);

/* ---- session.c: which frames are obeyed. Nothing here changes the bridge. */

/* RTU_STATUS_OK, or why not. */
uint8_t rtu_check_arm(const rtu_bridge *bridge, const rtu_frame *frame, rtu_arm *arm);
uint8_t rtu_check_reset(const rtu_bridge *bridge, const rtu_frame *frame, rtu_reset *reset);
/* *repeated: the status is OK, and it is the last command of this lockstep session once more.
 * *age_us: since the observation that it answers, on the session's clock. */
uint8_t rtu_check_cmd(const rtu_bridge *bridge, const rtu_frame *frame, uint64_t now_us, rtu_cmd *cmd, bool *repeated,
                      uint32_t *age_us);
/* The very frame that armed, and nothing has come of it since; the very RESET that began this episode. */
bool rtu_is_arm_again(const rtu_bridge *bridge, const rtu_frame *frame);
bool rtu_is_reset_again(const rtu_bridge *bridge, const rtu_frame *frame);

#endif
