/* rung verify rewrite: labels of lines without people (PRLCoder, labels.md 7). Every line of a
 * right program is rewritten, alone; the tests say whether the rewrite is harmless. */
#include "base/json.h"
#include "cli/session.h"
#include <string.h>

static const cli_opt rewrite_opts[] = {
    OPT_PATH("file", "", CLI_KEY,
             "JSON lines: a right program and its tests each, as verify code reads them; - is "
             "standard input"),
    OPT_INT("per-line", "3", "N", 0, 100000, CLI_KEY,
            "rewrites of a line of each mode, 0 = all that are found"),
    OPT_CHOICE("mode", "both", "both|mutate|refactor", CLI_KEY, "which rewrites"),
    OPT_BOOL("programs", "false", CLI_KEY,
             "with the lines before it (\"prefix\") and the whole program in every line of output"),
    OPT_SEED,
};
const cli_group cli_verify_rewrite_group = CLI_GROUP_OF("rewrite", rewrite_opts);

typedef struct item { /* one program to test: the given one, or a rewrite of it */
    const rung_code_rewrite *r;
    const char *program;
    rung_verdict verdict;
    rung_code_reason reason;
    char detail[320];
} item;

typedef struct maker {
    cli_call *c;
    rung_sandbox *sb;
    const char *path, *mode;
    bool programs;
    rung_rewrite_opts opts;
    int64_t line, n_rows, n_failing, n_bad, n_given, n_mode[2][3]; /* [mutate, refactor][verdict] */
    rung_arena *arena;                                             /* of one row */
    rung_code_job job;
    item *item;
    size_t n_items;
} maker;

static rung_status next_item(rung_code_job *job, size_t i, void *ud, rung_error *err) {
    maker *m = ud;
    if (cli_interrupted) return rung_fail(err, RUNG_E_CANCELLED, "stopped");
    if (i >= m->n_items) return RUNG_DONE;
    *job = m->job;
    job->program = m->item[i].program;
    job->n_program = strlen(job->program);
    return RUNG_OK;
}

static rung_status item_done(size_t i, const rung_code_result *r, void *ud, rung_error *err) {
    (void)err;
    item *x = &((maker *)ud)->item[i];
    x->verdict = r->verdict;
    x->reason = r->reason;
    memcpy(x->detail, r->detail, sizeof x->detail);
    return RUNG_OK;
}

static const char *line_at(size_t *n, const char *program, int32_t line) {
    for (; line > 1; line--) {
        program = strchr(program, '\n');
        if (!program) return NULL;
        program++;
    }
    *n = strcspn(program, "\n");
    return *program ? program : NULL;
}

static void text_field(rung_buf *b, const char *key, const char *s, size_t n) {
    rung_buf_printf(b, ",\"%s\":", key);
    rung_buf_json_str(b, s, n);
}

/* One line of output. text: the line as it is in x's program. */
static rung_status print_item(maker *m, const item *x, int32_t line, const char *text, size_t n,
                              rung_error *err) {
    static const char *const label[] = {"null", "1", "0"}; /* by verdict: unknown is no label */
    const char *own, *mode = x->r ? x->r->mode : "given", *op = x->r ? x->r->op : "";
    size_t n_own = 0;
    rung_buf b;
    rung_buf_init(&b, 64u << 20);
    rung_buf_printf(&b, "{\"v\":1,\"row\":%lld,\"line\":%d,\"mode\":\"%s\",\"op\":\"%s\"",
                    (long long)m->n_rows, line, mode, op);
    own = line_at(&n_own, m->job.program, line);
    text_field(&b, "before", own ? own : "", n_own);
    text_field(&b, "after", text, n);
    rung_buf_printf(&b, ",\"label\":%s,\"verdict\":\"%s\",\"reason\":\"%s\"", label[x->verdict],
                    rung_verdict_name(x->verdict), rung_code_reason_text(x->reason));
    text_field(&b, "detail", x->detail, strlen(x->detail));
    if (m->programs) {
        text_field(&b, "prefix", m->job.program, own ? (size_t)(own - m->job.program) : 0);
        text_field(&b, "program", x->program, strlen(x->program));
    }
    rung_buf_str(&b, "}\n");
    rung_status st = rung_buf_check(&b, err);
    if (st == RUNG_OK) st = cli_out(m->c->app, b.data, b.n, err);
    rung_buf_clear(&b);
    return st;
}

