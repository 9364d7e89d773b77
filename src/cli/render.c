/* Rendering: events become one live line on a terminal (at most 5 a second) or plain lines at a
 * slow cadence elsewhere; data goes to stdout, as tables for eyes or one JSON object a line. */
#include "cli/cli.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

volatile sig_atomic_t cli_interrupted;

static const double live_every_s = 0.2;   /* H13: at most 5 a second */
static const double plain_every_s = 10.0; /* a log file wants a line now and then */

struct cli_render {
    cli_app *app;
    bool tty;
    bool live; /* a live line stands on the terminal */
    double last_s;
    double start_s; /* of the job whose progress is shown */
    int64_t start_done, start_tok, last_done;
    char unit[32];
    int64_t total;
};

static void live_clear(cli_render *r) {
    if (r->live) fputs("\r\033[K", stderr);
    r->live = false;
}

/* "1h02m" "3m20s" "12s" */
static void short_time(char buf[24], double s) {
    if (!(s >= 0) || s > 8.64e6)
        snprintf(buf, 24, "?");
    else if (s >= 3600)
        snprintf(buf, 24, "%dh%02dm", (int)(s / 3600), (int)(s / 60) % 60);
    else if (s >= 60)
        snprintf(buf, 24, "%dm%02ds", (int)(s / 60), (int)s % 60);
    else
        snprintf(buf, 24, "%.0fs", s);
}

static const rung_field *field(const rung_field *f, const char *key) {
    for (; f && f->kind != RUNG_FIELD_END; f++) {
        if (strcmp(f->key, key) == 0) return f;
    }
    return NULL;
}

static int64_t field_int(const rung_field *f, const char *key) {
    const rung_field *x = field(f, key);
    return x && x->kind == RUNG_FIELD_INT ? x->i : 0;
}

static int term_width(void) {
    struct winsize w;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 20 ? w.ws_col : 80;
}

/* One job's position: done, total and tokens; a trainer says step and steps, epoch and epochs. */
typedef struct position {
    const char *unit;
    int64_t done, total, tok;
} position;

static position position_of(const char *name, const rung_field *f) {
    static const char *const pair[][2] = {
        {"done", "total"}, {"step", "steps"}, {"epoch", "epochs"}};
    position p = {.unit = name, .tok = field_int(f, "tok")};
    for (size_t i = 0; i < 3; i++) {
        if (!field(f, pair[i][0])) continue;
        p.done = field_int(f, pair[i][0]);
        p.total = field_int(f, pair[i][1]);
        if (i > 0) p.unit = pair[i][1];
        break;
    }
    const rung_field *u = field(f, "unit");
    if (u && u->kind == RUNG_FIELD_STR && u->s) p.unit = u->s;
    return p;
}

static void progress_line(char *line, size_t n, const cli_render *r, const position *p,
                          const rung_field *f, double now) {
    double dt = now - r->start_s;
    double rate = dt > 0 ? (double)(p->done - r->start_done) / dt : 0.0;
    double tok_rate = dt > 0 ? (double)(p->tok - r->start_tok) / dt : 0.0;
    char left[24], tokens[48] = "";
    const rung_field *said = field(f, "tok_s");
    if (said && said->kind == RUNG_FIELD_REAL) tok_rate = said->d;
    short_time(left, rate > 0 ? (double)(p->total - p->done) / rate : (double)NAN);
    if (tok_rate > 0) snprintf(tokens, sizeof tokens, "  %.0f tokens/s", tok_rate);
    int at = snprintf(line, n, "%s %lld/%lld  %3.0f%%  %.*f/s%s  %s left", p->unit,
                      (long long)p->done, (long long)p->total,
                      p->total > 0 ? 100.0 * (double)p->done / (double)p->total : 0.0,
                      rate < 10 ? 1 : 0, rate, tokens, left);
    for (; f && f->kind != RUNG_FIELD_END && at > 0 && (size_t)at < n; f++) {
        if (f->kind != RUNG_FIELD_REAL || strcmp(f->key, "tok_s") == 0 ||
            strcmp(f->key, "eta_s") == 0) {
            continue;
        }
        at += snprintf(line + at, n - (size_t)at, "  %s %.4g", f->key, f->d);
    }
}

