/* Trace -> tokens with read-out positions; span = tokens = label, or an error. */
#include "reward/reward_impl.h"

#include <string.h>

void reward_layout_clear(reward_layout *l) {
    rung_free(l->tok);
    rung_free(l->at);
    rung_free(l->begin);
    rung_free(l->end);
    rung_free(l->tail);
    rung_free(l->tail_end);
    rung_free(l->waiting);
    *l = (reward_layout){0};
}

/* Plan ----------------------------------------------------------------------------------------- */

void reward_plan_clear(reward_plan *p) {
    rung_free(p->tag);
    rung_chat_frame_clear(&p->frame);
    *p = (reward_plan){0};
}

static rung_status not_one(const rung_model *m, const char *what, const char *text, int32_t n,
                           rung_error *err) {
    rung_model_info info;
    rung_model_get_info(&info, m);
    rung_fail(err, RUNG_E_MODEL, "the %s \"%.40s\" is %d tokens of model %s, not exactly one", what,
              text, n, info.name);
    return rung_error_hint(err, "is this the model that the format was made for?");
}

/* The one token that a word of the format is. A control token's text names that token. */
static rung_status one_token(int32_t *out, const rung_model *m, const char *what, const char *text,
                             rung_error *err) {
    int32_t *tok, n;
    RUNG_TRY(rung_model_tokenize_on(&tok, &n, m, text, strlen(text), true, err));
    if (n == 1) *out = tok[0];
    rung_free(tok);
    return n == 1 ? RUNG_OK : not_one(m, what, text, n, err);
}

static rung_status words(int32_t *out, const rung_model *m, const char *what, const reward_words *w,
                         rung_error *err) {
    for (int32_t i = 0; i < w->n; i++) {
        RUNG_TRY(one_token(&out[i], m, what, w->word[i], err));
        for (int32_t j = 0; j < i; j++)
            if (out[j] == out[i])
                return rung_fail(err, RUNG_E_FORMAT, "the %s \"%.40s\" is there twice", what,
                                 w->word[i]);
    }
    return RUNG_OK;
}

/* Where the trace's own tokens are read, positions do not hang on the tag: a line end may stand in
 * a step and after it. A control token is no text and may not. */
static rung_status tag_counts(reward_plan *p, rung_error *err) {
    rung_buf b;
    rung_buf_init(&b, 1u << 16);
    rung_model_piece(&b, p->model, p->tag[0], false);
    rung_status st = rung_buf_check(&b, err);
    p->tag_counts = p->format->tokens || b.n == 0;
    rung_buf_clear(&b);
    return st;
}

rung_status reward_plan_init(reward_plan *out, const rung_model *m, const reward_format *f,
                             rung_error *err) {
    *out = (reward_plan){.model = m, .format = f};
    rung_status st = RUNG_OK;
    if (f->tag && f->tag[0]) {
        st = rung_model_tokenize_on(&out->tag, &out->n_tag, m, f->tag, strlen(f->tag), true, err);
        if (st == RUNG_OK && f->tokens && out->n_tag != 1)
            st = not_one(m, "tag", f->tag, out->n_tag, err);
    }
    if (st == RUNG_OK && out->n_tag == 1) st = tag_counts(out, err);
    if (st == RUNG_OK) st = words(out->positive, m, "positive", &f->positive, err);
    if (st == RUNG_OK) st = words(out->negative, m, "negative", &f->negative, err);
    for (int32_t i = 0; i < f->positive.n && st == RUNG_OK; i++)
        for (int32_t j = 0; j < f->negative.n; j++)
            if (out->positive[i] == out->negative[j])
                st = rung_fail(err, RUNG_E_FORMAT, "\"%s\" is both positive and negative",
                               f->positive.word[i]);
    out->framed = f->layout != REWARD_LAYOUT_CONTINUE || f->chat;
    if (st == RUNG_OK && out->framed)
        st = rung_chat_frame_make(&out->frame, m, f->chat, f->system,
                                  f->layout == REWARD_LAYOUT_TURNS ? f->reply : NULL, err);
    if (st != RUNG_OK) reward_plan_clear(out);
    return st;
}

/* Growing -------------------------------------------------------------------------------------- */

