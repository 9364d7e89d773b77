/* A net as a GGUF file that libllama loads, and back. */
#include "train/lora.h"
#include "train/net.h"

#include <stdio.h>

/* Vocabulary ---------------------------------------------------------------------------------- */

/* The RWKV tokenizer's escapes (llama.cpp's llama_unescape_rwkv_token): every token is any string
 * of bytes, found by the longest match. "" stands for the zero byte. */
static void escape(rung_buf *b, const char *raw) {
    if (raw[0] == 0) rung_buf_str(b, "\\x00");
    for (const unsigned char *p = (const unsigned char *)raw; *p; p++) {
        if (*p == '\n')
            rung_buf_str(b, "\\n");
        else if (*p == '\r')
            rung_buf_str(b, "\\r");
        else if (*p == '\t')
            rung_buf_str(b, "\\t");
        else if (*p == '\\')
            rung_buf_str(b, "\\\\");
        else if (*p < 0x20 || *p >= 0x7f)
            rung_buf_printf(b, "\\x%02x", *p);
        else
            rung_buf_append(b, p, 1);
    }
}

static void drop_vocab(rung_net *net) {
    for (int32_t i = 0; net->token_text && i < net->n_token; i++) rung_free(net->token_text[i]);
    rung_free(net->token_text);
    rung_free(net->token_type);
    net->token_text = NULL;
    net->token_type = NULL;
    net->n_token = 0;
}

rung_status rung_net_set_vocab(rung_net *net, const char *const *token_text,
                               const int32_t *token_type, size_t n, int32_t eos, rung_error *err) {
    if (n != (size_t)net->core->shape.n_vocab)
        return rung_fail(err, RUNG_E_INVAL, "vocabulary of %zu tokens for a net of %d", n,
                         net->core->shape.n_vocab);
    if (eos < -1 || eos >= net->core->shape.n_vocab)
        return rung_fail(err, RUNG_E_INVAL, "end token %d of %zu", eos, n);
    drop_vocab(net);
    net->token_text = rung_calloc(n, sizeof *net->token_text);
    net->token_type = rung_calloc(n, sizeof *net->token_type);
    net->n_token = (int32_t)n;
    net->eos = eos;
    bool ok = net->token_text && net->token_type;
    for (size_t i = 0; ok && i < n; i++) {
        rung_buf b;
        rung_buf_init(&b, 1 << 20);
        escape(&b, token_text[i]);
        net->token_text[i] = rung_buf_take(&b, NULL);
        net->token_type[i] = token_type ? token_type[i] : 1;
        ok = net->token_text[i] != NULL;
    }
    if (ok) return RUNG_OK;
    drop_vocab(net);
    return rung_fail(err, RUNG_E_NOMEM, "no memory for a vocabulary of %zu tokens", n);
}

static void add_meta(rung_net *net, const char *key, char *value, float *number, size_t n) {
    rung_net_meta *p = rung_realloc(net->meta, (net->n_meta + 1) * sizeof *p);
    char *k = rung_strdup(key);
    if (p) net->meta = p;
    if (!p || !k || (!value && !number)) {
        rung_free(k);
        rung_free(value);
        rung_free(number);
        net->failed = true;
        return;
    }
    net->meta[net->n_meta++] = (rung_net_meta){k, value, number, n};
}

void rung_net_set_meta(rung_net *net, const char *key, const char *value) {
    add_meta(net, key, rung_strdup(value), NULL, 0);
}

void rung_net_set_meta_f32(rung_net *net, const char *key, const float *number, size_t n) {
    float *copy = rung_alloc((n + 1) * sizeof *copy);
    if (copy) memcpy(copy, number, n * sizeof *copy);
    add_meta(net, key, NULL, copy, n);
}

static void put_meta(rung_gguf_writer *w, const rung_net *net) {
    for (size_t k = 0; k < net->n_meta; k++) {
        const rung_net_meta *m = &net->meta[k];
        if (m->number)
            rung_gguf_put_arr_f32(w, m->key, m->number, m->n);
        else
            rung_gguf_put_str(w, m->key, m->value);
    }
}

