/* Pairs for rung model train --data, traces for --run. Loss on the reply and on the end token
 * alone.
 */
#include "cli/train_data.h"
#include "base/json.h"
#include "cli/train_rows.h"
#include "rung/rng.h"
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *prompt, *reply;
} key_pairs[] = {{"prompt", "completion"}, {"question", "answer"}, {"problem", "solution"}};

static bool grow(void **p, int64_t *cap, int64_t n, size_t size) {
    if (n <= *cap) return true;
    int64_t more = n + n / 2 + 64;
    void *q = rung_realloc(*p, (size_t)more * size);
    if (!q) return false;
    *p = q;
    *cap = more;
    return true;
}

static rung_status no_memory(rung_error *err) {
    return rung_fail(err, RUNG_E_NOMEM, "no memory for the training data");
}

/* ---- reading: too long is told by what it is, and is refused or left out, never cut */

enum { DROPS_TOLD = 10 };

typedef struct sink {
    train_spool *spool;
    const train_source *src;
    int64_t n_dropped;
} sink;

static rung_status put(sink *k, const int32_t *tok, train_doc *d, rung_error *err) {
    const train_source *src = k->src;
    if (d->n - 1 <= src->row_tok) return train_spool_put(k->spool, tok, d, err);
    if (!src->drop) {
        rung_fail(err, RUNG_E_LIMIT, "%s %lld has %d tokens, a row holds %d", src->what,
                  (long long)d->id, d->n - 1, src->row_tok);
        return rung_error_hint(err, "use longer rows (--tokens), or leave such out (--too-long "
                                    "drop)");
    }
    if (++k->n_dropped <= DROPS_TOLD)
        rung_event(src->log, RUNG_WARN, "train.too_long", RUNG_S("what", src->what),
                   RUNG_I("id", d->id), RUNG_I("tokens", d->n - 1), RUNG_I("row", src->row_tok));
    return RUNG_OK;
}

static const char *text_of(yyjson_val *row, const char **reply) {
    for (size_t i = 0; i < sizeof key_pairs / sizeof key_pairs[0]; i++) {
        const char *prompt = rung_json_str(row, key_pairs[i].prompt, NULL);
        *reply = rung_json_str(row, key_pairs[i].reply, NULL);
        if (prompt && *reply && (*reply)[0]) return prompt;
    }
    return NULL;
}

static rung_status add_row(sink *k, yyjson_val *row, int64_t line, rung_error *err) {
    const train_source *src = k->src;
    const char *reply = NULL, *prompt = text_of(row, &reply);
    if (!prompt) {
        rung_fail(err, RUNG_E_FORMAT, "\"%s\" line %lld has no prompt and reply", src->path,
                  (long long)line);
        return rung_error_hint(err, "keys: prompt and completion, question and answer, or problem "
                                    "and solution");
    }
    rung_prompt p = {rung_json_str(row, "system", NULL), prompt, reply};
    int32_t *tok = NULL, eos = rung_model_eos(src->vocab);
    train_doc d = {.id = line, .group = (uint64_t)line};
    RUNG_TRY(rung_prompt_tokens(&tok, &d.n, &d.n_prompt, src->vocab, &p, err));
    rung_status st = RUNG_OK;
    if (d.n_prompt <= 0 || d.n_prompt >= d.n)
        st = rung_fail(err, RUNG_E_FORMAT, "\"%s\" line %lld: an empty prompt or reply", src->path,
                       (long long)line);
    if (st == RUNG_OK && eos >= 0) {
        int32_t *more = rung_realloc(tok, ((size_t)d.n + 1) * sizeof *more);
        if (more) tok = more, tok[d.n++] = eos;
        if (!more) st = no_memory(err);
    }
    d.n_learn = d.n;
    if (st == RUNG_OK) st = put(k, tok, &d, err);
    rung_free(tok);
    return st;
}

static rung_status read_lines(sink *k, rung_error *err) {
    const train_source *src = k->src;
    rung_jsonl *r = NULL;
    yyjson_val *row;
    rung_status st;
    int64_t most = src->n_train > 0 ? (int64_t)src->n_train + src->n_held : INT32_MAX;
    RUNG_TRY(rung_jsonl_open(&r, src->path, 0, err));
    while (k->spool->n_docs < most && (st = rung_jsonl_next(&row, r, err)) == RUNG_OK) {
        st = add_row(k, row, rung_jsonl_line(r), err);
        if (st != RUNG_OK) break;
    }
    if (k->spool->n_docs >= most) st = RUNG_DONE;
    rung_jsonl_close(r);
    return st == RUNG_DONE ? RUNG_OK : st;
}

