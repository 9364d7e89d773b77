/* The answer object as text for eyes: one row per method, accuracies in percent. */
#include "base/json.h"
#include "rung/bench.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static double at(yyjson_val *arr, size_t i) {
    yyjson_val *v = yyjson_arr_get(arr, i);
    return yyjson_is_num(v) ? yyjson_get_num(v) : (double)NAN;
}

/* "total + word/test" */
static void set_names(rung_buf *b, yyjson_val *o) {
    yyjson_val *sets = yyjson_obj_get(o, "sets"), *s;
    size_t i, n;
    if (!yyjson_arr_size(sets)) rung_buf_str(b, rung_json_str(o, "set", "?"));
    yyjson_arr_foreach(sets, i, n, s)
        rung_buf_printf(b, "%s%s", i ? " + " : "", rung_json_str(s, "set", "?"));
    const char *split = rung_json_str(o, "split", "");
    if (split[0]) rung_buf_printf(b, "/%s", split);
}

static void head(rung_buf *b, yyjson_val *o, yyjson_val *k) {
    yyjson_val *verdicts = yyjson_obj_get(o, "verdicts");
    set_names(b, o);
    rung_buf_printf(b, ": %lld problems, %lld traces each by %s, %.1f tokens a trace\n",
                    (long long)rung_json_i64(o, "n_problems", 0),
                    (long long)rung_json_i64(o, "n_samples", 0), rung_json_str(o, "policy", "?"),
                    rung_json_f64(o, "tokens_per_trace", (double)NAN));
    rung_buf_printf(b, "traces: %lld correct, %lld wrong, %lld without an answer, %lld unknown\n",
                    (long long)rung_json_i64(verdicts, "correct", 0),
                    (long long)rung_json_i64(verdicts, "wrong", 0),
                    (long long)rung_json_i64(verdicts, "no_answer", 0),
                    (long long)rung_json_i64(verdicts, "unknown", 0));
    if (rung_json_i64(o, "n_problems_short", 0))
        rung_buf_printf(b, "left out: %lld problems with fewer traces\n",
                        (long long)rung_json_i64(o, "n_problems_short", 0));
    rung_buf_printf(b, "\n%-16s", "correct, %");
    yyjson_val *point;
    size_t i, n;
    yyjson_arr_foreach(k, i, n, point) {
        char name[24];
        snprintf(name, sizeof name, "k=%lld", (long long)rung_json_i64(point, "k", 0));
        rung_buf_printf(b, " %6s", name);
    }
    rung_buf_printf(b, "  %-14s", "95% interval");
}

/* "+12.3 [+8.1, +16.4]*": difference in points, its interval, * where Holm's p <= .05 */
static void difference(rung_buf *b, yyjson_val *vs, const char *base) {
    yyjson_val *d = yyjson_obj_get(vs, base), *ci = yyjson_obj_get(d, "ci95");
    char text[64] = "";
    if (d)
        snprintf(text, sizeof text, "%+.1f [%+.1f, %+.1f]%s",
                 100.0 * rung_json_f64(d, "diff", (double)NAN), 100.0 * at(ci, 0),
                 100.0 * at(ci, 1), rung_json_f64(d, "p_holm", 1.0) <= 0.05 ? "*" : "");
    rung_buf_printf(b, "  %-22s", text);
}

static void row(rung_buf *b, yyjson_val *m, size_t n_k, const char *const *base, int n_bases) {
    yyjson_val *points = yyjson_obj_get(m, "points"), *last = yyjson_arr_get_last(points);
    rung_buf_printf(b, "\n%-16s", rung_json_str(m, "name", "?"));
    for (size_t i = 0; i < n_k; i++) {
        yyjson_val *p = yyjson_arr_get(points, i);
        if (p)
            rung_buf_printf(b, " %6.1f", 100.0 * rung_json_f64(p, "acc", (double)NAN));
        else
            rung_buf_printf(b, " %6s", "");
    }
    char text[32];
    yyjson_val *ci = yyjson_obj_get(last, "ci95");
    snprintf(text, sizeof text, "[%.1f, %.1f]", 100.0 * at(ci, 0), 100.0 * at(ci, 1));
    rung_buf_printf(b, "  %-14s", text);
    for (int i = 0; i < n_bases; i++) difference(b, yyjson_obj_get(m, "vs"), base[i]);
    double none = rung_json_f64(last, "no_answer", 0.0);
    double unknown = rung_json_f64(last, "unknown", 0.0);
    if (none > 0.0) rung_buf_printf(b, " %.1f%% no answer", 100.0 * none);
    if (unknown > 0.0) rung_buf_printf(b, " %.1f%% unknown", 100.0 * unknown);
}

