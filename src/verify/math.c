/* The verdicts of "math".
 *
 * An answer is read as the first of: a number as people write it (number.c), a choice letter, plain
 * words, a time, a date, an expression (parse.c); what is none of these is compared as normalised
 * text. CORRECT when the canonical keys are equal or the two are shown to be equal; WRONG only when
 * they are shown to differ; else UNKNOWN. Percent, cents and scale words are read as the number
 * before them ("50%" is 50, "2 million" 2000000); where the other reading would match, the verdict
 * is UNKNOWN and never WRONG. */
#include "verify/answer.h"
#include "verify/form.h"
#include <stdio.h>
#include <string.h>

typedef struct answer {
    answer_class kind;
    number x;
    char variable;    /* of "x = 5" */
    const char *text; /* as given, n_text bytes; borrowed */
    size_t n_text;
    bool has_unit;
    unit u;
    expr *tree; /* CLASS_TREE, CLASS_STRING (its error) */
    form form;
    char key[128];
} answer;

void key_set(char key[128], char mark, const char *text, size_t n) {
    if (n + 3 <= 128) {
        snprintf(key, 128, "%c:%.*s", mark, (int)n, text);
    } else {
        char hash[33];
        rung_hash_hex(hash, text, n);
        snprintf(key, 128, "%c#%s", mark, hash);
    }
}

static char choice_letter(const char *s) {
    if (s[0] == '(' && s[1] >= 'A' && s[1] <= 'E' && strcmp(s + 2, ")") == 0) return s[1];
    return s[0] >= 'A' && s[0] <= 'E' && s[1] == '\0' ? s[0] : '\0';
}

static void number_key(answer *a) {
    char num[BIG_DIGITS_MAX], den[BIG_DIGITS_MAX], text[2 * BIG_DIGITS_MAX + 4];
    (void)big_print(num, sizeof num, &a->x.num);
    (void)big_print(den, sizeof den, &a->x.den);
    int n = snprintf(text, sizeof text, "%s%s/%s", a->x.neg ? "-" : "", num, den);
    key_set(a->key, 'q', text, (size_t)n);
}

size_t visible(const char **text) {
    while (**text && (unsigned char)**text <= ' ') (*text)++;
    size_t n = strlen(*text);
    while (n > 0 && (unsigned char)(*text)[n - 1] <= ' ') n--;
    return n;
}

/* Words and no formula: one of at least three letters ("ab", "p-q" are formulas), or "no". */
static bool worded(const tidy *t, const char *canon) {
    size_t run = 0, longest = 0;
    if (!plain_words(t->text, t->n)) return false;
    for (const char *p = t->text; *p; p++) {
        run = *p == ' ' || *p == '-' || *p == '\'' ? 0 : run + 1;
        if (run > longest) longest = run;
    }
    if (strcmp(canon, "infinity") == 0) return false;
    return longest > 2 || strcmp(canon, "no") == 0;
}

static void classify_tree(answer *a, work *w, const char *text, size_t n) {
    char plain[ANSWER_BYTES_MAX + 16];
    a->tree = rung_alloc(sizeof *a->tree);
    n = other_spelling(plain, text, n);
    if (!a->tree || !form_make(&a->form, a->tree, w, plain, n)) return;
    rung_buf b;
    rung_buf_init(&b, 1 << 18);
    form_key(&b, &a->form, w);
    if (!b.failed && b.n > 0) {
        a->kind = CLASS_TREE;
        if (b.n < sizeof a->key) {
            memcpy(a->key, b.data, b.n + 1);
        } else {
            char hash[33];
            rung_hash_hex(hash, b.data, b.n);
            snprintf(a->key, sizeof a->key, "%c#%s", b.data[0], hash);
        }
        a->has_unit = a->form.has_unit;
        a->u = a->form.u;
        if (a->form.variable[0] && !a->form.variable[1]) a->variable = a->form.variable[0];
    }
    rung_buf_clear(&b);
}

