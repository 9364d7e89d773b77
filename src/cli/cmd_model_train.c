/* rung model train: a small policy from nothing, on the worlds' solving and checking text; or any
 * llama or qwen2 file further, whole or through adapters, on pairs of prompt and reply (--data) or
 * on traces of the store (--run). */
#include "cli/session.h"
#include "cli/train_data.h"
#include "cli/train_text.h"
#include "rung/curve.h"
#include "rung/stat.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const cli_opt train_opts[] = {
    OPT_PATH("out", "", CLI_NOTE, "the GGUF file to write"),
    OPT_PATH("from", "", CLI_NOTE,
             "go on from this file's weights (its shape wins), empty = from nothing"),
    OPT_PATH(
        "data", "", CLI_NOTE,
        "JSON lines of prompt and completion (or question, answer), for --from; empty = worlds"),
    OPT_INT("documents", "0", "N", 0, 1e9, CLI_KEY,
            "rows of --data, or traces, to train on; 0 = all but --held"),
    OPT_CHOICE("keep", "correct", "correct|known|all", CLI_KEY,
               "traces: the right ones, those with a verdict, all"),
    OPT_BOOL("duplicates", "false", CLI_KEY, "traces: also a text that its problem has already"),
    OPT_STR("until", "", "SOURCE", CLI_KEY,
            "traces: the loss counts up to the first step that labels of this source call wrong"),
    OPT_STR("label-run", "", "NAME", CLI_KEY, "--until: labels of this run, empty = the newest"),
    OPT_INT("lora-rank", "0", "RANK", 0, 4096, CLI_KEY,
            "train adapters of this rank on the file's weights as they are, 0 = all weights"),
    OPT_REAL("lora-alpha", "0", "ALPHA", 0, 1e6, CLI_KEY, "scale is ALPHA / RANK, 0 = 2 RANK"),
    OPT_REAL("lora-dropout", "0", "P", 0, 0.99, CLI_KEY, "dropout before the adapters"),
    OPT_STR("lora-targets", "attn_q,attn_v", "LIST", CLI_KEY,
            "tensors with adapters, as GGUF names them, or all"),
    OPT_PATH("lora-out", "", CLI_NOTE, "also write the adapters alone, for libllama's --lora"),
    OPT_CHOICE("precision", "auto", "auto|f32|bf16", CLI_KEY,
               "of matrix products; bf16 needs a CPU that has it"),
    OPT_INT("memory-mib", "0", "MIB", 0, 1e9, CLI_FREE,
            "budget for activations, layers beyond it are run twice; 0 = keep all"),
    OPT_INT("accumulate", "1", "N", 1, 65536, CLI_KEY, "batches a step"),
    OPT_REAL("ema", "0", "DECAY", 0, 1, CLI_KEY, "save the moving average of weights, 0 = off"),
    OPT_INT("embd", "192", "D", 8, 8192, CLI_KEY, "width"),
    OPT_INT("layers", "4", "L", 1, 128, CLI_KEY, "layers"),
    OPT_INT("heads", "2", "H", 1, 128, CLI_KEY, "attention heads; few and wide sample faster"),
    OPT_INT("ff", "512", "N", 8, 65536, CLI_KEY, "width of the feed-forward layers"),
    OPT_INT("ctx", "256", "TOKENS", 8, 65536, CLI_KEY, "context length written into the file"),
    OPT_BOOL("tied", "true", CLI_KEY, "one matrix for token embedding and output"),
    OPT_INT("rows", "32", "ROWS", 1, 4096, CLI_KEY, "rows of a step"),
    OPT_INT("tokens", "256", "TOKENS", 8, 65536, CLI_KEY, "tokens of a row"),
    OPT_INT("steps", "2000", "STEPS", 1, 1e9, CLI_KEY, "optimiser steps"),
    OPT_REAL("lr", "0.002", "LR", 0, 1, CLI_KEY, "highest learning rate"),
    OPT_REAL("lr-min", "0.0001", "LR", 0, 1, CLI_KEY, "learning rate at the end"),
    OPT_INT("warmup", "100", "STEPS", 0, 1e9, CLI_KEY, "steps until the highest learning rate"),
    OPT_CHOICE("schedule", "cosine", "constant|linear|cosine", CLI_KEY, "learning rate over time"),
    OPT_REAL("weight-decay", "0.1", "W", 0, 10, CLI_KEY, "AdamW's"),
    OPT_REAL("beta2", "0.95", "B", 0, 1, CLI_KEY, "AdamW's second decay"),
    OPT_REAL("clip", "1", "NORM", 0, 1e9, CLI_KEY, "largest gradient norm, 0 = off"),
    OPT_SEED,
    OPT_STR("worlds", "total,word", "LIST", CLI_KEY, "worlds of the text"),
    OPT_REAL("share-check", "-1", "SHARE", -1, 1, CLI_KEY, "share of checking text, -1 = 0.3"),
    OPT_REAL("share-bare", "-1", "SHARE", -1, 1, CLI_KEY,
             "share of checking text that is lines without a problem, -1 = 0.5"),
    OPT_REAL("misconception", "-1", "P", -1, 1, CLI_KEY,
             "chance to forget carry or borrow at a hard operation, -1 = 0.6"),
    OPT_REAL("slip", "-1", "P", -1, 1, CLI_KEY, "random slips per line, -1 = drawn per document"),
    OPT_REAL("repair", "-1", "P", -1, 1, CLI_KEY,
             "chance per line after an error to restart from the truth, -1 = 0.1"),
    OPT_REAL("hard", "0", "SHARE", 0, 1, CLI_KEY, "share of hard operations, 0 = as they fall"),
    OPT_REAL("distract", "0", "P", -1, 1, CLI_KEY,
             "chance per line of the distractor's number, 0 = 0.03, -1 = never"),
    OPT_REAL("check-weight", "1", "W", 0, 1000, CLI_KEY, "loss weight of a verdict"),
    OPT_REAL("check-lm", "0.3", "W", 0, 1000, CLI_KEY,
             "loss weight of a line's true result in checking text"),
    OPT_INT("held", "512", "DOCUMENTS", 0, 1e6, CLI_KEY, "held-out documents for the last figure"),
    OPT_PATH("checkpoint", "", CLI_FREE, "empty = beside --out, removed at the end"),
    OPT_INT("checkpoint-every", "200", "STEPS", 1, 1e9, CLI_FREE, "steps between checkpoints"),
    OPT_CHOICE("too-long", "refuse", "refuse|drop", CLI_KEY,
               "documents longer than a row: stop, or leave out and tell"),
    OPT_PATH("tensorboard", "", CLI_FREE, "curves also as TensorBoard event files in this folder"),
    OPT_INT("keep-last", "1", "N", 1, 1000, CLI_FREE, "checkpoints kept"),
    OPT_CHOICE("type", "f16", "f32|f16|bf16|q8_0|keep", CLI_KEY,
               "number format of the file; keep: what has no adapters stays as it was"),
    OPT_STR("model-name", "rung-tiny", "NAME", CLI_KEY, "general.name of the file"),
    OPT_BOOL("force", "false", CLI_FREE, "train again though the file is there"),
    OPT_NAME,
};
const cli_group cli_model_train_group = CLI_GROUP_OF("training", train_opts);

