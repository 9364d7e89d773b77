/* Text -> steps. A table of splitters; each only proposes cuts, one place keeps the invariants:
 * spans are contiguous, cover every byte, are never empty, never begin inside a UTF-8 character,
 * and none is white space alone unless the whole text is. */
#include "rung/trace.h"

#include <string.h>

/* The end of the piece that begins at `from` (> from, <= n). arg: what follows "name:". */
typedef size_t (*split_fn)(const char *text, size_t n, size_t from, const char *arg, size_t n_arg);

static bool is_white(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\v' || c == '\f';
}
static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static size_t split_line(const char *text, size_t n, size_t from, const char *arg, size_t n_arg) {
    (void)arg, (void)n_arg;
    const char *p = memchr(text + from, '\n', n - from);
    return p ? (size_t)(p - text) + 1 : n;
}

/* After a newline that is followed by lines of white space only: the whole run of them stays. */
static size_t split_blank(const char *text, size_t n, size_t from, const char *arg, size_t n_arg) {
    (void)arg, (void)n_arg;
    for (size_t i = from; i < n; i++) {
        if (text[i] != '\n') continue;
        size_t end = i + 1;
        int n_blank = 0;
        for (size_t j = i + 1; j < n && is_white(text[j]); j++)
            if (text[j] == '\n') end = j + 1, n_blank++;
        if (n_blank) return end;
    }
    return n;
}

/* Does a line that begins at `at` open with "Step k:"? "## Step 2:", "**Step 3.**" do, too. */
static bool step_mark(const char *text, size_t n, size_t at) {
    while (at < n && (text[at] == '#' || text[at] == '*' || text[at] == ' ' || text[at] == '\t'))
        at++;
    if (n - at < 6 || (memcmp(text + at, "Step ", 5) && memcmp(text + at, "step ", 5) &&
                       memcmp(text + at, "STEP ", 5)))
        return false;
    at += 5;
    size_t digits = at;
    while (at < n && is_digit(text[at])) at++;
    return at > digits && at < n && (text[at] == ':' || text[at] == '.' || text[at] == ')');
}

static size_t split_step(const char *text, size_t n, size_t from, const char *arg, size_t n_arg) {
    (void)arg, (void)n_arg;
    for (size_t i = from + 1; i < n; i++)
        if (text[i - 1] == '\n' && step_mark(text, n, i)) return i;
    return n;
}

static size_t split_delimiter(const char *text, size_t n, size_t from, const char *arg,
                              size_t n_arg) {
    const char *p = memmem(text + from, n - from, arg, n_arg);
    return p ? (size_t)(p - text) + n_arg : n;
}

static size_t split_given(const char *text, size_t n, size_t from, const char *arg, size_t n_arg) {
    (void)text, (void)from, (void)arg, (void)n_arg;
    return n;
}

static const struct splitter {
    const char *name;
    bool needs_arg;
    split_fn next;
} splitters[] = {
    {"line", false, split_line},   {"blank", false, split_blank},
    {"step", false, split_step},   {"delimiter", true, split_delimiter},
    {"given", false, split_given},
};
enum { N_SPLITTERS = sizeof splitters / sizeof splitters[0], DELIMITER_MAX = 64 };

/* "\n" "\t" "\\" in a delimiter are what they look like, so that a flag or a recipe can say them.
 */
static size_t unescape(char out[DELIMITER_MAX], const char *s) {
    size_t n = 0;
    for (; *s && n < DELIMITER_MAX; s++) {
        char c = *s;
        if (c == '\\' && (s[1] == 'n' || s[1] == 't' || s[1] == '\\')) {
            s++;
            c = *s == 'n' ? '\n' : *s == 't' ? '\t' : '\\';
        }
        out[n++] = c;
    }
    return *s ? DELIMITER_MAX + 1 : n;
}

static const struct splitter *find(const char *how, char arg[DELIMITER_MAX], size_t *n_arg,
                                   rung_error *err) {
    const char *colon = strchr(how, ':');
    size_t n_name = colon ? (size_t)(colon - how) : strlen(how);
    *n_arg = 0;
    for (int i = 0; i < N_SPLITTERS; i++) {
        const struct splitter *s = &splitters[i];
        if (strlen(s->name) != n_name || memcmp(s->name, how, n_name)) continue;
        if (s->needs_arg != (colon != NULL)) break;
        if (!colon) return s;
        *n_arg = unescape(arg, colon + 1);
        if (*n_arg >= 1 && *n_arg <= DELIMITER_MAX) return s;
        rung_fail(err, RUNG_E_INVAL, "split \"%s\": a delimiter has 1 to %d bytes", how,
                  DELIMITER_MAX);
        return NULL;
    }
    rung_fail(err, RUNG_E_INVAL, "unknown way to split steps \"%s\"", how);
    rung_error_hint(err, "one of: line, blank, step, delimiter:TEXT, given");
    return NULL;
}

