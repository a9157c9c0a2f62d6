"""The C of the learning step that does not depend on the agent: state, normaliser, actor, step, its test.

`NAME` stands for the prefix.

Order and arithmetic are those of native/learners/stream_ac.h with one lane; docs/math_learners.md has the formulas.
"""

from __future__ import annotations

__all__ = ["ACTOR", "LEARNER", "LEARN_TEST", "NORMALIZER", "STEP"]

LEARNER = """/* One dense layer or head, with its eligibilities and what the next update needs. */
typedef struct {
    int rows, cols, first, kinds; /* kinds of cotangents, from `first` on, that come from above */
    float *w, *b, *z[2], *z_b[2]; /* (rows, cols), (rows) */
    float *x, *y, *normed;        /* (cols) the input that the cotangents belong to; (rows) */
    float *cot[3];                /* (rows) */
    float inverse;                /* 1 / deviation */
} NAME_layer;

typedef struct {
    float *nu_log, *theta_log, *w1, *w2;               /* (n), (n, d) */
    float *z_nu[2], *z_theta[2], *z_w1[2], *z_w2[2];   /* eligibilities */
    float *n1, *n2, *t1, *t2, *a1, *a2, *b1, *b2;      /* traces; b1, b2: nonlinear cell */
    float *h1, *h2, *k1, *k2, *u1, *u2, *s1, *s2;      /* state, next state, currents, slopes */
    float *g, *phi, *gam, *dgam, *nu, *theta, *y;
    float *e1[3], *e2[3];                              /* cotangents */
    int sets, kinds;
    NAME_layer part[NAME_LAYERS + 2];                  /* layers, then heads */
    int heads;
} NAME_network;

typedef struct {
    float memory[NAME_FLOATS]; /* weights first, then eligibilities, traces and the rest */
    NAME_network net[NAME_NETS];
    float x[NAME_OBSERVATIONS];
    float mean[NAME_OBSERVATIONS], mean_low[NAME_OBSERVATIONS], m2[NAME_OBSERVATIONS], m2_low[NAME_OBSERVATIONS];
    float reward[4]; /* mean, mean_low, m2, m2_low */
    int32_t count, still[NAME_OBSERVATIONS], reward_count;
    uint64_t rng[2];
    uint32_t steps;     /* in which weights have moved */
    int running, first; /* an episode runs; its first observation has no transition */
    float value;        /* v of the observation before */
    float sum, sum_low; /* running return: the sum of both */
    float action[NAME_WIDTH], before[NAME_WIDTH], shift[NAME_WIDTH], shift_before[NAME_WIDTH], shift_next[NAME_WIDTH];
} NAME_learner;
"""

NORMALIZER = """static inline void NAME_sum_up(float *high, float *low, float x) {
    const float term = x + *low, sum = *high + term;
    *low = term - (sum - *high);
    *high = sum;
}

static inline float NAME_held(float x, float limit) {
    const float low = x > -limit ? x : -limit;
    return low < limit ? low : limit;
}

/* math.md, 3: the statistics with this observation in them, then the observation in deviations. */
static inline void NAME_observe(NAME_learner *l, const float *observation) {
    const float bound = NAME_BOUND;
    const int learns = l->count < 0x7fffffff;
    if (learns) l->count++;
    const float all = (float)(l->count > 1 ? l->count - 1 : 1), least = l->count > 1 ? 0.0f : 0x1p100f;
    for (int i = 0; i < NAME_OBSERVATIONS; i++) {
        const float x = NAME_held(observation[i], 0x1p46f);
        const float off = (x - l->mean[i]) - l->mean_low[i], was = l->m2[i];
        const int32_t still =
            !learns || (was > 0.0f ? was : off * off - least) > 0.0f ? l->still[i] : l->count;
        const float moved = (float)(l->count - still);
        const float most = bound * sqrtf(was / (moved > 1.0f ? moved - 1.0f : 1.0f));
        const float before = NAME_held(off, was > 0.0f ? most : 0x1p100f);
        const float share = learns ? before / (moved + 1.0f) : 0.0f;
        l->still[i] = still;
        NAME_sum_up(&l->mean[i], &l->mean_low[i], share);
        NAME_sum_up(&l->m2[i], &l->m2_low[i], before * (before - share));
        const float part = moved / all;
        const float scale = part * part / sqrtf(l->m2[i] / (moved > 1.0f ? moved : 1.0f) + 1e-8f);
        l->x[i] = NAME_held((off - share) * scale, bound);
    }
}

/* The reward over the deviation of the running return. */
static inline float NAME_scaled(NAME_learner *l, float reward) {
    NAME_sum_up(&l->sum, &l->sum_low, NAME_held(reward, 0x1p46f) - (float)(1.0 - NAME_GAMMA) * l->sum);
    if (l->reward_count < 0x7fffffff) {
        l->reward_count++;
        const float off = (NAME_held(l->sum, 0x1p46f) - l->reward[0]) - l->reward[1];
        const float share = off / (float)l->reward_count;
        NAME_sum_up(&l->reward[0], &l->reward[1], share);
        NAME_sum_up(&l->reward[2], &l->reward[3], off * (off - share));
    }
    const float n = (float)(l->reward_count - 1);
    return reward / sqrtf((l->reward_count > 1 ? l->reward[2] / n : 1.0f) + 1e-8f);
}
"""