static rung_status put_trace(void *ud, const int32_t *tok, train_doc *d, rung_error *err) {
    return put(ud, tok, d, err);
}

/* ---- which are trained on */

static int by_group(const void *a, const void *b, void *ud) {
    const train_doc *doc = ((const train_spool *)ud)->doc;
    const train_doc *x = &doc[*(const uint32_t *)a], *y = &doc[*(const uint32_t *)b];
    if (x->group != y->group) return x->group < y->group ? -1 : 1;
    return (x->at > y->at) - (x->at < y->at);
}

/* Whole problems are held out, those with the smallest draws (seed, SPLIT, problem), until there
 * are n_held documents. held [n_docs]. */
typedef struct group_draw {
    double u;
    uint32_t first, n; /* in the order by group */
} group_draw;

static int by_draw(const void *a, const void *b) {
    double x = ((const group_draw *)a)->u, y = ((const group_draw *)b)->u;
    return (x > y) - (x < y);
}

static rung_status hold_out(bool *held, const train_spool *s, int32_t n_held, uint64_t seed,
                            rung_error *err) {
    size_t n = (size_t)s->n_docs, n_groups = 0;
    uint32_t *at = rung_alloc((n + 1) * sizeof *at);
    group_draw *g = rung_alloc((n + 1) * sizeof *g);
    rung_status st = at && g ? RUNG_OK : no_memory(err);
    for (uint32_t i = 0; st == RUNG_OK && i < n; i++) at[i] = i;
    if (st == RUNG_OK) qsort_r(at, n, sizeof *at, by_group, (void *)(uintptr_t)s);
    for (uint32_t i = 0; st == RUNG_OK && i < n; i++) {
        uint64_t group = s->doc[at[i]].group;
        if (i == 0 || group != s->doc[at[i - 1]].group) {
            rung_rng r = rung_rng_at(seed, RUNG_STREAM_SPLIT, group, 0);
            g[n_groups++] = (group_draw){rung_rng_f64_at(&r, 0), i, 0};
        }
        g[n_groups - 1].n++;
    }
    if (st == RUNG_OK) qsort(g, n_groups, sizeof *g, by_draw);
    int32_t have = 0;
    for (size_t k = 0; st == RUNG_OK && k < n_groups && have < n_held; k++) {
        for (uint32_t i = g[k].first; i < g[k].first + g[k].n; i++) held[at[i]] = true;
        have += (int32_t)g[k].n;
    }
    rung_free(at);
    rung_free(g);
    return st;
}

static rung_status choose(train_data *d, const train_source *src, rung_error *err) {
    int64_t n = d->spool.n_docs;
    if (n > INT32_MAX) return rung_fail(err, RUNG_E_LIMIT, "%lld documents", (long long)n);
    bool *held = rung_calloc((size_t)n + 1, sizeof *held);
    d->pick = rung_alloc(((size_t)n + 1) * sizeof *d->pick);
    if (!held || !d->pick) {
        rung_free(held);
        return no_memory(err);
    }
    rung_status st = RUNG_OK;
    int64_t last = src->n_train > 0 ? src->n_train : n - src->n_held;
    if (src->path)
        for (int64_t i = 0; i < n; i++) held[i] = i >= last;
    else
        st = hold_out(held, &d->spool, src->n_held, src->seed, err);
    d->n_docs = 0;
    for (int64_t i = 0; i < n && (src->n_train == 0 || d->n_docs < src->n_train); i++)
        if (!held[i]) d->pick[d->n_docs++] = (uint32_t)i;
    d->n_train = d->n_docs;
    for (int64_t i = 0; i < n && d->n_docs < d->n_train + src->n_held; i++)
        if (held[i]) d->pick[d->n_docs++] = (uint32_t)i;
    rung_free(held);
    if (st != RUNG_OK) return st;
    if (d->n_train > 0 && d->n_train >= src->n_train && d->n_docs == d->n_train + src->n_held)
        return RUNG_OK;
    return rung_fail(err, RUNG_E_INVAL,
                     "%s%s%s %lld documents: too few for %d to train on and %d held out",
                     src->path ? "\"" : "", src->path ? src->path : "the traces make",
                     src->path ? "\" has" : "", (long long)n, src->n_train, src->n_held);
}

