/* Optimal string alignment distance (Damerau-Levenshtein without edits inside a swap). */
#include "base/names.h"

#include <ctype.h>
#include <string.h>

#define NAME_MAX_LEN 128 /* longer names are compared by their first bytes */

static size_t min2(size_t a, size_t b) {
    return a < b ? a : b;
}

static int fold(char c) {
    return c == '_' ? '-' : tolower((unsigned char)c);
}

size_t rung_edit_distance(const char *a, const char *b) {
    size_t na = min2(strlen(a), NAME_MAX_LEN), nb = min2(strlen(b), NAME_MAX_LEN);
    size_t rows[3][NAME_MAX_LEN + 1];
    size_t *two_up = rows[0], *up = rows[1], *row = rows[2];
    for (size_t j = 0; j <= nb; j++) {
        two_up[j] = 0;
        up[j] = j;
    }
    for (size_t i = 1; i <= na; i++) {
        row[0] = i;
        for (size_t j = 1; j <= nb; j++) {
            size_t replace = up[j - 1] + (fold(a[i - 1]) != fold(b[j - 1]));
            row[j] = min2(replace, min2(up[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && fold(a[i - 1]) == fold(b[j - 2]) &&
                fold(a[i - 2]) == fold(b[j - 1]))
                row[j] = min2(row[j], two_up[j - 2] + 1);
        }
        size_t *t = two_up;
        two_up = up;
        up = row;
        row = t;
    }
    return up[nb];
}

const char *rung_nearest(const char *name, const char *const *list, size_t n) {
    const char *best = NULL;
    size_t best_d = (size_t)-1;
    for (size_t i = 0; i < n; i++) {
        if (!list[i]) continue;
        size_t longer = strlen(name) > strlen(list[i]) ? strlen(name) : strlen(list[i]);
        size_t bound = longer / 3 > 2 ? longer / 3 : 2;
        size_t d = rung_edit_distance(name, list[i]);
        if (d > bound || d >= longer || d >= best_d) continue;
        best = list[i];
        best_d = d;
    }
    return best;
}
