/* The server's side of a worker: started, fed, heard, and started again when it ends. */
#include "serve/serve_impl.h"
#include "serve/work.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum { WORKER_FD = 3, TRIES = 3 };
#define BACKOFF_S     0.2
#define BACKOFF_MAX_S 10.0
#define HEALTHY_S     30.0

/* ---- starting */

static const char *const role_name[] = {"model", "verify"};

/* The environment with our variable in it; freed by the caller. */
static char **environment(char *ours) {
    size_t n = 0;
    while (environ[n]) n++;
    char **env = rung_alloc((n + 2) * sizeof *env);
    if (!env) return NULL;
    size_t k = 0;
    for (size_t i = 0; i < n; i++)
        if (strncmp(environ[i], "RUNG_SERVE_WORKER=", 18) != 0) env[k++] = environ[i];
    env[k++] = ours;
    env[k] = NULL;
    return env;
}

/* In the child: nothing but calls that are safe after a fork of threads. */
static void child(int fd, pid_t parent, char *const *argv, char **env) {
    sigset_t none;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(4);
    (void)setpgid(0, 0); /* the terminal's Ctrl-C is the server's */
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    if (fd == WORKER_FD)
        (void)fcntl(fd, F_SETFD, 0);
    else
        (void)dup2(fd, WORKER_FD);
    for (int i = WORKER_FD + 1; i < 4096; i++) (void)close(i);
    (void)execve("/proc/self/exe", argv, env);
    _exit(4);
}

rung_status serve_worker_start(serve_worker *w, const serve *s, rung_error *err) {
    int fd[2];
    char ours[64];
    snprintf(ours, sizeof ours, "RUNG_SERVE_WORKER=%s:%d", role_name[w->role], WORKER_FD);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd) != 0)
        return rung_fail_errno(err, "could not make a pipe to a worker");
    char **env = environment(ours);
    pid_t parent = getpid(), pid = env ? fork() : -1;
    if (pid == 0) child(fd[1], parent, s->o.argv, env);
    rung_free(env);
    close(fd[1]);
    if (pid < 0) {
        rung_fail_errno(err, "could not start a worker");
        close(fd[0]);
        return err ? err->code : RUNG_E_IO;
    }
    serve_pipe_init(&w->pipe, fd[0]);
    w->pid = pid;
    w->ready = false;
    w->started = rung_now();
    w->n_starts++;
    rung_event(s->o.log, RUNG_INFO, "serve.worker", RUNG_S("role", role_name[w->role]),
               RUNG_I("pid", pid), RUNG_I("start", w->n_starts));
    return RUNG_OK;
}

void serve_worker_stop(serve_worker *w) {
    int state;
    if (!w->pid) return;
    serve_pipe_close(&w->pipe); /* it ends by itself */
    for (int i = 0; i < 40; i++) {
        if (waitpid(w->pid, &state, WNOHANG) == w->pid) {
            w->pid = 0;
            return;
        }
        (void)usleep(50000);
    }
    (void)kill(w->pid, SIGKILL);
    while (waitpid(w->pid, &state, 0) < 0 && errno == EINTR) continue;
    w->pid = 0;
}

/* ---- hearing */

static serve_request *find_sent(serve_worker *w, uint64_t id) {
    serve_request *r = w->sent;
    while (r && r->id != id) r = r->next;
    return r;
}

static void on_head(serve_request *r, const serve_frame *f) {
    serve_head h;
    if (f->n != sizeof h) return;
    memcpy(&h, f->data, sizeof h);
    r->head = true;
    r->status = h.status;
    r->stream = h.stream != 0;
    r->type = r->stream ? "text/event-stream; charset=utf-8"
              : h.html  ? "text/html; charset=utf-8"
                        : "application/json";
    serve_histogram_add(&r->s->m.first, rung_now() - r->t0);
    if (r->stream) serve_resume(r);
}

static void on_data(serve_request *r, const serve_frame *f) {
    rung_buf_append(&r->out, f->data, f->n);
    r->last_data = rung_now();
    if (r->stream) serve_resume(r);
}

static void over(serve_worker *w, serve_request *r) {
    double t = rung_now() - r->t0;
    w->service_s = w->service_s > 0.0 ? 0.9 * w->service_s + 0.1 * t : t;
    serve_unlink(&w->sent, r);
    w->n_sent--;
    r->state = REQUEST_OVER;
    r->whole = true;
    if (!r->con)
        serve_request_free(r);
    else
        serve_resume(r);
}

static void on_end(serve_worker *w, serve_request *r, const serve_frame *f) {
    serve_cost c = {0};
    serve_metrics *m = &r->s->m;
    if (f->n == sizeof c) memcpy(&c, f->data, sizeof c);
    m->prompt_tok += c.prompt_tok;
    m->gen_tok += c.gen_tok;
    m->scored_tok += c.scored_tok;
    m->n_searches += c.searched;
    m->n_stopped += c.stopped;
    if (!r->head && r->con)
        serve_refuse(r, 500, NULL, "the worker had no memory for this request", NULL);
    over(w, r);
}

