/* An implicit reward model trained along: d = ln p(model) - ln p(reference) of every token is its
 * reward, and it learns from the outcomes of the very answers, by cross entropy of
 * sigma(beta sum d) (rewards.md 2, PRIME) or by preferences between right and wrong answers of one
 * problem (rewards.md 5, OPRL). */
#include "rl/pack.h"

/* Of its gradient norm; rewards.md 2 */
#define IMPLICIT_CLIP 10.0

static double beta_of(const rl_loop *l) {
    return l->o->implicit_beta > 0 ? l->o->implicit_beta : .05;
}

static double sum_of(const rl_answer *a) {
    double z = 0;
    for (int32_t q = 0; q < a->n_resp; q++) z += (double)a->dense[q];
    return z;
}

/* d of all answers, with the weights as they are. */
static rung_status read_all(rl_loop *l, rl_pack *p, const uint32_t *order, rung_error *err) {
    for (int32_t at = 0, n; at < l->n_answers; at += n) {
        n = rl_pack_fill(p, l, order, at, l->n_answers);
        RUNG_TRY(rl_pack_read(p->logprob, NULL, l->implicit, p, l, err));
        for (int32_t k = 0; k < p->n_docs; k++) {
            rl_answer *a = &l->answer[p->who[k]];
            const double *ref = l->o->implicit_rolling ? a->old : a->ref;
            for (int32_t q = 0; q < a->n_resp; q++)
                a->dense[q] = (float)(p->logprob[p->base[k] + q] - ref[q]);
        }
    }
    return RUNG_OK;
}

static bool is_pair(const rl_answer *good, const rl_answer *bad) {
    return good->prompt == bad->prompt && good->known && bad->known && good->right && !bad->right;
}

/* Share of pairs of a right and a wrong answer of one problem in which the right one has the higher
 * sum; 0.5 without a pair. */
static double pair_accuracy(const rl_loop *l) {
    double n = 0, won = 0;
    for (int32_t i = 0; i < l->n_answers; i++)
        for (int32_t j = 0; j < l->n_answers; j++) {
            if (!is_pair(&l->answer[i], &l->answer[j])) continue;
            double a = sum_of(&l->answer[i]), b = sum_of(&l->answer[j]);
            won += a > b ? 1 : a == b ? .5 : 0;
            n += 1;
        }
    return n > 0 ? won / n : .5;
}

/* L = mean over pairs of -ln sigma(h+ - h-), h = beta sum d. slope [n]: dL/d(sum d). */
static double preferences(double *slope, const rl_loop *l) {
    double beta = beta_of(l), n = 0, loss = 0;
    for (int32_t i = 0; i < l->n_answers; i++) slope[i] = 0;
    for (int32_t i = 0; i < l->n_answers; i++)
        for (int32_t j = 0; j < l->n_answers; j++) {
            if (!is_pair(&l->answer[i], &l->answer[j])) continue;
            double m = beta * (sum_of(&l->answer[i]) - sum_of(&l->answer[j]));
            double down = beta / (1 + exp(m));
            loss += fmax(-m, 0) + log1p(exp(-fabs(m)));
            slope[i] -= down;
            slope[j] += down;
            n += 1;
        }
    for (int32_t i = 0; n > 0 && i < l->n_answers; i++) slope[i] /= n;
    return n > 0 ? loss / n : 0;
}

/* Gradients of one pack. By preferences: -A l has the gradient -A per token, so A = -slope; its
 * value is no loss and not told. */
