/* Formats as YAML: one table of keys is the parser, the printer and the check. */
#include "reward/reward_format.h"

#include "base/names.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum { KEY_TEXT, KEY_BOOL, KEY_CHOICE, KEY_WORDS, KEY_INT, KEY_REAL } key_kind;

static const char *const layouts[] = {
#define X(id, name, help) name,
    REWARD_LAYOUTS(X)
#undef X
        NULL};
static const char *const readouts[] = {
#define X(id, name, help) name,
    REWARD_READOUTS(X)
#undef X
        NULL};
static const char *const aggregates[] = {
#define X(id, name, help) name,
    RUNG_AGGREGATES(X)
#undef X
        NULL};
static const char *const token_sources[] = {"own", "text", NULL};
static const char *const tag_ways[] = {"apart", "within", NULL};
static const char *const reads[] = {"tag", "before_tag", NULL};
static const char *const modes[] = {"accumulative", "single", NULL};
static const char *const squashes[] = {"sigmoid", "none", NULL};

#define AT(field) offsetof(reward_format, field)
/* Choices are int32_t, or bool where there are two. */
static const struct {
    const char *key;
    key_kind kind;
    size_t at;
    const char *const *choice;
    bool two;
} keys[] = {
    {"name", KEY_TEXT, AT(name), NULL, false},
    {"help", KEY_TEXT, AT(help), NULL, false},
    {"layout", KEY_CHOICE, AT(layout), layouts, false},
    {"chat", KEY_TEXT, AT(chat), NULL, false},
    {"system", KEY_TEXT, AT(system), NULL, false},
    {"prompt", KEY_TEXT, AT(prompt), NULL, false},
    {"suffix", KEY_TEXT, AT(suffix), NULL, false},
    {"step", KEY_TEXT, AT(step), NULL, false},
    {"between", KEY_TEXT, AT(between), NULL, false},
    {"trim", KEY_BOOL, AT(trim), NULL, false},
    {"tokens", KEY_CHOICE, AT(tokens), token_sources, false},
    {"tag", KEY_TEXT, AT(tag), NULL, false},
    {"tag_tokens", KEY_CHOICE, AT(tag_tokens), tag_ways, false},
    {"tag_first", KEY_BOOL, AT(tag_first), NULL, false},
    {"read", KEY_CHOICE, AT(read_before_tag), reads, true},
    {"ask", KEY_TEXT, AT(ask), NULL, false},
    {"reply", KEY_TEXT, AT(reply), NULL, false},
    {"score", KEY_CHOICE, AT(score), readouts, false},
    {"positive", KEY_WORDS, AT(positive), NULL, false},
    {"negative", KEY_WORDS, AT(negative), NULL, false},
    {"class", KEY_INT, AT(class_number), NULL, false},
    {"beta", KEY_REAL, AT(beta), NULL, false},
    {"mode", KEY_CHOICE, AT(single), modes, true},
    {"squash", KEY_CHOICE, AT(plain), squashes, true},
    {"aggregate", KEY_CHOICE, AT(aggregate), aggregates, false},
    {"head", KEY_WORDS, AT(head), NULL, false},
    {"activation", KEY_TEXT, AT(activation), NULL, false},
};
enum { N_KEYS = (int)(sizeof keys / sizeof keys[0]) };

static void *field(reward_format *f, int i) {
    return (char *)f + keys[i].at;
}

/* Reading -------------------------------------------------------------------------------------- */

typedef struct source {
    const rung_yaml *y;
    rung_error *err;
} source;

static rung_status bad(const source *s, const rung_yaml_node *n, const char *key,
                       const char *want) {
    return rung_fail(s->err, RUNG_E_FORMAT, "%s:%d:%d: %s: %s", rung_yaml_name(s->y),
                     rung_yaml_line(n), rung_yaml_column(n), key, want);
}

