#include "train/arch.h"

#include <string.h>

static const rung_arch_row archs[] = {
#define X(ID, name, rope, has) [RUNG_ARCH_##ID] = {name, rope, has},
    X(LLAMA, "llama", RUNG_ROPE_PAIRS, 0) X(QWEN2, "qwen2", RUNG_ROPE_HALVES, RUNG_HAS_QKV_BIAS)
#undef X
};

const rung_tensor_row rung_layer_tensors[SLOT_COUNT] = {
#define X(slot, name, rows, cols, role, has) {name, rows, cols, role, has},
    RUNG_LAYER_TENSORS(X)
#undef X
};

const rung_arch_row *rung_arch_of(int32_t arch) {
    return arch >= 0 && arch < (int32_t)(sizeof archs / sizeof archs[0]) ? &archs[arch] : NULL;
}

int32_t rung_arch_find(const char *name) {
    for (int32_t i = 0; rung_arch_of(i); i++) {
        if (strcmp(archs[i].name, name) == 0) return i;
    }
    return -1;
}

void rung_arch_dims(int64_t dims[DIM_COUNT], const rung_net_shape *s) {
    int64_t hd = s->n_head_dim ? s->n_head_dim : s->n_embd / s->n_head;
    dims[DIM_1] = 1;
    dims[DIM_V] = s->n_vocab;
    dims[DIM_D] = s->n_embd;
    dims[DIM_A] = s->n_head * hd;
    dims[DIM_K] = s->n_head_kv * hd;
    dims[DIM_F] = s->n_ff;
}

rung_status rung_arch_check(const rung_net_shape *s, rung_error *err) {
    const int32_t dims[] = {s->n_vocab,   s->n_embd, s->n_layer, s->n_head,
                            s->n_head_kv, s->n_ff,   s->n_ctx};
    static const char *const names[] = {"n_vocab",   "n_embd", "n_layer", "n_head",
                                        "n_head_kv", "n_ff",   "n_ctx"};
    for (size_t i = 0; i < sizeof dims / sizeof dims[0]; i++) {
        if (dims[i] <= 0 || dims[i] > (1 << 24))
            return rung_fail(err, RUNG_E_INVAL, "net shape: %s is %d", names[i], dims[i]);
    }
    if (!rung_arch_of(s->arch))
        return rung_fail(err, RUNG_E_INVAL, "net shape: no architecture %d", s->arch);
    if (s->n_head_dim == 0 && s->n_embd % s->n_head != 0)
        return rung_fail(err, RUNG_E_INVAL, "net shape: %d heads do not cut %d into even widths",
                         s->n_head, s->n_embd);
    int32_t hd = s->n_head_dim ? s->n_head_dim : s->n_embd / s->n_head;
    if (hd <= 0 || hd > (1 << 16) || hd % 2 != 0)
        return rung_fail(err, RUNG_E_INVAL, "net shape: heads are %d wide, not an even width", hd);
    if (s->n_head % s->n_head_kv != 0)
        return rung_fail(err, RUNG_E_INVAL, "net shape: %d heads over %d key heads", s->n_head,
                         s->n_head_kv);
    if (!(s->rope_base > 0) || !(s->rms_eps > 0))
        return rung_fail(err, RUNG_E_INVAL,
                         "net shape: rope_base %g and rms_eps %g must be above 0",
                         (double)s->rope_base, (double)s->rms_eps);
    return RUNG_OK;
}
