/* Scoring as text grows: each token is read once, forks share what they have in common, one pass
 * and step by step agree; stored traces cost the union of their prefixes; the ledger says so. */
#include "fixture_format.h"
#include "fixture_reward.h"
#include <math.h>

#include <cmocka.h>

static rung_reward *open_as(const char *path, const char *format, const char *reference) {
    rung_reward *r = NULL;
    rung_engine_opts eo = RUNG_ENGINE_OPTS_INIT;
    eo.n_threads = 1;
    eo.n_seq = 16;
    rung_reward_open_opts o = RUNG_REWARD_OPEN_OPTS_INIT;
    o.format = format;
    o.reference = reference;
    o.engine = &eo;
    OK(rung_reward_open_as(&r, path, &o, err));
    return r;
}
static int64_t read_so_far(const rung_scorer *s) {
    rung_scorer_stats st;
    rung_scorer_get_stats(&st, s);
    return st.n_tok;
}
static double score_of(const rung_scorer *s, int64_t live, int32_t k) {
    const double *score;
    int32_t n;
    OK(rung_scorer_get(&score, &n, s, live, err));
    assert_true(k < n);
    return score[k];
}
static void step(rung_scorer *s, int64_t live, const char *text) {
    OK(rung_scorer_step(s, live, text, strlen(text), NULL, 0, err));
}

enum { LIVE = 4, STEPS = 5 };
static void text_of(char out[64], int t, int k) {
    snprintf(out, 64, "trace %d says %d*%d", t, k + 2, t + 3);
}

/* Four live traces of two questions grow together; then two of them fork. Per run the engine reads
 * the new tokens, nothing else (ask: and the questions; they are no part of the trace). */
static void grows(const char *path, const char *format, const char *reference, bool ask) {
    char text[64];
    rung_reward *r = open_as(path, format, reference);
    rung_scorer *s, *whole;
    OK(rung_scorer_open(&s, r, err));
    const reward_plan *plan = &(reward_plan){0};
    reward_plan own;
    OK(reward_plan_init(&own, rung_engine_model(r->engine), &r->format, err));
    plan = &own;
    int n_models = reference ? 2 : 1;
    reward_layout l[LIVE] = {0};
    int64_t live[LIVE];
    rung_engine_clear(r->engine);
    for (int t = 0; t < LIVE; t++) {
        const char *question = t % 2 ? "one + 2?" : "what else is there?";
        OK(rung_scorer_begin(&live[t], s, question, err));
        OK(reward_layout_begin(&l[t], plan, question, err));
    }
    double got[LIVE][STEPS];
    for (int k = 0; k < STEPS; k++) {
        int64_t before = read_so_far(s), new_tok = 0;
        for (int t = 0; t < LIVE; t++) {
            text_of(text, t, k);
            int32_t n = l[t].n_tok, tail = l[t].n_tail;
            step(s, live[t], text);
            OK(reward_layout_step(&l[t], plan, text, strlen(text), NULL, 0, err));
            new_tok += l[t].n_tok - n + (ask ? l[t].n_tail - tail : 0);
            if (k == 0) new_tok += n; /* the prompt: counted below without what is shared */
        }
        OK(rung_scorer_run(s, err));
        int64_t read = read_so_far(s) - before;
        if (k == 0) { /* two traces a question: what they have in common is read once */
            assert_true(read < n_models * new_tok);
        } else if (ask) { /* a question and the next step may begin alike */
            assert_true(read <= new_tok && read >= new_tok - LIVE);
        } else {
            assert_int_equal(read, n_models * new_tok);
        }
        OK(rung_scorer_run(s, err)); /* nothing new: nothing read */
        assert_int_equal(read_so_far(s) - before, read);
    }
    /* forks go on without reading what they share; the same step twice is read once */
    int64_t fork[2], before = read_so_far(s);
    OK(rung_scorer_fork(&fork[0], s, live[1], err));
    OK(rung_scorer_fork(&fork[1], s, live[1], err));
    step(s, fork[0], "left x");
    step(s, fork[1], "right y");
    step(s, live[1], "left x");
    int32_t n = l[1].n_tok, tail = l[1].n_tail;
    OK(reward_layout_step(&l[1], plan, "left x", 6, NULL, 0, err));
    int64_t n_step = l[1].n_tok - n + (ask ? l[1].n_tail - tail : 0);
    OK(rung_scorer_run(s, err));
    int64_t read = read_so_far(s) - before;
    assert_true(read >= n_models * n_step && read <= n_models * (2 * n_step + 4));
    assert_float_equal(score_of(s, fork[0], STEPS), score_of(s, live[1], STEPS), 0);
    assert_true(fabs(score_of(s, fork[1], STEPS) - score_of(s, live[1], STEPS)) > 1e-4);
    for (int k = 0; k < STEPS; k++)
        assert_float_equal(score_of(s, fork[1], k), score_of(s, live[1], k), 0);
    for (int t = 0; t < LIVE; t++)
        for (int k = 0; k < STEPS; k++) got[t][k] = score_of(s, live[t], k);
    rung_scorer_drop(s, fork[0]);
    rung_scorer_close(s);
    /* one pass over each whole trace gives the same scores */
    OK(rung_scorer_open(&whole, r, err));
    for (int t = 0; t < LIVE; t++) {
        rung_engine_clear(r->engine);
        OK(rung_scorer_begin(&live[t], whole, t % 2 ? "one + 2?" : "what else is there?", err));
        for (int k = 0; k < STEPS; k++) {
            text_of(text, t, k);
            step(whole, live[t], text);
        }
        OK(rung_scorer_run(whole, err));
        for (int k = 0; k < STEPS; k++)
            assert_float_equal(score_of(whole, live[t], k), got[t][k], 1e-2);
    }
    rung_scorer_close(whole);
    for (int t = 0; t < LIVE; t++) reward_layout_clear(&l[t]);
    reward_plan_clear(&own);
    rung_reward_free(r);
}

