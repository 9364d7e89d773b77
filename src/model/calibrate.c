/* Which type of weights, and how many sequences at once, are fastest here?
 * 1. The probe times the matrix products of every type that keeps what the file holds (seconds).
 * 2. The fastest is made and read against f32, the exact weights: its mean KL must stay below the
 *    bound, else it is no longer offered and the next is tried.
 * 3. The whole model is timed, as it is and so: a type that is not really faster is given up. */
#include "model/calibrate.h"

#include "model/model_impl.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MAX_S        20.0 /* of measuring */
#define KL_MAX       1e-3 /* nats */
#define N_READ       128  /* tokens that the models are compared on */
#define PROMPT_BYTES 80
#define N_WRITE      16   /* sequences of the last check */
#define MUST_GAIN    1.08 /* less is noise, and not worth the disk */
#define NEAR_BEST    0.95
#define SHARE_MIN    0.7 /* of the cores; at a load of 11 on two it was .07 */

static const int32_t n_at_once[RUNG_CALIBRATION_N] = {1, 4, 8, 16, 32, 64};

/* Prose, sums and code: what models are read on here. Written for this. */
static const char sample_text[] =
    "Question: A train leaves the station at 9:40 and reaches the coast at 12:15. It stops twice, "
    "for 5 minutes each. How long does it move?\n\nFirst, the whole journey takes 2 hours and 35 "
    "minutes, which is 155 minutes. The two stops take 2 * 5 = 10 minutes. So the train moves for "
    "155 - 10 = 145 minutes, or 2 hours and 25 minutes.\n\nThe old lighthouse keeper counted the "
    "ships every evening, although nobody had asked him to.\n\ndef mean(xs):\n    total = 0.0\n    "
    "for x in xs:\n        total += x\n    return total / len(xs) if xs else 0.0\n\nstart 17; +5; "
    "x2\n17+5=22\n22x2=44\n";

const char *rung_sample_text(void) {
    return sample_text;
}

typedef struct bench {
    const char *path, *hash;
    const rung_calibrate_opts *o;
    const rung_log *log;
    rung_calibration *c;
    rung_weights_fit fit[RUNG_WEIGHTS_COUNT];
    double t0, converting_s;
    int32_t n_threads; /* that are measured with; 1 on a busy machine */
    double scale;      /* a rate of all threads over the measured one */
} bench;

static double spent(const bench *b) {
    return rung_now() - b->t0 - b->converting_s;
}

static double best_rate(const rung_calibration_row *r) {
    double most = 0.0;
    for (int i = 0; i < RUNG_CALIBRATION_N; i++) most = fmax(most, r->tok_s[i]);
    return most;
}

int32_t rung_calibration_n_seq(const rung_calibration *c, rung_weights w) {
    if ((unsigned)w >= RUNG_WEIGHTS_AUTO || !c->type[w].measured) return 0;
    double most = best_rate(&c->type[w]);
    int i = 0;
    while (i + 1 < RUNG_CALIBRATION_N && c->type[w].tok_s[i] < NEAR_BEST * most) i++;
    return c->n[i];
}

/* Rate of n sequences: between two that were measured, on a line over log n. */
static double rate_at(const rung_calibration *c, rung_weights w, int32_t n) {
    const double *r = c->type[w].tok_s;
    int i = 1;
    while (i + 1 < RUNG_CALIBRATION_N && c->n[i] < n) i++;
    double a = log(c->n[i - 1]), x = (log(n) - a) / (log(c->n[i]) - a);
    return r[i - 1] + fmin(fmax(x, 0.0), 1.0) * (r[i] - r[i - 1]);
}

/* The fastest of those offered, checked or not. */
static rung_weights fastest(const rung_calibration *c) {
    rung_weights best = RUNG_WEIGHTS_AS_IS;
    double most = MUST_GAIN * best_rate(&c->type[best]);
    for (int w = 1; w < RUNG_WEIGHTS_AUTO; w++) {
        double r = best_rate(&c->type[w]);
        if (!c->type[w].offered || r <= most) continue;
        most = r;
        best = (rung_weights)w;
    }
    return best;
}

