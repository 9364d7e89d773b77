/* A model with random weights, written for a test: Llama shape, byte vocabulary of 300 tokens. */
#ifndef RUNG_TEST_RANDOM_MODEL_H
#define RUNG_TEST_RANDOM_MODEL_H
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "model/gguf_file.h"
#include "rung/rng.h"

/* A test uses what it needs. */
#define RM_MAYBE __attribute__((unused))
enum { RM_VOCAB = 300, RM_EOS = 256, RM_EMBD = 64, RM_LAYER = 2, RM_HEAD = 2, RM_FF = 96 };

typedef struct random_model_opts {
    uint64_t seed;
    float nan_at;     /* 0, or the value put into one weight (NaN) */
    const char *chat; /* template text or NULL */
    float sharp;      /* spread of the logits; 0 = 1 */
    bool no_eos;      /* the end token's row is small, so that it is hardly ever sampled */
} random_model_opts;

static void rm_tensor(rung_gguf_writer *w, const char *name, rung_rng *r, int n_dims, int64_t a,
                      int64_t b, float sd, float mean) {
    int64_t dims[2] = {a, b}, n = a * b;
    float *x = malloc((size_t)n * sizeof *x);
    assert_non_null(x);
    for (int64_t i = 0; i < n; i++) x[i] = mean + sd * (float)rung_rng_normal(r);
    rung_gguf_put_tensor(w, name, RUNG_GGUF_F32, n_dims, dims, x);
    free(x);
}

