/* OpenAI's shapes: chat completions, text completions, whole and in pieces. */
#include "base/utf8.h"
#include "serve/work.h"

#include <math.h>
#include <string.h>

/* One token with what is told of it. */
typedef struct item {
    int32_t tok;
    double logprob; /* NaN: nothing comes before it */
    const int32_t *top_tok;
    const float *top_logprob;
    int64_t offset; /* characters of the choice's text before it */
} item;

/* ---- tokens */

static void piece(rung_buf *b, const work *w, int32_t tok) {
    rung_buf_reset(b);
    rung_model_piece(b, w->m, tok, true);
}

static bool is_utf8(const char *s, size_t n) {
    for (size_t i = 0; i < n;) {
        size_t k = rung_utf8_len(s + i, n - i, NULL);
        if (k == 0) return false;
        i += k;
    }
    return true;
}

/* A token that is no whole character is named by its bytes, so that names stay apart. */
static void name_of(rung_buf *out, const work *w, int32_t tok, rung_buf *scratch) {
    piece(scratch, w, tok);
    if (is_utf8(scratch->data, scratch->n)) {
        rung_buf_json_str(out, scratch->data ? scratch->data : "", scratch->n);
        return;
    }
    rung_buf_str(out, "\"bytes:");
    for (size_t i = 0; i < scratch->n; i++)
        rung_buf_printf(out, "\\\\x%02x", (unsigned char)scratch->data[i]);
    rung_buf_str(out, "\"");
}

static void number(rung_buf *b, double x) {
    if (isfinite(x))
        rung_buf_printf(b, "%.9g", x);
    else if (x < 0.0)
        rung_buf_str(b, "-9999.0"); /* JSON has no infinity; vLLM says so, too */
    else
        rung_buf_str(b, "null");
}

/* Where a token is among the likeliest, both say the same number. */
static double logprob_of(const item *x, int32_t n_top) {
    for (int32_t k = 0; k < n_top && x->top_tok; k++)
        if (x->top_tok[k] == x->tok) return (double)x->top_logprob[k];
    return x->logprob;
}

/* ---- items of a choice */

static int64_t count_chars(const char *s, size_t n) {
    int64_t chars = 0;
    for (size_t i = 0; i < n; chars++) {
        size_t bad = 1, k = rung_utf8_len(s + i, n - i, &bad);
        i += k ? k : bad;
    }
    return chars;
}

/* Ends of the tokens in the text, as far as they are not known yet. */
static bool find_ends(work_choice *c, const work *w, const work_text *t) {
    rung_buf b;
    rung_buf_init(&b, 1u << 16);
    if (t->n_tok > c->cap_end) {
        int32_t cap = t->n_tok * 2;
        int32_t *grown = rung_realloc(c->end, (size_t)cap * sizeof *grown);
        if (!grown) return false;
        c->end = grown;
        c->cap_end = cap;
    }
    for (; c->n_end < t->n_tok; c->n_end++) {
        rung_buf_reset(&b);
        rung_model_piece(&b, w->m, t->tok[c->n_end], false);
        c->end[c->n_end] = (c->n_end ? c->end[c->n_end - 1] : 0) + (int32_t)b.n;
    }
    rung_buf_clear(&b);
    return true;
}

static item *items_of(int32_t *n, work_ask *a, work_choice *c, const work_text *t, int32_t from,
                      int32_t to) {
    const serve_ask *q = &a->ask;
    const work_read *r = q->echo ? &a->read[c->index / q->n] : NULL;
    int32_t n_before = r ? r->n_tok : 0;
    bool told = c->echoed;
    item *x = rung_arena_alloc(a->arena, (size_t)(n_before + to - from + 1) * sizeof *x);
    rung_buf b;
    int64_t offset = 0;
    *n = 0;
    if (!x || (t->n_tok > 0 && !find_ends(c, a->w, t))) return NULL;
    rung_buf_init(&b, 1u << 16);
    for (int32_t i = 0; i < n_before; i++) {
        size_t at = (size_t)i * (size_t)q->n_top;
        bool first = i == 0;
        if (!told)
            x[(*n)++] =
                (item){r->tok[i], first || !r->logprob ? (double)NAN : (double)r->logprob[i],
                       first || !r->top_tok ? NULL : r->top_tok + at,
                       first || !r->top_tok ? NULL : r->top_logprob + at, offset};
        rung_buf_reset(&b);
        rung_model_piece(&b, a->w->m, r->tok[i], false);
        offset += count_chars(b.data, b.n);
    }
    c->echoed = true;
    int32_t n_end = to == t->n_tok ? t->n_end : 0;
    for (int32_t i = from; i < to + n_end; i++) {
        size_t at = (size_t)i * (size_t)q->n_top;
        int32_t begin = i ? c->end[i - 1] : 0;
        x[(*n)++] = (item){t->tok[i], (double)t->logprob[i], t->top_tok ? t->top_tok + at : NULL,
                           t->top_tok ? t->top_logprob + at : NULL,
                           offset + count_chars(t->text, (size_t)begin)};
    }
    rung_buf_clear(&b);
    return x;
}

