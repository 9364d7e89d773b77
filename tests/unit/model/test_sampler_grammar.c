/* GBNF: faults are told with their place; what is sampled is in the language and ends with it. */
#include "random_model.h"

#include "model/sampler.h"
#include "model/sampler_gbnf.h"

static const struct {
    const char *text;
    int line, column; /* 0 0: a good grammar */
    const char *why;
} grammars[] = {
    {"root ::= \"Yes\" | \"No\"", 0, 0, ""},
    {"# numbers\nroot ::= num (\", \" num)* # more\nnum ::= [0-9]{1,3} frac?\nfrac ::= \".\" "
     "[0-9]+\n",
     0, 0, ""},
    {"root ::= [^\\n\\x41-\\x43\\u00e9] . \"\\\"\\\\\"\n", 0, 0, ""},
    {"root ::= (\n  \"a\" |\n  b\n)\nb ::= \"b\" | \n", 0, 0, ""},
    {"root ::= <[5]> !<[6]>", 0, 0, ""},
    {"", 1, 1, "no rule \"root\""},
    {"answer ::= \"a\"\n", 1, 1, "no rule \"root\""},
    {"root ::= \"abc\nx ::= \"y", 2, 8, "not defined"},
    {"root ::= \"abc", 1, 10, "literal that does not close"},
    {"root ::= [a-", 1, 13, "ends inside"},
    {"root ::= \"a\"\nb ::= (\"x\" | \"y\"\n", 2, 7, "group that does not close"},
    {"root ::= a)\na ::= \"x\"", 1, 11, "without its \"(\""},
    {"root = \"a\"", 1, 6, "\"::=\" is wanted"},
    {"root ::= \"a\"\n?? ::= \"b\"", 2, 1, "name of a rule"},
    {"root ::= thing", 1, 10, "not defined"},
    {"root ::= \"a\"\nroot ::= \"b\"", 2, 1, "defined twice"},
    {"root ::= \"a\\q\"", 1, 12, "no such escape"},
    {"root ::= \"\\x4g\"", 1, 11, "too few hexadecimal"},
    {"root ::= * \"a\"", 1, 10, "repetition of nothing"},
    {"root ::= \"a\"{2", 1, 13, "does not close"},
    {"root ::= \"a\"{x}", 1, 13, "{m}, {m,} or {m,n}"},
    {"root ::= \"a\"{3,2}", 1, 13, "n below m"},
    {"root ::= \"a\"{2001}", 1, 13, "2000"},
    {"root ::= root \"a\" | \"b\"", 1, 10, "left recursion"},
    {"root ::= a\na ::= b? c\nb ::= \"x\"\nc ::= a \"y\"", 4, 7, "left recursion"},
    {"root ::= (\"a\"*)* \"b\"", 1, 10, "may be empty"},
    {"root ::= <[5]", 1, 10, "does not close"},
    {"root ::= \"\xc3\xa9\xc3\xa9\" %", 1, 15, "nothing of a grammar"},
};

static void faults_have_a_place(void **state) {
    (void)state;
    int n_bad = 0;
    for (size_t i = 0; i < sizeof grammars / sizeof *grammars; i++) {
        rung_error err = RUNG_ERROR_INIT;
        bool tokens;
        char want[64];
        rung_status st = rung_gbnf_check(&tokens, grammars[i].text, &err);
        if (grammars[i].line == 0) {
            if (st != RUNG_OK) fail_msg("grammar %zu refused: %s", i, err.what);
            continue;
        }
        snprintf(want, sizeof want, "line %d, column %d: ", grammars[i].line, grammars[i].column);
        if (st != RUNG_E_FORMAT || !strstr(err.what, want) || !strstr(err.what, grammars[i].why))
            n_bad++, print_error("grammar %zu: %d \"%s\", not \"%s%s\"\n", i, st, err.what, want,
                                 grammars[i].why);
        rung_sampling s = {.temperature = 1, .top_p = 1, .grammar = grammars[i].text};
        if (*s.grammar) assert_int_equal(rung_sampling_check(&s, NULL), RUNG_E_FORMAT);
    }
    assert_int_equal(n_bad, 0);
    char deep[400]; /* 100 groups in each other are taken, 101 are not */
    for (int n = 100; n <= 101; n++) {
        int at = snprintf(deep, sizeof deep, "root ::= ");
        for (int k = 0; k < n; k++) deep[at++] = '(';
        at += snprintf(deep + at, 8, "\"a\"");
        for (int k = 0; k < n; k++) deep[at++] = ')';
        deep[at] = 0;
        bool tokens;
        assert_int_equal(rung_gbnf_check(&tokens, deep, NULL), n == 100 ? RUNG_OK : RUNG_E_FORMAT);
    }
}

