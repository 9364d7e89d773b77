/* Judges' replies and votes, marks of people, fusion, filters and the audit, on traces by hand. */
#include "../trace/fixture_coin.h"
#include "rung/label.h"
#include "rung/stat.h"
#include <math.h>

#include <cmocka.h>

static rung_store *s;
static int64_t pool;

static void open_store(const char *name, int n_problems) {
    char path[400];
    coin_store(coin_path(path, name), n_problems);
    OK(rung_store_open(&s, path, 0, err));
    pool = coin_run(s, "pool", "{}");
}

/* A trace of lines, with the truth. */
static int64_t put(int64_t problem, int i, const char *text, rung_verdict v, int32_t truth) {
    rung_step *step;
    int32_t n;
    OK(rung_split_steps(&step, &n, "line", text, strlen(text), err));
    rung_trace t = {.run = pool,
                    .problem = problem,
                    .i = i,
                    .generator = "hand",
                    .text = text,
                    .n_bytes = (int32_t)strlen(text),
                    .n_steps = n,
                    .answer = "",
                    .answer_key = "",
                    .verdict = v,
                    .verifier = "",
                    .rule = "",
                    .reason = "",
                    .stop = "eos",
                    .first_error = truth,
                    .first_error_source = truth == -2 ? "" : "truth",
                    .step = step};
    OK(rung_trace_put(s, &t, step, NULL, err));
    rung_free(step);
    return t.id;
}

static const rung_trace *get(rung_iter **it, int64_t id) {
    const rung_trace *t;
    OK(rung_trace_iter(it, s, &(rung_filter){.trace = id}, err));
    OK(rung_trace_next(&t, *it, err));
    return t;
}

/* Labels of a trace's steps: "10." = right, wrong, none; soft counts in tenths when given. */
static void mark(int64_t run, int64_t id, const char *source, const char *hard, const char *soft) {
    rung_iter *it;
    const rung_trace *t = get(&it, id);
    for (int32_t k = 0; hard[k]; k++) {
        if (hard[k] == '.') continue;
        double x = soft ? (soft[k] - '0') / 10. : hard[k] - '0';
        OK(rung_label_put(s,
                          &(rung_label){.run = run,
                                        .node = t->step[k].node,
                                        .source = source,
                                        .labeler = "hand",
                                        .hard = hard[k] - '0',
                                        .soft = x,
                                        .n = 10,
                                        .c = (int)lround(10 * x)},
                          NULL, err));
    }
    rung_iter_free(it);
}

/* ---- judges */

static void replies(void **state) {
    (void)state;
    const rung_judge_prompt *pb = rung_judge_prompt_find("processbench"),
                            *co = rung_judge_prompt_find("consensus");
    assert_int_equal(pb->first_tag, 0);
    assert_int_equal(co->first_tag, 1);
    const struct {
        const char *reply;
        int want;
    } a[] = {{"so \\boxed{2}", 2},
             {"\\boxed{1} no, \\boxed{ -1 }.", -1},
             {"\\boxed{7}", -2},
             {"paragraph 2", -2},
             {"\\boxed{two}", -2},
             {"\\boxed{{3}}", -2},
             {"\\boxed{0}", 0},
             {"\\boxed{2} then \\boxed{", 2},
             {"", -2},
             {"\\boxed{-2}", -2}},
      b[] = {{"<analysis_1>ok</analysis_1><analysis_2>bad</analysis_2><conclusion>\nIncorrect\n"
              "</conclusion>",
              1},
             {"<analysis_1>a</analysis_1> <conclusion>Correct</conclusion>", -1},
             {"<conclusion>Correct</conclusion>", -1},
             {"<conclusion>Incorrect</conclusion>", -2},
             {"<analysis_1>a</analysis_1>", -2},
             {"<analysis_9>a</analysis_9><conclusion>Incorrect</conclusion>", -2},
             {"<analysis_3>a</analysis_3><conclusion>maybe</conclusion>", -2}};
    char claim[64];
    for (size_t i = 0; i < sizeof a / sizeof a[0]; i++)
        assert_int_equal(pb->parse(claim, a[i].reply, 4), a[i].want);
    for (size_t i = 0; i < sizeof b / sizeof b[0]; i++)
        assert_int_equal(co->parse(claim, b[i].reply, 4), b[i].want);
    /* tags as each prompt counts them */
    open_store("prompt.db", 1);
    rung_iter *it;
    const rung_trace *t = get(&it, put(1, 0, "one\ntwo\n", RUNG_VERDICT_WRONG, 1));
    rung_buf q;
    rung_buf_init(&q, 1u << 20);
    OK(pb->ask(&q, "toss?", t, err));
    assert_non_null(strstr(q.data, "<paragraph_0>\none\n</paragraph_0>\n\n<paragraph_1>\ntwo\n"));
    assert_non_null(strstr(q.data, "toss?"));
    rung_buf_reset(&q);
    OK(co->ask(&q, "toss?", t, err));
    assert_non_null(strstr(q.data, "<paragraph_1>\none\n</paragraph_1>\n\n<paragraph_2>\ntwo\n"));
    rung_buf_clear(&q);
    rung_iter_free(it);
    rung_store_close(s);
}

