/* Pairs for rung model train --data. Loss on the reply and on the end token alone. */
#include "cli/train_data.h"
#include "base/json.h"
#include "rung/rng.h"
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

static rung_status add_doc(train_data *d, const int32_t *tok, int32_t n, int32_t n_prompt,
                           int32_t eos, rung_error *err) {
    int64_t cap = d->cap_docs;
    if (!grow((void **)&d->doc, &cap, (int64_t)d->n_docs + 1, sizeof *d->doc))
        return no_memory(err);
    d->cap_docs = (int32_t)cap;
    if (!grow((void **)&d->tok, &d->cap_tok, d->n_tok + n + 1, sizeof *d->tok))
        return no_memory(err);
    d->doc[d->n_docs] = (train_doc){d->n_tok, n, n_prompt};
    memcpy(d->tok + d->n_tok, tok, (size_t)n * sizeof *tok);
    d->n_tok += n;
    if (eos >= 0) {
        d->tok[d->n_tok++] = eos;
        d->doc[d->n_docs].n++;
    }
    d->n_docs++;
    return RUNG_OK;
}

static rung_status add_row(train_data *d, const rung_model *vocab, yyjson_val *row,
                           const char *path, int64_t line, rung_error *err) {
    const char *prompt = NULL, *reply = NULL;
    for (size_t i = 0; !prompt && i < sizeof key_pairs / sizeof key_pairs[0]; i++) {
        prompt = rung_json_str(row, key_pairs[i].prompt, NULL);
        reply = rung_json_str(row, key_pairs[i].reply, NULL);
    }
    if (!prompt || !reply || !reply[0]) {
        rung_fail(err, RUNG_E_FORMAT, "\"%s\" line %lld has no prompt and reply", path,
                  (long long)line);
        return rung_error_hint(err, "keys: prompt and completion, question and answer, or problem "
                                    "and solution");
    }
    rung_prompt p = {rung_json_str(row, "system", NULL), prompt, reply};
    int32_t *tok = NULL, n = 0, n_prompt = 0;
    RUNG_TRY(rung_prompt_tokens(&tok, &n, &n_prompt, vocab, &p, err));
    rung_status st =
        n_prompt <= 0 || n_prompt >= n
            ? rung_fail(err, RUNG_E_FORMAT, "\"%s\" line %lld: an empty prompt or reply", path,
                        (long long)line)
            : add_doc(d, tok, n, n_prompt, rung_model_eos(vocab), err);
    rung_free(tok);
    return st;
}

rung_status train_data_read(train_data *d, const rung_model *vocab, const char *path,
                            int32_t n_train, int32_t n_held, rung_error *err) {
    rung_jsonl *r = NULL;
    yyjson_val *row;
    rung_status st;
    int64_t most = n_train > 0 ? (int64_t)n_train + n_held : INT32_MAX;
    RUNG_TRY(rung_jsonl_open(&r, path, 0, err));
    while ((st = rung_jsonl_next(&row, r, err)) == RUNG_OK && d->n_docs < most) {
        st = add_row(d, vocab, row, path, rung_jsonl_line(r), err);
        if (st != RUNG_OK) break;
    }
    rung_jsonl_close(r);
    if (st != RUNG_OK && st != RUNG_DONE) return st;
    d->n_train = n_train > 0 ? n_train : d->n_docs - n_held;
    if (d->n_train <= 0 || d->n_train + n_held > d->n_docs)
        return rung_fail(err, RUNG_E_INVAL,
                         "\"%s\" has %d rows: too few for %d to train on and %d "
                         "held out",
                         path, d->n_docs, n_train, n_held);
    d->n_docs = d->n_train + n_held;
    d->order = rung_alloc((size_t)d->n_train * sizeof *d->order);
    d->epoch = UINT64_MAX;
    return d->order ? RUNG_OK : no_memory(err);
}

void train_data_clear(train_data *d) {
    void *all[] = {d->doc, d->tok, d->order, d->target, d->weight};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) rung_free(all[i]);
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
        d->target[j] = d->tok[doc->at + j + 1];
        d->weight[j] = j + 1 >= doc->n_prompt ? 1.0f : 0.0f;
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
    const train_doc *doc = &d->doc[d->order[i % n_train]];
    RUNG_TRY(aim(d, doc, err));
    *tok = d->tok + doc->at;
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
    const train_doc *doc = &d->doc[d->n_train + k];
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
    memcpy(p->tok + at, d->tok + doc->at, (size_t)n * sizeof *p->tok);
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
    return train_data_losses(NULL, loss, ud, net, err);
}
