/* Text to tokens and back, for any bytes: what comes back is what went in.
 *
 * libllama replaces bytes that are not UTF-8 by U+FFFD in byte-pair vocabularies; a step that was
 * cut inside a character would change. So valid runs go to libllama and each other byte to its own
 * token. "rwkv" vocabularies (byte strings, greedy longest match; the tiny policy's) are matched
 * here. */
#include "model/model_impl.h"

#include "base/utf8.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

typedef struct tok_list {
    int32_t *tok;
    int32_t n, cap;
} tok_list;

static bool list_grow(tok_list *l, int32_t extra) {
    if (l->cap - l->n >= extra) return true;
    int64_t want = (int64_t)l->n + extra;
    int64_t cap = l->cap * 2 > want ? l->cap * 2 : want;
    if (cap > INT32_MAX / 8) return false;
    int32_t *tok = rung_realloc(l->tok, (size_t)cap * sizeof *tok);
    if (!tok) return false;
    l->tok = tok;
    l->cap = (int32_t)cap;
    return true;
}

static rung_status no_memory(rung_error *err) {
    return rung_fail(err, RUNG_E_NOMEM, "no memory for tokens");
}

/* Byte vocabularies ---------------------------------------------------------------------------- */

static void byte_vocab_free(byte_vocab *b) {
    if (!b) return;
    rung_free(b->bytes);
    rung_free(b->begin);
    rung_free(b->by_first);
    rung_free(b);
}

static int32_t token_len(const byte_vocab *b, int32_t t) {
    return b->begin[t + 1] - b->begin[t];
}

static unsigned char byte_at(const byte_vocab *b, int32_t t) {
    return (unsigned char)b->bytes[b->begin[t]];
}

/* Groups the ids by first byte, longest first (insertion into the group: vocabularies of byte
 * strings are small). */
static void group_by_first(byte_vocab *b, int32_t n_vocab) {
    int32_t n[256] = {0};
    for (int32_t t = 0; t < n_vocab; t++) {
        if (token_len(b, t) > 0) n[byte_at(b, t)]++;
    }
    b->first[0] = 0;
    for (int c = 0; c < 256; c++) b->first[c + 1] = b->first[c] + n[c];
    memset(n, 0, sizeof n);
    for (int32_t t = 0; t < n_vocab; t++) {
        if (token_len(b, t) == 0) continue;
        int c = byte_at(b, t);
        int32_t *group = b->by_first + b->first[c], i = n[c]++;
        for (; i > 0 && token_len(b, group[i - 1]) < token_len(b, t); i--) group[i] = group[i - 1];
        group[i] = t;
    }
}

static rung_status byte_vocab_init(rung_model *m, rung_error *err) {
    int32_t n = m->info.n_vocab;
    byte_vocab *b = m->bytes = rung_calloc(1, sizeof *b);
    if (!b) return no_memory(err);
    rung_buf text;
    rung_buf_init(&text, INT32_MAX);
    b->begin = rung_calloc((size_t)n + 1, sizeof *b->begin);
    b->by_first = rung_calloc((size_t)n, sizeof *b->by_first);
    for (int32_t t = 0; b->begin && t < n; t++) {
        rung_model_piece(&text, m, t, true);
        b->begin[t + 1] = (int32_t)text.n;
    }
    bool ok = b->begin && b->by_first && !text.failed && text.n > 0;
    b->bytes = rung_buf_take(&text, NULL);
    if (!ok || !b->bytes) return no_memory(err);
    group_by_first(b, n);
    return RUNG_OK;
}

/* Longest token at s[0..n) that is (control) or is not (else) a control token; -1 none. */
static int32_t longest(const rung_model *m, const char *s, size_t n, bool control) {
    const byte_vocab *b = m->bytes;
    int c = (unsigned char)s[0];
    for (int32_t i = b->first[c]; i < b->first[c + 1]; i++) {
        int32_t t = b->by_first[i];
        size_t len = (size_t)token_len(b, t);
        if (len <= n && llama_vocab_is_control(m->vocab, t) == control &&
            memcmp(b->bytes + b->begin[t], s, len) == 0) {
            return t;
        }
    }
    return -1;
}

static rung_status tokenize_bytes(tok_list *l, const rung_model *m, const char *s, size_t n,
                                  bool special, rung_error *err) {
    size_t next = 0; /* first control token at or after the position; n when none */
    int32_t control = -1;
    for (size_t i = 0; i < n;) {
        if (special && next <= i && (control < 0 || next < i)) {
            for (next = i, control = -1; next < n; next++) {
                control = longest(m, s + next, n - next, true);
                if (control >= 0) break;
            }
        }
        size_t end = special ? next : n;
        int32_t t = i < end ? longest(m, s + i, end - i, false) : control;
        if (t < 0) {
            return rung_fail(err, RUNG_E_INVAL, "byte 0x%02x at offset %zu is in no token of %s",
                             (unsigned char)s[i], i, m->info.name);
        }
        if (!list_grow(l, 1)) return no_memory(err);
        l->tok[l->n++] = t;
        i += (size_t)token_len(m->bytes, t);
    }
    return RUNG_OK;
}

/* libllama's vocabularies ---------------------------------------------------------------------- */

