# ---- part 3: the tester.  Holds the tests and the way back to rung.

import builtins
import importlib
import traceback

REPLY_MAX = 16 << 20
TICK_S = 0.05


class Away(Exception):
    """An exception of the program that has no class here."""


def exception_here(name, text):
    """The program's exception as one that a test can catch."""
    base = getattr(builtins, name, None)
    if not (isinstance(base, type) and issubclass(base, Exception)):
        base = Away
    kind = type(name, (base,), {"away": True})
    return kind.__new__(kind, text)


class Tester(Link):
    """Asks the program's process, with every limit; reads what it prints."""

    def __init__(self, sock, pid, outputs, limits):
        super().__init__()
        self.sock, self.pid, self.limits = sock, pid, limits
        self.outputs = {fd: bytearray() for fd in outputs}
        self.n_output = 0
        self.pidfd = os.pidfd_open(pid)
        self.stop = None            # the Stop that ended the program's process
        self.pending = bytearray()
        self.status = None          # wait status and usage, once it is gone
        self.peak = 0
        self.memory_at = 0.0
        sock.setblocking(False)
        self.start()

    def start(self):
        """A new test: its own time, counted from here."""
        self.t0 = time.monotonic()
        self.cpu0 = cpu_of(self.pid)
        self.queued0 = queued(self.pid, PROC)
        self.n_output = 0

    def used(self):
        cpu = self.status[1].ru_utime + self.status[1].ru_stime if self.status else \
            cpu_of(self.pid)
        return time.monotonic() - self.t0, max(0.0, cpu - self.cpu0)

    def kill(self):
        if self.status is None:
            try:
                signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
                if not STRONG:
                    os.killpg(self.pid, signal.SIGKILL)
            except OSError:
                pass
            _, status, usage = os.wait4(self.pid, 0)
            self.status = status, usage

    def end(self, reason, detail=""):
        """The program's process ends here; raises Stop now and at every later question."""
        if self.stop is None:
            self.kill()
            self.stop = Stop(reason, detail)
        raise self.stop

    def died(self):
        """It ended by itself: why?"""
        if self.status is None:
            _, status, usage = os.wait4(self.pid, 0)
            self.status = status, usage
        status, usage = self.status
        if os.WIFEXITED(status):
            self.end("exception", f"exited with status {os.WEXITSTATUS(status)} before it answered")
        sig = os.WTERMSIG(status)
        if sig == signal.SIGKILL:
            if usage.ru_utime + usage.ru_stime >= self.limits["cpu_total"]:
                self.end("time-out", "CPU time")
            self.end("killed by the system", "SIGKILL that rung did not send")
        if sig == signal.SIGSYS:
            self.end("killed", "a forbidden system call")
        self.end("killed", signal.Signals(sig).name)

    def check_limits(self):
        wall, cpu = self.used()
        if cpu > self.limits["cpu"]:
            self.end("time-out", f"{cpu:.1f} s of CPU time")
        if wall > self.limits["wall"]:
            late = too_long(wall, self.limits["wall"], queued(self.pid, PROC) - self.queued0)
            if late:
                self.end(*late)
        now = time.monotonic()
        if STRONG and now - self.memory_at > TICK_S:
            self.memory_at = now
            used = memory_of(PROC, {1, os.getpid(), os.getppid()}, self.limits["memory"])
            self.peak = max(self.peak, used)
            if used > self.limits["memory"]:
                self.end("memory", f"{used >> 20} MiB resident in all its processes")

    def take_output(self, fd):
        try:
            data = os.read(fd, 65536)
        except BlockingIOError:
            return
        if not data:
            return
        self.n_output += len(data)
        room = self.limits["output"] - len(self.outputs[fd])
        self.outputs[fd] += data[:max(0, room)]
        if self.n_output > self.limits["output"]:
            self.end("output flood", f"more than {self.limits['output']} bytes")

    def pump(self, writing=False):
        """Wait once: output, an answer, the end, or the next look at the limits."""
        poll = select.poll()
        poll.register(self.sock, select.POLLIN | (select.POLLOUT if writing else 0))
        for fd in self.outputs:
            poll.register(fd, select.POLLIN)
        poll.register(self.pidfd, select.POLLIN)
        ready = dict(poll.poll(TICK_S * 1000))
        for fd in self.outputs:
            if ready.get(fd, 0) & select.POLLIN:
                self.take_output(fd)
        if self.sock.fileno() in ready:
            try:
                data = self.sock.recv(1 << 20) if ready[self.sock.fileno()] & ~select.POLLOUT else None
                if data:
                    self.pending += data
                    return
                if data == b"":
                    self.died_soon()
            except BlockingIOError:
                pass
            except ConnectionError:
                self.died_soon()
        elif self.pidfd in ready:
            self.died()
        self.check_limits()

    def died_soon(self):
        """Its channel is closed: either it is ending, or it closed the channel and goes on."""
        if not select.select([self.pidfd], [], [], 0.5)[0]:
            self.end("tampered", "closed the channel")
        self.died()

    def write(self, message):
        text = json.dumps(message).encode()
        data = memoryview(struct.pack("<II", len(text), 0) + text)
        while data:
            try:
                data = data[self.sock.send(data):]
            except BlockingIOError:
                self.pump(writing=True)
            except ConnectionError:
                self.died_soon()

    def read(self):
        while True:
            if len(self.pending) >= 8:
                n_text, n_blob = struct.unpack_from("<II", self.pending)
                if n_blob or n_text > REPLY_MAX:
                    self.end("tampered", "not a frame" if n_blob else "an answer over 16 MiB")
                if len(self.pending) >= 8 + n_text:
                    text = bytes(self.pending[8:8 + n_text])
                    del self.pending[:8 + n_text]
                    return json.loads(text)
            self.pump()

    def ask(self, message):
        """One question; serves the program's calls of the test's own functions meanwhile."""
        if self.stop:
            raise self.stop
        self.write(message)
        while True:
            try:
                reply = self.read()
                if type(reply) is dict and reply.get("op") == "call":
                    reply, callee, args = None, self.out[reply["f"]["o"]], self.dec(reply["a"])
                elif "ex" in reply:
                    name, text = reply["ex"]
                    raised = exception_here(str(name)[:80], str(text)[:400])
                    break
                else:
                    self.adopt(message, reply.get("m", ()))
                    return self.dec(reply["ok"])
            except Exception as e:      # whatever is wrong with the answer, the program wrote it
                self.end("tampered", f"not an answer: {type(e).__name__}")
            try:
                self.write({"ok": self.enc(callee(*args))})
            except Exception as e:
                self.write({"ex": [type(e).__name__, str(e)[:400]]})
        raise raised

    def adopt(self, message, changed):
        """What the call changed in its arguments happens to the test's own objects, too."""
        for i, j in changed:
            mine, new = self.args[i], self.dec(j)
            if type(mine) is not type(new):
                continue
            if isinstance(mine, (dict, set)):
                mine.clear()
                mine.update(new)
            elif isinstance(mine, collections.deque):
                mine.clear()
                mine.extend(new)
            elif isinstance(mine, (list, bytearray)):
                mine[:] = new

    def function(self, name):
        def called(*args, **kwargs):
            return self.call({"n": name}, args, kwargs)
        called.__name__ = name
        return called

    def call(self, ref, args, kwargs):
        before = getattr(self, "args", None)
        self.args = args
        try:
            return self.ask({"op": "call", "f": ref, "a": self.enc_all(args),
                             "k": {k: self.enc(v) for k, v in kwargs.items()}})
        finally:
            self.args = before


