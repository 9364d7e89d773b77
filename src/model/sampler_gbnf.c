/* GBNF as libllama 0.5 reads it:
 *
 *   grammar  = rule*                       rule = name "::=" alternates, to the end of the line
 *   alternates = sequence ("|" sequence)*  sequence = (item repeat?)*
 *   item = "literal" | [chars] | [^chars] | . | name | ( alternates ) | <token> | <[id]> | !<token>
 *   repeat = * | + | ? | {m} | {m,} | {m,n}
 *
 * with # comments, a rule "root", every name defined, and no rule that can begin with itself: also
 * none that repeats without end what may be empty, since libllama writes that as such a rule. */
#include "model/sampler_gbnf.h"

#include <string.h>

enum { MAX_BYTES = 1 << 17, MAX_DEPTH = 100, MAX_REPEAT = 2000 };

typedef struct rule {
    const char *name; /* in the text; a group has none */
    size_t n_name;
    const char *seen;    /* where it was first met */
    bool defined, empty; /* empty: may match nothing */
    int state;           /* of the search for left recursion: 0 new, 1 open, 2 done */
} rule;

/* A part of an alternative that decides what the rule can begin with. */
typedef struct part {
    int32_t rule, alt, ref; /* ref: the rule it stands for, -1 none */
    bool optional, endless;
    const char *at;
} part;

typedef struct gbnf {
    const char *text, *p;
    rule *rules;
    part *parts;
    int32_t n_rules, cap_rules, n_parts, cap_parts, n_alts;
    int depth;
    bool names_tokens;
    rung_error *err;
} gbnf;

static rung_status fail_at(gbnf *g, const char *at, const char *what) {
    int32_t line = 1, column = 1;
    for (const char *c = g->text; c < at; c++) {
        column = *c == '\n' ? 1 : column + ((*c & 0xC0) != 0x80);
        line += *c == '\n';
    }
    rung_fail(g->err, RUNG_E_FORMAT, "grammar, line %d, column %d: %s", line, column, what);
    rung_error_hint(g->err, "the format is GBNF: root ::= \"Yes\" | \"No\"");
    return RUNG_E_FORMAT;
}

static rung_status no_memory(gbnf *g) {
    return rung_fail(g->err, RUNG_E_NOMEM, "no memory for a grammar");
}

static bool is_word(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
}

static void space(gbnf *g, bool lines) {
    for (;; g->p++) {
        if (*g->p == '#') {
            while (*g->p && *g->p != '\r' && *g->p != '\n') g->p++;
            if (!*g->p) return;
            g->p--;
        } else if (*g->p != ' ' && *g->p != '\t' && !(lines && (*g->p == '\r' || *g->p == '\n'))) {
            return;
        }
    }
}

static rung_status add_rule(gbnf *g, int32_t *id, const char *name, size_t n) {
    for (*id = 0; n > 0 && *id < g->n_rules; ++*id) {
        if (g->rules[*id].n_name == n && memcmp(g->rules[*id].name, name, n) == 0) return RUNG_OK;
    }
    if (g->n_rules == g->cap_rules) {
        int32_t cap = g->cap_rules ? g->cap_rules * 2 : 32;
        rule *r = rung_realloc(g->rules, (size_t)cap * sizeof *r);
        if (!r) return no_memory(g);
        g->rules = r;
        g->cap_rules = cap;
    }
    *id = g->n_rules++;
    g->rules[*id] = (rule){.name = name, .n_name = n, .seen = name};
    return RUNG_OK;
}

static rung_status add_part(gbnf *g, part p) {
    if (g->n_parts == g->cap_parts) {
        int32_t cap = g->cap_parts ? g->cap_parts * 2 : 64;
        part *x = rung_realloc(g->parts, (size_t)cap * sizeof *x);
        if (!x) return no_memory(g);
        g->parts = x;
        g->cap_parts = cap;
    }
    g->parts[g->n_parts++] = p;
    return RUNG_OK;
}

/* One character of a literal or a set, escapes included. */
static rung_status character(gbnf *g) {
    if (*g->p != '\\') {
        if (!*g->p) return fail_at(g, g->p, "the text ends inside a literal or a set");
        g->p++;
        while ((*g->p & 0xC0) == 0x80) g->p++;
        return RUNG_OK;
    }
    static const char plain[] = "trn\\\"[]-";
    const char *at = g->p++;
    int n_hex = *g->p == 'x' ? 2 : *g->p == 'u' ? 4 : *g->p == 'U' ? 8 : 0;
    if (n_hex == 0 && (!*g->p || !strchr(plain, *g->p)))
        return fail_at(g, at,
                       "no such escape: \\t \\r \\n \\\\ \\\" \\[ \\] \\- \\xFF \\uFFFF exist");
    g->p++;
    for (int i = 0; i < n_hex; i++, g->p++) {
        if (!*g->p || !strchr("0123456789abcdefABCDEF", *g->p))
            return fail_at(g, at, "an escape with too few hexadecimal digits");
    }
    return RUNG_OK;
}