/* ---- logprobs */

static void chat_token(rung_buf *b, const work *w, int32_t tok, double lp, rung_buf *scratch) {
    rung_buf_str(b, "{\"token\":");
    name_of(b, w, tok, scratch);
    rung_buf_str(b, ",\"logprob\":");
    number(b, lp);
    rung_buf_str(b, ",\"bytes\":[");
    for (size_t i = 0; i < scratch->n; i++)
        rung_buf_printf(b, "%s%d", i ? "," : "", (unsigned char)scratch->data[i]);
    rung_buf_str(b, "]");
}

static void chat_logprobs(rung_buf *b, const work_ask *a, const item *x, int32_t n) {
    rung_buf s;
    rung_buf_init(&s, 1u << 16);
    rung_buf_str(b, "{\"content\":[");
    for (int32_t i = 0; i < n; i++) {
        if (i) rung_buf_str(b, ",");
        chat_token(b, a->w, x[i].tok, logprob_of(&x[i], a->ask.n_top), &s);
        rung_buf_str(b, ",\"top_logprobs\":[");
        for (int32_t k = 0; k < a->ask.n_top && x[i].top_tok && x[i].top_tok[k] >= 0; k++) {
            if (k) rung_buf_str(b, ",");
            chat_token(b, a->w, x[i].top_tok[k], (double)x[i].top_logprob[k], &s);
            rung_buf_str(b, "}");
        }
        rung_buf_str(b, "]}");
    }
    rung_buf_str(b, "],\"refusal\":null}");
    rung_buf_clear(&s);
}

static void top_object(rung_buf *b, const work_ask *a, const item *x, rung_buf *s) {
    bool has = false, any = false;
    if (isnan(x->logprob)) {
        rung_buf_str(b, "null");
        return;
    }
    rung_buf_str(b, "{");
    for (int32_t k = 0; k < a->ask.n_top && x->top_tok && x->top_tok[k] >= 0; k++) {
        if (any) rung_buf_str(b, ",");
        name_of(b, a->w, x->top_tok[k], s);
        rung_buf_str(b, ":");
        number(b, (double)x->top_logprob[k]);
        has |= x->top_tok[k] == x->tok;
        any = true;
    }
    if (!has) { /* the token itself is always there */
        if (any) rung_buf_str(b, ",");
        name_of(b, a->w, x->tok, s);
        rung_buf_str(b, ":");
        number(b, x->logprob);
    }
    rung_buf_str(b, "}");
}

static void text_logprobs(rung_buf *b, const work_ask *a, const item *x, int32_t n) {
    rung_buf s;
    rung_buf_init(&s, 1u << 16);
    rung_buf_str(b, "{\"tokens\":[");
    for (int32_t i = 0; i < n; i++) {
        if (i) rung_buf_str(b, ",");
        name_of(b, a->w, x[i].tok, &s);
    }
    rung_buf_str(b, "],\"token_logprobs\":[");
    for (int32_t i = 0; i < n; i++) {
        if (i) rung_buf_str(b, ",");
        number(b, logprob_of(&x[i], a->ask.n_top));
    }
    rung_buf_str(b, "],\"top_logprobs\":");
    if (a->ask.n_top == 0) {
        rung_buf_str(b, "null");
    } else {
        rung_buf_str(b, "[");
        for (int32_t i = 0; i < n; i++) {
            if (i) rung_buf_str(b, ",");
            top_object(b, a, &x[i], &s);
        }
        rung_buf_str(b, "]");
    }
    rung_buf_str(b, ",\"text_offset\":[");
    for (int32_t i = 0; i < n; i++)
        rung_buf_printf(b, "%s%lld", i ? "," : "", (long long)x[i].offset);
    rung_buf_str(b, "]}");
    rung_buf_clear(&s);
}

static void logprobs(rung_buf *b, work_ask *a, work_choice *c, const work_text *t, int32_t from,
                     int32_t to) {
    int32_t n = 0;
    bool known = t->n_tok + t->n_end == 0 || (t->tok && t->logprob);
    const item *x = a->ask.logprobs && known ? items_of(&n, a, c, t, from, to) : NULL;
    rung_buf_str(b, ",\"logprobs\":");
    if (!x)
        rung_buf_str(b, "null");
    else if (a->ask.kind == SERVE_CHAT)
        chat_logprobs(b, a, x, n);
    else
        text_logprobs(b, a, x, n);
}

