/* Our side of benchmarks/search: "METHOD NODES" a line on stdin, a JSON line out. Policy and scorer
 * follow from where a draw is (the stub of the tests), so that the bookkeeping alone is timed. */
#include "unit/search/search_stub.h"
#include <time.h>

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static const char *short_text(stub *z, const search_ask *a, int32_t i, char buf[64]) {
    (void)z;
    snprintf(buf, 64, "%c\n", (char)('a' + (a->i0 + i) % 26));
    return buf;
}

static int one(const char *method, int32_t n) {
    bool ab = strcmp(method, "ab_mcts") == 0;
    if (!search_method_find(method) || n < 1) {
        fprintf(stderr, "bench_search: no search %s of %d nodes\n", method, n);
        return 2;
    }
    stub z = stub_make(ab ? n : n / 4, ab ? 1 : 4, 30);
    z.o.depth = 31;
    z.n_tok = 2;
    z.text = short_text;
    double t0 = now_s();
    stub_run(&z, method, 5);
    double s = now_s() - t0;
    printf("{\"wall_s\":%.9f,\"nodes\":%d}\n", s, z.s.n_nodes);
    fflush(stdout);
    stub_end(&z);
    return 0;
}

int main(void) {
    char line[256], method[64];
    int n, code = 0;
    puts("{\"ready\":true}");
    fflush(stdout);
    while (code == 0 && fgets(line, sizeof line, stdin))
        code = sscanf(line, "%63s %d", method, &n) == 2 ? one(method, n) : 2;
    return code;
}
