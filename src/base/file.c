/* Whole files in, whole files out; a failed write leaves the old file as it was. */
#include "rung/base.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
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

static rung_status write_all(int fd, const void *p, size_t n, const char *path, rung_error *err) {
    const char *at = p;
    while (n) {
        ssize_t put = write(fd, at, n < (size_t)1 << 30 ? n : (size_t)1 << 30);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return rung_fail_errno(err, "could not write \"%s\"", path);
        at += put;
        n -= (size_t)put;
    }
    return RUNG_OK;
}

static char *folder_of(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? rung_strndup(path, slash == path ? 1 : (size_t)(slash - path))
                 : rung_strdup(".");
}

static rung_status sync_folder_of(const char *path, rung_error *err) {
    char *folder = folder_of(path);
    if (!folder) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    rung_status st = RUNG_OK;
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    /* Some file systems cannot sync a folder (EINVAL); the rename itself has already happened. */
    if (fd < 0 || (fsync(fd) != 0 && errno != EINVAL && errno != ENOTSUP && errno != EROFS))
        st = rung_fail_errno(err, "could not sync the folder of \"%s\"", path);
    if (fd >= 0) close(fd);
    rung_free(folder);
    return st;
}

/* A pipe, a terminal, /dev/null: nothing to rename over. */
static rung_status write_special(const char *path, const void *p, size_t n, rung_error *err) {
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) return rung_fail_errno(err, "could not open \"%s\" for writing", path);
    rung_status st = write_all(fd, p, n, path, err);
    if (close(fd) != 0 && st == RUNG_OK) st = rung_fail_errno(err, "could not write \"%s\"", path);
    return st;
}

/* A file in the folder of path that has no name yet, so that a kill leaves nothing behind; -1 where
 * the file system or a missing /proc does not allow it. */
static int open_nameless(const char *path) {
    int fd = -1;
#ifdef O_TMPFILE
    char *folder = access("/proc/self/fd", X_OK) == 0 ? folder_of(path) : NULL;
    if (folder) fd = open(folder, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666);
    rung_free(folder);
#endif
    return fd;
}

static int give_name(int fd, const char *name) {
    char self[48];
    snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    return linkat(AT_FDCWD, self, AT_FDCWD, name, AT_SYMLINK_FOLLOW);
}

/* mode: that of the file being replaced, 0 = a new file's default. */
static rung_status write_beside(const char *path, mode_t mode, const void *p, size_t n,
                                rung_error *err) {
    static _Atomic unsigned serial;
    rung_status st = RUNG_OK;
    size_t cap = strlen(path) + 48;
    char *tmp = rung_alloc(cap);
    if (!tmp) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    snprintf(tmp, cap, "%s.tmp-%ld-%u", path, (long)getpid(), atomic_fetch_add(&serial, 1u));
    bool made = false;
    int fd = open_nameless(path);
    bool nameless = fd >= 0;
    if (!nameless) fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0) {
        st = rung_fail_errno(err, "could not create \"%s\"", path);
        if (st == RUNG_E_NOT_FOUND) rung_error_hint(err, "its folder does not exist");
        goto out;
    }
    made = !nameless;
    if (mode) (void)fchmod(fd, mode & 07777); /* another owner's file: the default mode stays */
    st = write_all(fd, p, n, path, err);
    if (st == RUNG_OK && fsync(fd) != 0) st = rung_fail_errno(err, "could not write \"%s\"", path);
    if (nameless && st == RUNG_OK) {
        made = give_name(fd, tmp) == 0;
        if (!made) st = rung_fail_errno(err, "could not name \"%s\"", path);
    }
    if (close(fd) != 0 && st == RUNG_OK) st = rung_fail_errno(err, "could not write \"%s\"", path);
    if (st != RUNG_OK) goto out;
    if (rename(tmp, path) != 0) {
        st = rung_fail_errno(err, "could not replace \"%s\"", path);
        goto out;
    }
    made = false;
    st = sync_folder_of(path, err);
out:
    if (made) unlink(tmp);
    rung_free(tmp);
    return st;
}

rung_status rung_file_write(const char *path, const void *p, size_t n, rung_error *err) {
    struct stat sb;
    if (stat(path, &sb) != 0) return write_beside(path, 0, p, n, err);
    if (S_ISDIR(sb.st_mode))
        return rung_fail(err, RUNG_E_IO, "could not write \"%s\": is a folder", path);
    if (!S_ISREG(sb.st_mode)) return write_special(path, p, n, err);
    char real[PATH_MAX]; /* a link keeps pointing: replace what it points at */
    return write_beside(realpath(path, real) ? real : path, sb.st_mode, p, n, err);
}
