/* What is trained on: layout of tokens and read-outs, masking, the split of problems; confidence.
 */
#include "fixture_reward.h"
#include <math.h>

#include <cmocka.h>

static void layout_of(reward_layout *l, bool *spelled, bool *by_step, const rung_model *m,
                      const reward_format *f, const rung_trace *t) {
    rung_problem p = {.id = 1, .question = "toss 1\n"};
    OK(reward_layout_make(l, spelled, by_step, m, f, &p, t, err));
}

/* Prompt "toss 1\n" is 7 byte tokens; words are one token each; "<?>" is token 1. */
static void layout(void **state) {
    (void)state;
    rung_model *m;
    OK(rung_model_load(&m, base_path, NULL, err));
    const char *text = "a\nb\nc\n";
    const int32_t tok[] = {262, 263, 264};
    const float lp[] = {-1, -1, -1};
    rung_step step[3] = {{0, 0, 2, 0, 1}, {0, 2, 4, 1, 2}, {0, 4, 6, 2, 3}};
    rung_trace t = {.id = 9,
                    .text = text,
                    .n_bytes = 6,
                    .tok = tok,
                    .logprob = lp,
                    .n_tok = 3,
                    .step = step,
                    .n_steps = 3};
    reward_layout l;
    bool spelled, by_step;
    layout_of(&l, &spelled, &by_step, m, &(reward_format){.tag = ""}, &t);
    assert_false(spelled || by_step);
    assert_int_equal(l.n_prompt, 7);
    assert_int_equal(l.n_tok, 10);
    for (int k = 0; k < 3; k++) {
        assert_int_equal(l.at[k], 7 + k);
        assert_int_equal(l.tok[7 + k], tok[k]);
    }
    reward_layout_clear(&l);
    layout_of(&l, &spelled, &by_step, m, &(reward_format){.tag = "<?>"}, &t);
    assert_int_equal(l.n_tok, 13);
    for (int k = 0; k < 3; k++) {
        assert_int_equal(l.at[k], 8 + 2 * k);
        assert_int_equal(l.tok[l.at[k]], 1);
        assert_int_equal(l.tok[l.at[k] - 1], tok[k]);
    }
    reward_layout_clear(&l);
    layout_of(&l, &spelled, &by_step, m, &(reward_format){.tag = "<+>", .read_before_tag = true},
              &t);
    for (int k = 0; k < 3; k++) assert_int_equal(l.tok[l.at[k]], tok[k]);
    assert_int_equal(l.tok[8], 2);
    reward_layout_clear(&l);
    layout_of(&l, &spelled, &by_step, m, &(reward_format){.tag = "<?>", .tag_first = true}, &t);
    assert_int_equal(l.n_tok, 14);
    assert_int_equal(l.tok[l.n_prompt], 1);
    for (int k = 0; k < 3; k++) {
        assert_int_equal(l.at[k], 9 + 2 * k);
        assert_int_equal(l.tok[l.at[k] - 1], tok[k]);
    }
    reward_layout_clear(&l);
    /* A foreign trace: no tokens; the same layout comes from its text. */
    rung_trace foreign = t;
    foreign.n_tok = 0;
    foreign.tok = NULL;
    layout_of(&l, &spelled, &by_step, m, &(reward_format){.tag = ""}, &foreign);
    assert_true(spelled);
    assert_false(by_step);
    assert_int_equal(l.n_tok, 10);
    assert_memory_equal(l.tok + 7, tok, sizeof tok);
    reward_layout_clear(&l);
    /* Tokens of another vocabulary: ids that spell something else are not believed. */
    const int32_t other[] = {263, 263, 264}, outside[] = {262, 263, 99999};
    rung_trace stranger = t;
    stranger.tok = other;
    layout_of(&l, &spelled, &by_step, m, &(reward_format){.tag = ""}, &stranger);
    assert_true(spelled);
    assert_int_equal(l.tok[7], 262);
    reward_layout_clear(&l);
    stranger.tok = outside;
    layout_of(&l, &spelled, &by_step, m, &(reward_format){.tag = ""}, &stranger);
    assert_true(spelled);
    reward_layout_clear(&l);
    /* Steps that end inside a token: each step is tokenised on its own, and that is said. */
    rung_step odd[2] = {{.byte_begin = 0, .byte_end = 3}, {.byte_begin = 3, .byte_end = 6}};
    foreign.step = odd;
    foreign.n_steps = 2;
    layout_of(&l, &spelled, &by_step, m, &(reward_format){.tag = ""}, &foreign);
    assert_true(by_step);
    assert_int_equal(l.n_tok, 7 + 2 + 2); /* "a\n" "b" | "\n" "c\n" */
    assert_int_equal(l.at[0], 8);
    assert_int_equal(l.at[1], 10);
    reward_layout_clear(&l);
    /* The trace's own tokens with a step that has none: an error that names the trace. */
    rung_step bad[3] = {{.byte_begin = 0, .byte_end = 4},
                        {.byte_begin = 4, .byte_end = 5},
                        {.byte_begin = 5, .byte_end = 6}};
    rung_trace wrong = t;
    wrong.step = bad;
    rung_problem p = {.id = 4, .question = "q"};
    rung_error e = RUNG_ERROR_INIT;
    assert_int_equal(
        reward_layout_make(&l, &spelled, &by_step, m, &(reward_format){0}, &p, &wrong, &e),
        RUNG_E_FORMAT);
    assert_int_equal(e.problem_id, 4);
    assert_non_null(strstr(e.detail, "trace 9"));
    rung_model_free(m);
}

