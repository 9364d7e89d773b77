/* Formats of published reward models: what is read, where, and the score, against scores that the
 * test computes itself from hidden states and logits of one text at a time. */
#include "fixture_format.h"

#include "fixture_safetensors.h"
#include <math.h>

#include <cmocka.h>

static const char *const question = "one + 2?";
static const char *const steps[] = {"  one step\n", "2 is 1+1\n", "so x=3\n", "done: 3"};
static const char *const bare[] = {"one step", "2 is 1+1", "so x=3", "done: 3"};
enum { N = 4 };

static double sigmoid(double x) {
    return 1 / (1 + exp(-x));
}
static rung_reward *open_as(const char *path, const char *format, const char *reference,
                            rung_engine *base) {
    rung_reward *r = NULL;
    rung_engine_opts eo = RUNG_ENGINE_OPTS_INIT;
    eo.n_threads = 1;
    rung_reward_open_opts o = RUNG_REWARD_OPEN_OPTS_INIT;
    o.format = format;
    o.reference = reference;
    o.base = base;
    o.engine = &eo;
    OK(rung_reward_open_as(&r, path, &o, err));
    return r;
}
static rung_status opens(const char *path, const char *format, rung_error *e) {
    rung_reward *r = NULL;
    rung_reward_open_opts o = RUNG_REWARD_OPEN_OPTS_INIT;
    o.format = format;
    rung_status st = rung_reward_open_as(&r, path, &o, e);
    rung_reward_free(r);
    return st;
}

/* All steps in one pass. */
static void score_all(double out[N], rung_reward *r) {
    rung_scorer *s;
    int64_t live;
    const double *score;
    int32_t n;
    OK(rung_scorer_open(&s, r, err));
    OK(rung_scorer_begin(&live, s, question, err));
    for (int k = 0; k < N; k++)
        OK(rung_scorer_step(s, live, steps[k], strlen(steps[k]), NULL, 0, err));
    OK(rung_scorer_run(s, err));
    OK(rung_scorer_get(&score, &n, s, live, err));
    assert_int_equal(n, N);
    memcpy(out, score, N * sizeof *out);
    rung_scorer_close(s);
}

/* Scores as logits, where they are shares: the last bits of hidden states depend on the batch. */
static double spread(double p, bool share) {
    return share ? log(p) - log1p(-p) : p;
}
/* The scores are those, and neighbours differ enough for a shifted one to be seen. */
static void same_as(const double got[N], const double want[N], bool share) {
    for (int k = 0; k < N; k++) {
        double w = spread(want[k], share), g = spread(got[k], share);
        if (!(fabs(g - w) < .04)) fail_msg("step %d: %.6f, by hand %.6f", k, got[k], want[k]);
        if (k && fabs(w - spread(want[k - 1], share)) < .1)
            fail_msg("steps %d and %d are alike: %.4f", k - 1, k, want[k]);
    }
}
static void same(const double got[N], const double want[N]) {
    same_as(got, want, true);
}

static void table(void **state) {
    (void)state;
    char name[48], help[160], seen[32][48];
    size_t n = 0;
    for (; rung_reward_format_at(name, help, n); n++) {
        for (size_t i = 0; i < n; i++) assert_string_not_equal(seen[i], name);
        snprintf(seen[n], 48, "%s", name);
        assert_true(strlen(help) > 20);
        reward_format_doc d, again;
        rung_buf a, b;
        rung_buf_init(&a, 1 << 16);
        rung_buf_init(&b, 1 << 16);
        OK(reward_format_find(&d, name, err));
        reward_format_print(&a, &d.format, true);
        OK(reward_format_parse(&again, a.data, a.n, "again", err));
        reward_format_print(&b, &again.format, true);
        assert_string_equal(a.data, b.data);
        reward_format_clear(&d);
        reward_format_clear(&again);
        rung_buf_clear(&a);
        rung_buf_clear(&b);
    }
    assert_int_equal(n, 9);
}

