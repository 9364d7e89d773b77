/* Conditions on a bench answer, for scripts: A > x, A - B > x, over the accuracies with the whole
 * pool; "ci" before it asks it of the whole 95% interval. */
#include "base/json.h"
#include "rung/bench.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct condition {
    char a[64], b[64], op[3]; /* b "": none */
    bool whole;               /* of the interval */
    double limit;
} condition;

static const char *skip(const char *p) {
    while (*p == ' ' || *p == '\t') p++;
    return p;
}

static const char *take_name(char out[64], const char *p) {
    size_t n = 0;
    p = skip(p);
    if (!isalpha((unsigned char)*p)) return NULL;
    while (isalnum((unsigned char)p[n]) || p[n] == '_') n++;
    if (n > 63) return NULL;
    memcpy(out, p, n);
    out[n] = 0;
    return skip(p + n);
}

static rung_status unreadable(const char *text, size_t n, rung_error *err) {
    rung_fail(err, RUNG_E_INVAL, "require: \"%.*s\" is no condition", (int)n, text);
    return rung_error_hint(err, "METHOD>0.5, METHOD-METHOD>=0, ci METHOD-majority>0");
}

static rung_status parse(condition *c, const char *text, size_t n, rung_error *err) {
    char line[256];
    *c = (condition){{0}, {0}, {0}, false, 0.0};
    if (n >= sizeof line) return unreadable(text, n, err);
    memcpy(line, text, n);
    line[n] = 0;
    const char *p = skip(line);
    if (strncmp(p, "ci", 2) == 0 && (p[2] == ' ' || p[2] == '\t')) {
        c->whole = true;
        p += 2;
    }
    if (!(p = take_name(c->a, p))) return unreadable(text, n, err);
    if (*p == '-' && !(p = take_name(c->b, p + 1))) return unreadable(text, n, err);
    if (*p != '>' && *p != '<') return unreadable(text, n, err);
    c->op[0] = *p++;
    if (*p == '=') c->op[1] = *p++;
    char *end;
    c->limit = strtod(p, &end);
    if (end == p || !isfinite(c->limit)) return unreadable(text, n, err);
    if (*end == '%') {
        c->limit /= 100.0;
        end++;
    }
    return *skip(end) ? unreadable(text, n, err) : RUNG_OK;
}

static yyjson_val *method_of(yyjson_val *root, const char *name) {
    yyjson_arr_iter it = yyjson_arr_iter_with(yyjson_obj_get(root, "methods"));
    for (yyjson_val *m; (m = yyjson_arr_iter_next(&it)) != NULL;)
        if (strcmp(rung_json_str(m, "name", ""), name) == 0) return m;
    return NULL;
}

static rung_status no_method(yyjson_val *root, const char *name, rung_error *err) {
    const char *why = NULL;
    yyjson_arr_iter it = yyjson_arr_iter_with(yyjson_obj_get(root, "skipped"));
    for (yyjson_val *m; (m = yyjson_arr_iter_next(&it)) != NULL;)
        if (strcmp(rung_json_str(m, "name", ""), name) == 0) why = rung_json_str(m, "reason", "");
    rung_fail(err, RUNG_E_INVAL, "require: method \"%s\" was not measured", name);
    return why ? rung_error_hint(err, "%s", why) : RUNG_E_INVAL;
}

static void interval_of(double out[2], yyjson_val *of) {
    yyjson_val *ci = yyjson_obj_get(of, "ci95");
    for (size_t i = 0; i < 2; i++)
        out[i] = yyjson_is_num(yyjson_arr_get(ci, i)) ? yyjson_get_num(yyjson_arr_get(ci, i))
                                                      : (double)NAN;
}

static yyjson_val *last_point(yyjson_val *method) {
    return yyjson_arr_get_last(yyjson_obj_get(method, "points"));
}

/* The figure, and what of its interval speaks against the condition the most. */
static rung_status figure(double *value, double *worst, const condition *c, yyjson_val *root,
                          rung_error *err) {
    yyjson_val *a = method_of(root, c->a), *b = c->b[0] ? method_of(root, c->b) : NULL;
    double ci[2] = {(double)NAN, (double)NAN};
    if (!a) return no_method(root, c->a, err);
    if (c->b[0] && !b) return no_method(root, c->b, err);
    *value = rung_json_f64(last_point(a), "acc", (double)NAN);
    if (!b) {
        interval_of(ci, last_point(a));
    } else {
        yyjson_val *vs = yyjson_obj_get(yyjson_obj_get(a, "vs"), c->b);
        *value -= rung_json_f64(last_point(b), "acc", (double)NAN);
        if (c->whole && !vs) {
            rung_fail(err, RUNG_E_INVAL, "require: %s - %s has no interval here", c->a, c->b);
            return rung_error_hint(err, "--baseline %s pairs every method with it", c->b);
        }
        interval_of(ci, vs);
    }
    *worst = c->op[0] == '>' ? ci[0] : ci[1];
    return RUNG_OK;
}

/* NaN meets nothing. */
static bool meets(const condition *c, double v) {
    if (c->op[0] == '>') return c->op[1] ? v >= c->limit : v > c->limit;
    return c->op[1] ? v <= c->limit : v < c->limit;
}

static rung_status ask(bool *met, rung_buf *failed, yyjson_val *root, const char *text, size_t n,
                       rung_error *err) {
    condition c;
    double value = (double)NAN, worst = (double)NAN;
    RUNG_TRY(parse(&c, text, n, err));
    RUNG_TRY(figure(&value, &worst, &c, root, err));
    double v = c.whole ? worst : value;
    if (meets(&c, v)) return RUNG_OK;
    rung_buf_printf(failed, "%s%.*s (it is %.4f%s)", *met ? "" : "; ", (int)n, text, v,
                    c.whole ? " at worst" : "");
    *met = false;
    return RUNG_OK;
}

rung_status rung_bench_require(bool *met, rung_buf *failed, const char *json,
                               const char *conditions, rung_error *err) {
    yyjson_doc *doc = yyjson_read(json, strlen(json), 0);
    yyjson_val *root = yyjson_doc_get_root(doc);
    rung_status st = RUNG_OK;
    *met = true;
    if (strcmp(rung_json_str(root, "metric", ""), "answer") != 0)
        st = rung_fail(err, RUNG_E_FORMAT, "conditions are asked of a bench answer");
    for (const char *p = conditions; p && *p && st == RUNG_OK;) {
        size_t n = strcspn(p, "\n");
        if (n) st = ask(met, failed, root, p, n, err);
        p += n + (p[n] != 0);
    }
    yyjson_doc_free(doc);
    return st == RUNG_OK ? rung_buf_check(failed, err) : st;
}

rung_status rung_bench_require_check(const char *conditions, rung_error *err) {
    condition c;
    for (const char *p = conditions; p && *p;) {
        size_t n = strcspn(p, "\n");
        if (n) RUNG_TRY(parse(&c, p, n, err));
        p += n + (p[n] != 0);
    }
    return RUNG_OK;
}
