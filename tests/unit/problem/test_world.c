/* Worlds: the exact checker on hand-written traces, generated solutions, hard operations. */
#include "problem/world.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char META[] =
    "{\"v\":1,\"world\":\"total\",\"start\":17,\"ops\":[\"+5\",\"x2\",\"-9\"]}";

/* Splits text at newlines into steps and runs a world's checker. */
static int32_t first_error(const char *world, const char *meta, const char *text) {
    const char *step[64];
    int32_t n_bytes[64], n = 0, out = -99;
    for (const char *p = text; *p && n < 64; n++) {
        const char *end = strchr(p, '\n');
        size_t len = end ? (size_t)(end - p) + 1 : strlen(p);
        step[n] = p;
        n_bytes[n] = (int32_t)len;
        p += len;
    }
    rung_error err = RUNG_ERROR_INIT;
    rung_status st = rung_world_find(world)->first_error(&out, meta, step, n_bytes, n, &err);
    if (st != RUNG_OK) print_error("%s: %s\n", err.what, err.detail);
    assert_int_equal(st, RUNG_OK);
    return out;
}

static void hand_written_traces(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int32_t want;
    } t[] = {
        {"17+5=22\n22x2=44\n44-9=35\n#### 35\n", -1},
        {"17+5=22\n22x2=44\n44-9=35\n#### 35", -1}, /* no newline at the end */
        {"17+5=22\n22x2=44", -1},                   /* cut short: nothing wrong in what is there */
        {"", -1},
        {"17+5=23\n23x2=46\n46-9=37\n#### 37\n", 0}, /* wrong sum, carried on */
        {"17+5=22\n22x2=45\n44-9=35\n#### 35\n", 1}, /* repaired later: still 1 */
        {"17+5=22\n22x2=44\n44-9=45\n#### 45\n", 2}, /* forgot the borrow */
        {"17+5=22\n22x2=44\n44-9=35\n#### 36\n", 3}, /* miscopied */
        {"16+5=21\n21x2=42\n42-9=33\n#### 33\n", 0}, /* wrong start */
        {"17+5=22\n23x2=46\n46-9=37\n#### 37\n", 1}, /* wrong a, arithmetic right */
        {"17-5=12\n", 0},                            /* wrong operation */
        {"17+6=23\n", 0},                            /* wrong operand */
        {"17+5=22\n17+5=22\n22x2=44\n", 1},          /* repeated line */
        {"17+5=22\n44-9=35\n#### 35\n", 1},          /* a line missing */
        {"22x2=44\n", 0},                            /* the first line missing */
        {"17+5=22\n22x2=44\n44-9=35\n35+0=35\n", 3}, /* a line too many */
        {"17+5=22\n22x2=44\n44-9=35\n#### 35\n#### 35\n", 4},
        {"17+5=22\n22x2=44\n44-9=35\n#### 35\n17+5=22\n", 4},
        {"17+5=22\n#### 22\n", 1},   /* ends early with the wrong number */
        {"17+5=22\n#### 35\n", -1},  /* ends early with the right one */
        {"17+5=22\n\n22x2=44\n", 1}, /* blank line */
        {"17 + 5 = 22\n", 0},
        {"17+5=22 ok\n", 0},
        {"17+5\n", 0},
        {"17+5=\n", 0},
        {"+5=22\n", 0},
        {"17+05=22\n", 0},
        {"17+5=022\n", 0},
        {"17+5=22=22\n", 0},
        {"17*5=85\n", 0},
        {"####35\n", 0},
        {"17+5=22\n22x2=44\n44-9=35\n#### 35.0\n", 3},
        {"17+5=99999999999999999999999\n", 0},
        {"hello\n", 0},
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        int32_t got = first_error("total", META, t[i].text);
        if (got != t[i].want)
            fail_msg("case %zu \"%s\": %d, want %d", i, t[i].text, got, t[i].want);
    }
}

