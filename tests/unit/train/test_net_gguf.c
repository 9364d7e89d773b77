/* A net written as GGUF: libllama's logits equal the trainer's, its tokenizer finds our tokens, and
 * loading it again gives the same weights and keys. */
#include <llama.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model/gguf_file.h"
#include "rung/train.h"

#include <cmocka.h>

#define V 96
static char dir[] = "/tmp/rung_net_XXXXXX";
static char path[64], again[64];

static void quiet(enum ggml_log_level level, const char *text, void *ud) {
    if (level >= GGML_LOG_LEVEL_ERROR) fputs(text, stderr);
    (void)ud;
}

static int setup(void **state) {
    (void)state;
    llama_log_set(quiet, NULL);
    llama_backend_init();
    if (!mkdtemp(dir)) return 1;
    snprintf(path, sizeof path, "%s/a.gguf", dir);
    snprintf(again, sizeof again, "%s/b.gguf", dir);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    unlink(path);
    unlink(again);
    llama_backend_free();
    return rmdir(dir);
}

/* Token 0 ends, 1 is a control token, then bytes and a few longer pieces. */
static void set_vocab(rung_net *net) {
    static const char *const first[] = {"<end>", "<s>", "\n", "\t",  "\\",
                                        "\x80",  "",    "ab", "abc", "\xc3\xa9"};
    static char bytes[V][2];
    const char *text[V];
    int32_t type[V];
    int next = 0x21;
    for (int i = 0; i < V; i++) {
        type[i] = i < 2 ? 3 : 1;
        if (i < 10) {
            text[i] = first[i];
            continue;
        }
        if (next == '\\') next++;
        bytes[i][0] = (char)next++;
        text[i] = bytes[i];
    }
    rung_error err = RUNG_ERROR_INIT;
    assert_int_equal(rung_net_set_vocab(net, text, type, V, 0, &err), RUNG_OK);
}

static rung_net *make(const rung_net_shape *s) {
    rung_net *net;
    rung_error err = RUNG_ERROR_INIT;
    assert_int_equal(rung_net_new(&net, s, 3, &err), RUNG_OK);
    /* A few steps on noise at a high rate, so that logits are far from flat. */
    int32_t tok[64], doc[64] = {0}, target[64];
    float weight[64];
    for (int i = 0; i < 64; i++) {
        tok[i] = (i * 37 + i / 5) % s->n_vocab;
        target[i] = (i * 11 + 5) % s->n_vocab;
        weight[i] = 1;
    }
    rung_loss_ce ce = {target, weight};
    rung_loss loss = {rung_loss_ce_fn, &ce};
    rung_adamw opt = RUNG_ADAMW_INIT;
    opt.lr = 0.01;
    for (int i = 0; i < 12; i++) {
        double norm;
        assert_int_equal(
            rung_net_grad(NULL, NULL, net, &(rung_batch){2, 32, tok, doc}, &loss, 1, &err),
            RUNG_OK);
        assert_int_equal(rung_net_step(&norm, net, &opt, &err), RUNG_OK);
    }
    set_vocab(net);
    return net;
}

static struct llama_model *load_llama(const char *p) {
    struct llama_model_params mp = llama_model_default_params();
    struct llama_model *m = llama_model_load_from_file(p, mp);
    assert_non_null(m);
    return m;
}

/* Worst difference of logits over all positions, and the spread of the logits. */
static double compare_adapted(rung_net *net, const char *p, const char *adapter, double *spread) {
    enum { N = 24 };
    int32_t tok[N], doc[N] = {0};
    for (int i = 0; i < N; i++) tok[i] = (i * 29 + 7) % V;
    const float *logits;
    rung_error err = RUNG_ERROR_INIT;
    assert_int_equal(rung_net_forward(&logits, NULL, net, &(rung_batch){1, N, tok, doc}, &err),
                     RUNG_OK);
    struct llama_model *m = load_llama(p);
    struct llama_context_params cp = llama_context_default_params();
    cp.n_ctx = 64;
    cp.n_batch = 64;
    cp.n_threads = cp.n_threads_batch = 1;
    cp.type_k = cp.type_v = GGML_TYPE_F32;
    cp.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
    struct llama_context *ctx = llama_init_from_model(m, cp);
    assert_non_null(ctx);
    if (adapter) {
        struct llama_adapter_lora *lora = llama_adapter_lora_init(m, adapter);
        float one = 1;
        assert_non_null(lora);
        assert_int_equal(llama_set_adapters_lora(ctx, &lora, 1, &one), 0);
    }
    struct llama_batch b = llama_batch_init(N, 0, 1);
    b.n_tokens = N;
    for (int i = 0; i < N; i++) {
        b.token[i] = tok[i];
        b.pos[i] = i;
        b.n_seq_id[i] = 1;
        b.seq_id[i][0] = 0;
        b.logits[i] = 1;
    }
    assert_int_equal(llama_decode(ctx, b), 0);
    double worst = 0, lo = 1e9, hi = -1e9;
    for (int i = 0; i < N; i++) {
        const float *y = llama_get_logits_ith(ctx, i);
        for (int j = 0; j < V; j++) {
            double d = fabs((double)y[j] - (double)logits[i * V + j]);
            if (d > worst) worst = d;
            lo = fmin(lo, (double)y[j]);
            hi = fmax(hi, (double)y[j]);
        }
    }
    *spread = hi - lo;
    llama_batch_free(b);
    llama_free(ctx);
    llama_model_free(m);
    return worst;
}

