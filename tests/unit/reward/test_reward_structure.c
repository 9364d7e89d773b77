/* Models of the published structures, made by our trainer from tiny bases: Qwen2.5-Math-PRM's
 * (<extra_0>, two layers, two classes) and Math-Shepherd's (a tag, + against -). Their files
 * declare how they are read; without our keys they are read by the format's name alone. */
#include "fixture_format.h"
#include <math.h>

#include <cmocka.h>

enum { PROBLEMS = 20, SAMPLES = 6, STEPS = 3 };
static char store_path[400], bytes_path[400], spm_path[400];

/* Steps that end in "x" are wrong. */
static void put_trace(rung_store *s, int64_t run, int64_t problem, int i) {
    char text[STEPS][32], all[100] = "";
    rung_step step[STEPS] = {0};
    int n = 0, wrong_at = (int)((problem * 7 + i) % (STEPS + 2));
    for (int k = 0; k < STEPS; k++) {
        snprintf(text[k], sizeof text[k], "%d is %lld%s\n", k, (long long)((problem + i) % 9),
                 k == wrong_at ? "x" : "");
        strcat(all, text[k]);
        step[k].byte_begin = n;
        step[k].byte_end = n += (int)strlen(text[k]);
    }
    bool wrong = wrong_at < STEPS;
    rung_trace t = {.run = run,
                    .problem = problem,
                    .i = i,
                    .generator = "hand",
                    .text = all,
                    .n_bytes = n,
                    .step = step,
                    .n_steps = STEPS,
                    .answer = "",
                    .answer_key = "",
                    .verdict = wrong ? RUNG_VERDICT_WRONG : RUNG_VERDICT_CORRECT,
                    .verifier = "",
                    .rule = "",
                    .reason = "",
                    .stop = "given",
                    .first_error = wrong ? wrong_at : -1,
                    .first_error_source = "human"};
    OK(rung_trace_put(s, &t, step, NULL, err));
    for (int k = 0; k < STEPS; k++) {
        rung_label l = {.run = run,
                        .node = step[k].node,
                        .source = "hand",
                        .labeler = "test",
                        .hard = k != wrong_at,
                        .soft = (double)NAN};
        OK(rung_label_put(s, &l, NULL, err));
    }
}

static void make_store(void) {
    rung_store *s;
    coin_store(coin_path(store_path, "steps.db"), PROBLEMS);
    OK(rung_store_open(&s, store_path, 0, err));
    int64_t run = coin_run(s, "trace.import", "{}");
    OK(rung_store_begin(s, err));
    for (int64_t p = 1; p <= PROBLEMS; p++)
        for (int i = 0; i < SAMPLES; i++) put_trace(s, run, p, i);
    OK(rung_store_commit(s, err));
    rung_store_close(s);
}

static rung_reward_report train(rung_reward_kind kind, const char *base, const char *format,
                                const char *out) {
    rung_store *s;
    rung_reward_report r;
    OK(rung_store_open(&s, store_path, 0, err));
    rung_reward_train_opts o = RUNG_REWARD_TRAIN_OPTS_INIT;
    o.kind = kind;
    o.label_source = "hand";
    o.base_path = base;
    o.out_path = out;
    o.format = format;
    o.seed = 3;
    o.lr = kind == RUNG_REWARD_PRM_TOKEN ? 3e-3 : 1e-2;
    o.epochs = kind == RUNG_REWARD_PRM_TOKEN ? 12 : 60;
    o.batch = kind == RUNG_REWARD_PRM_TOKEN ? 4 : 64;
    o.patience = 20;
    o.save_type = "f32";
    OK(rung_reward_train(&r, s, coin_run(s, "reward.train", "{}"), &o, NULL, err));
    printf("%s as %s: held auc %.4f, %d epochs\n", rung_reward_kind_name(kind), format, r.auc_held,
           r.epochs);
    rung_store_close(s);
    return r;
}

/* Scores of every step of every trace, stored; how many. */
static int scores(double *out, rung_reward *r) {
    rung_store *s;
    rung_iter *it;
    const rung_trace *t;
    rung_score_report o;
    int n = 0;
    char copy[400];
    coin_copy(copy, "scores.db", store_path);
    OK(rung_store_open(&s, copy, 0, err));
    OK(rung_reward_score(&o, r, s, 0, &(rung_filter){0}, NULL, err));
    assert_int_equal(o.n_skipped, 0);
    OK(rung_trace_iter(&it, s, &(rung_filter){0}, err));
    while (rung_trace_next(&t, it, NULL) == RUNG_OK)
        for (int32_t k = 0; k < t->n_steps; k++, n++) {
            bool found;
            OK(rung_score_get(&out[n], &found, s, t->step[k].node, o.model, err));
            assert_true(found);
        }
    rung_iter_free(it);
    rung_store_close(s);
    return n;
}

