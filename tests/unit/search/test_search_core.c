/* Searches without a model: what each method asks for, keeps, prunes and chooses, by hand on small
 * trees; and what all of them have in common. */
#include "search_stub.h"

/* Scores by depth and draw: draw d of its parent is worth (d + 1) / 10, so the last is the best. */
static double by_draw(stub *z, int32_t node) {
    const char *dot = strchr(z->s.node[node].text, '.');
    return (dot ? atoi(dot + 1) + 1 : 0) / 10.0;
}

static const char *step_of(const stub *z, int32_t node) {
    return z->s.node[node].text;
}

/* N = 4, M = 2: 4 draws from the root, the best 2 kept, copied to 4 by 2 draws each. */
static void beam_by_hand(void **ud) {
    (void)ud;
    stub z = stub_make(4, 2, 3);
    z.score = by_draw;
    stub_run(&z, "beam", 1);
    /* nodes 1..4 from the root; kept: 4 (0.4) and 3 (0.3); 5, 6 from 4; 7, 8 from 3; kept: 6 and 8,
     * tied at .2, in order; 9, 10 from 6; 11, 12 from 8: all at the end, so all finish */
    assert_int_equal(z.s.n_nodes, 13);
    assert_int_equal(count_events(&z.s, "keep"), 4);
    assert_int_equal(count_events(&z.s, "prune"), 4);
    assert_int_equal(z.s.n_done, 4);
    assert_true(z.s.node[1].pruned && z.s.node[2].pruned && !z.s.node[3].pruned);
    assert_int_equal(z.s.node[5].parent, 4);
    assert_int_equal(z.s.node[9].parent, 6);
    int32_t chosen;
    assert_int_equal(search_choose(&chosen, &z.s, NULL), RUNG_OK);
    assert_string_equal(step_of(&z, z.s.done[chosen]), "6.1\n");
    stub_end(&z);
}

/* Early finishers keep their place, and the freed places are filled again; the best N stay. */
static const char *ends_early(stub *z, const search_ask *a, int32_t i, char buf[64]) {
    stub_text(z, a, i, buf);
    return buf;
}
static bool final_at_draw_0(void *ud, const char *step, int32_t n) {
    const char *dot = strchr(step, '.');
    (void)ud;
    return n > 2 && dot && dot[1] == '0' && dot[2] == '\n';
}
static void finished_keep_their_place(void **ud) {
    (void)ud;
    stub z = stub_make(4, 2, 4);
    z.text = ends_early;
    z.s.is_final = final_at_draw_0;
    stub_run(&z, "beam", 2);
    /* draw 0 of every parent finishes: 1 + 2 + 2 + 4 at the last depth = 9, of which 4 stay */
    assert_int_equal(z.s.n_done, 4);
    assert_int_equal(count_events(&z.s, "done"), 1 + 2 + 2 + 4);
    double least = 2.0;
    for (int32_t i = 0; i < 4; i++) least = fmin(least, search_value(&z.s, z.s.done[i]));
    for (int32_t i = 0; i < z.s.n_events; i++)
        if (strcmp(z.s.event[i].kind, "done") == 0 && z.s.node[z.s.event[i].node].pruned)
            assert_true(z.s.event[i].value <= least);
    stub_end(&z);
}

/* SBS: N M from the root, then M of each; a finished beam lowers the number of the others. */
static void beam_shapes(void **ud) {
    (void)ud;
    stub z = stub_make(2, 3, 2);
    stub_run(&z, "beam_sbs", 3);
    assert_int_equal(z.s.n_nodes, 1 + 6 + 6);
    assert_int_equal(z.s.n_done, 2);
    stub_end(&z);
    z = stub_make(2, 3, 2);
    stub_run(&z, "beam_cots", 3);
    assert_int_equal(z.s.n_nodes, 1 + 3 + 6);
    assert_int_equal(z.s.n_done, 2);
    stub_end(&z);
    /* draw 0 always ends and is the worst: never among the best, so no beam is given up for it */
    z = stub_make(2, 3, 3);
    z.s.is_final = final_at_draw_0;
    z.score = by_draw;
    stub_run(&z, "beam_sbs", 3);
    assert_int_equal(count_events(&z.s, "keep"), 4);
    stub_end(&z);
}

/* K = 2 trees of 3: the best child of each is followed, though both best are worse than the other
 * tree's second; at the end every sibling is a candidate. */
