/* Passages, BM25 by its formula, hostile queries, fusion by hand, answers by the published rules.
 */
#include "rung/retrieve.h"
#include "rung/verify.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static rung_index *make(const rung_index_opts *o) {
    rung_error err = RUNG_ERROR_INIT;
    rung_index *x;
    if (rung_index_new(&x, NULL, o, &err) != RUNG_OK) fail_msg("%s", err.what);
    static const char *const docs[][3] = {
        {"d1", "Oslo", "Oslo is a harbour town with trams."},
        {"d2", "Bergen", "Rain falls on Bergen and its harbour."},
        {"d3", "Vik", "Vik has a stave church."},
        {"d4", "Moss", "Moss lies between the town of Oslo and the sea."},
    };
    for (size_t i = 0; i < 4; i++)
        if (rung_index_add(x, docs[i][0], docs[i][1], docs[i][2], &err) != RUNG_OK)
            fail_msg("%s", err.what);
    return x;
}

static int32_t search(rung_hit **hit, rung_arena *a, rung_index *x, const char *q, int32_t k) {
    rung_error err = RUNG_ERROR_INIT;
    int32_t n = -1;
    if (rung_index_search(hit, &n, a, x, q, k, RUNG_RANK_BM25, &err) != RUNG_OK)
        fail_msg("%s: %s", q, err.what);
    return n;
}

/* Robertson's formula as FTS5 has it, by hand: 4 passages; words (title and text) 8, 8, 6, 11. */
static void bm25_by_hand(void **state) {
    (void)state;
    rung_index *x = make(NULL);
    rung_arena *a = rung_arena_new(0);
    rung_hit *h;
    assert_int_equal(search(&h, a, x, "church", 5), 1);
    double idf = log((4 - 1 + 0.5) / (1 + 0.5)), avg = (8 + 8 + 6 + 11) / 4.0;
    double want = idf * (1 * 2.2) / (1 + 1.2 * (0.25 + 0.75 * 6 / avg));
    assert_true(fabs(h[0].score - want) < 1e-9);
    assert_string_equal(h[0].id, "d3");
    assert_string_equal(h[0].title, "Vik");
    assert_string_equal(h[0].snippet, "Vik has a stave [church].");
    assert_int_equal(h[0].rank_bm25, 1);
    /* a word that half of them hold weighs nothing: the floor, and it still finds */
    assert_int_equal(search(&h, a, x, "harbour", 5), 2);
    assert_true(h[0].score > 0 && h[0].score < 1e-5);
    /* stems, accents, the title counts */
    assert_int_equal(search(&h, a, x, "churches", 5), 1);
    assert_int_equal(search(&h, a, x, "H\xc3\xa4rbour", 5), 2);
    assert_int_equal(search(&h, a, x, "Bergen", 5), 1);
    assert_int_equal(search(&h, a, x, "oslo town trams church", 2), 2);
    assert_true(h[0].score >= h[1].score);
    rung_arena_free(a);
    rung_index_free(x);
}

static void any_bytes_are_a_query(void **state) {
    (void)state;
    rung_index *x = make(NULL);
    rung_arena *a = rung_arena_new(0);
    rung_hit *h;
    static const char *const q[] = {"",
                                    "\"",
                                    "church\"",
                                    "NEAR(church stave)",
                                    "church AND nothing",
                                    "title:church",
                                    "chur*",
                                    "^church",
                                    "church; DROP TABLE words",
                                    "') OR 1=1 --",
                                    "-church",
                                    "\xff\xfe church",
                                    "{church}",
                                    "NOT"};
    static const int want[] = {0, 0, 1, 1, 1, 1, 0, 1, 1, 0, 1, 1, 1, 0};
    for (size_t i = 0; i < sizeof q / sizeof *q; i++) {
        int32_t n = search(&h, a, x, q[i], 5);
        if (n != want[i] && !(want[i] == 1 && n >= 1)) fail_msg("\"%s\": %d", q[i], n);
    }
    char *longer = malloc(200001);
    for (int i = 0; i < 200000; i++) longer[i] = i % 7 == 6 ? ' ' : (char)('a' + i % 13);
    longer[200000] = '\0';
    (void)search(&h, a, x, longer, 5);
    for (int i = 0; i < 200000; i++) longer[i] = 'z';
    (void)search(&h, a, x, longer, 5);
    free(longer);
    uint32_t seed = 5;
    for (int i = 0; i < 2000; i++) {
        char text[40];
        for (int k = 0; k < 39; k++) {
            seed = seed * 1664525u + 1013904223u;
            text[k] = (char)(1 + (seed >> 9) % 255);
        }
        text[39] = '\0';
        (void)search(&h, a, x, text, 3);
    }
    rung_arena_free(a);
    rung_index_free(x);
}

