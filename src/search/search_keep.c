/* What comes of a search: verdicts of finished traces, the choice, rows of the store. */
#include "search/search_drive.h"

#include <math.h>
#include <string.h>

bool search_step_is_final(void *ud, const char *step, int32_t n_bytes) {
    const search_slot *p = ud;
    rung_answer a = {{0}, "", false};
    if (!p->verifier) return false;
    p->verifier->extract(&a, step, (size_t)n_bytes);
    if (!a.text[0] || a.flexible) return false;
    return strcmp(a.rule, "gsm8k") == 0 || strcmp(a.rule, "boxed") == 0 ||
           strcmp(a.rule, "minerva") == 0;
}

rung_status search_judge_node(void *ud, search *s, int32_t node, rung_error *err) {
    search_slot *p = ud;
    rung_buf b;
    rung_buf_init(&b, 16u << 20);
    search_path_text(&b, s, node);
    rung_status st = rung_buf_check(&b, err);
    bool open = s->node[node].end != SEARCH_DONE;
    rung_trace t = {.text = b.data ? b.data : "",
                    .n_bytes = (int32_t)b.n,
                    .stop = open ? "length" : s->node[node].stop,
                    .first_error_source = ""};
    if (st == RUNG_OK) st = rung_trace_judge(&t, s->arena, &p->problem, err);
    rung_buf_clear(&b);
    if (st != RUNG_OK) return st;
    s->node[node].key = t.answer_key;
    s->node[node].verdict = t.verdict;
    return RUNG_OK;
}

/* ---- a candidate as a trace */

typedef struct row {
    rung_trace t;
    rung_step *step;
    int32_t *node; /* [n_steps] */
} row;

static void join_logprobs(float *out, const float *from, int32_t n) {
    if (from && n > 0) memcpy(out, from, (size_t)n * sizeof *out);
}

static rung_status make_row(row *r, search_slot *p, int32_t leaf, int32_t i, rung_error *err) {
    search *s = &p->s;
    const search_node *end = &s->node[leaf];
    int32_t n = 0;
    bool tok = true, logs = true, draws = true;
    for (int32_t v = leaf; v > 0; v = s->node[v].parent) n += s->node[v].n_bytes > 0;
    size_t n_tok = (size_t)end->n_path_tok;
    rung_buf text;
    rung_buf_init(&text, 16u << 20);
    search_path_text(&text, s, leaf);
    rung_status st = rung_buf_check(&text, err);
    char *copy =
        st == RUNG_OK ? rung_arena_strndup(s->arena, text.data ? text.data : "", text.n) : NULL;
    rung_buf_clear(&text);
    if (st != RUNG_OK) return st;
    int32_t *toks = rung_arena_alloc(s->arena, n_tok * sizeof *toks + 1);
    float *lp = rung_arena_alloc(s->arena, n_tok * sizeof *lp + 1);
    float *draw = rung_arena_alloc(s->arena, n_tok * sizeof *draw + 1);
    r->step = rung_arena_alloc(s->arena, (size_t)n * sizeof *r->step + 1);
    r->node = rung_arena_alloc(s->arena, (size_t)n * sizeof *r->node + 1);
    if (!copy || !toks || !lp || !draw || !r->step || !r->node)
        return rung_fail(err, RUNG_E_NOMEM, "no memory for a trace");
    int32_t k = n, byte = end->n_path_bytes, at = end->n_path_tok;
    for (int32_t v = leaf; v > 0; v = s->node[v].parent) {
        const search_node *x = &s->node[v];
        if (x->n_bytes == 0) {
            at -= x->n_tok;
            continue;
        }
        r->node[--k] = v;
        r->step[k] = (rung_step){0, byte - x->n_bytes, byte, at - x->n_tok, at};
        byte -= x->n_bytes;
        at -= x->n_tok;
        tok &= x->tok != NULL;
        logs &= x->logprob != NULL;
        draws &= x->logprob_draw != NULL;
        if (x->tok) memcpy(toks + at, x->tok, (size_t)x->n_tok * sizeof *toks);
        join_logprobs(lp + at, x->logprob, x->n_tok);
        join_logprobs(draw + at, x->logprob_draw, x->n_tok);
    }
    tok &= at == 0;
    for (k = 0; k < n && !tok; k++) r->step[k].tok_begin = r->step[k].tok_end = 0;
    r->t = (rung_trace){.run = p->w->run,
                        .problem = p->problem.id,
                        .i = i,
                        .generator = p->w->generator,
                        .text = copy,
                        .n_bytes = end->n_path_bytes,
                        .tok = tok ? toks : NULL,
                        .n_tok = tok ? (int32_t)n_tok : 0,
                        .logprob = tok && logs ? lp : NULL,
                        .logprob_draw = tok && draws ? draw : NULL,
                        .step = r->step,
                        .n_steps = n,
                        .stop = end->end == SEARCH_DONE ? end->stop : "length",
                        .first_error = RUNG_FIRST_ERROR_UNKNOWN,
                        .first_error_source = ""};
    return rung_trace_judge(&r->t, s->arena, &p->problem, err);
}

