/* One step's groups: prompts in an addressed order, answers by the engine, verdicts, step rewards,
 * filters; more prompts while groups are missing (dynamic sampling). Prompts that were asked for
 * and not needed come again in the next step, with its weights. */
#include "rl/loop.h"
#include "trace/flow.h"

#include <stdio.h>
#include <stdlib.h>

void *rl_room(rung_arena *a, size_t n, rung_error *err) {
    void *p = rung_arena_alloc(a, n + 1);
    if (!p) rung_fail(err, RUNG_E_NOMEM, "no memory for %zu bytes of a step", n);
    return p;
}

/* The prompt at place `cursor` of the endless order: a new shuffle each time through. */
static int64_t prompt_at(const rl_loop *l, int64_t cursor, uint32_t *order) {
    int64_t epoch = cursor / l->n_problems;
    rung_rng r = rung_rng_at(rl_seed(l), RUNG_STREAM_SHUFFLE, (uint64_t)epoch, 1);
    for (int64_t i = 0; i < l->n_problems; i++) order[i] = (uint32_t)i;
    rung_rng_shuffle(&r, order, (uint32_t)l->n_problems);
    return l->problem[order[cursor % l->n_problems]];
}

typedef struct wave {
    rl_loop *l;
    rung_problem *problem; /* [n_prompts] */
    int32_t **head, *n_head;
    rl_answer *answer;             /* [n_prompts * group] */
    rl_answer *greedy;             /* [n_prompts], with remax */
    int32_t n_prompts, group, *i0; /* [n_prompts] number of the prompt's first sample */
} wave;

/* Lines that came before, of all lines with more than two bytes. */
static int32_t repeated_lines(const char *text, int32_t n) {
    uint64_t seen[64];
    int32_t n_seen = 0, n_again = 0;
    for (int32_t at = 0; at < n;) {
        const char *end = memchr(text + at, '\n', (size_t)(n - at));
        int32_t len = end ? (int32_t)(end - text) - at : n - at;
        uint64_t h = rung_hash64(text + at, (size_t)len, 7);
        bool again = false;
        for (int32_t k = 0; k < n_seen && len > 2; k++) again = again || seen[k] == h;
        n_again += again;
        if (!again && n_seen < 64 && len > 2) seen[n_seen++] = h;
        at += len + 1;
    }
    return n_again;
}

static rung_status take_tokens(wave *w, rl_answer *a, const rung_gen_out *o, rung_error *err) {
    rl_loop *l = w->l;
    int32_t n_head = w->n_head[a->prompt];
    bool ended = strcmp(o->stop, "eos") == 0;
    int32_t n = o->n_tok + (ended ? 1 : 0);
    int32_t *tok = rl_room(l->arena, (size_t)(n_head + n) * sizeof *tok, err);
    float *plain = rl_room(l->arena, (size_t)n * sizeof *plain, err);
    a->sampler = rl_room(l->arena, (size_t)n * sizeof *a->sampler, err);
    if (!tok || !plain || !a->sampler) return RUNG_E_NOMEM;
    if (o->n_tok > 0) memcpy(plain, o->logprob, (size_t)o->n_tok * sizeof *plain);
    a->trace.logprob = plain;
    memcpy(tok, w->head[a->prompt], (size_t)n_head * sizeof *tok);
    if (o->n_tok > 0) memcpy(tok + n_head, o->tok, (size_t)o->n_tok * sizeof *tok);
    for (int32_t t = 0; t < o->n_tok; t++) a->sampler[t] = o->logprob_draw[t];
    if (ended) {
        tok[n_head + n - 1] = rung_model_eos(l->model);
        a->sampler[n - 1] = (float)NAN;
    }
    a->tok = tok;
    a->n_prompt = n_head;
    a->n_resp = n;
    return RUNG_OK;
}