static void negative_totals_parse(void **state) {
    (void)state;
    line l = line_parse("9-20=-11\n", 9);
    assert_int_equal(l.kind, LINE_OP);
    assert_int_equal(l.c, -11);
    l = line_parse("-11+5=-6", 8);
    assert_int_equal(l.a, -11);
    l = line_parse("9--20=29", 8);
    assert_int_equal(l.kind, LINE_BAD);
    l = line_parse("#### -6", 7);
    assert_int_equal(l.kind, LINE_FINAL);
    assert_int_equal(l.c, -6);
    l = line_parse("-0+5=5", 6);
    assert_int_equal(l.kind, LINE_BAD);
}

static void foreign_meta_is_an_error(void **state) {
    (void)state;
    static const char *const bad[] = {
        "",
        "{}",
        "[1]",
        "{\"world\":\"word\",\"start\":1,\"ops\":[]}",
        "{\"world\":\"total\",\"start\":1}",
        "{\"world\":\"total\",\"start\":1,\"ops\":[\"/2\"]}",
        "{\"world\":\"total\",\"start\":1,\"ops\":[\"+2 \"]}",
        "{\"world\":\"total\",\"start\":-1,\"ops\":[]}",
        "{\"world\":\"total\",\"start\":99,\"ops\":[\"x99999\",\"x99999\",\"x99999\",\"x99999\"]}"};
    rung_error err = RUNG_ERROR_INIT;
    int32_t out;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(rung_world_find("total")->first_error(&out, bad[i], NULL, NULL, 0, &err),
                         RUNG_E_FORMAT);
    assert_int_equal(rung_world_find("total")->first_error(&out, NULL, NULL, NULL, 0, &err),
                     RUNG_E_FORMAT);
}

static void hard_operations(void **state) {
    (void)state;
    assert_true(chain_is_hard(29, '+', 19));  /* 9+9 carries */
    assert_true(chain_is_hard(41, '+', 9));   /* 1+9 carries */
    assert_false(chain_is_hard(40, '+', 9));  /* 0+9 does not */
    assert_false(chain_is_hard(28, '+', 18)); /* carries, but units of b are 8 */
    assert_true(chain_is_hard(38, '-', 19));  /* 8-9 borrows */
    assert_false(chain_is_hard(39, '-', 19));
    assert_false(chain_is_hard(39, 'x', 9));
    assert_false(chain_is_hard(-1, '+', 9));
}

typedef struct bufs {
    rung_buf q, a, s, m;
} bufs;

static void make(bufs *b, const rung_world *w, const rung_world_opts *o, uint64_t i) {
    rung_error err = RUNG_ERROR_INIT;
    rung_buf_reset(&b->q), rung_buf_reset(&b->a), rung_buf_reset(&b->s), rung_buf_reset(&b->m);
    assert_int_equal(w->make(&b->q, &b->a, &b->s, &b->m, o, i, &err), RUNG_OK);
}

static void bufs_init(bufs *b) {
    rung_buf_init(&b->q, 1 << 20), rung_buf_init(&b->a, 1 << 20);
    rung_buf_init(&b->s, 1 << 20), rung_buf_init(&b->m, 1 << 20);
}

static void bufs_clear(bufs *b) {
    rung_buf_clear(&b->q), rung_buf_clear(&b->a), rung_buf_clear(&b->s), rung_buf_clear(&b->m);
}