static void critique(int64_t run, int64_t trace, int i, int e, const char *claim) {
    char meta[100];
    snprintf(meta, sizeof meta, "{\"claim\":\"%s\"}", claim);
    OK(rung_critique_put(s,
                         &(rung_critique){.run = run,
                                          .trace = trace,
                                          .i = i,
                                          .critic = "j",
                                          .text = "t",
                                          .first_error = e,
                                          .meta = meta},
                         NULL, err));
}

/* Votes: the most frequent words, the first seen on a tie, unparsed ones do not vote; at the nodes
 * every vote up to its own first error. */
static void votes(void **state) {
    (void)state;
    open_store("votes.db", 1);
    int64_t a = put(1, 0, "a\nb\nc\n", RUNG_VERDICT_WRONG, 1),
            b = put(1, 1, "a\nd\n", RUNG_VERDICT_CORRECT, -1);
    int64_t run = coin_run(s, "label.judge", "{}");
    critique(run, a, 0, 1, "1");
    critique(run, a, 1, 2, "2");
    critique(run, a, 2, 1, "1");
    critique(run, a, 3, -2, "");
    critique(run, b, 0, -1, "-1");
    critique(run, b, 1, 0, "0");
    critique(run, b, 2, -2, "");
    critique(run, b, 3, -1, "-1");
    coin_policy p;
    char model[400];
    coin_model(coin_path(model, "coin.gguf"));
    p = coin_open(model);
    rung_judge_opts o = RUNG_JUDGE_OPTS_INIT;
    rung_judge_report z;
    o.votes = 4;
    o.traces.run = pool;
    OK(rung_label_judge(&z, s, p.e, run, &o, NULL,
                        err)); /* all votes are there: none is asked for */
    assert_true(z.n_traces == 2 && z.n_replies == 8 && z.n_unparsed == 2);
    rung_iter *it;
    const rung_trace *t = get(&it, a);
    const int want[3][3] = {{6, 5, 1}, {3, 1, 0}, {1, 0, 0}}; /* n, c, hard; node "a" is shared */
    for (int k = 0; k < 3; k++) {
        rung_label l;
        bool found;
        OK(rung_label_get(&l, &found, s, run, t->step[k].node, "judge", err));
        assert_true(found && l.n == want[k][0] && l.c == want[k][1] && l.hard == want[k][2]);
    }
    int32_t e;
    rung_label_source from = {run, "judge", 0};
    OK(rung_label_claim(&e, s, t, &from, err));
    assert_int_equal(e, 1);
    rung_iter_free(it);
    t = get(&it, b);
    OK(rung_label_claim(&e, s, t, &from, err));
    assert_int_equal(e, -1);
    rung_iter_free(it);
    /* with the model: what is missing is asked for, once; random words are unparsed, not wrong */
    o.votes = 5;
    o.max_tok = 12;
    OK(rung_label_judge(&z, s, p.e, run, &o, NULL, err));
    assert_true(z.n_replies == 10 && z.n_unparsed == 4);
    rung_arena *ar = rung_arena_new(0);
    rung_critique *c;
    int32_t n;
    OK(rung_critique_list(&c, &n, ar, s, run, a, err));
    assert_true(n == 5 && c[4].first_error == -2 && c[0].first_error == 1);
    rung_arena_free(ar);
    coin_close(p);
    rung_store_close(s);
}

