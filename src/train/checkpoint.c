/* Checkpoints: one file, written atomically; everything that the next step depends on.
 *
 *   "RUNGCKP2" | head (fixed size) | trained weights f32 | moments m, v f32 | moving average f32 if
 *   there is one | caller's state | XXH3-64 of all before it. Little-endian, as the machine writes
 *   it. */
#include "train/net.h"

static const char MAGIC[8] = {'R', 'U', 'N', 'G', 'C', 'K', 'P', '2'};

typedef struct head {
    char magic[8];
    int32_t n_vocab, n_embd, n_layer, n_head, n_head_kv, n_ff, n_ctx, tied, arch, n_head_dim;
    int32_t lora_rank;
    uint32_t lora_slots;
    float rope_base, rms_eps;
    double lora_alpha, lora_dropout, ema_decay;
    uint64_t lora_seed;
    int64_t n_params, steps, n_state;
} head;

static head head_of(const rung_net *net, size_t n_state) {
    const rung_net_shape *s = &net->core->shape;
    head h;
    memset(&h, 0, sizeof h); /* padding too: it is written and hashed */
    memcpy(h.magic, MAGIC, sizeof MAGIC);
    h.n_vocab = s->n_vocab;
    h.n_embd = s->n_embd;
    h.n_layer = s->n_layer;
    h.n_head = s->n_head;
    h.n_head_kv = s->n_head_kv;
    h.n_ff = s->n_ff;
    h.n_ctx = s->n_ctx;
    h.tied = s->tied;
    h.arch = s->arch;
    h.n_head_dim = s->n_head_dim;
    h.lora_rank = net->core->lora.rank;
    h.lora_slots = net->lora_slots;
    h.lora_alpha = net->lora_alpha;
    h.lora_dropout = net->core->lora.dropout;
    h.lora_seed = net->core->lora.seed;
    h.ema_decay = net->ema_decay;
    h.rope_base = s->rope_base;
    h.rms_eps = s->rms_eps;
    h.n_params = net->core->n_params;
    h.steps = net->steps;
    h.n_state = (int64_t)n_state;
    return h;
}

static size_t file_size(const head *h) {
    size_t blocks = h->ema_decay > 0 ? 4 : 3;
    return sizeof *h + blocks * (size_t)h->n_params * sizeof(real) + (size_t)h->n_state +
           sizeof(uint64_t);
}

rung_status rung_net_checkpoint(const rung_net *net, const char *path, const void *state,
                                size_t n_state, rung_error *err) {
    head h = head_of(net, n_state);
    size_t n = file_size(&h), n_block = (size_t)h.n_params * sizeof(real);
    char *all = rung_alloc(n), *p = all;
    if (!all)
        return rung_fail(err, RUNG_E_NOMEM, "no memory for checkpoint \"%s\" (%zu bytes)", path, n);
    const struct {
        const void *data;
        size_t n;
    } parts[] = {{&h, sizeof h},
                 {net->core->w, n_block},
                 {net->m, n_block},
                 {net->v, n_block},
                 {net->ema, net->ema ? n_block : 0},
                 {state, n_state}};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (parts[i].n) memcpy(p, parts[i].data, parts[i].n);
        p += parts[i].n;
    }
    uint64_t hash = rung_hash64(all, n - sizeof hash, 0);
    memcpy(p, &hash, sizeof hash);
    rung_status st = rung_file_write(path, all, n, err);
    rung_free(all);
    if (st != RUNG_OK) rung_error_hint(err, "the checkpoint before this one was kept");
    return st;
}

static rung_status bad(rung_error *err, rung_status code, const char *path, const char *why,
                       const char *hint) {
    rung_fail(err, code, "checkpoint \"%s\" %s", path, why);
    rung_error_hint(err, "%s", hint);
    return code;
}

static rung_status check(const rung_buf *b, const rung_net *net, const char *path, size_t n_state,
                         rung_error *err) {
    static const char again[] = "delete it to start again, or name another file";
    head h, want = head_of(net, n_state);
    if (b->n < sizeof h || memcmp(b->data, MAGIC, sizeof MAGIC) != 0)
        return bad(err, RUNG_E_FORMAT, path, "is not a checkpoint of this program", again);
    memcpy(&h, b->data, sizeof h);
    want.steps = h.steps;
    uint64_t hash;
    memcpy(&hash, b->data + b->n - sizeof hash, sizeof hash);
    if (b->n < sizeof h + sizeof hash || hash != rung_hash64(b->data, b->n - sizeof hash, 0))
        return bad(err, RUNG_E_FORMAT, path, "is torn or damaged: its hash does not match", again);
    if (memcmp(&h, &want, sizeof h) != 0) {
        bad(err, RUNG_E_MISMATCH, path, "belongs to a net of another shape or to another job",
            again);
        rung_error_detail(
            err,
            "it holds V %d D %d L %d H %d/%d F %d ctx %d rank %d, %lld bytes of state; "
            "here V %d D %d L %d H %d/%d F %d ctx %d rank %d, %lld",
            h.n_vocab, h.n_embd, h.n_layer, h.n_head, h.n_head_kv, h.n_ff, h.n_ctx, h.lora_rank,
            (long long)h.n_state, want.n_vocab, want.n_embd, want.n_layer, want.n_head,
            want.n_head_kv, want.n_ff, want.n_ctx, want.lora_rank, (long long)want.n_state);
        return RUNG_E_MISMATCH;
    }
    if (h.steps < 0 || b->n != file_size(&want))
        return bad(err, RUNG_E_FORMAT, path, "has a length that does not fit its head", again);
    return RUNG_OK;
}

rung_status rung_net_resume(rung_net *net, const char *path, void *state, size_t n_state,
                            rung_error *err) {
    rung_buf b;
    rung_buf_init(&b, (size_t)1 << 40);
    rung_status st;
    RUNG_GOTO(rung_file_read(&b, path, err));
    RUNG_GOTO(check(&b, net, path, n_state, err));
    head h;
    memcpy(&h, b.data, sizeof h);
    size_t n_block = (size_t)h.n_params * sizeof(real);
    const char *p = b.data + sizeof h;
    memcpy(net->core->w, p, n_block);
    memcpy(net->m, p + n_block, n_block);
    memcpy(net->v, p + 2 * n_block, n_block);
    p += 3 * n_block;
    if (net->ema) {
        memcpy(net->ema, p, n_block);
        p += n_block;
    }
    if (n_state) memcpy(state, p, n_state);
    memset(net->core->dw, 0, n_block);
    net->steps = h.steps;
out:
    rung_buf_clear(&b);
    return st;
}
