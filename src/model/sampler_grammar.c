/* libllama's grammar sampler. It asks of each candidate alone, 20 to 40 ms for 151,936 of them, so
 * the sampler asks for few where it can; where it needs all, the answer is kept by what came
 * before, and samples of one request share it. */
#include "model/sampler_grammar.h"
#include "model/sampler_gbnf.h"

#include <math.h>
#include <pthread.h>
#include <string.h>

enum { N_MASKS = 32 }; /* kept answers; the oldest goes */

typedef struct mask {
    uint64_t key[2]; /* of the tokens so far; 0 0 none */
    unsigned char *bit;
} mask;

/* What the texts of one grammar share. */
typedef struct shared {
    const rung_model *m;
    int32_t n_refs; /* texts; counted on the engine's thread alone */
    bool names_tokens;
    int32_t *probe; /* for each first byte the shortest token that begins with it */
    int32_t n_probes;
    pthread_mutex_t lock;
    mask kept[N_MASKS];
    int32_t next;
} shared;

struct grammar {
    shared *all;
    struct llama_sampler *s;
    uint64_t path[2]; /* hash of the tokens so far */
};

/* A control token has no text, but libllama would match its name ("<|im_end|>") as if it had. */
static bool is_silent(const shared *a, int32_t tok) {
    return !a->names_tokens && llama_vocab_is_control(a->m->vocab, tok) &&
           !llama_vocab_is_eog(a->m->vocab, tok);
}

static rung_status find_probes(shared *a, rung_error *err) {
    int32_t best[256], n_best[256];
    rung_buf piece;
    rung_buf_init(&piece, 1 << 20);
    for (int i = 0; i < 256; i++) best[i] = -1, n_best[i] = INT32_MAX;
    for (int32_t t = 0; t < a->m->info.n_vocab; t++) {
        rung_buf_reset(&piece);
        rung_model_piece(&piece, a->m, t, false);
        if (piece.n == 0 || llama_vocab_is_eog(a->m->vocab, t) || is_silent(a, t)) continue;
        int b = (unsigned char)piece.data[0];
        if ((int32_t)piece.n < n_best[b]) best[b] = t, n_best[b] = (int32_t)piece.n;
    }
    rung_status st = rung_buf_check(&piece, err);
    rung_buf_clear(&piece);
    a->probe = rung_alloc(256 * sizeof *a->probe);
    if (!a->probe) return rung_fail(err, RUNG_E_NOMEM, "no memory for a grammar");
    for (int i = 0; i < 256; i++) {
        if (best[i] >= 0) a->probe[a->n_probes++] = best[i];
    }
    return st;
}

static void unref(shared *a) {
    if (!a || --a->n_refs > 0) return;
    for (int32_t i = 0; i < N_MASKS; i++) rung_free(a->kept[i].bit);
    pthread_mutex_destroy(&a->lock);
    rung_free(a->probe);
    rung_free(a);
}

void rung_grammar_free(grammar *g) {
    if (!g) return;
    if (g->s) llama_sampler_free(g->s);
    unref(g->all);
    rung_free(g);
}

rung_status rung_grammar_new(grammar **out, const rung_model *m, const char *text,
                             rung_error *err) {
    bool names_tokens;
    *out = NULL;
    RUNG_TRY(rung_gbnf_check(&names_tokens, text, err));
    grammar *g = rung_calloc(1, sizeof *g);
    shared *a = rung_calloc(1, sizeof *a);
    if (!g || !a) {
        rung_free(g);
        rung_free(a);
        return rung_fail(err, RUNG_E_NOMEM, "no memory for a grammar");
    }
    *a = (shared){.m = m, .n_refs = 1, .names_tokens = names_tokens};
    pthread_mutex_init(&a->lock, NULL);
    g->all = a;
    rung_status st = find_probes(a, err);
    if (st == RUNG_OK) {
        rung_llama_clear_error();
        g->s = llama_sampler_init_grammar(m->vocab, text, "root");
        if (!g->s) {
            rung_fail(err, RUNG_E_FORMAT, "libllama refuses the grammar");
            rung_error_detail(err, "%s", rung_llama_error());
            st = rung_error_hint(err, "fewer repetitions, or <token>s that the vocabulary has");
        }
    }
    if (st != RUNG_OK) {
        rung_grammar_free(g);
        return st;
    }
    *out = g;
    return RUNG_OK;
}

