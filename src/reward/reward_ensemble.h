/* An ensemble: several reward models read as one. Internal to reward/. */
#ifndef RUNG_SRC_REWARD_ENSEMBLE_H
#define RUNG_SRC_REWARD_ENSEMBLE_H
#include "reward/reward_impl.h"

/* The members and the way they are combined from the file's keys; r->file is open. */
rung_status reward_ensemble_open(rung_reward *r, const rung_reward_open_opts *o, rung_error *err);
rung_status reward_ensemble_needs_base(bool *yes, const rung_gguf *g, const char *path,
                                       rung_error *err);
/* One score of n members' (n >= 1), through the ensemble's own calibration for that step. */
double reward_ensemble_score(const rung_reward *r, const double *score, int32_t step);

/* Its scorer: a scorer a member. Calls mean what rung_scorer's mean. */
typedef struct ensemble_scorer ensemble_scorer;
rung_status ensemble_open(ensemble_scorer **out, rung_reward *r, rung_error *err);
void ensemble_close(ensemble_scorer *s);
rung_status ensemble_cache(ensemble_scorer *s, rung_store *store, rung_error *err);
rung_status ensemble_begin(int64_t *live, ensemble_scorer *s, const char *question,
                           rung_error *err);
rung_status ensemble_fork(int64_t *live, ensemble_scorer *s, int64_t from, rung_error *err);
rung_status ensemble_step(ensemble_scorer *s, int64_t live, const char *text, size_t n,
                          const int32_t *tok, int32_t n_tok, rung_error *err);
rung_status ensemble_run(ensemble_scorer *s, rung_error *err);
rung_status ensemble_get(const double **score, int32_t *n, const ensemble_scorer *s, int64_t live,
                         rung_error *err);
void ensemble_drop(ensemble_scorer *s, int64_t live);
void ensemble_stats(rung_scorer_stats *out, const ensemble_scorer *s);
#endif
