"""The C of an exported policy that does not depend on it. `NAME` stands for the prefix."""

from __future__ import annotations

__all__ = ["DENSE", "DENSE8", "EXP", "HEAD", "LARGEST", "LEARN_USE", "NORM", "PACK", "SIGMOID", "TANH", "TURN"]

HEAD = """/* A policy, written by rtu_edge {version}: one step, in C99 or C++, without heap or files.
 *
 *     NAME_state state;
 *     NAME_reset(&state);      at the start of an episode
 *     NAME_step(&state, {call});
 *
 * observation: raw, in the units the agent learned with, finite.{period}
 * {result}
 *
 * NAME_test() takes {steps} steps and returns {measure}.{error}{learn} */
#ifndef NAME_H
#define NAME_H

#include <math.h>
#include <stdint.h>{string}

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

TURN = """/* h rotated and damped, and its input (docs/math.md, 1). */
#define NAME_TURNED1(g, phi, h1, h2, u) ((g) * (h1) - (phi) * (h2) + (u))
#define NAME_TURNED2(g, phi, h1, h2, u) ((g) * (h2) + (phi) * (h1) + (u))
"""

LEARN_USE = """
 *
 * With learning:
 *
 *     static NAME_learner learner;
 *     NAME_learn_init(&learner);                                    as it was exported
 *     NAME_learn_reset(&learner, observation, action);              an episode's start
 *     NAME_learn_step(&learner, observation, reward, terminated, truncated, applied, action);
 *
 * applied: what the actuators did, or null; action and applied are {applied}. NAME_learn_test(&learner) repeats {steps}
 * steps of the agent and returns the largest difference of actions and final weights."""

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

LARGEST = """/* most over the largest magnitude in x; 1 where all are 0. */
static inline float NAME_largest(int n, const float *x, float most) {
    float top = 0.0f;
    for (int i = 0; i < n; i++) {
        const float size = x[i] < 0.0f ? -x[i] : x[i];
        if (size > top) top = size;
    }
    return top > 1e-30f ? most / top : 1.0f;
}
"""

PACK = """/* The bits of v rounded to an integer and 1.5 2^23 added: in the lowest 16 the integer's own. */
static inline uint32_t NAME_rounded(float v) {
    union {
        float value;
        uint32_t bits;
    } rounded;
    rounded.value = v + 12582912.0f;
    return rounded.bits;
}

/* x in integers of 1 / step, two in a word: elements 0 and 1 of four, then 2 and 3. Returns 128 times their sum. */
static inline int32_t NAME_pack(int words, float step, const float *x, uint32_t *packed) {
    uint32_t sum = (uint32_t)words * 0xd3000000u; /* less the four of 1.5 2^23 */
    for (; words > 0; words--, x += 4, packed += 2) {
        const uint32_t q0 = NAME_rounded(x[0] * step), q1 = NAME_rounded(x[1] * step);
        const uint32_t q2 = NAME_rounded(x[2] * step), q3 = NAME_rounded(x[3] * step);
        sum += q0 + q1 + q2 + q3;
        packed[0] = (q0 & 0xffffu) | q1 << 16;
        packed[1] = (q2 & 0xffffu) | q3 << 16;
    }
    return (int32_t)(sum * 128u);
}
"""

DENSE8 = """/* sum + a b, element by element of pairs of 16 bits. */
#if defined __ARM_FEATURE_SIMD32 && defined __ARM_FEATURE_DSP
#include <arm_acle.h>
#define NAME_TWICE(a, b, sum) __smlad((int16x2_t)(a), (int16x2_t)(b), sum)
#else
#define NAME_LOW(v) ((int32_t)(int16_t)(uint16_t)(v))
#define NAME_HIGH(v) ((int32_t)(int16_t)(uint16_t)((v) >> 16))
#define NAME_TWICE(a, b, sum) ((sum) + NAME_LOW(a) * NAME_LOW(b) + NAME_HIGH(a) * NAME_HIGH(b))
#endif
#define NAME_FOUR(v, x, y, sum) NAME_TWICE((v) & 0x00ff00ffu, x, NAME_TWICE((v) >> 8 & 0x00ff00ffu, y, sum))

/* y = scale (W x) + b for weights of 8 bits, each stored 128 too large; b may be null. */
static inline void NAME_dense8(int rows, int words, const uint32_t *w, const float *scale, const float *b,
                               const uint32_t *x, int32_t sum, float unit, float *y) {
    const uint32_t *end = x + 2 * words;
    for (; rows >= 2; rows -= 2, w += words, scale += 2, y += 2, b = b ? b + 2 : b) {
        const uint32_t *w1 = w + words;
        int32_t s0 = -sum, s1 = -sum;
        for (const uint32_t *at = x; at != end; at += 2) {
            const uint32_t v0 = *w++, v1 = *w1++, x0 = at[0], x1 = at[1];
            s0 = NAME_FOUR(v0, x0, x1, s0);
            s1 = NAME_FOUR(v1, x0, x1, s1);
        }
        y[0] = (float)s0 * (scale[0] * unit) + (b ? b[0] : 0.0f);
        y[1] = (float)s1 * (scale[1] * unit) + (b ? b[1] : 0.0f);
    }
    if (rows > 0) {
        int32_t s0 = -sum;
        for (const uint32_t *at = x; at != end; at += 2, w++) s0 = NAME_FOUR(*w, at[0], at[1], s0);
        y[0] = (float)s0 * (scale[0] * unit) + (b ? b[0] : 0.0f);
    }
}
"""
