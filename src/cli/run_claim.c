/* What a recipe claims: the figure of its arms, the interval, the verdict (design: claims). */
#include "cli/run_claim.h"
#include "base/json.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_BOOT = 4000 };

/* Two methods of one bench answer? STAGE/METHOD are methods of two. */
static bool is_answer(const recipe_claim *k) {
    if (k->metric && strcmp(k->metric, "answer") != 0) return false;
    return !strchr(k->arm, '/');
}

/* ---- stages */

/* The stage of this name in a round; one that is the same for every seed was run in round 0. */
static cli_call *stage_named(recipe *r, const char *name, int round) {
    size_t n = strlen(name), per_round = r->n_stages / (size_t)r->n_seeds;
    for (int at = round; at >= 0; at = at > 0 ? 0 : -1) {
        for (size_t i = 0; i < per_round; i++) {
            recipe_stage *s = &r->stage[(size_t)at * per_round + i];
            const cli_value *v = cli_value_find(&s->call, "name");
            if (s->skip || !v || strncmp(v->text, name, n) != 0) continue;
            if (v->text[n] == 0 || v->text[n] == '@') return &s->call;
        }
    }
    return NULL;
}

/* The last bench answer of a round. */
static cli_call *answers_of(recipe *r, int round) {
    cli_call *c = NULL;
    for (size_t i = 0; i < r->n_stages; i++) {
        recipe_stage *s = &r->stage[i];
        bool ran = !s->skip && s->call.cmd->fn == cli_bench_answer && s->call.result.n > 0;
        if (ran && s->round == round) c = &s->call;
    }
    return c;
}

/* ---- answers: one bench answer holds both arms */

/* The claim's comparison in the object of bench answer: methods[name].vs[over]. */
static yyjson_val *comparison(yyjson_val *root, const recipe_claim *k) {
    yyjson_arr_iter it = yyjson_arr_iter_with(yyjson_obj_get(root, "methods"));
    for (yyjson_val *m; (m = yyjson_arr_iter_next(&it)) != NULL;) {
        const char *name = yyjson_get_str(yyjson_obj_get(m, "name"));
        if (name && strcmp(name, k->arm) == 0) {
            return yyjson_obj_get(yyjson_obj_get(m, "vs"), k->over);
        }
    }
    return NULL;
}

/* One seed: as its bench answer says. */
static void answer_of_one(run_claim *out, recipe *r, const recipe_claim *k) {
    cli_call *c = answers_of(r, 0);
    yyjson_doc *doc = c ? yyjson_read(c->result.data, c->result.n, 0) : NULL;
    yyjson_val *root = yyjson_doc_get_root(doc), *vs = root ? comparison(root, k) : NULL;
    yyjson_val *ci = yyjson_obj_get(vs, "ci95");
    bool both = yyjson_arr_size(ci) == 2 && yyjson_is_num(yyjson_arr_get(ci, 0)) &&
                yyjson_is_num(yyjson_arr_get(ci, 1));
    out->n_items = rung_json_i64(root, "n_problems", 0);
    out->z.diff = out->z.seed_diff[0] = rung_json_f64(vs, "diff", (double)NAN);
    if (both)
        out->z.ci = (rung_interval){yyjson_get_num(yyjson_arr_get(ci, 0)),
                                    yyjson_get_num(yyjson_arr_get(ci, 1))};
    out->found = vs != NULL;
    out->n_seeds = 1;
    yyjson_doc_free(doc);
}

