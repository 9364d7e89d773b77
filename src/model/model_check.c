/* A model file before libllama sees it. libllama refuses much by itself (tensors that are missing
 * or of another shape, tables that are too short); it asserts the rest, in its loader, its
 * vocabulary or in the middle of a call, and an assertion ends the process. Those rules are here,
 * for every architecture. What they cannot know is met in a worker (model_worker.c). */
#include "model/model_check.h"

#include "model/gguf_file.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MAX_LAYERS = 512, MAX_HEADS = 1 << 16, MAX_EXPERTS = 512, MAX_TOKENS = 1 << 24 };

typedef struct file { /* what is checked */
    const rung_gguf *g;
    const char *path, *arch;
    rung_error *err;
} file;

static rung_status refuse(const file *f, const char *why, const char *detail) {
    rung_fail(f->err, RUNG_E_MODEL, "model \"%s\" %s", f->path, why);
    rung_error_detail(f->err, "%s", detail);
    return rung_error_hint(f->err, "fetch or write the file again");
}

static const char *arch_name(char name[160], const file *f, const char *key) {
    snprintf(name, 160, "%s.%s", f->arch, key);
    return name;
}

static int64_t size_key(const file *f, const char *key, int64_t dflt) {
    char name[160];
    return rung_gguf_i64(f->g, arch_name(name, f, key), dflt);
}

/* Element i of a key that is one number or one per layer; dflt when there is none. */
static int64_t layer_key(const file *f, const char *key, int64_t i, int64_t dflt) {
    char name[160];
    arch_name(name, f, key);
    if (rung_gguf_arr_n(f->g, name) < 0) return rung_gguf_i64(f->g, name, dflt);
    double v = rung_gguf_arr_f64(f->g, name, i, (double)dflt);
    return fabs(v) < 1e15 ? (int64_t)v : -1;
}

/* Layers, widths, heads, experts; -1 (absent) is left to libllama, which says so. */
static rung_status check_sizes(rung_model_info *i, const file *f) {
    int64_t layer = size_key(f, "block_count", -1), embd = size_key(f, "embedding_length", -1),
            ctx = size_key(f, "context_length", -1), next = size_key(f, "nextn_predict_layers", 0);
    int64_t head = layer_key(f, "attention.head_count", 0, -1),
            kv = layer_key(f, "attention.head_count_kv", 0, head);
    bool ok = layer != 0 && layer <= MAX_LAYERS && embd != 0 && embd < (1 << 24) && ctx != 0 &&
              ctx <= INT32_MAX && head != 0 && head <= MAX_HEADS && next >= 0 &&
              (layer < 0 || next <= layer);
    if (ok && head > 0 && embd > 0) ok = head <= embd;
    for (int64_t l = 0; l < layer && ok; l++) {
        int64_t h = layer_key(f, "attention.head_count", l, -1);
        int64_t k = layer_key(f, "attention.head_count_kv", l, h);
        ok = h >= -1 && k >= -1 && k <= h && (h <= 0 || k <= 0 || h % k == 0);
    }
    char detail[160];
    snprintf(detail, sizeof detail, "layers %lld, width %lld, heads %lld/%lld, context %lld",
             (long long)layer, (long long)embd, (long long)head, (long long)kv, (long long)ctx);
    if (!ok) return refuse(f, "has sizes that cannot be", detail);
    i->n_layer = layer > 0 ? (int32_t)layer : 0;
    i->n_embd = embd > 0 ? (int32_t)embd : 0;
    i->n_head = head > 0 ? (int32_t)head : 0;
    i->n_head_kv = kv > 0 ? (int32_t)kv : i->n_head;
    i->n_ctx_train = ctx > 0 ? (int32_t)ctx : 0;
    return RUNG_OK;
}

/* The width of a head and how much of it is rotated. */
static rung_status check_heads(rung_model_info *i, const file *f) {
    int64_t width = i->n_head > 0 ? i->n_embd / i->n_head : 0;
    int64_t k = size_key(f, "attention.key_length", width),
            v = size_key(f, "attention.value_length", width),
            rot = size_key(f, "rope.dimension_count", k);
    bool ok = i->n_head == 0 || (k > 0 && k <= 1 << 16 && v > 0 && v <= 1 << 16 && rot >= 0 &&
                                 rot <= k && rot % 2 == 0);
    char detail[160];
    snprintf(detail, sizeof detail, "key %lld, value %lld, rotated %lld", (long long)k,
             (long long)v, (long long)rot);
    if (!ok) return refuse(f, "has heads of an impossible width", detail);
    i->n_embd_k = i->n_head > 0 ? (int32_t)k : 0;
    i->n_embd_v = i->n_head > 0 ? (int32_t)v : 0;
    return RUNG_OK;
}

static rung_status check_experts(const file *f) {
    int64_t n = size_key(f, "expert_count", 0), used = 0, least = INT32_MAX;
    int64_t group = size_key(f, "expert_group_count", 0),
            group_used = size_key(f, "expert_group_used_count", 0);
    int64_t layer = size_key(f, "block_count", 1);
    for (int64_t l = 0; l < layer; l++) {
        int64_t u = layer_key(f, "expert_used_count", l, 0);
        used = u > used ? u : used;
        least = u < least ? u : least;
    }
    bool ok = n >= 0 && n <= MAX_EXPERTS && least >= 0 && used <= n && (n == 0 || used > 0) &&
              group >= 0 && (n == 0 ? group == 0 : group < n);
    if (ok && group > 1) ok = n % group == 0 && group_used > 0 && group_used < group;
    char detail[160];
    snprintf(detail, sizeof detail, "%lld experts, %lld used, groups %lld/%lld", (long long)n,
             (long long)used, (long long)group, (long long)group_used);
    return ok ? RUNG_OK : refuse(f, "has experts that cannot be", detail);
}

