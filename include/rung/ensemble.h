/* rung/ensemble.h: several reward models read as one. The file names its members by path (relative
 * to itself) and hash; whoever takes a reward model takes it. */
#ifndef RUNG_ENSEMBLE_H
#define RUNG_ENSEMBLE_H
#include "rung/reward.h"
#ifdef __cplusplus
extern "C" {
#endif

/* X(ID, name, help) of the members' scores of a step; sd: of the population. */
#define RUNG_COMBINES(X)                                                                           \
    X(MEAN, "mean", "mean of the members")                                                         \
    X(MIN, "min", "least of the members")                                                          \
    X(LOWER, "lower", "mean minus the members' standard deviation, from 0")                        \
    X(DISAGREEMENT, "disagreement", "1 - 2 sd: 1 where all agree, 0 at half for and half against")
typedef enum rung_combine_id {
#define X(id, name, help) RUNG_COMBINE_##id,
    RUNG_COMBINES(X)
#undef X
        RUNG_COMBINE_COUNT
} rung_combine_id;
const char *rung_combine_name(rung_combine_id id);
bool rung_combine_find(rung_combine_id *out, const char *name);
/* n >= 1 finite scores. Pure. */
double rung_combine(rung_combine_id id, const double *score, size_t n);

enum { RUNG_ENSEMBLE_MAX = 16 };
typedef struct rung_reward_ensemble_opts {
    size_t struct_size;
    const char *const *member; /* files, or "confidence"; relative to the ensemble's folder */
    size_t n_members;
    rung_combine_id combine;
    rung_aggregate_id aggregate; /* how step scores make one of a trace */
    const char *format;          /* of members that do not say how they are read; NULL none */
    const char *reference;       /* of members that are log-ratios; NULL none */
    const char *out_path;
    const rung_log *log;
} rung_reward_ensemble_opts;
#define RUNG_REWARD_ENSEMBLE_OPTS_INIT                                                             \
    { .struct_size = sizeof(rung_reward_ensemble_opts) }
/* Members must exist: their hashes go into the file, and another file in a member's place is
 * E_MISMATCH when the ensemble is opened. E_INVAL: step scores with answer scores, log-ratios that
 * are no shares, an ensemble of ensembles. */
rung_status rung_reward_ensemble(const rung_reward_ensemble_opts *o, rung_error *err);

#ifdef __cplusplus
}
#endif
#endif