rung_weights rung_calibration_best(const rung_calibration *c, int32_t n_seq) {
    if (n_seq <= 0 || c->best == RUNG_WEIGHTS_AS_IS) return c->best;
    return rate_at(c, c->best, n_seq) > MUST_GAIN * rate_at(c, RUNG_WEIGHTS_AS_IS, n_seq)
               ? c->best
               : RUNG_WEIGHTS_AS_IS;
}

/* ---- 1: the probe */

static rung_status probe_sizes(bench *b, probe *p, const bool *want, rung_error *err) {
    rung_calibration *c = b->c;
    double max_s = b->o->max_s > 0 ? b->o->max_s : MAX_S;
    for (int i = 0; i < RUNG_CALIBRATION_N; i++) {
        double body[RUNG_WEIGHTS_COUNT], head[RUNG_WEIGHTS_COUNT];
        int reps = spent(b) < 0.15 * max_s ? 3 : 1;
        RUNG_TRY(rung_probe_time(body, head, p, want, c->n[i], b->n_threads, reps, err));
        for (int w = 0; w < RUNG_WEIGHTS_AUTO; w++) {
            if (!want[w]) continue;
            c->type[w].tok_s[i] = b->scale * c->n[i] / (body[w] + head[w]);
            c->type[w].read_s = b->scale * c->n[i] / body[w];
        }
        RUNG_TRY(rung_progress(b->log, "batch sizes", i + 1, RUNG_CALIBRATION_N, 0, err));
    }
    return RUNG_OK;
}

/* Tokens of one call while reading: the most that are as good; threads: half, if that is faster. */
static rung_status probe_rest(bench *b, probe *p, rung_error *err) {
    static const int32_t sizes[] = {128, 512};
    rung_calibration *c = b->c;
    bool want[RUNG_WEIGHTS_COUNT] = {false};
    double body[RUNG_WEIGHTS_COUNT], head[RUNG_WEIGHTS_COUNT], rate[2], most = 0.0;
    rung_weights w = fastest(c);
    want[w] = true;
    for (int i = 0; i < 2; i++) {
        RUNG_TRY(rung_probe_time(body, head, p, want, sizes[i], b->n_threads, 1, err));
        rate[i] = sizes[i] / body[w];
        most = fmax(most, rate[i]);
    }
    /* larger calls have less overhead, which is not seen here */
    c->n_batch = sizes[rate[1] >= NEAR_BEST * most];
    int32_t half = c->n_threads / 2, n = rung_calibration_n_seq(c, w);
    /* given, too few to halve, or measured on one */
    if (b->o->n_threads > 0 || half < 2 || b->n_threads == 1) return RUNG_OK;
    double all = 0.0, part = 0.0;
    RUNG_TRY(rung_probe_time(body, head, p, want, n, c->n_threads, 3, err));
    all = body[w] + head[w];
    RUNG_TRY(rung_probe_time(body, head, p, want, n, half, 3, err));
    part = body[w] + head[w];
    if (part * MUST_GAIN < all) c->n_threads = half;
    return RUNG_OK;
}

static rung_status run_probe(bench *b, rung_error *err) {
    rung_calibration *c = b->c;
    bool want[RUNG_WEIGHTS_COUNT] = {false};
    int64_t memory = rung_memory_available();
    probe *p = NULL;
    for (int w = 0; w < RUNG_WEIGHTS_AUTO; w++) {
        const rung_weights_fit *f = &b->fit[w];
        want[w] = w == RUNG_WEIGHTS_AS_IS || (f->keeps && f->changes && f->n_bytes < memory / 2);
        c->type[w].measured = c->type[w].offered = want[w];
    }
    RUNG_TRY(rung_probe_open(&p, b->path, want, err));
    double share = rung_probe_share(p, c->n_threads);
    if (share < SHARE_MIN && c->n_threads > 1) {
        b->n_threads = 1;
        b->scale = c->n_threads;
        c->busy = true;
        rung_event(b->log, RUNG_WARN, "calibrate.busy", RUNG_D("share_of_cores", share),
                   RUNG_S("so", "measured by the computing time of one thread"));
    }
    rung_status st = probe_sizes(b, p, want, err);
    if (st == RUNG_OK) st = probe_rest(b, p, err);
    rung_probe_close(p);
    return st;
}

