/* The policy writes traces. Work is keyed (run, problem, i) and draws are addressed by (seed,
 * problem, i, token), so a run that was killed is filled up with what an unkilled one would hold.
 */
#include "rung/trace.h"
#include "trace/flow.h"

#include <string.h>

/* A problem whose samples are queued or running. */
typedef struct slot {
    rung_arena *arena;
    rung_problem problem;
    bool *skip;
    int32_t n_left;
    bool used;
} slot;

/* A finished trace that waits for the next transaction. */
typedef struct pending {
    rung_trace trace;
    rung_step *step;
    int64_t n_tok; /* what it cost; a remote's tokens are counted but not known */
} pending;

typedef struct sampler {
    rung_store *store;
    rung_engine *engine;
    int64_t run;
    const rung_sample_opts *o;
    const rung_log *log;
    const char *generator;
    char name[96];
    rung_ids problems, have; /* have: problem, i, problem, i, ... in the store's order */
    size_t next, next_have;
    slot *slot;
    int32_t n_out;
    rung_arena *arena;
    pending row[RUNG_FLUSH_ROWS];
    int32_t n_rows;
    double row_t, spent_t;
    int64_t n_done, n_total, n_tok, n_failed;
    rung_buf user;
} sampler;

static rung_status flush(sampler *w, rung_error *err) {
    if (w->n_rows == 0) return RUNG_OK;
    RUNG_TRY(rung_store_begin(w->store, err));
    rung_status st = RUNG_OK;
    int64_t n_tok = 0;
    for (int32_t i = 0; i < w->n_rows && st == RUNG_OK; i++) {
        bool is_new = false;
        st = rung_trace_put(w->store, &w->row[i].trace, w->row[i].step, &is_new, err);
        if (is_new) n_tok += w->row[i].n_tok;
    }
    /* The cost goes with the rows it paid for: a kill loses both or neither. */
    double now = rung_now();
    if (st == RUNG_OK) st = rung_run_spend(w->store, w->run, n_tok, now - w->spent_t, err);
    if (st != RUNG_OK) {
        rung_store_rollback(w->store);
        return st;
    }
    RUNG_TRY(rung_store_commit(w->store, err));
    w->spent_t = now;
    w->n_rows = 0;
    rung_arena_reset(w->arena);
    return RUNG_OK;
}

static rung_status align_tokens(sampler *w, rung_step *step, int32_t *n_steps,
                                const rung_gen_out *o, const rung_problem *p, rung_error *err) {
    const rung_model *m = rung_engine_model(w->engine);
    int32_t n_joined = 0;
    if (!m || !o->tok || *n_steps == 0) return RUNG_OK; /* no bytes: at most control tokens */
    rung_status st = rung_split_align(step, n_steps, &n_joined, m, o->tok, o->n_tok, err);
    if (n_joined)
        rung_event(w->log, RUNG_DEBUG, "trace.steps_joined", RUNG_I("problem", p->id),
                   RUNG_I("i", o->i), RUNG_I("steps", n_joined));
    if (st != RUNG_OK && err) {
        err->problem_id = p->id;
        err->rollout = o->i;
    }
    return st;
}

