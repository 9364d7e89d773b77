/* A recipe: title, claim, variables, stages. A stage is a command of the table with its options;
 * everything is checked before the first one runs. */
#ifndef RUNG_SRC_CLI_RECIPE_H
#define RUNG_SRC_CLI_RECIPE_H
#include "base/yaml.h"
#include "cli/cmds.h"

enum {
    RECIPE_MAX_VARS = 128,
    RECIPE_MAX_STAGES = 128,
    RECIPE_MAX_SEEDS = 64,
    RECIPE_MAX_CHECKS = 8
};

typedef struct recipe_var {
    const char *name, *value;
} recipe_var;
typedef struct recipe_stage {
    cli_call call; /* options resolved */
    int line;
    int round; /* number of its seed */
    bool skip; /* not in this setting (when: full or quick), or the same for every seed */
    double seconds;
} recipe_stage;
/* One comparison. metric NULL or "answer": arm and over are methods of the last bench answer; else
 * they are names of bench stages (over: or a number), and the metric one of their figures. */
typedef struct recipe_claim {
    const char *text, *metric, *arm, *over; /* arm NULL: nothing is compared */
    double margin;
    bool lower; /* the arm's figure is to be the lower one */
    /* the budget that the arms share: in words, key of a stage's result, stages of each */
    const char *equal, *equal_key, *equal_arm, *equal_over;
} recipe_claim;

typedef struct recipe {
    const char *path, *id, *title, *paper, *cost;
    const char *reports, *explains; /* what the paper reports; why we think it came out so here */
    bool quick, changed;            /* changed: some --set */
    rung_yaml *yaml;
    rung_buf text; /* the file as it is */
    recipe_var var[RECIPE_MAX_VARS];
    size_t n_vars;
    recipe_claim claim, check[RECIPE_MAX_CHECKS]; /* checks: comparisons beside it */
    int n_checks;
    recipe_stage *stage;                                        /* [n_seeds][stages of the file] */
    size_t n_stages;                                            /* in all */
    const char *seed[RECIPE_MAX_SEEDS], *out[RECIPE_MAX_SEEDS]; /* ${seed} and ${out} of a round */
    int n_seeds;
    rung_arena *arena; /* borrowed */
} recipe;

/* Reads and checks everything. seeds: "N" or "S,S,..." over the recipe's own seeds:, NULL: those
 * (one with quick). With several, the stages are read once for each: ${seed} is that seed, ${out}
 * of the second on OUT/seed-S, and names of runs that come from a stage of a seed end in @S. A
 * stage that comes out the same for every seed is read and run once; so are problems, which seeds
 * share, and reports. builtin: "here" and "out" are set by the caller before with recipe_var_put;
 * set: "key=value" lines of --set, or NULL. E_FORMAT: file:line:column, nearest. */
rung_status recipe_load(recipe *r, cli_app *app, const char *path, bool quick, const char *set,
                        const char *seeds, rung_error *err);
void recipe_clear(recipe *r);
/* recipe_seeds.c */
rung_status recipe_seeds_read(recipe *r, const rung_yaml_node *node, const char *flag,
                              rung_error *err);
/* The n stages of a round against those of round 0: names of runs get their seed, what is the same
 * is skipped. */
rung_status recipe_round_split(recipe *r, int round, size_t n, rung_error *err);
rung_status recipe_var_put(recipe *r, const char *name, const char *value, rung_error *err);
/* Config text of this run of the recipe: id, setting, variables, the file's text. */
void recipe_config(rung_buf *json, const recipe *r);
#endif
