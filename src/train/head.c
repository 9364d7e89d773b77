/* Training of small heads on frozen hidden states: standardise, AdamW on shuffled batches, stop
 * when the held-out loss no longer falls; resumes from a checkpoint after any epoch. The loss is a
 * row of the table (rung/loss.h); losses that compare rows get whole groups in a batch. */
#include "rung/loss.h"
#include "rung/rng.h"
#include "train/head_core.h"
#include "train/loss_row.h"
#include "train/optim.h"

#include <stdlib.h>
#include <unistd.h>

/* A column that never varies (sd below this) is left at its centred value 0, not blown up. */
#define SD_FLOOR 1e-6

static const rung_head_opts DEFAULTS = {
    .epochs = 30, .batch = 128, .lr = 1e-3, .weight_decay = 0.01, .patience = 5};

/* What a checkpoint holds beside the numbers. */
typedef struct job_head {
    char magic[8];
    uint64_t data_hash; /* of both splits and all options */
    int64_t n_params, step;
    int32_t epoch, bad_epochs, done, unused;
    double best_loss;
} job_head;

/* The rows of one side, cut into spans that a batch takes whole: a group each, or single rows. */
typedef struct side {
    const rung_head_data *data;
    int32_t *row;  /* [n] */
    int64_t *span; /* [n_spans + 1] where each begins in row */
    int64_t n_spans, longest;
} side;

typedef struct job {
    rung_head_dims d;
    int64_t n_params;
    const rung_head_data *train, *held;
    side train_side, held_side;
    rung_head_opts o;
    rung_loss_id loss;
    rung_loss_opts loss_opts;
    float *mean, *inv_sd;        /* [D] */
    float *p, *g, *m, *v, *best; /* [n_params]; best: at the least held-out loss */
    int64_t cap;                 /* rows of the largest batch */
    float *x, *z, *hid;          /* one batch */
    double *y, *w, *score, *dz;  /* the same, as the loss reads it */
    double *was;                 /* the same; of old */
    int32_t *group, *which;      /* the same; which: the row */
    uint32_t *order;             /* [spans of train] */
    double *held_score;          /* [n_held] */
    double *old;                 /* [n_train] clipped value loss: scores when the epoch began */
    job_head at;
} job;

static void job_clear(job *j) {
    void *all[] = {j->mean,
                   j->inv_sd,
                   j->p,
                   j->g,
                   j->m,
                   j->v,
                   j->best,
                   j->x,
                   j->z,
                   j->hid,
                   j->y,
                   j->w,
                   j->score,
                   j->dz,
                   j->was,
                   j->group,
                   j->which,
                   j->order,
                   j->held_score,
                   j->old,
                   j->train_side.row,
                   j->train_side.span,
                   j->held_side.row,
                   j->held_side.span};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) rung_free(all[i]);
}

/* Checks and set-up --------------------------------------------------------------------------- */

static rung_status check_data(const rung_head_data *d, int64_t n_in, const char *name,
                              rung_error *err) {
    for (int64_t i = 0; i < d->n; i++) {
        const float *x = d->x + i * n_in;
        for (int64_t k = 0; k < n_in; k++) {
            if (!isfinite(x[k]))
                return rung_fail(err, RUNG_E_FORMAT, "%s row %lld: input %lld is not finite", name,
                                 (long long)i, (long long)k);
        }
        if (!(d->y[i] >= 0 && d->y[i] <= 1))
            return rung_fail(err, RUNG_E_FORMAT, "%s row %lld: target %g is not in [0, 1]", name,
                             (long long)i, (double)d->y[i]);
        if (d->w && !(d->w[i] >= 0 && isfinite(d->w[i])))
            return rung_fail(err, RUNG_E_FORMAT, "%s row %lld: weight %g", name, (long long)i,
                             (double)d->w[i]);
    }
    return RUNG_OK;
}

static bool compares(rung_loss_id id) {
    return (rung_loss_needs(id) & (RUNG_LOSS_NEEDS_PAIR | RUNG_LOSS_NEEDS_GROUP)) != 0;
}

