/* The file of a reward model: GGUF with the head's tensors (or the whole model), and keys
 * rung.reward.* that say what it belongs to and how it is to be used. */
#include "reward/reward_ensemble.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name, *row, *help;
} kinds[] = {
#define X(id, name, row, help) {name, row, help},
    RUNG_REWARD_KINDS(X)
#undef X
};

const char *rung_reward_kind_name(rung_reward_kind k) {
    return (unsigned)k < RUNG_REWARD_KIND_COUNT ? kinds[k].name : "?";
}

bool rung_reward_kind_find(rung_reward_kind *out, const char *name) {
    for (int i = 0; i < RUNG_REWARD_KIND_COUNT; i++)
        if (!strcmp(kinds[i].name, name)) {
            *out = (rung_reward_kind)i;
            return true;
        }
    return false;
}

bool reward_of_outcome(const rung_reward *r) {
    return r->n_members ? reward_of_outcome(r->member[0]) : r->kind == RUNG_REWARD_ORM_HEAD;
}

const char *reward_row_kind(const rung_reward *r) {
    return reward_of_outcome(r) ? "orm" : kinds[r->kind].row;
}

void reward_key_put(reward_keys *k, const char *key, const char *fmt, ...) {
    if (k->n == (int)(sizeof k->key / sizeof k->key[0])) return;
    va_list ap;
    va_start(ap, fmt);
    k->key[k->n] = key;
    vsnprintf(k->value[k->n++], sizeof k->value[0], fmt, ap);
    va_end(ap);
}

/* How the model is read, where that is more than the keys say: as somebody else's would be. */
static rung_status put_format(reward_keys *k, const reward_format *f, rung_error *err) {
    rung_buf b;
    rung_buf_init(&b, 1u << 20);
    reward_format_print(&b, f, false);
    rung_status st = rung_buf_check(&b, err);
    if (st == RUNG_OK && b.n >= sizeof k->value[0])
        st = rung_fail(err, RUNG_E_LIMIT, "a format of %zu bytes is too long", b.n);
    if (st == RUNG_OK) reward_key_put(k, "rung.reward.format", "%s", b.data);
    rung_buf_clear(&b);
    return st;
}

/* Of a base that trained with its head, or by adapters; whole token models say nothing. */
static void put_tuning(reward_keys *k, const rung_reward_train_opts *o) {
    rung_tune tune = reward_tune_of(o);
    const rung_lora_opts *l = &o->lora;
    if (tune == RUNG_TUNE_LORA)
        reward_key_put(k, "rung.reward.tune", "lora: rank %d, alpha %g, dropout %g, %s, seed %llu",
                       l->rank, l->alpha, l->dropout, l->targets ? l->targets : "attn_q,attn_v",
                       (unsigned long long)l->seed);
    else if (tune == RUNG_TUNE_ALL && reward_is_head(o->kind))
        reward_key_put(k, "rung.reward.tune", "all");
    if (tune != RUNG_TUNE_HEAD && o->precision && strcmp(o->precision, "auto") != 0)
        reward_key_put(k, "rung.reward.precision", "%s", o->precision);
    if (o->clip_value > 0) reward_key_put(k, "rung.reward.clip_value", "%g", o->clip_value);
}

