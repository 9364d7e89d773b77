/* Documents for rung model train.
 *
 * Solving text: loss on the solution and on <|eos|>. Checking text: it opens with the question <?>,
 * so that the model knows from the first line on what is asked; each verdict is replaced by <?>, at
 * which the verdict is the target; that is also how the reward model is read. At a line's result
 * the targets are the digits of the true result, whatever the line says: with the verdicts alone,
 * one bit a line, a million-parameter model had learned 59% of them after 5 million tokens. */
#include "cli/train_text.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

void train_text_init(train_text *t) {
    memset(t, 0, sizeof *t);
    t->check_weight = 1.0f;
    rung_buf_init(&t->prompt, 1u << 20);
    rung_buf_init(&t->doc, 1u << 20);
}

void train_text_clear(train_text *t) {
    rung_buf_clear(&t->prompt);
    rung_buf_clear(&t->doc);
    rung_free(t->tok);
    rung_free(t->target);
    rung_free(t->weight);
    t->tok = t->target = NULL;
    t->weight = NULL;
    t->n = t->cap = 0;
}

static rung_status reserve(train_text *t, int32_t n, rung_error *err) {
    if (n <= t->cap) return RUNG_OK;
    int32_t cap = n + n / 2 + 64;
    int32_t *tok = rung_realloc(t->tok, (size_t)cap * sizeof *tok);
    if (tok) t->tok = tok;
    int32_t *target = rung_realloc(t->target, (size_t)cap * sizeof *target);
    if (target) t->target = target;
    float *weight = rung_realloc(t->weight, (size_t)cap * sizeof *weight);
    if (weight) t->weight = weight;
    if (!tok || !target || !weight) return rung_fail(err, RUNG_E_NOMEM, "no memory for a document");
    t->cap = cap;
    return RUNG_OK;
}

static rung_status append(train_text *t, const rung_buf *b, bool special, rung_error *err) {
    int32_t *tok = NULL, n = 0;
    RUNG_TRY(
        rung_model_tokenize(&tok, &n, t->vocab, b->n ? b->data : "", b->n, false, special, err));
    rung_status st = reserve(t, t->n + n + 1, err);
    if (st == RUNG_OK) {
        memcpy(t->tok + t->n, tok, (size_t)n * sizeof *tok);
        t->n += n;
    }
    rung_free(tok);
    return st;
}

/* Targets of solving text: the next token, from the first token of the solution on. */
static void aim_solve(train_text *t, int32_t n_prompt) {
    for (int32_t j = 0; j < t->n; j++) {
        t->target[j] = j + 1 < t->n ? t->tok[j + 1] : RUNG_VOCAB_EOS;
        t->weight[j] = j + 1 >= n_prompt ? 1.0f : 0.0f;
    }
}

enum { TOK_BYTE = 4 }; /* id of byte 0: problem.h, the order of the vocabulary */

static bool is_digit(int32_t tok) {
    return tok >= TOK_BYTE + '0' && tok <= TOK_BYTE + '9';
}

/* The number whose first token is at *j; *j moves past it. False: there is none. */
static bool read_number(int64_t *out, const train_text *t, int32_t *j) {
    bool neg = *j < t->n && t->tok[*j] == TOK_BYTE + '-';
    int32_t first = neg ? ++*j : *j;
    for (*out = 0; *j < t->n && is_digit(t->tok[*j]) && *j - first < 9; ++*j)
        *out = *out * 10 + (t->tok[*j] - TOK_BYTE - '0');
    if (neg) *out = -*out;
    return *j > first;
}

/* "aob=c" from token j on: at '=' and at each digit of c the target is the true result's next
 * character, after its last one the line's end. Other lines are left alone. */
static void aim_result(train_text *t, int32_t j) {
    int64_t a, b = 0;
    if (!read_number(&a, t, &j) || j >= t->n) return;
    int32_t op = t->tok[j] - TOK_BYTE;
    if (op != '=') {
        j++;
        if (!read_number(&b, t, &j) || j >= t->n || t->tok[j] != TOK_BYTE + '=') return;
    }
    char truth[32];
    int n = snprintf(truth, sizeof truth, "%lld\n",
                     (long long)(op == '='   ? a
                                 : op == '+' ? a + b
                                 : op == '-' ? a - b
                                             : a * b));
    for (int k = 0; k < n && j < t->n && t->tok[j] != TOK_BYTE + '\n'; k++, j++) {
        t->target[j] = TOK_BYTE + truth[k];
        t->weight[j] = t->check_lm;
    }
}

