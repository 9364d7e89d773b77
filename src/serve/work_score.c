/* Scores of given texts by the reward model: vLLM's /pooling, /classify and /score, OpenRLHF's
 * /get_reward. They wait with the searches for the scorer's next run, and share its batch. */
#include "serve/work.h"

#include "rung/trace.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static rung_status no_memory(rung_error *err) {
    return rung_fail(err, RUNG_E_NOMEM, "no memory for a request");
}

void work_drop_score(work_ask *a) {
    if (!a->live || !a->w->scorer) return;
    for (int32_t i = 0; i < a->ask.n_scored; i++)
        if (a->live[i] >= 0) rung_scorer_drop(a->w->scorer, a->live[i]);
    a->live = NULL;
}

/* ---- laying out */

static rung_status add_step(work_ask *a, int32_t i, const char *text, size_t n, rung_error *err) {
    work_spans *s = &a->span[i];
    if (s->n == s->cap) {
        int32_t cap = s->cap ? 2 * s->cap : 16;
        int32_t *at = rung_arena_alloc(a->arena, 2 * (size_t)cap * sizeof *at);
        if (!at) return no_memory(err);
        if (s->n) memcpy(at, s->at, 2 * (size_t)s->n * sizeof *at);
        s->at = at;
        s->cap = cap;
    }
    s->at[2 * s->n] = (int32_t)(text - a->ask.scored[i].text);
    s->at[2 * s->n + 1] = s->at[2 * s->n] + (int32_t)n;
    s->n++;
    return rung_scorer_step(a->w->scorer, a->live[i], text, n, NULL, 0, err);
}

/* Steps as the model's tag marks them, where it stands in the text. */
static rung_status add_tagged(work_ask *a, int32_t i, const char *text, const char *tag,
                              rung_error *err) {
    size_t n_tag = strlen(tag);
    while (*text) {
        const char *at = strstr(text, tag);
        size_t n = at ? (size_t)(at - text) : strlen(text);
        bool blank = strspn(text, " \n\r\t") >= n;
        if (!blank) RUNG_TRY(add_step(a, i, text, n, err));
        if (!at) break;
        text = at + n_tag;
    }
    return RUNG_OK;
}

static rung_status add_steps(work_ask *a, int32_t i, const char *text, rung_error *err) {
    const char *tag = rung_reward_tag(a->w->o->reward), *how = a->w->o->search.split;
    rung_step *step = NULL;
    int32_t n = 0;
    if (*tag && strstr(text, tag)) return add_tagged(a, i, text, tag, err);
    RUNG_TRY(rung_split_steps(&step, &n, how ? how : "blank", text, strlen(text), err));
    rung_status st = RUNG_OK;
    for (int32_t k = 0; k < n && st == RUNG_OK; k++)
        st = add_step(a, i, text + step[k].byte_begin,
                      (size_t)(step[k].byte_end - step[k].byte_begin), err);
    rung_free(step);
    return st;
}

static rung_status lay_out(work_ask *a, int32_t i, rung_error *err) {
    const serve_scored *x = &a->ask.scored[i];
    rung_scorer *s = a->w->scorer;
    rung_status st;
    if (!x->question) {
        st = rung_scorer_raw(&a->live[i], s, x->text, strlen(x->text), err);
    } else {
        st = rung_scorer_begin(&a->live[i], s, x->question, err);
        if (st == RUNG_OK) st = add_steps(a, i, x->text, err);
    }
    if (st != RUNG_OK && err && a->ask.n_scored > 1) rung_error_detail(err, "text %d", i);
    return st;
}

rung_status work_begin_score(work_ask *a, rung_error *err) {
    int32_t n = a->ask.n_scored;
    if (!a->w->scorer) {
        rung_fail(err, RUNG_E_INVAL, "no reward model is served");
        return rung_error_hint(err, "rung serve --reward prm.gguf");
    }
    a->live = rung_arena_alloc(a->arena, (size_t)n * sizeof *a->live);
    a->span = rung_arena_alloc(a->arena, (size_t)n * sizeof *a->span);
    if (!a->live || !a->span) {
        a->live = NULL;
        return no_memory(err);
    }
    memset(a->span, 0, (size_t)n * sizeof *a->span);
    for (int32_t i = 0; i < n; i++) a->live[i] = -1;
    for (int32_t i = 0; i < n; i++) {
        rung_error why = RUNG_ERROR_INIT;
        rung_status st = lay_out(a, i, &why);
        if (st == RUNG_OK) continue;
        if (a->ask.kind == SERVE_GET_REWARD && st == RUNG_E_LIMIT) { /* too long: null, the others
                                                                        are scored */
            if (a->live[i] >= 0) rung_scorer_drop(a->w->scorer, a->live[i]);
            a->live[i] = -1;
            continue;
        }
        if (err) *err = why;
        return st;
    }
    a->scores = true;
    a->n_left++;
    return RUNG_OK;
}

