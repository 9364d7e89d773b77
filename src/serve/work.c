/* A worker: takes requests from the server between the calls of the model, so that they join what
 * is under way, and sends replies as they grow. */
#include "serve/work.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

/* Decode calls that scores wait for company while others are sampling. */
enum { SCORE_WAIT = 8 };
#define GAUGE_S 0.5

/* ---- replies */

int work_status_of(rung_status st) {
    switch (st) {
    case RUNG_E_INVAL:
    case RUNG_E_FORMAT:
    case RUNG_E_LIMIT:
    case RUNG_E_MISMATCH: return 400;
    case RUNG_E_NOT_FOUND: return 404;
    case RUNG_E_REMOTE: return 502;
    case RUNG_E_CANCELLED: return 503;
    default: return 500;
    }
}

static void send_head(work_ask *a, int status, bool stream) {
    serve_head h = {status, stream, 0};
    if (a->head_sent) return;
    a->head_sent = true;
    serve_pipe_put(&a->w->pipe, SERVE_HEAD, a->id, &h, sizeof h, NULL, 0);
}

void work_send(work_ask *a, const char *data, size_t n) {
    if (a->cancelled) return;
    send_head(a, 200, a->ask.stream);
    serve_pipe_put(&a->w->pipe, SERVE_DATA, a->id, data, n, NULL, 0);
}

/* A reply that has begun to stream can only tell of its failure inside. */
static void send_failure(work_ask *a) {
    rung_buf b;
    rung_buf_init(&b, 1u << 16);
    bool inside = a->head_sent;
    if (inside) rung_buf_str(&b, "data: ");
    serve_error_json(&b, a->status, NULL, a->why.what, a->why.hint);
    if (inside) rung_buf_str(&b, "\n\n");
    send_head(a, a->status, false);
    if (!b.failed) serve_pipe_put(&a->w->pipe, SERVE_DATA, a->id, b.data, b.n, NULL, 0);
    rung_buf_clear(&b);
}

/* ---- requests */

static void ask_free(work_ask *a) {
    work *w = a->w;
    for (work_ask **at = &w->first; *at; at = &(*at)->next) {
        if (*at != a) continue;
        *at = a->next;
        w->n--;
        break;
    }
    work_drop_score(a);
    for (int32_t i = 0; i < a->n_choices; i++) rung_free(a->choice[i].end);
    for (int32_t i = 0; i < a->n_reads; i++) rung_free(a->read[i].tok);
    rung_arena_free(a->arena);
    rung_free(a);
}

void work_give_up(work_ask *a) {
    for (int32_t i = 0; i < a->n_gens; i++) (void)rung_engine_cancel(a->w->e, &a->gen[i]);
    for (int32_t i = 0; i < a->n_finds; i++)
        if (a->find[i].live) rung_search_live_cancel(a->find[i].live);
}

void work_fail(work_ask *a, int status, const rung_error *why) {
    if (a->failed) return;
    a->failed = true;
    a->status = status;
    a->why = *why;
    work_give_up(a);
}

static void finish(work_ask *a) {
    if (a->cancelled) {
        /* nobody listens */
    } else if (a->failed) {
        send_failure(a);
    } else if (!a->told) {
        if (a->scores)
            work_finish_score(a);
        else
            work_finish_text(a);
        if (a->failed) send_failure(a);
    }
    a->cost.stopped = a->stopped;
    serve_pipe_put(&a->w->pipe, SERVE_END, a->id, &a->cost, sizeof a->cost, NULL, 0);
    a->whole = true;
}

void work_part_done(work_ask *a) {
    if (--a->n_left == 0) finish(a);
}

/* What is whole leaves; not from inside its own callbacks. */
static void sweep(work *w) {
    for (work_ask *a = w->first, *next; a; a = next) {
        next = a->next;
        if (a->whole) ask_free(a);
    }
}

static void begin(work_ask *a) {
    rung_error err = RUNG_ERROR_INIT;
    rung_status st;
    a->n_left = 1; /* ours, until everything is begun */
    switch (a->ask.kind) {
    case SERVE_CHAT:
    case SERVE_COMPLETION:
        st = strcmp(serve_ask_method(&a->ask, &a->w->o->caps), "sample") == 0
                 ? work_begin_text(a, &err)
                 : work_begin_search(a, &err);
        break;
    case SERVE_TOKENIZE:
    case SERVE_DETOKENIZE:
    case SERVE_TOKENIZER: st = work_tokens(a, &err); break;
    default: st = work_begin_score(a, &err);
    }
    if (st != RUNG_OK) work_fail(a, work_status_of(st), &err);
    work_part_done(a);
}

