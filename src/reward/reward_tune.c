/* A base that trains as a reward model, whole or through adapters: the +/- token PRM (labels.md 3,
 * Math-Shepherd), the implicit PRM (rewards.md 1), and heads that train together with it.
 *
 * Resumes bit-equal: documents are shuffled by address (seed, epoch), packed in that order; the
 * checkpoint beside the result holds weights, moments and the position; the best epoch's weights
 * lie in a second one. */
#include "reward/reward_tune.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

enum { WARMUP_STEPS = 10 };
#define CHECKPOINT_S 20.0
static const double LR_MIN_SHARE = 0.1; /* of lr, at the end of the cosine */

/* The state and, for the clipped value loss, what the values were when the epoch began. */
static const void *fill_blob(tuner *w) {
    memcpy(w->blob, &w->state, sizeof w->state);
    if (w->old)
        memcpy((char *)w->blob + sizeof w->state, w->old, (size_t)w->set->n_rows * sizeof *w->old);
    return w->blob;
}

static rung_status resume(tuner *w, const char *path, rung_error *err) {
    RUNG_TRY(rung_net_resume(w->net, path, w->blob, w->n_blob, err));
    memcpy(&w->state, w->blob, sizeof w->state);
    if (w->old)
        memcpy(w->old, (char *)w->blob + sizeof w->state, (size_t)w->set->n_rows * sizeof *w->old);
    return RUNG_OK;
}

static rung_status save_state(tuner *w, rung_error *err) {
    rung_event(w->log, RUNG_DEBUG, "reward.checkpoint", RUNG_I("at_step", rung_net_steps(w->net)));
    return rung_net_checkpoint(w->net, w->checkpoint, fill_blob(w), w->n_blob, err);
}

static rung_status load_state(tuner *w, rung_error *err) {
    w->state = (tune_state){.best_epoch = -1, .best_loss = (double)INFINITY};
    if (access(w->checkpoint, F_OK) != 0) return RUNG_OK;
    RUNG_TRY(resume(w, w->checkpoint, err));
    rung_event(w->log, RUNG_INFO, "reward.resume", RUNG_I("epoch", w->state.epoch),
               RUNG_I("step", rung_net_steps(w->net)));
    return RUNG_OK;
}

/* The live line and the curves; E_CANCELLED when whoever listens asks to stop. */
static rung_status tell_step(const tuner *w, int64_t n, double loss, double norm, double lr,
                             int64_t n_tok, double began, rung_error *err) {
    const tune_state *t = &w->state;
    double took = rung_now() - began;
    int stop = rung_event(w->log, RUNG_PROGRESS, "reward.step", RUNG_S("unit", "traces"),
                          RUNG_I("done", t->epoch * n + t->next), RUNG_I("total", w->d.epochs * n),
                          RUNG_I("tok", t->n_tok), RUNG_I("at_step", rung_net_steps(w->net)),
                          RUNG_D("loss", loss), RUNG_D("lr", lr), RUNG_D("grad_norm", norm),
                          RUNG_D("tok_s", took > 0 ? (double)n_tok / took : 0));
    if (!stop) return RUNG_OK;
    rung_fail(err, RUNG_E_CANCELLED, "training stopped in epoch %d", t->epoch + 1);
    return rung_error_hint(err, "run the same command to go on");
}

/* One step; *share as tune_grad gives it. */
static rung_status train_batch(double *value, double *share, double *norm, double *lr, tuner *w,
                               const rung_batch *b, rung_error *err) {
    int64_t row_tok = (int64_t)w->n_rows * w->n_row_tok;
    int64_t total = w->d.epochs * (1 + w->n_tok_train / row_tok);
    RUNG_TRY(tune_grad(value, share, w, b, err));
    if (!(*share > 0)) return RUNG_OK;
    rung_adamw opt = RUNG_ADAMW_INIT;
    opt.weight_decay = 0.01;
    opt.lr = *lr = rung_lr_at(RUNG_SCHEDULE_COSINE, w->d.lr, w->d.lr * LR_MIN_SHARE,
                              rung_net_steps(w->net), WARMUP_STEPS, total);
    return rung_net_step(norm, w->net, &opt, err);
}

/* Where it stopped: the traces of the batch, and what can be gone on from. */
static rung_status tell_where(const tuner *w, rung_status st, rung_error *err) {
    if (st != RUNG_E_FORMAT || w->b.n_docs == 0) return st;
    bool there = access(w->checkpoint, F_OK) == 0;
    rung_error_detail(err, "epoch %d, traces %lld to %lld of a batch of %d; last checkpoint: %s",
                      w->state.epoch + 1, (long long)w->set->example[w->b.doc[0]->example].trace,
                      (long long)w->set->example[w->b.doc[w->b.n_docs - 1]->example].trace,
                      w->b.n_docs, there ? w->checkpoint : "none");
    return st;
}

