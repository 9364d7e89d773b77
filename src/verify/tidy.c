/* Normalisation of an answer's text (search.md 2.15). One pass over at most ANSWER_BYTES_MAX bytes,
 * braces of \text{} followed with a stack of flags: no recursion, linear time. */
#include "verify/answer.h"
#include <string.h>

typedef struct pass {
    const char *p;
    tidy *out;
    bool is_text[ANSWER_BYTES_MAX + 1]; /* per open brace: was it opened by \text */
    size_t depth, text_begin, text_end; /* the last \text{...} in out, [begin, end) */
} pass;

static bool letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
static bool digit(char c) {
    return c >= '0' && c <= '9';
}

static void put(pass *s, const char *bytes) {
    size_t n = strlen(bytes);
    if (s->out->n + n > TIDY_MAX) n = TIDY_MAX - s->out->n;
    memcpy(s->out->text + s->out->n, bytes, n);
    s->out->n += n;
}

static void put_blank(pass *s) {
    if (s->out->n > 0 && s->out->text[s->out->n - 1] != ' ') put(s, " ");
}

static bool starts(const char *p, const char *with) {
    return strncmp(p, with, strlen(with)) == 0;
}

/* What is taken out or replaced, first hit wins. `word`: must not go on with a letter. */
typedef struct rewrite {
    const char *from, *to; /* to: " " = a blank */
    bool word;
} rewrite;
static const rewrite rewrites[] = {
    {"\\left", "", true},
    {"\\right", "", true},
    {"\\dfrac", "\\frac", true},
    {"\\tfrac", "\\frac", true},
    {"\\cfrac", "\\frac", true},
    {"^\\circ", "", true},
    {"^{\\circ}", "", false},
    {"^ \\circ", "", true},
    {"\\degree", "", true},
    {"\\%", "%", false},
    {"\\ ", " ", false},
    {"\\,", " ", false},
    {"\\;", " ", false},
    {"\\:", " ", false},
    {"\\(", " ", false},
    {"\\)", " ", false},
    {"\\[", " ", false},
    {"\\]", " ", false},
    {"\\quad", " ", true},
    {"\\displaystyle", " ", true},
    {"~", " ", false},
    {"\xc2\xa0", " ", false},
    {"\xc2\xb0", "", false},
    {"\xe2\x88\x92", "-", false},
    {"\xc3\x97", "\\times ", false},
    {"\xcf\x80", "\\pi ", false},
    {"bmatrix", "pmatrix", false},
};
static const char *const text_commands[] = {"\\text{",   "\\mbox{",   "\\textbf{", "\\textit{",
                                            "\\mathrm{", "\\textrm{", "\\mathbf{"};
static const char *const money[] = {"\\$", "$", "\xe2\x82\xac", "\xc2\xa3"};

static bool rewritten(pass *s) {
    for (size_t i = 0; i < sizeof rewrites / sizeof *rewrites; i++) {
        const rewrite *r = &rewrites[i];
        if (!starts(s->p, r->from)) continue;
        const char *end = s->p + strlen(r->from);
        if (r->word && letter(*end)) continue;
        s->p = end;
        if (strstr(r->from, "circ") || strcmp(r->from, "\\degree") == 0 ||
            strcmp(r->from, "\xc2\xb0") == 0)
            s->out->degrees = true;
        if (strcmp(r->to, " ") == 0) {
            put_blank(s);
        } else {
            put(s, r->to);
        }
        return true;
    }
    return false;
}

static bool text_opened(pass *s) {
    for (size_t i = 0; i < sizeof text_commands / sizeof *text_commands; i++) {
        if (!starts(s->p, text_commands[i])) continue;
        s->p += strlen(text_commands[i]);
        s->is_text[s->depth++] = true;
        s->text_begin = s->text_end = s->out->n;
        return true;
    }
    return false;
}

