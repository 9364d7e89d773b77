/* rung verify step | logic: verdicts of the steps of one text, of JSON lines, or of stored traces.
 */
#include "base/json.h"
#include "cli/verify_rows.h"
#include "rung/step.h"
#include "rung/verdict.h"
#include <stdio.h>
#include <string.h>

#define STORED_ROWS                                                                                \
    OPT_BOOL("stored", "false", CLI_KEY, "the traces of the store that the filter names")
#define EXPLAIN_ROW                                                                                \
    OPT_BOOL("explain", "false", CLI_KEY,                                                          \
             "say what was read of each step, its values, what the solver was asked")
static const cli_opt step_opts[] = {
    OPT_STR("step", "", "TEXT", CLI_KEY, "one step, or several, a line each"),
    OPT_STR("given", "", "TEXT", CLI_KEY,
            "equations that hold, a line (or ;) each; a step with letters has to follow from them"),
    OPT_STR("answer", "", "TEXT", CLI_KEY, "the same as --step"),
    OPT_STR("gold", "", "TEXT", CLI_KEY, "the same as --given"),
    OPT_PATH("in", "", CLI_KEY,
             "JSON lines with \"step\" (or \"answer\"), \"steps\" or \"text\", and \"given\" (or "
             "\"gold\"); - is standard input"),
    STORED_ROWS,
    OPT_CLI_WRITE,
    OPT_BOOL("solutions", "false", CLI_KEY, "the reference solutions of the problems instead"),
    OPT_BOOL("strict", "false", CLI_KEY, "= means equal: what only holds rounded is wrong"),
    EXPLAIN_ROW,
};
const cli_group cli_verify_step_group = CLI_GROUP_OF("step", step_opts);

static const cli_opt logic_opts[] = {
    OPT_STR("question", "", "TEXT", CLI_KEY,
            "facts and hypothesis (FLD), or declarations and assumptions, a line each"),
    OPT_STR("proof", "", "TEXT", CLI_KEY, "the steps, a line each"),
    OPT_STR("answer", "", "TEXT", CLI_KEY, "the same as --proof"),
    OPT_STR("gold", "", "LABEL", CLI_KEY, "the right label: PROVED, DISPROVED, UNKNOWN"),
    OPT_PATH("in", "", CLI_KEY,
             "JSON lines with \"question\", \"answer\" (the proof; or \"steps\", \"text\") and "
             "\"gold\"; "
             "- is standard input"),
    STORED_ROWS,
    OPT_CLI_WRITE,
    OPT_BOOL("solutions", "false", CLI_KEY, "the reference solutions of the problems instead"),
    OPT_INT("rlimit", "2000000", "UNITS", 1, 4e9, CLI_KEY,
            "most work of the solver for a step, in its own units: about 2 us each"),
    EXPLAIN_ROW,
};
const cli_group cli_verify_logic_group = CLI_GROUP_OF("logic", logic_opts);

typedef struct tally {
    int64_t n, n_steps, steps[3], claims, first_wrong, n_bad;
    int64_t known, agree; /* stored: traces whose first error is known; where it is the one found */
    int64_t missed, false_wrong; /* known wrong and none found; called wrong before it, or right */
    int64_t planted, decided, true_steps; /* steps whose truth is known; of them decided; rightly */
} tally;

typedef struct work {
    cli_call *c;
    const rung_step_verifier *v;
    rung_solver *solver;
    rung_arena *a; /* of one row */
    tally n;
    bool strict, write;
    double us;         /* of the last text judged */
    rung_buf *explain; /* of the last text judged; NULL not asked for */
} work;

typedef struct texts {
    const char **step;
    int32_t *n_bytes;
    int32_t n, cap;
} texts;

static rung_status texts_add(texts *t, rung_arena *a, const char *p, size_t n, rung_error *err) {
    if (t->n == t->cap) {
        int32_t cap = t->cap ? 2 * t->cap : 16;
        const char **step = rung_arena_alloc(a, (size_t)cap * sizeof *step);
        int32_t *n_bytes = rung_arena_alloc(a, (size_t)cap * sizeof *n_bytes);
        if (!step || !n_bytes) return rung_fail(err, RUNG_E_NOMEM, "no memory for the steps");
        if (t->n > 0) {
            memcpy(step, t->step, (size_t)t->n * sizeof *step);
            memcpy(n_bytes, t->n_bytes, (size_t)t->n * sizeof *n_bytes);
        }
        t->step = step;
        t->n_bytes = n_bytes;
        t->cap = cap;
    }
    t->step[t->n] = p;
    t->n_bytes[t->n++] = (int32_t)n;
    return RUNG_OK;
}

