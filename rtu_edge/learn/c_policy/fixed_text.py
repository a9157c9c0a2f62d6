"""The C of a policy in integers that does not depend on it. `NAME` stands for the prefix.

rtu_edge/learn/c_policy/fixed_steps.py computes the same in Python, to the bit.
"""

from __future__ import annotations

__all__ = [
    "ACTION",
    "ACTION_ONE",
    "DENSE",
    "FLOAT",
    "HEAD",
    "NORM",
    "PACK",
    "PAIR",
    "SHIFTS",
    "SIGMOID",
    "TANH",
    "TURN",
    "TURN_WIDE",
]

ACTION_ONE = 1 << 14

HEAD = """/* A policy in integers, written by rtu_edge {version}: one step, in C99 or C++, without float, heap or files.
 *
 *     NAME_state state;
 *     NAME_reset(&state);      at the start of an episode
 *     NAME_step(&state, {call});
 *
 * observation: raw, in the units the agent learned with, each an integer of 2^-NAME_BITS_i of its unit (BITS_0 of the
 * first), any int32_t: what is beyond the agent's bound is clamped to it.{period}
 * {result}
 *
 * Next to the agent's own actions, {steps} steps: {error}. Weights are int16_t, states and sums int32_t;
 * none can overflow, whatever the observations. NAME_test() takes {tests} steps and returns how many of its results
 * differ from the expected integers: 0. With NAME_FLOAT defined, NAME_step_float() takes and gives float. */
#ifndef NAME_H
#define NAME_H

#include <stdint.h>
#ifdef __AVR__ /* constants stay in flash */
#include <avr/pgmspace.h>
#define NAME_ROM PROGMEM
#define NAME_AT8(at) ((int8_t)pgm_read_byte(at))
#define NAME_AT16(at) ((int16_t)pgm_read_word(at))
#define NAME_AT32(at) ((int32_t)pgm_read_dword(at))
#else
#define NAME_ROM
#define NAME_AT8(at) (*(at))
#define NAME_AT16(at) (*(at))
#define NAME_AT32(at) ((int32_t)*(at))
#endif

enum {{ {sizes} }};

typedef struct {{
{fields}
}} NAME_state;
"""

SHIFTS = """/* v / 2^n rounded down; arithmetic where a compiler's shift of a negative number is not. */
#define NAME_DOWN(v, n) ((-1 >> 1) == -1 ? (v) >> (n) : (v) < 0 ? ~(~(v) >> (n)) : (v) >> (n))

/* v / 2^n rounded to the nearest. */
static inline int32_t NAME_rounded(int32_t v, int n) { return NAME_DOWN(v + (((int32_t)1 << n) >> 1), n); }

/* The larger of top and |v|. */
static inline int32_t NAME_larger(int32_t top, int32_t v) {
    const int32_t size = v < 0 ? -v : v;
    return size > top ? size : top;
}
"""

PACK = """/* v / 2^shift, by the smallest shift from `shift` on for which all |v| <= most; returns it. */
static inline int NAME_pack(int n, int shift, int32_t most, int32_t *v) {
    int32_t top = 0;
    for (int i = 0; i < n; i++) top = NAME_larger(top, v[i]);
    for (top = NAME_DOWN(top, shift); top >= most; top >>= 1) shift++;
    for (int i = 0; i < n; i++) v[i] = NAME_rounded(v[i], shift);
    return shift;
}
"""

PAIR = """/* Weights of two rows in a column: in a word where a load of 16 bits extends no sign by itself. */
#if defined __ARM_ARCH_6M__ || defined __ARM_ARCH_8M_BASE__ || defined __ARM_FEATURE_DSP
typedef uint32_t NAME_pair;
#define NAME_PAIR(first, second) ((uint32_t)(uint16_t)(first) | (uint32_t)(uint16_t)(second) << 16)
#define NAME_FIRST(pair) ((int16_t)(uint16_t)(pair))
#define NAME_SECOND(pair) ((int16_t)(uint16_t)((pair) >> 16))
#else
typedef struct {
    int16_t first, second;
} NAME_pair;
#define NAME_PAIR(first, second) {first, second}
#define NAME_FIRST(pair) NAME_AT16(&(pair).first)
#define NAME_SECOND(pair) NAME_AT16(&(pair).second)
#endif
#if defined __AVR__ || defined __ARM_FEATURE_DSP
#define NAME_TIMES(a, b) ((int32_t)(int16_t)(a) * (int16_t)(b)) /* where a product of 16 bits is cheaper */
#else
#define NAME_TIMES(a, b) ((a) * (b))
#endif
"""