static rung_status copy_sample(sampler *w, pending *row, const slot *s, const rung_gen_out *o,
                               rung_error *err) {
    rung_trace *t = &row->trace;
    *t = (rung_trace){.run = w->run,
                      .problem = s->problem.id,
                      .i = o->i,
                      .generator = w->generator,
                      .n_bytes = o->n_bytes,
                      .stop = o->stop,
                      .first_error = RUNG_FIRST_ERROR_UNKNOWN,
                      .first_error_source = ""};
    const char *how = w->o->split_how;
    if (!how) how = s->problem.world && s->problem.world[0] ? "line" : "blank";
    rung_step *step;
    int32_t n_steps;
    RUNG_TRY(rung_split_steps(&step, &n_steps, how, o->text, (size_t)o->n_bytes, err));
    rung_status st = align_tokens(w, step, &n_steps, o, &s->problem, err);
    if (st == RUNG_OK) {
        size_t n_tok = o->tok ? (size_t)o->n_tok : 0;
        char *text = rung_arena_strndup(w->arena, o->text, (size_t)o->n_bytes);
        char *stop = rung_arena_strndup(w->arena, o->stop, strlen(o->stop));
        int32_t *tok = rung_arena_alloc(w->arena, n_tok * sizeof *tok + 1);
        float *logprob = rung_arena_alloc(w->arena, n_tok * sizeof *logprob + 1);
        float *drawn = rung_arena_alloc(w->arena, n_tok * sizeof *drawn + 1);
        row->step = rung_arena_alloc(w->arena, (size_t)n_steps * sizeof *step + 1);
        if (!text || !stop || !tok || !logprob || !drawn || !row->step) {
            st = rung_fail(err, RUNG_E_NOMEM, "no memory for a trace of %d bytes", o->n_bytes);
        } else {
            if (n_tok) memcpy(tok, o->tok, n_tok * sizeof *tok);
            if (n_tok && o->logprob) memcpy(logprob, o->logprob, n_tok * sizeof *logprob);
            if (n_tok && o->logprob_draw) memcpy(drawn, o->logprob_draw, n_tok * sizeof *drawn);
            if (n_steps) memcpy(row->step, step, (size_t)n_steps * sizeof *step);
            t->text = text;
            t->stop = stop;
            t->tok = tok;
            t->logprob = o->logprob ? logprob : NULL;
            t->logprob_draw = o->logprob_draw ? drawn : NULL;
            t->n_tok = (int32_t)n_tok;
            t->step = row->step;
            t->n_steps = n_steps;
        }
    }
    rung_free(step);
    return st;
}

/* Which samples of problem `id` are in the store: advances over w->have, which is in id order. */
static int32_t mark_have(sampler *w, bool *skip, int64_t id) {
    int32_t n = 0;
    while (w->next_have < w->have.n && w->have.id[w->next_have] < id) w->next_have += 2;
    for (; w->next_have < w->have.n && w->have.id[w->next_have] == id; w->next_have += 2) {
        int64_t i = w->have.id[w->next_have + 1];
        if (i >= 0 && i < w->o->n && !skip[i]) skip[i] = true, n++;
    }
    return n;
}

static rung_status submit(sampler *w, slot *s, int64_t id, rung_error *err) {
    if (!s->arena && !(s->arena = rung_arena_new(0)))
        return rung_fail(err, RUNG_E_NOMEM, "no memory for a problem");
    rung_arena_reset(s->arena);
    s->skip = rung_arena_alloc(s->arena, (size_t)w->o->n);
    if (!s->skip) return rung_fail(err, RUNG_E_NOMEM, "no memory for %d samples", w->o->n);
    s->n_left = w->o->n - mark_have(w, s->skip, id);
    if (s->n_left == 0) return RUNG_OK;
    RUNG_TRY(rung_problem_get(w->store, &s->problem, s->arena, id, err));
    RUNG_TRY(rung_trace_prompt(&w->user, &s->problem, w->o->suffix, err));
    rung_gen g = {.prompt = {w->o->system, w->user.data, NULL},
                  .sampling = w->o->sampling,
                  .n = w->o->n,
                  .skip = s->skip,
                  .max_tok = w->o->max_tok,
                  .stop = {w->o->stop},
                  .seed = w->o->seed,
                  .stream = RUNG_STREAM_TRACE,
                  .key = rung_problem_address(&s->problem),
                  .ud = s};
    RUNG_TRY(rung_engine_gen(w->engine, &g, err));
    s->used = true;
    w->n_out += s->n_left;
    return RUNG_OK;
}

/* Keep a bounded number of samples queued. */
static rung_status fill(sampler *w, rung_error *err) {
    for (int32_t k = 0; k < RUNG_QUEUE_AHEAD && w->next < w->problems.n; k++) {
        slot *s = &w->slot[k];
        while (!s->used && w->next < w->problems.n) {
            if (w->n_out > 0 && w->n_out + w->o->n > RUNG_QUEUE_AHEAD) return RUNG_OK;
            RUNG_TRY(submit(w, s, w->problems.id[w->next++], err));
        }
    }
    return RUNG_OK;
}

static rung_status on_gen(void *ud, const rung_gen_out *o, rung_error *err) {
    sampler *w = ud;
    slot *s = o->ud;
    w->n_out--;
    if (!rung_gen_is_whole(o)) {
        w->n_failed++;
    } else {
        pending *row = &w->row[w->n_rows];
        RUNG_TRY(copy_sample(w, row, s, o, err));
        RUNG_TRY(rung_trace_judge(&row->trace, w->arena, &s->problem, err));
        if (w->n_rows++ == 0) w->row_t = rung_now();
        row->n_tok = o->n_tok;
        w->n_done++;
        w->n_tok += o->n_tok;
        if (w->n_rows == RUNG_FLUSH_ROWS || rung_now() - w->row_t > RUNG_FLUSH_S)
            RUNG_TRY(flush(w, err));
    }
    if (--s->n_left == 0) {
        s->used = false;
        RUNG_TRY(fill(w, err));
    }
    return rung_progress(w->log, "traces", w->n_done, w->n_total, w->n_tok, err);
}