static rung_status texts_lines(texts *t, rung_arena *a, const char *p, rung_error *err) {
    while (*p) {
        size_t n = strcspn(p, "\n");
        if (n > 0) RUNG_TRY(texts_add(t, a, p, n, err));
        p += n + (p[n] == '\n');
    }
    return RUNG_OK;
}

static void str_field(rung_buf *b, const char *key, const char *v) {
    rung_buf_printf(b, ",\"%s\":", key);
    rung_buf_json_str(b, v, strlen(v));
}

static void verdict_fields(rung_buf *b, const rung_step_verdict *v) {
    rung_buf_printf(b, "\"verdict\":\"%s\"", rung_verdict_name(v->verdict));
    str_field(b, "rule", v->rule);
    str_field(b, "reason", v->reason);
    str_field(b, "key", v->key);
    if (v->note[0]) str_field(b, "note", v->note);
    if (v->end > v->begin) rung_buf_printf(b, ",\"span\":[%d,%d]", v->begin, v->end);
    if (v->n_claims > 0)
        rung_buf_printf(b, ",\"n_claims\":%d,\"n_wrong\":%d,\"n_unknown\":%d", v->n_claims,
                        v->n_wrong, v->n_unknown);
}

/* Of a whole: wrong when a step is; right when one is and none is wrong. */
static rung_verdict whole(const rung_step_verdict *v, int32_t n) {
    bool right = false;
    for (int32_t i = 0; i < n; i++) {
        if (v[i].verdict == RUNG_VERDICT_WRONG) return RUNG_VERDICT_WRONG;
        right |= v[i].verdict == RUNG_VERDICT_CORRECT;
    }
    return right ? RUNG_VERDICT_CORRECT : RUNG_VERDICT_UNKNOWN;
}

/* The step whose verdict is the whole's; -1: no step. */
static int32_t deciding(const rung_step_verdict *v, int32_t n) {
    rung_verdict all = whole(v, n);
    for (int32_t i = 0; i < n; i++)
        if (v[i].verdict == all) return i;
    return -1;
}

static void row_json(rung_buf *b, const char *head, const rung_step_verdict *v, const texts *t,
                     const work *w, double us) {
    char key[128];
    const rung_buf *explain = w->explain;
    int32_t by = deciding(v, t->n);
    rung_step_key(key, v, t->n);
    rung_buf_printf(b, "{\"v\":1%s,\"verdict\":\"%s\"", head, rung_verdict_name(whole(v, t->n)));
    str_field(b, "rule", by < 0 ? "" : v[by].rule);
    str_field(b, "reason", by < 0 ? "no step" : v[by].reason);
    str_field(b, "key", key);
    rung_buf_printf(b, ",\"us\":%.0f,\"first_wrong\":%d", us, rung_step_first_wrong(v, t->n));
    str_field(b, "verifier", w->v->name);
    str_field(b, "version", w->v->version);
    rung_buf_str(b, ",\"steps\":[");
    for (int32_t i = 0; i < t->n; i++) {
        rung_buf_str(b, i ? ",{" : "{");
        verdict_fields(b, &v[i]);
        rung_buf_str(b, "}");
    }
    rung_buf_str(b, "]");
    if (explain) str_field(b, "explain", explain->data ? explain->data : "");
    rung_buf_str(b, "}\n");
}

static void count(tally *n, const rung_step_verdict *v, int32_t n_steps) {
    n->n++;
    n->n_steps += n_steps;
    n->first_wrong += rung_step_first_wrong(v, n_steps) >= 0;
    for (int32_t i = 0; i < n_steps; i++) {
        n->steps[v[i].verdict]++;
        n->claims += v[i].n_claims;
    }
}

