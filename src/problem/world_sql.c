/* World `sql`: a question over a small generated database of three tables: parents, children, and a
 * table of codes, so that what a child is called in the question (its label) can only be found by
 * looking. The reference answer is a query; the solution asks for it in pieces, a query and its
 * result a line. The truth is computed here, from the rows; the checker runs queries. */
#include "base/json.h"
#include "problem/world_docs.h"
#include "rung/sql.h"
#include <stdio.h>
#include <string.h>

enum { PARENTS_MAX = 6, CHILDREN_MAX = 16, N_CODES = 4, SHOWN_ROWS = 50, SQL_COLUMN = 100 };

typedef struct theme {
    const char *parent, *parents, *measure; /* table, its plural, a column of numbers */
    const char *child, *children, *number;
    const char *codes; /* table of codes, also the child's column */
    const char *parent_names[12], *child_names[20], *labels[8];
} theme;
static const theme themes[] = {
    {"city",
     "cities",
     "people",
     "shop",
     "shops",
     "size",
     "trade",
     {"Oslo", "Bergen", "Moss", "Vik", "Bodo", "Narvik", "Hamar", "Molde", "Voss", "Roros", "Alta",
      "Skien"},
     {"Corner",     "Sunrise", "Old Mill", "Bluebird", "Harvest",   "Lantern", "Maple",
      "North Star", "Orchard", "Pine",     "Quay",     "Riverside", "Spruce",  "Tower",
      "Union",      "Vale",    "Willow",   "Yard",     "Anchor",    "Birch"},
     {"bakery", "books", "flowers", "shoes", "tea", "toys", "tools", "music"}},
    {"team",
     "teams",
     "titles",
     "player",
     "players",
     "goals",
     "role",
     {"Falcons", "Bears", "Comets", "Dragons", "Eagles", "Giants", "Hornets", "Kings", "Lions",
      "Owls", "Pirates", "Sharks"},
     {"Ada",  "Bo",   "Cleo", "Dov",  "Ebba", "Finn", "Greta", "Hugo", "Ines", "Jon",
      "Kaja", "Leif", "Mina", "Nils", "Olga", "Per",  "Ruth",  "Sven", "Tuva", "Ulf"},
     {"goalkeeper", "winger", "striker", "sweeper", "captain", "substitute", "back", "midfielder"}},
    {"author",
     "authors",
     "prizes",
     "book",
     "books",
     "pages",
     "genre",
     {"Aas", "Bakke", "Dahl", "Eide", "Foss", "Gran", "Holt", "Lund", "Moe", "Ness", "Ruud",
      "Vold"},
     {"Ashes",  "Bridges", "Clay",    "Dust",  "Echo", "Frost",          "Gold",
      "Hollow", "Iron",    "Juniper", "Knots", "Lead", "Moss and Stone", "Night",
      "Oak",    "Pearl",   "Quarry",  "Rain",  "Salt", "Thorns"},
     {"crime", "poetry", "travel", "history", "drama", "science", "satire", "fable"}},
};
enum { N_THEMES = sizeof themes / sizeof *themes };

typedef struct base { /* the rows */
    const theme *t;
    int n_parents, n_children;
    int parent_name[PARENTS_MAX], measure[PARENTS_MAX];
    int child_name[CHILDREN_MAX], of[CHILDREN_MAX], code[CHILDREN_MAX], number[CHILDREN_MAX];
    int label[N_CODES], digits[N_CODES]; /* code k is written "K17" */
} base;

typedef struct task { /* a question, its reference, its lines */
    rung_buf *question, *gold, *lines;
    base b;
    rung_rng *r;
} task;

static int below(rung_rng *r, int n) {
    return (int)rung_rng_below(r, (uint64_t)n);
}

/* n different numbers below m */
static void different(int *out, int n, int m, rung_rng *r) {
    for (int i = 0; i < n; i++) {
        bool again;
        do {
            out[i] = below(r, m);
            again = false;
            for (int k = 0; k < i; k++) again = again || out[k] == out[i];
        } while (again);
    }
}

