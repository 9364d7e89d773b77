/* rung reward train | score | show */
#include "base/json.h"
#include "cli/session.h"
#include "model/gguf_file.h"
#include "rung/loss.h"
#include "rung/reward.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *reward_kinds(size_t i) {
    /* what can be trained: rows with a file */
    size_t k = 0;
    for (int id = 0; id < RUNG_REWARD_CONFIDENCE; id++) {
        if (k++ == i) return rung_reward_kind_name((rung_reward_kind)id);
    }
    return NULL;
}

static const char *train_losses(size_t i) {
    static const rung_loss_id all[] = {
        RUNG_LOSS_BCE,    RUNG_LOSS_MSE,   RUNG_LOSS_VALUE,       RUNG_LOSS_BRADLEY_TERRY,
        RUNG_LOSS_MARGIN, RUNG_LOSS_OMEGA, RUNG_LOSS_IMPLICIT_CE, RUNG_LOSS_DPO,
        RUNG_LOSS_IPO,    RUNG_LOSS_KTO,   RUNG_LOSS_NCA,         RUNG_LOSS_INFO_NCA};
    return i < CLI_N(all) ? rung_loss_name(all[i]) : NULL;
}

static const cli_opt train_opts[] = {
    OPT_NAMES("kind", "prm_head", reward_kinds, CLI_KEY, "which reward model"),
    OPT_PATH("base", "", CLI_NOTE, "the base model, a GGUF file"),
    OPT_PATH("out", "", CLI_NOTE, "the file to write"),
    OPT_STR("source", "mc", "NAME", CLI_KEY, "labels of this source"),
    OPT_STR("label-run", "", "NAME", CLI_KEY, "labels of this run, empty = the newest"),
    OPT_STR("chat-template", "", "NAME", CLI_KEY,
            "how the base reads prompts, as in sampling; empty = the file's own"),
    OPT_WEIGHTS,
    OPT_BOOL("soft", "false", CLI_KEY, "soft labels as targets, not hard ones"),
    OPT_STR("tag", "", "TEXT", CLI_KEY, "text put after each step before the read-out"),
    OPT_BOOL("read-before-tag", "false", CLI_KEY, "read at the step's own last token"),
    OPT_BOOL("tag-first", "false", CLI_KEY, "the tag also stands before the first step"),
    OPT_BOOL("exact", "false", CLI_KEY,
             "heads: hidden states with the same bits whatever the order, restarts and threads"),
    OPT_BOOL("keep-after-error", "false", CLI_KEY, "train on steps after the first wrong one too"),
    OPT_NAMES("aggregate", "min", cli_names_aggregates, CLI_KEY,
              "how to make one score of a trace, written into the file"),
    OPT_REAL("held-share", "0.2", "SHARE", 0.01, 0.9, CLI_KEY, "share of problems held out"),
    OPT_INT("hidden", "0", "N", 0, 65536, CLI_KEY, "heads: hidden units, 0 = one linear layer"),
    OPT_CHOICE("outputs", "1", "1|2", CLI_KEY, "heads: one by sigmoid, or two classes by softmax"),
    OPT_STR("format", "", "NAME|FILE", CLI_KEY,
            "train a model of this structure (reward show lists them), empty = rung's own"),
    OPT_NAMES("loss", "bce", train_losses, CLI_KEY,
              "heads, prm_token: bce, mse, three that compare steps after the same steps (an ORM's "
              "traces of a problem; their scores rank), heads also value, squared error of the "
              "output itself; prm_implicit: bce = implicit_ce, and those after it"),
    OPT_REAL("clip-value", "0", "C", 0, 1, CLI_KEY,
             "loss value: how far a value may move in an epoch, 0 = any"),
    OPT_CHOICE("tune", "auto", "auto|head|lora|all", CLI_KEY,
               "what trains: a head on the frozen base, adapters on the base, all weights (a head "
               "with them); auto = head for heads, else all"),
    OPT_INT("lora-rank", "8", "RANK", 1, 4096, CLI_KEY, "--tune lora: rank of the adapters"),
    OPT_REAL("lora-alpha", "0", "ALPHA", 0, 1e6, CLI_KEY, "scale is ALPHA / RANK, 0 = 2 RANK"),
    OPT_REAL("lora-dropout", "0", "P", 0, 0.99, CLI_KEY, "dropout before the adapters"),
    OPT_STR("lora-targets", "attn_q,attn_v", "LIST", CLI_KEY,
            "tensors with adapters, as GGUF names them, or all"),
    OPT_CHOICE("precision", "auto", "auto|f32|bf16", CLI_KEY,
               "of matrix products when the base trains; bf16 needs a CPU that has it"),
    OPT_INT("memory-mib", "0", "MIB", 0, 1e9, CLI_FREE,
            "budget for activations, layers beyond it are run twice; 0 = keep all"),
    OPT_REAL("beta", "0.05", "B", 0, 1000, CLI_KEY, "prm_implicit: of the log-ratio"),
    OPT_CHOICE("mode", "accumulative", "accumulative|single", CLI_KEY,
               "prm_implicit: a step's score is the log-ratio up to it, or its own"),
    OPT_CHOICE("squash", "sigmoid", "sigmoid|none", CLI_KEY,
               "prm_implicit: scores as shares, or as they are (with --aggregate sum)"),
    OPT_CHOICE(
        "balance", "none", "none|dataset|instruction", CLI_KEY,
        "prm_implicit by bce or kto: both outcomes weigh the same, in all or in each problem"),
    OPT_INT("epochs", "0", "N", 0, 100000, CLI_KEY, "at most this many epochs, 0 = the kind's"),
    OPT_INT("batch", "0", "N", 0, 1e6, CLI_KEY, "steps (or traces) of a batch, 0 = the kind's"),
    OPT_REAL("lr", "0", "LR", 0, 10, CLI_KEY, "learning rate, 0 = the kind's"),
    OPT_INT("patience", "0", "EPOCHS", 0, 100000, CLI_KEY,
            "epochs without a better held-out loss, 0 = the kind's"),
    OPT_CHOICE("save-type", "f16", "f32|f16|bf16|q8_0|keep", CLI_KEY,
               "when the base trains: number format; keep: what has no adapters stays as it was"),
    OPT_CHOICE("too-long", "refuse", "refuse|drop", CLI_KEY,
               "traces longer than the base's context: stop, or leave out and tell"),
    OPT_PATH("tensorboard", "", CLI_FREE, "curves also as TensorBoard event files in this folder"),
    OPT_BOOL("force", "false", CLI_FREE, "train again though the file is there"),
    OPT_SEED,
    OPT_NAME,
};
const cli_group cli_reward_train_group = CLI_GROUP_OF("training", train_opts);

