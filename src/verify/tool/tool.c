/* The table of tools: each row coats the session of its folder. */
#include "rung/tool.h"
#include <string.h>

static rung_status opts_of(rung_tool_opts *o, const rung_tool_opts *given, rung_error *err) {
    *o = (rung_tool_opts)RUNG_TOOL_OPTS_INIT;
    if (given && (given->struct_size == 0 || given->struct_size > sizeof *o))
        return rung_fail(err, RUNG_E_INVAL, "rung_tool_opts has a size that is not this one's");
    if (given) memcpy(o, given, given->struct_size);
    return RUNG_OK;
}

/* Blocks and queries are C strings below here: a NUL ends what can be read of them. */
static char *text_of(const char *block, size_t n, rung_error *err) {
    char *text = rung_strndup(block, n);
    if (!text) rung_fail(err, RUNG_E_NOMEM, "out of memory");
    return text;
}

static rung_status limit_reached(rung_buf *b, rung_tool_outcome *out, int32_t n, rung_error *err) {
    *out = (rung_tool_outcome){.alive = true, .reason = "limit"};
    rung_buf_printf(b, "limit reached: %d blocks\n", n);
    return rung_buf_check(b, err);
}

/* ---- python: a namespace in a box of the sandbox */

typedef struct python {
    rung_code_session *s;
    int32_t n, n_max;
    rung_block_result last;
} python;

static void python_close(void *session) {
    python *p = session;
    if (!p) return;
    rung_code_session_free(p->s);
    rung_free(p);
}

static rung_status python_open(void **session, const rung_tool_opts *opts, rung_error *err) {
    rung_tool_opts o;
    *session = NULL;
    RUNG_TRY(opts_of(&o, opts, err));
    if (!o.sandbox) return rung_fail(err, RUNG_E_INVAL, "the tool python needs a sandbox");
    python *p = rung_calloc(1, sizeof *p);
    if (!p) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    p->n_max = o.n_max;
    p->last = (rung_block_result){.out = "", .errs = "", .value = ""};
    rung_status st = rung_code_session_new(&p->s, o.sandbox, o.session, err);
    if (st == RUNG_OK)
        *session = p;
    else
        python_close(p);
    return st;
}

static void whole_line(rung_buf *b, const char *text, size_t n) {
    rung_buf_append(b, text, n);
    if (n > 0 && text[n - 1] != '\n') rung_buf_str(b, "\n");
}

/* What was printed, the value of a last expression, and why the block did not run to its end. */
static rung_status python_run(rung_buf *b, rung_tool_outcome *out, void *session, const char *block,
                              size_t n, const rung_code_limits *limits, rung_error *err) {
    python *p = session;
    rung_block_result *r = &p->last;
    if (p->n_max > 0 && p->n >= p->n_max) return limit_reached(b, out, p->n_max, err);
    p->n++;
    RUNG_TRY(rung_code_session_run(r, p->s, block, n, limits, err));
    *out = (rung_tool_outcome){.ok = r->reason == RUNG_CODE_PASSED,
                               .alive = r->alive,
                               .reason = rung_code_reason_text(r->reason),
                               .wall_s = r->wall_s,
                               .cpu_s = r->cpu_s};
    whole_line(b, r->out, r->n_out);
    whole_line(b, r->value, r->n_value);
    whole_line(b, r->errs, r->n_errs);
    if (!out->ok)
        rung_buf_printf(b, "%s%s%s\n", out->reason, r->detail[0] ? ": " : "", r->detail);
    else if (r->n_out + r->n_value + r->n_errs == 0)
        rung_buf_str(b, "(no output)\n");
    return rung_buf_check(b, err);
}

static void text_member(rung_buf *b, const char *key, const char *text, size_t n) {
    rung_buf_printf(b, ",\"%s\":", key);
    rung_buf_json_str(b, text, n);
}

static void python_members(rung_buf *b, void *session) {
    const rung_block_result *r = &((python *)session)->last;
    text_member(b, "detail", r->detail, strlen(r->detail));
    text_member(b, "stdout", r->out, r->n_out);
    text_member(b, "stderr", r->errs, r->n_errs);
    text_member(b, "value", r->value, r->n_value);
    rung_buf_printf(b, ",\"n_replayed\":%zu", r->n_replayed);
}

static rung_status python_reset(void *session, rung_error *err) {
    python *p = session;
    p->n = 0;
    return rung_code_session_reset(p->s, err);
}

