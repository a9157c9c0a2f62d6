/* Sine and cosine in binary32 without libm: the same bits on every processor that has IEEE single precision.
 *
 * Error, over |x| <= 1000 rad: at most 1.0e-7 absolute (0.85 units in the last place of 1.0), measured against double
 * precision by tests/test_plants.py. Larger or non-finite arguments are not accepted: the plants keep their angles
 * within a few turns. */
#pragma once

typedef struct {
    float sin, cos;
} tl_sincos_result;

tl_sincos_result tl_sincos(float x_rad);

/* An angle within [-3 pi, 3 pi] wrapped to [-pi, pi]; exact to one rounding. */
float tl_wrap_angle(float x_rad);
