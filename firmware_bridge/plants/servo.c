/* Position servo: a brushed DC motor, direct drive, with an inertia disc, dry friction and end stops; it follows a
 * target angle that jumps.
 *
 *     L di/dt     = u - R i - k omega                      u terminal voltage
 *     J domega/dt = k i - b omega - friction               friction: Coulomb, sticks at omega = 0 while |k i| <= tau_c
 *     theta within the end stops, inelastic
 *
 * Each 10 ms step is 20 substeps of 0.5 ms. The electrical time constant L/R is 0.14 ms, so within a substep the
 * current is solved exactly with omega frozen, and its mean drives omega; theta takes the mean of old and new omega.
 * Against a fine integration of the equations (tests/test_plants.py) a run of 1 s, over several radians, ends within
 * 0.02 rad and 0.2 rad/s. */
#include "firmware_bridge/plants/equations.h"
#include "firmware_bridge/plants/parts.h"

#define RESISTANCE 8.4f
#define INDUCTANCE 1.16e-3f
#define CONSTANT 0.042f      /* N m/A and V s/rad */
#define INERTIA 2.089856e-5f /* rotor 4.0e-6, hub 0.6e-6, disc 0.053 kg (0.0248 m)^2 / 2 */
#define VISCOUS 5.0e-6f
#define COULOMB 1.5e-3f
#define STOP 2.5f
#define VOLTAGE_MAX 10.0f
#define TARGET_MAX 1.5f
#define HOLD_MIN 100u
#define HOLD_SPAN 101u
#define WEIGHT_VOLTAGE 1.0e-4f
#define PERIOD_US 10000u
#define EPISODE_STEPS 500u
#define SUBSTEPS 20
#define SUBSTEP_S 5.0e-4f
#define DECAY 0.026764212f     /* exp(-R h / L), h the substep */
#define DECAY_MEAN 0.26879846f /* (1 - exp(-R h / L)) L / (R h): mean of the decaying part */

static const char kSource[] =
    "Quanser QUBE-Servo 2 user manual, system parameters: motor, hub, inertia disc, amplifier; friction and end stops "
    "are ours";
static const char kReward[] = "-((theta - target)^2 + 0.0001 voltage^2), theta after the step, target during the step";

static const tl_plant_parameter kParameters[] = {
    {"terminal resistance", "ohm", RESISTANCE, "QUBE-Servo 2 manual"},
    {"rotor inductance", "H", INDUCTANCE, "QUBE-Servo 2 manual"},
    {"torque and back-EMF constant", "N m/A, V s/rad", CONSTANT, "QUBE-Servo 2 manual"},
    {"inertia: rotor 4.0e-6, hub 0.6e-6, disc 0.053 kg, 24.8 mm", "kg m^2", INERTIA, "QUBE-Servo 2 manual"},
    {"viscous friction", "N m s/rad", VISCOUS, "own choice, small against k^2/R = 2.1e-4"},
    {"Coulomb friction", "N m", COULOMB, "own choice: a dead zone of 0.3 V"},
    {"end stop", "rad", STOP, "own choice"},
    {"target, uniform within", "rad", TARGET_MAX, "own choice"},
    {"start, angle uniform within", "rad", TARGET_MAX, "own choice"},
    {"target held at least", "steps", (float)HOLD_MIN, "own choice"},
    {"target held at most", "steps", (float)(HOLD_MIN + HOLD_SPAN - 1u), "own choice"},
    {"reward weight of voltage^2", "1/V^2", WEIGHT_VOLTAGE, "own choice"},
    {"substep", "s", SUBSTEP_S, "own choice"},
};

/* Speed: u / k = 238 rad/s is the speed without load; current: (u + k omega) / R = 2.4 A is a reversal at that
 * speed. */
#define ROW_THETA {"theta", "rad", -STOP, STOP, TL_SAFE_NONE, 0.0f}
#define ROW_TARGET {"target", "rad", -TARGET_MAX, TARGET_MAX, TL_SAFE_NONE, 0.0f}
#define ROW_OMEGA {"theta_dot", "rad/s", -240.0f, 240.0f, TL_SAFE_NONE, 0.0f}
#define ROW_CURRENT {"current", "A", -2.5f, 2.5f, TL_SAFE_NONE, 0.0f}
#define ROW_VOLTAGE {"voltage", "V", -VOLTAGE_MAX, VOLTAGE_MAX, TL_SAFE_OFF, 0.0f}

static const TL_IN_FLASH tl_plant_row kRows[] = {ROW_THETA, ROW_TARGET, ROW_VOLTAGE};
static const TL_IN_FLASH tl_plant_row kRowsFull[] = {ROW_THETA, ROW_TARGET, ROW_OMEGA, ROW_CURRENT, ROW_VOLTAGE};

static const tl_plant_sheet kSheet = TL_PLANT_SHEET("servo", kRows, "DC motor position servo, angle and target only");
static const tl_plant_sheet kSheetFull =
    TL_PLANT_SHEET("servo-full", kRowsFull, "DC motor position servo, with speed and current");

static void new_target(tl_servo_state *s) {
    s->target_rad = tl_plant_uniform(&s->rng, -TARGET_MAX, TARGET_MAX);
    s->hold = HOLD_MIN + (((tl_plant_random(&s->rng) >> 16) * HOLD_SPAN) >> 16);
}

static void reset(void *state, uint32_t seed) {
    tl_servo_state *s = state;
    tl_episode_begin(&s->episode, kSheet.max_steps);
    s->rng = seed;
    s->theta_rad = tl_plant_uniform(&s->rng, -TARGET_MAX, TARGET_MAX);
    s->omega_rad_s = 0.0f;
    s->current_a = 0.0f;
    new_target(s);
}

static const tl_servo_numbers kNumbers = {
    RESISTANCE, CONSTANT, INERTIA, VISCOUS, COULOMB, 0.0f, STOP, SUBSTEP_S, DECAY, DECAY_MEAN, SUBSTEPS,
};

static tl_plant_result step(void *state, const float *u) {
    tl_servo_state *s = state;
    if (tl_episode_over(&s->episode)) {
        return tl_episode_held(&s->episode);
    }
    const float voltage = tl_actuate(&kRows[2], u[0]);
    tl_servo_advance(kNumbers, &s->theta_rad, &s->omega_rad_s, &s->current_a, voltage);

    const float error = s->theta_rad - s->target_rad;
    const float reward = -(error * error + WEIGHT_VOLTAGE * (voltage * voltage));
    s->hold -= 1u;
    if (s->hold == 0u) {
        new_target(s);
    }
    return tl_episode_count(&s->episode, reward, false);
}

static void observe(const void *state, float *x) {
    const tl_servo_state *s = state;
    x[0] = s->theta_rad;
    x[1] = s->target_rad;
}

static void observe_full(const void *state, float *x) {
    const tl_servo_state *s = state;
    x[0] = s->theta_rad;
    x[1] = s->target_rad;
    x[2] = s->omega_rad_s;
    x[3] = s->current_a;
}

const tl_plant tl_plant_servo = {&kSheet, reset, step, observe, sizeof(tl_servo_state), NULL, NULL};
const tl_plant tl_plant_servo_full = {&kSheetFull, reset, step, observe_full, sizeof(tl_servo_state), NULL, NULL};