class TestNames(dict):
    """The globals of the tests.  A name that no test defines is asked of the program, unless it is
    a builtin: a program that defines its own abs or isinstance changes nothing here."""

    def __init__(self, tester):
        super().__init__(__name__="tests", __builtins__=builtins)
        self.tester = tester

    def __missing__(self, name):
        if hasattr(builtins, name) or name.startswith("__"):
            raise KeyError(name)
        found = self.tester.ask({"op": "get", "a": [name]})
        if type(found) is str and found.startswith("m:"):
            if found[2:].split(".")[0] not in sys.stdlib_module_names:
                raise KeyError(name)
            return importlib.import_module(found[2:])
        if not found:
            raise KeyError(name)
        return found[0]


def same(want, got, tolerance):
    """JSON against Python: a tuple is a list; numbers are exact unless the test gives a tolerance."""
    todo = [(want, got)]
    while todo:
        a, b = todo.pop()
        if isinstance(b, tuple):
            b = list(b)
        if isinstance(a, (list, dict)) or isinstance(b, (list, dict)):
            if type(a) is not type(b) or len(a) != len(b):
                return False
            if isinstance(a, list):
                todo += zip(a, b)
                continue
            b = {k if type(k) is str else json.dumps(k) for k in b} and \
                {k if type(k) is str else json.dumps(k): v for k, v in b.items()}
            if a.keys() != b.keys():
                return False
            todo += [(a[k], b[k]) for k in a]
        elif type(a) in (int, float) and type(b) in (int, float):
            if not (a == b or tolerance and abs(a - b) <= tolerance * max(1.0, abs(a))):
                return False
        elif type(a) is not type(b) or a != b:
            return False
    return True


def last_line(e, source):
    """Where in the test: its line, and what was said."""
    text = f"{type(e).__name__}: {e}" if str(e) else type(e).__name__
    for frame in reversed(traceback.extract_tb(e.__traceback__)):
        if frame.filename == "test":
            lines = source.splitlines()
            if 0 < frame.lineno <= len(lines):
                return f"{text} at `{lines[frame.lineno - 1].strip()[:160]}`"
    return text


class TestHung(BaseException):
    pass