/* ---- 2 and 3: the whole model */

static rung_status load_as(rung_model **m, bench *b, rung_weights w, rung_error *err) {
    rung_model_opts o = RUNG_MODEL_OPTS_INIT;
    double t = rung_now();
    o.weights = w;
    o.log = b->log;
    rung_status st = rung_model_load(m, b->path, &o, err);
    b->converting_s += rung_now() - t;
    return st;
}

static rung_status drop(void *ud, const rung_gen_out *o, rung_error *err) {
    (void)ud;
    (void)o;
    (void)err;
    return RUNG_OK;
}

/* Seconds per token of a few decodes of N_WRITE sequences; the prompt is read before. */
static rung_status time_writing(double *s, const bench *b, rung_engine *e, uint64_t seed,
                                int32_t n_tok, rung_error *err) {
    rung_engine_stats before, after;
    rung_engine_cb cb = {.on_gen = drop};
    const char *tail = sample_text + sizeof sample_text - 1 - PROMPT_BYTES; /* fits any context */
    rung_gen g = {.prompt = {NULL, tail, NULL},
                  .sampling = RUNG_SAMPLING_INIT,
                  .n = N_WRITE,
                  .max_tok = n_tok,
                  .seed = seed,
                  .stream = RUNG_STREAM_TEST};
    rung_engine_get_stats(&before, e);
    double t = rung_probe_clock(b->n_threads);
    RUNG_TRY(rung_engine_gen(e, &g, err));
    RUNG_TRY(rung_engine_run(e, &cb, err));
    rung_engine_get_stats(&after, e);
    /* the first token of each comes from the prompt's logits */
    int64_t n = after.n_generated - before.n_generated - N_WRITE;
    t = rung_probe_clock(b->n_threads) - t;
    if (n > 0 && (*s <= 0.0 || t / (double)n < *s)) *s = t / (double)n;
    return RUNG_OK;
}

static rung_status write_rates(bench *b, rung_model *as_is, rung_model *best, rung_error *err) {
    rung_engine *e[2] = {NULL, NULL};
    rung_model *m[2] = {as_is, best};
    rung_engine_opts o = RUNG_ENGINE_OPTS_INIT;
    double s[2] = {0.0, 0.0}, unused[2] = {0.0, 0.0};
    rung_status st = RUNG_OK;
    o.n_seq = N_WRITE;
    o.n_threads = b->n_threads;
    o.n_ctx = 512 * (N_WRITE + 8);
    for (int k = 0; k < 2; k++) {
        RUNG_GOTO(rung_engine_open(&e[k], m[k], &o, NULL, err));
        RUNG_GOTO(time_writing(&unused[k], b, e[k], 1, 2, err)); /* reads the prompt */
    }
    for (uint64_t i = 0; i < 2; i++) {
        for (int k = 0; k < 2; k++) RUNG_GOTO(time_writing(&s[k], b, e[k], 2 + i, 3, err));
    }
    b->c->write_as_is = s[0] > 0 ? b->scale / s[0] : 0.0;
    b->c->write_best = s[1] > 0 ? b->scale / s[1] : 0.0;
out:
    rung_engine_close(e[0]);
    rung_engine_close(e[1]);
    return st;
}

typedef struct verdict {
    bool close_enough, faster;
} verdict;

