# ---- part 5: the process that runs the program, and the keeper of one process per case

import ast
import atexit
import io
import threading
import types


def end_me_first():
    """Where the box's memory ends, the kernel ends the program, not the tester."""
    try:
        with open("/proc/self/oom_score_adj", "w") as f:
            f.write("1000")
    except OSError:
        pass


def wall_in(limits, cpu_s, abi, address_space=True):
    """Everything that the program's own process may not undo."""
    end_me_first()
    set_limits(limits, cpu_s, address_space)    # before Landlock: it counts processes in /proc
    landlock(abi)
    set_filter()
    LIBC.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)     # its own /proc/self is its own again


def fresh_streams():
    sys.stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, closefd=False)), "utf-8",
                                 errors="surrogateescape")
    sys.stdout = io.TextIOWrapper(io.BufferedWriter(io.FileIO(1, "w", closefd=False)), "utf-8",
                                  errors="surrogateescape")
    sys.stderr = io.TextIOWrapper(io.FileIO(2, "w", closefd=False), "utf-8",
                                  errors="backslashreplace", write_through=True)
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr


def fresh_interpreter():
    """As a new `python3 solution.py` would find it, with the same random numbers every time."""
    import random
    random.seed(0)
    fresh_streams()
    for sig in (signal.SIGINT, signal.SIGPROF, signal.SIGTERM, signal.SIGCHLD):
        signal.signal(sig, signal.default_int_handler if sig == signal.SIGINT else signal.SIG_DFL)
    sys.argv = ["solution.py"]
    sys.path[:] = [p for p in sys.path if p != os.path.dirname(os.path.abspath(__file__))]


def new_module(name):
    module = types.ModuleType(name)
    module.__dict__["__builtins__"] = builtins
    sys.modules[name] = module
    return module.__dict__


VALUE_MAX = 65536                   # of a block's last expression, as text


def say(kind, e):
    return {"s": kind, "e": f"{type(e).__name__}: {e}"[:400]}


