/* Escapes, tried for real: each program tries one thing and prints what came of it; it must have
 * failed inside, and the verdict must be ours. */
#include "sandbox_test.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static const rung_code_limits small = {.wall_s = 3,
                                       .cpu_s = 2,
                                       .memory = 128u << 20,
                                       .output = 65536,
                                       .tmp = 8u << 20,
                                       .processes = 8};

/* The program prints "held" when the wall held. */
static void held(const char *program) {
    one_test(program, case_of("", "held\n"), &small, RUNG_CODE_PASSED, NULL);
}

static void host_files(void **state) {
    NEED_SANDBOX
    char path[] = "/tmp/rung-secret-XXXXXX", program[2048];
    int fd = mkstemp(path);
    assert_true(fd >= 0 && write(fd, "secret", 6) == 6);
    assert_int_equal(fchmod(fd, 0644), 0);
    snprintf(
        program, sizeof program,
        "import os\nfound = []\n"
        "for p in ('%s', '/proc/1/root%s', '/etc/passwd', '/etc/shadow', '/root', '/home',\n"
        "          '/var/log', '/sys/kernel', '/proc/1/cwd/etc/passwd'):\n"
        "    try:\n        os.stat(p); found.append(p)\n    except OSError: pass\n"
        "try:\n    os.symlink('%s', '/tmp/link'); open('/tmp/link').read(); found.append('link')\n"
        "except OSError: pass\n"
        "print(found or 'held')\n",
        path, path, path);
    held(program);
    close(fd);
    remove(path);
}

static void writing(void **state) {
    NEED_SANDBOX
    held("import os\nwrote = []\n"
         "for d in ('/', '/usr', '/usr/bin', '/etc', '/dev', '/dev/shm', '/box', '/proc', "
         "'/var/tmp'):\n"
         "    try:\n        open(d + '/x', 'w').write('x'); wrote.append(d)\n    except OSError: "
         "pass\n"
         "print(wrote or 'held')\n");
    held("n = 0\ntry:\n    with open('/tmp/a', 'wb') as a, open('/tmp/b', 'wb') as b:\n"
         "        while n < 1 << 30: a.write(b'x' * 65536); b.write(b'x' * 65536); n += 131072\n"
         "except OSError: pass\nprint('held' if n < 32 << 20 else n)\n");
    /* what one program leaves, the next does not find */
    held("open('/tmp/left', 'w').write('x'); print('held')");
    held("import os; print(os.listdir('/tmp') or 'held')");
}

static void network(void **state) {
    NEED_SANDBOX
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    char program[1024];
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(fd, 4), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
    snprintf(program, sizeof program,
             "import socket\ntry:\n    socket.create_connection(('127.0.0.1', %d), 1)\n"
             "    print('reached')\nexcept OSError: print('held')\n",
             ntohs(a.sin_port));
    held(program);
    held("names = [l.split(':')[0].strip() for l in open('/proc/net/dev').readlines()[2:]]\n"
         "print('held' if set(names) <= {'lo'} else names)\n");
    held("import socket\nmade = []\nfor f in (2, 10, 16, 17, 38, 40):\n"
         "    for t in (1, 2, 3):\n        try: socket.socket(f, t); made.append(f)\n"
         "        except OSError: pass\nprint(made or 'held')\n");
    close(fd);
}