static void draw_rows(base *b, rung_rng *r) {
    memset(b, 0, sizeof *b);
    b->t = &themes[rung_rng_below(r, N_THEMES)];
    b->n_parents = 4 + below(r, PARENTS_MAX - 3);
    b->n_children = 9 + below(r, CHILDREN_MAX - 8);
    different(b->parent_name, b->n_parents, 12, r);
    different(b->child_name, b->n_children, 20, r);
    different(b->label, N_CODES, 8, r);
    different(b->digits, N_CODES, 90, r);
    for (int i = 0; i < b->n_parents; i++) b->measure[i] = 1 + below(r, 900);
    for (int i = 0; i < b->n_children; i++) {
        b->of[i] = below(r, b->n_parents);
        b->code[i] = below(r, N_CODES);
        b->number[i] = 10 + below(r, 90);
    }
}

static const char *parent_of(const base *b, int i) {
    return b->t->parent_names[b->parent_name[i]];
}
static const char *child_of(const base *b, int i) {
    return b->t->child_names[b->child_name[i]];
}
static const char *label_of(const base *b, int k) {
    return b->t->labels[b->label[k]];
}
static int code_of(const base *b, int k) {
    return b->digits[k] + 10;
}

static void tables_sql(rung_buf *out, const theme *t) {
    rung_buf_printf(out, "CREATE TABLE %s(id INTEGER PRIMARY KEY, name TEXT, %s INTEGER);\n",
                    t->parent, t->measure);
    rung_buf_printf(out, "CREATE TABLE %s(code TEXT PRIMARY KEY, label TEXT);\n", t->codes);
    rung_buf_printf(out,
                    "CREATE TABLE %s(id INTEGER PRIMARY KEY, name TEXT, %s_id INTEGER REFERENCES "
                    "%s(id), %s TEXT REFERENCES %s(code), %s INTEGER);\n",
                    t->child, t->parent, t->parent, t->codes, t->codes, t->number);
}

static void rows_sql(rung_buf *out, const base *b) {
    const theme *t = b->t;
    for (int i = 0; i < b->n_parents; i++)
        rung_buf_printf(out, "INSERT INTO %s VALUES(%d,'%s',%d);\n", t->parent, i + 1,
                        parent_of(b, i), b->measure[i]);
    for (int k = 0; k < N_CODES; k++)
        rung_buf_printf(out, "INSERT INTO %s VALUES('K%d','%s');\n", t->codes, code_of(b, k),
                        label_of(b, k));
    for (int i = 0; i < b->n_children; i++)
        rung_buf_printf(out, "INSERT INTO %s VALUES(%d,'%s',%d,'K%d',%d);\n", t->child, i + 1,
                        child_of(b, i), b->of[i] + 1, code_of(b, b->code[i]), b->number[i]);
}

/* ---- the questions: false where the rows do not fit one */

static void line_code(task *k, int code) {
    rung_buf_printf(k->lines, "SELECT code FROM %s WHERE label = '%s' => K%d\n", k->b.t->codes,
                    label_of(&k->b, code), code_of(&k->b, code));
}

static void line_parent(task *k, int parent) {
    rung_buf_printf(k->lines, "SELECT id FROM %s WHERE name = '%s' => %d\n", k->b.t->parent,
                    parent_of(&k->b, parent), parent + 1);
}

/* SELECT name FROM parent WHERE id IN (1, 3) ORDER BY id => A; C */
static void line_names(task *k, const bool *in, const char *op, bool listed) {
    const base *b = &k->b;
    const char *gap = "";
    rung_buf_printf(k->lines, "SELECT name FROM %s WHERE id %s (", b->t->parent, op);
    for (int i = 0; i < b->n_parents; i++) {
        if (in[i] != listed) continue;
        rung_buf_printf(k->lines, "%s%d", gap, i + 1);
        gap = ", ";
    }
    rung_buf_str(k->lines, ") ORDER BY id => ");
    gap = "";
    for (int i = 0; i < b->n_parents; i++) {
        if (!in[i]) continue;
        rung_buf_printf(k->lines, "%s%s", gap, parent_of(b, i));
        gap = "; ";
    }
    rung_buf_str(k->lines, "\n");
}

