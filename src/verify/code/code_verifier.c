/* The row `code` of the table of verifiers: the answer of a trace is a program, judged by the tests
 * of the problem's meta in the sandbox. Without a sandbox or without tests nothing is wrong. */
#include "verify/code/code_verifier.h"
#include "base/json.h"
#include "rung/code.h"
#include "verify/answer.h"
#include <pthread.h>
#include <stdio.h>
#include <string.h>

/* ---- extraction ---- */

typedef struct span {
    const char *p;
    size_t n;
} span;

/* The first line may be indented (HumanEval's completions are bodies): only whole blank lines go.
 */
static span without_blank_lines(span s) {
    for (;;) {
        const char *nl = memchr(s.p, '\n', s.n);
        size_t n = nl ? (size_t)(nl - s.p) : s.n, k = 0;
        while (k < n && (unsigned char)s.p[k] <= ' ') k++;
        if (!nl || k < n) break;
        s.n -= n + 1;
        s.p += n + 1;
    }
    while (s.n > 0 && (unsigned char)s.p[s.n - 1] <= ' ') s.n--;
    return s;
}

static bool fire(rung_answer *out, const char *rule, bool flexible, span s) {
    s = without_blank_lines(s);
    if (s.n == 0) return false;
    out->rule = rule;
    out->flexible = flexible;
    if (s.n >= sizeof out->text || memchr(s.p, '\0', s.n)) return true; /* none, rule kept */
    memcpy(out->text, s.p, s.n);
    out->text[s.n] = '\0';
    return true;
}

/* The block that the line at s.p opens; its inside, and the bytes up to behind its closing line. */
static bool block_at(span s, span *inside, size_t *end) {
    const char *nl = memchr(s.p, '\n', s.n);
    if (s.n < 3 || memcmp(s.p, "```", 3) != 0 || !nl) return false;
    size_t begin = (size_t)(nl - s.p) + 1;
    for (size_t i = begin; i < s.n;) {
        const char *next = memchr(s.p + i, '\n', s.n - i);
        size_t n = next ? (size_t)(next - s.p) - i : s.n - i;
        size_t k = 3;
        while (k < n && (unsigned char)s.p[i + k] <= ' ') k++;
        if (n >= 3 && k == n && memcmp(s.p + i, "```", 3) == 0) {
            *inside = (span){s.p + begin, i - begin};
            *end = i + n;
            return true;
        }
        i += n + 1;
    }
    return false;
}

/* The last closed block of three back-quotes, whatever its language; a block that is never closed
 * was cut. No block at all: the whole text is the program. */
void extract_code(rung_answer *out, const char *text, size_t n) {
    span s = {text ? text : "", text ? n : 0}, last = {NULL, 0};
    bool any = false;
    *out = (rung_answer){.rule = ""};
    for (size_t i = 0; i < s.n;) {
        span inside, rest = {s.p + i, s.n - i};
        size_t end;
        if (block_at(rest, &inside, &end)) {
            last = inside;
            i += end;
        }
        any |= rest.n >= 3 && memcmp(rest.p, "```", 3) == 0;
        if (any && !last.p) break; /* opened, never closed: none behind it is either */
        const char *nl = i < s.n ? memchr(s.p + i, '\n', s.n - i) : NULL;
        if (!nl) break;
        i = (size_t)(nl - s.p) + 1;
    }
    if (last.p)
        (void)fire(out, "fence", false, last);
    else if (!any)
        (void)fire(out, "whole", true, s);
}

/* ---- the class of a program: its text, but for blanks at line ends and empty lines ---- */

void key_code(char key[128], const char *answer) {
    rung_buf b;
    char hex[33];
    key[0] = '\0';
    rung_buf_init(&b, 1 << 20);
    for (const char *p = answer ? answer : ""; *p;) {
        size_t n = strcspn(p, "\n"), k = n;
        while (k > 0 && (unsigned char)p[k - 1] <= ' ') k--;
        if (k > 0) {
            rung_buf_append(&b, p, k);
            rung_buf_str(&b, "\n");
        }
        p += n + (p[n] == '\n');
    }
    if (!b.failed && b.n > 0) {
        rung_hash_hex(hex, b.data, b.n);
        snprintf(key, 128, "p:%s", hex);
    }
    rung_buf_clear(&b);
}

void key_code_in(char key[128], const char *meta, const char *answer) {
    (void)meta;
    key_code(key, answer);
}

void check_code(rung_check *out, const char *gold, const char *answer) {
    char a[128], b[128];
    key_code(a, gold);
    key_code(b, answer);
    if (!b[0])
        check_set(out, RUNG_VERDICT_UNKNOWN, "", "no answer");
    else if (a[0] && strcmp(a, b) == 0)
        check_set(out, RUNG_VERDICT_CORRECT, "text", "");
    else
        check_set(out, RUNG_VERDICT_UNKNOWN, "", "no tests to run it on");
}

/* ---- with the problem's tests; one sandbox for all threads, one program at a time ---- */

static pthread_mutex_t shared_lock = PTHREAD_MUTEX_INITIALIZER;
static rung_sandbox *shared;
static bool cannot; /* no sandbox can be had here: it is not tried again */

static rung_status run_it(rung_code_result *r, const rung_code_job *job) {
    rung_error err = RUNG_ERROR_INIT;
    rung_sandbox_opts o = RUNG_SANDBOX_OPTS_INIT;
    rung_status st = RUNG_OK;
    o.n_boxes = 1;
    pthread_mutex_lock(&shared_lock);
    if (!shared) st = cannot ? RUNG_E_SANDBOX : rung_sandbox_new(&shared, &o, &err);
    cannot |= st == RUNG_E_SANDBOX;
    if (st == RUNG_OK) st = rung_code_check(r, shared, job, &err);
    pthread_mutex_unlock(&shared_lock);
    return st;
}

void check_code_in(rung_check *out, const char *meta, const char *gold, const char *answer) {
    rung_error err = RUNG_ERROR_INIT;
    rung_code_job job;
    rung_code_result r = {0};
    const char *m = meta ? meta : "";
    (void)gold;
    if (!answer || !answer[0]) {
        check_set(out, RUNG_VERDICT_UNKNOWN, "", "no answer");
        return;
    }
    rung_arena *a = rung_arena_new(0);
    if (!a) {
        check_set(out, RUNG_VERDICT_UNKNOWN, "", "no memory");
        return;
    }
    rung_status st = rung_code_job_with(&job, a, m, strlen(m), answer, &err);
    if (st != RUNG_OK) {
        check_set(out, RUNG_VERDICT_UNKNOWN, "", "no tests to run it on");
    } else if ((st = run_it(&r, &job)) != RUNG_OK) {
        check_set(out, RUNG_VERDICT_UNKNOWN, "",
                  st == RUNG_E_SANDBOX ? "no sandbox" : "sandbox failed");
    } else if (r.verdict == RUNG_VERDICT_UNKNOWN) {
        check_set(out, r.verdict, "", rung_code_reason_text(r.reason));
    } else {
        check_set(out, r.verdict, "tests",
                  r.verdict == RUNG_VERDICT_WRONG ? rung_code_reason_text(r.reason) : "");
    }
    rung_code_result_clear(&r);
    rung_arena_free(a);
}
