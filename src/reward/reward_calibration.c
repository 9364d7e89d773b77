/* Maps from scores to probabilities: applied, fitted, printed, read. */
#include "reward/reward_calibration.h"

#include "base/json.h"

#include <math.h>
#include <string.h>

/* Scores of 0 and 1 have a logit, too: that of the nearest probability this far from the ends. */
static const double P_EDGE = 1e-7;

static const char *const names[] = {
#define X(id, name, help) name,
    RUNG_CALIBRATIONS(X)
#undef X
};

const char *rung_calibration_name(rung_calibration_id id) {
    return (unsigned)id < RUNG_CALIBRATION_COUNT ? names[id] : "?";
}

bool rung_calibration_find(rung_calibration_id *out, const char *name) {
    for (int i = 0; i < RUNG_CALIBRATION_COUNT; i++)
        if (!strcmp(names[i], name)) {
            *out = (rung_calibration_id)i;
            return true;
        }
    return false;
}

/* Maps ----------------------------------------------------------------------------------------- */

static double logit_of(const reward_calibration *c, double score) {
    if (c->logit) return score;
    double p = fmin(fmax(score, P_EDGE), 1.0 - P_EDGE);
    return log(p) - log1p(-p);
}

double reward_map_at(const reward_map *m, const reward_calibration *c, double score) {
    if (c->method == RUNG_CALIBRATION_NONE || !m->fitted) return score;
    if (c->method == RUNG_CALIBRATION_ISOTONIC) return rung_isotonic_at(m->knot, m->n_knots, score);
    return 1.0 / (1.0 + exp(-(m->a * logit_of(c, score) + m->b)));
}

double reward_calibration_at(const reward_calibration *c, double score, int32_t step) {
    bool own = step >= 0 && step < REWARD_POSITIONS && c->at[step].fitted;
    return reward_map_at(own ? &c->at[step] : &c->all, c, score);
}

static bool fit_logistic(reward_map *m, const reward_calibration *c, const double *score,
                         const double *y, int64_t n) {
    double *x = rung_alloc((size_t)n * sizeof *x);
    if (!x) return false;
    for (int64_t i = 0; i < n; i++) x[i] = logit_of(c, score[i]);
    bool ok;
    if (c->method == RUNG_CALIBRATION_PLATT) {
        ok = rung_platt_fit(&m->a, &m->b, x, y, n);
    } else {
        double t = rung_temperature_fit(x, y, n);
        ok = t > 0.0;
        m->a = ok ? 1.0 / t : 1.0;
    }
    rung_free(x);
    return ok;
}

bool reward_map_fit(reward_map *m, const reward_calibration *c, const double *score,
                    const double *y, int64_t n) {
    double right = 0.0;
    *m = (reward_map){.n = n, .a = 1.0};
    for (int64_t i = 0; i < n; i++) right += y[i];
    if (n < 2 || right <= 0.0 || right >= (double)n) return false;
    if (c->method == RUNG_CALIBRATION_NONE) return true;
    if (c->method != RUNG_CALIBRATION_ISOTONIC) return m->fitted = fit_logistic(m, c, score, y, n);
    m->knot = rung_alloc(2 * (size_t)n * sizeof *m->knot);
    m->n_knots = m->knot ? rung_isotonic_fit(m->knot, score, y, n) : -1;
    return m->fitted = m->n_knots > 0;
}

void reward_map_clear(reward_map *m) {
    rung_free(m->knot);
    *m = (reward_map){0};
}

void reward_calibration_clear(reward_calibration *c) {
    reward_map_clear(&c->all);
    for (int i = 0; i < REWARD_POSITIONS; i++) reward_map_clear(&c->at[i]);
    rung_free(c->json);
    *c = (reward_calibration){0};
}

/* JSON ----------------------------------------------------------------------------------------- */

static void print_map(rung_buf *b, const reward_map *m, const reward_calibration *c, int step) {
    rung_buf_printf(b, "{\"n\":%lld", (long long)m->n);
    if (step >= 0) rung_buf_printf(b, ",\"step\":%d", step);
    if (c->method == RUNG_CALIBRATION_TEMPERATURE)
        rung_buf_printf(b, ",\"temperature\":%.17g", 1.0 / m->a);
    if (c->method == RUNG_CALIBRATION_PLATT)
        rung_buf_printf(b, ",\"a\":%.17g,\"b\":%.17g", m->a, m->b);
    if (c->method == RUNG_CALIBRATION_ISOTONIC) {
        rung_buf_str(b, ",\"knots\":[");
        for (int64_t i = 0; i < m->n_knots; i++)
            rung_buf_printf(b, "%s[%.17g,%.17g]", i ? "," : "", m->knot[i].x, m->knot[i].y);
        rung_buf_str(b, "]");
    }
    rung_buf_str(b, "}");
}

