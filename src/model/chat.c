/* The tokens of what is to be continued: a conversation whose last turn is the assistant's, begun
 * with `prefix`. The template is libllama's (recognised from the file's own text); without one the
 * pieces are joined as they are ("raw").
 *
 * The prefix is tokenized apart from the header, so that all prefixes of one problem share the
 * header's tokens exactly. Text of the caller never becomes a control token: where it holds the
 * text of one, the template's pieces and the caller's are tokenized apart. */
#include "model/model_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MARK      "\x01rung-"
#define MARK_USER MARK "user\x01" /* in frames */

/* Appends the conversation up to the start of the assistant's turn. */
static rung_status apply_all(rung_buf *b, const char *template_text,
                             const struct llama_chat_message *msg, size_t n, rung_error *err) {
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

static rung_status apply(rung_buf *b, const char *template_text, const char *system,
                         const char *user, rung_error *err) {
    struct llama_chat_message msg[2];
    size_t n = 0;
    if (system) msg[n++] = (struct llama_chat_message){"system", system};
    msg[n++] = (struct llama_chat_message){"user", user};
    return apply_all(b, template_text, msg, n, err);
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
                             const struct llama_chat_message *msg, size_t n_msg, rung_error *err) {
    bool bos = true;
    while (*marked) {
        const char *at = strstr(marked, MARK);
        size_t n = at ? (size_t)(at - marked) : strlen(marked);
        RUNG_TRY(add_text(all, m, marked, n, bos, true, err));
        bos = false;
        if (!at) break;
        char *end = NULL;
        unsigned long i = strtoul(at + strlen(MARK), &end, 10);
        if (i >= n_msg || *end != '\x01')
            return rung_fail(err, RUNG_E_MODEL, "this chat template changes what it is given");
        RUNG_TRY(add_text(all, m, msg[i].content, strlen(msg[i].content), false, false, err));
        marked = end + 1;
    }
    return RUNG_OK;
}

/* The conversation as the template has it; where a text holds the text of a control token, apart.
 */
static rung_status add_messages(tokens *all, const rung_model *m, struct llama_chat_message *msg,
                                size_t n, rung_error *err) {
    bool control = false;
    rung_buf b;
    rung_buf_init(&b, (size_t)1 << 28);
    for (size_t i = 0; i < n && !control; i++) control = has_control(m, msg[i].content);
    rung_status st;
    if (!control) {
        st = apply_all(&b, m->template_text, msg, n, err);
        if (st == RUNG_OK) st = add_text(all, m, b.data, b.n, true, true, err);
        rung_buf_clear(&b);
        return st;
    }
    enum { MARK_MAX = 32 };
    struct llama_chat_message *marks = rung_calloc(n, sizeof *marks);
    char(*text)[MARK_MAX] = rung_calloc(n, sizeof *text);
    st = marks && text ? RUNG_OK : rung_fail(err, RUNG_E_NOMEM, "no memory for a conversation");
    for (size_t i = 0; st == RUNG_OK && i < n; i++) {
        snprintf(text[i], sizeof text[i], MARK "%zu\x01", i);
        marks[i] = (struct llama_chat_message){msg[i].role, text[i]};
    }
    if (st == RUNG_OK) st = apply_all(&b, m->template_text, marks, n, err);
    if (st == RUNG_OK) st = add_apart(all, m, b.data, msg, n, err);
    rung_free(marks);
    rung_free(text);
    rung_buf_clear(&b);
    return st;
}

static rung_status add_raw(tokens *all, const rung_model *m, const struct llama_chat_message *msg,
                           size_t n, rung_error *err) {
    rung_buf b;
    rung_buf_init(&b, (size_t)1 << 28);
    for (size_t i = 0; i < n; i++) rung_buf_str(&b, msg[i].content);
    rung_status st = rung_buf_check(&b, err);
    if (st == RUNG_OK) st = add_text(all, m, b.data ? b.data : "", b.n, true, false, err);
    rung_buf_clear(&b);
    return st;
}

static rung_status add_header(tokens *all, const rung_model *m, const rung_turn *turn,
                              int32_t n_turns, const rung_prompt *p, rung_error *err) {
    size_t n = 0;
    struct llama_chat_message *msg = rung_calloc(2 * (size_t)n_turns + 2, sizeof *msg);
    if (!msg) return rung_fail(err, RUNG_E_NOMEM, "no memory for a conversation");
    if (p->system) msg[n++] = (struct llama_chat_message){"system", p->system};
    for (int32_t i = 0; i < n_turns; i++) {
        msg[n++] = (struct llama_chat_message){"user", turn[i].user};
        msg[n++] = (struct llama_chat_message){"assistant", turn[i].reply};
    }
    msg[n++] = (struct llama_chat_message){"user", p->user ? p->user : ""};
    rung_status st =
        m->template_text ? add_messages(all, m, msg, n, err) : add_raw(all, m, msg, n, err);
    rung_free(msg);
    return st;
}

/* SentencePiece vocabularies put a space before any text they are given: give a line end first and
 * drop it and what came before. */
static rung_status add_on(tokens *all, const rung_model *m, const char *text, size_t n,
                          bool special, rung_error *err) {
    if (llama_vocab_type(m->vocab) != LLAMA_VOCAB_TYPE_SPM || m->byte_tok['\n'] < 0) {
        return add_text(all, m, text, n, false, special, err);
    }
    tokens t = {0};
    rung_buf b;
    rung_buf_init(&b, (size_t)1 << 28);
    rung_buf_str(&b, "\n");
    rung_buf_append(&b, text, n);
    rung_status st = rung_buf_check(&b, err);
    if (st == RUNG_OK) st = add_text(&t, m, b.data, b.n, false, special, err);
    int32_t i = 0;
    while (i < t.n && t.tok[i] != m->byte_tok['\n']) i++;
    if (st == RUNG_OK && i < t.n) {
        st = add(all, t.tok + i + 1, t.n - i - 1, err);
    } else if (st == RUNG_OK) {
        st = add_text(all, m, text, n, false, special, err);
    }
    rung_buf_clear(&b);
    rung_free(t.tok);
    return st;
}

static rung_status hand_out(int32_t **tok, int32_t *n_tok, tokens *all, rung_status st) {
    if (st != RUNG_OK) rung_free(all->tok);
    *tok = st == RUNG_OK ? all->tok : NULL;
    *n_tok = st == RUNG_OK ? all->n : 0;
    return st;
}

rung_status rung_model_tokenize_on(int32_t **tok, int32_t *n_tok, const rung_model *m,
                                   const char *text, size_t n, bool special, rung_error *err) {
    tokens all = {0};
    rung_status st = add_on(&all, m, text, n, special, err);
    return hand_out(tok, n_tok, &all, st);
}

/* Each piece apart, as what it is. */
static rung_status add_each(tokens *all, const rung_model *m, const rung_piece *piece, int32_t n,
                            bool begin, rung_error *err) {
    for (int32_t i = 0; i < n; i++) {
        const char *s = piece[i].text;
        if (i == 0 && begin) {
            RUNG_TRY(add_text(all, m, s, strlen(s), true, !piece[i].plain, err));
        } else if (*s) {
            RUNG_TRY(add_on(all, m, s, strlen(s), !piece[i].plain, err));
        }
    }
    return RUNG_OK;
}

rung_status rung_model_tokenize_pieces(int32_t **tok, int32_t *n_tok, const rung_model *m,
                                       const rung_piece *piece, int32_t n_pieces, bool begin,
                                       rung_error *err) {
    tokens all = {0};
    rung_buf b;
    rung_buf_init(&b, (size_t)1 << 28);
    bool special = false, apart = false;
    for (int32_t i = 0; i < n_pieces; i++) {
        rung_buf_str(&b, piece[i].text);
        special = special || (!piece[i].plain && piece[i].text[0]);
        apart = apart || (piece[i].plain && has_control(m, piece[i].text));
    }
    rung_status st = rung_buf_check(&b, err);
    const char *text = b.data ? b.data : "";
    if (st == RUNG_OK && apart && special) {
        st = add_each(&all, m, piece, n_pieces, begin, err);
    } else if (st == RUNG_OK && begin) {
        st = add_text(&all, m, text, b.n, true, special, err);
    } else if (st == RUNG_OK) {
        st = add_on(&all, m, text, b.n, special, err);
    }
    rung_buf_clear(&b);
    return hand_out(tok, n_tok, &all, st);
}

rung_status rung_prompt_tokens(int32_t **tok, int32_t *n_tok, int32_t *n_header,
                               const rung_model *m, const rung_prompt *p, rung_error *err) {
    return rung_chat_tokens(tok, n_tok, n_header, m, NULL, 0, p, err);
}

rung_status rung_chat_tokens(int32_t **tok, int32_t *n_tok, int32_t *n_header, const rung_model *m,
                             const rung_turn *turn, int32_t n_turns, const rung_prompt *p,
                             rung_error *err) {
    tokens all = {0};
    rung_status st = add_header(&all, m, turn, n_turns, p, err);
    if (n_header) *n_header = all.n;
    if (st == RUNG_OK && p->prefix && *p->prefix)
        st = add_on(&all, m, p->prefix, strlen(p->prefix), false, err);
    if (st == RUNG_OK && all.n == 0) st = rung_fail(err, RUNG_E_INVAL, "the prompt is empty");
    return hand_out(tok, n_tok, &all, st);
}

/* Frames --------------------------------------------------------------------------------------- */

void rung_chat_frame_clear(rung_chat_frame *f) {
    rung_free(f->head);
    rung_free(f->tail);
    rung_free(f->rest);
    *f = (rung_chat_frame){0};
}

static rung_status keep(rung_chat_frame *f, const char *head, size_t n_head, const char *tail,
                        size_t n_tail, const char *rest, size_t n_rest, rung_error *err) {
    f->head = rung_strndup(head, n_head);
    f->tail = rung_strndup(tail, n_tail);
    f->rest = rung_strndup(rest, n_rest);
    if (f->head && f->tail && f->rest) return RUNG_OK;
    rung_chat_frame_clear(f);
    return rung_fail(err, RUNG_E_NOMEM, "no memory for a chat template");
}

static rung_status rewrites(rung_error *err) {
    rung_fail(err, RUNG_E_MODEL, "this chat template does not leave earlier turns as they were");
    return rung_error_hint(err, "name another one (chatml, llama3, ...) or raw in the format");
}

/* The conversations of one, two and three turns; user texts are marks. Each must go on the one
 * before, in the same way. */
static rung_status frame_of(rung_chat_frame *f, const char *template_text, const char *system,
                            const char *reply, rung_error *err) {
    struct llama_chat_message msg[6];
    rung_buf talk[3];
    size_t n = 0;
    rung_status st = RUNG_OK;
    for (int i = 0; i < 3; i++) rung_buf_init(&talk[i], 1 << 24);
    if (system) msg[n++] = (struct llama_chat_message){"system", system};
    for (int i = 0; i < (reply ? 3 : 1); i++) {
        if (i) msg[n++] = (struct llama_chat_message){"assistant", reply};
        msg[n++] = (struct llama_chat_message){"user", MARK_USER};
        RUNG_GOTO(apply_all(&talk[i], template_text, msg, n, err));
    }
    size_t n_mark = strlen(MARK_USER);
    const char *one = talk[0].data, *mark = strstr(one, MARK_USER);
    if (!mark || strstr(mark + n_mark, MARK_USER)) RUNG_GOTO(rewrites(err));
    size_t n_head = (size_t)(mark - one), n_tail = talk[0].n - n_head - n_mark;
    const char *rest = "";
    size_t n_rest = 0;
    if (reply) {
        size_t n_more = talk[1].n - talk[0].n; /* rest, mark, tail */
        rest = talk[1].data + talk[0].n;
        if (talk[1].n < talk[0].n || n_more < n_mark + n_tail) RUNG_GOTO(rewrites(err));
        n_rest = n_more - n_mark - n_tail;
        const char *again = rest + n_rest;
        bool same =
            memcmp(talk[1].data, one, talk[0].n) == 0 && memcmp(again, MARK_USER, n_mark) == 0 &&
            memcmp(again + n_mark, mark + n_mark, n_tail) == 0 && talk[2].n == talk[1].n + n_more &&
            memcmp(talk[2].data, talk[1].data, talk[1].n) == 0 &&
            memcmp(talk[2].data + talk[1].n, rest, n_more) == 0;
        if (!same) RUNG_GOTO(rewrites(err));
    }
    st = keep(f, one, n_head, mark + n_mark, n_tail, rest, n_rest, err);
out:
    for (int i = 0; i < 3; i++) rung_buf_clear(&talk[i]);
    return st;
}

rung_status rung_chat_frame_make(rung_chat_frame *out, const rung_model *m, const char *chat,
                                 const char *system, const char *reply, rung_error *err) {
    const char *text = chat ? chat : m->template_text;
    *out = (rung_chat_frame){0};
    if (text && strcmp(text, "raw") != 0) return frame_of(out, text, system, reply, err);
    const char *head = system ? system : "", *rest = reply ? reply : "";
    return keep(out, head, strlen(head), "", 0, rest, strlen(rest), err);
}
