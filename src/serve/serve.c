/* The server's loop: requests to workers, replies back, deadlines, clients that have gone,
 * workers that have ended, and the end of it all. */
#include "serve/serve_impl.h"
#include "serve/work.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* The longest that the loop sleeps: how late an end, a deadline or a slow client may be seen. */
enum { TICK_MS = 100 };
/* A worker stops at the deadline by itself and sends what it has; then the server does. */
#define GRACE_S     3.0
#define KEEPALIVE_S 10.0

/* ---- requests */

void serve_unlink(serve_request **list, serve_request *r) {
    while (*list && *list != r) list = &(*list)->next;
    if (*list) *list = r->next;
    r->next = NULL;
}

void serve_resume(serve_request *r) {
    if (!r->suspended || !r->con) return;
    r->suspended = false;
    MHD_resume_connection(r->con);
}

void serve_answer(serve_request *r, int status, const char *type) {
    r->status = status;
    r->type = type;
    r->head = r->whole = true;
    r->stream = false;
    r->state = REQUEST_OVER;
}

void serve_refuse(serve_request *r, int status, const char *code, const char *message,
                  const char *hint) {
    rung_buf_reset(&r->out);
    serve_error_json(&r->out, status, code, message, hint);
    serve_answer(r, status, "application/json");
}

void serve_request_free(serve_request *r) {
    rung_buf_clear(&r->body);
    rung_buf_clear(&r->out);
    rung_free(r);
}

/* When there will be room, about. */
static int32_t retry_after(const serve *s, const serve_worker *w) {
    double one = w->service_s > 0.0 ? w->service_s : 1.0;
    double wait = one * (double)(w->n_queue + w->n_sent) / (double)s->o.active;
    return wait < 1.0 ? 1 : wait > 60.0 ? 60 : (int32_t)wait;
}

bool serve_enqueue(serve_request *r) {
    serve *s = r->s;
    serve_worker *w = &s->worker[r->route->role];
    if (s->draining) {
        r->retry_after = 5;
        serve_refuse(r, 503, "draining", "the server is being stopped", NULL);
        return false;
    }
    if (w->n_failures >= 3 && !w->ready) {
        r->retry_after = 10;
        serve_refuse(r, 503, "worker_down", w->why, "the worker does not start");
        return false;
    }
    if (w->n_queue >= s->o.queue) {
        s->m.n_refused++;
        r->retry_after = retry_after(s, w);
        serve_refuse(r, 429, "queue_full", "too many requests wait already",
                     "try again after Retry-After seconds");
        return false;
    }
    r->state = REQUEST_QUEUED;
    r->next = NULL;
    *w->tail = r;
    w->tail = &r->next;
    w->n_queue++;
    return true;
}

/* ---- requests that end early */

static void tell_cancel(serve_worker *w, serve_request *r) {
    if (r->cancelled) return;
    r->cancelled = true;
    serve_pipe_put(&w->pipe, SERVE_CANCEL, r->id, NULL, 0, NULL, 0);
}

static void leave_queue(serve_worker *w, serve_request *r) {
    serve_unlink(&w->queue, r);
    w->tail = &w->queue;
    while (*w->tail) w->tail = &(*w->tail)->next;
    w->n_queue--;
    r->state = REQUEST_OVER;
}

static void expire_queued(serve *s, serve_worker *w, double now) {
    for (serve_request *r = w->queue, *next; r; r = next) {
        next = r->next;
        if (!r->con) { /* the client did not wait */
            leave_queue(w, r);
            serve_request_free(r);
        } else if (now > r->deadline) {
            s->m.n_expired++;
            leave_queue(w, r);
            serve_refuse(r, 504, NULL, "its time was over before its turn came", NULL);
            serve_resume(r);
        }
    }
}

static void expire_sent(serve *s, serve_worker *w, double now) {
    for (serve_request *r = w->sent; r; r = r->next) {
        if (!r->con) {
            tell_cancel(w, r);
        } else if (now > r->deadline + GRACE_S && !r->cancelled) {
            s->m.n_expired++;
            tell_cancel(w, r);
            if (r->stream && r->head) {
                rung_buf_str(&r->out, "data: ");
                serve_error_json(&r->out, 504, NULL, "its time is over", NULL);
                rung_buf_str(&r->out, "\n\n");
            } else {
                serve_refuse(r, 504, NULL, "its time is over", NULL);
                r->state = REQUEST_SENT; /* until the worker has let go of it */
            }
            r->whole = true;
            serve_resume(r);
        } else if (r->stream && r->head && now - r->last_data > KEEPALIVE_S) {
            rung_buf_str(&r->out, ": working\n\n"); /* proxies and clients see that it lives */
            r->last_data = now;
            serve_resume(r);
        }
    }
}

