#include "firmware_bridge/boards/bus_server/plant.h"
#include "firmware_bridge/plants/trig.h"

#define TWO_PI 6.2831853f

float tl_joint_target(const tl_joint *joint, uint64_t time_us) {
    float sum = 0.0f;
    for (uint8_t k = 0; k < joint->n_waves; k++) {
        const tl_wave *wave = &joint->waves[k];
        const uint64_t period_us = (uint64_t)(wave->period_s * 1e6f + 0.5f);
        const float turn = (float)(time_us % period_us) / (float)period_us;
        sum += wave->amplitude_rad * tl_sincos(TWO_PI * turn + wave->phase_rad).sin;
    }
    return time_us < TL_TARGET_RISE_US ? sum * (float)time_us / (float)TL_TARGET_RISE_US : sum;
}

bool tl_bus_server_has_target(const tl_bus_server_options *options) {
    for (uint8_t i = 0; i < options->count; i++)
        if (options->joints[i].n_waves != 0) return true;
    return false;
}