/* ---- text */

/* Where the reply's text ends: before the stop text, unless it is to be kept. */
static int32_t visible(const work_ask *a, const work_text *t, bool last) {
    const serve_ask *q = &a->ask;
    int32_t n = t->n_bytes, longest = 0;
    for (int32_t k = 0; k < q->n_stop; k++) {
        int32_t len = (int32_t)strlen(q->stop[k]);
        const char *at = memmem(t->text, (size_t)t->n_bytes, q->stop[k], (size_t)len);
        if (len > longest) longest = len;
        if (!at) continue;
        int32_t end = (int32_t)(at - t->text) + (q->keep_stop ? len : 0);
        if (end < n) n = end;
    }
    if (last) return n;
    if (t->n_bytes - longest + 1 < n && longest > 0) n = t->n_bytes - longest + 1;
    if (n < 0) n = 0;
    return n - (int32_t)rung_utf8_partial(t->text, (size_t)n);
}

/* Tokens that end within the first n bytes. */
static int32_t tokens_within(work_choice *c, const work *w, const work_text *t, int32_t n,
                             bool last) {
    if (last || !t->tok) return t->n_tok;
    if (!find_ends(c, w, t)) return c->n_tok_sent;
    int32_t k = c->n_tok_sent;
    while (k < t->n_tok && c->end[k] <= n) k++;
    return k;
}

static void echo_text(rung_buf *b, const work_ask *a, const work_choice *c, rung_buf *scratch) {
    const serve_ask *q = &a->ask;
    if (!q->echo) return;
    const serve_prompt *p = &q->prompt[c->index / q->n];
    if (p->text) {
        rung_buf_str(scratch, p->text);
        return;
    }
    (void)b;
    for (int32_t i = 0; i < p->n_tok; i++) rung_model_piece(scratch, a->w->m, p->tok[i], false);
}

/* ---- objects */

static void open_object(rung_buf *b, const work_ask *a, const char *object) {
    const char *model = a->ask.model && a->ask.model[0] ? a->ask.model : a->w->o->caps.name;
    rung_buf_printf(b, "{\"id\":\"%s\",\"object\":\"%s\",\"created\":%lld,\"model\":", a->name,
                    object, (long long)a->created);
    rung_buf_json_str(b, model, strlen(model));
}

static void usage(rung_buf *b, const work_ask *a) {
    const serve_cost *c = &a->cost;
    const rung_search_ledger *l = &a->ledger;
    rung_buf_printf(b,
                    ",\"usage\":{\"prompt_tokens\":%lld,\"completion_tokens\":%lld,"
                    "\"total_tokens\":%lld",
                    (long long)c->prompt_tok, (long long)c->gen_tok,
                    (long long)(c->prompt_tok + c->gen_tok));
    if (a->n_finds > 0 || c->searched)
        rung_buf_printf(b,
                        ",\"rung\":{\"generations\":%lld,\"prompt_tokens\":%lld,"
                        "\"prompt_tokens_computed\":%lld,\"scored_tokens\":%lld,"
                        "\"scored_tokens_read\":%lld,\"judge_tokens\":%lld,"
                        "\"flops_cached\":%.6g,\"flops_naive\":%.6g}",
                        (long long)l->n_gen, (long long)l->prompt_tok, (long long)l->prompt_new_tok,
                        (long long)l->scored_tok, (long long)l->scored_new_tok,
                        (long long)(l->judge_in_tok + l->judge_out_tok), l->flops_cached,
                        l->flops_naive);
    rung_buf_str(b, "}");
}

static void rung_object(rung_buf *b, const work_ask *a) {
    const char *method = serve_ask_method(&a->ask, &a->w->o->caps);
    rung_buf_str(b, ",\"rung\":{\"method\":");
    rung_buf_json_str(b, method, strlen(method));
    rung_buf_printf(b, ",\"seed\":%llu,\"wall_s\":%.4f", (unsigned long long)a->seed,
                    rung_now() - a->t0);
    if (a->stopped) rung_buf_str(b, ",\"stopped\":\"deadline\"");
    if (a->n_finds > 0) {
        rung_buf_str(b, ",\"choices\":[");
        for (int32_t i = 0; i < a->n_choices; i++) {
            if (i) rung_buf_str(b, ",");
            work_search_json(b, a, &a->choice[i]);
        }
        rung_buf_str(b, "]");
    }
    rung_buf_str(b, "}");
}