/* ---- tools */

static void arithmetic(void **state) {
    (void)state;
    open_store("tool.db", 1);
    int64_t a = put(1, 0, "2 * 3 = 6\nso it is\n6 + 1 = 8\n8 - 1 = 7\n", RUNG_VERDICT_WRONG, -2);
    int64_t run = coin_run(s, "label.tool", "{}");
    rung_tool_report z;
    OK(rung_label_tool(&z, s, run, "step", false, &(rung_filter){.run = pool}, NULL, err));
    assert_true(z.n_traces == 1 && z.n_right == 1 && z.n_unknown == 1 && z.n_wrong == 1);
    assert_int_equal(z.n_new, 3); /* nothing after the first wrong step */
    rung_iter *it;
    const rung_trace *t = get(&it, a);
    const int want[] = {1, -1, 0};
    for (int k = 0; k < 4; k++) {
        rung_label l;
        bool found;
        OK(rung_label_get(&l, &found, s, run, t->step[k].node, "tool", err));
        assert_int_equal(found, k < 3);
        if (found) assert_true(l.hard == want[k] && l.n_unknown == (want[k] < 0));
    }
    rung_iter_free(it);
    OK(rung_label_tool(&z, s, run, "step", false, &(rung_filter){.run = pool}, NULL, err));
    assert_int_equal(z.n_new, 0);
    rung_error e = RUNG_ERROR_INIT;
    assert_int_equal(rung_label_tool(&z, s, run, "no", false, &(rung_filter){0}, NULL, &e),
                     RUNG_E_NOT_FOUND);
    rung_store_close(s);
}

/* ---- people */

static int n_rejects;
static int count_rejects(void *ud, rung_level level, const char *name, const rung_field *f) {
    (void)ud, (void)level;
    if (strcmp(name, "label.reject") == 0) {
        assert_string_equal(f[1].key, "line");
        assert_true(f[1].i > 0);
        n_rejects++;
    }
    return 0;
}

static void people(void **state) {
    (void)state;
    open_store("people.db", 2);
    int64_t a = put(1, 0, "a\nb\nc\n", RUNG_VERDICT_WRONG, -2);
    put(2, 3, "d\ne\n", RUNG_VERDICT_WRONG, -2);
    char path[400], text[1000];
    snprintf(text, sizeof text,
             "{\"trace\":%lld,\"first_error\":1,\"labeler\":\"ann\"}\n"
             "{\"set\":\"coin\",\"key\":\"1\",\"i\":3,\"labels\":[1,null]}\n"
             "{\"trace\":%lld,\"labels\":[1,1,1,1]}\n" /* longer than its steps */
             "{\"trace\":999,\"label\":0}\n"
             "{\"set\":\"coin\",\"key\":\"7\",\"label\":0}\n"
             "not json\n\n"
             "{\"trace\":%lld,\"label\":3}\n"
             "{\"trace\":%lld,\"labels\":[2]}\n"
             "{\"trace\":%lld}\n[]\n",
             (long long)a, (long long)a, (long long)a, (long long)a, (long long)a);
    OK(rung_file_write(coin_path(path, "marks.jsonl"), text, strlen(text), err));
    rung_human_report z;
    rung_log log = {count_rejects, NULL};
    int64_t run = coin_run(s, "label.human", "{}");
    OK(rung_label_human(&z, s, run, path, "bob", &(rung_filter){.run = pool}, &log, err));
    assert_true(z.n_rows == 10 && z.n_rejected == 8 && n_rejects == 8);
    assert_true(z.n_traces == 2 && z.n_labels == 3 && z.n_new == 3);
    rung_arena *ar = rung_arena_new(0);
    rung_label *l;
    int64_t n;
    OK(rung_label_list(&l, &n, ar, s, run, "human", err));
    assert_int_equal(n, 3);
    assert_true(l[0].hard == 1 && l[1].hard == 0 && l[2].hard == 1);
    assert_string_equal(l[1].labeler, "ann");
    assert_string_equal(l[2].labeler, "bob");
    OK(rung_label_human(&z, s, run, path, "bob", &(rung_filter){.run = pool}, NULL, err));
    assert_int_equal(z.n_new, 0);
    rung_arena_free(ar);
    rung_store_close(s);
}