/* Steps as spans of the answer's tokens; the last one takes the end token. */
static rung_status take_steps(wave *w, rl_answer *a, const rung_gen_out *o, rung_error *err) {
    rl_loop *l = w->l;
    const rung_problem *p = &w->problem[a->prompt];
    const char *how = l->o->split_how           ? l->o->split_how
                      : p->world && p->world[0] ? "line"
                                                : "blank";
    rung_step *step = NULL;
    int32_t n = 0;
    RUNG_TRY(rung_split_steps(&step, &n, how, o->text, (size_t)o->n_bytes, err));
    rung_status st =
        n > 0 ? rung_split_align(step, &n, NULL, l->model, o->tok, o->n_tok, err) : RUNG_OK;
    rung_step *kept = st == RUNG_OK ? rl_room(l->arena, (size_t)n * sizeof *kept, err) : NULL;
    a->step_end = kept ? rl_room(l->arena, ((size_t)n + 1) * sizeof *a->step_end, err) : NULL;
    if (st == RUNG_OK && !a->step_end) st = RUNG_E_NOMEM;
    for (int32_t h = 0; st == RUNG_OK && h < n; h++) {
        kept[h] = step[h];
        a->step_end[h] = step[h].tok_end - 1;
    }
    rung_free(step);
    if (st != RUNG_OK) return st;
    a->n_steps = n;
    if (n == 0 && a->n_resp > 0) { /* nothing but the end: one step made of it */
        a->n_steps = 1;
        a->step_end[0] = a->n_resp - 1;
    }
    if (n > 0) a->step_end[n - 1] = a->n_resp - 1;
    a->trace.step = kept;
    a->trace.n_steps = n;
    return RUNG_OK;
}

/* The outcome as overlong rules leave it; learning.md 4.2 L. No answer at a proper end is a wrong
 * one: what the verifier cannot read for other reasons stays unknown. */
static void set_outcome(const rl_loop *l, rl_answer *a) {
    const rung_rl_opts *o = l->o;
    const rung_trace *t = &a->trace;
    int32_t cache = o->overlong_cache > 0 ? o->overlong_cache : (o->max_tok + 4) / 5;
    a->right = t->verdict == RUNG_VERDICT_CORRECT;
    a->truncated = strcmp(a->stop, "length") == 0 || strcmp(a->stop, "context") == 0;
    a->no_answer = !t->answer || !t->answer[0];
    a->known = t->verdict != RUNG_VERDICT_UNKNOWN || a->no_answer || a->truncated;
    a->outcome = a->right ? 1 : 0;
    if (a->truncated && o->overlong == RUNG_RL_OVERLONG_DROP) a->known = false;
    if (a->truncated && o->overlong == RUNG_RL_OVERLONG_PENALTY) a->outcome = -1;
    if (o->overlong == RUNG_RL_OVERLONG_SOFT)
        a->outcome += a->truncated ? -1 : rung_overlong_penalty(a->n_resp, o->max_tok, cache);
}

static rung_status take(wave *w, rl_answer *a, const rung_gen_out *o, rung_error *err) {
    rl_loop *l = w->l;
    char *text = rung_arena_strndup(l->arena, o->text, (size_t)o->n_bytes);
    char *stop = rung_arena_strndup(l->arena, o->stop, strlen(o->stop));
    if (!text || !stop) return rung_fail(err, RUNG_E_NOMEM, "no memory for an answer");
    a->text = text;
    a->stop = stop;
    a->n_bytes = o->n_bytes;
    a->problem = w->problem[a->prompt].id;
    a->version = l->at.pushed_step;
    a->first_error = RUNG_FIRST_ERROR_UNKNOWN;
    a->trace = (rung_trace){.run = l->run,
                            .problem = a->problem,
                            .i = o->i,
                            .text = text,
                            .n_bytes = o->n_bytes,
                            .stop = stop,
                            .first_error = RUNG_FIRST_ERROR_UNKNOWN,
                            .first_error_source = ""};
    RUNG_TRY(take_tokens(w, a, o, err));
    RUNG_TRY(take_steps(w, a, o, err));
    RUNG_TRY(rung_trace_judge(&a->trace, l->arena, &w->problem[a->prompt], err));
    a->first_error = a->trace.first_error;
    a->n_repeat = repeated_lines(text, o->n_bytes);
    set_outcome(l, a);
    return RUNG_OK;
}

