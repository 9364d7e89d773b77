/* Losses of hidden states under a net: of any form, and the rows of the table through a head that
 * trains with it. */
#include "rung/loss.h"
#include "rung/rng.h"
#include "train/net.h"

rung_status rung_net_hidden(const float **hidden, rung_net *net, const rung_batch *b,
                            rung_error *err) {
    RUNG_TRY(rung_core_hidden(net->core, b, err));
    *hidden = net->core->xf;
    return RUNG_OK;
}

static rung_status grad_of_hidden(double *value, int64_t *n_terms, rung_net *net,
                                  const rung_batch *b, const rung_loss_hidden *loss, double scale,
                                  rung_error *err) {
    rung_core *c = net->core;
    RUNG_TRY(rung_core_hidden(c, b, err));
    RUNG_TRY(loss->fn(value, n_terms, c->xn, c->xf, b, c->shape.n_embd, loss->ud, err));
    if (!isfinite(*value)) return rung_net_not_finite(net, "loss", err);
    int64_t n = c->n * c->shape.n_embd;
    for (int64_t i = 0; scale != 1 && i < n; i++) c->xn[i] *= (real)scale;
    return rung_core_read_done(c, err);
}

rung_status rung_net_grad_hidden(double *value, int64_t *n_terms, rung_net *net,
                                 const rung_batch *b, const rung_loss_hidden *loss, double scale,
                                 rung_error *err) {
    double val = 0;
    int64_t terms = 0;
    rung_net_begin(net);
    rung_status st = grad_of_hidden(&val, &terms, net, b, loss, scale, err);
    net->core->lora.step = -1;
    if (value) *value = val;
    if (n_terms) *n_terms = terms;
    net->micro++;
    return st;
}

static rung_status check_words(const rung_net *net, int32_t plus, int32_t minus, rung_error *err) {
    int32_t v = net->core->shape.n_vocab;
    if (plus >= 0 && minus >= 0 && plus < v && minus < v && plus != minus) return RUNG_OK;
    return rung_fail(err, RUNG_E_INVAL, "token pair %d, %d of %d tokens", plus, minus, v);
}

rung_status rung_net_words(double *z, rung_net *net, const rung_batch *b, int32_t plus,
                           int32_t minus, const double *mask, rung_error *err) {
    RUNG_TRY(check_words(net, plus, minus, err));
    RUNG_TRY(rung_core_hidden(net->core, b, err));
    return rung_core_words(z, net->core, plus, minus, mask, err);
}

/* The head ------------------------------------------------------------------------------------- */

/* Two layers by He et al. 2015, as heads on frozen states; a linear one starts at 0. */
static void init_head(rung_core *c, uint64_t seed) {
    int64_t d = c->read.n_in, h = c->read.n_hidden, o = c->read.n_out;
    real *w = c->w + c->read_at;
    if (h == 0) return;
    rung_rng r = rung_rng_at(seed, RUNG_STREAM_INIT, 0, 1);
    double sd1 = sqrt(2.0 / (double)d), sd2 = sqrt(1.0 / (double)h);
    for (int64_t i = 0; i < h * d; i++) w[i] = (real)(sd1 * rung_rng_normal(&r));
    for (int64_t i = 0; i < o * h; i++) w[h * d + h + i] = (real)(sd2 * rung_rng_normal(&r));
}

rung_status rung_net_add_head(rung_net *net, int32_t n_hidden, int32_t n_out, const float *mean,
                              const float *inv_sd, uint64_t seed, rung_error *err) {
    rung_core *c = net->core;
    if (net->ema || net->steps > 0)
        return rung_fail(err, RUNG_E_MISUSE, "a head goes on before averages and steps");
    for (int64_t j = 0; j < c->shape.n_embd; j++) {
        if ((mean && !isfinite(mean[j])) || (inv_sd && !(isfinite(inv_sd[j]) && inv_sd[j] >= 0)))
            return rung_fail(err, RUNG_E_INVAL, "a head's mean or 1/sd of input %lld",
                             (long long)j);
    }
    RUNG_TRY(rung_core_add_read(c, n_hidden, n_out, err));
    for (int64_t j = 0; j < c->shape.n_embd; j++) {
        if (mean) c->read_mean[j] = mean[j];
        if (inv_sd) c->read_inv_sd[j] = inv_sd[j];
    }
    init_head(c, seed);
    return rung_net_moments(net, err);
}