static void passages_and_documents(void **state) {
    (void)state;
    rung_error err = RUNG_ERROR_INIT;
    rung_index_opts o = RUNG_INDEX_OPTS_INIT;
    rung_index *x;
    rung_arena *a = rung_arena_new(0);
    rung_hit *h;
    o.words = 4;
    o.overlap = 1;
    assert_int_equal(rung_index_new(&x, NULL, &o, &err), RUNG_OK);
    assert_int_equal(rung_index_add(x, "a", "T", " one two three four  five six\nseven ", &err), 0);
    assert_int_equal(rung_index_count(x), 2); /* one..four, four..seven */
    assert_int_equal(search(&h, a, x, "five", 5), 1);
    assert_int_equal(h[0].passage, 1);
    assert_string_equal(h[0].text, "four  five six\nseven");
    assert_int_equal(search(&h, a, x, "four", 5), 2);
    /* refused, and nothing of it stays */
    assert_int_equal(rung_index_add(x, "a", "", "again", &err), RUNG_E_FORMAT);
    assert_int_equal(rung_index_add(x, "", "", "again", &err), RUNG_E_FORMAT);
    assert_int_equal(rung_index_add(x, "b", "", " \n ", &err), RUNG_E_FORMAT);
    assert_int_equal(rung_index_add(x, "b", "", "bad \xff", &err), RUNG_E_FORMAT);
    assert_int_equal(rung_index_count(x), 2);
    assert_int_equal(search(&h, a, x, "again", 5), 0);
    /* a file is taken whole or not at all */
    char path[] = "/tmp/rung-docs-XXXXXX";
    int fd = mkstemp(path);
    static const char rows[] = "{\"id\":\"b\",\"title\":\"B\",\"text\":\"blue whale\"}\n"
                               "{\"id\":\"c\",\"text\":\"grey whale\"}\n";
    assert_int_equal(write(fd, rows, sizeof rows - 1), (ssize_t)sizeof rows - 1);
    int64_t n = 0;
    assert_int_equal(rung_index_add_file(&n, x, path, &err), RUNG_OK);
    assert_int_equal(n, 2);
    assert_int_equal(search(&h, a, x, "whale", 5), 2);
    assert_int_equal(rung_index_add_file(&n, x, path, &err), RUNG_E_FORMAT); /* b is there */
    assert_non_null(strstr(err.what, ":1:"));
    assert_int_equal(write(fd, "{\"id\":\"d\"}\n", 11), 11);
    rung_index_free(x);
    assert_int_equal(rung_index_new(&x, NULL, &o, &err), RUNG_OK);
    assert_int_equal(rung_index_add_file(&n, x, path, &err), RUNG_E_FORMAT);
    assert_int_equal(rung_index_count(x), 0);
    rung_index_free(x);
    close(fd);
    unlink(path);
    /* an index in a file is found again */
    assert_int_equal(rung_index_new(&x, path, NULL, &err), RUNG_OK);
    assert_int_equal(rung_index_add(x, "k", "", "kept words", &err), RUNG_OK);
    rung_index_free(x);
    assert_int_equal(rung_index_new(&x, path, NULL, &err), RUNG_OK);
    assert_int_equal(rung_index_count(x), 1);
    assert_int_equal(search(&h, a, x, "kept", 5), 1);
    rung_index_free(x);
    unlink(path);
    rung_arena_free(a);
}

