/* Supervised fine-tuning: documents packed into rows, the loop, checkpoints. */
#include "train/net.h"
#include "train/real.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define EVENT_EVERY_S 0.2 /* at most 5 events a second */
/* Documents told by number when they are left out; so many at a stretch are a mistake in the
 * settings, not long documents. */
enum { DROPS_TOLD = 10, DROPS_IN_A_ROW = 10000 };

/* The part of a run's position that a checkpoint must hold beside the net. */
typedef struct sft_state {
    uint64_t next_doc;
    uint64_t seed;
    int64_t n_tok_seen; /* of documents, in all steps so far */
    int64_t n_dropped;  /* documents that were too long */
    double best;        /* least held-out loss; HUGE_VAL: none yet */
    int32_t rows, n_tok, accumulate, unused;
} sft_state;

typedef struct packer {
    const rung_sft_opts *o;
    int32_t *tok, *doc, *target;
    float *weight;
    int32_t *used, *n_doc; /* [rows] */
    const rung_log *log;
    sft_state at;
} packer;

static rung_status check_opts(const rung_sft_opts *o, const rung_net *net, rung_error *err) {
    if (o->struct_size != sizeof *o)
        return rung_fail(err, RUNG_E_INVAL, "sft options: size %zu, expected %zu", o->struct_size,
                         sizeof *o);
    if (o->steps < 0 || o->rows <= 0 || o->n_tok <= 0 || o->rows > (1 << 20))
        return rung_fail(err, RUNG_E_INVAL, "sft options: %lld steps of %d rows of %d tokens",
                         (long long)o->steps, o->rows, o->n_tok);
    if (o->n_tok > net->core->shape.n_ctx)
        return rung_fail(err, RUNG_E_INVAL, "sft options: rows of %d tokens, n_ctx is %d", o->n_tok,
                         net->core->shape.n_ctx);
    if (!o->doc) return rung_fail(err, RUNG_E_INVAL, "sft options: no documents");
    if (!(o->adamw.lr >= 0) || !(o->adamw.eps > 0) ||
        !(o->adamw.beta1 >= 0 && o->adamw.beta1 < 1) ||
        !(o->adamw.beta2 >= 0 && o->adamw.beta2 < 1))
        return rung_fail(err, RUNG_E_INVAL, "sft options: lr %g beta %g %g eps %g", o->adamw.lr,
                         o->adamw.beta1, o->adamw.beta2, o->adamw.eps);
    return RUNG_OK;
}

static void packer_clear(packer *p) {
    rung_free(p->tok);
    rung_free(p->doc);
    rung_free(p->target);
    rung_free(p->weight);
    rung_free(p->used);
    rung_free(p->n_doc);
}

static rung_status packer_init(packer *p, const rung_sft_opts *o, rung_error *err) {
    size_t n = (size_t)o->rows * (size_t)o->n_tok;
    *p = (packer){.o = o,
                  .at = {.seed = o->seed,
                         .best = HUGE_VAL,
                         .rows = o->rows,
                         .n_tok = o->n_tok,
                         .accumulate = o->accumulate > 0 ? o->accumulate : 1}};
    p->tok = rung_alloc(n * sizeof *p->tok);
    p->doc = rung_alloc(n * sizeof *p->doc);
    p->target = rung_alloc(n * sizeof *p->target);
    p->weight = rung_alloc(n * sizeof *p->weight);
    p->used = rung_alloc((size_t)o->rows * sizeof *p->used);
    p->n_doc = rung_alloc((size_t)o->rows * sizeof *p->n_doc);
    if (p->tok && p->doc && p->target && p->weight && p->used && p->n_doc) return RUNG_OK;
    packer_clear(p);
    return rung_fail(err, RUNG_E_NOMEM, "no memory for a batch of %zu tokens", n);
}

/* Never cut: a document too long for a row stops the run, or is left out and told. */
static rung_status too_long(packer *p, int32_t n, int64_t in_a_row, rung_error *err) {
    if (p->o->drop_too_long && n > p->o->n_tok && in_a_row < DROPS_IN_A_ROW) {
        if (++p->at.n_dropped <= DROPS_TOLD)
            rung_event(p->log, RUNG_WARN, "train.too_long", RUNG_I("document", p->at.next_doc),
                       RUNG_I("tokens", n), RUNG_I("row", p->o->n_tok));
        return RUNG_OK;
    }
    rung_fail(err, RUNG_E_LIMIT, "document %llu has %d tokens, a row holds 1 to %d",
              (unsigned long long)p->at.next_doc, n, p->o->n_tok);
    return rung_error_hint(err, "train on longer rows or leave the document out");
}

/* Whole documents in their order, each into the first row with room; the first that fits nowhere
 * opens the next batch. n_tok counts the documents' tokens. */
