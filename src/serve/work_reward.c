/* OpenRLHF's /get_reward with steps: for each query its reward, or null where none could be had -
 * too long, nothing to score, time over - and never 0; on request each step's score, its span in
 * characters and in the trainer's tokens, and the steps as credit methods want them. */
#include "serve/work.h"

#include "rung/advantage.h"
#include "rung/trace.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* min_form's; rewards.md 3 */
#define MIN_TEMPERATURE 0.1

typedef struct reply {
    rung_buf rewards, unscored, scores, spans, tokens, credit;
    work_ask *a;
    double *r, *shaped; /* [cap] */
    int32_t cap;
} reply;

/* Scores of text i; NULL: there are none. */
static const double *scores_of(int32_t *n, reply *y, int32_t i, rung_error *err, rung_status *st) {
    work_ask *a = y->a;
    const double *score = NULL;
    rung_error why = RUNG_ERROR_INIT;
    *n = 0;
    if (a->late || a->live[i] < 0) return NULL;
    rung_status got = rung_scorer_get(&score, n, a->w->scorer, a->live[i], &why);
    if (got == RUNG_E_LIMIT) return NULL;
    if (got != RUNG_OK) {
        *st = got;
        if (err) *err = why;
        return NULL;
    }
    a->cost.prompt_tok += rung_scorer_tokens(a->w->scorer, a->live[i]);
    for (int32_t k = 0; k < *n; k++)
        if (isnan(score[k])) return NULL;
    return *n > 0 ? score : NULL;
}

/* r = 2 P - 1: as it is (sum); times softmax(-r / T) (min_form, rewards.md 3); the least of the
 * steps to come (min); what the step adds to P (progress, rewards.md 4). */
static void shape(reply *y, const double *score, int32_t n) {
    const char *how = y->a->ask.credit;
    for (int32_t k = 0; k < n; k++) y->r[k] = y->shaped[k] = 2 * score[k] - 1;
    if (strcmp(how, "min_form") == 0) rung_softmin_rewards(y->shaped, y->r, n, MIN_TEMPERATURE);
    for (int32_t k = n - 2; k >= 0 && strcmp(how, "min") == 0; k--)
        y->shaped[k] = fmin(y->r[k], y->shaped[k + 1]);
    for (int32_t k = 0; k < n && strcmp(how, "progress") == 0; k++)
        y->shaped[k] = k > 0 ? score[k] - score[k - 1] : 0;
}

static void put_numbers(rung_buf *b, const double *x, int32_t n) {
    rung_buf_str(b, "[");
    for (int32_t k = 0; k < n; k++) rung_buf_printf(b, "%s%.8g", k ? "," : "", x[k]);
    rung_buf_str(b, "]");
}

/* Characters, as Python counts them, of n bytes. */
static int32_t characters(const char *text, int32_t n) {
    int32_t sum = 0;
    for (int32_t i = 0; i < n; i++) sum += ((unsigned char)text[i] & 0xc0) != 0x80;
    return sum;
}

/* Borders ascend: each is counted from the one before. */
static void put_spans(rung_buf *b, const work_spans *s, const char *text) {
    int32_t byte = 0, sum = 0;
    rung_buf_str(b, "[");
    for (int32_t k = 0; k < 2 * s->n; k++) {
        sum += characters(text + byte, s->at[k] - byte);
        byte = s->at[k];
        if (k % 2)
            rung_buf_printf(b, ",%d]", sum);
        else
            rung_buf_printf(b, "%s[%d", k ? "," : "", sum);
    }
    rung_buf_str(b, "]");
}

