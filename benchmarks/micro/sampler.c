/* What drawing one token costs, against libllama's chain on the same logits: greedy, T 0.8, top_p
 * .95 and top_k 40 (both at T 0.8), at 151,936 and 404 tokens. CPU time of this thread, the two in
 * turns, median of the rounds. Ours includes both logprobs; the peer's includes its candidate
 * array, as llama_sampler_sample builds it. bench_sampler [ROUNDS]      rows, then one JSON object:
 * ratio = ours / peer of the slowest case at 151,936 */
#include "model/sampler.h"
#include "model/sampler_kernel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { BIG = 151936, ROUNDS_MAX = 1000 };

typedef struct bench_case {
    const char *name;
    rung_sampling s;
} bench_case;
static const bench_case cases[] = {
    {"greedy", {.temperature = 0, .top_p = 1}},
    {"t 0.8", {.temperature = 0.8, .top_p = 1}},
    {"top_p 0.95", {.temperature = 0.8, .top_p = 0.95}},
    {"top_k 40", {.temperature = 0.8, .top_p = 1, .top_k = 40}},
};

static double cpu_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(double *x, int n) {
    qsort(x, (size_t)n, sizeof *x, by_value);
    return x[n / 2];
}

/* Like a language model's row: a broad bulk and a few that stand out. */
static void fill(float *z, int n, int row) {
    rung_rng r = rung_rng_at(1, RUNG_STREAM_TEST, (uint64_t)row, 0);
    for (int i = 0; i < n; i++) z[i] = (float)(2.5 * rung_rng_normal(&r));
    for (int k = 0; k < 12; k++) z[(int)(rung_rng_f64(&r) * n)] = 18.0f - 1.1f * (float)k;
}

static struct llama_sampler *chain(const rung_sampling *s) {
    struct llama_sampler *c = llama_sampler_chain_init(llama_sampler_chain_default_params());
    if (s->temperature <= 0) {
        llama_sampler_chain_add(c, llama_sampler_init_greedy());
        return c;
    }
    if (s->top_k) llama_sampler_chain_add(c, llama_sampler_init_top_k(s->top_k));
    if (s->top_p < 1) llama_sampler_chain_add(c, llama_sampler_init_top_p((float)s->top_p, 1));
    llama_sampler_chain_add(c, llama_sampler_init_temp((float)s->temperature));
    llama_sampler_chain_add(c, llama_sampler_init_dist(1));
    return c;
}

static double peer_once(struct llama_sampler *c, llama_token_data *data, const float *z, int n,
                        int64_t *sink) {
    double t0 = cpu_now();
    for (int i = 0; i < n; i++) data[i] = (llama_token_data){i, z[i], 0};
    llama_token_data_array a = {data, (size_t)n, -1, false};
    llama_sampler_apply(c, &a);
    *sink += a.data[a.selected].id;
    return cpu_now() - t0;
}

static double ours_once(const rung_sampling *s, const float *z, int n, double u, void *scratch,
                        int64_t *sink) {
    double lp[2], t0 = cpu_now();
    *sink += rung_sample_token(lp, z, n, s, u, scratch);
    return cpu_now() - t0;
}

/* Medians in microseconds. */
static void measure(double out[2], const bench_case *b, int n, int rounds, int64_t *sink) {
    static double ours[ROUNDS_MAX], peer[ROUNDS_MAX];
    enum { ROWS = 8 };
    float *z = malloc(sizeof *z * ROWS * (size_t)n);
    llama_token_data *data = malloc(sizeof *data * (size_t)n);
    void *scratch = malloc(rung_sample_scratch(n));
    struct llama_sampler *c = chain(&b->s);
    if (!z || !data || !scratch) abort();
    for (int i = 0; i < ROWS; i++) fill(z + (size_t)i * (size_t)n, n, i);
    for (int k = -2; k < rounds; k++) {
        const float *row = z + (size_t)((k + 2) % ROWS) * (size_t)n;
        double o = ours_once(&b->s, row, n, (k + 2.5) / (rounds + 3), scratch, sink);
        double p = peer_once(c, data, row, n, sink);
        if (k >= 0) ours[k] = o * 1e6, peer[k] = p * 1e6;
    }
    out[0] = median(ours, rounds);
    out[1] = median(peer, rounds);
    llama_sampler_free(c);
    free(scratch);
    free(data);
    free(z);
}

int main(int argc, char **argv) {
    int rounds = argc > 1 ? atoi(argv[1]) : 101;
    if (rounds < 1 || rounds > ROUNDS_MAX) {
        fprintf(stderr, "usage: bench_sampler [ROUNDS]   1..%d rounds\n", ROUNDS_MAX);
        return 2;
    }
    static const int sizes[] = {BIG, 404};
    char points[2048];
    size_t at = 0;
    double worst[2] = {0, 1};
    const char *which = "";
    int64_t sink = 0;
    printf("%8s  %-12s %12s %12s %8s\n", "tokens", "case", "ours ns", "libllama ns", "ratio");
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            double m[2];
            measure(m, &cases[i], sizes[k], rounds, &sink);
            printf("%8d  %-12s %12.0f %12.0f %8.3f\n", sizes[k], cases[i].name, m[0] * 1e3,
                   m[1] * 1e3, m[0] / m[1]);
            at += (size_t)snprintf(points + at, sizeof points - at,
                                   "%s{\"n_vocab\":%d,\"case\":\"%s\",\"ours\":%.3f,\"peer\":%.3f}",
                                   at ? "," : "", sizes[k], cases[i].name, m[0], m[1]);
            if (sizes[k] == BIG && m[0] > worst[0]) {
                memcpy(worst, m, sizeof worst);
                which = cases[i].name;
            }
        }
    }
    printf("{\"v\":1,\"bench\":\"sampler\",\"ours\":%.2f,\"peer\":%.2f,\"ratio\":%.4f,"
           "\"unit\":\"us/token\",\"case\":\"%s\",\"n_vocab\":%d,\"rounds\":%d,\"kernel\":\"%s\","
           "\"peer_name\":\"libllama sampler chain\",\"points\":[%s]}\n",
           worst[0], worst[1], worst[0] / worst[1], which, BIG, rounds, rung_sampler_kernel()->name,
           points);
    return sink == INT64_MIN; /* the draws are used */
}
