/* Options that several commands share, and the row macros of every option table. */
#ifndef RUNG_SRC_CLI_GROUPS_H
#define RUNG_SRC_CLI_GROUPS_H
#include "cli/cli.h"

#define CLI_N(array) (sizeof(array) / sizeof((array)[0]))
#define CLI_INT_MAX  2147483647.0
#define CLI_SEED_MAX 9.2e18
#define CLI_GROUP_OF(title, array)                                                                 \
    { title, array, CLI_N(array) }

#define OPT_STR(name, dflt, unit, use, help)                                                       \
    { name, CLI_STR, dflt, unit, 0, 0, NULL, use, help, NULL }
#define OPT_PATH(name, dflt, use, help)                                                            \
    { name, CLI_PATH, dflt, "FILE", 0, 0, NULL, use, help, NULL }
#define OPT_INT(name, dflt, unit, lo, hi, use, help)                                               \
    { name, CLI_INT, dflt, unit, lo, hi, NULL, use, help, NULL }
#define OPT_REAL(name, dflt, unit, lo, hi, use, help)                                              \
    { name, CLI_REAL, dflt, unit, lo, hi, NULL, use, help, NULL }
#define OPT_BOOL(name, dflt, use, help)                                                            \
    { name, CLI_BOOL, dflt, "", 0, 0, NULL, use, help, NULL }
#define OPT_CHOICE(name, dflt, choices, use, help)                                                 \
    { name, CLI_CHOICE, dflt, "NAME", 0, 0, choices, use, help, NULL }
#define OPT_NAMES(name, dflt, names, use, help)                                                    \
    { name, CLI_CHOICE, dflt, "NAME", 0, 0, NULL, use, help, names }
#define OPT_WEIGHTS                                                                                \
    OPT_NAMES("weights", "as-is", cli_names_weights, CLI_KEY,                                      \
              "how the weights lie in memory; auto = the fastest here that keeps what the file "   \
              "holds")
#define OPT_SEED                                                                                   \
    OPT_INT("seed", "1", "N", 0, CLI_SEED_MAX, CLI_KEY, "seed of every draw of this run")
#define OPT_NAME                                                                                   \
    OPT_STR("name", "", "NAME", CLI_FREE, "name of the new run, by which later stages refer to it")

extern const cli_group cli_problem_filter_group; /* which problems */
extern const cli_group cli_filter_group;         /* which problems and traces */
extern const cli_group cli_engine_group;         /* who speaks */
extern const cli_group cli_sampling_group;       /* how tokens are drawn */
extern const cli_group cli_prompt_group;         /* what the model sees */
extern const cli_group cli_sandbox_group;        /* where programs run; sandbox.c */

/* Registries as option values. */
const char *cli_names_worlds(size_t i);
const char *cli_names_formats(size_t i);
const char *cli_names_verifiers(size_t i);
const char *cli_names_aggregates(size_t i);
const char *cli_names_methods(size_t i);  /* of a pool */
const char *cli_names_searches(size_t i); /* of a pool, then the searches */
const char *cli_names_scorers(size_t i);
const char *cli_names_weights(size_t i);
#endif