static void whole_choice(rung_buf *b, work_ask *a, work_choice *c) {
    const serve_ask *q = &a->ask;
    rung_buf s;
    rung_buf_init(&s, 64u << 20);
    echo_text(b, a, c, &s);
    rung_buf_append(&s, c->t.text ? c->t.text : "", (size_t)visible(a, &c->t, true));
    rung_buf_printf(b, "{\"index\":%d,", c->index);
    rung_buf_str(b, q->kind == SERVE_CHAT ? "\"message\":{\"role\":\"assistant\",\"content\":"
                                          : "\"text\":");
    rung_buf_json_str(b, s.data ? s.data : "", s.n);
    if (q->kind == SERVE_CHAT) rung_buf_str(b, ",\"refusal\":null}");
    logprobs(b, a, c, &c->t, 0, c->t.n_tok);
    rung_buf_printf(b, ",\"finish_reason\":\"%s\"}", c->finish ? c->finish : "length");
    if (s.failed) b->failed = true;
    rung_buf_clear(&s);
}

/* ---- streams */

static void send_chunk(work_ask *a, rung_buf *b) {
    rung_buf_str(b, "\n\n");
    if (b->failed) {
        rung_error why = RUNG_ERROR_INIT;
        (void)rung_buf_check(b, &why);
        work_fail(a, 500, &why);
        return;
    }
    work_send(a, b->data, b->n);
}

static rung_buf *begin_chunk(work_ask *a) {
    rung_buf *b = &a->w->out;
    rung_buf_reset(b);
    rung_buf_str(b, "data: ");
    open_object(b, a, a->ask.kind == SERVE_CHAT ? "chat.completion.chunk" : "text_completion");
    return b;
}

static void begin_choice(work_ask *a, work_choice *c) {
    c->begun = true;
    if (a->ask.kind != SERVE_CHAT) return;
    rung_buf *b = begin_chunk(a);
    rung_buf_printf(b,
                    ",\"choices\":[{\"index\":%d,\"delta\":{\"role\":\"assistant\",\"content\":"
                    "\"\"},\"logprobs\":null,\"finish_reason\":null}]}",
                    c->index);
    send_chunk(a, b);
}

void work_chunk(work_ask *a, work_choice *c, const work_text *t, bool last) {
    bool chat = a->ask.kind == SERVE_CHAT, first = !c->begun;
    int32_t n = visible(a, t, last), n_tok = tokens_within(c, a->w, t, n, last);
    if (n < c->n_sent) n = c->n_sent;
    if (first) begin_choice(a, c);
    if (!last && n == c->n_sent) return;
    rung_buf *b = begin_chunk(a), s;
    rung_buf_init(&s, 64u << 20);
    if (first) echo_text(b, a, c, &s);
    rung_buf_append(&s, t->text + c->n_sent, (size_t)(n - c->n_sent));
    rung_buf_printf(b, ",\"choices\":[{\"index\":%d,%s", c->index,
                    chat ? "\"delta\":{\"content\":" : "\"text\":");
    rung_buf_json_str(b, s.data ? s.data : "", s.n);
    if (chat) rung_buf_str(b, "}");
    logprobs(b, a, c, t, c->n_tok_sent, n_tok);
    if (last)
        rung_buf_printf(b, ",\"finish_reason\":\"%s\"}]}", c->finish ? c->finish : "length");
    else
        rung_buf_str(b, ",\"finish_reason\":null}]}");
    rung_buf_clear(&s);
    c->n_sent = n;
    c->n_tok_sent = n_tok;
    send_chunk(a, b);
}

static void end_stream(work_ask *a) {
    rung_buf *b;
    if (a->ask.include_usage || a->n_finds > 0) {
        b = begin_chunk(a);
        rung_buf_str(b, ",\"choices\":[]");
        if (a->ask.include_usage) usage(b, a);
        rung_object(b, a);
        rung_buf_str(b, "}");
        send_chunk(a, b);
    }
    work_send(a, "data: [DONE]\n\n", 14);
}

void work_finish_text(work_ask *a) {
    rung_buf *b = &a->w->out;
    if (a->ask.stream) { /* echo alone has had no chunk yet */
        for (int32_t i = 0; i < a->n_choices; i++)
            if (!a->choice[i].done) work_chunk(a, &a->choice[i], &a->choice[i].t, true);
        end_stream(a);
        return;
    }
    rung_buf_reset(b);
    open_object(b, a, a->ask.kind == SERVE_CHAT ? "chat.completion" : "text_completion");
    rung_buf_str(b, ",\"choices\":[");
    for (int32_t i = 0; i < a->n_choices; i++) {
        if (i) rung_buf_str(b, ",");
        whole_choice(b, a, &a->choice[i]);
    }
    rung_buf_str(b, "]");
    usage(b, a);
    rung_object(b, a);
    rung_buf_str(b, "}");
    rung_error why = RUNG_ERROR_INIT;
    if (rung_buf_check(b, &why) != RUNG_OK)
        work_fail(a, 500, &why);
    else
        work_send(a, b->data, b->n);
}
