/* All heap memory of librung passes here, so that tests can make the nth allocation fail. */
#include "rung/base.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* 0 = off; k > 0 = the kth allocation from now fails; -1 = every one fails. */
static _Atomic int64_t fail_in;

static bool must_fail(void) {
    int64_t left = atomic_load_explicit(&fail_in, memory_order_relaxed);
    while (left != 0) {
        if (left < 0) return true;
        int64_t next = left == 1 ? -1 : left - 1;
        if (atomic_compare_exchange_weak(&fail_in, &left, next)) return next == -1;
    }
    return false;
}

void rung_alloc_fail_after(int64_t nth) {
    atomic_store(&fail_in, nth > 0 ? nth : 0);
}

void *rung_alloc(size_t n_bytes) {
    if (must_fail()) return NULL;
    return malloc(n_bytes ? n_bytes : 1);
}

void *rung_calloc(size_t n, size_t size) {
    if (must_fail()) return NULL;
    if (size != 0 && n > SIZE_MAX / size) return NULL;
    return n && size ? calloc(n, size) : calloc(1, 1);
}

void *rung_realloc(void *p, size_t n_bytes) {
    if (must_fail()) return NULL;
    return realloc(p, n_bytes ? n_bytes : 1);
}

char *rung_strndup(const char *s, size_t n) {
    if (n == SIZE_MAX) return NULL;
    char *copy = rung_alloc(n + 1);
    if (!copy) return NULL;
    if (n) memcpy(copy, s, n);
    copy[n] = '\0';
    return copy;
}

char *rung_strdup(const char *s) {
    return s ? rung_strndup(s, strlen(s)) : NULL;
}

void rung_free(void *p) {
    free(p);
}