static void line_ids(task *k, const bool *in) {
    const char *gap = "";
    for (int i = 0; i < k->b.n_parents; i++) {
        if (!in[i]) continue;
        rung_buf_printf(k->lines, "%s%d", gap, i + 1);
        gap = "; ";
    }
    rung_buf_str(k->lines, "\n");
}

static void count_children(int *n, const base *b) {
    memset(n, 0, PARENTS_MAX * sizeof *n);
    for (int i = 0; i < b->n_children; i++) n[b->of[i]]++;
}

static bool ask_count(task *k) {
    const base *b = &k->b;
    const theme *t = b->t;
    int code = below(k->r, N_CODES), n = 0;
    for (int i = 0; i < b->n_children; i++) n += b->code[i] == code;
    rung_buf_printf(k->question, "How many %s have the %s \"%s\"?\n", t->children, t->codes,
                    label_of(b, code));
    rung_buf_printf(k->gold,
                    "SELECT count(*) FROM %s JOIN %s ON %s.%s = %s.code WHERE %s.label = '%s'",
                    t->child, t->codes, t->child, t->codes, t->codes, t->codes, label_of(b, code));
    line_code(k, code);
    rung_buf_printf(k->lines, "SELECT count(*) FROM %s WHERE %s = 'K%d' => %d\n", t->child,
                    t->codes, code_of(b, code), n);
    return n > 0;
}

/* The children of one parent whose number is above another's, by name. */
static bool ask_above(task *k) {
    const base *b = &k->b;
    const theme *t = b->t;
    int parent = below(k->r, b->n_parents), above = 20 + 5 * below(k->r, 12), n = 0;
    const char *found[CHILDREN_MAX];
    for (int i = 0; i < b->n_children; i++) {
        if (b->of[i] != parent || b->number[i] <= above) continue;
        int at = n++;
        for (; at > 0 && strcmp(found[at - 1], child_of(b, i)) > 0; at--) found[at] = found[at - 1];
        found[at] = child_of(b, i);
    }
    rung_buf_printf(k->question, "Which %s of the %s %s have more than %d in %s?\n", t->children,
                    t->parent, parent_of(b, parent), above, t->number);
    rung_buf_printf(k->gold,
                    "SELECT %s.name FROM %s JOIN %s ON %s.%s_id = %s.id WHERE %s.name = '%s' AND "
                    "%s.%s > %d",
                    t->child, t->child, t->parent, t->child, t->parent, t->parent, t->parent,
                    parent_of(b, parent), t->child, t->number, above);
    line_parent(k, parent);
    rung_buf_printf(k->lines, "SELECT name FROM %s WHERE %s_id = %d AND %s > %d ORDER BY name => ",
                    t->child, t->parent, parent + 1, t->number, above);
    for (int i = 0; i < n; i++) rung_buf_printf(k->lines, "%s%s", i ? "; " : "", found[i]);
    rung_buf_str(k->lines, "\n");
    return n > 0;
}

static bool ask_most(task *k) {
    const base *b = &k->b;
    const theme *t = b->t;
    int n[PARENTS_MAX], best = 0, ties = 0;
    count_children(n, b);
    for (int i = 1; i < b->n_parents; i++)
        if (n[i] > n[best]) best = i;
    for (int i = 0; i < b->n_parents; i++) ties += n[i] == n[best];
    rung_buf_printf(k->question, "Which %s has the most %s?\n", t->parent, t->children);
    rung_buf_printf(k->gold,
                    "SELECT %s.name FROM %s JOIN %s ON %s.%s_id = %s.id GROUP BY %s.id ORDER BY "
                    "count(*) DESC LIMIT 1",
                    t->parent, t->parent, t->child, t->child, t->parent, t->parent, t->parent);
    rung_buf_printf(k->lines,
                    "SELECT %s_id, count(*) FROM %s GROUP BY %s_id ORDER BY count(*) DESC LIMIT 1 "
                    "=> %d, %d\n",
                    t->parent, t->child, t->parent, best + 1, n[best]);
    rung_buf_printf(k->lines, "SELECT name FROM %s WHERE id = %d => %s\n", t->parent, best + 1,
                    parent_of(b, best));
    return ties == 1;
}

