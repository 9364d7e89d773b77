/* The searches of one rollout, as a policy sees them. */
#include "rung/retrieve.h"
#include <string.h>

enum { SEARCHES = 4, SHOWN = 3, SEEN_MAX = 64 };

struct rung_search_session {
    rung_index *x;
    int32_t n_max, k, n_seen;
    rung_rank by;
    rung_search_tally n;
    uint64_t seen[SEEN_MAX];
    rung_arena *a;
};

rung_status rung_search_session_new(rung_search_session **out, rung_index *x, int32_t n_max,
                                    int32_t k, rung_rank by, rung_error *err) {
    *out = NULL;
    rung_search_session *t = rung_calloc(1, sizeof *t);
    if (t) t->a = rung_arena_new(0);
    if (!t || !t->a) {
        rung_free(t);
        return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    }
    t->x = x;
    t->n_max = n_max > 0 ? n_max : SEARCHES;
    t->k = k > 0 ? k : SHOWN;
    t->by = by;
    *out = t;
    return RUNG_OK;
}

void rung_search_session_free(rung_search_session *t) {
    if (!t) return;
    rung_arena_free(t->a);
    rung_free(t);
}

rung_search_tally rung_search_session_tally(const rung_search_session *t) {
    return t->n;
}

static void count_distinct(rung_search_session *t, const char *query) {
    rung_buf b;
    rung_buf_init(&b, 1 << 20);
    rung_qa_normal(&b, query);
    uint64_t h = b.failed ? 0 : rung_hash64(b.data, b.n, 0);
    rung_buf_clear(&b);
    for (int32_t i = 0; i < t->n_seen; i++)
        if (t->seen[i] == h) return;
    if (t->n_seen == SEEN_MAX) return;
    t->seen[t->n_seen++] = h;
    t->n.n_distinct++;
}

static void one_line(rung_buf *out, const char *s) {
    for (; *s; s++) {
        char c = (unsigned char)*s < ' ' || *s == 0x7f ? ' ' : *s;
        rung_buf_append(out, &c, 1);
    }
}

rung_status rung_search_session_query(rung_buf *observation, rung_search_session *t,
                                      const char *query, rung_error *err) {
    rung_hit *hit;
    int32_t n;
    if (t->n.n_issued >= t->n_max) {
        rung_buf_printf(observation, "limit reached: %d searches\n", t->n_max);
        return rung_buf_check(observation, err);
    }
    t->n.n_issued++;
    rung_arena_reset(t->a);
    RUNG_TRY(rung_index_search(&hit, &n, t->a, t->x, query, t->k, t->by, err));
    t->n.n_found += n > 0;
    if (n > 0) count_distinct(t, query);
    for (int32_t i = 0; i < n; i++) {
        rung_buf_printf(observation, "[%d] ", i + 1);
        one_line(observation, hit[i].title);
        rung_buf_printf(observation, "%s(", *hit[i].title ? " " : "");
        one_line(observation, hit[i].id);
        rung_buf_str(observation, "): ");
        one_line(observation, hit[i].text);
        rung_buf_str(observation, "\n");
    }
    if (n == 0) rung_buf_str(observation, "(nothing found)\n");
    return rung_buf_check(observation, err);
}
