/* What a loaded model is, for the files of model/. Nobody else sees llama.h. */
#ifndef RUNG_SRC_MODEL_IMPL_H
#define RUNG_SRC_MODEL_IMPL_H
#include "rung/model.h"
#include <llama.h>

/* Vocabularies of byte strings ("rwkv" tokenizer): greedy longest match, by first byte. libllama's
 * own matcher loops for ever on a token whose first byte is no token, and finds control tokens in
 * any text; this one does neither. */
typedef struct byte_vocab {
    char *bytes;        /* all token texts, one after the other */
    int32_t *begin;     /* [n+1] */
    int32_t *by_first;  /* token ids: grouped by first byte, longest first */
    int32_t first[257]; /* group b = by_first[first[b] .. first[b+1]) */
} byte_vocab;

struct rung_model {
    struct llama_model *llama;
    const struct llama_vocab *vocab;
    rung_model_info info;
    char *template_text;                /* what libllama applies; NULL = raw */
    struct llama_adapter_lora *adapter; /* over the weights, at full scale; NULL = none */
    bool vocab_only;
    byte_vocab *bytes;     /* NULL unless the tokenizer is "rwkv" */
    int32_t byte_tok[256]; /* token of a single byte, -1 none: for text that is not UTF-8 */
    rung_memory *memory;   /* NULL, or where `charged` bytes are taken from */
    int64_t charged;
};
int64_t rung_memory_left(const rung_memory *m); /* INT64_MAX: no limit */

rung_status rung_tokens_init(rung_model *m, rung_error *err); /* fills bytes, byte_tok */
void rung_tokens_clear(rung_model *m);
rung_status rung_chat_init(rung_model *m, const char *override, rung_error *err);

void rung_llama_backend(void); /* libllama and its log, once per process */

/* ln p(tok) at T = 1 over all n logits; NaN when they are not numbers. */
double rung_logprob_of(const float *logits, int32_t n, int32_t tok);

/* libllama's log, of the calling thread: quiet, but the first error is kept for messages and every
 * line goes to `log` (borrowed until set again; NULL stops it) as the debug event "llama". */
void rung_llama_log(const rung_log *log);
const char *rung_llama_error(void); /* the first since it was cleared, one line; "" none */
void rung_llama_clear_error(void);
#endif
