/* The report: the page built from web/, with the data put into it. The data holds text that a model
 * wrote, so it goes in as JSON with every < > & escaped; the page shows it as text only. */
#include "bench/report.h"
#include "rung/event.h"
#include <string.h>

#define REPORT_MAX ((size_t)256 << 20)

void rung_put_script_safe(rung_buf *out, const char *json, size_t n) {
    size_t from = 0;
    for (size_t i = 0; i < n; i++) { /* these three occur only inside JSON strings */
        if (json[i] != '<' && json[i] != '>' && json[i] != '&') continue;
        rung_buf_append(out, json + from, i - from);
        rung_buf_printf(out, "\\u%04x", (unsigned)json[i]);
        from = i + 1;
    }
    rung_buf_append(out, json + from, n - from);
}

void rung_put_html_text(rung_buf *out, const char *text) {
    for (const char *c = text; *c; c++) {
        switch (*c) {
        case '<': rung_buf_str(out, "&lt;"); break;
        case '>': rung_buf_str(out, "&gt;"); break;
        case '&': rung_buf_str(out, "&amp;"); break;
        case '"': rung_buf_str(out, "&quot;"); break;
        default: rung_buf_append(out, c, 1);
        }
    }
}

#ifdef RUNG_NO_WEB
rung_status rung_report_html(rung_buf *html, rung_store *s, const char *title, const char *command,
                             const rung_log *log, rung_error *err) {
    (void)html, (void)s, (void)title, (void)command, (void)log;
    rung_fail(err, RUNG_E_NOT_BUILT, "this build has no report page");
    return rung_error_hint(err, "install node and npm and configure with -DRUNG_WEB=ON");
}
#else
extern const unsigned char rung_report_page[];
extern const size_t rung_report_page_n;

/* Copies the page up to the mark; *from moves past it. */
static rung_status upto(rung_buf *html, size_t *from, const char *mark, rung_error *err) {
    const char *page = (const char *)rung_report_page + *from;
    const char *at = memmem(page, rung_report_page_n - *from, mark, strlen(mark));
    if (!at) return rung_fail(err, RUNG_E_FORMAT, "the built-in report page lacks %s", mark);
    rung_buf_append(html, page, (size_t)(at - page));
    *from += (size_t)(at - page) + strlen(mark);
    return RUNG_OK;
}

rung_status rung_report_html(rung_buf *html, rung_store *s, const char *title, const char *command,
                             const rung_log *log, rung_error *err) {
    rung_buf data;
    rung_buf_init(&data, REPORT_MAX);
    size_t from = 0;
    rung_status st;
    RUNG_GOTO(rung_report_data(&data, s, title, command, log, err));
    RUNG_GOTO(upto(html, &from, "__RUNG_TITLE__", err));
    rung_put_html_text(html, title && title[0] ? title : "rung report");
    RUNG_GOTO(upto(html, &from, "__RUNG_DATA__", err));
    rung_put_script_safe(html, data.data, data.n);
    rung_buf_append(html, rung_report_page + from, rung_report_page_n - from);
    RUNG_GOTO(rung_buf_check(html, err));
out:
    rung_buf_clear(&data);
    return st;
}
#endif

rung_status rung_report_write(const char *path, rung_store *s, const char *title,
                              const char *command, const rung_log *log, rung_error *err) {
    rung_buf html;
    rung_buf_init(&html, REPORT_MAX);
    rung_status st = rung_report_html(&html, s, title, command, log, err);
    if (st == RUNG_OK) st = rung_file_write(path, html.data, html.n, err);
    if (st == RUNG_OK) st = rung_progress(log, "parts", 3, 3, 0, err);
    rung_buf_clear(&html);
    return st;
}
