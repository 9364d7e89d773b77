/* The nets of a run - policy, reference, critic, implicit reward model - and their checkpoints.
 *
 * PATH holds the policy and the loop's state; PATH.critic.STEP and PATH.implicit.STEP are written
 * before it and belong to the step that it names, so that one rename switches all of them.
 * PATH.good.STEP are older PATHs that a roll-back may go to. */
#include "rl/loop.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

uint64_t rl_seed(const rl_loop *l) {
    const uint64_t both[] = {l->o->seed, (uint64_t)l->at.n_rollbacks};
    return l->at.n_rollbacks == 0 ? l->o->seed : rung_hash64(both, sizeof both, 9);
}

double rl_lr(const rl_loop *l, double lr) {
    return ldexp(lr, -(int)l->at.n_rollbacks);
}

/* Whole, or frozen with adapters. */
static rung_status open_net(rung_net **out, const rl_loop *l, const char *path, uint64_t seed,
                            rung_error *err) {
    rung_lora_opts lo = RUNG_LORA_OPTS_INIT;
    if (l->o->lora_rank == 0) return rung_net_load(out, path, err);
    lo.rank = l->o->lora_rank;
    lo.alpha = l->o->lora_alpha;
    lo.targets = l->o->lora_targets;
    lo.seed = seed;
    RUNG_TRY(rung_net_load_frozen(out, path, err));
    return rung_net_add_lora(*out, &lo, err);
}

static rung_status same_vocabulary(const rl_loop *l, const rung_net *net, const char *what,
                                   const char *path, rung_error *err) {
    int32_t mine = rung_net_get_shape(l->net)->n_vocab, its = rung_net_get_shape(net)->n_vocab;
    if (mine == its) return RUNG_OK;
    rung_fail(err, RUNG_E_MISMATCH, "%s \"%s\" has %d tokens, the policy %d", what, path, its,
              mine);
    return rung_error_hint(err, "a model of the policy's own vocabulary");
}

static rung_status open_reference(rl_loop *l, rung_error *err) {
    const rung_rl_opts *o = l->o;
    bool adapters = o->lora_rank > 0;
    const char *path = o->reference ? o->reference : o->policy;
    l->has_ref = !o->no_reference;
    if (!l->has_ref) return RUNG_OK;
    /* the exact KL needs both nets' logits at once */
    if (adapters && !o->reference && o->kl_exact == 0) return RUNG_OK;
    RUNG_TRY(adapters ? rung_net_load_frozen(&l->ref, path, err)
                      : rung_net_load(&l->ref, path, err));
    return same_vocabulary(l, l->ref, "reference", path, err);
}

static bool is_good(const rl_loop *l, int64_t step) {
    for (int32_t i = 0; i < l->at.n_good; i++)
        if (l->at.good[i] == step) return true;
    return false;
}

rung_status rl_nets_open(rl_loop *l, rung_error *err) {
    const rung_rl_opts *o = l->o;
    const char *critic = o->critic ? o->critic : o->policy;
    const char *implicit = o->reward ? o->reward : o->policy;
    RUNG_TRY(open_net(&l->net, l, o->policy, o->seed, err));
    RUNG_TRY(open_reference(l, err));
    if (rung_advantage_needs(l->estimator) & RUNG_ADVANTAGE_NEEDS_VALUE) {
        RUNG_TRY(open_net(&l->critic, l, critic, o->seed + 1, err));
        RUNG_TRY(same_vocabulary(l, l->critic, "critic", critic, err));
        RUNG_TRY(rung_net_add_head(l->critic, 0, 1, NULL, NULL, o->seed, err));
    }
    if (o->source != RUNG_RL_SOURCE_IMPLICIT) return RUNG_OK;
    RUNG_TRY(open_net(&l->implicit, l, implicit, o->seed + 2, err));
    return same_vocabulary(l, l->implicit, "implicit reward model", implicit, err);
}

void rl_nets_close(rl_loop *l) {
    rung_net_free(l->net);
    rung_net_free(l->ref);
    rung_net_free(l->critic);
    rung_net_free(l->implicit);
}

/* Checkpoints ---------------------------------------------------------------------------------- */

static const char *place(char out[4300], const char *path, const char *what, int64_t step) {
    snprintf(out, 4300, "%.4200s.%s.%lld", path, what, (long long)step);
    return out;
}

static bool rolls_back(const rl_loop *l) {
    return l->o->checkpoint && l->o->watch_action && strcmp(l->o->watch_action, "rollback") == 0;
}

static rung_status save_beside(const rl_loop *l, rung_net *net, const char *what, rung_error *err) {
    char at[4300];
    if (!net) return RUNG_OK;
    return rung_net_checkpoint(net, place(at, l->o->checkpoint, what, l->at.step), NULL, 0, err);
}

static void drop(const rl_loop *l, int64_t step) {
    static const char *const kinds[] = {"critic", "implicit", "good"};
    char at[4300];
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        (void)unlink(place(at, l->o->checkpoint, kinds[i], step));
}

/* This step joins the good ones when no alarm stands. Of those older than the watch's window only
 * the newest is kept; the ones that go come into gone. */
static int32_t choose_good(rl_loop *l, int64_t gone[RL_GOOD_MAX + 1]) {
    rl_state *s = &l->at;
    int32_t n_gone = 0;
    if (!rolls_back(l)) return 0;
    if (s->watch.on == 0 && !is_good(l, s->step)) {
        if (s->n_good == RL_GOOD_MAX) {
            gone[n_gone++] = s->good[1]; /* the oldest stays */
            memmove(s->good + 1, s->good + 2, (RL_GOOD_MAX - 2) * sizeof s->good[0]);
            s->n_good--;
        }
        s->good[s->n_good++] = s->step;
    }
    while (s->n_good > 1 && s->good[1] + RL_WINDOW <= s->step) {
        gone[n_gone++] = s->good[0];
        memmove(s->good, s->good + 1, (size_t)(--s->n_good) * sizeof s->good[0]);
    }
    return n_gone;
}

