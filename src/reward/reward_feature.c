/* Hidden states of the labelled steps from the frozen base, one pass per trace.
 *
 * They are the costly part of training a head, so they go into a file beside the result as they
 * come: magic, embedding size, what they belong to; then records (example, f32[n][D], hash64 of
 * both). A record that a kill cut short is cut off and made again.
 *
 * The last bits of a hidden state depend on how much of its text was still cached, so the engine
 * starts every problem with nothing cached and a problem that a kill cut short is read again whole:
 * a killed and resumed training reads the same numbers as one that was not. */
#include "reward/reward_impl.h"
#include "trace/flow.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { FEATURE_FLUSH = 64 };
/* 16 GiB of features is a mistake in the options, not a training set for a small head. */
#define FEATURE_MAX_BYTES (16.0 * 1024 * 1024 * 1024)
static const char MAGIC[8] = "RUNGFT1";

typedef struct gatherer {
    rung_engine *engine;
    rung_store *store;
    const reward_set *set;
    const reward_format *format;
    const rung_log *log;
    float *x;
    int32_t n_embd;
    bool *have;
    FILE *file;
    const char *path;
    int64_t n_done, n_tok, n_unflushed, n_spelled, n_by_step;
    double start;
} gatherer;

/* Rows that example e is read for: those that no earlier example has. */
static int32_t n_own(const reward_example *e) {
    return e->first + e->n - e->own;
}
static float *own_rows(const gatherer *g, const reward_example *e) {
    return g->x + (size_t)e->own * (size_t)g->n_embd;
}

static uint64_t record_hash(int64_t example, const float *x, size_t n) {
    return rung_hash64(x, n * sizeof *x, (uint64_t)example);
}

static rung_status read_cache(gatherer *g, const char key[33], rung_error *err) {
    char magic[8], stored[33];
    int32_t n_embd = 0;
    g->file = fopen(g->path, "r+b");
    if (!g->file && errno == ENOENT) g->file = fopen(g->path, "w+b");
    if (!g->file) return rung_fail_errno(err, "could not open \"%s\"", g->path);
    bool ours = fread(magic, sizeof magic, 1, g->file) == 1 &&
                fread(&n_embd, sizeof n_embd, 1, g->file) == 1 &&
                fread(stored, sizeof stored, 1, g->file) == 1 &&
                !memcmp(magic, MAGIC, sizeof magic) && n_embd == g->n_embd &&
                !memcmp(stored, key, sizeof stored);
    long good = 0;
    if (ours) good = ftell(g->file);
    while (ours) {
        int64_t i;
        uint64_t hash;
        if (fread(&i, sizeof i, 1, g->file) != 1 || i < 0 || i >= g->set->n_examples) break;
        const reward_example *e = &g->set->example[i];
        size_t n = (size_t)n_own(e) * (size_t)g->n_embd;
        float *x = own_rows(g, e);
        if (fread(x, sizeof *x, n, g->file) != n || fread(&hash, sizeof hash, 1, g->file) != 1 ||
            hash != record_hash(i, x, n))
            break;
        g->have[i] = true;
        good = ftell(g->file);
    }
    clearerr(g->file);
    if (good < 0 || ftruncate(fileno(g->file), good) != 0 || fseek(g->file, good, SEEK_SET) != 0)
        return rung_fail_errno(err, "could not use \"%s\"", g->path);
    if (ours) return RUNG_OK;
    if (fwrite(MAGIC, sizeof MAGIC, 1, g->file) != 1 ||
        fwrite(&g->n_embd, sizeof g->n_embd, 1, g->file) != 1 || fwrite(key, 33, 1, g->file) != 1 ||
        fflush(g->file) != 0)
        return rung_fail_errno(err, "could not write \"%s\"", g->path);
    return RUNG_OK;
}

static rung_status append_cache(gatherer *g, int64_t i, const float *x, size_t n, rung_error *err) {
    uint64_t hash = record_hash(i, x, n);
    bool ok = fwrite(&i, sizeof i, 1, g->file) == 1 && fwrite(x, sizeof *x, n, g->file) == n &&
              fwrite(&hash, sizeof hash, 1, g->file) == 1;
    if (ok && ++g->n_unflushed >= FEATURE_FLUSH) {
        ok = fflush(g->file) == 0;
        g->n_unflushed = 0;
    }
    return ok ? RUNG_OK : rung_fail_errno(err, "could not write \"%s\"", g->path);
}

static rung_status submit(gatherer *g, int64_t i, rung_error *err) {
    const reward_example *e = &g->set->example[i];
    rung_arena *a = rung_arena_new(0);
    rung_iter *it = NULL;
    reward_layout l = {0};
    int32_t n = n_own(e), *at = rung_alloc((size_t)n * sizeof *at);
    rung_status st = RUNG_OK;
    if (!a || !at) RUNG_GOTO(rung_fail(err, RUNG_E_NOMEM, "no memory to read a trace"));
    const rung_trace *t;
    rung_problem p;
    RUNG_GOTO(reward_trace_get(&t, &it, g->store, e->trace, err));
    RUNG_GOTO(rung_problem_get(g->store, &p, a, e->problem, err));
    bool spelled, by_step;
    RUNG_GOTO(reward_layout_make(&l, &spelled, &by_step, rung_engine_model(g->engine), g->format,
                                 &p, t, err));
    g->n_spelled += spelled;
    g->n_by_step += by_step;
    for (int32_t k = 0; k < n; k++) at[k] = l.at[g->set->step[e->own + k]];
    rung_eval v = {.tok = l.tok,
                   .n_tok = at[n - 1] + 1, /* nothing after the last read-out is needed */
                   .at = at,
                   .n_at = n,
                   .hidden = true,
                   .ud = (void *)(intptr_t)(i + 1)};
    st = rung_engine_eval(g->engine, &v, err);
    if (st == RUNG_E_LIMIT) rung_error_detail(err, "trace %lld", (long long)e->trace);
out:
    rung_iter_free(it);
    rung_arena_free(a);
    reward_layout_clear(&l);
    rung_free(at);
    return st;
}

