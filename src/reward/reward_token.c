/* The +/- token PRM (labels.md 3, Math-Shepherd): the whole base goes on training to say + or - at
 * each read-out; cross entropy on these two tokens only; score = P(+) / (P(+) + P(-)).
 * The implicit PRM (rewards.md 1): the whole base trains on outcomes, cross entropy of sigma(beta x
 * the log-ratio of the steps' tokens to the base that it began as), read once before training.
 *
 * Resumes bit-equal: documents are shuffled by address (seed, epoch), packed in that order; the
 * checkpoint beside the result holds weights, moments and the position; the best epoch's weights
 * lie in a second one. */
#include "reward/reward_impl.h"
#include "rung/loss.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { ROW_MIN_TOK = 256, WARMUP_STEPS = 10 };
#define CHECKPOINT_S 20.0
static const double LR_MIN_SHARE = 0.1; /* of lr, at the end of the cosine */

typedef struct token_doc {
    reward_layout l;
    int64_t example;
    double *ref; /* implicit: logprob of each token under the base */
    size_t at;   /* implicit: where it begins in the batch that holds it */
} token_doc;

/* What the implicit loss reads beside the batch: [B*T] each, label and weight [documents]. */
typedef struct ratio_batch {
    int32_t *next, *sample;
    double *mask, *ref, *logprob, *label, *weight;
    double *balance; /* [examples] weights of the training side */
    token_doc **doc; /* of each sample */
    int32_t n;
} ratio_batch;

typedef struct token_state { /* in the checkpoint */
    int32_t epoch, best_epoch;
    int64_t next, n_terms, n_tok; /* n_tok: read in all steps so far, no padding */
    double best_loss, sum;
} token_state;

typedef struct tuner {
    const reward_set *set;
    const rung_reward_train_opts *o;
    reward_defaults d;
    const rung_log *log;
    rung_net *net;
    token_doc *doc; /* one per example */
    int32_t n_row_tok, plus, minus;
    int32_t *tok, *which; /* a batch, [B*T] each; which: document in its row, -1 padding */
    float *target, *weight;
    int32_t *row_of; /* [B*T] the set's row that is read here, -1 none */
    uint32_t *order; /* the documents in hand, in order */
    double *p;       /* [set->n_rows] */
    int64_t n_tok_train;
    bool implicit;
    ratio_batch r;
    double beta;
    char *checkpoint, *best;
    token_state state;
} tuner;

static rung_status lay_out(tuner *w, rung_store *s, const rung_model *m, const reward_format *f,
                           rung_error *err) {
    rung_arena *a = rung_arena_new(0);
    if (!a) return rung_fail(err, RUNG_E_NOMEM, "no memory to read traces");
    int32_t longest = 0, n_ctx = rung_net_get_shape(w->net)->n_ctx;
    rung_status st = RUNG_OK;
    for (int64_t i = 0; i < w->set->n_examples && st == RUNG_OK; i++) {
        const reward_example *e = &w->set->example[i];
        const rung_trace *t;
        rung_iter *it = NULL;
        rung_problem p;
        bool spelled, by_step;
        token_doc *d = &w->doc[i];
        d->example = i;
        st = reward_trace_get(&t, &it, s, e->trace, err);
        if (st == RUNG_OK) st = rung_problem_get(s, &p, a, e->problem, err);
        if (st == RUNG_OK) st = reward_layout_make(&d->l, &spelled, &by_step, m, f, &p, t, err);
        rung_iter_free(it);
        rung_arena_reset(a);
        if (st != RUNG_OK) break;
        d->l.n_tok = d->l.at[w->set->step[e->first + e->n - 1]] + 1; /* up to the last read-out */
        if (d->l.n_tok > longest) longest = d->l.n_tok;
        if (!e->held) w->n_tok_train += d->l.n_tok;
    }
    rung_arena_free(a);
    if (st != RUNG_OK) return st;
    if (longest > n_ctx) /* reward_set_fit has left none that is longer than the base's file says */
        return rung_fail(err, RUNG_E_LIMIT, "a trace of %d tokens on a base with a context of %d",
                         longest, n_ctx);
    w->n_row_tok = longest > ROW_MIN_TOK ? longest : ROW_MIN_TOK < n_ctx ? ROW_MIN_TOK : n_ctx;
    return RUNG_OK;
}

