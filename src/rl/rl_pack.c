/* Packs of answers: whole documents in rows, first fit; what nets say of them. */
#include "rl/pack.h"

rung_status rl_pack_room(rl_pack *p, rl_loop *l, rung_error *err) {
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

static void put_answer(rl_pack *p, const rl_answer *a, int32_t who, int32_t row) {
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

int32_t rl_pack_fill(rl_pack *p, const rl_loop *l, const uint32_t *order, int32_t from, int32_t n) {
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

rung_status rl_pack_read(double *logprob, double *entropy, rung_net *net, rl_pack *p,
                         const rl_loop *l, rung_error *err) {
    return rung_net_logprobs(logprob, entropy, net, &p->b, p->target, p->mask, l->o->temperature,
                             err);
}

rung_status rl_pack_read_ref(double *logprob, rl_pack *p, const rl_loop *l, rung_error *err) {
    if (l->ref) return rl_pack_read(logprob, NULL, l->ref, p, l, err);
    rung_net_mute_lora(l->net, true);
    rung_status st = rl_pack_read(logprob, NULL, l->net, p, l, err);
    rung_net_mute_lora(l->net, false);
    return st;
}
