/* The schema, its migrations, and the list of tables and columns that export, import and check
 * walk. docs/formats.md explains every column. */
#include "store/store_impl.h"

static const char schema_1[] =
    "CREATE TABLE run("
    " id INTEGER PRIMARY KEY, name TEXT UNIQUE, kind TEXT NOT NULL, config TEXT NOT NULL,"
    " config_hash TEXT NOT NULL, seed INTEGER NOT NULL, versions TEXT NOT NULL,"
    " machine TEXT NOT NULL, started_ms INTEGER NOT NULL, finished_ms INTEGER NOT NULL DEFAULT 0,"
    " tokens INTEGER NOT NULL DEFAULT 0, wall_s REAL NOT NULL DEFAULT 0,"
    " UNIQUE(kind, config_hash)) STRICT;"

    "CREATE TABLE problem("
    " id INTEGER PRIMARY KEY, \"set\" TEXT NOT NULL, split TEXT NOT NULL, key TEXT NOT NULL,"
    " question TEXT NOT NULL, answer TEXT NOT NULL, solution TEXT NOT NULL, world TEXT NOT NULL,"
    " meta TEXT NOT NULL, verifier TEXT NOT NULL, UNIQUE(\"set\", key)) STRICT;"

    "CREATE TABLE node("
    " id INTEGER PRIMARY KEY, problem INTEGER NOT NULL REFERENCES problem(id),"
    " parent INTEGER REFERENCES node(id), depth INTEGER NOT NULL, path BLOB NOT NULL,"
    " text TEXT NOT NULL, UNIQUE(problem, path)) STRICT;"
    "CREATE INDEX node_parent ON node(parent);"

    "CREATE TABLE trace("
    " id INTEGER PRIMARY KEY, run INTEGER NOT NULL REFERENCES run(id),"
    " problem INTEGER NOT NULL REFERENCES problem(id), i INTEGER NOT NULL,"
    " generator TEXT NOT NULL, text TEXT NOT NULL, n_tok INTEGER NOT NULL, tok BLOB NOT NULL,"
    " logprob BLOB NOT NULL, n_steps INTEGER NOT NULL, answer TEXT NOT NULL,"
    " answer_key TEXT NOT NULL, verdict INTEGER NOT NULL CHECK(verdict BETWEEN 0 AND 2),"
    " verifier TEXT NOT NULL, rule TEXT NOT NULL, reason TEXT NOT NULL, stop TEXT NOT NULL,"
    " first_error INTEGER NOT NULL CHECK(first_error >= -2 AND (first_error < 0 OR first_error < "
    "n_steps)),"
    " first_error_source TEXT NOT NULL, UNIQUE(run, problem, i)) STRICT;"
    "CREATE INDEX trace_problem ON trace(problem, run, i);"

    "CREATE TABLE trace_step("
    " trace INTEGER NOT NULL REFERENCES trace(id), k INTEGER NOT NULL,"
    " node INTEGER NOT NULL REFERENCES node(id), byte_begin INTEGER NOT NULL,"
    " byte_end INTEGER NOT NULL, tok_begin INTEGER NOT NULL, tok_end INTEGER NOT NULL,"
    " PRIMARY KEY(trace, k), CHECK(byte_begin <= byte_end AND tok_begin <= tok_end))"
    " STRICT, WITHOUT ROWID;"
    "CREATE INDEX trace_step_node ON trace_step(node);"

    "CREATE TABLE rollout("
    " id INTEGER PRIMARY KEY, run INTEGER NOT NULL REFERENCES run(id),"
    " node INTEGER NOT NULL REFERENCES node(id), i INTEGER NOT NULL, text TEXT NOT NULL,"
    " answer TEXT NOT NULL, rule TEXT NOT NULL, reason TEXT NOT NULL, stop TEXT NOT NULL,"
    " verdict INTEGER NOT NULL CHECK(verdict BETWEEN 0 AND 2), n_tok INTEGER NOT NULL,"
    " logprob REAL, UNIQUE(run, node, i)) STRICT;"
    "CREATE INDEX rollout_node ON rollout(node);"

    "CREATE TABLE label("
    " id INTEGER PRIMARY KEY, run INTEGER NOT NULL REFERENCES run(id),"
    " node INTEGER NOT NULL REFERENCES node(id), source TEXT NOT NULL, labeler TEXT NOT NULL,"
    " hard INTEGER NOT NULL CHECK(hard BETWEEN -1 AND 1), soft REAL, n INTEGER NOT NULL,"
    " c INTEGER NOT NULL, n_unknown INTEGER NOT NULL, UNIQUE(run, node, source),"
    " CHECK(0 <= c AND c <= n AND n_unknown >= 0)) STRICT;"
    "CREATE INDEX label_node ON label(node, source);"

    "CREATE TABLE model("
    " id INTEGER PRIMARY KEY, name TEXT NOT NULL, path TEXT NOT NULL, hash TEXT NOT NULL,"
    " kind TEXT NOT NULL, meta TEXT NOT NULL, UNIQUE(hash, kind)) STRICT;"

    "CREATE TABLE score("
    " node INTEGER NOT NULL REFERENCES node(id), model INTEGER NOT NULL REFERENCES model(id),"
    " value REAL NOT NULL, PRIMARY KEY(node, model)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX score_model ON score(model);"

    "CREATE TABLE critique("
    " id INTEGER PRIMARY KEY, run INTEGER NOT NULL REFERENCES run(id),"
    " trace INTEGER NOT NULL REFERENCES trace(id), i INTEGER NOT NULL, critic TEXT NOT NULL,"
    " text TEXT NOT NULL, first_error INTEGER NOT NULL, meta TEXT NOT NULL,"
    " UNIQUE(run, trace, i)) STRICT;"
    "CREATE INDEX critique_trace ON critique(trace);"

    "CREATE TABLE metric("
    " run INTEGER NOT NULL REFERENCES run(id), name TEXT NOT NULL, step INTEGER NOT NULL,"
    " value REAL, PRIMARY KEY(run, name, step)) STRICT, WITHOUT ROWID;"

    "CREATE TABLE result("
    " id INTEGER PRIMARY KEY, run INTEGER NOT NULL REFERENCES run(id), kind TEXT NOT NULL,"
    " hash TEXT NOT NULL, json TEXT NOT NULL, UNIQUE(run, kind, hash)) STRICT;"
    "CREATE INDEX result_kind ON result(kind, run);"

    "CREATE TABLE cache(key TEXT PRIMARY KEY, reply BLOB NOT NULL) STRICT;";

