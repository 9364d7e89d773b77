/* Reading recipes. Every key, stage and option is checked against the tables, with file, line,
 * column and the nearest match in the error. */
#include "cli/recipe.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void where_of(char buf[320], const recipe *r, const rung_yaml_node *n) {
    snprintf(buf, 320, "%.250s:%d:%d: ", r->path, rung_yaml_line(n), rung_yaml_column(n));
}

static rung_status bad(rung_error *err, const recipe *r, const rung_yaml_node *n,
                       const char *what) {
    char where[320];
    where_of(where, r, n);
    return rung_fail(err, RUNG_E_FORMAT, "%s%s", where, what);
}

static rung_status unknown_word(rung_error *err, const recipe *r, const rung_yaml_node *n,
                                const char *kind, const char *word, const char *const *known,
                                size_t n_known) {
    char where[320];
    where_of(where, r, n);
    rung_fail(err, RUNG_E_FORMAT, "%sunknown %s \"%s\"", where, kind, word);
    const char *near = cli_nearest(word, known, n_known);
    if (near) return rung_error_hint(err, "did you mean \"%s\"?", near);
    return RUNG_E_FORMAT;
}

static rung_status check_keys(const recipe *r, const rung_yaml_node *map, const char *kind,
                              const char *const *known, size_t n_known, rung_error *err) {
    for (size_t i = 0; i < rung_yaml_count(map); i++) {
        const char *key = rung_yaml_key(map, i);
        size_t k = 0;
        while (k < n_known && strcmp(key, known[k]) != 0) k++;
        if (k == n_known) {
            return unknown_word(err, r, rung_yaml_item(map, i), kind, key, known, n_known);
        }
    }
    return RUNG_OK;
}

/* ---- variables */

static recipe_var *var_find(recipe *r, const char *name, size_t n) {
    for (size_t i = 0; i < r->n_vars; i++) {
        if (strlen(r->var[i].name) == n && memcmp(r->var[i].name, name, n) == 0) return &r->var[i];
    }
    return NULL;
}

rung_status recipe_var_put(recipe *r, const char *name, const char *value, rung_error *err) {
    recipe_var *v = var_find(r, name, strlen(name));
    if (!v) {
        if (r->n_vars == RECIPE_MAX_VARS) {
            return rung_fail(err, RUNG_E_LIMIT, "more than %d variables", RECIPE_MAX_VARS);
        }
        v = &r->var[r->n_vars++];
        v->name = rung_arena_strndup(r->arena, name, strlen(name));
    }
    v->value = rung_arena_strndup(r->arena, value, strlen(value));
    if (!v->name || !v->value) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    return RUNG_OK;
}

static size_t var_names(const recipe *r, const char **names) {
    for (size_t i = 0; i < r->n_vars; i++) names[i] = r->var[i].name;
    return r->n_vars;
}

/* ${name} replaced; "$" elsewhere stays. */
static rung_status substitute(rung_buf *out, recipe *r, const rung_yaml_node *n, const char *text,
                              rung_error *err) {
    for (const char *p = text; *p;) {
        const char *end = p[0] == '$' && p[1] == '{' ? strchr(p, '}') : NULL;
        if (!end) {
            rung_buf_append(out, p++, 1);
            continue;
        }
        const recipe_var *v = var_find(r, p + 2, (size_t)(end - p) - 2);
        if (!v) {
            const char *names[RECIPE_MAX_VARS];
            char name[96];
            snprintf(name, sizeof name, "%.*s", (int)(end - p) - 2, p + 2);
            size_t n_names = var_names(r, names);
            return unknown_word(err, r, n, "variable", name, names, n_names);
        }
        if (r->real && !*v->value && (!strcmp(v->name, "cases") || !strcmp(v->name, "problems")))
            return rung_fail(err, RUNG_E_INVAL, "%s needs --%s FILE with problems of your own",
                             r->path, v->name);
        rung_buf_str(out, v->value);
        p = end + 1;
    }
    return rung_buf_check(out, err);
}

