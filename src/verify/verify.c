/* The table of verifiers, and the two simple rows: the same text, the same letter. */
#include "verify/answer.h"
#include "verify/code/code_verifier.h"
#include "verify/retrieve/qa.h"
#include "verify/sql/sql_verifier.h"
#include <string.h>

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
        check_set(out, RUNG_VERDICT_UNKNOWN, "", "no answer");
    } else if (!gold[0]) {
        check_set(out, RUNG_VERDICT_UNKNOWN, "", "no reference answer");
    } else {
        check_set(out, strcmp(gold, got) == 0 ? RUNG_VERDICT_CORRECT : RUNG_VERDICT_WRONG, rule,
                  "");
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
    key_math(key, text);
    if (key[0] != 'c' || key[1] != ':' || key[3] != '\0') key[0] = '\0';
}

static void check_choice(rung_check *out, const char *gold_text, const char *answer_text) {
    char gold[128], got[128];
    key_choice(gold, gold_text);
    key_choice(got, answer_text);
    check_keys(out, "choice", gold, got);
}

#define VERIFIERS(X)                                                                               \
    X("math", "mathematics: exact numbers, algebra, sets, equations, units", "math-3",             \
      extract_math, key_math, check_math)                                                          \
    X("exact", "the same text up to case and blanks", "exact-1", extract_exact, key_exact,         \
      check_exact)                                                                                 \
    X("choice", "one letter A to E", "choice-1", extract_choice, key_choice, check_choice)         \
    X("qa", "open-domain answers: equal when normalised as SQuAD does", "qa-1", extract_exact,     \
      key_qa, check_qa)
static const rung_verifier verifiers[] = {
#define X(name, help, version, extract, key, check)                                                \
    {name, help, version, extract, key, check, NULL, NULL},
    VERIFIERS(X)
#undef X
        {"sql", "a query, by what it gives on the problem's database", "sql-1", extract_sql,
         key_sql, check_sql, key_sql_in, check_sql_in},
    {"code", "a program, by the problem's tests, in a sandbox", "code-1", extract_code, key_code,
     check_code, key_code_in, check_code_in},
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

void rung_verifier_key(char key[128], const rung_verifier *v, const char *meta,
                       const char *answer) {
    if (v->key_in) {
        v->key_in(key, meta, answer);
    } else {
        v->key(key, answer);
    }
}

void rung_verifier_check(rung_check *out, const rung_verifier *v, const char *meta,
                         const char *gold, const char *answer) {
    if (v->check_in) {
        v->check_in(out, meta, gold, answer);
    } else {
        v->check(out, gold, answer);
    }
}
