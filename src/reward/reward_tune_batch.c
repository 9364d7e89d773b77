/* Traces as documents, packed into batches. */
#include "reward/reward_tune.h"
#include "rung/rng.h"

#include <string.h>

enum { ROW_MIN_TOK = 256 };

rung_status tune_lay_out(tuner *w, rung_store *s, const rung_model *m, const reward_format *f,
                         rung_error *err) {
    rung_arena *a = rung_arena_new(0);
    if (!a) return rung_fail(err, RUNG_E_NOMEM, "no memory to read traces");
    int32_t longest = 0, n_ctx = rung_net_get_shape(w->net)->n_ctx;
    rung_status st = RUNG_OK;
    for (int64_t i = 0; i < w->set->n_examples && st == RUNG_OK; i++) {
        const reward_example *e = &w->set->example[i];
        const rung_trace *t;
        rung_iter *it = NULL;
        rung_problem p;
        bool spelled, by_step;
        tune_doc *d = &w->doc[i];
        d->example = i;
        st = reward_trace_get(&t, &it, s, e->trace, err);
        if (st == RUNG_OK) st = rung_problem_get(s, &p, a, e->problem, err);
        if (st == RUNG_OK) st = reward_layout_make(&d->l, &spelled, &by_step, m, f, &p, t, err);
        rung_iter_free(it);
        rung_arena_reset(a);
        if (st != RUNG_OK) break;
        d->l.n_tok = d->l.at[w->set->step[e->first + e->n - 1]] + 1; /* up to the last read-out */
        if (d->l.n_tok > longest) longest = d->l.n_tok;
        if (!e->held) w->n_tok_train += d->l.n_tok;
    }
    rung_arena_free(a);
    if (st == RUNG_OK) st = tune_ratio_mismatch(w, &longest, err);
    if (st != RUNG_OK) return st;
    if (longest > n_ctx) /* reward_set_fit has left none that is longer than the base's file says */
        return rung_fail(err, RUNG_E_LIMIT, "a trace of %d tokens on a base with a context of %d",
                         longest, n_ctx);
    w->n_row_tok = longest > ROW_MIN_TOK ? longest : ROW_MIN_TOK < n_ctx ? ROW_MIN_TOK : n_ctx;
    return RUNG_OK;
}

/* Spans --------------------------------------------------------------------------------------- */

static int64_t problem_at(const tuner *w, int64_t i) {
    return w->set->example[w->doc[w->order[i]].example].problem;
}

/* Where the span that begins at i ends: one document, or all of its problem. */
static int64_t span_end(const tuner *w, int64_t i, int64_t n_docs) {
    int64_t end = i + 1;
    while (w->spans && end < n_docs && problem_at(w, end) == problem_at(w, i)) end++;
    return end;
}

/* Puts documents [from, to) behind what is there, in numbers only; rows used so far. */
static void run_on(const tuner *w, int64_t from, int64_t to, size_t *row, size_t *used) {
    for (int64_t i = from; i < to; i++) {
        size_t n = (size_t)w->doc[w->order[i]].l.n_tok;
        if (*used + n > (size_t)w->n_row_tok) ++*row, *used = 0;
        *used += n;
    }
}

/* Rows of the batch: as asked, or what the largest span needs. */
static void choose_rows(tuner *w) {
    int64_t n = tune_list(w, true, true);
    w->n_rows = w->d.batch;
    for (int64_t i = 0, end; w->spans && i < n; i = end) {
        size_t row = 0, used = 0;
        end = span_end(w, i, n);
        run_on(w, i, end, &row, &used);
        if ((int32_t)row + 1 > w->n_rows) w->n_rows = (int32_t)row + 1;
    }
}

/* Memory -------------------------------------------------------------------------------------- */

