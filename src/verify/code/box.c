/* Starting and ending a box (docs/design/sandbox.md): bubblewrap builds the outer walls, the server
 * inside builds the program's own. */
#include "verify/code/box.h"
#include "verify/code/filter.h"
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    NOBODY = 65534,
    START_MS = 20000, /* a loaded machine; 60 ms on a quiet one */
    ARGV_MAX = 96,
    OURS = 256 << 20, /* bytes of the server and the tester; 60 MiB at rest */
    OUR_PROCESSES = 24,
    /* descriptors in the box, from here on, in this order */
    FD_CONTROL = 3,
    FD_PROGRAM_FILTER,
    FD_PY,
    FD_BOX_FILTER
};

static int pidfd_open_(pid_t pid) {
    return (int)syscall(SYS_pidfd_open, pid, 0);
}

static rung_status memfd_of(int *fd, const char *name, const void *p, size_t n, rung_error *err) {
    *fd = memfd_create(name, MFD_CLOEXEC);
    if (*fd < 0) return rung_fail_errno(err, "could not make a memory file");
    for (size_t done = 0; done < n;) {
        ssize_t k = write(*fd, (const char *)p + done, n - done);
        if (k < 0) return rung_fail_errno(err, "could not write a memory file");
        done += (size_t)k;
    }
    (void)lseek(*fd, 0, SEEK_SET);
    return RUNG_OK;
}

typedef struct arguments {
    const char *v[ARGV_MAX];
    size_t n;
    char text[16][128];
    size_t n_text;
} arguments;

static void add(arguments *a, const char *const *words, size_t n) {
    for (size_t i = 0; i < n && a->n + 1 < ARGV_MAX; i++) a->v[a->n++] = words[i];
    a->v[a->n] = NULL;
}
#define ADD(a, ...)                                                                                \
    add(a, (const char *const[]){__VA_ARGS__},                                                     \
        sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))

static const char *number(arguments *a, int64_t v) {
    char *s = a->text[a->n_text++ % 16];
    snprintf(s, sizeof a->text[0], "%lld", (long long)v);
    return s;
}

/* A folder of the root: the link that it is on this system, or its content, read-only. */
static void add_root_folder(arguments *a, const char *path) {
    char *to = a->text[a->n_text++ % 16];
    ssize_t n = readlink(path, to, sizeof a->text[0] - 1);
    if (n > 0) {
        to[n] = '\0';
        ADD(a, "--symlink", to, path);
    } else {
        ADD(a, "--ro-bind-try", path, path);
    }
}

static void bwrap_arguments(arguments *a, const rung_sandbox_opts *o) {
    ADD(a, o->bwrap, "--unshare-user", "--unshare-pid", "--unshare-net", "--unshare-ipc",
        "--unshare-uts", "--unshare-cgroup-try", "--die-with-parent", "--new-session", "--uid",
        number(a, NOBODY), "--gid", number(a, NOBODY), "--hostname", "box", "--clearenv");
    ADD(a, "--setenv", "PATH", "/usr/bin:/bin", "--setenv", "HOME", "/tmp", "--setenv", "LANG",
        "C.UTF-8", "--setenv", "PYTHONHASHSEED", "0", "--setenv", "TZ", "UTC");
    ADD(a, "--ro-bind", "/usr", "/usr");
    static const char *const roots[] = {"/bin", "/sbin", "/lib", "/lib64"};
    for (size_t i = 0; i < sizeof roots / sizeof *roots; i++) add_root_folder(a, roots[i]);
    ADD(a, "--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache", "--ro-bind-try",
        "/etc/alternatives", "/etc/alternatives");
    ADD(a, "--proc", "/proc", "--dev", "/dev", "--size", "1048576", "--tmpfs", "/tmp",
        "--ro-bind-data", number(a, FD_PY), "/box/box.py", "--remount-ro", "/dev", "--remount-ro",
        "/", "--chdir", "/tmp", "--seccomp", number(a, FD_BOX_FILTER), "--");
}

/* In the child: descriptors 3.. are fd[0..n), everything above is closed. */
static bool place(const int *fd, int n) {
    int high[8];
    for (int i = 0; i < n; i++) {
        high[i] = fcntl(fd[i], F_DUPFD, FD_CONTROL + n);
        if (high[i] < 0) return false;
    }
    for (int i = 0; i < n; i++)
        if (dup2(high[i], FD_CONTROL + i) < 0) return false;
    return syscall(SYS_close_range, (unsigned)(FD_CONTROL + n), ~0u, 0) == 0;
}

