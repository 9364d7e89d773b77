/* The guard (docs/design/sql.md): an authoriser that lets reading through and nothing else, a count
 * of operations, caps on rows, bytes and memory, a clock that stands still. */
#include "verify/sql/guard.h"
#include "verify/sql/frame.h"
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    WORK_TICK = 1000,       /* operations between two looks at the count */
    SQL_BYTES_MAX = 100000, /* of a query */
    SCRIPT_BYTES_MAX = 64 << 20,
    VALUE_BYTES_MAX = 1 << 20, /* bounds what one operation can take: replace(), group_concat() */
    PATTERN_BYTES_MAX = 1000,  /* of LIKE and GLOB, whose time grows with it */
    SCRIPT_WORK = 50000000
};
/* 2024-01-01 12:00:00 UTC as a Julian day in milliseconds: 'now' of every query. */
static const sqlite3_int64 STILL_MS = 212570870400000;

typedef enum guard_mode { MODE_SCRIPT, MODE_READ } guard_mode;
struct sql_guard {
    sqlite3 *db;
    guard_mode mode;
    int64_t work, work_max;
    bool over, writes, denied;
    char what[120]; /* the first thing that was refused */
};

/* ---- a clock that stands still, random numbers that repeat ---- */

static int still_random(sqlite3_vfs *v, int n, char *out) {
    (void)v;
    for (int i = 0; i < n; i++) out[i] = (char)(i * 37 + 11);
    return n;
}

static int still_time(sqlite3_vfs *v, double *day) {
    (void)v;
    *day = (double)STILL_MS / 86400000.0;
    return SQLITE_OK;
}

static int still_time64(sqlite3_vfs *v, sqlite3_int64 *ms) {
    (void)v;
    *ms = STILL_MS;
    return SQLITE_OK;
}

static const char *still_vfs(void) {
    static sqlite3_vfs still;
    if (sqlite3_vfs_find("rung-still")) return "rung-still";
    const sqlite3_vfs *unix_vfs = sqlite3_vfs_find(NULL);
    if (!unix_vfs) return NULL;
    still = *unix_vfs;
    still.pNext = NULL;
    still.zName = "rung-still";
    still.xRandomness = still_random;
    still.xCurrentTime = still_time;
    if (still.iVersion >= 2) still.xCurrentTimeInt64 = still_time64;
    /* the default: random() asks that one for its seed */
    return sqlite3_vfs_register(&still, 1) == SQLITE_OK ? "rung-still" : NULL;
}

/* ---- what a query may do ---- */

/* clang-format off */
static const char *const functions[] = {
    /* plain */
    "abs", "char", "coalesce", "concat", "concat_ws", "format", "glob", "hex", "if", "ifnull",
    "iif", "instr", "length", "like", "likelihood", "likely", "lower", "ltrim", "max", "min",
    "nullif", "octet_length", "printf", "quote", "random", "randomblob", "replace", "round",
    "rtrim", "sign", "soundex", "substr", "substring", "trim", "typeof", "unhex", "unicode",
    "unlikely", "upper", "zeroblob", "unistr", "unistr_quote",
    /* aggregates and windows */
    "avg", "count", "group_concat", "string_agg", "sum", "total", "row_number", "rank",
    "dense_rank", "percent_rank", "cume_dist", "ntile", "lag", "lead", "first_value",
    "last_value", "nth_value", "median", "percentile", "percentile_cont", "percentile_disc",
    /* dates */
    "date", "time", "datetime", "julianday", "strftime", "unixepoch", "timediff",
    "current_date", "current_time", "current_timestamp",
    /* mathematics */
    "acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "ceil", "ceiling", "cos", "cosh",
    "degrees", "exp", "floor", "ln", "log", "log10", "log2", "mod", "pi", "pow", "power",
    "radians", "sin", "sinh", "sqrt", "tan", "tanh", "trunc",
    /* JSON */
    "json", "json_array", "json_array_length", "json_error_position", "json_extract", "json_insert",
    "json_object", "json_patch", "json_pretty", "json_quote", "json_remove", "json_replace",
    "json_set", "json_type", "json_valid", "json_group_array", "json_group_object", "->", "->>",
    "subtype",
    /* full text */
    "match", "bm25", "highlight", "snippet", "offsets", "matchinfo", "regexp",
};
/* All read; with an argument they set only where the table says so, and none of these does. */
static const char *const pragmas[] = {
    "table_info", "table_xinfo", "table_list", "foreign_key_list", "index_list", "index_info",
    "index_xinfo", "data_version", "collation_list", "function_list", "compile_options",
};
static const char *const hidden[] = {
    "dbstat", "sqlite_dbpage", "sqlite_dbptr", "sqlite_dbdata", "sqlite_stmt", "bytecode",
    "tables_used", "sqlite_memstat", "fsdir", "generate_series", "pragma_database_list",
};
/* clang-format on */
#define N_OF(t) (sizeof(t) / sizeof *(t))

