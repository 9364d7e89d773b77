/* rung verify code: programs against tests, in the sandbox. */
#include "base/json.h"
#include "cli/verify_rows.h"
#include "rung/code.h"
#include <stdio.h>
#include <string.h>

static const cli_opt code_opts[] = {
    OPT_PATH(
        "file", "", CLI_KEY,
        "JSON lines: a program and its tests each (HumanEval, MBPP or docs/verifiers.md); - is "
        "standard input"),
    OPT_PATH("in", "", CLI_KEY, "the same file"),
    OPT_STR("gold", "", "JSON", CLI_KEY, "the tests of one program: a row without the program"),
    OPT_STR("answer", "", "TEXT", CLI_KEY, "the program to judge"),
    OPT_STR("text", "", "TEXT", CLI_KEY, "a whole solution, from which the program is taken"),
    OPT_BOOL("each", "false", CLI_KEY, "say how every test of a program went, too"),
    OPT_BOOL("explain", "false", CLI_KEY, "one program: how every test went, in words"),
    OPT_BOOL("stored", "false", CLI_KEY,
             "the traces of the store that the filter names, by the tests of their problems"),
    OPT_CLI_WRITE,
};
const cli_group cli_verify_code_group = CLI_GROUP_OF("code", code_opts);

typedef struct row row; /* a line of input, until its line of output is out */
struct row {
    row *next;
    rung_arena *arena; /* of its job */
    rung_buf line;     /* of output */
    int64_t line_no;
    size_t job;
    bool is_job, done;
    char key[128]; /* of the program */
};

typedef struct work {
    cli_call *c;
    rung_jsonl *in;
    const char *path;
    row *first, *last; /* in the order of the input */
    int64_t n[3], n_bad, n_tests, n_passed;
    bool each;
    rung_error first_bad;
} work;

static void row_free(row *r) {
    rung_buf_clear(&r->line);
    rung_arena_free(r->arena);
    rung_free(r);
}

static row *row_new(work *w) {
    row *r = rung_calloc(1, sizeof *r);
    if (!r) return NULL;
    r->line_no = rung_jsonl_line(w->in);
    rung_buf_init(&r->line, 16u << 20);
    r->arena = rung_arena_new(0);
    if (!r->arena) {
        row_free(r);
        return NULL;
    }
    if (w->last)
        w->last->next = r;
    else
        w->first = r;
    w->last = r;
    return r;
}

static void drop_first(work *w) {
    row *r = w->first;
    w->first = r->next;
    if (!w->first) w->last = NULL;
    row_free(r);
}

/* Lines leave in the order in which they came. */
static rung_status print_ready(work *w, rung_error *err) {
    while (w->first && w->first->done) {
        rung_status st = rung_buf_check(&w->first->line, err);
        if (st == RUNG_OK) st = cli_out(w->c->app, w->first->line.data, w->first->line.n, err);
        drop_first(w);
        if (st != RUNG_OK) return st;
    }
    return RUNG_OK;
}

static void outcome_json(rung_buf *b, rung_code_reason why, const char *detail) {
    rung_buf_printf(b, "\"reason\":\"%s\",\"detail\":", rung_code_reason_text(why));
    rung_buf_json_str(b, detail, strlen(detail));
}

static void result_json(rung_buf *b, const rung_code_result *r, const char *key, bool each) {
    rung_buf_printf(b, "{\"v\":1,\"verdict\":\"%s\",\"rule\":\"tests\",",
                    rung_verdict_name(r->verdict));
    outcome_json(b, r->reason, r->detail);
    rung_buf_printf(b, ",\"n_tests\":%zu,\"n_passed\":%zu,\"us\":%.0f", r->n_tests, r->n_passed,
                    r->wall_s * 1e6);
    cli_case_str(b, "key", key);
    cli_case_str(b, "verifier", "code");
    cli_case_str(b, "version", rung_verifier_find("code")->version);
    for (size_t i = 0; each && i < r->n_tests; i++) {
        rung_buf_printf(b, "%s{", i ? "," : ",\"tests\":[");
        outcome_json(b, r->test[i].reason, r->test[i].detail);
        rung_buf_printf(b, ",\"wall_s\":%.4f,\"cpu_s\":%.4f}%s", r->test[i].wall_s,
                        r->test[i].cpu_s, i + 1 == r->n_tests ? "]" : "");
    }
    rung_buf_str(b, "}\n");
}

