/* Whole files in. */
#include "rung/base.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static rung_status read_all(rung_buf *b, int fd, const char *path, rung_error *err) {
    enum { CHUNK = 1 << 16 };
    char chunk[CHUNK];
    for (;;) {
        ssize_t n = read(fd, chunk, CHUNK);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return rung_fail_errno(err, "could not read \"%s\"", path);
        if (n == 0) break;
        rung_buf_append(b, chunk, (size_t)n);
        if (b->failed) break;
    }
    rung_buf_append(b, "", 0); /* an empty file still has its NUL */
    if (b->failed && b->over)
        return rung_fail(err, RUNG_E_LIMIT, "\"%s\" is longer than %zu bytes", path, b->max);
    return rung_buf_check(b, err);
}

rung_status rung_file_read(rung_buf *b, const char *path, rung_error *err) {
    if (strcmp(path, "-") == 0) return read_all(b, STDIN_FILENO, "standard input", err);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return rung_fail_errno(err, "could not open \"%s\"", path);
    rung_status st = read_all(b, fd, path, err);
    close(fd);
    return st;
}
