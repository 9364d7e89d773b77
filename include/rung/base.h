/* rung/base.h: status codes, the caller's error object, memory.
 *
 * Every fallible function returns a rung_status and fills the caller's rung_error (NULL is
 * allowed). Argument order everywhere: outputs, object, inputs, options, rung_error *err. The
 * library never exits, prints or aborts. */
#ifndef RUNG_BASE_H
#define RUNG_BASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifndef RUNG_VERSION
#define RUNG_VERSION "0.1.0" /* = project(VERSION) */
#endif

#if defined(__GNUC__)
#define RUNG_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define RUNG_MUST_USE          __attribute__((warn_unused_result))
#else
#define RUNG_PRINTF(fmt, args)
#define RUNG_MUST_USE
#endif

/* name, value (never renumbered), exit code of the command, text */
#define RUNG_STATUSES(X)                                                                           \
    X(OK, 0, 0, "ok")                                                                              \
    X(DONE, 1, 0, "no more rows")                                                                  \
    X(E_NOMEM, -1, 4, "out of memory")                                                             \
    X(E_INVAL, -2, 2, "invalid argument")                                                          \
    X(E_MISUSE, -3, 2, "call out of order")                                                        \
    X(E_IO, -4, 4, "input or output failed")                                                       \
    X(E_FULL, -5, 4, "disk full or file size limit")                                               \
    X(E_FORMAT, -6, 3, "bad input")                                                                \
    X(E_STORE, -7, 4, "store failed")                                                              \
    X(E_BUSY, -8, 4, "store is locked by another process")                                         \
    X(E_MODEL, -9, 5, "model failed")                                                              \
    X(E_REMOTE, -10, 5, "remote endpoint failed")                                                  \
    X(E_LIMIT, -11, 3, "a limit was exceeded")                                                     \
    X(E_CANCELLED, -12, 6, "cancelled, resumable")                                                 \
    X(E_NOT_FOUND, -13, 3, "not found")                                                            \
    X(E_NOT_BUILT, -14, 4, "not built in")                                                         \
    X(E_MISMATCH, -15, 5, "does not belong together")                                              \
    X(E_ANSWER_NO, -16, 1, "ran, the answer is no")                                                \
    X(E_SANDBOX, -17, 4, "no sandbox to run code in")

typedef enum rung_status {
#define X(name, value, exit_code, text) RUNG_##name = value,
    RUNG_STATUSES(X)
#undef X
} rung_status;

const char *rung_status_name(rung_status st); /* "RUNG_E_IO"; "RUNG_?" when unknown */
const char *rung_status_text(rung_status st);
int rung_status_exit_code(
    rung_status st); /* 0 done 1 no 2 usage 3 input 4 system 5 model 6 partial */

typedef struct rung_error {
    rung_status code;
    char what[240]; /* one line, lower case, no period: could not open store "runs.db": disk full */
    char detail[320];   /* SQL, syscall, shapes */
    char hint[240];     /* what to do next */
    int64_t problem_id; /* -1 when the failure is not about a record */
    int32_t rollout, step;
} rung_error;
#define RUNG_ERROR_INIT                                                                            \
    { RUNG_OK, "", "", "", -1, -1, -1 }

/* Set code and what (truncated, never overflows), clear the rest; return code.  err may be NULL. */
rung_status rung_fail(rung_error *err, rung_status code, const char *fmt, ...) RUNG_PRINTF(3, 4);
/* Add to an error that is already set; both return err->code (E_INVAL when err is NULL). */
rung_status rung_error_detail(rung_error *err, const char *fmt, ...) RUNG_PRINTF(2, 3);
rung_status rung_error_hint(rung_error *err, const char *fmt, ...) RUNG_PRINTF(2, 3);
/* code from errno: ENOSPC, EDQUOT and EFBIG give E_FULL, ENOMEM E_NOMEM, ENOENT E_NOT_FOUND, else
 * E_IO; appends strerror. */
rung_status rung_fail_errno(rung_error *err, const char *fmt, ...) RUNG_PRINTF(2, 3);

/* Return early with the callee's status; needs no cleanup. */
#define RUNG_TRY(expr)                                                                             \
    do {                                                                                           \
        rung_status rung_try_st_ = (expr);                                                         \
        if (rung_try_st_ != RUNG_OK) return rung_try_st_;                                          \
    } while (0)
