/* AdamW (Loshchilov and Hutter 2019) in PyTorch's order, and learning-rate schedules. */
#include "train/optim.h"

double rung_lr_at(rung_schedule s, double lr, double lr_min, int64_t step, int64_t warmup,
                  int64_t total) {
    if (step < warmup) return lr * (double)(step + 1) / (double)warmup;
    if (s == RUNG_SCHEDULE_CONSTANT || total <= warmup) return lr;
    double done = (double)(step - warmup) / (double)(total - warmup);
    if (done > 1) done = 1;
    double left = s == RUNG_SCHEDULE_LINEAR ? 1 - done : 0.5 * (1 + cos(M_PI * done));
    return lr_min + (lr - lr_min) * left;
}

rung_adam rung_adam_at(const rung_adamw *o, int64_t t, double grad_norm) {
    double td = (double)t;
    return (rung_adam){
        .grad_scale = (float)(o->clip > 0 && grad_norm > o->clip ? o->clip / grad_norm : 1),
        .beta1 = (float)o->beta1,
        .beta2 = (float)o->beta2,
        .step_size = (float)(o->lr / (1 - pow(o->beta1, td))),
        .inv_bias2 = (float)(1 / sqrt(1 - pow(o->beta2, td))),
        .eps = (float)o->eps,
        .keep = (float)(1 - o->lr * o->weight_decay),
    };
}

void rung_adam_range(float *w, float *dw, float *m, float *v, int64_t n, rung_adam a, bool decay) {
    float keep = decay ? a.keep : 1;
#pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < n; i++) {
        float g = dw[i] * a.grad_scale;
        float mi = a.beta1 * m[i] + (1 - a.beta1) * g;
        float vi = a.beta2 * v[i] + (1 - a.beta2) * g * g;
        m[i] = mi;
        v[i] = vi;
        w[i] = w[i] * keep - a.step_size * mi / (sqrtf(vi) * a.inv_bias2 + a.eps);
        dw[i] = 0;
    }
}