/* ---- fusion */

static void fusion(void **state) {
    (void)state;
    open_store("fuse.db", 1);
    int64_t t = put(1, 0, "a\nb\nc\nd\ne\nf\ng\n", RUNG_VERDICT_WRONG, -2);
    int64_t run[3] = {coin_run(s, "l0", "{}"), coin_run(s, "l1", "{}"), coin_run(s, "l2", "{}")};
    /* the table of test_stat_stopping: seven items, the last mark of item 5 missing */
    mark(run[0], t, "mc", "1100110", NULL);
    mark(run[1], t, "judge", "1100010", NULL);
    mark(run[2], t, "tool", "01101.0", NULL);
    rung_label_source in[3] = {{run[0], "mc", 0}, {run[1], "judge", 0}, {run[2], "tool", 0}};
    rung_fuse_report z;
    int64_t ds = coin_run(s, "ds", "{}"), maj = coin_run(s, "maj", "{}"),
            agr = coin_run(s, "agr", "{}"), wei = coin_run(s, "wei", "{}");
    OK(rung_label_fuse(&z, s, ds, in, 3, NULL, RUNG_FUSION_DAWID_SKENE, err));
    assert_true(z.n_items == 7 && z.n_labels == 7 && z.n_pairs == 3);
    assert_true(fabs(z.prior - .519676) < 1e-6 && fabs(z.sens[0] - .854246) < 1e-6);
    /* mc and judge: 6 of 7 agree; kappa by hand: table 3 0 / 1 3, chance (3*4 + 4*3)/49 */
    assert_true(fabs(z.pair[0].agree - 6. / 7) < 1e-12);
    assert_true(fabs(z.pair[0].kappa - (6. / 7 - 24. / 49) / (1 - 24. / 49)) < 1e-12);
    /* AC1: shares 7/14 each, chance 1/2 */
    assert_true(fabs(z.pair[0].ac1 - (6. / 7 - .5) / .5) < 1e-12);
    /* alpha: 2 disagreements over 14 values, 7 and 7: 1 - 2 / (2*7*7/13) */
    assert_true(fabs(z.pair[0].alpha - (1 - 2 * 13. / 98)) < 1e-12);
    assert_int_equal(z.pair[1].n, 6);
    OK(rung_label_fuse(&z, s, maj, in, 3, NULL, RUNG_FUSION_MAJORITY, err));
    OK(rung_label_fuse(&z, s, agr, in, 3, NULL, RUNG_FUSION_AGREEMENT, err));
    assert_int_equal(z.n_labels, 4); /* b right; d, g wrong; f right by the two who spoke */
    int64_t gold = coin_run(s, "gold", "{}");
    mark(gold, t, "human", "0.10...", NULL); /* the third is right in all three: it outvotes */
    rung_label_source known = {gold, "human", 0};
    OK(rung_label_fuse(&z, s, wei, in, 3, &known, RUNG_FUSION_WEIGHTED, err));
    assert_int_equal(z.n_gold, 3);
    rung_arena *a = rung_arena_new(0);
    rung_label *l;
    int64_t n;
    const int want_maj[] = {1, 1, 0, 0, 1, 1, 0};
    OK(rung_label_list(&l, &n, a, s, maj, "fused", err));
    for (int i = 0; i < 7; i++) assert_int_equal(l[i].hard, want_maj[i]);
    assert_true(l[5].n == 2 && l[5].c == 2 && fabs(l[0].soft - 2. / 3) < 1e-12);
    const int want_wei[] = {0, 1, 1, 0, 1, 0}; /* weights 0, 0, ln 4: none for item 5 */
    OK(rung_label_list(&l, &n, a, s, wei, "fused", err));
    assert_int_equal(n, 6);
    for (int64_t i = 0; i < n; i++) assert_int_equal(l[i].hard, want_wei[i]);
    rung_arena_free(a);
    rung_error e = RUNG_ERROR_INIT;
    assert_int_equal(rung_label_fuse(&z, s, 0, in, 1, NULL, RUNG_FUSION_MAJORITY, &e),
                     RUNG_E_INVAL);
    in[1].source = "no";
    assert_int_equal(rung_label_fuse(&z, s, 0, in, 2, NULL, RUNG_FUSION_MAJORITY, &e),
                     RUNG_E_NOT_FOUND);
    rung_store_close(s);
}

