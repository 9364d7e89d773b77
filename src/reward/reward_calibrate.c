/* Fitting a calibration on stored scores of problems that the model was not trained on, choosing
 * the threshold, writing both into the model's file (feedback.md 10.6). */
#include "base/grow.h"
#include "reward/reward_calibration.h"
#include "reward/reward_impl.h"
#include "trace/flow.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { ECE_BINS = 15, FOLDS = 5, LEAST = 25 };

/* Labelled, scored steps; case i (a trace) has items first[i] .. first[i+1]-1. */
typedef struct sample {
    double *score, *y, *p; /* [n]; p: through the map */
    int32_t *step;
    int64_t n, cap;
    int64_t *first, *problem; /* [n_cases + 1], [n_cases] */
    int32_t *label;           /* [n_cases]: its first error, -1 none */
    int64_t n_cases, cap_cases;
    int64_t n_problems;
    reward_calibration c;
} sample;

static void sample_clear(sample *s) {
    rung_free(s->score);
    rung_free(s->y);
    rung_free(s->p);
    rung_free(s->step);
    rung_free(s->first);
    rung_free(s->problem);
    rung_free(s->label);
    reward_calibration_clear(&s->c);
}

static rung_status grow(sample *s, int32_t n_steps, rung_error *err) {
    const grow_array steps[] = {GROW_ARRAY(s->score), GROW_ARRAY(s->y), GROW_ARRAY(s->p),
                                GROW_ARRAY(s->step)};
    const grow_array cases[] = {GROW_ARRAY(s->first), GROW_ARRAY(s->problem), GROW_ARRAY(s->label)};
    if (!grow_arrays(&s->cap, s->n + n_steps, steps, sizeof steps / sizeof *steps))
        return rung_fail(err, RUNG_E_NOMEM, "no memory for %lld steps", (long long)s->n + n_steps);
    if (!grow_arrays(&s->cap_cases, s->n_cases + 2, cases, sizeof cases / sizeof *cases))
        return rung_fail(err, RUNG_E_NOMEM, "no memory for %lld traces", (long long)s->n_cases);
    return RUNG_OK;
}

/* What is said of step k: 1 right, 0 wrong, NaN nothing. */
static rung_status label_of(double *y, rung_store *store, const rung_trace *t, int32_t k,
                            const rung_calibrate_opts *o, rung_error *err) {
    rung_label l;
    bool found = false;
    RUNG_TRY(
        rung_label_get(&l, &found, store, o->label_run, t->step[k].node, o->label_source, err));
    *y = !found             ? (double)NAN
         : l.hard >= 0      ? (double)l.hard
         : isfinite(l.soft) ? (double)(l.soft > 0.5)
                            : (double)NAN;
    if (!found && !strcmp(o->label_source, "truth")) *y = rung_trace_truth(t, k);
    return RUNG_OK;
}

typedef struct gatherer {
    sample s;
    const rung_reward *r;
    rung_store *store;
    const rung_calibrate_opts *o;
    int64_t model; /* the raw model's row */
    int64_t last_problem;
    bool left_out;
    rung_calibrate_report *out;
} gatherer;

static rung_status next_problem(gatherer *g, int64_t id, rung_error *err) {
    if (id == g->last_problem) return RUNG_OK;
    rung_arena *a = rung_arena_new(0);
    rung_problem p;
    if (!a) return rung_fail(err, RUNG_E_NOMEM, "no memory for a problem");
    rung_status st = rung_problem_get(g->store, &p, a, id, err);
    if (st == RUNG_OK) g->left_out = !g->o->all_problems && rung_reward_trained_on(g->r, &p) == 1;
    rung_arena_free(a);
    g->last_problem = id;
    return st;
}

/* Steps up to the first wrong one, as training reads them (labels.md 0.1); an outcome model's leaf.
 */
