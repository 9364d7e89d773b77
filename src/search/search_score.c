/* Scores of steps, by source: the policy's own confidence, the world's truth with flips, a judge,
 * a reward model that reads as the text grows, an ensemble. NaN: could not be scored. */
#include "search/search_drive.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

enum { JUDGE_VOTES = 3, JUDGE_TOKENS = 16 }; /* ToT: three value prompts of a few words */
#define JUDGE_T 0.7

/* ---- at once */

static double by_confidence(const search_node *v) {
    return isnan(v->min_logprob) ? (double)NAN : exp(v->min_logprob);
}

static double by_logprob(const search_node *v) {
    if (isnan(v->sum_logprob)) return (double)NAN;
    return v->n_tok ? exp(v->sum_logprob / (double)v->n_tok) : 1.0;
}

/* One over the effective number of choices; then how far from choosing blindly, in [0, 1). */
static double by_entropy(const search_node *v) {
    return v->n_tok ? exp(-v->sum_entropy / (double)v->n_tok) : 1.0;
}

static double by_certainty(const search_node *v) {
    return v->n_tok ? 1.0 - exp(-v->sum_certainty / (double)v->n_tok) : 1.0;
}

/* Whether every step up to node is right, as the world knows; turned around with chance flip, by a
 * draw that belongs to the prefix. A cut step is not seen: its prefix decides. */
static rung_status by_truth(double *score, search_slot *p, int32_t node, rung_error *err) {
    search *s = &p->s;
    int32_t n = 0, first = 0;
    *score = (double)NAN;
    if (!p->world) return RUNG_OK;
    int32_t depth = s->node[node].depth;
    const char **step = rung_alloc(((size_t)depth + 1) * sizeof *step);
    int32_t *n_bytes = rung_alloc(((size_t)depth + 1) * sizeof *n_bytes);
    rung_status st = RUNG_OK;
    if (!step || !n_bytes) st = rung_fail(err, RUNG_E_NOMEM, "no memory for %d steps", depth);
    for (int32_t v = node; st == RUNG_OK && v > 0; v = s->node[v].parent)
        if (s->node[v].n_bytes && s->node[v].end != SEARCH_CUT) n++;
    for (int32_t v = node, k = n; st == RUNG_OK && v > 0; v = s->node[v].parent) {
        if (!s->node[v].n_bytes || s->node[v].end == SEARCH_CUT) continue;
        step[--k] = s->node[v].text;
        n_bytes[k] = s->node[v].n_bytes;
    }
    if (st == RUNG_OK && n > 0)
        st = p->world->first_error(&first, p->problem.meta, step, n_bytes, n, err);
    if (st == RUNG_OK) {
        bool right = n == 0 || first < 0;
        rung_rng r =
            rung_rng_at(p->w->o.seed, RUNG_STREAM_SEARCH, s->address, s->node[node].path | 1);
        if (p->w->o.flip > 0.0 && rung_rng_f64(&r) < p->w->o.flip) right = !right;
        *score = right ? 1.0 : 0.0;
    }
    rung_free(step);
    rung_free(n_bytes);
    return st;
}

/* The nodes of want[] and those before them that have no score yet. */
static rung_status score_now(search_slot *p, rung_error *err) {
    search *s = &p->s;
    for (int32_t i = 0; i < s->n_want; i++)
        for (int32_t v = s->want[i]; v > 0 && !s->node[v].scored; v = s->node[v].parent) {
            double score = (double)NAN;
            switch (p->w->o.scorer) {
            case RUNG_SEARCH_SCORE_CONFIDENCE: score = by_confidence(&s->node[v]); break;
            case RUNG_SEARCH_SCORE_LOGPROB: score = by_logprob(&s->node[v]); break;
            case RUNG_SEARCH_SCORE_ENTROPY: score = by_entropy(&s->node[v]); break;
            case RUNG_SEARCH_SCORE_CERTAINTY: score = by_certainty(&s->node[v]); break;
            default: RUNG_TRY(by_truth(&score, p, v, err));
            }
            search_set_score(s, v, score);
        }
    return RUNG_OK;
}

/* ---- a judge */

static const char judge_ask[] =
    "\n\nA solution of this problem so far:\n\n%.*s\n\nAre these steps right, and can they lead to "
    "the right answer? Reply with one word: sure, likely or impossible.\n";

