/* A policy made in the test: a decoder of one layer with random weights whose output favours five
 * words, so that it writes lines "a", "b", "#### 0", "#### 1" and stops, each about as likely. Half
 * of the answers to "toss" are right, prefixes matter a little, and all of it takes milliseconds.
 */
#ifndef RUNG_TEST_FIXTURE_COIN_H
#define RUNG_TEST_FIXTURE_COIN_H
#include "model/gguf_file.h"
#include "rung/model.h"
#include "rung/rng.h"
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { COIN_D = 32, COIN_FF = 64, COIN_WORDS = 260, COIN_V = COIN_WORDS + 5 };

static void coin_tensor(rung_gguf_writer *w, const char *name, int64_t cols, int64_t rows,
                        double sd, int number) {
    float *x = malloc((size_t)(cols * rows) * sizeof *x);
    rung_rng g = rung_rng_at(7, RUNG_STREAM_TEST, (uint64_t)number, 0);
    for (int64_t i = 0; i < cols * rows; i++) x[i] = sd > 0 ? (float)(sd * rung_rng_normal(&g)) : 1;
    bool embd = !strcmp(name, "token_embd.weight"), out = !strcmp(name, "output.weight");
    for (int64_t r = 0; (embd || out) && r < rows; r++)
        x[r * cols] = embd ? 3.0f : r == 0 || r >= COIN_WORDS ? 2.0f : -2.0f;
    int64_t dims[2] = {cols, rows};
    rung_gguf_put_tensor(w, name, RUNG_GGUF_F32, sd > 0 ? 2 : 1, dims, x);
    free(x);
}

static inline void coin_model(const char *path) {
    rung_gguf_writer *w = rung_gguf_writer_new();
    static char text[COIN_V][16];
    static const char *token[COIN_V];
    static int32_t type[COIN_V];
    static const char *control[] = {"<eos>", "<?>", "<+>", "<->"};
    static const char *word[] = {"#### 0\\n", "#### 1\\n", "a\\n", "b\\n", "c\\n"};
    for (int i = 0; i < COIN_V; i++) {
        if (i < 4)
            snprintf(text[i], 16, "%s", control[i]);
        else if (i < COIN_WORDS)
            snprintf(text[i], 16, "\\x%02x", i - 4);
        else
            snprintf(text[i], 16, "%s", word[i - COIN_WORDS]);
        token[i] = text[i];
        type[i] = i < 4 ? 3 : 1;
    }
    rung_gguf_put_str(w, "general.architecture", "llama");
    rung_gguf_put_str(w, "general.name", "coin");
    rung_gguf_put_u32(w, "llama.block_count", 1);
    rung_gguf_put_u32(w, "llama.context_length", 256);
    rung_gguf_put_u32(w, "llama.embedding_length", COIN_D);
    rung_gguf_put_u32(w, "llama.feed_forward_length", COIN_FF);
    rung_gguf_put_u32(w, "llama.attention.head_count", 2);
    rung_gguf_put_u32(w, "llama.attention.head_count_kv", 2);
    rung_gguf_put_f32(w, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
    rung_gguf_put_u32(w, "llama.rope.dimension_count", COIN_D / 2);
    rung_gguf_put_f32(w, "llama.rope.freq_base", 10000.0f);
    rung_gguf_put_u32(w, "llama.vocab_size", COIN_V);
    rung_gguf_put_str(w, "tokenizer.ggml.model", "rwkv");
    rung_gguf_put_arr_str(w, "tokenizer.ggml.tokens", token, COIN_V);
    rung_gguf_put_arr_i32(w, "tokenizer.ggml.token_type", type, COIN_V);
    rung_gguf_put_u32(w, "tokenizer.ggml.eos_token_id", 0);
    rung_gguf_put_bool(w, "tokenizer.ggml.add_bos_token", false);
    const struct {
        const char *name;
        int64_t cols, rows;
        double sd;
    } t[] = {{"token_embd.weight", COIN_D, COIN_V, .4},
             {"blk.0.attn_norm.weight", COIN_D, 1, 0},
             {"blk.0.attn_q.weight", COIN_D, COIN_D, .1},
             {"blk.0.attn_k.weight", COIN_D, COIN_D, .1},
             {"blk.0.attn_v.weight", COIN_D, COIN_D, .1},
             {"blk.0.attn_output.weight", COIN_D, COIN_D, .1},
             {"blk.0.ffn_norm.weight", COIN_D, 1, 0},
             {"blk.0.ffn_gate.weight", COIN_D, COIN_FF, .1},
             {"blk.0.ffn_up.weight", COIN_D, COIN_FF, .1},
             {"blk.0.ffn_down.weight", COIN_FF, COIN_D, .1},
             {"output_norm.weight", COIN_D, 1, 0},
             {"output.weight", COIN_D, COIN_V, .1}};
    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++)
        coin_tensor(w, t[i].name, t[i].cols, t[i].rows, t[i].sd, (int)i);
    rung_error e = RUNG_ERROR_INIT;
    if (rung_gguf_write(w, path, &e) != RUNG_OK) fail_msg("%s %s", e.what, e.detail);
    rung_gguf_writer_free(w);
}

