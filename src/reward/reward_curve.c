/* Training curves: each "reward.epoch" event of a trainer becomes metric rows of the run. */
#include "reward/reward_curve.h"
#include <math.h>
#include <string.h>

static rung_status keep(reward_curve *c, const rung_field *fields, rung_error *err) {
    static const struct {
        const char *field, *metric;
    } kept[] = {{"loss", "epoch_loss_train"},
                {"held_loss", "epoch_loss_held"},
                {"held_auc", "epoch_auc_held"}};
    int64_t epoch = 0;
    RUNG_TRY(rung_store_begin(c->store, err));
    for (const rung_field *f = fields; f->kind != RUNG_FIELD_END; f++)
        if (f->kind == RUNG_FIELD_INT && !strcmp(f->key, "epoch")) epoch = f->i;
    rung_status st = RUNG_OK;
    for (const rung_field *f = fields; f->kind != RUNG_FIELD_END; f++)
        for (size_t i = 0; i < sizeof kept / sizeof *kept && st == RUNG_OK; i++)
            if (f->kind == RUNG_FIELD_REAL && !strcmp(f->key, kept[i].field) && isfinite(f->d))
                st = rung_metric_put(c->store, c->run, epoch, kept[i].metric, f->d, err);
    if (st == RUNG_OK) return rung_store_commit(c->store, err);
    rung_store_rollback(c->store);
    return st;
}

static int emit(void *ud, rung_level level, const char *name, const rung_field *fields) {
    reward_curve *c = ud;
    int stop = rung_emit(c->to, level, name, fields);
    if (strcmp(name, "reward.epoch") != 0 || c->st != RUNG_OK) return stop;
    c->st = keep(c, fields, &c->err);
    return stop || c->st != RUNG_OK;
}

void reward_curve_init(reward_curve *c, rung_store *s, int64_t run, const rung_log *to) {
    *c = (reward_curve){.store = s, .run = run, .to = to, .st = RUNG_OK, .err = RUNG_ERROR_INIT};
    c->log = (rung_log){emit, c};
}

rung_status reward_curve_check(const reward_curve *c, rung_status st, rung_error *err) {
    if (c->st == RUNG_OK) return st;
    if (err) *err = c->err;
    return c->st;
}