/* Text of a scalar, or of a list joined by commas, with variables replaced. */
rung_status recipe_text(rung_buf *out, recipe *r, const rung_yaml_node *n, rung_error *err) {
    rung_buf_reset(out);
    rung_buf_str(out, "");
    if (rung_yaml_kind_of(n) == RUNG_YAML_SCALAR) {
        return substitute(out, r, n, rung_yaml_scalar(n), err);
    }
    if (rung_yaml_kind_of(n) == RUNG_YAML_MAP) return bad(err, r, n, "a value, not a mapping");
    for (size_t i = 0; i < rung_yaml_count(n); i++) {
        const rung_yaml_node *x = rung_yaml_item(n, i);
        if (rung_yaml_kind_of(x) != RUNG_YAML_SCALAR) return bad(err, r, x, "a list in a list");
        if (i > 0) rung_buf_str(out, ",");
        RUNG_TRY(substitute(out, r, x, rung_yaml_scalar(x), err));
    }
    return rung_buf_check(out, err);
}

bool recipe_has_var(const recipe *r, const char *name) {
    for (size_t i = 0; i < r->n_vars; i++)
        if (strcmp(r->var[i].name, name) == 0) return true;
    return false;
}

/* vars: new names; quick: only names that vars has. Later values may use earlier names. */
rung_status recipe_put_vars(recipe *r, const rung_yaml_node *map, bool must_exist,
                            rung_error *err) {
    rung_buf value;
    rung_status st = RUNG_OK;
    if (rung_yaml_kind_of(map) != RUNG_YAML_MAP)
        return bad(err, r, map, "a mapping is needed here");
    rung_buf_init(&value, 1u << 20);
    for (size_t i = 0; i < rung_yaml_count(map) && st == RUNG_OK; i++) {
        const char *key = rung_yaml_key(map, i);
        const rung_yaml_node *n = rung_yaml_item(map, i);
        if (must_exist && !var_find(r, key, strlen(key))) {
            const char *names[RECIPE_MAX_VARS];
            size_t n_names = var_names(r, names);
            st = unknown_word(err, r, n, "variable", key, names, n_names);
            break;
        }
        st = recipe_text(&value, r, n, err);
        if (st == RUNG_OK) st = recipe_var_put(r, key, value.n ? value.data : "", err);
    }
    rung_buf_clear(&value);
    return st;
}

/* --set key=value, one a line */
static rung_status set_vars(recipe *r, const char *set, rung_error *err) {
    const char *names[RECIPE_MAX_VARS];
    for (const char *p = set; p && *p;) {
        size_t n = strcspn(p, "\n");
        const char *eq = memchr(p, '=', n);
        char name[96], value[4096];
        if (!eq) return rung_fail(err, RUNG_E_INVAL, "--set %.*s: no \"=\"", (int)n, p);
        snprintf(name, sizeof name, "%.*s", (int)(eq - p), p);
        snprintf(value, sizeof value, "%.*s", (int)(n - (size_t)(eq - p) - 1), eq + 1);
        if (!var_find(r, name, strlen(name))) {
            const char *near = cli_nearest(name, names, var_names(r, names));
            rung_fail(err, RUNG_E_INVAL, "--set: the recipe has no variable \"%s\"", name);
            if (near) return rung_error_hint(err, "did you mean \"%s\"?", near);
            return RUNG_E_INVAL;
        }
        RUNG_TRY(recipe_var_put(r, name, value, err));
        p += n + (p[n] == '\n');
    }
    return RUNG_OK;
}

/* ---- stages */

static const cli_cmd *command_named(const char *text) {
    char name[64];
    for (size_t k = 0; cli_cmd_at(k); k++) {
        if (strcmp(cli_cmd_name(cli_cmd_at(k), name), text) == 0) return cli_cmd_at(k);
    }
    return NULL;
}