static bool listed(const char *const *list, size_t n, const char *name) {
    for (size_t i = 0; name && i < n; i++)
        if (sqlite3_stricmp(list[i], name) == 0) return true;
    return false;
}

static int refuse(sql_guard *g, bool writes, const char *what, const char *name) {
    if (!g->writes && !g->denied)
        snprintf(g->what, sizeof g->what, "%s%s%.60s", what, name ? " " : "", name ? name : "");
    if (writes)
        g->writes = true;
    else
        g->denied = true;
    return SQLITE_DENY;
}

/* The names of what is refused, for the observation. */
static const char *action_name(int action) {
    static const struct {
        int action;
        const char *name;
    } t[] = {{SQLITE_INSERT, "insert into"},   {SQLITE_UPDATE, "update of"},
             {SQLITE_DELETE, "delete from"},   {SQLITE_ATTACH, "attach"},
             {SQLITE_DETACH, "detach"},        {SQLITE_TRANSACTION, "transaction"},
             {SQLITE_SAVEPOINT, "savepoint"},  {SQLITE_PRAGMA, "pragma"},
             {SQLITE_ALTER_TABLE, "alter"},    {SQLITE_REINDEX, "reindex"},
             {SQLITE_ANALYZE, "analyze"},      {SQLITE_CREATE_VTABLE, "virtual table"},
             {SQLITE_DROP_TABLE, "drop table"}};
    for (size_t i = 0; i < N_OF(t); i++)
        if (t[i].action == action) return t[i].name;
    return "change of the schema";
}

static int may_read(sql_guard *g, int action, const char *a, const char *b) {
    switch (action) {
    case SQLITE_SELECT:
    case SQLITE_RECURSIVE: return SQLITE_OK;
    case SQLITE_READ:
        return listed(hidden, N_OF(hidden), a) ? refuse(g, false, "table", a) : SQLITE_OK;
    case SQLITE_FUNCTION:
        return listed(functions, N_OF(functions), b) ? SQLITE_OK : refuse(g, false, "function", b);
    case SQLITE_PRAGMA:
        return listed(pragmas, N_OF(pragmas), a) ? SQLITE_OK : refuse(g, true, "pragma", a);
    case SQLITE_UPDATE: /* a virtual table that declares itself, or a hand on the schema */
        return refuse(g, sqlite3_stricmp(a, "sqlite_master") != 0, "update of", a);
    default: return refuse(g, true, action_name(action), a);
    }
}

/* A script makes tables, indexes, views and rows in its own memory. */
static bool may_make(int action) {
    static const int ok[] = {SQLITE_CREATE_TABLE, SQLITE_CREATE_INDEX, SQLITE_CREATE_VIEW,
                             SQLITE_INSERT,       SQLITE_UPDATE,       SQLITE_DELETE,
                             SQLITE_TRANSACTION,  SQLITE_REINDEX};
    for (size_t i = 0; i < N_OF(ok); i++)
        if (ok[i] == action) return true;
    return false;
}

static int authorise(void *ud, int action, const char *a, const char *b, const char *database,
                     const char *trigger) {
    sql_guard *g = ud;
    (void)trigger;
    if (g->mode == MODE_SCRIPT && may_make(action) && database && strcmp(database, "temp") != 0)
        return SQLITE_OK;
    if (g->mode == MODE_SCRIPT && action == SQLITE_TRANSACTION) return SQLITE_OK;
    return may_read(g, action, a, b);
}

static int tick(void *ud) {
    sql_guard *g = ud;
    g->work += WORK_TICK;
    if (g->work > g->work_max) g->over = true;
    return g->over;
}

/* ---- opening ---- */

