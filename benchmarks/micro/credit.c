/* Our side of benchmarks/credit: the batch is made once, then a case a line on stdin, a JSON line
 * out: NAME      {"wall_s":..}           advantages and (gae) returns of the batch by that row sum
 * NAME  {"wall_s":..,"sum":..}  and a signed sum of them, so that the sides can be compared
 *   bench_credit ANSWERS TOKENS THREADS */
#include "rung/advantage.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { K = 8, STEP = 64 };

typedef struct batch {
    rung_advantage_data d;
    rung_step_rewards steps;
    float *advantage, *returns, *value, *token;
    int64_t width;
} batch;

static float spread(int64_t i, int64_t salt) {
    uint32_t h = (uint32_t)((uint64_t)i * 2654435761u + (uint64_t)salt * 40503u);
    return (float)((double)(h >> 8) / 8388608 - 1);
}

static void *room(size_t n) {
    void *p = calloc(n, 1);
    if (!p) exit(1);
    return p;
}

static void make(batch *b, int32_t n, int64_t width) {
    size_t all = (size_t)n * (size_t)width, per = (size_t)(width / STEP);
    int64_t *first = room(((size_t)n + 1) * sizeof *first),
            *sf = room(((size_t)n + 1) * sizeof *sf);
    int32_t *group = room((size_t)n * sizeof *group), *end = room((size_t)n * per * sizeof *end);
    double *outcome = room((size_t)n * sizeof *outcome), *r = room((size_t)n * per * sizeof *r);
    float *x = room(4 * all * sizeof *x);
    b->advantage = x;
    b->returns = x + all;
    b->value = x + 2 * all;
    b->token = x + 3 * all;
    b->width = width;
    for (size_t i = 0; i < all; i++) {
        b->value[i] = spread((int64_t)i, 1);
        b->token[i] = spread((int64_t)i, 2);
    }
    for (int32_t i = 0; i < n; i++) {
        first[i + 1] = (i + 1) * width;
        sf[i + 1] = (i + 1) * (int64_t)per;
        group[i] = i / K;
        outcome[i] = (i * 7 + i / K * 3) % 5 < 2;
        for (int64_t h = 0; h < (int64_t)per; h++) {
            end[sf[i] + h] = (int32_t)(h * STEP + STEP - 1);
            r[sf[i] + h] = (double)spread(first[i] + h * STEP + STEP - 1, 3);
        }
    }
    b->steps = (rung_step_rewards){.first = sf, .end = end, .reward = r};
    b->d = (rung_advantage_data){.n = n, .first = first, .group = group, .outcome = outcome};
}

static double run(batch *b, const char *name, int threads) {
    rung_advantage_data d = b->d;
    rung_advantage_opts o = RUNG_ADVANTAGE_OPTS_INIT;
    rung_advantage_id id;
    rung_error err = RUNG_ERROR_INIT;
    if (!rung_advantage_find(&id, name)) exit(2);
    o.n_threads = threads;
    o.length_max = (int32_t)b->width;
    o.prime_code = true;
    o.min_variant = RUNG_MIN_CODE_VERL;
    if (id == RUNG_ADVANTAGE_GAE) d.value = b->value;
    if (id == RUNG_ADVANTAGE_PRIME) d.token_reward = b->token;
    if (id == RUNG_ADVANTAGE_MIN_FORM) {
        d.source = &b->steps;
        d.n_sources = 1;
    }
    double t = rung_now(); /* returns where the peer makes an array of their own */
    bool returns =
        id == RUNG_ADVANTAGE_GAE || id == RUNG_ADVANTAGE_PRIME || id == RUNG_ADVANTAGE_MIN_FORM;
    if (rung_advantage(b->advantage, returns ? b->returns : NULL, NULL, id, &d, &o, &err) !=
        RUNG_OK) {
        fprintf(stderr, "bench_credit: %s\n", err.what);
        exit(1);
    }
    return rung_now() - t;
}

static double signed_sum(const batch *b) {
    double sum = 0;
    for (int64_t i = 0; i < b->d.n; i++)
        for (int64_t t = 0; t < b->width; t++)
            sum += fabs((double)b->advantage[i * b->width + t]) * (t % 3 == 0 ? -1 : 1);
    return sum / b->d.n;
}

int main(int argc, char **argv) {
    char line[64];
    batch b;
    if (argc != 4) return 2;
    make(&b, atoi(argv[1]), atoi(argv[2]));
    printf("{\"rung\":\"%s\"}\n", RUNG_VERSION);
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = 0;
        bool sum = strncmp(line, "sum ", 4) == 0;
        double wall = run(&b, sum ? line + 4 : line, atoi(argv[3]));
        printf("{\"wall_s\":%.9f", wall);
        if (sum) printf(",\"sum\":%.12g", signed_sum(&b));
        printf("}\n");
        fflush(stdout);
    }
    return 0;
}