static bool brace(pass *s) {
    if (*s->p == '{') {
        s->is_text[s->depth++] = false;
        put(s, "{");
    } else if (*s->p == '}' && s->depth > 0 && s->is_text[s->depth - 1]) {
        s->depth--;
        s->text_end = s->out->n;
    } else if (*s->p == '}') {
        if (s->depth > 0) s->depth--;
        put(s, "}");
    } else {
        return false;
    }
    s->p++;
    return true;
}

/* "\!" is a negative space: what stands on both sides belongs together. */
static bool glued(pass *s) {
    if (!starts(s->p, "\\!")) return false;
    s->p += 2;
    while (*s->p == ' ') s->p++;
    return true;
}

static bool money_sign(pass *s) {
    for (size_t i = 0; i < sizeof money / sizeof *money; i++) {
        if (!starts(s->p, money[i])) continue;
        s->p += strlen(money[i]);
        if (i != 1) s->out->money = true; /* a bare $ may be a maths delimiter */
        return true;
    }
    return false;
}

static void cut(tidy *t, size_t from, size_t n) {
    memmove(t->text + from, t->text + from + n, t->n - from - n);
    t->n -= n;
    t->text[t->n] = '\0';
}

static void trim(tidy *t) {
    size_t n_front = 0;
    while (t->n > 0 && strchr(" .,;:", t->text[t->n - 1])) t->n--;
    while (n_front < t->n && strchr(" :=", t->text[n_front])) n_front++;
    cut(t, 0, n_front);
}

/* A trailing \text{unit}, with its exponent, is a unit and not part of the value. */
static void cut_unit(pass *s) {
    tidy *t = s->out;
    size_t end = s->text_end, begin = s->text_begin;
    const char *tail = t->text + end;
    t->text[t->n] = '\0';
    bool power = *tail == '\0' || *tail == ' ' || strcmp(tail, "^2") == 0 ||
                 strcmp(tail, "^3") == 0 || strcmp(tail, "^{2}") == 0 || strcmp(tail, "^{3}") == 0;
    while (*tail == ' ') tail++;
    if (begin == 0 || end <= begin || !power || (*tail && *tail != '^' && *tail != '.')) return;
    size_t n = end - begin, k = 0;
    for (size_t i = 0; i < n && k + 1 < sizeof t->unit; i++)
        if (t->text[begin + i] != ' ' || k > 0) t->unit[k++] = t->text[begin + i];
    while (k > 0 && t->unit[k - 1] == ' ') k--;
    const char *digit_at = strpbrk(t->text + end, "23");
    if (digit_at && t->text[end] == '^' && k + 2 < sizeof t->unit) {
        t->unit[k++] = '^';
        t->unit[k++] = *digit_at;
    }
    t->unit[k] = '\0';
    t->n = begin;
}

/* "x = 5" -> "5", "x \in [1,2]" -> "[1,2]" (the second is ours). */
static void cut_variable(tidy *t) {
    const char *p = t->text;
    if (!letter(p[0])) return;
    size_t at = p[1] == ' ' ? 2 : 1;
    if (p[at] == '=' && !strchr(p + at + 1, '=')) {
        t->variable = p[0];
        cut(t, 0, at + 1);
    } else if (starts(p + at, "\\in ") || starts(p + at, "\\in[") || starts(p + at, "\\in(")) {
        cut(t, 0, at + 3);
    } else {
        return;
    }
    trim(t);
}

static void cut_marks(tidy *t) {
    while (t->n >= 4 && starts(t->text, "**") && strcmp(t->text + t->n - 2, "**") == 0) {
        t->n -= 2;
        cut(t, 0, 2);
    }
    while (t->n >= 2 && t->text[0] == '`' && t->text[t->n - 1] == '`') {
        t->n--;
        cut(t, 0, 1);
    }
}

