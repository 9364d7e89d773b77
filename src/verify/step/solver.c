/* The solver as others see it: a worker process, started when first needed, started again when it
 * died. It is forked, not executed, so it needs no program of its own; nothing of Z3 runs on this
 * side. */
#include "verify/step/solver.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SANITIZED = 1 }; /* their shadow memory wants all of the address space */
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif
#else
enum { SANITIZED = 0 };
#endif
enum { RLIMIT_DEFAULT = 2000000, MEMORY_DEFAULT = 1024, MEMORY_SPARE = 1024 };
static const double WALL_DEFAULT = 60.0;

struct rung_solver {
    rung_solver_opts o;
    rung_solver_counts n;
    pid_t pid; /* 0: none */
    int fd;
};

bool solver_read(int fd, void *p, size_t n) {
    for (size_t done = 0; done < n;) {
        ssize_t k = read(fd, (char *)p + done, n - done);
        if (k < 0 && errno == EINTR) continue;
        if (k <= 0) return false;
        done += (size_t)k;
    }
    return true;
}

bool solver_write(int fd, const void *p, size_t n) {
    for (size_t done = 0; done < n;) {
        ssize_t k = send(fd, (const char *)p + done, n - done, MSG_NOSIGNAL);
        if (k < 0 && errno == EINTR) continue;
        if (k <= 0) return false;
        done += (size_t)k;
    }
    return true;
}

static void child(int fd, uint32_t memory_mb, pid_t parent) {
    struct rlimit none = {0, 0};
    struct sigaction dfl = {.sa_handler = SIG_DFL};
    sigset_t empty;
    int null = open("/dev/null", O_RDWR);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent || null < 0) _exit(1);
    if (dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0 || dup2(fd, 3) < 0) _exit(1);
    (void)syscall(SYS_close_range, 4u, ~0u, 0u);
    (void)setrlimit(RLIMIT_CORE, &none);
    rlim_t bytes = (rlim_t)(memory_mb + MEMORY_SPARE) << 20;
    struct rlimit memory = {bytes, bytes};
    if (!SANITIZED) (void)setrlimit(RLIMIT_AS, &memory); /* Z3 stops itself before; for the rest */
    for (int k = 1; k < NSIG; k++)
        if (k != SIGKILL && k != SIGSTOP) (void)sigaction(k, &dfl, NULL);
    (void)sigaction(SIGINT, &(struct sigaction){.sa_handler = SIG_IGN}, NULL); /* the parent's */
    sigemptyset(&empty);
    (void)sigprocmask(SIG_SETMASK, &empty, NULL);
    solver_work(3, memory_mb);
}

static rung_status start(rung_solver *s, rung_error *err) {
    int fd[2];
    if (s->pid > 0) return RUNG_OK;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd) != 0)
        return rung_fail_errno(err, "could not start the solver");
    pid_t parent = getpid(), pid = fork();
    if (pid < 0) {
        rung_fail_errno(err, "could not start the solver");
        close(fd[0]);
        close(fd[1]);
        return err ? err->code : RUNG_E_IO;
    }
    if (pid == 0) child(fd[1], s->o.memory_mb, parent);
    close(fd[1]);
    s->pid = pid;
    s->fd = fd[0];
    return RUNG_OK;
}

static void stop(rung_solver *s) {
    if (s->pid <= 0) return;
    (void)kill(s->pid, SIGKILL);
    while (waitpid(s->pid, NULL, 0) < 0 && errno == EINTR) continue;
    close(s->fd);
    s->pid = 0;
}

