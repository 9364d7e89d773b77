/* The local backend reads: hidden states and logits at chosen positions, logprobs of given tokens.
 *
 * Reading has a context of its own: one pool of cells that all sequences share. What has been read
 * stays as a tree of prefixes: a branch is a path from the root (a libllama sequence), a cell is
 * counted by the branches that hold it, and a new text takes the longest path that any branch holds
 * or is about to hold. Texts are read side by side, as many tokens a call as fit, so that calls are
 * full whatever the lengths. When cells run out the least recently used branch is dropped; it is
 * read again should anybody ask. Positions that are asked for are computed anew even where the pool
 * holds them (it holds keys and values, not outputs); those before the first are taken from it. */
#include "model/engine_local.h"

#include <math.h>
#include <string.h>

enum { READ_BRANCHES = 64, READ_CELLS = 2048, READ_BATCH = 512 };
/* Exact mode: the order in which a row's cells are visited must be that of its text, so cells are
 * handed out in order and none is used again before all are given back. A call that needs more rows
 * gets tokens of a sequence of its own. That happens when all texts in work end in it: fewer times
 * than there are branches. */
enum { SPARE_SEQ = READ_BRANCHES, SPARE_CELLS = READ_BRANCHES * RUNG_EXACT_PAD };

typedef struct reading {
    float *hidden, *logits, *logprob, *top_logprob;
    int32_t *top_tok;
    int32_t i_at; /* next asked position */
} reading;

typedef struct branch {
    int32_t *tok, *cell; /* [n] tokens, and the cells they lie in */
    int32_t n, n_done;   /* to be held; computed */
    int64_t used;        /* clock of the last use */
    job *j;              /* NULL: only resident */
    int32_t src, share;  /* begins when branch src has computed `share` tokens; -1: has begun */
    reading r;
} branch;

struct reader {
    decoder d;
    branch b[READ_BRANCHES];
    int32_t order[READ_BRANCHES], n_active; /* branches with a job, by admission */
    int32_t *refs, *free, n_free, n_pool;   /* of cells: holders; those of none */
    int32_t *owner;                         /* [n_batch] branch of a token of the call */
    int64_t clock;
    bool exact;
    int32_t n_spare; /* tokens of SPARE_SEQ */
};

static void reading_clear(reading *r) {
    rung_free(r->hidden);
    rung_free(r->logits);
    rung_free(r->logprob);
    rung_free(r->top_logprob);
    rung_free(r->top_tok);
    *r = (reading){0};
}

static rung_status reading_init(reading *r, const reader *rd, const job *j, rung_error *err) {
    const rung_eval *v = &j->eval;
    size_t n = (size_t)v->n_at, n_vocab = (size_t)rd->d.model->info.n_vocab;
    *r = (reading){0};
    if (v->hidden) r->hidden = rung_calloc(n * (size_t)rd->d.n_embd, sizeof(float));
    if (v->logits) r->logits = rung_calloc(n * n_vocab, sizeof(float));
    if (v->logprobs) r->logprob = rung_calloc((size_t)v->n_tok, sizeof(float));
    size_t n_top = (size_t)v->n_tok * (size_t)v->n_top;
    if (n_top) r->top_tok = rung_calloc(n_top, sizeof(int32_t));
    if (n_top) r->top_logprob = rung_calloc(n_top, sizeof(float));
    if ((v->hidden && !r->hidden) || (v->logits && !r->logits) || (v->logprobs && !r->logprob) ||
        (n_top && (!r->top_tok || !r->top_logprob))) {
        reading_clear(r);
        return rung_fail(err, RUNG_E_NOMEM, "no memory to read %d positions", v->n_at);
    }
    return RUNG_OK;
}

void rung_eval_span(int32_t *begin, int32_t *end, const rung_eval *v) {
    bool at = v->n_at > 0 && (v->hidden || v->logits);
    *begin = at ? v->at[0] : v->from;
    *end = at ? v->at[v->n_at - 1] + 1 : 0;
    if (v->logprobs && v->from < *begin) *begin = v->from;
    if (v->logprobs && v->n_tok - 1 > *end) *end = v->n_tok - 1;
}