/* ---- replies */

static bool is_chance(double p) {
    return p >= 0.0 && p <= 1.0;
}

static void step_rows(rung_buf *b, const double *score, int32_t n) {
    rung_buf_str(b, "[");
    for (int32_t k = 0; k < n; k++) {
        const char *comma = k ? "," : "";
        if (is_chance(score[k]))
            rung_buf_printf(b, "%s[%.8g,%.8g]", comma, 1.0 - score[k], score[k]);
        else
            rung_buf_printf(b, "%s[%.8g]", comma, score[k]);
    }
    rung_buf_str(b, "]");
}

/* Two classes; without the activation what softmax makes of [0, z] is the same. */
static void class_row(rung_buf *b, const work_ask *a, double p) {
    if (!is_chance(p)) {
        rung_buf_printf(b, "\"label\":null,\"probs\":[%.8g],\"num_classes\":1", p);
        return;
    }
    const double eps = 1e-7; /* keeps the logit of a certainty finite */
    double q = p < eps ? eps : p > 1.0 - eps ? 1.0 - eps : p;
    rung_buf_printf(b, "\"label\":\"LABEL_%d\",\"probs\":[%.8g,%.8g],\"num_classes\":2", p >= 0.5,
                    a->ask.activation ? 1.0 - p : 0.0, a->ask.activation ? p : log(q / (1.0 - q)));
}

static rung_status one_row(rung_buf *b, work_ask *a, int32_t i, rung_error *err) {
    const double *score = NULL;
    int32_t n = 0;
    double all = (double)NAN;
    RUNG_TRY(rung_scorer_get(&score, &n, a->w->scorer, a->live[i], err));
    a->cost.prompt_tok += rung_scorer_tokens(a->w->scorer, a->live[i]);
    if (n == 0) return rung_fail(err, RUNG_E_INVAL, "text %d has no step to score", i);
    rung_aggregate_id how = rung_reward_aggregate_of(a->w->o->reward);
    for (int32_t k = 0; k < n; k++)
        if (isnan(score[k]))
            return rung_fail(err, RUNG_E_LIMIT, "text %d: step %d has no score", i, k);
    RUNG_TRY(rung_aggregate(&all, how, score, (size_t)n, err));
    switch (a->ask.kind) {
    case SERVE_POOLING:
        rung_buf_printf(b, "{\"index\":%d,\"object\":\"pooling\",\"data\":", i);
        step_rows(b, score, n);
        break;
    case SERVE_CLASSIFY:
        rung_buf_printf(b, "{\"index\":%d,", i);
        class_row(b, a, all);
        break;
    default: /* SERVE_SCORE */
        rung_buf_printf(b, "{\"index\":%d,\"object\":\"score\",\"score\":%.8g", i, all);
    }
    rung_buf_str(b, "}");
    return RUNG_OK;
}

static void usage(rung_buf *b, const work_ask *a) {
    rung_buf_printf(b, ",\"usage\":{\"prompt_tokens\":%lld,\"total_tokens\":%lld}}",
                    (long long)a->cost.prompt_tok, (long long)a->cost.prompt_tok);
}

static rung_status body(rung_buf *b, work_ask *a, rung_error *err) {
    const char *name = a->w->o->caps.name;
    rung_buf rows;
    if (a->ask.kind == SERVE_GET_REWARD) return work_reward_body(b, a, err);
    rung_buf_init(&rows, 64u << 20);
    rung_status st = RUNG_OK;
    for (int32_t i = 0; i < a->ask.n_scored && st == RUNG_OK; i++) {
        if (i) rung_buf_str(&rows, ",");
        st = one_row(&rows, a, i, err);
    }
    if (st == RUNG_OK) st = rung_buf_check(&rows, err);
    const char *text = rows.data ? rows.data : "";
    if (st == RUNG_OK) {
        rung_buf_printf(b,
                        "{\"id\":\"%s\",\"object\":\"list\",\"created\":%lld,\"model\":", a->name,
                        (long long)a->created);
        rung_buf_json_str(b, name, strlen(name));
        rung_buf_printf(b, ",\"data\":[%s]", text);
        usage(b, a);
    }
    rung_buf_clear(&rows);
    return st == RUNG_OK ? rung_buf_check(b, err) : st;
}

void work_finish_score(work_ask *a) {
    rung_buf *b = &a->w->out;
    rung_error err = RUNG_ERROR_INIT;
    rung_buf_reset(b);
    rung_status st = body(b, a, &err);
    if (st == RUNG_OK)
        work_send(a, b->data, b->n);
    else
        work_fail(a, work_status_of(st), &err);
    work_drop_score(a);
}