static rung_status read_words(reward_words *w, const source *s, const rung_yaml_node *n,
                              const char *key) {
    size_t count = rung_yaml_count(n);
    if (rung_yaml_kind_of(n) == RUNG_YAML_SCALAR) {
        w->word[w->n++] = rung_yaml_scalar(n);
        return RUNG_OK;
    }
    if (rung_yaml_kind_of(n) != RUNG_YAML_SEQ || count < 1 || count > REWARD_WORDS_MAX)
        return bad(s, n, key, "must be a text or a list of one to eight texts");
    for (size_t i = 0; i < count; i++) {
        w->word[i] = rung_yaml_scalar(rung_yaml_item(n, i));
        if (!w->word[i]) return bad(s, rung_yaml_item(n, i), key, "must be a text");
    }
    w->n = (int32_t)count;
    return RUNG_OK;
}

static rung_status read_choice(reward_format *f, int i, const source *s, const rung_yaml_node *n,
                               const char *text) {
    for (int32_t c = 0; keys[i].choice[c]; c++) {
        if (strcmp(keys[i].choice[c], text) != 0) continue;
        if (keys[i].two)
            *(bool *)field(f, i) = c == 1;
        else
            *(int32_t *)field(f, i) = c;
        return RUNG_OK;
    }
    char want[200] = "must be one of";
    for (int32_t c = 0; keys[i].choice[c]; c++) {
        size_t at = strlen(want);
        snprintf(want + at, sizeof want - at, " %s", keys[i].choice[c]);
    }
    return bad(s, n, keys[i].key, want);
}

static rung_status read_value(reward_format *f, int i, const source *s, const rung_yaml_node *n) {
    const char *text = rung_yaml_scalar(n), *key = keys[i].key;
    char *end = NULL;
    if (keys[i].kind == KEY_WORDS) return read_words(field(f, i), s, n, key);
    if (!text) return bad(s, n, key, "must be a text");
    switch (keys[i].kind) {
    case KEY_BOOL:
        if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
            return bad(s, n, key, "must be true or false");
        *(bool *)field(f, i) = text[0] == 't';
        return RUNG_OK;
    case KEY_CHOICE: return read_choice(f, i, s, n, text);
    case KEY_INT: {
        long v = strtol(text, &end, 10);
        if (end == text || *end || v < 0 || v > 100000)
            return bad(s, n, key, "must be a whole number from 0");
        *(int64_t *)field(f, i) = v;
        return RUNG_OK;
    }
    case KEY_REAL: {
        double v = strtod(text, &end);
        if (end == text || *end || !isfinite(v) || !(v > 0.0))
            return bad(s, n, key, "must be a number above 0");
        *(double *)field(f, i) = v;
        return RUNG_OK;
    }
    default: *(const char **)field(f, i) = text; return RUNG_OK;
    }
}

static int count_of(const char *text, const char *what) {
    int n = 0;
    for (const char *p = text; (p = strstr(p, what)); p += strlen(what)) n++;
    return n;
}

/* NULL, or what does not fit together. */
static const char *misfit(const reward_format *f) {
    bool tokens = f->score == REWARD_READOUT_TOKENS, ratio = f->score == REWARD_READOUT_LOG_RATIO;
    bool has_tag = f->tag && f->tag[0];
    if (f->prompt && count_of(f->prompt, "{question}") != 1)
        return "prompt must hold {question} once";
    if (f->step && count_of(f->step, "{step}") != 1) return "step must hold {step} once";
    if (tokens != (f->positive.n > 0) || tokens != (f->negative.n > 0))
        return "score: tokens, and only that, needs positive and negative";
    if (ratio != (f->beta > 0.0)) return "score: log_ratio, and only that, needs beta";
    if (ratio && (has_tag || f->layout != REWARD_LAYOUT_CONTINUE))
        return "score: log_ratio reads the policy's own text: layout continue, no tag";
    if (f->layout != REWARD_LAYOUT_CONTINUE && has_tag) return "only layout continue has a tag";
    if (f->layout == REWARD_LAYOUT_TURNS && !(f->reply && f->reply[0]))
        return "layout: turns needs reply, what was said to the steps before";
    if ((f->layout == REWARD_LAYOUT_ASK) != (f->ask != NULL))
        return "layout: ask, and only that, needs ask";
    if (f->layout == REWARD_LAYOUT_CONTINUE && f->reply) return "layout: continue has no reply";
    if (f->tag_tokens && (!has_tag || !f->tokens))
        return "tag_tokens: within needs a tag and tokens: text";
    if (!f->tokens && (f->step || f->between || f->trim))
        return "step, between and trim change the text: they need tokens: text";
    if (!f->tokens && f->layout != REWARD_LAYOUT_CONTINUE) return "this layout needs tokens: text";
    if (f->activation && strcmp(f->activation, "relu") != 0 && strcmp(f->activation, "tanh") != 0 &&
        strcmp(f->activation, "none") != 0)
        return "activation must be relu, tanh or none";
    if (f->head.n > 2) return "head must be one or two layers";
    return NULL;
}

