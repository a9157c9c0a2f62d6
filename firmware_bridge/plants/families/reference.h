/* Scores to compare a learner with: a controller that reads the true state, and random commands.
 *
 * The controller is u[j] = clamp(sum over k of gains[j][k] phi[k], -1, 1). phi holds the kind's features, functions of
 * the true state without noise or delay; a constant 1; then the commands that have not taken effect yet. */
#pragma once

#include "firmware_bridge/plants/families/machine.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Length of phi; the controller has action_size times as many gains. */
size_t tl_machine_phi_size(const tl_machine *machine);

typedef struct {
    double reward_sum;
    uint32_t steps, episodes; /* episodes that ended, or that the last step cut */
} tl_machine_total;

/* The controller over episodes of the seeds first_seed, first_seed + 1, ...: `episodes` of them, each of at most
 * `steps` steps (for a continuing kind: exactly as many). gains NULL: commands uniform in [-1, 1]. The machine's state
 * is overwritten. */
tl_machine_total tl_machine_run(tl_machine *machine, const float *gains, uint32_t first_seed, uint32_t episodes,
                                uint32_t steps);

#ifdef __cplusplus
}
#endif