static double compare(rung_net *net, const char *p, double *spread) {
    return compare_adapted(net, p, NULL, spread);
}

/* f32: both sides sum in f32 in another order, 1e-3 is the contract. Others: the rounding of the
 * weights (2^-11, 2^-8, half a step of 1/127) through a few layers; measured x 3. */
static void test_logits(void **state) {
    (void)state;
    static const rung_net_shape shapes[] = {
        {V, 64, 2, 2, 2, 96, 64, 10000, 1e-5f, false, 0, 0},  /* few wide heads */
        {V, 64, 3, 4, 2, 160, 64, 500000, 1e-6f, true, 0, 0}, /* grouped queries, tied */
        {V, 64, 2, 4, 1, 96, 64, 1e6f, 1e-6f, false, RUNG_ARCH_QWEN2, 0},
        {V, 96, 2, 2, 2, 96, 64, 10000, 1e-5f, false, RUNG_ARCH_LLAMA, 32} /* narrow heads */
    };
    static const char *const names[] = {"untied", "tied, grouped", "qwen2", "narrow heads"};
    static const struct {
        const char *type;
        double bound;
    } types[] = {{"f32", 1e-3}, {"f16", 0.02}, {"bf16", 0.15}, {"q8_0", 0.3}};
    for (size_t s = 0; s < 4; s++) {
        rung_net *net = make(&shapes[s]);
        for (size_t t = 0; t < 4; t++) {
            rung_error err = RUNG_ERROR_INIT;
            assert_int_equal(rung_net_save(net, path, types[t].type, &err), RUNG_OK);
            double spread, worst = compare(net, path, &spread);
            print_message("  %s %s: worst difference %.2g, spread of logits %.3g\n", names[s],
                          types[t].type, worst, spread);
            assert_true(spread > 1);
            assert_true(worst < types[t].bound);
        }
        rung_net_free(net);
    }
}

/* A few steps on noise through adapters. */
static rung_net *adapted(const char *base, const char *targets) {
    rung_net *net;
    rung_error err = RUNG_ERROR_INIT;
    rung_lora_opts lora = RUNG_LORA_OPTS_INIT;
    lora.rank = 4;
    lora.targets = targets;
    lora.dropout = 0.1;
    assert_int_equal(rung_net_load_frozen(&net, base, &err), RUNG_OK);
    assert_int_equal(rung_net_add_lora(net, &lora, &err), RUNG_OK);
    int32_t tok[64], doc[64] = {0}, target[64];
    float weight[64];
    for (int i = 0; i < 64; i++) {
        tok[i] = (i * 31 + i / 7) % V;
        target[i] = (i * 17 + 3) % V;
        weight[i] = (float)(i % 4 > 0);
    }
    rung_loss_ce ce = {target, weight};
    rung_adamw opt = RUNG_ADAMW_INIT;
    opt.lr = 0.02;
    double first = 0, value = 0, norm;
    for (int i = 0; i < 12; i++) {
        assert_int_equal(
            rung_net_grad_ce(&value, net, &(rung_batch){2, 32, tok, doc}, &ce, 0, 1, &err),
            RUNG_OK);
        if (i == 0) first = value;
        assert_int_equal(rung_net_step(&norm, net, &opt, &err), RUNG_OK);
    }
    assert_true(value < first - 0.3);
    return net;
}

/* libllama agrees on the base with the adapter file, and on the file with the adapters merged in;
 * the base is quantised, so ggml's own products (activations in 8 bits) bound the agreement. */
