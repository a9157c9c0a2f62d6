"""The C of an exported policy that does not depend on it. `NAME` stands for the prefix."""

from __future__ import annotations

__all__ = ["DENSE", "EXP", "HEAD", "NORM", "SIGMOID", "TANH"]

HEAD = """/* A policy, written by rtu_edge {version}: one step, in C99 or C++, without heap or files.
 *
 *     NAME_state state;
 *     NAME_reset(&state);      at the start of an episode
 *     NAME_step(&state, {call});
 *
 * observation: raw, in the units the agent learned with, finite.{period}
 * {result}
 *
 * NAME_test() takes {steps} steps and returns {measure}. */
#ifndef NAME_H
#define NAME_H

#include <math.h>
#include <stdint.h>

enum {{ {sizes} }};

typedef struct {{
{fields}
}} NAME_state;

#if defined FP_FAST_FMAF || defined __FP_FAST_FMAF
#define NAME_MULTIPLY_ADD(a, b, c) fmaf(a, b, c)
#else
#define NAME_MULTIPLY_ADD(a, b, c) ((a) * (b) + (c))
#endif
"""

DENSE = """/* y = W x + b, four rows at once; b may be null. */
static inline void NAME_dense(int rows, int cols, const float *w, const float *b, const float *x, float *y) {
    const float *end = x + cols;
    for (; rows >= 4; rows -= 4, w += 4 * cols, y += 4, b = b ? b + 4 : b) {
        const float *w0 = w, *w1 = w0 + cols, *w2 = w1 + cols, *w3 = w2 + cols;
        float s0 = b ? b[0] : 0.0f, s1 = b ? b[1] : 0.0f, s2 = b ? b[2] : 0.0f, s3 = b ? b[3] : 0.0f;
        for (const float *at = x; at != end; at++) {
            s0 = NAME_MULTIPLY_ADD(*w0++, *at, s0);
            s1 = NAME_MULTIPLY_ADD(*w1++, *at, s1);
            s2 = NAME_MULTIPLY_ADD(*w2++, *at, s2);
            s3 = NAME_MULTIPLY_ADD(*w3++, *at, s3);
        }
        y[0] = s0;
        y[1] = s1;
        y[2] = s2;
        y[3] = s3;
    }
    for (; rows > 0; rows--, y++, b = b ? b + 1 : b) {
        float sum = b ? *b : 0.0f;
        for (const float *at = x; at != end; at++) sum = NAME_MULTIPLY_ADD(*w++, *at, sum);
        *y = sum;
    }
}
"""

NORM = """/* Mean 0 and deviation 1, then leaky relu. */
static inline void NAME_norm(int n, float *y) {
    float sum = 0.0f, squares = 0.0f;
    for (int i = 0; i < n; i++) sum += y[i];
    const float mean = sum / (float)n;
    for (int i = 0; i < n; i++) {
        y[i] -= mean;
        squares = NAME_MULTIPLY_ADD(y[i], y[i], squares);
    }
    const float scale = 1.0f / sqrtf(squares / (float)n + 1e-5f);
    for (int i = 0; i < n; i++) {
        const float normed = y[i] * scale;
        y[i] = normed > 0.0f ? normed : normed * 0.01f;
    }
}
"""

EXP = """/* exp(v) for v <= 0, to 3e-7 of itself; 0 below -87. */
static inline float NAME_exp(float v) {
    if (v < -87.0f) return 0.0f;
    const int n = (int)(v * 1.44269504f - 0.5f);
    const float r = v - (float)n * 0.693359375f + (float)n * 2.12194440e-4f;
    union {
        uint32_t bits;
        float value;
    } power;
    power.bits = (uint32_t)(n + 127) << 23;
    float sum = NAME_MULTIPLY_ADD(r, 1.0f / 720.0f, 1.0f / 120.0f);
    sum = NAME_MULTIPLY_ADD(sum, r, 1.0f / 24.0f);
    sum = NAME_MULTIPLY_ADD(sum, r, 1.0f / 6.0f);
    sum = NAME_MULTIPLY_ADD(sum, r, 0.5f);
    sum = NAME_MULTIPLY_ADD(sum, r, 1.0f);
    return NAME_MULTIPLY_ADD(sum, r, 1.0f) * power.value;
}
"""

SIGMOID = """static inline float NAME_sigmoid(float v) {
    const float t = NAME_exp(v > 0.0f ? -v : v);
    return (v > 0.0f ? 1.0f : t) / (1.0f + t);
}
"""

TANH = """static inline float NAME_tanh(float v) {
    const float t = NAME_exp(v > 0.0f ? -2.0f * v : 2.0f * v), size = (1.0f - t) / (1.0f + t);
    return v > 0.0f ? size : -size;
}
"""
