/* Against PyTorch 2.x: a small decoder's logits, loss, the gradient of every tensor and 20 AdamW
 * steps, in the library's f32; every loss of the table on random input, in f64. Numbers and how
 * they were made: tests/data/golden, tools/golden. */
#include "golden.h"
#include "rung/loss.h"
#include "train/net.h"

/* f32 against f64 on two layers: a few hundred roundings of 6e-8. */
#define F32_TOLERANCE 1e-5
#define F64_TOLERANCE 1e-9

static void near(double got, double want, double tolerance, const char *what, size_t i) {
    double e = fabs(got - want) / fmax(fabs(want), 1);
    if (!(e <= tolerance)) fail_msg("%s[%zu] is %.9g, PyTorch has %.9g", what, i, got, want);
}

/* Decoders --------------------------------------------------------------------------------------
 */

typedef struct model {
    yyjson_doc *doc;
    yyjson_val *root;
    rung_net *net;
    rung_batch batch;
    int32_t *tok, *where, *target;
    float *weight;
} model;

static void set_weights(rung_net *net, yyjson_val *tensors) {
    rung_core *c = net->core;
    assert_int_equal(yyjson_obj_size(tensors), c->n_tensors);
    for (int64_t t = 0; t < c->n_tensors; t++) {
        size_t n;
        double *x = golden_numbers(golden_get(tensors, c->tensor[t].name), &n);
        assert_int_equal(n, c->tensor[t].rows * c->tensor[t].cols);
        for (size_t i = 0; i < n; i++) c->w[c->tensor[t].at + (int64_t)i] = (float)x[i];
        free(x);
    }
}

static model open_model(const char *name) {
    rung_error err = RUNG_ERROR_INIT;
    model m = {.doc = golden_load(name)};
    m.root = yyjson_doc_get_root(m.doc);
    rung_net_shape shape = golden_shape(m.root);
    if (rung_net_alloc(&m.net, &shape, &err) != RUNG_OK) fail_msg("%s", err.what);
    set_weights(m.net, golden_get(m.root, "tensors"));
    m.tok = golden_ints(golden_get(m.root, "tok"));
    m.where = golden_ints(golden_get(m.root, "doc"));
    m.target = golden_ints(golden_get(m.root, "target"));
    m.weight = golden_floats(golden_get(m.root, "weight"));
    m.batch = (rung_batch){(int32_t)yyjson_get_int(golden_get(m.root, "n_rows")),
                           (int32_t)yyjson_get_int(golden_get(m.root, "n_tok")), m.tok, m.where};
    return m;
}

static void close_model(model *m) {
    rung_net_free(m->net);
    free(m->tok);
    free(m->where);
    free(m->target);
    free(m->weight);
    yyjson_doc_free(m->doc);
}

static void check_logits(model *m) {
    const float *logits;
    rung_error err = RUNG_ERROR_INIT;
    size_t n, v = (size_t)rung_net_get_shape(m->net)->n_vocab;
    double *want = golden_numbers(golden_get(m->root, "logits"), &n);
    assert_int_equal(n, (size_t)m->batch.n_rows * (size_t)m->batch.n_tok * v);
    assert_int_equal(rung_net_forward(&logits, NULL, m->net, &m->batch, &err), RUNG_OK);
    for (size_t i = 0; i < n; i++)
        if (m->where[i / v] >= 0) near(logits[i], want[i], F32_TOLERANCE, "logits", i);
    free(want);
}

static void check_gradients(model *m, const rung_loss *loss) {
    double value;
    int64_t n_terms;
    rung_error err = RUNG_ERROR_INIT;
    rung_core *c = m->net->core;
    memset(c->dw, 0, (size_t)c->n_params * sizeof *c->dw);
    assert_int_equal(rung_net_grad(&value, &n_terms, m->net, &m->batch, loss, 1, &err), RUNG_OK);
    near(value, yyjson_get_num(golden_get(m->root, "loss")), F32_TOLERANCE, "loss", 0);
    yyjson_val *grad = golden_get(m->root, "grad");
    for (int64_t t = 0; t < c->n_tensors; t++) {
        size_t n;
        double *want = golden_numbers(golden_get(grad, c->tensor[t].name), &n);
        for (size_t i = 0; i < n; i++)
            near(c->dw[c->tensor[t].at + (int64_t)i], want[i], F32_TOLERANCE, c->tensor[t].name, i);
        free(want);
    }
}