/* Judges and writes the row's line (with --json, or when each is asked for). */
static rung_status judge(rung_step_verdict **out, work *w, rung_step_task *task, const texts *t,
                         const char *head, bool print, rung_error *err) {
    rung_step_verdict *v = rung_arena_alloc(w->a, (size_t)(t->n + 1) * sizeof *v);
    if (!v) return rung_fail(err, RUNG_E_NOMEM, "no memory for the verdicts");
    task->step = t->step;
    task->n_bytes = t->n_bytes;
    task->n_steps = t->n;
    task->strict = w->strict;
    task->explain = w->explain;
    if (w->explain) rung_buf_reset(w->explain);
    double t0 = rung_now();
    RUNG_TRY(w->v->check(v, w->a, task, w->solver, err));
    double us = (rung_now() - t0) * 1e6;
    w->us = us;
    count(&w->n, v, t->n);
    *out = v;
    if (!print) return RUNG_OK;
    rung_buf b;
    rung_buf_init(&b, 256u << 20);
    row_json(&b, head, v, t, w, us);
    rung_status st = rung_buf_check(&b, err);
    if (st == RUNG_OK) st = cli_out(w->c->app, b.data, b.n, err);
    rung_buf_clear(&b);
    return st;
}

/* ---- one text */

static rung_status say_steps(cli_call *c, const texts *t, const rung_step_verdict *v,
                             rung_error *err) {
    for (int32_t i = 0; i < t->n; i++) {
        RUNG_TRY(cli_outf(c->app, err, "%s", rung_verdict_name(v[i].verdict)));
        const char *why = v[i].verdict == RUNG_VERDICT_CORRECT ? v[i].rule : v[i].reason;
        if (*why) RUNG_TRY(cli_outf(c->app, err, "  (%s)", why));
        if (v[i].end > v[i].begin)
            RUNG_TRY(cli_outf(c->app, err, "  %.*s", (int)(v[i].end - v[i].begin),
                              t->step[i] + v[i].begin));
        if (v[i].note[0]) RUNG_TRY(cli_outf(c->app, err, "  [%s]", v[i].note));
        RUNG_TRY(cli_outf(c->app, err, "\n"));
    }
    return RUNG_OK;
}

static rung_status say_explained(cli_call *c, const rung_buf *text, rung_error *err) {
    rung_buf shown;
    rung_buf_init(&shown, 256u << 20);
    cli_clean(&shown, text->data ? text->data : "", text->n);
    rung_status st = rung_buf_check(&shown, err);
    if (st == RUNG_OK && shown.n > 0) st = cli_out(c->app, shown.data, shown.n, err);
    rung_buf_clear(&shown);
    return st;
}

static rung_status one_text(work *w, rung_step_task *task, const char *text, rung_error *err) {
    texts t = {0};
    rung_step_verdict *v;
    RUNG_TRY(texts_lines(&t, w->a, text, err));
    RUNG_TRY(judge(&v, w, task, &t, "", w->c->app->json, err));
    if (!w->c->app->json && w->explain) RUNG_TRY(say_explained(w->c, w->explain, err));
    if (!w->c->app->json) RUNG_TRY(say_steps(w->c, &t, v, err));
    switch (whole(v, t.n)) {
    case RUNG_VERDICT_CORRECT: return RUNG_OK;
    case RUNG_VERDICT_WRONG: return RUNG_E_ANSWER_NO;
    default: break;
    }
    return rung_fail(err, RUNG_E_FORMAT, "no verdict: %s", t.n > 0 ? v[0].reason : "no step");
}

/* ---- JSON lines */

static rung_status lines_or_text(texts *t, rung_arena *a, yyjson_val *row, rung_error *err) {
    yyjson_val *steps = yyjson_obj_get(row, "steps"), *s;
    const char *one = rung_json_str(row, "step", NULL), *text = rung_json_str(row, "text", NULL);
    size_t i, n;
    if (steps && !yyjson_is_arr(steps))
        return rung_fail(err, RUNG_E_FORMAT, "\"steps\" is no array of strings");
    if (!one && !text) text = rung_json_str(row, "answer", NULL);
    if (!steps && !one && !text)
        return rung_fail(err, RUNG_E_FORMAT, "needs \"answer\", \"step\", \"steps\" or \"text\"");
    if (!steps && one) return texts_add(t, a, one, strlen(one), err);
    if (!steps) return texts_lines(t, a, text, err);
    yyjson_arr_foreach(steps, i, n, s) {
        if (!yyjson_is_str(s))
            return rung_fail(err, RUNG_E_FORMAT, "\"steps\" is no array of strings");
        RUNG_TRY(texts_add(t, a, yyjson_get_str(s), yyjson_get_len(s), err));
    }
    return RUNG_OK;
}

