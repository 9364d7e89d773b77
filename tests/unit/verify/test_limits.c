/* The weaker mode that a user may name (no namespaces): what still holds, and control groups. */
#define SANDBOX_MODE RUNG_SANDBOX_LIMITS
#include "sandbox_test.h"
#include <sys/stat.h>
#include <unistd.h>

static const rung_code_limits small = {.wall_s = 3,
                                       .cpu_s = 2,
                                       .memory = 128u << 20,
                                       .output = 65536,
                                       .tmp = 8u << 20,
                                       .processes = 16};

static void held(const char *program) {
    one_test(program, case_of("", "held\n"), &small, RUNG_CODE_PASSED, NULL);
}

static void says_so(void **state) {
    NEED_SANDBOX
    assert_non_null(strstr(rung_sandbox_describe_view(sandbox), "no namespaces, seccomp"));
}

static void reasons(void **state) {
    NEED_SANDBOX
    static const char *const f = "def f(x):\n    return x * 2\n";
    one_test("a, b = map(int, input().split())\nprint(a + b)", case_of("2 3", "5"), &small,
             RUNG_CODE_PASSED, NULL);
    one_test("print(", case_of("", ""), &small, RUNG_CODE_COMPILE, NULL);
    one_test("1/0", case_of("", ""), &small, RUNG_CODE_EXCEPTION, "ZeroDivision");
    one_test("print(1)", case_of("", "2"), &small, RUNG_CODE_OUTPUT, NULL);
    one_test("while True: pass", case_of("", ""), &small, RUNG_CODE_TIME, NULL);
    one_test("import time; time.sleep(60)", case_of("", ""), &small, RUNG_CODE_TIME, NULL);
    one_test("x = 'a' * (1 << 30)", case_of("", ""), &small, RUNG_CODE_MEMORY, NULL);
    one_test("while True: print('x' * 4096)", case_of("", ""), &small, RUNG_CODE_FLOOD, NULL);
    one_test("import os; os.kill(os.getpid(), 11)", case_of("", ""), &small, RUNG_CODE_KILLED,
             NULL);
    one_test(f, assert_of("assert f(2) == 4"), &small, RUNG_CODE_PASSED, NULL);
    one_test(f, assert_of("assert f(2) == 5"), &small, RUNG_CODE_OUTPUT, NULL);
    one_test(f, call_of("[3]", "6"), &small, RUNG_CODE_PASSED, NULL);
    one_test("def f(x):\n    while True: pass", assert_of("f(2)"), &small, RUNG_CODE_TIME, NULL);
    one_test("import os\ndef f(x): os._exit(0)", assert_of("f(2)"), &small, RUNG_CODE_EXCEPTION,
             NULL);
}

/* seccomp, rlimits, the dropped rights and (where the kernel has it) Landlock need no namespace. */
static void walls(void **state) {
    NEED_SANDBOX
    held("import socket\nmade = []\nfor f in (2, 10, 16, 17):\n    for t in (1, 2, 3):\n"
         "        try: socket.socket(f, t); made.append(f)\n        except OSError: pass\n"
         "print(made or 'held')");
    held("import ctypes\nlibc = ctypes.CDLL(None)\n"
         "print('held' if libc.ptrace(16, 1, 0, 0) == -1 and libc.unshare(0x10000000) == -1 and "
         "libc.syscall(425, 4, 0) == -1 else 'through')");
    held("import os\nprint('held' if os.getuid() != 0 and os.environ.get('HOME') == '/nonexistent' "
         "else (os.getuid(), os.environ))");
    held("import os\nn = 0\ntry:\n    while n < 500:\n        if os.fork() == 0:\n"
         "            import time; time.sleep(30)\n        n += 1\nexcept OSError: pass\n"
         "print('held' if n < 40 else n)");
    if (!strstr(rung_sandbox_describe_view(sandbox), "no landlock"))
        held("wrote = []\nfor d in ('/', '/usr', '/etc', '/tmp', '/var/tmp', '/dev/shm'):\n"
             "    try: open(d + '/rung-x', 'w'); wrote.append(d)\n    except OSError: pass\n"
             "print(wrote or 'held')");
}

/* What a program leaves running does not outlive it. */
static void leftovers(void **state) {
    NEED_SANDBOX
    char path[] = "/tmp/rung-left-XXXXXX", program[600];
    struct stat st;
    assert_non_null(mkdtemp(path));
    assert_int_equal(chmod(path, 0777), 0);
    snprintf(program, sizeof program,
             "import os, time\nif os.fork() == 0:\n    os.setsid()\n    os.close(1); os.close(2)\n"
             "    time.sleep(2.5)\n    open('%s/x', 'w')\n    os._exit(0)\nprint('held')",
             path);
    held(program);
    sleep(3);
    char file[64];
    snprintf(file, sizeof file, "%s/x", path);
    assert_int_not_equal(stat(file, &st), 0);
    assert_int_equal(rmdir(path), 0);
}

/* Many processes, each below its own limit: only a group counts them together here. */
static void together(void **state) {
    NEED_SANDBOX
    if (!strstr(rung_sandbox_describe_view(sandbox), "cgroup")) {
        print_message("SKIPPED: this user may make no control group\n");
        skip();
    }
    one_test("import os, time\nfor i in range(12):\n    if os.fork() == 0:\n"
             "        x = bytearray(70 << 20)\n        time.sleep(9)\n        os._exit(0)\n"
             "for i in range(12):\n    s = os.wait()[1]\n"
             "    if s: os.kill(os.getpid(), 9)",
             case_of("", ""), &small, RUNG_CODE_MEMORY, "control group");
    held("print('held')");
}

static void sessions(void **state) {
    NEED_SANDBOX
    rung_error err = RUNG_ERROR_INIT;
    rung_code_session *s;
    rung_block_result r;
    assert_int_equal(rung_code_session_new(&s, sandbox, NULL, &err), RUNG_OK);
    assert_int_equal(rung_code_session_run(&r, s, "x = 6", 5, NULL, &err), RUNG_OK);
    assert_int_equal(rung_code_session_run(&r, s, "x * 7", 5, NULL, &err), RUNG_OK);
    assert_string_equal(r.value, "42");
    rung_code_session_free(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(says_so),   cmocka_unit_test(reasons),  cmocka_unit_test(walls),
        cmocka_unit_test(leftovers), cmocka_unit_test(together), cmocka_unit_test(sessions),
    };
    return cmocka_run_group_tests(tests, sandbox_open, sandbox_close);
}
