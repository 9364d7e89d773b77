/* The reference's logprobs of steps in the store's cache: what a frozen model said of a text is
 * never asked again. Internal to reward/. */
#ifndef RUNG_SRC_REWARD_REFCACHE_H
#define RUNG_SRC_REWARD_REFCACHE_H
#include "reward/reward_impl.h"

enum { REWARD_REFCACHE_ROWS = 256 };
typedef struct reward_refcache {
    rung_store *store; /* NULL: none */
    char model[96];    /* whose: hash and the type its weights have in memory */
    struct {
        char key[192];
        double value;
    } row[REWARD_REFCACHE_ROWS]; /* not written yet */
    int32_t n;
} reward_refcache;
void reward_refcache_init(reward_refcache *c, rung_store *s, const rung_model *reference);
/* The sum of ln p over the tokens of step k, after all tokens before it. */
rung_status reward_refcache_get(double *value, bool *found, reward_refcache *c,
                                const reward_layout *l, int32_t k, rung_error *err);
rung_status reward_refcache_put(reward_refcache *c, const reward_layout *l, int32_t k, double value,
                                rung_error *err);
rung_status reward_refcache_flush(reward_refcache *c, rung_error *err);
#endif
