/* rung run RECIPE: its stages in this process, one store, then the report and a closing table. */
#include "cli/run_claim.h"
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
    OPT_PATH("policy", "", CLI_KEY, "another model for the recipe: --set policy=FILE"),
    OPT_STR("problems", "", "[FORMAT:]FILE", CLI_KEY,
            "run it on these problems, not on a world's: gsm8k:train.jsonl, or rows of question "
            "and answer; the recipe's real: part says how"),
    OPT_STR("cases", "", "[FORMAT:]FILE", CLI_KEY,
            "with --problems: solutions with known first errors, as ProcessBench has them"),
    OPT_PATH("options", "", CLI_NOTE,
             "YAML file of options for every stage that has them: prompt, stop, weights; empty = "
             "with --problems the recipe's own"),
    OPT_STR("seeds", "", "N|LIST", CLI_KEY,
            "run what depends on the seed with N seeds from the recipe's own on, or with these "
            "(1,5,9); "
            "empty = the recipe's seeds:, one with --quick"),
    OPT_PATH(
        "out", "", CLI_NOTE,
        "folder for the report and the models, empty = out/NAME of the recipe, out/NAME-quick with "
        "--quick, out/NAME-real with --policy or --problems; the store is OUT/rung.db unless "
        "--store names one"),
    OPT_BOOL("report", "true", CLI_FREE, "write OUT/report.html at the end"),
    OPT_BOOL("check", "false", CLI_FREE, "read and check the recipe, run nothing"),
};
const cli_group cli_run_group = CLI_GROUP_OF("recipe", run_opts);

typedef struct show {
    cli_call *c;
    recipe r;
    char out[2048], report[2200];
    bool answered; /* a bench answer or a search has run: the report has something to show */
    int64_t tokens;
    rung_run run;
    double t0, cpu0;
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
    bool shown = s->call.cmd->fn == cli_bench_answer || s->call.cmd->fn == cli_search_run;
    w->answered = w->answered || (shown && s->call.result.n > 0);
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
    if (own || !w->answered || !cli_flag(w->c, "report")) return RUNG_OK;
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
        bool own = cli_str(w->c, "policy") || cli_str(w->c, "problems");
        snprintf(w->out, sizeof w->out, "out/%.*s%s%s", (int)strcspn(base, "."), base,
                 own ? "-real" : "",
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
    w.cpu0 = rung_cpu_now();
    w.r.arena = c->app->arena;
    rung_buf_init(&w.r.text, 4u << 20);
    rung_status st = name_folder(&w, err);
    if (st == RUNG_OK) {
        recipe_ask ask = {.quick = cli_flag(c, "quick"),
                          .set = cli_str(c, "set"),
                          .seeds = cli_str(c, "seeds"),
                          .policy = cli_str(c, "policy"),
                          .problems = cli_str(c, "problems"),
                          .cases = cli_str(c, "cases"),
                          .options = cli_str(c, "options")};
        st = recipe_load(&w.r, c->app, cli_str(c, "recipe"), &ask, err);
    }
    if (st != RUNG_OK) goto out;
    if (cli_flag(c, "check")) {
        rung_buf_printf(&c->summary, "%s: %zu stages, all options known", w.r.path, w.r.n_stages);
        goto out;
    }
    RUNG_GOTO(open_all(&w, err));
    RUNG_GOTO(run_all(&w, err));
    RUNG_GOTO(run_claim_object(&c->result, c->app, &w.r, w.tokens, rung_now() - w.t0,
                               rung_cpu_now() - w.cpu0, err));
    c->tokens = w.tokens;
    RUNG_GOTO(cli_run_end(c, &w.run, "claim", w.t0, err));
    RUNG_GOTO(write_report(&w, err));
    st = closing_table(&w, err);
out:
    recipe_clear(&w.r);
    return st;
}
