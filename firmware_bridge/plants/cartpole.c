/* Pole balanced on a cart: the dynamics of Gymnasium's CartPole-v1 with a force that varies continuously.
 *
 * Barto, Sutton, Anderson, "Neuronlike adaptive elements that can solve difficult learning control problems", IEEE
 * SMC-13(5), 1983, without friction, in the corrected form of Florian (2007), equations 23 and 24; explicit Euler, 20
 * ms: both as Gymnasium has them. The equations: equations.h. */
#include "firmware_bridge/plants/equations.h"
#include "firmware_bridge/plants/parts.h"

#define GRAVITY 9.8f
#define MASS_CART 1.0f
#define MASS_POLE 0.1f
#define HALF_LENGTH 0.5f
#define PERIOD_US 20000u
#define EPISODE_STEPS 500u
#define PERIOD_S 0.02f
#define X_LIMIT 2.4f
#define THETA_LIMIT 0.20943951f /* 12 degrees */
#define START 0.05f
#define FORCE_MAX 10.0f

static const char kSource[] =
    "Barto, Sutton, Anderson 1983; Gymnasium CartPole-v1 (classic_control/cartpole.py), force continuous";
static const char kReward[] = "1 for each step, including the one that ends the episode";

static const tl_plant_parameter kParameters[] = {
    {"gravity", "m/s^2", GRAVITY, "Gymnasium CartPole-v1"},
    {"cart mass", "kg", MASS_CART, "Barto et al. 1983"},
    {"pole mass", "kg", MASS_POLE, "Barto et al. 1983"},
    {"half pole length", "m", HALF_LENGTH, "Barto et al. 1983"},
    {"Euler step", "s", PERIOD_S, "Barto et al. 1983"},
    {"track limit, ends the episode", "m", X_LIMIT, "Barto et al. 1983"},
    {"angle limit, ends the episode", "rad", THETA_LIMIT, "Barto et al. 1983: 12 degrees"},
    {"start, each variable uniform within", "m, m/s, rad, rad/s", START, "Gymnasium CartPole-v1"},
};

/* Velocities: no policy reaches the ranges before the episode ends (tests/test_plants.py drives against them). */
#define ROW_X {"x", "m", -4.8f, 4.8f, TL_SAFE_NONE, 0.0f}
#define ROW_V {"x_dot", "m/s", -10.0f, 10.0f, TL_SAFE_NONE, 0.0f}
#define ROW_THETA {"theta", "rad", -0.41887903f, 0.41887903f, TL_SAFE_NONE, 0.0f}
#define ROW_OMEGA {"theta_dot", "rad/s", -10.0f, 10.0f, TL_SAFE_NONE, 0.0f}
#define ROW_FORCE {"force", "N", -FORCE_MAX, FORCE_MAX, TL_SAFE_OFF, 0.0f}

static const TL_IN_FLASH tl_plant_row kRows[] = {ROW_X, ROW_THETA, ROW_FORCE};
static const TL_IN_FLASH tl_plant_row kRowsFull[] = {ROW_X, ROW_V, ROW_THETA, ROW_OMEGA, ROW_FORCE};

static const tl_plant_sheet kSheet = TL_PLANT_SHEET("cartpole", kRows, "cart-pole, position and angle only");
static const tl_plant_sheet kSheetFull = TL_PLANT_SHEET("cartpole-full", kRowsFull, "cart-pole, with velocities");

static void reset(void *state, uint32_t seed) {
    tl_cartpole_state *s = state;
    uint32_t rng = seed;
    tl_episode_begin(&s->episode, kSheet.max_steps);
    s->x_m = tl_plant_uniform(&rng, -START, START);
    s->v_m_s = tl_plant_uniform(&rng, -START, START);
    s->theta_rad = tl_plant_uniform(&rng, -START, START);
    s->omega_rad_s = tl_plant_uniform(&rng, -START, START);
}

static const tl_cartpole_numbers kNumbers = {GRAVITY, MASS_CART, MASS_POLE, HALF_LENGTH, PERIOD_S};

static inline bool inside(float x_m, float theta_rad) {
    return x_m >= -X_LIMIT && x_m <= X_LIMIT && theta_rad >= -THETA_LIMIT && theta_rad <= THETA_LIMIT;
}

static tl_plant_result step(void *state, const float *u) {
    tl_cartpole_state *s = state;
    if (tl_episode_over(&s->episode)) {
        return tl_episode_held(&s->episode);
    }
    tl_cartpole_advance(kNumbers, &s->x_m, &s->v_m_s, &s->theta_rad, &s->omega_rad_s, tl_actuate(&kRows[2], u[0]));
    return tl_episode_count(&s->episode, 1.0f, !inside(s->x_m, s->theta_rad));
}

void tl_cartpole_step_block(void *states, const float *u, tl_plant_result *results) {
    tl_cartpole_state *s = states;
    float x[TL_PLANT_BLOCK], v[TL_PLANT_BLOCK], theta[TL_PLANT_BLOCK], omega[TL_PLANT_BLOCK], force[TL_PLANT_BLOCK];
    for (int i = 0; i < TL_PLANT_BLOCK; ++i) {
        x[i] = s[i].x_m;
        v[i] = s[i].v_m_s;
        theta[i] = s[i].theta_rad;
        omega[i] = s[i].omega_rad_s;
        force[i] = tl_actuate(&kRows[2], u[i]);
    }
    for (int i = 0; i < TL_PLANT_BLOCK; ++i) {
        tl_cartpole_advance(kNumbers, &x[i], &v[i], &theta[i], &omega[i], force[i]);
    }
    for (int i = 0; i < TL_PLANT_BLOCK; ++i) {
        if (tl_episode_over(&s[i].episode)) {
            results[i] = tl_episode_held(&s[i].episode);
            continue;
        }
        s[i].x_m = x[i];
        s[i].v_m_s = v[i];
        s[i].theta_rad = theta[i];
        s[i].omega_rad_s = omega[i];
        results[i] = tl_episode_count(&s[i].episode, 1.0f, !inside(x[i], theta[i]));
    }
}

static void observe(const void *state, float *x) {
    const tl_cartpole_state *s = state;
    x[0] = s->x_m;
    x[1] = s->theta_rad;
}

static void observe_full(const void *state, float *x) {
    const tl_cartpole_state *s = state;
    x[0] = s->x_m;
    x[1] = s->v_m_s;
    x[2] = s->theta_rad;
    x[3] = s->omega_rad_s;
}

const tl_plant tl_plant_cartpole = {&kSheet, reset, step, observe, sizeof(tl_cartpole_state), NULL, NULL};
const tl_plant tl_plant_cartpole_full = {&kSheetFull, reset, step, observe_full, sizeof(tl_cartpole_state), NULL, NULL};
