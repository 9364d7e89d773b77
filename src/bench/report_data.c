/* Everything the page shows, as one JSON object, read from the store. */
#include "base/json.h"
#include "bench/report.h"
#include "rung/event.h"
#include <string.h>

#define N_ANSWERS 8  /* newest of each configuration */
#define N_RESULTS 64 /* results of one kind that are looked at */
#define N_MODELS  128

/* Newest result of each configuration of one kind: JSON texts and what tells them apart. */
typedef struct results {
    rung_arena *arena;
    const char *json[N_RESULTS], *key[N_RESULTS];
    int n;
} results;
typedef struct report {
    rung_store *store;
    rung_arena *arena;
    results answers, steps, processbench;
    rung_filter pool; /* of the newest answer */
    int64_t prm_model;
    int64_t model[N_MODELS]; /* rows mentioned anywhere */
    int n_models;
} report;

/* Members that make two measurements of a kind the same measurement, made again. */
static const char *const key_members[] = {"set",    "split",        "run",       "prm_model",
                                          "subset", "label_source", "orm_model", "model",
                                          "policy", "aggregate"};

static void mention_model(report *r, yyjson_val *o, const char *member) {
    int64_t id = rung_json_i64(o, member, 0);
    if (id <= 0 || r->n_models == N_MODELS) return;
    for (int i = 0; i < r->n_models; i++)
        if (r->model[i] == id) return;
    r->model[r->n_models++] = id;
}

static rung_status key_of(rung_buf *key, yyjson_val *o) {
    for (size_t i = 0; i < sizeof key_members / sizeof *key_members; i++)
        rung_buf_printf(key, "%s|%lld|", rung_json_str(o, key_members[i], ""),
                        (long long)rung_json_i64(o, key_members[i], 0));
    return rung_buf_check(key, NULL);
}

static rung_status add_result(report *r, results *to, const char *metric, const char *json,
                              rung_error *err) {
    yyjson_doc *doc = yyjson_read(json, strlen(json), 0);
    yyjson_val *o = yyjson_doc_get_root(doc);
    rung_buf key;
    rung_buf_init(&key, 4096);
    rung_status st = RUNG_OK;
    if (strcmp(rung_json_str(o, "metric", ""), metric) != 0 || to->n == N_RESULTS) goto out;
    RUNG_GOTO(key_of(&key, o));
    for (int i = 0; i < to->n; i++)
        if (strcmp(to->key[i], key.data) == 0) goto out; /* an older one of the same */
    to->key[to->n] = rung_arena_strndup(r->arena, key.data, key.n);
    to->json[to->n] = rung_arena_strndup(r->arena, json, strlen(json));
    if (!to->key[to->n] || !to->json[to->n]) {
        st = rung_fail(err, RUNG_E_NOMEM, "out of memory for results");
        goto out;
    }
    to->n++;
    mention_model(r, o, "prm_model");
    mention_model(r, o, "orm_model");
    mention_model(r, o, "model");
out:
    rung_buf_clear(&key);
    yyjson_doc_free(doc);
    return st;
}

static rung_status read_results(report *r, results *to, const char *kind, rung_error *err) {
    rung_iter *it = NULL;
    const char *json;
    int64_t run;
    rung_status st = rung_result_iter(&it, r->store, kind, err);
    if (st != RUNG_OK) goto out;
    while ((st = rung_result_next(&run, &json, it, err)) == RUNG_OK)
        RUNG_GOTO(add_result(r, to, kind, json, err));
    if (st == RUNG_DONE) st = RUNG_OK;
out:
    rung_iter_free(it);
    return st;
}

static rung_status has_curves(bool *any, const report *r, rung_error *err) {
    rung_run *runs;
    int64_t n, step;
    const char *name;
    double value;
    *any = false;
    RUNG_TRY(rung_run_list(&runs, &n, r->arena, r->store, err));
    for (int64_t i = 0; i < n && !*any; i++) {
        rung_iter *it = NULL;
        rung_status st = rung_metric_iter(&it, r->store, runs[i].id, NULL, err);
        if (st == RUNG_OK) st = rung_metric_next(&step, &name, &value, it, err);
        rung_iter_free(it);
        if (st != RUNG_OK && st != RUNG_DONE) return st;
        *any = st == RUNG_OK;
    }
    return RUNG_OK;
}

