/* rung verify sql: queries against a reference on their database. */
#include "cli/verify_rows.h"
#include "rung/sql.h"
#include "rung/verify.h"
#include <stdio.h>
#include <string.h>

static const cli_opt sql_opts[] = {
    OPT_PATH("in", "", CLI_KEY,
             "JSON lines with \"gold\", \"answer\" (or \"text\") and \"db\"; - is standard input"),
    OPT_STR("gold", "", "SQL", CLI_KEY, "the reference query of one pair"),
    OPT_STR("answer", "", "SQL", CLI_KEY, "the query to judge"),
    OPT_STR("text", "", "TEXT", CLI_KEY, "a whole solution, from which the query is taken"),
    OPT_STR("db", "", "FILE|NAME", CLI_KEY, "the database: a file, or a name below --folder"),
    OPT_PATH("script", "", CLI_KEY, "a file of CREATE and INSERT that makes the database instead"),
    OPT_STR("folder", "", "FOLDER", CLI_KEY,
            "where databases lie, as NAME/NAME.sqlite (Spider), NAME.sqlite or NAME.db"),
    OPT_CHOICE("by", "execution", "execution|exact", CLI_KEY,
               "what the verdict goes by: the results, or Spider's exact-set match"),
    OPT_BOOL("columns-in-order", "false", CLI_KEY, "columns are not put in another order"),
    OPT_INT("work", "20000000", "OPS", 1000, 1e15, CLI_KEY, "operations of SQLite's machine"),
    OPT_INT("rows", "10000", "ROWS", 1, 1e7, CLI_KEY, "rows of a result"),
    OPT_INT("memory", "256", "MIB", 8, 65536, CLI_KEY, "memory of a query"),
    OPT_BOOL("stored", "false", CLI_KEY, "judge the traces of the store that the filters name"),
    OPT_CLI_WRITE,
    OPT_BOOL("explain", "false", CLI_KEY, "print both results and the parts (one pair)"),
};
const cli_group cli_verify_sql_group = CLI_GROUP_OF("verify sql", sql_opts);

typedef struct sqler {
    rung_sql *s;
    const rung_verifier *v;
    rung_sql_db db; /* of the call; {NULL, NULL} none */
    rung_buf script;
    rung_arena *a;
    rung_sql_check_opts opts;
    bool by_exact;
    int64_t n_exact[3], n_gold_empty, n_gold_tied;
} sqler;

typedef struct judged {
    rung_answer answer;
    rung_sql_check check;
    rung_sql_exact exact;
    rung_verdict verdict;
    const char *rule, *reason, *detail;
    char key[128];
    double us;
} judged;

static rung_status judge(judged *j, sqler *q, const rung_sql_db *db, const char *gold,
                         const char *answer, const char *text, rung_error *err) {
    memset(j, 0, sizeof *j);
    j->answer.rule = "given";
    if (answer) {
        size_t n = strlen(answer);
        if (n >= sizeof j->answer.text)
            return rung_fail(err, RUNG_E_FORMAT, "the answer is longer than %zu bytes",
                             sizeof j->answer.text - 1);
        memcpy(j->answer.text, answer, n);
    } else {
        q->v->extract(&j->answer, text, strlen(text));
    }
    if (!db->file && !db->script) {
        rung_fail(err, RUNG_E_FORMAT, "no database to run it on");
        return rung_error_hint(err, "name one: --db FILE, --script FILE, or \"db\" in each line");
    }
    double t0 = rung_now();
    RUNG_TRY(rung_sql_match(&j->check, q->s, db, gold, j->answer.text, &q->opts, err));
    RUNG_TRY(rung_sql_exact_match(&j->exact, q->s, db, gold, j->answer.text, err));
    j->us = (rung_now() - t0) * 1e6;
    RUNG_TRY(rung_sql_key(j->key, q->s, db, j->answer.text, err));
    j->verdict = q->by_exact ? j->exact.verdict : j->check.verdict;
    j->rule = !q->by_exact ? j->check.rule : j->verdict == RUNG_VERDICT_UNKNOWN ? "" : "exact set";
    j->reason = q->by_exact ? j->exact.reason : j->check.reason;
    j->detail = q->by_exact ? j->exact.detail : j->check.detail;
    q->n_exact[j->exact.verdict]++;
    q->n_gold_empty += j->check.gold_empty;
    q->n_gold_tied += j->check.gold_tied;
    return RUNG_OK;
}

static const char *yes(bool b) {
    return b ? "true" : "false";
}

