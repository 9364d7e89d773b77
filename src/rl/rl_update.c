/* Answers in packed rows: logprobs of the policy that sampled and of the reference, and the update:
 * inner epochs of minibatches in addressed orders, each summed over micro-batches under one
 * denominator. */
#include "rl/pack.h"

/* The policy's entropy, its distance from the reference and from the sampler, over all tokens. */
static void note_logprobs(rl_loop *l, const rl_pack *p, double sums[4]) {
    for (int32_t k = 0; k < p->n_docs; k++) {
        rl_answer *a = &l->answer[p->who[k]];
        for (int32_t q = 0; q < a->n_resp; q++) {
            sums[0] += 1;
            sums[1] += p->entropy[p->base[k] + q];
            if (a->ref) l->f.kl += a->old[q] - a->ref[q];
            if (isnan(a->sampler[q])) continue;
            double gap = fabs(a->old[q] - (double)a->sampler[q]);
            sums[2] += gap;
            sums[3] += 1;
            l->f.gap_max = fmax(l->f.gap_max, gap);
        }
    }
}

rung_status rl_logprobs(rl_loop *l, rung_error *err) {
    rl_pack p = {0};
    double sums[4] = {0, 0, 0, 0};
    uint32_t *order = rl_room(l->arena, (size_t)l->n_answers * sizeof *order, err);
    if (!order) return RUNG_E_NOMEM;
    RUNG_TRY(rl_pack_room(&p, l, err));
    for (int32_t i = 0; i < l->n_answers; i++) {
        rl_answer *a = &l->answer[i];
        order[i] = (uint32_t)i;
        a->old = rl_room(l->arena, (size_t)a->n_resp * sizeof *a->old, err);
        a->ref = l->has_ref ? rl_room(l->arena, (size_t)a->n_resp * sizeof *a->ref, err) : NULL;
        if (!a->old || (l->has_ref && !a->ref)) return RUNG_E_NOMEM;
    }
    for (int32_t at = 0, n; at < l->n_answers; at += n) {
        n = rl_pack_fill(&p, l, order, at, l->n_answers);
        RUNG_TRY(rl_pack_read(p.logprob, p.entropy, l->net, &p, l, err));
        if (l->has_ref) RUNG_TRY(rl_pack_read_ref(p.ref, &p, l, err));
        RUNG_TRY(rl_value_read(l, &p, err));
        for (int32_t k = 0; k < p.n_docs; k++) {
            rl_answer *a = &l->answer[p.who[k]];
            for (int32_t q = 0; q < a->n_resp; q++) {
                a->old[q] = p.logprob[p.base[k] + q];
                if (a->ref) a->ref[q] = p.ref[p.base[k] + q];
            }
        }
        note_logprobs(l, &p, sums);
    }
    if (l->n_answers > 0) l->f.kl /= l->n_answers; /* nats a sequence */
    l->f.entropy = sums[0] > 0 ? sums[1] / sums[0] : 0;
    l->f.gap = sums[3] > 0 ? sums[2] / sums[3] : 0;
    return RUNG_OK;
}

/* What the minibatch's sum is divided by: the whole of it, so that micro-batches add up. */
static double denominator(const rl_loop *l, const uint32_t *order, int32_t n) {
    double sum = 0;
    bool tokens = l->loss_opts.aggregation == RUNG_LOSS_TOKEN_MEAN;
    for (int32_t k = 0; k < n; k++) sum += tokens ? l->answer[order[k]].n_resp : 1;
    return sum;
}

