/* Scores from the policy's own distributions: entropy, self-certainty, by hand; what they refuse.
 */
#include "search_stub.h"

#include "search/search_drive.h"

/* One whole trace of two steps: tokens 0 and 1, token 2. */
static void deliver(search_slot *p, search_driver *w, rung_search_scorer scorer, bool told) {
    static const float entropy[] = {.6931472f, .6931472f, 0.0f}, certainty[] = {.5f, .1f, 2.0f};
    static const int32_t tok[] = {1, 2, 3};
    static const rung_step step[] = {{0, 0, 2, 0, 2}, {0, 2, 4, 2, 3}};
    search_need need;
    *w = (search_driver){.o = RUNG_SEARCH_OPTS_INIT};
    w->o.scorer = scorer;
    w->o.n = 1;
    search_opts_fill(&w->o);
    *p = (search_slot){.w = w};
    p->s.arena = rung_arena_new(0);
    p->s.delimiter = "\n";
    assert_int_equal(search_begin(&p->s, &w->o, search_method_find("bon"), 1, NULL), RUNG_OK);
    assert_int_equal(search_advance(&need, &p->s, NULL), RUNG_OK);
    assert_int_equal(need, SEARCH_NEEDS_TEXT);
    search_text t = {.text = "a\nb\n",
                     .n_bytes = 4,
                     .tok = tok,
                     .n_tok = 3,
                     .step = step,
                     .n_steps = 2,
                     .entropy = told ? entropy : NULL,
                     .certainty = told ? certainty : NULL,
                     .stop = "eos"};
    assert_int_equal(search_deliver(&p->s, 0, 0, &t, NULL), RUNG_OK);
    assert_int_equal(search_advance(&need, &p->s, NULL), RUNG_OK);
    assert_int_equal(need, SEARCH_NEEDS_SCORES);
    assert_int_equal(search_score_begin(p, NULL), RUNG_OK);
    assert_int_equal(p->s.n_nodes, 3);
}

static void end(search_slot *p) {
    search_clear(&p->s);
    rung_arena_free(p->s.arena);
}

static void by_hand(void **ud) {
    (void)ud;
    search_slot p;
    search_driver w;
    deliver(&p, &w, RUNG_SEARCH_SCORE_ENTROPY, true);
    NEAR(p.s.node[1].score, .5, 1e-6); /* two choices at either token */
    NEAR(p.s.node[2].score, 1.0, 1e-6);
    end(&p);
    deliver(&p, &w, RUNG_SEARCH_SCORE_CERTAINTY, true);
    NEAR(p.s.node[1].score, 1.0 - exp(-.3), 1e-6);
    NEAR(p.s.node[2].score, 1.0 - exp(-2.0), 1e-6);
    end(&p);
}

static void not_told_is_no_score(void **ud) {
    (void)ud;
    search_slot p;
    search_driver w;
    deliver(&p, &w, RUNG_SEARCH_SCORE_ENTROPY, false);
    assert_true(isnan(p.s.node[1].score) && isnan(p.s.node[2].score));
    end(&p);
}

/* A step that was paused: its tokens' sums go on. */
static void paused(void **ud) {
    (void)ud;
    static const float h[] = {1.0f, 2.0f}, kl[] = {.5f, 1.5f};
    static const int32_t tok[] = {1, 2};
    rung_search_opts o = RUNG_SEARCH_OPTS_INIT;
    search s = {.arena = rung_arena_new(0), .delimiter = "\n"};
    search_need need;
    o.scorer = RUNG_SEARCH_SCORE_TRUTH;
    o.n = 1;
    o.width = 1;
    o.tau = 2;
    search_opts_fill(&o);
    const search_method *m = search_method_find("early_rejection");
    assert_int_equal(search_begin(&s, &o, m, 1, NULL), RUNG_OK);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(search_advance(&need, &s, NULL), RUNG_OK);
        assert_int_equal(need, SEARCH_NEEDS_TEXT);
        search_text t = {.text = "ab",
                         .n_bytes = 2,
                         .tok = tok,
                         .n_tok = 2,
                         .entropy = h,
                         .certainty = kl,
                         .stop = round ? "eos" : "length"};
        assert_int_equal(search_deliver(&s, 0, 0, &t, NULL), RUNG_OK);
        assert_int_equal(search_advance(&need, &s, NULL), RUNG_OK);
        if (need == SEARCH_NEEDS_SCORES) search_set_score(&s, 1, .5);
    }
    NEAR(s.node[1].sum_entropy, 6.0, 1e-6);
    NEAR(s.node[1].sum_certainty, 4.0, 1e-6);
    assert_int_equal(s.node[1].n_tok, 4);
    rung_arena *a = s.arena;
    search_clear(&s);
    rung_arena_free(a);
}

static void kept_traces_do_not_tell(void **ud) {
    (void)ud;
    rung_search_opts o = RUNG_SEARCH_OPTS_INIT;
    rung_error err = RUNG_ERROR_INIT;
    const search_method *m = search_method_find("bon");
    o.method = "bon";
    o.scorer = RUNG_SEARCH_SCORE_CERTAINTY;
    assert_int_equal(search_check(&o, m, &err), RUNG_OK);
    o.reuse_run = 3;
    assert_int_equal(search_check(&o, m, &err), RUNG_E_INVAL);
    assert_non_null(strstr(err.what, "self_certainty"));
    rung_search_scorer s;
    assert_true(rung_search_scorer_find(&s, "entropy") && s == RUNG_SEARCH_SCORE_ENTROPY);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_hand), cmocka_unit_test(not_told_is_no_score), cmocka_unit_test(paused),
        cmocka_unit_test(kept_traces_do_not_tell)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
