/* What a batch looks like must not matter: documents packed or one a row, in any order, with more
 * padding, all at once or one micro-batch after the other - the same loss and the same gradient of
 * every weight, for a loss of tokens and for one of whole samples. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "rung/loss.h"
#include "train/net.h"

#include <cmocka.h>

enum { DOCS = 6, LONGEST = 9, MAX = 128 };
static const rung_net_shape SHAPE = {.n_vocab = 19,
                                     .n_embd = 16,
                                     .n_layer = 2,
                                     .n_head = 4,
                                     .n_head_kv = 2,
                                     .n_ff = 24,
                                     .n_ctx = 16,
                                     .rope_base = 10000,
                                     .rms_eps = 1e-5f};
static const int32_t length[DOCS] = {9, 1, 4, 7, 2, 5};
static rung_error err;

/* f32 sums of other lengths and orders: gradients agree to a few roundings of their size. */
#define TOLERANCE 1e-5

typedef struct batch {
    int32_t rows, n_tok, tok[MAX], doc[MAX], target[MAX], sample[MAX];
    double mask[MAX], ref[MAX], label[DOCS], weight[DOCS];
} batch;

static uint64_t draw(int32_t d, int32_t t, uint64_t below) {
    rung_rng r = rung_rng_at(12, RUNG_STREAM_TEST, (uint64_t)d, (uint64_t)t);
    return rung_rng_below(&r, below);
}

static void begin(batch *b, int32_t rows, int32_t n_tok) {
    memset(b, 0, sizeof *b);
    b->rows = rows;
    b->n_tok = n_tok;
    assert_true(rows * n_tok <= MAX);
    for (int i = 0; i < MAX; i++) b->doc[i] = b->sample[i] = -1, b->tok[i] = i % 19;
    for (int d = 0; d < DOCS; d++) b->label[d] = d % 2, b->weight[d] = 0.5 + d;
}

/* Document d as the k-th of its row, from column `at`. */
static void put(batch *b, int32_t d, int32_t row, int32_t at, int32_t k) {
    for (int32_t t = 0; t < length[d]; t++) {
        int32_t i = row * b->n_tok + at + t;
        b->tok[i] = (int32_t)draw(d, t, 19);
        b->target[i] = (int32_t)draw(d, t + 100, 19);
        b->doc[i] = k;
        b->sample[i] = d;
        b->mask[i] = draw(d, t + 200, 4) > 0;
        b->ref[i] = -(double)draw(d, t + 300, 5);
    }
}

/* Adds to the net's gradients; returns the value. */
static double grad(rung_net *net, const batch *b, rung_loss_id id, double denominator) {
    rung_loss_on_net row = {.id = id, .opts = RUNG_LOSS_OPTS_INIT, .tok = b->target};
    row.opts.aggregation = RUNG_LOSS_SEQ_MEAN_TOKEN_MEAN;
    row.opts.denominator = denominator;
    row.data = (rung_loss_data){.n = b->rows * b->n_tok,
                                .mask = b->mask,
                                .sample = b->sample,
                                .ref = b->ref,
                                .n_samples = DOCS,
                                .weight = b->weight,
                                .label = b->label};
    rung_loss loss = {rung_loss_on_net_fn, &row};
    double value;
    int64_t n_terms;
    rung_batch in = {b->rows, b->n_tok, b->tok, b->doc};
    if (rung_net_grad(&value, &n_terms, net, &in, &loss, 1, &err) != RUNG_OK)
        fail_msg("%s", err.what);
    return value;
}

typedef struct result {
    double value;
    float *g;
    int64_t n;
} result;

static void take(result *r, rung_net *net, double value) {
    rung_core *c = net->core;
    r->value = value;
    r->n = c->n_params;
    r->g = malloc((size_t)r->n * sizeof *r->g);
    memcpy(r->g, c->dw, (size_t)r->n * sizeof *r->g);
    memset(c->dw, 0, (size_t)r->n * sizeof *c->dw);
}

static void same(const result *want, result *got, const char *how) {
    double top = 0;
    for (int64_t i = 0; i < want->n; i++) top = fmax(top, fabs(want->g[i]));
    if (!(fabs(want->value - got->value) <= TOLERANCE))
        fail_msg("%s: loss %.9g, not %.9g", how, got->value, want->value);
    for (int64_t i = 0; i < want->n; i++) {
        if (!(fabs(want->g[i] - got->g[i]) <= TOLERANCE * top))
            fail_msg("%s: gradient %lld is %.9g, not %.9g", how, (long long)i, got->g[i],
                     want->g[i]);
    }
    free(got->g);
}

