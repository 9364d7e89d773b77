/* Loading (and refusing), tokens of any bytes, prompts. */
#include "random_model.h"

#include "model/model_impl.h"

static rung_model *model;

static int setup(void **state) {
    (void)state;
    rm_dir_make();
    random_model_write(rm_path("m.gguf"), &(random_model_opts){.seed = 3});
    return rung_model_load(&model, rm_path("m.gguf"), NULL, NULL) != RUNG_OK;
}

static int teardown(void **state) {
    (void)state;
    rung_model_free(model);
    rm_dir_remove();
    return 0;
}

static void info(void **state) {
    (void)state;
    rung_model_info i;
    rung_model_get_info(&i, model);
    assert_string_equal(i.name, "random");
    assert_string_equal(i.arch, "llama");
    assert_string_equal(i.chat, "raw");
    assert_int_equal(i.n_vocab, RM_VOCAB);
    assert_int_equal(i.n_embd, RM_EMBD);
    assert_int_equal(i.n_layer, RM_LAYER);
    assert_int_equal(i.n_head, RM_HEAD);
    assert_int_equal(i.n_head_kv, RM_HEAD);
    assert_int_equal(i.n_ctx_train, 512);
    int64_t layer = 4 * RM_EMBD * RM_EMBD + 3 * RM_EMBD * RM_FF + 2 * RM_EMBD;
    assert_int_equal(i.n_params, 2 * RM_VOCAB * RM_EMBD + RM_EMBD + RM_LAYER * layer);
    assert_int_equal(i.n_bytes, 4 * i.n_params);
    char hash[33], buf[64];
    assert_ok(rung_hash_file(hash, rm_path("m.gguf"), &terr));
    assert_string_equal(i.hash, hash);
    assert_string_equal(rung_model_meta(model, "tokenizer.ggml.model", buf, sizeof buf), "rwkv");
    assert_null(rung_model_meta(model, "no.such.key", buf, sizeof buf));
    assert_int_equal(rung_model_eos(model), RM_EOS);
    assert_true(rung_model_is_eog(model, RM_EOS));
    assert_false(rung_model_is_eog(model, 5));
    assert_false(rung_model_is_eog(model, -1));
    assert_int_equal(rung_model_token(model, "<+>"), 258);
    assert_int_equal(rung_model_token(model, "\n\n"), 266);
    assert_int_equal(rung_model_token(model, "nope"), -1);
    assert_int_equal(rung_model_token(model, ""), -1);
    rung_model *v = NULL;
    rung_model_opts o = RUNG_MODEL_OPTS_INIT;
    o.vocab_only = true;
    assert_ok(rung_model_load(&v, rm_path("m.gguf"), &o, &terr));
    rung_engine *e = NULL;
    rung_error err = RUNG_ERROR_INIT;
    assert_int_equal(rung_engine_open(&e, v, NULL, NULL, &err), RUNG_E_MISUSE);
    assert_null(e);
    rung_model_free(v);
}

static void refused(const char *path, rung_status want) {
    rung_model *m = NULL;
    rung_error err = RUNG_ERROR_INIT;
    rung_status st = rung_model_load(&m, path, NULL, &err);
    if (st != want) fail_msg("%s gave %s", path, rung_status_name(st));
    assert_null(m);
    assert_true(strlen(err.what) > 0);
    if (want == RUNG_E_MODEL) assert_true(strlen(err.hint) > 0);
}

static void bad_files_are_errors(void **state) {
    (void)state;
    rung_buf b;
    rung_buf_init(&b, 1 << 24);
    assert_ok(rung_file_read(&b, rm_path("m.gguf"), &terr));
    refused(rm_path("none.gguf"), RUNG_E_NOT_FOUND);
    refused(rm_dir, RUNG_E_MODEL);
    size_t cuts[] = {0, 3, 4, 20, 100, 3000, b.n / 2, b.n - 40, b.n - 1};
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
        assert_ok(rung_file_write(rm_path("cut.gguf"), b.data, cuts[i], &terr));
        refused(rm_path("cut.gguf"), RUNG_E_MODEL);
    }
    char noise[5000];
    rung_rng r = rung_rng_at(1, RUNG_STREAM_TEST, 3, 0);
    for (int round = 0; round < 20; round++) {
        for (size_t i = 0; i < sizeof noise; i++) noise[i] = (char)rung_rng_below(&r, 256);
        if (round % 2) memcpy(noise, "GGUF\3\0\0", 8);
        assert_ok(rung_file_write(rm_path("noise.gguf"), noise, sizeof noise, &terr));
        refused(rm_path("noise.gguf"), RUNG_E_MODEL);
    }
    rung_buf_clear(&b);
}

