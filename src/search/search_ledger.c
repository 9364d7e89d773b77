/* What a search costs (search.md 2.13). */
#include "base/json.h"
#include "search/search_impl.h"

#include <string.h>

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

rung_status rung_search_ledger_read(rung_search_ledger *out, const char *json, rung_error *err) {
    yyjson_doc *doc =
        yyjson_read_opts((char *)(uintptr_t)json, strlen(json), 0, &rung_json_alc, NULL);
    yyjson_val *v = yyjson_doc_get_root(doc);
    *out = (rung_search_ledger){0};
    if (!yyjson_is_obj(v)) {
        yyjson_doc_free(doc);
        return rung_fail(err, RUNG_E_STORE, "the ledger of a search is not a JSON object");
    }
    *out = (rung_search_ledger){.n_gen = rung_json_i64(v, "n_gen", 0),
                                .prompt_tok = rung_json_i64(v, "prompt_tok", 0),
                                .prompt_new_tok = rung_json_i64(v, "prompt_new_tok", 0),
                                .gen_tok = rung_json_i64(v, "gen_tok", 0),
                                .scored_tok = rung_json_i64(v, "scored_tok", 0),
                                .scored_new_tok = rung_json_i64(v, "scored_new_tok", 0),
                                .judge_in_tok = rung_json_i64(v, "judge_in_tok", 0),
                                .judge_out_tok = rung_json_i64(v, "judge_out_tok", 0),
                                .flops_cached = rung_json_f64(v, "flops_cached", 0.0),
                                .flops_naive = rung_json_f64(v, "flops_naive", 0.0),
                                .tool_s = rung_json_f64(v, "tool_s", 0.0),
                                .wall_s = rung_json_f64(v, "wall_s", 0.0)};
    yyjson_doc_free(doc);
    return RUNG_OK;
}
