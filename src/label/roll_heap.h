/* What waits, smallest key first; and what each problem has spent. */
#ifndef RUNG_SRC_ROLL_HEAP_H
#define RUNG_SRC_ROLL_HEAP_H
#include "label/roller.h"

typedef struct roll_heap {
    roll_job **item;
    int64_t n, cap;
} roll_heap;
rung_status roll_heap_push(roll_heap *h, roll_job *j, rung_error *err);
roll_job *roll_heap_pop(roll_heap *h); /* of n > 0 */
void roll_heap_clear(roll_heap *h);

typedef struct roll_spent { /* problem -> tokens; open addressing */
    struct roll_spent_row {
        int64_t problem, n_tok; /* problem 0: free */
        bool held;
        roll_job *waiting;
    } * row;
    int64_t n, cap;
} roll_spent;
rung_status roll_spent_add(roll_spent *t, int64_t problem, int64_t n_tok, rung_error *err);
int64_t roll_spent_of(const roll_spent *t, int64_t problem);
/* Is a job of the problem under way? */
rung_status roll_spent_hold(roll_spent *t, int64_t problem, bool held, rung_error *err);
bool roll_spent_is_held(const roll_spent *t, int64_t problem);
/* One job of a problem at a time: the others wait here. */
rung_status roll_spent_wait(roll_spent *t, roll_job *j, rung_error *err);
roll_job *roll_spent_waiting(roll_spent *t, int64_t problem); /* all, taken; linked by next */
void roll_spent_clear(roll_spent *t);
#endif
