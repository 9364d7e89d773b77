/* Documents as passages in SQLite's FTS5, with a vector each when an embedder is given. Queries are
 * words in quotes and bound parameters: nothing of a query is SQL or an operator of FTS5. */
#include "base/json.h"
#include "base/utf8.h"
#include "rung/retrieve.h"
#include <math.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

enum {
    PASSAGE_WORDS = 100,
    RANKED = 100, /* of each ranking, that are fused */
    TERMS_MAX = 64,
    TERM_BYTES = 64,
    SNIPPET_WORDS = 24,
    FUSE_K = 60,
    INDEX_VERSION = 1
};

struct rung_index {
    sqlite3 *db;
    int32_t words, overlap;
    rung_embed_fn embed;
    bool dense;
    int64_t n;
};

static rung_status fail_sql(rung_error *err, const rung_index *x, const char *what) {
    int rc = sqlite3_errcode(x->db) & 0xff;
    rung_fail(err, rc == SQLITE_FULL ? RUNG_E_FULL : RUNG_E_STORE, "could not %s the index: %.150s",
              what, sqlite3_errmsg(x->db));
    return err ? err->code : RUNG_E_STORE;
}

static rung_status exec(rung_index *x, const char *sql, const char *what, rung_error *err) {
    return sqlite3_exec(x->db, sql, NULL, NULL, NULL) == SQLITE_OK ? RUNG_OK
                                                                   : fail_sql(err, x, what);
}

static int64_t get_int(rung_index *x, const char *sql) {
    sqlite3_stmt *st = NULL;
    int64_t v = -1;
    if (sqlite3_prepare_v2(x->db, sql, -1, &st, NULL) == SQLITE_OK &&
        sqlite3_step(st) == SQLITE_ROW)
        v = sqlite3_column_int64(st, 0);
    sqlite3_finalize(st);
    return v;
}

static const char schema[] =
    "CREATE TABLE doc(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, title TEXT NOT NULL);"
    "CREATE TABLE passage(id INTEGER PRIMARY KEY, doc INTEGER NOT NULL, i INTEGER NOT NULL,"
    " vector BLOB);"
    "CREATE VIRTUAL TABLE words USING fts5(title, body, tokenize='porter unicode61 "
    "remove_diacritics 2');";

static rung_status make_tables(rung_index *x, rung_error *err) {
    char sql[64];
    int64_t version = get_int(x, "PRAGMA user_version");
    if (version == INDEX_VERSION) return RUNG_OK;
    if (version != 0 || get_int(x, "SELECT count(*) FROM sqlite_master") != 0)
        return rung_fail(err, RUNG_E_FORMAT, "the file is no index of passages of this version");
    if (sqlite3_compileoption_used("ENABLE_FTS5") == 0 &&
        get_int(x, "SELECT count(*) FROM pragma_module_list WHERE name='fts5'") < 1)
        return rung_fail(err, RUNG_E_NOT_BUILT, "this SQLite has no full-text search (FTS5)");
    RUNG_TRY(exec(x, schema, "make", err));
    sqlite3_snprintf((int)sizeof sql, sql, "PRAGMA user_version=%d", INDEX_VERSION);
    return exec(x, sql, "make", err);
}