/* exact: the weights as f32, or NULL when they cannot be had; then as-is is the measure. */
static rung_status judge(verdict *v, bench *b, rung_model *as_is, rung_model *best,
                         rung_model *exact, rung_error *err) {
    rung_calibration *c = b->c;
    rung_comparison x, y = {0};
    int32_t *tok = NULL, n_tok = 0;
    double kl_max = b->o->kl_max > 0 ? b->o->kl_max : KL_MAX;
    rung_status st = RUNG_OK;
    RUNG_TRY(rung_model_tokenize(&tok, &n_tok, as_is, sample_text, strlen(sample_text), true, false,
                                 err));
    if (n_tok > N_READ) n_tok = N_READ;
    RUNG_GOTO(
        rung_model_compare(&x, exact ? exact : best, as_is, tok, n_tok, b->n_threads, NULL, err));
    c->n_kl = x.n_tokens;
    c->read_as_is = b->scale * x.n_tokens / x.wall_b_s;
    c->read_best = b->scale * x.n_tokens / x.wall_a_s;
    if (exact && best != exact) {
        RUNG_GOTO(rung_model_compare(&y, exact, best, tok, n_tok, b->n_threads, NULL, err));
        c->read_best = b->scale * y.n_tokens / y.wall_b_s;
    }
    c->kl_as_is = exact ? x.mean_kl : 0.0;
    c->kl_best = exact ? y.mean_kl : x.mean_kl;
    v->close_enough = c->kl_best < kl_max;
    if (v->close_enough) RUNG_GOTO(write_rates(b, as_is, best, err));
    v->faster = c->write_best > c->write_as_is || c->read_best > c->read_as_is;
out:
    rung_free(tok);
    return st;
}

/* The f32 file is there for the comparison only, unless it was there before or is the choice. */
static void remove_f32(const bench *b) {
    rung_buf name;
    rung_buf_init(&name, 8192);
    if (rung_weights_path(&name, b->hash, RUNG_WEIGHTS_F32, NULL) == RUNG_OK) unlink(name.data);
    rung_buf_clear(&name);
}

static rung_status check(verdict *v, bench *b, rung_weights w, rung_error *err) {
    rung_model *as_is = NULL, *best = NULL, *exact = NULL;
    bool f32_here = b->fit[RUNG_WEIGHTS_F32].made || !b->fit[RUNG_WEIGHTS_F32].changes;
    bool f32_fits = b->c->type[RUNG_WEIGHTS_F32].measured || !b->fit[RUNG_WEIGHTS_F32].changes;
    rung_status st = RUNG_OK;
    *v = (verdict){false, false};
    RUNG_GOTO(load_as(&as_is, b, RUNG_WEIGHTS_AS_IS, err));
    st = load_as(&best, b, w, err);
    if (st == RUNG_E_FULL || st == RUNG_E_IO || st == RUNG_E_LIMIT) { /* cannot be had here */
        rung_event(b->log, RUNG_WARN, "calibrate.cannot", RUNG_S("type", rung_weights_name(w)),
                   RUNG_S("why", err ? err->what : ""));
        st = RUNG_OK;
        goto out;
    }
    if (st != RUNG_OK) goto out;
    if (f32_fits && w != RUNG_WEIGHTS_F32) {
        rung_error ignored = RUNG_ERROR_INIT;
        st = load_as(&exact, b, RUNG_WEIGHTS_F32, &ignored);
        if (st == RUNG_E_CANCELLED && err) *err = ignored;
        if (st == RUNG_E_CANCELLED) goto out;
    }
    st = judge(v, b, as_is, best, w == RUNG_WEIGHTS_F32 ? best : exact, err);
out:
    if (exact && !f32_here) remove_f32(b);
    rung_model_free(as_is);
    rung_model_free(best);
    rung_model_free(exact);
    return st;
}

static rung_status measure(bench *b, rung_error *err) {
    rung_calibration *c = b->c;
    RUNG_TRY(rung_weights_fits_of(b->fit, b->path, b->hash, err));
    RUNG_TRY(run_probe(b, err));
    for (;;) {
        verdict v;
        c->best = fastest(c);
        if (c->best == RUNG_WEIGHTS_AS_IS) break;
        RUNG_TRY(check(&v, b, c->best, err));
        if (v.close_enough && v.faster) break;
        c->type[c->best].offered = false;
    }
    c->n_seq = rung_calibration_n_seq(c, c->best);
    return RUNG_OK;
}