static uint64_t hash_data(const rung_head_data *d, int64_t n_in, uint64_t seed, bool groups) {
    size_t n = (size_t)d->n;
    if (groups) seed = rung_hash64(d->group, n * sizeof *d->group, seed);
    uint64_t h = rung_hash64(d->x, n * (size_t)n_in * sizeof *d->x, seed);
    h = rung_hash64(d->y, n * sizeof *d->y, h);
    return d->w ? rung_hash64(d->w, n * sizeof *d->w, h) : h;
}

static int64_t n_outputs(const job *j) {
    return j->d.n_out == 2 ? 2 : 1;
}

static uint64_t hash_job(const job *j) {
    double numbers[] = {
        (double)j->d.n_in, (double)j->d.n_hidden, (double)j->o.epochs,   (double)j->o.batch,
        j->o.lr,           j->o.weight_decay,     (double)j->o.patience, (double)j->loss,
        j->o.margin,       j->o.clip_value};
    uint64_t h = rung_hash64(numbers, sizeof numbers, j->o.seed);
    if (n_outputs(j) == 2) h = rung_hash64("two outputs", 11, h);
    h = hash_data(j->train, j->d.n_in, h, compares(j->loss));
    return j->held->n > 0 ? hash_data(j->held, j->d.n_in, h, compares(j->loss)) : h;
}

static void measure_columns(job *j) {
    int64_t n = j->train->n, d = j->d.n_in;
#pragma omp parallel for schedule(static)
    for (int64_t k = 0; k < d; k++) {
        double sum = 0, sq = 0;
        for (int64_t i = 0; i < n; i++) sum += (double)j->train->x[i * d + k];
        double mean = sum / (double)n;
        for (int64_t i = 0; i < n; i++) {
            double e = (double)j->train->x[i * d + k] - mean;
            sq += e * e;
        }
        double sd = sqrt(sq / (double)n);
        j->mean[k] = (float)mean;
        j->inv_sd[k] = sd > SD_FLOOR ? (float)(1 / sd) : 0;
    }
}

/* Linear starts at 0 (its loss is convex); two layers by He et al. 2015. */
static void init_params(job *j) {
    if (j->d.n_hidden == 0) return;
    rung_rng r = rung_rng_at(j->o.seed, RUNG_STREAM_INIT, 0, 1);
    int64_t n1 = j->d.n_hidden * j->d.n_in;
    double sd1 = sqrt(2.0 / (double)j->d.n_in), sd2 = sqrt(1.0 / (double)j->d.n_hidden);
    for (int64_t i = 0; i < n1; i++) j->p[i] = (float)(sd1 * rung_rng_normal(&r));
    for (int64_t i = 0; i < n_outputs(j) * j->d.n_hidden; i++)
        j->p[n1 + j->d.n_hidden + i] = (float)(sd2 * rung_rng_normal(&r));
}

static rung_status cut_spans(side *s, const rung_head_data *data, bool groups, rung_error *err) {
    *s = (side){.data = data};
    s->row = rung_alloc((size_t)(data->n + 1) * sizeof *s->row);
    s->span = rung_alloc((size_t)(data->n + 1) * sizeof *s->span);
    int64_t n = data->n;
    int32_t *order = groups && s->row ? rung_loss_group_order(&n, data->group, data->n) : NULL;
    if (!s->row || !s->span || (groups && !order))
        return rung_fail(err, RUNG_E_NOMEM, "no memory for %lld rows", (long long)data->n);
    for (int64_t i = 0; i < n; i++) {
        s->row[i] = order ? order[i] : (int32_t)i;
        bool first = i == 0 || !groups || data->group[s->row[i]] != data->group[s->row[i - 1]];
        if (first) s->span[s->n_spans++] = i;
        if (i + 1 - s->span[s->n_spans - 1] > s->longest)
            s->longest = i + 1 - s->span[s->n_spans - 1];
    }
    s->span[s->n_spans] = n;
    rung_free(order);
    return RUNG_OK;
}