static bool ask_none(task *k) {
    const base *b = &k->b;
    const theme *t = b->t;
    int n[PARENTS_MAX], n_none = 0;
    bool none[PARENTS_MAX] = {false}, some[PARENTS_MAX] = {false};
    count_children(n, b);
    for (int i = 0; i < b->n_parents; i++) {
        none[i] = n[i] == 0;
        some[i] = !none[i];
        n_none += none[i];
    }
    rung_buf_printf(k->question, "Which %s have no %s?\n", t->parents, t->child);
    rung_buf_printf(k->gold, "SELECT name FROM %s WHERE id NOT IN (SELECT %s_id FROM %s)",
                    t->parent, t->parent, t->child);
    rung_buf_printf(k->lines, "SELECT DISTINCT %s_id FROM %s ORDER BY %s_id => ", t->parent,
                    t->child, t->parent);
    line_ids(k, some);
    line_names(k, none, "NOT IN", false);
    return n_none > 0;
}

static bool ask_at_least(task *k) {
    const base *b = &k->b;
    const theme *t = b->t;
    int n[PARENTS_MAX], least = 2 + below(k->r, 3), n_in = 0;
    bool in[PARENTS_MAX] = {false};
    count_children(n, b);
    for (int i = 0; i < b->n_parents; i++) n_in += in[i] = n[i] >= least;
    rung_buf_printf(k->question, "Which %s have at least %d %s?\n", t->parents, least, t->children);
    rung_buf_printf(k->gold,
                    "SELECT %s.name FROM %s JOIN %s ON %s.%s_id = %s.id GROUP BY %s.id HAVING "
                    "count(*) >= %d",
                    t->parent, t->parent, t->child, t->child, t->parent, t->parent, t->parent,
                    least);
    rung_buf_printf(k->lines,
                    "SELECT %s_id FROM %s GROUP BY %s_id HAVING count(*) >= %d ORDER BY %s_id => ",
                    t->parent, t->child, t->parent, least, t->parent);
    line_ids(k, in);
    line_names(k, in, "IN", true);
    return n_in > 0 && n_in < b->n_parents;
}

static bool ask_sum(task *k) {
    const base *b = &k->b;
    const theme *t = b->t;
    int parent = below(k->r, b->n_parents), code = below(k->r, N_CODES), n = 0, sum = 0;
    for (int i = 0; i < b->n_children; i++) {
        if (b->of[i] != parent || b->code[i] != code) continue;
        sum += b->number[i];
        n++;
    }
    rung_buf_printf(k->question,
                    "What is the total %s of the %s of the %s %s with the %s \"%s\"?\n", t->number,
                    t->children, t->parent, parent_of(b, parent), t->codes, label_of(b, code));
    rung_buf_printf(k->gold,
                    "SELECT sum(%s.%s) FROM %s JOIN %s ON %s.%s_id = %s.id JOIN %s ON %s.%s = "
                    "%s.code WHERE %s.name = '%s' AND %s.label = '%s'",
                    t->child, t->number, t->child, t->parent, t->child, t->parent, t->parent,
                    t->codes, t->child, t->codes, t->codes, t->parent, parent_of(b, parent),
                    t->codes, label_of(b, code));
    line_code(k, code);
    line_parent(k, parent);
    rung_buf_printf(k->lines, "SELECT sum(%s) FROM %s WHERE %s_id = %d AND %s = 'K%d' => %d\n",
                    t->number, t->child, t->parent, parent + 1, t->codes, code_of(b, code), sum);
    return n > 0;
}

