/* Chains of operations: drawing, rendering, and the exact checker (labels.md 0.3, neural form). */
#include "base/json.h"
#include "problem/world.h"
#include <string.h>

enum {
    TOTAL_SANE = 999999999
}; /* nine digits: what a line may hold; keeps meta from overflowing */
static const double TIMES_SHARE = 0.10; /* share of x among the operations, where one fits */

rung_status chain_opts_fill(chain_opts *out, const rung_world_opts *o, int32_t steps_min,
                            int32_t steps_max, rung_error *err) {
    *out = (chain_opts){0, steps_min, steps_max, 99, -1.0, OPERAND_DEFAULT};
    if (!o) return RUNG_OK;
    if (o->struct_size > sizeof *o)
        return rung_fail(err, RUNG_E_INVAL, "world options of a newer library");
    out->seed = o->seed;
    if (o->steps_min > 0) out->steps_min = o->steps_min;
    if (o->steps_max > 0) out->steps_max = o->steps_max;
    if (o->steps_max <= 0 && out->steps_max < out->steps_min) out->steps_max = out->steps_min;
    if (o->steps_min <= 0 && out->steps_min > out->steps_max) out->steps_min = out->steps_max;
    if (o->max > 0) out->max = o->max;
    out->hard = o->hard;
    if (o->operand_max > 0) out->operand_max = o->operand_max;
    if (out->operand_max < 9 || out->operand_max > OPERAND_LIMIT || o->operand_max < 0)
        return rung_fail(err, RUNG_E_INVAL, "world operands up to %d: need 9..%d", out->operand_max,
                         OPERAND_LIMIT);
    if (out->steps_min > out->steps_max || out->steps_max > CHAIN_OPS_MAX || o->steps_min < 0 ||
        o->steps_max < 0)
        return rung_fail(err, RUNG_E_INVAL, "world steps %d..%d: need 1 <= min <= max <= %d",
                         out->steps_min, out->steps_max, CHAIN_OPS_MAX);
    if (out->max < 20 || out->max > CHAIN_TOTAL_MAX || o->max < 0)
        return rung_fail(err, RUNG_E_INVAL, "world max %d: need 20..%d", out->max, CHAIN_TOTAL_MAX);
    if (!(out->hard <= 1.0)) /* NaN too */
        return rung_fail(err, RUNG_E_INVAL, "world hard share %g: need at most 1", out->hard);
    return RUNG_OK;
}

int64_t chain_apply(int64_t a, char o, int64_t b) {
    return o == '+' ? a + b : o == '-' ? a - b : a * b;
}

bool chain_is_hard(int64_t a, char o, int64_t b) {
    if (a < 0 || b < 0 || b % 10 != 9) return false;
    if (o == '+') return a % 10 + b % 10 >= 10;
    if (o == '-') return a % 10 < b % 10;
    return false;
}

bool rung_world_is_hard(const char *text, size_t n_bytes) {
    line l = line_parse(text, n_bytes);
    return l.kind == LINE_OP && chain_is_hard(l.a, l.o, l.b);
}

/* Operands b of a o b with result in 0..w->max; want 1 hard, 0 not hard, -1 either. Returns count.
 */
static int32_t operands(int32_t *out, int32_t a, char o, const chain_opts *w, int want) {
    int32_t lo = o == 'x' ? TIMES_MIN : OPERAND_MIN, n = 0;
    int32_t hi = o == 'x' ? TIMES_MAX : w->operand_max, max = w->max;
    for (int32_t b = lo; b <= hi; b++) {
        int64_t c = chain_apply(a, o, b);
        if (c < 0 || c > max || (o == 'x' && a == 0)) continue;
        if (want >= 0 && chain_is_hard(a, o, b) != (want == 1)) continue;
        out[n++] = b;
    }
    return n;
}

