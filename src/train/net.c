/* A net as callers see it: made, run, differentiated, stepped. */
#include "train/net.h"
#include "rung/rng.h"
#include "train/kernel.h"

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

/* AdamW ----------------------------------------------------------------------------------------*/

double rung_lr_at(rung_schedule s, double lr, double lr_min, int64_t step, int64_t warmup,
                  int64_t total) {
    if (step < warmup) return lr * (double)(step + 1) / (double)warmup;
    if (s == RUNG_SCHEDULE_CONSTANT || total <= warmup) return lr;
    double done = (double)(step - warmup) / (double)(total - warmup);
    if (done > 1) done = 1;
    double left =
        s == RUNG_SCHEDULE_LINEAR ? 1 - done : 0.5 * (1 + cos(3.14159265358979323846 * done));
    return lr_min + (lr - lr_min) * left;
}

typedef struct adam_step {
    real grad_scale, beta1, beta2, step_size, inv_bias2, eps, keep;
} adam_step;

/* One pass: clip, moments, bias correction, decoupled decay (Loshchilov and Hutter 2019), gradient
 * zeroed for the next step. */
static void adam_range(real *w, real *dw, real *m, real *v, int64_t n, adam_step a) {
#pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < n; i++) {
        real g = dw[i] * a.grad_scale;
        real mi = a.beta1 * m[i] + (1 - a.beta1) * g;
        real vi = a.beta2 * v[i] + (1 - a.beta2) * g * g;
        m[i] = mi;
        v[i] = vi;
        w[i] = w[i] * a.keep - a.step_size * mi / ((real)sqrtf(vi) * a.inv_bias2 + a.eps);
        dw[i] = 0;
    }
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
    double t = (double)(net->steps + 1);
    adam_step a = {
        .grad_scale = (real)(o->clip > 0 && norm > o->clip ? o->clip / norm : 1),
        .beta1 = (real)o->beta1,
        .beta2 = (real)o->beta2,
        .step_size = (real)(o->lr / (1 - pow(o->beta1, t))),
        .inv_bias2 = (real)(1 / sqrt(1 - pow(o->beta2, t))),
        .eps = (real)o->eps,
    };
    for (int64_t i = 0; i < c->n_tensors; i++) {
        const rung_core_tensor *y = &c->tensor[i];
        a.keep = (real)(y->norm ? 1 : 1 - o->lr * o->weight_decay);
        adam_range(c->w + y->at, c->dw + y->at, net->m + y->at, net->v + y->at, y->rows * y->cols,
                   a);
    }
    net->steps++;
    return RUNG_OK;
}