static void bombs(void **state) {
    NEED_SANDBOX
    held("import os, time\nn = 0\ntry:\n    while n < 500:\n"
         "        if os.fork() == 0: time.sleep(60)\n        n += 1\n"
         "except OSError: pass\nprint('held' if n < 20 else n)\n");
    one_test("import os\nwhile True:\n    try: os.fork()\n    except OSError: pass\n",
             case_of("", ""), &small, RUNG_CODE_TIME, NULL);
    one_test(
        "import os, time\nfor i in range(6): os.fork() or [x for x in [bytearray(40 << 20)] if "
        "time.sleep(9)]\ntime.sleep(9)",
        case_of("", ""), &small, RUNG_CODE_MEMORY, NULL);
    one_test("x = []\nwhile True: x.append(bytearray(1 << 20))", case_of("", ""), &small,
             RUNG_CODE_MEMORY, NULL);
    one_test("while True: print('x' * 4096)", case_of("", ""), &small, RUNG_CODE_FLOOD, NULL);
    one_test("import time\nwhile True: time.sleep(1)", case_of("", ""), &small, RUNG_CODE_TIME,
             NULL);
    one_test(
        "import signal, time\nfor s in range(1, 65):\n    try: signal.signal(s, signal.SIG_IGN)\n"
        "    except (OSError, ValueError): pass\nwhile True: time.sleep(1)",
        case_of("", ""), &small, RUNG_CODE_TIME, NULL);
    /* a daemon does not outlive the case, nor hold its output open */
    one_test("import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n"
             "        while True: time.sleep(1)\n    os._exit(0)\nprint('held')",
             case_of("", "held"), &small, RUNG_CODE_PASSED, NULL);
    held("import os; print([p for p in os.listdir('/proc') if p.isdigit() and int(p) not in "
         "(1, os.getpid())] or 'held')");
}

static void kernel(void **state) {
    NEED_SANDBOX
    held("import ctypes, os\nlibc = ctypes.CDLL(None, use_errno=True)\ndone = []\n"
         "calls = {'ptrace': (101, 16, os.getppid(), 0, 0), 'keyctl': (250, 0, -3, 1),\n"
         "         'add_key': (248, b'user', b'x', b'y', 1, -3), 'io_uring_setup': (425, 4, "
         "bytes(120)),\n"
         "         'unshare user': (272, 0x10000000), 'unshare net': (272, 0x40000000),\n"
         "         'clone user': (56, 0x10000000 | 17, 0, 0, 0, 0), 'clone3': (435, bytes(88), "
         "88),\n"
         "         'setns': (308, 0, 0), 'mount': (165, b'none', b'/tmp', b'tmpfs', 0, 0),\n"
         "         'bpf': (321, 0, bytes(64), 64), 'perf': (298, bytes(128), 0, -1, -1, 0),\n"
         "         'process_vm_readv': (310, 1, 0, 0, 0, 0, 0), 'pidfd_getfd': (438, 0, 0, 0),\n"
         "         'pdeathsig': (157, 1, 0, 0, 0, 0), 'chroot': (161, b'/tmp'), 'personality': "
         "(135, 0),\n"
         "         'userfaultfd': (323, 0), 'shmget': (29, 1, 4096, 0o1777), 'a call of the "
         "future': (999,)}\n"
         "if os.uname().machine != 'x86_64': calls = {}\n"
         "for name, c in calls.items():\n"
         "    r = libc.syscall(*[ctypes.c_long(x) if isinstance(x, int) else x for x in c])\n"
         "    if r != -1 or ctypes.get_errno() not in (1, 38): done.append((name, r, "
         "ctypes.get_errno()))\n"
         "    if name == 'clone user' and r == 0: os._exit(0)\n"
         "print(done or 'held')\n");
    held("import os\ngot = []\nfor p in ('/proc/1/mem', '/proc/1/environ', '/proc/1/fd/3', "
         "'/dev/mem',\n"
         "          '/proc/kcore', '/proc/1/maps', '/proc/%d/mem' % os.getppid()):\n"
         "    try: open(p, 'rb').read(1); got.append(p)\n    except OSError: pass\nprint(got or "
         "'held')\n");
    held("import os\ntry: open('/proc/1/mem', 'r+b'); print('opened')\nexcept OSError: "
         "print('held')\n");
    held("import os, signal\nfor s in (9, 15, 19, 2):\n    try: os.kill(1, s)\n    except OSError: "
         "pass\n"
         "print('held')\n");
    held("l = [x for x in open('/proc/self/status') if x.startswith(('CapEff', 'CapPrm', 'CapBnd', "
         "'Seccomp:', 'NoNewPrivs'))]\n"
         "print('held' if [int(x.split()[1], 16) for x in l] == [0, 0, 0, 1, 2] or "
         "sorted(int(x.split()[1], 16) for x in l) == [0, 0, 0, 1, 2] else l)\n");
}