static void fusion_by_hand(void **state) {
    (void)state;
    static const int32_t a[] = {1, 2, 0, 5}, b[] = {2, 0, 1, 5};
    const int32_t *const lists[] = {a, b};
    double s[4];
    rung_fuse(s, 4, lists, 2);
    static const double want[] = {1.0 / 61 + 1.0 / 62, 1.0 / 62, 1.0 / 61, 2.0 / 65};
    for (int i = 0; i < 4; i++) assert_true(fabs(s[i] - want[i]) < 1e-15);
}

/* An embedder of three dimensions: how often "a", "b", "c" stand in the text. */
static rung_status count_letters(float *out, void *ud, const char *const *text, int32_t n,
                                 bool is_query, rung_error *err) {
    (void)is_query, (void)err;
    ++*(int *)ud;
    for (int32_t i = 0; i < n; i++) {
        float v[3] = {0.01f, 0.01f, 0.01f}, norm = 0;
        for (const char *p = text[i]; *p; p++)
            if (*p >= 'a' && *p <= 'c') v[*p - 'a'] += 1;
        for (int d = 0; d < 3; d++) norm += v[d] * v[d];
        for (int d = 0; d < 3; d++) out[3 * i + d] = v[d] / sqrtf(norm);
    }
    return RUNG_OK;
}

static void dense_and_fused(void **state) {
    (void)state;
    rung_error err = RUNG_ERROR_INIT;
    int calls = 0;
    rung_embed_fn fn = {count_letters, &calls, 3};
    rung_index_opts o = RUNG_INDEX_OPTS_INIT;
    o.embed = &fn;
    rung_index *x;
    rung_hit *h;
    int32_t n;
    rung_arena *a = rung_arena_new(0);
    assert_int_equal(rung_index_new(&x, NULL, &o, &err), RUNG_OK);
    static const char *const text[] = {"aaaa x", "bbbb y", "cccc x z", "ab y"};
    static const char *const id[] = {"A", "B", "C", "AB"};
    for (int i = 0; i < 4; i++)
        assert_int_equal(rung_index_add(x, id[i], "", text[i], &err), RUNG_OK);
    assert_int_equal(calls, 4);
    assert_int_equal(rung_index_search(&h, &n, a, x, "aaa", 4, RUNG_RANK_DENSE, &err), RUNG_OK);
    assert_int_equal(n, 4);
    assert_string_equal(h[0].id, "A");
    assert_string_equal(h[1].id, "AB");
    assert_true(h[0].score > 0.99 && h[1].score < h[0].score);
    assert_int_equal(h[0].rank_bm25, 0);
    assert_int_equal(h[0].rank_dense, 1);
    /* words say z (C), vectors say b (B): both lead, by 1/61 + a place in the other */
    assert_int_equal(rung_index_search(&h, &n, a, x, "z bb", 4, RUNG_RANK_FUSED, &err), RUNG_OK);
    assert_string_equal(h[0].id, "C");
    double want = 1.0 / 61 + 1.0 / (60 + h[0].rank_dense);
    assert_true(h[0].rank_dense > 1 && fabs(h[0].score - want) < 1e-15);
    assert_string_equal(h[1].id, "B");
    assert_true(fabs(h[1].score - 1.0 / 61) < 1e-15);
    static const char *const wanted[] = {"C", "B", "none", "AB"};
    assert_true(fabs(rung_recall(h, 2, wanted, 3) - 2.0 / 3) < 1e-15);
    assert_true(isnan(rung_recall(h, 2, NULL, 0)));
    rung_index_free(x);
    assert_int_equal(rung_index_new(&x, NULL, NULL, &err), RUNG_OK);
    assert_int_equal(rung_index_search(&h, &n, a, x, "a", 4, RUNG_RANK_FUSED, &err), RUNG_E_INVAL);
    rung_index_free(x);
    rung_arena_free(a);
}