static void solutions_are_right_and_limits_hold(void **state) {
    (void)state;
    bufs b;
    bufs_init(&b);
    for (size_t k = 0; rung_world_at(k); k++) {
        const rung_world *w = rung_world_at(k);
        if (!world_impl_find(w->name, strlen(w->name))) continue; /* not a chain */
        for (int variant = 0; variant < 4; variant++) {
            rung_world_opts o = RUNG_WORLD_OPTS_INIT;
            o.seed = 5 + (uint64_t)variant;
            if (variant == 1) o.steps_min = 1, o.steps_max = 2;
            if (variant == 2) o.max = 999, o.steps_min = o.steps_max = 20;
            if (variant == 3) o.hard = 0.5, o.max = 20;
            for (uint64_t i = 0; i < 500; i++) {
                make(&b, w, &o, i);
                assert_int_equal(first_error(w->name, b.m.data, b.s.data), -1);
                char want[32];
                snprintf(want, sizeof want, "#### %s\n", b.a.data);
                assert_string_equal(b.s.data + b.s.n - strlen(want), want);
                chain c;
                rung_error err = RUNG_ERROR_INIT;
                assert_int_equal(chain_from_meta(&c, w->name, b.m.data, &err), RUNG_OK);
                int32_t max = o.max ? o.max : 99;
                for (int32_t t = 0; t <= c.n; t++)
                    assert_in_range(chain_total(&c, t), 0, (uint64_t)max);
                int32_t lo = o.steps_min ? o.steps_min : k == 0 ? 4 : 3;
                int32_t hi = o.steps_max ? o.steps_max : k == 0 ? 8 : 6;
                assert_in_range(c.n, lo, hi);
            }
        }
    }
    bufs_clear(&b);
}

static void total_reads_as_documented(void **state) {
    (void)state;
    bufs b;
    bufs_init(&b);
    rung_world_opts o = RUNG_WORLD_OPTS_INIT;
    for (uint64_t i = 0; i < 50; i++) {
        make(&b, rung_world_find("total"), &o, i);
        chain c;
        rung_error err = RUNG_ERROR_INIT;
        assert_int_equal(chain_from_meta(&c, "total", b.m.data, &err), RUNG_OK);
        char want[256];
        int n = snprintf(want, sizeof want, "Start at %d.", c.start);
        for (int32_t t = 0; t < c.n; t++)
            n += snprintf(want + n, sizeof want - (size_t)n, " %c%d", c.op[t].o, c.op[t].b);
        snprintf(want + n, sizeof want - (size_t)n, ". Total?\n");
        assert_string_equal(b.q.data, want);
    }
    bufs_clear(&b);
}

/* Every number of a word question is the start, an operand in order, or a distractor. */
static void word_questions_hold_the_chain(void **state) {
    (void)state;
    bufs b;
    bufs_init(&b);
    rung_world_opts o = RUNG_WORLD_OPTS_INIT;
    int64_t n_bytes = 0, n_distract = 0;
    size_t longest = 0;
    for (uint64_t i = 0; i < 2000; i++) {
        make(&b, rung_world_find("word"), &o, i);
        chain c;
        rung_error err = RUNG_ERROR_INIT;
        assert_int_equal(chain_from_meta(&c, "word", b.m.data, &err), RUNG_OK);
        int32_t used = 0, other = 0;
        for (const char *p = b.q.data; *p;) {
            if (*p < '0' || *p > '9') {
                p++;
                continue;
            }
            int32_t v = 0;
            while (*p >= '0' && *p <= '9') v = v * 10 + (*p++ - '0');
            int32_t want = used == 0 ? c.start : used <= c.n ? c.op[used - 1].b : -1;
            if (v == want) {
                used++;
            } else {
                other++;
            }
        }
        if (used != c.n + 1) fail_msg("%d of %d numbers in %s", used, c.n + 1, b.q.data);
        assert_null(strchr(b.q.data, '{'));
        assert_int_equal(b.q.data[b.q.n - 1], '\n');
        n_distract += other;
        n_bytes += (int64_t)b.q.n;
        if (b.q.n > longest) longest = b.q.n;
    }
    print_message("word: mean %.1f bytes, longest %zu, distractors %.2f per problem\n",
                  (double)n_bytes / 2000, longest, (double)n_distract / 2000);
    assert_in_range(n_bytes / 2000, 100, 260);
    assert_true(longest < 500);
    assert_in_range(n_distract, 1600, 2000); /* .5 x 1 + .2 x 2 = .9 a problem, sd 31 */
    bufs_clear(&b);
}

