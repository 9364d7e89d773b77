/* Opening, transactions, statements, errors. */
#include "store/store_impl.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static const char no_memory[] = "out of memory";

/* --- errors ----------------------------------------------------------------------------------- */

/* SQLite calls only ENOSPC "full"; a size limit or a quota is an I/O error to it, and the errno it
 * keeps may be a later call's.  So look whether the file system or the limit leaves no room. */
static bool no_room(const char *path) {
    enum { ROOM = 64 * 1024 }; /* more than one write of SQLite's */
    struct statvfs fs;
    if (statvfs(path, &fs) == 0 && fs.f_frsize * fs.f_bavail < ROOM) return true;
    struct rlimit lim;
    if (getrlimit(RLIMIT_FSIZE, &lim) != 0 || lim.rlim_cur == RLIM_INFINITY) return false;
    static const char *const ends[] = {"", "-wal", "-shm"};
    for (size_t i = 0; i < 3; i++) {
        char name[PATH_MAX];
        struct stat sb;
        if (snprintf(name, sizeof name, "%s%s", path, ends[i]) >= (int)sizeof name) continue;
        if (stat(name, &sb) == 0 && (rlim_t)sb.st_size + ROOM > lim.rlim_cur) return true;
    }
    return false;
}

static bool is_full(const rung_store *s, int rc) {
    if ((rc & 0xff) == SQLITE_FULL) return true;
    if ((rc & 0xff) != SQLITE_IOERR || !s || !s->db) return false;
    int e = sqlite3_system_errno(s->db);
    if (e == ENOSPC || e == EFBIG || e == EDQUOT) return true;
    return rc != SQLITE_IOERR_READ && no_room(s->path);
}

static rung_status status_of(const rung_store *s, int rc) {
    if (is_full(s, rc)) return RUNG_E_FULL;
    switch (rc & 0xff) {
    case SQLITE_OK: return RUNG_OK;
    case SQLITE_NOMEM: return RUNG_E_NOMEM;
    case SQLITE_BUSY:
    case SQLITE_LOCKED: return RUNG_E_BUSY;
    case SQLITE_TOOBIG: return RUNG_E_LIMIT;
    case SQLITE_CONSTRAINT:
    case SQLITE_MISMATCH: return RUNG_E_INVAL;
    default: return RUNG_E_STORE;
    }
}

static const char *reason_of(rung_status st, int rc, sqlite3 *db) {
    if (st == RUNG_E_FULL) return "disk full or file size limit";
    if (st == RUNG_E_NOMEM) return no_memory;
    if (st == RUNG_E_BUSY) return "another process is writing";
    if (rc == SQLITE_CONSTRAINT_FOREIGNKEY) return "it refers to a row that is not there";
    switch (rc & 0xff) {
    case SQLITE_READONLY: return "the store is read-only";
    case SQLITE_CORRUPT: return "the store is damaged";
    case SQLITE_NOTADB: return "not a SQLite file";
    default: return db ? sqlite3_errmsg(db) : sqlite3_errstr(rc);
    }
}

static const char *hint_of(rung_status st, int rc) {
    if (st == RUNG_E_FULL)
        return "free some space and run the same command again; nothing stored is lost";
    if (st == RUNG_E_BUSY) return "wait for the other process, then run the same command again";
    switch (rc & 0xff) {
    case SQLITE_READONLY: return "check the permissions of the file and of its folder";
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: return "run `rung store check`; restore a copy or an export";
    case SQLITE_CANTOPEN: return "check that the folder exists and may be written";
    default: return "";
    }
}

rung_status store_fail(rung_store *s, int rc, rung_error *err, const char *fmt, ...) {
    sqlite3 *db = s ? s->db : NULL;
    rung_status code = status_of(s, rc);
    if (code == RUNG_OK) code = RUNG_E_STORE;
    if (!err) return code;
    char what[sizeof err->what], message[160];
    va_list ap;
    va_start(ap, fmt);
    if (vsnprintf(what, sizeof what, fmt, ap) < 0) what[0] = '\0';
    va_end(ap);
    snprintf(message, sizeof message, "%s", reason_of(code, rc, db));
    size_t room = sizeof err->what - 3 - strlen(message);
    rung_fail(err, code, "%.*s: %s", (int)room, what, message);
    rung_error_detail(err, "SQLite %d: %s", rc, db ? sqlite3_errmsg(db) : sqlite3_errstr(rc));
    if (hint_of(code, rc)[0]) rung_error_hint(err, "%s", hint_of(code, rc));
    return code;
}

/* --- statements ------------------------------------------------------------------------------- */