static rung_status pack(packer *p, int64_t *n_tok, rung_error *err) {
    const rung_sft_opts *o = p->o;
    size_t n_all = (size_t)o->rows * (size_t)o->n_tok;
    memset(p->tok, 0, n_all * sizeof *p->tok);
    memset(p->target, 0, n_all * sizeof *p->target);
    memset(p->weight, 0, n_all * sizeof *p->weight);
    memset(p->used, 0, (size_t)o->rows * sizeof *p->used);
    memset(p->n_doc, 0, (size_t)o->rows * sizeof *p->n_doc);
    for (size_t i = 0; i < n_all; i++) p->doc[i] = -1;
    int64_t in_a_row = 0;
    *n_tok = 0;
    for (;; p->at.next_doc++) {
        const int32_t *tok, *target;
        const float *weight;
        int32_t n, r = 0;
        RUNG_TRY(o->doc(o->ud, p->at.next_doc, &tok, &target, &weight, &n, err));
        if (n <= 0 || n > o->n_tok) {
            RUNG_TRY(too_long(p, n, in_a_row++, err));
            continue;
        }
        in_a_row = 0;
        while (r < o->rows && p->used[r] + n > o->n_tok) r++;
        if (r == o->rows) return RUNG_OK;
        size_t at = (size_t)r * (size_t)o->n_tok + (size_t)p->used[r];
        memcpy(p->tok + at, tok, (size_t)n * sizeof *tok);
        memcpy(p->target + at, target, (size_t)n * sizeof *target);
        memcpy(p->weight + at, weight, (size_t)n * sizeof *weight);
        for (int32_t i = 0; i < n; i++) p->doc[at + (size_t)i] = p->n_doc[r];
        p->n_doc[r]++;
        p->used[r] += n;
        *n_tok += n;
    }
}

/* FILE becomes FILE.1, that FILE.2, ... A link first: there is never a moment without FILE. */
static void rotate_files(const char *file, int32_t keep_last) {
    char from[4200], to[4200];
    for (int32_t i = keep_last - 1; i >= 1; i--) {
        snprintf(to, sizeof to, "%s.%d", file, i);
        if (i > 1) {
            snprintf(from, sizeof from, "%s.%d", file, i - 1);
            (void)rename(from, to);
        } else {
            (void)unlink(to);
            if (link(file, to) != 0) return; /* none yet, or no links here: only FILE is kept */
        }
    }
}

static rung_status save_best(rung_net *net, packer *p, rung_error *err) {
    double loss;
    char best[4200];
    if (!p->o->held) return RUNG_OK;
    RUNG_TRY(p->o->held(p->o->ud, &loss, net, err));
    if (p->o->on_metric) p->o->on_metric(p->o->metric_ud, net->steps, "eval/loss", loss);
    if (!(loss < p->at.best)) return RUNG_OK;
    p->at.best = loss;
    snprintf(best, sizeof best, "%s.best", p->o->checkpoint);
    return rung_net_checkpoint(net, best, &p->at, sizeof p->at, err);
}

static rung_status save(rung_net *net, packer *p, rung_error *err) {
    if (!p->o->checkpoint) return RUNG_OK;
    RUNG_TRY(save_best(net, p, err));
    if (p->o->on_metric) p->o->on_metric(p->o->metric_ud, net->steps, NULL, 0);
    if (p->o->keep_last <= 1)
        return rung_net_checkpoint(net, p->o->checkpoint, &p->at, sizeof p->at, err);
    /* whole before the others move: a full disk leaves all of them as they are */
    char next[4200];
    snprintf(next, sizeof next, "%s.next", p->o->checkpoint);
    RUNG_TRY(rung_net_checkpoint(net, next, &p->at, sizeof p->at, err));
    rotate_files(p->o->checkpoint, p->o->keep_last);
    if (rename(next, p->o->checkpoint) == 0) return RUNG_OK;
    return rung_fail(err, RUNG_E_IO, "could not rename \"%s\": %s", next, strerror(errno));
}

/* Goes on from the checkpoint if there is one. */
static rung_status load(rung_net *net, packer *p, rung_error *err) {
    const rung_sft_opts *o = p->o;
    if (!o->checkpoint || access(o->checkpoint, F_OK) != 0) return RUNG_OK;
    sft_state s;
    RUNG_TRY(rung_net_resume(net, o->checkpoint, &s, sizeof s, err));
    if (s.seed != o->seed || s.rows != o->rows || s.n_tok != o->n_tok ||
        s.accumulate != p->at.accumulate) {
        rung_fail(err, RUNG_E_MISMATCH,
                  "checkpoint \"%s\" was made with seed %llu and %d x %d x %d tokens a step",
                  o->checkpoint, (unsigned long long)s.seed, s.accumulate, s.rows, s.n_tok);
        return rung_error_hint(err, "use the same settings, or delete it to start again");
    }
    p->at = s;
    return RUNG_OK;
}

/* Names as TRL and verl have them (docs/formats.md). */
static void tell_metrics(const rung_sft_opts *o, int64_t step, double loss, double lr,
                         double grad_norm, int64_t n_tok, int64_t n_tok_seen, double step_s) {
    if (!o->on_metric) return;
    o->on_metric(o->metric_ud, step, "train/loss", loss);
    o->on_metric(o->metric_ud, step, "train/learning_rate", lr);
    o->on_metric(o->metric_ud, step, "train/grad_norm", grad_norm);
    o->on_metric(o->metric_ud, step, "train/num_tokens", (double)n_tok_seen);
    o->on_metric(o->metric_ud, step, "train/step_time", step_s);
    o->on_metric(o->metric_ud, step, "perf/throughput", (double)n_tok / step_s);
}