/* The pool ------------------------------------------------------------------------------------- */

static void free_all_cells(reader *rd) {
    memset(rd->refs, 0, (size_t)rd->n_pool * sizeof *rd->refs);
    rd->n_free = rd->n_pool;
    for (int32_t i = 0; i < rd->n_pool; i++) rd->free[i] = rd->n_pool - 1 - i;
}

/* The branch holds nothing any more. */
static void drop(reader *rd, int32_t k) {
    branch *b = &rd->b[k];
    for (int32_t p = 0; p < b->n; p++) {
        int32_t c = b->cell[p];
        if (--rd->refs[c] == 0) rd->free[rd->n_free++] = c;
    }
    if (b->n > 0) llama_memory_seq_rm(rd->d.mem, k, -1, -1);
    b->n = b->n_done = 0;
    b->used = 0;
}

static void drop_all(reader *rd) {
    llama_memory_clear(rd->d.mem, false);
    for (int32_t k = 0; k < READ_BRANCHES; k++) {
        branch *b = &rd->b[k];
        b->n = b->n_done = 0;
        b->used = 0;
    }
    rd->n_spare = 0;
    free_all_cells(rd);
}

/* The idle branch that was used longest ago, but for `keep`; `held`: one that holds cells. -1. */
static int32_t oldest(const reader *rd, int32_t keep, bool held) {
    int32_t best = -1;
    for (int32_t k = 0; k < READ_BRANCHES; k++) {
        const branch *b = &rd->b[k];
        if (b->j || k == keep || (held && b->n == 0)) continue;
        if (best < 0 || b->used < rd->b[best].used) best = k;
    }
    return best;
}

static void evict(reader *rd, int32_t k) {
    if (rd->b[k].n > 0) rd->d.stats->n_evicted++;
    drop(rd, k);
}

/* In exact mode nothing is dropped but all at once. */
static int32_t room_in_order(const reader *rd, int32_t n_new) {
    int32_t k = oldest(rd, -1, false);
    bool empty = k >= 0 && rd->b[k].n == 0;
    return empty && rd->n_free >= n_new + SPARE_CELLS ? k : -1;
}

/* A branch that is free and n free cells, or -1 while texts in work hold them. *src may be lost. */
static int32_t make_room(reader *rd, int32_t n_tok, int32_t *src, int32_t *share) {
    int32_t k;
    if (rd->exact) {
        k = room_in_order(rd, n_tok - *share);
        if (k >= 0) return k;
        if (rd->n_active == 0) rd->d.stats->n_evicted++;
    } else {
        k = oldest(rd, *src, false);
        if (k >= 0) evict(rd, k);
    }
    while (!rd->exact && k >= 0 && rd->n_free < n_tok - *share) {
        int32_t victim = oldest(rd, *src, true);
        if (victim < 0) break;
        evict(rd, victim);
    }
    if (k >= 0 && rd->n_free >= n_tok - *share) return k;
    if (rd->n_active > 0) return -1;
    drop_all(rd); /* nothing is in work: the pool holds any text that was let in */
    *src = -1;
    *share = 0;
    return 0;
}

static int32_t common(const branch *b, const int32_t *tok, int32_t limit) {
    int32_t n = b->n < limit ? b->n : limit, i = 0;
    while (i < n && b->tok[i] == tok[i]) i++;
    return i;
}

/* Texts in work ---------------------------------------------------------------------------------*/

/* Branch k becomes the path of j: `share` cells of src, the rest of its own. */
static rung_status occupy(reader *rd, int32_t k, job *j, int32_t src, int32_t share,
                          rung_error *err) {
    branch *b = &rd->b[k];
    size_t bytes = (size_t)j->end * sizeof(int32_t);
    int32_t *tok = rung_realloc(b->tok, bytes), *cell = rung_realloc(b->cell, bytes);
    if (tok) b->tok = tok;
    if (cell) b->cell = cell;
    if (!tok || !cell) return rung_fail(err, RUNG_E_NOMEM, "no memory to read %d tokens", j->end);
    memcpy(b->tok, j->tok, bytes);
    for (int32_t p = 0; p < j->end; p++) {
        b->cell[p] = p < share ? rd->b[src].cell[p] : rd->free[--rd->n_free];
        rd->refs[b->cell[p]]++;
    }
    b->n = j->end;
    b->n_done = share;
    b->src = share > 0 ? src : -1;
    b->share = share;
    b->j = j;
    b->used = ++rd->clock;
    if (share > 0) rd->b[src].used = rd->clock;
    rd->order[rd->n_active++] = k;
    return RUNG_OK;
}