DENSE = """/* y = W x + b / 2^shift, two rows, four columns at once; b may be null. All |x| < 2^15. */
static inline void NAME_dense(int pairs, int cols, const NAME_pair *w, const int32_t *b, int shift, const int32_t *x,
                              int32_t *y) {
    const int32_t *end = x + cols;
    for (; pairs > 0; pairs--) {
        int32_t first = 0, second = 0;
        if (b) {
            first = NAME_DOWN(NAME_AT32(b), shift);
            second = NAME_DOWN(NAME_AT32(b + 1), shift);
            b += 2;
        }
        const int32_t *at = x;
        do {
            first += NAME_TIMES(NAME_FIRST(w[0]), at[0]);
            second += NAME_TIMES(NAME_SECOND(w[0]), at[0]);
            first += NAME_TIMES(NAME_FIRST(w[1]), at[1]);
            second += NAME_TIMES(NAME_SECOND(w[1]), at[1]);
            first += NAME_TIMES(NAME_FIRST(w[2]), at[2]);
            second += NAME_TIMES(NAME_SECOND(w[2]), at[2]);
            first += NAME_TIMES(NAME_FIRST(w[3]), at[3]);
            second += NAME_TIMES(NAME_SECOND(w[3]), at[3]);
            at += 4;
            w += 4;
        } while (at != end);
        *y++ = first;
        *y++ = second;
    }
}
"""

TURN = """/* h rotated and damped (docs/math.md, 1) by coefficients of 2^-15. A state is cut into high 2^15 + low. */
static inline void NAME_turn(const int16_t *c, int32_t h1, int32_t h2, int32_t *z1, int32_t *z2) {
    const int32_t g = NAME_AT16(c), phi = NAME_AT16(c + 1);
    const int32_t high1 = NAME_rounded(h1, 15), high2 = NAME_rounded(h2, 15);
    const int32_t low1 = h1 - high1 * 32768, low2 = h2 - high2 * 32768;
    *z1 = NAME_TIMES(g, high1) - NAME_TIMES(phi, high2) + NAME_rounded(NAME_TIMES(g, low1) - NAME_TIMES(phi, low2), 15);
    *z2 = NAME_TIMES(g, high2) + NAME_TIMES(phi, high1) + NAME_rounded(NAME_TIMES(g, low2) + NAME_TIMES(phi, low1), 15);
}
"""

TURN_WIDE = """/* h rotated and damped (docs/math.md, 1). Coefficients of 2^-30, states: high 2^15 + low. */
static inline void NAME_turn_wide(const int16_t *c, int32_t h1, int32_t h2, int32_t *z1, int32_t *z2) {
    const int32_t g = NAME_AT16(c), g_low = NAME_AT16(c + 1), phi = NAME_AT16(c + 2), phi_low = NAME_AT16(c + 3);
    const int32_t high1 = NAME_rounded(h1, 15), high2 = NAME_rounded(h2, 15);
    const int32_t low1 = h1 - high1 * 32768, low2 = h2 - high2 * 32768;
    const int32_t rest1 = NAME_TIMES(g, low1) + NAME_TIMES(g_low, high1) - NAME_TIMES(phi, low2) -
                          NAME_TIMES(phi_low, high2);
    const int32_t rest2 = NAME_TIMES(g, low2) + NAME_TIMES(g_low, high2) + NAME_TIMES(phi, low1) +
                          NAME_TIMES(phi_low, high1);
    *z1 = NAME_TIMES(g, high1) - NAME_TIMES(phi, high2) + NAME_rounded(rest1, 15);
    *z2 = NAME_TIMES(g, high2) + NAME_TIMES(phi, high1) + NAME_rounded(rest2, 15);
}
"""