static rung_status one_row(work *w, yyjson_val *row, rung_error *err) {
    texts t = {0};
    rung_step_task task = RUNG_STEP_TASK_INIT;
    rung_step_verdict *v;
    const char *gold = rung_json_str(row, "gold", NULL);
    bool apart = yyjson_obj_get(row, "steps") || rung_json_str(row, "step", NULL) ||
                 rung_json_str(row, "text", NULL);
    task.question = rung_json_str(row, "question", "");
    task.given = rung_json_str(row, "given", gold);
    task.answer = gold;
    if (!gold && apart) task.answer = rung_json_str(row, "answer", NULL); /* as problems call it */
    RUNG_TRY(lines_or_text(&t, w->a, row, err));
    return judge(&v, w, &task, &t, "", true, err);
}

static rung_status whole_file(work *w, const char *path, rung_error *err) {
    rung_jsonl *r;
    yyjson_val *row;
    rung_error first = RUNG_ERROR_INIT;
    rung_status st;
    RUNG_TRY(rung_jsonl_open(&r, path, 0, err));
    for (;;) {
        rung_error e = RUNG_ERROR_INIT;
        rung_arena_reset(w->a);
        st = rung_jsonl_next(&row, r, &e);
        bool read = st == RUNG_OK;
        if (read) st = one_row(w, row, &e);
        if (st == RUNG_E_FORMAT) {
            rung_error named = e;
            if (read)
                rung_fail(&named, st, "%s:%lld: %s", path, (long long)rung_jsonl_line(r), e.what);
            if (w->n.n_bad++ == 0) first = named;
            cli_say(w->c->app, "rejected: %s", named.what);
            rung_status said = cli_case_bad(w->c, e.what, err);
            if (said == RUNG_OK) continue;
            st = said;
        } else if (st != RUNG_OK && st != RUNG_DONE && err) {
            *err = e;
        }
        if (st != RUNG_OK) break;
    }
    rung_jsonl_close(r);
    if (st != RUNG_DONE) return st;
    if (w->n.n_bad == 0) return RUNG_OK;
    if (err) *err = first;
    return RUNG_E_FORMAT;
}

/* ---- the store */

static void compare_known(tally *n, const rung_step_verdict *v, const rung_trace *t) {
    if (t->first_error == RUNG_FIRST_ERROR_UNKNOWN) return;
    int32_t found = rung_step_first_wrong(v, t->n_steps);
    n->known++;
    n->agree += found == t->first_error;
    n->missed += t->first_error >= 0 && (found < 0 || found > t->first_error);
    n->false_wrong += found >= 0 && (t->first_error < 0 || found < t->first_error);
}

/* Steps with a label of source "planted": their truth is known one by one. */
static rung_status compare_planted(tally *n, rung_store *s, const rung_step_verdict *v,
                                   const rung_trace *t, rung_error *err) {
    for (int32_t k = 0; k < t->n_steps; k++) {
        rung_label l;
        bool found = false;
        RUNG_TRY(rung_label_get(&l, &found, s, 0, t->step[k].node, "planted", err));
        if (!found) continue;
        n->planted++;
        if (v[k].verdict == RUNG_VERDICT_UNKNOWN) continue;
        n->decided++;
        n->true_steps += (v[k].verdict == RUNG_VERDICT_CORRECT) == (l.hard == 1);
    }
    return RUNG_OK;
}

/* A row of this verifier beside those of others: what the trace says of its answer stays. */
static rung_status keep(const work *w, rung_store *s, const rung_trace *t,
                        const rung_step_verdict *v, rung_error *err) {
    char version[64], key[128];
    int32_t by = deciding(v, t->n_steps);
    const char *claim = "";
    snprintf(version, sizeof version, "%s%s", w->v->version, w->strict ? "+strict" : "");
    rung_step_key(key, v, t->n_steps);
    if (by >= 0 && v[by].end > v[by].begin) {
        claim = rung_arena_strndup(w->a, t->text + t->step[by].byte_begin + v[by].begin,
                                   (size_t)(v[by].end - v[by].begin));
        if (!claim) return rung_fail(err, RUNG_E_NOMEM, "no memory for a verdict");
    }
    return rung_verdict_put(s,
                            &(rung_verdict_row){.trace = t->id,
                                                .verifier = w->v->name,
                                                .version = version,
                                                .verdict = whole(v, t->n_steps),
                                                .answer = claim,
                                                .answer_key = key,
                                                .extracted_by = "steps",
                                                .rule = by < 0 ? "" : v[by].rule,
                                                .reason = by < 0 ? "no step" : v[by].reason,
                                                .us = (int64_t)w->us + 1},
                            err);
}