static rung_status read_have(sampler *w, rung_error *err) {
    rung_iter *it;
    RUNG_TRY(rung_trace_iter(&it, w->store, &(rung_filter){.run = w->run}, err));
    const rung_trace *t;
    rung_status st;
    while ((st = rung_trace_next(&t, it, err)) == RUNG_OK) {
        if ((st = rung_ids_push(&w->have, t->problem, err)) != RUNG_OK ||
            (st = rung_ids_push(&w->have, t->i, err)) != RUNG_OK)
            break;
    }
    rung_iter_free(it);
    return st == RUNG_DONE ? RUNG_OK : st;
}

static rung_status prepare(sampler *w, rung_error *err) {
    RUNG_TRY(rung_problem_ids(&w->problems, w->store, &w->o->problems, err));
    if (w->problems.n == 0) {
        rung_fail(err, RUNG_E_NOT_FOUND, "no problems match");
        return rung_error_hint(err, "import or generate some first, or check --set and --split");
    }
    RUNG_TRY(read_have(w, err));
    w->slot = rung_calloc(RUNG_QUEUE_AHEAD, sizeof *w->slot);
    w->arena = rung_arena_new(0);
    if (!w->slot || !w->arena) return rung_fail(err, RUNG_E_NOMEM, "no memory to sample");
    w->n_total = (int64_t)w->problems.n * w->o->n;
    bool *skip = rung_calloc((size_t)w->o->n, 1);
    if (!skip) return rung_fail(err, RUNG_E_NOMEM, "no memory for %d samples", w->o->n);
    for (size_t i = 0; i < w->problems.n; i++) {
        memset(skip, 0, (size_t)w->o->n);
        w->n_done += mark_have(w, skip, w->problems.id[i]);
    }
    w->next_have = 0;
    rung_free(skip);
    w->spent_t = rung_now();
    return RUNG_OK;
}

static rung_status drive(sampler *w, rung_error *err) {
    RUNG_TRY(prepare(w, err));
    rung_event(w->log, RUNG_INFO, "trace.sample", RUNG_I("problems", w->problems.n),
               RUNG_I("n", w->o->n), RUNG_I("done", w->n_done), RUNG_I("total", w->n_total));
    rung_engine_cb cb = {.on_gen = on_gen, .ud = w};
    rung_status st = fill(w, err);
    st = rung_engine_drain(w->engine, &cb, st, w->n_out, err);
    rung_status kept = flush(w, st == RUNG_OK ? err : NULL); /* the first failure is told */
    if (st == RUNG_OK) st = kept;
    if (st == RUNG_OK) st = rung_failed_samples(w->engine, w->n_failed, "samples", err);
    return st;
}

rung_status rung_trace_sample(rung_store *s, rung_engine *e, int64_t run_id,
                              const rung_sample_opts *o, const rung_log *log, rung_error *err) {
    if (o->struct_size != sizeof *o)
        return rung_fail(err, RUNG_E_INVAL, "rung_sample_opts of another size");
    if (o->n < 1 || o->max_tok < 1)
        return rung_fail(err, RUNG_E_INVAL, "n = %d and max_tok = %d: both must be at least 1",
                         o->n, o->max_tok);
    sampler *w = rung_calloc(1, sizeof *w);
    if (!w) return rung_fail(err, RUNG_E_NOMEM, "no memory to sample");
    w->store = s;
    w->engine = e;
    w->run = run_id;
    w->o = o;
    w->log = log;
    w->generator = rung_engine_name(w->name, e, o->generator);
    rung_buf_init(&w->user, 16u << 20);
    rung_status st = drive(w, err);
    for (int32_t k = 0; w->slot && k < RUNG_QUEUE_AHEAD; k++) rung_arena_free(w->slot[k].arena);
    rung_free(w->slot);
    rung_arena_free(w->arena);
    rung_ids_clear(&w->problems);
    rung_ids_clear(&w->have);
    rung_buf_clear(&w->user);
    rung_free(w);
    return st;
}
