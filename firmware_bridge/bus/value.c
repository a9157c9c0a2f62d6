#include "firmware_bridge/bus/value.h"

#include "firmware_bridge/protocol/bytes.h"

static int64_t largest(const tl_register *reg) {
    const int bits = reg->sign == TL_SIGN_NONE   ? 8 * reg->size
                     : reg->sign == TL_SIGN_TWOS ? 8 * reg->size - 1
                                                 : reg->sign;
    return ((int64_t)1 << bits) - 1;
}

bool tl_register_holds(const tl_register *reg, int64_t v) {
    const int64_t high = largest(reg);
    const int64_t low = reg->sign == TL_SIGN_NONE ? 0 : reg->sign == TL_SIGN_TWOS ? -high - 1 : -high;
    return v >= low && v <= high;
}

bool tl_register_put(const tl_register *reg, int64_t v, bool big_endian, uint8_t *out) {
    if (!tl_register_holds(reg, v)) return false;
    uint32_t bits = (uint32_t)v;
    if (v < 0 && reg->sign != TL_SIGN_TWOS) bits = (uint32_t)-v | (uint32_t)1 << reg->sign;
    for (uint8_t i = 0; i < reg->size; i++) out[big_endian ? reg->size - 1 - i : i] = (uint8_t)(bits >> 8 * i);
    return true;
}

int64_t tl_register_get(const tl_register *reg, bool big_endian, const uint8_t *in) {
    uint32_t bits = 0;
    for (uint8_t i = 0; i < reg->size; i++) bits |= (uint32_t)in[big_endian ? reg->size - 1 - i : i] << 8 * i;
    if (reg->sign == TL_SIGN_NONE) return bits;
    const int64_t high = largest(reg);
    if (reg->sign == TL_SIGN_TWOS) return bits <= (uint32_t)high ? (int64_t)bits : (int64_t)bits - 2 * (high + 1);
    const int64_t magnitude = (int64_t)bits & high;
    return bits >> reg->sign & 1u ? -magnitude : magnitude;
}

bool tl_register_steps(const tl_register *reg, float v, int64_t *steps) {
    const float scaled = v / reg->unit;
    /* Below 2^32 first, so that the conversion is defined. */
    if (!tl_f32_finite(v) || !(scaled > -4294967296.0f && scaled < 4294967296.0f)) return false;
    const int64_t whole = (int64_t)scaled;
    const float rest = scaled - (float)whole;
    const int64_t nearest = whole + (rest >= 0.5f) - (rest <= -0.5f);
    if (!tl_register_holds(reg, nearest)) return false;
    *steps = nearest;
    return true;
}
