#include "firmware_bridge/plants/trig.h"

#include "firmware_bridge/plants/trig_inline.h"

/* 2 pi in two pieces */
static const float kTwoPiA = 6.28125f;
static const float kTwoPiB = 0.0019353071693331003f;
static const float kPi = 3.14159274101257324f;

tl_sincos_result tl_sincos(float x_rad) { return tl_sincos_inline(x_rad); }

float tl_wrap_angle(float x_rad) {
    if (x_rad > kPi) {
        return (x_rad - kTwoPiA) - kTwoPiB;
    }
    if (x_rad < -kPi) {
        return (x_rad + kTwoPiA) + kTwoPiB;
    }
    return x_rad;
}