rung_status train_data_open(train_data *d, const char *path, const char *key,
                            const train_source *src, rung_error *err) {
    bool found;
    d->epoch = UINT64_MAX;
    d->held_step = -1;
    RUNG_TRY(train_spool_open(&d->spool, &found, path, key, err));
    if (!found) {
        sink k = {&d->spool, src, 0};
        RUNG_TRY(train_spool_begin(&d->spool, path, key, err));
        RUNG_TRY(src->path ? read_lines(&k, err) : train_rows_read(src, put_trace, &k, err));
        RUNG_TRY(train_spool_end(&d->spool, path, err));
        d->n_dropped = k.n_dropped;
        if (k.n_dropped > 0)
            rung_event(src->log, RUNG_WARN, "train.dropped", RUNG_I("documents", k.n_dropped),
                       RUNG_I("row", src->row_tok));
    }
    RUNG_TRY(choose(d, src, err));
    d->order = rung_alloc((size_t)d->n_train * sizeof *d->order);
    return d->order ? RUNG_OK : no_memory(err);
}

rung_status train_source_hash(char out[33], const train_source *src, rung_error *err) {
    return src->path ? rung_hash_file(out, src->path, err) : train_rows_hash(out, src, err);
}

void train_data_clear(train_data *d) {
    void *all[] = {d->pick, d->order, d->target, d->weight};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) rung_free(all[i]);
    train_spool_clear(&d->spool);
    memset(d, 0, sizeof *d);
}

/* Positions are all tokens but the last: each is asked for the next one. */
static rung_status aim(train_data *d, const train_doc *doc, rung_error *err) {
    if (doc->n > d->cap_out) {
        int64_t cap_t = d->cap_out, cap_w = d->cap_out;
        if (!grow((void **)&d->target, &cap_t, doc->n, sizeof *d->target) ||
            !grow((void **)&d->weight, &cap_w, doc->n, sizeof *d->weight))
            return no_memory(err);
        d->cap_out = (int32_t)cap_t;
    }
    for (int32_t j = 0; j + 1 < doc->n; j++) {
        d->target[j] = d->spool.tok[doc->at + j + 1];
        d->weight[j] = j + 1 >= doc->n_prompt && j + 1 < doc->n_learn ? 1.0f : 0.0f;
    }
    return RUNG_OK;
}

rung_status train_data_doc(void *ud, uint64_t i, const int32_t **tok, const int32_t **target,
                           const float **weight, int32_t *n, rung_error *err) {
    train_data *d = ud;
    uint64_t n_train = (uint64_t)d->n_train, epoch = i / n_train;
    if (epoch != d->epoch) {
        rung_rng r = rung_rng_at(d->seed, RUNG_STREAM_SHUFFLE, epoch, n_train);
        for (uint32_t k = 0; k < (uint32_t)d->n_train; k++) d->order[k] = k;
        rung_rng_shuffle(&r, d->order, (uint32_t)d->n_train);
        d->epoch = epoch;
    }
    const train_doc *doc = &d->spool.doc[d->pick[d->order[i % n_train]]];
    RUNG_TRY(aim(d, doc, err));
    *tok = d->spool.tok + doc->at;
    *target = d->target;
    *weight = d->weight;
    *n = doc->n - 1;
    return RUNG_OK;
}

/* ---- held-out documents, packed */

typedef struct held_pack {
    int32_t *tok, *where, *target, *owner; /* owner: which document a position is of */
    float *weight;
    double *loss;
    int32_t row, used; /* the row that is being filled */
} held_pack;

