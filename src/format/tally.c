/* Reasons and their counts: "step 3 is neutral" and "step 7 is neutral" are one reason. */
#include "format/row.h"
#include <string.h>

/* Numbers become N, so that rows with the same trouble count together; UTF-8 is a name. */
static void general(char out[96], const char *what) {
    size_t n = 0;
    bool in_number = false, in_quotes = false;
    for (const char *p = what; *p && n + 1 < 96; p++) {
        if (*p == '"') in_quotes = !in_quotes;
        bool digit = *p >= '0' && *p <= '9' && !in_quotes;
        bool minus = n == 1 ? out[0] == '-' : n > 1 && out[n - 1] == '-' && out[n - 2] == ' ';
        if (digit && (in_number || n == 0 || out[n - 1] == ' ' || minus)) {
            if (!in_number) out[n++] = 'N';
            in_number = true;
            continue;
        }
        in_number = false;
        out[n++] = *p;
    }
    out[n] = '\0';
}

static rung_tally_row *row_of(rung_tally *t, const char *what) {
    for (int32_t i = 0; i < t->n; i++)
        if (strcmp(t->row[i].what, what) == 0) return &t->row[i];
    if (t->n == t->cap) {
        int32_t cap = t->cap ? 2 * t->cap : 16;
        rung_tally_row *fresh = rung_realloc(t->row, (size_t)cap * sizeof *fresh);
        if (!fresh) return t->n ? &t->row[t->n - 1] : NULL;
        t->row = fresh;
        t->cap = cap;
    }
    rung_tally_row *r = &t->row[t->n++];
    memset(r, 0, sizeof *r);
    memcpy(r->what, what, strlen(what) + 1);
    return r;
}

enum { REASONS_MAX = 200 }; /* a hostile file must not grow the report without end */

void tally_add(rung_tally *t, const char *what, int64_t n, int64_t line) {
    char text[96];
    if (!t || n == 0) return;
    general(text, t->n < REASONS_MAX ? what : "other reasons");
    rung_tally_row *r = row_of(t, text);
    if (!r) return;
    r->n += n;
    for (int i = 0; i < RUNG_TALLY_LINES && line > 0; i++) {
        if (r->line[i] == line) break;
        if (r->line[i]) continue;
        r->line[i] = line;
        break;
    }
}

void tally_move(rung_tally *to, rung_tally *from, int64_t line) {
    for (int32_t i = 0; i < from->n; i++) tally_add(to, from->row[i].what, from->row[i].n, line);
    rung_free(from->row);
    memset(from, 0, sizeof *from);
}

void rung_format_report_reject(rung_format_report *r, const char *reason, int64_t row) {
    tally_add(&r->rejected, reason, 1, row);
}

void rung_format_report_clear(rung_format_report *r) {
    rung_free(r->rejected.row);
    rung_free(r->lost.row);
    memset(r, 0, sizeof *r);
}

static void tally_json(rung_buf *b, const rung_tally *t, const char *what) {
    rung_buf_str(b, "[");
    for (int32_t i = 0; i < t->n; i++) {
        rung_buf_printf(b, "%s{\"%s\":", i ? "," : "", what);
        rung_buf_json_str(b, t->row[i].what, strlen(t->row[i].what));
        rung_buf_printf(b, ",\"n\":%lld,\"lines\":[", (long long)t->row[i].n);
        for (int k = 0; k < RUNG_TALLY_LINES && t->row[i].line[k]; k++)
            rung_buf_printf(b, "%s%lld", k ? "," : "", (long long)t->row[i].line[k]);
        rung_buf_str(b, "]}");
    }
    rung_buf_str(b, "]");
}

void rung_format_report_json(rung_buf *b, const rung_format_report *r) {
    rung_buf_printf(b, "{\"rows_in\":%lld,\"rows_out\":%lld,\"n_rejected\":%lld,\"left_out\":%lld",
                    (long long)r->n_in, (long long)r->n_out, (long long)r->n_rejected,
                    (long long)r->n_left_out);
    rung_buf_str(b, ",\"rejected\":");
    tally_json(b, &r->rejected, "reason");
    rung_buf_str(b, ",\"not_carried\":");
    tally_json(b, &r->lost, "what");
    rung_buf_str(b, "}");
}