static void qwen_structure(void **state) {
    (void)state;
    char out[400];
    rung_reward_report r =
        train(RUNG_REWARD_PRM_HEAD, bytes_path, "qwen-math-prm", coin_path(out, "qwen.gguf"));
    assert_true(r.auc_held > .95);
    /* Linear(d,d), ReLU, Linear(d,2), as in the published weights */
    rung_gguf *g;
    float *w;
    int64_t d[4];
    OK(rung_gguf_open(&g, out, err));
    OK(rung_gguf_tensor(&w, d, g, "cls.weight", err));
    assert_true(d[0] == FM_D && d[1] == FM_D);
    rung_free(w);
    OK(rung_gguf_tensor(&w, d, g, "cls.output.weight", err));
    assert_true(d[0] == FM_D && d[1] == 2);
    rung_free(w);
    assert_non_null(strstr(rung_gguf_str(g, "rung.reward.format", ""), "<extra_0>"));
    assert_string_equal(rung_gguf_str(g, "rung.reward.kind", ""), "prm_head");
    rung_gguf_free(g);

    coin_policy base = coin_open(bytes_path);
    rung_reward *m;
    OK(rung_reward_open(&m, out, base.e, err));
    assert_int_equal(m->format.class_number, 1);
    assert_int_equal(m->classifier.n_out, 2);
    static double got[PROBLEMS * SAMPLES * STEPS];
    int n = scores(got, m);
    double right = 0, wrong = 0;
    int n_right = 0, n_wrong = 0;
    for (int i = 0, t = 0; i < n; i += STEPS, t++) {
        int64_t p = t / SAMPLES + 1;
        int wrong_at = (int)((p * 7 + t % SAMPLES) % (STEPS + 2));
        for (int k = 0; k <= (wrong_at < STEPS ? wrong_at : STEPS - 1); k++) {
            if (k == wrong_at)
                wrong += got[i + k], n_wrong++;
            else
                right += got[i + k], n_right++;
        }
    }
    assert_true(right / n_right > .8 && wrong / n_wrong < .2);
    /* one score by hand: the text, the state at <extra_0>, softmax of two layers */
    fm_read read;
    rung_model_info info;
    rung_model_get_info(&info, base.m);
    rung_store *s;
    rung_iter *it;
    const rung_trace *t;
    rung_arena *a = rung_arena_new(0);
    rung_problem p;
    OK(rung_store_open(&s, store_path, 0, err));
    OK(rung_trace_iter(&it, s, &(rung_filter){0}, err));
    OK(rung_trace_next(&t, it, err));
    OK(rung_problem_get(s, &p, a, t->problem, err));
    reward_layout l;
    bool spelled, by_step;
    OK(reward_layout_make(&l, &spelled, &by_step, base.m, &m->format, &p, t, err));
    for (int k = 0; k < STEPS; k++) {
        assert_int_equal(l.tok[l.at[k]], rung_model_token(base.m, "<extra_0>"));
        fm_at(&read, base.e, l.tok, l.at[k] + 1);
        double z[2], mid[FM_D];
        const reward_classifier *c = &m->classifier;
        for (int j = 0; j < FM_D; j++) {
            mid[j] = c->b[j];
            for (int i = 0; i < FM_D; i++) mid[j] += (double)c->w[j * FM_D + i] * read.hidden[i];
            if (mid[j] < 0) mid[j] = 0;
        }
        for (int o = 0; o < 2; o++) {
            z[o] = c->b_out[o];
            for (int j = 0; j < FM_D; j++) z[o] += (double)c->w_out[o * FM_D + j] * mid[j];
        }
        double want = exp(z[1]) / (exp(z[0]) + exp(z[1]));
        if (!(fabs(got[k] - want) < .02)) fail_msg("step %d: %.6f, by hand %.6f", k, got[k], want);
    }
    reward_layout_clear(&l);
    rung_iter_free(it);
    rung_arena_free(a);
    rung_store_close(s);
    rung_reward_free(m);
    coin_close(base);
}

