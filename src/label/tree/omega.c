#include "label/tree/omega.h"

#include "base/grow.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct omega_bucket {
    int32_t *node, n, cap;
} omega_bucket;

/* ---- hashing whole prefixes, byte by byte: how they were cut does not matter */

static void hash_on(uint64_t h[2], const char *text, size_t n) {
    for (size_t i = 0; i < n; i++) {
        uint64_t b = (unsigned char)text[i] + 1u;
        h[0] = (h[0] ^ b) * 0x100000001B3u;
        h[1] = (h[1] + b) * 0x9E3779B97F4A7C15u;
        h[1] ^= h[1] >> 29;
    }
}

static rung_status no_memory(rung_error *err) {
    return rung_fail(err, RUNG_E_NOMEM, "no memory for a tree of prefixes");
}

/* The node of this prefix; is_new when it was not in the tree. Whole hashes are compared: where two
 * prefixes share a key of the map, the next key is asked. */
static rung_status node_at(int32_t *out, bool *is_new, omega *o, const uint64_t h[2],
                           int32_t parent, const char *edge, int32_t n_edge, rung_error *err) {
    int64_t cap = o->cap_nodes, *at;
    const grow_array nodes = GROW_ARRAY(o->node);
    if (!grow_arrays(&cap, (int64_t)o->n_nodes + 1, &nodes, 1)) return no_memory(err);
    o->cap_nodes = (int32_t)cap;
    for (uint64_t key = h[0] ^ h[1] >> 7;; key++) {
        at = keymap_at(&o->of_prefix, key);
        if (!at) return no_memory(err);
        if (!*at || memcmp(o->node[*at - 1].hash, h, sizeof o->node->hash) == 0) break;
    }
    *is_new = !*at;
    if (*is_new) {
        o->node[o->n_nodes] =
            (omega_node){.hash = {h[0], h[1]}, .parent = parent, .edge = edge, .n_edge = n_edge};
        *at = ++o->n_nodes;
    }
    *out = (int32_t)*at - 1;
    return RUNG_OK;
}

/* ---- the pool */

double omega_mc(const omega_node *v) {
    return v->n > 0 ? (double)v->c / v->n : (double)NAN;
}

static double quality(const omega *o, const omega_node *v, int32_t roll) {
    return pow(o->o.alpha, 1.0 - omega_mc(v)) *
           pow(o->o.beta, (double)o->roll[roll].n_tok / o->o.len);
}

static double bonus(const omega *o, int32_t n_visits) {
    return o->o.c_puct * sqrt((double)o->n_searches) / (1.0 + (double)n_visits);
}

double omega_value(const omega *o, int32_t s, int32_t roll) {
    return quality(o, &o->node[s], roll) + bonus(o, o->node[s].n_visits);
}

/* Inside a node the shortest rollout is the best, then the oldest (rollouts are numbered as they
 * come). */
static bool before(const omega *o, int32_t a, int32_t b) {
    const omega_node *x = &o->node[a], *y = &o->node[b];
    int32_t i = x->pool[x->at_pool], j = y->pool[y->at_pool];
    double p = quality(o, x, i), q = quality(o, y, j);
    return p != q ? p > q : i < j;
}

static rung_status bucket_push(omega *o, int32_t n_visits, int32_t node, rung_error *err) {
    while (n_visits >= o->n_buckets) {
        int32_t n = o->n_buckets ? o->n_buckets * 2 : 16;
        omega_bucket *b = rung_realloc(o->bucket, (size_t)n * sizeof *b);
        if (!b) return no_memory(err);
        memset(b + o->n_buckets, 0, (size_t)(n - o->n_buckets) * sizeof *b);
        o->bucket = b;
        o->n_buckets = n;
    }
    omega_bucket *b = &o->bucket[n_visits];
    if (b->n == b->cap) {
        int32_t cap = b->cap ? b->cap * 2 : 16;
        int32_t *grown = rung_realloc(b->node, (size_t)cap * sizeof *grown);
        if (!grown) return no_memory(err);
        b->node = grown;
        b->cap = cap;
    }
    int32_t at = b->n++;
    for (; at > 0 && before(o, node, b->node[(at - 1) / 2]); at = (at - 1) / 2)
        b->node[at] = b->node[(at - 1) / 2];
    b->node[at] = node;
    return RUNG_OK;
}

static int32_t bucket_pop(omega *o, omega_bucket *b) {
    int32_t top = b->node[0], last = b->node[--b->n], at = 0;
    for (int32_t child; (child = 2 * at + 1) < b->n; at = child) {
        if (child + 1 < b->n && before(o, b->node[child + 1], b->node[child])) child++;
        if (!before(o, b->node[child], last)) break;
        b->node[at] = b->node[child];
    }
    b->node[at] = last;
    return top;
}

