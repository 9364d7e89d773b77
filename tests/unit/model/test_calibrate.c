/* The calibration: measured once, kept, not believed when it is stale or broken; what auto takes.
 */
#include "random_model.h"

#include "model/calibrate.h"

static char source[256], hash[33];

/* A q8_0 file: f32, bf16 and f16 keep it. */
static int setup(void **state) {
    (void)state;
    rung_buf b;
    rm_dir_make();
    setenv("XDG_CACHE_HOME", rm_dir, 1);
    random_model_write(rm_path("m.gguf"), &(random_model_opts){.seed = 3});
    rung_buf_init(&b, 4096);
    if (rung_weights_file(&b, rm_path("m.gguf"), RUNG_WEIGHTS_Q8_0, NULL, NULL) != RUNG_OK)
        return 1;
    snprintf(source, sizeof source, "%s", rm_path("q8.gguf"));
    if (rename(b.data, source) != 0) return 1;
    rung_buf_clear(&b);
    return rung_hash_file(hash, source, NULL) != RUNG_OK;
}

static int teardown(void **state) {
    (void)state;
    rm_dir_remove();
    return 0;
}

static char *json_path(void) {
    static char path[512];
    char machine[33];
    rung_machine_id(machine, NULL);
    snprintf(path, sizeof path, "%s/rung/calibration/%s-%s.json", rm_dir, hash, machine);
    return path;
}

static void measured_and_kept(void **state) {
    (void)state;
    rung_calibration c, again;
    rung_calibrate_opts o = RUNG_CALIBRATE_OPTS_INIT;
    bool found = true;
    assert_ok(rung_calibration_get(&c, &found, source, &terr));
    assert_false(found);
    assert_ok(rung_calibrate(&c, source, &o, NULL, &terr));
    assert_string_equal(c.model, hash);
    assert_int_equal(c.n_cores, rung_n_cores());
    static const bool offers[RUNG_WEIGHTS_COUNT] = {true, true, true, true}; /* as-is .. f16 */
    for (int w = 0; w < RUNG_WEIGHTS_COUNT; w++) {
        assert_int_equal(c.type[w].measured, offers[w]);
        if (!offers[w]) continue;
        assert_true(c.type[w].read_s > 0.0);
        for (int i = 0; i < RUNG_CALIBRATION_N; i++) {
            assert_true(c.type[w].tok_s[i] > 0.0 && c.type[w].tok_s[i] < 1e9);
        }
    }
    assert_true(c.type[c.best].offered && c.n_seq >= 1 && c.n_threads >= 1);
    assert_true(c.n_batch == 128 || c.n_batch == 512);
    if (c.best != RUNG_WEIGHTS_AS_IS) {
        assert_true(c.kl_best < 1e-3 && c.n_kl > 20 && c.read_best > 0 && c.write_best > 0);
    }
    /* f32 as the measure is not left behind unless it is the choice */
    rung_weights_fit fit[RUNG_WEIGHTS_COUNT];
    assert_ok(rung_weights_fits(fit, source, &terr));
    if (c.best == RUNG_WEIGHTS_BF16) assert_false(fit[RUNG_WEIGHTS_F32].made);
    assert_ok(rung_calibrate(&again, source, &o, NULL, &terr));
    assert_int_equal(again.made_ms, c.made_ms); /* read, not measured */
    assert_int_equal(again.best, c.best);
    assert_int_equal(again.n_seq, c.n_seq);
    for (int i = 0; i < RUNG_CALIBRATION_N; i++) {
        double a = c.type[0].tok_s[i], b = again.type[0].tok_s[i];
        assert_true(fabs(a - b) <= 1e-4 * a);
    }
    o.again = true;
    assert_ok(rung_calibrate(&again, source, &o, NULL, &terr));
    assert_true(again.made_ms > c.made_ms);
}

/* A bound that only exact weights can meet. */
static void kl_bound(void **state) {
    (void)state;
    rung_calibration c;
    rung_calibrate_opts o = RUNG_CALIBRATE_OPTS_INIT;
    o.again = true;
    o.kl_max = 1e-300;
    assert_ok(rung_calibrate(&c, source, &o, NULL, &terr));
    assert_true(c.best == RUNG_WEIGHTS_AS_IS || c.best == RUNG_WEIGHTS_F32);
}

static void write_text(const char *path, const char *text) {
    assert_ok(rung_file_write(path, text, strlen(text), &terr));
}