static rung_status score(double *out, real *z, rung_net *net, const int64_t *at, int64_t n,
                         rung_error *err) {
    RUNG_TRY(rung_core_score(z, net->core, at, n, err));
    for (int64_t i = 0; i < n; i++) {
        if (!isfinite(z[i])) return rung_net_not_finite(net, "score", err);
        out[i] = (double)z[i];
    }
    return RUNG_OK;
}

rung_status rung_net_scores(double *out, rung_net *net, const rung_batch *b, const int64_t *at,
                            int64_t n, rung_error *err) {
    real *z = rung_alloc((size_t)(n + 1) * sizeof *z);
    if (!z) return rung_fail(err, RUNG_E_NOMEM, "no memory for %lld scores", (long long)n);
    rung_status st = rung_core_hidden(net->core, b, err);
    if (st == RUNG_OK) st = score(out, z, net, at, n, err);
    rung_free(z);
    return st;
}

/* x, dx [n], z [n]: scratch. */
static rung_status grad_of_head(double *value, rung_net *net, const rung_batch *b,
                                rung_loss_on_head *l, double scale, double *x, real *z,
                                rung_error *err) {
    int64_t n = l->data.n;
    double *dx = x + n;
    rung_loss_data d = l->data;
    RUNG_TRY(rung_core_hidden(net->core, b, err));
    RUNG_TRY(score(x, z, net, l->at, n, err));
    if (l->score) memcpy(l->score, x, (size_t)n * sizeof *x);
    d.x = x;
    RUNG_TRY(rung_loss_eval(value, dx, &l->figures, l->id, &d, &l->opts, err));
    if (!isfinite(*value)) return rung_net_not_finite(net, "loss", err);
    for (int64_t i = 0; i < n; i++) z[i] = (real)(scale * dx[i]);
    return rung_core_score_back(net->core, z, l->at, n, err);
}

rung_status rung_net_grad_head(double *value, rung_net *net, const rung_batch *b,
                               rung_loss_on_head *l, double scale, rung_error *err) {
    double val = 0;
    size_t n = (size_t)(l->data.n > 0 ? l->data.n : 0);
    if (rung_loss_takes_of(l->id) != RUNG_LOSS_TAKES_SCORE || l->id == RUNG_LOSS_CLASS_CE)
        return rung_fail(err, RUNG_E_INVAL, "loss %s does not read one score of a head",
                         rung_loss_name(l->id));
    double *x = rung_alloc((2 * n + 1) * sizeof *x);
    real *z = rung_alloc((n + 1) * sizeof *z);
    rung_status st = RUNG_E_NOMEM;
    rung_net_begin(net);
    if (x && z)
        st = grad_of_head(&val, net, b, l, scale, x, z, err);
    else
        rung_fail(err, RUNG_E_NOMEM, "no memory for %zu scores", n);
    net->core->lora.step = -1;
    if (value) *value = val;
    net->micro++;
    rung_free(x);
    rung_free(z);
    return st;
}

static float *copy_of(const real *x, int64_t n) {
    float *y = rung_alloc((size_t)n * sizeof *y);
    for (int64_t i = 0; y && i < n; i++) y[i] = (float)x[i];
    return y;
}

rung_status rung_net_get_head(rung_head **out, const rung_net *net, rung_error *err) {
    const rung_core *c = net->core;
    int64_t d = c->read.n_in, h = c->read.n_hidden, o = c->read.n_out;
    int64_t rows = h ? h : o;
    const real *w = c->w + c->read_at;
    *out = NULL;
    if (d == 0) return rung_fail(err, RUNG_E_MISUSE, "the net has no head");
    rung_head *y = rung_calloc(1, sizeof *y);
    if (!y) return rung_fail(err, RUNG_E_NOMEM, "no memory for a head");
    y->n_in = (int32_t)d;
    y->n_hidden = (int32_t)h;
    y->n_out = (int32_t)o;
    y->mean = copy_of(c->read_mean, d);
    y->inv_sd = copy_of(c->read_inv_sd, d);
    y->w1 = copy_of(w, rows * d);
    y->b1 = copy_of(w + rows * d, rows);
    if (h) {
        y->w2 = copy_of(w + rows * d + h, o * h);
        y->b2 = copy_of(w + rows * d + h + o * h, o);
    }
    if (y->mean && y->inv_sd && y->w1 && y->b1 && (!h || (y->w2 && y->b2))) {
        *out = y;
        return RUNG_OK;
    }
    rung_head_free(y);
    return rung_fail(err, RUNG_E_NOMEM, "no memory for a head");
}
