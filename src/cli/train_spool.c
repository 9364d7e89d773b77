#include "cli/train_spool.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static const char MAGIC[8] = {'R', 'U', 'N', 'G', 'T', 'O', 'K', '1'};

typedef struct trailer {
    char key[40];
    int64_t n_docs, n_tok;
    uint64_t hash; /* of each document's tokens and row, in order */
} trailer;

void train_spool_clear(train_spool *s) {
    if (s->map) munmap(s->map, s->n_map);
    rung_out_discard(s->out);
    rung_free(s->list);
    memset(s, 0, sizeof *s);
}

static uint64_t hash_doc(uint64_t hash, const int32_t *tok, const train_doc *d) {
    hash = rung_hash64(tok, (size_t)d->n * sizeof *tok, hash);
    return rung_hash64(d, sizeof *d, hash);
}

static rung_status torn(const char *path, rung_error *err) {
    rung_fail(err, RUNG_E_FORMAT, "\"%s\" is torn or damaged: no tokens that can be trusted", path);
    return rung_error_hint(err, "delete it: it is made again from the data");
}

/* Lengths that fit one another, documents inside the tokens, the hash. */
static rung_status check(const train_spool *s, const trailer *t, const char *path,
                         rung_error *err) {
    uint64_t hash = 0;
    for (int64_t i = 0; i < s->n_docs; i++) {
        const train_doc *d = &s->doc[i];
        if (d->at < 0 || d->n < 2 || d->at > s->n_tok - d->n || d->n_prompt < 1 ||
            d->n_prompt >= d->n)
            return torn(path, err);
        hash = hash_doc(hash, s->tok + d->at, d);
    }
    return hash == t->hash ? RUNG_OK : torn(path, err);
}

static rung_status map_file(train_spool *s, const char *path, rung_error *err) {
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0) {
        int e = errno;
        if (fd >= 0) close(fd);
        return rung_fail(err, e == ENOENT ? RUNG_E_NOT_FOUND : RUNG_E_IO,
                         "could not open \"%s\": %s", path, strerror(e));
    }
    s->n_map = (size_t)st.st_size;
    if (s->n_map >= sizeof MAGIC + sizeof(trailer))
        s->map = mmap(NULL, s->n_map, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    if (s->map == MAP_FAILED) {
        s->map = NULL;
        return rung_fail(err, RUNG_E_IO, "could not map \"%s\": %s", path, strerror(errno));
    }
    return s->map ? RUNG_OK : torn(path, err);
}

rung_status train_spool_open(train_spool *s, bool *found, const char *path, const char *key,
                             rung_error *err) {
    trailer t;
    memset(s, 0, sizeof *s);
    *found = false;
    if (access(path, F_OK) != 0) return RUNG_OK;
    rung_status st;
    RUNG_GOTO(map_file(s, path, err));
    const char *at = s->map;
    memcpy(&t, at + s->n_map - sizeof t, sizeof t);
    size_t room = s->n_map - sizeof MAGIC - sizeof t;
    if (memcmp(at, MAGIC, sizeof MAGIC) != 0 || t.n_docs < 0 || t.n_tok < 0 ||
        (uint64_t)t.n_tok > room / sizeof *s->tok || (uint64_t)t.n_docs > room / sizeof *s->doc ||
        (size_t)t.n_tok * sizeof *s->tok + (size_t)t.n_docs * sizeof *s->doc != room)
        RUNG_GOTO(torn(path, err));
    if (strncmp(t.key, key, sizeof t.key) != 0) {
        train_spool_clear(s);
        return RUNG_OK;
    }
    s->n_docs = t.n_docs;
    s->n_tok = t.n_tok;
    s->tok = (const int32_t *)(const void *)(at + sizeof MAGIC);
    s->doc = (const train_doc *)(const void *)(s->tok + s->n_tok);
    RUNG_GOTO(check(s, &t, path, err));
    *found = true;
    return RUNG_OK;
out:
    train_spool_clear(s);
    return st;
}

rung_status train_spool_begin(train_spool *s, const char *path, const char *key, rung_error *err) {
    memset(s, 0, sizeof *s);
    strncpy(s->key, key, sizeof s->key - 1);
    RUNG_TRY(rung_out_open(&s->out, path, err));
    return rung_out_write(s->out, MAGIC, sizeof MAGIC, err);
}

rung_status train_spool_put(train_spool *s, const int32_t *tok, const train_doc *d,
                            rung_error *err) {
    if (s->n_docs == s->cap) {
        int64_t more = s->cap + s->cap / 2 + 256;
        train_doc *list = rung_realloc(s->list, (size_t)more * sizeof *list);
        if (!list)
            return rung_fail(err, RUNG_E_NOMEM, "no memory for %lld documents", (long long)more);
        s->list = list;
        s->cap = more;
    }
    train_doc *own = &s->list[s->n_docs];
    *own = *d;
    own->at = s->n_tok;
    RUNG_TRY(rung_out_write(s->out, tok, (size_t)d->n * sizeof *tok, err));
    s->hash = hash_doc(s->hash, tok, own);
    s->n_tok += d->n;
    s->n_docs++;
    return RUNG_OK;
}

rung_status train_spool_end(train_spool *s, const char *path, rung_error *err) {
    trailer t;
    int32_t pad = 0;
    char key[33];
    bool found;
    memset(&t, 0, sizeof t);
    memcpy(t.key, s->key, sizeof s->key);
    memcpy(key, s->key, sizeof key);
    if (s->n_tok % 2) { /* rows of documents lie on 8 bytes */
        RUNG_TRY(rung_out_write(s->out, &pad, sizeof pad, err));
        s->n_tok++;
    }
    t.n_docs = s->n_docs;
    t.n_tok = s->n_tok;
    t.hash = s->hash;
    RUNG_TRY(rung_out_write(s->out, s->list, (size_t)s->n_docs * sizeof *s->list, err));
    RUNG_TRY(rung_out_write(s->out, &t, sizeof t, err));
    rung_out *out = s->out;
    s->out = NULL;
    RUNG_TRY(rung_out_commit(out, err));
    train_spool_clear(s);
    RUNG_TRY(train_spool_open(s, &found, path, key, err));
    return found ? RUNG_OK : torn(path, err);
}