rung_status store_sql(sqlite3_stmt **out, rung_store *s, const char *sql, rung_error *err) {
    *out = NULL;
    size_t i = (size_t)rung_hash64(&sql, sizeof sql, 0) & (STORE_N_STMTS - 1);
    size_t probes = 0;
    while (s->stmts[i].sql && s->stmts[i].sql != sql && probes++ < STORE_N_STMTS)
        i = (i + 1) & (STORE_N_STMTS - 1);
    if (probes >= STORE_N_STMTS) return rung_fail(err, RUNG_E_MISUSE, "too many SQL texts");
    if (!s->stmts[i].sql) {
        sqlite3_stmt *st = NULL;
        int rc = sqlite3_prepare_v3(s->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &st, NULL);
        if (rc != SQLITE_OK) {
            rung_status code = store_fail(s, sqlite3_extended_errcode(s->db), err,
                                          "could not query store \"%s\"", s->path);
            rung_error_detail(err, "%s", sql);
            return code;
        }
        s->stmts[i] = (store_stmt){sql, st};
    }
    *out = s->stmts[i].stmt;
    sqlite3_reset(*out);
    sqlite3_clear_bindings(*out);
    return RUNG_OK;
}

static int bind_va(sqlite3_stmt *st, const char *kinds, va_list ap) {
    int rc = SQLITE_OK;
    for (int i = 1; *kinds && rc == SQLITE_OK; kinds++, i++) {
        switch (*kinds) {
        case 'i': rc = sqlite3_bind_int64(st, i, va_arg(ap, int64_t)); break;
        case 'I': {
            int64_t x = va_arg(ap, int64_t);
            rc = x ? sqlite3_bind_int64(st, i, x) : sqlite3_bind_null(st, i);
            break;
        }
        case 'd': {
            double d = va_arg(ap, double);
            rc = isnan(d) ? sqlite3_bind_null(st, i) : sqlite3_bind_double(st, i, d);
            break;
        }
        case 't': {
            const char *text = va_arg(ap, const char *);
            rc = sqlite3_bind_text(st, i, text ? text : "", -1, SQLITE_STATIC);
            break;
        }
        case 'N': {
            const char *text = va_arg(ap, const char *);
            rc =
                text ? sqlite3_bind_text(st, i, text, -1, SQLITE_STATIC) : sqlite3_bind_null(st, i);
            break;
        }
        case 'T': {
            const char *text = va_arg(ap, const char *);
            size_t n = va_arg(ap, size_t);
            rc = sqlite3_bind_text64(st, i, text ? text : "", n, SQLITE_STATIC, SQLITE_UTF8);
            break;
        }
        case 'b':
        case 'B': {
            const void *p = va_arg(ap, const void *);
            size_t n = va_arg(ap, size_t);
            rc = !p && *kinds == 'B' ? sqlite3_bind_null(st, i)
                 : n                 ? sqlite3_bind_blob64(st, i, p, n, SQLITE_STATIC)
                                     : sqlite3_bind_zeroblob(st, i, 0);
            break;
        }
        default: rc = SQLITE_MISUSE;
        }
    }
    return rc;
}

int store_bind(sqlite3_stmt *st, const char *kinds, ...) {
    va_list ap;
    va_start(ap, kinds);
    int rc = bind_va(st, kinds, ap);
    va_end(ap);
    return rc;
}

rung_status store_step(rung_store *s, sqlite3_stmt *st, rung_error *err, const char *what) {
    /* After a failure SQLite may have rolled the whole batch back on its own (disk full, say).
     * Going on would commit the rest of the batch row by row. */
    if (s->depth > 0 && sqlite3_get_autocommit(s->db)) {
        sqlite3_reset(st);
        return rung_fail(err, RUNG_E_STORE, "could not %s: an earlier failure undid the batch",
                         what);
    }
    int rc = sqlite3_step(st);
    if (rc == SQLITE_ROW) return RUNG_OK;
    rung_status code = RUNG_DONE;
    if (rc != SQLITE_DONE)
        code = store_fail(s, sqlite3_extended_errcode(s->db), err, "could not %s in store \"%s\"",
                          what, s->path);
    sqlite3_reset(st);
    return code;
}

static rung_status prepare_va(sqlite3_stmt **st, rung_store *s, rung_error *err, const char *what,
                              const char *sql, const char *kinds, va_list ap) {
    RUNG_TRY(store_sql(st, s, sql, err));
    int rc = bind_va(*st, kinds, ap);
    if (rc != SQLITE_OK)
        return store_fail(s, rc, err, "could not %s in store \"%s\"", what, s->path);
    return RUNG_OK;
}

