/* Training a reward model: labelled set, split of problems, features or documents, file, figures.
 */
#include "reward/reward_curve.h"
#include "reward/reward_impl.h"
#include "rung/loss.h"
#include "trace/flow.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool reward_is_head(rung_reward_kind k) {
    return k == RUNG_REWARD_PRM_HEAD || k == RUNG_REWARD_ORM_HEAD;
}
bool reward_reads_outcome(rung_reward_kind k) {
    return k == RUNG_REWARD_ORM_HEAD || k == RUNG_REWARD_PRM_IMPLICIT;
}
rung_tune reward_tune_of(const rung_reward_train_opts *o) {
    if (o->tune != RUNG_TUNE_DEFAULT) return o->tune;
    return reward_is_head(o->kind) ? RUNG_TUNE_HEAD : RUNG_TUNE_ALL;
}

reward_defaults reward_defaults_of(const rung_reward_train_opts *o) {
    bool net = reward_tune_of(o) != RUNG_TUNE_HEAD, lora = reward_tune_of(o) == RUNG_TUNE_LORA;
    return (reward_defaults){.epochs = o->epochs > 0 ? o->epochs
                                       : net         ? 10
                                                     : 100,
                             .batch = o->batch > 0 ? o->batch
                                      : net        ? 8
                                                   : 256,
                             .patience = o->patience > 0 ? o->patience
                                         : net           ? 2
                                                         : 10,
                             .lr = o->lr > 0.0    ? o->lr
                                   : lora || !net ? 1e-3
                                                  : 3e-4,
                             .held_share = o->held_share > 0.0 ? o->held_share : 0.2};
}

/* The rows of one side of the split, side by side as rung_head_train wants them. */
typedef struct side {
    float *x, *y;
    int32_t *group;
    bool *hard;
    int64_t n;
} side;

static rung_status take_side(side *out, const reward_set *set, const float *x, int32_t n_embd,
                             bool held, rung_error *err) {
    int64_t n = held ? set->n_held_rows : set->n_rows - set->n_held_rows;
    size_t D = (size_t)n_embd;
    *out = (side){.x = rung_alloc((size_t)n * D * sizeof *out->x),
                  .y = rung_alloc((size_t)n * sizeof *out->y),
                  .group = rung_alloc((size_t)n * sizeof *out->group),
                  .hard = rung_alloc((size_t)n * sizeof *out->hard)};
    if (!out->x || !out->y || !out->group || !out->hard)
        return rung_fail(err, RUNG_E_NOMEM, "no memory for %lld rows", (long long)n);
    for (int64_t i = 0; i < set->n_examples; i++) {
        const reward_example *e = &set->example[i];
        if (e->held != held) continue;
        memcpy(out->x + (size_t)out->n * D, x + (size_t)e->first * D, (size_t)e->n * D * sizeof *x);
        for (int32_t r = e->first; r < e->first + e->n; r++) {
            out->y[out->n] = set->target[r];
            out->hard[out->n] = set->hard[r];
            out->group[out->n++] = set->group[r];
        }
    }
    return RUNG_OK;
}

static void side_clear(side *s) {
    rung_free(s->x);
    rung_free(s->y);
    rung_free(s->group);
    rung_free(s->hard);
}

static bool given(const char *text) {
    return text && text[0];
}

/* Checked by check_loss. */
rung_loss_id reward_loss_of(const rung_reward_train_opts *o) {
    rung_loss_id id = RUNG_LOSS_BCE;
    if (given(o->loss)) (void)rung_loss_find(&id, o->loss);
    if (o->kind == RUNG_REWARD_PRM_IMPLICIT && id == RUNG_LOSS_BCE)
        return RUNG_LOSS_IMPLICIT_CE; /* cross entropy of what it reads */
    return id;
}