static rung_status find_command(const cli_cmd **out, const recipe *r, const rung_yaml_node *n,
                                rung_error *err) {
    enum { MAX = 128 };
    char names[MAX][64];
    const char *list[MAX];
    size_t k = 0;
    const char *text = n ? rung_yaml_scalar(n) : NULL;
    if (!text) return bad(err, r, n ? n : rung_yaml_root(r->yaml), "a stage needs do: COMMAND");
    *out = command_named(text);
    if (*out && (*out)->fn != cli_run && (*out)->fn != cli_help && (*out)->fn != cli_claims)
        return RUNG_OK;
    if (*out) return bad(err, r, n, "a recipe runs no recipe");
    for (; cli_cmd_at(k) && k < MAX; k++) list[k] = cli_cmd_name(cli_cmd_at(k), names[k]);
    return unknown_word(err, r, n, "command", text, list, k);
}

static bool is_global(const cli_opt *o) {
    return o >= cli_global_group.opt && o < cli_global_group.opt + cli_global_group.n;
}

static rung_status stage_options(recipe *r, recipe_stage *s, const rung_yaml_node *with,
                                 rung_error *err) {
    rung_buf value;
    rung_status st = RUNG_OK;
    if (with && rung_yaml_kind_of(with) != RUNG_YAML_MAP) {
        return bad(err, r, with, "with: needs a mapping of options");
    }
    rung_buf_init(&value, 1u << 20);
    for (size_t i = 0; with && i < rung_yaml_count(with); i++) {
        char where[320];
        const rung_yaml_node *n = rung_yaml_item(with, i);
        cli_value *v = cli_value_find(&s->call, rung_yaml_key(with, i));
        where_of(where, r, n);
        if (!v || is_global(v->opt)) {
            st = cli_unknown_option(&s->call, rung_yaml_key(with, i), where, RUNG_E_FORMAT, err);
            goto out;
        }
        RUNG_GOTO(recipe_text(&value, r, n, err));
        RUNG_GOTO(
            cli_set(&s->call, v, value.n ? value.data : "", CLI_RECIPE, where, RUNG_E_FORMAT, err));
    }
    RUNG_GOTO(recipe_real_options(r, s, err));
    st = s->skip ? RUNG_OK : cli_check_args(&s->call, err);
    if (st != RUNG_OK && err) { /* say where */
        char what[sizeof err->what];
        snprintf(what, sizeof what, "%s", err->what);
        snprintf(err->what, sizeof err->what, "%.120s:%d: %.100s", r->path, s->line, what);
        err->code = st = RUNG_E_FORMAT;
    }
out:
    rung_buf_clear(&value);
    return st;
}

/* when: of a stage or a check. Is it left out in this setting? */
static rung_status when_read(bool *skip, const recipe *r, const rung_yaml_node *n,
                             rung_error *err) {
    static const char *const settings[] = {"always", "full", "quick", "world", "real"};
    const rung_yaml_node *when = rung_yaml_get(n, "when");
    const char *w = when ? rung_yaml_scalar(when) : "always";
    const bool out[] = {false, r->quick, !r->quick, r->real, !r->real};
    size_t k = 0;
    while (w && k < CLI_N(settings) && strcmp(w, settings[k]) != 0) k++;
    if (!w || k == CLI_N(settings))
        return unknown_word(err, r, when, "setting", w ? w : "", settings, CLI_N(settings));
    *skip = out[k];
    return RUNG_OK;
}

static rung_status stage_read(recipe *r, cli_app *app, recipe_stage *s, const rung_yaml_node *n,
                              rung_error *err) {
    static const char *const keys[] = {"do", "with", "when", "note"};
    const cli_cmd *cmd;
    if (rung_yaml_kind_of(n) != RUNG_YAML_MAP) {
        return bad(err, r, n, "a stage is a mapping: do, with");
    }
    RUNG_TRY(check_keys(r, n, "key of a stage", keys, CLI_N(keys), err));
    RUNG_TRY(find_command(&cmd, r, rung_yaml_get(n, "do"), err));
    cli_call_init(&s->call, app, cmd);
    s->call.in_recipe = true;
    s->line = rung_yaml_line(n);
    RUNG_TRY(when_read(&s->skip, r, n, err));
    return stage_options(r, s, rung_yaml_get(n, "with"), err);
}

/* ---- the whole */