rung_status store_run(int64_t *n_changed, rung_store *s, rung_error *err, const char *what,
                      const char *sql, const char *kinds, ...) {
    sqlite3_stmt *st = NULL;
    va_list ap;
    va_start(ap, kinds);
    rung_status code = prepare_va(&st, s, err, what, sql, kinds, ap);
    va_end(ap);
    if (code != RUNG_OK) return code;
    while ((code = store_step(s, st, err, what)) == RUNG_OK) continue;
    if (code != RUNG_DONE) return code;
    if (n_changed) *n_changed = sqlite3_changes64(s->db);
    return RUNG_OK;
}

rung_status store_get_i64(int64_t *out, bool *found, rung_store *s, rung_error *err,
                          const char *what, const char *sql, const char *kinds, ...) {
    sqlite3_stmt *st = NULL;
    *found = false;
    va_list ap;
    va_start(ap, kinds);
    rung_status code = prepare_va(&st, s, err, what, sql, kinds, ap);
    va_end(ap);
    if (code != RUNG_OK) return code;
    code = store_step(s, st, err, what);
    if (code == RUNG_DONE) return RUNG_OK;
    if (code != RUNG_OK) return code;
    *found = true;
    *out = sqlite3_column_int64(st, 0);
    sqlite3_reset(st);
    return RUNG_OK;
}

rung_status store_exec(rung_store *s, const char *sql, rung_error *err) {
    int rc = sqlite3_exec(s->db, sql, NULL, NULL, NULL);
    if (rc == SQLITE_OK) return RUNG_OK;
    rung_status st = store_fail(s, sqlite3_extended_errcode(s->db), err,
                                "could not change store \"%s\"", s->path);
    return st;
}

char *store_text(rung_arena *a, sqlite3_stmt *st, int column) {
    const char *text = (const char *)sqlite3_column_text(st, column);
    if (!text && sqlite3_errcode(sqlite3_db_handle(st)) == SQLITE_NOMEM) return NULL;
    return rung_arena_strndup(a, text ? text : "",
                              text ? (size_t)sqlite3_column_bytes(st, column) : 0);
}

/* --- transactions ----------------------------------------------------------------------------- */

rung_status rung_store_begin(rung_store *s, rung_error *err) {
    if (s->read_only) {
        rung_fail(err, RUNG_E_STORE, "could not write store \"%s\": it is open read-only", s->path);
        return rung_error_hint(err, "check the permissions of the file and of its folder");
    }
    if (s->depth == 0) {
        RUNG_TRY(store_exec(s, "BEGIN IMMEDIATE", err));
        s->doomed = false;
    }
    s->depth++;
    return RUNG_OK;
}

rung_status rung_store_commit(rung_store *s, rung_error *err) {
    if (s->depth == 0) return rung_fail(err, RUNG_E_MISUSE, "commit without begin");
    if (--s->depth > 0) return RUNG_OK;
    if (sqlite3_get_autocommit(s->db))
        return rung_fail(err, RUNG_E_STORE, "an earlier failure undid the batch in store \"%s\"",
                         s->path);
    if (s->doomed) {
        sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
        return rung_fail(err, RUNG_E_STORE, "the batch was rolled back in store \"%s\"", s->path);
    }
    rung_status st = store_exec(s, "COMMIT", err);
    if (st != RUNG_OK && !sqlite3_get_autocommit(s->db))
        sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    return st;
}

void rung_store_rollback(rung_store *s) {
    if (s->depth == 0) return;
    s->doomed = true;
    if (--s->depth > 0) return;
    if (!sqlite3_get_autocommit(s->db)) sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
}

rung_status store_unit_begin(rung_store *s, rung_error *err) {
    if (s->depth == 0) return rung_store_begin(s, err);
    RUNG_TRY(store_run(NULL, s, err, "write", "SAVEPOINT unit", ""));
    s->depth++;
    return RUNG_OK;
}

rung_status store_unit_end(rung_store *s, rung_status st, rung_error *err) {
    if (s->depth == 1) {
        if (st == RUNG_OK) return rung_store_commit(s, err);
        rung_store_rollback(s);
        s->doomed = false;
        return st;
    }
    s->depth--;
    if (sqlite3_get_autocommit(s->db)) return st != RUNG_OK ? st : RUNG_E_STORE;
    if (st == RUNG_OK) return store_run(NULL, s, err, "write", "RELEASE unit", "");
    /* Straight to SQLite: the first error is the one to report. */
    sqlite3_exec(s->db, "ROLLBACK TO unit; RELEASE unit", NULL, NULL, NULL);
    return st;
}

/* --- open and close --------------------------------------------------------------------------- */