static rung_status on_gen(void *ud, const rung_gen_out *o, rung_error *err) {
    wave *w = ud;
    int64_t k = (rl_answer *)o->ud - w->answer; /* first answer of the prompt, or a greedy one */
    if (strcmp(o->stop, "error") == 0 || strcmp(o->stop, "cancelled") == 0)
        return rung_fail(err, RUNG_E_MODEL, "the sampler failed at an answer");
    if (w->greedy && (rl_answer *)o->ud >= w->greedy &&
        (rl_answer *)o->ud < w->greedy + w->n_prompts)
        return take(w, o->ud, o, err);
    return take(w, w->answer + k + (o->i - w->i0[k / w->group]), o, err);
}

/* Draws are addressed by problem and sample. A step's prompts lie in at most two rounds through the
 * order, so a problem that comes twice in one step gets other draws the second time. */
static int32_t first_sample(const rl_loop *l, int64_t cursor) {
    int64_t round = cursor / l->n_problems % 2;
    return (int32_t)((l->at.step * 2 + round) * l->o->group);
}

static rung_status too_long(const rl_loop *l, int32_t n_head, const rung_problem *p,
                            rung_error *err) {
    int32_t n = n_head + l->o->max_tok + 1;
    if (n_head < 1)
        return rung_fail(err, RUNG_E_INVAL, "problem %lld: an empty prompt", (long long)p->id);
    if (n <= l->o->row_tok) return RUNG_OK;
    rung_fail(err, RUNG_E_LIMIT,
              "problem %lld: a prompt of %d tokens and an answer of %d do not fit "
              "a row of %d",
              (long long)p->id, n_head, l->o->max_tok, l->o->row_tok);
    return rung_error_hint(err, "longer --row-tokens, or shorter --max-tokens");
}

static rung_status ask(wave *w, int32_t k, int64_t cursor, int64_t id, rung_buf *user,
                       rung_error *err) {
    rl_loop *l = w->l;
    w->i0[k] = first_sample(l, cursor);
    RUNG_TRY(rung_problem_get(l->store, &w->problem[k], l->arena, id, err));
    RUNG_TRY(rung_trace_prompt(user, &w->problem[k], l->o->suffix, err));
    rung_gen g = {.prompt = {l->o->system, user->data, NULL},
                  .sampling = RUNG_SAMPLING_INIT,
                  .n = w->group,
                  .i0 = w->i0[k],
                  .max_tok = l->o->max_tok,
                  .stop = {l->o->stop},
                  .seed = rl_seed(l),
                  .stream = RUNG_STREAM_TRACE,
                  .key = rung_problem_address(&w->problem[k]),
                  .ud = w->answer + (int64_t)k * w->group};
    int32_t *head = NULL, n_header;
    RUNG_TRY(rung_prompt_tokens(&head, &w->n_head[k], &n_header, l->model, &g.prompt, err));
    w->head[k] = rl_room(l->arena, (size_t)w->n_head[k] * sizeof *head, err);
    if (w->head[k]) memcpy(w->head[k], head, (size_t)w->n_head[k] * sizeof *head);
    rung_free(head);
    if (!w->head[k]) return RUNG_E_NOMEM;
    RUNG_TRY(too_long(l, w->n_head[k], &w->problem[k], err));
    g.sampling.temperature = l->o->temperature;
    for (int32_t i = 0; i < w->group; i++) {
        w->answer[(int64_t)k * w->group + i].prompt = k;
        w->answer[(int64_t)k * w->group + i].i = i;
    }
    RUNG_TRY(rung_engine_gen(l->engine, &g, err));
    if (!w->greedy) return RUNG_OK;
    w->greedy[k].prompt = k;
    g.sampling.temperature = 0;
    g.n = 1;
    g.ud = w->greedy + k;
    return rung_engine_gen(l->engine, &g, err);
}

