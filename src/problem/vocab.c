/* The tiny model's vocabulary and its greedy tokeniser: control tokens, 256 bytes, the worlds'
 * words. */
#include "problem/world.h"
#include <string.h>

enum { N_CONTROL = 4, FIRST_BYTE = N_CONTROL, FIRST_WORD = N_CONTROL + 256, N_TOKENS_MAX = 1024 };
enum { N_NODES_MAX = 16384, WORD_MAX = 32 };

typedef struct node {
    uint16_t child[256];
    int32_t id; /* token that ends here, -1 none */
} node;

struct rung_vocab {
    rung_arena *arena;
    rung_vocab_token tok[N_TOKENS_MAX];
    int32_t n, n_nodes, cap;
    node *trie; /* 0 is the root; no child is ever 0 */
    rung_status st;
};

static int32_t node_child(rung_vocab *v, int32_t at, unsigned char byte) {
    if (v->trie[at].child[byte]) return v->trie[at].child[byte];
    if (v->n_nodes == v->cap) {
        int32_t cap = v->cap ? v->cap * 2 : 512;
        node *t = cap <= N_NODES_MAX ? rung_realloc(v->trie, (size_t)cap * sizeof *t) : NULL;
        if (!t) {
            v->st = RUNG_E_NOMEM;
            return -1;
        }
        v->trie = t;
        v->cap = cap;
    }
    node *fresh = &v->trie[v->n_nodes];
    memset(fresh, 0, sizeof *fresh);
    fresh->id = -1;
    v->trie[at].child[byte] = (uint16_t)v->n_nodes;
    return v->n_nodes++;
}

/* Adds a token unless its bytes are one already. */
static void add_token(rung_vocab *v, const char *bytes, int32_t n, rung_vocab_kind kind) {
    int32_t at = 0;
    for (int32_t i = 0; i < n && v->st == RUNG_OK; i++) {
        at = node_child(v, at, (unsigned char)bytes[i]);
    }
    if (v->st != RUNG_OK || v->trie[at].id >= 0) return;
    char *copy = rung_arena_strndup(v->arena, bytes, (size_t)n);
    if (!copy || v->n == N_TOKENS_MAX) {
        v->st = copy ? RUNG_E_LIMIT : RUNG_E_NOMEM;
        return;
    }
    v->trie[at].id = v->n;
    v->tok[v->n++] = (rung_vocab_token){copy, n, kind};
}

static bool letter(char ch) {
    return (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z');
}

/* The words of a template: runs of letters outside {marks}. The first one of a text that opens a
 * question stands without a space too. */
static void add_words(void *ud, const char *text, bool opens) {
    rung_vocab *v = ud;
    for (const char *p = text; *p;) {
        if (*p == '{') {
            p += 3;
            continue;
        }
        size_t n = 0;
        while (letter(p[n])) n++;
        if (n == 0) {
            p++;
            continue;
        }
        char word[WORD_MAX + 2] = " ";
        if (n > WORD_MAX) n = WORD_MAX;
        memcpy(word + 1, p, n);
        add_token(v, word, (int32_t)n + 1, RUNG_VOCAB_WORD);
        if (opens && p == text) add_token(v, word + 1, (int32_t)n, RUNG_VOCAB_WORD);
        p += n;
    }
}

rung_status rung_corpus_vocab(rung_vocab **out, rung_error *err) {
    static const char *const control[N_CONTROL] = {"<|eos|>", "<?>", "<+>", "<->"};
    *out = NULL;
    rung_vocab *v = rung_calloc(1, sizeof *v);
    if (!v) return rung_fail(err, RUNG_E_NOMEM, "out of memory for the vocabulary");
    v->arena = rung_arena_new(0);
    v->cap = 512;
    v->trie = rung_calloc((size_t)v->cap, sizeof *v->trie);
    if (!v->arena || !v->trie) v->st = RUNG_E_NOMEM;
    if (v->st == RUNG_OK) {
        v->trie[0].id = -1;
        v->n_nodes = 1;
    }
    for (int32_t i = 0; i < N_CONTROL && v->st == RUNG_OK; i++)
        add_token(v, control[i], (int32_t)strlen(control[i]), RUNG_VOCAB_CONTROL);
    for (int b = 0; b < 256 && v->st == RUNG_OK; b++) {
        char byte = (char)b;
        add_token(v, &byte, 1, RUNG_VOCAB_BYTE);
    }
    static const char *const marks[] = {" +", " -", " x", "#### "};
    for (size_t i = 0; i < 4 && v->st == RUNG_OK; i++)
        add_token(v, marks[i], (int32_t)strlen(marks[i]), RUNG_VOCAB_WORD);
    if (v->st == RUNG_OK) world_total_texts(add_words, v);
    if (v->st == RUNG_OK) world_word_texts(add_words, v);
    if (v->st != RUNG_OK) {
        rung_status st = rung_fail(err, v->st, "could not build the vocabulary");
        rung_vocab_free(v);
        return st;
    }
    *out = v;
    return RUNG_OK;
}

void rung_vocab_free(rung_vocab *v) {
    if (!v) return;
    rung_arena_free(v->arena);
    rung_free(v->trie);
    rung_free(v);
}

int32_t rung_vocab_size(const rung_vocab *v) {
    return v->n;
}

const rung_vocab_token *rung_vocab_at(const rung_vocab *v, int32_t id) {
    return id >= 0 && id < v->n ? &v->tok[id] : NULL;
}

int32_t rung_vocab_encode(int32_t *out, int32_t n_max, const rung_vocab *v, const char *text,
                          int32_t n, bool control) {
    int32_t n_out = 0;
    for (int32_t i = 0; i < n;) {
        int32_t best = FIRST_BYTE + (unsigned char)text[i], best_n = 1, at = 0;
        for (int32_t k = i; k < n; k++) {
            at = v->trie[at].child[(unsigned char)text[k]];
            if (at == 0) break;
            int32_t id = v->trie[at].id;
            if (id < 0 || (id < N_CONTROL && !control)) continue;
            best = id;
            best_n = k - i + 1;
        }
        if (n_out < n_max) out[n_out] = best;
        n_out++;
        i += best_n;
    }
    return n_out;
}