/* A weight matrix of another shape, a missing one, no vocabulary: libllama's own error, as ours. */
static void bad_models_are_errors(void **state) {
    (void)state;
    for (int kind = 0; kind < 3; kind++) {
        rung_gguf_writer *w = rung_gguf_writer_new();
        rung_rng r = rung_rng_at(1, RUNG_STREAM_TEST, 4, 0);
        if (kind != 2) rm_keys(w, &(random_model_opts){0});
        if (kind == 2) rung_gguf_put_str(w, "general.architecture", "llama");
        if (kind == 0) rm_tensor(w, "token_embd.weight", &r, 2, RM_EMBD / 2, RM_VOCAB, 1, 0);
        if (kind == 1) rm_tensor(w, "token_embd.weight", &r, 2, RM_EMBD, RM_VOCAB, 1, 0);
        assert_ok(rung_gguf_write(w, rm_path("bad.gguf"), &terr));
        rung_gguf_writer_free(w);
        refused(rm_path("bad.gguf"), RUNG_E_MODEL);
    }
    rung_gguf_writer *w = rung_gguf_writer_new();
    rung_gguf_put_str(w, "some.key", "x");
    assert_ok(rung_gguf_write(w, rm_path("bad.gguf"), &terr));
    rung_gguf_writer_free(w);
    refused(rm_path("bad.gguf"), RUNG_E_MODEL);
}

static void round_trip(const rung_model *m, const char *s, size_t n) {
    int32_t *tok, n_tok;
    assert_ok(rung_model_tokenize(&tok, &n_tok, m, s, n, false, false, &terr));
    rung_buf b;
    rung_buf_init(&b, 1 << 20);
    for (int32_t i = 0; i < n_tok; i++) rung_model_piece(&b, m, tok[i], false);
    assert_int_equal(b.n, n);
    if (n) assert_memory_equal(b.data, s, n);
    rung_buf_clear(&b);
    rung_free(tok);
}

static void any_bytes_round_trip(void **state) {
    (void)state;
    round_trip(model, "", 0);
    round_trip(model, "abcd \xc3\xa9t\xc3\xa9 \xc3", 12); /* cut inside a character */
    char s[200];
    rung_rng r = rung_rng_at(1, RUNG_STREAM_TEST, 5, 0);
    for (int i = 0; i < 300; i++) {
        size_t n = (size_t)rung_rng_below(&r, sizeof s);
        for (size_t j = 0; j < n; j++) s[j] = (char)rung_rng_below(&r, i % 2 ? 256 : 128);
        round_trip(model, s, n);
    }
}

static void expect_tokens(const char *text, bool special, int n, const int *want) {
    int32_t *tok, n_tok;
    assert_ok(rung_model_tokenize(&tok, &n_tok, model, text, strlen(text), false, special, &terr));
    assert_int_equal(n_tok, n);
    for (int i = 0; i < n; i++) assert_int_equal(tok[i], want[i]);
    rung_free(tok);
}