/* A clock or a date stands in text, with or without \text. */
static bool time_or_date(answer *a, const char *text) {
    static const char *const drop[] = {"\\text{", "\\mathrm{", "\\textrm{", "\\mbox{", "\\,", "\\ ",
                                       "\\:",     "{",         "}",         "$",       "\\"};
    char plain[64], key[32];
    size_t n = 0;
    while (*text && n + 1 < sizeof plain) {
        size_t k = 0;
        while (k < sizeof drop / sizeof *drop && strncmp(text, drop[k], strlen(drop[k])) != 0) k++;
        bool dropped = k < sizeof drop / sizeof *drop;
        if (dropped) text += strlen(drop[k]);
        char c = dropped ? ' ' : *text++;
        if (c == '\n' || c == '\t') c = ' ';
        if (c == ' ' && (n == 0 || plain[n - 1] == ' ')) continue;
        plain[n++] = c;
    }
    if (*text) return false; /* longer than any clock or date */
    while (n > 0 &&
           (plain[n - 1] == ' ' || (plain[n - 1] == '.' && (n < 2 || plain[n - 2] != 'm'))))
        n--;
    plain[n] = '\0';
    bool time = time_read(key, plain);
    if (!time && !date_read(key, plain)) return false;
    a->kind = time ? CLASS_TIME : CLASS_DATE;
    key_set(a->key, time ? 't' : 'd', key, strlen(key));
    return true;
}

static void classify(answer *a, work *w, const char *text) {
    tidy t;
    char canon[CANON_MAX + 1];
    memset(a, 0, offsetof(answer, form));
    a->key[0] = '\0';
    size_t n = visible(&text);
    if (n == 0) return;
    a->text = text;
    a->n_text = n;
    a->kind = CLASS_STRING;
    if (!tidy_make(&t, text)) {
        key_set(a->key, 'r', text, n); /* too long to read: raw text */
        return;
    }
    canon_string(canon, &t);
    bool dots = strstr(text, "...") || strstr(text, "dots"); /* 0.333... goes on */
    if (time_or_date(a, text)) {
    } else if (!dots && number_parse(&a->x, &t)) {
        a->kind = CLASS_NUMBER;
        a->variable = t.variable;
        a->has_unit = a->x.phrase[0] && unit_read(&a->u, a->x.phrase, strlen(a->x.phrase));
        if (!a->x.phrase[0] && t.money) a->has_unit = unit_read(&a->u, "dollar", 6);
        number_key(a);
    } else if (choice_letter(canon)) {
        a->kind = CLASS_CHOICE;
        key_set(a->key, 'c', (char[]){choice_letter(canon)}, 1);
    } else if (canon[0] && worded(&t, canon)) {
        a->kind = CLASS_TEXT;
        key_set(a->key, 's', canon, strlen(canon));
    } else {
        classify_tree(a, w, text, n);
    }
    if (a->key[0]) return;
    if (canon[0]) {
        key_set(a->key, 's', canon, strlen(canon));
    } else {
        key_set(a->key, 'r', text, n); /* nothing but marks */
    }
}

/* |a - b| = num / den; false on overflow. */
static bool difference(big *num, big *den, const number *a, const number *b) {
    big ad, bd;
    if (!big_mul(&ad, &a->num, &b->den) || !big_mul(&bd, &b->num, &a->den) ||
        !big_mul(den, &a->den, &b->den))
        return false;
    if (a->neg != b->neg) return big_add(num, &ad, &bd);
    if (big_cmp(&ad, &bd) >= 0) {
        big_sub(num, &ad, &bd);
    } else {
        big_sub(num, &bd, &ad);
    }
    return true;
}

/* Is the decimal d, written with ten digits or more, x up to 1e-9? That is a computed value's
 * noise. A shorter decimal is a number of its own: 0.33 is not 1/3. */
static bool rounds(const number *d, const number *x) {
    big num, den;
    if (d->n_frac < 10 || !difference(&num, &den, d, x)) return false;
    for (int digits = 0; digits < 9; digits++)
        if (!big_mul_add(&num, 10, 0)) return false;
    return big_cmp(&num, &den) <= 0;
}

/* a = b x scale? */
static bool scales(const number *a, const number *b, uint32_t scale) {
    big l, r;
    if (scale == 1 || a->neg != b->neg) return false;
    if (!big_mul(&l, &a->num, &b->den) || !big_mul(&r, &b->num, &a->den)) return false;
    return big_mul_add(&r, scale, 0) && big_cmp(&l, &r) == 0;
}

/* Why two different numbers may still be the same answer; NULL: they are not. */
static const char *doubt(const number *a, const number *b) {
    if (a->scale != b->scale && (scales(a, b, a->scale) || scales(b, a, a->scale) ||
                                 scales(a, b, b->scale) || scales(b, a, b->scale)))
        return "equal up to percent, cents or a scale word";
    if (a->unit[0] && b->unit[0] && strcmp(a->unit, b->unit) != 0) return "units differ";
    if (rounds(a, b) || rounds(b, a)) return "equal up to rounding";
    return NULL;
}