static const cli_opt score_opts[] = {
    OPT_PATH("file", "", CLI_NOTE,
             "the reward model; \"confidence\" = the policy's own least token probability"),
    OPT_STR("format", "", "NAME|FILE", CLI_NOTE,
            "how somebody else's model is read: a name that reward show lists, or a YAML file"),
    OPT_PATH("reference", "", CLI_NOTE, "log-ratio: the model that the policy began as"),
    OPT_NAME,
};
const cli_group cli_reward_score_group = CLI_GROUP_OF("scoring", score_opts);
static const cli_opt show_opts[] = {
    OPT_PATH("file", "", CLI_FREE,
             "the reward model, or a format's name or file; nothing = the list of formats"),
};
const cli_group cli_reward_show_group = CLI_GROUP_OF("show", show_opts);

static void tune_options(rung_reward_train_opts *o, const cli_call *c) {
    static const struct {
        const char *name;
        rung_tune tune;
    } tunes[] = {{"head", RUNG_TUNE_HEAD}, {"lora", RUNG_TUNE_LORA}, {"all", RUNG_TUNE_ALL}};
    for (size_t i = 0; i < CLI_N(tunes); i++)
        if (strcmp(cli_str(c, "tune"), tunes[i].name) == 0) o->tune = tunes[i].tune;
    o->lora.rank = (int32_t)cli_int(c, "lora-rank");
    o->lora.alpha = cli_real(c, "lora-alpha");
    o->lora.dropout = cli_real(c, "lora-dropout");
    o->lora.targets = cli_str(c, "lora-targets");
    o->clip_value = cli_real(c, "clip-value");
    o->precision = cli_str(c, "precision");
    o->memory = cli_int(c, "memory-mib") << 20;
}

