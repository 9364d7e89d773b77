/* Types that weights can have in memory: which tensors change, which types keep what a file holds,
 * how large the result is. */
#include "model/weights.h"

#include "model/gguf_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct {
    const char *name, *help;
} rows[] = {
#define X(id, name, help) {name, help},
    RUNG_WEIGHTS(X)
#undef X
};

const char *rung_weights_name(rung_weights w) {
    return (unsigned)w < RUNG_WEIGHTS_COUNT ? rows[w].name : NULL;
}

const char *rung_weights_help(rung_weights w) {
    return (unsigned)w < RUNG_WEIGHTS_COUNT ? rows[w].help : NULL;
}

bool rung_weights_find(rung_weights *out, const char *name) {
    for (int i = 0; i < RUNG_WEIGHTS_COUNT; i++) {
        if (strcmp(rows[i].name, name) != 0) continue;
        *out = (rung_weights)i;
        return true;
    }
    return false;
}

enum ggml_type rung_weights_type(rung_weights w) {
    switch (w) {
    case RUNG_WEIGHTS_F32: return GGML_TYPE_F32;
    case RUNG_WEIGHTS_BF16: return GGML_TYPE_BF16;
    case RUNG_WEIGHTS_F16: return GGML_TYPE_F16;
    case RUNG_WEIGHTS_Q8_0: return GGML_TYPE_Q8_0;
    case RUNG_WEIGHTS_Q4_0: return GGML_TYPE_Q4_0;
    default: return GGML_TYPE_COUNT;
    }
}

/* bf16 rounds a weight by 2^-9 of itself, f16 by 2^-12 (a scale of these types is an f16, and a
 * small whole number of scales is exact or nearly so), q8_0 by 1/254 of the block's largest; the
 * types named here round by a 62nd of the block's largest or more. Their root mean squares are
 * compared in test_weights. f32, f16 and bf16 are exact numbers: only what holds them keeps them.
 */
bool rung_weights_keeps(enum ggml_type to, enum ggml_type from) {
    if (to == from || to == GGML_TYPE_F32) return true;
    switch (from) {
    case GGML_TYPE_Q4_0:
    case GGML_TYPE_Q4_1:
    case GGML_TYPE_Q5_0:
    case GGML_TYPE_Q5_1:
    case GGML_TYPE_Q2_K:
    case GGML_TYPE_Q3_K:
    case GGML_TYPE_Q4_K:
    case GGML_TYPE_Q5_K:
    case GGML_TYPE_Q6_K:
    case GGML_TYPE_IQ4_NL:
    case GGML_TYPE_IQ4_XS:
        return to == GGML_TYPE_BF16 || to == GGML_TYPE_F16 || to == GGML_TYPE_Q8_0;
    case GGML_TYPE_Q8_0: return to == GGML_TYPE_BF16 || to == GGML_TYPE_F16;
    default: return to == GGML_TYPE_BF16 && ggml_is_quantized(from);
    }
}

/* Weights of the plain matrix products. Whatever a graph may use in another way (convolutions,
 * routers, tables of positions) is not here and stays as it is. */
static const char *const matrices[] = {
    "attn_q",        "attn_k",         "attn_v",        "attn_qkv",      "attn_output",
    "attn_q_a",      "attn_q_b",       "attn_kv_a_mqa", "attn_kv_b",     "attn_gate",
    "ffn_gate",      "ffn_up",         "ffn_down",      "ffn_gate_exps", "ffn_up_exps",
    "ffn_down_exps", "ffn_gate_shexp", "ffn_up_shexp",  "ffn_down_shexp"};

static bool is_matrix(const struct gguf_context *g, const char *name) {
    if (strcmp(name, "output.weight") == 0) return true;
    if (strcmp(name, "token_embd.weight") == 0) { /* the head too, unless that has its own */
        return gguf_find_tensor(g, "output.weight") < 0;
    }
    if (strncmp(name, "blk.", 4) != 0) return false;
    const char *p = name + 4 + strspn(name + 4, "0123456789");
    if (*p++ != '.') return false;
    for (size_t i = 0; i < sizeof matrices / sizeof *matrices; i++) {
        size_t n = strlen(matrices[i]);
        if (strncmp(p, matrices[i], n) == 0 && strcmp(p + n, ".weight") == 0) return true;
    }
    return false;
}

enum ggml_type rung_weights_target(const struct gguf_context *g, int64_t i, rung_weights w) {
    enum ggml_type from = gguf_get_tensor_type(g, i), to = rung_weights_type(w);
    if (to == GGML_TYPE_COUNT || to == from) return from;
    if (from != GGML_TYPE_F32 && !ggml_get_type_traits(from)->to_float) return from;
    if (!is_matrix(g, gguf_get_tensor_name(g, i))) return from;
    return gguf_get_tensor_ne(g, i)[0] % ggml_blck_size(to) == 0 ? to : from;
}

