/* Answers in packed rows: logprobs of the policy that sampled and of the reference, and the update:
 * inner epochs of minibatches in addressed orders, each summed over micro-batches under one
 * denominator. */
#include "rl/loop.h"
#include "train/loss_logits.h"

typedef struct pack {
    rung_batch b;
    int32_t rows, n_tok, n_docs;
    int32_t *tok, *doc, *target, *sample, *used, *n_doc;
    double *mask, *old, *ref, *sampler, *advantage, *entropy, *logprob;
    int32_t *who;  /* [n_docs] answers in the pack */
    int64_t *base; /* [n_docs] place of the first own token's logits */
} pack;

static rung_status pack_room(pack *p, rl_loop *l, rung_error *err) {
    size_t n = (size_t)l->o->rows * (size_t)l->o->row_tok, m = (size_t)l->n_answers;
    p->rows = l->o->rows;
    p->n_tok = l->o->row_tok;
    p->tok = rl_room(l->arena, 4 * n * sizeof *p->tok, err);
    p->mask = rl_room(l->arena, 7 * n * sizeof *p->mask, err);
    p->used = rl_room(l->arena, 2 * (size_t)p->rows * sizeof *p->used, err);
    p->who = rl_room(l->arena, m * sizeof *p->who, err);
    p->base = rl_room(l->arena, m * sizeof *p->base, err);
    if (!p->tok || !p->mask || !p->used || !p->who || !p->base) return RUNG_E_NOMEM;
    p->doc = p->tok + n;
    p->target = p->doc + n;
    p->sample = p->target + n;
    p->n_doc = p->used + p->rows;
    p->old = p->mask + n;
    p->ref = p->old + n;
    p->sampler = p->ref + n;
    p->advantage = p->sampler + n;
    p->entropy = p->advantage + n;
    p->logprob = p->entropy + n;
    return RUNG_OK;
}

static void put_answer(pack *p, const rl_answer *a, int32_t who, int32_t row) {
    int32_t n = a->n_prompt + a->n_resp;
    int64_t at = (int64_t)row * p->n_tok + p->used[row];
    memcpy(p->tok + at, a->tok, (size_t)n * sizeof *a->tok);
    for (int32_t i = 0; i < n; i++) p->doc[at + i] = p->n_doc[row];
    for (int32_t q = 0; q < a->n_resp; q++) {
        int64_t k = at + a->n_prompt + q - 1; /* the logits that say token q */
        p->target[k] = a->tok[a->n_prompt + q];
        p->sample[k] = p->n_docs;
        p->mask[k] = 1;
        if (!a->old) continue;
        p->old[k] = a->old[q];
        p->ref[k] = a->ref ? a->ref[q] : 0;
        p->sampler[k] = isnan(a->sampler[q]) ? a->old[q] : (double)a->sampler[q];
        p->advantage[k] = a->advantage ? (double)a->advantage[q] : 0;
    }
    p->who[p->n_docs] = who;
    p->base[p->n_docs++] = at + a->n_prompt - 1;
    p->n_doc[row]++;
    p->used[row] += n;
}

/* Answers order[from..n) while they fit, each into the first row with room; how many. */
static int32_t fill_pack(pack *p, const rl_loop *l, const uint32_t *order, int32_t from,
                         int32_t n) {
    size_t all = (size_t)p->rows * (size_t)p->n_tok;
    int32_t k = from, most = 0;
    memset(p->tok, 0, 3 * all * sizeof *p->tok);
    memset(p->mask, 0, 7 * all * sizeof *p->mask);
    memset(p->used, 0, 2 * (size_t)p->rows * sizeof *p->used);
    for (size_t i = 0; i < all; i++) p->doc[i] = p->sample[i] = -1;
    p->n_docs = 0;
    for (; k < n; k++) {
        const rl_answer *a = &l->answer[order[k]];
        int32_t row = 0, len = a->n_prompt + a->n_resp;
        while (row < p->rows && p->used[row] + len > p->n_tok) row++;
        if (row == p->rows) break;
        put_answer(p, a, (int32_t)order[k], row);
        most = row + 1 > most ? row + 1 : most;
    }
    p->b = (rung_batch){most, p->n_tok, p->tok, p->doc};
    return k - from;
}

static rung_status read_pack(double *logprob, double *entropy, rung_net *net, pack *p,
                             double temperature, rung_error *err) {
    const float *logits;
    RUNG_TRY(rung_net_forward(&logits, NULL, net, &p->b, err));
    rung_logits_logprob(logprob, entropy, logits, p->target, p->mask,
                        (int64_t)p->b.n_rows * p->n_tok, rung_net_get_shape(net)->n_vocab,
                        temperature);
    return RUNG_OK;
}