static double tree_0_is_better(stub *z, int32_t node) {
    int32_t v = node;
    while (z->s.node[v].parent > 0) v = z->s.node[v].parent;
    return (v <= 3 ? .5 : .1) + .01 * (double)(node % 3);
}
static void dvts_by_hand(void **ud) {
    (void)ud;
    stub z = stub_make(6, 3, 2);
    z.score = tree_0_is_better;
    stub_run(&z, "dvts", 4);
    assert_int_equal(z.s.n_nodes, 1 + 6 + 6);
    assert_int_equal(z.s.n_done, 6);
    int n_first = 0;
    for (int32_t i = 0; i < 6; i++) {
        int32_t v = z.s.node[z.s.done[i]].parent;
        n_first += v <= 3;
    }
    assert_int_equal(n_first, 3);
    assert_int_equal(count_events(&z.s, "keep"), 2);
    stub_end(&z);
}

/* The step itself is worth little, what follows it greedily a lot: only a look ahead sees it. */
static double seen_ahead(stub *z, int32_t node) {
    const search_node *v = &z->s.node[node];
    if (v->scratch) return strncmp(z->s.node[v->parent].text, "0.0", 3) == 0 ? .9 : .1;
    return strncmp(v->text, "0.0", 3) == 0 ? .2 : .5;
}
static void look_ahead(void **ud) {
    (void)ud;
    stub z = stub_make(2, 2, 3);
    z.score = seen_ahead;
    stub_run(&z, "beam", 5);
    assert_true(z.s.node[1].pruned);
    stub_end(&z);
    z = stub_make(2, 2, 3);
    z.score = seen_ahead;
    z.o.lookahead = 1;
    stub_run(&z, "beam", 5);
    assert_false(z.s.node[1].pruned);
    assert_true(z.s.node[2].pruned);
    for (int32_t i = 0; i < z.s.n_done; i++) assert_false(z.s.node[z.s.done[i]].scratch);
    stub_end(&z);
}

/* Beta posterior of the mode: Binomial(v1 + v2 + 1, 1/2) <= v1, by hand. */
static void adaptive(void **ud) {
    (void)ud;
    NEAR(search_mode_posterior(0, 0), .5, 1e-12);
    NEAR(search_mode_posterior(3, 0), 15.0 / 16.0, 1e-12);
    NEAR(search_mode_posterior(4, 0), 31.0 / 32.0, 1e-12);
    NEAR(search_mode_posterior(2, 1), 11.0 / 16.0, 1e-12);
    assert_true(search_mode_posterior(600, 500) > .99);
}
static rung_status key_by_draw(void *ud, search *s, int32_t node, rung_error *err) {
    (void)err;
    const char *dot = strchr(s->node[node].text, '.');
    int d = dot ? atoi(dot + 1) : 0;
    s->node[node].key = *(int *)ud == 0 ? "7" : *(int *)ud == 1 ? (d % 2 ? "7" : "8") : "";
    return RUNG_OK;
}
static void adaptive_stops(void **ud) {
    (void)ud;
    const int32_t want[] = {4, 32, 32}; /* one answer: 4 are enough; two: never; none: never */
    for (int kind = 0; kind < 3; kind++) {
        stub z = stub_make(32, 4, 1);
        z.s.judge = key_by_draw;
        z.s.ud = &kind;
        stub_run(&z, "sc_adaptive", 6);
        assert_int_equal(z.s.n_done, want[kind]);
        int32_t chosen;
        assert_int_equal(search_choose(&chosen, &z.s, NULL), RUNG_OK);
        assert_int_equal(chosen, kind == 0 ? 0 : kind == 1 ? 0 : -1); /* no answer never wins */
        stub_end(&z);
    }
}

/* tau = 2 of 4 tokens, N = 4, M = 2: 4 partial steps, 2 finished: 4 x 2 + 2 x 2 tokens a round. */
static void early_rejection(void **ud) {
    (void)ud;
    stub z = stub_make(4, 2, 3);
    z.o.tau = 2;
    stub_run(&z, "early_rejection", 7);
    /* round 1: 4 cut, 2 finished; round 2 the same; round 3: 2 survivors end */
    assert_int_equal(z.s.ledger.gen_tok, 3 * (4 * 2 + 2 * 2));
    assert_int_equal(z.s.ledger.n_gen, 3 * (4 + 2));
    assert_int_equal(z.s.n_done, 2);
    for (int32_t i = 0; i < 2; i++) assert_int_equal(z.s.node[z.s.done[i]].n_path_tok, 12);
    stub_end(&z);
    /* (b) steps no longer than tau: P = F, nothing to finish; the reference asks all the same */
    z = stub_make(4, 2, 3);
    z.o.tau = 8;
    stub_run(&z, "early_rejection", 7);
    assert_int_equal(z.s.ledger.n_gen, 3 * 4);
    stub_end(&z);
    z = stub_make(4, 2, 3);
    z.o.tau = 8;
    z.o.replicate = true;
    stub_run(&z, "early_rejection", 7);
    assert_true(z.s.ledger.n_gen > 3 * 4);
    stub_end(&z);
}

