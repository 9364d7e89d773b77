/* Vectors of texts: one text a pass, its hidden states pooled by us (so that every pooling works
 * with every model), length 1. */
#include "rung/embed.h"
#include "model/model_impl.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { TOKENS_MAX = 512 };

struct rung_embedder {
    const rung_model *m;
    struct llama_context *ctx;
    rung_pooling pooling;
    int32_t n_dim, n_tok_max;
    char *query_prefix, *passage_prefix;
    bool encoder; /* no cache, all positions see all */
};

const char *rung_pooling_name(rung_pooling p) {
    static const char *const names[] = {
#define X(id, name, help) name,
        RUNG_POOLINGS(X)
#undef X
    };
    return (size_t)p < sizeof names / sizeof *names ? names[p] : NULL;
}

/* "bert.pooling_type" and the like, as GGUF numbers them. */
static rung_pooling pooling_of(const rung_model *m) {
    char key[64], value[32];
    snprintf(key, sizeof key, "%s.pooling_type", m->info.arch);
    const char *v = rung_model_meta(m, key, value, sizeof value);
    if (v && strcmp(v, "2") == 0) return RUNG_POOLING_FIRST;
    if (v && strcmp(v, "3") == 0) return RUNG_POOLING_LAST;
    return RUNG_POOLING_MEAN;
}

static bool is_encoder(const rung_model *m) {
    char key[64], value[32];
    snprintf(key, sizeof key, "%s.attention.causal", m->info.arch);
    const char *v = rung_model_meta(m, key, value, sizeof value);
    return v && strcmp(v, "false") == 0;
}

static rung_status make_context(rung_embedder *e, int32_t threads, rung_error *err) {
    struct llama_context_params p = llama_context_default_params();
    p.n_ctx = p.n_batch = p.n_ubatch = (uint32_t)e->n_tok_max;
    p.n_seq_max = 1;
    p.n_threads = p.n_threads_batch = threads > 0 ? threads : rung_n_cores();
    p.embeddings = true;
    p.pooling_type = LLAMA_POOLING_TYPE_NONE;
    p.no_perf = true;
    rung_llama_clear_error();
    e->ctx = llama_init_from_model(e->m->llama, p);
    if (e->ctx) return RUNG_OK;
    rung_fail(err, RUNG_E_MODEL, "libllama could not make a context of %d tokens", e->n_tok_max);
    return rung_error_detail(err, "%s", rung_llama_error());
}

rung_status rung_embedder_new(rung_embedder **out, const rung_model *m,
                              const rung_embedder_opts *opts, rung_error *err) {
    static const rung_embedder_opts none = RUNG_EMBEDDER_OPTS_INIT;
    rung_embedder_opts o = none;
    *out = NULL;
    if (opts && (opts->struct_size == 0 || opts->struct_size > sizeof o))
        return rung_fail(err, RUNG_E_INVAL, "rung_embedder_opts has another size");
    if (opts) memcpy(&o, opts, opts->struct_size);
    if (m->vocab_only) return rung_fail(err, RUNG_E_MISUSE, "the model has its vocabulary only");
    rung_embedder *e = rung_calloc(1, sizeof *e);
    if (!e) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    e->m = m;
    e->n_dim = m->info.n_embd;
    e->pooling = o.pooling == RUNG_POOLING_AUTO ? pooling_of(m) : o.pooling;
    e->encoder = is_encoder(m);
    e->n_tok_max = o.n_tok_max > 0 ? o.n_tok_max : TOKENS_MAX;
    if (m->info.n_ctx_train > 0 && e->n_tok_max > m->info.n_ctx_train)
        e->n_tok_max = m->info.n_ctx_train;
    e->query_prefix = rung_strdup(o.query_prefix ? o.query_prefix : "");
    e->passage_prefix = rung_strdup(o.passage_prefix ? o.passage_prefix : "");
    rung_status st = e->query_prefix && e->passage_prefix
                         ? make_context(e, o.n_threads, err)
                         : rung_fail(err, RUNG_E_NOMEM, "out of memory");
    if (st != RUNG_OK) {
        rung_embedder_free(e);
        return st;
    }
    *out = e;
    return RUNG_OK;
}

