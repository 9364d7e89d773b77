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
    bool skip; /* not in this setting (when:), or the same for every seed */
    double seconds;
} recipe_stage;
/* One comparison. metric NULL or "answer": arm and over are methods of the last bench answer; else
 * they are names of bench stages (over: or a number), and the metric one of their figures.
 * STAGE/METHOD: methods of several bench answers, each as its gain over a single sample. */
typedef struct recipe_claim {
    const char *text, *metric, *arm, *over; /* arm NULL: nothing is compared */
    const char *over_metric; /* the baseline's figure, where it is another one; NULL */
    double margin;
    bool lower; /* the arm's figure is to be the lower one */
    bool same;  /* the figures are to be as far apart as margin at most */
    /* the budget that the arms share: in words, key of a stage's result, stages of each */
    const char *equal, *equal_key, *equal_arm, *equal_over;
} recipe_claim;

/* What the command line asks of a recipe; all but quick may be NULL. */
typedef struct recipe_ask {
    bool quick;
    const char *set; /* "key=value" lines of --set */
    const char
        *seeds; /* "N" or "S,S,..." over the recipe's own seeds:; NULL: those (one if quick) */
    const char *policy;
    const char *problems, *cases; /* [FORMAT:]FILE */
    const char *options;          /* a file of options, over the recipe's real: options: */
} recipe_ask;

typedef struct recipe {
    const char *path, *id, *title, *paper, *cost;
    const char *reports, *explains; /* what the paper reports; why we think it came out so here */
    bool quick, changed;            /* changed: some --set */
    bool real;                      /* problems of a file: when: real, the values of real: */
    const recipe_ask *ask;          /* borrowed while loading */
    rung_yaml *yaml, *options;      /* options of every stage that has them; NULL: none */
    rung_buf text;                  /* the file as it is */
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

/* Reads and checks everything. With several seeds, the stages are read once for each: ${seed} is
 * that seed, ${out} of the second on OUT/seed-S, and names of runs that come from a stage of a seed
 * end in @S. A stage that comes out the same for every seed is read and run once; so are problems,
 * which seeds share, and reports. "here" and "out" are set by the caller before with
 * recipe_var_put. E_FORMAT: file:line:column, nearest. */
rung_status recipe_load(recipe *r, cli_app *app, const char *path, const recipe_ask *ask,
                        rung_error *err);
void recipe_clear(recipe *r);
/* recipe_real.c: problems and a model of the user's own (docs/design/cli.md). */
rung_status recipe_real_begin(recipe *r,
                              rung_error *err); /* the variables of --problems, --cases */
rung_status recipe_real_vars(recipe *r, const rung_yaml_node *root, rung_error *err);
rung_status recipe_real_options(recipe *r, recipe_stage *s, rung_error *err);
rung_status recipe_real_end(recipe *r, rung_error *err); /* an option that no stage has */
/* recipe.c, for it: text of a value with variables replaced; a map as variables. */
rung_status recipe_text(rung_buf *out, recipe *r, const rung_yaml_node *n, rung_error *err);
rung_status recipe_put_vars(recipe *r, const rung_yaml_node *map, bool must_exist, rung_error *err);
bool recipe_has_var(const recipe *r, const char *name);
/* recipe_seeds.c */
rung_status recipe_seeds_read(recipe *r, const rung_yaml_node *node, const char *flag,
                              rung_error *err);
/* The n stages of a round against those of round 0: names of runs get their seed, what is the same
 * is skipped. */
rung_status recipe_round_split(recipe *r, int round, size_t n, rung_error *err);
rung_status recipe_var_put(recipe *r, const char *name, const char *value, rung_error *err);
/* Hash of what the claim measures: the recipe without the keys that only tell (cost, note, title,
 * paper, reports, explains), comments, and what is for real problems only. */
rung_status recipe_hash(char out[33], const recipe *r, rung_error *err);
/* Config text of this run of the recipe: id, setting, variables, the file's text. */
void recipe_config(rung_buf *json, const recipe *r);
#endif
