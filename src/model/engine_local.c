/* The local backend: opening, the queue. Scheduling is in engine_run.c. */
#include "model/engine_local.h"

#include <string.h>

#define STOP_MAX_BYTES 256 /* a stop string longer than this is a mistake */

void rung_job_free(job *j) {
    if (!j) return;
    rung_free(j->tok);
    rung_free(j->skip);
    for (int i = 0; i < 4; i++) rung_free(j->stop[i]);
    rung_plan_free(j->plan);
    rung_free(j->logits);
    rung_free(j->at);
    rung_free(j);
}

static rung_status no_memory(rung_error *err) {
    return rung_fail(err, RUNG_E_NOMEM, "no memory to queue a request");
}

static void *dup_bytes(const void *p, size_t n) {
    void *q = rung_alloc(n);
    if (q && n) memcpy(q, p, n);
    return q;
}

void rung_queue_push(queue *q, job *j) {
    j->next = NULL;
    *q->tail = j;
    q->tail = &j->next;
}

job *rung_queue_pop(queue *q) {
    job *j = q->head;
    if (!j) return NULL;
    q->head = j->next;
    if (!q->head) q->tail = &q->head;
    return j;
}

static rung_status fill_gen(job *j, const rung_gen *g, rung_error *err) {
    j->gen = *g;
    j->gen.prompt = (rung_prompt){0};
    j->gen.turn = NULL;
    j->gen.prompt_tok = NULL;
    j->ud = g->ud;
    if (g->skip) {
        j->skip = dup_bytes(g->skip, (size_t)g->n * sizeof *g->skip);
        if (!j->skip) return no_memory(err);
    }
    for (int i = 0; i < 4 && g->stop[i]; i++) {
        size_t n = strlen(g->stop[i]);
        if (n < 1 || n > STOP_MAX_BYTES) {
            return rung_fail(err, RUNG_E_INVAL, "stop string %d has %zu bytes: not in 1..%d", i, n,
                             STOP_MAX_BYTES);
        }
        j->stop[i] = rung_strdup(g->stop[i]);
        if (!j->stop[i]) return no_memory(err);
        if (n > j->stop_max) j->stop_max = n;
    }
    return RUNG_OK;
}

static void asked(local *e, const int32_t *tok, int32_t n) {
    rung_union_add(&e->asked, tok, n);
    e->base.stats.n_prompt_distinct = e->asked.lost ? -1 : (int64_t)e->asked.n;
}

/* The context that rollouts or readings need, at the first of them; our log hears of it. */
static rung_status open_context(local *e, bool reading, rung_error *err) {
    rung_engine *b = &e->base;
    rung_llama_log(b->log);
    rung_status st =
        reading ? rung_reader_open(e, err) : rung_kv_open(&e->kv, b->model, &e->o, &b->stats, err);
    if (!b->running) rung_llama_log(NULL);
    return st;
}

/* The prompt's tokens: given, or those of the conversation. */
static rung_status prompt_of(job *j, const rung_model *m, const rung_gen *g, rung_error *err) {
    if (!g->prompt_tok)
        return rung_chat_tokens(&j->tok, &j->n_tok, NULL, m, g->turn, g->n_turns, &g->prompt, err);
    for (int32_t i = 0; i < g->n_prompt_tok; i++) {
        if (g->prompt_tok[i] < 0 || g->prompt_tok[i] >= m->info.n_vocab)
            return rung_fail(err, RUNG_E_INVAL, "token %d at %d is not in the vocabulary",
                             g->prompt_tok[i], i);
    }
    j->tok = dup_bytes(g->prompt_tok, (size_t)g->n_prompt_tok * sizeof *j->tok);
    j->n_tok = g->n_prompt_tok;
    return j->tok ? RUNG_OK : no_memory(err);
}

static rung_status local_gen(rung_engine *base, const rung_gen *g, rung_error *err) {
    local *e = (local *)base;
    bool any = false;
    for (int32_t i = 0; i < g->n && !any; i++) any = !g->skip || !g->skip[i];
    if (!any) return RUNG_OK;
    RUNG_TRY(open_context(e, false, err));
    job *j = rung_calloc(1, sizeof *j);
    if (!j) return no_memory(err);
    rung_status st = fill_gen(j, g, err);
    if (st == RUNG_OK) st = rung_plan_new(&j->plan, base->model, &g->sampling, err);
    if (st == RUNG_OK) {
        st = prompt_of(j, base->model, g, err);
    }
    if (st != RUNG_OK) {
        rung_job_free(j);
        return st;
    }
    j->stream = -1;
    rung_job_skip_done(j);
    rung_queue_push(&e->gens, j);
    if (j->n_tok <= e->kv.n_cells) asked(e, j->tok, j->n_tok);
    e->base.stats.n_requests++;
    return RUNG_OK;
}

static rung_status check_eval(const local *e, const rung_eval *v, rung_error *err) {
    if (v->n_tok > e->kv.n_cells) {
        rung_fail(err, RUNG_E_LIMIT, "%d tokens do not fit a context of %d", v->n_tok,
                  e->kv.n_cells);
        return rung_error_hint(err, "open the engine with fewer sequences or a larger context");
    }
    for (int32_t i = 0; i < v->n_tok; i++) {
        if (v->tok[i] < 0 || v->tok[i] >= e->base.model->info.n_vocab) {
            return rung_fail(err, RUNG_E_INVAL, "token %d at %d is not in the vocabulary",
                             v->tok[i], i);
        }
    }
    return RUNG_OK;
}

