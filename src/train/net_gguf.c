/* A net as a GGUF file that libllama loads (arch llama), and back. */
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

void rung_net_set_meta(rung_net *net, const char *key, const char *value) {
    rung_net_meta *p = rung_realloc(net->meta, (net->n_meta + 1) * sizeof *p);
    char *k = rung_strdup(key), *v = rung_strdup(value);
    if (p) net->meta = p;
    if (!p || !k || !v) {
        rung_free(k);
        rung_free(v);
        net->failed = true;
        return;
    }
    net->meta[net->n_meta++] = (rung_net_meta){k, v};
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

static void put_shape(rung_gguf_writer *w, const rung_net *net) {
    const rung_net_shape *s = &net->core->shape;
    uint32_t hd = (uint32_t)net->core->hd;
    rung_gguf_put_str(w, "general.architecture", "llama");
    rung_gguf_put_u32(w, "llama.block_count", (uint32_t)s->n_layer);
    rung_gguf_put_u32(w, "llama.context_length", (uint32_t)s->n_ctx);
    rung_gguf_put_u32(w, "llama.embedding_length", (uint32_t)s->n_embd);
    rung_gguf_put_u32(w, "llama.feed_forward_length", (uint32_t)s->n_ff);
    rung_gguf_put_u32(w, "llama.attention.head_count", (uint32_t)s->n_head);
    rung_gguf_put_u32(w, "llama.attention.head_count_kv", (uint32_t)s->n_head_kv);
    rung_gguf_put_f32(w, "llama.attention.layer_norm_rms_epsilon", s->rms_eps);
    rung_gguf_put_u32(w, "llama.attention.key_length", hd);
    rung_gguf_put_u32(w, "llama.attention.value_length", hd);
    rung_gguf_put_u32(w, "llama.rope.dimension_count", hd);
    rung_gguf_put_f32(w, "llama.rope.freq_base", s->rope_base);
    rung_gguf_put_u32(w, "llama.vocab_size", (uint32_t)s->n_vocab);
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

static void put_tensors(rung_gguf_writer *w, const rung_net *net, rung_gguf_type type) {
    for (int64_t i = 0; i < net->core->n_tensors; i++) {
        const rung_core_tensor *t = &net->core->tensor[i];
        int64_t dims[] = {t->cols, t->rows};
        rung_gguf_type ty = t->norm ? RUNG_GGUF_F32 : type;
        if (ty == RUNG_GGUF_Q8_0 && t->cols % 32 != 0) ty = RUNG_GGUF_F16; /* blocks of 32 */
        rung_gguf_put_tensor(w, t->name, ty, t->norm ? 1 : 2, dims, net->core->w + t->at);
    }
}

rung_status rung_net_save(const rung_net *net, const char *gguf_path, const char *type,
                          rung_error *err) {
    size_t i = 0, n = sizeof types / sizeof types[0];
    while (i < n && strcmp(types[i].name, type) != 0) i++;
    if (i == n) {
        rung_fail(err, RUNG_E_INVAL, "unknown weight type \"%s\"", type);
        return rung_error_hint(err, "one of f32, f16, bf16, q8_0");
    }
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
    rung_gguf_put_u32(w, "general.file_type", types[i].file_type);
    put_vocab(w, net);
    for (size_t k = 0; k < net->n_meta; k++)
        rung_gguf_put_str(w, net->meta[k].key, net->meta[k].value);
    put_tensors(w, net, types[i].type);
    rung_status st = rung_gguf_write(w, gguf_path, err);
    rung_gguf_writer_free(w);
    return st;
}

/* Loading ------------------------------------------------------------------------------------- */

static rung_status refuse(rung_error *err, const char *path, const char *why) {
    rung_fail(err, RUNG_E_MODEL, "\"%s\" cannot be trained: %s", path, why);
    return rung_error_hint(err, "the trainer takes plain llama models: no biases, no rope scaling");
}

static rung_status read_shape(rung_net_shape *s, const rung_gguf *g, const char *path,
                              rung_error *err) {
    if (strcmp(rung_gguf_str(g, "general.architecture", ""), "llama") != 0)
        return refuse(err, path, "its architecture is not llama");
    int64_t dims[7];
    static const char *const keys[] = {
        "llama.embedding_length",        "llama.block_count",         "llama.attention.head_count",
        "llama.attention.head_count_kv", "llama.feed_forward_length", "llama.context_length"};
    for (size_t i = 0; i < 6; i++) {
        dims[i] = rung_gguf_i64(g, keys[i], i == 3 ? dims[2] : -1);
        if (dims[i] <= 0 || dims[i] > (1 << 24)) {
            rung_fail(err, RUNG_E_MODEL, "\"%s\": key %s is missing or out of range", path,
                      keys[i]);
            return RUNG_E_MODEL;
        }
    }
    dims[6] = rung_gguf_arr_n(g, "tokenizer.ggml.tokens");
    dims[6] = rung_gguf_i64(g, "llama.vocab_size", dims[6]);
    if (dims[6] <= 0 || dims[6] > (1 << 24)) return refuse(err, path, "no vocabulary");
    if (rung_gguf_i64(g, "llama.rope.dimension_count", dims[0] / dims[2]) != dims[0] / dims[2] ||
        rung_gguf_i64(g, "llama.attention.key_length", dims[0] / dims[2]) != dims[0] / dims[2])
        return refuse(err, path, "its heads are not embedding / heads wide");
    if (rung_gguf_has_tensor(g, "rope_freqs.weight") ||
        rung_gguf_has_tensor(g, "blk.0.attn_q.bias") ||
        rung_gguf_has(g, "llama.rope.scaling.factor") || rung_gguf_has(g, "llama.expert_count"))
        return refuse(err, path, "it has biases, experts or scaled positions");
    *s = (rung_net_shape){
        .n_vocab = (int32_t)dims[6],
        .n_embd = (int32_t)dims[0],
        .n_layer = (int32_t)dims[1],
        .n_head = (int32_t)dims[2],
        .n_head_kv = (int32_t)dims[3],
        .n_ff = (int32_t)dims[4],
        .n_ctx = (int32_t)dims[5],
        .rope_base = (float)rung_gguf_f64(g, "llama.rope.freq_base", 10000.0),
        .rms_eps = (float)rung_gguf_f64(g, "llama.attention.layer_norm_rms_epsilon", 1e-5),
        .tied = !rung_gguf_has_tensor(g, "output.weight"),
    };
    return RUNG_OK;
}

static rung_status read_tensors(rung_net *net, const rung_gguf *g, const char *path,
                                rung_error *err) {
    for (int64_t i = 0; i < net->core->n_tensors; i++) {
        const rung_core_tensor *t = &net->core->tensor[i];
        float *x;
        int64_t dims[4];
        RUNG_TRY(rung_gguf_tensor(&x, dims, g, t->name, err));
        bool fits = dims[0] == t->cols && dims[1] == t->rows && dims[2] == 1 && dims[3] == 1;
        if (fits) memcpy(net->core->w + t->at, x, (size_t)(t->rows * t->cols) * sizeof *x);
        rung_free(x);
        if (!fits)
            return rung_fail(err, RUNG_E_MODEL, "\"%s\": tensor %s is %lld x %lld, not %lld x %lld",
                             path, t->name, (long long)dims[0], (long long)dims[1],
                             (long long)t->cols, (long long)t->rows);
    }
    return RUNG_OK;
}

rung_status rung_net_load(rung_net **out, const char *gguf_path, rung_error *err) {
    *out = NULL;
    rung_gguf *g = NULL;
    rung_net *net = NULL;
    rung_net_shape shape;
    rung_status st;
    RUNG_GOTO(rung_gguf_open(&g, gguf_path, err));
    RUNG_GOTO(read_shape(&shape, g, gguf_path, err));
    RUNG_GOTO(rung_net_alloc(&net, &shape, err));
    RUNG_GOTO(read_tensors(net, g, gguf_path, err));
    net->src = g;
    *out = net;
    g = NULL;
    net = NULL;
out:
    rung_net_free(net);
    rung_gguf_free(g);
    return st;
}