static rung_status train_head(rung_head **out, const reward_set *set, const float *x,
                              int32_t n_embd, const rung_reward_train_opts *o,
                              const char *checkpoint, const rung_log *log, rung_error *err) {
    side train = {0}, held = {0};
    rung_status st = take_side(&train, set, x, n_embd, false, err);
    if (st == RUNG_OK) st = take_side(&held, set, x, n_embd, true, err);
    if (st == RUNG_OK) {
        reward_defaults d = reward_defaults_of(o);
        rung_head_opts ho = {.n_hidden = o->n_hidden,
                             .epochs = d.epochs,
                             .batch = d.batch,
                             .lr = d.lr,
                             .weight_decay = 0.01,
                             .seed = o->seed,
                             .patience = d.patience,
                             .loss = (int32_t)reward_loss_of(o),
                             .clip_value = o->clip_value,
                             .n_out = o->n_out};
        rung_head_data td = {train.x, train.y, NULL, train.group, train.n, train.hard};
        rung_head_data hd = {held.x, held.y, NULL, held.group, held.n, held.hard};
        st = rung_head_train(out, n_embd, &td, &hd, &ho, checkpoint, log, err);
        if (st == RUNG_E_MISMATCH || st == RUNG_E_FORMAT) { /* its features are gone: start again */
            rung_event(log, RUNG_WARN, "reward.restart", RUNG_S("path", checkpoint));
            unlink(checkpoint);
            st = rung_head_train(out, n_embd, &td, &hd, &ho, checkpoint, log, err);
        }
    }
    side_clear(&train);
    side_clear(&held);
    return st;
}

/* Head on the frozen base: features once, then training on them. */
static rung_status on_features(rung_reward_report *out, reward_keys *keys, rung_engine *e,
                               rung_store *s, const reward_set *set, const reward_format *f,
                               const rung_reward_train_opts *o, const rung_log *log,
                               rung_error *err) {
    rung_model_info info;
    rung_model_get_info(&info, rung_engine_model(e));
    char key[33];
    reward_keys_hash(key, keys);
    char *cache = reward_beside(o->out_path, key, "features");
    char *checkpoint = reward_beside(o->out_path, key, "checkpoint");
    float *x = NULL;
    double *p = rung_alloc((size_t)set->n_rows * sizeof *p);
    rung_head *h = NULL;
    rung_status st = RUNG_OK;
    if (!cache || !checkpoint || !p) RUNG_GOTO(rung_fail(err, RUNG_E_NOMEM, "no memory to train"));
    RUNG_GOTO(reward_features(&x, e, s, set, f, cache, log, err));
    RUNG_GOTO(train_head(&h, set, x, info.n_embd, o, checkpoint, log, err));
    for (int64_t r = 0; r < set->n_rows; r++)
        p[r] = rung_head_score(h, x + (size_t)r * (size_t)info.n_embd);
    *out = (rung_reward_report){.epochs = h->epochs};
    reward_measure(out, p, set);
    reward_keys_measure(keys, out);
    RUNG_GOTO(reward_head_write(o->out_path, h, keys, set, o->format != NULL, err));
    unlink(checkpoint);
    unlink(cache);
out:
    rung_head_free(h);
    rung_free(x);
    rung_free(p);
    rung_free(cache);
    rung_free(checkpoint);
    return st;
}

/* A finished file of this very training: the same data, base, format and settings. */
static bool already_made(rung_reward_report *out, const char *path, const reward_keys *want) {
    rung_gguf *g = NULL;
    if (access(path, F_OK) != 0 || rung_gguf_open(&g, path, NULL) != RUNG_OK) return false;
    bool same = true;
    for (int i = 0; i < want->n && same; i++)
        same = !strcmp(rung_gguf_str(g, want->key[i], ""), want->value[i]);
    if (same) {
#define NUMBER(key) strtod(rung_gguf_str(g, "rung.reward." key, "nan"), NULL)
        *out = (rung_reward_report){.n_train = (int64_t)NUMBER("n_train"),
                                    .n_held = (int64_t)NUMBER("n_held"),
                                    .loss_train = NUMBER("train_loss"),
                                    .loss_held = NUMBER("held_loss"),
                                    .auc_held = NUMBER("held_auc"),
                                    .brier_held = NUMBER("held_brier"),
                                    .ece_held = NUMBER("held_ece"),
                                    .epochs = (int32_t)NUMBER("epochs")};
#undef NUMBER
    }
    rung_gguf_free(g);
    return same;
}

