/* A published classification head becomes a sidecar: its one or two linear layers, read from
 * safetensors, beside the format that says how its model is read (docs/formats-reward.md). The
 * weights of the body go their own way, through llama.cpp's converter. */
#include "reward/reward_impl.h"
#include "reward/reward_safetensors.h"

#include <stdio.h>
#include <string.h>

enum { NAME_MAX_BYTES = 200 };

typedef struct dense { /* one linear layer, [rows][columns] */
    float *w, *b;
    int64_t rows, columns;
} dense;

static void dense_clear(dense *l) {
    rung_free(l->w);
    rung_free(l->b);
    *l = (dense){0};
}

/* NAME.weight of n_in columns, NAME.bias where there is one. */
static rung_status read_dense(dense *l, const safetensors *s, const char *name, int64_t n_in,
                              rung_error *err) {
    char full[NAME_MAX_BYTES + 16];
    int64_t rows = 0, n = 0;
    snprintf(full, sizeof full, "%.*s.weight", NAME_MAX_BYTES - 1, name);
    RUNG_TRY(safetensors_tensor(&l->w, &l->rows, &l->columns, s, full, err));
    if (l->columns != n_in)
        return rung_fail(err, RUNG_E_MISMATCH, "tensor %s is %lld x %lld, not of %lld inputs", full,
                         (long long)l->rows, (long long)l->columns, (long long)n_in);
    snprintf(full, sizeof full, "%.*s.bias", NAME_MAX_BYTES - 1, name);
    if (!safetensors_has(s, full)) return RUNG_OK;
    RUNG_TRY(safetensors_tensor(&l->b, &rows, &n, s, full, err));
    if (rows != 1 || n != l->rows)
        return rung_fail(err, RUNG_E_MISMATCH, "tensor %s holds %lld numbers, not %lld", full,
                         (long long)(rows * n), (long long)l->rows);
    return RUNG_OK;
}

/* "a" or "a,b": names given by the caller go before the format's. */
static rung_status layer_names(char name[2][NAME_MAX_BYTES], int32_t *n, const char *given,
                               const reward_format *f, rung_error *err) {
    *n = 0;
    if (given) {
        for (const char *p = given; *n < 3; p += strcspn(p, ",") + 1) {
            size_t len = strcspn(p, ",");
            if (*n == 2 || len < 1 || len >= NAME_MAX_BYTES)
                return rung_fail(err, RUNG_E_INVAL, "head \"%s\": not one or two names", given);
            snprintf(name[(*n)++], NAME_MAX_BYTES, "%.*s", (int)len, p);
            if (!p[len]) return RUNG_OK;
        }
    }
    for (int32_t i = 0; i < f->head.n && i < 2; i++) {
        if (strlen(f->head.word[i]) >= NAME_MAX_BYTES) break;
        snprintf(name[(*n)++], NAME_MAX_BYTES, "%s", f->head.word[i]);
    }
    if (f->head.n > 0 && *n == f->head.n) return RUNG_OK;
    rung_fail(err, RUNG_E_FORMAT, "format %s does not name one or two layers of a head",
              f->name ? f->name : "?");
    return rung_error_hint(err, "--head NAME[,NAME]: what the tensors are called, without .weight");
}

static void put_dense(rung_gguf_writer *w, const char *prefix, const dense *l) {
    char name[64];
    int64_t dims[2] = {l->columns, l->rows};
    snprintf(name, sizeof name, "%s.weight", prefix);
    rung_gguf_put_tensor(w, name, RUNG_GGUF_F32, 2, dims, l->w);
    if (!l->b) return;
    snprintf(name, sizeof name, "%s.bias", prefix);
    rung_gguf_put_tensor(w, name, RUNG_GGUF_F32, 1, &dims[1], l->b);
}