/* A fresh folder under TMPDIR; PATH joins it and a name into a buffer of the caller. */
static char coin_dir[256];
static void coin_setup(void) {
    const char *tmp = getenv("TMPDIR");
    snprintf(coin_dir, sizeof coin_dir, "%s/rung-test-XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(coin_dir));
}
static const char *coin_path(char buf[400], const char *name) {
    snprintf(buf, 400, "%s/%s", coin_dir, name);
    return buf;
}
static void coin_teardown(void) {
    char cmd[300];
    snprintf(cmd, sizeof cmd, "rm -rf '%s'", coin_dir);
    if (system(cmd)) fail_msg("could not remove %s", coin_dir);
}

#define OK(expr)                                                                                   \
    do {                                                                                           \
        rung_error ok_e_ = RUNG_ERROR_INIT, *err = &ok_e_;                                         \
        rung_status ok_st_ = (expr);                                                               \
        if (ok_st_ != RUNG_OK)                                                                     \
            fail_msg("%s:%d: %s: %s | %s | %s", __FILE__, __LINE__, rung_status_name(ok_st_),      \
                     ok_e_.what, ok_e_.detail, ok_e_.hint);                                        \
    } while (0)

/* A store with n problems "toss K": the answer is 1. */
static inline void coin_store(const char *path, int n) {
    rung_store *s;
    OK(rung_store_open(&s, path, RUNG_STORE_CREATE, err));
    for (int i = 0; i < n; i++) {
        char key[32], question[32];
        snprintf(key, sizeof key, "%d", i);
        snprintf(question, sizeof question, "toss %d\n", i);
        rung_problem p = {.set = "coin",
                          .split = i % 2 ? "test" : "train",
                          .key = key,
                          .question = question,
                          .answer = "1",
                          .solution = "",
                          .world = "",
                          .meta = "{}",
                          .verifier = "math"};
        OK(rung_problem_put(s, &p, NULL, err));
    }
    rung_store_close(s);
}
static inline int64_t coin_run(rung_store *s, const char *kind, const char *config) {
    rung_run r = {.name = kind, .kind = kind, .config = config, .seed = 5};
    OK(rung_run_begin(s, &r, err));
    return r.id;
}

typedef struct coin_policy {
    rung_model *m;
    rung_engine *e;
} coin_policy;
static inline coin_policy coin_open(const char *path) {
    coin_policy p;
    OK(rung_model_load(&p.m, path, NULL, err));
    rung_engine_opts o = RUNG_ENGINE_OPTS_INIT;
    o.n_threads = 1;
    o.n_seq = 8;
    OK(rung_engine_open(&p.e, p.m, &o, NULL, err));
    return p;
}
static inline void coin_close(coin_policy p) {
    rung_engine_close(p.e);
    rung_model_free(p.m);
}

/* Run this program's work(path) in a process of its own and kill it after us microseconds; true
 * when the kill came before its end (else it must have ended well). A new program, not a fork
 * alone: OpenMP's threads do not survive one. */
static inline bool coin_kill(char *path, unsigned us) {
    static double scale = 1; /* the load may have fallen since the time of a run was taken */
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        char *argv[] = {"test", "work", coin_dir, path, NULL};
        execv("/proc/self/exe", argv);
        _exit(99);
    }
    usleep((unsigned)(scale * us));
    kill(pid, SIGKILL);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFSIGNALED(status)) return true;
    assert_int_equal(WEXITSTATUS(status), 0);
    scale *= .7;
    return false;
}
/* The same bytes under another name. */
static inline void coin_copy(char path[400], const char *name, const char *from) {
    rung_buf b;
    rung_buf_init(&b, 1u << 28);
    OK(rung_file_read(&b, from, err));
    OK(rung_file_write(coin_path(path, name), b.data, b.n, err));
    rung_buf_clear(&b);
}

/* Kill -9 and resume, round after round: begin makes the store of a round; work is killed at random
 * moments of the time that a whole run takes, then runs to its end; check compares what it left
 * with what an unkilled run leaves. stop (NULL allowed) may stop a round in another way instead:
 * true. */
typedef struct coin_kills {
    uint64_t seed;
    int n_rounds, n_kills; /* kills of each round */
    int least;             /* kills that must have come before the end */
    double whole_s;
    void (*begin)(char path[400], const char *name);
    bool (*stop)(int round, char *path);
    void (*work)(char *path);
    void (*check)(char *path);
} coin_kills;
static inline void coin_kill_and_resume(const coin_kills *o) {
    rung_rng g = rung_rng_at(o->seed, RUNG_STREAM_TEST, 0, 0);
    int n_killed = 0, n = 0;
    for (int round = 0; round < o->n_rounds; round++) {
        char path[400], name[32];
        snprintf(name, sizeof name, "kill%d.db", round);
        o->begin(path, name);
        bool stopped = o->stop && o->stop(round, path);
        for (int k = 0; !stopped && k < o->n_kills; k++, n++)
            n_killed += coin_kill(path, (unsigned)(1e6 * o->whole_s * rung_rng_f64(&g)));
        o->work(path);
        o->check(path);
    }
    printf("killed %d times of %d within %.3f s\n", n_killed, n, o->whole_s);
    assert_true(n_killed >= o->least);
}
/* First thing in main: is this such a process? Also sees to one core for all of it: on a loaded
 * machine two threads that wait for each other make a tiny net many times slower. */
static inline bool coin_is_work(int argc, char **argv, char model[400], void (*work)(char *path)) {
    if (!getenv("OMP_NUM_THREADS")) {
        cpu_set_t usable, one;
        CPU_ZERO(&one);
        if (sched_getaffinity(0, sizeof usable, &usable) == 0)
            for (int n = getpid() % CPU_COUNT(&usable), c = 0; c < CPU_SETSIZE; c++)
                if (CPU_ISSET(c, &usable) && n-- == 0) CPU_SET(c, &one);
        sched_setaffinity(0, sizeof one, &one);
        setenv("OMP_NUM_THREADS", "1", 1);
        execv("/proc/self/exe", argv);
    }
    if (argc != 4 || strcmp(argv[1], "work")) return false;
    snprintf(coin_dir, sizeof coin_dir, "%s", argv[2]);
    coin_path(model, "coin.gguf");
    work(argv[3]);
    return true;
}
#endif
