/* Tool sessions and rewrites: one box, one question at a time. */
#include "verify/code/pool.h"
#include <stdio.h>
#include <string.h>

enum { SLACK_S = 20, PATIENCE = 9, BLOCKS_MAX = 4096, CPU_BLOCKS = 1000 };
enum { HISTORY_MAX = 64 << 20 };

typedef struct block {
    char *text;
    size_t n;
    double wall_s, cpu_s;
} block;

struct rung_code_session {
    rung_sandbox *sb;
    size_t i_box;
    rung_code_limits limits;
    bool replay, alive;
    wire wire;
    block block[BLOCKS_MAX]; /* that did not end a namespace, in order */
    size_t n_blocks, n_bytes;
    bool ended;     /* a namespace with blocks in it is gone: replay rebuilds it */
    rung_buf reply; /* what the last result's strings lie in */
};

/* ---- a box for one job */

static rung_status free_box(size_t *i, const rung_sandbox *sb, rung_error *err) {
    for (size_t k = sb->n_boxes; k-- > 0;)
        if (!sb->held[k]) {
            *i = k;
            return RUNG_OK;
        }
    rung_fail(err, RUNG_E_LIMIT, "every box of the sandbox is held by a session");
    return rung_error_hint(err, "a sandbox with more boxes");
}

/* The job's first frame, after which the box waits for more. */
static rung_status begin(wire *w, rung_sandbox *sb, size_t i_box, const char *mode,
                         const rung_code_limits *l, rung_error *err) {
    rung_buf b;
    int fd;
    wire_open(w, -1);
    RUNG_TRY(pool_ready(sb, i_box, err));
    box_limit(&sb->box[i_box], l);
    RUNG_TRY(box_submit(&fd, &sb->box[i_box], err));
    w->fd = fd;
    rung_buf_init(&b, 4096);
    rung_buf_printf(&b, "{\"mode\":\"%s\",\"lang\":\"python\",\"landlock\":%d,", mode,
                    sb->box[i_box].landlock);
    limits_json(&b, l, CPU_BLOCKS);
    rung_buf_str(&b, "}");
    wire_put(w, &b, NULL, 0);
    rung_buf_clear(&b);
    return RUNG_OK;
}

/* ---- sessions */

rung_status rung_code_session_new(rung_code_session **out, rung_sandbox *sb,
                                  const rung_session_opts *opts, rung_error *err) {
    rung_session_opts o = RUNG_SESSION_OPTS_INIT;
    *out = NULL;
    if (opts && (opts->struct_size == 0 || opts->struct_size > sizeof o))
        return rung_fail(err, RUNG_E_INVAL, "rung_session_opts has a size that is not this one's");
    if (opts) memcpy(&o, opts, opts->struct_size);
    size_t i = 0;
    RUNG_TRY(free_box(&i, sb, err));
    rung_code_session *s = rung_calloc(1, sizeof *s);
    if (!s) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    s->sb = sb;
    s->i_box = i;
    s->limits = limits_of(&o.limits, &sb->opts.limits);
    s->replay = o.replay;
    s->wire.fd = -1;
    rung_buf_init(&s->reply, 256u << 20);
    sb->held[i] = true;
    *out = s;
    return RUNG_OK;
}

static void leave_namespace(rung_code_session *s) {
    wire_close(&s->wire); /* the tester sees the end of its channel and ends the program */
    s->alive = false;
}

static void forget(rung_code_session *s) {
    for (size_t i = 0; i < s->n_blocks; i++) rung_free(s->block[i].text);
    s->n_blocks = s->n_bytes = 0;
    s->ended = false;
}

void rung_code_session_free(rung_code_session *s) {
    if (!s) return;
    leave_namespace(s);
    forget(s);
    rung_buf_clear(&s->reply);
    s->sb->held[s->i_box] = false;
    rung_free(s);
}

rung_status rung_code_session_reset(rung_code_session *s, rung_error *err) {
    (void)err;
    leave_namespace(s);
    forget(s);
    return RUNG_OK;
}

