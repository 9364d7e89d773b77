/* rung claims: a row per recipe that claims something, from the stores that its runs left and from
 * the results that are kept in the tree; docs/claims.md. */
#include "base/json.h"
#include "cli/recipe.h"
#include "cli/session.h"
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const cli_opt claims_opts[] = {
    OPT_PATH("recipes", "recipes", CLI_FREE, "folder of the recipes"),
    OPT_PATH("stores", "out", CLI_FREE,
             "folder in which runs of the recipes left their stores: NAME/rung.db in it"),
    OPT_PATH("kept", "docs/claims.jsonl", CLI_FREE,
             "results that are kept: the newest of each recipe, a line each; brought up to date"),
    OPT_PATH("out", "docs/claims.md", CLI_FREE, "the page to write"),
    OPT_BOOL("check", "false", CLI_FREE,
             "write nothing; is the page what the recipes and the kept results give?"),
};
const cli_group cli_claims_group = CLI_GROUP_OF("claims", claims_opts);

enum { MAX_RECIPES = 128 };

typedef struct one_claim {
    recipe *r;
    const char *kept, *found; /* objects: of the kept file; of a store */
} one_claim;
typedef struct all_claims {
    cli_call *c;
    rung_arena *arena;
    one_claim at[MAX_RECIPES];
    size_t n;
} all_claims;

static char *keep(all_claims *w, const char *text, size_t n) {
    return rung_arena_strndup(w->arena, text, n);
}

/* ---- recipes */

static int by_name(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static rung_status add_recipe(all_claims *w, const char *folder, const char *name,
                              rung_error *err) {
    char path[2100];
    snprintf(path, sizeof path, "%.1800s/%.250s", folder, name);
    recipe *r = rung_arena_alloc(w->arena, sizeof *r);
    char *kept_path = keep(w, path, strlen(path));
    if (!r || !kept_path) return rung_fail(err, RUNG_E_NOMEM, "out of memory for recipes");
    memset(r, 0, sizeof *r);
    r->arena = w->arena;
    rung_buf_init(&r->text, 4u << 20);
    w->at[w->n++] = (one_claim){.r = r};
    RUNG_TRY(recipe_var_put(r, "here", folder, err));
    RUNG_TRY(recipe_var_put(r, "out", "out", err));
    return recipe_load(r, w->c->app, kept_path, &(recipe_ask){0}, err);
}

static rung_status read_recipes(all_claims *w, const char *folder, rung_error *err) {
    char *name[MAX_RECIPES];
    size_t n = 0;
    DIR *d = opendir(folder);
    if (!d) return rung_fail_errno(err, "could not read folder %s", folder);
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        size_t len = strlen(e->d_name);
        if (len < 6 || len > 240 || strcmp(e->d_name + len - 5, ".yaml") != 0) continue;
        if (n == MAX_RECIPES) break;
        name[n] = keep(w, e->d_name, len);
        if (!name[n++]) break;
    }
    closedir(d);
    qsort(name, n, sizeof *name, by_name);
    for (size_t i = 0; i < n; i++) RUNG_TRY(add_recipe(w, folder, name[i], err));
    return n ? RUNG_OK : rung_fail(err, RUNG_E_NOT_FOUND, "%s holds no recipe", folder);
}

/* ---- results */

static one_claim *claim_of(all_claims *w, const char *id) {
    for (size_t i = 0; i < w->n; i++)
        if (strcmp(w->at[i].r->id, id) == 0) return &w->at[i];
    return NULL;
}

static rung_status read_kept(all_claims *w, const char *path, rung_error *err) {
    rung_jsonl *file;
    yyjson_val *row;
    if (access(path, F_OK) != 0) return RUNG_OK;
    RUNG_TRY(rung_jsonl_open(&file, path, 0, err));
    rung_status st;
    while ((st = rung_jsonl_next(&row, file, err)) == RUNG_OK) {
        one_claim *k = claim_of(w, rung_json_str(row, "claim", ""));
        size_t n;
        char *text = yyjson_val_write(row, 0, &n);
        if (k && text) k->kept = keep(w, text, n);
        free(text);
    }
    rung_jsonl_close(file);
    return st == RUNG_DONE ? RUNG_OK : st;
}

static bool is_measured(const char *json) {
    yyjson_doc *doc = yyjson_read(json, strlen(json), 0);
    const char *verdict = rung_json_str(yyjson_doc_get_root(doc), "verdict", "");
    bool yes = *verdict && strcmp(verdict, "quick") != 0;
    yyjson_doc_free(doc);
    return yes;
}

