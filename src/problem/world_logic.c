/* World `logic`: facts, a hypothesis, and the chain of deductions that proves it, disproves it, or
 * leaves it open; the exact checker of any proof; proofs with planted errors. */
#include "problem/world_logic.h"
#include "base/json.h"
#include "problem/logic_exact.h"
#include "rung/planted.h"
#include <stdio.h>
#include <string.h>

enum {
    LOGIC_STEPS_DEFAULT_MIN = 3,
    LOGIC_STEPS_DEFAULT_MAX = 6,
    LOGIC_STEPS_MAX = 24,
    FACTS_MAX = 64,
    TEXT_MAX = 160,
    REFS_MAX = 3,
    COLUMN_LOGIC = 102,    /* of the draws: worlds that are no chains begin at 100 */
    COLUMN_PLANTED = 1000, /* + j */
    PLANT_TRIES = 40
};
#define NOT_SIGN "\xc2\xac"

typedef struct literal {
    bool neg;
    int pred, thing;
} literal;
typedef struct deduction {
    int ref[REFS_MAX]; /* >= 0: a fact; < 0: step -1 - ref */
    int n_refs;
    char to[TEXT_MAX];
} deduction;
typedef struct logic {
    char fact[FACTS_MAX][TEXT_MAX];
    int n_facts, place[FACTS_MAX]; /* place: the number a fact has in the question, from 1 */
    deduction step[LOGIC_STEPS_MAX + 1];
    int n_steps;
    char hypothesis[TEXT_MAX];
    const char *label;
    int name[128], n_preds; /* of predicates, shuffled */
    int at;                 /* ref of what the chain has come to */
    literal cur;
} logic;

/* A, B, .. Z, AA, AB, .. */
static void put_name(char out[4], int k) {
    if (k < 26)
        snprintf(out, 4, "%c", 'A' + k);
    else
        snprintf(out, 4, "%c%c", 'A' + (k - 26) / 26 % 26, 'A' + (k - 26) % 26);
}

/* of: 'x' for the variable, else the literal's thing. */
static void put_literal(char out[32], const logic *l, literal a, bool flip, bool variable) {
    char name[4];
    put_name(name, l->name[a.pred]);
    if (variable)
        snprintf(out, 32, "%s{%s}x", a.neg != flip ? NOT_SIGN : "", name);
    else
        snprintf(out, 32, "%s{%s}{%c}", a.neg != flip ? NOT_SIGN : "", name, 'a' + a.thing);
}

static literal fresh(logic *l, rung_rng *r, int thing) {
    return (literal){rung_rng_f64(r) < 0.3, l->n_preds++, thing};
}

static int add_fact(logic *l, const char *text) {
    snprintf(l->fact[l->n_facts], TEXT_MAX, "%s", text);
    return l->n_facts++;
}

static void add_step(logic *l, int a, int b, const char *to) {
    deduction *d = &l->step[l->n_steps];
    d->ref[0] = a;
    d->ref[1] = b;
    d->n_refs = b == FACTS_MAX ? 1 : 2;
    snprintf(d->to, TEXT_MAX, "%s", to);
    l->at = -1 - l->n_steps++;
}

/* One more link; the steps it takes are at most `room`. */
static void link_on(logic *l, rung_rng *r, int room) {
    char cur[32], cur_not[32], next[32], next_not[32], cur_x[32], next_x[32], extra[32];
    char text[TEXT_MAX];
    literal n = fresh(l, r, l->cur.thing);
    put_literal(cur, l, l->cur, false, false);
    put_literal(cur_not, l, l->cur, true, false);
    put_literal(cur_x, l, l->cur, false, true);
    put_literal(next, l, n, false, false);
    put_literal(next_not, l, n, true, false);
    put_literal(next_x, l, n, false, true);
    switch (rung_rng_below(r, room >= 2 ? 7 : 5)) {
    case 0: /* modus ponens */
        snprintf(text, sizeof text, "%s -> %s", cur, next);
        add_step(l, add_fact(l, text), l->at, next);
        break;
    case 1: /* of all things */
        snprintf(text, sizeof text, "(x): %s -> %s", cur_x, next_x);
        add_step(l, add_fact(l, text), l->at, next);
        break;
    case 2: /* modus tollens */
        snprintf(text, sizeof text, "%s -> %s", next_not, cur_not);
        add_step(l, add_fact(l, text), l->at, next);
        break;
    case 3: /* one of two */
        snprintf(text, sizeof text, "%s v %s", cur_not, next);
        add_step(l, add_fact(l, text), l->at, next);
        break;
    case 4: /* there is one */
        snprintf(text, sizeof text, "((Ex): %s) -> %s", cur_x, next);
        add_step(l, add_fact(l, text), l->at, next);
        break;
    case 5: /* both, then one of them */
        put_literal(extra, l, fresh(l, r, l->cur.thing), false, false);
        snprintf(text, sizeof text, "%s -> (%s & %s)", cur, next, extra);
        int f = add_fact(l, text);
        snprintf(text, sizeof text, "%s & %s", next, extra);
        add_step(l, f, l->at, text);
        add_step(l, l->at, FACTS_MAX, next);
        break;
    default: /* one more, then from both */
        put_literal(extra, l, fresh(l, r, l->cur.thing), false, false);
        int e = add_fact(l, extra);
        snprintf(text, sizeof text, "%s & %s", cur, extra);
        add_step(l, l->at, e, text);
        snprintf(text, sizeof text, "(%s & %s) -> %s", cur, extra, next);
        add_step(l, add_fact(l, text), l->at, next);
    }
    l->cur = n;
}