/* The tokens of the steps are counted, each at the position before it, as scoring does. */
static void put_ratio(tuner *w, size_t at, token_doc *d) {
    const reward_example *e = &w->set->example[d->example];
    ratio_batch *r = &w->r;
    for (int32_t k = 0; k < d->l.n_at; k++) {
        for (int32_t p = d->l.begin[k]; p < d->l.end[k] && p < d->l.n_tok; p++) {
            if (p == 0) continue;
            size_t i = at + (size_t)p - 1;
            r->next[i] = d->l.tok[p];
            r->mask[i] = 1;
            r->sample[i] = r->n;
            r->ref[i] = d->ref[p];
        }
    }
    d->at = at;
    r->label[r->n] = (double)w->set->target[e->first];
    r->weight[r->n] = r->balance[d->example];
    r->doc[r->n++] = d;
}

static void put_doc(tuner *w, size_t at, int32_t number, token_doc *d) {
    const reward_example *e = &w->set->example[d->example];
    for (int32_t i = 0; i < d->l.n_tok; i++) {
        w->tok[at + (size_t)i] = d->l.tok[i];
        w->which[at + (size_t)i] = number;
    }
    if (w->implicit) {
        put_ratio(w, at, d);
        return;
    }
    for (int32_t r = e->first; r < e->first + e->n; r++) {
        size_t i = at + (size_t)d->l.at[w->set->step[r]];
        w->target[i] = w->set->target[r];
        w->weight[i] = 1.0f;
        w->row_of[i] = r;
    }
}

/* Fill a batch from order[*next...): row by row, a document goes into the first row it fits. */
static rung_batch pack(tuner *w, int64_t *next, int64_t n_docs) {
    size_t T = (size_t)w->n_row_tok, B = (size_t)w->d.batch, n = B * T;
    memset(w->tok, 0, n * sizeof *w->tok);
    memset(w->weight, 0, n * sizeof *w->weight);
    memset(w->target, 0, n * sizeof *w->target);
    for (size_t i = 0; i < n; i++) w->which[i] = w->row_of[i] = -1;
    for (size_t i = 0; w->implicit && i < n; i++) w->r.sample[i] = -1, w->r.mask[i] = 0;
    w->r.n = 0;
    size_t row = 0, used = 0;
    int32_t number = 0;
    for (; *next < n_docs; ++*next) {
        token_doc *d = &w->doc[w->order[*next]];
        if (used + (size_t)d->l.n_tok > T) row++, used = 0, number = 0;
        if (row == B) break;
        put_doc(w, row * T + used, number++, d);
        used += (size_t)d->l.n_tok;
    }
    return (rung_batch){
        .n_rows = w->d.batch, .n_tok = w->n_row_tok, .tok = w->tok, .doc = w->which};
}

static int64_t list_docs(tuner *w, bool train, bool held) {
    int64_t n = 0;
    for (int64_t i = 0; i < w->set->n_examples; i++)
        if (w->set->example[i].held ? held : train) w->order[n++] = (uint32_t)i;
    return n;
}

/* Logprobs of the batch's steps' tokens under the net as it is. */
static rung_status read_logprobs(tuner *w, const float *logits, rung_error *err) {
    return rung_loss_logprobs(w->r.logprob, logits, w->r.next, w->r.mask,
                              (int64_t)w->d.batch * w->n_row_tok,
                              rung_net_get_shape(w->net)->n_vocab, 1, err);
}

/* The base's own logprobs of every document, before the first step of training. */
static rung_status read_reference(tuner *w, rung_error *err) {
    int64_t n = list_docs(w, true, true), next = 0;
    while (next < n) {
        rung_batch b = pack(w, &next, n);
        const float *logits;
        RUNG_TRY(rung_net_forward(&logits, NULL, w->net, &b, err));
        RUNG_TRY(read_logprobs(w, logits, err));
        for (int32_t k = 0; k < w->r.n; k++) {
            token_doc *d = w->r.doc[k];
            for (int32_t p = 1; p < d->l.n_tok; p++) {
                size_t i = d->at + (size_t)p - 1;
                d->ref[p] = w->r.mask[i] > 0 ? w->r.logprob[i] : 0;
            }
        }
    }
    return RUNG_OK;
}

/* P(right) of each trace of the batch: sigma(beta x log-ratio). */
static rung_status predict_ratio(tuner *w, const float *logits, rung_error *err) {
    RUNG_TRY(read_logprobs(w, logits, err));
    for (int32_t k = 0; k < w->r.n; k++) {
        const token_doc *d = w->r.doc[k];
        double z = 0;
        for (int32_t p = 1; p < d->l.n_tok; p++) {
            size_t i = d->at + (size_t)p - 1;
            if (w->r.mask[i] > 0) z += w->r.logprob[i] - w->r.ref[i];
        }
        w->p[w->set->example[d->example].first] = 1 / (1 + exp(-w->beta * z));
    }
    return RUNG_OK;
}

