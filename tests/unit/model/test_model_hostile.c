/* Damaged model files: named damage of shapes, offsets, types, sizes and vocabularies is refused
 * before or by libllama; random damage of the header never ends the process. */
#include "random_model.h"

#include "model/model_check.h"
#include "rung/model.h"

#include <fcntl.h>
#include <ggml.h>
#include <gguf.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

enum { N_RANDOM = 300 };

static char path[64];
static int mem = -1; /* files in memory */

static rung_status on_gen(void *ud, const rung_gen_out *o, rung_error *err) {
    (void)ud, (void)o, (void)err;
    return RUNG_OK;
}
static rung_status on_eval(void *ud, const rung_eval_out *o, rung_error *err) {
    (void)ud, (void)o, (void)err;
    return RUNG_OK;
}

/* Load, sample and read; any status. */
static rung_status use_model(rung_error *err) {
    rung_model *m = NULL;
    rung_engine *e = NULL;
    rung_engine_opts o = RUNG_ENGINE_OPTS_INIT;
    rung_engine_cb cb = {.on_gen = on_gen, .on_eval = on_eval};
    o.n_threads = 1;
    o.n_seq = 2;
    o.n_ctx = 2048;
    int32_t tok[5] = {1, 2, 3, 4, 5}, at = 4;
    rung_gen g = {.prompt = {.user = "ab c"}, .sampling = RUNG_SAMPLING_INIT, .n = 2, .max_tok = 3};
    rung_eval v = {.tok = tok, .n_tok = 5, .at = &at, .n_at = 1, .hidden = true, .logits = true};
    rung_status st = rung_model_load(&m, path, NULL, err);
    if (st == RUNG_OK) st = rung_engine_open(&e, m, &o, NULL, err);
    if (st == RUNG_OK) st = rung_engine_gen(e, &g, err);
    if (st == RUNG_OK) st = rung_engine_eval(e, &v, err);
    if (st == RUNG_OK) st = rung_engine_run(e, &cb, err);
    if (e) rung_engine_close(e);
    rung_model_free(m);
    return st;
}

/* In a child, so that an abort is seen and named; its exit code: 0 OK, 1 refused. */
static int use_in_child(void) {
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct rlimit none = {0, 0};
        rung_error err = RUNG_ERROR_INIT;
        setrlimit(RLIMIT_CORE, &none);
        setenv("GGML_NO_BACKTRACE", "1", 1);
        signal(SIGABRT, SIG_DFL); /* not cmocka's handlers */
        signal(SIGSEGV, SIG_DFL);
        signal(SIGFPE, SIG_DFL);
        alarm(60);
        _exit(use_model(&err) == RUNG_OK ? 0 : 1);
    }
    int state = 0;
    assert_int_equal(waitpid(pid, &state, 0), pid);
    return WIFSIGNALED(state) ? -WTERMSIG(state) : WEXITSTATUS(state);
}

static void put_file(const char *bytes, size_t n) {
    assert_int_equal(ftruncate(mem, 0), 0);
    assert_int_equal(pwrite(mem, bytes, n, 0), n);
}

/* Named damage: the good file's keys and tensors, changed by a function. */
typedef struct damage {
    const char *what;
    void (*keys)(struct gguf_context *c);
    void (*tensor)(struct ggml_tensor *t);
    const char *says;
} damage;

