/* A row of the table as the loss of a net. */
#include "train/loss_net.h"
#include "train/loss_logits.h"
#include "train/loss_row.h"

typedef rung_loss_plug plug;

/* Masks with everything that does not count taken out; tokens checked where it does. */
static rung_status take_mask(plug *p, rung_error *err) {
    const rung_loss_data *d = &p->o->data;
    for (int64_t i = 0; i < p->n; i++) {
        int64_t s = loss_sample_of(d, i);
        if (s >= d->n_samples)
            return rung_fail(err, RUNG_E_INVAL, "loss: position %lld is of sample %lld of %lld",
                             (long long)i, (long long)s, (long long)d->n_samples);
        p->mask[i] = loss_item_weight(d, i) > 0 ? loss_mask(d, i) : 0;
        if (p->mask[i] == 0 || rung_loss_takes_of(p->o->id) == RUNG_LOSS_TAKES_SCORE) continue;
        if (p->o->tok[i] < 0 || p->o->tok[i] >= p->n_vocab)
            return rung_fail(err, RUNG_E_INVAL, "loss: token %d at position %lld is not below %d",
                             p->o->tok[i], (long long)i, p->n_vocab);
    }
    return RUNG_OK;
}

static rung_status check_words(const plug *p, rung_error *err) {
    const rung_loss_on_net *o = p->o;
    if (o->plus < 0 || o->minus < 0 || o->plus >= p->n_vocab || o->minus >= p->n_vocab ||
        o->plus == o->minus)
        return rung_fail(err, RUNG_E_INVAL, "loss: token pair %d, %d of %d tokens", o->plus,
                         o->minus, p->n_vocab);
    if (o->id == RUNG_LOSS_CLASS_CE)
        return rung_fail(err, RUNG_E_INVAL, "loss class_ce reads a head's scores, not two tokens");
    return RUNG_OK;
}

/* Minus coef times the entropy, aggregated as the loss is: the row "ce" with x = entropy. */
static rung_status add_entropy(double *value, plug *p, const rung_loss_data *d, rung_error *err) {
    rung_loss_data e = *d;
    rung_loss_opts o = p->o->opts;
    double part, sum = 0, n = 0;
    e.x = p->entropy;
    RUNG_TRY(rung_loss_eval(&part, p->dentropy, NULL, RUNG_LOSS_CE, &e, &o, err));
    for (int64_t i = 0; i < p->n; i++) {
        p->dentropy[i] *= p->o->entropy_coef;
        sum += p->mask[i] * p->entropy[i];
        n += p->mask[i];
    }
    *value += p->o->entropy_coef * part;
    p->o->entropy = n > 0 ? sum / n : 0;
    return RUNG_OK;
}

/* coef x exact KL to the reference, aggregated as the loss is: the row "ce" with x = -KL. */
static rung_status add_kl(double *value, plug *p, const rung_loss_data *d, rung_error *err) {
    rung_loss_data e = *d;
    rung_loss_opts o = p->o->opts;
    double part, sum = 0, n = 0;
    for (int64_t i = 0; i < p->n; i++) {
        sum += p->mask[i] * p->kl[i];
        n += p->mask[i];
        p->kl[i] = -p->kl[i];
    }
    e.x = p->kl;
    RUNG_TRY(rung_loss_eval(&part, p->dkl, NULL, RUNG_LOSS_CE, &e, &o, err));
    for (int64_t i = 0; i < p->n; i++) p->dkl[i] *= -p->o->kl_exact_coef;
    *value += p->o->kl_exact_coef * part;
    p->o->kl_exact = n > 0 ? sum / n : 0;
    return RUNG_OK;
}

/* clip_cov, kl_cov: what the caller did not select is selected on this batch. */
static rung_status select_here(rung_loss_data *d, const plug *p, rung_error *err) {
    if (!(rung_loss_needs(p->o->id) & RUNG_LOSS_NEEDS_SELECTED) || d->selected) return RUNG_OK;
    RUNG_TRY(rung_loss_select(p->selected, p->o->id, d, &p->o->opts, err));
    d->selected = p->selected;
    return RUNG_OK;
}

