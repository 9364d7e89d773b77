/* What goes over the wire to an OpenAI-compatible endpoint, and what comes back. No I/O here. */
#ifndef RUNG_SRC_REMOTE_WIRE_H
#define RUNG_SRC_REMOTE_WIRE_H
#include "model/remote_dialect.h"
#include "rung/model.h"

#include <yyjson.h>

/* The request for samples i .. i+n-1 of g. The seed is base + i: servers that give choice c the
 * seed of the request + c draw the same for a sample however samples share requests. E_INVAL when
 * the dialect's chat cannot go on with g's prefix. */
rung_status rung_wire_body(rung_buf *out, const rung_gen *g, const wire_dialect *d,
                           const char *model_name, bool completions, int32_t i, int32_t n,
                           rung_error *err);

/* One choice of a reply. */
typedef struct wire_choice {
    char
        *text; /* NULL: not in the reply; with the stop string when that is known; yours to clear */
    size_t n_bytes;
    const char *stop; /* static */
    float *logprob;   /* NULL when not offered */
    int32_t n_tok;    /* 0 when neither logprobs nor usage say */
} wire_choice;
typedef struct wire_usage {
    int64_t prompt_tok, cached_tok, completion_tok;
    bool known;
} wire_usage;
/* Fills out[0..n): choice c at its "index" when the server numbers them, else in order. A server
 * may give fewer than n (texts stay NULL) or more (ignored). *n_got: choices in the reply.
 * E_FORMAT: broken JSON, or no usable choice; nothing is to be cleared then. */
rung_status rung_wire_reply(wire_choice *out, wire_usage *usage, const char *reply, size_t n_reply,
                            const rung_gen *g, const wire_dialect *d, int32_t n, rung_error *err);
void rung_wire_choice_clear(wire_choice *c);
/* The server's own words about a failure, at most n_out-1 bytes; "" when it gave none. */
void rung_wire_message(char *out, size_t n_out, const char *reply, size_t n_reply);

/* What a server says of itself. */
typedef struct wire_hello {
    int32_t n_models;            /* 0: it does not say */
    char model[256];             /* the first one's name */
    char models[160];            /* the first few, for a message */
    int64_t size;                /* bytes of its weights; 0 = it does not say */
    const wire_dialect *dialect; /* NULL: not known from this */
    int32_t n_slots;             /* 0 = it does not say */
} wire_hello;
/* Replies of GET /v1/models and GET /props, added to *h; what cannot be read adds nothing. */
void rung_wire_models(wire_hello *h, const char *reply, size_t n);
void rung_wire_props(wire_hello *h, const char *reply, size_t n);

/* base + "/chat/completions" or another path; "/v1" is put between when base has no path. */
rung_status rung_wire_url(rung_buf *out, const char *base, const char *path, rung_error *err);
#endif
