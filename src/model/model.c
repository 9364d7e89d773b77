/* Load a GGUF file for libllama. What libllama would abort on or map without looking (no GGUF, cut
 * files, tensors beyond the end) is refused before it is called. */
#include "model/model_impl.h"

#include "model/calibrate.h"
#include "model/model_check.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

/* libllama's log is one callback for the process; it is called on the thread that called libllama.
 */
static _Thread_local const rung_log *log_to;
static _Thread_local char first_error[256];

static void keep_line(char *out, size_t n_out, const char *text) {
    size_t n = 0;
    while (*text == ' ') text++;
    for (; *text && *text != '\n' && n + 1 < n_out; text++) out[n++] = *text;
    out[n] = 0;
}

static void on_log(enum ggml_log_level level, const char *text, void *ud) {
    (void)ud;
    if (level == GGML_LOG_LEVEL_ERROR && strlen(text) > 2 && !first_error[0]) {
        keep_line(first_error, sizeof first_error, text);
    }
    if (log_to)
        rung_event(log_to, RUNG_DEBUG, "llama", RUNG_I("level", level), RUNG_S("text", text));
}

void rung_llama_log(const rung_log *log) {
    log_to = log;
}

const char *rung_llama_error(void) {
    return first_error;
}

void rung_llama_clear_error(void) {
    first_error[0] = 0;
}

static void backend_start(void) {
    llama_log_set(on_log, NULL);
    llama_backend_init();
}

void rung_llama_backend(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, backend_start);
}

static void copy_str(char *out, size_t n_out, const char *s) {
    size_t n = s ? strnlen(s, n_out - 1) : 0;
    if (n) memcpy(out, s, n);
    out[n] = 0;
}

static void fill_info(rung_model *m, const char *path) {
    rung_model_info *i = &m->info;
    char buf[256];
    if (rung_model_meta(m, "general.name", buf, sizeof buf)) {
        copy_str(i->name, sizeof i->name, buf);
    } else {
        const char *base = strrchr(path, '/');
        copy_str(i->name, sizeof i->name, base ? base + 1 : path);
    }
    copy_str(i->arch, sizeof i->arch, rung_model_meta(m, "general.architecture", buf, sizeof buf));
    if (llama_model_desc(m->llama, buf, sizeof buf) > 0) { /* "qwen2 1B Q4_K - Medium" */
        const char *p = strchr(buf, ' ');
        p = p ? strchr(p + 1, ' ') : NULL;
        copy_str(i->storage, sizeof i->storage, p ? p + 1 : buf);
    }
    i->n_vocab = llama_vocab_n_tokens(m->vocab);
    if (!m->vocab_only) {
        i->n_embd = llama_model_n_embd(m->llama);
        i->n_layer = llama_model_n_layer(m->llama);
        i->n_head = llama_model_n_head(m->llama);
        i->n_head_kv = llama_model_n_head_kv(m->llama);
        i->n_ctx_train = llama_model_n_ctx_train(m->llama);
    }
    i->n_params = (int64_t)llama_model_n_params(m->llama);
    i->n_bytes = (int64_t)llama_model_size(m->llama);
}

/* What a calibration that is there says of this type; none is made for it. */
static void set_sizes(rung_model *m, rung_weights w) {
    rung_calibration c;
    bool found = false;
    if (rung_calibration_read(&c, &found, m->info.hash, NULL) != RUNG_OK || !found) return;
    m->info.n_seq_best = rung_calibration_n_seq(&c, w);
    m->info.n_batch_best = c.n_batch;
    m->info.n_threads_best = c.n_threads < c.n_cores ? c.n_threads : 0;
}

/* The weights' bytes are taken from the budget before they are read. */
static rung_status charge(rung_model *m, const char *path, rung_weights w, int64_t n_bytes,
                          const rung_model_opts *o, rung_error *err) {
    int64_t left = rung_memory_left(o->memory);
    if (n_bytes > left) {
        rung_fail(err, RUNG_E_LIMIT, "\"%s\" as %s needs %.0f MiB, the budget leaves %.0f", path,
                  rung_weights_name(w), (double)n_bytes / 1048576.0, (double)left / 1048576.0);
        return rung_error_hint(err, "a larger budget, or weights of a smaller type");
    }
    m->memory = o->memory;
    m->charged = n_bytes;
    if (m->memory) m->memory->used += n_bytes;
    return RUNG_OK;
}

/* Named types fail when they cannot be had; as the file's own storage always can, auto falls back
 * on it. */
