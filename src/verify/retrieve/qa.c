/* Answers of open-domain question answering: exact match and F1 (SQuAD v1.1 and HotpotQA evaluation
 * scripts), and the verifier `qa`. */
#include "verify/retrieve/qa.h"
#include "rung/retrieve.h"
#include "verify/answer.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORDS_MAX = 512 };

static bool is_blank(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_punctuation(char c) { /* Python's string.punctuation */
    return c && strchr("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", c);
}

static bool is_article(const char *p, size_t n) {
    return (n == 1 && p[0] == 'a') || (n == 2 && memcmp(p, "an", 2) == 0) ||
           (n == 3 && memcmp(p, "the", 3) == 0);
}

void rung_qa_normal(rung_buf *out, const char *text) {
    rung_buf flat;
    rung_buf_init(&flat, 64 << 20);
    rung_buf_append(&flat, "", 0);
    for (const char *p = text; *p; p++) {
        char c = *p >= 'A' && *p <= 'Z' ? (char)(*p | 0x20) : is_blank(*p) ? ' ' : *p;
        if (!is_punctuation(c)) rung_buf_append(&flat, &c, 1);
    }
    if (flat.failed) out->failed = true;
    bool first = true;
    for (const char *p = flat.failed ? "" : flat.data; *p;) {
        size_t n = strcspn(p, " ");
        if (n > 0 && !is_article(p, n)) {
            if (!first) rung_buf_str(out, " ");
            rung_buf_append(out, p, n);
            first = false;
        }
        p += n;
        p += strspn(p, " ");
    }
    rung_buf_append(out, "", 0);
    rung_buf_clear(&flat);
}

typedef struct word {
    const char *p;
    size_t n;
} word;

static int by_text(const void *a, const void *b) {
    const word *x = a, *y = b;
    size_t n = x->n < y->n ? x->n : y->n;
    int c = memcmp(x->p, y->p, n);
    return c ? c : x->n < y->n ? -1 : x->n > y->n;
}

/* Words of a normalised text, sorted; those beyond WORDS_MAX are left out. */
static size_t words_of(word out[WORDS_MAX], const char *p) {
    size_t n = 0;
    while (*p && n < WORDS_MAX) {
        size_t k = strcspn(p, " ");
        if (k > 0) out[n++] = (word){p, k};
        p += k;
        p += strspn(p, " ");
    }
    qsort(out, n, sizeof *out, by_text);
    return n;
}

static size_t common(const word *a, size_t n_a, const word *b, size_t n_b) {
    size_t n = 0;
    for (size_t i = 0, k = 0; i < n_a && k < n_b;) {
        int c = by_text(&a[i], &b[k]);
        n += c == 0;
        i += c <= 0;
        k += c >= 0;
    }
    return n;
}

static bool is_whole(const char *s) {
    return strcmp(s, "yes") == 0 || strcmp(s, "no") == 0 || strcmp(s, "noanswer") == 0;
}

static void score(rung_qa *out, const char *gold, const char *answer) {
    word a[WORDS_MAX], b[WORDS_MAX];
    *out = (rung_qa){.em = strcmp(gold, answer) == 0};
    if (!out->em && (is_whole(gold) || is_whole(answer))) return;
    size_t n_a = words_of(a, answer), n_b = words_of(b, gold), n = common(a, n_a, b, n_b);
    if (n_a == 0 && n_b == 0) {
        out->f1 = out->precision = out->recall = out->em ? 1 : 0;
    } else if (n > 0) {
        out->precision = (double)n / (double)n_a;
        out->recall = (double)n / (double)n_b;
        out->f1 = 2 * out->precision * out->recall / (out->precision + out->recall);
    }
}

bool rung_qa_score(rung_qa *out, const char *const *gold, int32_t n_gold, const char *answer) {
    rung_buf g, w;
    *out = (rung_qa){.em = false};
    rung_buf_init(&g, 64 << 20);
    rung_buf_init(&w, 64 << 20);
    rung_qa_normal(&w, answer);
    bool ok = !w.failed;
    for (int32_t i = 0; i < n_gold && ok; i++) {
        rung_qa one;
        rung_buf_reset(&g);
        rung_qa_normal(&g, gold[i]);
        ok = !g.failed;
        if (!ok) break;
        score(&one, g.data, w.data);
        if (i == 0 || one.em > out->em || (one.em == out->em && one.f1 > out->f1)) *out = one;
    }
    rung_buf_clear(&g);
    rung_buf_clear(&w);
    return ok;
}

/* ---- the verifier: several references are separated by newlines ---- */

static bool contains(const char *text, const char *part) {
    size_t n = strlen(part);
    if (n == 0) return false;
    for (const char *p = text; (p = strstr(p, part)) != NULL; p++)
        if ((p == text || p[-1] == ' ') && (p[n] == '\0' || p[n] == ' ')) return true;
    return false;
}

static bool normal_of(rung_buf *out, const char *text) {
    rung_buf_init(out, 1 << 20);
    rung_qa_normal(out, text ? text : "");
    return !out->failed;
}

void key_qa(char key[128], const char *answer) {
    rung_buf b;
    key[0] = '\0';
    if (normal_of(&b, answer) && b.n > 0) key_set(key, 'w', b.data, b.n);
    rung_buf_clear(&b);
}

/* How one reference meets the answer: 2 equal, 1 one holds the other, 0 neither, -1 none. */
static int meet(const char *gold, size_t n, const char *answer) {
    char *one = rung_strndup(gold, n);
    rung_buf g;
    int met = -1;
    if (normal_of(&g, one) && g.n > 0)
        met = strcmp(g.data, answer) == 0                            ? 2
              : contains(g.data, answer) || contains(answer, g.data) ? 1
                                                                     : 0;
    rung_buf_clear(&g);
    rung_free(one);
    return met;
}

void check_qa(rung_check *out, const char *gold, const char *answer) {
    rung_buf w;
    int best = -1;
    check_set(out, RUNG_VERDICT_UNKNOWN, "", "no answer");
    if (normal_of(&w, answer) && w.n > 0) {
        for (const char *p = gold ? gold : ""; *p;) {
            size_t n = strcspn(p, "\n");
            int met = meet(p, n, w.data);
            if (met > best) best = met;
            p += n;
            p += strspn(p, "\n");
        }
        if (best == 2)
            check_set(out, RUNG_VERDICT_CORRECT, "em", "");
        else if (best == 0)
            check_set(out, RUNG_VERDICT_WRONG, "em", "");
        else if (best == 1)
            check_set(out, RUNG_VERDICT_UNKNOWN, "", "one of the two holds the other");
        else
            check_set(out, RUNG_VERDICT_UNKNOWN, "", "no reference answer");
    }
    rung_buf_clear(&w);
}