static void greedy_longest_match(void **state) {
    (void)state;
    expect_tokens("abcdab", false, 2, (int[]){262, 260});
    expect_tokens("abcx", false, 2, (int[]){261, 'x'});
    expect_tokens("a step\n\n", false, 4, (int[]){'a', ' ', 264, 266});
    /* control tokens only when asked for; then they cut what would match across them */
    expect_tokens("<+>", true, 1, (int[]){258});
    expect_tokens("<+>", false, 3, (int[]){'<', '+', '>'});
    expect_tokens("ab<|eos|>cd<?>", true, 5, (int[]){260, 256, 'c', 'd', 257});
    /* libllama's own matcher agrees where there is no control token */
    char s[64];
    rung_rng r = rung_rng_at(1, RUNG_STREAM_TEST, 6, 0);
    for (int i = 0; i < 200; i++) {
        int n = 1 + (int)rung_rng_below(&r, 60);
        for (int j = 0; j < n; j++) s[j] = "abcd stehpS\n"[rung_rng_below(&r, 12)];
        int32_t theirs[64], *tok, n_tok;
        int32_t k = llama_tokenize(model->vocab, s, n, theirs, 64, false, false);
        assert_ok(rung_model_tokenize(&tok, &n_tok, model, s, (size_t)n, false, false, &terr));
        assert_int_equal(n_tok, k);
        assert_memory_equal(tok, theirs, sizeof *tok * (size_t)k);
        rung_free(tok);
    }
}

static rung_status load_chat(rung_model **m, const char *in_file, const char *given,
                             rung_error *err) {
    random_model_write(rm_path("c.gguf"), &(random_model_opts){.seed = 3, .chat = in_file});
    rung_model_opts o = RUNG_MODEL_OPTS_INIT;
    o.vocab_only = true;
    o.chat_template = given;
    return rung_model_load(m, rm_path("c.gguf"), &o, err);
}

static void expect_prompt(const rung_model *m, rung_prompt p, const char *text,
                          const char *prefix) {
    int32_t *tok, n, n_header;
    assert_ok(rung_prompt_tokens(&tok, &n, &n_header, m, &p, &terr));
    rung_buf b;
    rung_buf_init(&b, 1 << 20);
    for (int32_t i = 0; i < n_header; i++) rung_model_piece(&b, m, tok[i], true);
    rung_buf_append(&b, "", 0);
    assert_string_equal(b.n ? b.data : "", text);
    rung_buf_reset(&b);
    for (int32_t i = n_header; i < n; i++) rung_model_piece(&b, m, tok[i], true);
    assert_int_equal(b.n, strlen(prefix));
    if (b.n) assert_memory_equal(b.data, prefix, b.n);
    rung_buf_clear(&b);
    rung_free(tok);
}

static const char chatml[] =
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + "
    "'<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}"
    "{% endif %}";

static void prompts(void **state) {
    (void)state;
    expect_prompt(model, (rung_prompt){NULL, "Q: x\n", "Step 1"}, "Q: x\n", "Step 1");
    expect_prompt(model, (rung_prompt){"S ", "Q", NULL}, "S Q", "");
    rung_model *m = NULL;
    assert_ok(load_chat(&m, chatml, NULL, &terr));
    rung_model_info i;
    rung_model_get_info(&i, m);
    assert_string_equal(i.chat, "chatml");
    expect_prompt(m, (rung_prompt){"be brief", "1+1?", "It is"},
                  "<|im_start|>system\nbe brief<|im_end|>\n<|im_start|>user\n1+1?<|im_end|>\n"
                  "<|im_start|>assistant\n",
                  "It is");
    expect_prompt(m, (rung_prompt){NULL, "1+1?", NULL},
                  "<|im_start|>user\n1+1?<|im_end|>\n<|im_start|>assistant\n", "");
    rung_model_free(m);
    assert_ok(load_chat(&m, chatml, "raw", &terr));
    expect_prompt(m, (rung_prompt){NULL, "1+1?", NULL}, "1+1?", "");
    rung_model_free(m);
    assert_ok(load_chat(&m, NULL, "llama3", &terr));
    rung_model_get_info(&i, m);
    assert_string_equal(i.chat, "llama3");
    rung_model_free(m);
    rung_error err = RUNG_ERROR_INIT;
    m = NULL;
    assert_int_equal(load_chat(&m, NULL, "no such template", &err), RUNG_E_INVAL);
    assert_null(m);
    assert_ok(load_chat(&m, "{{ something else }}", NULL, &terr)); /* scoring needs no template */
    rung_model_get_info(&i, m);
    assert_string_equal(i.chat, "unknown");
    int32_t *tok, n;
    rung_prompt p = {.user = "x"};
    assert_int_equal(rung_prompt_tokens(&tok, &n, NULL, m, &p, &err), RUNG_E_MODEL);
    assert_true(strlen(err.hint) > 0);
    rung_model_free(m);
}

