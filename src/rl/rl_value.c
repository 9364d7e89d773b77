/* The critic: a linear head on a net of its own. It says the value of the state before each token,
 * and learns the returns; learning.md 4.2 J. */
#include "rl/pack.h"

/* Places of the answers' states in the pack, and whose they are. */
static int64_t places(int64_t *at, const rl_pack *p, const rl_loop *l) {
    int64_t n = 0;
    for (int32_t k = 0; k < p->n_docs; k++)
        for (int32_t q = 0; q < l->answer[p->who[k]].n_resp; q++) at[n++] = p->base[k] + q;
    return n;
}

rung_status rl_value_read(rl_loop *l, rl_pack *p, rung_error *err) {
    size_t most = (size_t)p->rows * (size_t)p->n_tok;
    if (!l->critic) return RUNG_OK;
    int64_t *at = rl_room(l->wave_arena, most * sizeof *at, err), n;
    double *v = rl_room(l->wave_arena, most * sizeof *v, err);
    if (!at || !v) return RUNG_E_NOMEM;
    n = places(at, p, l);
    RUNG_TRY(rung_net_scores(v, l->critic, &p->b, at, n, err));
    for (int32_t k = 0; k < p->n_docs; k++) {
        rl_answer *a = &l->answer[p->who[k]];
        a->value = rl_room(l->arena, (size_t)a->n_resp * sizeof *a->value, err);
        if (!a->value) return RUNG_E_NOMEM;
        memcpy(a->value, v, (size_t)a->n_resp * sizeof *v);
        v += a->n_resp;
    }
    rung_arena_reset(l->wave_arena);
    return RUNG_OK;
}

/* 1/2 max((V - R)^2, (V_old + clip(V - V_old) - R)^2), the mean over the minibatch's den tokens. */
rung_status rl_value_grad(rl_loop *l, rl_pack *p, double den, rung_error *err) {
    size_t most = (size_t)p->rows * (size_t)p->n_tok;
    double clip = l->o->clip_value, value = 0;
    if (!l->critic) return RUNG_OK;
    int64_t *at = rl_room(l->wave_arena, most * sizeof *at, err), n, t = 0;
    double *old = rl_room(l->wave_arena, most * sizeof *old, err);
    double *ret = rl_room(l->wave_arena, most * sizeof *ret, err);
    if (!at || !old || !ret) return RUNG_E_NOMEM;
    n = places(at, p, l);
    for (int32_t k = 0; k < p->n_docs; k++) {
        const rl_answer *a = &l->answer[p->who[k]];
        for (int32_t q = 0; q < a->n_resp; q++, t++) {
            old[t] = a->value[q];
            ret[t] = (double)a->ret[q];
        }
    }
    rung_loss_on_head on = {.id = RUNG_LOSS_VALUE,
                            .data = {.n = n, .n_samples = n, .target = ret, .old = old},
                            .opts = RUNG_LOSS_OPTS_INIT,
                            .at = at};
    on.opts.aggregation = RUNG_LOSS_TOKEN_MEAN;
    on.opts.denominator = den;
    on.opts.clip_value = clip == 0 ? .2 : clip < 0 ? 0 : clip;
    RUNG_TRY(rung_net_grad_head(&value, l->critic, &p->b, &on, 1, err));
    l->f.vf_loss += value;
    rung_arena_reset(l->wave_arena);
    return RUNG_OK;
}

rung_status rl_value_step(rl_loop *l, rung_error *err) {
    rung_adamw opt = l->o->adamw;
    double norm;
    if (!l->critic) return RUNG_OK;
    opt.lr = rl_lr(l, l->o->critic_lr > 0 ? l->o->critic_lr : 5 * opt.lr);
    return rung_net_step(&norm, l->critic, &opt, err);
}

/* 1 - var(returns - values) / var(returns) over what is learned from. */
void rl_value_note(rl_loop *l) {
    double n = 0, mean = 0, m2 = 0, err_mean = 0, err_m2 = 0;
    for (int32_t i = 0; l->critic && i < l->n_answers; i++) {
        const rl_answer *a = &l->answer[i];
        for (int32_t q = 0; a->trained && q < a->n_resp; q++) {
            double r = (double)a->ret[q], e = r - a->value[q];
            n += 1;
            double d = r - mean, de = e - err_mean;
            mean += d / n;
            m2 += d * (r - mean);
            err_mean += de / n;
            err_m2 += de * (e - err_mean);
        }
    }
    l->f.vf_explained = m2 > 0 ? 1 - err_m2 / m2 : (double)NAN;
}
