"""rung's box, part 1: the walls.  docs/design/sandbox.md says what each is for.

Runs inside bubblewrap.  Three kinds of process:
  server   reads jobs from rung; imports once, so that a fork is a ready interpreter
  tester   one per job; holds the tests and the way back to rung; never runs the program
  program  one per job (or per case); untrusted; sees neither the tester nor its descriptors
"""
import ctypes
import gc
import json
import os
import resource
import select
import signal
import socket
import struct
import sys
import time

LIBC = ctypes.CDLL(None, use_errno=True)
NEWNS, NEWUSER, NEWPID = 0x00020000, 0x10000000, 0x20000000
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP = 1, 4, 22
PR_CAPBSET_DROP, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 24, 36, 38
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REC, MS_PRIVATE = 2, 4, 8, 1 << 14, 1 << 18
SYS_CAPSET = {"x86_64": 126, "aarch64": 91}.get(os.uname().machine, 126)
FRAME_MAX = 64 << 20

STRONG = True       # inside bubblewrap; False: the weaker mode that the user named
FILTER = b""        # the program's seccomp filter, as bytes of struct sock_filter
WORK = "/tmp"       # the one place where a program may write
PROC = -1           # the box's own /proc, kept open: the program's /proc is mounted over it


class BoxError(Exception):
    """A wall could not be put up: the box fails, and the verdict is unknown."""


def check(result, what):
    if result != 0:
        raise BoxError(f"{what}: {os.strerror(ctypes.get_errno())}")


# ---- frames: u32 bytes of JSON, u32 bytes of blob, both little-endian, then the two

def read_exact(fd, n):
    parts = []
    while n > 0:
        data = os.read(fd, min(n, 1 << 20))
        if not data:
            raise EOFError("end of channel")
        parts.append(data)
        n -= len(data)
    return b"".join(parts)


def write_all(fd, data):
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view):]


def send(fd, message, blob=b""):
    text = json.dumps(message).encode()
    write_all(fd, struct.pack("<II", len(text), len(blob)) + text + blob)


def recv(fd, limit=FRAME_MAX):
    n_text, n_blob = struct.unpack("<II", read_exact(fd, 8))
    if n_text + n_blob > limit:
        raise ValueError("frame too long")
    return json.loads(read_exact(fd, n_text)), read_exact(fd, n_blob)


# ---- namespaces

def enter_namespaces():
    """New user, pid and mount namespaces for the next child; called by the tester."""
    if not STRONG:
        return
    uid, gid = os.getuid(), os.getgid()
    LIBC.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)     # else /proc/self/uid_map is not ours to write
    check(LIBC.unshare(NEWUSER | NEWPID | NEWNS), "unshare")
    for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"),
                       ("gid_map", f"{gid} {gid} 1")):
        fd = os.open(f"/proc/self/{name}", os.O_WRONLY)
        os.write(fd, text.encode())
        os.close(fd)
    LIBC.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def mount_private(tmp_bytes):
    """A fresh /tmp and a /proc of the program's own pid namespace; called by its process 1."""
    if not STRONG:
        return
    check(LIBC.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None), "mount private /")
    options = b"size=%d,nr_inodes=4096,mode=1777" % tmp_bytes
    check(LIBC.mount(b"tmpfs", b"/tmp", b"tmpfs", MS_NOSUID | MS_NODEV, options), "mount /tmp")
    check(LIBC.mount(b"proc", b"/proc", b"proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, None),
          "mount /proc")
    os.chdir("/tmp")


def drop_capabilities():
    for cap in range(64):
        if LIBC.prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) != 0:
            break
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    check(LIBC.syscall(SYS_CAPSET, header, (ctypes.c_uint32 * 6)()), "capset")


# ---- Landlock

LL_READ = 1 | 1 << 2 | 1 << 3                   # execute, read file, read directory
LL_ALL_BY_ABI = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1}


def landlock_abi():
    return max(0, LIBC.syscall(444, None, ctypes.c_size_t(0), ctypes.c_uint32(1)))