static void misfits(void **state) {
    (void)state;
    static const struct {
        const char *yaml, *says;
    } bad[] = {
        {"scoer: head\n", "no key \"scoer\""},
        {"score: heads\n", "x:1:8: score: must be one of head tokens log_ratio"},
        {"trim: yes\n", "x:1:7: trim: must be true or false"},
        {"prompt: hello\n", "prompt must hold {question} once"},
        {"tokens: text\nstep: \"{step} {step}\"\n", "step must hold {step} once"},
        {"score: tokens\npositive: a\n", "needs positive and negative"},
        {"score: log_ratio\n", "needs beta"},
        {"score: log_ratio\nbeta: -1\n", "x:2:7: beta: must be a number above 0"},
        {"score: log_ratio\nbeta: 1\ntag: x\n", "no tag"},
        {"layout: turns\ntokens: text\n", "needs reply"},
        {"layout: ask\ntokens: text\n", "needs ask"},
        {"ask: \"?\"\n", "needs ask"},
        {"layout: ask\nask: \"?\"\n", "needs tokens: text"},
        {"trim: true\n", "need tokens: text"},
        {"tag_tokens: within\ntokens: text\n", "needs a tag"},
        {"activation: gelu\n", "relu, tanh or none"},
        {"head: [a, b, c]\n", "one or two layers"},
        {"class: -1\n", "whole number"},
        {"- a\n", "must be a map"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        reward_format_doc d;
        rung_error e = RUNG_ERROR_INIT;
        assert_int_equal(reward_format_parse(&d, bad[i].yaml, strlen(bad[i].yaml), "x", &e),
                         RUNG_E_FORMAT);
        if (!strstr(e.what, bad[i].says)) fail_msg("%s: %s", bad[i].yaml, e.what);
        reward_format_clear(&d);
    }
    rung_error e = RUNG_ERROR_INIT;
    reward_format_doc d;
    assert_int_equal(reward_format_find(&d, "math-sheperd", &e), RUNG_E_NOT_FOUND);
    assert_non_null(strstr(e.hint, "math-shepherd"));
}

/* The published head of two layers, imported as a user would. */
static void sidecar(const char *path, const char *base, const char *format, const float *w1,
                    const float *b1, const float *w2, const float *b2, int n_mid) {
    char source[400];
    st_file f;
    rung_reward_import_report r;
    rung_reward_import_opts o = RUNG_REWARD_IMPORT_OPTS_INIT;
    st_begin(&f);
    st_put(&f, "score.0.weight", "F32", n_mid, FM_D, w1);
    st_put(&f, "score.0.bias", "F32", n_mid, 0, b1);
    st_put(&f, "score.2.weight", "F32", 2, n_mid, w2);
    st_put(&f, "score.2.bias", "F32", 2, 0, b2);
    st_write(&f, coin_path(source, "head.safetensors"));
    o.source = source;
    o.format = format;
    o.base_path = base;
    o.out_path = path;
    OK(rung_reward_import(&r, &o, err));
    assert_true(r.n_in == FM_D && r.n_hidden == n_mid && r.n_out == 2);
}

static void qwen_math_prm(void **state) {
    (void)state;
    enum { MID = 20 };
    char path[400], head[400];
    fm_model(coin_path(path, "qwen.gguf"), &(fm_spec){.arch = "llama", .chat = true, .seed = 1});
    coin_policy base = coin_open(path);
    float w1[MID * FM_D], b1[MID], w2[2 * MID], b2[2] = {.1f, -.2f};
    rung_rng g = rung_rng_at(8, RUNG_STREAM_TEST, 0, 0);
    for (int i = 0; i < MID * FM_D; i++) w1[i] = (float)(.3 * rung_rng_normal(&g));
    for (int i = 0; i < MID; i++) b1[i] = (float)(.3 * rung_rng_normal(&g));
    for (int i = 0; i < 2 * MID; i++) w2[i] = (float)(.4 * rung_rng_normal(&g));
    sidecar(coin_path(head, "qwen-head.gguf"), path, "qwen-math-prm", w1, b1, w2, b2, MID);
    rung_reward *r = open_as(head, NULL, NULL, base.e);
    double got[N], want[N];
    score_all(got, r);
    fm_text t = {0};
    fm_add(&t, base.m,
           "<|im_start|>system\nPlease reason step by step, and put your final answer within "
           "\\boxed{}.<|im_end|>\n<|im_start|>user\none + 2?<|im_end|>\n<|im_start|>assistant\n",
           true);
    for (int k = 0; k < N; k++) { /* steps joined by <extra_0>, one more at the end */
        fm_read x;
        fm_add(&t, base.m, bare[k], false);
        fm_add(&t, base.m, "<extra_0>", true);
        fm_at(&x, base.e, t.tok, t.n);
        double z[2] = {(double)b2[0], (double)b2[1]};
        for (int j = 0; j < MID; j++) {
            double a = (double)b1[j];
            for (int i = 0; i < FM_D; i++) a += (double)w1[j * FM_D + i] * (double)x.hidden[i];
            for (int c = 0; c < 2; c++) z[c] += (double)w2[c * MID + j] * fmax(a, 0);
        }
        want[k] = exp(z[1]) / (exp(z[0]) + exp(z[1]));
    }
    same(got, want);
    rung_reward_free(r);
    /* another base: refused */
    rung_error e = RUNG_ERROR_INIT;
    coin_policy other;
    fm_model(coin_path(path, "other.gguf"), &(fm_spec){.arch = "llama", .seed = 2});
    other = coin_open(path);
    rung_reward_open_opts o = RUNG_REWARD_OPEN_OPTS_INIT;
    o.base = other.e;
    assert_int_equal(rung_reward_open_as(&r, head, &o, &e), RUNG_E_MISMATCH);
    o.base = NULL;
    assert_int_equal(rung_reward_open_as(&r, head, &o, &e), RUNG_E_MISUSE);
    coin_close(other);
    coin_close(base);
}

/* Heads that the model's file carries: one output (Skywork), two (TRL). Both read at the line end
 * that closes a step. */
static void heads_in_the_file(void **state) {
    (void)state;
    for (int n_out = 1; n_out <= 2; n_out++) {
        char path[400];
        fm_model(coin_path(path, "cls.gguf"),
                 &(fm_spec){.arch = "qwen3", .chat = true, .n_out = n_out, .seed = 5 + n_out});
        rung_reward *r = open_as(path, n_out == 1 ? "skywork" : "trl", NULL, NULL);
        double got[N], want[N];
        score_all(got, r);
        rung_reward_free(r);
        coin_policy p = coin_open(path);
        rung_gguf *file;
        float *w;
        int64_t dims[4];
        OK(rung_gguf_open(&file, path, err));
        OK(rung_gguf_tensor(&w, dims, file, "cls.output.weight", err));
        fm_text t = {0};
        fm_add(&t, p.m, n_out == 1 ? "one + 2?\n" : "one + 2?", false); /* no chat template */
        for (int k = 0; k < N; k++) {
            fm_read x;
            fm_add(&t, p.m, bare[k], false);
            fm_add(&t, p.m, "\n", false);
            fm_at(&x, p.e, t.tok, t.n);
            double z[2] = {0, 0};
            for (int c = 0; c < n_out; c++)
                for (int i = 0; i < FM_D; i++)
                    z[c] += (double)w[c * FM_D + i] * (double)x.hidden[i];
            want[k] = n_out == 1 ? sigmoid(z[0]) : exp(z[1]) / (exp(z[0]) + exp(z[1]));
        }
        same(got, want);
        rung_free(w);
        rung_gguf_free(file);
        coin_close(p);
    }
}

static int32_t token_of(const rung_model *m, const char *text) {
    int32_t t = rung_model_token(m, text);
    assert_true(t >= 0);
    return t;
}

static void math_shepherd(void **state) {
    (void)state;
    char path[400];
    fm_model(coin_path(path, "shepherd.gguf"), &(fm_spec){.arch = "llama", .spm = true, .seed = 3});
    rung_reward *r = open_as(path, "math-shepherd", NULL, NULL);
    double got[N], want[N];
    score_all(got, r);
    rung_reward_free(r);
    coin_policy p = coin_open(path);
    int32_t plus = token_of(p.m, " +"), minus = token_of(p.m, " -"), tag = token_of(p.m, " ки");
    /* the whole text at once, as its authors do; scores where the tag's id is */
    char text[400] = "one + 2? ";
    for (int k = 0; k < N; k++) {
        strcat(text, k ? "\n" : "");
        strcat(text, bare[k]);
        strcat(text, " ки");
    }
    fm_text t = {0};
    fm_add(&t, p.m, text, false);
    int n = 0;
    for (int32_t i = 0; i < t.n; i++) {
        if (t.tok[i] != tag) continue;
        fm_read x;
        assert_true(n < N);
        fm_at(&x, p.e, t.tok, i + 1);
        double a = exp((double)x.logits[plus]), b = exp((double)x.logits[minus]);
        want[n++] = a / (a + b);
    }
    assert_int_equal(n, N);
    same(got, want);
    coin_close(p);
}

static void rlhflow_turns(void **state) {
    (void)state;
    char path[400];
    fm_model(coin_path(path, "turns.gguf"), &(fm_spec){.arch = "llama", .chat = true, .seed = 1});
    rung_reward *r = open_as(path, "rlhflow", NULL, NULL);
    double got[N], want[N];
    score_all(got, r);
    rung_reward_free(r);
    coin_policy p = coin_open(path);
    int32_t plus = token_of(p.m, "+"), minus = token_of(p.m, "-");
    fm_text t = {0};
    for (int k = 0; k < N; k++) {
        char turn[200];
        fm_read x;
        snprintf(turn, sizeof turn, "%s<|im_start|>user\n%s%s<|im_end|>\n<|im_start|>assistant\n",
                 k ? "+<|im_end|>\n" : "", k ? "" : "one + 2? ", bare[k]);
        fm_add(&t, p.m, turn, true);
        fm_at(&x, p.e, t.tok, t.n);
        want[k] = sigmoid((double)x.logits[plus] - (double)x.logits[minus]);
    }
    same(got, want);
    coin_close(p);
}

/* Read after a question; the next step follows the step, not the question. The format is stored
 * with the model. */
static void verdict(void **state) {
    (void)state;
    static const char yaml[] = "name: ours\nlayout: ask\nprompt: \"P: {question}\\nS:\"\n"
                               "step: \"\\n{k}) {step}\"\ntokens: text\ntrim: true\n"
                               "ask: \"\\nIs {k} right?\"\nreply: \"I say: \"\nscore: tokens\n"
                               "positive: [\"Yes\", \"y\"]\nnegative: [\"No\", \"n\"]\n";
    char path[400];
    fm_model(coin_path(path, "judge.gguf"),
             &(fm_spec){.arch = "llama", .chat = true, .seed = 2, .format = yaml});
    rung_reward *r = open_as(path, NULL, NULL, NULL);
    double got[N], want[N];
    score_all(got, r);
    rung_reward_free(r);
    coin_policy p = coin_open(path);
    const char *yes[] = {"Yes", "y"}, *no[] = {"No", "n"};
    fm_text t = {0};
    fm_add(&t, p.m, "<|im_start|>user\nP: one + 2?\nS:", true);
    for (int k = 0; k < N; k++) {
        char text[200];
        fm_read x;
        snprintf(text, sizeof text, "\n%d) %s", k + 1, bare[k]);
        fm_add(&t, p.m, text, false);
        fm_text branch = t;
        snprintf(text, sizeof text,
                 "\nIs %d right?<|im_end|>\n<|im_start|>assistant\nI say: ", k + 1);
        fm_add(&branch, p.m, text, true);
        fm_at(&x, p.e, branch.tok, branch.n);
        double a = 0, b = 0;
        for (int i = 0; i < 2; i++) {
            a += exp((double)x.logits[token_of(p.m, yes[i])]);
            b += exp((double)x.logits[token_of(p.m, no[i])]);
        }
        want[k] = a / (a + b);
    }
    same(got, want);
    coin_close(p);
}

/* ln softmax(logits)[tok], by hand */
static double log_p(const fm_read *x, int32_t n_vocab, int32_t tok) {
    double most = -1e9, sum = 0;
    for (int32_t i = 0; i < n_vocab; i++) most = fmax(most, (double)x->logits[i]);
    for (int32_t i = 0; i < n_vocab; i++) sum += exp((double)x->logits[i] - most);
    return (double)x->logits[tok] - most - log(sum);
}

static void log_ratio(void **state) {
    (void)state;
    static const struct {
        const char *yaml;
        bool single, plain;
    } way[] = {{"log-ratio", false, false},
               {"score: log_ratio\nbeta: 0.05\nmode: single\nsquash: none\n", true, true}};
    char theta[400], ref[400], yaml[400];
    fm_model(coin_path(theta, "theta.gguf"), &(fm_spec){.arch = "llama", .seed = 1});
    fm_model(coin_path(ref, "ref.gguf"), &(fm_spec){.arch = "llama", .seed = 2});
    coin_policy p[2] = {coin_open(theta), coin_open(ref)};
    rung_model_info info;
    rung_model_get_info(&info, p[0].m);
    double ratio[N], want[N], got[N];
    fm_text t = {0};
    fm_add(&t, p[0].m, question, false);
    for (int k = 0; k < N; k++) { /* the trace's own text, line ends and all */
        int32_t begin = t.n;
        fm_add(&t, p[0].m, steps[k], false);
        ratio[k] = 0;
        for (int32_t i = begin; i < t.n; i++)
            for (int m = 0; m < 2; m++) {
                fm_read x;
                fm_at(&x, p[m].e, t.tok, i);
                ratio[k] += (m ? -1 : 1) * log_p(&x, info.n_vocab, t.tok[i]);
            }
    }
    for (int i = 0; i < 2; i++) {
        if (i)
            OK(rung_file_write(coin_path(yaml, "r.yaml"), way[i].yaml, strlen(way[i].yaml), err));
        double sum = 0;
        for (int k = 0; k < N; k++) {
            sum = way[i].single ? ratio[k] : sum + ratio[k];
            want[k] = way[i].plain ? .05 * sum : sigmoid(.05 * sum);
        }
        rung_reward *r = open_as(theta, i ? yaml : way[i].yaml, ref, NULL);
        score_all(got, r);
        same_as(got, want, !way[i].plain);
        rung_reward_free(r);
        r = open_as(theta, i ? yaml : way[i].yaml, theta, NULL); /* its own reference: nothing */
        score_all(got, r);
        for (int k = 0; k < N; k++) assert_float_equal(got[k], i ? 0 : .5, 1e-6);
        rung_reward_free(r);
    }
    coin_close(p[0]);
    coin_close(p[1]);
    rung_error e = RUNG_ERROR_INIT;
    assert_int_equal(opens(theta, "log-ratio", &e), RUNG_E_INVAL);
    assert_non_null(strstr(e.hint, "--reference"));
    rung_reward *r = NULL;
    rung_reward_open_opts o = RUNG_REWARD_OPEN_OPTS_INIT;
    fm_model(coin_path(ref, "spm.gguf"), &(fm_spec){.arch = "llama", .spm = true, .seed = 2});
    o.format = "log-ratio";
    o.reference = ref;
    assert_int_equal(rung_reward_open_as(&r, theta, &o, &e), RUNG_E_MISMATCH);
    assert_non_null(strstr(e.what, "differ from token"));
}

/* Errors with counts, never a shifted score. */
static void refused(void **state) {
    (void)state;
    char path[400], spm[400];
    rung_error e = RUNG_ERROR_INIT;
    fm_model(coin_path(path, "llama.gguf"), &(fm_spec){.arch = "llama", .chat = true, .seed = 1});
    fm_model(coin_path(spm, "spm.gguf"), &(fm_spec){.arch = "llama", .spm = true, .seed = 3});
    assert_int_equal(opens(path, "math-shepherd", &e), RUNG_E_MODEL); /* " ки" is five bytes here */
    assert_non_null(strstr(e.what, "the tag \" ки\" is 5 tokens"));
    assert_int_equal(opens(spm, "rung-token", &e), RUNG_E_MODEL);
    assert_non_null(strstr(e.what, "the positive \"<+>\" is 3 tokens"));
    assert_int_equal(opens(path, "trl", &e), RUNG_E_FORMAT);
    assert_non_null(strstr(e.what, "no classification head"));
    assert_int_equal(opens(path, NULL, &e), RUNG_E_FORMAT);
    assert_non_null(strstr(e.hint, "--format"));

    rung_reward *r = open_as(spm, "math-shepherd", NULL, NULL);
    rung_scorer *s;
    int64_t live, other, third;
    OK(rung_scorer_open(&s, r, err));
    OK(rung_scorer_begin(&live, s, question, err));
    OK(rung_scorer_step(s, live, "a", 1, NULL, 0, err));
    const char *two = "b ки c ки d";
    assert_int_equal(rung_scorer_step(s, live, two, strlen(two), NULL, 0, &e), RUNG_E_MISMATCH);
    assert_non_null(strstr(e.what, "step 1 holds the tag \" ки\": 2 times in its text"));
    assert_int_equal(e.step, 1);
    assert_int_equal(rung_scorer_step(s, live, " \n ", 3, NULL, 0, &e), RUNG_E_FORMAT);
    assert_non_null(strstr(e.what, "step 1: no tokens"));
    OK(rung_scorer_step(s, live, "b", 1, NULL, 0, err)); /* it goes on as if they had not been */
    /* one too long for the context among others that are not */
    char many[3000];
    memset(many, 'x', sizeof many);
    OK(rung_scorer_begin(&other, s, question, err));
    OK(rung_scorer_step(s, other, many, sizeof many, NULL, 0, err));
    OK(rung_scorer_begin(&third, s, question, err));
    OK(rung_scorer_step(s, third, "a", 1, NULL, 0, err));
    OK(rung_scorer_run(s, err));
    const double *score, *one;
    int32_t n;
    OK(rung_scorer_get(&score, &n, s, live, err));
    assert_int_equal(n, 2);
    OK(rung_scorer_get(&one, &n, s, third, err));
    assert_int_equal(n, 1);
    assert_float_equal(one[0], score[0], 0); /* equal text is read once */
    assert_int_equal(rung_scorer_get(&one, &n, s, other, &e), RUNG_E_LIMIT);
    assert_int_equal(n, 0);
    assert_non_null(strstr(e.what, "tokens do not fit a context of 512"));
    assert_int_equal(rung_scorer_step(s, 99, "a", 1, NULL, 0, &e), RUNG_E_MISUSE);
    rung_scorer_close(s);
    rung_reward_free(r);

    /* a tag that is a line end: a step of two lines would be two */
    fm_model(coin_path(path, "cls.gguf"),
             &(fm_spec){.arch = "qwen3", .chat = true, .n_out = 2, .seed = 7});
    r = open_as(path, "trl", NULL, NULL);
    OK(rung_scorer_open(&s, r, err));
    OK(rung_scorer_begin(&live, s, question, err));
    assert_int_equal(rung_scorer_step(s, live, "a\nb\n", 4, NULL, 0, &e), RUNG_E_MISMATCH);
    assert_non_null(strstr(e.what, "1 times in its text"));
    rung_scorer_close(s);
    rung_reward_free(r);
}

static int setup(void **state) {
    (void)state;
    coin_setup();
    return 0;
}
static int teardown(void **state) {
    (void)state;
    coin_teardown();
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table),         cmocka_unit_test(misfits),
        cmocka_unit_test(qwen_math_prm), cmocka_unit_test(heads_in_the_file),
        cmocka_unit_test(math_shepherd), cmocka_unit_test(rlhflow_turns),
        cmocka_unit_test(verdict),       cmocka_unit_test(log_ratio),
        cmocka_unit_test(refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
