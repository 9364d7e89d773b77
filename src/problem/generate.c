/* Problems of a world into the store: splits by bucket, no question twice. */
#include "problem/world.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_SPLITS_MAX = 16, TEXT_MAX = 1 << 20, MISSED_MAX = 20000 };

static bool bucket_fits(int bucket, const char *split) {
    if (strcmp(split, "test") == 0) return bucket == WORLD_BUCKET_TEST;
    if (strcmp(split, "val") == 0) return bucket == WORLD_BUCKET_VAL;
    return bucket != WORLD_BUCKET_TEST && bucket != WORLD_BUCKET_VAL;
}

typedef struct split {
    char name[32];
    int64_t n;
} split;

/* "train=300,test=200" */
static rung_status splits_parse(split *out, int32_t *n_out, const char *text, rung_error *err) {
    int32_t n = 0;
    const char *p = text ? text : "";
    while (*p) {
        size_t n_name = strcspn(p, "=,");
        char *end = NULL;
        long long count = p[n_name] == '=' ? strtoll(p + n_name + 1, &end, 10) : -1;
        if (n_name == 0 || n_name >= sizeof out->name || count <= 0 || (*end && *end != ',') ||
            n == N_SPLITS_MAX) {
            rung_fail(err, RUNG_E_INVAL, "bad splits \"%s\"", text);
            return rung_error_hint(err, "write them as train=300,test=200");
        }
        memcpy(out[n].name, p, n_name);
        out[n].name[n_name] = '\0';
        out[n++].n = count;
        p = *end ? end + 1 : end;
    }
    *n_out = n;
    if (n > 0) return RUNG_OK;
    rung_fail(err, RUNG_E_INVAL, "no splits given");
    return rung_error_hint(err, "write them as train=300,test=200");
}

/* Open-addressed set of question hashes; 0 marks a free slot. */
typedef struct seen {
    uint64_t *slot, mask;
} seen;

static bool seen_add(seen *s, uint64_t h) {
    if (h == 0) h = 1;
    uint64_t k = h & s->mask;
    for (; s->slot[k]; k = (k + 1) & s->mask)
        if (s->slot[k] == h) return false;
    s->slot[k] = h;
    return true;
}

typedef struct gen {
    rung_store *s;
    const rung_world *w;
    const char *set;
    const rung_world_opts *o;
    const rung_log *log;
    rung_buf q, a, sol, meta;
    seen seen;
    uint64_t i;
    int64_t done, total, n_new;
} gen;

static rung_status gen_put(gen *g, const char *split_name, uint64_t h, rung_error *err) {
    char key[64];
    snprintf(key, sizeof key, "%s-%016llx", g->w->name, (unsigned long long)h);
    rung_problem p = {.set = g->set,
                      .split = split_name,
                      .key = key,
                      .question = g->q.data,
                      .answer = g->a.data,
                      .solution = g->sol.data,
                      .world = g->w->name,
                      .meta = g->meta.data,
                      .verifier = g->w->verifier};
    bool is_new = false;
    RUNG_TRY(rung_problem_put(g->s, &p, &is_new, err));
    g->n_new += is_new;
    g->done++;
    return rung_progress(g->log, "problems", g->done, g->total, 0, err);
}

static rung_status gen_split(gen *g, const split *sp, rung_error *err) {
    int64_t missed = 0; /* indices in a row that gave nothing new */
    for (int64_t n = 0; n < sp->n; g->i++) {
        if (missed++ == MISSED_MAX) {
            rung_fail(err, RUNG_E_LIMIT, "world %s has too few different problems for %s=%lld",
                      g->w->name, sp->name, (long long)sp->n);
            return rung_error_hint(err, "raise the steps or the largest total");
        }
        rung_buf_reset(&g->q), rung_buf_reset(&g->a);
        rung_buf_reset(&g->sol), rung_buf_reset(&g->meta);
        RUNG_TRY(g->w->make(&g->q, &g->a, &g->sol, &g->meta, g->o, g->i, err));
        uint64_t h = rung_hash64(g->q.data, g->q.n, 0);
        if (!bucket_fits(rung_world_bucket(g->q.data, g->q.n), sp->name)) continue;
        if (!seen_add(&g->seen, h)) continue;
        RUNG_TRY(gen_put(g, sp->name, h, err));
        missed = 0;
        n++;
    }
    return RUNG_OK;
}

rung_status rung_problem_generate(int64_t *n_new, rung_store *s, const char *world, const char *set,
                                  const char *splits, uint64_t i0, const rung_world_opts *o,
                                  const rung_log *log, rung_error *err) {
    split sp[N_SPLITS_MAX];
    int32_t n_splits = 0;
    rung_status st = RUNG_OK;
    if (n_new) *n_new = 0;
    const rung_world *w = rung_world_find(world);
    if (!w) {
        rung_fail(err, RUNG_E_NOT_FOUND, "no world \"%s\"", world ? world : "");
        return rung_error_hint(err, "rung problem generate --help lists the worlds");
    }
    RUNG_TRY(splits_parse(sp, &n_splits, splits, err));
    gen g = {.s = s, .w = w, .set = set && *set ? set : w->name, .o = o, .log = log, .i = i0};
    for (int32_t k = 0; k < n_splits; k++) g.total += sp[k].n;
    uint64_t n_slots = 64;
    while (n_slots < 2 * (uint64_t)g.total) n_slots *= 2;
    g.seen = (seen){rung_calloc(n_slots, sizeof *g.seen.slot), n_slots - 1};
    rung_buf *bufs[] = {&g.q, &g.a, &g.sol, &g.meta};
    for (size_t k = 0; k < 4; k++) rung_buf_init(bufs[k], TEXT_MAX);
    if (!g.seen.slot) {
        st = rung_fail(err, RUNG_E_NOMEM, "out of memory for %lld problems", (long long)g.total);
        goto out;
    }
    RUNG_GOTO(rung_store_begin(s, err));
    for (int32_t k = 0; k < n_splits && st == RUNG_OK; k++) st = gen_split(&g, &sp[k], err);
    if (st == RUNG_OK || st == RUNG_E_CANCELLED) { /* what was done stays */
        rung_status st_commit = rung_store_commit(s, st == RUNG_OK ? err : NULL);
        if (st == RUNG_OK) st = st_commit;
    } else {
        rung_store_rollback(s);
    }
    if (n_new && st == RUNG_OK) *n_new = g.n_new;
out:
    for (size_t k = 0; k < 4; k++) rung_buf_clear(bufs[k]);
    rung_free(g.seen.slot);
    return st;
}