static void on_frame(serve_worker *w, serve *s, const serve_frame *f) {
    serve_request *r = f->id ? find_sent(w, f->id) : NULL;
    bool deaf = r && r->cancelled; /* it has been answered already */
    switch (f->type) {
    case SERVE_READY:
        w->ready = true;
        snprintf(w->info, sizeof w->info, "%.*s", (int)f->n, f->data);
        rung_event(s->o.log, RUNG_INFO, "serve.ready", RUNG_S("role", role_name[w->role]),
                   RUNG_D("seconds", rung_now() - w->started));
        break;
    case SERVE_CANNOT:
        if (f->n != sizeof s->cannot) break;
        memcpy(&s->cannot, f->data, f->n);
        snprintf(w->why, sizeof w->why, "it could not begin: %.200s", s->cannot.what);
        break;
    case SERVE_GAUGE:
        if (f->n == sizeof w->gauge) memcpy(&w->gauge, f->data, f->n);
        break;
    case SERVE_HEAD:
        if (r && !deaf) on_head(r, f);
        break;
    case SERVE_DATA:
        if (r && !deaf) on_data(r, f);
        break;
    case SERVE_END:
        if (r) on_end(w, r, f);
        break;
    default: break;
    }
}

bool serve_worker_read(serve_worker *w, serve *s) {
    serve_frame f;
    bool there = serve_pipe_read(&w->pipe);
    while (serve_pipe_next(&f, &w->pipe)) on_frame(w, s, &f);
    return there;
}

/* ---- its end */

static void fail_sent(serve_request *r, const char *why) {
    char text[400];
    snprintf(text, sizeof text,
             "the worker ended while it was at this request (%.250s); it is started again", why);
    if (!r->con) return;
    if (r->stream && r->head) {
        rung_buf_str(&r->out, "data: ");
        serve_error_json(&r->out, 503, "worker_ended", text, NULL);
        rung_buf_str(&r->out, "\n\n");
        return;
    }
    rung_buf_reset(&r->out);
    r->retry_after = 1;
    serve_refuse(r, 503, "worker_ended", text, NULL);
}

static void say_why(serve_worker *w, int state) {
    if (WIFSIGNALED(state))
        snprintf(w->why, sizeof w->why, "signal %d: %s", WTERMSIG(state),
                 strsignal(WTERMSIG(state)));
    else if (!w->why[0] || w->ready)
        snprintf(w->why, sizeof w->why, "exit code %d", WEXITSTATUS(state));
}

void serve_worker_ended(serve_worker *w, serve *s) {
    int state = 0;
    double now = rung_now();
    (void)kill(w->pid, SIGKILL); /* it may have closed its end and gone on */
    while (waitpid(w->pid, &state, 0) < 0 && errno == EINTR) continue;
    say_why(w, state);
    rung_event(s->o.log, RUNG_WARN, "serve.worker.ended", RUNG_S("role", role_name[w->role]),
               RUNG_S("why", w->why), RUNG_I("requests", w->n_sent));
    bool healthy = w->ready && now - w->started > HEALTHY_S;
    w->n_failures = healthy ? 1 : w->n_failures + 1;
    double wait = BACKOFF_S;
    for (int i = 1; i < w->n_failures && wait < BACKOFF_MAX_S; i++) wait *= 2.0;
    w->not_before = now + (wait < BACKOFF_MAX_S ? wait : BACKOFF_MAX_S);
    w->pid = 0;
    w->ready = false;
    serve_pipe_close(&w->pipe);
    while (w->sent) {
        fail_sent(w->sent, w->why);
        over(w, w->sent);
    }
    if (w->n_failures < TRIES) return;
    while (w->queue) { /* it does not come up: nobody waits for it */
        serve_request *r = w->queue;
        serve_unlink(&w->queue, r);
        if (!w->queue) w->tail = &w->queue;
        w->n_queue--;
        r->state = REQUEST_OVER;
        r->retry_after = 10;
        serve_refuse(r, 503, "worker_down", w->why, "the worker does not start");
        serve_resume(r);
    }
}

void serve_worker_dispatch(serve_worker *w, serve *s) {
    double now = rung_now();
    int32_t most = w->role == SERVE_MODEL ? s->o.active : 1;
    while (w->ready && w->queue && w->n_sent < most) {
        serve_request *r = w->queue;
        w->queue = r->next;
        if (!w->queue) w->tail = &w->queue;
        w->n_queue--;
        r->next = w->sent;
        w->sent = r;
        w->n_sent++;
        r->state = REQUEST_SENT;
        serve_ask_head h = {(uint32_t)r->route->kind, 0, r->deadline - now};
        serve_pipe_put(&w->pipe, SERVE_ASK, r->id, &h, sizeof h, r->body.data, r->body.n);
        rung_buf_clear(&r->body);
    }
}
