/* Where servers that speak OpenAI's API differ. One row each; remote_hello.c finds the row. */
#ifndef RUNG_SRC_REMOTE_DIALECT_H
#define RUNG_SRC_REMOTE_DIALECT_H
#include "rung/base.h"

/* How chat is asked to go on with a begun answer. */
typedef enum wire_continue {
    WIRE_CONTINUE_NONE = 0, /* it cannot */
    WIRE_CONTINUE_FLAGS,    /* continue_final_message true, add_generation_prompt false */
    WIRE_CONTINUE_PREFIX    /* "prefix": true in the assistant's message */
} wire_continue;

/* What a seed means when several choices are asked for at once. */
typedef enum wire_seed {
    WIRE_SEED_STEPS =
        0,         /* choice c gets seed + c: a sample's draw does not depend on its request */
    WIRE_SEED_SAME /* all get the same: sent for single choices only */
} wire_seed;

typedef struct wire_dialect {
    const char *name;
    const char *owner; /* what /v1/models says in owned_by, "a|b"; NULL: never found by that */
    wire_continue go_on;
    const char *keep_stop; /* field that makes the server leave the stop string in the text */
    const char *stop_key;  /* field of a choice that holds the stop string met; NULL none */
    const char *max_key;   /* field of the token limit */
    const char *seed_key;
    wire_seed seed;
    bool more_sampling; /* top_k and min_p are known */
    bool any_model;     /* takes every model name for its own, tells a file's name instead */
} wire_dialect;

const wire_dialect *rung_wire_dialect(const char *name); /* NULL: no such name */
const wire_dialect *rung_wire_dialect_at(size_t i); /* 0: what an unknown server is taken for */
const wire_dialect *rung_wire_dialect_of_owner(const char *owned_by); /* NULL: not known */
#endif
