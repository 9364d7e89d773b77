/* What a search costs (search.md 2.13). */
#include "search/search_impl.h"

/* Sum over positions c = from .. to-1 of 2P + 4 L D c: each weight is multiplied and added once,
 * and each of the c cached keys and values of every layer once, too. */
double rung_flops(const rung_flops_model *m, int64_t from, int64_t to) {
    if (to <= from) return 0.0;
    double n = (double)(to - from), positions = 0.5 * n * (double)(from + to - 1);
    return 2.0 * m->n_params * n + 4.0 * m->n_layer * m->width * positions;
}

void rung_search_ledger_add(rung_search_ledger *sum, const rung_search_ledger *x) {
    sum->n_gen += x->n_gen;
    sum->prompt_tok += x->prompt_tok;
    sum->prompt_new_tok += x->prompt_new_tok;
    sum->gen_tok += x->gen_tok;
    sum->scored_tok += x->scored_tok;
    sum->scored_new_tok += x->scored_new_tok;
    sum->judge_in_tok += x->judge_in_tok;
    sum->judge_out_tok += x->judge_out_tok;
    sum->flops_cached += x->flops_cached;
    sum->flops_naive += x->flops_naive;
    sum->tool_s += x->tool_s;
    sum->wall_s += x->wall_s;
}

void search_ledger_json(rung_buf *out, const rung_search_ledger *l) {
    rung_buf_printf(out,
                    "{\"n_gen\":%lld,\"prompt_tok\":%lld,\"prompt_new_tok\":%lld,\"gen_tok\":%lld,"
                    "\"scored_tok\":%lld,\"scored_new_tok\":%lld,\"judge_in_tok\":%lld,"
                    "\"judge_out_tok\":%lld,\"flops_cached\":%.9g,\"flops_naive\":%.9g,"
                    "\"tool_s\":%.3f,\"wall_s\":%.3f}",
                    (long long)l->n_gen, (long long)l->prompt_tok, (long long)l->prompt_new_tok,
                    (long long)l->gen_tok, (long long)l->scored_tok, (long long)l->scored_new_tok,
                    (long long)l->judge_in_tok, (long long)l->judge_out_tok, l->flops_cached,
                    l->flops_naive, l->tool_s, l->wall_s);
}
