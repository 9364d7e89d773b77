/* The policy's tokens, in vLLM's shapes: clients without a tokenizer of their own (lm-evaluation-
 * harness's "remote" one) count with these. */
#include "serve/work.h"

#include <stdlib.h>
#include <string.h>

/* ---- /tokenize */

static rung_status tokens_of(int32_t **tok, int32_t *n, const work_ask *a, rung_error *err) {
    const serve_ask *q = &a->ask;
    const rung_model *m = a->w->m;
    const rung_prompt p = {q->system, q->user, q->prefix};
    const char *text = q->prompt->text;
    int32_t n_header = 0;
    if (!text) return rung_chat_tokens(tok, n, &n_header, m, q->turn, q->n_turns, &p, err);
    return rung_model_tokenize(tok, n, m, text, strlen(text), q->add_special, true, err);
}

static void write_texts(rung_buf *b, const work_ask *a, const int32_t *tok, int32_t n) {
    rung_buf s;
    rung_buf_init(&s, 1u << 16);
    rung_buf_str(b, "[");
    for (int32_t i = 0; i < n; i++) {
        rung_buf_reset(&s);
        rung_model_piece(&s, a->w->m, tok[i], true);
        if (i) rung_buf_str(b, ",");
        rung_buf_json_str(b, s.data ? s.data : "", s.n);
    }
    rung_buf_str(b, "]");
    rung_buf_clear(&s);
}

static rung_status tokenize(rung_buf *b, const work_ask *a, rung_error *err) {
    int32_t *tok = NULL, n = 0;
    rung_model_info i;
    rung_model_get_info(&i, a->w->m);
    RUNG_TRY(tokens_of(&tok, &n, a, err));
    rung_buf_printf(b, "{\"count\":%d,\"max_model_len\":%d,\"tokens\":[", n, i.n_ctx_train);
    for (int32_t k = 0; k < n; k++) rung_buf_printf(b, "%s%d", k ? "," : "", tok[k]);
    rung_buf_str(b, "],\"token_strs\":");
    if (a->ask.token_texts)
        write_texts(b, a, tok, n);
    else
        rung_buf_str(b, "null");
    rung_buf_str(b, "}");
    rung_free(tok);
    return RUNG_OK;
}

/* ---- /detokenize */

static rung_status detokenize(rung_buf *b, const work_ask *a, rung_error *err) {
    const serve_prompt *p = a->ask.prompt;
    rung_model_info i;
    rung_buf s;
    rung_model_get_info(&i, a->w->m);
    for (int32_t k = 0; k < p->n_tok; k++)
        if (p->tok[k] >= i.n_vocab)
            return rung_fail(err, RUNG_E_INVAL, "tokens: %d is not one of %d", p->tok[k],
                             i.n_vocab);
    rung_buf_init(&s, 64u << 20);
    for (int32_t k = 0; k < p->n_tok; k++) rung_model_piece(&s, a->w->m, p->tok[k], true);
    rung_buf_str(b, "{\"prompt\":");
    rung_buf_json_str(b, s.data ? s.data : "", s.n);
    rung_buf_str(b, "}");
    if (s.failed) b->failed = true;
    rung_buf_clear(&s);
    return RUNG_OK;
}

/* ---- /tokenizer_info */

static void write_token(rung_buf *b, const work_ask *a, const char *key, int32_t tok) {
    rung_buf s;
    rung_buf_printf(b, ",\"%s\":", key);
    if (tok < 0) {
        rung_buf_str(b, "null");
        return;
    }
    rung_buf_init(&s, 1u << 16);
    rung_model_piece(&s, a->w->m, tok, true);
    rung_buf_json_str(b, s.data ? s.data : "", s.n);
    rung_buf_clear(&s);
}

static int32_t token_at(const work_ask *a, const char *key) {
    char text[32];
    rung_model_info i;
    if (!rung_model_meta(a->w->m, key, text, sizeof text)) return -1;
    rung_model_get_info(&i, a->w->m);
    long tok = strtol(text, NULL, 10);
    return tok >= 0 && tok < i.n_vocab ? (int32_t)tok : -1;
}

static rung_status info(rung_buf *b, const work_ask *a, rung_error *err) {
    enum { TEMPLATE_MAX = 256 << 10 };
    char kind[64], *text = rung_arena_alloc(a->arena, TEMPLATE_MAX);
    const rung_model *m = a->w->m;
    if (!text) return rung_fail(err, RUNG_E_NOMEM, "no memory for a request");
    const char *chat = rung_model_meta(m, "tokenizer.chat_template", text, TEMPLATE_MAX);
    if (!rung_model_meta(m, "tokenizer.ggml.model", kind, sizeof kind)) kind[0] = 0;
    rung_model_info i;
    rung_model_get_info(&i, m);
    rung_buf_str(b, "{\"tokenizer_class\":");
    rung_buf_json_str(b, kind, strlen(kind));
    rung_buf_printf(b, ",\"vocab_size\":%d,\"model_max_length\":%d", i.n_vocab, i.n_ctx_train);
    write_token(b, a, "bos_token", token_at(a, "tokenizer.ggml.bos_token_id"));
    write_token(b, a, "eos_token", rung_model_eos(m));
    write_token(b, a, "pad_token", token_at(a, "tokenizer.ggml.padding_token_id"));
    write_token(b, a, "unk_token", token_at(a, "tokenizer.ggml.unknown_token_id"));
    rung_buf_str(b, ",\"chat_template\":");
    if (chat)
        rung_buf_json_str(b, chat, strlen(chat));
    else
        rung_buf_str(b, "null");
    rung_buf_str(b, "}");
    return RUNG_OK;
}

rung_status work_tokens(work_ask *a, rung_error *err) {
    rung_buf *b = &a->w->out;
    if (!a->w->m)
        return rung_fail(err, RUNG_E_INVAL, "the policy is an endpoint: its tokens are not known");
    rung_buf_reset(b);
    RUNG_TRY(a->ask.kind == SERVE_TOKENIZE     ? tokenize(b, a, err)
             : a->ask.kind == SERVE_DETOKENIZE ? detokenize(b, a, err)
                                               : info(b, a, err));
    RUNG_TRY(rung_buf_check(b, err));
    work_send(a, b->data, b->n);
    a->told = true;
    return RUNG_OK;
}