/* Clients of suspended requests that closed their end. MHD does not look at these. */
static size_t add_clients(struct pollfd *f, uint64_t *id, size_t cap, const serve *s) {
    size_t n = 0;
    for (int k = 0; k < SERVE_N_ROLES; k++) {
        const serve_request *list[2] = {s->worker[k].queue, s->worker[k].sent};
        for (int q = 0; q < 2; q++)
            for (const serve_request *r = list[q]; r && n < cap; r = r->next) {
                if (!r->con || !r->suspended) continue;
                f[n] = (struct pollfd){.fd = r->fd, .events = POLLRDHUP};
                id[n++] = r->id;
            }
    }
    return n;
}

static void client_gone(serve *s, uint64_t id) {
    for (int k = 0; k < SERVE_N_ROLES; k++) {
        serve_worker *w = &s->worker[k];
        serve_request *list[2] = {w->queue, w->sent};
        for (int q = 0; q < 2; q++)
            for (serve_request *r = list[q]; r; r = r->next) {
                if (r->id != id || !r->con || !r->suspended) continue;
                s->m.n_gone++;
                if (q == 0) {
                    leave_queue(w, r);
                    serve_refuse(r, 499, "client_closed", "the client has gone", NULL);
                } else {
                    tell_cancel(w, r);
                    r->whole = true;
                    r->answered = true; /* nothing is worth sending: MHD closes */
                }
                serve_resume(r);
                return;
            }
    }
}

/* ---- workers */

static rung_status start_workers(serve *s, rung_error *err) {
    double now = rung_now();
    for (int k = 0; k < SERVE_N_ROLES; k++) {
        serve_worker *w = &s->worker[k];
        if (w->pid || now < w->not_before || s->draining) continue;
        RUNG_TRY(serve_worker_start(w, s, err));
    }
    return RUNG_OK;
}

/* A worker that never came up for a reason of its own ends the server, with that reason. */
static rung_status hopeless(const serve *s, rung_error *err) {
    const serve_worker *w = &s->worker[SERVE_MODEL];
    if (s->cannot.code == RUNG_OK || w->n_starts > 1 || w->pid) return RUNG_OK;
    if (err) *err = s->cannot;
    return s->cannot.code;
}

/* ---- the loop */

enum { CLIENTS_MAX = 2048, FIXED = 1 + SERVE_N_ROLES };

static bool idle(const serve *s) {
    for (int k = 0; k < SERVE_N_ROLES; k++)
        if (s->worker[k].n_queue || s->worker[k].n_sent) return false;
    return true;
}

static void hear_workers(serve *s, const struct pollfd *f) {
    for (int k = 0; k < SERVE_N_ROLES; k++) {
        serve_worker *w = &s->worker[k];
        if (!w->pid) continue;
        bool there = true;
        if (f[1 + k].revents & (POLLIN | POLLHUP | POLLERR)) there = serve_worker_read(w, s);
        if (there && serve_pipe_wants_out(&w->pipe)) there = serve_pipe_flush(&w->pipe, false);
        if (!there) serve_worker_ended(w, s);
    }
}

static void housekeep(serve *s) {
    double now = rung_now();
    for (int k = 0; k < SERVE_N_ROLES; k++) {
        serve_worker *w = &s->worker[k];
        expire_queued(s, w, now);
        serve_worker_dispatch(w, s);
        expire_sent(s, w, now);
        if (w->pid) (void)serve_pipe_flush(&w->pipe, false);
    }
    serve_http_sweep(s, now);
}