/* The file of this step under its name among the good ones. */
static rung_status keep_good(const rl_loop *l, rung_error *err) {
    char at[4300];
    if (!is_good(l, l->at.step)) return RUNG_OK;
    (void)unlink(place(at, l->o->checkpoint, "good", l->at.step));
    if (link(l->o->checkpoint, at) == 0) return RUNG_OK;
    rung_buf b; /* a file system without links */
    rung_buf_init(&b, (size_t)1 << 40);
    rung_status st = rung_file_read(&b, l->o->checkpoint, err);
    if (st == RUNG_OK) st = rung_file_write(at, b.data, b.n, err);
    rung_buf_clear(&b);
    return st;
}

rung_status rl_save(rl_loop *l, rung_error *err) {
    int64_t gone[RL_GOOD_MAX + 1], before = l->saved_step;
    if (!l->o->checkpoint) return RUNG_OK;
    if (l->o->on_metric) l->o->on_metric(l->o->metric_ud, l->at.step, NULL, 0);
    RUNG_TRY(save_beside(l, l->critic, "critic", err));
    RUNG_TRY(save_beside(l, l->implicit, "implicit", err));
    int32_t n_gone = choose_good(l, gone);
    RUNG_TRY(rung_net_checkpoint(l->net, l->o->checkpoint, &l->at, sizeof l->at, err));
    l->saved_step = l->at.step;
    RUNG_TRY(keep_good(l, err));
    for (int32_t i = 0; i < n_gone; i++)
        if (gone[i] != l->at.step) drop(l, gone[i]);
    if (before >= 0 && before != l->at.step && !is_good(l, before)) drop(l, before);
    return RUNG_OK;
}

static rung_status load_beside(const rl_loop *l, rung_net *net, const char *what, int64_t step,
                               rung_error *err) {
    char at[4300];
    if (!net) return RUNG_OK;
    return rung_net_resume(net, place(at, l->o->checkpoint, what, step), NULL, 0, err);
}

static rung_status load_all(rl_state *s, rl_loop *l, const char *path, rung_error *err) {
    RUNG_TRY(rung_net_resume(l->net, path, s, sizeof *s, err));
    if (s->config != l->at.config) {
        rung_fail(err, RUNG_E_MISMATCH, "checkpoint \"%s\" is of another configuration", path);
        return rung_error_hint(err, "use the same settings and problems, or delete it");
    }
    RUNG_TRY(load_beside(l, l->critic, "critic", s->step, err));
    return load_beside(l, l->implicit, "implicit", s->step, err);
}

rung_status rl_resume(rl_loop *l, rung_error *err) {
    rl_state s;
    char at[4300];
    l->saved_step = -1;
    if (l->o->checkpoint && access(l->o->checkpoint, F_OK) == 0) {
        RUNG_TRY(load_all(&s, l, l->o->checkpoint, err));
        l->at = s;
        l->saved_step = s.step;
        if (is_good(l, s.step) && access(place(at, l->o->checkpoint, "good", s.step), F_OK) != 0)
            RUNG_TRY(keep_good(l, err)); /* killed before it was linked */
        rung_event(l->log, RUNG_INFO, "rl.resume", RUNG_I("step", s.step));
    }
    if (rolls_back(l) && l->at.n_good == 0) return rl_save(l, err); /* the start is good */
    return RUNG_OK;
}

rung_status rl_roll_back(rl_loop *l, rung_error *err) {
    rl_state s, now = l->at;
    char at[4300];
    int32_t k = 0; /* the newest older than the window, else the oldest there is */
    while (k + 1 < now.n_good && now.good[k + 1] + RL_WINDOW <= now.step) k++;
    RUNG_TRY(load_all(&s, l, place(at, l->o->checkpoint, "good", now.good[k]), err));
    for (int32_t i = k + 1; i < now.n_good; i++) drop(l, now.good[i]);
    s.n_good = k + 1;
    memcpy(s.good, now.good, sizeof s.good);
    s.n_rollbacks = now.n_rollbacks + 1;
    s.n_answers = now.n_answers; /* what was spent is spent */
    s.n_tok = now.n_tok;
    s.n_dropped = now.n_dropped;
    s.n_alarms = now.n_alarms;
    l->at = s;
    rung_event(l->log, RUNG_WARN, "rl.rollback", RUNG_I("from", now.step), RUNG_I("to", s.step),
               RUNG_I("times", s.n_rollbacks));
    return rl_save(l, err);
}

void rung_rl_remove_checkpoint(const char *path) {
    static const char *const kinds[] = {".critic.", ".implicit.", ".good."};
    const char *name = strrchr(path, '/');
    char folder[4096], at[4300];
    snprintf(folder, sizeof folder, "%.*s", name ? (int)(name - path) : 1, name ? path : ".");
    name = name ? name + 1 : path;
    size_t n = strlen(name);
    DIR *d = opendir(folder[0] ? folder : "/");
    (void)unlink(path);
    for (struct dirent *e; d && (e = readdir(d)) != NULL;) {
        bool mine = false;
        for (size_t i = 0; i < 3 && strncmp(e->d_name, name, n) == 0; i++)
            mine = mine || strncmp(e->d_name + n, kinds[i], strlen(kinds[i])) == 0;
        snprintf(at, sizeof at, "%.3900s/%.300s", folder, e->d_name);
        if (mine) (void)unlink(at);
    }
    if (d) closedir(d);
}