static rung_status answer_of_all(run_claim *out, recipe *r, const recipe_claim *k,
                                 rung_error *err) {
    rung_answer_diff *diff[RECIPE_MAX_SEEDS] = {0};
    rung_arm arm[RECIPE_MAX_SEEDS] = {{0}};
    int64_t n[RECIPE_MAX_SEEDS] = {0};
    rung_status st = RUNG_OK;
    rung_seeds seeds;
    for (int j = 0; j < r->n_seeds && st == RUNG_OK; j++) {
        cli_call *c = answers_of(r, j);
        if (!c) goto out; /* nothing of it depends on the seed */
        st = cli_answer_diffs(&diff[j], &n[j], c, k->arm, k->over, err);
        for (int64_t i = 0; i < n[j] && st == RUNG_OK; i++)
            st = rung_arm_push(&arm[j], (uint64_t)diff[j][i].problem, diff[j][i].diff, 1.0, err);
    }
    uint64_t seed = strtoull(r->seed[0], NULL, 10);
    if (st == RUNG_OK) st = rung_bench_seeds(&seeds, diff, n, r->n_seeds, seed, err);
    if (st == RUNG_OK)
        st = rung_arms_compare(&out->z, RUNG_ARM_RATIO, arm, NULL, 0.0, r->n_seeds, N_BOOT, seed,
                               err);
    if (st == RUNG_OK) { /* of the problems that every seed has */
        out->z.diff = seeds.diff;
        out->z.seed_sd = seeds.seed_sd;
        memcpy(out->z.seed_diff, seeds.seed_diff, sizeof out->z.seed_diff);
        out->n_items = seeds.n_problems;
        out->n_left_out = seeds.n_left_out;
        out->n_seeds = r->n_seeds;
        out->found = true;
    }
out:
    for (int j = 0; j < r->n_seeds; j++) {
        rung_free(diff[j]);
        rung_arm_clear(&arm[j]);
    }
    return st;
}

/* ---- arms that are stages of their own */

/* Is `over` a number? Then the arm is held against it. */
static bool constant_of(double *out, const char *text) {
    char *end;
    *out = strtod(text, &end);
    return end != text && *end == 0;
}

/* STAGE/METHOD: what the method of this bench answer gains over a single sample, problem by
 * problem. */
static rung_status gain_of(rung_arm *out, cli_call *c, const char *method, rung_error *err) {
    rung_answer_diff *diff = NULL;
    int64_t n = 0;
    if (c->cmd->fn != cli_bench_answer)
        return rung_fail(err, RUNG_E_INVAL, "claim: a method \"%s\" of %s %s, not of bench answer",
                         method, c->cmd->noun, c->cmd->verb);
    rung_status st = cli_answer_diffs(&diff, &n, c, method, "single", err);
    for (int64_t i = 0; i < n && st == RUNG_OK; i++)
        st = rung_arm_push(out, (uint64_t)diff[i].problem, diff[i].diff, 1.0, err);
    rung_free(diff);
    return st;
}

static rung_status arm_of(rung_arm *out, rung_arm_metric *how, recipe *r, const char *name,
                          int round, const char *metric, rung_error *err) {
    char stage[128];
    size_t n = strcspn(name, "/");
    snprintf(stage, sizeof stage, "%.*s", (int)n, name);
    cli_call *c = stage_named(r, stage, round);
    if (!c)
        return rung_fail(err, RUNG_E_INVAL, "claim: no stage is named \"%s\" in this setting",
                         stage);
    if (!name[n]) return cli_arm_of(out, how, c, metric ? metric : "answer", err);
    *how = RUNG_ARM_RATIO;
    return gain_of(out, c, name + n + 1, err);
}

static rung_status arms_of(run_claim *out, recipe *r, const recipe_claim *k, rung_error *err) {
    rung_arm arm[2][RECIPE_MAX_SEEDS] = {{{0}}};
    rung_arm_metric how = RUNG_ARM_RATIO;
    double constant;
    bool against = constant_of(&constant, k->over);
    const char *over = k->over_metric ? k->over_metric : k->metric;
    rung_status st = RUNG_OK;
    for (int j = 0; j < r->n_seeds && st == RUNG_OK; j++) {
        st = arm_of(&arm[0][j], &how, r, k->arm, j, k->metric, err);
        if (st == RUNG_OK && !against) st = arm_of(&arm[1][j], &how, r, k->over, j, over, err);
    }
    if (st == RUNG_OK)
        st = rung_arms_compare(&out->z, how, arm[0], against ? NULL : arm[1], constant, r->n_seeds,
                               N_BOOT, strtoull(r->seed[0], NULL, 10), err);
    if (st == RUNG_OK) {
        out->n_items = out->z.n_clusters;
        out->n_seeds = r->n_seeds;
        out->found = out->has_arms = true;
    }
    for (int side = 0; side < 2; side++)
        for (int j = 0; j < r->n_seeds; j++) rung_arm_clear(&arm[side][j]);
    return st;
}

/* ---- what the arms cost */

/* Sum over the named stages (a,b,c) of a number of their result, mean over seeds. NaN: not known.
 */
