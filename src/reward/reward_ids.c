#include "reward/reward_ids.h"

static size_t slot_of(const reward_ids *set, int64_t id) {
    size_t mask = set->n_slots - 1;
    size_t at = (size_t)((uint64_t)id * 0x9E3779B97F4A7C15u >> 20) & mask;
    while (set->id[at] && set->id[at] != id) at = (at + 1) & mask;
    return at;
}

static rung_status grow(reward_ids *set, rung_error *err) {
    reward_ids bigger = {.n_slots = set->n_slots ? set->n_slots * 2 : 1024, .n = set->n};
    bigger.id = rung_calloc(bigger.n_slots, sizeof *bigger.id);
    bigger.value = rung_calloc(bigger.n_slots, sizeof *bigger.value);
    if (!bigger.id || !bigger.value) {
        reward_ids_clear(&bigger);
        return rung_fail(err, RUNG_E_NOMEM, "no memory for %zu nodes", set->n * 2);
    }
    for (size_t i = 0; i < set->n_slots; i++) {
        if (!set->id[i]) continue;
        size_t at = slot_of(&bigger, set->id[i]);
        bigger.id[at] = set->id[i];
        bigger.value[at] = set->value[i];
    }
    reward_ids_clear(set);
    *set = bigger;
    return RUNG_OK;
}

rung_status reward_ids_put(int64_t *value, bool *is_new, reward_ids *set, int64_t id,
                           rung_error *err) {
    if (set->n * 2 >= set->n_slots) RUNG_TRY(grow(set, err));
    size_t at = slot_of(set, id);
    *is_new = set->id[at] == 0;
    if (*is_new) {
        set->id[at] = id;
        set->value[at] = *value;
        set->n++;
    }
    *value = set->value[at];
    return RUNG_OK;
}

bool reward_ids_has(const reward_ids *set, int64_t id) {
    return set->n_slots && set->id[slot_of(set, id)] != 0;
}

void reward_ids_clear(reward_ids *set) {
    rung_free(set->id);
    rung_free(set->value);
    *set = (reward_ids){0};
}
