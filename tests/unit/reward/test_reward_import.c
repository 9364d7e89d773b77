/* Published heads in safetensors become sidecars: the numbers of every type, one and two layers,
 * files in parts; what does not fit is refused and nothing is written. */
#include "fixture_format.h"

#include "fixture_safetensors.h"
#include "reward/reward_safetensors.h"

#include <math.h>

#include <cmocka.h>

enum { MID = 3 };
static char base[400], head[400], out[400];
static float w1[MID * FM_D], b1[MID] = {.5f, -.25f, 2}, w2[2 * MID] = {1, -2, .5f, .125f, 3, -1},
                             b2[2] = {.75f, -8};

static int setup(void **state) {
    (void)state;
    coin_setup();
    coin_path(base, "base.gguf");
    coin_path(head, "head.safetensors");
    coin_path(out, "head.gguf");
    fm_model(base, &(fm_spec){.arch = "llama", .chat = true, .seed = 1});
    for (int i = 0; i < MID * FM_D; i++) w1[i] = (float)(i % 31 - 15) / 8; /* exact in 8 bits */
    return 0;
}

static int teardown(void **state) {
    (void)state;
    coin_teardown();
    return 0;
}

static rung_reward_import_opts opts(const char *source, const char *format) {
    rung_reward_import_opts o = RUNG_REWARD_IMPORT_OPTS_INIT;
    o.source = source;
    o.format = format;
    o.base_path = base;
    o.out_path = out;
    return o;
}

static void qwen_head(const char *type) {
    st_file f;
    st_begin(&f);
    st_put(&f, "model.norm.weight", "F32", FM_D, 0, w1); /* of the body: not looked at */
    st_put(&f, "score.0.weight", type, MID, FM_D, w1);
    st_put(&f, "score.0.bias", type, MID, 0, b1);
    st_put(&f, "score.2.weight", type, 2, MID, w2);
    st_put(&f, "score.2.bias", type, 2, 0, b2);
    st_write(&f, head);
}

static void tensor_is(const rung_gguf *g, const char *name, int64_t cols, int64_t rows,
                      const float *want) {
    float *x;
    int64_t d[4];
    OK(rung_gguf_tensor(&x, d, g, name, err));
    assert_int_equal(d[0], cols);
    assert_int_equal(d[1], rows);
    assert_memory_equal(x, want, (size_t)(cols * rows) * sizeof *x);
    rung_free(x);
}

static void numbers_of_every_type(void **state) {
    (void)state;
    static const char *const types[] = {"F64", "F32", "F16", "BF16"};
    for (int t = 0; t < 4; t++) {
        rung_reward_import_report r;
        rung_gguf *g;
        rung_reward_import_opts o = opts(head, "qwen-math-prm");
        qwen_head(types[t]);
        unlink(out);
        OK(rung_reward_import(&r, &o, err));
        assert_true(r.n_in == FM_D && r.n_hidden == MID && r.n_out == 2);
        OK(rung_gguf_open(&g, out, err));
        tensor_is(g, "cls.weight", FM_D, MID, w1);
        tensor_is(g, "cls.bias", MID, 1, b1);
        tensor_is(g, "cls.output.weight", MID, 2, w2);
        tensor_is(g, "cls.output.bias", 2, 1, b2);
        assert_string_equal(rung_gguf_str(g, "rung.reward.kind", ""), "prm_format");
        assert_non_null(strstr(rung_gguf_str(g, "rung.reward.source", ""), "score.0, score.2 of"));
        char hash[33];
        OK(rung_hash_file(hash, base, err));
        assert_string_equal(rung_gguf_str(g, "rung.reward.base_hash", ""), hash);
        reward_format_doc d;
        const char *yaml = rung_gguf_str(g, "rung.reward.format", "");
        OK(reward_format_parse(&d, yaml, strlen(yaml), "x", err));
        assert_string_equal(d.format.name, "qwen-math-prm");
        assert_string_equal(d.format.tag, "<extra_0>");
        reward_format_clear(&d);
        rung_gguf_free(g);
    }
}

