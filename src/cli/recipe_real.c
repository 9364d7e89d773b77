/* A recipe on problems and a model of the user's own: --policy, --problems, --cases, --options; the
 * recipe's real: values. */
#include "cli/groups.h"
#include "cli/recipe.h"
#include "rung/format.h"
#include <stdio.h>
#include <string.h>

/* [FORMAT:]FILE. A part before ":" that is no format belongs to the file's name. */
static rung_status put_file(recipe *r, const char *name, const char *text, const char *format,
                            rung_error *err) {
    char key[64], found[64];
    const char *colon = text ? strchr(text, ':') : NULL;
    snprintf(found, sizeof found, "%.*s", colon ? (int)(colon - text) : 0, text ? text : "");
    bool said = *found && rung_format_find(found);
    snprintf(key, sizeof key, "%s_format", name);
    RUNG_TRY(recipe_var_put(r, key, said ? found : format, err));
    return recipe_var_put(r, name, said ? colon + 1 : text ? text : "", err);
}

rung_status recipe_real_begin(recipe *r, rung_error *err) {
    r->real = r->ask->problems != NULL;
    RUNG_TRY(put_file(r, "problems", r->ask->problems, "jsonl", err));
    if (r->ask->cases && !r->real) {
        rung_fail(err, RUNG_E_INVAL, "--cases goes with --problems");
        return rung_error_hint(err, "without it the recipe makes its own problems and cases");
    }
    return put_file(r, "cases", r->ask->cases, "processbench", err);
}

static rung_status load_options(recipe *r, const char *path, rung_error *err) {
    RUNG_TRY(rung_yaml_load(&r->options, path, err));
    if (rung_yaml_kind_of(rung_yaml_root(r->options)) == RUNG_YAML_MAP) return RUNG_OK;
    return rung_fail(err, RUNG_E_FORMAT, "%s: a mapping of options is needed", path);
}

/* real: values of variables, and of new ones that only stages `when: real` use; options: a file
 * beside the recipe. Outside that setting the new ones are there, too, so that all is checked. */
rung_status recipe_real_vars(recipe *r, const rung_yaml_node *root, rung_error *err) {
    const rung_yaml_node *real = rung_yaml_get(root, "real");
    rung_buf value;
    rung_status st = RUNG_OK;
    if (r->ask->policy && !recipe_has_var(r, "policy"))
        return rung_fail(err, RUNG_E_INVAL, "--policy: %s has no variable policy", r->path);
    if (r->real && !real) {
        rung_fail(err, RUNG_E_INVAL, "--problems: %s does not say how it runs on them", r->path);
        return rung_error_hint(err, "it has no real: part (docs/design/cli.md)");
    }
    if (r->ask->options && !r->options) RUNG_TRY(load_options(r, r->ask->options, err));
    if (!real) return RUNG_OK;
    rung_buf_init(&value, 1u << 20);
    for (size_t i = 0; i < rung_yaml_count(real) && st == RUNG_OK; i++) {
        const char *key = rung_yaml_key(real, i);
        bool is_file = strcmp(key, "options") == 0;
        if (!r->real && (is_file || recipe_has_var(r, key))) continue;
        st = recipe_text(&value, r, rung_yaml_item(real, i), err);
        if (st == RUNG_OK && !is_file)
            st = recipe_var_put(r, key, value.n ? value.data : "", err);
        else if (st == RUNG_OK && !r->options)
            st = load_options(r, value.data, err);
    }
    rung_buf_clear(&value);
    return st;
}

/* What the stage does not say itself and its command knows. */
rung_status recipe_real_options(recipe *r, recipe_stage *s, rung_error *err) {
    const rung_yaml_node *map = r->options ? rung_yaml_root(r->options) : NULL;
    rung_buf value;
    rung_status st = RUNG_OK;
    if (!map) return RUNG_OK;
    rung_buf_init(&value, 1u << 20);
    for (size_t i = 0; i < rung_yaml_count(map) && st == RUNG_OK; i++) {
        char where[320];
        const rung_yaml_node *n = rung_yaml_item(map, i);
        cli_value *v = cli_value_find(&s->call, rung_yaml_key(map, i));
        if (!v || v->origin == CLI_RECIPE) continue;
        snprintf(where, sizeof where, "%.250s:%d:%d: ", rung_yaml_name(r->options),
                 rung_yaml_line(n), rung_yaml_column(n));
        st = recipe_text(&value, r, n, err);
        if (st == RUNG_OK)
            st = cli_set(&s->call, v, value.n ? value.data : "", CLI_RECIPE, where, RUNG_E_FORMAT,
                         err);
    }
    rung_buf_clear(&value);
    return st;
}

rung_status recipe_real_end(recipe *r, rung_error *err) {
    const rung_yaml_node *map = r->options ? rung_yaml_root(r->options) : NULL;
    for (size_t i = 0; map && i < rung_yaml_count(map); i++) {
        const char *key = rung_yaml_key(map, i);
        size_t k = 0;
        while (k < r->n_stages && !cli_value_find(&r->stage[k].call, key)) k++;
        if (k < r->n_stages) continue;
        rung_fail(err, RUNG_E_FORMAT, "%s:%d: no stage of %s has an option \"%s\"",
                  rung_yaml_name(r->options), rung_yaml_key_line(map, i), r->path, key);
        return rung_error_hint(err, "rung help COMMAND lists a command's options");
    }
    return RUNG_OK;
}