static rung_status python_rebuild(size_t *n_run, void *session, rung_error *err) {
    return rung_code_session_rebuild(n_run, ((python *)session)->s, err);
}

/* ---- calculator */

typedef struct calculator {
    rung_calculator *c;
    int32_t n, n_max, n_bad;
} calculator;

static void calculator_close(void *session) {
    calculator *k = session;
    if (!k) return;
    rung_calculator_free(k->c);
    rung_free(k);
}

static rung_status calculator_open(void **session, const rung_tool_opts *opts, rung_error *err) {
    rung_tool_opts o;
    *session = NULL;
    RUNG_TRY(opts_of(&o, opts, err));
    calculator *k = rung_calloc(1, sizeof *k);
    if (!k) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    k->n_max = o.n_max;
    rung_status st = rung_calculator_new(&k->c, err);
    if (st == RUNG_OK)
        *session = k;
    else
        calculator_close(k);
    return st;
}

static rung_status calculator_run(rung_buf *b, rung_tool_outcome *out, void *session,
                                  const char *block, size_t n, const rung_code_limits *limits,
                                  rung_error *err) {
    calculator *k = session;
    (void)limits;
    if (k->n_max > 0 && k->n >= k->n_max) return limit_reached(b, out, k->n_max, err);
    k->n++;
    double t0 = rung_now();
    RUNG_TRY(rung_calculator_run(b, &k->n_bad, k->c, block, n, err));
    *out = (rung_tool_outcome){.ok = k->n_bad == 0,
                               .alive = true,
                               .reason = k->n_bad == 0 ? "passed" : "error",
                               .wall_s = rung_now() - t0};
    return rung_buf_check(b, err);
}

static void calculator_members(rung_buf *b, void *session) {
    rung_buf_printf(b, ",\"n_bad\":%d", ((calculator *)session)->n_bad);
}

static rung_status calculator_reset(void *session, rung_error *err) {
    calculator *k = session;
    rung_calculator *fresh;
    RUNG_TRY(rung_calculator_new(&fresh, err));
    rung_calculator_free(k->c);
    k->c = fresh;
    k->n = k->n_bad = 0;
    return RUNG_OK;
}

/* ---- sql: the queries of one solution to its database */

typedef struct queries {
    rung_sql_session *s;
    rung_sql *sql;
    char *file, *script;
    int32_t n_max, n_shown;
} queries;

static void queries_close(void *session) {
    queries *q = session;
    if (!q) return;
    rung_sql_session_free(q->s);
    rung_free(q->file);
    rung_free(q->script);
    rung_free(q);
}

static rung_status queries_begin(queries *q, rung_error *err) {
    rung_sql_session *fresh;
    rung_sql_db db = {q->file, q->script};
    RUNG_TRY(rung_sql_session_new(&fresh, q->sql, &db, q->n_max, q->n_shown, err));
    rung_sql_session_free(q->s);
    q->s = fresh;
    return RUNG_OK;
}

static rung_status queries_open(void **session, const rung_tool_opts *opts, rung_error *err) {
    rung_tool_opts o;
    *session = NULL;
    RUNG_TRY(opts_of(&o, opts, err));
    if (!o.sql || !o.db || (!o.db->file && !o.db->script))
        return rung_fail(err, RUNG_E_INVAL, "the tool sql needs a database");
    queries *q = rung_calloc(1, sizeof *q);
    if (!q) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    q->sql = o.sql;
    q->n_max = o.n_max;
    q->n_shown = o.n_shown;
    q->file = o.db->file ? rung_strdup(o.db->file) : NULL;
    q->script = o.db->script ? rung_strdup(o.db->script) : NULL;
    rung_status st = q->file || q->script ? queries_begin(q, err)
                                          : rung_fail(err, RUNG_E_NOMEM, "out of memory");
    if (st == RUNG_OK)
        *session = q;
    else
        queries_close(q);
    return st;
}

static rung_status queries_run(rung_buf *b, rung_tool_outcome *out, void *session,
                               const char *block, size_t n, const rung_code_limits *limits,
                               rung_error *err) {
    queries *q = session;
    (void)limits;
    char *text = text_of(block, n, err);
    if (!text) return RUNG_E_NOMEM;
    rung_sql_tally before = rung_sql_session_tally(q->s);
    double t0 = rung_now();
    rung_status st = rung_sql_session_query(b, q->s, text, err);
    rung_free(text);
    rung_sql_tally after = rung_sql_session_tally(q->s);
    bool ok = after.n_ok > before.n_ok;
    *out = (rung_tool_outcome){.ok = ok,
                               .alive = true,
                               .reason = ok                                  ? "passed"
                                         : after.n_issued == before.n_issued ? "limit"
                                                                             : "error",
                               .wall_s = rung_now() - t0};
    return st;
}