static rung_status calibrate(rung_calibration *out, const char *path, const char *hash,
                             const rung_calibrate_opts *o, const rung_log *log, rung_error *err) {
    bench b = {.path = path, .hash = hash, .o = o, .log = log, .c = out, .t0 = rung_now()};
    memset(out, 0, sizeof *out);
    snprintf(out->model, sizeof out->model, "%s", hash);
    rung_machine_id(out->machine, out->cpu);
    snprintf(out->llama, sizeof out->llama, "%s", llama_version());
    out->n_cores = rung_n_cores();
    out->n_threads = o->n_threads > 0 ? o->n_threads : out->n_cores;
    b.n_threads = out->n_threads;
    b.scale = 1.0;
    memcpy(out->n, n_at_once, sizeof out->n);
    rung_event(log, RUNG_INFO, "calibrate", RUNG_S("model", path), RUNG_S("cpu", out->cpu),
               RUNG_I("threads", out->n_threads));
    RUNG_TRY(measure(&b, err));
    out->made_ms = rung_unix_ms();
    out->wall_s = rung_now() - b.t0;
    rung_event(log, RUNG_INFO, "calibrated", RUNG_S("weights", rung_weights_name(out->best)),
               RUNG_I("sequences", out->n_seq), RUNG_I("batch", out->n_batch),
               RUNG_I("threads", out->n_threads), RUNG_D("wall_s", out->wall_s));
    rung_error e = RUNG_ERROR_INIT; /* measured is measured: the next process does it again */
    if (rung_calibration_put(out, &e) != RUNG_OK) {
        rung_event(log, RUNG_WARN, "calibrate.not_kept", RUNG_S("why", e.what));
    }
    return RUNG_OK;
}

static rung_status with_hash(rung_calibration *out, const char *path, const char *hash,
                             const rung_calibrate_opts *o, const rung_log *log, rung_error *err) {
    bool found = false;
    if (!o->again && rung_calibration_read(out, &found, hash, NULL) == RUNG_OK && found) {
        return RUNG_OK;
    }
    return calibrate(out, path, hash, o, log, err);
}

rung_status rung_calibrate(rung_calibration *out, const char *path, const rung_calibrate_opts *opts,
                           const rung_log *log, rung_error *err) {
    rung_calibrate_opts o = RUNG_CALIBRATE_OPTS_INIT;
    char hash[33];
    if (opts && opts->struct_size > sizeof o) {
        return rung_fail(err, RUNG_E_INVAL, "rung_calibrate_opts is of a newer version");
    }
    if (opts) memcpy(&o, opts, opts->struct_size);
    RUNG_TRY(rung_hash_file(hash, path, err));
    rung_llama_backend();
    return with_hash(out, path, hash, &o, log, err);
}

rung_status rung_weights_choose_of(rung_weights *out, const char *path, const char *hash,
                                   int32_t n_seq, const rung_log *log, rung_error *err) {
    rung_calibrate_opts o = RUNG_CALIBRATE_OPTS_INIT;
    rung_calibration c;
    rung_buf at;
    rung_error e = RUNG_ERROR_INIT;
    *out = RUNG_WEIGHTS_AS_IS;
    RUNG_TRY(with_hash(&c, path, hash, &o, log, err));
    rung_weights w = rung_calibration_best(&c, n_seq);
    rung_buf_init(&at, 8192);
    rung_status st = rung_weights_file_of(&at, path, hash, w, log, &e);
    rung_buf_clear(&at);
    if (st == RUNG_OK) {
        *out = w;
        return RUNG_OK;
    }
    if (st != RUNG_E_FULL && st != RUNG_E_IO) {
        if (err) *err = e;
        return st;
    }
    rung_event(log, RUNG_WARN, "weights.as_is", RUNG_S("instead_of", rung_weights_name(w)),
               RUNG_S("why", e.what));
    return RUNG_OK;
}

rung_status rung_weights_choose(rung_weights *out, const char *path, int32_t n_seq,
                                const rung_log *log, rung_error *err) {
    char hash[33];
    RUNG_TRY(rung_hash_file(hash, path, err));
    rung_llama_backend();
    return rung_weights_choose_of(out, path, hash, n_seq, log, err);
}