static bool grow32(int32_t **p, int32_t n) {
    int32_t *grown = rung_realloc(*p, (size_t)n * sizeof *grown);
    if (grown) *p = grown;
    return grown != NULL;
}

static rung_status append(int32_t **to, int32_t *n_to, int32_t *cap, const int32_t *tok, int32_t n,
                          rung_error *err) {
    if (*n_to + n > *cap) {
        int32_t want = (*n_to + n) * 2 + 64;
        if (!grow32(to, want)) return rung_fail(err, RUNG_E_NOMEM, "no memory for %d tokens", want);
        *cap = want;
    }
    if (n) memcpy(*to + *n_to, tok, (size_t)n * sizeof *tok);
    *n_to += n;
    return RUNG_OK;
}

/* Room for n steps in all. */
static rung_status room_for_steps(reward_layout *l, int32_t n, rung_error *err) {
    if (n <= l->cap_at) return RUNG_OK;
    int32_t want = n * 2 + 16;
    if (!grow32(&l->at, want) || !grow32(&l->begin, want) || !grow32(&l->end, want) ||
        !grow32(&l->tail_end, want))
        return rung_fail(err, RUNG_E_NOMEM, "no memory for %d steps", want);
    l->cap_at = want;
    return RUNG_OK;
}

rung_status reward_layout_copy(reward_layout *out, const reward_layout *l, rung_error *err) {
    reward_layout c = {.n_prompt = l->n_prompt};
    size_t n = (size_t)l->n_at * sizeof *l->at;
    rung_status st = append(&c.tok, &c.n_tok, &c.cap, l->tok, l->n_tok, err);
    if (st == RUNG_OK) st = append(&c.tail, &c.n_tail, &c.cap_tail, l->tail, l->n_tail, err);
    if (st == RUNG_OK) st = room_for_steps(&c, l->n_at, err);
    c.n_at = l->n_at;
    if (st == RUNG_OK && l->waiting && !(c.waiting = rung_strdup(l->waiting)))
        st = rung_fail(err, RUNG_E_NOMEM, "no memory to copy a trace");
    if (st == RUNG_OK && n) {
        memcpy(c.at, l->at, n);
        memcpy(c.begin, l->begin, n);
        memcpy(c.end, l->end, n);
        memcpy(c.tail_end, l->tail_end, n);
    }
    if (st != RUNG_OK) {
        reward_layout_clear(&c);
        return st;
    }
    *out = c;
    return RUNG_OK;
}

/* Prompt --------------------------------------------------------------------------------------- */

static rung_status pieces(reward_layout *l, const reward_plan *p, const rung_piece *piece,
                          int32_t n_pieces, bool begin, rung_error *err) {
    int32_t *tok, n;
    RUNG_TRY(rung_model_tokenize_pieces(&tok, &n, p->model, piece, n_pieces, begin, err));
    rung_status st = append(&l->tok, &l->n_tok, &l->cap, tok, n, err);
    rung_free(tok);
    return st;
}

rung_status reward_layout_begin(reward_layout *out, const reward_plan *p, const char *question,
                                rung_error *err) {
    const reward_format *f = p->format;
    rung_buf user;
    rung_buf_init(&user, 16u << 20);
    *out = (reward_layout){0};
    reward_expand(&user, f->prompt ? f->prompt : "{question}", question, NULL, 0, 0);
    if (f->suffix) rung_buf_str(&user, f->suffix);
    rung_status st = rung_buf_check(&user, err);
    const char *text = user.data ? user.data : "";
    if (st == RUNG_OK && f->layout == REWARD_LAYOUT_TURNS) {
        out->waiting = rung_strdup(text);
        if (!out->waiting) st = rung_fail(err, RUNG_E_NOMEM, "no memory for a question");
    } else if (st == RUNG_OK && p->framed) {
        rung_piece piece[] = {{p->frame.head, false}, {text, true}, {p->frame.tail, false}};
        st = pieces(out, p, piece, f->layout == REWARD_LAYOUT_ASK ? 2 : 3, true, err);
    } else if (st == RUNG_OK) {
        rung_prompt prompt = {f->system, text, NULL};
        int32_t n_header;
        st = rung_prompt_tokens(&out->tok, &out->n_tok, &n_header, p->model, &prompt, err);
        out->cap = out->n_tok;
    }
    if (st == RUNG_OK && f->tag_first)
        st = append(&out->tok, &out->n_tok, &out->cap, p->tag, p->n_tag, err);
    out->n_prompt = out->n_tok - (f->tag_first && st == RUNG_OK ? p->n_tag : 0);
    rung_buf_clear(&user);
    if (st != RUNG_OK) reward_layout_clear(out);
    return st;
}