/* ---- filters */

static int64_t label_run;
static rung_curate_count z[8];
static int32_t nz;

static int64_t curate(const char *name, const char *filters, rung_curate_opts o) {
    int64_t run = coin_run(s, name, "{}");
    o.traces.run = pool;
    o.labels = (rung_label_source){label_run, "mc", 0};
    OK(rung_label_curate(z, &nz, 8, s, run, filters, &o, NULL, err));
    return run;
}

static int64_t reason(const char *why) {
    for (int k = 0; k < RUNG_CURATE_REASONS && z[nz - 1].reason[k].why; k++)
        if (strstr(z[nz - 1].reason[k].why, why)) return z[nz - 1].reason[k].n;
    return 0;
}

/* Labels of the curated traces of a run, a line each: "1.3 a:1/10 b:0/0 ". */
static void expect(int64_t run, const char *want) {
    rung_iter *it;
    const rung_trace *t;
    rung_buf b;
    rung_buf_init(&b, 1u << 20);
    rung_buf_str(&b, "");
    OK(rung_trace_iter(&it, s, &(rung_filter){.run = run}, err));
    while (rung_trace_next(&t, it, NULL) == RUNG_OK) {
        rung_buf_printf(&b, "%lld.%d", (long long)t->problem, t->i);
        for (int32_t k = 0; k < t->n_steps; k++) {
            rung_label l;
            bool found;
            OK(rung_label_get(&l, &found, s, run, t->step[k].node, "curated", err));
            if (found)
                rung_buf_printf(&b, " %d:%g", l.hard, l.soft);
            else
                rung_buf_str(&b, " -");
        }
        rung_buf_str(&b, "\n");
    }
    rung_iter_free(it);
    assert_string_equal(b.data, want);
    rung_buf_clear(&b);
}

static void fill_pool(void) {
    label_run = coin_run(s, "label.mc", "{}");
    /* problem 1: 3 of 4 right (SC .75); problem 2: 1 of 3 */
    mark(label_run, put(1, 0, "a\nb\nc\n", RUNG_VERDICT_CORRECT, -1), "mc", "111", "899");
    mark(label_run, put(1, 1, "p\nq\nr\n", RUNG_VERDICT_CORRECT, 1), "mc", "111", "555");
    mark(label_run, put(1, 2, "u\nv\n", RUNG_VERDICT_CORRECT, -1), "mc", "11", "99");
    mark(label_run, put(1, 3, "k\nl\nm\nn\no\n", RUNG_VERDICT_WRONG, 3), "mc", "11100", "96300");
    mark(label_run, put(2, 0, "a\nb\n", RUNG_VERDICT_WRONG, 0), "mc", "00", "00");
    mark(label_run, put(2, 1, "e\nf\n", RUNG_VERDICT_WRONG, 1), "mc", "11", "31");
    mark(label_run, put(2, 2, "g\nh\n", RUNG_VERDICT_CORRECT, -1), "mc", "1.", "90");
}