/* argmax of Q + U over all pairs: nodes of equal N keep their order while U grows, so that the
 * first of each bucket is enough. Ties: the oldest rollout. */
static bool best_pair(omega *o, int32_t *s, int32_t *r) {
    int32_t best = -1, best_roll = 0;
    double value = 0.0;
    for (int32_t k = 0; k < o->n_buckets; k++) {
        if (o->bucket[k].n == 0) continue;
        const omega_node *v = &o->node[o->bucket[k].node[0]];
        int32_t roll = v->pool[v->at_pool];
        double x = quality(o, v, roll) + bonus(o, k);
        if (best < 0 || x > value || (x == value && roll < best_roll)) {
            best = k;
            best_roll = roll;
            value = x;
        }
    }
    if (best < 0) return false;
    *s = bucket_pop(o, &o->bucket[best]);
    *r = best_roll;
    return true;
}

typedef struct ranked {
    int32_t roll, n_tok;
} ranked;

static int by_length(const void *a, const void *b) {
    const ranked *x = a, *y = b;
    if (x->n_tok != y->n_tok) return x->n_tok < y->n_tok ? -1 : 1;
    return x->roll < y->roll ? -1 : x->roll > y->roll;
}

static bool is_blank(const char *text, int32_t n) {
    for (int32_t i = 0; i < n; i++)
        if (!strchr(" \t\r\n", text[i])) return false;
    return true;
}

static rung_status keep_roll(omega *o, const omega_roll *r, rung_error *err) {
    if (o->n_rolls == o->cap_rolls) {
        int32_t cap = o->cap_rolls ? o->cap_rolls * 2 : 128;
        omega_roll *grown = rung_realloc(o->roll, (size_t)cap * sizeof *grown);
        if (!grown) return no_memory(err);
        o->roll = grown;
        o->cap_rolls = cap;
    }
    omega_roll *k = &o->roll[o->n_rolls++];
    *k = *r;
    k->text = rung_arena_strndup(o->arena, r->text, (size_t)r->n_bytes);
    return k->text ? RUNG_OK : no_memory(err);
}

static rung_status fill_pool(omega *o, omega_node *v, const omega_roll *roll, int32_t n,
                             rung_error *err) {
    ranked *w = rung_alloc(((size_t)n + 1) * sizeof *w);
    v->pool = rung_arena_alloc(o->arena, ((size_t)n + 1) * sizeof *v->pool);
    rung_status st = w && v->pool ? RUNG_OK : no_memory(err);
    for (int32_t i = 0; i < n && st == RUNG_OK; i++) {
        if (roll[i].verdict != RUNG_VERDICT_WRONG || is_blank(roll[i].text, roll[i].n_bytes))
            continue;
        st = keep_roll(o, &roll[i], err);
        w[v->n_pool++] = (ranked){o->n_rolls - 1, roll[i].n_tok};
    }
    if (st == RUNG_OK) {
        qsort(w, (size_t)v->n_pool, sizeof *w, by_length);
        for (int32_t i = 0; i < v->n_pool; i++) v->pool[i] = w[i].roll;
    }
    rung_free(w);
    return st;
}

rung_status omega_give(omega *o, int32_t node, const omega_roll *roll, int32_t n, rung_error *err) {
    omega_node *v = &o->node[node];
    if (v->is_known) return rung_fail(err, RUNG_E_MISUSE, "node %d has its rollouts", node);
    v->is_known = true;
    for (int32_t i = 0; i < n; i++) {
        v->c += roll[i].verdict == RUNG_VERDICT_CORRECT;
        v->n += roll[i].verdict != RUNG_VERDICT_UNKNOWN;
        v->n_unknown += roll[i].verdict == RUNG_VERDICT_UNKNOWN;
    }
    o->n_probes += node != 0;
    if (v->c == 0 || v->c == v->n) return RUNG_OK;
    RUNG_TRY(fill_pool(o, v, roll, n, err));
    return v->n_pool > 0 ? bucket_push(o, v->n_visits, node, err) : RUNG_OK;
}

/* ---- a search */

static rung_status room_for_units(omega *o, rung_error *err) {
    rung_free(o->at);
    o->at = rung_alloc(((size_t)o->n_units + 1) * sizeof *o->at);
    return o->at ? RUNG_OK : no_memory(err);
}