static rung_status stored_as(rung_buf *at, rung_model *m, const char *path,
                             const rung_model_opts *o, rung_error *err) {
    rung_weights_fit fit[RUNG_WEIGHTS_COUNT];
    rung_weights w = o->weights;
    if ((unsigned)w >= RUNG_WEIGHTS_COUNT) {
        return rung_fail(err, RUNG_E_INVAL, "no type of weights: %d", (int)w);
    }
    if (!o->vocab_only) RUNG_TRY(rung_hash_file(m->info.hash, path, err));
    if (o->vocab_only || w == RUNG_WEIGHTS_AS_IS) {
        w = RUNG_WEIGHTS_AS_IS;
        rung_buf_str(at, path);
        copy_str(m->info.weights, sizeof m->info.weights, rung_weights_name(w));
        if (o->memory && !o->vocab_only) {
            RUNG_TRY(rung_weights_fits_of(fit, path, m->info.hash, err));
            RUNG_TRY(charge(m, path, w, fit[w].n_bytes, o, err));
        }
        return rung_buf_check(at, err);
    }
    if (w == RUNG_WEIGHTS_AUTO) {
        RUNG_TRY(rung_weights_choose_of(&w, path, m->info.hash, o->n_seq, o->log, err));
    }
    set_sizes(m, w);
    RUNG_TRY(rung_weights_fits_of(fit, path, m->info.hash, err));
    int64_t most = rung_memory_available();
    if (fit[w].n_bytes > most) {
        rung_fail(err, RUNG_E_LIMIT, "\"%s\" as %s needs %.2f GB of memory, %.2f GB are free", path,
                  rung_weights_name(w), (double)fit[w].n_bytes / 1e9, (double)most / 1e9);
        return rung_error_hint(err, "as it is it needs %.2f GB: --weights as-is",
                               (double)fit[RUNG_WEIGHTS_AS_IS].n_bytes / 1e9);
    }
    copy_str(m->info.weights, sizeof m->info.weights, rung_weights_name(w));
    RUNG_TRY(charge(m, path, w, fit[w].n_bytes, o, err));
    return rung_weights_file_of(at, path, m->info.hash, w, o->log, err);
}

/* path: the file as the caller knows it; at: where its weights are read from. */
static rung_status load(rung_model *m, const char *path, const char *at, const rung_model_opts *o,
                        rung_error *err) {
    struct llama_model_params p = llama_model_default_params();
    p.load_mode = LLAMA_LOAD_MODE_MMAP;
    p.vocab_only = o->vocab_only;
    rung_llama_clear_error();
    m->vocab_only = o->vocab_only;
    m->llama = llama_model_load_from_file(at, p);
    if (!m->llama) {
        rung_fail(err, RUNG_E_MODEL, "libllama could not load model \"%s\"", at);
        rung_error_detail(err, "%s", rung_llama_error());
        return rung_error_hint(err, "is it a model of an architecture that llama.cpp %s knows?",
                               llama_version());
    }
    m->vocab = llama_model_get_vocab(m->llama);
    if (llama_vocab_n_tokens(m->vocab) < 1) {
        return rung_fail(err, RUNG_E_MODEL, "model \"%s\" has no vocabulary", path);
    }
    fill_info(m, path);
    RUNG_TRY(rung_tokens_init(m, err));
    return rung_chat_init(m, o->chat_template, err);
}

rung_status rung_model_load(rung_model **out, const char *path, const rung_model_opts *opts,
                            rung_error *err) {
    rung_model_opts o = RUNG_MODEL_OPTS_INIT;
    *out = NULL;
    if (opts && opts->struct_size > sizeof o) {
        return rung_fail(err, RUNG_E_INVAL, "rung_model_opts is of a newer version");
    }
    if (opts) memcpy(&o, opts, opts->struct_size);
    rung_llama_backend();
    rung_model *m = rung_calloc(1, sizeof *m);
    if (!m) return rung_fail(err, RUNG_E_NOMEM, "no memory for model \"%s\"", path);
    rung_buf at;
    rung_buf_init(&at, 8192);
    rung_status st = rung_check_model_file(&m->info, path, err);
    if (st == RUNG_OK) st = stored_as(&at, m, path, &o, err);
    if (st == RUNG_OK) st = load(m, path, at.data, &o, err);
    rung_buf_clear(&at);
    if (st != RUNG_OK) {
        if (st == RUNG_E_MODEL && err && !err->hint[0]) rung_error_hint(err, "is it a GGUF model?");
        rung_model_free(m);
        return st;
    }
    *out = m;
    return RUNG_OK;
}

rung_status rung_model_set_adapter(rung_model *m, const char *path, rung_error *err) {
    struct llama_adapter_lora *a = NULL;
    if (path) {
        rung_llama_clear_error();
        RUNG_TRY(rung_check_adapter_file(path, m->info.arch, err));
        a = llama_adapter_lora_init(m->llama, path);
        if (!a) {
            rung_fail(err, RUNG_E_MODEL, "libllama could not load adapter \"%s\"", path);
            rung_error_detail(err, "%s", rung_llama_error());
            return rung_error_hint(err, "is it an adapter of this very model?");
        }
    }
    if (m->adapter) llama_adapter_lora_free(m->adapter);
    m->adapter = a;
    return RUNG_OK;
}

void rung_model_free(rung_model *m) {
    if (!m) return;
    if (m->adapter) llama_adapter_lora_free(m->adapter);
    rung_tokens_clear(m);
    rung_free(m->template_text);
    if (m->memory) m->memory->used -= m->charged;
    if (m->llama) llama_model_free(m->llama);
    rung_free(m);
}

void rung_model_get_info(rung_model_info *out, const rung_model *m) {
    *out = m->info;
}

const char *rung_model_meta(const rung_model *m, const char *key, char *buf, size_t n_buf) {
    if (n_buf < 1 || llama_model_meta_val_str(m->llama, key, buf, n_buf) < 0) return NULL;
    return buf;
}
