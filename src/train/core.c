/* The core's tensors and memory; batches. */
#include "train/core.h"
#include "train/kernel.h"
#include "train/parallel.h"

#include <stdio.h>

/* Layout -------------------------------------------------------------------------------------- */

static int32_t add_tensor(rung_core *c, const char *name, int64_t rows, int64_t cols,
                          rung_role role) {
    rung_core_tensor *t = &c->tensor[c->n_tensors];
    snprintf(t->name, sizeof t->name, "%.63s", name);
    t->rows = rows;
    t->cols = cols;
    t->role = role;
    t->at = -1;
    t->lora = -1;
    return c->n_tensors++;
}

static void lay_out(rung_core *c) {
    const rung_net_shape *s = &c->shape;
    int64_t d = s->n_embd;
    c->embd = add_tensor(c, "token_embd.weight", s->n_vocab, d, ROLE_MATRIX);
    for (int32_t l = 0; l < s->n_layer; l++) {
        for (int32_t i = 0; i < SLOT_COUNT; i++) {
            const rung_tensor_row *r = &rung_layer_tensors[i];
            char name[64];
            c->layer[l].slot[i] = -1;
            if ((r->has & c->arch->has) != r->has) continue;
            snprintf(name, sizeof name, "blk.%d.%s", l, r->name);
            c->layer[l].slot[i] = add_tensor(c, name, c->dim[r->rows], c->dim[r->cols], r->role);
        }
    }
    c->out_norm = add_tensor(c, "output_norm.weight", 1, d, ROLE_NORM);
    c->out = s->tied ? c->embd : add_tensor(c, "output.weight", s->n_vocab, d, ROLE_MATRIX);
}

static void fill_rope(rung_core *c) {
    int32_t half = c->hd / 2;
    for (int32_t j = 0; j < half; j++) {
        double turn = pow((double)c->shape.rope_base, -2.0 * j / c->hd);
        for (int32_t p = 0; p < c->shape.n_ctx; p++) {
            c->cos_t[(int64_t)p * half + j] = (real)cos(p * turn);
            c->sin_t[(int64_t)p * half + j] = (real)sin(p * turn);
        }
    }
}

static rung_status no_memory(rung_core *c, rung_error *err) {
    rung_core_free(c);
    return rung_fail(err, RUNG_E_NOMEM, "no memory for the weights of a net");
}

static rung_status new_bare(rung_core **out, const rung_net_shape *shape, rung_error *err) {
    *out = NULL;
    RUNG_TRY(rung_arch_check(shape, err));
    rung_core *c = rung_calloc(1, sizeof *c);
    if (!c) return no_memory(c, err);
    c->shape = *shape;
    c->arch = rung_arch_of(shape->arch);
    rung_arch_dims(c->dim, shape);
    c->hd = (int32_t)(c->dim[DIM_A] / shape->n_head);
    c->qkv = c->dim[DIM_A] + 2 * c->dim[DIM_K];
    size_t layers = (size_t)shape->n_layer, half = (size_t)c->hd / 2;
    c->cap_tensors = SLOT_COUNT * shape->n_layer + 3;
    c->tensor = rung_calloc((size_t)c->cap_tensors, sizeof *c->tensor);
    c->layer = rung_calloc(layers, sizeof *c->layer);
    c->kept = rung_calloc(layers, sizeof *c->kept);
    c->cos_t = rung_calloc((size_t)shape->n_ctx * half, sizeof(real));
    c->sin_t = rung_calloc((size_t)shape->n_ctx * half, sizeof(real));
    if (!c->tensor || !c->layer || !c->kept || !c->cos_t || !c->sin_t) return no_memory(c, err);
    lay_out(c);
    fill_rope(c);
    *out = c;
    return RUNG_OK;
}

/* Places every tensor that is neither placed nor frozen; makes the blocks. */
static bool place(rung_core *c) {
    for (int32_t i = 0; i < c->n_tensors; i++) {
        rung_core_tensor *t = &c->tensor[i];
        if (t->frozen.data) continue;
        t->at = c->n_params;
        c->n_params += t->rows * t->cols;
    }
    c->w = rung_calloc((size_t)c->n_params, sizeof(real));
    c->dw = rung_calloc((size_t)c->n_params, sizeof(real));
    return c->w && c->dw;
}