static void masked_after_the_first_error(void **state) {
    (void)state;
    rung_store *s;
    OK(rung_store_open(&s, pool_path, 0, err));
    rung_reward_train_opts o = train_opts(RUNG_REWARD_PRM_HEAD, "x");
    reward_set masked, all;
    OK(reward_set_read(&masked, s, &o, err));
    o.keep_after_error = true;
    OK(reward_set_read(&all, s, &o, err));
    assert_true(masked.n_rows < all.n_rows);
    assert_string_not_equal(masked.hash, all.hash);
    for (int64_t i = 0; i < masked.n_examples; i++) {
        const reward_example *e = &masked.example[i];
        for (int32_t r = e->first; r < e->first + e->n; r++) {
            assert_int_equal(masked.step[r], r - e->first);
            assert_true(masked.hard[r] || r == e->first + e->n - 1); /* the error is the last */
            assert_true(masked.target[r] == (float)masked.hard[r]);
        }
    }
    reward_set_clear(&masked);
    reward_set_clear(&all);
    o.soft = true;
    OK(reward_set_read(&all, s, &o, err));
    for (int64_t r = 0; r < all.n_rows; r++)
        assert_true(all.target[r] == (all.hard[r] ? .9f : .1f));
    reward_set_clear(&all);
    rung_store_close(s);
}

/* Rows of one prefix are read once: every row before `own` has an earlier owner, and no first row
 * of a node is left out. */
static void shared_prefixes_are_read_once(void **state) {
    (void)state;
    rung_store *s;
    OK(rung_store_open(&s, pool_path, 0, err));
    rung_reward_train_opts o = train_opts(RUNG_REWARD_PRM_HEAD, "x");
    reward_set set;
    OK(reward_set_read(&set, s, &o, err));
    int64_t n_copies = 0;
    for (int64_t i = 0; i < set.n_examples; i++) {
        const reward_example *e = &set.example[i];
        for (int32_t r = e->first; r < e->first + e->n; r++) {
            int32_t first = 0;
            while (set.node[first] != set.node[r]) first++;
            assert_int_equal(set.same[r], first);
            if (first == r) assert_true(r >= e->own);
            if (r < e->own) n_copies++;
            assert_true(set.hard[first] == set.hard[r]);
        }
    }
    assert_true(n_copies > 50);
    reward_set_clear(&set);
    rung_store_close(s);
}

