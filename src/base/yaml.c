/* YAML in: libfyaml's events become a small tree of our own, because each node of ours keeps the
 * line and column where it starts, which libfyaml's public node API gives for scalars only. */
#include "base/yaml.h"
#include "base/utf8.h"

#include <libfyaml.h>
#include <string.h>

#define YAML_MAX_BYTES ((size_t)16 << 20)
#define YAML_MAX_DEPTH 32 /* recipes need 5; bounds the recursion on hostile input */

struct rung_yaml_node {
    rung_yaml_kind kind;
    int line, column;
    size_t n;              /* items or pairs */
    const char *text;      /* of a scalar; of the key when this is the value of a pair */
    const char *key;       /* when this is the value of a pair */
    int key_line;          /* when this is the value of a pair */
    rung_yaml_node **item; /* n of them */
    rung_yaml_node *next;  /* while a collection is being read */
};

struct rung_yaml {
    rung_arena *arena;
    const char *name;
    rung_yaml_node *root;
};

typedef struct reader {
    rung_yaml *y;
    struct fy_parser *fyp;
    struct fy_diag *diag;
    struct fy_event *event; /* the current one */
    rung_error *err;
} reader;

static rung_status no_memory(rung_error *err) {
    return rung_fail(err, RUNG_E_NOMEM, "out of memory");
}

static rung_status bad_at(const reader *r, int line, int column, const char *what) {
    return rung_fail(r->err, RUNG_E_FORMAT, "%s:%d:%d: %s", r->y->name, line, column, what);
}

/* Move to the next event; r->event is NULL at the end of the stream. */
static rung_status advance(reader *r) {
    if (r->event) fy_parser_event_free(r->fyp, r->event);
    r->event = fy_parser_parse(r->fyp);
    if (r->event) return RUNG_OK;
    void *prev = NULL;
    struct fy_diag_error *e = fy_diag_errors_iterate(r->diag, &prev);
    if (e)
        return bad_at(r, e->line > 0 ? e->line : 1, e->column > 0 ? e->column : 1,
                      e->msg ? e->msg : "bad YAML");
    if (fy_parser_get_stream_error(r->fyp)) return bad_at(r, 1, 1, "bad YAML");
    return RUNG_OK;
}

static rung_yaml_node *node_new(reader *r, rung_yaml_kind kind) {
    rung_yaml_node *n = rung_arena_alloc(r->y->arena, sizeof *n);
    if (!n) return NULL;
    const struct fy_mark *m = fy_event_start_mark(r->event);
    n->kind = kind;
    n->line = m ? m->line + 1 : 1;
    n->column = m ? m->column + 1 : 1;
    return n;
}

/* The text of the current scalar event; NULL when memory ran out. */
static const char *scalar_text(reader *r) {
    size_t n = 0;
    struct fy_token *t = fy_event_get_token(r->event);
    const char *s = t ? fy_token_get_text(t, &n) : "";
    return rung_arena_strndup(r->y->arena, s ? s : "", s ? n : 0);
}

static rung_status read_node(rung_yaml_node **out, reader *r, int depth);

/* A list of children into n->item. */
static rung_status link_items(reader *r, rung_yaml_node *n, rung_yaml_node *first) {
    n->item = rung_arena_alloc(r->y->arena, (n->n ? n->n : 1) * sizeof *n->item);
    if (!n->item) return no_memory(r->err);
    size_t i = 0;
    for (rung_yaml_node *c = first; c; c = c->next) n->item[i++] = c;
    return RUNG_OK;
}

static rung_status check_key(const reader *r, const rung_yaml_node *first, const char *key,
                             int line, int column) {
    for (const rung_yaml_node *c = first; c; c = c->next) {
        if (strcmp(c->key, key) != 0) continue;
        return rung_fail(r->err, RUNG_E_FORMAT, "%s:%d:%d: key \"%s\" is there twice (line %d)",
                         r->y->name, line, column, key, c->key_line);
    }
    return RUNG_OK;
}