static void judged_json(rung_buf *b, const judged *j, const sqler *q, const char *gold) {
    cli_case_str(b, "gold", gold);
    cli_case_str(b, "answer", j->answer.text);
    cli_case_str(b, "extracted_by", j->answer.rule);
    cli_case_str(b, "rule", j->rule);
    cli_case_str(b, "reason", j->reason);
    cli_case_str(b, "detail", j->detail);
    cli_case_str(b, "execution", rung_verdict_name(j->check.verdict));
    cli_case_str(b, "exact", rung_verdict_name(j->exact.verdict));
    rung_buf_str(b, ",\"parts_differ\":[");
    bool first = true;
    for (int k = 0; k < RUNG_SQL_PART_COUNT; k++) {
        if (j->exact.verdict == RUNG_VERDICT_UNKNOWN || j->exact.same[k]) continue;
        rung_buf_printf(b, "%s\"%s\"", first ? "" : ",", rung_sql_part_text((rung_sql_part)k));
        first = false;
    }
    rung_buf_printf(b,
                    "],\"ordered\":%s,\"gold_empty\":%s,\"gold_tied\":%s,\"gold_rows\":%d,"
                    "\"answer_rows\":%d",
                    yes(j->check.ordered), yes(j->check.gold_empty), yes(j->check.gold_tied),
                    j->check.gold_rows, j->check.answer_rows);
    cli_case_str(b, "key", j->key);
    rung_buf_printf(b, ",\"flexible\":%s,\"us\":%.1f", yes(j->answer.flexible), j->us);
    cli_case_str(b, "verifier", q->v->name);
    cli_case_str(b, "version", q->v->version);
}

/* "db" of a row: a name, a file, {"script": ..}; "db_id" as Spider has it. */
static void row_db(rung_sql_db *db, const sqler *q, yyjson_val *row) {
    yyjson_val *v = yyjson_obj_get(row, "db");
    const char *file = rung_json_str(row, "db", rung_json_str(row, "db_id", NULL));
    const char *script = yyjson_is_obj(v) ? rung_json_str(v, "script", NULL) : NULL;
    *db = file || script ? (rung_sql_db){script ? NULL : file, script} : q->db;
}

/* What judged, and by which of the two ways. */
static rung_status keep(const cli_case *k, const judged *j, const sqler *q, rung_error *err) {
    char version[64];
    rung_check check = {j->verdict, j->rule, j->reason};
    if (!k->again) return RUNG_OK;
    snprintf(version, sizeof version, "%s%s%s", q->v->version, q->by_exact ? "+exact" : "",
             q->opts.columns_in_order ? "+columns" : "");
    char *kept = rung_arena_strndup(k->a, version, strlen(version));
    if (!kept) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    return cli_case_keep(k, &j->answer, j->key, &check, kept, j->us, err);
}

static rung_status judge_case(rung_buf *members, rung_verdict *verdict, const cli_case *k, void *ud,
                              rung_error *err) {
    sqler *q = ud;
    rung_sql_db db;
    judged j;
    const char *gold, *answer = NULL, *text = NULL;
    if (k->row) {
        gold = rung_json_str(k->row, "gold", rung_json_str(k->row, "query", NULL));
        answer = rung_json_str(k->row, "answer", NULL);
        text = rung_json_str(k->row, "text", NULL);
        if (!gold || (!answer && !text))
            return rung_fail(err, RUNG_E_FORMAT,
                             "needs the strings \"gold\" and \"answer\" or \"text\"");
        row_db(&db, q, k->row);
    } else {
        gold = k->p->answer;
        text = k->t->text;
        rung_arena_reset(q->a);
        RUNG_TRY(rung_sql_db_from_meta(&db, q->a, k->p->meta, err));
    }
    RUNG_TRY(judge(&j, q, &db, gold, answer, text, err));
    *verdict = j.verdict;
    judged_json(members, &j, q, gold);
    return keep(k, &j, q, err);
}

static void sums(cli_call *c, void *ud) {
    const sqler *q = ud;
    rung_sql_counts n = rung_sql_count(q->s);
    cli_result_int(c, "n_exact", q->n_exact[RUNG_VERDICT_CORRECT]);
    cli_result_int(c, "n_exact_wrong", q->n_exact[RUNG_VERDICT_WRONG]);
    cli_result_int(c, "n_exact_unknown", q->n_exact[RUNG_VERDICT_UNKNOWN]);
    cli_result_int(c, "n_gold_empty", q->n_gold_empty);
    cli_result_int(c, "n_gold_tied", q->n_gold_tied);
    cli_result_int(c, "n_queries", n.n_run);
    cli_result_int(c, "n_cached", n.n_cached);
}