/* What the model reads and how its score is made; a format says the rest of it. */
static rung_status structure_options(rung_reward_train_opts *o, const cli_call *c,
                                     rung_error *err) {
    static const char *const said[] = {"beta", "aggregate"};
    o->n_out = strcmp(cli_str(c, "outputs"), "2") == 0 ? 2 : 1;
    o->single = strcmp(cli_str(c, "mode"), "single") == 0;
    o->plain = strcmp(cli_str(c, "squash"), "none") == 0;
    o->format = cli_str(c, "format");
    if (!o->format) return RUNG_OK;
    if (!cli_is_set(c, "outputs")) o->n_out = 0; /* as the format says */
    for (size_t i = 0; i < CLI_N(said); i++)
        if (cli_is_set(c, said[i]))
            return rung_fail(err, RUNG_E_INVAL, "format %s says the %s: leave --%s out", o->format,
                             said[i], said[i]);
    return RUNG_OK;
}

static rung_status train_options(rung_reward_train_opts *o, cli_call *c, rung_store *s,
                                 rung_error *err) {
    const char *label_run = cli_str(c, "label-run");
    RUNG_TRY(cli_need(c, "base", "--base models/tiny.gguf", err));
    RUNG_TRY(cli_need(c, "out", "--out prm.gguf", err));
    RUNG_TRY(cli_can_write(cli_str(c, "out"), err));
    RUNG_TRY(cli_filter(&o->traces, c, s, err));
    if (label_run) RUNG_TRY(cli_run_lookup(&o->label_run, c, s, label_run, err));
    if (!rung_reward_kind_find(&o->kind, cli_str(c, "kind"))) {
        return rung_fail(err, RUNG_E_INVAL, "no kind %s", cli_str(c, "kind"));
    }
    if (!rung_aggregate_find(&o->aggregate, cli_str(c, "aggregate"))) {
        return rung_fail(err, RUNG_E_INVAL, "no aggregate %s", cli_str(c, "aggregate"));
    }
    o->label_source = cli_str(c, "source");
    o->soft = cli_flag(c, "soft");
    o->base_path = cli_str(c, "base");
    o->out_path = cli_str(c, "out");
    o->seed = (uint64_t)cli_int(c, "seed");
    o->held_share = cli_real(c, "held-share");
    o->n_hidden = (int32_t)cli_int(c, "hidden");
    o->epochs = (int32_t)cli_int(c, "epochs");
    o->batch = (int32_t)cli_int(c, "batch");
    o->lr = cli_real(c, "lr");
    o->system = cli_str(c, "system");
    o->chat_template = cli_str(c, "chat-template");
    o->suffix = cli_str(c, "suffix");
    o->tag = cli_str(c, "tag");
    o->read_before_tag = cli_flag(c, "read-before-tag");
    o->tag_first = cli_flag(c, "tag-first");
    o->keep_after_error = cli_flag(c, "keep-after-error");
    o->exact = cli_flag(c, "exact");
    o->patience = (int32_t)cli_int(c, "patience");
    o->save_type = cli_str(c, "save-type");
    o->drop_too_long = strcmp(cli_str(c, "too-long"), "drop") == 0;
    o->tensorboard = cli_str(c, "tensorboard");
    o->loss = cli_str(c, "loss");
    o->beta = cli_real(c, "beta");
    tune_options(o, c);
    RUNG_TRY(structure_options(o, c, err));
    const char *balance = cli_str(c, "balance");
    o->balance = strcmp(balance, "dataset") == 0       ? RUNG_BALANCE_DATASET
                 : strcmp(balance, "instruction") == 0 ? RUNG_BALANCE_INSTRUCTION
                                                       : RUNG_BALANCE_NONE;
    return RUNG_OK;
}

