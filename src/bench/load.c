/* The work of a speed measurement: prompts from the store, their tokens, the tokens of their trie.
 */
#include "bench/load.h"
#include "bench/pool.h"
#include "trace/flow.h"
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

rung_status rung_load_model(const rung_model **m, const rung_engine *e, rung_error *err) {
    *m = rung_engine_model(e);
    if (*m) return RUNG_OK;
    rung_fail(err, RUNG_E_INVAL, "the tokens of a remote engine are not known");
    return rung_error_hint(err, "measure a local model: a GGUF file");
}

int64_t rung_load_rss_peak(void) {
    struct rusage u;
    return getrusage(RUSAGE_SELF, &u) == 0 ? (int64_t)u.ru_maxrss * 1024 : -1;
}

void rung_load_begin(load_mark *m, const rung_engine *e) {
    rung_engine_get_stats(&m->stats, e);
    m->cpu_s = rung_cpu_now();
    m->now = rung_now();
}

void rung_load_put_stats(rung_buf *b, const rung_engine *e, const load_mark *begin) {
    const rung_engine_stats *before = &begin->stats;
    rung_engine_stats s;
    rung_buf_str(b, ",\"cpu_s\":");
    rung_put_num(b, rung_cpu_now() - begin->cpu_s);
    rung_engine_get_stats(&s, e);
    rung_buf_printf(b,
                    ",\"tokens_generated\":%lld,\"tokens_prefilled\":%lld,\"tokens_forked\":%lld,"
                    "\"decode_calls\":%lld,\"evicted\":%lld,\"decode_s\":%.6f,\"sample_s\":%.6f",
                    (long long)(s.n_generated - before->n_generated),
                    (long long)(s.n_prompt_new - before->n_prompt_new),
                    (long long)(s.n_prompt_forked - before->n_prompt_forked),
                    (long long)(s.n_decode_calls - before->n_decode_calls),
                    (long long)(s.n_evicted - before->n_evicted), s.decode_s - before->decode_s,
                    s.sample_s - before->sample_s);
    rung_buf_printf(b, ",\"kv_bytes\":%lld", (long long)s.kv_bytes);
}

void rung_load_put_model(rung_buf *b, const rung_model *m) {
    rung_model_info i;
    rung_model_get_info(&i, m);
    rung_buf_str(b, ",\"model\":");
    rung_buf_json_str(b, i.name, strlen(i.name));
    rung_buf_printf(b, ",\"model_hash\":\"%s\",\"storage\":", i.hash);
    rung_buf_json_str(b, i.storage, strlen(i.storage));
    rung_buf_printf(b, ",\"weights\":\"%s\"", i.weights);
    rung_buf_printf(b, ",\"weights_bytes\":%lld,\"rss_peak_bytes\":%lld", (long long)i.n_bytes,
                    (long long)rung_load_rss_peak());
}

/* ---- the trie */

static int by_tokens(const void *a, const void *b) {
    const load_prompt *x = a, *y = b;
    int32_t n = x->n_tok < y->n_tok ? x->n_tok : y->n_tok;
    for (int32_t i = 0; i < n; i++) {
        if (x->tok[i] != y->tok[i]) return x->tok[i] < y->tok[i] ? -1 : 1;
    }
    return (x->n_tok > y->n_tok) - (x->n_tok < y->n_tok);
}

/* In lexical order a list shares most with the one before it. */
int64_t rung_load_union(load_prompt *p, int64_t n) {
    int64_t sum = 0;
    if (n > 1) qsort(p, (size_t)n, sizeof *p, by_tokens);
    for (int64_t k = 0; k < n; k++) {
        int32_t same = 0, most = 0;
        if (k > 0) most = p[k].n_tok < p[k - 1].n_tok ? p[k].n_tok : p[k - 1].n_tok;
        while (same < most && p[k].tok[same] == p[k - 1].tok[same]) same++;
        sum += p[k].n_tok - same;
    }
    return sum;
}

static rung_status count_union(load_work *w, rung_error *err) {
    load_prompt *copy = rung_alloc((size_t)w->n * sizeof *copy);
    if (!copy) return rung_fail(err, RUNG_E_NOMEM, "no memory for %lld prompts", (long long)w->n);
    memcpy(copy, w->prompt, (size_t)w->n * sizeof *copy);
    w->n_union = rung_load_union(copy, w->n);
    rung_free(copy);
    return RUNG_OK;
}

/* ---- reading */

