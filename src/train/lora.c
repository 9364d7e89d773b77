#include "train/lora.h"
#include "rung/rng.h"

#include <stdio.h>

#define RANK_DEFAULT 8

bool rung_lora_is_factor(const rung_core *c, int32_t tensor) {
    const char *name = c->tensor[tensor].name, *end = strrchr(name, '.');
    return end && (strcmp(end, ".lora_a") == 0 || strcmp(end, ".lora_b") == 0);
}

bool rung_lora_merge(float *w, const rung_core *c, int32_t tensor) {
    const rung_core_tensor *t = &c->tensor[tensor];
    const float *a = c->w + c->tensor[t->lora].at, *b = c->w + c->tensor[t->lora + 1].at;
    int64_t r = c->lora.rank;
    return rung_gemm(false, false, t->rows, t->cols, r, c->lora.scale, b, r, a, t->cols, 1, w,
                     t->cols);
}

/* "attn_q" names the slot of "attn_q.weight". */
static bool slot_named(unsigned *slots, const char *name, size_t n) {
    for (int32_t i = 0; i < SLOT_COUNT; i++) {
        const rung_tensor_row *r = &rung_layer_tensors[i];
        if (r->role == ROLE_NORM || r->role == ROLE_BIAS) continue;
        bool all = n == 3 && memcmp(name, "all", 3) == 0;
        bool same = strlen(r->name) == n + strlen(".weight") && memcmp(r->name, name, n) == 0;
        if (all || same) *slots |= 1u << i;
        if (same) return true;
    }
    return *slots != 0 && n == 3 && memcmp(name, "all", 3) == 0;
}

static rung_status read_targets(unsigned *slots, const char *list, rung_error *err) {
    *slots = 0;
    for (const char *p = list; *p;) {
        size_t n = strcspn(p, ",");
        if (!slot_named(slots, p, n)) {
            rung_fail(err, RUNG_E_INVAL, "adapters: no target \"%.*s\"", (int)n, p);
            return rung_error_hint(err, "of attn_q, attn_k, attn_v, attn_output, ffn_gate, ffn_up, "
                                        "ffn_down, with commas; or all");
        }
        p += n;
        if (*p == ',') p++;
    }
    return RUNG_OK;
}

rung_status rung_net_add_lora(rung_net *net, const rung_lora_opts *o, rung_error *err) {
    rung_core *c = net->core;
    unsigned slots;
    if (o->struct_size != sizeof *o)
        return rung_fail(err, RUNG_E_INVAL, "adapter options: size %zu, expected %zu",
                         o->struct_size, sizeof *o);
    if (c->n_frozen == 0 || c->n_params > 0)
        return rung_fail(err, RUNG_E_MISUSE, "adapters go on a net loaded frozen, once");
    RUNG_TRY(read_targets(&slots, o->targets ? o->targets : "attn_q,attn_v", err));
    int32_t rank = o->rank ? o->rank : RANK_DEFAULT;
    double alpha = o->alpha > 0 ? o->alpha : 2.0 * rank;
    rung_core_lora lora = {rank, (real)(alpha / rank), o->dropout, o->seed, -1, false};
    RUNG_TRY(rung_core_adapt(c, slots, &lora, err));
    net->lora_slots = slots;
    net->lora_alpha = alpha;
    for (int32_t i = 0; i < c->n_tensors; i++) {
        const rung_core_tensor *t = &c->tensor[i];
        if (t->lora < 0) continue;
        const rung_core_tensor *a = &c->tensor[t->lora];
        rung_rng r = rung_rng_at(o->seed, RUNG_STREAM_INIT, (uint64_t)i, 1);
        double bound = 1 / sqrt((double)a->cols);
        for (int64_t j = 0; j < a->rows * a->cols; j++)
            c->w[a->at + j] = (real)(bound * (2 * rung_rng_f64(&r) - 1));
    }
    return rung_net_moments(net, err);
}

rung_status rung_net_save_lora(const rung_net *net, const char *gguf_path, const char *type,
                               rung_error *err) {
    const rung_core *c = net->core;
    bool f32 = strcmp(type, "f32") == 0;
    if (c->lora.rank == 0)
        return rung_fail(err, RUNG_E_MISUSE, "a net without adapters has none to save");
    if (!f32 && strcmp(type, "f16") != 0)
        return rung_fail(err, RUNG_E_INVAL, "adapters are saved as f32 or f16, not \"%s\"", type);
    rung_gguf_writer *w = rung_gguf_writer_new();
    if (!w || net->failed) {
        rung_gguf_writer_free(w);
        return rung_fail(err, RUNG_E_NOMEM, "no memory to save \"%s\"", gguf_path);
    }
    rung_gguf_put_str(w, "general.type", "adapter");
    rung_gguf_put_str(w, "general.architecture", c->arch->name);
    rung_gguf_put_str(w, "adapter.type", "lora");
    rung_gguf_put_f32(w, "adapter.lora.alpha", (float)net->lora_alpha);
    for (size_t k = 0; k < net->n_meta; k++)
        if (net->meta[k].value) rung_gguf_put_str(w, net->meta[k].key, net->meta[k].value);
    for (int32_t i = 0; i < c->n_tensors; i++) {
        const rung_core_tensor *t = &c->tensor[i];
        int64_t dims[] = {t->cols, t->rows};
        if (rung_lora_is_factor(c, i))
            rung_gguf_put_tensor(w, t->name, f32 ? RUNG_GGUF_F32 : RUNG_GGUF_F16, 2, dims,
                                 c->w + t->at);
    }
    rung_status st = rung_gguf_write(w, gguf_path, err);
    rung_gguf_writer_free(w);
    return st;
}
