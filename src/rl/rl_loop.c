/* The loop: a step is a function of (weights, step number, seed), so that a run which goes on from
 * a checkpoint ends as one that was never stopped. */
#include "rl/loop.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static rung_status open_problems(rl_loop *l, rung_error *err) {
    rung_iter *it = NULL;
    const rung_problem *p;
    rung_status st;
    int64_t cap = 0;
    RUNG_TRY(rung_problem_iter(&it, l->store, &l->o->problems, err));
    while ((st = rung_problem_next(&p, it, err)) == RUNG_OK) {
        if (l->n_problems == cap) {
            cap = cap ? 2 * cap : 1024;
            int64_t *more = rung_realloc(l->problem, (size_t)cap * sizeof *more);
            if (!more) {
                st = rung_fail(err, RUNG_E_NOMEM, "no memory for problems");
                break;
            }
            l->problem = more;
        }
        l->problem[l->n_problems++] = p->id;
    }
    rung_iter_free(it);
    if (st != RUNG_DONE) return st;
    int64_t want = (int64_t)l->o->prompts * (l->o->waves > 0 ? l->o->waves : 1);
    if (l->n_problems < want) {
        rung_fail(err, RUNG_E_NOT_FOUND, "%lld problems match, a step may ask %lld",
                  (long long)l->n_problems, (long long)want);
        return rung_error_hint(err, "generate or import more, or fewer --prompts or --waves");
    }
    return RUNG_OK;
}

/* What a checkpoint must agree with: everything that decides a step but their number. */
static rung_status config_hash(rl_loop *l, rung_error *err) {
    rung_buf b;
    const rung_rl_opts *o = l->o;
    char policy[33], ref[33] = "", reward[33] = "", critic[33] = "";
    RUNG_TRY(rung_hash_file(policy, o->policy, err));
    if (o->reference) RUNG_TRY(rung_hash_file(ref, o->reference, err));
    if (o->reward) RUNG_TRY(rung_hash_file(reward, o->reward, err));
    if (o->critic) RUNG_TRY(rung_hash_file(critic, o->critic, err));
    rung_buf_init(&b, 1u << 20);
    rung_buf_printf(&b, "%s %s %s %d %d %d %.17g %d %d %d %d %d %d %d %d %d %llu %d %s", policy,
                    ref, reward, o->prompts, o->group, o->max_tok, o->temperature,
                    (int)l->estimator, (int)l->loss, (int)o->source, (int)o->overlong, o->waves,
                    o->prof_keep, o->epochs, o->minibatches, o->push_every,
                    (unsigned long long)o->seed, o->exact,
                    o->sampler_type ? o->sampler_type : "f16");
    const rung_advantage_opts *c = &o->credit;
    const rung_loss_opts *p = &l->loss_opts;
    const double numbers[] = {c->gamma,
                              c->lambda,
                              c->eps,
                              c->kl_coef,
                              c->kl,
                              c->whiten,
                              c->outcome_coef,
                              c->process_coef,
                              c->temperature,
                              c->min_variant,
                              c->min_credit,
                              c->keep_step_ends,
                              c->prime_code,
                              c->prime_unscaled,
                              c->alpha,
                              c->mu,
                              c->w_whole,
                              c->w_process,
                              c->plain_std,
                              p->aggregation,
                              p->clip_low,
                              p->clip_high,
                              p->clip_dual,
                              p->clip_sampler,
                              p->kl_coef,
                              p->kl,
                              p->kl_value,
                              p->cov_share,
                              p->cov_low,
                              p->cov_high,
                              p->cov_coef,
                              p->tau_pos,
                              p->tau_neg,
                              p->sequence_ratio,
                              p->sequence_token,
                              o->kl_exact,
                              o->entropy_coef,
                              o->no_reference,
                              o->adamw.lr,
                              o->adamw.beta1,
                              o->adamw.beta2,
                              o->adamw.eps,
                              o->adamw.weight_decay,
                              o->adamw.clip,
                              (double)o->warmup,
                              o->rows,
                              o->row_tok,
                              o->prover_k,
                              o->prof_positive,
                              o->overlong_cache,
                              o->filter.pass_lo,
                              o->filter.pass_hi,
                              o->filter.keep_flat,
                              o->step_weight,
                              o->steps_at_end,
                              o->implicit_frozen,
                              o->implicit_update_first,
                              o->implicit_rolling,
                              o->implicit_loss,
                              o->implicit_beta,
                              o->implicit_lr,
                              o->critic_lr,
                              (double)o->critic_warmup,
                              o->clip_value,
                              o->lora_rank,
                              o->lora_alpha};
    const char *const texts[] = {o->system,    o->suffix,       o->stop,
                                 o->split_how, o->lora_targets, critic};
    rung_buf_append(&b, numbers, sizeof numbers);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        rung_buf_printf(&b, "[%s]", texts[i] ? texts[i] : "");
    rung_buf_append(&b, l->problem, (size_t)l->n_problems * sizeof *l->problem);
    rung_status st = rung_buf_check(&b, err);
    if (st == RUNG_OK) l->at.config = rung_hash64(b.data, b.n, 1);
    rung_buf_clear(&b);
    return st;
}