/* p of every row of the listed documents. */
static rung_status predict(tuner *w, bool train, bool held, rung_error *err) {
    int64_t n = list_docs(w, train, held), next = 0;
    size_t V = (size_t)rung_net_get_shape(w->net)->n_vocab;
    while (next < n) {
        rung_batch b = pack(w, &next, n);
        const float *logits;
        RUNG_TRY(rung_net_forward(&logits, NULL, w->net, &b, err));
        if (w->implicit) {
            RUNG_TRY(predict_ratio(w, logits, err));
            continue;
        }
        size_t n_pos = (size_t)w->d.batch * (size_t)w->n_row_tok;
        for (size_t i = 0; i < n_pos; i++) {
            if (w->row_of[i] < 0) continue;
            const float *l = logits + i * V;
            w->p[w->row_of[i]] = 1.0 / (1.0 + exp((double)l[w->minus] - (double)l[w->plus]));
        }
    }
    return RUNG_OK;
}

static rung_status save_state(tuner *w, rung_error *err) {
    rung_event(w->log, RUNG_DEBUG, "reward.checkpoint", RUNG_I("at_step", rung_net_steps(w->net)));
    return rung_net_checkpoint(w->net, w->checkpoint, &w->state, sizeof w->state, err);
}

static rung_status load_state(tuner *w, rung_error *err) {
    w->state = (token_state){.best_epoch = -1, .best_loss = (double)INFINITY};
    if (access(w->checkpoint, F_OK) != 0) return RUNG_OK;
    RUNG_TRY(rung_net_resume(w->net, w->checkpoint, &w->state, sizeof w->state, err));
    rung_event(w->log, RUNG_INFO, "reward.resume", RUNG_I("epoch", w->state.epoch),
               RUNG_I("step", rung_net_steps(w->net)));
    return RUNG_OK;
}

static int64_t count_tokens(const tuner *w) {
    int64_t n = 0, n_pos = (int64_t)w->d.batch * w->n_row_tok;
    for (int64_t i = 0; i < n_pos; i++) n += w->which[i] >= 0;
    return n;
}

