/* TensorBoard event files (tensorflow/core/util/event.proto, TFRecord framing):
 *
 *   record   u64 n | u32 masked CRC-32C of those 8 bytes | n bytes | u32 masked CRC-32C of them
 *   bytes    Event { double wall_time 1; int64 step 2; string file_version 3; Summary summary 5;
 *                    SessionLog session_log 7 { status 1: START = 1 } }
 *            Summary { Value value 1 { string tag 1; float simple_value 2 } }
 *   mask     rotate right by 15, then + 0xa282ead8.   All little-endian. */
#include "rung/curve.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FLUSH_EVERY_S 2.0
enum { NAME_MAX_BYTES = 1024 };

struct rung_tensorboard {
    FILE *file;
    char *path;
    double flushed;
    bool started, failed;
    uint32_t crc[256];
};

/* CRC-32C (Castagnoli), reflected. */
static void fill_crc(uint32_t table[256]) {
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int k = 0; k < 8; k++) c = c & 1 ? c >> 1 ^ 0x82f63b78u : c >> 1;
        table[i] = c;
    }
}

static uint32_t masked_crc(const uint32_t table[256], const unsigned char *p, size_t n) {
    uint32_t c = 0xffffffffu;
    for (size_t i = 0; i < n; i++) c = table[(c ^ p[i]) & 0xff] ^ c >> 8;
    c ^= 0xffffffffu;
    return (c >> 15 | c << 17) + 0xa282ead8u;
}

/* Protobuf, into a buffer that is large enough ------------------------------------------------ */

typedef struct writer {
    unsigned char *data;
    size_t n;
} writer;

static void put_le(writer *w, uint64_t v, int bytes) {
    for (int i = 0; i < bytes; i++) w->data[w->n++] = (unsigned char)(v >> 8 * i);
}

static void put_varint(writer *w, uint64_t v) {
    for (; v >= 0x80; v >>= 7) w->data[w->n++] = (unsigned char)(v | 0x80);
    w->data[w->n++] = (unsigned char)v;
}

static void put_key(writer *w, unsigned field, unsigned wire) {
    put_varint(w, field << 3 | wire);
}

static void put_bytes(writer *w, unsigned field, const void *p, size_t n) {
    put_key(w, field, 2);
    put_varint(w, n);
    memcpy(w->data + w->n, p, n);
    w->n += n;
}

static void begin_event(writer *w, int64_t step) {
    double now = (double)rung_unix_ms() / 1000.0;
    uint64_t bits;
    memcpy(&bits, &now, sizeof bits);
    put_key(w, 1, 1);
    put_le(w, bits, 8);
    put_key(w, 2, 0);
    put_varint(w, (uint64_t)step);
}

/* Records
 * ------------------------------------------------------------------------------------------ */

static rung_status failed(rung_tensorboard *t, rung_error *err) {
    t->failed = true;
    return rung_fail_errno(err, "could not write \"%s\"", t->path);
}

static rung_status put_record(rung_tensorboard *t, const writer *event, rung_error *err) {
    unsigned char head[12], tail[4];
    writer h = {head, 0}, e = {tail, 0};
    put_le(&h, event->n, 8);
    put_le(&h, masked_crc(t->crc, head, 8), 4);
    put_le(&e, masked_crc(t->crc, event->data, event->n), 4);
    if (fwrite(head, sizeof head, 1, t->file) != 1 ||
        fwrite(event->data, event->n, 1, t->file) != 1 ||
        fwrite(tail, sizeof tail, 1, t->file) != 1)
        return failed(t, err);
    return RUNG_OK;
}

static rung_status put_version(rung_tensorboard *t, rung_error *err) {
    static const char version[] = "brain.Event:2";
    unsigned char data[64];
    writer w = {data, 0};
    begin_event(&w, 0);
    put_bytes(&w, 3, version, sizeof version - 1);
    RUNG_TRY(put_record(t, &w, err));
    return rung_tensorboard_flush(t, err);
}