static bool is(const struct ggml_tensor *t, const char *name) {
    return strcmp(t->name, name) == 0;
}
static void strides(struct ggml_tensor *t) {
    t->nb[0] = ggml_type_size(t->type);
    t->nb[1] = t->nb[0] * (size_t)(t->ne[0] / ggml_blck_size(t->type));
    t->nb[2] = t->nb[1] * (size_t)t->ne[1];
    t->nb[3] = t->nb[2] * (size_t)t->ne[2];
}
static void shape_swapped(struct ggml_tensor *t) {
    if (!is(t, "blk.0.ffn_gate.weight")) return;
    int64_t n = t->ne[0];
    t->ne[0] = t->ne[1], t->ne[1] = n;
    strides(t);
}
static void shape_short(struct ggml_tensor *t) {
    if (is(t, "token_embd.weight")) t->ne[1]--;
    strides(t);
}
static void shape_folded(struct ggml_tensor *t) { /* a matrix in three dimensions */
    if (!is(t, "blk.1.attn_q.weight")) return;
    t->ne[1] /= 2, t->ne[2] = 2;
    strides(t);
}
static void norm_as_matrix(struct ggml_tensor *t) {
    if (!is(t, "output_norm.weight")) return;
    t->ne[0] /= 2, t->ne[1] = 2;
    strides(t);
}
static void norm_f16(struct ggml_tensor *t) {
    if (!is(t, "blk.0.attn_norm.weight")) return;
    t->type = GGML_TYPE_F16;
    strides(t);
}
static void norm_i32(struct ggml_tensor *t) {
    if (is(t, "output_norm.weight")) t->type = GGML_TYPE_I32;
}
static void matrix_i32(struct ggml_tensor *t) {
    if (is(t, "blk.1.ffn_up.weight")) t->type = GGML_TYPE_I32;
}
static void matrix_f64(struct ggml_tensor *t) {
    if (!is(t, "output.weight")) return;
    t->type = GGML_TYPE_F64;
    t->ne[1] /= 2;
    strides(t);
}
static void matrix_q8_1(struct ggml_tensor *t) { /* a type of ggml's own, never of a file */
    if (!is(t, "blk.0.attn_k.weight")) return;
    t->type = GGML_TYPE_Q8_1;
    strides(t);
}
static void renamed(struct ggml_tensor *t) {
    if (is(t, "blk.1.ffn_down.weight")) ggml_set_name(t, "blk.1.ffn_dawn.weight");
}
static void layer_7(struct ggml_tensor *t) {
    if (is(t, "blk.1.ffn_down.weight")) ggml_set_name(t, "blk.7.ffn_down.weight");
}
static void same_tokens(struct gguf_context *c) {
    static const char *tok[RM_VOCAB];
    static char text[RM_VOCAB][16];
    for (int i = 0; i < RM_VOCAB; i++) {
        snprintf(text[i], sizeof text[i], "t%d", i == 200 ? 100 : i);
        tok[i] = text[i];
    }
    gguf_set_arr_str(c, "tokenizer.ggml.tokens", tok, RM_VOCAB);
}
static void few_types(struct gguf_context *c) {
    static const int32_t type[10] = {1};
    gguf_set_arr_data(c, "tokenizer.ggml.token_type", GGUF_TYPE_INT32, type, 10);
}
static void tokens_are_numbers(struct gguf_context *c) {
    static const int32_t type[10] = {1};
    gguf_set_arr_data(c, "tokenizer.ggml.tokens", GGUF_TYPE_INT32, type, 10);
}
static void no_tokens(struct gguf_context *c) {
    gguf_set_arr_str(c, "tokenizer.ggml.tokens", NULL, 0);
}
static void eps_nan(struct gguf_context *c) {
    gguf_set_val_f32(c, "llama.attention.layer_norm_rms_epsilon", NAN);
}
static void eps_negative(struct gguf_context *c) {
    gguf_set_val_f32(c, "llama.attention.layer_norm_rms_epsilon", -1e-5f);
}
static void rope_odd(struct gguf_context *c) {
    gguf_set_val_u32(c, "llama.rope.dimension_count", 31);
}
static void rope_unknown(struct gguf_context *c) {
    gguf_set_val_str(c, "llama.rope.scaling.type", "cubic");
}
static void rope_base(struct gguf_context *c) {
    gguf_set_val_f32(c, "llama.rope.freq_base", -1);
}
static void key_length(struct gguf_context *c) {
    gguf_set_val_u32(c, "llama.attention.key_length", 0);
}
static void heads_per_layer(struct gguf_context *c) {
    static const int32_t kv[2] = {2, 3};
    gguf_set_arr_data(c, "llama.attention.head_count_kv", GGUF_TYPE_INT32, kv, 2);
}
static void no_heads(struct gguf_context *c) {
    gguf_set_val_u32(c, "llama.attention.head_count", 0);
}
static void layers_600(struct gguf_context *c) {
    gguf_set_val_u32(c, "llama.block_count", 600);
}
static void layers_3(struct gguf_context *c) {
    gguf_set_val_u32(c, "llama.block_count", 3);
}
static void next_layers(struct gguf_context *c) {
    gguf_set_val_u32(c, "llama.nextn_predict_layers", 9);
}
static void experts_used(struct gguf_context *c) {
    gguf_set_val_u32(c, "llama.expert_used_count", 3);
}
static void experts_grouped(struct gguf_context *c) {
    gguf_set_val_u32(c, "llama.expert_count", 8);
    gguf_set_val_u32(c, "llama.expert_used_count", 2);
    gguf_set_val_u32(c, "llama.expert_group_count", 3);
    gguf_set_val_u32(c, "llama.expert_group_used_count", 1);
}
static void other_arch(struct gguf_context *c) {
    gguf_set_val_str(c, "general.architecture", "nobody");
}
static void tokenizer_unknown(struct gguf_context *c) {
    gguf_set_val_str(c, "tokenizer.ggml.model", "nobody");
}

