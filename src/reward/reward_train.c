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

/* Checked by check_opts. */
rung_loss_id reward_loss_of(const rung_reward_train_opts *o) {
    rung_loss_id id = RUNG_LOSS_BCE;
    if (o->loss && o->loss[0]) (void)rung_loss_find(&id, o->loss);
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
                             .clip_value = o->clip_value};
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
    RUNG_GOTO(reward_head_write(o->out_path, h, keys, set, err));
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

static reward_format format_of(const rung_reward_train_opts *o) {
    return (reward_format){.system = o->system,
                           .suffix = o->suffix,
                           .tag = o->tag,
                           .read_before_tag = o->read_before_tag,
                           .tag_first = o->tag_first};
}

static rung_status make(rung_reward_report *out, reward_keys *keys, rung_store *s, rung_model *m,
                        const reward_set *set, const rung_reward_train_opts *o, const rung_log *log,
                        rung_error *err) {
    reward_format f = format_of(o);
    if (reward_tune_of(o) != RUNG_TUNE_HEAD)
        return reward_train_net(out, keys, s, set, &f, m, o, log, err);
    rung_engine *e;
    rung_engine_opts eo = RUNG_ENGINE_OPTS_INIT;
    eo.exact = o->exact;
    RUNG_TRY(rung_engine_open(&e, m, &eo, log, err));
    rung_status st = on_features(out, keys, e, s, set, &f, o, log, err);
    rung_engine_close(e);
    return st;
}

static rung_status check_tune(const rung_reward_train_opts *o, rung_error *err) {
    rung_loss_id id = RUNG_LOSS_BCE;
    bool head = reward_is_head(o->kind);
    if (o->loss && o->loss[0] && !rung_loss_find(&id, o->loss))
        return rung_fail(err, RUNG_E_INVAL, "no loss \"%s\"", o->loss);
    if (!head && id != RUNG_LOSS_BCE)
        return rung_fail(err, RUNG_E_INVAL, "%s trains by cross entropy, not by %s",
                         rung_reward_kind_name(o->kind), o->loss);
    if ((unsigned)o->tune > RUNG_TUNE_ALL || (!head && o->tune == RUNG_TUNE_HEAD)) {
        rung_fail(err, RUNG_E_INVAL, "%s has no head to train alone",
                  rung_reward_kind_name(o->kind));
        return rung_error_hint(err, "train adapters or all weights");
    }
    if (!(o->clip_value >= 0) || (o->clip_value > 0 && id != RUNG_LOSS_VALUE))
        return rung_fail(err, RUNG_E_INVAL, "a clip of %g is of loss value alone", o->clip_value);
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
    RUNG_TRY(check_tune(o, err));
    if (o->kind == RUNG_REWARD_PRM_IMPLICIT && ((o->tag && o->tag[0]) || !(o->beta >= 0)))
        return rung_fail(err, RUNG_E_INVAL,
                         "prm_implicit reads the steps' own tokens: no tag, beta above 0");
    if (o->n_hidden < 0 || o->n_hidden > 65536)
        return rung_fail(err, RUNG_E_INVAL, "n_hidden %d is not in 0..65536", o->n_hidden);
    return RUNG_OK;
}

rung_status rung_reward_train(rung_reward_report *out, rung_store *s, int64_t run_id,
                              const rung_reward_train_opts *o, const rung_log *log,
                              rung_error *err) {
    RUNG_TRY(check_opts(o, err));
    double start = rung_now();
    rung_model *m = NULL;
    reward_set set = {0};
    rung_reward_report report = {0};
    reward_keys *keys = rung_calloc(1, sizeof *keys);
    rung_status st = RUNG_OK;
    if (!keys) RUNG_GOTO(rung_fail(err, RUNG_E_NOMEM, "no memory to train"));
    rung_model_opts mo = RUNG_MODEL_OPTS_INIT;
    mo.vocab_only = reward_tune_of(o) != RUNG_TUNE_HEAD;
    mo.weights = o->weights;
    mo.log = log;
    mo.chat_template = o->chat_template;
    RUNG_GOTO(rung_model_load(&m, o->base_path, &mo, err));
    RUNG_GOTO(reward_set_read(&set, s, o, err));
    rung_model_info info;
    rung_model_get_info(&info, m);
    if (o->kind == RUNG_REWARD_PRM_IMPLICIT) /* its reference is told by hash */
        RUNG_GOTO(rung_hash_file(info.hash, o->base_path, err));
    reward_format f = format_of(o);
    RUNG_GOTO(reward_set_fit(&set, s, m, &f, info.n_ctx_train, o->drop_too_long, log, err));
    RUNG_GOTO(reward_keys_fill(keys, o, &info, &set, err));
    rung_event(log, RUNG_INFO, "reward.train", RUNG_S("kind", rung_reward_kind_name(o->kind)),
               RUNG_I("traces", set.n_examples), RUNG_I("labels", set.n_rows),
               RUNG_I("problems", set.n_problems), RUNG_I("held_out", set.n_held_problems));
    bool made = already_made(&report, o->out_path, keys);
    if (!made) {
        reward_curve curve;
        RUNG_GOTO(reward_curve_init(&curve, s, run_id, o->tensorboard, log, err));
        st = make(&report, keys, s, m, &set, o, &curve.log, err);
        RUNG_GOTO(reward_curve_close(&curve, st, err));
    }
    RUNG_GOTO(put_figures(s, run_id, &report, made ? 0.0 : rung_now() - start, err));
    rung_event(log, RUNG_INFO, "reward.trained", RUNG_S("path", o->out_path),
               RUNG_I("n_train", report.n_train), RUNG_I("n_held", report.n_held),
               RUNG_D("held_loss", report.loss_held), RUNG_D("held_auc", report.auc_held),
               RUNG_D("held_brier", report.brier_held), RUNG_D("held_ece", report.ece_held));
    if (out) *out = report;
out:
    reward_set_clear(&set);
    rung_model_free(m);
    rung_free(keys);
    return st;
}
