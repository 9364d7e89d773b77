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

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_tokens),
                                       cmocka_unit_test(test_samples)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
