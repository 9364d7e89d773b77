/* One line out for every case in (docs/verifiers.md). */
#include "cli/verify_rows.h"
#include "rung/verdict.h"
#include <stdio.h>
#include <string.h>

typedef struct tally {
    int64_t n[3], bad, changed;
    rung_error first_bad;
} tally;

void cli_case_str(rung_buf *b, const char *key, const char *v) {
    rung_buf_printf(b, ",\"%s\":", key);
    rung_buf_json_str(b, v ? v : "", v ? strlen(v) : 0);
}

rung_status cli_case_bad(cli_call *c, const char *detail, rung_error *err) {
    rung_buf b;
    rung_buf_init(&b, 1 << 20);
    rung_buf_str(
        &b, "{\"v\":1,\"verdict\":\"unknown\",\"rule\":\"\",\"reason\":\"bad row\",\"key\":\"\","
            "\"us\":0");
    cli_case_str(&b, "detail", detail);
    rung_buf_str(&b, "}\n");
    rung_status st = rung_buf_check(&b, err);
    if (st == RUNG_OK) st = cli_out(c->app, b.data, b.n, err);
    rung_buf_clear(&b);
    return st;
}

rung_status cli_verify_end(cli_call *c, rung_verdict v, const char *rule, const char *reason,
                           rung_error *err) {
    if (!c->app->json) {
        RUNG_TRY(cli_outf(c->app, err, "%s", rung_verdict_name(v)));
        if (rule && *rule) RUNG_TRY(cli_outf(c->app, err, "  (%s)", rule));
        RUNG_TRY(cli_outf(c->app, err, "\n"));
    }
    if (v == RUNG_VERDICT_CORRECT) return RUNG_OK;
    if (v == RUNG_VERDICT_WRONG) return RUNG_E_ANSWER_NO;
    return rung_fail(err, RUNG_E_FORMAT, "no verdict: %s", reason && *reason ? reason : "unknown");
}

static rung_status one(cli_call *c, tally *n, const cli_case *k, const char *where, cli_case_fn fn,
                       void *ud, rung_error *err) {
    rung_buf members, line;
    rung_error e = RUNG_ERROR_INIT;
    rung_verdict v = RUNG_VERDICT_UNKNOWN;
    rung_buf_init(&members, 64u << 20);
    rung_buf_init(&line, 64u << 20);
    rung_status st = fn(&members, &v, k, ud, &e);
    if (st == RUNG_E_FORMAT || st == RUNG_E_NOT_FOUND) {
        rung_error told = RUNG_ERROR_INIT;
        rung_fail(&told, RUNG_E_FORMAT, "%s: %s", where, e.what);
        if (n->bad++ == 0) n->first_bad = told;
        cli_say(c->app, "rejected: %s", told.what);
        rung_buf_reset(&members);
        rung_buf_str(&members, ",\"rule\":\"\",\"reason\":\"bad row\",\"key\":\"\",\"us\":0");
        cli_case_str(&members, "detail", e.what);
        v = RUNG_VERDICT_UNKNOWN;
    } else if (st != RUNG_OK) {
        if (err) *err = e;
        goto out;
    } else {
        n->n[v]++;
    }
    rung_buf_printf(&line, "{\"v\":1,\"verdict\":\"%s\"", rung_verdict_name(v));
    rung_buf_append(&line, members.data ? members.data : "", members.n);
    rung_buf_str(&line, "}\n");
    st = rung_buf_check(&members, err);
    if (st == RUNG_OK) st = rung_buf_check(&line, err);
    if (st == RUNG_OK) st = cli_out(c->app, line.data, line.n, err);
out:
    rung_buf_clear(&members);
    rung_buf_clear(&line);
    return st;
}

static rung_status sum_up(cli_call *c, const tally *n, const char *what, cli_case_sums sums,
                          void *ud, double t0, rung_error *err) {
    int64_t all = n->n[0] + n->n[1] + n->n[2];
    cli_result_open(c, NULL);
    cli_result_int(c, "n", all);
    cli_result_int(c, "n_correct", n->n[RUNG_VERDICT_CORRECT]);
    cli_result_int(c, "n_wrong", n->n[RUNG_VERDICT_WRONG]);
    cli_result_int(c, "n_unknown", n->n[RUNG_VERDICT_UNKNOWN]);
    cli_result_int(c, "n_rejected", n->bad);
    if (sums) sums(c, ud);
    cli_result_close(c, t0);
    rung_buf_printf(&c->summary, "%lld %s: %lld correct, %lld wrong, %lld unknown; %lld rejected",
                    (long long)all, what, (long long)n->n[RUNG_VERDICT_CORRECT],
                    (long long)n->n[RUNG_VERDICT_WRONG], (long long)n->n[RUNG_VERDICT_UNKNOWN],
                    (long long)n->bad);
    if (n->bad == 0) return RUNG_OK;
    if (err) *err = n->first_bad;
    return RUNG_E_FORMAT;
}

static rung_status no_row(rung_buf *members, rung_verdict *v, const cli_case *k, void *ud,
                          rung_error *err) {
    (void)members, (void)v, (void)k;
    if (err) *err = *(const rung_error *)ud;
    return RUNG_E_FORMAT;
}

