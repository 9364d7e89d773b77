/* Search runs for the tests of the report: rows, ledgers and the events of a small tree. */
#ifndef RUNG_TESTS_SEARCH_FIXTURE_H
#define RUNG_TESTS_SEARCH_FIXTURE_H
#include "bench_fixture.h"

/* Two searches at two budgets on the first problems: more is right with more, and a tree of five
 * states each, with a step that a model might write. */
static inline void fix_search_run(fixture *f, const char *method, int n, int n_problems) {
    char name[64], config[160], ledger[400];
    snprintf(name, sizeof name, "%s_%d", method, n);
    snprintf(config, sizeof config,
             "{\"method\":\"%s\",\"n\":%d,\"width\":4,\"score\":\"truth\",\"flip\":0.1,\"seed\":7}",
             method, n);
    rung_run r = {.name = name, .kind = "search.run", .config = config, .seed = 7};
    FIX(rung_run_begin(f->store, &r, err));
    snprintf(ledger, sizeof ledger,
             "{\"n_gen\":%d,\"prompt_tok\":%d,\"prompt_new_tok\":9,\"gen_tok\":%d,\"scored_tok\":0,"
             "\"scored_new_tok\":0,\"judge_in_tok\":0,\"judge_out_tok\":0,\"flops_cached\":%g,"
             "\"flops_naive\":%g,\"tool_s\":0,\"wall_s\":0.5}",
             n, 20 * n, 50 * n, 1e8 * n, 7e8 * n);
    const rung_search_event event[] = {
        {"node", 1, 0, .9, 0, "2 + 2 = 4\n", 10},
        {"node", 2, 0, .2, 0, "</script><b>bold</b>\n", 21},
        {"score", 1, 0, .75, 0, NULL, 0},
        {"score", 2, 0, .25, 0, NULL, 0},
        {"keep", 1, 0, .75, 0, NULL, 0},
        {"prune", 2, 0, .25, 0, NULL, 0},
        {"node", 3, 1, .9, 0, "so #### 4\n", 10},
        {"node", 4, 1, .9, 0, "so #### 5\n", 10},
        {"done", 3, 1, .5, 0, NULL, 0},
        {"done", 4, 1, .5, 0, NULL, 0},
        {"choose", 3, 1, .5, 0, NULL, 0},
    };
    rung_iter *it = NULL;
    const rung_problem *p;
    int64_t id[64];
    int k = 0;
    FIX(rung_problem_iter(&it, f->store, &(rung_filter){.set = "sums"}, err));
    while (k < n_problems && rung_problem_next(&p, it, NULL) == RUNG_OK) id[k++] = p->id;
    rung_iter_free(it);
    for (int i = 0; i < k; i++) {
        bool right = i % 16 < n / 2 + 4, is_new;
        rung_search_row row = {.run = r.id,
                               .problem = id[i],
                               .method = method,
                               .chosen = 0,
                               .answer_key = "4",
                               .verdict = right ? RUNG_VERDICT_CORRECT : RUNG_VERDICT_WRONG,
                               .outcome = right ? "correct" : "wrong",
                               .n_traces = 2,
                               .n_nodes = 5,
                               .ledger = ledger};
        FIX(rung_search_put(f->store, &row, event, (int32_t)(sizeof event / sizeof *event), &is_new,
                            err));
    }
    FIX(rung_run_spend(f->store, r.id, 50 * n * k, .25 * k, err));
    FIX(rung_run_finish(f->store, r.id, err));
}

static inline __attribute__((unused)) void fix_searches(fixture *f) {
    fix_search_run(f, "beam", 4, 32);
    fix_search_run(f, "beam", 16, 32);
    fix_search_run(f, "dvts", 4, 32);
    fix_search_run(f, "dvts", 16, 32);
}
#endif