static void grows_everywhere(void **state) {
    (void)state;
    char chat[400], spm[400], cls[400], ref[400];
    fm_model(coin_path(chat, "chat.gguf"), &(fm_spec){.arch = "llama", .chat = true, .seed = 1});
    fm_model(coin_path(ref, "ref.gguf"), &(fm_spec){.arch = "llama", .chat = true, .seed = 2});
    fm_model(coin_path(spm, "spm.gguf"), &(fm_spec){.arch = "llama", .spm = true, .seed = 3});
    fm_model(coin_path(cls, "cls.gguf"), &(fm_spec){.arch = "qwen3", .n_out = 2, .seed = 7});
    grows(chat, "rlhflow", NULL, false);
    grows(chat, "rung-token", NULL, false);
    grows(spm, "math-shepherd", NULL, false);
    grows(cls, "trl", NULL, false);
    grows(cls, "qwen-math-prm", NULL, false);
    grows(chat, "verdict", NULL, true);
    grows(chat, "log-ratio", ref, false);
}

/* A failing run leaves what is scored; the next one scores the rest. */
static int stop_at_once(void *ud, rung_level level, const char *name, const rung_field *f) {
    (void)name, (void)f;
    return *(bool *)ud && level == RUNG_PROGRESS;
}

static int compare_rows(const void *a, const void *b) {
    return memcmp(a, b, 256 * sizeof(int32_t));
}

/* Distinct prefixes of the pool's token sequences, laid out as they are scored. */
static int64_t union_of_prefixes(rung_store *s, const rung_model *m, const reward_format *f) {
    static int32_t row[512][256];
    int n = 0;
    rung_iter *it;
    const rung_trace *t;
    rung_arena *a = rung_arena_new(0);
    OK(rung_trace_iter(&it, s, &(rung_filter){0}, err));
    while (rung_trace_next(&t, it, NULL) == RUNG_OK) {
        reward_layout l;
        bool spelled, by_step;
        rung_problem p;
        OK(rung_problem_get(s, &p, a, t->problem, err));
        if (t->n_steps == 0) continue;
        OK(reward_layout_make(&l, &spelled, &by_step, m, f, &p, t, err));
        assert_true(l.n_tok < 256 && n < 512);
        memset(row[n], 0xff, sizeof row[n]);
        memcpy(row[n++], l.tok, (size_t)l.n_tok * sizeof *l.tok);
        reward_layout_clear(&l);
    }
    rung_iter_free(it);
    rung_arena_free(a);
    qsort(row, (size_t)n, sizeof row[0], compare_rows);
    int64_t total = 0;
    for (int i = 0; i < n; i++) {
        int same = 0;
        while (i && same < 256 && row[i][same] == row[i - 1][same]) same++;
        for (int k = same; k < 256 && row[i][k] >= 0; k++) total++;
    }
    return total;
}