enum { BOOT = 10000 };
static const uint64_t held_first = 1ull << 40; /* documents that no training run reaches */

typedef struct job {
    cli_call *c;
    rung_store *store; /* NULL: no metrics kept */
    rung_run run;
    const char *extra; /* hash of the file gone on from; NULL: none */
    char hash[33], checkpoint[4096], vocab_path[4096], tokens[4096];
    rung_net *net;
    rung_model *vocab;
    train_text text;
    train_data data;
    train_source source;
    double *before, *after, loss_before, loss_after; /* of held-out documents */
    rung_curve *curve;
} job;

static bool has(const cli_call *c, const char *opt) {
    const char *s = cli_str(c, opt);
    return s && s[0];
}

/* Text to go on from: a file of pairs, or traces of the store. */
static bool from_traces(const cli_call *c) {
    return has(c, "run") || has(c, "set") || has(c, "split");
}
static bool has_text(const cli_call *c) {
    return has(c, "data") || from_traces(c);
}

static void on_metric(void *ud, int64_t step, const char *name, double value) {
    job *j = ud;
    if (!name) { /* a checkpoint comes: a failure is told at the end */
        (void)rung_curve_flush(j->curve, NULL);
        return;
    }
    rung_curve_put(j->curve, step, name, value);
    if (strcmp(name, RUNG_CURVE_LOSS) == 0 && step % 50 == 0) {
        rung_event(&j->c->app->log, RUNG_INFO, "model.train", RUNG_I("step", step),
                   RUNG_D("loss", value));
    }
}

