/* Node ids already met -> a number given to each; open addressing. Internal to reward/. */
#ifndef RUNG_SRC_REWARD_IDS_H
#define RUNG_SRC_REWARD_IDS_H
#include "rung/base.h"

typedef struct reward_ids {
    int64_t *id; /* 0 = free: row ids begin at 1 */
    int64_t *value;
    size_t n, n_slots;
} reward_ids;
/* *value: what the id was first put with; *is_new: it is this one. */
rung_status reward_ids_put(int64_t *value, bool *is_new, reward_ids *set, int64_t id,
                           rung_error *err);
bool reward_ids_has(const reward_ids *set, int64_t id);
void reward_ids_clear(reward_ids *set);
#endif