rung_status reward_keys_fill(reward_keys *k, const rung_reward_train_opts *o,
                             const reward_format *f, const rung_model_info *base,
                             const reward_set *set, rung_error *err) {
    static const char *const balance[] = {"none", "dataset", "instruction"};
    rung_loss_id loss = reward_loss_of(o);
    const char *text[3] = {o->system, o->suffix, o->tag};
    for (int i = 0; i < 3; i++)
        if (text[i] && strlen(text[i]) >= sizeof k->value[0])
            return rung_fail(err, RUNG_E_LIMIT, "system, suffix and tag have at most %zu bytes",
                             sizeof k->value[0] - 1);
    reward_defaults d = reward_defaults_of(o);
    k->n = 0;
    reward_key_put(k, "rung.reward.kind", "%s", rung_reward_kind_name(o->kind));
    reward_key_put(k, "rung.reward.version", "1");
    reward_key_put(k, "rung.reward.base_hash", "%s", base->hash);
    reward_key_put(k, "rung.reward.base_name", "%s", base->name);
    reward_key_put(k, "rung.reward.chat", "%s", base->chat);
    reward_key_put(k, "rung.reward.system", "%s", o->system ? o->system : ""); /* "" = none */
    reward_key_put(k, "rung.reward.suffix", "%s", o->suffix ? o->suffix : "");
    reward_key_put(k, "rung.reward.tag", "%s", o->tag ? o->tag : "");
    reward_key_put(k, "rung.reward.read", "%s", o->read_before_tag ? "before_tag" : "tag");
    reward_key_put(k, "rung.reward.tag_first", "%s", o->tag_first ? "yes" : "no");
    reward_key_put(k, "rung.reward.aggregate", "%s",
                   rung_aggregate_name(o->kind == RUNG_REWARD_ORM_HEAD
                                           ? RUNG_AGGREGATE_LAST
                                           : (rung_aggregate_id)f->aggregate));
    reward_key_put(k, "rung.reward.label_source", "%s",
                   reward_reads_outcome(o->kind) ? "verdict" : o->label_source);
    reward_key_put(k, "rung.reward.label_run", "%lld", (long long)o->label_run);
    reward_key_put(k, "rung.reward.target", "%s", o->soft ? "soft" : "hard");
    reward_key_put(k, "rung.reward.masked", "%s",
                   o->keep_after_error ? "none" : "after the first hard = 0");
    if (o->exact) reward_key_put(k, "rung.reward.exact", "true");
    put_tuning(k, o);
    if (loss != RUNG_LOSS_BCE && loss != RUNG_LOSS_IMPLICIT_CE)
        reward_key_put(k, "rung.reward.loss", "%s", rung_loss_name(loss));
    if (o->n_out == 2) reward_key_put(k, "rung.reward.outputs", "2 classes, 1 is right");
    reward_key_put(k, "rung.reward.split", "problems by draw, seed %llu: %d of %d held out",
                   (unsigned long long)o->seed, set->n_held_problems, set->n_problems);
    reward_key_put(k, "rung.reward.data", "%s", set->hash);
    reward_key_put(k, "rung.reward.config",
                   "{\"seed\":%llu,\"n_hidden\":%d,\"epochs\":%d,\"batch\":%d,\"lr\":%g,"
                   "\"patience\":%d,\"held_share\":%g}",
                   (unsigned long long)o->seed, o->n_hidden, d.epochs, d.batch, d.lr, d.patience,
                   d.held_share);
    if (o->kind == RUNG_REWARD_PRM_IMPLICIT)
        reward_key_put(k, "rung.reward.balance", "%s", balance[(unsigned)o->balance % 3]);
    return o->kind == RUNG_REWARD_PRM_IMPLICIT || o->format ? put_format(k, f, err) : RUNG_OK;
}

void reward_keys_measure(reward_keys *k, const rung_reward_report *r) {
    reward_key_put(k, "rung.reward.n_train", "%lld", (long long)r->n_train);
    reward_key_put(k, "rung.reward.n_held", "%lld", (long long)r->n_held);
    reward_key_put(k, "rung.reward.train_loss", "%.17g", r->loss_train);
    reward_key_put(k, "rung.reward.held_loss", "%.17g", r->loss_held);
    reward_key_put(k, "rung.reward.held_auc", "%.17g", r->auc_held);
    reward_key_put(k, "rung.reward.held_brier", "%.17g", r->brier_held);
    reward_key_put(k, "rung.reward.held_ece", "%.17g", r->ece_held);
    reward_key_put(k, "rung.reward.epochs", "%d", r->epochs);
}

void reward_keys_hash(char out[33], const reward_keys *k) {
    uint64_t h[2] = {0, 1};
    for (int i = 0; i < k->n; i++)
        for (int j = 0; j < 2; j++) h[j] = rung_hash64(k->value[i], strlen(k->value[i]) + 1, h[j]);
    rung_hash_hex(out, h, sizeof h);
}

static rung_status wants_base(const rung_reward *r, rung_error *err) {
    rung_fail(err, RUNG_E_MISUSE, "\"%s\" is a head and needs its base model", r->path);
    return rung_error_hint(err, "base: %s, hash %s",
                           rung_gguf_str(r->file, "rung.reward.base_name", ""),
                           rung_gguf_str(r->file, "rung.reward.base_hash", ""));
}

