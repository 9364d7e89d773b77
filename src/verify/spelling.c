/* Other spellings of what the parser reads in one: text to text, before parsing. */
#include "verify/answer.h"
#include <stdio.h>
#include <string.h>

/* The bytes that p begins with, when it does. */
static size_t begins(const char *p, size_t n, const char *word) {
    size_t k = strlen(word);
    return k <= n && memcmp(p, word, k) == 0 ? k : 0;
}

/* A system in braces: rows, each a relation, no cells. *n_end: bytes of its end. NULL: none. */
static const char *system_end(const char *p, size_t n, size_t *n_end) {
    bool relation = false;
    for (size_t i = 0; i < n; i++) {
        size_t k = begins(p + i, n - i, "\\end{cases}");
        bool row = k > 0 || (n - i >= 2 && p[i] == '\\' && p[i + 1] == '\\');
        if (row && !relation) return NULL;
        if (k > 0) {
            *n_end = k;
            return p + i;
        }
        if (row) {
            relation = false;
            i++;
        } else if (p[i] == '&' || begins(p + i, n - i, "\\text") ||
                   begins(p + i, n - i, "\\begin")) {
            return NULL;
        }
        relation |= p[i] == '=' || p[i] == '<' || p[i] == '>' || begins(p + i, n - i, "\\le") > 0 ||
                    begins(p + i, n - i, "\\ge") > 0;
    }
    return NULL;
}

/* "0.1(6)" -> "0.1\\overline{6}" for the whole of a text; 0: it is none. */
static size_t repeating(char *out, const char *p, size_t n) {
    size_t i = n > 0 && p[0] == '-', dot = 0, open = 0;
    if (n < 5 || n > 200 || p[n - 1] != ')') return 0;
    for (; i + 1 < n; i++) {
        if (p[i] == '.' && !dot && i > 0)
            dot = i;
        else if (p[i] == '(' && dot && !open)
            open = i;
        else if (p[i] < '0' || p[i] > '9')
            return 0;
    }
    if (!open || open + 2 >= n) return 0;
    int k = snprintf(out, ANSWER_BYTES_MAX, "%.*s\\overline{%.*s}", (int)open, p,
                     (int)(n - open - 2), p + open + 1);
    return (size_t)k;
}

size_t other_spelling(char out[ANSWER_BYTES_MAX + 16], const char *p, size_t n) {
    size_t k = repeating(out, p, n), i = 0, n_end = 0;
    const char *end = NULL; /* of the system we are in */
    if (k > 0) return k;
    while (i < n) {
        size_t empty = begins(p + i, n - i, "\\emptyset") + begins(p + i, n - i, "\\varnothing");
        size_t cases = end ? 0 : begins(p + i, n - i, "\\begin{cases}");
        if (empty > 0) {
            memcpy(out + k, "\\{\\}", 4);
            k += 4;
            i += empty;
        } else if (cases > 0 && (end = system_end(p + i + cases, n - i - cases, &n_end))) {
            i += cases;
        } else if (end && p + i == end) {
            i += n_end;
            end = NULL;
        } else if (end && p[i] == '\\' && p[i + 1] == '\\') {
            out[k++] = ',';
            i += 2;
        } else {
            out[k++] = p[i++];
        }
    }
    return k;
}