void rung_embedder_free(rung_embedder *e) {
    if (!e) return;
    if (e->ctx) llama_free(e->ctx);
    rung_free(e->query_prefix);
    rung_free(e->passage_prefix);
    rung_free(e);
}

int32_t rung_embedder_dim(const rung_embedder *e) {
    return e->n_dim;
}

static rung_status run(rung_embedder *e, int32_t *tok, int32_t n, rung_error *err) {
    struct llama_batch b = llama_batch_init(n, 0, 1);
    if (!b.token) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    b.n_tokens = n;
    for (int32_t i = 0; i < n; i++) {
        b.token[i] = tok[i];
        b.pos[i] = i;
        b.n_seq_id[i] = 1;
        b.seq_id[i][0] = 0;
        b.logits[i] = 1;
    }
    llama_memory_t mem = llama_get_memory(e->ctx);
    if (mem) llama_memory_clear(mem, true);
    rung_llama_clear_error();
    int rc = e->encoder && !mem ? llama_encode(e->ctx, b) : llama_decode(e->ctx, b);
    llama_batch_free(b);
    if (rc == 0) return RUNG_OK;
    rung_fail(err, RUNG_E_MODEL, "the model could not read %d tokens (%d)", n, rc);
    return rung_error_detail(err, "%s", rung_llama_error());
}

/* Sums in f64; the vector's length becomes 1. */
static rung_status pool(float *out, const rung_embedder *e, int32_t n, rung_error *err) {
    int32_t from = e->pooling == RUNG_POOLING_LAST ? n - 1 : 0;
    int32_t to = e->pooling == RUNG_POOLING_FIRST ? 1 : n;
    double norm = 0;
    for (int32_t d = 0; d < e->n_dim; d++) out[d] = 0;
    double *sum = rung_calloc((size_t)e->n_dim, sizeof *sum);
    if (!sum) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    for (int32_t i = from; i < to; i++) {
        const float *h = llama_get_embeddings_ith(e->ctx, i);
        for (int32_t d = 0; h && d < e->n_dim; d++) sum[d] += (double)h[d];
    }
    for (int32_t d = 0; d < e->n_dim; d++) norm += sum[d] * sum[d];
    norm = sqrt(norm);
    bool ok = isfinite(norm) && norm > 0;
    for (int32_t d = 0; ok && d < e->n_dim; d++) out[d] = (float)(sum[d] / norm);
    rung_free(sum);
    return ok ? RUNG_OK : rung_fail(err, RUNG_E_MODEL, "the model gave a vector without a length");
}

static rung_status one(float *out, rung_embedder *e, const char *prefix, const char *text,
                       rung_error *err) {
    int32_t *tok = NULL, n = 0;
    rung_buf b;
    rung_buf_init(&b, 64 << 20);
    rung_buf_str(&b, prefix);
    rung_buf_str(&b, text);
    rung_status st = rung_buf_check(&b, err);
    if (st == RUNG_OK) st = rung_model_tokenize(&tok, &n, e->m, b.data, b.n, true, false, err);
    rung_buf_clear(&b);
    if (st == RUNG_OK && n == 0) st = rung_fail(err, RUNG_E_INVAL, "a text without tokens");
    if (n > e->n_tok_max) n = e->n_tok_max;
    if (st == RUNG_OK) st = run(e, tok, n, err);
    if (st == RUNG_OK) st = pool(out, e, n, err);
    rung_free(tok);
    return st;
}

rung_status rung_embedder_run(float *out, void *ud, const char *const *text, int32_t n,
                              bool is_query, rung_error *err) {
    rung_embedder *e = ud;
    const char *prefix = is_query ? e->query_prefix : e->passage_prefix;
    for (int32_t i = 0; i < n; i++)
        RUNG_TRY(one(out + (size_t)i * (size_t)e->n_dim, e, prefix, text[i], err));
    return RUNG_OK;
}