ACTOR = """static inline uint32_t NAME_random(uint64_t *words) { /* PCG32 (O'Neill 2014) */
    const uint64_t old = words[0];
    words[0] = old * 6364136223846793005u + words[1];
    const uint32_t shifted = (uint32_t)(((old >> 18) ^ old) >> 27), turn = (uint32_t)(old >> 59);
    return (shifted >> turn) | (shifted << ((32u - turn) & 31u));
}

static inline float NAME_normal(uint64_t *words) {
    const uint32_t u = NAME_random(words), v = NAME_random(words);
    return sqrtf(-2.0f * NAME_log_share(u)) * NAME_cos_share(v);
}

static inline float NAME_sigma(float s) {
    const float e = NAME_exponential(s < 0.0f ? s : -s), t = e / (1.0f + (1.0f + e)), w = t * t;
    return ((s > 0.0f ? s : 0.0f) + 2.0f * (t + t * w * NAME_atanh_series(w))) + (float)NAME_SIGMA_FLOOR;
}

static inline void NAME_softmax(const float *y, float *p) {
    float top = y[0], sum = 0.0f;
    for (int i = 1; i < NAME_ACTIONS; i++) top = y[i] > top ? y[i] : top;
    for (int i = 0; i < NAME_ACTIONS; i++) sum += p[i] = NAME_exponential(y[i] - top);
    for (int i = 0; i < NAME_ACTIONS; i++) p[i] /= sum;
}

/* Draws the action for the newest observation; the one before it moves to `before`. */
static inline void NAME_draw(NAME_learner *l, const float *y) {
    memcpy(l->before, l->action, sizeof l->before);
    memcpy(l->shift_before, l->shift, sizeof l->shift);
    memcpy(l->shift, l->shift_next, sizeof l->shift);
    if (NAME_DISCRETE) {
        float p[NAME_ACTIONS];
        NAME_softmax(y, p);
        float u = (float)(((double)NAME_random(l->rng) + 0.5) * 0x1p-32);
        int choice = 0;
        while (choice < NAME_ACTIONS - 1 && u >= p[choice]) u -= p[choice++];
        l->action[0] = (float)choice;
        return;
    }
    for (int k = 0; k < NAME_WIDTH; k++) {
        const float mean = y[k] + (NAME_CORRELATION > 0.0 ? l->shift[k] : 0.0f);
        l->action[k] = mean + (float)NAME_FRESH * NAME_sigma(y[NAME_WIDTH + k]) * NAME_normal(l->rng);
        l->shift_next[k] = (float)NAME_CORRELATION * (l->action[k] - y[k]);
    }
}

/* Cotangents of log pi(action) and of the entropy on the head's outputs. */
static inline void NAME_policy_cotangents(const NAME_learner *l, const float *y, float *log_pi, float *entropy) {
    if (NAME_DISCRETE) {
        float p[NAME_ACTIONS], h = 0.0f;
        NAME_softmax(y, p);
        for (int i = 0; i < NAME_ACTIONS; i++) h -= p[i] > 0.0f ? p[i] * NAME_logarithm(p[i]) : 0.0f;
        for (int i = 0; i < NAME_ACTIONS; i++) {
            log_pi[i] = (i == (int)l->action[0] ? 1.0f : 0.0f) - p[i];
            entropy[i] = p[i] > 0.0f ? -p[i] * (NAME_logarithm(p[i]) + h) : 0.0f;
        }
        return;
    }
    for (int k = 0; k < NAME_WIDTH; k++) {
        const float s = y[NAME_WIDTH + k], sigma = NAME_sigma(s), e = NAME_exponential(s < 0.0f ? s : -s);
        const float mean = y[k] + (NAME_CORRELATION > 0.0 ? l->shift[k] : 0.0f);
        const float z = (l->action[k] - mean) / ((float)NAME_FRESH * sigma);
        const float slope = (s >= 0.0f ? 1.0f : e) / (1.0f + e);
        log_pi[k] = z / ((float)NAME_FRESH * sigma);
        log_pi[NAME_WIDTH + k] = (z * z - 1.0f) / sigma * slope;
        entropy[k] = 0.0f;
        entropy[NAME_WIDTH + k] = slope / sigma;
    }
}

static inline void NAME_clipped(const float *sample, NAME_action *action) {
    for (int k = 0; k < NAME_WIDTH; k++) {
        const float a = sample[k];
        action[k] = (NAME_action)(NAME_DISCRETE ? a : !(a >= -1.0f) ? -1.0f : a > 1.0f ? 1.0f : a);
    }
}
"""

