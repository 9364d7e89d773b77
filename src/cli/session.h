/* Shared beginnings and endings of commands: run, engine, result object. */
#ifndef RUNG_SRC_CLI_SESSION_H
#define RUNG_SRC_CLI_SESSION_H
#include "cli/cmds.h"
#include "rung/claim.h"
#include "rung/code.h"
#include "rung/model.h"

typedef struct cli_engine {
    rung_model *model; /* NULL when remote */
    rung_engine *engine;
    char hash[64], name[96];
    char weights[8]; /* how they lie in memory; "" when remote */
} cli_engine;
/* From the options of the engine group. */
rung_status cli_engine_open(cli_engine *e, cli_call *c, rung_error *err);
/* The local ones among them: --sequences, --ctx, --batch, --memory, --exact, --threads. */
void cli_engine_opts(rung_engine_opts *o, cli_call *c);
/* --weights for the model at path; auto is measured or looked up once and then stands for the rest
 * of the command, in the run's config too: all models of a run have one type. */
rung_status cli_weights(rung_weights *out, cli_call *c, const char *path, int32_t n_seq,
                        rung_error *err);
void cli_engine_close(cli_engine *e);
rung_flops_model cli_model_size(const rung_model *m); /* NULL: not known */
/* From the options of the sampling group, checked; lists and texts live as long as the app's arena.
 * Before cli_run_begin: the text of the grammar's file takes the place of its name in the config.
 */
rung_status cli_sampling(rung_sampling *out, cli_call *c, rung_error *err);
/* A run by name or by number. */
rung_status cli_run_lookup(int64_t *id, cli_call *c, rung_store *s, const char *name,
                           rung_error *err);

/* A reward model's row by file, name or number; the newest when several fit. kind: "prm", "orm" or
 * NULL. */
rung_status cli_model_lookup(int64_t *id, cli_call *c, rung_store *s, const char *name,
                             const char *kind, rung_error *err);
/* Counts over the traces of f: n, correct, wrong, unknown, tokens, steps. */
rung_status cli_trace_tally(int64_t out[6], rung_store *s, const rung_filter *f, rung_error *err);

/* From the options of the sandbox group, said aloud. sandbox.c */
rung_status cli_sandbox(rung_sandbox **out, const cli_call *c, rung_error *err);

/* ---- ledger.c */
void cli_engine_stats(cli_call *c, const cli_engine *e); /* says what the engine did */
void cli_exact_cost(cli_call *c, const rung_engine *e);  /* says it, in exact mode */
/* Of a remote engine that was asked anything: the ledger as a result row "ledger" of the run. st:
 * how the work ended; its error stays the one in err. */
rung_status cli_ledger_keep(cli_call *c, const cli_engine *e, const rung_run *run, rung_status st,
                            rung_error *err);
void cli_ledger_result(cli_call *c, const cli_engine *e); /* its sums, into the result object */

/* search run with a policy. cmd_search_live.c */
rung_status cli_search_live(cli_call *c, rung_error *err);

/* rung_bench_answer_diffs with the options of a bench answer call. cmd_bench.c */
rung_status cli_answer_diffs(rung_answer_diff **out, int64_t *n, cli_call *c, const char *method,
                             const char *over, rung_error *err);

/* What a bench stage measured, item by item, for a claim about `metric`. cmd_bench.c */
rung_status cli_arm_of(rung_arm *out, rung_arm_metric *how, cli_call *c, const char *metric,
                       rung_error *err);
/* The same of searches and of what early rejection rests on; false: not such a figure. */
bool cli_search_arm_of(rung_status *st, rung_arm *out, rung_arm_metric *how, cli_call *c,
                       const char *metric, rung_error *err);

/* Said before the work, not after it: E_IO when path cannot be made. */
rung_status cli_can_write(const char *path, rung_error *err);

/* A member of an object that has one before it; null when not finite. */
void cli_put_real(rung_buf *b, const char *key, double v);
void cli_put_interval(rung_buf *b, const char *key, rung_interval ci);

/* The result object: open, fields, close. */
void cli_result_open(cli_call *c, const rung_run *run); /* run may be NULL */
void cli_result_int(cli_call *c, const char *key, int64_t v);
void cli_result_real(cli_call *c, const char *key, double v); /* null when not finite */
void cli_result_str(cli_call *c, const char *key, const char *v);
void cli_result_json(cli_call *c, const char *key, const char *json);
void cli_result_close(cli_call *c, double t0);            /* with wall_s when t0 > 0 */
rung_status cli_print_flat(cli_call *c, rung_error *err); /* for eyes: its plain members */
#endif
