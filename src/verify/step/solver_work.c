/* The worker: the only file that sees Z3. Every query gets a context of its own, so that its answer
 * and its count of resource units do not depend on the queries before it. */
#include "verify/step/solver.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <z3.h>

typedef struct reply {
    solver_answer answer;
    uint32_t used;
    size_t n;
    char text[SOLVER_MODEL_MAX];
} reply;

static void quiet(Z3_context c, Z3_error_code e) { /* else Z3 ends the process */
    (void)c, (void)e;
}

static void say(reply *r, const char *fmt, const char *a, const char *b) {
    size_t room = sizeof r->text - r->n;
    int k = snprintf(r->text + r->n, room, fmt, a, b);
    if (k > 0) r->n += (size_t)k < room ? (size_t)k : room - 1;
}

typedef struct value {
    char name[72], text[200];
} value;

static int by_name(const void *a, const void *b) {
    return strcmp(((const value *)a)->name, ((const value *)b)->name);
}

static bool value_of(value *v, Z3_context c, Z3_func_decl d, Z3_ast a) {
    Z3_sort sort = Z3_get_sort(c, a);
    Z3_sort_kind kind = Z3_get_sort_kind(c, sort);
    const char *text = "?";
    if (kind == Z3_UNINTERPRETED_SORT) return false;
    snprintf(v->name, sizeof v->name, "%s", Z3_get_symbol_string(c, Z3_get_decl_name(c, d)));
    if (kind == Z3_BOOL_SORT)
        text = Z3_get_bool_value(c, a) == Z3_L_TRUE ? "true" : "false";
    else if (Z3_is_algebraic_number(c, a))
        text = Z3_get_numeral_decimal_string(c, a, 6);
    else if (Z3_is_numeral_ast(c, a))
        text = Z3_get_numeral_string(c, a);
    else
        text = Z3_ast_to_string(c, a);
    snprintf(v->text, sizeof v->text, "%s", text ? text : "?");
    return true;
}

enum { VALUES_MAX = 256 };

static void tell_model(reply *r, Z3_context c, Z3_solver s) {
    static value values[VALUES_MAX];
    Z3_model m = Z3_solver_get_model(c, s);
    size_t n = 0;
    if (!m) return;
    Z3_model_inc_ref(c, m);
    unsigned k = Z3_model_get_num_consts(c, m);
    for (unsigned i = 0; i < k && n < VALUES_MAX; i++) {
        Z3_func_decl d = Z3_model_get_const_decl(c, m, i);
        Z3_ast a = Z3_model_get_const_interp(c, m, d);
        if (a && strchr(Z3_get_symbol_string(c, Z3_get_decl_name(c, d)), '!') == NULL)
            n += value_of(&values[n], c, d, a);
    }
    qsort(values, n, sizeof *values, by_name);
    for (size_t i = 0; i < n; i++) {
        if (i > 0) say(r, "%s%s", ", ", "");
        say(r, "%s = %s", values[i].name, values[i].text);
    }
    Z3_model_dec_ref(c, m);
}

static uint32_t units(Z3_context c, Z3_solver s) {
    Z3_stats st = Z3_solver_get_statistics(c, s);
    uint32_t used = 0;
    if (!st) return 0;
    Z3_stats_inc_ref(c, st);
    for (unsigned i = 0; i < Z3_stats_size(c, st); i++)
        if (strcmp(Z3_stats_get_key(c, st, i), "rlimit count") == 0 && Z3_stats_is_uint(c, st, i))
            used = Z3_stats_get_uint_value(c, st, i);
    Z3_stats_dec_ref(c, st);
    return used;
}

static void set_uint(Z3_context c, Z3_params p, const char *name, unsigned v) {
    Z3_params_set_uint(c, p, Z3_mk_string_symbol(c, name), v);
}

/* One solver's try at the assertions. */
static void check(reply *r, Z3_context c, Z3_solver s, Z3_ast_vector v, uint32_t rlimit) {
    Z3_solver_inc_ref(c, s); /* before the next call, which would free it */
    Z3_params p = Z3_mk_params(c);
    Z3_params_inc_ref(c, p);
    set_uint(c, p, "rlimit", rlimit);
    set_uint(c, p, "random_seed", 0);
    Z3_solver_set_params(c, s, p);
    for (unsigned i = 0; i < Z3_ast_vector_size(c, v); i++)
        Z3_solver_assert(c, s, Z3_ast_vector_get(c, v, i));
    Z3_lbool is = Z3_solver_check(c, s);
    r->used = units(c, s);
    r->n = 0;
    if (is == Z3_L_FALSE) {
        r->answer = SOLVER_UNSAT;
    } else if (is == Z3_L_TRUE) {
        r->answer = SOLVER_SAT;
        tell_model(r, c, s);
    } else {
        const char *why = Z3_solver_get_reason_unknown(c, s);
        bool limit = strstr(why, "resource") || strstr(why, "memory") || strstr(why, "canceled");
        r->answer = limit ? SOLVER_LIMIT : SOLVER_UNKNOWN;
        say(r, "%s%s", why, "");
    }
    Z3_params_dec_ref(c, p);
    Z3_solver_dec_ref(c, s);
}

/* Products and divisions: for Z3's own choice of strategy (nlsat for polynomials over the reals),
 * which keeps to its limit there; the plain solver does not. */
static bool is_linear(const char *query) {
    return !strstr(query, "(* ") && !strstr(query, "(/ ") && !strstr(query, "(div ") &&
           !strstr(query, "(mod ");
}

/* Without them the plain solver, a millisecond instead of ten; where it gives up, the other. */
static void answer(reply *r, const char *query, uint32_t rlimit) {
    Z3_config cfg = Z3_mk_config();
    Z3_context c = Z3_mk_context(cfg);
    Z3_del_config(cfg);
    Z3_set_error_handler(c, quiet);
    Z3_ast_vector v = Z3_parse_smtlib2_string(c, query, 0, 0, 0, 0, 0, 0);
    if (Z3_get_error_code(c) != Z3_OK || !v) {
        r->answer = SOLVER_BAD;
        say(r, "%s%s", Z3_get_error_msg(c, Z3_get_error_code(c)), "");
    } else {
        Z3_ast_vector_inc_ref(c, v);
        bool plain = is_linear(query);
        check(r, c, plain ? Z3_mk_simple_solver(c) : Z3_mk_solver(c), v, rlimit);
        if (plain && r->answer == SOLVER_UNKNOWN) check(r, c, Z3_mk_solver(c), v, rlimit);
        Z3_ast_vector_dec_ref(c, v);
    }
    Z3_del_context(c);
}

void solver_work(int fd, uint32_t memory_mb) {
    static reply r;
    char *query = malloc(SOLVER_QUERY_MAX + 1), memory[16];
    solver_head h;
    snprintf(memory, sizeof memory, "%u", memory_mb);
    Z3_global_param_set("memory_max_size", memory);
    while (query && solver_read(fd, &h, sizeof h) && h.n <= SOLVER_QUERY_MAX) {
        if (!solver_read(fd, query, h.n)) break;
        query[h.n] = '\0';
        r.n = 0;
        r.used = 0;
        answer(&r, query, h.rlimit);
        h = (solver_head){(uint32_t)r.n, r.used, (uint32_t)r.answer};
        if (!solver_write(fd, &h, sizeof h) || !solver_write(fd, r.text, r.n)) break;
    }
    _exit(0);
}