rung_status cli_verify_file(cli_call *c, const char *path, cli_case_fn fn, cli_case_sums sums,
                            void *ud, rung_error *err) {
    rung_jsonl *r;
    yyjson_val *row;
    tally n = {.first_bad = RUNG_ERROR_INIT};
    char where[300];
    double t0 = rung_now();
    rung_status st;
    RUNG_TRY(rung_jsonl_open(&r, path, 0, err));
    for (;;) {
        rung_error e = RUNG_ERROR_INIT;
        if (cli_interrupted) {
            st = rung_fail(err, RUNG_E_CANCELLED, "stopped");
            break;
        }
        st = rung_jsonl_next(&row, r, &e);
        cli_case k = {.row = row};
        snprintf(where, sizeof where, "%.250s:%lld", path, (long long)rung_jsonl_line(r));
        if (st == RUNG_OK)
            st = one(c, &n, &k, where, fn, ud, err);
        else if (st == RUNG_E_FORMAT)
            st = one(c, &n, &k, where, no_row, &e, err);
        else if (st != RUNG_DONE && err)
            *err = e;
        if (st != RUNG_OK) break;
    }
    rung_jsonl_close(r);
    return st == RUNG_DONE ? sum_up(c, &n, "cases", sums, ud, t0, err) : st;
}

rung_status cli_case_keep(const cli_case *k, const rung_answer *answer, const char *key,
                          const rung_check *check, const char *version, double us,
                          rung_error *err) {
    rung_trace *t = k->again;
    if (!t) return RUNG_OK;
    t->answer = rung_arena_strndup(k->a, answer->text, strlen(answer->text));
    t->answer_key = rung_arena_strndup(k->a, key, strlen(key));
    t->rule = answer->rule ? answer->rule : "";
    t->verdict = check->verdict;
    t->decided_by = check->rule ? check->rule : "";
    t->reason = check->reason ? check->reason : "";
    t->verifier = version;
    t->judged_us = (int64_t)us + 1;
    if (!t->answer || !t->answer_key) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    return RUNG_OK;
}

rung_status cli_store_end(rung_store *s, rung_status st, rung_error *err) {
    if (st == RUNG_OK) return rung_store_commit(s, err);
    rung_store_rollback(s);
    return st;
}

typedef struct stored {
    cli_case_fn fn;
    void *ud;
    tally *n;
    rung_store *s;
} stored;

static rung_status with_ids(rung_buf *members, rung_verdict *v, const cli_case *k, void *ud,
                            rung_error *err) {
    stored *s = ud;
    rung_buf_printf(members, ",\"trace\":%lld,\"problem\":%lld,\"stored\":\"%s\"",
                    (long long)k->t->id, (long long)k->p->id, rung_verdict_name(k->t->verdict));
    RUNG_TRY(s->fn(members, v, k, s->ud, err));
    s->n->changed += *v != k->t->verdict;
    return k->again ? rung_trace_rejudge(s->s, k->again, err) : RUNG_OK;
}

rung_status cli_verify_stored(cli_call *c, const char *verifier, cli_case_fn fn, cli_case_sums sums,
                              void *ud, rung_error *err) {
    rung_store *s;
    rung_filter f;
    rung_iter *it = NULL;
    const rung_trace *t;
    rung_problem p;
    tally n = {.first_bad = RUNG_ERROR_INIT};
    bool write = cli_flag(c, "write");
    double t0 = rung_now();
    char where[64];
    RUNG_TRY(cli_store(&s, c, write ? 0 : RUNG_STORE_READ_ONLY, err));
    RUNG_TRY(cli_filter(&f, c, s, err));
    stored w = {fn, ud, &n, s};
    rung_arena *a = rung_arena_new(0);
    if (!a) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    rung_status st = rung_trace_iter(&it, s, &f, err);
    bool begun = st == RUNG_OK && write;
    if (begun) st = rung_store_begin(s, err);
    begun = begun && st == RUNG_OK;
    while (st == RUNG_OK && (st = rung_trace_next(&t, it, err)) == RUNG_OK) {
        rung_arena_reset(a);
        st = rung_problem_get(s, &p, a, t->problem, err);
        if (st != RUNG_OK) break;
        if (strcmp(p.verifier, verifier) != 0) continue;
        rung_trace again = *t;
        cli_case k = {.p = &p, .t = t, .a = a, .again = write ? &again : NULL};
        snprintf(where, sizeof where, "trace %lld", (long long)t->id);
        st = one(c, &n, &k, where, with_ids, &w, err);
        if (st == RUNG_OK && cli_interrupted) st = rung_fail(err, RUNG_E_CANCELLED, "stopped");
    }
    rung_iter_free(it);
    rung_arena_free(a);
    if (begun) {
        rung_status kept = cli_store_end(s, st == RUNG_DONE ? RUNG_OK : st, err);
        if (st == RUNG_DONE && kept != RUNG_OK) st = kept;
    }
    if (st != RUNG_DONE) return st;
    if (n.n[0] + n.n[1] + n.n[2] + n.bad == 0) {
        rung_fail(err, RUNG_E_NOT_FOUND, "no trace of a problem with verifier %s matches",
                  verifier);
        return rung_error_hint(err, "look at --run, --set and --split");
    }
    st = sum_up(c, &n, "traces", sums, ud, t0, err);
    rung_buf_printf(&c->summary, "; %lld differ from what is stored", (long long)n.changed);
    return st;
}