static void queries_members(rung_buf *b, void *session) {
    rung_sql_tally n = rung_sql_session_tally(((queries *)session)->s);
    rung_buf_printf(b, ",\"n_issued\":%d,\"n_ok\":%d,\"n_distinct\":%d", n.n_issued, n.n_ok,
                    n.n_distinct);
}

static rung_status queries_reset(void *session, rung_error *err) {
    return queries_begin(session, err);
}

/* ---- retrieve: the searches of one solution */

typedef struct searches {
    rung_search_session *s;
    rung_index *x;
    int32_t n_max, k;
    rung_rank by;
} searches;

static void searches_close(void *session) {
    searches *r = session;
    if (!r) return;
    rung_search_session_free(r->s);
    rung_free(r);
}

static rung_status searches_reset(void *session, rung_error *err) {
    searches *r = session;
    rung_search_session *fresh;
    RUNG_TRY(rung_search_session_new(&fresh, r->x, r->n_max, r->k, r->by, err));
    rung_search_session_free(r->s);
    r->s = fresh;
    return RUNG_OK;
}

static rung_status searches_open(void **session, const rung_tool_opts *opts, rung_error *err) {
    rung_tool_opts o;
    *session = NULL;
    RUNG_TRY(opts_of(&o, opts, err));
    if (!o.index) return rung_fail(err, RUNG_E_INVAL, "the tool retrieve needs documents");
    searches *r = rung_calloc(1, sizeof *r);
    if (!r) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    r->x = o.index;
    r->n_max = o.n_max;
    r->k = o.n_shown;
    r->by = o.by;
    rung_status st = searches_reset(r, err);
    if (st == RUNG_OK)
        *session = r;
    else
        searches_close(r);
    return st;
}

static rung_status searches_run(rung_buf *b, rung_tool_outcome *out, void *session,
                                const char *block, size_t n, const rung_code_limits *limits,
                                rung_error *err) {
    searches *r = session;
    (void)limits;
    char *text = text_of(block, n, err);
    if (!text) return RUNG_E_NOMEM;
    rung_search_tally before = rung_search_session_tally(r->s);
    double t0 = rung_now();
    rung_status st = rung_search_session_query(b, r->s, text, err);
    rung_free(text);
    rung_search_tally after = rung_search_session_tally(r->s);
    bool ok = after.n_found > before.n_found;
    *out = (rung_tool_outcome){.ok = ok,
                               .alive = true,
                               .reason = ok                                  ? "passed"
                                         : after.n_issued == before.n_issued ? "limit"
                                                                             : "nothing found",
                               .wall_s = rung_now() - t0};
    return st;
}

static void searches_members(rung_buf *b, void *session) {
    rung_search_tally n = rung_search_session_tally(((searches *)session)->s);
    rung_buf_printf(b, ",\"n_issued\":%d,\"n_found\":%d,\"n_distinct\":%d", n.n_issued, n.n_found,
                    n.n_distinct);
}

/* name, help, what a block is, the row's functions, rebuild */
#define TOOLS(X)                                                                                   \
    X("python", "a Python namespace in the sandbox", "Python", python, python_rebuild)             \
    X("calculator", "exact arithmetic with names",                                                 \
      "a line each of an expression, name = "                                                      \
      "expression or a relation",                                                                  \
      calculator, NULL)                                                                            \
    X("sql", "queries of a database, read-only", "a query", queries, NULL)                         \
    X("retrieve", "searches of a set of documents", "words to look for", searches, NULL)
static const rung_tool tools[] = {
#define X(name, help, block, row, rebuild)                                                         \
    {name, help, block, row##_open, row##_run, row##_members, row##_reset, rebuild, row##_close},
    TOOLS(X)
#undef X
};
enum { N_TOOLS = sizeof tools / sizeof *tools };

const rung_tool *rung_tool_at(size_t i) {
    return i < N_TOOLS ? &tools[i] : NULL;
}

const rung_tool *rung_tool_find(const char *name) {
    for (size_t i = 0; name && i < N_TOOLS; i++)
        if (strcmp(tools[i].name, name) == 0) return &tools[i];
    return NULL;
}
