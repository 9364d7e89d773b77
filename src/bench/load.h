/* bench/load.h: what the speed measurements share: the work read once, and what the engine did. */
#ifndef RUNG_SRC_LOAD_H
#define RUNG_SRC_LOAD_H
#include "rung/bench.h"

/* A prompt with its tokens; strings and tokens live in the work's arena. */
typedef struct load_prompt {
    const char *user, *prefix; /* prefix NULL: the problem itself */
    uint64_t key;              /* address of its draws */
    int64_t problem;
    const int32_t *tok;
    int32_t n_tok;
} load_prompt;
typedef struct load_work {
    rung_arena *arena;
    void *prompt; /* load_prompt[n] */
    int64_t n, cap, n_rows;
    int64_t n_tok, n_union; /* of all prompts; of the trie of their tokens */
} load_work;
/* rung_load_clear() whatever the status. */
rung_status rung_load_read(load_work *w, rung_store *s, const rung_model *m,
                           const rung_load_opts *o, rung_error *err);
void rung_load_clear(load_work *w);
/* Distinct tokens of the trie of n token lists: what a perfect cache would compute. Sorts them. */
int64_t rung_load_union(load_prompt *p, int64_t n);

/* E_INVAL when remote. */
rung_status rung_load_model(const rung_model **m, const rung_engine *e, rung_error *err);
/* The beginning of a timed span. cpu_s: computing time of all threads of this process; on a busy
 * machine it says more than the wall does. */
typedef struct load_mark {
    rung_engine_stats stats;
    double now, cpu_s;
} load_mark;
void rung_load_begin(load_mark *m, const rung_engine *e);
/* What the engine did since then, as JSON members ",\"decode_s\":...". */
void rung_load_put_stats(rung_buf *b, const rung_engine *e, const load_mark *begin);
/* ",\"model\":...,\"rss_peak_bytes\":..." */
void rung_load_put_model(rung_buf *b, const rung_model *m);
int64_t rung_load_rss_peak(void); /* bytes, of this process so far */
#endif