/* A copy of a model without rung's keys: as somebody else would publish it. */
static void strip(const char *to, const char *from) {
    rung_gguf *g;
    rung_gguf_writer *w = rung_gguf_writer_new();
    static const char *const keys[] = {
        "kind",   "version",    "base_hash", "base_name", "chat",         "system",     "suffix",
        "tag",    "read",       "tag_first", "aggregate", "label_source", "label_run",  "target",
        "masked", "split",      "data",      "config",    "format",       "trained_on", "n_train",
        "n_held", "train_loss", "held_loss", "held_auc",  "held_brier",   "held_ece",   "epochs"};
    OK(rung_gguf_open(&g, from, err));
    rung_gguf_put_all(w, g);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        char key[64];
        snprintf(key, sizeof key, "rung.reward.%s", keys[i]);
        rung_gguf_put_remove(w, key);
    }
    for (int64_t i = 0; i < rung_gguf_n_tensors(g); i++)
        rung_gguf_put_copy(w, rung_gguf_tensor_name(g, i), g);
    OK(rung_gguf_write(w, to, err));
    rung_gguf_writer_free(w);
    rung_gguf_free(g);
}

static void shepherd_structure(void **state) {
    (void)state;
    char out[400], bare[400];
    rung_reward_report r =
        train(RUNG_REWARD_PRM_TOKEN, spm_path, "math-shepherd", coin_path(out, "shepherd.gguf"));
    assert_true(r.auc_held > .9);
    rung_reward *m, *other;
    OK(rung_reward_open(&m, out, NULL, err)); /* the file says itself how it is read */
    assert_int_equal(rung_reward_kind_of(m), RUNG_REWARD_PRM_TOKEN);
    assert_string_equal(m->format.tag, " ки");
    assert_string_equal(m->format.positive.word[0], " +");
    strip(coin_path(bare, "bare.gguf"), out);
    rung_reward_open_opts o = RUNG_REWARD_OPEN_OPTS_INIT;
    rung_error e = RUNG_ERROR_INIT;
    assert_int_equal(rung_reward_open_as(&other, bare, &o, &e), RUNG_E_FORMAT);
    o.format = "math-shepherd";
    OK(rung_reward_open_as(&other, bare, &o, err));
    assert_int_equal(rung_reward_kind_of(other), RUNG_REWARD_PRM_FORMAT);
    static double a[PROBLEMS * SAMPLES * STEPS], b[PROBLEMS * SAMPLES * STEPS];
    int n = scores(a, m), differ = 0;
    assert_int_equal(scores(b, other), n);
    for (int i = 0; i < n; i++) {
        if (!(fabs(a[i] - b[i]) < .02)) fail_msg("step %d: %.6f and %.6f", i, a[i], b[i]);
        differ += i > 0 && fabs(a[i] - a[i - 1]) > .3;
    }
    assert_true(differ > 50); /* they say something */
    rung_reward_free(m);
    rung_reward_free(other);
}

/* What does not fit together is said before anything is read. */
static void misfits(void **state) {
    (void)state;
    rung_store *s;
    rung_error e = RUNG_ERROR_INIT;
    OK(rung_store_open(&s, store_path, 0, err));
    rung_reward_train_opts o = RUNG_REWARD_TRAIN_OPTS_INIT;
    o.label_source = "hand";
    o.base_path = bytes_path;
    o.out_path = "x.gguf";
    o.kind = RUNG_REWARD_PRM_TOKEN;
    o.format = "qwen-math-prm"; /* a head's */
    assert_int_equal(rung_reward_train(NULL, s, 1, &o, NULL, &e), RUNG_E_INVAL);
    o.kind = RUNG_REWARD_PRM_HEAD;
    o.tag = "<?>"; /* twice said */
    assert_int_equal(rung_reward_train(NULL, s, 1, &o, NULL, &e), RUNG_E_INVAL);
    o.tag = NULL;
    o.n_out = 1; /* class 1 of one */
    assert_int_equal(rung_reward_train(NULL, s, 1, &o, NULL, &e), RUNG_E_INVAL);
    o.n_out = 0;
    o.format = "math-sheperd";
    assert_int_equal(rung_reward_train(NULL, s, 1, &o, NULL, &e), RUNG_E_NOT_FOUND);
    assert_non_null(strstr(e.hint, "math-shepherd"));
    o.kind = RUNG_REWARD_PRM_TOKEN; /* a base without the tag as one token */
    o.format = "math-shepherd";
    assert_int_not_equal(rung_reward_train(NULL, s, 1, &o, NULL, &e), RUNG_OK);
    rung_store_close(s);
}

static int setup(void **state) {
    (void)state;
    coin_setup();
    fm_model(coin_path(bytes_path, "bytes.gguf"),
             &(fm_spec){.arch = "llama", .chat = true, .seed = 1});
    fm_model(coin_path(spm_path, "spm.gguf"), &(fm_spec){.arch = "llama", .spm = true, .seed = 2});
    make_store();
    return 0;
}
static int teardown(void **state) {
    (void)state;
    coin_teardown();
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(qwen_structure),
                                       cmocka_unit_test(shepherd_structure),
                                       cmocka_unit_test(misfits)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
