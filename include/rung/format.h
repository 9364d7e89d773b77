/* rung/format.h: labelled solutions as others write them, read into one record and written from it.
 *
 * A format is a row of a table: how a row of a file becomes a record, how a record becomes a row,
 * and what a row can carry. What a target cannot carry is decided by a named policy or rejects the
 * row; nothing is dropped unseen: every read and write ends with counts (docs/formats-labels.md).
 */
#ifndef RUNG_FORMAT_H
#define RUNG_FORMAT_H
#include "rung/event.h"
#include "rung/store.h"
#ifdef __cplusplus
extern "C" {
#endif

typedef enum rung_mark {
    RUNG_MARK_NONE = 0, /* nobody has judged it, which is not the same as neutral */
    RUNG_MARK_RIGHT = 1,
    RUNG_MARK_WRONG = 2,
    RUNG_MARK_NEUTRAL = 3
} rung_mark;
const char *rung_mark_name(rung_mark m);

/* A step of a tree of solutions; a plain solution is a chain. */
typedef struct rung_rated_step {
    const char *text; /* NULL: the format tells steps by number only */
    int32_t parent;   /* the step before it, -1 = the question; below its own index */
    rung_mark mark;
    double soft; /* value in [0,1]; NaN none */
} rung_rated_step;

/* One row: a problem and, perhaps, one solution (or a tree of them) with labels. Strings are
 * borrowed; NULL = the row does not say. */
typedef struct rung_rated {
    const char *id;
    const char *question, *answer, *solution; /* reference answer and solution */
    const char *set, *split, *world, *meta, *verifier;
    const char *generator, *labeler;
    const char *separator; /* between steps when they are joined to a text */
    const char *source;    /* of the labels: "human", "mc", "truth", ...; NULL the format's */
    rung_rated_step *step;
    int32_t n_steps;
    int32_t last;        /* where the row's own solution ends in step; -1 without steps */
    int32_t first_error; /* depth on that path, -1 none, RUNG_FIRST_ERROR_UNKNOWN */
    rung_verdict outcome;
    bool outcome_given;
    int32_t i;         /* which solution of its problem; -1 not said */
    const char *extra; /* one JSON object: fields that have no place above, for their own format */
    const char *extra_format;
} rung_rated;
#define RUNG_RATED_INIT                                                                            \
    { .last = -1, .first_error = RUNG_FIRST_ERROR_UNKNOWN, .i = -1 }

bool rung_rated_is_leaf(const rung_rated *r, int32_t k); /* no step goes on from step k */

/* What a format can carry. */
typedef enum rung_format_can {
    RUNG_CAN_ID = 1 << 0,        /* and an id may stand in a file once */
    RUNG_CAN_ANSWER = 1 << 1,    /* the reference answer */
    RUNG_CAN_SOLUTION = 1 << 2,  /* the reference solution */
    RUNG_CAN_GENERATOR = 1 << 3, /* who wrote the steps */
    RUNG_CAN_OUTCOME = 1 << 4,   /* whether the final answer is right */
    RUNG_CAN_STEPS = 1 << 5,     /* step by step text */
    RUNG_CAN_TREE = 1 << 6,      /* several continuations of a prefix */
    RUNG_CAN_HARD = 1 << 7,      /* right or wrong per step */
    RUNG_CAN_NEUTRAL = 1 << 8,   /* a third mark */
    RUNG_CAN_SOFT = 1 << 9,      /* a value per step */
    RUNG_CAN_PARTIAL = 1 << 10,  /* steps without a label */
    RUNG_CAN_INDEX = 1 << 11,    /* the first wrong step only */
    RUNG_CAN_LABELER = 1 << 12,  /* who judged */
    RUNG_CAN_NO_TEXT = 1 << 13,  /* labels by step number, no texts */
    RUNG_CAN_NO_QUESTION = 1 << 14,
    RUNG_CAN_KEYS = 1 << 15,      /* set, split, world, meta, verifier, i, source */
    RUNG_CAN_REPEAT_ID = 1 << 16, /* an id names a problem: several rows may have it */
    RUNG_CAN_MEMBERS = 1 << 17    /* published as one object of rows, by id */
} rung_format_can;

typedef enum rung_after_error {
    RUNG_AFTER_REJECT = 0,
    RUNG_AFTER_TRUNCATE, /* the solution ends with its first wrong step */
    RUNG_AFTER_WRONG,
    RUNG_AFTER_RIGHT
} rung_after_error;
typedef enum rung_neutral {
    RUNG_NEUTRAL_REJECT = 0,
    RUNG_NEUTRAL_RIGHT, /* as Lightman et al. */
    RUNG_NEUTRAL_WRONG, /* as TRL */
    RUNG_NEUTRAL_UNLABELLED
} rung_neutral;

typedef struct rung_format_opts {
    size_t struct_size;
    rung_neutral neutral;         /* where the target has no third mark */
    rung_after_error after_error; /* where the target wants a label on every step */
    bool each_branch;      /* a tree becomes a row per leaf; else its own solution only, counted */
    double threshold;      /* soft to hard: right when soft > threshold */
    bool drop_screening;   /* PRM800K: leave out quality-control and screening rows */
    const char *tag;       /* tagged formats: NULL = the format's own */
    const char *input_key; /* placeholder-tag format: NULL = "input" */
    const char *value_key; /* NULL = "value" */
    int64_t limit, skip;   /* rows; 0 = all, none */
} rung_format_opts;
#define RUNG_FORMAT_OPTS_INIT                                                                      \
    { .struct_size = sizeof(rung_format_opts) }

typedef struct rung_format rung_format;
const rung_format *rung_format_at(size_t i); /* NULL past the end */
const rung_format *rung_format_find(const char *name);
const char *rung_format_name(const rung_format *f);
const char *rung_format_help(const rung_format *f);
unsigned rung_format_can_carry(const rung_format *f); /* of rung_format_can */
const char *rung_format_source(const rung_format *f); /* of its labels; "" when it has none */

/* What happened to the rows. A reason or a field is counted under its text (numbers as "N"); the
 * first lines it came up on are kept. */
enum { RUNG_TALLY_LINES = 4 };
typedef struct rung_tally_row {
    char what[96];
    int64_t n;
    int64_t line[RUNG_TALLY_LINES]; /* 0 = none */
} rung_tally_row;
typedef struct rung_tally {
    rung_tally_row *row; /* the first of each reason, in order of coming up */
    int32_t n, cap;
} rung_tally;
typedef struct rung_format_report {
    int64_t n_in, n_out, n_rejected, n_left_out; /* left out: screening rows, on request */
    rung_tally rejected, lost; /* lost: fields and labels that the target does not carry */
    bool by_element;           /* lines are elements of one JSON array */
} rung_format_report;
void rung_format_report_clear(rung_format_report *r);
/* Counts a reason of a row that was not written, for those who write rows themselves. */
void rung_format_report_reject(rung_format_report *r, const char *reason, int64_t row);
/* One object: {"rows_in","rows_out","rejected":[{"reason","n","lines"}],"not_carried":[...]} */
void rung_format_report_json(rung_buf *b, const rung_format_report *r);

/* Calls take with each record of the file (JSON lines, one array, or one object of rows; "-" is
 * standard input, lines). The record and its strings last until take returns. take: E_FORMAT or
 * E_LIMIT rejects the row with err->what as reason; any other failure ends the reading. */
typedef rung_status (*rung_rated_fn)(void *ud, const rung_rated *r, int64_t line, rung_error *err);
rung_status rung_format_read(rung_format_report *out, const rung_format *f, const char *path,
                             const rung_format_opts *o, const rung_log *log, rung_rated_fn take,
                             void *ud, rung_error *err);

/* Appends the record's rows in this format to b, a line each, by the policies of o; *n_rows of
 * them. E_FORMAT: it cannot be written so; err->what says why, with the step. Counts what is not
 * carried into lost (NULL allowed). */
rung_status rung_format_write(rung_buf *b, int64_t *n_rows, const rung_format *f,
                              const rung_rated *r, const rung_format_opts *o, int64_t line,
                              rung_tally *lost, rung_error *err);

/* File to file; to is written whole or not at all ("-" is standard output). */
rung_status rung_format_convert(rung_format_report *out, const rung_format *from,
                                const char *from_path, const rung_format *to, const char *to_path,
                                const rung_format_opts *o, const rung_log *log, rung_error *err);

#ifdef __cplusplus
}
#endif
#endif