static void test_adapters(void **state) {
    (void)state;
    static const rung_net_shape shapes[] = {
        {V, 64, 2, 4, 2, 96, 64, 10000, 1e-5f, true, RUNG_ARCH_LLAMA, 0},
        {V, 64, 2, 4, 1, 96, 64, 1e6f, 1e-6f, false, RUNG_ARCH_QWEN2, 0}};
    static const struct {
        const char *base, *targets, *merged;
        double adapter_bound, merged_bound;
    } cases[] = {{"f32", "attn_q,attn_v", "f32", 1e-3, 1e-3},
                 {"q8_0", "all", "f32", 0.3, 1e-3},
                 {"q8_0", "attn_k,ffn_down", "keep", 0.3, 0.3}};
    char lora[80];
    snprintf(lora, sizeof lora, "%s/l.gguf", dir);
    for (size_t s = 0; s < 2; s++) {
        for (size_t k = 0; k < 3; k++) {
            rung_error err = RUNG_ERROR_INIT;
            rung_net *base = make(&shapes[s]);
            assert_int_equal(rung_net_save(base, path, cases[k].base, &err), RUNG_OK);
            rung_net_free(base);
            rung_net *net = adapted(path, cases[k].targets);
            double spread, with, merged;
            assert_int_equal(rung_net_save_lora(net, lora, "f32", &err), RUNG_OK);
            with = compare_adapted(net, path, lora, &spread);
            assert_int_equal(rung_net_save(net, again, cases[k].merged, &err), RUNG_OK);
            merged = compare(net, again, &spread);
            print_message("  base %s, %s: with the adapter %.2g, merged %s %.2g\n", cases[k].base,
                          cases[k].targets, with, cases[k].merged, merged);
            assert_true(spread > 1 && with < cases[k].adapter_bound);
            assert_true(merged < cases[k].merged_bound);
            rung_net_free(net);
        }
    }
    unlink(lora);
}

static void test_adapter_refusals(void **state) {
    (void)state;
    rung_net_shape s = {V, 32, 1, 2, 2, 32, 64, 10000, 1e-5f, false, 0, 0};
    rung_net *net = make(&s);
    rung_error err = RUNG_ERROR_INIT;
    rung_lora_opts lora = RUNG_LORA_OPTS_INIT;
    assert_int_equal(rung_net_add_lora(net, &lora, &err), RUNG_E_MISUSE);
    assert_int_equal(rung_net_save_lora(net, again, "f32", &err), RUNG_E_MISUSE);
    assert_int_equal(rung_net_save(net, path, "f32", &err), RUNG_OK);
    assert_int_equal(rung_net_save(net, again, "keep", &err), RUNG_E_INVAL);
    rung_net_free(net);
    assert_int_equal(rung_net_load_frozen(&net, path, &err), RUNG_OK);
    lora.targets = "attn_q,wrong";
    assert_int_equal(rung_net_add_lora(net, &lora, &err), RUNG_E_INVAL);
    assert_non_null(strstr(err.hint, "ffn_down"));
    lora.targets = "attn_q";
    lora.rank = 33;
    assert_int_equal(rung_net_add_lora(net, &lora, &err), RUNG_E_INVAL);
    lora.rank = 2;
    assert_int_equal(rung_net_add_lora(net, &lora, &err), RUNG_OK);
    assert_int_equal(rung_net_add_lora(net, &lora, &err), RUNG_E_MISUSE);
    rung_net_free(net);
}

static void test_tokens(void **state) {
    (void)state;
    rung_net_shape s = {V, 32, 1, 2, 2, 32, 64, 10000, 1e-5f, false, 0, 0};
    rung_net *net = make(&s);
    rung_error err = RUNG_ERROR_INIT;
    assert_int_equal(rung_net_save(net, path, "f32", &err), RUNG_OK);
    rung_net_free(net);
    struct llama_model *m = load_llama(path);
    const struct llama_vocab *vocab = llama_model_get_vocab(m);
    assert_int_equal(llama_vocab_n_tokens(vocab), V);
    assert_int_equal(llama_vocab_eos(vocab), 0);
    assert_true(llama_vocab_is_eog(vocab, 0) && !llama_vocab_is_eog(vocab, 1));
    assert_true(llama_vocab_is_control(vocab, 1));
    char piece[8];
    assert_int_equal(llama_token_to_piece(vocab, 2, piece, 8, 0, false), 1);
    assert_int_equal(piece[0], '\n');
    assert_int_equal(llama_token_to_piece(vocab, 4, piece, 8, 0, false), 1);
    assert_int_equal(piece[0], '\\');
    assert_int_equal(llama_token_to_piece(vocab, 5, piece, 8, 0, false), 1);
    assert_int_equal((unsigned char)piece[0], 0x80);
    assert_int_equal(llama_token_to_piece(vocab, 6, piece, 8, 0, false), 1);
    assert_int_equal(piece[0], 0);
    static const char text[] = "abcab\xc3\xa9\n\\!<end>";
    static const llama_token want[] = {8, 7, 9, 2, 4, 10, 0};
    llama_token got[32];
    int n = llama_tokenize(vocab, text, (int)strlen(text), got, 32, false, true);
    assert_int_equal(n, 7);
    for (int i = 0; i < 7; i++) assert_int_equal(got[i], want[i]);
    llama_model_free(m);
}

