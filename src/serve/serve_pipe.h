/* Frames between the server and a worker, over a socket pair. Both ends are the same binary. */
#ifndef RUNG_SRC_SERVE_PIPE_H
#define RUNG_SRC_SERVE_PIPE_H
#include "rung/base.h"

typedef enum serve_frame_type {
    /* to the worker */
    SERVE_ASK = 1, /* serve_ask_head, then the body */
    SERVE_CANCEL,  /* nobody wants the reply any more */
    /* to the server */
    SERVE_READY = 16, /* text: what is served, JSON */
    SERVE_CANNOT,     /* rung_error: the worker ends */
    SERVE_HEAD,       /* serve_head: the reply begins */
    SERVE_DATA,       /* bytes of it */
    SERVE_END,        /* serve_cost: it is whole (also after a cancel) */
    SERVE_GAUGE       /* serve_gauge: how the worker is doing */
} serve_frame_type;

typedef struct serve_frame {
    uint32_t type, n;
    uint64_t id;      /* of the request */
    const char *data; /* borrowed until the next read */
} serve_frame;

typedef struct serve_ask_head {
    uint32_t kind, reserved;
    double left_s; /* until the request's time is over */
} serve_ask_head;
typedef struct serve_head {
    int32_t status;
    int32_t stream; /* text/event-stream, sent as it comes */
    int32_t html;   /* else JSON */
} serve_head;
typedef struct serve_cost {
    int64_t prompt_tok, gen_tok, scored_tok;
    int32_t stopped, searched; /* by its deadline; a search it was */
} serve_cost;
typedef struct serve_gauge {
    int64_t n_decode_calls, n_generated, n_prompt_new, n_prompt_forked, n_evicted, kv_bytes;
    double decode_s;
} serve_gauge;

typedef struct serve_pipe {
    int fd; /* -1 closed */
    rung_buf in, out;
    size_t in_at, out_at; /* read, written so far */
} serve_pipe;

void serve_pipe_init(serve_pipe *p, int fd);
void serve_pipe_close(serve_pipe *p);
/* Takes what is there without waiting. false: the other side is gone, or spoke nonsense. */
bool serve_pipe_read(serve_pipe *p);
/* The next whole frame of what was read. */
bool serve_pipe_next(serve_frame *f, serve_pipe *p);
/* Queues a frame: a, then b. */
void serve_pipe_put(serve_pipe *p, serve_frame_type type, uint64_t id, const void *a, size_t n_a,
                    const void *b, size_t n_b);
/* Writes what it can; wait: all of it. false: the other side is gone. */
bool serve_pipe_flush(serve_pipe *p, bool wait);
bool serve_pipe_wants_out(const serve_pipe *p);
#endif