static rung_status open_all(rl_loop *l, rung_error *err) {
    const rung_rl_opts *o = l->o;
    l->arena = rung_arena_new(0);
    l->wave_arena = rung_arena_new(0);
    l->greedy = rung_calloc((size_t)o->prompts + 1, sizeof *l->greedy);
    l->answer = rung_calloc((size_t)o->prompts * (size_t)o->group + 1, sizeof *l->answer);
    if (!l->arena || !l->wave_arena || !l->greedy || !l->answer)
        return rung_fail(err, RUNG_E_NOMEM, "no memory for a step of %d x %d answers", o->prompts,
                         o->group);
    RUNG_TRY(open_problems(l, err));
    RUNG_TRY(rl_reward_open(l, err)); /* a model of another base stops here, before any answer */
    RUNG_TRY(rl_nets_open(l, err));
    if (rung_net_get_shape(l->net)->n_ctx < o->row_tok)
        rung_event(l->log, RUNG_DEBUG, "rl.context",
                   RUNG_I("n_ctx", rung_net_get_shape(l->net)->n_ctx));
    RUNG_TRY(config_hash(l, err));
    return rl_resume(l, err);
}

static void put_metric(const rl_loop *l, const char *name, double v) {
    if (l->o->on_metric) l->o->on_metric(l->o->metric_ud, l->at.step + 1, name, v);
}

static double share_of_one_step(const rl_loop *l) {
    double one = 0;
    for (int32_t i = 0; i < l->n_answers; i++) one += l->answer[i].n_steps <= 1;
    return l->n_answers > 0 ? one / l->n_answers : (double)NAN;
}