/* The pool that the newest answer measured. Strings live in the arena. */
static void read_pool(report *r) {
    if (r->answers.n == 0) return; /* searches or trainings alone */
    yyjson_doc *doc = yyjson_read(r->answers.json[0], strlen(r->answers.json[0]), 0);
    yyjson_val *o = yyjson_doc_get_root(doc);
    const char *set = rung_json_str(o, "set", ""), *split = rung_json_str(o, "split", "");
    r->pool.set = set[0] ? rung_arena_strndup(r->arena, set, strlen(set)) : NULL;
    r->pool.split = split[0] ? rung_arena_strndup(r->arena, split, strlen(split)) : NULL;
    r->pool.run = rung_json_i64(o, "run", 0);
    r->pool.limit = rung_json_i64(o, "limit", 0);
    r->pool.skip = rung_json_i64(o, "skip", 0);
    r->prm_model = rung_json_i64(o, "prm_model", 0);
    yyjson_doc_free(doc);
}

static bool has_steps_of(const report *r, int64_t model) {
    bool found = false;
    for (int i = 0; i < r->steps.n && !found; i++) {
        yyjson_doc *doc = yyjson_read(r->steps.json[i], strlen(r->steps.json[i]), 0);
        found = rung_json_i64(yyjson_doc_get_root(doc), "model", -1) == model;
        yyjson_doc_free(doc);
    }
    return found;
}

/* A store without stored step measurements still has scores and labels: measure them now, against
 * exact labels if there are any, else against Monte Carlo ones. */
static rung_status measure_steps(report *r, int64_t model, rung_error *err) {
    static const char *const source[] = {"truth", "mc"};
    if (has_steps_of(r, model)) return RUNG_OK;
    rung_buf b;
    rung_buf_init(&b, (size_t)1 << 20);
    rung_status st = RUNG_OK;
    for (size_t i = 0; i < sizeof source / sizeof *source; i++) {
        rung_buf_reset(&b);
        RUNG_GOTO(rung_bench_steps(&b, r->store, model, source[i], &r->pool, 0, err));
        yyjson_doc *doc = yyjson_read(b.data, b.n, 0);
        bool any = rung_json_i64(yyjson_doc_get_root(doc), "n_steps", 0) > 0;
        yyjson_doc_free(doc);
        if (!any) continue;
        RUNG_GOTO(add_result(r, &r->steps, "steps", b.data, err));
        break;
    }
out:
    rung_buf_clear(&b);
    return st;
}

static void put_results(rung_buf *b, const char *name, const results *from, int most) {
    rung_buf_printf(b, "\"%s\":[", name);
    for (int i = 0; i < from->n && i < most; i++) {
        if (i) rung_buf_str(b, ",");
        rung_buf_str(b, from->json[i]);
    }
    rung_buf_str(b, "],");
}

static void put_str(rung_buf *b, const char *key, const char *value) {
    rung_buf_printf(b, "\"%s\":", key);
    rung_buf_json_str(b, value ? value : "", value ? strlen(value) : 0);
    rung_buf_str(b, ",");
}

static rung_status put_models(rung_buf *b, const report *r, rung_error *err) {
    rung_buf_str(b, "\"models\":{");
    for (int i = 0; i < r->n_models; i++) {
        rung_model_row m;
        RUNG_TRY(rung_model_get(&m, r->arena, r->store, r->model[i], err));
        rung_buf_printf(b, "%s\"%lld\":{", i ? "," : "", (long long)r->model[i]);
        put_str(b, "name", m.name);
        put_str(b, "kind", m.kind);
        rung_buf_str(b, "\"hash\":");
        rung_buf_json_str(b, m.hash, strlen(m.hash));
        rung_buf_str(b, "}");
    }
    rung_buf_str(b, "},");
    return RUNG_OK;
}

static void put_run(rung_buf *b, const rung_run *run) {
    rung_buf_printf(b, "{\"id\":%lld,\"seed\":\"%llu\",\"tokens\":%lld,\"started_ms\":%lld,",
                    (long long)run->id, (unsigned long long)run->seed, (long long)run->tokens,
                    (long long)run->started_ms);
    rung_buf_printf(b, "\"finished_ms\":%lld,\"wall_s\":", (long long)run->finished_ms);
    rung_put_num(b, run->wall_s);
    rung_buf_str(b, ",");
    put_str(b, "name", run->name);
    put_str(b, "kind", run->kind);
    put_str(b, "config", run->config);
    put_str(b, "machine", run->machine);
    put_str(b, "versions", run->versions);
    rung_buf_printf(b, "\"config_hash\":\"%s\"}", run->config_hash);
}

