/* Our side of benchmarks/train: one process that waits for commands on stdin, so that it and its
 * peer take turns, each idle while the other runs. A line in, a JSON line out:
 *   step N    N optimiser steps: {"wall_s":..,"tokens":..,"loss":..}
 *   product N oneDNN's product 2048 x 256 x 704 N times: {"gflops":..}
 *   memory    {"activation_bytes":..,"formula_bytes":..,"peak_kib":..}
 *   bench_train full|full-bf16 | lora BASE.gguf ROWS TOKENS | head ROWS */
#include "train/net.h"
#include "train/parallel.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct work {
    rung_net *net;
    int32_t rows, n_tok, *tok, *doc, *target;
    float *weight;
} work;

static void die(const rung_error *e) {
    fprintf(stderr, "bench_train: %s (%s)\n", e->what, e->hint);
    exit(1);
}

static void make_batch(work *w, int32_t n_vocab) {
    int64_t n = (int64_t)w->rows * w->n_tok;
    w->tok = calloc((size_t)n, sizeof *w->tok);
    w->doc = calloc((size_t)n, sizeof *w->doc);
    w->target = calloc((size_t)n, sizeof *w->target);
    w->weight = calloc((size_t)n, sizeof *w->weight);
    if (!w->tok || !w->doc || !w->target || !w->weight) exit(1);
    for (int64_t i = 0; i < n; i++) {
        w->tok[i] = (int32_t)((i * 37 + i / 5) % n_vocab);
        w->target[i] = (int32_t)((i * 11 + 5) % n_vocab);
        w->weight[i] = 1;
    }
}

static void run_steps(work *w, int n) {
    rung_error err = RUNG_ERROR_INIT;
    rung_loss_ce ce = {w->target, w->weight};
    rung_batch b = {w->rows, w->n_tok, w->tok, w->doc};
    rung_adamw o = RUNG_ADAMW_INIT;
    double value = 0, norm, t = rung_now();
    for (int i = 0; i < n; i++) {
        if (rung_net_grad_ce(&value, w->net, &b, &ce, 0, 1, &err) != RUNG_OK ||
            rung_net_step(&norm, w->net, &o, &err) != RUNG_OK)
            die(&err);
    }
    t = rung_now() - t;
    printf("{\"wall_s\":%.6f,\"tokens\":%lld,\"loss\":%.6f}\n", t,
           (long long)n * w->rows * w->n_tok, value);
}

static void run_product(int n) {
    enum { M = 2048, K = 256, N = 704 };
    static float a[M * K], b[K * N], c[M * N];
    for (int i = 0; i < M * K; i++) a[i] = (float)(i % 7) - 3;
    for (int i = 0; i < K * N; i++) b[i] = (float)(i % 5) - 2;
    double t = rung_now();
    for (int i = 0; i < n; i++) rung_gemm_one(false, false, M, N, K, 1, a, K, b, N, 0, c, N);
    t = rung_now() - t;
    printf("{\"wall_s\":%.6f,\"gflops\":%.4f}\n", t, 2e-9 * M * K * N * n / t);
}

static long peak_kib(void) {
    char line[128];
    long kib = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f)) {
        if (sscanf(line, "VmHWM: %ld", &kib) == 1) break;
    }
    if (f) fclose(f);
    return kib;
}

/* The formula of docs/design/training.md, with the logits of the fused cross entropy. */
static double formula(const work *w) {
    const rung_net_shape *s = rung_net_get_shape(w->net);
    double d = s->n_embd, a = d, k = d * s->n_head_kv / s->n_head, q = a + 2 * k, f = s->n_ff;
    double per_token = s->n_layer * (2 * d + q + a + 2 * f + s->n_head + 2) + 4 * d + 1 + q +
                       (f > a ? f : a) + s->n_vocab + 16 + d;
    return 4.0 * w->rows * w->n_tok * per_token;
}