static void on_progress(cli_render *r, const char *name, const rung_field *f) {
    double now = rung_now();
    position p = position_of(name, f);
    if (p.total == 0 && p.done == 0) return; /* a heartbeat: only asks whether to stop */
    if (strcmp(p.unit, r->unit) != 0 || p.total != r->total || p.done < r->last_done) {
        snprintf(r->unit, sizeof r->unit, "%s", p.unit);
        r->total = p.total;
        r->start_s = now;
        r->start_done = p.done;
        r->start_tok = p.tok;
        if (!r->tty) r->last_s = now;
    }
    r->last_done = p.done;
    bool last = p.total > 0 && p.done >= p.total;
    double gap = now - r->last_s;
    if (r->tty ? gap < live_every_s && !last : gap < plain_every_s) return;
    r->last_s = now;
    char line[256];
    progress_line(line, sizeof line, r, &p, f, now);
    if (!r->tty) {
        fprintf(stderr, "%s\n", line);
        return;
    }
    fprintf(stderr, "\r\033[K%.*s", term_width() - 1, line);
    r->live = !last;
    if (last) fputc('\n', stderr);
    fflush(stderr);
}

/* With --json the talk is JSON too, still on stderr. */
static void print_event_json(const char *name, rung_level level, const rung_field *f) {
    rung_buf b;
    rung_buf_init(&b, 1u << 20);
    rung_buf_printf(&b, "{\"v\":1,\"event\":\"%s\"%s", name,
                    level == RUNG_WARN ? ",\"level\":\"warning\"" : "");
    for (; f && f->kind != RUNG_FIELD_END; f++) {
        rung_buf_printf(&b, ",\"%s\":", f->key);
        if (f->kind == RUNG_FIELD_INT)
            rung_buf_printf(&b, "%lld", (long long)f->i);
        else if (f->kind == RUNG_FIELD_STR)
            rung_buf_json_str(&b, f->s ? f->s : "", f->s ? strlen(f->s) : 0);
        else if (isfinite(f->d))
            rung_buf_printf(&b, "%.9g", f->d);
        else
            rung_buf_str(&b, "null");
    }
    rung_buf_str(&b, "}\n");
    if (!b.failed) fwrite(b.data, 1, b.n, stderr);
    rung_buf_clear(&b);
}

static void print_event(const char *name, const rung_field *f) {
    fprintf(stderr, "%s", name);
    for (; f && f->kind != RUNG_FIELD_END; f++) {
        if (f->kind == RUNG_FIELD_INT)
            fprintf(stderr, "  %s %lld", f->key, (long long)f->i);
        else if (f->kind == RUNG_FIELD_REAL)
            fprintf(stderr, "  %s %.5g", f->key, f->d);
        else
            fprintf(stderr, "  %s %s", f->key, f->s ? f->s : "");
    }
    fputc('\n', stderr);
}

static int on_event(void *ud, rung_level level, const char *name, const rung_field *fields) {
    cli_render *r = ud;
    if (level == RUNG_PROGRESS) {
        if (!r->app->quiet) on_progress(r, name, fields);
        return cli_interrupted != 0;
    }
    if (level == RUNG_DEBUG && !getenv("RUNG_DEBUG")) return 0;
    if (r->app->quiet && level != RUNG_WARN) return 0;
    live_clear(r);
    if (r->app->json) {
        print_event_json(name, level, fields);
        return 0;
    }
    if (level == RUNG_WARN) fputs("warning: ", stderr);
    print_event(name, fields);
    return 0;
}

cli_render *cli_render_new(cli_app *app) {
    cli_render *r = rung_calloc(1, sizeof *r);
    if (!r) return NULL;
    r->app = app;
    r->tty = isatty(STDERR_FILENO) != 0 && getenv("NO_COLOR") == NULL;
    app->log.emit = on_event;
    app->log.ud = r;
    app->render = r;
    return r;
}

void cli_render_free(cli_render *r) {
    if (r) live_clear(r);
    rung_free(r);
}

void cli_say(cli_app *app, const char *fmt, ...) {
    va_list ap;
    if (app->quiet) return;
    if (app->render) live_clear(app->render);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
}