static rung_status check_numbers(const file *f) {
    static const char *const small[] = {"attention.layer_norm_rms_epsilon",
                                        "attention.layer_norm_epsilon",
                                        "attention.group_norm_epsilon"};
    static const char *const ropes[] = {"none", "linear", "yarn", "longrope"};
    char name[160], detail[240];
    for (size_t i = 0; i < sizeof small / sizeof *small; i++) {
        double v = rung_gguf_f64(f->g, arch_name(name, f, small[i]), 0.0);
        snprintf(detail, sizeof detail, "%s = %g", name, v);
        if (!(v >= 0.0 && v < 1.0)) return refuse(f, "has an impossible epsilon", detail);
    }
    double base = rung_gguf_f64(f->g, arch_name(name, f, "rope.freq_base"), 1e4);
    snprintf(detail, sizeof detail, "%s = %g", name, base);
    if (!(base > 0.0 && base < 1e18))
        return refuse(f, "has an impossible base of its rotation", detail);
    const char *rope = rung_gguf_str(f->g, arch_name(name, f, "rope.scaling.type"), "none");
    for (size_t i = 0; i < sizeof ropes / sizeof *ropes; i++)
        if (strcmp(rope, ropes[i]) == 0) return RUNG_OK;
    snprintf(detail, sizeof detail, "%.150s = %.60s", name, rope);
    return refuse(f, "scales its rotation in a way nobody knows", detail);
}

/* Tensors: ggml multiplies with what it can read as real numbers, and adds and scales by f32. */
static rung_status check_tensors(const file *f) {
    for (int64_t i = 0; i < rung_gguf_n_tensors(f->g); i++) {
        int64_t dims[4];
        const char *type = "";
        bool real = rung_gguf_tensor_shape(dims, &type, f->g, i);
        bool vector = dims[1] * dims[2] * dims[3] == 1;
        if (real && (!vector || strcmp(type, "f32") == 0)) continue;
        char detail[200];
        snprintf(detail, sizeof detail, "tensor %.80s [%lld, %lld] of type %s",
                 rung_gguf_tensor_name(f->g, i), (long long)dims[0], (long long)dims[1], type);
        return refuse(f, "has a tensor of a type that cannot be computed with", detail);
    }
    return RUNG_OK;
}

/* No two tokens may have one text: open addressing over hashes. */
static rung_status check_tokens(const file *f, uint64_t *slot, size_t mask, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        const char *t = rung_gguf_arr_str(f->g, "tokenizer.ggml.tokens", i);
        if (!t) return refuse(f, "has a vocabulary that is not text", "tokenizer.ggml.tokens");
        if (!*t) continue; /* libllama names it by its number */
        uint64_t h = rung_hash64(t, strlen(t), 0) | 1;
        size_t at = (size_t)(h >> 20) & mask;
        while (slot[at] && slot[at] != h) at = (at + 1) & mask;
        if (slot[at]) {
            char detail[120];
            snprintf(detail, sizeof detail, "token %lld, \"%.60s\"", (long long)i, t);
            return refuse(f, "has the same token twice", detail);
        }
        slot[at] = h;
    }
    return RUNG_OK;
}

static rung_status check_vocabulary(const file *f) {
    int64_t n = rung_gguf_arr_n(f->g, "tokenizer.ggml.tokens");
    size_t cap = 1024;
    if (n < 0) return RUNG_OK;
    if (n < 1 || n > MAX_TOKENS) return refuse(f, "has no vocabulary", "tokenizer.ggml.tokens");
    while (cap < 2 * (size_t)n) cap *= 2;
    uint64_t *slot = rung_calloc(cap, sizeof *slot);
    if (!slot) return rung_fail(f->err, RUNG_E_NOMEM, "no memory for a vocabulary");
    rung_status st = check_tokens(f, slot, cap - 1, n);
    rung_free(slot);
    return st;
}

static rung_status check_all(rung_model_info *i, const file *f) {
    RUNG_TRY(check_sizes(i, f));
    RUNG_TRY(check_heads(i, f));
    RUNG_TRY(check_experts(f));
    RUNG_TRY(check_numbers(f));
    RUNG_TRY(check_vocabulary(f));
    return check_tensors(f);
}

rung_status rung_check_model_file(rung_model_info *i, const char *path, rung_error *err) {
    rung_gguf *g = NULL;
    RUNG_TRY(rung_gguf_open(&g, path, err));
    file f = {g, path, rung_gguf_str(g, "general.architecture", NULL), err};
    rung_status st;
    if (f.arch) {
        st = check_all(i, &f);
    } else {
        st = rung_fail(err, RUNG_E_MODEL, "\"%s\" holds no language model: no general.architecture",
                       path);
        rung_error_hint(err, "give the GGUF of a model, not of an adapter or a head");
    }
    rung_gguf_free(g);
    return st;
}

rung_status rung_check_adapter_file(const char *path, const char *arch, rung_error *err) {
    rung_gguf *g = NULL;
    RUNG_TRY(rung_gguf_open(&g, path, err));
    const char *type = rung_gguf_str(g, "adapter.type", "");
    const char *of = rung_gguf_str(g, "general.architecture", "");
    rung_status st = RUNG_OK;
    if (strcmp(type, "lora") != 0)
        st = rung_fail(err, RUNG_E_MODEL, "\"%s\" holds no low-rank adapter", path);
    else if (strcmp(of, arch) != 0)
        st = rung_fail(err, RUNG_E_MISMATCH, "adapter \"%s\" is for %s, the model is %s", path, of,
                       arch);
    rung_gguf_free(g);
    return st;
}
