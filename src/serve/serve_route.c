/* What is served where: one table. */
#include "serve/serve_impl.h"

#include <stdio.h>
#include <string.h>

#define MODEL(path, kind)                                                                          \
    { "POST", path, SERVE_MODEL, kind, false, NULL, false }
#define VERIFY(path, kind)                                                                         \
    { "POST", path, SERVE_VERIFIER, kind, false, NULL, false }
#define STORED(path, kind, under)                                                                  \
    { "GET", path, SERVE_VERIFIER, kind, false, NULL, under }
#define LOCAL(path, open, fn, under)                                                               \
    { "GET", path, SERVE_LOCAL, SERVE_N_KINDS, open, fn, under }

static const serve_route routes[] = {
    MODEL("/v1/chat/completions", SERVE_CHAT),
    MODEL("/v1/completions", SERVE_COMPLETION),
    MODEL("/pooling", SERVE_POOLING),
    MODEL("/v1/pooling", SERVE_POOLING),
    MODEL("/score", SERVE_SCORE),
    MODEL("/v1/score", SERVE_SCORE),
    MODEL("/classify", SERVE_CLASSIFY),
    MODEL("/v1/classify", SERVE_CLASSIFY),
    MODEL("/get_reward", SERVE_GET_REWARD),
    MODEL("/tokenize", SERVE_TOKENIZE),
    MODEL("/detokenize", SERVE_DETOKENIZE),
    {"GET", "/tokenizer_info", SERVE_MODEL, SERVE_TOKENIZER, false, NULL, false},
    VERIFY("/v1/verify", SERVE_VERIFY),
    VERIFY("/compute_score", SERVE_COMPUTE_SCORE),
    VERIFY("/v1/compute_score", SERVE_COMPUTE_SCORE),
    STORED("/tree/", SERVE_TREE, true),
    STORED("/runs", SERVE_RUNS, false),
    STORED("/runs/", SERVE_SEARCHES, true),
    STORED("/report", SERVE_REPORT, false),
    LOCAL("/", true, serve_page, false),
    LOCAL("/v1/models", false, serve_models, false),
    LOCAL("/health", true, serve_health, false),
    LOCAL("/metrics", false, serve_metrics_text, false),
};
enum { N = sizeof routes / sizeof routes[0] };

const serve_route *serve_route_at(size_t i) {
    return i < N ? &routes[i] : NULL;
}

const serve_route *serve_route_find(const char *method, const char *path, char allow[64]) {
    allow[0] = 0;
    for (size_t i = 0; i < N; i++) {
        const serve_route *r = &routes[i];
        size_t n = strlen(r->path);
        if (r->under ? strncmp(path, r->path, n) != 0 : strcmp(path, r->path) != 0) continue;
        if (strcmp(r->method, method) == 0) return r;
        snprintf(allow, 64, "%s%s", r->method, strcmp(r->method, "GET") == 0 ? ", HEAD" : "");
    }
    return NULL;
}