static rung_status not_a_store(const char *path, const char *why, rung_error *err) {
    rung_fail(err, RUNG_E_STORE, "\"%s\" is not a rung store: %s", path, why);
    return rung_error_hint(err, "name another file; a new one is made by commands that write");
}

/* Look at the file before SQLite does: its own errors come late and say little. */
static rung_status look_at_file(bool *is_new, const char *path, int flags, rung_error *err) {
    struct stat sb;
    *is_new = false;
    if (stat(path, &sb) != 0) {
        if (errno == ENOENT && (flags & RUNG_STORE_CREATE)) {
            *is_new = true;
            return RUNG_OK;
        }
        rung_status st = rung_fail_errno(err, "could not open store \"%s\"", path);
        if (st == RUNG_E_NOT_FOUND)
            rung_error_hint(err, "`rung problem import` or `rung problem generate` makes one");
        return st;
    }
    if (S_ISDIR(sb.st_mode)) return not_a_store(path, "it is a folder", err);
    if (sb.st_size == 0) {
        *is_new = true;
        return flags & RUNG_STORE_CREATE ? RUNG_OK : not_a_store(path, "it is empty", err);
    }
    char head[16] = {0};
    FILE *f = fopen(path, "rbe");
    if (!f) return rung_fail_errno(err, "could not open store \"%s\"", path);
    size_t n = fread(head, 1, sizeof head, f);
    fclose(f);
    if (n < sizeof head || memcmp(head, "SQLite format 3", 16) != 0)
        return not_a_store(path, "it is not a SQLite file", err);
    return RUNG_OK;
}

static int open_db(sqlite3 **db, const char *path, int flags) {
    int mode = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    if (flags & RUNG_STORE_READ_ONLY) {
        mode |= SQLITE_OPEN_READONLY;
    } else {
        mode |= SQLITE_OPEN_READWRITE | (flags & RUNG_STORE_CREATE ? SQLITE_OPEN_CREATE : 0);
    }
    return sqlite3_open_v2(path, db, mode, NULL);
}

static void forget_stmts(rung_store *s) {
    for (size_t i = 0; i < STORE_N_STMTS; i++) sqlite3_finalize(s->stmts[i].stmt);
    memset(s->stmts, 0, sizeof s->stmts);
}

/* A read-only folder has no place for WAL's shared memory; without a -wal file nobody is writing,
 * so the file may be read as it lies. */
