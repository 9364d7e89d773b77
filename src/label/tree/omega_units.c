#include "label/tree/omega.h"

#include <stdlib.h>
#include <string.h>

static rung_status room(int32_t **bound, int32_t *cap, int32_t n, rung_error *err) {
    if (n < *cap) return RUNG_OK;
    int32_t more = *cap ? *cap * 2 : 32;
    while (more <= n) more *= 2;
    int32_t *grown = rung_realloc(*bound, (size_t)more * sizeof *grown);
    if (!grown) return rung_fail(err, RUNG_E_NOMEM, "no memory for %d units", more);
    *bound = grown;
    *cap = more;
    return RUNG_OK;
}

static bool is_space(char c) {
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

/* n words a unit, each with the white space after it: spans of roughly equal length. */
static rung_status by_words(int32_t **bound, int32_t *n, int32_t *cap, int32_t n_words,
                            const char *text, int32_t n_bytes, rung_error *err) {
    int32_t words = 0;
    for (int32_t i = 0; i < n_bytes; i++) {
        bool ends = i + 1 == n_bytes || (is_space(text[i]) && !is_space(text[i + 1]));
        if (!ends) continue;
        if (++words < n_words && i + 1 < n_bytes) continue;
        words = 0;
        RUNG_TRY(room(bound, cap, ++*n, err));
        (*bound)[*n] = i + 1;
    }
    return RUNG_OK;
}

rung_status omega_units(int32_t **bound, int32_t *n, int32_t *cap, const char *how,
                        const char *text, int32_t n_bytes, rung_error *err) {
    *n = 0;
    RUNG_TRY(room(bound, cap, 0, err));
    (*bound)[0] = 0;
    if (n_bytes == 0) return RUNG_OK;
    if (strncmp(how, "words:", 6) == 0) {
        char *end;
        long k = strtol(how + 6, &end, 10);
        if (k < 1 || k > 100000 || *end)
            return rung_fail(err, RUNG_E_INVAL, "units \"%s\": words:N with N from 1 on", how);
        return by_words(bound, n, cap, (int32_t)k, text, n_bytes, err);
    }
    rung_step *step;
    int32_t n_steps;
    RUNG_TRY(rung_split_steps(&step, &n_steps, how, text, (size_t)n_bytes, err));
    rung_status st = room(bound, cap, n_steps, err);
    for (int32_t k = 0; k < n_steps && st == RUNG_OK; k++) (*bound)[k + 1] = step[k].byte_end;
    if (st == RUNG_OK) *n = n_steps;
    rung_free(step);
    return st;
}
