/* A recipe over several seeds: which seeds, and which stages depend on them. */
#include "cli/groups.h"
#include "cli/recipe.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *var_value(const recipe *r, const char *name) {
    for (size_t i = 0; i < r->n_vars; i++) {
        if (strcmp(r->var[i].name, name) == 0) return r->var[i].value;
    }
    return "";
}

static rung_status add_seed(recipe *r, const char *text, size_t n, rung_error *err) {
    char seed[32], *end;
    snprintf(seed, sizeof seed, "%.*s", (int)n, text);
    unsigned long long v = strtoull(seed, &end, 10);
    if (n == 0 || n >= sizeof seed || *end || *seed == '-' || (double)v > CLI_SEED_MAX) {
        return rung_fail(err, RUNG_E_INVAL, "seeds: \"%s\" is not a seed", seed);
    }
    if (r->n_seeds == RECIPE_MAX_SEEDS) {
        return rung_fail(err, RUNG_E_LIMIT, "more than %d seeds", RECIPE_MAX_SEEDS);
    }
    snprintf(seed, sizeof seed, "%llu", v); /* "01" is 1 */
    for (int k = 0; k < r->n_seeds; k++) {
        if (strcmp(r->seed[k], seed) == 0) {
            return rung_fail(err, RUNG_E_INVAL, "seeds: %s is there twice", seed);
        }
    }
    const char *out = var_value(r, "out");
    char folder[2300];
    snprintf(folder, sizeof folder, "%.2200s%s%s", out, r->n_seeds ? "/seed-" : "",
             r->n_seeds ? seed : "");
    r->seed[r->n_seeds] = rung_arena_strndup(r->arena, seed, strlen(seed));
    r->out[r->n_seeds] = rung_arena_strndup(r->arena, folder, strlen(folder));
    if (!r->seed[r->n_seeds] || !r->out[r->n_seeds]) {
        return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    }
    r->n_seeds++;
    return RUNG_OK;
}

/* "3": so many from the recipe's seed on; "1,5,9": these. */
static rung_status seeds_of_text(recipe *r, const char *text, rung_error *err) {
    const char *first = var_value(r, "seed");
    if (!strchr(text, ',')) {
        char *end;
        long n = strtol(text, &end, 10);
        unsigned long long s = strtoull(first, NULL, 10);
        if (end == text || *end || n < 1 || n > RECIPE_MAX_SEEDS) {
            return rung_fail(err, RUNG_E_INVAL, "seeds: \"%s\" is no number from 1 to %d", text,
                             RECIPE_MAX_SEEDS);
        }
        for (long k = 0; k < n; k++) {
            char seed[32];
            int len = snprintf(seed, sizeof seed, "%llu", s + (unsigned long long)k);
            RUNG_TRY(add_seed(r, seed, (size_t)len, err));
        }
        return RUNG_OK;
    }
    for (const char *p = text; *p;) {
        p += strspn(p, " ");
        size_t n = strcspn(p, ", ");
        if (n > 0) RUNG_TRY(add_seed(r, p, n, err));
        p += n + strspn(p + n, " ");
        p += *p == ',';
    }
    return RUNG_OK;
}

rung_status recipe_seeds_read(recipe *r, const rung_yaml_node *node, const char *flag,
                              rung_error *err) {
    rung_status st = RUNG_OK;
    if (flag) {
        st = seeds_of_text(r, flag, err);
    } else if (node && !r->quick && rung_yaml_kind_of(node) == RUNG_YAML_SEQ) {
        for (size_t i = 0; i < rung_yaml_count(node) && st == RUNG_OK; i++) {
            const char *s = rung_yaml_scalar(rung_yaml_item(node, i));
            st = add_seed(r, s ? s : "", s ? strlen(s) : 0, err);
        }
    } else if (node && !r->quick) {
        const char *s = rung_yaml_scalar(node);
        st = seeds_of_text(r, s ? s : "", err);
    }
    if (st != RUNG_OK && !flag && err) { /* of the file: say where */
        char what[sizeof err->what];
        snprintf(what, sizeof what, "%s", err->what);
        snprintf(err->what, sizeof err->what, "%.100s:%d: %.50s", r->path, rung_yaml_line(node),
                 what);
        err->code = st = RUNG_E_FORMAT;
    }
    if (st == RUNG_OK && r->n_seeds == 0) {
        const char *first = var_value(r, "seed");
        st = add_seed(r, first, strlen(first), err);
    }
    return st == RUNG_OK ? recipe_var_put(r, "seed", r->seed[0], err) : st;
}