static bool has_code(const char *s, size_t n) {
    size_t i = 0;
    while (i < n && (s[i] == ' ' || s[i] == '\t' || s[i] == '\r')) i++;
    return i < n && s[i] != '#';
}

/* The given program's own lines, label 1; a program that fails its tests says so and has none. */
static rung_status print_given(maker *m, rung_error *err) {
    const item *x = &m->item[0];
    size_t n;
    const char *s;
    int32_t first = m->opts.first_line ? (int32_t)m->opts.first_line : 1;
    if (x->verdict != RUNG_VERDICT_CORRECT) {
        m->n_failing++;
        return print_item(m, x, 0, "", 0, err);
    }
    for (int32_t line = first; (s = line_at(&n, m->job.program, line)); line++) {
        if (!has_code(s, n)) continue;
        m->n_given++;
        RUNG_TRY(print_item(m, x, line, s, n, err));
    }
    return RUNG_OK;
}

static rung_status test_items(maker *m, size_t n, rung_error *err) {
    m->n_items = n;
    return rung_code_check_many(m->sb, next_item, item_done, m, err);
}

static rung_status one_program(maker *m, rung_error *err) {
    rung_code_rewrite *r = NULL;
    size_t n = 0, n_kept = 0;
    RUNG_TRY(rung_code_rewrites(&r, &n, m->arena, m->sb, m->job.program, m->job.n_program, &m->opts,
                                err));
    m->item = rung_arena_alloc(m->arena, (n + 1) * sizeof *m->item);
    if (!m->item) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    m->item[0] = (item){.program = m->job.program};
    RUNG_TRY(test_items(m, 1, err));
    RUNG_TRY(print_given(m, err));
    if (m->item[0].verdict != RUNG_VERDICT_CORRECT) return RUNG_OK;
    for (size_t i = 0; i < n; i++) {
        if (strcmp(m->mode, "both") != 0 && strcmp(m->mode, r[i].mode) != 0) continue;
        const char *program =
            rung_code_rewrite_apply(m->arena, m->job.program, m->job.n_program, &r[i]);
        if (!program) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
        m->item[n_kept++] = (item){.r = &r[i], .program = program};
    }
    RUNG_TRY(test_items(m, n_kept, err));
    for (size_t i = 0; i < n_kept; i++) {
        const item *x = &m->item[i];
        m->n_mode[strcmp(x->r->mode, "refactor") == 0][x->verdict]++;
        RUNG_TRY(print_item(m, x, x->r->line, x->r->text, strlen(x->r->text), err));
    }
    return RUNG_OK;
}

/* HumanEval's prompt stands before the program; its lines are not the solution's. */
static uint32_t first_line(yyjson_val *row) {
    const char *prompt = rung_json_str(row, "prompt", NULL);
    uint32_t n = 1;
    if (!prompt || !yyjson_obj_get(row, "test")) return 0;
    for (; *prompt; prompt++) n += *prompt == '\n';
    return n;
}

static rung_status one_row(maker *m, yyjson_val *row, rung_error *err) {
    size_t n = 0;
    rung_error e = RUNG_ERROR_INIT;
    m->arena = rung_arena_new(0);
    if (!m->arena) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    char *text = yyjson_val_write_opts(row, 0, &rung_json_alc, &n, NULL);
    rung_status st = text ? rung_code_job_parse(&m->job, m->arena, text, n, &e)
                          : rung_fail(&e, RUNG_E_NOMEM, "out of memory");
    rung_free(text);
    if (st == RUNG_OK && (m->job.lang != RUNG_CODE_PYTHON || m->job.n_tests == 0))
        st = rung_fail(&e, RUNG_E_FORMAT, "only Python programs with tests are rewritten");
    m->opts.first_line = first_line(row);
    m->n_rows++;
    if (st == RUNG_OK) st = one_program(m, &e);
    if (st == RUNG_E_FORMAT || st == RUNG_E_INVAL)
        st = rung_fail(err, RUNG_E_FORMAT, "%s:%lld: %s", m->path, (long long)m->line, e.what);
    else if (st != RUNG_OK && err)
        *err = e;
    rung_arena_free(m->arena);
    return st;
}