rung_status rung_grammar_copy(grammar **to, const grammar *from, rung_error *err) {
    struct llama_sampler *s = llama_sampler_clone(from->s);
    if (!*to) *to = rung_calloc(1, sizeof **to);
    if (!*to || !s) {
        if (s) llama_sampler_free(s);
        return rung_fail(err, RUNG_E_NOMEM, "no memory for a grammar");
    }
    grammar *g = *to;
    if (g->s) llama_sampler_free(g->s);
    from->all->n_refs++;
    unref(g->all);
    *g = (grammar){.all = from->all, .s = s, .path = {from->path[0], from->path[1]}};
    return RUNG_OK;
}

void rung_grammar_apply(const grammar *g, llama_token_data *cand, size_t n) {
    llama_token_data_array a = {.data = cand, .size = n, .selected = -1};
    for (size_t i = 0; i < n; i++) {
        if (is_silent(g->all, cand[i].id)) cand[i].logit = -INFINITY;
    }
    llama_sampler_apply(g->s, &a);
}

static void compute_mask(bool *ok, const grammar *g) {
    enum { CHUNK = 1024 };
    llama_token_data cand[CHUNK];
    int32_t n = g->all->m->info.n_vocab;
    for (int32_t from = 0; from < n; from += CHUNK) {
        int32_t m = n - from < CHUNK ? n - from : CHUNK;
        for (int32_t i = 0; i < m; i++) cand[i] = (llama_token_data){.id = from + i};
        rung_grammar_apply(g, cand, (size_t)m);
        for (int32_t i = 0; i < m; i++) ok[from + i] = cand[i].logit == 0.0f;
    }
}

void rung_grammar_mask(bool *ok, const grammar *g) {
    shared *a = g->all;
    int32_t n = a->m->info.n_vocab;
    size_t n_bytes = ((size_t)n + 7) / 8;
    bool found = false;
    pthread_mutex_lock(&a->lock);
    for (int32_t k = 0; k < N_MASKS && !found; k++) {
        const mask *x = &a->kept[k];
        found = x->bit && x->key[0] == g->path[0] && x->key[1] == g->path[1];
        for (int32_t i = 0; found && i < n; i++) ok[i] = x->bit[i / 8] >> (i % 8) & 1;
    }
    pthread_mutex_unlock(&a->lock);
    if (found) return;
    compute_mask(ok, g);
    unsigned char *bit = rung_calloc(n_bytes, 1);
    if (!bit) return; /* not kept: only slower */
    for (int32_t i = 0; i < n; i++) bit[i / 8] |= (unsigned char)(ok[i] << (i % 8));
    pthread_mutex_lock(&a->lock);
    mask *x = &a->kept[a->next];
    a->next = (a->next + 1) % N_MASKS;
    rung_free(x->bit);
    *x = (mask){.key = {g->path[0], g->path[1]}, .bit = bit};
    pthread_mutex_unlock(&a->lock);
}

/* Can any text follow? A token that can is found among the shortest of each first byte but in
 * vocabularies without single characters; then all are asked. */
static rung_status has_ended(bool *ended, const grammar *g, rung_error *err) {
    const shared *a = g->all;
    llama_token_data cand[256];
    *ended = false;
    for (int32_t i = 0; i < a->n_probes; i++) cand[i] = (llama_token_data){.id = a->probe[i]};
    rung_grammar_apply(g, cand, (size_t)a->n_probes);
    for (int32_t i = 0; i < a->n_probes; i++) {
        if (cand[i].logit == 0.0f) return RUNG_OK;
    }
    int32_t n = a->m->info.n_vocab;
    bool *ok = rung_alloc((size_t)n);
    if (!ok) return rung_fail(err, RUNG_E_NOMEM, "no memory for a grammar");
    rung_grammar_mask(ok, g);
    *ended = true;
    for (int32_t i = 0; i < n && *ended; i++) *ended = !ok[i] || llama_vocab_is_eog(a->m->vocab, i);
    rung_free(ok);
    return RUNG_OK;
}

rung_status rung_grammar_accept(grammar *g, int32_t tok, bool *ended, rung_error *err) {
    llama_sampler_accept(g->s, tok);
    uint64_t step[3] = {g->path[0], g->path[1], (uint64_t)tok + 1};
    g->path[0] = rung_hash64(step, sizeof step, 1);
    g->path[1] = rung_hash64(step, sizeof step, 2);
    return has_ended(ended, g, err);
}