static void bad_row(work *w, row *r, const rung_error *e) {
    if (w->n_bad++ == 0) w->first_bad = *e;
    cli_say(w->c->app, "rejected: %s", e->what);
    rung_buf_str(&r->line, "{\"v\":1,\"verdict\":\"unknown\",\"rule\":\"\",\"reason\":\"bad row\","
                           "\"key\":\"\",\"us\":0,\"detail\":");
    rung_buf_json_str(&r->line, e->what, strlen(e->what));
    rung_buf_str(&r->line, "}\n");
    r->done = true;
}

static rung_status parse_row(rung_code_job *job, work *w, row *r, yyjson_val *root,
                             rung_error *err) {
    size_t n = 0;
    char *text = yyjson_val_write_opts(root, 0, &rung_json_alc, &n, NULL);
    if (!text) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    rung_error e = RUNG_ERROR_INIT;
    rung_status st = rung_code_job_parse(job, r->arena, text, n, &e);
    rung_free(text);
    if (st == RUNG_OK) return st;
    return rung_fail(err, st == RUNG_E_INVAL ? RUNG_E_FORMAT : st, "%s:%lld: %s", w->path,
                     (long long)r->line_no, e.what);
}

static rung_status next_job(rung_code_job *job, size_t i, void *ud, rung_error *err) {
    work *w = ud;
    for (;;) {
        rung_error e = RUNG_ERROR_INIT;
        yyjson_val *root;
        if (cli_interrupted) return rung_fail(err, RUNG_E_CANCELLED, "stopped");
        rung_status st = rung_jsonl_next(&root, w->in, &e);
        if (st == RUNG_DONE) return st;
        if (st != RUNG_OK && st != RUNG_E_FORMAT) {
            if (err) *err = e;
            return st;
        }
        row *r = row_new(w);
        if (!r) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
        if (st == RUNG_OK) st = parse_row(job, w, r, root, &e);
        if (st == RUNG_OK) {
            rung_verifier_find("code")->key(r->key, job->program);
            r->job = i;
            r->is_job = true;
            return st;
        }
        if (st != RUNG_E_FORMAT) {
            if (err) *err = e;
            return st;
        }
        bad_row(w, r, &e);
        RUNG_TRY(print_ready(w, err));
    }
}

static rung_status job_done(size_t i, const rung_code_result *res, void *ud, rung_error *err) {
    work *w = ud;
    row *r = w->first;
    while (r && !(r->is_job && r->job == i)) r = r->next;
    if (!r) return rung_fail(err, RUNG_E_MISUSE, "a result without its row");
    w->n[res->verdict]++;
    w->n_tests += (int64_t)res->n_tests;
    w->n_passed += (int64_t)res->n_passed;
    result_json(&r->line, res, r->key, w->each);
    r->done = true;
    return print_ready(w, err);
}

static void result_object(cli_call *c, const work *w, double t0) {
    cli_result_open(c, NULL);
    cli_result_int(c, "n", w->n[0] + w->n[1] + w->n[2]);
    cli_result_int(c, "n_correct", w->n[RUNG_VERDICT_CORRECT]);
    cli_result_int(c, "n_wrong", w->n[RUNG_VERDICT_WRONG]);
    cli_result_int(c, "n_unknown", w->n[RUNG_VERDICT_UNKNOWN]);
    cli_result_int(c, "n_rejected", w->n_bad);
    cli_result_int(c, "n_tests", w->n_tests);
    cli_result_int(c, "n_passed", w->n_passed);
    cli_result_close(c, t0);
}

/* ---- one program; traces of the store ---- */

