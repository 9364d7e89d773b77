#include "rung/label.h"

#include <string.h>

static rung_status by_critiques(int32_t *out, bool *found, rung_store *s, const rung_trace *t,
                                int64_t run, rung_error *err) {
    rung_critique *c;
    int32_t n;
    rung_arena *a = rung_arena_new(0);
    if (!a) return rung_fail(err, RUNG_E_NOMEM, "no memory for critiques");
    rung_status st = rung_critique_list(&c, &n, a, s, run, t->id, err);
    *found = st == RUNG_OK && n > 0;
    if (*found) *out = rung_judge_vote(c, n);
    rung_arena_free(a);
    return st;
}

rung_status rung_label_claim(int32_t *out, rung_store *s, const rung_trace *t,
                             const rung_label_source *from, rung_error *err) {
    bool found = false;
    *out = RUNG_FIRST_ERROR_UNKNOWN;
    if (strcmp(from->source, "judge") == 0) {
        RUNG_TRY(by_critiques(out, &found, s, t, from->run, err));
        if (found) return RUNG_OK;
    }
    for (int32_t k = 0; k < t->n_steps; k++) {
        rung_label l;
        RUNG_TRY(rung_label_get(&l, &found, s, from->run, t->step[k].node, from->source, err));
        if (!found || l.hard < 0) return RUNG_OK; /* nothing is said of this step */
        if (l.hard == 0) {
            *out = k;
            return RUNG_OK;
        }
    }
    *out = t->n_steps > 0 ? -1 : RUNG_FIRST_ERROR_UNKNOWN;
    return RUNG_OK;
}
