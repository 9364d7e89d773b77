/* Models made in the test with the structure of the published ones: random weights, a vocabulary
 * with their tags, their heads. */
#ifndef RUNG_TEST_FIXTURE_FORMAT_H
#define RUNG_TEST_FIXTURE_FORMAT_H
#include "../trace/fixture_coin.h"
#include "reward/reward_impl.h"

enum { FM_D = 32, FM_FF = 48, FM_HEADS = 2, FM_LAYERS = 2, FM_MAX = 700 };
static const char CHATML[] = "{% for m in messages %}<|im_start|>{{m.role}}\n{{m.content}}"
                             "<|im_end|>\n{% endfor %}<|im_start|>assistant\n";

typedef struct fm_spec {
    const char *arch;   /* llama, or qwen3, which may carry a head */
    bool spm;           /* a SentencePiece vocabulary; else byte strings, longest match */
    bool chat;          /* chatml */
    int n_out;          /* outputs of a classification head in the file; 0 none */
    int seed;           /* of the weights */
    const char *format; /* stored with the model */
} fm_spec;

static void fm_random(rung_gguf_writer *w, const char *name, int64_t cols, int64_t rows, double sd,
                      int seed) {
    float *x = malloc((size_t)(cols * rows) * sizeof *x);
    rung_rng g =
        rung_rng_at((uint64_t)seed, RUNG_STREAM_TEST, rung_hash64(name, strlen(name), 0), 0);
    for (int64_t i = 0; i < cols * rows; i++) x[i] = sd > 0 ? (float)(sd * rung_rng_normal(&g)) : 1;
    int64_t dims[2] = {cols, rows};
    rung_gguf_put_tensor(w, name, RUNG_GGUF_F32, rows > 1 ? 2 : 1, dims, x);
    free(x);
}

static int fm_vocab(rung_gguf_writer *w, const fm_spec *s) {
    static char text[FM_MAX][24];
    static const char *token[FM_MAX];
    static int32_t type[FM_MAX];
    static float score[FM_MAX];
    static const char *control[] = {"<eos>",        "<?>",        "<+>",      "<->",
                                    "<|im_start|>", "<|im_end|>", "<extra_0>"};
    static const char *bytes_words[] = {" +", " -", "Yes", "No", "one", "step"};
    static const char *spm_words[] = {
        "\xe2\x96\x81", "к", "и", "ки", "\xe2\x96\x81к", "\xe2\x96\x81ки", "\xe2\x96\x81+",
        "\xe2\x96\x81-"};
    int n = 0;
    if (s->spm) {
        static const char *first[] = {"<unk>", "<s>", "</s>"};
        for (int i = 0; i < 3; i++, n++) {
            snprintf(text[n], 24, "%s", first[i]);
            type[n] = i ? 3 : 2;
        }
        for (int i = 0; i < 256; i++, n++) {
            snprintf(text[n], 24, "<0x%02X>", i);
            type[n] = 6;
        }
        for (int c = 33; c < 127; c++, n++) {
            snprintf(text[n], 24, "%c", c);
            type[n] = 1;
        }
        for (size_t i = 0; i < sizeof spm_words / sizeof *spm_words; i++, n++) {
            snprintf(text[n], 24, "%s", spm_words[i]);
            type[n] = 1;
        }
    } else {
        for (size_t i = 0; i < sizeof control / sizeof *control; i++, n++) {
            snprintf(text[n], 24, "%s", control[i]);
            type[n] = 3;
        }
        for (int i = 0; i < 256; i++, n++) {
            snprintf(text[n], 24, "\\x%02x", i);
            type[n] = 1;
        }
        for (size_t i = 0; i < sizeof bytes_words / sizeof *bytes_words; i++, n++) {
            snprintf(text[n], 24, "%s", bytes_words[i]);
            type[n] = 1;
        }
    }
    for (int i = 0; i < n; i++) {
        token[i] = text[i];
        score[i] = (float)i; /* later pieces merge first */
    }
    rung_gguf_put_str(w, "tokenizer.ggml.model", s->spm ? "llama" : "rwkv");
    rung_gguf_put_arr_str(w, "tokenizer.ggml.tokens", token, (size_t)n);
    rung_gguf_put_arr_i32(w, "tokenizer.ggml.token_type", type, (size_t)n);
    if (s->spm) rung_gguf_put_arr_f32(w, "tokenizer.ggml.scores", score, (size_t)n);
    rung_gguf_put_u32(w, "tokenizer.ggml.eos_token_id", s->spm ? 2 : 0);
    if (s->spm) rung_gguf_put_u32(w, "tokenizer.ggml.bos_token_id", 1);
    rung_gguf_put_bool(w, "tokenizer.ggml.add_bos_token", s->spm);
    if (s->chat) rung_gguf_put_str(w, "tokenizer.chat_template", CHATML);
    return n;
}

static void fm_key(rung_gguf_writer *w, const char *arch, const char *key, uint32_t v) {
    char full[96];
    snprintf(full, sizeof full, "%s.%s", arch, key);
    rung_gguf_put_u32(w, full, v);
}