/* In the tokens that were sent; null where they do not spell the reply or a step has none. */
static void put_tokens(reply *y, int32_t i) {
    const serve_scored *x = &y->a->ask.scored[i];
    const work_spans *s = &y->a->span[i];
    rung_error why = RUNG_ERROR_INIT;
    rung_step *step = rung_calloc((size_t)s->n + 1, sizeof *step);
    for (int32_t k = 0; step && k < s->n; k++) {
        step[k].byte_begin = k > 0 ? s->at[2 * k - 1] : 0; /* contiguous: tags belong to the next */
        step[k].byte_end = s->at[2 * k + 1];
    }
    if (step && s->n > 0) step[s->n - 1].byte_end = (int32_t)strlen(x->text);
    if (!step || !x->tok || !y->a->w->m ||
        rung_split_tokens(step, s->n, y->a->w->m, x->tok, x->n_tok, &why) != RUNG_OK) {
        rung_buf_str(&y->tokens, "null");
    } else {
        rung_buf_str(&y->tokens, "[");
        for (int32_t k = 0; k < s->n; k++)
            rung_buf_printf(&y->tokens, "%s[%d,%d]", k ? "," : "", step[k].tok_begin,
                            step[k].tok_end);
        rung_buf_str(&y->tokens, "]");
    }
    rung_free(step);
}

static rung_status put_one(reply *y, int32_t i, rung_error *err) {
    rung_buf *each[] = {&y->rewards, &y->unscored, &y->scores, &y->spans, &y->tokens, &y->credit};
    work_ask *a = y->a;
    rung_status st = RUNG_OK;
    int32_t n;
    double all = (double)NAN;
    const double *score = scores_of(&n, y, i, err, &st);
    if (st != RUNG_OK) return st;
    for (size_t k = 0; i > 0 && k < sizeof each / sizeof each[0]; k++) rung_buf_str(each[k], ",");
    rung_buf_str(&y->unscored, score ? "0" : "1");
    if (!score) {
        for (size_t k = 0; k < sizeof each / sizeof each[0]; k++)
            if (each[k] != &y->unscored) rung_buf_str(each[k], "null");
        return RUNG_OK;
    }
    RUNG_TRY(
        rung_aggregate(&all, rung_reward_aggregate_of(a->w->o->reward), score, (size_t)n, err));
    rung_buf_printf(&y->rewards, "%.8g", all);
    if (a->ask.steps) {
        put_numbers(&y->scores, score, n);
        put_spans(&y->spans, &a->span[i], a->ask.scored[i].text);
        put_tokens(y, i);
    }
    if (!a->ask.credit) return RUNG_OK;
    if (n > y->cap) {
        y->r = rung_arena_alloc(a->arena, (size_t)n * sizeof *y->r);
        y->shaped = rung_arena_alloc(a->arena, (size_t)n * sizeof *y->shaped);
        if (!y->r || !y->shaped) return rung_fail(err, RUNG_E_NOMEM, "no memory for a reply");
        y->cap = n;
    }
    shape(y, score, n);
    put_numbers(&y->credit, y->shaped, n);
    return RUNG_OK;
}

static const char *text_of(const rung_buf *b) {
    return b->data ? b->data : "";
}

rung_status work_reward_body(rung_buf *b, work_ask *a, rung_error *err) {
    reply y = {.a = a};
    rung_buf *each[] = {&y.rewards, &y.unscored, &y.scores, &y.spans, &y.tokens, &y.credit};
    rung_status st = RUNG_OK;
    size_t n = sizeof each / sizeof each[0];
    for (size_t k = 0; k < n; k++) rung_buf_init(each[k], 64u << 20);
    for (int32_t i = 0; i < a->ask.n_scored && st == RUNG_OK; i++) st = put_one(&y, i, err);
    for (size_t k = 0; k < n && st == RUNG_OK; k++) st = rung_buf_check(each[k], err);
    if (st == RUNG_OK) {
        rung_buf_printf(b, "{\"rewards\":[%s],\"scores\":[%s],\"extra_logs\":{\"unscored\":[%s]}",
                        text_of(&y.rewards), text_of(&y.rewards), text_of(&y.unscored));
        if (a->ask.steps)
            rung_buf_printf(b, ",\"step_scores\":[%s],\"step_spans\":[%s],\"step_tokens\":[%s]",
                            text_of(&y.scores), text_of(&y.spans), text_of(&y.tokens));
        if (a->ask.credit) rung_buf_printf(b, ",\"step_credit\":[%s]", text_of(&y.credit));
        rung_buf_str(b, "}");
    }
    for (size_t k = 0; k < n; k++) rung_buf_clear(each[k]);
    return st == RUNG_OK ? rung_buf_check(b, err) : st;
}