static const char *scalar_of(const rung_yaml_node *map, const char *key) {
    const rung_yaml_node *n = rung_yaml_get(map, key);
    return n ? rung_yaml_scalar(n) : NULL;
}

/* equal: words, or {what, key, arm, over}. */
static rung_status equal_read(recipe_claim *k, const recipe *r, const rung_yaml_node *n,
                              rung_error *err) {
    static const char *const keys[] = {"what", "key", "arm", "over"};
    if (!n) return RUNG_OK;
    if (rung_yaml_kind_of(n) == RUNG_YAML_SCALAR) {
        k->equal = rung_yaml_scalar(n);
        return RUNG_OK;
    }
    if (rung_yaml_kind_of(n) != RUNG_YAML_MAP) return bad(err, r, n, "equal: text or a mapping");
    RUNG_TRY(check_keys(r, n, "key of equal", keys, CLI_N(keys), err));
    k->equal = scalar_of(n, "what");
    k->equal_key = scalar_of(n, "key");
    k->equal_arm = scalar_of(n, "arm");
    k->equal_over = scalar_of(n, "over");
    return RUNG_OK;
}

static rung_status comparison_read(recipe_claim *k, const recipe *r, const rung_yaml_node *n,
                                   rung_error *err) {
    static const char *const keys[] = {"text",   "metric",   "method",      "arm",  "over",
                                       "margin", "reports",  "direction",   "note", "equal",
                                       "checks", "explains", "over_metric", "when"};
    if (rung_yaml_kind_of(n) == RUNG_YAML_SCALAR) {
        k->text = rung_yaml_scalar(n);
        return RUNG_OK;
    }
    if (rung_yaml_kind_of(n) != RUNG_YAML_MAP) return bad(err, r, n, "claim: text or a mapping");
    RUNG_TRY(check_keys(r, n, "key of a claim", keys, CLI_N(keys), err));
    k->text = scalar_of(n, "text");
    k->metric = scalar_of(n, "metric");
    k->arm = scalar_of(n, "method") ? scalar_of(n, "method") : scalar_of(n, "arm");
    k->over = scalar_of(n, "over") ? scalar_of(n, "over") : "single";
    const char *margin = scalar_of(n, "margin"), *direction = scalar_of(n, "direction");
    if (margin) k->margin = strtod(margin, NULL);
    k->over_metric = scalar_of(n, "over_metric");
    k->lower = direction && strcmp(direction, "lower") == 0;
    k->same = direction && strcmp(direction, "same") == 0;
    if (direction && !k->lower && !k->same && strcmp(direction, "higher") != 0)
        return bad(err, r, rung_yaml_get(n, "direction"), "direction: higher or lower, or same");
    return equal_read(k, r, rung_yaml_get(n, "equal"), err);
}

static rung_status claim_read(recipe *r, const rung_yaml_node *n, rung_error *err) {
    if (!n) return RUNG_OK;
    RUNG_TRY(comparison_read(&r->claim, r, n, err));
    if (rung_yaml_kind_of(n) != RUNG_YAML_MAP) return RUNG_OK;
    r->reports = scalar_of(n, "reports");
    r->explains = scalar_of(n, "explains");
    const rung_yaml_node *checks = rung_yaml_get(n, "checks");
    if (!checks) return RUNG_OK;
    if (rung_yaml_kind_of(checks) != RUNG_YAML_SEQ) return bad(err, r, checks, "checks: a list");
    if (rung_yaml_count(checks) > RECIPE_MAX_CHECKS) return bad(err, r, checks, "too many checks");
    for (size_t i = 0; i < rung_yaml_count(checks); i++) {
        const rung_yaml_node *x = rung_yaml_item(checks, i);
        bool skip = false;
        if (rung_yaml_kind_of(x) == RUNG_YAML_MAP) RUNG_TRY(when_read(&skip, r, x, err));
        if (!skip) RUNG_TRY(comparison_read(&r->check[r->n_checks++], r, x, err));
    }
    return RUNG_OK;
}