/* The same with a single out: label and a local `st`. */
#define RUNG_GOTO(expr)                                                                            \
    do {                                                                                           \
        st = (expr);                                                                               \
        if (st != RUNG_OK) goto out;                                                               \
    } while (0)

/* All heap memory of librung. NULL on failure; rung_free(NULL) is a no-op. */
void *rung_alloc(size_t n_bytes);
void *rung_calloc(size_t n, size_t size); /* zeroed; NULL on overflow */
void *rung_realloc(void *p, size_t n_bytes);
char *rung_strdup(const char *s);
char *rung_strndup(const char *s, size_t n);
void rung_free(void *p);
/* Tests: the nth allocation from now fails (and all later ones); 0 turns it off. */
void rung_alloc_fail_after(int64_t nth);

/* Arena: many small allocations, one free. Debug builds make each a single malloc so that ASan sees
 * it. */
typedef struct rung_arena rung_arena;
rung_arena *rung_arena_new(size_t max_bytes); /* 0 = 1 GiB; NULL on failure */
void *rung_arena_alloc(rung_arena *a,
                       size_t n_bytes); /* 16-byte aligned, zeroed; NULL when over max */
char *rung_arena_strndup(rung_arena *a, const char *s, size_t n);
void rung_arena_reset(rung_arena *a); /* everything gone, memory kept */
void rung_arena_free(rung_arena *a);

/* Growable bytes with a declared cap. Always NUL-terminated at data[n] once anything was appended.
 * A failed append sets `failed` and all later appends are no-ops, so check once at the end. */
typedef struct rung_buf {
    char *data;
    size_t n, cap, max;
    bool failed, over; /* over: because of the cap, not of memory */
} rung_buf;
void rung_buf_init(rung_buf *b, size_t max_bytes); /* 0 = 1 GiB */
void rung_buf_clear(rung_buf *b);                  /* frees; usable again */
void rung_buf_reset(rung_buf *b);                  /* n = 0, memory kept */
void rung_buf_append(rung_buf *b, const void *p, size_t n);
void rung_buf_str(rung_buf *b, const char *s);
void rung_buf_printf(rung_buf *b, const char *fmt, ...) RUNG_PRINTF(2, 3);
void rung_buf_json_str(rung_buf *b, const char *s,
                       size_t n);            /* quoted, escaped, invalid UTF-8 -> U+FFFD */
char *rung_buf_take(rung_buf *b, size_t *n); /* yours: rung_free() it; b is empty. NULL if failed */
rung_status rung_buf_check(const rung_buf *b, rung_error *err); /* E_NOMEM / E_LIMIT when failed */

/* Hash of bytes as 32 lower-case hex digits + NUL (XXH3, 128 bits). */
void rung_hash_hex(char out[33], const void *p, size_t n);
uint64_t rung_hash64(const void *p, size_t n, uint64_t seed);
rung_status rung_hash_file(char out[33], const char *path, rung_error *err);

/* Whole file into b (cap of b applies). "-" is stdin. */
rung_status rung_file_read(rung_buf *b, const char *path, rung_error *err);
/* Bytes that take the place of path when they are whole: a file without a name beside it (a temp
 * file where there are none), fsync, rename, fsync of the folder. The old file stays on any failure
 * or kill. A pipe or a device is written in place; "-" is standard output. A program must ignore
 * SIGXFSZ, or the size limit kills it before E_FULL can be returned. */
typedef struct rung_out rung_out;
rung_status rung_out_open(rung_out **out, const char *path, rung_error *err);
rung_status rung_out_write(rung_out *w, const void *p, size_t n, rung_error *err);
rung_status rung_out_commit(rung_out *w, rung_error *err); /* frees w, whatever comes of it */
void rung_out_discard(rung_out *w);                        /* NULL is fine */
/* The same in one go. */
rung_status rung_file_write(const char *path, const void *p, size_t n, rung_error *err);

double rung_now(void);      /* monotonic seconds */
double rung_cpu_now(void);  /* CPU seconds of all threads of this process so far */
int64_t rung_unix_ms(void); /* wall clock */
int rung_n_cores(void);     /* usable by this process; OMP_NUM_THREADS lowers it */

#ifdef __cplusplus
}
#endif
#endif