static const damage damages[] = {
    {"a shape turned round", NULL, shape_swapped, "could not load"},
    {"a row less", NULL, shape_short, "could not load"},
    {"a matrix folded", NULL, shape_folded, "could not load"},
    {"a norm folded", NULL, norm_as_matrix, "could not load"},
    {"a norm in f16", NULL, norm_f16, "blk.0.attn_norm.weight [64, 1] of type f16"},
    {"a norm in i32", NULL, norm_i32, "of type i32"},
    {"a matrix in i32", NULL, matrix_i32, "of type i32"},
    {"a matrix in f64", NULL, matrix_f64, "of type f64"},
    {"a matrix in q8_1", NULL, matrix_q8_1, "of type q8_1"},
    {"a tensor missing", NULL, renamed, "could not load"},
    {"a tensor of another layer", NULL, layer_7, "could not load"},
    {"a token twice", same_tokens, NULL, "same token twice"},
    {"types of 10 tokens", few_types, NULL, "could not load"},
    {"tokens that are numbers", tokens_are_numbers, NULL, "not text"},
    {"no tokens", no_tokens, NULL, "no vocabulary"},
    {"epsilon NaN", eps_nan, NULL, "epsilon"},
    {"epsilon below 0", eps_negative, NULL, "epsilon"},
    {"odd rotation", rope_odd, NULL, "impossible width"},
    {"unknown rotation", rope_unknown, NULL, "cubic"},
    {"base below 0", rope_base, NULL, "base of its rotation"},
    {"keys of width 0", key_length, NULL, "impossible width"},
    {"heads that do not divide", heads_per_layer, NULL, "sizes that cannot be"},
    {"no heads", no_heads, NULL, "sizes that cannot be"},
    {"600 layers", layers_600, NULL, "sizes that cannot be"},
    {"3 layers of 2", layers_3, NULL, "could not load"},
    {"more layers after the last than layers", next_layers, NULL, "sizes that cannot be"},
    {"experts used of none", experts_used, NULL, "experts"},
    {"groups that do not divide", experts_grouped, NULL, "experts"},
    {"no such architecture", other_arch, NULL, "could not load"},
    {"no such tokenizer", tokenizer_unknown, NULL, "could not load"},
};

static void write_damaged(const damage *d) {
    struct ggml_context *tensors = NULL;
    struct gguf_context *src = gguf_init_from_file(
        rm_path("good.gguf"), (struct gguf_init_params){.no_alloc = false, .ctx = &tensors});
    assert_non_null(src);
    struct gguf_context *c = gguf_init_empty();
    gguf_set_kv(c, src);
    if (d->keys) d->keys(c);
    for (struct ggml_tensor *t = ggml_get_first_tensor(tensors); t;
         t = ggml_get_next_tensor(tensors, t)) {
        if (gguf_find_tensor(src, t->name) < 0) continue; /* the block of all data */
        if (d->tensor) d->tensor(t);
        gguf_add_tensor(c, t);
    }
    assert_true(gguf_write_to_file(c, rm_path("bad.gguf"), false));
    gguf_free(c);
    gguf_free(src);
    ggml_free(tensors);
    rung_buf b;
    rung_buf_init(&b, 1 << 24);
    assert_ok(rung_file_read(&b, rm_path("bad.gguf"), &terr));
    put_file(b.data, b.n);
    rung_buf_clear(&b);
}

static void named_damage(void **state) {
    (void)state;
    write_damaged(&(damage){.what = "none"});
    assert_ok(use_model(&terr)); /* the way itself is sound */
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
        const damage *d = &damages[i];
        rung_error err = RUNG_ERROR_INIT;
        write_damaged(d);
        int end = use_in_child();
        if (end != 1) fail_msg("%s: %s, %d", d->what, end < 0 ? "killed" : "taken", end);
        rung_status st = use_model(&err);
        if (st != RUNG_E_MODEL || !err.hint[0]) fail_msg("%s: %d %s", d->what, st, err.what);
        if (!strstr(err.what, d->says) && !strstr(err.detail, d->says))
            fail_msg("%s: %s | %s (wanted \"%s\")", d->what, err.what, err.detail, d->says);
    }
}

/* Where the data begin, and the file. */
static size_t load_good(rung_buf *b) {
    struct gguf_context *c = gguf_init_from_file(
        rm_path("good.gguf"), (struct gguf_init_params){.no_alloc = true, .ctx = NULL});
    assert_non_null(c);
    size_t at = gguf_get_data_offset(c);
    gguf_free(c);
    rung_buf_init(b, 1 << 24);
    assert_ok(rung_file_read(b, rm_path("good.gguf"), &terr));
    return at;
}

/* The table of tensors is the end of the header, what is most worth damaging: half of the files are
 * damaged there. What the checks do not see must be met by the worker. */
