/* Training curves: what a trainer tells becomes metric rows of the run. */
#include "reward/reward_curve.h"
#include <math.h>
#include <string.h>

static const struct {
    const char *field, *metric;
    bool of_epoch;
} kept[] = {{"loss", RUNG_CURVE_LOSS, false},           {"lr", RUNG_CURVE_RATE, false},
            {"grad_norm", RUNG_CURVE_GRAD_NORM, false}, {"tok", RUNG_CURVE_TOKENS, false},
            {"tok_s", RUNG_CURVE_THROUGHPUT, false},    {"epoch", RUNG_CURVE_EPOCH, true},
            {"held_loss", RUNG_CURVE_EVAL_LOSS, true},  {"held_auc", RUNG_CURVE_EVAL_AUC, true}};

static const rung_field *find(const rung_field *f, const char *key) {
    for (; f->kind != RUNG_FIELD_END; f++)
        if (strcmp(f->key, key) == 0) return f;
    return NULL;
}

static void keep(reward_curve *c, const rung_field *fields, bool epoch) {
    const rung_field *at = find(fields, "at_step");
    if (!at) at = find(fields, "epoch");
    for (size_t i = 0; at && i < sizeof kept / sizeof *kept; i++) {
        const rung_field *f = find(fields, kept[i].field);
        bool ours = kept[i].of_epoch == epoch || (i == 0 && !c->steps);
        if (f && ours)
            rung_curve_put(c->curve, at->i, kept[i].metric,
                           f->kind == RUNG_FIELD_INT ? (double)f->i : f->d);
    }
}

static int emit(void *ud, rung_level level, const char *name, const rung_field *fields) {
    reward_curve *c = ud;
    int stop = rung_emit(c->to, level, name, fields);
    bool step = strcmp(name, "reward.step") == 0, epoch = strcmp(name, "reward.epoch") == 0;
    if (step) c->steps = true;
    if (step || epoch) keep(c, fields, epoch);
    if ((epoch || strcmp(name, "reward.checkpoint") == 0) && c->st == RUNG_OK)
        c->st = rung_curve_flush(c->curve, &c->err);
    return stop || c->st != RUNG_OK;
}

rung_status reward_curve_init(reward_curve *c, rung_store *s, int64_t run, const char *tensorboard,
                              const rung_log *to, rung_error *err) {
    *c = (reward_curve){.to = to, .st = RUNG_OK, .err = RUNG_ERROR_INIT};
    c->log = (rung_log){emit, c};
    return rung_curve_open(&c->curve, s, run, tensorboard, to, err);
}

rung_status reward_curve_close(reward_curve *c, rung_status st, rung_error *err) {
    rung_status closed = rung_curve_close(c->curve, &c->err);
    c->curve = NULL;
    if (c->st == RUNG_OK) c->st = closed;
    if (c->st == RUNG_OK) return st;
    if (err) *err = c->err;
    return c->st;
}
