/* Frames: 16 bytes (type, length, id), then the data. */
#include "serve/serve_pipe.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HEAD_BYTES = 16, READ_BYTES = 1 << 16 };
#define FRAME_MAX ((size_t)64 << 20)
#define BUF_MAX   ((size_t)256 << 20)

void serve_pipe_init(serve_pipe *p, int fd) {
    *p = (serve_pipe){.fd = fd};
    rung_buf_init(&p->in, BUF_MAX);
    rung_buf_init(&p->out, BUF_MAX);
}

void serve_pipe_close(serve_pipe *p) {
    if (p->fd >= 0) close(p->fd);
    p->fd = -1;
    rung_buf_clear(&p->in);
    rung_buf_clear(&p->out);
    p->in_at = p->out_at = 0;
}

/* What was taken leaves the buffer. */
static void compact(rung_buf *b, size_t *at) {
    if (*at == 0) return;
    b->n -= *at;
    if (b->data) memmove(b->data, b->data + *at, b->n + 1); /* and the NUL; not by _reset: it */
    *at = 0;                                                /* would write into what is kept */
}

/* A length that no frame has: the other side is not what it should be. */
static bool nonsense(const serve_pipe *p) {
    uint32_t n = 0;
    if (p->in.n - p->in_at < HEAD_BYTES) return false;
    memcpy(&n, p->in.data + p->in_at + 4, 4);
    return n > FRAME_MAX;
}

bool serve_pipe_read(serve_pipe *p) {
    char bytes[READ_BYTES];
    if (p->fd < 0 || nonsense(p)) return false;
    compact(&p->in, &p->in_at);
    for (;;) {
        ssize_t n = recv(p->fd, bytes, sizeof bytes, MSG_DONTWAIT);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return errno == EAGAIN || errno == EWOULDBLOCK;
        if (n == 0) return false;
        rung_buf_append(&p->in, bytes, (size_t)n);
        if (p->in.failed) return false;
        if ((size_t)n < sizeof bytes) return true;
    }
}

bool serve_pipe_next(serve_frame *f, serve_pipe *p) {
    if (p->in.n - p->in_at < HEAD_BYTES) return false;
    const char *at = p->in.data + p->in_at;
    memcpy(&f->type, at, 4);
    memcpy(&f->n, at + 4, 4);
    memcpy(&f->id, at + 8, 8);
    if (f->n > FRAME_MAX || p->in.n - p->in_at - HEAD_BYTES < f->n) return false;
    f->data = at + HEAD_BYTES;
    p->in_at += HEAD_BYTES + f->n;
    return true;
}

void serve_pipe_put(serve_pipe *p, serve_frame_type type, uint64_t id, const void *a, size_t n_a,
                    const void *b, size_t n_b) {
    uint32_t t = (uint32_t)type, n = (uint32_t)(n_a + n_b);
    if (p->fd < 0 || n_a + n_b > FRAME_MAX) return;
    compact(&p->out, &p->out_at);
    rung_buf_append(&p->out, &t, 4);
    rung_buf_append(&p->out, &n, 4);
    rung_buf_append(&p->out, &id, 8);
    if (n_a) rung_buf_append(&p->out, a, n_a);
    if (n_b) rung_buf_append(&p->out, b, n_b);
}

bool serve_pipe_wants_out(const serve_pipe *p) {
    return p->fd >= 0 && p->out.n > p->out_at;
}

bool serve_pipe_flush(serve_pipe *p, bool wait) {
    if (p->out.failed) return false; /* half a frame may be in it */
    while (serve_pipe_wants_out(p)) {
        ssize_t n =
            send(p->fd, p->out.data + p->out_at, p->out.n - p->out_at, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n > 0) {
            p->out_at += (size_t)n;
            continue;
        }
        if (n < 0 && errno == EINTR) continue;
        if (n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK)) return false;
        if (!wait) return true;
        struct pollfd f = {.fd = p->fd, .events = POLLOUT};
        (void)poll(&f, 1, 1000);
    }
    return true;
}