static rung_status explain(cli_call *c, sqler *q, const judged *j, const char *gold,
                           rung_error *err) {
    const char *side[] = {gold, j->answer.text}, *name[] = {"gold", "answer"};
    rung_buf b;
    rung_buf_init(&b, 16u << 20);
    rung_status st = RUNG_OK;
    for (int i = 0; i < 2 && st == RUNG_OK; i++) {
        rung_sql_result r;
        rung_buf_printf(&b, "%s: ", name[i]);
        rung_sql_normal(&b, side[i]);
        rung_buf_str(&b, "\n");
        st = rung_sql_run(&r, q->a, q->s, &q->db, side[i], err);
        if (st == RUNG_OK) rung_sql_render(&b, &r, 10);
        if (st == RUNG_OK) rung_buf_printf(&b, "work: %lld\n", (long long)r.work);
    }
    rung_buf_printf(&b, "execution: %s", rung_verdict_name(j->check.verdict));
    if (j->check.detail[0]) rung_buf_printf(&b, " (%s)", j->check.detail);
    rung_buf_printf(&b, "\nexact set: %s", rung_verdict_name(j->exact.verdict));
    if (j->exact.reason[0]) rung_buf_printf(&b, " (%s: %s)", j->exact.reason, j->exact.detail);
    for (int k = 0; j->exact.verdict == RUNG_VERDICT_WRONG && k < RUNG_SQL_PART_COUNT; k++)
        if (!j->exact.same[k])
            rung_buf_printf(&b, ", %s differs", rung_sql_part_text((rung_sql_part)k));
    rung_buf_str(&b, "\n");
    if (st == RUNG_OK) st = rung_buf_check(&b, err);
    if (st == RUNG_OK) {
        rung_buf shown; /* a database holds any bytes */
        rung_buf_init(&shown, 64u << 20);
        cli_clean(&shown, b.data, b.n);
        st = rung_buf_check(&shown, err);
        if (st == RUNG_OK) st = cli_out(c->app, shown.data, shown.n, err);
        rung_buf_clear(&shown);
    }
    rung_buf_clear(&b);
    return st;
}

static rung_status one_pair(cli_call *c, sqler *q, rung_error *err) {
    const char *gold = cli_str(c, "gold"), *answer = cli_str(c, "answer");
    const char *text = cli_str(c, "text");
    judged j;
    if (!gold || (!answer && !text)) {
        rung_fail(err, RUNG_E_INVAL, "a pair needs --gold and --answer or --text");
        return rung_error_hint(err,
                               "or --in FILE of JSON lines, or --stored for traces of the store");
    }
    if (!q->db.file && !q->db.script) {
        rung_fail(err, RUNG_E_INVAL, "a pair needs a database");
        return rung_error_hint(err, "--db FILE, or --script FILE of CREATE and INSERT");
    }
    RUNG_TRY(judge(&j, q, &q->db, gold, answer, text, err));
    rung_buf_printf(&c->result, "{\"v\":1,\"verdict\":\"%s\"", rung_verdict_name(j.verdict));
    judged_json(&c->result, &j, q, gold);
    rung_buf_str(&c->result, "}");
    if (cli_flag(c, "explain") && !c->app->json) RUNG_TRY(explain(c, q, &j, gold, err));
    if (j.check.gold_empty) cli_say(c->app, "the reference gives no row: weak evidence");
    rung_status st = cli_verify_end(c, j.verdict, j.rule, j.reason, err);
    if (st == RUNG_E_FORMAT && j.detail[0]) rung_error_hint(err, "%s", j.detail);
    return st;
}

static rung_status open_sql(sqler *q, cli_call *c, rung_error *err) {
    rung_sql_opts o = RUNG_SQL_OPTS_INIT;
    const char *script = cli_str(c, "script");
    o.limits.work = cli_int(c, "work");
    o.limits.rows = cli_int(c, "rows");
    o.limits.memory = cli_int(c, "memory") << 20;
    o.folder = cli_str(c, "folder");
    q->v = rung_verifier_find("sql");
    q->by_exact = strcmp(cli_str(c, "by"), "exact") == 0;
    q->opts = (rung_sql_check_opts)RUNG_SQL_CHECK_OPTS_INIT;
    q->opts.columns_in_order = cli_flag(c, "columns-in-order");
    q->a = rung_arena_new(0);
    if (!q->a) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    if (script) RUNG_TRY(rung_file_read(&q->script, script, err));
    if (script && cli_str(c, "db"))
        return rung_fail(err, RUNG_E_INVAL, "--db and --script name two databases");
    q->db = (rung_sql_db){script ? NULL : cli_str(c, "db"), script ? q->script.data : NULL};
    return rung_sql_new(&q->s, &o, err);
}

rung_status cli_verify_sql(cli_call *c, rung_error *err) {
    sqler q = {0};
    const char *path = cli_str(c, "in");
    rung_buf_init(&q.script, 64u << 20);
    rung_status st = open_sql(&q, c, err);
    if (st == RUNG_OK) {
        if (path)
            st = cli_verify_file(c, path, judge_case, sums, &q, err);
        else if (cli_flag(c, "stored"))
            st = cli_verify_stored(c, "sql", judge_case, sums, &q, err);
        else
            st = one_pair(c, &q, err);
    }
    rung_sql_free(q.s);
    rung_arena_free(q.a);
    rung_buf_clear(&q.script);
    return st;
}