/* Readers drop what earlier files hold of this step and later ones. */
static rung_status put_start(rung_tensorboard *t, int64_t step, rung_error *err) {
    static const unsigned char start[] = {1 << 3, 1};
    unsigned char data[64];
    writer w = {data, 0};
    begin_event(&w, step);
    put_bytes(&w, 7, start, sizeof start);
    t->started = true;
    return put_record(t, &w, err);
}

/* A file that nobody else has: several runs may start in one second. */
static rung_status make_file(rung_tensorboard *t, const char *dir, rung_error *err) {
    char host[256] = "localhost";
    if (mkdir(dir, 0777) != 0 && errno != EEXIST)
        return rung_fail_errno(err, "could not make the directory \"%s\"", dir);
    if (gethostname(host, sizeof host - 1) != 0) memcpy(host, "localhost", 10);
    for (int i = 0; i < 1000; i++) {
        rung_buf b;
        rung_buf_init(&b, 1u << 16);
        rung_buf_printf(&b, "%s/events.out.tfevents.%lld.%s", dir,
                        (long long)(rung_unix_ms() / 1000), host);
        if (i > 0) rung_buf_printf(&b, ".%d", i);
        t->path = rung_buf_take(&b, NULL);
        if (!t->path) return rung_fail(err, RUNG_E_NOMEM, "no memory for a path");
        int fd = open(t->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd >= 0) {
            t->file = fdopen(fd, "wb");
            if (!t->file) close(fd);
            break;
        }
        if (errno != EEXIST) break;
        rung_free(t->path);
        t->path = NULL;
    }
    if (!t->file) return rung_fail_errno(err, "could not make an event file in \"%s\"", dir);
    return RUNG_OK;
}

rung_status rung_tensorboard_open(rung_tensorboard **out, const char *dir, rung_error *err) {
    *out = NULL;
    rung_tensorboard *t = rung_calloc(1, sizeof *t);
    if (!t) return rung_fail(err, RUNG_E_NOMEM, "no memory for an event file");
    fill_crc(t->crc);
    rung_status st = make_file(t, dir, err);
    if (st == RUNG_OK) st = put_version(t, err);
    if (st == RUNG_OK)
        *out = t;
    else
        (void)rung_tensorboard_close(t, NULL);
    return st;
}

rung_status rung_tensorboard_put(rung_tensorboard *t, int64_t step, const char *name, double value,
                                 rung_error *err) {
    unsigned char inner[NAME_MAX_BYTES + 32], middle[NAME_MAX_BYTES + 64],
        outer[NAME_MAX_BYTES + 128];
    writer v = {inner, 0}, s = {middle, 0}, e = {outer, 0};
    size_t n = strlen(name);
    float f = (float)value;
    uint32_t bits;
    if (n > NAME_MAX_BYTES || step < 0)
        return rung_fail(err, RUNG_E_INVAL, "a curve's name of %zu bytes at step %lld", n,
                         (long long)step);
    if (t->failed) return rung_fail(err, RUNG_E_IO, "\"%s\" could not be written before", t->path);
    if (!t->started) RUNG_TRY(put_start(t, step, err));
    memcpy(&bits, &f, sizeof bits);
    put_bytes(&v, 1, name, n);
    put_key(&v, 2, 5);
    put_le(&v, bits, 4);
    put_bytes(&s, 1, inner, v.n);
    begin_event(&e, step);
    put_bytes(&e, 5, middle, s.n);
    RUNG_TRY(put_record(t, &e, err));
    return rung_now() - t->flushed < FLUSH_EVERY_S ? RUNG_OK : rung_tensorboard_flush(t, err);
}

rung_status rung_tensorboard_flush(rung_tensorboard *t, rung_error *err) {
    t->flushed = rung_now();
    if (t->failed || fflush(t->file) == 0) return RUNG_OK;
    return failed(t, err);
}

rung_status rung_tensorboard_close(rung_tensorboard *t, rung_error *err) {
    rung_status st = RUNG_OK;
    if (!t) return st;
    if (t->file) {
        bool before = t->failed;
        if (fclose(t->file) != 0 && !before) st = failed(t, err);
    }
    rung_free(t->path);
    rung_free(t);
    return st;
}