static rung_status local_eval(rung_engine *base, const rung_eval *v, rung_error *err) {
    local *e = (local *)base;
    RUNG_TRY(check_eval(e, v, err));
    RUNG_TRY(open_context(e, true, err));
    job *j = rung_calloc(1, sizeof *j);
    if (!j) return no_memory(err);
    j->ud = v->ud;
    j->eval = *v;
    j->n_tok = v->n_tok;
    j->tok = dup_bytes(v->tok, (size_t)v->n_tok * sizeof *v->tok);
    j->at = dup_bytes(v->at, (size_t)v->n_at * sizeof *v->at);
    if (!j->tok || !j->at) {
        rung_job_free(j);
        return no_memory(err);
    }
    rung_eval_span(&j->begin, &j->end, v);
    if (!rung_reader_busy(e)) e->n_waited = 0;
    rung_queue_push(&e->evals, j);
    asked(e, j->tok, j->end);
    e->n_eval_tok += j->end - j->begin;
    e->base.stats.n_requests++;
    return RUNG_OK;
}

static void local_clear(rung_engine *base) {
    local *e = (local *)base;
    job *j;
    if (e->live) rung_live_drop_all(e);
    while ((j = rung_queue_pop(&e->gens))) rung_job_free(j);
    while ((j = rung_queue_pop(&e->evals))) rung_job_free(j);
    e->n_eval_tok = 0;
    rung_reader_forget(e);
    rung_kv_forget(&e->kv);
}

static void local_close(rung_engine *base) {
    local *e = (local *)base;
    local_clear(base);
    for (int32_t s = 0; e->live && s < e->kv.n_seq; s++) {
        rung_free(e->live[s].tok);
        rung_free(e->live[s].logprob);
        rung_free(e->live[s].logprob_draw);
        rung_free(e->live[s].top_tok);
        rung_free(e->live[s].top_logprob);
        rung_free(e->live[s].spread);
        rung_seq_clear(&e->live[s].seq);
        rung_buf_clear(&e->live[s].text);
    }
    rung_free(e->live);
    rung_free(e->draw);
    rung_free(e->scratch);
    rung_reader_close(e);
    rung_union_clear(&e->asked);
    rung_kv_close(&e->kv);
    rung_free(e);
}

static const engine_ops local_ops = {local_gen,   local_eval, rung_local_run,   local_clear,
                                     local_close, NULL,       rung_local_cancel};

/* libllama can drop the end of a sequence only where the cache keeps every position. */
static rung_status check_model(const rung_model *m, rung_error *err) {
    if (!m || m->vocab_only) {
        return rung_fail(err, RUNG_E_MISUSE, "the model was loaded without its weights");
    }
    if (llama_model_is_recurrent(m->llama) || llama_model_is_hybrid(m->llama) ||
        llama_model_is_diffusion(m->llama) || llama_model_has_encoder(m->llama)) {
        rung_fail(err, RUNG_E_MODEL,
                  "architecture %s keeps no state per token: prefixes cannot be shared",
                  m->info.arch);
        return rung_error_hint(err, "serve it (llama-server, vLLM) and use the endpoint");
    }
    return RUNG_OK;
}

rung_status rung_engine_open(rung_engine **out, rung_model *m, const rung_engine_opts *opts,
                             const rung_log *log, rung_error *err) {
    rung_engine_opts o;
    *out = NULL;
    RUNG_TRY(rung_engine_opts_read(&o, opts, err));
    RUNG_TRY(check_model(m, err));
    local *e = rung_calloc(1, sizeof *e);
    if (!e) return rung_fail(err, RUNG_E_NOMEM, "no memory for an engine");
    e->base.ops = &local_ops;
    e->base.model = m;
    e->o = o;
    e->gens.tail = &e->gens.head;
    e->evals.tail = &e->evals.head;
    rung_engine_set_log(&e->base, log);
    int64_t left = rung_memory_left(o.memory); /* sizes are chosen for what is left now */
    if (left < INT64_MAX && (o.max_bytes <= 0 || left < o.max_bytes)) o.max_bytes = left;
    rung_kv_choose(&e->kv, m, &o);
    e->live = rung_calloc((size_t)e->kv.n_seq, sizeof *e->live);
    e->draw = rung_calloc((size_t)e->kv.n_seq, sizeof *e->draw);
    int32_t threads = rung_decoder_threads(m, &o);
    e->n_sampler = threads < e->kv.n_seq ? threads : e->kv.n_seq;
    e->scratch = rung_alloc((size_t)e->n_sampler * rung_sample_scratch(m->info.n_vocab));
    if (!e->live || !e->draw || !e->scratch) {
        local_close(&e->base);
        return rung_fail(err, RUNG_E_NOMEM, "no memory for an engine");
    }
    for (int32_t s = 0; s < e->kv.n_seq; s++) rung_buf_init(&e->live[s].text, (size_t)1 << 26);
    *out = &e->base;
    return RUNG_OK;
}
