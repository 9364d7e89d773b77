/* Methods on hand-computed pools (search.md 2.1-2.5). */
#include "rung/search.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static int choose(const char *method, const rung_candidate *pool, int n) {
    const rung_method *m = rung_method_find(method);
    assert_non_null(m);
    return m->choose(pool, n);
}

/* Six samples: 7 x2, 9 x3, one without an answer.
 *   prm    7: .9 + .8 = 1.7     9: .5 + .5 + .6 = 1.6      none: .99
 *   orm    7: .2 + .3 = .5      9: .4 + .1 + .4 = .9       none: .1
 *   conf   7: .30 .10           9: .20 .35 .25             none: .05 */
static const rung_candidate six[] = {
    {"9", false, .5, .4, .20, 10}, {"7", true, .9, .2, .30, 10}, {"", false, .99, .1, .05, 10},
    {"9", false, .5, .1, .35, 10}, {"7", true, .8, .3, .10, 10}, {"9", false, .6, .4, .25, 10},
};

static void pool_by_hand(void **s) {
    (void)s;
    assert_int_equal(choose("single", six, 6), 0);
    assert_int_equal(choose("majority", six, 6), 0);        /* 3 of "9", first member */
    assert_int_equal(choose("bon_prm", six, 6), 2);         /* best score has no answer: wrong */
    assert_int_equal(choose("bon_orm", six, 6), 0);         /* .4 twice: the smaller index */
    assert_int_equal(choose("bon_confidence", six, 6), 3);  /* .35 */
    assert_int_equal(choose("vote_prm", six, 6), 1);        /* 1.7 > 1.6, best member .9 */
    assert_int_equal(choose("vote_orm", six, 6), 0);        /* .9 > .5, first .4 */
    assert_int_equal(choose("vote_confidence", six, 6), 3); /* .80 > .40, best .35 */
    assert_int_equal(choose("oracle", six, 6), 1);
}

static void winning_class_returns_its_best_member(void **s) {
    (void)s;
    const rung_candidate pool[] = {
        {"1", false, .2, .2, .2, 1}, {"2", false, .5, .5, .5, 1}, {"1", false, .6, .6, .6, 1}};
    assert_int_equal(choose("vote_prm", pool, 3), 2);
    assert_int_equal(choose("vote_orm", pool, 3), 2);
    assert_int_equal(choose("majority", pool, 3), 0);
}

static void ties_go_to_the_first(void **s) {
    (void)s;
    const rung_candidate pool[] = {{"b", false, .5, .5, .5, 1},
                                   {"a", true, .5, .5, .5, 1},
                                   {"a", true, .25, .25, .25, 1},
                                   {"b", false, .25, .25, .25, 1}};
    for (size_t i = 0; rung_method_at(i); i++) {
        const rung_method *m = rung_method_at(i);
        assert_int_equal(m->choose(pool, 4), strcmp(m->name, "oracle") ? 0 : 1);
    }
}

static void no_answer_never_wins_a_vote(void **s) {
    (void)s;
    const rung_candidate pool[] = {
        {"", false, .9, .9, .9, 1}, {"", false, .9, .9, .9, 1}, {"5", true, .1, .1, .1, 1}};
    const char *votes[] = {"majority", "vote_prm", "vote_orm", "vote_confidence"};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(choose(votes[i], pool, 3), 2);
        assert_int_equal(choose(votes[i], pool, 2), -1); /* nobody has one: no answer */
    }
}

static void missing_scores_lose(void **s) {
    (void)s;
    const rung_candidate pool[] = {{"4", false, NAN, NAN, NAN, 1},
                                   {"4", false, NAN, NAN, NAN, 1},
                                   {"5", true, .01, .01, .01, 1}};
    assert_int_equal(choose("bon_prm", pool, 3), 2);
    assert_int_equal(choose("bon_prm", pool, 2), -1);
    assert_int_equal(choose("vote_prm", pool, 3), 2);
    assert_int_equal(choose("vote_prm", pool, 2), 0); /* an unscored class is still an answer */
    const rung_candidate empty[] = {{"4", false, -1., -1., -1., 1}, {"5", true, .0, .0, .0, 1}};
    assert_int_equal(choose("bon_prm", empty, 2), 1);  /* no step at all: below zero */
    assert_int_equal(choose("vote_prm", empty, 2), 0); /* both weigh 0: first come */
}

static void every_row(void **s) {
    (void)s;
    size_t n = 0;
    for (; rung_method_at(n); n++) {
        const rung_method *m = rung_method_at(n);
        assert_ptr_equal(rung_method_find(m->name), m);
        assert_true(strlen(m->help) > 5);
        assert_int_equal(m->choose(NULL, 0), -1);
        const rung_candidate one = {"3", true, .5, .5, .5, 1};
        assert_int_equal(m->choose(&one, 1), 0); /* with one sample all methods agree */
    }
    assert_int_equal(n, 9);
    assert_null(rung_method_find("bon"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pool_by_hand),
        cmocka_unit_test(winning_class_returns_its_best_member),
        cmocka_unit_test(ties_go_to_the_first),
        cmocka_unit_test(no_answer_never_wins_a_vote),
        cmocka_unit_test(missing_scores_lose),
        cmocka_unit_test(every_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
