/* Conditions on a measurement; the files of lm-evaluation-harness against what was measured. */
#include "base/json.h"
#include "base/sha256.h"
#include "unit/bench/bench_fixture.h"
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

static const char measured[] =
    "{\"v\":1,\"metric\":\"answer\",\"methods\":["
    "{\"name\":\"majority\",\"points\":[{\"k\":1,\"acc\":0.3,\"ci95\":[0.2,0.4]},"
    "{\"k\":4,\"acc\":0.5,\"ci95\":[0.4,0.6]}],\"vs\":{}},"
    "{\"name\":\"bon_prm\",\"points\":[{\"k\":4,\"acc\":0.55,\"ci95\":[0.45,0.65]}],"
    "\"vs\":{\"majority\":{\"diff\":0.05,\"ci95\":[-0.01,0.11]}}},"
    "{\"name\":\"vote_prm\",\"points\":[{\"k\":4,\"acc\":0.6,\"ci95\":[0.5,0.7]}],"
    "\"vs\":{\"majority\":{\"diff\":0.1,\"ci95\":[0.02,0.18]}}}],"
    "\"skipped\":[{\"name\":\"bon_orm\",\"reason\":\"no outcome reward model given\"}]}";

static rung_status ask(bool *met, char failed[512], const char *conditions, rung_error *err) {
    rung_buf b;
    rung_buf_init(&b, 1 << 16);
    rung_status st = rung_bench_require(met, &b, measured, conditions, err);
    snprintf(failed, 512, "%s", b.data ? b.data : "");
    rung_buf_clear(&b);
    return st;
}

static void conditions(void **ud) {
    (void)ud;
    static const struct {
        const char *text;
        bool met;
    } row[] = {{"majority>0.4", true},
               {"majority>0.5", false},
               {"majority>=0.5", true},
               {"majority>=50%", true},
               {"majority<0.6", true},
               {"majority<=0.4", false},
               {"vote_prm-majority>0", true},
               {" vote_prm - majority > 0.09 ", true},
               {"vote_prm-majority>0.11", false},
               {"majority-vote_prm<0", true},
               {"vote_prm-bon_prm>0.04", true},
               {"ci vote_prm-majority>0", true},
               {"ci bon_prm-majority>0", false}, /* its interval holds 0 */
               {"bon_prm-majority>0", true},
               {"ci majority>0.39", true},
               {"ci majority>0.41", false},
               {"ci majority<0.61", true},
               {"ci majority<0.59", false},
               {"majority>0.1\nvote_prm>0.5", true},
               {"majority>0.1\nvote_prm>0.7\nbon_prm>0.9", false},
               {"", true}};
    char failed[512];
    bool met;
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        assert_int_equal(ask(&met, failed, row[i].text, NULL), RUNG_OK);
        if (met != row[i].met) print_error("%s\n", row[i].text);
        assert_true(met == row[i].met);
        assert_true((failed[0] == 0) == met);
    }
    assert_int_equal(ask(&met, failed, row[19].text, NULL), RUNG_OK);
    assert_non_null(strstr(failed, "vote_prm>0.7 (it is 0.6000); bon_prm>0.9"));
    assert_int_equal(ask(&met, failed, "ci bon_prm-majority>0", NULL), RUNG_OK);
    assert_non_null(strstr(failed, "-0.0100 at worst"));
}

static void unreadable(void **ud) {
    (void)ud;
    static const char *const bad[] = {"majority",
                                      "majority>",
                                      ">0.5",
                                      "majority=0.5",
                                      "majority>nan",
                                      "majority>0.5x",
                                      "majority-prm-x>0",
                                      "9lives>0",
                                      "majority>0.5%%",
                                      "nobody>0.1",
                                      "bon_orm>0.1",
                                      "majority-nobody>0",
                                      "ci vote_prm-bon_prm>0"};
    char failed[512];
    bool met;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        rung_error err = RUNG_ERROR_INIT;
        if (ask(&met, failed, bad[i], &err) != RUNG_E_INVAL) fail_msg("%s was taken", bad[i]);
        assert_true(err.what[0]);
        assert_int_equal(rung_bench_require_check(bad[i], &err), i < 9 ? RUNG_E_INVAL : RUNG_OK);
    }
    rung_error err = RUNG_ERROR_INIT;
    (void)ask(&met, failed, "bon_orm>0.1", &err);
    assert_string_equal(err.hint, "no outcome reward model given");
    assert_int_equal(rung_bench_require(&met, NULL, "{}", "a>1", &err), RUNG_E_FORMAT);
}

/* ---- files */

static char folder[] = "/tmp/rung-lm-XXXXXX";

static void find(char out[600], const char *dir, const char *head) {
    DIR *d = opendir(dir);
    assert_non_null(d);
    out[0] = 0;
    for (struct dirent *e; (e = readdir(d)) != NULL;)
        if (strncmp(e->d_name, head, strlen(head)) == 0)
            snprintf(out, 600, "%.300s/%.255s", dir, e->d_name);
    closedir(d);
    assert_true(out[0]);
}

