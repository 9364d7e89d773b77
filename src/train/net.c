/* A net as callers see it: made, run, differentiated, stepped. */
#include "train/net.h"
#include "rung/loss.h"
#include "rung/rng.h"
#include "train/kernel.h"
#include "train/optim.h"

/* Standard deviation of fresh weights (GPT-2, Llama); those that write into the residual stream are
 * divided by sqrt(2 L), so that its variance does not grow with depth. */
#define INIT_SD 0.02

rung_status rung_net_moments(rung_net *net, rung_error *err) {
    rung_free(net->m);
    rung_free(net->v);
    net->m = rung_calloc((size_t)net->core->n_params, sizeof(real));
    net->v = rung_calloc((size_t)net->core->n_params, sizeof(real));
    if (net->m && net->v) return RUNG_OK;
    return rung_fail(err, RUNG_E_NOMEM, "no memory for the optimiser's moments");
}

rung_status rung_net_wrap(rung_net **out, rung_core *core, rung_error *err) {
    *out = NULL;
    rung_net *net = rung_calloc(1, sizeof *net);
    if (!net) {
        rung_core_free(core);
        return rung_fail(err, RUNG_E_NOMEM, "no memory for a net");
    }
    net->core = core;
    net->eos = -1;
    core->lora.step = -1;
    *out = net;
    return RUNG_OK;
}

rung_status rung_net_alloc(rung_net **out, const rung_net_shape *shape, rung_error *err) {
    *out = NULL;
    rung_core *core;
    rung_net *net;
    RUNG_TRY(rung_core_new(&core, shape, err));
    RUNG_TRY(rung_net_wrap(&net, core, err));
    rung_status st = rung_net_moments(net, err);
    if (st != RUNG_OK) {
        rung_net_free(net);
        return st;
    }
    *out = net;
    return RUNG_OK;
}

rung_status rung_net_new(rung_net **out, const rung_net_shape *shape, uint64_t seed,
                         rung_error *err) {
    RUNG_TRY(rung_net_alloc(out, shape, err));
    rung_core *c = (*out)->core;
    double resid_sd = INIT_SD / sqrt(2.0 * shape->n_layer);
    for (int32_t i = 0; i < c->n_tensors; i++) {
        const rung_core_tensor *t = &c->tensor[i];
        rung_rng r = rung_rng_at(seed, RUNG_STREAM_INIT, (uint64_t)i, 0);
        double sd = t->role == ROLE_RESID ? resid_sd : INIT_SD;
        for (int64_t j = 0; j < t->rows * t->cols; j++)
            c->w[t->at + j] = t->role == ROLE_NORM   ? 1
                              : t->role == ROLE_BIAS ? 0
                                                     : (real)(sd * rung_rng_normal(&r));
    }
    return RUNG_OK;
}

void rung_net_free(rung_net *net) {
    if (!net) return;
    rung_core_free(net->core);
    rung_free(net->m);
    rung_free(net->v);
    rung_free(net->ema);
    rung_gguf_free(net->src);
    for (int32_t i = 0; net->token_text && i < net->n_token; i++) rung_free(net->token_text[i]);
    rung_free(net->token_text);
    rung_free(net->token_type);
    for (size_t i = 0; i < net->n_meta; i++) {
        rung_free(net->meta[i].key);
        rung_free(net->meta[i].value);
        rung_free(net->meta[i].number);
    }
    rung_free(net->meta);
    rung_free(net);
}

