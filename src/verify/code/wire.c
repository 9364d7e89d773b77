/* Frames between rung and a tester. */
#include "verify/code/wire.h"
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FRAME_MAX = 64 << 20, CHUNK = 65536 };

void wire_open(wire *w, int fd) {
    *w = (wire){.fd = fd};
    rung_buf_init(&w->out, 1u << 30);
    rung_buf_init(&w->in, FRAME_MAX + 16);
}

void wire_close(wire *w) {
    if (w->fd >= 0) close(w->fd);
    rung_buf_clear(&w->out);
    rung_buf_clear(&w->in);
    *w = (wire){.fd = -1, .ended = true};
}

static void put_u32(unsigned char *p, size_t v) {
    for (int i = 0; i < 4; i++) p[i] = (unsigned char)(v >> (8 * i));
}

static size_t get_u32(const char *s) {
    const unsigned char *p = (const unsigned char *)s;
    return (size_t)p[0] | (size_t)p[1] << 8 | (size_t)p[2] << 16 | (size_t)p[3] << 24;
}

void wire_put(wire *w, const rung_buf *json, const void *blob, size_t n_blob) {
    unsigned char head[8];
    if (json->failed || json->n + n_blob > FRAME_MAX) {
        w->out.failed = true;
        return;
    }
    put_u32(head, json->n);
    put_u32(head + 4, n_blob);
    rung_buf_append(&w->out, head, 8);
    rung_buf_append(&w->out, json->data, json->n);
    if (n_blob) rung_buf_append(&w->out, blob, n_blob);
}

bool wire_unsent(const wire *w) {
    return !w->ended && w->sent < w->out.n;
}

void wire_push(wire *w) {
    while (wire_unsent(w)) {
        ssize_t n =
            send(w->fd, w->out.data + w->sent, w->out.n - w->sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) { /* a closed end is told by wire_pull, after what was said before */
            if (errno != EAGAIN) w->sent = w->out.n;
            return;
        }
        w->sent += (size_t)n;
    }
    if (w->sent == w->out.n) {
        rung_buf_reset(&w->out);
        w->sent = 0;
    }
}

void wire_pull(wire *w) {
    char chunk[CHUNK];
    if (w->read > 0) {
        memmove(w->in.data, w->in.data + w->read, w->in.n - w->read);
        w->in.n -= w->read;
        w->read = 0;
    }
    while (!w->ended && !w->in.failed) {
        ssize_t n = recv(w->fd, chunk, sizeof chunk, MSG_DONTWAIT);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EAGAIN) return;
        if (n <= 0) {
            w->ended = true;
            return;
        }
        rung_buf_append(&w->in, chunk, (size_t)n);
    }
}

rung_status wire_next(yyjson_doc **doc, const char **blob, size_t *n_blob, wire *w,
                      rung_error *err) {
    const char *p = w->in.data + w->read;
    size_t have = w->in.n - w->read;
    if (w->in.failed) return rung_fail(err, RUNG_E_FORMAT, "an answer over 64 MiB");
    if (have < 8) return RUNG_DONE;
    size_t n_text = get_u32(p), n = get_u32(p + 4);
    if (n_text > FRAME_MAX || n > FRAME_MAX)
        return rung_fail(err, RUNG_E_FORMAT, "not a frame of the sandbox");
    if (have < 8 + n_text + n) return RUNG_DONE;
    *doc = yyjson_read_opts(w->in.data + w->read + 8, n_text, 0, &rung_json_alc, NULL);
    if (!*doc) return rung_fail(err, RUNG_E_FORMAT, "not a frame of the sandbox");
    *blob = p + 8 + n_text;
    *n_blob = n;
    w->read += 8 + n_text + n;
    return RUNG_OK;
}
