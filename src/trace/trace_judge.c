/* What a trace is worth: extract, canonical key, verdict, and the exact first error where the
 * problem's world knows it. */
#include "rung/problem.h"
#include "rung/trace.h"
#include "rung/verify.h"

#include <string.h>

rung_status rung_trace_prompt(rung_buf *user, const rung_problem *p, const char *suffix,
                              rung_error *err) {
    rung_buf_reset(user);
    rung_buf_str(user, p->question);
    if (suffix) rung_buf_str(user, suffix);
    return rung_buf_check(user, err);
}

static rung_status first_error(rung_trace *t, const rung_problem *p, rung_error *err) {
    if (t->first_error_source && t->first_error_source[0] &&
        strcmp(t->first_error_source, "truth") != 0)
        return RUNG_OK; /* a person has said so: a checker does not overrule */
    t->first_error = RUNG_FIRST_ERROR_UNKNOWN;
    t->first_error_source = "";
    if (!p->world || !p->world[0] || t->n_steps == 0) return RUNG_OK;
    const rung_world *w = rung_world_find(p->world);
    if (!w)
        return rung_fail(err, RUNG_E_NOT_FOUND, "problem %lld: no world named \"%s\"",
                         (long long)p->id, p->world);
    const char **step = rung_alloc((size_t)t->n_steps * sizeof *step);
    int32_t *n_bytes = rung_alloc((size_t)t->n_steps * sizeof *n_bytes);
    rung_status st = RUNG_OK;
    if (!step || !n_bytes) {
        st = rung_fail(err, RUNG_E_NOMEM, "no memory for %d steps", t->n_steps);
    } else {
        for (int32_t k = 0; k < t->n_steps; k++) {
            step[k] = t->text + t->step[k].byte_begin;
            n_bytes[k] = t->step[k].byte_end - t->step[k].byte_begin;
        }
        int32_t e = RUNG_FIRST_ERROR_UNKNOWN;
        st = w->first_error(&e, p->meta, step, n_bytes, t->n_steps, err);
        if (st == RUNG_OK) {
            t->first_error = e;
            t->first_error_source = "truth";
        }
    }
    rung_free(step);
    rung_free(n_bytes);
    return st;
}

/* A trace that was cut (by its length, by the context) has no final answer unless it marked one:
 * the last number of a text that breaks off is a number on the way. Nor has it one when it breaks
 * off in the answer itself: "#### 1" may have been going to be 18. Says why, NULL: nothing was
 * lost. */
static const char *lost_to_the_cut(const rung_trace *t, const rung_answer *a) {
    if (!t->stop || (strcmp(t->stop, "length") != 0 && strcmp(t->stop, "context") != 0))
        return NULL;
    if (!a->text[0] || a->flexible) return "cut before a final answer";
    size_t n = strlen(a->text), n_text = (size_t)t->n_bytes;
    char last = a->text[n - 1];
    bool open = (last >= '0' && last <= '9') || (last >= 'a' && last <= 'z') ||
                (last >= 'A' && last <= 'Z');
    bool at_end = n <= n_text && memcmp(t->text + n_text - n, a->text, n) == 0;
    return open && at_end ? "cut inside the final answer" : NULL;
}

rung_status rung_trace_judge(rung_trace *t, rung_arena *a, const rung_problem *p, rung_error *err) {
    const rung_verifier *v = rung_verifier_find(p->verifier ? p->verifier : "");
    if (!v) {
        rung_fail(err, RUNG_E_NOT_FOUND, "problem %lld: no verifier named \"%s\"", (long long)p->id,
                  p->verifier ? p->verifier : "");
        if (err) err->problem_id = p->id;
        return RUNG_E_NOT_FOUND;
    }
    rung_answer answer = {{0}, "", false};
    rung_check check = {RUNG_VERDICT_UNKNOWN, "", "no reference answer"};
    char key[128] = "";
    double t0 = rung_now();
    v->extract(&answer, t->text, (size_t)t->n_bytes);
    const char *lost = lost_to_the_cut(t, &answer);
    if (lost) answer = (rung_answer){{0}, "", false};
    if (answer.text[0]) rung_verifier_key(key, v, p->meta, answer.text);
    if (p->answer && p->answer[0]) rung_verifier_check(&check, v, p->meta, p->answer, answer.text);
    if (lost) check.reason = lost;
    t->judged_us = (int64_t)((rung_now() - t0) * 1e6) + 1; /* 0 is not known */
    t->answer = rung_arena_strndup(a, answer.text, strlen(answer.text));
    t->answer_key = rung_arena_strndup(a, key, strlen(key));
    t->reason = rung_arena_strndup(a, check.reason ? check.reason : "",
                                   check.reason ? strlen(check.reason) : 0);
    t->rule = rung_arena_strndup(a, answer.rule ? answer.rule : "",
                                 answer.rule ? strlen(answer.rule) : 0);
    t->decided_by = rung_arena_strndup(a, check.rule ? check.rule : "",
                                       check.rule ? strlen(check.rule) : 0);
    t->verifier = v->version; /* "math-3": the verdict names its maker and the version */
    if (!t->answer || !t->answer_key || !t->reason || !t->rule || !t->decided_by)
        return rung_fail(err, RUNG_E_NOMEM, "no memory for an answer");
    t->verdict = check.verdict;
    return first_error(t, p, err);
}