rung_status rung_core_new(rung_core **out, const rung_net_shape *shape, rung_error *err) {
    RUNG_TRY(new_bare(out, shape, err));
    if (place(*out)) return RUNG_OK;
    rung_core *c = *out;
    *out = NULL;
    return no_memory(c, err);
}

rung_status rung_core_new_frozen(rung_core **out, const rung_net_shape *shape,
                                 rung_status (*find)(void *ud, rung_frozen *f,
                                                     const rung_core_tensor *t, rung_error *err),
                                 void *ud, rung_error *err) {
    rung_core *c;
    rung_status st;
    *out = NULL;
    RUNG_TRY(new_bare(&c, shape, err));
    for (int32_t i = 0; i < c->n_tensors; i++) {
        rung_core_tensor *t = &c->tensor[i];
        RUNG_GOTO(find(ud, &t->frozen, t, err));
        c->n_frozen += t->rows * t->cols;
        if (t->role != ROLE_NORM && t->role != ROLE_BIAS) continue;
        t->frozen.vector = rung_alloc((size_t)t->cols * sizeof(real));
        if (!t->frozen.vector) return no_memory(c, err);
        rung_frozen_rows(t->frozen.vector, &t->frozen, 0, 1, t->cols);
    }
    *out = c;
    return RUNG_OK;
out:
    rung_core_free(c);
    return st;
}

rung_status rung_core_adapt(rung_core *c, unsigned slots, const rung_core_lora *lora,
                            rung_error *err) {
    int32_t n = 0;
    for (int32_t i = 0; i < SLOT_COUNT; i++) {
        if (!(slots >> i & 1)) continue;
        rung_role role = rung_layer_tensors[i].role;
        if (role == ROLE_NORM || role == ROLE_BIAS)
            return rung_fail(err, RUNG_E_INVAL, "%s takes no low-rank factors: it is no matrix",
                             rung_layer_tensors[i].name);
        n++;
    }
    if (n == 0 || lora->rank <= 0 || lora->rank > c->shape.n_embd || !(lora->dropout >= 0) ||
        !(lora->dropout < 1))
        return rung_fail(err, RUNG_E_INVAL, "adapters: %d targets, rank %d, dropout %g", n,
                         lora->rank, lora->dropout);
    int32_t cap = c->n_tensors + 2 * n * c->shape.n_layer;
    rung_core_tensor *all = rung_realloc(c->tensor, (size_t)cap * sizeof *all);
    if (!all) return rung_fail(err, RUNG_E_NOMEM, "no memory for adapters");
    memset(all + c->n_tensors, 0, (size_t)(cap - c->n_tensors) * sizeof *all);
    c->tensor = all;
    c->cap_tensors = cap;
    for (int32_t l = 0; l < c->shape.n_layer; l++) {
        for (int32_t i = 0; i < SLOT_COUNT; i++) {
            if (!(slots >> i & 1)) continue;
            rung_core_tensor *t = &c->tensor[c->layer[l].slot[i]];
            char name[80];
            snprintf(name, sizeof name, "%.63s.lora_a", t->name);
            t->lora = add_tensor(c, name, lora->rank, t->cols, ROLE_MATRIX);
            snprintf(name, sizeof name, "%.63s.lora_b", t->name);
            add_tensor(c, name, t->rows, lora->rank, ROLE_MATRIX);
        }
    }
    c->lora = *lora;
    if (place(c)) return RUNG_OK;
    return rung_fail(err, RUNG_E_NOMEM, "no memory for adapters");
}

static void drop_block(rung_core *c) {
    rung_free(c->block);
    rung_free(c->tok);
    rung_free(c->pos);
    rung_free(c->seg);
    rung_free(c->low);
    rung_free(c->dropped);
    c->block = c->low = c->dropped = NULL;
    c->tok = c->pos = NULL;
    c->seg = NULL;
    c->cap_n = c->cap_t = 0;
    c->n_block = 0;
}

void rung_core_free(rung_core *c) {
    if (!c) return;
    drop_block(c);
    for (int32_t i = 0; c->tensor && i < c->n_tensors; i++) rung_free(c->tensor[i].frozen.vector);
    void *all[] = {c->tensor, c->layer,     c->kept,        c->cos_t,      c->sin_t,
                   c->w,      c->dw,        c->logits,      c->dlogits,    c->weights,
                   c->head,   c->read_mean, c->read_inv_sd, c->read_block, c->wide};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) rung_free(all[i]);
    rung_free(c);
}

