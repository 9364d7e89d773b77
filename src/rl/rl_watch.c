/* Alarms: each series of a run against its own start, in windows. */
#include "rung/rl.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef enum series {
    REWARD,
    VERIFIER,
    KL,
    ENTROPY,
    LENGTH,
    STEPS,
    REPEATS,
    UNDIVIDED,
    FLAT,
    AGREEMENT,
    GRAD
} series;

static const char *const names[RUNG_ALARM_COUNT] = {
#define X(id, name, help) name,
    RUNG_ALARMS(X)
#undef X
};
static const char *const helps[RUNG_ALARM_COUNT] = {
#define X(id, name, help) help,
    RUNG_ALARMS(X)
#undef X
};
const char *rung_alarm_name(rung_alarm a) {
    return (unsigned)a < RUNG_ALARM_COUNT ? names[a] : "?";
}
const char *rung_alarm_help(rung_alarm a) {
    return (unsigned)a < RUNG_ALARM_COUNT ? helps[a] : "?";
}

/* Shares may move so far, and gradients grow so much, before it is told. */
#define SHARE_MORE   0.2
#define FLAT_MAX     0.9
#define ENTROPY_LEFT 0.1
#define GRAD_MORE    20.0
#define TWICE        2.0

/* Mean and sd of a series' last rows; n of them known. */
static int window_of(double *mean, double *sd, const rung_watch *w, series s, int n) {
    double sum = 0, m2 = 0;
    int known = 0;
    for (int i = 0; i < n; i++) {
        double x = w->ring[s][i];
        if (!isfinite(x)) continue;
        known++;
        double move = x - sum;
        sum += move / known;
        m2 += move * (x - sum);
    }
    *mean = sum;
    *sd = known > 1 ? sqrt(m2 / (known - 1)) : 0;
    return known;
}

typedef struct look {
    rung_watch *w;
    const rung_watch_row *row;
    rung_watch_opts o;
    int n;
    uint32_t now;
    char *say;
    size_t n_say;
} look;

static void raise_alarm(look *k, rung_alarm a, double seen, double was, const char *what) {
    k->now |= 1u << a;
    if (k->w->on & (1u << a)) return;
    int n = snprintf(k->say, k->n_say, "step %lld: %s: %s %.4g, at the start %.4g\n",
                     (long long)k->row->step, names[a], what, seen, was);
    if (n > 0 && (size_t)n < k->n_say) {
        k->say += n;
        k->n_say -= (size_t)n;
    }
}

/* A mean that is farther from its start than what windows differ by. */
static bool sure(const look *k, double diff, double sd_a, double sd_b) {
    return fabs(diff) > k->o.sigmas * sqrt((sd_a * sd_a + sd_b * sd_b) / k->n);
}

static void look_twice(look *k, rung_alarm a, series s, const char *what) {
    double mean, sd, was = k->w->base[s];
    if (window_of(&mean, &sd, k->w, s, k->n) < k->n || !isfinite(was) || was <= 0) return;
    if ((mean > TWICE * was || mean < was / TWICE) && sure(k, mean - was, sd, k->w->base_sd[s]))
        raise_alarm(k, a, mean, was, what);
}

static void look_share(look *k, rung_alarm a, series s, double more, const char *what) {
    double mean, sd, was = k->w->base[s];
    if (window_of(&mean, &sd, k->w, s, k->n) < k->n || !isfinite(was)) return;
    double diff = more > 0 ? mean - was : was - mean;
    if (diff > fabs(more) && sure(k, diff, sd, k->w->base_sd[s]))
        raise_alarm(k, a, mean, was, what);
}

