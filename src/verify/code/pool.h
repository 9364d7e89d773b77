/* The pool of boxes behind rung_sandbox, and one exchange with a box. Internal header. */
#ifndef RUNG_SRC_VERIFY_CODE_POOL_H
#define RUNG_SRC_VERIFY_CODE_POOL_H
#include "verify/code/box.h"
#include "verify/code/wire.h"

enum { MAX_BOXES = 64 };

struct rung_sandbox {
    rung_sandbox_opts opts;
    char python[256], bwrap[256], about[160];
    box box[MAX_BOXES];
    bool held[MAX_BOXES]; /* by a session */
    size_t n_boxes;
};

/* What 0 means, filled in; l may be NULL. */
rung_code_limits limits_of(const rung_code_limits *l, const rung_code_limits *base);
void limits_json(rung_buf *b, const rung_code_limits *l, double n_tests);
/* Box i runs and is idle afterwards: waits for the end of what it did, starts it where it is not.
 */
rung_status pool_ready(rung_sandbox *s, size_t i, rung_error *err);
/* One frame back on a channel that only we use. E_SANDBOX at the end of the channel or the time. */
rung_status pool_answer(yyjson_doc **doc, const char **blob, size_t *n_blob, wire *w, const box *b,
                        double seconds, rung_error *err);
/* Server text -> reason; SANDBOX when it is none. */
rung_code_reason reason_find(const char *text);
#endif