/* Saving -------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    rung_gguf_type type;
    uint32_t file_type; /* llama_ftype, for information */
} types[] = {{"f32", RUNG_GGUF_F32, 0},
             {"f16", RUNG_GGUF_F16, 1},
             {"bf16", RUNG_GGUF_BF16, 32},
             {"q8_0", RUNG_GGUF_Q8_0, 7}};

/* A key of the architecture: "llama.block_count". */
typedef struct arch_key {
    char text[96];
} arch_key;
static arch_key key_of(const char *arch, const char *name) {
    arch_key k;
    snprintf(k.text, sizeof k.text, "%.30s.%.60s", arch, name);
    return k;
}

static void put_shape(rung_gguf_writer *w, const rung_net *net) {
    const rung_net_shape *s = &net->core->shape;
    const char *arch = net->core->arch->name;
    const struct {
        const char *name;
        int32_t value;
    } sizes[] = {{"block_count", s->n_layer},
                 {"context_length", s->n_ctx},
                 {"embedding_length", s->n_embd},
                 {"feed_forward_length", s->n_ff},
                 {"attention.head_count", s->n_head},
                 {"attention.head_count_kv", s->n_head_kv},
                 {"attention.key_length", net->core->hd},
                 {"attention.value_length", net->core->hd},
                 {"rope.dimension_count", net->core->hd},
                 {"vocab_size", s->n_vocab}};
    rung_gguf_put_str(w, "general.architecture", arch);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        rung_gguf_put_u32(w, key_of(arch, sizes[i].name).text, (uint32_t)sizes[i].value);
    rung_gguf_put_f32(w, key_of(arch, "attention.layer_norm_rms_epsilon").text, s->rms_eps);
    rung_gguf_put_f32(w, key_of(arch, "rope.freq_base").text, s->rope_base);
}

static void put_vocab(rung_gguf_writer *w, const rung_net *net) {
    if (!net->token_text) return;
    rung_gguf_put_str(w, "tokenizer.ggml.model", "rwkv");
    rung_gguf_put_arr_str(w, "tokenizer.ggml.tokens", (const char *const *)net->token_text,
                          (size_t)net->n_token);
    rung_gguf_put_arr_i32(w, "tokenizer.ggml.token_type", net->token_type, (size_t)net->n_token);
    if (net->eos >= 0) rung_gguf_put_u32(w, "tokenizer.ggml.eos_token_id", (uint32_t)net->eos);
    rung_gguf_put_bool(w, "tokenizer.ggml.add_bos_token", false);
}

static void put_one(rung_gguf_writer *w, const rung_core_tensor *t, rung_gguf_type type,
                    const float *data) {
    bool vector = t->role == ROLE_NORM || t->role == ROLE_BIAS;
    int64_t dims[] = {t->cols, t->rows};
    if (vector) type = RUNG_GGUF_F32;
    if (type == RUNG_GGUF_Q8_0 && t->cols % 32 != 0) type = RUNG_GGUF_F16; /* blocks of 32 */
    rung_gguf_put_tensor(w, t->name, type, vector ? 1 : 2, dims, data);
}

/* Frozen tensors: dequantised, adapters merged in; keep: those without adapters as they were. */
static rung_status put_tensors(rung_gguf_writer *w, const rung_net *net, rung_gguf_type type,
                               bool keep, rung_error *err) {
    rung_core *c = net->core;
    int32_t n_own = c->read.n_in > 0 ? c->read_tensor : c->n_tensors; /* a head is no part of it */
    for (int32_t i = 0; i < n_own; i++) {
        const rung_core_tensor *t = &c->tensor[i];
        if (rung_lora_is_factor(c, i)) continue;
        if (t->at >= 0) {
            put_one(w, t, type, c->w + t->at);
            continue;
        }
        if (keep && t->lora < 0) {
            rung_gguf_put_copy(w, t->name, net->src);
            continue;
        }
        float *x = rung_alloc((size_t)(t->rows * t->cols) * sizeof *x);
        if (!x) return rung_fail(err, RUNG_E_NOMEM, "no memory to save tensor %s", t->name);
        rung_frozen_rows(x, &t->frozen, 0, t->rows, t->cols);
        bool ok = t->lora < 0 || rung_lora_merge(x, c, i);
        if (ok) put_one(w, t, type, x);
        rung_free(x);
        if (!ok) return rung_core_no_product(err);
    }
    return RUNG_OK;
}