static rung_status run_wave(wave *w, int64_t cursor, rung_error *err) {
    rl_loop *l = w->l;
    rung_buf user;
    rung_buf_init(&user, 16u << 20);
    uint32_t *order = rung_alloc((size_t)l->n_problems * sizeof *order);
    rung_status st = order ? RUNG_OK : rung_fail(err, RUNG_E_NOMEM, "no memory for prompts");
    for (int32_t k = 0; k < w->n_prompts && st == RUNG_OK; k++)
        st = ask(w, k, cursor + k, prompt_at(l, cursor + k, order), &user, err);
    rung_engine_cb cb = {.on_gen = on_gen, .ud = w};
    if (st == RUNG_OK) st = rung_engine_run(l->engine, &cb, err);
    rung_free(order);
    rung_buf_clear(&user);
    return st;
}

static rung_status wave_room(wave *w, rung_error *err) {
    rung_arena *a = w->l->arena;
    size_t n = (size_t)w->n_prompts;
    w->problem = rl_room(a, n * sizeof *w->problem, err);
    w->head = rl_room(a, n * sizeof *w->head, err);
    w->n_head = rl_room(a, n * sizeof *w->n_head, err);
    w->i0 = rl_room(a, n * sizeof *w->i0, err);
    w->answer = rl_room(a, n * (size_t)w->group * sizeof *w->answer, err);
    if (!w->problem || !w->head || !w->n_head || !w->i0 || !w->answer) return RUNG_E_NOMEM;
    if (w->l->estimator == RUNG_ADVANTAGE_REMAX) {
        w->greedy = rl_room(a, n * sizeof *w->greedy, err);
        if (!w->greedy) return RUNG_E_NOMEM;
    }
    return RUNG_OK;
}

static double mean_score(const rl_answer *a) {
    double sum = 0;
    if (!a->step_p || a->n_steps == 0) return (double)NAN;
    for (int32_t h = 0; h < a->n_steps; h++) sum += a->step_p[h];
    return sum / a->n_steps;
}

/* PROF on one group: the chosen come first; returns how many. */
static int32_t choose_answers(const rl_loop *l, rl_answer *a, int32_t n) {
    double outcome[1024], score[1024];
    int32_t steps[1024], at = 0;
    uint8_t keep[1024];
    if (l->o->prof_keep <= 0 || l->o->prof_keep >= n || n > 1024) return n;
    for (int32_t i = 0; i < n; i++) {
        outcome[i] = a[i].right ? 1 : -1;
        score[i] = mean_score(&a[i]);
        steps[i] = a[i].n_steps;
    }
    (void)rung_rl_prof(keep, outcome, score, steps, n, l->o->prof_keep, !l->o->prof_positive);
    for (int32_t i = 0; i < n; i++) {
        if (!keep[i]) continue;
        rl_answer swap = a[at];
        a[at++] = a[i];
        if (at - 1 != i) a[i] = swap;
    }
    return at;
}

static void keep_group(rl_loop *l, const wave *w, int32_t k, int32_t n) {
    for (int32_t i = 0; i < n; i++) {
        l->answer[l->n_answers] = w->answer[(int64_t)k * w->group + i];
        l->answer[l->n_answers++].prompt = (int32_t)l->f.n_groups;
    }
    if (w->greedy) l->greedy[l->f.n_groups] = w->greedy[k].outcome;
    l->f.n_groups++;
}

static void count(rl_loop *l, const wave *w) {
    for (int32_t i = 0; i < w->n_prompts * w->group; i++) {
        const rl_answer *a = &w->answer[i];
        l->f.n_tok += a->n_resp;
        l->at.n_answers++;
        l->f.outcome += a->outcome;
        l->f.accuracy += a->right;
        l->f.known += a->known;
        l->f.length += a->n_resp;
        l->f.length_wrong += a->right ? 0 : a->n_resp;
        l->f.truncated += a->truncated;
        l->f.no_answer += a->no_answer;
        l->f.steps_per_answer += a->n_steps;
        l->f.repeat_share += a->n_repeat > 0;
        double m = mean_score(a);
        l->f.step_reward += isnan(m) ? 0 : m;
        l->f.agreement += !isnan(m) && (m > 0.5) == a->right;
    }
}