static rung_status job_init(job *j, rung_error *err) {
    bool groups = compares(j->loss);
    RUNG_TRY(cut_spans(&j->train_side, j->train, groups, err));
    RUNG_TRY(cut_spans(&j->held_side, j->held, groups, err));
    j->cap = j->o.batch;
    if (j->train_side.longest > j->cap) j->cap = j->train_side.longest;
    if (j->held_side.longest > j->cap) j->cap = j->held_side.longest;
    size_t np = (size_t)(j->n_params = rung_head_n_params(j->d)), d = (size_t)j->d.n_in;
    size_t b = (size_t)j->cap, h = (size_t)(j->d.n_hidden ? j->d.n_hidden : 1);
    float **floats[] = {&j->mean, &j->inv_sd, &j->p, &j->g, &j->m,
                        &j->v,    &j->best,   &j->x, &j->z, &j->hid};
    const size_t counts[] = {d, d, np, np, np, np, np, b * d, b, b * h};
    double **doubles[] = {&j->y, &j->w, &j->score, &j->dz, &j->was};
    bool ok = true;
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        *floats[i] = rung_calloc(counts[i], sizeof(float));
        ok &= *floats[i] != NULL;
    }
    for (size_t i = 0; i < 5; i++) {
        *doubles[i] = rung_calloc(b, sizeof(double));
        ok &= *doubles[i] != NULL;
    }
    j->group = rung_calloc(b, sizeof *j->group);
    j->which = rung_calloc(b, sizeof *j->which);
    j->order = rung_calloc((size_t)j->train->n, sizeof *j->order);
    j->held_score = rung_calloc((size_t)j->held->n + 1, sizeof *j->held_score);
    if (j->o.clip_value > 0) j->old = rung_calloc((size_t)j->train->n, sizeof *j->old);
    ok &= j->old || !(j->o.clip_value > 0);
    if (!ok || !j->group || !j->which || !j->order || !j->held_score)
        return rung_fail(err, RUNG_E_NOMEM, "no memory to train a head of %zu weights", np);
    measure_columns(j);
    init_params(j);
    j->at = (job_head){.magic = "RUNGHD1", .n_params = j->n_params, .best_loss = HUGE_VAL};
    j->at.data_hash = hash_job(j);
    return RUNG_OK;
}

/* Checkpoint: head | p | m | v | best | XXH3-64. ----------------------------------------------- */

static rung_status save(const job *j, const char *path, rung_error *err) {
    if (!path) return RUNG_OK;
    size_t n_block = (size_t)j->n_params * sizeof(float);
    rung_buf b;
    rung_buf_init(&b, (size_t)1 << 40);
    rung_buf_append(&b, &j->at, sizeof j->at);
    rung_buf_append(&b, j->p, n_block);
    rung_buf_append(&b, j->m, n_block);
    rung_buf_append(&b, j->v, n_block);
    rung_buf_append(&b, j->best, n_block);
    rung_status st = rung_buf_check(&b, err);
    if (st == RUNG_OK) {
        uint64_t hash = rung_hash64(b.data, b.n, 0);
        rung_buf_append(&b, &hash, sizeof hash);
        st = rung_buf_check(&b, err);
    }
    if (st == RUNG_OK) st = rung_file_write(path, b.data, b.n, err);
    rung_buf_clear(&b);
    return st;
}

static rung_status load(job *j, const char *path, rung_error *err) {
    if (!path || access(path, F_OK) != 0) return RUNG_OK;
    rung_buf b;
    rung_buf_init(&b, (size_t)1 << 40);
    rung_status st;
    RUNG_GOTO(rung_file_read(&b, path, err));
    job_head h;
    uint64_t hash = 0;
    size_t n_block = (size_t)j->n_params * sizeof(float);
    if (b.n >= sizeof h + sizeof hash) memcpy(&hash, b.data + b.n - sizeof hash, sizeof hash);
    if (b.n < sizeof h + sizeof hash || memcmp(b.data, j->at.magic, sizeof h.magic) != 0 ||
        hash != rung_hash64(b.data, b.n - sizeof hash, 0)) {
        st = rung_fail(err, RUNG_E_FORMAT, "checkpoint \"%s\" is torn or not of a head", path);
        rung_error_hint(err, "delete it to start again");
        goto out;
    }
    memcpy(&h, b.data, sizeof h);
    if (h.data_hash != j->at.data_hash || h.n_params != j->n_params ||
        b.n != sizeof h + 4 * n_block + sizeof hash) {
        st = rung_fail(err, RUNG_E_MISMATCH,
                       "checkpoint \"%s\" was made from other data or settings", path);
        rung_error_hint(err, "delete it to start again");
        goto out;
    }
    float *blocks[] = {j->p, j->m, j->v, j->best};
    for (size_t i = 0; i < 4; i++) memcpy(blocks[i], b.data + sizeof h + i * n_block, n_block);
    j->at = h;
out:
    rung_buf_clear(&b);
    return st;
}

