/* New weights into the sampler: the net is written in the sampler's type where files are memory,
 * mapped, and the engine opened on it; nothing else of the process starts again. */
#include "rl/loop.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* A folder in memory where there is one, else beside the output. */
static void pick_path(rl_loop *l) {
    const char *out = l->o->checkpoint ? l->o->checkpoint : l->o->out;
    if (access("/dev/shm", W_OK) == 0)
        snprintf(l->sampler_path, sizeof l->sampler_path, "/dev/shm/rung-rl.%ld.gguf",
                 (long)getpid());
    else
        snprintf(l->sampler_path, sizeof l->sampler_path, "%.200s.sampler.%ld",
                 out ? out : "rung-rl", (long)getpid());
}

rung_status rl_push(rl_loop *l, double *ms, rung_error *err) {
    double t = rung_now();
    rung_model_opts mo = RUNG_MODEL_OPTS_INIT;
    rung_engine_opts eo = RUNG_ENGINE_OPTS_INIT;
    rung_model *m = NULL;
    rung_engine *e = NULL;
    eo.n_threads = l->o->n_threads;
    eo.exact = l->o->exact;
    if (!l->sampler_path[0]) pick_path(l);
    rung_status st = rung_net_save(l->net, l->sampler_path,
                                   l->o->sampler_type ? l->o->sampler_type : "f16", err);
    if (st == RUNG_OK) st = rung_model_load(&m, l->sampler_path, &mo, err);
    (void)unlink(l->sampler_path); /* mapped: the bytes stay until the model is freed */
    if (st == RUNG_OK) {
        rung_engine_close(l->engine); /* its cells first: two caches may not fit */
        rung_model_free(l->model);
        l->engine = NULL;
        l->model = m;
        st = rung_engine_open(&e, m, &eo, NULL, err);
    }
    if (st != RUNG_OK) {
        if (l->model != m) rung_model_free(m);
        return st;
    }
    l->engine = e;
    l->at.pushed_step = l->at.step;
    *ms = 1e3 * (rung_now() - t);
    return RUNG_OK;
}