/* One past the last example of the problem that example i begins. */
static int64_t problem_end(const reward_set *set, int64_t i) {
    int64_t end = i + 1;
    while (end < set->n_examples && set->example[end].problem == set->example[i].problem) end++;
    return end;
}

static rung_status on_eval(void *ud, const rung_eval_out *o, rung_error *err) {
    gatherer *g = ud;
    int64_t i = (int64_t)(intptr_t)o->ud - 1;
    const reward_example *e = &g->set->example[i];
    size_t n = (size_t)n_own(e) * (size_t)g->n_embd;
    float *x = own_rows(g, e);
    if (!o->hidden || o->n_at != n_own(e))
        return rung_fail(err, RUNG_E_MODEL, "the engine gave no hidden states");
    memcpy(x, o->hidden, n * sizeof *x);
    RUNG_TRY(append_cache(g, i, x, n, err));
    g->n_done++;
    g->n_tok += o->n_new;
    return rung_progress(g->log, "features", g->n_done, g->set->n_examples, g->n_tok, err);
}

/* Examples [i, end) are one problem's. */
static rung_status gather_problem(gatherer *g, int64_t i, int64_t end, rung_error *err) {
    bool whole = true;
    for (int64_t k = i; k < end; k++) whole = whole && (g->have[k] || !n_own(&g->set->example[k]));
    if (whole) {
        g->n_done += end - i;
        return RUNG_OK;
    }
    rung_engine_cb cb = {.on_eval = on_eval, .ud = g};
    rung_engine_clear(g->engine);
    for (int64_t k = i; k < end; k++) {
        if (n_own(&g->set->example[k]) == 0)
            g->n_done++;
        else
            RUNG_TRY(submit(g, k, err));
    }
    return rung_engine_run(g->engine, &cb, err);
}

static rung_status gather(gatherer *g, const char key[33], rung_error *err) {
    RUNG_TRY(read_cache(g, key, err));
    rung_status st = RUNG_OK;
    for (int64_t i = 0, end; st == RUNG_OK && i < g->set->n_examples; i = end) {
        end = problem_end(g->set, i);
        st = gather_problem(g, i, end, err);
    }
    rung_engine_clear(g->engine);
    if (fflush(g->file) != 0 && st == RUNG_OK)
        st = rung_fail_errno(err, "could not write \"%s\"", g->path);
    rung_event(g->log, g->n_by_step ? RUNG_WARN : RUNG_INFO, "reward.features",
               RUNG_I("traces", g->n_done), RUNG_I("rows", g->set->n_rows),
               RUNG_I("tokens", g->n_tok), RUNG_I("retokenised", g->n_spelled),
               RUNG_I("retokenised_by_step", g->n_by_step));
    size_t row = (size_t)g->n_embd;
    for (int64_t r = 0; st == RUNG_OK && r < g->set->n_rows; r++)
        if (g->set->same[r] != r)
            memcpy(g->x + (size_t)r * row, g->x + (size_t)g->set->same[r] * row,
                   row * sizeof *g->x);
    return st;
}

rung_status reward_features(float **x, rung_engine *e, rung_store *s, const reward_set *set,
                            const reward_format *f, const char *cache, const rung_log *log,
                            rung_error *err) {
    *x = NULL;
    rung_model_info info;
    rung_model_get_info(&info, rung_engine_model(e));
    double bytes = (double)set->n_rows * (double)info.n_embd * sizeof(float);
    if (bytes > FEATURE_MAX_BYTES) {
        rung_fail(err, RUNG_E_LIMIT, "%lld labels x %d features need %.0f GiB",
                  (long long)set->n_rows, info.n_embd, bytes / 1073741824.0);
        return rung_error_hint(err, "train on fewer traces");
    }
    rung_buf what;
    rung_buf_init(&what, 1u << 20);
    rung_buf_printf(&what, "%s %s %s %d%d|%s|%s|%s", set->hash, info.hash, info.chat,
                    f->read_before_tag, f->tag_first, f->system ? f->system : "",
                    f->suffix ? f->suffix : "", f->tag ? f->tag : "");
    char key[33] = "";
    if (!what.failed) rung_hash_hex(key, what.data, what.n);
    rung_status st = rung_buf_check(&what, err);
    rung_buf_clear(&what);
    gatherer g = {.engine = e,
                  .store = s,
                  .set = set,
                  .format = f,
                  .log = log,
                  .n_embd = info.n_embd,
                  .path = cache};
    g.x = rung_calloc(1, (size_t)bytes); /* rows of traces left out stay 0 */
    g.have = rung_calloc((size_t)set->n_examples, 1);
    if (st == RUNG_OK && (!g.x || !g.have))
        st = rung_fail(err, RUNG_E_NOMEM, "no memory for %.0f MiB of features", bytes / 1048576.0);
    if (st == RUNG_OK) st = gather(&g, key, err);
    if (g.file) fclose(g.file);
    rung_free(g.have);
    if (st == RUNG_OK)
        *x = g.x;
    else
        rung_free(g.x);
    return st;
}