static double spent(recipe *r, const char *stages, const char *key) {
    double sum = 0.0;
    for (int j = 0; stages && j < r->n_seeds; j++) {
        for (const char *p = stages; *p;) {
            char name[128];
            size_t n = strcspn(p, ", ");
            snprintf(name, sizeof name, "%.*s", (int)n, p);
            cli_call *c = n ? stage_named(r, name, j) : NULL;
            yyjson_doc *doc = c ? yyjson_read(c->result.data, c->result.n, 0) : NULL;
            if (n) sum += rung_json_f64(yyjson_doc_get_root(doc), key, (double)NAN);
            yyjson_doc_free(doc);
            p += n + strspn(p + n, ", ");
        }
    }
    return stages ? sum / r->n_seeds : (double)NAN;
}

/* ---- the whole */

rung_status run_claim_measure(run_claim *out, recipe *r, const recipe_claim *k, rung_error *err) {
    *out = (run_claim){.n_seeds = 1};
    out->z.ci = (rung_interval){(double)NAN, (double)NAN};
    out->z.seed_sd = out->z.diff = (double)NAN;
    out->cost[0] = out->cost[1] = (double)NAN;
    if (!k->arm) return RUNG_OK;
    if (k->equal_key) {
        out->cost[0] = spent(r, k->equal_arm, k->equal_key);
        out->cost[1] = spent(r, k->equal_over, k->equal_key);
    }
    if (!is_answer(k)) return arms_of(out, r, k, err);
    answer_of_one(out, r, k);
    if (out->found && r->n_seeds == 1) return RUNG_OK;
    rung_error none = RUNG_ERROR_INIT; /* a pair of methods that is not in the object */
    rung_status st = answer_of_all(out, r, k, &none);
    if (st == RUNG_E_NOT_FOUND) return out->found = false, RUNG_OK;
    if (st != RUNG_OK && err) *err = none;
    return st;
}

const char *run_claim_verdict(const run_claim *m, const recipe_claim *k, bool quick) {
    double lo = k->lower ? -m->z.ci.hi : m->z.ci.lo, hi = k->lower ? -m->z.ci.lo : m->z.ci.hi;
    if (quick) return "quick";
    if (isnan(lo) || isnan(hi)) return "too noisy to say";
    if (k->same) {
        if (lo >= -k->margin && hi <= k->margin) return "holds";
        return lo > k->margin || hi < -k->margin ? "does not hold" : "too noisy to say";
    }
    if (lo > k->margin) return "holds";
    return hi <= k->margin ? "does not hold" : "too noisy to say";
}

static void put_text(rung_buf *b, const char *key, const char *text) {
    if (!text) return;
    rung_buf_printf(b, ",\"%s\":", key);
    rung_buf_json_str(b, text, strlen(text));
}

void run_claim_put(rung_buf *b, const run_claim *m, const recipe *r, const recipe_claim *k) {
    put_text(b, "text", k->text);
    if (m->found) {
        rung_buf_printf(b, ",\"verdict\":\"%s\",\"metric\":\"", run_claim_verdict(m, k, r->quick));
        if (!is_answer(k)) rung_buf_printf(b, "%s: ", k->metric);
        rung_buf_printf(b, "%s over %s", k->arm, k->over);
        if (k->over_metric) rung_buf_printf(b, " (%s)", k->over_metric);
        rung_buf_str(b, "\"");
    } else {
        rung_buf_printf(b, ",\"verdict\":%s,\"metric\":null", r->quick ? "\"quick\"" : "null");
    }
    cli_put_real(b, "diff", m->z.diff);
    if (isfinite(m->z.ci.lo) && isfinite(m->z.ci.hi))
        rung_buf_printf(b, ",\"ci95\":[%.9g,%.9g]", m->z.ci.lo, m->z.ci.hi);
    else
        rung_buf_str(b, ",\"ci95\":null");
    if (m->has_arms) {
        cli_put_real(b, "arm", m->z.arm);
        cli_put_real(b, "over", m->z.over);
    }
    rung_buf_printf(b, ",\"direction\":\"%s\"", k->same ? "same" : k->lower ? "lower" : "higher");
    cli_put_real(b, "margin", k->margin);
    put_text(b, "equal", k->equal);
    if (k->equal_key) {
        cli_put_real(b, "cost_arm", m->cost[0]);
        cli_put_real(b, "cost_over", m->cost[1]);
    }
    cli_put_real(b, "n_problems", m->n_items > 0 ? (double)m->n_items : (double)NAN);
    rung_buf_printf(b, ",\"n_seeds\":%d", m->n_seeds);
    if (m->n_seeds < 2) return;
    rung_buf_str(b, ",\"by_seed\":[");
    for (int j = 0; j < m->n_seeds; j++) {
        rung_buf_printf(b, "%s{\"seed\":%s", j ? "," : "", r->seed[j]);
        cli_put_real(b, "diff", m->z.seed_diff[j]);
        rung_buf_str(b, "}");
    }
    rung_buf_printf(b, "],\"n_problems_left_out\":%lld", (long long)m->n_left_out);
    cli_put_real(b, "seed_sd", m->z.seed_sd);
}