static rung_status read_map(reward_format *f, const source *s, const rung_yaml_node *root) {
    const char *names[N_KEYS];
    for (int i = 0; i < N_KEYS; i++) names[i] = keys[i].key;
    if (rung_yaml_kind_of(root) != RUNG_YAML_MAP)
        return bad(s, root, "a format", "must be a map of keys");
    for (size_t p = 0; p < rung_yaml_count(root); p++) {
        const char *key = rung_yaml_key(root, p);
        int i = 0;
        while (i < N_KEYS && strcmp(keys[i].key, key) != 0) i++;
        if (i == N_KEYS) {
            const char *near = rung_nearest(key, names, N_KEYS);
            rung_fail(s->err, RUNG_E_FORMAT, "%s:%d: a format has no key \"%s\"",
                      rung_yaml_name(s->y), rung_yaml_key_line(root, p), key);
            return near ? rung_error_hint(s->err, "did you mean \"%s\"?", near)
                        : rung_error_hint(s->err, "`rung reward show` lists formats to begin from");
        }
        RUNG_TRY(read_value(f, i, s, rung_yaml_item(root, p)));
    }
    const char *why = misfit(f);
    return why ? rung_fail(s->err, RUNG_E_FORMAT, "%s: %s", rung_yaml_name(s->y), why) : RUNG_OK;
}

rung_status reward_format_parse(reward_format_doc *out, const char *text, size_t n,
                                const char *name, rung_error *err) {
    *out = (reward_format_doc){0};
    RUNG_TRY(rung_yaml_parse(&out->yaml, text, n, name, err));
    source s = {out->yaml, err};
    RUNG_TRY(read_map(&out->format, &s, rung_yaml_root(out->yaml)));
    if (!out->format.name) out->format.name = rung_yaml_name(out->yaml);
    return RUNG_OK;
}

void reward_format_clear(reward_format_doc *d) {
    rung_yaml_free(d->yaml);
    *d = (reward_format_doc){0};
}

enum { FORMATS_MAX = 32 };

rung_status reward_format_find(reward_format_doc *out, const char *name_or_path, rung_error *err) {
    const char *names[FORMATS_MAX];
    char held[FORMATS_MAX][48];
    size_t n = 0;
    *out = (reward_format_doc){0};
    for (const char *text; n < FORMATS_MAX && (text = reward_format_text(n)); n++) {
        RUNG_TRY(reward_format_parse(out, text, strlen(text), "built-in format", err));
        if (strcmp(out->format.name, name_or_path) == 0) return RUNG_OK;
        snprintf(held[n], sizeof held[n], "%s", out->format.name);
        names[n] = held[n];
        reward_format_clear(out);
    }
    rung_buf b;
    rung_buf_init(&b, 1u << 20);
    rung_status st = rung_file_read(&b, name_or_path, err);
    if (st == RUNG_OK) st = reward_format_parse(out, b.data ? b.data : "", b.n, name_or_path, err);
    rung_buf_clear(&b);
    if (st != RUNG_E_NOT_FOUND) return st;
    const char *near = rung_nearest(name_or_path, names, n);
    rung_fail(err, RUNG_E_NOT_FOUND, "no format and no file is called \"%s\"", name_or_path);
    return near ? rung_error_hint(err, "did you mean \"%s\"?", near)
                : rung_error_hint(err, "`rung reward show` lists the formats");
}