/* IEEE 754 halves by hand: subnormal, largest, smallest normal, negative zero. */
static void halves(void **state) {
    (void)state;
    static const uint16_t h[] = {0x0001, 0x03ff, 0x0400, 0x3c01, 0x7bff, 0x8000, 0xfbff, 0x3555};
    static const double want[] = {0x1p-24, 0x3ffp-24, 0x1p-14,  1.0009765625,
                                  65504.0, -0.0,      -65504.0, 0.333251953125};
    float *x;
    int64_t rows, cols;
    char text[] = "{\"h\":{\"dtype\":\"F16\",\"shape\":[8],\"data_offsets\":[0,16]}}";
    uint64_t n = strlen(text);
    FILE *f = fopen(head, "wb");
    fwrite(&n, 8, 1, f);
    fwrite(text, 1, n, f);
    fwrite(h, 2, 8, f);
    fclose(f);
    safetensors *s;
    OK(safetensors_open(&s, head, err));
    OK(safetensors_tensor(&x, &rows, &cols, s, "h", err));
    assert_true(rows == 1 && cols == 8);
    for (int i = 0; i < 8; i++) {
        assert_true((double)x[i] == want[i]);
        assert_int_equal(signbit((double)x[i]) != 0, signbit(want[i]) != 0);
    }
    rung_free(x);
    safetensors_close(s);
}

/* Skywork's value head: one output, in the second of two files that an index names; by folder. */
static void parts_of_an_index(void **state) {
    (void)state;
    char path[500], folder[400];
    coin_path(folder, "parts");
    assert_int_equal(mkdir(folder, 0700), 0);
    st_file f;
    st_begin(&f);
    st_put(&f, "model.norm.weight", "BF16", FM_D, 0, w1);
    snprintf(path, sizeof path, "%s/model-1.safetensors", folder);
    st_write(&f, path);
    st_begin(&f);
    st_put(&f, "v_head.summary.weight", "BF16", 1, FM_D, w1);
    st_put(&f, "v_head.summary.bias", "BF16", 1, 0, b1);
    snprintf(path, sizeof path, "%s/model-2.safetensors", folder);
    st_write(&f, path);
    static const char index[] = "{\"metadata\":{},\"weight_map\":{"
                                "\"model.norm.weight\":\"model-1.safetensors\","
                                "\"v_head.summary.weight\":\"model-2.safetensors\","
                                "\"v_head.summary.bias\":\"model-2.safetensors\"}}";
    snprintf(path, sizeof path, "%s/model.safetensors.index.json", folder);
    OK(rung_file_write(path, index, strlen(index), err));
    for (int by_folder = 0; by_folder < 2; by_folder++) {
        rung_reward_import_report r;
        rung_gguf *g;
        rung_reward_import_opts o = opts(by_folder ? folder : path, "skywork");
        OK(rung_reward_import(&r, &o, err));
        assert_true(r.n_hidden == 0 && r.n_out == 1);
        OK(rung_gguf_open(&g, out, err));
        assert_false(rung_gguf_has_tensor(g, "cls.weight"));
        tensor_is(g, "cls.output.weight", FM_D, 1, w1);
        tensor_is(g, "cls.output.bias", 1, 1, b1);
        rung_gguf_free(g);
    }
}

static void refused(const rung_reward_import_opts *o, rung_status want, const char *says) {
    rung_reward_import_report r;
    rung_error e = RUNG_ERROR_INIT;
    unlink(out);
    rung_status st = rung_reward_import(&r, o, &e);
    if (st != want || (!strstr(e.what, says) && !strstr(e.hint, says)))
        fail_msg("%d, not %d: %s | %s (wanted \"%s\")", st, want, e.what, e.hint, says);
    assert_int_equal(access(out, F_OK), -1);
}

