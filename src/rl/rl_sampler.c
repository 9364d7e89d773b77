/* New weights into the sampler: the net is written in the sampler's type where files are memory,
 * mapped, and the engine opened on it; nothing else of the process starts again. With adapters the
 * base is loaded once, as its file has it, and a push swaps the adapters over it. */
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

static rung_status push_weights(rl_loop *l, rung_error *err) {
    rung_model_opts mo = RUNG_MODEL_OPTS_INIT;
    rung_model *m = NULL;
    RUNG_TRY(rung_net_save(l->net, l->sampler_path, l->o->sampler_type ? l->o->sampler_type : "f16",
                           err));
    RUNG_TRY(rung_model_load(&m, l->sampler_path, &mo, err));
    rung_engine_close(l->engine); /* its cells first: two caches may not fit */
    l->engine = NULL;
    rung_model_free(l->model);
    l->model = m;
    return RUNG_OK;
}

static rung_status push_adapters(rl_loop *l, rung_error *err) {
    rung_model_opts mo = RUNG_MODEL_OPTS_INIT;
    if (!l->model) RUNG_TRY(rung_model_load(&l->model, l->o->policy, &mo, err));
    RUNG_TRY(rung_net_save_lora(l->net, l->sampler_path, "f32", err));
    rung_engine_close(l->engine);
    l->engine = NULL;
    return rung_model_set_adapter(l->model, l->sampler_path, err);
}

rung_status rl_push(rl_loop *l, double *ms, rung_error *err) {
    rung_engine_opts eo = RUNG_ENGINE_OPTS_INIT;
    double t = rung_now();
    eo.n_threads = l->o->n_threads;
    eo.exact = l->o->exact;
    if (!l->sampler_path[0]) pick_path(l);
    rung_status st = l->o->lora_rank > 0 ? push_adapters(l, err) : push_weights(l, err);
    (void)unlink(l->sampler_path); /* mapped: the bytes stay until the model is freed */
    RUNG_TRY(st);
    RUNG_TRY(rung_engine_open(&l->engine, l->model, &eo, NULL, err));
    l->at.pushed_step = l->at.step;
    *ms = 1e3 * (rung_now() - t);
    return RUNG_OK;
}