static rung_status begin_epoch(tuner *w, rung_error *err) {
    if (!w->old || w->state.next > 0) return RUNG_OK;
    RUNG_TRY(tune_predict(w, true, false, err));
    memcpy(w->old, w->z, (size_t)w->set->n_rows * sizeof *w->old);
    return RUNG_OK;
}

static rung_status train_epoch(tuner *w, rung_error *err) {
    tune_state *t = &w->state;
    RUNG_TRY(begin_epoch(w, err));
    int64_t n = tune_list(w, true, false);
    RUNG_TRY(tune_shuffle(w, n, err));
    double saved = rung_now();
    while (t->next < n) {
        double value, share, norm = 0, lr = 0, began = rung_now();
        RUNG_TRY(tune_ratio_before(w, t->next, n, err));
        rung_batch b = tune_pack(w, &t->next, n);
        RUNG_TRY(tell_where(w, train_batch(&value, &share, &norm, &lr, w, &b, err), err));
        t->sum += value * share;
        t->sum_w += share;
        int64_t n_tok = tune_count_tokens(w);
        t->n_tok += n_tok;
        rung_status st = tell_step(w, n, value, norm, lr, n_tok, began, err);
        if (rung_now() - saved > CHECKPOINT_S || st == RUNG_E_CANCELLED) {
            RUNG_TRY(save_state(w, err));
            saved = rung_now();
        }
        RUNG_TRY(st);
    }
    return RUNG_OK;
}

static rung_status train_all(tuner *w, rung_error *err) {
    tune_state *t = &w->state;
    while (t->epoch < w->d.epochs &&
           (t->best_epoch < 0 || t->epoch - t->best_epoch <= w->d.patience)) {
        RUNG_TRY(train_epoch(w, err));
        RUNG_TRY(tune_predict(w, false, true, err));
        rung_reward_report r = {0};
        reward_measure(&r, w->p, w->set);
        double train_loss = t->sum_w > 0 ? t->sum / t->sum_w : 0, held = r.loss_held;
        if (w->loss != RUNG_LOSS_BCE && w->loss != RUNG_LOSS_IMPLICIT_CE) /* measured already */
            RUNG_TRY(tune_held_loss(&held, w, err));
        if (held < t->best_loss || t->best_epoch < 0) {
            t->best_loss = held;
            t->best_epoch = t->epoch;
            RUNG_TRY(rung_net_checkpoint(w->net, w->best, fill_blob(w), w->n_blob, err));
        }
        t->epoch++;
        t->next = 0;
        t->sum = t->sum_w = 0.0;
        int stop = rung_event(w->log, RUNG_PROGRESS, "reward.epoch", RUNG_I("epoch", t->epoch),
                              RUNG_I("epochs", w->d.epochs),
                              RUNG_I("at_step", rung_net_steps(w->net)), RUNG_D("loss", train_loss),
                              RUNG_D("held_loss", held), RUNG_D("held_auc", r.auc_held));
        RUNG_TRY(save_state(w, err)); /* told first: what is told is never behind the file */
        if (stop && t->epoch < w->d.epochs) {
            rung_fail(err, RUNG_E_CANCELLED, "training stopped after epoch %d", t->epoch);
            return rung_error_hint(err, "run the same command to go on");
        }
    }
    return rung_net_resume(w->net, w->best, w->blob, w->n_blob, err);
}

static rung_status reserve(tuner *w, rung_error *err) {
    size_t n = (size_t)w->set->n_rows;
    w->p = rung_calloc(n, sizeof *w->p);
    w->z = rung_calloc(n, sizeof *w->z);
    bool clips = w->loss == RUNG_LOSS_VALUE && w->o->clip_value > 0;
    if (clips) w->old = rung_calloc(n, sizeof *w->old);
    w->n_blob = sizeof w->state + (clips ? n * sizeof *w->old : 0);
    w->blob = rung_calloc(1, w->n_blob);
    if (!w->p || !w->z || !w->blob || (clips && !w->old))
        return rung_fail(err, RUNG_E_NOMEM, "no memory for the scores of %zu steps", n);
    return tune_batch_init(w, err);
}