void check_set(rung_check *out, rung_verdict v, const char *rule, const char *reason) {
    *out = (rung_check){v, rule, reason};
}

static void from_decision(rung_check *out, decision d) {
    if (d.verdict == RUNG_VERDICT_UNKNOWN && !d.reason[0]) d.reason = "not decided";
    check_set(out, d.verdict, d.rule, d.reason);
}

/* ---- units ---- */

static bool big_to_fmpq(fmpq_t q, const number *x) {
    char num[BIG_DIGITS_MAX + 16], den[BIG_DIGITS_MAX + 16];
    if (!big_print(num, sizeof num, &x->num) || !big_print(den, sizeof den, &x->den)) return false;
    fmpz_set_str(fmpq_numref(q), num, 10);
    fmpz_set_str(fmpq_denref(q), den, 10);
    if (x->neg) fmpq_neg(q, q);
    return true;
}

/* The exact value of an answer that is one rational number. */
static bool rational_value(fmpq_t q, answer *a, work *w) {
    if (a->kind == CLASS_NUMBER) return big_to_fmpq(q, &a->x);
    if (a->kind != CLASS_TREE) return false;
    gauss g;
    gauss_init(&g);
    bool ok = gauss_eval(&g, w, a->tree, a->form.root, NULL) == VALUE_OK && fmpq_is_zero(g.im);
    if (ok) fmpq_set(q, g.re);
    gauss_clear(&g);
    return ok;
}

/* Beside a unit, "0.12 m" is metres and no product of a number and a letter. */
static void read_unit(answer *a) {
    char head[ANSWER_BYTES_MAX];
    tidy t;
    if (a->kind != CLASS_TREE || a->has_unit || a->n_text >= sizeof head) return;
    size_t i = 0;
    while (i < a->n_text && !(a->text[i] >= 'A' && a->text[i] <= 'z')) i++;
    memcpy(head, a->text, i);
    head[i] = '\0';
    unit u;
    number x;
    if (i == 0 || !unit_read(&u, a->text + i, a->n_text - i) || !tidy_make(&t, head) ||
        !number_parse(&x, &t))
        return;
    a->kind = CLASS_NUMBER;
    a->x = x;
    a->u = u;
    a->has_unit = true;
}

/* Both have a unit, and not the same one: converted when they measure the same thing. */
static bool units_differ(const answer *a, const answer *b) {
    return a->has_unit && b->has_unit && memcmp(&a->u, &b->u, sizeof a->u) != 0;
}

static void check_units(rung_check *out, answer *gold, answer *got, work *w) {
    if (memcmp(gold->u.dim, got->u.dim, sizeof gold->u.dim) != 0) {
        check_set(out, RUNG_VERDICT_UNKNOWN, "unit", "units of different kinds");
        return;
    }
    fmpq_t p, q, f;
    fmpq_init(p);
    fmpq_init(q);
    fmpq_init(f);
    if (rational_value(p, gold, w) && rational_value(q, got, w)) {
        fmpq_set_si(f, (slong)gold->u.num, (ulong)gold->u.den);
        fmpq_mul(p, p, f);
        fmpq_set_si(f, (slong)got->u.num, (ulong)got->u.den);
        fmpq_mul(q, q, f);
        check_set(out, fmpq_equal(p, q) ? RUNG_VERDICT_CORRECT : RUNG_VERDICT_WRONG, "unit", "");
    } else {
        check_set(out, RUNG_VERDICT_UNKNOWN, "unit", "units differ");
    }
    fmpq_clear(p);
    fmpq_clear(q);
    fmpq_clear(f);
}

/* ---- words ---- */

static bool same_letters(const char *a, const char *b) {
    int count[256] = {0};
    for (; *a; a++) count[(unsigned char)*a]++;
    for (; *b; b++) count[(unsigned char)*b]--;
    for (int i = 0; i < 256; i++)
        if (count[i]) return false;
    return true;
}

/* One word each, neither the beginning of the other, not of one stem, no product of the same
 * letters: they differ. */
static bool words_differ(const char *a, const char *b) {
    static const char *const articles[] = {"a ", "an ", "the "};
    for (size_t i = 0; i < 3; i++) {
        size_t n = strlen(articles[i]);
        if (strncmp(a, articles[i], n) == 0) a += n;
        if (strncmp(b, articles[i], n) == 0) b += n;
    }
    size_t n = strlen(a), m = strlen(b), same = 0;
    if (n < 2 || m < 2 || strchr(a, ' ') || strchr(b, ' ') || a[1] == '#' || b[1] == '#')
        return false;
    while (same < n && a[same] == b[same]) same++;
    return same < 4 && same < n && same < m && !strstr(a, b) && !strstr(b, a) &&
           !same_letters(a, b);
}

