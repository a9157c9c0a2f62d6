/* Square root of a float for a processor without a floating-point unit. */
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

/* Correctly rounded to nearest, so the bits of every unit; NaN for negative numbers. */
float tl_soft_sqrt(float x);

#ifdef __cplusplus
}
#endif