STEP = """static inline float *NAME_take(NAME_learner *l, int *at, int n) {
    float *found = l->memory + *at;
    *at += n;
    return found;
}

/* Lays out a network; weights of all networks come first. */
static inline void NAME_lay_out(NAME_learner *l, NAME_network *net, int *weights, int *at, int heads) {
    static const int hidden[] = NAME_HIDDEN;
    static const int outputs[2] = {1, NAME_OUTPUTS};
    const int n = NAME_CELL ? NAME_UNITS : 0, d = NAME_OBSERVATIONS, actor = net == &l->net[NAME_NETS - 1];
    net->sets = net->heads = heads;
    net->kinds = heads == 2 ? 3 : actor ? 2 : 1;
    float **own[] = {&net->nu_log, &net->theta_log, &net->w1, &net->w2};
    for (int k = 0; k < 4; k++) *own[k] = NAME_take(l, weights, k < 2 ? n : n * d);
    for (int s = 0; s < heads; s++) {
        float **set[] = {&net->z_nu[s], &net->z_theta[s], &net->z_w1[s], &net->z_w2[s]};
        for (int k = 0; k < 4; k++) *set[k] = NAME_take(l, at, k < 2 ? n : n * d);
    }
    float **traces[] = {&net->a1, &net->a2, &net->b1, &net->b2};
    for (int k = 0; k < (NAME_LINEAR ? 2 : 4); k++) *traces[k] = NAME_take(l, at, n * d);
    float **vectors[] = {&net->n1, &net->n2, &net->t1, &net->t2, &net->h1, &net->h2, &net->k1, &net->k2, &net->u1,
                         &net->u2, &net->s1, &net->s2, &net->g, &net->phi, &net->gam, &net->dgam, &net->nu,
                         &net->theta};
    for (unsigned k = 0; k < sizeof vectors / sizeof vectors[0]; k++) *vectors[k] = NAME_take(l, at, n);
    net->y = NAME_take(l, at, 2 * n);
    for (int k = 0; k < net->kinds; k++) {
        net->e1[k] = NAME_take(l, at, n);
        net->e2[k] = NAME_take(l, at, n);
    }
    int cols = NAME_CELL ? 2 * NAME_UNITS : NAME_OBSERVATIONS;
    for (int p = 0; p < NAME_LAYERS + heads; p++) {
        NAME_layer *part = &net->part[p];
        const int head = p - NAME_LAYERS, role = heads == 2 ? head : actor;
        part->rows = head < 0 ? hidden[p] : outputs[role];
        part->cols = cols;
        part->first = head == 1 ? 1 : 0;
        part->kinds = head < 0 ? net->kinds : role == 1 ? 2 : 1;
        part->w = NAME_take(l, weights, part->rows * cols);
        part->b = NAME_take(l, weights, part->rows);
        for (int s = 0; s < (head < 0 ? heads : 1); s++) {
            part->z[s] = NAME_take(l, at, part->rows * cols);
            part->z_b[s] = NAME_take(l, at, part->rows);
        }
        part->x = NAME_take(l, at, cols);
        part->y = NAME_take(l, at, part->rows);
        part->normed = NAME_take(l, at, part->rows);
        for (int k = 0; k < 3; k++) part->cot[k] = NAME_take(l, at, part->rows);
        if (head < 0) cols = part->rows;
    }
}

/* The learner as it was exported, before an episode. */
static inline void NAME_learn_init(NAME_learner *l) {
    int weights = 0, at = NAME_WEIGHTS;
    memset(l, 0, sizeof *l);
    memcpy(l->memory, NAME_start, sizeof NAME_start);
    for (int i = 0; i < NAME_NETS; i++) NAME_lay_out(l, &l->net[i], &weights, &at, NAME_NETS == 1 ? 2 : 1);
    for (int i = 0; i < NAME_OBSERVATIONS; i++) {
        l->mean[i] = NAME_start_statistics[4 * i];
        l->mean_low[i] = NAME_start_statistics[4 * i + 1];
        l->m2[i] = NAME_start_statistics[4 * i + 2];
        l->m2_low[i] = NAME_start_statistics[4 * i + 3];
        l->still[i] = NAME_start_still[i];
    }
    memcpy(l->reward, NAME_start_reward, sizeof l->reward);
    l->count = NAME_START_COUNT;
    l->reward_count = NAME_START_REWARDS;
    l->steps = NAME_START_STEPS;
    l->rng[0] = NAME_START_RNG0;
    l->rng[1] = NAME_START_RNG1;
}

/* First half of a step: normalises, advances the networks, draws. */
static inline void NAME_predict(NAME_learner *l, const float *observation) {
    if (NAME_NORMALIZE) {
        NAME_observe(l, observation);
    } else {
        memcpy(l->x, observation, sizeof l->x);
    }
    for (int i = 0; i < NAME_NETS; i++) NAME_forward(&l->net[i], l->x);
    NAME_draw(l, l->net[NAME_NETS - 1].part[NAME_LAYERS + (NAME_NETS == 1)].y);
}

static inline float NAME_step_size(float alpha, float kappa, float delta, float norm) { /* ObGD */
    const float size = fabsf(delta), bound = kappa * (size > 1.0f ? size : 1.0f) * norm;
    return alpha * bound > 1.0f ? 1.0f / bound : alpha;
}

/* Second half: learns from the transition into the newest observation, if there is one. */
static inline void NAME_update(NAME_learner *l, float reward, int terminated, int truncated,
                               const NAME_action *applied) {
    NAME_network *critic = &l->net[0], *actor = &l->net[NAME_NETS - 1];
    const int shared = NAME_NETS == 1, first = l->first;
    const float value = critic->part[NAME_LAYERS].y[0];
    float delta = 0.0f;
    int ours = 1;
    if (!first) {
        NAME_action own[NAME_WIDTH];
        NAME_clipped(l->before, own);
        for (int k = 0; k < NAME_WIDTH && applied; k++) {
            const float off = (float)applied[k] - (float)own[k];
            if (!(off < 1e-4f && off > -1e-4f)) ours = 0;
        }
        const float scaled = NAME_SCALE_REWARD ? NAME_scaled(l, reward) : reward;
        delta = terminated ? scaled - l->value
                           : scaled + ((value - l->value) - (float)(1.0 - NAME_GAMMA) * value);
        const float sign = delta > 0.0f ? 1.0f : delta < 0.0f ? -1.0f : 0.0f;
        NAME_mix(actor, shared, shared, ours ? shared + 1 : -1, sign * (float)NAME_ENTROPY);
    }
    static const int roles[2][2] = {{0, 1}, {1, 1}};
    const int kinds[2] = {0, shared};
    float norm[2][2];
    for (int i = 0; i < NAME_NETS; i++) NAME_learn_network(&l->net[i], l->x, roles[i], kinds, norm[i]);
    if (!terminated && !truncated) {
        NAME_layer *head = &actor->part[NAME_LAYERS + shared];
        critic->part[NAME_LAYERS].cot[0][0] = 1.0f;
        NAME_policy_cotangents(l, head->y, head->cot[shared], head->cot[shared + 1]);
        for (int i = 0; i < NAME_NETS; i++) NAME_backward(&l->net[i], l->x);
    }
    if (!first) {
        const float of_actor = shared ? norm[0][1] : norm[NAME_NETS - 1][0];
        const uint32_t step = l->steps + 1u;
        const float warm = (double)step < NAME_WARMUP ? (float)step / (float)NAME_WARMUP : 1.0f;
        NAME_move_network(critic, 0, NAME_step_size(NAME_CRITIC_STEP, NAME_CRITIC_KAPPA, delta, norm[0][0]) * delta);
        if (ours)
            NAME_move_network(actor, shared,
                              warm * NAME_step_size(NAME_ACTOR_STEP, NAME_ACTOR_KAPPA, delta, of_actor) * delta);
        l->steps++;
    }
    l->value = value;
    l->first = 0;
    l->running = !terminated && !truncated;
}

static inline int NAME_finite(const float *x) {
    for (int i = 0; i < NAME_OBSERVATIONS; i++)
        if (!(x[i] - x[i] == 0.0f)) return 0;
    return 1;
}

/* Starts an episode: state, traces and eligibilities are 0. Returns 0, or -1 if the observation is not finite, with
 * nothing changed. */
static inline int NAME_learn_reset(NAME_learner *l, const float *observation, NAME_action *action) {
    if (!NAME_finite(observation)) return -1;
    for (int i = NAME_WEIGHTS; i < NAME_FLOATS; i++) l->memory[i] = 0.0f;
    memset(l->shift_next, 0, sizeof l->shift_next);
    l->sum = l->sum_low = 0.0f;
    l->first = 1;
    NAME_predict(l, observation);
    NAME_clipped(l->action, action);
    NAME_update(l, 0.0f, 0, 0, 0);
    return 0;
}

/* Learns from the transition into an observation; action: the next one. terminated: a terminal state; truncated: the
 * episode was cut here. applied: what the actuators did in this transition, or null: the action. Returns 0; -1 if a
 * number is not finite, -2 if no episode runs, both with nothing changed. */
static inline int NAME_learn_step(NAME_learner *l, const float *observation, double reward, int terminated,
                                  int truncated, const NAME_action *applied, NAME_action *action) {
    const float r = (float)reward;
    if (!l->running) return -2;
    if (!NAME_finite(observation) || !(r - r == 0.0f)) return -1;
    for (int k = 0; k < NAME_WIDTH && applied; k++)
        if (!(applied[k] - applied[k] == 0)) return -1;
    NAME_predict(l, observation);
    NAME_clipped(l->action, action);
    NAME_update(l, r, terminated, truncated, applied);
    return 0;
}
"""