/* Facts that lead nowhere: their premises are fresh, so that nothing follows from them alone. */
static void distract(logic *l, rung_rng *r, int n) {
    char a[32], b[32], text[TEXT_MAX];
    for (int k = 0; k < n; k++) {
        literal from = fresh(l, r, (int)rung_rng_below(r, 2));
        literal to = {rung_rng_f64(r) < 0.3, (int)rung_rng_below(r, (uint64_t)l->n_preds), 0};
        to.thing = from.thing;
        put_literal(a, l, from, false, false);
        put_literal(b, l, to, false, false);
        snprintf(text, sizeof text, "%s -> %s", a, b);
        add_fact(l, text);
    }
}

static void hypothesize(logic *l, rung_rng *r) {
    char text[32], from[32], fact[TEXT_MAX];
    switch (rung_rng_below(r, 3)) {
    case 0:
        l->label = "PROVED";
        put_literal(text, l, l->cur, false, false);
        snprintf(l->step[l->n_steps - 1].to, TEXT_MAX, "hypothesis");
        break;
    case 1:
        l->label = "DISPROVED";
        put_literal(text, l, l->cur, true, false);
        snprintf(l->step[l->n_steps - 1].to, TEXT_MAX, NOT_SIGN "hypothesis");
        break;
    default: /* it hangs on what nothing says */
        l->label = "UNKNOWN";
        put_literal(from, l, fresh(l, r, l->cur.thing), false, false);
        put_literal(text, l, fresh(l, r, l->cur.thing), false, false);
        snprintf(fact, sizeof fact, "%s -> %s", from, text);
        add_fact(l, fact);
    }
    snprintf(l->hypothesis, TEXT_MAX, "%s", text);
}

static rung_status draw(logic *l, const rung_world_opts *o, uint64_t i, rung_error *err) {
    int32_t lo = o && o->steps_min > 0 ? o->steps_min : LOGIC_STEPS_DEFAULT_MIN;
    int32_t hi = o && o->steps_max > 0          ? o->steps_max
                 : lo > LOGIC_STEPS_DEFAULT_MAX ? lo
                                                : LOGIC_STEPS_DEFAULT_MAX;
    if (lo > hi && !(o && o->steps_min > 0)) lo = hi;
    if (lo > hi || hi > LOGIC_STEPS_MAX)
        return rung_fail(err, RUNG_E_INVAL, "world steps %d..%d: need 1 <= min <= max <= %d", lo,
                         hi, LOGIC_STEPS_MAX);
    if (o && (o->max > 0 || o->operand_max > 0 || o->hard >= 0))
        return rung_fail(err, RUNG_E_INVAL, "world logic has no totals and no hard operations");
    rung_rng r = rung_rng_at(o ? o->seed : 0, RUNG_STREAM_WORLD, i, COLUMN_LOGIC);
    char text[32];
    uint32_t names[128], order[FACTS_MAX];
    memset(l, 0, sizeof *l);
    for (uint32_t k = 0; k < 128; k++) names[k] = k;
    rung_rng_shuffle(&r, names, 128);
    for (int k = 0; k < 128; k++) l->name[k] = (int)names[k];
    int n_steps = (int)rung_rng_between(&r, lo, hi);
    l->cur = fresh(l, &r, (int)rung_rng_below(&r, 2));
    put_literal(text, l, l->cur, false, false);
    l->at = add_fact(l, text);
    while (l->n_steps < n_steps) link_on(l, &r, n_steps - l->n_steps);
    hypothesize(l, &r);
    distract(l, &r, (int)rung_rng_between(&r, 2, 4));
    for (uint32_t k = 0; k < (uint32_t)l->n_facts; k++) order[k] = k;
    rung_rng_shuffle(&r, order, (uint32_t)l->n_facts);
    for (int k = 0; k < l->n_facts; k++) l->place[order[k]] = k + 1;
    return RUNG_OK;
}