static void tell_memory(const work *w) {
    printf(
        "{\"activation_bytes\":%lld,\"formula_bytes\":%.0f,\"n_trained\":%lld,\"peak_kib\":%ld}\n",
        (long long)rung_net_activation_bytes(w->net), formula(w),
        (long long)rung_net_n_trained(w->net), peak_kib());
}

static void make_full(work *w, const char *precision) {
    rung_error err = RUNG_ERROR_INIT;
    rung_net_shape s = {.n_vocab = 512,
                        .n_embd = 256,
                        .n_layer = 6,
                        .n_head = 8,
                        .n_head_kv = 8,
                        .n_ff = 704,
                        .n_ctx = 128,
                        .rope_base = 10000,
                        .rms_eps = 1e-5f};
    w->rows = 16;
    w->n_tok = 128;
    if (rung_net_new(&w->net, &s, 1, &err) != RUNG_OK ||
        rung_net_set_precision(w->net, precision, &err) != RUNG_OK)
        die(&err);
    make_batch(w, s.n_vocab);
}

static void make_lora(work *w, const char *base) {
    rung_error err = RUNG_ERROR_INIT;
    rung_lora_opts lora = RUNG_LORA_OPTS_INIT; /* rank 8 on q and v */
    if (rung_net_load_frozen(&w->net, base, &err) != RUNG_OK ||
        rung_net_add_lora(w->net, &lora, &err) != RUNG_OK)
        die(&err);
    make_batch(w, rung_net_get_shape(w->net)->n_vocab);
}

/* Two-layer head on n hidden states of 896; epochs of one call, no held-out rows. */
static void run_head(int64_t n, int epochs) {
    enum { D = 896 };
    rung_error err = RUNG_ERROR_INIT;
    float *x = calloc((size_t)n * D, sizeof *x), *y = calloc((size_t)n, sizeof *y);
    if (!x || !y) exit(1);
    for (int64_t i = 0; i < n * D; i++) x[i] = (float)((i * 7919) % 2003) / 1000 - 1;
    for (int64_t i = 0; i < n; i++) y[i] = (float)(i % 3 == 0);
    rung_head_data train = {.x = x, .y = y, .n = n}, held = {0};
    rung_head_opts o = {
        .n_hidden = 256, .epochs = epochs, .batch = 128, .lr = 1e-3, .seed = 1, .patience = epochs};
    rung_head *h;
    double t = rung_now();
    if (rung_head_train(&h, D, &train, &held, &o, NULL, NULL, &err) != RUNG_OK) die(&err);
    printf("{\"wall_s\":%.6f,\"rows\":%lld}\n", rung_now() - t, (long long)n * epochs);
    rung_head_free(h);
    free(x);
    free(y);
}

int main(int argc, char **argv) {
    work w = {0};
    char line[64];
    const char *kind = argc > 1 ? argv[1] : "";
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (strcmp(kind, "full") == 0 || strcmp(kind, "full-bf16") == 0) {
        make_full(&w, strcmp(kind, "full") == 0 ? "f32" : "bf16");
    } else if (strcmp(kind, "lora") == 0 && argc == 5) {
        w.rows = atoi(argv[3]);
        w.n_tok = atoi(argv[4]);
        make_lora(&w, argv[2]);
    } else if (strcmp(kind, "head") != 0 || argc != 3) {
        fprintf(stderr, "usage: bench_train full|full-bf16|lora BASE ROWS TOKENS|head ROWS\n");
        return 2;
    }
    puts("{\"ready\":true}");
    while (fgets(line, sizeof line, stdin)) {
        int n = 1;
        char *space = strchr(line, ' ');
        if (space) n = atoi(space);
        if (strncmp(line, "step", 4) == 0) run_steps(&w, n);
        if (strncmp(line, "product", 7) == 0) run_product(n);
        if (strncmp(line, "memory", 6) == 0) tell_memory(&w);
        if (strncmp(line, "head", 4) == 0) run_head(atoll(argv[2]), n);
    }
    rung_net_free(w.net);
    return 0;
}
