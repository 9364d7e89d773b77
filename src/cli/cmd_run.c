/* rung run RECIPE: its stages in this process, one store, then the report and a closing table. */
#include "base/json.h"
#include "cli/recipe.h"
#include "cli/session.h"
#include "rung/bench.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const cli_opt run_opts[] = {
    OPT_PATH("recipe", "", CLI_NOTE, "the recipe, a YAML file"),
    OPT_BOOL("quick", "false", CLI_KEY, "the small setting: the recipe's quick: values"),
    {"set", CLI_LIST, "", "KEY=VALUE", 0, 0, NULL, CLI_KEY,
     "another value for a variable of the recipe; may be given again", NULL},
    OPT_STR("seeds", "", "N|LIST", CLI_KEY,
            "run what depends on the seed with N seeds from the recipe's own on, or with these "
            "(1,5,9); "
            "empty = the recipe's seeds:, one with --quick"),
    OPT_PATH(
        "out", "", CLI_NOTE,
        "folder for the report and the models, empty = out/NAME of the recipe, out/NAME-quick with "
        "--quick; the store is OUT/rung.db unless --store names one"),
    OPT_BOOL("report", "true", CLI_FREE, "write OUT/report.html at the end"),
    OPT_BOOL("check", "false", CLI_FREE, "read and check the recipe, run nothing"),
};
const cli_group cli_run_group = CLI_GROUP_OF("recipe", run_opts);

typedef struct show {
    cli_call *c;
    recipe r;
    char out[2048], report[2200];
    const char *answer;                   /* result of the last bench answer stage */
    cli_call *measured[RECIPE_MAX_SEEDS]; /* that stage of each seed */
    int64_t tokens;
    rung_run run;
    double t0;
} show;

static rung_status make_folder(const char *path, rung_error *err) {
    char part[2048];
    snprintf(part, sizeof part, "%s", path);
    for (char *p = part + 1;; p++) {
        if (*p && *p != '/') continue;
        char keep = *p;
        *p = 0;
        if (mkdir(part, 0777) != 0 && errno != EEXIST) {
            return rung_fail_errno(err, "could not make folder %s", part);
        }
        if (!keep) return RUNG_OK;
        *p = keep;
    }
}

/* The claim's comparison in the object of bench answer: methods[name].vs[over]. */
static yyjson_val *comparison(yyjson_val *root, const recipe_claim *k) {
    yyjson_arr_iter it = yyjson_arr_iter_with(yyjson_obj_get(root, "methods"));
    for (yyjson_val *m; (m = yyjson_arr_iter_next(&it)) != NULL;) {
        const char *name = yyjson_get_str(yyjson_obj_get(m, "name"));
        if (name && strcmp(name, k->method) == 0) {
            return yyjson_obj_get(yyjson_obj_get(m, "vs"), k->over);
        }
    }
    return NULL;
}

/* lo and hi of the difference against the margin (design 7). */
static const char *verdict_of(const recipe *r, rung_interval ci) {
    if (r->quick) return "quick";
    if (isnan(ci.lo) || isnan(ci.hi)) return "too noisy to say";
    if (ci.lo > r->claim.margin) return "holds";
    return ci.hi <= r->claim.margin ? "does not hold" : "too noisy to say";
}

/* One seed: as its bench answer says. */
static bool claim_of_one(rung_seeds *out, const show *w) {
    yyjson_doc *doc = w->answer ? yyjson_read(w->answer, strlen(w->answer), 0) : NULL;
    yyjson_val *root = yyjson_doc_get_root(doc), *vs = root ? comparison(root, &w->r.claim) : NULL;
    yyjson_val *ci = yyjson_obj_get(vs, "ci95");
    *out = (rung_seeds){.seed_sd = (double)NAN};
    out->n_problems = rung_json_i64(root, "n_problems", 0);
    out->diff = out->seed_diff[0] = rung_json_f64(vs, "diff", (double)NAN);
    bool both = yyjson_arr_size(ci) == 2 && yyjson_is_num(yyjson_arr_get(ci, 0)) &&
                yyjson_is_num(yyjson_arr_get(ci, 1));
    out->ci.lo = both ? yyjson_get_num(yyjson_arr_get(ci, 0)) : (double)NAN;
    out->ci.hi = both ? yyjson_get_num(yyjson_arr_get(ci, 1)) : (double)NAN;
    bool found = vs != NULL;
    yyjson_doc_free(doc);
    return found;
}

