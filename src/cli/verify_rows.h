/* What the verify commands share: every line of a file, or every trace of a store, gives one line
 * out, in order, and the counts at the end. */
#ifndef RUNG_SRC_CLI_VERIFY_ROWS_H
#define RUNG_SRC_CLI_VERIFY_ROWS_H
#include "base/json.h"
#include "cli/session.h"
#include "rung/verify.h"

typedef struct cli_case {
    yyjson_val *row;       /* of a file; NULL: of a store */
    const rung_problem *p; /* with its trace */
    const rung_trace *t;
    rung_arena *a;     /* of a store's case: its strings */
    rung_trace *again; /* with --write: what the store gets of it; cli_case_keep fills it */
} cli_case;
#define OPT_CLI_WRITE                                                                              \
    OPT_BOOL("write", "false", CLI_KEY,                                                            \
             "with --stored: keep each verdict in the store, with its verifier, version, rule "    \
             "and time")
/* Appends the members of one object, each with a comma before it, behind {"v":1,"verdict":..; a
 * case that cannot be judged as it stands is E_FORMAT. */
typedef rung_status (*cli_case_fn)(rung_buf *members, rung_verdict *verdict, const cli_case *k,
                                   void *ud, rung_error *err);
typedef void (*cli_case_sums)(cli_call *c, void *ud); /* more members of the result object */

rung_status cli_verify_file(cli_call *c, const char *path, cli_case_fn fn, cli_case_sums sums,
                            void *ud, rung_error *err);
/* --stored: traces whose problem has this verifier, by --run, --set, --split. Each line says what
 * was stored, too. With --write each verdict takes the place of what is stored, and is kept as a
 * row of its own. */
rung_status cli_verify_stored(cli_call *c, const char *verifier, cli_case_fn fn, cli_case_sums sums,
                              void *ud, rung_error *err);
/* What was found of a case of the store, for --write; nothing to do without it. */
rung_status cli_case_keep(const cli_case *k, const rung_answer *answer, const char *key,
                          const rung_check *check, const char *version, double us, rung_error *err);
/* Commits when st is OK, else takes everything back; st, or why the commit failed. */
rung_status cli_store_end(rung_store *s, rung_status st, rung_error *err);
/* The line of a row that could not be read: verdict unknown, reason "bad row", what is wrong. */
rung_status cli_case_bad(cli_call *c, const char *detail, rung_error *err);
/* ,"key":"text" */
void cli_case_str(rung_buf *b, const char *key, const char *v);
/* A pair's verdict for eyes, and its exit status: 0 correct, 1 wrong, 3 unknown. */
rung_status cli_verify_end(cli_call *c, rung_verdict v, const char *rule, const char *reason,
                           rung_error *err);
#endif