rung_status rung_loss_plug_init(rung_loss_plug *p, rung_loss_on_net *o, const rung_batch *b,
                                int32_t n_vocab, rung_error *err) {
    int64_t n = (int64_t)b->n_rows * b->n_tok;
    *p = (plug){.o = o,
                .n = n,
                .n_vocab = n_vocab,
                .temperature = o->temperature == 0 ? 1 : o->temperature,
                .words = rung_loss_takes_of(o->id) == RUNG_LOSS_TAKES_SCORE};
    if (o->data.n != n || (!o->data.sample && o->data.n_samples != n) || !(p->temperature > 0))
        return rung_fail(err, RUNG_E_INVAL, "loss: %lld items, temperature %g, for %lld positions",
                         (long long)o->data.n, p->temperature, (long long)n);
    p->mask = rung_alloc((size_t)(8 * n) * sizeof *p->mask);
    if (!p->mask)
        return rung_fail(err, RUNG_E_NOMEM, "no memory for a loss of %lld rows", (long long)n);
    p->x = p->mask + n;
    p->dx = p->x + n;
    p->entropy = o->entropy_coef != 0 ? p->dx + n : NULL;
    p->dentropy = o->entropy_coef != 0 ? p->dx + 2 * n : NULL;
    p->kl = o->kl_exact_coef != 0 ? p->dx + 3 * n : NULL;
    p->dkl = o->kl_exact_coef != 0 ? p->dx + 4 * n : NULL;
    p->selected = (uint8_t *)(p->dx + 5 * n);
    rung_status st = take_mask(p, err);
    if (st == RUNG_OK && p->words) st = check_words(p, err);
    if (st == RUNG_OK && p->kl && !o->ref_logits)
        st = rung_fail(err, RUNG_E_INVAL, "loss: an exact KL needs the reference's logits");
    if (st != RUNG_OK) rung_loss_plug_clear(p);
    return st;
}

void rung_loss_plug_clear(rung_loss_plug *p) {
    rung_free(p->mask);
    p->mask = NULL;
}

rung_status rung_loss_plug_eval(double *value, int64_t *n_terms, rung_loss_plug *p,
                                rung_error *err) {
    rung_loss_data d = p->o->data;
    d.n = p->n;
    d.x = p->x;
    d.mask = p->mask;
    *n_terms = 0;
    for (int64_t i = 0; i < p->n; i++) *n_terms += p->mask[i] > 0;
    RUNG_TRY(select_here(&d, p, err));
    RUNG_TRY(rung_loss_eval(value, p->dx, &p->o->figures, p->o->id, &d, &p->o->opts, err));
    if (p->words) return RUNG_OK;
    if (p->entropy) RUNG_TRY(add_entropy(value, p, &d, err));
    return p->kl ? add_kl(value, p, &d, err) : RUNG_OK;
}

/* All logits are there. */
static void read_words(plug *p, const float *logits) {
    for (int64_t i = 0; i < p->n; i++) {
        const float *z = logits + i * p->n_vocab;
        p->x[i] = p->mask[i] > 0 ? (double)z[p->o->plus] - (double)z[p->o->minus] : 0;
    }
}

static void words_back(float *dlogits, const plug *p) {
    memset(dlogits, 0, (size_t)p->n * (size_t)p->n_vocab * sizeof *dlogits);
    for (int64_t i = 0; i < p->n; i++) {
        dlogits[i * p->n_vocab + p->o->plus] = (float)p->dx[i];
        dlogits[i * p->n_vocab + p->o->minus] = (float)-p->dx[i];
    }
}

rung_status rung_loss_on_net_fn(double *value, int64_t *n_terms, float *dlogits,
                                const float *logits, const rung_batch *b, int32_t n_vocab, void *ud,
                                rung_error *err) {
    rung_loss_on_net *o = ud;
    plug p;
    *value = 0;
    *n_terms = 0;
    RUNG_TRY(rung_loss_plug_init(&p, o, b, n_vocab, err));
    if (p.words)
        read_words(&p, logits);
    else
        rung_logits_logprob(p.x, p.entropy, logits, o->tok, p.mask, p.n, n_vocab, p.temperature);
    if (p.kl && !p.words)
        rung_logits_exact_kl(p.kl, logits, o->ref_logits, p.mask, p.n, n_vocab, p.temperature);
    rung_status st = rung_loss_plug_eval(value, n_terms, &p, err);
    if (st == RUNG_OK && p.words) words_back(dlogits, &p);
    if (st == RUNG_OK && !p.words) {
        rung_logits_logprob_back(dlogits, p.dx, p.dentropy, logits, o->tok, p.mask, p.n, n_vocab,
                                 p.temperature);
        if (p.kl)
            rung_logits_exact_kl_back(dlogits, p.dkl, logits, o->ref_logits, p.mask, p.n, n_vocab,
                                      p.temperature);
    }
    rung_loss_plug_clear(&p);
    return st;
}

rung_status rung_loss_logprobs(double *logprob, const float *logits, const int32_t *tok,
                               const double *mask, int64_t n, int32_t n_vocab, double temperature,
                               rung_error *err) {
    double t = temperature == 0 ? 1 : temperature;
    if (!(t > 0)) return rung_fail(err, RUNG_E_INVAL, "temperature %g is not above 0", t);
    for (int64_t i = 0; i < n; i++) {
        if (mask[i] != 0 && (tok[i] < 0 || tok[i] >= n_vocab))
            return rung_fail(err, RUNG_E_INVAL, "token %d at position %lld is not below %d", tok[i],
                             (long long)i, n_vocab);
    }
    rung_logits_logprob(logprob, NULL, logits, tok, mask, n, n_vocab, t);
    return RUNG_OK;
}