/* Steps ---------------------------------------------------------------------------------------- */

static int32_t count_token(const int32_t *tok, int32_t n, int32_t what) {
    int32_t found = 0;
    for (int32_t i = 0; i < n; i++) found += tok[i] == what;
    return found;
}

static int32_t count_text(const char *text, size_t n, const char *what) {
    int32_t found = 0;
    size_t n_what = strlen(what);
    for (const char *p = text; (p = memmem(p, n - (size_t)(p - text), what, n_what)); p += n_what)
        found++;
    return found;
}

/* A step must not look like two: its text and its tokens are free of the tag. */
static rung_status free_of_tag(const reward_layout *l, const reward_plan *p, const char *text,
                               size_t n, const int32_t *tok, int32_t n_tok, rung_error *err) {
    if (p->n_tag != 1 || !p->tag_counts) return RUNG_OK;
    int32_t by_text = 0, by_token = count_token(tok, n_tok, p->tag[0]);
    if (p->format->tokens && text) by_text = count_text(text, n, p->format->tag);
    if (!by_text && !by_token) return RUNG_OK;
    rung_fail(err, RUNG_E_MISMATCH,
              "step %d holds the tag \"%.20s\": %d times in its text, %d in its "
              "tokens",
              l->n_at, p->format->tag, by_text, by_token);
    rung_error_hint(err, "split it there, or score with a format that has another tag");
    if (err) err->step = l->n_at;
    return RUNG_E_MISMATCH;
}

static rung_status no_tokens(const reward_layout *l, rung_error *err) {
    rung_fail(err, RUNG_E_FORMAT, "step %d: no tokens", l->n_at);
    if (err) err->step = l->n_at;
    return RUNG_E_FORMAT;
}

/* Tag and step in one piece of text: the tag must come out as the last token, and only there. */
static rung_status check_within(const reward_layout *l, const reward_plan *p, const int32_t *tok,
                                int32_t n, rung_error *err) {
    int32_t found = count_token(tok, n, p->tag[0]);
    if (n > 0 && found == 1 && tok[n - 1] == p->tag[0]) return RUNG_OK;
    rung_fail(err, RUNG_E_MISMATCH,
              "step %d and its tag \"%.20s\" give %d read-outs, not 1 at the end", l->n_at,
              p->format->tag, found);
    if (err) err->step = l->n_at;
    return RUNG_E_MISMATCH;
}

static bool is_space(char c) {
    return c == ' ' || c == '\n' || c == '\r' || c == '\t' || c == '\f' || c == '\v';
}

/* What the format makes of a step: trimmed, numbered, with what stands before it. */
static rung_status step_text(rung_buf *b, const reward_layout *l, const reward_plan *p,
                             const char *text, size_t n, rung_error *err) {
    const reward_format *f = p->format;
    while (f->trim && n && is_space(text[n - 1])) n--;
    while (f->trim && n && is_space(text[0])) text++, n--;
    if (n == 0) return no_tokens(l, err);
    if (f->tag && f->tag[0]) RUNG_TRY(free_of_tag(l, p, text, n, NULL, 0, err));
    if (l->n_at && f->between) rung_buf_str(b, f->between);
    reward_expand(b, f->step ? f->step : "{step}", NULL, text, n, l->n_at + 1);
    return rung_buf_check(b, err);
}

static rung_status continue_text(reward_layout *l, const reward_plan *p, rung_buf *b,
                                 rung_error *err) {
    int32_t *tok, n, begin = l->n_tok;
    bool within = p->format->tag_tokens;
    if (within) rung_buf_str(b, p->format->tag);
    RUNG_TRY(rung_buf_check(b, err));
    RUNG_TRY(rung_model_tokenize_on(&tok, &n, p->model, b->data, b->n, false, err));
    rung_status st = within ? check_within(l, p, tok, n, err) : RUNG_OK;
    if (st == RUNG_OK && !within)
        st = n ? free_of_tag(l, p, NULL, 0, tok, n, err) : no_tokens(l, err);
    if (st == RUNG_OK) st = append(&l->tok, &l->n_tok, &l->cap, tok, n, err);
    rung_free(tok);
    RUNG_TRY(st);
    l->begin[l->n_at] = begin;
    l->end[l->n_at] = l->n_tok - within;
    return RUNG_OK;
}

