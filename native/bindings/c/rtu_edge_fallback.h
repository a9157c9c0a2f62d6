/* A fallback controller of your own, in C: what [fallback] kind = "c" looks for in the library it names.
 *
 *     int my_fallback(const float *x, size_t n, int first, float *u, size_t m);
 *
 * x (n): the observations in the device's units, checked by the sensor monitor: finite, in range. first: 1 at an
 * episode's first observation.
 * u (m): to be filled, in the actuators' units; what lies outside the limits is clipped. 0; anything else, or a u that
 * is not finite or not filled: no action. The last one then stands; after 5 in a row, where it has to drive, the
 * actuators rest and the run ends. It is called on the control loop's thread once per step, also while the learner
 * drives: it must not block, allocate, or throw, and may keep what state it likes (one loop runs at a time). */
#pragma once

#include <stddef.h>

typedef int (*rtu_edge_fallback)(const float* x, size_t n, int first, float* u, size_t m);