static rung_status add_trace(gatherer *g, const rung_trace *t, rung_error *err) {
    sample *s = &g->s;
    bool outcome = reward_of_outcome(g->r);
    int32_t first_wrong = -1, n = 0;
    RUNG_TRY(grow(s, t->n_steps, err));
    for (int32_t k = outcome ? t->n_steps - 1 : 0; k < t->n_steps && first_wrong < 0; k++) {
        double value, y;
        bool found;
        RUNG_TRY(rung_score_get(&value, &found, g->store, t->step[k].node, g->model, err));
        if (!found) {
            g->out->n_unscored++;
            return RUNG_OK;
        }
        if (outcome)
            y = t->verdict == RUNG_VERDICT_UNKNOWN ? (double)NAN
                                                   : (double)(t->verdict == RUNG_VERDICT_CORRECT);
        else
            RUNG_TRY(label_of(&y, g->store, t, k, g->o, err));
        if (isnan(y)) break; /* what comes after it is not known to be before the first error */
        s->score[s->n + n] = value;
        s->y[s->n + n] = y;
        s->step[s->n + n] = k;
        if (y < 0.5) first_wrong = n;
        n++;
    }
    if (n == 0) {
        g->out->n_unlabelled++;
        return RUNG_OK;
    }
    if (s->n_cases == 0 || s->problem[s->n_cases - 1] != t->problem) s->n_problems++;
    s->problem[s->n_cases] = t->problem;
    s->label[s->n_cases] = first_wrong;
    s->first[s->n_cases] = s->n;
    s->n += n;
    s->first[++s->n_cases] = s->n;
    return RUNG_OK;
}

static rung_status gather(gatherer *g, rung_error *err) {
    rung_iter *it = NULL;
    const rung_trace *t;
    RUNG_TRY(rung_trace_iter(&it, g->store, &g->o->traces, err));
    rung_status st;
    while ((st = rung_trace_next(&t, it, err)) == RUNG_OK) {
        if ((st = next_problem(g, t->problem, err)) != RUNG_OK) break;
        if (g->left_out)
            g->out->n_left_out++;
        else if (t->n_steps > 0 && (st = add_trace(g, t, err)) != RUNG_OK)
            break;
    }
    rung_iter_free(it);
    return st == RUNG_DONE ? RUNG_OK : st;
}

/* Fitting -------------------------------------------------------------------------------------- */

/* Items of the cases that `in` says, into score and y; step -1: of every step. */
static int64_t select_items(double *score, double *y, const sample *s, const bool *in,
                            int32_t step) {
    int64_t n = 0;
    for (int64_t i = 0; i < s->n_cases; i++) {
        if (in && !in[i]) continue;
        for (int64_t k = s->first[i]; k < s->first[i + 1]; k++) {
            if (step >= 0 && s->step[k] != step) continue;
            score[n] = s->score[k];
            y[n++] = s->y[k];
        }
    }
    return n;
}

/* Maps of the chosen cases (NULL: all). The room holds 2 x s->n numbers. */
static bool fit_maps(reward_calibration *c, const sample *s, const bool *in, double *room,
                     const rung_calibrate_opts *o) {
    double *score = room, *y = room + s->n;
    int64_t least = o->least > 0 ? o->least : LEAST, n = select_items(score, y, s, in, -1);
    if (!reward_map_fit(&c->all, c, score, y, n)) return false;
    for (int32_t k = 0; o->by_position && k < REWARD_POSITIONS; k++) {
        int64_t right = 0;
        n = select_items(score, y, s, in, k);
        for (int64_t i = 0; i < n; i++) right += y[i] > 0.5;
        if (right < least || n - right < least) continue;
        if (!reward_map_fit(&c->at[k], c, score, y, n)) reward_map_clear(&c->at[k]);
    }
    return true;
}

static void figures(rung_calibrate_report *out, int which, const double *p, const sample *s) {
    out->nll[which] = rung_nll(p, s->y, s->n);
    out->brier[which] = rung_brier(p, s->y, s->n);
    out->ece[which] = rung_ece(p, s->y, s->n, ECE_BINS);
}

/* p of every case by maps of the other folds; a fold of which the rest cannot be fitted keeps what
 * the maps of all say. Fold: by the place of the problem, so that its traces stay together. */