static void check(rung_loss_id id) {
    static batch b;
    rung_net *net;
    result want, got;
    assert_int_equal(rung_net_new(&net, &SHAPE, 4, &err), RUNG_OK);
    for (int64_t i = 0; i < net->core->n_params; i++) net->core->w[i] *= 8; /* not nearly linear */
    begin(&b, DOCS, LONGEST);
    for (int32_t d = 0; d < DOCS; d++) put(&b, d, d, 0, 0);
    take(&want, net, grad(net, &b, id, 0));
    assert_true(want.value > 0.1);

    begin(&b, 3, 14); /* packed */
    put(&b, 0, 0, 0, 0);
    put(&b, 1, 0, 9, 1);
    put(&b, 2, 0, 10, 2);
    put(&b, 3, 1, 0, 0);
    put(&b, 4, 1, 7, 1);
    put(&b, 5, 2, 0, 0);
    take(&got, net, grad(net, &b, id, 0));
    same(&want, &got, "packed");

    begin(&b, DOCS + 2, 13); /* another order, more padding, rows of nothing else */
    for (int32_t d = 0; d < DOCS; d++) put(&b, d, DOCS - d, 0, 0);
    for (int i = 0; i < MAX; i++)
        if (b.doc[i] < 0) b.ref[i] = NAN;
    take(&got, net, grad(net, &b, id, 0));
    same(&want, &got, "permuted and padded");

    double all = 0, sum = 0; /* micro-batches of one document */
    for (int32_t d = 0; d < DOCS; d++) {
        double counts = 0;
        for (int32_t t = 0; t < length[d]; t++) counts += draw(d, t + 200, 4) > 0;
        if (counts > 0) all += 0.5 + d;
    }
    for (int32_t d = 0; d < DOCS; d++) {
        begin(&b, 1, length[d]);
        put(&b, d, 0, 0, 0);
        sum += grad(net, &b, id, all);
    }
    take(&got, net, sum);
    same(&want, &got, "accumulated");
    free(want.g);
    rung_net_free(net);
}

static void test_tokens(void **state) {
    (void)state;
    check(RUNG_LOSS_CE);
}

static void test_samples(void **state) {
    (void)state;
    check(RUNG_LOSS_IMPLICIT_CE);
}

/* Blocks of logits against all of them: the same loss given as one that wants all logits. */
static rung_status all_logits(double *value, int64_t *n_terms, float *dlogits, const float *logits,
                              const rung_batch *b, int32_t n_vocab, void *ud, rung_error *e) {
    return rung_loss_on_net_fn(value, n_terms, dlogits, logits, b, n_vocab, ud, e);
}

static rung_loss_on_net row_of(const batch *b, rung_loss_id id) {
    rung_loss_on_net row = {
        .id = id, .opts = RUNG_LOSS_OPTS_INIT, .tok = b->target, .plus = 3, .minus = 8};
    row.data = (rung_loss_data){.n = b->rows * b->n_tok,
                                .mask = b->mask,
                                .sample = b->sample,
                                .ref = b->ref,
                                .old = b->ref,
                                .advantage = b->ref,
                                .n_samples = DOCS,
                                .weight = b->weight,
                                .label = b->label};
    return row;
}

static void both_ways(rung_net *net, const batch *b, rung_loss_on_net row, const char *how) {
    result want, got;
    int64_t terms[2];
    double value[2];
    rung_loss_on_net other = row;
    rung_loss full = {all_logits, &row}, fused = {rung_loss_on_net_fn, &other};
    rung_batch in = {b->rows, b->n_tok, b->tok, b->doc};
    if (rung_net_grad(&value[0], &terms[0], net, &in, &full, 1.5, &err) != RUNG_OK)
        fail_msg("%s: %s", how, err.what);
    take(&want, net, value[0]);
    if (rung_net_grad(&value[1], &terms[1], net, &in, &fused, 1.5, &err) != RUNG_OK)
        fail_msg("%s: %s", how, err.what);
    take(&got, net, value[1]);
    assert_int_equal(terms[0], terms[1]);
    assert_true(terms[0] > 3);
    assert_float_equal(row.entropy, other.entropy, 1e-6);
    same(&want, &got, how);
    free(want.g);
}

static void test_fused(void **state) {
    (void)state;
    static batch b;
    rung_net *net;
    rung_net_shape shape = SHAPE;
    /* act holds n * 4 / 16 rows: blocks of a few positions, each made twice */
    shape.n_ff = 4, shape.n_head = 1, shape.n_head_kv = 1, shape.n_head_dim = 4;
    assert_int_equal(rung_net_new(&net, &shape, 4, &err), RUNG_OK);
    for (int64_t i = 0; i < net->core->n_params; i++) net->core->w[i] *= 8;
    begin(&b, DOCS, LONGEST);
    for (int32_t d = 0; d < DOCS; d++) put(&b, d, d, 0, 0);
    both_ways(net, &b, row_of(&b, RUNG_LOSS_CE), "ce");
    both_ways(net, &b, row_of(&b, RUNG_LOSS_IMPLICIT_CE), "implicit");
    rung_loss_on_net ppo = row_of(&b, RUNG_LOSS_PPO);
    ppo.temperature = 0.7;
    ppo.entropy_coef = -0.2;
    ppo.opts.kl_coef = 0.1;
    both_ways(net, &b, ppo, "ppo with entropy, temperature and KL");
    rung_loss_on_net words = row_of(&b, RUNG_LOSS_BCE);
    double target[MAX];
    for (int i = 0; i < MAX; i++) target[i] = (i % 5) / 4.0;
    words.data.target = target;
    both_ways(net, &b, words, "two words");
    rung_net_free(net);
}