static rung_status loop(serve *s, rung_error *err) {
    static struct pollfd f[FIXED + CLIENTS_MAX];
    static uint64_t id[CLIENTS_MAX];
    double drained_by = 0.0;
    for (;;) {
        rung_status st = start_workers(s, err);
        if (st == RUNG_OK) st = hopeless(s, err);
        f[0] = (struct pollfd){.fd = s->http_fd, .events = POLLIN};
        for (int k = 0; k < SERVE_N_ROLES; k++) {
            const serve_pipe *p = &s->worker[k].pipe;
            f[1 + k] = (struct pollfd){.fd = s->worker[k].pid ? p->fd : -1, .events = POLLIN};
            if (serve_pipe_wants_out(p)) f[1 + k].events |= POLLOUT;
        }
        size_t n = add_clients(f + FIXED, id, CLIENTS_MAX, s);
        bool over = s->draining && (idle(s) || rung_now() > drained_by);
        if (st != RUNG_OK || over) return st;
        (void)poll(f, FIXED + n, serve_http_patience(s, TICK_MS));
        for (size_t i = 0; i < n; i++)
            if (f[FIXED + i].revents) client_gone(s, id[i]);
        hear_workers(s, f);
        serve_http_run(s);
        housekeep(s);
        if (!s->draining && s->o.stop && s->o.stop(s->o.ud)) {
            rung_event(s->o.log, RUNG_INFO, "serve.drain", RUNG_D("seconds", s->o.drain_s));
            serve_http_stop_listening(s);
            s->draining = true;
            drained_by = rung_now() + s->o.drain_s;
        }
    }
}

/* ---- beginning and end */

static void fill(rung_serve_opts *o) {
    if (!o->listen) o->listen = "127.0.0.1:8000";
    if (o->queue <= 0) o->queue = 256;
    if (o->active <= 0) o->active = 64;
    if (o->connections <= 0) o->connections = 512;
    if (o->max_body <= 0) o->max_body = 4 << 20;
    if (!(o->idle_s > 0.0)) o->idle_s = 30.0;
    if (!(o->body_s > 0.0)) o->body_s = 30.0;
    if (!(o->drain_s > 0.0)) o->drain_s = 30.0;
    if (!(o->caps.deadline_s > 0.0)) o->caps.deadline_s = 600.0;
}

/* Every connection is a descriptor. */
static void raise_limit(int32_t n) {
    struct rlimit r;
    rlim_t want = (rlim_t)n + 256;
    if (getrlimit(RLIMIT_NOFILE, &r) != 0 || r.rlim_cur >= want) return;
    r.rlim_cur = r.rlim_max == RLIM_INFINITY || r.rlim_max > want ? want : r.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &r);
}

/* What still waits is told that it is over, so that MHD can close. */
static void let_go(serve *s) {
    for (int k = 0; k < SERVE_N_ROLES; k++) {
        serve_worker *w = &s->worker[k];
        for (int q = 0; q < 2; q++) {
            serve_request **list = q ? &w->sent : &w->queue;
            while (*list) {
                serve_request *r = *list;
                serve_unlink(list, r);
                r->state = REQUEST_OVER;
                if (!r->con) {
                    serve_request_free(r);
                    continue;
                }
                if (!(r->stream && r->head))
                    serve_refuse(r, 503, "draining", "the server was stopped", NULL);
                r->whole = true;
                serve_resume(r);
            }
        }
        w->n_queue = w->n_sent = 0;
        w->tail = &w->queue;
    }
}

rung_status rung_serve(const rung_serve_opts *o, rung_error *err) {
    if (o->struct_size != sizeof *o)
        return rung_fail(err, RUNG_E_INVAL, "rung_serve_opts of another size");
    serve *s = rung_calloc(1, sizeof *s);
    if (!s) return rung_fail(err, RUNG_E_NOMEM, "no memory for a server");
    s->o = *o;
    s->begun = rung_now();
    s->cannot = (rung_error)RUNG_ERROR_INIT;
    fill(&s->o);
    raise_limit(s->o.connections);
    for (int k = 0; k < SERVE_N_ROLES; k++) {
        s->worker[k].role = (serve_role)k;
        s->worker[k].tail = &s->worker[k].queue;
        s->worker[k].pipe.fd = -1;
    }
    rung_status st = serve_http_start(s, err);
    if (st == RUNG_OK && s->o.on_listen) s->o.on_listen(s->o.ud, s->url);
    if (st == RUNG_OK) st = loop(s, err);
    let_go(s);
    serve_http_stop(s);
    for (int k = 0; k < SERVE_N_ROLES; k++) serve_worker_stop(&s->worker[k]);
    rung_free(s);
    return st;
}