/* {"loss_train":[[step,value],..],..}; rows come by name, then step. */
static rung_status put_series(rung_buf *b, rung_store *s, int64_t run, bool *any, rung_error *err) {
    rung_iter *it = NULL;
    const char *name;
    int64_t step;
    double value;
    char last[128] = "";
    rung_status st = rung_metric_iter(&it, s, run, NULL, err);
    if (st != RUNG_OK) goto out;
    *any = false;
    while ((st = rung_metric_next(&step, &name, &value, it, err)) == RUNG_OK) {
        bool fresh = !*any || strncmp(last, name, sizeof last - 1) != 0;
        if (fresh) {
            rung_buf_str(b, *any ? "]," : "");
            rung_buf_json_str(b, name, strlen(name));
            rung_buf_str(b, ":[");
            memset(last, 0, sizeof last);
            memcpy(last, name, strnlen(name, sizeof last - 1));
        }
        rung_buf_printf(b, "%s[%lld,", fresh ? "" : ",", (long long)step);
        rung_put_num(b, value);
        rung_buf_str(b, "]");
        *any = true;
    }
    if (st == RUNG_DONE) st = RUNG_OK;
    if (*any) rung_buf_str(b, "]");
out:
    rung_iter_free(it);
    return st;
}

static rung_status put_training(rung_buf *b, rung_store *s, const rung_run *runs, int64_t n,
                                rung_error *err) {
    bool first = true;
    rung_buf_str(b, "\"training\":[");
    for (int64_t i = 0; i < n; i++) {
        size_t mark = b->n;
        bool any = false;
        rung_buf_str(b, first ? "{" : ",{");
        rung_buf_printf(b, "\"run\":%lld,", (long long)runs[i].id);
        put_str(b, "name", runs[i].name);
        put_str(b, "kind", runs[i].kind);
        rung_buf_str(b, "\"series\":{");
        RUNG_TRY(put_series(b, s, runs[i].id, &any, err));
        rung_buf_str(b, "}}");
        if (any)
            first = false;
        else if (!b->failed)
            b->n = mark; /* a run without metrics leaves no trace */
    }
    rung_buf_str(b, "],");
    return RUNG_OK;
}

static rung_status put_all(rung_buf *b, report *r, const char *title, const char *command,
                           rung_error *err) {
    rung_run *runs;
    int64_t n_runs;
    RUNG_TRY(rung_run_list(&runs, &n_runs, r->arena, r->store, err));
    rung_buf_str(b, "{\"v\":1,");
    put_str(b, "title", title && title[0] ? title : "rung report");
    put_str(b, "command", command);
    put_str(b, "rung", RUNG_VERSION);
    rung_buf_printf(b, "\"made_ms\":%lld,", (long long)rung_unix_ms());
    put_results(b, "answers", &r->answers, N_ANSWERS);
    put_results(b, "steps", &r->steps, N_RESULTS);
    put_results(b, "processbench", &r->processbench, N_RESULTS);
    bool searched = false;
    RUNG_TRY(rung_report_searches(b, &searched, r->store, runs, n_runs, err));
    bool curves = false;
    if (r->answers.n == 0 && !searched) RUNG_TRY(has_curves(&curves, r, err));
    if (r->answers.n == 0 && !searched && !curves) {
        rung_fail(err, RUNG_E_NOT_FOUND, "the store holds no measured answers to report");
        return rung_error_hint(err,
                               "measure first: `rung bench answer`, or search: `rung search run`");
    }
    RUNG_TRY(put_models(b, r, err));
    rung_buf_str(b, "\"runs\":[");
    for (int64_t i = 0; i < n_runs; i++) {
        if (i) rung_buf_str(b, ",");
        put_run(b, &runs[i]);
    }
    rung_buf_str(b, "],");
    RUNG_TRY(put_training(b, r->store, runs, n_runs, err));
    rung_buf_printf(b, "\"examples_model\":%lld,", (long long)r->prm_model);
    if (r->answers.n > 0)
        RUNG_TRY(rung_report_examples(b, r->store, &r->pool, r->prm_model, err));
    else
        rung_buf_str(b, "\"examples\":[]");
    rung_buf_str(b, "}");
    return rung_buf_check(b, err);
}

rung_status rung_report_data(rung_buf *json, rung_store *s, const char *title, const char *command,
                             const rung_log *log, rung_error *err) {
    report *r = rung_calloc(1, sizeof *r);
    if (!r) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    rung_status st;
    r->store = s;
    r->arena = rung_arena_new(0);
    if (!r->arena) {
        st = rung_fail(err, RUNG_E_NOMEM, "out of memory");
        goto out;
    }
    RUNG_GOTO(read_results(r, &r->answers, "answer", err));
    RUNG_GOTO(read_results(r, &r->steps, "steps", err));
    RUNG_GOTO(read_results(r, &r->processbench, "processbench", err));
    read_pool(r);
    RUNG_GOTO(rung_progress(log, "parts", 1, 3, 0, err));
    if (r->prm_model) RUNG_GOTO(measure_steps(r, r->prm_model, err));
    if (r->answers.n > 0) RUNG_GOTO(measure_steps(r, 0, err));
    RUNG_GOTO(rung_progress(log, "parts", 2, 3, 0, err));
    RUNG_GOTO(put_all(json, r, title, command, err));
out:
    rung_arena_free(r->arena);
    rung_free(r);
    return st;
}