/* Activations --------------------------------------------------------------------------------- */

/* Gives each array its place; with base NULL only counts. Docs: training.md, Memory. */
static int64_t carve(rung_core *c, real *base, int64_t n, int64_t t, int32_t n_keep) {
    int64_t at = 0, d = c->shape.n_embd, f = c->shape.n_ff, a = c->dim[DIM_A];
    int64_t widest = c->qkv > d ? c->qkv : d, act = f > a ? f : a;
#define PLACE(field, count)                                                                        \
    do {                                                                                           \
        if (base) field = base + at;                                                               \
        at += ((count) + 15) / 16 * 16; /* keeps each array on a cache line */                     \
    } while (0)
    int32_t sets = n_keep < c->shape.n_layer ? n_keep + 1 : n_keep;
    for (int32_t l = 0; l < sets; l++) {
        rung_core_kept *k = &c->kept[l];
        PLACE(k->rstd1, n);
        PLACE(k->qkv, n * c->qkv);
        PLACE(k->att, n * a);
        PLACE(k->lse, n * c->shape.n_head);
        PLACE(k->x_mid, n * d);
        PLACE(k->rstd2, n);
        PLACE(k->gu, n * 2 * f);
    }
    for (int32_t l = 0; l < c->shape.n_layer; l++) {
        if (base && l > n_keep) c->kept[l] = c->kept[n_keep]; /* one set for all of these */
        PLACE(c->kept[l].x, n * d);
    }
    PLACE(c->x_last, n * d);
    PLACE(c->xf, n * d);
    PLACE(c->rstd_f, n);
    PLACE(c->dx, n * d);
    PLACE(c->xn, n * d);
    PLACE(c->act, n * act);
    PLACE(c->dqkv, n * c->qkv);
    PLACE(c->piece, RUNG_N_PIECES * widest);
    PLACE(c->scratch, c->n_threads * rung_attention_scratch(t));
#undef PLACE
    return at;
}

int64_t rung_core_memory(const rung_core *c, int64_t n, int64_t n_tok, int32_t n_keep) {
    rung_core copy = *c; /* carve with no base only counts */
    if (copy.n_threads == 0) copy.n_threads = omp_get_max_threads();
    return carve(&copy, NULL, n, n_tok, n_keep) * (int64_t)sizeof(real) +
           n * (int64_t)(2 * sizeof *c->tok + sizeof *c->seg);
}

static rung_status choose_keep(rung_core *c, int64_t n, int64_t t, rung_error *err) {
    c->n_keep = c->shape.n_layer;
    if (c->budget <= 0) return RUNG_OK;
    while (c->n_keep > 0 && rung_core_memory(c, n, t, c->n_keep) > c->budget) c->n_keep--;
    int64_t least = rung_core_memory(c, n, t, c->n_keep);
    if (least <= c->budget) return RUNG_OK;
    rung_fail(err, RUNG_E_LIMIT,
              "activations of %lld tokens need %lld MiB even when recomputed; the budget is %lld",
              (long long)n, (long long)(least >> 20), (long long)(c->budget >> 20));
    return rung_error_hint(err, "use fewer rows or shorter ones, or a larger budget");
}

static int64_t widest_lora(const rung_core *c) {
    int64_t most = 0;
    for (int32_t i = 0; i < c->n_tensors; i++) {
        if (c->tensor[i].lora >= 0 && c->tensor[i].cols > most) most = c->tensor[i].cols;
    }
    return most;
}