static const struct {
    const char *name;
    int n_lines;
    bool (*ask)(task *k);
} kinds[] = {{"count", 2, ask_count}, {"above", 2, ask_above},       {"most", 2, ask_most},
             {"none", 2, ask_none},   {"at least", 2, ask_at_least}, {"sum", 3, ask_sum}};
enum { N_KINDS = sizeof kinds / sizeof *kinds };

static rung_status lines_of(int32_t *lo, int32_t *hi, const rung_world_opts *o, rung_error *err) {
    *lo = o && o->steps_min > 0 ? o->steps_min : 2;
    *hi = o && o->steps_max > 0 ? o->steps_max : 3;
    if (o && o->steps_max <= 0 && *hi < *lo) *hi = *lo;
    if (*lo > 3 || *hi < 2 || *lo > *hi)
        return rung_fail(err, RUNG_E_INVAL, "sql takes %d..%d queries: need 2..3", *lo, *hi);
    return RUNG_OK;
}

static void write_meta(rung_buf *meta, const base *b, const char *kind, const rung_buf *gold,
                       uint64_t seed, uint64_t i) {
    rung_buf script;
    rung_buf_init(&script, 1 << 20);
    tables_sql(&script, b->t);
    rows_sql(&script, b);
    rung_buf_printf(meta,
                    "{\"v\":1,\"world\":\"sql\",\"seed\":%llu,\"i\":%llu,\"kind\":\"%s\",\"gold\":",
                    (unsigned long long)seed, (unsigned long long)i, kind);
    rung_buf_json_str(meta, gold->data ? gold->data : "", gold->n);
    rung_buf_str(meta, ",\"db\":{\"script\":");
    rung_buf_json_str(meta, script.data ? script.data : "", script.n);
    rung_buf_str(meta, "}}");
    if (script.failed) meta->failed = true;
    rung_buf_clear(&script);
}

rung_status sql_make(rung_buf *question, rung_buf *answer, rung_buf *solution, rung_buf *meta,
                     const rung_world_opts *o, uint64_t i, rung_error *err) {
    int32_t lo, hi;
    RUNG_TRY(lines_of(&lo, &hi, o, err));
    uint64_t seed = o ? o->seed : 0;
    rung_rng r = rung_rng_at(seed, RUNG_STREAM_WORLD, i, SQL_COLUMN);
    task k = {.question = question, .gold = answer, .lines = solution, .r = &r};
    size_t at[3] = {question->n, answer->n, solution->n};
    const char *kind = NULL;
    while (!kind) {
        size_t which = (size_t)rung_rng_below(&r, N_KINDS);
        if (kinds[which].n_lines < lo || kinds[which].n_lines > hi) continue;
        question->n = at[0], answer->n = at[1], solution->n = at[2];
        draw_rows(&k.b, &r);
        tables_sql(question, k.b.t);
        if (kinds[which].ask(&k)) kind = kinds[which].name;
        RUNG_TRY(rung_buf_check(question, err));
    }
    rung_buf_printf(solution, "#### %s\n", answer->data + at[1]);
    write_meta(meta, &k.b, kind, answer, seed, i);
    RUNG_TRY(rung_buf_check(answer, err));
    RUNG_TRY(rung_buf_check(solution, err));
    return rung_buf_check(meta, err);
}

/* ---- the checker ---- */

const char *world_trim(const char *s, size_t *n) {
    while (*n > 0 && (unsigned char)*s <= ' ') s++, --*n;
    while (*n > 0 && (unsigned char)s[*n - 1] <= ' ') --*n;
    return s;
}