static rung_status tokenize_run(tok_list *l, const rung_model *m, const char *s, size_t n,
                                bool special, rung_error *err) {
    if (n == 0) return RUNG_OK;
    int32_t guess = (int32_t)(n / 3) + 8;
    for (int pass = 0; pass < 2; pass++) {
        if (!list_grow(l, guess)) return no_memory(err);
        int32_t got =
            llama_tokenize(m->vocab, s, (int32_t)n, l->tok + l->n, l->cap - l->n, false, special);
        if (got >= 0) {
            l->n += got;
            return RUNG_OK;
        }
        if (got == INT32_MIN) break;
        guess = -got;
    }
    return rung_fail(err, RUNG_E_MODEL, "libllama could not tokenize %zu bytes", n);
}

/* Valid runs to libllama, each other byte to its own token (to libllama when it has none). */
static rung_status tokenize_bpe(tok_list *l, const rung_model *m, const char *s, size_t n,
                                bool special, rung_error *err) {
    size_t begin = 0;
    for (size_t i = 0; i < n;) {
        size_t len = rung_utf8_len(s + i, n - i, NULL);
        int32_t t = len ? -1 : m->byte_tok[(unsigned char)s[i]];
        if (t < 0) {
            i += len ? len : 1;
            continue;
        }
        RUNG_TRY(tokenize_run(l, m, s + begin, i - begin, special, err));
        if (!list_grow(l, 1)) return no_memory(err);
        l->tok[l->n++] = t;
        begin = ++i;
    }
    return tokenize_run(l, m, s + begin, n - begin, special, err);
}

rung_status rung_model_tokenize(int32_t **tok, int32_t *n_tok, const rung_model *m,
                                const char *text, size_t n, bool bos, bool special,
                                rung_error *err) {
    tok_list l = {0};
    rung_status st = RUNG_OK;
    *tok = NULL;
    *n_tok = 0;
    if (n > INT32_MAX / 8) return rung_fail(err, RUNG_E_LIMIT, "text of %zu bytes is too long", n);
    if (!list_grow(&l, 1)) return no_memory(err);
    if (bos && llama_vocab_get_add_bos(m->vocab)) {
        int32_t id = llama_vocab_bos(m->vocab);
        if (id >= 0) l.tok[l.n++] = id;
    }
    if (m->bytes) {
        st = tokenize_bytes(&l, m, text, n, special, err);
    } else if (llama_vocab_type(m->vocab) == LLAMA_VOCAB_TYPE_BPE) {
        st = tokenize_bpe(&l, m, text, n, special, err);
    } else {
        st = tokenize_run(&l, m, text, n, special, err);
    }
    if (st != RUNG_OK) {
        rung_free(l.tok);
        return st;
    }
    *tok = l.tok;
    *n_tok = l.n;
    return RUNG_OK;
}

void rung_model_piece(rung_buf *b, const rung_model *m, int32_t tok, bool special) {
    char small[128];
    if (tok < 0 || tok >= m->info.n_vocab) return;
    int32_t n = llama_token_to_piece(m->vocab, tok, small, sizeof small, 0, special);
    if (n >= 0) {
        rung_buf_append(b, small, (size_t)n);
        return;
    }
    char *big = rung_alloc((size_t)-n);
    int32_t got = big ? llama_token_to_piece(m->vocab, tok, big, -n, 0, special) : -1;
    if (got >= 0) {
        rung_buf_append(b, big, (size_t)got);
    } else {
        b->failed = true;
    }
    rung_free(big);
}

int32_t rung_model_token(const rung_model *m, const char *text) {
    size_t n = strlen(text);
    rung_buf b;
    rung_buf_init(&b, 1 << 20);
    int32_t found = -1;
    for (int32_t t = 0; t < m->info.n_vocab && found < 0; t++) {
        rung_buf_reset(&b);
        rung_model_piece(&b, m, t, true);
        if (b.n == n && n > 0 && memcmp(b.data, text, n) == 0) found = t;
    }
    rung_buf_clear(&b);
    return found;
}

int32_t rung_model_eos(const rung_model *m) {
    return llama_vocab_eos(m->vocab);
}

bool rung_model_is_eog(const rung_model *m, int32_t tok) {
    return tok >= 0 && tok < m->info.n_vocab && llama_vocab_is_eog(m->vocab, tok);
}

rung_status rung_tokens_init(rung_model *m, rung_error *err) {
    rung_buf b;
    rung_buf_init(&b, 1 << 20);
    for (int c = 0; c < 256; c++) m->byte_tok[c] = -1;
    for (int32_t t = 0; t < m->info.n_vocab; t++) {
        rung_buf_reset(&b);
        rung_model_piece(&b, m, t, false);
        if (b.n != 1) continue;
        int c = (unsigned char)b.data[0];
        if (m->byte_tok[c] < 0) m->byte_tok[c] = t;
    }
    rung_status st = rung_buf_check(&b, err);
    rung_buf_clear(&b);
    if (st == RUNG_OK && llama_vocab_type(m->vocab) == LLAMA_VOCAB_TYPE_RWKV) {
        st = byte_vocab_init(m, err);
    }
    return st;
}

void rung_tokens_clear(rung_model *m) {
    byte_vocab_free(m->bytes);
    m->bytes = NULL;
}