/* Tokens drawn before have no such value: NULL. */
static const char schema_2[] = "ALTER TABLE trace ADD COLUMN logprob_draw BLOB;";

/* Searches and the events that built their trees. */
static const char schema_3[] =
    "CREATE TABLE search("
    " run INTEGER NOT NULL REFERENCES run(id), problem INTEGER NOT NULL REFERENCES problem(id),"
    " method TEXT NOT NULL, chosen INTEGER NOT NULL, answer_key TEXT NOT NULL,"
    " verdict INTEGER NOT NULL CHECK(verdict BETWEEN 0 AND 2), outcome TEXT NOT NULL,"
    " n_traces INTEGER NOT NULL, n_nodes INTEGER NOT NULL, ledger TEXT NOT NULL,"
    " PRIMARY KEY(run, problem)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX search_problem ON search(problem);"
    "CREATE TABLE search_event("
    " run INTEGER NOT NULL, problem INTEGER NOT NULL, seq INTEGER NOT NULL, kind TEXT NOT NULL,"
    " node INTEGER NOT NULL, parent INTEGER NOT NULL, value REAL, n INTEGER NOT NULL,"
    " text TEXT NOT NULL, PRIMARY KEY(run, problem, seq),"
    " FOREIGN KEY(run, problem) REFERENCES search(run, problem)) STRICT, WITHOUT ROWID;";