static rung_status micro_batch(rl_loop *l, rl_pack *p, double den, double *loss, double clip[3],
                               rung_error *err) {
    const rung_rl_opts *o = l->o;
    int64_t n = (int64_t)p->b.n_rows * p->n_tok, n_terms;
    double value;
    rung_loss_on_net on = {.id = l->loss,
                           .data = {.n = n,
                                    .mask = p->mask,
                                    .sample = p->sample,
                                    .ref = l->has_ref ? p->ref : NULL,
                                    .old = p->old,
                                    .sampler = p->sampler,
                                    .advantage = p->advantage,
                                    .n_samples = p->n_docs},
                           .opts = l->loss_opts,
                           .tok = p->target,
                           .temperature = o->temperature,
                           .entropy_coef = o->entropy_coef};
    on.opts.denominator = den;
    on.opts.seed = rl_seed(l) + (uint64_t)l->at.step;
    if (o->kl_exact > 0) {
        RUNG_TRY(rung_net_forward(&on.ref_logits, NULL, l->ref, &p->b, err));
        on.kl_exact_coef = o->kl_exact;
    }
    rung_loss fn = {rung_loss_on_net_fn, &on};
    RUNG_TRY(rung_net_grad(&value, &n_terms, l->net, &p->b, &fn, 1, err));
    *loss += value;
    clip[0] += (double)n_terms;
    clip[1] += (double)n_terms * (isnan(on.figures.clip_low) ? 0 : on.figures.clip_low);
    clip[2] += (double)n_terms * (isnan(on.figures.clip_high) ? 0 : on.figures.clip_high);
    return RUNG_OK;
}

static rung_status minibatch(rl_loop *l, rl_pack *p, const uint32_t *order, int32_t n,
                             double clip[3], double *n_updates, rung_error *err) {
    double den = denominator(l, order, n), n_tok = 0, loss = 0, norm = 0;
    bool policy = !l->critic || l->at.step >= l->o->critic_warmup;
    rung_adamw opt = l->o->adamw;
    for (int32_t k = 0; k < n; k++) n_tok += l->answer[order[k]].n_resp;
    for (int32_t at = 0, k; at < n; at += k) {
        k = rl_pack_fill(p, l, order, at, n);
        if (policy) RUNG_TRY(micro_batch(l, p, den, &loss, clip, err));
        RUNG_TRY(rl_value_grad(l, p, n_tok, err));
    }
    RUNG_TRY(rl_value_step(l, err));
    *n_updates += 1;
    if (!policy) return RUNG_OK;
    opt.lr = rl_lr(l, opt.lr);
    opt.lr = rung_lr_at(RUNG_SCHEDULE_CONSTANT, opt.lr, 0, rung_net_steps(l->net), l->o->warmup,
                        INT64_MAX);
    RUNG_TRY(rung_net_step(&norm, l->net, &opt, err));
    l->f.loss += loss;
    l->f.grad_norm += norm;
    return RUNG_OK;
}

rung_status rl_update(rl_loop *l, rung_error *err) {
    rl_pack p = {0};
    double clip[3] = {0, 0, 0}, n_updates = 0;
    int32_t n = 0, parts = l->o->minibatches > 0 ? l->o->minibatches : 1;
    uint32_t *order = rl_room(l->arena, (size_t)l->n_answers * sizeof *order, err);
    uint32_t *mine = rl_room(l->arena, (size_t)l->n_answers * sizeof *mine, err);
    if (!order || !mine) return RUNG_E_NOMEM;
    RUNG_TRY(rl_pack_room(&p, l, err));
    for (int32_t i = 0; i < l->n_answers; i++)
        if (l->answer[i].trained && l->answer[i].n_resp > 0) mine[n++] = (uint32_t)i;
    for (int32_t e = 0; e < (l->o->epochs > 0 ? l->o->epochs : 1); e++) {
        rung_rng r =
            rung_rng_at(rl_seed(l), RUNG_STREAM_SHUFFLE, (uint64_t)l->at.step, 2 + (uint64_t)e);
        memcpy(order, mine, (size_t)n * sizeof *order);
        rung_rng_shuffle(&r, order, (uint32_t)n);
        for (int32_t k = 0; k < parts; k++) {
            int32_t from = (int32_t)((int64_t)n * k / parts);
            int32_t to = (int32_t)((int64_t)n * (k + 1) / parts);
            if (to > from)
                RUNG_TRY(minibatch(l, &p, order + from, to - from, clip, &n_updates, err));
        }
    }
    if (n_updates > 0) {
        l->f.loss /= n_updates;
        l->f.grad_norm /= n_updates;
        l->f.vf_loss /= n_updates;
    }
    rl_value_note(l);
    l->f.clip_low = clip[0] > 0 ? clip[1] / clip[0] : 0;
    l->f.clip_high = clip[0] > 0 ? clip[2] / clip[0] : 0;
    return RUNG_OK;
}