/* Several: the problems' differences once more from the rows, seeds averaged inside a problem. */
static rung_status claim_of_all(rung_seeds *out, bool *found, const show *w, rung_error *err) {
    rung_answer_diff *diff[RECIPE_MAX_SEEDS] = {0};
    int64_t n[RECIPE_MAX_SEEDS] = {0};
    rung_status st = RUNG_OK;
    *found = false;
    for (int k = 0; k < w->r.n_seeds && st == RUNG_OK; k++) {
        if (!w->measured[k]) goto out; /* nothing of it depends on the seed */
        st = cli_answer_diffs(&diff[k], &n[k], w->measured[k], w->r.claim.method, w->r.claim.over,
                              err);
    }
    if (st == RUNG_OK) {
        uint64_t seed = strtoull(w->r.seed[0], NULL, 10);
        st = rung_bench_seeds(out, diff, n, w->r.n_seeds, seed, err);
        *found = st == RUNG_OK;
    }
out:
    for (int k = 0; k < w->r.n_seeds; k++) rung_free(diff[k]);
    return st;
}

static void say_claim(const show *w, const rung_seeds *d, int n_seeds) {
    cli_app *app = w->c->app;
    cli_say(app, "claim: %s", w->r.claim.text ? w->r.claim.text : w->r.id);
    cli_say(app, "  %s over %s: %+.1f points [%+.1f, %+.1f] on %lld problems: %s",
            w->r.claim.method, w->r.claim.over, 100.0 * d->diff, 100.0 * d->ci.lo, 100.0 * d->ci.hi,
            (long long)d->n_problems, verdict_of(&w->r, d->ci));
    if (n_seeds < 2) return;
    char each[512];
    size_t at = 0;
    for (int k = 0; k < n_seeds && at < sizeof each; k++) {
        int n = snprintf(each + at, sizeof each - at, "%s%s: %+.1f", k ? ", " : "", w->r.seed[k],
                         100.0 * d->seed_diff[k]);
        at += n > 0 ? (size_t)n : 0;
    }
    cli_say(app, "  by seed %s; standard deviation between seeds %.1f", each, 100.0 * d->seed_sd);
}

static void put_real(rung_buf *b, double v) {
    if (isfinite(v))
        rung_buf_printf(b, "%.9g", v);
    else
        rung_buf_str(b, "null");
}

static rung_status closing_object(show *w, rung_error *err) {
    rung_buf *b = &w->c->result;
    rung_seeds d = {.diff = (double)NAN, .ci = {(double)NAN, (double)NAN}};
    bool found = false;
    int n_seeds = 1;
    if (w->r.claim.method) found = claim_of_one(&d, w);
    if (found && w->r.n_seeds > 1) {
        bool several = false;
        rung_seeds all;
        RUNG_TRY(claim_of_all(&all, &several, w, err));
        if (several) d = all, n_seeds = w->r.n_seeds;
    }
    rung_buf_str(b, "{\"v\":1,\"claim\":");
    rung_buf_json_str(b, w->r.id, strlen(w->r.id));
    if (found) {
        rung_buf_printf(b, ",\"verdict\":\"%s\",\"metric\":\"%s over %s\"", verdict_of(&w->r, d.ci),
                        w->r.claim.method, w->r.claim.over);
    } else {
        rung_buf_printf(b, ",\"verdict\":%s,\"metric\":null", w->r.quick ? "\"quick\"" : "null");
    }
    rung_buf_str(b, ",\"diff\":");
    put_real(b, found ? d.diff : (double)NAN);
    if (found && isfinite(d.ci.lo) && isfinite(d.ci.hi)) {
        rung_buf_printf(b, ",\"ci95\":[%.9g,%.9g]", d.ci.lo, d.ci.hi);
    } else {
        rung_buf_str(b, ",\"ci95\":null");
    }
    rung_buf_str(b, ",\"n_problems\":");
    put_real(b, d.n_problems > 0 ? (double)d.n_problems : (double)NAN);
    rung_buf_printf(b, ",\"n_seeds\":%d", n_seeds);
    if (n_seeds > 1) {
        rung_buf_str(b, ",\"by_seed\":[");
        for (int k = 0; k < n_seeds; k++) {
            rung_buf_printf(b, "%s{\"seed\":%s,\"diff\":", k ? "," : "", w->r.seed[k]);
            put_real(b, d.seed_diff[k]);
            rung_buf_str(b, "}");
        }
        rung_buf_printf(b, "],\"n_problems_left_out\":%lld,\"seed_sd\":", (long long)d.n_left_out);
        put_real(b, d.seed_sd);
    }
    rung_buf_printf(b, ",\"tokens\":%lld,\"wall_s\":%.3f}", (long long)w->tokens,
                    rung_now() - w->t0);
    if (found) say_claim(w, &d, n_seeds);
    return rung_buf_check(b, err);
}

