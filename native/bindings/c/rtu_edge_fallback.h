/* A user-supplied fallback controller in C: the function that [fallback] kind = "c" loads from a shared library.
 *
 *     int my_fallback(const float *x, size_t n, int first, float *u, size_t m);
 *
 * x (n): the observations in the device's units, checked by the sensor monitor: finite, in range. first: 1 at an
 * episode's first observation.
 * u (m): output, in actuator units; values outside the limits are clipped.
 * Return 0 on success. Any other value, or a u that is not finite or not written, counts as no action: the last action
 * is then held, and after 5 such steps in a row while the fallback drives, the actuators go to rest and the run ends.
 * It is called on the control loop's thread once per step, also while the learner
 * drives: it must not block, allocate, or throw. It may keep state (one loop runs at a time). */
#pragma once

#include <stddef.h>

typedef int (*rtu_edge_fallback)(const float* x, size_t n, int first, float* u, size_t m);