static rung_status open_search(omega *o, int32_t s, int32_t r, rung_error *err) {
    omega_node *v = &o->node[s];
    const omega_roll *roll = &o->roll[r];
    v->at_pool++; /* never again */
    v->n_visits++;
    if (v->at_pool < v->n_pool) RUNG_TRY(bucket_push(o, v->n_visits, s, err));
    RUNG_TRY(omega_units(&o->bound, &o->n_units, &o->cap_units, o->o.units, roll->text,
                         roll->n_bytes, err));
    RUNG_TRY(room_for_units(o, err));
    memcpy(o->at[0], o->node[s].hash, sizeof o->at[0]);
    for (int32_t k = 0; k < o->n_units; k++) {
        memcpy(o->at[k + 1], o->at[k], sizeof o->at[0]);
        hash_on(o->at[k + 1], roll->text + o->bound[k], (size_t)(o->bound[k + 1] - o->bound[k]));
    }
    o->searching = true;
    o->s = o->left = s;
    o->r = r;
    o->lo = 0;
    o->hi = o->n_units;
    o->probe = -1;
    return RUNG_OK;
}

static rung_status unit_node(int32_t *out, bool *is_new, omega *o, int32_t m, rung_error *err) {
    const char *text = o->roll[o->r].text;
    return node_at(out, is_new, o, o->at[m], o->left, text + o->bound[o->lo],
                   o->bound[m] - o->bound[o->lo], err);
}

static rung_status record(omega *o, int32_t leaf, rung_error *err) {
    if (o->n_searches == o->cap_searches) {
        int32_t cap = o->cap_searches ? o->cap_searches * 2 : 32;
        omega_search *grown = rung_realloc(o->search, (size_t)cap * sizeof *grown);
        if (!grown) return no_memory(err);
        o->search = grown;
        o->cap_searches = cap;
    }
    o->search[o->n_searches++] = (omega_search){
        .s = o->s, .roll = o->r, .n_units = o->n_units, .first_wrong = o->hi - 1, .leaf = leaf};
    o->searching = false;
    return RUNG_OK;
}

/* The first wrong unit is hi - 1. Where hi is the whole rollout, its end is a leaf that the
 * verifier has judged. */
static rung_status close_search(omega *o, rung_error *err) {
    int32_t leaf;
    bool is_new;
    RUNG_TRY(unit_node(&leaf, &is_new, o, o->hi, err));
    omega_node *v = &o->node[leaf];
    if (!v->is_known) {
        v->is_known = v->is_leaf = true;
        v->n = 1;
    }
    return record(o, leaf, err);
}

/* On with the search until it ends (done) or wants rollouts of a node. */
static rung_status go_on(omega *o, bool *wants, rung_error *err) {
    *wants = false;
    while (o->hi - o->lo > 1) {
        int32_t m = o->lo + (o->hi - o->lo) / 2, node;
        bool is_new;
        RUNG_TRY(unit_node(&node, &is_new, o, m, err));
        const omega_node *v = &o->node[node];
        if (!v->is_known) {
            o->probe = node;
            *wants = true;
            return RUNG_OK;
        }
        o->n_reused += node != o->probe;
        if (v->n == 0) { /* nobody knows: this search cannot say */
            o->n_abandoned++;
            o->searching = false;
            return RUNG_OK;
        }
        if ((double)v->c > o->o.theta * (double)v->n) {
            o->lo = m;
            o->left = node;
        } else {
            o->hi = m;
        }
        o->probe = -1;
    }
    return close_search(o, err);
}

rung_status omega_next(int32_t *node, omega *o, rung_error *err) {
    *node = -1;
    if (!o->node[0].is_known) {
        *node = 0;
        return RUNG_OK;
    }
    for (;;) {
        if (!o->searching) {
            int32_t s, r;
            if (o->n_searches + o->n_abandoned >= o->o.limit || !best_pair(o, &s, &r))
                return RUNG_OK;
            RUNG_TRY(open_search(o, s, r, err));
        }
        bool wants;
        RUNG_TRY(go_on(o, &wants, err));
        if (wants) {
            *node = o->probe;
            return RUNG_OK;
        }
    }
}

/* ---- life */

rung_status omega_init(omega *o, const omega_opts *opts, rung_error *err) {
    *o = (omega){.o = *opts, .probe = -1};
    o->arena = rung_arena_new(0);
    if (!o->arena) return no_memory(err);
    const uint64_t h[2] = {0xCBF29CE484222325u, 0x6A09E667F3BCC908u};
    int32_t root;
    bool is_new;
    return node_at(&root, &is_new, o, h, -1, "", 0, err);
}

void omega_clear(omega *o) {
    for (int32_t k = 0; k < o->n_buckets; k++) rung_free(o->bucket[k].node);
    rung_free(o->bucket);
    rung_free(o->node);
    keymap_clear(&o->of_prefix);
    rung_free(o->roll);
    rung_free(o->search);
    rung_free(o->bound);
    rung_free(o->at);
    rung_arena_free(o->arena);
    *o = (omega){0};
}