class Program(Link):
    """The untrusted end.  Answers questions for as long as the program lets it."""

    def __init__(self, fd, names):
        super().__init__()
        self.fd, self.names = fd, names
        self.in_block, self.n_blocks = False, 0

    def ask(self, message):             # a function of the test, called by the program
        send(self.fd, message)
        while True:
            reply, _ = recv(self.fd)
            if "op" in reply:
                self.serve(reply)
                continue
            if "ex" in reply:
                raise exception_here(*reply["ex"])
            return self.dec(reply["ok"])

    def call(self, ref, args, kwargs):
        return self.ask({"op": "call", "f": ref, "a": self.enc_all(args)})

    def find(self, ref):
        if "o" in ref:
            return self.out[ref["o"]]
        if ref["n"] not in self.names:
            raise NameError(f"name {ref['n']!r} is not defined")
        return self.names[ref["n"]]

    def answer(self, m):
        op, args = m["op"], [self.dec(a) for a in m["a"]]
        if op == "call":
            value = self.find(m["f"])(*args, **{k: self.dec(v) for k, v in m.get("k", {}).items()})
            reply = {"ok": self.enc(value)}
            changed = [[i, j] for i, (a, sent) in enumerate(zip(args, m["a"]))
                       if type(sent) in (list, dict) and (j := self.enc(a)) != sent]
            if changed:
                reply["m"] = changed
            return reply
        if op == "get":
            value = self.names.get(args[0], self)
            if isinstance(value, types.ModuleType):
                return {"ok": "m:" + value.__name__}
            return {"ok": [] if value is self else [self.enc(value)]}
        if op == "block":
            return {"ok": self.block(args[0])}
        if op == "rewrite":
            return {"ok": self.enc(rewrites(*args))}
        thing = self.find(m["f"])
        if op == "next":
            return {"ok": [self.enc(x) for x in [next(thing, self)] if x is not self]}
        return {"ok": self.enc({"attr": getattr, "setattr": setattr, "len": len, "iter": iter,
                                "item": lambda o, k: o[k],
                                "setitem": lambda o, k, v: o.__setitem__(k, v)}[op](thing, *args))}

    def interrupt(self, signum, frame):
        """SIGINT ends the block that runs; one that comes too late ends nothing."""
        if self.in_block:
            raise KeyboardInterrupt

    def block(self, source):
        """One block of a session: [reason, detail, repr of a last expression]."""
        value, self.in_block = "", True
        signal.signal(signal.SIGINT, self.interrupt)
        try:
            try:
                value = self.run_block(source)
                reason, detail = "passed", ""
                sys.stdout.flush()
            finally:
                self.in_block = False
        except (SyntaxError, ValueError) as e:
            reason, detail = "exception" if self.place(e) else "compile error", self.told(e)
        except KeyboardInterrupt:
            reason, detail = "time-out", "interrupted"
        except MemoryError as e:
            reason, detail = "memory", self.told(e)
        except BaseException as e:
            reason, detail = "exception", self.told(e)
        return [reason, detail, value]

    def run_block(self, source):
        self.n_blocks += 1
        name = f"block {self.n_blocks}"
        tree = ast.parse(source, name)
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, name, "exec"), self.names)
        if last is None:
            return ""
        result = eval(compile(ast.Expression(last.value), name, "eval"), self.names)
        return "" if result is None else repr(result)[:VALUE_MAX]

    @staticmethod
    def place(e):
        """The last line of a block on the way to what was raised; "" none."""
        lines = [f" ({f.filename}, line {f.lineno})" for f in traceback.extract_tb(e.__traceback__)
                 if f.filename.startswith("block ")]
        return lines[-1] if lines else ""

    def told(self, e):
        try:
            return f"{type(e).__name__}: {e}"[:300] + self.place(e)
        except BaseException:
            return type(e).__name__

    def serve(self, m):
        try:
            reply = self.answer(m)
        except BaseException as e:
            try:
                text = str(e)[:400]
            except BaseException:
                text = ""
            reply = {"ex": [type(e).__name__, text]}
        sys.stdout.flush()
        send(self.fd, reply)


def program_main(fd, head, source):
    limits = head["limits"]
    if not STRONG:
        os.setsid()
    try:
        mount_private(limits["tmp"])
        drop_capabilities()
        wall_in(limits, limits["cpu_total"], head["landlock"])
    except BaseException as e:
        send(fd, {"s": "failed", "e": f"{type(e).__name__}: {e}"})
        return
    send(fd, {"s": "walled"})
    fresh_interpreter()
    names = new_module("solution" if head["mode"] == "tests" else "__main__")
    program = Program(fd, names)
    try:
        code = compile(source.decode("utf-8"), "solution.py", "exec")
    except MemoryError as e:
        return send(fd, say(1, e))
    except BaseException as e:
        return send(fd, say(0, e))
    try:
        exec(code, names)
        sys.stdout.flush()
    except BaseException as e:
        return send(fd, say(1 if isinstance(e, MemoryError) else 2, e))
    send(fd, {"s": "loaded"})
    while True:
        program.serve(recv(fd)[0])


# ---- cases: stdin in, stdout out, a new process each

NOTES = {b"c": "compile error", b"m": "memory", b"e": "exception"}


def leave():
    """What an interpreter does at its end: waits for threads, calls what was registered, flushes."""
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()


def case_python(source, note):
    def tell(mark, e):
        os.write(note, mark)
        traceback.print_exception(type(e), e, e.__traceback__.tb_next)
        sys.stderr.flush()
        os._exit(1)
    fresh_interpreter()
    names = new_module("__main__")
    try:
        code = compile(source, "solution.py", "exec")
    except BaseException as e:
        tell(b"m" if isinstance(e, MemoryError) else b"c", e)
    try:
        exec(code, names)
        leave()
    except SystemExit as e:
        leave()
        if e.code is not None and type(e.code) is not int:
            sys.stderr.write(f"{e.code}\n")
        os._exit(0 if e.code is None else e.code & 255 if type(e.code) is int else 1)
    except BaseException as e:
        try:
            sys.stdout.flush()
        except BaseException:
            pass
        tell(b"m" if isinstance(e, MemoryError) else b"e", e)
    os._exit(0)


