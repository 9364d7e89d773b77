/* Whole files in and out, and what a failed write leaves behind. */
#include "rung/base.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64];

static const char *in_folder(const char *name) {
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static int setup(void **state) {
    (void)state;
    strcpy(folder, "/tmp/rung_file_XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int n_entries(void) {
    DIR *d = opendir(folder);
    int n = 0;
    for (struct dirent *e; (e = readdir(d));) n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

static int teardown(void **state) {
    (void)state;
    char cmd[128];
    snprintf(cmd, sizeof cmd, "rm -rf '%s'", folder);
    return system(cmd);
}

static void check_content(const char *path, const char *want) {
    rung_error e = RUNG_ERROR_INIT;
    rung_buf b;
    rung_buf_init(&b, 0);
    assert_int_equal(rung_file_read(&b, path, &e), RUNG_OK);
    assert_string_equal(b.data, want);
    rung_buf_clear(&b);
}

static void write_then_read(void **state) {
    (void)state;
    rung_error e = RUNG_ERROR_INIT;
    const char *path = in_folder("a");
    assert_int_equal(rung_file_write(path, "one", 3, &e), RUNG_OK);
    check_content(path, "one");
    assert_int_equal(chmod(path, 0640), 0);
    assert_int_equal(rung_file_write(path, "two!", 4, &e), RUNG_OK);
    check_content(path, "two!");
    struct stat sb;
    assert_int_equal(stat(path, &sb), 0);
    assert_int_equal(sb.st_mode & 0777, 0640); /* the old file's mode */
    assert_int_equal(rung_file_write(path, "", 0, &e), RUNG_OK);
    check_content(path, "");
    assert_int_equal(n_entries(), 1); /* no temporary file is left */
    assert_int_equal(unlink(path), 0);
}

static void link_keeps_pointing(void **state) {
    (void)state;
    rung_error e = RUNG_ERROR_INIT;
    char target[128], link_path[128];
    strcpy(target, in_folder("target"));
    strcpy(link_path, in_folder("link"));
    assert_int_equal(rung_file_write(target, "old", 3, &e), RUNG_OK);
    assert_int_equal(symlink(target, link_path), 0);
    assert_int_equal(rung_file_write(link_path, "new", 3, &e), RUNG_OK);
    check_content(target, "new");
    struct stat sb;
    assert_int_equal(lstat(link_path, &sb), 0);
    assert_true(S_ISLNK(sb.st_mode));
    unlink(target);
    unlink(link_path);
}

static void errors_name_the_file(void **state) {
    (void)state;
    rung_error e = RUNG_ERROR_INIT;
    rung_buf b;
    rung_buf_init(&b, 4);
    assert_int_equal(rung_file_read(&b, "/tmp/rung/no/such", &e), RUNG_E_NOT_FOUND);
    assert_non_null(strstr(e.what, "/tmp/rung/no/such"));
    assert_int_equal(rung_file_read(&b, folder, &e), RUNG_E_IO); /* a folder */
    const char *path = in_folder("long");
    assert_int_equal(rung_file_write(path, "12345", 5, &e), RUNG_OK);
    assert_int_equal(rung_file_read(&b, path, &e), RUNG_E_LIMIT);
    rung_buf_clear(&b);
    unlink(path);
    assert_int_equal(rung_file_write(in_folder("no/such"), "x", 1, &e), RUNG_E_IO);
    assert_int_equal(rung_file_write(folder, "x", 1, &e), RUNG_E_IO);
    assert_int_equal(rung_file_write("/dev/null", "x", 1, &e), RUNG_OK);
    assert_int_equal(rung_file_write("/dev/full", "x", 1, &e), RUNG_E_FULL);
    assert_true(strlen(e.hint) > 0);
}

/* In a child, so that the limit does not stay. */
static void size_limit_keeps_the_old_file(void **state) {
    (void)state;
    rung_error e = RUNG_ERROR_INIT;
    const char *path = in_folder("kept");
    assert_int_equal(rung_file_write(path, "precious", 8, &e), RUNG_OK);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        static char big[65536];
        signal(SIGXFSZ, SIG_IGN);
        struct rlimit lim = {4096, 4096};
        if (setrlimit(RLIMIT_FSIZE, &lim) != 0) _exit(9);
        rung_status st = rung_file_write(path, big, sizeof big, &e);
        _exit(st == RUNG_E_FULL && e.hint[0] ? 0 : 1);
    }
    int status = -1;
    waitpid(pid, &status, 0);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    check_content(path, "precious");
    assert_int_equal(n_entries(), 1);
    unlink(path);
}

static void every_allocation_may_fail(void **state) {
    (void)state;
    rung_error e = RUNG_ERROR_INIT;
    const char *path = in_folder("oom");
    assert_int_equal(rung_file_write(path, "keep", 4, &e), RUNG_OK);
    int n = 1;
    for (;; n++) {
        rung_alloc_fail_after(n);
        rung_status st = rung_file_write(path, "done", 4, &e);
        rung_alloc_fail_after(0);
        if (st == RUNG_OK) break;
        assert_int_equal(st, RUNG_E_NOMEM);
        assert_int_equal(n_entries(), 1);
        assert_true(n < 50);
    }
    assert_true(n > 1);
    check_content(path, "done");
    char hex[33];
    rung_alloc_fail_after(1);
    assert_int_equal(rung_hash_file(hex, path, &e), RUNG_E_NOMEM);
    rung_alloc_fail_after(0);
    unlink(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(write_then_read),
        cmocka_unit_test(link_keeps_pointing),
        cmocka_unit_test(errors_name_the_file),
        cmocka_unit_test(size_limit_keeps_the_old_file),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
