/* Corpus: the writer's rates within binomial bounds, checking text exact, vocabulary lossless. */
#include "problem/world.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { N_DOCS = 20000 };

/* The chain behind a `total` prompt, read back from its text. */
static void chain_of_total(chain *c, const char *q) {
    memset(c, 0, sizeof *c);
    int n = 0;
    assert_int_equal(sscanf(q, "Start at %d.%n", &c->start, &n), 1);
    for (q += n; *q == ' ' && q[1] != 'T';) {
        char *end;
        c->op[c->n].o = q[1];
        c->op[c->n++].b = (int32_t)strtol(q + 2, &end, 10);
        q = end;
        if (*q == '.') q++;
    }
}

static void make(rung_buf *p, rung_buf *d, const rung_corpus_opts *o, uint64_t i) {
    rung_error err = RUNG_ERROR_INIT;
    rung_buf_reset(p), rung_buf_reset(d);
    if (rung_corpus_make(p, d, o, i, &err) != RUNG_OK) fail_msg("%s", err.what);
}

/* |k/n - p| within 4.5 standard deviations. */
static void within(const char *what, int64_t k, int64_t n, double p) {
    double sd = sqrt(p * (1 - p) / (double)n), got = (double)k / (double)n;
    print_message("  %-28s %.4f of %lld, want %.4f\n", what, got, (long long)n, p);
    if (n < 100 || fabs(got - p) > 4.5 * sd + 1e-12) fail_msg("%s: %g, want %g", what, got, p);
}

typedef struct tally {
    int64_t n_hard, hard_wrong, n_easy, easy_wrong, n_after, repaired, docs, docs_right,
        docs_greedy;
} tally;

static void tally_doc(tally *t, const chain *c, const char *doc) {
    int64_t truth = c->start, w = c->start;
    bool right = true;
    const char *p = doc;
    for (int32_t k = 0; k < c->n; k++) {
        const char *end = strchr(p, '\n');
        line l = line_parse(p, (size_t)(end - p));
        assert_int_equal(l.kind, LINE_OP);
        assert_true(l.o == c->op[k].o && l.b == c->op[k].b);
        if (w != truth) {
            t->n_after++;
            assert_true(l.a == w || l.a == truth);
            t->repaired += l.a == truth;
        } else {
            assert_true(l.a == truth);
        }
        bool wrong = l.c != chain_apply(l.a, l.o, l.b);
        if (chain_is_hard(l.a, l.o, l.b)) {
            t->n_hard++;
            t->hard_wrong += wrong;
        } else {
            t->n_easy++;
            t->easy_wrong += wrong;
        }
        truth = chain_apply(truth, l.o, l.b);
        right = right && !wrong;
        w = l.c;
        p = end + 1;
    }
    line last = line_parse(p, strlen(p));
    assert_int_equal(last.kind, LINE_FINAL);
    assert_true(last.c == w);
    t->docs++;
    t->docs_right += w == truth;
}

static tally run(const rung_corpus_opts *o) {
    rung_buf p, d;
    tally t = {0};
    rung_buf_init(&p, 1 << 16), rung_buf_init(&d, 1 << 16);
    for (uint64_t i = 0; i < N_DOCS; i++) {
        chain c;
        make(&p, &d, o, i);
        assert_int_equal(rung_corpus_kind_at(o, i), RUNG_CORPUS_SOLVE);
        chain_of_total(&c, p.data);
        tally_doc(&t, &c, d.data);
    }
    rung_buf_clear(&p), rung_buf_clear(&d);
    return t;
}