static void take_reply(rung_block_result *out, rung_code_session *s, yyjson_val *root,
                       const char *blob, size_t n_blob) {
    size_t n_out = (size_t)rung_json_i64(root, "n_out", 0);
    size_t n_errs = (size_t)rung_json_i64(root, "n_err", 0);
    if (n_out > n_blob) n_out = n_blob;
    if (n_errs > n_blob - n_out) n_errs = n_blob - n_out;
    out->reason = reason_find(rung_json_str(root, "reason", ""));
    snprintf(out->detail, sizeof out->detail, "%s", rung_json_str(root, "detail", ""));
    out->alive = yyjson_get_bool(yyjson_obj_get(root, "alive"));
    out->wall_s = rung_json_f64(root, "wall", 0.0);
    out->cpu_s = rung_json_f64(root, "cpu", 0.0);
    rung_buf_reset(&s->reply);
    rung_buf_append(&s->reply, blob, n_out);
    rung_buf_append(&s->reply, "", 1);
    rung_buf_append(&s->reply, blob + n_out, n_errs);
    rung_buf_append(&s->reply, "", 1);
    rung_buf_append(&s->reply, blob + n_out + n_errs, n_blob - n_out - n_errs);
    rung_buf_append(&s->reply, "", 1);
    if (s->reply.failed) return;
    out->out = s->reply.data;
    out->errs = out->out + n_out + 1;
    out->value = out->errs + n_errs + 1;
    out->n_out = n_out;
    out->n_errs = n_errs;
    out->n_value = n_blob - n_out - n_errs;
}

/* One block, whatever becomes of it; a box that fails is unknown's business, not an error. */
static rung_status run(rung_block_result *out, rung_code_session *s, const char *text, size_t n,
                       double wall_s, double cpu_s, rung_error *err) {
    yyjson_doc *doc = NULL;
    const char *blob = NULL;
    size_t n_blob = 0;
    rung_buf b;
    *out = (rung_block_result){.out = "", .errs = "", .value = ""};
    if (!s->alive) RUNG_TRY(begin(&s->wire, s->sb, s->i_box, "session", &s->limits, err));
    s->alive = true;
    rung_buf_init(&b, 4096);
    rung_buf_printf(&b, "{\"wall\":%.3f,\"cpu\":%.3f}", wall_s, cpu_s);
    wire_put(&s->wire, &b, text, n);
    rung_buf_clear(&b);
    if (s->wire.out.failed) return rung_fail(err, RUNG_E_LIMIT, "a block over 64 MiB");
    rung_error e = RUNG_ERROR_INIT;
    rung_status st = pool_answer(&doc, &blob, &n_blob, &s->wire, &s->sb->box[s->i_box],
                                 PATIENCE * wall_s + SLACK_S, &e);
    if (st == RUNG_OK) {
        take_reply(out, s, yyjson_doc_get_root(doc), blob, n_blob);
        yyjson_doc_free(doc);
        if (s->reply.failed) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    } else {
        out->reason = RUNG_CODE_SANDBOX;
        snprintf(out->detail, sizeof out->detail, "%s", e.what);
        box_stop(&s->sb->box[s->i_box]);
    }
    if (!out->alive) leave_namespace(s);
    return RUNG_OK;
}

static rung_status keep(rung_code_session *s, const char *text, size_t n, double wall_s,
                        double cpu_s, rung_error *err) {
    if (s->n_blocks == BLOCKS_MAX || s->n_bytes + n > HISTORY_MAX)
        return rung_fail(err, RUNG_E_LIMIT, "a session of more than %d blocks or 64 MiB",
                         BLOCKS_MAX);
    char *copy = rung_alloc(n + 1);
    if (!copy) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    memcpy(copy, text, n);
    copy[n] = '\0';
    s->block[s->n_blocks++] = (block){copy, n, wall_s, cpu_s};
    s->n_bytes += n;
    return RUNG_OK;
}

static void drop_block(rung_code_session *s, size_t i) {
    s->n_bytes -= s->block[i].n;
    rung_free(s->block[i].text);
    memmove(&s->block[i], &s->block[i + 1], (s->n_blocks - i - 1) * sizeof s->block[0]);
    s->n_blocks--;
}

rung_status rung_code_session_rebuild(size_t *n_run, rung_code_session *s, rung_error *err) {
    rung_block_result r;
    size_t i = 0;
    leave_namespace(s);
    while (i < s->n_blocks) { /* from the start again after every block that ends it */
        const block *b = &s->block[i];
        RUNG_TRY(run(&r, s, b->text, b->n, b->wall_s, b->cpu_s, err));
        if (r.reason == RUNG_CODE_SANDBOX) return rung_fail(err, RUNG_E_SANDBOX, "%s", r.detail);
        if (!r.alive) {
            drop_block(s, i);
            i = 0;
        } else {
            i++;
        }
    }
    if (n_run) *n_run = i;
    s->ended = false;
    return RUNG_OK;
}

rung_status rung_code_session_run(rung_block_result *out, rung_code_session *s, const char *text,
                                  size_t n, const rung_code_limits *limits, rung_error *err) {
    rung_code_limits l = limits_of(limits, &s->limits);
    size_t n_replayed = 0;
    *out = (rung_block_result){.out = "", .errs = "", .value = ""};
    if (s->ended && s->replay) RUNG_TRY(rung_code_session_rebuild(&n_replayed, s, err));
    if (s->ended) forget(s); /* not asked for: the new namespace is empty */
    RUNG_TRY(run(out, s, text, n, l.wall_s, l.cpu_s, err));
    out->n_replayed = n_replayed;
    if (out->alive) return keep(s, text, n, l.wall_s, l.cpu_s, err);
    s->ended = true;
    return RUNG_OK;
}