static const char *fact_at(const logic *l, int place) {
    for (int k = 0; k < l->n_facts; k++)
        if (l->place[k] == place) return l->fact[k];
    return "";
}

static void put_step(rung_buf *out, const logic *l, const deduction *d, int n) {
    for (int k = 0; k < d->n_refs; k++) {
        if (k > 0) rung_buf_str(out, " & ");
        if (d->ref[k] >= 0)
            rung_buf_printf(out, "fact%d", l->place[d->ref[k]]);
        else
            rung_buf_printf(out, "int%d", -d->ref[k]);
    }
    if (strstr(d->to, "hypothesis"))
        rung_buf_printf(out, " -> %s;\n", d->to);
    else
        rung_buf_printf(out, " -> int%d: %s;\n", n + 1, d->to);
}

rung_status logic_make(rung_buf *question, rung_buf *answer, rung_buf *solution, rung_buf *meta,
                       const rung_world_opts *o, uint64_t i, rung_error *err) {
    logic l;
    RUNG_TRY(draw(&l, o, i, err));
    rung_buf_printf(meta,
                    "{\"v\":1,\"world\":\"logic\",\"seed\":%llu,\"i\":%llu,\"steps\":[%d,%d],"
                    "\"answer\":\"%s\",",
                    (unsigned long long)(o ? o->seed : 0), (unsigned long long)i,
                    o ? o->steps_min : 0, o ? o->steps_max : 0, l.label);
    rung_buf_str(meta, "\"facts\":[");
    for (int k = 1; k <= l.n_facts; k++) {
        rung_buf_printf(question, "fact%d: %s\n", k, fact_at(&l, k));
        if (k > 1) rung_buf_str(meta, ",");
        rung_buf_json_str(meta, fact_at(&l, k), strlen(fact_at(&l, k)));
    }
    rung_buf_str(meta, "],\"hypothesis\":");
    rung_buf_json_str(meta, l.hypothesis, strlen(l.hypothesis));
    rung_buf_str(meta, "}");
    rung_buf_printf(question, "hypothesis: %s\n", l.hypothesis);
    rung_buf_str(answer, l.label);
    for (int k = 0; k < l.n_steps; k++) put_step(solution, &l, &l.step[k], k);
    rung_buf_printf(solution, "The final answer is %s\n", l.label);
    RUNG_TRY(rung_buf_check(question, err));
    RUNG_TRY(rung_buf_check(answer, err));
    RUNG_TRY(rung_buf_check(solution, err));
    return rung_buf_check(meta, err);
}

/* ---- the exact checker */

typedef struct checker {
    theory t;
    formula_names names;
    char answer[16];
    bool closed; /* the label was given */
} checker;

static bool define(checker *c, const char *name, const char *text) {
    int32_t f = fld_parse(&c->t, NULL, text, strlen(text));
    return f >= 0 && formula_names_set(&c->names, name, strlen(name), f);
}

static bool ends_with_label(const char *p, size_t n, const char *answer) {
    static const char head[] = "The final answer is ";
    size_t k = sizeof head - 1, m = strlen(answer);
    return n == k + m && memcmp(p, head, k) == 0 && memcmp(p + k, answer, m) == 0;
}

