/* Formats: every row goes to rung's form and back unchanged; what cannot be carried is decided by a
 * named policy, counted, or rejected with its line and reason. */
#include "base/json.h"
#include "rung/format.h"
#include "rung/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64];

static const char *in_folder(const char *name) {
    static char path[4][160];
    static int k;
    k = (k + 1) % 4;
    snprintf(path[k], sizeof path[k], "%s/%s", folder, name);
    return path[k];
}

static int setup(void **state) {
    (void)state;
    strcpy(folder, "/tmp/rung_format_XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    char cmd[128];
    snprintf(cmd, sizeof cmd, "rm -rf '%s'", folder);
    return system(cmd);
}

static const char *put(const char *name, const char *text) {
    const char *path = in_folder(name);
    assert_int_equal(rung_file_write(path, text, strlen(text), NULL), RUNG_OK);
    return path;
}

static char *get(const char *path) {
    rung_buf b;
    rung_buf_init(&b, 0);
    assert_int_equal(rung_file_read(&b, path, NULL), RUNG_OK);
    return rung_buf_take(&b, NULL);
}

/* Rows of `text` in format `from` written as `to`; the file's text, caller frees. */
static char *convert(rung_format_report *r, const char *from, const char *text, const char *to,
                     const rung_format_opts *o) {
    rung_error err = RUNG_ERROR_INIT;
    const char *in = put("in", text), *out = in_folder("out");
    rung_status st = rung_format_convert(r, rung_format_find(from), in, rung_format_find(to), out,
                                         o, NULL, &err);
    if (st != RUNG_OK) fail_msg("%s to %s: %s", from, to, err.what);
    return get(out);
}

static void assert_same_json(const char *a, const char *b, const char *what) {
    yyjson_doc *x = yyjson_read(a, strlen(a), YYJSON_READ_STOP_WHEN_DONE);
    yyjson_doc *y = yyjson_read(b, strlen(b), YYJSON_READ_STOP_WHEN_DONE);
    if (!x || !y || !yyjson_equals(yyjson_doc_get_root(x), yyjson_doc_get_root(y)))
        fail_msg("%s:\n  %s\n  %s", what, a, b);
    yyjson_doc_free(x);
    yyjson_doc_free(y);
}

static void assert_tally(const rung_tally *t, const char *what, int64_t n) {
    for (int32_t i = 0; i < t->n; i++) {
        if (!strstr(t->row[i].what, what)) continue;
        if (t->row[i].n != n) fail_msg("\"%s\" counted %lld times", what, (long long)t->row[i].n);
        return;
    }
    for (int32_t i = 0; i < t->n; i++) print_message("  has: %s\n", t->row[i].what);
    fail_msg("\"%s\" is not counted", what);
}

/* ---- identity: the examples of the formats' descriptions and their odd cases */

static const struct {
    const char *format, *row;
} example[] = {
    {"processbench", "{\"id\":\"gsm8k-900\",\"generator\":\"toy-1b\",\"problem\":\"Ann has 3 bags "
                     "of 4 nuts. How many "
                     "nuts?\",\"steps\":[\"3 bags, 4 nuts each.\",\"3 * 4 = 14.\",\"The answer is "
                     "\\\\boxed{14}.\"],"
                     "\"final_answer_correct\":false,\"label\":1}"},
    {"processbench", "{\"id\":\"a\",\"generator\":\"g\",\"problem\":\"q\",\"steps\":[\"s\"],"
                     "\"final_answer_correct\":"
                     "true,\"label\":-1,\"note\":{\"by\":[1,null,\"x\"]}}"},
    {"prm800k",
     "{\"labeler\":\"w1\",\"timestamp\":\"2022-08-01T10:00:00\",\"generation\":3,\"is_quality_"
     "control_"
     "question\":false,\"is_initial_screening_question\":false,\"question\":{\"problem\":\"2+2*3?"
     "\","
     "\"ground_truth_answer\":\"8\",\"pre_generated_steps\":[\"2*3=6.\",\"2+6=9.\",\"# "
     "Answer\\n\\n9\"],\"pre_generated_answer\":\"9\",\"pre_generated_verifier_score\":0.4},"
     "\"label\":{"
     "\"steps\":[{\"completions\":[{\"text\":\"2*3=6.\",\"rating\":1,\"flagged\":false}],\"human_"
     "completion\":null,\"chosen_completion\":0},{\"completions\":[{\"text\":\"2+6=9.\",\"rating\":"
     "-1,"
     "\"flagged\":false}],\"human_completion\":null,\"chosen_completion\":null}],\"total_time\":"
     "41000,"
     "\"finish_reason\":\"found_error\"}}"},
    {"prm800k", /* phase 1: side branches, neutral, unrated, a step written by the labeler */
     "{\"labeler\":\"w2\",\"timestamp\":\"t\",\"generation\":null,\"question\":{\"problem\":\"q?\","
     "\"ground_truth_solution\":\"s\",\"ground_truth_answer\":\"1\"},\"label\":{\"steps\":[{"
     "\"completions\":[{\"text\":\"a\",\"rating\":0,\"flagged\":null},{\"text\":\"b\",\"rating\":1,"
     "\"flagged\":true},{\"text\":\"c\",\"rating\":null,\"flagged\":false}],\"human_completion\":"
     "null,"
     "\"chosen_completion\":1},{\"completions\":[{\"text\":\"d\",\"rating\":-1,\"flagged\":false}],"
     "\"human_completion\":{\"text\":\"e\",\"rating\":null,\"source\":\"human\",\"flagged\":false},"
     "\"chosen_completion\":null},{\"completions\":[{\"text\":\"# Answer\\n\\n1\",\"rating\":1,"
     "\"flagged\":false}],\"human_completion\":null,\"chosen_completion\":0}],\"total_time\":5,"
     "\"finish_reason\":\"solution\"}}"},
    {"math_shepherd",
     "{\"input\":\"What is 3*4? Step 1: 3*4 = 12 \xD0\xBA\xD0\xB8\\nStep 2: The answer is: 12 "
     "\xD0\xBA\xD0\xB8\",\"label\":\"What is 3*4? Step 1: 3*4 = 12 +\\nStep 2: The answer is: 12 "
     "-\",\"task\":\"GSM8K\"}"},
    {"math_shepherd", /* signs in the text, unusual white space */
     "{\"input\":\"5 + 2 - 1?\\n Step 1: 5+2 = 7\xD0\xBA\xD0\xB8\\n\\nStep 2: 7-1=6  "
     "\xD0\xBA\xD0\xB8\\n\",\"label\":\"5 + 2 - 1?\\n Step 1: 5+2 = 7-\\n\\nStep 2: 7-1=6  +\\n\","
     "\"task\":\"MATH\"}"},
    {"tag", "{\"input\":\"3*4? Step 1: 12 \xD0\xBA\xD0\xB8 Step 2: done "
            "\xD0\xBA\xD0\xB8\",\"value\":[\"+\",0.75]}"},
    {"tag",
     "{\"input\":\"no step word \xD0\xBA\xD0\xB8 end\xD0\xBA\xD0\xB8\",\"value\":[0.5,\"-\"],"
     "\"k\":1}"},
    {"openr", "{\"question\":\"3*4?\",\"process\":\"a\\n\\n\\n\\n\\nb\\n\\n\\n\\n\\n\",\"label\":["
              "\"+\",\"-\"]}"},
    {"math_aps",
     "{\"question\":\"3*4?\",\"final_answer\":\"12\",\"question_id\":\"q9\",\"reasoning_steps\":[{"
     "\"solution_prefix\":\"3*4 = 12.\",\"mc_value\":0.875}]}"},
    {"math_aps", /* a tree, longer prefixes first, two separators */
     "{\"question\":\"q\",\"final_answer\":\"1\",\"question_id\":7,\"reasoning_steps\":[{"
     "\"solution_"
     "prefix\":\"a\\nb\",\"mc_value\":1},{\"solution_prefix\":\"a\",\"mc_value\":0.5},{\"solution_"
     "prefix\":\"a c\",\"mc_value\":null}]}"},
    {"math_aps_tree",
     "{\"question\":\"q\",\"final_answer\":\"1\",\"question_id\":\"x\",\"tree\":{\"text\":\"\","
     "\"mc_"
     "value\":0.25,\"children\":[{\"text\":\"a\",\"mc_value\":0.5,\"children\":[{\"text\":\"b\","
     "\"mc_"
     "value\":0,\"children\":[]},{\"text\":\"c\",\"mc_value\":null,\"children\":[{\"text\":\"d\","
     "\"mc_"
     "value\":1,\"children\":[]}]}]},{\"text\":\"e\",\"mc_value\":0.125,\"children\":[]}]}}"},
    {"trl", "{\"prompt\":\"3*4?\",\"completions\":[\"3*4 = 14.\",\"Answer: 14\"],\"labels\":[false,"
            "false]}"},
    {"prmbench", "{\"idx\":\"circular_3\",\"question\":\"q0\",\"original_question\":\"q0\","
                 "\"modified_question\":"
                 "\"q1\",\"original_process\":[\"a\"],\"modified_process\":[\"a\",\"b\",\"c\"],"
                 "\"modified_steps\":[2]"
                 ",\"error_steps\":[2],\"reason\":\"r\",\"classification\":\"circular\"}"},
    {"prmbench",
     "{\"idx\":4,\"modified_question\":\"q1\",\"modified_process\":[\"a\",\"b\"],\"error_"
     "steps\":[],\"classification\":\"x\"}"},
    {"bigbench_mistake",
     "{\"input\":\"q\",\"steps\":[\"a\",\"b\"],\"target\":\"yes\",\"answer\":\"no\","
     "\"mistake_index\":1}"},
    {"bigbench_mistake", "{\"input\":\"q\",\"steps\":[\"a\"],\"target\":\"yes\",\"answer\":\"yes\","
                         "\"mistake_index\":null}"},
    {"mr_gsm8k", "{\"uuid\":\"u\",\"question\":\"q\",\"ground_truth_solution\":\"s\",\"ground_"
                 "truth_answer\":\"1\","
                 "\"model_output_steps\":[\"a\",\"b\"],\"model_output_answer_correctness\":"
                 "\"incorrect\",\"model_"
                 "output_solution_correctness\":\"incorrect\",\"model_output_solution_first_error_"
                 "step\":1,\"model_"
                 "output_solution_first_error_reason\":\"r\",\"question_type\":\"original\"}"},
    {"mr_ben",
     "{\"uuid\":\"u\",\"Question\":\"q\",\"Options\":[\"A\"],\"Ground_Truth_Answer\":\"A\","
     "\"Sampled_Model\":\"m\",\"Model_Solution_Steps\":[\"a\"],\"Model_Solution_Correctness\":"
     "\"correct\",\"Model_Solution_First_Error_Step\":\"N/A\",\"Rectified\":null}"},
    {"scan", "{\"question\":\"q\",\"steps\":[\"a\",\"b\"],\"scores\":[0.1,1]}"},
    {"fover",
     "{\"id\":\"f\",\"problem\":\"q\",\"solution_steps\":[\"a\",\"b\",\"c\"],\"error_labels\":["
     "true,null,false],\"messages\":[]}"},
    {"agentprocessbench", "{\"messages\":[{\"role\":\"system\",\"content\":\"s\"},{\"role\":"
                          "\"user\",\"content\":\"q\"},{"
                          "\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"name\":\"f\"}"
                          "]},{\"role\":\"tool\","
                          "\"content\":\"1\"},{\"role\":\"assistant\",\"content\":\"done\"}],"
                          "\"tools\":[],\"step_labels\":{"
                          "\"2\":0,\"4\":-1},\"final_label\":-1}"},
    {"potato",
     "{\"instance_id\":\"t1\",\"annotator\":\"ann\",\"mode\":\"per_step\",\"steps\":[{\"index\":"
     "0,\"reward\":1,\"source\":\"human\",\"verified\":true},{\"index\":1,\"reward\":null},{"
     "\"index\":2,\"reward\":0.5}]}"},
    {"gsm8k",
     "{\"question\":\"3 bags of 4 nuts?\",\"answer\":\"There are 3*4=<<3*4=12>>12 nuts.\\n#### "
     "12\"}"},
    {"math500",
     "{\"problem\":\"p\",\"solution\":\"so \\\\boxed{2}\",\"answer\":\"2\",\"type\":\"Algebra\","
     "\"level\":\"Level 3\",\"unique_id\":\"t/1\"}"},
    {"verl",
     "{\"data_source\":\"gsm8k\",\"prompt\":[{\"role\":\"system\",\"content\":\"s\"},{\"role\":"
     "\"user\",\"content\":\"q\"}],\"ability\":\"math\",\"reward_model\":{\"style\":\"rule\","
     "\"ground_truth\":\"12\"},\"extra_info\":{\"split\":\"train\",\"index\":3}}"},
    {"lm_eval",
     "{\"doc_id\":3,\"doc\":{\"question\":\"q\",\"answer\":\"x\\n#### 12\"},\"target\":\"x\\n#### "
     "12\",\"arguments\":[[\"q\",{}]],\"resps\":[[\"12\",\"13\"]],\"filtered_resps\":[\"12\"],"
     "\"exact_match\":1.0}"},
    {"humaneval",
     "{\"task_id\":\"HumanEval/900\",\"prompt\":\"def f(x):\\n    \\\"\\\"\\\"one "
     "more\\\"\\\"\\\"\\n\","
     "\"entry_point\":\"f\",\"canonical_solution\":\"    return x + 1\\n\",\"test\":\"def "
     "check(c):\\n    assert c(1) == 2\\n\",\"level\":[1]}"},
    {"mbpp", "{\"text\":\"one more\",\"code\":\"def f(x):\\n    return x + 1\",\"task_id\":900,"
             "\"test_setup_code\":\"\",\"test_list\":[\"assert f(1) == 2\",\"assert f(2) == 3\"],"
             "\"challenge_test_list\":[]}"},
    {"spider", "{\"db_id\":\"geo\",\"question\":\"How many?\",\"query\":\"SELECT count(*) FROM "
               "city\",\"query_toks\":[\"SELECT\"],\"sql\":{\"from\":{}}}"},
    {"mbpp", "{\"prompt\":\"p\",\"code\":\"x = 1\",\"task_id\":\"a\",\"test_list\":[]}"},
};
enum { N_EXAMPLES = sizeof example / sizeof *example };

static void there_and_back(void **state) {
    (void)state;
    for (size_t i = 0; i < N_EXAMPLES; i++) {
        rung_format_report r1, r2;
        char *own = convert(&r1, example[i].format, example[i].row, "jsonl", NULL);
        if (r1.n_rejected) fail_msg("%s: %s", example[i].format, r1.rejected.row[0].what);
        assert_int_equal(r1.lost.n, 0);
        char *back = convert(&r2, "jsonl", own, example[i].format, NULL);
        if (r2.n_rejected) fail_msg("%s back: %s", example[i].format, r2.rejected.row[0].what);
        assert_same_json(example[i].row, back, example[i].format);
        rung_free(own);
        rung_free(back);
        rung_format_report_clear(&r1);
        rung_format_report_clear(&r2);
    }
}

/* Each format stands in the examples: a new row of the table needs one. */
static void every_format_has_an_example(void **state) {
    (void)state;
    for (size_t i = 0; rung_format_at(i); i++) {
        const char *name = rung_format_name(rung_format_at(i));
        bool has = strcmp(name, "jsonl") == 0;
        for (size_t k = 0; k < N_EXAMPLES; k++) has |= strcmp(example[k].format, name) == 0;
        if (!has) fail_msg("no example of %s", name);
    }
}

/* ---- what the readers understand */

typedef struct seen {
    int n;
    rung_mark mark[8];
    double soft[8];
    int32_t parent[8], n_steps, last, first_error;
    rung_verdict outcome;
    char question[64], text[3][32];
} seen;

static rung_status look(void *ud, const rung_rated *r, int64_t line, rung_error *err) {
    seen *s = ud;
    (void)line;
    (void)err;
    s->n++;
    s->n_steps = r->n_steps;
    s->last = r->last;
    s->first_error = r->first_error;
    s->outcome = r->outcome;
    snprintf(s->question, sizeof s->question, "%s", r->question ? r->question : "");
    for (int32_t k = 0; k < r->n_steps && k < 8; k++) {
        s->mark[k] = r->step[k].mark;
        s->soft[k] = r->step[k].soft;
        s->parent[k] = r->step[k].parent;
        if (k < 3)
            snprintf(s->text[k], sizeof s->text[k], "%s", r->step[k].text ? r->step[k].text : "");
    }
    return RUNG_OK;
}

static seen read_one(const char *format, const char *text) {
    seen s = {0};
    rung_format_report r = {0};
    rung_error err = RUNG_ERROR_INIT;
    rung_status st =
        rung_format_read(&r, rung_format_find(format), put("in", text), NULL, NULL, look, &s, &err);
    if (st != RUNG_OK || r.n_rejected) fail_msg("%s: %s", format, err.what);
    rung_format_report_clear(&r);
    return s;
}

static void marks_and_places(void **state) {
    (void)state;
    seen s = read_one("processbench", example[0].row); /* 0-based, nothing after the error */
    assert_int_equal(s.first_error, 1);
    assert_int_equal(s.mark[0], RUNG_MARK_RIGHT);
    assert_int_equal(s.mark[1], RUNG_MARK_WRONG);
    assert_int_equal(s.mark[2], RUNG_MARK_NONE);
    s = read_one("prm800k", example[3].row); /* the path a|b|c -> d|e -> answer goes b, e, answer */
    assert_int_equal(s.n_steps, 6);
    assert_int_equal(s.last, 5);
    assert_int_equal(s.parent[5], 4);
    assert_int_equal(s.parent[4], 1);
    assert_int_equal(s.mark[0], RUNG_MARK_NEUTRAL);
    assert_int_equal(s.mark[2], RUNG_MARK_NONE);
    assert_int_equal(s.first_error, RUNG_FIRST_ERROR_UNKNOWN); /* e was not judged */
    s = read_one("math_shepherd", example[5].row);             /* by place: the first sign is "-" */
    assert_string_equal(s.question, "5 + 2 - 1?");
    assert_string_equal(s.text[1], "Step 2: 7-1=6");
    assert_int_equal(s.mark[0], RUNG_MARK_WRONG);
    assert_int_equal(s.mark[1], RUNG_MARK_RIGHT);
    s = read_one("math_aps", example[10].row);
    assert_string_equal(s.text[0], "a");
    assert_int_equal(s.parent[1] + s.parent[2], 0);
    s = read_one("mr_gsm8k", example[17].row); /* 1-based */
    assert_int_equal(s.first_error, 0);
    assert_int_equal(s.outcome, RUNG_VERDICT_WRONG);
    s = read_one("prmbench", example[13].row); /* 1-based; right again after the error */
    assert_int_equal(s.mark[1], RUNG_MARK_WRONG);
    assert_int_equal(s.mark[2], RUNG_MARK_RIGHT);
    s = read_one("fover", example[20].row); /* true is right */
    assert_int_equal(s.mark[0], RUNG_MARK_RIGHT);
    assert_int_equal(s.mark[1], RUNG_MARK_NONE);
    s = read_one("agentprocessbench", example[21].row);
    assert_int_equal(s.n_steps, 2);
    assert_int_equal(s.mark[0], RUNG_MARK_NEUTRAL);
}

static void objects_of_rows(void **state) {
    (void)state;
    seen s =
        read_one("mr_ben", "{\"uuid-1\": [\n {\"Question\":\"q\",\"Model_Solution_Steps\":[\"a\"],"
                           "\"Model_Solution_Correctness\":\"correct\"},\n{\"Question\":\"q\","
                           "\"Model_Solution_Steps\":[\"a\",\"b\"],\"Model_Solution_Correctness\":"
                           "\"incorrect\",\"Model_Solution_First_Error_Step\":2}\n]}\n");
    assert_int_equal(s.n, 2);
    assert_int_equal(s.first_error, 1);
}

/* ---- policies */

static const char pb_row[] = "{\"id\":\"x\",\"generator\":\"g\",\"problem\":\"q\",\"steps\":[\"a\","
                             "\"b\",\"c\"],\"final_answer_"
                             "correct\":false,\"label\":1}\n";

static void after_the_first_error(void **state) {
    (void)state;
    static const struct {
        rung_after_error how;
        const char *row;
    } want[] = {
        {RUNG_AFTER_TRUNCATE,
         "{\"prompt\":\"q\",\"completions\":[\"a\",\"b\"],\"labels\":[true,false]}"},
        {RUNG_AFTER_WRONG,
         "{\"prompt\":\"q\",\"completions\":[\"a\",\"b\",\"c\"],\"labels\":[true,false,false]}"},
        {RUNG_AFTER_RIGHT,
         "{\"prompt\":\"q\",\"completions\":[\"a\",\"b\",\"c\"],\"labels\":[true,false,true]}"},
    };
    rung_format_report r;
    rung_format_opts o = RUNG_FORMAT_OPTS_INIT;
    char *text = convert(&r, "processbench", pb_row, "trl", &o); /* nobody said how */
    assert_string_equal(text, "");
    assert_int_equal(r.n_rejected, 1);
    assert_tally(&r.rejected, "--after-error", 1);
    rung_format_report_clear(&r);
    rung_free(text);
    for (size_t i = 0; i < 3; i++) {
        o.after_error = want[i].how;
        text = convert(&r, "processbench", pb_row, "trl", &o);
        assert_same_json(want[i].row, text, "trl");
        assert_tally(&r.lost, "after the first error", 1);
        assert_tally(&r.lost, "generator", 1);
        assert_tally(&r.lost, "whether the final answer is right", 1);
        rung_format_report_clear(&r);
        rung_free(text);
    }
}

static void neutral_needs_a_word(void **state) {
    (void)state;
    static const char row[] = "{\"question\":\"q\",\"steps\":[\"a\",\"b\"],\"marks\":[\"neutral\","
                              "\"right\"]}\n";
    static const struct {
        rung_neutral how;
        const char *labels;
    } want[] = {{RUNG_NEUTRAL_RIGHT, "[true,true]"}, {RUNG_NEUTRAL_WRONG, "[false,true]"}};
    rung_format_report r;
    rung_format_opts o = RUNG_FORMAT_OPTS_INIT;
    char *text = convert(&r, "jsonl", row, "trl", &o);
    assert_int_equal(r.n_rejected, 1);
    assert_tally(&r.rejected, "neutral", 1);
    rung_free(text);
    rung_format_report_clear(&r);
    for (size_t i = 0; i < 2; i++) {
        o.neutral = want[i].how;
        text = convert(&r, "jsonl", row, "trl", &o);
        assert_non_null(strstr(text, want[i].labels));
        assert_tally(&r.lost, "neutral written as", 1);
        rung_free(text);
        rung_format_report_clear(&r);
    }
    o.neutral = RUNG_NEUTRAL_UNLABELLED; /* then the step has no label, which trl wants */
    text = convert(&r, "jsonl", row, "trl", &o);
    assert_int_equal(r.n_rejected, 1);
    rung_free(text);
    rung_format_report_clear(&r);
}

static void values_and_thresholds(void **state) {
    (void)state;
    static const char row[] =
        "{\"question\":\"q\",\"steps\":[\"a\",\"b\",\"c\"],\"scores\":[0.6,0.3,0]}\n";
    rung_format_report r;
    rung_format_opts o = RUNG_FORMAT_OPTS_INIT;
    char *text = convert(&r, "scan", row, "trl", &o); /* Math-Shepherd's hard label: any success */
    assert_non_null(strstr(text, "[true,true,false]"));
    assert_tally(&r.lost, "values made right or wrong at > ", 3);
    rung_free(text);
    rung_format_report_clear(&r);
    o.threshold = .5;
    text = convert(&r, "scan", row, "bigbench_mistake", &o);
    assert_non_null(strstr(text, "\"mistake_index\":1"));
    assert_tally(&r.lost, "labels after the first error", 1);
    rung_free(text);
    rung_format_report_clear(&r);
    text = convert(&r, "trl", example[12].row, "scan", &o);
    assert_non_null(strstr(text, "\"scores\":[0,0]"));
    rung_free(text);
    rung_format_report_clear(&r);
}

static void branches(void **state) {
    (void)state;
    rung_format_report r;
    rung_format_opts o = RUNG_FORMAT_OPTS_INIT;
    char *text = convert(&r, "math_aps_tree", example[11].row, "scan", &o);
    assert_non_null(strstr(text, "\"scores\":[0.5,0]")); /* a, b: c has no value */
    rung_free(text);
    rung_format_report_clear(&r);
    text = convert(&r, "math_aps_tree", example[11].row, "fover", &o);
    assert_same_json(
        "{\"id\":\"x\",\"problem\":\"q\",\"solution_steps\":[\"a\",\"b\"],\"error_labels\":["
        "true,false]}",
        text, "the likeliest child each time");
    assert_tally(&r.lost, "off the row's own path", 3);
    rung_free(text);
    rung_format_report_clear(&r);
    o.each_branch = true;
    text = convert(&r, "math_aps_tree", example[11].row, "fover", &o);
    assert_int_equal(r.n_out, 3);
    rung_free(text);
    rung_format_report_clear(&r);
}

static void screening_rows(void **state) {
    (void)state;
    rung_format_report r;
    rung_format_opts o = RUNG_FORMAT_OPTS_INIT;
    char row[2048], *at;
    snprintf(row, sizeof row, "%s", example[2].row);
    at = strstr(row, "\"is_quality_control_question\":false");
    assert_non_null(at);
    memcpy(at + strlen("\"is_quality_control_question\":"), "true ", 5);
    o.drop_screening = true;
    char *text = convert(&r, "prm800k", row, "jsonl", &o);
    assert_int_equal(r.n_left_out, 1);
    assert_int_equal(r.n_out + r.n_rejected, 0);
    rung_free(text);
    rung_format_report_clear(&r);
}

/* ---- bad rows: named by line and reason, the others stay */

static void bad_rows(void **state) {
    (void)state;
    static const struct {
        const char *format, *row, *reason;
    } bad[] = {
        {"trl", "{\"prompt\":\"q\",\"completions\":[\"a\"],\"labels\":[true,false]}",
         "holds N labels"},
        {"trl", "{\"prompt\":\"q\",\"completions\":[\"a\"],\"labels\":[\"NaN\"]}",
         "label N is not"},
        {"scan", "{\"question\":\"q\",\"steps\":[\"a\"],\"scores\":[NaN]}", "bad JSON"},
        {"scan", "{\"question\":\"q\",\"steps\":[\"a\"],\"scores\":[1e999]}", "bad JSON"},
        {"scan", "{\"question\":\"q\",\"steps\":[\"a\"],\"scores\":[1.5]}", "score N is not"},
        {"scan", "{\"question\":\"q\",\"steps\":[\"a\",", "bad JSON"},
        {"scan", "{\"question\":\"\xff\xfe\",\"steps\":[\"a\"],\"scores\":[1]}", "bad JSON"},
        {"scan", "{\"question\":\"q\\u0000r\",\"steps\":[\"a\"],\"scores\":[1]}", "NUL"},
        {"scan", "{\"question\":\"q\",\"steps\":[\"\"],\"scores\":[1]}", "is empty"},
        {"scan", "{\"question\":\"q\",\"steps\":[],\"scores\":[]}", "\"steps\" is empty"},
        {"scan", "[1]", "not a JSON object"},
        {"processbench", pb_row, "duplicate id"},
        {"processbench",
         "{\"id\":\"y\",\"generator\":\"g\",\"problem\":\"q\",\"steps\":[\"a\"],\"final_answer_"
         "correct\":"
         "false,\"label\":1}",
         "but there are N steps"},
        {"math_shepherd",
         "{\"input\":\"q Step 1: a \xD0\xBA\xD0\xB8\",\"label\":\"q Step 1: b +\"}",
         "leaves the text"},
        {"math_shepherd",
         "{\"input\":\"q Step 1: a \xD0\xBA\xD0\xB8 b \xD0\xBA\xD0\xB8\",\"label\":\"q Step 1: a "
         "\xD0\xBA\xD0\xB8 b +\"}",
         "has no + or -"}, /* a tag inside a step */
        {"prm800k",
         "{\"question\":{\"problem\":\"q\"},\"label\":{\"steps\":[{\"completions\":[{\"text\":"
         "\"a\",\"rating\":5}]}]}}",
         "a rating at step N"},
        {"math_aps_tree",
         "{\"question\":\"q\",\"tree\":{\"children\":[{\"text\":\"a\",\"odd\":1}]}}",
         "unknown key"},
        {"mr_gsm8k",
         "{\"question\":\"q\",\"model_output_steps\":[\"a\"],\"model_output_answer_"
         "correctness\":\"wrong\",\"model_output_solution_correctness\":\"wrong\",\"model_"
         "output_solution_first_error_step\":\"N/A\"}",
         "names no step"},
        {"agentprocessbench",
         "{\"messages\":[{\"role\":\"user\",\"content\":\"q\"},{\"role\":\"assistant\","
         "\"content\":\"a\"}],\"step_labels\":{\"7\":1},\"final_label\":1}",
         "messages that are not there"},
        {"jsonl", "{\"question\":\"q\",\"stepz\":[]}", "unknown key"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        rung_format_report r;
        char text[4096];
        const char *good = "";
        for (size_t k = 0; k < N_EXAMPLES; k++)
            if (strcmp(example[k].format, bad[i].format) == 0) good = example[k].row;
        if (strcmp(bad[i].format, "processbench") == 0) good = pb_row;
        if (strcmp(bad[i].format, "jsonl") == 0) good = "{\"question\":\"q\",\"steps\":[\"a\"]}";
        snprintf(text, sizeof text, "%s\n\n%s\n", good, bad[i].row);
        char *out = convert(&r, bad[i].format, text, "jsonl", NULL);
        assert_int_equal(r.n_in, 2);
        if (r.n_out != 1 || r.n_rejected != 1)
            fail_msg("%s %s: %lld out", bad[i].format, bad[i].row, (long long)r.n_out);
        assert_tally(&r.rejected, bad[i].reason, 1);
        if (strcmp(bad[i].format, "processbench") != 0 || i != 11)
            assert_true(r.rejected.row[0].line[0] >= 3); /* blank lines count */
        rung_free(out);
        rung_format_report_clear(&r);
    }
}

static void a_huge_step(void **state) {
    (void)state;
    rung_format_report r;
    rung_buf b;
    rung_buf_init(&b, 0);
    rung_buf_str(&b, "{\"question\":\"q\",\"steps\":[\"");
    for (int i = 0; i < 10 << 10; i++) {
        static char kib[1025];
        memset(kib, 'x', 1024);
        rung_buf_append(&b, kib, 1024);
    }
    rung_buf_str(&b,
                 "\"],\"scores\":[1]}\n{\"question\":\"q\",\"steps\":[\"a\"],\"scores\":[1]}\n");
    char *out = convert(&r, "scan", b.data, "trl", NULL);
    assert_int_equal(r.n_out, 1);
    assert_tally(&r.rejected, "longer than", 1);
    assert_int_equal(r.rejected.row[0].line[0], 1);
    rung_free(out);
    rung_buf_clear(&b);
    rung_format_report_clear(&r);
}

/* A step that holds the tag cannot be written with that tag. */
static void a_tag_inside(void **state) {
    (void)state;
    static const char row[] =
        "{\"prompt\":\"q\",\"completions\":[\"a \xD0\xBA\xD0\xB8 b\"],\"labels\":[true]}\n";
    rung_format_report r;
    rung_format_opts o = RUNG_FORMAT_OPTS_INIT;
    char *out = convert(&r, "trl", row, "math_shepherd", &o);
    assert_tally(&r.rejected, "holds the tag", 1);
    rung_free(out);
    rung_format_report_clear(&r);
    o.tag = "<t>";
    out = convert(&r, "trl", row, "math_shepherd", &o);
    assert_int_equal(r.n_out, 1);
    assert_non_null(strstr(out, "q Step 1: a \xD0\xBA\xD0\xB8 b <t>"));
    rung_free(out);
    rung_format_report_clear(&r);
}

/* ---- property: random records survive every format that can carry what they hold */

static void random_record(rung_buf *b, rung_rng *g, unsigned can) {
    static const char *const words[] = {
        "a", "b + c", "x = - 3", "\\\"q\\\"", "\xC3\xA9t\xC3\xA9", "5\\n6"};
    int n = 1 + (int)rung_rng_below(g, 5);
    bool index = can & RUNG_CAN_INDEX, soft = (can & RUNG_CAN_SOFT) && !(can & RUNG_CAN_HARD);
    rung_buf_printf(b,
                    "{\"question\":\"q%llu\",\"key\":\"k%llu\",\"generator\":\"g\",\"answer\":"
                    "\"1\",\"correct\":%s,",
                    (unsigned long long)rung_rng_below(g, 1000),
                    (unsigned long long)rung_rng_below(g, 1u << 30),
                    rung_rng_below(g, 2) ? "true" : "false");
    rung_buf_str(b, "\"steps\":[");
    for (int k = 0; k < n; k++)
        rung_buf_printf(b, "%s\"%s %d\"", k ? "," : "", words[rung_rng_below(g, 6)], k);
    if (index) {
        rung_buf_printf(b, "],\"first_error\":%d}\n", (int)rung_rng_below(g, (uint64_t)n + 1) - 1);
        return;
    }
    rung_buf_str(b, soft ? "],\"values\":[" : "],\"marks\":[");
    for (int k = 0; k < n; k++) {
        if (soft)
            rung_buf_printf(b, "%s%.17g", k ? "," : "", rung_rng_f64(g));
        else
            rung_buf_printf(b, "%s\"%s\"", k ? "," : "", rung_rng_below(g, 2) ? "right" : "wrong");
    }
    rung_buf_str(b, "]}\n");
}

typedef struct labels {
    rung_mark mark[16];
    double soft[16];
    int32_t n, first_error;
} labels;

static rung_status note(void *ud, const rung_rated *r, int64_t line, rung_error *err) {
    labels *l = ud;
    (void)line;
    (void)err;
    l->n = r->n_steps;
    l->first_error = r->first_error;
    for (int32_t k = 0; k < r->n_steps && k < 16; k++) {
        l->mark[k] = r->step[k].mark;
        l->soft[k] = r->step[k].soft;
    }
    return RUNG_OK;
}

static labels labels_of(const char *format, const char *text) {
    labels l = {0};
    rung_format_report r = {0};
    rung_error err = RUNG_ERROR_INIT;
    rung_status st =
        rung_format_read(&r, rung_format_find(format), put("in", text), NULL, NULL, note, &l, &err);
    if (st != RUNG_OK || r.n_rejected) fail_msg("%s: %s", format, err.what);
    rung_format_report_clear(&r);
    return l;
}

static void random_rows(void **state) {
    (void)state;
    rung_rng g = rung_rng_at(7, RUNG_STREAM_TEST, 0, 0);
    for (size_t i = 0; rung_format_at(i); i++) {
        const rung_format *f = rung_format_at(i);
        unsigned can = rung_format_can_carry(f);
        if (!(can & (RUNG_CAN_HARD | RUNG_CAN_SOFT | RUNG_CAN_INDEX))) continue;
        for (int n = 0; n < 60; n++) {
            rung_format_report r;
            rung_buf b;
            rung_buf_init(&b, 0);
            random_record(&b, &g, can);
            char *text = convert(&r, "jsonl", b.data, rung_format_name(f), NULL);
            if (r.n_out != 1)
                fail_msg("%s: %s\n%s", rung_format_name(f), r.rejected.row[0].what, b.data);
            labels x = labels_of("jsonl", b.data), y = labels_of(rung_format_name(f), text);
            if (x.n != y.n) fail_msg("%s:\n%s\n%s", rung_format_name(f), b.data, text);
            if (can & (RUNG_CAN_HARD | RUNG_CAN_INDEX))
                assert_int_equal(x.first_error, y.first_error);
            for (int32_t k = 0; k < x.n; k++) {
                if (can & RUNG_CAN_HARD) assert_int_equal(x.mark[k], y.mark[k]);
                if ((can & RUNG_CAN_SOFT) && isfinite(x.soft[k]))
                    assert_true(x.soft[k] == y.soft[k]);
            }
            rung_free(text);
            rung_buf_clear(&b);
            rung_format_report_clear(&r);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_and_back),        cmocka_unit_test(every_format_has_an_example),
        cmocka_unit_test(marks_and_places),      cmocka_unit_test(objects_of_rows),
        cmocka_unit_test(after_the_first_error), cmocka_unit_test(neutral_needs_a_word),
        cmocka_unit_test(values_and_thresholds), cmocka_unit_test(branches),
        cmocka_unit_test(screening_rows),        cmocka_unit_test(bad_rows),
        cmocka_unit_test(a_huge_step),           cmocka_unit_test(a_tag_inside),
        cmocka_unit_test(random_rows),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
