/* make_report DIR: builds the stores of the tests in DIR and writes two pages from them:
 * report.html (everything a report can hold), bare.html (one trace per problem, no scores, no
 * logprobs, no labels, no training) and searched.html (a search alone). Prints the path of the
 * first. */
#include "../unit/bench/search_fixture.h"

static void path_in(char *out, size_t n, const char *dir, const char *name) {
    snprintf(out, n, "%s/%s", dir, name);
    remove(out);
}

static void full(const char *dir) {
    char store[1024], page[1024], aside[1024];
    path_in(aside, sizeof aside, dir, "report.db-wal");
    path_in(aside, sizeof aside, dir, "report.db-shm");
    path_in(store, sizeof store, dir, "report.db");
    path_in(page, sizeof page, dir, "report.html");
    fixture f;
    fix_full(&f, store, 60);
    fix_measure(&f);
    fix_searches(&f);
    FIX(rung_report_write(page, f.store, "Sums </title><script>document.title='owned'</script>",
                          "rung run recipes/sums.yaml && rung report", NULL, err));
    rung_store_close(f.store);
    printf("%s\n", page);
}

static void bare(const char *dir) {
    char page[1024];
    path_in(page, sizeof page, dir, "bare.html");
    fixture f;
    fix_open(&f, ":memory:");
    for (int i = 0; i < 5; i++) {
        char text[32];
        snprintf(text, sizeof text, "only step %d", i);
        const char *const step[1] = {text};
        fix_trace t = {.run = f.pool,
                       .problem = fix_problem(f.store, "bare", i, "q"),
                       .n_steps = 1,
                       .first_error = -2,
                       .answer = i ? "7" : "",
                       .key = i ? "7" : "",
                       .verdict = i > 2 ? RUNG_VERDICT_CORRECT : RUNG_VERDICT_UNKNOWN,
                       .prm = {NAN},
                       .orm = NAN,
                       .confidence = {NAN}};
        int64_t node[FIX_STEPS];
        fix_put(&f, &t, step, node);
    }
    rung_buf b;
    rung_buf_init(&b, 1 << 20);
    rung_answer_opts o = RUNG_ANSWER_OPTS_INIT;
    o.traces.run = f.pool;
    o.n_boot = 200;
    FIX(rung_bench_answer(&b, f.store, &o, NULL, err));
    FIX(rung_result_put(f.store, f.pool, "answer", b.data, err));
    FIX(rung_report_write(page, f.store, "Bare", "", NULL, err));
    rung_buf_clear(&b);
    rung_store_close(f.store);
}

/* A store that holds searches and no measured answers. */
static void searched(const char *dir) {
    char page[1024];
    path_in(page, sizeof page, dir, "searched.html");
    fixture f;
    fix_open(&f, ":memory:");
    for (int i = 0; i < 8; i++) (void)fix_problem(f.store, "sums", i, "2 + 2?");
    fix_search_run(&f, "beam", 16, 8);
    FIX(rung_report_write(page, f.store, "Searched", "", NULL, err));
    rung_store_close(f.store);
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: make_report DIR\n");
        return 2;
    }
    full(argv[1]);
    bare(argv[1]);
    searched(argv[1]);
    return 0;
}
