/* World `word`: the same chains told in English, with sentences whose number must not be used.
 *
 * A scene is an opening, sentences for + - x, distractors and a question. Marks: {N} the person,
 * {M} another person, {o} the things counted, {q} other things, {b} the number. */
#include "problem/world.h"
#include <string.h>

static const char *const names[] = {"Ann", "Ben", "Cara", "Dan", "Eva", "Finn",
                                    "Gus", "Ida", "Jon",  "Kim", "Leo", "Mia"};
static const char *const things[] = {"apples", "books", "coins", "stamps", "shells", "cards",
                                     "pens",   "nuts",  "eggs",  "stones", "toys",   "cakes",
                                     "beads",  "flags", "pears", "cups"};
enum { N_NAMES = sizeof names / sizeof *names, N_THINGS = sizeof things / sizeof *things };
enum { SENTENCES_MAX = 5 };

typedef struct scene {
    const char *open;
    const char *add[SENTENCES_MAX], *sub[SENTENCES_MAX], *times[SENTENCES_MAX];
    const char *distract[SENTENCES_MAX], *ask[SENTENCES_MAX]; /* each ends at the first NULL */
} scene;

static const scene scenes[] = {
    {"{N} has {b} {o}.",
     {"{N} finds {b} more.", "{M} gives {N} {b} {o}.", "{N} buys {b} more {o}.",
      "Then {N} gets {b} from {M}."},
     {"{N} loses {b}.", "{N} gives {b} {o} to {M}.", "{N} sells {b} of them.",
      "Then {b} {o} break."},
     {"Now {N} has {b} times as many.", "Then the number of {o} grows {b} times."},
     {"{M} has {b} {q}.", "{N} is {b} years old.", "{N} also has {b} {q}."},
     {"How many {o} does {N} have?", "How many {o} are left?"}},
    {"A bus starts with {b} people.",
     {"At the next stop {b} people get on.", "Then {b} more climb in."},
     {"Then {b} people get off.", "At the park {b} leave."},
     {"At the fair there are {b} times as many."},
     {"The trip takes {b} minutes.", "The driver is {b} years old.", "The bus has {b} windows."},
     {"How many people are on the bus?"}},
    {"A shop has {b} {o}.",
     {"A truck brings {b} more.", "The owner makes {b} {o}.", "{N} sells {b} {o} to the shop."},
     {"The shop sells {b}.", "{N} buys {b} {o}.", "Then {b} {o} are stolen."},
     {"After a big order the shop has {b} times as many."},
     {"The shop also has {b} {q}.", "The owner is {b} years old.", "It is {b} miles away."},
     {"How many {o} does the shop have?", "How many {o} are left in the shop?"}},
    {"There are {b} birds in a tree.",
     {"Then {b} birds land.", "Soon {b} more come."},
     {"Then {b} fly away.", "A cat scares {b} birds away.", "{N} sees {b} leave."},
     {"Soon there are {b} times as many."},
     {"The tree is {b} feet tall.", "There are {b} fish in the pond.", "{N} is {b} years old."},
     {"How many birds are in the tree?"}},
    {"{N} saves {b} dollars.",
     {"{N} earns {b} more.", "{M} pays {N} {b} dollars.", "Then {N} finds {b} dollars."},
     {"{N} spends {b}.", "{N} pays {b} dollars for lunch.", "{N} lends {M} {b} dollars."},
     {"A prize makes it {b} times as much."},
     {"{M} saves {b} dollars.", "{N} walks {b} miles.", "Lunch is at {b} past two."},
     {"How many dollars does {N} have?", "How much is left?"}},
};
enum { N_SCENES = sizeof scenes / sizeof *scenes };

typedef struct cast {
    const char *n, *m, *o, *q;
} cast;

static void tell(rung_buf *out, const char *form, const cast *who, int32_t b) {
    for (const char *p = form; *p;) {
        size_t n = strcspn(p, "{");
        rung_buf_append(out, p, n);
        p += n;
        if (!*p) break;
        switch (p[1]) {
        case 'N': rung_buf_str(out, who->n); break;
        case 'M': rung_buf_str(out, who->m); break;
        case 'o': rung_buf_str(out, who->o); break;
        case 'q': rung_buf_str(out, who->q); break;
        default: rung_buf_printf(out, "%d", b); break;
        }
        p += 3;
    }
}

static const char *pick(rung_rng *r, const char *const *forms) {
    uint64_t n = 0;
    while (n < SENTENCES_MAX && forms[n]) n++;
    return forms[rung_rng_below(r, n)];
}

static void pair(rung_rng *r, const char **a, const char **b, const char *const *from, int32_t n) {
    uint64_t i = rung_rng_below(r, (uint64_t)n), k = rung_rng_below(r, (uint64_t)n - 1);
    *a = from[i];
    *b = from[k + (k >= i)];
}

/* A number that no operation uses, so that using it is always wrong. */
static int32_t draw_distract(const chain *c, rung_rng *r) {
    for (;;) {
        int32_t d = (int32_t)rung_rng_between(r, OPERAND_MIN, DISTRACT_LIMIT), t = 0;
        while (t < c->n && c->op[t].b != d) t++;
        if (t == c->n) return d;
    }
}

static void word_question(rung_buf *out, chain *c, rung_rng *r) {
    const scene *sc = &scenes[rung_rng_below(r, N_SCENES)];
    cast who;
    pair(r, &who.n, &who.m, names, N_NAMES);
    pair(r, &who.o, &who.q, things, N_THINGS);
    const char *said = NULL; /* no distractor sentence twice: its number would be contradictory */
    int32_t at[CHAIN_DISTRACT_MAX];
    double u = rung_rng_f64(r); /* none .3, one .5, two .2 */
    int32_t n_distract = u < 0.3 ? 0 : u < 0.8 ? 1 : 2;
    for (int32_t k = 0; k < n_distract; k++) {
        at[k] = (int32_t)rung_rng_below(r, (uint64_t)c->n + 1);
        c->distract[c->n_distract++] = draw_distract(c, r);
    }
    tell(out, sc->open, &who, c->start);
    for (int32_t t = 0; t <= c->n; t++) {
        for (int32_t k = 0; k < n_distract; k++) {
            if (at[k] != t) continue;
            const char *form = pick(r, sc->distract);
            while (form == said) form = pick(r, sc->distract);
            said = form;
            rung_buf_str(out, " ");
            tell(out, form, &who, c->distract[k]);
        }
        if (t == c->n) break;
        chain_op op = c->op[t];
        rung_buf_str(out, " ");
        tell(out, pick(r, op.o == '+' ? sc->add : op.o == '-' ? sc->sub : sc->times), &who, op.b);
    }
    rung_buf_str(out, " ");
    tell(out, pick(r, sc->ask), &who, 0);
    rung_buf_str(out, "\n");
}

void world_word_texts(void (*add)(void *ud, const char *text, bool opens), void *ud) {
    for (size_t i = 0; i < N_NAMES; i++) add(ud, names[i], true);
    for (size_t i = 0; i < N_THINGS; i++) add(ud, things[i], false);
    for (size_t i = 0; i < N_SCENES; i++) {
        const scene *sc = &scenes[i];
        const char *const *lists[] = {sc->add, sc->sub, sc->times, sc->distract, sc->ask};
        add(ud, sc->open, true);
        for (size_t k = 0; k < sizeof lists / sizeof *lists; k++)
            for (size_t j = 0; j < SENTENCES_MAX && lists[k][j]; j++) add(ud, lists[k][j], false);
    }
}

const world_impl world_word = {"word", 3, 6, word_question, 1};
