/* Text for the tiny policy: solutions by a noisy writer, and checking text.
 *
 * Why the writer errs as it does: design.md 6's trial found that slips drawn at random are given
 * away by the policy's own logprob. Forgetting the carry or the borrow at hard operations, more
 * often than not, is a slip that a policy trained on this text makes with high confidence. */
#include "problem/world.h"
#include <stdio.h>
#include <string.h>

static const double SLIP_RATES[] = {0.0, 0.01, 0.03, 0.06};
enum { N_SLIP_RATES = sizeof SLIP_RATES / sizeof *SLIP_RATES };
static const double CHECK_ERROR = 0.4;    /* wrong lines in checking text, hard or not */
static const double CHECK_HARD = 0.35;    /* share of hard operations there */
static const double CHECK_DISTRACT = 0.1; /* distractor's number used (the line itself may hold) */
enum { BARE_LINES = 12 };
static const double BARE_SAME = 0.25, BARE_ANY = 0.4;
static const double CHECK_RESTART = 0.5; /* after a wrong total, back to the true one */

typedef struct writer {
    rung_rng r;
    const chain *c;
    double slip, repair, misconception, distract;
    int64_t w, truth; /* the total as written so far, and as it should be */
} writer;

static bool chance(rung_rng *r, double p) {
    return rung_rng_f64(r) < p;
}

/* One digit of v replaced by another; the number of digits and the sign stay. */
static int64_t slip_digit(rung_rng *r, int64_t v) {
    char d[24];
    int n = snprintf(d, sizeof d, "%lld", (long long)(v < 0 ? -v : v));
    int k = (int)rung_rng_below(r, (uint64_t)n);
    int lo = n > 1 && k == 0; /* no leading zero */
    int digit = lo + (int)rung_rng_below(r, (uint64_t)(9 - lo)), old = d[k] - '0';
    d[k] = (char)('0' + digit + (digit >= old));
    int64_t out = 0;
    for (int i = 0; i < n; i++) out = out * 10 + (d[i] - '0');
    return v < 0 ? -out : out;
}

/* Without the carry a sum is ten too small, without the borrow a difference ten too large. */
static int64_t forget(char o, int64_t c) {
    return o == '-' ? c + 10 : c - 10;
}

static int64_t draw_operand(writer *w, chain_op op, double p_distract) {
    if (op.o == 'x' || w->c->n_distract == 0 || !chance(&w->r, p_distract)) return op.b;
    return w->c->distract[rung_rng_below(&w->r, (uint64_t)w->c->n_distract)];
}

static void solve_line(rung_buf *doc, writer *w, chain_op op) {
    if (w->w != w->truth && chance(&w->r, w->repair)) w->w = w->truth;
    int64_t a = w->w, b = draw_operand(w, op, w->distract), c = chain_apply(a, op.o, b);
    if (chain_is_hard(a, op.o, b) && chance(&w->r, w->misconception)) {
        c = forget(op.o, c);
    } else if (chance(&w->r, w->slip)) {
        c = slip_digit(&w->r, c);
    }
    rung_buf_printf(doc, "%lld%c%lld=%lld\n", (long long)a, op.o, (long long)b, (long long)c);
    w->w = c;
    w->truth = chain_apply(w->truth, op.o, op.b);
}

static void solve(rung_buf *doc, writer *w) {
    for (int32_t t = 0; t < w->c->n; t++) solve_line(doc, w, w->c->op[t]);
    rung_buf_printf(doc, "#### %lld\n", (long long)w->w);
}

/* Half of the wrong lines slip a digit, half are off by the ten of a carry or borrow, at hard and
 * at easy operations alike: only the arithmetic tells. */
static int64_t spoil(writer *w, char o, int64_t c) {
    bool ten = chance(&w->r, 0.5);
    int64_t off = o == 'x' && chance(&w->r, 0.5) ? c + 10 : forget(o, c);
    return ten && off >= 0 ? off : slip_digit(&w->r, c);
}

static const char *verdict(bool holds) {
    return holds ? "<+>" : "<->";
}

static void check_line(rung_buf *doc, writer *w, chain_op op) {
    if (w->w != w->truth && chance(&w->r, CHECK_RESTART)) w->w = w->truth;
    int64_t a = w->w, b = draw_operand(w, op, CHECK_DISTRACT), c = chain_apply(a, op.o, b);
    bool holds = !chance(&w->r, CHECK_ERROR);
    int64_t said = holds ? c : spoil(w, op.o, c);
    rung_buf_printf(doc, "%lld%c%lld=%lld\n%s", (long long)a, op.o, (long long)b, (long long)said,
                    verdict(holds));
    w->w = said;
    w->truth = chain_apply(w->truth, op.o, op.b);
}

static void check(rung_buf *doc, writer *w) {
    for (int32_t t = 0; t < w->c->n; t++) check_line(doc, w, w->c->op[t]);
    bool holds = !chance(&w->r, CHECK_ERROR);
    rung_buf_printf(doc, "#### %lld\n%s", (long long)(holds ? w->w : slip_digit(&w->r, w->w)),
                    verdict(holds));
}

/* Any other number of 0..99. */
static int64_t wrong_any(writer *w, int64_t v) {
    int64_t c = (int64_t)rung_rng_below(&w->r, 99);
    return c + (c >= v);
}