rung_status rung_index_new(rung_index **out, const char *path, const rung_index_opts *opts,
                           rung_error *err) {
    static const rung_index_opts none = RUNG_INDEX_OPTS_INIT;
    rung_index_opts o = none;
    *out = NULL;
    if (opts && (opts->struct_size == 0 || opts->struct_size > sizeof o))
        return rung_fail(err, RUNG_E_INVAL, "rung_index_opts has another size");
    if (opts) memcpy(&o, opts, opts->struct_size);
    if (o.words <= 0) o.words = PASSAGE_WORDS;
    if (o.overlap < 0 || o.overlap >= o.words)
        return rung_fail(err, RUNG_E_INVAL, "passages of %d words cannot share %d", o.words,
                         o.overlap);
    rung_index *x = rung_calloc(1, sizeof *x);
    if (!x) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    x->words = o.words;
    x->overlap = o.overlap;
    x->dense = o.embed != NULL;
    if (o.embed) x->embed = *o.embed;
    rung_status st = RUNG_OK;
    if (sqlite3_open_v2(path ? path : ":memory:", &x->db,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL) != SQLITE_OK)
        st = fail_sql(err, x, "open");
    if (st == RUNG_OK) st = make_tables(x, err);
    if (st == RUNG_OK && x->dense &&
        get_int(x, "SELECT count(*) FROM passage WHERE vector IS NULL") > 0)
        st = rung_fail(err, RUNG_E_MISMATCH, "the index was made without an embedder");
    if (st != RUNG_OK) {
        rung_index_free(x);
        return st;
    }
    x->n = get_int(x, "SELECT count(*) FROM passage");
    *out = x;
    return RUNG_OK;
}

void rung_index_free(rung_index *x) {
    if (!x) return;
    sqlite3_close_v2(x->db);
    rung_free(x);
}

int64_t rung_index_count(const rung_index *x) {
    return x->n;
}

/* ---- adding ---- */