/* (h) a finished beam survives its siblings; in the reference it is lost. (e) no signal: the first.
 */
static double one_level(stub *z, int32_t node) {
    (void)z;
    (void)node;
    return .5;
}
static void early_edges(void **ud) {
    (void)ud;
    stub z = stub_make(4, 2, 4);
    z.o.tau = 8;
    z.s.is_final = final_at_draw_0;
    z.score = one_level;
    stub_run(&z, "early_rejection", 8);
    assert_true(count_events(&z.s, "no_signal") > 0);
    assert_true(z.s.node[3].pruned && z.s.node[4].pruned && !z.s.node[1].pruned);
    assert_int_equal(z.s.done[0], 1);
    stub_end(&z);
    z = stub_make(4, 2, 4);
    z.o.tau = 8;
    z.o.replicate = true;
    z.s.is_final = final_at_draw_0;
    z.score = one_level;
    stub_run(&z, "early_rejection", 8);
    assert_true(z.s.node[1].pruned); /* lost while its sibling goes on */
    for (int32_t i = 0; i < z.s.n_done; i++) assert_true(z.s.done[i] != 1);
    stub_end(&z);
}

static void best_first(void **ud) {
    (void)ud;
    stub z = stub_make(64, 2, 3);
    z.score = by_draw; /* the second child is better every time: straight down, then over */
    stub_run(&z, "best_first", 9);
    assert_int_equal(z.s.node[3].parent, 2);
    assert_int_equal(z.s.node[5].parent, 4);
    assert_int_equal(z.s.n_nodes, 7);
    stub_end(&z);
    z = stub_make(64, 2, 3);
    z.o.threshold = .15;
    z.score = by_draw; /* .1 is below: left; .2: followed */
    stub_run(&z, "tot_dfs", 9);
    assert_int_equal(z.s.n_done, 1);
    assert_true(z.s.node[1].pruned && z.s.node[3].pruned && z.s.node[5].pruned);
    stub_end(&z);
}

/* Nothing finished within the rounds: the best open state stands for it, without an answer. */
static void nothing_finished(void **ud) {
    (void)ud;
    stub z = stub_make(4, 2, 1000);
    z.o.budget_tok = 40;
    stub_run(&z, "beam", 10);
    assert_int_equal(z.s.n_done, 0);
    int32_t chosen = 5;
    assert_int_equal(search_choose(&chosen, &z.s, NULL), RUNG_OK);
    assert_int_equal(z.s.n_done, 1);
    assert_string_equal(z.s.node[z.s.done[0]].key, "");
    stub_end(&z);
}

/* ---- all methods */

static const char *const all[] = {
    "greedy",   "sc",        "sc_weighted",     "sc_adaptive", "bon",
    "vote",     "beam",      "beam_sbs",        "beam_cots",   "dvts",
    "particle", "mcts_uct",  "early_rejection", "best_first",  "tot_bfs",
    "tot_dfs",  "mcts_puct", "particle_gibbs",  "mcts_az",     "mcts_pucb",
    "ab_mcts",  "rstar"};

static void same_tree(const search *a, const search *b) {
    assert_int_equal(a->n_events, b->n_events);
    for (int32_t i = 0; i < a->n_events; i++) {
        const rung_search_event *x = &a->event[i], *y = &b->event[i];
        assert_string_equal(x->kind, y->kind);
        assert_true(x->node == y->node && x->parent == y->parent && x->n == y->n);
        assert_true(x->value == y->value || (isnan(x->value) && isnan(y->value)));
    }
}

/* The order in which continuations arrive changes nothing; every candidate is a whole path, once;
 * draws of a state are numbered without a gap, so that none is drawn twice. */
