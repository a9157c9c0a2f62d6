/* The arithmetic of trig.h, for loops over many plants: no branch that depends on the angle, so that a compiler makes
 * vectors of it. Vectors of IEEE single precision give the same bits. */
#pragma once

#include <stdint.h>

#include "firmware_bridge/plants/trig.h"

#if defined(__FLT_EVAL_METHOD__) && __FLT_EVAL_METHOD__ != 0
#error "plants need binary32 arithmetic without excess precision (on 32-bit x86: -msse2 -mfpmath=sse)"
#endif

/* pi/2 in three pieces; the first two have 9 and 11 significant bits, so that k * piece is exact for |k| < 8192. */
#define TL_HALF_PI_A 0x1.92p+0f
#define TL_HALF_PI_B 0x1.fb4p-12f
#define TL_HALF_PI_C 0x1.4442d2p-24f
#define TL_TWO_OVER_PI 0x1.45f306p-1f

/* Minimax on |r| <= pi/4, r from the reduction: sin r = r + r^3 S(r^2), cos r = 1 - r^2/2 + r^4 C(r^2); own fit, error
 * of the polynomials 4e-9 and 2e-10 */
#define TL_S0 (-0.16666655242443085f)
#define TL_S1 0.00833216868340969f
#define TL_S2 (-0.0001951601152541116f)
#define TL_C0 0.04166664555668831f
#define TL_C1 (-0.0013887303648516536f)
#define TL_C2 0.0000244316688622348f

static inline tl_sincos_result tl_sincos_inline(float x_rad) {
    const float scaled = x_rad * TL_TWO_OVER_PI;
    const int32_t quadrant = (int32_t)(scaled + (scaled >= 0.0f ? 0.5f : -0.5f));
    const float k = (float)quadrant;
    const float r = ((x_rad - k * TL_HALF_PI_A) - k * TL_HALF_PI_B) - k * TL_HALF_PI_C;
    const float r2 = r * r;
    const float s = r + r * r2 * (TL_S0 + r2 * (TL_S1 + r2 * TL_S2));
    const float c = 1.0f - 0.5f * r2 + r2 * r2 * (TL_C0 + r2 * (TL_C1 + r2 * TL_C2));
    /* Quadrants 0 to 3: sine s, c, -s, -c; cosine c, -s, -c, s. */
    const float sine = (quadrant & 1) != 0 ? c : s;
    const float cosine = (quadrant & 1) != 0 ? s : c;
    tl_sincos_result out;
    out.sin = (quadrant & 2) != 0 ? -sine : sine;
    out.cos = ((quadrant + 1) & 2) != 0 ? -cosine : cosine;
    return out;
}
