/* Files out: bytes gather beside the name and take its place when they are whole. */
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

struct rung_out {
    int fd;
    char *path, *tmp; /* tmp NULL: written in place */
    bool nameless, made, keep_fd;
    char *gather; /* small pieces wait here */
    size_t n;
};
enum { OUT_GATHER = 1 << 16 };

static void out_free(rung_out *w) {
    if (!w) return;
    if (w->fd >= 0 && !w->keep_fd) close(w->fd);
    if (w->made) unlink(w->tmp);
    rung_free(w->gather);
    rung_free(w->path);
    rung_free(w->tmp);
    rung_free(w);
}

static rung_status open_beside(rung_out *w, mode_t mode, rung_error *err) {
    static _Atomic unsigned serial;
    size_t cap = strlen(w->path) + 48;
    w->tmp = rung_alloc(cap);
    if (!w->tmp) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    snprintf(w->tmp, cap, "%s.tmp-%ld-%u", w->path, (long)getpid(), atomic_fetch_add(&serial, 1u));
    w->fd = open_nameless(w->path);
    w->nameless = w->fd >= 0;
    if (!w->nameless) w->fd = open(w->tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (w->fd < 0) {
        rung_status st = rung_fail_errno(err, "could not create \"%s\"", w->path);
        if (st != RUNG_E_NOT_FOUND) return st;
        rung_fail(err, RUNG_E_IO, "could not create \"%s\"", w->path);
        rung_error_hint(err, "its folder does not exist");
        return RUNG_E_IO; /* it is the output that failed: nothing was looked for */
    }
    w->made = !w->nameless;
    if (mode) (void)fchmod(w->fd, mode & 07777); /* another owner's file: the default mode stays */
    return RUNG_OK;
}

/* A pipe, a terminal, /dev/null: nothing to rename over. */
static rung_status open_target(rung_out *w, const char *path, rung_error *err) {
    struct stat sb;
    char real[PATH_MAX]; /* a link keeps pointing: replace what it points at */
    bool there = stat(path, &sb) == 0;
    if (there && S_ISDIR(sb.st_mode))
        return rung_fail(err, RUNG_E_IO, "could not write \"%s\": is a folder", path);
    bool special = there && !S_ISREG(sb.st_mode);
    w->path = rung_strdup(there && !special && realpath(path, real) ? real : path);
    if (!w->path) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    if (!special) return open_beside(w, there ? sb.st_mode : 0, err);
    w->fd = open(path, O_WRONLY | O_CLOEXEC);
    if (w->fd < 0) return rung_fail_errno(err, "could not open \"%s\" for writing", path);
    return RUNG_OK;
}

rung_status rung_out_open(rung_out **out, const char *path, rung_error *err) {
    *out = NULL;
    rung_out *w = rung_calloc(1, sizeof *w);
    if (!w) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    w->fd = -1;
    rung_status st = RUNG_OK;
    w->gather = rung_alloc(OUT_GATHER);
    if (!w->gather) RUNG_GOTO(rung_fail(err, RUNG_E_NOMEM, "out of memory"));
    if (strcmp(path, "-") == 0) {
        w->fd = STDOUT_FILENO;
        w->keep_fd = true;
        w->path = rung_strdup("standard output");
        if (!w->path) st = rung_fail(err, RUNG_E_NOMEM, "out of memory");
    } else {
        st = open_target(w, path, err);
    }
out:
    if (st != RUNG_OK) {
        out_free(w);
        return st;
    }
    *out = w;
    return RUNG_OK;
}

static rung_status flush(rung_out *w, rung_error *err) {
    rung_status st = write_all(w->fd, w->gather, w->n, w->path, err);
    w->n = 0;
    return st;
}

rung_status rung_out_write(rung_out *w, const void *p, size_t n, rung_error *err) {
    if (n > OUT_GATHER - w->n) RUNG_TRY(flush(w, err));
    if (n >= OUT_GATHER) return write_all(w->fd, p, n, w->path, err);
    if (n) memcpy(w->gather + w->n, p, n);
    w->n += n;
    return RUNG_OK;
}

rung_status rung_out_commit(rung_out *w, rung_error *err) {
    rung_status st;
    RUNG_GOTO(flush(w, err));
    if (w->keep_fd) goto out;
    if (w->tmp && fsync(w->fd) != 0)
        RUNG_GOTO(rung_fail_errno(err, "could not write \"%s\"", w->path));
    if (w->nameless) {
        if (give_name(w->fd, w->tmp) != 0)
            RUNG_GOTO(rung_fail_errno(err, "could not name \"%s\"", w->path));
        w->made = true;
    }
    int fd = w->fd;
    w->fd = -1;
    if (close(fd) != 0) RUNG_GOTO(rung_fail_errno(err, "could not write \"%s\"", w->path));
    if (!w->tmp) goto out;
    if (rename(w->tmp, w->path) != 0)
        RUNG_GOTO(rung_fail_errno(err, "could not replace \"%s\"", w->path));
    w->made = false;
    st = sync_folder_of(w->path, err);
out:
    out_free(w);
    return st;
}

void rung_out_discard(rung_out *w) {
    out_free(w);
}

rung_status rung_file_write(const char *path, const void *p, size_t n, rung_error *err) {
    rung_out *w;
    RUNG_TRY(rung_out_open(&w, path, err));
    rung_status st = rung_out_write(w, p, n, err);
    if (st == RUNG_OK) return rung_out_commit(w, err);
    rung_out_discard(w);
    return st;
}