TANH = """/* tanh(v), both in 2^-20, to 3e-5: the series around the nearest of a table in steps of 1/16. */
static inline int32_t NAME_tanh(int32_t v) {
    const int32_t size = v < 0 ? -v : v;
    if (size >= (int32_t)NAME_STEPS << 16) return v < 0 ? -1048560 : 1048560;
    const int32_t near = NAME_rounded(size, 16), off = size - near * 65536;
    const int32_t t = NAME_AT16(NAME_tanh_table + near), slope = 32768 - (t * t >> 15);
    const int32_t bent = off - NAME_DOWN(off * NAME_DOWN(t * off, 15), 20);
    const int32_t sum = t * 32 + NAME_DOWN(slope * bent, 15);
    return v < 0 ? -sum : sum;
}
"""

SIGMOID = """/* Of v in 2^-20, in 2^-15. */
static inline int32_t NAME_sigmoid(int32_t v) { return (1048608 + NAME_tanh(NAME_DOWN(v, 1))) >> 6; }

/* h moved towards another value by a share in 2^-15. */
static inline int32_t NAME_moved(int32_t h, int32_t to, int32_t share) {
    const int32_t way = to - h, high = NAME_rounded(way, 15);
    return h + high * share + NAME_rounded((way - high * 32768) * share, 15);
}
"""

NORM = """/* Mean 0 and deviation 1, then leaky relu, of n sums with `point` bits after the point; then `out`. Of
 * n / 2^log, the mean's divisor: inverse in 2^-15, root in 2^-15; eps: 1e-5 n / 2^log in 2^-44. */
static inline void NAME_norm(int n, int log, int32_t inverse, int32_t root, uint32_t eps, int point, int out,
                             int32_t *v) {
    int32_t mean = 0, top = 0;
    for (int i = 0; i < n; i++) mean += NAME_DOWN(v[i], log);
    mean = NAME_DOWN(mean, 15) * inverse + (int32_t)((uint32_t)(mean & 32767) * (uint32_t)inverse >> 15);
    for (int i = 0; i < n; i++) top = NAME_larger(top, v[i] -= mean);
    int shift = point > 22 ? point - 22 : 0;
    for (top = NAME_DOWN(top, shift); top >= 32767; top >>= 1) shift++;
    uint32_t m = 1;
    for (int i = 0; i < n; i++) {
        v[i] = NAME_rounded(v[i], shift);
        m += (uint32_t)(v[i] * v[i]) >> log;
    }
    const int down = 2 * (22 - point + shift);
    m += down < 31 ? eps >> down : 0u;
    int up = 0;
    for (; m < (uint32_t)1 << 30; m <<= 2) up++;
    m >>= 16;
    uint32_t r = 34816u - (m * 19661u >> 16); /* 1 / root of m 2^-16, in 2^-14, by Newton's steps */
    for (int k = 0; k < 3; k++) r = r * (49152u - (m * (r * r >> 14) >> 16)) >> 15;
    r = (r * (uint32_t)root + 16384u) >> 15;
    for (int i = 0; i < n; i++) {
        const int32_t normed = NAME_rounded(v[i] * (int32_t)r, 30 - out - up);
        v[i] = normed > 0 ? normed : NAME_rounded(normed * 655, 16);
    }
}
"""

ACTION = """/* v with `point` bits after the point in 2^-14, within +-1. */
static inline int16_t NAME_action(int32_t v, int point) {
    const int32_t most = point < 14 ? (point < 0 ? 0 : 16384 >> (14 - point)) : 0;
    if (point >= 14) v = NAME_rounded(v, point - 14);
    else v = v > most ? 16384 : v < -most ? -16384 : v * ((int32_t)1 << (point < 0 ? 0 : 14 - point));
    return (int16_t)(v > 16384 ? 16384 : v < -16384 ? -16384 : v);
}
"""

FLOAT = """#ifdef NAME_FLOAT
/* v in units of 1 / one, rounded; at the end of int32_t what is beyond it, at the lower one NaN. */
static inline int32_t NAME_integer(float v, float one) {{
    v *= one;
    if (!(v > -2147483520.0f)) return -INT32_C(2147483647);
    return v < 2147483520.0f ? (int32_t)(v + (v < 0.0f ? -0.5f : 0.5f)) : INT32_C(2147483647);
}}

/* NAME_step() with observations in their units{actions}. */
static inline {result} NAME_step_float({arguments}) {{
{body}
}}
#endif
"""
