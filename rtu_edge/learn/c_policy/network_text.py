"""The C of the learning step that does not depend on the agent: elementary functions, cell, layers.

`NAME` stands for the prefix.

Order and arithmetic are those of native/kernels with one lane; docs/math.md has the formulas.
"""

from __future__ import annotations

__all__ = ["CELL", "FUNCTIONS", "NETWORK"]

FUNCTIONS = """/* Elementary functions, to the bit those of the agent: native/core/single.h, kernels/transform.inl.h. */
typedef union {
    float value;
    uint32_t bits;
} NAME_single;

/* exp(x), x <= 88; below -80 that of -80. */
static inline float NAME_exponential(float x) {
    if (x < -80.0f) x = -80.0f;
    const float shift = 12582912.0f, shifted = x * 1.44269504088896340736f + shift, n = shifted - shift;
    const float r = (x - n * 0.693145751953125f) - n * 1.42860677e-6f, square = r * r;
    const float rest = r * (0.16666667f + r * (0.041666456f + r * (0.008333274f + r * (0.0013935644f +
                                                                                       r * 0.00019913568f))));
    NAME_single power;
    power.value = shifted;
    power.bits = (power.bits + 127u) << 23;
    return power.value * (1.0f + (r + square * (0.5f + rest)));
}

static inline float NAME_atanh_series(float w) {
    return 0.33333206f + w * (0.20010847f + w * (0.13999607f + w * 0.14012076f));
}

/* n ln2 + log(1 + f). */
static inline float NAME_log_parts(float n, float f) {
    const float s = f / (2.0f + f), w = s * s;
    const float tail = s * (f - 2.0f * w * NAME_atanh_series(w));
    return n * 0.693145751953125f + (f - (tail - n * 1.42860677e-6f));
}

static inline float NAME_logarithm(float x) {
    NAME_single low, m;
    low.value = 0.70710678f;
    m.value = x;
    const uint32_t bits = m.bits - low.bits;
    m.bits = (bits & 0x007fffffu) + low.bits;
    return NAME_log_parts((float)((int32_t)bits >> 23), m.value - 1.0f);
}

/* log((k + 1/2) / 2^32). */
static inline float NAME_log_share(uint32_t k) {
    if (k < 0xb504f334u) return NAME_logarithm(((float)k + 0.5f) * 0x1p-32f);
    return NAME_log_parts(0.0f, ((float)~k + 0.5f) * -0x1p-32f);
}

/* cos(2 pi (k + 1/2) / 2^32). */
static inline float NAME_cos_share(uint32_t k) {
    const uint32_t quarters = (k + 0x20000000u) >> 30;
    const float r = ((float)(int32_t)(k - (quarters << 30)) + 0.5f) * 1.4629180792671596e-9f, w = r * r;
    const float size = quarters & 1u
                           ? r + r * w * (-0.16666651f + w * (0.0083319759f + w * -0.00019495275f))
                           : 1.0f - (0.5f * w - w * w * (0.041666646f + w * (-0.0013887364f + w * 2.4438072e-05f)));
    return quarters == 1u || quarters == 2u ? -size : size;
}

/* exp(x + low) = scale (1 + main + rest) = scale (one + left), |x| <= 87. */
typedef struct {
    float scale, main, rest, one, left;
} NAME_power;

static inline NAME_power NAME_exp32(float x, float low) {
    NAME_single shifted;
    shifted.value = x * 1.44269504088896340736f + 12582912.0f;
    const float n = shifted.value - 12582912.0f, r = x - n * 0.693145751953125f, rl = low + n * -1.42860677e-6f;
    const float square = r * r, half = square * 0.5f, cube = square * r;
    const float q = (r * 0.041666456f + 0.16666667f) +
                    square * ((r * 0.0013935644f + 0.008333274f) + square * 0.00019913568f);
    const float high = 1.0f + r, over = r - (high - 1.0f), most = half + cube * q;
    NAME_power e;
    e.main = r;
    e.rest = most + rl * (high + most);
    const float tail = over + e.rest;
    e.one = high + tail;
    e.left = tail - (e.one - high);
    shifted.bits = (shifted.bits + 127u) << 23;
    e.scale = shifted.value;
    return e;
}

static inline float NAME_minus1(NAME_power e) { return (e.scale - 1.0f) + e.scale * (e.main + e.rest); }

static inline float NAME_tanh32(float x) {
    const float size = x < 0.0f ? -x : x, twice = size + size;
    const float e = NAME_minus1(NAME_exp32(twice < 40.0f ? twice : 40.0f, 0.0f)), t = e / (e + 2.0f);
    return x < 0.0f ? -t : t;
}

/* a b = the result + low exactly (Dekker 1971). */
static inline float NAME_exact(float a, float b, float *low) {
    const float p = a * b;
    NAME_single x, y;
    x.value = a;
    y.value = b;
    x.bits &= 0xfffff000u;
    y.bits &= 0xfffff000u;
    const float al = a - x.value, bl = b - y.value;
    *low = ((x.value * y.value - p) + x.value * bl + al * y.value) + al * bl;
    return p;
}

static inline float NAME_times(float r, float r_low, float x, float x_low, uint32_t sign) {
    NAME_single out;
    float low;
    const float p = NAME_exact(r, x, &low);
    out.value = p + (low + (r * x_low + r_low * x));
    out.bits ^= sign;
    return out.value;
}

/* Of a pole: nu, theta, g, phi, gam, dgam/dnu_log, each rounded once. */
static inline void NAME_pole(float nu_log, float theta_log, float *out) {
    const NAME_power nu = NAME_exp32(NAME_held(nu_log, 87.0f), 0.0f);
    const NAME_power theta = NAME_exp32(NAME_held(theta_log, 87.0f), 0.0f);
    const float nu_high = nu.scale * nu.one, turn = theta.scale * theta.one;
    const NAME_power e = NAME_exp32(nu_high < 87.0f ? -nu_high : -87.0f, -(nu.scale * nu.left));
    const float r = e.scale * e.one, r_low = e.scale * e.left, less = NAME_minus1(e), rest = -less * (2.0f + less);
    NAME_single shifted;
    shifted.value = turn * 0.63661977236758134308f + 12582912.0f;
    const float n = shifted.value - 12582912.0f, a = turn - n * 1.57080078125f;
    const float b = theta.scale * theta.left - n * -4.4544551033807687e-6f, x = a + b, x_low = b - (x - a);
    float w_low;
    const float w = NAME_exact(x, x, &w_low), w2 = w * w;
    const float s = (w * 0.0083319759f - 0.16666651f) - w2 * 0.00019495275f;
    const float c = (0.041666646f - w * 0.0013887364f) + w2 * 2.4438072e-05f;
    const float more = x_low + (x * w) * s, sine = x + more, sine_low = more - (sine - x);
    const float half = w * 0.5f, cosine = 1.0f + -half;
    const float cosine_low = (-half - (cosine - 1.0f)) + (w2 * c - (w_low * 0.5f + x * x_low));
    const uint32_t q = shifted.bits, of_sine = (q & 2u) << 30, of_cosine = ((q + 1u) & 2u) << 30;
    const int swap = (q & 1u) != 0u;
    const float root = sqrtf(rest);
    out[0] = nu_high;
    out[1] = turn;
    out[2] = NAME_times(r, r_low, swap ? sine : cosine, swap ? sine_low : cosine_low, of_cosine);
    out[3] = NAME_times(r, r_low, swap ? cosine : sine, swap ? cosine_low : sine_low, of_sine);
    out[4] = root + 1e-8f;
    out[5] = nu_high * (1.0f - rest) / root;
}

/* y = W x */
static inline void NAME_product(int rows, int cols, const float *w, const float *x, float *y) {
    for (int i = 0; i < rows; i++) {
        float sum = 0.0f;
        for (int j = 0; j < cols; j++) sum += *w++ * x[j];
        y[i] = sum;
    }
}
"""