static void one_row(yyjson_val *row) {
    char hex[65];
    yyjson_val *doc = yyjson_obj_get(row, "doc");
    const char *target = rung_json_str(row, "target", "?");
    assert_string_equal(target, rung_json_str(doc, "answer", ""));
    rung_sha256_hex(hex, target, strlen(target));
    assert_string_equal(hex, rung_json_str(row, "target_hash", ""));
    assert_int_equal(strlen(rung_json_str(row, "doc_hash", "")), 64);
    assert_int_equal(strlen(rung_json_str(row, "prompt_hash", "")), 64);
    yyjson_val *resps = yyjson_obj_get(row, "resps");
    assert_int_equal(yyjson_arr_size(resps), 1);
    bool greedy = strcmp(rung_json_str(row, "filter", ""), "greedy") == 0;
    assert_int_equal(yyjson_arr_size(yyjson_arr_get(resps, 0)), greedy ? 1 : FIX_SAMPLES);
    assert_int_equal(yyjson_arr_size(yyjson_obj_get(row, "filtered_resps")), 1);
    yyjson_val *args = yyjson_obj_get(yyjson_obj_get(row, "arguments"), "gen_args_0");
    assert_true(yyjson_is_str(yyjson_obj_get(args, "arg_0")));
}

/* Sums of exact_match by filter; returns the number of rows. */
static int read_samples(const char *path, const char *const *name, double *sum, int n_names) {
    rung_jsonl *file;
    yyjson_val *row;
    int n = 0;
    FIX(rung_jsonl_open(&file, path, 0, err));
    while (rung_jsonl_next(&row, file, NULL) == RUNG_OK) {
        one_row(row);
        n++;
        for (int k = 0; k < n_names; k++)
            if (strcmp(name[k], rung_json_str(row, "filter", "")) == 0)
                sum[k] += rung_json_f64(row, "exact_match", -1e9);
    }
    rung_jsonl_close(file);
    return n;
}

static void lm_eval(void **ud) {
    (void)ud;
    enum { N = 12, M = 3 };
    static const char *const name[M] = {"majority", "vote_prm", "greedy"};
    double sum[M] = {0};
    char dir[600], path[600], key[96];
    fixture f;
    rung_buf b;
    assert_non_null(mkdtemp(folder));
    fix_full(&f, ":memory:", N);
    rung_buf_init(&b, 1 << 24);
    rung_answer_opts o = RUNG_ANSWER_OPTS_INIT;
    o.traces = (rung_filter){.set = "sums", .split = "test", .run = f.pool};
    o.prm_model = f.prm;
    o.greedy_run = &f.greedy;
    o.n_boot = 200;
    o.lm_eval = folder;
    FIX(rung_bench_answer(&b, f.store, &o, NULL, err));
    yyjson_doc *d = yyjson_read(b.data, b.n, 0);
    yyjson_val *methods = yyjson_obj_get(yyjson_doc_get_root(d), "methods");
    int n_methods = (int)yyjson_arr_size(methods);
    find(dir, folder, "");
    DIR *top = opendir(folder);
    for (struct dirent *e; (e = readdir(top)) != NULL;)
        if (e->d_name[0] != '.') snprintf(dir, sizeof dir, "%.40s/%.250s", folder, e->d_name);
    closedir(top);
    find(path, dir, "samples_sums_");
    assert_int_equal(read_samples(path, name, sum, M), N * n_methods);
    unlink(path);
    find(path, dir, "results_");
    rung_buf_reset(&b);
    FIX(rung_file_read(&b, path, err));
    yyjson_doc *r = yyjson_read(b.data, b.n, 0);
    yyjson_val *task = yyjson_obj_get(yyjson_obj_get(yyjson_doc_get_root(r), "results"), "sums");
    for (int k = 0; k < M; k++) {
        double p = sum[k] / N;
        snprintf(key, sizeof key, "exact_match,%s", name[k]);
        assert_true(fabs(rung_json_f64(task, key, -1) - p) < 1e-12);
        snprintf(key, sizeof key, "exact_match_stderr,%s", name[k]);
        assert_true(fabs(rung_json_f64(task, key, -1) - sqrt(p * (1 - p) / (N - 1))) < 1e-12);
        yyjson_arr_iter it = yyjson_arr_iter_with(methods); /* the object says the same */
        for (yyjson_val *m; (m = yyjson_arr_iter_next(&it)) != NULL;) {
            yyjson_val *last = yyjson_arr_get_last(yyjson_obj_get(m, "points"));
            if (strcmp(rung_json_str(m, "name", ""), name[k]) == 0)
                assert_true(fabs(rung_json_f64(last, "acc", -1) - p) < 1e-9);
        }
    }
    yyjson_val *n = yyjson_obj_get(yyjson_obj_get(yyjson_doc_get_root(r), "n-samples"), "sums");
    assert_int_equal(rung_json_i64(n, "effective", 0), N);
    unlink(path);
    rmdir(dir);
    rmdir(folder);
    yyjson_doc_free(d);
    yyjson_doc_free(r);
    rung_buf_clear(&b);
    rung_store_close(f.store);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(conditions), cmocka_unit_test(unreadable),
                                       cmocka_unit_test(lm_eval)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