typedef struct single {
    rung_sandbox *sb;
    const rung_verifier *v;
    rung_arena *a;
    bool each;
} single;

typedef struct judged {
    rung_answer answer;
    const char *program;
    rung_code_result r;
    char key[128];
} judged;

/* tests: JSON without the program. A program that was not found is unknown. */
static rung_status judge(judged *j, single *s, const char *tests, const char *program,
                         const char *text, rung_error *err) {
    rung_code_job job;
    memset(j, 0, sizeof *j);
    j->answer.rule = "given";
    if (!program) {
        s->v->extract(&j->answer, text, strlen(text));
        program = j->answer.text;
    }
    j->program = program;
    s->v->key(j->key, program);
    rung_arena_reset(s->a);
    RUNG_TRY(rung_code_job_with(&job, s->a, tests, strlen(tests), program, err));
    if (!program[0]) return RUNG_OK; /* NOT_RUN */
    return rung_code_check(&j->r, s->sb, &job, err);
}

static const char *why_not(const judged *j) {
    if (!j->program[0]) return "no answer";
    return j->r.verdict == RUNG_VERDICT_CORRECT ? "" : rung_code_reason_text(j->r.reason);
}

static void judged_members(rung_buf *b, const judged *j, const single *s) {
    cli_case_str(b, "extracted_by", j->answer.rule);
    cli_case_str(b, "rule", j->r.verdict == RUNG_VERDICT_UNKNOWN ? "" : "tests");
    cli_case_str(b, "reason", why_not(j));
    cli_case_str(b, "detail", j->r.detail);
    rung_buf_printf(b, ",\"n_tests\":%zu,\"n_passed\":%zu", j->r.n_tests, j->r.n_passed);
    cli_case_str(b, "key", j->key);
    rung_buf_printf(b, ",\"flexible\":%s,\"us\":%.0f", j->answer.flexible ? "true" : "false",
                    j->r.wall_s * 1e6);
    cli_case_str(b, "verifier", s->v->name);
    cli_case_str(b, "version", s->v->version);
    for (size_t i = 0; s->each && i < j->r.n_tests; i++) {
        rung_buf_printf(b, "%s{", i ? "," : ",\"tests\":[");
        outcome_json(b, j->r.test[i].reason, j->r.test[i].detail);
        rung_buf_printf(b, "}%s", i + 1 == j->r.n_tests ? "]" : "");
    }
}

static rung_status judge_case(rung_buf *members, rung_verdict *verdict, const cli_case *k, void *ud,
                              rung_error *err) {
    single *s = ud;
    judged j;
    rung_status st = judge(&j, s, k->p->meta, NULL, k->t->text, err);
    if (st == RUNG_OK) {
        rung_check check = {j.r.verdict, j.r.verdict == RUNG_VERDICT_UNKNOWN ? "" : "tests",
                            why_not(&j)};
        *verdict = j.r.verdict;
        judged_members(members, &j, s);
        st = cli_case_keep(k, &j.answer, j.key, &check, s->v->version, j.r.wall_s * 1e6, err);
    }
    rung_code_result_clear(&j.r);
    return st;
}

static rung_status explain(cli_call *c, const judged *j, rung_error *err) {
    rung_buf b, shown;
    rung_buf_init(&b, 64u << 20);
    rung_buf_init(&shown, 64u << 20);
    rung_buf_printf(&b, "program: %zu bytes, %s, key %s\n", strlen(j->program), j->answer.rule,
                    *j->key ? j->key : "(none)");
    for (size_t i = 0; i < j->r.n_tests; i++) {
        const rung_code_outcome *t = &j->r.test[i];
        rung_buf_printf(&b, "test %zu: %s%s%s (%.3f s, cpu %.3f s)%s\n", i + 1,
                        rung_code_reason_text(t->reason), t->detail[0] ? ": " : "", t->detail,
                        t->wall_s, t->cpu_s,
                        i == j->r.first && j->r.verdict != RUNG_VERDICT_CORRECT ? " decided" : "");
    }
    if (b.data) cli_clean(&shown, b.data, b.n);
    rung_status st = rung_buf_check(&b, err);
    if (st == RUNG_OK) st = rung_buf_check(&shown, err);
    if (st == RUNG_OK) st = cli_out(c->app, shown.data, shown.n, err);
    rung_buf_clear(&b);
    rung_buf_clear(&shown);
    return st;
}