static void check_words(rung_check *out, const answer *gold, const answer *got) {
    bool differ = words_differ(gold->key + 2, got->key + 2);
    check_set(out, differ ? RUNG_VERDICT_WRONG : RUNG_VERDICT_UNKNOWN, "text",
              differ ? "" : "texts differ");
}

/* ---- the whole ---- */

static const char *equal_rule(const answer *gold, const answer *got) {
    switch (gold->kind) {
    case CLASS_NUMBER:
        return got->kind == CLASS_NUMBER && gold->x.percent != got->x.percent ? "percent"
                                                                              : "rational";
    case CLASS_CHOICE: return "choice";
    case CLASS_TIME: return "time";
    case CLASS_DATE: return "date";
    case CLASS_TEXT: return "text";
    default: return "string";
    }
}

/* A plain number as a tree, to meet an expression. */
static bool as_tree(answer *a, work *w) {
    if (a->kind == CLASS_TREE) return true;
    if (a->kind != CLASS_NUMBER) return false;
    char text[2 * BIG_DIGITS_MAX + 8], num[BIG_DIGITS_MAX], den[BIG_DIGITS_MAX];
    (void)big_print(num, sizeof num, &a->x.num);
    (void)big_print(den, sizeof den, &a->x.den);
    int n = snprintf(text, sizeof text, "%s%s/%s", a->x.neg ? "-" : "", num, den);
    if (!a->tree) a->tree = rung_alloc(sizeof *a->tree);
    return a->tree && form_make(&a->form, a->tree, w, text, (size_t)n);
}

/* "52" for 52_8: the base may have been left out. */
static bool base_left_out(const answer *a, const answer *b) {
    if (a->kind != CLASS_TREE || b->kind != CLASS_NUMBER) return false;
    const expr_node *n = expr_at(a->tree, a->form.root);
    char digits[BIG_DIGITS_MAX];
    return n->kind == X_BASE && !b->x.neg && big_print(digits, sizeof digits, &b->x.num) &&
           b->x.den.n == 1 && b->x.den.d[0] == 1 && strlen(digits) == n->len &&
           memcmp(digits, a->tree->text + n->off, n->len) == 0;
}

/* |a - b| <= 10^-digits / 2 (a decimal, b any constant)? */
static bool within(answer *a, answer *b, int32_t digits, work *w) {
    fmpq_t p, q, half;
    acb_t z;
    arb_t g, h;
    bool ok = false;
    fmpq_init(p);
    fmpq_init(q);
    fmpq_init(half);
    acb_init(z);
    arb_init(g);
    arb_init(h);
    fmpq_set_si(half, 1, 2);
    for (int32_t i = 0; i < digits; i++) fmpq_div_fmpz(half, half, (fmpz[]){10});
    if (!rational_value(p, a, w)) {
    } else if (rational_value(q, b, w)) {
        fmpq_sub(p, p, q);
        fmpq_abs(p, p);
        ok = fmpq_cmp(p, half) <= 0;
    } else if (b->kind == CLASS_TREE && !expr_contains(b->tree, b->form.root, X_VAR)) {
        ball_env e = {.w = w, .bits = 256};
        if (ball_eval(z, &e, b->tree, b->form.root) == VALUE_OK && arb_is_zero(acb_imagref(z))) {
            arb_set_fmpq(g, p, 256);
            arb_set_fmpq(h, half, 256);
            arb_sub(g, g, acb_realref(z), 256);
            arb_abs(g, g);
            ok = arb_le(g, h);
        }
    }
    acb_clear(z);
    arb_clear(g);
    arb_clear(h);
    fmpq_clear(p);
    fmpq_clear(q);
    fmpq_clear(half);
    return ok;
}

/* A decimal of ten digits or more beside an irrational it agrees with to 1e-9: a computed value. */
static bool noise(answer *a, answer *b, work *w) {
    return a->kind == CLASS_NUMBER && a->x.n_frac >= 10 && b->kind == CLASS_TREE &&
           within(a, b, 9, w);
}