/* The same training has already written this file? */
static bool already_there(const job *j, const char *out) {
    rung_model_opts o = RUNG_MODEL_OPTS_INIT;
    rung_model *m = NULL;
    rung_error ignored = RUNG_ERROR_INIT;
    char have[64];
    o.vocab_only = true;
    if (access(out, R_OK) != 0 || rung_model_load(&m, out, &o, &ignored) != RUNG_OK) return false;
    const char *hash = rung_model_meta(m, "rung.train.hash", have, sizeof have);
    bool same = hash && strcmp(hash, j->hash) == 0;
    rung_model_free(m);
    return same;
}

static rung_status load_net(job *j, const char *from, rung_error *err) {
    cli_call *c = j->c;
    if (cli_int(c, "lora-rank") == 0) return rung_net_load(&j->net, from, err);
    rung_lora_opts o = RUNG_LORA_OPTS_INIT;
    o.rank = (int32_t)cli_int(c, "lora-rank");
    o.alpha = cli_real(c, "lora-alpha");
    o.dropout = cli_real(c, "lora-dropout");
    o.targets = cli_str(c, "lora-targets");
    o.seed = (uint64_t)cli_int(c, "seed");
    RUNG_TRY(rung_net_load_frozen(&j->net, from, err));
    return rung_net_add_lora(j->net, &o, err);
}

static rung_status world_net(job *j, rung_error *err) {
    cli_call *c = j->c;
    rung_vocab *v = NULL;
    RUNG_TRY(rung_corpus_vocab(&v, err));
    rung_net_shape shape = {
        .n_vocab = rung_vocab_size(v),
        .n_embd = (int32_t)cli_int(c, "embd"),
        .n_layer = (int32_t)cli_int(c, "layers"),
        .n_head = (int32_t)cli_int(c, "heads"),
        .n_head_kv = (int32_t)cli_int(c, "heads"),
        .n_ff = (int32_t)cli_int(c, "ff"),
        .n_ctx = (int32_t)cli_int(c, "ctx"),
        .rope_base = 10000.0f,
        .rms_eps = 1e-5f,
        .tied = cli_flag(c, "tied"),
    };
    rung_status st = has(c, "from")
                         ? load_net(j, cli_str(c, "from"), err)
                         : rung_net_new(&j->net, &shape, (uint64_t)cli_int(c, "seed"), err);
    if (st == RUNG_OK) st = train_text_set_vocab(j->net, v, err);
    rung_vocab_free(v);
    if (st == RUNG_OK) rung_net_set_meta(j->net, "general.name", cli_str(c, "model-name"));
    return st;
}

static rung_status make_net(job *j, const char *config, rung_error *err) {
    cli_call *c = j->c;
    RUNG_TRY(has_text(c) ? load_net(j, cli_str(c, "from"), err) : world_net(j, err));
    rung_net_set_meta(j->net, "rung.train.config", config);
    rung_net_set_meta(j->net, "rung.train.hash", j->hash);
    rung_net_set_memory(j->net, cli_int(c, "memory-mib") << 20);
    RUNG_TRY(rung_net_set_ema(j->net, cli_real(c, "ema"), err));
    return rung_net_set_precision(j->net, cli_str(c, "precision"), err);
}

/* The base's own vocabulary and chat template. */
static rung_status open_data(job *j, rung_error *err) {
    cli_call *c = j->c;
    rung_model_opts o = RUNG_MODEL_OPTS_INIT;
    o.vocab_only = true;
    RUNG_TRY(rung_model_load(&j->vocab, cli_str(c, "from"), &o, err));
    j->data.seed = (uint64_t)cli_int(c, "seed");
    j->data.rows = (int32_t)cli_int(c, "rows");
    j->data.row_tok = (int32_t)cli_int(c, "tokens");
    j->source.vocab = j->vocab;
    RUNG_TRY(train_data_open(&j->data, j->tokens, j->hash, &j->source, err));
    rung_event(&c->app->log, RUNG_INFO, "model.documents", RUNG_I("train", j->data.n_train),
               RUNG_I("held", j->data.n_docs - j->data.n_train),
               RUNG_I("tokens", j->data.spool.n_tok));
    size_t n = (size_t)(j->data.n_docs - j->data.n_train);
    j->before = rung_calloc(n + 1, sizeof *j->before);
    j->after = rung_calloc(n + 1, sizeof *j->after);
    if (!j->before || !j->after) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    j->data.held_loss = j->after;
    return n ? train_data_losses(j->before, &j->loss_before, &j->data, j->net, err) : RUNG_OK;
}