rung_status rung_split_steps(rung_step **step, int32_t *n_steps, const char *how, const char *text,
                             size_t n, rung_error *err) {
    *step = NULL;
    *n_steps = 0;
    char arg[DELIMITER_MAX];
    size_t n_arg;
    const struct splitter *s = find(how, arg, &n_arg, err);
    if (!s) return RUNG_E_INVAL;
    if (n > INT32_MAX) return rung_fail(err, RUNG_E_LIMIT, "a trace of %zu bytes is too long", n);
    size_t cap = 0, k = 0;
    rung_step *v = NULL;
    for (size_t begin = 0, end; begin < n; begin = end) {
        end = s->next(text, n, begin, arg, n_arg);
        while (end < n && ((unsigned char)text[end] & 0xC0u) == 0x80u) end++;
        size_t w = begin;
        while (w < end && is_white(text[w])) w++;
        bool white = w == end;
        /* A white piece joins the step before; at the start it waits and joins the one after. */
        bool joins_before = white && k > 0;
        bool joins_white = k == 1 && v[0].byte_begin < 0;
        if (joins_before || joins_white) {
            v[k - 1].byte_end = (int32_t)end;
            if (!white) v[0].byte_begin = 0;
            continue;
        }
        if (k == cap) {
            cap = cap ? cap * 2 : 16;
            rung_step *grown = rung_realloc(v, cap * sizeof *v);
            if (!grown) {
                rung_free(v);
                return rung_fail(err, RUNG_E_NOMEM, "no memory for %zu steps", cap);
            }
            v = grown;
        }
        v[k++] = (rung_step){.byte_begin = white ? -1 : (int32_t)begin, .byte_end = (int32_t)end};
    }
    if (k) v[0].byte_begin = 0;
    *step = v;
    *n_steps = (int32_t)k;
    return RUNG_OK;
}

rung_status rung_split_tokens(rung_step *step, int32_t n_steps, const rung_model *m,
                              const int32_t *tok, int32_t n_tok, rung_error *err) {
    if (n_steps == 0 && n_tok == 0) return RUNG_OK;
    if (n_steps <= 0) return rung_fail(err, RUNG_E_FORMAT, "%d tokens but no steps", n_tok);
    rung_buf piece;
    rung_buf_init(&piece, 1u << 20);
    int64_t at = 0;
    int32_t k = 0;
    step[0].tok_begin = 0;
    for (int32_t i = 0; i < n_tok; i++) {
        /* The token's first byte decides; one without bytes belongs where it stands. */
        while (k + 1 < n_steps && at >= step[k].byte_end) {
            step[k].tok_end = i;
            step[++k].tok_begin = i;
        }
        rung_buf_reset(&piece);
        rung_model_piece(&piece, m, tok[i], false);
        at += (int64_t)piece.n;
    }
    step[k].tok_end = n_tok;
    while (k + 1 < n_steps) step[++k].tok_begin = n_tok, step[k].tok_end = n_tok;
    rung_status st = rung_buf_check(&piece, err);
    rung_buf_clear(&piece);
    if (st != RUNG_OK) return st;
    if (at != step[n_steps - 1].byte_end)
        return rung_fail(err, RUNG_E_FORMAT, "tokens spell %lld bytes, the steps cover %d",
                         (long long)at, step[n_steps - 1].byte_end);
    for (k = 0; k < n_steps; k++)
        if (step[k].tok_begin == step[k].tok_end) {
            rung_fail(err, RUNG_E_FORMAT, "step %d has no token of its own", k);
            if (err) err->step = k;
            return RUNG_E_FORMAT;
        }
    return RUNG_OK;
}

rung_status rung_split_align(rung_step *step, int32_t *n_steps, int32_t *n_joined,
                             const rung_model *m, const int32_t *tok, int32_t n_tok,
                             rung_error *err) {
    if (n_joined) *n_joined = 0;
    for (;;) {
        rung_error e = RUNG_ERROR_INIT;
        rung_status st = rung_split_tokens(step, *n_steps, m, tok, n_tok, &e);
        if (st != RUNG_E_FORMAT || e.step <= 0) {
            if (st != RUNG_OK && err) *err = e;
            return st;
        }
        step[e.step - 1].byte_end = step[e.step].byte_end;
        memmove(step + e.step, step + e.step + 1, (size_t)(*n_steps - e.step - 1) * sizeof *step);
        --*n_steps;
        if (n_joined) ++*n_joined;
    }
}