/* The live line and the curves; E_CANCELLED when whoever listens asks to stop. */
static rung_status tell_step(const tuner *w, int64_t n, double loss, double norm, double lr,
                             int64_t n_tok, double began, rung_error *err) {
    const token_state *t = &w->state;
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

static rung_loss_on_net ratio_loss(const tuner *w) {
    const ratio_batch *r = &w->r;
    rung_loss_on_net l = {.id = RUNG_LOSS_IMPLICIT_CE, .opts = RUNG_LOSS_OPTS_INIT, .tok = r->next};
    l.opts.beta = w->beta;
    l.data = (rung_loss_data){.n = (int64_t)w->d.batch * w->n_row_tok,
                              .mask = r->mask,
                              .sample = r->sample,
                              .ref = r->ref,
                              .n_samples = r->n,
                              .label = r->label,
                              .weight = r->weight};
    return l;
}

static rung_status train_epoch(tuner *w, rung_error *err) {
    token_state *t = &w->state;
    int64_t n = list_docs(w, true, false);
    rung_rng g = rung_rng_at(w->o->seed, RUNG_STREAM_SHUFFLE, (uint64_t)t->epoch, 0);
    rung_rng_shuffle(&g, w->order, (uint32_t)n);
    int64_t row_tok = (int64_t)w->d.batch * w->n_row_tok;
    int64_t total = w->d.epochs * (1 + w->n_tok_train / row_tok);
    double saved = rung_now();
    while (t->next < n) {
        rung_batch b = pack(w, &t->next, n);
        rung_loss_pair pair = {w->plus, w->minus, w->target, w->weight};
        rung_loss_on_net ratio = ratio_loss(w);
        rung_loss loss = w->implicit ? (rung_loss){rung_loss_on_net_fn, &ratio}
                                     : (rung_loss){rung_loss_pair_fn, &pair};
        double value, norm, began = rung_now();
        int64_t n_terms;
        RUNG_TRY(rung_net_grad(&value, &n_terms, w->net, &b, &loss, 1.0, err));
        rung_adamw opt = RUNG_ADAMW_INIT;
        opt.weight_decay = 0.01;
        opt.lr = rung_lr_at(RUNG_SCHEDULE_COSINE, w->d.lr, w->d.lr * LR_MIN_SHARE,
                            rung_net_steps(w->net), WARMUP_STEPS, total);
        RUNG_TRY(rung_net_step(&norm, w->net, &opt, err));
        if (w->implicit) n_terms = w->r.n; /* a trace is one term */
        t->sum += value * (double)n_terms;
        t->n_terms += n_terms;
        int64_t n_tok = count_tokens(w);
        t->n_tok += n_tok;
        rung_status st = tell_step(w, n, value, norm, opt.lr, n_tok, began, err);
        if (rung_now() - saved > CHECKPOINT_S || st == RUNG_E_CANCELLED) {
            RUNG_TRY(save_state(w, err));
            saved = rung_now();
        }
        RUNG_TRY(st);
    }
    return RUNG_OK;
}

static rung_status train_all(tuner *w, rung_error *err) {
    token_state *t = &w->state;
    while (t->epoch < w->d.epochs &&
           (t->best_epoch < 0 || t->epoch - t->best_epoch <= w->d.patience)) {
        RUNG_TRY(train_epoch(w, err));
        RUNG_TRY(predict(w, false, true, err));
        rung_reward_report r = {0};
        reward_measure(&r, w->p, w->set);
        double train_loss = t->sum / (double)t->n_terms;
        if (r.loss_held < t->best_loss) {
            t->best_loss = r.loss_held;
            t->best_epoch = t->epoch;
            RUNG_TRY(rung_net_checkpoint(w->net, w->best, t, sizeof *t, err));
        }
        t->epoch++;
        t->next = t->n_terms = 0;
        t->sum = 0.0;
        int stop = rung_event(w->log, RUNG_PROGRESS, "reward.epoch", RUNG_I("epoch", t->epoch),
                              RUNG_I("epochs", w->d.epochs),
                              RUNG_I("at_step", rung_net_steps(w->net)), RUNG_D("loss", train_loss),
                              RUNG_D("held_loss", r.loss_held), RUNG_D("held_auc", r.auc_held));
        RUNG_TRY(save_state(w, err)); /* told first: what is told is never behind the file */
        if (stop && t->epoch < w->d.epochs) {
            rung_fail(err, RUNG_E_CANCELLED, "training stopped after epoch %d", t->epoch);
            return rung_error_hint(err, "run the same command to go on");
        }
    }
    token_state best;
    return rung_net_resume(w->net, w->best, &best, sizeof best, err);
}

static rung_status reserve(tuner *w, rung_error *err) {
    size_t n = (size_t)w->d.batch * (size_t)w->n_row_tok;
    w->tok = rung_alloc(n * sizeof *w->tok);
    w->which = rung_alloc(n * sizeof *w->which);
    w->row_of = rung_alloc(n * sizeof *w->row_of);
    w->target = rung_alloc(n * sizeof *w->target);
    w->weight = rung_alloc(n * sizeof *w->weight);
    w->order = rung_alloc((size_t)w->set->n_examples * sizeof *w->order);
    w->p = rung_calloc((size_t)w->set->n_rows, sizeof *w->p);
    if (!w->tok || !w->which || !w->row_of || !w->target || !w->weight || !w->order || !w->p)
        return rung_fail(err, RUNG_E_NOMEM, "no memory for batches of %zu tokens", n);
    return RUNG_OK;
}

/* Weights of the training side's traces: plain, or both outcomes equally often. */
static rung_status balance_traces(tuner *w, rung_error *err) {
    int64_t n = w->set->n_examples;
    double *label = rung_alloc((size_t)n * sizeof *label);
    int32_t *group = rung_alloc((size_t)n * sizeof *group);
    rung_status st = RUNG_OK;
    if (!label || !group) RUNG_GOTO(rung_fail(err, RUNG_E_NOMEM, "no memory to weigh traces"));
    for (int64_t i = 0; i < n; i++) {
        const reward_example *e = &w->set->example[i];
        label[i] = (double)w->set->target[e->first];
        group[i] = e->held ? -1 : w->set->group[e->first]; /* of its problem */
    }
    RUNG_GOTO(
        rung_loss_weights(w->r.balance, (rung_loss_balance)w->o->balance, label, group, n, err));
out:
    rung_free(label);
    rung_free(group);
    return st;
}

static rung_status reserve_ratio(tuner *w, rung_error *err) {
    size_t n = (size_t)w->d.batch * (size_t)w->n_row_tok, n_docs = (size_t)w->set->n_examples;
    ratio_batch *r = &w->r;
    r->next = rung_calloc(n, sizeof *r->next);
    r->sample = rung_calloc(n, sizeof *r->sample);
    r->mask = rung_calloc(n, sizeof *r->mask);
    r->ref = rung_calloc(n, sizeof *r->ref);
    r->logprob = rung_calloc(n, sizeof *r->logprob);
    r->label = rung_calloc(n_docs, sizeof *r->label);
    r->weight = rung_calloc(n_docs, sizeof *r->weight);
    r->balance = rung_calloc(n_docs, sizeof *r->balance);
    r->doc = rung_calloc(n_docs, sizeof *r->doc);
    bool ok = r->next && r->sample && r->mask && r->ref && r->logprob && r->label && r->weight &&
              r->balance && r->doc;
    for (size_t i = 0; i < n_docs && ok; i++) {
        w->doc[i].ref = rung_calloc((size_t)w->doc[i].l.n_tok + 1, sizeof *w->doc[i].ref);
        ok = w->doc[i].ref != NULL;
    }
    if (!ok) return rung_fail(err, RUNG_E_NOMEM, "no memory for log-ratios of %zu traces", n_docs);
    RUNG_TRY(balance_traces(w, err));
    return read_reference(w, err);
}

static void clear_ratio(tuner *w) {
    void *all[] = {w->r.next,  w->r.sample, w->r.mask,    w->r.ref, w->r.logprob,
                   w->r.label, w->r.weight, w->r.balance, w->r.doc};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) rung_free(all[i]);
}