/* Those begin whose shared part is computed. */
static void begin_ready(reader *rd) {
    for (int32_t i = 0; i < rd->n_active; i++) {
        int32_t k = rd->order[i];
        branch *b = &rd->b[k];
        if (b->src < 0 || rd->b[b->src].n_done < b->share || rd->b[b->src].src >= 0) continue;
        llama_memory_seq_cp(rd->d.mem, b->src, k, 0, b->share);
        b->src = -1;
    }
}

static rung_status deliver(local *e, job *j, reading *r, int32_t n_new, rung_error *err) {
    rung_eval_out o = {.ud = j->ud,
                       .n_at = j->eval.n_at,
                       .hidden = r->hidden,
                       .logits = r->logits,
                       .logprob = r->logprob,
                       .n_new = n_new,
                       .top_tok = r->top_tok,
                       .top_logprob = r->top_logprob};
    rung_status st = e->cb->on_eval ? e->cb->on_eval(e->cb->ud, &o, err) : RUNG_OK;
    reading_clear(r);
    rung_job_free(j);
    return st;
}

/* Take the first queued text in; *taken is false when it must wait for cells. */
static rung_status admit(bool *taken, local *e, rung_error *err) {
    reader *rd = e->reader;
    job *j = e->evals.head;
    int32_t src = -1, share = 0, k = 0;
    *taken = rd->n_active < READ_BRANCHES;
    if (!*taken) return RUNG_OK;
    for (int32_t i = 0; i < READ_BRANCHES; i++) {
        int32_t n = common(&rd->b[i], j->tok, j->begin);
        if (n > share) share = n, src = i;
    }
    if (j->end > 0) k = make_room(rd, j->end, &src, &share);
    *taken = k >= 0;
    if (!*taken) return RUNG_OK;
    reading r;
    RUNG_TRY(reading_init(&r, rd, j, err)); /* a failure ends the run, which frees the queue */
    if (j->end == 0) {
        rung_queue_pop(&e->evals);
        return deliver(e, j, &r, 0, err);
    }
    rung_status st = occupy(rd, k, j, src, share, err);
    if (st != RUNG_OK) {
        reading_clear(&r);
        return st;
    }
    rung_queue_pop(&e->evals);
    rd->b[k].r = r;
    e->n_eval_tok -= j->end - j->begin;
    e->base.stats.n_prompt_new += j->end - share;
    e->base.stats.n_prompt_forked += share;
    begin_ready(rd);
    return RUNG_OK;
}

/* One call ------------------------------------------------------------------------------------- */

static bool all_numbers(const float *x, int32_t n, bool finite) {
    bool ok = true;
    for (int32_t i = 0; i < n; i++) ok &= finite ? isfinite(x[i]) != 0 : x[i] == x[i];
    return ok;
}

