/* The tokens of what is to be continued: a conversation whose last turn is the assistant's, begun
 * with `prefix`. The template is libllama's (recognised from the file's own text); without one the
 * pieces are joined as they are ("raw").
 *
 * The prefix is tokenized apart from the header, so that all prefixes of one problem share the
 * header's tokens exactly. Text of the caller never becomes a control token: where it holds the
 * text of one, the template's pieces and the caller's are tokenized apart. */
#include "model/model_impl.h"

#include <stdio.h>
#include <string.h>

#define MARK_SYSTEM "\x01rung-system\x01"
#define MARK_USER   "\x01rung-user\x01"

/* Appends the conversation up to the start of the assistant's turn. */
static rung_status apply(rung_buf *b, const char *template_text, const char *system,
                         const char *user, rung_error *err) {
    struct llama_chat_message msg[2];
    size_t n = 0;
    if (system) msg[n++] = (struct llama_chat_message){"system", system};
    msg[n++] = (struct llama_chat_message){"user", user};
    int32_t want = llama_chat_apply_template(template_text, msg, n, true, NULL, 0);
    if (want < 0) {
        rung_fail(err, RUNG_E_MODEL, "libllama does not know this model's chat template");
        return rung_error_hint(err, "name one that it knows (chatml, llama3, ...) or use raw");
    }
    char *text = rung_calloc((size_t)want + 1, 1);
    if (!text) return rung_fail(err, RUNG_E_NOMEM, "no memory for a prompt of %d bytes", want);
    llama_chat_apply_template(template_text, msg, n, true, text, want + 1);
    rung_buf_append(b, text, (size_t)want);
    rung_free(text);
    return rung_buf_check(b, err);
}

/* Which of libllama's templates gives the same conversation: its name, "custom" or "unknown". */
static void name_template(rung_model *m) {
    const char *names[128];
    int32_t n = llama_chat_builtin_templates(names, 128);
    rung_buf ours, other;
    rung_buf_init(&ours, 1 << 20);
    rung_buf_init(&other, 1 << 20);
    snprintf(m->info.chat, sizeof m->info.chat, "unknown");
    if (apply(&ours, m->template_text, "s", "u", NULL) == RUNG_OK) {
        snprintf(m->info.chat, sizeof m->info.chat, "custom");
        for (int32_t i = 0; i < n && i < 128; i++) {
            rung_buf_reset(&other);
            if (apply(&other, names[i], "s", "u", NULL) == RUNG_OK && other.n == ours.n &&
                memcmp(other.data, ours.data, ours.n) == 0) {
                snprintf(m->info.chat, sizeof m->info.chat, "%s", names[i]);
                break;
            }
        }
    }
    rung_buf_clear(&ours);
    rung_buf_clear(&other);
}

rung_status rung_chat_init(rung_model *m, const char *override, rung_error *err) {
    const char *text = override ? override : llama_model_chat_template(m->llama, NULL);
    if (!text || !*text || strcmp(text, "raw") == 0) {
        snprintf(m->info.chat, sizeof m->info.chat, "raw");
        return RUNG_OK;
    }
    m->template_text = rung_strdup(text);
    if (!m->template_text) return rung_fail(err, RUNG_E_NOMEM, "no memory for the chat template");
    name_template(m);
    if (override && strcmp(m->info.chat, "unknown") == 0) {
        rung_fail(err, RUNG_E_INVAL, "chat template \"%.40s\" is none that libllama knows",
                  override);
        return rung_error_hint(err, "name one (chatml, llama3, ...), give its text, or say raw");
    }
    return RUNG_OK;
}

typedef struct tokens {
    int32_t *tok;
    int32_t n;
} tokens;

static rung_status add(tokens *all, const int32_t *tok, int32_t n, rung_error *err) {
    int32_t *p = rung_realloc(all->tok, ((size_t)all->n + (size_t)n) * sizeof *p);
    if (!p) return rung_fail(err, RUNG_E_NOMEM, "no memory for tokens");
    if (n) memcpy(p + all->n, tok, (size_t)n * sizeof *p);
    all->tok = p;
    all->n += n;
    return RUNG_OK;
}

static rung_status add_text(tokens *all, const rung_model *m, const char *s, size_t n, bool bos,
                            bool special, rung_error *err) {
    int32_t *tok, n_tok;
    RUNG_TRY(rung_model_tokenize(&tok, &n_tok, m, s, n, bos, special, err));
    rung_status st = add(all, tok, n_tok, err);
    rung_free(tok);
    return st;
}

