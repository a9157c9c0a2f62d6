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
