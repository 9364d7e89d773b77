/* Labels from verifiers of steps (rung/step.h): arithmetic that is recomputed, proofs by a solver.
 */
#include "rung/label.h"
#include "rung/step.h"

#include <math.h>
#include <string.h>

typedef struct tool {
    const rung_step_verifier *v;
    rung_solver *solver; /* NULL: what needs it stays unknown */
    rung_store *store;
    int64_t run;
    bool strict;
    rung_arena *arena;
    rung_tool_report report;
} tool;

static rung_status check_steps(rung_step_verdict **out, tool *w, const rung_trace *t,
                               const rung_problem *p, rung_error *err) {
    size_t n = (size_t)t->n_steps + 1;
    const char **step = rung_arena_alloc(w->arena, n * sizeof *step);
    int32_t *n_bytes = rung_arena_alloc(w->arena, n * sizeof *n_bytes);
    *out = rung_arena_alloc(w->arena, n * sizeof **out);
    if (!step || !n_bytes || !*out)
        return rung_fail(err, RUNG_E_NOMEM, "no memory for %d steps", t->n_steps);
    for (int32_t k = 0; k < t->n_steps; k++) {
        step[k] = t->text + t->step[k].byte_begin;
        n_bytes[k] = t->step[k].byte_end - t->step[k].byte_begin;
    }
    rung_step_task task = RUNG_STEP_TASK_INIT;
    task.question = p->question;
    task.answer = p->answer;
    task.step = step;
    task.n_bytes = n_bytes;
    task.n_steps = t->n_steps;
    task.strict = w->strict;
    return w->v->check(*out, w->arena, &task, w->solver, err);
}

static rung_status label_trace(tool *w, const rung_trace *t, rung_error *err) {
    rung_problem p;
    rung_step_verdict *v;
    rung_arena_reset(w->arena);
    RUNG_TRY(rung_problem_get(w->store, &p, w->arena, t->problem, err));
    RUNG_TRY(check_steps(&v, w, t, &p, err));
    w->report.n_traces++;
    for (int32_t k = 0; k < t->n_steps; k++) {
        bool right = v[k].verdict == RUNG_VERDICT_CORRECT,
             wrong = v[k].verdict == RUNG_VERDICT_WRONG;
        bool is_new = false;
        rung_label l = {.run = w->run,
                        .node = t->step[k].node,
                        .source = w->v->source,
                        .labeler = w->v->version,
                        .hard = right   ? 1
                                : wrong ? 0
                                        : -1,
                        .soft = right   ? 1.0
                                : wrong ? 0.0
                                        : (double)NAN,
                        .n = right || wrong,
                        .c = right,
                        .n_unknown = !right && !wrong};
        RUNG_TRY(rung_label_put(w->store, &l, &is_new, err));
        w->report.n_right += right;
        w->report.n_wrong += wrong;
        w->report.n_unknown += !right && !wrong;
        w->report.n_new += is_new;
        if (wrong) break; /* what follows an error is neither right nor wrong by its own doing */
    }
    return RUNG_OK;
}

static rung_status all_traces(tool *w, const rung_filter *traces, const rung_log *log,
                              rung_error *err) {
    rung_iter *it;
    const rung_trace *t;
    rung_status st;
    RUNG_TRY(rung_trace_iter(&it, w->store, traces, err));
    while ((st = rung_trace_next(&t, it, err)) == RUNG_OK) {
        if ((st = rung_store_begin(w->store, err)) != RUNG_OK) break;
        st = label_trace(w, t, err);
        if (st == RUNG_OK)
            st = rung_store_commit(w->store, err);
        else
            rung_store_rollback(w->store);
        if (st == RUNG_OK) st = rung_progress(log, "traces", w->report.n_traces, 0, 0, err);
        if (st != RUNG_OK) break;
    }
    rung_iter_free(it);
    return st == RUNG_DONE ? RUNG_OK : st;
}

rung_status rung_label_tool(rung_tool_report *out, rung_store *s, int64_t run_id,
                            const char *verifier, bool strict, const rung_filter *traces,
                            const rung_log *log, rung_error *err) {
    tool w = {.store = s, .run = run_id, .strict = strict};
    w.v = rung_step_verifier_find(verifier ? verifier : "");
    if (!w.v)
        return rung_fail(err, RUNG_E_NOT_FOUND, "no verifier of steps named \"%s\"",
                         verifier ? verifier : "");
    w.arena = rung_arena_new(0);
    if (!w.arena) return rung_fail(err, RUNG_E_NOMEM, "no memory to label");
    rung_error e = RUNG_ERROR_INIT;
    if (strcmp(w.v->source, "formal") == 0 && rung_solver_new(&w.solver, NULL, &e) != RUNG_OK)
        rung_event(log, RUNG_WARN, "label.solver", RUNG_S("why", e.what));
    rung_status st = all_traces(&w, traces, log, err);
    rung_solver_free(w.solver);
    rung_arena_free(w.arena);
    if (out) *out = w.report;
    return st;
}