rung_status tune_batch_init(tuner *w, rung_error *err) {
    w->order = rung_alloc((size_t)w->set->n_examples * sizeof *w->order);
    if (!w->order) return rung_fail(err, RUNG_E_NOMEM, "no memory to order the traces");
    choose_rows(w);
    tune_batch *b = &w->b;
    size_t n = (size_t)w->n_rows * (size_t)w->n_row_tok, docs = (size_t)w->n_docs;
    const struct {
        void **at;
        size_t bytes;
    } part[] = {{(void **)&b->tok, n * sizeof *b->tok},
                {(void **)&b->which, n * sizeof *b->which},
                {(void **)&b->doc, docs * sizeof *b->doc},
                {(void **)&b->at, n * sizeof *b->at},
                {(void **)&b->row, n * sizeof *b->row},
                {(void **)&b->group, n * sizeof *b->group},
                {(void **)&b->target, n * sizeof *b->target},
                {(void **)&b->old, n * sizeof *b->old},
                {(void **)&b->score, n * sizeof *b->score},
                {(void **)&b->mask, n * sizeof *b->mask},
                {(void **)&b->want, n * sizeof *b->want},
                {(void **)&b->next, n * sizeof *b->next},
                {(void **)&b->sample, n * sizeof *b->sample},
                {(void **)&b->ref, n * sizeof *b->ref},
                {(void **)&b->logprob, n * sizeof *b->logprob},
                {(void **)&b->weight, n * sizeof *b->weight},
                {(void **)&b->label, docs * sizeof *b->label},
                {(void **)&b->sample_weight, docs * sizeof *b->sample_weight}};
    bool ok = true;
    for (size_t i = 0; i < sizeof part / sizeof part[0]; i++) {
        *part[i].at = rung_calloc(part[i].bytes + 8, 1);
        ok &= *part[i].at != NULL;
    }
    return ok ? RUNG_OK : rung_fail(err, RUNG_E_NOMEM, "no memory for batches of %zu tokens", n);
}

void tune_batch_clear(tuner *w) {
    tune_batch *b = &w->b;
    void *all[] = {b->tok,    b->which,  b->doc,           b->at,    b->row,
                   b->group,  b->target, b->old,           b->score, b->mask,
                   b->want,   b->next,   b->sample,        b->ref,   b->logprob,
                   b->weight, b->label,  b->sample_weight, w->order};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) rung_free(all[i]);
    for (int64_t i = 0; w->doc && i < w->n_docs; i++) {
        reward_layout_clear(&w->doc[i].l);
        rung_free(w->doc[i].ref);
    }
    rung_free(w->doc);
}

/* Batches ------------------------------------------------------------------------------------- */

/* The tokens of the steps are counted, each at the position before it, as scoring does. */
static void put_ratio(tuner *w, size_t at, const tune_doc *d) {
    const reward_example *e = &w->set->example[d->example];
    tune_batch *b = &w->b;
    for (int32_t k = 0; k < d->l.n_at; k++) {
        for (int32_t p = d->l.begin[k]; p < d->l.end[k] && p < d->l.n_tok; p++) {
            if (p == 0) continue;
            size_t i = at + (size_t)p - 1;
            b->next[i] = d->l.tok[p];
            b->mask[i] = 1;
            b->weight[i] = 1;
            b->sample[i] = b->n_docs;
            b->ref[i] = d->ref ? d->ref[p] : 0;
        }
    }
    b->label[b->n_docs] = (double)w->set->target[e->first];
    b->group[b->n_docs] = w->set->group[e->first];
    b->sample_weight[b->n_docs] = w->balance ? w->balance[d->example] : 1;
}

static void put_reads(tuner *w, size_t at, const tune_doc *d) {
    const reward_example *e = &w->set->example[d->example];
    tune_batch *b = &w->b;
    for (int32_t r = e->first; r < e->first + e->n; r++) {
        size_t i = at + (size_t)d->l.at[w->set->step[r]];
        b->at[b->n] = (int64_t)i;
        b->row[b->n] = r;
        b->group[b->n] = w->set->group[r];
        b->target[b->n] = (double)w->set->target[r];
        b->sample[i] = (int32_t)b->n;
        b->old[b->n++] = w->old ? w->old[r] : 0;
        b->mask[i] = 1;
        b->want[i] = (double)w->set->target[r];
    }
}

