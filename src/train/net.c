/* A net as callers see it: made, run, differentiated, stepped. */
#include "train/net.h"
#include "rung/rng.h"
#include "train/kernel.h"
#include "train/optim.h"

/* Standard deviation of fresh weights (GPT-2, Llama); those that write into the residual stream are
 * divided by sqrt(2 L), so that its variance does not grow with depth. */
#define INIT_SD 0.02

rung_status rung_net_alloc(rung_net **out, const rung_net_shape *shape, rung_error *err) {
    *out = NULL;
    rung_net *net = rung_calloc(1, sizeof *net);
    if (!net) return rung_fail(err, RUNG_E_NOMEM, "no memory for a net");
    rung_status st = rung_core_new(&net->core, shape, err);
    if (st == RUNG_OK) {
        net->m = rung_calloc((size_t)net->core->n_params, sizeof(real));
        net->v = rung_calloc((size_t)net->core->n_params, sizeof(real));
        if (!net->m || !net->v)
            st = rung_fail(err, RUNG_E_NOMEM, "no memory for the optimiser's moments");
    }
    if (st != RUNG_OK) {
        rung_net_free(net);
        return st;
    }
    net->eos = -1;
    *out = net;
    return RUNG_OK;
}

rung_status rung_net_new(rung_net **out, const rung_net_shape *shape, uint64_t seed,
                         rung_error *err) {
    RUNG_TRY(rung_net_alloc(out, shape, err));
    rung_core *c = (*out)->core;
    double resid_sd = INIT_SD / sqrt(2.0 * shape->n_layer);
    for (int64_t i = 0; i < c->n_tensors; i++) {
        const rung_core_tensor *t = &c->tensor[i];
        rung_rng r = rung_rng_at(seed, RUNG_STREAM_INIT, (uint64_t)i, 0);
        double sd = t->into_resid ? resid_sd : INIT_SD;
        for (int64_t j = 0; j < t->rows * t->cols; j++)
            c->w[t->at + j] = t->norm ? 1 : (real)(sd * rung_rng_normal(&r));
    }
    return RUNG_OK;
}

void rung_net_free(rung_net *net) {
    if (!net) return;
    rung_core_free(net->core);
    rung_free(net->m);
    rung_free(net->v);
    rung_gguf_free(net->src);
    for (int32_t i = 0; net->token_text && i < net->n_token; i++) rung_free(net->token_text[i]);
    rung_free(net->token_text);
    rung_free(net->token_type);
    for (size_t i = 0; i < net->n_meta; i++) {
        rung_free(net->meta[i].key);
        rung_free(net->meta[i].value);
    }
    rung_free(net->meta);
    rung_free(net);
}

const rung_net_shape *rung_net_get_shape(const rung_net *net) {
    return &net->core->shape;
}
int64_t rung_net_n_params(const rung_net *net) {
    return net->core->n_params;
}
int64_t rung_net_steps(const rung_net *net) {
    return net->steps;
}

rung_status rung_net_forward(const float **logits, const float **hidden, rung_net *net,
                             const rung_batch *b, rung_error *err) {
    RUNG_TRY(rung_core_forward(net->core, b, err));
    if (logits) *logits = net->core->logits;
    if (hidden) *hidden = net->core->xf;
    return RUNG_OK;
}

rung_status rung_net_grad(double *value, int64_t *n_terms, rung_net *net, const rung_batch *b,
                          const rung_loss *loss, double scale, rung_error *err) {
    rung_core *c = net->core;
    double val = 0;
    int64_t terms = 0, n = (int64_t)b->n_rows * b->n_tok * c->shape.n_vocab;
    RUNG_TRY(rung_core_forward(c, b, err));
    RUNG_TRY(loss->fn(&val, &terms, c->dlogits, c->logits, b, c->shape.n_vocab, loss->ud, err));
    if (value) *value = val;
    if (n_terms) *n_terms = terms;
    if (!isfinite(val)) {
        rung_fail(err, RUNG_E_FORMAT, "loss is not a finite number at step %lld",
                  (long long)net->steps);
        return rung_error_hint(err, "lower the learning rate or go back to the last checkpoint");
    }
    if (scale != 1) {
#pragma omp parallel for schedule(static)
        for (int64_t i = 0; i < n; i++) c->dlogits[i] *= (real)scale;
    }
    return rung_core_back(c, err);
}

rung_status rung_net_step(double *grad_norm, rung_net *net, const rung_adamw *o, rung_error *err) {
    rung_core *c = net->core;
    double norm = sqrt(rung_kern_sumsq(c->dw, c->n_params));
    if (grad_norm) *grad_norm = norm;
    if (!isfinite(norm)) {
        memset(c->dw, 0, (size_t)c->n_params * sizeof *c->dw);
        rung_fail(err, RUNG_E_FORMAT, "gradient is not a finite number at step %lld",
                  (long long)net->steps);
        return rung_error_hint(err, "lower the learning rate or go back to the last checkpoint");
    }
    rung_adam a = rung_adam_at(o, net->steps + 1, norm);
    for (int64_t i = 0; i < c->n_tensors; i++) {
        const rung_core_tensor *t = &c->tensor[i];
        rung_adam_range(c->w + t->at, c->dw + t->at, net->m + t->at, net->v + t->at,
                        t->rows * t->cols, a, !t->norm);
    }
    net->steps++;
    return RUNG_OK;
}