/* Shares and correlations in points, counts as they are. */
static const char *unit_of(const recipe_claim *k) {
    if (!k->metric) return "points";
    bool counts = strcmp(k->metric, "labels") == 0 || strcmp(k->metric, "answers") == 0;
    return counts ? "per problem" : "points";
}

static double shown(const recipe_claim *k, double v) {
    return strcmp(unit_of(k), "points") == 0 ? 100.0 * v : v;
}

void run_claim_say(cli_app *app, const run_claim *m, const recipe *r, const recipe_claim *k) {
    const char *unit = unit_of(k);
    cli_say(app, "claim: %s", k->text ? k->text : r->id);
    if (!m->found) return;
    const char *verdict = run_claim_verdict(m, k, r->quick);
    if (m->has_arms)
        cli_say(app, "  %s: %s %.1f, %s %.1f", k->metric, k->arm, shown(k, m->z.arm), k->over,
                shown(k, m->z.over));
    cli_say(app, "  %s over %s: %+.1f %s [%+.1f, %+.1f] on %lld problems: %s", k->arm, k->over,
            shown(k, m->z.diff), unit, shown(k, m->z.ci.lo), shown(k, m->z.ci.hi),
            (long long)m->n_items, r->quick ? "quick: no verdict" : verdict);
    if (isfinite(m->cost[0]) && isfinite(m->cost[1])) {
        cli_say(app, "  %s: %.0f and %.0f a seed", k->equal ? k->equal : k->equal_key, m->cost[0],
                m->cost[1]);
        if (fabs(m->cost[0] - m->cost[1]) > 0.1 * fmax(m->cost[0], m->cost[1]))
            cli_say(app, "  the arms differ in cost by more than a tenth");
    }
    if (m->n_seeds < 2) return;
    char each[1024];
    size_t at = 0;
    for (int j = 0; j < m->n_seeds && at < sizeof each; j++) {
        int n = snprintf(each + at, sizeof each - at, "%s%s: %+.1f", j ? ", " : "", r->seed[j],
                         shown(k, m->z.seed_diff[j]));
        at += n > 0 ? (size_t)n : 0;
    }
    cli_say(app, "  by seed %s; standard deviation between seeds %.1f", each,
            shown(k, m->z.seed_sd));
}

rung_status run_claim_object(rung_buf *b, cli_app *app, recipe *r, int64_t tokens, double wall_s,
                             double cpu_s, rung_error *err) {
    run_claim m;
    char hash[33];
    RUNG_TRY(run_claim_measure(&m, r, &r->claim, err));
    rung_buf_str(b, "{\"v\":1,\"claim\":");
    rung_buf_json_str(b, r->id, strlen(r->id));
    run_claim_put(b, &m, r, &r->claim);
    if (m.found || r->claim.text) run_claim_say(app, &m, r, &r->claim);
    if (r->n_checks > 0) rung_buf_str(b, ",\"checks\":[");
    for (int i = 0; i < r->n_checks; i++) {
        run_claim x;
        RUNG_TRY(run_claim_measure(&x, r, &r->check[i], err));
        rung_buf_str(b, i ? ",{\"v\":1" : "{\"v\":1");
        run_claim_put(b, &x, r, &r->check[i]);
        rung_buf_str(b, "}");
        run_claim_say(app, &x, r, &r->check[i]);
    }
    if (r->n_checks > 0) rung_buf_str(b, "]");
    RUNG_TRY(recipe_hash(hash, r, err));
    rung_buf_printf(b,
                    ",\"recipe\":\"%s\",\"set\":%s,\"tokens\":%lld,\"wall_s\":%.3f,\"cpu_s\":%.3f}",
                    hash, r->changed ? "true" : "false", (long long)tokens, wall_s, cpu_s);
    return rung_buf_check(b, err);
}
