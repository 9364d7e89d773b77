/* What the labelling commands share: counting labels, the options of rollouts. */
#ifndef RUNG_SRC_CLI_LABEL_COMMON_H
#define RUNG_SRC_CLI_LABEL_COMMON_H
#include "cli/session.h"
#include "rung/label.h"

typedef struct cli_label_census {
    int64_t n_steps, n_labels, n_good, n_bad, n_unknown, n_known, n_c;
    double soft;
    int64_t n_soft;
} cli_label_census;
/* Labels of a source at the step ends of the traces in f. */
rung_status cli_label_count(cli_label_census *z, rung_store *s, const rung_filter *f, int64_t run,
                            const char *source, rung_error *err);
/* Summary and the opened result object. */
void cli_label_report(cli_call *c, const cli_label_census *z, const rung_run *run,
                      const char *source);

/* The first row of every labeler that samples: which traces, how many rollouts, when to stop. */
extern const cli_group cli_rollout_group;
/* From the groups rollouts, filter, sampling, prompt and engine; opens the engine. */
rung_status cli_rollout_opts(rung_mc_opts *o, cli_engine *e, cli_call *c, rung_store *s,
                             rung_error *err);
/* After cli_run_begin: the run that keeps the rollouts, one for all labelers that sample alike. */
rung_status cli_rollouts_of(int64_t *run, cli_call *c, const cli_engine *e, rung_error *err);
/* How such a labeler ends: the ledger, the run, the counts of labels, the result object. */
rung_status cli_label_end(cli_call *c, cli_engine *e, rung_run *run, const rung_filter *traces,
                          const char *source, double t0, rung_status st, rung_error *err);
/* "SOURCE@RUN", "SOURCE@RUN=WEIGHT"; without @RUN: run 0, the newest. cmd_label_curate.c */
rung_status cli_label_source(rung_label_source *out, cli_call *c, rung_store *s, const char *text,
                             rung_error *err);
#endif