const rung_net_shape *rung_net_get_shape(const rung_net *net) {
    return &net->core->shape;
}
int64_t rung_net_n_params(const rung_net *net) {
    return net->core->n_params + net->core->n_frozen;
}
int64_t rung_net_n_trained(const rung_net *net) {
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

void rung_net_mute_lora(rung_net *net, bool muted) {
    net->core->lora.muted = muted;
}

rung_status rung_net_set_precision(rung_net *net, const char *name, rung_error *err) {
    bool has = rung_gemm_has_bf16();
    if (strcmp(name, "f32") == 0 || (strcmp(name, "auto") == 0 && !has)) {
        net->core->mode = RUNG_GEMM_F32;
        return RUNG_OK;
    }
    if (strcmp(name, "bf16") != 0 && strcmp(name, "auto") != 0) {
        rung_fail(err, RUNG_E_INVAL, "unknown precision \"%s\"", name);
        return rung_error_hint(err, "one of f32, bf16, auto");
    }
    if (!has) {
        rung_fail(err, RUNG_E_NOT_BUILT, "this CPU has no bf16 products (avx512_bf16)");
        return rung_error_hint(err, "use --precision f32, or auto to take what the CPU has");
    }
    net->core->mode = RUNG_GEMM_BF16;
    return RUNG_OK;
}

void rung_net_set_memory(rung_net *net, int64_t bytes) {
    net->core->budget = bytes;
    net->core->cap_n = 0; /* laid out anew at the next forward */
}

int64_t rung_net_activation_bytes(const rung_net *net) {
    const rung_core *c = net->core;
    return (int64_t)c->n_block +
           (2 * c->cap_logits + c->cap_head + c->cap_weights + c->cap_wide + c->cap_read) *
               (int64_t)sizeof(real);
}

rung_status rung_net_set_ema(rung_net *net, double decay, rung_error *err) {
    if (!(decay >= 0 && decay < 1))
        return rung_fail(err, RUNG_E_INVAL, "moving average: decay %g is not in [0, 1)", decay);
    rung_free(net->ema);
    net->ema = NULL;
    net->ema_decay = decay;
    if (decay == 0) return RUNG_OK;
    size_t n = (size_t)net->core->n_params;
    net->ema = rung_alloc(n * sizeof *net->ema);
    if (!net->ema) return rung_fail(err, RUNG_E_NOMEM, "no memory for a moving average");
    memcpy(net->ema, net->core->w, n * sizeof *net->ema);
    return RUNG_OK;
}

void rung_net_swap_ema(rung_net *net) {
    if (!net->ema) return;
    real *w = net->core->w;
    net->core->w = net->ema;
    net->ema = w;
}

rung_status rung_net_not_finite(const rung_net *net, const char *what, rung_error *err) {
    rung_fail(err, RUNG_E_FORMAT, "%s is not a finite number at step %lld", what,
              (long long)net->steps);
    return rung_error_hint(err, "lower the learning rate or go back to the last checkpoint");
}

void rung_net_begin(rung_net *net) {
    net->core->lora.step = net->steps << 20 | net->micro;
}

rung_status rung_net_grad_ce(double *value, rung_net *net, const rung_batch *b,
                             const rung_loss_ce *ce, double norm, double scale, rung_error *err) {
    rung_core *c = net->core;
    double val = 0;
    rung_net_begin(net);
    rung_status st = rung_core_hidden(c, b, err);
    if (st == RUNG_OK)
        st = rung_core_ce(&val, NULL, c, ce->target, ce->weight, norm, scale, true, err);
    c->lora.step = -1;
    if (st != RUNG_OK) return st;
    if (value) *value = val;
    if (!isfinite(val)) return rung_net_not_finite(net, "loss", err);
    net->micro++;
    return RUNG_OK;
}

rung_status rung_net_ce(double *value, double *row_loss, rung_net *net, const rung_batch *b,
                        const rung_loss_ce *ce, rung_error *err) {
    RUNG_TRY(rung_core_hidden(net->core, b, err));
    return rung_core_ce(value, row_loss, net->core, ce->target, ce->weight, 0, 0, false, err);
}

static rung_status grad_of_logits(double *value, int64_t *n_terms, rung_net *net,
                                  const rung_batch *b, const rung_loss *loss, double scale,
                                  rung_error *err) {
    rung_core *c = net->core;
    int64_t n = (int64_t)b->n_rows * b->n_tok * c->shape.n_vocab;
    RUNG_TRY(rung_core_forward(c, b, err));
    RUNG_TRY(loss->fn(value, n_terms, c->dlogits, c->logits, b, c->shape.n_vocab, loss->ud, err));
    if (!isfinite(*value)) return rung_net_not_finite(net, "loss", err);
    if (scale != 1) {
#pragma omp parallel for schedule(static)
        for (int64_t i = 0; i < n; i++) c->dlogits[i] *= (real)scale;
    }
    return rung_core_back(c, err);
}

rung_status rung_net_grad(double *value, int64_t *n_terms, rung_net *net, const rung_batch *b,
                          const rung_loss *loss, double scale, rung_error *err) {
    double val = 0;
    int64_t terms = 0;
    if (loss->fn == rung_loss_ce_fn) { /* the same numbers without all the logits */
        const rung_loss_ce *ce = loss->ud;
        for (int64_t i = 0; i < (int64_t)b->n_rows * b->n_tok; i++) terms += ce->weight[i] > 0;
        if (n_terms) *n_terms = terms;
        return rung_net_grad_ce(value, net, b, ce, 0, scale, err);
    }
    const rung_loss_on_net *row = loss->fn == rung_loss_on_net_fn ? loss->ud : NULL;
    if (row && row->kl_exact_coef == 0) /* an exact KL reads the reference's logits anyway */
        return rung_net_grad_row(value, n_terms, net, b, loss->ud, scale, err);
    if (loss->fn == rung_loss_pair_fn)
        return rung_net_grad_pair(value, n_terms, net, b, loss->ud, scale, err);
    rung_net_begin(net);
    rung_status st = grad_of_logits(&val, &terms, net, b, loss, scale, err);
    net->core->lora.step = -1;
    if (value) *value = val;
    if (n_terms) *n_terms = terms;
    net->micro++;
    return st;
}

static void move_ema(rung_net *net) {
    float keep = (float)net->ema_decay, *e = net->ema;
    const float *w = net->core->w;
    int64_t n = net->core->n_params;
#pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < n; i++) e[i] += (1 - keep) * (w[i] - e[i]);
}

rung_status rung_net_step_div(double *grad_norm, rung_net *net, const rung_adamw *o, double div,
                              rung_error *err) {
    rung_core *c = net->core;
    double norm = sqrt(rung_kern_sumsq(c->dw, c->n_params)) / div;
    if (grad_norm) *grad_norm = norm;
    net->micro = 0;
    if (!isfinite(norm)) {
        memset(c->dw, 0, (size_t)c->n_params * sizeof *c->dw);
        return rung_net_not_finite(net, "gradient", err);
    }
    rung_adam a = rung_adam_at(o, net->steps + 1, norm);
    a.grad_scale = (float)((double)a.grad_scale / div);
    for (int32_t i = 0; i < c->n_tensors; i++) {
        const rung_core_tensor *t = &c->tensor[i];
        bool decay = t->role != ROLE_NORM && t->role != ROLE_BIAS;
        if (t->at < 0) continue;
        rung_adam_range(c->w + t->at, c->dw + t->at, net->m + t->at, net->v + t->at,
                        t->rows * t->cols, a, decay);
    }
    if (net->ema) move_ema(net);
    net->steps++;
    return RUNG_OK;
}

rung_status rung_net_step(double *grad_norm, rung_net *net, const rung_adamw *o, rung_error *err) {
    return rung_net_step_div(grad_norm, net, o, 1, err);
}