rung_sql_limits guard_limits(const rung_sql_limits *l) {
    rung_sql_limits r = l ? *l : (rung_sql_limits){0};
    if (r.work <= 0) r.work = 20000000;
    if (r.memory <= 0) r.memory = (int64_t)256 << 20;
    if (r.bytes <= 0) r.bytes = 4 << 20;
    if (r.bytes > FRAME_BYTES_MAX / 2) r.bytes = FRAME_BYTES_MAX / 2;
    if (r.rows <= 0) r.rows = 10000;
    if (r.rows > 10000000) r.rows = 10000000;
    if (!(r.wall_s > 0)) r.wall_s = 60;
    return r;
}

static void set_limits(sqlite3 *db) {
    static const struct {
        int id, value;
    } t[] = {{SQLITE_LIMIT_LENGTH, VALUE_BYTES_MAX},
             {SQLITE_LIMIT_SQL_LENGTH, SQL_BYTES_MAX},
             {SQLITE_LIMIT_COLUMN, FRAME_COLS_MAX},
             {SQLITE_LIMIT_EXPR_DEPTH, 500},
             {SQLITE_LIMIT_COMPOUND_SELECT, 100},
             {SQLITE_LIMIT_VDBE_OP, 250000},
             {SQLITE_LIMIT_FUNCTION_ARG, 100},
             {SQLITE_LIMIT_ATTACHED, 0},
             {SQLITE_LIMIT_LIKE_PATTERN_LENGTH, PATTERN_BYTES_MAX},
             {SQLITE_LIMIT_VARIABLE_NUMBER, 100},
             {SQLITE_LIMIT_TRIGGER_DEPTH, 1},
             {SQLITE_LIMIT_WORKER_THREADS, 0}};
    for (size_t i = 0; i < N_OF(t); i++) sqlite3_limit(db, t[i].id, t[i].value);
}

/* What a hostile database file could bring: triggers, functions in its views and indexes, a
 * schema that was edited by hand. */
static void set_defences(sqlite3 *db) {
    static const int on[] = {SQLITE_DBCONFIG_DEFENSIVE};
    static const int off[] = {SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, SQLITE_DBCONFIG_ENABLE_TRIGGER,
                              SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER,
                              SQLITE_DBCONFIG_WRITABLE_SCHEMA, SQLITE_DBCONFIG_TRUSTED_SCHEMA};
    for (size_t i = 0; i < N_OF(on); i++) sqlite3_db_config(db, on[i], 1, (int *)NULL);
    for (size_t i = 0; i < N_OF(off); i++) sqlite3_db_config(db, off[i], 0, (int *)NULL);
}

/* file:PATH?immutable=1, with PATH escaped: no journal, no lock, no -wal is looked for. */
static char *uri_of(const char *path) {
    static const char tail[] = "?mode=ro&immutable=1";
    char *uri = rung_alloc(3 * strlen(path) + sizeof tail + 8);
    if (!uri) return NULL;
    size_t n = 5;
    memcpy(uri, "file:", n);
    for (const unsigned char *p = (const unsigned char *)path; *p; p++) {
        bool plain = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
                     (*p >= '0' && *p <= '9') || strchr("/._-", *p);
        n += (size_t)(plain ? snprintf(uri + n, 2, "%c", *p) : snprintf(uri + n, 4, "%%%02X", *p));
    }
    memcpy(uri + n, tail, sizeof tail);
    return uri;
}

static bool run_own(sql_guard *g, const char *sql) {
    return sqlite3_exec(g->db, sql, NULL, NULL, NULL) == SQLITE_OK;
}

static int open_database(sql_guard *g, const char *path) {
    const char *vfs = still_vfs();
    if (!path)
        return sqlite3_open_v2(":memory:", &g->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, vfs);
    char *uri = uri_of(path);
    if (!uri) return SQLITE_NOMEM;
    int rc = sqlite3_open_v2(uri, &g->db, SQLITE_OPEN_URI | SQLITE_OPEN_READONLY, vfs);
    rung_free(uri);
    return rc;
}

/* A virtual table declares itself at its first use, which the authoriser would take for a change
 * of the schema: those that may be read are used once, before it is strict. */