static void on_ask(work *w, const serve_frame *f) {
    serve_ask_head h;
    rung_error err = RUNG_ERROR_INIT;
    if (f->n < sizeof h) return;
    memcpy(&h, f->data, sizeof h);
    work_ask *a = rung_calloc(1, sizeof *a);
    rung_arena *arena = rung_arena_new(256u << 20);
    if (!a || !arena) { /* the server hears that it is over */
        serve_cost none = {0};
        serve_pipe_put(&w->pipe, SERVE_END, f->id, &none, sizeof none, NULL, 0);
        rung_free(a);
        rung_arena_free(arena);
        return;
    }
    a->w = w;
    a->id = f->id;
    a->arena = arena;
    a->t0 = rung_now();
    a->deadline = a->t0 + h.left_s;
    a->created = rung_unix_ms() / 1000;
    a->next = w->first;
    w->first = a;
    w->n++;
    rung_status st = serve_ask_read(&a->ask, arena, (serve_kind)h.kind, f->data + sizeof h,
                                    f->n - sizeof h, &w->o->caps, &err);
    const char *kind = a->ask.kind == SERVE_CHAT ? "chatcmpl" : "cmpl";
    a->seed = a->ask.has_seed    ? a->ask.seed
              : w->o->fixed_seed ? w->o->seed
                                 : rung_hash64(&w->n_begun, 8, w->seed) >> 2;
    w->n_begun++;
    snprintf(a->name, sizeof a->name, "%s-%016llx", kind,
             (unsigned long long)rung_hash64(&a->id, 8, w->seed));
    if (st == RUNG_OK) {
        begin(a);
        return;
    }
    work_fail(a, work_status_of(st), &err);
    a->n_left = 1;
    work_part_done(a);
}

static void on_cancel(work *w, uint64_t id) {
    for (work_ask *a = w->first; a; a = a->next) {
        if (a->id != id || a->cancelled) continue;
        a->cancelled = true;
        work_give_up(a);
        if (a->scores && !a->whole) work_part_done(a);
    }
}

static void take_frames(work *w) {
    serve_frame f;
    if (!serve_pipe_read(&w->pipe)) w->gone = true;
    while (!w->gone && serve_pipe_next(&f, &w->pipe)) {
        if (f.type == SERVE_ASK)
            on_ask(w, &f);
        else if (f.type == SERVE_CANCEL)
            on_cancel(w, f.id);
    }
}

/* Requests whose time is over answer with what they have. */
static void check_deadlines(work *w) {
    double now = rung_now();
    for (work_ask *a = w->first; a; a = a->next) {
        if (a->stopped || a->whole || now < a->deadline) continue;
        a->stopped = true;
        if (a->scores && a->ask.kind == SERVE_GET_REWARD) {
            a->late = true;
            work_part_done(a);
            continue;
        }
        if (a->scores) {
            rung_error why = RUNG_ERROR_INIT;
            rung_fail(&why, RUNG_E_LIMIT, "its time was over before it was scored");
            work_fail(a, 504, &why);
            work_part_done(a);
            continue;
        }
        for (int32_t i = 0; i < a->n_gens; i++) (void)rung_engine_cancel(w->e, &a->gen[i]);
        for (int32_t i = 0; i < a->n_finds; i++)
            if (a->find[i].live) rung_search_live_stop(a->find[i].live);
    }
}

/* ---- scores */

static bool is_waiting(const work_ask *a) {
    if (a->whole) return false;
    if (a->scores) return true;
    for (int32_t i = 0; i < a->n_finds; i++)
        if (a->find[i].live && rung_search_live_waits(a->find[i].live)) return true;
    return false;
}

static bool any_waits(const work *w) {
    for (const work_ask *a = w->first; a; a = a->next)
        if (is_waiting(a)) return true;
    return false;
}

/* All that wait: one run of the scorer. */
static rung_status score_waiting(work *w, rung_error *err) {
    int32_t n = 0, cap = 0;
    if (!w->scorer || !any_waits(w)) return RUNG_OK;
    for (work_ask *a = w->first; a; a = a->next) cap += a->n_finds;
    rung_search_live **l = rung_alloc(((size_t)cap + 1) * sizeof *l);
    if (!l) return rung_fail(err, RUNG_E_NOMEM, "no memory to score");
    for (work_ask *a = w->first; a; a = a->next)
        for (int32_t i = 0; i < a->n_finds; i++)
            if (a->find[i].live && rung_search_live_waits(a->find[i].live))
                l[n++] = a->find[i].live;
    w->n_rounds = 0;
    rung_status st =
        n ? rung_search_live_score(l, n, w->scorer, err) : rung_scorer_run(w->scorer, err);
    rung_free(l);
    for (work_ask *a = w->first; a && st == RUNG_OK; a = a->next)
        if (a->scores && !a->whole) work_part_done(a);
    return st;
}

/* ---- the loop */

static void send_gauge(work *w) {
    double now = rung_now();
    rung_engine_stats s;
    if (now - w->gauge_t < GAUGE_S) return;
    w->gauge_t = now;
    rung_engine_get_stats(&s, w->e);
    serve_gauge g = {s.n_decode_calls, s.n_generated, s.n_prompt_new, s.n_prompt_forked,
                     s.n_evicted,      s.kv_bytes,    s.decode_s};
    serve_pipe_put(&w->pipe, SERVE_GAUGE, 0, &g, sizeof g, NULL, 0);
}