static rung_status submit_judge(search_slot *p, int32_t at, rung_error *err) {
    search_driver *w = p->w;
    rung_buf_reset(&w->text);
    search_path_text(&w->text, &p->s, p->s.want[at]);
    RUNG_TRY(rung_buf_check(&w->text, err));
    rung_buf_reset(&w->user);
    rung_buf_str(&w->user, p->problem.question);
    rung_buf_printf(&w->user, judge_ask, (int)w->text.n, w->text.data ? w->text.data : "");
    RUNG_TRY(rung_buf_check(&w->user, err));
    search_job *j = rung_arena_alloc(p->s.arena, sizeof *j);
    if (!j) return rung_fail(err, RUNG_E_NOMEM, "no memory for a request");
    *j = (search_job){
        .taker.take = search_take, .next = p->job, .slot = p, .at = at, .judges = true};
    p->job = j;
    rung_gen g = {.prompt = {NULL, w->user.data, NULL},
                  .sampling = RUNG_SAMPLING_INIT,
                  .n = JUDGE_VOTES,
                  .max_tok = JUDGE_TOKENS,
                  .stop = {"\n"},
                  .seed = w->o.seed,
                  .stream = RUNG_STREAM_SEARCH,
                  .key = p->s.node[p->s.want[at]].addr ^ 0x6a75646765u,
                  .ud = j};
    g.sampling.temperature = JUDGE_T;
    p->n_left += JUDGE_VOTES;
    w->n_out += JUDGE_VOTES;
    p->s.ledger.judge_in_tok +=
        (int64_t)JUDGE_VOTES * (p->s.n_header_tok + p->s.node[p->s.want[at]].n_path_tok);
    return rung_engine_gen(w->engine, &g, err);
}

/* Is the word there, whatever its case? */
static bool says(const char *text, int32_t n, const char *word) {
    size_t len = strlen(word);
    for (int32_t i = 0; i + (int32_t)len <= n; i++) {
        size_t k = 0;
        while (k < len && tolower((unsigned char)text[(size_t)i + k]) == word[k]) k++;
        if (k == len) return true;
    }
    return false;
}

rung_status search_score_judged(search_slot *p, int32_t at, const rung_gen_out *o,
                                rung_error *err) {
    (void)err;
    p->s.ledger.judge_out_tok += o->n_tok;
    p->w->n_tok += o->n_tok;
    double value = says(o->text, o->n_bytes, "impossible") ? 0.001
                   : says(o->text, o->n_bytes, "likely")   ? 0.5
                   : says(o->text, o->n_bytes, "sure")     ? 1.0
                                                           : (double)NAN;
    if (isnan(value)) return RUNG_OK; /* an unparsed reply is no vote */
    p->vote[2 * at] += value;
    p->vote[2 * at + 1] += 1.0;
    return RUNG_OK;
}

void search_score_judged_all(search_slot *p) {
    for (int32_t i = 0; i < p->s.n_want; i++) {
        double n = p->vote[2 * i + 1];
        search_set_score(&p->s, p->s.want[i], n > 0.0 ? p->vote[2 * i] / n : (double)NAN);
    }
}

static rung_status begin_judge(search_slot *p, rung_error *err) {
    p->vote = rung_arena_alloc(p->s.arena, (size_t)p->s.n_want * 2 * sizeof *p->vote);
    if (!p->vote) return rung_fail(err, RUNG_E_NOMEM, "no memory for votes");
    p->job = NULL;
    for (int32_t i = 0; i < p->s.n_want; i++) RUNG_TRY(submit_judge(p, i, err));
    return RUNG_OK;
}

rung_status search_score_begin(search_slot *p, rung_error *err) {
    switch (p->w->o.scorer) {
    case RUNG_SEARCH_SCORE_REWARD:
    case RUNG_SEARCH_SCORE_ENSEMBLE:
        p->waits = true;
        p->w->n_waiting++;
        return RUNG_OK;
    case RUNG_SEARCH_SCORE_JUDGE: return begin_judge(p, err);
    default: return score_now(p, err);
    }
}

/* ---- a reward model */

/* The question, and how the reply has begun: its steps are read, their scores belong to nobody. */
static rung_status begin_root(search_slot *p, rung_error *err) {
    rung_scorer *sc = p->w->scorer;
    const char *text = p->w->o.prefix;
    RUNG_TRY(rung_scorer_begin(&p->live_root, sc, p->problem.question, err));
    rung_step *step = NULL;
    int32_t n = 0;
    if (!text || !*text) return RUNG_OK;
    rung_status st = rung_split_steps(&step, &n, p->split, text, strlen(text), err);
    for (int32_t k = 0; k < n && st == RUNG_OK; k++) {
        const rung_step *x = &step[k];
        rung_error e = RUNG_ERROR_INIT;
        st = rung_scorer_step(sc, p->live_root, text + x->byte_begin,
                              (size_t)(x->byte_end - x->byte_begin), NULL, 0, &e);
        if (st == RUNG_E_FORMAT || st == RUNG_E_MISMATCH) st = RUNG_OK; /* goes unread */
        if (st != RUNG_OK && err) *err = e;
    }
    rung_free(step);
    return st;
}

/* The live trace of a node: that of the nearest step before it that has one, forked, and the steps
 * from there. *live = -1: it cannot be scored. */