/* Epochs -------------------------------------------------------------------------------------- */

/* Spans order[*next...) (order NULL: in their order) into the batch, standardised, as long as they
 * fit; at least one. Returns the rows. */
static int64_t gather(job *j, const side *s, const uint32_t *order, int64_t *next) {
    const rung_head_data *data = s->data;
    int64_t d = j->d.n_in, n = 0;
    for (; *next < s->n_spans; ++*next) {
        int64_t span = order ? (int64_t)order[*next] : *next;
        int64_t first = s->span[span], end = s->span[span + 1];
        if (n > 0 && n + end - first > j->o.batch) break;
        for (int64_t i = first; i < end; i++, n++) {
            int64_t row = s->row[i];
            const float *src = data->x + row * d;
            float *dst = j->x + n * d;
#pragma omp simd
            for (int64_t k = 0; k < d; k++) dst[k] = (src[k] - j->mean[k]) * j->inv_sd[k];
            j->y[n] = (double)data->y[row];
            j->w[n] = data->w ? (double)data->w[row] : 1;
            j->group[n] = data->group ? data->group[row] : -1;
            j->which[n] = (int32_t)row;
            j->was[n] = j->old && s == &j->train_side ? j->old[row] : 0;
        }
    }
    return n;
}

static rung_status no_product(rung_error *err) {
    return rung_fail(err, RUNG_E_NOMEM, "oneDNN could not run a matrix product: no memory");
}

/* z and score of the batch in hand. */
static rung_status score_batch(job *j, int64_t n, rung_error *err) {
    if (!rung_head_core_forward(j->z, j->hid, j->p, j->d, j->x, n)) return no_product(err);
    for (int64_t i = 0; i < n; i++) {
        if (!isfinite(j->z[i]))
            return rung_fail(err, RUNG_E_FORMAT, "head loss is not finite in epoch %d",
                             j->at.epoch);
        j->score[i] = (double)j->z[i];
    }
    return RUNG_OK;
}

/* Loss of the batch and the sum of weights it is a mean over; the gradient into j->g if asked. */
static rung_status run_batch(double *loss, double *share, job *j, int64_t n, bool grad,
                             rung_error *err) {
    rung_loss_data d = {.n = n,
                        .x = j->score,
                        .target = j->y,
                        .old = j->was,
                        .n_samples = n,
                        .weight = j->w,
                        .group = j->group,
                        .reward = j->y};
    rung_loss_opts o = j->loss_opts;
    int32_t *pair = NULL;
    rung_status st = score_batch(j, n, err);
    if (!grad) o.clip_value = 0; /* a clip is the training's */
    if (rung_loss_needs(j->loss) & RUNG_LOSS_NEEDS_PAIR)
        st = rung_loss_pairs(&pair, &d.n_pairs, j->y, j->group, n, err);
    d.pair = pair;
    if (st == RUNG_OK) st = rung_loss_denominator(share, j->loss, &d, &o, err);
    if (st == RUNG_OK) st = rung_loss_eval(loss, j->dz, NULL, j->loss, &d, &o, err);
    rung_free(pair);
    if (st != RUNG_OK || !grad || *share == 0) return st;
    for (int64_t i = 0; i < n; i++) j->z[i] = (float)j->dz[i];
    return rung_head_core_back(j->g, j->hid, j->z, j->p, j->d, j->x, n) ? RUNG_OK : no_product(err);
}