static void sessions(void **state) {
    (void)state;
    rung_error err = RUNG_ERROR_INIT;
    rung_index *x = make(NULL);
    rung_search_session *t;
    rung_buf b;
    rung_buf_init(&b, 0);
    assert_int_equal(rung_search_session_new(&t, x, 3, 1, RUNG_RANK_BM25, &err), RUNG_OK);
    static const char *const q[] = {"church", "CHURCH?!", "zzz", "church"};
    for (int i = 0; i < 4; i++) assert_int_equal(rung_search_session_query(&b, t, q[i], &err), 0);
    assert_string_equal(b.data, "[1] Vik (d3): Vik has a stave church.\n"
                                "[1] Vik (d3): Vik has a stave church.\n"
                                "(nothing found)\n"
                                "limit reached: 3 searches\n");
    rung_search_tally n = rung_search_session_tally(t);
    assert_int_equal(n.n_issued, 3);
    assert_int_equal(n.n_found, 2);
    assert_int_equal(n.n_distinct, 1);
    rung_search_session_free(t);
    rung_buf_clear(&b);
    rung_index_free(x);
}

/* Worked by hand from SQuAD's and HotpotQA's rules. */
static void answers(void **state) {
    (void)state;
    static const struct {
        const char *gold, *answer;
        int em;
        double f1;
    } t[] = {
        {"the Eiffel Tower", "Eiffel tower.", 1, 1},
        {"a cat sat on the mat", "the cat on a hat", 0, 4.0 / 7}, /* 2 of 3, 2 of 4 */
        {"1969", "in 1969", 0, 2.0 / 3},
        {"U.S.", "us", 1, 1},
        {"well-known", "wellknown", 1, 1}, /* punctuation goes, no blank comes */
        {"yes", "yes it is", 0, 0},        /* HotpotQA: only whole */
        {"no", "No.", 1, 1},
        {"Paris", "Rome", 0, 0},
        {"b b c", "b c c", 0, 2.0 / 3}, /* bags: b once, c once */
        {"the", "a", 1, 1},             /* nothing is left of either */
        {"x", "", 0, 0},
        {"caf\xc3\xa9", "Caf\xc3\xa9!", 1, 1},
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        rung_qa q;
        assert_true(rung_qa_score(&q, &t[i].gold, 1, t[i].answer));
        if (q.em != t[i].em || fabs(q.f1 - t[i].f1) > 1e-12)
            fail_msg("%s / %s: em %d f1 %g", t[i].gold, t[i].answer, q.em, q.f1);
    }
    static const char *const several[] = {"New York City", "NYC"};
    rung_qa q;
    assert_true(rung_qa_score(&q, several, 2, "nyc"));
    assert_true(q.em);
    assert_true(rung_qa_score(&q, several, 2, "York"));
    assert_true(!q.em && fabs(q.f1 - 0.5) < 1e-12);
    rung_check c;
    const rung_verifier *v = rung_verifier_find("qa");
    static const struct {
        const char *gold, *answer;
        rung_verdict want;
    } p[] = {{"Oslo", "oslo.", RUNG_VERDICT_CORRECT},
             {"Oslo", "Bergen", RUNG_VERDICT_WRONG},
             {"Oslo", "in Oslo", RUNG_VERDICT_UNKNOWN},
             {"Barack Obama", "Obama", RUNG_VERDICT_UNKNOWN},
             {"Oslo", "Oslofjord", RUNG_VERDICT_WRONG},
             {"New York City\nNYC", "NYC", RUNG_VERDICT_CORRECT},
             {"Oslo", "", RUNG_VERDICT_UNKNOWN},
             {"", "Oslo", RUNG_VERDICT_UNKNOWN}};
    for (size_t i = 0; i < sizeof p / sizeof *p; i++) {
        v->check(&c, p[i].gold, p[i].answer);
        if (c.verdict != p[i].want) fail_msg("%s / %s", p[i].gold, p[i].answer);
    }
    char a[128], b[128];
    v->key(a, "The Oslo."), v->key(b, "oslo");
    assert_string_equal(a, b);
}

int main(void) {
    const struct CMUnitTest t[] = {
        cmocka_unit_test(bm25_by_hand),
        cmocka_unit_test(any_bytes_are_a_query),
        cmocka_unit_test(passages_and_documents),
        cmocka_unit_test(fusion_by_hand),
        cmocka_unit_test(dense_and_fused),
        cmocka_unit_test(sessions),
        cmocka_unit_test(answers),
    };
    return cmocka_run_group_tests(t, NULL, NULL);
}
