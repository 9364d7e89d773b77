/* Messages between rung and a worker: written by the one, read with suspicion by the other. */
#include "verify/sql/frame.h"
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void frame_put_u32(rung_buf *b, uint32_t v) {
    rung_buf_append(b, &v, sizeof v);
}

void frame_put_text(rung_buf *b, const void *p, size_t n) {
    frame_put_u32(b, (uint32_t)n);
    rung_buf_append(b, p, n);
}

void frame_put_value(rung_buf *b, const rung_sql_value *v) {
    uint8_t type = (uint8_t)v->type;
    rung_buf_append(b, &type, 1);
    if (v->type == RUNG_SQL_INT) rung_buf_append(b, &v->i, sizeof v->i);
    if (v->type == RUNG_SQL_REAL) rung_buf_append(b, &v->d, sizeof v->d);
    if (v->type == RUNG_SQL_TEXT || v->type == RUNG_SQL_BLOB) frame_put_text(b, v->s, (size_t)v->n);
}

typedef struct reader {
    const char *p, *end;
    rung_arena *a;
    bool bad;
} reader;

static void take(reader *r, void *to, size_t n) {
    memset(to, 0, n);
    if (r->bad || (size_t)(r->end - r->p) < n) {
        r->bad = true;
        return;
    }
    memcpy(to, r->p, n);
    r->p += n;
}

static const char *take_text(reader *r, uint32_t *n) {
    take(r, n, sizeof *n);
    if (r->bad || (size_t)(r->end - r->p) < *n) {
        r->bad = true;
        return "";
    }
    const char *s = rung_arena_strndup(r->a, r->p, *n);
    r->p += *n;
    r->bad = r->bad || !s;
    return s ? s : "";
}

static void take_value(reader *r, rung_sql_value *v) {
    uint8_t type;
    uint32_t n = 0;
    take(r, &type, 1);
    if (type > RUNG_SQL_BLOB) r->bad = true;
    v->type = (rung_sql_type)type;
    if (type == RUNG_SQL_INT) take(r, &v->i, sizeof v->i);
    if (type == RUNG_SQL_REAL) take(r, &v->d, sizeof v->d);
    if (type == RUNG_SQL_TEXT || type == RUNG_SQL_BLOB) v->s = take_text(r, &n);
    v->n = (int32_t)n;
}

bool frame_read(rung_sql_result *out, rung_arena *a, const char *p, size_t n) {
    reader r = {p, p + n, a, false};
    frame_head h;
    memset(out, 0, sizeof *out);
    out->error = "";
    take(&r, &h, sizeof h);
    /* each cell takes a byte at least: a lie about their number is seen before memory is asked */
    if (r.bad || h.outcome > RUNG_SQL_CRASHED || h.n_cols > FRAME_COLS_MAX ||
        (uint64_t)h.n_cols * h.n_rows > n || (h.n_cols == 0 && h.n_rows > 0))
        return false;
    const char **col = rung_arena_alloc(a, (h.n_cols + 1) * sizeof *col);
    size_t n_cells = (size_t)h.n_cols * h.n_rows;
    rung_sql_value *cell = rung_arena_alloc(a, (n_cells + 1) * sizeof *cell);
    if (!col || !cell) return false;
    uint32_t len;
    for (uint32_t c = 0; c < h.n_cols; c++) col[c] = take_text(&r, &len);
    for (size_t c = 0; c < n_cells && !r.bad; c++) take_value(&r, &cell[c]);
    const char *error = take_text(&r, &len);
    if (r.bad || r.p != r.end || len != h.n_error) return false;
    *out = (rung_sql_result){.outcome = (rung_sql_outcome)h.outcome,
                             .error = error,
                             .n_cols = (int32_t)h.n_cols,
                             .n_rows = (int32_t)h.n_rows,
                             .truncated = h.truncated != 0,
                             .col = col,
                             .cell = cell,
                             .work = h.work};
    return true;
}

static bool send_all(int fd, const void *p, size_t n) {
    const char *at = p;
    while (n > 0) {
        ssize_t k = send(fd, at, n, MSG_NOSIGNAL);
        if (k < 0 && errno == EINTR) continue;
        if (k <= 0) return false;
        at += k;
        n -= (size_t)k;
    }
    return true;
}

bool frame_send(int fd, const char *p, size_t n) {
    uint32_t head = (uint32_t)n;
    return n <= FRAME_BYTES_MAX && send_all(fd, &head, sizeof head) && send_all(fd, p, n);
}