static rung_status read_pair(rung_yaml_node **out, reader *r, const rung_yaml_node *first,
                             int depth) {
    const struct fy_mark *m = fy_event_start_mark(r->event);
    int line = m ? m->line + 1 : 1, column = m ? m->column + 1 : 1;
    if (r->event->type != FYET_SCALAR) return bad_at(r, line, column, "a key must be plain text");
    const char *key = scalar_text(r);
    if (!key) return no_memory(r->err);
    RUNG_TRY(check_key(r, first, key, line, column));
    RUNG_TRY(advance(r));
    RUNG_TRY(read_node(out, r, depth + 1));
    (*out)->key = key;
    (*out)->key_line = line;
    return RUNG_OK;
}

/* At the start event of a sequence or a mapping; leaves the event after its end. */
static rung_status read_children(rung_yaml_node *n, reader *r, int depth) {
    enum fy_event_type end = n->kind == RUNG_YAML_MAP ? FYET_MAPPING_END : FYET_SEQUENCE_END;
    rung_yaml_node *first = NULL, **tail = &first;
    RUNG_TRY(advance(r));
    while (r->event && r->event->type != end) {
        rung_yaml_node *c = NULL;
        if (n->kind == RUNG_YAML_MAP) {
            RUNG_TRY(read_pair(&c, r, first, depth));
        } else {
            RUNG_TRY(read_node(&c, r, depth + 1));
        }
        *tail = c;
        tail = &c->next;
        n->n++;
    }
    if (!r->event) return bad_at(r, n->line, n->column, "this collection never ends");
    RUNG_TRY(advance(r));
    return link_items(r, n, first);
}

static rung_status read_node(rung_yaml_node **out, reader *r, int depth) {
    if (!r->event) return bad_at(r, 1, 1, "a value is missing");
    const struct fy_mark *m = fy_event_start_mark(r->event);
    int line = m ? m->line + 1 : 1, column = m ? m->column + 1 : 1;
    if (depth > YAML_MAX_DEPTH) return bad_at(r, line, column, "nested too deep");
    switch (r->event->type) {
    case FYET_SCALAR:
        *out = node_new(r, RUNG_YAML_SCALAR);
        if (!*out || !((*out)->text = scalar_text(r))) return no_memory(r->err);
        return advance(r);
    case FYET_SEQUENCE_START: *out = node_new(r, RUNG_YAML_SEQ); break;
    case FYET_MAPPING_START: *out = node_new(r, RUNG_YAML_MAP); break;
    case FYET_ALIAS: return bad_at(r, line, column, "aliases (*name) are not supported");
    default: return bad_at(r, line, column, "a value is missing");
    }
    if (!*out) return no_memory(r->err);
    return read_children(*out, r, depth);
}

static rung_status read_document(reader *r) {
    rung_yaml *y = r->y;
    do {
        RUNG_TRY(advance(r));
    } while (r->event && r->event->type == FYET_STREAM_START);
    if (r->event && r->event->type == FYET_DOCUMENT_START) {
        RUNG_TRY(advance(r));
        RUNG_TRY(read_node(&y->root, r, 0));
        RUNG_TRY(advance(r)); /* past the end of the document */
        if (r->event && r->event->type == FYET_DOCUMENT_START) {
            const struct fy_mark *m = fy_event_start_mark(r->event);
            return bad_at(r, m ? m->line + 1 : 1, 1, "a second document; one is expected");
        }
        while (r->event) RUNG_TRY(advance(r)); /* trailing errors count too */
    }
    bool empty = !y->root || (y->root->kind == RUNG_YAML_SCALAR && !y->root->text[0]);
    if (!empty) return RUNG_OK;
    y->root = rung_arena_alloc(y->arena, sizeof *y->root); /* an empty file is an empty map */
    if (!y->root) return no_memory(r->err);
    y->root->kind = RUNG_YAML_MAP;
    y->root->line = y->root->column = 1;
    return RUNG_OK;
}

/* YAML is UTF-8 without control bytes. libfyaml 0.7.12 lets some of them through, and on bad UTF-8
 * in a directive line it never returns; so neither reaches it. */
static rung_status check_bytes(const rung_yaml *y, const char *text, size_t n, rung_error *err) {
    int line = 1, column = 1;
    for (size_t i = 0; i < n; column++) {
        unsigned char c = (unsigned char)text[i];
        size_t len = rung_utf8_len(text + i, n - i, NULL);
        if (len == 0 || (c < 0x20 && c != '\t' && c != '\r' && c != '\n') || c == 0x7f)
            return rung_fail(err, RUNG_E_FORMAT, "%s:%d:%d: %s (byte 0x%02x): is this text?",
                             y->name, line, column, len ? "a control byte" : "not UTF-8", c);
        i += len;
        if (c == '\n') {
            line++;
            column = 0;
        }
    }
    return RUNG_OK;
}