static void fm_model(const char *path, const fm_spec *s) {
    rung_gguf_writer *w = rung_gguf_writer_new();
    char name[64];
    rung_gguf_put_str(w, "general.architecture", s->arch);
    rung_gguf_put_str(w, "general.name", "made");
    int n_vocab = fm_vocab(w, s);
    fm_key(w, s->arch, "block_count", FM_LAYERS);
    fm_key(w, s->arch, "context_length", 512);
    fm_key(w, s->arch, "embedding_length", FM_D);
    fm_key(w, s->arch, "feed_forward_length", FM_FF);
    fm_key(w, s->arch, "attention.head_count", FM_HEADS);
    fm_key(w, s->arch, "attention.head_count_kv", FM_HEADS);
    fm_key(w, s->arch, "attention.key_length", FM_D / FM_HEADS);
    fm_key(w, s->arch, "attention.value_length", FM_D / FM_HEADS);
    fm_key(w, s->arch, "rope.dimension_count", FM_D / FM_HEADS);
    fm_key(w, s->arch, "vocab_size", (uint32_t)n_vocab);
    snprintf(name, sizeof name, "%s.attention.layer_norm_rms_epsilon", s->arch);
    rung_gguf_put_f32(w, name, 1e-5f);
    if (s->format) rung_gguf_put_str(w, "rung.reward.format", s->format);
    fm_random(w, "token_embd.weight", FM_D, n_vocab, 1, s->seed);
    fm_random(w, "output_norm.weight", FM_D, 1, 0, s->seed);
    fm_random(w, "output.weight", FM_D, n_vocab, .4, s->seed);
    for (int l = 0; l < FM_LAYERS; l++) {
        const struct {
            const char *name;
            int64_t cols, rows;
        } t[] = {{"attn_q", FM_D, FM_D},      {"attn_k", FM_D, FM_D},    {"attn_v", FM_D, FM_D},
                 {"attn_output", FM_D, FM_D}, {"ffn_gate", FM_D, FM_FF}, {"ffn_up", FM_D, FM_FF},
                 {"ffn_down", FM_FF, FM_D},   {"attn_norm", FM_D, 1},    {"ffn_norm", FM_D, 1}};
        for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
            snprintf(name, sizeof name, "blk.%d.%s.weight", l, t[i].name);
            fm_random(w, name, t[i].cols, t[i].rows, t[i].rows > 1 ? .25 : 0, s->seed);
        }
        for (int i = 0; i < 2 && !strcmp(s->arch, "qwen3"); i++) {
            snprintf(name, sizeof name, "blk.%d.attn_%c_norm.weight", l, i ? 'q' : 'k');
            fm_random(w, name, FM_D / FM_HEADS, 1, 0, s->seed);
        }
    }
    if (s->n_out) {
        static const char *label[] = {"wrong", "right"};
        snprintf(name, sizeof name, "%s.classifier.output_labels", s->arch);
        rung_gguf_put_arr_str(w, name, label, (size_t)s->n_out);
        fm_random(w, "cls.output.weight", FM_D, s->n_out, .3, s->seed);
    }
    OK(rung_gguf_write(w, path, err));
    rung_gguf_writer_free(w);
}

/* Reading by hand: one text, one position, nothing cached. */
typedef struct fm_read {
    float hidden[FM_D], logits[FM_MAX];
} fm_read;
static inline rung_status fm_on_eval(void *ud, const rung_eval_out *o, rung_error *e) {
    fm_read *r = ud;
    (void)e;
    memcpy(r->hidden, o->hidden, sizeof r->hidden);
    memcpy(r->logits, o->logits, *(int *)o->ud * sizeof(float));
    return RUNG_OK;
}
static inline void fm_at(fm_read *r, rung_engine *e, const int32_t *tok, int32_t n) {
    rung_model_info info;
    rung_model_get_info(&info, rung_engine_model(e));
    int32_t at = n - 1, n_vocab = info.n_vocab;
    rung_engine_clear(e);
    rung_eval v = {.tok = tok,
                   .n_tok = n,
                   .at = &at,
                   .n_at = 1,
                   .hidden = true,
                   .logits = true,
                   .ud = &n_vocab};
    rung_engine_cb cb = {.on_eval = fm_on_eval, .ud = r};
    OK(rung_engine_eval(e, &v, err));
    OK(rung_engine_run(e, &cb, err));
    rung_engine_clear(e);
}

/* Tokens by hand: texts one after the other. */
typedef struct fm_text {
    int32_t tok[512], n;
} fm_text;
static inline void fm_add(fm_text *t, const rung_model *m, const char *text, bool special) {
    int32_t *tok, n;
    if (t->n)
        OK(rung_model_tokenize_on(&tok, &n, m, text, strlen(text), special, err));
    else
        OK(rung_model_tokenize(&tok, &n, m, text, strlen(text), true, special, err));
    memcpy(t->tok + t->n, tok, (size_t)n * sizeof *tok);
    t->n += n;
    rung_free(tok);
}
#endif