static void outcome_rows(void **state) {
    (void)state;
    rung_store *s;
    OK(rung_store_open(&s, pool_path, 0, err));
    rung_reward_train_opts o = train_opts(RUNG_REWARD_ORM_HEAD, "x");
    reward_set set;
    OK(reward_set_read(&set, s, &o, err));
    rung_iter *it;
    const rung_trace *t;
    int64_t n_known = 0;
    OK(rung_trace_iter(&it, s, &(rung_filter){0}, err));
    while (rung_trace_next(&t, it, NULL) == RUNG_OK) n_known += t->verdict != RUNG_VERDICT_UNKNOWN;
    rung_iter_free(it);
    assert_int_equal(set.n_rows, n_known); /* unknown outcomes are no rows */
    assert_int_equal(set.n_examples, n_known);
    reward_set_clear(&set);
    rung_store_close(s);
}

static void split_is_by_problem(void **state) {
    (void)state;
    rung_store *s;
    OK(rung_store_open(&s, pool_path, 0, err));
    rung_reward_train_opts o = train_opts(RUNG_REWARD_PRM_HEAD, "x");
    bool held[2][POOL_PROBLEMS + 1] = {{false}};
    for (int round = 0; round < 2; round++) {
        o.seed = (uint64_t)round + 3;
        reward_set set;
        OK(reward_set_read(&set, s, &o, err));
        assert_int_equal(set.n_problems, POOL_PROBLEMS);
        assert_int_equal(set.n_held_problems, 4); /* 0.2 of 20 */
        bool seen[POOL_PROBLEMS + 1] = {false};
        int64_t n_held_rows = 0;
        int n_held = 0;
        for (int64_t i = 0; i < set.n_examples; i++) {
            const reward_example *e = &set.example[i];
            if (seen[e->problem]) assert_int_equal(e->held, held[round][e->problem]);
            if (!seen[e->problem]) n_held += e->held;
            seen[e->problem] = true;
            held[round][e->problem] = e->held;
            if (e->held) n_held_rows += e->n;
        }
        assert_int_equal(n_held, 4);
        assert_int_equal(n_held_rows, set.n_held_rows);
        reward_set_clear(&set);
    }
    assert_memory_not_equal(held[0], held[1], sizeof held[0]);
    reward_set set;
    rung_error e = RUNG_ERROR_INIT;
    o.traces.problem = 1;
    assert_int_equal(reward_set_read(&set, s, &o, &e), RUNG_E_FORMAT); /* one problem: no split */
    o.traces.problem = 0;
    o.label_source = "nobody";
    assert_int_equal(reward_set_read(&set, s, &o, &e), RUNG_E_NOT_FOUND);
    rung_store_close(s);
}

typedef struct told {
    int64_t n_too_long, dropped;
} told;

static int listen(void *ud, rung_level level, const char *name, const rung_field *f) {
    told *t = ud;
    if (level == RUNG_WARN && !strcmp(name, "reward.too_long")) t->n_too_long++;
    if (level == RUNG_WARN && !strcmp(name, "reward.dropped")) t->dropped = f->i;
    return 0;
}

/* Traces longer than the base reads: refused by name, or left out, told, and nowhere in the set;
 * rows that only they had read are read by the next who shares them. */
static void too_long(void **state) {
    (void)state;
    rung_store *s;
    rung_model *m;
    OK(rung_store_open(&s, pool_path, 0, err));
    OK(rung_model_load(&m, base_path, NULL, err));
    rung_reward_train_opts o = train_opts(RUNG_REWARD_PRM_HEAD, "x");
    reward_format f = {.tag = ""};
    reward_set set;
    rung_error e = RUNG_ERROR_INIT;
    char hash[33];
    OK(reward_set_read(&set, s, &o, err));
    memcpy(hash, set.hash, sizeof hash);
    int64_t n_all = set.n_examples;
    OK(reward_set_fit(&set, s, m, &f, 1000, false, NULL, err));
    assert_string_equal(set.hash, hash);
    int32_t limit = 40; /* the longest that is too short for somebody */
    while (reward_set_fit(&set, s, m, &f, limit, false, NULL, &e) == RUNG_OK) limit--;
    assert_int_equal(e.code, RUNG_E_LIMIT);
    assert_non_null(strstr(e.what, "trace "));
    reward_set_clear(&set);
    OK(reward_set_read(&set, s, &o, err)); /* a refused set is of no use any more */
    told t = {0};
    rung_log log = {listen, &t};
    OK(reward_set_fit(&set, s, m, &f, limit - 1, true, &log, err));
    assert_true(t.dropped > 0 && t.dropped == t.n_too_long);
    assert_int_equal(set.n_examples, n_all - t.dropped);
    assert_string_not_equal(set.hash, hash);
    int64_t n_held = 0;
    for (int64_t i = 0; i < set.n_examples; i++) {
        const reward_example *x = &set.example[i];
        n_held += x->held ? x->n : 0;
        for (int32_t r = x->first; r < x->first + x->n; r++) {
            bool owned = false; /* by an example that is still there and comes no later */
            for (int64_t k = 0; k <= i && !owned; k++)
                owned = set.same[r] >= set.example[k].own &&
                        set.same[r] < set.example[k].first + set.example[k].n;
            assert_true(owned);
        }
    }
    assert_int_equal(n_held, set.n_held_rows);
    assert_int_equal(reward_set_fit(&set, s, m, &f, 1, true, NULL, &e), RUNG_E_LIMIT);
    reward_set_clear(&set);
    rung_model_free(m);
    rung_store_close(s);
}

