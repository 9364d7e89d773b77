/* Answer extraction (search.md 2.14): the rules in order, the one that fired recorded. Each is one
 * or two linear scans of the whole trace, which may be any bytes. */
#include "verify/answer.h"
#include <string.h>

enum { EXTRACT_MAX = 1024 }; /* longer ones are no answers */

typedef struct span {
    const char *p;
    size_t n;
} span;

static bool digit(char c) {
    return c >= '0' && c <= '9';
}
static bool letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
static bool blank(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static span trimmed(span s) {
    while (s.n > 0 && (blank(s.p[0]) || s.p[0] == ':')) s.p++, s.n--;
    while (s.n > 0 && (blank(s.p[s.n - 1]) || s.p[s.n - 1] == '.' || s.p[s.n - 1] == '/')) s.n--;
    return s;
}

/* Fills out; an answer too long for it, or with a NUL inside, is none (text "", rule kept). */
static bool fire(rung_answer *out, const char *rule, bool flexible, span s) {
    s = trimmed(s);
    if (s.n == 0) return false;
    out->rule = rule;
    out->flexible = flexible;
    out->text[0] = '\0';
    if (s.n >= EXTRACT_MAX || memchr(s.p, '\0', s.n)) return true;
    memcpy(out->text, s.p, s.n);
    out->text[s.n] = '\0';
    return true;
}

static span find_last(span s, const char *what) {
    size_t n = strlen(what);
    for (size_t i = s.n >= n ? s.n - n + 1 : 0; i-- > 0;)
        if (s.p[i] == what[0] && memcmp(s.p + i, what, n) == 0) return (span){s.p + i, s.n - i};
    return (span){NULL, 0};
}

static span line_of(span s) {
    const char *end = memchr(s.p, '\n', s.n);
    return (span){s.p, end ? (size_t)(end - s.p) : s.n};
}

static bool is_number(span s) {
    char text[EXTRACT_MAX];
    rung_rational r;
    s = trimmed(s);
    if (s.n == 0 || s.n >= sizeof text) return false;
    memcpy(text, s.p, s.n);
    text[s.n] = '\0';
    return rung_rational_parse(&r, text, NULL);
}

/* 1. GSM8K: "#### n". The first line that is nothing but a number behind the marks; else the first
 * number behind them as GSM8K's own pattern has it. Or a last line "A: ...", as the published model
 * solutions end. */
static bool rule_gsm8k(rung_answer *out, span s) {
    span first = {NULL, 0};
    for (const char *p = s.p, *end = s.p + s.n; (p = memchr(p, '#', (size_t)(end - p)));) {
        if (end - p <= 5 || memcmp(p, "#### ", 5) != 0) {
            p++;
            continue;
        }
        span l = line_of((span){p + 5, (size_t)(end - p) - 5});
        if (is_number(l)) return fire(out, "gsm8k", false, l);
        size_t k = l.n > 0 && l.p[0] == '-';
        while (k < l.n && (digit(l.p[k]) || l.p[k] == '.' || l.p[k] == ',')) k++;
        if (!first.p && k > (size_t)(l.n > 0 && l.p[0] == '-')) first = (span){l.p, k};
        p += 5 + l.n;
        if (p >= end) break;
    }
    if (first.p) return fire(out, "gsm8k", false, first);
    while (s.n > 0 && blank(s.p[s.n - 1])) s.n--;
    span last = find_last(s, "\n");
    last = last.p ? (span){last.p + 1, last.n - 1} : s;
    if (last.n < 3 || memcmp(last.p, "A: ", 3) != 0) return false;
    return fire(out, "gsm8k", false, (span){last.p + 3, last.n - 3});
}

/* 2. Minerva: "final answer is $...$. I hope it is correct". */
static bool rule_minerva(rung_answer *out, span s) {
    span hope = find_last(s, ". I hope it is correct");
    if (!hope.p) return false;
    span at = find_last((span){s.p, s.n - hope.n}, "inal answer is");
    if (!at.p) return false;
    at.p += strlen("inal answer is");
    return fire(out, "minerva", false, (span){at.p, (size_t)(hope.p - at.p)});
}

/* The inside of the box that begins at s.p ("\boxed" or "\fbox"); end: the byte behind it. */
static bool box_inside(span s, span *inside, size_t *end) {
    size_t at = s.p[1] == 'b' ? 6 : 5, depth = 0;
    if (at < s.n && s.p[at] == ' ') { /* without braces */
        size_t n = 0;
        while (at + n < s.n && s.p[at + n] != '$' && s.p[at + n] != '\n') n++;
        *inside = (span){s.p + at, n};
        *end = at + n;
        return true;
    }
    if (at >= s.n || s.p[at] != '{') return false;
    for (size_t i = at; i < s.n; i++) {
        if (s.p[i] == '{') depth++;
        if (s.p[i] == '}' && --depth == 0) {
            *inside = (span){s.p + at + 1, i - at - 1};
            *end = i + 1;
            return true;
        }
    }
    return false; /* never closed */
}

static span last_box(span s) {
    span box = find_last(s, "\\boxed"), fbox = find_last(s, "\\fbox");
    return fbox.p && (!box.p || fbox.p > box.p) ? fbox : box;
}

/* Only "or", "and" or a comma between two boxes, with the marks of mathematics around it. */
static bool joins(const char *p, size_t n) {
    char word[8];
    size_t k = 0;
    if (n > 40) return false;
    for (size_t i = 0; i < n; i++) {
        static const char *const skip[] = {"\\text{", "\\quad", "\\ ", "\\,", "\\;",
                                           "$",       "}",      " ",   "\\(", "\\)"};
        size_t w = 0;
        while (w < sizeof skip / sizeof *skip &&
               (n - i < strlen(skip[w]) || memcmp(p + i, skip[w], strlen(skip[w])) != 0))
            w++;
        if (w < sizeof skip / sizeof *skip) {
            i += strlen(skip[w]) - 1;
        } else if (k + 1 < sizeof word) {
            word[k++] = p[i];
        } else {
            return false;
        }
    }
    word[k] = '\0';
    return strcmp(word, "or") == 0 || strcmp(word, "and") == 0 || strcmp(word, ",") == 0 ||
           strcmp(word, ",and") == 0 || strcmp(word, ",or") == 0;
}

/* "\boxed{15\frac{39}{40}} or \boxed{\frac{639}{40}}": one answer, written twice. */
static bool one_value(const span *inside, size_t n) {
    char text[EXTRACT_MAX], key[2][128];
    for (size_t i = 0; i < n; i++) {
        if (inside[i].n >= sizeof text) return false;
        memcpy(text, inside[i].p, inside[i].n);
        text[inside[i].n] = '\0';
        key_math(key[i > 0], text);
        if (i > 0 && strcmp(key[0], key[1]) != 0) return false;
    }
    return true;
}

/* 3. The last \boxed{...} or \fbox{...} by brace counting; "\boxed 5" up to the next $. Boxes that
 * only "or", "and" or a comma keeps apart are one answer: "\boxed{1} or \boxed{2}" is "1, 2". */
static bool rule_boxed(rung_answer *out, span s) {
    enum { BOXES_MAX = 8 };
    span inside[BOXES_MAX], box = last_box(s);
    size_t n = 1, end, n_text = 0;
    if (!box.p || !box_inside(box, &inside[0], &end)) return false;
    while (n < BOXES_MAX) {
        size_t before = (size_t)(box.p - s.p), from = before > 600 ? before - 600 : 0;
        span earlier = last_box((span){s.p + from, before - from});
        if (!earlier.p ||
            !box_inside((span){earlier.p, (size_t)(box.p - earlier.p)}, &inside[n], &end) ||
            !joins(earlier.p + end, (size_t)(box.p - earlier.p) - end))
            break;
        box = earlier;
        n++;
    }
    if (n == 1 || one_value(inside, n)) return fire(out, "boxed", false, inside[0]);
    char text[EXTRACT_MAX];
    for (size_t i = n; i-- > 0;) {
        span t = trimmed(inside[i]);
        if (n_text + t.n + 3 >= sizeof text) return fire(out, "boxed", false, inside[0]);
        memcpy(text + n_text, t.p, t.n);
        n_text += t.n;
        if (i > 0) text[n_text++] = ',', text[n_text++] = ' ';
    }
    return fire(out, "boxed", false, (span){text, n_text});
}

/* 4. "The answer is ...": to the end of the line, or of the next one with text. */
static bool rule_phrase(rung_answer *out, span s) {
    span a = find_last(s, "he answer is"), b = find_last(s, "final answer is");
    size_t skip = strlen("he answer is");
    if (b.p && (!a.p || b.p > a.p)) {
        a = b;
        skip = strlen("final answer is");
    }
    if (!a.p) return false;
    a = (span){a.p + skip, a.n - skip};
    while (a.n > 0 && (blank(a.p[0]) || a.p[0] == ':')) a.p++, a.n--;
    return fire(out, "phrase", false, line_of(a));
}

/* 5. The last number. Commas are part of it in well-formed groups only, and a minus sign only where
 * no operand stands before it: "16-3" ends in 3, "= -3" in -3. */
static bool rule_number(rung_answer *out, span s) {
    size_t end = s.n;
    while (end > 0 && !digit(s.p[end - 1])) end--;
    if (end == 0) return false;
    size_t begin = end;
    while (begin > 0 && end - begin < EXTRACT_MAX &&
           (digit(s.p[begin - 1]) || s.p[begin - 1] == ',' || s.p[begin - 1] == '.'))
        begin--;
    char text[EXTRACT_MAX + 1];
    if (end - begin >= EXTRACT_MAX) return fire(out, "number", true, (span){s.p, s.n});
    memcpy(text, s.p + begin, end - begin);
    text[end - begin] = '\0';
    /* the longest tail of this run that is one number: groups, then one point */
    size_t at = 0;
    for (;;) {
        size_t n = digits_with_groups(text + at), frac = 0;
        if (text[at + n] == '.')
            while (digit(text[at + n + 1 + frac])) frac++;
        if (n + frac > 0 && text[at + n + (frac ? frac + 1 : 0)] == '\0') break;
        at++;
    }
    begin += at;
    if (begin > 0 && s.p[begin - 1] == '-') {
        char before = begin > 1 ? s.p[begin - 2] : ' ';
        if (!digit(before) && !letter(before) && before != ')' && before != '}') begin--;
    }
    return fire(out, "number", true, (span){s.p + begin, end - begin});
}

void extract_math(rung_answer *out, const char *text, size_t n) {
    span s = {text ? text : "", text ? n : 0};
    memset(out, 0, sizeof *out);
    out->rule = "";
    if (rule_gsm8k(out, s) || rule_minerva(out, s) || rule_boxed(out, s) || rule_phrase(out, s) ||
        rule_number(out, s))
        return;
}

/* Rules 1-4, then the last line with text. */
void extract_exact(rung_answer *out, const char *text, size_t n) {
    span s = {text ? text : "", text ? n : 0};
    memset(out, 0, sizeof *out);
    out->rule = "";
    if (rule_gsm8k(out, s) || rule_minerva(out, s) || rule_boxed(out, s) || rule_phrase(out, s))
        return;
    while (s.n > 0 && blank(s.p[s.n - 1])) s.n--;
    span last = find_last(s, "\n");
    (void)fire(out, "line", true, last.p ? (span){last.p + 1, last.n - 1} : s);
}

/* Rules 3, 4 when they hold one letter, then the last standalone A-E. */
void extract_choice(rung_answer *out, const char *text, size_t n) {
    span s = {text ? text : "", text ? n : 0};
    memset(out, 0, sizeof *out);
    out->rule = "";
    for (size_t i = s.n; i-- > 0;) {
        char before = i > 0 ? s.p[i - 1] : ' ', after = i + 1 < s.n ? s.p[i + 1] : ' ';
        if (s.p[i] < 'A' || s.p[i] > 'E') continue;
        if (letter(before) || letter(after) || digit(before) || digit(after)) continue;
        (void)fire(out, "choice", true, (span){s.p + i, 1});
        return;
    }
}
