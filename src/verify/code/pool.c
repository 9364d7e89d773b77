/* The pool of boxes: made, described, ended. */
#include "verify/code/pool.h"
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct {
    const char *text;
    rung_verdict verdict;
} reasons[] = {
#define X(id, value, verdict, text) [value] = {text, RUNG_VERDICT_##verdict},
    RUNG_CODE_REASONS(X)
#undef X
};
enum { N_REASONS = sizeof reasons / sizeof *reasons, SETTLE_MS = 5000 };

const char *rung_code_reason_text(rung_code_reason r) {
    return (unsigned)r < N_REASONS ? reasons[r].text : "unknown reason";
}

rung_verdict rung_code_reason_verdict(rung_code_reason r) {
    return (unsigned)r < N_REASONS ? reasons[r].verdict : RUNG_VERDICT_UNKNOWN;
}

rung_code_reason reason_find(const char *text) {
    for (size_t i = 0; text && i < N_REASONS; i++)
        if (strcmp(reasons[i].text, text) == 0) return (rung_code_reason)i;
    return RUNG_CODE_SANDBOX;
}

static const rung_code_limits defaults = {.wall_s = 10,
                                          .cpu_s = 5,
                                          .memory = 512u << 20,
                                          .output = 1u << 20,
                                          .tmp = 64u << 20,
                                          .processes = 16};

rung_code_limits limits_of(const rung_code_limits *l, const rung_code_limits *base) {
    rung_code_limits out = base ? *base : defaults;
    if (!l) return out;
    if (l->wall_s > 0) out.wall_s = l->wall_s;
    if (l->cpu_s > 0) out.cpu_s = l->cpu_s;
    if (l->memory) out.memory = l->memory;
    if (l->output) out.output = l->output;
    if (l->tmp) out.tmp = l->tmp;
    if (l->processes) out.processes = l->processes;
    return out;
}

void limits_json(rung_buf *b, const rung_code_limits *l, double n_tests) {
    rung_buf_printf(b,
                    "\"limits\":{\"wall\":%.3f,\"cpu\":%.3f,\"cpu_total\":%.0f,\"memory\":%llu,"
                    "\"output\":%llu,\"tmp\":%llu,\"processes\":%u}",
                    l->wall_s, l->cpu_s, l->cpu_s * (n_tests + 1) + 1,
                    (unsigned long long)l->memory, (unsigned long long)l->output,
                    (unsigned long long)l->tmp, l->processes);
}

/* name as the PATH gives it; false: nowhere. */
static bool find_program(char out[256], const char *name) {
    const char *path = getenv("PATH");
    if (strchr(name, '/')) {
        snprintf(out, 256, "%s", name);
        return access(out, X_OK) == 0;
    }
    for (const char *p = path ? path : "/usr/bin:/bin"; *p;) {
        size_t n = strcspn(p, ":");
        int k = snprintf(out, 256, "%.*s/%s", (int)n, p, name);
        if (n > 0 && k > 0 && k < 256 && access(out, X_OK) == 0) return true;
        p += n + (p[n] == ':');
    }
    return false;
}

static rung_status missing(const char *what, rung_error *err) {
    rung_fail(err, RUNG_E_SANDBOX, "no sandbox to run code in: %s is not here", what);
    return rung_error_hint(err, "rung runs code only in a sandbox: install bubblewrap and python3 "
                                "(tools/deps.sh does), or name the weaker mode: limits");
}

rung_status rung_sandbox_new(rung_sandbox **out, const rung_sandbox_opts *opts, rung_error *err) {
    static const rung_sandbox_opts none = RUNG_SANDBOX_OPTS_INIT;
    if (!opts) opts = &none;
    *out = NULL;
    if (opts->struct_size == 0 || opts->struct_size > sizeof *opts)
        return rung_fail(err, RUNG_E_INVAL, "rung_sandbox_opts has a size that is not this one's");
    rung_sandbox *s = rung_calloc(1, sizeof *s);
    if (!s) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    memcpy(&s->opts, opts, opts->struct_size);
    s->opts.limits = limits_of(&s->opts.limits, NULL);
    s->n_boxes = s->opts.n_boxes ? s->opts.n_boxes : (size_t)rung_n_cores();
    if (s->n_boxes > MAX_BOXES) s->n_boxes = MAX_BOXES;
    for (size_t i = 0; i < MAX_BOXES; i++) s->box[i] = (box){.pidfd = -1, .control = -1, .log = -1};
    const char *python = s->opts.python ? s->opts.python : "/usr/bin/python3";
    rung_status st = RUNG_OK;
    if (!find_program(s->python, python)) st = missing(python, err);
    if (st == RUNG_OK && s->opts.mode == RUNG_SANDBOX_BWRAP &&
        !find_program(s->bwrap, s->opts.bwrap ? s->opts.bwrap : "bwrap"))
        st = missing(s->opts.bwrap ? s->opts.bwrap : "bubblewrap", err);
    s->opts.python = s->python;
    s->opts.bwrap = s->bwrap;
    if (st == RUNG_OK) st = pool_ready(s, 0, err);
    if (st != RUNG_OK) {
        rung_sandbox_free(s);
        return st;
    }
    char landlock[32] = "no landlock";
    if (s->box[0].landlock > 0)
        snprintf(landlock, sizeof landlock, "landlock %d", s->box[0].landlock);
    snprintf(s->about, sizeof s->about, "%s, seccomp, %s%s; python %s",
             s->opts.mode == RUNG_SANDBOX_BWRAP ? "bubblewrap" : "no namespaces", landlock,
             *s->box[0].group.memory ? ", cgroup" : "", s->box[0].python);
    *out = s;
    return RUNG_OK;
}

void rung_sandbox_free(rung_sandbox *s) {
    if (!s) return;
    for (size_t i = 0; i < MAX_BOXES; i++) box_stop(&s->box[i]);
    rung_free(s);
}

const char *rung_sandbox_describe_view(const rung_sandbox *s) {
    return s->about;
}

rung_status pool_ready(rung_sandbox *s, size_t i, rung_error *err) {
    box *b = &s->box[i];
    while (b->pid > 0 && b->busy) {
        struct pollfd p = {b->control, POLLIN, 0};
        int n = poll(&p, 1, SETTLE_MS);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0 || !box_settle(b)) box_stop(b);
    }
    if (b->pid > 0) {
        struct pollfd p = {b->pidfd, POLLIN, 0};
        if (poll(&p, 1, 0) <= 0) return RUNG_OK;
        box_stop(b);
    }
    return box_start(b, &s->opts, err);
}

rung_status pool_answer(yyjson_doc **doc, const char **blob, size_t *n_blob, wire *w, const box *b,
                        double seconds, rung_error *err) {
    double end = rung_now() + seconds;
    for (;;) {
        rung_status st = wire_next(doc, blob, n_blob, w, err);
        if (st != RUNG_DONE) return st;
        if (w->ended) {
            char words[200];
            box_last_words(words, b);
            return rung_fail(err, RUNG_E_SANDBOX, "the sandbox ended: %s", words);
        }
        double left = end - rung_now();
        if (left <= 0) return rung_fail(err, RUNG_E_SANDBOX, "no answer of the sandbox in time");
        struct pollfd p = {w->fd, (short)(POLLIN | (wire_unsent(w) ? POLLOUT : 0)), 0};
        (void)poll(&p, 1, left < 60 ? (int)(left * 1000) + 1 : 60000);
        wire_push(w);
        wire_pull(w);
    }
}
