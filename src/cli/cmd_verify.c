/* rung verify: the verdict of one pair, or of every line of a JSONL file. */
#include "base/json.h"
#include "cli/verify_rows.h"
#include "rung/trace.h"
#include "rung/verdict.h"
#include "rung/verify.h"
#include <string.h>

static const cli_opt verify_opts[] = {
    OPT_PATH("file", "", CLI_KEY,
             "JSON lines with \"gold\" and \"answer\" (or \"text\", from which it is taken); - is "
             "standard input"),
    OPT_STR("gold", "", "TEXT", CLI_KEY, "the right answer of one pair"),
    OPT_STR("answer", "", "TEXT", CLI_KEY, "the answer to judge"),
    OPT_STR("text", "", "TEXT", CLI_KEY, "a whole solution, from which the answer is taken"),
    OPT_NAMES("verifier", "math", cli_names_verifiers, CLI_KEY, "who judges"),
    OPT_BOOL("stored", "false", CLI_KEY,
             "the traces of the store that the filter names, each by its problem's own verifier"),
    OPT_CLI_WRITE,
    OPT_BOOL("explain", "false", CLI_KEY, "say how both sides were read and what decided"),
};
const cli_group cli_verify_group = CLI_GROUP_OF("verify", verify_opts);

static const cli_opt verify_math_opts[] = {
    OPT_PATH("in", "", CLI_KEY,
             "JSON lines with \"gold\" and \"answer\" (or \"text\", from which it is taken); - is "
             "standard input"),
    OPT_STR("gold", "", "TEXT", CLI_KEY, "the right answer of one pair"),
    OPT_STR("answer", "", "TEXT", CLI_KEY, "the answer to judge"),
    OPT_STR("text", "", "TEXT", CLI_KEY, "a whole solution, from which the answer is taken"),
    OPT_BOOL("rounded", "false", CLI_KEY,
             "the problem asks for a rounded decimal: half a unit of the reference's last digit"),
    OPT_BOOL("explain", "false", CLI_KEY, "say how both sides were read and what decided"),
    OPT_BOOL("stored", "false", CLI_KEY, "the traces of the store that the filter names"),
    OPT_CLI_WRITE,
};
const cli_group cli_verify_math_group = CLI_GROUP_OF("verify math", verify_math_opts);

typedef struct judge_by {
    const rung_verifier *v;
    const rung_math_opts *math; /* NULL: v->check */
    const char *meta;           /* of a stored problem; NULL none */
    bool explain, write;        /* write: the store gets what was found */
} judge_by;

typedef struct judged {
    const char *text; /* the answer, however long */
    rung_answer answer;
    rung_check check;
    char key[128];
    double us; /* extraction and check; the key is made again for the line and not timed */
} judged;

static void judge(judged *out, const judge_by *by, const char *gold, const char *answer,
                  const char *text) {
    const rung_verifier *v = by->v;
    memset(out, 0, sizeof *out);
    out->answer.rule = "given";
    double t0 = rung_now();
    if (answer) {
        size_t n = strlen(answer);
        if (n >= sizeof out->answer.text) n = sizeof out->answer.text - 1;
        memcpy(out->answer.text, answer, n);
        out->text = answer;
    } else {
        v->extract(&out->answer, text, strlen(text));
        out->text = out->answer.text;
    }
    if (by->math) {
        rung_math_check(&out->check, gold, out->text, by->math);
    } else {
        rung_verifier_check(&out->check, v, by->meta, gold, out->text);
    }
    out->us = (rung_now() - t0) * 1e6;
    rung_verifier_key(out->key, v, by->meta, out->text);
}

/* What tells the two sides apart; rung_free() it. Other verifiers than math compare keys. */
static char *explained(const judge_by *by, const char *gold, const judged *j) {
    rung_buf b;
    char key[128];
    size_t n;
    if (strcmp(by->v->name, "math") == 0) return rung_math_explain(gold, j->text);
    rung_buf_init(&b, 1 << 20);
    rung_verifier_key(key, by->v, by->meta, gold);
    rung_buf_printf(&b, "gold: key %s\nanswer: %s%s, key %s\n", *key ? key : "(none)",
                    j->text[0] ? "found by " : "none found", j->text[0] ? j->answer.rule : "",
                    *j->key ? j->key : "(none)");
    rung_buf_printf(&b, "the keys are %s; %s by %s\n",
                    *key && strcmp(key, j->key) == 0 ? "the same" : "not the same",
                    rung_verdict_name(j->check.verdict), by->v->version);
    return rung_buf_take(&b, &n);
}

static void str_field(rung_buf *b, const char *key, const char *v) {
    rung_buf_printf(b, ",\"%s\":", key);
    rung_buf_json_str(b, v ? v : "", v ? strlen(v) : 0);
}

