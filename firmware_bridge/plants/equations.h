/* Equations of motion with their numbers as arguments: a plant gives the constants of its data sheet, a family of
 * machines (families/machine.h) gives parameters drawn from a seed. Inlined: a plant's constants are folded, and its
 * bits and instructions are those of constants written into the equations. */
#pragma once

#include "firmware_bridge/plants/trig_inline.h"

/* ---------------------------------------------------------------- pole on a cart: sources in cartpole.c */

typedef struct {
    float gravity, mass_cart, mass_pole, half_length; /* m/s^2, kg, kg, m */
    float period_s;                                   /* of the Euler step */
} tl_cartpole_numbers;

/* One Euler step.
 *
 *     temp       = (u + m l omega^2 sin theta) / M          m pole, M cart and pole, l half the pole's length
 *     omega'     = (g sin theta - cos theta temp) / (l (4/3 - m cos^2 theta / M))
 *     v'         = temp - m l omega' cos theta / M */
static inline void tl_cartpole_advance(tl_cartpole_numbers n, float *x_m, float *v_m_s, float *theta_rad,
                                       float *omega_rad_s, float force) {
    const float mass = n.mass_cart + n.mass_pole;
    const float pole_moment = n.mass_pole * n.half_length;
    const float omega = *omega_rad_s;
    const tl_sincos_result angle = tl_sincos_inline(*theta_rad);
    const float temp = (force + pole_moment * (omega * omega) * angle.sin) / mass;
    const float omega_dot = (n.gravity * angle.sin - angle.cos * temp) /
                            (n.half_length * (4.0f / 3.0f - n.mass_pole * (angle.cos * angle.cos) / mass));
    const float v_dot = temp - pole_moment * omega_dot * angle.cos / mass;

    *x_m += n.period_s * *v_m_s;
    *v_m_s += n.period_s * v_dot;
    *theta_rad += n.period_s * omega;
    *omega_rad_s = omega + n.period_s * omega_dot;
}

/* ---------------------------------------------------------------- pendulum: sources in pendulum.c */

typedef struct {
    float gravity, mass, length, period_s; /* m/s^2, kg, m, s */
    float omega_max;                       /* rad/s */
} tl_pendulum_numbers;

/* One step of a rod, theta 0 upright: omega <- clip(omega + (3 g / (2 l) sin theta + 3 / (m l^2) torque) dt), then
 * theta with the new omega. */
static inline void tl_pendulum_advance(tl_pendulum_numbers n, float *theta_rad, float *omega_rad_s, float torque) {
    const float omega_dot = 3.0f * n.gravity / (2.0f * n.length) * tl_sincos(*theta_rad).sin +
                            3.0f / (n.mass * n.length * n.length) * torque;
    float omega = *omega_rad_s + omega_dot * n.period_s;
    if (omega > n.omega_max) {
        omega = n.omega_max;
    } else if (omega < -n.omega_max) {
        omega = -n.omega_max;
    }
    *omega_rad_s = omega;
    *theta_rad = tl_wrap_angle(*theta_rad + omega * n.period_s);
}

/* ---------------------------------------------------------------- servo: sources in servo.c */

typedef struct {
    float resistance, constant;            /* ohm, N m/A */
    float inertia, viscous, coulomb, load; /* kg m^2, N m s/rad, N m, N m: against positive angles */
    float stop;                            /* rad */
    float substep_s, decay, decay_mean;    /* of the current in a substep: servo.c */
    int substeps;
} tl_servo_numbers;

/* Speed after one substep under a torque. Friction opposes motion and never reverses it. */
static inline float tl_servo_omega(tl_servo_numbers n, float omega, float torque) {
    const float gain = n.substep_s / n.inertia;
    const float inner = torque - n.viscous * omega;
    if (omega == 0.0f) {
        if (torque > n.coulomb) {
            return gain * (inner - n.coulomb);
        }
        return torque < -n.coulomb ? gain * (inner + n.coulomb) : 0.0f;
    }
    const float friction = omega > 0.0f ? n.coulomb : -n.coulomb;
    const float next = omega + gain * (inner - friction);
    return (omega > 0.0f) == (next > 0.0f) ? next
                                           : 0.0f; /* through zero: stop, and start from rest in the next substep */
}

static inline void tl_servo_advance(tl_servo_numbers n, float *theta_rad, float *omega_rad_s, float *current_a,
                                    float voltage) {
    float theta = *theta_rad, omega = *omega_rad_s, current = *current_a;
    for (int i = 0; i < n.substeps; ++i) {
        const float settled = (voltage - n.constant * omega) / n.resistance;
        const float excess = current - settled;
        const float before = omega;
        omega = tl_servo_omega(n, before, n.constant * (settled + excess * n.decay_mean) - n.load);
        current = settled + excess * n.decay;
        if (current < 1e-12f && current > -1e-12f) {
            current =
                0.0f; /* the current of an idle winding decays towards 0; subnormal numbers differ between processors */
        }
        theta += 0.5f * n.substep_s * (before + omega);
        if (!(theta <= n.stop)) {
            theta = n.stop;
            omega = 0.0f;
        } else if (!(theta >= -n.stop)) {
            theta = -n.stop;
            omega = 0.0f;
        }
    }
    *theta_rad = theta;
    *omega_rad_s = omega;
    *current_a = current;
}