/* ---- rounds */

/* Options whose value is the name of a run. */
static bool names_a_run(const cli_opt *o) {
    static const char *const names[] = {"run", "label-run", "greedy", "reuse"};
    for (size_t i = 0; i < CLI_N(names); i++) {
        if (strcmp(o->name, names[i]) == 0) return true;
    }
    return false;
}

/* Is it the name that a stage of this round, before number `before`, gave to a run of its seed? */
static bool is_of_this_seed(const recipe_stage *round, size_t before, const char *name) {
    for (size_t i = 0; i < before; i++) {
        if (round[i].skip) continue;
        const cli_value *v = cli_value_find((cli_call *)(uintptr_t)&round[i].call, "name");
        size_t n = strlen(name);
        if (v && strncmp(v->text, name, n) == 0 && n > 0 && v->text[n] == '@') return true;
    }
    return false;
}

/* Options whose value is SOURCE@RUN, a line each. */
static bool names_a_source(const cli_opt *o) {
    static const char *const names[] = {"labels", "other", "gold"};
    for (size_t i = 0; i < CLI_N(names); i++) {
        if (strcmp(o->name, names[i]) == 0) return true;
    }
    return false;
}

static rung_status put_seed_sources(bool *differs, recipe *r, cli_value *v,
                                    const recipe_stage *round, size_t before, const char *seed,
                                    rung_error *err) {
    rung_buf b;
    rung_buf_init(&b, 1u << 16);
    rung_buf_str(&b, "");
    for (const char *p = v->text; *p;) {
        char line[400], run[400];
        size_t n = strcspn(p, "\n");
        snprintf(line, sizeof line, "%.*s", (int)n, p);
        const char *at = strchr(line, '@');
        size_t n_run = at ? strcspn(at + 1, "=") : 0;
        snprintf(run, sizeof run, "%.*s", (int)n_run, at ? at + 1 : "");
        if (at && is_of_this_seed(round, before, run)) {
            *differs = true;
            rung_buf_printf(&b, "%.*s@%s%s", (int)(at + 1 + n_run - line), line, seed,
                            at + 1 + n_run);
        } else {
            rung_buf_str(&b, line);
        }
        if (p[n]) rung_buf_str(&b, "\n");
        p += n + (p[n] != 0);
    }
    rung_status st = rung_buf_check(&b, err);
    if (st == RUNG_OK) {
        v->text = rung_arena_strndup(r->arena, b.data, b.n);
        if (!v->text) st = rung_fail(err, RUNG_E_NOMEM, "out of memory");
    }
    rung_buf_clear(&b);
    return st;
}

static rung_status put_seed(recipe *r, cli_value *v, const char *seed, rung_error *err) {
    char text[512];
    int n = snprintf(text, sizeof text, "%.400s@%s", v->text, seed);
    v->text = rung_arena_strndup(r->arena, text, (size_t)n);
    return v->text ? RUNG_OK : rung_fail(err, RUNG_E_NOMEM, "out of memory");
}

rung_status recipe_round_split(recipe *r, int round, size_t n, rung_error *err) {
    recipe_stage *first = r->stage, *these = r->stage + (size_t)round * n;
    for (size_t i = 0; i < n; i++) {
        cli_call *c = &these[i].call;
        bool shared = strcmp(c->cmd->noun, "problem") == 0 || c->cmd->fn == cli_report;
        bool differs = false;
        for (size_t k = 0; k < c->n_values; k++) {
            cli_value *v = &c->value[k];
            differs = differs || strcmp(v->text, first[i].call.value[k].text) != 0;
            if (names_a_source(v->opt) && *v->text)
                RUNG_TRY(put_seed_sources(&differs, r, v, these, i, r->seed[round], err));
            if (!names_a_run(v->opt) || !is_of_this_seed(these, i, v->text)) continue;
            differs = true;
            RUNG_TRY(put_seed(r, v, r->seed[round], err));
        }
        these[i].skip = these[i].skip || shared || !differs;
        cli_value *name = cli_value_find(c, "name");
        if (!these[i].skip && name && *name->text) {
            RUNG_TRY(put_seed(r, name, r->seed[round], err));
        }
    }
    return RUNG_OK;
}
