/* What a bench answer measured, as the result and sample files of lm-evaluation-harness: a task per
 * set, a filter per method, exact_match; FOLDER/POLICY/results_TIME.json and
 * samples_TASK_TIME.jsonl. The shapes are those its own logger writes; names of texts are SHA-256.
 */
#include "base/json.h"
#include "base/sha256.h"
#include "bench/answer.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum { MAX_TASKS = 64 };

typedef struct task {
    char name[96];
    rung_out *samples;
    int64_t n;
    double n_right[RUNG_ARM_MAX];
} task;
typedef struct writer {
    const rung_measure *a;
    rung_store *s;
    rung_arena *arena;
    char folder[1024], stamp[40];
    task task[MAX_TASKS];
    int n_tasks;
    rung_buf line, resps;
} writer;

/* Letters, digits, - _ . stay; the rest is __, as there. */
static void clean(char *out, size_t n, const char *name) {
    size_t at = 0;
    for (; *name && at + 3 < n; name++) {
        unsigned char c = (unsigned char)*name;
        bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                     c == '-' || c == '_' || c == '.';
        if (plain)
            out[at++] = (char)c;
        else
            out[at++] = '_', out[at++] = '_';
    }
    out[at] = 0;
}

static rung_status make_folder(const char *path, rung_error *err) {
    if (mkdir(path, 0777) == 0 || errno == EEXIST) return RUNG_OK;
    return rung_fail_errno(err, "could not make folder %s", path);
}

static rung_status task_of(task **out, writer *w, const char *set, rung_error *err) {
    char name[96], path[1400];
    clean(name, sizeof name, set[0] ? set : "problems");
    for (int i = 0; i < w->n_tasks; i++)
        if (strcmp(w->task[i].name, name) == 0) return *out = &w->task[i], RUNG_OK;
    if (w->n_tasks == MAX_TASKS)
        return rung_fail(err, RUNG_E_LIMIT, "more than %d sets in one measurement", MAX_TASKS);
    task *t = *out = &w->task[w->n_tasks++];
    *t = (task){.n = 0};
    memcpy(t->name, name, sizeof t->name);
    snprintf(path, sizeof path, "%s/samples_%s_%s.jsonl", w->folder, t->name, w->stamp);
    return rung_out_open(&t->samples, path, err);
}

/* ---- a sample: one problem under one method */

static void put_text(rung_buf *b, const char *key, const char *text) {
    rung_buf_printf(b, "\"%s\":", key);
    rung_buf_json_str(b, text, strlen(text));
}

static void put_hash(rung_buf *b, const char *key, const char *text, size_t n) {
    char hex[65];
    rung_sha256_hex(hex, text, n);
    rung_buf_printf(b, ",\"%s\":\"%s\"", key, hex);
}

/* As Python prints the document with an indent of 2: what the harness hashes. */
static void put_doc_hash(writer *w, const rung_problem *p) {
    rung_buf b;
    rung_buf_init(&b, 16u << 20);
    rung_buf_str(&b, "{\n  \"question\": ");
    rung_buf_json_str(&b, p->question, strlen(p->question));
    rung_buf_str(&b, ",\n  \"answer\": ");
    rung_buf_json_str(&b, p->answer, strlen(p->answer));
    rung_buf_str(&b, "\n}");
    put_hash(&w->line, "doc_hash", b.data ? b.data : "", b.n);
    rung_buf_clear(&b);
}

static rung_status put_sample(writer *w, task *t, const rung_problem *p, const char *filter,
                              const char *answer, bool right, rung_error *err) {
    rung_buf *b = &w->line;
    rung_buf_reset(b);
    rung_buf_printf(b, "{\"doc_id\":%lld,\"doc\":{", (long long)t->n);
    put_text(b, "question", p->question);
    rung_buf_str(b, ",");
    put_text(b, "answer", p->answer);
    rung_buf_str(b, "},");
    put_text(b, "target", p->answer);
    rung_buf_str(b, ",\"arguments\":{\"gen_args_0\":{");
    put_text(b, "arg_0", p->question);
    rung_buf_str(b, ",\"arg_1\":{}}},\"resps\":[");
    rung_buf_append(b, w->resps.data ? w->resps.data : "", w->resps.n);
    rung_buf_str(b, "],\"filtered_resps\":[");
    rung_buf_json_str(b, answer, strlen(answer));
    rung_buf_str(b, "],");
    put_text(b, "filter", filter);
    rung_buf_str(b, ",\"metrics\":[\"exact_match\"]");
    put_doc_hash(w, p);
    put_hash(b, "prompt_hash", p->question, strlen(p->question));
    put_hash(b, "target_hash", p->answer, strlen(p->answer));
    rung_buf_printf(b, ",\"exact_match\":%.1f}\n", right ? 1.0 : 0.0);
    RUNG_TRY(rung_buf_check(b, err));
    return rung_out_write(t->samples, b->data, b->n, err);
}

