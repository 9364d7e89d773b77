/* Heads of published reward models, in the tensors that llama.cpp uses for classification. libllama
 * computes them for a whole sequence only (rank pooling); here they are applied to hidden states at
 * chosen positions. */
#include "reward/reward_classifier.h"

#include <math.h>
#include <string.h>

enum { UNITS_MAX = 1 << 20 };

bool reward_classifier_in(const rung_gguf *g) {
    return rung_gguf_has_tensor(g, "cls.output.weight") || rung_gguf_has_tensor(g, "cls.weight");
}

void reward_classifier_clear(reward_classifier *c) {
    rung_free(c->w);
    rung_free(c->b);
    rung_free(c->w_out);
    rung_free(c->b_out);
    *c = (reward_classifier){0};
}

typedef struct reading {
    const rung_gguf *g;
    const char *path;
    rung_error *err;
} reading;

/* A matrix of n_in columns; *n_rows becomes its rows. */
static rung_status read_matrix(float **out, int32_t *n_rows, const reading *r, const char *name,
                               int32_t n_in) {
    int64_t d[4];
    RUNG_TRY(rung_gguf_tensor(out, d, r->g, name, r->err));
    if (d[0] != n_in || d[1] < 1 || d[1] > UNITS_MAX || d[2] * d[3] != 1)
        return rung_fail(r->err, RUNG_E_FORMAT,
                         "\"%s\": tensor %s is %lld x %lld, not of %d inputs", r->path, name,
                         (long long)d[0], (long long)d[1], n_in);
    for (int64_t i = 0; i < d[0] * d[1]; i++)
        if (!isfinite((*out)[i]))
            return rung_fail(r->err, RUNG_E_FORMAT, "\"%s\": tensor %s is not finite", r->path,
                             name);
    *n_rows = (int32_t)d[1];
    return RUNG_OK;
}

static rung_status read_bias(float **out, const reading *r, const char *name, int32_t n) {
    int64_t d[4];
    if (!rung_gguf_has_tensor(r->g, name)) return RUNG_OK;
    RUNG_TRY(rung_gguf_tensor(out, d, r->g, name, r->err));
    if (d[0] * d[1] * d[2] * d[3] != n)
        return rung_fail(r->err, RUNG_E_FORMAT, "\"%s\": tensor %s holds %lld numbers, not %d",
                         r->path, name, (long long)(d[0] * d[1] * d[2] * d[3]), n);
    for (int32_t i = 0; i < n; i++)
        if (!isfinite((*out)[i]))
            return rung_fail(r->err, RUNG_E_FORMAT, "\"%s\": tensor %s is not finite", r->path,
                             name);
    return RUNG_OK;
}

rung_status reward_classifier_read(reward_classifier *out, const rung_gguf *g, const char *path,
                                   int32_t n_in, const char *activation, rung_error *err) {
    reading r = {g, path, err};
    *out = (reward_classifier){.n_in = n_in};
    const char *act = activation ? activation : "tanh";
    memcpy(out->activation, act, strnlen(act, sizeof out->activation - 1));
    bool two = rung_gguf_has_tensor(g, "cls.output.weight");
    if (!two) { /* some files name their only layer cls (jina's) */
        RUNG_TRY(read_matrix(&out->w_out, &out->n_out, &r, "cls.weight", n_in));
        return read_bias(&out->b_out, &r, "cls.bias", out->n_out);
    }
    if (rung_gguf_has_tensor(g, "cls.norm.weight"))
        return rung_fail(err, RUNG_E_FORMAT, "\"%s\": a head with a norm (cls.norm) is not read",
                         path);
    if (rung_gguf_has_tensor(g, "cls.weight")) {
        RUNG_TRY(read_matrix(&out->w, &out->n_mid, &r, "cls.weight", n_in));
        RUNG_TRY(read_bias(&out->b, &r, "cls.bias", out->n_mid));
    }
    int32_t n_last = out->n_mid ? out->n_mid : n_in;
    RUNG_TRY(read_matrix(&out->w_out, &out->n_out, &r, "cls.output.weight", n_last));
    return read_bias(&out->b_out, &r, "cls.output.bias", out->n_out);
}

static double dot(const float *w, const float *x, int32_t n) {
    double s = 0.0;
    for (int32_t i = 0; i < n; i++) s += (double)w[i] * (double)x[i];
    return s;
}

static float activate(const char *name, double v) {
    if (strcmp(name, "relu") == 0) return (float)(v > 0.0 ? v : 0.0);
    return (float)(strcmp(name, "tanh") == 0 ? tanh(v) : v);
}

/* w x + b, [n_out]. */
static void layer(double *out, const float *w, const float *b, const float *x, int32_t n_in,
                  int32_t n_out) {
    for (int32_t j = 0; j < n_out; j++)
        out[j] = dot(w + (size_t)j * (size_t)n_in, x, n_in) + (b ? (double)b[j] : 0.0);
}

/* The share of class `number` by softmax; the largest is taken off first: exp may overflow. */
static double share(const double *z, int32_t n, int64_t number) {
    double most = z[0], sum = 0.0;
    for (int32_t j = 1; j < n; j++) most = fmax(most, z[j]);
    for (int32_t j = 0; j < n; j++) sum += exp(z[j] - most);
    return exp(z[number] - most) / sum;
}

rung_status reward_classifier_score(double *out, const reward_classifier *c, const float *x,
                                    int64_t number, rung_error *err) {
    if (c->n_out > 1 && (number < 0 || number >= c->n_out))
        return rung_fail(err, RUNG_E_FORMAT, "class %lld of a head with %d outputs",
                         (long long)number, c->n_out);
    int32_t n_z = c->n_mid > c->n_out ? c->n_mid : c->n_out;
    double *z = rung_alloc((size_t)n_z * sizeof *z + (size_t)c->n_mid * sizeof(float));
    if (!z) return rung_fail(err, RUNG_E_NOMEM, "no memory for a head");
    float *mid = (float *)(void *)(z + n_z);
    if (c->n_mid) {
        layer(z, c->w, c->b, x, c->n_in, c->n_mid);
        for (int32_t j = 0; j < c->n_mid; j++) mid[j] = activate(c->activation, z[j]);
    }
    layer(z, c->w_out, c->b_out, c->n_mid ? mid : x, c->n_mid ? c->n_mid : c->n_in, c->n_out);
    *out = c->n_out == 1 ? 1.0 / (1.0 + exp(-z[0])) : share(z, c->n_out, number);
    rung_free(z);
    return RUNG_OK;
}