/* Is the line right by itself? Whatever is no step of a proof is wrong. */
static bool line_right(checker *c, const char *p, size_t n) {
    while (n > 0 && (unsigned char)*p <= ' ') p++, n--;
    while (n > 0 && ((unsigned char)p[n - 1] <= ' ' || p[n - 1] == ';')) n--;
    if (c->closed) return false;
    if (n >= 9 && memcmp(p, "The final", 9) == 0) {
        c->closed = true;
        return ends_with_label(p, n, c->answer);
    }
    const char *arrow = memmem(p, n, " -> ", 4);
    if (!arrow) return false;
    const char *to = arrow + 4, *end = p + n, *name = to;
    size_t n_name = 0;
    if (end - to > 4 && memcmp(to, "int", 3) == 0) {
        const char *q = to + 3;
        while (q < end && *q >= '0' && *q <= '9') q++;
        if (q < end && *q == ':') {
            n_name = (size_t)(q - to);
            to = q + 1;
        }
    }
    int32_t premise = fld_parse(&c->t, &c->names, p, (size_t)(arrow - p));
    int32_t goal = fld_parse(&c->t, &c->names, to, (size_t)(end - to));
    if (goal >= 0 && n_name > 0) formula_names_set(&c->names, name, n_name, goal);
    return premise >= 0 && goal >= 0 && exact_follows(&c->t, premise, goal) == EXACT_YES;
}

static void checker_clear(checker *c) {
    theory_clear(&c->t);
    formula_names_clear(&c->names);
}

static rung_status checker_from_meta(checker *c, const char *meta, rung_error *err) {
    const char *text = meta ? meta : "";
    char *in = (char *)(uintptr_t)text; /* only read: no INSITU flag */
    yyjson_doc *doc = yyjson_read_opts(in, strlen(text), 0, &rung_json_alc, NULL);
    yyjson_val *root = yyjson_doc_get_root(doc), *facts = yyjson_obj_get(root, "facts"), *f;
    const char *world = rung_json_str(root, "world", ""),
               *h = rung_json_str(root, "hypothesis", NULL);
    const char *answer = rung_json_str(root, "answer", "");
    size_t k, n;
    bool ok = strcmp(world, "logic") == 0 && yyjson_is_arr(facts) && h;
    memset(c, 0, sizeof *c);
    theory_init(&c->t);
    snprintf(c->answer, sizeof c->answer, "%s", answer);
    yyjson_arr_foreach(facts, k, n, f) {
        char name[32];
        snprintf(name, sizeof name, "fact%zu", k + 1);
        ok = ok && yyjson_is_str(f) && define(c, name, yyjson_get_str(f));
    }
    ok = ok && define(c, "hypothesis", h);
    yyjson_doc_free(doc);
    if (ok) return RUNG_OK;
    checker_clear(c);
    rung_fail(err, RUNG_E_FORMAT, "problem meta is not world logic's");
    return rung_error_detail(err, "%.200s", text);
}

rung_status logic_first_error(int32_t *out, const char *meta, const char *const *step,
                              const int32_t *n_bytes, int32_t n, rung_error *err) {
    checker *c = rung_calloc(1, sizeof *c);
    if (n < 0 || (n > 0 && (!step || !n_bytes))) {
        rung_free(c);
        return rung_fail(err, RUNG_E_INVAL, "first_error: no steps given");
    }
    if (!c) return rung_fail(err, RUNG_E_NOMEM, "no memory for the checker");
    rung_status st = checker_from_meta(c, meta, err);
    *out = -1;
    for (int32_t i = 0; i < n && st == RUNG_OK && *out < 0; i++)
        if (!line_right(c, step[i], n_bytes[i] > 0 ? (size_t)n_bytes[i] : 0)) *out = i;
    if (st == RUNG_OK) checker_clear(c);
    rung_free(c);
    return st;
}

/* ---- planted errors */

static void spoil(deduction *d, const logic *l, rung_rng *r) {
    char to[TEXT_MAX];
    literal other = {rung_rng_f64(r) < 0.5, (int)rung_rng_below(r, (uint64_t)l->n_preds),
                     (int)rung_rng_below(r, 2)};
    switch (rung_rng_below(r, 4)) {
    case 0: /* the opposite */
        snprintf(to, sizeof to, NOT_SIGN "(%.80s)", d->to);
        snprintf(d->to, TEXT_MAX, "%s", to);
        break;
    case 1: /* something else */ put_literal(d->to, l, other, false, false); break;
    case 2: /* from another fact */
        d->ref[rung_rng_below(r, (uint64_t)d->n_refs)] =
            (int)rung_rng_below(r, (uint64_t)l->n_facts);
        break;
    default: /* from less */
        if (d->n_refs > 1) d->ref[0] = d->ref[--d->n_refs];
    }
}

/* The line of d as number n; its truth, with what the lines before it defined. */
static bool write_line(rung_buf *row, checker *c, const logic *l, const deduction *d, int n) {
    rung_buf_reset(row);
    put_step(row, l, d, n);
    return !row->failed && line_right(c, row->data, row->n);
}