static rung_status literal(gbnf *g, bool *empty) {
    const char *at = g->p++;
    *empty = *g->p == '"';
    while (*g->p != '"') {
        if (!*g->p) return fail_at(g, at, "a literal that does not close");
        RUNG_TRY(character(g));
    }
    g->p++;
    return RUNG_OK;
}

static rung_status set(gbnf *g, bool *empty) {
    const char *at = g->p++;
    if (*g->p == '^') g->p++;
    *empty = *g->p == ']'; /* libllama makes an item of no elements of it */
    while (*g->p != ']') {
        if (!*g->p) return fail_at(g, at, "a set that does not close");
        RUNG_TRY(character(g));
        if (g->p[0] == '-' && g->p[1] != ']') {
            g->p++;
            RUNG_TRY(character(g));
        }
    }
    g->p++;
    return RUNG_OK;
}

static rung_status token(gbnf *g) {
    const char *at = g->p;
    if (*g->p == '!') g->p++;
    if (*g->p != '<') return fail_at(g, at, "no <token> after \"!\"");
    while (*g->p && *g->p != '>' && *g->p != '\n') g->p++;
    if (*g->p != '>') return fail_at(g, at, "a <token> that does not close");
    g->p++;
    g->names_tokens = true;
    return RUNG_OK;
}

static bool number(gbnf *g, int32_t *n) {
    *n = 0;
    if (*g->p < '0' || *g->p > '9') return false;
    for (; *g->p >= '0' && *g->p <= '9'; g->p++)
        *n = *n > MAX_REPEAT ? *n : *n * 10 + (*g->p - '0');
    return true;
}

/* What follows an item: how often. */
static rung_status repeat(gbnf *g, part *x, bool nested) {
    const char *at = g->p;
    int32_t least = 1, most = 1;
    if (*g->p == '*' || *g->p == '+' || *g->p == '?') {
        x->optional |= *g->p != '+';
        x->endless |= *g->p != '?';
        g->p++;
        space(g, nested);
        return RUNG_OK;
    }
    g->p++;
    space(g, nested);
    if (!number(g, &least)) return fail_at(g, at, "a repetition is {m}, {m,} or {m,n}");
    most = least;
    space(g, nested);
    if (*g->p == ',') {
        g->p++;
        space(g, nested);
        x->endless |= !number(g, &most);
        if (x->endless) most = least;
        space(g, nested);
    }
    if (*g->p != '}') return fail_at(g, at, "a repetition that does not close: {m}, {m,} or {m,n}");
    if (least > MAX_REPEAT) return fail_at(g, at, "more than 2000 repetitions");
    if (most < least) return fail_at(g, at, "a repetition {m,n} with n below m");
    x->endless |= most > MAX_REPEAT;
    x->optional |= least == 0;
    g->p++;
    space(g, nested);
    return RUNG_OK;
}

static rung_status alternates(gbnf *g, int32_t id, bool nested);

static rung_status group(gbnf *g, part *x) {
    const char *at = g->p++;
    if (++g->depth > MAX_DEPTH) return fail_at(g, at, "groups nested more than 100 deep");
    RUNG_TRY(add_rule(g, &x->ref, at, 0));
    g->rules[x->ref].defined = true;
    space(g, true);
    RUNG_TRY(alternates(g, x->ref, true));
    if (*g->p != ')') return fail_at(g, *g->p ? g->p : at, "a group that does not close");
    g->p++;
    g->depth--;
    return RUNG_OK;
}

/* One item with its repetition; *is_item = false: the sequence ends here. */
static rung_status item(gbnf *g, part *x, bool *is_item, bool nested) {
    const char *at = x->at = g->p;
    *is_item = true;
    if (*g->p == '"') {
        RUNG_TRY(literal(g, &x->optional));
    } else if (*g->p == '[') {
        RUNG_TRY(set(g, &x->optional));
    } else if (*g->p == '<' || *g->p == '!') {
        RUNG_TRY(token(g));
    } else if (is_word(*g->p)) {
        while (is_word(*g->p)) g->p++;
        RUNG_TRY(add_rule(g, &x->ref, at, (size_t)(g->p - at)));
    } else if (*g->p == '(') {
        RUNG_TRY(group(g, x));
    } else if (*g->p == '.') {
        g->p++;
    } else if (*g->p && strchr("*+?{", *g->p)) {
        return fail_at(g, at, "a repetition of nothing");
    } else {
        *is_item = false;
        return RUNG_OK;
    }
    space(g, nested);
    bool bare = x->optional;
    if (bare && *g->p && strchr("*+?{", *g->p)) return fail_at(g, at, "a repetition of nothing");
    while (*g->p && strchr("*+?{", *g->p)) RUNG_TRY(repeat(g, x, nested));
    return RUNG_OK;
}