/* Output row `row` of the call (batch index i) belongs to position p of b: copy what was asked. */
static rung_status read_row(reader *rd, branch *b, int32_t i, int32_t row, int32_t p,
                            rung_error *err) {
    const rung_eval *v = &b->j->eval;
    reading *r = &b->r;
    int32_t n_vocab = rd->d.model->info.n_vocab, n_embd = rd->d.n_embd;
    bool asked = r->i_at < v->n_at && b->j->at[r->i_at] == p;
    const float *logits = NULL;
    if (!rd->d.skip_head) RUNG_TRY(rung_decoder_logits(&logits, &rd->d, i, err));
    if (asked && v->hidden) {
        if (row >= rd->d.n_hidden) {
            return rung_fail(err, RUNG_E_MODEL, "architecture %s gives no hidden states",
                             rd->d.model->info.arch);
        }
        float *x = r->hidden + (size_t)r->i_at * (size_t)n_embd;
        memcpy(x, rd->d.hidden + (size_t)row * (size_t)n_embd, (size_t)n_embd * sizeof *x);
        if (!all_numbers(x, n_embd, true)) return rung_not_numbers(rd->d.model, err);
    }
    if (asked && v->logits) {
        float *z = r->logits + (size_t)r->i_at * (size_t)n_vocab;
        memcpy(z, logits, (size_t)n_vocab * sizeof *z);
        if (!all_numbers(z, n_vocab, false)) return rung_not_numbers(rd->d.model, err);
    }
    if (v->logprobs && p >= v->from && p + 1 < v->n_tok) {
        double lp = rung_logprob_of(logits, n_vocab, b->j->tok[p + 1]);
        if (!(lp <= 0.0)) return rung_not_numbers(rd->d.model, err);
        r->logprob[p + 1] = (float)lp;
        size_t at = ((size_t)p + 1) * (size_t)v->n_top;
        if (v->n_top > 0)
            rung_top_logprobs(r->top_tok + at, r->top_logprob + at, v->n_top, logits, n_vocab);
    }
    r->i_at += asked;
    return RUNG_OK;
}

/* Is an output wanted at p? *i: the next asked position at or after what the call holds. */
static bool wanted(const job *j, int32_t p, int32_t *i) {
    const rung_eval *v = &j->eval;
    bool asked = *i < v->n_at && j->at[*i] == p && (v->hidden || v->logits);
    while (*i < v->n_at && j->at[*i] <= p) ++*i;
    return asked || (v->logprobs && p >= v->from && p + 1 < v->n_tok);
}

/* As many tokens as fit, oldest text first. */
static void fill_call(reader *rd) {
    decoder *d = &rd->d;
    rung_decoder_begin(d);
    d->want_hidden = false;
    d->skip_head = true;
    for (int32_t a = 0; a < rd->n_active && d->batch.n_tokens < d->n_batch; a++) {
        int32_t k = rd->order[a], i = rd->b[k].r.i_at;
        branch *b = &rd->b[k];
        if (b->src >= 0) continue;
        for (int32_t p = b->n_done; p < b->n && d->batch.n_tokens < d->n_batch; p++) {
            bool out = wanted(b->j, p, &i);
            if (out && d->n_out == d->n_out_max) return;
            rd->owner[rung_decoder_add(d, k, p, b->tok[p], out)] = k;
            d->want_hidden |= out && b->j->eval.hidden;
            d->skip_head &= !out || (!b->j->eval.logits && !b->j->eval.logprobs);
        }
    }
}

static rung_status finish(local *e, rung_error *err) {
    reader *rd = e->reader;
    for (int32_t a = 0; a < rd->n_active;) {
        branch *b = &rd->b[rd->order[a]];
        if (b->src >= 0 || b->n_done < b->n) {
            a++;
            continue;
        }
        rd->n_active--;
        memmove(rd->order + a, rd->order + a + 1, (size_t)(rd->n_active - a) * sizeof *rd->order);
        job *j = b->j;
        b->j = NULL;
        RUNG_TRY(deliver(e, j, &b->r, b->n - b->share, err));
    }
    return RUNG_OK;
}

rung_status rung_read_step(local *e, rung_error *err) {
    reader *rd = e->reader;
    for (bool taken = true; taken && e->evals.head;) RUNG_TRY(admit(&taken, e, err));
    if (rd->n_active == 0) return RUNG_OK;
    decoder *d = &rd->d;
    fill_call(rd);
    if (d->n_out == 0) d->skip_head = false;
    for (int32_t n = rung_decoder_rows(d, d->batch.n_tokens); d->batch.n_tokens < n;) {
        rd->refs[rd->free[--rd->n_free]]++;
        rd->owner[rung_decoder_add(d, SPARE_SEQ, rd->n_spare++, 0, false)] = -1;
    }
    if (rd->exact) d->share = d->batch.n_tokens == d->n_batch ? e->kv.chunk_share : 1.0;
    rung_status st = rung_decoder_run(d, d->batch.n_tokens >= d->n_batch / 2, err);
    for (int32_t i = 0, row = 0; st == RUNG_OK && i < d->batch.n_tokens; i++) {
        if (rd->owner[i] < 0) break; /* spare rows are last */
        branch *b = &rd->b[rd->owner[i]];
        if (d->batch.logits[i]) st = read_row(rd, b, i, row++, d->batch.pos[i], err);
        b->n_done++;
    }
    d->want_hidden = d->skip_head = false;
    if (st != RUNG_OK) return st;
    begin_ready(rd);
    return finish(e, err);
}