static void train_result(cli_call *c, const rung_run *run, const rung_reward_report *r, double t0) {
    rung_buf_printf(&c->summary,
                    "%s: %s on %lld steps, held out %lld: loss %.4f, AUC %.3f, Brier %.3f, ECE "
                    "%.3f (%d epochs)",
                    cli_str(c, "out"), cli_str(c, "kind"), (long long)r->n_train,
                    (long long)r->n_held, r->loss_held, r->auc_held, r->brier_held, r->ece_held,
                    r->epochs);
    cli_result_open(c, run);
    cli_result_str(c, "kind", cli_str(c, "kind"));
    cli_result_str(c, "out", cli_str(c, "out"));
    cli_result_int(c, "n_train", r->n_train);
    cli_result_int(c, "n_held", r->n_held);
    cli_result_real(c, "loss_train", r->loss_train);
    cli_result_real(c, "loss_held", r->loss_held);
    cli_result_real(c, "auc_held", r->auc_held);
    cli_result_real(c, "brier_held", r->brier_held);
    cli_result_real(c, "ece_held", r->ece_held);
    cli_result_int(c, "epochs", r->epochs);
    cli_result_close(c, t0);
}

/* The result that this run left in the store, when it is finished and its file is there. */
static rung_status earlier_result(bool *found, cli_call *c, rung_store *s, const rung_run *run,
                                  rung_error *err) {
    rung_iter *it = NULL;
    int64_t id;
    const char *json;
    *found = false;
    if (run->finished_ms == 0 || cli_flag(c, "force")) return RUNG_OK;
    if (access(cli_str(c, "out"), R_OK) != 0) return RUNG_OK;
    RUNG_TRY(rung_result_iter(&it, s, "reward.train", err));
    rung_status st;
    while ((st = rung_result_next(&id, &json, it, err)) == RUNG_OK) {
        if (id != run->id) continue;
        rung_buf_str(&c->result, json);
        *found = true;
        break;
    }
    rung_iter_free(it);
    return st == RUNG_DONE ? RUNG_OK : st;
}

rung_status cli_reward_train(cli_call *c, rung_error *err) {
    rung_reward_train_opts o = RUNG_REWARD_TRAIN_OPTS_INIT;
    rung_reward_report r;
    rung_store *s;
    rung_run run;
    char base_hash[33];
    bool done = false;
    double t0 = rung_now();
    RUNG_TRY(cli_store(&s, c, RUNG_STORE_CREATE, err));
    RUNG_TRY(train_options(&o, c, s, err));
    RUNG_TRY(rung_hash_file(base_hash, o.base_path, err));
    RUNG_TRY(rung_model_try(o.base_path, &c->app->log, err));
    bool head = o.kind == RUNG_REWARD_PRM_HEAD || o.kind == RUNG_REWARD_ORM_HEAD;
    if (head && (o.tune == RUNG_TUNE_DEFAULT || o.tune == RUNG_TUNE_HEAD)) {
        RUNG_TRY(cli_weights(&o.weights, c, o.base_path, 0, err));
    }
    RUNG_TRY(cli_run_begin(&run, c, base_hash, err));
    RUNG_TRY(earlier_result(&done, c, s, &run, err));
    if (done) {
        rung_buf_printf(&c->summary, "%s is there, from this very training; --force trains again",
                        o.out_path);
        return RUNG_OK;
    }
    memset(&r, 0, sizeof r);
    RUNG_TRY(rung_reward_train(&r, s, run.id, &o, &c->app->log, err));
    train_result(c, &run, &r, t0);
    return cli_run_end(c, &run, "reward.train", 0, err);
}

