/* The table of dialects. What vLLM, SGLang and llama-server do was read in their sources (owned_by,
 * the seed of a choice, the stop fields); the hosted rows follow the providers' documents. */
#include "model/remote_dialect.h"

#include "rung/model.h"

#include <string.h>

static const wire_dialect dialects[] = {
    /* any other server: as vLLM, without its own fields */
    {"generic", NULL, WIRE_CONTINUE_FLAGS, NULL, "stop_reason", "max_tokens", "seed",
     WIRE_SEED_STEPS, true, false},
    {"vllm", "vllm", WIRE_CONTINUE_FLAGS, "include_stop_str_in_output", "stop_reason", "max_tokens",
     "seed", WIRE_SEED_STEPS, true, false},
    /* n up to its slots, does not tell what stopped it */
    {"llama-server", "llamacpp", WIRE_CONTINUE_FLAGS, NULL, NULL, "max_tokens", "seed",
     WIRE_SEED_STEPS, true, true},
    /* one seed for all choices of a request */
    {"sglang", "sglang", WIRE_CONTINUE_FLAGS, "no_stop_trim", "matched_stop", "max_tokens", "seed",
     WIRE_SEED_SAME, true, false},
    /* chat begins an answer, it does not go on with one */
    {"openai", "openai|openai-internal|system", WIRE_CONTINUE_NONE, NULL, NULL,
     "max_completion_tokens", "seed", WIRE_SEED_STEPS, false, false},
    /* these go on with a message marked as prefix; deepseek at its beta address */
    {"mistral", "mistralai", WIRE_CONTINUE_PREFIX, NULL, NULL, "max_tokens", "random_seed",
     WIRE_SEED_STEPS, false, false},
    {"deepseek", "deepseek", WIRE_CONTINUE_PREFIX, NULL, NULL, "max_tokens", "seed",
     WIRE_SEED_STEPS, false, false},
};
enum { N_DIALECTS = sizeof dialects / sizeof *dialects };

const wire_dialect *rung_wire_dialect_at(size_t i) {
    return i < N_DIALECTS ? &dialects[i] : NULL;
}

const wire_dialect *rung_wire_dialect(const char *name) {
    for (size_t i = 0; i < N_DIALECTS; i++) {
        if (strcmp(dialects[i].name, name) == 0) return &dialects[i];
    }
    return NULL;
}

/* Is word one of the words of list "a|b|c"? */
static bool is_among(const char *list, const char *word) {
    size_t n = strlen(word);
    for (const char *p = list; p && *p;) {
        size_t k = strcspn(p, "|");
        if (k == n && memcmp(p, word, n) == 0) return true;
        p += k + (p[k] == '|');
    }
    return false;
}

const wire_dialect *rung_wire_dialect_of_owner(const char *owned_by) {
    for (size_t i = 0; i < N_DIALECTS; i++) {
        if (is_among(dialects[i].owner, owned_by)) return &dialects[i];
    }
    return NULL;
}

const char *rung_dialect_name(size_t i) {
    return i < N_DIALECTS ? dialects[i].name : NULL;
}