class Keeper:
    """Process 1 of the program's pid namespace: starts a process per case and ends it."""

    def __init__(self, limits, abi):
        self.limits, self.abi = limits, abi
        self.proc = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)

    def child(self, fds, argv, run):
        null = os.open("/dev/null", os.O_RDWR)
        note = fds[3]
        keep_only(fds[0], fds[1], fds[2] if fds[2] >= 0 else null, note)
        os.setsid()
        if WORK != "/tmp":
            os.chdir(WORK)
        wall_in(self.limits, self.limits["cpu"], self.abi, address_space=run is not None or
                argv[0] not in NO_ADDRESS_LIMIT)
        if run:
            run(3)
        os.set_inheritable(3, False)
        os.execv(argv[0], argv)

    def run(self, stdin, argv=None, run=None, wall=None):
        source = os.memfd_create("stdin")
        write_all(source, stdin)
        os.lseek(source, 0, os.SEEK_SET)
        out_r, out_w = os.pipe()
        err_r, err_w = os.pipe()
        note_r, note_w = os.pipe()
        pid = os.fork()
        if pid == 0:
            run_safely(self.child, (source, out_w, err_w, note_w), argv, run)
        for fd in (source, out_w, err_w, note_w):
            os.close(fd)
        for fd in (out_r, err_r, note_r):
            os.set_blocking(fd, False)
        result, out, err = self.watch(pid, out_r, err_r, wall or self.limits["wall"])
        try:
            note = os.read(note_r, 1)
        except BlockingIOError:
            note = b""
        for fd in (out_r, err_r, note_r):
            os.close(fd)
        if result["reason"] == "exception" and note in NOTES:
            result["reason"] = NOTES[note]
        return result, out, err

    def watch(self, pid, out_r, err_r, wall_max):
        """Until its first process ends or a limit is reached; then all of it is ended."""
        t0 = time.monotonic()
        pidfd = os.pidfd_open(pid)
        data = {out_r: bytearray(), err_r: bytearray()}
        poll = select.poll()
        for fd in (out_r, err_r, pidfd):
            poll.register(fd, select.POLLIN)
        reason, detail, gone, memory_at, peak = None, "", False, t0, 0
        while not gone and not reason:
            for fd, _ in poll.poll(TICK_S * 1000):
                gone |= fd == pidfd
                if fd != pidfd and not self.take(fd, data[fd]):
                    poll.unregister(fd)
            wall, cpu = time.monotonic() - t0, cpu_of(pid)
            if sum(map(len, data.values())) > self.limits["output"]:
                reason, detail = "output flood", f"more than {self.limits['output']} bytes"
            elif gone:
                break
            elif cpu > self.limits["cpu"]:
                reason, detail = "time-out", f"{cpu:.1f} s of CPU time"
            elif wall > wall_max and (late := too_long(wall, wall_max, queued(pid, self.proc))):
                reason, detail = late
            elif time.monotonic() - memory_at > TICK_S:
                memory_at = time.monotonic()
                used = memory_of(self.proc, {1}, self.limits["memory"]) if STRONG else 0
                peak = max(peak, used)
                if used > self.limits["memory"]:
                    reason, detail = "memory", f"{used >> 20} MiB in all its processes"
                elif STRONG and (cpu := cpu_of_all(self.proc, {1})) > self.limits["cpu"]:
                    reason, detail = "time-out", f"{cpu:.1f} s of CPU time in all its processes"
        status, usage = self.end_all(pid)
        if not reason:
            for fd in data:
                while len(data[fd]) <= self.limits["output"] and self.take(fd, data[fd], True):
                    pass
            if sum(map(len, data.values())) > self.limits["output"]:
                reason, detail = "output flood", f"more than {self.limits['output']} bytes"
        os.close(pidfd)
        cpu = usage.ru_utime + usage.ru_stime
        if not reason:
            reason, detail = self.why(status, cpu, data[err_r])
        result = {"reason": reason, "detail": detail, "status": status, "cpu": cpu,
                  "wall": time.monotonic() - t0, "rss": max(usage.ru_maxrss << 10, peak)}
        return result, bytes(data[out_r]), bytes(data[err_r])

    @staticmethod
    def take(fd, data, to_end=False):
        try:
            more = os.read(fd, 65536)
        except BlockingIOError:
            return not to_end
        data += more
        return bool(more)

    @staticmethod
    def end_all(pid):
        """Every process that the program left behind, too: in its own pid namespace that is all."""
        if STRONG:
            try:
                os.kill(-1, signal.SIGKILL)
            except ProcessLookupError:
                pass
        else:
            os.killpg(pid, signal.SIGKILL)
        _, status, usage = os.wait4(pid, 0)
        while STRONG:
            try:
                os.waitpid(-1, 0)
            except ChildProcessError:
                break
        return status, usage

    def why(self, status, cpu, err):
        if os.WIFEXITED(status):
            code = os.WEXITSTATUS(status)
            lines = err.decode("utf-8", "replace").strip().splitlines()
            last = lines[-1] if lines else f"exit status {code}"
            if code == 70 and last.startswith("box: "):
                return "sandbox failed", last
            return ("passed", "") if code == 0 else ("exception", last[:300])
        sig = os.WTERMSIG(status)
        if sig == signal.SIGXCPU or sig == signal.SIGKILL and cpu >= self.limits["cpu"]:
            return "time-out", "CPU time"
        if sig == signal.SIGXFSZ:
            return "killed", "a file over the size limit"
        if sig == signal.SIGSYS:
            return "killed", "a forbidden system call"
        return "killed", signal.Signals(sig).name