/* Between two calls of the model. */
static rung_status on_round(void *ud, rung_error *err) {
    work *w = ud;
    take_frames(w);
    check_deadlines(w);
    send_gauge(w);
    if (!serve_pipe_flush(&w->pipe, true)) w->gone = true;
    if (w->gone) return rung_fail(err, RUNG_E_CANCELLED, "the server has gone");
    if (w->scorer && any_waits(w) && ++w->n_rounds > SCORE_WAIT) return RUNG_DONE;
    return RUNG_OK;
}

static rung_status on_gen(void *ud, const rung_gen_out *o, rung_error *err) {
    rung_taker *t = o->ud;
    (void)ud;
    return t->take(t, o, err);
}

/* The engine has given up: nothing that was on it can be answered. */
static void fail_all(work *w, const rung_error *why) {
    rung_engine_clear(w->e);
    for (work_ask *a = w->first; a; a = a->next) {
        if (a->whole) continue;
        for (int32_t i = 0; i < a->n_finds; i++) {
            rung_search_live_free(a->find[i].live);
            a->find[i].live = NULL;
        }
        a->n_gens = a->n_finds = 0; /* nothing is left to cancel */
        work_fail(a, work_status_of(why->code), why);
        a->n_left = 1;
        work_part_done(a);
    }
}

static void loop(work *w) {
    rung_engine_cb cb = {.on_gen = on_gen,
                         .on_eval = work_on_eval,
                         .ud = w,
                         .on_round = on_round,
                         .on_token = work_on_token};
    while (!w->gone) {
        rung_error err = RUNG_ERROR_INIT;
        rung_status st = rung_engine_run(w->e, &cb, &err);
        if (st == RUNG_OK && !w->gone) st = score_waiting(w, &err);
        if (st != RUNG_OK && !w->gone) fail_all(w, &err);
        sweep(w);
        if (!serve_pipe_flush(&w->pipe, true)) w->gone = true;
        if (w->gone || w->n > 0) continue;
        struct pollfd f = {.fd = w->pipe.fd, .events = POLLIN};
        (void)poll(&f, 1, 1000);
    }
}

static void tell_ready(work *w) {
    rung_buf b;
    rung_buf_init(&b, 1u << 16);
    rung_model_info i = {0};
    if (w->m) rung_model_get_info(&i, w->m);
    rung_buf_str(&b, "{\"policy\":");
    rung_buf_json_str(&b, i.name, strlen(i.name));
    rung_buf_printf(&b, ",\"hash\":\"%s\",\"arch\":\"%s\",\"params\":%lld,\"context\":%d", i.hash,
                    i.arch, (long long)i.n_params, i.n_ctx_train);
    if (w->o->reward)
        rung_buf_printf(&b, ",\"reward\":\"%s\",\"reward_hash\":\"%s\"",
                        rung_reward_kind_name(rung_reward_kind_of(w->o->reward)),
                        rung_reward_hash(w->o->reward));
    rung_buf_str(&b, "}");
    if (!b.failed) serve_pipe_put(&w->pipe, SERVE_READY, 0, b.data, b.n, NULL, 0);
    rung_buf_clear(&b);
}

rung_status rung_serve_work(const rung_serve_work_opts *o, rung_error *err) {
    if (o->struct_size != sizeof *o)
        return rung_fail(err, RUNG_E_INVAL, "rung_serve_work_opts of another size");
    work w = {.o = o, .e = o->engine, .m = rung_engine_model(o->engine)};
    if (getrandom(&w.seed, sizeof w.seed, 0) != sizeof w.seed) w.seed = (uint64_t)rung_unix_ms();
    serve_pipe_init(&w.pipe, o->fd);
    rung_buf_init(&w.out, 64u << 20);
    rung_status st = RUNG_OK;
    if (o->reward && rung_reward_engine(o->reward))
        st = rung_scorer_open(&w.scorer, o->reward, err);
    if (st == RUNG_OK) {
        tell_ready(&w);
        loop(&w);
    }
    while (w.first) ask_free(w.first);
    rung_scorer_close(w.scorer);
    rung_buf_clear(&w.out);
    serve_pipe_close(&w.pipe);
    return st;
}

const char *rung_serve_role(int *fd) {
    const char *text = getenv("RUNG_SERVE_WORKER");
    char *end = NULL;
    *fd = -1;
    if (!text) return "";
    const char *role = strncmp(text, "model:", 6) == 0    ? "model"
                       : strncmp(text, "verify:", 7) == 0 ? "verify"
                                                          : "";
    if (!*role) return "";
    long n = strtol(text + strlen(role) + 1, &end, 10);
    if (*end || n < 3 || n > 1024) return "";
    *fd = (int)n;
    return role;
}

void rung_serve_cannot(int fd, const rung_error *why) {
    serve_pipe p;
    serve_pipe_init(&p, fd);
    serve_pipe_put(&p, SERVE_CANNOT, 0, why, sizeof *why, NULL, 0);
    (void)serve_pipe_flush(&p, true);
    serve_pipe_close(&p);
}