/* The members of a line, without its braces. */
static void judged_json(rung_buf *b, const judged *j, const judge_by *by, const char *gold) {
    const rung_verifier *v = by->v;
    rung_buf_str(b, "\"v\":1");
    str_field(b, "verdict", rung_verdict_name(j->check.verdict));
    str_field(b, "gold", gold);
    str_field(b, "answer", j->text);
    str_field(b, "extracted_by", j->answer.rule);
    str_field(b, "rule", j->check.rule);
    str_field(b, "reason", j->check.reason);
    str_field(b, "key", j->key);
    rung_buf_printf(b, ",\"flexible\":%s,\"us\":%.1f", j->answer.flexible ? "true" : "false",
                    j->us);
    str_field(b, "verifier", v->name);
    str_field(b, "version", v->version);
    if (!by->explain) return;
    char *text = explained(by, gold, j);
    str_field(b, "explain", text);
    rung_free(text);
}

static rung_status one_pair(cli_call *c, const judge_by *v, rung_error *err) {
    const char *gold = cli_str(c, "gold"), *answer = cli_str(c, "answer");
    const char *text = cli_str(c, "text");
    judged j;
    if (!gold || (!answer && !text)) {
        rung_fail(err, RUNG_E_INVAL, "a pair needs --gold and --answer or --text");
        return rung_error_hint(err,
                               "rung verify --gold 1/2 --answer 0.50, or a file of JSON lines");
    }
    judge(&j, v, gold, answer, text);
    rung_buf_str(&c->result, "{");
    judged_json(&c->result, &j, v, gold);
    rung_buf_str(&c->result, "}");
    if (!c->app->json) {
        char *why = v->explain ? explained(v, gold, &j) : NULL;
        rung_status st = why ? cli_outf(c->app, err, "%s", why) : RUNG_OK;
        rung_free(why);
        if (st != RUNG_OK) return st;
        RUNG_TRY(cli_outf(c->app, err, "%s", rung_verdict_name(j.check.verdict)));
        if (j.check.rule && *j.check.rule) RUNG_TRY(cli_outf(c->app, err, "  (%s)", j.check.rule));
        RUNG_TRY(cli_outf(c->app, err, "\n"));
    }
    if (j.check.verdict == RUNG_VERDICT_CORRECT) return RUNG_OK;
    if (j.check.verdict == RUNG_VERDICT_WRONG) return RUNG_E_ANSWER_NO;
    return rung_fail(err, RUNG_E_FORMAT, "no verdict: %s",
                     j.check.reason && *j.check.reason ? j.check.reason : "unknown");
}

typedef struct counts {
    int64_t n, correct, wrong, unknown, bad, flexible, correct_flexible, changed;
} counts;

static void count(counts *n, const judged *j) {
    n->n++;
    n->correct += j->check.verdict == RUNG_VERDICT_CORRECT;
    n->wrong += j->check.verdict == RUNG_VERDICT_WRONG;
    n->unknown += j->check.verdict == RUNG_VERDICT_UNKNOWN;
    n->flexible += j->answer.flexible;
    n->correct_flexible += j->answer.flexible && j->check.verdict == RUNG_VERDICT_CORRECT;
}

static void counts_result(cli_call *c, const counts *n) {
    cli_result_int(c, "n", n->n);
    cli_result_int(c, "n_correct", n->correct);
    cli_result_int(c, "n_wrong", n->wrong);
    cli_result_int(c, "n_unknown", n->unknown);
    cli_result_int(c, "n_flexible", n->flexible);
    cli_result_int(c, "n_correct_strict", n->correct - n->correct_flexible);
}

static rung_status print_line(cli_call *c, rung_buf *b, rung_error *err) {
    rung_status st = rung_buf_check(b, err);
    if (st == RUNG_OK) st = cli_out(c->app, b->data, b->n, err);
    rung_buf_clear(b);
    return st;
}

static rung_status one_line(cli_call *c, const judge_by *v, yyjson_val *row, counts *n,
                            const char *path, int64_t line, rung_error *err) {
    const char *gold = rung_json_str(row, "gold", NULL);
    const char *answer = rung_json_str(row, "answer", NULL);
    const char *text = rung_json_str(row, "text", NULL);
    if (!gold || (!answer && !text)) {
        return rung_fail(err, RUNG_E_FORMAT,
                         "%s:%lld: needs the strings \"gold\" and \"answer\" or \"text\"", path,
                         (long long)line);
    }
    judged j;
    rung_buf b;
    judge(&j, v, gold, answer, text);
    count(n, &j);
    rung_buf_init(&b, 64u << 20);
    rung_buf_str(&b, "{");
    judged_json(&b, &j, v, gold);
    rung_buf_str(&b, "}\n");
    return print_line(c, &b, err);
}

