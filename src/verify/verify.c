/* The table of verifiers, and the verdicts of "math" (search.md 2.15).
 *
 * CORRECT if and only if the keys are equal; WRONG only when both sides are exact numbers, or both
 * choice letters, that differ; else UNKNOWN. Percent, cents and scale words are read as the number
 * before them ("50%" is 50, "2 million" 2000000); where the other reading would match, the verdict
 * is UNKNOWN and never WRONG. */
#include "verify/answer.h"
#include <stdio.h>
#include <string.h>

typedef struct answer {
    answer_class kind;
    number x;
    char key[128];
} answer;

static void key_set(char key[128], char mark, const char *text, size_t n) {
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

static size_t visible(const char **text) {
    while (**text && (unsigned char)**text <= ' ') (*text)++;
    size_t n = strlen(*text);
    while (n > 0 && (unsigned char)(*text)[n - 1] <= ' ') n--;
    return n;
}

static void classify(answer *a, const char *text) {
    tidy t;
    char canon[CANON_MAX + 1];
    memset(a, 0, sizeof *a);
    size_t n = visible(&text);
    if (n == 0) return;
    a->kind = CLASS_STRING;
    if (!tidy_make(&t, text)) {
        key_set(a->key, 'r', text, n); /* too long to normalise: raw text */
        return;
    }
    canon_string(canon, &t);
    if (number_parse(&a->x, &t)) {
        a->kind = CLASS_NUMBER;
        number_key(a);
    } else if (choice_letter(canon)) {
        a->kind = CLASS_CHOICE;
        key_set(a->key, 'c', (char[]){choice_letter(canon)}, 1);
    } else if (canon[0]) {
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

/* Is the decimal d a rounding of x? Half a unit of its last digit (two digits or more), or within
 * 1e-9 where ten digits or more were written: a rounded number is no exact one. */
static bool rounds(const number *d, const number *x) {
    big num, den;
    if (d->n_frac < 2 || !difference(&num, &den, d, x)) return false;
    bool noise = d->n_frac >= 10;
    int32_t digits = noise ? 9 : d->n_frac;
    if (!noise && !big_mul_add(&num, 2, 0)) return false;
    while (digits-- > 0)
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
    if (scales(a, b, a->scale) || scales(b, a, a->scale) || scales(a, b, b->scale) ||
        scales(b, a, b->scale))
        return "equal up to percent, cents or a scale word";
    if (a->unit[0] && b->unit[0] && strcmp(a->unit, b->unit) != 0) return "units differ";
    if (rounds(a, b) || rounds(b, a)) return "equal up to rounding";
    return NULL;
}

static void set(rung_check *out, rung_verdict v, const char *rule, const char *reason) {
    *out = (rung_check){v, rule, reason};
}

static void check_math(rung_check *out, const char *gold_text, const char *answer_text) {
    answer gold, got;
    classify(&gold, gold_text ? gold_text : "");
    classify(&got, answer_text ? answer_text : "");
    if (got.kind == CLASS_NONE) {
        set(out, RUNG_VERDICT_UNKNOWN, "", "no answer");
    } else if (gold.kind == CLASS_NONE) {
        set(out, RUNG_VERDICT_UNKNOWN, "", "no reference answer");
    } else if (strcmp(gold.key, got.key) == 0) {
        bool percent = gold.kind == CLASS_NUMBER && gold.x.percent != got.x.percent;
        set(out, RUNG_VERDICT_CORRECT,
            gold.kind == CLASS_NUMBER   ? (percent ? "percent" : "rational")
            : gold.kind == CLASS_CHOICE ? "choice"
                                        : "string",
            "");
    } else if (gold.kind == CLASS_NUMBER && got.kind == CLASS_NUMBER) {
        const char *why = doubt(&gold.x, &got.x);
        set(out, why ? RUNG_VERDICT_UNKNOWN : RUNG_VERDICT_WRONG, "rational", why ? why : "");
    } else if (gold.kind == CLASS_CHOICE && got.kind == CLASS_CHOICE) {
        set(out, RUNG_VERDICT_WRONG, "choice", "");
    } else {
        set(out, RUNG_VERDICT_UNKNOWN, "string", "not two numbers, and the texts differ");
    }
}

static void key_math(char key[128], const char *text) {
    answer a;
    classify(&a, text ? text : "");
    memcpy(key, a.key, 128);
}

/* ---- exact: the string is the answer ---- */

/* ASCII case folded, blanks collapsed, a last stop and quotes around dropped. */
static void key_exact(char key[128], const char *text) {
    enum { MAX = 4096 };
    char fold[MAX];
    size_t n_fold = 0;
    key[0] = '\0';
    if (!text) return;
    size_t n = visible(&text);
    if (n == 0) return;
    if (n >= MAX) {
        key_set(key, 'r', text, n);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        char c = text[i];
        if ((unsigned char)c <= ' ') c = ' ';
        if (c == ' ' && n_fold > 0 && fold[n_fold - 1] == ' ') continue;
        fold[n_fold++] = c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
    }
    const char *p = fold;
    if (n_fold > 1 && p[n_fold - 1] == '.') n_fold--;
    if (n_fold > 2 && (p[0] == '"' || p[0] == '\'') && p[n_fold - 1] == p[0]) p++, n_fold -= 2;
    key_set(key, 's', p, n_fold);
}

static void check_keys(rung_check *out, const char *rule, const char *gold, const char *got) {
    if (!got[0]) {
        set(out, RUNG_VERDICT_UNKNOWN, "", "no answer");
    } else if (!gold[0]) {
        set(out, RUNG_VERDICT_UNKNOWN, "", "no reference answer");
    } else {
        set(out, strcmp(gold, got) == 0 ? RUNG_VERDICT_CORRECT : RUNG_VERDICT_WRONG, rule, "");
    }
}

static void check_exact(rung_check *out, const char *gold_text, const char *answer_text) {
    char gold[128], got[128];
    key_exact(gold, gold_text);
    key_exact(got, answer_text);
    check_keys(out, "exact", gold, got);
}

/* ---- choice: one letter A-E ---- */

static void key_choice(char key[128], const char *text) {
    answer a;
    classify(&a, text ? text : "");
    key[0] = '\0';
    if (a.kind == CLASS_CHOICE) memcpy(key, a.key, 128);
}

static void check_choice(rung_check *out, const char *gold_text, const char *answer_text) {
    char gold[128], got[128];
    key_choice(gold, gold_text);
    key_choice(got, answer_text);
    check_keys(out, "choice", gold, got);
}

#define VERIFIERS(X)                                                                               \
    X("math", "exact numbers, else normalised LaTeX text", "math-1", extract_math, key_math,       \
      check_math)                                                                                  \
    X("exact", "the same text up to case and blanks", "exact-1", extract_exact, key_exact,         \
      check_exact)                                                                                 \
    X("choice", "one letter A to E", "choice-1", extract_choice, key_choice, check_choice)
static const rung_verifier verifiers[] = {
#define X(name, help, version, extract, key, check) {name, help, version, extract, key, check},
    VERIFIERS(X)
#undef X
};
enum { N_VERIFIERS = sizeof verifiers / sizeof *verifiers };

const rung_verifier *rung_verifier_at(size_t i) {
    return i < N_VERIFIERS ? &verifiers[i] : NULL;
}

const rung_verifier *rung_verifier_find(const char *name) {
    for (size_t i = 0; name && i < N_VERIFIERS; i++)
        if (strcmp(verifiers[i].name, name) == 0) return &verifiers[i];
    return NULL;
}