/* --- sampling --------------------------------------------------------------------------------- */

static rung_model *model;

static int setup(void **state) {
    (void)state;
    rm_dir_make();
    random_model_write(rm_path("m.gguf"), &(random_model_opts){.seed = 3, .sharp = 4});
    return rung_model_load(&model, rm_path("m.gguf"), NULL, &terr) != RUNG_OK;
}

static int teardown(void **state) {
    (void)state;
    rung_model_free(model);
    rm_dir_remove();
    return 0;
}

typedef struct counts {
    const char *grammar;
    int n, n_ended, n_cut;
    char text[64][128];
} counts;

/* num ("," num)* "." with num = [0-9]{1,2}, or a beginning of it. */
static bool in_language(const char *t, int n, bool whole) {
    int digits = 0;
    for (int i = 0; i < n; i++) {
        if (t[i] >= '0' && t[i] <= '9') {
            if (++digits > 2) return false;
        } else if (t[i] == ',' && digits > 0) {
            digits = 0;
        } else {
            return t[i] == '.' && digits > 0 && i == n - 1;
        }
    }
    return !whole;
}

static rung_status on_gen(void *ud, const rung_gen_out *o, rung_error *err) {
    counts *c = ud;
    (void)err;
    bool ended = strcmp(o->stop, "eos") == 0;
    if (!in_language(o->text, o->n_bytes, ended)) fail_msg("\"%s\" (%s)", o->text, o->stop);
    assert_true(ended || strcmp(o->stop, "length") == 0);
    for (int i = 0; i < o->n_tok; i++) {
        assert_true(o->logprob_draw[i] <= 1e-6f);
        assert_true(o->logprob_draw[i] >= o->logprob[i] - 1e-4f); /* fewer tokens share the mass */
    }
    snprintf(c->text[c->n % 64], 128, "%s", o->text);
    c->n++;
    c->n_ended += ended;
    c->n_cut += !ended;
    return RUNG_OK;
}

static void text_stays_in_the_language(void **state) {
    (void)state;
    static const char gbnf[] = "root ::= num (\",\" num)* \".\"\nnum ::= [0-9] [0-9]?\n";
    static const rung_sampling how[] = {
        {.temperature = 1, .top_p = 1},                /* all tokens asked at once */
        {.temperature = 0.7, .top_p = 0.9},            /* the same, with a cut */
        {.temperature = 1, .top_p = 1, .top_k = 3},    /* few asked, from the top */
        {.temperature = 1, .top_p = 0.8, .top_k = 8},  /* both */
        {.temperature = 1, .top_p = 1, .min_p = 0.05}, /* few */
        {.temperature = 0, .top_p = 1},                /* the likeliest that may come */
    };
    for (size_t k = 0; k < sizeof how / sizeof *how; k++) {
        counts c = {.grammar = gbnf};
        rung_engine_opts o = RUNG_ENGINE_OPTS_INIT;
        o.n_seq = 8;
        o.n_threads = 2;
        rung_engine *e = NULL;
        assert_int_equal(rung_engine_open(&e, model, &o, NULL, &terr), RUNG_OK);
        rung_gen g = {.prompt = {.user = "count"},
                      .sampling = how[k],
                      .n = 32,
                      .max_tok = 12,
                      .seed = 7,
                      .stream = RUNG_STREAM_TEST};
        char text[sizeof gbnf];
        memcpy(text, gbnf, sizeof gbnf);
        g.sampling.grammar = text;
        assert_int_equal(rung_engine_gen(e, &g, &terr), RUNG_OK);
        memset(text, '?', sizeof text - 1); /* the engine has its own copy */
        rung_engine_cb cb = {.on_gen = on_gen, .ud = &c};
        if (rung_engine_run(e, &cb, &terr) != RUNG_OK) fail_msg("%s", terr.what);
        assert_int_equal(c.n, 32);
        if (how[k].temperature > 0) assert_true(c.n_ended > 0); /* "." does come */
        rung_engine_close(e);
    }
}