static rung_status planted_lines(rung_buf *trace, rung_planted *out, checker *c, const logic *l,
                                 rung_rng *r, double slip, rung_error *err) {
    rung_buf line;
    rung_buf_init(&line, 4096);
    for (int k = 0; k < l->n_steps; k++) {
        bool plant = rung_rng_f64(r) < slip, right = false;
        deduction d = l->step[k];
        if (plant) {
            for (int tries = 0; tries < PLANT_TRIES; tries++) {
                d = l->step[k];
                spoil(&d, l, r);
                right = write_line(&line, c, l, &d, k);
                if (!right) break;
            }
            if (right) d = l->step[k];
        }
        if (!plant || right) right = write_line(&line, c, l, &d, k);
        out->planted[k] = plant && !right;
        out->right[k] = right;
        rung_buf_append(trace, line.data, line.n);
    }
    rung_status st = rung_buf_check(&line, err);
    rung_buf_clear(&line);
    return st;
}

rung_status rung_logic_planted(rung_buf *trace, rung_planted *out, const rung_world_opts *o,
                               uint64_t i, uint64_t j, double slip, rung_error *err) {
    static const char *const labels[] = {"PROVED", "DISPROVED", "UNKNOWN"};
    logic l;
    rung_buf b[4];
    memset(out, 0, sizeof *out);
    RUNG_TRY(draw(&l, o, i, err));
    checker *c = rung_calloc(1, sizeof *c);
    if (!c) return rung_fail(err, RUNG_E_NOMEM, "no memory for the checker");
    for (int k = 0; k < 4; k++) rung_buf_init(&b[k], 1 << 20);
    rung_status st = logic_make(&b[0], &b[1], &b[2], &b[3], o, i, err);
    if (st == RUNG_OK) st = checker_from_meta(c, b[3].data, err);
    if (st == RUNG_OK) {
        rung_rng r = rung_rng_at(o ? o->seed : 0, RUNG_STREAM_WORLD, i, COLUMN_PLANTED + j);
        st = planted_lines(trace, out, c, &l, &r, slip, err);
        const char *label = l.label;
        bool plant = rung_rng_f64(&r) < slip;
        while (plant && strcmp(label, l.label) == 0) label = labels[rung_rng_below(&r, 3)];
        rung_buf_printf(trace, "The final answer is %s\n", label);
        out->right[l.n_steps] = !plant;
        out->planted[l.n_steps] = plant;
        out->n_steps = l.n_steps + 1;
        checker_clear(c);
    }
    out->first_error = -1;
    for (int k = out->n_steps - 1; k >= 0; k--)
        if (!out->right[k]) out->first_error = k;
    for (int k = 0; k < 4; k++) rung_buf_clear(&b[k]);
    rung_free(c);
    return st == RUNG_OK ? rung_buf_check(trace, err) : st;
}

/* The problem is drawn again from what its meta says of it; one that is not the same by that is
 * another's. */
rung_status logic_plant(rung_buf *trace, struct rung_planted *out, const char *meta, uint64_t j,
                        double slip, rung_error *err) {
    const char *text = meta ? meta : "";
    yyjson_doc *doc =
        yyjson_read_opts((char *)(uintptr_t)text, strlen(text), 0, &rung_json_alc, NULL);
    yyjson_val *root = yyjson_doc_get_root(doc), *steps = yyjson_obj_get(root, "steps");
    rung_world_opts o = RUNG_WORLD_OPTS_INIT;
    uint64_t i = yyjson_get_uint(yyjson_obj_get(root, "i"));
    rung_buf b[4];
    o.seed = yyjson_get_uint(yyjson_obj_get(root, "seed"));
    o.steps_min = (int32_t)yyjson_get_int(yyjson_arr_get(steps, 0));
    o.steps_max = (int32_t)yyjson_get_int(yyjson_arr_get(steps, 1));
    yyjson_doc_free(doc);
    for (int k = 0; k < 4; k++) rung_buf_init(&b[k], 1 << 20);
    rung_status st = logic_make(&b[0], &b[1], &b[2], &b[3], &o, i, err);
    if (st == RUNG_OK && strcmp(b[3].data, text) != 0) {
        st = rung_fail(err, RUNG_E_FORMAT, "problem meta is not world logic's");
        rung_error_detail(err, "%.200s", text);
    }
    for (int k = 0; k < 4; k++) rung_buf_clear(&b[k]);
    return st == RUNG_OK ? rung_logic_planted(trace, out, &o, i, j, slip, err) : st;
}