CELL = """/* y and its slope at z. */
static inline float NAME_activated(float z, float *slope) {
    float y = z;
    *slope = 1.0f;
    if (NAME_TANH) {
        y = NAME_tanh32(z);
        *slope = 1.0f - y * y;
    } else if (NAME_RELU && !(z > 0.0f)) {
        y = *slope = 0.0f;
    }
    return y;
}

/* The next state k and the output y (math.md, 1). */
static inline void NAME_cell_forward(NAME_network *c, const float *x) {
    NAME_product(NAME_UNITS, NAME_OBSERVATIONS, c->w1, x, c->u1);
    NAME_product(NAME_UNITS, NAME_OBSERVATIONS, c->w2, x, c->u2);
    for (int i = 0; i < NAME_UNITS; i++) {
        float pole[6];
        NAME_pole(c->nu_log[i], c->theta_log[i], pole);
        c->nu[i] = pole[0];
        c->theta[i] = pole[1];
        c->g[i] = pole[2];
        c->phi[i] = pole[3];
        c->gam[i] = pole[4];
        c->dgam[i] = pole[5];
        const float z1 = NAME_TURNED1(c->g[i], c->phi[i], c->h1[i], c->h2[i], c->gam[i] * c->u1[i]);
        const float z2 = NAME_TURNED2(c->g[i], c->phi[i], c->h1[i], c->h2[i], c->gam[i] * c->u2[i]);
        c->y[i] = NAME_activated(z1, &c->s1[i]);
        c->y[NAME_UNITS + i] = NAME_activated(z2, &c->s2[i]);
        c->k1[i] = NAME_LINEAR ? z1 : c->y[i];
        c->k2[i] = NAME_LINEAR ? z2 : c->y[NAME_UNITS + i];
    }
}

/* math.md, 2: z <- decay z + e traces, then the traces advance; adds sum |z| of each set to norm. */
static inline void NAME_cell_learn(NAME_network *c, const float *x, const float *decay, const int *kind, float *norm) {
    float poles[2] = {0.0f, 0.0f};
    for (int i = 0; i < NAME_UNITS; i++) {
        const float f1 = NAME_LINEAR ? 1.0f : c->s1[i], f2 = NAME_LINEAR ? 1.0f : c->s2[i];
        const float g1 = c->g[i] * f1, phi1 = c->phi[i] * f1, gam1 = c->gam[i] * f1;
        const float g2 = c->g[i] * f2, phi2 = c->phi[i] * f2, gam2 = c->gam[i] * f2;
        for (int j = 0; j < NAME_OBSERVATIONS; j++) {
            const int at = i * NAME_OBSERVATIONS + j;
            const float a1 = c->a1[at], a2 = c->a2[at];
            const float b1 = NAME_LINEAR ? -a2 : c->b1[at], b2 = NAME_LINEAR ? a1 : c->b2[at];
            for (int s = 0; s < c->sets; s++) {
                const float e1 = c->e1[kind[s]][i], e2 = c->e2[kind[s]][i];
                const float z1 = decay[s] * c->z_w1[s][at] + (e1 * a1 + e2 * a2);
                const float z2 = decay[s] * c->z_w2[s][at] + (e1 * b1 + e2 * b2);
                c->z_w1[s][at] = z1;
                c->z_w2[s][at] = z2;
                norm[s] += fabsf(z1) + fabsf(z2);
            }
            c->a1[at] = NAME_LINEAR ? (g1 * a1 + gam1 * x[j]) - phi1 * a2 : (g1 * a1 - phi1 * a2) + gam1 * x[j];
            c->a2[at] = g2 * a2 + phi2 * a1;
            if (NAME_LINEAR) continue;
            c->b1[at] = g1 * b1 - phi1 * b2;
            c->b2[at] = g2 * b2 + phi2 * b1 + gam2 * x[j];
        }
        for (int s = 0; s < c->sets; s++) {
            const float e1 = c->e1[kind[s]][i], e2 = c->e2[kind[s]][i];
            c->z_nu[s][i] = decay[s] * c->z_nu[s][i] + (e1 * c->n1[i] + e2 * c->n2[i]);
            c->z_theta[s][i] = decay[s] * c->z_theta[s][i] + (e1 * c->t1[i] + e2 * c->t2[i]);
            poles[s] += fabsf(c->z_nu[s][i]) + fabsf(c->z_theta[s][i]);
        }
        const float turned1 = NAME_TURNED1(c->g[i], c->phi[i], c->h1[i], c->h2[i], 0.0f);
        const float turned2 = NAME_TURNED2(c->g[i], c->phi[i], c->h1[i], c->h2[i], 0.0f);
        const float n1 = c->n1[i], n2 = c->n2[i], t1 = c->t1[i], t2 = c->t2[i];
        c->n1[i] = NAME_TURNED1(c->g[i], c->phi[i], n1, n2, c->dgam[i] * c->u1[i] - c->nu[i] * turned1) * f1;
        c->n2[i] = NAME_TURNED2(c->g[i], c->phi[i], n1, n2, c->dgam[i] * c->u2[i] - c->nu[i] * turned2) * f2;
        c->t1[i] = (NAME_TURNED1(c->g[i], c->phi[i], t1, t2, 0.0f) - c->theta[i] * turned2) * f1;
        c->t2[i] = NAME_TURNED2(c->g[i], c->phi[i], t1, t2, c->theta[i] * turned1) * f2;
        c->h1[i] = c->k1[i];
        c->h2[i] = c->k2[i];
    }
    for (int s = 0; s < c->sets; s++) norm[s] += poles[s];
}
"""

