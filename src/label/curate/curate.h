/* A set of labelled traces in memory, on which filters work one after the other. */
#ifndef RUNG_SRC_CURATE_H
#define RUNG_SRC_CURATE_H
#include "rung/label.h"

typedef struct cur_step {
    int64_t node; /* in the store, of the trace as it was read */
    int32_t byte_end, tok_end;
    int8_t hard; /* -1 none */
    double soft; /* NaN none */
    int32_t n, c, n_unknown;
} cur_step;

typedef struct cur_trace {
    int64_t trace, problem;
    int32_t i;
    uint64_t address; /* of the trace's draws: problem, generator and sample */
    uint64_t text;    /* hash */
    const char *generator;
    rung_verdict verdict;
    int64_t first;     /* of its steps in set->step */
    int32_t n_steps;   /* that are left */
    int32_t n_whole;   /* as the trace was */
    bool dropped, cut; /* cut: the steps after n_steps are not part of it any more */
} cur_trace;

typedef struct cur_set {
    rung_store *store;
    const rung_curate_opts *o;
    cur_trace *trace;
    int64_t n, cap;
    cur_step *step;
    int64_t n_step, cap_step;
    rung_arena *arena; /* lives as long as the set */
} cur_set;

typedef rung_status (*cur_filter)(cur_set *set, rung_curate_count *z, rung_error *err);
cur_filter cur_filter_find(const rung_curator **row, const char *name, size_t n);

/* ---- curate_set.c */
rung_status cur_read(cur_set *out, rung_store *s, const rung_curate_opts *o, rung_error *err);
void cur_clear(cur_set *set);
void cur_drop(cur_trace *t, rung_curate_count *z, const char *why);
void cur_because(rung_curate_count *z, const char *why, int64_t n);
int64_t cur_labels(const cur_set *set);                         /* of the traces that are left */
int32_t cur_first_zero(const cur_set *set, const cur_trace *t); /* -1 none, UNKNOWN unlabelled */
/* Uniform in [0, 1), of a trace (and a step, -1 none). */
double cur_draw(const cur_set *set, const cur_trace *t, int32_t step);
/* Share of right traces per problem and generator: of every trace of the run, dropped or not. */
rung_status cur_confidence(double *sc, const cur_set *set, rung_error *err);

/* ---- filters */
rung_status cur_consensus(cur_set *set, rung_curate_count *z, rung_error *err);
rung_status cur_confident(cur_set *set, rung_curate_count *z, rung_error *err);
rung_status cur_denoise(cur_set *set, rung_curate_count *z, rung_error *err);
rung_status cur_truncate(cur_set *set, rung_curate_count *z, rung_error *err);
rung_status cur_balance(cur_set *set, rung_curate_count *z, rung_error *err);
rung_status cur_merge(cur_set *set, rung_curate_count *z, rung_error *err);
rung_status cur_last_step(cur_set *set, rung_curate_count *z, rung_error *err);
rung_status cur_dedupe(cur_set *set, rung_curate_count *z, rung_error *err);
rung_status cur_decontaminate(cur_set *set, rung_curate_count *z, rung_error *err);
rung_status cur_sample(cur_set *set, rung_curate_count *z, rung_error *err);
rung_status cur_split(cur_set *set, rung_curate_count *z, rung_error *err);
#endif