static void fit(rung_weights_fit *f, const struct gguf_context *g, rung_weights w) {
    *f = (rung_weights_fit){.keeps = true};
    for (int64_t i = 0; i < gguf_get_n_tensors(g); i++) {
        enum ggml_type from = gguf_get_tensor_type(g, i), to = rung_weights_target(g, i, w);
        const int64_t *ne = gguf_get_tensor_ne(g, i);
        f->n_bytes += (int64_t)ggml_row_size(to, ne[0]) * ne[1] * ne[2] * ne[3];
        if (to == from) continue;
        f->changes = true;
        if (!rung_weights_keeps(to, from)) f->keeps = false;
    }
}

rung_status rung_weights_fits_of(rung_weights_fit out[RUNG_WEIGHTS_COUNT], const char *path,
                                 const char *hash, rung_error *err) {
    rung_gguf *checked = NULL;
    rung_buf name;
    memset(out, 0, RUNG_WEIGHTS_COUNT * sizeof *out);
    RUNG_TRY(rung_gguf_open(&checked, path, err));
    rung_gguf_free(checked);
    struct gguf_context *g = gguf_init_from_file(path, (struct gguf_init_params){.no_alloc = true});
    if (!g) return rung_fail(err, RUNG_E_MODEL, "\"%s\" is not a valid GGUF file", path);
    rung_buf_init(&name, 8192);
    for (int w = 0; w < RUNG_WEIGHTS_AUTO; w++) {
        fit(&out[w], g, (rung_weights)w);
        rung_buf_reset(&name);
        /* no folder to look into: nothing is made */
        if (out[w].changes && rung_weights_path(&name, hash, (rung_weights)w, NULL) == RUNG_OK) {
            out[w].made = access(name.data, R_OK) == 0;
        }
    }
    rung_buf_clear(&name);
    gguf_free(g);
    return RUNG_OK;
}

rung_status rung_weights_fits(rung_weights_fit out[RUNG_WEIGHTS_COUNT], const char *path,
                              rung_error *err) {
    char hash[33];
    RUNG_TRY(rung_hash_file(hash, path, err));
    return rung_weights_fits_of(out, path, hash, err);
}

/* ---- the cache's folders */

static rung_status make_folder(const char *path, rung_error *err) {
    if (mkdir(path, 0777) == 0 || errno == EEXIST) return RUNG_OK;
    rung_fail_errno(err, "could not make the cache folder \"%s\"", path);
    return rung_error_hint(err, "set XDG_CACHE_HOME to a folder that can be written");
}

rung_status rung_cache_folder(rung_buf *b, const char *name, rung_error *err) {
    const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (xdg && xdg[0] == '/') { /* a relative one is to be ignored, says the XDG specification */
        rung_buf_str(b, xdg);
    } else if (home && home[0] == '/') {
        rung_buf_printf(b, "%s/.cache", home);
    } else {
        rung_fail(err, RUNG_E_IO, "there is no cache folder: neither XDG_CACHE_HOME nor HOME");
        return rung_error_hint(err, "set XDG_CACHE_HOME to a folder that can be written");
    }
    size_t n = b->n;
    rung_buf_printf(b, "/rung/%s/", name);
    RUNG_TRY(rung_buf_check(b, err));
    for (size_t i = n; i < b->n; i++) { /* the base, rung, name: each in turn */
        if (b->data[i] != '/') continue;
        b->data[i] = 0;
        rung_status st = access(b->data, F_OK) == 0 ? RUNG_OK : make_folder(b->data, err);
        b->data[i] = '/';
        if (st != RUNG_OK) return st;
    }
    return RUNG_OK;
}

rung_status rung_weights_path(rung_buf *b, const char *hash, rung_weights w, rung_error *err) {
    RUNG_TRY(rung_cache_folder(b, "weights", err));
    rung_buf_printf(b, "%s-%s-v%d.gguf", hash, rung_weights_name(w), WEIGHTS_VERSION);
    return rung_buf_check(b, err);
}

/* ---- memory */

static int64_t number_in(const char *path, const char *key) {
    char line[256];
    int64_t v = -1;
    FILE *f = fopen(path, "re");
    if (!f) return -1;
    size_t n = key ? strlen(key) : 0;
    while (v < 0 && fgets(line, sizeof line, f)) {
        char *end;
        if (key && strncmp(line, key, n) != 0) continue;
        long long x = strtoll(line + n, &end, 10);
        if (end != line + n) v = x; /* "max" is no number */
        if (!key) break;
    }
    fclose(f);
    return v;
}

int64_t rung_memory_available(void) {
    int64_t kb = number_in("/proc/meminfo", "MemAvailable:"), most = INT64_MAX;
    if (kb >= 0) most = kb * 1024;
    int64_t limit = number_in("/sys/fs/cgroup/memory.max", NULL);
    int64_t used = number_in("/sys/fs/cgroup/memory.current", NULL);
    int64_t file = number_in("/sys/fs/cgroup/memory.stat", "file "); /* can be dropped */
    if (limit > 0 && used >= 0) {
        int64_t left = limit - used + (file > 0 ? file : 0);
        if (left < most) most = left > 0 ? left : 0;
    }
    return most;
}