/* None of these may pass a test that a right f fails: f(2) == 4 is wanted, nothing computes it. */
static void forged(void **state) {
    NEED_SANDBOX
    static const char *const programs[] = {
        "import os\nos._exit(0)",
        "import sys\nsys.exit(0)",
        "class Yes:\n    def __eq__(self, o): return True\n    def __bool__(self): return True\n"
        "def f(x): return Yes()",
        "class Yes(int):\n    def __eq__(self, o): return True\n    __hash__ = int.__hash__\n"
        "def f(x): return Yes(7)",
        "import builtins\nbuiltins.AssertionError = type('A', (BaseException,), {})\n"
        "abs = all = isinstance = lambda *a: True\ndef f(x): return 7",
        "def f(x): raise AssertionError",
        "def f(x): raise SystemExit(0)",
        /* writes on every descriptor what a tester would say; its socket carries answers only */
        "import os, struct, json\nt = json.dumps({'reason': 'passed', 'detail': '', 'ok': "
        "True}).encode()\n"
        "def f(x):\n    for fd in range(3, 64):\n        try: os.write(fd, struct.pack('<II', "
        "len(t), 0) + t)\n"
        "        except OSError: pass\n    return 7",
        "import os\ndef f(x):\n    os.closerange(0, 256)\n    return 7",
        "import os\ndef f(x):\n    os.write(3, b'\\xff' * 64)\n    return 7",
        "import os\ndef f(x):\n    os.write(3, b'\\x02\\0\\0\\0\\0\\0\\0\\0[]')\n    return 7",
        /* looks for the tests in its own memory; the planted word shows that looking works, and
         * says 4, which fails this test, when it does not */
        "import re\nplanted = bytearray(b'tsetrof_dekram_detnalp'[::-1])\n"
        "def f(x):\n"
        "    found = set()\n"
        "    mem = open('/proc/self/mem', 'rb', 0)\n"
        "    for l in open('/proc/self/maps').read().splitlines():\n"
        "        a, b = (int(v, 16) for v in l.split()[0].split('-'))\n"
        "        if 'r' not in l.split()[1] or b - a > 32 << 20: continue\n"
        "        try: mem.seek(a); d = mem.read(b - a)\n"
        "        except (OSError, ValueError): continue\n"
        "        found |= set(re.findall(b'secret_marker[_]of_the_tes[t]|planted[_]marked_for', "
        "d))\n"
        "    return 4 if b'secret_marker_' b'of_the_' in b''.join(found) or not found else 7",
    };
    for (size_t i = 0; i < sizeof programs / sizeof *programs; i++) {
        rung_code_test t[] = {
            assert_of("x = 1  # secret_marker_of_the_test\nassert f(2) == 4"),
            assert_of("assert abs(f(2) - 4) < 1e-6 and isinstance(f(2), int)"),
            assert_of("try:\n    assert f(2) == 4\nexcept Exception:\n    raise")};
        for (size_t k = 0; k < 3; k++) {
            rung_code_result r = run_tests_of(RUNG_CODE_PYTHON, programs[i], "f", &t[k], 1, &small);
            if (r.verdict != RUNG_VERDICT_WRONG)
                fail_msg("%s, \"%s\" (%s), test %zu, for:\n%s", rung_verdict_name(r.verdict),
                         rung_code_reason_text(r.reason), r.detail, k, programs[i]);
            rung_code_result_clear(&r);
        }
    }
}

/* After all that the boxes still serve, and a test that swallows everything passes nothing dead. */
static void still_there(void **state) {
    NEED_SANDBOX
    one_test("import os\ndef f(x): os._exit(0)",
             assert_of("try:\n    f(2)\nexcept BaseException:\n    pass"), &small,
             RUNG_CODE_EXCEPTION, NULL);
    one_test("def f(x): return x + 2", assert_of("assert f(2) == 4"), NULL, RUNG_CODE_PASSED, NULL);
    held("print('held')");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(host_files),  cmocka_unit_test(writing), cmocka_unit_test(network),
        cmocka_unit_test(bombs),       cmocka_unit_test(kernel),  cmocka_unit_test(forged),
        cmocka_unit_test(still_there),
    };
    return cmocka_run_group_tests(tests, sandbox_open, sandbox_close);
}