/* The trace's own tokens. */
static rung_status continue_own(reward_layout *l, const reward_plan *p, const int32_t *tok,
                                int32_t n, rung_error *err) {
    if (n == 0) return no_tokens(l, err);
    if (p->n_tag) RUNG_TRY(free_of_tag(l, p, NULL, 0, tok, n, err));
    l->begin[l->n_at] = l->n_tok;
    RUNG_TRY(append(&l->tok, &l->n_tok, &l->cap, tok, n, err));
    l->end[l->n_at] = l->n_tok;
    return RUNG_OK;
}

static rung_status add_turn(reward_layout *l, const reward_plan *p, rung_buf *b, rung_error *err) {
    bool first = l->n_at == 0;
    rung_buf user;
    rung_buf_init(&user, 16u << 20);
    if (first) rung_buf_str(&user, l->waiting);
    rung_buf_append(&user, b->data, b->n);
    rung_status st = rung_buf_check(&user, err);
    rung_piece piece[] = {{first ? p->frame.head : p->frame.rest, false},
                          {user.data ? user.data : "", true},
                          {p->frame.tail, false}};
    int32_t begin = l->n_tok;
    if (st == RUNG_OK) st = pieces(l, p, piece, 3, first, err);
    rung_buf_clear(&user);
    RUNG_TRY(st);
    l->begin[l->n_at] = begin;
    l->end[l->n_at] = l->n_tok;
    l->at[l->n_at] = l->n_tok - 1;
    if (first) {
        rung_free(l->waiting);
        l->waiting = NULL;
    }
    return RUNG_OK;
}

/* The step stays; the question after it is read in a branch of its own. */
static rung_status add_question(reward_layout *l, const reward_plan *p, rung_error *err) {
    const reward_format *f = p->format;
    int32_t *tok, n, k = l->n_at;
    rung_buf ask;
    rung_buf_init(&ask, 1u << 20);
    reward_expand(&ask, f->ask, NULL, NULL, 0, k + 1);
    rung_status st = rung_buf_check(&ask, err);
    rung_piece piece[] = {
        {ask.data ? ask.data : "", true}, {p->frame.tail, false}, {f->reply ? f->reply : "", true}};
    if (st == RUNG_OK) st = rung_model_tokenize_pieces(&tok, &n, p->model, piece, 3, false, err);
    rung_buf_clear(&ask);
    RUNG_TRY(st);
    st = append(&l->tail, &l->n_tail, &l->cap_tail, tok, n, err);
    rung_free(tok);
    l->tail_end[k] = l->n_tail;
    l->at[k] = l->n_tok + n - 1;
    return st;
}

static rung_status add_step(reward_layout *l, const reward_plan *p, const char *text, size_t n,
                            const int32_t *tok, int32_t n_tok, rung_error *err) {
    const reward_format *f = p->format;
    int32_t k = l->n_at;
    l->tail_end[k] = l->n_tail;
    if (tok && !f->tokens) {
        RUNG_TRY(continue_own(l, p, tok, n_tok, err));
    } else {
        rung_buf b;
        rung_buf_init(&b, 16u << 20);
        rung_status st = step_text(&b, l, p, text, n, err);
        if (st == RUNG_OK && f->layout == REWARD_LAYOUT_TURNS) st = add_turn(l, p, &b, err);
        if (st == RUNG_OK && f->layout != REWARD_LAYOUT_TURNS) st = continue_text(l, p, &b, err);
        rung_buf_clear(&b);
        RUNG_TRY(st);
    }
    if (f->layout == REWARD_LAYOUT_TURNS) return RUNG_OK;
    if (f->layout == REWARD_LAYOUT_ASK) return add_question(l, p, err);
    if (!f->tag_tokens) RUNG_TRY(append(&l->tok, &l->n_tok, &l->cap, p->tag, p->n_tag, err));
    l->at[k] = f->read_before_tag ? l->end[k] - 1 : l->n_tok - 1;
    return RUNG_OK;
}