static rung_status one_pair(cli_call *c, single *s, rung_error *err) {
    const char *gold = cli_str(c, "gold"), *answer = cli_str(c, "answer");
    const char *text = cli_str(c, "text");
    judged j;
    if (!gold || (!answer && !text)) {
        rung_fail(err, RUNG_E_INVAL, "one program needs --gold and --answer or --text");
        return rung_error_hint(err, "or --in FILE of JSON lines, or --stored");
    }
    rung_status st = judge(&j, s, gold, answer, text, err);
    if (st == RUNG_OK) {
        rung_buf_printf(&c->result, "{\"v\":1,\"verdict\":\"%s\"", rung_verdict_name(j.r.verdict));
        judged_members(&c->result, &j, s);
        rung_buf_str(&c->result, "}");
        if (cli_flag(c, "explain") && !c->app->json) st = explain(c, &j, err);
    }
    if (st == RUNG_OK) {
        st = cli_verify_end(c, j.r.verdict,
                            j.r.verdict == RUNG_VERDICT_CORRECT ? "tests" : why_not(&j),
                            why_not(&j), err);
        if (st != RUNG_OK && j.r.detail[0]) cli_say(c->app, "%s", j.r.detail);
    }
    rung_code_result_clear(&j.r);
    return st;
}

static rung_status single_call(cli_call *c, rung_error *err) {
    single s = {.v = rung_verifier_find("code"), .each = cli_flag(c, "each")};
    s.a = rung_arena_new(0);
    if (!s.a) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    rung_status st = cli_sandbox(&s.sb, c, err);
    if (st == RUNG_OK && cli_str(c, "gold"))
        st = one_pair(c, &s, err);
    else if (st == RUNG_OK)
        st = cli_verify_stored(c, "code", judge_case, NULL, &s, err);
    rung_sandbox_free(s.sb);
    rung_arena_free(s.a);
    return st;
}

rung_status cli_verify_code(cli_call *c, rung_error *err) {
    rung_sandbox *sb = NULL;
    const char *path = cli_str(c, "file") ? cli_str(c, "file") : cli_str(c, "in");
    if (!path && (cli_str(c, "gold") || cli_flag(c, "stored"))) return single_call(c, err);
    work *w = rung_calloc(1, sizeof *w);
    if (!w) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    w->c = c;
    w->path = path;
    w->each = cli_flag(c, "each");
    double t0 = rung_now();
    rung_status st = RUNG_OK;
    if (!w->path)
        st = rung_fail(err, RUNG_E_INVAL,
                       "needs a file of JSON lines or -, --gold with --answer, or --stored");
    if (st == RUNG_OK) st = cli_sandbox(&sb, c, err);
    if (st == RUNG_OK) st = rung_jsonl_open(&w->in, w->path, 0, err);
    if (st == RUNG_OK) st = rung_code_check_many(sb, next_job, job_done, w, err);
    if (st == RUNG_OK) st = print_ready(w, err);
    if (st == RUNG_OK) {
        result_object(c, w, t0);
        rung_buf_printf(&c->summary,
                        "%lld programs: %lld correct, %lld wrong, %lld unknown; %lld "
                        "rejected",
                        (long long)(w->n[0] + w->n[1] + w->n[2]), (long long)w->n[1],
                        (long long)w->n[2], (long long)w->n[0], (long long)w->n_bad);
        if (w->n_bad > 0) {
            if (err) *err = w->first_bad;
            st = RUNG_E_FORMAT;
        }
    }
    while (w->first) drop_first(w);
    rung_jsonl_close(w->in);
    rung_sandbox_free(sb);
    rung_free(w);
    return st;
}