/* "resps": the texts of the pool, one list of them. */
static rung_status read_texts(writer *w, int64_t problem, int64_t run, rung_error *err) {
    rung_filter f = w->a->o->traces;
    rung_iter *it = NULL;
    const rung_trace *t;
    f.problem = problem;
    f.limit = f.skip = 0; /* they count problems */
    if (run) {
        f.run = run;
        f.generator = NULL;
    }
    rung_buf_reset(&w->resps);
    rung_buf_str(&w->resps, "[");
    rung_status st = rung_trace_iter(&it, w->s, &f, err);
    bool first = true;
    while (st == RUNG_OK && (st = rung_trace_next(&t, it, err)) == RUNG_OK) {
        if (!run && w->a->o->greedy_run && !f.run && t->run == *w->a->o->greedy_run) continue;
        if (!first) rung_buf_str(&w->resps, ",");
        rung_buf_json_str(&w->resps, t->text, (size_t)t->n_bytes);
        first = false;
    }
    rung_iter_free(it);
    rung_buf_str(&w->resps, "]");
    return st == RUNG_DONE ? rung_buf_check(&w->resps, err) : st;
}

static rung_status put_problem(writer *w, int64_t i, rung_error *err) {
    const rung_measure *a = w->a;
    const rung_trace_pool_problem *q = &a->kept[i];
    rung_problem p;
    task *t = NULL;
    rung_arena_reset(w->arena);
    RUNG_TRY(rung_problem_get(w->s, &p, w->arena, q->id, err));
    RUNG_TRY(task_of(&t, w, p.set ? p.set : "", err));
    RUNG_TRY(read_texts(w, q->id, 0, err));
    for (int k = 0; k < a->n_arms; k++) {
        const rung_method *m = a->arm[k].method;
        bool right = a->full[(size_t)k * (size_t)a->n_problems + (size_t)i];
        int at = m ? m->choose(q->c, a->n) : -1;
        const char *answer = at >= 0 && q->c[at].key[0] ? q->c[at].key : "[invalid]";
        t->n_right[k] += right;
        if (!m) {
            RUNG_TRY(read_texts(w, q->id, *a->o->greedy_run, err));
            const rung_trace_pool_problem *g = rung_answer_greedy(a, q->id);
            answer = g->c[0].key[0] ? g->c[0].key : "[invalid]";
        }
        RUNG_TRY(put_sample(w, t, &p, a->arm[k].name, answer, right, err));
    }
    t->n++;
    return RUNG_OK;
}

/* ---- results */

/* Standard error of a mean of 0s and 1s, n - 1 in the denominator, as there. */
static void put_scores(rung_buf *b, const writer *w, const task *t) {
    double n = (double)t->n;
    rung_buf_printf(b, "{\"alias\":\"%s\"", t->name);
    for (int k = 0; k < w->a->n_arms; k++) {
        const char *name = w->a->arm[k].name;
        double p = t->n_right[k] / n;
        rung_buf_printf(b, ",\"exact_match,%s\":%.17g,\"exact_match_stderr,%s\":", name, p, name);
        if (t->n > 1)
            rung_buf_printf(b, "%.17g", sqrt(p * (1.0 - p) / (n - 1.0)));
        else
            rung_buf_str(b, "\"N/A\"");
    }
    rung_buf_str(b, "}");
}
static void put_count(rung_buf *b, const writer *w, const task *t) {
    (void)w;
    rung_buf_printf(b, "{\"original\":%lld,\"effective\":%lld}", (long long)t->n, (long long)t->n);
}
static void put_config(rung_buf *b, const writer *w, const task *t) {
    rung_buf_printf(b,
                    "{\"task\":\"%s\",\"output_type\":\"generate_until\",\"num_fewshot\":0,"
                    "\"repeats\":%d,\"metric_list\":[{\"metric\":\"exact_match\",\"aggregation\":"
                    "\"mean\",\"higher_is_better\":true}],\"filter_list\":[",
                    t->name, w->a->n);
    for (int k = 0; k < w->a->n_arms; k++)
        rung_buf_printf(b, "%s{\"name\":\"%s\"}", k ? "," : "", w->a->arm[k].name);
    rung_buf_str(b, "]}");
}