static rung_status put_figures(rung_store *s, int64_t run, const rung_reward_report *r,
                               double wall_s, rung_error *err) {
    const struct {
        const char *name;
        double value;
    } figure[] = {{"n_train", (double)r->n_train}, {"n_held", (double)r->n_held},
                  {"train_loss", r->loss_train},   {"held_loss", r->loss_held},
                  {"held_auc", r->auc_held},       {"held_brier", r->brier_held},
                  {"held_ece", r->ece_held},       {"epochs", (double)r->epochs}};
    RUNG_TRY(rung_store_begin(s, err));
    rung_status st = RUNG_OK;
    for (size_t i = 0; i < sizeof figure / sizeof figure[0] && st == RUNG_OK; i++)
        if (isfinite(figure[i].value) && (strcmp(figure[i].name, "epochs") || r->epochs))
            st = rung_metric_put(s, run, 0, figure[i].name, figure[i].value, err);
    if (st == RUNG_OK && wall_s > 0.0) st = rung_run_spend(s, run, 0, wall_s, err);
    if (st == RUNG_OK) return rung_store_commit(s, err);
    rung_store_rollback(s);
    return st;
}

/* Rung's own formats. */
static reward_format own_format(const rung_reward_train_opts *o) {
    reward_format f = {.system = o->system,
                       .suffix = o->suffix,
                       .tag = o->tag,
                       .read_before_tag = o->read_before_tag,
                       .tag_first = o->tag_first,
                       .aggregate = (int32_t)o->aggregate};
    if (o->kind != RUNG_REWARD_PRM_IMPLICIT) return f;
    f.name = "rung-implicit";
    f.score = REWARD_READOUT_LOG_RATIO;
    f.beta = o->beta > 0 ? o->beta : 0.05;
    f.single = o->single;
    f.plain = o->plain;
    return f;
}

/* A head in a published structure: fills in what the options leave open. */
static rung_status fit_head(rung_reward_train_opts *o, const reward_format *f, int32_t n_embd,
                            rung_error *err) {
    bool relu = f->activation && !strcmp(f->activation, "relu");
    if (f->class_number > 1 || (o->n_out == 2 && f->class_number == 0) ||
        (o->n_out == 1 && f->class_number == 1))
        return rung_fail(err, RUNG_E_INVAL, "format %s reads class %lld: not a head of %d outputs",
                         f->name, (long long)f->class_number, o->n_out);
    if (reward_loss_of(o) == RUNG_LOSS_VALUE)
        return rung_fail(err, RUNG_E_INVAL, "format %s reads a sigmoid or a softmax, no values",
                         f->name);
    o->n_out = f->class_number == 1 ? 2 : 1;
    if (f->head.n == 2 && o->n_hidden == 0) o->n_hidden = n_embd; /* Linear(d,d) as published */
    if (f->head.n == 1 && o->n_hidden > 0)
        return rung_fail(err, RUNG_E_INVAL, "format %s has a head of one layer", f->name);
    if (o->n_hidden > 0 && !relu)
        return rung_fail(err, RUNG_E_INVAL, "format %s: two layers are trained with relu alone",
                         f->name);
    return RUNG_OK;
}