/* 90 degrees beside pi/2: the same angle, if that is meant as one. */
static bool same_angle(const answer *a, const answer *b, work *w) {
    char text[2 * BIG_DIGITS_MAX + 32], num[BIG_DIGITS_MAX], den[BIG_DIGITS_MAX];
    if (a->kind != CLASS_NUMBER || !a->has_unit || a->u.dim[UNIT_ANGLE] != 1 || b->has_unit ||
        b->kind != CLASS_TREE || !expr_contains(b->tree, b->form.root, X_PI))
        return false;
    (void)big_print(num, sizeof num, &a->x.num);
    (void)big_print(den, sizeof den, &a->x.den);
    int n = snprintf(text, sizeof text, "%s%s*\\pi/(180*%s)", a->x.neg ? "-" : "", num, den);
    answer radians = {.tree = rung_alloc(sizeof *radians.tree)};
    bool same = radians.tree && form_make(&radians.form, radians.tree, w, text, (size_t)n) &&
                form_compare(&radians.form, &b->form, w).verdict == RUNG_VERDICT_CORRECT;
    rung_free(radians.tree);
    return same;
}

static decision compare(answer *gold, answer *got, work *w) {
    decision d = {RUNG_VERDICT_UNKNOWN, "string", "the texts differ", -1, 0};
    if (gold->kind == CLASS_NUMBER && got->kind == CLASS_NUMBER) {
        const char *why = doubt(&gold->x, &got->x);
        return (decision){why ? RUNG_VERDICT_UNKNOWN : RUNG_VERDICT_WRONG, "rational",
                          why ? why : "", -1, 0};
    }
    if ((gold->kind != CLASS_TREE && got->kind != CLASS_TREE) || !as_tree(gold, w) ||
        !as_tree(got, w))
        return d;
    bool rounded = noise(gold, got, w) || noise(got, gold, w);
    if (same_angle(gold, got, w) || same_angle(got, gold, w))
        return (decision){RUNG_VERDICT_UNKNOWN, "unit", "degrees against radians", -1, 0};
    d = form_compare(&gold->form, &got->form, w);
    if (d.verdict == RUNG_VERDICT_WRONG && rounded)
        return (decision){RUNG_VERDICT_UNKNOWN, d.rule, "equal up to rounding", -1, d.bits};
    if (d.verdict == RUNG_VERDICT_WRONG && (base_left_out(gold, got) || base_left_out(got, gold)))
        return (decision){RUNG_VERDICT_UNKNOWN, "rational", "base-n digits against a plain number",
                          -1, 0};
    return d;
}

static decision judge(rung_check *out, answer *gold, answer *got, work *w) {
    decision d = {RUNG_VERDICT_UNKNOWN, "", "", -1, 0};
    bool same = strcmp(gold->key, got->key) == 0;
    if (gold->has_unit) read_unit(got);
    if (got->has_unit) read_unit(gold);
    if (got->kind == CLASS_NONE) {
        check_set(out, RUNG_VERDICT_UNKNOWN, "", "no answer");
    } else if (gold->kind == CLASS_NONE) {
        check_set(out, RUNG_VERDICT_UNKNOWN, "", "no reference answer");
    } else if (gold->variable && got->variable && gold->variable != got->variable) {
        bool wrong = !same || gold->kind == CLASS_NUMBER;
        check_set(out, wrong ? RUNG_VERDICT_WRONG : RUNG_VERDICT_UNKNOWN, "equation",
                  wrong ? "" : "different letters");
    } else if (units_differ(gold, got)) {
        check_units(out, gold, got, w);
    } else if (same && (gold->kind != CLASS_TREE || got->kind != CLASS_TREE)) {
        check_set(out, RUNG_VERDICT_CORRECT, equal_rule(gold, got), "");
        if (gold->kind != got->kind) out->rule = gold->kind == CLASS_STRING ? "string" : "rational";
    } else if (gold->kind == got->kind && (gold->kind == CLASS_CHOICE || gold->kind == CLASS_TIME ||
                                           gold->kind == CLASS_DATE)) {
        check_set(out, RUNG_VERDICT_WRONG, equal_rule(gold, got), "");
    } else if (gold->kind == CLASS_TEXT && got->kind == CLASS_TEXT) {
        check_words(out, gold, got);
    } else {
        d = compare(gold, got, w);
        if (same &&
            d.verdict == RUNG_VERDICT_UNKNOWN) { /* one key: one printed form or one value */
            d.verdict = RUNG_VERDICT_CORRECT;
            d.reason = "";
            if (!d.rule[0]) d.rule = "string";
        }
        from_decision(out, d);
    }
    return d;
}