/* The newest measured object of the store that a run of the recipe left, if it left one. */
static rung_status read_store(all_claims *w, one_claim *k, const char *stores, rung_error *err) {
    char path[2200];
    const char *slash = strrchr(k->r->path, '/'), *base = slash ? slash + 1 : k->r->path;
    snprintf(path, sizeof path, "%.1800s/%.*s/rung.db", stores, (int)strcspn(base, "."), base);
    if (access(path, F_OK) != 0) return RUNG_OK;
    rung_store *s;
    rung_iter *it = NULL;
    const char *json;
    int64_t run;
    RUNG_TRY(rung_store_open(&s, path, RUNG_STORE_READ_ONLY, err));
    rung_status st = rung_result_iter(&it, s, "claim", err);
    while (st == RUNG_OK && (st = rung_result_next(&run, &json, it, err)) == RUNG_OK) {
        if (!is_measured(json)) continue;
        k->found = keep(w, json, strlen(json));
        break;
    }
    rung_iter_free(it);
    rung_store_close(s);
    return st == RUNG_DONE ? RUNG_OK : st;
}

/* ---- the page */

static void put_interval(rung_buf *b, yyjson_val *v, double unit) {
    yyjson_val *ci = yyjson_obj_get(v, "ci95");
    rung_buf_printf(b, "%+.1f", unit * rung_json_f64(v, "diff", (double)NAN));
    if (yyjson_arr_size(ci) == 2)
        rung_buf_printf(b, " [%+.1f, %+.1f]", unit * yyjson_get_num(yyjson_arr_get(ci, 0)),
                        unit * yyjson_get_num(yyjson_arr_get(ci, 1)));
}

static double unit_of(yyjson_val *v) {
    const char *metric = rung_json_str(v, "metric", "");
    bool counts = strncmp(metric, "labels:", 7) == 0 || strncmp(metric, "answers:", 8) == 0;
    return counts ? 1.0 : 100.0;
}

static void put_number(rung_buf *b, yyjson_val *v, const char *key, double unit) {
    double x = rung_json_f64(v, key, (double)NAN);
    if (isfinite(x))
        rung_buf_printf(b, "%.1f", unit * x);
    else
        rung_buf_str(b, "-");
}

/* Of all cores where that is known: a clock on the wall says little on a shared machine. */
static void put_minutes(rung_buf *b, yyjson_val *v) {
    double cpu = rung_json_f64(v, "cpu_s", (double)NAN);
    double wall = rung_json_f64(v, "wall_s", (double)NAN);
    rung_buf_printf(b, isfinite(cpu) ? "%.1f CPU" : "%.1f", (isfinite(cpu) ? cpu : wall) / 60.0);
}

/* A cell: no line ends, no bars. */
static void put_cell(rung_buf *b, const char *text) {
    for (; text && *text; text++) {
        if (*text == '|') rung_buf_str(b, "\\");
        rung_buf_append(b, *text == '\n' ? " " : text, 1);
    }
}

static void put_row(rung_buf *b, const recipe *r, yyjson_val *v) {
    rung_buf_printf(b, "| `%s` | ", r->id);
    put_cell(b, r->claim.text);
    if (!v) {
        rung_buf_str(b, " | not measured yet | | | | |\n");
        return;
    }
    rung_buf_printf(b, " | **%s** | ", rung_json_str(v, "verdict", "no verdict"));
    put_interval(b, v, unit_of(v));
    rung_buf_printf(b, " | %lld | %lld | ", (long long)rung_json_i64(v, "n_problems", 0),
                    (long long)rung_json_i64(v, "n_seeds", 1));
    put_minutes(b, v);
    rung_buf_str(b, " |\n");
}

static void put_comparison(rung_buf *b, yyjson_val *v) {
    double unit = unit_of(v);
    rung_buf_str(b, "| ");
    put_cell(b, rung_json_str(v, "text", ""));
    rung_buf_str(b, " | ");
    put_cell(b, rung_json_str(v, "metric", ""));
    rung_buf_str(b, " | ");
    put_number(b, v, "arm", unit);
    rung_buf_str(b, " | ");
    put_number(b, v, "over", unit);
    rung_buf_str(b, " | ");
    put_interval(b, v, unit);
    rung_buf_str(b, " | ");
    put_number(b, v, "seed_sd", unit);
    rung_buf_printf(b, " | %s |\n", rung_json_str(v, "verdict", "-"));
}