/* What a declared format asks of the model that is trained. */
static rung_status fit_format(rung_reward_train_opts *o, const reward_format *f, int32_t n_embd,
                              rung_error *err) {
    static const reward_readout_id want[] = {[RUNG_REWARD_PRM_HEAD] = REWARD_READOUT_HEAD,
                                             [RUNG_REWARD_ORM_HEAD] = REWARD_READOUT_HEAD,
                                             [RUNG_REWARD_PRM_TOKEN] = REWARD_READOUT_TOKENS,
                                             [RUNG_REWARD_PRM_IMPLICIT] = REWARD_READOUT_LOG_RATIO};
    if (f->score != (int32_t)want[o->kind]) {
        rung_fail(err, RUNG_E_INVAL, "format %s is not read as %s is trained", f->name,
                  rung_reward_kind_name(o->kind));
        return rung_error_hint(err, "score: head goes with prm_head and orm_head, tokens with "
                                    "prm_token, log_ratio with prm_implicit");
    }
    if (f->layout != REWARD_LAYOUT_CONTINUE)
        return rung_fail(err, RUNG_E_INVAL, "format %s: only layout continue is trained", f->name);
    if (f->score == REWARD_READOUT_TOKENS && (f->positive.n != 1 || f->negative.n != 1))
        return rung_fail(err, RUNG_E_INVAL, "format %s: one positive word and one negative train",
                         f->name);
    if (f->score == REWARD_READOUT_LOG_RATIO) o->beta = f->beta; /* one beta, trained and read */
    return f->score == REWARD_READOUT_HEAD ? fit_head(o, f, n_embd, err) : RUNG_OK;
}

/* A training in hand. */
typedef struct training {
    rung_reward_train_opts o; /* with what the format fills in */
    reward_format f;          /* strings of o or of doc */
    reward_format_doc doc;
    reward_keys *keys;
    reward_set set;
    rung_model *m;
    rung_model_info info;
} training;

static rung_status make(rung_reward_report *out, training *t, rung_store *s, const rung_log *log,
                        rung_error *err) {
    const rung_reward_train_opts *o = &t->o;
    if (reward_tune_of(o) != RUNG_TUNE_HEAD)
        return reward_train_net(out, t->keys, s, &t->set, &t->f, t->m, t->info.hash, o, log, err);
    rung_engine *e;
    rung_engine_opts eo = RUNG_ENGINE_OPTS_INIT;
    eo.exact = o->exact;
    RUNG_TRY(rung_engine_open(&e, t->m, &eo, log, err));
    rung_status st = on_features(out, t->keys, e, s, &t->set, &t->f, o, log, err);
    rung_engine_close(e);
    return st;
}

/* Kinds and what they train by: rows of the table that read scores, or log-ratios. */
static rung_status check_loss(const rung_reward_train_opts *o, rung_error *err) {
    static const rung_loss_id scores[] = {RUNG_LOSS_BCE,    RUNG_LOSS_MSE,
                                          RUNG_LOSS_VALUE,  RUNG_LOSS_BRADLEY_TERRY,
                                          RUNG_LOSS_MARGIN, RUNG_LOSS_OMEGA};
    static const rung_loss_id ratios[] = {RUNG_LOSS_IMPLICIT_CE, RUNG_LOSS_DPO, RUNG_LOSS_IPO,
                                          RUNG_LOSS_KTO,         RUNG_LOSS_NCA, RUNG_LOSS_INFO_NCA};
    bool implicit = o->kind == RUNG_REWARD_PRM_IMPLICIT, can = false;
    rung_loss_id id;
    if (given(o->loss) && !rung_loss_find(&id, o->loss))
        return rung_fail(err, RUNG_E_INVAL, "no loss \"%s\"", o->loss);
    id = reward_loss_of(o);
    size_t n = implicit ? sizeof ratios / sizeof *ratios : sizeof scores / sizeof *scores;
    for (size_t i = 0; i < n; i++) can = can || (implicit ? ratios : scores)[i] == id;
    if (!reward_is_head(o->kind) && id == RUNG_LOSS_VALUE) can = false;
    if (!can) {
        rung_fail(err, RUNG_E_INVAL, "%s does not train by %s", rung_reward_kind_name(o->kind),
                  rung_loss_name(id));
        return rung_error_hint(err, "%s",
                               implicit ? "implicit_ce, dpo, ipo, kto, nca or info_nca"
                               : reward_is_head(o->kind)
                                   ? "bce, mse, value, bradley_terry, margin or omega_pairwise"
                                   : "bce, mse, bradley_terry, margin or omega_pairwise");
    }
    bool weighs = id == RUNG_LOSS_IMPLICIT_CE || id == RUNG_LOSS_KTO;
    if (implicit && o->balance != RUNG_BALANCE_NONE && !weighs)
        return rung_fail(err, RUNG_E_INVAL, "%s compares traces: there is nothing to balance",
                         rung_loss_name(id));
    if (!(o->clip_value >= 0) || (o->clip_value > 0 && id != RUNG_LOSS_VALUE))
        return rung_fail(err, RUNG_E_INVAL, "a clip of %g is of loss value alone", o->clip_value);
    return RUNG_OK;
}

