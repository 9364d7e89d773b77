/* What a context will take, before it is made: the kernel kills a process that finds out later. */
#include "model/engine_decode.h"
#include "rung/weights.h"

/* Cells are exact; activations and logits of one call from above, as libllama lays them out. */
int64_t rung_decoder_bytes(const decoder *d, const rung_model_info *i) {
    int64_t cells = (int64_t)d->n_cells * (d->unified ? 1 : d->n_seq);
    int64_t rows = d->n_out_max > d->n_seq ? d->n_out_max : d->n_seq;
    return cells * rung_cell_bytes(i) + rows * i->n_vocab * 8 +
           (int64_t)d->n_batch * i->n_embd * 64;
}

int64_t rung_memory_left(const rung_memory *m) {
    if (!m || m->max_bytes <= 0) return INT64_MAX;
    return m->used < m->max_bytes ? m->max_bytes - m->used : 0;
}

rung_status rung_decoder_fits(const decoder *d, const rung_model_info *i, int64_t budget,
                              rung_error *err) {
    int64_t need = rung_decoder_bytes(d, i), have = rung_memory_available();
    int64_t left = rung_memory_left(d->memory);
    if (budget > 0 && budget - d->stats->kv_bytes < left) left = budget - d->stats->kv_bytes;
    bool over = need > left;
    if (!over && need <= have) return RUNG_OK;
    double mib = 1048576.0;
    rung_fail(err, RUNG_E_LIMIT, "%d sequences of %d cells need %.0f MiB, %s %.0f",
              d->unified ? 1 : d->n_seq, d->n_cells, (double)need / mib,
              over ? "the budget leaves" : "free are", (double)(over ? left : have) / mib);
    rung_error_detail(err, "%lld bytes a cell", (long long)rung_cell_bytes(i));
    return rung_error_hint(err, "ask for fewer sequences or a smaller context");
}