/* Where each value stood when the epoch began: the clip is around it (learning.md 4.2 J). */
static rung_status note_values(job *j, rung_error *err) {
    for (int64_t next = 0; j->old && next < j->train_side.n_spans;) {
        int64_t n = gather(j, &j->train_side, NULL, &next);
        RUNG_TRY(score_batch(j, n, err));
        for (int64_t i = 0; i < n; i++) j->old[j->which[i]] = j->score[i];
    }
    return RUNG_OK;
}

static rung_status train_epoch(double *loss, job *j, rung_error *err) {
    int64_t n_all = j->train->n, n_w = (j->d.n_hidden ? j->d.n_hidden : n_outputs(j)) * j->d.n_in;
    int64_t n_spans = j->train_side.n_spans;
    double sum = 0, sum_w = 0;
    rung_rng r =
        rung_rng_at(j->o.seed, RUNG_STREAM_SHUFFLE, (uint64_t)j->at.epoch, (uint64_t)n_all);
    for (int64_t i = 0; i < n_spans; i++) j->order[i] = (uint32_t)i;
    rung_rng_shuffle(&r, j->order, (uint32_t)n_spans);
    rung_adamw adamw = {j->o.lr, 0.9, 0.999, 1e-8, j->o.weight_decay, 0};
    RUNG_TRY(note_values(j, err));
    for (int64_t next = 0; next < n_spans;) {
        int64_t n = gather(j, &j->train_side, j->order, &next);
        double part, share;
        RUNG_TRY(run_batch(&part, &share, j, n, true, err));
        sum += part * share;
        sum_w += share;
        if (share == 0) continue;
        rung_adam a = rung_adam_at(&adamw, ++j->at.step, 0);
        rung_adam_range(j->p, j->g, j->m, j->v, n_w, a, true);
        rung_adam_range(j->p + n_w, j->g + n_w, j->m + n_w, j->v + n_w, j->n_params - n_w, a,
                        false);
    }
    *loss = sum_w > 0 ? sum / sum_w : 0;
    return RUNG_OK;
}

typedef struct pair {
    double score;
    bool positive;
} pair;

static int by_score(const void *a, const void *b) {
    double x = ((const pair *)a)->score, y = ((const pair *)b)->score;
    return (x > y) - (x < y);
}

/* P(score of a positive > of a negative) + P(equal)/2. NaN when one side is empty or memory is
 * short. */
static double auc_of(const double *score, const rung_head_data *d) {
    int64_t n = d->n;
    pair *p = rung_alloc((size_t)(n > 0 ? n : 1) * sizeof *p);
    if (!p) return (double)NAN;
    for (int64_t i = 0; i < n; i++)
        p[i] = (pair){score[i], d->positive ? d->positive[i] : d->y[i] > 0.5f};
    qsort(p, (size_t)n, sizeof *p, by_score);
    double wins = 0, below = 0, n_pos = 0;
    for (int64_t i = 0; i < n;) {
        double pos = 0, neg = 0;
        int64_t k = i;
        for (; k < n && p[k].score == p[i].score; k++) *(p[k].positive ? &pos : &neg) += 1;
        wins += pos * (below + neg / 2);
        below += neg;
        n_pos += pos;
        i = k;
    }
    rung_free(p);
    return n_pos > 0 && below > 0 ? wins / (n_pos * below) : (double)NAN;
}

static rung_status held_loss(double *loss, double *auc, job *j, rung_error *err) {
    double sum = 0, sum_w = 0;
    for (int64_t next = 0; next < j->held_side.n_spans;) {
        int64_t n = gather(j, &j->held_side, NULL, &next);
        double part, share;
        RUNG_TRY(run_batch(&part, &share, j, n, false, err));
        for (int64_t i = 0; i < n; i++) j->held_score[j->which[i]] = j->score[i];
        sum += part * share;
        sum_w += share;
    }
    *loss = sum_w > 0 ? sum / sum_w : (double)NAN;
    *auc = auc_of(j->held_score, j->held);
    return RUNG_OK;
}