void reward_calibration_print(rung_buf *b, const reward_calibration *c) {
    rung_buf_printf(b, "\"method\":\"%s\",\"input\":\"%s\"", names[c->method],
                    c->logit ? "logit" : "probability");
    if (c->all.fitted) {
        rung_buf_str(b, ",\"map\":");
        print_map(b, &c->all, c, -1);
    }
    for (int i = 0, first = 1; i < REWARD_POSITIONS; i++) {
        if (!c->at[i].fitted) continue;
        rung_buf_str(b, first ? ",\"maps\":[" : ",");
        print_map(b, &c->at[i], c, i);
        first = 0;
        bool last = true;
        for (int k = i + 1; k < REWARD_POSITIONS; k++) last = last && !c->at[k].fitted;
        if (last) rung_buf_str(b, "]");
    }
    if (isfinite(c->threshold)) rung_buf_printf(b, ",\"threshold\":%.17g", c->threshold);
    rung_buf_printf(b, ",\"raw_hash\":\"%s\"", c->raw_hash);
}

typedef struct reading {
    const char *path;
    rung_error *err;
} reading;

static rung_status bad(const reading *r, const char *what) {
    rung_fail(r->err, RUNG_E_FORMAT, "\"%s\": its calibration: %s", r->path, what);
    return rung_error_hint(r->err, "calibrate the model again: rung reward calibrate");
}

static rung_status read_knots(reward_map *m, yyjson_val *list, const reading *r) {
    size_t n = yyjson_arr_size(list), i, n_list;
    yyjson_val *v;
    if (n < 1) return bad(r, "an isotonic map without knots");
    m->knot = rung_alloc(n * sizeof *m->knot);
    if (!m->knot) return rung_fail(r->err, RUNG_E_NOMEM, "no memory for %zu knots", n);
    yyjson_arr_foreach(list, i, n_list, v) {
        yyjson_val *x = yyjson_arr_get(v, 0), *y = yyjson_arr_get(v, 1);
        rung_knot k = {yyjson_get_num(x), yyjson_get_num(y)};
        bool rises = i == 0 || (k.x > m->knot[i - 1].x && k.y >= m->knot[i - 1].y);
        if (!yyjson_is_num(x) || !yyjson_is_num(y) || !(k.y >= 0.0 && k.y <= 1.0) || !rises)
            return bad(r, "knots must be pairs of numbers that rise");
        m->knot[i] = k;
    }
    m->n_knots = (int64_t)n;
    return RUNG_OK;
}

static rung_status read_map(reward_map *m, rung_calibration_id method, yyjson_val *o,
                            const reading *r) {
    const double none = (double)NAN;
    m->n = rung_json_i64(o, "n", 0);
    m->a = 1.0;
    m->fitted = true;
    if (method == RUNG_CALIBRATION_ISOTONIC) return read_knots(m, yyjson_obj_get(o, "knots"), r);
    if (method == RUNG_CALIBRATION_TEMPERATURE) {
        double t = rung_json_f64(o, "temperature", none);
        if (!(t > 0.0 && isfinite(t))) return bad(r, "the temperature must be a number above 0");
        m->a = 1.0 / t;
        return RUNG_OK;
    }
    m->a = rung_json_f64(o, "a", none);
    m->b = rung_json_f64(o, "b", none);
    return isfinite(m->a) && isfinite(m->b) ? RUNG_OK : bad(r, "a and b must be numbers");
}

static rung_status read_object(reward_calibration *out, yyjson_val *o, const reading *r) {
    const char *input = rung_json_str(o, "input", "");
    if (!rung_calibration_find(&out->method, rung_json_str(o, "method", "?")))
        return bad(r, "unknown method");
    out->logit = !strcmp(input, "logit");
    if (!out->logit && strcmp(input, "probability")) return bad(r, "unknown input");
    yyjson_val *map = yyjson_obj_get(o, "map"), *v;
    if (map) RUNG_TRY(read_map(&out->all, out->method, map, r));
    if (!map && out->method != RUNG_CALIBRATION_NONE) return bad(r, "no map");
    size_t i, n;
    yyjson_arr_foreach(yyjson_obj_get(o, "maps"), i, n, v) {
        int64_t step = rung_json_i64(v, "step", -1);
        if (step < 0 || step >= REWARD_POSITIONS || out->at[step].fitted)
            return bad(r, "a map of no step, or two of one");
        RUNG_TRY(read_map(&out->at[step], out->method, v, r));
    }
    out->threshold = rung_json_f64(o, "threshold", (double)NAN);
    const char *raw = rung_json_str(o, "raw_hash", "");
    if (strlen(raw) != 32) return bad(r, "no hash of the model without it");
    memcpy(out->raw_hash, raw, 33);
    return RUNG_OK;
}

rung_status reward_calibration_parse(reward_calibration *out, const char *json, const char *path,
                                     rung_error *err) {
    reading r = {path, err};
    *out = (reward_calibration){.threshold = (double)NAN};
    yyjson_doc *doc = yyjson_read(json, strlen(json), 0);
    rung_status st = yyjson_is_obj(yyjson_doc_get_root(doc))
                         ? read_object(out, yyjson_doc_get_root(doc), &r)
                         : bad(&r, "no JSON object");
    yyjson_doc_free(doc);
    if (st == RUNG_OK) {
        out->json = rung_strdup(json);
        if (!out->json) st = rung_fail(err, RUNG_E_NOMEM, "no memory for a calibration");
    }
    if (st != RUNG_OK) reward_calibration_clear(out);
    return st;
}
