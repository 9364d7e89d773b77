#include "label/roll_heap.h"

static bool before(const roll_job *a, const roll_job *b) {
    return a->key != b->key ? a->key < b->key : a->order < b->order;
}

rung_status roll_heap_push(roll_heap *h, roll_job *j, rung_error *err) {
    if (h->n == h->cap) {
        int64_t cap = h->cap ? h->cap * 2 : 256;
        roll_job **item = rung_realloc(h->item, (size_t)cap * sizeof *item);
        if (!item) return rung_fail(err, RUNG_E_NOMEM, "no memory for %lld jobs", (long long)cap);
        h->item = item;
        h->cap = cap;
    }
    int64_t at = h->n++;
    for (; at > 0 && before(j, h->item[(at - 1) / 2]); at = (at - 1) / 2)
        h->item[at] = h->item[(at - 1) / 2];
    h->item[at] = j;
    return RUNG_OK;
}

roll_job *roll_heap_pop(roll_heap *h) {
    roll_job *top = h->item[0], *last = h->item[--h->n];
    int64_t at = 0;
    for (int64_t child; (child = 2 * at + 1) < h->n; at = child) {
        if (child + 1 < h->n && before(h->item[child + 1], h->item[child])) child++;
        if (!before(h->item[child], last)) break;
        h->item[at] = h->item[child];
    }
    h->item[at] = last;
    return top;
}

void roll_heap_clear(roll_heap *h) {
    rung_free(h->item);
    *h = (roll_heap){0};
}

static struct roll_spent_row *find(const roll_spent *t, int64_t problem) {
    uint64_t mask = (uint64_t)t->cap - 1;
    uint64_t at = ((uint64_t)problem * 0x9E3779B97F4A7C15u >> 20) & mask;
    while (t->row[at].problem && t->row[at].problem != problem) at = (at + 1) & mask;
    return &t->row[at];
}

static rung_status room(roll_spent *t, rung_error *err) {
    if (2 * (t->n + 1) <= t->cap) return RUNG_OK;
    roll_spent grown = {.cap = t->cap ? t->cap * 2 : 64, .n = t->n};
    grown.row = rung_calloc((size_t)grown.cap, sizeof *grown.row);
    if (!grown.row)
        return rung_fail(err, RUNG_E_NOMEM, "no memory for %lld problems", (long long)grown.cap);
    for (int64_t i = 0; i < t->cap; i++)
        if (t->row[i].problem) *find(&grown, t->row[i].problem) = t->row[i];
    rung_free(t->row);
    *t = grown;
    return RUNG_OK;
}

static rung_status row_of(struct roll_spent_row **out, roll_spent *t, int64_t problem,
                          rung_error *err) {
    RUNG_TRY(room(t, err));
    *out = find(t, problem);
    if (!(*out)->problem) {
        (*out)->problem = problem;
        t->n++;
    }
    return RUNG_OK;
}

rung_status roll_spent_add(roll_spent *t, int64_t problem, int64_t n_tok, rung_error *err) {
    struct roll_spent_row *row;
    RUNG_TRY(row_of(&row, t, problem, err));
    row->n_tok += n_tok;
    return RUNG_OK;
}

rung_status roll_spent_hold(roll_spent *t, int64_t problem, bool held, rung_error *err) {
    struct roll_spent_row *row;
    RUNG_TRY(row_of(&row, t, problem, err));
    row->held = held;
    return RUNG_OK;
}

int64_t roll_spent_of(const roll_spent *t, int64_t problem) {
    return t->cap ? find(t, problem)->n_tok : 0;
}

bool roll_spent_is_held(const roll_spent *t, int64_t problem) {
    return t->cap && find(t, problem)->held;
}

rung_status roll_spent_wait(roll_spent *t, roll_job *j, rung_error *err) {
    struct roll_spent_row *row;
    RUNG_TRY(row_of(&row, t, j->problem, err));
    j->next = row->waiting;
    row->waiting = j;
    return RUNG_OK;
}

roll_job *roll_spent_waiting(roll_spent *t, int64_t problem) {
    struct roll_spent_row *row = find(t, problem);
    roll_job *j = row->waiting;
    row->waiting = NULL;
    return j;
}

void roll_spent_clear(roll_spent *t) {
    rung_free(t->row);
    *t = (roll_spent){0};
}
