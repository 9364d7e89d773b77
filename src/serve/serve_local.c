/* What the server answers by itself. */
#include "serve/serve_impl.h"

#include <string.h>

void serve_health(serve_request *r, const char *path) {
    serve *s = r->s;
    (void)path;
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
    rung_buf_str(b, "{\"object\":\"list\",\"data\":[");
    model_row(b, s, NULL, NULL);
    rung_buf_printf(
        b, ",\"max_model_len\":%d,\"rung\":{\"method\":\"%s\",\"split\":\"%s\",\"worker\":%s}}",
        s->o.caps.max_tok, s->o.caps.method ? s->o.caps.method : "sample",
        s->o.caps.split && strcmp(s->o.caps.split, "line") == 0 ? "line" : "other",
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
}

/* ---- the page */

#ifdef RUNG_NO_WEB
void serve_page(serve_request *r, const char *path) {
    (void)path;
    serve_refuse(r, 404, NULL, "this build has no page", NULL);
}
#else
extern const unsigned char rung_serve_page[];
extern const size_t rung_serve_page_n;

void serve_page(serve_request *r, const char *path) {
    (void)path;
    rung_buf_append(&r->out, rung_serve_page, rung_serve_page_n);
    serve_answer(r, 200, "text/html; charset=utf-8");
}
#endif