/* Keeps the best weights; says whether patience has run out. */
static void judge(job *j, double held) {
    bool better = isnan(held) || held < j->at.best_loss;
    if (better) {
        memcpy(j->best, j->p, (size_t)j->n_params * sizeof *j->p);
        if (!isnan(held)) j->at.best_loss = held;
        j->at.bad_epochs = 0;
    } else {
        j->at.bad_epochs++;
    }
    j->at.epoch++;
    j->at.done = j->at.epoch >= j->o.epochs || j->at.bad_epochs >= j->o.patience;
}

static rung_status run(job *j, const char *checkpoint, const rung_log *log, rung_error *err) {
    while (!j->at.done) {
        double loss = 0, held = 0, auc = 0;
        RUNG_TRY(train_epoch(&loss, j, err));
        RUNG_TRY(held_loss(&held, &auc, j, err));
        judge(j, held);
        int stop =
            rung_event(log, RUNG_PROGRESS, "reward.epoch", RUNG_I("epoch", j->at.epoch),
                       RUNG_I("epochs", j->o.epochs), RUNG_I("at_step", j->at.step),
                       RUNG_D("loss", loss), RUNG_D("held_loss", held), RUNG_D("held_auc", auc));
        RUNG_TRY(save(j, checkpoint, err)); /* told first: what is told is never behind the file */
        if (stop && !j->at.done) {
            rung_fail(err, RUNG_E_CANCELLED, "head training stopped after epoch %d", j->at.epoch);
            return rung_error_hint(err, checkpoint ? "run the same command to go on"
                                                   : "nothing was kept: no checkpoint was named");
        }
    }
    return RUNG_OK;
}

/* The result ---------------------------------------------------------------------------------- */

void rung_head_free(rung_head *h) {
    if (!h) return;
    rung_free(h->mean);
    rung_free(h->inv_sd);
    rung_free(h->w1);
    rung_free(h->b1);
    rung_free(h->w2);
    rung_free(h->b2);
    rung_free(h);
}

static float *copy_of(const float *x, int64_t n) {
    float *y = rung_alloc((size_t)n * sizeof *y);
    if (y) memcpy(y, x, (size_t)n * sizeof *y);
    return y;
}

static rung_status take_head(rung_head **out, const job *j, rung_error *err) {
    int64_t d = j->d.n_in, h = j->d.n_hidden, o = n_outputs(j), rows = h ? h : o;
    rung_head *y = rung_calloc(1, sizeof *y);
    if (!y) return rung_fail(err, RUNG_E_NOMEM, "no memory for a head");
    y->n_in = (int32_t)d;
    y->n_hidden = (int32_t)h;
    y->n_out = (int32_t)o;
    y->epochs = j->at.epoch;
    y->value = j->loss == RUNG_LOSS_VALUE;
    y->mean = copy_of(j->mean, d);
    y->inv_sd = copy_of(j->inv_sd, d);
    y->w1 = copy_of(j->best, rows * d);
    y->b1 = copy_of(j->best + rows * d, rows);
    if (h) {
        y->w2 = copy_of(j->best + h * d + h, o * h);
        y->b2 = copy_of(j->best + h * d + h + o * h, o);
    }
    if (y->mean && y->inv_sd && y->w1 && y->b1 && (!h || (y->w2 && y->b2))) {
        *out = y;
        return RUNG_OK;
    }
    rung_head_free(y);
    return rung_fail(err, RUNG_E_NOMEM, "no memory for a head");
}

static rung_status choose_loss(job *j, rung_error *err) {
    static const rung_loss_id can[] = {RUNG_LOSS_BCE,           RUNG_LOSS_MSE,    RUNG_LOSS_VALUE,
                                       RUNG_LOSS_BRADLEY_TERRY, RUNG_LOSS_MARGIN, RUNG_LOSS_OMEGA};
    j->loss = j->o.loss == 0 ? RUNG_LOSS_BCE : (rung_loss_id)j->o.loss;
    j->loss_opts = (rung_loss_opts){.struct_size = sizeof j->loss_opts, .margin = j->o.margin};
    j->loss_opts.clip_value = j->o.clip_value;
    bool known = false;
    for (size_t i = 0; i < sizeof can / sizeof can[0]; i++) known = known || can[i] == j->loss;
    if (!known)
        return rung_fail(err, RUNG_E_INVAL, "a head does not train by loss %s",
                         rung_loss_name(j->loss));
    if (j->loss == RUNG_LOSS_VALUE && j->o.n_out == 2)
        return rung_fail(err, RUNG_E_INVAL, "a value has one output, not two classes");
    if (compares(j->loss) && (!j->train->group || (j->held->n > 0 && !j->held->group)))
        return rung_fail(err, RUNG_E_INVAL, "loss %s compares rows: groups are needed",
                         rung_loss_name(j->loss));
    return RUNG_OK;
}