static bool blank(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_text(const char *s) {
    size_t n = strlen(s), k;
    for (const char *p = s; n > 0; p += k, n -= k) {
        k = rung_utf8_len(p, n, NULL);
        if (k == 0) return false;
    }
    return true;
}

/* The n-th word's begin; the end of the text beyond the last. */
static const char *skip_words(const char *p, int32_t n) {
    while (blank(*p)) p++;
    for (; n > 0 && *p; n--) {
        while (*p && !blank(*p)) p++;
        while (blank(*p)) p++;
    }
    return p;
}

static rung_status put_doc(int64_t *doc, rung_index *x, const char *id, const char *title,
                           rung_error *err) {
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(x->db, "INSERT INTO doc(name,title) VALUES(?1,?2)", -1, &st, NULL);
    if (rc == SQLITE_OK) {
        sqlite3_bind_text(st, 1, id, -1, SQLITE_STATIC);
        sqlite3_bind_text(st, 2, title, -1, SQLITE_STATIC);
        rc = sqlite3_step(st);
    }
    rung_status s = rc == SQLITE_DONE ? RUNG_OK
                    : (rc & 0xff) == SQLITE_CONSTRAINT
                        ? rung_fail(err, RUNG_E_FORMAT, "document \"%.80s\" is there already", id)
                        : fail_sql(err, x, "write");
    sqlite3_finalize(st);
    *doc = sqlite3_last_insert_rowid(x->db);
    return s;
}

static rung_status put_passage(rung_index *x, int64_t doc, int32_t i, const char *title,
                               const char *text, size_t n, const float *vector, rung_error *err) {
    sqlite3_stmt *p = NULL, *w = NULL;
    bool ok = sqlite3_prepare_v2(x->db, "INSERT INTO passage(doc,i,vector) VALUES(?1,?2,?3)", -1,
                                 &p, NULL) == SQLITE_OK &&
              sqlite3_prepare_v2(x->db, "INSERT INTO words(rowid,title,body) VALUES(?1,?2,?3)", -1,
                                 &w, NULL) == SQLITE_OK;
    if (ok) {
        sqlite3_bind_int64(p, 1, doc);
        sqlite3_bind_int(p, 2, i);
        if (vector)
            sqlite3_bind_blob(p, 3, vector, (int)((size_t)x->embed.n_dim * sizeof *vector),
                              SQLITE_STATIC);
        ok = sqlite3_step(p) == SQLITE_DONE;
    }
    if (ok) {
        sqlite3_bind_int64(w, 1, sqlite3_last_insert_rowid(x->db));
        sqlite3_bind_text(w, 2, title, -1, SQLITE_STATIC);
        sqlite3_bind_text(w, 3, text, (int)n, SQLITE_STATIC);
        ok = sqlite3_step(w) == SQLITE_DONE;
    }
    rung_status st = ok ? RUNG_OK : fail_sql(err, x, "write");
    sqlite3_finalize(p);
    sqlite3_finalize(w);
    return st;
}

static rung_status embed_one(float **out, rung_index *x, const char *title, const char *text,
                             size_t n, rung_error *err) {
    *out = NULL;
    if (!x->dense) return RUNG_OK;
    rung_buf b;
    rung_buf_init(&b, 64 << 20);
    rung_buf_str(&b, title);
    if (*title) rung_buf_str(&b, "\n");
    rung_buf_append(&b, text, n);
    float *v = rung_alloc((size_t)x->embed.n_dim * sizeof *v);
    rung_status st = rung_buf_check(&b, err);
    if (st == RUNG_OK && !v) st = rung_fail(err, RUNG_E_NOMEM, "out of memory");
    const char *one = b.data;
    if (st == RUNG_OK) st = x->embed.embed(v, x->embed.ud, &one, 1, false, err);
    rung_buf_clear(&b);
    if (st != RUNG_OK) {
        rung_free(v);
        v = NULL;
    }
    *out = v;
    return st;
}

static rung_status add(rung_index *x, const char *id, const char *title, const char *text,
                       rung_error *err) {
    int64_t doc = 0;
    int32_t i = 0;
    RUNG_TRY(put_doc(&doc, x, id, title, err));
    for (const char *p = skip_words(text, 0); *p; i++) {
        const char *end = skip_words(p, x->words), *last = end;
        float *vector = NULL;
        while (last > p && blank(last[-1])) last--;
        rung_status st = embed_one(&vector, x, title, p, (size_t)(last - p), err);
        if (st == RUNG_OK) st = put_passage(x, doc, i, title, p, (size_t)(last - p), vector, err);
        rung_free(vector);
        RUNG_TRY(st);
        p = *end ? skip_words(p, x->words - x->overlap) : end;
    }
    x->n += i;
    return RUNG_OK;
}

rung_status rung_index_add(rung_index *x, const char *id, const char *title, const char *text,
                           rung_error *err) {
    title = title ? title : "";
    if (!id || !*id) return rung_fail(err, RUNG_E_FORMAT, "a document without an id");
    if (!is_text(id) || !is_text(title) || !is_text(text))
        return rung_fail(err, RUNG_E_FORMAT, "document \"%.80s\" is not UTF-8", id);
    if (!*skip_words(text, 0))
        return rung_fail(err, RUNG_E_FORMAT, "document \"%.80s\" holds no word", id);
    int64_t before = x->n;
    RUNG_TRY(exec(x, "SAVEPOINT one", "write", err));
    rung_status st = add(x, id, title, text, err);
    if (st == RUNG_OK) return exec(x, "RELEASE one", "write", err);
    x->n = before;
    (void)exec(x, "ROLLBACK TO one; RELEASE one", "write", NULL);
    return st;
}

rung_status rung_index_add_file(int64_t *n_docs, rung_index *x, const char *path, rung_error *err) {
    rung_jsonl *r;
    yyjson_val *row;
    rung_status st;
    int64_t n = 0, before = x->n;
    RUNG_TRY(rung_jsonl_open(&r, path, 0, err));
    st = exec(x, "SAVEPOINT file", "write", err);
    while (st == RUNG_OK && (st = rung_jsonl_next(&row, r, err)) == RUNG_OK) {
        rung_error e = RUNG_ERROR_INIT;
        const char *id = rung_json_str(row, "id", NULL), *text = rung_json_str(row, "text", NULL);
        st = id && text ? rung_index_add(x, id, rung_json_str(row, "title", ""), text, &e)
                        : rung_fail(&e, RUNG_E_FORMAT, "needs the strings \"id\" and \"text\"");
        if (st != RUNG_OK)
            rung_fail(err, st, "%.100s:%lld: %.130s", path, (long long)rung_jsonl_line(r), e.what);
        n += st == RUNG_OK;
    }
    rung_jsonl_close(r);
    if (st == RUNG_DONE) {
        if (n_docs) *n_docs = n;
        return exec(x, "RELEASE file", "write", err);
    }
    x->n = before;
    (void)exec(x, "ROLLBACK TO file; RELEASE file", "write", NULL);
    return st;
}

/* ---- rankings ---- */

typedef struct ranked {
    int64_t id; /* of the passage */
    double score, bm25, cosine;
    int32_t rank[2]; /* by BM25, by vectors; 0: not among the first RANKED */
} ranked;
typedef struct ranking {
    ranked *at;
    int32_t n;
} ranking;

static bool word_byte(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (unsigned char)c >= 0x80;
}

/* "these" OR "words": up to TERMS_MAX different ones. */
static void match_text(rung_buf *out, const char *query) {
    uint64_t seen[TERMS_MAX];
    int n = 0;
    rung_buf_append(out, "", 0);
    for (const char *p = query; *p && n < TERMS_MAX;) {
        size_t len = 0;
        while (word_byte(p[len])) len++;
        if (len == 0) {
            p++;
            continue;
        }
        size_t used = len > TERM_BYTES ? TERM_BYTES : len;
        while (used < len && used > 0 && ((unsigned char)p[used] & 0xc0) == 0x80) used--;
        uint64_t h = rung_hash64(p, used, 0);
        bool known = false;
        for (int i = 0; i < n; i++) known = known || seen[i] == h;
        if (!known) {
            rung_buf_str(out, n ? " OR \"" : "\"");
            rung_buf_append(out, p, used);
            rung_buf_str(out, "\"");
            seen[n++] = h;
        }
        p += len;
    }
}

static ranked *slot_of(ranking *r, int64_t id) {
    for (int32_t i = 0; i < r->n; i++)
        if (r->at[i].id == id) return &r->at[i];
    r->at[r->n] = (ranked){.id = id};
    return &r->at[r->n++];
}

static rung_status by_words(ranking *out, rung_index *x, const char *match, rung_error *err) {
    sqlite3_stmt *st = NULL;
    if (!*match) return RUNG_OK;
    int rc = sqlite3_prepare_v2(x->db,
                                "SELECT rowid, -bm25(words) FROM words WHERE words MATCH ?1 "
                                "ORDER BY bm25(words), rowid LIMIT ?2",
                                -1, &st, NULL);
    if (rc == SQLITE_OK) {
        sqlite3_bind_text(st, 1, match, -1, SQLITE_STATIC);
        sqlite3_bind_int(st, 2, RANKED);
        for (int32_t k = 1; (rc = sqlite3_step(st)) == SQLITE_ROW; k++) {
            ranked *r = slot_of(out, sqlite3_column_int64(st, 0));
            r->bm25 = sqlite3_column_double(st, 1);
            r->rank[0] = k;
        }
    }
    rung_status s = rc == SQLITE_DONE ? RUNG_OK : fail_sql(err, x, "search");
    sqlite3_finalize(st);
    return s;
}

static int by_cosine(const void *a, const void *b) {
    const ranked *x = a, *y = b;
    if (x->cosine > y->cosine) return -1;
    if (x->cosine < y->cosine) return 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

/* All vectors, by inner product: they are of length 1. */
static rung_status by_vectors(ranking *out, rung_index *x, rung_arena *a, const char *query,
                              rung_error *err) {
    sqlite3_stmt *st = NULL;
    size_t n_dim = (size_t)x->embed.n_dim;
    float *q = rung_arena_alloc(a, n_dim * sizeof *q);
    ranked *all = rung_arena_alloc(a, ((size_t)x->n + 1) * sizeof *all);
    int64_t n = 0;
    if (!q || !all) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    RUNG_TRY(x->embed.embed(q, x->embed.ud, &query, 1, true, err));
    int rc = sqlite3_prepare_v2(x->db, "SELECT id, vector FROM passage", -1, &st, NULL);
    while (rc == SQLITE_OK || rc == SQLITE_ROW) {
        rc = sqlite3_step(st);
        if (rc != SQLITE_ROW || n == x->n) break;
        const float *v = sqlite3_column_blob(st, 1);
        if (!v || (size_t)sqlite3_column_bytes(st, 1) != n_dim * sizeof *v) {
            sqlite3_finalize(st);
            return rung_fail(err, RUNG_E_MISMATCH, "the index was made with another embedder");
        }
        double dot = 0;
        for (size_t d = 0; d < n_dim; d++) dot += (double)q[d] * (double)v[d];
        all[n++] = (ranked){.id = sqlite3_column_int64(st, 0), .cosine = dot};
    }
    sqlite3_finalize(st);
    if (rc != SQLITE_DONE) return fail_sql(err, x, "read");
    qsort(all, (size_t)n, sizeof *all, by_cosine);
    for (int32_t k = 0; k < n && k < RANKED; k++) {
        ranked *r = slot_of(out, all[k].id);
        r->cosine = all[k].cosine;
        r->rank[1] = k + 1;
    }
    return RUNG_OK;
}

void rung_fuse(double *score, int32_t n, const int32_t *const *rank, int32_t n_lists) {
    for (int32_t i = 0; i < n; i++) {
        score[i] = 0;
        for (int32_t l = 0; l < n_lists; l++)
            if (rank[l][i] > 0) score[i] += 1.0 / (double)(FUSE_K + rank[l][i]);
    }
}

static int by_score(const void *a, const void *b) {
    const ranked *x = a, *y = b;
    if (x->score > y->score) return -1;
    if (x->score < y->score) return 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

static rung_status order(ranking *r, rung_arena *a, rung_rank by, rung_error *err) {
    size_t n = (size_t)r->n;
    int32_t *rank[2] = {rung_arena_alloc(a, (n + 1) * sizeof(int32_t)),
                        rung_arena_alloc(a, (n + 1) * sizeof(int32_t))};
    double *score = rung_arena_alloc(a, (n + 1) * sizeof *score);
    if (!rank[0] || !rank[1] || !score) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    for (size_t i = 0; i < n; i++)
        for (int l = 0; l < 2; l++) rank[l][i] = r->at[i].rank[l];
    rung_fuse(score, r->n, (const int32_t *const *)rank, 2);
    for (size_t i = 0; i < n; i++)
        r->at[i].score = by == RUNG_RANK_BM25    ? r->at[i].bm25
                         : by == RUNG_RANK_DENSE ? r->at[i].cosine
                                                 : score[i];
    qsort(r->at, n, sizeof *r->at, by_score);
    return RUNG_OK;
}

/* ---- hits ---- */

static const char *column(rung_arena *a, sqlite3_stmt *st, int c, bool *ok) {
    const char *s = (const char *)sqlite3_column_text(st, c);
    char *copy = rung_arena_strndup(a, s ? s : "", s ? (size_t)sqlite3_column_bytes(st, c) : 0);
    *ok = *ok && copy;
    return copy ? copy : "";
}

static rung_status fill(rung_hit *hit, rung_index *x, rung_arena *a, const ranked *r,
                        const char *match, rung_error *err) {
    static const char found[] =
        "SELECT d.name, d.title, p.i, w.body, snippet(words, 1, '[', ']', '...', ?3) "
        "FROM words w, passage p, doc d WHERE w.words MATCH ?2 AND w.rowid=?1 AND p.id=?1 AND "
        "d.id=p.doc";
    static const char plain[] = "SELECT d.name, d.title, p.i, w.body, w.body FROM words w, "
                                "passage p, doc d WHERE w.rowid=?1 AND p.id=?1 AND d.id=p.doc";
    sqlite3_stmt *st = NULL;
    bool ok = sqlite3_prepare_v2(x->db, r->rank[0] ? found : plain, -1, &st, NULL) == SQLITE_OK;
    if (ok) sqlite3_bind_int64(st, 1, r->id);
    if (ok && r->rank[0]) {
        sqlite3_bind_text(st, 2, match, -1, SQLITE_STATIC);
        sqlite3_bind_int(st, 3, SNIPPET_WORDS);
    }
    if (!ok || sqlite3_step(st) != SQLITE_ROW) {
        sqlite3_finalize(st);
        return fail_sql(err, x, "search");
    }
    *hit = (rung_hit){.id = column(a, st, 0, &ok),
                      .title = column(a, st, 1, &ok),
                      .passage = sqlite3_column_int(st, 2),
                      .text = column(a, st, 3, &ok),
                      .snippet = column(a, st, 4, &ok),
                      .score = r->score,
                      .rank_bm25 = r->rank[0],
                      .rank_dense = r->rank[1]};
    if (ok && !r->rank[0]) { /* found by its vector only: its beginning */
        const char *end = skip_words(hit->snippet, SNIPPET_WORDS);
        hit->snippet = rung_arena_strndup(a, hit->snippet, (size_t)(end - hit->snippet));
        ok = hit->snippet != NULL;
    }
    sqlite3_finalize(st);
    return ok ? RUNG_OK : rung_fail(err, RUNG_E_NOMEM, "out of memory");
}

static rung_status rank_all(ranking *r, rung_index *x, rung_arena *a, const char *query,
                            const char *match, rung_rank by, rung_error *err) {
    r->at = rung_arena_alloc(a, (2 * RANKED + 1) * sizeof *r->at);
    r->n = 0;
    if (!r->at) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    if (by != RUNG_RANK_DENSE) RUNG_TRY(by_words(r, x, match, err));
    if (by != RUNG_RANK_BM25) RUNG_TRY(by_vectors(r, x, a, query, err));
    return order(r, a, by, err);
}

rung_status rung_index_search(rung_hit **hit, int32_t *n, rung_arena *a, rung_index *x,
                              const char *query, int32_t k, rung_rank by, rung_error *err) {
    ranking r;
    rung_buf match;
    *hit = NULL;
    *n = 0;
    if (k <= 0) return RUNG_OK;
    if (by != RUNG_RANK_BM25 && !x->dense)
        return rung_fail(err, RUNG_E_INVAL, "the index has no vectors: give it an embedder");
    rung_buf_init(&match, 1 << 20);
    match_text(&match, query);
    rung_status st = rung_buf_check(&match, err);
    if (st == RUNG_OK) st = rank_all(&r, x, a, query, match.data, by, err);
    if (st == RUNG_OK) {
        int32_t m = r.n < k ? r.n : k;
        *hit = rung_arena_alloc(a, ((size_t)m + 1) * sizeof **hit);
        if (!*hit) st = rung_fail(err, RUNG_E_NOMEM, "out of memory");
        for (int32_t i = 0; i < m && st == RUNG_OK; i++)
            st = fill(&(*hit)[i], x, a, &r.at[i], match.data, err);
        if (st == RUNG_OK) *n = m;
    }
    rung_buf_clear(&match);
    return st;
}

double rung_recall(const rung_hit *hit, int32_t n, const char *const *want, int32_t n_want) {
    int32_t found = 0;
    for (int32_t w = 0; w < n_want; w++) {
        int32_t i = 0;
        while (i < n && strcmp(hit[i].id, want[w]) != 0) i++;
        found += i < n;
    }
    return n_want > 0 ? (double)found / (double)n_want : (double)NAN;
}