static void random_damage(void **state) {
    (void)state;
    rung_buf b;
    size_t n_head = load_good(&b), n_table = 1400;
    const char *more = getenv("RUNG_TEST_ROUNDS");
    int rounds = N_RANDOM * (more ? atoi(more) : 1), n_taken = 0, n_refused = 0, n_died = 0;
    rung_rng r = rung_rng_at(11, RUNG_STREAM_TEST, 3, 0);
    char *copy = malloc(b.n);
    assert_non_null(copy);
    for (int i = 0; i < rounds; i++) {
        memcpy(copy, b.data, b.n);
        for (uint64_t k = 0, n = 1 + rung_rng_below(&r, 3); k < n; k++) {
            size_t at =
                i % 2 ? n_head - 1 - rung_rng_below(&r, n_table) : rung_rng_below(&r, n_head);
            int how = (int)rung_rng_below(&r, 3), byte = (int)rung_rng_below(&r, 256);
            copy[at] = (char)(how == 0   ? byte
                              : how == 1 ? copy[at] ^ (1 << byte % 8)
                                         : copy[at] + 1);
        }
        put_file(copy, b.n);
        int end = use_in_child();
        n_taken += end == 0;
        n_refused += end == 1;
        if (end >= 0) continue;
        n_died++;
        print_message("file %d: signal %d\n", i, -end);
        if (getenv("RUNG_TEST_KEEP")) {
            char name[128];
            snprintf(name, sizeof name, "%s/died-%d.gguf", getenv("RUNG_TEST_KEEP"), i);
            rung_error e = RUNG_ERROR_INIT;
            rung_file_write(name, copy, b.n, &e);
        }
        rung_error err = RUNG_ERROR_INIT;
        if (rung_model_try(path, NULL, &err) == RUNG_OK)
            fail_msg("file %d ends the process and no worker saw it", i);
    }
    free(copy);
    rung_buf_clear(&b);
    print_message("%d files: %d taken, %d refused, %d end the process\n", rounds, n_taken,
                  n_refused, n_died);
    assert_true(n_taken > rounds / 20 && n_refused > rounds / 4);
}

/* A SentencePiece vocabulary without byte tokens: libllama's tokenizer throws through its C
 * interface. */
static void no_bytes(struct gguf_context *c) {
    static const char *tok[RM_VOCAB];
    static char text[RM_VOCAB][16];
    static float score[RM_VOCAB];
    for (int i = 0; i < RM_VOCAB; i++) {
        snprintf(text[i], sizeof text[i], "t%d", i);
        tok[i] = text[i];
    }
    gguf_set_val_str(c, "tokenizer.ggml.model", "llama");
    gguf_set_arr_str(c, "tokenizer.ggml.tokens", tok, RM_VOCAB);
    gguf_set_arr_data(c, "tokenizer.ggml.scores", GGUF_TYPE_FLOAT32, score, RM_VOCAB);
}

/* The end of a worker is an error here, and the process goes on. A good file is tried once. */
static void a_worker_meets_the_rest(void **state) {
    (void)state;
    rung_error err = RUNG_ERROR_INIT;
    write_damaged(&(damage){.what = "no bytes", .keys = no_bytes});
    assert_true(use_in_child() < 0); /* without a worker */
    for (int i = 0; i < 2; i++) {    /* and it is not remembered as a good one */
        assert_int_equal(rung_model_try(path, NULL, &err), RUNG_E_MODEL);
        if (!strstr(err.what, "ends the process") || !err.detail[0] || !err.hint[0])
            fail_msg("%s | %s | %s", err.what, err.detail, err.hint);
    }
    print_message("%s | %s\n", err.what, err.detail);
    write_damaged(&(damage){.what = "none"});
    assert_ok(rung_model_try(path, NULL, &terr));
    char hash[33];
    assert_ok(rung_hash_file(hash, path, &terr));
    char note[200];
    snprintf(note, sizeof note, "ls '%s/rung/tried' | grep -c '^%s-'", rm_dir, hash);
    FILE *p = popen(note, "r");
    assert_non_null(p);
    int n = 0;
    assert_int_equal(fscanf(p, "%d", &n), 1);
    assert_int_equal(n, 1);
    pclose(p);
    assert_ok(rung_model_try(path, NULL, &terr));
    write_damaged(&(damage){.what = "a norm", .tensor = norm_f16});
    assert_int_equal(rung_model_try(path, NULL, &err), RUNG_E_MODEL); /* by the checks */
    assert_int_equal(rung_model_try("/nonexistent.gguf", NULL, &err), RUNG_E_NOT_FOUND);
}

static int setup(void **state) {
    (void)state;
    rm_dir_make();
    random_model_write(rm_path("good.gguf"), &(random_model_opts){.seed = 5});
    mem = memfd_create("hostile", 0);
    assert_true(mem >= 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", mem);
    setenv("XDG_CACHE_HOME", rm_dir, 1);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    close(mem);
    rm_dir_remove();
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(named_damage),
        cmocka_unit_test(random_damage),
        cmocka_unit_test(a_worker_meets_the_rest),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