static rung_status cross_fit(const sample *s, double *room, const rung_calibrate_opts *o,
                             rung_error *err) {
    bool *in = rung_alloc((size_t)s->n_cases);
    int32_t *fold = rung_alloc((size_t)s->n_cases * sizeof *fold), at = -1;
    if (!in || !fold) {
        rung_free(in);
        rung_free(fold);
        return rung_fail(err, RUNG_E_NOMEM, "no memory for %lld traces", (long long)s->n_cases);
    }
    for (int64_t i = 0; i < s->n_cases; i++) {
        if (i == 0 || s->problem[i] != s->problem[i - 1]) at++;
        fold[i] = at % FOLDS;
    }
    for (int32_t f = 0; f < FOLDS; f++) {
        reward_calibration c = {.method = s->c.method, .logit = s->c.logit};
        for (int64_t i = 0; i < s->n_cases; i++) in[i] = fold[i] != f;
        const reward_calibration *use = fit_maps(&c, s, in, room, o) ? &c : &s->c;
        for (int64_t i = 0; i < s->n_cases; i++)
            for (int64_t k = s->first[i]; fold[i] == f && k < s->first[i + 1]; k++)
                s->p[k] = reward_calibration_at(use, s->score[k], s->step[k]);
        reward_calibration_clear(&c);
    }
    rung_free(in);
    rung_free(fold);
    return RUNG_OK;
}

/* Scores before the map, as probabilities. */
static double as_probability(const reward_calibration *c, double score) {
    return c->logit ? 1.0 / (1.0 + exp(-score)) : score;
}

static rung_status fit(gatherer *g, rung_error *err) {
    sample *s = &g->s;
    rung_calibrate_report *out = g->out;
    double *room = rung_alloc((2 * (size_t)s->n + 1) * sizeof *room);
    rung_status st = RUNG_OK;
    if (!room) return rung_fail(err, RUNG_E_NOMEM, "no memory for %lld steps", (long long)s->n);
    if (!fit_maps(&s->c, s, NULL, room, g->o)) {
        st = rung_fail(err, RUNG_E_FORMAT,
                       "%lld labelled steps: %s cannot be fitted on them (one class, or no least)",
                       (long long)s->n, rung_calibration_name(s->c.method));
        rung_error_hint(err, "label more traces, right and wrong ones, or take --method platt");
    }
    if (st == RUNG_OK) {
        for (int64_t k = 0; k < s->n; k++) s->p[k] = as_probability(&s->c, s->score[k]);
        figures(out, 0, s->p, s);
        st = cross_fit(s, room, g->o, err);
    }
    if (st == RUNG_OK) {
        if (s->c.method != RUNG_CALIBRATION_NONE) figures(out, 1, s->p, s);
        for (int64_t k = 0; k < s->n; k++)
            s->p[k] = reward_calibration_at(&s->c, s->score[k], s->step[k]);
        rung_error e = RUNG_ERROR_INIT; /* without wrong traces or right ones there is none */
        s->c.threshold = (double)NAN;
        st = rung_first_error_threshold(&out->threshold, &out->f1, s->p, s->first, s->label,
                                        s->n_cases, &e);
        if (st == RUNG_OK) s->c.threshold = out->threshold;
        if (st == RUNG_E_FORMAT) out->threshold = (double)NAN, st = RUNG_OK;
        if (st != RUNG_OK && err) *err = e;
    }
    for (int i = 0; i < REWARD_POSITIONS; i++) out->n_maps += s->c.at[i].fitted;
    bool a = s->c.all.fitted && s->c.method != RUNG_CALIBRATION_ISOTONIC;
    out->a = a ? s->c.all.a : (double)NAN;
    out->b = a ? s->c.all.b : (double)NAN;
    out->temperature = s->c.method == RUNG_CALIBRATION_TEMPERATURE ? 1.0 / s->c.all.a : (double)NAN;
    rung_free(room);
    return st;
}

/* The file ------------------------------------------------------------------------------------- */

static void print_all(rung_buf *b, const gatherer *g) {
    const rung_calibrate_report *o = g->out;
    rung_buf_str(b, "{\"v\":1,");
    reward_calibration_print(b, &g->s.c);
    rung_buf_str(b, ",\"label_source\":");
    const char *source = reward_of_outcome(g->r) ? "verdict" : g->o->label_source;
    rung_buf_json_str(b, source, strlen(source));
    rung_buf_printf(b, ",\"problems\":\"%s\"",
                    g->o->all_problems ? "all, also those it was trained on"
                    : o->trained_known ? "not those it was trained on"
                                       : "all: its file does not name those it was trained on");
    rung_buf_printf(b,
                    ",\"n_steps\":%lld,\"n_traces\":%lld,\"n_problems\":%lld,\"by_position\":%s}",
                    (long long)o->n_steps, (long long)o->n_traces, (long long)o->n_problems,
                    g->o->by_position ? "true" : "false");
}