/* Tokens come from the exported vocabulary itself, so that training reads what sampling will read.
 */
static rung_status open_vocab(job *j, rung_error *err) {
    rung_model_opts o = RUNG_MODEL_OPTS_INIT;
    o.vocab_only = true;
    RUNG_TRY(rung_net_save(j->net, j->vocab_path, "f16", err));
    rung_status st = rung_model_load(&j->vocab, j->vocab_path, &o, err);
    (void)unlink(j->vocab_path);
    if (st != RUNG_OK) return st;
    static const char *const names[] = {"<|eos|>", "<?>", "<+>", "<->"};
    for (int32_t i = 0; i < 4; i++) {
        int32_t got = rung_model_token(j->vocab, names[i]);
        if (got == i) continue;
        return rung_fail(err, RUNG_E_MISMATCH, "the exported vocabulary has %s at %d, not at %d",
                         names[i], got, i);
    }
    return RUNG_OK;
}

static void fill_text(job *j) {
    const cli_call *c = j->c;
    rung_corpus_opts corpus = RUNG_CORPUS_OPTS_INIT;
    corpus.seed = (uint64_t)cli_int(c, "seed");
    corpus.share_check = cli_real(c, "share-check");
    corpus.bare = cli_real(c, "share-bare");
    corpus.slip = cli_real(c, "slip");
    corpus.repair = cli_real(c, "repair");
    corpus.misconception = cli_real(c, "misconception");
    corpus.hard = cli_real(c, "hard");
    corpus.distract = cli_real(c, "distract");
    corpus.worlds = cli_str(c, "worlds");
    j->text.corpus = corpus;
    j->text.vocab = j->vocab;
    j->text.check_weight = (float)cli_real(c, "check-weight");
    j->text.check_lm = (float)cli_real(c, "check-lm");
}

static rung_status train(job *j, rung_error *err) {
    const cli_call *c = j->c;
    const char *schedule = cli_str(c, "schedule");
    rung_adamw adamw = RUNG_ADAMW_INIT;
    adamw.lr = cli_real(c, "lr");
    adamw.weight_decay = cli_real(c, "weight-decay");
    adamw.beta2 = cli_real(c, "beta2");
    adamw.clip = cli_real(c, "clip");
    rung_sft_opts o = {
        .struct_size = sizeof o,
        .steps = cli_int(c, "steps"),
        .rows = (int32_t)cli_int(c, "rows"),
        .n_tok = (int32_t)cli_int(c, "tokens"),
        .adamw = adamw,
        .schedule = strcmp(schedule, "cosine") == 0   ? RUNG_SCHEDULE_COSINE
                    : strcmp(schedule, "linear") == 0 ? RUNG_SCHEDULE_LINEAR
                                                      : RUNG_SCHEDULE_CONSTANT,
        .warmup = cli_int(c, "warmup"),
        .lr_min = cli_real(c, "lr-min"),
        .seed = (uint64_t)cli_int(c, "seed"),
        .checkpoint = j->checkpoint,
        .checkpoint_every = cli_int(c, "checkpoint-every"),
        .doc = has_text(c) ? train_data_doc : train_text_doc,
        .ud = has_text(c) ? (void *)&j->data : (void *)&j->text,
        .accumulate = (int32_t)cli_int(c, "accumulate"),
        .keep_last = (int32_t)cli_int(c, "keep-last"),
        .held = has_text(c) && cli_int(c, "held") > 0 ? train_data_held : NULL,
        .on_metric = on_metric,
        .metric_ud = j,
        .drop_too_long = strcmp(cli_str(c, "too-long"), "drop") == 0,
    };
    RUNG_TRY(rung_curve_open(&j->curve, j->store, j->run.id, cli_str(c, "tensorboard"),
                             &c->app->log, err));
    rung_status st = rung_sft_train(j->net, &o, &c->app->log, err);
    rung_error lost = RUNG_ERROR_INIT;
    if (rung_curve_close(j->curve, &lost) != RUNG_OK)
        rung_event(&c->app->log, RUNG_WARN, "model.metric_lost", RUNG_S("why", lost.what));
    return st;
}