/* All of a pool: every token of the union of prefixes is read once; the ledger has it. */
static void pool_costs_its_union(void **state) {
    (void)state;
    char path[400], head[400];
    pool_copy(path, "union.db");
    coin_policy base = coin_open(base_path);
    rung_model_info info;
    rung_model_get_info(&info, base.m);
    rung_gguf_writer *w = rung_gguf_writer_new();
    rung_gguf_put_str(w, "general.architecture", "rung-reward");
    rung_gguf_put_str(w, "rung.reward.kind", "prm_format");
    rung_gguf_put_str(w, "rung.reward.version", "1");
    rung_gguf_put_str(w, "rung.reward.base_hash", info.hash);
    rung_gguf_put_str(w, "rung.reward.format", "name: h\nscore: head\naggregate: prod\n");
    fm_random(w, "cls.output.weight", COIN_D, 1, .3, 4);
    OK(rung_gguf_write(w, coin_path(head, "head.gguf"), err));
    rung_gguf_writer_free(w);
    rung_reward *r;
    OK(rung_reward_open(&r, head, base.e, err));
    assert_int_equal(rung_reward_aggregate_of(r), RUNG_AGGREGATE_PROD);
    rung_store *s;
    OK(rung_store_open(&s, path, 0, err));
    int64_t want = union_of_prefixes(s, base.m, &r->format);
    int64_t run = coin_run(s, "reward.score", "{}");
    rung_score_report one, two;
    rung_score_cost cost;
    bool found;
    rung_engine_clear(base.e);
    OK(rung_reward_score(&one, r, s, run, &(rung_filter){0}, NULL, err));
    printf("%lld tokens read, %lld in the union, %lld from the cache\n", (long long)one.n_tok,
           (long long)want, (long long)one.n_tok_cached);
    assert_int_equal(one.n_tok, want);
    assert_true(one.n_tok_cached > one.n_tok / 2);
    assert_int_equal(one.n_traces, POOL_PROBLEMS * POOL_SAMPLES);
    assert_int_equal(one.n_scored, one.n_traces);
    OK(rung_reward_cost(&cost, &found, s, one.model, err));
    assert_true(found && cost.n_tok == want && cost.wall_s > 0);
    assert_int_equal(cost.n_steps, one.n_steps);
    OK(rung_reward_score(&two, r, s, run, &(rung_filter){0}, NULL, err)); /* nothing is missing */
    assert_true(two.n_tok == 0 && two.n_steps == 0);
    OK(rung_reward_cost(&cost, &found, s, one.model + 1, err));
    assert_false(found);
    rung_reward_free(r);
    rung_store_close(s);
    coin_close(base);
}

/* A trace that cannot be read is named and counted; the others are scored. */
static void skipped_traces_are_counted(void **state) {
    (void)state;
    char path[400], model[400];
    pool_copy(path, "skip.db");
    fm_model(coin_path(model, "trl.gguf"), &(fm_spec){.arch = "qwen3", .n_out = 2, .seed = 7});
    rung_store *s;
    OK(rung_store_open(&s, path, 0, err));
    int64_t run = coin_run(s, "trace.import", "{}");
    char *longest = malloc(2001);
    memset(longest, 'x', 2000);
    longest[2000] = 0;
    const char *text[] = {"two\nlines", "fine", longest};
    for (int i = 0; i < 3; i++) {
        int32_t n = (int32_t)strlen(text[i]);
        rung_step one = {.byte_end = n};
        rung_trace t = {.run = run,
                        .problem = 1,
                        .i = i,
                        .generator = "hand",
                        .text = text[i],
                        .n_bytes = n,
                        .step = &one,
                        .n_steps = 1,
                        .answer = "",
                        .answer_key = "",
                        .verifier = "",
                        .rule = "",
                        .reason = "",
                        .stop = "given",
                        .first_error = RUNG_FIRST_ERROR_UNKNOWN,
                        .first_error_source = ""};
        OK(rung_trace_put(s, &t, &one, NULL, err));
    }
    free(longest);
    rung_reward *r = open_as(model, "trl", NULL);
    rung_score_report o;
    OK(rung_reward_score(&o, r, s, run, &(rung_filter){.run = run}, NULL, err));
    assert_int_equal(o.n_traces, 3);
    assert_int_equal(o.n_scored, 1);
    assert_int_equal(o.n_steps, 1);
    assert_int_equal(o.n_skipped, 2);
    assert_int_equal(o.n_skipped_tag, 1);
    assert_int_equal(o.n_skipped_context, 1);
    rung_reward_free(r);
    rung_store_close(s);
}