/* ---- score */

/* A head and another sidecar need the policy they belong to; a model brings its own engine. */
static rung_status open_reward(rung_reward **r, cli_engine *e, cli_call *c, const char *path,
                               rung_error *err) {
    rung_reward_open_opts o = RUNG_REWARD_OPEN_OPTS_INIT;
    rung_engine_opts eo = RUNG_ENGINE_OPTS_INIT;
    bool base = false;
    cli_engine_opts(&eo, c);
    o.format = cli_str(c, "format");
    o.reference = cli_str(c, "reference");
    o.engine = &eo;
    o.log = &c->app->log;
    RUNG_TRY(rung_reward_needs_base(&base, path, err));
    if (o.reference) RUNG_TRY(rung_model_try(o.reference, o.log, err));
    if (!base && strcmp(path, "confidence") != 0) RUNG_TRY(rung_model_try(path, o.log, err));
    if (base)
        RUNG_TRY(cli_engine_open(e, c, err));
    else
        RUNG_TRY(cli_weights(&o.weights, c, path, 0, err));
    o.base = e->engine;
    return rung_reward_open_as(r, path, &o, err);
}

static void score_result(cli_call *c, const rung_run *run, const rung_reward *r,
                         const rung_score_report *o, double t0) {
    const char *path = cli_str(c, "file"), *kind = rung_reward_kind_name(rung_reward_kind_of(r));
    rung_buf_printf(&c->summary,
                    "scored %lld steps of %lld traces with %s (%s), model %lld of the store: %lld "
                    "tokens read, %lld from the cache, %.2f s",
                    (long long)o->n_steps, (long long)o->n_traces, path, kind, (long long)o->model,
                    (long long)o->n_tok, (long long)o->n_tok_cached, o->wall_s);
    if (o->n_skipped)
        rung_buf_printf(&c->summary,
                        "; %lld traces NOT scored: %lld whose read-outs are not their steps, %lld "
                        "too long for the context, %lld for other reasons",
                        (long long)o->n_skipped, (long long)o->n_skipped_tag,
                        (long long)o->n_skipped_context,
                        (long long)(o->n_skipped - o->n_skipped_tag - o->n_skipped_context));
    cli_result_open(c, run);
    cli_result_int(c, "model", o->model);
    cli_result_str(c, "kind", kind);
    cli_result_str(c, "file", path);
    cli_result_str(c, "weights", cli_str(c, "weights"));
    cli_result_str(c, "aggregate", rung_aggregate_name(rung_reward_aggregate_of(r)));
    cli_result_int(c, "n_traces", o->n_traces);
    cli_result_int(c, "n_scored", o->n_scored);
    cli_result_int(c, "n_steps", o->n_steps);
    cli_result_int(c, "scored_tokens", o->n_tok);
    cli_result_int(c, "cached_tokens", o->n_tok_cached);
    cli_result_real(c, "score_s", o->wall_s);
    cli_result_int(c, "n_skipped", o->n_skipped);
    cli_result_int(c, "n_skipped_tag", o->n_skipped_tag);
    cli_result_int(c, "n_skipped_context", o->n_skipped_context);
    cli_result_close(c, t0);
}

rung_status cli_reward_score(cli_call *c, rung_error *err) {
    rung_store *s;
    rung_filter f;
    rung_run run;
    rung_reward *r = NULL;
    rung_score_report o;
    cli_engine e = {0};
    double t0 = rung_now();
    const char *path = cli_str(c, "file");
    RUNG_TRY(cli_store(&s, c, RUNG_STORE_CREATE, err));
    RUNG_TRY(cli_filter(&f, c, s, err));
    rung_status st = open_reward(&r, &e, c, path, err);
    if (st == RUNG_OK) st = cli_run_begin(&run, c, rung_reward_hash(r), err);
    if (st == RUNG_OK) st = rung_reward_score(&o, r, s, run.id, &f, &c->app->log, err);
    if (r) cli_exact_cost(c, rung_reward_engine(r));
    if (st == RUNG_OK) st = cli_run_end(c, &run, NULL, 0, err);
    if (st == RUNG_OK) score_result(c, &run, r, &o, t0);
    rung_reward_free(r);
    cli_engine_close(&e);
    return st;
}

