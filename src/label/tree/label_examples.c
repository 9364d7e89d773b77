/* A tree of labelled prefixes as training examples (labels.md 3): every edge from a labelled prefix
 * to the next one below it, with the text between them; pairs of edges from one prefix; the tree.
 */
#include "label/node_sums.h"
#include "rung/label.h"

#include <math.h>
#include <string.h>

typedef struct example { /* a labelled node */
    int64_t node, problem;
    int32_t parent; /* nearest labelled prefix above it, -1 the problem */
    int32_t child, sibling;
    char *text; /* from there to here */
    const rung_label *label;
} example;

typedef struct examples {
    rung_store *store;
    example *row;
    int64_t n;
    node_sums index, roots; /* label's node -> row; problem -> first of its roots (soft) */
    rung_arena *arena;
    rung_label *label;
    int (*write)(void *ud, const char *line, size_t n);
    void *ud;
    int64_t n_written;
    rung_buf line;
} examples;

static int64_t index_of(const examples *z, int64_t node) {
    const node_sum *v = node_sums_find(&z->index, node);
    return v ? v - z->index.row : -1;
}

/* Up to the nearest labelled prefix; the texts on the way, joined. */
static rung_status climb(examples *z, int64_t i, rung_error *err) {
    example *e = &z->row[i];
    rung_arena *a = rung_arena_new(0);
    rung_buf text;
    rung_buf_init(&text, 32u << 20);
    rung_status st = a ? RUNG_OK : rung_fail(err, RUNG_E_NOMEM, "no memory for examples");
    const char *piece[4096];
    int32_t n = 0;
    e->parent = -1;
    for (int64_t at = e->node; st == RUNG_OK && at != 0;) {
        rung_node v;
        if (at != e->node) {
            int64_t up = index_of(z, at);
            if (up >= 0) {
                e->parent = (int32_t)up;
                break;
            }
        }
        st = rung_node_get(&v, a, z->store, at, err);
        if (st != RUNG_OK) break;
        e->problem = v.problem;
        if (n == 4096) {
            st = rung_fail(err, RUNG_E_LIMIT, "node %lld: an edge of over 4096 units",
                           (long long)e->node);
            break;
        }
        piece[n++] = v.text;
        at = v.parent;
    }
    while (n > 0) rung_buf_str(&text, piece[--n]);
    rung_buf_str(&text, "");
    if (st == RUNG_OK) st = rung_buf_check(&text, err);
    if (st == RUNG_OK) {
        e->text = rung_arena_strndup(z->arena, text.data ? text.data : "", text.n);
        if (!e->text) st = rung_fail(err, RUNG_E_NOMEM, "no memory for examples");
    }
    rung_buf_clear(&text);
    rung_arena_free(a);
    return st;
}

static rung_status read_tree(examples *z, int64_t run, const char *source, rung_error *err) {
    RUNG_TRY(rung_label_list(&z->label, &z->n, z->arena, z->store, run, source, err));
    if (z->n == 0)
        return rung_fail(err, RUNG_E_NOT_FOUND, "the run has no labels of source \"%s\"", source);
    z->row = rung_arena_alloc(z->arena, (size_t)z->n * sizeof *z->row);
    if (!z->row) return rung_fail(err, RUNG_E_NOMEM, "no memory for examples");
    for (int64_t i = 0; i < z->n; i++) {
        z->row[i] =
            (example){.node = z->label[i].node, .label = &z->label[i], .child = -1, .sibling = -1};
        RUNG_TRY(node_sums_add(&z->index, z->label[i].node, true, err));
    }
    for (int64_t i = 0; i < z->n; i++) RUNG_TRY(climb(z, i, err));
    for (int64_t i = z->n - 1; i >= 0; i--) {
        example *e = &z->row[i];
        if (e->parent >= 0) {
            e->sibling = z->row[e->parent].child;
            z->row[e->parent].child = (int32_t)i;
            continue;
        }
        node_sum *v = node_sums_find(&z->roots, e->problem);
        if (v) e->sibling = (int32_t)v->soft;
        if (!v) RUNG_TRY(node_sums_add(&z->roots, e->problem, true, err));
        node_sums_find(&z->roots, e->problem)->soft = (double)i;
    }
    return RUNG_OK;
}

static void put_str(rung_buf *b, const char *key, const char *text) {
    rung_buf_printf(b, ",\"%s\":", key);
    rung_buf_json_str(b, text, strlen(text));
}

static rung_status end_line(examples *z, rung_error *err) {
    rung_buf_str(&z->line, "}\n");
    RUNG_TRY(rung_buf_check(&z->line, err));
    z->n_written++;
    if (z->write(z->ud, z->line.data, z->line.n) != 0)
        return rung_fail(err, RUNG_E_CANCELLED, "writing was stopped");
    return RUNG_OK;
}