static rung_status reopen_immutable(rung_store *s, rung_error *err) {
    struct stat sb;
    char *wal = sqlite3_mprintf("%s-wal", s->path), *uri = NULL;
    rung_status st = RUNG_OK;
    if (!wal) return rung_fail(err, RUNG_E_NOMEM, no_memory);
    if (stat(wal, &sb) == 0 && sb.st_size > 0) {
        rung_fail(err, RUNG_E_STORE,
                  "could not read store \"%s\": its folder is read-only and its "
                  "last changes are in \"%s-wal\"",
                  s->path, s->path);
        st = rung_error_hint(err, "copy both files to a folder that may be written");
        goto out;
    }
    /* Only ? # and % mean something inside a file: URI's path. */
    rung_buf b;
    rung_buf_init(&b, 1 << 16);
    rung_buf_str(&b, "file:");
    for (const char *p = s->path; *p; p++) {
        if (strchr("?#%", *p)) {
            rung_buf_printf(&b, "%%%02X", (unsigned)*p);
        } else {
            rung_buf_append(&b, p, 1);
        }
    }
    rung_buf_str(&b, "?immutable=1");
    if ((uri = rung_buf_take(&b, NULL)) == NULL) {
        st = rung_fail(err, RUNG_E_NOMEM, no_memory);
        goto out;
    }
    forget_stmts(s);
    sqlite3_close(s->db);
    s->db = NULL;
    int rc = sqlite3_open_v2(
        uri, &s->db,
        SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
    if (rc != SQLITE_OK) st = store_fail(s, rc, err, "could not open store \"%s\"", s->path);
out:
    sqlite3_free(wal);
    rung_free(uri);
    return st;
}

/* First read of the file. */
static rung_status read_header(int64_t *application_id, int64_t *n_objects, rung_store *s,
                               rung_error *err) {
    bool found;
    const char *what = "read the store's header";
    RUNG_TRY(store_get_i64(application_id, &found, s, err, what, "PRAGMA application_id", ""));
    return store_get_i64(n_objects, &found, s, err, what, "SELECT count(*) FROM sqlite_schema", "");
}

static rung_status check_identity(rung_store *s, int flags, rung_error *err) {
    int64_t id = 0, n = 0;
    rung_status st = read_header(&id, &n, s, err);
    int why = sqlite3_errcode(s->db) & 0xff; /* which one depends on what is there already */
    if (st == RUNG_E_STORE && (flags & RUNG_STORE_READ_ONLY) &&
        (why == SQLITE_CANTOPEN || why == SQLITE_READONLY)) {
        RUNG_TRY(reopen_immutable(s, err));
        st = read_header(&id, &n, s, err);
    }
    if (st != RUNG_OK) return st;
    if (id == STORE_APPLICATION_ID) return RUNG_OK;
    if (id == 0 && n == 0) {
        if (flags & RUNG_STORE_CREATE) return RUNG_OK;
        return not_a_store(s->path, "it is an empty SQLite file", err);
    }
    return not_a_store(s->path, "it is another program's SQLite file", err);
}

/* The switch to WAL needs the file alone and SQLite does not call the busy handler for it, so two
 * processes that create the same store meet here: try again for a while. */
static rung_status set_wal(rung_store *s, rung_error *err) {
    double give_up = rung_now() + STORE_BUSY_MS / 1000.0;
    for (;;) {
        int rc = sqlite3_exec(s->db, "PRAGMA journal_mode=WAL", NULL, NULL, NULL);
        if (rc == SQLITE_OK) return RUNG_OK;
        if ((rc & 0xff) != SQLITE_BUSY || rung_now() > give_up)
            return store_fail(s, sqlite3_extended_errcode(s->db), err,
                              "could not prepare store \"%s\"", s->path);
        sqlite3_sleep(5);
    }
}

/* synchronous=NORMAL: the WAL is synced at checkpoints, not at each commit.  A killed process loses
 * nothing (its writes are with the kernel); a power cut may lose the last commits but never leaves
 * a damaged file, and lost work is simply done again. */
static rung_status set_up(rung_store *s, int flags, rung_error *err) {
    sqlite3_busy_timeout(s->db, STORE_BUSY_MS);
    RUNG_TRY(check_identity(s, flags, err));
    sqlite3_busy_timeout(s->db, STORE_BUSY_MS); /* again: the handle may be a new one */
    if (!s->read_only && sqlite3_db_readonly(s->db, "main") == 1) {
        rung_fail(err, RUNG_E_STORE, "could not write store \"%s\": the file is read-only",
                  s->path);
        return rung_error_hint(err, "check the permissions of the file and of its folder");
    }
    if (!s->read_only) RUNG_TRY(set_wal(s, err));
    RUNG_TRY(store_exec(s,
                        "PRAGMA foreign_keys=ON;PRAGMA synchronous=NORMAL;"
                        "PRAGMA temp_store=MEMORY;PRAGMA cache_size=-32768",
                        err));
    return store_migrate(s, store_migrations, store_n_migrations, err);
}

rung_status rung_store_open(rung_store **out, const char *path, int flags, rung_error *err) {
    *out = NULL;
    bool is_new;
    if (flags & RUNG_STORE_READ_ONLY) flags &= ~(int)RUNG_STORE_CREATE;
    RUNG_TRY(look_at_file(&is_new, path, flags, err));
    rung_store *s = rung_calloc(1, sizeof *s);
    if (!s) return rung_fail(err, RUNG_E_NOMEM, no_memory);
    rung_status st = RUNG_OK;
    s->read_only = (flags & RUNG_STORE_READ_ONLY) != 0;
    s->path = rung_strdup(path);
    s->strings = rung_arena_new(64 << 20);
    if (!s->path || !s->strings) {
        st = rung_fail(err, RUNG_E_NOMEM, no_memory);
        goto out;
    }
    int rc = open_db(&s->db, path, flags);
    if (rc != SQLITE_OK) {
        st = store_fail(s->db ? s : NULL, rc, err, "could not open store \"%s\"", path);
        goto out;
    }
    st = set_up(s, flags, err);
out:
    if (st != RUNG_OK) {
        rung_store_close(s);
        return st;
    }
    *out = s;
    return RUNG_OK;
}

void rung_store_close(rung_store *s) {
    if (!s) return;
    forget_stmts(s);
    if (s->db && !sqlite3_get_autocommit(s->db)) sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    sqlite3_close_v2(s->db);
    rung_arena_free(s->strings);
    rung_free(s->path);
    rung_free(s);
}

void *rung_store_sqlite(rung_store *s) {
    return s->db;
}

const char *rung_verdict_name(rung_verdict v) {
    static const char *const names[] = {"unknown", "correct", "wrong"};
    return (unsigned)v < 3 ? names[v] : "unknown";
}
