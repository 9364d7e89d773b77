#include "reward/reward_refcache.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

void reward_refcache_init(reward_refcache *c, rung_store *s, const rung_model *reference) {
    rung_model_info info;
    rung_model_get_info(&info, reference);
    c->store = s;
    snprintf(c->model, sizeof c->model, "%s-%s", info.hash, info.weights);
}

/* Reference, all tokens up to the step's end, where the step begins. */
static void key_of(char key[192], const reward_refcache *c, const reward_layout *l, int32_t k) {
    char hash[33];
    rung_hash_hex(hash, l->tok, (size_t)l->end[k] * sizeof *l->tok);
    snprintf(key, 192, "reflogp/step/%s/%s/%d", c->model, hash, l->begin[k]);
}

rung_status reward_refcache_get(double *value, bool *found, reward_refcache *c,
                                const reward_layout *l, int32_t k, rung_error *err) {
    char key[192];
    rung_buf b;
    *found = false;
    if (!c->store) return RUNG_OK;
    key_of(key, c, l, k);
    for (int32_t i = 0; i < c->n; i++)
        if (!strcmp(c->row[i].key, key)) {
            *value = c->row[i].value;
            *found = true;
            return RUNG_OK;
        }
    rung_buf_init(&b, 4096);
    rung_status st = rung_cache_get(&b, found, c->store, key, err);
    *found = *found && b.n == sizeof *value;
    if (*found) memcpy(value, b.data, sizeof *value);
    *found = *found && isfinite(*value);
    rung_buf_clear(&b);
    return st;
}

rung_status reward_refcache_put(reward_refcache *c, const reward_layout *l, int32_t k, double value,
                                rung_error *err) {
    if (!c->store || !isfinite(value)) return RUNG_OK;
    if (c->n == REWARD_REFCACHE_ROWS) RUNG_TRY(reward_refcache_flush(c, err));
    key_of(c->row[c->n].key, c, l, k);
    c->row[c->n++].value = value;
    return RUNG_OK;
}

rung_status reward_refcache_flush(reward_refcache *c, rung_error *err) {
    if (c->n == 0) return RUNG_OK;
    RUNG_TRY(rung_store_begin(c->store, err));
    rung_status st = RUNG_OK;
    for (int32_t i = 0; i < c->n && st == RUNG_OK; i++)
        st = rung_cache_put(c->store, c->row[i].key, (const char *)&c->row[i].value,
                            sizeof c->row[i].value, err);
    if (st != RUNG_OK) {
        rung_store_rollback(c->store);
        return st;
    }
    c->n = 0;
    return rung_store_commit(c->store, err);
}