/* exp of the least ln p of the step's tokens, from what sampling stored; no file, no model. */
static void confidence(void **state) {
    (void)state;
    char path[400];
    pool_copy(path, "confidence.db");
    rung_store *s;
    OK(rung_store_open(&s, path, 0, err));
    rung_reward *r;
    OK(rung_reward_open(&r, "confidence", NULL, err));
    assert_int_equal(rung_reward_kind_of(r), RUNG_REWARD_CONFIDENCE);
    int64_t model, again;
    model = score_with(r, s, &(rung_filter){0});
    again = score_with(r, s, &(rung_filter){0});
    assert_int_equal(model, again);
    rung_iter *it;
    const rung_trace *t;
    OK(rung_trace_iter(&it, s, &(rung_filter){0}, err));
    int n = 0;
    while (rung_trace_next(&t, it, NULL) == RUNG_OK)
        for (int32_t k = 0; k < t->n_steps; k++) {
            double v, least = 0;
            bool found;
            for (int32_t i = t->step[k].tok_begin; i < t->step[k].tok_end; i++)
                if ((double)t->logprob[i] < least) least = (double)t->logprob[i];
            OK(rung_score_get(&v, &found, s, t->step[k].node, model, err));
            assert_true(found);
            assert_true(fabs(v - exp(least)) < 1e-5);
            n++;
        }
    rung_iter_free(it);
    assert_true(n > 100);
    rung_reward_free(r);
    rung_store_close(s);
}

static void kinds(void **state) {
    (void)state;
    for (int k = 0; k < RUNG_REWARD_KIND_COUNT; k++) {
        rung_reward_kind back = RUNG_REWARD_KIND_COUNT;
        assert_true(rung_reward_kind_find(&back, rung_reward_kind_name(k)));
        assert_int_equal(back, k);
    }
    rung_reward_kind x;
    assert_false(rung_reward_kind_find(&x, "prm"));
    rung_reward *r;
    rung_error e = RUNG_ERROR_INIT;
    assert_int_equal(rung_reward_open(&r, base_path, NULL, &e), RUNG_E_FORMAT); /* a policy */
    assert_non_null(strstr(e.what, "not a reward model file"));
    assert_int_equal(rung_reward_open(&r, "/nowhere/x.gguf", NULL, &e) < 0, 1);
    rung_store *s;
    OK(rung_store_open(&s, pool_path, 0, err));
    rung_reward_train_opts o = train_opts(RUNG_REWARD_CONFIDENCE, "x");
    assert_int_equal(rung_reward_train(NULL, s, 1, &o, NULL, &e), RUNG_E_INVAL);
    rung_store_close(s);
}

static int setup(void **state) {
    (void)state;
    pool_make();
    return 0;
}
static int teardown(void **state) {
    (void)state;
    coin_teardown();
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layout),
        cmocka_unit_test(masked_after_the_first_error),
        cmocka_unit_test(shared_prefixes_are_read_once),
        cmocka_unit_test(outcome_rows),
        cmocka_unit_test(split_is_by_problem),
        cmocka_unit_test(too_long),
        cmocka_unit_test(confidence),
        cmocka_unit_test(kinds),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
