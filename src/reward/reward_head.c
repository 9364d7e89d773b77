/* Heads in files: rung's own tensors (head.*), or with a format the published structure in the
 * tensors of others' heads (cls.*), so that both are read in one way; of a head that trained with
 * its base, keys of the base's own file: libllama takes no tensors that it does not know. */
#include "reward/reward_impl.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* How many numbers each part of a head holds. */
typedef struct head_sizes {
    int64_t n_in, n_mid, n_out;
} head_sizes;

static int64_t outputs(const rung_head *h) {
    return h->n_out == 2 ? 2 : 1;
}

static head_sizes sizes_of(const rung_head *h) {
    return (head_sizes){h->n_in, h->n_hidden ? h->n_hidden : outputs(h), outputs(h)};
}

/* Writing -------------------------------------------------------------------------------------- */

static void put_own(rung_gguf_writer *w, const rung_head *h) {
    head_sizes n = sizes_of(h);
    int64_t w1[2] = {n.n_in, n.n_mid}, w2[2] = {n.n_mid, n.n_out};
    rung_gguf_put_u32(w, "rung.reward.n_in", (uint32_t)h->n_in);
    rung_gguf_put_u32(w, "rung.reward.n_hidden", (uint32_t)h->n_hidden);
    if (n.n_out == 2) rung_gguf_put_u32(w, "rung.reward.n_out", 2);
    rung_gguf_put_tensor(w, "head.mean", RUNG_GGUF_F32, 1, &n.n_in, h->mean);
    rung_gguf_put_tensor(w, "head.inv_sd", RUNG_GGUF_F32, 1, &n.n_in, h->inv_sd);
    rung_gguf_put_tensor(w, "head.w1", RUNG_GGUF_F32, 2, w1, h->w1);
    rung_gguf_put_tensor(w, "head.b1", RUNG_GGUF_F32, 1, &n.n_mid, h->b1);
    if (!h->n_hidden) return;
    rung_gguf_put_tensor(w, "head.w2", RUNG_GGUF_F32, n.n_out == 2 ? 2 : 1, w2, h->w2);
    rung_gguf_put_tensor(w, "head.b2", RUNG_GGUF_F32, 1, &n.n_out, h->b2);
}

/* The standardisation goes into the first layer: w' = w / sd, b' = b - w' . mean. */
static rung_status put_published(rung_gguf_writer *w, const rung_head *h, rung_error *err) {
    head_sizes n = sizes_of(h);
    bool two = h->n_hidden > 0;
    float *w1 = rung_alloc((size_t)(n.n_mid * (n.n_in + 1)) * sizeof *w1);
    if (!w1) return rung_fail(err, RUNG_E_NOMEM, "no memory to write a head");
    float *b1 = w1 + n.n_mid * n.n_in;
    for (int64_t r = 0; r < n.n_mid; r++) {
        double b = (double)h->b1[r];
        for (int64_t k = 0; k < n.n_in; k++) {
            double v = (double)h->w1[r * n.n_in + k] * (double)h->inv_sd[k];
            w1[r * n.n_in + k] = (float)v;
            b -= v * (double)h->mean[k];
        }
        b1[r] = (float)b;
    }
    int64_t first[2] = {n.n_in, n.n_mid}, last[2] = {n.n_mid, n.n_out};
    rung_gguf_put_tensor(w, two ? "cls.weight" : "cls.output.weight", RUNG_GGUF_F32, 2, first, w1);
    rung_gguf_put_tensor(w, two ? "cls.bias" : "cls.output.bias", RUNG_GGUF_F32, 1, &n.n_mid, b1);
    if (two) rung_gguf_put_tensor(w, "cls.output.weight", RUNG_GGUF_F32, 2, last, h->w2);
    if (two) rung_gguf_put_tensor(w, "cls.output.bias", RUNG_GGUF_F32, 1, &n.n_out, h->b2);
    rung_free(w1);
    return RUNG_OK;
}

rung_status reward_head_write(const char *path, const rung_head *h, const reward_keys *k,
                              const reward_set *set, bool published, rung_error *err) {
    rung_gguf_writer *w = rung_gguf_writer_new();
    if (!w) return rung_fail(err, RUNG_E_NOMEM, "no memory to write \"%s\"", path);
    rung_gguf_put_str(w, "general.architecture", "rung-reward");
    for (int i = 0; i < k->n; i++) rung_gguf_put_str(w, k->key[i], k->value[i]);
    rung_gguf_put_str(w, "rung.reward.trained_on", set->trained_on);
    rung_status st = RUNG_OK;
    if (published)
        st = put_published(w, h, err);
    else
        put_own(w, h);
    if (st == RUNG_OK) st = rung_gguf_write(w, path, err);
    rung_gguf_writer_free(w);
    return st;
}