static void put_equal(rung_buf *b, const recipe_claim *k, yyjson_val *v) {
    double a = rung_json_f64(v, "cost_arm", (double)NAN);
    double o = rung_json_f64(v, "cost_over", (double)NAN);
    if (!k->equal) return;
    rung_buf_str(b, "- Equal in: ");
    put_cell(b, k->equal);
    if (isfinite(a) && isfinite(o)) rung_buf_printf(b, " (%.0f and %.0f a seed)", a, o);
    rung_buf_str(b, "\n");
}

static rung_status put_section(rung_buf *b, const recipe *r, yyjson_val *v, rung_error *err) {
    char hash[33];
    rung_buf_printf(b, "## %s\n\n", r->id);
    put_cell(b, r->title);
    rung_buf_str(b, "\n\n");
    if (r->paper) {
        rung_buf_str(b, "- Paper: ");
        put_cell(b, r->paper);
        rung_buf_str(b, "\n");
    }
    if (r->reports) {
        rung_buf_str(b, "- It reports: ");
        put_cell(b, r->reports);
        rung_buf_str(b, "\n");
    }
    put_equal(b, &r->claim, v);
    if (r->cost) {
        rung_buf_str(b, "- Cost: ");
        put_cell(b, r->cost);
        rung_buf_str(b, "\n");
    }
    RUNG_TRY(recipe_hash(hash, r, err));
    if (!v) {
        rung_buf_printf(b, "\nNot measured yet: `rung run recipes/%s.yaml`.\n\n", r->id);
        return RUNG_OK;
    }
    rung_buf_printf(b, "- Run: %lld sampled tokens, ", (long long)rung_json_i64(v, "tokens", 0));
    put_minutes(b, v);
    rung_buf_str(b, " minutes\n");
    if (strcmp(hash, rung_json_str(v, "recipe", "")) != 0)
        rung_buf_str(b, "- Measured with an earlier text of the recipe\n");
    if (yyjson_get_bool(yyjson_obj_get(v, "set")))
        rung_buf_str(b, "- Measured with other values of some variables (--set)\n");
    rung_buf_str(b, "\n| what | figure | arm | over | difference, 95% | sd of seeds | verdict |\n"
                    "|---|---|---|---|---|---|---|\n");
    put_comparison(b, v);
    yyjson_arr_iter it = yyjson_arr_iter_with(yyjson_obj_get(v, "checks"));
    for (yyjson_val *x; (x = yyjson_arr_iter_next(&it)) != NULL;) put_comparison(b, x);
    if (r->explains) rung_buf_printf(b, "\n%s\n", r->explains);
    rung_buf_str(b, "\n");
    return RUNG_OK;
}

static rung_status put_page(rung_buf *b, const all_claims *w, rung_error *err) {
    rung_status st = RUNG_OK;
    rung_buf_str(
        b, "# Claims\n\nWritten by `rung claims` from the recipes and from docs/claims.jsonl, "
           "the newest measured result of each. Differences are in points\n(labels and "
           "answers: per problem), arm over baseline at an equal budget; the interval draws seeds "
           "and problems. A claim holds when its whole interval\nlies above the margin (of two "
           "figures that are to be the same: within it), does not when none of it does, and is too "
           "noisy to say otherwise. None is\ntuned until it holds.\n\n"
           "| recipe | claim | verdict | difference, 95% | problems | seeds | minutes |\n"
           "|---|---|---|---|---|---|---|\n");
    for (int part = 0; part < 2; part++) {
        for (size_t i = 0; i < w->n; i++) {
            const one_claim *k = &w->at[i];
            if (!k->r->claim.arm) continue;
            yyjson_doc *doc = k->kept ? yyjson_read(k->kept, strlen(k->kept), 0) : NULL;
            yyjson_val *v = yyjson_doc_get_root(doc);
            if (part == 0)
                put_row(b, k->r, v);
            else if (st == RUNG_OK)
                st = put_section(b, k->r, v, err);
            yyjson_doc_free(doc);
        }
        if (part == 0) rung_buf_str(b, "\n");
    }
    while (b->n > 1 && b->data[b->n - 1] == '\n' && b->data[b->n - 2] == '\n') b->data[--b->n] = 0;
    return st == RUNG_OK ? rung_buf_check(b, err) : st;
}

/* ---- the command */