static void filters(void **state) {
    (void)state;
    open_store("curate.db", 3);
    fill_pool();
    rung_curate_opts o = RUNG_CURATE_OPTS_INIT;
    int64_t run = curate("conf", "confidence", o);
    assert_true(z[0].traces_in == 7 && z[0].traces_out == 4 && reason("self-confidence") == 3);
    assert_true(z[0].labels_in == 18 && z[0].labels_out == 13);
    /* SCAN: within two of the zero c/SC, else 1; right traces all 1; a wrong one without a zero and
     * one that is not labelled up to it go */
    run = curate("den", "denoise", o);
    expect(run, "1.0 1:1 1:1 1:1\n1.1 1:1 1:1 1:1\n1.2 1:1 1:1\n1.3 1:1 1:0.8 0:0.4 0:0\n"
                "2.0 0:0\n2.2 1:1 1:1\n");
    assert_true(reason("no error found") == 1 && reason("softened") == 2 &&
                reason("after the error") == 2);
    o.undivided = true; /* SCAN without the division: c as it is */
    run = curate("raw", "denoise", o);
    expect(run, "1.0 1:1 1:1 1:1\n1.1 1:1 1:1 1:1\n1.2 1:1 1:1\n1.3 1:1 1:0.6 0:0.3 0:0\n"
                "2.0 0:0\n2.2 1:1 1:1\n");
    o.undivided = false;
    o.keep = 3; /* so many, the same ones again, others with another seed somewhere */
    run = curate("three", "sample", o);
    assert_true(z[0].traces_out == 3 && reason("not drawn") == 4);
    o.keep = 99;
    run = curate("more", "sample", o);
    assert_int_equal(z[0].traces_out, 7);
    o.keep = 0;
    run = curate("cut", "truncate", o);
    assert_int_equal(reason("after the first error"), 2);
    run = curate("bal", "balance", o);
    assert_true(z[0].traces_out == 4 && reason("too many") == 2 && reason("not labelled") == 1);
    o.by = "classes";
    run = curate("cls", "truncate,balance", o);
    assert_int_equal(nz, 2);
    assert_int_equal(z[1].labels_out, 4);
    o.by = "length"; /* of the zeros at lengths 0 and 3 the first has a right one beside it */
    run = curate("len", "truncate,balance", o);
    assert_int_equal(z[1].labels_out, 2);
    o.by = "weight";
    rung_error e = RUNG_ERROR_INIT;
    o.traces.run = pool;
    o.labels = (rung_label_source){label_run, "mc", 0};
    assert_int_equal(rung_label_curate(z, &nz, 8, s, run, "balance", &o, NULL, &e), RUNG_E_INVAL);
    assert_int_equal(rung_label_curate(z, &nz, 8, s, run, "no", &o, NULL, &e), RUNG_E_NOT_FOUND);
    assert_int_equal(rung_label_curate(z, &nz, 8, s, run, "consensus", &o, NULL, &e), RUNG_E_INVAL);
    rung_buf json;
    rung_buf_init(&json, 1u << 20);
    OK(rung_store_check(&json, s, err)); /* what was written fits together */
    rung_buf_clear(&json);
    rung_store_close(s);
}

static void consensus(void **state) {
    (void)state;
    open_store("consensus.db", 3);
    fill_pool();
    int64_t run = coin_run(s, "label.judge", "{}");
    critique(run, 1, 0, -1, "-1"); /* both none: agree */
    critique(run, 2, 0, 1, "1");   /* the hidden error */
    critique(run, 4, 0, 3, "3");
    critique(run, 5, 0, -2, "");
    critique(run, 6, 0, -1, "-1");
    critique(run, 7, 0, -1, "-1"); /* mc says nothing of its last step */
    rung_curate_opts o = RUNG_CURATE_OPTS_INIT;
    o.other = (rung_label_source){run, "judge", 0};
    expect(curate("con", "consensus", o), "1.0 1:0.8 1:0.9 1:0.9\n1.3 1:0.9 1:0.6 1:0.3 0:0 0:0\n"
                                          "2.1 1:0.3 1:0.1\n");
    assert_true(reason("differ") == 1 && reason("unparsed") == 2 && reason("not labelled") == 1);
    rung_store_close(s);
}

/* A simulated judge: always right at 1; at 0.6 right in .6 + .4 / 4 of three-step traces; the same
 * draws again; nothing of a trace whose truth is not known. */
