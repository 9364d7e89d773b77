/* Sampling into a store: spans, judging, only what is missing, cancel and kill -9. */
#include "fixture_coin.h"
#include "rung/trace.h"
#include <math.h>

enum { N_PROBLEMS = 12, N_SAMPLES = 16 };
static char model_path[400];

static void sample_into(const char *store_path, const rung_log *log, rung_status want) {
    coin_policy p = coin_open(model_path);
    rung_store *s;
    OK(rung_store_open(&s, store_path, 0, err));
    rung_sample_opts o = RUNG_SAMPLE_OPTS_INIT;
    o.n = N_SAMPLES;
    o.max_tok = 24;
    o.seed = 11;
    o.split_how = "line";
    rung_error e = RUNG_ERROR_INIT;
    rung_status st = rung_trace_sample(s, p.e, coin_run(s, "trace.sample", "{}"), &o, log, &e);
    if (st != want) fail_msg("%s: %s", rung_status_name(st), e.what);
    rung_store_close(s);
    coin_close(p);
}

/* Everything but ids and times, a line per trace. */
static char *dump(const char *path, int *n_traces) {
    rung_store *s;
    OK(rung_store_open(&s, path, RUNG_STORE_READ_ONLY, err));
    rung_buf b;
    rung_buf_init(&b, 64u << 20);
    rung_iter *it;
    const rung_trace *t;
    OK(rung_trace_iter(&it, s, &(rung_filter){0}, err));
    *n_traces = 0;
    while (rung_trace_next(&t, it, NULL) == RUNG_OK) {
        rung_buf_printf(&b, "%lld %d %s %d %s %s %s %s %s %d:", (long long)t->problem, t->i,
                        t->generator, t->n_tok, t->answer, t->answer_key,
                        rung_verdict_name(t->verdict), t->rule, t->stop, t->first_error);
        rung_buf_json_str(&b, t->text, (size_t)t->n_bytes);
        for (int32_t k = 0; k < t->n_steps; k++)
            rung_buf_printf(&b, " %d-%d/%d-%d", t->step[k].byte_begin, t->step[k].byte_end,
                            t->step[k].tok_begin, t->step[k].tok_end);
        for (int32_t k = 0; k < t->n_tok; k++)
            rung_buf_printf(&b, " %d(%.3f)", t->tok[k], (double)t->logprob[k]);
        rung_buf_str(&b, "\n");
        ++*n_traces;
    }
    rung_iter_free(it);
    rung_arena *a = rung_arena_new(0);
    rung_run r;
    OK(rung_run_find(&r, a, s, "trace.sample", err));
    rung_buf_printf(&b, "tokens %lld\n", (long long)r.tokens);
    rung_arena_free(a);
    rung_store_close(s);
    return rung_buf_take(&b, NULL);
}

static char *reference;
static double whole_s; /* what a run takes here */

static void whole_run(void **state) {
    (void)state;
    char path[400];
    coin_store(coin_path(path, "whole.db"), N_PROBLEMS);
    double start = rung_now();
    sample_into(path, NULL, RUNG_OK);
    whole_s = rung_now() - start;
    int n;
    reference = dump(path, &n);
    assert_int_equal(n, N_PROBLEMS * N_SAMPLES);
    rung_store *s;
    OK(rung_store_open(&s, path, 0, err));
    rung_iter *it;
    const rung_trace *t;
    OK(rung_trace_iter(&it, s, &(rung_filter){0}, err));
    int n_right = 0, n_wrong = 0;
    int64_t n_tok = 0;
    while (rung_trace_next(&t, it, NULL) == RUNG_OK) {
        n_right += t->verdict == RUNG_VERDICT_CORRECT;
        n_wrong += t->verdict == RUNG_VERDICT_WRONG;
        n_tok += t->n_tok;
        assert_int_equal(t->verdict == RUNG_VERDICT_CORRECT, !strcmp(t->answer, "1"));
        for (int32_t k = 0; k < t->n_steps; k++)
            assert_true(t->step[k].tok_end > t->step[k].tok_begin && t->step[k].node > 0);
        for (int32_t k = 0; k < t->n_tok; k++) assert_true(t->logprob[k] <= 0);
    }
    rung_iter_free(it);
    /* The policy is a coin: both outcomes occur a lot. */
    assert_true(n_right > 30 && n_wrong > 30);
    char tokens[64];
    snprintf(tokens, sizeof tokens, "\ntokens %lld\n", (long long)n_tok);
    assert_non_null(strstr(reference, tokens));
    rung_store_close(s);
}