static rung_status one_trace(work *w, rung_store *s, const rung_trace *t, rung_error *err) {
    texts x = {0};
    rung_step_task task = RUNG_STEP_TASK_INIT;
    rung_step_verdict *v;
    rung_problem p;
    char head[128];
    RUNG_TRY(rung_problem_get(s, &p, w->a, t->problem, err));
    for (int32_t i = 0; i < t->n_steps; i++)
        RUNG_TRY(texts_add(&x, w->a, t->text + t->step[i].byte_begin,
                           (size_t)(t->step[i].byte_end - t->step[i].byte_begin), err));
    task.question = p.question;
    task.answer = p.answer;
    snprintf(head, sizeof head, ",\"trace\":%lld,\"problem\":%lld,\"first_error\":%d",
             (long long)t->id, (long long)t->problem, t->first_error);
    RUNG_TRY(judge(&v, w, &task, &x, head, w->c->app->json, err));
    if (w->write) RUNG_TRY(keep(w, s, t, v, err));
    compare_known(&w->n, v, t);
    return compare_planted(&w->n, s, v, t, err);
}

static rung_status one_solution(work *w, const rung_problem *p, rung_error *err) {
    texts x = {0};
    rung_step_task task = RUNG_STEP_TASK_INIT;
    rung_step_verdict *v;
    char head[64];
    task.question = p->question;
    task.answer = p->answer;
    RUNG_TRY(texts_lines(&x, w->a, p->solution, err));
    snprintf(head, sizeof head, ",\"problem\":%lld", (long long)p->id);
    return judge(&v, w, &task, &x, head, w->c->app->json, err);
}

static rung_status from_store(work *w, bool solutions, rung_error *err) {
    rung_store *s;
    rung_filter f;
    rung_iter *it;
    rung_status st;
    RUNG_TRY(cli_store(&s, w->c, w->write ? 0 : RUNG_STORE_READ_ONLY, err));
    RUNG_TRY(cli_filter(&f, w->c, s, err));
    RUNG_TRY(solutions ? rung_problem_iter(&it, s, &f, err) : rung_trace_iter(&it, s, &f, err));
    st = w->write ? rung_store_begin(s, err) : RUNG_OK;
    if (st != RUNG_OK) {
        rung_iter_free(it);
        return st;
    }
    for (;;) {
        rung_arena_reset(w->a);
        if (cli_interrupted) {
            st = rung_fail(err, RUNG_E_CANCELLED, "stopped");
            break;
        }
        if (solutions) {
            const rung_problem *p;
            st = rung_problem_next(&p, it, err);
            if (st == RUNG_OK) st = one_solution(w, p, err);
        } else {
            const rung_trace *t;
            st = rung_trace_next(&t, it, err);
            if (st == RUNG_OK) st = one_trace(w, s, t, err);
        }
        if (st != RUNG_OK) break;
    }
    rung_iter_free(it);
    if (st == RUNG_DONE) st = RUNG_OK;
    return w->write ? cli_store_end(s, st, err) : st;
}