rung_status reward_layout_step(reward_layout *l, const reward_plan *p, const char *text, size_t n,
                               const int32_t *tok, int32_t n_tok, rung_error *err) {
    int32_t before = l->n_tok, tail = l->n_tail;
    RUNG_TRY(room_for_steps(l, l->n_at + 1, err));
    rung_status st = add_step(l, p, text, n, tok, n_tok, err);
    if (st == RUNG_OK) {
        l->n_at++;
        return RUNG_OK;
    }
    l->n_tok = before;
    l->n_tail = tail;
    return st;
}

/* Traces --------------------------------------------------------------------------------------- */

/* Do these tokens spell the trace's text in this model's vocabulary? A pool sampled by another
 * model may carry ids that mean something else here. */
static rung_status spells(bool *yes, const rung_model *m, const rung_trace *t, rung_error *err) {
    rung_model_info info;
    rung_model_get_info(&info, m);
    rung_buf b;
    rung_buf_init(&b, 64u << 20);
    *yes = true;
    for (int32_t i = 0; i < t->n_tok && *yes; i++) {
        size_t before = b.n;
        if (t->tok[i] < 0 || t->tok[i] >= info.n_vocab) {
            *yes = false;
            break;
        }
        rung_model_piece(&b, m, t->tok[i], false);
        *yes = b.n <= (size_t)t->n_bytes &&
               (b.n == before || !memcmp(b.data + before, t->text + before, b.n - before));
    }
    if (b.n != (size_t)t->n_bytes) *yes = false;
    rung_status st = rung_buf_check(&b, err);
    rung_buf_clear(&b);
    return st;
}

/* No token may hold the end of one step and the beginning of the next. */
static rung_status borders_hold(const rung_step *step, int32_t n_steps, const rung_model *m,
                                const int32_t *tok, rung_error *err) {
    rung_buf piece;
    rung_buf_init(&piece, 1u << 20);
    int64_t at = 0;
    rung_status st = RUNG_OK;
    for (int32_t k = 0; k < n_steps && st == RUNG_OK; k++) {
        if (at != step[k].byte_begin)
            st = rung_fail(err, RUNG_E_FORMAT, "a token straddles the border before step %d", k);
        for (int32_t i = step[k].tok_begin; i < step[k].tok_end; i++) {
            rung_buf_reset(&piece);
            rung_model_piece(&piece, m, tok[i], false);
            at += (int64_t)piece.n;
        }
    }
    rung_buf_clear(&piece);
    return st;
}

/* Each step's text tokenised on its own: borders hold by construction. */
static rung_status tokenize_by_step(rung_step *step, int32_t n_steps, int32_t **tok, int32_t *n_tok,
                                    const rung_model *m, const rung_trace *t, rung_error *err) {
    reward_layout l = {0};
    rung_status st = RUNG_OK;
    for (int32_t k = 0; k < n_steps && st == RUNG_OK; k++) {
        int32_t *part = NULL, n = 0;
        st = rung_model_tokenize_on(&part, &n, m, t->text + step[k].byte_begin,
                                    (size_t)(step[k].byte_end - step[k].byte_begin), false, err);
        if (st == RUNG_OK && n == 0)
            st = rung_fail(err, RUNG_E_FORMAT, "trace %lld, step %d: no tokens", (long long)t->id,
                           k);
        step[k].tok_begin = l.n_tok;
        if (st == RUNG_OK) st = append(&l.tok, &l.n_tok, &l.cap, part, n, err);
        step[k].tok_end = l.n_tok;
        rung_free(part);
    }
    if (st != RUNG_OK) {
        reward_layout_clear(&l);
        return st;
    }
    *tok = l.tok;
    *n_tok = l.n_tok;
    return RUNG_OK;
}