static rung_status whole(maker *m, rung_jsonl *in, rung_error *first, rung_error *err) {
    for (;;) {
        rung_error e = RUNG_ERROR_INIT;
        yyjson_val *row;
        rung_status st = rung_jsonl_next(&row, in, &e);
        m->line = rung_jsonl_line(in);
        if (st == RUNG_OK) st = one_row(m, row, &e);
        if (st == RUNG_DONE) return RUNG_OK;
        if (st == RUNG_E_FORMAT) {
            if (m->n_bad++ == 0) *first = e;
            cli_say(m->c->app, "rejected: %s", e.what);
        } else if (st != RUNG_OK) {
            if (err) *err = e;
            return st;
        }
    }
}

static void report(cli_call *c, const maker *m, double t0) {
    const int64_t *mut = m->n_mode[0], *ref = m->n_mode[1];
    cli_result_open(c, NULL);
    cli_result_int(c, "n_programs", m->n_rows - m->n_bad);
    cli_result_int(c, "n_failing", m->n_failing);
    cli_result_int(c, "n_rejected", m->n_bad);
    cli_result_int(c, "n_given_1", m->n_given);
    cli_result_int(c, "n_mutate_0", mut[RUNG_VERDICT_WRONG]);
    cli_result_int(c, "n_mutate_1", mut[RUNG_VERDICT_CORRECT]);
    cli_result_int(c, "n_refactor_0", ref[RUNG_VERDICT_WRONG]);
    cli_result_int(c, "n_refactor_1", ref[RUNG_VERDICT_CORRECT]);
    cli_result_int(c, "n_unknown", mut[RUNG_VERDICT_UNKNOWN] + ref[RUNG_VERDICT_UNKNOWN]);
    cli_result_close(c, t0);
    rung_buf_printf(&c->summary,
                    "%lld programs: %lld lines given; mutations %lld harmful, %lld harmless; "
                    "refactorings %lld harmful, %lld harmless; %lld unknown",
                    (long long)(m->n_rows - m->n_bad), (long long)m->n_given,
                    (long long)mut[RUNG_VERDICT_WRONG], (long long)mut[RUNG_VERDICT_CORRECT],
                    (long long)ref[RUNG_VERDICT_WRONG], (long long)ref[RUNG_VERDICT_CORRECT],
                    (long long)(mut[RUNG_VERDICT_UNKNOWN] + ref[RUNG_VERDICT_UNKNOWN]));
}

rung_status cli_verify_rewrite(cli_call *c, rung_error *err) {
    rung_rewrite_opts o = RUNG_REWRITE_OPTS_INIT;
    maker m = {.c = c, .path = cli_str(c, "file"), .mode = cli_str(c, "mode"), .opts = o};
    rung_jsonl *in = NULL;
    rung_error first = RUNG_ERROR_INIT;
    double t0 = rung_now();
    RUNG_TRY(cli_need(c, "file", "JSON lines of programs with tests, or -", err));
    m.programs = cli_flag(c, "programs");
    m.opts.seed = (uint64_t)cli_int(c, "seed");
    m.opts.per_line = (uint32_t)cli_int(c, "per-line");
    rung_status st = cli_sandbox(&m.sb, c, err);
    if (st == RUNG_OK) st = rung_jsonl_open(&in, m.path, 0, err);
    if (st == RUNG_OK) st = whole(&m, in, &first, err);
    if (st == RUNG_OK) {
        report(c, &m, t0);
        if (m.n_bad > 0) {
            if (err) *err = first;
            st = RUNG_E_FORMAT;
        }
    }
    rung_jsonl_close(in);
    rung_sandbox_free(m.sb);
    return st;
}