static void test_round_trip(void **state) {
    (void)state;
    rung_net_shape s = {V, 32, 2, 4, 2, 48, 64, 9000, 1e-6f, true, 0, 0};
    rung_net *net = make(&s), *back;
    rung_error err = RUNG_ERROR_INIT;
    rung_net_set_meta(net, "general.name", "tiny");
    assert_int_equal(rung_net_save(net, path, "f32", &err), RUNG_OK);
    assert_int_equal(rung_net_load(&back, path, &err), RUNG_OK);
    const rung_net_shape *t = rung_net_get_shape(back);
    assert_true(t->n_vocab == V && t->n_embd == 32 && t->n_layer == 2 && t->n_head == 4 &&
                t->n_head_kv == 2 && t->n_ff == 48 && t->n_ctx == 64 && t->tied);
    assert_true(t->rope_base == s.rope_base && t->rms_eps == s.rms_eps);
    rung_net_set_meta(back, "rung.note", "second");
    assert_int_equal(rung_net_save(back, again, "f32", &err), RUNG_OK);
    rung_gguf *a, *b;
    assert_int_equal(rung_gguf_open(&a, path, &err), RUNG_OK);
    assert_int_equal(rung_gguf_open(&b, again, &err), RUNG_OK);
    assert_string_equal(rung_gguf_str(b, "general.name", ""), "tiny");
    assert_string_equal(rung_gguf_str(b, "rung.note", ""), "second");
    assert_int_equal(rung_gguf_arr_n(b, "tokenizer.ggml.tokens"), V);
    assert_string_equal(rung_gguf_arr_str(b, "tokenizer.ggml.tokens", 2), "\\n");
    assert_int_equal(rung_gguf_n_tensors(a), rung_gguf_n_tensors(b));
    for (int64_t i = 0; i < rung_gguf_n_tensors(a); i++) {
        float *x, *y;
        int64_t dims[4];
        const char *name = rung_gguf_tensor_name(a, i);
        assert_int_equal(rung_gguf_tensor(&x, dims, a, name, &err), RUNG_OK);
        assert_int_equal(rung_gguf_tensor(&y, dims, b, name, &err), RUNG_OK);
        assert_memory_equal(x, y, (size_t)(dims[0] * dims[1]) * sizeof *x);
        rung_free(x);
        rung_free(y);
    }
    rung_gguf_free(a);
    rung_gguf_free(b);
    rung_net_free(net);
    rung_net_free(back);
}

static void test_refusals(void **state) {
    (void)state;
    rung_net_shape s = {V, 32, 1, 2, 2, 32, 64, 10000, 1e-5f, false, 0, 0};
    rung_net *net;
    rung_error err = RUNG_ERROR_INIT;
    assert_int_equal(rung_net_new(&net, &s, 1, &err), RUNG_OK);
    assert_int_equal(rung_net_save(net, path, "f32", &err), RUNG_E_MISUSE);
    set_vocab(net);
    assert_int_equal(rung_net_save(net, path, "q3", &err), RUNG_E_INVAL);
    assert_non_null(strstr(err.hint, "q8_0"));
    const char *one[] = {"a"};
    assert_int_equal(rung_net_set_vocab(net, one, NULL, 1, 0, &err), RUNG_E_INVAL);
    rung_net_free(net);
    rung_gguf_writer *w = rung_gguf_writer_new();
    rung_gguf_put_str(w, "general.architecture", "gemma3");
    assert_int_equal(rung_gguf_write(w, path, &err), RUNG_OK);
    rung_gguf_writer_free(w);
    assert_int_equal(rung_net_load(&net, path, &err), RUNG_E_MODEL);
    assert_null(net);
    static const rung_net_shape bad[] = {{V, 33, 1, 2, 2, 32, 64, 1e4f, 1e-5f, false, 0, 0},
                                         {V, 32, 1, 4, 3, 32, 64, 1e4f, 1e-5f, false, 0, 0},
                                         {V, 32, 0, 2, 2, 32, 64, 1e4f, 1e-5f, false, 0, 0},
                                         {V, 32, 1, 2, 2, 32, 64, 0, 1e-5f, false, 0, 0}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(rung_net_new(&net, &bad[i], 1, &err), RUNG_E_INVAL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_logits),           cmocka_unit_test(test_adapters),
        cmocka_unit_test(test_adapter_refusals), cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_round_trip),       cmocka_unit_test(test_refusals)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
