# ---- part 7: the server

PRELOAD = ("ast abc array bisect calendar cmath collections.abc contextlib copy csv dataclasses "
           "datetime decimal enum fractions functools hashlib heapq inspect itertools json math "
           "numbers operator queue random re secrets statistics string textwrap threading time "
           "timeit typing unicodedata uuid zlib").split()


def server_main(control_fd, filter_fd, strong):
    global STRONG, FILTER, PROC, WORK
    STRONG, WORK = strong, "/tmp" if strong else os.getcwd()
    with os.fdopen(filter_fd, "rb") as f:
        FILTER = f.read()
    for name in PRELOAD:
        importlib.import_module(name)
    PROC = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)
    sys.set_int_max_str_digits(0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    LIBC.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    control = socket.socket(fileno=control_fd)
    gc.collect()
    gc.freeze()
    control.send(json.dumps({"ready": sys.version.split()[0], "landlock": landlock_abi()}).encode())
    while True:
        data, fds, _, _ = socket.recv_fds(control, 64, 1)
        if not data:
            return
        pid = os.fork()
        if pid == 0:
            control.close()
            run_safely(tester_main, fds[0])
        os.close(fds[0])
        os.waitpid(pid, 0)
        end_orphans()
        control.send(b"done")


def end_orphans():
    """What a job left behind comes to us, and ends here."""
    if STRONG:
        try:
            os.kill(-1, signal.SIGKILL)
        except ProcessLookupError:
            pass
    while True:
        if not STRONG:
            with open("/proc/self/task/%d/children" % os.getpid()) as f:
                for child in f.read().split():
                    os.kill(int(child), signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


server_main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "strong")