/* ---- rewrites */

static const char *text_at(rung_arena *a, yyjson_val *row, size_t i, bool *failed) {
    yyjson_val *v = yyjson_arr_get(row, i);
    const char *s = yyjson_get_str(v);
    char *copy = rung_arena_strndup(a, s ? s : "", s ? yyjson_get_len(v) : 0);
    *failed |= !copy;
    return copy;
}

static rung_status take_rewrites(rung_code_rewrite **out, size_t *n, rung_arena *a,
                                 yyjson_val *root, size_t n_program, rung_error *err) {
    const char *why = rung_json_str(root, "error", NULL);
    yyjson_val *list = yyjson_obj_get(root, "rewrites"), *row;
    bool failed = false;
    size_t i, max;
    if (why || !list) return rung_fail(err, RUNG_E_FORMAT, "%s", why ? why : "not an answer");
    rung_code_rewrite *r = rung_arena_alloc(a, (yyjson_arr_size(list) + 1) * sizeof *r);
    if (!r) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    *out = r;
    *n = 0;
    yyjson_arr_foreach(list, i, max, row) {
        int64_t line = yyjson_get_sint(yyjson_arr_get(row, 0));
        uint64_t begin = yyjson_get_uint(yyjson_arr_get(row, 4));
        uint64_t end = yyjson_get_uint(yyjson_arr_get(row, 5));
        if (begin > end || end > n_program || line < 1 || line > INT32_MAX)
            return rung_fail(err, RUNG_E_SANDBOX, "a rewrite outside the program");
        r[*n] = (rung_code_rewrite){.line = (int32_t)line,
                                    .mode = text_at(a, row, 1, &failed),
                                    .op = text_at(a, row, 2, &failed),
                                    .text = text_at(a, row, 3, &failed),
                                    .begin = (size_t)begin,
                                    .end = (size_t)end,
                                    .with = text_at(a, row, 6, &failed)};
        ++*n;
    }
    return failed ? rung_fail(err, RUNG_E_NOMEM, "out of memory") : RUNG_OK;
}

rung_status rung_code_rewrites(rung_code_rewrite **out, size_t *n, rung_arena *a, rung_sandbox *sb,
                               const char *program, size_t n_program, const rung_rewrite_opts *opts,
                               rung_error *err) {
    rung_rewrite_opts o = RUNG_REWRITE_OPTS_INIT;
    yyjson_doc *doc = NULL;
    const char *blob;
    size_t i_box = 0, n_blob = 0;
    wire w;
    rung_buf b;
    *n = 0;
    if (opts && (opts->struct_size == 0 || opts->struct_size > sizeof o))
        return rung_fail(err, RUNG_E_INVAL, "rung_rewrite_opts has a size that is not this one's");
    if (opts) memcpy(&o, opts, opts->struct_size);
    RUNG_TRY(free_box(&i_box, sb, err));
    rung_status st = begin(&w, sb, i_box, "rewrite", &sb->opts.limits, err);
    if (st == RUNG_OK) {
        rung_buf_init(&b, 4096);
        rung_buf_printf(&b, "{\"seed\":%llu,\"per_line\":%u,\"first_line\":%u}",
                        (unsigned long long)o.seed, o.per_line, o.first_line);
        wire_put(&w, &b, program, n_program);
        rung_buf_clear(&b);
        if (w.out.failed) st = rung_fail(err, RUNG_E_LIMIT, "a program over 64 MiB");
    }
    if (st == RUNG_OK)
        st = pool_answer(&doc, &blob, &n_blob, &w, &sb->box[i_box],
                         PATIENCE * sb->opts.limits.wall_s + SLACK_S, err);
    if (st == RUNG_OK) {
        st = take_rewrites(out, n, a, yyjson_doc_get_root(doc), n_program, err);
        yyjson_doc_free(doc);
    } else {
        box_stop(&sb->box[i_box]);
    }
    wire_close(&w);
    return st;
}

char *rung_code_rewrite_apply(rung_arena *a, const char *program, size_t n_program,
                              const rung_code_rewrite *r) {
    size_t n_with = strlen(r->with), n = n_program - (r->end - r->begin) + n_with;
    char *s = rung_arena_alloc(a, n + 1);
    if (!s) return NULL;
    memcpy(s, program, r->begin);
    memcpy(s + r->begin, r->with, n_with);
    memcpy(s + r->begin + n_with, program + r->end, n_program - r->end);
    s[n] = '\0';
    return s;
}