static const char *scalar_at(const recipe *r, const char *key) {
    const rung_yaml_node *n = rung_yaml_get(rung_yaml_root(r->yaml), key);
    return n ? rung_yaml_scalar(n) : NULL;
}

static rung_status read_vars(recipe *r, const char *set, rung_error *err) {
    const rung_yaml_node *root = rung_yaml_root(r->yaml);
    const rung_yaml_node *vars = rung_yaml_get(root, "vars"), *quick = rung_yaml_get(root, "quick");
    if (vars) RUNG_TRY(recipe_put_vars(r, vars, false, err));
    if (quick && r->quick) RUNG_TRY(recipe_put_vars(r, quick, true, err));
    RUNG_TRY(recipe_real_vars(r, root, err));
    RUNG_TRY(set_vars(r, set, err));
    return r->ask->policy ? recipe_var_put(r, "policy", r->ask->policy, err) : RUNG_OK;
}

static rung_status head_read(recipe *r, const char *set, rung_error *err) {
    static const char *const keys[] = {"recipe", "title", "paper", "claim",  "cost", "seed",
                                       "seeds",  "vars",  "quick", "stages", "note", "real"};
    const rung_yaml_node *root = rung_yaml_root(r->yaml);
    if (!root || rung_yaml_kind_of(root) != RUNG_YAML_MAP) {
        return rung_fail(err, RUNG_E_FORMAT,
                         "%s: a recipe is a mapping with recipe: and stages:", r->path);
    }
    RUNG_TRY(check_keys(r, root, "key", keys, CLI_N(keys), err));
    r->id = scalar_at(r, "recipe");
    r->title = scalar_at(r, "title");
    r->paper = scalar_at(r, "paper");
    r->cost = scalar_at(r, "cost");
    if (!r->id) return bad(err, r, root, "recipe: NAME is missing");
    if (!r->title) r->title = r->id;
    RUNG_TRY(claim_read(r, rung_yaml_get(root, "claim"), err));
    const char *seed = scalar_at(r, "seed");
    RUNG_TRY(recipe_var_put(r, "seed", seed ? seed : "1", err));
    RUNG_TRY(recipe_var_put(r, "recipe", r->id, err));
    return read_vars(r, set, err);
}

/* Before the other variables, which may be made of them, and after: --set seed= is round 0's. */
static rung_status round_vars(recipe *r, int round, const char *set, rung_error *err) {
    for (int k = 0; k < 2; k++) {
        RUNG_TRY(recipe_var_put(r, "seed", r->seed[round], err));
        RUNG_TRY(recipe_var_put(r, "out", r->out[round], err));
        if (k == 0) RUNG_TRY(read_vars(r, set, err));
    }
    return RUNG_OK;
}

rung_status recipe_load(recipe *r, cli_app *app, const char *path, const recipe_ask *ask,
                        rung_error *err) {
    const char *set = ask->set, *seeds = ask->seeds;
    r->path = path;
    r->quick = ask->quick;
    r->ask = ask;
    r->changed = (set && *set) || ask->policy || ask->problems || ask->options;
    RUNG_TRY(recipe_real_begin(r, err));
    RUNG_TRY(rung_file_read(&r->text, path, err));
    RUNG_TRY(rung_yaml_parse(&r->yaml, r->text.data ? r->text.data : "", r->text.n, path, err));
    RUNG_TRY(head_read(r, set, err));
    const rung_yaml_node *root = rung_yaml_root(r->yaml), *list = rung_yaml_get(root, "stages");
    if (!list || rung_yaml_kind_of(list) != RUNG_YAML_SEQ || rung_yaml_count(list) == 0) {
        return bad(err, r, list ? list : root, "stages: needs a list");
    }
    size_t n = rung_yaml_count(list);
    if (n > RECIPE_MAX_STAGES) return bad(err, r, list, "too many stages");
    RUNG_TRY(recipe_seeds_read(r, rung_yaml_get(root, "seeds"), seeds, err));
    r->stage = rung_calloc(n * (size_t)r->n_seeds, sizeof *r->stage);
    if (!r->stage) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    for (int round = 0; round < r->n_seeds; round++) {
        if (round > 0) RUNG_TRY(round_vars(r, round, set, err));
        for (size_t i = 0; i < n; i++) {
            recipe_stage *s = &r->stage[r->n_stages++];
            s->round = round;
            RUNG_TRY(stage_read(r, app, s, rung_yaml_item(list, i), err));
        }
        if (round > 0) RUNG_TRY(recipe_round_split(r, round, n, err));
    }
    RUNG_TRY(recipe_real_end(r, err));
    return r->n_seeds > 1 ? round_vars(r, 0, set, err) : RUNG_OK;
}