void cli_print_error(const rung_error *err) {
    const char *what = err->what[0] ? err->what : rung_status_text(err->code);
    fprintf(stderr, "rung: %s", what);
    if (err->problem_id >= 0) {
        fprintf(stderr, " (problem %lld", (long long)err->problem_id);
        if (err->rollout >= 0) fprintf(stderr, ", sample %d", err->rollout);
        if (err->step >= 0) fprintf(stderr, ", step %d", err->step);
        fputc(')', stderr);
    }
    fputc('\n', stderr);
    if (err->detail[0]) fprintf(stderr, "  %s\n", err->detail);
    if (err->hint[0]) fprintf(stderr, "hint: %s\n", err->hint);
}

/* ---- data out */

static rung_status out_failed(cli_app *app, rung_error *err) {
    if (errno == EPIPE) { /* the reader has seen enough: stop quietly */
        app->out_closed = true;
        return rung_fail(err, RUNG_E_IO, "standard output was closed");
    }
    return rung_fail_errno(err, "could not write to standard output");
}

rung_status cli_out(cli_app *app, const char *text, size_t n, rung_error *err) {
    if (app->render) live_clear(app->render);
    if (n > 0 && fwrite(text, 1, n, stdout) != n) return out_failed(app, err);
    return RUNG_OK;
}

rung_status cli_outf(cli_app *app, rung_error *err, const char *fmt, ...) {
    va_list ap;
    if (app->render) live_clear(app->render);
    va_start(ap, fmt);
    int n = vfprintf(stdout, fmt, ap);
    va_end(ap);
    return n < 0 ? out_failed(app, err) : RUNG_OK;
}

rung_status cli_out_end(cli_app *app, rung_error *err) {
    return fflush(stdout) != 0 ? out_failed(app, err) : RUNG_OK;
}

void cli_clean(rung_buf *out, const char *text, size_t n) {
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];
        bool bad = (c < 0x20 && c != '\n' && c != '\t') || c == 0x7f;
        rung_buf_append(out, bad ? "?" : &text[i], 1);
    }
}

/* ---- tables */

void cli_table_init(cli_table *t, const char *const *head, size_t n_cols) {
    rung_buf_init(&t->cells, 256u << 20);
    t->n_cols = n_cols;
    t->n_cells = 0;
    for (size_t i = 0; i < n_cols; i++) cli_cell(t, "%s", head[i]);
}

void cli_cell(cli_table *t, const char *fmt, ...) {
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    rung_buf_append(&t->cells, text, strlen(text) + 1);
    t->n_cells++;
}

/* Columns on screen: bytes that do not continue a UTF-8 sequence. */
static size_t width(const char *s) {
    size_t n = 0;
    for (; *s; s++) n += ((unsigned char)*s & 0xc0) != 0x80;
    return n;
}

static bool looks_numeric(const char *s) {
    if (!*s || strcmp(s, "-") == 0) return true;
    return strspn(s, "0123456789+-.%[], e") == strlen(s);
}

static void table_shape(const cli_table *t, size_t *w, bool *right) {
    const char *p = t->cells.data;
    for (size_t c = 0; c < t->n_cols; c++) {
        w[c] = 0;
        right[c] = true;
    }
    for (size_t i = 0; i < t->n_cells; i++, p += strlen(p) + 1) {
        size_t c = i % t->n_cols, n = width(p);
        if (n > w[c]) w[c] = n;
        if (i >= t->n_cols && !looks_numeric(p)) right[c] = false;
    }
}

rung_status cli_table_print(cli_table *t, cli_app *app, rung_error *err) {
    enum { MAX_COLS = 32 };
    size_t w[MAX_COLS];
    bool right[MAX_COLS];
    rung_buf line;
    rung_buf_init(&line, 256u << 20);
    rung_status st = rung_buf_check(&t->cells, err);
    if (st == RUNG_OK && t->n_cols <= MAX_COLS) {
        table_shape(t, w, right);
        const char *p = t->cells.data;
        for (size_t i = 0; i < t->n_cells; i++, p += strlen(p) + 1) {
            size_t c = i % t->n_cols;
            int pad = (int)(w[c] - width(p));
            bool last = c + 1 == t->n_cols;
            if (right[c])
                rung_buf_printf(&line, "%*s%s", pad, "", p);
            else
                rung_buf_printf(&line, "%s%*s", p, last ? 0 : pad, "");
            rung_buf_str(&line, last ? "\n" : "  ");
        }
        st = rung_buf_check(&line, err);
        if (st == RUNG_OK) st = cli_out(app, line.data, line.n, err);
    }
    rung_buf_clear(&line);
    rung_buf_clear(&t->cells);
    return st;
}
