/* What goes over the wire to an OpenAI-compatible endpoint, and what comes back. No I/O here. */
#ifndef RUNG_SRC_REMOTE_WIRE_H
#define RUNG_SRC_REMOTE_WIRE_H
#include "rung/model.h"

#include <yyjson.h>

/* The request for samples i .. i+n-1 of g. The seed is base + i: vLLM and llama-server give choice
 * c the seed of the request + c, so a sample's draw does not depend on how samples share requests.
 */
rung_status rung_wire_body(rung_buf *out, const rung_gen *g, const char *model_name,
                           bool completions, int32_t i, int32_t n, rung_error *err);

/* One choice of a reply. */
typedef struct wire_choice {
    char
        *text; /* NULL: not in the reply; with the stop string when that is known; yours to clear */
    size_t n_bytes;
    const char *stop; /* static */
    float *logprob;   /* NULL when not offered */
    int32_t n_tok;    /* 0 when neither logprobs nor usage say */
} wire_choice;
/* Fills out[0..n): choice c at its "index" when the server numbers them, else in order. A server
 * may give fewer than n (texts stay NULL) or more (ignored). E_FORMAT: broken JSON, or no usable
 * choice; nothing is to be cleared then. */
rung_status rung_wire_reply(wire_choice *out, const char *reply, size_t n_reply, const rung_gen *g,
                            int32_t n, rung_error *err);
void rung_wire_choice_clear(wire_choice *c);
/* The server's own words about a failure, at most n_out-1 bytes; "" when it gave none. */
void rung_wire_message(char *out, size_t n_out, const char *reply, size_t n_reply);

/* base + "/chat/completions" or "/completions"; "/v1" is put between when base has no path. */
rung_status rung_wire_url(rung_buf *out, const char *base, bool completions, rung_error *err);
#endif