/* Replace `from` in the kept file; found must become false. */
static void not_believed(const char *from, const char *to) {
    rung_buf b, c;
    rung_calibration k;
    bool found = true;
    rung_buf_init(&b, 1 << 20);
    rung_buf_init(&c, 1 << 20);
    assert_ok(rung_file_read(&b, json_path(), &terr));
    const char *at = strstr(b.data, from);
    if (!at) fail_msg("no %s in %s", from, b.data);
    rung_buf_append(&c, b.data, (size_t)(at - b.data));
    rung_buf_str(&c, to);
    rung_buf_str(&c, at + strlen(from));
    write_text(json_path(), c.data);
    assert_ok(rung_calibration_get(&k, &found, source, &terr));
    if (found) fail_msg("%s -> %s was believed", from, to);
    write_text(json_path(), b.data);
    assert_ok(rung_calibration_get(&k, &found, source, &terr));
    assert_true(found);
    rung_buf_clear(&b);
    rung_buf_clear(&c);
}

static void stale_and_broken(void **state) {
    (void)state;
    rung_calibration c;
    bool found;
    char machine[33], with[64];
    assert_ok(rung_calibrate(&c, source, NULL, NULL, &terr));
    rung_machine_id(machine, NULL);
    not_believed(machine, "00000000000000000000000000000000"); /* copied from another machine */
    not_believed(hash, "00000000000000000000000000000000");
    not_believed("{\"v\":1", "{\"v\":0");
    not_believed("\"n\":[1,4", "\"n\":[4,1");
    not_believed("\"sequences\":", "\"sequences\":-");
    not_believed("\"best\":\"", "\"best\":\"x");
    not_believed("\"tok_s\":[", "\"tok_s\":[0,");
    not_believed("\"threads\":", "\"thread\":");
    snprintf(with, sizeof with, "\"best\":\"%s\"", rung_weights_name(c.best));
    not_believed(with, "\"best\":\"q4_0\""); /* not offered */
    write_text(json_path(), "");
    assert_ok(rung_calibration_get(&c, &found, source, &terr));
    assert_false(found);
    write_text(json_path(), "{\"v\":1,");
    assert_ok(rung_calibration_get(&c, &found, source, &terr));
    assert_false(found);
    assert_ok(rung_calibrate(&c, source, NULL, NULL, &terr)); /* measured and kept again */
    assert_ok(rung_calibration_get(&c, &found, source, &terr));
    assert_true(found);
}

typedef struct heard {
    int warnings;
    char last[64];
} heard;

static int hear(void *ud, rung_level level, const char *name, const rung_field *f) {
    heard *h = ud;
    (void)f;
    if (level == RUNG_WARN) {
        h->warnings++;
        snprintf(h->last, sizeof h->last, "%s", name);
    }
    return 0;
}

/* Rates made up: bf16 twice as fast from 8 sequences on, half as fast for one. */
static void put_made_up(void) {
    rung_calibration c = {.n = {1, 4, 8, 16, 32, 64},
                          .best = RUNG_WEIGHTS_BF16,
                          .n_seq = 16,
                          .n_batch = 128,
                          .n_threads = 1,
                          .n_cores = 1};
    static const double as_is[] = {40, 50, 60, 60, 60, 60}, bf16[] = {20, 50, 120, 195, 200, 180};
    snprintf(c.model, sizeof c.model, "%s", hash);
    rung_machine_id(c.machine, c.cpu);
    c.type[RUNG_WEIGHTS_AS_IS] =
        (rung_calibration_row){.measured = true, .offered = true, .read_s = 100};
    c.type[RUNG_WEIGHTS_BF16] =
        (rung_calibration_row){.measured = true, .offered = true, .read_s = 200};
    memcpy(c.type[RUNG_WEIGHTS_AS_IS].tok_s, as_is, sizeof as_is);
    memcpy(c.type[RUNG_WEIGHTS_BF16].tok_s, bf16, sizeof bf16);
    assert_ok(rung_calibration_put(&c, &terr));
}

