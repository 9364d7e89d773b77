/* Problems whose answer is a query: Spider's questions. Which database a row names is the problem's
 * meta; whoever imports the problems looks for it beside the file. peers.md 2.2 */
#include "format/row.h"
#include <string.h>

/* ---- Spider: {"db_id","question","query"} */

rung_status spider_read(rung_rated *out, yyjson_val *root, const char *key, rung_arena *a,
                        const rung_format_opts *o, rung_error *err) {
    (void)key;
    (void)o;
    const char *id;
    rung_buf meta;
    RUNG_TRY(field_text(&id, root, "db_id", err));
    RUNG_TRY(field_text(&out->question, root, "question", err));
    RUNG_TRY(field_text(&out->answer, root, "query", err));
    rung_buf_init(&meta, (size_t)FORMAT_LINE_MAX);
    obj_writer w = obj_open(&meta);
    obj_str(&w, "db_id", id);
    obj_close(&w);
    rung_status st = rung_buf_check(&meta, err);
    if (st == RUNG_OK) st = arena_text(&out->meta, a, meta.data, meta.n, err);
    rung_buf_clear(&meta);
    if (st != RUNG_OK) return st;
    out->verifier = "sql";
    return KEEP_REST(out, "spider", root, a, err, "db_id", "question", "query");
}

rung_status spider_write(rung_buf *b, const rung_rated *r, const rung_format_opts *o,
                         rung_error *err) {
    (void)o;
    yyjson_doc *meta = r->meta ? yyjson_read(r->meta, strlen(r->meta), 0) : NULL;
    const char *id = rung_json_str(yyjson_doc_get_root(meta), "db_id", "");
    rung_status st = RUNG_OK;
    if (!*id)
        st = rung_fail(err, RUNG_E_FORMAT, "the problem names no database (db_id)");
    else if (!(r->answer && *r->answer))
        st = rung_fail(err, RUNG_E_FORMAT, "there is no reference query");
    if (st == RUNG_OK) {
        obj_writer w = obj_open(b);
        obj_str(&w, "db_id", id);
        obj_str(&w, "question", r->question);
        obj_str(&w, "query", r->answer);
        obj_extra(&w, r, "spider", NULL);
        obj_close(&w);
    }
    yyjson_doc_free(meta);
    return st;
}
