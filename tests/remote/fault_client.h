/* Starts tests/remote/fault_server.py for a test program and asks it things. Test-only. */
#ifndef RUNG_TEST_FAULT_CLIENT_H
#define RUNG_TEST_FAULT_CLIENT_H
#include <curl/curl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <yyjson.h>

#include <cmocka.h>

static pid_t fault_pid;
static int fault_in = -1, fault_port;

static bool fault_start(void) {
    int in[2], out[2];
    if (pipe(in) || pipe(out)) return false;
    signal(SIGPIPE, SIG_IGN);
    fault_pid = fork();
    if (fault_pid == 0) {
        dup2(in[0], 0);
        dup2(out[1], 1);
        close(in[1]);
        close(out[0]);
        execlp("python3", "python3", RUNG_SOURCE_DIR "/tests/remote/fault_server.py", (char *)NULL);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    fault_in = in[1];
    FILE *f = fdopen(out[0], "r");
    bool ok = f && fscanf(f, "%d", &fault_port) == 1;
    if (f) fclose(f);
    if (!ok) print_message("SKIPPED: python3 is not there, no fault server\n");
    return ok;
}

static void fault_stop(void) {
    close(fault_in);
    waitpid(fault_pid, NULL, 0);
}

#define NEED_SERVER()                                                                              \
    do {                                                                                           \
        if (!fault_port) skip();                                                                   \
    } while (0)

static const char *fault_url(const char *mode) {
    static char buf[8][160];
    static int at;
    char *b = buf[at++ % 8];
    snprintf(b, sizeof buf[0], "http://127.0.0.1:%d/%s/v1", fault_port, mode);
    return b;
}

static size_t fault_append(char *data, size_t size, size_t n, void *ud) {
    char *to = ud;
    size_t have = strlen(to), k = size * n;
    if (have + k < 4096) memcpy(to + have, data, k), to[have + k] = 0;
    return k;
}

/* GET /PATH as JSON: a number at key, in the object `in` when that is not NULL; -1 absent. */
static inline int fault_number(const char *path, const char *in, const char *key) {
    char url[200], text[4096] = "";
    snprintf(url, sizeof url, "http://127.0.0.1:%d/%s", fault_port, path);
    CURL *c = curl_easy_init();
    curl_easy_setopt(c, CURLOPT_URL, url);
    curl_easy_setopt(c, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, fault_append);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, (void *)text);
    assert_int_equal(curl_easy_perform(c), CURLE_OK);
    curl_easy_cleanup(c);
    yyjson_doc *d = yyjson_read(text, strlen(text), 0);
    yyjson_val *root = yyjson_doc_get_root(d);
    if (in) root = yyjson_obj_get(root, in);
    yyjson_val *v = yyjson_obj_get(root, key);
    int n = v ? yyjson_get_int(v) : -1;
    yyjson_doc_free(d);
    return n;
}

static inline int fault_stat(const char *prefix, const char *in, const char *key) {
    char path[160];
    snprintf(path, sizeof path, "stats/%s", prefix);
    return fault_number(path, in, key);
}
#endif