/* Names as verl and TRL have them, where they have them (docs/formats.md). */
static void tell(rl_loop *l) {
    const rl_figures *f = &l->f;
    const struct {
        const char *name;
        double v;
    } rows[] = {{"reward", f->outcome},
                {"critic/score/mean", f->accuracy},
                {"critic/rewards/mean", f->reward},
                {"critic/advantages/sd", f->advantage_sd},
                {"response_length/mean", f->length},
                {"response_length/wrong", f->length_wrong},
                {"response_length/clip_ratio", f->truncated},
                {"completions/steps", f->steps_per_answer},
                {"completions/repeats", f->repeat_share},
                {"completions/no_answer", f->no_answer},
                {"completions/undivided", share_of_one_step(l)},
                {"frac_reward_zero_std", f->flat_share},
                {"train/loss", f->loss},
                {"train/grad_norm", f->grad_norm},
                {"kl", f->kl},
                {"entropy", f->entropy},
                {"clip_ratio/low", f->clip_low},
                {"clip_ratio/high", f->clip_high},
                {"sampler/gap", f->gap},
                {"sampler/gap_max", f->gap_max},
                {"sampler/push_ms", f->pushed_ms},
                {"sampler/stale", f->stale},
                {"rl/groups", (double)f->n_groups},
                {"rl/groups_dropped", (double)f->n_dropped},
                {"rl/waves", (double)f->n_waves},
                {"timing_s/gen", f->sample_s},
                {"timing_s/update", f->train_s},
                {"train/num_tokens", (double)l->at.n_tok}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        put_metric(l, rows[i].name, rows[i].v);
    if (l->o->source != RUNG_RL_SOURCE_NONE) {
        put_metric(l, "rewards/step/mean", f->step_reward);
        put_metric(l, "rewards/step/agreement", f->agreement);
    }
    if (l->implicit) {
        put_metric(l, "rewards/implicit/loss", f->implicit_loss);
        put_metric(l, "rewards/implicit/pair_accuracy", f->implicit_pairs);
    }
    if (l->critic) {
        put_metric(l, "critic/vf_loss", f->vf_loss);
        put_metric(l, "critic/vf_explained_var", f->vf_explained);
    }
    rung_event(l->log, RUNG_INFO, "rl.step", RUNG_I("step", l->at.step + 1),
               RUNG_D("accuracy", f->accuracy), RUNG_D("reward", f->reward), RUNG_D("kl", f->kl),
               RUNG_D("entropy", f->entropy), RUNG_D("length", f->length),
               RUNG_D("steps", f->steps_per_answer), RUNG_D("repeats", f->repeat_share),
               RUNG_D("undivided", share_of_one_step(l)), RUNG_D("flat", f->flat_share),
               RUNG_D("grad_norm", f->grad_norm), RUNG_I("groups", f->n_groups),
               RUNG_I("dropped", f->n_dropped));
}

/* Three answers beside an alarm: of the highest reward, of the longest, the first. */
static void show_examples(const rl_loop *l) {
    int32_t pick[3] = {0, 0, 0};
    for (int32_t i = 1; i < l->n_answers; i++) {
        if (l->answer[i].outcome > l->answer[pick[1]].outcome) pick[1] = i;
        if (l->answer[i].n_resp > l->answer[pick[2]].n_resp) pick[2] = i;
    }
    for (int k = 0; k < 3 && l->n_answers > 0; k++) {
        const rl_answer *a = &l->answer[pick[k]];
        rung_event(l->log, RUNG_WARN, "rl.example", RUNG_I("problem", a->problem),
                   RUNG_S("verdict", a->right   ? "correct"
                                     : a->known ? "wrong"
                                                : "unknown"),
                   RUNG_S("text", a->text));
    }
}

static bool watch(rl_loop *l) {
    char say[4096];
    const rl_figures *f = &l->f;
    bool steps = l->o->source != RUNG_RL_SOURCE_NONE;
    rung_watch_row row = {.step = l->at.step + 1,
                          .reward = l->n_answers > 0 ? f->reward : f->outcome,
                          .verifier = f->accuracy,
                          .kl = l->has_ref ? f->kl : (double)NAN,
                          .entropy = l->n_answers > 0 ? f->entropy : (double)NAN,
                          .length = f->length,
                          .steps = f->steps_per_answer,
                          .repeats = f->repeat_share,
                          .undivided = share_of_one_step(l),
                          .flat = f->flat_share,
                          .agreement = steps ? f->agreement : (double)NAN,
                          .grad_norm = l->n_answers > 0 ? f->grad_norm : (double)NAN};
    uint32_t bits = rung_watch_put(&l->at.watch, say, sizeof say, &row, NULL);
    if (!bits) return false;
    l->at.n_alarms += __builtin_popcount(bits);
    for (char *at = say, *end; (end = strchr(at, '\n')) != NULL; at = end + 1) {
        *end = 0;
        rung_event(l->log, RUNG_WARN, "rl.alarm", RUNG_I("step", row.step), RUNG_S("what", at));
    }
    show_examples(l);
    return true;
}

static rung_status one_step(rl_loop *l, rung_error *err) {
    int64_t every = l->o->push_every > 0 ? l->o->push_every : 1;
    double t = rung_now();
    rung_arena_reset(l->arena);
    memset(&l->f, 0, sizeof l->f);
    if (l->at.step % every == 0 || !l->engine) RUNG_TRY(rl_push(l, &l->f.pushed_ms, err));
    l->f.stale = (double)(l->at.step - l->at.pushed_step);
    RUNG_TRY(rl_sample(l, err));
    l->f.sample_s = rung_now() - t;
    t = rung_now();
    if (l->n_answers > 0) {
        RUNG_TRY(rl_logprobs(l, err));
        RUNG_TRY(rl_implicit(l, err));
        RUNG_TRY(rl_credit(l, err));
        RUNG_TRY(rl_update(l, err));
    } else {
        rung_event(l->log, RUNG_WARN, "rl.empty", RUNG_I("step", l->at.step + 1),
                   RUNG_I("dropped", l->f.n_dropped));
    }
    l->f.train_s = rung_now() - t;
    return RUNG_OK;
}

/* First and last tenth of the steps: what the report compares. */
static void note(rl_loop *l) {
    int64_t tenth = (l->o->steps + 9) / 10;
    if (l->at.step < tenth) {
        l->at.reward_first += l->f.outcome;
        l->at.n_first++;
    }
    if (l->at.step >= l->o->steps - tenth) {
        l->at.reward_last += l->f.outcome;
        l->at.n_last++;
    }
}

static bool acts(const rl_loop *l, const char *how) {
    return l->o->watch_action && strcmp(l->o->watch_action, how) == 0;
}

/* After a step: what an alarm asks for, and the checkpoint. */
static rung_status after_step(rl_loop *l, rung_rl_report *out, int64_t every, rung_error *err) {
    bool alarm = watch(l);
    l->at.step++;
    if (alarm && acts(l, "rollback") && l->at.n_rollbacks < RL_ROLLBACKS) {
        RUNG_TRY(rl_roll_back(l, err));
        rung_engine_close(l->engine); /* its weights are of the run that went wrong */
        l->engine = NULL;
        return RUNG_OK;
    }
    out->paused = alarm && (acts(l, "pause") || acts(l, "rollback"));
    if (l->at.step % every == 0 || l->at.step == l->o->steps || out->paused) return rl_save(l, err);
    return RUNG_OK;
}

static rung_status drive(rl_loop *l, rung_rl_report *out, rung_error *err) {
    int64_t every = l->o->checkpoint_every > 0 ? l->o->checkpoint_every : 10;
    int64_t push = l->o->push_every > 0 ? l->o->push_every : 1, n_push = 0;
    double ms = 0, gap = 0, n_gap = 0;
    every = (every + push - 1) / push * push; /* old weights are not in a checkpoint */
    while (l->at.step < l->o->steps && !out->paused) {
        RUNG_TRY(one_step(l, err));
        n_push += l->f.pushed_ms > 0;
        ms += l->f.pushed_ms;
        gap += l->f.gap;
        n_gap += l->n_answers > 0;
        tell(l);
        note(l);
        out->kl_last = l->f.kl;
        RUNG_TRY(after_step(l, out, every, err));
        rung_status st = rung_progress(l->log, "steps", l->at.step, l->o->steps, l->at.n_tok, err);
        if (st != RUNG_OK) {
            if (l->at.step % push == 0) RUNG_TRY(rl_save(l, NULL));
            return st;
        }
    }
    out->push_ms = n_push > 0 ? ms / (double)n_push : (double)NAN;
    out->sampler_gap = n_gap > 0 ? gap / n_gap : (double)NAN;
    return RUNG_OK;
}

static void close_all(rl_loop *l) {
    rung_reward_free(l->reward);
    rung_engine_close(l->reward_engine);
    rung_model_free(l->reward_model);
    rung_engine_close(l->engine);
    rung_model_free(l->model);
    rl_nets_close(l);
    rung_arena_free(l->arena);
    rung_arena_free(l->wave_arena);
    rung_free(l->problem);
    rung_free(l->answer);
    rung_free(l->greedy);
    rung_free(l);
}

/* The estimator's own mean unless one is asked for; lengths to the answer's limit. */
static void resolve(rl_loop *l) {
    const rung_rl_opts *o = l->o;
    l->estimator = RUNG_ADVANTAGE_GRPO_NOSTD;
    l->loss = RUNG_LOSS_PPO;
    l->loss_opts = o->loss_opts;
    if (o->estimator) (void)rung_advantage_find(&l->estimator, o->estimator);
    rung_loss_aggregation how = rung_advantage_aggregation(l->estimator);
    if (o->loss) {
        rung_loss_opts named = RUNG_LOSS_OPTS_INIT;
        (void)rung_loss_policy_find(&l->loss, &named, o->loss);
        l->loss_opts.sequence_ratio = l->loss_opts.sequence_ratio || named.sequence_ratio;
        l->loss_opts.sequence_token = l->loss_opts.sequence_token || named.sequence_token;
        if (named.sequence_ratio || l->loss == RUNG_LOSS_GEO_MEAN) how = named.aggregation;
        if (l->loss_opts.clip_high == 0) l->loss_opts.clip_high = named.clip_high;
    }
    if (l->loss_opts.clip_high == 0) l->loss_opts.clip_high = .28; /* learning.md 4.3 */
    if (o->aggregation) (void)rung_loss_aggregation_find(&how, o->aggregation);
    l->loss_opts.aggregation = how;
    l->loss_opts.length_max = o->max_tok + 1;
}

rung_status rung_rl_train(rung_rl_report *out, rung_store *s, int64_t run,
                          const rung_rl_opts *given, const rung_log *log, rung_error *err) {
    rung_rl_opts o = *given;
    memset(out, 0, sizeof *out);
    RUNG_TRY(rung_rl_check(given, err));
    if (o.adamw.lr == 0) o.adamw.lr = o.lora_rank > 0 ? 2e-5 : 3e-4; /* learning.md 4.3 */
    rl_loop *l = rung_calloc(1, sizeof *l);
    if (!l) return rung_fail(err, RUNG_E_NOMEM, "no memory for a loop");
    l->o = &o;
    l->log = log;
    l->store = s;
    l->run = run;
    resolve(l);
    rung_status st = open_all(l, err);
    if (st == RUNG_OK) st = drive(l, out, err);
    out->steps = l->at.step;
    out->n_answers = l->at.n_answers;
    out->n_tok = l->at.n_tok;
    out->n_groups_dropped = l->at.n_dropped;
    out->n_alarms = l->at.n_alarms;
    out->n_rollbacks = l->at.n_rollbacks;
    out->reward_first =
        l->at.n_first > 0 ? l->at.reward_first / (double)l->at.n_first : (double)NAN;
    out->reward_last = l->at.n_last > 0 ? l->at.reward_last / (double)l->at.n_last : (double)NAN;
    if (st == RUNG_OK && o.out && !out->paused)
        st = rung_net_save(l->net, o.out, o.out_type ? o.out_type : "f16", err);
    if (st == RUNG_OK && o.lora_out && !out->paused)
        st = rung_net_save_lora(l->net, o.lora_out, "f32", err);
    close_all(l);
    return st;
}