rung_status rung_head_train(rung_head **out, int32_t n_in, const rung_head_data *train,
                            const rung_head_data *held, const rung_head_opts *o,
                            const char *checkpoint, const rung_log *log, rung_error *err) {
    static const rung_head_data none = {0};
    *out = NULL;
    job j = {.train = train, .held = held ? held : &none, .o = o ? *o : DEFAULTS};
    if (j.o.epochs == 0) j.o.epochs = DEFAULTS.epochs;
    if (j.o.batch == 0) j.o.batch = DEFAULTS.batch;
    if (j.o.lr == 0) j.o.lr = DEFAULTS.lr;
    if (j.o.patience == 0) j.o.patience = DEFAULTS.patience;
    if (n_in <= 0 || j.o.n_hidden < 0 || j.o.epochs < 0 || j.o.batch < 0 || j.o.patience < 0 ||
        !(j.o.lr > 0) || !(j.o.weight_decay >= 0) || !(j.o.clip_value >= 0))
        return rung_fail(err, RUNG_E_INVAL,
                         "head options: %d inputs, %d hidden, %d epochs, batch %d, lr %g", n_in,
                         j.o.n_hidden, j.o.epochs, j.o.batch, j.o.lr);
    if (train->n <= 0 || train->n > INT32_MAX) {
        rung_fail(err, RUNG_E_INVAL, "a head needs training rows, there are %lld",
                  (long long)train->n);
        return rung_error_hint(err, "label more traces first");
    }
    if (j.o.n_out < 0 || j.o.n_out > 2)
        return rung_fail(err, RUNG_E_INVAL, "a head has 1 or 2 outputs, not %d", j.o.n_out);
    j.d = (rung_head_dims){n_in, j.o.n_hidden, j.o.n_out};
    RUNG_TRY(choose_loss(&j, err));
    RUNG_TRY(check_data(train, n_in, "training", err));
    RUNG_TRY(check_data(j.held, n_in, "held-out", err));
    rung_status st;
    RUNG_GOTO(job_init(&j, err));
    RUNG_GOTO(load(&j, checkpoint, err));
    RUNG_GOTO(run(&j, checkpoint, log, err));
    RUNG_GOTO(take_head(out, &j, err));
out:
    job_clear(&j);
    return st;
}

/* Of the first layer's unit r. */
static double unit(const rung_head *h, int64_t r, const float *x) {
    const float *w = h->w1 + r * h->n_in;
    double s = (double)h->b1[r];
    for (int64_t k = 0; k < h->n_in; k++)
        s += (double)w[k] * ((double)x[k] - (double)h->mean[k]) * (double)h->inv_sd[k];
    return s;
}

double rung_head_score(const rung_head *h, const float *x) {
    bool two = h->n_out == 2; /* class 1 against class 0 by softmax */
    int64_t H = h->n_hidden;
    double z;
    if (H == 0) {
        z = two ? unit(h, 1, x) - unit(h, 0, x) : unit(h, 0, x);
    } else {
        z = two ? (double)h->b2[1] - (double)h->b2[0] : (double)h->b2[0];
        for (int64_t r = 0; r < H; r++) {
            double s = unit(h, r, x);
            double w = two ? (double)h->w2[H + r] - (double)h->w2[r] : (double)h->w2[r];
            z += s > 0 ? s * w : 0;
        }
    }
    return rung_head_value(h->value ? z : 1 / (1 + exp(-z)));
}

/* Kept inside (0,1), so that products and logs of scores stay finite. */
double rung_head_value(double z) {
    return z < 1e-12 ? 1e-12 : z > 1 - 1e-12 ? 1 - 1e-12 : z;
}