static void aim_check(train_text *t, int32_t n_prompt) {
    for (int32_t j = 0; j < t->n; j++) {
        t->target[j] = RUNG_VOCAB_EOS;
        t->weight[j] = 0.0f;
    }
    for (int32_t j = n_prompt; j < t->n; j++) {
        bool verdict = t->tok[j] == RUNG_VOCAB_PLUS || t->tok[j] == RUNG_VOCAB_MINUS;
        if (verdict) {
            t->target[j] = t->tok[j];
            t->weight[j] = t->check_weight;
            t->tok[j] = RUNG_VOCAB_ASK;
        }
        if (verdict || j == n_prompt) aim_result(t, j + 1);
    }
}

static rung_status make(train_text *t, uint64_t i, rung_error *err) {
    rung_buf_reset(&t->prompt);
    rung_buf_reset(&t->doc);
    t->n = 0;
    t->kind = rung_corpus_kind_at(&t->corpus, i);
    RUNG_TRY(rung_corpus_make(&t->prompt, &t->doc, &t->corpus, i, err));
    RUNG_TRY(append(t, &t->prompt, false, err));
    int32_t n_prompt = t->n;
    if (t->kind == RUNG_CORPUS_CHECK) {
        RUNG_TRY(reserve(t, t->n + 1, err));
        t->tok[t->n++] = RUNG_VOCAB_ASK;
    }
    RUNG_TRY(append(t, &t->doc, t->kind == RUNG_CORPUS_CHECK, err));
    if (t->doc.n == 0) {
        return rung_fail(err, RUNG_E_FORMAT, "document %llu is empty", (unsigned long long)i);
    }
    if (t->kind == RUNG_CORPUS_CHECK)
        aim_check(t, n_prompt);
    else
        aim_solve(t, n_prompt);
    return RUNG_OK;
}

rung_status train_text_doc(void *ud, uint64_t i, const int32_t **tok, const int32_t **target,
                           const float **weight, int32_t *n, rung_error *err) {
    train_text *t = ud;
    RUNG_TRY(make(t, t->first + i, err));
    *tok = t->tok;
    *target = t->target;
    *weight = t->weight;
    *n = t->n;
    return RUNG_OK;
}

/* ---- held-out loss */

typedef struct held_batch {
    int32_t rows, n_tok, n_vocab;
    int32_t *tok, *doc, *target;
    float *w_solve, *w_check, *scratch;
} held_batch;

static void batch_clear(held_batch *b) {
    rung_free(b->tok);
    rung_free(b->doc);
    rung_free(b->target);
    rung_free(b->w_solve);
    rung_free(b->w_check);
    rung_free(b->scratch);
}

static rung_status batch_init(held_batch *b, int32_t rows, int32_t n_tok, int32_t n_vocab,
                              rung_error *err) {
    size_t n = (size_t)rows * (size_t)n_tok;
    memset(b, 0, sizeof *b);
    b->rows = rows;
    b->n_tok = n_tok;
    b->n_vocab = n_vocab;
    b->tok = rung_calloc(n, sizeof *b->tok);
    b->doc = rung_calloc(n, sizeof *b->doc);
    b->target = rung_calloc(n, sizeof *b->target);
    b->w_solve = rung_calloc(n, sizeof *b->w_solve);
    b->w_check = rung_calloc(n, sizeof *b->w_check);
    b->scratch = rung_calloc(n, (size_t)n_vocab * sizeof *b->scratch);
    if (b->tok && b->doc && b->target && b->w_solve && b->w_check && b->scratch) return RUNG_OK;
    batch_clear(b);
    return rung_fail(err, RUNG_E_NOMEM, "no memory for a held-out batch");
}

static void batch_blank(held_batch *b) {
    size_t n = (size_t)b->rows * (size_t)b->n_tok;
    memset(b->tok, 0, n * sizeof *b->tok);
    memset(b->target, 0, n * sizeof *b->target);
    memset(b->w_solve, 0, n * sizeof *b->w_solve);
    memset(b->w_check, 0, n * sizeof *b->w_check);
    for (size_t i = 0; i < n; i++) b->doc[i] = -1;
}

static void batch_row(held_batch *b, int32_t row, const train_text *t) {
    size_t at = (size_t)row * (size_t)b->n_tok;
    int32_t n = t->n < b->n_tok ? t->n : b->n_tok;
    for (int32_t j = 0; j < n; j++) {
        bool check = t->kind == RUNG_CORPUS_CHECK;
        b->tok[at + (size_t)j] = t->tok[j];
        b->target[at + (size_t)j] = t->target[j];
        b->doc[at + (size_t)j] = 0;
        bool asked = t->tok[j] == RUNG_VOCAB_ASK && t->weight[j] > 0.0f;
        if (check && asked) b->w_check[at + (size_t)j] = 1.0f;
        if (!check && t->weight[j] > 0.0f) b->w_solve[at + (size_t)j] = 1.0f;
    }
}