rung_status rung_net_save(const rung_net *net, const char *gguf_path, const char *type,
                          rung_error *err) {
    size_t i = 0, n = sizeof types / sizeof types[0];
    bool keep = strcmp(type, "keep") == 0;
    while (i < n && strcmp(types[i].name, keep ? "f16" : type) != 0) i++;
    if (i == n) {
        rung_fail(err, RUNG_E_INVAL, "unknown weight type \"%s\"", type);
        return rung_error_hint(err, "one of f32, f16, bf16, q8_0, keep");
    }
    if (keep && (net->core->n_frozen == 0 || !net->src))
        return rung_fail(err, RUNG_E_INVAL,
                         "weight type keep: every weight was trained, none can be kept as it was");
    if (!net->token_text && !net->src) {
        rung_fail(err, RUNG_E_MISUSE, "a net without a vocabulary cannot be saved as GGUF");
        return rung_error_hint(err, "call rung_net_set_vocab first");
    }
    rung_gguf_writer *w = rung_gguf_writer_new();
    if (!w || net->failed) {
        rung_gguf_writer_free(w);
        return rung_fail(err, RUNG_E_NOMEM, "no memory to save \"%s\"", gguf_path);
    }
    if (net->src) rung_gguf_put_all(w, net->src);
    put_shape(w, net);
    if (!keep) rung_gguf_put_u32(w, "general.file_type", types[i].file_type);
    put_vocab(w, net);
    put_meta(w, net);
    rung_status st = put_tensors(w, net, types[i].type, keep, err);
    if (st == RUNG_OK) st = rung_gguf_write(w, gguf_path, err);
    rung_gguf_writer_free(w);
    return st;
}

/* Loading ------------------------------------------------------------------------------------- */

static rung_status refuse(rung_error *err, const char *path, const char *why) {
    rung_fail(err, RUNG_E_MODEL, "\"%s\" cannot be trained: %s", path, why);
    return rung_error_hint(err,
                           "the trainer takes plain llama and qwen2 models without rope scaling");
}

static rung_status read_sizes(int64_t dims[6], const rung_gguf *g, const char *arch,
                              const char *path, rung_error *err) {
    static const char *const keys[] = {"embedding_length",     "block_count",
                                       "attention.head_count", "attention.head_count_kv",
                                       "feed_forward_length",  "context_length"};
    for (size_t i = 0; i < 6; i++) {
        arch_key k = key_of(arch, keys[i]);
        dims[i] = rung_gguf_i64(g, k.text, i == 3 ? dims[2] : -1);
        if (dims[i] <= 0 || dims[i] > (1 << 24))
            return rung_fail(err, RUNG_E_MODEL, "\"%s\": key %s is missing or out of range", path,
                             k.text);
    }
    return RUNG_OK;
}

/* Parts that change the function and are not in the table. */
static bool has_strange_parts(const rung_gguf *g, const char *arch, const rung_arch_row *row) {
    static const char *const tensors[] = {"rope_freqs.weight", "blk.0.attn_output.bias",
                                          "blk.0.ffn_gate.bias", "blk.0.attn_q_norm.weight"};
    static const char *const keys[] = {"rope.scaling.factor", "expert_count"};
    for (size_t i = 0; i < sizeof tensors / sizeof tensors[0]; i++) {
        if (rung_gguf_has_tensor(g, tensors[i])) return true;
    }
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        if (rung_gguf_has(g, key_of(arch, keys[i]).text)) return true;
    }
    return rung_gguf_has_tensor(g, "blk.0.attn_q.bias") != ((row->has & RUNG_HAS_QKV_BIAS) != 0);
}

