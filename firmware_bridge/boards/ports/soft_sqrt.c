#include "firmware_bridge/boards/ports/soft_sqrt.h"

#include <stdint.h>
#include <string.h>

enum { FRACTION_BITS = 23, BIAS = 127 };

float tl_soft_sqrt(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if (bits << 1 == 0 || bits >= 0x7f800000u) /* 0 and infinity stay; NaN from what is negative or not a number */
        return bits == 0x7f800000u || bits << 1 == 0 ? x : (x - x) / (x - x);
    int32_t exponent = (int32_t)(bits >> FRACTION_BITS);
    uint32_t m = bits & 0x7fffffu;
    if (exponent == 0)
        for (exponent = 1; (m & 0x800000u) == 0; exponent--) m <<= 1; /* a subnormal number */
    m |= 0x800000u;
    exponent -= BIAS;
    if ((exponent & 1) != 0) m <<= 1;
    exponent = (exponent - (exponent & 1)) / 2;
    /* 25 digits of the root of m / 2^23 in 1..4, the last of them to round by; never a tie. */
    uint32_t root = 0, rest = 0;
    m <<= 7; /* two digits a turn, from the top of 32 bits */
    for (int i = 0; i < 25; i++, m <<= 2) {
        rest = rest << 2 | m >> 30;
        const uint32_t trial = root << 2 | 1u;
        root <<= 1;
        if (rest >= trial) {
            rest -= trial;
            root |= 1u;
        }
    }
    root = (root + 1) >> 1;
    bits = (root & 0x7fffffu) | (uint32_t)(exponent + BIAS) << FRACTION_BITS;
    if (root >> 24 != 0) bits = (uint32_t)(exponent + 1 + BIAS) << FRACTION_BITS;
    memcpy(&x, &bits, sizeof x);
    return x;
}