/* Mean loss of a token of the held-out replies that index names. */
typedef struct held_losses {
    const train_data *data;
    const double *loss; /* [n_held] mean of each */
} held_losses;

static double token_mean(void *ud, const uint32_t *index, int64_t n) {
    const held_losses *h = ud;
    double sum = 0, count = 0;
    for (int64_t i = 0; i < n; i++) {
        double n_tok = (double)train_data_held_tok(h->data, (int32_t)index[i]);
        sum += n_tok * h->loss[index[i]];
        count += n_tok;
    }
    return sum / count;
}

static rung_interval loss_interval(const job *j, const double *loss, int64_t n) {
    held_losses h = {&j->data, loss};
    return rung_bootstrap(token_mean, &h, n, BOOT, 0.95, (uint64_t)cli_int(j->c, "seed"));
}

static rung_status report_data(job *j, const char *out, double t0, rung_error *err) {
    cli_call *c = j->c;
    int64_t n = j->data.n_docs - j->data.n_train;
    rung_interval none = {(double)NAN, (double)NAN}, ci = none, before = none, after = none;
    double mean = n > 0 ? 0 : (double)NAN;
    if (n == 0) j->loss_before = j->loss_after = (double)NAN;
    if (n > 0) {
        j->loss_after = j->data.held_mean;
        /* the last checkpoint measured these very weights, but for a moving average */
        if (j->data.held_step != rung_net_steps(j->net) || cli_real(c, "ema") > 0)
            RUNG_TRY(train_data_losses(j->after, &j->loss_after, &j->data, j->net, err));
        before = loss_interval(j, j->before, n);
        after = loss_interval(j, j->after, n);
        for (int64_t i = 0; i < n; i++) {
            j->after[i] -= j->before[i];
            mean += j->after[i] / (double)n;
        }
        ci = rung_bootstrap_mean(j->after, n, BOOT, 0.95, (uint64_t)cli_int(c, "seed"));
    }
    rung_buf_printf(&c->summary, "%s: %.2f M parameters, %.3f M trained; ", out,
                    (double)rung_net_n_params(j->net) / 1e6,
                    (double)rung_net_n_trained(j->net) / 1e6);
    if (n > 0)
        rung_buf_printf(&c->summary,
                        "loss on %lld held-out replies %.4f [%.4f, %.4f] before, %.4f [%.4f, %.4f] "
                        "after; change a reply %.4f [%.4f, %.4f]; ",
                        (long long)n, j->loss_before, before.lo, before.hi, j->loss_after, after.lo,
                        after.hi, mean, ci.lo, ci.hi);
    rung_buf_printf(&c->summary, "%.0f s", rung_now() - t0);
    cli_result_open(c, j->store ? &j->run : NULL);
    cli_result_str(c, "out", out);
    cli_result_int(c, "n_params", rung_net_n_params(j->net));
    cli_result_int(c, "n_trained", rung_net_n_trained(j->net));
    cli_result_int(c, "steps", cli_int(c, "steps"));
    cli_result_int(c, "n_docs", j->data.n_train);
    cli_result_int(c, "n_held", n);
    cli_result_real(c, "held_loss_before", j->loss_before);
    cli_result_real(c, "held_loss_before_lo", before.lo);
    cli_result_real(c, "held_loss_before_hi", before.hi);
    cli_result_real(c, "held_loss", j->loss_after);
    cli_result_real(c, "held_loss_lo", after.lo);
    cli_result_real(c, "held_loss_hi", after.hi);
    cli_result_real(c, "change", mean);
    cli_result_real(c, "change_lo", ci.lo);
    cli_result_real(c, "change_hi", ci.hi);
    cli_result_close(c, t0);
    return RUNG_OK;
}

