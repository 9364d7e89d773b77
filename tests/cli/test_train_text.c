/* What a training document asks of the model: solving text its next tokens, checking text the true
 * results and the verdicts. */
#include "cli/train_text.c"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

enum { BYTE = 4 };

/* The worlds' vocabulary as training makes it: written by a net, read by the model layer. */
static int open_vocab(void **state) {
    rung_error e = RUNG_ERROR_INIT;
    rung_vocab *v = NULL;
    rung_net *net = NULL;
    rung_model *m = NULL;
    rung_model_opts o = RUNG_MODEL_OPTS_INIT;
    char path[] = "/tmp/rung-train-text-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(rung_corpus_vocab(&v, &e), RUNG_OK);
    rung_net_shape shape = {.n_vocab = rung_vocab_size(v),
                            .n_embd = 8,
                            .n_layer = 1,
                            .n_head = 1,
                            .n_head_kv = 1,
                            .n_ff = 8,
                            .n_ctx = 64,
                            .rope_base = 10000.0f,
                            .rms_eps = 1e-5f,
                            .tied = true};
    assert_int_equal(rung_net_new(&net, &shape, 1, &e), RUNG_OK);
    assert_int_equal(train_text_set_vocab(net, v, &e), RUNG_OK);
    assert_int_equal(rung_net_save(net, path, "f16", &e), RUNG_OK);
    o.vocab_only = true;
    assert_int_equal(rung_model_load(&m, path, &o, &e), RUNG_OK);
    unlink(path);
    rung_net_free(net);
    rung_vocab_free(v);
    *state = m;
    return 0;
}

static int close_vocab(void **state) {
    rung_model_free(*state);
    return 0;
}

/* One document by hand: the text after the prompt, with the question in front. */
static void document(train_text *t, const rung_model *m, const char *doc) {
    rung_error e = RUNG_ERROR_INIT;
    train_text_init(t);
    t->vocab = m;
    t->check_weight = 2.0f;
    t->check_lm = 0.5f;
    rung_buf_str(&t->doc, doc);
    assert_int_equal(reserve(t, 8, &e), RUNG_OK);
    t->tok[t->n++] = RUNG_VOCAB_ASK;
    assert_int_equal(append(t, &t->doc, true, &e), RUNG_OK);
    aim_check(t, 0);
}

static void wants(const train_text *t, int32_t at, int32_t target, float weight) {
    assert_int_equal(t->target[at], target);
    assert_float_equal(t->weight[at], weight, 0.0f);
}

static void results_and_verdicts(void **state) {
    train_text t;
    document(&t, *state, "17+9=16\n<->8-9=-1\n<+>#### 7\n<->");
    /* ? 1 7 + 9 = 1 6 \n ? : the true result is 26 */
    wants(&t, 0, RUNG_VOCAB_EOS, 0.0f);
    wants(&t, 4, RUNG_VOCAB_EOS, 0.0f);
    wants(&t, 5, BYTE + '2', 0.5f);
    wants(&t, 6, BYTE + '6', 0.5f);
    wants(&t, 7, BYTE + '\n', 0.5f);
    wants(&t, 8, RUNG_VOCAB_EOS, 0.0f);
    assert_int_equal(t.tok[9], RUNG_VOCAB_ASK);
    wants(&t, 9, RUNG_VOCAB_MINUS, 2.0f);
    /* 8 - 9 = - 1 \n ? */
    wants(&t, 13, BYTE + '-', 0.5f);
    wants(&t, 14, BYTE + '1', 0.5f);
    wants(&t, 17, RUNG_VOCAB_PLUS, 2.0f);
    /* the last line has a verdict and no result of its own */
    int32_t n_verdict = 0, n_result = 0;
    for (int32_t j = 18; j < t.n; j++) {
        n_verdict += t.weight[j] == 2.0f;
        n_result += t.weight[j] == 0.5f;
    }
    assert_int_equal(n_verdict, 1);
    assert_int_equal(n_result, 0);
    train_text_clear(&t);
}

/* A result that is too long gets targets as far as the truth goes, hostile lines none. */
static void odd_lines(void **state) {
    static const char *const docs[] = {"x2=4\n<->", "=\n<+>", "-\n<->", "3+=3\n<->",
                                       "",          "<+><->", "3+4"};
    train_text t;
    for (size_t i = 0; i < sizeof docs / sizeof *docs; i++) {
        document(&t, *state, docs[i]);
        for (int32_t j = 0; j < t.n; j++) assert_float_not_equal(t.weight[j], 0.5f, 0.0f);
        train_text_clear(&t);
    }
    document(&t, *state, "12=34\n<->"); /* a number and itself: what it should be is the number */
    wants(&t, 3, BYTE + '1', 0.5f);
    wants(&t, 4, BYTE + '2', 0.5f);
    wants(&t, 5, BYTE + '\n', 0.5f);
    wants(&t, 7, RUNG_VOCAB_MINUS, 2.0f);
    train_text_clear(&t);
    document(&t, *state, "3+4=7000\n<->");
    wants(&t, 4, BYTE + '7', 0.5f);
    wants(&t, 5, BYTE + '\n', 0.5f);
    wants(&t, 6, RUNG_VOCAB_EOS, 0.0f);
    train_text_clear(&t);
}

/* Real documents: every line of checking text has its verdict, and it is the exact one. */
static void worlds(void **state) {
    rung_error e = RUNG_ERROR_INIT;
    train_text t;
    train_text_init(&t);
    t.vocab = *state;
    t.corpus = (rung_corpus_opts)RUNG_CORPUS_OPTS_INIT;
    t.corpus.share_check = 0.5;
    t.check_lm = 0.5f;
    int n_check = 0;
    for (uint64_t i = 0; i < 200; i++) {
        const int32_t *tok = NULL, *target = NULL;
        const float *weight = NULL;
        int32_t n = 0;
        assert_int_equal(train_text_doc(&t, i, &tok, &target, &weight, &n, &e), RUNG_OK);
        if (t.kind != RUNG_CORPUS_CHECK) {
            for (int32_t j = 0; j + 1 < n; j++)
                if (weight[j] > 0.0f) assert_int_equal(target[j], tok[j + 1]);
            assert_int_equal(target[n - 1], RUNG_VOCAB_EOS);
            continue;
        }
        n_check++;
        bool holds = true;
        for (int32_t j = 0; j + 1 < n; j++) {
            if (weight[j] == 0.5f) holds = holds && target[j] == tok[j + 1];
            bool line = weight[j] == 1.0f && t.tok[j] == RUNG_VOCAB_ASK;
            if (line) {
                assert_int_equal(target[j], holds ? RUNG_VOCAB_PLUS : RUNG_VOCAB_MINUS);
                holds = true;
            }
        }
    }
    assert_in_range(n_check, 70, 130);
    train_text_clear(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(results_and_verdicts),
        cmocka_unit_test(odd_lines),
        cmocka_unit_test(worlds),
    };
    return cmocka_run_group_tests(tests, open_vocab, close_vocab);
}
