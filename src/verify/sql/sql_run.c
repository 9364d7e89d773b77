/* Databases by name, the workers that hold them, and the results that are kept: by the database's
 * hash, the limits and the normalised query, so a cache can never be seen in a result. */
#include "base/json.h"
#include "verify/sql/frame.h"
#include "verify/sql/guard.h"
#include "verify/sql/worker.h"
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { WORKERS_MAX = 64, BUCKETS = 4096, N_HASHES = 64, RESULT_VERSION = 1 };

typedef struct slot { /* a worker and what it holds */
    sql_worker w;
    char hash[33];
    uint64_t used;
} slot;
typedef struct entry entry;
struct entry { /* a kept result */
    entry *next, *younger;
    char key[33];
    size_t n;
    char frame[];
};
typedef struct file_hash { /* of a file that has not changed since */
    char path[PATH_MAX];
    struct stat st;
    char hash[33];
} file_hash;

struct rung_sql {
    rung_sql_limits limits;
    char *folder;
    rung_store *store;
    int32_t n_slots;
    slot slot[WORKERS_MAX];
    uint64_t clock;
    entry *bucket[BUCKETS], *oldest, *youngest;
    int64_t kept, kept_max;
    file_hash *file; /* [N_HASHES] */
    size_t n_files;
    rung_sql_counts n;
};

const char *rung_sql_outcome_text(rung_sql_outcome o) {
    static const char *const text[] = {
#define X(id, value, verdict, name) name,
        RUNG_SQL_OUTCOMES(X)
#undef X
    };
    return (size_t)o < sizeof text / sizeof *text ? text[o] : "?";
}

rung_status rung_sql_new(rung_sql **out, const rung_sql_opts *opts, rung_error *err) {
    static const rung_sql_opts none = RUNG_SQL_OPTS_INIT;
    rung_sql_opts o = none;
    *out = NULL;
    if (!opts) opts = &none;
    if (opts->struct_size == 0 || opts->struct_size > sizeof o)
        return rung_fail(err, RUNG_E_INVAL, "rung_sql_opts has a size that is not this one's");
    memcpy(&o, opts, opts->struct_size);
    rung_sql *s = rung_calloc(1, sizeof *s);
    if (!s) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    s->limits = guard_limits(&o.limits);
    s->store = o.cache;
    s->n_slots = o.n_workers > 0 ? o.n_workers : 8;
    if (s->n_slots > WORKERS_MAX) s->n_slots = WORKERS_MAX;
    s->kept_max = o.cache_bytes ? o.cache_bytes : (int64_t)64 << 20;
    s->file = rung_calloc(N_HASHES, sizeof *s->file);
    s->folder = rung_strdup(o.folder ? o.folder : "");
    if (!s->file || !s->folder) {
        rung_sql_free(s);
        return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    }
    *out = s;
    return RUNG_OK;
}

static void forget_oldest(rung_sql *s) {
    entry *e = s->oldest, **at = &s->bucket[rung_hash64(e->key, 32, 0) % BUCKETS];
    while (*at != e) at = &(*at)->next;
    *at = e->next;
    s->oldest = e->younger;
    if (!s->oldest) s->youngest = NULL;
    s->kept -= (int64_t)(sizeof *e + e->n);
    rung_free(e);
}

void rung_sql_free(rung_sql *s) {
    if (!s) return;
    for (int32_t i = 0; i < s->n_slots; i++) worker_stop(&s->slot[i].w);
    while (s->oldest) forget_oldest(s);
    rung_free(s->file);
    rung_free(s->folder);
    rung_free(s);
}

rung_sql_counts rung_sql_count(const rung_sql *s) {
    return s->n;
}

/* ---- which file, which hash ---- */