/* ---- stages */

static void stage_title(char *buf, size_t n, const recipe_stage *s) {
    static const char *const telling[] = {"name", "out", "world", "kind", "file", "set", "method"};
    char cmd[64], extra[128] = "";
    for (size_t i = 0; i < CLI_N(telling) && !*extra; i++) {
        for (size_t k = 0; k < s->call.n_values; k++) {
            const cli_value *v = &s->call.value[k];
            if (strcmp(v->opt->name, telling[i]) == 0 && v->origin != CLI_DEFAULT && *v->text) {
                snprintf(extra, sizeof extra, " %.100s", v->text);
            }
        }
    }
    snprintf(buf, n, "%s%s", cli_cmd_name(s->call.cmd, cmd), extra);
}

static rung_status run_stage(show *w, recipe_stage *s, size_t at, size_t n, rung_error *err) {
    cli_app *app = w->c->app;
    char title[200];
    stage_title(title, sizeof title, s);
    cli_say(app, "[%zu/%zu] %s", at, n, title);
    double t0 = rung_now();
    rung_status st = cli_call_run(&s->call, err);
    s->seconds = rung_now() - t0;
    if (st == RUNG_OK && cli_interrupted) {
        st = rung_fail(err, RUNG_E_CANCELLED, "stopped after stage %zu of %zu", at, n);
    }
    if (s->call.summary.n > 0) cli_say(app, "      %s", s->call.summary.data);
    if (st != RUNG_OK) {
        if (st != RUNG_E_CANCELLED) cli_say(app, "stage %zu (%s) failed", at, title);
        return st;
    }
    w->tokens += s->call.tokens;
    if (s->call.cmd->fn == cli_bench_answer && s->call.result.n > 0) {
        w->measured[s->round] = &s->call;
        if (s->round == 0) w->answer = s->call.result.data;
    }
    if (app->json && s->call.result.n > 0) {
        RUNG_TRY(cli_out(app, s->call.result.data, s->call.result.n, err));
        RUNG_TRY(cli_out(app, "\n", 1, err));
    }
    return cli_out_end(app, err);
}

static rung_status write_report(show *w, rung_error *err) {
    cli_app *app = w->c->app;
    bool own = false;
    for (size_t i = 0; i < w->r.n_stages; i++) own |= w->r.stage[i].call.cmd->fn == cli_report;
    if (own || !w->answer || !cli_flag(w->c, "report")) return RUNG_OK;
    cli_call c;
    cli_call_init(&c, app, cli_cmd_find("report", ""));
    rung_status st =
        cli_set(&c, cli_value_find(&c, "out"), w->report, CLI_RECIPE, "", RUNG_E_INVAL, err);
    if (st == RUNG_OK) {
        st =
            cli_set(&c, cli_value_find(&c, "title"), w->r.title, CLI_RECIPE, "", RUNG_E_INVAL, err);
    }
    if (st == RUNG_OK) st = cli_call_run(&c, err);
    if (st == RUNG_OK) cli_say(app, "report: %s", w->report);
    cli_call_clear(&c);
    return st;
}

static rung_status closing_table(show *w, rung_error *err) {
    static const char *const head[] = {"stage", "seconds", "tokens"};
    cli_table t;
    if (w->c->app->json || w->c->app->quiet) return RUNG_OK;
    cli_table_init(&t, head, CLI_N(head));
    for (size_t i = 0; i < w->r.n_stages; i++) {
        const recipe_stage *s = &w->r.stage[i];
        char title[200];
        stage_title(title, sizeof title, s);
        if (s->skip) continue;
        cli_cell(&t, "%s", title);
        cli_cell(&t, "%.1f", s->seconds);
        if (s->call.tokens > 0)
            cli_cell(&t, "%lld", (long long)s->call.tokens);
        else
            cli_cell(&t, "-");
    }
    cli_cell(&t, "all");
    cli_cell(&t, "%.1f", rung_now() - w->t0);
    cli_cell(&t, "%lld", (long long)w->tokens);
    return cli_table_print(&t, w->c->app, err);
}