static chain_op draw_op(rung_rng *r, int32_t a, const chain_opts *o) {
    int32_t b[OPERAND_LIMIT + 1], b2[OPERAND_LIMIT + 1];
    int want = o->hard < 0 ? -1 : rung_rng_f64(r) < o->hard;
    if (want != 1 && rung_rng_f64(r) < TIMES_SHARE) {
        int32_t n = operands(b, a, 'x', o, -1);
        if (n > 0) return (chain_op){'x', b[rung_rng_below(r, (uint64_t)n)]};
    }
    int32_t n_add = operands(b, a, '+', o, want), n_sub = operands(b2, a, '-', o, want);
    if (n_add + n_sub == 0) { /* none of that class from here: any */
        n_add = operands(b, a, '+', o, -1);
        n_sub = operands(b2, a, '-', o, -1);
    }
    bool add = n_sub == 0 || (n_add > 0 && rung_rng_f64(r) < 0.5);
    return add ? (chain_op){'+', b[rung_rng_below(r, (uint64_t)n_add)]}
               : (chain_op){'-', b2[rung_rng_below(r, (uint64_t)n_sub)]};
}

void chain_draw(chain *c, rung_rng *r, const chain_opts *o) {
    memset(c, 0, sizeof *c);
    c->n = (int32_t)rung_rng_between(r, o->steps_min, o->steps_max);
    c->start = (int32_t)rung_rng_between(r, OPERAND_MIN, o->max);
    int32_t a = c->start;
    for (int32_t t = 0; t < c->n; t++) {
        c->op[t] = draw_op(r, a, o);
        a = (int32_t)chain_apply(a, c->op[t].o, c->op[t].b);
    }
}

int64_t chain_total(const chain *c, int32_t n_ops) {
    int64_t a = c->start;
    for (int32_t t = 0; t < n_ops; t++) a = chain_apply(a, c->op[t].o, c->op[t].b);
    return a;
}

void chain_solution(rung_buf *out, const chain *c) {
    int64_t a = c->start;
    for (int32_t t = 0; t < c->n; t++) {
        int64_t next = chain_apply(a, c->op[t].o, c->op[t].b);
        rung_buf_printf(out, "%lld%c%d=%lld\n", (long long)a, c->op[t].o, c->op[t].b,
                        (long long)next);
        a = next;
    }
    rung_buf_printf(out, "#### %lld\n", (long long)a);
}

void chain_meta(rung_buf *out, const chain *c, const char *world, const chain_opts *o, uint64_t i) {
    rung_buf_printf(out, "{\"v\":1,\"world\":\"%s\",\"seed\":%llu,\"i\":%llu,\"max\":%d,", world,
                    (unsigned long long)o->seed, (unsigned long long)i, o->max);
    rung_buf_printf(out, "\"start\":%d,\"ops\":[", c->start);
    for (int32_t t = 0; t < c->n; t++)
        rung_buf_printf(out, "%s\"%c%d\"", t ? "," : "", c->op[t].o, c->op[t].b);
    rung_buf_str(out, "],\"hard\":[");
    int64_t a = c->start;
    for (int32_t t = 0, k = 0; t < c->n; t++) {
        if (chain_is_hard(a, c->op[t].o, c->op[t].b))
            rung_buf_printf(out, "%s%d", k++ ? "," : "", t);
        a = chain_apply(a, c->op[t].o, c->op[t].b);
    }
    rung_buf_str(out, "],\"distract\":[");
    for (int32_t k = 0; k < c->n_distract; k++)
        rung_buf_printf(out, "%s%d", k ? "," : "", c->distract[k]);
    rung_buf_str(out, "]}");
}

/* Digits without a leading zero, at most 9 of them. */
static bool number(int64_t *out, const char **p, const char *end, bool sign) {
    const char *s = *p;
    bool neg = sign && s < end && *s == '-';
    if (neg) s++;
    const char *first = s;
    int64_t v = 0;
    while (s < end && *s >= '0' && *s <= '9' && s - first < 10) v = v * 10 + (*s++ - '0');
    if (s == first || s - first > 9 || (*first == '0' && (s - first > 1 || neg))) return false;
    *out = neg ? -v : v;
    *p = s;
    return true;
}

static bool blank(char ch) {
    return ch == ' ' || ch == '\n' || ch == '\r' || ch == '\t';
}

