/* Inside of the formats: a row of the table, and what readers and writers share. */
#ifndef RUNG_SRC_FORMAT_ROW_H
#define RUNG_SRC_FORMAT_ROW_H
#include "base/json.h"
#include "rung/format.h"

/* A line over this many bytes, or a row with more steps, is rejected. */
enum { FORMAT_LINE_MAX = 4 << 20, FORMAT_STEPS_MAX = 4096 };

typedef enum { HOLDS_LINES = 0, HOLDS_ARRAY, HOLDS_OBJECT } format_holds;

/* key: of the row in an object of rows, else NULL. E_FORMAT with the reason rejects the row; DONE
 * leaves it out on request. */
typedef rung_status (*format_read_fn)(rung_rated *out, yyjson_val *root, const char *key,
                                      rung_arena *a, const rung_format_opts *o, rung_error *err);
/* r fits the format already (adapt.c): the steps are a chain unless it can carry trees. Appends one
 * JSON object without a newline. */
typedef rung_status (*format_write_fn)(rung_buf *b, const rung_rated *r, const rung_format_opts *o,
                                       rung_error *err);
struct rung_format {
    const char *name, *help;
    unsigned can;
    format_read_fn read;
    format_write_fn write;
    const char *source; /* of its labels when the row does not say */
};

/* ---- fields.c: reading */
rung_status field_text(const char **out, yyjson_val *root, const char *key,
                       rung_error *err); /* there, a string, not empty */
rung_status field_text_opt(const char **out, yyjson_val *root, const char *key,
                           rung_error *err); /* NULL when absent or null */
rung_status field_array(yyjson_val **out, yyjson_val *root, const char *key, rung_error *err);
rung_status field_bool(bool *out, yyjson_val *root, const char *key, rung_error *err);
/* A value in [0,1], or an error that names `what` and its place. */
rung_status unit_value(double *out, yyjson_val *v, const char *what, size_t k, rung_error *err);
/* An array of non-empty strings as a chain of unmarked steps; last is set. */
rung_status chain_of(rung_rated *out, yyjson_val *steps, const char *key, rung_arena *a,
                     rung_error *err);
/* n unmarked steps in one piece; NULL with err set when there are too many or none. */
rung_rated_step *steps_new(size_t n, rung_arena *a, rung_error *err);
/* Labels must be as many as steps. */
rung_status same_count(size_t n_labels, const char *key, const rung_rated *r, rung_error *err);
/* first_error from the marks of the row's own path. */
void set_first_error(rung_rated *r);
/* Marks from first_error: right before it, wrong at it, none after. -1: all right. */
void set_marks(rung_rated *r);
/* Members of root whose keys are not in known[], as the row's extra; a member that is an object
 * may be listed as "a.b" to leave out b of a. */
rung_status keep_rest(rung_rated *out, const char *format, yyjson_val *root,
                      const char *const *known, size_t n_known, rung_arena *a, rung_error *err);
#define KEEP_REST(out, format, root, a, err, ...)                                                  \
    keep_rest(out, format, root, (const char *const[]){__VA_ARGS__},                               \
              sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *), a, err)
rung_status arena_text(const char **out, rung_arena *a, const char *p, size_t n, rung_error *err);

/* ---- fields.c: writing one object, members in order */
typedef struct obj_writer {
    rung_buf *b;
    int n;
} obj_writer;
obj_writer obj_open(rung_buf *b);
void obj_key(obj_writer *w, const char *key);
void obj_str(obj_writer *w, const char *key, const char *v);     /* NULL: null */
void obj_str_opt(obj_writer *w, const char *key, const char *v); /* NULL: no member */
void obj_int(obj_writer *w, const char *key, int64_t v);
void obj_bool(obj_writer *w, const char *key, bool v);
void obj_steps(obj_writer *w, const char *key, const rung_rated *r); /* their texts */
void buf_real(rung_buf *b, double v);                                /* shortest that reads back */
/* extra's members when extra is this format's own and `inside` is NULL; else those of its object
 * member `inside`. */
void obj_extra(obj_writer *w, const rung_rated *r, const char *format, const char *inside);
/* All members of obj but these; obj may be NULL. */
void obj_members_but(obj_writer *w, yyjson_val *obj, const char *const *but, size_t n);
/* The same of the extra, without the member `but`, which its writer reads itself. */
void obj_extra_but(obj_writer *w, const rung_rated *r, const char *format, const char *but);
void obj_close(obj_writer *w);
/* extra parsed, when it is this format's own; NULL otherwise. The caller frees. */
yyjson_doc *extra_of(const rung_rated *r, const char *format);

/* ---- tally.c */
void tally_add(rung_tally *t, const char *what, int64_t n, int64_t line);
void tally_move(rung_tally *to, rung_tally *from, int64_t line); /* from is empty afterwards */

/* ---- adapt.c: the record as a format can carry it */
rung_status adapt(rung_rated *out, const rung_format *f, const rung_rated *r, int32_t leaf,
                  const rung_format_opts *o, int64_t line, rung_tally *lost, rung_arena *a,
                  rung_error *err);

/* ---- the rows of the table, by file */
#define FORMAT_FNS(name)                                                                           \
    rung_status name##_read(rung_rated *out, yyjson_val *root, const char *key, rung_arena *a,     \
                            const rung_format_opts *o, rung_error *err);                           \
    rung_status name##_write(rung_buf *b, const rung_rated *r, const rung_format_opts *o,          \
                             rung_error *err);
FORMAT_FNS(jsonl)
FORMAT_FNS(processbench)
FORMAT_FNS(bigbench_mistake)
FORMAT_FNS(mr_gsm8k)
FORMAT_FNS(mr_ben)
FORMAT_FNS(prm800k)
FORMAT_FNS(math_shepherd)
FORMAT_FNS(tag)
FORMAT_FNS(openr)
FORMAT_FNS(math_aps)
FORMAT_FNS(math_aps_tree)
FORMAT_FNS(trl)
FORMAT_FNS(prmbench)
FORMAT_FNS(scan)
FORMAT_FNS(fover)
FORMAT_FNS(agentprocessbench)
FORMAT_FNS(potato)
FORMAT_FNS(gsm8k)
FORMAT_FNS(math500)
FORMAT_FNS(verl)
FORMAT_FNS(lm_eval)
FORMAT_FNS(humaneval)
FORMAT_FNS(mbpp)
FORMAT_FNS(spider)
#undef FORMAT_FNS
#endif
