/* The implicit PRM's objective (rewards.md 1): a model trains on outcomes by the log-ratio of the
 * steps' tokens to the base that it began as. z = the sum of logprob under it minus under the base;
 * implicit_ce, kto: each trace; dpo, ipo: all right x wrong pairs of a problem; nca, info_nca: its
 * traces as a group.
 *
 * The base's logprobs are read once, before the first step, and kept in the store's cache under the
 * base's hash and the document's tokens: another training or a resumed one reads them from there.
 */
#include "reward/reward_tune.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Logprobs of the batch's steps' tokens under the net as it is. */
static rung_status read_logprobs(tuner *w, const rung_batch *b, rung_error *err) {
    double value;
    rung_loss_ce ce = {w->b.next, w->b.weight};
    int64_t n = (int64_t)w->n_rows * w->n_row_tok;
    RUNG_TRY(rung_net_ce(&value, w->b.logprob, w->net, b, &ce, err));
    for (int64_t i = 0; i < n; i++) w->b.logprob[i] = -w->b.logprob[i];
    return RUNG_OK;
}

/* z of each trace of the batch, into w->b.score. */
static rung_status read_z(tuner *w, const rung_batch *b, rung_error *err) {
    RUNG_TRY(read_logprobs(w, b, err));
    for (int32_t k = 0; k < w->b.n_docs; k++) {
        const tune_doc *d = w->b.doc[k];
        double z = 0;
        for (int32_t p = 1; p < d->l.n_tok; p++) {
            size_t i = d->at + (size_t)p - 1;
            if (w->b.mask[i] > 0) z += w->b.logprob[i] - w->b.ref[i];
        }
        w->b.score[k] = z;
    }
    return RUNG_OK;
}

rung_status tune_ratio_predict(tuner *w, const rung_batch *b, rung_error *err) {
    RUNG_TRY(read_z(w, b, err));
    for (int32_t k = 0; k < w->b.n_docs; k++) {
        int32_t row = w->set->example[w->b.doc[k]->example].first;
        w->z[row] = w->b.score[k];
        w->p[row] = 1 / (1 + exp(-w->beta * w->b.score[k]));
    }
    return RUNG_OK;
}

/* The reference ------------------------------------------------------------------------------- */

/* What a document's reference logprobs depend on. */
static rung_status cache_key(char key[120], const tuner *w, const tune_doc *d, rung_error *err) {
    rung_buf b;
    char hash[33];
    rung_buf_init(&b, (size_t)1 << 30);
    rung_buf_append(&b, d->l.tok, (size_t)d->l.n_tok * sizeof *d->l.tok);
    rung_buf_append(&b, d->l.begin, (size_t)d->l.n_at * sizeof *d->l.begin);
    rung_buf_append(&b, d->l.end, (size_t)d->l.n_at * sizeof *d->l.end);
    rung_status st = rung_buf_check(&b, err);
    if (st == RUNG_OK) rung_hash_hex(hash, b.data, b.n);
    rung_buf_clear(&b);
    if (st == RUNG_OK) /* a frozen base is read in its file's numbers, products in theirs */
        snprintf(key, 120, "reflogp/net/%.32s/%s/%.8s/%s", w->base_hash,
                 reward_tune_of(w->o) == RUNG_TUNE_LORA ? "frozen" : "loaded",
                 w->o->precision ? w->o->precision : "auto", hash);
    return st;
}

static rung_status cached(bool *found, const tuner *w, tune_doc *d, rung_error *err) {
    char key[120];
    rung_buf b;
    rung_buf_init(&b, (size_t)1 << 30);
    *found = false;
    rung_status st = cache_key(key, w, d, err);
    if (st == RUNG_OK) st = rung_cache_get(&b, found, w->store, key, err);
    size_t want = (size_t)d->l.n_tok * sizeof *d->ref;
    *found = *found && b.n == want;
    if (st == RUNG_OK && *found) memcpy(d->ref, b.data, want);
    rung_buf_clear(&b);
    return st;
}

static rung_status keep(const tuner *w, rung_error *err) {
    RUNG_TRY(rung_store_begin(w->store, err));
    rung_status st = RUNG_OK;
    for (int32_t k = 0; k < w->b.n_docs && st == RUNG_OK; k++) {
        const tune_doc *d = w->b.doc[k];
        char key[120];
        st = cache_key(key, w, d, err);
        if (st == RUNG_OK)
            st = rung_cache_put(w->store, key, (const char *)d->ref,
                                (size_t)d->l.n_tok * sizeof *d->ref, err);
    }
    if (st == RUNG_OK) return rung_store_commit(w->store, err);
    rung_store_rollback(w->store);
    return st;
}