typedef struct clock_state {
    double start, last_event, last_step;
    int64_t first_step, n_tok;
} clock_state;

static bool tell_event(clock_state *k, const rung_sft_opts *o, const rung_log *log, int64_t step,
                       double loss, double lr, double grad_norm) {
    double now = rung_now();
    bool must = step == k->first_step + 1 || step == o->steps;
    if (!must && now - k->last_event < EVENT_EVERY_S) return false;
    k->last_event = now;
    double spent = now - k->start;
    double eta = spent / (double)(step - k->first_step) * (double)(o->steps - step);
    return rung_event(log, RUNG_PROGRESS, "train.step", RUNG_I("step", step),
                      RUNG_I("steps", o->steps), RUNG_D("loss", loss), RUNG_D("lr", lr),
                      RUNG_D("grad_norm", grad_norm),
                      RUNG_D("tok_s", spent > 0 ? (double)k->n_tok / spent : 0),
                      RUNG_D("eta_s", eta)) != 0;
}

/* One optimiser step over `accumulate` batches: gradients of sum(w l), divided by all weights at
 * the step. One batch is divided where it is made. */
static rung_status one_step(double *value, double *grad_norm, int64_t *n_tok, rung_net *net,
                            packer *p, const rung_adamw *adamw, rung_error *err) {
    const rung_sft_opts *o = p->o;
    rung_loss_ce ce = {p->target, p->weight};
    rung_batch batch = {o->rows, o->n_tok, p->tok, p->doc};
    bool alone = p->at.accumulate == 1;
    double sum = 0, weights = 0;
    *n_tok = 0;
    for (int32_t k = 0; k < p->at.accumulate; k++) {
        int64_t n;
        double part;
        RUNG_TRY(pack(p, &n, err));
        RUNG_TRY(rung_net_grad_ce(&part, net, &batch, &ce, alone ? 0 : 1, 1, err));
        sum += part;
        *n_tok += n;
        for (int64_t i = 0; i < (int64_t)o->rows * o->n_tok; i++) weights += (double)p->weight[i];
    }
    double div = alone || weights <= 0 ? 1 : weights;
    *value = sum / div;
    return rung_net_step_div(grad_norm, net, adamw, div, err);
}

static rung_status run_steps(rung_net *net, packer *p, const rung_log *log, rung_error *err) {
    const rung_sft_opts *o = p->o;
    clock_state k = {.start = rung_now(), .first_step = net->steps};
    k.last_step = k.start;
    while (net->steps < o->steps) {
        uint64_t first_doc = p->at.next_doc;
        int64_t n_tok;
        double value = 0, grad_norm = 0;
        rung_adamw adamw = o->adamw;
        adamw.lr = rung_lr_at(o->schedule, o->adamw.lr, o->lr_min, net->steps, o->warmup, o->steps);
        rung_status st = one_step(&value, &grad_norm, &n_tok, net, p, &adamw, err);
        if (st != RUNG_OK) {
            rung_error_detail(err, "documents %llu to %llu; last checkpoint: %s",
                              (unsigned long long)first_doc, (unsigned long long)p->at.next_doc - 1,
                              o->checkpoint ? o->checkpoint : "none");
            return st;
        }
        double now = rung_now();
        k.n_tok += n_tok;
        p->at.n_tok_seen += n_tok;
        tell_metrics(o, net->steps, value, adamw.lr, grad_norm, n_tok, p->at.n_tok_seen,
                     now - k.last_step);
        k.last_step = now;
        bool stop = tell_event(&k, o, log, net->steps, value, adamw.lr, grad_norm);
        bool due = o->checkpoint_every > 0 && net->steps % o->checkpoint_every == 0;
        if (due || stop || net->steps == o->steps) RUNG_TRY(save(net, p, err));
        if (stop && net->steps < o->steps) {
            rung_fail(err, RUNG_E_CANCELLED, "training stopped at step %lld of %lld",
                      (long long)net->steps, (long long)o->steps);
            return rung_error_hint(err, o->checkpoint
                                            ? "run the same command to go on"
                                            : "nothing was kept: no checkpoint was named");
        }
    }
    return RUNG_OK;
}

rung_status rung_sft_train(rung_net *net, const rung_sft_opts *o, const rung_log *log,
                           rung_error *err) {
    packer p;
    RUNG_TRY(check_opts(o, net, err));
    RUNG_TRY(packer_init(&p, o, err));
    p.log = log;
    rung_status st = load(net, &p, err);
    if (st == RUNG_OK) st = run_steps(net, &p, log, err);
    if (p.at.n_dropped > 0)
        rung_event(log, RUNG_WARN, "train.dropped", RUNG_I("documents", p.at.n_dropped),
                   RUNG_I("row", o->n_tok));
    packer_clear(&p);
    return st;
}