static bool is_file(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

static rung_status find_file(char path[PATH_MAX], const rung_sql *s, const char *name,
                             rung_error *err) {
    bool plain = name[0] && !strchr(name, '/') && strcmp(name, "..") != 0;
    if (s->folder[0] && plain) {
        for (int i = 0; i < 4; i++) {
            int n = i == 0   ? snprintf(path, PATH_MAX, "%s/%s/%s.sqlite", s->folder, name, name)
                    : i == 1 ? snprintf(path, PATH_MAX, "%s/%s.sqlite", s->folder, name)
                    : i == 2 ? snprintf(path, PATH_MAX, "%s/%s.db", s->folder, name)
                             : snprintf(path, PATH_MAX, "%s/%s", s->folder, name);
            if (n < PATH_MAX && is_file(path)) return RUNG_OK;
        }
    }
    if (snprintf(path, PATH_MAX, "%s", name) < PATH_MAX && is_file(path)) return RUNG_OK;
    rung_fail(err, RUNG_E_NOT_FOUND, "no database \"%s\"%s%s%s", name, s->folder[0] ? " in \"" : "",
              s->folder, s->folder[0] ? "\"" : "");
    return rung_error_hint(err, "it is looked for as FOLDER/NAME/NAME.sqlite, FOLDER/NAME.sqlite, "
                                "FOLDER/NAME.db and as a file");
}

static bool same_file(const struct stat *a, const struct stat *b) {
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* Rows that lie in a write-ahead log only would not be seen. */
static rung_status no_log_beside(const char *path, rung_error *err) {
    char wal[PATH_MAX + 8];
    struct stat st;
    snprintf(wal, sizeof wal, "%s-wal", path);
    if (stat(wal, &st) != 0 || st.st_size == 0) return RUNG_OK;
    rung_fail(err, RUNG_E_FORMAT, "\"%s\" has a write-ahead log beside it", path);
    return rung_error_hint(err, "close it, or say PRAGMA wal_checkpoint(TRUNCATE) in it");
}

static rung_status hash_file(char out[33], rung_sql *s, const char *path, rung_error *err) {
    struct stat st;
    if (stat(path, &st) != 0) return rung_fail_errno(err, "could not look at \"%s\"", path);
    RUNG_TRY(no_log_beside(path, err));
    for (size_t i = 0; i < N_HASHES && i < s->n_files; i++) {
        if (strcmp(s->file[i].path, path) != 0 || !same_file(&s->file[i].st, &st)) continue;
        memcpy(out, s->file[i].hash, 33);
        return RUNG_OK;
    }
    RUNG_TRY(rung_hash_file(out, path, err));
    file_hash *f = &s->file[s->n_files++ % N_HASHES];
    snprintf(f->path, sizeof f->path, "%s", path);
    f->st = st;
    memcpy(f->hash, out, 33);
    return RUNG_OK;
}

/* path: where the file is; not touched for a script. */
static rung_status resolve(char path[PATH_MAX], char hash[33], rung_sql *s, const rung_sql_db *db,
                           rung_error *err) {
    if (!db || (!db->file) == (!db->script))
        return rung_fail(err, RUNG_E_INVAL, "a database is a file or a script");
    if (db->script) {
        rung_hash_hex(hash, db->script, strlen(db->script));
        return RUNG_OK;
    }
    RUNG_TRY(find_file(path, s, db->file, err));
    return hash_file(hash, s, path, err);
}

rung_status rung_sql_db_hash(char out[33], rung_sql *s, const rung_sql_db *db, rung_error *err) {
    char path[PATH_MAX];
    return resolve(path, out, s, db, err);
}

/* ---- what is kept ---- */

static void keep(rung_sql *s, const char key[33], const char *frame, size_t n) {
    if (s->kept_max < 0 || (int64_t)n > s->kept_max / 4) return;
    entry *e = rung_alloc(sizeof *e + n);
    if (!e) return; /* it will be run again */
    memcpy(e->key, key, 33);
    memcpy(e->frame, frame, n);
    e->n = n;
    entry **at = &s->bucket[rung_hash64(key, 32, 0) % BUCKETS];
    e->next = *at;
    *at = e;
    e->younger = NULL;
    if (s->youngest)
        s->youngest->younger = e;
    else
        s->oldest = e;
    s->youngest = e;
    s->kept += (int64_t)(sizeof *e + n);
    while (s->kept > s->kept_max) forget_oldest(s);
}

static const entry *kept(const rung_sql *s, const char key[33]) {
    const entry *e = s->bucket[rung_hash64(key, 32, 0) % BUCKETS];
    while (e && memcmp(e->key, key, 32) != 0) e = e->next;
    return e;
}

static void result_key(char key[33], const rung_sql *s, const char *hash, const rung_buf *sql) {
    char head[200];
    const rung_sql_limits *l = &s->limits;
    rung_buf b;
    int n =
        snprintf(head, sizeof head, "%d %s %lld %lld %lld %lld\n", RESULT_VERSION, hash,
                 (long long)l->work, (long long)l->memory, (long long)l->bytes, (long long)l->rows);
    rung_buf_init(&b, 0);
    rung_buf_append(&b, head, (size_t)n);
    if (sql->n > 0) rung_buf_append(&b, sql->data, sql->n);
    rung_hash_hex(key, b.data, b.n);
    rung_buf_clear(&b);
}

/* In the store as "sql-1/KEY". */
static rung_status from_store(rung_buf *frame, bool *found, rung_sql *s, const char key[33],
                              rung_error *err) {
    char name[48];
    *found = false;
    if (!s->store) return RUNG_OK;
    snprintf(name, sizeof name, "sql-%d/%s", RESULT_VERSION, key);
    return rung_cache_get(frame, found, s->store, name, err);
}

static rung_status into_store(rung_sql *s, const char key[33], const rung_buf *frame,
                              rung_error *err) {
    char name[48];
    if (!s->store) return RUNG_OK;
    snprintf(name, sizeof name, "sql-%d/%s", RESULT_VERSION, key);
    return rung_cache_put(s->store, name, frame->data, frame->n, err);
}

/* ---- running ---- */

/* The worker that holds the database; the one that waited longest makes room. */
static rung_status worker_of(sql_worker **out, rung_sql *s, const char *path, const char *script,
                             const char *hash, rung_error *err) {
    slot *old = &s->slot[0];
    for (int32_t i = 0; i < s->n_slots; i++) {
        slot *t = &s->slot[i];
        if (t->w.pid > 0 && memcmp(t->hash, hash, 32) == 0) {
            t->used = ++s->clock;
            *out = &t->w;
            return RUNG_OK;
        }
        if (t->used < old->used) old = t;
    }
    if (old->w.pid > 0) worker_stop(&old->w);
    rung_status st = worker_start(&old->w, path, script, &s->limits, err);
    if (st == RUNG_E_FORMAT && err) {
        rung_error e = *err;
        rung_fail(err, st, "could not open the database %s%s%s: %.150s", script ? "" : "\"",
                  script ? "of the script" : path, script ? "" : "\"", e.what);
    }
    RUNG_TRY(st);
    memcpy(old->hash, hash, 33);
    old->used = ++s->clock;
    s->n.n_workers++;
    *out = &old->w;
    return RUNG_OK;
}

static void lost(rung_sql_result *out, bool starved) {
    *out = (rung_sql_result){.outcome = starved ? RUNG_SQL_STARVED : RUNG_SQL_CRASHED, .error = ""};
}

static rung_status ask_worker(rung_sql_result *out, rung_buf *frame, rung_arena *a, rung_sql *s,
                              const char *path, const rung_sql_db *db, const char *hash,
                              const char *sql, const char key[33], rung_error *err) {
    sql_worker *w = NULL;
    bool starved = false;
    RUNG_TRY(worker_of(&w, s, path, db->script, hash, err));
    s->n.n_run++;
    rung_status st = worker_query(frame, &starved, w, sql, &s->limits, err);
    if (st == RUNG_DONE) {
        lost(out, starved);
        return RUNG_OK;
    }
    RUNG_TRY(st);
    if (!frame_read(out, a, frame->data, frame->n)) { /* no honest worker says that */
        worker_stop(w);
        lost(out, false);
        return RUNG_OK;
    }
    keep(s, key, frame->data, frame->n);
    return into_store(s, key, frame, err);
}

static rung_status run(rung_sql_result *out, rung_buf *sql, rung_buf *frame, rung_arena *a,
                       rung_sql *s, const rung_sql_db *db, const char *text, rung_error *err) {
    char path[PATH_MAX] = "", hash[33], key[33];
    bool found = false;
    RUNG_TRY(resolve(path, hash, s, db, err));
    rung_sql_normal(sql, text);
    RUNG_TRY(rung_buf_check(sql, err));
    result_key(key, s, hash, sql);
    const entry *e = kept(s, key);
    s->n.n_cached++;
    if (e && frame_read(out, a, e->frame, e->n)) return RUNG_OK;
    RUNG_TRY(from_store(frame, &found, s, key, err));
    if (found && frame_read(out, a, frame->data, frame->n)) {
        keep(s, key, frame->data, frame->n);
        return RUNG_OK;
    }
    s->n.n_cached--;
    rung_buf_reset(frame);
    return ask_worker(out, frame, a, s, path, db, hash, sql->data ? sql->data : "", key, err);
}

rung_status rung_sql_run(rung_sql_result *out, rung_arena *a, rung_sql *s, const rung_sql_db *db,
                         const char *sql, rung_error *err) {
    rung_buf text, frame;
    memset(out, 0, sizeof *out);
    out->error = "";
    rung_buf_init(&text, 64 << 20);
    rung_buf_init(&frame, FRAME_BYTES_MAX);
    rung_status st = run(out, &text, &frame, a, s, db, sql ? sql : "", err);
    rung_buf_clear(&text);
    rung_buf_clear(&frame);
    return st;
}

rung_status rung_sql_db_from_meta(rung_sql_db *out, rung_arena *a, const char *meta,
                                  rung_error *err) {
    *out = (rung_sql_db){NULL, NULL};
    yyjson_doc *doc = meta ? yyjson_read(meta, strlen(meta), 0) : NULL;
    yyjson_val *db = yyjson_obj_get(yyjson_doc_get_root(doc), "db");
    const char *file = yyjson_get_str(db);
    const char *script = yyjson_get_str(yyjson_obj_get(db, "script"));
    const char *text = file ? file : script;
    char *copy = text ? rung_arena_strndup(a, text, strlen(text)) : NULL;
    if (file)
        out->file = copy;
    else
        out->script = copy;
    yyjson_doc_free(doc);
    if (!text)
        return rung_fail(err, RUNG_E_FORMAT, "the problem's meta names no database (\"db\")");
    return copy ? RUNG_OK : rung_fail(err, RUNG_E_NOMEM, "out of memory");
}