static rung_status write_file(const gatherer *g, rung_error *err) {
    const rung_reward *r = g->r;
    rung_gguf *from = NULL;
    rung_gguf_writer *w = rung_gguf_writer_new();
    rung_buf b, yaml;
    rung_buf_init(&b, (size_t)1 << 28);
    rung_buf_init(&yaml, 1u << 20);
    print_all(&b, g);
    bool foreign = !rung_gguf_has(r->file, "rung.reward.kind") &&
                   !rung_gguf_has(r->file, "rung.reward.format");
    if (foreign) reward_format_print(&yaml, &r->format, true);
    rung_status st = RUNG_OK;
    if (!w) RUNG_GOTO(rung_fail(err, RUNG_E_NOMEM, "no memory to write \"%s\"", g->o->out_path));
    RUNG_GOTO(rung_buf_check(&b, err));
    RUNG_GOTO(rung_buf_check(&yaml, err));
    RUNG_GOTO(rung_gguf_open(&from, r->path, err));
    rung_gguf_put_all(w, from);
    rung_gguf_put_str(w, "rung.reward.calibration", b.data);
    if (foreign) rung_gguf_put_str(w, "rung.reward.format", yaml.data);
    for (int64_t i = 0; i < rung_gguf_n_tensors(from); i++)
        rung_gguf_put_copy(w, rung_gguf_tensor_name(from, i), from);
    st = rung_gguf_write(w, g->o->out_path, err);
out:
    rung_gguf_writer_free(w);
    rung_gguf_free(from);
    rung_buf_clear(&b);
    rung_buf_clear(&yaml);
    return st;
}

static rung_status check_opts(const rung_reward *r, const rung_calibrate_opts *o, rung_error *err) {
    if (!o || o->struct_size != sizeof *o)
        return rung_fail(err, RUNG_E_INVAL, "rung_calibrate_opts of another size");
    if ((unsigned)o->method >= RUNG_CALIBRATION_COUNT)
        return rung_fail(err, RUNG_E_INVAL, "no calibration %d", (int)o->method);
    if (!o->out_path || (!reward_of_outcome(r) && !o->label_source))
        return rung_fail(err, RUNG_E_INVAL, "a source of labels and a path are needed");
    if (r->file) return RUNG_OK;
    rung_fail(err, RUNG_E_INVAL, "%s has no file to keep a calibration in",
              rung_reward_kind_name(r->kind));
    return rung_error_hint(err, "make an ensemble of it alone: rung reward ensemble --member %s",
                           rung_reward_kind_name(r->kind));
}

static rung_status nothing(const gatherer *g, rung_error *err) {
    const rung_calibrate_report *o = g->out;
    if (o->n_left_out && !o->n_unscored && !o->n_unlabelled) {
        rung_fail(err, RUNG_E_NOT_FOUND,
                  "all %lld traces are of problems that the model was trained on",
                  (long long)o->n_left_out);
        return rung_error_hint(err, "calibrate on others, or ask for them: --problems all");
    }
    rung_fail(err, RUNG_E_NOT_FOUND,
              "no trace is scored and labelled: %lld without scores, %lld without labels \"%s\"",
              (long long)o->n_unscored, (long long)o->n_unlabelled,
              g->o->label_source ? g->o->label_source : "verdict");
    return rung_error_hint(err, "rung reward score first, with the model as it is");
}