/* The words at tags: those of the format, or rung's own. */
static rung_status find_words(tuner *w, const reward_format *f, const rung_model *m,
                              rung_error *err) {
    if (w->by != TUNE_WORDS) return RUNG_OK;
    if (f->positive.n) {
        reward_plan plan;
        RUNG_TRY(reward_plan_init(&plan, m, f, err));
        w->plus = plan.positive[0];
        w->minus = plan.negative[0];
        reward_plan_clear(&plan);
        return RUNG_OK;
    }
    w->plus = rung_model_token(m, REWARD_PLUS);
    w->minus = rung_model_token(m, REWARD_MINUS);
    if (w->plus >= 0 && w->minus >= 0) return RUNG_OK;
    rung_fail(err, RUNG_E_MISMATCH, "\"%s\" has no tokens %s and %s", w->o->base_path, REWARD_PLUS,
              REWARD_MINUS);
    return rung_error_hint(err, "train a head on it instead: --kind prm_head; or name words of its "
                                "vocabulary in a format");
}

static rung_status load_base(tuner *w, rung_error *err) {
    const rung_reward_train_opts *o = w->o;
    if (reward_tune_of(o) == RUNG_TUNE_ALL) {
        RUNG_TRY(rung_net_load(&w->net, o->base_path, err));
    } else {
        rung_lora_opts lora = o->lora;
        if (lora.seed == 0) lora.seed = o->seed;
        lora.struct_size = sizeof lora;
        RUNG_TRY(rung_net_load_frozen(&w->net, o->base_path, err));
        RUNG_TRY(rung_net_add_lora(w->net, &lora, err));
    }
    rung_net_set_memory(w->net, o->memory);
    return rung_net_set_precision(w->net, o->precision ? o->precision : "auto", err);
}

static rung_status tune(tuner *w, rung_reward_report *out, reward_keys *keys, rung_store *s,
                        const reward_format *f, const rung_model *m, rung_error *err) {
    RUNG_TRY(find_words(w, f, m, err));
    RUNG_TRY(load_base(w, err));
    RUNG_TRY(tune_lay_out(w, s, m, f, err));
    RUNG_TRY(reserve(w, err));
    RUNG_TRY(tune_loss_init(w, err));
    RUNG_TRY(load_state(w, err));
    RUNG_TRY(train_all(w, err));
    RUNG_TRY(tune_predict(w, true, true, err));
    *out = (rung_reward_report){.epochs = w->state.epoch};
    reward_measure(out, w->p, w->set);
    reward_keys_measure(keys, out);
    for (int i = 0; i < keys->n; i++) rung_net_set_meta(w->net, keys->key[i], keys->value[i]);
    rung_net_set_meta(w->net, "rung.reward.trained_on", w->set->trained_on);
    if (w->by == TUNE_HEAD) RUNG_TRY(reward_head_put_keys(w->net, err));
    const char *type = w->o->save_type ? w->o->save_type : "f16";
    RUNG_TRY(rung_net_save(w->net, w->o->out_path, type, err));
    unlink(w->checkpoint);
    unlink(w->best);
    return RUNG_OK;
}

rung_status reward_train_net(rung_reward_report *out, reward_keys *keys, rung_store *s,
                             const reward_set *set, const reward_format *f, const rung_model *m,
                             const char *base_hash, const rung_reward_train_opts *o,
                             const rung_log *log, rung_error *err) {
    tuner w = {.set = set,
               .o = o,
               .d = reward_defaults_of(o),
               .log = log,
               .store = s,
               .base_hash = base_hash,
               .loss = reward_loss_of(o),
               .n_docs = set->n_examples};
    w.by = o->kind == RUNG_REWARD_PRM_TOKEN      ? TUNE_WORDS
           : o->kind == RUNG_REWARD_PRM_IMPLICIT ? TUNE_RATIO
                                                 : TUNE_HEAD;
    if (w.loss == RUNG_LOSS_KTO) w.n_docs *= 2;
    w.spans = (rung_loss_needs(w.loss) & (RUNG_LOSS_NEEDS_PAIR | RUNG_LOSS_NEEDS_GROUP)) != 0;
    w.beta = o->beta > 0 ? o->beta : 0.05;
    w.doc = rung_calloc((size_t)w.n_docs, sizeof *w.doc);
    char key[33];
    reward_keys_hash(key, keys);
    w.checkpoint = reward_beside(o->out_path, key, "checkpoint");
    w.best = reward_beside(o->out_path, key, "best");
    rung_status st = w.doc && w.checkpoint && w.best
                         ? tune(&w, out, keys, s, f, m, err)
                         : rung_fail(err, RUNG_E_NOMEM, "no memory to train");
    tune_batch_clear(&w);
    rung_free(w.p);
    rung_free(w.z);
    rung_free(w.old);
    rung_free(w.balance);
    rung_free(w.blob);
    rung_free(w.checkpoint);
    rung_free(w.best);
    rung_net_free(w.net);
    return st;
}