static void writer_rates(void **state) {
    (void)state;
    rung_corpus_opts o = RUNG_CORPUS_OPTS_INIT;
    o.share_check = 0;
    o.worlds = "total";
    o.seed = 11;
    tally t = run(&o);
    double slip = (0.0 + 0.01 + 0.03 + 0.06) / 4;
    within("slips at easy operations", t.easy_wrong, t.n_easy, slip);
    within("misconception or slip, hard", t.hard_wrong, t.n_hard, 0.6 + 0.4 * slip);
    within("restarts after an error", t.repaired, t.n_after, 0.1);
    print_message("  hard %.4f of operations; %.4f of documents end right\n",
                  (double)t.n_hard / (double)(t.n_hard + t.n_easy),
                  (double)t.docs_right / (double)t.docs);
    o.slip = 0.2, o.misconception = 0.25, o.repair = 0.5, o.hard = 0.3;
    t = run(&o);
    within("slips at .2", t.easy_wrong, t.n_easy, 0.2);
    within("misconception at .25", t.hard_wrong, t.n_hard, 0.25 + 0.75 * 0.2);
    within("restarts at .5", t.repaired, t.n_after, 0.5);
    o.slip = 0, o.misconception = 0, o.repair = 0;
    t = run(&o);
    assert_int_equal(t.easy_wrong + t.hard_wrong, 0);
    assert_int_equal(t.docs_right, t.docs);
}

static void hard_slip_is_off_by_ten(void **state) {
    (void)state;
    rung_buf p, d;
    rung_buf_init(&p, 1 << 16), rung_buf_init(&d, 1 << 16);
    rung_corpus_opts o = RUNG_CORPUS_OPTS_INIT;
    o.share_check = 0, o.slip = 0, o.misconception = 1, o.hard = 0.5;
    int64_t n = 0;
    for (uint64_t i = 0; i < 500; i++) {
        make(&p, &d, &o, i);
        for (char *s = d.data; *s; s = strchr(s, '\n') + 1) {
            line l = line_parse(s, strcspn(s, "\n"));
            if (l.kind != LINE_OP) continue;
            int64_t off = l.c - chain_apply(l.a, l.o, l.b);
            bool hard = chain_is_hard(l.a, l.o, l.b);
            assert_int_equal(off, !hard ? 0 : l.o == '+' ? -10 : 10);
            n += hard;
        }
    }
    assert_true(n > 500);
    rung_buf_clear(&p), rung_buf_clear(&d);
}

static void word_uses_the_distractor(void **state) {
    (void)state;
    rung_buf p, d;
    rung_buf_init(&p, 1 << 16), rung_buf_init(&d, 1 << 16);
    rung_corpus_opts on = RUNG_CORPUS_OPTS_INIT, off = RUNG_CORPUS_OPTS_INIT;
    on.share_check = off.share_check = 0, on.slip = off.slip = 0;
    on.misconception = off.misconception = 0;
    on.worlds = off.worlds = "word";
    on.distract = 0.5, off.distract = -1;
    int64_t n_differ = 0;
    for (uint64_t i = 0; i < 1000; i++) {
        make(&p, &d, &off, i);
        char *plain = rung_strdup(d.data);
        make(&p, &d, &on, i);
        n_differ += strcmp(plain, d.data) != 0;
        for (char *s = d.data; *s; s = strchr(s, '\n') + 1) { /* the lines themselves hold */
            line l = line_parse(s, strcspn(s, "\n"));
            if (l.kind == LINE_OP) assert_int_equal(l.c, chain_apply(l.a, l.o, l.b));
        }
        rung_free(plain);
    }
    assert_in_range(n_differ, 550, 750); /* about .7 of the problems have a distractor */
    rung_buf_clear(&p), rung_buf_clear(&d);
}