static void put_doc(tuner *w, size_t at, int32_t number, tune_doc *d) {
    for (int32_t i = 0; i < d->l.n_tok; i++) {
        w->b.tok[at + (size_t)i] = d->l.tok[i];
        w->b.which[at + (size_t)i] = number;
    }
    d->at = at;
    if (w->by == TUNE_RATIO)
        put_ratio(w, at, d);
    else
        put_reads(w, at, d);
    w->b.doc[w->b.n_docs++] = d;
}

static void blank(tuner *w) {
    tune_batch *b = &w->b;
    size_t n = (size_t)w->n_rows * (size_t)w->n_row_tok;
    memset(b->tok, 0, n * sizeof *b->tok);
    memset(b->mask, 0, n * sizeof *b->mask);
    memset(b->want, 0, n * sizeof *b->want);
    memset(b->weight, 0, n * sizeof *b->weight);
    for (size_t i = 0; i < n; i++) b->which[i] = b->sample[i] = -1;
    b->n = 0;
    b->n_docs = 0;
}

rung_batch tune_pack(tuner *w, int64_t *next, int64_t n_docs) {
    size_t T = (size_t)w->n_row_tok, row = 0, used = 0;
    int32_t number = 0;
    blank(w);
    while (*next < n_docs) {
        size_t at_row = row, at_used = used;
        int64_t end = span_end(w, *next, n_docs);
        run_on(w, *next, end, &at_row, &at_used);
        if (at_row >= (size_t)w->n_rows) break; /* a span goes in whole */
        for (; *next < end; ++*next) {
            tune_doc *d = &w->doc[w->order[*next]];
            if (used + (size_t)d->l.n_tok > T) row++, used = 0, number = 0;
            put_doc(w, row * T + used, number++, d);
            used += (size_t)d->l.n_tok;
        }
    }
    return (rung_batch){
        .n_rows = w->n_rows, .n_tok = w->n_row_tok, .tok = w->b.tok, .doc = w->b.which};
}

int64_t tune_list(tuner *w, bool train, bool held) {
    int64_t n = 0;
    for (int64_t i = 0; i < w->set->n_examples; i++)
        if (w->set->example[i].held ? held : train) w->order[n++] = (uint32_t)i;
    return n;
}

/* Whole spans change places; within one the order stays. */
rung_status tune_shuffle(tuner *w, int64_t n, rung_error *err) {
    rung_rng g = rung_rng_at(w->o->seed, RUNG_STREAM_SHUFFLE, (uint64_t)w->state.epoch, 0);
    if (!w->spans) {
        rung_rng_shuffle(&g, w->order, (uint32_t)n);
        return RUNG_OK;
    }
    size_t room = (size_t)n + 1;
    uint32_t *before = rung_alloc(3 * room * sizeof *before), n_spans = 0;
    if (!before) return rung_fail(err, RUNG_E_NOMEM, "no memory to shuffle %zu traces", room - 1);
    uint32_t *start = before + room, *pick = start + room;
    memcpy(before, w->order, (size_t)n * sizeof *before);
    for (int64_t i = 0; i < n; i = span_end(w, i, n)) {
        pick[n_spans] = n_spans;
        start[n_spans++] = (uint32_t)i;
    }
    start[n_spans] = (uint32_t)n;
    rung_rng_shuffle(&g, pick, n_spans);
    uint32_t at = 0;
    for (uint32_t k = 0; k < n_spans; k++)
        for (uint32_t i = start[pick[k]]; i < start[pick[k] + 1]; i++) w->order[at++] = before[i];
    rung_free(before);
    return RUNG_OK;
}

int64_t tune_count_tokens(const tuner *w) {
    int64_t n = 0, n_pos = (int64_t)w->n_rows * w->n_row_tok;
    for (int64_t i = 0; i < n_pos; i++) n += w->b.which[i] >= 0;
    return n;
}
