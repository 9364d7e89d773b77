/* rung model perplexity: logprobs and perplexity of given texts */
#include "base/json.h"
#include "cli/session.h"
#include "rung/text.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static const cli_opt perplexity_opts[] = {
    OPT_PATH("file", "", CLI_FREE,
             "JSON lines with \"text\" and, if it follows something, \"context\" and \"system\""),
    OPT_STR("text", "", "TEXT", CLI_FREE, "one text instead of a file"),
    OPT_STR("context", "", "TEXT", CLI_FREE, "what comes before --text: the user's turn"),
    OPT_BOOL("end", "false", CLI_FREE, "the model's end token after each text counts, too"),
    OPT_BOOL("tokens", "false", CLI_FREE, "with --json: every token with its logprob"),
};
const cli_group cli_model_perplexity_group = CLI_GROUP_OF("the texts", perplexity_opts);

typedef struct texts {
    cli_call *c;
    const rung_model *model;
    rung_arena *arena;
    rung_text *text;
    int64_t n, cap;
    int64_t n_tok, n_bytes, n_new;
    double sum;
} texts;

static rung_status add_text(texts *t, const char *system, const char *context, const char *text,
                            rung_error *err) {
    if (t->n == t->cap) {
        int64_t want = t->cap * 2 + 64;
        rung_text *grown = rung_realloc(t->text, (size_t)want * sizeof *grown);
        if (!grown) return rung_fail(err, RUNG_E_NOMEM, "out of memory for texts");
        t->text = grown;
        t->cap = want;
    }
    const char *in[3] = {system, context, text};
    char *own[3] = {NULL};
    for (int i = 0; i < 3; i++) {
        if (!in[i]) continue;
        own[i] = rung_arena_strndup(t->arena, in[i], strlen(in[i]));
        if (!own[i]) return rung_fail(err, RUNG_E_NOMEM, "out of memory for texts");
    }
    t->text[t->n++] = (rung_text){own[0], own[1], own[2], cli_flag(t->c, "end")};
    return RUNG_OK;
}

static rung_status read_file(texts *t, const char *path, rung_error *err) {
    rung_jsonl *r = NULL;
    yyjson_val *row;
    RUNG_TRY(rung_jsonl_open(&r, path, 0, err));
    rung_status st;
    while ((st = rung_jsonl_next(&row, r, err)) == RUNG_OK) {
        const char *text = rung_json_str(row, "text", NULL);
        if (!text) {
            st = rung_fail(err, RUNG_E_FORMAT, "%s:%lld: no member \"text\" that is a string", path,
                           (long long)rung_jsonl_line(r));
            break;
        }
        st = add_text(t, rung_json_str(row, "system", NULL), rung_json_str(row, "context", NULL),
                      text, err);
        if (st != RUNG_OK) break;
    }
    rung_jsonl_close(r);
    return st == RUNG_DONE ? RUNG_OK : st;
}

static double perplexity(double sum, int64_t n) {
    return n ? exp(-sum / (double)n) : (double)NAN;
}

static double bits_per_byte(double sum, int64_t n) {
    return n ? -sum / log(2.0) / (double)n : (double)NAN;
}

static void put_tokens(rung_buf *b, const texts *t, const rung_text_out *o) {
    rung_buf piece;
    rung_buf_init(&piece, 1u << 16);
    rung_buf_str(b, ",\"token_logprobs\":[");
    for (int32_t k = 0; k < o->n_tok; k++) {
        rung_buf_reset(&piece);
        rung_model_piece(&piece, t->model, o->tok[k], true);
        rung_buf_printf(b, "%s{\"id\":%d,\"token\":", k ? "," : "", o->tok[k]);
        rung_buf_json_str(b, piece.data ? piece.data : "", piece.n);
        rung_buf_printf(b, ",\"logprob\":%.9g}", (double)o->logprob[k]);
    }
    rung_buf_str(b, "]");
    rung_buf_clear(&piece);
}