static rung_status add(load_work *w, const rung_model *m, const rung_load_opts *o,
                       const rung_problem *p, const char *user, const char *prefix, size_t n,
                       rung_error *err) {
    int32_t *tok = NULL, n_tok = 0;
    RUNG_TRY(rung_grow(&w->prompt, &w->cap, w->n + 1, sizeof(load_prompt), err));
    load_prompt q = {.user = user, .problem = p->id, .key = rung_prefix_address(p, "", 0)};
    if (prefix) {
        if (memchr(prefix, 0, n)) {
            return rung_fail(err, RUNG_E_FORMAT, "problem %lld: a step holds a NUL byte",
                             (long long)p->id);
        }
        q.prefix = rung_arena_strndup(w->arena, prefix, n);
        q.key = rung_prefix_address(p, prefix, n);
        if (!q.prefix) return rung_fail(err, RUNG_E_NOMEM, "no memory for a prompt");
    }
    rung_prompt text = {o->system, user, q.prefix};
    RUNG_TRY(rung_prompt_tokens(&tok, &n_tok, NULL, m, &text, err));
    int32_t *kept = rung_arena_alloc(w->arena, (size_t)n_tok * sizeof *tok + 1);
    if (kept && n_tok) memcpy(kept, tok, (size_t)n_tok * sizeof *tok);
    rung_free(tok);
    if (!kept) return rung_fail(err, RUNG_E_NOMEM, "no memory for %d tokens", n_tok);
    q.tok = kept;
    q.n_tok = n_tok;
    w->n_tok += n_tok;
    ((load_prompt *)w->prompt)[w->n++] = q;
    return RUNG_OK;
}

static rung_status user_text(const char **out, load_work *w, const rung_problem *p,
                             const char *suffix, rung_error *err) {
    rung_buf b;
    rung_buf_init(&b, 16u << 20);
    rung_status st = rung_trace_prompt(&b, p, suffix, err);
    if (st == RUNG_OK) {
        *out = rung_arena_strndup(w->arena, b.data ? b.data : "", b.n);
        if (!*out) st = rung_fail(err, RUNG_E_NOMEM, "no memory for a prompt");
    }
    rung_buf_clear(&b);
    return st;
}

static rung_status read_problems(load_work *w, rung_store *s, const rung_model *m,
                                 const rung_load_opts *o, rung_error *err) {
    rung_iter *it;
    const rung_problem *p;
    RUNG_TRY(rung_problem_iter(&it, s, &o->what, err));
    rung_status st;
    while ((st = rung_problem_next(&p, it, err)) == RUNG_OK) {
        const char *user;
        if ((st = user_text(&user, w, p, o->suffix, err)) != RUNG_OK) break;
        if ((st = add(w, m, o, p, user, NULL, 0, err)) != RUNG_OK) break;
        w->n_rows++;
    }
    rung_iter_free(it);
    return st == RUNG_DONE ? RUNG_OK : st;
}

static rung_status read_prefixes(load_work *w, rung_store *s, const rung_model *m,
                                 const rung_load_opts *o, rung_error *err) {
    rung_iter *it;
    const rung_trace *t;
    RUNG_TRY(rung_trace_iter(&it, s, &o->what, err));
    rung_status st;
    while ((st = rung_trace_next(&t, it, err)) == RUNG_OK) {
        const char *user = NULL;
        rung_problem p;
        if ((st = rung_problem_get(s, &p, w->arena, t->problem, err)) != RUNG_OK) break;
        if ((st = user_text(&user, w, &p, o->suffix, err)) != RUNG_OK) break;
        for (int32_t k = 0; k + 1 < t->n_steps && st == RUNG_OK; k++)
            st = add(w, m, o, &p, user, t->text, (size_t)t->step[k].byte_end, err);
        if (st != RUNG_OK) break;
        w->n_rows++;
    }
    rung_iter_free(it);
    return st == RUNG_DONE ? RUNG_OK : st;
}

rung_status rung_load_read(load_work *w, rung_store *s, const rung_model *m,
                           const rung_load_opts *o, rung_error *err) {
    memset(w, 0, sizeof *w);
    w->arena = rung_arena_new(0);
    if (!w->arena) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    RUNG_TRY(o->problems ? read_problems(w, s, m, o, err) : read_prefixes(w, s, m, o, err));
    if (w->n == 0) {
        rung_fail(err, RUNG_E_NOT_FOUND, "no %s match", o->problems ? "problems" : "step prefixes");
        return rung_error_hint(err, "import or generate some first, or check --set and --split");
    }
    return count_union(w, err);
}

void rung_load_clear(load_work *w) {
    rung_free(w->prompt);
    rung_arena_free(w->arena);
    memset(w, 0, sizeof *w);
}