rung_status rung_solver_new(rung_solver **out, const rung_solver_opts *opts, rung_error *err) {
    *out = NULL;
    if (opts && opts->struct_size > sizeof *opts)
        return rung_fail(err, RUNG_E_INVAL, "solver options of a newer library");
    rung_solver *s = rung_calloc(1, sizeof *s);
    if (!s) return rung_fail(err, RUNG_E_NOMEM, "no memory for the solver");
    if (opts) memcpy(&s->o, opts, opts->struct_size);
    if (s->o.rlimit == 0) s->o.rlimit = RLIMIT_DEFAULT;
    if (s->o.memory_mb == 0) s->o.memory_mb = MEMORY_DEFAULT;
    if (!(s->o.wall_s > 0)) s->o.wall_s = WALL_DEFAULT;
    rung_status st = start(s, err);
    if (st != RUNG_OK) {
        rung_free(s);
        return st;
    }
    *out = s;
    return RUNG_OK;
}

void rung_solver_free(rung_solver *s) {
    if (!s) return;
    stop(s);
    rung_free(s);
}

void rung_solver_counted(rung_solver_counts *out, const rung_solver *s) {
    *out = s->n;
}

/* Waits for the answer; false: the worker died or took too long. */
static bool wait_for(rung_solver *s, solver_head *h) {
    double until = rung_now() + s->o.wall_s;
    for (;;) {
        double left = until - rung_now();
        struct pollfd p = {.fd = s->fd, .events = POLLIN};
        if (left <= 0) return false;
        int k = poll(&p, 1, (int)(left * 1000) + 1);
        if (k < 0 && errno == EINTR) continue;
        if (k > 0) return solver_read(s->fd, h, sizeof *h) && h->n <= SOLVER_MODEL_MAX;
    }
}

static solver_answer talk(rung_buf *model, rung_solver *s, const char *query, size_t n) {
    solver_head h = {(uint32_t)n, s->o.rlimit, 0};
    char text[1024];
    if (!solver_write(s->fd, &h, sizeof h) || !solver_write(s->fd, query, n) || !wait_for(s, &h))
        return SOLVER_DIED;
    for (uint32_t done = 0; done < h.n;) {
        uint32_t k = h.n - done < sizeof text ? h.n - done : (uint32_t)sizeof text;
        if (!solver_read(s->fd, text, k)) return SOLVER_DIED;
        rung_buf_append(model, text, k);
        done += k;
    }
    s->n.rlimit += h.rlimit;
    return h.answer <= SOLVER_BAD ? (solver_answer)h.answer : SOLVER_DIED;
}

rung_status solver_ask(solver_answer *out, rung_buf *model, rung_solver *s, const char *query,
                       size_t n, rung_error *err) {
    *out = SOLVER_UNKNOWN;
    if (!s || n > SOLVER_QUERY_MAX) {
        rung_buf_str(model, s ? "too large" : "no solver");
        return RUNG_OK;
    }
    RUNG_TRY(start(s, err));
    *out = talk(model, s, query, n);
    s->n.n++;
    s->n.n_unsat += *out == SOLVER_UNSAT;
    s->n.n_sat += *out == SOLVER_SAT;
    s->n.n_unknown += *out > SOLVER_SAT;
    s->n.n_limit += *out == SOLVER_LIMIT;
    s->n.n_died += *out == SOLVER_DIED;
    if (*out == SOLVER_DIED) {
        stop(s);
        rung_buf_reset(model);
        rung_buf_str(model, "the solver died or took too long");
    }
    return RUNG_OK;
}

void solver_explain(rung_buf *out, const char *query, size_t n, solver_answer answer) {
    static const char *const names[] = {"unsat",    "sat", "unknown", "out of resources",
                                        "not read", "died"};
    if (!out || n == 0) return;
    for (size_t i = 0; i < n;) { /* a line of SMT-LIB each */
        const char *end = memchr(query + i, '\n', n - i);
        size_t len = end ? (size_t)(end - (query + i)) : n - i;
        if (len > 0) {
            rung_buf_str(out, "    ");
            rung_buf_append(out, query + i, len);
            rung_buf_str(out, "\n");
        }
        i += len + 1;
    }
    rung_buf_printf(out, "    %s\n", (unsigned)answer < 6 ? names[answer] : "?");
}