/* The asked-few way and the ask-all way keep the same tokens with the same probabilities: top_k of
 * a grammar = top_k of the logits with -inf where the mask says no. */
static void few_and_all_agree(void **state) {
    (void)state;
    grammar *g = NULL;
    assert_int_equal(rung_grammar_new(&g, model, "root ::= [a-f]+ | \"0\" [0-9]", &terr), RUNG_OK);
    static float z[RM_VOCAB], masked[RM_VOCAB];
    static bool ok[RM_VOCAB];
    void *scratch = malloc(rung_sample_scratch(RM_VOCAB));
    rung_grammar_mask(ok, g);
    int n_ok = 0;
    for (int i = 0; i < RM_VOCAB; i++) n_ok += ok[i];
    assert_true(n_ok >= 7); /* a-f, 0, and "ab", "abc", "abcd" */
    for (int round = 0; round < 200; round++) {
        rung_rng r = rung_rng_at(11, RUNG_STREAM_TEST, (uint64_t)round, 0);
        for (int i = 0; i < RM_VOCAB; i++) {
            z[i] = (float)(3 * rung_rng_normal(&r));
            masked[i] = ok[i] ? z[i] : -INFINITY;
        }
        rung_sampling s = {.temperature = 0.9, .top_p = 1};
        if (round % 3 == 0) s.top_k = 4;
        if (round % 3 == 1) s.min_p = 0.1;
        if (round % 3 == 2) s.temperature = round % 2;
        sampler_plan p = {.s = s, .n_vocab = RM_VOCAB};
        sampler_seq q = {.plan = &p, .grammar = g};
        rung_draw d = {.logits = z, .seq = &q, .u = rung_rng_f64(&r)};
        double lp[2];
        rung_draw_one(&d, scratch);
        assert_int_equal(d.tok, rung_sample_token(lp, masked, RM_VOCAB, &s, d.u, scratch));
        assert_true(fabs(d.logprob_draw - lp[1]) < 1e-6);
    }
    free(scratch);
    rung_grammar_free(g);
}

static rung_status keep_text(void *ud, const rung_gen_out *o, rung_error *err) {
    (void)err;
    snprintf(ud, 64, "%.40s|%s|%d", o->text, o->stop, o->n_tok);
    return RUNG_OK;
}

static void one(char out[64], const char *gbnf, const rung_logit_bias *bias, int n_bias) {
    rung_engine *e = NULL;
    rung_engine_opts o = RUNG_ENGINE_OPTS_INIT;
    o.n_seq = 1;
    assert_int_equal(rung_engine_open(&e, model, &o, NULL, &terr), RUNG_OK);
    rung_gen g = {.prompt = {.user = "x"},
                  .sampling = {.temperature = 1, .top_p = 1, .grammar = gbnf},
                  .n = 1,
                  .max_tok = 20};
    g.sampling.bias = bias;
    g.sampling.n_bias = n_bias;
    rung_engine_cb cb = {.on_gen = keep_text, .ud = out};
    assert_int_equal(rung_engine_gen(e, &g, &terr), RUNG_OK);
    assert_int_equal(rung_engine_run(e, &cb, &terr), RUNG_OK);
    rung_engine_close(e);
}

/* It ends with its last token, without a decode for the end token; bans that leave nothing end one
 * sample, not the run. */
static void ends_and_dead_ends(void **state) {
    (void)state;
    char out[64];
    one(out, "root ::= \"q!\"", NULL, 0);
    assert_string_equal(out, "q!|eos|2");
    static const rung_logit_bias ban[] = {{'!', -INFINITY}};
    one(out, "root ::= \"q!\"", ban, 1);
    assert_string_equal(out, "q|error|1");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(faults_have_a_place),
        cmocka_unit_test(text_stays_in_the_language),
        cmocka_unit_test(few_and_all_agree),
        cmocka_unit_test(ends_and_dead_ends),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
