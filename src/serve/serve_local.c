/* What the server answers by itself. */
#include "serve/serve_impl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void serve_health(serve_request *r, const char *path) {
    serve *s = r->s;
    (void)path;
    pthread_mutex_lock(&s->lock);
    const serve_worker *w = &s->worker[SERVE_MODEL];
    const char *state = s->draining       ? "draining"
                        : w->ready        ? "ok"
                        : w->n_starts > 1 ? "restarting"
                                          : "loading";
    rung_buf_printf(&r->out, "{\"status\":\"%s\",\"queue\":%d,\"active\":%d", state, w->n_queue,
                    w->n_sent);
    if (!w->ready && w->why[0]) {
        rung_buf_str(&r->out, ",\"reason\":");
        rung_buf_json_str(&r->out, w->why, strlen(w->why));
    }
    rung_buf_str(&r->out, "}");
    serve_answer(r, strcmp(state, "ok") == 0 ? 200 : 503, "application/json");
    pthread_mutex_unlock(&s->lock);
}

static void model_row(rung_buf *b, const serve *s, const char *method, const char *help) {
    const char *name = s->o.caps.name;
    rung_buf id;
    rung_buf_init(&id, 4096);
    rung_buf_printf(&id, "%s%s%s", name, method ? ":" : "", method ? method : "");
    rung_buf_str(b, "{\"id\":");
    rung_buf_json_str(b, id.data ? id.data : "", id.n);
    rung_buf_printf(b, ",\"object\":\"model\",\"created\":%lld,\"owned_by\":\"rung\"",
                    (long long)(rung_unix_ms() / 1000 - (int64_t)(rung_now() - s->begun)));
    if (method) rung_buf_printf(b, ",\"root\":");
    if (method) rung_buf_json_str(b, name, strlen(name));
    if (help) rung_buf_str(b, ",\"description\":");
    if (help) rung_buf_json_str(b, help, strlen(help));
    rung_buf_clear(&id);
}

/* The name, and the name with each method: a client that can set the model can search. */
void serve_models(serve_request *r, const char *path) {
    serve *s = r->s;
    rung_buf *b = &r->out;
    rung_search_info info;
    (void)path;
    pthread_mutex_lock(&s->lock);
    rung_buf_str(b, "{\"object\":\"list\",\"data\":[");
    model_row(b, s, NULL, NULL);
    rung_buf_printf(b, ",\"max_model_len\":%d,\"rung\":{\"method\":\"%s\",\"worker\":%s}}",
                    s->o.caps.max_tok, s->o.caps.method ? s->o.caps.method : "sample",
                    s->worker[SERVE_MODEL].info[0] ? s->worker[SERVE_MODEL].info : "null");
    rung_buf_str(b, ",");
    model_row(b, s, "sample", "one continuation, no search");
    rung_buf_str(b, "}");
    for (size_t i = 0; rung_search_at(&info, i); i++) {
        rung_buf_str(b, ",");
        model_row(b, s, info.name, info.help);
        rung_buf_str(b, "}");
    }
    rung_buf_str(b, "]}");
    serve_answer(r, 200, "application/json");
    pthread_mutex_unlock(&s->lock);
}

/* ---- trees */

static void number(rung_buf *b, const char *key, double x) {
    if (isfinite(x)) rung_buf_printf(b, ",\"%s\":%.6g", key, x);
}

static void tree_json(rung_buf *b, const char *id, const rung_tree *t, const rung_problem *p) {
    rung_buf_str(b, "{\"id\":");
    rung_buf_json_str(b, id, strlen(id));
    rung_buf_str(b, ",\"question\":");
    rung_buf_json_str(b, p->question, strlen(p->question));
    rung_buf_str(b, ",\"nodes\":[");
    for (int32_t v = 1; v < t->n; v++) {
        const rung_tree_node *x = &t->node[v];
        rung_buf_printf(b, "%s{\"node\":%d,\"parent\":%d,\"text\":", v > 1 ? "," : "", v,
                        x->parent);
        rung_buf_json_str(b, x->text, strlen(x->text));
        number(b, "score", x->score);
        number(b, "value", x->value);
        if (x->n_visits) rung_buf_printf(b, ",\"visits\":%d", x->n_visits);
        rung_buf_printf(b, ",\"kept\":%s,\"pruned\":%s,\"done\":%s,\"chosen\":%s}",
                        x->kept ? "true" : "false", x->pruned ? "true" : "false",
                        x->done ? "true" : "false", x->chosen ? "true" : "false");
    }
    rung_buf_str(b, "]}");
}

static rung_status load_tree(serve_request *r, rung_arena *a, const char *id, rung_error *err) {
    rung_store *st = NULL;
    rung_tree t;
    rung_problem p;
    char *end = NULL;
    long long run = strtoll(id, &end, 10);
    long long problem = end != id && *end == '-' ? strtoll(end + 1, &end, 10) : 0;
    if (run <= 0 || problem <= 0 || *end || !r->s->o.store_path)
        return rung_fail(err, RUNG_E_NOT_FOUND, "no tree has this number");
    RUNG_TRY(rung_store_open(&st, r->s->o.store_path, RUNG_STORE_READ_ONLY, err));
    rung_status rc = rung_search_replay(&t, a, st, run, problem, err);
    if (rc == RUNG_OK && t.n == 1) rc = rung_fail(err, RUNG_E_NOT_FOUND, "no tree has this number");
    if (rc == RUNG_OK) rc = rung_problem_get(st, &p, a, problem, err);
    if (rc == RUNG_OK) tree_json(&r->out, id, &t, &p);
    rung_store_close(st);
    return rc;
}

void serve_tree(serve_request *r, const char *path) {
    rung_error err = RUNG_ERROR_INIT;
    rung_arena *a = rung_arena_new(0);
    rung_status st = a ? load_tree(r, a, path, &err) : RUNG_E_NOMEM;
    rung_arena_free(a);
    if (st == RUNG_OK)
        serve_answer(r, 200, "application/json");
    else
        serve_refuse(r, st == RUNG_E_NOT_FOUND ? 404 : 500, NULL, err.what, NULL);
}