static rung_status read_classifier(rung_reward *r, const rung_model_info *info, rung_error *err) {
    if (r->format.score != REWARD_READOUT_HEAD) return RUNG_OK;
    if (!reward_classifier_in(r->file)) {
        rung_fail(err, RUNG_E_FORMAT, "\"%s\" carries no classification head (cls.output.weight)",
                  r->path);
        return rung_error_hint(
            err, "a head may lie in a sidecar beside its model: docs/formats-reward.md");
    }
    return reward_classifier_read(&r->classifier, r->file, r->path, info->n_embd,
                                  r->format.activation, err);
}

static rung_status open_on_base(rung_reward *r, rung_engine *base, rung_error *err) {
    const char *want = rung_gguf_str(r->file, "rung.reward.base_hash", "");
    const char *name = rung_gguf_str(r->file, "rung.reward.base_name", "");
    if (!base || !rung_engine_model(base)) return wants_base(r, err);
    rung_model_info info;
    rung_model_get_info(&info, rung_engine_model(base));
    if (strcmp(want, info.hash)) {
        rung_fail(err, RUNG_E_MISMATCH,
                  "\"%s\" was trained on base %s (\"%s\"), not on %s (\"%s\")", r->path, want, name,
                  info.hash, info.name);
        return rung_error_hint(err, "give the base it was trained on, or train it again");
    }
    const char *chat = rung_gguf_str(r->file, "rung.reward.chat", info.chat);
    if (strcmp(chat, info.chat)) {
        rung_fail(err, RUNG_E_MISMATCH,
                  "\"%s\" was trained on prompts in the chat format %s, the base is open with %s",
                  r->path, chat, info.chat);
        return rung_error_hint(err, "open the base as in training: --chat-template %s", chat);
    }
    r->engine = base;
    return r->kind == RUNG_REWARD_PRM_FORMAT || reward_classifier_in(r->file)
               ? read_classifier(r, &info, err)
               : reward_head_read(r, &info, err);
}

static rung_status open_own_model(rung_reward *r, const rung_reward_open_opts *o, rung_error *err) {
    rung_model_opts mo = RUNG_MODEL_OPTS_INIT;
    mo.chat_template = r->format.chat;
    mo.weights = o->weights;
    mo.log = o->log;
    mo.memory = o->engine ? o->engine->memory : NULL;
    rung_status st = rung_model_load(&r->model, r->path, &mo, err);
    if (st == RUNG_E_MODEL && reward_classifier_in(r->file))
        rung_error_hint(err, "its head may be in the way: libllama takes cls.output of few "
                             "architectures; put it into a sidecar: docs/formats-reward.md");
    RUNG_TRY(st);
    RUNG_TRY(rung_engine_open(&r->engine, r->model, o->engine, o->log, err));
    r->owns_engine = true;
    return RUNG_OK;
}

/* The same ids must mean the same text. */
static rung_status same_vocabulary(const rung_model *a, const rung_model *b, rung_error *err) {
    rung_model_info x, y;
    rung_model_get_info(&x, a);
    rung_model_get_info(&y, b);
    rung_buf p, q;
    rung_buf_init(&p, 1u << 20);
    rung_buf_init(&q, 1u << 20);
    int32_t t = 0;
    for (; t < x.n_vocab && t < y.n_vocab; t++) {
        rung_buf_reset(&p);
        rung_buf_reset(&q);
        rung_model_piece(&p, a, t, true);
        rung_model_piece(&q, b, t, true);
        if (p.n != q.n || (p.n && memcmp(p.data, q.data, p.n) != 0)) break;
    }
    rung_buf_clear(&p);
    rung_buf_clear(&q);
    if (t == x.n_vocab && t == y.n_vocab) return RUNG_OK;
    return rung_fail(err, RUNG_E_MISMATCH,
                     "policy %s (%d tokens) and reference %s (%d tokens) differ from token %d on",
                     x.name, x.n_vocab, y.name, y.n_vocab, t);
}