static void checking_text_is_exact_and_balanced(void **state) {
    (void)state;
    rung_buf p, d;
    rung_buf_init(&p, 1 << 16), rung_buf_init(&d, 1 << 16);
    rung_corpus_opts o = RUNG_CORPUS_OPTS_INIT;
    o.share_check = 1;
    o.bare = 0;
    int64_t n[3] = {0}, wrong[3] = {0}, tens[2] = {0}; /* easy, hard, final */
    for (uint64_t i = 0; i < N_DOCS; i++) {
        make(&p, &d, &o, i);
        assert_int_equal(rung_corpus_kind_at(&o, i), RUNG_CORPUS_CHECK);
        int64_t above = 0;
        for (char *s = d.data; *s;) {
            size_t len = strcspn(s, "\n");
            line l = line_parse(s, len);
            const char *v = s + len + 1;
            bool plus = memcmp(v, "<+>", 3) == 0;
            assert_true(plus || memcmp(v, "<->", 3) == 0);
            int k = 2;
            if (l.kind == LINE_OP) {
                k = chain_is_hard(l.a, l.o, l.b);
                int64_t c = chain_apply(l.a, l.o, l.b);
                assert_int_equal(plus, l.c == c);
                if (!plus) tens[k] += llabs(l.c - c) == 10;
                above = l.c;
            } else {
                assert_int_equal(l.kind, LINE_FINAL);
                assert_int_equal(plus, l.c == above);
            }
            n[k]++;
            wrong[k] += !plus;
            s += len + 4;
        }
    }
    within("wrong at easy operations", wrong[0], n[0], 0.4);
    within("wrong at hard operations", wrong[1], n[1], 0.4);
    within("wrong at the last line", wrong[2], n[2], 0.4);
    double hard = (double)n[1] / (double)(n[0] + n[1]);
    print_message("  hard %.3f; off by ten: easy %.3f hard %.3f of the wrong\n", hard,
                  (double)tens[0] / (double)wrong[0], (double)tens[1] / (double)wrong[1]);
    assert_true(hard > 0.2 && hard < 0.4);
    for (int k = 0; k < 2; k++)
        assert_true((double)tens[k] / (double)wrong[k] > 0.45 &&
                    (double)tens[k] / (double)wrong[k] < 0.65);
    rung_buf_clear(&p), rung_buf_clear(&d);
}

static void bare_lines(void **state) {
    (void)state;
    rung_buf p, d;
    rung_buf_init(&p, 1 << 16), rung_buf_init(&d, 1 << 16);
    rung_corpus_opts o = RUNG_CORPUS_OPTS_INIT;
    o.share_check = 1;
    int64_t n_bare = 0, n = 0, n_same = 0, wrong = 0, wrong_same = 0;
    for (uint64_t i = 0; i < N_DOCS; i++) {
        make(&p, &d, &o, i);
        if (p.n) continue;
        n_bare++;
        for (char *s = d.data; *s; s = strchr(s, '\n') + 4) {
            char *end;
            int64_t a = strtoll(s, &end, 10);
            bool same = *end == '=';
            line l = same ? (line){LINE_OP, a, 0, strtoll(end + 1, &end, 10), '+'}
                          : line_parse(s, strcspn(s, "\n"));
            assert_int_equal(l.kind, LINE_OP);
            bool plus = memcmp(strchr(s, '\n') + 1, "<+>", 3) == 0;
            assert_int_equal(plus, l.c == chain_apply(l.a, l.o, l.b));
            n++, n_same += same;
            wrong += !plus, wrong_same += same && !plus;
        }
    }
    within("documents of bare lines", n_bare, N_DOCS, 0.5);
    within("a number and itself", n_same, n, 0.25);
    within("wrong lines", wrong, n, 0.4);
    within("wrong among the equalities", wrong_same, n_same, 0.4);
    o.bare = 1.5;
    rung_error err = RUNG_ERROR_INIT;
    assert_int_equal(rung_corpus_make(&p, &d, &o, 0, &err), RUNG_E_INVAL);
    rung_buf_clear(&p), rung_buf_clear(&d);
}

static void kinds_worlds_and_no_held_out_question(void **state) {
    (void)state;
    rung_buf p, d;
    rung_buf_init(&p, 1 << 16), rung_buf_init(&d, 1 << 16);
    rung_corpus_opts o = RUNG_CORPUS_OPTS_INIT;
    int64_t n_check = 0, n_total = 0, n_bare = 0;
    for (uint64_t i = 0; i < N_DOCS; i++) {
        make(&p, &d, &o, i);
        bool check = strstr(d.data, "<+>") || strstr(d.data, "<->");
        assert_int_equal(check, rung_corpus_kind_at(&o, i) == RUNG_CORPUS_CHECK);
        n_check += check;
        n_bare += p.n == 0;
        if (p.n == 0) continue;
        n_total += memcmp(p.data, "Start at", 8) == 0;
        assert_true(rung_world_bucket(p.data, p.n) > 1);
    }
    within("checking text", n_check, N_DOCS, 0.3);
    within("world total", n_total, N_DOCS - n_bare, 0.5);
    rung_error err = RUNG_ERROR_INIT;
    o.worlds = "total,nope";
    assert_int_equal(rung_corpus_make(&p, &d, &o, 0, &err), RUNG_E_NOT_FOUND);
    o.worlds = NULL;
    o.slip = 1.5;
    assert_int_equal(rung_corpus_make(&p, &d, &o, 0, &err), RUNG_E_INVAL);
    rung_buf_clear(&p), rung_buf_clear(&d);
}