/* The names that methods are compared with, in the order they appear. */
static int baselines(const char **base, int max, yyjson_val *methods) {
    int n = 0;
    size_t i, n_m, j, n_vs;
    yyjson_val *m, *key, *value;
    yyjson_arr_foreach(methods, i, n_m, m) {
        yyjson_obj_foreach(yyjson_obj_get(m, "vs"), j, n_vs, key, value) {
            bool seen = false;
            for (int k = 0; k < n; k++) seen = seen || strcmp(base[k], yyjson_get_str(key)) == 0;
            if (!seen && n < max) base[n++] = yyjson_get_str(key);
        }
    }
    if (n == 2 && strcmp(base[1], "single") == 0) { /* one sample is the first thing to beat */
        base[1] = base[0];
        base[0] = "single";
    }
    return n;
}

/* "cost of 16 traces: 812 tokens generated in 3.1 s; prm: 640 tokens read in 0.90 s" */
static void cost(rung_buf *b, yyjson_val *o) {
    static const char *const who[] = {"prm", "orm"};
    double k = (double)rung_json_i64(o, "n_samples", 0);
    double tok = rung_json_f64(o, "tokens_per_trace", (double)NAN);
    double s = rung_json_f64(o, "s_per_token", (double)NAN) * tok;
    rung_buf_printf(b, "cost of a problem's %.0f traces: %.0f tokens generated", k, k * tok);
    if (isfinite(s)) rung_buf_printf(b, " in %.2f s", k * s);
    for (int w = 0; w < 2; w++) {
        yyjson_val *c = yyjson_obj_get(yyjson_obj_get(o, "scoring"), who[w]);
        double read = rung_json_f64(c, "tokens_per_trace", (double)NAN);
        if (!isfinite(read)) continue;
        rung_buf_printf(b, "; %s: %.0f tokens read in %.2f s", who[w], k * read,
                        k * rung_json_f64(c, "s_per_trace", (double)NAN));
    }
    rung_buf_str(b, "\n");
}

rung_status rung_bench_answer_table(rung_buf *text, const char *json, rung_error *err) {
    yyjson_doc *doc = yyjson_read(json, strlen(json), 0);
    yyjson_val *o = yyjson_doc_get_root(doc), *methods = yyjson_obj_get(o, "methods"), *m;
    if (strcmp(rung_json_str(o, "metric", ""), "answer") != 0 || !yyjson_is_arr(methods)) {
        yyjson_doc_free(doc);
        return rung_fail(err, RUNG_E_FORMAT, "not an object of metric \"answer\"");
    }
    yyjson_val *k = NULL;
    size_t i, n;
    yyjson_arr_foreach(methods, i, n, m) {
        yyjson_val *points = yyjson_obj_get(m, "points");
        if (yyjson_arr_size(points) > yyjson_arr_size(k)) k = points;
    }
    const char *base[2];
    int n_bases = baselines(base, 2, methods);
    head(text, o, k);
    for (int j = 0; j < n_bases; j++) {
        char name[40];
        snprintf(name, sizeof name, "points vs %s", base[j]);
        rung_buf_printf(text, "  %-22s", name);
    }
    yyjson_arr_foreach(methods, i, n, m) row(text, m, yyjson_arr_size(k), base, n_bases);
    rung_buf_str(text, "\n\n* p <= .05 after Holm's correction over the methods of the column\n");
    cost(text, o);
    yyjson_arr_foreach(yyjson_obj_get(o, "skipped"), i, n, m)
        rung_buf_printf(text, "not measured: %s (%s)\n", rung_json_str(m, "name", "?"),
                        rung_json_str(m, "reason", "?"));
    yyjson_doc_free(doc);
    return rung_buf_check(text, err);
}