static rung_status open_reference(rung_reward *r, const rung_reward_open_opts *o, rung_error *err) {
    if (r->format.score != REWARD_READOUT_LOG_RATIO) return RUNG_OK;
    if (!o->reference) {
        rung_fail(err, RUNG_E_INVAL, "a log-ratio needs the reference that the policy began as");
        return rung_error_hint(err, "--reference FILE, in the same number format");
    }
    rung_model_opts mo = RUNG_MODEL_OPTS_INIT;
    mo.weights = o->weights;
    mo.log = o->log;
    mo.memory = o->engine ? o->engine->memory : NULL;
    RUNG_TRY(rung_model_load(&r->reference, o->reference, &mo, err));
    RUNG_TRY(same_vocabulary(rung_engine_model(r->engine), r->reference, err));
    rung_model_info p, q;
    rung_model_get_info(&p, rung_engine_model(r->engine));
    rung_model_get_info(&q, r->reference);
    if (strcmp(p.storage, q.storage) != 0) /* rewards.md 1, pitfalls */
        rung_event(o->log, RUNG_WARN, "reward.reference", RUNG_S("policy", p.storage),
                   RUNG_S("reference", q.storage),
                   RUNG_S("meaning", "other number formats add noise to every step"));
    return rung_engine_open(&r->reference_engine, r->reference, o->engine, o->log, err);
}

/* Its hash: the model, how it is read, the reference. */
static rung_status hash_foreign(rung_reward *r, rung_error *err) {
    rung_model_info info;
    rung_buf b;
    rung_buf_init(&b, 1u << 20);
    rung_model_get_info(&info, r->model);
    rung_buf_printf(&b, "%s\n", info.hash);
    if (r->reference) {
        rung_model_get_info(&info, r->reference);
        rung_buf_printf(&b, "%s\n", info.hash);
    }
    reward_format_print(&b, &r->format, false);
    rung_status st = rung_buf_check(&b, err);
    if (st == RUNG_OK) rung_hash_hex(r->hash, b.data, b.n);
    rung_buf_clear(&b);
    return st;
}

static rung_status use_doc(rung_reward *r) {
    r->format = r->doc.format;
    r->aggregate = (rung_aggregate_id)r->format.aggregate;
    r->kind = RUNG_REWARD_PRM_FORMAT;
    return RUNG_OK;
}

static rung_status stored_format(rung_reward *r, rung_error *err) {
    const char *text = rung_gguf_str(r->file, "rung.reward.format", NULL);
    if (!text) return rung_fail(err, RUNG_E_FORMAT, "\"%s\" names no format", r->path);
    RUNG_TRY(reward_format_parse(&r->doc, text, strlen(text), "rung.reward.format", err));
    return use_doc(r);
}

/* A whole model that rung did not train. */
static rung_status open_foreign(rung_reward *r, const rung_reward_open_opts *o, rung_error *err) {
    if (o->format) {
        RUNG_TRY(reward_format_find(&r->doc, o->format, err));
        RUNG_TRY(use_doc(r));
    } else if (rung_gguf_has(r->file, "rung.reward.format")) {
        RUNG_TRY(stored_format(r, err));
    } else {
        rung_fail(err, RUNG_E_FORMAT,
                  "\"%s\" is not a reward model file: no key rung.reward.kind, no format", r->path);
        return rung_error_hint(err, "make one with reward train, or say how it is read: --format "
                                    "NAME (`rung reward show` lists them)");
    }
    RUNG_TRY(open_own_model(r, o, err));
    rung_model_info info;
    rung_model_get_info(&info, r->model);
    RUNG_TRY(read_classifier(r, &info, err));
    RUNG_TRY(open_reference(r, o, err));
    return hash_foreign(r, err);
}

/* The same, trained here: its reference is the base that it began as. */
static rung_status open_implicit(rung_reward *r, const rung_reward_open_opts *o, rung_error *err) {
    RUNG_TRY(open_foreign(r, o, err));
    const char *want = rung_gguf_str(r->file, "rung.reward.base_hash", "");
    rung_model_info info;
    rung_model_get_info(&info, r->reference);
    if (strcmp(info.hash, want) == 0) return RUNG_OK;
    rung_fail(err, RUNG_E_MISMATCH, "\"%s\" began as model %s, the reference is %s", r->path, want,
              info.hash);
    return rung_error_hint(err, "--reference: the base that it was trained from");
}

static rung_status open_aggregate(rung_reward *r, rung_error *err) {
    const char *aggregate = rung_gguf_str(r->file, "rung.reward.aggregate", "min");
    if (rung_aggregate_find(&r->aggregate, aggregate)) return RUNG_OK;
    return rung_fail(err, RUNG_E_FORMAT, "\"%s\": unknown aggregate \"%s\"", r->path, aggregate);
}