static void check_curve(model *m, const rung_loss *loss) {
    yyjson_val *a = golden_get(m->root, "adamw"), *s = golden_get(m->root, "schedule");
#define NUM(obj, key) yyjson_get_num(golden_get(obj, key))
    rung_adamw o = {NUM(a, "lr"),  NUM(a, "beta1"),        NUM(a, "beta2"),
                    NUM(a, "eps"), NUM(a, "weight_decay"), NUM(a, "clip")};
    int64_t steps = (int64_t)NUM(s, "steps"), warmup = (int64_t)NUM(s, "warmup");
    double lr = o.lr, value, norm;
    int64_t n_terms;
    size_t n_curve, n_norm;
    rung_error err = RUNG_ERROR_INIT;
    double *curve = golden_numbers(golden_get(m->root, "curve"), &n_curve);
    double *norms = golden_numbers(golden_get(m->root, "grad_norm"), &n_norm);
    assert_int_equal(n_curve, steps + 1);
    assert_int_equal(steps, 20);
    memset(m->net->core->dw, 0, (size_t)m->net->core->n_params * sizeof(real));
    for (int64_t i = 0; i <= steps; i++) {
        assert_int_equal(rung_net_grad(&value, &n_terms, m->net, &m->batch, loss, 1, &err), 0);
        near(value, curve[i], F32_TOLERANCE, "curve", (size_t)i);
        if (i == steps) break;
        o.lr = rung_lr_at(RUNG_SCHEDULE_COSINE, lr, NUM(s, "lr_min"), i, warmup, steps);
        assert_int_equal(rung_net_step(&norm, m->net, &o, &err), RUNG_OK);
        near(norm, norms[i], 1e-4, "gradient norm", (size_t)i);
    }
#undef NUM
    print_message("  loss %.6f -> %.6f in %d steps\n", curve[0], value, (int)steps);
    free(curve);
    free(norms);
}

/* Both ways to the same loss: the fused one, and the table's row over logprobs. */
static void check_model(const char *name) {
    model m = open_model(name);
    int64_t n = (int64_t)m.batch.n_rows * m.batch.n_tok;
    rung_loss_ce ce = {m.target, m.weight};
    rung_loss fused = {rung_loss_ce_fn, &ce};
    double *mask = calloc((size_t)n, sizeof *mask);
    for (int64_t i = 0; i < n; i++) mask[i] = m.weight[i];
    rung_loss_on_net row = {.id = RUNG_LOSS_CE, .opts = RUNG_LOSS_OPTS_INIT, .tok = m.target};
    row.data = (rung_loss_data){.n = n, .n_samples = n, .mask = mask};
    rung_loss table = {rung_loss_on_net_fn, &row};
    check_logits(&m);
    check_gradients(&m, &fused);
    check_gradients(&m, &table);
    check_curve(&m, &fused);
    free(mask);
    close_model(&m);
}

static void test_llama(void **state) {
    (void)state;
    check_model("llama");
}

static void test_qwen2(void **state) {
    (void)state;
    check_model("qwen2");
}

/* Losses ----------------------------------------------------------------------------------------
 */

typedef struct input {
    rung_loss_data d;
    double *numbers[16];
    int32_t *ints[4];
    int n_numbers, n_ints;
} input;

static const double *numbers_of(input *in, yyjson_val *obj, const char *key, size_t *n) {
    yyjson_val *v = yyjson_obj_get(obj, key);
    size_t unused;
    if (!v) return NULL;
    return in->numbers[in->n_numbers++] = golden_numbers(v, n ? n : &unused);
}

static const int32_t *ints_of(input *in, yyjson_val *obj, const char *key) {
    yyjson_val *v = yyjson_obj_get(obj, key);
    return v ? (in->ints[in->n_ints++] = golden_ints(v)) : NULL;
}

static input read_input(yyjson_val *c, int32_t n_class) {
    yyjson_val *d = golden_get(c, "data");
    input in = {0};
    size_t n;
    in.d.x = numbers_of(&in, c, "x", &n);
    in.d.n = (int64_t)n / n_class;
    in.d.mask = numbers_of(&in, d, "mask", NULL);
    in.d.target = numbers_of(&in, d, "target", NULL);
    in.d.ref = numbers_of(&in, d, "ref", NULL);
    in.d.old = numbers_of(&in, d, "old", NULL);
    in.d.sampler = numbers_of(&in, d, "sampler", NULL);
    in.d.advantage = numbers_of(&in, d, "advantage", NULL);
    in.d.weight = numbers_of(&in, d, "weight", NULL);
    in.d.label = numbers_of(&in, d, "label", NULL);
    in.d.reward = numbers_of(&in, d, "reward", NULL);
    in.d.pair_weight = numbers_of(&in, d, "pair_weight", NULL);
    in.d.pair_margin = numbers_of(&in, d, "pair_margin", NULL);
    in.d.sample = ints_of(&in, d, "sample");
    in.d.group = ints_of(&in, d, "group");
    in.d.pair = ints_of(&in, d, "pair");
    in.d.n_pairs = in.d.pair ? (int64_t)yyjson_arr_size(yyjson_obj_get(d, "pair")) / 2 : 0;
    in.d.n_samples = in.d.sample ? in.d.sample[in.d.n - 1] + 1 : in.d.n;
    return in;
}