static rung_status report(job *j, const char *out, double t0, rung_error *err) {
    cli_call *c = j->c;
    c->tokens = cli_int(c, "steps") * cli_int(c, "rows") * cli_int(c, "tokens");
    if (has_text(c)) return report_data(j, out, t0, err);
    train_held h = {
        .loss_solve = (double)NAN, .loss_check = (double)NAN, .check_accuracy = (double)NAN};
    if (cli_int(c, "held") > 0) {
        RUNG_TRY(train_text_held(&h, j->net, &j->text, held_first, cli_int(c, "held"),
                                 (int32_t)cli_int(c, "rows"), (int32_t)cli_int(c, "tokens"),
                                 &c->app->log, err));
    }
    rung_buf_printf(&c->summary,
                    "%s: %.2f M parameters; held-out loss %.4f on solutions (%lld tokens), %.4f on "
                    "verdicts (%lld, %.1f%% right); %.0f s",
                    out, (double)rung_net_n_params(j->net) / 1e6, h.loss_solve,
                    (long long)h.n_solve, h.loss_check, (long long)h.n_check,
                    100.0 * h.check_accuracy, rung_now() - t0);
    cli_result_open(c, j->store ? &j->run : NULL);
    cli_result_str(c, "out", out);
    cli_result_int(c, "n_params", rung_net_n_params(j->net));
    cli_result_int(c, "steps", cli_int(c, "steps"));
    cli_result_real(c, "held_loss", h.loss_solve);
    cli_result_real(c, "held_check_loss", h.loss_check);
    cli_result_real(c, "held_check_accuracy", h.check_accuracy);
    cli_result_close(c, t0);
    return RUNG_OK;
}

static rung_status check_options(const cli_call *c, rung_error *err) {
    if (has(c, "data") && from_traces(c)) {
        rung_fail(err, RUNG_E_INVAL, "--data and traces of the store cannot both be trained on");
        return rung_error_hint(err, "leave out --data, or --run, --set and --split");
    }
    if (!has(c, "from") && (has_text(c) || cli_int(c, "lora-rank") > 0)) {
        rung_fail(err, RUNG_E_INVAL, "%s needs --from, the model to go on from",
                  has(c, "data")   ? "--data"
                  : from_traces(c) ? "--run"
                                   : "--lora-rank");
        return rung_error_hint(err, "such as --from base.gguf");
    }
    if (has(c, "lora-out") && cli_int(c, "lora-rank") == 0)
        return rung_fail(err, RUNG_E_INVAL,
                         "--lora-out needs --lora-rank: all weights are trained");
    return RUNG_OK;
}

/* Of a training that is done; a named checkpoint stays. */
static void drop_checkpoints(const job *j) {
    char path[4200];
    (void)unlink(j->tokens);
    if (cli_str(j->c, "checkpoint")) return;
    (void)unlink(j->checkpoint);
    snprintf(path, sizeof path, "%s.best", j->checkpoint);
    (void)unlink(path);
    for (int64_t i = 1; i < cli_int(j->c, "keep-last"); i++) {
        snprintf(path, sizeof path, "%s.%lld", j->checkpoint, (long long)i);
        (void)unlink(path);
    }
}

static rung_status save_all(job *j, const char *out, rung_error *err) {
    cli_call *c = j->c;
    if (has(c, "lora-out"))
        RUNG_TRY(rung_net_save_lora(j->net, cli_str(c, "lora-out"), "f32", err));
    return rung_net_save(j->net, out, cli_str(c, "type"), err);
}

static rung_status fill_source(job *j, rung_error *err) {
    cli_call *c = j->c;
    const char *keep = cli_str(c, "keep"), *label_run = cli_str(c, "label-run");
    j->source = (train_source){.what = has(c, "data") ? "line" : "trace",
                               .path = has(c, "data") ? cli_str(c, "data") : NULL,
                               .store = j->store,
                               .correct = strcmp(keep, "correct") == 0,
                               .known = strcmp(keep, "known") == 0,
                               .duplicates = cli_flag(c, "duplicates"),
                               .system = cli_str(c, "system"),
                               .suffix = cli_str(c, "suffix"),
                               .labels = has(c, "until") ? cli_str(c, "until") : NULL,
                               .row_tok = (int32_t)cli_int(c, "tokens"),
                               .drop = strcmp(cli_str(c, "too-long"), "drop") == 0,
                               .n_train = (int32_t)cli_int(c, "documents"),
                               .n_held = (int32_t)cli_int(c, "held"),
                               .seed = (uint64_t)cli_int(c, "seed"),
                               .log = &c->app->log};
    if (has(c, "data")) return RUNG_OK;
    if (label_run && label_run[0])
        RUNG_TRY(cli_run_lookup(&j->source.label_run, c, j->store, label_run, err));
    return cli_filter(&j->source.filter, c, j->store, err);
}