LEARN_TEST = """/* A recorded run of NAME_LEARN_STEPS steps of the agent: the largest difference of its actions, in
 * units of their range (another choice: 1), and of its final weights, in units of each array's largest. */
static inline float NAME_learn_test(NAME_learner *l) {
    uint32_t noise = 12345u;
    float s[NAME_OBSERVATIONS] = {0.0f}, x[NAME_OBSERVATIONS], worst = 0.0f;
    NAME_action action[NAME_WIDTH] = {0};
    NAME_learn_init(l);
    for (int t = 0; t <= NAME_LEARN_STEPS; t++) {
        const float reward = s[0] * (float)action[0];
        for (int i = 0; i < NAME_OBSERVATIONS; i++) {
            noise = noise * 1664525u + 1013904223u;
            s[i] = 0.75f * s[i] + (float)(int32_t)(noise >> 8) * 0x1p-24f - 0.5f;
            x[i] = NAME_like[2 * i] + s[i] * NAME_like[2 * i + 1];
        }
        if (l->running)
            (void)NAME_learn_step(l, x, (double)reward, t % 300 == 149, t % 300 == 299, 0, action);
        else
            (void)NAME_learn_reset(l, x, action);
        for (int k = 0; k < NAME_WIDTH; k++) {
            const float off = fabsf((float)action[k] - NAME_learn_action[t * NAME_WIDTH + k]);
            const float share = NAME_DISCRETE ? (off > 0.0f ? 1.0f : 0.0f) : off / 2.0f;
            if (!(share <= worst)) worst = share;
        }
    }
    const float *w = l->memory, *wanted = NAME_learn_weights;
    for (unsigned k = 0; k < sizeof NAME_learn_sizes / sizeof NAME_learn_sizes[0]; k++) {
        float most = 0.0f, off = 0.0f;
        for (int i = 0; i < NAME_learn_sizes[k]; i++, w++, wanted++) {
            if (fabsf(*wanted) > most) most = fabsf(*wanted);
            if (!(fabsf(*w - *wanted) <= off)) off = fabsf(*w - *wanted);
        }
        if (!(off <= worst * most)) worst = off / most;
    }
    return worst;
}
"""