static rung_status open_ensemble(rung_reward *r, const rung_reward_open_opts *o, rung_error *err) {
    RUNG_TRY(open_aggregate(r, err));
    return reward_ensemble_open(r, o, err);
}

/* The keys of a file that rung trained, as a format. */
static void trained_format(rung_reward *r) {
    const char *system = rung_gguf_str(r->file, "rung.reward.system", "");
    bool token = r->kind == RUNG_REWARD_PRM_TOKEN;
    r->format = (reward_format){
        .name = token ? "rung-token" : "rung-head",
        .system = system[0] ? system : NULL,
        .suffix = rung_gguf_str(r->file, "rung.reward.suffix", ""),
        .tag = rung_gguf_str(r->file, "rung.reward.tag", ""),
        .read_before_tag =
            strcmp(rung_gguf_str(r->file, "rung.reward.read", "tag"), "before_tag") == 0,
        .tag_first = strcmp(rung_gguf_str(r->file, "rung.reward.tag_first", "no"), "yes") == 0,
        .score = token ? REWARD_READOUT_TOKENS : REWARD_READOUT_HEAD,
        .aggregate = (int32_t)r->aggregate};
    if (!token) return;
    r->format.positive = (reward_words){{REWARD_PLUS}, 1};
    r->format.negative = (reward_words){{REWARD_MINUS}, 1};
}

static rung_status open_file(rung_reward *r, const rung_reward_open_opts *o, rung_error *err) {
    RUNG_TRY(rung_gguf_open(&r->file, r->path, err));
    const char *kind = rung_gguf_str(r->file, "rung.reward.kind", NULL);
    if (!kind) return open_foreign(r, o, err);
    if (!rung_reward_kind_find(&r->kind, kind)) {
        rung_fail(err, RUNG_E_FORMAT, "\"%s\" is not a reward model file: unknown kind %s", r->path,
                  kind);
        return rung_error_hint(err, "make one with reward train");
    }
    const char *version = rung_gguf_str(r->file, "rung.reward.version", "");
    if (strcmp(version, "1"))
        return rung_fail(err, RUNG_E_FORMAT,
                         "\"%s\": reward file version \"%s\", this rung reads 1", r->path, version);
    if (o->format)
        return rung_fail(err, RUNG_E_INVAL, "\"%s\" says itself how it is read: no format",
                         r->path);
    if (r->kind == RUNG_REWARD_PRM_IMPLICIT) return open_implicit(r, o, err);
    if (r->kind == RUNG_REWARD_PRM_ENSEMBLE) return open_ensemble(r, o, err);
    RUNG_TRY(rung_hash_file(r->hash, r->path, err));
    if (r->kind == RUNG_REWARD_PRM_FORMAT) {
        RUNG_TRY(stored_format(r, err));
        return o->keys_only ? RUNG_OK : open_on_base(r, o->base, err);
    }
    RUNG_TRY(open_aggregate(r, err));
    if (rung_gguf_has(r->file, "rung.reward.format")) {
        rung_reward_kind trained = r->kind; /* here, in the structure of somebody else's */
        rung_aggregate_id aggregate = r->aggregate;
        RUNG_TRY(stored_format(r, err));
        r->kind = trained;
        r->aggregate = aggregate;
    } else {
        trained_format(r);
    }
    if (o->keys_only) return RUNG_OK;
    bool own = reward_head_in_keys(r->file), token = r->kind == RUNG_REWARD_PRM_TOKEN;
    RUNG_TRY(token || own ? open_own_model(r, o, err) : open_on_base(r, o->base, err));
    return own ? reward_head_read_keys(r, err) : RUNG_OK;
}

/* rung.reward.calibration, unless the scores are wanted as the model gives them. */
static rung_status open_calibration(rung_reward *r, bool raw, rung_error *err) {
    const char *json = rung_gguf_str(r->file, "rung.reward.calibration", NULL);
    if (!json) return RUNG_OK;
    reward_calibration c;
    RUNG_TRY(reward_calibration_parse(&c, json, r->path, err));
    if (raw) {
        memcpy(r->hash, c.raw_hash, sizeof r->hash);
        reward_calibration_clear(&c);
    } else {
        r->calibration = c;
    }
    return RUNG_OK;
}

static rung_status check_words(const rung_reward *r, rung_error *err) {
    if (!r->engine || r->n_members) return RUNG_OK;
    reward_plan plan; /* a tag or a word that is not one token: said now, not at the first trace */
    RUNG_TRY(reward_plan_init(&plan, rung_engine_model(r->engine), &r->format, err));
    reward_plan_clear(&plan);
    return RUNG_OK;
}