static rung_status print_rows(const all_claims *w, rung_error *err) {
    static const char *const head[] = {"recipe",   "verdict", "difference",
                                       "problems", "seeds",   "metric"};
    cli_app *app = w->c->app;
    cli_table t;
    cli_table_init(&t, head, CLI_N(head));
    for (size_t i = 0; i < w->n; i++) {
        const one_claim *k = &w->at[i];
        if (!k->r->claim.arm) continue;
        if (app->json && k->kept) {
            RUNG_TRY(cli_outf(app, err, "%s\n", k->kept));
        } else if (app->json) {
            RUNG_TRY(cli_outf(app, err, "{\"v\":1,\"claim\":\"%s\",\"verdict\":null}\n", k->r->id));
        } else {
            yyjson_doc *doc = k->kept ? yyjson_read(k->kept, strlen(k->kept), 0) : NULL;
            yyjson_val *v = yyjson_doc_get_root(doc);
            rung_buf diff;
            rung_buf_init(&diff, 4096);
            if (v) put_interval(&diff, v, unit_of(v));
            cli_cell(&t, "%s", k->r->id);
            cli_cell(&t, "%s", rung_json_str(v, "verdict", "not measured yet"));
            cli_cell(&t, "%s", diff.data ? diff.data : "");
            cli_cell(&t, "%lld", (long long)rung_json_i64(v, "n_problems", 0));
            cli_cell(&t, "%lld", (long long)rung_json_i64(v, "n_seeds", 0));
            cli_cell(&t, "%s", rung_json_str(v, "metric", ""));
            rung_buf_clear(&diff);
            yyjson_doc_free(doc);
        }
    }
    if (!app->json) return cli_table_print(&t, app, err);
    rung_buf_clear(&t.cells);
    return RUNG_OK;
}

static rung_status same_file(bool *same, const char *path, const rung_buf *b, rung_error *err) {
    rung_buf now;
    rung_buf_init(&now, 64u << 20);
    *same = false;
    rung_status st = access(path, F_OK) == 0 ? rung_file_read(&now, path, err) : RUNG_OK;
    if (st == RUNG_OK) *same = now.n == b->n && memcmp(now.data, b->data, b->n) == 0;
    rung_buf_clear(&now);
    return st;
}

static rung_status write_all(const all_claims *w, const rung_buf *page, rung_error *err) {
    rung_buf kept;
    rung_buf_init(&kept, 64u << 20);
    rung_buf_str(&kept, "");
    for (size_t i = 0; i < w->n; i++)
        if (w->at[i].kept) rung_buf_printf(&kept, "%s\n", w->at[i].kept);
    rung_status st = rung_buf_check(&kept, err);
    const char *to = cli_str(w->c, "kept"), *out = cli_str(w->c, "out");
    if (st == RUNG_OK && to) st = rung_file_write(to, kept.data, kept.n, err);
    if (st == RUNG_OK && out) st = rung_file_write(out, page->data, page->n, err);
    rung_buf_clear(&kept);
    return st;
}

static rung_status gather(all_claims *w, rung_error *err) {
    const char *kept = cli_str(w->c, "kept"), *stores = cli_str(w->c, "stores");
    RUNG_TRY(read_recipes(w, cli_str(w->c, "recipes"), err));
    if (kept) RUNG_TRY(read_kept(w, kept, err));
    for (size_t i = 0; i < w->n && stores && !cli_flag(w->c, "check"); i++) {
        one_claim *k = &w->at[i];
        if (!k->r->claim.arm) continue;
        RUNG_TRY(read_store(w, k, stores, err));
        if (k->found) k->kept = k->found;
    }
    return RUNG_OK;
}

static rung_status act(all_claims *w, rung_error *err) {
    rung_buf page;
    rung_buf_init(&page, 64u << 20);
    rung_status st = put_page(&page, w, err);
    if (st == RUNG_OK && cli_flag(w->c, "check")) {
        bool same = false;
        const char *out = cli_str(w->c, "out");
        st = out ? same_file(&same, out, &page, err) : RUNG_OK;
        if (st == RUNG_OK && !same) {
            st = rung_fail(err, RUNG_E_ANSWER_NO, "%s is not what the recipes and results give",
                           out ? out : "the page");
            rung_error_hint(err, "run `rung claims` and commit what it writes");
        }
    } else if (st == RUNG_OK) {
        st = print_rows(w, err);
        if (st == RUNG_OK) st = write_all(w, &page, err);
    }
    rung_buf_clear(&page);
    return st;
}

rung_status cli_claims(cli_call *c, rung_error *err) {
    all_claims *w = rung_calloc(1, sizeof *w);
    if (!w) return rung_fail(err, RUNG_E_NOMEM, "out of memory for claims");
    w->c = c;
    w->arena = c->app->arena;
    rung_status st = gather(w, err);
    if (st == RUNG_OK) st = act(w, err);
    for (size_t i = 0; i < w->n; i++) recipe_clear(w->at[i].r);
    rung_free(w);
    return st;
}