static void simulated(void **state) {
    (void)state;
    open_store("simulated.db", 400);
    for (int p = 1; p <= 400; p++) {
        char text[40];
        snprintf(text, sizeof text, "a%d\nb\nc\n", p);
        put(p, 0, text, RUNG_VERDICT_WRONG, p == 400 ? -2 : p % 4 - 1);
    }
    static const double accuracy[3] = {1, .6, .6};
    static int32_t named[3][401];
    rung_filter f = {.run = pool};
    for (int k = 0; k < 3; k++) {
        char config[40], name[8];
        snprintf(config, sizeof config, "{\"k\":%d}", k);
        snprintf(name, sizeof name, "sim%d", k);
        rung_run r = {.name = name, .kind = "label.judge", .config = config, .seed = 1};
        OK(rung_run_begin(s, &r, err));
        rung_judge_report report;
        OK(rung_label_simulate(&report, s, r.id, accuracy[k], 7, &f, err));
        assert_int_equal(report.n_replies, 399);
        int hits = 0;
        rung_label_source from = {r.id, "judge", 0};
        for (int p = 1; p < 400; p++) {
            rung_iter *it;
            const rung_trace *t = get(&it, p);
            OK(rung_label_claim(&named[k][p], s, t, &from, err));
            hits += named[k][p] == p % 4 - 1;
            rung_iter_free(it);
        }
        if (k == 0) assert_int_equal(hits, 399);
        if (k > 0) assert_true(fabs(hits / 399. - .7) < .07);
    }
    assert_memory_equal(named[1], named[2], sizeof named[1]);
    rung_store_close(s);
}

static void merging(void **state) {
    (void)state;
    open_store("merge.db", 3);
    fill_pool();
    rung_curate_opts o = RUNG_CURATE_OPTS_INIT;
    o.merge = 1; /* every pair but one with the final step; the AND of both */
    int64_t run = curate("mrg", "merge", o);
    expect(run, "1.0 1:0.8 1:0.9\n1.1 1:0.5 1:0.5\n1.2 1:0.9 1:0.9\n1.3 1:0.6 0:0 0:0\n"
                "2.0 0:0 0:0\n2.1 1:0.3 1:0.1\n2.2 1:0.9 -\n");
    assert_int_equal(reason("merged"), 4);
    rung_iter *it;
    const rung_trace *t;
    OK(rung_trace_iter(&it, s, &(rung_filter){.run = run}, err));
    OK(rung_trace_next(&t, it, err));
    assert_true(t->step[0].byte_end == 4 && t->n_steps == 2);
    rung_iter_free(it);
    o = (rung_curate_opts)RUNG_CURATE_OPTS_INIT;
    curate("last", "last_step", o); /* final steps: 4 right, 2 wrong; others 10 right, 2 wrong */
    assert_int_equal(z[0].labels_out, 4 + 4);
    rung_store_close(s);
}

static void choosing(void **state) {
    (void)state;
    open_store("choose.db", 60);
    label_run = coin_run(s, "label.mc", "{}");
    for (int p = 1; p <= 60; p++) {
        mark(label_run, put(p, 0, "a\nb\n", RUNG_VERDICT_CORRECT, -1), "mc", "11", NULL);
        put(p, 1, p % 2 ? "a\nb\n" : "a\nc\n", RUNG_VERDICT_CORRECT, -1);
    }
    rung_curate_opts o = RUNG_CURATE_OPTS_INIT;
    curate("dup", "dedupe", o);
    assert_true(z[0].traces_out == 90 && reason("same text") == 30);
    o.held = .3;
    int64_t a = curate("train", "split", o);
    int64_t n = z[0].traces_out;
    o.keep_held = true;
    int64_t b = curate("held", "split", o);
    assert_true(n + z[0].traces_out == 120 && n > 60 && n < 110 && n % 2 == 0);
    rung_iter *it; /* no problem on both sides */
    const rung_trace *t;
    bool side[61] = {0};
    OK(rung_trace_iter(&it, s, &(rung_filter){.run = a}, err));
    while (rung_trace_next(&t, it, NULL) == RUNG_OK) side[t->problem] = true;
    rung_iter_free(it);
    OK(rung_trace_iter(&it, s, &(rung_filter){.run = b}, err));
    while (rung_trace_next(&t, it, NULL) == RUNG_OK) assert_false(side[t->problem]);
    rung_iter_free(it);
    /* a test set: the question of problem 1 in other case and spacing; 3 words in a row of "toss 7
     * and ..." */
    const char *q[] = {"TOSS  0!", "please toss 7 again"};
    for (int i = 0; i < 2; i++) {
        rung_problem p = {.set = "bench",
                          .split = "test",
                          .key = i ? "b" : "a",
                          .question = q[i],
                          .answer = "",
                          .solution = "",
                          .world = "",
                          .meta = "{}",
                          .verifier = "math"};
        OK(rung_problem_put(s, &p, NULL, err));
    }
    o = (rung_curate_opts)RUNG_CURATE_OPTS_INIT;
    o.bench = "bench";
    curate("dec13", "decontaminate", o);
    assert_true(z[0].traces_out == 118 && reason("question is in") == 2);
    o.ngram = 2;
    curate("dec2", "decontaminate", o);
    assert_true(z[0].traces_out == 116 && reason("words in a row") == 2);
    rung_store_close(s);
}