def hung(signum, frame):
    raise TestHung


def run_assert(tester, names, test):
    source = test["code"]
    try:
        code = compile(source, "test", "exec")
    except (SyntaxError, ValueError) as e:
        return "bad test", f"{type(e).__name__}: {e}"
    signal.setitimer(signal.ITIMER_PROF, tester.limits["cpu"])
    try:
        exec(code, names)
    except AssertionError as e:
        return "exception" if hasattr(e, "away") else "wrong output", last_line(e, source)
    except ImportError as e:
        return "exception" if hasattr(e, "away") else "bad test", last_line(e, source)
    except TestHung:
        return "time-out", "in the test's own code, on what the program returned"
    except MemoryError as e:
        return "memory", last_line(e, source)
    except Exception as e:
        return "memory" if type(e).__name__ == "MemoryError" else "exception", last_line(e, source)
    except SystemExit:
        return "bad test", "the test left"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return "passed", ""


def run_call(tester, test):
    try:
        got = tester.call({"n": test["fn"]}, [t for t in test["args"]], test.get("kw", {}))
    except MemoryError as e:
        return "memory", str(e)
    except Exception as e:
        return "exception", f"{type(e).__name__}: {e}"
    if same(test["want"], got, test.get("tol", 0)):
        return "passed", ""
    return "wrong output", f"got {got!r}"[:200] + f", not {json.dumps(test['want'])}"[:160]


def run_tests(job, tester, names):
    """Frames in: one test each, then {"end":1}.  Frames out: one result each."""
    load = tester.load()
    while True:
        test, blob = recv(job)
        if "end" in test:
            return
        if "setup" in test:
            if load is None:
                try:
                    exec(compile(test["setup"], "setup", "exec"), names)
                except Stop:
                    pass
                except Exception as e:
                    load = "bad test", f"setup: {type(e).__name__}: {e}"
            if "entry" in test:
                names["candidate"] = names[test["entry"]] = tester.function(test["entry"])
            continue
        tester.start()
        try:
            if tester.stop:
                reason, detail = "not run", f"after: {tester.stop.reason}"
            elif load:
                reason, detail = load
            elif "code" in test:
                reason, detail = run_assert(tester, names, test)
                if tester.stop:     # a test that swallows everything cannot pass a dead program
                    reason, detail = tester.stop.reason, tester.stop.detail
            else:
                reason, detail = run_call(tester, test)
        except Stop as e:
            reason, detail = e.reason, e.detail
        wall, cpu = tester.used()
        send(job, {"reason": reason, "detail": detail, "wall": wall, "cpu": cpu})


class AssertTester(Tester):
    def load(self):
        """None: the program's text ran to its end.  Else reason and detail, for every test."""
        self.start()
        try:
            reply = self.read()
            if reply["s"] == "loaded":
                return None
            return ("compile error", "memory", "exception")[reply["s"]], str(reply["e"])[:400]
        except Stop as e:
            self.stop = None
            return e.reason, e.detail
        except Exception as e:
            return "tampered", f"not an answer: {type(e).__name__}"


def tester_main(job):
    """One job, in its own process.  The program's process is forked before the tests are read."""
    head, program = recv(job)
    limits = head["limits"]
    if head["mode"] == "cases":
        enter_namespaces()
        pid = os.fork()
        if pid == 0:
            run_safely(keeper_main, job, head, program)
        os.waitpid(pid, 0)
        return
    mine, its = socket.socketpair()
    out_r, out_w = os.pipe()
    err_r, err_w = os.pipe()
    for fd in (out_r, err_r):
        os.set_blocking(fd, False)
    enter_namespaces()
    pid = os.fork()
    if pid == 0:
        null = os.open("/dev/null", os.O_RDONLY)
        keep_only(null, out_w, err_w, its.fileno())
        run_safely(program_main, 3, head, program)
    its.close()
    os.close(out_w)
    os.close(err_w)
    signal.signal(signal.SIGPROF, hung)
    set_tester_limits()
    kind = SessionTester if head["mode"] == "session" else AssertTester
    tester = kind(mine, pid, [out_r, err_r], limits)
    try:
        ready = tester.read()
        if ready.get("s") != "walled":
            raise BoxError(str(ready.get("e")))
        if head["mode"] == "tests":
            run_tests(job, tester, TestNames(tester))
        elif load := tester.load():
            raise BoxError(load[1])
        elif head["mode"] == "session":
            answer_blocks(job, tester)
        else:
            answer_rewrites(job, tester)
    finally:
        tester.kill()


def set_tester_limits():
    resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def run_safely(fn, *args):
    """In a forked child: never returns into the code of the parent."""
    try:
        fn(*args)
        os._exit(0)
    except BaseException as e:
        try:
            sys.stderr.write(f"box: {fn.__name__}: {type(e).__name__}: {e}\n")
            sys.stderr.flush()
        finally:
            os._exit(70)