/* What the file is made from beside the options: the base, the text. */
static rung_status hash_inputs(job *j, rung_error *err) {
    cli_call *c = j->c;
    char base[33] = "", text[33], both[66] = "";
    if (has(c, "from")) RUNG_TRY(rung_hash_file(base, cli_str(c, "from"), err));
    if (has_text(c)) {
        RUNG_TRY(fill_source(j, err));
        RUNG_TRY(train_source_hash(text, &j->source, err));
        snprintf(both, sizeof both, "%s.%s", base, text);
    } else {
        snprintf(both, sizeof both, "%s", base);
    }
    j->extra = both[0] ? rung_arena_strndup(c->app->arena, both, strlen(both)) : NULL;
    return both[0] && !j->extra ? rung_fail(err, RUNG_E_NOMEM, "out of memory") : RUNG_OK;
}

static rung_status prepare(job *j, const char *out, const char **config, rung_error *err) {
    cli_call *c = j->c;
    bool stored = c->in_recipe || cli_is_set(c, "store") || from_traces(c);
    rung_buf text;
    rung_buf_init(&text, 1u << 20);
    if (stored) RUNG_TRY(cli_store(&j->store, c, RUNG_STORE_CREATE, err));
    RUNG_TRY(hash_inputs(j, err));
    rung_status st = cli_config_text(&text, j->hash, c, j->extra, err);
    *config = st == RUNG_OK ? rung_arena_strndup(c->app->arena, text.data, text.n) : NULL;
    rung_buf_clear(&text);
    if (st != RUNG_OK) return st;
    if (!*config) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    const char *ckpt = cli_str(c, "checkpoint");
    if (ckpt)
        snprintf(j->checkpoint, sizeof j->checkpoint, "%s", ckpt);
    else
        snprintf(j->checkpoint, sizeof j->checkpoint, "%.4000s.%.8s.ckpt", out, j->hash);
    snprintf(j->vocab_path, sizeof j->vocab_path, "%.4000s.%.8s.vocab", out, j->hash);
    snprintf(j->tokens, sizeof j->tokens, "%.4000s.%.8s.tokens", out, j->hash);
    return stored ? cli_run_begin(&j->run, c, j->extra, err) : RUNG_OK;
}

rung_status cli_model_train(cli_call *c, rung_error *err) {
    RUNG_TRY(cli_need(c, "out", "--out tiny.gguf", err));
    const char *out = cli_str(c, "out"), *config = NULL;
    double t0 = rung_now();
    job j;
    memset(&j, 0, sizeof j);
    j.c = c;
    train_text_init(&j.text);
    rung_status st = check_options(c, err);
    if (st == RUNG_OK) st = cli_can_write(out, err);
    if (st == RUNG_OK) st = prepare(&j, out, &config, err);
    if (st == RUNG_OK && !cli_flag(c, "force") && already_there(&j, out)) {
        rung_buf_printf(&c->summary, "%s is there, from this very training; --force trains again",
                        out);
        cli_result_open(c, j.store ? &j.run : NULL);
        cli_result_str(c, "out", out);
        cli_result_close(c, 0);
        /* killed between the file and this line the last time */
        drop_checkpoints(&j);
        goto out;
    }
    if (st == RUNG_OK) st = make_net(&j, config, err);
    if (st == RUNG_OK) st = has_text(c) ? open_data(&j, err) : open_vocab(&j, err);
    if (st == RUNG_OK) {
        if (!has_text(c)) fill_text(&j);
        st = train(&j, err);
    }
    if (st == RUNG_OK) rung_net_swap_ema(j.net); /* nothing happens without one */
    if (st == RUNG_OK) st = save_all(&j, out, err);
    if (st == RUNG_OK) st = report(&j, out, t0, err);
    if (st == RUNG_OK) drop_checkpoints(&j);
    if (st == RUNG_OK && j.store) st = cli_run_end(c, &j.run, "model.train", t0, err);
out:
    rung_net_free(j.net);
    rung_model_free(j.vocab);
    train_text_clear(&j.text);
    train_data_clear(&j.data);
    rung_free(j.before);
    rung_free(j.after);
    return st;
}