static void same_address_same_document(void **state) {
    (void)state;
    rung_buf p, d, p2, d2;
    rung_buf_init(&p, 1 << 16), rung_buf_init(&d, 1 << 16);
    rung_buf_init(&p2, 1 << 16), rung_buf_init(&d2, 1 << 16);
    rung_corpus_opts o = RUNG_CORPUS_OPTS_INIT;
    o.seed = 1;
    for (uint64_t i = 0; i < 100; i++) {
        make(&p, &d, &o, i);
        make(&p2, &d2, &o, i + 1);
        assert_string_not_equal(d.data, d2.data);
        make(&p2, &d2, &o, i);
        assert_string_equal(p.data, p2.data);
        assert_string_equal(d.data, d2.data);
    }
    rung_buf_clear(&p), rung_buf_clear(&d), rung_buf_clear(&p2), rung_buf_clear(&d2);
}

static void identity(const rung_vocab *v, const char *text, int32_t n, bool control) {
    int32_t *id = rung_alloc((size_t)(n + 1) * sizeof *id), at = 0;
    int32_t n_id = rung_vocab_encode(id, n, v, text, n, control);
    assert_true(n_id <= n);
    for (int32_t k = 0; k < n_id; k++) {
        const rung_vocab_token *t = rung_vocab_at(v, id[k]);
        assert_true(t && at + t->n_bytes <= n);
        assert_memory_equal(text + at, t->bytes, (size_t)t->n_bytes);
        at += t->n_bytes;
    }
    assert_int_equal(at, n);
    rung_free(id);
}

static void vocabulary(void **state) {
    (void)state;
    rung_vocab *v = NULL;
    rung_error err = RUNG_ERROR_INIT;
    assert_int_equal(rung_corpus_vocab(&v, &err), RUNG_OK);
    int32_t n = rung_vocab_size(v);
    print_message("  %d tokens\n", n);
    assert_in_range(n, 300, 260 + 250); /* at most 250 words */
    static const char *const control[] = {"<|eos|>", "<?>", "<+>", "<->"};
    for (int32_t i = 0; i < 4; i++) {
        assert_string_equal(rung_vocab_at(v, i)->bytes, control[i]);
        assert_int_equal(rung_vocab_at(v, i)->kind, RUNG_VOCAB_CONTROL);
    }
    for (int32_t i = 4; i < 260; i++) {
        assert_int_equal((unsigned char)rung_vocab_at(v, i)->bytes[0], i - 4);
        assert_int_equal(rung_vocab_at(v, i)->n_bytes, 1);
        assert_int_equal(rung_vocab_at(v, i)->kind, RUNG_VOCAB_BYTE);
    }
    for (int32_t i = 260; i < n; i++) {
        assert_int_equal(rung_vocab_at(v, i)->kind, RUNG_VOCAB_WORD);
        assert_null(strpbrk(rung_vocab_at(v, i)->bytes, "0123456789"));
    }
    assert_null(rung_vocab_at(v, n));
    assert_null(rung_vocab_at(v, -1));
    int32_t id[64];
    const char *text = "17+5=22\n<+>"; /* digits and operators: one token each */
    assert_int_equal(rung_vocab_encode(id, 64, v, text, (int32_t)strlen(text), true), 9);
    assert_int_equal(id[8], RUNG_VOCAB_PLUS);
    assert_int_equal(rung_vocab_encode(id, 64, v, text, (int32_t)strlen(text), false), 11);
    const char *q = "Start at 17. +5 x2. Total?\n";
    assert_int_equal(rung_vocab_encode(id, 64, v, q, (int32_t)strlen(q), true), 14);
    char all[512];
    for (int i = 0; i < 512; i++) all[i] = (char)(i * 7);
    identity(v, all, 512, true);
    rung_vocab_free(v);
}

