/* A fresh folder for each test, and small rows. Test-only. */
#ifndef RUNG_TEST_STORE_FIXTURE_H
#define RUNG_TEST_STORE_FIXTURE_H
#include "rung/store.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char fx_folder[64], fx_db[96];

static inline int fx_setup(void **state) {
    (void)state;
    strcpy(fx_folder, "/tmp/rung_store_XXXXXX");
    if (!mkdtemp(fx_folder)) return -1;
    snprintf(fx_db, sizeof fx_db, "%s/s.db", fx_folder);
    return 0;
}

static inline int fx_teardown(void **state) {
    (void)state;
    char cmd[128];
    snprintf(cmd, sizeof cmd, "rm -rf '%s'", fx_folder);
    return system(cmd);
}

#define fx_ok(expr)                                                                                \
    do {                                                                                           \
        rung_error fx_e = RUNG_ERROR_INIT, *e = &fx_e;                                             \
        rung_status fx_st = (expr);                                                                \
        if (fx_st != RUNG_OK)                                                                      \
            fail_msg("%s:%d: %s: %s (%s)", __FILE__, __LINE__, #expr, fx_e.what, fx_e.detail);     \
    } while (0)

static inline rung_store *fx_open(const char *path, int flags) {
    rung_store *s = NULL;
    fx_ok(rung_store_open(&s, path, flags, e));
    return s;
}

static inline int64_t fx_run(rung_store *s, const char *kind) {
    rung_run r = {.kind = kind, .config = "{}", .seed = 1};
    fx_ok(rung_run_begin(s, &r, e));
    return r.id;
}

static inline int64_t fx_problem(rung_store *s, const char *set, const char *split, int k) {
    char key[32];
    snprintf(key, sizeof key, "k%d", k);
    rung_problem p = {.set = set,
                      .split = split,
                      .key = key,
                      .question = "2+2?",
                      .answer = "4",
                      .solution = "",
                      .world = "",
                      .meta = "{}",
                      .verifier = "math"};
    fx_ok(rung_problem_put(s, &p, NULL, e));
    return p.id;
}

/* n_steps steps of text "<word>K\n", two tokens each; the word differs from step `fork` on. */
static inline int64_t fx_trace(rung_store *s, int64_t run, int64_t problem, int32_t i, int n_steps,
                               int fork_at, int64_t *node /* n_steps, or NULL */) {
    char text[1024];
    rung_step step[32];
    int32_t tok[64];
    float lp[64];
    int n = 0;
    for (int k = 0; k < n_steps; k++) {
        step[k] = (rung_step){.byte_begin = n, .tok_begin = 2 * k, .tok_end = 2 * k + 2};
        n += k < fork_at ? snprintf(text + n, sizeof text - n, "same%d\n", k)
                         : snprintf(text + n, sizeof text - n, "t%d_%d\n", (int)i, k);
        step[k].byte_end = n;
        for (int j = 2 * k; j < 2 * k + 2; j++) {
            tok[j] = 1000 * i + j - 7;
            lp[j] = -0.1f * j - 1e-7f;
        }
    }
    rung_trace t = {.run = run,
                    .problem = problem,
                    .i = i,
                    .generator = "tiny",
                    .text = text,
                    .n_bytes = n,
                    .tok = tok,
                    .logprob = lp,
                    .n_tok = 2 * n_steps,
                    .n_steps = n_steps,
                    .answer = "4",
                    .answer_key = "4",
                    .verdict = RUNG_VERDICT_CORRECT,
                    .verifier = "math",
                    .rule = "last",
                    .reason = "",
                    .stop = "eos",
                    .first_error = RUNG_FIRST_ERROR_UNKNOWN,
                    .first_error_source = ""};
    fx_ok(rung_trace_put(s, &t, step, NULL, e));
    for (int k = 0; node && k < n_steps; k++) node[k] = step[k].node;
    return t.id;
}

static int fx_append(void *ud, const char *line, size_t n) {
    rung_buf_append(ud, line, n);
    return 0;
}

/* All rows as text. */
static inline char *fx_export(rung_store *s) {
    rung_buf b;
    rung_buf_init(&b, 0);
    fx_ok(rung_store_export(s, fx_append, &b, e));
    char *text = rung_buf_take(&b, NULL);
    assert_non_null(text);
    return text;
}

static inline void fx_check_ok(rung_store *s) {
    rung_buf b;
    rung_buf_init(&b, 0);
    rung_error err = RUNG_ERROR_INIT;
    if (rung_store_check(&b, s, &err) != RUNG_OK) fail_msg("%s", b.data);
    assert_non_null(strstr(b.data, "\"ok\":true"));
    rung_buf_clear(&b);
}
#endif