static rung_status tune(tuner *w, rung_reward_report *out, reward_keys *keys, rung_store *s,
                        const reward_format *f, const rung_model *m, rung_error *err) {
    w->plus = rung_model_token(m, REWARD_PLUS);
    w->minus = rung_model_token(m, REWARD_MINUS);
    if (!w->implicit && (w->plus < 0 || w->minus < 0)) {
        rung_fail(err, RUNG_E_MISMATCH, "\"%s\" has no tokens %s and %s", w->o->base_path,
                  REWARD_PLUS, REWARD_MINUS);
        return rung_error_hint(err, "train a head on it instead: --kind prm_head");
    }
    RUNG_TRY(rung_net_load(&w->net, w->o->base_path, err));
    RUNG_TRY(lay_out(w, s, m, f, err));
    RUNG_TRY(reserve(w, err));
    if (w->implicit) RUNG_TRY(reserve_ratio(w, err));
    RUNG_TRY(load_state(w, err));
    RUNG_TRY(train_all(w, err));
    RUNG_TRY(predict(w, true, true, err));
    *out = (rung_reward_report){.epochs = w->state.epoch};
    reward_measure(out, w->p, w->set);
    reward_keys_measure(keys, out);
    for (int i = 0; i < keys->n; i++) rung_net_set_meta(w->net, keys->key[i], keys->value[i]);
    const char *type = w->o->save_type ? w->o->save_type : "f16";
    RUNG_TRY(rung_net_save(w->net, w->o->out_path, type, err));
    unlink(w->checkpoint);
    unlink(w->best);
    return RUNG_OK;
}

rung_status reward_train_token(rung_reward_report *out, reward_keys *keys, rung_store *s,
                               const reward_set *set, const reward_format *f, const rung_model *m,
                               const rung_reward_train_opts *o, const rung_log *log,
                               rung_error *err) {
    tuner w = {.set = set, .o = o, .d = reward_defaults_of(o), .log = log};
    w.implicit = o->kind == RUNG_REWARD_PRM_IMPLICIT;
    w.beta = o->beta > 0 ? o->beta : 0.05;
    w.doc = rung_calloc((size_t)set->n_examples, sizeof *w.doc);
    char key[33];
    reward_keys_hash(key, keys);
    w.checkpoint = reward_beside(o->out_path, key, "checkpoint");
    w.best = reward_beside(o->out_path, key, "best");
    rung_status st = w.doc && w.checkpoint && w.best
                         ? tune(&w, out, keys, s, f, m, err)
                         : rung_fail(err, RUNG_E_NOMEM, "no memory to train");
    for (int64_t i = 0; w.doc && i < set->n_examples; i++) {
        reward_layout_clear(&w.doc[i].l);
        rung_free(w.doc[i].ref);
    }
    clear_ratio(&w);
    rung_free(w.doc);
    rung_free(w.tok);
    rung_free(w.which);
    rung_free(w.row_of);
    rung_free(w.target);
    rung_free(w.weight);
    rung_free(w.order);
    rung_free(w.p);
    rung_free(w.checkpoint);
    rung_free(w.best);
    rung_net_free(w.net);
    return st;
}