/* Every word of a document is one token: bytes are left only for digits, signs and stops. */
static void vocabulary_covers_the_corpus(void **state) {
    (void)state;
    rung_vocab *v = NULL;
    rung_error err = RUNG_ERROR_INIT;
    assert_int_equal(rung_corpus_vocab(&v, &err), RUNG_OK);
    rung_buf p, d;
    rung_buf_init(&p, 1 << 16), rung_buf_init(&d, 1 << 16);
    rung_corpus_opts o = RUNG_CORPUS_OPTS_INIT;
    int64_t n_tok[2] = {0}, n_docs[2] = {0};
    int32_t longest = 0;
    for (uint64_t i = 0; i < 5000; i++) {
        make(&p, &d, &o, i);
        int world = memcmp(p.data, "Start", 5) != 0;
        rung_buf_append(&p, d.data, d.n);
        identity(v, p.data, (int32_t)p.n, true);
        int32_t id[1024];
        int32_t n = rung_vocab_encode(id, 1024, v, p.data, (int32_t)p.n, true);
        for (int32_t k = 0; k < n; k++) {
            const rung_vocab_token *t = rung_vocab_at(v, id[k]);
            if (t->kind == RUNG_VOCAB_BYTE && !strchr("0123456789+-x=.,? \nA", t->bytes[0]))
                fail_msg("byte token '%s' in %s", t->bytes, p.data);
        }
        n_tok[world] += n;
        n_docs[world]++;
        if (n > longest) longest = n;
    }
    print_message("  tokens per document: total %.1f, word %.1f, longest %d\n",
                  (double)n_tok[0] / (double)n_docs[0], (double)n_tok[1] / (double)n_docs[1],
                  longest);
    assert_true(longest < 256);
    rung_buf_clear(&p), rung_buf_clear(&d);
    rung_vocab_free(v);
}

static void no_memory(void **state) {
    (void)state;
    rung_error err = RUNG_ERROR_INIT;
    rung_vocab *v = NULL;
    int n_failed = 0;
    for (int nth = 1; nth < 2000 && !v; nth++) {
        rung_alloc_fail_after(nth);
        rung_status st = rung_corpus_vocab(&v, &err);
        rung_alloc_fail_after(0);
        if (st != RUNG_OK) assert_int_equal(st, RUNG_E_NOMEM);
        n_failed += st != RUNG_OK;
    }
    assert_non_null(v);
    assert_in_range(n_failed, 3, 1999);
    rung_vocab_free(v);
    rung_buf p, d;
    rung_buf_init(&p, 1 << 16), rung_buf_init(&d, 1 << 16);
    rung_alloc_fail_after(1);
    assert_int_equal(rung_corpus_make(&p, &d, NULL, 0, &err), RUNG_E_NOMEM);
    rung_alloc_fail_after(0);
    rung_buf_clear(&p), rung_buf_clear(&d);
    rung_buf_init(&p, 8), rung_buf_init(&d, 1 << 16); /* over the buffer's own cap */
    assert_int_equal(rung_corpus_make(&p, &d, NULL, 0, &err), RUNG_E_LIMIT);
    rung_buf_clear(&p), rung_buf_clear(&d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writer_rates),
        cmocka_unit_test(hard_slip_is_off_by_ten),
        cmocka_unit_test(word_uses_the_distractor),
        cmocka_unit_test(checking_text_is_exact_and_balanced),
        cmocka_unit_test(bare_lines),
        cmocka_unit_test(kinds_worlds_and_no_held_out_question),
        cmocka_unit_test(same_address_same_document),
        cmocka_unit_test(vocabulary),
        cmocka_unit_test(vocabulary_covers_the_corpus),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
