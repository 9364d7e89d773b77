/* Rows of the table under a net without all the logits at once. Rows of logprobs: blocks of the
 * positions that count, made for the logprobs and, where they are more than one block, once more
 * for the gradient. Rows of scores: two rows of the output matrix. */
#include "train/loss_logits.h"
#include "train/loss_net.h"
#include "train/net.h"

#define HEAD_BYTES ((int64_t)96 << 20) /* logits of one block, as for cross entropy */

/* Positions that count, a block of them after the other. Arrays [cap] but row. */
typedef struct walk {
    int64_t *row, n_rows; /* all of them */
    int64_t cap, made;    /* of a block; which block's logits are there (-1: none) */
    real *z, *x;          /* [cap][V], [cap][D] */
    int32_t *tok;
    double *mask, *logprob, *entropy, *dlogprob, *dentropy;
} walk;

static void walk_clear(walk *k) {
    rung_free(k->row);
    rung_free(k->tok);
    rung_free(k->mask);
}

static rung_status walk_init(walk *k, rung_core *c, const rung_loss_plug *p, rung_error *err) {
    int64_t d = c->shape.n_embd, v = c->shape.n_vocab, act = c->shape.n_ff;
    if (c->dim[DIM_A] > act) act = c->dim[DIM_A];
    *k = (walk){.made = -1, .row = rung_alloc((size_t)(p->n + 1) * sizeof *k->row)};
    if (!k->row) return rung_fail(err, RUNG_E_NOMEM, "no memory for %lld rows", (long long)p->n);
    for (int64_t i = 0; i < p->n; i++)
        if (p->mask[i] != 0) k->row[k->n_rows++] = i;
    k->cap = HEAD_BYTES / (v * (int64_t)sizeof(real));
    if (k->cap > k->n_rows) k->cap = k->n_rows;
    if (k->cap * d > c->n * act) k->cap = c->n * act / d; /* c->act takes the gradient */
    if (k->cap < 1) k->cap = 1;
    k->tok = rung_alloc((size_t)k->cap * sizeof *k->tok);
    k->mask = rung_alloc((size_t)(5 * k->cap) * sizeof *k->mask);
    if (!k->tok || !k->mask)
        return rung_fail(err, RUNG_E_NOMEM, "no memory for a block of %lld rows",
                         (long long)k->cap);
    k->logprob = k->mask + k->cap;
    k->entropy = p->entropy ? k->mask + 2 * k->cap : NULL;
    k->dlogprob = k->mask + 3 * k->cap;
    k->dentropy = p->entropy ? k->mask + 4 * k->cap : NULL;
    RUNG_TRY(rung_core_grow(&c->head, &c->cap_head, k->cap * (v + d), "a block of logits", err));
    k->z = c->head;
    k->x = c->head + k->cap * v;
    return RUNG_OK;
}

static int64_t block_rows(const walk *k, int64_t block) {
    int64_t left = k->n_rows - block * k->cap;
    return left < k->cap ? left : k->cap;
}

/* The logits of a block. */
static bool make(walk *k, rung_core *c, const rung_loss_plug *p, int64_t block) {
    int64_t d = c->shape.n_embd, n = block_rows(k, block);
    const int64_t *row = k->row + block * k->cap;
    if (k->made == block) return true;
    for (int64_t i = 0; i < n; i++) {
        memcpy(k->x + i * d, c->xf + row[i] * d, (size_t)d * sizeof(real));
        k->tok[i] = p->o->tok[row[i]];
        k->mask[i] = 1;
    }
    k->made = block;
    return rung_core_head(c, k->z, c->shape.n_vocab, k->x, n);
}

static rung_status read_logprobs(rung_loss_plug *p, walk *k, rung_net *net, rung_error *err) {
    rung_core *c = net->core;
    memset(p->x, 0, (size_t)p->n * sizeof *p->x);
    if (p->entropy) memset(p->entropy, 0, (size_t)p->n * sizeof *p->entropy);
    for (int64_t block = 0; block * k->cap < k->n_rows; block++) {
        int64_t n = block_rows(k, block);
        const int64_t *row = k->row + block * k->cap;
        if (!make(k, c, p, block)) return rung_core_no_product(err);
        rung_logits_logprob(k->logprob, k->entropy, k->z, k->tok, k->mask, n, c->shape.n_vocab,
                            p->temperature);
        for (int64_t i = 0; i < n; i++) {
            if (!isfinite(k->logprob[i])) return rung_net_not_finite(net, "logprob", err);
            p->x[row[i]] = k->logprob[i];
            if (p->entropy) p->entropy[row[i]] = k->entropy[i];
        }
    }
    return RUNG_OK;
}