static rung_status check_tune(const rung_reward_train_opts *o, rung_error *err) {
    bool head = reward_is_head(o->kind);
    if ((unsigned)o->tune > RUNG_TUNE_ALL || (!head && o->tune == RUNG_TUNE_HEAD)) {
        rung_fail(err, RUNG_E_INVAL, "%s has no head to train alone",
                  rung_reward_kind_name(o->kind));
        return rung_error_hint(err, "train adapters or all weights");
    }
    if (o->n_out < 0 || o->n_out > 2 || (o->n_out == 2 && !head))
        return rung_fail(err, RUNG_E_INVAL, "n_out %d: heads have 1 or 2 outputs", o->n_out);
    if (o->n_out == 2 && reward_loss_of(o) == RUNG_LOSS_VALUE)
        return rung_fail(err, RUNG_E_INVAL, "a value has one output, not two classes");
    if (o->memory < 0)
        return rung_fail(err, RUNG_E_INVAL, "a memory budget of %lld bytes", (long long)o->memory);
    return RUNG_OK;
}

static rung_status check_opts(const rung_reward_train_opts *o, rung_error *err) {
    if (o->struct_size != sizeof *o)
        return rung_fail(err, RUNG_E_INVAL, "rung_reward_train_opts of another size");
    if ((unsigned)o->kind >= RUNG_REWARD_CONFIDENCE) { /* the rows before it are trained */
        rung_fail(err, RUNG_E_INVAL, "there is nothing to train for kind \"%s\"",
                  rung_reward_kind_name(o->kind));
        return rung_error_hint(err, "prm_head, orm_head, prm_token or prm_implicit");
    }
    if (!o->base_path || !o->out_path)
        return rung_fail(err, RUNG_E_INVAL, "a base model and a path for the result are needed");
    if (!(o->held_share >= 0.0 && o->held_share < 1.0))
        return rung_fail(err, RUNG_E_INVAL, "held_share %g is not in [0,1)", o->held_share);
    RUNG_TRY(check_loss(o, err));
    RUNG_TRY(check_tune(o, err));
    if (o->kind == RUNG_REWARD_PRM_IMPLICIT && (given(o->tag) || !(o->beta >= 0)))
        return rung_fail(err, RUNG_E_INVAL,
                         "prm_implicit reads the steps' own tokens: no tag, beta above 0");
    if (o->kind != RUNG_REWARD_PRM_IMPLICIT && (o->single || o->plain))
        return rung_fail(err, RUNG_E_INVAL, "%s has no log-ratios: neither single nor plain",
                         rung_reward_kind_name(o->kind));
    if (given(o->format) && (given(o->system) || given(o->suffix) || given(o->tag) ||
                             o->read_before_tag || o->tag_first || o->single || o->plain)) {
        rung_fail(err, RUNG_E_INVAL, "format %s says how the text is laid out", o->format);
        return rung_error_hint(err, "leave system, suffix, tag and the rest of it out");
    }
    if (o->n_hidden < 0 || o->n_hidden > 65536)
        return rung_fail(err, RUNG_E_INVAL, "n_hidden %d is not in 0..65536", o->n_hidden);
    return RUNG_OK;
}