static void repeat_is_free(void **state) {
    (void)state;
    char path[400];
    sample_into(coin_path(path, "whole.db"), NULL, RUNG_OK);
    int n;
    char *again = dump(path, &n);
    assert_string_equal(again, reference);
    rung_free(again);
}

static int cancel_at(void *ud, rung_level level, const char *name, const rung_field *f) {
    (void)name, (void)f;
    return level == RUNG_PROGRESS && --*(int *)ud <= 0;
}

static void cancel_keeps_what_is_done(void **state) {
    (void)state;
    char path[400];
    coin_store(coin_path(path, "cancel.db"), N_PROBLEMS);
    int left = 1, n; /* progress is told a few times a second: the first time */
    sample_into(path, &(rung_log){cancel_at, &left}, RUNG_E_CANCELLED);
    char *part = dump(path, &n);
    assert_true(n >= 1 && n < N_PROBLEMS * N_SAMPLES);
    rung_free(part);
    sample_into(path, NULL, RUNG_OK);
    char *all = dump(path, &n);
    assert_string_equal(all, reference);
    rung_free(all);
}

static void work(char *path) {
    sample_into(path, NULL, RUNG_OK);
}

static void begin(char path[400], const char *name) {
    coin_store(coin_path(path, name), N_PROBLEMS);
}

static void check(char *path) {
    int n;
    char *all = dump(path, &n);
    assert_string_equal(all, reference);
    rung_free(all);
}

static void killed_and_resumed(void **state) {
    (void)state;
    coin_kill_and_resume(&(coin_kills){.seed = 3,
                                       .n_rounds = 7,
                                       .n_kills = 3,
                                       .least = 5,
                                       .whole_s = whole_s,
                                       .begin = begin,
                                       .work = work,
                                       .check = check});
}

static void refusals(void **state) {
    (void)state;
    char path[400];
    coin_store(coin_path(path, "refuse.db"), 1);
    coin_policy p = coin_open(model_path);
    rung_store *s;
    OK(rung_store_open(&s, path, 0, err));
    int64_t run = coin_run(s, "x", "{}");
    rung_sample_opts o = RUNG_SAMPLE_OPTS_INIT;
    rung_error e = RUNG_ERROR_INIT;
    o.n = 0;
    assert_int_equal(rung_trace_sample(s, p.e, run, &o, NULL, &e), RUNG_E_INVAL);
    o.n = 1;
    o.split_how = "sentence";
    assert_int_equal(rung_trace_sample(s, p.e, run, &o, NULL, &e), RUNG_E_INVAL);
    o.split_how = NULL;
    o.problems.set = "nothing";
    assert_int_equal(rung_trace_sample(s, p.e, run, &o, NULL, &e), RUNG_E_NOT_FOUND);
    assert_true(e.hint[0] != 0);
    o.struct_size = 8;
    assert_int_equal(rung_trace_sample(s, p.e, run, &o, NULL, &e), RUNG_E_INVAL);
    rung_store_close(s);
    coin_close(p);
}

/* A token belongs to the step of its first byte; a step without one is an error that names it. */
static void token_spans(void **state) {
    (void)state;
    rung_model *m;
    OK(rung_model_load(&m, model_path, NULL, err));
    const char *text = "a\nb\n#### 1\n";
    int32_t *tok, n_tok, n;
    OK(rung_model_tokenize(&tok, &n_tok, m, text, strlen(text), false, false, err));
    assert_int_equal(n_tok, 3);
    rung_step *step;
    OK(rung_split_steps(&step, &n, "line", text, strlen(text), err));
    OK(rung_split_tokens(step, n, m, tok, n_tok, err));
    for (int32_t k = 0; k < 3; k++) {
        assert_int_equal(step[k].tok_begin, k);
        assert_int_equal(step[k].tok_end, k + 1);
    }
    rung_free(step);
    rung_error e = RUNG_ERROR_INIT;
    /* "a" | "\nb\n##" | "## 1\n": the tokens "a\n" "b\n" "#### 1\n" begin in 0, 1, 1. */
    rung_step odd[3] = {{.byte_begin = 0, .byte_end = 1},
                        {.byte_begin = 1, .byte_end = 6},
                        {.byte_begin = 6, .byte_end = 11}};
    assert_int_equal(rung_split_tokens(odd, 3, m, tok, n_tok, &e), RUNG_E_FORMAT);
    assert_int_equal(e.step, 2);
    odd[1].byte_end = 11;
    OK(rung_split_tokens(odd, 2, m, tok, n_tok, err));
    assert_int_equal(odd[0].tok_end, 1);
    assert_int_equal(odd[1].tok_end, 3);
    odd[1].byte_end = 12; /* the text would be longer than its tokens */
    assert_int_equal(rung_split_tokens(odd, 2, m, tok, n_tok, &e), RUNG_E_FORMAT);
    rung_free(tok);
    rung_model_free(m);
}

