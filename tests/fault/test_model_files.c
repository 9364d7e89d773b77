/* Damaged and poisoned model files through the command, with a store: an error with a hint, exit
 * code 5, the store sound, what was written before kept, and the work goes on with a sound file. */
#include "model/gguf_file.h"
#include "rung/base.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[64], out[16384];

#define OK(expr)                                                                                   \
    do {                                                                                           \
        rung_error ok_err = RUNG_ERROR_INIT, *err = &ok_err;                                       \
        if ((expr) != RUNG_OK) fail_msg("%s: %s", #expr, ok_err.what);                             \
        (void)err;                                                                                 \
    } while (0)

/* rung ARGS in the folder; its output is in out; the exit code, or minus the signal. */
static int run(const char *fmt, ...) {
    char args[900], cmd[1400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(args, sizeof args, fmt, ap);
    va_end(ap);
    snprintf(cmd, sizeof cmd, "cd '%s' && XDG_CACHE_HOME='%s/cache' OMP_NUM_THREADS=1 '%s' %s 2>&1",
             dir, dir, getenv("RUNG_BIN"), args);
    FILE *p = popen(cmd, "r");
    assert_non_null(p);
    size_t n = fread(out, 1, sizeof out - 1, p);
    out[n] = 0;
    while (fgetc(p) != EOF) continue;
    int state = pclose(p);
    if (WIFSIGNALED(state)) return -WTERMSIG(state);
    int code = WEXITSTATUS(state);
    return code > 128 ? -(code - 128) : code; /* as a shell tells it */
}

#define EXPECT(code, text, ...)                                                                    \
    do {                                                                                           \
        int got = run(__VA_ARGS__);                                                                \
        if (got != (code) || !strstr(out, text))                                                   \
            fail_msg("%d, not %d, or no \"%s\": %s", got, code, text, out);                        \
    } while (0)

static int n_traces(const char *name) {
    assert_int_equal(run("trace show --run %s --json 2>/dev/null | wc -l", name), 0);
    return atoi(out);
}

/* The tiny policy with numbers of one tensor changed: rows [from, to) become `value`. dims: how its
 * shape is told, 0 = as it is. */
typedef struct change {
    const char *tensor;
    int64_t from, to;
    float value;
    bool turned; /* rows for columns */
} change;

static void write_changed(const char *name, const change *c) {
    char path[200], src[600];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    snprintf(src, sizeof src, "%s/models/tiny.gguf", RUNG_SOURCE_DIR);
    rung_gguf *g;
    OK(rung_gguf_open(&g, src, err));
    rung_gguf_writer *w = rung_gguf_writer_new();
    rung_gguf_put_all(w, g);
    bool found = false;
    for (int64_t i = 0; i < rung_gguf_n_tensors(g); i++) {
        const char *t = rung_gguf_tensor_name(g, i);
        float *x;
        int64_t d[4];
        OK(rung_gguf_tensor(&x, d, g, t, err));
        if (strcmp(t, c->tensor) == 0) {
            found = true;
            for (int64_t k = c->from * d[0]; k < c->to * d[0]; k++) x[k] = c->value;
            if (c->turned) {
                int64_t n = d[0];
                d[0] = d[1], d[1] = n;
            }
        }
        rung_gguf_put_tensor(w, t, RUNG_GGUF_F32, d[1] > 1 ? 2 : 1, d, x);
        rung_free(x);
    }
    assert_true(found);
    OK(rung_gguf_write(w, path, err));
    rung_gguf_writer_free(w);
    rung_gguf_free(g);
}

/* Token of a text in the tiny policy's vocabulary. */
static int64_t token(const char *text) {
    char src[600];
    rung_gguf *g;
    snprintf(src, sizeof src, "%s/models/tiny.gguf", RUNG_SOURCE_DIR);
    OK(rung_gguf_open(&g, src, err));
    int64_t n = rung_gguf_arr_n(g, "tokenizer.ggml.tokens"), at = -1;
    for (int64_t i = 0; i < n && at < 0; i++)
        if (strcmp(rung_gguf_arr_str(g, "tokenizer.ggml.tokens", i), text) == 0) at = i;
    rung_gguf_free(g);
    assert_true(at >= 0);
    return at;
}

static void sound(void) {
    EXPECT(0, "\"ok\":true", "store check --json");
}

#define SAMPLE                                                                                     \
    "trace sample --split-steps line --n 4 --max-tokens 60 --sequences 4 --quiet --policy %s "     \
    "--name %s"

/* Eight problems; the question of the sixth holds a sign that no other text holds. */
static void import_problems(void) {
    char path[200];
    rung_buf b;
    rung_buf_init(&b, 1 << 16);
    for (int i = 0; i < 8; i++)
        rung_buf_printf(&b,
                        "{\"question\":\"Start at %d. +2 -9%s. Total?\\n\",\"answer\":\"%d\"}\n",
                        20 + i, i == 5 ? " ~" : "", 13 + i);
    snprintf(path, sizeof path, "%s/eight.jsonl", dir);
    OK(rung_file_write(path, b.data, b.n, err));
    rung_buf_clear(&b);
    EXPECT(0, "", "problem import jsonl eight.jsonl --set eight --split test --quiet");
}

/* The row of that sign is NaN: the policy writes what does not need it, then the command stops. */
static void poison_in_the_middle(void **state) {
    (void)state;
    int64_t sign = token("~");
    write_changed("sound.gguf", &(change){.tensor = "token_embd.weight"});
    write_changed("poison.gguf", &(change){.tensor = "token_embd.weight",
                                           .from = sign,
                                           .to = sign + 1,
                                           .value = (float)NAN});
    import_problems();
    EXPECT(5, "not numbers", SAMPLE, "poison.gguf", "pool");
    assert_non_null(strstr(out, "hint: "));
    sound();
    int n = n_traces("pool");
    print_message("%d of 32 traces before the poison\n", n);
    assert_true(n >= 4 && n <= 20);
    EXPECT(5, "not numbers", SAMPLE, "poison.gguf", "pool"); /* the same again */
    sound();
    assert_int_equal(n_traces("pool"), n); /* no trace twice, none lost */
    /* The file is fetched again: under its own name the run is another one, and complete. */
    EXPECT(0, "", SAMPLE, "sound.gguf", "healed");
    assert_int_equal(n_traces("healed"), 32);
    sound();
    /* Readings meet it, too. */
    EXPECT(5, "not numbers", "model perplexity --policy poison.gguf --text 'start ~ 7' --quiet");
    EXPECT(5, "not numbers", "reward score poison.gguf --format rung-token --run healed --quiet");
    sound();
}

/* NaN at the start of every computation: nothing is written, and a labeler stops as well. */
static void poison_everywhere(void **state) {
    (void)state;
    write_changed("all.gguf",
                  &(change){.tensor = "output_norm.weight", .to = 1, .value = (float)NAN});
    EXPECT(5, "not numbers", SAMPLE, "all.gguf", "none");
    sound();
    assert_int_equal(n_traces("none"), 0);
    EXPECT(5, "not numbers",
           "label mc --run healed --policy all.gguf --k 2 --max-tokens 40"
           " --traces-per-problem 1 --name mc --quiet");
    sound();
    EXPECT(0, "",
           "label mc --run healed --policy sound.gguf --k 2 --max-tokens 40"
           " --traces-per-problem 1 --limit 4 --name mc-sound --quiet");
    sound();
}

static void shapes(void **state) {
    (void)state;
    static const change turned[] = {{.tensor = "blk.0.ffn_gate.weight", .turned = true},
                                    {.tensor = "token_embd.weight", .turned = true}};
    for (size_t i = 0; i < sizeof turned / sizeof *turned; i++) {
        write_changed("turned.gguf", &turned[i]);
        EXPECT(5, "wrong shape", "model info turned.gguf");
        EXPECT(5, "hint: ", SAMPLE, "turned.gguf", "turned");
        EXPECT(5, "hint: ", "reward score turned.gguf --format rung-token --run healed");
        sound();
    }
    assert_int_equal(n_traces("turned"), 0);
}

/* A library that aborts in the middle of the command: told, exit code 5, the store sound, the same
 * command goes on. */
static void an_abort_in_the_middle(void **state) {
    (void)state;
    char cmd[1200];
    snprintf(cmd, sizeof cmd,
             "cd '%s' && { XDG_CACHE_HOME='%s/cache' OMP_NUM_THREADS=1 '%s' trace sample --n 400 "
             "--max-tokens 60 --policy sound.gguf --name long --quiet 2>err.txt & pid=$!; "
             "for i in $(seq 200); do sleep 0.1; "
             "[ $('%s' trace show --run long --json 2>/dev/null | wc -l) -gt 3 ] && break; done; "
             "kill -ABRT $pid; wait $pid; }",
             dir, dir, getenv("RUNG_BIN"), getenv("RUNG_BIN"));
    char script[200];
    snprintf(script, sizeof script, "%s/abort.sh", dir);
    OK(rung_file_write(script, cmd, strlen(cmd), err));
    char line[300];
    snprintf(line, sizeof line, "bash '%s'", script);
    int st = system(line);
    assert_true(WIFEXITED(st));
    assert_int_equal(WEXITSTATUS(st), 5);
    char text[200];
    rung_buf b;
    snprintf(text, sizeof text, "%s/err.txt", dir);
    rung_buf_init(&b, 1 << 20);
    OK(rung_file_read(&b, text, err));
    assert_non_null(strstr(b.data, "gave up in the middle of a call"));
    rung_buf_clear(&b);
    sound();
    assert_true(n_traces("long") > 3);
}

static int setup(void **state) {
    (void)state;
    strcpy(dir, "/tmp/rung_files_XXXXXX");
    return getenv("RUNG_BIN") && mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    char cmd[128];
    snprintf(cmd, sizeof cmd, "rm -rf '%s'", dir);
    return system(cmd);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(poison_in_the_middle),
        cmocka_unit_test(poison_everywhere),
        cmocka_unit_test(shapes),
        cmocka_unit_test(an_abort_in_the_middle),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