static rung_loss_opts read_opts(yyjson_val *c) {
    yyjson_val *o = golden_get(c, "opts"), *v;
    rung_loss_opts out = RUNG_LOSS_OPTS_INIT;
    size_t used = 0;
#define TAKE(field)                                                                                \
    if ((v = yyjson_obj_get(o, #field))) used++, out.field = yyjson_get_num(v)
    TAKE(length_max);
    TAKE(beta);
    TAKE(smoothing);
    TAKE(margin);
    TAKE(alpha);
    TAKE(undesirable);
    TAKE(kto_zero);
    TAKE(clip_low);
    TAKE(clip_high);
    TAKE(clip_dual);
    TAKE(clip_value);
    TAKE(kl_coef);
    TAKE(cov_share);
    TAKE(cov_low);
    TAKE(cov_high);
    TAKE(cov_coef);
#undef TAKE
    if ((v = yyjson_obj_get(o, "n_class"))) used++, out.n_class = yyjson_get_int(v);
    if ((v = yyjson_obj_get(o, "sequence_ratio"))) used++, out.sequence_ratio = yyjson_get_bool(v);
    if ((v = yyjson_obj_get(o, "sequence_token"))) used++, out.sequence_token = yyjson_get_bool(v);
    if ((v = yyjson_obj_get(o, "kl_value")))
        used++, assert_true(rung_loss_find(&out.kl_value, yyjson_get_str(v)));
    if ((v = yyjson_obj_get(o, "mean_tokens"))) used++, out.mean_tokens = yyjson_get_bool(v);
    if ((v = yyjson_obj_get(o, "no_reference"))) used++, out.no_reference = yyjson_get_bool(v);
    if ((v = yyjson_obj_get(o, "kl")))
        used++, assert_true(rung_loss_find(&out.kl, yyjson_get_str(v)));
    if ((v = yyjson_obj_get(o, "aggregation")))
        used++, assert_true(rung_loss_aggregation_find(&out.aggregation, yyjson_get_str(v)));
    assert_int_equal(used, yyjson_obj_size(o)); /* an option of the file that is not read */
    return out;
}

/* Cases of one file, PyTorch's (losses) or verl's (policy: it adds 1e-8 to lengths); seen[id] of
 * their rows is set. */
static size_t run_cases(const char *file, double tolerance, bool *seen) {
    yyjson_doc *doc = golden_load(file);
    yyjson_val *cases = golden_get(yyjson_doc_get_root(doc), "cases"), *c;
    size_t k, n_cases;
    yyjson_arr_foreach(cases, k, n_cases, c) {
        rung_loss_id id;
        rung_error err = RUNG_ERROR_INIT;
        const char *name = yyjson_get_str(golden_get(c, "loss"));
        if (!rung_loss_find(&id, name)) fail_msg("golden file: no loss %s", name);
        rung_loss_opts o = read_opts(c);
        int32_t width = id != RUNG_LOSS_CLASS_CE ? 1 : o.n_class ? o.n_class : 2;
        input in = read_input(c, width);
        double value, *dx = calloc((size_t)(in.d.n * width), sizeof *dx);
        uint8_t *selected = calloc((size_t)in.d.n, 1);
        if (rung_loss_needs(id) & RUNG_LOSS_NEEDS_SELECTED) {
            if (rung_loss_select(selected, id, &in.d, &o, &err) != RUNG_OK)
                fail_msg("case %zu: %s", k, err.what);
            in.d.selected = selected;
        }
        if (rung_loss_eval(&value, dx, NULL, id, &in.d, &o, &err) != RUNG_OK)
            fail_msg("case %zu: %s", k, err.what);
        near(value, yyjson_get_num(golden_get(c, "value")), tolerance, name, k);
        size_t n;
        double *want = golden_numbers(golden_get(c, "dx"), &n);
        assert_int_equal(n, in.d.n * width);
        for (size_t i = 0; i < n; i++) near(dx[i], want[i], tolerance, name, i);
        seen[id] = true;
        free(want);
        free(dx);
        free(selected);
        for (int i = 0; i < in.n_numbers; i++) free(in.numbers[i]);
        for (int i = 0; i < in.n_ints; i++) free(in.ints[i]);
    }
    yyjson_doc_free(doc);
    return n_cases;
}

static void test_losses(void **state) {
    bool seen[RUNG_LOSS_COUNT] = {false};
    (void)state;
    size_t n = run_cases("losses", F64_TOLERANCE, seen) + run_cases("policy", 1e-7, seen);
    for (int id = 0; id < RUNG_LOSS_COUNT; id++)
        if (!seen[id]) fail_msg("golden file: no case of loss %s", rung_loss_name(id));
    print_message("  %zu cases\n", n);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_llama), cmocka_unit_test(test_qwen2),
                                       cmocka_unit_test(test_losses)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