/* Lines that do not hang together, no problem before them: per token of text three to four times
 * the verdicts of a checked solution, and nothing but arithmetic to tell by. */
static void check_bare(rung_buf *doc, writer *w, chain_opts co) {
    co.steps_min = co.steps_max = 1;
    for (int t = 0; t < BARE_LINES; t++) {
        chain c;
        chain_draw(&c, &w->r, &co);
        int64_t a = c.start, v = chain_apply(a, c.op[0].o, c.op[0].b);
        bool holds = !chance(&w->r, CHECK_ERROR), same = chance(&w->r, BARE_SAME);
        if (same) v = a;
        int64_t said = holds                     ? v
                       : chance(&w->r, BARE_ANY) ? wrong_any(w, v)
                                                 : spoil(w, c.op[0].o, v);
        rung_buf_printf(doc, "%lld", (long long)a);
        if (!same) rung_buf_printf(doc, "%c%d", c.op[0].o, c.op[0].b);
        rung_buf_printf(doc, "=%lld\n%s", (long long)said, verdict(holds));
    }
}

/* Address of document i: column 0 its kind, world and writer; column 1 + attempt its problem. */
rung_corpus_kind rung_corpus_kind_at(const rung_corpus_opts *o, uint64_t i) {
    static const rung_corpus_opts dflt = RUNG_CORPUS_OPTS_INIT;
    if (!o) o = &dflt;
    rung_rng r = rung_rng_at(o->seed, RUNG_STREAM_CORPUS, i, 0);
    double share = o->share_check < 0 ? 0.3 : o->share_check;
    return rung_rng_f64_at(&r, 0) < share ? RUNG_CORPUS_CHECK : RUNG_CORPUS_SOLVE;
}

static rung_status pick_world(const world_impl **out, rung_rng *r, const char *names,
                              rung_error *err) {
    const world_impl *w[16];
    size_t n = 0;
    if (!names || !*names) {
        for (; n < 16 && world_impl_at(n); n++) w[n] = world_impl_at(n);
    }
    for (const char *p = names ? names : ""; *p;) {
        size_t len = strcspn(p, ",");
        const world_impl *found = world_impl_find(p, len);
        if (!found || n == 16) {
            rung_fail(err, RUNG_E_NOT_FOUND, "no world \"%.*s\"", (int)len, p);
            return rung_error_hint(err, "worlds: total, word; write them as total,word");
        }
        w[n++] = found;
        p += len;
        if (*p == ',') p++;
    }
    *out = w[rung_rng_below(r, n)];
    return RUNG_OK;
}

static void draw_problem(chain *c, rung_buf *prompt, const world_impl *w, const chain_opts *co,
                         uint64_t i) {
    size_t at = prompt->n;
    for (uint64_t attempt = 1;; attempt++) {
        rung_rng r = rung_rng_at(co->seed, RUNG_STREAM_CORPUS, i, attempt);
        chain_draw(c, &r, co);
        w->question(prompt, c, &r);
        if (prompt->failed ||
            rung_world_bucket(prompt->data + at, prompt->n - at) > WORLD_BUCKET_VAL)
            return;
        prompt->n = at; /* a held-out question: another one */
    }
}

rung_status rung_corpus_make(rung_buf *prompt, rung_buf *doc, const rung_corpus_opts *o, uint64_t i,
                             rung_error *err) {
    static const rung_corpus_opts dflt = RUNG_CORPUS_OPTS_INIT;
    if (!o) o = &dflt;
    if (!(o->share_check <= 1 && o->slip <= 1 && o->repair <= 1 && o->misconception <= 1 &&
          o->hard <= 1 && o->distract <= 1 && o->bare <= 1))
        return rung_fail(err, RUNG_E_INVAL, "corpus options: every share must be at most 1");
    bool checking = rung_corpus_kind_at(o, i) == RUNG_CORPUS_CHECK;
    writer w = {.r = rung_rng_at(o->seed, RUNG_STREAM_CORPUS, i, 0),
                .repair = o->repair < 0 ? 0.1 : o->repair,
                .misconception = o->misconception < 0 ? 0.6 : o->misconception,
                .distract = o->distract > 0   ? o->distract
                            : o->distract < 0 ? 0.0
                                              : 0.03};
    (void)rung_rng_f64(&w.r); /* draw 0 was the kind */
    const world_impl *world = NULL;
    RUNG_TRY(pick_world(&world, &w.r, o->worlds, err));
    chain_opts co;
    RUNG_TRY(chain_opts_fill(&co, NULL, world->steps_min, world->steps_max, err));
    co.seed = o->seed;
    if (checking) co.hard = CHECK_HARD;
    if (!checking && o->hard > 0) co.hard = o->hard;
    if (checking && chance(&w.r, o->bare < 0 ? 0.5 : o->bare)) {
        check_bare(doc, &w, co);
        return rung_buf_check(doc, err);
    }
    chain c;
    draw_problem(&c, prompt, world, &co, i);
    w.c = &c;
    w.w = w.truth = c.start;
    w.slip = o->slip < 0 ? SLIP_RATES[rung_rng_below(&w.r, N_SLIP_RATES)] : o->slip;
    if (checking) {
        check(doc, &w);
    } else {
        solve(doc, &w);
    }
    RUNG_TRY(rung_buf_check(prompt, err));
    return rung_buf_check(doc, err);
}