/* *tok is the caller's; step gets its token spans. */
static rung_status trace_tokens(int32_t **tok, int32_t *n_tok, rung_step *step, bool *spelled,
                                bool *by_step, const rung_model *m, const rung_trace *t,
                                rung_error *err) {
    bool own = false;
    *spelled = *by_step = false;
    if (t->n_tok > 0) RUNG_TRY(spells(&own, m, t, err));
    rung_status st;
    if (own) {
        *tok = rung_alloc((size_t)t->n_tok * sizeof **tok);
        if (!*tok) return rung_fail(err, RUNG_E_NOMEM, "no memory for %d tokens", t->n_tok);
        memcpy(*tok, t->tok, (size_t)t->n_tok * sizeof **tok);
        *n_tok = t->n_tok;
        st = rung_split_tokens(step, t->n_steps, m, *tok, *n_tok, err);
        if (st == RUNG_OK) return RUNG_OK;
        rung_free(*tok);
        *tok = NULL;
        rung_error_detail(err, "trace %lld", (long long)t->id);
        return st;
    }
    *spelled = true;
    RUNG_TRY(rung_model_tokenize_on(tok, n_tok, m, t->text, (size_t)t->n_bytes, false, err));
    rung_error quiet = RUNG_ERROR_INIT;
    st = rung_split_tokens(step, t->n_steps, m, *tok, *n_tok, &quiet);
    if (st == RUNG_OK) st = borders_hold(step, t->n_steps, m, *tok, &quiet);
    if (st == RUNG_OK) return RUNG_OK;
    rung_free(*tok);
    *tok = NULL;
    *by_step = true;
    return tokenize_by_step(step, t->n_steps, tok, n_tok, m, t, err);
}

static rung_status of_trace(rung_error *err, rung_status st, const rung_problem *p,
                            const rung_trace *t) {
    if ((st == RUNG_E_FORMAT || st == RUNG_E_MISMATCH) && err && !err->detail[0])
        rung_error_detail(err, "trace %lld, %d steps", (long long)t->id, t->n_steps);
    if (err) err->problem_id = p->id;
    return st;
}

rung_status reward_layout_trace(reward_layout *out, bool *spelled, bool *by_step,
                                const reward_plan *plan, const rung_problem *p, const rung_trace *t,
                                rung_error *err) {
    *out = (reward_layout){0};
    *spelled = *by_step = false;
    if (t->n_steps == 0)
        return rung_fail(err, RUNG_E_FORMAT, "trace %lld has no steps", (long long)t->id);
    rung_step *step = rung_alloc((size_t)t->n_steps * sizeof *step);
    int32_t *tok = NULL, n_tok = 0;
    rung_status st = RUNG_OK;
    if (!step) RUNG_GOTO(rung_fail(err, RUNG_E_NOMEM, "no memory for %d steps", t->n_steps));
    memcpy(step, t->step, (size_t)t->n_steps * sizeof *step);
    RUNG_GOTO(reward_layout_begin(out, plan, p->question, err));
    if (!plan->format->tokens)
        RUNG_GOTO(trace_tokens(&tok, &n_tok, step, spelled, by_step, plan->model, t, err));
    for (int32_t k = 0; k < t->n_steps; k++)
        RUNG_GOTO(reward_layout_step(out, plan, t->text + step[k].byte_begin,
                                     (size_t)(step[k].byte_end - step[k].byte_begin),
                                     tok ? tok + step[k].tok_begin : NULL,
                                     tok ? step[k].tok_end - step[k].tok_begin : 0, err));
out:
    rung_free(step);
    rung_free(tok);
    if (st == RUNG_OK) return RUNG_OK;
    reward_layout_clear(out);
    return of_trace(err, st, p, t);
}

rung_status reward_layout_make(reward_layout *out, bool *spelled, bool *by_step,
                               const rung_model *m, const reward_format *f, const rung_problem *p,
                               const rung_trace *t, rung_error *err) {
    reward_plan plan;
    *out = (reward_layout){0};
    RUNG_TRY(reward_plan_init(&plan, m, f, err));
    rung_status st = reward_layout_trace(out, spelled, by_step, &plan, p, t, err);
    reward_plan_clear(&plan);
    return st;
}

rung_status reward_trace_get(const rung_trace **t, rung_iter **it, rung_store *s, int64_t id,
                             rung_error *err) {
    RUNG_TRY(rung_trace_iter(it, s, &(rung_filter){.trace = id}, err));
    rung_status st = rung_trace_next(t, *it, err);
    if (st == RUNG_OK) return RUNG_OK;
    rung_iter_free(*it);
    *it = NULL;
    if (st != RUNG_DONE) return st;
    return rung_fail(err, RUNG_E_NOT_FOUND, "trace %lld is not in the store", (long long)id);
}