/* Does the text hold the text of a control token? */
static bool has_control(const rung_model *m, const char *s) {
    tokens plain = {0}, parsed = {0};
    bool differ = add_text(&plain, m, s, strlen(s), false, false, NULL) != RUNG_OK ||
                  add_text(&parsed, m, s, strlen(s), false, true, NULL) != RUNG_OK ||
                  plain.n != parsed.n ||
                  (plain.n && memcmp(plain.tok, parsed.tok, (size_t)plain.n * sizeof *plain.tok));
    rung_free(plain.tok);
    rung_free(parsed.tok);
    return differ;
}

/* The template with marks where the caller's texts go, each piece tokenized as what it is. */
static rung_status add_apart(tokens *all, const rung_model *m, const char *marked,
                             const rung_prompt *p, rung_error *err) {
    bool bos = true;
    while (*marked) {
        const char *sys = strstr(marked, MARK_SYSTEM), *user = strstr(marked, MARK_USER);
        bool is_sys = sys && (!user || sys < user);
        const char *at = is_sys ? sys : user;
        size_t n = at ? (size_t)(at - marked) : strlen(marked);
        RUNG_TRY(add_text(all, m, marked, n, bos, true, err));
        bos = false;
        if (!at) break;
        const char *text = is_sys ? p->system : p->user;
        RUNG_TRY(add_text(all, m, text, strlen(text), false, false, err));
        marked = at + strlen(is_sys ? MARK_SYSTEM : MARK_USER);
    }
    return RUNG_OK;
}

static rung_status add_header(tokens *all, const rung_model *m, const rung_prompt *p,
                              rung_error *err) {
    const char *user = p->user ? p->user : "";
    rung_buf b;
    rung_buf_init(&b, (size_t)1 << 28);
    rung_status st;
    if (!m->template_text) {
        if (p->system) rung_buf_str(&b, p->system);
        rung_buf_str(&b, user);
        st = rung_buf_check(&b, err);
        if (st == RUNG_OK) st = add_text(all, m, b.data ? b.data : "", b.n, true, false, err);
    } else if (has_control(m, user) || (p->system && has_control(m, p->system))) {
        st = apply(&b, m->template_text, p->system ? MARK_SYSTEM : NULL, MARK_USER, err);
        if (st == RUNG_OK) st = add_apart(all, m, b.data, p, err);
    } else {
        st = apply(&b, m->template_text, p->system, user, err);
        if (st == RUNG_OK) st = add_text(all, m, b.data, b.n, true, true, err);
    }
    rung_buf_clear(&b);
    return st;
}

/* SentencePiece vocabularies put a space before any text they are given: give a line end first and
 * drop it and what came before. */
static rung_status add_prefix(tokens *all, const rung_model *m, const char *prefix,
                              rung_error *err) {
    if (llama_vocab_type(m->vocab) != LLAMA_VOCAB_TYPE_SPM || m->byte_tok['\n'] < 0) {
        return add_text(all, m, prefix, strlen(prefix), false, false, err);
    }
    tokens t = {0};
    rung_buf b;
    rung_buf_init(&b, (size_t)1 << 28);
    rung_buf_str(&b, "\n");
    rung_buf_str(&b, prefix);
    rung_status st = rung_buf_check(&b, err);
    if (st == RUNG_OK) st = add_text(&t, m, b.data, b.n, false, false, err);
    int32_t i = 0;
    while (i < t.n && t.tok[i] != m->byte_tok['\n']) i++;
    if (st == RUNG_OK && i < t.n) {
        st = add(all, t.tok + i + 1, t.n - i - 1, err);
    } else if (st == RUNG_OK) {
        st = add_text(all, m, prefix, strlen(prefix), false, false, err);
    }
    rung_buf_clear(&b);
    rung_free(t.tok);
    return st;
}

rung_status rung_prompt_tokens(int32_t **tok, int32_t *n_tok, int32_t *n_header,
                               const rung_model *m, const rung_prompt *p, rung_error *err) {
    tokens all = {0};
    *tok = NULL;
    *n_tok = 0;
    rung_status st = add_header(&all, m, p, err);
    if (n_header) *n_header = all.n;
    if (st == RUNG_OK && p->prefix && *p->prefix) st = add_prefix(&all, m, p->prefix, err);
    if (st == RUNG_OK && all.n == 0) st = rung_fail(err, RUNG_E_INVAL, "the prompt is empty");
    if (st != RUNG_OK) {
        rung_free(all.tok);
        return st;
    }
    *tok = all.tok;
    *n_tok = all.n;
    return RUNG_OK;
}