line line_parse(const char *text, size_t n) {
    const char *p = text, *end = text + n;
    line bad = {LINE_BAD, 0, 0, 0, 0}, l = bad;
    while (p < end && blank(*p)) p++;
    while (end > p && blank(end[-1])) end--;
    if (end - p > 5 && memcmp(p, "#### ", 5) == 0) {
        p += 5;
        if (!number(&l.c, &p, end, true) || p != end) return bad;
        l.kind = LINE_FINAL;
        return l;
    }
    if (!number(&l.a, &p, end, true) || p == end) return bad;
    l.o = *p++;
    if (l.o != '+' && l.o != '-' && l.o != 'x') return bad;
    if (!number(&l.b, &p, end, false) || p == end || *p++ != '=') return bad;
    if (!number(&l.c, &p, end, true) || p != end) return bad;
    l.kind = LINE_OP;
    return l;
}

rung_status chain_from_meta(chain *c, const char *world, const char *meta, rung_error *err) {
    /* without YYJSON_READ_INSITU the text is only read */
    char *text = (char *)(uintptr_t)(meta ? meta : "");
    yyjson_doc *doc = yyjson_read_opts(text, strlen(text), 0, &rung_json_alc, NULL);
    yyjson_val *root = yyjson_doc_get_root(doc), *ops = yyjson_obj_get(root, "ops"), *op;
    yyjson_val *start = yyjson_obj_get(root, "start");
    const char *name = yyjson_get_str(yyjson_obj_get(root, "world"));
    rung_status st = RUNG_OK;
    memset(c, 0, sizeof *c);
    if (!name || strcmp(name, world) != 0 || !yyjson_is_int(start) || !yyjson_is_arr(ops) ||
        yyjson_arr_size(ops) > CHAIN_OPS_MAX)
        goto bad;
    int64_t total = yyjson_get_sint(start);
    if (total < 0 || total > CHAIN_TOTAL_MAX) goto bad;
    c->start = (int32_t)total;
    size_t k, n;
    yyjson_arr_foreach(ops, k, n, op) {
        const char *s = yyjson_get_str(op);
        int64_t b;
        if (!s || (s[0] != '+' && s[0] != '-' && s[0] != 'x')) goto bad;
        const char *p = s + 1, *end = s + strlen(s);
        if (!number(&b, &p, end, false) || p != end || b > CHAIN_TOTAL_MAX) goto bad;
        total = chain_apply(total, s[0], b);
        if (total < -TOTAL_SANE || total > TOTAL_SANE) goto bad;
        c->op[c->n++] = (chain_op){s[0], (int32_t)b};
    }
    goto out;
bad:
    st = rung_fail(err, RUNG_E_FORMAT, "problem meta is not world %s's", world);
    rung_error_detail(err, "%.200s", meta ? meta : "(null)");
out:
    yyjson_doc_free(doc);
    return st;
}

rung_status chain_first_error(int32_t *out, const chain *c, const char *const *step,
                              const int32_t *n_bytes, int32_t n_steps, rung_error *err) {
    if (n_steps < 0 || (n_steps > 0 && (!step || !n_bytes)))
        return rung_fail(err, RUNG_E_INVAL, "first_error: no steps given");
    int64_t total = c->start, final = chain_total(c, c->n);
    int32_t t = 0;
    bool closed = false;
    for (int32_t i = 0; i < n_steps; i++) {
        line l = line_parse(step[i], n_bytes[i] > 0 ? (size_t)n_bytes[i] : 0);
        bool right = false;
        if (l.kind == LINE_OP && !closed && t < c->n) {
            chain_op op = c->op[t++];
            int64_t next = chain_apply(total, op.o, op.b);
            right = l.a == total && l.o == op.o && l.b == op.b && l.c == next;
            total = next;
        } else if (l.kind == LINE_FINAL && !closed) {
            right = l.c == final;
            closed = true;
        }
        if (!right) {
            *out = i;
            return RUNG_OK;
        }
    }
    *out = -1;
    return RUNG_OK;
}
