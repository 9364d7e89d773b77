/* The worker: opens one database, shuts every door behind itself, answers queries until its socket
 * ends. Descriptor 3 is the socket, 4 the seccomp filter that rung made. */
#include "verify/sql/frame.h"
#include "verify/sql/guard.h"
#include <errno.h>
#include <grp.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { FD_SOCKET = 3, FD_FILTER, FD_REST, FILTER_MAX = 4096, NOBODY = 65534 };
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SANITIZED = 1 }; /* their shadow memory wants all of the address space */
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif
#else
enum { SANITIZED = 0 };
#endif

static bool receive(void *to, size_t n) {
    char *at = to;
    while (n > 0) {
        ssize_t k = read(FD_SOCKET, at, n);
        if (k < 0 && errno == EINTR) continue;
        if (k <= 0) return false;
        at += k;
        n -= (size_t)k;
    }
    return true;
}

/* A message: its head and the text behind it; NULL: the end. The caller frees. */
static char *ask(frame_ask *head, size_t *n_text) {
    uint32_t n;
    if (!receive(&n, sizeof n) || n < sizeof *head || n > FRAME_BYTES_MAX) return NULL;
    if (!receive(head, sizeof *head)) return NULL;
    *n_text = n - sizeof *head;
    char *text = rung_alloc(*n_text + 1);
    if (!text || !receive(text, *n_text)) {
        rung_free(text);
        return NULL;
    }
    text[*n_text] = '\0';
    return text;
}

static void limit(int what, rlim_t v) {
    struct rlimit r = {v, v};
    (void)setrlimit((__rlimit_resource_t)what, &r);
}

/* From here on: no file, no process, no other user's rights. */
static const char *shut_doors(int64_t memory) {
    static struct sock_filter rules[FILTER_MAX];
    ssize_t n = read(FD_FILTER, rules, sizeof rules);
    close(FD_FILTER);
    if (n <= 0 || (size_t)n % sizeof *rules != 0) return "no seccomp filter";
    if (getuid() == 0 && (setgroups(0, NULL) != 0 || setresgid(NOBODY, NOBODY, NOBODY) != 0 ||
                          setresuid(NOBODY, NOBODY, NOBODY) != 0))
        return "giving up root";
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_FSIZE, 0);
    limit(RLIMIT_NPROC, 0);
    if (!SANITIZED) limit(RLIMIT_AS, (rlim_t)memory * 2 + ((rlim_t)1 << 30));
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return "no_new_privs";
    struct sock_fprog program = {(unsigned short)((size_t)n / sizeof *rules), rules};
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) != 0) return "seccomp";
    return NULL;
}

/* "" or what went wrong, as the answer to the first message. */
static bool say(const char *why) {
    return frame_send(FD_SOCKET, why, strlen(why));
}

static sql_guard *start(void) {
    frame_ask head;
    size_t n;
    char why[200] = "";
    char *text = ask(&head, &n);
    if (!text) return NULL;
    bool is_script = head.kind == 's';
    rung_sql_limits l = guard_limits(&head.limits);
    sql_guard *g = guard_open(is_script ? NULL : text, is_script ? text : NULL, &l, why);
    rung_free(text);
    const char *shut = g ? shut_doors(l.memory) : NULL;
    if (shut) {
        snprintf(why, sizeof why, "!%s: %s", shut, strerror(errno));
        guard_close(g);
        g = NULL;
    }
    if (!say(g ? "" : why)) _exit(1);
    return g;
}

int main(void) {
    (void)syscall(SYS_close_range, (unsigned)FD_REST, ~0u, 0);
    tzset();
    sql_guard *g = start();
    frame_ask head;
    char *text;
    size_t n;
    while (g && (text = ask(&head, &n)) != NULL) {
        rung_buf b;
        rung_buf_init(&b, FRAME_BYTES_MAX);
        guard_query(&b, g, text, n, &head.limits);
        bool sent = !b.failed && frame_send(FD_SOCKET, b.data, b.n);
        rung_buf_clear(&b);
        rung_free(text);
        if (!sent) break;
    }
    _exit(0); /* nothing to put in order: memory goes with the process */
}