/* Rows by "; ", values by ", ". */
static void flat(rung_buf *out, const rung_sql_result *r) {
    rung_buf_append(out, "", 0);
    for (int32_t k = 0; k < r->n_rows; k++) {
        for (int32_t c = 0; c < r->n_cols; c++) {
            const rung_sql_value *v = &r->cell[(size_t)k * (size_t)r->n_cols + (size_t)c];
            rung_buf_str(out, c ? ", " : k ? "; " : "");
            if (v->type == RUNG_SQL_INT)
                rung_buf_printf(out, "%lld", (long long)v->i);
            else if (v->type == RUNG_SQL_REAL)
                rung_buf_printf(out, "%.15g", v->d);
            else if (v->type == RUNG_SQL_NULL)
                rung_buf_str(out, "NULL");
            else
                rung_buf_append(out, v->s, (size_t)v->n);
        }
    }
}

typedef struct checking {
    const char *const *step;
    const int32_t *n_bytes;
    int32_t n, first;
    const char *gold;
    rung_arena *a;
} checking;

static const char *arrow_of(const char *s, size_t n) {
    for (size_t i = n; i >= 4; i--)
        if (memcmp(s + i - 4, " => ", 4) == 0) return s + i - 4;
    return NULL;
}

/* "query => result": the query runs and gives that. */
static rung_status query_line(bool *right, checking *k, rung_sql *s, const rung_sql_db *db,
                              const char *line, size_t n, rung_error *err) {
    const char *arrow = arrow_of(line, n);
    rung_sql_result r;
    rung_buf b;
    *right = false;
    if (!arrow) return RUNG_OK;
    char *sql = rung_arena_strndup(k->a, line, (size_t)(arrow - line));
    if (!sql) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    RUNG_TRY(rung_sql_run(&r, k->a, s, db, sql, err));
    if (r.outcome != RUNG_SQL_OK || r.truncated || r.n_rows > SHOWN_ROWS) return RUNG_OK;
    rung_buf_init(&b, 16 << 20);
    flat(&b, &r);
    size_t n_said = n - (size_t)(arrow + 4 - line);
    *right = !b.failed && b.n == n_said && memcmp(b.data, arrow + 4, n_said) == 0;
    rung_buf_clear(&b);
    return RUNG_OK;
}

static rung_status check_steps(void *ud, rung_sql *s, const rung_sql_db *db, rung_error *err) {
    checking *k = ud;
    bool closed = false;
    for (int32_t i = 0; i < k->n && k->first < 0; i++) {
        size_t n = (size_t)k->n_bytes[i];
        const char *line = world_trim(k->step[i], &n);
        bool is_final = n > 5 && memcmp(line, "#### ", 5) == 0, right = false;
        rung_arena_reset(k->a);
        if (is_final && !closed) {
            rung_sql_check c;
            char *sql = rung_arena_strndup(k->a, line + 5, n - 5);
            if (!sql) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
            RUNG_TRY(rung_sql_match(&c, s, db, k->gold, sql, NULL, err));
            right = c.verdict == RUNG_VERDICT_CORRECT;
        } else if (!closed) {
            RUNG_TRY(query_line(&right, k, s, db, line, n, err));
        }
        if (!right) k->first = i;
        closed = closed || is_final;
    }
    return RUNG_OK;
}

rung_status sql_first_error(int32_t *out, const char *meta, const char *const *step,
                            const int32_t *n_bytes, int32_t n_steps, rung_error *err) {
    yyjson_doc *doc = meta ? yyjson_read(meta, strlen(meta), 0) : NULL;
    yyjson_val *root = yyjson_doc_get_root(doc);
    const char *gold = rung_json_str(root, "gold", NULL);
    rung_status st = RUNG_OK;
    *out = -1;
    if (!gold || strcmp(rung_json_str(root, "world", ""), "sql") != 0) {
        yyjson_doc_free(doc);
        return rung_fail(err, RUNG_E_FORMAT, "not a problem of world sql");
    }
    checking k = {step, n_bytes, n_steps, -1, gold, rung_arena_new(0)};
    if (!k.a) st = rung_fail(err, RUNG_E_NOMEM, "out of memory");
    if (st == RUNG_OK) st = rung_sql_with_meta(meta, check_steps, &k, err);
    *out = k.first;
    rung_arena_free(k.a);
    yyjson_doc_free(doc);
    return st;
}