static void what_does_not_fit(void **state) {
    (void)state;
    rung_reward_import_opts o = opts(head, "qwen-math-prm");
    qwen_head("F32");
    o.head = "scor.0,score.2";
    refused(&o, RUNG_E_NOT_FOUND, "did you mean score.0.weight?");
    o.head = "score.2,score.0"; /* the other way round */
    refused(&o, RUNG_E_MISMATCH, "2 x 3, not of 32 inputs");
    o.head = "a,b,c";
    refused(&o, RUNG_E_INVAL, "one or two names");
    o.head = "score.0";
    o.format = "math-shepherd";
    refused(&o, RUNG_E_FORMAT, "reads no head");
    o = opts(head, "rung-head");
    refused(&o, RUNG_E_FORMAT, "one or two layers");
    o = opts("/nonexistent.safetensors", "skywork");
    refused(&o, RUNG_E_NOT_FOUND, "nonexistent");
    o = opts(head, "qwen-math-prm");
    o.base_path = "/nonexistent.gguf";
    refused(&o, RUNG_E_NOT_FOUND, "nonexistent");
    st_file f;
    st_begin(&f);
    float nan[FM_D] = {0};
    nan[7] = NAN;
    st_put(&f, "v_head.summary.weight", "F32", 1, FM_D, nan);
    st_write(&f, head);
    o = opts(head, "skywork");
    refused(&o, RUNG_E_FORMAT, "not finite");
    st_begin(&f); /* a class that the head has not */
    st_put(&f, "score.weight", "F32", 1, FM_D, w1);
    st_put(&f, "score.bias", "F32", 2, 0, b2);
    st_write(&f, head);
    o = opts(head, "trl");
    refused(&o, RUNG_E_MISMATCH, "holds 2 numbers, not 1");
}

static void put_raw(const char *json, size_t n_data, uint64_t n_claimed) {
    static const char zero[4096];
    FILE *f = fopen(head, "wb");
    fwrite(&n_claimed, 8, 1, f);
    fwrite(json, 1, strlen(json), f);
    fwrite(zero, 1, n_data, f);
    fclose(f);
}

static void hostile_headers(void **state) {
    (void)state;
    rung_reward_import_opts o = opts(head, "skywork");
    static const struct {
        const char *json, *says;
    } bad[] = {
        {"[]", "no JSON object"},
        {"{\"v_head.summary.weight\":3}", "no dtype"},
        {"{\"v_head.summary.weight\":{\"dtype\":\"F32\",\"shape\":[1,32],\"data_offsets\":[0]}}",
         "no dtype"},
        {"{\"v_head.summary.weight\":{\"dtype\":\"I8\",\"shape\":[1,32],\"data_offsets\":[0,32]}}",
         "none of"},
        {"{\"v_head.summary.weight\":{\"dtype\":\"F32\",\"shape\":[1,32],\"data_offsets\":[0,127]}"
         "}",
         "not as long"},
        {"{\"v_head.summary.weight\":{\"dtype\":\"F32\",\"shape\":[1,32],\"data_offsets\":[128,0]}"
         "}",
         "beyond the end"},
        {"{\"v_head.summary.weight\":{\"dtype\":\"F32\",\"shape\":[1,32],"
         "\"data_offsets\":[4000,4128]}}",
         "beyond the end"},
        {"{\"v_head.summary.weight\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],"
         "\"data_offsets\":[0,0]}}",
         "impossible shape"},
        {"{\"v_head.summary.weight\":{\"dtype\":\"F32\",\"shape\":[200000000,200],"
         "\"data_offsets\":[0,0]}}",
         "too large"},
        {"{\"v_head.summary.weight\":{\"dtype\":\"F32\",\"shape\":[1,4,8],\"data_offsets\":[0,128]}"
         "}",
         "one or two dimensions"},
        {"{\"v_head.summary.weight\":{\"dtype\":\"F32\",\"shape\":[-1,32],\"data_offsets\":[0,128]}"
         "}",
         "impossible shape"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        put_raw(bad[i].json, 512, strlen(bad[i].json));
        refused(&o, RUNG_E_FORMAT, bad[i].says);
    }
    put_raw("{}", 0, 1u << 30);
    refused(&o, RUNG_E_FORMAT, "longer than the file");
    put_raw("{}", 0, UINT64_MAX);
    refused(&o, RUNG_E_FORMAT, "longer than the file");
    OK(rung_file_write(head, "abc", 3, err));
    refused(&o, RUNG_E_FORMAT, "whole safetensors file");
    char index[400];
    o.source = coin_path(index, "x.index.json");
    static const char outside[] = "{\"weight_map\":{\"v_head.summary.weight\":\"../head\"}}";
    OK(rung_file_write(index, outside, strlen(outside), err));
    refused(&o, RUNG_E_FORMAT, "no file beside it");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_of_every_type), cmocka_unit_test(halves),
        cmocka_unit_test(parts_of_an_index),     cmocka_unit_test(what_does_not_fit),
        cmocka_unit_test(hostile_headers),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
