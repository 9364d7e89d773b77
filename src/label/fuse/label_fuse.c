/* Several labelers' hard labels as one, and how far they agree. */
#include "label/node_sums.h"
#include "rung/stat.h"

#include <math.h>
#include <string.h>

static const struct {
    const char *name, *help;
} fusions[] = {
#define X(id, name, help) {name, help},
    RUNG_FUSIONS(X)
#undef X
};

const char *rung_fusion_name(rung_fusion f) {
    return (unsigned)f < RUNG_FUSION_COUNT ? fusions[f].name : NULL;
}

bool rung_fusion_find(rung_fusion *out, const char *name) {
    for (int i = 0; i < RUNG_FUSION_COUNT; i++)
        if (strcmp(fusions[i].name, name) == 0) {
            *out = (rung_fusion)i;
            return true;
        }
    return false;
}

enum { MAX_ITER = 1000 };
static const double TOL = 1e-9;

typedef struct table { /* steps x labelers */
    node_sums items;
    int8_t *mark, *gold; /* [n][m], [n]: 1, 0, -1 */
    double *post, *weight;
    int32_t m;
} table;

static rung_status collect(table *t, rung_store *s, const rung_label_source *in, rung_arena *a,
                           rung_label **list, int64_t *n, rung_error *err) {
    RUNG_TRY(rung_label_list(list, n, a, s, in->run, in->source, err));
    for (int64_t i = 0; i < *n; i++)
        if ((*list)[i].hard >= 0)
            RUNG_TRY(node_sums_add(&t->items, (*list)[i].node, (*list)[i].hard == 1, err));
    return RUNG_OK;
}

static void place(const table *t, const rung_label *list, int64_t n, int8_t *to, int32_t stride) {
    for (int64_t i = 0; i < n; i++) {
        const node_sum *v = list[i].hard >= 0 ? node_sums_find(&t->items, list[i].node) : NULL;
        if (v) to[(v - t->items.row) * stride] = (int8_t)list[i].hard;
    }
}

static rung_status read_table(table *t, rung_store *s, const rung_label_source *in, int32_t m,
                              const rung_label_source *gold, rung_error *err) {
    rung_label *list[RUNG_LABELERS_MAX], *known = NULL;
    int64_t n[RUNG_LABELERS_MAX] = {0}, n_known = 0;
    rung_arena *a = rung_arena_new(0);
    if (!a) return rung_fail(err, RUNG_E_NOMEM, "no memory for labels");
    rung_status st = RUNG_OK;
    t->m = m;
    for (int32_t j = 0; j < m && st == RUNG_OK; j++) {
        st = collect(t, s, &in[j], a, &list[j], &n[j], err);
        if (st == RUNG_OK && n[j] == 0) {
            st = rung_fail(err, RUNG_E_NOT_FOUND, "labeler %d has no labels of source \"%s\"",
                           j + 1, in[j].source);
            rung_error_hint(err, "rung label show --source %s --label-run ...", in[j].source);
        }
    }
    if (st == RUNG_OK && gold)
        st = rung_label_list(&known, &n_known, a, s, gold->run, gold->source, err);
    size_t rows = (size_t)t->items.n + 1;
    if (st == RUNG_OK) {
        t->mark = rung_alloc(rows * (size_t)m);
        t->gold = rung_alloc(rows);
        t->post = rung_calloc(rows, sizeof *t->post);
        t->weight = rung_calloc((size_t)m, sizeof *t->weight);
        if (!t->mark || !t->gold || !t->post || !t->weight)
            st = rung_fail(err, RUNG_E_NOMEM, "no memory for labels");
    }
    if (st == RUNG_OK) {
        memset(t->mark, -1, rows * (size_t)m);
        memset(t->gold, -1, rows);
        for (int32_t j = 0; j < m; j++) place(t, list[j], n[j], t->mark + j, m);
        place(t, known, n_known, t->gold, 1);
    }
    rung_arena_free(a);
    return st;
}

static void clear(table *t) {
    node_sums_clear(&t->items);
    rung_free(t->mark);
    rung_free(t->gold);
    rung_free(t->post);
    rung_free(t->weight);
}

/* ---- agreement */

static void measure_pair(rung_fuse_pair *p, const table *t, double *value) {
    double cell[4] = {0};
    int64_t n = t->items.n;
    p->n = 0;
    for (int64_t u = 0; u < n; u++) {
        int8_t a = t->mark[u * t->m + p->a], b = t->mark[u * t->m + p->b];
        value[u] = a < 0 ? (double)NAN : a;
        value[n + u] = b < 0 ? (double)NAN : b;
        if (a < 0 || b < 0) continue;
        cell[a * 2 + b] += 1.0;
        p->n++;
    }
    p->agree = p->n ? (cell[0] + cell[3]) / (double)p->n : (double)NAN;
    p->kappa = rung_kappa(cell, 2);
    p->ac1 = rung_gwet_ac1(cell, 2);
    p->alpha = rung_krippendorff(value, 2, n, RUNG_ALPHA_NOMINAL);
}

