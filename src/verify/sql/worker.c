/* Starting, asking and ending a worker process. */
#include "verify/sql/worker.h"
#include "verify/code/filter.h"
#include "verify/sql/frame.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FD_HIGH = 16, START_S = 60 };

/* The worker's program, in a file that has no name and never lies on a disk. */
static rung_status program_fd(int *fd, rung_error *err) {
    *fd = memfd_create("rung-sql", MFD_CLOEXEC);
    if (*fd < 0) return rung_fail_errno(err, "could not make a memory file");
    for (size_t done = 0; done < rung_sql_worker_exe_n;) {
        ssize_t n = write(*fd, rung_sql_worker_exe + done, rung_sql_worker_exe_n - done);
        if (n < 0) return rung_fail_errno(err, "could not write a memory file");
        done += (size_t)n;
    }
    return RUNG_OK;
}

static void close_fd(int *fd) {
    if (*fd >= 0) close(*fd);
    *fd = -1;
}

/* Above the numbers that the worker gets them under. */
static bool lift(int *fd) {
    int high = fcntl(*fd, F_DUPFD_CLOEXEC, FD_HIGH);
    if (high < 0) return false;
    close(*fd);
    *fd = high;
    return true;
}

static rung_status spawn(pid_t *pid, int program, int socket, int filter, rung_error *err) {
    static char name[] = "rung-sql";
    char *argv[] = {name, NULL};
    static char tz[] = "TZ=UTC0", locale[] = "LC_ALL=C", asan[] = "ASAN_OPTIONS=detect_leaks=0";
    char *env[] = {tz, locale, asan, NULL};
    char path[40];
    posix_spawn_file_actions_t fa;
    posix_spawnattr_t at;
    sigset_t none;
    snprintf(path, sizeof path, "/proc/self/fd/%d", program);
    sigemptyset(&none);
    if (posix_spawn_file_actions_init(&fa) != 0) return rung_fail(err, RUNG_E_NOMEM, "no memory");
    if (posix_spawnattr_init(&at) != 0) {
        posix_spawn_file_actions_destroy(&fa);
        return rung_fail(err, RUNG_E_NOMEM, "no memory");
    }
    posix_spawnattr_setsigmask(&at, &none);
    posix_spawnattr_setpgroup(&at, 0); /* an interrupt from the terminal is rung's to handle */
    posix_spawnattr_setflags(&at, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
    int rc = posix_spawn_file_actions_addopen(&fa, 0, "/dev/null", O_RDWR, 0);
    for (int fd = 1; rc == 0 && fd < 3; fd++) rc = posix_spawn_file_actions_adddup2(&fa, 0, fd);
    if (rc == 0) rc = posix_spawn_file_actions_adddup2(&fa, socket, 3);
    if (rc == 0) rc = posix_spawn_file_actions_adddup2(&fa, filter, 4);
    if (rc == 0) rc = posix_spawn(pid, path, &fa, &at, argv, env);
    posix_spawn_file_actions_destroy(&fa);
    posix_spawnattr_destroy(&at);
    if (rc == 0) return RUNG_OK;
    rung_fail(err, RUNG_E_SANDBOX, "could not start the process that runs queries: %s",
              strerror(rc));
    return rung_error_hint(err, "queries of a model run only in a process of their own: /proc must "
                                "be mounted and memory files must be allowed to run");
}

/* n bytes before the deadline. 0 all, 1 late, -1 the other end is gone. */
static int receive(int fd, void *to, size_t n, double deadline) {
    char *at = to;
    while (n > 0) {
        double left = deadline - rung_now();
        struct pollfd p = {fd, POLLIN, 0};
        if (left <= 0) return 1;
        int ready = poll(&p, 1, left > 1e6 ? 1000000000 : (int)(left * 1000) + 1);
        if (ready < 0 && errno == EINTR) continue;
        if (ready == 0) continue;
        ssize_t k = recv(fd, at, n, MSG_DONTWAIT);
        if (k < 0 && (errno == EINTR || errno == EAGAIN)) continue;
        if (k <= 0) return -1;
        at += k;
        n -= (size_t)k;
    }
    return 0;
}

static int receive_message(rung_buf *out, int fd, double deadline) {
    char chunk[16384];
    uint32_t n;
    int rc = receive(fd, &n, sizeof n, deadline);
    if (rc != 0) return rc;
    if (n > FRAME_BYTES_MAX) return -1;
    while (n > 0) {
        uint32_t k = n < sizeof chunk ? n : (uint32_t)sizeof chunk;
        rc = receive(fd, chunk, k, deadline);
        if (rc != 0) return rc;
        rung_buf_append(out, chunk, k);
        n -= k;
    }
    return out->failed ? -1 : 0;
}

static bool send_ask(int fd, char kind, const rung_sql_limits *l, const char *text) {
    rung_buf b;
    frame_ask head = {0};
    head.kind = kind;
    head.limits = *l;
    rung_buf_init(&b, FRAME_BYTES_MAX);
    rung_buf_append(&b, &head, sizeof head);
    rung_buf_append(&b, text, strlen(text));
    bool ok = !b.failed && frame_send(fd, b.data, b.n);
    rung_buf_clear(&b);
    return ok;
}

/* The worker says "" or why it cannot: "!..." when the fault is not the database's. */
static rung_status hear_start(sql_worker *w, double wall_s, rung_error *err) {
    rung_buf b;
    rung_buf_init(&b, 4096);
    int rc = receive_message(&b, w->fd, rung_now() + wall_s);
    rung_status st = RUNG_OK;
    if (rc != 0) {
        st = rc > 0 ? rung_fail(err, RUNG_E_SANDBOX,
                                "the process that runs queries did not start in %.0f s", wall_s)
                    : rung_fail(err, RUNG_E_SANDBOX,
                                "the process that runs queries ended at its start");
    } else if (b.n > 0 && b.data[0] == '!') {
        st = rung_fail(err, RUNG_E_SANDBOX, "the process that runs queries has no walls: %s",
                       b.data + 1);
    } else if (b.n > 0) {
        st = rung_fail(err, RUNG_E_FORMAT, "%s", b.data);
    }
    rung_buf_clear(&b);
    return st;
}

rung_status worker_start(sql_worker *w, const char *path, const char *script,
                         const rung_sql_limits *l, rung_error *err) {
    int program = -1, filter = -1, pair[2] = {-1, -1};
    rung_status st;
    *w = (sql_worker){0, -1};
    RUNG_GOTO(program_fd(&program, err));
    RUNG_GOTO(filter_make(&filter, FILTER_QUERY, err));
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0 || !lift(&pair[1]) ||
        !lift(&filter) || !lift(&program)) {
        st = rung_fail_errno(err, "could not make a channel");
        goto out;
    }
    RUNG_GOTO(spawn(&w->pid, program, pair[1], filter, err));
    w->fd = pair[0];
    pair[0] = -1;
    close_fd(&pair[1]); /* so that its end is seen */
    if (!send_ask(w->fd, script ? 's' : 'f', l, script ? script : path))
        st = rung_fail(err, RUNG_E_SANDBOX, "the process that runs queries does not listen");
    if (st == RUNG_OK) st = hear_start(w, l->wall_s > START_S ? l->wall_s : START_S, err);
out:
    close_fd(&program), close_fd(&filter), close_fd(&pair[0]), close_fd(&pair[1]);
    if (st != RUNG_OK) worker_stop(w);
    return st;
}

rung_status worker_query(rung_buf *frame, bool *starved, sql_worker *w, const char *sql,
                         const rung_sql_limits *l, rung_error *err) {
    *starved = false;
    int rc = -1;
    if (send_ask(w->fd, 'q', l, sql)) rc = receive_message(frame, w->fd, rung_now() + l->wall_s);
    if (frame->failed) rc = rung_buf_check(frame, err) == RUNG_OK ? rc : -2;
    if (rc == 0) return RUNG_OK;
    *starved = rc > 0;
    worker_stop(w);
    if (rc == -2) return err ? err->code : RUNG_E_NOMEM;
    return RUNG_DONE;
}

void worker_stop(sql_worker *w) {
    close_fd(&w->fd);
    if (w->pid > 0) {
        kill(w->pid, SIGKILL);
        while (waitpid(w->pid, NULL, 0) < 0 && errno == EINTR) {
        }
    }
    *w = (sql_worker){0, -1};
}
