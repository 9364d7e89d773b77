/* Status codes and the caller's error object. */
#include "rung/base.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct {
    rung_status st;
    int exit_code;
    const char *name, *text;
} statuses[] = {
#define X(name, value, exit_code, text) {RUNG_##name, exit_code, "RUNG_" #name, text},
    RUNG_STATUSES(X)
#undef X
};
#define N_STATUSES (sizeof statuses / sizeof statuses[0])

/* What a status that no table row knows (a stray integer) exits with: a system failure. */
#define EXIT_UNKNOWN 4

const char *rung_status_name(rung_status st) {
    for (size_t i = 0; i < N_STATUSES; i++)
        if (statuses[i].st == st) return statuses[i].name;
    return "RUNG_?";
}

const char *rung_status_text(rung_status st) {
    for (size_t i = 0; i < N_STATUSES; i++)
        if (statuses[i].st == st) return statuses[i].text;
    return "unknown status";
}

int rung_status_exit_code(rung_status st) {
    for (size_t i = 0; i < N_STATUSES; i++)
        if (statuses[i].st == st) return statuses[i].exit_code;
    return EXIT_UNKNOWN;
}

/* One line, whole characters: control bytes become spaces, a character cut by truncation goes. */
static void tidy(char *s) {
    size_t n = strlen(s);
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)s[i] < 0x20 || s[i] == 0x7f) s[i] = ' ';
    size_t lead = n;
    while (lead > 0 && n - lead < 4 && ((unsigned char)s[lead - 1] & 0xC0) == 0x80) lead--;
    if (lead == 0) return;
    unsigned char c = (unsigned char)s[lead - 1];
    size_t want = c >= 0xF0 ? 4 : c >= 0xE0 ? 3 : c >= 0xC0 ? 2 : 1;
    if (want > 1 && n - (lead - 1) < want) s[lead - 1] = '\0';
}

/* Format beside dst first: an argument may point into the error that is being written. */
static void format_into(char *dst, size_t cap, const char *fmt, va_list ap) {
    char tmp[sizeof((rung_error *)0)->detail];
    if (vsnprintf(tmp, cap < sizeof tmp ? cap : sizeof tmp, fmt, ap) < 0) tmp[0] = '\0';
    tidy(tmp);
    memcpy(dst, tmp, strlen(tmp) + 1);
}

static rung_status fail_va(rung_error *err, rung_status code, const char *fmt, va_list ap) {
    if (!err) return code;
    char what[sizeof err->what];
    format_into(what, sizeof what, fmt, ap);
    *err = (rung_error)RUNG_ERROR_INIT;
    err->code = code;
    memcpy(err->what, what, sizeof what);
    return code;
}

rung_status rung_fail(rung_error *err, rung_status code, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    fail_va(err, code, fmt, ap);
    va_end(ap);
    return code;
}

rung_status rung_error_detail(rung_error *err, const char *fmt, ...) {
    if (!err) return RUNG_E_INVAL;
    va_list ap;
    va_start(ap, fmt);
    format_into(err->detail, sizeof err->detail, fmt, ap);
    va_end(ap);
    return err->code;
}

rung_status rung_error_hint(rung_error *err, const char *fmt, ...) {
    if (!err) return RUNG_E_INVAL;
    va_list ap;
    va_start(ap, fmt);
    format_into(err->hint, sizeof err->hint, fmt, ap);
    va_end(ap);
    return err->code;
}

static rung_status status_of_errno(int e) {
    switch (e) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG: return RUNG_E_FULL;
    case ENOMEM: return RUNG_E_NOMEM;
    case ENOENT: return RUNG_E_NOT_FOUND;
    default: return RUNG_E_IO;
    }
}

rung_status rung_fail_errno(rung_error *err, const char *fmt, ...) {
    int e = errno;
    rung_status code = status_of_errno(e);
    char text[96], what[sizeof((rung_error *)0)->what];
    va_list ap;
    va_start(ap, fmt);
    if (vsnprintf(what, sizeof what, fmt, ap) < 0) what[0] = '\0';
    va_end(ap);
    /* A long path must not push the reason off the end of the line. */
    const char *reason = strerror_r(e, text, sizeof text);
    size_t room = sizeof what - 3 - (strlen(reason) < 100 ? strlen(reason) : 100);
    rung_fail(err, code, "%.*s: %s", (int)room, what, reason);
    if (code == RUNG_E_FULL)
        rung_error_hint(err, "free some space or write elsewhere; what was there is kept");
    errno = e;
    return code;
}