/* Documents [from, to). Batches are packed as if nothing were known, and one of which everything is
 * known is not read: so a resumed run computes the same numbers as one that was not stopped. */
static rung_status read_range(int64_t *n_read, tuner *w, int64_t from, int64_t to,
                              rung_error *err) {
    int64_t n = to - from, next = 0;
    for (int64_t i = 0; i < n; i++) w->order[i] = (uint32_t)(from + i);
    while (next < n) {
        int64_t first = next;
        rung_batch b = tune_pack(w, &next, n);
        bool all = true;
        for (int32_t k = 0; k < w->b.n_docs && all; k++)
            RUNG_TRY(cached(&all, w, w->b.doc[k], err));
        if (all) continue;
        RUNG_TRY(read_logprobs(w, &b, err));
        for (int32_t k = 0; k < w->b.n_docs; k++) {
            tune_doc *d = w->b.doc[k];
            d->ref[0] = 0;
            for (int32_t p = 1; p < d->l.n_tok; p++) {
                size_t i = d->at + (size_t)p - 1;
                d->ref[p] = w->b.mask[i] > 0 ? w->b.logprob[i] : 0;
            }
        }
        RUNG_TRY(keep(w, err));
        *n_read += next - first;
        RUNG_TRY(rung_progress(w->log, "references", from + next, w->n_docs, 0, err));
    }
    return RUNG_OK;
}

/* Traces first, then kto's mismatched ones: what another loss has read stays whole batches. */
static rung_status read_reference(tuner *w, rung_error *err) {
    int64_t n_read = 0, n = w->set->n_examples;
    for (int64_t i = 0; i < w->n_docs; i++) {
        tune_doc *d = &w->doc[i];
        d->ref = rung_calloc((size_t)d->l.n_tok + 1, sizeof *d->ref);
        if (!d->ref)
            return rung_fail(err, RUNG_E_NOMEM, "no memory for %lld log-ratios",
                             (long long)w->n_docs);
    }
    RUNG_TRY(read_range(&n_read, w, 0, n, err));
    if (w->n_docs > n) RUNG_TRY(read_range(&n_read, w, n, w->n_docs, err));
    rung_event(w->log, RUNG_INFO, "reward.reference", RUNG_I("traces", w->n_docs),
               RUNG_I("read", n_read), RUNG_I("from_store", w->n_docs - n_read));
    return RUNG_OK;
}

/* KTO's zero point ---------------------------------------------------------------------------- */

/* It needs answers to other prompts: the prompt of one example with the steps of the next one in
 * the set's order that is of another problem. */
static rung_status join(tune_doc *out, const tune_doc *prompt, const tune_doc *steps,
                        rung_error *err) {
    const reward_layout *a = &prompt->l, *b = &steps->l;
    int32_t n_head = a->begin[0], n_tail = b->n_tok - b->begin[0], shift = n_head - b->begin[0];
    size_t n = (size_t)(n_head + n_tail), n_at = (size_t)b->n_at;
    out->example = prompt->example;
    out->l.tok = rung_alloc(n * sizeof *out->l.tok);
    out->l.begin = rung_alloc(n_at * sizeof *out->l.begin);
    out->l.end = rung_alloc(n_at * sizeof *out->l.end);
    if (!out->l.tok || !out->l.begin || !out->l.end)
        return rung_fail(err, RUNG_E_NOMEM, "no memory for a document of %zu tokens", n);
    memcpy(out->l.tok, a->tok, (size_t)n_head * sizeof *a->tok);
    memcpy(out->l.tok + n_head, b->tok + b->begin[0], (size_t)n_tail * sizeof *b->tok);
    for (size_t k = 0; k < n_at; k++) {
        out->l.begin[k] = b->begin[k] + shift;
        out->l.end[k] = b->end[k] + shift;
    }
    out->l.n_tok = n_head + n_tail;
    out->l.n_at = b->n_at;
    return RUNG_OK;
}

rung_status tune_ratio_mismatch(tuner *w, int32_t *longest, rung_error *err) {
    int64_t n = w->set->n_examples;
    const reward_example *e = w->set->example;
    for (int64_t i = 0; w->n_docs > n && i < n; i++) {
        int64_t j = (i + 1) % n;
        while (j != i && e[j].problem == e[i].problem) j = (j + 1) % n;
        RUNG_TRY(join(&w->doc[n + i], &w->doc[i], &w->doc[j], err));
        if (w->doc[n + i].l.n_tok > *longest) *longest = w->doc[n + i].l.n_tok;
    }
    return RUNG_OK;
}