static rung_status put_scores(search_slot *p, const row *r, rung_error *err) {
    if (!p->w->o.score_model || p->w->o.scorer != RUNG_SEARCH_SCORE_REWARD) return RUNG_OK;
    for (int32_t k = 0; k < r->t.n_steps; k++) {
        double v = p->s.node[r->node[k]].score;
        if (isfinite(v))
            RUNG_TRY(rung_score_put(p->w->store, r->step[k].node, p->w->o.score_model, v, err));
    }
    return RUNG_OK;
}

static const char *outcome_of(const search *s, int32_t chosen) {
    if (chosen < 0) return "no_answer";
    const search_node *v = &s->node[s->done[chosen]];
    if (v->verdict == RUNG_VERDICT_CORRECT) return "correct";
    if (!v->key[0]) return "no_answer";
    return v->verdict == RUNG_VERDICT_WRONG ? "wrong" : "unknown";
}

static rung_status put_all(search_slot *p, row *rows, const rung_search_row *r, rung_error *err) {
    search *s = &p->s;
    search_driver *w = p->w;
    bool is_new;
    for (int32_t i = 0; i < s->n_done; i++) {
        RUNG_TRY(rung_trace_put(w->store, &rows[i].t, rows[i].step, &is_new, err));
        RUNG_TRY(put_scores(p, &rows[i], err));
    }
    RUNG_TRY(rung_search_put(w->store, r, s->event, s->n_events, &is_new, err));
    double now = rung_now();
    RUNG_TRY(rung_run_spend(w->store, w->run, s->ledger.gen_tok + s->ledger.judge_out_tok,
                            now - w->spent_t, err));
    w->spent_t = now;
    return RUNG_OK;
}

rung_status search_keep_result(search_slot *p, rung_error *err) {
    search *s = &p->s;
    int32_t chosen;
    RUNG_TRY(search_choose(&chosen, s, err));
    s->ledger.wall_s = rung_now() - p->t0;
    row *rows = rung_arena_alloc(s->arena, (size_t)s->n_done * sizeof *rows + 1);
    if (!rows) return rung_fail(err, RUNG_E_NOMEM, "no memory for %d traces", s->n_done);
    for (int32_t i = 0; i < s->n_done; i++) RUNG_TRY(make_row(&rows[i], p, s->done[i], i, err));
    rung_buf ledger;
    rung_buf_init(&ledger, 4096);
    search_ledger_json(&ledger, &s->ledger);
    const search_node *v = chosen >= 0 ? &s->node[s->done[chosen]] : NULL;
    rung_search_row r = {.run = p->w->run,
                         .problem = p->problem.id,
                         .method = s->m->info.name,
                         .chosen = chosen,
                         .answer_key = v ? v->key : "",
                         .verdict = v ? v->verdict : RUNG_VERDICT_WRONG,
                         .outcome = outcome_of(s, chosen),
                         .n_traces = s->n_done,
                         .n_nodes = s->n_nodes,
                         .ledger = ledger.data};
    rung_status st = rung_buf_check(&ledger, err);
    if (st == RUNG_OK) st = rung_store_begin(p->w->store, err);
    if (st == RUNG_OK) {
        st = put_all(p, rows, &r, err);
        if (st == RUNG_OK)
            st = rung_store_commit(p->w->store, err);
        else
            rung_store_rollback(p->w->store);
    }
    rung_buf_clear(&ledger);
    return st;
}