static void result(cli_call *c, const work *w, double t0) {
    const tally *n = &w->n;
    cli_result_open(c, NULL);
    cli_result_int(c, "n", n->n);
    cli_result_int(c, "n_steps", n->n_steps);
    cli_result_int(c, "n_correct", n->steps[RUNG_VERDICT_CORRECT]);
    cli_result_int(c, "n_wrong", n->steps[RUNG_VERDICT_WRONG]);
    cli_result_int(c, "n_unknown", n->steps[RUNG_VERDICT_UNKNOWN]);
    cli_result_int(c, "n_claims", n->claims);
    cli_result_int(c, "n_with_wrong", n->first_wrong);
    cli_result_int(c, "n_rejected", n->n_bad);
    if (w->write) cli_result_int(c, "n_written", n->n);
    if (n->known > 0) {
        cli_result_int(c, "n_known", n->known);
        cli_result_int(c, "n_same_first_error", n->agree);
        cli_result_int(c, "n_missed", n->missed);
        cli_result_int(c, "n_too_early", n->false_wrong);
    }
    if (n->planted > 0) {
        cli_result_int(c, "n_planted_steps", n->planted);
        cli_result_int(c, "n_planted_decided", n->decided);
        cli_result_int(c, "n_planted_agree", n->true_steps);
    }
    if (w->solver) {
        rung_solver_counts k;
        rung_solver_counted(&k, w->solver);
        cli_result_int(c, "n_queries", k.n);
        cli_result_int(c, "n_queries_unknown", k.n_unknown);
        cli_result_int(c, "n_queries_limit", k.n_limit);
        cli_result_int(c, "n_queries_died", k.n_died);
        cli_result_int(c, "rlimit_used", k.rlimit);
    }
    cli_result_str(c, "verifier", w->v->name);
    cli_result_str(c, "version", w->v->version);
    cli_result_close(c, t0);
    rung_buf_printf(
        &c->summary, "%lld texts, %lld steps: %lld correct, %lld wrong, %lld unknown",
        (long long)n->n, (long long)n->n_steps, (long long)n->steps[RUNG_VERDICT_CORRECT],
        (long long)n->steps[RUNG_VERDICT_WRONG], (long long)n->steps[RUNG_VERDICT_UNKNOWN]);
    if (n->known > 0)
        rung_buf_printf(&c->summary,
                        "; of %lld traces with a known first error: %lld the same, %lld missed, "
                        "%lld too early",
                        (long long)n->known, (long long)n->agree, (long long)n->missed,
                        (long long)n->false_wrong);
}

static rung_status verify(work *w, rung_step_task *task, const char *text, rung_error *err) {
    cli_call *c = w->c;
    const char *path = cli_str(c, "in");
    bool solutions = cli_flag(c, "solutions"), stored = cli_flag(c, "stored");
    double t0 = rung_now();
    rung_status st;
    rung_buf explain;
    w->write = cli_flag(c, "write");
    if (w->write && (path || !stored || solutions)) {
        rung_solver_free(w->solver);
        rung_fail(err, RUNG_E_INVAL, "--write keeps verdicts of stored traces");
        return rung_error_hint(err, "add --stored");
    }
    rung_buf_init(&explain, 64u << 20);
    w->explain = cli_flag(c, "explain") ? &explain : NULL;
    w->a = rung_arena_new(0);
    if (!w->a) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    if (path) {
        st = whole_file(w, path, err);
    } else if (stored || solutions) {
        st = from_store(w, solutions, err);
    } else if (text) {
        st = one_text(w, task, text, err);
    } else {
        rung_fail(err, RUNG_E_INVAL, "nothing to judge: a text, --in, --stored or --solutions");
        st = rung_error_hint(err, "rung help verify %s", w->v->name);
    }
    if (!text || path) result(c, w, t0);
    rung_buf_clear(&explain);
    rung_arena_free(w->a);
    rung_solver_free(w->solver);
    return st;
}

/* The one of two names of an option that is given; both: E_INVAL. */
static rung_status either(const char **out, cli_call *c, const char *a, const char *b,
                          rung_error *err) {
    *out = cli_str(c, a) ? cli_str(c, a) : cli_str(c, b);
    return cli_str(c, a) && cli_str(c, b)
               ? rung_fail(err, RUNG_E_INVAL, "--%s and --%s are the same: give one", a, b)
               : RUNG_OK;
}

rung_status cli_verify_step(cli_call *c, rung_error *err) {
    work w = {.c = c, .v = rung_step_verifier_find("step"), .strict = cli_flag(c, "strict")};
    rung_step_task task = RUNG_STEP_TASK_INIT;
    const char *text;
    RUNG_TRY(either(&task.given, c, "given", "gold", err));
    RUNG_TRY(either(&text, c, "step", "answer", err));
    RUNG_TRY(rung_solver_new(&w.solver, NULL, err));
    return verify(&w, &task, text, err);
}

rung_status cli_verify_logic(cli_call *c, rung_error *err) {
    work w = {.c = c, .v = rung_step_verifier_find("logic")};
    rung_solver_opts o = RUNG_SOLVER_OPTS_INIT;
    rung_step_task task = RUNG_STEP_TASK_INIT;
    const char *text;
    RUNG_TRY(either(&text, c, "proof", "answer", err));
    task.question = cli_str(c, "question");
    task.answer = cli_str(c, "gold");
    o.rlimit = (uint32_t)cli_int(c, "rlimit");
    RUNG_TRY(rung_solver_new(&w.solver, &o, err));
    return verify(&w, &task, text, err);
}
