/* A pool by the coin policy with labels by hand: a step that begins with "c" is wrong, all others
 * are right. The last token gives it away, so every reward model must learn it. */
#ifndef RUNG_TEST_FIXTURE_REWARD_H
#define RUNG_TEST_FIXTURE_REWARD_H
#include "../trace/fixture_coin.h"
#include "reward/reward_impl.h"

enum { POOL_PROBLEMS = 20, POOL_SAMPLES = 8 };
static char base_path[400], pool_path[400];

/* One label per node; hard 0 wins nothing over another, as equal text is the same node. */
static void pool_label(rung_store *s, int64_t run) {
    static rung_label row[8192];
    size_t n = 0;
    rung_iter *it;
    const rung_trace *t;
    OK(rung_trace_iter(&it, s, &(rung_filter){0}, err));
    while (rung_trace_next(&t, it, NULL) == RUNG_OK)
        for (int32_t k = 0; k < t->n_steps && n < 8192; k++) {
            bool right = t->text[t->step[k].byte_begin] != 'c';
            row[n++] = (rung_label){.run = run,
                                    .node = t->step[k].node,
                                    .source = "hand",
                                    .labeler = "test",
                                    .hard = right,
                                    .soft = right ? .9 : .1,
                                    .n = 10,
                                    .c = right ? 9 : 1};
        }
    rung_iter_free(it);
    OK(rung_store_begin(s, err));
    for (size_t i = 0; i < n; i++) OK(rung_label_put(s, &row[i], NULL, err));
    OK(rung_store_commit(s, err));
}

static inline void pool_make(void) {
    coin_setup();
    coin_model(coin_path(base_path, "coin.gguf"));
    coin_store(coin_path(pool_path, "pool.db"), POOL_PROBLEMS);
    coin_policy p = coin_open(base_path);
    rung_store *s;
    OK(rung_store_open(&s, pool_path, 0, err));
    rung_sample_opts o = RUNG_SAMPLE_OPTS_INIT;
    o.n = POOL_SAMPLES;
    o.max_tok = 24;
    o.seed = 11;
    o.split_how = "line";
    OK(rung_trace_sample(s, p.e, coin_run(s, "trace.sample", "{}"), &o, NULL, err));
    pool_label(s, coin_run(s, "label.hand", "{}"));
    rung_store_close(s);
    coin_close(p);
}

static inline void pool_copy(char path[400], const char *name) {
    coin_copy(path, name, pool_path);
}

static inline rung_reward_train_opts train_opts(rung_reward_kind kind, const char *out) {
    rung_reward_train_opts o = RUNG_REWARD_TRAIN_OPTS_INIT;
    o.kind = kind;
    o.label_source = "hand";
    o.base_path = base_path;
    o.out_path = out;
    o.seed = 3;
    return o;
}

static inline int64_t score_with(rung_reward *r, rung_store *s, const rung_filter *f) {
    rung_score_report o;
    OK(rung_reward_score(&o, r, s, 0, f, NULL, err));
    return o.model;
}

/* Smallest score of a right step and largest of a wrong one, over scored steps up to the first
 * error: what comes after it was masked in training. */
static inline int score_range(double *right_min, double *wrong_max, rung_store *s, int64_t model) {
    rung_iter *it;
    const rung_trace *t;
    int n = 0;
    *right_min = 1;
    *wrong_max = 0;
    OK(rung_trace_iter(&it, s, &(rung_filter){0}, err));
    while (rung_trace_next(&t, it, NULL) == RUNG_OK)
        for (int32_t k = 0; k < t->n_steps; k++) {
            double v;
            bool found;
            OK(rung_score_get(&v, &found, s, t->step[k].node, model, err));
            if (!found) continue;
            n++;
            assert_true(v >= 0 && v <= 1);
            if (t->text[t->step[k].byte_begin] == 'c') {
                if (v > *wrong_max) *wrong_max = v;
                break;
            }
            if (v < *right_min) *right_min = v;
        }
    rung_iter_free(it);
    return n;
}
#endif