static rung_status whole_file(cli_call *c, const judge_by *v, const char *path, rung_error *err) {
    rung_jsonl *r;
    yyjson_val *row;
    counts n = {0};
    rung_error first = RUNG_ERROR_INIT;
    rung_status st;
    RUNG_TRY(rung_jsonl_open(&r, path, 0, err));
    for (;;) {
        rung_error e = RUNG_ERROR_INIT;
        st = rung_jsonl_next(&row, r, &e);
        if (st == RUNG_OK) st = one_line(c, v, row, &n, path, rung_jsonl_line(r), &e);
        if (st == RUNG_E_FORMAT) {
            if (n.bad++ == 0) first = e;
            cli_say(c->app, "rejected: %s", e.what);
            rung_status said = cli_case_bad(c, e.what, err);
            if (said == RUNG_OK) continue;
            st = said;
            break;
        }
        if (st != RUNG_OK) {
            if (st != RUNG_DONE && err) *err = e;
            break;
        }
    }
    rung_jsonl_close(r);
    if (st != RUNG_DONE) return st;
    cli_result_open(c, NULL);
    counts_result(c, &n);
    cli_result_int(c, "n_rejected", n.bad);
    cli_result_close(c, 0);
    rung_buf_printf(&c->summary,
                    "%lld pairs: %lld correct, %lld wrong, %lld unknown; %lld rejected",
                    (long long)n.n, (long long)n.correct, (long long)n.wrong, (long long)n.unknown,
                    (long long)n.bad);
    if (n.bad == 0) return RUNG_OK;
    if (err) *err = first;
    return RUNG_E_FORMAT;
}

/* ---- traces of the store, judged again */

static rung_status stored_line(cli_call *c, cli_table *table, const judged *j, const judge_by *by,
                               const rung_problem *p, const rung_trace *t, rung_error *err) {
    if (!c->app->json) {
        cli_cell(table, "%lld", (long long)p->id);
        cli_cell(table, "%lld", (long long)t->id);
        cli_cell(table, "%s", rung_verdict_name(j->check.verdict));
        cli_cell(table, "%s", rung_verdict_name(t->verdict));
        cli_cell(table, "%s", j->answer.rule);
        cli_cell(table, "%s", j->check.rule);
        cli_cell(table, "%s", j->check.reason ? j->check.reason : "");
        rung_buf text[2];
        const char *const raw[2] = {p->answer, j->text};
        for (int i = 0; i < 2; i++) {
            size_t n = strlen(raw[i]);
            rung_buf_init(&text[i], 4096);
            cli_clean(&text[i], raw[i], n > 40 ? 40 : n);
            cli_cell(table, "%s", text[i].data ? text[i].data : "");
            rung_buf_clear(&text[i]);
        }
        return RUNG_OK;
    }
    rung_buf b;
    rung_buf_init(&b, 64u << 20);
    rung_buf_printf(&b, "{\"problem\":%lld,\"trace\":%lld,", (long long)p->id, (long long)t->id);
    judged_json(&b, j, by, p->answer);
    str_field(&b, "stored", rung_verdict_name(t->verdict));
    rung_buf_str(&b, "}\n");
    return print_line(c, &b, err);
}

/* again: as rung_trace_judge left it; the verdict is j's, whose options may be others. */
static rung_status keep(rung_store *s, rung_trace *again, const judged *j, const judge_by *by,
                        rung_error *err) {
    char version[64];
    bool rounded = by->math && by->math->rounded;
    snprintf(version, sizeof version, "%s%s", by->v->version, rounded ? "+rounded" : "");
    again->verdict = j->check.verdict;
    again->decided_by = j->check.rule ? j->check.rule : "";
    again->reason = j->check.reason ? j->check.reason : "";
    again->judged_us = (int64_t)j->us + 1;
    again->verifier = version;
    return rung_trace_rejudge(s, again, err);
}

/* only: the one verifier whose problems count, NULL = all. */
static rung_status stored_trace(cli_call *c, cli_table *table, counts *n, rung_arena *a,
                                rung_store *s, const rung_trace *t, const judge_by *only,
                                rung_error *err) {
    rung_problem p;
    judged j;
    RUNG_TRY(rung_problem_get(s, &p, a, t->problem, err));
    judge_by by = *only;
    const rung_verifier *v = rung_verifier_find(p.verifier);
    if (!by.v) by.v = v;
    if (!p.answer[0] || !by.v || by.v != v) {
        n->bad++; /* nothing to compare with, or not by this verifier */
        return RUNG_OK;
    }
    by.meta = p.meta;
    judge(&j, &by, p.answer, NULL, t->text);
    rung_trace again = *t; /* knows what an answer of a text that was cut is worth: nothing */
    RUNG_TRY(rung_trace_judge(&again, a, &p, err));
    if (!again.answer[0] && j.answer.text[0]) {
        j = (judged){.text = "",
                     .answer = {.rule = again.rule},
                     .check = {RUNG_VERDICT_UNKNOWN, "", again.reason},
                     .us = j.us};
    }
    count(n, &j);
    n->changed += j.check.verdict != t->verdict;
    if (by.write) RUNG_TRY(keep(s, &again, &j, &by, err));
    return stored_line(c, table, &j, &by, &p, t, err);
}