static void rm_keys(rung_gguf_writer *w, const random_model_opts *o) {
    rung_gguf_put_str(w, "general.architecture", "llama");
    rung_gguf_put_str(w, "general.name", "random");
    rung_gguf_put_u32(w, "llama.context_length", 512);
    rung_gguf_put_u32(w, "llama.embedding_length", RM_EMBD);
    rung_gguf_put_u32(w, "llama.block_count", RM_LAYER);
    rung_gguf_put_u32(w, "llama.feed_forward_length", RM_FF);
    rung_gguf_put_u32(w, "llama.attention.head_count", RM_HEAD);
    rung_gguf_put_u32(w, "llama.attention.head_count_kv", RM_HEAD);
    rung_gguf_put_u32(w, "llama.rope.dimension_count", RM_EMBD / RM_HEAD);
    rung_gguf_put_u32(w, "llama.vocab_size", RM_VOCAB);
    rung_gguf_put_f32(w, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
    rung_gguf_put_f32(w, "llama.rope.freq_base", 10000.0f);
    rung_gguf_put_str(w, "tokenizer.ggml.model", "rwkv");
    rung_gguf_put_u32(w, "tokenizer.ggml.eos_token_id", RM_EOS);
    if (o->chat) rung_gguf_put_str(w, "tokenizer.chat_template", o->chat);
    static char text[RM_VOCAB][24];
    const char *tok[RM_VOCAB];
    int32_t type[RM_VOCAB];
    static const char *words[] = {"ab",   "abc",   "abcd",   " the",
                                  "step", "Step ", "\\n\\n", "\xc3\xa9t"};
    for (int i = 0; i < RM_VOCAB; i++) {
        type[i] = 1;
        snprintf(text[i], sizeof text[i], "\\x%02x", i & 255);
        if (i >= 260) snprintf(text[i], sizeof text[i], "w%d", i);
        if (i >= 260 && i < 268) snprintf(text[i], sizeof text[i], "%s", words[i - 260]);
        if (i >= 256 && i < 260) type[i] = 3;
        tok[i] = text[i];
    }
    tok[256] = "<|eos|>", tok[257] = "<?>", tok[258] = "<+>", tok[259] = "<->";
    rung_gguf_put_arr_str(w, "tokenizer.ggml.tokens", tok, RM_VOCAB);
    rung_gguf_put_arr_i32(w, "tokenizer.ggml.token_type", type, RM_VOCAB);
}

static void rm_head(rung_gguf_writer *w, rung_rng *r, const random_model_opts *o) {
    int64_t dims[2] = {RM_EMBD, RM_VOCAB};
    float *x = malloc(sizeof *x * RM_EMBD * RM_VOCAB);
    assert_non_null(x);
    float sd = 0.15f * (o->sharp > 0 ? o->sharp : 1.0f);
    for (int i = 0; i < RM_EMBD * RM_VOCAB; i++) {
        x[i] = sd * (float)rung_rng_normal(r);
        if (o->no_eos && i / RM_EMBD == RM_EOS) x[i] = 0.0f;
    }
    if (o->nan_at != 0) x[5] = o->nan_at;
    rung_gguf_put_tensor(w, "output.weight", RUNG_GGUF_F32, 2, dims, x);
    free(x);
}

RM_MAYBE static void random_model_write(const char *path, const random_model_opts *o) {
    rung_rng r = rung_rng_at(o->seed, RUNG_STREAM_TEST, 7, 0);
    rung_gguf_writer *w = rung_gguf_writer_new();
    assert_non_null(w);
    rm_keys(w, o);
    float s = 1.0f / sqrtf(RM_EMBD);
    rm_tensor(w, "token_embd.weight", &r, 2, RM_EMBD, RM_VOCAB, 1.0f, 0);
    rm_tensor(w, "output_norm.weight", &r, 1, RM_EMBD, 1, 0.1f, 1);
    rm_head(w, &r, o);
    for (int l = 0; l < RM_LAYER; l++) {
        static const struct {
            const char *name;
            int64_t a, b;
        } t[] = {{"attn_norm", RM_EMBD, 0},    {"ffn_norm", RM_EMBD, 0},
                 {"attn_q", RM_EMBD, RM_EMBD}, {"attn_k", RM_EMBD, RM_EMBD},
                 {"attn_v", RM_EMBD, RM_EMBD}, {"attn_output", RM_EMBD, RM_EMBD},
                 {"ffn_gate", RM_EMBD, RM_FF}, {"ffn_up", RM_EMBD, RM_FF},
                 {"ffn_down", RM_FF, RM_EMBD}};
        for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
            char name[64];
            snprintf(name, sizeof name, "blk.%d.%s.weight", l, t[i].name);
            if (t[i].b == 0) {
                rm_tensor(w, name, &r, 1, t[i].a, 1, 0.1f, 1);
            } else {
                rm_tensor(w, name, &r, 2, t[i].a, t[i].b, 1.5f * s, 0);
            }
        }
    }
    rung_error err = RUNG_ERROR_INIT;
    if (rung_gguf_write(w, path, &err) != RUNG_OK) fail_msg("%s", err.what);
    rung_gguf_writer_free(w);
}

/* A folder of the test's own; remove it with rm_dir_remove. */
static char rm_dir[64];
RM_MAYBE static const char *rm_path(const char *name) {
    static char buf[4][128];
    static int i;
    i = (i + 1) % 4;
    snprintf(buf[i], sizeof buf[i], "%s/%s", rm_dir, name);
    return buf[i];
}
RM_MAYBE static void rm_dir_make(void) {
    snprintf(rm_dir, sizeof rm_dir, "/tmp/rung_model_XXXXXX");
    assert_non_null(mkdtemp(rm_dir));
}
RM_MAYBE static void rm_dir_remove(void) {
    char cmd[128];
    snprintf(cmd, sizeof cmd, "rm -rf '%s'", rm_dir);
    if (system(cmd) != 0) fail_msg("could not remove %s", rm_dir);
}
RM_MAYBE static rung_error terr;
/* expr passes &terr. */
#define assert_ok(expr)                                                                            \
    do {                                                                                           \
        terr = (rung_error)RUNG_ERROR_INIT;                                                        \
        if ((expr) != RUNG_OK)                                                                     \
            fail_msg("%s: %s | %s | %s", #expr, terr.what, terr.detail, terr.hint);                \
    } while (0)
#endif