/* A member of the results: {"TASK":..., ...}, of every task by a function or the same text. */
typedef struct part {
    const char *key;
    void (*put)(rung_buf *b, const writer *w, const task *t);
    const char *text;
} part;
static const part parts[] = {
    {"results", put_scores, NULL}, {"group_subtasks", NULL, "[]"},
    {"configs", put_config, NULL}, {"versions", NULL, "1"},
    {"n-shot", NULL, "0"},         {"higher_is_better", NULL, "{\"exact_match\":true}"},
    {"n-samples", put_count, NULL}};

static void put_part(rung_buf *b, const writer *w, const part *x) {
    rung_buf_printf(b, "\"%s\":{", x->key);
    for (int i = 0; i < w->n_tasks; i++) {
        rung_buf_printf(b, "%s\"%s\":", i ? "," : "", w->task[i].name);
        if (x->put)
            x->put(b, w, &w->task[i]);
        else
            rung_buf_str(b, x->text);
    }
    rung_buf_str(b, "},");
}

static rung_status put_results(writer *w, double t0, rung_error *err) {
    rung_buf *b = &w->line;
    char path[1400];
    rung_buf_reset(b);
    rung_buf_str(b, "{");
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) put_part(b, w, &parts[i]);
    rung_buf_str(b, "\"config\":{\"model\":\"rung\",");
    put_text(b, "model_args", w->a->pool.policy);
    rung_buf_printf(b, ",\"random_seed\":%llu,\"bootstrap_iters\":0},\"git_hash\":null,",
                    (unsigned long long)w->a->o->seed);
    put_text(b, "model_name", w->a->pool.policy);
    rung_buf_printf(b,
                    ",\"date\":%.6f,\"total_evaluation_time_seconds\":\"%.3f\","
                    "\"rung_version\":\"" RUNG_VERSION "\"}\n",
                    1e-3 * (double)rung_unix_ms(), rung_now() - t0);
    RUNG_TRY(rung_buf_check(b, err));
    snprintf(path, sizeof path, "%s/results_%s.json", w->folder, w->stamp);
    rung_out *o = NULL;
    RUNG_TRY(rung_out_open(&o, path, err));
    rung_status st = rung_out_write(o, b->data, b->n, err);
    if (st == RUNG_OK) return rung_out_commit(o, err);
    rung_out_discard(o);
    return st;
}

static rung_status write_all(writer *w, const char *folder, rung_error *err) {
    char policy[160];
    double t0 = rung_now();
    int64_t ms = rung_unix_ms();
    time_t at = (time_t)(ms / 1000);
    struct tm tm;
    gmtime_r(&at, &tm);
    size_t n = strftime(w->stamp, sizeof w->stamp, "%Y-%m-%dT%H-%M-%S", &tm);
    snprintf(w->stamp + n, sizeof w->stamp - n, ".%06d", (int)(ms % 1000) * 1000);
    clean(policy, sizeof policy, w->a->pool.policy[0] ? w->a->pool.policy : "policy");
    snprintf(w->folder, sizeof w->folder, "%.800s/%s", folder, policy);
    RUNG_TRY(make_folder(folder, err));
    RUNG_TRY(make_folder(w->folder, err));
    rung_status st = RUNG_OK;
    for (int64_t i = 0; i < w->a->n_problems && st == RUNG_OK; i++) st = put_problem(w, i, err);
    for (int i = 0; i < w->n_tasks; i++) {
        if (st == RUNG_OK)
            st = rung_out_commit(w->task[i].samples, err);
        else
            rung_out_discard(w->task[i].samples);
    }
    return st == RUNG_OK ? put_results(w, t0, err) : st;
}

rung_status rung_answer_lm_eval(const char *folder, rung_store *s, const rung_measure *a,
                                rung_error *err) {
    writer *w = rung_calloc(1, sizeof *w);
    if (!w) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    w->a = a;
    w->s = s;
    w->arena = rung_arena_new(0);
    rung_buf_init(&w->line, 64u << 20);
    rung_buf_init(&w->resps, 64u << 20);
    rung_status st =
        w->arena ? write_all(w, folder, err) : rung_fail(err, RUNG_E_NOMEM, "out of memory");
    rung_buf_clear(&w->line);
    rung_buf_clear(&w->resps);
    rung_arena_free(w->arena);
    rung_free(w);
    return st;
}