/* Root gives its rights up first: what a hole in the walls leads to is nobody's. */
static bool become_nobody(void) {
    if (getuid() != 0) return true;
    return setgroups(0, NULL) == 0 && setresgid(NOBODY, NOBODY, NOBODY) == 0 &&
           setresuid(NOBODY, NOBODY, NOBODY) == 0;
}

/* Programs take turns with everybody else, also where rung itself runs at real-time priority: a
 * fork bomb at that priority would starve its keeper. */
static bool ordinary_turn(void) {
    int policy = sched_getscheduler(0) & ~SCHED_RESET_ON_FORK;
    if (policy != SCHED_FIFO && policy != SCHED_RR) return true;
    return sched_setscheduler(0, SCHED_OTHER, &(struct sched_param){0}) == 0;
}

static void child_run(const arguments *a, const int *fd, const box *b) {
    static char *const env[] = {"PATH=/usr/bin:/bin", "LANG=C.UTF-8", "PYTHONHASHSEED=0",
                                "HOME=/nonexistent",  "TZ=UTC",       NULL};
    int null = open("/dev/null", O_RDWR);
    const char *what = "descriptors";
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(b->log, 2) < 0 || !place(fd, 4))
        goto fail;
    what = "leaving real-time priority";
    if (!ordinary_turn()) goto fail;
    what = "entering the control group";
    if (!cgroup_enter(&b->group)) goto fail;
    what = "giving up root";
    if (!become_nobody()) goto fail;
    what = "folder";
    if (chdir(b->work ? b->work : "/") != 0) goto fail;
    what = a->v[0];
    execve(a->v[0], (char *const *)(uintptr_t)a->v, env);
fail:
    dprintf(2, "%s: %s\n", what, strerror(errno));
    _exit(127);
}

void box_last_words(char out[200], const box *b) {
    char text[2048];
    off_t size = b->log >= 0 ? lseek(b->log, 0, SEEK_END) : 0;
    off_t from = size > (off_t)sizeof text - 1 ? size - (off_t)sizeof text + 1 : 0;
    ssize_t n = size > 0 ? pread(b->log, text, sizeof text - 1, from) : 0;
    out[0] = '\0';
    if (n <= 0) return;
    while (n > 0 && text[n - 1] == '\n') n--;
    text[n] = '\0';
    const char *line = strrchr(text, '\n');
    snprintf(out, 200, "%.199s", line ? line + 1 : text);
}

static rung_status no_box(const box *b, const rung_sandbox_opts *o, const char *what,
                          rung_error *err) {
    char words[200];
    box_last_words(words, b);
    rung_fail(err, RUNG_E_SANDBOX, "could not start a sandbox: %s%s%s", what, words[0] ? ": " : "",
              words);
    if (o->mode == RUNG_SANDBOX_LIMITS) return err ? err->code : RUNG_E_SANDBOX;
    return rung_error_hint(err, "rung runs code only in a sandbox: install bubblewrap and python3 "
                                "and allow user namespaces, or name the weaker mode: limits");
}

/* The server says what it is, once. */
static rung_status hear_ready(box *b, const rung_sandbox_opts *o, rung_error *err) {
    char text[256];
    struct pollfd p = {b->control, POLLIN, 0};
    int got;
    do got = poll(&p, 1, START_MS);
    while (got < 0 && errno == EINTR);
    if (got <= 0) return no_box(b, o, "no answer in 20 s", err);
    ssize_t n = recv(b->control, text, sizeof text, 0);
    yyjson_doc *doc = n > 0 ? yyjson_read(text, (size_t)n, 0) : NULL;
    yyjson_val *root = yyjson_doc_get_root(doc);
    const char *python = rung_json_str(root, "ready", NULL);
    if (python) snprintf(b->python, sizeof b->python, "%s", python);
    b->landlock = (int)rung_json_i64(root, "landlock", 0);
    yyjson_doc_free(doc);
    return python ? RUNG_OK : no_box(b, o, o->mode == RUNG_SANDBOX_BWRAP ? "bwrap" : "python", err);
}

static rung_status make_work(box *b, const rung_sandbox_opts *o, rung_error *err) {
    char path[] = "/tmp/rung-code-XXXXXX";
    if (o->mode == RUNG_SANDBOX_BWRAP) return RUNG_OK;
    if (!mkdtemp(path)) return rung_fail_errno(err, "could not make %s", path);
    b->work = rung_strdup(path);
    if (!b->work) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    if (getuid() == 0 && chown(path, NOBODY, NOBODY) != 0)
        return rung_fail_errno(err, "could not give %s away", path);
    return RUNG_OK;
}