static rung_status flush(held_pack *p, double *sum, int64_t *count, train_data *d, rung_net *net,
                         rung_error *err) {
    int64_t n = (int64_t)d->rows * d->row_tok;
    rung_batch b = {d->rows, d->row_tok, p->tok, p->where};
    rung_loss_ce ce = {p->target, p->weight};
    double value;
    RUNG_TRY(rung_net_ce(&value, p->loss, net, &b, &ce, err));
    for (int64_t i = 0; i < n; i++) {
        if (!(p->weight[i] > 0)) continue;
        sum[p->owner[i]] += p->loss[i];
        count[p->owner[i]]++;
    }
    memset(p->weight, 0, (size_t)n * sizeof *p->weight);
    for (int64_t i = 0; i < n; i++) p->where[i] = -1;
    p->row = p->used = 0;
    return RUNG_OK;
}

static rung_status put_held(held_pack *p, double *sum, int64_t *count, train_data *d, rung_net *net,
                            int32_t k, rung_error *err) {
    const train_doc *doc = &d->spool.doc[d->pick[d->n_train + k]];
    int32_t n = doc->n - 1;
    if (n > d->row_tok) {
        rung_fail(err, RUNG_E_LIMIT, "held-out document %d has %d tokens, a row holds %d", k, n,
                  d->row_tok);
        return rung_error_hint(err, "use longer rows (--tokens)");
    }
    if (p->used + n > d->row_tok) {
        p->row++;
        p->used = 0;
    }
    if (p->row == d->rows) RUNG_TRY(flush(p, sum, count, d, net, err));
    RUNG_TRY(aim(d, doc, err));
    int64_t at = (int64_t)p->row * d->row_tok + p->used;
    memcpy(p->tok + at, d->spool.tok + doc->at, (size_t)n * sizeof *p->tok);
    memcpy(p->target + at, d->target, (size_t)n * sizeof *p->target);
    memcpy(p->weight + at, d->weight, (size_t)n * sizeof *p->weight);
    int32_t where = p->used == 0 ? 0 : p->where[at - 1] + 1;
    for (int32_t i = 0; i < n; i++) {
        p->where[at + i] = where;
        p->owner[at + i] = k;
    }
    p->used += n;
    return RUNG_OK;
}

rung_status train_data_losses(double *doc_loss, double *loss, train_data *d, rung_net *net,
                              rung_error *err) {
    size_t n = (size_t)d->rows * (size_t)d->row_tok, n_held = (size_t)(d->n_docs - d->n_train);
    held_pack p = {rung_calloc(n, sizeof *p.tok),
                   rung_calloc(n, sizeof *p.where),
                   rung_calloc(n, sizeof *p.target),
                   rung_calloc(n, sizeof *p.owner),
                   rung_calloc(n, sizeof *p.weight),
                   rung_calloc(n, sizeof *p.loss),
                   0,
                   0};
    double *sum = rung_calloc(n_held + 1, sizeof *sum);
    int64_t *count = rung_calloc(n_held + 1, sizeof *count);
    rung_status st = RUNG_OK;
    if (!p.tok || !p.where || !p.target || !p.owner || !p.weight || !p.loss || !sum || !count) {
        st = no_memory(err);
        goto out;
    }
    for (size_t i = 0; i < n; i++) p.where[i] = -1;
    for (size_t k = 0; k < n_held; k++)
        RUNG_GOTO(put_held(&p, sum, count, d, net, (int32_t)k, err));
    RUNG_GOTO(flush(&p, sum, count, d, net, err));
    double all = 0;
    int64_t terms = 0;
    for (size_t k = 0; k < n_held; k++) {
        if (doc_loss) doc_loss[k] = count[k] ? sum[k] / (double)count[k] : 0;
        all += sum[k];
        terms += count[k];
    }
    *loss = terms ? all / (double)terms : 0;
out:;
    void *blocks[] = {p.tok, p.where, p.target, p.owner, p.weight, p.loss, sum, count};
    for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++) rung_free(blocks[i]);
    return st;
}

rung_status train_data_held(void *ud, double *loss, rung_net *net, rung_error *err) {
    train_data *d = ud;
    d->held_step = -1;
    RUNG_TRY(train_data_losses(d->held_loss, &d->held_mean, d, net, err));
    d->held_step = rung_net_steps(net);
    *loss = d->held_mean;
    return RUNG_OK;
}

int32_t train_data_held_tok(const train_data *d, int32_t k) {
    const train_doc *doc = &d->spool.doc[d->pick[d->n_train + k]];
    return doc->n_learn > doc->n_prompt ? doc->n_learn - doc->n_prompt : 0;
}
