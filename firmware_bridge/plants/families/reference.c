#include "firmware_bridge/plants/families/reference.h"

#include "firmware_bridge/plants/families/family.h"

static size_t delay_of(const tl_machine *m) { return (size_t)m->parameters[TL_MACHINE_DELAY]; }

size_t tl_machine_phi_size(const tl_machine *m) {
    return m->kind->n_features + 1u + delay_of(m) * m->kind->action_size;
}

static void control(const tl_machine *m, const float *gains, float *u) {
    float phi[TL_MACHINE_FEATURES_MAX + 1 + TL_MACHINE_DELAY_MAX * TL_MACHINE_ACT_MAX];
    size_t n = m->kind->n_features;
    m->kind->features(m, phi);
    phi[n++] = 1.0f;
    for (size_t i = 0; i < delay_of(m); ++i) {
        for (size_t j = 0; j < m->kind->action_size; ++j) {
            phi[n++] = m->line[i][j];
        }
    }
    for (size_t j = 0; j < m->kind->action_size; ++j) {
        float sum = 0.0f;
        for (size_t k = 0; k < n; ++k) {
            sum += gains[j * n + k] * phi[k];
        }
        u[j] = tl_clamp(sum, -1.0f, 1.0f);
    }
}

tl_machine_total tl_machine_run(tl_machine *machine, const float *gains, uint32_t first_seed, uint32_t episodes,
                                uint32_t steps) {
    tl_machine_total total = {0.0, 0u, 0u};
    float u[TL_MACHINE_ACT_MAX];
    for (uint32_t e = 0; e < episodes; ++e) {
        uint32_t rng = ~(first_seed + e); /* of the random commands */
        tl_machine_reset(machine, first_seed + e);
        for (uint32_t i = 0; i < steps; ++i) {
            if (gains != NULL) {
                control(machine, gains, u);
            } else {
                for (size_t j = 0; j < machine->kind->action_size; ++j) {
                    u[j] = tl_plant_uniform(&rng, -1.0f, 1.0f);
                }
            }
            const tl_plant_result result = tl_machine_step(machine, u);
            total.reward_sum += (double)result.reward;
            total.steps += 1u;
            if (result.terminated || result.truncated) {
                break;
            }
        }
        total.episodes += 1u;
    }
    return total;
}