static rung_status alternates(gbnf *g, int32_t id, bool nested) {
    for (;;) {
        int32_t alt = g->n_alts++;
        bool is_item;
        /* the marker of the alternative: an alternative of no items is one, too */
        RUNG_TRY(add_part(g, (part){.rule = id, .alt = alt, .ref = -1, .optional = true}));
        do {
            part x = {.rule = id, .alt = alt, .ref = -1};
            RUNG_TRY(item(g, &x, &is_item, nested));
            if (is_item) RUNG_TRY(add_part(g, x));
        } while (is_item);
        if (*g->p != '|') return RUNG_OK;
        g->p++;
        space(g, true);
    }
}

static rung_status one_rule(gbnf *g) {
    const char *at = g->p;
    int32_t id;
    while (is_word(*g->p)) g->p++;
    if (g->p == at) return fail_at(g, at, "the name of a rule is wanted here");
    RUNG_TRY(add_rule(g, &id, at, (size_t)(g->p - at)));
    space(g, false);
    if (strncmp(g->p, "::=", 3) != 0)
        return fail_at(g, g->p, "\"::=\" is wanted after a rule's name");
    g->p += 3;
    if (g->rules[id].defined) return fail_at(g, at, "this rule is defined twice");
    g->rules[id].defined = true;
    space(g, true);
    RUNG_TRY(alternates(g, id, false));
    if (*g->p && *g->p != '\r' && *g->p != '\n')
        return fail_at(g, g->p,
                       *g->p == ')' ? "a \")\" without its \"(\""
                                    : "nothing of a grammar begins with this character");
    space(g, true);
    return RUNG_OK;
}

/* --- rules that can begin with themselves ----------------------------------------------------- */

static bool skippable(const gbnf *g, const part *x) {
    return x->optional || (x->ref >= 0 && g->rules[x->ref].empty);
}

static rung_status find_empty(gbnf *g) {
    bool *all = rung_alloc((size_t)g->n_alts + 1);
    if (!all) return no_memory(g);
    for (bool again = true; again;) {
        again = false;
        memset(all, true, (size_t)g->n_alts);
        for (int32_t i = 0; i < g->n_parts; i++) all[g->parts[i].alt] &= skippable(g, &g->parts[i]);
        for (int32_t i = 0; i < g->n_parts; i++) {
            rule *r = &g->rules[g->parts[i].rule];
            if (all[g->parts[i].alt] && !r->empty) r->empty = again = true;
        }
    }
    rung_free(all);
    return RUNG_OK;
}

static rung_status begins_with_itself(gbnf *g, int32_t id) {
    g->rules[id].state = 1;
    for (int32_t i = 0; i < g->n_parts; i++) {
        if (g->parts[i].rule != id || g->parts[i].at) continue; /* markers: one per alternative */
        for (int32_t k = i + 1; k < g->n_parts; k++) {
            const part *x = &g->parts[k];
            if (x->alt != g->parts[i].alt) continue;
            if (x->ref >= 0 && g->rules[x->ref].state == 1)
                return fail_at(g, x->at, "left recursion: a rule begins with itself here");
            if (x->ref >= 0 && g->rules[x->ref].state == 0) RUNG_TRY(begins_with_itself(g, x->ref));
            if (!skippable(g, x)) break;
        }
    }
    g->rules[id].state = 2;
    return RUNG_OK;
}

static rung_status check_rules(gbnf *g) {
    bool root = false;
    for (int32_t i = 0; i < g->n_rules; i++) {
        const rule *r = &g->rules[i];
        if (!r->defined) return fail_at(g, r->seen, "this rule is not defined");
        root |= r->n_name == 4 && memcmp(r->name, "root", 4) == 0;
    }
    if (!root) return fail_at(g, g->text, "there is no rule \"root\"");
    RUNG_TRY(find_empty(g));
    for (int32_t i = 0; i < g->n_parts; i++) {
        const part *x = &g->parts[i];
        if (x->endless && x->ref >= 0 && g->rules[x->ref].empty)
            return fail_at(g, x->at, "an endless repetition of what may be empty");
    }
    for (int32_t i = 0; i < g->n_rules; i++) {
        if (g->rules[i].state == 0) RUNG_TRY(begins_with_itself(g, i));
    }
    return RUNG_OK;
}

rung_status rung_gbnf_check(bool *names_tokens, const char *text, rung_error *err) {
    gbnf g = {.text = text, .p = text, .err = err};
    rung_status st = RUNG_OK;
    if (strlen(text) > MAX_BYTES) return rung_fail(err, RUNG_E_LIMIT, "a grammar of over 128 KiB");
    space(&g, true);
    while (st == RUNG_OK && *g.p) st = one_rule(&g);
    if (st == RUNG_OK) st = check_rules(&g);
    *names_tokens = g.names_tokens;
    rung_free(g.rules);
    rung_free(g.parts);
    return st;
}
