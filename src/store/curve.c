#include "rung/curve.h"

#include <math.h>
#include <string.h>

#define KEEP_BACK_S 2.0
enum { KEEP_BACK = 64, NAME_BYTES = 64 };

typedef struct row {
    int64_t step;
    double value;
    char name[NAME_BYTES];
} row;

struct rung_curve {
    rung_store *store;
    int64_t run;
    char *dir;               /* of event files; NULL none */
    rung_tensorboard *board; /* NULL none, or no longer */
    const rung_log *log;
    row rows[KEEP_BACK];
    int n;
    double written;
    rung_status st; /* of the store: the first failure */
    rung_error err;
};

rung_status rung_curve_open(rung_curve **out, rung_store *store, int64_t run,
                            const char *tensorboard, const rung_log *log, rung_error *err) {
    *out = NULL;
    rung_curve *c = rung_calloc(1, sizeof *c);
    if (!c) return rung_fail(err, RUNG_E_NOMEM, "no memory for a curve");
    c->store = store;
    c->run = run;
    c->log = log;
    c->written = rung_now();
    c->err = (rung_error)RUNG_ERROR_INIT;
    if (tensorboard && tensorboard[0]) {
        c->dir = rung_strdup(tensorboard);
        rung_status st = c->dir ? rung_tensorboard_open(&c->board, c->dir, err)
                                : rung_fail(err, RUNG_E_NOMEM, "no memory for a curve");
        if (st != RUNG_OK) {
            rung_free(c->dir);
            rung_free(c);
            return st;
        }
    }
    *out = c;
    return RUNG_OK;
}

static rung_status write_rows(rung_curve *c, rung_error *err) {
    RUNG_TRY(rung_store_begin(c->store, err));
    rung_status st = RUNG_OK;
    for (int i = 0; i < c->n && st == RUNG_OK; i++)
        st = rung_metric_put(c->store, c->run, c->rows[i].step, c->rows[i].name, c->rows[i].value,
                             err);
    if (st == RUNG_OK) return rung_store_commit(c->store, err);
    rung_store_rollback(c->store);
    return st;
}

static void drop_board(rung_curve *c, const rung_error *why) {
    rung_event(c->log, RUNG_WARN, "curve.tensorboard_lost", RUNG_S("dir", c->dir),
               RUNG_S("why", why->what));
    (void)rung_tensorboard_close(c->board, NULL);
    c->board = NULL;
}

rung_status rung_curve_flush(rung_curve *c, rung_error *err) {
    c->written = rung_now();
    if (c->store && c->n > 0 && c->st == RUNG_OK) c->st = write_rows(c, &c->err);
    c->n = 0;
    rung_error e = RUNG_ERROR_INIT;
    if (c->board && rung_tensorboard_flush(c->board, &e) != RUNG_OK) drop_board(c, &e);
    if (c->st != RUNG_OK && err) *err = c->err;
    return c->st;
}

void rung_curve_put(rung_curve *c, int64_t step, const char *name, double value) {
    rung_error e = RUNG_ERROR_INIT;
    if (!isfinite(value)) return;
    if (c->board && rung_tensorboard_put(c->board, step, name, value, &e) != RUNG_OK)
        drop_board(c, &e);
    if (!c->store) return;
    row *r = &c->rows[c->n++];
    *r = (row){.step = step, .value = value};
    memcpy(r->name, name, strnlen(name, NAME_BYTES - 1));
    if (c->n == KEEP_BACK || rung_now() - c->written > KEEP_BACK_S) (void)rung_curve_flush(c, NULL);
}

rung_status rung_curve_close(rung_curve *c, rung_error *err) {
    if (!c) return RUNG_OK;
    rung_status st = rung_curve_flush(c, err);
    rung_error e = RUNG_ERROR_INIT;
    if (c->board && rung_tensorboard_close(c->board, &e) != RUNG_OK)
        rung_event(c->log, RUNG_WARN, "curve.tensorboard_lost", RUNG_S("dir", c->dir),
                   RUNG_S("why", e.what));
    rung_free(c->dir);
    rung_free(c);
    return st;
}