static rung_status measure(rung_fuse_report *z, const table *t, rung_error *err) {
    int64_t n = t->items.n;
    double *value = rung_alloc(((size_t)n + 1) * (size_t)(t->m + 2) * sizeof *value);
    if (!value) return rung_fail(err, RUNG_E_NOMEM, "no memory for labels");
    for (int32_t a = 0; a < t->m; a++)
        for (int32_t b = a + 1; b < t->m; b++) {
            z->pair[z->n_pairs] = (rung_fuse_pair){.a = a, .b = b};
            measure_pair(&z->pair[z->n_pairs++], t, value);
        }
    for (int32_t j = 0; j < t->m; j++)
        for (int64_t u = 0; u < n; u++) {
            int8_t v = t->mark[u * t->m + j];
            value[j * n + u] = v < 0 ? (double)NAN : v;
        }
    z->alpha = rung_krippendorff(value, t->m, n, RUNG_ALPHA_NOMINAL);
    rung_free(value);
    return RUNG_OK;
}

/* ---- ways */

static void by_votes(table *t) {
    for (int64_t u = 0; u < t->items.n; u++) {
        double yes = 0.0, all = 0.0;
        for (int32_t j = 0; j < t->m; j++) {
            int8_t v = t->mark[u * t->m + j];
            if (v < 0) continue;
            all += t->weight[j];
            yes += v ? t->weight[j] : 0.0;
        }
        t->post[u] = all > 0.0 ? yes / all : (double)NAN;
    }
}

static void by_agreement(table *t) {
    for (int64_t u = 0; u < t->items.n; u++) {
        int32_t n = 0, yes = 0;
        for (int32_t j = 0; j < t->m; j++) {
            int8_t v = t->mark[u * t->m + j];
            n += v >= 0;
            yes += v == 1;
        }
        t->post[u] = n >= 2 && (yes == 0 || yes == n) ? (double)yes / n : (double)NAN;
    }
}

/* A vote is worth the log odds of being right on the gold items, one right and one wrong added;
 * a labeler that is no better than a coin does not vote. */
static void weights(table *t, const rung_label_source *in) {
    for (int32_t j = 0; j < t->m; j++) {
        double right = 1.0, wrong = 1.0;
        for (int64_t u = 0; u < t->items.n; u++) {
            int8_t v = t->mark[u * t->m + j];
            if (v < 0 || t->gold[u] < 0) continue;
            right += v == t->gold[u];
            wrong += v != t->gold[u];
        }
        double learnt = right + wrong > 2.0 ? log(right / wrong) : 1.0;
        t->weight[j] = in[j].weight > 0.0 ? in[j].weight : fmax(0.0, learnt);
    }
}

static rung_status fuse(rung_fuse_report *z, table *t, const rung_label_source *in, rung_fusion how,
                        rung_error *err) {
    for (int32_t j = 0; j < t->m; j++) t->weight[j] = 1.0;
    if (how == RUNG_FUSION_DAWID_SKENE) {
        rung_dawid_skene d;
        RUNG_TRY(rung_dawid_skene_fit(&d, t->post, t->mark, t->gold, t->items.n, t->m, MAX_ITER,
                                      TOL, err));
        memcpy(z->sens, d.sens, sizeof z->sens);
        memcpy(z->spec, d.spec, sizeof z->spec);
        z->prior = d.prior;
        z->n_iter = d.n_iter;
    } else if (how == RUNG_FUSION_AGREEMENT) {
        by_agreement(t);
    } else {
        if (how == RUNG_FUSION_WEIGHTED) weights(t, in);
        by_votes(t);
    }
    return RUNG_OK;
}

static rung_status put_labels(rung_fuse_report *z, rung_store *s, int64_t run, const table *t,
                              rung_fusion how, rung_error *err) {
    RUNG_TRY(rung_store_begin(s, err));
    rung_status st = RUNG_OK;
    for (int64_t u = 0; u < t->items.n && st == RUNG_OK; u++) {
        double p = t->post[u];
        int32_t n = 0, c = 0;
        bool is_new = false;
        if (!isfinite(p)) continue;
        for (int32_t j = 0; j < t->m; j++) {
            n += t->mark[u * t->m + j] >= 0;
            c += t->mark[u * t->m + j] == 1;
        }
        rung_label l = {.run = run,
                        .node = t->items.row[u].node,
                        .source = "fused",
                        .labeler = rung_fusion_name(how),
                        .hard = p == 0.5 ? -1 : p > 0.5,
                        .soft = fmin(1.0, fmax(0.0, p)),
                        .n = n,
                        .c = c};
        st = rung_label_put(s, &l, &is_new, err);
        z->n_labels++;
        z->n_new += is_new;
    }
    if (st == RUNG_OK) return rung_store_commit(s, err);
    rung_store_rollback(s);
    return st;
}

rung_status rung_label_fuse(rung_fuse_report *out, rung_store *s, int64_t run_id,
                            const rung_label_source *in, int32_t n_in,
                            const rung_label_source *gold, rung_fusion how, rung_error *err) {
    rung_fuse_report z = {.prior = (double)NAN, .alpha = (double)NAN};
    table t = {0};
    if (n_in < 2 || n_in > RUNG_LABELERS_MAX || !rung_fusion_name(how))
        return rung_fail(err, RUNG_E_INVAL, "%d labelers: from 2 to %d are fused", n_in,
                         RUNG_LABELERS_MAX);
    rung_status st = read_table(&t, s, in, n_in, gold, err);
    if (st == RUNG_OK) {
        z.n_items = t.items.n;
        for (int64_t u = 0; u < t.items.n; u++) z.n_gold += t.gold[u] >= 0;
        st = measure(&z, &t, err);
    }
    if (st == RUNG_OK) st = fuse(&z, &t, in, how, err);
    if (st == RUNG_OK && run_id) st = put_labels(&z, s, run_id, &t, how, err);
    clear(&t);
    if (out) *out = z;
    return st;
}
