/* Frames between rung and a tester: u32 bytes of JSON, u32 bytes of blob, both little-endian, then
 * the two. Never blocks. Internal header. */
#ifndef RUNG_SRC_VERIFY_CODE_WIRE_H
#define RUNG_SRC_VERIFY_CODE_WIRE_H
#include "base/json.h"

typedef struct wire {
    int fd;
    rung_buf out, in;
    size_t sent, read; /* of out, of in */
    bool ended;        /* the other end closed it */
} wire;

void wire_open(wire *w, int fd); /* takes fd */
void wire_close(wire *w);
/* Appends a frame; check w->out.failed once at the end. */
void wire_put(wire *w, const rung_buf *json, const void *blob, size_t n_blob);
void wire_push(wire *w); /* sends what the channel takes now */
void wire_pull(wire *w); /* receives what is there */
bool wire_unsent(const wire *w);
/* The next whole frame: *doc is the caller's, *blob borrowed until the next wire call. DONE: not
 * here yet. E_FORMAT: not a frame. */
rung_status wire_next(yyjson_doc **doc, const char **blob, size_t *n_blob, wire *w,
                      rung_error *err);
#endif