/* Shares over 20k problems: x, hard as they fall, hard as asked. */
static void shares(void **state) {
    (void)state;
    for (int variant = 0; variant < 3; variant++) {
        rung_world_opts o = RUNG_WORLD_OPTS_INIT;
        rung_error err = RUNG_ERROR_INIT;
        if (variant == 1) o.hard = 0.4;
        if (variant == 2) o.hard = 0.0;
        chain_opts co;
        assert_int_equal(chain_opts_fill(&co, &o, 4, 8, &err), RUNG_OK);
        int64_t n = 0, hard = 0, times = 0, len[9] = {0};
        for (uint64_t i = 0; i < 20000; i++) {
            chain c;
            rung_rng r = rung_rng_at(9, RUNG_STREAM_TEST, i, 0);
            chain_draw(&c, &r, &co);
            len[c.n]++;
            for (int32_t t = 0; t < c.n; t++, n++) {
                hard += chain_is_hard(chain_total(&c, t), c.op[t].o, c.op[t].b);
                times += c.op[t].o == 'x';
            }
        }
        double h = (double)hard / (double)n, x = (double)times / (double)n;
        print_message("hard asked %g: %.4f of %lld operations hard, %.4f x\n", o.hard, h,
                      (long long)n, x);
        for (int k = 4; k <= 8; k++) assert_in_range(len[k], 3700, 4300); /* 4000, sd 57 */
        if (variant == 0) assert_true(h > 0.06 && h < 0.11 && x > 0.03 && x < 0.10);
        if (variant == 1) assert_true(h > 0.36 && h <= 0.41); /* a few totals allow none */
        if (variant == 2) assert_true(hard == 0);
    }
}

static void same_address_same_problem(void **state) {
    (void)state;
    bufs a, b;
    bufs_init(&a);
    bufs_init(&b);
    rung_world_opts o = RUNG_WORLD_OPTS_INIT, o2 = RUNG_WORLD_OPTS_INIT;
    o.seed = 3;
    o2.seed = 4;
    for (size_t k = 0; rung_world_at(k); k++) {
        make(&a, rung_world_at(k), &o, 77);
        make(&b, rung_world_at(k), &o, 77);
        assert_string_equal(a.q.data, b.q.data);
        assert_string_equal(a.m.data, b.m.data);
        make(&b, rung_world_at(k), &o, 78);
        assert_string_not_equal(a.q.data, b.q.data);
        make(&b, rung_world_at(k), &o2, 77);
        assert_string_not_equal(a.q.data, b.q.data);
    }
    bufs_clear(&a);
    bufs_clear(&b);
}

static void bad_options(void **state) {
    (void)state;
    bufs b;
    bufs_init(&b);
    rung_error err = RUNG_ERROR_INIT;
    const rung_world_opts bad[] = {
        {.struct_size = sizeof bad[0], .steps_min = 5, .steps_max = 3},
        {.struct_size = sizeof bad[0], .steps_max = 1000},
        {.struct_size = sizeof bad[0], .max = 5},
        {.struct_size = sizeof bad[0], .max = 1000000},
        {.struct_size = sizeof bad[0], .hard = 1.5},
        {.struct_size = sizeof bad[0] + 8},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(rung_world_find("total")->make(&b.q, &b.a, &b.s, &b.m, &bad[i], 0, &err),
                         RUNG_E_INVAL);
    bufs_clear(&b);
    assert_null(rung_world_find("nope"));
    assert_null(rung_world_find(NULL));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hand_written_traces),
        cmocka_unit_test(negative_totals_parse),
        cmocka_unit_test(foreign_meta_is_an_error),
        cmocka_unit_test(hard_operations),
        cmocka_unit_test(solutions_are_right_and_limits_hold),
        cmocka_unit_test(total_reads_as_documented),
        cmocka_unit_test(word_questions_hold_the_chain),
        cmocka_unit_test(shares),
        cmocka_unit_test(same_address_same_problem),
        cmocka_unit_test(bad_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