def landlock(abi):
    """Writing only under WORK, no TCP, signals and abstract sockets only within.  abi 0: no-op."""
    if abi == 0:
        return
    every = LL_ALL_BY_ABI.get(abi, (1 << 16) - 1)
    attr = (ctypes.c_uint64 * 3)(every, 3 if abi >= 4 else 0, 3 if abi >= 6 else 0)
    size = 24 if abi >= 6 else 16 if abi >= 4 else 8
    ruleset = LIBC.syscall(444, attr, ctypes.c_size_t(size), ctypes.c_uint32(0))
    if ruleset < 0:
        raise BoxError(f"landlock: {os.strerror(ctypes.get_errno())}")
    rules = [(WORK, every)]
    rules += [(f"/dev/{d}", every & (1 << 1 | 1 << 2 | 1 << 14)) for d in
              ("null", "zero", "full", "random", "urandom")]
    rules += [(d, LL_READ) for d in (("/",) if STRONG else
                                     ("/usr", "/bin", "/lib", "/lib64", "/etc", "/proc/self"))]
    for path, access in rules:
        try:
            fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            continue
        if not os.path.isdir(path):
            access &= 1 | 1 << 1 | 1 << 2 | 1 << 14 | 1 << 15
        rule = struct.pack("=Qi", access, fd)
        check(LIBC.syscall(445, ruleset, 1, ctypes.c_char_p(rule), 0), f"landlock {path}")
        os.close(fd)
    check(LIBC.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    check(LIBC.syscall(446, ruleset, 0), "landlock")
    os.close(ruleset)


# ---- limits and the filter

def set_limits(limits, cpu_s, address_space=True):
    def limit(what, n):
        hard = resource.getrlimit(what)[1]
        n = int(n) if hard == resource.RLIM_INFINITY else min(int(n), hard)
        resource.setrlimit(what, (n, n))
    limit(resource.RLIMIT_CORE, 0)
    limit(resource.RLIMIT_CPU, cpu_s + 1)
    limit(resource.RLIMIT_FSIZE, limits["tmp"])
    limit(resource.RLIMIT_NOFILE, 256)
    limit(resource.RLIMIT_MEMLOCK, 0)
    limit(resource.RLIMIT_MSGQUEUE, 0)
    # In its own user namespace the count holds the tester, this process and what it starts.
    limit(resource.RLIMIT_NPROC, (2 if STRONG else count_own()) + limits["processes"])
    if address_space:
        limit(resource.RLIMIT_AS, limits["memory"])


def count_own():
    n, uid = 0, os.getuid()
    for pid in os.listdir("/proc"):
        try:
            n += pid.isdigit() and os.stat(f"/proc/{pid}").st_uid == uid
        except OSError:
            pass
    return n


def set_filter():
    check(LIBC.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    code = ctypes.create_string_buffer(FILTER, len(FILTER))

    class Program(ctypes.Structure):
        _fields_ = [("n", ctypes.c_ushort), ("code", ctypes.c_void_p)]
    program = Program(len(FILTER) // 8, ctypes.addressof(code))
    check(LIBC.prctl(PR_SET_SECCOMP, 2, ctypes.byref(program), 0, 0), "seccomp")


def keep_only(*fds):
    """Descriptors 0, 1, 2, ... become these; every other one is closed."""
    high = [os.dup(fd) if fd >= 0 else -1 for fd in fds]
    while any(0 <= fd < len(fds) for fd in high):
        high = [os.dup(fd) if 0 <= fd < len(fds) else fd for fd in high]
    for i, fd in enumerate(high):
        if fd >= 0:
            os.dup2(fd, i)
            os.set_inheritable(i, i < 3)
        else:
            try:
                os.close(i)
            except OSError:
                pass
    os.closerange(len(fds), 65536)


def memory_of(proc, skip, limit):
    """Bytes of every process in this /proc but those in skip.  Resident first; only when that is
    over the limit, in shares of what they have in common (a fork shares nearly all)."""
    def read(pid, name):
        fd = os.open(f"{pid}/{name}", os.O_RDONLY, dir_fd=proc)
        try:
            return os.read(fd, 4096).split()
        finally:
            os.close(fd)

    def total(of):
        n = 0
        for pid in pids:
            try:
                n += of(pid)
            except (OSError, IndexError, ValueError):
                pass
        return n
    pids = [p for p in os.listdir(proc) if p.isdigit() and int(p) not in skip]
    resident = total(lambda p: int(read(p, "statm")[1]) * 4096)
    if resident <= limit or len(pids) == 1:
        return resident

    def share(pid):
        words = read(pid, "smaps_rollup")
        return int(words[words.index(b"Pss:") + 1]) << 10
    return total(share) or resident


def cpu_of(pid):
    """CPU seconds of all threads of another process."""
    try:
        return time.clock_gettime(~pid << 3 | 2)
    except OSError:
        return 0.0


def cpu_of_all(proc, skip):
    """CPU seconds of every process in this /proc but those in skip, and of their ended children."""
    n = 0
    for pid in os.listdir(proc):
        if pid.isdigit() and int(pid) not in skip:
            try:
                fd = os.open(f"{pid}/stat", os.O_RDONLY, dir_fd=proc)
                words = os.read(fd, 4096).rsplit(b")", 1)[1].split()
                os.close(fd)
                n += sum(map(int, words[11:15]))
            except (OSError, IndexError, ValueError):
                pass
    return n / CLOCK_HZ


CLOCK_HZ = os.sysconf("SC_CLK_TCK")
PATIENCE = 8        # a test may take this many times its wall limit while it waits for a core


def queued(pid, proc):
    """Seconds that a process was ready to run and got no core: the machine's time, not its own."""
    try:
        fd = os.open(f"{pid}/schedstat", os.O_RDONLY, dir_fd=proc)
        waited = int(os.read(fd, 128).split()[1]) * 1e-9
        os.close(fd)
        return waited
    except (OSError, IndexError, ValueError):
        return 0.0


def too_long(wall, limit, waited):
    """(reason, detail) when the time is up, else None."""
    if wall <= limit or wall - waited <= limit and wall <= PATIENCE * limit:
        return None
    text = f"{wall:.1f} s, {waited:.1f} s of them without a core"
    return ("time-out" if wall - waited > limit else "starved"), text