static rung_status not_a_number(double *value, int64_t *n_terms, float *dhidden,
                                const float *hidden, const rung_batch *b, int32_t n_embd, void *ud,
                                rung_error *e) {
    (void)ud;
    (void)e;
    *value = (double)NAN;
    *n_terms = b->n_rows;
    memcpy(dhidden, hidden, (size_t)b->n_tok * (size_t)n_embd * sizeof *dhidden);
    return RUNG_OK;
}

/* A head trains with the net: a value head learns what the states say, its gradient through a loss
 * of hidden states is the head's own, and its misuses are told. */
static void value_head(int32_t n_out) {
    static batch b;
    rung_net *net;
    int64_t at[DOCS];
    double target[DOCS], score[DOCS], first = 0, value = 0, norm;
    assert_int_equal(rung_net_new(&net, &SHAPE, 4, &err), RUNG_OK);
    int64_t own = rung_net_n_params(net);
    begin(&b, DOCS, LONGEST);
    for (int32_t d = 0; d < DOCS; d++) {
        put(&b, d, d, 0, 0);
        at[d] = d * LONGEST + length[d] - 1;
        target[d] = d % 3 / 2.0;
    }
    rung_batch in = {b.rows, b.n_tok, b.tok, b.doc};
    assert_int_equal(rung_net_scores(score, net, &in, at, DOCS, &err), RUNG_E_MISUSE);
    assert_int_equal(rung_net_add_head(net, 6, n_out, NULL, NULL, 9, &err), RUNG_OK);
    assert_int_equal(rung_net_add_head(net, 6, n_out, NULL, NULL, 9, &err), RUNG_E_MISUSE);
    assert_int_equal(rung_net_n_params(net), own + 6 * (17 + n_out) + n_out);
    rung_loss_on_head l = {.id = RUNG_LOSS_VALUE, .opts = RUNG_LOSS_OPTS_INIT, .at = at};
    l.data = (rung_loss_data){.n = DOCS, .n_samples = DOCS, .target = target};
    l.score = score;
    rung_adamw adamw = RUNG_ADAMW_INIT;
    adamw.lr = 0.01;
    float *before = malloc((size_t)own * sizeof *before);
    memcpy(before, net->core->w, (size_t)own * sizeof *before);
    for (int i = 0; i < 60; i++) {
        if (rung_net_grad_head(&value, net, &in, &l, 1, &err) != RUNG_OK) fail_msg("%s", err.what);
        if (i == 0) first = value;
        assert_int_equal(rung_net_step(&norm, net, &adamw, &err), RUNG_OK);
    }
    print_message("  value head of %d outputs: loss %.4f, after 60 steps %.2g\n", n_out, first,
                  value);
    assert_true(value < first / 100);
    int64_t moved = 0;
    for (int64_t i = 0; i < own; i++) moved += before[i] != net->core->w[i];
    assert_true(moved > own * 9 / 10); /* the net itself has trained */
    rung_head *h;
    const float *hidden;
    assert_int_equal(rung_net_scores(score, net, &in, at, DOCS, &err), RUNG_OK);
    assert_int_equal(rung_net_get_head(&h, net, &err), RUNG_OK);
    assert_int_equal(rung_net_hidden(&hidden, net, &in, &err), RUNG_OK);
    for (int d = 0; d < DOCS; d++)
        assert_float_equal(rung_head_score(h, hidden + at[d] * SHAPE.n_embd),
                           1 / (1 + exp(-score[d])), 1e-6);
    rung_head_free(h);
    l.id = RUNG_LOSS_CE;
    assert_int_equal(rung_net_grad_head(&value, net, &in, &l, 1, &err), RUNG_E_INVAL);
    l.id = RUNG_LOSS_BCE;
    at[2] = DOCS * LONGEST;
    assert_int_equal(rung_net_grad_head(&value, net, &in, &l, 1, &err), RUNG_E_INVAL);
    rung_loss_hidden nan = {not_a_number, NULL};
    int64_t terms;
    assert_int_equal(rung_net_grad_hidden(&value, &terms, net, &in, &nan, 1, &err), RUNG_E_FORMAT);
    free(before);
    rung_net_free(net);
}

static void test_head(void **state) {
    (void)state;
    value_head(1);
    value_head(2);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_tokens),
                                       cmocka_unit_test(test_samples), cmocka_unit_test(test_fused),
                                       cmocka_unit_test(test_head)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