rung_status reward_head_put_keys(rung_net *net, rung_error *err) {
    rung_head *h;
    RUNG_TRY(rung_net_get_head(&h, net, err));
    head_sizes n = sizes_of(h);
    size_t in = (size_t)n.n_in, mid = (size_t)n.n_mid, out = (size_t)n.n_out;
    rung_net_set_meta_f32(net, "rung.reward.head.mean", h->mean, in);
    rung_net_set_meta_f32(net, "rung.reward.head.inv_sd", h->inv_sd, in);
    rung_net_set_meta_f32(net, "rung.reward.head.w1", h->w1, in * mid);
    rung_net_set_meta_f32(net, "rung.reward.head.b1", h->b1, mid);
    if (h->n_hidden) {
        rung_net_set_meta_f32(net, "rung.reward.head.w2", h->w2, mid * out);
        rung_net_set_meta_f32(net, "rung.reward.head.b2", h->b2, out);
    }
    rung_head_free(h);
    return RUNG_OK;
}

/* Reading -------------------------------------------------------------------------------------- */

/* A tensor of exactly n floats. */
static rung_status read_tensor(float **out, const rung_reward *r, const char *part, int64_t n,
                               rung_error *err) {
    int64_t dims[4];
    char name[32];
    snprintf(name, sizeof name, "head.%s", part);
    RUNG_TRY(rung_gguf_tensor(out, dims, r->file, name, err));
    int64_t has = dims[0] * dims[1] * dims[2] * dims[3];
    if (has != n)
        return rung_fail(err, RUNG_E_FORMAT, "\"%s\": tensor %s holds %lld numbers, not %lld",
                         r->path, name, (long long)has, (long long)n);
    for (int64_t i = 0; i < n; i++)
        if (!isfinite((*out)[i]))
            return rung_fail(err, RUNG_E_FORMAT, "\"%s\": tensor %s is not finite", r->path, name);
    return RUNG_OK;
}

static rung_status read_key(float **out, const rung_reward *r, const char *part, int64_t n,
                            rung_error *err) {
    char key[64];
    snprintf(key, sizeof key, "rung.reward.head.%s", part);
    if (n <= 0 || rung_gguf_arr_n(r->file, key) != n)
        return rung_fail(err, RUNG_E_FORMAT, "\"%s\": key %s does not hold %lld numbers", r->path,
                         key, (long long)n);
    *out = rung_alloc((size_t)n * sizeof **out);
    if (!*out) return rung_fail(err, RUNG_E_NOMEM, "no memory for a head");
    for (int64_t i = 0; i < n; i++) {
        (*out)[i] = (float)rung_gguf_arr_f64(r->file, key, i, (double)NAN);
        if (!isfinite((*out)[i]))
            return rung_fail(err, RUNG_E_FORMAT, "\"%s\": key %s is not finite", r->path, key);
    }
    return RUNG_OK;
}

typedef rung_status read_part(float **out, const rung_reward *r, const char *part, int64_t n,
                              rung_error *err);

static rung_status read_parts(rung_reward *r, read_part *read, int64_t n_in, int64_t n_hidden,
                              int64_t n_out, rung_error *err) {
    if (n_out != 1 && n_out != 2)
        return rung_fail(err, RUNG_E_FORMAT, "\"%s\": a head of %lld outputs", r->path,
                         (long long)n_out);
    rung_head *h = r->head = rung_calloc(1, sizeof *h);
    if (!h) return rung_fail(err, RUNG_E_NOMEM, "no memory for a head");
    h->n_in = (int32_t)n_in;
    h->n_hidden = (int32_t)n_hidden;
    h->n_out = (int32_t)n_out;
    h->value = strcmp(rung_gguf_str(r->file, "rung.reward.loss", ""), "value") == 0;
    head_sizes n = sizes_of(h);
    RUNG_TRY(read(&h->mean, r, "mean", n_in, err));
    RUNG_TRY(read(&h->inv_sd, r, "inv_sd", n_in, err));
    RUNG_TRY(read(&h->w1, r, "w1", n_in * n.n_mid, err));
    RUNG_TRY(read(&h->b1, r, "b1", n.n_mid, err));
    if (!n_hidden) return RUNG_OK;
    RUNG_TRY(read(&h->w2, r, "w2", n_out * n.n_mid, err));
    return read(&h->b2, r, "b2", n_out, err);
}

rung_status reward_head_read(rung_reward *r, const rung_model_info *base, rung_error *err) {
    int64_t n_in = rung_gguf_i64(r->file, "rung.reward.n_in", 0);
    int64_t n_hidden = rung_gguf_i64(r->file, "rung.reward.n_hidden", 0);
    if (n_in != base->n_embd || n_hidden < 0 || n_hidden > 65536)
        return rung_fail(err, RUNG_E_MISMATCH,
                         "\"%s\": a head of %lld inputs on a base with %d features", r->path,
                         (long long)n_in, base->n_embd);
    return read_parts(r, read_tensor, n_in, n_hidden,
                      rung_gguf_i64(r->file, "rung.reward.n_out", 1), err);
}

bool reward_head_in_keys(const rung_gguf *g) {
    return rung_gguf_has(g, "rung.reward.head.mean");
}

rung_status reward_head_read_keys(rung_reward *r, rung_error *err) {
    rung_model_info info;
    rung_model_get_info(&info, r->model);
    int64_t first = rung_gguf_arr_n(r->file, "rung.reward.head.b1");
    int64_t last = rung_gguf_arr_n(r->file, "rung.reward.head.b2"); /* -1: one layer */
    return read_parts(r, read_key, info.n_embd, last > 0 ? first : 0, last > 0 ? last : first, err);
}
