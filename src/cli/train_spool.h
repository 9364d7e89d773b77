/* Documents as tokens in a file beside the result: tokenised once, mapped, read where they are
 * wanted, so that memory does not grow with the data.
 *
 *   "RUNGTOK1" | tokens i32 ... | documents train_doc ... | trailer. Little-endian, as the machine
 *   writes it. The trailer holds what it was made from (key), the counts and a hash of it all. */
#ifndef RUNG_SRC_CLI_TRAIN_SPOOL_H
#define RUNG_SRC_CLI_TRAIN_SPOOL_H
#include "rung/base.h"

typedef struct train_doc {
    int64_t at;          /* in tok */
    int64_t id;          /* line of the file, or trace of the store */
    uint64_t group;      /* held out together: the address of its problem, or the line */
    int32_t n, n_prompt; /* tokens; of them before the reply */
    int32_t n_learn;     /* tokens up to which the loss counts; n = all of the reply */
    int32_t unused;
} train_doc;

typedef struct train_spool {
    const train_doc *doc;
    const int32_t *tok;
    int64_t n_docs, n_tok;
    void *map;
    size_t n_map;
    /* while it is written */
    rung_out *out;
    train_doc *list;
    int64_t cap;
    uint64_t hash;
    char key[33];
} train_spool;

/* The file of this key, mapped. *found false: there is none, or one of another key. E_FORMAT: it is
 * torn. */
rung_status train_spool_open(train_spool *s, bool *found, const char *path, const char *key,
                             rung_error *err);
/* A new one: begin, put, end (which maps it); atomic. */
rung_status train_spool_begin(train_spool *s, const char *path, const char *key, rung_error *err);
rung_status train_spool_put(train_spool *s, const int32_t *tok, const train_doc *d,
                            rung_error *err); /* d->at is set here */
rung_status train_spool_end(train_spool *s, const char *path, rung_error *err);
void train_spool_clear(train_spool *s); /* a file that is not ended is gone */
#endif