NETWORK = """/* Mean 0 and deviation 1, then leaky relu; returns 1 / deviation. */
static inline float NAME_norm_forward(int n, const float *pre, float *normed, float *y) {
    float sum = 0.0f, squares = 0.0f;
    for (int i = 0; i < n; i++) sum += pre[i];
    const float mean = sum / (float)n;
    for (int i = 0; i < n; i++) squares += (pre[i] - mean) * (pre[i] - mean);
    const float inverse = 1.0f / sqrtf(squares / (float)n + 1e-5f);
    for (int i = 0; i < n; i++) {
        normed[i] = (pre[i] - mean) * inverse;
        y[i] = normed[i] > 0.0f ? normed[i] : normed[i] * 0.01f;
    }
    return inverse;
}

static inline void NAME_norm_backward(const NAME_layer *layer, const float *above, float *cot) {
    float sum = 0.0f, products = 0.0f;
    for (int i = 0; i < layer->rows; i++) {
        cot[i] = layer->normed[i] > 0.0f ? above[i] : above[i] * 0.01f;
        sum += cot[i];
        products += cot[i] * layer->normed[i];
    }
    const float mean = sum / (float)layer->rows, slant = products / (float)layer->rows;
    for (int i = 0; i < layer->rows; i++) cot[i] = (cot[i] - mean - layer->normed[i] * slant) * layer->inverse;
}

static inline void NAME_forward(NAME_network *net, const float *x) {
    if (NAME_CELL) {
        NAME_cell_forward(net, x);
        x = net->y;
    }
    for (int p = 0; p < NAME_LAYERS + net->heads; p++) {
        NAME_layer *part = &net->part[p];
        NAME_product(part->rows, part->cols, part->w, x, part->y);
        for (int i = 0; i < part->rows; i++) part->y[i] += part->b[i];
        if (p >= NAME_LAYERS) continue;
        part->inverse = NAME_norm_forward(part->rows, part->y, part->normed, part->y);
        x = part->y;
    }
}

/* From the heads' cotangents to those of the layers and of the cell; keeps the inputs that they belong to. */
static inline void NAME_backward(NAME_network *net, const float *input) {
    float above[3][NAME_WIDEST];
    const float *x = NAME_CELL ? net->y : input;
    for (int p = 0; p < NAME_LAYERS + net->heads; p++) {
        memcpy(net->part[p].x, x, (size_t)net->part[p].cols * sizeof(float));
        x = p < NAME_LAYERS ? net->part[p].y : x;
    }
    for (int p = NAME_LAYERS + net->heads - 1; p >= 0; p--) {
        const NAME_layer *part = &net->part[p];
        for (int k = part->first; k < part->first + part->kinds; k++) {
            if (p < NAME_LAYERS) NAME_norm_backward(part, above[k], part->cot[k]);
            for (int j = 0; j < part->cols; j++) {
                float sum = 0.0f;
                for (int i = 0; i < part->rows; i++) sum += part->w[i * part->cols + j] * part->cot[k][i];
                above[k][j] = sum;
            }
        }
    }
    for (int k = 0; k < net->kinds && NAME_CELL; k++) {
        for (int i = 0; i < NAME_UNITS; i++) {
            net->e1[k][i] = NAME_LINEAR ? above[k][i] * net->s1[i] : above[k][i];
            net->e2[k][i] = NAME_LINEAR ? above[k][NAME_UNITS + i] * net->s2[i] : above[k][NAME_UNITS + i];
        }
    }
}

/* z <- decay z + c x^T; returns sum |z|. */
static inline float NAME_grow(NAME_layer *part, int set, float decay, const float *c) {
    float norm = 0.0f, biases = 0.0f, *z = part->z[set];
    for (int i = 0; i < part->rows; i++) {
        float sum = 0.0f;
        for (int j = 0; j < part->cols; j++, z++) {
            *z = decay * *z + c[i] * part->x[j];
            sum += fabsf(*z);
        }
        norm += sum;
    }
    for (int i = 0; i < part->rows; i++) {
        part->z_b[set][i] = decay * part->z_b[set][i] + c[i];
        biases += fabsf(part->z_b[set][i]);
    }
    return norm + biases;
}

/* Eligibilities of every set, sum |z| of each, and the traces of the cell. role: 0 critic, 1 actor, of each set. */
static inline void NAME_learn_network(NAME_network *net, const float *x, const int *role, const int *kind,
                                      float *norm) {
    static const float decays[2][3] = NAME_DECAYS; /* cell, layers, head */
    const float cell[2] = {decays[role[0]][0], decays[role[1]][0]};
    norm[0] = norm[1] = 0.0f;
    if (NAME_CELL) NAME_cell_learn(net, x, cell, kind, norm);
    for (int s = 0; s < net->sets; s++) {
        for (int p = 0; p < NAME_LAYERS; p++)
            norm[s] += NAME_grow(&net->part[p], s, decays[role[s]][1], net->part[p].cot[kind[s]]);
        NAME_layer *head = &net->part[NAME_LAYERS + s];
        norm[s] += NAME_grow(head, 0, decays[role[s]][2], head->cot[kind[s]]);
    }
}

static inline void NAME_move(int n, float a, const float *z, float *w) {
    for (int i = 0; i < n; i++) w[i] += a * z[i];
}

/* w <- w + a z for a set; phases stay below 4 pi. */
static inline void NAME_move_network(NAME_network *net, int set, float a) {
    const int weights = NAME_UNITS * NAME_OBSERVATIONS;
    if (NAME_CELL) {
        NAME_move(NAME_UNITS, a, net->z_nu[set], net->nu_log);
        for (int i = 0; i < NAME_UNITS; i++) {
            const float before = net->theta_log[i], after = before + a * net->z_theta[set][i];
            const float most = before > 2.5310242f ? before : 2.5310242f;
            net->theta_log[i] = most < after ? most : after;
        }
        NAME_move(weights, a, net->z_w1[set], net->w1);
        NAME_move(weights, a, net->z_w2[set], net->w2);
    }
    for (int p = 0; p <= NAME_LAYERS; p++) {
        NAME_layer *part = &net->part[p < NAME_LAYERS ? p : NAME_LAYERS + set];
        const int of = p < NAME_LAYERS ? set : 0;
        NAME_move(part->rows * part->cols, a, part->z[of], part->w);
        NAME_move(part->rows, a, part->z_b[of], part->b);
    }
}

/* cot[to] += a cot[from] everywhere; from < 0: cot[to] = 0. */
static inline void NAME_mix(NAME_network *net, int head, int to, int from, float a) {
    for (int p = 0; p <= NAME_LAYERS; p++) {
        NAME_layer *part = &net->part[p < NAME_LAYERS ? p : NAME_LAYERS + head];
        for (int i = 0; i < part->rows; i++)
            part->cot[to][i] = from < 0 ? 0.0f : part->cot[to][i] + a * part->cot[from][i];
    }
    for (int i = 0; i < NAME_UNITS && NAME_CELL; i++) {
        net->e1[to][i] = from < 0 ? 0.0f : net->e1[to][i] + a * net->e1[from][i];
        net->e2[to][i] = from < 0 ? 0.0f : net->e2[to][i] + a * net->e2[from][i];
    }
}
"""