static rung_status keep_rows(rl_loop *l, const wave *w, rung_error *err) {
    char name[96];
    if (!l->o->keep_traces || l->run == 0) return RUNG_OK;
    snprintf(name, sizeof name, "policy@%lld", (long long)l->at.pushed_step);
    if (l->at.n_rollbacks > 0)
        snprintf(name, sizeof name, "policy@%lld.%lld", (long long)l->at.pushed_step,
                 (long long)l->at.n_rollbacks);
    RUNG_TRY(rung_store_begin(l->store, err));
    rung_status st = RUNG_OK;
    for (int32_t i = 0; i < w->n_prompts * w->group && st == RUNG_OK; i++) {
        rl_answer *a = &w->answer[i];
        bool is_new;
        a->trace.generator = name;
        a->trace.tok = a->tok + a->n_prompt;
        a->trace.n_tok = a->n_resp - (strcmp(a->stop, "eos") == 0);
        a->trace.logprob_draw = a->sampler;
        st = rung_trace_put(l->store, &a->trace, (rung_step *)(uintptr_t)a->trace.step, &is_new,
                            err);
    }
    if (st == RUNG_OK) return rung_store_commit(l->store, err);
    rung_store_rollback(l->store);
    return st;
}

rung_status rl_sample(rl_loop *l, rung_error *err) {
    const rung_rl_opts *o = l->o;
    int64_t n_seen = 0;
    l->n_answers = 0;
    for (int32_t k = 0; k < (o->waves > 0 ? o->waves : 1) && l->f.n_groups < o->prompts; k++) {
        wave w = {.l = l, .n_prompts = o->prompts, .group = o->group};
        double outcome[1024];
        uint8_t known[1024];
        RUNG_TRY(wave_room(&w, err));
        RUNG_TRY(run_wave(&w, l->at.cursor, err));
        RUNG_TRY(rl_reward_steps(l, w.answer, w.n_prompts * w.group, err));
        RUNG_TRY(keep_rows(l, &w, err));
        count(l, &w);
        n_seen += (int64_t)w.n_prompts * w.group;
        l->f.n_waves++;
        int32_t q = 0;
        for (; q < w.n_prompts && l->f.n_groups < o->prompts; q++) {
            rl_answer *a = w.answer + (int64_t)q * w.group;
            for (int32_t i = 0; i < w.group; i++) {
                outcome[i] = a[i].outcome;
                known[i] = a[i].known;
            }
            const char *why = rung_rl_filter_group(&o->filter, outcome, known, w.group);
            if (why) {
                l->f.n_dropped++;
                l->f.flat_share += strcmp(why, "flat") == 0;
                continue;
            }
            keep_group(l, &w, q, choose_answers(l, a, w.group));
        }
        l->at.cursor += q; /* the rest is asked again, with new weights */
    }
    double *means[] = {&l->f.outcome,      &l->f.accuracy,  &l->f.known,
                       &l->f.length,       &l->f.truncated, &l->f.steps_per_answer,
                       &l->f.repeat_share, &l->f.no_answer, &l->f.step_reward,
                       &l->f.agreement};
    double wrong = (double)n_seen - l->f.accuracy;
    l->f.length_wrong = wrong > 0 ? l->f.length_wrong / wrong : (double)NAN;
    for (size_t i = 0; i < sizeof means / sizeof means[0]; i++) *means[i] /= (double)n_seen;
    double groups = (double)(l->f.n_groups + l->f.n_dropped);
    l->f.flat_share = groups > 0 ? l->f.flat_share / groups : 0;
    l->at.n_tok += l->f.n_tok;
    l->at.n_dropped += l->f.n_dropped;
    return RUNG_OK;
}