static rung_status write_sidecar(const char *path, const dense layer[2], int32_t n,
                                 const reward_format *f, const rung_model_info *base,
                                 const char *source, rung_error *err) {
    rung_buf yaml;
    rung_buf_init(&yaml, 1u << 20);
    reward_format_print(&yaml, f, true);
    rung_status st = rung_buf_check(&yaml, err);
    rung_gguf_writer *w = st == RUNG_OK ? rung_gguf_writer_new() : NULL;
    if (st == RUNG_OK && !w) st = rung_fail(err, RUNG_E_NOMEM, "no memory to write \"%s\"", path);
    if (st == RUNG_OK) {
        rung_gguf_put_str(w, "general.architecture", "rung-reward");
        rung_gguf_put_str(w, "rung.reward.kind", rung_reward_kind_name(RUNG_REWARD_PRM_FORMAT));
        rung_gguf_put_str(w, "rung.reward.version", "1");
        rung_gguf_put_str(w, "rung.reward.base_hash", base->hash);
        rung_gguf_put_str(w, "rung.reward.base_name", base->name);
        rung_gguf_put_str(w, "rung.reward.format", yaml.data);
        rung_gguf_put_str(w, "rung.reward.source", source);
        if (n == 2) put_dense(w, "cls", &layer[0]);
        put_dense(w, "cls.output", &layer[n - 1]);
        st = rung_gguf_write(w, path, err);
    }
    rung_gguf_writer_free(w);
    rung_buf_clear(&yaml);
    return st;
}

/* The format must be one that a head is read with, and fit the base's vocabulary and the head. */
static rung_status check_format(const reward_format *f, const rung_model *base, int64_t n_out,
                                rung_error *err) {
    reward_plan plan;
    if (f->score != REWARD_READOUT_HEAD) {
        rung_fail(err, RUNG_E_FORMAT, "format %s reads no head", f->name ? f->name : "?");
        return rung_error_hint(err, "its YAML needs \"score: head\"");
    }
    if (n_out > 1 && f->class_number >= n_out)
        return rung_fail(err, RUNG_E_MISMATCH, "the format reads class %lld, the head has %lld",
                         (long long)f->class_number, (long long)n_out);
    RUNG_TRY(reward_plan_init(&plan, base, f, err));
    reward_plan_clear(&plan);
    return RUNG_OK;
}

static rung_status import_on(rung_reward_import_report *out, const rung_model *base,
                             const reward_format *f, const rung_reward_import_opts *o,
                             rung_error *err) {
    char name[2][NAME_MAX_BYTES];
    dense layer[2] = {{0}, {0}};
    safetensors *s = NULL;
    rung_model_info info;
    int32_t n = 0;
    rung_model_get_info(&info, base);
    RUNG_TRY(rung_hash_file(info.hash, o->base_path, err));
    RUNG_TRY(layer_names(name, &n, o->head, f, err));
    rung_status st = safetensors_open(&s, o->source, err);
    int64_t n_in = info.n_embd;
    for (int32_t i = 0; i < n && st == RUNG_OK; i++) {
        st = read_dense(&layer[i], s, name[i], n_in, err);
        if (st == RUNG_E_MISMATCH && i == 0)
            rung_error_hint(err, "the base \"%s\" is %d wide: is the head another model's?",
                            info.name, info.n_embd);
        n_in = layer[i].rows;
    }
    if (st == RUNG_OK) st = check_format(f, base, n_in, err);
    if (st == RUNG_OK) {
        char source[2 * NAME_MAX_BYTES + 300];
        const char *slash = strrchr(o->source, '/');
        snprintf(source, sizeof source, "%s%s%s of %.255s", name[0], n == 2 ? ", " : "",
                 n == 2 ? name[1] : "", slash && slash[1] ? slash + 1 : o->source);
        st = write_sidecar(o->out_path, layer, n, f, &info, source, err);
    }
    if (st == RUNG_OK)
        *out = (rung_reward_import_report){.n_in = info.n_embd,
                                           .n_hidden = n == 2 ? (int32_t)layer[0].rows : 0,
                                           .n_out = (int32_t)layer[n - 1].rows};
    dense_clear(&layer[0]);
    dense_clear(&layer[1]);
    safetensors_close(s);
    return st;
}

rung_status rung_reward_import(rung_reward_import_report *out, const rung_reward_import_opts *o,
                               rung_error *err) {
    if (!o || o->struct_size != sizeof *o)
        return rung_fail(err, RUNG_E_INVAL, "rung_reward_import_opts of another size");
    if (!o->source || !o->format || !o->base_path || !o->out_path)
        return rung_fail(err, RUNG_E_INVAL, "source, format, base and out are needed");
    reward_format_doc doc;
    rung_model *base = NULL;
    rung_model_opts mo = RUNG_MODEL_OPTS_INIT;
    mo.vocab_only = true;
    rung_status st = reward_format_find(&doc, o->format, err);
    mo.chat_template = st == RUNG_OK ? doc.format.chat : NULL;
    if (st == RUNG_OK) st = rung_model_load(&base, o->base_path, &mo, err);
    if (st == RUNG_OK) st = import_on(out, base, &doc.format, o, err);
    rung_model_free(base);
    reward_format_clear(&doc);
    return st;
}
