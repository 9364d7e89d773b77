/* The seam of rung_engine: what a backend (local, remote) gives. */
#ifndef RUNG_SRC_ENGINE_H
#define RUNG_SRC_ENGINE_H
#include "rung/model.h"

typedef struct engine_ops {
    rung_status (*gen)(rung_engine *e, const rung_gen *g, rung_error *err);
    rung_status (*eval)(rung_engine *e, const rung_eval *v, rung_error *err); /* NULL: cannot */
    rung_status (*run)(rung_engine *e, const rung_engine_cb *cb, rung_error *err);
    void (*clear)(rung_engine *e);
    void (*close)(rung_engine *e);
    bool (*endpoint)(rung_endpoint_stats *out, const rung_engine *e, size_t i); /* NULL: local */
    int32_t (*cancel)(rung_engine *e, const void *ud);                          /* NULL: cannot */
} engine_ops;

struct rung_engine {
    const engine_ops *ops;
    const rung_model *model; /* NULL when remote */
    rung_log log_copy;
    const rung_log *log; /* &log_copy or NULL */
    bool running;
    double last_tick;
    rung_engine_stats stats;
};

/* Options of any size up to ours, over the defaults. */
rung_status rung_engine_opts_read(rung_engine_opts *out, const rung_engine_opts *in,
                                  rung_error *err);
void rung_engine_set_log(rung_engine *e, const rung_log *log);
/* Twice a second: a progress event "engine.progress"; E_CANCELLED when its receiver says so. */
rung_status rung_engine_tick(rung_engine *e, int64_t n_live, rung_error *err);
#endif
