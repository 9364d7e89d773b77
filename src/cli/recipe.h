/* A recipe: title, claim, variables, stages. A stage is a command of the table with its options;
 * everything is checked before the first one runs. */
#ifndef RUNG_SRC_CLI_RECIPE_H
#define RUNG_SRC_CLI_RECIPE_H
#include "base/yaml.h"
#include "cli/cmds.h"

enum { RECIPE_MAX_VARS = 128, RECIPE_MAX_STAGES = 128 };

typedef struct recipe_var {
    const char *name, *value;
} recipe_var;
typedef struct recipe_stage {
    cli_call call; /* options resolved */
    int line;
    bool skip; /* not in this setting (when: full or quick) */
    double seconds;
} recipe_stage;
typedef struct recipe_claim {
    const char *text, *method, *over; /* method against over, on the last bench answer; NULL none */
    double margin;
} recipe_claim;

typedef struct recipe {
    const char *path, *id, *title, *paper, *cost;
    bool quick;
    rung_yaml *yaml;
    rung_buf text; /* the file as it is */
    recipe_var var[RECIPE_MAX_VARS];
    size_t n_vars;
    recipe_claim claim;
    recipe_stage *stage;
    size_t n_stages;
    rung_arena *arena; /* borrowed */
} recipe;

/* Reads and checks everything. builtin: "here" and "out" are set by the caller before with
 * recipe_var_put; set: "key=value" lines of --set, or NULL. E_FORMAT: file:line:column, nearest. */
rung_status recipe_load(recipe *r, cli_app *app, const char *path, bool quick, const char *set,
                        rung_error *err);
void recipe_clear(recipe *r);
rung_status recipe_var_put(recipe *r, const char *name, const char *value, rung_error *err);
/* Config text of this run of the recipe: id, setting, variables, the file's text. */
void recipe_config(rung_buf *json, const recipe *r);
#endif