/* Printing ------------------------------------------------------------------------------------- */

static void print_text(rung_buf *b, const char *text) {
    rung_buf_json_str(b, text, strlen(text)); /* JSON strings are YAML's double-quoted scalars */
}

static void print_key(rung_buf *b, const reward_format *f, int i) {
    const void *at = (const char *)f + keys[i].at;
    const reward_words *w = at;
    switch (keys[i].kind) {
    case KEY_TEXT: print_text(b, *(const char *const *)at); break;
    case KEY_BOOL: rung_buf_str(b, *(const bool *)at ? "true" : "false"); break;
    case KEY_CHOICE:
        rung_buf_str(b, keys[i].choice[keys[i].two ? *(const bool *)at : *(const int32_t *)at]);
        break;
    case KEY_INT: rung_buf_printf(b, "%lld", (long long)*(const int64_t *)at); break;
    case KEY_REAL: rung_buf_printf(b, "%.17g", *(const double *)at); break;
    case KEY_WORDS:
        for (int32_t k = 0; k < w->n; k++) {
            rung_buf_str(b, k ? ", " : "[");
            print_text(b, w->word[k]);
        }
        rung_buf_str(b, "]");
        break;
    }
}

/* Zero everywhere is the default of every key. */
static bool is_default(const reward_format *f, int i) {
    const void *at = (const char *)f + keys[i].at;
    switch (keys[i].kind) {
    case KEY_TEXT: return !*(const char *const *)at;
    case KEY_BOOL: return !*(const bool *)at;
    case KEY_CHOICE: return keys[i].two ? !*(const bool *)at : !*(const int32_t *)at;
    case KEY_INT: return !*(const int64_t *)at;
    case KEY_REAL: return !(*(const double *)at > 0.0);
    case KEY_WORDS: return ((const reward_words *)at)->n == 0;
    }
    return true;
}

void reward_format_print(rung_buf *b, const reward_format *f, bool with_name) {
    for (int i = with_name ? 0 : 2; i < N_KEYS; i++) { /* the first two rows */
        if (is_default(f, i)) continue;
        rung_buf_printf(b, "%s: ", keys[i].key);
        print_key(b, f, i);
        rung_buf_str(b, "\n");
    }
}

/* Placeholders --------------------------------------------------------------------------------- */

void reward_expand(rung_buf *b, const char *t, const char *question, const char *step, size_t n,
                   int32_t k) {
    for (const char *p = t; *p;) {
        if (question && strncmp(p, "{question}", 10) == 0) {
            rung_buf_str(b, question);
            p += 10;
        } else if (step && strncmp(p, "{step}", 6) == 0) {
            rung_buf_append(b, step, n);
            p += 6;
        } else if (strncmp(p, "{k}", 3) == 0 && k > 0) {
            rung_buf_printf(b, "%d", k);
            p += 3;
        } else {
            rung_buf_append(b, p++, 1);
        }
    }
}

rung_status rung_reward_format_show(rung_buf *yaml, const char *name_or_path, rung_error *err) {
    reward_format_doc d;
    rung_status st = reward_format_find(&d, name_or_path, err);
    if (st == RUNG_OK) reward_format_print(yaml, &d.format, true);
    if (st == RUNG_OK) st = rung_buf_check(yaml, err);
    reward_format_clear(&d);
    return st;
}

bool rung_reward_format_at(char name[48], char help[160], size_t i) {
    reward_format_doc d;
    const char *text = reward_format_text(i);
    if (!text) return false;
    bool ok = reward_format_parse(&d, text, strlen(text), "built-in format", NULL) == RUNG_OK;
    snprintf(name, 48, "%s", ok ? d.format.name : "?");
    snprintf(help, 160, "%s", ok && d.format.help ? d.format.help : "");
    reward_format_clear(&d);
    return true;
}