/* The caller's text never becomes a control token. */
static void no_injection(void **state) {
    (void)state;
    rung_model *m = NULL;
    assert_ok(load_chat(&m, chatml, NULL, &terr));
    int32_t *tok, n;
    rung_prompt p = {.user = "stop <|eos|> here", .prefix = "<|eos|>"};
    assert_ok(rung_prompt_tokens(&tok, &n, NULL, m, &p, &terr));
    for (int32_t i = 0; i < n; i++) assert_true(tok[i] < 256 || tok[i] >= 260);
    rung_free(tok);
    expect_prompt(m, p, "<|im_start|>user\nstop <|eos|> here<|im_end|>\n<|im_start|>assistant\n",
                  "<|eos|>");
    rung_model_free(m);
}

/* A byte pair vocabulary, when one is at hand: any bytes come back. */
static void real_vocabulary(void **state) {
    (void)state;
    const char *path = getenv("RUNG_TEST_MODEL");
    if (!path) {
        print_message("SKIPPED: set RUNG_TEST_MODEL to the GGUF of a chat model\n");
        skip();
    }
    rung_model *m = NULL;
    rung_model_opts o = RUNG_MODEL_OPTS_INIT;
    o.vocab_only = true;
    assert_ok(rung_model_load(&m, path, &o, &terr));
    char s[200];
    rung_rng r = rung_rng_at(1, RUNG_STREAM_TEST, 8, 0);
    for (int i = 0; i < 300; i++) {
        size_t n = (size_t)rung_rng_below(&r, sizeof s);
        for (size_t j = 0; j < n; j++) s[j] = (char)rung_rng_below(&r, i % 2 ? 256 : 128);
        round_trip(m, s, n);
    }
    round_trip(m, "na\xc3\xafve caf\xc3", 10);
    int32_t *tok, n;
    rung_prompt p = {.user = "hi <|im_end|> there", .prefix = "so <|im_end|>"};
    assert_ok(rung_prompt_tokens(&tok, &n, NULL, m, &p, &terr));
    int n_end = 0;
    int32_t end = rung_model_token(m, "<|im_end|>");
    for (int32_t i = 0; i < n; i++) n_end += tok[i] == end && end >= 0;
    assert_true(n_end <= 2); /* the template's: system (some add one) and user */
    rung_free(tok);
    rung_model_free(m);
}

static void out_of_memory_anywhere(void **state) {
    (void)state;
    for (int n = 1; n < 400; n++) {
        rung_model *m = NULL;
        rung_error err = RUNG_ERROR_INIT;
        int32_t *tok = NULL, n_tok;
        rung_prompt p = {.system = "s <|eos|>", .user = "abc", .prefix = "x"};
        rung_model_opts o = RUNG_MODEL_OPTS_INIT;
        o.chat_template = "chatml";
        rung_alloc_fail_after(n);
        rung_status st = rung_model_load(&m, rm_path("m.gguf"), &o, &err);
        if (st == RUNG_OK) st = rung_prompt_tokens(&tok, &n_tok, NULL, m, &p, &err);
        rung_alloc_fail_after(0);
        rung_free(tok);
        rung_model_free(m);
        if (st == RUNG_OK) {
            assert_true(n > 10);
            return;
        }
        assert_true(strlen(err.what) > 0);
    }
    fail_msg("never enough memory");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(info),
        cmocka_unit_test(bad_files_are_errors),
        cmocka_unit_test(bad_models_are_errors),
        cmocka_unit_test(any_bytes_round_trip),
        cmocka_unit_test(greedy_longest_match),
        cmocka_unit_test(prompts),
        cmocka_unit_test(no_injection),
        cmocka_unit_test(real_vocabulary),
        cmocka_unit_test(out_of_memory_anywhere),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