static rung_status add_loss(double *sum, int64_t *n_sum, const float *logits, const held_batch *b,
                            const float *weight, rung_error *err) {
    rung_batch rb = {b->rows, b->n_tok, b->tok, b->doc};
    rung_loss_ce ce = {b->target, weight};
    double value = 0.0;
    int64_t n = 0;
    size_t n_pos = (size_t)b->rows * (size_t)b->n_tok, i = 0;
    while (i < n_pos && !(weight[i] > 0.0f)) i++;
    if (i == n_pos) return RUNG_OK;
    RUNG_TRY(rung_loss_ce_fn(&value, &n, b->scratch, logits, &rb, b->n_vocab, &ce, err));
    *sum += value * (double)n;
    *n_sum += n;
    return RUNG_OK;
}

static int64_t right_verdicts(const float *logits, const held_batch *b) {
    int64_t right = 0;
    for (size_t i = 0; i < (size_t)b->rows * (size_t)b->n_tok; i++) {
        if (!(b->w_check[i] > 0.0f)) continue;
        const float *l = logits + i * (size_t)b->n_vocab;
        int32_t said =
            l[RUNG_VOCAB_PLUS] > l[RUNG_VOCAB_MINUS] ? RUNG_VOCAB_PLUS : RUNG_VOCAB_MINUS;
        right += said == b->target[i];
    }
    return right;
}

rung_status train_text_held(train_held *out, rung_net *net, train_text *t, uint64_t first,
                            int64_t n_docs, int32_t rows, int32_t n_tok, const rung_log *log,
                            rung_error *err) {
    held_batch b;
    double solve = 0.0, check = 0.0;
    int64_t right = 0;
    rung_status st = RUNG_OK;
    memset(out, 0, sizeof *out);
    RUNG_TRY(batch_init(&b, rows, n_tok, rung_net_get_shape(net)->n_vocab, err));
    for (int64_t i = 0; i < n_docs; i += rows) {
        batch_blank(&b);
        for (int32_t r = 0; r < rows && i + r < n_docs; r++) {
            RUNG_GOTO(make(t, first + (uint64_t)(i + r), err));
            batch_row(&b, r, t);
        }
        rung_batch rb = {b.rows, b.n_tok, b.tok, b.doc};
        const float *logits = NULL;
        RUNG_GOTO(rung_net_forward(&logits, NULL, net, &rb, err));
        RUNG_GOTO(add_loss(&solve, &out->n_solve, logits, &b, b.w_solve, err));
        RUNG_GOTO(add_loss(&check, &out->n_check, logits, &b, b.w_check, err));
        right += right_verdicts(logits, &b);
        RUNG_GOTO(rung_progress(log, "held-out documents", i + rows < n_docs ? i + rows : n_docs,
                                n_docs, 0, err));
    }
    out->loss_solve = out->n_solve ? solve / (double)out->n_solve : (double)NAN;
    out->loss_check = out->n_check ? check / (double)out->n_check : (double)NAN;
    out->check_accuracy = out->n_check ? (double)right / (double)out->n_check : (double)NAN;
out:
    batch_clear(&b);
    return st;
}

/* ---- vocabulary */

rung_status train_text_set_vocab(rung_net *net, const rung_vocab *v, rung_error *err) {
    enum { TYPE_NORMAL = 1, TYPE_CONTROL = 3 }; /* tokenizer.ggml.token_type */
    int32_t n = rung_vocab_size(v);
    const char **text = rung_calloc((size_t)n, sizeof *text);
    int32_t *type = rung_calloc((size_t)n, sizeof *type);
    rung_status st = RUNG_E_NOMEM;
    if (text && type) {
        for (int32_t i = 0; i < n; i++) {
            const rung_vocab_token *t = rung_vocab_at(v, i);
            text[i] = t->bytes; /* "" is the zero byte's own token */
            type[i] = t->kind == RUNG_VOCAB_CONTROL ? TYPE_CONTROL : TYPE_NORMAL;
        }
        st = rung_net_set_vocab(net, text, type, (size_t)n, RUNG_VOCAB_EOS, err);
    } else {
        rung_fail(err, RUNG_E_NOMEM, "no memory for the vocabulary");
    }
    rung_free(text);
    rung_free(type);
    return st;
}