/* What each verifier, by version, has said of a trace. Of traces judged before, the trace's own
 * columns say all that is known: not the rule that decided, nor the time it took. */
static const char schema_4[] =
    "CREATE TABLE verdict("
    " trace INTEGER NOT NULL REFERENCES trace(id), verifier TEXT NOT NULL, version TEXT NOT NULL,"
    " verdict INTEGER NOT NULL CHECK(verdict BETWEEN 0 AND 2), answer TEXT NOT NULL,"
    " answer_key TEXT NOT NULL, extracted_by TEXT NOT NULL, rule TEXT NOT NULL,"
    " reason TEXT NOT NULL, us INTEGER, at_ms INTEGER NOT NULL,"
    " PRIMARY KEY(trace, verifier, version)) STRICT, WITHOUT ROWID;"
    "INSERT INTO verdict SELECT t.id, rtrim(rtrim(t.verifier, '0123456789'), '-'), t.verifier,"
    " t.verdict, t.answer, t.answer_key, t.rule, '', t.reason, NULL,"
    " max(r.started_ms, r.finished_ms) FROM trace t JOIN run r ON r.id=t.run WHERE t.verifier<>'';";

/* Who judged a rollout, by which rule, how long that took and when. Of those made before: not
 * known. */
static const char schema_5[] = "ALTER TABLE rollout ADD COLUMN verifier TEXT;"
                               "ALTER TABLE rollout ADD COLUMN decided_by TEXT;"
                               "ALTER TABLE rollout ADD COLUMN us INTEGER;"
                               "ALTER TABLE rollout ADD COLUMN at_ms INTEGER;";

const char *const store_migrations[] = {schema_1, schema_2, schema_3, schema_4, schema_5};
const int store_n_migrations = (int)(sizeof store_migrations / sizeof store_migrations[0]);

#define I(name)                                                                                    \
    { name, COL_INT, 1 }
#define R(name)                                                                                    \
    { name, COL_REAL, 1 }
#define T(name)                                                                                    \
    { name, COL_TEXT, 1 }
#define B(name)                                                                                    \
    { name, COL_BLOB, 1 }