/* ---- setting up */

static rung_status open_all(show *w, rung_error *err) {
    cli_call *c = w->c;
    cli_app *app = c->app;
    rung_store *s;
    char path[2300];
    RUNG_TRY(make_folder(w->out, err));
    for (int k = 1; k < w->r.n_seeds; k++) RUNG_TRY(make_folder(w->r.out[k], err));
    if (!cli_is_set(c, "store")) {
        snprintf(path, sizeof path, "%s/rung.db", w->out);
        app->store_path = rung_arena_strndup(app->arena, path, strlen(path));
        if (!app->store_path) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    }
    RUNG_TRY(cli_store(&s, c, RUNG_STORE_CREATE, err));
    rung_buf config;
    rung_buf_init(&config, 64u << 20);
    recipe_config(&config, &w->r);
    rung_status st = rung_buf_check(&config, err);
    if (st == RUNG_OK) {
        w->run = (rung_run){.kind = "run", .config = config.data};
        st = rung_run_begin(s, &w->run, err);
        w->run.config = NULL;
    }
    rung_buf_clear(&config);
    return st;
}

static rung_status name_folder(show *w, rung_error *err) {
    const char *out = cli_str(w->c, "out");
    if (out) {
        snprintf(w->out, sizeof w->out, "%.2000s", out);
    } else { /* by the file's name, so that ${out} is known before the recipe is read */
        const char *slash = strrchr(cli_str(w->c, "recipe"), '/');
        const char *base = slash ? slash + 1 : cli_str(w->c, "recipe");
        snprintf(w->out, sizeof w->out, "out/%.*s%s", (int)strcspn(base, "."), base,
                 cli_flag(w->c, "quick") ? "-quick" : ""); /* another size is other work */
    }
    size_t n = strlen(w->out);
    while (n > 1 && w->out[n - 1] == '/') w->out[--n] = 0;
    snprintf(w->report, sizeof w->report, "%s/report.html", w->out);
    char here[2048];
    const char *path = cli_str(w->c, "recipe"), *end = strrchr(path, '/');
    snprintf(here, sizeof here, "%.*s", end ? (int)(end - path) : 1, end ? path : ".");
    RUNG_TRY(recipe_var_put(&w->r, "here", here, err)); /* folder of the recipe */
    return recipe_var_put(&w->r, "out", w->out, err);
}

static rung_status run_all(show *w, rung_error *err) {
    size_t n = 0, at = 0;
    for (size_t i = 0; i < w->r.n_stages; i++) n += !w->r.stage[i].skip;
    cli_say(w->c->app, "%s%s, %zu stages, store %s", w->r.title, w->r.quick ? " (quick)" : "", n,
            w->c->app->store_path);
    if (w->r.cost && !w->r.quick) cli_say(w->c->app, "cost: %s", w->r.cost);
    for (size_t i = 0; i < w->r.n_stages; i++) {
        if (w->r.stage[i].skip) continue;
        RUNG_TRY(run_stage(w, &w->r.stage[i], ++at, n, err));
    }
    return RUNG_OK;
}

rung_status cli_run(cli_call *c, rung_error *err) {
    show w;
    memset(&w, 0, sizeof w);
    w.c = c;
    w.t0 = rung_now();
    w.r.arena = c->app->arena;
    rung_buf_init(&w.r.text, 4u << 20);
    rung_status st = name_folder(&w, err);
    if (st == RUNG_OK) {
        st = recipe_load(&w.r, c->app, cli_str(c, "recipe"), cli_flag(c, "quick"),
                         cli_str(c, "set"), cli_str(c, "seeds"), err);
    }
    if (st != RUNG_OK) goto out;
    if (cli_flag(c, "check")) {
        rung_buf_printf(&c->summary, "%s: %zu stages, all options known", w.r.path, w.r.n_stages);
        goto out;
    }
    RUNG_GOTO(open_all(&w, err));
    RUNG_GOTO(run_all(&w, err));
    RUNG_GOTO(closing_object(&w, err));
    c->tokens = w.tokens;
    RUNG_GOTO(cli_run_end(c, &w.run, "claim", w.t0, err));
    RUNG_GOTO(write_report(&w, err));
    st = closing_table(&w, err);
out:
    recipe_clear(&w.r);
    return st;
}