static rung_status read_shape(rung_net_shape *s, const rung_gguf *g, const char *path,
                              rung_error *err) {
    const char *arch = rung_gguf_str(g, "general.architecture", "");
    int32_t id = rung_arch_find(arch);
    if (id < 0) return refuse(err, path, "its architecture is not llama or qwen2");
    int64_t dims[6];
    RUNG_TRY(read_sizes(dims, g, arch, path, err));
    int64_t n_vocab = rung_gguf_arr_n(g, "tokenizer.ggml.tokens");
    n_vocab = rung_gguf_i64(g, key_of(arch, "vocab_size").text, n_vocab);
    if (n_vocab <= 0 || n_vocab > (1 << 24)) return refuse(err, path, "no vocabulary");
    int64_t hd = rung_gguf_i64(g, key_of(arch, "attention.key_length").text, dims[0] / dims[2]);
    if (rung_gguf_i64(g, key_of(arch, "rope.dimension_count").text, hd) != hd ||
        rung_gguf_i64(g, key_of(arch, "attention.value_length").text, hd) != hd || hd > (1 << 16))
        return refuse(err, path, "its keys, values and rotations differ in width");
    if (has_strange_parts(g, arch, rung_arch_of(id)))
        return refuse(err, path,
                      "it has biases that its kind has not, experts or scaled positions");
    *s = (rung_net_shape){
        .n_vocab = (int32_t)n_vocab,
        .n_embd = (int32_t)dims[0],
        .n_layer = (int32_t)dims[1],
        .n_head = (int32_t)dims[2],
        .n_head_kv = (int32_t)dims[3],
        .n_ff = (int32_t)dims[4],
        .n_ctx = (int32_t)dims[5],
        .rope_base = (float)rung_gguf_f64(g, key_of(arch, "rope.freq_base").text, 10000.0),
        .rms_eps =
            (float)rung_gguf_f64(g, key_of(arch, "attention.layer_norm_rms_epsilon").text, 1e-5),
        .tied = !rung_gguf_has_tensor(g, "output.weight"),
        .arch = id,
        .n_head_dim = hd * dims[2] == dims[0] ? 0 : (int32_t)hd,
    };
    return RUNG_OK;
}

typedef struct source {
    rung_gguf *g;
    const char *path;
} source;

static rung_status find_frozen(void *ud, rung_frozen *f, const rung_core_tensor *t,
                               rung_error *err) {
    const source *s = ud;
    int64_t dims[4];
    RUNG_TRY(rung_gguf_view(&f->data, &f->type, &f->row_bytes, dims, s->g, t->name, err));
    if (dims[0] == t->cols && dims[1] == t->rows && dims[2] == 1 && dims[3] == 1) return RUNG_OK;
    f->data = NULL;
    return rung_fail(err, RUNG_E_MODEL, "\"%s\": tensor %s is %lld x %lld, not %lld x %lld",
                     s->path, t->name, (long long)dims[0], (long long)dims[1], (long long)t->cols,
                     (long long)t->rows);
}

static rung_status read_tensors(rung_net *net, source *s, rung_error *err) {
    for (int32_t i = 0; i < net->core->n_tensors; i++) {
        const rung_core_tensor *t = &net->core->tensor[i];
        rung_frozen f;
        RUNG_TRY(find_frozen(s, &f, t, err));
        rung_frozen_rows(net->core->w + t->at, &f, 0, t->rows, t->cols);
    }
    return RUNG_OK;
}

static rung_status load(rung_net **out, const char *gguf_path, bool frozen, rung_error *err) {
    *out = NULL;
    rung_gguf *g = NULL;
    rung_net *net = NULL;
    rung_net_shape shape;
    rung_status st;
    RUNG_GOTO(rung_gguf_open(&g, gguf_path, err));
    RUNG_GOTO(read_shape(&shape, g, gguf_path, err));
    source s = {g, gguf_path};
    if (frozen) {
        rung_core *core;
        RUNG_GOTO(rung_core_new_frozen(&core, &shape, find_frozen, &s, err));
        RUNG_GOTO(rung_net_wrap(&net, core, err));
    } else {
        RUNG_GOTO(rung_net_alloc(&net, &shape, err));
        RUNG_GOTO(read_tensors(net, &s, err));
    }
    net->src = g;
    *out = net;
    g = NULL;
    net = NULL;
out:
    rung_net_free(net);
    rung_gguf_free(g);
    return st;
}

rung_status rung_net_load(rung_net **out, const char *gguf_path, rung_error *err) {
    return load(out, gguf_path, false, err);
}

rung_status rung_net_load_frozen(rung_net **out, const char *gguf_path, rung_error *err) {
    return load(out, gguf_path, true, err);
}