rung_status rung_reward_open_as(rung_reward **out, const char *path, const rung_reward_open_opts *o,
                                rung_error *err) {
    *out = NULL;
    if (!o || o->struct_size != sizeof *o)
        return rung_fail(err, RUNG_E_INVAL, "rung_reward_open_opts of another size");
    rung_reward *r = rung_calloc(1, sizeof *r);
    if (!r) return rung_fail(err, RUNG_E_NOMEM, "no memory for a reward model");
    r->path = rung_strdup(path);
    rung_status st =
        r->path ? RUNG_OK : rung_fail(err, RUNG_E_NOMEM, "no memory for a reward model");
    if (st == RUNG_OK && !strcmp(path, kinds[RUNG_REWARD_CONFIDENCE].name)) {
        static const char what[] = "rung confidence 1: exp(min logprob of the step's tokens)";
        r->kind = RUNG_REWARD_CONFIDENCE;
        r->aggregate = RUNG_AGGREGATE_MIN;
        rung_hash_hex(r->hash, what, sizeof what - 1);
    } else if (st == RUNG_OK) {
        st = open_file(r, o, err);
        if (st == RUNG_OK) st = check_words(r, err);
        if (st == RUNG_OK) st = open_calibration(r, o->raw, err);
    }
    if (st == RUNG_OK)
        *out = r;
    else
        rung_reward_free(r);
    return st;
}

rung_status rung_reward_open(rung_reward **out, const char *path, rung_engine *base,
                             rung_error *err) {
    rung_reward_open_opts o = RUNG_REWARD_OPEN_OPTS_INIT;
    o.base = base;
    return rung_reward_open_as(out, path, &o, err);
}

rung_status rung_reward_needs_base(bool *yes, const char *path, rung_error *err) {
    rung_gguf *g = NULL;
    *yes = false;
    if (!strcmp(path, kinds[RUNG_REWARD_CONFIDENCE].name)) return RUNG_OK;
    RUNG_TRY(rung_gguf_open(&g, path, err));
    const char *kind = rung_gguf_str(g, "rung.reward.kind", NULL);
    rung_status st = RUNG_OK;
    if (kind && !strcmp(kind, kinds[RUNG_REWARD_PRM_ENSEMBLE].name))
        st = reward_ensemble_needs_base(yes, g, path, err);
    else
        *yes = kind && strcmp(kind, kinds[RUNG_REWARD_PRM_TOKEN].name) != 0 &&
               strcmp(kind, kinds[RUNG_REWARD_PRM_IMPLICIT].name) != 0 && !reward_head_in_keys(g);
    rung_gguf_free(g);
    return st;
}

void rung_reward_free(rung_reward *r) {
    if (!r) return;
    for (int32_t i = 0; i < r->n_members; i++) rung_reward_free(r->member[i]);
    rung_free(r->member);
    if (r->owns_engine) rung_engine_close(r->engine);
    rung_engine_close(r->reference_engine);
    rung_model_free(r->reference);
    rung_model_free(r->model);
    reward_classifier_clear(&r->classifier);
    reward_calibration_clear(&r->calibration);
    reward_format_clear(&r->doc);
    rung_head_free(r->head);
    rung_gguf_free(r->file);
    rung_free(r->path);
    rung_free(r);
}

rung_reward_kind rung_reward_kind_of(const rung_reward *r) {
    return r->kind;
}
const rung_engine *rung_reward_engine(const rung_reward *r) {
    return r->engine;
}
const char *rung_reward_hash(const rung_reward *r) {
    return r->hash;
}
rung_aggregate_id rung_reward_aggregate_of(const rung_reward *r) {
    return r->aggregate;
}

const char *rung_reward_key(const rung_reward *r, const char *key, const char *dflt) {
    char full[80];
    snprintf(full, sizeof full, "rung.reward.%s", key);
    return r->file ? rung_gguf_str(r->file, full, dflt) : dflt;
}

char *reward_beside(const char *path, const char *key, const char *suffix) {
    rung_buf b;
    rung_buf_init(&b, 1u << 16);
    rung_buf_printf(&b, "%s.%.8s.%s", path, key, suffix);
    return rung_buf_take(&b, NULL);
}
