/* Choosing an answer from a pool of sampled traces (search.md 2.1, 2.2, 2.4, 2.5). A table; every
 * row is pure: no allocation, no RNG, ties go to the candidate that came first.
 *
 * Two rules hold in all rows. No answer ("") never forms a class, so it cannot win a vote; it can
 * be the best-scored trace, and then the choice is wrong: that is what the exact BoN@k counts, too.
 * A missing score (NaN) is below every score and gives no weight. */
#include "rung/search.h"

#include <math.h>
#include <string.h>

typedef double (*score_fn)(const rung_candidate *c);
static double score_one(const rung_candidate *c) {
    return (void)c, 1.0;
}
static double score_prm(const rung_candidate *c) {
    return c->prm;
}
static double score_orm(const rung_candidate *c) {
    return c->orm;
}
static double score_confidence(const rung_candidate *c) {
    return c->confidence;
}

/* Same class: equal canonical keys. */
static bool same(const rung_candidate *a, const rung_candidate *b) {
    return a->key == b->key || strcmp(a->key, b->key) == 0;
}

static int best_of(const rung_candidate *pool, int n, score_fn score) {
    int best = -1;
    double most = -(double)INFINITY;
    for (int i = 0; i < n; i++) {
        double s = score(&pool[i]);
        if (s > most) most = s, best = i; /* false for NaN */
    }
    return best;
}

/* argmax over classes of the sum of non-negative scores; ties: the class whose first member came
 * first. Returns the winning class's member with the largest score. Quadratic in the number of
 * classes times n, which for pools of hundreds costs less than a table would. */
static int vote(const rung_candidate *pool, int n, score_fn score) {
    int winner = -1;
    double most = -1.0;
    for (int i = 0; i < n; i++) {
        if (!pool[i].key[0]) continue;
        bool seen = false;
        for (int j = 0; j < i && !seen; j++) seen = same(&pool[j], &pool[i]);
        if (seen) continue;
        int member = i;
        double sum = 0.0, top = -(double)INFINITY;
        for (int j = i; j < n; j++) {
            if (!same(&pool[j], &pool[i])) continue;
            double s = score(&pool[j]);
            if (s > 0.0) sum += s;
            if (s > top) top = s, member = j;
        }
        if (sum > most) most = sum, winner = member;
    }
    return winner;
}

static int choose_single(const rung_candidate *pool, int n) {
    return (void)pool, n > 0 ? 0 : -1;
}
static int choose_majority(const rung_candidate *pool, int n) {
    return vote(pool, n, score_one);
}
static int choose_bon_prm(const rung_candidate *pool, int n) {
    return best_of(pool, n, score_prm);
}
static int choose_bon_orm(const rung_candidate *pool, int n) {
    return best_of(pool, n, score_orm);
}
static int choose_bon_confidence(const rung_candidate *pool, int n) {
    return best_of(pool, n, score_confidence);
}
static int choose_vote_prm(const rung_candidate *pool, int n) {
    return vote(pool, n, score_prm);
}
static int choose_vote_orm(const rung_candidate *pool, int n) {
    return vote(pool, n, score_orm);
}
static int choose_vote_confidence(const rung_candidate *pool, int n) {
    return vote(pool, n, score_confidence);
}
static int choose_oracle(const rung_candidate *pool, int n) {
    for (int i = 0; i < n; i++)
        if (pool[i].correct) return i;
    return choose_single(pool, n);
}

/* name, help, needs prm, orm, confidence */
static const rung_method methods[] = {
    {"single", "the first sample", choose_single, false, false, false},
    {"majority", "most frequent answer", choose_majority, false, false, false},
    {"bon_prm", "best-of-n by the step scores", choose_bon_prm, true, false, false},
    {"bon_orm", "best-of-n by the outcome score", choose_bon_orm, false, true, false},
    {"bon_confidence", "best-of-n by the policy's own least token probability",
     choose_bon_confidence, false, false, true},
    {"vote_prm", "votes weighted by the step scores", choose_vote_prm, true, false, false},
    {"vote_orm", "votes weighted by the outcome score", choose_vote_orm, false, true, false},
    {"vote_confidence", "votes weighted by the policy's own confidence", choose_vote_confidence,
     false, false, true},
    {"oracle", "a right sample if there is one (pass@n, the upper bound)", choose_oracle, false,
     false, false},
};
enum { N_METHODS = sizeof methods / sizeof methods[0] };

const rung_method *rung_method_at(size_t i) {
    return i < N_METHODS ? &methods[i] : NULL;
}

const rung_method *rung_method_find(const char *name) {
    for (size_t i = 0; i < N_METHODS; i++)
        if (!strcmp(methods[i].name, name)) return &methods[i];
    return NULL;
}
