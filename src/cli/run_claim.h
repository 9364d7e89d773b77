/* What a recipe claims, measured: the difference of its arms and the verdict. */
#ifndef RUNG_SRC_CLI_RUN_CLAIM_H
#define RUNG_SRC_CLI_RUN_CLAIM_H
#include "cli/recipe.h"
#include "cli/session.h"

typedef struct run_claim {
    bool found, has_arms; /* has_arms: z.arm and z.over are figures of their own */
    rung_arms z;
    int64_t n_items, n_left_out;
    int n_seeds;
    double cost[2]; /* of arm and over, a seed; NaN: not said */
} run_claim;
rung_status run_claim_measure(run_claim *out, recipe *r, const recipe_claim *k, rung_error *err);
/* "holds", "does not hold", "too noisy to say", "quick". */
const char *run_claim_verdict(const run_claim *m, const recipe_claim *k, bool quick);
void run_claim_put(rung_buf *b, const run_claim *m, const recipe *r, const recipe_claim *k);
void run_claim_say(cli_app *app, const run_claim *m, const recipe *r, const recipe_claim *k);
/* The closing object of rung run, with every check; said aloud, too. */
rung_status run_claim_object(rung_buf *b, cli_app *app, recipe *r, int64_t tokens, double wall_s,
                             double cpu_s, rung_error *err);
#endif