rung_status box_start(box *b, const rung_sandbox_opts *o, rung_error *err) {
    int pair[2] = {-1, -1}, fd[4] = {-1, -1, -1, -1};
    arguments a = {.n = 0};
    rung_status st;
    *b = (box){.pidfd = -1, .control = -1, .log = -1};
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        return rung_fail_errno(err, "could not make a channel");
    }
    b->control = pair[0];
    fd[0] = pair[1];
    RUNG_GOTO(filter_make(&fd[1], FILTER_PROGRAM, err));
    RUNG_GOTO(memfd_of(&fd[2], "box.py", rung_box_py, rung_box_py_n, err));
    RUNG_GOTO(filter_make(&fd[3], FILTER_BOX, err));
    RUNG_GOTO(memfd_of(&b->log, "log", "", 0, err));
    RUNG_GOTO(make_work(b, o, err));
    if (cgroup_make(&b->group)) box_limit(b, &o->limits);
    if (o->mode == RUNG_SANDBOX_BWRAP) bwrap_arguments(&a, o);
    ADD(&a, o->python, "-I", "-B",
        o->mode == RUNG_SANDBOX_BWRAP ? "/box/box.py" : "/proc/self/fd/5", number(&a, FD_CONTROL),
        number(&a, FD_PROGRAM_FILTER), o->mode == RUNG_SANDBOX_BWRAP ? "strong" : "weak");
    b->pid = fork();
    if (b->pid == 0) child_run(&a, fd, b);
    if (b->pid < 0) {
        b->pid = 0;
        st = rung_fail_errno(err, "could not fork");
        goto out;
    }
    b->pidfd = pidfd_open_(b->pid);
    close(fd[0]);
    fd[0] = -1;
    st = hear_ready(b, o, err);
out:
    for (size_t i = 0; i < 4; i++)
        if (fd[i] >= 0) close(fd[i]);
    if (st != RUNG_OK) box_stop(b);
    return st;
}

static int remove_one(const char *path, const struct stat *s, int type, struct FTW *ftw) {
    (void)s, (void)type, (void)ftw;
    (void)remove(path);
    return 0;
}

void box_stop(box *b) {
    if (b->pid > 0) {
        if (b->control >= 0) close(b->control);
        b->control = -1;
        if (!b->busy) { /* an idle server leaves at the end of its channel */
            struct pollfd p = {b->pidfd, POLLIN, 0};
            if (b->pidfd >= 0) (void)poll(&p, 1, 1000);
        }
        kill(b->pid, SIGKILL); /* the box's first process dies with bubblewrap, and all with it */
        while (waitpid(b->pid, NULL, 0) < 0 && errno == EINTR) {
        }
    }
    if (b->control >= 0) close(b->control);
    if (b->pidfd >= 0) close(b->pidfd);
    if (b->log >= 0) close(b->log);
    cgroup_remove(&b->group);
    if (b->work) (void)nftw(b->work, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    rung_free(b->work);
    *b = (box){.pidfd = -1, .control = -1, .log = -1};
}

void box_limit(box *b, const rung_code_limits *l) {
    cgroup_limit(&b->group, l->memory + l->tmp + OURS, l->processes + OUR_PROCESSES);
}

rung_status box_submit(int *job, box *b, rung_error *err) {
    int pair[2];
    char one = 'j';
    struct iovec iov = {&one, 1};
    union {
        struct cmsghdr h;
        char room[CMSG_SPACE(sizeof(int))];
    } c;
    struct msghdr m = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &c, .msg_controllen = sizeof c};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
        return rung_fail_errno(err, "could not make a channel");
    memset(&c, 0, sizeof c);
    c.h.cmsg_level = SOL_SOCKET;
    c.h.cmsg_type = SCM_RIGHTS;
    c.h.cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(&c.h), &pair[1], sizeof(int));
    ssize_t n = sendmsg(b->control, &m, MSG_NOSIGNAL);
    close(pair[1]);
    if (n != 1) {
        rung_status st = rung_fail_errno(err, "the sandbox does not listen");
        close(pair[0]);
        return st;
    }
    b->busy = true;
    *job = pair[0];
    return RUNG_OK;
}

bool box_settle(box *b) {
    char text[16];
    ssize_t n = recv(b->control, text, sizeof text, MSG_DONTWAIT);
    if (n < 0) return errno == EAGAIN || errno == EINTR;
    if (n == 0) return false;
    b->busy = false;
    return true;
}
