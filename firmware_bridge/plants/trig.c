#include "firmware_bridge/plants/trig.h"

#include <stdint.h>

#if defined(__FLT_EVAL_METHOD__) && __FLT_EVAL_METHOD__ != 0
#error "plants need binary32 arithmetic without excess precision (on 32-bit x86: -msse2 -mfpmath=sse)"
#endif

/* pi/2 in three pieces; the first two have 9 and 11 significant bits, so that k * piece is exact for |k| < 8192. */
static const float kHalfPiA = 0x1.92p+0f;
static const float kHalfPiB = 0x1.fb4p-12f;
static const float kHalfPiC = 0x1.4442d2p-24f;
static const float kTwoOverPi = 0x1.45f306p-1f;

/* 2 pi in two pieces */
static const float kTwoPiA = 6.28125f;
static const float kTwoPiB = 0.0019353071693331003f;
static const float kPi = 3.14159274101257324f;

/* Minimax on |r| <= pi/4, r from the reduction: sin r = r + r^3 S(r^2), cos r = 1 - r^2/2 + r^4 C(r^2); own fit, error
 * of the polynomials 4e-9 and 2e-10 */
static const float kS0 = -0.16666655242443085f, kS1 = 0.00833216868340969f, kS2 = -0.0001951601152541116f;
static const float kC0 = 0.04166664555668831f, kC1 = -0.0013887303648516536f, kC2 = 0.0000244316688622348f;

tl_sincos_result tl_sincos(float x_rad) {
    const float scaled = x_rad * kTwoOverPi;
    const int32_t quadrant = (int32_t)(scaled + (scaled >= 0.0f ? 0.5f : -0.5f));
    const float k = (float)quadrant;
    const float r = ((x_rad - k * kHalfPiA) - k * kHalfPiB) - k * kHalfPiC;
    const float r2 = r * r;
    const float s = r + r * r2 * (kS0 + r2 * (kS1 + r2 * kS2));
    const float c = 1.0f - 0.5f * r2 + r2 * r2 * (kC0 + r2 * (kC1 + r2 * kC2));
    tl_sincos_result out;
    switch ((uint32_t)quadrant & 3u) {
        case 0u:
            out.sin = s;
            out.cos = c;
            break;
        case 1u:
            out.sin = c;
            out.cos = -s;
            break;
        case 2u:
            out.sin = -s;
            out.cos = -c;
            break;
        default:
            out.sin = -c;
            out.cos = s;
            break;
    }
    return out;
}

float tl_wrap_angle(float x_rad) {
    if (x_rad > kPi) {
        return (x_rad - kTwoPiA) - kTwoPiB;
    }
    if (x_rad < -kPi) {
        return (x_rad + kTwoPiA) + kTwoPiB;
    }
    return x_rad;
}