const store_table store_tables[] = {
    {"run",
     "id",
     {I("id"), T("name"), T("kind"), T("config"), T("config_hash"), I("seed"), T("versions"),
      T("machine"), I("started_ms"), I("finished_ms"), I("tokens"), R("wall_s")}},
    {"model", "id", {I("id"), T("name"), T("path"), T("hash"), T("kind"), T("meta")}},
    {"problem",
     "id",
     {I("id"), T("set"), T("split"), T("key"), T("question"), T("answer"), T("solution"),
      T("world"), T("meta"), T("verifier")}},
    {"node", "id", {I("id"), I("problem"), I("parent"), I("depth"), B("path"), T("text")}},
    {"trace",
     "id",
     {I("id"),
      I("run"),
      I("problem"),
      I("i"),
      T("generator"),
      T("text"),
      I("n_tok"),
      B("tok"),
      B("logprob"),
      I("n_steps"),
      T("answer"),
      T("answer_key"),
      I("verdict"),
      T("verifier"),
      T("rule"),
      T("reason"),
      T("stop"),
      I("first_error"),
      T("first_error_source"),
      {"logprob_draw", COL_BLOB, 2}}},
    {"trace_step",
     "trace, k",
     {I("trace"), I("k"), I("node"), I("byte_begin"), I("byte_end"), I("tok_begin"), I("tok_end")}},
    {"rollout",
     "id",
     {I("id"),
      I("run"),
      I("node"),
      I("i"),
      T("text"),
      T("answer"),
      T("rule"),
      T("reason"),
      T("stop"),
      I("verdict"),
      I("n_tok"),
      R("logprob"),
      {"verifier", COL_TEXT, 5},
      {"decided_by", COL_TEXT, 5},
      {"us", COL_INT, 5},
      {"at_ms", COL_INT, 5}}},
    {"label",
     "id",
     {I("id"), I("run"), I("node"), T("source"), T("labeler"), I("hard"), R("soft"), I("n"), I("c"),
      I("n_unknown")}},
    {"score", "node, model", {I("node"), I("model"), R("value")}},
    {"critique",
     "id",
     {I("id"), I("run"), I("trace"), I("i"), T("critic"), T("text"), I("first_error"), T("meta")}},
    {"metric", "run, name, step", {I("run"), T("name"), I("step"), R("value")}},
    {"result", "id", {I("id"), I("run"), T("kind"), T("hash"), T("json")}},
    {"cache", "key", {T("key"), B("reply")}},
    {"search",
     "run, problem",
     {{"run", COL_INT, 3},
      {"problem", COL_INT, 3},
      {"method", COL_TEXT, 3},
      {"chosen", COL_INT, 3},
      {"answer_key", COL_TEXT, 3},
      {"verdict", COL_INT, 3},
      {"outcome", COL_TEXT, 3},
      {"n_traces", COL_INT, 3},
      {"n_nodes", COL_INT, 3},
      {"ledger", COL_TEXT, 3}}},
    {"search_event",
     "run, problem, seq",
     {{"run", COL_INT, 3},
      {"problem", COL_INT, 3},
      {"seq", COL_INT, 3},
      {"kind", COL_TEXT, 3},
      {"node", COL_INT, 3},
      {"parent", COL_INT, 3},
      {"value", COL_REAL, 3},
      {"n", COL_INT, 3},
      {"text", COL_TEXT, 3}}},
    {"verdict",
     "trace, verifier, version",
     {{"trace", COL_INT, 4},
      {"verifier", COL_TEXT, 4},
      {"version", COL_TEXT, 4},
      {"verdict", COL_INT, 4},
      {"answer", COL_TEXT, 4},
      {"answer_key", COL_TEXT, 4},
      {"extracted_by", COL_TEXT, 4},
      {"rule", COL_TEXT, 4},
      {"reason", COL_TEXT, 4},
      {"us", COL_INT, 4},
      {"at_ms", COL_INT, 4}}},
};
const size_t store_n_tables = sizeof store_tables / sizeof store_tables[0];

static rung_status read_pragma(int64_t *out, rung_store *s, const char *sql, rung_error *err) {
    bool found;
    *out = 0;
    return store_get_i64(out, &found, s, err, "read the store's header", sql, "");
}

static rung_status apply(rung_store *s, const char *const *migrations, int from, int n,
                         rung_error *err) {
    for (int v = from; v < n; v++) RUNG_TRY(store_exec(s, migrations[v], err));
    char sql[96];
    sqlite3_snprintf((int)sizeof sql, sql, "PRAGMA user_version=%d;PRAGMA application_id=%d", n,
                     STORE_APPLICATION_ID);
    return store_exec(s, sql, err);
}

/* One transaction from whatever version the file has to n: a crash leaves the old version whole,
 * and of two processes that open an old file the second finds it done. */
rung_status store_migrate(rung_store *s, const char *const *migrations, int n, rung_error *err) {
    int64_t version = 0;
    RUNG_TRY(read_pragma(&version, s, "PRAGMA user_version", err));
    if (version == n) return RUNG_OK;
    if (version > n) {
        rung_fail(err, RUNG_E_STORE, "store \"%s\" has schema version %d, this rung knows %d",
                  s->path, (int)version, n);
        return rung_error_hint(err, "use the newer rung that wrote it, or export it there");
    }
    if (s->read_only) {
        rung_fail(err, RUNG_E_STORE, "store \"%s\" has the old schema version %d, wanted %d",
                  s->path, (int)version, n);
        return rung_error_hint(err,
                               "open it once for writing (any command that writes) to migrate");
    }
    RUNG_TRY(store_unit_begin(s, err));
    rung_status st = read_pragma(&version, s, "PRAGMA user_version", err);
    if (st == RUNG_OK && version < n) st = apply(s, migrations, (int)version, n, err);
    return store_unit_end(s, st, err);
}