static rung_status live_of(int64_t *live, search_slot *p, int32_t node, rung_error *err) {
    search *s = &p->s;
    rung_scorer *sc = p->w->scorer;
    int32_t path[512], n = 0, from = node;
    bool cut = s->node[node].end == SEARCH_CUT;
    *live = s->node[node].live;
    if (*live >= 0 && !cut) return RUNG_OK;
    while (from > 0 && (s->node[from].live < 0 || (from == node && cut))) {
        if (n == 512) return rung_fail(err, RUNG_E_LIMIT, "a trace of more than 512 steps");
        path[n++] = from;
        from = s->node[from].parent;
    }
    if (p->live_root < 0) RUNG_TRY(begin_root(p, err));
    RUNG_TRY(rung_scorer_fork(live, sc, from > 0 ? s->node[from].live : p->live_root, err));
    while (n > 0) {
        const search_node *v = &s->node[path[--n]];
        rung_error e = RUNG_ERROR_INIT;
        if (v->n_bytes == 0) continue;
        rung_buf *b = &p->w->text;
        rung_buf_reset(b);
        rung_buf_append(b, v->text, (size_t)v->n_bytes);
        if (v->end == SEARCH_CUT) rung_buf_str(b, p->delimiter); /* in the copy alone */
        RUNG_TRY(rung_buf_check(b, err));
        bool same = p->w->o.reward_on_policy && v->tok && v->end != SEARCH_CUT;
        rung_status st = rung_scorer_step(sc, *live, b->data, b->n, same ? v->tok : NULL,
                                          same ? v->n_tok : 0, &e);
        if (st == RUNG_OK) continue;
        rung_scorer_drop(sc, *live);
        *live = -1;
        if (st == RUNG_E_FORMAT || st == RUNG_E_MISMATCH || st == RUNG_E_LIMIT) return RUNG_OK;
        if (err) *err = e;
        return st;
    }
    if (!cut) s->node[node].live = *live;
    return RUNG_OK;
}

/* What is read: the question once, and each step once; asked for: everything before, every time. */
static void charge(search_slot *p, int32_t node) {
    search *s = &p->s;
    rung_search_ledger *l = &s->ledger;
    const rung_flops_model *m = &p->w->o.reward_size;
    int64_t at = s->n_header_tok + s->node[node].n_path_tok, from = at;
    for (int32_t v = node; v > 0 && !s->node[v].scored; v = s->node[v].parent)
        from -= s->node[v].n_tok;
    if (l->scored_tok == 0) from = 0;
    l->scored_tok += at;
    l->scored_new_tok += at - from;
    l->flops_naive += rung_flops(m, 0, at);
    l->flops_cached += rung_flops(m, from, at);
}

static double blend(const search_slot *p, const search_node *v, double score) {
    if (p->w->o.scorer != RUNG_SEARCH_SCORE_ENSEMBLE) return score;
    return 0.5 * (score + by_logprob(v));
}

/* Scores of the path, oldest step first in what the scorer gives. */
static rung_status read_scores(search_slot *p, int32_t node, int64_t live, rung_error *err) {
    search *s = &p->s;
    const double *score = NULL;
    int32_t n = 0;
    rung_error e = RUNG_ERROR_INIT;
    rung_status st = live < 0 ? RUNG_E_LIMIT : rung_scorer_get(&score, &n, p->w->scorer, live, &e);
    if (st != RUNG_OK && st != RUNG_E_LIMIT) {
        if (err) *err = e;
        return st;
    }
    charge(p, node);
    for (int32_t v = node, k = n; v > 0 && !s->node[v].scored; v = s->node[v].parent) {
        if (s->node[v].n_bytes == 0) {
            search_set_score(s, v, (double)NAN);
            continue;
        }
        double r = st == RUNG_OK && k > 0 ? score[--k] : (double)NAN;
        p->w->n_unscored += isnan(r);
        search_set_score(s, v, blend(p, &s->node[v], r));
    }
    return RUNG_OK;
}

rung_status search_score_waiting(search_slot **slot, int32_t n, rung_scorer *scorer,
                                 rung_error *err) {
    rung_status st = RUNG_OK;
    for (int32_t k = 0; k < n && st == RUNG_OK; k++) {
        search_slot *p = slot[k];
        p->live_want = rung_arena_alloc(p->s.arena, (size_t)p->s.n_want * sizeof(int64_t));
        if (!p->live_want) return rung_fail(err, RUNG_E_NOMEM, "no memory for scores");
        for (int32_t i = 0; i < p->s.n_want && st == RUNG_OK; i++)
            st = live_of(&p->live_want[i], p, p->s.want[i], err);
    }
    if (st == RUNG_OK) st = rung_scorer_run(scorer, err);
    for (int32_t k = 0; k < n && st == RUNG_OK; k++) {
        search_slot *p = slot[k];
        for (int32_t i = 0; i < p->s.n_want && st == RUNG_OK; i++) {
            int32_t node = p->s.want[i];
            st = read_scores(p, node, p->live_want[i], err);
            bool scratch = p->s.node[node].end == SEARCH_CUT;
            if (scratch && p->live_want[i] >= 0) rung_scorer_drop(scorer, p->live_want[i]);
        }
    }
    return st;
}

void search_score_drop(search_slot *p) {
    if (!p->w || !p->w->scorer) return;
    for (int32_t v = 0; v < p->s.n_nodes; v++)
        if (p->s.node[v].live >= 0) rung_scorer_drop(p->w->scorer, p->s.node[v].live);
    if (p->live_root >= 0) rung_scorer_drop(p->w->scorer, p->live_root);
    p->live_root = -1;
}