static rung_status on_text(void *ud, const rung_text_out *o, rung_error *err) {
    texts *t = ud;
    int64_t n_bytes = (int64_t)strlen(t->text[o->i].text);
    t->n_tok += o->n_tok;
    t->n_bytes += n_bytes;
    t->n_new += o->n_new;
    t->sum += o->sum;
    rung_buf b;
    rung_buf_init(&b, 256u << 20);
    if (t->c->app->json) {
        rung_buf_printf(&b, "{\"v\":1,\"i\":%lld,\"tokens\":%d", (long long)o->i, o->n_tok);
        cli_put_real(&b, "logprob", o->sum);
        cli_put_real(&b, "perplexity", perplexity(o->sum, o->n_tok));
        cli_put_real(&b, "bits_per_byte", bits_per_byte(o->sum, n_bytes));
        if (cli_flag(t->c, "tokens")) put_tokens(&b, t, o);
        rung_buf_str(&b, "}\n");
    } else {
        rung_buf_printf(&b, "text %lld: %d tokens, logprob %.4f, perplexity %.4f\n",
                        (long long)o->i, o->n_tok, o->sum, perplexity(o->sum, o->n_tok));
    }
    rung_status st = rung_buf_check(&b, err);
    if (st == RUNG_OK) st = cli_out(t->c->app, b.data, b.n, err);
    rung_buf_clear(&b);
    return st;
}

/* In the fast mode a token's logprob moves by up to 1e-2 with what else is in its batch. */
static rung_status exact_by_default(cli_call *c, rung_error *err) {
    cli_value *v = cli_value_find(c, "exact");
    if (!v || v->origin != CLI_DEFAULT) return RUNG_OK;
    return cli_set(c, v, "true", CLI_DEFAULT, "", RUNG_E_INVAL, err);
}

rung_status cli_model_perplexity(cli_call *c, rung_error *err) {
    cli_engine e = {0};
    double t0 = rung_now();
    const char *path = cli_str(c, "file"), *text = cli_str(c, "text");
    texts t = {.c = c, .arena = rung_arena_new(0)};
    rung_status st = RUNG_OK;
    if (!t.arena) RUNG_GOTO(rung_fail(err, RUNG_E_NOMEM, "out of memory"));
    if (!path == !text) {
        st = rung_fail(err, RUNG_E_INVAL, "give a file or --text, one of them");
        rung_error_hint(err, "rung model perplexity texts.jsonl --policy models/tiny.gguf");
        goto out;
    }
    if (path) RUNG_GOTO(read_file(&t, path, err));
    if (text) RUNG_GOTO(add_text(&t, cli_str(c, "system"), cli_str(c, "context"), text, err));
    RUNG_GOTO(exact_by_default(c, err));
    RUNG_GOTO(cli_engine_open(&e, c, err));
    t.model = e.model;
    RUNG_GOTO(rung_text_logprobs(e.engine, t.text, t.n, on_text, &t, err));
    RUNG_GOTO(cli_out_end(c->app, err));
    rung_buf_printf(&c->summary, "%lld texts, %lld tokens: logprob %.4f, perplexity %.4f",
                    (long long)t.n, (long long)t.n_tok, t.sum, perplexity(t.sum, t.n_tok));
    cli_result_open(c, NULL);
    cli_result_int(c, "texts", t.n);
    cli_result_int(c, "tokens", t.n_tok);
    cli_result_int(c, "bytes", t.n_bytes);
    cli_result_real(c, "logprob", t.sum);
    cli_result_real(c, "perplexity", perplexity(t.sum, t.n_tok));
    cli_result_real(c, "bits_per_byte", bits_per_byte(t.sum, t.n_bytes));
    cli_result_int(c, "scored_tokens", t.n_new);
    cli_result_close(c, t0);
out:
    cli_engine_close(&e);
    rung_free(t.text);
    rung_arena_free(t.arena);
    return st;
}