void recipe_clear(recipe *r) {
    rung_yaml_free(r->options);
    for (size_t i = 0; i < r->n_stages; i++) cli_call_clear(&r->stage[i].call);
    rung_free(r->stage);
    rung_yaml_free(r->yaml);
    rung_buf_clear(&r->text);
}

/* Keys that only tell, and those of another setting than the one that is claimed. */
static bool is_told(const char *key, const rung_yaml_node *value) {
    static const char *const keys[] = {"cost",    "note",     "title", "paper",
                                       "reports", "explains", "real"};
    for (size_t k = 0; k < CLI_N(keys); k++)
        if (strcmp(key, keys[k]) == 0) return true;
    const char *text = rung_yaml_scalar(value);
    return strcmp(key, "when") == 0 && text && strcmp(text, "world") == 0;
}

static void hash_text(rung_buf *b, const rung_yaml_node *n) {
    if (rung_yaml_kind_of(n) == RUNG_YAML_SCALAR) {
        const char *text = rung_yaml_scalar(n);
        rung_buf_json_str(b, text, strlen(text));
        return;
    }
    bool is_map = rung_yaml_kind_of(n) == RUNG_YAML_MAP;
    rung_buf_str(b, is_map ? "{" : "[");
    for (size_t i = 0; i < rung_yaml_count(n); i++) {
        const rung_yaml_node *x = rung_yaml_item(n, i);
        const rung_yaml_node *when =
            rung_yaml_kind_of(x) == RUNG_YAML_MAP ? rung_yaml_get(x, "when") : NULL;
        if (when && rung_yaml_scalar(when) && strcmp(rung_yaml_scalar(when), "real") == 0) continue;
        if (is_map && is_told(rung_yaml_key(n, i), x)) continue;
        if (is_map) rung_buf_printf(b, "%s:", rung_yaml_key(n, i));
        hash_text(b, x);
        rung_buf_str(b, ",");
    }
    rung_buf_str(b, is_map ? "}" : "]");
}

rung_status recipe_hash(char out[33], const recipe *r, rung_error *err) {
    rung_buf b;
    rung_buf_init(&b, 4u << 20);
    hash_text(&b, rung_yaml_root(r->yaml));
    rung_status st = rung_buf_check(&b, err);
    if (st == RUNG_OK) rung_hash_hex(out, b.data, b.n);
    rung_buf_clear(&b);
    return st;
}

void recipe_config(rung_buf *json, const recipe *r) {
    rung_buf_str(json, "{\"recipe\":");
    rung_buf_json_str(json, r->id, strlen(r->id));
    rung_buf_printf(json, ",\"quick\":%s,\"vars\":{", r->quick ? "true" : "false");
    for (size_t i = 0; i < r->n_vars; i++) {
        if (i) rung_buf_str(json, ",");
        rung_buf_json_str(json, r->var[i].name, strlen(r->var[i].name));
        rung_buf_str(json, ":");
        rung_buf_json_str(json, r->var[i].value, strlen(r->var[i].value));
    }
    if (r->n_seeds > 1) {
        rung_buf_str(json, "},\"seeds\":[");
        for (int k = 0; k < r->n_seeds; k++)
            rung_buf_printf(json, "%s%s", k ? "," : "", r->seed[k]);
        rung_buf_str(json, "],\"text\":");
    } else {
        rung_buf_str(json, "},\"text\":");
    }
    rung_buf_json_str(json, r->text.data, r->text.n);
    rung_buf_str(json, "}");
}