/* Base, format, labelled set, keys. */
static rung_status prepare(training *t, rung_store *s, const rung_log *log, rung_error *err) {
    rung_reward_train_opts *o = &t->o;
    if (!given(o->format)) o->format = NULL;
    t->f = own_format(o);
    rung_model_opts mo = RUNG_MODEL_OPTS_INIT;
    mo.vocab_only = reward_tune_of(o) != RUNG_TUNE_HEAD;
    mo.weights = o->weights;
    mo.log = log;
    mo.chat_template = o->chat_template;
    if (o->format) {
        RUNG_TRY(reward_format_find(&t->doc, o->format, err));
        t->f = t->doc.format;
        if (t->f.chat) mo.chat_template = t->f.chat;
    }
    RUNG_TRY(rung_model_load(&t->m, o->base_path, &mo, err));
    rung_model_get_info(&t->info, t->m);
    if (o->format) RUNG_TRY(fit_format(o, &t->f, t->info.n_embd, err));
    RUNG_TRY(reward_set_read(&t->set, s, o, err));
    if (o->kind == RUNG_REWARD_PRM_IMPLICIT) /* its reference is told by hash */
        RUNG_TRY(rung_hash_file(t->info.hash, o->base_path, err));
    RUNG_TRY(
        reward_set_fit(&t->set, s, t->m, &t->f, t->info.n_ctx_train, o->drop_too_long, log, err));
    return reward_keys_fill(t->keys, o, &t->f, &t->info, &t->set, err);
}

static rung_status train(rung_reward_report *report, training *t, rung_store *s, int64_t run_id,
                         const rung_log *log, rung_error *err) {
    double start = rung_now();
    RUNG_TRY(prepare(t, s, log, err));
    rung_event(log, RUNG_INFO, "reward.train", RUNG_S("kind", rung_reward_kind_name(t->o.kind)),
               RUNG_I("traces", t->set.n_examples), RUNG_I("labels", t->set.n_rows),
               RUNG_I("problems", t->set.n_problems), RUNG_I("held_out", t->set.n_held_problems));
    bool made = already_made(report, t->o.out_path, t->keys);
    if (!made) {
        reward_curve curve;
        RUNG_TRY(reward_curve_init(&curve, s, run_id, t->o.tensorboard, log, err));
        rung_status st = make(report, t, s, &curve.log, err);
        RUNG_TRY(reward_curve_close(&curve, st, err));
    }
    RUNG_TRY(put_figures(s, run_id, report, made ? 0.0 : rung_now() - start, err));
    rung_event(log, RUNG_INFO, "reward.trained", RUNG_S("path", t->o.out_path),
               RUNG_I("n_train", report->n_train), RUNG_I("n_held", report->n_held),
               RUNG_D("held_loss", report->loss_held), RUNG_D("held_auc", report->auc_held),
               RUNG_D("held_brier", report->brier_held), RUNG_D("held_ece", report->ece_held));
    return RUNG_OK;
}

rung_status rung_reward_train(rung_reward_report *out, rung_store *s, int64_t run_id,
                              const rung_reward_train_opts *o, const rung_log *log,
                              rung_error *err) {
    RUNG_TRY(check_opts(o, err));
    training t = {.o = *o};
    rung_reward_report report = {0};
    t.keys = rung_calloc(1, sizeof *t.keys);
    rung_status st = t.keys ? train(&report, &t, s, run_id, log, err)
                            : rung_fail(err, RUNG_E_NOMEM, "no memory to train");
    if (st == RUNG_OK && out) *out = report;
    reward_set_clear(&t.set);
    rung_model_free(t.m);
    reward_format_clear(&t.doc);
    rung_free(t.keys);
    return st;
}
