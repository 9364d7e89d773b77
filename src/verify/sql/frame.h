/* What a worker and rung say to each other, over a socket: u32 length, then the message. Internal
 * header. Both ends are one build on one machine: numbers as they lie in memory. */
#ifndef RUNG_SRC_VERIFY_SQL_FRAME_H
#define RUNG_SRC_VERIFY_SQL_FRAME_H
#include "rung/sql.h"

enum { FRAME_BYTES_MAX = 256 << 20, FRAME_COLS_MAX = 2000 };

/* rung -> worker. The first message opens: what[0] is 'f' (path) or 's' (script); later ones are
 * 'q' (query). */
typedef struct frame_ask {
    char kind;
    rung_sql_limits limits;
} frame_ask;

/* worker -> rung: a head, then column names, cells, the error. */
typedef struct frame_head {
    uint8_t outcome, truncated;
    uint32_t n_cols, n_rows, n_error;
    int64_t work;
} frame_head;

void frame_put_u32(rung_buf *b, uint32_t v);
void frame_put_text(rung_buf *b, const void *p, size_t n); /* u32 length, bytes */
void frame_put_value(rung_buf *b, const rung_sql_value *v);

/* A frame -> result, strings in a. false: not a frame (a worker is not trusted), or no memory. */
bool frame_read(rung_sql_result *out, rung_arena *a, const char *p, size_t n);

/* Whole messages over a blocking descriptor. false: the other end is gone. */
bool frame_send(int fd, const char *p, size_t n);
#endif