static void answer_clear(answer *a) {
    rung_free(a->tree);
}

void rung_math_check(rung_check *out, const char *gold_text, const char *answer_text,
                     const rung_math_opts *o) {
    answer gold, got;
    work w = {WORK_MAX};
    eval_thread();
    classify(&gold, &w, gold_text ? gold_text : "");
    classify(&got, &w, answer_text ? answer_text : "");
    (void)judge(out, &gold, &got, &w);
    if (o && o->rounded && out->verdict != RUNG_VERDICT_CORRECT && gold.kind == CLASS_NUMBER &&
        gold.x.n_frac > 0 && within(&gold, &got, gold.x.n_frac, &w))
        check_set(out, RUNG_VERDICT_CORRECT, "rounded", "");
    answer_clear(&gold);
    answer_clear(&got);
}

void check_math(rung_check *out, const char *gold, const char *answer_text) {
    rung_math_check(out, gold, answer_text, NULL);
}

void key_math(char key[128], const char *text) {
    answer a;
    work w = {WORK_MAX};
    eval_thread();
    classify(&a, &w, text ? text : "");
    memcpy(key, a.key, 128);
    answer_clear(&a);
}

/* ---- in words ---- */

static const char *class_name(const answer *a) {
    static const char *const names[] = {"nothing",       "a number", "a choice",      "words",
                                        "a time of day", "a date",   "an expression", "text"};
    return names[a->kind];
}

static void explain_side(rung_buf *b, const char *title, const answer *a) {
    rung_buf_printf(b, "%s: read as %s, key %s\n", title, class_name(a),
                    a->key[0] ? a->key : "(none)");
    if (a->kind == CLASS_NUMBER && a->x.phrase[0]) rung_buf_printf(b, "  unit %s\n", a->x.phrase);
    if (a->kind == CLASS_STRING && a->tree && a->tree->error)
        rung_buf_printf(b, "  no formula: %s at byte %u\n", a->tree->error,
                        a->tree->error_pos + 1u);
    if (a->kind != CLASS_TREE) return;
    rung_buf_str(b, "  canonical ");
    expr_print(b, a->tree, a->form.root);
    rung_buf_str(b, "\n");
    expr_dump(b, a->tree, a->form.root);
}

static void explain_point(rung_buf *b, const answer *gold, const answer *got, const decision *d) {
    expr_vars v = {0};
    if (gold->kind != CLASS_TREE || got->kind != CLASS_TREE) return;
    if (d->bits > 0) rung_buf_printf(b, "decided with %ld bits\n", (long)d->bits);
    if (d->bits == 0) return;
    if (!expr_vars_add(&v, gold->tree, gold->form.root) ||
        !expr_vars_add(&v, got->tree, got->form.root))
        return;
    int point = d->point < 0 ? 0 : d->point;
    if (v.n > 0)
        rung_buf_str(b, d->point < 0 ? "one of the points:" : "the point that tells them apart:");
    for (size_t i = 0; i < v.n; i++)
        rung_buf_printf(b, "%s %s = %d/1024", i ? "," : "", v.name[i],
                        ball_coordinate(v.name[i], strlen(v.name[i]), point));
    if (v.n > 0) rung_buf_str(b, "\n");
    rung_buf_str(b, "  gold   ");
    scalar_explain(b, gold->tree, gold->form.root, point);
    rung_buf_str(b, "\n  answer ");
    scalar_explain(b, got->tree, got->form.root, point);
    rung_buf_str(b, "\n");
}

char *rung_math_explain(const char *gold_text, const char *answer_text) {
    answer gold, got;
    rung_check c;
    rung_buf b;
    work w = {WORK_MAX};
    eval_thread();
    rung_buf_init(&b, 1 << 20);
    classify(&gold, &w, gold_text ? gold_text : "");
    classify(&got, &w, answer_text ? answer_text : "");
    explain_side(&b, "gold", &gold);
    explain_side(&b, "answer", &got);
    decision d = judge(&c, &gold, &got, &w);
    explain_point(&b, &gold, &got, &d);
    rung_buf_printf(&b, "%s by rule \"%s\"%s%s; %lld of %d units of work\n",
                    rung_verdict_name(c.verdict), c.rule, c.reason[0] ? ": " : "", c.reason,
                    (long long)(WORK_MAX - (w.left < 0 ? 0 : w.left)), WORK_MAX);
    answer_clear(&gold);
    answer_clear(&got);
    return rung_buf_take(&b, NULL);
}