bool tidy_make(tidy *out, const char *text) {
    memset(out, 0, sizeof *out);
    size_t n = strnlen(text, ANSWER_BYTES_MAX + 1);
    if (n > ANSWER_BYTES_MAX) return false;
    pass s = {.p = text, .out = out};
    while (*s.p) {
        if (glued(&s) || text_opened(&s) || brace(&s) || money_sign(&s) || rewritten(&s)) continue;
        if (s.p[0] == '\\' && s.p[1] == '\\') { /* row end of a matrix */
            put(&s, "\\\\");
            s.p += 2;
        } else if ((unsigned char)*s.p <= ' ' || *s.p == 127) {
            put_blank(&s);
            s.p++;
        } else {
            put(&s, (char[]){*s.p++, '\0'});
        }
    }
    cut_unit(&s);
    out->text[out->n] = '\0';
    trim(out);
    cut_marks(out);
    trim(out);
    cut_variable(out);
    return true;
}

/* ---- normalised strings ---- */

typedef struct writer {
    char *out;
    size_t n;
} writer;

static void emit(writer *w, const char *p, size_t n) {
    if (w->n + n > CANON_MAX) n = CANON_MAX - w->n;
    memcpy(w->out + w->n, p, n);
    w->n += n;
}

static void emit_number(writer *w, const char *p, size_t n_int, size_t n_frac) {
    if (n_int == 0) emit(w, "0", 1);
    for (size_t i = 0; i < n_int; i++)
        if (p[i] != ',') emit(w, p + i, 1);
    const char *frac = p + n_int + 1;
    while (n_frac > 0 && frac[n_frac - 1] == '0') n_frac--;
    if (n_frac > 0) {
        emit(w, ".", 1);
        emit(w, frac, n_frac);
    }
}

/* "\frac12" and "\sqrt3": arguments of one character get braces. Returns bytes read. */
static size_t emit_command(writer *w, const char *p, const char *name, int n_args) {
    size_t at = strlen(name);
    emit(w, p, at);
    while (n_args-- > 0) {
        if (!digit(p[at]) && !letter(p[at])) break; /* has braces, or is something else */
        emit(w, (char[]){'{', p[at], '}'}, 3);
        at++;
        if (p[at] == '{') break; /* \frac9{19} */
    }
    return at;
}

static size_t emit_digits(writer *w, const char *p) {
    size_t n_int = digits_with_groups(p), n_frac = 0, n;
    if (p[n_int] == '.')
        while (digit(p[n_int + 1 + n_frac])) n_frac++;
    n = n_int + (n_frac ? n_frac + 1 : 0);
    size_t n_den = 0;
    if (n_frac == 0 && p[n] == '/')
        while (digit(p[n + 1 + n_den])) n_den++;
    if (n_den == 0) {
        emit_number(w, p, n_int, n_frac);
        return n;
    }
    emit(w, "\\frac{", 6);
    emit_number(w, p, n_int, 0);
    emit(w, "}{", 2);
    emit(w, p + n + 1, n_den);
    emit(w, "}", 1);
    return n + 1 + n_den;
}

bool plain_words(const char *p, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (!letter(p[i]) && p[i] != ' ' && p[i] != '\'' && p[i] != '-') return false;
    return n > 1;
}

void canon_string(char *out, const tidy *t) {
    char text[TIDY_MAX + 2];
    size_t n = 0;
    bool plain = plain_words(t->text, t->n);
    for (size_t i = 0; i < t->n; i++) {
        char c = t->text[i];
        if (c == ' ') continue;
        if (plain && c >= 'A' && c <= 'Z') c = (char)(c - 'A' + 'a');
        text[n++] = c;
    }
    text[n] = text[n + 1] = '\0';
    writer w = {out, 0};
    for (const char *p = text; *p;) {
        if (starts(p, "\\frac")) {
            p += emit_command(&w, p, "\\frac", 2);
        } else if (starts(p, "\\sqrt")) {
            p += emit_command(&w, p, "\\sqrt", 1);
        } else if ((*p == '_' || *p == '^') && p[1] == '{' && p[2] && p[3] == '}') {
            emit(&w, (char[]){*p, p[2]}, 2);
            p += 4;
        } else if (digit(*p) || (*p == '.' && digit(p[1]))) {
            p += emit_digits(&w, p);
        } else {
            emit(&w, p++, 1);
        }
    }
    out[w.n] = '\0';
}