static bool connect_virtual(sql_guard *g) {
    static const char *const built_in[] = {
        "pragma_table_info", "pragma_table_xinfo", "pragma_foreign_key_list", "pragma_table_list",
        "pragma_index_list", "pragma_index_info",  "pragma_index_xinfo"};
    static const char list[] = "SELECT name FROM sqlite_master WHERE type='table' AND sql LIKE "
                               "'CREATE VIRTUAL TABLE%'";
    char sql[200];
    for (size_t i = 0; i < N_OF(built_in); i++) {
        snprintf(sql, sizeof sql, "SELECT 1 FROM %s('x')", built_in[i]);
        (void)run_own(g, sql);
    }
    (void)run_own(g, "SELECT 1 FROM json_each('[]'), json_tree('[]')");
    sqlite3_stmt *st = NULL;
    if (sqlite3_prepare_v2(g->db, list, -1, &st, NULL) != SQLITE_OK) return false;
    while (sqlite3_step(st) == SQLITE_ROW) {
        sqlite3_snprintf((int)sizeof sql, sql, "SELECT 1 FROM \"%w\" LIMIT 0",
                         (const char *)sqlite3_column_text(st, 0));
        (void)run_own(g, sql); /* one that cannot be used fails when it is asked for */
    }
    return sqlite3_finalize(st) == SQLITE_OK;
}

sql_guard *guard_open(const char *path, const char *script, const rung_sql_limits *l,
                      char why[200]) {
    rung_sql_limits lim = guard_limits(l);
    sql_guard *g = rung_calloc(1, sizeof *g);
    snprintf(why, 200, "out of memory");
    if (!g) return NULL;
    sqlite3_hard_heap_limit64(lim.memory);
    bool ok = open_database(g, script ? NULL : path) == SQLITE_OK;
    ok =
        ok && run_own(g, "PRAGMA temp_store=MEMORY; PRAGMA mmap_size=0; PRAGMA cell_size_check=ON");
    if (ok) {
        set_limits(g->db);
        set_defences(g->db);
        sqlite3_set_authorizer(g->db, authorise, g);
        sqlite3_progress_handler(g->db, WORK_TICK, tick, g);
        g->mode = MODE_SCRIPT;
        g->work_max = SCRIPT_WORK;
    }
    if (ok && script) {
        sqlite3_limit(g->db, SQLITE_LIMIT_SQL_LENGTH, SCRIPT_BYTES_MAX);
        ok = run_own(g, script);
        sqlite3_limit(g->db, SQLITE_LIMIT_SQL_LENGTH, SQL_BYTES_MAX);
        if (ok && !sqlite3_get_autocommit(g->db)) ok = run_own(g, "COMMIT");
    }
    /* reads the schema, so that a file that is no database is known now */
    ok = ok && run_own(g, "SELECT count(*) FROM sqlite_master") && connect_virtual(g);
    g->mode = MODE_READ;
    if (ok) return g;
    snprintf(why, 200, "%s%s%.100s", g->db ? sqlite3_errmsg(g->db) : "out of memory",
             g->what[0] ? ": " : "", g->what);
    guard_close(g);
    return NULL;
}

void guard_close(sql_guard *g) {
    if (!g) return;
    sqlite3_close_v2(g->db);
    rung_free(g);
}

/* ---- one query ---- */

static bool blank_or_comment(const char *p, const char *end) {
    while (p < end) {
        if (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r' || *p == '\f' || *p == ';') {
            p++;
        } else if (end - p >= 2 && p[0] == '-' && p[1] == '-') {
            const char *nl = memchr(p, '\n', (size_t)(end - p));
            p = nl ? nl : end;
        } else if (end - p >= 2 && p[0] == '/' && p[1] == '*') {
            p += 2;
            while (end - p >= 2 && !(p[0] == '*' && p[1] == '/')) p++;
            p = end - p >= 2 ? p + 2 : end;
        } else {
            return false;
        }
    }
    return true;
}

static rung_sql_outcome outcome_of(const sql_guard *g, int rc) {
    if (g->over) return RUNG_SQL_WORK;
    if (g->writes) return RUNG_SQL_NO_QUERY;
    if (g->denied) return RUNG_SQL_DENIED;
    switch (rc & 0xff) {
    case SQLITE_DONE:
    case SQLITE_ROW:
    case SQLITE_OK: return RUNG_SQL_OK;
    case SQLITE_NOMEM: return RUNG_SQL_MEMORY;
    case SQLITE_TOOBIG: return RUNG_SQL_MEMORY;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN: return RUNG_SQL_DAMAGED;
    case SQLITE_READONLY: return RUNG_SQL_NO_QUERY;
    default: return RUNG_SQL_ERROR;
    }
}