static rung_status stored(cli_call *c, const judge_by *only, rung_error *err) {
    static const char *const head[] = {"problem", "trace",  "verdict", "stored", "extracted",
                                       "rule",    "reason", "gold",    "answer"};
    rung_store *s;
    rung_filter f;
    rung_iter *it;
    const rung_trace *t;
    cli_table table;
    counts n = {0};
    rung_status st;
    RUNG_TRY(cli_store(&s, c, only->write ? 0 : RUNG_STORE_READ_ONLY, err));
    RUNG_TRY(cli_filter(&f, c, s, err));
    RUNG_TRY(rung_trace_iter(&it, s, &f, err));
    if (only->write) {
        st = rung_store_begin(s, err);
        if (st != RUNG_OK) {
            rung_iter_free(it);
            return st;
        }
    }
    cli_table_init(&table, head, CLI_N(head));
    while ((st = rung_trace_next(&t, it, err)) == RUNG_OK) {
        rung_arena *a = rung_arena_new(0);
        st = a ? stored_trace(c, &table, &n, a, s, t, only, err)
               : rung_fail(err, RUNG_E_NOMEM, "out of memory");
        rung_arena_free(a);
        if (st == RUNG_OK && cli_interrupted) st = rung_fail(err, RUNG_E_CANCELLED, "stopped");
        if (st != RUNG_OK) break;
    }
    rung_iter_free(it);
    if (only->write) {
        rung_status kept = cli_store_end(s, st == RUNG_DONE ? RUNG_OK : st, err);
        if (st == RUNG_DONE && kept != RUNG_OK) st = kept;
    }
    if (st == RUNG_DONE && !c->app->json)
        st = cli_table_print(&table, c->app, err);
    else
        rung_buf_clear(&table.cells);
    if (st != RUNG_OK && st != RUNG_DONE) return st;
    cli_result_open(c, NULL);
    counts_result(c, &n);
    cli_result_int(c, "n_changed", n.changed);
    cli_result_int(c, "n_left_out", n.bad);
    if (only->write) cli_result_int(c, "n_written", n.n);
    cli_result_close(c, 0);
    rung_buf_printf(&c->summary,
                    "%lld traces: %lld correct, %lld wrong, %lld unknown; %lld otherwise than "
                    "stored; %lld left out",
                    (long long)n.n, (long long)n.correct, (long long)n.wrong, (long long)n.unknown,
                    (long long)n.changed, (long long)n.bad);
    return RUNG_OK;
}

static bool from_store(const cli_call *c) {
    return cli_flag(c, "stored") || cli_is_set(c, "set") || cli_is_set(c, "run");
}

/* --write goes with the store, and with nothing else. */
static rung_status wants_store(const cli_call *c, const char *path, rung_error *err) {
    if (!cli_flag(c, "write") || (!path && from_store(c))) return RUNG_OK;
    rung_fail(err, RUNG_E_INVAL, "--write keeps verdicts of stored traces");
    return rung_error_hint(err, "add --stored, --set or --run");
}

rung_status cli_verify(cli_call *c, rung_error *err) {
    judge_by by = {.v = NULL, .explain = cli_flag(c, "explain"), .write = cli_flag(c, "write")};
    const char *path = cli_str(c, "file");
    RUNG_TRY(wants_store(c, path, err));
    if (!path && from_store(c)) return stored(c, &by, err);
    by.v = rung_verifier_find(cli_str(c, "verifier"));
    if (!by.v) return rung_fail(err, RUNG_E_INVAL, "no verifier %s", cli_str(c, "verifier"));
    return path ? whole_file(c, &by, path, err) : one_pair(c, &by, err);
}

rung_status cli_verify_math(cli_call *c, rung_error *err) {
    rung_math_opts o = RUNG_MATH_OPTS_INIT;
    judge_by by = {.v = rung_verifier_find("math"),
                   .math = &o,
                   .explain = cli_flag(c, "explain"),
                   .write = cli_flag(c, "write")};
    const char *path = cli_str(c, "in");
    RUNG_TRY(wants_store(c, path, err));
    o.rounded = cli_flag(c, "rounded");
    if (!path && from_store(c)) return stored(c, &by, err);
    return path ? whole_file(c, &by, path, err) : one_pair(c, &by, err);
}