static rung_status parse_into(rung_yaml *y, const char *text, size_t n, rung_error *err) {
    reader r = {.y = y, .err = err};
    rung_status st = RUNG_OK;
    RUNG_TRY(check_bytes(y, text, n, err));
    struct fy_diag_cfg diag_cfg;
    fy_diag_cfg_default(&diag_cfg);
    diag_cfg.fp = NULL; /* nothing is printed, everything is collected */
    r.diag = fy_diag_create(&diag_cfg);
    if (!r.diag) return no_memory(err);
    fy_diag_set_collect_errors(r.diag, true);
    const struct fy_parse_cfg cfg = {.flags = FYPCF_QUIET | FYPCF_JSON_NONE, .diag = r.diag};
    r.fyp = fy_parser_create(&cfg);
    if (!r.fyp || fy_parser_set_string(r.fyp, text, n) != 0) {
        st = no_memory(err);
        goto out;
    }
    st = read_document(&r);
out:
    if (r.event) fy_parser_event_free(r.fyp, r.event);
    if (r.fyp) fy_parser_destroy(r.fyp);
    fy_diag_destroy(r.diag);
    return st;
}

rung_status rung_yaml_parse(rung_yaml **out, const char *text, size_t n, const char *name,
                            rung_error *err) {
    *out = NULL;
    rung_arena *arena = rung_arena_new(4 * YAML_MAX_BYTES);
    if (!arena) return no_memory(err);
    rung_yaml *y = rung_arena_alloc(arena, sizeof *y);
    rung_status st = RUNG_OK;
    if (y) y->name = rung_arena_strndup(arena, name, strlen(name));
    if (!y || !y->name) {
        st = no_memory(err);
        goto out;
    }
    y->arena = arena;
    st = parse_into(y, text, n, err);
    if (st == RUNG_OK) *out = y;
out:
    if (st != RUNG_OK) rung_arena_free(arena);
    return st;
}

rung_status rung_yaml_load(rung_yaml **out, const char *path, rung_error *err) {
    *out = NULL;
    rung_buf b;
    rung_buf_init(&b, YAML_MAX_BYTES);
    rung_status st = rung_file_read(&b, path, err);
    if (st == RUNG_OK) st = rung_yaml_parse(out, b.data, b.n, path, err);
    rung_buf_clear(&b);
    return st;
}

void rung_yaml_free(rung_yaml *y) {
    if (y) rung_arena_free(y->arena);
}

const char *rung_yaml_name(const rung_yaml *y) {
    return y->name;
}

const rung_yaml_node *rung_yaml_root(const rung_yaml *y) {
    return y->root;
}

rung_yaml_kind rung_yaml_kind_of(const rung_yaml_node *n) {
    return n->kind;
}

int rung_yaml_line(const rung_yaml_node *n) {
    return n->line;
}

int rung_yaml_column(const rung_yaml_node *n) {
    return n->column;
}

const char *rung_yaml_scalar(const rung_yaml_node *n) {
    return n && n->kind == RUNG_YAML_SCALAR ? n->text : NULL;
}

size_t rung_yaml_count(const rung_yaml_node *n) {
    return n->kind == RUNG_YAML_SCALAR ? 0 : n->n;
}

const rung_yaml_node *rung_yaml_item(const rung_yaml_node *n, size_t i) {
    return i < rung_yaml_count(n) ? n->item[i] : NULL;
}

const char *rung_yaml_key(const rung_yaml_node *n, size_t i) {
    return n->kind == RUNG_YAML_MAP && i < n->n ? n->item[i]->key : NULL;
}

int rung_yaml_key_line(const rung_yaml_node *n, size_t i) {
    return n->kind == RUNG_YAML_MAP && i < n->n ? n->item[i]->key_line : 0;
}

const rung_yaml_node *rung_yaml_get(const rung_yaml_node *n, const char *key) {
    if (!n || n->kind != RUNG_YAML_MAP) return NULL;
    for (size_t i = 0; i < n->n; i++)
        if (strcmp(n->item[i]->key, key) == 0) return n->item[i];
    return NULL;
}