bool rung_reader_busy(const local *e) {
    return e->evals.head || (e->reader && e->reader->n_active > 0);
}

void rung_reader_forget(local *e) {
    reader *rd = e->reader;
    if (!rd) return;
    for (int32_t a = 0; a < rd->n_active; a++) {
        branch *b = &rd->b[rd->order[a]];
        reading_clear(&b->r);
        rung_job_free(b->j);
        b->j = NULL;
    }
    rd->n_active = 0;
    rd->clock = 0;
    drop_all(rd);
}

void rung_reader_close(local *e) {
    reader *rd = e->reader;
    if (!rd) return;
    if (rd->refs && rd->free && rd->d.mem) rung_reader_forget(e);
    for (int32_t k = 0; k < READ_BRANCHES; k++) {
        rung_free(rd->b[k].tok);
        rung_free(rd->b[k].cell);
    }
    rung_free(rd->refs);
    rung_free(rd->free);
    rung_free(rd->owner);
    rung_decoder_close(&rd->d);
    rung_free(rd);
    e->reader = NULL;
}

int64_t rung_reader_cells(const local *e) {
    int64_t n = e->kv.n_cells > READ_CELLS ? e->kv.n_cells : READ_CELLS;
    return e->o.exact ? n + SPARE_CELLS : n;
}

rung_status rung_reader_open(local *e, rung_error *err) {
    if (e->reader) return RUNG_OK;
    reader *rd = e->reader = rung_calloc(1, sizeof *rd);
    if (!rd) return rung_fail(err, RUNG_E_NOMEM, "no memory to read");
    int64_t rows = RUNG_LOGITS_BYTES_MAX / ((int64_t)e->base.model->info.n_vocab * 4);
    int32_t batch = e->o.n_batch > 0 ? e->o.n_batch : READ_BATCH;
    rd->d.unified = true;
    rd->exact = e->o.exact;
    rd->d.n_seq = READ_BRANCHES + e->o.exact;
    rd->d.n_cells = rd->n_pool = (int32_t)((rung_reader_cells(e) + 255) / 256 * 256);
    if (batch < RUNG_EXACT_PAD) batch = RUNG_EXACT_PAD;
    if (e->o.exact && batch > RUNG_EXACT_ROWS) batch = RUNG_EXACT_ROWS;
    rd->d.n_batch = batch < rd->n_pool ? batch : rd->n_pool;
    if (rows < RUNG_EXACT_PAD) rows = RUNG_EXACT_PAD;
    rd->d.n_out_max = rows < rd->d.n_batch ? (int32_t)rows : rd->d.n_batch;
    if (rd->exact) { /* output rows never cut a call short */
        rd->d.n_out_max = rd->d.n_out_max / RUNG_EXACT_PAD * RUNG_EXACT_PAD;
        rd->d.n_batch = rd->d.n_out_max;
    }
    rd->refs = rung_alloc((size_t)rd->n_pool * sizeof *rd->refs);
    rd->free = rung_alloc((size_t)rd->n_pool * sizeof *rd->free);
    rd->owner = rung_alloc((size_t)rd->d.n_batch * sizeof *rd->owner);
    rung_status st = rd->refs && rd->free && rd->owner
                         ? rung_decoder_open(&rd->d, e->base.model, &e->o, &e->base.stats, err)
                         : rung_fail(err, RUNG_E_NOMEM, "no memory to read");
    /* what exact mode rests on is tried on the streams */
    if (st == RUNG_OK && rd->exact)
        st = rung_kv_open(&e->kv, e->base.model, &e->o, &e->base.stats, err);
    if (st == RUNG_OK) rd->d.unit = e->kv.d.unit;
    if (st == RUNG_OK)
        free_all_cells(rd);
    else
        rung_reader_close(e);
    return st;
}