static void every_method(void **ud) {
    (void)ud;
    for (size_t k = 0; search_method_at(k); k++) {
        bool tested = false;
        for (size_t j = 0; j < sizeof all / sizeof *all; j++)
            tested |= !strcmp(all[j], search_method_at(k)->info.name);
        if (!tested) print_message("not tested: %s\n", search_method_at(k)->info.name);
        assert_true(tested); /* a new row is tested the day it is added */
    }
    for (size_t k = 0; k < sizeof all / sizeof *all; k++)
        for (uint64_t address = 1; address < 20; address++) {
            stub a = stub_make(0, 3, 4), b = stub_make(0, 3, 4);
            a.o.lookahead = b.o.lookahead = address % 3 == 0;
            b.reversed = true;
            stub_run(&a, all[k], address);
            stub_run(&b, all[k], address);
            same_tree(&a.s, &b.s);
            bool may_have_none = strcmp(all[k], "tot_dfs") == 0 || /* all below the threshold */
                                 strcmp(all[k], "rstar") == 0;     /* nobody gives an answer here */
            assert_true(a.s.n_done > 0 || may_have_none);
            for (int32_t i = 0; i < a.s.n_done; i++) {
                assert_true(a.s.done[i] > 0 && !a.s.node[a.s.done[i]].scratch);
                for (int32_t j = 0; j < i; j++) assert_true(a.s.done[j] != a.s.done[i]);
            }
            int32_t chosen;
            assert_int_equal(search_choose(&chosen, &a.s, NULL), RUNG_OK);
            stub_end(&a);
            stub_end(&b);
        }
}

/* By hand: 2P + 4 L D c with P = 100, L = 2, D = 3: 200 + 24 c. Header 5 tokens; two draws of 4. */
static void ledger(void **ud) {
    (void)ud;
    rung_flops_model m = {100, 2, 3};
    NEAR(rung_flops(&m, 0, 1), 200, 1e-9);
    NEAR(rung_flops(&m, 0, 3), 600 + 24 * (0 + 1 + 2), 1e-9);
    NEAR(rung_flops(&m, 5, 9), 800 + 24 * (5 + 6 + 7 + 8), 1e-9);
    NEAR(rung_flops(&m, 4, 4), 0, 0);
    stub z = stub_make(2, 2, 2);
    z.o.policy_size = m;
    z.s.n_header_tok = 5;
    stub_run(&z, "beam", 11);
    /* round 1: 2 draws from the root; round 2: 2 draws from one state at 9 */
    assert_int_equal(z.s.ledger.n_gen, 4);
    assert_int_equal(z.s.ledger.gen_tok, 16);
    assert_int_equal(z.s.ledger.prompt_tok, 5 + 5 + 9 + 9);
    NEAR(z.s.ledger.flops_naive, 2 * rung_flops(&m, 0, 9) + 2 * rung_flops(&m, 0, 13), 1e-6);
    NEAR(z.s.ledger.flops_cached,
         rung_flops(&m, 0, 5) + 2 * rung_flops(&m, 5, 9) + 2 * rung_flops(&m, 9, 13), 1e-6);
    stub_end(&z);
}

/* rStar without a label: the answer that most rollouts give, and that completions agree with. Draw
 * i says 7 unless i is a multiple of 3. */
static rung_status two_of_three(void *ud, search *s, int32_t node, rung_error *err) {
    (void)ud;
    (void)err;
    const char *dot = strchr(s->node[node].text, '.');
    s->node[node].key = dot && atoi(dot + 1) % 3 ? "7" : "8";
    return RUNG_OK;
}
static void agreement(void **ud) {
    (void)ud;
    stub z = stub_make(6, 3, 5);
    z.o.scorer = RUNG_SEARCH_SCORE_NONE;
    z.s.judge = two_of_three;
    stub_run(&z, "rstar", 12);
    int32_t chosen;
    assert_int_equal(search_choose(&chosen, &z.s, NULL), RUNG_OK);
    assert_string_equal(z.s.node[z.s.done[chosen]].key, "7");
    NEAR(z.s.node[z.s.done[chosen]].weight, 2.0 / 3.0, .34);
    int32_t n_cues = 0, n_scratch = 0;
    for (int32_t v = 1; v < z.s.n_nodes; v++) {
        n_cues += z.s.node[v].action >= 2;
        n_scratch += z.s.node[v].scratch;
    }
    assert_true(n_cues >= 2);                          /* A3 and A5 of the root at least */
    assert_true(n_scratch >= 4 && n_scratch % 4 == 0); /* four completions of each candidate */
    stub_end(&z);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(beam_by_hand),     cmocka_unit_test(finished_keep_their_place),
        cmocka_unit_test(beam_shapes),      cmocka_unit_test(dvts_by_hand),
        cmocka_unit_test(look_ahead),       cmocka_unit_test(adaptive),
        cmocka_unit_test(adaptive_stops),   cmocka_unit_test(early_rejection),
        cmocka_unit_test(early_edges),      cmocka_unit_test(best_first),
        cmocka_unit_test(nothing_finished), cmocka_unit_test(every_method),
        cmocka_unit_test(ledger),           cmocka_unit_test(agreement),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