/* ---- show */

static rung_status show_formats(cli_call *c, rung_error *err) {
    static const char *const head[] = {"format", "what it reads"};
    char name[48], help[160];
    cli_table t;
    cli_table_init(&t, head, 2);
    cli_result_open(c, NULL);
    for (size_t i = 0; rung_reward_format_at(name, help, i); i++) {
        cli_cell(&t, "%s", name);
        cli_cell(&t, "%s", help);
        cli_result_str(c, name, help);
    }
    cli_result_close(c, 0);
    if (!c->app->json) return cli_table_print(&t, c->app, err);
    rung_buf_clear(&t.cells);
    return RUNG_OK;
}

static rung_status show_format(cli_call *c, const char *name, rung_error *err) {
    rung_buf yaml;
    rung_buf_init(&yaml, 1u << 20);
    rung_status st = rung_reward_format_show(&yaml, name, err);
    if (st == RUNG_OK) {
        cli_result_open(c, NULL);
        cli_result_str(c, "format", yaml.data);
        cli_result_close(c, 0);
        if (!c->app->json) st = cli_out(c->app, yaml.data, yaml.n, err);
    }
    rung_buf_clear(&yaml);
    return st;
}

/* A name of the table, or a file that does not begin like a GGUF file. */
static bool is_format(const char *what) {
    char name[48], help[160], magic[4] = "";
    for (size_t i = 0; rung_reward_format_at(name, help, i); i++)
        if (strcmp(name, what) == 0) return true;
    FILE *f = fopen(what, "rb");
    bool gguf = !f || (fread(magic, 1, 4, f) == 4 && memcmp(magic, "GGUF", 4) == 0);
    if (f) fclose(f);
    return !gguf;
}

rung_status cli_reward_show(cli_call *c, rung_error *err) {
    static const char *const keys[] = {
        "kind",      "version",  "tune",        "base_name",    "base_hash", "system", "suffix",
        "tag",       "read",     "aggregate",   "label_source", "label_run", "target", "loss",
        "masked",    "split",    "data",        "config",       "n_train",   "n_held", "train_loss",
        "held_loss", "held_auc", "held_brier",  "held_ece",     "epochs",    "source", "format",
        "combine",   "members",  "calibration", "outputs",      "balance"};
    static const char *const head[] = {"key", "value"};
    rung_gguf *g = NULL;
    cli_table t;
    char key[96];
    const char *path = cli_str(c, "file");
    if (!path) return show_formats(c, err);
    if (is_format(path)) return show_format(c, path, err);
    RUNG_TRY(rung_gguf_open(&g, path, err));
    if (!rung_gguf_has(g, "rung.reward.kind") && !rung_gguf_has(g, "rung.reward.format")) {
        rung_gguf_free(g);
        return rung_fail(err, RUNG_E_MODEL, "\"%s\" is not a reward model", path);
    }
    cli_table_init(&t, head, 2);
    cli_result_open(c, NULL);
    for (size_t i = 0; i < CLI_N(keys); i++) {
        snprintf(key, sizeof key, "rung.reward.%s", keys[i]);
        const char *v = rung_gguf_str(g, key, NULL);
        if (!v) continue;
        cli_cell(&t, "%s", keys[i]);
        cli_cell(&t, "%s", v);
        cli_result_str(c, keys[i], v);
    }
    cli_result_close(c, 0);
    rung_gguf_free(g);
    if (!c->app->json) return cli_table_print(&t, c->app, err);
    rung_buf_clear(&t.cells);
    return RUNG_OK;
}
