/* A stored search as a tree again. */
#include "search/search_impl.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

typedef struct replay {
    rung_tree *t;
    rung_arena *a;
    int32_t cap;
} replay;

static rung_status add(replay *r, int32_t parent, const char *text, int32_t n, bool scratch,
                       rung_error *err) {
    rung_tree *t = r->t;
    if (t->n == r->cap) {
        int32_t more = r->cap ? r->cap * 2 : 64;
        rung_tree_node *grown = rung_arena_alloc(r->a, (size_t)more * sizeof *grown);
        if (!grown) return rung_fail(err, RUNG_E_NOMEM, "no memory for a tree");
        if (t->n) memcpy(grown, t->node, (size_t)t->n * sizeof *grown);
        t->node = grown;
        r->cap = more;
    }
    char *copy = rung_arena_strndup(r->a, text, (size_t)n);
    if (!copy) return rung_fail(err, RUNG_E_NOMEM, "no memory for a tree");
    t->node[t->n++] = (rung_tree_node){.parent = parent,
                                       .text = copy,
                                       .score = (double)NAN,
                                       .value = (double)NAN,
                                       .scratch = scratch};
    return RUNG_OK;
}

static rung_status on_event(void *ud, const rung_search_event *e, rung_error *err) {
    replay *r = ud;
    rung_tree *t = r->t;
    if (strcmp(e->kind, "node") == 0) {
        if (e->node != t->n || e->parent < 0 || e->parent >= t->n)
            return rung_fail(err, RUNG_E_STORE, "events of a search out of order at node %d",
                             e->node);
        return add(r, e->parent, e->text, e->n_bytes, e->n != 0, err);
    }
    if (e->node < 0 || e->node >= t->n)
        return rung_fail(err, RUNG_E_STORE, "event \"%s\" of node %d, which was never made",
                         e->kind, e->node);
    rung_tree_node *v = &t->node[e->node];
    if (strcmp(e->kind, "extend") == 0) {
        v->text = rung_arena_strndup(r->a, e->text, (size_t)e->n_bytes);
        if (!v->text) return rung_fail(err, RUNG_E_NOMEM, "no memory for a tree");
    } else if (strcmp(e->kind, "score") == 0) {
        v->score = e->value;
    } else if (strcmp(e->kind, "value") == 0) {
        v->value = e->value;
        v->n_visits = e->n;
    } else if (strcmp(e->kind, "keep") == 0) {
        v->kept = true;
        v->pruned = false;
    } else if (strcmp(e->kind, "prune") == 0) {
        v->pruned = true;
    } else if (strcmp(e->kind, "done") == 0) {
        v->done = true;
    } else if (strcmp(e->kind, "choose") == 0) {
        v->chosen = true;
    }
    return RUNG_OK;
}

rung_status rung_search_replay(rung_tree *out, rung_arena *a, rung_store *s, int64_t run,
                               int64_t problem, rung_error *err) {
    *out = (rung_tree){0};
    replay r = {.t = out, .a = a};
    RUNG_TRY(add(&r, -1, "", 0, false, err));
    return rung_search_events(s, run, problem, on_event, &r, err);
}

static void put_number(rung_buf *b, const char *key, double x) {
    if (isfinite(x)) rung_buf_printf(b, ",\"%s\":%.6g", key, x);
}

static void put_flag(rung_buf *b, const char *key, bool on) {
    rung_buf_printf(b, ",\"%s\":%s", key, on ? "true" : "false");
}

void rung_tree_json(rung_buf *b, const rung_tree *t) {
    rung_buf_str(b, "[");
    for (int32_t v = 1; v < t->n; v++) {
        const rung_tree_node *x = &t->node[v];
        rung_buf_printf(b, "%s{\"node\":%d,\"parent\":%d,\"text\":", v > 1 ? "," : "", v,
                        x->parent);
        rung_buf_json_str(b, x->text, strlen(x->text));
        put_number(b, "score", x->score);
        put_number(b, "value", x->value);
        if (x->n_visits) rung_buf_printf(b, ",\"visits\":%d", x->n_visits);
        put_flag(b, "kept", x->kept);
        put_flag(b, "pruned", x->pruned);
        put_flag(b, "done", x->done);
        put_flag(b, "scratch", x->scratch);
        put_flag(b, "chosen", x->chosen);
        rung_buf_str(b, "}");
    }
    rung_buf_str(b, "]");
}

static void print_text(rung_buf *out, const char *text) {
    size_t n = strlen(text);
    while (n > 0 && isspace((unsigned char)text[n - 1])) n--;
    while (n > 0 && isspace((unsigned char)*text)) text++, n--;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];
        rung_buf_append(out, c < 32 || c == 127 ? " " : &text[i], 1);
    }
}

static void print_node(rung_buf *out, const rung_tree *t, int32_t v, int32_t depth) {
    const rung_tree_node *x = &t->node[v];
    for (int32_t i = 1; i < depth; i++) rung_buf_str(out, "  ");
    rung_buf_str(out, x->chosen ? "* " : x->pruned ? "x " : x->done ? "= " : "- ");
    print_text(out, x->text);
    if (!isnan(x->score)) rung_buf_printf(out, "  [%.3f]", x->score);
    if (x->n_visits) rung_buf_printf(out, "  (%d x %.3f)", x->n_visits, x->value);
    if (x->scratch) rung_buf_str(out, "  look ahead");
    rung_buf_str(out, "\n");
}

/* Children come after their parent, so each list is in order; the walk needs no stack of its own
 * but the parent links. */
void rung_tree_print(rung_buf *out, const rung_tree *t) {
    int32_t *next = rung_calloc((size_t)t->n + 1, 3 * sizeof *next);
    if (!next) {
        out->failed = true;
        return;
    }
    int32_t *first = next + t->n, *last = first + t->n;
    for (int32_t v = 0; v < t->n; v++) next[v] = first[v] = last[v] = -1;
    for (int32_t v = 1; v < t->n; v++) {
        int32_t p = t->node[v].parent;
        if (last[p] >= 0)
            next[last[p]] = v;
        else
            first[p] = v;
        last[p] = v;
    }
    int32_t at = t->n ? first[0] : -1, depth = 1;
    while (at > 0) {
        print_node(out, t, at, depth);
        if (first[at] >= 0) {
            at = first[at];
            depth++;
            continue;
        }
        while (at > 0 && next[at] < 0) {
            at = t->node[at].parent;
            depth--;
        }
        if (at > 0) at = next[at];
    }
    rung_free(next);
}
