/* A store made by the public API for the tests of bench and of the report page: problems with
 * traces, scores of three kinds, labels, metrics. Seeded; hostile text in it, as a model may write.
 */
#ifndef RUNG_TESTS_BENCH_FIXTURE_H
#define RUNG_TESTS_BENCH_FIXTURE_H
#include "rung/bench.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIX_SAMPLES 16
#define FIX_STEPS   8
#define FIX_TOK     6 /* per step */

#define FIX(expr)                                                                                  \
    do {                                                                                           \
        rung_error fix_err_ = RUNG_ERROR_INIT, *err = &fix_err_;                                   \
        if ((expr) != RUNG_OK) {                                                                   \
            fprintf(stderr, "%s:%d: %s: %s %s\n", __FILE__, __LINE__, #expr, err->what,            \
                    err->detail);                                                                  \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

typedef struct fixture {
    rung_store *store;
    int64_t pool, greedy, train, labels; /* runs */
    int64_t prm, orm;                    /* models */
} fixture;

static inline int64_t fix_run(rung_store *s, const char *name, const char *kind) {
    char config[160];
    snprintf(config, sizeof config, "{\"name\":\"%s\",\"note\":\"</script><b>bold</b>\"}", name);
    rung_run r = {.name = name, .kind = kind, .config = config, .seed = 7};
    FIX(rung_run_begin(s, &r, err));
    return r.id;
}

static inline int64_t fix_model(rung_store *s, const char *name, const char *kind) {
    char hash[33];
    rung_hash_hex(hash, name, strlen(name));
    rung_model_row m = {.name = name, .path = "", .hash = hash, .kind = kind, .meta = "{}"};
    FIX(rung_model_put(s, &m, err));
    return m.id;
}

static inline int64_t fix_problem(rung_store *s, const char *set, int i, const char *question) {
    char key[32], answer[32];
    snprintf(key, sizeof key, "%s-%d", set, i);
    snprintf(answer, sizeof answer, "%d", 40 + i);
    rung_problem p = {.set = set,
                      .split = "test",
                      .key = key,
                      .question = question,
                      .answer = answer,
                      .solution = "",
                      .world = "",
                      .meta = "{}",
                      .verifier = "math"};
    FIX(rung_problem_put(s, &p, NULL, err));
    return p.id;
}

/* What one trace of the tests is made of. */
typedef struct fix_trace {
    int64_t run, problem;
    int32_t i, n_steps, first_error;
    const char *answer, *key, *generator;
    rung_verdict verdict;
    double prm[FIX_STEPS], orm, confidence[FIX_STEPS]; /* NaN: no score */
    bool label_mc;
} fix_trace;

/* Puts the trace with its scores; node[] receives the ids of its steps. */
static inline void fix_put(fixture *f, const fix_trace *t, const char *const *text,
                           int64_t node[FIX_STEPS]) {
    char all[4096] = "";
    rung_step step[FIX_STEPS] = {{0}};
    int32_t tok[FIX_STEPS * FIX_TOK] = {0};
    float logprob[FIX_STEPS * FIX_TOK];
    for (int k = 0; k < t->n_steps; k++) {
        step[k].byte_begin = (int32_t)strlen(all);
        strncat(all, text[k], sizeof all - strlen(all) - 1);
        step[k].byte_end = (int32_t)strlen(all);
        step[k].tok_begin = k * FIX_TOK;
        step[k].tok_end = (k + 1) * FIX_TOK;
        for (int j = 0; j < FIX_TOK; j++) /* the least of them is the confidence */
            logprob[k * FIX_TOK + j] = (float)(log(t->confidence[k]) * (j == 2 ? 1.0 : 0.1));
    }
    bool logprobs = !isnan(t->confidence[0]);
    rung_trace r = {.run = t->run,
                    .problem = t->problem,
                    .i = t->i,
                    .generator = t->generator ? t->generator : "tiny <policy>",
                    .text = all,
                    .n_bytes = (int32_t)strlen(all),
                    .tok = logprobs ? tok : NULL,
                    .logprob = logprobs ? logprob : NULL,
                    .n_tok = logprobs ? t->n_steps * FIX_TOK : 0,
                    .step = step,
                    .n_steps = t->n_steps,
                    .answer = t->answer,
                    .answer_key = t->key,
                    .verdict = t->verdict,
                    .verifier = "math",
                    .rule = "",
                    .reason = "",
                    .stop = "eos",
                    .first_error = t->first_error,
                    .first_error_source = t->first_error >= -1 ? "truth" : ""};
    if (!logprobs)
        for (int k = 0; k < t->n_steps; k++) step[k].tok_begin = step[k].tok_end = 0;
    FIX(rung_trace_put(f->store, &r, step, NULL, err));
    for (int k = 0; k < t->n_steps; k++) {
        node[k] = step[k].node;
        if (!isnan(t->prm[k])) FIX(rung_score_put(f->store, node[k], f->prm, t->prm[k], err));
    }
    if (!isnan(t->orm)) FIX(rung_score_put(f->store, node[t->n_steps - 1], f->orm, t->orm, err));
}

static inline void fix_open(fixture *f, const char *path) {
    *f = (fixture){0};
    FIX(rung_store_open(&f->store, path, RUNG_STORE_CREATE, err));
    f->prm = fix_model(f->store, "prm <of the test>", "prm");
    f->orm = fix_model(f->store, "orm of the test", "orm");
    f->pool = fix_run(f->store, "pool", "trace.sample");
    f->greedy = fix_run(f->store, "greedy", "trace.sample");
}

static inline double fix_clip(double v) {
    return v < 0.01 ? 0.01 : v > 0.99 ? 0.99 : v;
}

/* A pool on which a useful but imperfect step score exists: each step slips with a chance that
 * depends on the problem; the score falls at the slip and stays low; wrong answers cluster. */
static inline void fix_random_trace(fixture *f, const char *set, int64_t run, int64_t problem,
                                    int i_problem, int i) {
    rung_rng r = rung_rng_at(5, RUNG_STREAM_TEST, (uint64_t)problem, (uint64_t)(i + 100 * run));
    double slip = 0.03 + 0.22 * (double)(i_problem % 11) / 10.0;
    fix_trace t = {.run = run, .problem = problem, .i = i, .first_error = -1, .label_mc = true};
    t.n_steps = 4 + (int32_t)(i_problem % 4);
    char line[FIX_STEPS][160], answer[16];
    const char *text[FIX_STEPS];
    for (int k = 0; k < t.n_steps; k++) {
        if (t.first_error < 0 && rung_rng_f64(&r) < slip) t.first_error = k;
        bool bad = t.first_error >= 0 && t.first_error <= k;
        double noise = 0.22 * rung_rng_normal(&r);
        t.prm[k] = fix_clip((bad ? 0.3 : 0.8) + noise);
        t.confidence[k] = fix_clip((bad ? 0.45 : 0.7) + 0.25 * rung_rng_normal(&r));
        snprintf(line[k], sizeof line[k], "Step %d of try %d/%d: %d + %d = %d%s\n", k, (int)run, i,
                 10 * k + i, i_problem, 10 * k + i + i_problem + bad,
                 i == 3 ? " <img src=x onerror=\"document.title='owned'\"></script><!--" : "");
        text[k] = line[k];
    }
    bool right = t.first_error < 0 || rung_rng_f64(&r) < 0.04;
    snprintf(answer, sizeof answer, "%d",
             right ? 40 + i_problem : 40 + i_problem + 1 + (int)rung_rng_below(&r, 3));
    t.answer = t.key = answer;
    t.verdict = right ? RUNG_VERDICT_CORRECT : RUNG_VERDICT_WRONG;
    if (!right && rung_rng_f64(&r) < 0.06)
        t.answer = t.key = "", t.verdict = RUNG_VERDICT_UNKNOWN;
    else if (!right && rung_rng_f64(&r) < 0.03)
        t.verdict = RUNG_VERDICT_UNKNOWN;
    t.orm = fix_clip((right ? 0.65 : 0.4) + 0.25 * rung_rng_normal(&r));
    (void)set;
    int64_t node[FIX_STEPS];
    fix_put(f, &t, text, node);
    for (int k = 0; k < t.n_steps && run == f->pool; k++) {
        bool bad = t.first_error >= 0 && t.first_error <= k;
        int c = 0;
        for (int j = 0; j < 8; j++) c += rung_rng_f64(&r) < (bad ? 0.1 : 0.7);
        rung_label l = {.run = f->labels,
                        .node = node[k],
                        .source = "mc",
                        .labeler = "tiny",
                        .hard = c > 0,
                        .soft = c / 8.0,
                        .n = 8,
                        .c = c};
        FIX(rung_label_put(f->store, &l, NULL, err));
    }
}

static inline void fix_metrics(fixture *f) {
    FIX(rung_metric_put(f->store, f->train, 0, "n_train", 1234.0, err));
    FIX(rung_metric_put(f->store, f->train, 0, "brier_at_end", 0.125, err));
    for (int i = 0; i <= 40; i++) {
        FIX(rung_metric_put(f->store, f->train, i * 25, "train/loss",
                            0.3 + 0.4 * exp(-i / 9.0) + 0.01 * sin(i * 3.0), err));
        if (i % 4 == 0) {
            FIX(rung_metric_put(f->store, f->train, i * 25, "eval/loss",
                                0.35 + 0.36 * exp(-i / 8.0), err));
            FIX(rung_metric_put(f->store, f->train, i * 25, "eval/auc", 0.9 - 0.38 * exp(-i / 7.0),
                                err));
        }
    }
}

/* A whole store: set "sums" with n problems of FIX_SAMPLES traces, a greedy run, training curves.
 */
static inline void fix_full(fixture *f, const char *path, int n) {
    fix_open(f, path);
    f->labels = fix_run(f->store, "labels", "label.mc");
    f->train = fix_run(f->store, "prm", "reward.train");
    FIX(rung_store_begin(f->store, err));
    for (int p = 0; p < n; p++) {
        char question[200];
        snprintf(question, sizeof question, "Problem %d: what is %d + %d?%s", p, p, 40,
                 p % 7 == 0 ? " </script><script>document.title='owned'</script><!-- & \" '" : "");
        int64_t problem = fix_problem(f->store, "sums", p, question);
        for (int i = 0; i < FIX_SAMPLES; i++) fix_random_trace(f, "sums", f->pool, problem, p, i);
        fix_random_trace(f, "sums", f->greedy, problem, p, 0);
    }
    fix_metrics(f);
    FIX(rung_run_spend(f->store, f->pool, 34560, 41.5, err));
    FIX(rung_run_spend(f->store, f->greedy, 2160, 3.1, err));
    FIX(rung_run_spend(f->store, f->labels, 250000, 70.25, err));
    FIX(rung_run_spend(f->store, f->train, 0, 55.0, err));
    FIX(rung_run_finish(f->store, f->pool, err));
    FIX(rung_run_finish(f->store, f->labels, err));
    FIX(rung_store_commit(f->store, err));
}

static inline void fix_measure(fixture *f) {
    rung_buf b;
    rung_buf_init(&b, 1 << 24);
    int64_t run = fix_run(f->store, "answers", "bench.answer");
    rung_answer_opts o = RUNG_ANSWER_OPTS_INIT;
    o.traces = (rung_filter){.set = "sums", .split = "test", .run = f->pool};
    o.prm_model = f->prm;
    o.orm_model = f->orm;
    o.greedy_run = &f->greedy;
    o.n_boot = 1000;
    FIX(rung_bench_answer(&b, f->store, &o, NULL, err));
    FIX(rung_result_put(f->store, run, "answer", b.data, err));
    for (int i = 0; i < 2; i++) {
        rung_buf_reset(&b);
        FIX(rung_bench_steps(&b, f->store, i ? 0 : f->prm, "truth", &o.traces, 1, err));
        FIX(rung_result_put(f->store, run, "steps", b.data, err));
    }
    rung_buf_reset(&b);
    rung_pb_opts pb = RUNG_PB_OPTS_INIT;
    pb.set = "sums";
    pb.model = f->prm;
    pb.tau = -1.0;
    pb.tune_set = "sums"; /* by name: the report says so */
    pb.tune_set = "sums"; /* by name: the report says so */
    pb.n_boot = 1000;
    pb.traces.run = f->pool;
    FIX(rung_bench_processbench(&b, f->store, &pb, err));
    FIX(rung_result_put(f->store, run, "processbench", b.data, err));
    rung_buf_clear(&b);
}
#endif