/* z0 over the mismatched documents of `of` [n], borrowed by w->order meanwhile. */
static rung_status read_zero(tuner *w, const uint32_t *of, int64_t n, rung_error *err) {
    uint32_t *mine = rung_alloc((size_t)(n + 1) * sizeof *mine), *others = w->order;
    double *z = rung_calloc(2 * (size_t)(n + 1), sizeof *z), *none = z + n + 1;
    int64_t at = 0, done = 0;
    rung_status st = RUNG_OK;
    if (!mine || !z)
        RUNG_GOTO(rung_fail(err, RUNG_E_NOMEM, "no memory for %lld traces", (long long)n));
    for (int64_t i = 0; i < n; i++) mine[i] = of[i] + (uint32_t)w->set->n_examples;
    w->order = mine;
    while (at < n && st == RUNG_OK) {
        rung_batch b = tune_pack(w, &at, n);
        st = read_z(w, &b, err);
        for (int32_t k = 0; k < w->b.n_docs && st == RUNG_OK; k++) z[done++] = w->b.score[k];
    }
    w->order = others;
    rung_loss_data d = {.n = done, .n_samples = done, .x = z, .ref = none};
    if (st == RUNG_OK) st = rung_loss_kto_zero(&w->kto_zero, &d, err);
out:
    rung_free(mine);
    rung_free(z);
    return st;
}

rung_status tune_ratio_before(tuner *w, int64_t next, int64_t n, rung_error *err) {
    if (w->loss != RUNG_LOSS_KTO) return RUNG_OK;
    int64_t first = next;
    (void)tune_pack(w, &next, n);
    return read_zero(w, w->order + first, next - first, err);
}

rung_status tune_ratio_before_held(tuner *w, rung_error *err) {
    if (w->loss != RUNG_LOSS_KTO) return RUNG_OK;
    return read_zero(w, w->order, tune_list(w, false, true), err);
}

/* The loss ------------------------------------------------------------------------------------ */

void reward_drop_plain_groups(int32_t *group, const double *label, int64_t n) {
    for (int64_t i = 0, end; i < n; i = end) {
        bool right = false, wrong = false;
        for (end = i; end < n && group[end] == group[i]; end++)
            *(label[end] > 0.5 ? &right : &wrong) = true;
        for (int64_t k = i; k < end && !(right && wrong); k++) group[k] = -1;
    }
}

rung_status tune_ratio_grad(double *value, double *share, tuner *w, const rung_batch *b,
                            rung_error *err) {
    const tune_batch *k = &w->b;
    int32_t *pair = NULL;
    rung_loss_on_net l = {.id = w->loss, .opts = tune_loss_opts(w), .tok = k->next};
    l.data = (rung_loss_data){.n = (int64_t)w->n_rows * w->n_row_tok,
                              .mask = k->mask,
                              .sample = k->sample,
                              .ref = k->ref,
                              .n_samples = k->n_docs,
                              .label = k->label,
                              .reward = k->label,
                              .group = k->group,
                              .weight = k->sample_weight};
    if (w->spans) reward_drop_plain_groups(k->group, k->label, k->n_docs);
    rung_status st = RUNG_OK;
    if (rung_loss_needs(w->loss) & RUNG_LOSS_NEEDS_PAIR)
        st = rung_loss_pairs(&pair, &l.data.n_pairs, k->label, k->group, k->n_docs, err);
    l.data.pair = pair;
    rung_loss loss = {rung_loss_on_net_fn, &l};
    int64_t n_terms;
    if (st == RUNG_OK) st = tune_share(share, w, &l.data, k->ref, err);
    if (st == RUNG_OK && *share > 0)
        st = rung_net_grad(value, &n_terms, w->net, b, &loss, 1.0, err);
    rung_free(pair);
    return st;
}

/* Weights of the training side's traces: plain, or both outcomes equally often. */
static rung_status balance_traces(tuner *w, rung_error *err) {
    int64_t n = w->set->n_examples;
    double *label = rung_alloc((size_t)n * sizeof *label);
    int32_t *group = rung_alloc((size_t)n * sizeof *group);
    rung_status st = RUNG_OK;
    w->balance = rung_calloc((size_t)n, sizeof *w->balance);
    if (!label || !group || !w->balance)
        RUNG_GOTO(rung_fail(err, RUNG_E_NOMEM, "no memory to weigh traces"));
    for (int64_t i = 0; i < n; i++) {
        const reward_example *e = &w->set->example[i];
        label[i] = (double)w->set->target[e->first];
        group[i] = e->held ? -1 : w->set->group[e->first]; /* of its problem */
    }
    RUNG_GOTO(
        rung_loss_weights(w->balance, (rung_loss_balance)w->o->balance, label, group, n, err));
out:
    rung_free(label);
    rung_free(group);
    return st;
}

rung_status tune_ratio_init(tuner *w, rung_error *err) {
    RUNG_TRY(balance_traces(w, err));
    return read_reference(w, err);
}