rung_status rung_reward_calibrate(rung_calibrate_report *out, const rung_reward *r, rung_store *s,
                                  const rung_calibrate_opts *o, const rung_log *log,
                                  rung_error *err) {
    rung_calibrate_report report = {0};
    RUNG_TRY(check_opts(r, o, err));
    gatherer *g = rung_calloc(1, sizeof *g);
    if (!g) return rung_fail(err, RUNG_E_NOMEM, "no memory to calibrate");
    *g = (gatherer){.r = r, .store = s, .o = o, .last_problem = -1, .out = &report};
    g->s.c.method = o->method;
    g->s.c.logit = r->format.score == REWARD_READOUT_LOG_RATIO && r->format.plain;
    memcpy(g->s.c.raw_hash, reward_raw_hash(r), 33);
    report.trained_known = reward_trained_known(r);
    for (int i = 0; i < 2; i++) report.nll[i] = report.brier[i] = report.ece[i] = (double)NAN;
    report.f1 = report.threshold = (double)NAN;
    rung_status st = reward_raw_model(&g->model, r, s, err);
    if (st == RUNG_OK && g->model) st = gather(g, err);
    if (st == RUNG_OK && g->s.n == 0) st = nothing(g, err);
    report.n_steps = g->s.n;
    report.n_traces = g->s.n_cases;
    report.n_problems = g->s.n_problems;
    if (st == RUNG_OK) st = fit(g, err);
    if (st == RUNG_OK) st = write_file(g, err);
    if (st == RUNG_OK)
        rung_event(log, report.trained_known ? RUNG_INFO : RUNG_WARN, "reward.calibrated",
                   RUNG_S("path", o->out_path), RUNG_S("method", rung_calibration_name(o->method)),
                   RUNG_I("steps", report.n_steps), RUNG_I("problems", report.n_problems),
                   RUNG_I("left_out", report.n_left_out), RUNG_D("ece_before", report.ece[0]),
                   RUNG_D("ece_after", report.ece[1]), RUNG_D("threshold", report.threshold));
    if (st == RUNG_OK && out) *out = report;
    sample_clear(&g->s);
    rung_free(g);
    return st;
}

/* What the model says of itself -----------------------------------------------------------------
 */

double rung_reward_threshold(const rung_reward *r) {
    return r->calibration.json ? r->calibration.threshold : (double)NAN;
}

const char *rung_reward_calibration(const rung_reward *r) {
    return r->calibration.json;
}

double rung_reward_calibrated(const rung_reward *r, double score, int32_t step) {
    return r->calibration.json ? reward_calibration_at(&r->calibration, score, step) : score;
}

const char *reward_raw_hash(const rung_reward *r) {
    return r->calibration.json ? r->calibration.raw_hash : r->hash;
}

rung_status reward_raw_model(int64_t *model, const rung_reward *r, rung_store *s, rung_error *err) {
    rung_arena *a = rung_arena_new(0);
    if (!a) return rung_fail(err, RUNG_E_NOMEM, "no memory for a model");
    const char *hash = reward_raw_hash(r), *kind = reward_row_kind(r);
    rung_status st = RUNG_OK;
    *model = 0;
    for (int64_t i = 1; st == RUNG_OK && *model == 0; i++) { /* rows are never deleted */
        rung_model_row m;
        st = rung_model_get(&m, a, s, i, err);
        if (st == RUNG_OK && !strcmp(m.hash, hash) && !strcmp(m.kind, kind)) *model = i;
    }
    if (st == RUNG_E_NOT_FOUND) st = RUNG_OK;
    rung_arena_free(a);
    return st;
}

bool reward_trained_known(const rung_reward *r) {
    rung_problem any = {.set = "", .key = ""};
    return rung_reward_trained_on(r, &any) >= 0;
}

/* The addresses of the training problems, ascending: 16 hex digits each. */
int rung_reward_trained_on(const rung_reward *r, const rung_problem *p) {
    if (r->n_members) { /* any of them; not known of one: not known */
        int most = 0;
        for (int32_t i = 0; i < r->n_members; i++) {
            int one = rung_reward_trained_on(r->member[i], p);
            if (one == 1 || (one < 0 && most == 0)) most = one;
        }
        return most;
    }
    if (r->kind == RUNG_REWARD_CONFIDENCE) return 0; /* never trained */
    const char *list = rung_reward_key(r, "trained_on", NULL);
    if (!list) return -1;
    char want[17];
    snprintf(want, sizeof want, "%016llx", (unsigned long long)rung_problem_address(p));
    size_t lo = 0, hi = strlen(list) / 16;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int c = memcmp(list + 16 * mid, want, 16);
        if (c == 0) return 1;
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return 0;
}
