/* Tokens of SQL, and the form that queries are run in and results kept under. */
#include "verify/sql/sql_lex.h"
#include <sqlite3.h>
#include <string.h>
#include <strings.h>

static bool blank(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f';
}
static bool digit(char c) {
    return c >= '0' && c <= '9';
}
static bool name_byte(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || digit(c) || c == '_' || c == '$' ||
           (unsigned char)c >= 0x80;
}

/* Behind blanks and comments; a comment that is never closed goes to the end, as in SQLite. */
static const char *skip_gap(const char *p, const char *end) {
    for (;;) {
        const char *at = p;
        while (p < end && blank(*p)) p++;
        if (end - p >= 2 && p[0] == '-' && p[1] == '-') {
            const char *nl = memchr(p, '\n', (size_t)(end - p));
            p = nl ? nl : end;
        } else if (end - p >= 2 && p[0] == '/' && p[1] == '*') {
            for (p += 2; end - p >= 2 && !(p[0] == '*' && p[1] == '/');) p++;
            p = end - p >= 2 ? p + 2 : end;
        }
        if (p == at) return p;
    }
}

/* Behind the closing quote, doubled ones inside; NULL: never closed. */
static const char *quoted_end(const char *p, const char *end, char close) {
    bool doubles = close != ']';
    for (p++; p < end; p++) {
        if (*p != close) continue;
        if (doubles && p + 1 < end && p[1] == close) {
            p++;
            continue;
        }
        return p + 1;
    }
    return NULL;
}

static const char *number_end(const char *p, const char *end) {
    if (end - p > 2 && p[0] == '0' && (p[1] == 'x' || p[1] == 'X')) {
        for (p += 2; p < end && name_byte(*p);) p++;
        return p;
    }
    while (p < end && digit(*p)) p++;
    if (p < end && *p == '.') p++;
    while (p < end && digit(*p)) p++;
    if (p < end && (*p == 'e' || *p == 'E')) {
        const char *q = p + 1;
        if (q < end && (*q == '+' || *q == '-')) q++;
        if (q < end && digit(*q)) p = q;
    }
    while (p < end && name_byte(*p)) p++; /* 12abc is one (bad) token in SQLite, too */
    return p;
}

static size_t sign_length(const char *p, const char *end) {
    static const char two[][3] = {"<>", "<=", ">=", "!=", "==", "||", "<<", ">>", "->"};
    if (end - p >= 3 && memcmp(p, "->>", 3) == 0) return 3;
    for (size_t i = 0; end - p >= 2 && i < sizeof two / sizeof *two; i++)
        if (memcmp(p, two[i], 2) == 0) return 2;
    return strchr("(),;.+-*/%<>=!|&~?", *p) && *p ? 1 : 0;
}

sql_token sql_next(const char **at, const char *end) {
    const char *p = skip_gap(*at, end);
    sql_token t = {SQL_END, p, 0, p != *at};
    const char *to = NULL;
    if (p == end) {
        *at = p;
        return t;
    }
    if ((*p == 'x' || *p == 'X') && end - p > 1 && p[1] == '\'') {
        t.kind = SQL_BLOB;
        to = quoted_end(p + 1, end, '\'');
    } else if (*p == '\'') {
        t.kind = SQL_STRING;
        to = quoted_end(p, end, '\'');
    } else if (*p == '"' || *p == '`' || *p == '[') {
        t.kind = SQL_QUOTED;
        to = quoted_end(p, end, *p == '[' ? ']' : *p);
    } else if (digit(*p) || (*p == '.' && end - p > 1 && digit(p[1]))) {
        t.kind = SQL_NUMBER;
        to = number_end(p, end);
    } else if (name_byte(*p)) {
        t.kind = SQL_WORD;
        for (to = p; to < end && name_byte(*to);) to++;
    } else {
        size_t n = sign_length(p, end);
        t.kind = n ? SQL_SIGN : SQL_BAD;
        to = p + (n ? n : 1);
    }
    if (!to) {
        t.kind = SQL_BAD;
        to = end;
    }
    t.n = (int32_t)(to - p);
    *at = to;
    return t;
}

bool sql_is(const sql_token *t, const char *word) {
    return (t->kind == SQL_WORD || t->kind == SQL_SIGN) && strlen(word) == (size_t)t->n &&
           strncasecmp(t->p, word, (size_t)t->n) == 0;
}

void rung_sql_normal(rung_buf *out, const char *sql) {
    const char *p = sql, *end = sql + strlen(sql);
    size_t kept = out->n; /* without the semicolons at the end */
    bool first = true;
    for (;;) {
        sql_token t = sql_next(&p, end);
        if (t.kind == SQL_END) break;
        if (t.gap && !first) rung_buf_str(out, " ");
        first = false;
        size_t at = out->n;
        rung_buf_append(out, t.p, (size_t)t.n);
        if (out->failed) return;
        if (t.kind == SQL_WORD && sqlite3_keyword_check(t.p, t.n))
            for (size_t i = at; i < out->n; i++)
                if (out->data[i] >= 'a' && out->data[i] <= 'z') out->data[i] &= (char)~0x20;
        if (!sql_is(&t, ";")) kept = out->n;
    }
    rung_buf_append(out, "", 0);
    if (out->failed || !out->data) return;
    out->n = kept;
    out->data[kept] = '\0';
}