/* The line's beginning: the problem, and the prefix that the edges go out from. */
static rung_status begin_line(examples *z, const example *e, rung_error *err) {
    rung_buf prefix;
    rung_problem p;
    rung_arena *a = rung_arena_new(0);
    if (!a) return rung_fail(err, RUNG_E_NOMEM, "no memory for examples");
    rung_buf_init(&prefix, 32u << 20);
    rung_buf_str(&prefix, "");
    rung_status st = rung_problem_get(z->store, &p, a, e->problem, err);
    if (st == RUNG_OK && e->parent >= 0)
        st = rung_node_prefix(&prefix, z->store, z->row[e->parent].node, err);
    rung_buf_reset(&z->line);
    if (st == RUNG_OK) {
        rung_buf_str(&z->line, "{\"v\":1");
        put_str(&z->line, "set", p.set);
        put_str(&z->line, "key", p.key);
        put_str(&z->line, "question", p.question);
        put_str(&z->line, "final_answer", p.answer);
        put_str(&z->line, "prefix", prefix.data ? prefix.data : "");
    }
    rung_buf_clear(&prefix);
    rung_arena_free(a);
    return st;
}

static rung_status pointwise(examples *z, rung_error *err) {
    for (int64_t i = 0; i < z->n; i++) {
        const example *e = &z->row[i];
        if (e->label->hard < 0) continue;
        RUNG_TRY(begin_line(z, e, err));
        put_str(&z->line, "step", e->text);
        rung_buf_printf(&z->line, ",\"hard\":%d,\"soft\":%.17g,\"n\":%d,\"c\":%d", e->label->hard,
                        isfinite(e->label->soft) ? e->label->soft : (double)e->label->hard,
                        e->label->n, e->label->c);
        RUNG_TRY(end_line(z, err));
    }
    return RUNG_OK;
}

/* Bradley-Terry pairs: two edges from one prefix with different MC; ties say nothing. */
static rung_status pairwise(examples *z, rung_error *err) {
    for (int64_t i = 0; i < z->n; i++)
        for (int32_t j = z->row[i].sibling; j >= 0; j = z->row[j].sibling) {
            const example *a = &z->row[i], *b = &z->row[j];
            double x = a->label->soft, y = b->label->soft;
            if (!isfinite(x) || !isfinite(y) || x == y) continue;
            const example *up = x > y ? a : b, *down = x > y ? b : a;
            RUNG_TRY(begin_line(z, a, err));
            put_str(&z->line, "chosen", up->text);
            put_str(&z->line, "rejected", down->text);
            rung_buf_printf(&z->line, ",\"soft_chosen\":%.17g,\"soft_rejected\":%.17g",
                            up->label->soft, down->label->soft);
            RUNG_TRY(end_line(z, err));
        }
    return RUNG_OK;
}

static void put_node(examples *z, int64_t i) {
    const example *e = &z->row[i];
    rung_buf_str(&z->line, "{\"text\":");
    rung_buf_json_str(&z->line, e->text, strlen(e->text));
    if (isfinite(e->label->soft))
        rung_buf_printf(&z->line, ",\"mc_value\":%.17g", e->label->soft);
    else
        rung_buf_str(&z->line, ",\"mc_value\":null");
    rung_buf_printf(&z->line, ",\"n\":%d,\"c\":%d,\"children\":[", e->label->n, e->label->c);
    for (int32_t c = e->child; c >= 0; c = z->row[c].sibling) {
        if (c != e->child) rung_buf_str(&z->line, ",");
        put_node(z, c);
    }
    rung_buf_str(&z->line, "]}");
}

/* A line per problem. */
static rung_status trees(examples *z, rung_error *err) {
    for (int64_t k = z->roots.n - 1; k >= 0; k--) { /* they were met from the end */
        int32_t first = (int32_t)z->roots.row[k].soft;
        RUNG_TRY(begin_line(z, &z->row[first], err));
        rung_buf_str(&z->line, ",\"children\":[");
        for (int32_t j = first; j >= 0; j = z->row[j].sibling) {
            if (j != first) rung_buf_str(&z->line, ",");
            put_node(z, j);
        }
        rung_buf_str(&z->line, "]");
        RUNG_TRY(end_line(z, err));
    }
    return RUNG_OK;
}

static const struct {
    const char *name;
    rung_status (*fn)(examples *z, rung_error *err);
} kinds[] = {{"pointwise", pointwise}, {"pairwise", pairwise}, {"tree", trees}};

const char *rung_example_kind_at(size_t i) {
    return i < sizeof kinds / sizeof kinds[0] ? kinds[i].name : NULL;
}

rung_status rung_label_examples(int64_t *n, rung_store *s, const rung_label_source *from,
                                const char *kind,
                                int (*write)(void *ud, const char *line, size_t n), void *ud,
                                rung_error *err) {
    examples z = {.store = s, .write = write, .ud = ud, .arena = rung_arena_new(0)};
    rung_buf_init(&z.line, 256u << 20);
    rung_status st = z.arena ? RUNG_E_NOT_FOUND : rung_fail(err, RUNG_E_NOMEM, "out of memory");
    for (size_t i = 0; z.arena && rung_example_kind_at(i); i++) {
        if (strcmp(kinds[i].name, kind) != 0) continue;
        st = read_tree(&z, from->run, from->source, err);
        if (st == RUNG_OK) st = kinds[i].fn(&z, err);
        if (n) *n = z.n_written;
        goto out;
    }
    if (z.arena) rung_fail(err, RUNG_E_NOT_FOUND, "no examples of kind \"%s\"", kind);
out:
    node_sums_clear(&z.index);
    node_sums_clear(&z.roots);
    rung_buf_clear(&z.line);
    rung_arena_free(z.arena);
    return st;
}