static rung_status reserve(rung_core *c, int64_t n, int64_t t, rung_error *err) {
    if (n <= c->cap_n && t <= c->cap_t && omp_get_max_threads() <= c->n_threads) return RUNG_OK;
    drop_block(c);
    c->n_threads = omp_get_max_threads();
    RUNG_TRY(choose_keep(c, n, t, err));
    size_t rows = (size_t)n, count = (size_t)carve(c, NULL, n, t, c->n_keep);
    c->block = rung_alloc(count * sizeof(real));
    c->tok = rung_alloc(rows * sizeof *c->tok);
    c->pos = rung_alloc(rows * sizeof *c->pos);
    c->seg = rung_alloc(rows * sizeof *c->seg);
    bool ok = c->block && c->tok && c->pos && c->seg;
    if (c->lora.rank > 0) {
        c->low = rung_alloc(2 * rows * (size_t)c->lora.rank * sizeof(real));
        ok = ok && c->low;
        if (c->lora.dropout > 0) {
            c->dropped = rung_alloc(rows * (size_t)widest_lora(c) * sizeof(real));
            ok = ok && c->dropped;
        }
    }
    if (!ok) {
        drop_block(c);
        rung_fail(err, RUNG_E_NOMEM, "no memory for the activations of %lld tokens (%lld MB)",
                  (long long)n, (long long)(count * sizeof(real) >> 20));
        return rung_error_hint(err, "use fewer rows or shorter ones, or give a memory budget");
    }
    c->n_block = count * sizeof(real);
    carve(c, c->block, n, t, c->n_keep);
    c->cap_n = n;
    c->cap_t = t;
    return RUNG_OK;
}

/* Copies tokens, numbers positions from each document's start, lists the documents. */
static rung_status take_batch(rung_core *c, const rung_batch *b, rung_error *err) {
    c->n_seg = 0;
    for (int32_t r = 0; r < b->n_rows; r++) {
        int32_t n_doc = 0;
        for (int32_t t = 0; t < b->n_tok; t++) {
            int64_t i = (int64_t)r * b->n_tok + t;
            int32_t doc = b->doc[i], before = t > 0 ? b->doc[i - 1] : -1;
            if (b->tok[i] < 0 || b->tok[i] >= c->shape.n_vocab)
                return rung_fail(err, RUNG_E_INVAL, "row %d token %d: id %d is not below %d", r, t,
                                 b->tok[i], c->shape.n_vocab);
            c->tok[i] = b->tok[i];
            c->pos[i] = 0;
            if (doc < 0) continue;
            if (doc == before) {
                c->pos[i] = c->pos[i - 1] + 1;
                c->seg[c->n_seg - 1].n++;
            } else {
                if (doc < n_doc)
                    return rung_fail(err, RUNG_E_INVAL,
                                     "row %d token %d: document %d comes back after %d", r, t, doc,
                                     n_doc - 1);
                n_doc = doc + 1;
                c->seg[c->n_seg++] = (rung_segment){i, 1};
            }
            if (c->pos[i] >= c->shape.n_ctx)
                return rung_fail(err, RUNG_E_INVAL, "row %d: a document is longer than n_ctx %d", r,
                                 c->shape.n_ctx);
        }
    }
    return RUNG_OK;
}

rung_status rung_core_begin(rung_core *c, const rung_batch *b, rung_error *err) {
    if (b->n_rows <= 0 || b->n_tok <= 0)
        return rung_fail(err, RUNG_E_INVAL, "a batch of %d rows of %d tokens", b->n_rows, b->n_tok);
    int64_t n = (int64_t)b->n_rows * b->n_tok;
    c->n = 0;
    RUNG_TRY(reserve(c, n, b->n_tok, err));
    RUNG_TRY(take_batch(c, b, err));
    c->n = n;
    return RUNG_OK;
}

rung_status rung_core_grow(real **p, int64_t *cap, int64_t n, const char *what, rung_error *err) {
    if (n <= *cap) return RUNG_OK;
    rung_free(*p);
    *cap = 0;
    *p = rung_alloc((size_t)n * sizeof(real));
    if (!*p)
        return rung_fail(err, RUNG_E_NOMEM, "no memory for %s (%lld MB)", what,
                         (long long)((size_t)n * sizeof(real) >> 20));
    *cap = n;
    return RUNG_OK;
}

const real *rung_core_vector(const rung_core *c, int32_t tensor) {
    if (tensor < 0) return NULL;
    const rung_core_tensor *t = &c->tensor[tensor];
    return t->at >= 0 ? c->w + t->at : t->frozen.vector;
}

real *rung_core_grad_of(const rung_core *c, int32_t tensor) {
    return tensor < 0 || c->tensor[tensor].at < 0 ? NULL : c->dw + c->tensor[tensor].at;
}

rung_status rung_core_no_product(rung_error *err) {
    return rung_fail(err, RUNG_E_NOMEM, "oneDNN could not run a matrix product: no memory");
}
