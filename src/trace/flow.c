#include "trace/flow.h"

#include <math.h>
#include <string.h>

uint64_t rung_problem_address(const rung_problem *p) {
    uint64_t set = rung_hash64(p->set, strlen(p->set), 0);
    return rung_hash64(p->key, strlen(p->key), set);
}

uint64_t rung_prefix_address(const rung_problem *p, const char *prefix, size_t n) {
    return rung_hash64(prefix, n, rung_problem_address(p));
}

rung_status rung_ids_push(rung_ids *ids, int64_t id, rung_error *err) {
    if (ids->n == ids->cap) {
        size_t cap = ids->cap ? ids->cap * 2 : 256;
        int64_t *grown = rung_realloc(ids->id, cap * sizeof *grown);
        if (!grown) return rung_fail(err, RUNG_E_NOMEM, "no memory for %zu ids", cap);
        ids->id = grown;
        ids->cap = cap;
    }
    ids->id[ids->n++] = id;
    return RUNG_OK;
}

void rung_ids_clear(rung_ids *ids) {
    rung_free(ids->id);
    *ids = (rung_ids){0};
}

rung_status rung_problem_ids(rung_ids *out, rung_store *s, const rung_filter *f, rung_error *err) {
    rung_iter *it;
    RUNG_TRY(rung_problem_iter(&it, s, f, err));
    const rung_problem *p;
    rung_status st;
    while ((st = rung_problem_next(&p, it, err)) == RUNG_OK)
        if ((st = rung_ids_push(out, p->id, err)) != RUNG_OK) break;
    rung_iter_free(it);
    return st == RUNG_DONE ? RUNG_OK : st;
}

const char *rung_engine_name(char buf[96], const rung_engine *e, const char *given) {
    if (given && given[0]) return given;
    const rung_model *m = rung_engine_model(e);
    if (!m) return "remote";
    rung_model_info info;
    rung_model_get_info(&info, m);
    memcpy(buf, info.name, 96);
    buf[95] = 0;
    return buf[0] ? buf : "local";
}

bool rung_gen_is_whole(const rung_gen_out *o) {
    return strcmp(o->stop, "error") != 0 && strcmp(o->stop, "cancelled") != 0;
}

rung_status rung_engine_drain(rung_engine *e, const rung_engine_cb *cb, rung_status queued,
                              int64_t n_out, rung_error *err) {
    if (queued != RUNG_OK) {
        rung_engine_clear(e);
        return queued;
    }
    return n_out ? rung_engine_run(e, cb, err) : RUNG_OK;
}

rung_status rung_failed_samples(const rung_engine *e, int64_t n_failed, const char *what,
                                rung_error *err) {
    if (n_failed == 0) return RUNG_OK;
    rung_status code = rung_engine_model(e) ? RUNG_E_MODEL : RUNG_E_REMOTE;
    rung_fail(err, code, "%lld %s failed and are not in the store", (long long)n_failed, what);
    rung_error_hint(err, "run the same command again: only these are asked for");
    return code;
}

double rung_trace_truth(const rung_trace *t, int32_t i) {
    if (t->first_error == RUNG_FIRST_ERROR_UNKNOWN) return (double)NAN;
    if (t->first_error == -1 || i < t->first_error) return 1.0;
    return i == t->first_error ? 0.0 : (double)NAN;
}