static rung_status pack_grad(double *value, rl_loop *l, rl_pack *p, double den, const double *slope,
                             rung_error *err) {
    const rung_rl_opts *o = l->o;
    int64_t n_terms;
    double *label = rl_room(l->wave_arena, (size_t)p->n_docs * sizeof *label, err);
    if (!label) return RUNG_E_NOMEM;
    size_t n = (size_t)p->rows * (size_t)p->n_tok;
    if (o->implicit_rolling) memcpy(p->ref, p->old, n * sizeof *p->ref);
    for (int32_t k = 0; k < p->n_docs; k++) {
        const rl_answer *a = &l->answer[p->who[k]];
        label[k] = a->right ? 1 : 0;
        for (int32_t q = 0; slope && q < a->n_resp; q++)
            p->advantage[p->base[k] + q] = -slope[p->who[k]];
    }
    rung_loss_on_net on = {.id = slope ? RUNG_LOSS_REINFORCE : RUNG_LOSS_IMPLICIT_CE,
                           .data = {.n = (int64_t)p->b.n_rows * p->n_tok,
                                    .mask = p->mask,
                                    .sample = p->sample,
                                    .ref = p->ref,
                                    .old = p->old,
                                    .label = label,
                                    .advantage = p->advantage,
                                    .n_samples = p->n_docs},
                           .opts = RUNG_LOSS_OPTS_INIT,
                           .tok = p->target,
                           .temperature = o->temperature};
    on.opts.beta = beta_of(l);
    on.opts.aggregation = RUNG_LOSS_SEQ_MEAN_TOKEN_SUM;
    on.opts.denominator = den;
    rung_loss fn = {rung_loss_on_net_fn, &on};
    rung_status st = rung_net_grad(value, &n_terms, l->implicit, &p->b, &fn, 1, err);
    rung_arena_reset(l->wave_arena);
    return st;
}

static rung_status learn(rl_loop *l, rl_pack *p, uint32_t *order, rung_error *err) {
    bool pairs = l->o->implicit_loss == RUNG_RL_IMPLICIT_DPO;
    rung_adamw opt = l->o->adamw;
    double *slope = rl_room(l->arena, (size_t)l->n_answers * sizeof *slope, err), value, norm;
    int32_t n = 0;
    if (!slope) return RUNG_E_NOMEM;
    if (pairs) l->f.implicit_loss = preferences(slope, l);
    for (int32_t i = 0; i < l->n_answers; i++) {
        const rl_answer *a = &l->answer[i];
        if (a->known && a->n_resp > 0 && (!pairs || slope[i] != 0)) order[n++] = (uint32_t)i;
    }
    if (n == 0) return RUNG_OK;
    for (int32_t at = 0, k; at < n; at += k) {
        k = rl_pack_fill(p, l, order, at, n);
        RUNG_TRY(pack_grad(&value, l, p, pairs ? 1 : n, pairs ? slope : NULL, err));
        if (!pairs) l->f.implicit_loss += value;
    }
    opt.lr = rl_lr(l, l->o->implicit_lr > 0 ? l->o->implicit_lr : 2 * opt.lr);
    opt.clip = IMPLICIT_CLIP;
    opt.weight_decay = 0;
    return rung_net_step(&norm, l->implicit, &opt, err);
}

static void note(rl_loop *l) {
    double sum = 0, n = 0;
    for (int32_t i = 0; i < l->n_answers; i++) {
        sum += sum_of(&l->answer[i]);
        n += l->answer[i].n_resp;
    }
    l->f.step_reward = n > 0 ? sum / n : 0;
    l->f.agreement = l->f.implicit_pairs = pair_accuracy(l);
}

rung_status rl_implicit(rl_loop *l, rung_error *err) {
    rl_pack p = {0};
    const rung_rl_opts *o = l->o;
    if (!l->implicit) return RUNG_OK;
    uint32_t *order = rl_room(l->arena, (size_t)l->n_answers * sizeof *order, err);
    uint32_t *mine = rl_room(l->arena, (size_t)l->n_answers * sizeof *mine, err);
    if (!order || !mine) return RUNG_E_NOMEM;
    RUNG_TRY(rl_pack_room(&p, l, err));
    for (int32_t i = 0; i < l->n_answers; i++) {
        rl_answer *a = &l->answer[i];
        order[i] = (uint32_t)i;
        a->dense = rl_room(l->arena, (size_t)a->n_resp * sizeof *a->dense, err);
        if (!a->dense) return RUNG_E_NOMEM;
    }
    RUNG_TRY(read_all(l, &p, order, err));
    note(l);
    if (o->implicit_frozen) return RUNG_OK;
    RUNG_TRY(learn(l, &p, mine, err));
    return o->implicit_update_first ? read_all(l, &p, order, err) : RUNG_OK;
}