/* ---- audit */

static void audit(void **state) {
    (void)state;
    open_store("audit.db", 3);
    fill_pool();
    rung_audit w;
    rung_label_source from = {label_run, "mc", 0};
    OK(rung_label_audit(&w, s, &(rung_filter){.run = pool}, &from, err));
    const rung_audit_bucket *high = &w.bucket[3], *low = &w.bucket[1], *all = &w.bucket[4];
    /* problem 1, SC .75: right, hidden error seen as right (over by 2), right, exact at 3 */
    assert_true(high->n == 4 && high->n_over == 1 && high->n_exact_right == 2 &&
                high->n_exact_error == 1 && high->n_under == 0);
    assert_true(high->n_right_answer == 3 && high->n_hidden == 1);
    assert_int_equal(high->offset[RUNG_AUDIT_OFFSET + 2], 1);
    assert_int_equal(high->offset[RUNG_AUDIT_OFFSET], 3);
    /* problem 2, SC 1/3: exact at 0, over by 1, one without a claim */
    assert_true(low->n == 2 && low->n_exact_error == 1 && low->n_over == 1);
    assert_true(all->n == 6 && w.n_unlabelled == 1);
    /* of 4 with an error 2 are hit; of 3 without 2 (the unlabelled one is a miss) */
    assert_true(fabs(w.acc_err - 50) < 1e-9 && fabs(w.acc_cor - 200. / 3) < 1e-9);
    rung_store_close(s);
}

static void tables(void **state) {
    (void)state;
    int n = 0;
    for (size_t i = 0; rung_curator_at(i); i++, n++)
        assert_true(strlen(rung_curator_at(i)->help) > 9);
    assert_int_equal(n, 11);
    for (size_t i = 0; rung_labeler_at(i); i++)
        assert_ptr_equal(rung_labeler_find(rung_labeler_at(i)->name), rung_labeler_at(i));
    rung_fusion f;
    assert_true(rung_fusion_find(&f, "agreement") && f == RUNG_FUSION_AGREEMENT);
    assert_null(rung_judge_prompt_find("no"));
}

static int setup(void **state) {
    (void)state;
    coin_setup();
    return 0;
}
static int teardown(void **state) {
    (void)state;
    coin_teardown();
    return 0;
}

static char nothing[400];
static void no_work(char *path) {
    (void)path;
}

int main(int argc, char **argv) {
    if (coin_is_work(argc, argv, nothing, no_work)) return 0;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replies),    cmocka_unit_test(votes),   cmocka_unit_test(people),
        cmocka_unit_test(arithmetic), cmocka_unit_test(fusion),  cmocka_unit_test(filters),
        cmocka_unit_test(consensus),  cmocka_unit_test(merging), cmocka_unit_test(choosing),
        cmocka_unit_test(simulated),  cmocka_unit_test(audit),   cmocka_unit_test(tables),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