/* A delimiter inside tokens: steps without a token of their own join the one before. */
static void borders_inside_tokens(void **state) {
    (void)state;
    char path[400];
    coin_store(coin_path(path, "borders.db"), 2);
    coin_policy p = coin_open(model_path);
    rung_store *s;
    OK(rung_store_open(&s, path, 0, err));
    int64_t run = coin_run(s, "x", "{}");
    rung_sample_opts o = RUNG_SAMPLE_OPTS_INIT;
    o.n = 64;
    o.max_tok = 24;
    o.split_how = "delimiter:a";
    OK(rung_trace_sample(s, p.e, run, &o, NULL, err));
    rung_iter *it;
    const rung_trace *t;
    OK(rung_trace_iter(&it, s, &(rung_filter){0}, err));
    int n_many = 0;
    while (rung_trace_next(&t, it, NULL) == RUNG_OK) {
        n_many += t->n_steps > 1;
        for (int32_t k = 0; k < t->n_steps; k++)
            assert_true(t->step[k].tok_end > t->step[k].tok_begin);
    }
    rung_iter_free(it);
    assert_true(n_many > 10);
    rung_store_close(s);
    coin_close(p);
}

/* The nth allocation fails, and all later ones: an error, nothing half-written, and the next run
 * fills the store as if nothing had happened. */
static void out_of_memory(void **state) {
    (void)state;
    char path[400];
    coin_store(coin_path(path, "memory.db"), N_PROBLEMS);
    coin_policy p = coin_open(model_path);
    rung_store *s;
    OK(rung_store_open(&s, path, 0, err));
    rung_sample_opts o = RUNG_SAMPLE_OPTS_INIT;
    o.n = N_SAMPLES;
    o.max_tok = 24;
    o.seed = 11;
    o.split_how = "line";
    int64_t run = coin_run(s, "trace.sample", "{}");
    int n_failed = 0;
    for (int nth = 1; nth < 4000; nth += 1 + nth / 8) {
        rung_error e = RUNG_ERROR_INIT;
        rung_alloc_fail_after(nth);
        rung_status st = rung_trace_sample(s, p.e, run, &o, NULL, &e);
        rung_alloc_fail_after(0);
        if (st == RUNG_OK) break;
        assert_int_equal(st, RUNG_E_NOMEM);
        n_failed++;
    }
    assert_true(n_failed > 10);
    rung_store_close(s);
    coin_close(p);
    sample_into(path, NULL, RUNG_OK);
    int n;
    char *all = dump(path, &n);
    assert_string_equal(all, reference);
    rung_free(all);
}

static int setup(void **state) {
    (void)state;
    coin_setup();
    coin_model(coin_path(model_path, "coin.gguf"));
    return 0;
}
static int teardown(void **state) {
    (void)state;
    rung_free(reference);
    coin_teardown();
    return 0;
}

int main(int argc, char **argv) {
    if (coin_is_work(argc, argv, model_path, work)) return 0;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_run),
        cmocka_unit_test(repeat_is_free),
        cmocka_unit_test(cancel_keeps_what_is_done),
        cmocka_unit_test(killed_and_resumed),
        cmocka_unit_test(refusals),
        cmocka_unit_test(out_of_memory),
        cmocka_unit_test(token_spans),
        cmocka_unit_test(borders_inside_tokens),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