/* Into c->xn = dL/dxf, and into the head's gradient; each block's logits become their gradient. */
static rung_status logprobs_back(const rung_loss_plug *p, walk *k, rung_core *c, double scale,
                                 rung_error *err) {
    int64_t d = c->shape.n_embd;
    memset(c->xn, 0, (size_t)(c->n * d) * sizeof(real));
    for (int64_t block = 0; block * k->cap < k->n_rows; block++) {
        int64_t n = block_rows(k, block);
        const int64_t *row = k->row + block * k->cap;
        if (!make(k, c, p, block)) return rung_core_no_product(err);
        for (int64_t i = 0; i < n; i++) {
            k->dlogprob[i] = scale * p->dx[row[i]];
            if (k->dentropy) k->dentropy[i] = scale * p->dentropy[row[i]];
        }
        rung_logits_logprob_back(k->z, k->dlogprob, k->dentropy, k->z, k->tok, k->mask, n,
                                 c->shape.n_vocab, p->temperature);
        k->made = -1;
        if (!rung_core_head_back(c, c->act, k->z, c->shape.n_vocab, k->x, n))
            return rung_core_no_product(err);
        for (int64_t i = 0; i < n; i++)
            memcpy(c->xn + row[i] * d, c->act + i * d, (size_t)d * sizeof(real));
    }
    return rung_core_read_done(c, err);
}

static rung_status grad_logprobs(double *value, int64_t *n_terms, rung_loss_plug *p, walk *k,
                                 rung_net *net, double scale, rung_error *err) {
    RUNG_TRY(walk_init(k, net->core, p, err));
    RUNG_TRY(read_logprobs(p, k, net, err));
    RUNG_TRY(rung_loss_plug_eval(value, n_terms, p, err));
    if (!isfinite(*value)) return rung_net_not_finite(net, "loss", err);
    return logprobs_back(p, k, net->core, scale, err);
}

static rung_status grad_words(double *value, int64_t *n_terms, rung_loss_plug *p, rung_net *net,
                              double scale, rung_error *err) {
    int32_t plus = p->o->plus, minus = p->o->minus;
    RUNG_TRY(rung_core_words(p->x, net->core, plus, minus, p->mask, err));
    for (int64_t i = 0; i < p->n; i++)
        if (!isfinite(p->x[i])) return rung_net_not_finite(net, "score", err);
    RUNG_TRY(rung_loss_plug_eval(value, n_terms, p, err));
    if (!isfinite(*value)) return rung_net_not_finite(net, "loss", err);
    for (int64_t i = 0; i < p->n; i++) p->dx[i] *= scale;
    return rung_core_words_back(net->core, p->dx, plus, minus, err);
}

rung_status rung_net_grad_row(double *value, int64_t *n_terms, rung_net *net, const rung_batch *b,
                              rung_loss_on_net *loss, double scale, rung_error *err) {
    rung_loss_plug p;
    walk k = {0};
    double val = 0;
    int64_t terms = 0;
    RUNG_TRY(rung_loss_plug_init(&p, loss, b, net->core->shape.n_vocab, err));
    rung_net_begin(net);
    rung_status st = rung_core_hidden(net->core, b, err);
    if (st == RUNG_OK)
        st = p.words ? grad_words(&val, &terms, &p, net, scale, err)
                     : grad_logprobs(&val, &terms, &p, &k, net, scale, err);
    net->core->lora.step = -1;
    net->micro++;
    if (value) *value = val;
    if (n_terms) *n_terms = terms;
    walk_clear(&k);
    rung_loss_plug_clear(&p);
    return st;
}

rung_status rung_net_logprobs(double *logprob, double *entropy, rung_net *net, const rung_batch *b,
                              const int32_t *tok, const double *mask, double temperature,
                              rung_error *err) {
    walk k = {0};
    rung_loss_on_net o = {.tok = tok};
    rung_loss_plug p = {.o = &o,
                        .n = (int64_t)b->n_rows * b->n_tok,
                        .n_vocab = net->core->shape.n_vocab,
                        .temperature = temperature > 0 ? temperature : 1,
                        .mask = (double *)(uintptr_t)mask, /* is only read here */
                        .x = logprob,
                        .entropy = entropy};
    for (int64_t i = 0; i < p.n; i++)
        if (mask[i] != 0 && (tok[i] < 0 || tok[i] >= p.n_vocab))
            return rung_fail(err, RUNG_E_INVAL, "position %lld: token %d of %d", (long long)i,
                             tok[i], p.n_vocab);
    RUNG_TRY(rung_core_hidden(net->core, b, err));
    rung_status st = walk_init(&k, net->core, &p, err);
    if (st == RUNG_OK) st = read_logprobs(&p, &k, net, err);
    walk_clear(&k);
    return st;
}

rung_status rung_net_grad_pair(double *value, int64_t *n_terms, rung_net *net, const rung_batch *b,
                               const rung_loss_pair *pair, double scale, rung_error *err) {
    int64_t n = (int64_t)b->n_rows * b->n_tok;
    double *target = rung_alloc((size_t)(2 * n + 1) * sizeof *target), *mask = target + n;
    if (!target) return rung_fail(err, RUNG_E_NOMEM, "no memory for %lld rows", (long long)n);
    for (int64_t i = 0; i < n; i++) {
        target[i] = (double)pair->target[i];
        mask[i] = (double)pair->weight[i];
    }
    rung_loss_on_net l = {.id = RUNG_LOSS_BCE,
                          .opts = RUNG_LOSS_OPTS_INIT,
                          .data = {.n = n, .n_samples = n, .target = target, .mask = mask},
                          .plus = pair->plus,
                          .minus = pair->minus};
    rung_status st = rung_net_grad_row(value, n_terms, net, b, &l, scale, err);
    rung_free(target);
    return st;
}