/* The verifier has lost `drop` since its best window, surely, and the reward has risen, surely. */
static void look_hack(look *k) {
    double v, v_sd, r, r_sd;
    rung_watch *w = k->w;
    if (window_of(&v, &v_sd, w, VERIFIER, k->n) < k->n ||
        window_of(&r, &r_sd, w, REWARD, k->n) < k->n)
        return;
    if (isnan(w->best) || v > w->best) {
        w->best = v;
        w->best_sd = v_sd;
        w->best_reward = r;
        w->best_reward_sd = r_sd;
        return;
    }
    bool lost = w->best - v > k->o.drop && sure(k, w->best - v, v_sd, w->best_sd);
    bool won = r > w->best_reward && sure(k, r - w->best_reward, r_sd, w->best_reward_sd);
    if (!lost || !won) return;
    k->now |= 1u << RUNG_ALARM_HACK;
    if (w->on & (1u << RUNG_ALARM_HACK)) return;
    int n =
        snprintf(k->say, k->n_say,
                 "step %lld: %s: accuracy %.4g, at its best %.4g; reward %.4g, then %.4g\n",
                 (long long)k->row->step, names[RUNG_ALARM_HACK], v, w->best, r, w->best_reward);
    if (n > 0 && (size_t)n < k->n_say) {
        k->say += n;
        k->n_say -= (size_t)n;
    }
}

static void look_now(look *k) {
    const rung_watch_row *row = k->row;
    const rung_watch *w = k->w;
    if (row->kl > k->o.kl_max)
        raise_alarm(k, RUNG_ALARM_KL, row->kl, w->base[KL], "KL to the reference");
    bool known = w->n > k->n;
    if (isinf(row->grad_norm) ||
        (known && isfinite(w->base[GRAD]) && row->grad_norm > GRAD_MORE * w->base[GRAD]))
        raise_alarm(k, RUNG_ALARM_GRADIENT, row->grad_norm, w->base[GRAD], "gradient norm");
}

static void look_windows(look *k) {
    double mean, sd;
    look_hack(k);
    if (window_of(&mean, &sd, k->w, ENTROPY, k->n) == k->n &&
        mean < ENTROPY_LEFT * k->w->base[ENTROPY])
        raise_alarm(k, RUNG_ALARM_ENTROPY, mean, k->w->base[ENTROPY], "entropy");
    if (window_of(&mean, &sd, k->w, FLAT, k->n) == k->n && mean > FLAT_MAX)
        raise_alarm(k, RUNG_ALARM_FLAT, mean, k->w->base[FLAT], "share of flat groups");
    look_twice(k, RUNG_ALARM_LENGTH, LENGTH, "tokens an answer");
    look_twice(k, RUNG_ALARM_STEPS, STEPS, "steps an answer");
    look_share(k, RUNG_ALARM_REPEATS, REPEATS, SHARE_MORE, "share with a repeated line");
    look_share(k, RUNG_ALARM_UNDIVIDED, UNDIVIDED, SHARE_MORE, "share of one step");
    look_share(k, RUNG_ALARM_AGREEMENT, AGREEMENT, -SHARE_MORE / 2, "agreement with the verifier");
}

uint32_t rung_watch_put(rung_watch *w, char *say, size_t n_say, const rung_watch_row *row,
                        const rung_watch_opts *given) {
    static const rung_watch_opts none = RUNG_WATCH_OPTS_INIT;
    look k = {.w = w, .row = row, .o = given ? *given : none, .say = say, .n_say = n_say};
    const double x[RUNG_WATCH_SERIES] = {row->reward, row->verifier,  row->kl,       row->entropy,
                                         row->length, row->steps,     row->repeats,  row->undivided,
                                         row->flat,   row->agreement, row->grad_norm};
    k.n = k.o.window <= 0                      ? 10
          : k.o.window > RUNG_WATCH_WINDOW_MAX ? RUNG_WATCH_WINDOW_MAX
                                               : k.o.window;
    if (k.o.kl_max <= 0) k.o.kl_max = 10;
    if (k.o.drop <= 0) k.o.drop = .02;
    if (k.o.sigmas <= 0) k.o.sigmas = 4;
    if (n_say > 0) say[0] = 0;
    if (w->n == 0) {
        memset(w, 0, sizeof *w);
        w->best = w->best_reward = (double)NAN;
    }
    for (int s = 0; s < RUNG_WATCH_SERIES; s++) w->ring[s][w->n % k.n] = x[s];
    w->n++;
    if (w->n == k.n)
        for (int s = 0; s < RUNG_WATCH_SERIES; s++)
            if (window_of(&w->base[s], &w->base_sd[s], w, (series)s, k.n) < k.n)
                w->base[s] = (double)NAN;
    look_now(&k);
    if (w->n >= k.n) look_windows(&k);
    uint32_t begun = k.now & ~w->on;
    w->on = k.now;
    return begun;
}
