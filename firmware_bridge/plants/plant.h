/* Simulated plants. One source, four users: firmware on a microcontroller, firmware as a process, Gymnasium, tests.
 *
 * Arithmetic: IEEE binary32 only, no libm, compiled with -ffp-contract=off, so every processor gives the same bits
 * (sine and cosine: trig.h). No state variable and no observation is ever left subnormal, so flush-to-zero in the
 * calling thread does not change a bit. Memory: the caller owns the state; the plants neither allocate nor recurse and
 * have no writable globals.
 *
 *     tl_plant_state state;
 *     const tl_plant *plant = tl_plant_find("cartpole");
 *     plant->reset(&state, seed);                         the start depends on seed alone
 *     plant->observe(&state, x);                          x[sheet->observation_size]
 *     tl_plant_result r = plant->step(&state, u);        u[sheet->action_size], physical units; then observe again */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "firmware_bridge/protocol/flash.h"
#include "firmware_bridge/protocol/limit.h"
#include "firmware_bridge/protocol/safe.h"
#include "firmware_bridge/protocol/sizes.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { TL_PLANT_OBS_MAX = 16, TL_PLANT_ACT_MAX = 8 };

/* One observation or one actuator. */
typedef struct {
#ifdef __AVR__ /* in flash with the row */
    char name[25], unit[13];
#else
    const char *name;
    const char *unit;
#endif
    float min, max;   /* an observation never leaves [min, max]; an actuator is clamped to it */
    uint8_t safe;     /* TL_SAFE_*; TL_SAFE_NONE for an observation */
    float safe_value; /* what a safe actuator applies (TL_SAFE_OFF, TL_SAFE_RAMP) */
} tl_plant_row;

/* A limit of an observation, which the device enforces (limit.h). */
typedef struct {
    uint8_t observation; /* its index */
    tl_limit limit;
} tl_sheet_limit;

/* One parameter of the plant, with its source. */
typedef struct {
    const char *name;
    const char *unit;
    float value;
    const char *source;
} tl_plant_parameter;

typedef struct {
    const char *name;
    uint32_t period_us; /* one step */
    uint8_t observation_size, action_size;
    uint32_t max_steps;                  /* maximum number of steps of an episode; tl_plant_limit changes it */
    const TL_ROM tl_plant_row *rows;     /* observation_size observations, then action_size actuators */
    const TL_ROM uint8_t *roles;         /* TL_ROW_*, of each observation; NULL: none has one */
    const TL_ROM tl_sheet_limit *limits; /* n_limits, at most TL_ROW_LIMITS_MAX of one observation */
    uint8_t n_limits;
    const char *title;
    const char *reward; /* the reward of one step, in words */
    const char *source; /* paper, environment or manufacturer's manual */
    const tl_plant_parameter *parameters;
    uint8_t n_parameters;
    bool simulated; /* no real hardware moves; otherwise the host arms it only on explicit request */
} tl_plant_sheet;

typedef struct {
    float reward;
    bool terminated; /* terminal state: no value beyond it */
    bool truncated;  /* time limit reached: the state is not terminal */
} tl_plant_result;

/* Every state starts with this. ended holds the flags of the last step; once set, step() does not move the plant and
 * returns reward 0 and the same flags until reset(). */
typedef struct {
    uint32_t step;
    uint32_t max_steps; /* 0: never truncated */
    uint8_t terminated, truncated;
} tl_plant_episode;

typedef struct {
    tl_plant_episode episode;
    float x_m, v_m_s, theta_rad, omega_rad_s;
} tl_cartpole_state;

typedef struct {
    tl_plant_episode episode;
    float theta_rad, omega_rad_s; /* theta 0 is upright; kept in [-pi, pi] */
} tl_pendulum_state;

typedef struct {
    tl_plant_episode episode;
    float theta_rad, omega_rad_s, current_a, target_rad;
    uint32_t rng;  /* draws the targets; seeded by reset */
    uint32_t hold; /* steps until the next target */
} tl_servo_state;

typedef struct {
    tl_servo_state servo;
    float temperature_c;
    uint32_t released; /* the brake */
} tl_joint_state;

/* Storage for any plant's state, suitably aligned. */
typedef union {
    tl_plant_episode episode;
    tl_cartpole_state cartpole;
    tl_pendulum_state pendulum;
    tl_servo_state servo;
    tl_joint_state joint;
    uint32_t own[TL_SIZE_STATE]; /* a user-supplied plant */
} tl_plant_state;

/* A plant behind a device. The device's safety state machine (firmware_bridge/bridge) calls
 *
 *   reset    once at power-on, when it initialises the state and moves nothing, and at each RESET. A simulated plant is
 *   put
 *            at its start; this may happen twice, and the second call counts. A real plant starts to move there, which
 *            it does in config.reset_done.
 *   step     in each period of each state with the outputs in force: episode running, ended or resetting, disarmed,
 *            safe, emergency stop. A step() that writes the actuators therefore never misses a change. The result is
 *            used only while an episode runs.
 *   apply    before step() in each period, and at once, without waiting for a period, when the outputs pass to their
 *            safe behaviour: SAFE, ESTOP, DISARMED, end of an episode, RESET. live: u is a command. Not live: u is the
 *            safe behaviour, so an actuator whose safe behaviour is TL_SAFE_DAMP brakes. NULL: the change takes effect
 *            at the next step().
 *   brake    with each apply() and step(), and at once when commands end, also without apply: released only while the
 *            device is armed and a command is in force. It is engaged before the outputs change, and released after
 *            them. NULL: no brake. */
typedef struct {
    const tl_plant_sheet *sheet;
    void (*reset)(void *state, uint32_t seed); /* start of an episode; max_steps of the sheet */
    tl_plant_result (*step)(
        void *state, const float *u); /* u is clamped to its row; a non-finite u counts as the row's safe_value */
    void (*observe)(const void *state, float *x);
    size_t state_bytes; /* <= sizeof(tl_plant_state) */
    void (*apply)(void *state, const float *u, bool live);
    void (*brake)(void *state, bool released);
} tl_plant;

/* A user-supplied plant: with TL_PLANT_OWN the registry has one more plant, which the user's code defines (rtu-edge
 * firmware). */
#ifdef TL_PLANT_OWN
extern const tl_plant tl_plant_own;
#endif

/* "cartpole", "cartpole-full", "pendulum", "pendulum-full", "servo", "servo-full", "joint"; NULL for another
 * name. */
const tl_plant *tl_plant_find(const char *name);
size_t tl_plant_count(void);
const tl_plant *tl_plant_at(size_t index); /* NULL beyond the last */

/* Sets the length of the episode that reset() has just started; 0 for a continuing task. */
void tl_plant_limit(void *state, uint32_t max_steps);

#ifdef __cplusplus
}
#endif