static void put_cell(rung_buf *b, sqlite3_stmt *st, int c) {
    rung_sql_value v = {0};
    switch (sqlite3_column_type(st, c)) {
    case SQLITE_INTEGER:
        v.type = RUNG_SQL_INT;
        v.i = sqlite3_column_int64(st, c);
        break;
    case SQLITE_FLOAT:
        v.type = RUNG_SQL_REAL;
        v.d = sqlite3_column_double(st, c);
        break;
    case SQLITE_TEXT:
        v.type = RUNG_SQL_TEXT;
        v.s = (const char *)sqlite3_column_text(st, c);
        v.n = sqlite3_column_bytes(st, c);
        break;
    case SQLITE_BLOB:
        v.type = RUNG_SQL_BLOB;
        v.s = sqlite3_column_blob(st, c);
        v.n = sqlite3_column_bytes(st, c);
        break;
    default: break;
    }
    if (!v.s) v.n = 0;
    frame_put_value(b, &v);
}

/* Rows until the end or a cap. */
static int put_rows(rung_buf *cells, frame_head *h, sqlite3_stmt *st, const rung_sql_limits *l) {
    int rc;
    while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
        size_t row = cells->n;
        if (h->n_rows >= l->rows) h->truncated = 1;
        for (uint32_t c = 0; c < h->n_cols && !h->truncated; c++) {
            put_cell(cells, st, (int)c);
            if (cells->failed || (int64_t)cells->n > l->bytes) h->truncated = 1;
        }
        if (h->truncated) {
            cells->n = row; /* of the row that was too much, nothing stays */
            return SQLITE_DONE;
        }
        h->n_rows++;
    }
    return rc;
}

static sqlite3_stmt *prepare(sql_guard *g, const char *sql, size_t n, int *rc, const char **why) {
    sqlite3_stmt *st = NULL;
    const char *tail = sql;
    *why = "";
    if (n > SQL_BYTES_MAX) {
        *rc = SQLITE_ERROR;
        *why = "the query is longer than 100,000 bytes";
        return NULL;
    }
    *rc = sqlite3_prepare_v3(g->db, sql, (int)n, 0, &st, &tail);
    if (*rc != SQLITE_OK) {
        *why = sqlite3_errmsg(g->db);
    } else if (!st) {
        *rc = SQLITE_ERROR;
        *why = "there is no statement";
    } else if (!blank_or_comment(tail, sql + n)) {
        g->writes = true;
        *why = "more than one statement";
    } else if (!sqlite3_stmt_readonly(st) || sqlite3_column_count(st) == 0) {
        g->writes = true;
        *why = "the statement is not a query";
    }
    return st;
}

void guard_query(rung_buf *frame, sql_guard *g, const char *sql, size_t n,
                 const rung_sql_limits *limits) {
    rung_sql_limits l = guard_limits(limits);
    rung_buf cells;
    frame_head h = {0};
    const char *why, *nul = memchr(sql, '\0', n);
    int rc;
    char said[320] = "";
    rung_buf_init(&cells, (size_t)l.bytes + VALUE_BYTES_MAX + 64);
    g->work = 0;
    g->work_max = l.work;
    g->over = g->writes = g->denied = false;
    g->what[0] = '\0';
    sqlite3_randomness(0, NULL); /* the same numbers for every query */
    sqlite3_stmt *st = prepare(g, sql, nul ? (size_t)(nul - sql) : n, &rc, &why);
    if (rc == SQLITE_OK && !*why) {
        h.n_cols = (uint32_t)sqlite3_column_count(st);
        rc = put_rows(&cells, &h, st, &l);
        if (rc != SQLITE_DONE) why = sqlite3_errmsg(g->db);
    }
    h.outcome = (uint8_t)outcome_of(g, rc);
    if (h.outcome == RUNG_SQL_WORK) why = "the query takes too much work";
    if (h.outcome != RUNG_SQL_OK) {
        bool named = g->what[0] && (g->writes || g->denied);
        snprintf(said, sizeof said, "%.200s%s%.110s", why, named ? ": " : "", named ? g->what : "");
        h.n_cols = h.n_rows = 0;
        h.truncated = 0;
        rung_buf_reset(&cells);
    }
    h.n_error = (uint32_t)strlen(said);
    h.work = g->work;
    rung_buf_append(frame, &h, sizeof h);
    for (uint32_t c = 0; c < h.n_cols; c++) {
        const char *name = sqlite3_column_name(st, (int)c);
        frame_put_text(frame, name ? name : "", name ? strlen(name) : 0);
    }
    if (cells.n > 0) rung_buf_append(frame, cells.data, cells.n);
    frame_put_text(frame, said, h.n_error);
    sqlite3_finalize(st);
    rung_buf_clear(&cells);
}