NO_ADDRESS_LIMIT = set()            # tools that reserve address space which they never use
COMPILE_WALL_S = 30


def keeper_main(job, head, source):
    limits, tools = head["limits"], head["tools"]
    try:
        mount_private(limits["tmp"])
        drop_capabilities()
        keeper = Keeper(limits, head["landlock"])
        prepare, run = {"python": (None, None), "c": (compile_c, [WORK + "/main"]),
                        "javascript": (write_js, None)}[head["lang"]]
    except BaseException as e:
        return send(job, {"failed": f"{type(e).__name__}: {e}"})
    in_process = (lambda note: case_python(source, note)) if head["lang"] == "python" else None
    broken = slow = None
    if head["lang"] == "javascript":
        run = [tools["node"], "--max-old-space-size=%d" % (limits["memory"] >> 20),
               WORK + "/main.js"]
        NO_ADDRESS_LIMIT.add(tools["node"])
    if prepare:
        broken = prepare(keeper, source, tools)
    send(job, {"ready": 1})
    while True:
        case, stdin = recv(job)
        if "end" in case:
            return
        result, out, err = (broken or slow, b"", b"") if broken or slow else \
            keeper.run(stdin, run, in_process)
        if result["reason"] in ("time-out", "starved"):     # the rest would only take long, too
            slow = {"reason": "not run", "detail": f"after: {result['reason']}"}
        result["n_out"] = len(out)
        send(job, result, out + err[-4096:])


def compile_c(keeper, source, tools):
    with open(WORK + "/main.c", "wb") as f:
        f.write(source)
    argv = [tools["cc"], "-std=gnu17", "-O2", "-w", "-o", WORK + "/main", WORK + "/main.c", "-lm"]
    result, _, err = keeper.run(b"", argv, wall=COMPILE_WALL_S)
    if result["reason"] == "exception":
        result["reason"] = "compile error"
        lines = [x for x in err.decode("utf-8", "replace").splitlines() if "error" in x]
        result["detail"] = lines[0][:300] if lines else result["detail"]
    return None if result["reason"] == "passed" else result


def write_js(keeper, source, tools):
    with open(WORK + "/main.js", "wb") as f:
        f.write(source)