static void what_auto_takes(void **state) {
    (void)state;
    static const struct {
        int32_t n;
        rung_weights want;
    } cases[] = {{0, RUNG_WEIGHTS_BF16}, {1, RUNG_WEIGHTS_AS_IS},   {4, RUNG_WEIGHTS_AS_IS},
                 {8, RUNG_WEIGHTS_BF16}, {1000, RUNG_WEIGHTS_BF16}, {6, RUNG_WEIGHTS_BF16}};
    put_made_up();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rung_weights w;
        assert_ok(rung_weights_choose(&w, source, cases[i].n, NULL, &terr));
        assert_int_equal(w, cases[i].want);
    }
    rung_calibration c;
    bool found;
    assert_ok(rung_calibration_get(&c, &found, source, &terr));
    assert_true(found);
    assert_int_equal(rung_calibration_n_seq(&c, RUNG_WEIGHTS_BF16), 16); /* 195 >= .95 x 200 */
    assert_int_equal(rung_calibration_n_seq(&c, RUNG_WEIGHTS_AS_IS), 8);
    assert_int_equal(rung_calibration_n_seq(&c, RUNG_WEIGHTS_F32), 0);
    rung_model_opts o = RUNG_MODEL_OPTS_INIT;
    rung_model *m = NULL;
    rung_model_info i;
    o.weights = RUNG_WEIGHTS_AUTO;
    assert_ok(rung_model_load(&m, source, &o, &terr));
    rung_model_get_info(&i, m);
    rung_model_free(m);
    assert_string_equal(i.weights, "bf16");
    assert_string_equal(i.hash, hash);
    assert_int_equal(i.n_seq_best, 16);
    assert_int_equal(i.n_batch_best, 128);
    o.n_seq = 1;
    assert_ok(rung_model_load(&m, source, &o, &terr));
    rung_model_get_info(&i, m);
    rung_model_free(m);
    assert_string_equal(i.weights, "as-is");
    assert_ok(rung_model_load(&m, source, NULL, &terr)); /* as it is: nothing is looked up */
    rung_model_get_info(&i, m);
    rung_model_free(m);
    assert_int_equal(i.n_seq_best, 0);
}

/* The folder for converted files is a file: auto goes on as it is and says so. */
static void auto_falls_back(void **state) {
    (void)state;
    char folder[256], aside[256];
    heard h = {0};
    rung_log log = {hear, &h};
    rung_weights w;
    put_made_up();
    snprintf(folder, sizeof folder, "%s/rung/weights", rm_dir);
    snprintf(aside, sizeof aside, "%s/aside", rm_dir);
    assert_int_equal(rename(folder, aside), 0);
    write_text(folder, "in the way");
    assert_ok(rung_weights_choose(&w, source, 0, &log, &terr));
    assert_int_equal(w, RUNG_WEIGHTS_AS_IS);
    assert_int_equal(h.warnings, 1);
    assert_string_equal(h.last, "weights.as_is");
    rung_calibrate_opts o = RUNG_CALIBRATE_OPTS_INIT; /* and a calibration refuses what cannot be */
    rung_calibration c;
    o.again = true;
    assert_ok(rung_calibrate(&c, source, &o, &log, &terr));
    assert_int_equal(c.best, RUNG_WEIGHTS_AS_IS);
    assert_int_equal(unlink(folder), 0);
    assert_int_equal(rename(aside, folder), 0);
}

/* No cache at all: measured, said, used. */
static void not_kept(void **state) {
    (void)state;
    char file[256];
    heard h = {0};
    rung_log log = {hear, &h};
    rung_calibration c;
    snprintf(file, sizeof file, "%s", rm_path("m.gguf"));
    setenv("XDG_CACHE_HOME", file, 1);
    rung_error err = RUNG_ERROR_INIT;
    rung_status st = rung_calibrate(&c, source, NULL, &log, &err);
    setenv("XDG_CACHE_HOME", rm_dir, 1);
    if (st != RUNG_OK) fail_msg("%s", err.what);
    assert_string_equal(h.last, "calibrate.not_kept");
    assert_int_equal(c.best, RUNG_WEIGHTS_AS_IS);
}

static void bad_input(void **state) {
    (void)state;
    rung_calibration c;
    rung_error err = RUNG_ERROR_INIT;
    assert_int_equal(rung_calibrate(&c, rm_path("none.gguf"), NULL, NULL, &err), RUNG_E_NOT_FOUND);
    write_text(rm_path("text.gguf"), "GGUF? no");
    assert_int_equal(rung_calibrate(&c, rm_path("text.gguf"), NULL, NULL, &err), RUNG_E_MODEL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(measured_and_kept), cmocka_unit_test(kl_bound),
        cmocka_unit_test(stale_and_broken),  cmocka_unit_test(what_auto_takes),
        cmocka_unit_test(auto_falls_back),   cmocka_unit_test(not_kept),
        cmocka_unit_test(bad_input),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