/* Cancelled in the middle: an error, and the scorer goes on afterwards. */
static void goes_on_after_a_failure(void **state) {
    (void)state;
    char path[400];
    fm_model(coin_path(path, "again.gguf"), &(fm_spec){.arch = "llama", .chat = true, .seed = 1});
    bool stop = false;
    rung_log log = {stop_at_once, &stop};
    rung_reward_open_opts o = RUNG_REWARD_OPEN_OPTS_INIT;
    o.format = "rlhflow";
    o.log = &log;
    rung_reward *r;
    OK(rung_reward_open_as(&r, path, &o, err));
    rung_scorer *s;
    int64_t live;
    OK(rung_scorer_open(&s, r, err));
    OK(rung_scorer_begin(&live, s, "q", err));
    step(s, live, "a");
    OK(rung_scorer_run(s, err));
    double first = score_of(s, live, 0);
    step(s, live, "b");
    usleep(600000); /* the engine's tick comes twice a second */
    stop = true;
    rung_error e = RUNG_ERROR_INIT;
    assert_int_equal(rung_scorer_run(s, &e), RUNG_E_CANCELLED);
    const double *score;
    int32_t n;
    OK(rung_scorer_get(&score, &n, s, live, err));
    assert_true(n >= 1 && score[0] == first);
    stop = false;
    OK(rung_scorer_run(s, err));
    OK(rung_scorer_get(&score, &n, s, live, err));
    assert_int_equal(n, 2);
    rung_scorer_close(s);
    rung_reward_free(r);
}

/* The nth allocation fails, for every n until none does: an error, no crash, nothing leaked. */
static void out_of_memory_anywhere(void **state) {
    (void)state;
    char path[400];
    fm_model(coin_path(path, "oom.gguf"), &(fm_spec){.arch = "llama", .chat = true, .seed = 1});
    rung_reward *r = open_as(path, "verdict", NULL);
    int64_t tries = 1;
    for (;; tries++) {
        rung_scorer *s = NULL;
        int64_t a, b;
        rung_error e = RUNG_ERROR_INIT;
        rung_alloc_fail_after(tries);
        rung_status st = rung_scorer_open(&s, r, &e);
        if (st == RUNG_OK) st = rung_scorer_begin(&a, s, "q", &e);
        if (st == RUNG_OK) st = rung_scorer_step(s, a, "one", 3, NULL, 0, &e);
        if (st == RUNG_OK) st = rung_scorer_fork(&b, s, a, &e);
        if (st == RUNG_OK) st = rung_scorer_step(s, b, "two", 3, NULL, 0, &e);
        if (st == RUNG_OK) st = rung_scorer_run(s, &e);
        rung_alloc_fail_after(0);
        rung_scorer_close(s);
        if (st == RUNG_OK) break;
        assert_int_equal(st, RUNG_E_NOMEM);
    }
    assert_true(tries > 20);
    rung_reward_free(r);
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
        cmocka_unit_test(grows_everywhere),           cmocka_unit_test(pool_costs_its_union),
        cmocka_unit_test(skipped_traces_are_counted), cmocka_unit_test(goes_on_after_a_failure),
        cmocka_unit_test(out_of_memory_anywhere),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