/* The policy's entropy, its distance from the reference and from the sampler, over all tokens. */
static void note_logprobs(rl_loop *l, const pack *p, double sums[4]) {
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
    pack p = {0};
    double sums[4] = {0, 0, 0, 0}, t = l->o->temperature;
    uint32_t *order = rl_room(l->arena, (size_t)l->n_answers * sizeof *order, err);
    if (!order) return RUNG_E_NOMEM;
    RUNG_TRY(pack_room(&p, l, err));
    for (int32_t i = 0; i < l->n_answers; i++) {
        rl_answer *a = &l->answer[i];
        order[i] = (uint32_t)i;
        a->old = rl_room(l->arena, (size_t)a->n_resp * sizeof *a->old, err);
        a->ref = l->ref ? rl_room(l->arena, (size_t)a->n_resp * sizeof *a->ref, err) : NULL;
        if (!a->old || (l->ref && !a->ref)) return RUNG_E_NOMEM;
    }
    for (int32_t at = 0, n; at < l->n_answers; at += n) {
        n = fill_pack(&p, l, order, at, l->n_answers);
        RUNG_TRY(read_pack(p.logprob, p.entropy, l->net, &p, t, err));
        if (l->ref) RUNG_TRY(read_pack(p.ref, NULL, l->ref, &p, t, err));
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

static rung_status micro_batch(rl_loop *l, pack *p, double den, double *loss, double clip[3],
                               rung_error *err) {
    const rung_rl_opts *o = l->o;
    int64_t n = (int64_t)p->b.n_rows * p->n_tok, n_terms;
    double value;
    rung_loss_on_net on = {.id = l->loss,
                           .data = {.n = n,
                                    .mask = p->mask,
                                    .sample = p->sample,
                                    .ref = l->ref ? p->ref : NULL,
                                    .old = p->old,
                                    .sampler = p->sampler,
                                    .advantage = p->advantage,
                                    .n_samples = p->n_docs},
                           .opts = l->loss_opts,
                           .tok = p->target,
                           .temperature = o->temperature,
                           .entropy_coef = o->entropy_coef};
    on.opts.denominator = den;
    on.opts.seed = o->seed + (uint64_t)l->at.step;
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

static rung_status minibatch(rl_loop *l, pack *p, const uint32_t *order, int32_t n, double clip[3],
                             double *n_updates, rung_error *err) {
    double den = denominator(l, order, n), loss = 0, norm = 0;
    rung_adamw opt = l->o->adamw;
    for (int32_t at = 0, k; at < n; at += k) {
        k = fill_pack(p, l, order, at, n);
        RUNG_TRY(micro_batch(l, p, den, &loss, clip, err));
    }
    opt.lr = rung_lr_at(RUNG_SCHEDULE_CONSTANT, opt.lr, 0, rung_net_steps(l->net), l->o->warmup,
                        INT64_MAX);
    RUNG_TRY(rung_net_step(&norm, l->net, &opt, err));
    l->f.loss += loss;
    l->f.grad_norm += norm;
    *n_updates += 1;
    return RUNG_OK;
}

rung_status rl_update(rl_loop *l, rung_error *err) {
    pack p = {0};
    double clip[3] = {0, 0, 0}, n_updates = 0;
    int32_t n = 0, parts = l->o->minibatches > 0 ? l->o->minibatches : 1;
    uint32_t *order = rl_room(l->arena, (size_t)l->n_answers * sizeof *order, err);
    uint32_t *mine = rl_room(l->arena, (size_t)l->n_answers * sizeof *mine, err);
    if (!order || !mine) return RUNG_E_NOMEM;
    RUNG_TRY(pack_room(&p, l, err));
    for (int32_t i = 0; i < l->n_answers; i++)
        if (l->answer[i].trained && l->answer[i].n_resp > 0) mine[n++] = (uint32_t)i;
    for (int32_t e = 0; e < (l->o->epochs > 0 ? l->o->epochs : 1); e++) {
        rung_rng r =
            rung_rng_at(l->o->seed, RUNG_STREAM_SHUFFLE, (uint64_t)l->at.step, 2 + (uint64_t)e);
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
    }
    l->f.clip_low = clip[0] > 0 ? clip[1] / clip[0] : 0;
    l->f.clip_high = clip[0] > 0 ? clip[2] / clip[0] : 0;
    return RUNG_OK;
}
